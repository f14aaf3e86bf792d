"""What comes after the model: from its states to a loss and a score, for K clients side by side.

Knows stacked tensors; neither the model, nor adapters, nor who the clients are.

States come client after client, equally many rows of each; so do labels. A head's own tensors are [K, ...].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from wfl_sim.contracts import Params
from wfl_sim.learning.frozen import frozen_linear
from wfl_sim.learning.models import Batch
from wfl_sim.learning.norms import without_gain
from wfl_sim.learning.trains import matrix
from wfl_sim.methods.tensortrain import first_values, head_train

WEIGHT, BIAS = "head.weight", "head.bias"
LOGITS_AT_ONCE = 1 << 24  # values of a block of logits in an evaluation: 64 MiB


class Score(NamedTuple):
    """How many predictions were right, the sum of the losses in nat, and how many predictions there were."""

    right: float
    loss: float
    predictions: float


class Head(Protocol):
    """`shapes` of its tensors for one client, their first values, and what becomes of states."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]: ...
    def initial(self, random: np.random.Generator) -> Params: ...
    def loss(self, states: Tensor, batch: Batch, tensors: Mapping[str, Tensor]) -> Tensor: ...
    def score(self, states: Tensor, batch: Batch, tensors: Mapping[str, Tensor]) -> Score: ...


class ClassHead:
    """A linear classifier on one state an example; its loss is the mean cross-entropy of a client's examples.

    With a `rank` there is a hidden layer before it, of the same width and with tanh, whose matrix is a tensor train.
    """

    def __init__(self, hidden: int, classes: int, rank: int | None = None) -> None:
        self._train = head_train(hidden, rank)
        self.shapes: dict[str, tuple[int, ...]] = {**self._train, WEIGHT: (classes, hidden), BIAS: (classes,)}

    def initial(self, random: np.random.Generator) -> Params:
        """Weights uniform in +-1/sqrt(hidden), biases 0."""
        bound = self.shapes[WEIGHT][1] ** -0.5
        weight = random.uniform(-bound, bound, self.shapes[WEIGHT])
        first = {WEIGHT: weight.astype(np.float32), BIAS: np.zeros(self.shapes[BIAS], np.float32)}
        return first_values(self._train, 2 * self.shapes[WEIGHT][1], random) | first

    def loss(self, states: Tensor, batch: Batch, tensors: Mapping[str, Tensor]) -> Tensor:
        """Each client's loss [K]."""
        clients = tensors[WEIGHT].shape[0]
        own = cross_entropy(self.logits(states, tensors), batch.labels, reduction="none")
        return own.view(clients, -1).mean(1)

    def score(self, states: Tensor, batch: Batch, tensors: Mapping[str, Tensor]) -> Score:
        """Of all rows together."""
        logits, labels = self.logits(states, tensors), batch.labels
        loss = cross_entropy(logits, labels, reduction="sum")
        return Score(int((logits.argmax(dim=1) == labels).sum()), float(loss), int(labels.numel()))

    def logits(self, states: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
        """Of all rows [rows, classes]."""
        weight = tensors[WEIGHT]
        own = states.reshape(weight.shape[0], -1, weight.shape[2])
        if self._train:
            *factors, bias = (tensors[name] for name in self._train)
            own = torch.tanh(torch.baddbmm(bias[:, None], own, matrix(factors)))
        return torch.baddbmm(tensors[BIAS][:, None], own, weight.mT).reshape(-1, weight.shape[1])


class LanguageHead:
    """The last normalisation of a language model, which clients train, before its frozen output matrix.

    The loss is the mean cross-entropy of a client's next tokens. The output matrix is as large as the vocabulary times
    the width, too large to be sent; the gain (and bias) of the normalisation is what stands for a task head here.
    """

    def __init__(self, norm: Any, vocabulary: Tensor) -> None:
        self._vocabulary = vocabulary
        self._without_gain = without_gain(norm)
        first = {WEIGHT: norm.weight} | ({BIAS: norm.bias} if getattr(norm, "bias", None) is not None else {})
        self._first: Params = {name: value.detach().cpu().numpy().copy() for name, value in first.items()}
        self.shapes: dict[str, tuple[int, ...]] = {name: value.shape for name, value in self._first.items()}

    def initial(self, random: np.random.Generator) -> Params:
        """As the model was pre-trained."""
        return {name: value.copy() for name, value in self._first.items()}

    def loss(self, states: Tensor, batch: Batch, tensors: Mapping[str, Tensor]) -> Tensor:
        """Each client's loss [K]."""
        clients, rows = tensors[WEIGHT].shape[0], states.shape[0]
        share, following, positions = _next_tokens(batch)
        normed = self._normed(states[:, :-1], tensors).reshape(-1, states.shape[2])[positions]
        loss = cross_entropy(frozen_linear(normed, self._vocabulary), following, reduction="none")
        owner = torch.arange(clients, device=states.device).repeat_interleave(rows // clients)
        owner = owner[:, None].expand(share.shape).reshape(-1)[positions]
        total = torch.zeros(clients, dtype=loss.dtype, device=loss.device).index_add(0, owner, loss)
        return total / share.view(clients, -1).sum(1)

    def score(self, states: Tensor, batch: Batch, tensors: Mapping[str, Tensor]) -> Score:
        """Of all next tokens together."""
        _, following, positions = _next_tokens(batch)
        normed = self._normed(states[:, :-1], tensors).reshape(-1, states.shape[2])[positions]
        right, loss = 0, 0.0
        at_once = max(1, LOGITS_AT_ONCE // self._vocabulary.shape[0])
        for own, labels in zip(torch.split(normed, at_once), torch.split(following, at_once), strict=True):
            logits = frozen_linear(own, self._vocabulary)
            right += int((logits.argmax(dim=1) == labels).sum())
            loss += float(cross_entropy(logits, labels, reduction="sum"))
        return Score(right, loss, int(following.numel()))

    def _normed(self, states: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
        weight = tensors[WEIGHT]
        own = self._without_gain(states).reshape(weight.shape[0], -1, states.shape[-1]) * weight[:, None]
        if BIAS in tensors:
            own = own + tensors[BIAS][:, None]
        return own.reshape(states.shape)


def _next_tokens(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Whether a place has a next token, as float [rows, T - 1]; those tokens; and where they stand in the flat rows."""
    if batch.mask is None:
        mask = torch.ones_like(batch.values[:, 1:])
    else:
        mask = batch.mask[:, 1:]
    positions = mask.reshape(-1).nonzero()[:, 0]
    return mask.to(torch.float32), batch.values[:, 1:].reshape(-1)[positions], positions
