"""What a check of the radio models is, how it is run, and how some are picked by name.

Knows no model; a measure is a function without arguments.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Tolerance:
    """How far a measured value may lie from the expected one, the limit included.

    `amount` is in the unit of the value, or a share of the expected value where `relative` is true. An amount of 0
    asks for the expected value itself.
    """

    amount: float
    relative: bool = False
    unit: str = ""

    def holds(self, measured: float, expected: float) -> bool:
        """Whether `measured` is near enough; never for NaN."""
        return abs(measured - expected) <= self.amount * (abs(expected) if self.relative else 1.0)

    def __str__(self) -> str:
        if not self.amount:
            return "exact"
        unit = "%" if self.relative else self.unit
        return f"±{100.0 * self.amount if self.relative else self.amount:g} {unit}".rstrip()


KS_DISTANCE = Tolerance(0.0062)
"""Of the distribution of 1e5 independent samples from their law: a right model is further off once in 1000 streams."""


@dataclass(frozen=True)
class Check:
    """One figure of a model beside what theory or a published table says.

    Parameters
    ----------
    name : str
        Area, model and figure, joined by dots: ``fading.rayleigh.outage``. Part of it up to a dot names a group.
    measure : callable
        Computes the figure; without arguments, and without state that a second call would see.
    expected : float
        From a source other than the code that is measured.
    tolerance : Tolerance
    why : str
        What is measured at which size, where the expected value comes from, and why the tolerance is what it is.
    """

    name: str
    measure: Callable[[], float]
    expected: float
    tolerance: Tolerance
    why: str

    @property
    def area(self) -> str:
        """The first part of the name."""
        return self.name.partition(".")[0]

    @property
    def is_deviation(self) -> bool:
        """Whether the figure says how far off something is at most, and has no other value to be compared with."""
        return self.expected == 0.0 and self.tolerance.amount > 0.0


@dataclass(frozen=True)
class Result:
    """What a check gave. `measured` is NaN where the measure itself failed; `error` then says how."""

    check: Check
    measured: float
    seconds: float
    error: str = ""

    @property
    def passed(self) -> bool:
        """The verdict."""
        return self.check.tolerance.holds(self.measured, self.check.expected)


class SelectionError(ValueError):
    """A name that no check has. ``args`` = (name, message)."""

    def __str__(self) -> str:
        return str(self.args[1])


def run(checks: Iterable[Check]) -> Iterator[Result]:
    """Run checks one by one, in order; each result comes as soon as it is there.

    Checks of one simulation share it: the first of them takes its time.
    """
    for check in checks:
        begin, error = time.perf_counter(), ""
        try:
            measured = float(check.measure())
        except Exception as problem:  # a model that fails altogether must not hide what the others do
            measured, error = math.nan, f"{type(problem).__name__}: {problem}"
        yield Result(check, measured, time.perf_counter() - begin, error)


def select(checks: Sequence[Check], names: Iterable[str]) -> tuple[Check, ...]:
    """Those of `checks` that have one of the names or belong to one of the groups, in their order.

    ``fading`` and ``fading.rayleigh`` are groups of ``fading.rayleigh.outage``. SelectionError for a name that nothing
    has.
    """
    chosen: set[str] = set()
    for name in names:
        found = {check.name for check in checks if f"{check.name}.".startswith(f"{name}.")}
        if not found:
            parts = [check.name.split(".") for check in checks]
            known = sorted({".".join(part[:n]) for part in parts for n in range(1, len(part) + 1)})
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            areas = ", ".join(dict.fromkeys(check.area for check in checks))
            raise SelectionError(name, f"no check or group is called {name!r}; {hint}groups: {areas}")
        chosen |= found
    return tuple(check for check in checks if check.name in chosen)


def largest_deviation(measured: ArrayLike, expected: ArrayLike, *, relative: bool = False) -> float:
    """Largest distance of any of `measured` from its `expected`, over the latter if `relative`."""
    got, wanted = np.asarray(measured, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    distance = np.abs(got - wanted) / (np.abs(wanted) if relative else 1.0)
    return float(np.max(distance))
