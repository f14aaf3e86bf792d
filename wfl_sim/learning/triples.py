"""Local training and evaluation with H2Tune's triples: clients of one backbone side by side, arrays in, arrays out.

Knows tensors; neither clients, nor rounds, nor draws, nor what is sent. `wfl_sim.methods.h2tune` has the formulas.

A client's arrays are its own (``LAYER.A``, ``LAYER.B``, ``LAYER.Q``, ``alignment``, and the head), the server's
``shape`` G as it was received, and ``begun``, 0 before its first round. Training gives them back, with ``delta``, the
change D of the client's layers of S, in place of ``shape`` and ``begun``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from wfl_sim.codecs.base import Layout
from wfl_sim.contracts import Params
from wfl_sim.errors import MissingResource
from wfl_sim.learning import flops, models, targets
from wfl_sim.learning.adapters import Adapted, features
from wfl_sim.learning.heads import ClassHead, Score
from wfl_sim.learning.local import Rows, Setup, clip, device, optimizer_of
from wfl_sim.learning.models import Batch
from wfl_sim.learning.workers import Described, Result
from wfl_sim.methods import alignment
from wfl_sim.methods.base import Lesson
from wfl_sim.methods.h2tune import ALIGNMENT, BEGUN, DELTA, SHAPE, H2Tune, Triple

SHARED = (DELTA, "masks", ALIGNMENT)  # what the shared step trains
SMALL = 1e-12  # under the root of a norm: of a matrix of zeros it has no gradient


class TripleLayer(Adapted):
    """With `wfl_sim.methods.h2tune.Triple`: A [K, r, n], B [K, m, r] and T [K, r, r]."""

    def __init__(self, frozen: torch.nn.Module, scale: float) -> None:
        super().__init__(frozen)
        self._scale = scale

    def adapted(self, x: Tensor, y: Tensor) -> Tensor:
        inner = torch.bmm(x, self.tensors["A"].mT)
        inner = torch.baddbmm(inner, inner, self.tensors["T"].mT)
        return torch.baddbmm(y, inner, self.tensors["B"].mT, alpha=self._scale)


class TripleTraining:
    """Trains groups of clients, and evaluates, on one model that it holds; in this process, when it is asked for.

    It is an `wfl_sim.learning.workers.Executor` as well.

    Parameters
    ----------
    setup : Setup
        Its adapter is a `Triple`.
    method : H2Tune
    most : int
        Layers of the deepest backbone of the run.
    """

    def __init__(self, setup: Setup, method: H2Tune, most: int) -> None:
        assert isinstance(setup.adapter, Triple)
        self._setup, self._method, self._adapter, self._most = setup, method, setup.adapter, most
        self._device = device(setup.device)
        self._backbone = models.load(setup.model, setup.task.kind, self._device)
        sets = {"train": setup.task.train, "test": setup.task.test}
        self._inputs = {name: self._backbone.inputs(part, setup.max_tokens) for name, part in sets.items()}
        module = self._backbone.module
        names = targets.find(module, setup.adapter.roles)
        self.blocks = blocks_of(names, setup.model.name)
        self._places = {name: (block, place) for block, own in enumerate(self.blocks) for place, name in enumerate(own)}
        self.layers, self._placed = dict[str, tuple[int, int]](), dict[str, TripleLayer]()
        for name in names:
            frozen = module.get_submodule(name)
            self.layers[name] = features(frozen)
            self._placed[name] = TripleLayer(frozen, setup.adapter.alpha / setup.adapter.rank)
            module.set_submodule(name, self._placed[name])
        self.head = ClassHead(self._backbone.hidden, len(setup.task.classes))
        own = {f"{path}.{n}": shape for path, widths in self.layers.items()
               for n, shape in setup.adapter.shapes(*widths).items()}  # fmt: skip
        self.layout = Layout((), (*own, *self.head.shapes), {**own, **self.head.shapes})
        self._trained = [name for name in self.layout.shapes if not name.endswith(".Q")]  # of one's own

    def describe(self) -> Described:
        """What there is to train."""
        longest, lengths = self._inputs["train"].lengths, self._inputs["test"].lengths
        tokens = self._backbone.tokens(self._setup.max_tokens) if longest is None else int(longest.max())
        return Described(self.layout, self.layers, tokens, None if lengths is None else lengths.cpu().numpy())

    def first_head(self, random: np.random.Generator) -> Params:
        """First values of the head."""
        return self.head.initial(random)

    def freeze(self, values: Params) -> None:
        """Nothing of a triple is frozen."""

    def train(
        self, starts: Sequence[Params], rows: Rows, rate: float = 1.0, lesson: Lesson | None = None
    ) -> Result[list[Params]]:
        """What becomes of K clients on rows [K, steps, batch] of the training examples, once it is asked for."""
        return cache(partial(self._each, starts, rows, rate))

    def evaluate(self, params: Params, rows: Rows) -> Result[Score]:
        """The score of a client's arrays on some rows of the held-out examples, once it is asked for."""
        return cache(partial(self._score, params, rows))

    def close(self) -> None:
        """Nothing is left running."""

    def _each(self, starts: Sequence[Params], rows: Rows, rate: float) -> list[Params]:
        """Those in their first round apart from the others: they take other steps."""
        found: dict[int, Params] = {}
        for begun in (0, 1):
            places = [k for k, start in enumerate(starts) if int(start[BEGUN][0]) == begun]
            if places:
                train = self._alternating if begun else self._together
                trained = self._trained_from([starts[k] for k in places], rows[places], rate, train)
                found |= dict(zip(places, trained, strict=True))
        return [found[k] for k in range(len(starts))]

    def _trained_from(self, starts: Sequence[Params], rows: Rows, rate: float, train: Any) -> list[Params]:
        tensors, shapes = self._tensors(starts)
        leaves = {name: tensors[name].requires_grad_() for name in (*SHARED, *self._trained)}
        train(leaves, shapes, rows, rate)
        arrays = {name: value.detach().cpu().numpy() for name, value in leaves.items()}
        return [self._client({name: value[k].copy() for name, value in arrays.items()}) for k in range(len(starts))]

    def _together(self, leaves: dict[str, Tensor], shapes: Shapes, rows: Rows, rate: float) -> None:
        """The first round: one step a batch, for everything."""
        optimizer, before = optimizer_of(self._setup.local, leaves, rate), None
        for step in range(rows.shape[1]):
            batch = self._batch(rows[:, step])
            made = shapes(leaves)
            before = made.detach() if before is None else before
            loss = self._loss(batch, leaves, made)[0] + self._of_shapes(made, before)
            self._step(optimizer, loss, leaves, list(leaves))

    def _alternating(self, leaves: dict[str, Tensor], shapes: Shapes, rows: Rows, rate: float) -> None:
        """Later rounds: of each batch a step for what is shared, then one for what is not."""
        steps = {names: optimizer_of(self._setup.local, {name: leaves[name] for name in names}, rate)
                 for names in (SHARED, tuple(self._trained))}  # fmt: skip
        (shared, own), before = steps, None
        for step in range(rows.shape[1]):
            batch = self._batch(rows[:, step])
            made = shapes(leaves)
            before = made.detach() if before is None else before
            loss, logits = self._loss(batch, leaves, made)
            self._step(steps[shared], loss + self._of_shapes(made, before), leaves, shared)
            loss, now = self._loss(batch, leaves, shapes(leaves).detach())
            apart = divergence(logits.detach(), now).view(len(loss), -1).mean(1)
            self._step(steps[own], loss + self._method.consistency * apart, leaves, own)

    def _step(self, optimizer: Any, loss: Tensor, leaves: dict[str, Tensor], names: Sequence[str]) -> None:
        """A step of these leaves alone. Clients share no tensor, so the gradient of the sum is each one's own."""
        local, moved = self._setup.local, [leaves[name] for name in names]
        optimizer.zero_grad()
        if local.proximal > 0:
            loss = loss + self._proximal(leaves, names)
        loss.sum().backward(inputs=moved)  # type: ignore[no-untyped-call]
        if local.clip_norm is not None:
            clip(moved, local.clip_norm)
        optimizer.step()

    def _proximal(self, leaves: dict[str, Tensor], names: Sequence[str]) -> Tensor:
        terms = [(leaves[name] - self._first[name]).square().flatten(1).sum(1) for name in names]
        return 0.5 * self._setup.local.proximal * torch.stack(terms).sum(0)

    def _of_shapes(self, made: Tensor, before: Tensor) -> Tensor:
        """Each client's penalty [K] on its T [K, L, M, r, r]: mean norm, and mean divergence from what it was."""
        norms = (made.square().flatten(-2).sum(-1) + SMALL).sqrt().flatten(1).mean(1)
        apart = divergence(before.flatten(-2), made.flatten(-2)).flatten(1).mean(1)
        return self._method.norm * norms + self._method.consistency * apart

    def _loss(self, batch: Batch, leaves: Mapping[str, Tensor], made: Tensor) -> tuple[Tensor, Tensor]:
        """Each client's cross-entropy [K], and the logits of all rows."""
        states = self._states(batch, leaves, made)
        return self.head.loss(states, batch, leaves), self.head.logits(states, leaves)

    def _states(self, batch: Batch, leaves: Mapping[str, Tensor], made: Tensor) -> Tensor:
        for name, (block, place) in self._places.items():
            own = {"A": leaves[f"{name}.A"], "B": leaves[f"{name}.B"], "T": made[:, block, place]}
            self._placed[name].tensors = own
        with torch.autocast(self._device, torch.bfloat16, enabled=self._setup.precision == "bf16"):
            states = self._backbone.states(batch)
        return states.float()

    def _score(self, params: Params, rows: Rows) -> Score:
        with torch.inference_mode():
            tensors, shapes = self._tensors([params])
            batch = self._inputs["test"].batch(torch.from_numpy(rows))
            return self.head.score(self._states(batch, tensors, shapes(tensors)), batch, tensors)

    def step_flop(self) -> float:
        """Operations of a client's two passes over a full batch of the longest examples, forward and backward."""
        size = self._setup.local.batch
        batch = self._inputs["train"].batch(torch.zeros(size, dtype=torch.int64))
        if self._inputs["train"].lengths is not None:
            values = batch.values.new_zeros(size, self._backbone.tokens(self._setup.max_tokens))
            batch = Batch(values, None, batch.labels)
        place = np.zeros((self._adapter.size, self._adapter.size), np.float32)
        start: Params = {name: np.zeros(shape, np.float32) for name, shape in self.layout.shapes.items()}
        start |= {ALIGNMENT: alignment.first_scores(self._most, len(self.blocks))}
        start[SHAPE] = np.broadcast_to(place, (self._most, len(self.blocks[0]), *place.shape)).copy()
        tensors, shapes = self._tensors([start])
        leaves = {name: value.requires_grad_() for name, value in tensors.items()}
        return self._method.passes * flops.count(lambda: self._loss(batch, leaves, shapes(leaves))[0].sum())

    def _tensors(self, starts: Sequence[Params]) -> tuple[dict[str, Tensor], Shapes]:
        """Clients' arrays stacked [K, ...], with D and the Q of all layers as one each, and what makes T of them."""
        stacked = {name: self._stack(starts, name) for name in (*self._trained, ALIGNMENT)}
        masks = np.stack([[[start[f"{name}.Q"] for name in names] for names in self.blocks] for start in starts])
        whole = torch.from_numpy(np.stack([start[SHAPE] for start in starts])).to(self._device)
        rank, size = self._adapter.rank, self._adapter.size
        chosen = torch.from_numpy(alignment.largest(masks, rank * rank)).to(self._device)
        stacked |= {"masks": torch.from_numpy(masks).to(self._device)}
        stacked[DELTA] = torch.zeros(len(starts), len(self.blocks), whole.shape[2], size, size, device=self._device)
        self._first = {name: value.clone() for name, value in stacked.items()}

        def shapes(tensors: Mapping[str, Tensor]) -> Tensor:
            psi = tensors[ALIGNMENT].softmax(dim=1)
            shared = torch.einsum("kgl,kgmab->klmab", psi, whole) + tensors[DELTA]
            part = shared.flatten(-2).gather(-1, chosen)
            scores = tensors["masks"].flatten(-2).gather(-1, chosen)
            return (part * (1.0 + scores - scores.detach())).reshape(*chosen.shape[:-1], rank, rank)

        return stacked, shapes

    def _stack(self, starts: Sequence[Params], name: str) -> Tensor:
        return torch.from_numpy(np.stack([start[name] for start in starts])).to(self._device)

    def _client(self, arrays: Params) -> Params:
        """A client's arrays, each layer's Q by its name again."""
        masks = arrays.pop("masks")
        scores = {f"{name}.Q": masks[place] for name, place in self._places.items()}
        return {name: scores[name] if name in scores else arrays[name]
                for name in (*self.layout.shapes, ALIGNMENT, DELTA)}  # fmt: skip

    def _batch(self, rows: NDArray[np.int64]) -> Batch:
        return self._inputs["train"].batch(torch.from_numpy(rows.ravel()))


Shapes = Callable[[Mapping[str, Tensor]], Tensor]  # T [K, L, M, r, r] of clients' tensors


def divergence(before: Tensor, now: Tensor) -> Tensor:
    """KL(softmax before || softmax now) over the last axis."""
    wanted = log_softmax(before, dim=-1)
    return kl_div(log_softmax(now, dim=-1), wanted, reduction="none", log_target=True).sum(-1)


def blocks_of(names: Sequence[str], model: str) -> list[list[str]]:
    """Paths of layers, those of a block together, in order of depth.

    Raises
    ------
    MissingResource
        The blocks differ in how many they have.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        parts = name.split(".")
        last = max((place for place, part in enumerate(parts) if part.isdecimal()), default=-1)
        found.setdefault(".".join(parts[: last + 1]), []).append(name)
    if len({len(own) for own in found.values()}) > 1:
        counts = ", ".join(f"{block} ({len(own)})" for block, own in found.items())
        raise MissingResource(f"model {model!r}: blocks differ in how many layers are adapted: {counts}")
    return list(found.values())
