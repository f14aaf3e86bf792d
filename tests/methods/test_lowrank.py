"""The algebra that SOFT rests on: facts about rank components, each against the explicit products."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from wfl_sim import lowrank

M, N, RANK = 14, 20, 6
ROUNDING = 1e-12  # sums of some hundred float64 products; relative to the largest term
# Entries are whole multiples of 2^-10 and changes of 2^-40 below 2^-36 in size: all sums of the two are exact in
# float64 (44 bits), and so is the rational arithmetic that they are compared with.
COARSE, FINE = 2.0**-10, 2.0**-40


def factors(seed=0, rank=RANK):
    random = np.random.default_rng(seed)
    return random.standard_normal((rank, N)), random.standard_normal((M, rank))


def orthogonal_rows(random, rank, width):
    """Rows that are orthogonal to each other and of different lengths."""
    q, _ = np.linalg.qr(random.standard_normal((width, rank)))
    return q.T * random.uniform(0.2, 3.0, (rank, 1))


def dropped_energy(a, b, dropped):
    """|B A - B_S A_S|_F^2 with the product written out."""
    keep = np.setdiff1d(np.arange(len(a)), dropped)
    return float(np.sum((b @ a - b[:, keep] @ a[keep]) ** 2))


def exact_energy(*terms):
    """|sum of sign * left @ right|_F^2 in rational arithmetic, for terms (sign, left, right)."""
    total = Fraction(0)
    for i in range(terms[0][1].shape[0]):
        for j in range(terms[0][2].shape[1]):
            entry = sum(
                sign * Fraction(float(left[i, k])) * Fraction(float(right[k, j]))
                for sign, left, right in terms
                for k in range(left.shape[1])
            )
            total += entry**2
    return total


def close_pairs(seed):
    """A small pair and one that differs from it by about 1e-11 of itself."""
    random = np.random.default_rng(seed)
    a, b = (COARSE * random.integers(-2000, 2000, shape) for shape in ((3, 5), (4, 3)))
    return a, b, a + FINE * random.integers(-16, 17, a.shape), b + FINE * random.integers(-16, 17, b.shape)


def test_fact_1_a_score_is_the_norm_of_its_component():
    a, b = factors()
    explicit = [np.linalg.norm(np.outer(b[:, i], a[i])) for i in range(RANK)]
    np.testing.assert_allclose(lowrank.component_norms(a, b), explicit, rtol=ROUNDING)


@pytest.mark.parametrize("seed", range(5))
def test_fact_2_of_orthogonal_factors_scores_are_singular_values_and_the_largest_are_the_best(seed):
    random = np.random.default_rng(seed)
    a, b = orthogonal_rows(random, RANK, N), orthogonal_rows(random, RANK, M).T
    u, s, v = np.linalg.svd(b @ a, full_matrices=False)
    p = lowrank.component_norms(a, b)
    np.testing.assert_allclose(np.sort(p)[::-1], s[:RANK], rtol=ROUNDING)
    order = np.argsort(-p)
    for kept in range(1, RANK):
        best = (u[:, :kept] * s[:kept]) @ v[:kept]  # Eckart and Young
        chosen = order[:kept]
        np.testing.assert_allclose(b[:, chosen] @ a[chosen], best, atol=ROUNDING * s[0])


@pytest.mark.parametrize("orthogonal", ["a", "b"])
@pytest.mark.parametrize("seed", range(5))
def test_fact_3_one_orthogonal_factor_makes_the_error_the_sum_of_what_was_dropped(orthogonal, seed):
    random = np.random.default_rng(seed)
    a, b = factors(seed)
    if orthogonal == "a":
        a = orthogonal_rows(random, RANK, N)
    else:
        b = orthogonal_rows(random, RANK, M).T
    p = lowrank.component_norms(a, b)
    for number in range(1, RANK + 1):
        dropped = random.permutation(RANK)[:number]
        assert dropped_energy(a, b, dropped) == pytest.approx(np.sum(p[dropped] ** 2), rel=ROUNDING)


@pytest.mark.parametrize("spread", [2.0, 0.3, 0.01])
def test_fact_4_coherence_bounds_the_error(spread):
    """Components scattered by `spread` around one direction, from nearly random to nearly parallel."""
    random = np.random.default_rng(4)
    tightest = 0.0
    for _ in range(1700):  # times three spreads: over 5000 pairs
        rank = int(random.integers(2, 9))
        a = random.standard_normal((1, N)) + spread * random.standard_normal((rank, N))
        b = random.standard_normal((M, 1)) + spread * random.standard_normal((M, rank))
        q = int(random.integers(1, rank + 1))
        dropped = random.permutation(rank)[:q]
        mu = lowrank.coherence(a) * lowrank.coherence(b.T)
        bound = (1 + mu * (q - 1)) * np.sum(lowrank.component_norms(a, b)[dropped] ** 2)
        error = dropped_energy(a, b, dropped)
        assert error <= bound * (1 + ROUNDING)
        tightest = max(tightest, error / bound)
    assert tightest > 0.99  # the bound is reached (q = 1 at the latest), so a smaller one would fail


def test_fact_4_is_an_equality_for_parallel_components():
    """q equal components: |q b a|^2 = q^2 p^2 = (1 + 1 (q - 1)) q p^2."""
    a, b = np.ones((3, N)), np.ones((M, 3))
    assert lowrank.coherence(a) * lowrank.coherence(b.T) == pytest.approx(1.0, rel=ROUNDING)
    p = lowrank.component_norms(a, b)
    assert dropped_energy(a, b, [0, 1, 2]) == pytest.approx(3 * np.sum(p**2), rel=ROUNDING)


def test_fact_5_scores_ignore_how_a_scale_is_split_and_magnitudes_do_not():
    a, b = factors()
    c = np.array([0.01, 0.1, 0.5, 3.0, 20.0, 100.0])
    other_a, other_b = a / c[:, None], b * c
    np.testing.assert_allclose(other_b @ other_a, b @ a, atol=ROUNDING * np.abs(b @ a).max())  # the same product
    np.testing.assert_allclose(lowrank.component_norms(other_a, other_b), lowrank.component_norms(a, b), rtol=ROUNDING)

    def largest(a, b):
        flat = np.abs(np.concatenate((a.ravel(), b.ravel())))
        return set(np.argsort(-flat)[: flat.size // 4].tolist())

    assert largest(other_a, other_b) != largest(a, b)


def test_a_change_is_the_norm_of_the_difference_of_products():
    a, b = factors(1)
    new_a, new_b = factors(2)
    explicit = [np.linalg.norm(np.outer(new_b[:, i], new_a[i]) - np.outer(b[:, i], a[i])) for i in range(RANK)]
    np.testing.assert_allclose(lowrank.component_changes(a, b, new_a, new_b), explicit, rtol=ROUNDING)
    np.testing.assert_allclose(
        lowrank.component_changes(0 * a, b, new_a, new_b), lowrank.component_norms(new_a, new_b), rtol=ROUNDING
    )
    assert lowrank.component_changes(a, b, a, b).tolist() == [0.0] * RANK


@pytest.mark.parametrize("seed", range(3))
def test_tiny_changes_do_not_cancel(seed):
    """A difference of Gram terms would keep no digit of changes of 1e-11; ours keeps them all."""
    a, b, new_a, new_b = close_pairs(seed)
    exact = [math.sqrt(exact_energy((1, new_b[:, [i]], new_a[[i]]), (-1, b[:, [i]], a[[i]]))) for i in range(len(a))]
    assert min(exact) > 0
    np.testing.assert_allclose(lowrank.component_changes(a, b, new_a, new_b), exact, rtol=ROUNDING)


def test_single_precision_arrays_are_computed_in_double():
    a, b = (x.astype(np.float32) for x in factors())
    wide_a, wide_b = a.astype(float), b.astype(float)
    np.testing.assert_array_equal(lowrank.component_norms(a, b), lowrank.component_norms(wide_a, wide_b))
    np.testing.assert_array_equal(
        lowrank.component_changes(a, b, 2 * a, b), lowrank.component_changes(wide_a, wide_b, 2 * wide_a, wide_b)
    )
    assert lowrank.product_gap(a, b, 2 * a, b) == lowrank.product_gap(wide_a, wide_b, 2 * wide_a, wide_b)


def test_product_energy_is_that_of_the_product():
    a, b = factors()
    assert lowrank.product_energy(b, a) == pytest.approx(np.sum((b @ a) ** 2), rel=ROUNDING)


def test_product_gap_is_that_of_the_products():
    (a, b), (other_a, other_b) = factors(1), factors(2, rank=RANK)
    explicit = np.sum((b @ a - other_b @ other_a) ** 2)
    assert lowrank.product_gap(a, b, other_a, other_b) == pytest.approx(explicit, rel=ROUNDING)
    assert lowrank.product_gap(a, b, a, b) == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_gap_of_close_products_does_not_cancel(seed):
    a, b, other_a, other_b = close_pairs(seed)
    exact = float(exact_energy((1, b, a), (-1, other_b, other_a)))
    assert lowrank.product_gap(a, b, other_a, other_b) == pytest.approx(exact, rel=ROUNDING)


@pytest.mark.parametrize("clients", [1, 2, 7])
def test_covariance_gap_is_what_separate_averaging_loses(clients):
    random = np.random.default_rng(clients)
    pairs = [factors(seed) for seed in range(clients)]
    weights = random.dirichlet(np.ones(clients))
    mean_a = sum(w * a for w, (a, _) in zip(weights, pairs, strict=True))
    mean_b = sum(w * b for w, (_, b) in zip(weights, pairs, strict=True))
    mean_product = sum(w * b @ a for w, (a, b) in zip(weights, pairs, strict=True))
    gap = lowrank.covariance_gap(pairs, weights.tolist())
    scale = np.sum(mean_product**2)
    assert gap == pytest.approx(np.sum((mean_product - mean_b @ mean_a) ** 2), rel=ROUNDING, abs=ROUNDING**2 * scale)
    centred = sum(w * (b - mean_b) @ (a - mean_a) for w, (a, b) in zip(weights, pairs, strict=True))
    assert gap == pytest.approx(np.sum(centred**2), rel=ROUNDING, abs=ROUNDING**2 * scale)
    assert (gap > 0.1) == (clients > 1)  # random factors differ; one client loses nothing


def test_equal_factors_on_one_side_lose_nothing():
    """A frozen A (FFA): mean(B) A = mean(B A)."""
    a, _ = factors()
    pairs = [(a, factors(seed)[1]) for seed in range(4)]
    # abs: the mean of four equal A is A up to rounding, squared
    assert lowrank.covariance_gap(pairs, [0.25] * 4) == pytest.approx(0.0, abs=ROUNDING**2 * np.sum(a**2) * M)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1, 0, 0], [0, 2, 0], [0, 0, 3]], 0.0),
        ([[1, 2], [3, 6]], 1.0),
        ([[1, 2], [-1, -2]], 1.0),
        ([[1, 0], [0.5, math.sqrt(3) / 2]], 0.5),  # 60 degrees
        ([[1, 0, 0], [1, 1, 0], [0, 0, 1]], math.sqrt(0.5)),  # 45 degrees, the largest of three pairs
        ([[1, 0], [1e-6, 1e-6]], math.sqrt(0.5)),  # lengths do not count
        ([[0, 0], [1, 1]], 0.0),  # zeros count as orthogonal
        ([[0, 0], [0, 0]], 0.0),
        ([[3, 4]], 0.0),  # one row
    ],
)
def test_coherence_of_known_rows(rows, expected):
    assert lowrank.coherence(np.array(rows, dtype=float)) == pytest.approx(expected, abs=ROUNDING)


def test_energies_of_a_change_are_those_of_the_pairs():
    (a, b), (da, db) = factors(1), factors(2)
    np.testing.assert_allclose(
        np.sqrt(lowrank.change_energies(a, b, da, db)), lowrank.component_changes(a, b, a + da, b + db), rtol=ROUNDING
    )
    explicit = [np.sum(db[:, i] ** 2) + np.sum(da[i] ** 2) for i in range(RANK)]
    np.testing.assert_allclose(lowrank.factor_energies(da, db), explicit, rtol=ROUNDING)


@pytest.mark.parametrize("rank", [1, 3, RANK, 18, 25])  # also wider than the product is: 14 x 20
def test_the_thin_svd_of_a_product_is_its_svd(rank):
    right, left = factors(3, rank)
    u, s, v = lowrank.product_svd(left, right)
    full = np.linalg.svd(left @ right, compute_uv=False)
    assert s.size == min(rank, M)
    np.testing.assert_allclose(s, full[: s.size], atol=ROUNDING * full[0])
    np.testing.assert_allclose((u * s) @ v, left @ right, atol=ROUNDING * full[0])


@pytest.mark.parametrize("rank", [1, 4, RANK, 9])
def test_best_factors_are_the_best_product_of_their_rank(rank):
    right, left = factors(4)
    a, b = lowrank.best_factors(left, right, rank)
    assert (a.shape, b.shape) == ((rank, N), (M, rank))
    full = np.linalg.svd(left @ right, compute_uv=False)
    error = np.linalg.norm(left @ right - b @ a, 2) if rank < RANK else np.abs(left @ right - b @ a).max()
    assert error == pytest.approx(full[rank], rel=ROUNDING * 10, abs=ROUNDING * full[0])  # Eckart and Young
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=0), rtol=ROUNDING * 10)
