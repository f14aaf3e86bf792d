"""From SNR to rate: Shannon's formula with a gap, and its average over fading as a function of bandwidth.

Knows no schedule: it answers what rate a bandwidth gives, and which bandwidth a rate or a marginal rate asks
for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, non_negative
from channels.fading import Fading
from channels.options import Options
from channels.units import PositiveDecibels

_LN2 = math.log(2.0)
# The table in y = ln u; a cubic errs by at most step^4 / 384 times the fourth derivative, here below 1e-9.
_LOWEST_Y, _HIGHEST_Y, _STEP = math.log(1e-12), math.log(1e30), 0.02
_NEWTON_STEPS = 3  # the table starts within 1e-4, and each step squares the error
_SMALL = 1e-2  # below this the power series of `_gap_to_tangent` is the more accurate form


class LinkAdaptation(Protocol):
    """What a rate model must do.

    1. It is a frozen dataclass derived from `Options`; its first field is ``kind``.
    2. ``efficiency(snr)`` takes linear SNR of any shape, at least 0, and returns bit/s/Hz: 0 at 0,
       increasing, concave.
    3. It is a pure function. A SNR that is NaN, infinite or negative raises ValueError.
    4. The docstring is a model card. 5. It stands in `LINK_ADAPTATION` under its kind.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    def efficiency(self, snr: ArrayLike) -> Floats:
        """Spectral efficiency in bit/s/Hz."""
        ...


@dataclass(frozen=True)
class Shannon(Options):
    """Capacity of the Gaussian channel at an SNR reduced by a gap.

    Formula
    -------
    efficiency = log2(1 + snr / gap) in bit/s/Hz.

    Validity
    --------
    Where the sender knows the SNR when it sets the rate and always meets it, so no block error comes on top. There is
    no largest modulation: above about 25 dB the rate is optimistic.

    Source
    ------
    Shannon 1948; the gap: Goldsmith, *Wireless Communications*, section 9.3.

    Options
    -------
    gap_db : How much SNR practical coding and modulation give away: 0 dB is capacity itself, 3 dB a good code.
        Larger: slower.
    """

    kind: Literal["shannon"] = "shannon"
    gap_db: PositiveDecibels = 3.0

    @property
    def gap(self) -> float:
        """The gap as a ratio."""
        return float(10.0 ** (self.gap_db / 10.0))

    def efficiency(self, snr: ArrayLike) -> Floats:
        """Bit/s/Hz at linear SNR (any shape); ValueError for SNR below 0 or not finite."""
        return np.asarray(np.log1p(non_negative("a linear SNR", snr) / self.gap) / _LN2)


class RateCurve:
    """Mean rate over fading as a function of the bandwidth granted, at a fixed transmit power.

    With bandwidth b and SNR times bandwidth c = P h / (N0 F), both in Hz (power spread over the band)::

        rate(b, c) = b f(c / b),    f(g) = E[log2(1 + g X / gap)]

    X is the fading gain. In b the rate is concave and increasing, from 0 to the wideband limit c E[X] / (gap
    ln 2); for Rayleigh fading f is exp(1/s) E1(1/s) / ln 2 at s = g / gap (Alouini and Goldsmith 1999,
    doi:10.1109/25.775366). Everything follows from f at u = c / (b gap): f(u)/u falls with u, f(u) - u f'(u)
    rises with u.

    With one node the functions are exact. With more they are cubic splines in ln u, within 1e-9 of the
    quadrature for 1e-12 <= u <= 1e30; outside, the leading terms of the two limits hold to 1e-12. Inverses
    are found in the table and polished by Newton's method on the same functions, so that a round trip holds
    to about 1e-12.

    Parameters
    ----------
    gains, weights : array_like of float
        The law of X: J gains, at least 0, and their weights, which sum to 1 (`Fading.quadrature`).
    gap : float
        SNR gap as a ratio, at least 1.
    """

    def __init__(self, gains: ArrayLike, weights: ArrayLike, gap: float = 1.0) -> None:
        self._gains, self._weights = non_negative("a fading gain", gains), non_negative("a weight", weights)
        if self._gains.ndim != 1 or self._gains.shape != self._weights.shape or not self._gains.any():
            raise ValueError("gains and weights must be lists of one length, with a gain above 0")
        if not abs(self._weights.sum() - 1.0) < 1e-9:
            raise ValueError(f"weights must sum to 1; got {self._weights.sum()}")
        if not 1.0 <= gap < math.inf:
            raise ValueError(f"gap must be finite and at least 1; got {gap}")
        self._gap = float(gap)
        on = self._gains > 0.0
        self._mean = float(self._weights @ self._gains)
        self._second = float(self._weights @ self._gains**2)
        self._on = float(self._weights[on].sum())
        self._mean_log = float(self._weights[on] @ np.log(self._gains[on]))
        y = np.arange(_LOWEST_Y, _HIGHEST_Y + _STEP, _STEP)
        ratio, ratio_derivative, slope, slope_derivative = self._exact(y)
        self._y, self._ratio_table, self._slope_table = y, ratio, slope
        self._ratio_spline = _Spline(ratio, ratio_derivative)
        self._slope_spline = _Spline(slope, slope_derivative)

    @classmethod
    def of(cls, fading: Fading, adaptation: Shannon) -> RateCurve:
        """The curve of a fading model and a rate model."""
        return cls(*fading.quadrature(), gap=adaptation.gap)

    def efficiency(self, mean_snr: ArrayLike) -> Floats:
        """Mean spectral efficiency f in bit/s/Hz at linear mean SNR (any shape, at least 0)."""
        return self.rate(1.0, mean_snr)

    def limit(self, snr_hz: ArrayLike) -> Floats:
        """The wideband limit c E[X] / (gap ln 2) in bit/s, which no bandwidth reaches."""
        return np.asarray(non_negative("snr_hz", snr_hz) * (self._mean / (self._gap * _LN2)))

    def rate(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> Floats:
        """Mean rate in bit/s at bandwidth b and SNR times bandwidth c, both in Hz; they broadcast."""
        y, snr = self._log_u(bandwidth_hz, snr_hz)
        finite = np.isfinite(y)
        rate = snr / self._gap * np.exp(self._log_ratio(np.where(finite, y, 0.0))[0])
        return np.asarray(np.where(finite, rate, 0.0))

    def slope(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> Floats:
        """Marginal rate d rate / d b in bit/s/Hz; infinite at b = 0 unless c is 0, which gives 0."""
        y, _ = self._log_u(bandwidth_hz, snr_hz)
        finite = np.isfinite(y)
        slope = np.exp(self._log_slope(np.where(finite, y, 0.0))[0])
        return np.asarray(np.where(finite, slope, np.where(y > 0.0, np.inf, 0.0)))

    def bandwidth_for_rate(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> Floats:
        """Bandwidth in Hz that gives a rate in bit/s: 0 for rate 0, infinite at or above the limit."""
        rate, snr = np.broadcast_arrays(non_negative("rate_bps", rate_bps), non_negative("snr_hz", snr_hz))
        solvable = (rate > 0.0) & (rate < self.limit(snr))
        with np.errstate(divide="ignore", invalid="ignore"):
            target = np.where(solvable, np.log(rate) - np.log(snr) + math.log(self._gap), self._ratio_table[0])
        y = np.interp(-target, -self._ratio_table, self._y)  # the table falls, interp wants it rising
        low, high = target > self._ratio_table[0], target < self._ratio_table[-1]
        y = _newton(self._log_ratio, y, target)
        if low.any():
            missing = 2.0 * self._mean / self._second * (math.log(self._mean / _LN2) - target)
            with np.errstate(divide="ignore", invalid="ignore"):
                y = np.where(low, np.log(np.maximum(missing, 0.0)), y)
        if high.any():  # u = f / ratio, where f = (on ln u + mean_log) / ln 2 hardly depends on u
            for _ in range(12):
                nats = self._on * np.where(high, y, _HIGHEST_Y) + self._mean_log
                y = np.where(high, np.log(nats / _LN2) - target, y)
        with np.errstate(over="ignore"):
            bandwidth = np.exp(np.log(np.where(solvable, snr, 1.0)) - math.log(self._gap) - y)
        return np.asarray(np.where(solvable, bandwidth, np.where(rate > 0.0, np.inf, 0.0)))

    def bandwidth_for_slope(self, slope: ArrayLike, snr_hz: ArrayLike) -> Floats:
        """Bandwidth in Hz where the marginal rate is `slope` bit/s/Hz: infinite for slope 0, 0 for c = 0."""
        wanted, snr = np.broadcast_arrays(non_negative("a slope", slope), non_negative("snr_hz", snr_hz))
        positive = wanted > 0.0
        value = np.where(positive, wanted, 1.0)
        target = np.log(value)
        y = _newton(self._log_slope, np.interp(target, self._slope_table, self._y), target)
        low, high = target < self._slope_table[0], target > self._slope_table[-1]
        y = np.where(low, 0.5 * (target - math.log(self._second / (2.0 * _LN2))), y)
        y = np.where(high, (value * _LN2 + self._on - self._mean_log) / self._on, y)
        with np.errstate(over="ignore"):
            bandwidth = snr / self._gap * np.exp(-y)
        return np.asarray(np.where(snr == 0.0, 0.0, np.where(positive, bandwidth, np.inf)))

    def _log_u(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> tuple[Floats, Floats]:
        """ln(c / (b gap)), +inf where only b is 0, -inf where c is 0; and c. Both of the broadcast shape."""
        bandwidth, snr = np.broadcast_arrays(non_negative("bandwidth_hz", bandwidth_hz), non_negative("snr_hz", snr_hz))
        with np.errstate(divide="ignore"):
            y = np.log(snr) - np.log(np.where(snr > 0.0, bandwidth, 1.0)) - math.log(self._gap)
        return np.asarray(y), snr

    def _log_ratio(self, y: Floats) -> tuple[Floats, Floats]:
        """ln(f/u) and its derivative at y = ln u."""
        if self._gains.size == 1:
            value, derivative, _, _ = self._exact(np.clip(y, _LOWEST_Y, _HIGHEST_Y))
        else:
            value, derivative = self._ratio_spline(y)
        low, high = y < _LOWEST_Y, y > _HIGHEST_Y
        if low.any():
            bend = np.exp(np.where(low, y, 0.0)) * (self._second / (2.0 * self._mean))
            value = np.where(low, math.log(self._mean / _LN2) - bend, value)
            derivative = np.where(low, -bend, derivative)
        if high.any():
            nats = self._on * np.where(high, y, _HIGHEST_Y) + self._mean_log
            value = np.where(high, np.log(nats / _LN2) - y, value)
            derivative = np.where(high, self._on / nats - 1.0, derivative)
        return value, derivative

    def _log_slope(self, y: Floats) -> tuple[Floats, Floats]:
        """ln(f - u f') and its derivative at y = ln u."""
        if self._gains.size == 1:
            _, _, value, derivative = self._exact(np.clip(y, _LOWEST_Y, _HIGHEST_Y))
        else:
            value, derivative = self._slope_spline(y)
        low, high = y < _LOWEST_Y, y > _HIGHEST_Y
        if low.any():
            value = np.where(low, 2.0 * y + math.log(self._second / (2.0 * _LN2)), value)
            derivative = np.where(low, 2.0, derivative)
        if high.any():
            nats = self._on * (np.where(high, y, _HIGHEST_Y) - 1.0) + self._mean_log
            value = np.where(high, np.log(nats / _LN2), value)
            derivative = np.where(high, self._on / nats, derivative)
        return value, derivative

    def _exact(self, y: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """ln(f/u), its derivative, ln(f - u f'), its derivative, summed over the nodes; any shape of y."""
        snr = np.exp(y)[..., None] * self._gains
        nats = np.log1p(snr) @ self._weights
        tangent = _gap_to_tangent(snr) @ self._weights
        curvature = (snr / (1.0 + snr)) ** 2 @ self._weights
        return np.log(nats / _LN2) - y, -tangent / nats, np.log(tangent / _LN2), curvature / tangent


class _Spline:
    """A cubic Hermite spline over the table's even grid in y; beyond its ends, the end values."""

    def __init__(self, value: Floats, derivative: Floats) -> None:
        rise, begin, end = np.diff(value), _STEP * derivative[:-1], _STEP * derivative[1:]
        # one row a piece, so that one look-up brings all four coefficients of s^0 to s^3, s in [0, 1]
        self._pieces = np.stack([value[:-1], begin, 3.0 * rise - 2.0 * begin - end, begin + end - 2.0 * rise], 1)

    def __call__(self, y: Floats) -> tuple[Floats, Floats]:
        """Value and derivative at y, of any shape."""
        place = np.clip((y - _LOWEST_Y) / _STEP, 0.0, float(len(self._pieces)))
        piece = np.minimum(place.astype(np.int64), len(self._pieces) - 1)
        s = place - piece
        c = self._pieces[piece]
        c0, c1, c2, c3 = c[..., 0], c[..., 1], c[..., 2], c[..., 3]
        value = c0 + s * (c1 + s * (c2 + s * c3))
        return value, (c1 + s * (2.0 * c2 + s * (3.0 * c3))) / _STEP


def _gap_to_tangent(snr: Floats) -> Floats:
    """ln(1 + t) - t / (1 + t), without cancellation at small t: sum over k >= 2 of (-1)^k (k - 1) / k t^k."""
    is_small = snr < _SMALL
    small, large = snr[is_small], snr[~is_small]
    series = np.zeros_like(small)
    for k in range(9, 1, -1):
        series = small * series + (-1) ** k * (k - 1) / k
    gap = np.empty_like(snr)
    gap[is_small], gap[~is_small] = series * small * small, np.log1p(large) - large / (1.0 + large)
    return gap


def _newton(function: Callable[[Floats], tuple[Floats, Floats]], y: Floats, target: Floats) -> Floats:
    """Polish y so that function(y)[0] = target; steps are held to one interval of the table."""
    for _ in range(_NEWTON_STEPS):
        value, derivative = function(y)
        y = y - np.clip((value - target) / derivative, -_STEP, _STEP)
    return y


LINK_ADAPTATION: dict[str, type[Shannon]] = {"shannon": Shannon}
