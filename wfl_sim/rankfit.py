"""The rank that fits the clients of a group: the largest whose training and whose uploads are small enough.

Knows options, descriptions of models and sizes of updates; loads no model. Memory is counted, not measured: frozen
weights, what a step on the longest texts keeps for its gradients, and of each trained value itself, its gradient and
two moments, at 32 bits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from channels.units import like, parse, render
from wfl_sim.errors import MissingResource
from wfl_sim.methods.base import has_one_rank

if TYPE_CHECKING:
    from wfl_sim.scenario import Scenario

TRAINED = 4  # numbers held for a trained value
VALUE_BITS = 32


class Taken(NamedTuple):
    """What a rank takes of a client: memory while it trains, and its largest upload."""

    rank: int
    memory_bits: float
    payload_bits: int


def taken(scenario: Scenario, number: int, rank: int) -> Taken:
    """What a rank takes in a group of a scenario; groups without a rank are taken to have that of the method.

    Raises
    ------
    MissingResource
        The ``config.json`` of a model is not on this computer, or a data set is not known.
    """
    from wfl_sim import groups, machine, shapeplan, updatesizes  # which read groups themselves
    from wfl_sim.learning.sources import model_info

    most, learning = int(getattr(scenario.method, "rank")), scenario.learning  # noqa: B009 - who asks has seen it
    ranks = [rank if place == number else group.rank or most for place, group in enumerate(learning.groups)]
    stated = tuple(
        replace(group, rank=own, memory_bits=None, payload_bits=None)
        for group, own in zip(learning.groups, ranks, strict=True)
    )
    whole = replace(scenario, learning=replace(learning, groups=stated))
    own = groups.parts(whole)[number].scenario
    info = model_info(own.learning.model.name)
    layout = updatesizes.layout_of(own, info)
    values = layout.size(layout.everything)
    if getattr(own.method, "own_coding", False):
        code = shapeplan.codes(whole)[number]
        values += code.stack[0] * code.depth + code.trained
        bits = code.menu().points[-1].bits
    else:
        bits = updatesizes.sizes(own)[0].points[-1].bits
    frozen = machine.frozen_values(own.learning, info)
    kept = machine.kept_values(own.learning, info, float(info.image_tokens or own.learning.data.max_tokens))
    return Taken(rank, VALUE_BITS * (frozen + kept + TRAINED * values), bits)


def fitted(scenario: Scenario, number: int) -> int:
    """The largest rank, up to that of the method, that the group's `memory` and `payload` have room for; at least 1.

    Where the model or the data are not here to tell, it is the method's.
    """
    low, most = 1, int(getattr(scenario.method, "rank"))  # noqa: B009 - who asks has seen it
    high = most
    try:
        while low < high:  # what is taken rises with the rank
            middle = (low + high + 1) // 2
            if fits(scenario, number, taken(scenario, number, middle)):
                low = middle
            else:
                high = middle - 1
    except MissingResource:  # which is told where the name stands
        return most
    return low


def note(scenario: Scenario) -> str | None:
    """Which rank each group has that is to fit, and what it takes of what there is room for; None where none is."""
    from wfl_sim import groups  # which reads this module

    most, told = getattr(scenario.method, "rank", None), list[str]()
    if most is None or not has_one_rank(scenario.method):
        return None
    for part, group in zip(groups.parts(scenario), scenario.learning.groups, strict=False):  # without groups, one part
        if not group.fits_rank or part.number is None:
            continue
        found = taken(scenario, part.number, getattr(part.scenario.method, "rank"))  # noqa: B009 - as above
        limits = (
            ("training takes", found.memory_bits, group.memory_bits, "1 B"),
            ("an upload takes", float(found.payload_bits), group.payload_bits, "1 bit"),
        )
        uses = [
            f"{what} {_rounded(took, unit)} of {like(str(render(limit, 'bit')), unit)}"
            for what, took, limit, unit in limits
            if limit is not None
        ]
        told.append(f"{group.name} {found.rank} ({', '.join(uses)})")
    if not told:
        return None
    return f"ranks that fit the clients of learning.groups, at most method.rank, {most}: {'; '.join(told)}"


def _rounded(bits: float, unit: str) -> str:
    """Four digits of a size, in units like this one."""
    worth = parse(unit, "bit")
    return like(str(render(worth * float(f"{bits / worth:.4g}"), "bit")), unit)


def fits(scenario: Scenario, number: int, found: Taken) -> bool:
    """Whether a group has room for what a rank takes."""
    group = scenario.learning.groups[number]
    limits = ((group.memory_bits, found.memory_bits), (group.payload_bits, float(found.payload_bits)))
    return all(limit is None or took <= limit for limit, took in limits)
