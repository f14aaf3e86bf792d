from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.arrays import blocks_of
from channels.erasure import LOSS, BurstLoss, GilbertElliott, IndependentLoss, NoLoss
from channels.options import OptionError
from channels.streams import Stream
from channels.vectors import GILBERT_ELLIOTT

STREAM = Stream.root(41).child("loss")
PACKETS = 400_000
TICKS, TICK_S = 1_000_000, 1e-3
NUMBERS = np.arange(TICKS)
LOSS_TOLERANCE = 0.01  # acceptance limit, relative, at 1e6 packets; a standard error is 0.005 at p = 0.05, r = 0.3
BURST_TOLERANCE = 0.02  # acceptance limit, relative


PACKET = st.tuples(st.integers(0, 2**40), st.integers(0, 2**40), st.floats(0, 1e5))  # client, attempt, time in s


def loss(probability):
    return IndependentLoss(probability=probability, origin="backhaul")


def chain(p, r, **others):
    return GilbertElliott(p=p, r=r, origin="interference", **others)


BURSTY = [
    chain(0.05, 0.3), chain(0.05, 0.3, e_bad=0.5, e_good=0.01), chain(0.9, 0.8, step_s=2e-3), chain(1e-4, 1e-3),
    BurstLoss(loss=0.2, burst_s=0.01, origin="interference"),
]  # fmt: skip


def runs(flags):
    """Lengths of the runs of True that begin and end inside."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8)))
    inner = edges[int(flags[0]) :]
    return np.diff(inner)[::2]


@pytest.mark.parametrize("probability", [0.001, 0.1, 0.5, 0.99])
def test_share_and_bursts_are_those_of_independent_losses(probability):
    lost = loss(probability).lost(STREAM, 3, np.arange(PACKETS), 0.0)
    error = 4.0 * np.sqrt(probability * (1 - probability) / PACKETS)  # four standard errors
    assert lost.mean() == pytest.approx(probability, abs=error)
    assert loss(probability).mean_loss == probability
    for lag in (1, 2, 10):  # both lost: probability squared; neighbouring pairs at most double the variance
        both = np.mean(lost[lag:] & lost[:-lag])
        joint = probability**2
        spread = np.sqrt(joint * (1 - joint) * (1 + 2 * probability) / PACKETS)
        assert both == pytest.approx(joint, abs=4.0 * spread + 1e-5)  # 1e-5: four packets, where joint is 1e-6


@pytest.mark.parametrize(("p", "r", "e_bad", "share", "burst"), GILBERT_ELLIOTT)
def test_gilbert_elliott_has_its_loss_bursts_and_correlation(p, r, e_bad, share, burst):
    model, times = chain(p, r, e_bad=e_bad), NUMBERS * TICK_S
    assert model.mean_loss == pytest.approx(share, rel=1e-5)  # the vectors have six digits
    lost = model.lost(STREAM, 0, NUMBERS, times)
    assert lost.mean() == pytest.approx(share, rel=LOSS_TOLERANCE)
    assert runs(lost).mean() == pytest.approx(burst, rel=BURST_TOLERANCE)
    bad = model.bad(STREAM, 0, times)
    assert runs(bad).mean() == pytest.approx(1 / r, rel=BURST_TOLERANCE)
    assert runs(~bad).mean() == pytest.approx(1 / p, rel=BURST_TOLERANCE)
    for lag in (1, 2, 5):
        measured = np.corrcoef(bad[lag:], bad[:-lag])[0, 1]
        assert measured == pytest.approx((1 - p - r) ** lag, abs=0.01)  # five standard errors: 1 / sqrt(TICKS / 4)
    # A stay is geometric: P(one tick) = r
    assert np.mean(runs(bad) == 1) == pytest.approx(r, rel=BURST_TOLERANCE)


def test_a_wanted_loss_and_burst_are_met():
    model = BurstLoss(loss=0.1, burst_s=5e-3, origin="recorded")
    assert (model.chain.p, model.chain.r) == pytest.approx((0.1 * 0.2 / 0.9, 0.2))  # p = L r / (1 - L), r = 1 / B
    assert model.mean_loss == 0.1 and model.chain.mean_loss == pytest.approx(0.1)
    lost = model.lost(STREAM, np.arange(2)[:, None], NUMBERS, NUMBERS * TICK_S)
    assert lost.mean() == pytest.approx(0.1, rel=LOSS_TOLERANCE)
    assert runs(lost.ravel()).mean() == pytest.approx(5.0, rel=BURST_TOLERANCE)


@pytest.mark.parametrize("model", [chain(0.02, 0.05), chain(0.9, 0.8), chain(1e-15, 4e-15), chain(0.25, 0.75)])
def test_the_chain_is_stationary_from_the_start(model):
    clients, times = np.arange(100_000), (0.0, 0.001, 0.1, 5e4)
    share = model.p / (model.p + model.r)
    spread = 4.0 * np.sqrt(share * (1 - share) / clients.size)  # four standard errors of independent clients
    measured = model.bad(STREAM, clients[:, None], times).mean(axis=0)
    np.testing.assert_allclose(measured, share, rtol=0, atol=spread)


def test_a_burst_goes_on_between_packets_and_within_a_tick():
    model = chain(0.01, 0.02, step_s=0.01)
    bad = model.bad(STREAM, 7, np.arange(3000) * 0.01)
    for offset in (0.004, 0.0099):
        numbers = np.arange(3000)
        np.testing.assert_array_equal(model.lost(STREAM, 7, 2 * numbers, numbers * 0.01 + offset), bad)


@pytest.mark.parametrize(("p", "r"), [(0.02, 0.05), (0.9, 0.8)])
def test_transitions_are_those_of_the_chain(p, r):
    # The step from each state, over many clients and over blocks' edges, which lie at powers of two of ticks.
    model, clients = chain(p, r), np.arange(30_000)[:, None]
    bad = model.bad(STREAM, clients, np.arange(1020, 1030) * TICK_S)
    for tick in range(9):
        for before, wanted in ((False, p), (True, r)):
            turned = bad[bad[:, tick] == before, tick + 1] != before
            spread = 4.5 * np.sqrt(wanted * (1 - wanted) / turned.size)  # 4.5 standard errors: 36 of these are tested
            assert turned.mean() == pytest.approx(wanted, abs=spread)


def test_packets_of_one_tick_share_its_state_and_have_fates_of_their_own():
    model, attempts = chain(0.3, 0.3, e_good=0.1, e_bad=0.6), np.arange(100_000)
    clients = np.arange(6)[:, None]
    bad = model.bad(STREAM, clients, 0.5)
    assert bad.any() and not bad.all()
    for fates, state in zip(model.lost(STREAM, clients, attempts, 0.5), bad[:, 0], strict=True):
        wanted = 0.6 if state else 0.1
        assert fates.mean() == pytest.approx(wanted, abs=4.0 * np.sqrt(wanted * (1 - wanted) / fates.size))
        assert abs(np.corrcoef(fates[1:], fates[:-1])[0, 1]) < 4.0 / np.sqrt(fates.size)  # four standard errors


@pytest.mark.parametrize("model", BURSTY)
@given(st.lists(PACKET, min_size=1, max_size=30), st.data())
def test_bursts_are_the_same_in_any_order_among_any_others(model, packets, data):
    clients, attempts, times = (np.array(part) for part in zip(*packets, strict=True))
    whole = model.lost(STREAM, clients, attempts, times)
    chosen = data.draw(st.lists(st.integers(0, len(packets) - 1), min_size=1, max_size=30))
    assert model.lost(STREAM, clients[chosen], attempts[chosen], times[chosen]).tolist() == whole[chosen].tolist()
    table = model.lost(STREAM, clients[:, None, None], attempts[:, None], times)
    assert table.shape == (len(packets),) * 3
    i, j, k = (data.draw(st.integers(0, len(packets) - 1)) for _ in range(3))
    alone = model.lost(STREAM, clients[i], attempts[j], times[k])
    assert alone.shape == () and bool(alone) == bool(table[i, j, k])


@pytest.mark.parametrize("model", BURSTY)
def test_random_access_to_bursts_is_sequential_access(model):
    numbers = np.arange(20_000)

    def lost(packets, client=3):
        return model.lost(STREAM, client, packets, packets * TICK_S)

    whole = lost(numbers)
    assert whole.any() and not whole.all()
    pieces = [lost(numbers[first : first + 61]) for first in range(0, numbers.size, 61)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    for i in range(0, numbers.size, 401):
        assert lost(numbers[i]) == whole[i]
    np.testing.assert_array_equal(lost(numbers[::-7]), whole[::-7])
    assert not np.array_equal(lost(numbers, 4), whole)
    assert lost(numbers[:0]).shape == (0,)
    assert model.lost(STREAM, [[1], [2]], [], [7.0]).shape == (2, 0)


@given(st.lists(PACKET, min_size=1, max_size=30), st.data())
def test_an_independent_fate_depends_only_on_client_and_attempt(packets, data):
    model = loss(0.5)
    clients, attempts, times = (np.array(part) for part in zip(*packets, strict=True))
    whole = model.lost(STREAM, clients, attempts, times)
    chosen = data.draw(st.lists(st.integers(0, len(packets) - 1), min_size=1, max_size=30))
    assert model.lost(STREAM, clients[chosen], attempts[chosen], 0.0).tolist() == whole[chosen].tolist()
    first = model.lost(STREAM, clients[chosen[0]], attempts[chosen[0]], 7.0)
    assert first.shape == () and bool(first) == bool(whole[chosen[0]])
    assert model.lost(STREAM, clients[0], attempts[0], np.zeros((2, 1, 3))).tolist() == [[[whole[0]] * 3]] * 2


def test_clients_and_attempts_have_fates_of_their_own():
    fates = loss(0.5).lost(STREAM, np.arange(5)[:, None], np.arange(2000), 1.0)  # all at once
    assert len({tuple(fate) for fate in fates.tolist()}) == 5
    assert fates.mean() == pytest.approx(0.5, abs=0.02)  # four standard errors of 1e4 fates


def test_models_say_whether_the_time_matters():
    assert [model.in_time for model in (NoLoss(), loss(0.2), *BURSTY)] == [False, False] + [True] * len(BURSTY)


def test_a_higher_probability_loses_the_same_packets_and_more():
    few, many = (loss(share).lost(STREAM, 0, np.arange(5000), 0.0) for share in (0.1, 0.3))
    assert not np.any(few & ~many)
    assert np.any(many & ~few)


def test_probability_zero_and_no_loss_lose_nothing():
    clients, attempts = np.arange(3)[:, None], np.arange(5000)
    for model in (loss(0.0), NoLoss()):
        lost = model.lost(STREAM, clients, attempts, 1.0)
        assert not lost.any() and lost.shape == (3, 5000)
        assert model.mean_loss == 0.0


@pytest.mark.parametrize("model", [NoLoss(), loss(0.2), *BURSTY])
def test_wrong_times_are_refused(model):
    for bad in (np.nan, np.inf, -1.0):
        with pytest.raises(ValueError, match="time"):
            model.lost(STREAM, 0, [0, 1], [1.0, bad])
    with pytest.raises(ValueError, match="the number of an attempt must be an integer; got float64"):
        model.lost(STREAM, 0, 1.5, 0.0)


def test_options_are_checked():
    with pytest.raises(OptionError, match="probability: must be at least 0 and below 1"):
        loss(1.0)
    with pytest.raises(OptionError, match="origin: must be one of interference, backhaul, recorded"):
        IndependentLoss(probability=0.1, origin="fading")
    with pytest.raises(TypeError, match="origin"):
        IndependentLoss(probability=0.1)
    with pytest.raises(ValueError, match="too many blocks"):
        chain(0.1, 0.2).lost(STREAM, 0, 0, 1e14)
    with pytest.raises(OptionError, match="p: must be below 1 where r is 1"):
        chain(1.0, 1.0)
    with pytest.raises(OptionError, match="r: must be above 0 and at most 1"):
        chain(0.1, 0.0)
    with pytest.raises(OptionError, match=r"burst_s: must be at least one step, 0\.001 s|burst_s: .* 1 ms"):
        BurstLoss(loss=0.1, burst_s=5e-4, origin="recorded")
    with pytest.raises(OptionError, match="burst_s: must be at most 1e9 steps"):
        BurstLoss(loss=0.1, burst_s=5e3, step_s=1e-6, origin="recorded")
    with pytest.raises(OptionError, match=r"loss: must be at most 0\.666667 in bursts of 2 steps; got 0\.7"):
        BurstLoss(loss=0.7, burst_s=2e-3, origin="recorded")
    with pytest.raises(OptionError, match=r"loss: must be below 0\.5 in bursts of 1 steps; got 0\.5"):
        BurstLoss(loss=0.5, burst_s=1e-3, origin="recorded")
    with pytest.raises(ValueError, match="too many blocks"):
        blocks_of(np.array([1e5]), 1e-12)
    names = ("none", "independent", "gilbert_elliott", "bursts")
    assert {kind: model.kind for kind, model in LOSS.items()} == {k: k for k in names}


def test_every_tick_fresh_is_independent_loss():
    # p + r = 1: the next state does not depend on this one
    lost = chain(0.25, 0.75).lost(STREAM, 0, 0, np.arange(PACKETS) * TICK_S)
    assert lost.mean() == pytest.approx(0.25, abs=4.0 * np.sqrt(0.25 * 0.75 / PACKETS))  # four standard errors
    assert abs(np.corrcoef(lost[1:], lost[:-1])[0, 1]) < 4.0 / np.sqrt(PACKETS)
