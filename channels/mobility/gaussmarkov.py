"""Clients that wander: their velocity remembers itself, as people and vehicles do that neither dash nor halt.

Knows placements and no radio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, Ints, times_array
from channels.mobility.base import Placed, Trajectory, chosen_rows
from channels.mobility.placement import Placement, checked_clients, polar
from channels.options import Options
from channels.streams import Stream
from channels.units import Quantity, Seconds, Speed

_STEPS = 8  # of a block; at the end of each, clients beyond the border turn
_BLOCKS = 64  # made at a time


@dataclass(frozen=True, kw_only=True)
class GaussMarkov(Options):
    """Clients wander: in steps of time, their velocity is drawn near what it was before.

    Formula
    -------
    In step n, with memory a, mean speed v along the unit vector e, standard deviation s and w standard normal in both
    components::

        velocity_n = v e + g_n,    g_(n+1) = a g_n + s sqrt(1 - a^2) w_n,    g_0 = s w

    e is uniform over a turn, drawn once for each client; the velocity is constant during a step. The border is the
    circle around the base station through the furthest point of the placement's region. A client that is beyond it
    and moving outwards at the end of every eighth step is turned: e and g are mirrored, so that it comes back.

    Validity
    --------
    Speeds follow a Rice law, which mirroring leaves alone; their mean, which the Doppler shift of the links takes, is
    above v: sqrt(pi / 2) s where v is 0, and about v + s^2 / (2 v) where s is small. Nobody is held at the border:
    clients are beyond it for some steps. The inner circle of a ring and the sides of a road are no border. Places of
    eight steps are remembered as one, so memory grows with time, as in ``random_waypoint``.

    Source
    ------
    Liang and Haas 2003, IEEE/ACM Trans. Netw. 11(5) 718-732, doi:10.1109/TNET.2003.818187 (the velocity); Camp, Boleng
    and Davies 2002, doi:10.1002/wcm.72, section 2.5 (turning at the border, there by another angle).

    Options
    -------
    speed_mps : Speed v of the mean velocity: 3 km/h on foot, 30 to 120 km/h in a vehicle. 0: clients wander about
        their place.
    std_mps : Standard deviation s of both components of the velocity. Larger: less steady in speed and direction.
    memory : How much of a deviation a is left after a step: 0 draws each anew, near 1 paths are smooth.
    step_s : Length of a step. Longer: fewer turns.
    """

    kind: Literal["gauss_markov"] = "gauss_markov"
    speed_mps: Speed
    std_mps: Speed = 1.0
    memory: Annotated[float, Quantity("1", ge=0, lt=1)] = 0.9
    step_s: Seconds = 1.0

    @property
    def is_still(self) -> bool:
        """Where neither the mean nor the deviation is above 0."""
        return self.speed_mps == self.std_mps == 0.0

    @property
    def mean_speed_mps(self) -> float:
        """Mean of the speed: that of a Rice law (Rice 1945)."""
        if self.std_mps < 1e-6 * self.speed_mps or self.is_still:
            return self.speed_mps  # to 1e-12 of it
        from scipy.special import ive  # late: a quarter of a second

        x = 0.25 * (self.speed_mps / self.std_mps) ** 2
        return float(self.std_mps * math.sqrt(math.pi / 2.0) * ((1.0 + 2.0 * x) * ive(0, x) + 2.0 * x * ive(1, x)))

    def trajectory(self, stream: Stream, placement: Placement, clients: ArrayLike, count: int) -> Trajectory:
        """Paths of steps."""
        start = placement.start_m(stream.child("placement"), clients, count)
        return _Wandering(self, stream.child("mobility"), checked_clients(clients, count), start, _reach_m(placement))


class _Wandering(Placed):
    """Paths of steps; what a block begins with is kept, its steps are drawn again by key.

    A state is position, mean direction, deviation of the velocity (two numbers each) and the way travelled: [.., 7].
    """

    is_steady = False

    def __init__(self, model: GaussMarkov, stream: Stream, clients: Ints, start: Floats, reach_m: float) -> None:
        self._model, self._stream, self._clients, self._reach_m = model, stream, clients, reach_m
        self.speed_mps = model.mean_speed_mps
        first = np.zeros((clients.size, 1, 7))
        first[:, 0, 0:2] = start
        first[:, 0, 2:4] = polar(np.ones(clients.size), stream.uniform(clients, 0))
        first[:, 0, 4:6] = model.std_mps * self._normal(clients, np.int64(1))
        self._states, self._known = first, 1  # [K, blocks, 7], of which so many are made

    def _normal(self, clients: Ints, index: Ints | np.int64) -> Floats:
        """Two standard normal numbers [..., 2] by (client, index), after Box and Muller 1958."""
        radius = np.sqrt(2.0 * self._stream.exponential(clients, 2 * index))
        return polar(radius, self._stream.uniform(clients, 2 * index + 1))

    def _nodes(self, clients: Ints, state: Floats, block: Ints | np.int64) -> tuple[Floats, Floats]:
        """Positions and ways travelled at the ends of steps, [..., 9, 3]; and the state [..., 7] after the block."""
        model = self._model
        position, heading, deviation = state[..., 0:2], state[..., 2:4], state[..., 4:6]
        way, nodes = state[..., 6], []
        noise = model.std_mps * math.sqrt(1.0 - model.memory**2)
        for step in range(_STEPS):
            nodes.append(np.concatenate([position, way[..., None]], axis=-1))
            velocity = model.speed_mps * heading + deviation
            position = position + model.step_s * velocity
            way = way + model.step_s * np.hypot(velocity[..., 0], velocity[..., 1])
            deviation = model.memory * deviation + noise * self._normal(clients, 2 + _STEPS * block + step)
        nodes.append(np.concatenate([position, way[..., None]], axis=-1))
        distance = np.hypot(position[..., 0], position[..., 1])
        outward = position / np.maximum(distance, 1e-300)[..., None]
        velocity = model.speed_mps * heading + deviation
        turns = (distance > self._reach_m) & (_along(velocity, outward) > 0.0)
        heading, deviation = (
            np.where(turns[..., None], part - 2.0 * _along(part, outward)[..., None] * outward, part)
            for part in (heading, deviation)
        )
        return np.stack(nodes, axis=-2), np.concatenate([position, heading, deviation, way[..., None]], axis=-1)

    def _extend(self, block: int) -> None:
        """Make the states that all blocks up to this one begin with."""
        while self._known <= block:
            if self._known == self._states.shape[1]:
                more = np.zeros((self._clients.size, max(_BLOCKS, self._known), 7))
                self._states = np.concatenate([self._states, more], axis=1)
            last = self._known - 1
            self._states[:, self._known] = self._nodes(self._clients, self._states[:, last], np.int64(last))[1]
            self._known += 1

    def _at(self, times_s: ArrayLike, rows: ArrayLike | None) -> Floats:
        """Position and way travelled [K, T, 3]."""
        chosen = chosen_rows(rows, self._clients.size)
        steps = times_array(times_s) / self._model.step_s
        if steps.size and steps.max() >= 2.0**40:
            raise ValueError(f"a time of {steps.max() * self._model.step_s} s is beyond the steps of the path")
        if not chosen.size or not steps.size:
            return np.zeros((chosen.size, steps.size, 3))
        step = np.floor(steps).astype(np.int64)
        blocks, column = np.unique(step // _STEPS, return_inverse=True)
        self._extend(int(blocks[-1]))
        nodes, _ = self._nodes(self._clients[chosen][:, None], self._states[np.ix_(chosen, blocks)], blocks[None, :])
        place, share = step % _STEPS, (steps - step)[:, None]
        return np.asarray((1.0 - share) * nodes[:, column, place] + share * nodes[:, column, place + 1])

    def position_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        return self._at(times_s, rows)[..., :2]

    def travelled_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        return self._at(times_s, rows)[..., 2]


def _along(vector: Floats, direction: Floats) -> Floats:
    return np.asarray(vector[..., 0] * direction[..., 0] + vector[..., 1] * direction[..., 1])


def _reach_m(placement: Placement) -> float:
    """Distance of the furthest point of a region from the base station: its points are asked for on a grid."""
    u = np.r_[np.linspace(0.0, 1.0, 33)[1:-1], 2.0**-53, 1.0 - 2.0**-53]
    point = placement.point_m(u[:, None] + 0.0 * u, u + 0.0 * u[:, None])
    return float(np.hypot(point[..., 0], point[..., 1]).max())
