"""Equal shares: every client gets the same bandwidth and sends at a fixed kept fraction.

Looks at no link; the plainest baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from wfl_sim.contracts import Air, Decision, Flight, Request
from wfl_sim.schedules.base import LINKS, WithFraction, room, tell


@dataclass(frozen=True)
class Equal(WithFraction):
    """Equal shares of the band for every client, whatever its link.

    With a work-conserving uplink, bandwidth that falls free is still shared out at once, which makes this a stronger
    baseline than a fixed split.

    Formula
    -------
    b_k = B / K for each of the K clients, and the same kept fraction for all. K is how many may send side by side: the
    places of an asynchronous protocol, else those who ask. Uploads in flight keep what they hold, and nobody gets more
    than an even part of what is free; who would get less than a twentieth of B / K is deferred.

    Validity
    --------
    The plainest baseline: it looks at no link, so what it is told of the channel changes no decision, and the
    slowest client sets the time of a synchronous round.

    Source
    ------
    own: equal shares.
    """

    unread: ClassVar[tuple[str, ...]] = LINKS

    kind: Literal["equal"] = "equal"

    def decide(
        self,
        now_s: float,
        air: Air,
        requests: Sequence[Request],
        in_flight: Sequence[Flight],
        state: dict[str, Any],
    ) -> tuple[list[Decision], dict[str, Any]]:
        served, _, each_hz = room(air, in_flight, len(requests))
        points = self.points(requests[:served])
        return tell(requests, range(served), [each_hz] * served, points), state
