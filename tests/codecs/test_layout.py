"""Layouts of which a part is taken out, and adapters of single factors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfl_sim.codecs.base import Layout
from wfl_sim.codecs.components import Components
from wfl_sim.codecs.dense import Dense
from wfl_sim.codecs.topk import TopK

NAMES = ["layer0.A", "layer0.B", "layer1.A", "layer1.B", "layer2.A", "layer2.B", "head.weight", "head.bias"]


def test_nothing_taken_out_is_the_layout_itself(layouts):
    assert layouts["equal"].without(frozenset()) is layouts["equal"]


@given(taken=st.frozensets(st.sampled_from(NAMES), min_size=1))
def test_what_is_left_has_its_names_and_shapes_once(layouts, taken):
    whole = layouts["equal"]
    left = whole.without(taken)
    assert sorted((*left.plain, *left.factors)) == sorted(set(NAMES) - taken) == sorted(left.shapes)
    assert all(left.shapes[name] == whole.shapes[name] for name in left.shapes)
    assert left.pairs == tuple(pair for pair in whole.pairs if taken.isdisjoint(pair))
    assert sorted((*left.adapters, *left.heads)) == sorted(left.shapes)
    assert all(name.startswith("head.") for name in left.heads)
    assert not any(name.startswith("head.") for name in left.adapters)


@pytest.mark.parametrize("bits", [16, 32])
def test_topk_chooses_among_single_factors_as_among_pairs(layouts, make_update, bits):
    whole = layouts["mixed"]
    single = whole.without({a for a, _ in whole.pairs})
    assert single.pairs == () and single.adapters == tuple(b for _, b in whole.pairs)
    update, codec = make_update(single), TopK(bits=bits)
    payload = codec.encode(update, 0.25)
    got = codec.decode(payload.data, single)
    flat = np.concatenate([update.change[name].ravel() for name in single.adapters])
    kept = np.concatenate([got[name].ravel() for name in single.adapters]) != 0
    assert kept.sum() == int(0.25 * flat.size) and np.abs(flat[kept]).min() >= np.abs(flat[~kept]).max()
    assert all(got[name].all() for name in single.heads)
    assert payload.bits <= codec.menu(single).nearest(0.25).bits < 0.6 * codec.menu(single).points[-1].bits


@pytest.mark.parametrize("codec", [Dense(bits=32), Components(bits=32), TopK(bits=32)], ids=lambda c: c.kind)
def test_half_a_pair_comes_back_whole(layouts, make_update, codec):
    left = layouts["mixed"].without({"layer1.A", "head.bias"})
    update = make_update(left)
    got = codec.decode(codec.encode(update, 1.0).data, left)
    assert got.keys() == left.shapes.keys()
    assert all(got[name].tobytes() == update.change[name].tobytes() for name in got)


def test_only_whole_pairs_are_components():
    shapes = {"q.A": (2, 5), "q.B": (4, 2)}
    assert Layout((("q.A", "q.B"),), (), shapes).without({"q.B"}) == Layout((), ("q.A",), {"q.A": (2, 5)})
