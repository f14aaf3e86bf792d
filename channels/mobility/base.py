"""What a mobility model must do, and the paths that it gives.

Knows no model and no radio. A path is a function of time that can be asked in any order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, Ints, clients_array
from channels.mobility.placement import Placement
from channels.streams import Stream


class Trajectory(Protocol):
    """The paths of K clients. Times [T] in s, at least 0; `rows` picks some of the K by position."""

    @property
    def speed_mps(self) -> float | Floats:
        """Mean speed in m/s while a client moves, of each [K] or one number for all: the Doppler shift follows it."""
        ...

    def position_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        """Positions [K, T, 2] in m."""
        ...

    def distance_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        """Horizontal distances from the base station [K, T] in m."""
        ...

    def travelled_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        """Lengths of path covered since time 0, [K, T] in m."""
        ...


class Mobility(Protocol):
    """What a mobility model must do.

    1. It is a frozen dataclass derived from `Options`; its first field is ``kind``.
    2. ``trajectory(stream, placement, clients, count)`` gives the `Trajectory` of the clients, of `count` in
       all. It starts where the placement puts them, from the stream's child ``placement``, and draws what it
       needs from the child ``mobility``: two mobility models start from the same places. A model that brings
       places of its own says so by ``brings_places = True``.
    3. A position depends only on (stream, client, time), bit for bit, and not on the other clients or on
       earlier questions; a cache is allowed, a state is not.
    4. The docstring is a model card. 5. It stands in `MOBILITY` under its kind.
    6. ``is_still`` is true where no client ever moves. 7. A model that has paths for some clients only, numbered
       from 0, has a method ``most_clients()`` that says for how many.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    @property
    def is_still(self) -> bool:
        """Whether no client ever moves."""
        ...

    def trajectory(self, stream: Stream, placement: Placement, clients: ArrayLike, count: int) -> Trajectory:
        """The paths of the clients."""
        ...


class Placed(ABC):
    """Base of paths: the distance from the base station follows from the position."""

    @abstractmethod
    def position_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        """Positions [K, T, 2] in m."""

    def distance_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        """Horizontal distances from the base station [K, T] in m."""
        position = self.position_m(times_s, rows)
        return np.hypot(position[..., 0], position[..., 1])


def chosen_rows(rows: ArrayLike | None, count: int) -> Ints:
    """The positions of the clients asked for: all of `count` unless `rows` names some."""
    return np.arange(count) if rows is None else clients_array(rows)


def last_at_most(table: Floats, row: Ints, value: Floats) -> Ints:
    """Index of the last entry of ``table[row]`` (ascending) that is not above `value`, or 0."""
    width = table.shape[1]
    return np.asarray(last_before(table.reshape(-1), value, row * width, (row + 1) * width) - row * width)


def last_before(table: Floats, value: Floats, begin: Ints, end: Ints) -> Ints:
    """Index of the last of ``table[begin:end]`` (ascending, not empty) that is not above `value`, or `begin`."""
    low, high = (np.broadcast_to(bound, value.shape) for bound in (begin, end))  # the upper is not itself an answer
    for _ in range(int((high - low).max(initial=0)).bit_length()):
        middle = (low + high) >> 1
        below = table[middle] <= value
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(low)
