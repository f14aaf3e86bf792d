"""Local training and evaluation on one model in memory: arrays in, arrays out.

Knows tensors; neither clients, nor rounds, nor draws: rows and first values are given, so that it computes the same in
whatever process it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wfl_sim.codecs.base import Layout
from wfl_sim.contracts import Params
from wfl_sim.errors import RunFailed
from wfl_sim.learning import flops, layouts, models, targets
from wfl_sim.learning.adapters import Adapters
from wfl_sim.learning.examples import Task
from wfl_sim.learning.heads import ClassHead, Head, LanguageHead, Score
from wfl_sim.learning.models import Batch, Inputs
from wfl_sim.learning.norms import Norms
from wfl_sim.learning.options import Device, Local, Model, Precision
from wfl_sim.learning.whole import Whole
from wfl_sim.methods.base import WEIGHTS, AnyAdapter, Lesson, Regulariser

EVALUATION_BATCH = 128
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Setup:
    """All that a process needs to train and evaluate; it can be sent to another one."""

    model: Model
    adapter: AnyAdapter | None
    task: Task
    max_tokens: int
    local: Local
    regulariser: Regulariser | None = None
    device: Device = "cpu"
    precision: Precision = "fp32"


class LocalTraining:
    """Trains groups of clients, and evaluates, on one model that it holds.

    Parameters
    ----------
    setup : Setup
        Its `adapter` is None where the head alone is trained: the model's states then are worked out once.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup, self._device = setup, device(setup.device)
        self._backbone = models.load(setup.model, setup.task.kind, self._device)
        sets = {"train": setup.task.train, "test": setup.task.test}
        self._inputs = {name: self._backbone.inputs(part, setup.max_tokens) for name, part in sets.items()}
        self._adapters: Adapters | None = None
        self._whole = Whole(self._backbone.module) if setup.adapter is not None and setup.adapter.whole else None
        self._changed: list[Whole | Norms] = [] if self._whole is None else [self._whole]
        if setup.adapter is not None and setup.adapter.norms:
            self._changed.append(Norms(self._backbone.module, setup.model.name))
        if setup.adapter is not None:
            names = targets.find(self._backbone.module, setup.adapter.roles)
            self._adapters = Adapters(self._backbone.module, names, setup.adapter)
        self.head: Head
        if self._backbone.vocabulary is not None:
            self.head = LanguageHead(self._backbone.norm, self._backbone.vocabulary)
        else:
            rank = None if setup.adapter is None else setup.adapter.classifier
            self.head = ClassHead(self._backbone.hidden, len(setup.task.classes), rank)
        self._states: dict[str, Tensor] = {}
        self.layers = {} if self._adapters is None else self._adapters.layers
        weights = {name: shape for changed in self._changed for name, shape in changed.shapes.items()}
        self.layout = layouts.layout(setup.adapter, self.layers, self.head.shapes, weights)
        self._frozen: dict[str, Tensor] = {}
        served = frozenset[str]() if setup.adapter is None else setup.adapter.served
        self._set_by_server = [f"{path}.{name}" for path in self.layers for name in sorted(served)]
        self._served: dict[str, Tensor] = {}
        self._alike = _alike(self.layout)

    def freeze(self, values: Params) -> None:
        """Give the values of what adapters need and nobody trains."""
        self._frozen = {name: self._tensor(value)[None] for name, value in values.items()}

    def tokens(self) -> int:
        """Of one example at most; 1 where only the head is trained, which reads one state an example."""
        if self._adapters is None and self._setup.task.kind != "language":
            return 1
        longest = self._inputs["train"].lengths
        return self._backbone.tokens(self._setup.max_tokens) if longest is None else int(longest.max())

    def lengths(self) -> NDArray[np.int64] | None:
        """Tokens of each held-out example; None where all are alike."""
        lengths = self._inputs["test"].lengths
        return None if lengths is None else np.asarray(lengths.cpu().numpy())

    def train(
        self, starts: Sequence[Params], rows: Rows, rate: float = 1.0, lesson: Lesson | None = None
    ) -> list[Params]:
        """Parameters of K clients after training from theirs, on rows [K, steps, batch] of the training examples.

        Learning rates are multiplied with `rate`. With a `lesson`, what it opens is trained, and given back; the rest
        stays as it was.
        """
        local, clients = self._setup.local, len(starts)
        if clients > 1 and self._weights_differ(starts, lesson):
            return [self.train([start], rows[k : k + 1], rate, lesson)[0] for k, start in enumerate(starts)]
        # A backbone that nobody trains here is one for all.
        one = {n for n in self.layout.shapes if n.startswith(WEIGHTS) and not (lesson and n in lesson.opened)}
        stacked = {
            name: self._stacked([start[name] for start in starts[: 1 if name in one else None]], name)
            for name in self.layout.shapes
        }
        first = {name: value for name, value in stacked.items() if lesson is None or name in lesson.opened}
        tensors = {name: value.clone().requires_grad_() for name, value in first.items()}
        closed = {name: value for name, value in stacked.items() if name not in first}
        self._serve(starts)
        more, own = (0.0, 1.0) if lesson is None else (lesson.proximal, lesson.rate)
        optimizer = optimizer_of(local, tensors, rate, own)
        for step in range(rows.shape[1]):
            batch = self._inputs["train"].batch(torch.from_numpy(rows[:, step].ravel()))
            optimizer.zero_grad()
            # Clients share no tensor: the gradient of the sum is each one's gradient of its own loss.
            loss = self._loss(batch, rows[:, step].ravel(), tensors | closed)
            self._penalised(loss, tensors, first, more).sum().backward()  # type: ignore[no-untyped-call]
            if local.clip_norm is not None:
                clip(list(tensors.values()), local.clip_norm)
            optimizer.step()
        arrays = {name: value.detach().cpu().numpy() for name, value in tensors.items()}
        if clients == 1:
            return [{name: value[0] for name, value in arrays.items()}]
        return [{name: value[k].copy() for name, value in arrays.items()} for k in range(clients)]

    def step_flop(self) -> float:
        """Operations of a client's step on a full batch of the longest examples, forward and backward.

        Where only the head is trained the states count too: a device has no reason to hold those of all its data.
        """
        setup, size = self._setup, self._setup.local.batch
        batch = self._inputs["train"].batch(torch.zeros(size, dtype=torch.int64))
        if self._inputs["train"].lengths is not None:
            values = batch.values.new_zeros(size, self._backbone.tokens(setup.max_tokens))
            batch = Batch(values, None, batch.labels)
        self._served = {}  # a device adds them to its frozen layers
        trained = {name: shape for name, shape in self.layout.shapes.items() if not name.startswith(WEIGHTS)}
        first = {name: torch.zeros(1, *shape, device=self._device) for name, shape in trained.items()}
        tensors = {name: value.clone().requires_grad_() for name, value in first.items()}

        def loss() -> Tensor:
            return self._penalised(
                self.head.loss(self._states_of(batch, tensors), batch, tensors), tensors, first
            ).sum()

        return flops.count(loss)

    def _penalised(
        self, loss: Tensor, tensors: dict[str, Tensor], first: dict[str, Tensor], more: float = 0.0
    ) -> Tensor:
        """What each client minimises [K]: its loss, what the method adds, and the proximal term, of `more` weight."""
        regulariser, proximal = self._setup.regulariser, self._setup.local.proximal + more
        if regulariser is not None:
            for alike in self._alike:  # small products cost their calls, not their arithmetic
                if not (pairs := [pair for pair in alike if tensors.keys() >= {*pair}]):
                    continue
                a, b = (torch.stack([tensors[pair[i]] for pair in pairs]) for i in (0, 1))
                penalty, wanted = regulariser(a, b), (len(pairs), *loss.shape)
                if penalty.shape != wanted:  # it would be broadcast, and count once for each client
                    got, sizes = tuple(penalty.shape), f"{len(pairs)} layers of {len(loss)} clients"
                    raise RunFailed(f"the method's regulariser gives {got} for {sizes}, not {wanted}")
                loss = loss + penalty.sum(0)
        if proximal > 0:
            for name, value in tensors.items():
                loss = loss + 0.5 * proximal * (value - first[name]).square().flatten(1).sum(1)
        return loss

    def _loss(self, batch: Batch, rows: Rows, tensors: dict[str, Tensor]) -> Tensor:
        with self._precision():
            states = self._seen("train", batch, rows, tensors)
        return self.head.loss(states.float(), batch, tensors)

    def evaluate(self, params: Params, rows: Rows) -> Score:
        """The score of parameters on some rows of the held-out examples."""
        tensors = {name: self._tensor(params[name])[None] for name in self.layout.shapes}
        self._serve([params])
        with torch.inference_mode():
            batch = self._inputs["test"].batch(torch.from_numpy(rows))
            with self._precision():
                states = self._seen("test", batch, rows, tensors)
            return self.head.score(states.float(), batch, tensors)

    def _seen(self, split: str, batch: Batch, rows: Rows, tensors: dict[str, Tensor]) -> Tensor:
        """The model's states of a batch; without adapters those of an example are worked out once and kept."""
        if self._adapters is not None or self._setup.task.kind == "language":  # a state a token is too much to keep
            return self._states_of(batch, tensors)
        if split not in self._states:
            self._states[split] = self._all_states(self._inputs[split])
        return self._states[split][torch.from_numpy(rows).to(self._device)]

    def _states_of(self, batch: Batch, tensors: dict[str, Tensor]) -> Tensor:
        if self._adapters is None:
            with torch.no_grad():
                return self._backbone.states(batch)
        clients = tensors[next(iter(self.layout.shapes))].shape[0]
        frozen = {name: value.expand(clients, *value.shape[1:]) for name, value in self._frozen.items()}
        self._adapters.use(tensors | frozen | self._served)
        for changed in self._changed:
            changed.use(tensors)
        return self._backbone.states(batch)

    def _all_states(self, inputs: Inputs) -> Tensor:
        order = by_length(None if inputs.lengths is None else inputs.lengths.cpu().numpy(), len(inputs.labels))
        states = torch.empty(order.size, self._backbone.hidden, device=self._device)
        with torch.no_grad():
            for start in range(0, order.size, EVALUATION_BATCH):
                rows = torch.from_numpy(order[start : start + EVALUATION_BATCH])
                states[rows.to(self._device)] = self._backbone.states(inputs.batch(rows))
        return states

    def _weights_differ(self, starts: Sequence[Params], lesson: Lesson | None) -> bool:
        """Whether clients cannot share a backbone: each trains its own, or has one of another version."""
        if self._whole is None:
            return False
        if lesson is None or any(name in lesson.opened for name in self._whole.shapes):
            return True
        first, others = starts[0], [start for start in starts[1:] if start is not starts[0]]
        return any(
            start[n] is not first[n] and not np.array_equal(start[n], first[n])
            for n in self._whole.shapes
            for start in others
        )

    def _serve(self, starts: Sequence[Params]) -> None:
        """Give the layers what the server has set, [1, ...] where it is the same for all clients."""
        for name in self._set_by_server:
            first, *others = (start[name] for start in starts)
            same = all(value is first or np.array_equal(value, first) for value in others)
            self._served[name] = self._tensor(first)[None] if same else self._tensor(np.stack([first, *others]))

    def _stacked(self, values: Sequence[NDArray[np.float32]], name: str) -> Tensor:
        """[K, ...]; a backbone, which is large, is not copied for one."""
        if len(values) == 1 and name.startswith(WEIGHTS):
            return self._tensor(values[0])[None]
        return self._tensor(np.stack(values))

    def _tensor(self, value: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(value).to(self._device)

    def _precision(self) -> Any:
        return torch.autocast(self._device, torch.bfloat16, enabled=self._setup.precision == "bf16")


def _alike(layout: Layout) -> list[list[tuple[str, str]]]:
    """The pairs of factors, those of equal shapes together."""
    groups: dict[object, list[tuple[str, str]]] = {}
    for a, b in layout.pairs:
        groups.setdefault((layout.shapes[a], layout.shapes[b]), []).append((a, b))
    return list(groups.values())


def device(wanted: Device) -> str:
    """Where to compute: ``auto`` takes a GPU if torch sees one."""
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise RunFailed(
            "learning.device: cuda is asked for, but torch sees no GPU here; take auto or cpu, or install a build of "
            "torch for your GPU (make env PIP_ARGS=...)"
        )
    return "cuda"


def by_length(lengths: NDArray[np.int64] | None, count: int) -> Rows:
    """All rows, equal lengths together: no padding."""
    return np.arange(count) if lengths is None else np.argsort(lengths, kind="stable")


def optimizer_of(local: Local, tensors: dict[str, Tensor], rate: float, own: float = 1.0) -> Any:
    """Of all clients at once: its rule goes element by element, so that clients do not touch each other.

    Rates are multiplied with `rate`, and all but the head's with `own` besides.
    """
    groups = [
        {"params": [value for name, value in tensors.items() if name.startswith("head.") == head], "lr": lr}
        for head, lr in ((False, own * rate * local.lr), (True, rate * local.head_lr))
    ]
    groups = [group for group in groups if group["params"]]
    if local.optimizer == "adamw":
        return torch.optim.AdamW(groups, weight_decay=local.weight_decay, fused=True)
    return torch.optim.SGD(groups, lr=local.lr, momentum=local.momentum, weight_decay=local.weight_decay, fused=True)


def clip(tensors: list[Tensor], most: float) -> None:
    """Scale each client's gradient, all its tensors together, down to a norm of `most`."""
    gradients = [tensor.grad for tensor in tensors if tensor.grad is not None]
    norms = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients]).sum(0).sqrt()
    factors = (most / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.dim() - 1)))
