"""Clients that wander: law and memory of their velocity, what the border does, order of questions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from channels.fading import Rayleigh
from channels.links import Links
from channels.mobility import Disc, GaussMarkov, Line, gaussmarkov
from channels.options import OptionError
from channels.pathloss import UMa
from channels.shadowing import NoShadowing
from channels.streams import Stream

STREAM = Stream.root(31)
DISC = Disc(to_m=400.0)
EVERYWHERE = Disc(to_m=1e8)  # nobody gets to the border
ROUNDING_M = 1e-6  # positions of up to 1e8 m in float64
CLIENTS = 20_000
WALK = GaussMarkov(speed_mps=3.0, std_mps=1.5, memory=0.8)


def velocities(model, steps, placement=EVERYWHERE, clients=CLIENTS):
    """The velocity of each client in some steps, [K, N, 2]."""
    path = model.trajectory(STREAM, placement, np.arange(clients), clients)
    begin = np.asarray(steps) * model.step_s
    return (path.position_m(begin + 0.75 * model.step_s) - path.position_m(begin + 0.25 * model.step_s)) / (
        0.5 * model.step_s
    )


@pytest.mark.parametrize("step", [0, 7, 8, 100])  # 7 to 8 is the edge of a block
def test_speeds_follow_a_rice_law_at_all_times(step):
    speed = np.hypot(*np.moveaxis(velocities(WALK, [step]), -1, 0))[:, 0]
    assert stats.kstest(speed, stats.rice(3.0 / 1.5, scale=1.5).cdf).statistic < 1.95 / math.sqrt(CLIENTS)
    assert WALK.mean_speed_mps == pytest.approx(stats.rice(2.0, scale=1.5).mean(), rel=1e-12)


@pytest.mark.parametrize("start", [0, 5])  # the second crosses the edge of a block
def test_velocity_remembers_itself_over_steps_as_stated(start):
    # With headings uniform over the ensemble, E[v . v'] = speed^2 + 2 std^2 memory^n
    steps = np.array([0, 1, 2, 5, 12])
    velocity = velocities(WALK, start + steps)
    product = np.sum(velocity[:, :1] * velocity, axis=-1)
    tolerance = 4.5 * product.std(axis=0) / math.sqrt(CLIENTS)
    assert (np.abs(product.mean(axis=0) - (3.0**2 + 2 * 1.5**2 * 0.8**steps)) < tolerance).all()
    assert tolerance.max() < 0.5  # so that 0.8 is told from 0.7 or 0.9: at 5 steps 1.47 from 0.76 and 2.66
    other = np.sum(velocity[:-1, 0] * velocity[1:, 0], axis=-1)  # of another client
    assert abs(other.mean()) < 4.5 * other.std() / math.sqrt(CLIENTS)


def test_without_memory_steps_are_independent_and_without_deviation_paths_are_straight():
    model = GaussMarkov(speed_mps=0.0, std_mps=2.0, memory=0.0)
    first, second = np.moveaxis(velocities(model, [3, 4]), 1, 0)
    assert abs(np.corrcoef(first[:, 0], second[:, 0])[0, 1]) < 4.5 / math.sqrt(CLIENTS)
    assert model.mean_speed_mps == pytest.approx(2.0 * math.sqrt(math.pi / 2), rel=1e-12)  # Rayleigh
    straight = GaussMarkov(speed_mps=5.0, std_mps=0.0).trajectory(STREAM, EVERYWHERE, np.arange(100), 100)
    start, end = np.moveaxis(straight.position_m([0.0, 77.7]), 1, 0)
    np.testing.assert_allclose(np.hypot(*(end - start).T), 5.0 * 77.7, rtol=1e-6)
    np.testing.assert_allclose(straight.travelled_m([77.7]), 5.0 * 77.7, rtol=1e-12)
    assert straight.speed_mps == 5.0
    still = GaussMarkov(speed_mps=0.0, std_mps=0.0).trajectory(STREAM, DISC, [3], 4)
    np.testing.assert_array_equal(*np.moveaxis(still.position_m([0.0, 1e4]), 1, 0))
    assert still.speed_mps == 0.0


def test_the_mean_speed_is_that_of_the_way():
    path = WALK.trajectory(STREAM, DISC, np.arange(2000), 2000)
    way = path.travelled_m([0.0, 1000.0])
    assert not way[:, 0].any()
    speed = way[:, 1] / 1000.0
    assert speed.mean() == pytest.approx(path.speed_mps, abs=4.5 * speed.std() / math.sqrt(2000))
    # where the deviation is small: v + s^2 / (2 v)
    assert GaussMarkov(speed_mps=10.0, std_mps=0.1).mean_speed_mps == pytest.approx(10.0005, abs=1e-7)


@pytest.mark.parametrize(
    ("placement", "reach_m"),
    [
        (DISC, 400.0),
        pytest.param(Line(from_m=50.0, to_m=400.0), 400.0, marks=pytest.mark.slow),
        pytest.param(Line(from_m=80.0, to_m=80.0), 80.0, marks=pytest.mark.slow),
    ],
)
def test_clients_turn_at_the_border(placement, reach_m):
    path = WALK.trajectory(STREAM, placement, np.arange(500), 500)
    times = np.arange(0.0, 4000.0, 8.0)
    distance = path.distance_m(times)
    # eight steps at 3 m/s, and deviations of 1.5 m/s that last five steps: nobody gets 75 m beyond the border
    assert reach_m < distance.max() < reach_m + 75.0
    assert (distance[:, 250:] <= reach_m).mean() > 0.6  # and they come back
    assert (distance.min(axis=1) < 0.5 * reach_m).mean() > 0.9  # from one side to the other


def test_turning_keeps_the_law_of_the_speed_and_the_path_unbroken():
    small = Disc(to_m=30.0)
    speed = np.hypot(*np.moveaxis(velocities(WALK, [500], small), -1, 0))[:, 0]
    assert stats.kstest(speed, stats.rice(2.0, scale=1.5).cdf).statistic < 1.95 / math.sqrt(CLIENTS)
    path = WALK.trajectory(STREAM, small, np.arange(20), 20)
    times = np.arange(0.0, 100.0, 0.01)
    moved = np.hypot(*np.moveaxis(np.diff(path.position_m(times), axis=1), -1, 0))
    np.testing.assert_allclose(moved.sum(axis=1), path.travelled_m(times)[:, -1], rtol=1e-3)  # corners are cut
    assert moved.max() < 0.01 * (3.0 + 6 * 1.5)


@pytest.mark.parametrize("placement", [DISC, Disc(from_m=5.0, to_m=30.0)])
@given(st.lists(st.floats(0, 200), min_size=1, max_size=15), st.permutations(range(6)), st.data())
def test_random_access_gives_the_same_bits(placement, times, order, data):
    late_first = WALK.trajectory(STREAM, placement, np.array(order), 6)
    late_first.position_m([250.0])
    whole, ways = late_first.position_m(times), late_first.travelled_m(times)
    crowd = WALK.trajectory(STREAM, placement, np.arange(25), 25)
    for row, client in enumerate(order):
        moment = data.draw(st.integers(0, len(times) - 1))
        assert crowd.position_m(times[moment], rows=[client])[0, 0].tolist() == whole[row, moment].tolist()
        assert crowd.travelled_m(times[moment], rows=[client])[0, 0] == ways[row, moment]
    np.testing.assert_array_equal(crowd.position_m(times[::-1], rows=order), whole[:, ::-1])


def test_many_times_of_many_clients_are_cut_into_parts_without_a_trace(monkeypatch):
    times = Stream.root(2).uniform(0, np.arange(300)) * 3000.0
    whole = WALK.trajectory(STREAM, DISC, np.arange(9), 9).position_m(times)
    monkeypatch.setattr("channels.mobility.gaussmarkov._DRAWS", 300)
    np.testing.assert_array_equal(WALK.trajectory(STREAM, DISC, np.arange(9), 9).position_m(times), whole)


def test_what_is_kept_of_a_path_is_bounded_and_going_back_gives_the_same_bits():
    late = WALK.trajectory(STREAM, DISC, [3, 8], 9)
    late.position_m([3e4])  # 3750 blocks
    states = [*late._kept.values(), *late._recent.values()]
    assert len(states) <= gaussmarkov._KEPT + gaussmarkov._BLOCKS
    assert all(state.shape == (2, 7) for state in states)
    assert len(late._kept) > gaussmarkov._KEPT // 2  # so that going back is short
    times = np.array([29_000.0, 3.3, 15_000.5, 14_999.5, 0.0])
    early = WALK.trajectory(STREAM, DISC, [3, 8], 9)
    one_by_one = np.concatenate([early.position_m([time]) for time in np.sort(times)], axis=1)
    np.testing.assert_array_equal(late.position_m(times), one_by_one[:, np.argsort(np.argsort(times))])


def test_a_step_of_its_own_length_scales_time():
    slow = GaussMarkov(speed_mps=3.0, std_mps=1.5, memory=0.8, step_s=10.0)
    one, ten = (m.trajectory(STREAM, EVERYWHERE, [4], 5) for m in (WALK, slow))
    moved, further = (p.position_m([0.0, t]) for p, t in ((one, 77.0), (ten, 770.0)))
    np.testing.assert_allclose(further[0, 1] - further[0, 0], 10.0 * (moved[0, 1] - moved[0, 0]), atol=ROUNDING_M)


def test_links_take_the_mean_speed_for_the_doppler_shift():
    cell = Links(
        STREAM, 3, carrier_hz=3e9, path_loss=UMa(), shadowing=NoShadowing(), fading=Rayleigh(), placement=DISC,
        mobility=WALK,
    )  # fmt: skip
    np.testing.assert_allclose(cell.doppler_hz, [WALK.mean_speed_mps * 3e9 / 299_792_458.0] * 3, rtol=1e-15)


def test_wrong_arguments_are_refused():
    path = WALK.trajectory(STREAM, DISC, [0, 1], 2)
    for bad in (np.nan, np.inf, -1.0):
        for question in (path.position_m, path.distance_m, path.travelled_m):
            with pytest.raises(ValueError, match="time"):
                question([0.0, bad])
    with pytest.raises(ValueError, match=r"a time of 10000000000000.0 s is beyond the steps of the path"):
        path.position_m([1e13])
    with pytest.raises(ValueError, match="client 2 is not one of 2"):
        WALK.trajectory(STREAM, DISC, [0, 2], 2)
    assert path.position_m([]).shape == (2, 0, 2)
    assert path.position_m([1.0], rows=[]).shape == (0, 1, 2)
    assert WALK.trajectory(STREAM, DISC, [], 0).position_m([1.0]).shape == (0, 1, 2)
    for wrong, says in (
        ({"memory": 1.0}, "memory: must be at least 0 and below 1"),
        ({"std_mps": -1.0}, "std_mps: must be at least 0 m/s"),
        ({"step_s": 0.0}, "step_s: must be above 0 s"),
    ):
        with pytest.raises(OptionError, match=says):
            GaussMarkov(speed_mps=1.0, **wrong)
    with pytest.raises(TypeError, match="speed_mps"):
        GaussMarkov()
