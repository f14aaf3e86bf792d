from __future__ import annotations

import numpy as np
import pytest

from channels.options import OptionError
from channels.pathloss import PATH_LOSS, LogDistance, UMa, free_space_db

CARRIER_HZ = 3.5e9
DISTANCES_M = (35.0, 100.0, 500.0, 1000.0, 5000.0)
TABLE_DB = 1e-3  # the acceptance limit of the project; the vectors have four decimals
ROUNDING_DB = 1e-9  # the same formula written two ways


@pytest.mark.parametrize(
    ("line_of_sight", "expected_db"),
    [
        # TR 38.901 Table 7.4.1-1 at 3.5 GHz, h_UT 1.5 m, h_BS 25 m; ns-3 3.44 agrees to 1e-4 dB
        ("always", (74.6286, 83.1382, 98.2692, 109.4119, 137.3661)),
        ("never", (87.9214, 103.0375, 129.9158, 141.6660, 168.9773)),
    ],
)
def test_uma_reproduces_the_published_vectors(line_of_sight, expected_db):
    loss = UMa(line_of_sight=line_of_sight).path_loss_db(DISTANCES_M, CARRIER_HZ)
    np.testing.assert_allclose(loss, expected_db, rtol=0, atol=TABLE_DB)


def test_uma_breakpoint_is_560_m_at_3_5_ghz():
    # 4 * (25 - 1) * (1.5 - 1) * 3.5e9 / 3.0e8 = 560 exactly
    assert UMa().breakpoint_m(CARRIER_HZ) == pytest.approx(560.0, abs=1e-9)


def test_uma_is_continuous_at_its_breakpoint():
    model = UMa(line_of_sight="always")
    before, after = model.path_loss_db([560.0 * (1 - 1e-9), 560.0 * (1 + 1e-9)], CARRIER_HZ)
    # Not to rounding: the TR's 9 lg(d_BP^2 + drop^2) joins 18 lg d3D exactly
    assert after - before == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("carrier_hz", [0.7e9, 3.5e9, 28e9])
@pytest.mark.parametrize("model", [UMa(), UMa(line_of_sight="always"), LogDistance(exponent=3.2)])
def test_loss_never_falls_with_distance_and_has_the_shape_of_its_argument(model, carrier_hz):
    distance = np.geomspace(0.5, 20e3, 4000).reshape(40, 100)
    loss = model.path_loss_db(distance, carrier_hz)
    assert loss.shape == distance.shape
    assert np.diff(loss.ravel()).min() >= 0.0
    assert loss[-1, -1] > loss[0, 0] + 50.0


def test_blocked_sight_never_helps():
    distance = np.geomspace(10.0, 5e3, 500)
    blocked, clear = (UMa(line_of_sight=s).path_loss_db(distance, CARRIER_HZ) for s in ("never", "always"))
    assert np.all(blocked >= clear)
    assert np.any(blocked > clear + 20.0)


def test_a_taller_client_loses_less_when_blocked():
    low, high = UMa(client_height_m=1.5), UMa(client_height_m=10.0)
    assert high.path_loss_db(500.0, CARRIER_HZ) < low.path_loss_db(500.0, CARRIER_HZ) - 4.0  # 0.6 * 8.5 = 5.1 dB


@pytest.mark.parametrize(
    ("distance_m", "carrier_hz", "expected_db"),
    # 20 lg(4 pi d f / c); the first agrees with ns-3
    [(100.0, 2.4e9, 80.0520), (1000.0, 3.5e9, 103.3291), (1000.0, 900e6, 91.5326)],
)
def test_exponent_two_is_free_space(distance_m, carrier_hz, expected_db):
    assert free_space_db(distance_m, carrier_hz) == pytest.approx(expected_db, abs=TABLE_DB)
    for reference_m in (1.0, 7.0):
        model = LogDistance(exponent=2.0, reference_distance_m=reference_m)
        assert model.path_loss_db(distance_m, carrier_hz) == pytest.approx(expected_db, abs=TABLE_DB)


def test_log_distance_adds_ten_times_the_exponent_a_decade():
    model = LogDistance(exponent=3.5, reference_distance_m=10.0, reference_loss_db=70.0)
    np.testing.assert_allclose(
        model.path_loss_db([10.0, 100.0, 1000.0], CARRIER_HZ), [70.0, 105.0, 140.0], rtol=0, atol=ROUNDING_DB
    )


def test_loss_is_held_below_the_nearest_distance():
    for model, nearest in ((UMa(), 10.0), (LogDistance(exponent=3.0, reference_distance_m=5.0), 5.0)):
        near, edge, beyond = model.path_loss_db([0.0, nearest, 2 * nearest], CARRIER_HZ)
        assert near == edge < beyond


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("model", [UMa(), LogDistance(exponent=3.0)])
def test_a_wrong_distance_or_carrier_is_refused(model, bad):
    with pytest.raises(ValueError, match="distance"):
        model.path_loss_db([1.0, bad], CARRIER_HZ)
    with pytest.raises(ValueError, match="carrier_hz"):
        model.path_loss_db(100.0, bad)


def test_options_outside_the_validity_range_are_refused():
    with pytest.raises(OptionError, match=r"client_height_m: must be at least 1\.5 m and below 13 m"):
        UMa(client_height_m=20.0)
    with pytest.raises(OptionError, match="line_of_sight: must be one of always, never"):
        UMa(line_of_sight="sometimes")
    with pytest.raises(OptionError, match="exponent"):
        LogDistance(exponent=0.0)
    with pytest.raises(OptionError, match="reference_loss_db"):
        LogDistance(exponent=2.0, reference_loss_db=float("nan"))
    with pytest.raises(TypeError, match="exponent"):
        LogDistance()


def test_registry_names_the_kinds():
    assert {kind: model.kind for kind, model in PATH_LOSS.items()} == {k: k for k in ("uma", "log_distance")}
