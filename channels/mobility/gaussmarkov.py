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
_DRAWS = 1 << 18  # and normal numbers, 2 MiB
_KEPT = 32  # states kept at most of all time, evenly apart; the others are walked to again from the last before them


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
    clients are beyond it for some steps. The inner circle of a ring and the sides of a road are no border. Whether a
    client turns depends on all its steps before: the first question about a late time walks them all, and one that
    goes back a 16th of them at most. Memory does not grow with time.

    Source
    ------
    Liang and Haas 2003, IEEE/ACM Trans. Netw. 11(5) 718-732, doi:10.1109/TNET.2003.815301 (the velocity); Camp, Boleng
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
    """Paths of steps; a few states that blocks begin with are kept, the steps between them are drawn again by key.

    A state is position, mean direction, deviation of the velocity (two numbers each) and the way travelled: [.., 7].
    """

    def __init__(self, model: GaussMarkov, stream: Stream, clients: Ints, start: Floats, reach_m: float) -> None:
        self._model, self._stream, self._clients, self._reach_m = model, stream, clients, reach_m
        self.speed_mps = model.mean_speed_mps
        first = np.zeros((clients.size, 7))
        first[:, 0:2] = start
        first[:, 2:4] = polar(np.ones(clients.size), stream.uniform(clients, 0))
        first[:, 4:6] = model.std_mps * self._normal(clients, np.ones(1, dtype=np.int64))
        self._kept, self._apart = {0: first}, 1  # [K, 7] by the number of the block, a multiple of `_apart`
        self._recent: dict[int, Floats] = {}  # those of the last blocks walked through, oldest first

    def _normal(self, clients: Ints, index: Ints) -> Floats:
        """Two standard normal numbers [..., 2] by (client, index), after Box and Muller 1958."""
        radius = np.sqrt(2.0 * self._stream.exponential(clients, 2 * index))
        return polar(radius, self._stream.uniform(clients, 2 * index + 1))

    def _drawn(self, clients: Ints, blocks: Ints) -> Floats:
        """Deviations of the velocity in some blocks [B] and after them, where they begin with none: [K, B, 9, 2]."""
        model, index = self._model, 2 + _STEPS * blocks[:, None] + np.arange(_STEPS)
        noise = model.std_mps * math.sqrt(1.0 - model.memory**2) * self._normal(clients[:, None, None], index)
        drawn = np.zeros((clients.size, blocks.size, _STEPS + 1, 2))
        for step in range(_STEPS):
            drawn[..., step + 1, :] = model.memory * drawn[..., step, :] + noise[..., step, :]
        return drawn

    def _walk(self, state: Floats, drawn: Floats) -> tuple[Floats, Floats]:
        """Places and ways travelled [..., 9, 3] between the steps of a block, and the state [..., 7] after it."""
        model, heading, deviation = self._model, state[..., 2:4], state[..., 4:6]
        left = model.memory ** np.arange(_STEPS + 1.0)[:, None]  # of the deviation that the block begins with
        velocity = left * deviation[..., None, :] + drawn
        nodes = np.empty((*state.shape[:-1], _STEPS + 1, 3))
        nodes[..., 0, :2], nodes[..., 0, 2] = state[..., 0:2], state[..., 6]
        mean = model.speed_mps * heading
        moves = nodes[..., 1:, :]
        moves[..., :2] = velocity[..., :_STEPS, :] + mean[..., None, :]
        moves[..., 2] = np.hypot(moves[..., 0], moves[..., 1])
        moves *= model.step_s
        np.add.accumulate(nodes, axis=-2, out=nodes)
        end, deviation = nodes[..., -1, :], velocity[..., _STEPS, :]
        distance = np.hypot(end[..., 0], end[..., 1])
        outward = end[..., :2] / np.maximum(distance, 1e-300)[..., None]
        leaves = _along(mean + deviation, outward) > 0.0
        mirror = np.where((distance > self._reach_m) & leaves, 2.0, 0.0)[..., None] * outward
        after = [part - _along(part, outward)[..., None] * mirror for part in (heading, deviation)]
        return nodes, np.concatenate([end[..., :2], *after, end[..., 2:]], axis=-1)

    def _at_once(self, clients: int) -> int:
        """Blocks whose draws for so many clients are in memory together."""
        return max(1, _DRAWS // (2 * _STEPS * max(1, clients)))

    def _state(self, block: int) -> Floats:
        """What a block begins with, [K, 7]: walked to from the last state before it that is at hand."""
        known = self._kept | self._recent
        number = max(one for one in known if one <= block)
        state, at_once = known[number], min(_BLOCKS, self._at_once(self._clients.size))
        while number < block:
            drawn = self._drawn(self._clients, np.arange(number, number + at_once))
            for column in range(at_once):
                number, state = number + 1, self._walk(state, drawn[:, column])[1]
                self._keep(number, state)
            while len(self._recent) > at_once:
                del self._recent[next(iter(self._recent))]
        return state if number == block else self._recent[block]

    def _keep(self, number: int, state: Floats) -> None:
        """Keep a state for a while, and for good where its turn comes: half of those go where there are too many."""
        self._recent.pop(number, None)
        self._recent[number] = state
        if number % self._apart == 0:
            self._kept[number] = state
            if len(self._kept) > _KEPT:
                self._apart *= 2
                self._kept = {one: kept for one, kept in self._kept.items() if one % self._apart == 0}

    def _at(self, times_s: ArrayLike, rows: ArrayLike | None) -> Floats:
        """Position and way travelled [K, T, 3]."""
        chosen = chosen_rows(rows, self._clients.size)
        steps = times_array(times_s) / self._model.step_s
        if steps.size and steps.max() >= 2.0**40:
            raise ValueError(f"a time of {steps.max() * self._model.step_s} s is beyond the steps of the path")
        result = np.zeros((chosen.size, steps.size, 3))
        step = np.floor(steps).astype(np.int64)
        blocks, column = np.unique(step // _STEPS, return_inverse=True)
        at_once = self._at_once(chosen.size)
        for first in range(0, blocks.size if chosen.size else 0, at_once):
            asked = np.flatnonzero((column >= first) & (column < first + at_once))
            part = blocks[first : first + at_once]
            states = np.stack([self._state(int(number))[chosen] for number in part], axis=1)
            nodes, _ = self._walk(states, self._drawn(self._clients[chosen], part))
            block, place, share = column[asked] - first, step[asked] % _STEPS, (steps - step)[asked, None]
            result[:, asked] = (1.0 - share) * nodes[:, block, place] + share * nodes[:, block, place + 1]
        return result

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
