"""The ledger of bits: offered = delivered + dropped + in flight, for every client and direction.

Knows sizes and outcomes only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from wfl_sim.errors import LedgerError

Direction = Literal["up", "down"]
Account = tuple[int, Direction]


@dataclass
class Ledger:
    """Payload bits by (client, direction), in whole bits so that the balance is exact."""

    offered: Counter[Account] = field(default_factory=Counter)
    delivered: Counter[Account] = field(default_factory=Counter)
    dropped: Counter[Account] = field(default_factory=Counter)
    in_flight: Counter[Account] = field(default_factory=Counter)

    def offer(self, client: int, direction: Direction, bits: int) -> None:
        """`bits` are ready to be sent."""
        self.offered[client, direction] += bits
        self.in_flight[client, direction] += bits

    def settle(self, client: int, direction: Direction, delivered: int, dropped: int) -> None:
        """So many bits that were in flight have arrived, and so many never will."""
        account = client, direction
        self.in_flight[account] -= delivered + dropped
        if delivered:
            self.delivered[account] += delivered
        if dropped:
            self.dropped[account] += dropped

    def rest(self) -> list[list[list[Any]]]:
        """All accounts, as plain data."""
        return [[[*account, bits] for account, bits in book.items()] for book in self._books()]

    def resume(self, rest: list[list[list[Any]]]) -> None:
        """Go on from `rest`."""
        for book, entries in zip(self._books(), rest, strict=True):
            book.update({(client, direction): bits for client, direction, bits in entries})

    def _books(self) -> tuple[Counter[Account], ...]:
        return self.offered, self.delivered, self.dropped, self.in_flight

    def check(self) -> None:
        """Raise `LedgerError` unless every account balances and none is negative."""
        for account, offered in self.offered.items():
            parts = [book[account] for book in (self.delivered, self.dropped, self.in_flight)]
            if sum(parts) != offered or min(parts) < 0:
                raise LedgerError(
                    f"client {account[0]} {account[1]}: {offered} bit offered, but "
                    f"{parts[0]} delivered + {parts[1]} dropped + {parts[2]} in flight"
                )

    def totals(self) -> dict[str, int]:
        """Sums over clients, by book and direction."""
        books = {"offered": self.offered, "delivered": self.delivered,
                 "dropped": self.dropped, "in_flight": self.in_flight}  # fmt: skip
        return {
            f"{name}_{direction}_bits": sum(bits for (_, d), bits in book.items() if d == direction)
            for name, book in books.items()
            for direction in ("up", "down")
        }
