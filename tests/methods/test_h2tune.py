"""H2Tune's arrays: layers unfolded and folded, what the server makes of many, and uploads as bytes and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfl_sim.contracts import Point
from wfl_sim.methods import alignment
from wfl_sim.methods.base import Arrival, add_weighted
from wfl_sim.methods.h2tune import H2Tune, Triple
from wfl_sim.shapecode import KEPT, ShapeCode

SINGLE = 2.0**-22  # a few half units in the last place of float32 values of about 1
HEAD = {"head.weight": (3, 4), "head.bias": (3,)}


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_first_scores_pair_layers_of_the_same_relative_depth() -> None:
    """-(g / 5 - l / 1)^2 / 0.02 for a client of 2 layers of 6: at g = 1, l = 0 it is -0.04 / 0.02 = -2."""
    scores = alignment.first_scores(6, 2)
    assert scores.shape == (6, 2) and scores[0, 0] == scores[5, 1] == 0
    assert scores[1, 0] == pytest.approx(-2.0, rel=1e-6) and scores[3, 1] == pytest.approx(-8.0, rel=1e-6)
    psi = alignment.shares(scores)
    assert np.allclose(psi.sum(axis=0), 1.0, rtol=0, atol=SINGLE) and list(psi.argmax(axis=0)) == [0, 5]
    assert psi[1, 0] / psi[0, 0] == pytest.approx(math.exp(-2.0), rel=1e-5)
    assert alignment.first_scores(1, 1).tolist() == [[0.0]] and alignment.first_scores(3, 1).shape == (3, 1)


def test_of_equal_depths_with_one_layer_each_the_fold_undoes_the_unfolding() -> None:
    stack, one = drawn(4, 2, 3, 3), np.eye(4, dtype=np.float32)
    assert np.array_equal(alignment.unfold(stack, one), stack)
    assert np.allclose(alignment.fold(alignment.unfold(stack, one), one), stack, rtol=SINGLE, atol=0)
    assert np.array_equal(alignment.masses(one), np.ones(4, np.float32))


@given(most=st.integers(1, 7), depth=st.integers(1, 7), seed=st.integers(0, 99))
def test_layers_that_are_all_alike_stay_so(most: int, depth: int, seed: int) -> None:
    """Unfolding and folding are means, whatever the shares."""
    psi = alignment.shares(3 * drawn(most, depth, seed=seed))
    stack = np.broadcast_to(drawn(2, 3, 3, seed=seed), (most, 2, 3, 3))
    unfolded = alignment.unfold(np.ascontiguousarray(stack), psi)
    assert np.allclose(unfolded, stack[:1], rtol=0, atol=10 * SINGLE)
    assert np.allclose(alignment.fold(unfolded, psi), stack, rtol=0, atol=1e-5)


def test_where_all_layers_count_alike_the_server_takes_the_mean_of_fedavg() -> None:
    """With Psi = I masses are 1, and G moves by sum_k w_k dS_k."""
    changes, weights = [drawn(4, 2, 3, 3, seed=k) for k in range(3)], [0.5, 0.2, 0.3]
    one = np.ones(4, np.float32)
    found = alignment.mean_change(changes, [one] * 3, weights)
    arrivals = [
        Arrival(k, {"S": change}, weight) for k, (change, weight) in enumerate(zip(changes, weights, strict=True))
    ]
    wanted = add_weighted({"S": np.zeros((4, 2, 3, 3), np.float32)}, arrivals)["S"]
    assert np.allclose(found, wanted, rtol=0, atol=SINGLE)
    # Who has little to say of a layer counts little there: of layer 0 the second client alone.
    some = [np.array([0, 1, 1, 1], np.float32), one, np.array([0, 1, 1, 1], np.float32)]
    found = alignment.mean_change(changes, some, weights)
    assert np.allclose(found[0], changes[1][0], rtol=0, atol=SINGLE) and np.allclose(found[1:], wanted[1:], atol=SINGLE)


def test_the_best_scores_are_chosen_and_of_equals_the_first() -> None:
    scores = np.array([[[3, 1, 2], [2, 9, 0], [2, 0, 0]]], np.float32)
    assert alignment.largest(scores, 4).tolist() == [[0, 2, 3, 4]]
    assert alignment.largest(scores, 9).tolist() == [list(range(9))]
    triple = Triple(3, 6.0, "orthonormal", largest=5)
    first = triple.first(8, 6, np.random.default_rng(0))
    assert {name: value.shape for name, value in first.items()} == triple.shapes(8, 6)
    assert not first["B"].any() and triple.shapes(8, 6)["Q"] == (5, 5)
    corner = [5 * row + column for row in range(3) for column in range(3)]
    assert alignment.largest(first["Q"], 9).tolist() == corner  # T begins as the upper left corner of S
    assert Triple(5, 6.0, "orthonormal").size == 5


def code(sparse: bool, bits: int = 32, **changes: object) -> ShapeCode:
    options = {"stack": (5, 2, 4, 4), "depth": 3, "rank": 2, "head": HEAD, "bits": bits, "sparse": sparse}
    return ShapeCode(**(options | changes))  # type: ignore[arg-type]


def update(made: ShapeCode, seed: int = 0) -> tuple[np.ndarray, ...]:
    """What a client had, its change on a mask of r^2 entries a matrix, its shares, and the change of its head."""
    delta = drawn(*made.places, seed=seed).reshape(*made.places[:2], -1)
    places = np.argsort(drawn(*delta.shape, seed=seed + 1), axis=-1)[..., : made.rank**2]
    mask = np.zeros(delta.shape, bool)
    np.put_along_axis(mask, places, True, axis=-1)
    psi = alignment.shares(drawn(made.stack[0], made.depth, seed=seed + 2))
    head = {name: drawn(*shape, seed=seed + 3) for name, shape in made.head.items()}
    return drawn(*made.stack, seed=seed + 4), np.where(mask, delta, 0).reshape(made.places), psi, head


def test_as_many_values_as_a_stack_of_28_blocks_with_7_modules_and_rank_128_has() -> None:
    """L_max M R^2 = 28 x 7 x 128^2 = 3,211,264 each way; beside them the sums of shares, one a block."""
    made = ShapeCode((28, 7, 128, 128), 28, 128, {}, 32, False)
    assert math.prod(made.stack) == 3_211_264
    (point,) = made.menu().points
    assert point == Point(1.0, 8 + 32 * (3_211_264 + 28), 0.0)
    (*_, most) = ShapeCode((28, 7, 128, 128), 16, 32, {}, 32, True).menu().points
    # L_i M r_i^2 values, L_i M R^2 bits of mask, and Psi
    assert most.bits == 8 + 32 * 16 * 7 * 32**2 + 16 * 7 * 128**2 + 32 * 28 * 16


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("sparse", [False, True])
def test_what_is_charged_is_what_is_written_and_the_server_reads_it(sparse: bool, bits: int) -> None:
    made = code(sparse, bits)
    base, delta, psi, head = update(made)
    payload = made.encode(base, delta, psi, head, 1.0, key=7)
    assert payload.bits == 8 * len(payload.data) == made.menu().points[-1].bits
    assert payload.data == made.encode(base, delta, psi, head, 1.0, key=7).data
    told = made.decode(payload.data, base)
    wanted = alignment.fold(alignment.unfold(base, psi) + delta, psi) - base
    error = {32: 2e-6, 16: 4e-3, 8: 0.08}[bits]  # of values of a few units; at 8 bits a step is 1 / 127 of the largest
    assert np.abs(told.change - wanted).max() < error
    assert np.abs(told.mass - alignment.masses(psi)).max() < error
    assert all(np.abs(told.head[name] - head[name]).max() < error for name in HEAD)
    for wrong in (payload.data[:-1], payload.data + b"\0", b"\x01" + payload.data[1:], b""):
        with pytest.raises(ValueError):
            made.decode(wrong, base)


def test_sparse_and_dense_uploads_tell_the_server_the_same() -> None:
    """At 32 bits the one is what the server works out from the other."""
    base, delta, psi, head = update(code(True))
    told = [made.decode(made.encode(base, delta, psi, head, 1.0, 0).data, base) for made in (code(True), code(False))]
    assert np.allclose(told[0].change, told[1].change, rtol=0, atol=1e-6)
    assert np.allclose(told[0].mass, told[1].mass, rtol=0, atol=1e-6)


def test_a_smaller_share_keeps_the_entries_that_changed_most() -> None:
    made, identity = code(True, stack=(3, 2, 4, 4)), np.eye(3, dtype=np.float32)
    base, delta, _, head = update(made)
    menu = made.menu()
    assert [point.kept_fraction for point in menu.points] == list(KEPT)
    for point in menu.points:
        payload = made.encode(base, delta, identity, head, point.kept_fraction, 0)
        assert payload.bits == point.bits
        change = made.decode(payload.data, base).change
        kept = max(1, int(point.kept_fraction * made.trained))
        largest = np.sort(np.abs(delta).ravel())[::-1][:kept]
        # With Psi = I the server's change is the client's D.
        assert np.square(change).sum() == pytest.approx(np.square(largest).sum(), rel=1e-5)
    nothing = made.encode(base, 0 * delta, identity, head, 1.0, 0)
    assert nothing.bits < menu.points[0].bits and np.abs(made.decode(nothing.data, base).change).max() < 1e-6


def test_what_stays_with_clients() -> None:
    names = ["q.A", "q.B", "q.Q", "head.weight", "head.bias"]
    assert H2Tune().personal(names) == frozenset(names[:3])
    assert H2Tune(head="private").personal(names) == frozenset(names)
