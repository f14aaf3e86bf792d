"""Channel threshold: who has a good link sends, who has not is asked again.

Looks at links alone: neither at sizes nor at who sent before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from channels.units import Decibels
from wfl_sim.contracts import Air, Decision, Flight, Request
from wfl_sim.schedules.base import WithFraction, room, tell


@dataclass(frozen=True, kw_only=True)
class ChannelThreshold(WithFraction):
    """Clients above an SNR send, in equal shares of the band; the others are deferred, and asked again.

    Formula
    -------
    Client k sends if c_k / B0 >= 10^(threshold / 10), where c_k = P h_k / (N0 F) and B0 is the whole uplink band: the
    ``csi_snr_db`` of the trace, which depends neither on who else asks nor on the share that the client gets. With
    Rayleigh fading and CSI of the gain (``block`` or ``instantaneous``), exact and not old::

        P(send) = exp(-10^(threshold / 10) / mean SNR)

    Those above it share B: b_k = B / K with K of them, or the places of an asynchronous protocol. Uploads in flight
    keep what they hold, and nobody gets more than an even part of what is free; who would get less than a twentieth of
    B / K is deferred, the last ones first.

    Validity
    --------
    It waits for good moments, so it needs links that change: with ``large_scale`` CSI and clients that stay where they
    are, those below the threshold never send. Where all are below, nobody sends until the links are better.

    Source
    ------
    own: the probability is that of an exponential gain above a level. That devices in deep fades leave a round out is
    also part of Zhu, Wang and Huang 2018, arXiv:1812.11494, for analog transmission.

    Options
    -------
    threshold_db : The SNR in the whole uplink band from which on a client sends. Larger: fewer send, each faster.
    """

    kind: Literal["channel_threshold"] = "channel_threshold"
    threshold_db: Decibels = 0.0

    def decide(
        self,
        now_s: float,
        air: Air,
        requests: Sequence[Request],
        in_flight: Sequence[Flight],
        state: dict[str, Any],
    ) -> tuple[list[Decision], dict[str, Any]]:
        least_hz = air.bandwidth_hz * 10 ** (self.threshold_db / 10)
        above = [place for place, request in enumerate(requests) if request.snr_hz >= least_hz]
        served, _, each_hz = room(air, in_flight, len(above))
        chosen = above[:served]
        points = self.points([requests[place] for place in chosen])
        return tell(requests, chosen, [each_hz] * served, points), state
