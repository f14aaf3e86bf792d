"""From a document and overrides to one checked scenario for each arm and point, with all that is wrong at once.

Knows the tree of keys and how problems are located; what a scenario is, and what must hold in it, is passed in.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import ValidationError

from channels.units import shown
from wfl_sim import grid, items, keys, overriding, seeds, twins, yamlfile
from wfl_sim.diagnose import Locator
from wfl_sim.errors import ManyCells, Problem, ScenarioError, Size, in_order
from wfl_sim.findings import Finding
from wfl_sim.grid import Coordinate, Grid
from wfl_sim.overriding import OF_A_FILE
from wfl_sim.places import override as _source
from wfl_sim.yamlfile import Document, Origins
from wfl_sim.yamlreader import MOST_PROBLEMS, KeyPath

SHARED = ("schema_version", "name", "description", "seeds")  # keys that all arms of a file have in common
T = TypeVar("T")


MOST_CELLS = 10_000  # of a study that nobody is asked about
MOST_EVER = 10**7  # of a study; each takes some memory before it is run
_MOST_NAMES = 3  # of arms and points that a problem names
Index = tuple[int | None, ...]


@dataclass(frozen=True)
class Reading(Generic[T]):
    """How an arm is read: `validate` takes its keys and raises ValidationError, `rules` then says what does not fit."""

    validate: Callable[[dict[str, Any]], T]
    rules: Callable[[T], list[Finding]]
    folder: Callable[[str], str]  # why a name cannot be that of an arm, or ''


@dataclass(frozen=True)
class Arm(Generic[T]):
    """One arm at one point of the grid as it was resolved; `group` is the arm, empty where the file has none.

    `parts` are what the point adds to the name of the arm, and `index` is which value it takes of each axis.
    """

    group: str
    index: Index
    scenario: T
    locate: Locator
    parts: tuple[str, ...]
    point: tuple[Coordinate, ...]

    @property
    def name(self) -> str:
        """``ARM-POINT`` in full, for messages."""
        return "-".join(filter(None, (self.group, *self.parts)))


class _Base(NamedTuple):
    """An arm before its points: its keys, where they were written, and the axes that are fixed for it.

    `written` are its keys without overrides.
    """

    written: dict[str, Any]
    data: dict[str, Any]
    origins: Origins
    fixed: list[KeyPath]


class _Crossed(NamedTuple):
    """What a rule found in an arm at a point."""

    arm: str
    name: str
    locate: Locator
    finding: Finding


def resolve(
    document: Document, texts: Sequence[str], reading: Reading[T], *, many: bool = False, only: str | None = None
) -> list[Arm[T]]:
    """All arms of a document at all points of its grid, with the overrides `texts` laid over them.

    An override sets its key in every arm whose kinds have it, whatever file or arm say, and so does a point; those of
    ``arms.NAME`` come last, and fix in their arm what the grid varies in others. One with several values is an axis. An
    override or an axis that no arm can take is an unknown key. With `only`, no other arm of the file is looked at, and
    a key is unknown if no kind has it.

    Raises
    ------
    ManyCells
        There are more than `MOST_CELLS`, and not `many` are asked for.
    ScenarioError
        Every problem that was found.
    """
    return _Study(document, texts, reading, only).arms(MOST_EVER if many else MOST_CELLS)


class _Study(Generic[T]):
    """One document with its overrides on the way to its arms."""

    def __init__(self, document: Document, texts: Sequence[str], reading: Reading[T], only: str | None = None) -> None:
        self.document, self.reading, self.only = document, reading, only
        self.told = {_place(problem) for problem in document.problems}  # what follows from these is no news
        self.overrides = overriding.read(document, texts)
        axes, problems = grid.read(document, SHARED)
        self.problems = dict.fromkeys((*document.problems, *self.overrides.problems, *problems))
        self.grid = Grid(self.overrides.over(axes))
        for number, (arm, override) in enumerate(self.overrides.numbered()):
            document.add_marks(_source(number, arm), override)
        self.reached: set[int] = set()  # overrides that an arm took
        self.used: set[int] = set()  # axes
        self.crossed: list[_Crossed] = []
        self.others: dict[str, Locator] = {}  # arms that are not looked at
        self.locators: list[tuple[str, str, Locator]] = []  # arm, its name at the point
        self.found: list[Arm[T]] = []

    def arms(self, most: int) -> list[Arm[T]]:
        """Every arm at every point, in the order in which arms and values are written."""
        bases = self._bases()
        self._check_size(list(bases.values()), most)
        # First each value beside the first of the other axes: that finds what is wrong with it in a few steps.
        for alone in (True, False):
            for name, base in bases.items():
                for point in self.grid.points(base.data, base.origins, base.fixed):
                    if (sum(map(bool, point.at)) <= 1) is alone and len(self.problems) <= MOST_PROBLEMS:
                        self._read(name, point)
            if alone:
                self._note_unknown()
            if self.problems or self.crossed or not self.grid.axes:
                break
        self._note(_with_arms(self.crossed, self.locators))
        numbers = {name: number for number, name in enumerate(bases)}
        in_turn = sorted(self.found, key=lambda arm: (numbers[arm.group], *(-1 if i is None else i for i in arm.index)))
        if not self.problems:
            written = {name: base.written for name, base in bases.items()}
            self._note(twins.twins(in_turn, self.document, self.grid.axes, written, self.overrides.paths))
        if self.problems:
            raise ScenarioError(*in_order(self.problems)[:MOST_PROBLEMS])
        return in_turn

    def _note(self, problems: Iterable[Problem]) -> None:
        """Take up problems, each once."""
        self.problems |= dict.fromkeys(problems)

    def _bases(self) -> dict[str, _Base]:
        """The arms by name, with the overrides that no axis decides on."""
        document = self.document
        base = keys.with_kinds({key: value for key, value in document.data.items() if key not in OF_A_FILE})
        arms = document.data.get("arms", {})
        if not isinstance(arms, dict):
            message = f"must be a mapping of names to the keys that each arm changes; got {shown(arms)}"
            self._note([document.problem(("arms",), message, example="arms: {dense: {}, half: {rounds: 5}}")])
            arms = {}
        bases: dict[str, _Base] = {}
        for name, changes in (arms or {"": {}}).items():
            if len(self.problems) > MOST_PROBLEMS:
                break
            if arms and self.only not in (None, name):
                data, origins = yamlfile.merge(base, changes if isinstance(changes, dict) else {}, ("arms", name))
                data, origins = self._overridden(name, keys.with_kinds(data), origins, below=False)
                self.others[name] = Locator(document, data, origins)
                continue
            if arms and (wrong := _wrong_arm(document, name, changes, arms, self.reading)):
                self._note(wrong)
                continue
            data, origins = yamlfile.merge(base, changes, ("arms", name))
            written = keys.with_kinds(data)
            data, origins = self._overridden(name, copy.deepcopy(written), origins, below=False)
            fixed = [override.path for arm, override in self.overrides.of_arms if arm == name]
            self.used |= {number for number, axis in enumerate(self.grid.axes) if axis.path in fixed}
            bases[name] = _Base(written, data, origins, fixed)
        return bases

    def _overridden(
        self, name: str, data: dict[str, Any], origins: Origins, *, below: bool
    ) -> tuple[dict[str, Any], Origins]:
        """An arm with the overrides laid over it that an axis decides on (those `below` it), or with the others."""
        for number, (owner, override) in enumerate(self.overrides.numbered()):
            if owner not in (None, name) or self.grid.decides(override.path) is not below:
                continue
            key, lacking = keys.follow(override.path, data)
            if owner and lacking is not None:
                locate = Locator(self.document, data, origins)
                self._note([_unknown(locate, override.path, override.value, _source(number, owner))])
            elif lacking is None and (owner or key is not None):
                data, origins = yamlfile.laid(data, origins, override.path, override.value, _source(number, owner))
                data = keys.with_kinds(data)
                if key is not None:
                    self.reached.add(number)
        return data, origins

    def _check_size(self, bases: Sequence[_Base], most: int) -> None:
        """Refuse a study that may be larger than it was meant to be. Raises ManyCells."""
        place: KeyPath = ("seeds",)
        written = self.document.data.get("seeds")
        for number, override in enumerate(self.overrides.general):
            if override.path == ("seeds",):
                place, written = _source(number), override.value
        runs, points = seeds.count(written), sum(self.grid.size(base.data, base.fixed) for base in bases)
        cells = runs * points
        if cells <= most:
            return
        of = " x ".join(f"{number:,} {what}" for number, what in ((points, "points"), (runs, "seeds")) if number > 1)
        hint = "; if that is meant, give --yes (in Python: many=True)"
        above = f"{most:,}{hint}" if cells <= MOST_EVER else f"{MOST_EVER:,}, the most that any may have"
        message = f"a study of {cells:,} cells ({of}) is above {above}"
        if points > runs and self.grid.axes:
            place = self.grid.axes[-1].place
        problem = self.document.problem(place, message, at="key", key="seeds" if runs >= points else "grid")
        raise ManyCells(Size(**vars(problem), cells=cells))

    def _read(self, name: str, point: grid.Point) -> None:
        """One arm at one point."""
        data, origins = point.data, point.origins
        if self.grid.axes:
            data, origins = self._overridden(name, data, origins, below=True)
        self.used |= {number for number, value in enumerate(point.at) if value is not None}
        locate, parts = Locator(self.document, data, origins), tuple(self.grid.parts(point.at))
        answer = _read(locate, self.reading)
        locate, scenario, wrong, joined = answer
        self._note(problem for problem in wrong if _place(problem) not in self.told)
        whole = "-".join(filter(None, (name, *parts)))
        self.crossed += [_Crossed(name, whole, locate, finding) for finding in joined]
        self.locators.append((name, whole, locate))
        if scenario is not None:
            coordinates = self.grid.coordinates(point)
            self.found.append(Arm(name, point.at, scenario, locate, parts, coordinates))

    def _note_unknown(self) -> None:
        """Overrides and axes that no arm could take, if there is an arm."""
        for _, _, locate in self.locators[:1]:
            for number, (arm, override) in enumerate(self.overrides.numbered()):
                whose = locate if arm is None else self.others.get(arm)
                if whose is not None and number not in self.reached and not self._is_for_others(override.path):
                    self._note([_unknown(whose, override.path, override.value, _source(number, arm))])
            for number, axis in enumerate(self.grid.axes):
                if number not in self.used and not self._is_for_others(axis.path):
                    self._note([_unknown(locate, axis.path, axis.values[0], axis.place)])

    def _is_for_others(self, path: KeyPath) -> bool:
        """Whether a key that no arm took may be one of another kind; an item of a list has to be there in some arm."""
        item = path[: max((depth for depth, part in enumerate(path, 1) if part.isdecimal()), default=0)]
        known = [*self.others.values(), *(locate for _, _, locate in self.locators)]
        there = not item or any(items.at(locate.data, item) is not None for locate in known)
        return self.only is not None and there and bool(keys.everywhere(path))


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
    shared = [key for key in (*SHARED, "grid") if key in changes]
    return [document.problem((*where, key), "is the same for all arms of a file", at="key") for key in shared]


def _read(locate: Locator, reading: Reading[T]) -> tuple[Locator, T | None, list[Problem], list[Finding]]:
    """One arm as it was read, what is wrong with its keys, and what does not fit together.

    What is wrong is replaced by something that is right and all is read again, so that a wrong unit does not hide a
    rank above the layer. What then follows from a key that was replaced is no news; nor is a check of a class over
    several of its options, if one of these was replaced. A kind in other capitals is read as the one that was meant.
    """
    problems, mended = list[Problem](), list[KeyPath]()
    while True:
        try:
            scenario = reading.validate(locate.data)
            break
        except ValidationError as error:
            data = copy.deepcopy(locate.data)
            found = locate.found(error)
            news = [
                item
                for item in found
                if not _touches(item.path, mended)
                and not (item.joined and any(path[:-1] == item.path[:-1] for path in mended))
            ]
            problems += [item.problem for item in news if item.problem is not None]
            paths = {item.path for item in news} or {item.path[:-1] for item in found if len(item.path) > 1}
            if not paths or not sum(_mend(data, path) for path in paths):
                return locate, None, problems, []
            mended += paths
            locate = locate.mended(data)
    joined = reading.rules(scenario)
    fresh = [item for item in joined if not any(_touches(path, mended) for path in (item.path, *item.read))]
    return locate, scenario, problems, fresh


def _touches(path: KeyPath, others: Iterable[KeyPath]) -> bool:
    """Whether a path leads to, or through, one of the others, or one of them through it."""
    return any(path[: len(other)] == other or other[: len(path)] == path for other in others)


def _mend(data: dict[str, Any], path: KeyPath) -> bool:
    """Put in what is right: an example where the key is required, else nothing, which is the default.

    A choice without default gets an example, too: something else would have to be there in its place. A list is mended
    as a whole, and a kind in other capitals becomes the one that was meant. Returns whether that changed anything.
    """
    place: Any = data
    key: keys.Key | None = None
    for depth, name in enumerate(path, 1):
        above, key = key, keys.find(path[:depth], data)
        if name == "kind" and above is not None and (meant := above.meant_kind(place)):
            place[name] = meant
            return True
        if depth == len(path) or not isinstance(place.get(name), dict):
            nothing = object()
            before = place.pop(name, nothing)
            option = key.option if key is not None else None
            if key is not None and option is not None and (option.required or (key.kinds and option.default is None)):
                place[name] = yamlfile.read_text(key.example(), "example").data[name]
            return bool(place.get(name, nothing) != before)
        place = place[name]
    return False


def _unknown(locate: Locator, path: KeyPath, value: Any, source: KeyPath) -> Problem:
    """An override or axis that no arm can take, located at the first part of its key that is not there."""
    lacking = keys.follow(path, locate.data)[1]
    if lacking is not None:
        origins = {**locate.origins, path[:lacking]: source}
        return Locator(locate.document, locate.data, origins).no_item(path[:lacking])
    depth = next((n for n in range(1, len(path) + 1) if keys.find(path[:n], locate.data) is None), len(path))
    data, origins = yamlfile.laid(locate.data, locate.origins, path, value, source)
    return Locator(locate.document, data, origins).unknown(path[:depth])


def _with_arms(crossed: Sequence[_Crossed], locators: Sequence[tuple[str, str, Locator]]) -> list[Problem]:
    """Each problem once; one of a value that fits in another arm, or at another point, says where it does not."""
    items: dict[Problem, list[_Crossed]] = {}
    for item in crossed:
        items.setdefault(item.locate.finding(item.finding), []).append(item)
    told = []
    for problem, here in items.items():
        path, arms = here[0].finding.path, {item.arm for item in here}
        shared = [(arm, name) for arm, name, locator in locators if locator.has_same(here[0].locate, path)]
        names = list(dict.fromkeys(item.name for item in here))
        if all(name in names for arm, name in shared if arm in arms):  # at all points of these arms
            names = [] if arms >= {arm for arm, _ in shared} else list(dict.fromkeys(item.arm for item in here))
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        whose = f" (in {'arm' if len(names) == 1 else 'arms'} {', '.join(names[:_MOST_NAMES])}{more})" if names else ""
        told.append(replace(problem, message=problem.message + whose))
    return told


def _place(problem: Problem) -> tuple[str, int, int]:
    return problem.place, problem.line, problem.column
