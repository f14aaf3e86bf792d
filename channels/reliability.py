"""Reliability: which margin makes a link hold with a probability, at the edge of a cell, over its area, in two states.

Knows no link and no budget; shadowing is normal in dB.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, non_negative

_NORMAL = NormalDist()
_HALVINGS = 80


class MarginError(ValueError):
    """A term of a margin that is out of range. ``args`` = (term, message)."""

    def __str__(self) -> str:
        term, message = self.args
        return f"{term} {message}"


def edge_margin_db(reliability: float, std_db: float) -> float:
    """Shadow margin with which a link at the cell's edge holds with a probability: std Q^-1(1 - reliability), in dB.

    `reliability` in (0, 1), `std_db` at least 0; MarginError otherwise. Below 1/2 the margin is negative.
    """
    return _std(std_db) * _NORMAL.inv_cdf(_share(reliability))


def edge_reliability(margin_db: float, std_db: float) -> float:
    """Probability that a link at the cell's edge holds with a shadow margin in dB: the inverse of `edge_margin_db`."""
    std = _std(std_db)
    if not math.isfinite(margin_db):
        raise MarginError("margin_db", f"must be finite; got {margin_db}")
    return _NORMAL.cdf(margin_db / std) if std > 0.0 else float(margin_db >= 0.0)


def area_reliability(margin_db: ArrayLike, std_db: ArrayLike, exponent: ArrayLike) -> Floats:
    """Share of a disc's area in which links hold, with a shadow margin at its edge.

    With a = margin / (sigma sqrt 2) and b = 10 n lg(e) / (sigma sqrt 2), where the loss grows as 10 n lg(distance)::

        F_u = 1/2 [1 + erf(a) + exp((2 a b + 1) / b^2) (1 - erf((a b + 1) / b))]

    Sign convention: the margin, and so a, is positive where the median link at the edge is stronger than needed.

    Parameters
    ----------
    margin_db : array_like of float
        Margin at the edge in dB, finite; all three broadcast.
    std_db : array_like of float
        Standard deviation sigma of the shadowing in dB, at least 0. At 0 the border is sharp, where the loss is the
        margin above that of the edge.
    exponent : array_like of float
        Path loss exponent n, above 0.

    Notes
    -----
    Source: Jakes 1974, *Microwave Mobile Communications*, section 2.5.3 (his a is minus this one).
    """
    from scipy.special import erfc, erfcx

    margin, std, n = np.broadcast_arrays(
        np.asarray(margin_db, np.float64), non_negative("std_db", std_db), non_negative("exponent", exponent)
    )
    if not np.isfinite(margin).all():
        raise MarginError("margin_db", "must be finite")
    if not (n > 0.0).all():
        raise MarginError("exponent", "must be above 0")
    sigma = np.maximum(std, 1e-6)  # where it makes no difference
    a, b = margin / (sigma * math.sqrt(2.0)), 10.0 * n * math.log10(math.e) / (sigma * math.sqrt(2.0))
    y = a + 1.0 / b
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        # exp((2ab + 1) / b^2) = exp(y^2 - a^2); for y > 0 the scaled function keeps both factors in range
        scaled = np.exp(-a * a) * erfcx(np.maximum(y, 0.0))
        plain = np.exp(np.minimum((y - a) * (y + a), 700.0)) * erfc(np.minimum(y, 0.0))
        share = 0.5 * (erfc(-a) + np.where(y > 0.0, scaled, plain))
        sharp = 10.0 ** np.minimum(2.0 * margin / (10.0 * n), 0.0)
    return np.asarray(np.minimum(np.where(std > 0.0, share, sharp), 1.0))


def area_margin_db(reliability: float, std_db: ArrayLike, exponent: ArrayLike) -> Floats:
    """Shadow margin at the edge in dB with which a share of the disc's area is served (see `area_reliability`)."""
    share = _share(reliability)
    std, n = np.broadcast_arrays(non_negative("std_db", std_db), np.asarray(exponent, np.float64))
    # at the edge less is served than in the mean over the area, so the margin lies below that of the edge
    low, high = np.full(std.shape, -400.0), np.maximum(0.0, std * _NORMAL.inv_cdf(share))
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        short = area_reliability(middle, std, n) < share
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.asarray(high)


def mixture_margin_db(reliability: float, gap_db: Floats, share: Floats, std_db: tuple[Floats, Floats]) -> Floats:
    """Margin over the loss of the first of two states that holds with a probability, whichever state a link is in.

    A link is in the first state with probability `share`, and else in the second, where it loses `gap_db` more; both
    have normal shadowing of their own standard deviation. All arrays broadcast; the result is in dB.
    """
    wanted = _share(reliability)
    gap, first = np.broadcast_arrays(np.asarray(gap_db, np.float64), non_negative("share", share))
    if not np.isfinite(gap).all():
        raise MarginError("gap_db", "must be finite")
    if not (first <= 1.0).all():
        raise MarginError("share", f"must be at most 1; got {first.max()}")
    stds = [np.broadcast_to(non_negative("std_db", std), gap.shape) for std in std_db]
    reach = 10.0 * np.maximum(*stds) + 1e-9
    low, high = np.minimum(0.0, gap) - reach, np.maximum(0.0, gap) + reach

    def holds(margin: Floats) -> Floats:
        return np.asarray(first * _normal_cdf(margin, stds[0]) + (1.0 - first) * _normal_cdf(margin - gap, stds[1]))

    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        short = holds(middle) < wanted
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.asarray(high)


def _normal_cdf(x: Floats, std: Floats) -> Floats:
    from scipy.special import ndtr

    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.where(std > 0.0, x / std, np.where(x >= 0.0, np.inf, -np.inf))
    return np.asarray(ndtr(scaled))


def _share(reliability: float) -> float:
    if not 0.0 < reliability < 1.0:
        raise MarginError("reliability", f"must be above 0 and below 1; got {reliability}")
    return float(reliability)


def _std(std_db: float) -> float:
    if not 0.0 <= std_db < math.inf:
        raise MarginError("std_db", f"must be finite and at least 0; got {std_db}")
    return float(std_db)
