"""Checks for the author of a model: each holds one of yours against the contract of its noun, by value.

Know the contracts and no model. They look at what comes out, not at how: what cannot be seen from outside (that a
formula is right, that a class stands in a registry) is not checked.

Each takes one instance and returns nothing, or raises `ContractError` with the clause that is broken::

    from wfl_sim.checks import check_path_loss
    check_path_loss(MyPathLoss(exponent=3.0))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wfl_sim.checks.channel import (
    check_fading,
    check_link_adaptation,
    check_loss,
    check_mobility,
    check_path_loss,
    check_penetration,
    check_placement,
    check_shadowing,
)
from wfl_sim.checks.codec import check_codec
from wfl_sim.checks.contract import ContractError
from wfl_sim.checks.data_set import check_data_set
from wfl_sim.checks.method import check_method
from wfl_sim.checks.partition import check_partition
from wfl_sim.checks.presence import check_availability
from wfl_sim.checks.schedule import check_schedule

CHECKS: Mapping[str, Callable[[Any], None]] = {
    "channel.path_loss": check_path_loss,
    "channel.penetration": check_penetration,
    "channel.shadowing": check_shadowing,
    "channel.fading": check_fading,
    "channel.loss": check_loss,
    "radio.rate": check_link_adaptation,
    "clients.placement": check_placement,
    "clients.mobility": check_mobility,
    "clients.availability": check_availability,
    "learning.data.name": check_data_set,
    "learning.data.partition": check_partition,
    "method": check_method,
    "codec": check_codec,
    "schedule": check_schedule,
}
"""The check of each noun, by the key of `wfl_sim.nouns.NOUNS`."""

__all__ = [
    "CHECKS",
    "ContractError",
    "check_availability",
    "check_codec",
    "check_data_set",
    "check_fading",
    "check_link_adaptation",
    "check_loss",
    "check_method",
    "check_mobility",
    "check_partition",
    "check_path_loss",
    "check_penetration",
    "check_placement",
    "check_schedule",
    "check_shadowing",
]
