"""Training in two halves: the same as in one, whatever the model and the cut; what is sent, kept and measured."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from channels.streams import Stream
from wfl_sim import cellrecord
from wfl_sim.codecs import base, values
from wfl_sim.codecs.base import update_key
from wfl_sim.codecs.dense import Dense
from wfl_sim.engine import run_cell
from wfl_sim.errors import Diverged, MissingResource
from wfl_sim.federation import Federation
from wfl_sim.learning import activations
from wfl_sim.learning.activations import Activations
from wfl_sim.learning.livebytes import peak_bytes
from wfl_sim.learning.options import Local, Model
from wfl_sim.learning.splitfederation import SplitFederation
from wfl_sim.learning.splitlocal import SplitHere
from wfl_sim.learning.training import rows_of
from wfl_sim.methods.base import Adapter
from wfl_sim.methods.fedavg import FedAvg
from wfl_sim.methods.split import Split
from wfl_sim.splitsizes import SplitSizes
from wfl_sim.trace import dump, read_rows

DEPTH = 3
STEP_FOR_STEP = 1e-5  # what the project promises over 20 steps; the operations are the same but for padding
ROLES = ("query", "value", "output")
STREAM = Stream.root(5).child("learning")
LOCALS = {
    "adamw": Local(steps=20, batch=4, lr=5e-3, head_lr=1e-2, weight_decay=0.01),
    "sgd": Local(steps=20, batch=4, optimizer="sgd", lr=0.3, head_lr=0.3, momentum=0.5, proximal=0.1),
}


@pytest.fixture
def halves(make_trainer, task_for, folder_of):
    """A trainer of a small model of a kind, whose executor has halves."""

    def make(kind, local=LOCALS["adamw"], **more):
        adapter = Adapter(rank=4, alpha=8.0, init="orthonormal", roles=ROLES)
        model = Model(name=folder_of(kind))
        return make_trainer(executor=SplitHere, model=model, task=task_for(kind), local=local, adapter=adapter, **more)

    return make


def split_steps(training, start, rows, cut, bits=32, key=3):
    """All steps of a client, with what is sent going through bytes."""
    pair, sent = training.begin(start, cut, 1.0), []
    for step, batch in enumerate(rows):
        up = activations.pack(training.forward(pair, batch), bits, key, step)
        gradient = training.serve(pair, activations.unpack(up, training.hidden))
        down = activations.pack_gradient(gradient, bits, key, step)
        training.backward(pair, activations.unpack_gradient(down, training.hidden, len(gradient)))
        sent.append((up, down))
    return pair.lower.trained() | pair.upper.trained(), sent


def farthest(left, right):
    assert left.keys() == right.keys()
    return max(float(np.abs(left[name] - right[name]).max()) for name in left)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "llama", "vit", "gpt2-lm", "llama-lm"])
def test_split_training_is_unsplit_training_step_for_step(halves, kind):
    for name in ("adamw", "sgd") if kind == "bert" else ("adamw",):
        local = LOCALS[name]
        trainer = halves(kind, local)
        training, start = trainer._executor.halves, trainer.initial()
        rows = rows_of(STREAM, 0, 1, np.arange(50), local)
        (whole,) = training.train([start], rows[None])
        assert farthest(whole, start) > 100 * STEP_FOR_STEP
        for cut in range(1, DEPTH):
            found, _ = split_steps(training, start, rows, cut)
            assert farthest(found, whole) < STEP_FOR_STEP, (kind, name, cut)
        assert trainer.evaluate(whole) == trainer.evaluate(whole)  # no half is left switched on
        (again,) = training.train([start], rows[None])
        assert farthest(again, whole) == 0.0


def test_the_client_has_the_layers_below_the_cut_and_the_server_all_else(halves):
    training = halves("bert")._executor.halves
    for cut in (1, 2):
        lower = training.lower_names(cut)
        assert {name.split(".")[2] for name in lower} == {str(n) for n in range(cut)}
        assert len(lower) == cut * len(ROLES) * 2
        weights = training.halves.weights(cut)
        parameters = [p for n, p in training._backbone.module.named_parameters() if f"layer.{cut}" in n]
        layer = sum(p.numel() * 4 for p in parameters)
        assert weights[1] == (DEPTH - cut) * layer
        assert sum(weights) == sum(p.numel() * 4 for p in training._backbone.module.parameters())


@pytest.mark.parametrize("kind", ["bert", "vit", "llama-lm"])
def test_the_server_needs_no_inputs(halves, kind):
    """Nothing of the examples but what was sent enters its half: not even where only shapes could come from."""
    trainer = halves(kind)
    training, start = trainer._executor.halves, trainer.initial()
    pair = training.begin(start, 1, 1.0)
    sent = training.forward(pair, np.arange(4))
    other = training.begin(start, 1, 1.0)
    gradient = training.serve(other, sent)
    training._inputs["train"].values[:] = 0  # an image's bytes, a text's tokens
    again = training.serve(training.begin(start, 1, 1.0), sent)
    assert again.tobytes() == gradient.tobytes() and np.isfinite(gradient).all()


def test_a_model_whose_layers_are_shared_cannot_be_cut(halves):
    with pytest.raises(MissingResource, match="where to cut it in two is not clear"):
        halves("albert")


# -- what is sent ---------------------------------------------------------------------------------


def some_activations(tokens=(3, 5, 1), width=24, seed=0):
    random = np.random.default_rng(seed)
    states = random.normal(size=(sum(tokens), width)).astype(np.float32) * np.float32(3.0)
    return Activations(2, np.array(tokens), np.array([4, 0, 9]), states)


@pytest.mark.parametrize(("bits", "error"), [(32, 0.0), (16, 2.0**-11), (8, 2.0 / 127)])
def test_activations_come_back_and_take_the_bytes_that_were_promised(bits, error):
    sent = some_activations()
    data = activations.pack(sent, bits, key=5, step=1)
    got = activations.unpack(data, 24)
    assert (got.cut, got.lengths.tolist(), got.labels.tolist()) == (2, [3, 5, 1], [4, 0, 9])
    largest = np.abs(sent.states).max(axis=1, keepdims=True)  # of a token, which has a scale of its own
    assert (np.abs(got.states - sent.states) <= error * largest).all()
    assert len(data) == activations.most_bytes(3, 9, 24, bits, 3)
    back = activations.unpack_gradient(activations.pack_gradient(sent.states, bits, 5, 1), 24, 9)
    assert (np.abs(back - sent.states) <= error * largest).all()
    assert activations.pack(sent, bits, 5, 1) == data
    assert (activations.pack(sent, bits, 5, 2) == data) == (bits != 8)  # of 8 bits each step has its own draws


def test_eight_bits_are_unbiased():
    """Mean of 400 roundings of 216 values: a standard error of at most step / 2 / 20, here below 5 of them."""
    sent = some_activations()
    means = np.mean([activations.unpack(activations.pack(sent, 8, key, 0), 24).states for key in range(400)], axis=0)
    step = np.abs(sent.states).max(axis=1, keepdims=True) / 127 * 1.01
    assert (np.abs(means - sent.states) < 5 * step / 2 / 20).all()


@pytest.mark.parametrize("data", [b"", b"\x20", b"\x07" * 40, activations.pack(some_activations(), 16, 1, 0)[:-1]])
def test_other_bytes_are_refused(data):
    with pytest.raises(ValueError, match=r"activations|ends"):
        activations.unpack(data, 24)


def test_what_is_not_finite_cannot_be_sent():
    sent = some_activations()
    sent.states[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        activations.pack(sent, 16, 1, 0)


@pytest.mark.parametrize("kind", ["bert", "llama-lm", "vit"])
def test_padding_is_not_sent(halves, kind):
    trainer = halves(kind)
    training, start = trainer._executor.halves, trainer.initial()
    rows = rows_of(STREAM, 0, 1, np.arange(50), LOCALS["adamw"])[:3]
    lengths = training._inputs["train"].lengths
    for step, (up, down) in enumerate(split_steps(training, start, rows, 1, bits=8)[1]):
        tokens = 5 * 4 if lengths is None else int(lengths[rows[step]].sum())  # 4 patches and the class token
        labels = tokens if kind.endswith("lm") else 4
        assert len(up) == activations.most_bytes(4, tokens, 32, 8, labels)
        assert len(down) == 1 + tokens * 32 + 2 * tokens


@pytest.mark.parametrize(("bits", "near"), [(16, 0.02), (8, 0.3)])
def test_fewer_bits_train_nearly_alike(halves, bits, near):
    """Of the way that 5 steps of sgd go: halves err by 2^-11 of a value, 8 bits by a few thousandths of a vector."""
    local = Local(steps=5, batch=4, optimizer="sgd", lr=0.3, head_lr=0.3)
    trainer = halves("bert", local)
    training, start = trainer._executor.halves, trainer.initial()
    rows = rows_of(STREAM, 0, 1, np.arange(50), local)
    (whole,) = training.train([start], rows[None])
    found, _ = split_steps(training, start, rows, 1, bits)
    moved = math.sqrt(sum(float(((whole[n] - start[n]) ** 2).sum()) for n in whole))
    off = math.sqrt(sum(float(((whole[n] - found[n]) ** 2).sum()) for n in whole))
    assert 0 < off < near * moved


# -- the federation ---------------------------------------------------------------------------------

CUTS = [1, 2, 1, 2]
QUICK = Local(steps=2, batch=4, lr=5e-3, head_lr=1e-2)
METHOD = Split(rank=4, alpha=8, adapt=ROLES)


@pytest.fixture
def federations(halves):
    """Split training with its cuts, and FedAvg of the same adapters, both on one model."""

    def make(codec, drops=False):
        parts = [np.arange(0, 20), np.arange(20, 80), np.arange(80, 120), np.arange(120, 123)]
        trainer = halves("bert", QUICK, parts=parts)
        sizes = SplitSizes.of(_Scenario(trainer, codec))
        split = SplitFederation(
            METHOD, codec, trainer._executor.halves, trainer.initial(), trainer.layout, sizes, CUTS,
            list(map(len, parts)), lambda client, round_: rows_of(STREAM, client, round_, parts[client], QUICK),
            lambda round_: 1.0, trainer.evaluate, drops,
        )  # fmt: skip
        return split, Federation(FedAvg(rank=4, alpha=8, adapt=ROLES), codec, trainer, 4)

    return make


class _Scenario:
    """As much of a scenario as sizes are worked out from."""

    def __init__(self, trainer, codec):
        self.learning, self.method, self.codec = self, METHOD, codec
        self.local, self.data = QUICK, self
        self.name, self.max_tokens = "builtin:wordnet10", 8
        self._folder = Path(trainer._executor.halves._setup.model.name)

    @property
    def model(self):
        return Model(name=str(self._folder))


def played(split, round_, clients, coding=-1, adapters=None):
    """A round in which all arrives; the bytes that each client sent up."""
    split.downlink(clients)
    split.received(clients)
    split.train(round_, clients)
    up = dict.fromkeys(clients, 0)
    for _ in range(split.steps):
        for client in clients:
            point = split.menu(client).points[coding]
            up[client] += split.forward(client, point).bits
            split.serve(client)
            split.backward(client)
    payloads = {client: split.encode(client, split.menu(client).points[coding]) for client in clients}
    split.aggregate(payloads if adapters is None else {c: payloads[c] for c in adapters})
    return {client: bits + payloads[client].bits for client, bits in up.items()}


@pytest.mark.parametrize("bits", [32, 16])
def test_adapters_joined_and_averaged_are_fedavg_of_the_whole_ones(federations, bits):
    split, whole = federations(Dense(bits=bits))
    for round_ in (1, 2, 3):
        clients = (0, 1, 2, 3) if round_ < 3 else (1, 2)
        played(split, round_, clients)
        whole.downlink(clients)
        whole.received(clients)
        whole.train(round_, clients)
        whole.aggregate({client: whole.encode(client, whole.menu(client).points[-1]) for client in clients})
        # At 16 bits FedAvg rounds what goes up of the upper layers too, which here never travels.
        wanted = STEP_FOR_STEP if bits == 32 else 1e-3
        assert farthest(split.model()[1], whole.model()[1]) < wanted
        assert split.version == whole.model()[0] == round_
    mine, other = split.evaluate(), whole.evaluate()
    assert mine["loss"] == pytest.approx(other["loss"], rel=STEP_FOR_STEP if bits == 32 else 1e-2)


def test_what_goes_up_is_no_more_than_the_menu_says(federations):
    split, _ = federations(Dense(bits=16))
    for round_, coding in enumerate((0, 1, 2), start=1):
        sent = played(split, round_, (0, 1, 2, 3), coding)
        for client, bits in sent.items():
            most = split.menu(client).points[coding].bits
            # texts are shorter than 8 tokens here and there, and client 3 has batches of 3
            assert (0.5 if client == 3 else 0.75) * most < bits <= most
    kept = [point.kept_fraction for point in split.menu(0).points]
    assert kept == [0.25, 0.5, 1.0] and split.menu(0) is split.menu(2) is not split.menu(1)
    part = split.parts(1)
    assert sum(part) == pytest.approx(1.0) and part.forward > split.parts(0).forward > 0 < split.parts(0).backward


def test_what_goes_down_is_what_lies_below_the_highest_cut(federations):
    split, _ = federations(Dense(bits=16))
    layer = len(ROLES) * 2 * 4 * 32  # values of a layer: A and B, rank 4, all 32 wide
    assert [split.downlink([client]).bits for client in (0, 1)] == [32 * layer, 32 * 2 * layer]
    assert split.downlink([0, 1, 2]).bits == 32 * 2 * layer
    played(split, 1, (0, 1, 2))
    # a change, with one exponent for each array and one byte before all; and all of it for who has nothing yet
    assert split.downlink([0]).bits == 8 + 16 * layer + 8 * len(ROLES) * 2
    assert split.downlink([3]).bits == 32 * 2 * layer
    # a step's 4 examples of 8 tokens: halves take 16 bits a value less, and a byte more for their exponent
    less = split.menu(0).points[-1].bits - split.menu(0).points[-2].bits
    assert less == QUICK.steps * (16 * 4 * 8 * 32 - 8)


def test_what_is_missed_or_lost_leaves_the_rest_as_it_would_be(federations):
    split, _ = federations(Dense(bits=32))
    point = split.menu(0).points[-1]
    split.train(1, (0, 1))
    split.forward(0, point)
    split.missed(0)  # its activations: neither half has moved
    pair = split._sessions[0].pair
    assert farthest(pair.lower.trained() | pair.upper.trained(), split.current) == 0.0
    split.forward(0, point)
    split.serve(0)
    split.missed(0)  # the gradient: the server's has
    assert farthest(pair.lower.trained(), {n: split.current[n] for n in pair.lower.tensors}) == 0.0
    assert farthest(pair.upper.trained(), {n: split.current[n] for n in pair.upper.tensors}) > 0
    before = split.current
    payload = split.encode(0, point)
    split.stopped(1)
    split.aggregate({0: payload})
    assert farthest({n: split.current[n] for n in pair.lower.tensors}, {n: before[n] for n in pair.lower.tensors}) == 0
    assert split.version == 1 and not split._sessions
    split.aggregate({})
    assert split.version == 1


@pytest.mark.parametrize("drops", [False, True])
def test_a_client_that_diverges_ends_the_run_or_sends_nothing(federations, drops):
    split, _ = federations(Dense(), drops)
    point, sound = split.menu(2).points[0], split.current
    for name, then in (("encoder.layer.0.attention.self.value.A", split.forward), ("head.weight", split.serve)):
        split.current = {**sound, name: sound[name] * np.float32(np.nan)}
        split.train(4, (2,))
        how = (2, point) if then == split.forward else (2,)
        if then == split.serve:
            assert split.forward(2, point) is not None
        if drops:
            assert then(*how) is None and not split._sessions
        else:
            with pytest.raises(Diverged, match="round 4: the training of client 2 diverged"):
                then(*how)


# -- memory ---------------------------------------------------------------------------------------


def test_the_peak_of_live_tensors_is_counted():
    kept = torch.zeros(1000)

    def compute():
        a = kept + 1  # 4000 bytes
        b = (a * 2).view(10, 100)  # 4000 more; a view takes nothing
        del a
        b += 1.0
        c = torch.ones(500)  # 2000, beside b
        return b.sum() + c.sum()

    # b and c, c's sum and b's, and the sum of both: 4 bytes each
    assert peak_bytes(compute, "cpu") == 8000
    assert peak_bytes(lambda: torch.ones(3000).sum(), "cpu") == 12004


def test_memory_is_measured_and_near_what_is_computed(federations):
    split, _ = federations(Dense())
    measured = split.measured()["split_memory"]
    assert sorted(measured["client_bytes_by_cut"]) == ["1", "2"]
    for cut in ("1", "2"):
        assert measured["client_bytes_computed"][cut] == pytest.approx(measured["client_bytes_by_cut"][cut], rel=0.25)
    assert measured["server_bytes_computed"] == pytest.approx(measured["server_bytes"], rel=0.25)
    assert measured["server_each_bytes_computed"] == pytest.approx(measured["server_each_bytes"], rel=0.35)


# -- runs -----------------------------------------------------------------------------------------

RUN = """\
method: {kind: split, rank: 2, cut: 1, codings: [int8, fp16]}
protocol: {kind: split}
"""


def cells(small_run, *overrides):
    return small_run(RUN, "rounds=3", *overrides).cells[0]


def test_a_run_tells_memory_bits_and_cuts(small_run, tmp_path):
    manifest = run_cell(cells(small_run, "schedule={kind: equal, kept_fraction: 0.25}"), 0, tmp_path)
    assert manifest["status"] == "finished" and manifest["data"]["cuts"] == [1, 1, 1]
    assert manifest["measured"]["split_memory"]["server_bytes"] > 0
    rows, sent = (read_rows(tmp_path / "trace.sqlite", table) for table in ("rounds", "transmissions"))
    computed = manifest["measured"]["split_memory"]
    assert [row["server_memory_bytes"] for row in rows] == [computed["server_bytes_computed"]] * 3
    assert rows[0]["client_memory_bytes"] == computed["client_bytes_computed"]["1"]
    assert len([t for t in sent if t["direction"] == "up"]) == 3 * 3 * (2 + 1)  # rounds, clients, steps and adapters
    assert all(row["accuracy"] is not None and row["delivered"] == 3 for row in rows)
    assert {t["kept_fraction"] for t in sent if t["direction"] == "up"} == {0.25}


def test_clients_hold_what_they_hold_in_federated_training(small_run, tmp_path):
    split = run_cell(cells(small_run, "rounds=1"), 0, tmp_path / "split")["data"]
    other = cells(small_run, "rounds=1", "method={kind: fedavg, rank: 2}", "protocol={kind: sync}")
    plain = run_cell(other, 0, tmp_path / "plain")["data"]
    assert {name: value for name, value in split.items() if name != "cuts"} == plain
    assert plain["examples_per_client"] == [sum(row) for row in plain["holdings"]["counts"]]


def test_a_schedule_chooses_codings_as_it_chooses_kept_fractions(small_run, tmp_path):
    tsfa = "schedule={kind: tsfa, latency_budget: 0.12 s, v: 1, queue_start: 1, kept_fraction_min: 0.25}"
    cell = cells(small_run, tsfa, "method.codings=[int8, fp16, fp32]", "rounds=5", "protocol.order=exact")
    run_cell(cell, 0, tmp_path)
    rows, decided = (read_rows(tmp_path / "trace.sqlite", table) for table in ("rounds", "decisions"))
    kept = {(d["round"], d["client"]): d["kept_fraction"] for d in decided if d["action"] == "send"}
    assert len(set(kept.values())) > 1, [row["t_end_s"] for row in rows]
    assert set(kept.values()) <= {0.25, 0.5, 1.0}
    sent = [t for t in read_rows(tmp_path / "trace.sqlite", "transmissions") if t["step"] is not None]
    ups = [t for t in sent if t["direction"] == "up"]
    assert ups and all(t["kept_fraction"] == kept[t["round"], t["client"]] for t in sent)
    total = dict.fromkeys(kept, 0)
    for t in read_rows(tmp_path / "trace.sqlite", "transmissions"):
        if t["direction"] == "up":
            total[t["round"], t["client"]] += t["payload_bits"]
    menu_bits = {(d["round"], d["client"]): d["menu_bits"] for d in decided}
    assert all(0 < bits <= menu_bits[key] for key, bits in total.items())
    assert any(row["queue"] > 0 for row in rows)


@pytest.mark.parametrize("rests", [True, False])
def test_a_run_that_was_interrupted_goes_on_as_if_it_had_not_been(small_run, tmp_path, monkeypatch, rests):
    monkeypatch.setattr(cellrecord, "REST_S", 0.0 if rests else math.inf)
    monkeypatch.setattr(cellrecord, "REST_SHARE", math.inf)
    loss = "channel.loss={kind: independent, probability: 30 %, origin: interference}"
    cell = cells(small_run, loss, "radio.retransmission={kind: arq, attempts: 2}", "protocol.cohort=2", "rounds=4")

    def interrupt(row):
        if row["round"] in (1, 3):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_cell(cell, 0, tmp_path / "run", report=interrupt if rests else _after(3))
        if not rests:
            break
    run_cell(cell, 0, tmp_path / "run")
    run_cell(cell, 0, tmp_path / "whole")
    assert dump(tmp_path / "run" / "trace.sqlite") == dump(tmp_path / "whole" / "trace.sqlite")
    model = "model.safetensors"
    assert (tmp_path / "run" / model).read_bytes() == (tmp_path / "whole" / model).read_bytes()
    outcomes = {t["outcome"] for t in read_rows(tmp_path / "whole" / "trace.sqlite", "transmissions")}
    assert outcomes & {"dropped", "partial"}  # else no step would have been missed


def _after(number):
    def interrupt(row):
        if row["round"] == number:
            raise KeyboardInterrupt

    return interrupt


def test_keys_of_steps_are_those_of_updates():
    """Draws of activations lie behind those of codecs: none is used twice."""
    key = update_key(2, 7)
    purposes = [activations._PURPOSE + n for n in range(6)]
    purposes += [base.PLAIN, base.ADAPTERS, base.CHOICE, base.COMMON_CHOICE]
    draws = {values.draws(key, purpose).random() for purpose in purposes}
    assert len(draws) == len(purposes)
