"""A rate curve out of tables: what a search over many bandwidths at once asks before it asks the curve itself.

Knows one curve, of which the mean rate is b f(c / b); neither clients nor what is searched for.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from channels.ratecurve import Curve
from wfl_sim.contracts import FloatArray

_FROM, _TO, _STEP = -20.0, 60.0, 0.005  # of y = ln(c / b); straight lines between err by step^2 / 8 at a bend of 1
_SLOPE_STEP = 0.002  # of ln(slope), which changes slowly with y where the SNR is high


class RoughCurve:
    """The functions of `channels.ratecurve.Curve` by linear interpolation: relative errors of about 1e-5.

    All curves are of the form rate(b, c) = c F(b / c), so that tables in y = ln(c / b) do for all links. Beyond
    -20 <= y <= 60 the ends of the tables stand for what lies there. Where the curve has a bend, as one that is capped
    has, errors are about 1e-3 beside it.

    Parameters
    ----------
    curve : Curve
    """

    def __init__(self, curve: Curve) -> None:
        y = np.arange(_FROM, _TO + _STEP, _STEP)
        rate = np.asarray(curve.rate(np.exp(-y), 1.0))
        slope = np.log(np.maximum(curve.slope(np.exp(-y), 1.0), 1e-290))
        self._limit = float(curve.limit(1.0))
        self._log_rate = _Table(_FROM, _STEP, np.log(np.maximum(rate, 1e-290)))
        self._log_slope = _Table(_FROM, _STEP, slope)
        # ln(limit / rate - 1) is nearly a straight line in y from one end to the other
        missing = np.maximum.accumulate(np.log(np.maximum(self._limit / np.maximum(rate, 1e-290) - 1, 1e-15)))
        even = np.arange(missing[0], missing[-1] + _STEP, _STEP)
        self._y_of_missing = _Table(float(missing[0]), _STEP, np.interp(even, missing, y))
        rising = np.maximum.accumulate(slope)
        even = np.arange(rising[0], rising[-1] + _SLOPE_STEP, _SLOPE_STEP)
        self._y_of_slope = _Table(float(rising[0]), _SLOPE_STEP, np.interp(even, rising, y))

    def limit(self, snr_hz: ArrayLike) -> FloatArray:
        """The rate that no bandwidth passes, in bit/s."""
        return np.asarray(self._limit * np.asarray(snr_hz, dtype=np.float64))

    def rate(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        """Mean rate in bit/s."""
        return np.asarray(np.asarray(snr_hz) * np.exp(self._log_rate(_y(bandwidth_hz, snr_hz))))

    def slope(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        """Marginal rate in bit/s/Hz."""
        return np.asarray(np.exp(self._log_slope(_y(bandwidth_hz, snr_hz))))

    def bend(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        """How ln(slope) changes with ln(bandwidth): below 0."""
        return -self._log_slope.slope(_y(bandwidth_hz, snr_hz))

    def bandwidth_for_rate(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        """Bandwidth in Hz that gives a rate; infinite at or above the limit."""
        snr = np.asarray(snr_hz, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            missing = self._limit * snr / np.asarray(rate_bps, dtype=np.float64) - 1
            y = self._y_of_missing(np.log(np.where(missing > 0, missing, 1.0)))
        return np.asarray(np.where(missing > 0, snr * np.exp(-y), np.inf))

    def bandwidth_for_slope(self, slope: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        """Bandwidth in Hz at which the marginal rate is `slope`."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.asarray(snr_hz) * np.exp(-self._y_of_slope(np.log(slope))))


class _Table:
    """A function on an even grid, with straight lines between and its end values beyond."""

    def __init__(self, start: float, step: float, value: FloatArray) -> None:
        self._start, self._per_step, self._last = start, 1 / step, float(value.size - 1)
        self._value, self._rise = value, np.append(np.diff(value), 0.0)

    def __call__(self, x: FloatArray) -> FloatArray:
        place = np.clip((x - self._start) * self._per_step, 0.0, self._last)
        piece = place.astype(np.int64)
        return np.asarray(self._value[piece] + (place - piece) * self._rise[piece])

    def slope(self, x: FloatArray) -> FloatArray:
        """Of the straight line at x."""
        place = np.clip((x - self._start) * self._per_step, 0.0, self._last - 1)
        return np.asarray(self._per_step * self._rise[place.astype(np.int64)])


def _y(bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(snr_hz) - np.log(bandwidth_hz))


def rough(curve: Curve) -> RoughCurve:
    """The tables of a curve; made once for it."""
    if isinstance(curve, RoughCurve):
        return curve
    return _tables(curve) if isinstance(curve, Hashable) else RoughCurve(curve)


_tables = lru_cache(maxsize=16)(RoughCurve)
