"""The federation with methods whose factors turn, or whose layers are served: what is sent, waits, and is told."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from wfl_sim import broadcasting, lowrank
from wfl_sim.codecs.base import update_key
from wfl_sim.codecs.components import Components
from wfl_sim.codecs.dense import Dense
from wfl_sim.codecs.topk import TopK
from wfl_sim.methods.fedex import FedEx
from wfl_sim.methods.flexlora import FlexLora
from wfl_sim.methods.flora import Flora
from wfl_sim.methods.soft import Soft
from wfl_sim.turning import rounded, turned

sys.path.insert(0, str(Path(__file__).parent))

from test_federation import EXAMPLES, LAYOUT, SHAPES, assert_same_bits, copy, federation, upload

W = {"q.W": (6, 8), "v.W": (5, 8)}
LAYERS = {"q": (6, 8), "v": (5, 8)}
SINGLE = 2.0**-24
FULL_BYTES = 4 * LAYOUT.size(tuple(SHAPES))
CODECS = pytest.mark.parametrize(
    "codec", [Dense(), Dense(bits=32), Components(), TopK()], ids=lambda c: f"{c.kind}{c.bits}"
)


def served():
    return {"served": {name: np.zeros(shape, np.float32) for name, shape in W.items()}}


def everyone(fed, round_, kept=1.0):
    """A round of all clients."""
    fed.received(range(4))
    fed.train(round_, range(4))
    payloads = {client: upload(fed, client, kept)[0] for client in range(4)}
    fed.aggregate(payloads)


def function(params, layer):
    """What an adapted layer adds, alpha / rank = 4."""
    return params.get(f"{layer}.W", 0.0) + 4.0 * params[f"{layer}.B"].astype(float) @ params[f"{layer}.A"].astype(float)


@CODECS
@pytest.mark.parametrize("cls", [Flora, FedEx])
def test_what_is_broadcast_makes_the_servers_model_and_is_what_is_charged(codec, cls):
    """A receiver reads the bytes: how many components, then the arrays; and draws what begins anew as all do."""
    method = cls(rank=4)
    fed, fake = federation(codec, method, **served())
    assert len(fed.downlink(range(4)).data) == FULL_BYTES  # W is 0 then, as everyone knows
    for round_ in (1, 2, 3):
        before = copy(fed.state.model)
        everyone(fed, round_, 0.5)
        data = fed.downlink(range(4)).data
        ranks = np.frombuffer(data[:8], "<u4")
        shapes = {n: s for n, s in SHAPES.items() if cls is FedEx or n.startswith("head")}
        for (layer, (m, n)), rank in zip(LAYERS.items(), ranks, strict=True):
            shapes |= {f"{layer}.W.A": (rank, n), f"{layer}.W.B": (m, rank)} if rank else {f"{layer}.W": (m, n)}
        order = [n for n in shapes if cls is FedEx or n.startswith("head")]
        layout = broadcasting.layout_of({n: shapes[n] for n in [*order, *(n for n in shapes if n not in order)]})
        if cls is FedEx:  # pairs and head in the order in which the method sends them
            names = [*(n for pair in LAYOUT.pairs for n in pair), "head.weight"]
            layout = broadcasting.layout_of({n: shapes[n] for n in [*names, *(n for n in shapes if n not in SHAPES)]})
        held = method.received(before, codec.decode(data[8:], layout))
        if cls is Flora:
            held |= fake.fresh(fed.state.version)
            assert not fed.state.model["q.B"].any() and (fed.state.model["q.A"] != before["q.A"]).all()
        assert_same_bits(held, fed.state.model)
    fed.state.held_version.clear()
    data = fed.downlink([0]).data  # whoever is behind needs W whole, and draws what begins anew
    known = fake.fresh(fed.state.version) if cls is Flora else {}
    told = [name for name in fed.state.model if name not in known]
    ends = np.cumsum([fed.state.model[name].nbytes for name in told])
    assert len(data) == ends[-1] == FULL_BYTES + 4 * (6 * 8 + 5 * 8) - sum(value.nbytes for value in known.values())
    parts = zip(told, np.split(np.frombuffer(data, "<f4"), ends[:-1] // 4), strict=True)
    held = {name: part.reshape(fed.state.model[name].shape) for name, part in parts} | known
    assert_same_bits({name: held[name] for name in fed.state.model}, fed.state.model)
    fed.received([0])
    fed.train(4, [0])
    assert fake.starts[0, 4] is fed.state.model
    assert fed.model()[1].keys() == {*SHAPES, *W}


@pytest.mark.parametrize("cls", [Flora, FedEx])
def test_the_global_function_is_the_mean_of_the_clients_functions(cls):
    fed, fake = federation(Dense(bits=32), cls(rank=4), **served())
    for round_ in (1, 2):
        model = copy(fed.state.model)
        everyone(fed, round_)
        for layer in LAYERS:
            mean = 0.0
            for client in range(4):
                change = fake.changes[client, round_]
                held = {name: value + change.get(name, 0) for name, value in model.items()}
                mean = mean + EXAMPLES[client] / 100 * function(held, layer)
                base = fed.model()[1]
            if round_ == 1 and cls is Flora:  # the fake's first B is not 0, as that of a run is
                mean = mean - function(model, layer)
            np.testing.assert_allclose(function(base, layer), mean, rtol=0, atol=1e-6 * max(1, np.abs(mean).max()))


@pytest.mark.parametrize("method", [Flora(rank=4), FlexLora(rank=4)], ids=lambda m: m.kind)
def test_of_factors_that_are_made_anew_nothing_waits(method):
    more = served() if method.kind == "flora" else {}
    fed, fake = federation(Dense(bits=32), method, **more)
    fed.train(1, [0, 1])
    fed.lost(0)
    waits = fed.state.residual[0]
    assert not any(waits[name].any() for pair in LAYOUT.pairs for name in pair)
    np.testing.assert_array_equal(waits["head.weight"], fake.changes[0, 1]["head.weight"])


@pytest.mark.parametrize("codec", [Components(bits=32, error_feedback=1.0), TopK(error_feedback=1.0), Dense()])
def test_clients_turn_the_model_as_the_server_does(codec):
    """From the change alone, or from the whole model: both are the server's, bit for bit."""
    soft = Soft(rank=4, basis="server")
    fed, _ = federation(codec, soft)
    held = copy(fed.state.model)
    for round_ in (1, 2, 3):
        everyone(fed, round_)
        change = codec.decode(fed.downlink(range(4)).data, LAYOUT)
        held = {name: value + change[name] for name, value in held.items()}
        held = turned(held, rounded(soft.turn(held)), LAYOUT.pairs)
        assert_same_bits(held, fed.state.model)
        assert fed.diagnostics()["coherence_a"] < 64 * SINGLE


def test_turning_changes_no_function():
    """All is sent at 32 bits: each round's model adds to layers what that of as_trained does."""
    models = []
    for basis in ("as_trained", "server"):
        fed, _ = federation(Dense(bits=32), Soft(rank=4, basis=basis))
        fed.train(1, range(4))
        fed.aggregate({client: upload(fed, client)[0] for client in range(4)})
        models.append(fed.state.model)
    for layer in LAYERS:
        np.testing.assert_allclose(function(models[1], layer), function(models[0], layer), rtol=0, atol=1e-6)
    assert (models[0]["head.weight"] == models[1]["head.weight"]).all()


def test_what_waits_is_carried_into_the_basis_in_which_it_is_sent():
    """What client 0 keeps back in round 1 means in its round 4 what it meant then; a change sent late likewise."""
    fed, fake = federation(Components(bits=32, error_feedback=1.0), Soft(rank=4, basis="server"))
    fed.received(range(4))
    fed.train(1, [0, 1])
    base = copy(fed.state.model)
    fed.encode(1, fed.menu(1).points[-1])
    late = fed.state.sent[1]
    payload, _ = upload(fed, 0)
    left = copy(fed.state.residual[0])
    fed.aggregate({0: payload})
    for round_ in (2, 3):
        fed.received([2])
        fed.train(round_, [2])
        fed.aggregate({2: upload(fed, 2, 1.0)[0]})
    whole = turned_to_now(fed, base)
    plain = fed.downlink([3])
    assert len(plain.data) == FULL_BYTES  # client 3 has nothing that waits
    told = fed.downlink([0, 3])
    assert len(told.data) == FULL_BYTES + 4 * 2 * 4**2  # the way from version 0 on: T of both layers
    fed.received([0])
    fed.train(4, [0])
    carried = {name: value - fake.changes[0, 4][name] for name, value in fed.update(0).change.items()}
    for now, before in ((carried, left), (fed._arrival(1, 1.0).change, late)):
        for layer in LAYERS:
            moved = {name: value + now[name] for name, value in whole.items()}
            then = {name: value + before[name] for name, value in base.items()}
            np.testing.assert_allclose(function(moved, layer), function(then, layer), rtol=0, atol=1e-5)
    assert max(np.abs(carried["q.A"] - left["q.A"]).max(), np.abs(carried["q.B"] - left["q.B"]).max()) > 0.01
    assert fed._arrival(1, 1.0).staleness == 3
    fed.lost(1)
    fed.aggregate({0: upload(fed, 0)[0]})
    assert min(fed.state.turns) > 0 and fed.state.residual_version == {0: 3, 1: 0, 2: 2}


def turned_to_now(fed, model):
    return fed._turns.carried(model, 0, fed.state.version)


class Coarse(TopK):
    """Top-k that rounds to sixteenths, and tells what it kept."""

    def decode(self, data, layout):
        return {name: np.round(value * 16) / np.float32(16) for name, value in super().decode(data, layout).items()}

    def kept(self, data, layout):
        return {name: value != 0 for name, value in super().decode(data, layout).items()}


class Whole(Coarse):
    """The same, without a mask that would tell."""

    def kept(self, data, layout):
        return None


def test_what_is_left_out_and_what_is_rounded_are_told_apart():
    fed, fake = federation(Coarse(bits=32))
    model = copy(fed.state.model)
    fed.train(1, [1, 3])
    payloads = {client: upload(fed, client, 0.5) for client in (1, 3)}
    e_sp = e_q = e_score = 0.0
    for client, share in ((1, 3 / 7), (3, 4 / 7)):
        masks = fed.codec.kept(payloads[client][0].data, LAYOUT)
        sent, change = payloads[client][1], fake.changes[client, 1]
        for a, b in LAYOUT.pairs:
            full, kept, got = (
                [(model[n].astype(float) + x) for n, x in ((a, xa), (b, xb))]
                for xa, xb in (
                    (change[a], change[b]),
                    (change[a] * masks[a], change[b] * masks[b]),
                    (sent[a], sent[b]),
                )
            )
            e_sp += share * np.sum((full[1] @ full[0] - kept[1] @ kept[0]) ** 2)
            e_q += share * np.sum((kept[1] @ kept[0] - got[1] @ got[0]) ** 2)
            each = [np.outer(full[1][:, i], full[0][i]) - np.outer(kept[1][:, i], kept[0][i]) for i in range(4)]
            e_score += share * sum(np.sum(x**2) for x in each)
    fed.aggregate({client: payload for client, (payload, _) in payloads.items()})
    found = fed.diagnostics()
    assert found["e_sp"] == pytest.approx(e_sp, rel=100 * SINGLE) and found["e_q"] == pytest.approx(e_q, rel=1e-4)
    assert found["e_sp_score"] == pytest.approx(e_score, rel=100 * SINGLE) and e_q > 0 < e_sp


def test_without_a_mask_all_counts_as_left_out():
    fed, _ = federation(Whole(bits=32))
    everyone(fed, 1, 0.5)
    found = fed.diagnostics()
    assert found["e_sp_score"] is None and found["e_q"] == 0.0 < found["e_sp"], "values of 32 bits are not rounded"


def test_by_score_a_component_that_is_dropped_counts_as_its_change():
    random = np.random.default_rng(0)
    a, b, new_a, new_b = (random.standard_normal(shape) for shape in ((3, 7), (5, 3), (3, 7), (5, 3)))
    d = lowrank.component_changes(a, b, new_a, new_b)
    kept_a, kept_b = new_a.copy(), new_b.copy()
    kept_a[1], kept_b[:, 1] = a[1], b[:, 1]  # the receiver keeps the old pair
    assert np.sum(lowrank.component_changes(kept_a, kept_b, new_a, new_b) ** 2) == pytest.approx(d[1] ** 2, rel=1e-12)


def test_an_update_has_the_key_of_its_client_and_round():
    fed, _ = federation(Dense())
    fed.train(5, [2])
    assert fed.update(2).key == update_key(2, 5)


@pytest.mark.parametrize("method", [Flora(rank=4), FedEx(rank=4), FlexLora(rank=4)], ids=lambda m: m.kind)
def test_who_merges_products_has_no_gap_of_separate_averaging(method):
    fed, _ = federation(Dense(), method, **({} if method.kind == "flexlora" else served()))
    everyone(fed, 1)
    assert fed.diagnostics()["e_cov"] is None and fed.diagnostics()["e_sp"] is not None
