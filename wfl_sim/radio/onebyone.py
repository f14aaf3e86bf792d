"""Transfers that are worked out one by one: uploads with transport blocks, and broadcasts.

Knows how long each goes on in a bandwidth from its walker; nothing of slots and packets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from wfl_sim.radio.access import NO_SUPPLY, Ended, Job, Supply
from wfl_sim.radio.walk import Transfer, Walker


class OneByOne:
    """Uploads in FDMA whose course depends on blocks: each with its grant, or its share of what is free.

    A plan of each is kept until its bandwidth changes.
    """

    def __init__(self, walker: Walker, supply: Supply, conserving: bool) -> None:
        self._walker, self._supply, self._conserving = walker, supply, conserving
        self._transfers: list[Transfer] = []
        self._plans: dict[Transfer, Transfer] = {}
        self._paused = False

    def add(self, jobs: Sequence[Job]) -> None:
        self._transfers += [self._walker.begin(job, job.begin_s) for job in jobs]
        for transfer in self._transfers[-len(jobs) :]:
            transfer.granted_hz = transfer.job.bandwidth_hz
        self._share(jobs[0].begin_s)

    def settle(self, now_s: float) -> list[Ended]:
        ended = []
        for transfer in list(self._transfers):
            plan = self._plans.get(transfer)
            if plan is not None and plan.over and plan.now_s <= now_s:
                over = plan
            elif self._paused:
                transfer.now_s, over = max(transfer.now_s, now_s), transfer
            elif self._conserving:
                self._walker.walk(transfer, now_s)
                over = transfer
            else:
                continue
            if over.over:
                self._transfers.remove(transfer)
                self._plans.pop(transfer, None)
                ended.append(self._walker.conclude(over, self._supply))
        if ended and self._conserving:
            self._share(now_s)
        ended.sort(key=lambda pair: (pair[1].t_end_s, pair[1].client))
        return ended

    def next_s(self) -> float:
        if self._paused:
            return min((transfer.give_up_s for transfer in self._transfers), default=math.inf)
        first_s = min((plan.now_s for plan in self._plans.values() if plan.over), default=math.inf)
        for transfer in self._transfers:
            if transfer not in self._plans:
                plan = transfer.copy()
                # where all rates change at the first end, what would come after it need not be known
                if self._walker.walk(plan, first_s if self._conserving else math.inf):
                    self._plans[transfer] = plan
                    first_s = min(first_s, plan.now_s)
        return first_s

    def hold(self, held: bool, now_s: float) -> None:
        if held != self._paused:
            for transfer in self._transfers:
                self._walker.walk(transfer, now_s) if held else None
            self._plans.clear()
            self._paused = held

    def held_hz(self, now_s: float) -> float:
        return sum(transfer.job.bandwidth_hz for transfer in self._transfers)

    def _share(self, now_s: float) -> None:
        if self._conserving and self._transfers:
            self._plans.clear()
            wider = self._walker.signal.bandwidth_hz / self.held_hz(now_s)
            for transfer in self._transfers:
                self._walker.grant(transfer, transfer.job.bandwidth_hz * wider, now_s)


class Broadcasts:
    """Broadcasts over the whole downlink band, one after the other in the order in which they were asked for."""

    def __init__(self, walker: Walker) -> None:
        self._walker = walker
        self._free_s = -math.inf

    def plan(self, jobs: Sequence[Job]) -> list[Ended]:
        ended = []
        for job in jobs:
            transfer = self._walker.begin(job, min(max(job.begin_s, self._free_s), job.until_s))
            self._walker.grant(transfer, self._walker.signal.bandwidth_hz, transfer.now_s)
            self._walker.walk(transfer, math.inf)
            self._free_s = max(self._free_s, transfer.now_s)  # one that waits in vain ends before those it waits for
            ended.append(self._walker.conclude(transfer, NO_SUPPLY))
        return ended

    def held_hz(self, now_s: float) -> float:
        return self._walker.signal.bandwidth_hz if now_s < self._free_s else 0.0
