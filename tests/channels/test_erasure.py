from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.erasure import LOSS, IndependentLoss, NoLoss
from channels.options import OptionError
from channels.streams import Stream

STREAM = Stream.root(41).child("loss")
PACKETS = 400_000


def loss(probability):
    return IndependentLoss(probability=probability, origin="backhaul")


@pytest.mark.parametrize("probability", [0.001, 0.1, 0.5, 0.99])
def test_share_and_bursts_are_those_of_independent_losses(probability):
    lost = loss(probability).lost(STREAM, 3, np.arange(PACKETS) * 1e-4)
    error = 4.0 * np.sqrt(probability * (1 - probability) / PACKETS)  # four standard errors
    assert lost.mean() == pytest.approx(probability, abs=error)
    assert loss(probability).mean_loss == probability
    for lag in (1, 2, 10):  # both lost: probability squared; neighbouring pairs at most double the variance
        both = np.mean(lost[lag:] & lost[:-lag])
        joint = probability**2
        spread = np.sqrt(joint * (1 - joint) * (1 + 2 * probability) / PACKETS)
        assert both == pytest.approx(joint, abs=4.0 * spread + 1e-5)  # 1e-5: four packets, where joint is 1e-6


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.integers(0, 2**40), st.data())
def test_fate_depends_only_on_client_and_time(times, client, data):
    model = loss(0.5)
    whole = model.lost(STREAM, client, times)
    chosen = data.draw(st.lists(st.integers(0, len(times) - 1), min_size=1, max_size=30))
    assert model.lost(STREAM, client, np.array(times)[chosen]).tolist() == whole[chosen].tolist()
    assert bool(model.lost(STREAM, client, times[chosen[0]])[0]) == bool(whole[chosen[0]])


def test_clients_and_ticks_have_fates_of_their_own():
    times = np.arange(2000) * 1e-9
    fates = [tuple(loss(0.5).lost(STREAM, client, times)) for client in range(5)]
    assert len(set(fates)) == 5
    assert 0.4 < np.mean(fates) < 0.6  # a nanosecond apart is apart
    np.testing.assert_array_equal(loss(0.5).lost(STREAM, 0, times + 0.3e-9), fates[0])


def test_a_higher_probability_loses_the_same_packets_and_more():
    times = np.arange(5000) * 1e-3
    few, many = loss(0.1).lost(STREAM, 0, times), loss(0.3).lost(STREAM, 0, times)
    assert not np.any(few & ~many)
    assert np.any(many & ~few)


def test_probability_zero_and_no_loss_lose_nothing():
    times = np.arange(5000) * 1e-3
    for model in (loss(0.0), NoLoss()):
        assert not model.lost(STREAM, 0, times).any()
        assert model.lost(STREAM, 0, times).shape == (5000,)
        assert model.mean_loss == 0.0


@pytest.mark.parametrize("model", [NoLoss(), loss(0.2)])
def test_wrong_times_are_refused(model):
    for bad in (np.nan, np.inf, -1.0):
        with pytest.raises(ValueError, match="time"):
            model.lost(STREAM, 0, [bad])


def test_options_are_checked():
    with pytest.raises(OptionError, match="probability: must be at least 0 and below 1"):
        loss(1.0)
    with pytest.raises(OptionError, match="origin: must be one of interference, backhaul, recorded"):
        IndependentLoss(probability=0.1, origin="fading")
    with pytest.raises(TypeError, match="origin"):
        IndependentLoss(probability=0.1)
    with pytest.raises(ValueError, match="beyond the clock"):
        loss(0.1).lost(STREAM, 0, [1e10])
    assert {kind: model.kind for kind, model in LOSS.items()} == {"none": "none", "independent": "independent"}
