"""What is to be set for what was advised: keys and values, and how the command line writes them.

Knows scenarios, advice and points of a grid; not how either was found.
"""

from __future__ import annotations

from typing import Any

from channels.units import render
from wfl_sim import keys
from wfl_sim.scenario import Coordinate, Scenario
from wfl_sim.schedules.tsfa import TSFA
from wfl_sim.stage1.advice import Advice
from wfl_sim.stage1.links import with_rank


def settings_of(scenario: Scenario, advice: Advice, kept_fraction_min: float) -> dict[str, Any]:
    """Keys and values; of what the scenario says already, rank, budget, V and queue alone are said again."""
    settings: dict[str, Any] = {"method.rank": advice.rank}
    scale = getattr(with_rank(scenario, advice.rank).method, "scale", None)
    if scale is not None and scale != getattr(scenario.method, "scale", None):
        settings["method.scale"] = scale  # at another rank the same alpha would be another one
    if scenario.schedule.kind != "tsfa":
        settings["schedule.kind"] = "tsfa"
    settings["schedule.latency_budget"] = render(advice.latency_budget_s, "s")
    settings |= {"schedule.v": advice.v, "schedule.queue_start": advice.queue_start}
    schedule = scenario.schedule if isinstance(scenario.schedule, TSFA) else TSFA  # no other's own is taken over
    if schedule.kept_fraction_min != kept_fraction_min:
        settings["schedule.kept_fraction_min"] = kept_fraction_min
    return settings


def written(value: Any) -> str:
    """A value for the command line, in full."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return "null" if value is None else str(value)


def of_point(at: Coordinate) -> str:
    """A coordinate as the value of an override: of a kind alone its text is the name."""
    kinds = any(key.kinds for key in keys.everywhere(tuple(at.key.split("."))))
    return f"{{kind: {at.text}}}" if kinds and not at.text.startswith("{") and at.text != "null" else at.text
