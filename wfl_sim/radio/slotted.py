"""A band shared in slots: OFDMA, in which a scheduler gives resource blocks away slot by slot, and TDMA.

Knows flows, signals and schedulers; no clock.

The scheduler knows the gains of the slot that it gives away. What is sent in a slot comes through at its end, so a
transfer ends with a slot; what is left of its blocks then stays empty. One that begins within a slot, or would be given
up within it, takes no part in it; when all are held, the slot under way is still sent to its end.

Where blocks can be lost (``cqi``), what a transfer gets of a slot is one transport block, at a rate from earlier SNR;
the next round of a lost one goes out in the next slot that the transfer gets (see `channels.harq`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from channels.harq import BlockLink, LinkState
from channels.linkadaptation import LinkAdaptation
from channels.links import Direction
from channels.streams import Stream
from wfl_sim.contracts import FloatArray
from wfl_sim.radio.access import Ended, Job, Rest, Supply, reports
from wfl_sim.radio.flows import SENDING, TIME_UP, Course, Flows, Losses, Sizes, send
from wfl_sim.radio.schedulers import Grants, Memory, Scheduler
from wfl_sim.radio.signal import Signal, in_db

_EDGE = 1e-9  # of a slot: an instant this near the end of a slot is that end
_MOST_VALUES = 1 << 20  # clients x slots x blocks worked out together: long questions make fading quick
_FIRST_SLOTS, _FEWEST_SLOTS, _MOST_SLOTS = 64, 16, 1024  # of a run
_NEAREST, _FARTHEST = 64, 4096  # slots to look ahead for an end: the more, the longer nothing came in between


@dataclass
class _State:
    """Flows in rising order of clients, the next slot, and what the scheduler remembers."""

    flows: Flows
    jobs: list[Job]
    weights: FloatArray
    density: FloatArray
    links: list[LinkState]  # of the flows, where blocks can be lost
    slot: int
    memory: Memory

    def copy(self) -> _State:
        return _State(
            self.flows.take(np.arange(len(self.flows))), list(self.jobs), self.weights, self.density,
            list(self.links), self.slot, self.memory.copy(),
        )  # fmt: skip


class _Run(NamedTuple):
    """A run of slots: who got what, and for each grant its bits, mean SNR and power, and whether the bits are lost."""

    grants: Grants
    bits: FloatArray
    snr: FloatArray
    power_w: FloatArray
    lost: NDArray[np.bool_] | None = None


class Blocks(NamedTuple):
    """How transport blocks fare: their link, how old the SNR is that the sender knows, and the stream of draws."""

    link: BlockLink
    delay_slots: int
    stream: Stream


class Slotted:
    """Transfers that share a band slot by slot.

    Parameters
    ----------
    signal : Signal
    rate : LinkAdaptation
    sizes : Sizes
    losses : Losses
    scheduler : Scheduler
    block_hz : float
        Width of a resource block.
    supply : Supply
    clients : int
        How many there are.
    conserving : bool
        Whether turns of those who do not send go to those who do.
    blocks : Blocks, optional
        Where the rate is not always met.
    """

    def __init__(
        self,
        signal: Signal,
        rate: LinkAdaptation,
        sizes: Sizes,
        losses: Losses,
        scheduler: Scheduler,
        block_hz: float,
        supply: Supply,
        clients: int,
        conserving: bool = True,
        blocks: Blocks | None = None,
    ) -> None:
        self._signal, self._rate, self._sizes, self._losses = signal, rate, sizes, losses
        self._blocks, self._offsets_db = blocks, np.zeros(clients)
        self._scheduler, self._block_hz, self._supply, self._conserving = scheduler, block_hz, supply, conserving
        self._slot_s, self._timeout_s = signal.radio.slot_s, signal.radio.timeout_s
        self._direction: Direction = signal.direction
        self._attempts = np.zeros(clients, np.int64)
        none = np.zeros(0, np.int64)
        flows = Flows.of(sizes, none, [], [], [], none)
        self._state = _State(flows, [], np.zeros(0), np.zeros(0), [], 0, Memory(np.zeros(clients + 1)))
        self._plan: _State | None = None
        self._over: list[Ended] = []
        self._run_slots = _FIRST_SLOTS  # how long runs are worth their while, as ends come; it changes no result
        self._reach_slots = _NEAREST
        self._paused = False
        # A block's own gain, where the fading tells blocks apart.
        offsets_hz = (np.arange(scheduler.blocks) - (scheduler.blocks - 1) / 2) * block_hz
        self._offsets_hz: FloatArray = offsets_hz.astype(np.float64)

    def add(self, jobs: Sequence[Job]) -> None:
        state = self._state
        clients = np.array([job.clients[0] for job in jobs], np.int64)
        new = Flows.of(
            self._sizes, clients, [job.payload_bits for job in jobs], [job.begin_s for job in jobs],
            [job.give_up_s(self._timeout_s) for job in jobs], self._attempts[clients],
        )  # fmt: skip
        begin = self._next_slot(jobs[0].begin_s)
        state.slot = max(state.slot, begin)
        flows, every = state.flows.joined(new), [*state.jobs, *jobs]
        order = np.argsort(flows.client, kind="stable")
        state.flows, state.jobs = flows.take(order), [every[i] for i in order]
        state.weights = np.concatenate([state.weights, [job.bandwidth_hz for job in jobs]])[order]
        density = self._signal.density_w_per_hz(clients, new.begin_s)
        state.density = np.concatenate([state.density, density])[order]
        links = [*state.links, *(LinkState(offset) for offset in self._offsets_db[clients].tolist())]
        state.links = [links[i] for i in order]
        self._plan, self._reach_slots = None, _NEAREST  # others will soon begin as well

    def settle(self, now_s: float) -> list[Ended]:
        target = self._next_slot(now_s)
        if self._paused:
            self._state.slot = max(self._state.slot, target)
            self._give_up(self._state)
        elif self._plan is not None and self._plan.slot <= target:
            self._state, self._plan = self._plan, None
            self._reach_slots = min(4 * self._reach_slots, _FARTHEST)
        while len(self._state.flows):
            self._collect()
            if self._paused or self._state.slot >= target or not len(self._state.flows):
                break
            self._plan = None
            self._advance(self._state, target)
        self._over.sort(key=lambda pair: (pair[1].t_end_s, pair[1].client))
        ended = [pair for pair in self._over if pair[1].t_end_s <= now_s]
        self._over = self._over[len(ended) :]
        return ended

    def next_s(self) -> float:
        next_s = self._over[0][1].t_end_s if self._over else math.inf
        if not len(self._state.flows):
            return next_s
        if self._paused:
            return min(next_s, float(self._state.flows.give_up_s.min()))
        if self._plan is None:
            self._plan = self._state.copy()
            self._advance(self._plan, self._state.slot + self._reach_slots)
        ended = self._plan.flows.state != SENDING
        end_s = float(self._plan.flows.now_s[ended].min()) if ended.any() else math.inf
        return min(next_s, end_s, self._plan.slot * self._slot_s)

    def hold(self, held: bool, now_s: float) -> None:
        self._paused, self._plan = held, None

    def held_hz(self, now_s: float) -> float:
        return float(self._state.weights.sum())

    def rest(self) -> Rest:
        memory = self._state.memory
        return {
            "attempts": self._attempts.tolist(), "offsets_db": self._offsets_db.tolist(), "slot": self._state.slot,
            "levels": memory.levels.tolist(), "last": memory.last, "run_slots": self._run_slots,
        }  # fmt: skip

    def resume(self, rest: Rest) -> None:
        self._attempts[:], self._offsets_db[:] = rest["attempts"], rest["offsets_db"]
        self._state.slot, self._run_slots = rest["slot"], rest["run_slots"]
        self._state.memory = Memory(np.array(rest["levels"]), rest["last"])

    def _next_slot(self, time_s: float) -> int:
        return math.ceil(time_s / self._slot_s - _EDGE)

    def _collect(self) -> None:
        """Take out what has ended."""
        state = self._state
        over = state.flows.state != SENDING
        if over.any():
            gone = state.flows.take(over)
            self._attempts[gone.client] = gone.first_attempt + gone.sent
            jobs = [job for job, is_over in zip(state.jobs, over.tolist(), strict=True) if is_over]
            self._over += reports(jobs, gone, self._sizes, self._supply, self._direction)
            state.memory.levels[gone.client] = 0.0
            state.jobs = [job for job, is_over in zip(state.jobs, over.tolist(), strict=True) if not is_over]
            state.flows = state.flows.take(~over)
            state.weights, state.density = state.weights[~over], state.density[~over]
            self._offsets_db[gone.client] = [link.offset_db for link, out in zip(state.links, over, strict=True) if out]
            state.links = [link for link, out in zip(state.links, over, strict=True) if not out]
            self._plan = None

    def _give_up(self, state: _State) -> None:
        """End those that would have to end within the next slot."""
        flows = state.flows
        late = (flows.state == SENDING) & (flows.give_up_s < (state.slot + 1 - _EDGE) * self._slot_s)
        flows.state[late], flows.now_s[late] = TIME_UP, flows.give_up_s[late]

    def _advance(self, state: _State, target: int) -> None:
        """Carry a state on to a slot, or to the first in which a transfer ends."""
        while state.slot < target:
            self._give_up(state)
            flows = state.flows
            if (flows.state != SENDING).any():
                return
            blocks = self._scheduler.blocks
            values = max(len(flows) * (1 if self._signal.flat else blocks), blocks)
            first_up = math.floor(float(flows.give_up_s.min()) / self._slot_s + _EDGE)
            slots = max(1, min(target - state.slot, first_up - state.slot, self._run_slots, _MOST_VALUES // values))
            before, links = state.memory.copy(), list(state.links)
            while True:
                run = self._share(state, slots)
                after, slots = self._sent(state, run)
                if slots == run.grants.slots:
                    break
                self._run_slots = max(_FEWEST_SLOTS, 2 * slots)
                # beyond the first end others would have had other slots
                state.memory, state.links = before.copy(), list(links)
            if (after.state == SENDING).all():
                self._run_slots = min(4 * self._run_slots, _MOST_SLOTS)
            state.flows, state.slot = after, state.slot + slots
        self._give_up(state)

    def _sent(self, state: _State, run: _Run) -> tuple[Flows, int]:
        """The flows after a run of slots, and how many slots there are up to the first end."""
        flows, grants = state.flows.take(np.arange(len(state.flows))), run.grants
        shape = len(flows), grants.slots
        bits = np.zeros(shape)
        bits[grants.user, grants.slot] = run.bits
        lost = None
        if run.lost is not None:
            lost = np.zeros(shape, np.bool_)
            lost[grants.user, grants.slot] = run.lost
        passed = np.cumsum(bits, axis=1)
        ends_s = np.broadcast_to((state.slot + 1 + np.arange(grants.slots)) * self._slot_s, shape)
        send(flows, self._sizes, self._losses, Course(ends_s - self._slot_s, ends_s, bits, passed, True, lost))
        over = flows.state != SENDING
        if over.any():
            slots = self._next_slot(float(flows.now_s[over].min())) - state.slot
            if slots < grants.slots:
                return flows, slots
        self._account(flows, run)
        return flows, grants.slots

    def _share(self, state: _State, slots: int) -> _Run:
        """Give the blocks of a run of slots away."""
        flows, signal, scheduler = state.flows, self._signal, self._scheduler
        number = state.slot + np.arange(slots)
        offsets = None if signal.flat else self._offsets_hz
        gain = signal.gain(flows.client, number, len(flows) <= 64 and signal.flat, offsets)
        band_hz = scheduler.blocks * self._block_hz
        down = self._direction == "down"
        rates, enough = None, flows.left_bits(self._sizes)
        if scheduler.asks_rates:
            # as if a client spread its power over all blocks: what it gets is not known yet
            power_w = signal.power_w(state.density, band_hz)
            factor = power_w / (signal.noise_w_per_hz * (signal.bandwidth_hz if down else band_hz))
            snr = gain * factor.reshape(-1, *(1,) * (gain.ndim - 1))
            rates = self._rate.efficiency(snr, self._direction)
            width_hz = band_hz if signal.flat else self._block_hz
            rates = rates * width_hz
            enough = enough / ((1.0 - signal.overhead) * self._slot_s)
        idle = 0.0 if self._conserving else max(0.0, signal.bandwidth_hz - float(state.weights.sum()))
        grants = scheduler.grant(flows.client, state.slot, slots, state.memory, rates, enough, state.weights, idle)
        held_hz: FloatArray = (grants.blocks * self._block_hz).astype(np.float64)
        per_hz: FloatArray
        if down:
            power_w = np.full(held_hz.size, signal.tx_power_w)
            per_hz = np.full(held_hz.size, signal.tx_power_w / (signal.noise_w_per_hz * signal.bandwidth_hz))
        else:
            power_w = signal.power_w(state.density[grants.user], held_hz)
            per_hz = power_w / (signal.noise_w_per_hz * held_hz)
        if self._blocks is not None:
            return self._block_run(state, grants, gain, per_hz, held_hz, power_w)
        if signal.flat:
            snr = gain[grants.user, grants.slot] * per_hz
            efficiency = self._rate.efficiency(snr, self._direction)
        else:
            mine = self._mine(grants)
            each = gain[grants.user, grants.slot] * per_hz[:, None]
            snr = np.where(mine, each, 0.0).sum(axis=1) / grants.blocks
            efficiency = np.where(mine, self._rate.efficiency(each, self._direction), 0.0).sum(axis=1) / grants.blocks
        bits = efficiency * held_hz * ((1.0 - signal.overhead) * self._slot_s)
        return _Run(grants, bits, snr, power_w)

    def _block_run(
        self,
        state: _State,
        grants: Grants,
        gain: FloatArray,
        per_hz: FloatArray,
        held_hz: FloatArray,
        power_w: FloatArray,
    ) -> _Run:
        """One transport block a grant: flow by flow, since what is sent depends on what became of the block before."""
        blocks, flows, signal = self._blocks, state.flows, self._signal
        assert blocks is not None and signal.flat
        number = state.slot + grants.slot
        seen = np.unique(number - blocks.delay_slots)
        known = gain if not blocks.delay_slots else signal.gain(flows.client, seen, False)
        symbols = held_hz * ((1.0 - signal.overhead) * self._slot_s)
        snr = gain[grants.user, grants.slot] * per_hz
        bits, lost = np.zeros(snr.size), np.zeros(snr.size, np.bool_)
        for user in np.unique(grants.user).tolist():
            mine = np.flatnonzero(grants.user == user)
            column = (
                np.searchsorted(seen, number[mine] - blocks.delay_slots) if blocks.delay_slots else grants.slot[mine]
            )
            passage = blocks.link.carry(
                state.links[user],
                (known[user, column] * per_hz[mine])[None, :, None],
                snr[mine][None, :, None],
                symbols[mine],
                blocks.stream.uniform(flows.client[user], number[mine])[None],
            )
            bits[mine], lost[mine] = passage.bits, passage.lost[0]
            state.links[user] = passage.state
        return _Run(grants, bits, snr, power_w, lost)

    def _mine(self, grants: Grants) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Which blocks of its slot belong to each grant."""
        if grants.owner is None:
            return np.ones((grants.user.size, self._scheduler.blocks), np.bool_)
        return np.asarray(grants.owner[grants.slot] == grants.user[:, None])

    def _account(self, flows: Flows, run: _Run) -> None:
        grants, snr_db = run.grants, in_db(run.snr)

        def by_user(values: FloatArray) -> FloatArray:
            return np.asarray(np.bincount(grants.user, weights=values, minlength=len(flows)) * self._slot_s)

        flows.air_s += by_user(np.ones(snr_db.size))
        flows.hz_s += by_user((grants.blocks * self._block_hz).astype(np.float64))
        flows.tx_j += by_user(run.power_w)
        flows.snr_db_s += by_user(snr_db)
        np.minimum.at(flows.snr_min_db, grants.user, snr_db)
