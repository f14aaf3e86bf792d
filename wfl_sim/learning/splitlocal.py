"""Training in two halves on one model in memory: the client's pass up to the cut and back, and the server's from there.

Knows tensors and what is sent between the halves; neither clients, nor rounds, nor draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wfl_sim.codecs.values import Float32
from wfl_sim.contracts import Params
from wfl_sim.learning.activations import Activations
from wfl_sim.learning.halves import Halves
from wfl_sim.learning.livebytes import peak_bytes
from wfl_sim.learning.local import LocalTraining, Setup, optimizer_of
from wfl_sim.learning.models import Batch
from wfl_sim.learning.workers import Here


@dataclass
class Half:
    """What one side trains in a round, [1, ...] each, and what it remembers of a step."""

    first: dict[str, Tensor]
    tensors: dict[str, Tensor]
    optimizer: Any
    states: Tensor | None = None  # of the client: what left its layers
    tokens: NDArray[np.bool_] | None = None  # of the same: which of them are no padding

    def pull(self, proximal: float) -> Tensor:
        """What holds it near to where it began: (proximal / 2) |w - w0|^2."""
        value = next(iter(self.tensors.values())).new_zeros(())
        if proximal > 0:
            for name, tensor in self.tensors.items():
                value = value + 0.5 * proximal * (tensor - self.first[name]).square().sum()
        return value

    def trained(self) -> Params:
        """What became of it."""
        return {name: value.detach()[0].cpu().numpy().copy() for name, value in self.tensors.items()}

    def remembered(self) -> list[Tensor]:
        """What the optimiser keeps from step to step."""
        states = self.optimizer.state.values()
        return [value for state in states for value in state.values() if isinstance(value, Tensor)]

    def drop(self) -> None:
        """The step is over."""
        self.states = self.tokens = None
        for tensor in self.tensors.values():
            tensor.grad = None


@dataclass
class Pair:
    """A client in a round: its cut, and both halves of its adapters."""

    cut: int
    lower: Half
    upper: Half
    everything: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.everything = self.lower.tensors | self.upper.tensors


class Measured(NamedTuple):
    """Bytes of a real step at one cut: of a client all, and of the server its parts.

    The server has `weights` of the whole model, or `weights_above` of the layers above the cut; `step` is the peak of
    all else while it serves a client, of which it keeps `kept`, adapters and optimiser, from step to step.
    """

    client: int
    weights: int
    weights_above: int
    step: int
    kept: int


class SplitTraining(LocalTraining):
    """Trains one client at a time, as a client and a server would between them; evaluates as ever.

    Parameters
    ----------
    setup : Setup
        With an adapter.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        probe = self._inputs["train"].batch(torch.arange(min(2, len(self._inputs["train"]))))
        self.halves = Halves(self._backbone, probe)
        self._picture = probe.values.shape[1:]
        self.hidden, self._language = self._backbone.hidden, self._backbone.vocabulary is not None

    def lower_names(self, cut: int) -> list[str]:
        """What a client trains; the rest is the server's, the head with it."""
        places = {name: self.halves.layer_of(name) for name in self.layout.shapes}
        return [name for name, layer in places.items() if layer is not None and layer < cut]

    def begin(self, start: Params, cut: int, rate: float) -> Pair:
        """A round of a client that has `start`, with fresh optimisers; learning rates are multiplied with `rate`."""
        lower = self.lower_names(cut)
        upper = [name for name in self.layout.shapes if name not in set(lower)]
        return Pair(cut, self._half(start, lower, rate), self._half(start, upper, rate))

    def _half(self, start: Params, names: Sequence[str], rate: float) -> Half:
        first = {name: self._tensor(start[name])[None] for name in names}
        tensors = {name: value.clone().requires_grad_() for name, value in first.items()}
        return Half(first, tensors, optimizer_of(self._setup.local, tensors, rate))

    def forward(self, pair: Pair, rows: NDArray[np.int64]) -> Activations:
        """The client's way up with some training examples."""
        batch = self._inputs["train"].batch(torch.from_numpy(rows))
        self._adapters_of(pair)
        with self._precision():
            states = self.halves.lower(batch, pair.cut)
        examples, longest = states.shape[:2]
        lengths = np.full(examples, longest) if batch.mask is None else batch.mask.sum(1).cpu().numpy()
        pair.lower.states, pair.lower.tokens = states, np.arange(longest) < lengths[:, None]
        sent = states.detach().float().cpu().numpy()[pair.lower.tokens]
        labels = batch.labels.cpu().numpy()
        if self._language:
            labels = batch.values.cpu().numpy()[pair.lower.tokens]
        return Activations(pair.cut, lengths, labels, sent)

    def serve(self, pair: Pair, got: Activations) -> Float32:
        """The server's part of a step: loss, step of the upper adapters, and the gradient of the activations."""
        tokens = np.arange(got.lengths.max()) < got.lengths[:, None]
        states = np.zeros((*tokens.shape, self.hidden), np.float32)
        states[tokens] = got.states
        given = self._tensor(states).requires_grad_()
        batch = self._batch_of(got, tokens)
        self._adapters_of(pair)
        with self._precision():
            seen = self.halves.upper(batch, pair.cut, given)
        half = pair.upper
        loss = self.head.loss(seen.float(), batch, half.tensors).sum()
        (loss + half.pull(self._setup.local.proximal)).backward()  # type: ignore[no-untyped-call]
        assert given.grad is not None  # the loss depends on it
        gradient = given.grad.cpu().numpy()[tokens]
        half.optimizer.step()
        half.drop()
        return gradient

    def backward(self, pair: Pair, gradient: Float32) -> None:
        """The client's way back, and the step of its adapters."""
        half = pair.lower
        assert half.states is not None and half.tokens is not None  # it went forward
        whole = np.zeros(half.states.shape, np.float32)
        whole[half.tokens] = gradient
        half.states.backward(self._tensor(whole).to(half.states.dtype))  # type: ignore[no-untyped-call]
        if self._setup.local.proximal > 0:
            half.pull(self._setup.local.proximal).backward()  # type: ignore[no-untyped-call]
        half.optimizer.step()
        half.drop()

    def measured(self, start: Params, cut: int, rows: NDArray[np.int64]) -> Measured:
        """What a real step takes at a cut."""
        whole, lower = self.begin(start, cut, 1.0), self.begin(start, cut, 1.0)
        sent, gradients = self.forward(whole, rows), list[Float32]()
        served = peak_bytes(lambda: gradients.append(self.serve(whole, sent)), self._device)

        def client() -> None:
            self.forward(lower, rows)
            self.backward(lower, gradients[0])

        step = peak_bytes(client, self._device)
        below, above = self.halves.weights(cut)
        norm, vocabulary = self._backbone.norm, self._backbone.vocabulary
        beside = [*(norm.parameters() if norm is not None else ()), *filter(None.__ne__, [vocabulary])]
        above += _bytes(beside)
        return Measured(
            client=below + step + _bytes(lower.lower.tensors.values()),
            weights=below + above,
            weights_above=above,
            step=served + _bytes(whole.upper.tensors.values()),
            kept=_bytes([*whole.upper.tensors.values(), *whole.upper.remembered()]),
        )

    def _batch_of(self, got: Activations, tokens: NDArray[np.bool_]) -> Batch:
        """What the server can say of a batch: its shape and mask, and the labels."""
        inputs = self._inputs["train"]
        labels = torch.from_numpy(got.labels).to(self._device)
        if inputs.lengths is None:  # images: as many places as there are
            return Batch(torch.zeros(1, device=self._device).expand(len(got.lengths), *self._picture), None, labels)
        values = torch.zeros(tokens.shape, dtype=torch.int64, device=self._device)
        if self._language:
            values[torch.from_numpy(tokens).to(self._device)] = labels
        mask = None if tokens.all() else torch.from_numpy(tokens.astype(np.int64)).to(self._device)
        return Batch(values, mask, labels)

    def _adapters_of(self, pair: Pair) -> None:
        assert self._adapters is not None  # split training is of adapters
        self._adapters.use(pair.everything)


class SplitHere(Here):
    """Trains in this process, and shows the halves."""

    def __init__(self, setup: Setup) -> None:
        self.halves = self._local = SplitTraining(setup)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
