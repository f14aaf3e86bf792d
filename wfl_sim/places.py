"""Where a value was written: places in the marks of a document, of the file as well as of a command line.

Knows neither keys nor arms but by name. In the file a place is the path that leads there. What the command line sets
has places of its own, which begin with a zero byte, as no key of a file does: ``\\0NUMBER\\0ARM``, where ``ARM`` is
``arms.NAME.`` for an override of one arm and else empty; a value of an axis has its number before that of the axis.
"""

from __future__ import annotations

from enum import IntEnum

from wfl_sim.yamlreader import KeyPath

_LINE = "\0"


class Standing(IntEnum):
    """Who has written a value, in the order in which values are laid over each other: the last one counts."""

    FILE = 0
    ARM = 1
    GRID = 2
    LINE = 3
    LINE_FOR_ARM = 4


def override(number: int, arm: str | None = None) -> KeyPath:
    """The place of an override's value, by its number among all; for all arms, or for one."""
    return (f"{_LINE}{number}{_LINE}{'' if arm is None else f'arms.{arm}.'}",)


def axis(number: int) -> KeyPath:
    """The place of an axis of the command line."""
    return (f"{_LINE}axis {number}{_LINE}",)


def value(of_axis: KeyPath, number: int) -> KeyPath:
    """The place of one of an axis's values."""
    if of_axis[0].startswith(_LINE):
        return (f"{_LINE}{number}{of_axis[0]}",)
    return (*of_axis, str(number))


def standing(place: KeyPath) -> Standing:
    """Who has written what stands at a place."""
    if place[0].startswith(_LINE):
        return Standing.LINE_FOR_ARM if _arm(place) else Standing.LINE
    return {"arms": Standing.ARM, "grid": Standing.GRID}.get(place[0], Standing.FILE)


def called(place: KeyPath, path: KeyPath) -> str:
    """A key as the user would write it who has set `path` at this place: below the arm, if it stands there."""
    return _arm(place) + ".".join(path) if place[0].startswith(_LINE) else ".".join(place)


def _arm(place: KeyPath) -> str:
    """``arms.NAME.``, if something on the command line is for one arm."""
    return place[0].rpartition(_LINE)[2]
