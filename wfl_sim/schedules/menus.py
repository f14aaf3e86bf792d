"""The menus of many clients as arrays, and what their points cost and lose: what schedules choose from.

Sees numbers on the air and error estimates; not what a kept fraction means, nor what is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wfl_sim.contracts import Air, FloatArray, PayloadMenu, Point

Surrogate = Literal["contraction", "variance", "tail"]


class Vertices(NamedTuple):
    """Errors that are straight lines between points; arrays [clients, points].

    Bits rise and errors fall, ever more slowly; a client with fewer points has its last one several times.
    """

    bits: FloatArray
    error: FloatArray

    def falls(self) -> FloatArray:
        """How much error a bit saves between one point and the next [clients, points - 1]; 0 between equal ones."""
        more = np.diff(self.bits, axis=1)
        return np.asarray(-np.diff(self.error, axis=1) / np.where(more > 0, more, 1.0))

    def errors(self, bits: FloatArray) -> FloatArray:
        """Errors at bits on the air [..., clients]."""
        missing = np.maximum(np.diff(self.bits, axis=1) - np.maximum(bits[..., None] - self.bits[:, :-1], 0.0), 0.0)
        return np.asarray(self.error[:, -1] + (missing * self.falls()).sum(axis=-1))

    def place(self, bits: FloatArray) -> NDArray[np.int64]:
        """The last points [clients] that need no more than these bits [clients]; the first if none does."""
        return np.asarray(np.maximum((self.bits <= bits[:, None]).sum(axis=1) - 1, 0))

    def near(self, place: NDArray[np.int64], beside: int) -> Vertices:
        """Those of `2 beside + 1` neighbours about one place a client, held within the points that there are."""
        last = self.bits.shape[1] - 1
        first = np.clip(place - beside, 0, max(last - 2 * beside, 0))
        taken = np.minimum(first[:, None] + np.arange(min(2 * beside, last) + 1), last)
        rows = np.arange(place.size)[:, None]
        return Vertices(self.bits[rows, taken], self.error[rows, taken])


class Menus:
    """The menus of some clients, as arrays [clients, points]: bits on the air, kept fractions and errors.

    Shorter menus are filled up with points of infinite bits; `menus` holds the menus themselves, of which the first
    `skipped` points keep too little to be sent.
    """

    def __init__(self, air: Air, menus: Sequence[PayloadMenu], kept_fraction_min: float) -> None:
        rows: dict[int, int] = {}  # by identity: clients may share a menu
        row = np.array([rows.setdefault(id(menu), len(rows)) for menu in menus])
        distinct = [menus[place] for place in np.unique(row, return_index=True)[1]]
        size = np.array([len(menu.points) for menu in distinct])
        bits, kept, error = (np.concatenate(column) for column in zip(*(m.columns for m in distinct), strict=True))
        begin = np.cumsum(size) - size
        skipped = np.minimum(np.add.reduceat(kept < kept_fraction_min - 1e-12, begin, dtype=np.int64), size - 1)
        counts = size - skipped
        sent = np.arange(bits.size) >= np.repeat(begin + skipped, size)
        inside = np.arange(counts.max()) < counts[:, None]
        columns = np.full((3, *inside.shape), np.inf)
        columns[1], columns[2] = 1.0, 0.0
        for column, values in zip(columns, (bits, kept, error), strict=True):
            column[inside] = values[sent]
        self.menus = list(menus)
        self.skipped, self.last = skipped[row], (counts - 1)[row]
        self.wire_bits = _wire_bits(air, columns[0])[row]
        self.kept, self.error = columns[1][row], columns[2][row]

    def of(self, chosen: NDArray[np.int64]) -> Menus:
        """Those of some of the clients."""
        part = copy(self)
        part.menus = [self.menus[place] for place in chosen]
        for name in ("skipped", "last", "wire_bits", "kept", "error"):
            setattr(part, name, getattr(self, name)[chosen])
        return part

    def points(self, place: NDArray[np.int64]) -> list[Point]:
        """One point a client."""
        numbers = (self.skipped + place).tolist()
        return [menu.points[number] for menu, number in zip(self.menus, numbers, strict=True)]

    def lines(self) -> tuple[FloatArray, FloatArray]:
        """The menus as straight lines between their ends: bits = fixed + rho x scaled."""
        rows = np.arange(self.last.size)
        first, last = self.kept[:, 0], self.kept[rows, self.last]
        rise = self.wire_bits[rows, self.last] - self.wire_bits[:, 0]
        scaled = np.where(last > first, rise / np.where(last > first, last - first, 1.0), 1.0)
        return self.wire_bits[:, 0] - first * scaled, scaled

    def vertices(self) -> Vertices:
        """The lower convex hull of errors over bits: no mixture of two points is below it."""
        ends = np.arange(self.last.size), self.last
        full = np.isfinite(self.wire_bits)
        bits = np.where(full, self.wire_bits, self.wire_bits[ends][:, None])
        error = np.where(full, self.error, self.error[ends][:, None])
        return _hulls(bits, np.minimum.accumulate(error, axis=1))

    def largest(self, wire_bits: FloatArray) -> NDArray[np.int64]:
        """The place of the largest point that needs no more than so many bits, client by client; 0 if none does."""
        fitting = (self.wire_bits <= wire_bits[:, None]).sum(axis=1, dtype=np.int64)
        return np.asarray(np.maximum(fitting - 1, 0))

    def at(self, place: NDArray[np.int64]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Bits on the air, kept fractions and errors of one point a client; infinite bits behind the last point."""
        rows, held = np.arange(place.size), np.minimum(place, self.last)
        return (
            np.where(place > self.last, np.inf, self.wire_bits[rows, held]),
            self.kept[rows, held],
            self.error[rows, held],
        )


def _wire_bits(air: Air, bits: FloatArray) -> FloatArray:
    """`Air.wire_bits` of many payloads at once; infinite bits stay so."""
    packets = np.ceil(np.where(np.isfinite(bits), bits, 0.0) / (air.packet_bits - air.header_bits))
    return np.asarray(bits + packets * air.header_bits)


def _hulls(bits: FloatArray, error: FloatArray) -> Vertices:
    """Lower convex hulls, row by row: from each point on to the one in whose direction the error falls fastest.

    Steps to points of no more bits are no steps; where nothing falls any more, the last point follows, so that all can
    be sent.
    """
    rows, last = np.arange(bits.shape[0]), bits.shape[1] - 1
    # of points of equal bits the last is the best
    at = np.maximum((bits <= bits[:, :1]).sum(axis=1) - 1, 0)
    places = [at]
    while (at < last).any() and len(places) <= last:
        more = bits - bits[rows, at][:, None]
        fall = np.where(more > 0, (error[rows, at][:, None] - error) / np.where(more > 0, more, 1.0), -np.inf)
        steepest = last - np.argmax(fall[:, ::-1], axis=1)  # of equals the farthest
        at = np.where(np.isfinite(fall.max(axis=1)), steepest, last)
        places.append(at)
    taken = np.stack(places, axis=1)
    if taken.shape[1] == 1:
        taken = np.repeat(taken, 2, axis=1)
    return Vertices(bits[rows[:, None], taken], error[rows[:, None], taken])
