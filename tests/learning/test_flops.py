"""The work of a training step: counted from small random models, and by its closed form.

Adapters are put in by hand, so that the count depends on neither the trainer nor an adapter library.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import transformers
from torch.nn.functional import cross_entropy

from wfl_sim import learningwork
from wfl_sim.engine import run_cell
from wfl_sim.errors import ScenarioError
from wfl_sim.learning import flops, sources
from wfl_sim.learning.options import Local, Model
from wfl_sim.methods.base import Adapter
from wfl_sim.methods.soft import Soft
from wfl_sim.scenario import load, parse
from wfl_sim.trace import read_rows

DEPTH, HIDDEN, WIDER, HEADS, VOCABULARY, CLASSES = 3, 32, 48, 4, 100, 5
USUAL = {
    "vocab_size": VOCABULARY, "num_hidden_layers": DEPTH, "hidden_size": HIDDEN, "num_attention_heads": HEADS,
    "intermediate_size": WIDER,
}  # fmt: skip
IMAGE = {key: value for key, value in USUAL.items() if key != "vocab_size"}
CONFIGS = {
    "bert": lambda: transformers.BertConfig(**USUAL),
    "distilbert": lambda: transformers.DistilBertConfig(
        vocab_size=VOCABULARY, n_layers=DEPTH, dim=HIDDEN, n_heads=HEADS, hidden_dim=WIDER
    ),
    "vit": lambda: transformers.ViTConfig(**IMAGE, image_size=28, patch_size=4, num_channels=1),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=VOCABULARY, n_layer=DEPTH, n_embd=HIDDEN, n_head=HEADS, n_inner=WIDER
    ),
    "phi3": lambda: transformers.Phi3Config(**USUAL, num_key_value_heads=2, pad_token_id=0),
    "llama": lambda: transformers.LlamaConfig(**USUAL, num_key_value_heads=2),
    "llama_wide": lambda: transformers.LlamaConfig(**USUAL, num_key_value_heads=1, head_dim=16),
}
TASKS = {"bert": "text", "distilbert": "text", "vit": "image", "gpt2": "language"}  # else language too
ROLES = {
    "query": ("query", "q_lin", "q_proj"), "key": ("key", "k_lin", "k_proj"), "value": ("value", "v_lin", "v_proj"),
    "output": ("attention.output.dense", "out_lin", "o_proj", "attn.c_proj"),
    "up": ("intermediate.dense", "lin1", "up_proj", "gate_proj", "gate_up_proj", "fc1", "mlp.c_fc"),
    "down": ("output.dense", "lin2", "down_proj", "fc2", "mlp.c_proj"),
}  # fmt: skip
FUSED = ("c_attn", "qkv_proj")
BOTH = ("query", "value")
# SOFT's penalty, which plans leave out: the products of r x r matrices, beside those of all rows with whole layers.
PENALTY = 0.01


class Adapted(torch.nn.Module):
    """A frozen linear layer with LoRA beside it."""

    def __init__(self, base, adapter):
        super().__init__()
        self.base = base
        wide_in, wide_out = base.weight.shape if hasattr(base, "nf") else base.weight.shape[::-1]
        self.a = torch.nn.Parameter(torch.ones(adapter.rank, wide_in), requires_grad=not adapter.freeze_a)
        self.b = torch.nn.Parameter(torch.zeros(wide_out, adapter.rank))

    def forward(self, x):
        return self.base(x) + x @ self.a.T @ self.b.T


def played(name, kind):
    """The role of a module of one of the models above."""
    if kind == "vit" and name.endswith(("attention.o_proj", "attention.output.dense")):
        return "output"
    found = [role for role, ends in ROLES.items() for end in ends if name.endswith(f".{end}")]
    return "output" if "output" in found else found[0] if found else None


def adapt(module, kind, adapter):
    """Put adapters into the layers that play the roles; how many."""
    linear = {n: m for n, m in module.named_modules() if isinstance(m, torch.nn.Linear) or hasattr(m, "nf")}
    chosen = [n for n in linear if played(n, kind) in adapter.roles]
    if set(adapter.roles) & {"query", "key", "value"}:
        chosen += [n for n in linear if n.endswith(FUSED)]
    for name in chosen:
        parent, _, attribute = name.rpartition(".")
        setattr(module.get_submodule(parent), attribute, Adapted(linear[name], adapter))
    return len(chosen)


def counted(kind, adapter, batch, layers, tokens, attention="sdpa"):
    """Operations of a step of the real model."""
    config = CONFIGS[kind]()
    for key in ("num_hidden_layers", "n_layers", "n_layer"):
        if key in config.to_dict():
            setattr(config, key, layers)
            break
    module = transformers.AutoModel.from_config(config, attn_implementation=attention).eval().requires_grad_(False)
    module.pooler = None
    if adapter is not None:
        assert adapt(module, kind, adapter) >= layers
    task = TASKS.get(kind, "language")
    ids = torch.ones(batch, tokens, dtype=torch.int64)
    inputs = {"pixel_values": torch.ones(batch, 1, 28, 28)} if task == "image" else {"input_ids": ids}
    head = torch.nn.Linear(HIDDEN, CLASSES)
    norm, output = torch.nn.LayerNorm(HIDDEN), torch.ones(VOCABULARY, HIDDEN)

    def loss():
        states = module(**inputs).last_hidden_state
        if task == "language":
            logits = norm(states[:, :-1]) @ output.T
            return cross_entropy(logits.reshape(-1, VOCABULARY), ids[:, 1:].reshape(-1))
        return cross_entropy(head(states.mean(dim=1)), torch.zeros(batch, dtype=torch.int64))

    return flops.count(loss)


def info_of(folder):
    """The sizes of all models here; the rest is in the folder's `config.json`."""
    return SimpleNamespace(folder=folder, hidden=HIDDEN, intermediate=WIDER, vocabulary=VOCABULARY)


def planned(kind, adapter, batch, layers, tokens, folder):
    """The same in closed form, from what `save_pretrained` leaves."""
    CONFIGS[kind]().save_pretrained(folder)
    info = info_of(folder)
    task = TASKS.get(kind, "language")
    return learningwork.step_flop(learningwork.sizes_of(info, layers, task, tokens), task, adapter, batch, CLASSES)


CASES = [
    (None, 4, 2, 9),
    (Adapter(4, 8, "orthonormal"), 4, 2, 9),
    (Adapter(8, 8, "orthonormal"), 1, 3, 16),
    (Adapter(3, 8, "orthonormal", ("value",)), 2, 1, 7),
    (Adapter(3, 8, "orthonormal", ("key", "output")), 2, 2, 7),
    (Adapter(3, 8, "orthonormal", ("down",)), 2, 2, 7),
    (Adapter(3, 8, "orthonormal", ("up",)), 2, 2, 7),
    (Adapter(2, 8, "orthonormal", ("query", "key", "value", "output", "up", "down")), 3, 2, 5),
    (Adapter(4, 8, "orthonormal", BOTH, freeze_a=True), 4, 2, 9),
    (Adapter(2, 8, "orthonormal", ("output", "down"), freeze_a=True), 2, 2, 6),
]


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0] and '-'.join(case[0].roles)}-{case[1:]}")
def test_the_closed_form_is_what_the_model_calculates(kind, case, tmp_path):
    """Exactly: both count the same products."""
    assert counted(kind, *case) == planned(kind, *case, tmp_path)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_the_count_is_the_same_however_attention_is_worked_out(kind):
    adapter, *sizes = CASES[1]
    assert counted(kind, adapter, *sizes, attention="eager") == counted(kind, adapter, *sizes)


MINILM = Model(layers=2)


def of_minilm(adapter, batch=8, layers=2, tokens=8, classes=10):
    info = sources.model_info(MINILM.name)
    return learningwork.step_flop(learningwork.sizes_of(info, layers, "text", tokens), "text", adapter, batch, classes)


def test_the_trainer_counts_its_own_step(make_trainer, lora, task):
    assert len(task.classes) == 10
    assert make_trainer(adapter=None, model=MINILM).step_flop() == of_minilm(None)
    trainer, batch = make_trainer(model=MINILM), Local(steps=2, batch=4)
    assert trainer.step_flop() == of_minilm(lora)
    assert make_trainer(model=MINILM, local=batch).step_flop() == of_minilm(lora, batch=4)
    start = trainer.initial()
    ours, theirs = (one.train({0: start}, 1)[0]() for one in (trainer, make_trainer(model=MINILM)))
    assert all((ours[name] == theirs[name]).all() for name in start)  # counting changes no training


def test_a_penalty_is_counted_and_hardly_matters(make_trainer, lora):
    real = make_trainer(model=MINILM, regulariser=Soft().regulariser()).step_flop()
    assert of_minilm(lora) < real < (1 + PENALTY) * of_minilm(lora)


def test_what_makes_training_dearer(lora):
    """Per example the same; deeper, longer, of a higher rank, or in more layers dearer; without adapters cheapest."""
    base = of_minilm(lora)
    assert of_minilm(lora, batch=16) == 2 * base
    assert of_minilm(None) < of_minilm(Adapter(1, 1, "orthonormal")) < base
    assert base < of_minilm(Adapter(8, 16, "orthonormal", ("query", "key", "value", "output")))
    assert of_minilm(Adapter(8, 16, "orthonormal", freeze_a=True)) < base
    assert of_minilm(lora, tokens=16) > 2 * base  # attention grows with the square
    # each layer but the lowest costs the same: forward, and the gradients that go through it
    costs = [of_minilm(lora, layers=n) for n in (1, 2, 3, 4)]
    assert costs[1] - costs[0] == costs[2] - costs[1] == costs[3] - costs[2] > costs[0]


def test_a_forward_pass_is_the_sum_of_its_layers():
    """Of BERT: four square products and two of the feed-forward part a token, and attention."""
    sizes = learningwork.sizes_of(sources.model_info(MINILM.name), 2, "text", 12.0)
    assert learningwork.forward_flop(sizes) == 2 * 12 * (8 * 384**2 + 4 * 384 * 1536 + 4 * 12 * 384)


def test_images_may_be_oblong(tmp_path):
    transformers.ViTConfig(**IMAGE, image_size=(28, 16), patch_size=(4, 8), num_channels=2).save_pretrained(tmp_path)
    info = info_of(tmp_path)
    sizes = learningwork.sizes_of(info, 2, "image", 16.0)
    assert (sizes.patches, sizes.patch, sizes.tokens) == (7 * 2, 4 * 8 * 2, 15.0)


@pytest.mark.parametrize("text", [None, "[]", "{", '{"head_dim": true, "num_key_value_heads": -1, "image_size": [1]}'])
def test_what_a_configuration_does_not_say_is_taken_as_usual(text, tmp_path):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    info = info_of(tmp_path)
    sizes = learningwork.sizes_of(info, 2, "image", 16.0)
    assert (sizes.attended, sizes.kept, sizes.gated, sizes.fused, sizes.patches) == (HIDDEN, HIDDEN, False, False, 196)


SCENARIO = """\
schema_version: 1
name: counted
rounds: 2
seeds: [3]
channel: {path_loss: {kind: uma}}
clients: {count: 3, placement: {kind: disc, to: 100 m}, compute: {speed: 5 GFLOP/s, jitter: 0}}
learning:
  model: {layers: 1}
  data: {train: 60, test: 20, max_tokens: 8, partition: {kind: iid}}
  local: {steps: 3, batch: 4}
method: {kind: fedavg, rank: 2}
"""


@pytest.mark.parametrize("changes", [(), ("clients.compute.work=1 GFLOP",)])
def test_a_run_takes_the_time_that_was_planned(changes, tmp_path):
    """Whether counted or stated: the manifest says how much, and each client takes work / speed."""
    (cell,) = parse(SCENARIO, overrides=changes).cells
    plan = learningwork.compute_of(cell.scenario)
    manifest = run_cell(cell, 0, tmp_path / "run")
    counted_flop = {"work_flop": plan.work_flop} if cell.scenario.clients.compute.is_counted else {}
    assert {key: manifest[key] for key in manifest if key == "work_flop"} == counted_flop
    assert manifest["data"].get("step_flop", 0) * 3 == counted_flop.get("work_flop", 0)
    rows = read_rows(tmp_path / "run" / "trace.sqlite", "decisions")
    assert len(rows) == 6
    assert {row["compute_s"] for row in rows} == {plan.median_s} == {plan.work_flop / 5e9}
    assert load(tmp_path / "run" / "scenario.yaml").cells[0].scenario == cell.scenario  # as the file says it


def test_rules_of_time_hold_for_counted_work_too():
    assert parse(SCENARIO, overrides=["protocol={kind: deadline, deadline: 1 s}"])
    with pytest.raises(ScenarioError, match=r"protocol\.deadline: must be above .* s, what computing and latency take"):
        parse(SCENARIO, overrides=["protocol={kind: deadline, deadline: 1 s}", "clients.compute.speed=1 MFLOP/s"])
    # of a model that is not here nothing is known yet; that it is not here is told where models are looked for
    gone = ["protocol={kind: deadline, deadline: 1 s}", "clients.compute.speed=1 MFLOP/s", "learning.model.name=gone"]
    assert parse(SCENARIO, overrides=gone)
    with pytest.raises(ScenarioError, match=r"learning\.model\.name: "):
        parse(SCENARIO, overrides=gone, resources=True)


def test_more_work_than_there_can_be_is_told():
    much = ["learning.local.steps=1000000", "learning.local.batch=1000000", "learning.data.max_tokens=1000000"]
    with pytest.raises(
        ScenarioError, match=r"clients\.compute\.work: as counted from the model must be.*lower learning"
    ):
        parse(SCENARIO, overrides=much)


def test_without_learning_there_is_nothing_to_count():
    network = "method={kind: none, payload: 1 Mbit}"
    with pytest.raises(
        ScenarioError, match=r"clients\.compute\.work: is missing: method none.*state work beside speed"
    ):
        parse(SCENARIO, overrides=[network])
    for fits in ("clients.compute.work=1 GFLOP", "clients.compute={time: 1 s}"):
        assert parse(SCENARIO, overrides=[network, fits])
