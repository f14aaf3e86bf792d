"""Equal shares: every client gets the same bandwidth and sends at a fixed kept fraction.

Looks at no link; the plainest baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from channels.units import Fraction
from wfl_sim.contracts import Air, Decision, Flight, Request
from wfl_sim.schedules.base import WithCsi, send_all


@dataclass(frozen=True)
class Equal(WithCsi):
    """Equal shares of the band for every client, whatever its link.

    With a work-conserving uplink, bandwidth that falls free is still shared out at once, which makes this a stronger
    baseline than a fixed split.

    Formula
    -------
    b_k = B / K for each of the K clients, and the same kept fraction for all.

    Validity
    --------
    The plainest baseline: it looks at no link, so what it is told of the channel changes no decision, and the
    slowest client sets the time of a synchronous round.

    Source
    ------
    own: equal shares.

    Options
    -------
    kept_fraction : Share of every update that is sent, taken down to the nearest point that the codec offers (its
        smallest if none is that small). Smaller: faster, less exact.
    """

    kind: Literal["equal"] = "equal"
    kept_fraction: Fraction = 1.0

    def decide(
        self,
        now_s: float,
        air: Air,
        requests: Sequence[Request],
        in_flight: Sequence[Flight],
        state: dict[str, Any],
    ) -> tuple[list[Decision], dict[str, Any]]:
        share = np.full(len(requests), air.bandwidth_hz / len(requests))
        points = [request.menu.nearest(self.kept_fraction) for request in requests]
        return send_all(requests, share, points), state
