"""What schedules share: their view of the link (CSI) and the bandwidths that let all finish together.

Knows plain numbers; neither SimPy nor tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from channels.options import Options
from channels.units import Delay, PositiveDecibels
from wfl_sim.contracts import Air, Decision, FloatArray, Point, Request

_HALVINGS = 100  # of an interval of log time: more than a float can tell apart


@dataclass(frozen=True, kw_only=True)
class WithCsi(Options):
    """Options of every schedule that looks at the link.

    `csi` is what it sees: ``large_scale`` (path loss and shadowing; plans with the ergodic rate), ``block``
    (the gain, constant over the round and known: the usual assumption of papers) or ``instantaneous`` (the
    gain at the decision; with Doppler it says little about an upload of a second). The view may be
    `csi_delay` old, and wrong by a normal error of standard deviation `csi_error`.
    """

    csi: Literal["large_scale", "block", "instantaneous"] = "large_scale"
    csi_delay_s: Delay = 0.0
    csi_error_db: PositiveDecibels = 0.0

    @property
    def latency_budget(self) -> float | None:
        """The long-term mean round time that is promised; none unless a schedule says so."""
        return None

    def start(self) -> dict[str, float]:
        """State before the first round: none unless a schedule has some."""
        return {}

    def observe(self, round_s: float, state: dict[str, float]) -> dict[str, float]:
        """Learn how long a round really took."""
        return state


def finish_together(
    air: Air, snr_hz: FloatArray, ready_s: FloatArray, bits: Sequence[float]
) -> tuple[float, FloatArray]:
    """The bandwidths that let all uploads end at one time, the earliest at which the band carries them.

    Parameters
    ----------
    air : Air
    snr_hz, ready_s : array [clients]
        SNR-bandwidth products in Hz, and the times before the uploads can start.
    bits : [clients]
        Payload sizes.

    Returns
    -------
    (finish_s, bandwidth_hz) : the time, and an array [clients] that sums to the band
    """
    wire = np.array([air.wire_bits(b) for b in bits])

    def needed(slack_s: float) -> FloatArray:
        rate = wire / (ready_s.max() - ready_s + slack_s) / air.goodput
        return np.asarray(air.curve.bandwidth_for_rate(rate, snr_hz))

    low, high = 0.0, 1e-3
    while needed(high).sum() > air.bandwidth_hz:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (middle, high) if needed(middle).sum() > air.bandwidth_hz else (low, middle)
    bandwidth = needed(high)
    return float(ready_s.max() + high), bandwidth * (air.bandwidth_hz / bandwidth.sum())


def send_all(requests: Sequence[Request], bandwidth_hz: FloatArray, points: Sequence[Point]) -> list[Decision]:
    """One decision to send a request."""
    return [
        Decision(request.client, "send", float(band), point)
        for request, band, point in zip(requests, bandwidth_hz, points, strict=True)
    ]
