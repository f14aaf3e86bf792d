"""Algebra of low-rank pairs: norms of B A and of its parts without ever forming the m x n product.

Knows numpy arrays only. A is [r, n], B is [m, r]; rank component i is the pair (column i of B, row i of A).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wfl_sim.contracts import FloatArray

Array = NDArray[Any]


def component_norms(a: Array, b: Array) -> FloatArray:
    """p_i = |b_i|_2 |a_i|_2 = |b_i a_i|_F, array [r]."""
    return np.asarray(np.linalg.norm(b.astype(float), axis=0) * np.linalg.norm(a.astype(float), axis=1))


def component_changes(a: Array, b: Array, new_a: Array, new_b: Array) -> FloatArray:
    """d_i = |b'_i a'_i - b_i a_i|_F, array [r]: what is missing if the receiver keeps the old pair."""
    a, b = a.astype(float), b.astype(float)
    return np.sqrt(change_energies(a, b, new_a.astype(float) - a, new_b.astype(float) - b))


def change_energies(a: Array, b: Array, change_a: Array, change_b: Array) -> FloatArray:
    """d_i^2, array [r], of a pair and its change; see `component_changes`.

    From the Gram terms d_i^2 = |b'|^2 |a'|^2 - 2 <b', b><a', a> + |b|^2 |a|^2, rearranged with the changes
    db, da as |db|^2 |a'|^2 + 2 <db, b><a', da> + |b|^2 |da|^2 so that small changes do not cancel.
    """
    a, b, da, db = (x.astype(float) for x in (a, b, change_a, change_b))
    new_a = a + da
    squared = _column_dots(db, db) * _row_dots(new_a, new_a) + _column_dots(b, b) * _row_dots(da, da)
    squared += 2 * _column_dots(db, b) * _row_dots(new_a, da)
    return np.maximum(squared, 0.0)


def factor_energies(change_a: Array, change_b: Array) -> FloatArray:
    """|db_i|^2 + |da_i|^2, array [r]: the energy of a pair's change, factor by factor."""
    da, db = change_a.astype(float), change_b.astype(float)
    return _column_dots(db, db) + _row_dots(da, da)


def product_svd(left: Array, right: Array) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The thin SVD (u [m, q], s [q], v [q, n]) of left @ right, for [m, k] and [k, n]; q = min(k, m, n).

    Two thin QR and the SVD of a core of at most k x k: O((m + n) k^2), and the product is never formed.
    """
    q_left, r_left = np.linalg.qr(left.astype(float))
    q_right, r_right = np.linalg.qr(right.astype(float).T)
    u, s, v = np.linalg.svd(r_left @ r_right.T, full_matrices=False)
    return q_left @ u, s, v @ q_right.T


def change_svd(a: Array, b: Array, change_a: Array, change_b: Array) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The thin SVD of D = B'A' - BA = dB A' + B dA, of rank 2 r at most; see `product_svd`."""
    a, b, da, db = (x.astype(float) for x in (a, b, change_a, change_b))
    return product_svd(np.concatenate((db, b), axis=1), np.concatenate((a + da, da), axis=0))


def best_factors(left: Array, right: Array, rank: int) -> tuple[FloatArray, FloatArray]:
    """(A [rank, n], B [m, rank]) such that B A is the best approximation of left @ right of that rank.

    The roots of the singular values go both ways; rows and columns beyond the rank of the product are 0.
    """
    u, s, v = product_svd(left, right)
    kept = min(rank, s.size)
    a, b = np.zeros((rank, right.shape[1])), np.zeros((left.shape[0], rank))
    root = np.sqrt(s[:kept])
    a[:kept], b[:, :kept] = root[:, None] * v[:kept], u[:, :kept] * root
    return a, b


def _row_dots(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.asarray(np.vecdot(x, y))


def _column_dots(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("ij,ij->j", x, y))


def product_energy(left: Array, right: Array) -> float:
    """|left @ right|_F^2 for [m, k] and [k, n], from two k x k Gram matrices."""
    left, right = left.astype(float), right.astype(float)
    return max(0.0, float(np.sum((left.T @ left) * (right @ right.T))))


def product_gap(a: Array, b: Array, other_a: Array, other_b: Array) -> float:
    """|b a - other_b other_a|_F^2, from thin factors of twice the rank.

    Written as (b - other_b) a + other_b (a - other_a), so that close products do not cancel.
    """
    left = np.concatenate((b.astype(float) - other_b, other_b), axis=1)
    right = np.concatenate((a, a.astype(float) - other_a), axis=0)
    return product_energy(left, right)


def covariance_gap(pairs: Sequence[tuple[Array, Array]], weights: Sequence[float]) -> float:
    """e_cov = |sum_k w_k (B_k - Bbar)(A_k - Abar)|_F^2 = |sum_k w_k B_k A_k - Bbar Abar|_F^2.

    `pairs` holds (A_k, B_k) and `weights` sum to 1: the exact gap between averaging products and averaging
    factors.
    """
    mean_a = sum(w * a.astype(float) for w, (a, _) in zip(weights, pairs, strict=True))
    mean_b = sum(w * b.astype(float) for w, (_, b) in zip(weights, pairs, strict=True))
    left = np.concatenate([w * (b - mean_b) for w, (_, b) in zip(weights, pairs, strict=True)], axis=1)
    right = np.concatenate([a - mean_a for a, _ in pairs], axis=0)
    return product_energy(left, right)


def coherence(rows: Array) -> float:
    """Largest |cosine| between two distinct rows; 0 for one row, and rows of zeros count as orthogonal."""
    rows = rows.astype(float)
    norms = np.linalg.norm(rows, axis=1)
    unit = rows / np.where(norms > 0, norms, 1.0)[:, None]
    cosines = np.abs(unit @ unit.T)
    np.fill_diagonal(cosines, 0.0)
    return float(cosines.max(initial=0.0))
