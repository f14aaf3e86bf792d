"""Tensor-train adapters: what they consist of, and how they begin.

Knows widths and draws; neither models nor tensors, nor which methods train such adapters, nor how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from wfl_sim.contracts import Params
from wfl_sim.methods.base import CLASSIFIER, NothingElse, Product, Role

Modes = tuple[int, ...]

# The factors of a width and of a bottleneck: of FedTT's shapes, the one that balanced factors do not give.
STATED: dict[tuple[int, int], tuple[Modes, Modes]] = {(4096, 64): ((16, 16, 16), (4, 4, 4))}
WIDE, NARROW = 3, 2  # into how many factors others are taken apart: FedTT's for 768 and 64


@dataclass(frozen=True)
class TensorTrain(NothingElse):
    """A bottleneck after linear layers of the transformer's blocks: y = h + Up(gelu(Down(h))), h what the layer gives.

    Down (h's width x `bottleneck`) and Up (the reverse) are linear with a bias. Each of their matrices, reshaped to
    k_1 x ... x k_d, is a tensor train: W[j_1 ... j_d] = G_1[:, j_1, :] ... G_d[:, j_d, :] with factors G_i of
    r_(i-1) x k_i x r_i; the outer bonds are 1 and the others `rank`, also where less would do, as FedTT counts. Each
    mode is of the width or of the bottleneck, never of both, so that a matrix is a product of two thin ones.

    Factors begin as normal draws, of a variance for which that of W's entries is 1 / (inputs + outputs); none is zero,
    since then no other would have a gradient. Biases begin as zeros.
    """

    rank: int
    bottleneck: int = 64
    roles: tuple[Role, ...] = ("output", "down")
    norms: bool = False
    hidden_layer: bool = False

    @property
    def classifier(self) -> int | None:
        return self.rank if self.hidden_layer else None

    def modes(self, width: int) -> tuple[Modes, Modes]:
        """The factors k_i of the width and of the bottleneck, in Down's order; Up's is the reverse."""
        stated = STATED.get((width, self.bottleneck))
        return stated or (balanced(width, WIDE), balanced(self.bottleneck, NARROW))

    def length(self, width: int) -> int:
        """How many factors each of both tensor trains has behind a layer of that width."""
        return sum(map(len, self.modes(width)))

    def shapes(self, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
        """``down.0`` and on, ``down.bias``, and the same of ``up``; what enters the layer does not matter."""
        wide, narrow = self.modes(outputs)
        down = train_shapes("down.", wide + narrow, self.rank) | {"down.bias": (self.bottleneck,)}
        return down | train_shapes("up.", (wide + narrow)[::-1], self.rank) | {"up.bias": (outputs,)}

    def first(self, outputs: int, inputs: int, random: np.random.Generator) -> Params:
        return first_values(self.shapes(outputs, inputs), outputs + self.bottleneck, random)

    def products(self, rows: float, outputs: int, inputs: int, needed: bool) -> list[Product]:
        wide, narrow = self.modes(outputs)
        rank, bottleneck = self.rank, self.bottleneck
        first, last = [*_chain(wide, 1, rank), *_chain(narrow, rank, 1)], _chain(narrow[::-1], 1, rank)
        rebuilt = [*first, *last, *_chain(wide[::-1], rank, 1)]
        down: list[Product] = [(rows, outputs, rank, needed + 1), (rows, rank, bottleneck, 2)]
        return [*rebuilt, *down, (rows, bottleneck, rank, 2), (rows, rank, outputs, 2)]

    def most_rank(self, width: int) -> tuple[int, str]:
        if width < self.bottleneck:
            return width, "the width of the layers"
        return self.bottleneck, "the width of the bottleneck"


def classifier_modes(width: int) -> Modes:
    """The factors of both sides of a square matrix, FedTT's for 768: [12, 8, 8, 8, 8, 12]."""
    wide = balanced(width, WIDE)
    return (*wide[::-1], *wide)


def head_train(width: int, rank: int | None) -> dict[str, tuple[int, ...]]:
    """The factors of a task head's hidden layer, and its bias last; none without a rank."""
    if rank is None:
        return {}
    return train_shapes(CLASSIFIER, classifier_modes(width), rank) | {f"{CLASSIFIER}bias": (width,)}


def head_products(rows: float, width: int, rank: int) -> list[Product]:
    """What a step computes with that hidden layer."""
    modes = classifier_modes(width)
    rebuilt = [*_chain(modes[: len(modes) // 2], 1, rank), *_chain(modes[len(modes) // 2 :], rank, 1)]
    return [*rebuilt, (width, rank, width, 2), (rows, width, width, 2)]


def train_shapes(prefix: str, modes: Modes, rank: int) -> dict[str, tuple[int, ...]]:
    """The factors of a tensor train, by `prefix` and number."""
    bonds = [1, *[rank] * (len(modes) - 1), 1]
    return {f"{prefix}{i}": (bonds[i], mode, bonds[i + 1]) for i, mode in enumerate(modes)}


def first_values(shapes: Mapping[str, tuple[int, ...]], widths: int, random: np.random.Generator) -> Params:
    """First values of factors and biases: entries of a matrix have the variance 1 / widths, biases are 0.

    An entry is a sum over all bonds' indices of products of d draws: with variances s / r_i, where s^d is that of the
    entry, the product of the r_i terms make it.
    """
    trains: dict[str, int] = {}
    for name in shapes:
        trains[_train_of(name)] = trains.get(_train_of(name), 0) + (not name.endswith("bias"))
    found: Params = {}
    for name, shape in shapes.items():
        if name.endswith("bias"):
            found[name] = np.zeros(shape, np.float32)
            continue
        deviation = widths ** (-0.5 / trains[_train_of(name)]) * shape[-1] ** -0.5
        found[name] = (deviation * random.standard_normal(shape)).astype(np.float32)
    return found


def _train_of(name: str) -> str:
    return name.rpartition(".")[0]


@cache
def balanced(number: int, count: int) -> Modes:
    """`count` whole factors of a number, in rising order, of the smallest sum."""

    def splits(rest: int, left: int, least: int) -> list[Modes]:
        if left == 1:
            return [(rest,)]
        fits = [f for f in range(least, round(rest ** (1 / left)) + 1) if rest % f == 0 and f**left <= rest]
        return [(f, *others) for f in fits for others in splits(rest // f, left - 1, f)]

    return min(splits(number, count, 1), key=sum)


def _chain(modes: Modes, first: int, last: int) -> list[Product]:
    """The products that join factors, from the first on, between an outer bond of `first` and one of `last`."""
    # The bond within is that of the two which is not 1.
    rank, rows, found = max(first, last), float(first * modes[0]), list[Product]()
    for i, mode in enumerate(modes[1:], 2):
        found.append((rows, rank, mode * (last if i == len(modes) else rank), 2))
        rows *= mode
    return found
