"""Schedulers of a slotted band: who gets which resource block in a run of slots.

Know rates and turns; no packet, no clock, no client: users are numbered as in the arrays that they are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from channels.scheduling import IDLE, largest_rate, proportional_fair, weighted_turns
from wfl_sim.contracts import FloatArray
from wfl_sim.radio.flows import Ints

Kind = Literal["round_robin", "proportional_fair", "max_ci", "tdma"]


class Grants(NamedTuple):
    """Who got what: one entry for each user and slot, in rising order of slots.

    `owner` [slots, blocks] says whose each block is, -1 for nobody's; where all blocks of a slot are alike it is None.
    """

    user: Ints
    slot: Ints
    blocks: Ints
    owner: Ints | None
    slots: int


@dataclass
class Memory:
    """What a scheduler remembers from slot to slot, by client number: averages or credits, and whose turn it was."""

    levels: FloatArray
    last: int = IDLE

    def copy(self) -> Memory:
        """One that goes on by itself."""
        return Memory(self.levels.copy(), self.last)


@dataclass(frozen=True)
class Scheduler:
    """A rule that gives `blocks` resource blocks away in every slot.

    `idle_weight` is that of slots which belong to nobody, for turns by weight.
    """

    kind: Kind
    blocks: int
    averaging_slots: float = 100.0

    @property
    def asks_rates(self) -> bool:
        """Whether it looks at rates at all."""
        return self.kind in ("proportional_fair", "max_ci")

    def grant(
        self,
        clients: Ints,
        first_slot: int,
        slots: int,
        memory: Memory,
        rates_bps: FloatArray | None,
        enough: FloatArray,
        weights: FloatArray,
        idle_weight: float,
    ) -> Grants:
        """Give blocks away, and carry the memory on.

        Parameters
        ----------
        clients : int [users]
            In rising order.
        first_slot, slots : int
        memory : Memory
        rates_bps : array [users, slots] or [users, slots, blocks]
            Of the whole band, or of each block, if a user had it; None if `asks_rates` is false.
        enough : array [users]
            Sums of rates over slots with which a user has enough; the run may end there.
        weights : array [users]
            How often each gets a turn, for ``tdma``; `idle_weight` is that of slots which stay empty.
        """
        if self.kind == "round_robin":
            return self._turns(clients, slots, memory)
        if self.kind == "tdma":
            credit = np.append(memory.levels[clients], memory.levels[-1])
            chosen, credit = weighted_turns(np.append(weights, idle_weight), slots, credit)
            memory.levels[clients], memory.levels[-1] = credit[:-1], credit[-1]
            return _whole(np.where(chosen == clients.size, IDLE, chosen), self.blocks)
        assert rates_bps is not None
        if self.kind == "proportional_fair":
            chosen, served = proportional_fair(rates_bps, self.averaging_slots, memory.levels[clients], enough)
            memory.levels[clients] = served
        elif rates_bps.ndim == 2:
            chosen = largest_rate(rates_bps, first_slot)
        else:
            flat = rates_bps.reshape(clients.size, -1)
            chosen = largest_rate(flat, first_slot * self.blocks).reshape(slots, self.blocks)
        return _whole(chosen, self.blocks) if chosen.ndim == 1 else _parts(chosen, clients.size)

    def _turns(self, clients: Ints, slots: int, memory: Memory) -> Grants:
        """All in turn, block by block, in the order of client numbers."""
        begin = int(np.searchsorted(clients, memory.last, side="right"))
        order = (begin + np.arange(slots * self.blocks)) % clients.size
        memory.last = int(clients[order[-1]])
        return _parts(order.reshape(slots, self.blocks), clients.size)


def _whole(chosen: Ints, blocks: int) -> Grants:
    slot = np.flatnonzero(chosen != IDLE)
    return Grants(chosen[slot], slot, np.full(slot.size, blocks), None, chosen.size)


def _parts(owner: Ints, users: int) -> Grants:
    slots = owner.shape[0]
    key = (np.arange(slots)[:, None] * (users + 1) + owner + 1).ravel()  # idle blocks are those of user -1
    found, count = np.unique(key, return_counts=True)
    slot, user = np.divmod(found, users + 1)
    real = user > 0
    return Grants(user[real] - 1, slot[real], count[real], owner, slots)
