"""Differences by seed and the intervals of their mean: numbers worked out by hand, identities, and coverage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from analysis.paired import Kind, interval_of_mean, paired
from analysis.traces import TraceError, Traces, load

RunOf = Callable[..., Path]

T_TABLE_TOLERANCE = 1e-4
"""The quantiles below are printed with four decimals."""

COVERAGE_TOLERANCE = 0.03
"""The docstring rounds to 0.01; 1500 studies have a standard error of 0.011 where it holds 3 of 4."""

ROUNDING = 1e-9
"""Sums of a few numbers, relative to the largest of them."""


def test_paired_differences_are_taken_seed_by_seed(run_of: RunOf) -> None:
    # Differences to the baseline are 0.01, 0.02 and 0.03, although the seeds themselves differ by 0.3.
    for seed, base in ((1, 0.3), (2, 0.6), (3, 0.5)):
        run_of("base", seed, [base] * 3)
        run_of("worse", seed, [base - 0.1] * 3)
        directory = run_of("better", seed, [base + seed / 100] * 3)
    table = paired(load(directory.parent), "base", "accuracy", "t")
    assert list(table.index) == ["better", "worse"]
    better = table.loc["better"]
    assert better[["seed 1", "seed 2", "seed 3"]].tolist() == pytest.approx([0.01, 0.02, 0.03])
    # Mean 0.02, deviation 0.01, t(2 degrees) = 4.3027: half width 4.3027 * 0.01 / sqrt(3) = 0.02484.
    assert (better["n"], better["mean"]) == (3, pytest.approx(0.02))
    assert (better["low"], better["high"]) == pytest.approx((-0.00484, 0.04484), abs=1e-5)
    worse = table.loc["worse"]
    assert (worse["low"], worse["mean"], worse["high"]) == pytest.approx((-0.1, -0.1, -0.1))


@pytest.mark.parametrize("kind", ["t", "bootstrap"])
def test_paired_with_missing_seeds_and_missing_values(run_of: RunOf, kind: Kind) -> None:
    for seed in (1, 2, 3):
        run_of("base", seed, [0.7] * 3, targets=[0.65])
    run_of("partial", 2, [0.7] * 4)
    run_of("never", 1, [0.6] * 3)
    directory = run_of("never", 2, [0.6, 0.7, 0.7, 0.7])
    traces = load(directory.parent)
    # Seeds that an arm did not run are left out; one seed gives no interval.
    partial = paired(traces, "base", "uplink_mbit", kind).loc["partial"]
    assert (partial["seed 2"], partial["n"], partial["mean"]) == (1.0, 1, 1.0)
    assert np.isnan(partial[["seed 1", "seed 3", "low", "high"]].astype(float)).all()
    # In seed 1 the arm never reached the target: no mean over the seeds in which it did.
    never = paired(traces, "base", "time_to_0.65_s", kind).loc["never"]
    assert (never["seed 2"], never["n"]) == (0.0, 1)
    assert np.isnan(never[["seed 1", "mean", "low", "high"]].astype(float)).all()


def test_paired_refuses_unknown_names(study: Traces) -> None:
    with pytest.raises(TraceError, match="no arm 'dense' in these traces; there are: head-only, dense-equal"):
        paired(study, "dense", "accuracy")
    with pytest.raises(ValueError, match=r"no column 'status' to compare; there are: .*accuracy"):
        paired(study, "dense-equal", "status")


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    # Published table of Student's t, 97.5 %.
    [(1, 12.7062), (2, 4.3027), (10, 2.2281), (11, 2.2010), (15, 2.1314), (30, 2.0423), (120, 1.9799)],
)
def test_the_t_interval_has_the_width_of_the_table(degrees: int, quantile: float) -> None:
    n = degrees + 1
    differences = np.arange(n) / np.std(np.arange(n), ddof=1) * np.sqrt(n)  # standard error 1
    low, high = interval_of_mean(differences, "t")
    assert (high - low) / 2 == pytest.approx(quantile, abs=T_TABLE_TOLERANCE)
    assert (high + low) / 2 == pytest.approx(differences.mean())


DIFFERENCES = st.lists(st.floats(-100, 100), min_size=3, max_size=12).map(np.array)


@settings(max_examples=15, deadline=None)
@given(DIFFERENCES, st.floats(-10, 10), st.floats(0.1, 10))
def test_the_bootstrap_follows_shifts_and_scales_and_keeps_to_the_data(
    x: np.ndarray, shift: float, scale: float
) -> None:
    one = interval_of_mean(x)
    slack = ROUNDING * (1 + np.abs(x).max() * scale + abs(shift))
    assert x.min() - slack <= one.low <= x.mean() + slack
    assert x.mean() - slack <= one.high <= x.max() + slack
    assert interval_of_mean(x) == one, "the same differences give the same interval"
    np.testing.assert_allclose(interval_of_mean(x * scale + shift), np.array(one) * scale + shift, rtol=0, atol=slack)


def test_three_differences_reach_from_the_smallest_to_the_largest() -> None:
    # All three resamples alike come with probability 1/27, far more often than the quantile that is taken, 7e-8.
    assert interval_of_mean(np.array([1.0, 5.0, 2.0])) == pytest.approx((1.0, 5.0))


def test_many_differences_give_the_normal_interval() -> None:
    x = np.random.default_rng(3).normal(2.0, 1.0, 400)
    # Both ends are within a few hundredths of a standard error, the resampling's own noise.
    np.testing.assert_allclose(interval_of_mean(x), interval_of_mean(x, "t"), rtol=0, atol=0.15 * 1.0 / 20)


@pytest.mark.parametrize("kind", ["t", "bootstrap"])
def test_equal_differences_have_an_interval_of_no_width(kind: Kind) -> None:
    assert interval_of_mean(np.full(4, 0.5), kind) == (0.5, 0.5)


@pytest.mark.parametrize(("kind", "few"), [("t", 1), ("bootstrap", 2)])
def test_too_few_or_missing_differences_have_none(kind: Kind, few: int) -> None:
    for differences in (np.ones(few), np.array([1.0, 2.0, np.nan]), np.array([1.0, 2.0, np.inf])):
        assert np.isnan(interval_of_mean(differences, kind)).all()
    assert not np.isnan(interval_of_mean(np.ones(few + 1), kind)).any()
    with pytest.raises(ValueError, match="no interval 'z'; there are: t, bootstrap"):
        interval_of_mean(np.ones(3), "z")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "kind", "form", "held"),
    [
        (3, "t", "normal", 0.95), (5, "t", "normal", 0.95), (10, "t", "normal", 0.95),
        (3, "bootstrap", "normal", 0.76), (5, "bootstrap", "normal", 0.92), (10, "bootstrap", "normal", 0.94),
        (5, "t", "exponential", 0.88), (5, "bootstrap", "exponential", 0.86),
    ],
)  # fmt: skip
def test_intervals_hold_the_mean_as_often_as_the_docstring_says(n: int, kind: Kind, form: str, held: float) -> None:
    rng = np.random.default_rng(7)
    studies = 1500
    draw = rng.standard_normal((studies, n)) if form == "normal" else rng.exponential(1.0, (studies, n)) - 1.0
    within = [low <= 0.0 <= high for low, high in (interval_of_mean(x, kind) for x in draw)]
    assert np.mean(within) == pytest.approx(held, abs=COVERAGE_TOLERANCE)
