from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from channels.options import OptionError
from channels.shadowing import SHADOWING, LogNormal, NoShadowing
from channels.streams import Stream
from channels.vectors import SHADOW_CORRELATION, SHADOW_LAGS_M

STREAM = Stream.root(21).child("shadowing")
CLIENTS = np.arange(100_000)
KS_CRITICAL = 0.0062  # Kolmogorov-Smirnov at n = 1e5 and level 0.1 %
CORRELATION_TOLERANCE = 0.013  # four standard errors of a correlation of 1e5 pairs
# Between grid points the correlation of the interpolated process differs from the exponential: at most by the
# curvature over one step of d_corr / 20, (1/20) / 4 and less for separations of more than a step
INTERPOLATION_TOLERANCE = 0.0125
EXACT = 1e-12  # rounding in ten halvings


def at(model, travelled_m, clients=CLIENTS):
    travelled_m = np.broadcast_to(np.asarray(travelled_m, dtype=float), (len(clients), np.size(travelled_m)))
    return model.shadowing_db(STREAM, clients, travelled_m)


@dataclass(frozen=True)
class Impulse:
    """Stands for a stream: client m sees the normal of grid point m as 1 and all others as 0."""

    def normal(self, clients, indices):
        return (np.asarray(clients) == np.asarray(indices)).astype(float)


def test_grid_has_exactly_the_exponential_covariance():
    # The values are linear in the normals, so impulses give the matrix A, and A A^T is the covariance.
    model = LogNormal(std_db=1.0, correlation_distance_m=20.0)  # one grid step is 1 m
    places = np.r_[0:40, 500:530, 1000:1040, 1500, 2000]
    sources = np.arange(0, 3073)
    response = model.shadowing_db(
        Impulse(), sources, np.broadcast_to(places.astype(float), (sources.size, places.size))
    )
    covariance = response.T @ response
    expected = np.exp(-np.abs(places[:, None] - places) / 20.0)
    np.testing.assert_allclose(covariance, expected, rtol=0, atol=EXACT)


# The last spans the edge of a block at 2560 m.
@pytest.mark.parametrize("start_m", [*(pytest.param(x, marks=pytest.mark.slow) for x in (0.0, 3.3)), 2551.7])
def test_correlation_falls_as_gudmundson_says(start_m):
    values = at(LogNormal(std_db=6.0, correlation_distance_m=50.0), start_m + np.array([0.0, *SHADOW_LAGS_M]))
    measured = np.corrcoef(values.T)[0, 1:]
    np.testing.assert_allclose(
        measured, SHADOW_CORRELATION, rtol=0, atol=CORRELATION_TOLERANCE + INTERPOLATION_TOLERANCE
    )


@pytest.mark.parametrize("travelled_m", [0.0, 1.25, 777.7, 1e6])
def test_values_are_normal_with_the_stated_deviation_everywhere(travelled_m):
    values = at(LogNormal(std_db=7.82), travelled_m)[:, 0]
    assert stats.kstest(values / 7.82, "norm").statistic < KS_CRITICAL
    assert values.std() == pytest.approx(7.82, rel=4.0 / np.sqrt(2.0 * CLIENTS.size))  # four standard errors


def test_interpolation_is_continuous():
    distance = np.linspace(0.0, 200.0, 20_001)  # 1 cm
    values = at(LogNormal(std_db=6.0, correlation_distance_m=50.0), distance, np.arange(3))
    # one grid step of 2.5 m is a normal of deviation 6 sqrt(2 (1 - exp(-1/20))) = 1.9 dB, so 1 cm is 0.008 dB;
    # six deviations are allowed
    assert np.abs(np.diff(values, axis=1)).max() < 6 * 0.008


@given(
    st.lists(st.integers(0, 2**40), min_size=1, max_size=6, unique=True),
    st.lists(st.floats(0, 1e7), min_size=1, max_size=20),
    st.data(),
)
def test_random_access_gives_the_same_bits(clients, travelled, data):
    model = LogNormal()
    table = np.array(travelled) * (1.0 + np.arange(len(clients)))[:, None]
    whole = model.shadowing_db(STREAM, clients, table)
    rows = np.array(data.draw(st.lists(st.integers(0, len(clients) - 1), min_size=1, max_size=9)))
    columns = np.array(data.draw(st.lists(st.integers(0, len(travelled) - 1), min_size=1, max_size=9)))
    part = model.shadowing_db(STREAM, np.array(clients)[rows], table[np.ix_(rows, columns)])
    np.testing.assert_array_equal(part, whole[np.ix_(rows, columns)])
    alone = model.shadowing_db(STREAM, [clients[rows[0]]], table[rows[0], columns[0]].reshape(1, 1))
    assert alone[0, 0] == whole[rows[0], columns[0]]


def test_deviation_only_scales():
    distance = np.linspace(0.0, 300.0, 50)
    one, six = (at(LogNormal(std_db=s), distance, np.arange(4)) for s in (1.0, 6.0))
    np.testing.assert_allclose(six, 6.0 * one, rtol=1e-14, atol=0)  # one multiplication
    assert np.all(at(LogNormal(std_db=0.0), distance, np.arange(4)) == 0.0)
    assert np.all(at(NoShadowing(), distance, np.arange(4)) == 0.0)


@pytest.mark.parametrize("model", [LogNormal(), NoShadowing()])
def test_wrong_arguments_are_refused(model):
    for bad in (np.nan, np.inf, -1.0):
        with pytest.raises(ValueError, match="travelled"):
            model.shadowing_db(STREAM, [0], [[bad]])
    with pytest.raises(ValueError, match="shape"):
        model.shadowing_db(STREAM, [0, 1], [[1.0]])
    assert model.shadowing_db(STREAM, [], np.zeros((0, 3))).shape == (0, 3)
    assert model.shadowing_db(STREAM, [1], np.zeros((1, 0))).shape == (1, 0)


def test_options_are_checked():
    with pytest.raises(OptionError, match="std_db: must be at least 0 dB"):
        LogNormal(std_db=-1.0)
    with pytest.raises(OptionError, match="correlation_distance_m: must be above 0 m"):
        LogNormal(correlation_distance_m=0.0)
    with pytest.raises(ValueError, match="beyond the grid"):
        LogNormal().shadowing_db(STREAM, [0], [[1e17]])
    assert {kind: model.kind for kind, model in SHADOWING.items()} == {
        k: k for k in ("none", "log_normal", "by_sight", "map")
    }
