"""Max-rate: the few clients with the best links send, and the others sit the round out.

Looks at links alone: neither at sizes nor at who sent before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from wfl_sim.contracts import Air, Decision, Flight, Request
from wfl_sim.schedules.base import WithSenders, tell


@dataclass(frozen=True, kw_only=True)
class MaxRate(WithSenders):
    """The clients with the best links only: the others skip.

    Formula
    -------
    With c_k = P h_k / (N0 F) and S the number of senders: the S clients of the largest c_k send, those of equal links
    by their number. The rate in any common bandwidth rises with c_k, so theirs are the S largest rates. Their shares::

        equal       b_k = B / S
        sum_rate    b_k = B c_k / sum_j c_j

    The second has the largest sum of rates: R_k = b_k f(c_k / b_k) with f concave, so sum_k R_k <= B f(sum_k c_k / B),
    which is met where all have the same SNR. B is what uploads in flight leave free.

    Validity
    --------
    Fast and biased: by ``large_scale`` CSI the same near clients send in every round, and what the others have learnt
    never counts. With fading that changes from round to round, and clients equally far, all have their turn. Under an
    asynchronous protocol flights count among the senders, and clients mostly ask one by one, so that there is little
    to choose from.

    Source
    ------
    own: a baseline. Channel conditions alone are one of two criteria compared by Amiri, Gunduz, Kulkarni and Poor 2020,
    arXiv:2001.10402.

    Options
    -------
    shares : Whether senders get ``equal`` shares of the band, or those of the largest sum of rates (``sum_rate``),
        which lets the better link have more.
    """

    kind: Literal["max_rate"] = "max_rate"
    shares: Literal["equal", "sum_rate"] = "equal"

    def decide(
        self,
        now_s: float,
        air: Air,
        requests: Sequence[Request],
        in_flight: Sequence[Flight],
        state: dict[str, Any],
    ) -> tuple[list[Decision], dict[str, Any]]:
        served, band_hz, each_hz = self.seats(air, in_flight, requests)
        snr_hz = np.array([request.snr_hz for request in requests])
        order = np.lexsort((np.array([request.client for request in requests]), -snr_hz))
        chosen = [int(place) for place in order[:served] if snr_hz[place] > 0]
        bandwidth = np.full(len(chosen), each_hz)
        if self.shares == "sum_rate" and chosen:
            bandwidth = band_hz * snr_hz[chosen] / snr_hz[chosen].sum()
        points = self.points([requests[place] for place in chosen])
        return tell(requests, chosen, bandwidth.tolist(), points, "skip"), state
