"""Roots of falling functions, many at once: of what is left of a band, of what a hertz is worth.

Knows neither bands nor prices.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wfl_sim.contracts import FloatArray

Function = Callable[[FloatArray], FloatArray]

NEAR = 1e-13  # of a logarithm or of a relative error: a few hundred of its last bits
_STEPS = 60  # of a search, at most; a smooth function takes about ten
_SECANTS = 8
_BESIDE, _WIDER = 1e-3, 30.0  # of a guess in logarithms: how far from it is looked first, and by what more after that


def falling_root(
    function: Function,
    low: FloatArray,
    high: FloatArray,
    *,
    near: float = NEAR,
    values: tuple[FloatArray, FloatArray] | None = None,
) -> FloatArray:
    """Where a falling function is 0, element by element; an end of the interval where it has one sign there.

    Logarithms in, relative errors out: both are found to `near`. Chandrupatla's method (1997,
    doi:10.1016/S0965-9978(96)00051-8): inverse quadratic interpolation where that is safe, else bisection. `values` are
    those at both ends, if they are known.
    """
    a, b = high, low
    at_b, at_a = (function(low), function(high)) if values is None else values
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
            least_share = near * np.maximum(np.abs(a), 1.0) / np.abs(b - a)
            done = (least_share > 0.5) | (np.abs(at_a) <= near) | ~inside
            if done.all():
                break
            xi, phi = (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
            quadratic = at_a / (at_b - at_a) * at_c / (at_b - at_c)
            quadratic = quadratic + (c - a) / (b - a) * at_a / (at_c - at_a) * at_b / (at_c - at_b)
            safe = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi) & np.isfinite(quadratic)
            share = np.clip(np.where(safe, quadratic, 0.5), least_share, 1 - least_share)
            share = np.where(done, 0.0, share)
    return np.where(inside, a, end)


def around(
    function: Function, guess: FloatArray, low: FloatArray, high: FloatArray, *, near: float = NEAR
) -> FloatArray:
    """`falling_root` within [low, high], where it is known about where the root is: a wrong guess costs time alone."""
    guess = np.clip(guess, low, high)
    width = np.full_like(guess, _BESIDE)
    begin, end = np.maximum(guess - width, low), np.minimum(guess + width, high)
    while True:
        values = function(begin), function(end)
        before, after = (values[0] < 0) & (begin > low), (values[1] > 0) & (end < high)
        if not (before.any() or after.any()):
            return falling_root(function, begin, end, near=near, values=values)
        width *= _WIDER
        begin, end = (
            np.where(before, np.maximum(guess - width, low), np.where(after, end, begin)),
            np.where(after, np.minimum(guess + width, high), np.where(before, begin, end)),
        )


def polished(
    function: Function, guess: FloatArray, low: FloatArray, high: FloatArray, *, near: float = NEAR
) -> FloatArray:
    """`around` where the guess is good and the function smooth: the secant method, as long as it converges."""
    before, at = np.clip(guess, low, high), np.clip(guess, low, high)
    value_before = value = function(at)
    step = value / 2  # elasticities are mostly about so much
    for _ in range(_SECANTS):
        step = np.where(np.abs(value) <= near, 0.0, step)
        if (np.abs(step) <= near * np.maximum(np.abs(at), 1.0)).all():
            return at
        before, at = at, np.clip(at + step, low, high)
        value_before, value = value, function(at)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(at == before, 0.0, value * (at - before) / (value_before - value))
        if not (
            np.isfinite(step).all() and (np.abs(value) <= 0.5 * np.abs(value_before)).all(where=np.abs(value) > near)
        ):
            break
    return around(function, at, low, high, near=near)
