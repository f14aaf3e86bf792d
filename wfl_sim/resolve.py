"""From a document and overrides to one checked scenario for each arm, with everything that is wrong at once.

Knows the tree of keys and how problems are located; what a scenario is, and what must hold in it, is passed in.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import ValidationError

from channels.units import shown
from wfl_sim import keys, yamlfile
from wfl_sim.diagnose import Locator, nearest
from wfl_sim.errors import Problem, ScenarioError, in_order
from wfl_sim.findings import Finding
from wfl_sim.yamlfile import Document, Override
from wfl_sim.yamlreader import MOST_PROBLEMS, KeyPath

SHARED = ("schema_version", "name", "description", "seeds")  # keys that all arms of a file have in common
T = TypeVar("T")


@dataclass(frozen=True)
class Reading(Generic[T]):
    """How an arm is read: `validate` takes JSON and raises ValidationError, `rules` then says what does not fit."""

    validate: Callable[[str], T]
    rules: Callable[[T], list[Finding]]
    folder: Callable[[str], str]  # why a name cannot be that of an arm, or ''


@dataclass(frozen=True)
class Arm(Generic[T]):
    """One arm as it was resolved; `name` is empty where the file has no arms."""

    name: str
    scenario: T
    locate: Locator


class _Crossed(NamedTuple):
    """What a rule found in an arm."""

    arm: str
    locate: Locator
    finding: Finding


def resolve(document: Document, texts: Sequence[str], reading: Reading[T]) -> list[Arm[T]]:
    """All arms of a document with the overrides `texts` laid over them.

    An override sets its key in every arm whose kinds have it, whatever file or arm say; those of ``arms.NAME`` come
    last. One that no arm can take is an unknown key.

    Raises
    ------
    ScenarioError
        Every problem that was found.
    """
    problems = [*document.problems]
    told = {_place(problem) for problem in problems}  # what follows from these is no news
    overrides, of_arms, found = _read_overrides(document, texts)
    problems += found
    base = keys.with_kinds({key: value for key, value in document.data.items() if key != "arms"})
    arms = document.data.get("arms", {})
    if not isinstance(arms, dict):
        message = f"must be a mapping of names to the keys that each arm changes; got {shown(arms)}"
        problems.append(document.problem(("arms",), message, example="arms: {dense: {}, half: {rounds: 5}}"))
        arms = {}
    resolved: list[Arm[T]] = []
    crossed: list[_Crossed] = []
    locators: list[Locator] = []
    reached: set[int] = set()
    for name, changes in (arms or {"": {}}).items():
        if len(problems) > MOST_PROBLEMS:
            break
        if arms and (wrong := _wrong_arm(document, name, changes, arms, reading)):
            problems += wrong
            continue
        data, origins = yamlfile.merge(base, changes, ("arms", name))
        data = copy.deepcopy(keys.with_kinds(data))
        for number, (owner, override) in enumerate([*((None, o) for o in overrides), *of_arms]):
            if owner in (None, name) and (owner or keys.find(override.path, data) is not None):
                yamlfile.lay(data, origins, override.path, override.value, _source(number, owner))
                data = keys.with_kinds(data)
                reached.add(number)
        locate = Locator(document, data, origins)
        answer = _read(locate, reading)
        scenario, wrong, joined = answer
        problems += [problem for problem in wrong if _place(problem) not in told]
        crossed += [_Crossed(name, locate, finding) for finding in joined]
        locators.append(locate)
        if scenario is not None:
            resolved.append(Arm(name, scenario, locate))
    for number, override in enumerate(overrides):
        if locators and number not in reached:
            problems.append(_unknown(locators[0], override, number))
    problems += _with_arms(crossed, locators)
    if problems:
        raise ScenarioError(*in_order(problems)[:MOST_PROBLEMS])
    return resolved


def _source(number: int, arm: str | None = None) -> KeyPath:
    """The place in the document's marks of an override's value; no key of a file begins so. See `Locator`."""
    return (f"\0{number}\0{'' if arm is None else f'arms.{arm}.'}",)


def _read_overrides(
    document: Document, texts: Sequence[str]
) -> tuple[list[Override], list[tuple[str, Override]], list[Problem]]:
    """Overrides for every arm, those for one arm by its name, and what is wrong with them. Whole arms are set here."""
    general: list[Override] = []
    of_arms: list[tuple[str, Override]] = []
    problems: list[Problem] = []
    for text in texts:
        try:
            override = Override.read(text)
            arms = document.data.get("arms")
            known = list(arms) if isinstance(arms, dict) else []
            if override.path[0] != "arms":
                general.append(override)
            elif len(override.path) <= 2:
                document.take_in(override)
            else:
                of_arms.append(_of_arm(override, known))
        except ScenarioError as error:
            problems += error.args
    for number, (arm, override) in enumerate([*((None, o) for o in general), *of_arms]):
        document.add_marks(_source(number, arm), override)
    return general, of_arms, problems


def _of_arm(override: Override, known: Sequence[str]) -> tuple[str, Override]:
    """The arm that ``arms.NAME.key`` is for, which may have dots in its name, and the override for that arm."""
    parts = override.path[1:]
    for length in range(len(parts) - 1, 0, -1):
        if (name := ".".join(parts[:length])) in known:
            return name, replace(override, path=parts[length:])
    there = f"arms: {', '.join(known)}" if known else "the file has no arms"
    place = next(iter(override.marks.values())).source
    raise ScenarioError(Problem(place, f"arms.{parts[0]}", "unknown arm", near=nearest(parts[0], known), rule=there))


def _wrong_arm(document: Document, name: str, changes: Any, arms: dict[str, Any], reading: Reading[T]) -> list[Problem]:
    """What keeps an arm from being read at all."""
    where = ("arms", name)
    if reason := reading.folder(name):
        return [document.problem(where, reason, at="key", example="arms: {half-rank: {method: {rank: 4}}}")]
    twin = next((other for other in arms if other != name and other.lower() == name.lower()), None)
    if twin is not None and list(arms).index(twin) < list(arms).index(name):
        message = f"names the same folder as {twin!r} on a system that does not tell small letters from capitals"
        return [document.problem(where, message, at="key")]
    if not isinstance(changes, dict):
        message = f"must be a mapping of the keys that the arm changes, or {{}}; got {shown(changes)}"
        return [document.problem(where, message, example=f"{name}: {{}}")]
    shared = [key for key in SHARED if key in changes]
    return [document.problem((*where, key), "is the same for all arms of a file", at="key") for key in shared]


def _read(locate: Locator, reading: Reading[T]) -> tuple[T | None, list[Problem], list[Finding]]:
    """One arm, what is wrong with its keys, and what does not fit together.

    What is wrong is replaced by something that is right and all is read again, so that a wrong unit does not hide a
    rank above the layer. What then follows from a key that was replaced is no news.
    """
    data, problems, mended = copy.deepcopy(locate.data), list[Problem](), list[KeyPath]()
    while True:
        try:
            scenario = reading.validate(json.dumps(data))
            break
        except ValidationError as error:
            found = locate.found(error)
            news = [
                item
                for item in found
                if not _touches(item.path, mended)
                and not (item.joined and any(path[: len(item.path) - 1] == item.path[:-1] for path in mended))
            ]
            problems += [item.problem for item in news if item.problem is not None]
            paths = {item.path for item in news} or {item.path[:-1] for item in found if len(item.path) > 1}
            if not paths or not sum(_mend(data, path) for path in paths):
                return None, problems, []
            mended += paths
    joined = reading.rules(scenario)
    fresh = [item for item in joined if not any(_touches(path, mended) for path in (item.path, *item.read))]
    return scenario, problems, fresh


def _touches(path: KeyPath, others: Iterable[KeyPath]) -> bool:
    """Whether a path leads to, or through, one of the others, or one of them through it."""
    return any(path[: len(other)] == other or other[: len(path)] == path for other in others)


def _mend(data: dict[str, Any], path: KeyPath) -> bool:
    """Put in what is right: an example where the key is required, else nothing, which is the default.

    A choice without default gets an example, too: something else would have to be there in its place. A list is mended
    as a whole. Returns whether that changed anything.
    """
    place: Any = data
    for depth, name in enumerate(path, 1):
        key = keys.find(path[:depth], data)
        if depth == len(path) or not isinstance(place.get(name), dict):
            nothing = object()
            before = place.pop(name, nothing)
            option = key.option if key is not None else None
            if key is not None and option is not None and (option.required or (key.kinds and option.default is None)):
                place[name] = yamlfile.read_text(key.example(), "example").data[name]
            return bool(place.get(name, nothing) != before)
        place = place[name]
    return False


def _unknown(locate: Locator, override: Override, number: int) -> Problem:
    """An override that no arm can take, located at the first part of its key that is not there."""
    data = copy.deepcopy(locate.data)
    origins = dict(locate.origins)
    depth = next(n for n in range(1, len(override.path) + 1) if keys.find(override.path[:n], data) is None)
    yamlfile.lay(data, origins, override.path, override.value, _source(number))
    return Locator(locate.document, data, origins).unknown(override.path[:depth])


def _with_arms(crossed: Sequence[_Crossed], locators: Sequence[Locator]) -> list[Problem]:
    """Each problem once; one of a value that fits in another arm says in which arms it does not."""
    names: dict[Problem, list[str]] = {}
    for item in crossed:
        names.setdefault(item.locate.finding(item.finding), []).append(item.arm)
    told = []
    for problem, arms in names.items():
        item = next(item for item in crossed if item.arm == arms[0] and item.locate.finding(item.finding) == problem)
        shared = sum(locator.has_same(item.locate, item.finding.path) for locator in locators)
        whose = f" (in {'arm' if len(arms) == 1 else 'arms'} {', '.join(arms)})" if len(arms) < shared else ""
        told.append(replace(problem, message=problem.message + whose))
    return told


def _place(problem: Problem) -> tuple[str, int, int]:
    return problem.place, problem.line, problem.column
