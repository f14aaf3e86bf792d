from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from channels.options import OptionError
from channels.streams import Stream
from wfl_sim.devices import Compute

SIGNIFICANCE = 1e-3  # of one test on fixed draws: a right model fails it once in a thousand choices of the seed


def test_jitter_is_log_normal_with_unit_median():
    compute, stream = Compute(time_s=0.4, jitter=0.3), Stream.root(5).child("compute")
    seconds = np.concatenate([compute.seconds(stream, np.arange(40), round_) for round_ in range(50)])
    logs = np.log(seconds / 0.4) / 0.3
    assert kstest(logs, "norm").pvalue > SIGNIFICANCE
    # 2000 draws: a median of 1 within 4 x sqrt(pi / 2) / sqrt(2000) = .112, a deviation within 4 / sqrt(4000) = .063
    assert abs(np.median(logs)) < 0.112 and abs(logs.std() - 1.0) < 0.063


def test_times_are_keyed_by_client_and_round():
    compute, stream = Compute(time_s=1.0, jitter=0.5), Stream.root(1)
    keys = [(client, round_) for client in range(5) for round_ in range(5)]
    forward = {key: float(compute.seconds(stream, *key)) for key in keys}
    backward = {key: float(compute.seconds(stream, *key)) for key in reversed(keys)}
    assert forward == backward
    for round_ in range(5):
        assert compute.seconds(stream, np.arange(5), round_).tolist() == [forward[c, round_] for c in range(5)]
    assert len(set(forward.values())) == 25
    assert compute.seconds(Stream.root(2), 0, 0) != forward[0, 0]


def test_time_from_work_and_speed():
    compute = Compute(work_flop=20e9, speed_flops=50e9)  # 20 / 50 = 0.4 s
    assert compute.median_s == compute.seconds(Stream.root(0), 3, 7) == 0.4
    assert Compute(time_s=0.7).median_s == 0.7
    assert Compute(time_s=0.5, power_w=3.0).energy_j(0.5) == 1.5


@pytest.mark.parametrize("stated", [
    {}, {"work_flop": 1e9}, {"speed_flops": 1e9}, {"time_s": 1.0, "work_flop": 1e9, "speed_flops": 1e9},
])  # fmt: skip
def test_a_missing_or_doubled_compute_time_is_an_error(stated):
    with pytest.raises(OptionError, match=r"time: 400 ms.*work: 20 GFLOP"):
        Compute(**stated)


def test_a_compute_time_is_never_zero():
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(OptionError, match="time_s"):
            Compute(time_s=bad)
