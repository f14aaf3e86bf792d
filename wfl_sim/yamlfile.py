"""Scenario files, overrides from the command line, and how one is laid over the other.

Knows mappings, lists and scalars; what a key means is the scenario's business.
"""

from __future__ import annotations

import copy
import io
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from wfl_sim import items
from wfl_sim.errors import COMMAND_LINE, Problem, ScenarioError, printable
from wfl_sim.yamlreader import DEEPEST, LARGEST_BYTES, KeyPath, Mark, Reader

Origins = dict[KeyPath, KeyPath]


@dataclass
class Document:
    """A parsed file: plain data, and where each key of it was written.

    `problems` are those of the text itself (a key given twice, a tag) that do not keep it from being read.
    """

    source: str
    data: dict[str, Any]
    marks: dict[KeyPath, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def copy(self) -> Document:
        """Another one, for overrides to be laid over."""
        return replace(self, data=copy.deepcopy(self.data), marks=dict(self.marks), problems=list(self.problems))

    def problem(
        self, path: KeyPath, message: str, *, at: str = "value", key: str | None = None, **more: Any
    ) -> Problem:
        """A problem with what stands, or should stand, at `path`.

        It points to the value (or, with ``at="key"``, to the key) where the path was written, and else to the key of
        the deepest part of it that was. `key` is how the path is called in the message, if not by itself.
        """
        name = ".".join(path) if key is None else key
        for length in range(len(path), -1, -1):
            if mark := self.marks.get(path[:length]):
                return mark.problem(at if length == len(path) else "key", name, message, **more)
        return Problem(self.source, name, message, **more)

    def take_in(self, override: Override) -> None:
        """Set an override's value in the document itself."""
        lay(self.data, {}, override.path, override.value, override.path)
        self.marks = {known: mark for known, mark in self.marks.items() if known[: len(override.path)] != override.path}
        self.marks |= {override.path[:depth]: override.marks[()] for depth in range(1, len(override.path))
                       if override.path[:depth] not in self.marks}  # fmt: skip
        self.add_marks(override.path, override)

    def add_marks(self, place: KeyPath, override: Override) -> None:
        """Note that what stands at `place`, and below it, comes from an override."""
        self.marks |= {(*place, *below): mark for below, mark in override.marks.items()}


@dataclass(frozen=True)
class Override:
    """One ``key.path=value`` of the command line, with the place of each part of its value."""

    path: KeyPath
    value: Any
    marks: dict[KeyPath, Mark]

    @classmethod
    def read(cls, text: str) -> Override:
        """Read one, its value as YAML. Raises ScenarioError."""
        path, value = cls.parts(text)
        return cls._of(text, path, value)

    @classmethod
    def several(cls, text: str) -> list[Override]:
        """One for each value of ``key=value,value``, split as `split` does. Raises ScenarioError."""
        path, whole = cls.parts(text)
        found, at = list[Override](), 0
        for piece in split(whole):
            found.append(cls._of(text, path, piece, whole[:at], whole[at + len(piece) :]))
            at += len(piece) + 1
        return found

    @staticmethod
    def parts(text: str) -> tuple[KeyPath, str]:
        """The key, and the text of the value. Raises ScenarioError."""
        key, equals, value = text.partition("=")
        path = tuple(part.strip() for part in key.split("."))
        place = f"{COMMAND_LINE}{printable(text)}"
        if not equals or not all(path):
            example = "radio.uplink.bandwidth='1 MHz'"
            raise ScenarioError(Problem(place, "", "an override reads key.path=value", example=example))
        if len(text) > LARGEST_BYTES:
            raise ScenarioError(Problem(place, "", f"is too long; an override has at most {LARGEST_BYTES} characters"))
        if len(path) > DEEPEST:
            raise ScenarioError(Problem(place, "", f"names a key more than {DEEPEST} levels deep"))
        return path, value

    @classmethod
    def _of(cls, text: str, path: KeyPath, value_text: str, before: str = "", behind: str = "") -> Override:
        """The override of a value that stands between the texts `before` and `behind`."""
        key, place = ".".join(path), f"{COMMAND_LINE}{printable(text)}"
        try:
            value, marks, problems = Reader(value_text, place, f"{key}={before}", behind).read()
        except ScenarioError as error:
            raise ScenarioError(*(_below(key, problem) for problem in error.args)) from None
        if problems:
            raise ScenarioError(*(_below(key, problem) for problem in problems))
        return cls(path, value, marks)


def split(text: str) -> list[str]:
    """The pieces between commas that stand in no bracket and in no quotes; a quote opens where a value begins."""
    pieces, depth, quote, start = [""], 0, "", True
    for character in text:
        if character == "," and not quote and depth <= 0:
            pieces.append("")
            start = True
            continue
        pieces[-1] += character
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and start:
            quote = character
        else:
            depth += (character in "[{") - (character in "]}")
        start = character in "[{,:" or (start and character.isspace()) if not quote else False
    return pieces


def _below(key: str, problem: Problem) -> Problem:
    """A problem of an override's value, under the key that it is for."""
    return replace(problem, key=f"{key}.{problem.key}" if problem.key else key)


def read(path: Path) -> Document:
    """Read a file.

    Raises
    ------
    ScenarioError
        The file is missing, no regular file, too large, not UTF-8, not YAML, or not a mapping; with line and column.
    """
    source = printable(str(path))
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a directory" if stat.S_ISDIR(mode) else "a device, pipe or socket"
            raise ScenarioError(Problem(source, "", f"is {kind}; a scenario is a YAML file"))
        with path.open("rb") as stream:
            raw = stream.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise ScenarioError(Problem(source, "", "no such file")) from None
    except ValueError:  # a NUL byte in the path
        raise ScenarioError(Problem(source, "", "is not the name of a file")) from None
    except OSError as error:
        raise ScenarioError(Problem(source, "", f"cannot be read: {error.strerror}")) from None
    if len(raw) > LARGEST_BYTES:
        raise ScenarioError(Problem(source, "", f"is too large; a scenario has at most {LARGEST_BYTES // 1024} KiB"))
    if b"\0" in raw:
        raise ScenarioError(
            Problem(source, "", "is not UTF-8 text; it holds zero bytes, as UTF-16 and binary files do")
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScenarioError(Problem(source, "", f"is not UTF-8 text (byte {error.start})")) from None
    return read_text(text, source)


def read_text(text: str, source: str) -> Document:
    """Read a text; `source` is what its problems are located in. Raises ScenarioError."""
    data, marks, problems = Reader(text, source).read()
    if not isinstance(data, dict):
        example = "name: my-first-cell"
        raise ScenarioError(
            *problems, Problem(source, "", "a scenario is a mapping of keys to values", 1, 1, example=example)
        )
    return Document(source, data, marks, problems)


def write(data: dict[str, Any], comment: str) -> str:
    """`data` as block-style YAML behind a comment line."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    yaml.dump(data, stream)
    return f"# {comment}\n{stream.getvalue()}"


def merge(base: dict[str, Any], changes: dict[str, Any], under: KeyPath = ()) -> tuple[dict[str, Any], Origins]:
    """`base` with `changes` laid over it, mapping by mapping, and where each changed key came from.

    Where a change names another ``kind``, its mapping takes the place of the old one: the options of one kind mean
    nothing to another. `under` is the path of `changes` in the document; the origins map the path of each value that
    was taken over to its path there, and what lies below it comes from below that.
    """
    merged, origins = dict(base), dict[KeyPath, KeyPath]()
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and value.get("kind", old.get("kind")) == old.get("kind"):
            merged[key], below = merge(old, value, (*under, key))
            origins |= {(key, *path): origin for path, origin in below.items()}
        else:
            merged[key] = value
            origins[(key,)] = (*under, key)
    return merged, origins


def origin(path: KeyPath, origins: Origins) -> KeyPath:
    """Where in the document the value at `path` of a merged mapping comes from."""
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return (*origins[path[:length]], *path[length:])
    return path


def laid(
    data: dict[str, Any], origins: Origins, path: KeyPath, value: Any, source: KeyPath
) -> tuple[dict[str, Any], Origins]:
    """`lay` on a copy, which shares with `data` what the value does not change."""
    copied, origins = dict(data), dict(origins)
    place: Any = copied
    for depth in range(1, len(path)):
        if not _leads_on(place, path, depth):
            break
        at = items.place(place, path[depth - 1])
        place[at] = copy.copy(place[at])
        place = place[at]
    lay(copied, origins, path, value, source)
    return copied, origins


def lay(data: dict[str, Any], origins: Origins, path: KeyPath, value: Any, source: KeyPath) -> None:
    """Set one value in `data`, in place, and note that it comes from `source` of the document.

    Mappings on the way are made where they are missing; an item of a list has to be there, and goes by its number. A
    ``kind`` that differs from the old one drops the options of that, as in `merge`.
    """
    place: Any = data
    for depth, key in enumerate(path[:-1], 1):
        at = items.place(place, key)
        if not _leads_on(place, path, depth):
            place[at] = {}
            origins[path[:depth]] = source
        place = place[at]
    if path[-1] == "kind" and isinstance(place, dict) and place.get("kind", value) != value:
        place.clear()
        for known in [known for known in origins if known[: len(path) - 1] == path[:-1] and len(known) >= len(path)]:
            del origins[known]
    place[items.place(place, path[-1])] = copy.deepcopy(value)
    for known in [known for known in origins if known[: len(path)] == path]:
        del origins[known]
    origins[path] = source


def _leads_on(place: Any, path: KeyPath, depth: int) -> bool:
    """Whether what stands in `place` at the last key of ``path[:depth]`` can hold the next one."""
    inner = items.at(place, (path[depth - 1],))
    return isinstance(inner, dict) or (isinstance(inner, list) and items.number_of(path[depth], inner) is not None)


def numbered(data: dict[str, Any], path: KeyPath) -> KeyPath:
    """A path in a file whose items of lists go by numbers: ``groups.small`` is ``groups.0`` if that is named small.

    It is that number which the item has in all arms that have one of the name; else the path stays as it is.
    """
    arms = data.get("arms")
    each = [merge(data, own)[0] for own in (arms.values() if isinstance(arms, dict) else ()) if isinstance(own, dict)]
    found = {way for one in (data, *each) if (way := items.by_number(one, path)) != path}
    return found.pop() if len(found) == 1 else path
