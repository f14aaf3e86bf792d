"""Min-max: the bandwidths with which all uploads of a round are planned to end together.

Adapts the bandwidth to the link, but not what is sent: the strong baseline for synchronous rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from wfl_sim.contracts import Air, Decision, Flight, Request
from wfl_sim.schedules.base import WithFraction, finish_together, ready_to_send, room, tell


@dataclass(frozen=True)
class MinMax(WithFraction):
    """The bandwidths with which all uploads are planned to end together, at a fixed kept fraction.

    Adapts the bandwidth to the link, but not what is sent: the strong baseline for synchronous rounds.

    Formula
    -------
    With T_k the planned end of client k's upload in the bandwidth b_k, and L_k its bits with packet headers::

        minimise max_k T_k(b_k)   over   sum_k b_k = B,    T_k = ready_k + L_k / R_k(b_k)

    T_k falls in b_k, so at the optimum all T_k are equal: the common time is the root of sum_k b_k(T) = B, and each b_k
    follows from its rate. B is what uploads in flight leave free; under an asynchronous protocol that part of it which
    falls to those who ask, if all places that are left get alike. Where that is less than a twentieth of an even share
    of the band, clients are deferred, the last ones first.

    Validity
    --------
    As good as the CSI: where the links turn out differently, uploads end apart. R_k is goodput, so losses count by
    their mean alone.

    Source
    ------
    own: T_k is continuous and falls, so a client that ends early could give band to the last one.
    """

    kind: Literal["min_max"] = "min_max"

    def decide(
        self,
        now_s: float,
        air: Air,
        requests: Sequence[Request],
        in_flight: Sequence[Flight],
        state: dict[str, Any],
    ) -> tuple[list[Decision], dict[str, Any]]:
        served, band_hz, _ = room(air, in_flight, len(requests))
        if not served:
            return tell(requests, (), (), ()), state
        called = requests[:served]
        points = self.points(called)
        if served == 1:  # as under an asynchronous protocol: nobody to share with
            return tell(requests, (0,), (band_hz,), points), state
        _, bandwidth = finish_together(
            replace(air, bandwidth_hz=band_hz),
            np.array([request.snr_hz for request in called]),
            ready_to_send(called),
            [point.bits for point in points],
        )
        return tell(requests, range(served), bandwidth.tolist(), points), state
