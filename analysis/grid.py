"""Where each arm stands in a study: its group, its point of a grid; axes with their units, and an even choice of few.

Pure functions of `Traces`; does not know how a point is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.traces import Traces
from channels.units import UNITS, rendered

SI_PREFIXES = ("G", "M", "k", "", "m", "u", "n")


class Place(NamedTuple):
    """The arm in the file from which an arm of a grid was made, and its point in words; "" without a grid."""

    group: str
    point: str


class Scale(NamedTuple):
    """By what SI values are divided to be shown, and the unit they then have."""

    divisor: float
    unit: str


def places(traces: Traces) -> dict[str, Place]:
    """Of each arm, in the order of the study: its group, and its point such as ``1 MHz, rank 8``."""
    words = in_words(traces, axes(traces))
    cells = traces.cells.drop_duplicates("arm")
    return {str(arm): Place(str(group), words[arm]) for arm, group in zip(cells["arm"], cells["group"], strict=True)}


def in_words(traces: Traces, keys: Sequence[str]) -> dict[str, str]:
    """Of each arm, its values of some axes in words: ``1 MHz, rank 8``; with their names where two are of one unit."""
    units = [_unit(traces, key) for key in keys]
    named = len(set(units)) < len(units)
    return {
        str(cell["arm"]): ", ".join(
            _said(key, cell[key], unit, named=named) for key, unit in zip(keys, units, strict=True)
        )
        for cell in traces.cells.drop_duplicates("arm").to_dict("records")
    }


def axes(traces: Traces) -> tuple[str, ...]:
    """The keys of the grid that have more than one value."""
    return tuple(key for key in traces.axes if traces.cells[key].nunique(dropna=False) > 1)


def groups(traces: Traces) -> list[str]:
    """The groups, in the order of the study."""
    return [str(group) for group in traces.cells["group"].unique()]


def points(traces: Traces) -> list[str]:
    """The points of the grid in words, in the order of the study; one that is empty without a grid."""
    return list(dict.fromkeys(place.point for place in places(traces).values()))


def some_points(traces: Traces, most: int) -> list[str]:
    """At most `most` points, at even distances, the first and the last among them."""
    return evenly(points(traces), most)


def arms_at(traces: Traces, wanted: Sequence[str]) -> list[str]:
    """The arms at some points, in the order of the study."""
    return [arm for arm, place in places(traces).items() if place.point in wanted]


def evenly(items: Sequence[str], most: int) -> list[str]:
    """All items, or `most` of them at even distances with both ends."""
    if len(items) <= most:
        return list(items)
    return [items[place] for place in np.unique(np.linspace(0, len(items) - 1, most).round().astype(int))]


def is_numeric(values: pd.Series) -> bool:
    """Whether every value of an axis is a number, so that it has a place on a line."""
    return bool(values.map(lambda value: isinstance(value, (int, float, np.number)) and np.isfinite(value)).all())


def scale_of(unit: str, largest: float) -> Scale:
    """The unit with an SI prefix in which `largest` has 1 to 3 digits before its point; `unit` where none fits."""
    known = UNITS.get(unit, {})
    for prefix in SI_PREFIXES:
        factor = float(known[prefix + unit]) if prefix + unit in known else 0.0
        if 0.0 < factor <= abs(largest):
            return Scale(factor, prefix + unit)
    return Scale(1.0, "number" if unit in ("", "1") else unit)


def _unit(traces: Traces, key: str) -> str:
    return traces.units.get(("cells", key), "")


def _said(key: str, value: Any, unit: str, *, named: bool) -> str:
    name = key.rpartition(".")[2]
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return f"no {name}"
    if isinstance(value, str):
        return f"{name} {value}"
    if unit in ("", "1") or unit not in UNITS:
        return f"{name} {value:g}"
    text = rendered(float(value), unit)
    return f"{name} {text}" if named else text
