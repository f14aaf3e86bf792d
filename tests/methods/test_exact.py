"""Exact aggregations: what the layers compute afterwards is the mean of what they compute at the clients."""

from __future__ import annotations

import numpy as np
import pytest

from wfl_sim import lowrank
from wfl_sim.methods.base import Arrival
from wfl_sim.methods.fedavg import FedAvg
from wfl_sim.methods.fedex import FedEx
from wfl_sim.methods.flexlora import FlexLora
from wfl_sim.methods.flora import Flora

M, N, RANK = 26, 31, 3
SHAPES = {"q.A": (RANK, N), "q.B": (M, RANK), "head.bias": (4,)}
WEIGHTS = (0.41, 0.07, 0.3, 0.22)
SINGLE = 1e-6  # of the function: sums of some tens of float32 numbers of size 1, each rounded once
DOUBLE = 1e-12

exact = pytest.mark.parametrize("method", [Flora(rank=RANK), FedEx(rank=RANK, scale=1.7)], ids=lambda m: m.kind)


def draw(seed, scale=1.0, shapes=SHAPES):
    random = np.random.default_rng(seed)
    return {name: (scale * random.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}


def started(method, seed=0):
    """A model as the method's rounds begin."""
    model = draw(seed)
    if method.kind == "flora":
        model["q.B"] = np.zeros((M, RANK), np.float32)
    return model | {"q.W": draw(9, shapes={"q.W": (M, N)})["q.W"]}


def function(method, model, change=None, base=None):
    """What is added to the layer: W + (alpha / rank) B A."""
    a, b = ((base or model)[name].astype(float) + (change[name] if change else 0) for name in ("q.A", "q.B"))
    scale = method.alpha / method.rank if method.scale is None else method.scale
    return model.get("q.W", 0.0) + scale * b @ a


def after(method, model):
    """The function of a model as the next round begins: a method that begins anew has then no adapters."""
    return model["q.W"].astype(float) if method.kind == "flora" else function(method, model)


def arrivals_of(weights=WEIGHTS):
    return [Arrival(k, draw(k + 1), w) for k, w in enumerate(weights)]


@exact
@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_global_function_is_the_weighted_mean_of_the_clients_functions(method, count):
    """Of few arrivals from stacked factors, of many from their product."""
    model = started(method)
    weights = np.array(WEIGHTS[:count]) / sum(WEIGHTS[:count])
    arrivals = arrivals_of(weights.tolist())
    arrays = method.broadcast(model, arrivals)
    parts = {name: value.shape for name, value in arrays.items() if name.startswith("q.W")}
    rank = count * RANK if method.kind == "flora" else max(1, (count - 1) * RANK)
    product = rank * (M + N) > M * N
    assert parts == ({"q.W": (M, N)} if product else {"q.W.A": (rank, N), "q.W.B": (M, rank)})
    mean = sum(w * function(method, model, x.change) for w, x in zip(weights, arrivals, strict=True))
    merged = method.received(model, arrays)
    assert np.abs(after(method, merged) - mean).max() < SINGLE * np.abs(mean).max()
    head = sum(w * x.change["head.bias"].astype(float) for w, x in zip(weights, arrivals, strict=True))
    np.testing.assert_allclose(merged["head.bias"], model["head.bias"] + head, rtol=0, atol=SINGLE)


@pytest.mark.parametrize("method", [Flora(rank=RANK), FedEx(rank=RANK), FlexLora(rank=2 * N)], ids=lambda m: m.kind)
def test_a_step_of_stale_changes_moves_the_function_by_their_weighted_sum(method):
    """Weights that sum to 0.6, and clients that had other models: as an asynchronous server merges."""
    shapes = {**SHAPES, "q.A": (method.rank, N), "q.B": (M, method.rank)}
    model = draw(0, shapes=shapes) | ({"q.W": draw(9, shapes={"q.W": (M, N)})["q.W"]} if method.rank == RANK else {})
    if method.kind == "flora":
        model["q.B"] *= 0
    bases = [None, draw(20, shapes=shapes), draw(21, shapes=shapes)]
    arrivals = [Arrival(k, draw(k + 1, shapes=shapes), 0.2, k, base) for k, base in enumerate(bases)]
    moved = 0.0
    for arrival in arrivals:
        base = arrival.base or model
        moved = moved + 0.2 * (
            function(method, model, arrival.change, base) - function(method, model, draw(0, 0.0, shapes), base)
        )
    merged = method.aggregate(model, arrivals)
    now = function(method, merged) if method.kind != "flora" else after(method, merged)
    error = np.abs(now - function(method, model) - moved).max()
    assert error < 4 * SINGLE * np.abs(moved).max()


def test_the_residual_of_fedex_is_what_averaging_factors_misses():
    method = FedEx(rank=RANK)
    model, arrivals = started(method), arrivals_of()
    averaged = FedAvg(rank=RANK).aggregate({name: model[name] for name in SHAPES}, arrivals)
    merged = method.aggregate(model, arrivals)
    for name in SHAPES:
        np.testing.assert_allclose(merged[name], averaged[name], rtol=0, atol=SINGLE * np.abs(averaged[name]).max())
    held = [(model["q.A"] + x.change["q.A"], model["q.B"] + x.change["q.B"]) for x in arrivals]
    missed = np.sum((merged["q.W"].astype(float) - model["q.W"]) ** 2)
    e_cov = (method.alpha / RANK) ** 2 * lowrank.covariance_gap(held, WEIGHTS)
    assert missed == pytest.approx(e_cov, rel=1e-5)  # W is in float32
    alone = method.broadcast(model, [Arrival(0, draw(1), 1.0)])
    assert not alone["q.W.A"].any() and not alone["q.W.B"].any()  # one client's mean misses nothing


def test_flora_sends_no_component_that_no_one_sent():
    method = Flora(rank=RANK)
    model, arrivals = started(method), arrivals_of(WEIGHTS[:2])
    arrivals[0].change["q.B"][:, 1:] = 0  # B = 0 before: nothing of these two components is in the product
    arrays = method.broadcast(model, arrivals)
    assert arrays["q.W.A"].shape == (RANK + 1, N)


@pytest.mark.parametrize("init", ["orthonormal", "kaiming"])
@pytest.mark.parametrize("rank", [RANK, 4 * RANK, M])
def test_flexlora_is_the_best_product_of_its_rank_and_exact_at_full_rank(rank, init):
    method = FlexLora(rank=rank, init=init)
    shapes = {"q.A": (rank, N), "q.B": (M, rank)}
    model = draw(0, shapes=shapes)
    arrivals = [Arrival(k, draw(k + 1, shapes=shapes), w) for k, w in enumerate(WEIGHTS)]
    held = [
        (model["q.A"].astype(float) + x.change["q.A"], model["q.B"].astype(float) + x.change["q.B"]) for x in arrivals
    ]
    mean = sum(w * b @ a for w, (a, b) in zip(WEIGHTS, held, strict=True))
    merged = {name: value.astype(float) for name, value in method.aggregate(model, arrivals).items()}
    u, s, v = np.linalg.svd(mean, full_matrices=False)
    best = (u[:, :rank] * s[:rank]) @ v[:rank]
    assert np.abs(merged["q.B"] @ merged["q.A"] - best).max() < SINGLE * s[0]
    squared = method.adapter().scale_a ** 2
    used = min(rank, M)
    np.testing.assert_allclose((merged["q.A"] @ merged["q.A"].T)[:used, :used], squared * np.eye(used), atol=SINGLE)


def test_without_arrivals_nothing_moves():
    for method in (Flora(rank=RANK), FedEx(rank=RANK), FlexLora(rank=RANK)):
        model = started(method)
        merged = method.aggregate(model, [])
        assert all((merged[name] == model[name]).all() for name in model)
