"""Lessons: what is closed stays and counts, ranks may differ, and all weights of a backbone can be trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from wfl_sim.learning import models
from wfl_sim.learning.options import Local, Model
from wfl_sim.learning.whole import Whole
from wfl_sim.methods.base import WEIGHTS, Adapter, Lesson
from wfl_sim.methods.tensortrain import TensorTrain

TRAIN = TensorTrain(rank=3, bottleneck=16)
LORA = Adapter(rank=4, alpha=8.0, init="orthonormal")
WHOLE = replace(LORA, whole=True)
SGD = Local(steps=1, batch=4, optimizer="sgd", lr=0.5, head_lr=0.25)
# Sums of float32 in another order, through two layers.
SINGLE = 2e-6


@pytest.fixture
def tiny(folder_of, task):
    return {"model": Model(name=folder_of("bert"), layers=2), "task": task, "local": SGD}


def moved(params, seed=7):
    random = np.random.default_rng(seed)
    return {n: v + (0.05 * random.standard_normal(v.shape)).astype(np.float32) for n, v in params.items()}


def test_what_is_open_takes_the_step_that_it_takes_when_all_is_and_alone_comes_back(make_trainer, tiny):
    """SGD's step of one tensor does not depend on which others are trained: the gradient is the same."""
    trainer = make_trainer(adapter=TRAIN, **tiny)
    start = moved(trainer.initial())
    opened = frozenset(name for name in start if ".down.2" in name or ".up.0" in name or name == "head.bias")
    whole = trainer.train({0: start}, 1)[0]()
    part = trainer.train({0: start}, 1, {0: Lesson(opened)})[0]()
    assert part.keys() == opened and whole.keys() == start.keys()
    for name in opened:
        assert (part[name] != start[name]).any()
        np.testing.assert_allclose(part[name], whole[name], rtol=0, atol=SINGLE)


def test_a_lesson_may_hold_clients_nearer_to_where_they_began(make_trainer, tiny):
    local = replace(SGD, steps=4)
    trainer = make_trainer(adapter=LORA, **tiny | {"local": local})
    stated = make_trainer(adapter=LORA, **tiny | {"local": replace(local, proximal=0.8)})
    start = moved(trainer.initial())
    everything = frozenset(start)
    free, held = (trainer.train({0: start}, 1, {0: Lesson(everything, mu)})[0]() for mu in (0.0, 0.8))
    wanted = stated.train({0: start}, 1)[0]()
    assert all(np.array_equal(held[name], wanted[name]) for name in start)
    far, near = (sum(float(np.sum((x[n] - start[n]) ** 2)) for n in start) for x in (free, held))
    assert near < far


def test_clients_of_other_ranks_and_lessons_are_trained_apart(make_trainer, tiny):
    """As if each had been trained by itself, in one call."""
    trainer = make_trainer(adapter=LORA, **tiny)
    first = moved(trainer.initial())
    small = {n: v[:2] if n.endswith(".A") else v[:, :2] if n.endswith(".B") else v for n, v in first.items()}
    small = {name: np.ascontiguousarray(value) for name, value in small.items()}
    lessons = {0: Lesson(frozenset(first)), 1: Lesson(frozenset(first)), 2: Lesson(frozenset({"head.weight"}))}
    starts = {0: first, 1: small, 2: first}
    together = {client: wait() for client, wait in trainer.train(starts, 1, lessons).items()}
    for client, start in starts.items():
        alone = trainer.train({client: start}, 1, {client: lessons[client]})[client]()
        assert all(np.array_equal(together[client][name], alone[name]) for name in alone)
        assert together[client].keys() == lessons[client].opened
    assert together[1]["head.weight"].shape == first["head.weight"].shape
    assert {value.shape for name, value in together[1].items() if name.endswith(".A")} == {(2, 32)}
    assert np.isfinite(trainer.evaluate(together[1])["loss"])


def gradients(folder, task, rows):
    """Of the mean cross-entropy of a head of zeros but for one weight, with respect to all weights of a plain model."""
    backbone = models.load(Model(name=folder, layers=2), "text", "cpu")
    inputs = backbone.inputs(task.train, 8)
    weights = dict(backbone.module.named_parameters())
    for value in weights.values():
        value.requires_grad_(True)
    batch = inputs.batch(torch.from_numpy(rows))
    return backbone, weights, batch


@pytest.mark.parametrize("kind", ["bert", "distilbert", "llama"])
def test_a_step_on_all_weights_is_that_of_the_plain_model(make_trainer, tiny, folder_of, task, kind):
    tiny = tiny | {"model": Model(name=folder_of(kind), layers=2)}
    trainer = make_trainer(adapter=WHOLE, **tiny)
    start = trainer.initial()
    names = {name for name in start if name.startswith(WEIGHTS)}
    head = moved({name: start[name] for name in ("head.weight", "head.bias")})
    start |= head
    after = trainer.train({1: start}, 1, {1: Lesson(frozenset(names | set(head)))})[1]()
    assert after.keys() == names | set(head)

    backbone, weights, batch = gradients(folder_of(kind), task, trainer._rows(1, 1)[0])
    weight, bias = (torch.from_numpy(head[name].copy()).requires_grad_() for name in ("head.weight", "head.bias"))
    logits = backbone.states(batch) @ weight.T + bias
    torch.nn.functional.cross_entropy(logits, batch.labels).backward()
    assert {WEIGHTS + name for name in weights} == names
    for name, value in weights.items():
        wanted = np.zeros(value.shape) if value.grad is None else -SGD.lr * value.grad.numpy()
        np.testing.assert_allclose(after[WEIGHTS + name], wanted, rtol=0, atol=SINGLE, err_msg=name)
    assert sum(bool(after[name].any()) for name in names) >= 20
    np.testing.assert_allclose(after["head.bias"], head["head.bias"] - SGD.head_lr * bias.grad.numpy(), atol=SINGLE)


def test_changed_weights_stay_in_the_model_while_adapters_learn(make_trainer, tiny):
    """Closed, they count: in the evaluation and in training; clients with one backbone share a pass, others do not."""
    trainer, plain = (make_trainer(adapter=adapter, **tiny) for adapter in (WHOLE, LORA))
    start = trainer.initial()
    names = {name for name in start if name.startswith(WEIGHTS)}
    adapters = {name: value for name, value in start.items() if name not in names}
    assert trainer.evaluate(start) == plain.evaluate(adapters)
    assert trainer.step_flop() == plain.step_flop()
    lesson = Lesson(frozenset(adapters))
    for name, value in plain.train({0: adapters}, 1)[0]().items():
        np.testing.assert_allclose(trainer.train({0: start}, 1, {0: lesson})[0]()[name], value, rtol=0, atol=SINGLE)

    other = start | moved({name: start[name] for name in names})
    assert trainer.evaluate(other)["loss"] != trainer.evaluate(start)["loss"]
    lessons = dict.fromkeys((0, 1), lesson)
    mixed = {c: wait() for c, wait in trainer.train({0: start, 1: other}, 1, lessons).items()}
    for client, own in ((0, start), (1, other)):
        alone = trainer.train({client: own}, 1, {client: lesson})[client]()
        assert all(np.array_equal(mixed[client][name], alone[name]) for name in alone)
    assert trainer.evaluate(start) == plain.evaluate(adapters)  # nothing stays behind


def test_weights_that_nobody_trains_are_added_up_once():
    """What is trained is followed, step by step; what is closed stays, as long as it is the same memory."""
    layer = torch.nn.Linear(3, 2)
    first = layer.weight.detach().clone()
    whole, name = Whole(layer), WEIGHTS + "weight"
    whole.use({})
    assert torch.equal(layer.weight, first)
    change = np.ones((2, 3), np.float32)
    with torch.inference_mode():
        whole.use({name: torch.from_numpy(change)[None]})
    taken = layer.weight
    assert torch.equal(taken, first + 1) and not taken.is_inference()
    whole.use({name: torch.from_numpy(change)[None]})
    assert layer.weight is taken
    whole.use({name: torch.from_numpy(change.copy())[None]})
    assert layer.weight is not taken and torch.equal(layer.weight, taken)

    trained = torch.ones(1, 2, 3, requires_grad=True)
    for step in (1.0, 2.0):
        whole.use({name: trained})
        layer(torch.ones(1, 3)).sum().backward()
        assert torch.equal(layer.weight.detach(), first + step)
        with torch.no_grad():
            trained += 1
    assert torch.equal(trained.grad, torch.full((1, 2, 3), 2.0))
    whole.use({name: trained.detach()})
    assert torch.equal(layer.weight, first + 3)
    whole.use({})
    assert torch.equal(layer.weight, first)


def test_what_a_client_began_with_is_as_it_was(make_trainer, tiny):
    """Also where it is not copied: a backbone's start, and that of others who have the same one."""
    trainer = make_trainer(adapter=WHOLE, **tiny)
    start = moved(trainer.initial())
    kept = {name: value.copy() for name, value in start.items()}
    opened = frozenset(name for name in start if name.startswith((WEIGHTS, "head.")))
    lessons = dict.fromkeys((0, 1), Lesson(opened, 0.1))
    after = {c: wait() for c, wait in trainer.train({0: start, 1: start}, 1, lessons).items()}
    assert all(np.array_equal(start[name], kept[name]) for name in start)
    names = [name for name in opened if name.startswith(WEIGHTS)]
    assert any((after[0][name] != after[1][name]).any() for name in names)
    assert not any(np.shares_memory(own[name], start[name]) for own in after.values() for name in names)
