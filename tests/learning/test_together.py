"""Clients trained side by side: the same weights as one after the other, and nothing of one in another."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import numpy as np
import pytest
import torch

from wfl_sim.errors import MissingResource, RunFailed
from wfl_sim.learning import training
from wfl_sim.learning.heads import Score
from wfl_sim.learning.local import LocalTraining, Setup
from wfl_sim.learning.options import Local, Model
from wfl_sim.learning.workers import Here, Workers
from wfl_sim.methods.base import WEIGHTS, Adapter, Lesson
from wfl_sim.methods.soft import Soft
from wfl_sim.methods.tensortrain import TensorTrain

# Sums of float32 in another order, through two layers and some steps; AdamW divides by the gradient's size, so that it
# hands on roundings of vanishing gradients as shares of its rate, which is 1e-3 here.
TOGETHER = 5e-6
RATES = {"lr": 1e-3, "head_lr": 3e-3}
CLIENTS = range(5)

soft = Soft(orthogonality=0.1)
VARIANTS = {
    "lora": {},
    "soft": {"regulariser": soft.regulariser(), "adapter": soft.adapter()},
    "ffa": {"adapter": Adapter(8, 16, "orthonormal", freeze_a=True)},
    "head_only": {"adapter": None},
    "all_roles": {"adapter": Adapter(4, 8, "kaiming", roles=("query", "key", "value", "output", "up", "down"))},
    "tensor_train": {"adapter": TensorTrain(rank=3, bottleneck=16)},
    "tensor_train_all": {"adapter": TensorTrain(rank=3, bottleneck=16, norms=True, hidden_layer=True)},
    "proximal": {"local": Local(steps=3, batch=8, proximal=0.5, **RATES)},
    "clipped": {"local": Local(steps=3, batch=8, clip_norm=0.05, **RATES)},
    "decayed": {"local": Local(steps=3, batch=8, weight_decay=0.1, **RATES)},
    "sgd": {"local": Local(steps=3, batch=8, optimizer="sgd", lr=0.1, head_lr=0.5, momentum=0.9)},
}


@pytest.fixture
def parts():
    """Five clients; the fourth has fewer texts than a batch, and the fifth as few as that."""
    return [np.arange(i * 45, (i + 1) * 45) for i in range(3)] + [np.arange(135, 141), np.arange(150, 156)]


def together(monkeypatch, most):
    monkeypatch.setattr(training, "MOST_TOGETHER", most)


def results(trainer, starts, round_=1):
    return {client: wait() for client, wait in trainer.train(starts, round_).items()}


def moved(params, by):
    """Other parameters in the neighbourhood, so that no gradient vanishes."""
    random = np.random.default_rng(by)
    return {n: v + (0.02 * random.standard_normal(v.shape)).astype(np.float32) for n, v in params.items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_side_by_side_is_one_after_the_other(make_trainer, parts, monkeypatch, variant):
    options = {"local": Local(steps=3, batch=8, **RATES)} | VARIANTS[variant]
    trainer = make_trainer(parts=parts, **options)
    starts = {client: moved(trainer.initial(), client) for client in CLIENTS}  # each from a model of its own
    assert [len(group) for group in trainer._groups([*CLIENTS])] == [2, 3]  # by the size of the batch
    grouped = results(trainer, starts)
    together(monkeypatch, 1)
    assert [len(group) for group in trainer._groups([*CLIENTS])] == [1] * 5
    alone = results(trainer, starts)
    for client in CLIENTS:
        assert grouped[client].keys() == alone[client].keys() == trainer.layout.shapes.keys()
        for name, value in alone[client].items():
            np.testing.assert_allclose(grouped[client][name], value, rtol=0, atol=TOGETHER)
            assert np.abs(value - starts[client][name]).max() > 10 * TOGETHER  # it has learnt something


def test_one_clients_diverging_leaves_the_others_as_they_were(make_trainer, parts):
    trainer = make_trainer(parts=parts[:3])
    start = moved(trainer.initial(), 0)
    wanted = results(trainer, dict.fromkeys(range(3), start))
    broken = {name: np.full_like(value, np.nan) for name, value in start.items()}
    found = results(trainer, {0: start, 1: broken, 2: start})
    for client in (0, 2):
        assert all(found[client][name].tobytes() == wanted[client][name].tobytes() for name in start)
    assert not any(np.isfinite(value).any() for value in found[1].values())


def test_groups_follow_from_the_clients_asked_for_and_their_batches_alone(make_trainer, parts, monkeypatch):
    trainer = make_trainer(parts=parts)
    groups = trainer._groups([0, 1, 2, 3, 4])
    assert sorted(client for group in groups for client in group) == [0, 1, 2, 3, 4]
    assert trainer._groups([0, 1, 2, 3, 4]) == groups
    monkeypatch.setattr(training, "CHUNK_TOKENS", 2 * 8 * 8)  # two clients of eight texts of eight tokens
    assert sorted(map(len, trainer._groups([0, 1, 2, 3, 4]))) == [1, 2, 2]
    monkeypatch.setattr(training, "ALONE_TOKENS", 8 * 8 - 1)  # a client with eight texts is enough for a step
    assert sorted(map(len, trainer._groups([0, 1, 2, 3, 4]))) == [1, 1, 1, 2]


def test_each_clients_gradient_is_clipped_by_its_own_norm(make_trainer, parts):
    """One step of plain descent is lr g: at rate 1 its norm over all tensors is that of the clipped gradient."""
    most = 0.05
    rates = {"optimizer": "sgd", "lr": 1.0, "head_lr": 1.0}
    free = make_trainer(parts=parts, local=Local(steps=1, batch=8, **rates))
    clipped = make_trainer(parts=parts, local=Local(steps=1, batch=8, clip_norm=most, **rates))
    start = moved(free.initial(), 0)
    one, other = (results(t, dict.fromkeys(range(3), start)) for t in (free, clipped))
    for client in range(3):
        steps = [np.concatenate([(x[client][n] - start[n]).ravel() for n in start]) for x in (one, other)]
        length = np.linalg.norm(steps[0].astype(float))
        assert length > 2 * most
        assert np.linalg.norm(steps[1].astype(float)) == pytest.approx(most, rel=1e-3)  # its 1e-6, and float32
        np.testing.assert_allclose(steps[1], steps[0] * (most / length), atol=1e-6)


def test_the_proximal_term_pulls_back_to_the_start_of_the_round(make_trainer, parts):
    """Descent of rate h on f + mu/2 |w - w0|^2: the second step is h (g + mu (w1 - w0)), w1 that of the first."""
    rates = {"optimizer": "sgd", "lr": 0.5, "head_lr": 0.5, "batch": 45}  # all of a client's texts: one gradient
    mu, h = 0.8, 0.5
    start = moved(make_trainer().initial(), 0)

    def after(steps, proximal):
        return make_trainer(parts=parts[:1], local=Local(steps=steps, proximal=proximal, **rates)).train({0: start}, 1)[
            0
        ]()

    first, plain, pulled = after(1, 0.0), after(2, 0.0), after(2, mu)
    assert all(first[n].tobytes() == value.tobytes() for n, value in after(1, mu).items())  # no pull at the start
    for name in start:
        np.testing.assert_allclose(pulled[name], plain[name] - h * mu * (first[name] - start[name]), atol=2e-6)


def test_a_frozen_is_the_same_for_all_and_b_trains_as_if_a_stood_still(make_trainer, trainer_of_b):
    ffa, full = trainer_of_b, make_trainer()
    assert ffa.layout.pairs == ()
    assert [name for name in ffa.layout.plain if name.startswith("head.")] == ["head.weight", "head.bias"]
    assert all(name.endswith(".B") for name in ffa.layout.plain if not name.startswith("head."))
    start = full.initial()  # the same first A, drawn alike
    own = {name: start[name] for name in ffa.layout.shapes}
    assert ffa.evaluate(own) == full.evaluate(start)
    # One step: with B = 0 A has no gradient, so that both train alike.
    first = results(ffa, {0: own})[0]
    wanted = results(make_trainer(local=Local(steps=1, batch=8)), {0: start})[0]
    assert all(np.array_equal(first[name], wanted[name]) for name in first)


@pytest.fixture
def trainer_of_b(make_trainer):
    return make_trainer(adapter=Adapter(8, 16, "orthonormal", freeze_a=True), local=Local(steps=1, batch=8))


def test_adapters_agree_with_peft(task):
    """The same factors in peft's own layers: losses, and gradients of A and B."""
    from peft import LoraConfig, get_peft_model

    adapter = Adapter(4, 10, "kaiming", roles=("query", "value"))
    own = LocalTraining(Setup(model_of_two(), adapter, task, 8, Local()))
    random = np.random.default_rng(0)
    values = {n: (0.05 * random.standard_normal((1, *s))).astype(np.float32) for n, s in own.layout.shapes.items()}
    tensors = {name: torch.from_numpy(value).requires_grad_() for name, value in values.items()}
    rows = np.arange(12)
    batch = own._inputs["train"].batch(torch.from_numpy(rows))
    own._loss(batch, rows, tensors).sum().backward()

    other = LocalTraining(Setup(model_of_two(), None, task, 8, Local()))
    config = LoraConfig(r=4, lora_alpha=10, target_modules=["query", "value"], lora_dropout=0.0)
    model = get_peft_model(other._backbone.module, config).eval()
    backbone = replace(other._backbone, module=model)
    layers = dict(model.named_modules())
    head = {name: tensors[name].detach() for name in ("head.weight", "head.bias")}
    for a, b in own.layout.pairs:
        layer = layers["base_model.model." + a.removesuffix(".A")]
        layer.lora_A["default"].weight.data = tensors[a].detach()[0].clone()
        layer.lora_B["default"].weight.data = tensors[b].detach()[0].clone()
    loss = other.head.loss(backbone.states(batch), batch, head)
    loss.sum().backward()
    assert own._loss(batch, rows, tensors).item() == pytest.approx(loss.item(), abs=1e-6)
    for a, b in own.layout.pairs:
        layer = layers["base_model.model." + a.removesuffix(".A")]
        for name, wanted in ((a, layer.lora_A), (b, layer.lora_B)):
            np.testing.assert_allclose(tensors[name].grad[0], wanted["default"].weight.grad, rtol=1e-4, atol=1e-6)


def model_of_two():
    from wfl_sim.learning.options import Model

    return Model(layers=2)


def test_bf16_is_near_and_trains_in_full_precision(make_trainer):
    full, half = make_trainer(), make_trainer(precision="bf16")
    start = moved(full.initial(), 0)
    one, other = full.evaluate(start), half.evaluate(start)
    assert one["loss"] != other["loss"] == pytest.approx(one["loss"], rel=0.02)  # 8 bits a product, averaged
    local = half._executor._local  # what comes after the model is in full precision, in training and in evaluation
    seen = []
    local.head.score = lambda states, batch, tensors: seen.append((states @ states.mT).dtype) or Score(1.0, 1.0, 1.0)
    half.evaluate(start)
    assert set(seen) == {torch.float32}
    after = half.train({0: start}, 1)[0]()
    assert all(value.dtype == np.float32 for value in after.values())
    assert all(np.abs(after[n] - value).max() < 0.25 for n, value in results(full, {0: start})[0].items())


@pytest.mark.slow
def test_workers_give_the_same_bits(make_trainer, parts, monkeypatch):
    adapter = Adapter(8, 16, "orthonormal", freeze_a=True)  # so that A has to come along
    monkeypatch.setattr(training, "CHUNK_TOKENS", 2 * 8 * 8)  # several groups, for several workers
    here = make_trainer(parts=parts, adapter=adapter)
    there = make_trainer(parts=parts, adapter=adapter, executor=lambda setup: Workers(setup, 2))
    try:
        start = here.initial()
        assert all(np.array_equal(value, start[name]) for name, value in there.initial().items())
        assert there.layout == here.layout and there.step_flop() == here.step_flop()
        wanted, pending = results(here, dict.fromkeys(CLIENTS, start)), there.train(dict.fromkeys(CLIENTS, start), 1)
        for client in (3, 0, 4, 2, 1):  # in whatever order they are asked for
            assert all(pending[client]()[n].tobytes() == value.tobytes() for n, value in wanted[client].items())
        assert there.evaluate(wanted[0]) == here.evaluate(wanted[0])
    finally:
        there.close()


@pytest.mark.slow
def test_workers_train_on_the_same_backbone(make_trainer, folder_of):
    """All weights, then adapters on weights that are closed: bits as without workers."""
    adapter, model = replace(Adapter(4, 8, "orthonormal"), whole=True), Model(name=folder_of("bert"), layers=2)
    here, there = (
        make_trainer(adapter=adapter, model=model, executor=executor)
        for executor in (Here, lambda setup: Workers(setup, 2))
    )
    try:
        start = here.initial()
        weights = frozenset(name for name in start if name.startswith((WEIGHTS, "head.")))
        for opened in (weights, frozenset(start) - weights):
            lessons = dict.fromkeys((0, 1), Lesson(opened, 0.1))
            both = [learner.train({0: start, 1: start}, 1, lessons) for learner in (there, here)]
            one, other = ({client: wait() for client, wait in each.items()} for each in both)
            assert all(one[c][name].tobytes() == other[c][name].tobytes() for c in one for name in opened)
            start = start | other[0]
            assert there.evaluate(start) == here.evaluate(start)
    finally:
        there.close()


def test_what_nobody_asks_for_is_not_trained(make_trainer, monkeypatch):
    trained = []
    original = LocalTraining.train
    monkeypatch.setattr(LocalTraining, "train", lambda self, *asked: trained.append(1) or original(self, *asked))
    trainer = make_trainer()
    pending = trainer.train({0: trainer.initial(), 1: trainer.initial()}, 1)
    assert trained == []
    pending[0]()
    pending[1]()
    pending[0]()
    assert trained == [1]
    assert isinstance(trainer._executor, Here)


def test_a_worker_that_died_is_told_whenever_it_did(task, monkeypatch):
    """Also where nothing was asked of it when it died: then the pool itself refuses more work."""
    workers = Workers(Setup(Model(layers=1), None, task, 8, Local()), 1)
    workers.close()

    def broken(*arguments):
        raise BrokenProcessPool("a process ended abruptly")

    monkeypatch.setattr(workers._pool, "submit", broken)
    with pytest.raises(RunFailed, match="a training worker died"):
        workers.describe()
    with pytest.raises(RunFailed, match="a training worker died"):
        workers.train([], np.zeros((0, 0, 1), dtype=np.int64))


@pytest.mark.slow
def test_a_worker_that_cannot_start_says_why(task):
    """The same error as without workers, not that a process died."""
    workers = Workers(Setup(Model(layers=99), None, task, 8, Local()), 1)
    try:
        with pytest.raises(MissingResource, match="has 6 layers, 99 are asked for"):
            workers.describe()
    finally:
        workers.close()
