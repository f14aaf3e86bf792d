"""Layouts and updates that the tests of the codecs share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from wfl_sim.codecs.base import Layout, Update

HEAD = {"head.weight": (3, 6), "head.bias": (3,)}


def _layout(*pairs: tuple[int, int, int]) -> Layout:
    """A layout of pairs (rank, n, m): A is [rank, n], B is [m, rank]."""
    names = tuple((f"layer{i}.A", f"layer{i}.B") for i in range(len(pairs)))
    shapes: dict[str, tuple[int, ...]] = dict(HEAD)
    for (a, b), (rank, n, m) in zip(names, pairs, strict=True):
        shapes |= {a: (rank, n), b: (m, rank)}
    return Layout(names, tuple(HEAD), shapes)


LAYOUTS = {
    "equal": _layout((4, 10, 6), (4, 10, 6), (4, 10, 6)),  # 12 components of 16 values, 192 entries
    "mixed": _layout((2, 5, 3), (4, 40, 8), (3, 9, 30), (1, 2, 2)),  # widths 8, 48, 39, 4
    "large": _layout((8, 40, 24), (8, 24, 40)),  # 1024 entries: two blocks of the index
    "head_only": _layout(),
}


@pytest.fixture(scope="session")
def layouts() -> dict[str, Layout]:
    return LAYOUTS


@pytest.fixture(params=sorted(LAYOUTS))
def layout(request: pytest.FixtureRequest) -> Layout:
    return LAYOUTS[request.param]


@pytest.fixture(params=sorted(set(LAYOUTS) - {"head_only"}))
def paired(request: pytest.FixtureRequest) -> Layout:
    """A layout with LoRA pairs."""
    return LAYOUTS[request.param]


@pytest.fixture(scope="session")
def make_update() -> Callable[..., Update]:
    """An update of normal draws, none of them zero."""

    def make(layout: Layout, seed: int = 0, scale: float = 1e-2) -> Update:
        random = np.random.default_rng(seed)
        base, change = (
            {name: (s * random.standard_normal(shape)).astype(np.float32) for name, shape in layout.shapes.items()}
            for s in (1.0, scale)
        )
        return Update(base, change, layout)

    return make
