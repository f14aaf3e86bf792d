"""SOFT on the server: what fills for components that did not arrive, and the basis of singular vectors."""

from __future__ import annotations

import numpy as np
import pytest

from wfl_sim import lowrank
from wfl_sim.methods import factors
from wfl_sim.methods.base import Arrival
from wfl_sim.methods.fedavg import FedAvg
from wfl_sim.methods.soft import Soft
from wfl_sim.turning import Turns, rounded, turned

M, N, RANK = 22, 30, 4
SHAPES = {"q.A": (RANK, N), "q.B": (M, RANK), "head.bias": (5,)}
PAIRS = (("q.A", "q.B"),)
WEIGHTS = (0.5, 0.125, 0.375)
SINGLE = 2.0**-22  # some roundings to float32, relative to the largest entry


def draw(seed, scale=1.0):
    random = np.random.default_rng(seed)
    return {name: (scale * random.standard_normal(shape)).astype(np.float32) for name, shape in SHAPES.items()}


def product(params):
    return params["q.B"].astype(float) @ params["q.A"].astype(float)


def without(change, *components):
    """A change of which some components were not sent."""
    for i in components:
        change["q.A"][i] = change["q.B"][:, i] = 0
    return change


def test_with_everything_sent_renormalising_is_filling_with_zeros():
    arrivals = [Arrival(k, draw(k + 1), w) for k, w in enumerate(WEIGHTS)]
    zero, other = (Soft(fill=fill).aggregate(draw(0), arrivals) for fill in ("zero", "renormalise"))
    for name in SHAPES:  # the weights sum to 1 exactly: binary fractions
        assert zero[name].tobytes() == other[name].tobytes()


def test_a_component_counts_as_the_mean_over_those_who_sent_it():
    changes = [without(draw(1), 0, 3), without(draw(2), 0), without(draw(3), 0, 1)]
    model = draw(0)
    arrivals = [Arrival(k, change, w) for k, (change, w) in enumerate(zip(changes, WEIGHTS, strict=True))]
    merged = Soft(fill="renormalise").aggregate(model, arrivals)
    zero = Soft().aggregate(model, arrivals)
    for i, senders in enumerate([(), (0, 1), (0, 1, 2), (1, 2)]):
        whole = sum(WEIGHTS[k] for k in senders) or 1.0
        for name, at in (("q.A", (i,)), ("q.B", (slice(None), i))):
            sums = sum((WEIGHTS[k] * changes[k][name][at].astype(float) for k in senders), np.zeros(1))
            np.testing.assert_allclose(merged[name][at], model[name][at] + sums / whole, atol=SINGLE * 10)
            np.testing.assert_allclose(zero[name][at], model[name][at] + sums, atol=SINGLE * 10)
    assert (merged["head.bias"] == zero["head.bias"]).all()


def test_alone_a_client_moves_the_model_by_what_it_sent():
    change = without(draw(1), 2)
    for fill in ("zero", "renormalise"):
        merged = Soft(fill=fill).aggregate(draw(0), [Arrival(0, change, 1.0)])
        assert all((merged[name] == draw(0)[name] + change[name]).all() for name in SHAPES)


def test_without_a_penalty_soft_is_fedavg_bit_for_bit():
    arrivals = [Arrival(k, draw(k + 1), w) for k, w in enumerate(WEIGHTS)]
    soft, plain = Soft(orthogonality=0.0), FedAvg()
    assert soft.regulariser() is None and soft.turn(draw(0)) == {} and soft.adapter() == plain.adapter()
    assert all((soft.aggregate(draw(0), arrivals)[n] == plain.aggregate(draw(0), arrivals)[n]).all() for n in SHAPES)


@pytest.mark.parametrize("init", ["orthonormal", "kaiming"])
@pytest.mark.parametrize("b", [1.0, 0.0, "thin"])
def test_the_servers_basis_leaves_the_function_and_is_that_of_singular_vectors(init, b):
    """Also where B is 0, as at the start, or of lower rank than it has columns."""
    model = draw(0)
    if b != 1.0:
        model["q.B"] = model["q.B"][:, :1] @ np.ones((1, RANK), np.float32) if b == "thin" else 0 * model["q.B"]
    soft = Soft(rank=RANK, basis="server", init=init)
    after = turned(model, rounded(soft.turn(model)), PAIRS)
    scale = soft.adapter().scale_a
    assert after["head.bias"] is model["head.bias"]
    assert np.abs(product(after) - product(model)).max() <= SINGLE * np.abs(product(model)).max()
    gram = after["q.A"].astype(float) @ after["q.A"].T
    np.testing.assert_allclose(gram, scale**2 * np.eye(RANK), atol=10 * SINGLE)
    assert lowrank.coherence(after["q.A"]) < 10 * SINGLE
    s = np.linalg.svd(product(model), compute_uv=False)[:RANK]
    np.testing.assert_allclose(lowrank.component_norms(after["q.A"], after["q.B"]), s, atol=10 * SINGLE * max(s[0], 1))


def test_rows_that_depend_on_each_other_keep_their_basis():
    model = draw(0)
    model["q.A"][1] = 2 * model["q.A"][0]
    assert Soft(basis="server").turn(model) == {}
    assert factors.singular_basis(np.ones((5, 3)), np.ones((4, 5)), 1.0) is None  # more rows than columns


def test_a_change_means_the_same_in_every_later_basis():
    """(B + dB)(A + dA) before two turns, and after both as one."""
    soft, model, change = Soft(basis="server"), draw(0), draw(1, 0.3)
    turns, old = Turns(PAIRS), model
    for version in (1, 2):
        moved = {name: value + draw(10 + version, 0.2)[name] for name, value in old.items()}
        maps = rounded(soft.turn(moved))
        turns.add(version, maps)
        wanted = product({name: value + change[name] for name, value in old.items()})
        later = turned(old, maps, PAIRS)
        one = turns.carried(change, version - 1, version)
        np.testing.assert_allclose(product({n: v + one[n] for n, v in later.items()}), wanted, atol=20 * SINGLE * 10)
        old = later
    both = turns.carried(change, 0, 2)
    start = turns.carried(model, 0, 2)
    wanted = product({name: value + change[name] for name, value in model.items()})
    np.testing.assert_allclose(product({n: v + both[n] for n, v in start.items()}), wanted, atol=20 * SINGLE * 10)
    assert both["head.bias"] is change["head.bias"] and turns.carried(change, 2, 2)["q.A"] is change["q.A"]
    turns.forget([1], 2)
    assert list(turns.made) == [2]
    turns.forget([], 2)
    assert turns.made == {}
