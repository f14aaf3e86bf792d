"""H2Tune's alignment of layers: how a stack of depth L is made of one of depth L_max, and folded back into it.

Knows arrays; neither models, nor clients, nor what the matrices are for. A stack is [layers, modules, R, R]; the shares
Psi [L_max, L] say how much layer l of a client is made of each layer g of the server, and their columns sum to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

SPREAD = 0.02  # of the first scores: twice the square of the relative depths over which a layer is spread
NOTHING = 1e-12  # added to a sum of shares before it divides


def first_scores(most: int, depth: int) -> Float32:
    """Z [most, depth] = -(g / (most - 1) - l / (depth - 1))^2 / 0.02: equal relative depths belong together.

    A stack of one layer stands at depth 0.
    """
    there, here = (np.arange(n) / max(n - 1, 1) for n in (most, depth))
    return np.asarray(-((there[:, None] - here) ** 2) / SPREAD, np.float32)


def shares(scores: Float32) -> Float32:
    """Psi: the softmax of each column of scores."""
    powers = np.exp(scores.astype(np.float64) - scores.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0), np.float32)


def unfold(stack: Float32, psi: Float32) -> Float32:
    """The client's layers: S_l = sum_g Psi[g, l] G[g]."""
    return np.asarray(np.einsum("gl,gmab->lmab", psi.astype(np.float64), stack.astype(np.float64)), np.float32)


def fold(stack: Float32, psi: Float32) -> Float32:
    """The server's layers: G[g] = sum_l Psi[g, l] S_l / sum_l Psi[g, l]."""
    wide = psi.astype(np.float64)
    total = np.einsum("gl,lmab->gmab", wide, stack.astype(np.float64))
    return np.asarray(total / (wide.sum(axis=1) + NOTHING)[:, None, None, None], np.float32)


def masses(psi: Float32) -> Float32:
    """What a client has to say of each of the server's layers: sum_l Psi[g, l]."""
    return np.asarray(psi.astype(np.float64).sum(axis=1), np.float32)


def mean_change(changes: Sequence[Float32], mass: Sequence[Float32], weights: Sequence[float]) -> Float64:
    """The mean of folded changes, of each layer weighted by weight x mass; in the order that is given, in float64."""
    total, known = np.zeros(changes[0].shape), np.zeros(len(mass[0]))
    for change, own, weight in zip(changes, mass, weights, strict=True):
        counted = weight * np.maximum(own.astype(np.float64), 0.0)
        total += counted[:, None, None, None] * change
        known += counted
    return np.asarray(total / np.maximum(known, NOTHING)[:, None, None, None])


def largest(scores: Float32, count: int) -> NDArray[np.int64]:
    """Of each matrix [..., R, R] the places [..., count] of its largest entries, row by row; of equals the first."""
    flat = scores.reshape(*scores.shape[:-2], -1)
    return np.sort(np.argsort(-flat, axis=-1, kind="stable")[..., :count], axis=-1)
