"""The learning side of groups of clients: one federation a group, and what all of them are on the same air.

Knows clients, shares and payloads; neither methods nor tensors. A group's federation merges what comes from its own
clients alone, so that FedAvg here is FedAvg within equal groups. Its clients keep their numbers of the whole run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wfl_sim.contracts import AnyPayload, Params, Payload, PayloadMenu, Point, Work
from wfl_sim.statefiles import StateFiles

MEANS = ("e_cov", "e_sp", "e_sp_score", "e_q")
MOSTS = ("rank", "coherence_a", "coherence_b")


@dataclass(frozen=True)
class Member:
    """A group: its clients, what they learn, at which rank, from how many training examples, and by which work."""

    name: str
    task: str
    clients: range
    examples: int
    work: Work


class Grouped:
    """A `Work` whose clients each belong to one of several.

    Weights are shares of the training examples of all groups. A broadcast to clients of several groups carries what
    each of these groups needs, one after the other. Metrics, and errors of an aggregation, are means over the groups,
    weighted by their training examples; of ranks and coherences it is the largest.

    Parameters
    ----------
    members : sequence of Member
        Whose clients follow each other from 0 on.
    """

    known_at_once = False

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = tuple(members)
        self._of = {client: member for member in members for client in member.clients}
        total = sum(member.examples for member in members)
        self._share = {member.name: member.examples / total for member in members}
        self.menus_change = any(getattr(member.work, "menus_change", False) for member in members)
        self.menus_vary = any(getattr(member.work, "menus_vary", False) for member in self.members)

    def weight(self, client: int) -> float:
        """The client's share of all examples of all groups."""
        member = self._of[client]
        return self._share[member.name] * member.work.weight(client)

    def menu(self, client: int) -> PayloadMenu:
        """That of its group."""
        return self._of[client].work.menu(client)

    def importance(self, client: int) -> float:
        """The energy of the client's last change, or nan."""
        return float(self._of[client].work.importance(client))  # type: ignore[attr-defined]

    def downlink(self, clients: Sequence[int]) -> AnyPayload:
        """What each of their groups needs, in the order of groups."""
        parts = [member.work.downlink(own) for member, own in self._apart(clients)]
        if len(parts) == 1:
            return parts[0]
        assert all(isinstance(part, Payload) for part in parts)  # groups learn
        return Payload(b"".join(part.data for part in parts if isinstance(part, Payload)), 1.0)

    def received(self, clients: Sequence[int]) -> None:
        """Tell their groups."""
        for member, own in self._apart(clients):
            member.work.received(own)

    def train(self, round_: int, clients: Sequence[int]) -> None:
        """Start to train them, those of a group together."""
        for member, own in self._apart(clients):
            member.work.train(round_, own)

    def encode(self, client: int, point: Point) -> AnyPayload | None:
        """As its group does."""
        return self._of[client].work.encode(client, point)

    def stopped(self, client: int) -> None:
        """Tell its group."""
        self._of[client].work.stopped(client)

    def lost(self, client: int) -> None:
        """Tell its group."""
        self._of[client].work.lost(client)

    def aggregate(self, arrivals: Mapping[int, AnyPayload], factors: Mapping[int, float] | None = None) -> None:
        """Each group merges what came from its own clients; one of which nobody came stays as it was."""
        for member in self.members:
            own = {client: arrivals[client] for client in arrivals if client in member.clients}
            member.work.aggregate(own, factors)

    def evaluate(self) -> dict[str, Any]:
        """The means over the groups, and the row of each."""
        rows = []
        for member in self.members:
            found = member.work.evaluate()
            rows.append(
                {
                    "name": member.name,
                    "task": member.task,
                    "first_client": member.clients.start,
                    "clients": len(member.clients),
                    "share": self._share[member.name],
                    "rank": member.work.rank,  # type: ignore[attr-defined]
                    "accuracy": found["accuracy"],
                    "loss": found["loss"],
                }
            )
        return {name: self._mean(row[name] for row in rows) for name in ("accuracy", "loss")} | {"groups": rows}

    def diagnostics(self) -> dict[str, Any]:
        """Of all groups together."""
        found = [member.work.diagnostics() for member in self.members]
        most = {name: max((d[name] for d in found if d[name] is not None), default=None) for name in MOSTS}
        return most | {name: self._mean(d.get(name) for d in found) for name in MEANS}

    def _mean(self, values: Iterable[float | None]) -> float | None:
        """Weighted by examples, over the groups that have a value."""
        known = [(self._share[m.name], v) for m, v in zip(self.members, values, strict=True) if v is not None]
        total = sum(share for share, _ in known)
        return sum(share * value for share, value in known) / total if known else None

    def model(self) -> tuple[int, Params] | None:
        """The models of all groups, ``GROUP.`` before the names of each; their versions are counted together."""
        found = {member.name: member.work.model() for member in self.members}
        models = {name: one for name, one in found.items() if one is not None}
        joined = {f"{name}.{key}": value for name, (_, params) in models.items() for key, value in params.items()}
        return sum(version for version, _ in models.values()), joined

    def snapshot(self, files: StateFiles) -> dict[str, Any]:
        """Those of all groups."""
        return {member.name: member.work.snapshot(files) for member in self.members}

    def restore(self, plain: Mapping[str, Any], files: StateFiles) -> None:
        """Go on from there."""
        for member in self.members:
            member.work.restore(plain[member.name], files)

    def close(self) -> None:
        """Stop what still trains."""
        for member in self.members:
            member.work.close()

    def _apart(self, clients: Sequence[int]) -> list[tuple[Member, list[int]]]:
        """Clients by their groups, in the order of groups."""
        asked = [(member, [client for client in clients if client in member.clients]) for member in self.members]
        return [(member, own) for member, own in asked if own]
