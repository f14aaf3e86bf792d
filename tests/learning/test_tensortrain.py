"""Tensor-train adapters: shapes, first values, what they compute against a rebuild of their own, and its work."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from channels.streams import Stream
from wfl_sim import learningwork, rules
from wfl_sim.checks.method import check_method
from wfl_sim.codecs.components import Components
from wfl_sim.codecs.dense import Dense
from wfl_sim.learning import layouts, sources
from wfl_sim.learning.adapters import Adapters
from wfl_sim.learning.heads import ClassHead
from wfl_sim.learning.options import Local, Model
from wfl_sim.methods.base import WEIGHTS, Adapter
from wfl_sim.methods.fedavg import FedAvg
from wfl_sim.methods.tensortrain import TensorTrain, balanced
from wfl_sim.scenario import parse
from wfl_sim.updatesizes import layout_of

DOUBLE = 1e-12  # relative to outputs of about 1: sums of some hundred products in float64
SIGMAS = 5.0
SMALL = TensorTrain(rank=3, bottleneck=16)
HEAD = {"head.bias": (2,)}


def rebuilt(values, name, outputs):
    """A matrix [inputs, outputs] from its factors, all at once."""
    factors = [values[f"{name}.{i}"].astype(float) for i in range(sum(key.startswith(name) for key in values) - 1)]
    letters = "abcdefgh"
    terms = ",".join(f"{letters[i]}{letters[i].upper()}{letters[i + 1]}" for i in range(len(factors)))
    joined = "".join(letters[i].upper() for i in range(len(factors)))
    last = letters[len(factors)]
    return np.einsum(f"{terms}->a{joined}{last}", *factors, optimize=True).reshape(-1, outputs)


@pytest.mark.parametrize(
    ("width", "modes"),
    [
        (128, (4, 4, 8, 8, 8)), (384, (6, 8, 8, 8, 8)), (576, (8, 8, 9, 8, 8)), (768, (8, 8, 12, 8, 8)),
        (4096, (16, 16, 16, 4, 4, 4)), (97, (1, 1, 97, 8, 8)),
    ],
)  # fmt: skip
def test_widths_are_taken_apart_as_stated_or_evenly(width, modes):
    wide, narrow = TensorTrain(rank=5).modes(width)
    assert wide + narrow == modes
    shapes = TensorTrain(rank=5).shapes(width, 1)
    for name, own in (("down", modes), ("up", modes[::-1])):
        found = [shapes[f"{name}.{i}"] for i in range(len(own))]
        assert [shape[1] for shape in found] == [*own]
        assert [shape[0] for shape in found] == [1, *[5] * (len(own) - 1)]
        assert [shape[2] for shape in found] == [*[5] * (len(own) - 1), 1]
    assert (shapes["down.bias"], shapes["up.bias"]) == ((64,), (width,))


@given(number=st.integers(1, 3000), count=st.integers(1, 4))
def test_balanced_factors_make_the_number_and_no_others_of_three_are_more_even(number, count):
    found = balanced(number, count)
    assert math.prod(found) == number and len(found) == count and list(found) == sorted(found)
    if count == 3:
        divisors = [f for f in range(1, number + 1) if number % f == 0]
        sums = [a + b + number // (a * b) for a in divisors for b in divisors if number % (a * b) == 0]
        assert sum(found) == min(sums)


def layers(width, blocks):
    return {f"{block}.{role}": (width, width) for block in range(blocks) for role in SMALL.roles}


def test_as_many_values_as_fedtt_counts():
    """Of arXiv:2410.13097's two settings; the larger one trains 65 norms of 4096 besides, 880,640 in all.

    The smaller one has a classifier of 768 x 768 with a bias, and an output layer of two classes: 1,538 values. Its 25
    norms have a gain and a shift of 768 each.
    """
    base = layouts.layout(TensorTrain(rank=5), layers(768, 12), {})
    assert base.size(base.adapters) == 57_408
    head = ClassHead(768, 2, rank=5).shapes
    assert [head[f"classifier.{i}"][1] for i in range(6)] == [12, 8, 8, 8, 8, 12]
    with_head = layouts.layout(TensorTrain(rank=5), layers(768, 12), head)
    assert with_head.size(with_head.everything) == 60_634 == 57_408 + 1_688 + 1_538
    norms = {f"norms.{n}.{name}": (768,) for n in range(25) for name in ("gain", "shift")}
    everything = layouts.layout(TensorTrain(rank=5), layers(768, 12), head, norms)
    assert everything.size(everything.everything) == 99_034
    large = layouts.layout(TensorTrain(rank=8), layers(4096, 32), {})
    assert large.size(large.adapters) == 614_400 == 880_640 - 65 * 4096


def test_the_layout_is_plain_tensors_before_those_of_the_head():
    found = layouts.layout(SMALL, layers(12, 1), HEAD)
    assert found.pairs == () and found.plain == tuple(found.shapes)
    assert found.plain[:2] == ("0.output.down.0", "0.output.down.1") and found.heads == found.plain[-1:]
    assert layouts.layout(None, {}, HEAD).plain == tuple(HEAD)


@pytest.mark.parametrize("adapter", [SMALL, Adapter(4, 8, "orthonormal", freeze_a=True)])
def test_first_values_have_the_shapes_and_follow_from_the_layers_place(adapter):
    stream, widths = Stream.root(3), {"a": (24, 36), "b": (24, 36)}
    values = layouts.first(adapter, widths, stream)
    for path, sizes in widths.items():
        assert {n: values[f"{path}.{n}"].shape for n in adapter.shapes(*sizes)} == adapter.shapes(*sizes)
    assert all(value.dtype == np.float32 for value in values.values())
    assert layouts.layout(adapter, widths, {}).shapes.keys() == {n for n in values if n[2:] not in adapter.frozen}
    again = layouts.first(adapter, {"a": (24, 36)}, stream)
    drawn = [name for name in again if values[name].any()]
    assert drawn and all(np.array_equal(again[name], values[name]) for name in again)
    assert not any(np.array_equal(values[name], values["b" + name[1:]]) for name in drawn)


@pytest.mark.parametrize(("width", "rank", "draws"), [(512, 1, 200), (12, 4, 300), (768, 5, 30)])
def test_rebuilt_entries_have_the_variance_of_the_widths(width, rank, draws):
    adapter = TensorTrain(rank=rank, bottleneck=16 if width == 12 else 64)
    inner = adapter.bottleneck
    for name, outputs in (("down", inner), ("up", width)):
        squares = []
        for i in range(draws):
            values = adapter.first(width, 1, np.random.default_rng(i))
            assert all(value.any() for key, value in values.items() if not key.endswith("bias"))
            squares.append(np.square(rebuilt(values, name, outputs)).mean() * (width + inner))
        assert abs(np.mean(squares) - 1) < SIGMAS * np.std(squares) / math.sqrt(draws)
        assert np.std(squares) / math.sqrt(draws) < 0.15  # or the line above says nothing


def placed(adapter, width, inputs, clients, seed=0):
    """A layer with adapters of some clients, in float64, and their values in numpy, biases not zero."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(inputs, width)).double().requires_grad_(False)
    adapters = Adapters(model, ["0"], adapter)
    random = np.random.default_rng(seed)
    own = [
        {n: v.astype(float) + 0.1 * random.standard_normal(v.shape) for n, v in adapter.first(width, inputs, r).items()}
        for r in random.spawn(clients)
    ]
    tensors = {f"0.{n}": torch.from_numpy(np.stack([values[n] for values in own])) for n in own[0]}
    return model, adapters, tensors, own


@pytest.mark.parametrize("adapter", [SMALL, TensorTrain(rank=2), TensorTrain(rank=9, bottleneck=8)])
@pytest.mark.parametrize("width", [12, 96])
def test_each_client_has_the_function_of_its_own_matrices(adapter, width):
    model, adapters, tensors, own = placed(adapter, width, 10, 3)
    x = torch.randn(3 * 4, 5, 10, dtype=torch.float64)  # four examples of five tokens of each
    frozen = model(x).numpy()
    adapters.use(tensors)
    found = model(x).numpy()
    for client, values in enumerate(own):
        rows = slice(4 * client, 4 * client + 4)
        inner = frozen[rows] @ rebuilt(values, "down", adapter.bottleneck) + values["down.bias"]
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        wanted = frozen[rows] + inner @ rebuilt(values, "up", width) + values["up.bias"]
        assert np.abs(found[rows] - frozen[rows]).max() > 0.1
        np.testing.assert_allclose(found[rows], wanted, rtol=0, atol=DOUBLE * max(1, np.abs(wanted).max()))


def test_gradients_are_those_of_finite_differences():
    model, adapters, tensors, _ = placed(TensorTrain(rank=2, bottleneck=6), 8, 5, 2)
    x = torch.randn(2 * 3, 5, dtype=torch.float64, requires_grad=True)
    names = list(tensors)

    def outputs(x, *values):
        adapters.use(dict(zip(names, values, strict=True)))
        return model(x)

    leaves = [value.clone().requires_grad_() for value in tensors.values()]
    assert torch.autograd.gradcheck(outputs, (x, *leaves))


def test_the_first_function_is_near_the_models_and_each_factor_has_a_gradient(make_trainer):
    """Of h ~ N(0, 1), Down has the variance v = n / (n + b), and Up b / (n + b) E gelu(sqrt(v) z)^2: a twentieth."""
    width, inner, draws = 384, 64, 60
    z = np.linspace(-8, 8, 4001) * math.sqrt(width / (width + inner))
    gelu = z * 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
    density = np.exp(-(np.linspace(-8, 8, 4001) ** 2) / 2)
    wanted = inner / (width + inner) * (gelu**2 * density).sum() / density.sum()
    assert 0.04 < wanted < 0.06
    adapter, added = TensorTrain(rank=5), []
    model = torch.nn.Sequential(torch.nn.Linear(width, width)).requires_grad_(False)
    model[0].weight.data, model[0].bias.data = torch.eye(width), torch.zeros(width)
    adapters = Adapters(model, ["0"], adapter)
    for i in range(draws):
        values = adapter.first(width, width, np.random.default_rng(i))
        adapters.use({f"0.{name}": torch.from_numpy(value)[None] for name, value in values.items()})
        x = torch.from_numpy(np.random.default_rng(1000 + i).standard_normal((64, width)).astype(np.float32))
        added.append(float((model(x) - x).square().mean()))
    # The products of draws make tails; what gelu makes of a wider z is more than of a narrower one.
    assert abs(np.mean(added) - wanted) < SIGMAS * np.std(added) / math.sqrt(draws) < wanted

    trainer = make_trainer(adapter=SMALL, local=Local(steps=1, batch=8, optimizer="sgd", lr=1.0, head_lr=1.0))
    start = trainer.initial()
    after = trainer.train({0: start}, 1)[0]()
    assert len(start) == 2 * 2 * 12 + 2
    assert all((after[name] != start[name]).any() for name in start)


def test_bias_is_all_that_is_left_without_factors():
    model, adapters, tensors, _ = placed(SMALL, 12, 10, 2)
    x = torch.randn(2 * 3, 10, dtype=torch.float64)
    frozen = model(x)
    adapters.use({name: torch.zeros_like(value) for name, value in tensors.items()})
    assert torch.equal(model(x), frozen)
    bias = tensors["0.up.bias"]
    adapters.use({n: value if n == "0.up.bias" else torch.zeros_like(value) for n, value in tensors.items()})
    assert torch.equal(model(x), (frozen.reshape(2, 3, -1) + bias[:, None]).reshape(6, -1))


def test_no_other_kind_of_adapter_is_taken():
    with pytest.raises(TypeError, match="an adapter is an Adapter or a TensorTrain; got 8"):
        Adapters(torch.nn.Sequential(torch.nn.Linear(2, 2)), ["0"], 8)


FOUND = {
    "bert": ("attention.output.dense", "output.dense"),
    "vit": ("attention.o_proj", "mlp.fc2"),
    "llama-lm": ("self_attn.o_proj", "mlp.down_proj"),
    "gpt2-lm": ("attn.c_proj", "mlp.c_proj"),
}


@pytest.mark.parametrize("kind", FOUND)
def test_adapters_follow_attention_and_feed_forward_part_of_each_block(make_trainer, task_for, folder_of, kind):
    local = Local(steps=2, batch=4, lr=1e-2)
    made = {"model": Model(name=folder_of(kind), layers=2), "task": task_for(kind), "local": local}
    trainer = make_trainer(adapter=SMALL, **made)
    paths = [name.removesuffix(".down.0") for name in trainer.layout.shapes if name.endswith(".down.0")]
    assert len(paths) == 4 and all(path.endswith(FOUND[kind][i % 2]) for i, path in enumerate(paths))
    start = trainer.initial()
    assert {name: value.shape for name, value in start.items()} == trainer.layout.shapes
    after = trainer.train({0: start}, 1)[0]()
    assert all((after[name] != start[name]).any() for name in start)
    assert np.isfinite(trainer.evaluate(after)["loss"])

    info, kind_of = sources.model_info(folder_of(kind)), made["task"].kind
    more = TensorTrain(rank=2, bottleneck=12, roles=("query", "up"), norms=True, hidden_layer=not kind.endswith("-lm"))
    for adapter in (SMALL, more):
        real = make_trainer(adapter=adapter, **made)
        sizes = learningwork.sizes_of(info, 2, kind_of, 8.0)
        planned = learningwork.step_flop(sizes, kind_of, adapter, 4, len(task_for(kind).classes))
        assert real.step_flop() == planned


ADAPTERS = [SMALL, Adapter(3, 8, "kaiming", ("query", "up", "down")), Adapter(3, 8, "kaiming", freeze_a=True)]


@pytest.mark.parametrize("adapter", ADAPTERS, ids=["tensor_train", "lora", "ffa"])
@pytest.mark.parametrize("kind", [*FOUND, "albert"])
def test_plans_know_the_tensors_of_the_trainer(make_trainer, task_for, folder_of, kind, adapter):
    model = Model(name=folder_of(kind), layers=None if kind == "albert" else 2)
    real = make_trainer(model=model, task=task_for(kind), adapter=adapter).layout
    (cell,) = parse(SCENARIO).cells
    method = SimpleNamespace(adapter=lambda: adapter)
    learning = replace(cell.scenario.learning, model=model)
    found = layout_of(replace(cell.scenario, learning=learning, method=method), sources.model_info(model.name))
    assert [found.shapes[name] for name in found.adapters] == [real.shapes[name] for name in real.adapters]
    assert len(found.pairs) == len(real.pairs)


HEADED = {  # what stands beside the body in files of these
    "bert-masked": "cls.", "bert-asked": "qa_outputs.", "electra-masked": "generator_lm_head.",
    "electra-discriminator": "discriminator_predictions.", "deberta-masked": "lm_predictions.",
    "llama-scored": "score.", "llama-lm": "lm_head.", "gpt_neox-lm": "embed_out.",
}  # fmt: skip
TABLES = {  # what older libraries wrote beside the weights
    "bert-asked": {"bert.embeddings.position_ids": torch.arange(9)[None]},
    "gpt2": {"h.0.attn.bias": torch.ones(1, 1, 9, 9).tril(), "h.0.attn.masked_bias": torch.tensor(-1e4)},
    "gpt_neox-lm": {
        "gpt_neox.layers.0.attention.bias": torch.ones(1, 1, 9, 9, dtype=torch.bool).tril(),
        "gpt_neox.layers.1.attention.bias": torch.ones(1, 1, 9, 9).tril(),
        "gpt_neox.layers.0.attention.masked_bias": torch.tensor(-1e4),
        "gpt_neox.layers.0.attention.rotary_emb.inv_freq": torch.ones(4),
    },
}


@pytest.mark.parametrize("kind", ["bert", "distilbert", "llama", "gpt2", "vit", "albert", "deberta", *HEADED])
def test_plans_know_the_weights_of_a_backbone(make_trainer, task_for, folder_of, tmp_path, kind):
    """As many arrays of as many values: scales of each are charged. Heads and tables beside them count for nothing."""
    folder = shutil.copytree(folder_of(kind), tmp_path / "model")
    held = load_file(folder / "model.safetensors")
    assert any(name.startswith(HEADED.get(kind, "")) for name in held)
    save_file(held | TABLES.get(kind, {}), folder / "model.safetensors", metadata={"format": "pt"})
    model = Model(name=str(folder), layers=None if kind == "albert" else 2)
    adapter = Adapter(3, 8, "kaiming", whole=True)
    real = make_trainer(model=model, task=task_for(kind.removesuffix("-lm")), adapter=adapter).layout
    (cell,) = parse(SCENARIO).cells
    learning = replace(cell.scenario.learning, model=model)
    scenario = replace(cell.scenario, learning=learning, method=SimpleNamespace(adapter=lambda: adapter))
    found = layout_of(scenario, sources.model_info(model.name))
    planned, trained = (
        sorted(layout.size([name]) for name in layout.shapes if name.startswith(WEIGHTS)) for layout in (found, real)
    )
    assert planned == trained and len(planned) > 10
    assert Dense(bits=16).menu(found.without(set(found.heads))) == Dense(bits=16).menu(real.without(set(real.heads)))


@dataclass(frozen=True, kw_only=True)
class Trains(FedAvg):
    """FedAvg of tensor trains, made for these tests.

    Formula
    -------
    As FedAvg.

    Validity
    --------
    Tests.

    Source
    ------
    Own.
    """

    kind: Literal["trains"] = "trains"

    def adapter(self):
        return TensorTrain(rank=self.rank)


SCENARIO = """\
schema_version: 1
name: trains
rounds: 2
seeds: [3]
channel: {path_loss: {kind: uma}}
clients: {count: 3, placement: {kind: disc, to: 100 m}, compute: {speed: 5 GFLOP/s}}
learning:
  model: {layers: 1}
  data: {train: 60, test: 20, max_tokens: 8, partition: {kind: iid}}
method: {kind: fedavg}
"""


def test_a_method_may_train_them():
    check_method(Trains())
    (cell,) = parse(SCENARIO).cells
    scenario = replace(cell.scenario, method=Trains(rank=65))
    (problem,) = rules.resources(scenario)
    assert problem.path == ("method", "rank") and "must be at most 64, the width of the bottleneck" in problem.message
    assert rules.resources(replace(scenario, method=Trains(rank=64))) == []
    (problem,) = rules._codec(replace(scenario, codec=Components()))
    assert "trains none: all would be sent whole" in problem.message
    assert TensorTrain(rank=1).most_rank(32) == (32, "the width of the layers")
