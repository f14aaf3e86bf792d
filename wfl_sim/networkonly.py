"""The work of a run without learning: sizes in place of updates, and nothing to train.

Knows neither tensors nor radio; a protocol sees what it would see of a federation (`wfl_sim.contracts.Work`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wfl_sim.contracts import AnyPayload, PayloadMenu, Point, Sized

_NO_METRICS: dict[str, float | None] = {"accuracy": None, "loss": None}
_NO_DIAGNOSTICS: dict[str, Any] = {
    "rank": 0, **dict.fromkeys(("coherence_a", "coherence_b", "e_cov", "e_sp", "e_sp_score", "e_q"))
}  # fmt: skip


class NetworkOnly:
    """Clients of equal weight that share one menu, one download and one payload a point.

    Nothing is kept for a client, so that a call costs the same with any number of them.
    """

    known_at_once = True  # a size needs no training

    def __init__(self, menu: PayloadMenu, downlink_bits: int, clients: int) -> None:
        self._menu, self._weight = menu, 1.0 / clients
        self._download = Sized(downlink_bits)
        self._uploads = {point: Sized(point.bits, point.kept_fraction) for point in menu.points}

    def weight(self, client: int) -> float:
        """The same for all."""
        return self._weight

    def menu(self, client: int) -> PayloadMenu:
        """The same for all."""
        return self._menu

    def downlink(self, clients: Sequence[int]) -> Sized:
        """As much for each of them, however far behind."""
        return self._download

    def received(self, clients: Sequence[int]) -> None:
        """There is no version to keep."""

    def train(self, round_: int, clients: Sequence[int]) -> None:
        """There is nothing to train: computing takes its time by the device model all the same."""

    def encode(self, client: int, point: Point) -> Sized:
        """The size of the point."""
        return self._uploads[point]

    def stopped(self, client: int) -> None:
        """Nothing was computed."""

    def lost(self, client: int) -> None:
        """Nothing waits."""

    def aggregate(self, arrivals: Mapping[int, AnyPayload], factors: Mapping[int, float] | None = None) -> None:
        """There is no model."""

    def evaluate(self) -> dict[str, float | None]:
        """No accuracy and no loss."""
        return _NO_METRICS

    def diagnostics(self) -> dict[str, Any]:
        """None, and the rank 0."""
        return _NO_DIAGNOSTICS

    def close(self) -> None:
        """Nothing runs."""

    def model(self) -> None:
        """There is none."""

    def snapshot(self, files: object) -> None:
        """There is nothing to keep."""

    def restore(self, plain: object, files: object) -> None:
        """There was nothing to keep."""


class UnlikeClients(NetworkOnly):
    """Groups of clients that follow each other from 0 on, each with a menu and a download of its own.

    A download brings `common_bits` besides, once for all of them.
    """

    def __init__(self, sizes: Sequence[tuple[PayloadMenu, int, range]], common_bits: int = 0) -> None:
        super().__init__(sizes[0][0], sizes[0][1], sum(len(clients) for _, _, clients in sizes))
        self._groups = [(NetworkOnly(menu, bits, 1), clients) for menu, bits, clients in sizes]
        self._of = {client: group for group, clients in self._groups for client in clients}
        self._common_bits = common_bits

    def menu(self, client: int) -> PayloadMenu:
        """That of its group."""
        return self._of[client].menu(client)

    def downlink(self, clients: Sequence[int]) -> Sized:
        """What all of their groups need together."""
        asked = [group for group, own in self._groups if any(client in own for client in clients)]
        return Sized(self._common_bits + sum(group.downlink(clients).bits for group in asked))

    def encode(self, client: int, point: Point) -> Sized:
        """The size of the point."""
        return self._of[client].encode(client, point)


class StagedSizes(NetworkOnly):
    """Clients whose updates change from round to round, if something arrives in each: to be planned with.

    Until a round begins, menu and download are those given.

    Parameters
    ----------
    menu, downlink_bits, clients
        As of `NetworkOnly`.
    rounds : int
    at : callable
        Of a version of the model, from 0: the menu, and the bits of what brings clients to it.
    """

    def __init__(
        self,
        menu: PayloadMenu,
        downlink_bits: int,
        clients: int,
        rounds: int,
        at: Callable[[int], tuple[PayloadMenu, int]],
    ) -> None:
        super().__init__(menu, downlink_bits, clients)
        self._at, self._clients, self._rounds = at, clients, rounds

    def begin(self, round_: int) -> None:
        """What follows is about a round, counted from 1."""
        super().__init__(*self._at(round_ - 1), self._clients)

    def mean_bits(self) -> tuple[float, float]:
        """The mean over the rounds of a whole update, and of a download but for the first, if there is another."""
        each = [self._at(version) for version in range(self._rounds)]
        later = each[1:] or each
        return sum(menu.points[-1].bits for menu, _ in each) / len(each), sum(bits for _, bits in later) / len(later)
