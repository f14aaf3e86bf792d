"""Clients that stand, or move at one speed: straight on, or from waypoint to waypoint.

Knows placements and no radio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, Ints, times_array
from channels.mobility.base import Placed, Trajectory, chosen_rows, last_at_most
from channels.mobility.placement import Placement, checked_clients, polar
from channels.options import OptionError, Options
from channels.streams import Stream
from channels.units import Speed

_LEGS = 32  # legs of a random waypoint path made at a time


@dataclass(frozen=True)
class Static(Options):
    """Clients stay where they are placed.

    Formula
    -------
    position(t) = start.

    Validity
    --------
    Sensors, desks, parked vehicles. Shadowing then keeps its first value, and ``rayleigh`` fading without a stated
    Doppler shift keeps one gain.

    Source
    ------
    own: the reference case.
    """

    kind: Literal["static"] = "static"

    @property
    def is_still(self) -> bool:
        """Always."""
        return True

    def trajectory(self, stream: Stream, placement: Placement, clients: ArrayLike, count: int) -> Trajectory:
        """Paths that never leave their first point."""
        start = placement.start_m(stream.child("placement"), clients, count)
        return _Straight(start, np.zeros_like(start), 0.0)


@dataclass(frozen=True, kw_only=True)
class ConstantVelocity(Options):
    """Clients move straight on for ever, each in a direction of its own, out of the cell if need be.

    Formula
    -------
    position(t) = start + speed t (cos h, sin h), heading h uniform over a turn, drawn once for each client.

    Validity
    --------
    Runs that are short against the size of the cell over the speed. In longer ones clients leave the region of their
    placement, and their links become ever weaker.

    Source
    ------
    own: uniform motion.

    Options
    -------
    speed_mps : Speed, the same for all: 3 km/h on foot, 30 to 120 km/h in a vehicle. Larger: faster fading and
        shadowing.
    """

    kind: Literal["constant_velocity"] = "constant_velocity"
    speed_mps: Speed

    @property
    def is_still(self) -> bool:
        """At speed 0."""
        return self.speed_mps == 0.0

    def trajectory(self, stream: Stream, placement: Placement, clients: ArrayLike, count: int) -> Trajectory:
        """Straight paths."""
        start = placement.start_m(stream.child("placement"), clients, count)
        heading = stream.child("mobility").uniform(checked_clients(clients, count), 0)
        return _Straight(start, polar(np.ones_like(heading), heading), self.speed_mps)


@dataclass(frozen=True, kw_only=True)
class RandomWaypoint(Options):
    """Clients walk straight from waypoint to waypoint at one speed, without pause.

    Formula
    -------
    On leg j, between the waypoints W_j and W_(j+1) with path lengths L_j and L_(j+1) up to them::

        position(t) = (1 - s) W_j + s W_(j+1),    s = (speed t - L_j) / (L_(j+1) - L_j)

    W_0 is the client's placement; each later waypoint is drawn by (client, leg) as the placement draws: uniform over
    the area of a disc or ring, uniform along a line.

    Validity
    --------
    The speed is constant, so it does not decay with time, but clients gather towards the middle of the region: at
    time 0 they are spread as placed, later more densely near the centre. A leg is straight: in a ring it may cross
    the inner circle, in a disc and on a line clients never leave the region. A region that is a single point is an
    error unless the speed is 0.

    Source
    ------
    Johnson and Maltz 1996, *Mobile Computing*, chapter 5; the gathering: Bettstetter, Resta and Santi 2003,
    doi:10.1109/TMC.2003.1233531.

    Options
    -------
    speed_mps : Speed, the same for all: 3 km/h on foot, 30 to 120 km/h in a vehicle. 0 leaves clients where they are
        placed; larger: faster fading and shadowing.
    """

    kind: Literal["random_waypoint"] = "random_waypoint"
    speed_mps: Speed

    @property
    def is_still(self) -> bool:
        """At speed 0."""
        return self.speed_mps == 0.0

    def trajectory(self, stream: Stream, placement: Placement, clients: ArrayLike, count: int) -> Trajectory:
        """Paths made of legs; OptionError where the region is a single point and the speed is not 0."""
        start = placement.start_m(stream.child("placement"), clients, count)
        if self.speed_mps == 0.0:
            return _Straight(start, np.zeros_like(start), 0.0)
        if placement.is_point:
            raise OptionError("RandomWaypoint", "speed_mps", "clients cannot move: the placement is a single point")
        rows = checked_clients(clients, count)
        return _Waypoints(stream.child("mobility"), placement, rows, start, self.speed_mps)


class _Straight(Placed):
    """Straight paths from `start` [K, 2] along the unit vectors `direction` [K, 2]."""

    def __init__(self, start: Floats, direction: Floats, speed_mps: float) -> None:
        self._start, self._direction, self.speed_mps = start, direction, float(speed_mps)

    def position_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        chosen = chosen_rows(rows, len(self._start))
        path = self.speed_mps * times_array(times_s)[None, :, None]
        return np.asarray(self._start[chosen, None, :] + path * self._direction[chosen, None, :])

    def travelled_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        return _travelled(self.speed_mps, times_s, chosen_rows(rows, len(self._start)).size)


class _Waypoints(Placed):
    """Paths of legs; only the path length up to each waypoint is kept, waypoints are drawn again by key."""

    def __init__(self, stream: Stream, placement: Placement, clients: Ints, start: Floats, speed_mps: float) -> None:
        self._stream, self._placement, self._clients, self._start = stream, placement, clients, start
        self.speed_mps = float(speed_mps)
        self._reached = np.zeros((clients.size, 1))  # [K, legs + 1]: length of path at each waypoint

    def _waypoint(self, rows: Ints, number: Ints) -> Floats:
        """Waypoint `number` of each client in `rows`; number 0 is the start."""
        clients = self._clients[rows]
        point = self._placement.point_m(
            self._stream.uniform(clients, 2 * number), self._stream.uniform(clients, 2 * number + 1)
        )
        return np.asarray(np.where((number == 0)[..., None], self._start[rows], point))

    def _extend(self, rows: Ints, travelled: Floats) -> None:
        if not rows.size or not travelled.size:
            return
        furthest = travelled.max()
        everyone = np.arange(self._clients.size)[:, None]
        while self._reached[rows, -1].min() <= furthest:
            done = self._reached.shape[1] - 1
            corner = self._waypoint(everyone, np.arange(done, done + _LEGS + 1)[None, :])
            step = np.diff(corner, axis=1)
            length = np.hypot(step[..., 0], step[..., 1])
            # accumulate adds one leg after another, so the sums do not depend on how often the path was
            # extended
            total = np.add.accumulate(np.concatenate([self._reached[:, -1:], length], axis=1), axis=1)
            self._reached = np.concatenate([self._reached, total[:, 1:]], axis=1)

    def position_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        chosen = chosen_rows(rows, self._clients.size)
        travelled = _travelled(self.speed_mps, times_s, chosen.size)
        self._extend(chosen, travelled)
        row = np.broadcast_to(chosen[:, None], travelled.shape)
        leg = last_at_most(self._reached, row, travelled)
        begin, end = self._reached[row, leg], self._reached[row, leg + 1]
        share = ((travelled - begin) / (end - begin))[..., None]
        here, there = self._waypoint(row, leg), self._waypoint(row, leg + 1)
        return np.asarray((1.0 - share) * here + share * there)

    def travelled_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        return _travelled(self.speed_mps, times_s, chosen_rows(rows, self._clients.size).size)


def _travelled(speed_mps: float, times_s: ArrayLike, count: int) -> Floats:
    path = speed_mps * times_array(times_s)
    return np.repeat(path[None, :], count, axis=0)
