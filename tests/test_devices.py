"""How long devices compute: laws by their closed forms, one client as among many, classes by their shares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from channels.options import OptionError
from channels.streams import Stream
from wfl_sim.devices import Compute, DeviceClass

SIGNIFICANCE = 1e-3  # of one test on fixed draws: a right model fails it once in a thousand choices of the seed


def test_jitter_is_log_normal_with_unit_median():
    compute, stream = Compute(time_s=0.4, jitter=0.3), Stream.root(5).child("compute")
    seconds = np.array([compute.seconds(stream, client, round_) for client in range(40) for round_ in range(50)])
    logs = np.log(seconds / 0.4) / 0.3
    assert kstest(logs, "norm").pvalue > SIGNIFICANCE
    # 2000 draws: a median of 1 within 4 x sqrt(pi / 2) / sqrt(2000) = .112, a deviation within 4 / sqrt(4000) = .063
    assert abs(np.median(logs)) < 0.112 and abs(logs.std() - 1.0) < 0.063


def test_times_are_keyed_by_client_and_round():
    compute, stream = Compute(time_s=1.0, jitter=0.5), Stream.root(1)
    keys = [(client, round_) for client in range(5) for round_ in range(5)]
    forward = {key: compute.seconds(stream, *key) for key in keys}
    backward = {key: compute.seconds(stream, *key) for key in reversed(keys)}
    assert forward == backward
    assert len(set(forward.values())) == 25
    assert compute.seconds(Stream.root(2), 0, 0) != forward[0, 0]


def test_time_from_work_and_speed():
    compute = Compute(work_flop=20e9, speed_flops=50e9)  # 20 / 50 = 0.4 s
    assert compute.median_s == compute.seconds(Stream.root(0), 3, 7) == 0.4
    assert Compute(time_s=0.7).median_s == 0.7
    assert Compute(time_s=0.5, power_w=3.0).energy_j(0.5) == 1.5


@pytest.mark.parametrize("stated", [
    {}, {"work_flop": 1e9}, {"time_s": 1.0, "work_flop": 1e9, "speed_flops": 1e9},
    {"time_s": 1.0, "work_flop": 1e9}, {"time_s": 1.0, "speed_flops": 1e9},
])  # fmt: skip
def test_a_missing_or_doubled_compute_time_is_an_error(stated):
    with pytest.raises(OptionError, match=r"time: 400 ms.*work: 20 GFLOP"):
        Compute(**stated)


def test_a_speed_alone_has_no_time_until_the_work_is_counted():
    open_ = Compute(speed_flops=50e9, jitter=0.2, classes=CLASSES)
    stream = Stream.root(3)
    asks = (
        lambda: open_.median_s, lambda: open_.fastest_s, lambda: open_.slowest_s,
        lambda: open_.medians_s(stream, [0]), lambda: open_.seconds(stream, 0, 1),
    )  # fmt: skip
    for ask in asks:
        with pytest.raises(ValueError, match="work of a round is not known"):
            ask()
    stated = Compute(work_flop=20e9, speed_flops=50e9, jitter=0.2, classes=CLASSES)
    assert open_.is_counted and not stated.is_counted
    assert open_.of(20e9) == stated
    for zero in (0.0, float("nan")):
        with pytest.raises(OptionError, match="work_flop"):
            open_.of(zero)


@pytest.mark.parametrize("stated", [{"time_s": 0.4}, {"work_flop": 1e9, "speed_flops": 2e9}])
def test_what_is_stated_overrides_what_is_counted(stated):
    assert Compute(**stated).of(7e9) == Compute(**stated)


def test_a_compute_time_is_never_zero():
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(OptionError, match="time_s"):
            Compute(time_s=bad)


CLASSES = (DeviceClass(speed=2.0, share=0.25), DeviceClass(speed=1.0, share=0.6), DeviceClass(speed=0.1))
FIBONACCI = (89, 987, 46_368)


@pytest.mark.parametrize("seed", range(4))
def test_classes_have_their_shares_of_the_clients(seed):
    """n steps of the golden section, n a Fibonacci number, are each within 1/n of a grid of n points, all on the same
    side: what lies in a part of the turn is its share to within 2."""
    compute, stream = Compute(time_s=1.0, classes=CLASSES), Stream.root(seed)
    for n in FIBONACCI:
        counts = np.bincount(compute.classes_of(stream, np.arange(n)), minlength=3)
        assert np.abs(counts - n * np.array([0.25, 0.6, 0.15])).max() <= 2.0
    some = np.array([7, 3, 5000])
    np.testing.assert_array_equal(compute.classes_of(stream, some), compute.classes_of(stream, np.arange(6000))[some])


def test_a_class_makes_a_client_faster_or_slower():
    compute, stream, clients = Compute(time_s=3.0, classes=CLASSES), Stream.root(2), np.arange(1000)
    medians = compute.medians_s(stream, clients)
    np.testing.assert_array_equal(medians, np.array([1.5, 3.0, 30.0])[compute.classes_of(stream, clients)])
    assert (compute.fastest_s, compute.median_s, compute.slowest_s) == (1.5, 3.0, 30.0)
    assert compute.median_s == np.median(medians)
    np.testing.assert_array_equal(compute.seconds(stream, clients, 4), medians)
    # jitter is that of devices that are all alike
    jittery, alike = Compute(time_s=3.0, classes=CLASSES, jitter=0.3), Compute(time_s=3.0, jitter=0.3)
    ratio = jittery.seconds(stream, clients, 4) / alike.seconds(stream, clients, 4)
    np.testing.assert_allclose(ratio, medians / 3.0, rtol=1e-14)


@pytest.mark.parametrize("classes", [(), CLASSES])
@pytest.mark.parametrize("jitter", [0.0, 0.4])
def test_many_are_asked_as_one_by_one(classes, jitter):
    compute, stream = Compute(time_s=2.0, jitter=jitter, classes=classes), Stream.root(9)
    clients, rounds = np.array([4, 0, 9]), np.array([[1], [2]])
    seconds = compute.seconds(stream, clients, rounds)
    each = [[compute.seconds(stream, int(client), round_) for client in clients] for round_ in (1, 2)]
    assert seconds.tolist() == each and np.shape(each[0][0]) == ()
    assert compute.seconds(stream, clients, 1).tolist() == each[0]
    assert compute.energy_j(seconds).tolist() == [[compute.energy_j(one) for one in row] for row in each]
    assert compute.medians_s(stream, []).shape == (0,)


def test_shares_that_are_left_out_are_what_is_left():
    classes = (DeviceClass(speed=1.0), DeviceClass(speed=2.0, share=0.5), DeviceClass(speed=4.0))
    compute = Compute(time_s=1.0, classes=classes)
    counts = np.bincount(compute.classes_of(Stream.root(1), np.arange(FIBONACCI[-1])))
    assert np.abs(counts - FIBONACCI[-1] * np.array([0.25, 0.5, 0.25])).max() <= 2.0
    assert Compute(time_s=1.0, classes=(DeviceClass(speed=0.5),)).median_s == 2.0
    thirds = tuple(DeviceClass(speed=speed, share=1.0 / 3.0) for speed in (1.0, 2.0, 4.0))
    assert Compute(time_s=1.0, classes=thirds).median_s == 0.5


@pytest.mark.parametrize(("shares", "says"), [
    ((0.7, 0.2), r"shares must sum to 1; got 0\.9; leave one out"),
    ((0.7, 0.4), r"shares must sum to 1; got 1\.1"),
    ((0.6, 0.4, None), r"shares must sum to 1, and leave something for the class without a share; got 1"),
])  # fmt: skip
def test_shares_that_do_not_sum_to_one_are_an_error(shares, says):
    with pytest.raises(OptionError, match=says):
        Compute(time_s=1.0, classes=tuple(DeviceClass(speed=1.0, share=share) for share in shares))
