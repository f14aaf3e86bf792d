"""Packets of one transfer under ARQ: which attempts succeed, and when nothing more is to be done.

Knows neither rates nor a clock: it is told, attempt by attempt, which receivers lost it.

A lost packet is sent again at once, before the next one. A transfer to one client is dropped when a packet
used up its attempts. In a broadcast, a receiver that a packet never reached is given up, and the others go on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class PacketQueue:
    """Progress of one transfer of `payload_bits` to `receivers` clients."""

    payload_bits: int
    packet_bits: float
    header_bits: float
    attempts_allowed: int
    receivers: int = 1

    def __post_init__(self) -> None:
        room = self.packet_bits - self.header_bits
        self.count = max(1, math.ceil(self.payload_bits / room))
        self.last_bits = self.payload_bits - (self.count - 1) * room + self.header_bits
        self.served = 0
        self.tries = 0  # attempts spent on the packet at the head
        self.sent = 0
        self.lost = 0
        self.sent_bits = 0.0
        self._given_up = np.zeros(self.receivers, dtype=bool)
        self._lacking = np.ones(self.receivers, dtype=bool)

    @property
    def size_bits(self) -> float:
        """Size on the air of the packet at the head."""
        return self.packet_bits if self.served < self.count - 1 else self.last_bits

    @property
    def same_size(self) -> int:
        """How many packets from the head on are known to have the head's size."""
        return max(1, self.count - 1 - self.served)

    @property
    def left_bits(self) -> float:
        """Bits on the air, from the head on, if nothing more is lost."""
        return (self.count - self.served - 1) * self.packet_bits + self.last_bits

    @property
    def served_bits(self) -> int:
        """Payload bits of the packets that are through, of one receiver at least."""
        whole = round(self.served * (self.packet_bits - self.header_bits))
        return min(whole, self.payload_bits)

    @property
    def repeats(self) -> int:
        """How many of the packets sent had been sent before."""
        return self.sent - self.served - (self.tries > 0)

    @property
    def waiting(self) -> NDArray[np.bool_]:
        """The receivers that the packet at the head has not reached and that are not given up."""
        return self._lacking & ~self._given_up

    @property
    def done(self) -> bool:
        return self.served == self.count or bool(self._given_up.all())

    @property
    def reached(self) -> NDArray[np.bool_]:
        """The receivers that have every packet (final once `done`)."""
        return ~self._given_up if self.served == self.count else np.zeros(self.receivers, dtype=bool)

    def attempt(self, lost: NDArray[np.bool_]) -> int:
        """Go through attempts of the head's size; `lost` is [receivers, attempts].

        Returns how many of them were used: it stops after the packet that ends the run of equal sizes, and
        when there is nothing left to send.
        """
        size = self.size_bits
        useful = lost & ~self._given_up[:, None]
        if self.tries == 0 and not useful.any():  # the common case, without a loop
            used = min(int(lost.shape[1]), self.same_size)
            self.served += used
            self._count(used, 0, size)
            return used
        budget, attempts = self.same_size, int(lost.shape[1])
        for column in range(attempts):
            self._lacking &= ~self._given_up
            failed = self._lacking & lost[:, column]
            self.tries += 1
            self._count(1, int(failed.any()), size)
            self._lacking = failed
            if failed.any() and self.tries < self.attempts_allowed:
                continue
            self._given_up |= failed
            if self._given_up.all():
                return column + 1
            self.served, self.tries, budget = self.served + 1, 0, budget - 1
            self._lacking = ~self._given_up
            if budget == 0:
                return column + 1
        return attempts

    def _count(self, sent: int, lost: int, size: float) -> None:
        self.sent += sent
        self.lost += lost
        self.sent_bits += sent * size
