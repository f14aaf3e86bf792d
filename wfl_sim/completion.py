"""What the shell offers at the next word: scenarios, override keys and their values, names of cards.

Knows words; the command line asks it, and it never raises: a shell shows no errors here.
"""

from __future__ import annotations

import copy
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import typer

if TYPE_CHECKING:
    from wfl_sim.keys import Key

_QUOTING = ("zsh", "fish")  # shells that quote what they insert by themselves
P = ParamSpec("P")


def _silent(offer: Callable[P, list[str]]) -> Callable[P, list[str]]:
    """Offer nothing where anything fails: a file that cannot be read, or whatever a plug-in raises.

    A traceback would be written into the line that is being typed, or taken for words; `validate` says what is wrong.
    """

    @wraps(offer)
    def offered(*args: P.args, **kwargs: P.kwargs) -> list[str]:
        try:
            return offer(*args, **kwargs)
        except Exception:
            return []

    return offered


@_silent
def scenarios(incomplete: str) -> list[str]:
    """Names of scenarios at hand, and files and folders that begin so."""
    from wfl_sim import shelf

    names = [name for name in shelf.scenarios() if name.startswith(incomplete)]
    folder, _, start = incomplete.rpartition("/")
    root = f"{folder}/" if folder or incomplete.startswith("/") else ""
    try:
        entries = sorted(Path(root or ".").iterdir())
    except OSError:
        entries = []
    found = [entry for entry in entries if entry.name.startswith(start) and (start or not entry.name.startswith("."))]
    files = [f"{root}{entry.name}" for entry in found if entry.suffix in (".yaml", ".yml") and entry.is_file()]
    return [*names, *files, *(f"{root}{entry.name}/" for entry in found if entry.is_dir())]


@_silent
def overrides(ctx: typer.Context, incomplete: str) -> list[str]:
    """The next part of a key, or the values that it may take.

    bash takes ``=`` for a word of its own, so the key may be the word before it; and where the cursor stands behind it,
    typer tells of no ``=`` at all.
    """
    words, scenario = _joined(ctx.params.get("overrides") or ()), str(ctx.params.get("scenario") or "")
    if words and (words[-1].endswith("=") or not (incomplete or "=" in words[-1])):
        return _Line(scenario, words[:-1]).values(words[-1].removesuffix("="), incomplete)
    line = _Line(scenario, words)
    key, equals, value = incomplete.partition("=")
    if equals:
        return [f"{key}={found}" for found in line.values(key, value)]
    found = line.keys(key)
    # A shell puts a blank behind the only word that fits: offer what may follow instead.
    while len(found) == 1 and found[0].endswith("."):
        found = line.keys(found[0])
    if len(found) == 1:
        found = [found[0], *(f"{found[0]}{value}" for value in line.values(found[0][:-1], ""))]
    return found


@_silent
def arms(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the scenario's arms."""
    return _begin(_Line(str(ctx.params.get("scenario") or ""), ()).arms, incomplete)


@_silent
def names(incomplete: str) -> list[str]:
    """Everything that ``explain`` has a card of."""
    from wfl_sim import cards

    known = cards.names()
    plain = [name for name in known if "." not in name]
    return _begin([*plain, *(name for name in known if "." in name)] if incomplete else plain, incomplete)


class _Line:
    """A line that was typed so far: the arms of its scenario, with the overrides before this word laid over them."""

    def __init__(self, scenario: str, words: Sequence[str]) -> None:
        from wfl_sim import keys, yamlfile

        document = _read(scenario)
        arms = document.data.get("arms")
        base = {key: value for key, value in document.data.items() if key not in ("arms", "grid")}
        self.base = copy.deepcopy(base)
        self.arms: dict[str, dict[str, Any]] = {
            name: copy.deepcopy(yamlfile.merge(base, changes)[0])
            for name, changes in (arms.items() if isinstance(arms, dict) else ())
            if isinstance(changes, dict)
        }
        for text in words:
            prefix = self.prefix(text) or ""
            override = _override(text.removeprefix(prefix))
            for data in self._of(prefix):
                path = yamlfile.numbered(document.data, override.path) if override is not None else ()
                key, lacking = keys.follow(path, keys.with_kinds(data))
                if override is not None and key is not None and lacking is None:
                    yamlfile.lay(data, {}, path, override.value, ())

    def keys(self, incomplete: str) -> list[str]:
        """Keys that begin so, up to their next dot or ``=``."""
        from wfl_sim import items
        from wfl_sim.resolve import SHARED

        prefix = self.prefix(incomplete)
        if prefix is None:
            return _begin((f"arms.{arm}." for arm in self.arms), incomplete)
        parts = tuple(incomplete[len(prefix) :].split(".")[:-1])
        found: dict[str, None] = {}
        for data in self._of(prefix):
            for name, key in _walk(parts, data)[1].items():
                if not prefix or parts or name not in SHARED:
                    end = "." if key.group is not None or key.kinds else "="
                    whole = f"{prefix}{'.'.join((*parts, name))}"
                    found[f"{whole}{end}"] = None
                    if key.items is not None and key.items.below() and items.at(data, (*parts, name)):
                        found[f"{whole}."] = None  # one of its items
        if not prefix and not parts and self.arms:
            found["arms."] = None
        others = [f"arms.{arm}." for arm in self.arms if prefix and f"arms.{arm}." != prefix]  # v1. also begins v1.5.
        return _begin([*found, *others], incomplete)

    def values(self, key: str, incomplete: str) -> list[str]:
        """Values of a key that begin so, quoted for the shell; behind a comma, one more of an axis."""
        from wfl_sim.keys import takes_text

        prefix = self.prefix(key)
        path = tuple(key.removeprefix(prefix or "").split("."))
        before, comma, _ = incomplete.rpartition(",") if not takes_text(path) else ("", "", "")
        found: dict[str, None] = {}
        for data in self._of(prefix or ""):
            parent, children = _walk(path[:-1], data)
            taken = children.get(path[-1])
            if taken is not None and taken.name == "kind" and parent is not None and parent.kinds:
                found |= dict.fromkeys(parent.kinds)
            elif taken is not None and taken.option is not None and not (taken.kinds or taken.group):
                words = map(str, taken.option.choices) if taken.option.choices else [taken.example_value()]
                found |= dict.fromkeys(["true", "false"] if taken.type_name() == "true or false" else words)
        words = [f"{before}{comma}{value}" for value in found if value not in before.split(",")]
        return [_quoted(value, incomplete) for value in _begin(words, incomplete)]

    def prefix(self, text: str) -> str | None:
        """``arms.NAME.`` where a key begins so, '' where it is none of an arm, None where the name is not complete.

        A name may hold dots, so the longest one counts.
        """
        if not text.startswith("arms."):
            return ""
        known = [f"arms.{arm}." for arm in self.arms if text.startswith(f"arms.{arm}.")]
        return max(known, key=len, default=None)

    def _of(self, prefix: str) -> list[dict[str, Any]]:
        """What an override is laid over: one arm, or all of them, as the reader does."""
        if prefix:
            return [self.arms[prefix.removeprefix("arms.").removesuffix(".")]]
        return list(self.arms.values()) or [self.base]


def _walk(path: Sequence[str], data: Any) -> tuple[Key | None, Mapping[str, Key]]:
    """The key at a path, and those below it: of the kind that `data` names, of every kind where it names none."""
    from wfl_sim import items, keys

    key: keys.Key | None = keys.root()
    children = _children(keys.root(), data)
    for part in path:
        key, data = children.get(part), items.at(data, (part,))
        children = _children(key, data) if key is not None else {}
    return key, children


def _children(key: Key, data: Any) -> Mapping[str, Key]:
    if key.items is not None:  # those that the list has
        return {str(number): key.items for number in range(len(data) if isinstance(data, list) else 0)}
    named = data.get("kind") if isinstance(data, Mapping) else None
    if not key.kinds or (isinstance(named, str) and named in key.kinds):
        return key.below(data)
    found: dict[str, Key] = {}
    for kind in key.kinds:
        found = {**key.below({"kind": kind}), **found}
    return found


def _read(scenario: str) -> Any:
    """The document; an empty one where there is none, since keys are the same for all."""
    from wfl_sim import shelf, yamlfile
    from wfl_sim.errors import ScenarioError

    try:
        return yamlfile.read(shelf.find(scenario)) if scenario else yamlfile.Document("", {})
    except ScenarioError:
        return yamlfile.Document("", {})


def _override(text: str) -> Any:
    from wfl_sim.errors import ScenarioError
    from wfl_sim.yamlfile import Override

    try:
        return Override.read(text)
    except ScenarioError:
        return None


def _joined(words: Sequence[str]) -> list[str]:
    """``key=value`` in one word each, where bash made three of them."""
    found: list[str] = []
    after = False
    for word in words:
        if found and (word == "=" or after):
            found[-1] += word
        else:
            found.append(word)
        after = word == "="
    return found


def _quoted(value: str, typed: str) -> str:
    """A value as the shell that asks has to get it: what is `typed` as it stands, since typer drops all else."""
    if os.environ.get("_WFL_SIM_COMPLETE", "").endswith(_QUOTING):
        return value
    if not typed:
        return shlex.quote(value)
    if typed != shlex.quote(typed):  # inside quotes that are still open
        return value
    return typed + re.sub(r"[^\w@%+=:,./-]", r"\\\g<0>", value[len(typed) :])


def _begin(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word and word.startswith(incomplete)]
