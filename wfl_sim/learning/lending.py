"""Large arrays for other processes: each is copied once into memory that these can read, however often it is needed.

Knows arrays and processes; neither what is computed nor who asks. Where the system has no such memory (it takes Linux),
arrays go as they are.
"""

from __future__ import annotations

import itertools
import os
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wfl_sim.contracts import Params

LARGE_BYTES = 2**20  # of an array that is worth a memory of its own


@dataclass(frozen=True)
class Lent:
    """Where to find an array as long as it lives; no other ever has its number."""

    number: int
    path: str
    shape: tuple[int, ...]
    kind: str


class Lender:
    """Gives large arrays away by their place: to whom, does not matter. Nobody may write to an array after that."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._known: dict[int, tuple[weakref.ref[NDArray[Any]], Lent]] = {}  # by identity

    def lent(self, params: Params) -> dict[str, Any]:
        """The same, with places for what is large. Its arrays have to live until they have been taken."""
        return {name: self._place(value) if value.nbytes >= LARGE_BYTES else value for name, value in params.items()}

    def _place(self, value: NDArray[Any]) -> Any:
        known = self._known.get(id(value))
        if known is not None and known[0]() is value:
            return known[1]
        try:
            file = os.memfd_create("wfl-sim")
        except (AttributeError, OSError):
            return value
        weakref.finalize(value, os.close, file)
        os.truncate(file, value.nbytes)
        np.memmap(f"/proc/self/fd/{file}", value.dtype, "r+", shape=value.shape)[...] = value
        place = Lent(next(self._numbers), f"/proc/{os.getpid()}/fd/{file}", value.shape, value.dtype.str)
        self._known = {key: other for key, other in self._known.items() if other[0]() is not None}
        self._known[id(value)] = weakref.ref(value), place
        return place


class Borrower:
    """Takes what a `Lender` gave, in the same process or another one; what was taken last stays at hand."""

    def __init__(self) -> None:
        self._held: dict[int, NDArray[Any]] = {}

    def taken(self, each: Sequence[Mapping[str, Any]]) -> list[Params]:
        """The arrays themselves; those that come back are the same memory."""
        held: dict[int, NDArray[Any]] = {}

        def array(value: Any) -> NDArray[Any]:
            if not isinstance(value, Lent):
                return np.asarray(value)
            if value.number not in held:
                before = self._held.get(value.number)
                held[value.number] = _mapped(value) if before is None else before
            return held[value.number]

        found = [{name: array(value) for name, value in one.items()} for one in each]
        self._held = held
        return found


def _mapped(place: Lent) -> NDArray[Any]:
    return np.memmap(place.path, np.dtype(place.kind), "c", shape=place.shape)
