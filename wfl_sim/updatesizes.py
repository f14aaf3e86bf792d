"""What the updates of a scenario consist of, and how large they are: layouts, menus and downloads, as they are planned.

Knows options and the sizes in a model's `config.json`; loads no tensor library, and neither time nor the radio.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from wfl_sim import broadcasting, groups, machine, shapeplan
from wfl_sim.codecs.base import Layout
from wfl_sim.contracts import PayloadMenu
from wfl_sim.groups import Part
from wfl_sim.learning.data import data_set, is_language
from wfl_sim.learning.layouts import layout
from wfl_sim.learning.modelinfo import CENTRED
from wfl_sim.learning.sources import ModelInfo, model_info
from wfl_sim.learning.weightcount import weight_shapes
from wfl_sim.methods.base import NORMS, WEIGHTS, personal_of
from wfl_sim.methods.none import NoLearning
from wfl_sim.methods.split import Split
from wfl_sim.methods.tensortrain import head_train
from wfl_sim.networkonly import NetworkOnly, StagedSizes, UnlikeClients
from wfl_sim.pace import pace_of
from wfl_sim.plannedwork import PlannedSplit, planned_sizes
from wfl_sim.scenario import Scenario
from wfl_sim.stages import Stage, Stages


def layout_of(scenario: Scenario, info: ModelInfo) -> Layout:
    """Shapes of what a run trains, under names of its own: adapters on layers of each block kept, and a head.

    The head of a language model is the gain of its last norm, with a bias where the norm has one. Weights of the
    backbone, where a method trains them, have their names in its file.
    """
    adapter, data = scenario.method.adapter(), scenario.learning.data
    head: dict[str, tuple[int, ...]]
    if is_language(data):
        names = ("head.weight", "head.bias") if info.family in CENTRED else ("head.weight",)
        head = dict.fromkeys(names, (info.hidden,))
    else:
        classes = len(data_set(data.name).classes)
        hidden_layer = head_train(info.hidden, None if adapter is None else adapter.classifier)
        head = {**hidden_layer, "head.weight": (classes, info.hidden), "head.bias": (classes,)}
    layers = {
        f"{number}.{name}": (outputs, inputs)
        for number in range(min(info.blocks, machine.layers_of(scenario.learning, info)))
        for name, inputs, outputs in info.projections(() if adapter is None else adapter.roles)
    }
    weights: dict[str, tuple[int, ...]] = {}
    if adapter is not None and adapter.norms:  # two a block, and one before or behind all of them
        own = ("gain",) if info.gated else ("gain", "shift")
        kept = min(info.blocks, machine.layers_of(scenario.learning, info))
        count = 2 * kept + (not is_language(data))
        weights = {f"{NORMS}{number}.{name}": (info.hidden,) for number in range(count) for name in own}
    if adapter is not None and adapter.whole:
        model = scenario.learning.model
        weights = {f"{WEIGHTS}{path}": shape for path, shape in weight_shapes(model.name, model.layers).items()}
    return layout(adapter, layers, head, weights)


def sizes(scenario: Scenario) -> tuple[PayloadMenu, int, int]:
    """What a client could send, and the bits of its first download and of a later one.

    The first is the model at 32 bits a value, and later ones the whole change: nearly everything changes if more than a
    few clients send; or what the method broadcasts by a rule of its own. Of a method whose payload changes from version
    to version it is a version of about the mean size. Without learning they are the method's. Of groups it is what a
    client of the group with the largest updates could send, and what all groups need together.
    """
    method = scenario.method
    if isinstance(method, NoLearning):
        return method.menu(), method.download_bits(), method.download_bits()
    if isinstance(method, Split):
        return planned_sizes(scenario)
    if getattr(method, "own_coding", False):
        return _shape_sizes(scenario)
    if scenario.learning.groups:
        each = [sizes(part.scenario) for part in groups.parts(scenario)]
        return max((one[0] for one in each), key=dense_bits), sum(one[1] for one in each), sum(one[2] for one in each)
    stages, whole = _stages(scenario)
    stage = stages.typical()
    return stage.menu, _first_bits(stages, whole), _change_bits(scenario, stage) + 8 * len(stage.told)


def _stages(scenario: Scenario) -> tuple[Stages, Layout]:
    """What is sent of each version, and all that is trained at some time."""
    whole = layout_of(scenario, model_info(scenario.learning.model.name))
    whole = whole.without(personal_of(scenario.method, tuple(whole.shapes)))
    return Stages(scenario.method, scenario.codec, whole, scenario.rounds), whole


def _first_bits(stages: Stages, whole: Layout) -> int:
    """The model as it begins at 32 bits a value, without changes of what was pre-trained, which are 0."""
    values = whole.size([name for name in whole.everything if not name.startswith((WEIGHTS, NORMS))])
    return 32 * values + 8 * len(stages.at(0).told)


def _change_bits(scenario: Scenario, stage: Stage) -> int:
    """Of the whole change that leads on from a stage, which takes 16 bits a value where uploads take 8."""
    codec: Any = scenario.codec
    codec = replace(codec, bits=16) if getattr(codec, "bits", None) == 8 else codec
    if shapes := getattr(stage.method, "broadcast_shapes", None):
        pace = pace_of(scenario)
        shapes = shapes(stage.layout.shapes, pace.arrivals or pace.asked)
    if shapes is None:
        return int(codec.menu(stage.layout).points[-1].bits)
    return broadcasting.most_bits(codec, shapes, len(stage.layout.pairs))


def _staged(scenario: Scenario, menu: PayloadMenu, download_bits: int) -> StagedSizes:
    """The sizes of each round, where they change; until a round begins, these."""
    stages, whole = _stages(scenario)

    def at(version: int) -> tuple[PayloadMenu, int]:
        if not version:
            return stages.at(0).menu, _first_bits(stages, whole)
        now = stages.at(version)
        return now.menu, _change_bits(scenario, stages.at(version - 1)) + 8 * len(now.told)

    return StagedSizes(menu, download_bits, scenario.clients.count, scenario.rounds, at)


def one_size(scenario: Scenario) -> bool:
    """Whether a client's updates have one size only: they are sent whole, and a schedule has nothing to choose."""
    return len(sizes(scenario)[0].points) == 1


def work_of(scenario: Scenario) -> NetworkOnly:
    """The sizes of a run without its learning, to plan with."""
    if isinstance(scenario.method, NoLearning) or not scenario.learning.groups:
        menu, _, download_bits = sizes(scenario)
        if isinstance(scenario.method, Split):
            return PlannedSplit(scenario, menu, download_bits)
        if hasattr(scenario.method, "stage"):
            return _staged(scenario, menu, download_bits)
        return NetworkOnly(menu, download_bits, scenario.clients.count)
    common_bits = 0
    if getattr(scenario.method, "own_coding", False):
        common_bits = shapeplan.download_bits(scenario, shapeplan.codes(scenario)[0])[0]
    return UnlikeClients([(menu, bits, part.clients) for part, menu, bits in by_group(scenario)], common_bits)


def by_group(scenario: Scenario) -> list[tuple[Part, PayloadMenu, int]]:
    """Of each group, or of all clients where there are none: what one could send, and a download's bits for it alone.

    Where clients share square matrices, these are not in the download.
    """
    parts = groups.parts(scenario)
    if getattr(scenario.method, "own_coding", False):
        codes = shapeplan.codes(scenario)
        pairs = zip(parts, codes, strict=True)
        return [(part, code.menu(), shapeplan.download_bits(scenario, code)[2]) for part, code in pairs]
    return [(part, menu, bits) for part in parts for menu, _, bits in [sizes(part.scenario)]]


def _shape_sizes(scenario: Scenario) -> tuple[PayloadMenu, int, int]:
    """`sizes` where clients share square matrices (`wfl_sim.shapework`), which one download brings to all groups."""
    codes = shapeplan.codes(scenario)
    downloads = [shapeplan.download_bits(scenario, code) for code in codes]
    first, change = (sum(bits[i] for bits in downloads) for i in (1, 2))
    return max((code.menu() for code in codes), key=dense_bits), max(first, 8), downloads[0][0] + change


def dense_bits(menu: PayloadMenu) -> int:
    """Of the largest point."""
    return menu.points[-1].bits
