"""FDMA: each sender holds a part of the band to itself.

`FixedShares` leaves idle what falls free, so uploads do not know of each other and each is worked out at once, from
beginning to end. `SharedBand` gives it to those who still send, so that every end changes all rates.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from channels.linkadaptation import LinkAdaptation
from wfl_sim.contracts import FloatArray
from wfl_sim.radio.access import Ended, Held, Job, Rest, Supply, reports
from wfl_sim.radio.flows import SENDING, TIME_UP, Course, Flows, Ints, Losses, Sizes, account, send
from wfl_sim.radio.signal import BLOCK_SLOTS, Signal, over_band

_FIRST_SLOTS, _MOST_SLOTS = 16, 4096  # of a run of slots
_MOST_VALUES = 1 << 17  # clients x slots worked out together: 1 MiB an array, about what the caches hold
_LIKELY = 1.25  # how much longer than planned a run of slots is made, so that one run will often do
_NEAREST, _FARTHEST = 32, 8192  # slots to look ahead for an end: the more, the longer nothing came in between
_FEW = 64  # senders whose rates are kept: with more, what is saved is little beside what is worked out
_AT_ONCE = 32  # slots of kept rates: the next question is likely about those behind


@dataclass(frozen=True)
class Fdma:
    """How uploads go on, given their bandwidths: signal, rate, packets and losses."""

    signal: Signal
    rate: LinkAdaptation
    sizes: Sizes
    losses: Losses
    slot_s: float
    timeout_s: float

    def flows(self, jobs: Sequence[Job], attempts: Ints) -> Flows:
        """The uploads of jobs; `attempts` counts, for each client, those that it made before."""
        clients = np.array([job.clients[0] for job in jobs], np.int64)
        return Flows.of(
            self.sizes,
            clients,
            [job.payload_bits for job in jobs],
            [job.begin_s for job in jobs],
            [job.give_up_s(self.timeout_s) for job in jobs],
            attempts[clients],
        )

    def carry(self, flows: Flows, grants: Grants, until_s: float) -> None:
        """Carry flows on to `until_s`, or to their ends, in place."""
        stop_s = np.minimum(flows.give_up_s, until_s)
        slots, need = _FIRST_SLOTS, np.zeros(0)
        while True:
            going = (flows.state == SENDING) & (flows.now_s < stop_s)
            if not going.any():
                break
            if need.size:
                slots = math.ceil(_LIKELY * _most(need))
            all_go = bool(going.all())
            first = math.floor(float((flows.now_s if all_go else flows.now_s[going]).min()) / self.slot_s)
            values = int(going.sum()) * self.signal.offsets_hz.size  # of a slot
            most = max(4, min(_MOST_VALUES // values, _MOST_SLOTS))
            last_s = float((stop_s if all_go else stop_s[going]).max())
            last = max(min(first + min(slots, most), math.ceil(last_s / self.slot_s)), first + 1)
            to_the_end = last * self.slot_s >= last_s
            rows = np.flatnonzero(going & (flows.now_s < last * self.slot_s))
            whole, before_s = rows.size == len(flows), flows.now_s[rows]
            part, granted = (flows, grants) if whole else (flows.take(rows), grants.take(rows))
            left_bits = np.zeros(0) if to_the_end else part.left_bits(self.sizes)
            course, snr = self.course(part, first, last, granted, stop_s if whole else stop_s[rows])
            send(part, self.sizes, self.losses, course)
            account(part, course, snr, granted.bandwidth_hz, granted.power_w)
            if to_the_end:
                if not whole:
                    flows.put(rows, part)
                break
            # less than floats can tell may be left of a slot
            stuck = (part.state == SENDING) & (part.now_s <= before_s)
            if stuck.any():
                part.now_s[stuck] = np.nextafter(part.now_s[stuck], math.inf)
            if not whole:
                flows.put(rows, part)
            more = part.state == SENDING
            if more.any():
                pace = course.passed_bits[more, -1] / (last - first)
                need = left_bits[more] / np.maximum(pace, left_bits[more] / _MOST_SLOTS)
        late = flows.now_s >= flows.give_up_s
        if late.any():
            flows.state[late & (flows.state == SENDING)] = TIME_UP

    def course(
        self, part: Flows, first: int, last: int, grants: Grants, stop_s: FloatArray
    ) -> tuple[Course, FloatArray]:
        """What passes of flows in the slots from `first` to before `last`, and their SNRs [flows, slots]."""
        edges_s = np.arange(first, last + 1) * self.slot_s
        starts_s = np.minimum(np.maximum(edges_s[:-1], part.now_s[:, None]), stop_s[:, None])
        ends_s = np.maximum(np.minimum(edges_s[1:], stop_s[:, None]), starts_s)
        snr, rate_bps = grants.rates(first, last)
        bits = rate_bps * (ends_s - starts_s)
        return Course(starts_s, ends_s, bits, np.cumsum(bits, axis=1)), snr

    def earliest_s(self, flows: Flows, grants: Grants, ahead_slots: int) -> tuple[float, bool]:
        """A time before which none can be done, nor be given up, in these bandwidths: at most so many slots ahead.

        And whether one is likely to be done then.
        """
        left_bits, stop_s = flows.left_bits(self.sizes), float(flows.give_up_s.min())
        ahead = copy.copy(flows)
        first = begin = math.floor(float(ahead.now_s.min()) / self.slot_s)
        slots = _FIRST_SLOTS
        while first < begin + ahead_slots and first * self.slot_s < stop_s:
            last = min(first + slots, begin + ahead_slots)
            course, _ = self.course(ahead, first, last, grants, flows.give_up_s)
            rows = np.flatnonzero(course.passed_bits[:, -1] >= left_bits)
            if rows.size:
                times_s = course.time_of(rows, course.slot_of(rows, left_bits[rows]), left_bits[rows])
                return min(float(times_s.min()), stop_s), True
            left_bits = left_bits - course.passed_bits[:, -1]
            ahead.now_s = np.maximum(ahead.now_s, last * self.slot_s)
            first, slots = last, 2 * slots
        return min(first * self.slot_s, stop_s), False


def _most(need: FloatArray) -> float:
    """The nine-tenths quantile, as `np.quantile` finds it, which takes longer for few."""
    if need.size > _FEW:
        return float(np.quantile(need, 0.9))
    values, place = sorted(need.tolist()), 0.9 * (need.size - 1)
    low = math.floor(place)
    below, above, share = values[low], values[min(low + 1, need.size - 1)], place - low
    return float(below + (above - below) * share if share < 0.5 else above - (above - below) * (1.0 - share))


class Grants:
    """Bandwidths and powers [flows] that stay for a while, and the rates that they give, slot by slot.

    Parameters
    ----------
    fdma : Fdma
    client, bandwidth_hz, power_w : array [flows]
    kept : bool
        Whether the same slots will be asked for again, as in `Signal.gain`. The rates of few senders are kept too.
    """

    def __init__(self, fdma: Fdma, client: Ints, bandwidth_hz: FloatArray, power_w: FloatArray, kept: bool) -> None:
        self._fdma, self._kept, self.client = fdma, kept, client
        self.bandwidth_hz, self.power_w = bandwidth_hz, power_w
        self._keeps = kept and client.size <= _FEW and fdma.signal.flat
        self._first = self._last = 0  # of the slots whose rates are kept
        self._snr = self._rate_bps = np.zeros((client.size, 0))
        self._of: tuple[Grants, Ints] | None = None

    def take(self, rows: Ints) -> Grants:
        """Those of some of the flows."""
        some = Grants(self._fdma, self.client[rows], self.bandwidth_hz[rows], self.power_w[rows], self._kept)
        some._of = (self, rows) if self._keeps else None
        return some

    def rates(self, first: int, last: int) -> tuple[FloatArray, FloatArray]:
        """SNRs and bit/s [flows, slots] in the slots from `first` to before `last`."""
        if self._of is not None:
            whole, rows = self._of
            # slots lie apart in memory and flows together, as everywhere: sums over slots keep their last bits
            snr, rate_bps = (np.take(kept.T, rows, axis=1).T for kept in whole.rates(first, last))
            return snr, rate_bps
        if not self._keeps:
            return self._worked_out(first, last)
        if not self._first <= first <= self._last:
            self._first = self._last = first
            self._snr, self._rate_bps = self._snr[:, :0], self._rate_bps[:, :0]
        if last > self._last:
            # no further than the block of gains that is asked for anyway
            block_end = -(-last // BLOCK_SLOTS) * BLOCK_SLOTS
            end = max(last, min(self._last + _AT_ONCE, block_end))
            new = self._worked_out(self._last, end)
            # what is looked ahead at is asked for again from where it began
            past = first - self._first if self._snr.size > _MOST_VALUES else 0
            self._snr, self._rate_bps = (
                np.concatenate([kept[:, past:].T, more.T]).T
                for kept, more in zip((self._snr, self._rate_bps), new, strict=True)
            )
            self._first, self._last = self._first + past, end
        asked = slice(first - self._first, last - self._first)
        return self._snr[:, asked], self._rate_bps[:, asked]

    def _worked_out(self, first: int, last: int) -> tuple[FloatArray, FloatArray]:
        signal, rate = self._fdma.signal, self._fdma.rate
        snr = signal.snr(self.client, np.arange(first, last), self.bandwidth_hz, self.power_w, self._kept)
        efficiency = over_band(rate.efficiency(snr, signal.direction))
        return over_band(snr), efficiency * ((1.0 - signal.overhead) * self.bandwidth_hz)[:, None]


class _Counting:
    """Remembers from upload to upload how many attempts each client has made, and nothing else."""

    def __init__(self, clients: int) -> None:
        self._attempts = np.zeros(clients, np.int64)

    def rest(self) -> Rest:
        return {"attempts": self._attempts.tolist()}

    def resume(self, rest: Rest) -> None:
        self._attempts[:] = rest["attempts"]


class FixedShares(_Counting):
    """Uploads that keep the bandwidth granted; the end of each is known when it is asked for."""

    def __init__(self, fdma: Fdma, supply: Supply, clients: int) -> None:
        super().__init__(clients)
        self._fdma, self._supply = fdma, supply
        self._held = Held()

    def plan(self, jobs: Sequence[Job]) -> list[Ended]:
        fdma = self._fdma
        flows = fdma.flows(jobs, self._attempts)
        hz = np.array([job.bandwidth_hz for job in jobs])
        power_w = fdma.signal.power_w(fdma.signal.density_w_per_hz(flows.client, flows.begin_s), hz)
        fdma.carry(flows, Grants(fdma, flows.client, hz, power_w, kept=len(jobs) == 1), math.inf)
        np.maximum.at(self._attempts, flows.client, flows.first_attempt + flows.sent)
        return self._held.until_ends(reports(jobs, flows, fdma.sizes, self._supply, "up"))

    def held_hz(self, now_s: float) -> float:
        return self._held.hz(now_s)


class SharedBand(_Counting):
    """Uploads whose bandwidths change: those who still send share what has fallen free, or are held for a while."""

    def __init__(self, fdma: Fdma, supply: Supply, clients: int, conserving: bool) -> None:
        super().__init__(clients)
        self._fdma, self._supply, self._conserving = fdma, supply, conserving
        self._jobs: list[Job] = []
        self._flows = fdma.flows([], self._attempts)
        self._granted_hz, self._density = np.zeros(0), np.zeros(0)
        self._grants: Grants | None = None  # as long as none begins or ends
        # where the flows will be at a time, if nothing changes; left open where that is not asked for yet
        self._ahead: tuple[float, Flows | None] | None = None
        self._reach_slots = _NEAREST
        self._paused = False

    def add(self, jobs: Sequence[Job]) -> None:
        self._jobs += jobs
        new = self._fdma.flows(jobs, self._attempts)
        self._flows = self._flows.joined(new)
        self._granted_hz = np.concatenate([self._granted_hz, [job.bandwidth_hz for job in jobs]])
        density = self._fdma.signal.density_w_per_hz(new.client, new.begin_s)
        self._density = np.concatenate([self._density, density])
        self._grants = None
        self._ahead, self._reach_slots = None, _NEAREST  # others will soon begin as well

    def settle(self, now_s: float) -> list[Ended]:
        if self._ahead is not None and self._ahead[0] <= now_s:
            ahead_s, ahead = self._ahead
            if ahead is None:
                self._fdma.carry(self._flows, self._granted(), ahead_s)
            else:
                self._flows = ahead
            self._reach_slots = min(4 * self._reach_slots, _FARTHEST)
        self._ahead = None
        flows = self._flows
        if not len(flows):
            return []
        if self._paused:
            flows.now_s = np.maximum(flows.now_s, now_s)
            flows.state[flows.now_s >= flows.give_up_s] = TIME_UP
        else:
            self._fdma.carry(flows, self._granted(), now_s)
        over = flows.state != SENDING
        if not over.any():
            return []
        gone = flows.take(over)
        self._attempts[gone.client] = gone.first_attempt + gone.sent
        jobs = [job for job, is_over in zip(self._jobs, over.tolist(), strict=True) if is_over]
        self._jobs = [job for job, is_over in zip(self._jobs, over.tolist(), strict=True) if not is_over]
        self._flows = flows.take(~over)
        self._granted_hz, self._density = self._granted_hz[~over], self._density[~over]
        self._ahead = self._grants = None
        return reports(jobs, gone, self._fdma.sizes, self._supply, "up")

    def next_s(self) -> float:
        flows = self._flows
        if not len(flows):
            return math.inf
        if self._paused:
            return float(flows.give_up_s.min())
        if self._ahead is None:
            # Nobody is done before `next_s`, but one whose packet is lost too often may end sooner.
            # What is left may need less time than floats tell apart: the clock has to move all the same.
            after_s = math.nextafter(float(flows.now_s.min()), math.inf)
            next_s, is_end = self._fdma.earliest_s(flows, self._granted(), self._reach_slots)
            next_s = max(next_s, after_s)
            if not is_end and self._fdma.losses.never:
                self._ahead = next_s, None
                return next_s
            ahead = flows.copy()
            self._fdma.carry(ahead, self._granted(), next_s)
            ends_s = ahead.now_s[ahead.state != SENDING]
            if ends_s.size and max(ends_s.min(), after_s) < next_s:
                return float(max(ends_s.min(), after_s))
            self._ahead = next_s, ahead
        return self._ahead[0]

    def hold(self, held: bool, now_s: float) -> None:
        self._paused, self._ahead = held, None

    def held_hz(self, now_s: float) -> float:
        return float(self._granted_hz.sum())

    def _granted(self) -> Grants:
        if self._grants is None:
            fdma, hz = self._fdma, self._granted_hz
            if self._conserving:
                hz = np.asarray(hz * (fdma.signal.bandwidth_hz / hz.sum()))
            self._grants = Grants(fdma, self._flows.client, hz, fdma.signal.power_w(self._density, hz), kept=True)
        return self._grants
