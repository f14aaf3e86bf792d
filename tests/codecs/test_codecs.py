from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.options import OptionError
from wfl_sim.codecs import CODECS, index
from wfl_sim.codecs.base import Update
from wfl_sim.codecs.components import Components
from wfl_sim.codecs.dense import Dense
from wfl_sim.codecs.svd import Svd
from wfl_sim.codecs.topk import TopK

# Half floats: 11 significant bits, and steps of 2^-24 of the array's scale where they are subnormal.
HALF_RELATIVE, HALF_ABSOLUTE = 2.0**-11, 2.0**-25
# Scores are sums of some tens of products in float64, here computed in two ways.
SCORE = 1e-12
ROUNDING = 1e-9  # (k / R) R may come out just below k, and still means k

EVERY = [
    codec
    for bits in (16, 32)
    for codec in (
        Dense(bits=bits),
        Components(bits=bits, score="change"),
        Components(bits=bits, score="weight"),
        TopK(bits=bits),
    )
]
SPARSE = [codec for codec in EVERY if codec.kind != "dense"]

every_codec = pytest.mark.parametrize("codec", EVERY, ids=repr)
sparse_codec = pytest.mark.parametrize("codec", SPARSE, ids=repr)


def decoded(codec, update, kept_fraction):
    return codec.decode(codec.encode(update, kept_fraction).data, update.layout)


def entries(params, layout):
    return np.concatenate([params[name].ravel() for name in layout.factors])


def rows(params, pair):
    """A pair as one row of m + n values a component."""
    return np.concatenate((params[pair[0]], params[pair[1]].T), axis=1)


def components_kept(params, layout):
    return np.concatenate([rows(params, pair).any(axis=1) for pair in layout.pairs])


def total_of(codec, layout):
    """How many things the codec selects from."""
    if codec.kind == "components":
        return sum(layout.shapes[a][0] for a, _ in layout.pairs)
    return layout.size(layout.factors)


def number_kept(codec, change, layout):
    return int((components_kept(change, layout) if codec.kind == "components" else entries(change, layout) != 0).sum())


def explicit_score(codec, update):
    """score^2 / (m + n) of all components, from the m x n products themselves."""
    found = []
    for a, b in update.layout.pairs:
        old_a, old_b = update.base[a].astype(float), update.base[b].astype(float)
        new_a, new_b = old_a + update.change[a], old_b + update.change[b]
        for i in range(len(new_a)):
            product = np.outer(new_b[:, i], new_a[i])
            if codec.score == "change":
                product = product - np.outer(old_b[:, i], old_a[i])
            found.append((product**2).sum() / (new_a.shape[1] + new_b.shape[0]))
    return np.array(found)


def assert_as_precise(codec, got, wanted):
    """`got` is `wanted` to the precision of the codec's values; `wanted` is one array of the update."""
    if codec.bits == 32:
        np.testing.assert_array_equal(got, wanted)
    else:
        scale = np.abs(wanted).max(initial=0.0)
        np.testing.assert_allclose(got, wanted, rtol=HALF_RELATIVE, atol=HALF_ABSOLUTE * scale)


@every_codec
def test_all_kept_is_the_update_itself(codec, layout, make_update):
    update = make_update(layout)
    change = decoded(codec, update, 1.0)
    assert set(change) == set(layout.shapes)
    for name, wanted in update.change.items():
        assert change[name].dtype == np.float32
        assert change[name].shape == layout.shapes[name]
        assert_as_precise(codec, change[name], wanted)


@sparse_codec
def test_what_is_kept_is_the_update_and_the_rest_is_zero(codec, paired, make_update):
    for seed, point in enumerate(codec.menu(paired).points):
        update = make_update(paired, seed)
        change = decoded(codec, update, point.kept_fraction)
        assert number_kept(codec, change, paired) == max(
            1, int(point.kept_fraction * total_of(codec, paired) + ROUNDING)
        )
        for name in paired.plain:  # the head is always whole
            assert_as_precise(codec, change[name], update.change[name])
        if codec.kind == "components":
            for pair in paired.pairs:
                got, wanted = rows(change, pair), rows(update.change, pair)
                whole = got.any(axis=1)
                assert np.all(got[~whole] == 0)
                for part in (slice(0, change[pair[0]].shape[1]), slice(change[pair[0]].shape[1], None)):
                    assert_as_precise(codec, got[whole, part], wanted[whole, part])  # each factor has a scale
        else:
            for name in paired.factors:
                kept = change[name] != 0
                assert_as_precise(codec, change[name][kept], update.change[name][kept])


@sparse_codec
@given(rho=st.floats(0, 1, exclude_min=True))
def test_any_kept_fraction_is_rounded_down_and_never_to_nothing(codec, rho, layouts, make_update):
    layout = layouts["mixed"]
    update = make_update(layout)
    payload = codec.encode(update, rho)
    kept, total = number_kept(codec, codec.decode(payload.data, layout), layout), total_of(codec, layout)
    assert kept == max(1, int(rho * total + ROUNDING))
    assert payload.kept_fraction == kept / total


@pytest.mark.parametrize("kept_fraction", [1 / 32, 0.3, 0.5])
def test_topk_keeps_the_largest_magnitudes_wherever_they_are(paired, make_update, kept_fraction):
    update = make_update(paired)
    flat = np.abs(entries(update.change, paired))
    kept = entries(decoded(TopK(bits=32), update, kept_fraction), paired) != 0
    assert flat[kept].min() >= flat[~kept].max()


def test_topk_takes_the_first_of_equal_magnitudes(layouts):
    layout = layouts["equal"]
    change = {name: np.full(shape, -0.5, dtype=np.float32) for name, shape in layout.shapes.items()}
    kept = entries(decoded(TopK(bits=32), Update(change, change, layout), 0.25), layout) != 0
    assert kept.tolist() == [True] * 48 + [False] * 144


@pytest.mark.parametrize("score", ["change", "weight"])
@pytest.mark.parametrize("seed", range(5))
def test_components_keep_the_largest_score_for_each_value_sent(paired, make_update, score, seed):
    codec, update = Components(bits=32, score=score), make_update(paired, seed, scale=0.3)
    value = explicit_score(codec, update)
    kept = components_kept(decoded(codec, update, 0.4), paired)
    assert set(np.flatnonzero(kept)) == set(np.argsort(-value)[: kept.sum()])


@pytest.mark.parametrize("score", ["change", "weight"])
@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e-9])
def test_scores_are_those_of_the_products(paired, make_update, score, scale):
    """A change of 1e-9 vanishes in the float32 sum with its base; its score must not."""
    codec, update = Components(score=score), make_update(paired, scale=scale)
    widths = np.concatenate(
        [np.full(paired.shapes[a][0], paired.shapes[a][1] + paired.shapes[b][0]) for a, b in paired.pairs]
    )
    explicit = np.sqrt(explicit_score(codec, update) * widths)
    # The explicit difference of products of size 1 loses about 1e-16 / scale of itself.
    np.testing.assert_allclose(codec.scores(update), explicit, rtol=SCORE + 1e-15 / scale)


def test_change_and_weight_choose_different_components(layouts):
    """Component 0 is large and stands still; component 1 is small and moves."""
    layout = layouts["equal"]
    zeros = {name: np.zeros(shape, dtype=np.float32) for name, shape in layout.shapes.items()}
    base = {name: value.copy() for name, value in zeros.items()}
    change = {name: value.copy() for name, value in zeros.items()}
    base["layer0.A"][0], base["layer0.B"][:, 0] = 10.0, 10.0
    base["layer0.A"][1], base["layer0.B"][:, 1] = 0.1, 0.1
    change["layer0.A"][0, 0], change["layer0.A"][1], change["layer0.B"][:, 1] = 1e-6, 0.2, 0.2
    update = Update(base, change, layout)
    one = 1 / 12
    assert np.flatnonzero(components_kept(decoded(Components(score="weight"), update, one), layout)).tolist() == [0]
    assert np.flatnonzero(components_kept(decoded(Components(score="change"), update, one), layout)).tolist() == [1]


def test_of_equal_scores_the_narrow_component_is_kept(layouts):
    """From B = 0 the change is |b| |a|: the same for all, and layer3 (4 values a component) is the cheapest."""
    layout = layouts["mixed"]
    base = {name: np.zeros(shape, dtype=np.float32) for name, shape in layout.shapes.items()}
    change = {name: value.copy() for name, value in base.items()}
    for a, b in layout.pairs:
        for i in range(layout.shapes[a][0]):
            change[a][i, 0] = change[b][0, i] = 1.0
    kept = components_kept(decoded(Components(), Update(base, change, layout), 0.1), layout)
    assert np.flatnonzero(kept).tolist() == [9]  # after 2 + 4 + 3 components of the wider layers


@every_codec
def test_bits_charged_are_those_of_the_bytes_and_within_the_menu(codec, layout, make_update):
    menu = codec.menu(layout)
    for seed, point in enumerate(menu.points):
        for update in (make_update(layout, seed), make_update(layout, seed, scale=1e3)):
            payload = codec.encode(update, point.kept_fraction)
            assert payload.bits == 8 * len(payload.data)
            assert payload.bits <= point.bits


@every_codec
def test_widest_components_fit_the_menu(codec, layouts):
    """The worst case of every point: whatever is widest changes most."""
    layout = layouts["mixed"]
    change = {name: np.full(shape, float(np.prod(shape)), dtype=np.float32) for name, shape in layout.shapes.items()}
    update = Update({name: np.zeros_like(value) for name, value in change.items()}, change, layout)
    for point in codec.menu(layout).points:
        assert codec.encode(update, point.kept_fraction).bits <= point.bits


@sparse_codec
def test_the_menu_is_exact_for_equal_widths_in_one_block(codec, layouts, make_update):
    """But for the scales (16 bits) of those arrays of which nothing happens to be kept."""
    layout = layouts["equal"]
    for seed, point in enumerate(codec.menu(layout).points):
        payload = codec.encode(make_update(layout, seed), point.kept_fraction)
        change = codec.decode(payload.data, layout)
        missing = 0
        if codec.bits == 16:
            arrays = [name for name in layout.factors if change[name].any()]
            foreseen = len(layout.factors)
            if codec.kind == "components":
                foreseen = min(foreseen, 2 * number_kept(codec, change, layout))
            missing = foreseen - len(arrays)
        assert payload.bits == point.bits - 8 * missing


def test_a_dense_payload_is_a_byte_of_format_scales_and_values(layouts, make_update):
    """192 adapter values and 21 of the head in 8 arrays: 1 + 4 x 213 bytes, or 1 + 8 + 2 x 213."""
    update = make_update(layouts["equal"])
    assert Dense(bits=32).encode(update, 1.0).bits == 8 * 853
    assert Dense(bits=16).encode(update, 1.0).bits == 8 * 435


def test_payloads_of_sparse_codecs_are_a_byte_of_format_head_index_and_values(layouts, make_update):
    """Head 21 values. 3 of 12 components: index 4 + ceil(log2 C(12, 3) = 220) = 12 bits, 2 bytes; 3 x 16 values.

    48 of 192 entries: index 8 + ceil(log2 C(192, 48)) = 8 + 152 bits, 20 bytes.
    """
    update = make_update(layouts["equal"])
    assert len(Components(bits=32).encode(update, 1 / 4).data) == 1 + 4 * 21 + 2 + 4 * 48
    assert len(TopK(bits=32).encode(update, 1 / 4).data) == 1 + 4 * 21 + 20 + 4 * 48


@every_codec
def test_menus_rise_from_the_least_to_everything(codec, layout):
    points = codec.menu(layout).points
    bits, kept = [p.bits for p in points], [p.kept_fraction for p in points]
    assert bits == sorted(bits)
    assert kept == sorted(set(kept))
    assert kept[0] > 0
    assert (kept[-1], points[-1].error) == (1.0, 0.0)
    assert [p.error for p in points] == [1.0 - k for k in kept]


def test_menus_have_a_point_a_component_or_a_fifth_more_entries_at_most(layouts):
    assert [p.kept_fraction for p in Components().menu(layouts["equal"]).points] == [k / 12 for k in range(1, 13)]
    kept = [p.kept_fraction for p in TopK().menu(layouts["equal"]).points]
    assert (kept[0], kept[-1]) == (1 / 512, 1.0)
    assert all(1 < y / x < 1.2 for x, y in pairwise(kept))
    assert len(Dense().menu(layouts["equal"]).points) == 1


@every_codec
def test_the_head_alone_is_one_point_and_comes_back(codec, layouts, make_update):
    layout = layouts["head_only"]
    update = make_update(layout)
    (point,) = codec.menu(layout).points
    for payload in (codec.encode(update, 0.1), codec.encode_changed(update)):
        assert payload.bits == point.bits == 8 * (1 + (2 * 21 + 2 if codec.bits == 16 else 4 * 21))
        assert payload.kept_fraction == 1.0
        change = codec.decode(payload.data, layout)
        for name in layout.plain:
            assert_as_precise(codec, change[name], update.change[name])


@every_codec
@pytest.mark.parametrize("density", [0.0, 0.02, 0.3, 1.0])
def test_encode_changed_drops_nothing_but_zeros(codec, paired, make_update, density):
    update = make_update(paired)
    random = np.random.default_rng(5)
    for change in update.change.values():
        change[random.random(change.shape) >= density] = 0.0
    change = codec.decode(codec.encode_changed(update).data, paired)
    for name, wanted in update.change.items():
        assert_as_precise(codec, change[name], wanted)
        assert np.all(change[name][wanted == 0] == 0)


@sparse_codec
def test_encode_changed_is_shorter_where_little_changed(codec, layouts, make_update):
    layout = layouts["large"]
    update = make_update(layout)
    few = decoded(codec, update, 0.125)
    sparse = codec.encode_changed(Update(update.base, few, layout))
    assert len(sparse.data) < 0.4 * len(codec.encode_changed(update).data)  # 1/8 of the values, the index and the head
    np.testing.assert_allclose(sparse.kept_fraction, 0.125)


@sparse_codec
def test_the_union_of_what_clients_sent_comes_back_from_the_broadcast(codec, paired, make_update):
    sent = [decoded(codec, make_update(paired, seed), 0.25) for seed in range(3)]
    mean = {name: sum(change[name] for change in sent) / np.float32(3) for name in paired.shapes}
    payload = codec.encode_changed(Update(make_update(paired).base, mean, paired))
    broadcast = codec.decode(payload.data, paired)
    for name, wanted in mean.items():
        assert_as_precise(codec, broadcast[name], wanted)
    union = np.any([number_of != 0 for number_of in (entries(change, paired) for change in sent)], axis=0)
    assert np.all(entries(broadcast, paired)[~union] == 0)


@every_codec
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_update_that_is_not_finite_cannot_be_sent(codec, layouts, make_update, bad):
    update = make_update(layouts["equal"])
    update.change["head.bias"][0] = bad
    with pytest.raises(ValueError, match="not finite"):
        codec.encode(update, 1.0)


@pytest.mark.parametrize("cls", CODECS.values())
@pytest.mark.parametrize(
    ("option", "value"), [("bits", 12), ("error_feedback", -0.1), ("error_feedback", 1.1), ("error_feedback", np.nan)]
)
def test_options_outside_their_range_are_named(cls, option, value):
    with pytest.raises(OptionError, match=rf"{cls.__name__}\.{option}"):
        cls(**{option: value})


def test_an_unknown_score_is_refused():
    with pytest.raises(OptionError, match=r"score.*change, weight"):
        Components(score="size")


def test_the_registry_holds_them():
    assert {"dense": Dense, "components": Components, "topk": TopK, "svd": Svd}.items() <= CODECS.items()


def test_an_index_of_two_blocks_is_within_its_menu(layouts, make_update):
    """The mask of 1024 entries is cut in two, whose counts differ: bounded, not exact."""
    layout = layouts["large"]
    assert layout.size(layout.factors) == 2 * index.BLOCK
    update = make_update(layout)
    for name in layout.factors:  # all that is kept stands in the first block
        update.change[name] *= 100.0 if name.startswith("layer0") else 1.0
    for point in TopK(bits=32).menu(layout).points:
        assert TopK(bits=32).encode(update, point.kept_fraction).bits <= point.bits
