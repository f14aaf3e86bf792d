"""Where clients are: a placement at time 0 and a path from there on, around a base station at the origin.

Knows no radio. Positions in m in the plane; a trajectory is a function of time that can be asked in any
order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, Ints, clients_array, times_array
from channels.options import OptionError, Options
from channels.streams import Stream
from channels.units import Quantity, Speed, render

_LEGS = 32  # legs of a random waypoint path made at a time


class Placement(Protocol):
    """What a placement must do.

    1. It is a frozen dataclass derived from `Options`; its first field is ``kind``.
    2. ``start_m(stream, clients, count)`` gives the positions [K, 2] at time 0 of the clients, of `count` in
       all.
    3. ``point_m(u, v)`` maps two uniform numbers in (0, 1) to a point [..., 2] of the region: waypoints come
       from it.
    4. ``is_point`` is true where the region is a single point, so that no path can be laid in it.
    5. It stands in `PLACEMENT` under its kind.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    @property
    def is_point(self) -> bool:
        """Whether the region is one point."""
        ...

    def start_m(self, stream: Stream, clients: ArrayLike, count: int) -> Floats:
        """Positions [K, 2] in m at time 0."""
        ...

    def point_m(self, u: Floats, v: Floats) -> Floats:
        """Points [..., 2] in m of the region."""
        ...


class Trajectory(Protocol):
    """The paths of K clients. Times [T] in s, at least 0; `rows` picks some of the K by position."""

    @property
    def speed_mps(self) -> float:
        """Speed of each client in m/s, constant."""
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
       needs from the child ``mobility``: two mobility models start from the same places.
    3. A position depends only on (stream, client, time), bit for bit, and not on the other clients or on
       earlier questions; a cache is allowed, a state is not.
    4. The docstring is a model card. 5. It stands in `MOBILITY` under its kind.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    def trajectory(self, stream: Stream, placement: Placement, clients: ArrayLike, count: int) -> Trajectory:
        """The paths of the clients."""
        ...


@dataclass(frozen=True, kw_only=True)
class Disc(Options):
    """Clients uniform over the area of a disc, or of a ring, around the base station.

    Formula
    -------
    distance = sqrt(from^2 + u (to^2 - from^2)), direction = 2 pi v, with u, v uniform in (0, 1) for each client.

    Validity
    --------
    A cell with the base station in the middle and clients anywhere with equal chance.

    Source
    ------
    own: P(distance <= d) = (d^2 - from^2) / (to^2 - from^2), the share of the area, solved for d.

    Options
    -------
    from_m, to_m : Inner and outer radius: 0 inside makes a disc, more a ring. Larger: weaker links.
    """

    kind: Literal["disc"] = "disc"
    from_m: Annotated[float, Quantity("m", ge=0, le=1e8)] = 0.0
    to_m: Annotated[float, Quantity("m", ge=1e-3, le=1e8, example="500 m")]

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_order(self.from_m, self.to_m, "Disc")

    @property
    def is_point(self) -> bool:
        """Never: the outer radius is above 0."""
        return False

    def start_m(self, stream: Stream, clients: ArrayLike, count: int) -> Floats:
        """Positions [K, 2] in m; `count` does not matter here."""
        rows = _checked_clients(clients, count)
        return self.point_m(stream.uniform(rows, 0), stream.uniform(rows, 1))

    def point_m(self, u: Floats, v: Floats) -> Floats:
        """Points [..., 2] of the ring for uniform numbers u (distance) and v (direction)."""
        inner, outer = self.from_m**2, self.to_m**2
        return _polar(np.clip(np.sqrt(inner + u * (outer - inner)), self.from_m, self.to_m), v)


@dataclass(frozen=True, kw_only=True)
class Line(Options):
    """Clients on a straight road away from the base station, at evenly spaced distances and not at random.

    Formula
    -------
    Client k of n, k = 0 ... n - 1, stands at from + (to - from) k / (n - 1); a single client at `from`.

    Validity
    --------
    For studies that want links of known, graded quality. Here, unlike elsewhere, the number of clients moves them.

    Source
    ------
    own: equal steps.

    Options
    -------
    from_m, to_m : Distance of the first and of the last client from the base station; equal, all stand in one place.
    """

    kind: Literal["line"] = "line"
    from_m: Annotated[float, Quantity("m", ge=0, le=1e8)] = 0.0
    to_m: Annotated[float, Quantity("m", ge=1e-3, le=1e8, example="500 m")]

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_order(self.from_m, self.to_m, "Line")

    @property
    def is_point(self) -> bool:
        """Whether both ends are the same."""
        return self.from_m == self.to_m

    def start_m(self, stream: Stream, clients: ArrayLike, count: int) -> Floats:
        """Positions [K, 2] in m of clients k of `count`; draws nothing."""
        share = _checked_clients(clients, count) / max(1, count - 1)
        return self.point_m(share, share)

    def point_m(self, u: Floats, v: Floats) -> Floats:
        """Points [..., 2] of the road for a uniform number u; v has no effect."""
        distance = np.clip(self.from_m + u * (self.to_m - self.from_m), self.from_m, self.to_m)
        return np.stack([distance, np.zeros_like(distance)], axis=-1)


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

    def trajectory(self, stream: Stream, placement: Placement, clients: ArrayLike, count: int) -> Trajectory:
        """Straight paths."""
        start = placement.start_m(stream.child("placement"), clients, count)
        heading = stream.child("mobility").uniform(_checked_clients(clients, count), 0)
        return _Straight(start, _polar(np.ones_like(heading), heading), self.speed_mps)


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

    def trajectory(self, stream: Stream, placement: Placement, clients: ArrayLike, count: int) -> Trajectory:
        """Paths made of legs; OptionError where the region is a single point and the speed is not 0."""
        start = placement.start_m(stream.child("placement"), clients, count)
        if self.speed_mps == 0.0:
            return _Straight(start, np.zeros_like(start), 0.0)
        if placement.is_point:
            raise OptionError("RandomWaypoint", "speed_mps", "clients cannot move: the placement is a single point")
        rows = _checked_clients(clients, count)
        return _Waypoints(stream.child("mobility"), placement, rows, start, self.speed_mps)


class _Straight:
    """Straight paths from `start` [K, 2] along the unit vectors `direction` [K, 2]."""

    def __init__(self, start: Floats, direction: Floats, speed_mps: float) -> None:
        self._start, self._direction, self.speed_mps = start, direction, float(speed_mps)

    def position_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        chosen = _chosen(rows, len(self._start))
        path = self.speed_mps * times_array(times_s)[None, :, None]
        return np.asarray(self._start[chosen, None, :] + path * self._direction[chosen, None, :])

    def distance_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        position = self.position_m(times_s, rows)
        return np.hypot(position[..., 0], position[..., 1])

    def travelled_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        return _travelled(self.speed_mps, times_s, _chosen(rows, len(self._start)).size)


class _Waypoints:
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
        chosen = _chosen(rows, self._clients.size)
        travelled = _travelled(self.speed_mps, times_s, chosen.size)
        self._extend(chosen, travelled)
        row = np.broadcast_to(chosen[:, None], travelled.shape)
        leg = _last_at_most(self._reached, row, travelled)
        begin, end = self._reached[row, leg], self._reached[row, leg + 1]
        share = ((travelled - begin) / (end - begin))[..., None]
        here, there = self._waypoint(row, leg), self._waypoint(row, leg + 1)
        return np.asarray((1.0 - share) * here + share * there)

    def distance_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        position = self.position_m(times_s, rows)
        return np.hypot(position[..., 0], position[..., 1])

    def travelled_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        return _travelled(self.speed_mps, times_s, _chosen(rows, self._clients.size).size)


def _last_at_most(table: Floats, row: Ints, value: Floats) -> Ints:
    """Index of the last entry of ``table[row]`` (ascending) that is not above `value`, by bisection."""
    low = np.zeros(value.shape, dtype=np.int64)
    high = np.full(value.shape, table.shape[1] - 1)
    for _ in range(int(table.shape[1]).bit_length()):
        middle = (low + high) >> 1
        below = table[row, middle] <= value
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return low


def _travelled(speed_mps: float, times_s: ArrayLike, count: int) -> Floats:
    path = speed_mps * times_array(times_s)
    return np.repeat(path[None, :], count, axis=0)


def _polar(distance: Floats, turns: Floats) -> Floats:
    angle = 2.0 * np.pi * turns
    return np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=-1)


def _chosen(rows: ArrayLike | None, count: int) -> Ints:
    return np.arange(count) if rows is None else clients_array(rows)


def _checked_clients(clients: ArrayLike, count: int) -> Ints:
    rows = clients_array(clients)
    if rows.size and rows.max() >= count:
        raise ValueError(f"client {rows.max()} is not one of {count} clients, numbered from 0")
    return rows


def _check_order(from_m: float, to_m: float, model: str) -> None:
    if from_m > to_m:
        raise OptionError(model, "to_m", f"must be at least `from` ({render(from_m, 'm')}); got {render(to_m, 'm')}")


PLACEMENT: dict[str, type[Disc] | type[Line]] = {"disc": Disc, "line": Line}
MOBILITY: dict[str, type[Static] | type[ConstantVelocity] | type[RandomWaypoint]] = {
    "static": Static,
    "constant_velocity": ConstantVelocity,
    "random_waypoint": RandomWaypoint,
}
