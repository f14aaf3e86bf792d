"""What schedules share: their view of the link (CSI) and the bandwidths that let all finish together.

Knows plain numbers; neither SimPy nor tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

from channels.options import Options
from channels.units import Delay, Quantity
from wfl_sim.contracts import Air, Decision, FloatArray, Point, Request

_STEPS = 60  # of a search, at most; a smooth function takes about ten
_NEAR = 1e-13  # of a logarithm or of a relative error: a few hundred of its last bits


@dataclass(frozen=True, kw_only=True)
class WithCsi(Options):
    """Options of every schedule: what it may know of the links (CSI).

    Options
    -------
    csi : What the schedule sees of a link. ``large_scale`` is path loss and shadowing, and it plans with the mean rate
        over the fading. ``block`` and ``instantaneous`` are the gain at one moment, taken as constant over the round:
        both are computed alike; say ``block`` with block fading that lasts a round, the usual assumption of papers, and
        ``instantaneous`` with fading that moves on, of which one moment says little.
    csi_delay_s : How old that view is when the schedule decides. Larger: the gain has moved further meanwhile.
    csi_error_db : Standard deviation of a normal error in that view, drawn for each client and round.
    """

    csi: Literal["large_scale", "block", "instantaneous"] = "large_scale"
    csi_delay_s: Delay = 0.0
    csi_error_db: Annotated[float, Quantity("dB", ge=0, le=40)] = 0.0

    @property
    def latency_budget(self) -> float | None:
        """The long-term mean round time that is promised; none unless a schedule says so."""
        return None

    def start(self) -> dict[str, Any]:
        """State before the first round: none unless a schedule has some."""
        return {}

    def observe(self, round_s: float, state: dict[str, Any]) -> dict[str, Any]:
        """Learn how long a round really took."""
        return state


def ready_to_send(requests: Sequence[Request]) -> FloatArray:
    """The times [clients] before the uploads can start if all these clients are called."""
    broadcast_s = max(request.downlink_s for request in requests)
    return np.array([broadcast_s + request.ready_s for request in requests])


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

    def needed(log_slack: FloatArray) -> FloatArray:
        rate = wire / (ready_s.max() - ready_s + np.exp(log_slack)[:, None]) / air.goodput
        return np.asarray(air.curve.bandwidth_for_rate(rate, snr_hz))

    def excess(log_slack: FloatArray) -> FloatArray:
        return np.asarray(np.log(needed(log_slack).sum(axis=1) / air.bandwidth_hz))

    low, high = np.log([1e-9]), np.log([1e-3])
    while excess(high)[0] > 0:
        low, high = high, high + 1.0
    log_slack = falling_root(excess, low, high)
    bandwidth = needed(log_slack)[0]
    return float(ready_s.max() + np.exp(log_slack[0])), bandwidth * (air.bandwidth_hz / bandwidth.sum())


def falling_root(function: Callable[[FloatArray], FloatArray], low: FloatArray, high: FloatArray) -> FloatArray:
    """Where a falling function is 0, element by element; an end of the interval where it has one sign there.

    Logarithms in, relative errors out: both are found to `_NEAR`. Chandrupatla's method (1997,
    doi:10.1016/S0965-9978(96)00051-8): inverse quadratic interpolation where that is safe, else bisection.
    """
    a, b = high, low
    at_a, at_b = function(a), function(b)
    inside = (at_b > 0) & (at_a < 0)
    end = np.where(at_a >= 0, high, low)
    share = np.full_like(a, 0.5)
    with np.errstate(all="ignore"):  # elements that are done divide 0 by 0
        for _ in range(_STEPS):
            new = np.where(inside, a + share * (b - a), end)
            value = function(new)
            same = np.sign(value) == np.sign(at_a)
            c, at_c = np.where(same, a, b), np.where(same, at_a, at_b)
            b, at_b = np.where(same, b, a), np.where(same, at_b, at_a)
            a, at_a = new, value
            least_share = _NEAR * np.maximum(np.abs(a), 1.0) / np.abs(b - a)
            done = (least_share > 0.5) | (np.abs(at_a) <= _NEAR) | ~inside
            if done.all():
                break
            xi, phi = (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
            quadratic = at_a / (at_b - at_a) * at_c / (at_b - at_c)
            quadratic = quadratic + (c - a) / (b - a) * at_a / (at_c - at_a) * at_b / (at_c - at_b)
            safe = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi) & np.isfinite(quadratic)
            share = np.clip(np.where(safe, quadratic, 0.5), least_share, 1 - least_share)
            share = np.where(done, 0.0, share)
    return np.where(inside, a, end)


def send_all(requests: Sequence[Request], bandwidth_hz: FloatArray, points: Sequence[Point]) -> list[Decision]:
    """One decision to send a request."""
    return [
        Decision(request.client, "send", float(band), point)
        for request, band, point in zip(requests, bandwidth_hz, points, strict=True)
    ]
