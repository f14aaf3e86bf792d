"""What a method is: the adapters that it trains, its regulariser, its rule of aggregation.

Knows arrays; of each arrival it sees weight and staleness, never time, SNR or bits. An implementer's contract:

1. `adapter` says which adapters are trained (`Adapter`, which is LoRA, or `wfl_sim.methods.tensortrain.TensorTrain`),
   or None for the task head alone.
2. `regulariser`, if there is one, maps a pair (A [..., r, n], B [..., m, r]) of tensors to what local training adds to
   its loss, of the shape [...]: clients may be trained side by side, each along the first axis. It uses tensor methods
   only, so that this package imports no tensor library, and can be pickled (a method of the dataclass, no lambda): it
   travels to workers.
3. `aggregate` returns the new global parameters, of the names, shapes and types of the old ones, and changes none of
   its arguments. It is a pure function, and sums in order of client in float64: the result does not depend, by a single
   bit, on the order of the arrivals.
4. Weights are shares, and sum to 1 over the arrivals: if all clients send the same change, the result is that of this
   change alone at weight 1.
5. It is a frozen dataclass derived from `Options`; its field ``kind`` holds its name, and the docstring's
   section Options says what each other one means.
6. It stands in `METHODS` under its kind, or is an entry point of the group ``wfl_sim.method``.
7. It may have ``personal(names) -> frozenset[str]``: those of the tensors named that stay with each client. They are
   neither sent nor merged nor broadcast, and `aggregate` never sees them; a client trains on from its own.
8. It may have ``turn(model) -> dict[str, array]``: by the name of A, square maps T [r, r] that everyone who holds the
   model works out and applies, A <- T A and B <- B T^-1, after each aggregation. B A stays as it was, and changes that
   wait in the old basis are carried into the new one by the same maps (`wfl_sim.turning`).
9. It may say ``merges_products = True`` (a ClassVar): of a client's change it merges what becomes of B A. Then weights
   may sum to less than 1, the step of the server; an arrival of an older model than the current one has its `base`.
   With ``renews = True`` the factors of a new model have nothing to do with those of the old one: what waits at a
   client to be sent with its next change is forgotten but for tensors outside the pairs.
10. Exact rules of aggregation may have ``broadcast(model, arrivals) -> Params``, the arrays that the server
   broadcasts, ``received(model, arrays) -> Params``, what server and clients make of them, and
   ``broadcast_shapes(shapes, arrivals)``, the shapes of the largest such arrays for so many arrivals of the
   current model whose weights sum to 1. Factors
   ``NAME.A`` [q, n] and ``NAME.B`` [m, q] of any q are coded as a pair. `aggregate` is then the one after the other.
   With ``begins_anew = True`` adapters then begin again, as drawn for the new version. Where `broadcast` gives
   None, the change is broadcast as ever.
11. It may have ``stage(version, rounds, notes) -> Method``: what holds for a version of the model, the first of which
   is 0, in a run of so many `rounds` (one in which nothing arrives makes no version). A stage has ``opened(layout) ->
   Layout``: what of all that is trained at some time is trained and sent now, in the shapes that it has now; the rest
   stays as it is with everybody. It may have ``told(layout) -> bytes``: what clients are told of that, where it does
   not follow from the version; ``proximal`` and ``rate`` of its `Lesson`; and ``ended(name)``, whether a tensor that
   is closed is never open again. Its ``broadcast_shapes`` gives None where its `broadcast` does. A method with
   ``noted(notes, before, model) -> notes`` keeps plain numbers from one version to the next, by name. An arrival of an
   earlier stage may have other tensors, or other shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from wfl_sim.contracts import Params

Regulariser = Callable[[Any, Any], Any]
# What a linear layer of a transformer block does; `wfl_sim.learning.targets` knows the names of its module.
Role = Literal["query", "key", "value", "output", "up", "down"]


# A matrix product of a training step: rows, inner size, columns, and how many of its factors need a gradient.
Product = tuple[float, float, float, int]
Notes = dict[str, float]  # what a method remembers of one version for the next
WEIGHTS = "base."  # before the names of the backbone's own weights, as changes of the pre-trained ones
NORMS = "norms."  # before those of its norms' gains and shifts, likewise
CLASSIFIER = "classifier."  # before those of a hidden layer of the task head that is a tensor train


class AnyAdapter(Protocol):
    """What is added to linear layers of the transformer's blocks; `wfl_sim.learning.adapters` computes it.

    `roles` says which layers. What a layer's adapter consists of depends on the layer's widths alone; its tensors have
    short names here ("A"), and the layer's path before them elsewhere. `pairs` are factors (A, B) of which only the
    product B A counts, rank component by rank component, where both are trained. What is `frozen` is neither trained
    nor sent: it stays as the seed gave it, the same at all clients. What is `served` is not trained either, but set by
    the server; a device folds it into its frozen layer, so that it costs no work in a step. `whole` says that all
    weights of the backbone are trained too, in some stage, and `norms` that its norms are. With a `classifier` the task
    head has a hidden layer, of the tensor trains of that rank.
    """

    @property
    def rank(self) -> int: ...
    @property
    def roles(self) -> tuple[Role, ...]: ...
    @property
    def pairs(self) -> tuple[tuple[str, str], ...]: ...
    @property
    def frozen(self) -> frozenset[str]: ...
    @property
    def served(self) -> frozenset[str]: ...
    @property
    def whole(self) -> bool: ...
    @property
    def norms(self) -> bool: ...
    @property
    def classifier(self) -> int | None: ...

    def shapes(self, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
        """The tensors of one layer."""

    def first(self, outputs: int, inputs: int, random: np.random.Generator) -> Params:
        """Their first values."""

    def products(self, rows: float, outputs: int, inputs: int, needed: bool) -> list[Product]:
        """What a step computes with them; `needed` says whether what enters the layer needs a gradient."""

    def most_rank(self, width: int) -> tuple[int, str]:
        """The largest rank that adds anything, in a model of this width, and what sets it."""


class NothingElse:
    """What an adapter says that has no pairs, and all of whose tensors are trained, and nothing besides them."""

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        return ()

    @property
    def frozen(self) -> frozenset[str]:
        return frozenset()

    @property
    def served(self) -> frozenset[str]:
        return frozenset()

    @property
    def whole(self) -> bool:
        return False

    @property
    def norms(self) -> bool:
        return False

    @property
    def classifier(self) -> int | None:
        return None


@dataclass(frozen=True)
class Adapter(NothingElse):
    """LoRA on linear layers of the transformer's blocks: dW = (alpha / rank) B A, B = 0 at the start.

    `init` of A: ``orthonormal`` rows, or ``kaiming`` (uniform in +-1/sqrt(n), peft's default). `roles` says which
    layers. With `freeze_a` only B is trained and sent; A stays as the seed gave it, the same at all clients. With
    `dense` a layer has a matrix W [m, n] besides, 0 at the start, set by the server: y = W0 x + W x + (alpha / rank) B
    A x.
    """

    rank: int
    alpha: float
    init: Literal["orthonormal", "kaiming"]
    roles: tuple[Role, ...] = ("query", "value")
    freeze_a: bool = False
    dense: bool = False
    whole: bool = False

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        return () if self.freeze_a else (("A", "B"),)

    @property
    def frozen(self) -> frozenset[str]:
        return frozenset("A") if self.freeze_a else frozenset()

    @property
    def served(self) -> frozenset[str]:
        return frozenset("W") if self.dense else frozenset()

    @property
    def scale_a(self) -> float:
        """Expected length of a row of the first A."""
        return 1.0 if self.init == "orthonormal" else 3.0**-0.5

    def shapes(self, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
        served = {"W": (outputs, inputs)} if self.dense else {}
        return {"A": (self.rank, inputs), "B": (outputs, self.rank), **served}

    def first(self, outputs: int, inputs: int, random: np.random.Generator) -> Params:
        served = {"W": np.zeros((outputs, inputs), np.float32)} if self.dense else {}
        return {"A": self._first_a(inputs, random), "B": np.zeros((outputs, self.rank), np.float32), **served}

    def products(self, rows: float, outputs: int, inputs: int, needed: bool) -> list[Product]:
        trained = not self.freeze_a
        return [(rows, inputs, self.rank, needed + trained), (rows, self.rank, outputs, (needed or trained) + 1)]

    def most_rank(self, width: int) -> tuple[int, str]:
        return width, "the width of the layers"

    def _first_a(self, inputs: int, random: np.random.Generator) -> NDArray[np.float32]:
        if self.init == "kaiming":
            return random.uniform(-(inputs**-0.5), inputs**-0.5, (self.rank, inputs)).astype(np.float32)
        q, r = np.linalg.qr(random.standard_normal((inputs, self.rank)))
        return np.ascontiguousarray((q * np.sign(np.diag(r))).T, dtype=np.float32)


@dataclass(frozen=True)
class Lesson:
    """What one training is about, where that is not the same in all of a run.

    Those of the tensors named `opened` alone are trained; `proximal` is added to the weight of the proximal term, and
    learning rates but for the head's are multiplied with `rate`.
    """

    opened: frozenset[str]
    proximal: float = 0.0
    rate: float = 1.0


@dataclass(frozen=True)
class Arrival:
    """One client's decoded change of the parameters, and its share in the aggregation.

    The share is that of the data among those who arrived, times what the protocol lets an update of this age count.
    `staleness` is that age: how many versions the model has moved on since the client fetched it. `change` is one of
    the model that was fetched, and is to be merged with the model as it is now. `base` is that model where it is
    another one; None means the current one.
    """

    client: int
    change: Params
    weight: float
    staleness: int = 0
    base: Params | None = None


class Method(Protocol):
    """See the module docstring."""

    @property
    def kind(self) -> str: ...
    def adapter(self) -> AnyAdapter | None: ...
    def regulariser(self) -> Regulariser | None: ...
    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params: ...


def pairs_of(names: Iterable[str]) -> list[tuple[str, str]]:
    """The pairs (``NAME.A``, ``NAME.B``) among names, in order of A."""
    known = dict.fromkeys(names)
    return [(a, f"{a[:-2]}.B") for a in known if a.endswith(".A") and f"{a[:-2]}.B" in known]


def personal_of(method: Method, names: Sequence[str]) -> frozenset[str]:
    """Those of the tensors `names` that a method leaves with each client: none, unless it says so (`personal`)."""
    personal: Callable[[Sequence[str]], frozenset[str]] | None = getattr(method, "personal", None)
    chosen = frozenset() if personal is None else frozenset(personal(names))
    if unknown := sorted(chosen - set(names)):
        raise ValueError(f"method {method.kind}: {unknown[0]!r} cannot be personal: the tensors are {', '.join(names)}")
    return chosen


def has_one_rank(method: Any) -> bool:
    """Whether it trains adapters of a rank that a scenario states, the same in all of a run.

    A method whose rank changes has ``rank_at(version, rounds) -> int``.
    """
    return hasattr(method, "rank") and not hasattr(method, "rank_at") and method.adapter() is not None


def in_order(arrivals: Sequence[Arrival]) -> list[Arrival]:
    """By client, so that who was faster changes no bit."""
    return sorted(arrivals, key=lambda arrival: arrival.client)


def add_weighted(model: Params, arrivals: Sequence[Arrival]) -> Params:
    """model + sum_k w_k change_k, summed in float64 in order of client."""
    total = {name: value.astype(np.float64) for name, value in model.items()}
    for arrival in in_order(arrivals):
        for name, change in arrival.change.items():
            total[name] += arrival.weight * change.astype(np.float64)
    return {name: value.astype(np.float32) for name, value in total.items()}


def add_where_sent(model: Params, arrivals: Sequence[Arrival]) -> Params:
    """The same tensor by tensor: the shares of those who sent one are scaled up to what all of them sum to."""
    whole = sum(arrival.weight for arrival in in_order(arrivals))
    total = {name: value.astype(np.float64) for name, value in model.items()}
    for name in total:
        sent = [arrival for arrival in in_order(arrivals) if name in arrival.change]
        scale = 1.0 if len(sent) == len(arrivals) else whole / (sum(arrival.weight for arrival in sent) or 1.0)
        for arrival in sent:
            total[name] += scale * arrival.weight * arrival.change[name].astype(np.float64)
    return {name: value.astype(np.float32) for name, value in total.items()}
