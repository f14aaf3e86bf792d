"""How large H2Tune's stacks are in a scenario, and what is sent of them, from what is known of models without loading.

Knows options, descriptions of models and classes of tasks; neither tensors nor clients' state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wfl_sim import groups
from wfl_sim.codecs.base import Layout
from wfl_sim.learning.data import data_set
from wfl_sim.learning.sources import model_info
from wfl_sim.shapecode import ShapeCode

if TYPE_CHECKING:
    from wfl_sim.methods.h2tune import H2Tune
    from wfl_sim.scenario import Scenario


def codes(scenario: Scenario) -> tuple[ShapeCode, ...]:
    """How the clients of each part of a scenario write their uploads.

    Raises
    ------
    MissingResource
        A model's ``config.json`` is not on this computer, or a data set is not known.
    """
    parts, codec = groups.parts(scenario), scenario.codec
    infos = [model_info(part.scenario.learning.model.name) for part in parts]
    depths = [
        min(info.blocks, part.scenario.learning.model.layers or info.layers)
        for info, part in zip(infos, parts, strict=True)
    ]
    methods: list[H2Tune] = [part.scenario.method for part in parts]  # type: ignore[misc]
    modules, rank = len(infos[0].projections(methods[0].adapt)), max(method.rank for method in methods)
    found = []
    for part, method, info, depth in zip(parts, methods, infos, depths, strict=True):
        classes = len(data_set(part.scenario.learning.data.name).classes)
        head: dict[str, tuple[int, ...]] = {}
        if method.head == "group":
            head = {"head.weight": (classes, info.hidden), "head.bias": (classes,)}
        stack, bits = (max(depths), modules, rank, rank), int(getattr(codec, "bits", 16))
        found.append(ShapeCode(stack, depth, method.rank, head, bits, method.payload == "sparse"))
    return tuple(found)


def download_bits(scenario: Scenario, code: ShapeCode) -> tuple[int, int, int]:
    """Bits of the change of G, and of the group's head: of its first values, and of their change."""
    codec: Any = scenario.codec

    def change(shapes: dict[str, tuple[int, ...]]) -> int:
        layout, bits = Layout((), tuple(shapes), shapes), codec.broadcast_bits
        return 8 + 8 * int(type(codec)(bits=bits).plain_bytes(layout, tuple(shapes)))

    head = dict(code.head)
    first = 32 * Layout((), tuple(head), head).size(tuple(head))
    return change({"shape": code.stack}), first, change(head) if head else 0
