"""What is wrong in a scenario, said in its own terms: the findings of validation as located problems.

Knows the tree of keys and the document; nothing of what a key is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple

from pydantic import ValidationError

from channels.options import OptionError, option_name
from channels.units import Quantity, QuantityError, like, parse, shown
from wfl_sim import items, keys, places
from wfl_sim.errors import Problem
from wfl_sim.findings import Finding
from wfl_sim.places import Standing
from wfl_sim.yamlfile import Document, Origins, origin
from wfl_sim.yamlreader import MOST_PROBLEMS, KeyPath

_LONGEST_NAME = 30  # characters; longer ones are no misspelling of ours, and slow to compare
_ALIKE = 0.7  # the share of letters in common, from which on a name may be a misspelling of another
_BEGINNING = 3  # letters, from which on they may be the beginning of a name


MISSING = "is missing"


class Found(NamedTuple):
    """One finding: the path of the data to blame, the problem, if it is worth telling, and whether keys are joined."""

    path: KeyPath
    problem: Problem | None
    joined: bool


class Locator:
    """Makes problems of one arm: `data` is the arm laid over the file, `origins` where its parts were written."""

    def __init__(self, document: Document, data: dict[str, Any], origins: Origins) -> None:
        self.document, self.data, self.origins = document, data, origins

    @classmethod
    def nowhere(cls) -> Locator:
        """For a scenario that no file holds."""
        return cls(Document("scenario", {}), {}, {})

    def mended(self, data: dict[str, Any]) -> Locator:
        """The same arm with other data in the place of what is wrong."""
        return Locator(self.document, data, self.origins)

    def problem(self, path: KeyPath, message: str, *, at: str = "value", **more: Any) -> Problem:
        """A problem at a path of the merged data; the rule and the example of its key are added."""
        key = keys.find(path, self.data)
        if key is not None:
            whole = keys.find(path[:-1], self.data) if path[-1].isdecimal() else key
            more = {"rule": key.rule(), "example": whole.example() if whole else ""} | more
        message, more = self._sized(path, message, more)
        return self.document.problem(self._written(path), message, at=at, key=self._called(path), **more)

    def finding(self, found: Finding) -> Problem:
        """What a rule found. Where its key stands nowhere, it points to a key that the rule has read.

        Of keys that clash it points to the one that was written last: see `Standing`.
        """
        message = f"{found.message}; got {found.got}" if found.got else found.message
        more = {"example": found.example, "near": found.near} | ({"rule": found.rule} if found.rule else {})
        place: KeyPath | None = None
        if self.document.marks and self._written(found.path) not in self.document.marks:
            message = f"{message} by default" if found.got else message
            place = next((path for path in found.read if self._written(path) in self.document.marks), None)
        if clashing := [path for path in found.clash if self._written(path) in self.document.marks]:
            place = max(clashing, key=self.standing)
        if place is None or place == found.path:
            return self.problem(found.path, message, **more)
        key = keys.find(found.path, self.data)
        message, more = self._sized(found.path, message, {"rule": key.rule() if key is not None else ""} | more)
        return self.document.problem(self._written(place), message, key=self._called(found.path), **more)

    def _sized(self, path: KeyPath, message: str, more: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The words of a problem, sizes in units of the kind that stands at the path, or that its key usually has."""
        key = keys.find(path, self.data)
        quantity = key.option.quantity if key is not None and key.option is not None else None
        if quantity is None or quantity.unit != "bit":
            return message, more
        written = self._at(path)
        try:
            parse(written, "bit")
        except QuantityError:
            written = quantity.example
        told = {name: like(text, written) for name, text in more.items() if name in ("rule", "example")}
        return like(message, written), more | told

    def of_arm(self, path: KeyPath) -> bool:
        """Whether what stands at a path was written for this arm alone."""
        return self.standing(path) in (Standing.ARM, Standing.LINE_FOR_ARM)

    def standing(self, path: KeyPath) -> Standing:
        """Who has written what stands at a path."""
        return places.standing(self._written(path))

    def _written(self, path: KeyPath) -> KeyPath:
        return origin(path, self.origins)

    def _called(self, path: KeyPath) -> str:
        """A path as the user would write it: below its arm, if it stands there."""
        return places.called(self._written(path), path)

    def has_same(self, other: Locator, path: KeyPath) -> bool:
        """Whether the arm of another locator takes the value of a key from the same place."""
        return keys.find(path, self.data) is not None and self._written(path) == other._written(path)

    def unknown(self, path: KeyPath) -> Problem:
        """A key that nothing reads."""
        name, parent = path[-1], keys.find(path[:-1], self.data)
        allowed = list(parent.below(self._at(path[:-1]))) if parent is not None else []
        if len(path) == len(origin(path, self.origins)) == 1:
            allowed += ["arms", "grid"]
        rule = f"keys here: {', '.join(allowed)}" if allowed else ""
        kinds = [kind for kind in parent.kinds or () if name in parent.below({"kind": kind})] if parent else []
        if kinds:
            return self.problem(path, f"is no key of this kind, but of {keys.one_of(kinds)}", at="key", rule=rule)
        near, example = alike(name, allowed), ""
        if near:
            meant = keys.find((*path[:-1], near), self.data)
            example = meant.example() if meant is not None else ""
        elif elsewhere := [".".join(place) for place in _paths() if place[-1] == name != "kind"]:
            rule = f"{rule}; a key of this name stands at {' and '.join(elsewhere[:3])}"
            near = elsewhere[0] if len(elsewhere) == 1 else ""
        return self.problem(path, "unknown key", at="key", near=near, rule=rule, example=example)

    def no_item(self, path: KeyPath) -> Problem:
        """An item of a list that is not there, which a key names by its number, or by its name."""
        there, whole = self._at(path[:-1]), keys.find(path[:-1], self.data)
        if whole is not None and whole.ranged:
            return self.problem(path, "cannot be changed by itself; state the list as a whole", at="key")
        if not isinstance(there, list) or not there:
            message = "is not there to be changed, as no list is written; state it as a whole"
            return self.problem(path, message, at="key")
        names = [name for name in items.names(there) if name is not None]
        if path[-1] in names:
            where = "is at another place of the list in other arms, or is set by the grid or on the command line"
            return self.problem(path, f"{where}; name the item by its number", at="key")
        called = f" ({', '.join(names)})" if names else ""
        message = f"is none of the {len(there)} items of the list, whose numbers are 0 to {len(there) - 1}{called}"
        if len(there) == 1:
            message = f"is not the only item of the list, whose number is 0{called}"
        return self.problem(path, message, at="key", near=nearest(path[-1], names))

    def found(self, error: ValidationError) -> list[Found]:
        """What pydantic found, in our words. A key that is missing where it is only misspelt is found, but not told."""
        wrong = error.errors(include_url=False)[:MOST_PROBLEMS]
        found = [Found(self._blamed(item), self._one(item), self._is_joined(item)) for item in wrong]
        meant = {(*item.path[:-1], item.problem.near) for item in found if item.problem and item.problem.near}
        return [
            item._replace(problem=None) if item.problem.message == MISSING and item.path in meant else item
            for item in found
            if item.problem is not None
        ]

    def _blamed(self, item: Any) -> KeyPath:
        cause = item.get("ctx", {}).get("error")
        path = self._path(item["loc"])
        if isinstance(cause, OptionError):
            return (*path, option_name(cause.args[1]))
        key = keys.find(path, self.data)
        is_clear = item["type"] == "union_tag_invalid" and key is not None and key.meant_kind(self._at(path))
        return (*path, "kind") if is_clear else path

    def _is_joined(self, item: Any) -> bool:
        """Whether it is a check of a class over several of its options, and not the range of one."""
        cause = item.get("ctx", {}).get("error")
        if not isinstance(cause, OptionError):
            return False
        key = keys.find(self._blamed(item), self.data)
        limit = key.option.limit if key is not None and key.option is not None else None
        got = self._at(self._blamed(item))
        if limit is None or got is None:
            return True
        try:
            limit.read(got) if isinstance(limit, Quantity) else limit.check(got)
        except (ValueError, TypeError):
            return False
        return True

    def _one(self, item: Any) -> Problem:
        path, cause, kind = self._path(item["loc"]), item.get("ctx", {}).get("error"), item["type"]
        if isinstance(cause, OptionError):
            _, option, message = cause.args
            if message == MISSING:
                return self._missing((*path, option_name(option)))
            more = {"example": ""} if self._is_joined(item) else {}  # one that fits alone need not fit here
            if "; got " in message and self._written((*path, option_name(option))) not in self.document.marks:
                message += " by default"
            return self.problem((*path, option_name(option)), message, **more)
        if isinstance(cause, QuantityError):
            return self.problem(path, cause.args[0], near=cause.args[2])
        if isinstance(cause, ValueError):
            return self.problem(path, str(cause))
        if kind == "unexpected_keyword_argument":
            return self.unknown(path)
        if kind in ("missing", "missing_argument"):
            return self._missing(path)
        if kind == "union_tag_not_found":
            return self._missing((*path, "kind"))
        got = self._at(path)
        if kind == "union_tag_invalid":
            return self._wrong_kind(path, got)
        if kind == "literal_error":
            wanted = keys.find(path, self.data)
            words = [str(word) for word in wanted.option.choices] if wanted and wanted.option else []
            if path and path[-1] == "kind":
                return self._wrong_kind(path[:-1], self._at(path[:-1]))
            near = nearest(got, words) if isinstance(got, str) and got not in words else ""
            return self.problem(path, f"must be {keys.one_of(words)}; got {_quoted(got)}", near=near)
        wanted = keys.find(path, self.data)
        return self.problem(path, f"must be {wanted.type_name() if wanted else 'something else'}; got {_quoted(got)}")

    def _missing(self, path: KeyPath) -> Problem:
        key, parent = keys.find(path, self.data), keys.find(path[:-1], self.data)
        if path[-1] == "kind" and parent is not None and parent.kinds:
            return self.problem(path, MISSING, rule=f"kinds: {', '.join(parent.kinds)}", example=parent.example())
        return self.problem(path, MISSING, example=key.example() if key is not None else "")

    def _wrong_kind(self, path: KeyPath, got: Any) -> Problem:
        key = keys.find(path, self.data)
        kinds = list(key.kinds) if key is not None and key.kinds else []
        name = got.get("kind") if isinstance(got, Mapping) else got
        if name is None:
            return self._missing((*path, "kind"))
        near = nearest(name, kinds) if isinstance(name, str) else ""
        near = next((kind for kind in kinds if key and name in keys.aliases((key.kinds or {})[kind])), near)
        example = keys.snippet(near, key.kinds[near]) if near and key is not None and key.kinds else ""
        return self.problem(
            (*path, "kind"), f"unknown kind {shown(name)}", near=near, rule=f"kinds: {', '.join(kinds)}",
            example=f"{key.name}: {example}" if key is not None and example else "",
        )  # fmt: skip

    def _at(self, path: Iterable[str]) -> Any:
        return items.at(self.data, path)

    def _path(self, loc: Sequence[str | int]) -> KeyPath:
        """pydantic's location without the kinds that it puts into it."""
        path: list[str] = []
        data: Any = self.data
        key: keys.Key | None = keys.root()
        expect_kind = False
        for part in loc:
            if expect_kind and key is not None and key.kinds and part in key.kinds:
                expect_kind = False
                continue
            path.append(str(part))
            if key is not None:
                key = key.items if isinstance(part, int) else key.below(data).get(part)
            data = self._at(path)
            expect_kind = key is not None and bool(key.kinds) and len(key.kinds or ()) > 1
        return tuple(path)


@cache
def _paths() -> tuple[KeyPath, ...]:
    return tuple(path for path, _ in keys.paths())


def _quoted(got: Any) -> str:
    """A value that was got; of a number or truth value in quotes it is told that it is a text."""
    is_text = isinstance(got, str) and (got in ("true", "false") or got.lstrip("+-").isdecimal())
    return f"the text {shown(got)}" if is_text else shown(got)


def nearest(name: str, names: Iterable[str], longest: int | None = _LONGEST_NAME) -> str:
    """The name that was probably meant: one alike, or the first that begins like that; '' if there is none.

    Small letters and capitals are alike. Names beyond `longest` characters have none, unless that is None.
    """
    names = list(names)
    begun = (known for known in names if len(name) >= _BEGINNING and _folded(known).startswith(_folded(name)))
    return alike(name, names, longest) or next(begun, "")


def alike(name: str, names: Iterable[str], longest: int | None = _LONGEST_NAME) -> str:
    """The same for keys, where a word that begins another one may well stand elsewhere by itself (`rank`)."""
    folded = {_folded(known): known for known in names}
    if longest is not None and len(name) > longest:  # nobody's misspelling, and long to compare
        return ""
    near = get_close_matches(_folded(name), folded, n=1, cutoff=_ALIKE)
    return folded[near[0]] if near else ""


def _folded(name: str) -> str:
    return name.lower().replace("-", "_")
