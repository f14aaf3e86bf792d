"""SA-FedLoRA: LoRA adapters whose rank is large while the run is hot, and falls as it cools (arXiv:2405.09394v1).

Knows arrays and names only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from channels.options import OptionError, Whole
from channels.units import Fraction, NonNegative, Probability
from wfl_sim import lowrank
from wfl_sim.contracts import FloatArray, Params
from wfl_sim.methods import exact
from wfl_sim.methods.base import WEIGHTS, Adapter, Arrival, Notes, Regulariser, add_where_sent, pairs_of
from wfl_sim.methods.lora import Lora

if TYPE_CHECKING:
    from wfl_sim.codecs.base import Layout


@dataclass(frozen=True, kw_only=True)
class SaFedLora(Lora):
    """LoRA adapters whose rank is annealed (SA-FedLoRA): large while a run is hot, smaller as it cools.

    In the initiating stage a proximal term keeps clients near the model that they began with. Then adapters of the
    largest rank learn while the run is hot, and while it cools the server cuts them, so that payloads shrink. The task
    head is averaged as ever.

    Formula
    -------
    Of version t of the model in a run of T rounds, with T0 = `initiating_rounds`, clients minimise, while t < T0::

        f(w) + (proximal / 2) |w - w_t|^2

    and from there on, with s = (t - T0) / (T - 1 - T0), s' = max(0, (s - heat) / (1 - heat)) and ranks R = `rank` and
    r = `rank_end`::

        cosine        r_t = r + (R - r) (1 + cos(pi s')) / 2
        linear        r_t = R - (R - r) s'
        exponential   r_t = R (r / R)^s'
        step          r_t = R / 2^floor(s' (1 + log2(R / r))),  at least r

    rounded to whole ranks. Where the rank falls, the server cuts the averaged product of each layer by the singular
    value decomposition U S V^T of B A, from thin factors::

        A <- sqrt(S_r) V_r^T,    B <- U_r sqrt(S_r),    lost: the sum of the other singular values squared

    dW = (alpha / `rank`) B A with the first rank throughout, so that a cut changes the model by what it loses alone.

    Validity
    --------
    The server broadcasts the cut factors, which are smaller than a change of the old ones. What a client could not send
    of old factors means nothing in new ones, and is forgotten; so is the state of the optimiser, as in every round. A
    late update of another rank is merged by what its change of B A is in the rows of A as it is now. With `rank_end`
    equal to `rank` and no initiating rounds it is ``fedavg``. Versions count updates: rounds in which nothing arrives
    are not annealed. Where computing times are counted from the model, they are those of the first rank, also while all
    weights are trained, which takes half as long again.

    Source
    ------
    A reconstruction of SA-FedLoRA, arXiv:2405.09394 v1 (v2 under that number is another paper), which describes the two
    stages: an initiating one with parameter regularisation, an annealing one whose parameter budget shrinks. Own: the
    schedules, the cut, and what is done with its remainder.

    Options
    -------
    rank_end : Rank at the end of the run. Smaller: payloads fall further, and late rounds learn less.
    annealing : How the rank falls: ``cosine``, ``linear``, ``exponential``, or by halves (``step``).
    heat : Share of the annealing stage in which the rank is the largest still. Larger: more is learnt, more is sent.
    initiating : What is trained and sent in the initiating stage: ``lora`` adapters of the first rank, or ``full``, all
        weights of the model in their place, many times as large, which are trained one client after the other.
    initiating_rounds : Versions of the model in the initiating stage; 0 for none.
    initiating_rate : By what `learning.local.lr` is multiplied in a ``full`` initiating stage: whole weights want a far
        smaller rate than adapters. Smaller: they move less.
    proximal : Weight of the proximal term in the initiating stage, added to that of `learning.local`.
    merge_residual : Whether what a cut loses goes to the layer itself, which costs a larger broadcast.
    """

    kind: Literal["sa_fedlora"] = "sa_fedlora"
    rank: Annotated[int, Whole(ge=1, le=100_000)] = 16
    rank_end: Annotated[int, Whole(ge=1, le=100_000)] = 2
    annealing: Literal["cosine", "linear", "exponential", "step"] = "cosine"
    heat: Probability = 0.2
    initiating: Literal["lora", "full"] = "lora"
    initiating_rounds: Annotated[int, Whole(ge=0, le=10**6)] = 1
    initiating_rate: Fraction = 0.01
    proximal: NonNegative = 0.01
    merge_residual: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank_end > self.rank:
            message = f"must be at most the first rank, {self.rank}; got {self.rank_end}"
            raise OptionError(type(self).__name__, "rank_end", message)

    def adapter(self) -> Adapter | None:
        whole = self.initiating == "full" and self.initiating_rounds > 0
        return Adapter(self.rank, self.counted_alpha, self.init, self.adapt, dense=self.merge_residual, whole=whole)

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        return add_where_sent(model, arrivals)

    def stage(self, version: int, rounds: int, notes: Notes) -> Annealed:
        """What holds for a version."""
        return Annealed(self, version, self.rank_at(version, rounds), self.rank_at(version + 1, rounds))

    def rank_at(self, version: int, rounds: int) -> int:
        """The rank of a version's adapters."""
        cooling = rounds - 1 - self.initiating_rounds
        s = (version - self.initiating_rounds) / cooling if cooling > 0 else 0.0
        s = min(max((s - self.heat) / (1.0 - self.heat) if self.heat < 1.0 else 0.0, 0.0), 1.0)
        most, least = self.rank, self.rank_end
        if self.annealing == "cosine":
            found = least + (most - least) * (1.0 + math.cos(math.pi * s)) / 2.0
        elif self.annealing == "linear":
            found = most - (most - least) * s
        elif self.annealing == "exponential":
            found = most * (least / most) ** s
        else:
            found = max(most / 2.0 ** math.floor(s * (1.0 + math.log2(most / least))), least)
        return math.floor(found + 0.5)


@dataclass(frozen=True)
class Annealed:
    """SA-FedLoRA for one version of the model, and the rank of the next one."""

    method: SaFedLora
    version: int
    rank: int
    next_rank: int

    @property
    def kind(self) -> str:
        return self.method.kind

    @property
    def proximal(self) -> float:
        """Weight of the proximal term."""
        return self.method.proximal if self.version < self.method.initiating_rounds else 0.0

    @property
    def rate(self) -> float:
        """By what the learning rate is multiplied, but for the head's."""
        return self.method.initiating_rate if self._full else 1.0

    @property
    def _full(self) -> bool:
        return self.version < self.method.initiating_rounds and self.method.initiating == "full"

    def adapter(self) -> Adapter | None:
        adapter = self.method.adapter()
        return adapter and replace(adapter, rank=self.rank)

    def regulariser(self) -> Regulariser | None:
        return None

    def opened(self, layout: Layout) -> Layout:
        """Adapters of the version's rank and the head; of a full initiating stage all weights in place of adapters."""
        weights = {name for name in layout.plain if name.startswith(WEIGHTS)}
        layout = layout.without(set(layout.factors) if self._full else weights)
        shapes = dict(layout.shapes)
        for a, b in layout.pairs:
            shapes[a], shapes[b] = (self.rank, shapes[a][1]), (shapes[b][0], self.rank)
        return replace(layout, shapes=shapes)

    def ended(self, name: str) -> bool:
        """Whether a tensor is never open again."""
        return name.startswith(WEIGHTS) and self.version >= self.method.initiating_rounds

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        return self.method.aggregate(model, [_in_basis(arrival, model) for arrival in arrivals])

    def broadcast(self, model: Params, arrivals: Sequence[Arrival]) -> Params | None:
        """The cut factors, what the layers take of the rest, and the change of the head; None where nothing is cut."""
        if self.next_rank == self.rank:
            return None
        merged = self.aggregate(model, arrivals)
        sent = {name for x in arrivals for name in x.change}
        arrays = {name: merged[name] - model[name] for name in exact.outside(model) if name in sent}
        for pair in pairs_of(model):
            (a, b), (lost_b, lost_a) = _cut(merged[pair[1]], merged[pair[0]], self.next_rank)
            arrays |= {pair[0]: a.astype(np.float32), pair[1]: b.astype(np.float32)}
            if self.method.merge_residual:
                arrays |= exact.added(pair[0], ([lost_b], [lost_a]), model)
        return arrays

    def broadcast_shapes(self, shapes: Mapping[str, tuple[int, ...]], arrivals: int) -> exact.Shapes | None:
        """The shapes of `broadcast`, where nothing of the averaged products is 0."""
        if self.next_rank == self.rank:
            return None
        found = dict(shapes)
        for a, b in pairs_of(shapes):
            outputs, inputs = shapes[b][0], shapes[a][1]
            found |= {a: (self.next_rank, inputs), b: (outputs, self.next_rank)}
            if self.method.merge_residual:
                lost = min(self.rank, outputs, inputs) - self.next_rank
                found |= exact.most_added(a, outputs, inputs, max(lost, 1))
        return found

    def received(self, model: Params, arrays: Params) -> Params:
        """The model with the factors that were broadcast in place of its own."""
        after, paired = dict(model), {name for pair in pairs_of(model) for name in pair}
        for name, value in arrays.items():
            if name in paired:
                after[name] = value
            elif name in model and not name.endswith(".W"):
                after[name] = (model[name].astype(float) + value).astype(np.float32)
        if self.method.merge_residual:
            for layer in (name for name in model if name.endswith(".W")):
                after[layer] = exact.folded(model[layer], arrays, layer, self.method.counted_alpha / self.method.rank)
        return after


def _in_basis(arrival: Arrival, model: Params) -> Arrival:
    """The arrival, with changes of factors of another rank as changes of the model's B.

    What is best of B' A' - B A = dB A' + B dA in the rows of the model's own A is that times A's pseudo-inverse.
    """
    moved = dict(arrival.change)
    for pair in pairs_of(model):
        a, b = pair
        if a not in moved or moved[a].shape == model[a].shape:
            continue
        own_a, own_b, change_a, change_b = exact.factors_of(arrival, model, pair)
        back = np.linalg.pinv(model[a].astype(float))
        change = change_b @ ((own_a + change_a) @ back) + own_b @ (change_a @ back)
        moved[a], moved[b] = np.zeros_like(model[a]), change.astype(np.float32)
    return replace(arrival, change=moved)


def _cut(
    left: FloatArray | NDArray[np.float32], right: FloatArray | NDArray[np.float32], rank: int
) -> tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]:
    """A and B of the best product of a rank, and factors of the rest.

    Where the product has a lower rank, the last rows of A have length 1 and the columns of B are 0, so that they can
    still learn.
    """
    u, s, v = lowrank.product_svd(left, right)
    if s.size < rank:  # a layer narrower than that: the last components add nothing
        u, v = np.pad(u, ((0, 0), (0, rank - s.size))), np.pad(v, ((0, rank - s.size), (0, 0)))
        s = np.pad(s, (0, rank - s.size))
    root = np.sqrt(s)
    empty = root <= root[0] * 1e-7 if root[0] > 0 else np.ones(root.size, dtype=bool)
    up, down = np.where(empty, 0.0, root), np.where(empty, 1.0, root)
    a, b = down[:, None] * v, u * up
    return (a[:rank], b[:, :rank]), (b[:, rank:], a[rank:])
