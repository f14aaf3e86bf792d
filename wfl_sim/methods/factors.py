"""Thin factors of products: the basis of singular vectors, and the best product of lower rank.

Knows numpy arrays, A [r, n] and B [m, r] or wider ones; forms no product [m, n].
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wfl_sim import lowrank
from wfl_sim.contracts import FloatArray

Array = NDArray[Any]

WORST_CONDITION = 1e6  # of A: beyond it a map into another basis would lose more than float32 keeps


def singular_basis(a: Array, b: Array, scale: float) -> FloatArray | None:
    """T [r, r] such that T A = scale V^T and B T^-1 = U S / scale for the singular value decomposition U S V^T of B A.

    It takes O((m + n) r^2) operations. None where the rows of A nearly depend on each other.
    """
    rank, inputs = a.shape
    if rank > inputs:
        return None
    _, upper_a = np.linalg.qr(a.astype(float).T)
    if not np.linalg.cond(upper_a) < WORST_CONDITION:
        return None
    upper_b = np.linalg.qr(b.astype(float), mode="r")
    _, _, v = np.linalg.svd(upper_b @ upper_a.T)  # [.., r] [r, r]
    # A = upper_a^T Q^T, and scale V^T = scale v Q^T
    return np.asarray(scale * np.linalg.solve(upper_a, v.T).T)


def cut(left: Array, right: Array, rank: int, scale: float) -> tuple[FloatArray, FloatArray]:
    """The pair (A, B) of a rank whose product is the best approximation of left @ right, [m, q] and [q, n].

    A has orthogonal rows of length `scale`, in falling order of the singular values, each of which has its largest
    entry above 0. If there are fewer than `rank`, the rest of A and B is 0.
    """
    u, s, v = lowrank.product_svd(left, right)
    rows, columns = v[:rank], u[:, :rank] * s[:rank]
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)[:, 0]
    sign = np.where(largest < 0, -1.0, 1.0)
    a, b = np.zeros((rank, right.shape[1])), np.zeros((left.shape[0], rank))
    a[: len(rows)], b[:, : len(rows)] = scale * sign[:, None] * rows, sign * columns / scale
    return a, b
