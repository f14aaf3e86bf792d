"""Bytes that are cut short, too long, damaged, or another codec's: one clear error, never a wrong update."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfl_sim.codecs import index
from wfl_sim.codecs.base import decoded
from wfl_sim.codecs.components import Components
from wfl_sim.codecs.dense import Dense
from wfl_sim.codecs.svd import Svd
from wfl_sim.codecs.topk import TopK

KINDS = (Dense, TopK, Components, Svd)
EVERY = [kind(bits=bits) for kind in KINDS for bits in (8, 16, 32)] + [Components(index="bitmap")]
every_codec = pytest.mark.parametrize("codec", EVERY, ids=repr)
CLEAR = r"payload|index of \d+ entries is damaged"


@every_codec
def test_every_cut_and_every_addition_is_told(codec, layouts, make_update):
    update = make_update(layouts["equal"])
    data = codec.encode(update, 0.3).data
    for length in range(len(data)):
        with pytest.raises(ValueError, match=CLEAR):
            decoded(codec, data[:length], update.layout, update.base)
    with pytest.raises(ValueError, match="ends at byte"):
        decoded(codec, data + b"\0", update.layout, update.base)


@pytest.mark.parametrize(("writer", "reader"), list(permutations(KINDS, 2)), ids=lambda kind: kind.__name__)
def test_the_payload_of_another_codec_is_told(writer, reader, layouts, make_update):
    update = make_update(layouts["equal"])
    with pytest.raises(ValueError, match=rf"no payload of codec {reader().kind}: it begins with 0x"):
        decoded(reader(), writer().encode(update, 0.3).data, update.layout, update.base)


@every_codec
@given(data=st.binary(max_size=600), first=st.booleans())
def test_foreign_bytes_give_an_error_or_finite_arrays(codec, data, first, layouts, make_update):
    update = make_update(layouts["equal"])
    data = codec.encode(update, 0.3).data[:1] + data if first else data
    try:
        change = decoded(codec, data, update.layout, update.base)
    except ValueError:
        return
    assert all(np.isfinite(value).all() for value in change.values())


@every_codec
def test_a_damaged_byte_gives_an_error_or_finite_arrays(codec, layouts, make_update):
    update = make_update(layouts["mixed"])
    data = codec.encode(update, 0.3).data
    for place in range(1, len(data), 3):
        damaged = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
        try:
            change = decoded(codec, damaged, update.layout, update.base)
        except ValueError as error:
            assert str(error)
        else:
            assert all(np.isfinite(value).all() for value in change.values())


def test_counts_and_numbers_that_no_mask_has_are_told():
    """5 entries: 3 bits of the count, then ceil(log2 C(5, 2) = 10) = 4 of the number."""
    with pytest.raises(ValueError, match="6 of a block of 5"):
        index.decode(bytes([0b11000000]), 0, 5)
    with pytest.raises(ValueError, match="no 2 of 5 entries have the number 10"):
        index.decode(bytes([0b01010100]), 0, 5)


def test_a_mask_that_was_read_before_cannot_be_spoilt():
    mask = np.arange(700) % 3 == 0
    found, _ = index.decode(index.encode(mask), 0, 700)
    with pytest.raises(ValueError, match="read-only"):
        found[0] = False
    np.testing.assert_array_equal(index.decode(index.encode(mask), 0, 700)[0], mask)
