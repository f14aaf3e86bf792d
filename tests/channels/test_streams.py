from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from channels.streams import Stream

# Each draw is fixed by its seed, so these tests either always pass or always fail; 1e-3 is the level at which a
# sound generator would have failed one seed in a thousand.
SIGNIFICANCE = 1e-3
GOLDEN = [0.9703262488168668, 0.3811605310008589, 0.46855242627285787]
WORDS = st.integers(-(2**63), 2**63 - 1)


def test_golden_values_do_not_change():
    # Written down once: a change here changes every trace ever recorded.
    draws = Stream.root(7).child("fading").uniform([0, 1, 2], [0, 5, -1])
    assert draws.tolist() == GOLDEN


@pytest.mark.parametrize(
    ("clients", "indices"),
    [
        (0, np.arange(200_000)),
        (np.arange(200_000), 0),
        (np.arange(400)[:, None], np.arange(500)),
        (3, np.arange(200_000) * 2**40),  # steps of a large power of two
        (3, np.arange(200_000) * 1_000_000),  # milliseconds as nanosecond ticks
        (np.arange(400)[:, None], -np.arange(500)),
    ],
    ids=["indices", "clients", "both", "powers", "ticks", "negative"],
)
def test_draws_are_uniform_along_every_direction(clients, indices):
    draws = Stream.root(1).child("test").uniform(clients, indices)
    assert stats.kstest(draws.ravel(), "uniform").pvalue > SIGNIFICANCE
    assert draws.min() > 0.0 and draws.max() < 1.0
    assert np.unique(draws).size == draws.size  # 2e5 of 2^52 values: a repeat has probability 5e-6
    low_bits = (draws * 2.0**52).astype(np.int64) & 255
    assert stats.chisquare(np.bincount(low_bits.ravel(), minlength=256)).pvalue > SIGNIFICANCE


@pytest.mark.parametrize("probability", [0.0, 1e-300, 0.5 * 2.0**-52, 2.0**-53, 0.1, 0.5, 1 / 3, 1.0 - 2.0**-53, 1.0])
def test_below_is_uniform_below_bit_for_bit(probability):
    stream, clients, indices = Stream.root(9), np.arange(400)[:, None], np.arange(-250, 250) * 2**40
    np.testing.assert_array_equal(
        stream.below(clients, indices, probability), stream.uniform(clients, indices) < probability
    )
    assert stream.below(3, 5, probability) == (stream.uniform(3, 5) < probability)
    turned = np.arange(12).reshape(3, 4).T  # not in the order of memory
    np.testing.assert_array_equal(stream.below(3, turned, probability), stream.uniform(3, turned) < probability)
    assert stream.below(clients[:0], indices, probability).shape == (0, 500)


@given(WORDS, WORDS)
def test_below_turns_at_the_draw_itself(client, index):
    stream = Stream.root(9)
    draw = float(stream.uniform(client, index))
    assert not stream.below(client, index, draw) and not stream.below(client, index, np.nextafter(draw, 0.0))
    assert stream.below(client, index, np.nextafter(draw, 1.0))


@given(st.integers(0, 2**70), WORDS, WORDS)
def test_one_draw_alone_is_that_of_many(seed, client, index):
    stream = Stream.root(seed)
    alone, many = stream.uniform(client, index), stream.uniform([client, 0], index)
    assert alone.shape == () and alone == many[0] and stream.uniform([[client]], [index]).shape == (1, 1)
    assert stream.below(client, index, 0.3) == stream.below([client, 0], index, 0.3)[0]


def test_below_needs_a_probability():
    for bad in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="probability must be at least 0 and at most 1"):
            Stream.root(9).below(0, 0, bad)


def test_neighbours_are_uncorrelated():
    draws = Stream.root(2).uniform(np.arange(1000)[:, None], np.arange(1000)) - 0.5
    bound = 4.0 / np.sqrt(draws.size) / 12.0  # four standard errors of a mean of products, each of variance 1/144
    for other in (np.roll(draws, 1, 0), np.roll(draws, 1, 1), np.roll(draws, (1, 1), (0, 1))):
        assert abs((draws * other).mean()) < bound
    swapped = (draws * draws.T)[np.triu_indices(1000, 1)]  # (client, index) against (index, client)
    assert abs(swapped.mean()) < bound * np.sqrt(2.0)


def test_streams_of_other_names_and_seeds_are_unrelated():
    grid = (np.arange(300)[:, None], np.arange(300))
    base = Stream.root(1).child("a").uniform(*grid)
    bound = 4.0 / 300.0  # four standard errors of a correlation of 9e4 pairs
    for other in (
        Stream.root(1).child("b"),
        Stream.root(2).child("a"),
        Stream.root(1),
        Stream.root(1).child("a").child("a"),
    ):
        assert abs(np.corrcoef(base.ravel(), other.uniform(*grid).ravel())[0, 1]) < bound


def test_names_are_keyed_in_order_and_reproducibly():
    root = Stream.root(5)
    assert root.child("x") == Stream.root(5).child("x")
    keys = [root.child(n).key for n in ("x", "y", "xy", "")] + [root.child("x").child("y").key, root.key]
    assert len(set(keys)) == len(keys)


@given(st.integers(0, 2**70), st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=40), st.randoms())
def test_a_draw_depends_only_on_its_own_key(seed, pairs, random):
    stream = Stream.root(seed)
    clients, indices = (np.array(part, dtype=np.int64) for part in zip(*pairs, strict=True))
    together = stream.uniform(clients, indices)
    order = list(range(len(pairs)))
    random.shuffle(order)
    np.testing.assert_array_equal(stream.uniform(clients[order], indices[order]), together[order])
    alone = [float(stream.uniform(int(c), int(i))) for c, i in pairs]
    assert alone == together.tolist()
    assert np.all((together > 0.0) & (together < 1.0))


def test_blocks_of_the_cache_leave_no_seam():
    stream, n = Stream.root(3), 100_000
    whole = stream.normal(9, np.arange(n))
    np.testing.assert_array_equal(whole[40_000:70_001], stream.normal(9, np.arange(40_000, 70_001)))


@pytest.mark.parametrize(("draw", "law"), [("normal", "norm"), ("exponential", "expon")])
def test_inverse_cdf_draws_have_their_law(draw, law):
    values = getattr(Stream.root(4), draw)(np.arange(500)[:, None], np.arange(400))
    assert stats.kstest(values.ravel(), law).pvalue > SIGNIFICANCE
    assert np.isfinite(values).all()


def test_generators_are_keyed_by_client_and_index():
    stream = Stream.root(6)
    first = stream.generator(1, -2).permutation(50)
    np.testing.assert_array_equal(first, stream.generator(1, -2).permutation(50))
    for client, index in ((-2, 1), (1, 2), (1, -3)):
        assert not np.array_equal(first, stream.generator(client, index).permutation(50))


def test_what_is_no_integer_is_refused():
    with pytest.raises(TypeError, match="integers"):
        Stream.root(1).uniform(0, 1.5)
    with pytest.raises(TypeError, match="integers"):
        Stream.root(1).uniform([2**64], 0)
    for seed in (-1, True):
        with pytest.raises(ValueError, match="seed"):
            Stream.root(seed)
    with pytest.raises(ValueError, match="64 bits"):
        Stream(2**64)


def test_shapes_broadcast_and_may_be_empty():
    stream = Stream.root(1)
    assert stream.uniform(3, 4).shape == ()
    assert stream.uniform([[1], [2]], [1, 2, 3]).shape == (2, 3)
    assert stream.normal(np.zeros(0, dtype=int), 1).shape == (0,)
