"""Training on other models than MiniLM: small random ones of each family, as `save_pretrained` leaves them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from torch.nn.functional import cross_entropy

from wfl_sim.errors import MissingResource
from wfl_sim.learning import sources
from wfl_sim.learning.options import Local, Model
from wfl_sim.methods.base import Adapter

DEPTH, WIDTH = 3, 32
BERT = ("encoder.layer.{}.attention.self.query", "encoder.layer.{}.attention.self.value")
LLAMA = ("layers.{}.self_attn.q_proj", "layers.{}.self_attn.v_proj")
MODULES = {
    "bert": BERT,
    "roberta": BERT,
    "distilbert": ("transformer.layer.{}.attention.q_lin", "transformer.layer.{}.attention.v_lin"),
    "gpt2": ("h.{}.attn.c_attn",),
    "llama": LLAMA,
    "gpt2-lm": ("h.{}.attn.c_attn",),
    "llama-lm": LLAMA,
    "vit": ("layers.{}.attention.q_proj", "layers.{}.attention.v_proj"),
}
# The same layers, once cut and in batches by length, once whole and one by one; float32, losses of 2.
REWRITTEN = 1e-5

every = pytest.mark.parametrize("kind", MODULES)
encoders = pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])


@every
def test_depth_and_width_are_known_without_loading(folder_of, kind):
    info = sources.model_info(folder_of(kind))
    assert (info.layers, info.blocks, info.hidden) == (DEPTH, DEPTH, WIDTH)
    assert info.image_tokens == (5 if kind == "vit" else 0)
    assert ("language" in info.kinds) == kind.startswith(("gpt2", "llama"))


@every
@pytest.mark.parametrize("layers", [1, None])
def test_adapters_sit_on_query_and_value_of_the_layers_that_are_kept(make_trainer, task_for, folder_of, kind, layers):
    model, local = Model(name=folder_of(kind), layers=layers), Local(steps=2, batch=4)
    trainer = make_trainer(model=model, local=local, task=task_for(kind))
    names = [module.format(i) for i in range(layers or DEPTH) for module in MODULES[kind]]
    assert [a for a, _ in trainer.layout.pairs] == [f"{name}.A" for name in names]
    start = trainer.initial()
    after = trainer.train({0: start}, 1)[0]()
    assert all(after[b].any() for _, b in trainer.layout.pairs)  # gradients reach every layer
    assert np.isfinite(trainer.evaluate(after)["loss"])


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama", "vit", "albert"])
def test_the_sizes_of_adapters_are_known_without_loading(make_trainer, task_for, folder_of, kind):
    roles = ("query", "key", "value", "output", "up", "down")
    adapter = Adapter(rank=2, alpha=4, init="kaiming", roles=roles)
    trainer = make_trainer(model=Model(name=folder_of(kind)), task=task_for(kind), adapter=adapter)
    info = sources.model_info(folder_of(kind))
    shapes = trainer.layout.shapes
    found = [(shapes[a][1], shapes[b][0]) for a, b in trainer.layout.pairs]
    wanted = [(inputs, outputs) for _, inputs, outputs in info.projections(roles)] * info.blocks
    assert sorted(found) == sorted(wanted)


@encoders
@pytest.mark.parametrize("layers", [1, 3])
def test_a_cut_model_gives_the_hidden_states_of_the_whole_one(make_trainer, folder_of, task, kind, layers):
    trainer = make_trainer(model=Model(name=folder_of(kind), layers=layers), adapter=None)
    params = trainer.initial()
    encoder = transformers.AutoModel.from_pretrained(folder_of(kind)).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder_of(kind))
    tokens = tokenizer(list(task.test.inputs), truncation=True, max_length=8)["input_ids"]
    losses = []
    with torch.no_grad():
        for ids, label in zip(tokens, task.test.labels, strict=True):  # one by one: nothing is padded
            hidden = encoder(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[layers]
            logits = torch.from_numpy(params["head.weight"]) @ hidden[0].mean(dim=0)
            losses.append(float(cross_entropy(logits, torch.tensor(label))))
    assert trainer.evaluate(params)["loss"] == pytest.approx(np.mean(losses), abs=REWRITTEN)


@pytest.mark.parametrize("kind", ["gpt2-lm", "llama-lm", "llama-tied-lm"])
def test_the_loss_of_a_language_model_is_the_librarys_own(make_trainer, task_for, folder_of, kind):
    trainer = make_trainer(model=Model(name=folder_of(kind)), task=task_for(kind))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder_of(kind)).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder_of(kind))
    total, count = 0.0, 0
    with torch.no_grad():
        for ids in tokenizer(list(task_for(kind).test.inputs), truncation=True, max_length=8)["input_ids"]:
            row = torch.tensor([ids])
            total += float(model(input_ids=row, labels=row).loss) * (len(ids) - 1)
            count += len(ids) - 1
    # Ten nats: a random model tells nothing of 30,522 words apart.
    assert trainer.evaluate(trainer.initial())["loss"] == pytest.approx(total / count, abs=5 * REWRITTEN)


@every
def test_more_layers_than_there_are_is_an_error(make_trainer, task_for, folder_of, kind):
    with pytest.raises(MissingResource, match=f"has {DEPTH} layers, 4 are asked for"):
        make_trainer(model=Model(name=folder_of(kind), layers=4), task=task_for(kind))


def test_shared_layers_cannot_be_cut_and_train_whole(make_trainer, folder_of):
    with pytest.raises(MissingResource, match=r"looked for one list of 3 modules.*leave out learning\.model\.layers"):
        make_trainer(model=Model(name=folder_of("albert"), layers=2))
    trainer = make_trainer(model=Model(name=folder_of("albert")))
    assert len(trainer.layout.pairs) == 2  # query and value of the one layer
