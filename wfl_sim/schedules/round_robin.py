"""Round robin: a few clients a round, in turn, and the others sit the round out.

Looks at no link; remembers whose turn is next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from wfl_sim.contracts import Air, Decision, Flight, Request
from wfl_sim.schedules.base import LINKS, WithSenders, tell


@dataclass(frozen=True, kw_only=True)
class RoundRobin(WithSenders):
    """A few clients a round, in turn, in equal shares of the band: the others skip.

    Formula
    -------
    Of those who ask, the first S from the client whose turn it is, by number and around the end, send in b_k = B / S
    each; then it is the turn of the number behind the last of them. The turn passes nobody who asks. So after any
    round the clients that ask in every round have sent equally often, up to one; if K ask and nobody else, S R / K
    times in R rounds. Uploads in flight keep what they hold; nobody gets more than an even part of what is free.

    Validity
    --------
    Fair in turns, not in time or bits: a client with a weak link holds up those it sends with. It looks at no link, so
    what it is told of the channel changes no decision. Under an asynchronous protocol flights count among the senders,
    and clients mostly ask one by one, so that a turn is that of the client who asks.

    Source
    ------
    Yang, Liu, Quek and Poor 2019, arXiv:1908.06287, compares round robin with random and proportional fair scheduling.
    """

    unread: ClassVar[tuple[str, ...]] = LINKS

    kind: Literal["round_robin"] = "round_robin"

    def start(self) -> dict[str, Any]:
        """Client 0 is the first."""
        return {"turn": 0}

    def decide(
        self,
        now_s: float,
        air: Air,
        requests: Sequence[Request],
        in_flight: Sequence[Flight],
        state: dict[str, Any],
    ) -> tuple[list[Decision], dict[str, Any]]:
        turn = state["turn"]
        order = sorted(range(len(requests)), key=lambda place: (requests[place].client < turn, requests[place].client))
        served, _, each_hz = self.seats(air, in_flight, requests)
        chosen = order[:served]
        points = self.points([requests[place] for place in chosen])
        after = {"turn": requests[chosen[-1]].client + 1} if chosen else state
        return tell(requests, chosen, [each_hz] * served, points, "skip"), after
