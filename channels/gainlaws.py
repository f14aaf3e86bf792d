"""Laws of a fading gain of mean 1 as nodes and weights, and the map from one gamma law to another.

Knows no time and no client.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from channels.arrays import Floats

# scipy.special is imported where it is needed: it takes a quarter of a second, which most runs can do without.

_NODES = 160
_LOWEST_LOG_GAIN, _HIGHEST_LOG_GAIN = -30.0, 4.2
_WIDEST_STEP = 0.2  # in ln x: the trapezoid rule then errs by exp(-2 pi (pi/2) / 0.2), below the last bit
_NEGLIGIBLE = 34.0  # nats below the highest weight: 1e-15
_MAP_LOWEST, _MAP_STEP = -20.0, 1.0 / 64.0  # below e^-20 both laws are powers, and the map is a line in logarithms


def exponential_quadrature() -> tuple[Floats, Floats]:
    """Gains [J] and weights [J] for averages over Exp(1): the trapezoid rule in y = ln x over [-30, 4.2].

    The weight of a node is e^y exp(-e^y), scaled to sum 1. The rule converges exponentially for integrands
    that are smooth in ln x, such as log(1 + g x) for any g: with 160 nodes the error is below 1e-12.
    """
    log_gain = np.linspace(_LOWEST_LOG_GAIN, _HIGHEST_LOG_GAIN, _NODES)
    gain = np.exp(log_gain)
    weight = gain * np.exp(-gain)
    return gain, weight / weight.sum()


@cache
def gamma_quadrature(shape: float) -> tuple[Floats, Floats]:
    """Gains [J] and weights [J] of the gamma law of mean 1: the trapezoid rule in ln x, as in the exponential."""
    return _quadrature(lambda y: shape * (y - np.exp(y)), 0.0)


@cache
def rician_quadrature(k: float) -> tuple[Floats, Floats]:
    """Gains [J] and weights [J] of the Rician power of mean 1 with K factor `k` (a ratio), by the same rule.

    The density is (1 + K) exp(-K - (1 + K) x) I0(2 sqrt(K (1 + K) x)).
    """
    from scipy.special import i0e

    def log_weight(y: Floats) -> Floats:
        root = np.sqrt((1.0 + k) * np.exp(y))
        return np.asarray(y - (root - math.sqrt(k)) ** 2 + np.log(i0e(2.0 * math.sqrt(k) * root)))

    near = np.linspace(-3.0, 1.0, 401)
    return _quadrature(log_weight, float(near[np.argmax(log_weight(near))]))


def _quadrature(log_weight: Callable[[Floats], Floats], top: float) -> tuple[Floats, Floats]:
    """The trapezoid rule in y = ln x wherever the weight counts; it rises up to `top`, about, and falls from there."""

    def value(y: float) -> float:
        return float(log_weight(np.array([y]))[0])

    least, ends = value(top) - _NEGLIGIBLE, []
    for outside in (top - 400.0, top + 6.0):
        inside = top
        for _ in range(50):
            middle = 0.5 * (inside + outside)
            inside, outside = (middle, outside) if value(middle) > least else (inside, middle)
        ends.append(inside)
    log_gain = np.linspace(ends[0], ends[1], max(_NODES, math.ceil((ends[1] - ends[0]) / _WIDEST_STEP) + 1))
    logs = log_weight(log_gain)
    weight = np.exp(logs - logs.max())
    gain = np.exp(log_gain)
    gain.flags.writeable = weight.flags.writeable = False
    return gain, weight / weight.sum()


class GammaMap:
    """The increasing map that takes a gamma law of mean 1 and shape `old` to that of shape `new`.

    It is held as a cubic spline of ln(image) over ln(gain) with exact slopes, good to 1e-11 of the image for gains from
    e^-20 to e^4.2 = 66. Smaller gains follow the power law of both tails: to 1e-7 for old shapes up to 1, more roughly
    for larger ones, which draw no such gain. Larger gains are taken for 66.
    """

    def __init__(self, old: float, new: float) -> None:
        from scipy.special import gammainc, gammaincc, gammainccinv, gammaincinv, gammaln

        y = np.arange(_MAP_LOWEST, _HIGHEST_LOG_GAIN + _MAP_STEP, _MAP_STEP)
        x = old * np.exp(y)
        below = gammainc(old, x)
        image = np.where(below < 0.5, gammaincinv(new, np.minimum(below, 0.5)),
                         gammainccinv(new, np.minimum(gammaincc(old, x), 0.5)))  # fmt: skip
        log_slope = (old * np.log(x) - x - gammaln(old)) - (new * np.log(image) - image - gammaln(new))
        value, slope = np.log(image / new), _MAP_STEP * np.exp(log_slope)
        rise, begin, end = np.diff(value), slope[:-1], slope[1:]
        self._pieces = np.stack([value[:-1], begin, 3.0 * rise - 2.0 * begin - end, begin + end - 2.0 * rise])
        self._slope_below = old / new

    def __call__(self, gain: Floats) -> Floats:
        """The images of gains of any shape."""
        with np.errstate(divide="ignore"):
            y = np.log(gain)
        place = np.clip((y - _MAP_LOWEST) / _MAP_STEP, 0.0, float(self._pieces.shape[1]))
        piece = np.minimum(place.astype(np.int64), self._pieces.shape[1] - 1)
        s = place - piece
        c0, c1, c2, c3 = (row[piece] for row in self._pieces)
        log_image = c0 + s * (c1 + s * (c2 + s * c3))
        return np.asarray(np.exp(log_image + self._slope_below * np.minimum(y - _MAP_LOWEST, 0.0)))


@cache
def gamma_map(old: float, new: float) -> GammaMap:
    """The map between two shapes, built once."""
    return GammaMap(old, new)
