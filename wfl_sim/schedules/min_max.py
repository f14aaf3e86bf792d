"""Min-max: the bandwidths with which all uploads of a round are planned to end together.

Adapts the bandwidth to the link, but not what is sent: the strong baseline for synchronous rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from channels.units import Fraction
from wfl_sim.contracts import Air, Decision, Flight, Request
from wfl_sim.schedules.base import WithCsi, finish_together, ready_to_send, send_all


@dataclass(frozen=True)
class MinMax(WithCsi):
    """The bandwidths with which all uploads are planned to end together, at a fixed kept fraction.

    Adapts the bandwidth to the link, but not what is sent: the strong baseline for synchronous rounds.

    Formula
    -------
    With T_k the planned end of client k's upload in the bandwidth b_k, and L_k its bits with packet headers::

        minimise max_k T_k(b_k)   over   sum_k b_k = B,    T_k = ready_k + L_k / R_k(b_k)

    T_k falls in b_k, so at the optimum all T_k are equal: the common time is the root of sum_k b_k(T) = B, and each b_k
    follows from its rate.

    Validity
    --------
    As good as the CSI: where the links turn out differently, uploads end apart. R_k is goodput, so losses count by
    their mean alone.

    Source
    ------
    own: T_k is continuous and falls, so a client that ends early could give band to the last one.

    Options
    -------
    kept_fraction : Share of every update that is sent, taken down to the nearest point that the codec offers (its
        smallest if none is that small). Smaller: faster, less exact.
    """

    kind: Literal["min_max"] = "min_max"
    kept_fraction: Fraction = 1.0

    def decide(
        self,
        now_s: float,
        air: Air,
        requests: Sequence[Request],
        in_flight: Sequence[Flight],
        state: dict[str, Any],
    ) -> tuple[list[Decision], dict[str, Any]]:
        points = [request.menu.nearest(self.kept_fraction) for request in requests]
        _, bandwidth = finish_together(
            air,
            np.array([request.snr_hz for request in requests]),
            ready_to_send(requests),
            [point.bits for point in points],
        )
        return send_all(requests, bandwidth, points), state
