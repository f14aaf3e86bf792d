"""Local training and evaluation of a pre-trained encoder with LoRA adapters and a task head.

Knows tensors and text; neither time, nor SNR, nor what becomes of an update.

Parameters pass through here as float32 arrays by name: ``head.weight``, ``head.bias`` and, for every adapted
module, ``MODULE.A`` and ``MODULE.B``. The head reads the mean of the last layer's token vectors.
"""

from __future__ import annotations

import os
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # models come from packages and folders, never from a network
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn.functional import cross_entropy

from channels.streams import Stream
from wfl_sim.codecs.base import Layout
from wfl_sim.contracts import Params, Trained
from wfl_sim.errors import MissingResource
from wfl_sim.learning import flops
from wfl_sim.learning.examples import Examples, Task
from wfl_sim.learning.memo import Memo
from wfl_sim.learning.options import Local, Model
from wfl_sim.learning.sources import model_folder
from wfl_sim.methods.base import Adapter, Regulariser

EVALUATION_BATCH = 128
# Names of the query and value projections in the architectures that transformers has.
ATTENTION_NAMES = (("query", "value"), ("q_proj", "v_proj"), ("q_lin", "v_lin"))


@dataclass(frozen=True)
class Tokens:
    """Token ids [n, longest] padded with 0, lengths [n] and labels [n]."""

    ids: Tensor
    lengths: Tensor
    labels: Tensor

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        """Ids, mask and labels of some rows, cut to the longest text among them."""
        index = torch.from_numpy(rows)
        lengths = self.lengths[index]
        longest = int(lengths.max())
        mask = (torch.arange(longest) < lengths[:, None]).to(torch.int64)
        return self.ids[index, :longest], mask, self.labels[index]


def tokenize(texts: Examples, folder: str, max_tokens: int) -> Tokens:
    """Token ids of texts, cut to `max_tokens`."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = tokenizer(list(texts.inputs), truncation=True, max_length=max_tokens)["input_ids"]
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return Tokens(ids, lengths, torch.from_numpy(texts.labels))


class Trainer:
    """Trains one client after another on one model held in memory.

    Parameters
    ----------
    model : Model
        Which encoder, and how many of its layers.
    adapter : Adapter or None
        LoRA on the query and value projections, through peft; None trains the head on frozen features.
    task : Task
    parts : sequence of array
        Indices of each client's training examples.
    local : Local
    regulariser : callable or None
        Added to the loss, summed over all pairs (A, B).
    stream : Stream
        First weights and batches are drawn from it.
    memo : Memo
        Results of earlier, equal calls of `train` and `evaluate`.
    """

    def __init__(
        self,
        model: Model,
        adapter: Adapter | None,
        task: Task,
        max_tokens: int,
        parts: Sequence[NDArray[np.int64]],
        local: Local,
        regulariser: Regulariser | None,
        stream: Stream,
        memo: Memo,
    ) -> None:
        self._memo = memo
        folder = str(model_folder(model.name))
        self._parts, self._local, self._regulariser, self._stream = parts, local, regulariser, stream
        self._train, self._test = (tokenize(texts, folder, max_tokens) for texts in (task.train, task.test))
        self._adapter, self._max_tokens = adapter, max_tokens
        self._encoder = _encoder(folder, model)
        hidden = int(self._encoder.config.hidden_size)
        pairs: list[tuple[str, str]] = []
        self._tensors: dict[str, Tensor] = {}
        if adapter is None:
            self._features = {"train": self._pooled(self._train), "test": self._pooled(self._test)}
        else:
            with warnings.catch_warnings():  # peft asks transformers for an attribute that it has renamed
                warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
                self._encoder = get_peft_model(self._encoder, _lora(self._encoder, adapter))
            self._encoder.eval()  # no dropout: the same in every arm, and no draws outside the keyed streams
            for name, module in self._encoder.named_modules():
                if hasattr(module, "lora_A") and "default" in module.lora_A:
                    short = name.removeprefix("base_model.model.")
                    self._tensors[f"{short}.A"] = module.lora_A["default"].weight
                    self._tensors[f"{short}.B"] = module.lora_B["default"].weight
                    pairs.append((f"{short}.A", f"{short}.B"))
        self._head = torch.nn.Linear(hidden, len(task.classes))
        plain = {"head.weight": self._head.weight, "head.bias": self._head.bias}
        self._tensors |= plain
        shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}
        self.layout = Layout(tuple(pairs), tuple(plain), shapes)

    def initial(self) -> Params:
        """First parameters: A as the adapter says, B = 0, the head uniform in +-1/sqrt(hidden), its bias 0."""
        params: Params = {name: np.zeros(shape, dtype=np.float32) for name, shape in self.layout.shapes.items()}
        stream = self._stream.child("weights")
        for number, (name, _) in enumerate(self.layout.pairs):
            assert self._adapter is not None  # there are pairs
            params[name] = _first_a(self._adapter, self.layout.shapes[name], stream.generator(1, number))
        bound = self.layout.shapes["head.weight"][1] ** -0.5
        draw = stream.generator(0, 0).uniform(-bound, bound, self.layout.shapes["head.weight"])
        params["head.weight"] = draw.astype(np.float32)
        return params

    def examples(self, client: int) -> int:
        """Size of the client's data."""
        return int(self._parts[client].size)

    def step_flop(self) -> float:
        """Operations of a step of local training, on `local.batch` texts of full length (`flops.count`)."""
        ids = torch.zeros(self._local.batch, self._max_tokens, dtype=torch.int64)
        labels = torch.zeros(self._local.batch, dtype=torch.int64)

        def loss() -> Tensor:
            return self._penalised(cross_entropy(self._head(self._mean(ids, torch.ones_like(ids))), labels))

        return flops.count(loss)

    def train(self, starts: Mapping[int, Params], round_: int) -> dict[int, Trained]:
        """Local training of clients, each from its own start and with fresh optimiser state."""
        return {client: partial(self._once, start, client, round_) for client, start in starts.items()}

    def _once(self, start: Params, client: int, round_: int) -> Params:
        key = self._memo.key(start, "train", client, round_)
        result = self._memo.get(key)
        if result is None:
            result = self._trained(start, client, round_)
            self._memo.put(key, result)
        return result

    def _trained(self, start: Params, client: int, round_: int) -> Params:
        self._load(start)
        local = self._local
        groups = [
            {"params": [self._tensors[n] for n in self.layout.factors], "lr": local.lr},
            {"params": [self._tensors[n] for n in self.layout.plain], "lr": local.head_lr},
        ]
        optimizer = torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=local.weight_decay)
        for rows in self._batches(client, round_):
            optimizer.zero_grad()
            loss = self._penalised(self._loss("train", rows).mean())
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return {name: tensor.detach().numpy().copy() for name, tensor in self._tensors.items()}

    def _penalised(self, loss: Tensor) -> Tensor:
        if self._regulariser is not None:
            for a, b in self.layout.pairs:
                loss = loss + self._regulariser(self._tensors[a], self._tensors[b])
        return loss

    def evaluate(self, params: Params) -> dict[str, float]:
        """Share of held-out examples classified rightly, and mean cross-entropy in nat."""
        key = self._memo.key(params, "evaluate")
        known = self._memo.get(key)
        if known is None:
            right, loss = self._evaluated(params)
            known = {"sums": np.array([right, loss])}
            self._memo.put(key, known)
        right, loss = known["sums"].tolist()
        return {"accuracy": right / len(self._test.labels), "loss": loss / len(self._test.labels)}

    def _evaluated(self, params: Params) -> tuple[int, float]:
        """How many held-out examples are classified rightly, and the sum of their cross-entropies."""
        self._load(params)
        order = np.argsort(self._test.lengths.numpy(), kind="stable")  # equal lengths together: no padding
        right, loss = 0, 0.0
        with torch.inference_mode():
            for start in range(0, order.size, EVALUATION_BATCH):
                logits, labels = self._logits("test", order[start : start + EVALUATION_BATCH])
                right += int((logits.argmax(dim=1) == labels).sum())
                loss += float(cross_entropy(logits, labels, reduction="sum"))
        return right, loss

    def _load(self, params: Params) -> None:
        with torch.no_grad():
            for name, tensor in self._tensors.items():
                tensor.copy_(torch.from_numpy(params[name]))

    def _batches(self, client: int, round_: int) -> list[NDArray[np.int64]]:
        """The rows of a round's steps: passes over the client's data, each in an order of its own."""
        part, batch = self._parts[client], min(self._local.batch, self._parts[client].size)
        random = self._stream.child("batches").generator(client, round_)
        passes = -(-self._local.steps * batch // part.size)
        rows = np.concatenate([random.permutation(part) for _ in range(passes)])
        return [rows[i * batch : (i + 1) * batch] for i in range(self._local.steps)]

    def _loss(self, split: str, rows: NDArray[np.int64]) -> Tensor:
        logits, labels = self._logits(split, rows)
        return cross_entropy(logits, labels, reduction="none")

    def _logits(self, split: str, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        tokens = self._train if split == "train" else self._test
        if self._adapter is None:
            index = torch.from_numpy(rows)
            return self._head(self._features[split][index]), tokens.labels[index]
        ids, mask, labels = tokens.batch(rows)
        return self._head(self._mean(ids, mask)), labels

    def _mean(self, ids: Tensor, mask: Tensor) -> Tensor:
        hidden: Tensor = self._encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        share = mask.to(hidden.dtype)
        return (hidden * share[..., None]).sum(dim=1) / share.sum(dim=1, keepdim=True)

    def _pooled(self, tokens: Tokens) -> Tensor:
        """The frozen encoder's features of all texts."""
        order = np.argsort(tokens.lengths.numpy(), kind="stable")
        features = torch.empty(order.size, int(self._encoder.config.hidden_size))
        with torch.no_grad():
            for start in range(0, order.size, EVALUATION_BATCH):
                rows = order[start : start + EVALUATION_BATCH]
                ids, mask, _ = tokens.batch(rows)
                features[torch.from_numpy(rows)] = self._mean(ids, mask)
        return features


def _encoder(folder: str, model: Model) -> Any:
    """The pre-trained encoder in single precision, cut to its first layers, frozen."""
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    encoder = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    if hasattr(encoder, "pooler"):
        encoder.pooler = None  # the head reads the mean of the tokens
    if model.layers is not None:
        _cut(encoder, model.name, model.layers)
    return encoder.eval().requires_grad_(False)


def _cut(encoder: Any, name: str, layers: int) -> None:
    """Keep the first layers only: of the one list of modules that is as long as the model is deep."""
    depth = int(encoder.config.num_hidden_layers)
    if layers > depth:
        raise MissingResource(f"model {name!r} has {depth} layers, {layers} are asked for")
    lists = {n: m for n, m in encoder.named_modules() if isinstance(m, torch.nn.ModuleList)}
    stacks = [path for path, modules in lists.items() if len(modules) == depth]
    if len(stacks) != 1:
        found = ", ".join(f"{path} ({len(modules)})" for path, modules in lists.items()) or "none"
        raise MissingResource(
            f"model {name!r}: which layers to keep is not clear (looked for one list of {depth} modules; "
            f"lists: {found}); leave out learning.model.layers"
        )
    parent, _, attribute = stacks[0].rpartition(".")
    setattr(encoder.get_submodule(parent), attribute, lists[stacks[0]][:layers])
    encoder.config.num_hidden_layers = layers


def _lora(encoder: Any, adapter: Adapter) -> LoraConfig:
    """LoRA on the query and value projections, whatever this architecture calls them."""
    linear = {name.rpartition(".")[2] for name, m in encoder.named_modules() if isinstance(m, torch.nn.Linear)}
    for names in ATTENTION_NAMES:
        if linear.issuperset(names):
            return LoraConfig(r=adapter.rank, lora_alpha=adapter.alpha, target_modules=list(names), lora_dropout=0.0)
    wanted = ", ".join("/".join(names) for names in ATTENTION_NAMES)
    raise MissingResource(
        f"no query and value projections found (looked for {wanted}); linear layers: {sorted(linear)}"
    )


def _first_a(adapter: Adapter, shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float32]:
    rank, width = shape
    if adapter.init == "kaiming":
        return random.uniform(-(width**-0.5), width**-0.5, shape).astype(np.float32)
    q, r = np.linalg.qr(random.standard_normal((width, rank)))
    return np.ascontiguousarray((q * np.sign(np.diag(r))).T, dtype=np.float32)
