"""Mean rate over fading as a function of bandwidth, and its inverses: what schedules plan with.

Knows no schedule: it answers what rate a bandwidth gives, and which bandwidth a rate or a marginal rate asks
for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, non_negative
from channels.fading import Fading

if TYPE_CHECKING:
    from channels.linkadaptation import Shannon

_LN2 = math.log(2.0)
# The table in y = ln u; a cubic errs by at most step^4 / 384 times the fourth derivative, here below 1e-9.
_LOWEST_Y, _HIGHEST_Y, _STEP = math.log(1e-12), math.log(1e30), 0.02
_NEWTON_STEPS = 3  # the table starts within 1e-4, and each step squares the error
_SMALL = 1e-2  # below this the power series of `_gap_to_tangent` is the more accurate form
_TILT = 1e-6  # by how much a capped slope falls from bandwidth 0 to the end of the cap, relative


class Plan(NamedTuple):
    """A rate model as planning sees it: min(scale log2(1 + snr / gap), cap) bit/s/Hz; the gap is a ratio."""

    scale: float
    gap: float
    cap: float


class Law(Protocol):
    """What a curve asks of a fading model, or of recordings."""

    def quadrature(self) -> tuple[Floats, Floats]:
        """Gains [J] of mean 1 and weights [J]."""
        ...


class Curve(Protocol):
    """What a schedule may ask of the links: see `RateCurve`. The rate is concave in the bandwidth."""

    def limit(self, snr_hz: ArrayLike) -> Floats:
        """The rate that no bandwidth passes, in bit/s."""
        ...

    def rate(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> Floats:
        """Mean rate in bit/s."""
        ...

    def slope(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> Floats:
        """Marginal rate in bit/s/Hz."""
        ...

    def bandwidth_for_rate(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> Floats:
        """Bandwidth in Hz that gives a rate."""
        ...

    def bandwidth_for_slope(self, slope: ArrayLike, snr_hz: ArrayLike) -> Floats:
        """Bandwidth in Hz at which the marginal rate is `slope`."""
        ...


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


class CappedCurve:
    """A rate curve times a factor, held below a largest efficiency.

    With the curve R(b, c) of `RateCurve`, a factor `scale` and a largest efficiency `cap` in bit/s/Hz::

        rate(b, c) = min(scale R(b, c), cap b)

    which is concave in b too: the cap binds for b < c / g0, where scale R(1, g0) = cap. It is the mean rate where the
    gain is known. Over fading it is an upper bound, since a mean of capped rates is below the capped mean: close to it
    except where the mean SNR is near g0.

    While the cap binds, the rate is a straight line, and any bandwidth would do for its slope. So that marginal rate
    and bandwidth determine each other, the slope is taken to fall there by 1e-6 of itself, in the mean that of the
    line.

    Parameters
    ----------
    curve : RateCurve
    scale : float
        Above 0.
    cap : float
        Above 0, in bit/s/Hz.
    """

    def __init__(self, curve: RateCurve, scale: float, cap: float) -> None:
        if not 0.0 < scale < math.inf or not 0.0 < cap < math.inf:
            raise ValueError(f"scale and cap must be finite and above 0; got {scale} and {cap}")
        self._curve, self._scale, self._cap = curve, float(scale), float(cap)
        low, high = -700.0, 700.0  # ln g0
        for _ in range(60):
            middle = 0.5 * (low + high)
            above = scale * float(curve.rate(1.0, math.exp(middle))) > cap
            low, high = (low, middle) if above else (middle, high)
        self._knee = math.exp(0.5 * (low + high))

    def limit(self, snr_hz: ArrayLike) -> Floats:
        """The wideband limit in bit/s, which no bandwidth reaches."""
        return np.asarray(self._scale * self._curve.limit(snr_hz))

    def rate(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> Floats:
        """Mean rate in bit/s at bandwidth b and SNR times bandwidth c, both in Hz; they broadcast."""
        free = self._scale * self._curve.rate(bandwidth_hz, snr_hz)
        return np.minimum(free, self._cap * np.asarray(bandwidth_hz, dtype=np.float64))

    def slope(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> Floats:
        """Marginal rate d rate / d b in bit/s/Hz: the cap while it binds, 0 where c is 0."""
        free = self._scale * self._curve.slope(bandwidth_hz, snr_hz)
        bandwidth, snr = np.broadcast_arrays(non_negative("bandwidth_hz", bandwidth_hz), non_negative("snr_hz", snr_hz))
        knee_hz = snr / self._knee
        binds = (bandwidth < knee_hz) & (snr > 0.0)
        place = np.where(binds, bandwidth, 0.0) / np.where(binds, knee_hz, 1.0)
        return np.asarray(np.where(binds, self._cap * (1.0 + _TILT * (0.5 - place)), free))

    def bandwidth_for_rate(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> Floats:
        """Bandwidth in Hz that gives a rate in bit/s: 0 for rate 0, infinite at or above the limit."""
        rate = non_negative("rate_bps", rate_bps)
        return np.maximum(self._curve.bandwidth_for_rate(rate / self._scale, snr_hz), rate / self._cap)

    def bandwidth_for_slope(self, slope: ArrayLike, snr_hz: ArrayLike) -> Floats:
        """Bandwidth in Hz where the marginal rate is `slope` bit/s/Hz: infinite for slope 0, 0 for c = 0."""
        wanted = non_negative("a slope", slope)
        free = self._curve.bandwidth_for_slope(wanted / self._scale, snr_hz)
        knee_hz = non_negative("snr_hz", snr_hz) / self._knee
        bound = knee_hz * np.clip(0.5 - (wanted / self._cap - 1.0) / _TILT, 0.0, 1.0)
        return np.asarray(np.where(free < knee_hz, bound, free))


def planning_curve(fading: Law, plan: Plan) -> Curve:
    """The mean rate over a fading model, for a rate model whose plan is given."""
    gains, weights = fading.quadrature()
    curve = _curve(tuple(map(float, gains)), tuple(map(float, weights)), plan.gap)
    return curve if plan.scale == 1.0 and plan.cap == math.inf else CappedCurve(curve, plan.scale, plan.cap)


@lru_cache(maxsize=16)
def _curve(gains: tuple[float, ...], weights: tuple[float, ...], gap: float) -> RateCurve:
    """Made once: a run plans with the same law in both directions, and so do runs with other seeds."""
    return RateCurve(gains, weights, gap)


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
