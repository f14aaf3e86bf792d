"""The grid of a study: axes, each the values of one key, crossed with each other for every arm.

Knows keys, their values and where these were written; what is done with an arm at a point is the caller's.

A point sets its keys as an override does: in every arm whose kinds have the key, whatever file and arm say. An axis
that an arm has no use for is left out of its points. A ``kind`` is set before the options that it may have.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from channels.units import parse, shown
from wfl_sim import keys, places, pointnames, yamlfile
from wfl_sim.errors import Problem
from wfl_sim.yamlfile import Document, Origins, Override
from wfl_sim.yamlreader import DEEPEST, KeyPath

EXAMPLE = "grid: {radio.uplink.bandwidth: [180 kHz, 360 kHz]}"


class Coordinate(NamedTuple):
    """The value of one key of a grid: as it was written, and as a number in an SI unit where it is one."""

    key: str  # radio.uplink.bandwidth
    text: str  # 1 MHz
    value: float | None  # 1e6
    unit: str  # Hz; "" for a number without one


@dataclass(frozen=True)
class Axis:
    """The values of one key; `place` is where the key stands in the marks of the document, and below it each value."""

    path: KeyPath
    values: tuple[Any, ...]
    place: KeyPath

    @property
    def key(self) -> str:
        """``radio.uplink.bandwidth``."""
        return ".".join(self.path)

    def source(self, number: int) -> KeyPath:
        """The place of a value in the marks of the document."""
        return places.value(self.place, number)


class Point(NamedTuple):
    """An arm at a point: which value of each axis (None: it has no use for the axis), its keys, and their origins."""

    at: tuple[int | None, ...]
    data: dict[str, Any]
    origins: Origins


def read(document: Document, shared: Sequence[str]) -> tuple[dict[KeyPath, Axis], list[Problem]]:
    """The axes of a file, by their keys, and what is wrong with how they are written."""
    written = document.data.get("grid", {})
    if not isinstance(written, dict):
        message = f"must be a mapping of dotted keys to lists of values; got {shown(written)}"
        return {}, [document.problem(("grid",), message, example=EXAMPLE)]
    axes, problems = dict[KeyPath, Axis](), list[Problem]()
    for key, values in written.items():
        place, path = ("grid", key), yamlfile.numbered(document.data, tuple(key.split(".")))
        found = _wrong(document, place, path, values, shared)
        if found:
            problems += found
        elif path in axes:  # an item of a list, by its number and by its name
            problems.append(document.problem(place, f"is the same key as {axes[path].place[1]}", at="key"))
        else:
            axes[path] = Axis(path, tuple(values), place)
    return axes, problems


def _wrong(document: Document, place: KeyPath, path: KeyPath, values: Any, shared: Sequence[str]) -> list[Problem]:
    """What keeps an axis from being read at all."""
    if not all(part and part == part.strip() for part in path) or len(path) > DEEPEST:
        return [document.problem(place, "is no dotted key", at="key", example=EXAMPLE)]
    if path[0] in ("arms", "grid"):
        message = "is no key that a grid can vary: name one that the arms have, without 'arms.'"
        return [document.problem(place, message, at="key", example=EXAMPLE)]
    if path[0] in shared:
        message = "is the same for all arms of a file, so a grid cannot vary it"
        example = "seeds: 1..5" if path[0] == "seeds" else ""
        return [document.problem(place, message, at="key", example=example)]
    key = next(iter(keys.everywhere(path)), None)
    value = (key.example_value() if key is not None else "") or "1 MHz"
    example = f"grid: {{{'.'.join(path)}: [{value}]}}"
    if not isinstance(values, list):
        nested = "; write the whole key with dots" if isinstance(values, dict) and key and key.below() else ""
        return [document.problem(place, f"must be a list of values{nested}; got {shown(values)}", example=example)]
    if not values:
        return [document.problem(place, "has no values", at="key", example=example)]
    return twice([(_same(value), (*place, str(n))) for n, value in enumerate(values)], document, values)


def twice(
    written: Sequence[tuple[str, KeyPath]], document: Document, values: Sequence[Any], **more: Any
) -> list[Problem]:
    """A problem for each value that stands there before."""
    seen: set[str] = set()
    problems = []
    for (value, place), got in zip(written, values, strict=True):
        if value in seen:
            problems.append(document.problem(place, f"has the value {text_of(got)} twice", **more))
        seen.add(value)
    return problems


def from_overrides(document: Document, number: int, pieces: Sequence[Override]) -> tuple[Axis, list[Problem]]:
    """The axis that ``key=value,value`` on the command line is; its places begin as those of overrides do."""
    axis = Axis(pieces[0].path, tuple(piece.value for piece in pieces), places.axis(number))
    for n, piece in enumerate(pieces):
        document.add_marks(axis.source(n), piece)
    document.add_marks(axis.place, pieces[0])
    same = [(_same(value), axis.source(n)) for n, value in enumerate(axis.values)]
    return axis, twice(same, document, axis.values, key=axis.key)


def _same(value: Any) -> str:
    """The same text for the same value; 1 and 1.0 may be two."""
    return json.dumps(value, sort_keys=True)


class Grid:
    """Axes, in the order in which they were written, and how their points are called."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        self.axes = tuple(axes)
        self._order = sorted(range(len(axes)), key=lambda n: _turn(axes[n].path))

    @cached_property
    def _labels(self) -> list[str]:
        return pointnames.labels([axis.path for axis in self.axes])

    @cached_property
    def _texts(self) -> list[list[str]]:
        return [[text_of(value) for value in axis.values] for axis in self.axes]

    @cached_property
    def _tokens(self) -> list[list[str]]:
        return [pointnames.tokens(texts) for texts in self._texts]

    def size(self, data: dict[str, Any], without: Sequence[KeyPath] = ()) -> int:
        """How many points an arm has; only axes that decide on others are laid over it."""
        return _count(data, [axis for _, axis in self._used(without)])

    def decides(self, path: KeyPath) -> bool:
        """Whether an axis may decide if there is a key at `path`, so that an override of that comes after the axis."""
        return any(_shapes(axis, path) for axis in self.axes)

    def points(self, data: dict[str, Any], origins: Origins, without: Sequence[KeyPath] = ()) -> Iterator[Point]:
        """All points of an arm, in no order; axes at a path of `without` are left out."""
        yield from self._cross(Point((None,) * len(self.axes), data, origins), self._used(without))

    def _used(self, without: Sequence[KeyPath]) -> list[tuple[int, Axis]]:
        """The axes, each with its number, in the order in which they are set."""
        return [(n, self.axes[n]) for n in self._order if self.axes[n].path not in without]

    def _cross(self, point: Point, axes: Sequence[tuple[int, Axis]]) -> Iterator[Point]:
        if not axes:
            yield point
            return
        (place, axis), *others = axes
        if not _has(axis.path, point.data):
            yield from self._cross(point, others)
            return
        for number, value in enumerate(axis.values):
            data, origins = yamlfile.laid(point.data, point.origins, axis.path, value, axis.source(number))
            at = (*point.at[:place], number, *point.at[place + 1 :])
            yield from self._cross(Point(at, data, origins), others)

    def parts(self, index: Sequence[int | None]) -> list[str]:
        """``bandwidth=1MHz`` for each axis of a point."""
        return [f"{self._labels[n]}={self._tokens[n][i]}" for n, i in enumerate(index) if i is not None]

    def coordinates(self, point: Point) -> tuple[Coordinate, ...]:
        """What the axes of a point are set to."""
        return tuple(
            Coordinate(self.axes[n].key, self._texts[n][i], *_number(self.axes[n].values[i], key))
            for n, i in enumerate(point.at)
            if i is not None and (key := keys.find(self.axes[n].path, point.data)) is not None
        )


def in_turn(point: Sequence[Coordinate]) -> list[Coordinate]:
    """Those of a point as they have to be set one after the other, since a ``kind`` drops the options of another."""
    return sorted(point, key=lambda at: _turn(tuple(at.key.split("."))))


def _turn(path: KeyPath) -> tuple[int, bool]:
    return len(path), path[-1] != "kind"


def _count(data: dict[str, Any], axes: Sequence[Axis]) -> int:
    if not axes:
        return 1
    axis, *others = axes
    if not _has(axis.path, data):
        return _count(data, others)
    if not any(_shapes(axis, other.path) for other in others):
        return len(axis.values) * _count(data, others)
    return sum(_count(yamlfile.laid(data, {}, axis.path, value, ())[0], others) for value in axis.values)


def _has(path: KeyPath, data: Any) -> bool:
    """Whether an arm has a use for a key: its kinds have it, and its lists the items on the way."""
    key, lacking = keys.follow(path, data)
    return key is not None and lacking is None


def _shapes(axis: Axis, path: KeyPath) -> bool:
    """Whether it depends on an axis if there is a key at `path`: the axis sets a kind or a mapping above it."""
    above = axis.path[:-1] if axis.path[-1] == "kind" else axis.path
    return len(path) > len(above) and path[: len(above)] == above and path != axis.path


def _number(value: Any, key: keys.Key) -> tuple[float | None, str]:
    """A value as a number and its unit; None for what is no number."""
    quantity = key.option.quantity if key.option is not None else None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None, ""
    try:
        if quantity is not None:
            number, unit = parse(value, quantity.unit), "" if quantity.unit == "1" else quantity.unit
        else:
            number, unit = float(value) if isinstance(value, (int, float)) else math.nan, ""
    except (ValueError, OverflowError):
        return None, ""
    return (number, unit) if math.isfinite(number) else (None, "")


def text_of(value: Any) -> str:
    """A value as a scenario would write it, in flow style."""
    if isinstance(value, dict):
        if list(value) == ["kind"]:
            return text_of(value["kind"])
        return f"{{{', '.join(f'{name}: {text_of(inner)}' for name, inner in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(text_of, value))}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return value if isinstance(value, str) else repr(value)
