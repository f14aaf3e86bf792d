"""Values of 8 bits: rounded without bias, by the update's key alone, with every scale counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfl_sim.codecs import values
from wfl_sim.codecs.base import Update, common_key, decoded, update_key
from wfl_sim.codecs.components import Components
from wfl_sim.codecs.dense import Dense
from wfl_sim.codecs.svd import Svd
from wfl_sim.codecs.topk import TopK

DRAWS = 10**6
ERRORS = 4.0  # standard errors of a mean over so many draws; the draws are fixed, so it holds for good or not at all
# A scale has 8 significant bits and is rounded up, so that a step is at most this much above 1/127 of the largest.
SCALE = 1 + 2.0**-7
LARGEST = float(np.finfo(np.float32).max)
TINIEST_STEP = 2.0**-133  # the least number whose lower half is 0 in float32
SINGLE = 2.0**-23  # relative: a difference and a sum of float32

EVERY = [Dense(bits=8), TopK(bits=8), Components(bits=8), Components(bits=8, scope="per_layer"), Svd(bits=8)]
every_codec = pytest.mark.parametrize("codec", EVERY, ids=repr)


def round_trip(array, key=0, block=values.BLOCK):
    data = values.pack(array, 8, values.draws(key, 0), block)
    assert len(data) == values.packed_bytes(array.size, 8, block)
    found, behind = values.unpack(b"\x7f" + data + b"\x7f", 1, array.size, 8, block)
    assert (found.dtype, behind) == (np.float32, 1 + len(data))
    return found.astype(float)


def steps_of(array, block=values.BLOCK):
    """The largest step that each value may err by."""
    blocks = [array[start : start + block] for start in range(0, array.size, block)]
    largest = [np.full(part.size, np.abs(part.astype(float)).max() / 127 * SCALE) for part in blocks]
    return np.maximum(np.concatenate(largest), TINIEST_STEP)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.937])
def test_a_million_draws_have_the_value_as_their_mean(share):
    """Between two steps at `share` of the way: the mean is the value, to 4 standard errors of a binomial count."""
    array = np.full(DRAWS, 5 + share, np.float32)
    array[:: values.BLOCK] = 127.0  # so that a step is 1
    found = round_trip(array)
    within = array != 127
    assert set(found[within]) == {5.0, 6.0}
    exact = float(np.float32(5 + share)) - 5
    error = np.sqrt(exact * (1 - exact) / within.sum())
    assert abs(found[within].mean() - 5 - exact) <= ERRORS * error


def test_every_value_of_an_update_is_met_on_average():
    """100 values, each rounded ten thousand times in blocks that share their largest value."""
    array = np.random.default_rng(3).standard_normal(100).astype(np.float32)
    times = DRAWS // array.size
    found = round_trip(np.tile(array, times), block=array.size).reshape(times, -1)
    variance = found.var(axis=0)
    assert np.all(variance <= (steps_of(array, array.size) / 2) ** 2 * (1 + ERRORS / np.sqrt(times)))
    z = (found.mean(axis=0) - array) / np.sqrt(np.maximum(variance, 1e-30) / times)
    assert abs(np.sum(z)) / 10 <= ERRORS  # 100 values together: 10 standard errors of their sum
    assert np.abs(z).max() <= ERRORS  # of a hundred, one in 160 updates would go beyond


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=40),
    st.integers(1, 7),
    st.integers(0, 2**80),
)
def test_a_value_errs_by_less_than_a_step_of_its_block(numbers, block, key):
    array = np.array(numbers, dtype=np.float32)
    found = round_trip(array, key, block)
    assert np.all(found[array == 0] == 0)
    if array.size:
        assert np.all(np.abs(found - array) <= steps_of(array, block) * (1 + 1e-12))


@pytest.mark.parametrize("scale", [LARGEST, 1.0, 2.0**-126, 2.0**-149])
def test_scales_of_single_precision_survive(scale):
    array = np.array([scale, -scale, scale / 2, 0.0], dtype=np.float32)
    assert np.all(np.abs(round_trip(array) - array) <= steps_of(array))


@every_codec
def test_what_is_drawn_follows_from_the_key_alone(codec, paired, make_update):
    update = make_update(paired)
    first = codec.encode(update, 0.6).data
    np.random.seed(1)  # noqa: NPY002  # the state that nobody may use
    np.random.random(3)  # noqa: NPY002
    assert codec.encode(make_update(paired), 0.6).data == first
    others = {codec.encode(replace(update, key=key), 0.6).data for key in (1, 2, 2**40)}
    assert len(others | {first}) == 4


def test_keys_tell_clients_and_rounds_apart():
    keys = {update_key(client, round_) for client in range(50) for round_ in range(50)}
    assert len(keys) == 2500
    assert len({common_key(key) for key in keys}) == 50


@every_codec
def test_the_broadcast_takes_16_bits_and_says_so(codec, layout, make_update):
    update = make_update(layout)
    payload = codec.encode_changed(update)
    assert payload.data == replace(codec, bits=16).encode_changed(update).data
    change = codec.decode(payload.data, layout)
    for name, wanted in update.change.items():
        np.testing.assert_allclose(change[name], wanted, rtol=2.0**-11, atol=2.0**-25 * np.abs(wanted).max())


def test_every_scale_is_counted(layouts, make_update):
    """equal: head of 18 and 3 values in two arrays, 6 factors of 40 or 24 values, 12 components of 10 + 6."""
    update = make_update(layouts["equal"])
    head = 18 + 2 + 3 + 2
    assert len(Dense(bits=8).encode(update, 1.0).data) == 1 + head + 192 + 6 * 2
    assert len(Components(bits=8).encode(update, 1 / 4).data) == 1 + head + 2 + 3 * (10 + 2 + 6 + 2)
    topk = TopK(bits=8).encode(update, 1 / 4).data
    parts = sum(mask.any() for name, mask in TopK(bits=8).kept(topk, update.layout).items() if "head" not in name)
    assert len(topk) == 1 + head + 20 + 48 + 2 * parts


@every_codec
@given(seed=st.integers(0, 2**20), rho=st.floats(0, 1), scale=st.sampled_from([1e-30, 1e-3, 1e3]))
def test_what_arrives_and_what_waits_are_the_change(codec, seed, rho, scale, layouts, make_update):
    update = make_update(layouts["mixed"], seed, scale)
    sent = decoded(codec, codec.encode(update, rho).data, update.layout, update.base)
    for name, change in update.change.items():
        residual = change - sent[name]
        largest = max(np.abs(change).max(), np.abs(sent[name]).max())
        np.testing.assert_allclose(sent[name] + residual, change, rtol=0, atol=SINGLE * largest)


def test_row_and_column_of_a_component_have_scales_of_their_own(layouts):
    """One component a thousand times the other: each still errs by less than a step of its own."""
    layout = layouts["equal"]
    change = {name: np.ones(shape, np.float32) for name, shape in layout.shapes.items()}
    for a, b in layout.pairs:
        change[a][1] *= 1e-3
        change[b][:, 2] *= 1e-3
    got = Components(bits=8).decode(Components(bits=8).encode(Update(change, change, layout), 1.0).data, layout)
    for name in layout.factors:
        np.testing.assert_allclose(got[name], change[name], rtol=SCALE / 127)
