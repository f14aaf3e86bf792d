from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfl_sim.codecs import index

PREFIX, SUFFIX = b"\xff\x00\xa5", b"\xff" * 7  # what stands before and behind an index in a payload
# A block of 512 spends 10 bits on its count and rounds its rank up by less than 1 bit.
BLOCK_OVERHEAD = 11 / 512  # bits an entry
# Over one code for the whole mask, as the module states it, rounded up: measured 1.3, 2.1 and 6.5 % over five masks.
CUTTING_COST = {1 / 4: 0.015, 1 / 8: 0.025, 1 / 32: 0.07}


def check_round_trip(mask: np.ndarray) -> None:
    code = index.encode(mask)
    decoded, behind = index.decode(PREFIX + code + SUFFIX, len(PREFIX), mask.size)
    assert decoded.dtype == np.bool_
    np.testing.assert_array_equal(decoded, mask)
    assert behind == len(PREFIX) + len(code)
    assert 8 * len(code) < index.bound_bits(mask.size, int(mask.sum())) + 8  # padded to whole bytes


@given(st.lists(st.booleans(), max_size=60))
def test_any_short_mask_comes_back(entries):
    check_round_trip(np.array(entries, dtype=bool))


@given(st.integers(0, 4000), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_any_long_mask_comes_back(size, density, seed):
    check_round_trip(np.random.default_rng(seed).random(size) < density)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1024, 1025])
@pytest.mark.parametrize("fill", ["none", "all", "first", "last", "clustered"])
def test_edges_of_blocks_come_back(size, fill):
    mask = np.zeros(size, dtype=bool)
    mask[{"none": slice(0), "all": slice(None), "first": slice(1), "last": slice(-1, None),
          "clustered": slice(size // 3, 2 * size // 3)}[fill]] = True  # fmt: skip
    check_round_trip(mask)


@pytest.mark.parametrize("n", range(1, 13))
def test_codes_of_a_block_are_distinct_dense_and_of_exact_length(n):
    """All 2^n patterns: those of k ones have the ranks 0 .. C(n, k) - 1, each once."""
    count_bits = math.ceil(math.log2(n + 1))  # counts 0 .. n
    ranks: dict[int, list[int]] = {k: [] for k in range(n + 1)}
    for pattern in product((False, True), repeat=n):
        k = sum(pattern)
        code = index.encode(np.array(pattern))
        rank_bits = math.ceil(math.log2(math.comb(n, k)))
        assert index.bound_bits(n, k) == count_bits + rank_bits
        assert len(code) == math.ceil((count_bits + rank_bits) / 8)
        number = int.from_bytes(code, "big")
        padding = 8 * len(code) - count_bits - rank_bits
        assert number % (1 << padding) == 0  # padded with zeros
        number >>= padding
        assert number >> rank_bits == k
        ranks[k].append(number & ((1 << rank_bits) - 1))
    for k, found in ranks.items():
        assert sorted(found) == list(range(math.comb(n, k)))


@given(st.integers(1, 3000), st.data())
def test_the_bound_without_a_count_covers_every_count(size, data):
    kept = data.draw(st.integers(0, size))
    mask = np.zeros(size, dtype=bool)
    mask[np.random.default_rng(kept).permutation(size)[:kept]] = True
    assert len(index.encode(mask)) <= math.ceil(index.bound_bits(size) / 8)


@pytest.mark.parametrize("density", CUTTING_COST)
def test_length_is_near_the_entropy(density):
    size = 48 * 512
    entropy = -density * math.log2(density) - (1 - density) * math.log2(1 - density)
    mask = np.zeros(size, dtype=bool)
    mask[np.random.default_rng(11).permutation(size)[: int(density * size)]] = True
    bits = 8 * len(index.encode(mask))
    assert bits / size == pytest.approx(entropy, abs=BLOCK_OVERHEAD)
    whole = math.log2(math.comb(size, int(density * size)))  # one code for the whole mask, without a count
    assert whole < bits < (1 + CUTTING_COST[density]) * whole
