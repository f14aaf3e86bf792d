"""Min-max: the bandwidths with which all uploads of a round are planned to end together.

Adapts the bandwidth to the link, but not what is sent: the strong baseline for synchronous rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from channels.units import Fraction
from wfl_sim.contracts import Air, Decision, Request
from wfl_sim.schedules.base import WithCsi, finish_together, ready_to_send, send_all


@dataclass(frozen=True)
class MinMax(WithCsi):
    """The bandwidths with which all uploads are planned to end together, at a fixed kept fraction.

    They minimise max_k T_k(b_k) under sum b_k = B.

    T_k = ready_k + bits_k / R_k(b_k) falls in b_k, so at the optimum all T_k are equal; the common time is
    found by bisection and each b_k from its rate.
    """

    kind: Literal["min_max"] = "min_max"
    kept_fraction: Fraction = 1.0

    def decide(
        self, now_s: float, air: Air, requests: Sequence[Request], state: dict[str, float]
    ) -> tuple[list[Decision], dict[str, float]]:
        points = [request.menu.nearest(self.kept_fraction) for request in requests]
        _, bandwidth = finish_together(
            air,
            np.array([request.snr_hz for request in requests]),
            ready_to_send(requests),
            [point.bits for point in points],
        )
        return send_all(requests, bandwidth, points), state
