"""Which components are sent: scores, scopes, draws; what the index costs; what `kept`, `curve`, `energy` say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfl_sim.codecs import index
from wfl_sim.codecs.base import decoded, update_key
from wfl_sim.codecs.components import Components
from wfl_sim.codecs.dense import Dense
from wfl_sim.codecs.svd import Svd
from wfl_sim.codecs.topk import TopK

SUM = 1e-9  # shares of energies that are summed in another order, some in float32 products
SIMILAR = [
    Components(score=score, scope=scope, index=coded, select=select, bits=bits)
    for score, select in (("change", "top"), ("weight", "top"), ("update", "top"), ("change", "random_common"))
    for scope in ("global", "per_layer")
    for coded in ("combinatorial", "bitmap")
    for bits in (8, 32)
]
EVERY = [*SIMILAR, *(kind(bits=bits) for kind in (Dense, TopK, Svd) for bits in (8, 16, 32))]
components = pytest.mark.parametrize("codec", SIMILAR, ids=repr)


def mask_of(codec, payload, layout):
    kept = codec.kept(payload.data, layout)
    return np.concatenate([kept[a][:, 0] for a, _ in layout.pairs])


def ranks_of(layout):
    return [layout.shapes[a][0] for a, _ in layout.pairs]


@given(pick=st.sampled_from(EVERY), seed=st.integers(0, 999), rho=st.floats(0, 1), scale=st.sampled_from([1e-6, 1e2]))
def test_no_update_exceeds_the_menu(pick, seed, rho, scale, layouts, make_update):
    layout = layouts[("equal", "mixed", "head_only")[seed % 3]]
    update = make_update(layout, seed, scale)
    for name in layout.factors:  # layers of very different weight: all that is kept may come from one of them
        update.change[name] *= np.float32(10.0 ** (seed % 7 * (layout.factors.index(name) % 3 - 1)))
    point = pick.menu(layout).nearest(rho)
    payload = pick.encode(update, point.kept_fraction)
    assert payload.bits == 8 * len(payload.data) <= point.bits


def test_score_update_is_the_size_of_the_change_of_both_factors(paired, make_update):
    update = make_update(paired)
    wanted = [
        math.hypot(
            np.linalg.norm(update.change[a][i].astype(float)), np.linalg.norm(update.change[b][:, i].astype(float))
        )
        for a, b in paired.pairs
        for i in range(paired.shapes[a][0])
    ]
    np.testing.assert_allclose(Components(score="update").scores(update), wanted, rtol=SUM)


@pytest.mark.parametrize("rho", [0.01, 0.25, 0.5, 0.6, 1.0])
def test_per_layer_keeps_its_part_of_each(layouts, make_update, rho):
    layout, codec = layouts["mixed"], Components(scope="per_layer", bits=32)
    update = make_update(layout)
    parts = np.split(mask_of(codec, codec.encode(update, rho), layout), np.cumsum(ranks_of(layout))[:-1])
    scores = np.split(codec.scores(update), np.cumsum(ranks_of(layout))[:-1])
    for mask, score, rank in zip(parts, scores, ranks_of(layout), strict=True):
        assert mask.sum() == max(1, math.floor(rho * rank + SUM))
        assert score[mask].min() >= score[~mask].max(initial=0.0)  # within a layer all are of one width


def test_a_menu_per_layer_has_a_point_where_any_layer_keeps_one_more(layouts):
    """Ranks 2, 4, 3 and 1: halves, quarters, thirds."""
    wanted = sorted({1 / 2, 1.0, 1 / 4, 3 / 4, 1 / 3, 2 / 3})
    assert [p.kept_fraction for p in Components(scope="per_layer").menu(layouts["mixed"]).points] == wanted


def test_a_menu_per_layer_is_exact(layouts, make_update):
    layout = layouts["mixed"]
    for bits in (8, 16, 32):
        codec = Components(scope="per_layer", bits=bits, index="bitmap")
        for point in codec.menu(layout).points:
            assert codec.encode(make_update(layout), point.kept_fraction).bits == point.bits


@components
def test_bitmap_and_combinatorial_agree(codec, paired, make_update):
    other = Components(**{**vars(codec), "index": "bitmap" if codec.index == "combinatorial" else "combinatorial"})
    update = make_update(paired)
    for rho in (0.2, 0.7, 1.0):
        mine, theirs = codec.encode(update, rho), other.encode(update, rho)
        left, right = codec.decode(mine.data, paired), other.decode(theirs.data, paired)
        assert all(left[name].tobytes() == right[name].tobytes() for name in paired.shapes)
        mask = mask_of(codec, mine, paired)
        lengths = {"bitmap": -(-mask.size // 8), "combinatorial": len(index.encode(mask))}
        assert len(mine.data) - len(theirs.data) == lengths[codec.index] - lengths[other.index]


@pytest.mark.parametrize("n", range(1, 9))
def test_a_bitmap_of_every_pattern_comes_back(n):
    for number in range(2**n):
        mask = np.array([number >> i & 1 for i in range(n)], dtype=bool)
        code = index.encode_bitmap(mask)
        found, behind = index.decode_bitmap(b"\xff" + code + b"\xff", 1, n)
        assert (found.tolist(), behind) == (mask.tolist(), 2)


def test_random_components_differ_by_key_and_a_common_mask_by_round_only(layouts, make_update):
    layout = layouts["large"]
    base = make_update(layout)

    def masks(select, keys):
        codec = Components(select=select)
        found = []
        for key in keys:
            update = type(base)(base.base, base.change, layout, key)
            found.append(tuple(mask_of(codec, codec.encode(update, 0.5), layout).tolist()))
        return found

    clients = [update_key(client, 3) for client in range(5)]
    rounds = [update_key(0, round_) for round_ in range(5)]
    assert len(set(masks("random", clients))) == len(set(masks("random", rounds))) == 5
    assert len(set(masks("random_common", clients))) == 1
    assert len(set(masks("random_common", rounds))) == 5
    assert len(set(masks("top", clients + rounds))) == 1


def test_random_components_are_equally_often_kept(layouts, make_update):
    """1600 draws of 4 in 16: each is kept 400 times, +- 4 standard deviations of a binomial."""
    layout, codec = layouts["large"], Components(select="random")
    base, draws = make_update(layout), 1600
    counts = sum(codec._best(codec._places(type(base)(base.base, base.change, layout, key)), 0.25, [8, 8]).astype(int)
                 for key in range(draws))  # fmt: skip
    assert counts.sum() == 4 * draws
    assert np.abs(counts - draws / 4).max() <= 4 * math.sqrt(draws * 0.25 * 0.75)


@pytest.mark.parametrize("codec", EVERY, ids=repr)
def test_what_kept_says_is_what_decode_fills(codec, layout, make_update):
    update = make_update(layout)
    payload = codec.encode(update, 0.4)
    masks, got = codec.kept(payload.data, layout), decoded(codec, payload.data, layout, update.base)
    if masks is None:
        assert codec.kind == "svd"
        return
    step = {8: 1 / 120, 16: 2.0**-10, 32: 0.0}[codec.bits]
    for name, change in update.change.items():
        mask = np.broadcast_to(masks[name], change.shape)
        assert np.all(got[name][~mask] == 0)
        assert np.abs(got[name] - change)[mask].max(initial=0.0) <= step * np.abs(change).max()
        assert name in layout.factors or mask.all()


@pytest.mark.parametrize("codec", [c for c in EVERY if c.kind in ("components", "topk") and c.bits == 32], ids=repr)
def test_a_curve_is_the_share_of_energy_that_each_point_drops(codec, paired, make_update):
    update = make_update(paired, scale=0.3)
    curve, points = codec.curve(update), codec.menu(paired).points
    assert (curve.shape, curve[-1]) == ((len(points),), 0.0)
    assert np.all(np.diff(curve) <= 0)
    total = codec.energy(update)
    if codec.kind == "topk":
        assert total == pytest.approx(sum(np.sum(update.change[n].astype(float) ** 2) for n in paired.factors), rel=SUM)
    for share, point in zip(curve, points, strict=True):
        payload = codec.encode(update, point.kept_fraction)
        if codec.kind == "topk":
            got = codec.decode(payload.data, paired)
            lost = sum(np.sum((update.change[n].astype(float) - got[n]) ** 2) for n in paired.factors)
        else:
            mask = iter(mask_of(codec, payload, paired))
            lost = sum(
                np.sum(
                    (
                        np.outer(update.base[b][:, i].astype(float) + update.change[b][:, i],
                                 update.base[a][i].astype(float) + update.change[a][i])
                        - np.outer(update.base[b][:, i].astype(float), update.base[a][i])
                    ) ** 2
                )
                for a, b in paired.pairs
                for i in range(paired.shapes[a][0])
                if not next(mask)
            )  # fmt: skip
        assert lost / total == pytest.approx(share, abs=SUM)


@pytest.mark.parametrize("codec", [Components(), TopK(), Svd()], ids=lambda c: c.kind)
def test_nothing_changed_is_nothing_dropped(codec, layout, make_update):
    update = make_update(layout, scale=0.0)
    assert codec.energy(update) == 0.0
    assert codec.curve(update).tolist() == [0.0] * len(codec.menu(layout).points)
