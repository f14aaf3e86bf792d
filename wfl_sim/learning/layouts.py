"""What is trained: the tensors of a model's adapters and of its head, and the first values of adapters.

Knows names, shapes and keyed draws; no tensor library, and of a model only the widths of its adapted layers.
"""

from __future__ import annotations

from collections.abc import Mapping

from channels.streams import Stream
from wfl_sim.codecs.base import Layout
from wfl_sim.contracts import Params
from wfl_sim.methods.base import AnyAdapter

Layers = Mapping[str, tuple[int, int]]  # outputs and inputs of the adapted layers by path, in order of depth


def layout(
    adapter: AnyAdapter | None,
    layers: Layers,
    head: Mapping[str, tuple[int, ...]],
    weights: Mapping[str, tuple[int, ...]] | None = None,
) -> Layout:
    """All that is trained: of each layer its adapter's tensors but those frozen or served, then those of the head.

    Between them are the backbone's own `weights`, where those are trained.
    """
    pairs, shapes = list[tuple[str, str]](), dict[str, tuple[int, ...]]()
    if adapter is not None:
        still = adapter.frozen | adapter.served
        for path, widths in layers.items():
            own = adapter.shapes(*widths)
            shapes |= {f"{path}.{name}": shape for name, shape in own.items() if name not in still}
            pairs += [(f"{path}.{a}", f"{path}.{b}") for a, b in adapter.pairs]
    shapes |= {**(weights or {}), **head}
    paired = {name for pair in pairs for name in pair}
    return Layout(tuple(pairs), tuple(name for name in shapes if name not in paired), shapes)


def first(adapter: AnyAdapter, layers: Layers, stream: Stream) -> Params:
    """First values of all tensors of the adapters, also of those frozen; each layer has a draw of its own."""
    values: Params = {}
    for number, (path, widths) in enumerate(layers.items()):
        own = adapter.first(*widths, stream.generator(1, number))
        values |= {f"{path}.{name}": value for name, value in own.items()}
    return values
