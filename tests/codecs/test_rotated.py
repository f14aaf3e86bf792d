"""Directions across rank components: the nearest of their number, orthogonal, and cheap to name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wfl_sim.codecs import index
from wfl_sim.codecs.base import Layout, Update, common_key, update_key
from wfl_sim.codecs.components import Components
from wfl_sim.codecs.rotated import Rotated, _shared

# Of the change's norm: a direction in half precision (2^-11 an entry) is nearly a unit vector.
HALVES = 2.0**-9
SINGLE = 2.0**-18  # sums of some tens of products in float32
EXACT = Rotated(bits=32)
SHARED = Rotated(bits=32, basis="random")


def rows_of(layout, change):
    """A and B of every pair as rows [r, width]."""
    return [part for a, b in layout.pairs for part in (change[a].astype(float), change[b].astype(float).T)]


def best_of(layout, change, kept):
    """Every factor's change cut to the `kept` singular directions of the largest s^2 / width of all."""
    full = [np.linalg.svd(rows, full_matrices=False) for rows in rows_of(layout, change)]
    worth = [s**2 / v.shape[1] for _, s, v in full]
    least = np.sort(np.concatenate(worth))[::-1][kept - 1]
    return [(u * (s * (own >= least))) @ v for (u, s, v), own in zip(full, worth, strict=True)]


def distance(layout, change, others):
    return np.sqrt(sum(np.sum((x - y) ** 2) for x, y in zip(rows_of(layout, change), others, strict=True)))


@pytest.mark.parametrize("rho", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("seed", range(3))
def test_what_arrives_is_the_truncated_svd_of_each_factor(paired, make_update, rho, seed):
    update = make_update(paired, seed)
    total = 2 * sum(paired.shapes[a][0] for a, _ in paired.pairs)
    payload = EXACT.encode(update, rho)
    if payload.kept_fraction == 1.0:  # small factors: whole ones were no dearer
        wanted = rows_of(paired, update.change)
    else:
        wanted = best_of(paired, update.change, max(1, int(rho * total + 1e-9)))
    got = EXACT.decode(payload.data, paired)
    assert distance(paired, got, wanted) <= HALVES * distance(paired, update.change, [0.0] * 2 * len(paired.pairs))


@pytest.mark.parametrize("seed", range(5))
def test_no_choice_of_whole_components_keeps_more_energy_of_the_factors(layouts, make_update, seed):
    """A component is a row of A and a column of B: two directions that nobody has turned."""
    layout = layouts["large"]
    update = make_update(layout, seed)
    for kept in (1, 3, 6):
        turned = EXACT.decode(EXACT.encode(update, kept / 16).data, layout)
        plain = Components(bits=32, score="update")
        whole = plain.decode(plain.encode(update, kept / 16).data, layout)
        zeros = rows_of(layout, update.change)
        assert distance(layout, turned, zeros) < distance(layout, whole, zeros)


def test_a_change_of_few_directions_arrives_whole(layouts):
    """Columns of B that all move alike, which is what an element-wise optimiser makes of a first step."""
    layout = layouts["large"]
    random = np.random.default_rng(0)
    change = {name: np.zeros(shape, np.float32) for name, shape in layout.shapes.items()}
    for a, b in layout.pairs:
        for name in (a, b):
            rows, columns = layout.shapes[name]
            change[name] = np.outer(random.standard_normal(rows), random.standard_normal(columns)).astype(np.float32)
    update = Update({name: np.zeros_like(value) for name, value in change.items()}, change, layout)
    payload = EXACT.encode(update, 4 / 32)  # one direction for each of the four factors
    assert distance(layout, EXACT.decode(payload.data, layout), rows_of(layout, change)) <= HALVES * 30
    assert EXACT.curve(update)[3] < 1e-9 < EXACT.curve(update)[2]
    assert payload.bits < 0.3 * EXACT.encode(update, 1.0).bits


def test_the_curve_is_what_is_left_out(layouts, make_update):
    layout = layouts["large"]
    update = make_update(layout, 3)
    curve, total = EXACT.curve(update), EXACT.energy(update)
    for kept in range(1, 33):
        sent = EXACT.decode(EXACT.encode(update, kept / 32).data, layout)
        left = distance(layout, sent, rows_of(layout, update.change)) ** 2
        np.testing.assert_allclose(curve[kept - 1], left / total, atol=HALVES)


@pytest.mark.parametrize("basis", ["random", "principal"])
def test_whole_factors_are_sent_where_directions_would_cost_as_much(layouts, make_update, basis):
    layout = layouts["large"]
    update, codec = make_update(layout), Rotated(bits=16, basis=basis)
    whole = codec.encode(update, 1.0)
    assert all(codec.encode(update, rho).bits <= whole.bits for rho in np.linspace(0.05, 1, 40))
    assert [point.bits for point in codec.menu(layout).points][-1] == whole.bits
    nearly = codec.decode(codec.encode(update, 0.99).data, layout)["layer0.A"]
    same = np.array_equal(nearly, codec.decode(whole.data, layout)["layer0.A"])
    assert same == (basis == "principal")  # whose own numbers cost more than the one direction that is spared


def keyed(update, client, round_, salt=0):
    return replace(update, key=update_key(client, round_, salt))


def test_a_random_basis_is_orthogonal_and_the_same_for_all_clients_of_a_round():
    for rank in (1, 5, 16):
        own = _shared(7, rank)
        np.testing.assert_allclose(own.T @ own, np.eye(rank), atol=SINGLE)
        assert rank == 1 or not np.allclose(own, _shared(8, rank))
    assert common_key(update_key(3, 9, 4)) == common_key(update_key(5, 9, 4)) != common_key(update_key(3, 10, 4))


@pytest.mark.parametrize("rho", [1 / 32, 5 / 32, 0.4])
def test_what_random_directions_leave_out_is_orthogonal_to_what_they_send(layouts, make_update, rho):
    layout = layouts["large"]
    update = keyed(make_update(layout, 2), 1, 3)
    sent = SHARED.decode(SHARED.encode(update, rho).data, layout)
    for whole, part in zip(rows_of(layout, update.change), rows_of(layout, sent), strict=True):
        size = np.linalg.norm(whole)
        np.testing.assert_allclose(part.T @ (whole - part), 0.0, atol=SINGLE * size**2)
        assert np.linalg.norm(part) <= size


def test_random_directions_of_two_clients_lie_in_one_basis_and_those_of_two_rounds_do_not(layouts, make_update):
    layout = layouts["large"]
    one, other = make_update(layout, 1), make_update(layout, 2)
    mine = SHARED.encode(keyed(one, 0, 1), 1 / 4)
    with pytest.raises(AssertionError):  # the same update in another round
        assert mine.data[-400:] == SHARED.encode(keyed(one, 0, 2), 1 / 4).data[-400:]
    assert mine.data == SHARED.encode(keyed(one, 5, 1), 1 / 4).data  # the client draws nothing at 32 bits
    q = _shared(common_key(keyed(one, 0, 1).key), 8)
    for update in (one, other):
        sent = SHARED.decode(SHARED.encode(keyed(update, 0, 1), 1 / 4).data, layout)
        for whole, part in zip(rows_of(layout, update.change), rows_of(layout, sent), strict=True):
            held = np.linalg.norm(q.T @ part, axis=1) > SINGLE * np.linalg.norm(whole)
            np.testing.assert_allclose(part, q[:, held] @ (q[:, held].T @ whole), atol=SINGLE * np.linalg.norm(whole))


def test_counts_round_trip_and_refuse_what_there_is_not():
    most = [3, 16, 1, 0, 5]
    for counts in ([0, 0, 0, 0, 0], [3, 16, 1, 0, 5], [1, 9, 0, 0, 4]):
        data = b"x" + index.encode_counts(counts, most)
        assert index.decode_counts(data, 1, most) == (counts, len(data))
    with pytest.raises(ValueError, match="at most 16"):
        index.decode_counts(index.encode_counts([0, 17, 0], [3, 31, 0]), 0, [3, 16, 0])
    with pytest.raises(ValueError, match="ends within the counts"):
        index.decode_counts(b"\x01", 0, [255, 255])


def test_a_layout_without_pairs_sends_the_head(layouts):
    layout = Layout((), ("head.bias",), {"head.bias": (3,)})
    update = Update({}, {"head.bias": np.array([1, 2, 3], np.float32)}, layout)
    codec = Rotated(bits=32)
    assert codec.decode(codec.encode(update, 0.5).data, layout)["head.bias"].tolist() == [1, 2, 3]
