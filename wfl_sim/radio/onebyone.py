"""Transfers that are worked out one by one: uploads with transport blocks, and broadcasts.

Knows how long each goes on in a bandwidth from its walker; nothing of slots and packets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from wfl_sim.radio.access import NO_SUPPLY, Ended, Held, Job, Rest, Supply
from wfl_sim.radio.transmission import BROADCAST
from wfl_sim.radio.walk import Transfer, Walker

_NEAREST, _FARTHEST = 32, 2048  # slots to look ahead: the more, the longer nothing came in between


class _Walked:
    """Remembers from transfer to transfer what its walker does, and nothing else."""

    def __init__(self, walker: Walker) -> None:
        self._walker = walker

    def rest(self) -> Rest:
        return self._walker.rest()

    def resume(self, rest: Rest) -> None:
        self._walker.resume(rest)


class EachAlone(_Walked):
    """Uploads that keep the bandwidth granted; the end of each is known when it is asked for."""

    def __init__(self, walker: Walker, supply: Supply) -> None:
        super().__init__(walker)
        self._supply, self._held = supply, Held()

    def plan(self, jobs: Sequence[Job]) -> list[Ended]:
        ended = []
        for job in jobs:
            transfer = self._walker.begin(job, job.begin_s)
            transfer.granted_hz = job.bandwidth_hz
            self._walker.walk(transfer, math.inf)
            ended.append(self._walker.conclude(transfer, self._supply))
        ended.sort(key=lambda pair: (pair[1].t_end_s, pair[1].client))
        return self._held.until_ends(ended)

    def held_hz(self, now_s: float) -> float:
        return self._held.hz(now_s)


class OneByOne(_Walked):
    """Uploads whose bandwidths change with every end, or that are held for a while: all are planned a little ahead."""

    def __init__(self, walker: Walker, supply: Supply, conserving: bool) -> None:
        super().__init__(walker)
        self._supply, self._conserving = supply, conserving
        self._transfers: list[Transfer] = []
        self._plans: list[Transfer] = []  # of all of them, where none ends before `_ahead_s`
        self._ahead_s: float | None = None  # how far the plans go, or when the first ends
        self._reach_slots = _NEAREST
        self._now_s = 0.0
        self._paused = False

    def add(self, jobs: Sequence[Job]) -> None:
        self._now_s, self._reach_slots = jobs[0].begin_s, _NEAREST
        for job in jobs:
            self._transfers.append(self._walker.begin(job, job.begin_s))
            self._transfers[-1].granted_hz = job.bandwidth_hz
        self._share()

    def settle(self, now_s: float) -> list[Ended]:
        self._now_s = now_s
        if self._paused:
            for transfer in self._transfers:
                transfer.now_s = max(transfer.now_s, now_s)
        else:
            if self._plans and self._ahead_s is not None and self._ahead_s <= now_s:
                self._transfers = self._plans
                self._reach_slots = min(4 * self._reach_slots, _FARTHEST)
            self._plans, self._ahead_s = [], None
            for transfer in self._transfers:
                self._walker.walk(transfer, now_s)
        over = [transfer for transfer in self._transfers if transfer.over]
        if not over:
            return []
        self._transfers = [transfer for transfer in self._transfers if not transfer.over]
        self._share()
        ended = [self._walker.conclude(transfer, self._supply) for transfer in over]
        ended.sort(key=lambda pair: (pair[1].t_end_s, pair[1].client))
        return ended

    def next_s(self) -> float:
        if self._paused:
            return min((transfer.give_up_s for transfer in self._transfers), default=math.inf)
        if not self._transfers:
            return math.inf
        if self._ahead_s is None:
            self._ahead_s = self._plan_ahead()
        return self._ahead_s

    def _plan_ahead(self) -> float:
        """When the first ends, or where the look ahead does: then the plans are kept."""
        end_s = horizon_s = self._now_s + self._reach_slots * self._walker.radio.slot_s
        self._plans = [transfer.copy() for transfer in self._transfers]
        for plan in self._plans:
            if self._walker.walk(plan, end_s):
                end_s = min(end_s, plan.now_s)
        if end_s < horizon_s:  # some have gone further than that
            self._plans = []
        return end_s

    def hold(self, held: bool, now_s: float) -> None:
        if held != self._paused:
            self._plans, self._ahead_s, self._paused = [], None, held
            if held:
                for transfer in self._transfers:
                    self._walker.pause(transfer, now_s)

    def held_hz(self, now_s: float) -> float:
        return sum(transfer.job.bandwidth_hz for transfer in self._transfers)

    def _share(self) -> None:
        if self._transfers:
            self._plans, self._ahead_s = [], None
            wider = self._walker.signal.bandwidth_hz / self.held_hz(self._now_s) if self._conserving else 1.0
            for transfer in self._transfers:
                self._walker.grant(transfer, transfer.job.bandwidth_hz * wider, self._now_s)


class Broadcasts(_Walked):
    """Broadcasts over the whole downlink band, one after the other in the order in which they were asked for.

    What is for one client alone, under its own number, waits in the same line, and has draws of its own.
    """

    def __init__(self, walker: Walker, alone: Walker) -> None:
        super().__init__(walker)
        self._alone = alone
        self._free_s = -math.inf

    def plan(self, jobs: Sequence[Job]) -> list[Ended]:
        ended = []
        for job in jobs:
            walker = self._walker if job.client == BROADCAST else self._alone
            transfer = walker.begin(job, min(max(job.begin_s, self._free_s), job.until_s))
            walker.grant(transfer, walker.signal.bandwidth_hz, transfer.now_s)
            walker.walk(transfer, math.inf)
            self._free_s = max(self._free_s, transfer.now_s)  # one that waits in vain ends before those it waits for
            ended.append(walker.conclude(transfer, NO_SUPPLY))
        return ended

    def held_hz(self, now_s: float) -> float:
        return self._walker.signal.bandwidth_hz if now_s < self._free_s else 0.0

    def rest(self) -> Rest:
        free_s = None if self._free_s == -math.inf else self._free_s
        return {"free_s": free_s, **super().rest(), "alone": self._alone.rest()}

    def resume(self, rest: Rest) -> None:
        self._free_s = -math.inf if rest["free_s"] is None else rest["free_s"]
        super().resume(rest)
        self._alone.resume(rest["alone"])
