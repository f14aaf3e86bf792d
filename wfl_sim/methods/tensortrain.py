"""Tensor-train adapters: what they consist of, and how they begin.

Knows widths and draws; neither models nor tensors, nor which methods train such adapters, nor how.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from wfl_sim.contracts import Params
from wfl_sim.methods.base import Product, Role

Modes = tuple[int, ...]

# The factors of a width and of a bottleneck: of FedTT's shapes, the one that balanced factors do not give.
STATED: dict[tuple[int, int], tuple[Modes, Modes]] = {(4096, 64): ((16, 16, 16), (4, 4, 4))}
WIDE, NARROW = 3, 2  # into how many factors others are taken apart: FedTT's for 768 and 64


@dataclass(frozen=True)
class TensorTrain:
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

    def modes(self, width: int) -> tuple[Modes, Modes]:
        """The factors k_i of the width and of the bottleneck, in Down's order; Up's is the reverse."""
        stated = STATED.get((width, self.bottleneck))
        return stated or (balanced(width, WIDE), balanced(self.bottleneck, NARROW))

    def shapes(self, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
        """``down.0`` and on, ``down.bias``, and the same of ``up``; what enters the layer does not matter."""
        wide, narrow = self.modes(outputs)
        found: dict[str, tuple[int, ...]] = {}
        for name, modes, bias in (("down", wide + narrow, self.bottleneck), ("up", (wide + narrow)[::-1], outputs)):
            bonds = [1, *[self.rank] * (len(modes) - 1), 1]
            found |= {f"{name}.{i}": (bonds[i], mode, bonds[i + 1]) for i, mode in enumerate(modes)}
            found[f"{name}.bias"] = (bias,)
        return found

    def first(self, outputs: int, inputs: int, random: np.random.Generator) -> Params:
        # W's entry is a sum over all bonds' indices of products of d draws: d variances s / r_i, s = sigma^(2/d), and
        # the product of the r_i terms make sigma^2.
        count = sum(map(len, self.modes(outputs)))
        deviation = (outputs + self.bottleneck) ** (-0.5 / count)
        found: Params = {}
        for name, shape in self.shapes(outputs, inputs).items():
            if name.endswith("bias"):
                found[name] = np.zeros(shape, np.float32)
            else:
                found[name] = (deviation * shape[-1] ** -0.5 * random.standard_normal(shape)).astype(np.float32)
        return found

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
