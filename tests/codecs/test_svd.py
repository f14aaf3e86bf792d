"""The oracle: the best that singular triples can do, from thin factors alone; and what never forms an m x n product."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from channels.options import OptionError
from wfl_sim import lowrank
from wfl_sim.codecs.base import Layout, Update, decoded
from wfl_sim.codecs.components import Components
from wfl_sim.codecs.rotated import Rotated
from wfl_sim.codecs.svd import TRIPLES, Svd
from wfl_sim.methods import factors
from wfl_sim.updateerrors import errors_of

SINGLE = 2.0**-20  # of the largest entry: factors in float32, and sums of some tens of their products
DOUBLE = 1e-10
EXACT = Svd(bits=32)


def products(update, change):
    """B A of all layers with `change` applied."""
    return [(update.base[b].astype(float) + change[b]) @ (update.base[a].astype(float) + change[a])
            for a, b in update.layout.pairs]  # fmt: skip


def before(update):
    return products(update, {name: np.float32(0) for name in update.layout.factors})


def best_of(update, kept):
    """The full SVD of every product's change, cut to the `kept` triples of the largest s^2 / (m + n) of all."""
    full = [np.linalg.svd(new - old, full_matrices=False)
            for new, old in zip(products(update, update.change), before(update), strict=True)]  # fmt: skip
    worth = np.concatenate([s**2 / (u.shape[0] + v.shape[1]) for u, s, v in full])
    least = np.sort(worth)[::-1][kept - 1]
    return [(u * (s * (s**2 / (u.shape[0] + v.shape[1]) >= least))) @ v for u, s, v in full]


def rank_cut(matrix, rank):
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ v[:rank]


@pytest.mark.parametrize("rho", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("seed", range(3))
def test_the_receiver_has_the_best_product_of_its_rank_to_what_was_kept(paired, make_update, rho, seed):
    update = make_update(paired, seed, scale=0.3)
    total = sum(paired.shapes[a][0] for a, _ in paired.pairs)
    got = products(update, decoded(EXACT, EXACT.encode(update, rho).data, paired, update.base))
    cut = best_of(update, max(1, int(rho * total + 1e-9)))
    for (a, _), found, old, kept in zip(paired.pairs, got, before(update), cut, strict=True):
        wanted = rank_cut(old + kept, paired.shapes[a][0])
        np.testing.assert_allclose(found, wanted, atol=SINGLE * np.abs(wanted).max())


def test_triples_are_those_of_the_full_svd(make_update, layouts):
    update = make_update(layouts["mixed"], scale=0.5)
    for a, b in update.layout.pairs:
        args = update.base[a], update.base[b], update.change[a], update.change[b]
        u, s, v = lowrank.change_svd(*args)
        full = np.linalg.svd(
            (args[1].astype(float) + args[3]) @ (args[0].astype(float) + args[2]) - args[1].astype(float) @ args[0],
            compute_uv=False,
        )
        np.testing.assert_allclose(s, full[: s.size], atol=DOUBLE * full[0])
        assert np.all(full[s.size :] <= DOUBLE * full[0])  # the rest is nothing: rank 2 r at most
        np.testing.assert_allclose(u.T @ u, np.eye(s.size), atol=DOUBLE)
        np.testing.assert_allclose(v @ v.T, np.eye(s.size), atol=DOUBLE)


@pytest.mark.parametrize("score", ["change", "weight", "update"])
@pytest.mark.parametrize("seed", range(5))
def test_no_choice_of_as_many_components_is_nearer_to_the_change(layouts, make_update, score, seed):
    """Before the receiver's cut: what is sent of D, by triples and by components. From B = 0 there is no cut."""
    update = make_update(layouts["equal"], seed, scale=1.0)
    for _, b in update.layout.pairs:
        update.base[b][:] = 0.0
    wanted, codec = products(update, update.change), Components(bits=32, score=score)
    total = 12
    for kept in range(1, total):
        errors = []
        for one in (EXACT, codec):
            payload = one.encode(update, kept / total)
            got = products(update, decoded(one, payload.data, update.layout, update.base))
            errors.append(sum(np.sum((x - y) ** 2) for x, y in zip(got, wanted, strict=True)))
        assert errors[0] <= errors[1] * (1 + SINGLE)


def test_all_kept_is_the_change_of_the_factors_themselves(paired, make_update):
    update = make_update(paired)
    got = EXACT.decode(EXACT.encode(update, 1.0).data, paired)
    assert all(got[name].tobytes() == update.change[name].tobytes() for name in paired.shapes)


def test_a_layer_of_which_nothing_is_kept_stays_as_it_is(layouts, make_update):
    update = make_update(layouts["equal"])
    for name in update.layout.factors:
        update.change[name] *= np.float32(100.0 if name.startswith("layer1") else 1e-3)
    got = decoded(EXACT, EXACT.encode(update, 0.1).data, update.layout, update.base)
    for name in update.layout.factors:
        assert got[name].any() == name.startswith("layer1")


def test_a_curve_is_the_share_of_energy_beyond_the_kept_triples(paired, make_update):
    update = make_update(paired, scale=0.3)
    curve, total = EXACT.curve(update), EXACT.energy(update)
    changes = [new - old for new, old in zip(products(update, update.change), before(update), strict=True)]
    assert total == pytest.approx(sum(np.sum(x**2) for x in changes), rel=DOUBLE)
    for kept in range(1, len(curve)):  # the last point sends everything
        dropped = sum(np.sum((x - y) ** 2) for x, y in zip(changes, best_of(update, kept), strict=True))
        assert curve[kept - 1] == pytest.approx(dropped / total, abs=DOUBLE)
    assert curve[-1] == 0.0


def test_triples_mean_nothing_without_what_they_change(layouts, make_update):
    update = make_update(layouts["equal"])
    data = EXACT.encode(update, 0.5).data
    assert EXACT.opened(data)[1] == TRIPLES
    with pytest.raises(ValueError, match=r"without the factors.*decode_on"):
        EXACT.decode(data, update.layout)


def test_what_was_left_out_cannot_wait():
    with pytest.raises(OptionError, match=r"Svd\.error_feedback: must be 0.*got 0\.5"):
        Svd(error_feedback=0.5)


WIDE, TALL = 1500, 1400
PRODUCT_BYTES = 4 * WIDE * TALL  # in float32: the least that an m x n product takes
THIN_BYTES = PRODUCT_BYTES / 8  # some dozens of thin factors in float64


def peak_of(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def wide_update():
    random = np.random.default_rng(1)
    shapes = {"q.A": (2, WIDE), "q.B": (TALL, 2)}
    base, change = ({n: random.standard_normal(s).astype(np.float32) for n, s in shapes.items()} for _ in range(2))
    return Update(base, change, Layout((("q.A", "q.B"),), (), shapes))


def soft_work(codec, update):
    payload = codec.encode(update, 0.5)
    decoded(codec, payload.data, update.layout, update.base)
    errors_of(codec, update, payload, decoded(codec, payload.data, update.layout, update.base))
    factors.singular_basis(update.base["q.A"], update.base["q.B"], 1.0)
    codec.curve(update), codec.energy(update), codec.encode_changed(update)
    a, b = update.base["q.A"], update.base["q.B"]
    lowrank.coherence(a), lowrank.coherence(b.T), lowrank.product_energy(b, a)
    lowrank.product_gap(a, b, a + update.change["q.A"], b + update.change["q.B"])
    lowrank.covariance_gap([(a, b), (a, b)], [0.5, 0.5])


@pytest.mark.parametrize(
    "codec",
    [
        Svd(),
        Svd(bits=8),
        Rotated(),
        Rotated(basis="random"),
        *(Components(score=score, bits=8) for score in ("change", "weight", "update")),
    ],
    ids=repr,
)
def test_no_product_of_m_times_n_is_ever_formed(codec):
    """Numpy reports what it allocates: no array of m n numbers is among it, whatever it is called."""
    update = wide_update()
    soft_work(codec, update)  # tables that are made once
    assert peak_of(lambda: soft_work(codec, update)) < THIN_BYTES


def test_a_product_would_have_been_seen():
    update = wide_update()
    assert peak_of(lambda: update.base["q.B"] @ update.base["q.A"]) >= PRODUCT_BYTES
