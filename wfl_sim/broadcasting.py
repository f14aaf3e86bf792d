"""The bytes of what a server broadcasts by rules of its own: arrays of any rank, through the codec of the run.

Knows arrays, their names and codecs; neither methods nor clients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from wfl_sim.codecs.base import Codec, Layout, Update
from wfl_sim.contracts import Params, Payload

RANK_BYTES = 4  # how many components a pair has is told before the arrays; 0 stands for an array in place of a pair


def layout_of(shapes: Mapping[str, tuple[int, ...]]) -> Layout:
    """Names ``NAME.A`` and ``NAME.B`` are a pair; all others are plain."""
    pairs = tuple((a, f"{a[:-2]}.B") for a in shapes if a.endswith(".A") and f"{a[:-2]}.B" in shapes)
    paired = {name for pair in pairs for name in pair}
    return Layout(pairs, tuple(name for name in shapes if name not in paired), dict(shapes))


def coded(codec: Codec, arrays: Params, pairs: Sequence[tuple[str, str]], key: int) -> tuple[Payload, Params]:
    """The payload that brings arrays to all, and what they read in it: nothing is left out, values are rounded.

    For each of the model's `pairs` it tells of how many components ``LAYER.W.A`` is, if it is there.
    """
    layout = layout_of({name: value.shape for name, value in arrays.items()})
    nothing = {name: np.zeros_like(value) for name, value in arrays.items()}
    payload = codec.encode_changed(Update(nothing, arrays, layout, key))
    ranks = [layout.shapes.get(f"{a[:-2]}.W.A", (0,))[0] for a, _ in pairs]
    told = np.array(ranks, f"<u{RANK_BYTES}").tobytes()
    return Payload(told + payload.data, payload.kept_fraction), codec.decode(payload.data, layout)


def most_bits(codec: Codec, shapes: Mapping[str, tuple[int, ...]], layers: int) -> int:
    """The bits of `coded` for arrays of which nothing is 0."""
    return 8 * RANK_BYTES * layers + codec.menu(layout_of(shapes)).points[-1].bits
