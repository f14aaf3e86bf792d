from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.scheduling import IDLE, largest_rate, proportional_fair, round_robin, slot_shares, weighted_turns

RATES = st.tuples(st.integers(1, 6), st.integers(0, 30), st.integers(0, 2**32)).map(
    lambda shape: np.random.default_rng(shape[2]).integers(0, 4, shape[:2]).astype(float)
)


def proportional(rates):
    return proportional_fair(rates, 5.0)[0]


@pytest.mark.parametrize("schedule", [round_robin, largest_rate, proportional])
@given(RATES)
def test_a_slot_goes_to_a_user_that_can_use_it(schedule, rates):
    chosen = schedule(rates)
    assert chosen.shape == (rates.shape[1],) and chosen.dtype == np.int64
    for slot, user in enumerate(chosen):
        if user == IDLE:
            assert not rates[:, slot].any()
        else:
            assert rates[user, slot] > 0.0


@given(RATES)
def test_turns_pass_over_those_who_cannot_send(rates):
    last = IDLE
    for slot, user in enumerate(round_robin(rates)):
        able = [k % rates.shape[0] for k in range(last + 1, last + 1 + rates.shape[0])]
        able = [k for k in able if rates[k, slot] > 0.0]
        assert user == (able[0] if able else IDLE)
        last = user if able else last


@given(RATES, st.integers(0, 100))
def test_the_largest_rate_wins_and_equals_take_turns(rates, first_slot):
    for slot, user in enumerate(largest_rate(rates, first_slot)):
        if user != IDLE:
            assert rates[user, slot] == rates[:, slot].max()
    even = largest_rate(np.ones_like(rates), first_slot)
    assert even.tolist() == [(first_slot + slot) % rates.shape[0] for slot in range(rates.shape[1])]


@given(RATES, st.floats(1.0, 50.0), st.integers(0, 30))
def test_a_run_cut_in_two_is_the_same_run(rates, averaging, cut):
    head, tail = rates[:, :cut], rates[:, cut:]
    whole, served = proportional_fair(rates, averaging)
    first, between = proportional_fair(head, averaging)
    second, end = proportional_fair(tail, averaging, between)
    assert np.concatenate([first, second]).tolist() == whole.tolist()
    assert end.tolist() == served.tolist()
    turns = round_robin(head)
    last = next((int(user) for user in turns[::-1] if user != IDLE), IDLE)
    assert np.concatenate([turns, round_robin(tail, last)]).tolist() == round_robin(rates).tolist()
    both = np.concatenate([largest_rate(head), largest_rate(tail, head.shape[1])])
    assert both.tolist() == largest_rate(rates).tolist()


def test_fairness_does_not_see_the_scale_of_a_user():
    rates = np.random.default_rng(1).exponential(size=(5, 3000))
    scaled = rates * 2.0 ** np.array([[-8], [0], [3], [20], [-1]])  # powers of two: no rounding
    np.testing.assert_array_equal(proportional(rates), proportional(scaled))


def test_the_average_is_the_recursion():
    # t_c = 4: user 0 has 8/4 = 2 after slot 0; then 2/2 = 1 for it and no average for user 1, who comes first
    chosen, served = proportional_fair([[8.0, 2.0, 0.0], [0.0, 4.0, 0.0]], 4.0)
    assert chosen.tolist() == [0, 1, IDLE]
    assert served.tolist() == [2.0 * 0.75**2, 1.0 * 0.75]


def test_a_short_memory_makes_turns_and_a_long_one_waits_for_peaks():
    rates = np.random.default_rng(2).exponential(size=(4, 20_000))
    gains = [rates[proportional_fair(rates, t_c)[0], np.arange(20_000)].mean() for t_c in (1.0, 10.0, 1000.0)]
    # from 1 towards 1 + 1/2 + 1/3 + 1/4 = 2.0833; one standard error is 0.01
    assert gains[0] < gains[1] < gains[2] < 2.0833 + 0.04


def test_the_averages_given_are_not_written_to():
    served = np.ones(2)
    proportional_fair([[1.0], [2.0]], 2.0, served)
    assert served.tolist() == [1.0, 1.0]


def test_shares_count_idle_slots():
    assert slot_shares([0, 1, IDLE, 0], 3).tolist() == [0.5, 0.25, 0.0]
    with pytest.raises(ValueError, match="shares of no slots"):
        slot_shares([], 3)
    with pytest.raises(ValueError, match=r"a slot's user must be -1 or one of 2 users; got 5"):
        slot_shares([0, 5], 2)


@pytest.mark.parametrize("schedule", [round_robin, largest_rate, proportional])
def test_wrong_rates_are_refused(schedule):
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="a rate in bit/s must be finite and at least 0"):
            schedule([[1.0, bad]])
    shapes = [(3,), (0, 4), (1, 2, 3, 4)]  # proportional fairness takes blocks as well
    for shape in shapes if schedule is proportional else [*shapes, (1, 2, 3)]:
        with pytest.raises(ValueError, match=r"rates must have the shape \[users, slots\]"):
            schedule(np.zeros(shape))


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="last must be one of 2 users or -1; got 2"):
        round_robin([[1.0], [1.0]], last=2)
    for bad in (0.5, np.nan, np.inf):
        with pytest.raises(ValueError, match="averaging_slots must be finite and at least 1"):
            proportional_fair([[1.0]], bad)
    with pytest.raises(ValueError, match=r"served_bps must have the shape \[2 users\]"):
        proportional_fair([[1.0], [1.0]], 2.0, [1.0])
    with pytest.raises(ValueError, match="a served rate in bit/s"):
        proportional_fair([[1.0]], 2.0, [np.nan])


# -- several blocks a slot, enough, and turns by weight ---------------------------------------------

BLOCK_RATES = st.tuples(st.integers(1, 5), st.integers(0, 20), st.integers(1, 4), st.integers(0, 2**32)).map(
    lambda shape: np.random.default_rng(shape[3]).integers(0, 4, shape[:3]).astype(float)
)


def fair_by_hand(rates, averaging, served, left):
    """The recursion as the docstring tells it, user by user and block by block."""
    users, slots, blocks = rates.shape
    chosen = []
    for slot in range(slots):
        row = []
        for block in range(blocks):
            able = [k for k in range(users) if rates[k, slot, block] > 0]
            claim = {k: rates[k, slot, block] / served[k] if served[k] else np.inf for k in able}
            row.append(min(able, key=lambda k: (-claim[k], k)) if able else IDLE)
        won = [sum(rates[k, slot, b] for b in range(blocks) if row[b] == k) for k in range(users)]
        served = [(1 - 1 / averaging) * t + w / averaging for t, w in zip(served, won, strict=True)]
        left = [much - w for much, w in zip(left, won, strict=True)]
        chosen.append(row)
        if min(left) <= 0:
            break
    return chosen, served


@given(BLOCK_RATES, st.sampled_from([1.0, 2.0, 8.0]), st.sampled_from([1.0, 5.0, np.inf]))
def test_fairness_over_blocks_is_the_recursion(rates, averaging, enough):
    """Powers of two as the constant, and whole rates: the arithmetic is the same to the last bit."""
    users = rates.shape[0]
    chosen, served = proportional_fair(rates, averaging, None, np.full(users, enough))
    expected, averages = fair_by_hand(rates, averaging, [0.0] * users, [enough] * users)
    assert chosen.tolist() == expected
    np.testing.assert_allclose(served, averages, rtol=1e-12)


@given(RATES, st.floats(1.0, 50.0), st.sampled_from([1.0, 7.0, np.inf]))
def test_one_block_a_slot_is_the_form_without_blocks(rates, averaging, enough):
    much = np.full(rates.shape[0], enough)
    flat, served = proportional_fair(rates, averaging, None, much)
    blocks, same = proportional_fair(rates[:, :, None], averaging, None, much)
    assert blocks[:, 0].tolist() == flat.tolist()
    np.testing.assert_allclose(same, served, rtol=1e-12)


@given(RATES, st.integers(1, 12))
def test_the_last_slot_is_the_one_in_which_someone_has_enough(rates, enough):
    chosen, served = proportional_fair(rates, 4.0, None, np.full(rates.shape[0], float(enough)))
    whole, _ = proportional_fair(rates, 4.0)
    count = chosen.size
    assert chosen.tolist() == whole[:count].tolist()
    assert served.tolist() == proportional_fair(rates[:, :count], 4.0)[1].tolist()
    got = np.zeros((rates.shape[0], count))
    for slot, user in enumerate(chosen):
        if user != IDLE:
            got[user, slot] = rates[user, slot]
    sums = got.cumsum(axis=1)
    assert not (sums[:, :-1] >= enough).any()
    if count < whole.size:
        assert (sums[:, -1] >= enough).any()


WEIGHTS = st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any)


@given(WEIGHTS, st.integers(0, 120))
def test_turns_by_weight_are_shared_as_the_weights_say(weights, slots):
    """Against S w_k / sum(w): never ahead by more than 1 - 1/N turns, and after whole cycles exactly.

    Credits sum to 0 after each slot, so that the largest is at least sum(w) / N before the winner pays sum(w). Behind,
    by the same sum, by (N - 1) (1 - 1/N) at most.
    """
    chosen, credit = weighted_turns(weights, slots)
    assert chosen.shape == (slots,) and credit.sum() == 0.0
    users = len(weights)
    counts = np.array([[np.count_nonzero(chosen[:end] == k) for k in range(users)] for end in range(slots + 1)])
    ahead = counts - np.arange(slots + 1)[:, None] * np.array(weights) / sum(weights)
    assert ahead.max() <= 1 - 1 / users + 1e-9
    assert -ahead.min() <= (users - 1) * (1 - 1 / users) + 1e-9
    for end in range(0, slots + 1, sum(weights)):
        assert counts[end].tolist() == [w * end // sum(weights) for w in weights]


@given(WEIGHTS, st.integers(0, 60), st.integers(0, 60))
def test_turns_by_weight_go_on_where_they_were(weights, slots, cut):
    whole, end = weighted_turns(weights, slots + cut)
    first, credit = weighted_turns(weights, cut)
    second, last = weighted_turns(weights, slots, credit)
    assert np.concatenate([first, second]).tolist() == whole.tolist()
    assert last.tolist() == end.tolist()


def test_turns_by_weight_refuse_what_has_no_turn():
    for bad in ([], [0.0, 0.0], [[1.0]], [1.0, -1.0], [np.nan]):
        with pytest.raises(ValueError, match="weight"):
            weighted_turns(bad, 3)


def test_shapes_of_fairness_are_checked():
    with pytest.raises(ValueError, match=r"enough_bps must have the shape \[2 users\]"):
        proportional_fair([[1.0], [1.0]], 2.0, None, [1.0])
