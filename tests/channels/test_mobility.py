from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from channels.mobility import MOBILITY, PLACEMENT, ConstantVelocity, Disc, GaussMarkov, Line, RandomWaypoint, Static
from channels.options import OptionError, option_name
from channels.streams import Stream

STREAM = Stream.root(31)
KS_CRITICAL_1E4 = 0.0195  # Kolmogorov-Smirnov at n = 1e4 and level 0.1 %: 1.95 / sqrt(n)
ROUNDING_M = 1e-9  # positions of some 100 m in float64
DISC = Disc(from_m=0.0, to_m=400.0)
MODELS = [Static(), ConstantVelocity(speed_mps=12.0), RandomWaypoint(speed_mps=12.0)]


@pytest.mark.parametrize(("inner_m", "outer_m"), [(0.0, 500.0), (50.0, 500.0), (499.0, 500.0)])
def test_disc_is_uniform_over_its_area(inner_m, outer_m):
    start = Disc(from_m=inner_m, to_m=outer_m).start_m(STREAM, np.arange(10_000), 10_000)
    radius = np.hypot(*start.T)
    share = (radius**2 - inner_m**2) / (outer_m**2 - inner_m**2)  # share of the ring's area inside the radius
    assert stats.kstest(share, "uniform").statistic < KS_CRITICAL_1E4
    angle = np.arctan2(start[:, 1], start[:, 0]) / (2 * np.pi) + 0.5
    assert stats.kstest(angle, "uniform").statistic < KS_CRITICAL_1E4
    assert abs(np.corrcoef(share, angle)[0, 1]) < 4.0 / np.sqrt(10_000)  # four standard errors
    assert radius.min() >= inner_m - ROUNDING_M and radius.max() <= outer_m + ROUNDING_M


def test_line_is_evenly_spaced():
    line = Line(from_m=100.0, to_m=500.0)
    np.testing.assert_allclose(line.start_m(STREAM, np.arange(5), 5)[:, 0], [100, 200, 300, 400, 500], atol=ROUNDING_M)
    assert line.start_m(STREAM, [0], 1).tolist() == [[100.0, 0.0]]
    assert line.start_m(STREAM, [3], 5)[0, 0] == pytest.approx(400.0, abs=ROUNDING_M)
    level = Line(from_m=200.0, to_m=200.0)
    assert np.unique(Static().trajectory(STREAM, level, np.arange(7), 7).distance_m([0.0])).tolist() == [200.0]


@pytest.mark.parametrize("model", MODELS)
def test_all_mobilities_start_where_clients_are_placed(model):
    expected = DISC.start_m(STREAM.child("placement"), np.arange(50), 50)
    path = model.trajectory(STREAM, DISC, np.arange(50), 50)
    np.testing.assert_array_equal(path.position_m([0.0])[:, 0], expected)
    assert not path.travelled_m([0.0]).any()


@pytest.mark.parametrize("model", MODELS)
def test_shapes_and_distances_agree(model):
    times = np.linspace(0.0, 300.0, 41)
    path = model.trajectory(STREAM, DISC, np.arange(20), 20)
    position = path.position_m(times)
    assert position.shape == (20, 41, 2)
    np.testing.assert_array_equal(path.distance_m(times), np.hypot(position[..., 0], position[..., 1]))
    speed = 0.0 if isinstance(model, Static) else 12.0
    assert path.speed_mps == speed
    np.testing.assert_allclose(path.travelled_m(times), np.tile(speed * times, (20, 1)), rtol=1e-15)


@pytest.mark.parametrize("model", MODELS[1:])
def test_speed_is_as_stated(model):
    step_s = 0.01
    times = np.arange(0.0, 400.0, 0.5)
    path = model.trajectory(STREAM, DISC, np.arange(30), 30)
    moved = path.position_m(times + step_s) - path.position_m(times)
    speed = np.hypot(moved[..., 0], moved[..., 1]) / step_s
    assert speed.max() <= 12.0 * (1 + 1e-6)  # positions to 1e-13 m over 0.01 s
    straight = speed >= 12.0 * (1 - 1e-6)
    # A step that spans a waypoint is shorter: waypoints lie 362 m apart on average (128 R / (45 pi)), 30 s at
    # 12 m/s, so about 0.01 s / 30 s = 0.03 % of the steps; ten times that is allowed
    assert straight.mean() > 0.997


def test_constant_velocity_is_straight_and_headings_are_uniform():
    path = ConstantVelocity(speed_mps=10.0).trajectory(STREAM, DISC, np.arange(10_000), 10_000)
    start, middle, end = np.moveaxis(path.position_m([0.0, 50.0, 100.0]), 1, 0)
    np.testing.assert_allclose(middle, (start + end) / 2, atol=ROUNDING_M)
    heading = np.arctan2(*(end - start).T) / (2 * np.pi) + 0.5
    assert stats.kstest(heading, "uniform").statistic < KS_CRITICAL_1E4
    # a kilometre in any direction from within 400 m ends outside the disc
    assert np.hypot(*end.T).min() > 400.0


@pytest.mark.parametrize("placement", [DISC, Line(from_m=50.0, to_m=400.0)])
def test_random_waypoint_stays_in_its_region(placement):
    path = RandomWaypoint(speed_mps=30.0).trajectory(STREAM, placement, np.arange(100), 100)
    distance = path.distance_m(np.linspace(0.0, 5000.0, 1001))
    assert placement.from_m - ROUNDING_M <= distance.min() < placement.from_m + 40.0
    assert 380.0 < distance.max() <= 400.0 + ROUNDING_M


def test_random_waypoint_reaches_its_stationary_law():
    # On a segment of unit length the stationary density is 6 x (1 - x) (Bettstetter, Resta and Santi 2003), so
    # the distribution function is 3 x^2 - 2 x^3. 200 s at 30 m/s are 60 legs of 100 m.
    line = Line(from_m=100.0, to_m=400.0)
    path = RandomWaypoint(speed_mps=30.0).trajectory(STREAM, line, np.arange(10_000), 10_000)
    share = (path.distance_m([200.0])[:, 0] - 100.0) / 300.0
    assert stats.kstest(share, lambda x: 3 * x**2 - 2 * x**3).statistic < KS_CRITICAL_1E4


def test_random_waypoint_is_continuous():
    times = np.arange(0.0, 600.0, 0.05)
    path = RandomWaypoint(speed_mps=20.0).trajectory(STREAM, DISC, np.arange(10), 10)
    moved = np.diff(path.position_m(times), axis=1)
    assert np.hypot(moved[..., 0], moved[..., 1]).max() <= 20.0 * 0.05 + ROUNDING_M


@pytest.mark.parametrize("placement", [DISC, Disc(from_m=20.0, to_m=90.0)])
@pytest.mark.parametrize("model", MODELS)
@given(st.lists(st.floats(0, 5e3), min_size=1, max_size=15), st.permutations(range(6)), st.data())
def test_random_access_gives_the_same_bits(model, placement, times, order, data):
    late_first = model.trajectory(STREAM, placement, np.array(order), 6)
    late_first.position_m([9e3])
    whole = late_first.position_m(times)
    crowd = model.trajectory(STREAM, placement, np.arange(25), 25)
    for row, client in enumerate(order):
        moment = data.draw(st.integers(0, len(times) - 1))
        assert crowd.position_m(times[moment], rows=[client])[0, 0].tolist() == whole[row, moment].tolist()
    np.testing.assert_array_equal(crowd.position_m(times[::-1], rows=order), whole[:, ::-1])


def test_a_point_is_no_place_for_waypoints():
    point = Line(from_m=200.0, to_m=200.0)
    with pytest.raises(OptionError, match="single point"):
        RandomWaypoint(speed_mps=1.0).trajectory(STREAM, point, [0], 1)
    still = RandomWaypoint(speed_mps=0.0).trajectory(STREAM, point, [0], 1)
    assert still.distance_m([0.0, 100.0]).tolist() == [[200.0, 200.0]]


@pytest.mark.parametrize("model", MODELS)
def test_wrong_arguments_are_refused(model):
    path = model.trajectory(STREAM, DISC, [0, 1], 2)
    for bad in (np.nan, np.inf, -1.0):
        for question in (path.position_m, path.distance_m, path.travelled_m):
            with pytest.raises(ValueError, match="time"):
                question([0.0, bad])
    with pytest.raises(ValueError, match="client 2 is not one of 2"):
        model.trajectory(STREAM, DISC, [0, 2], 2)
    assert path.position_m([]).shape == (2, 0, 2)
    assert path.position_m([1.0], rows=[]).shape == (0, 1, 2)
    assert model.trajectory(STREAM, DISC, [], 0).position_m([1.0]).shape == (0, 1, 2)


def test_options_are_checked():
    for placement in (Disc, Line):
        with pytest.raises(OptionError, match="to_m: must be at least"):
            placement(from_m=20.0, to_m=10.0)
        with pytest.raises(OptionError, match="from_m: must be at least 0 m"):
            placement(from_m=-1.0, to_m=10.0)
        with pytest.raises(TypeError, match="to_m"):
            placement(from_m=0.0)
    with pytest.raises(OptionError, match="speed_mps: must be at least 0 m/s"):
        RandomWaypoint(speed_mps=-1.0)
    assert [option_name(f) for f in ("from_m", "to_m", "speed_mps")] == ["from", "to", "speed"]
    assert {kind: cls.kind for kind, cls in PLACEMENT.items()} == {kind: kind for kind in ("disc", "line")}
    kinds = ("static", "constant_velocity", "random_waypoint", "gauss_markov")
    assert {kind: MOBILITY[kind].kind for kind in kinds} == {kind: kind for kind in kinds}
    assert set(MOBILITY) == {*kinds, "waypoints"}


def test_who_stands_still_says_so():
    moves = [ConstantVelocity, RandomWaypoint, GaussMarkov]
    assert Static().is_still
    assert not any(cls(speed_mps=1.0).is_still for cls in moves)
    assert all(cls(speed_mps=0.0).is_still for cls in moves[:2])
    assert GaussMarkov(speed_mps=0.0, std_mps=0.0).is_still
    assert not GaussMarkov(speed_mps=0.0).is_still
