"""Rules of time: what computing and latency leave of a deadline, each told at the key that should change.

Knows options, and how much work a model makes; runs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from channels.options import OptionError
from channels.units import render
from wfl_sim.errors import MissingResource
from wfl_sim.findings import Finding
from wfl_sim.findings import finding as _finding
from wfl_sim.learningwork import compute_of
from wfl_sim.methods.none import NoLearning
from wfl_sim.protocols.split import is_split

if TYPE_CHECKING:
    from wfl_sim.scenario import Scenario

_STATED = ("clients.compute.time", "clients.compute.work", "clients.compute.speed")
_COUNTED = ("clients.compute.speed", "learning", "method")  # what counted work follows


def problems(scenario: Scenario) -> list[Finding]:
    """What leaves no time to send; nothing of it is known where model or data are missing, which is told elsewhere."""
    counted = scenario.clients.compute.is_counted
    if counted and isinstance(scenario.method, NoLearning):
        message = (
            "is missing: method none trains no model from which the work of a round could be counted; state work "
            "beside speed, or time in its place"
        )
        return [_finding("clients.compute.work", message, "", "method.kind", fits="20 GFLOP")]
    try:
        compute = compute_of(scenario)
    except MissingResource:
        return []
    except OptionError as error:
        message = f"as counted from the model {error.args[2]}; lower learning.local.steps or batch"
        return [_finding("clients.compute.work", message, "", *_COUNTED)]
    if is_split(scenario.protocol):  # whose server does a part of the work
        return []
    read, latency_s = _COUNTED if counted else _STATED, 2 * scenario.radio.latency_s
    median_s, fastest_s = compute.median_s + latency_s, compute.fastest_s + latency_s
    return [
        *_schedule_deadline(scenario, median_s, read),
        *_latency_budget(scenario, fastest_s, read),
        *_link_budget_deadline(scenario, fastest_s),
        *_protocol_deadline(scenario, fastest_s, read),
    ]


def _schedule_deadline(scenario: Scenario, least_s: float, read: tuple[str, ...]) -> list[Finding]:
    """A deadline of the schedule leaves some time to send."""
    schedule = scenario.schedule
    deadline_s, margin = getattr(schedule, "deadline_s", None), getattr(schedule, "margin", 0.0)
    if deadline_s is None or deadline_s * (1 - margin) > least_s:
        return []
    least, fits = _rendered(least_s / (1 - margin))
    message = (
        f"must be above {least}: schedule.margin taken off, computing and latency are over before a bit is sent "
        "(clients.compute, 2 x radio.latency)"
    )
    return [_finding("schedule.deadline", message, render(deadline_s, "s"), *read, "radio.latency", fits=fits)]


def _latency_budget(scenario: Scenario, least_s: float, read: tuple[str, ...]) -> list[Finding]:
    budget_s, (least, fits) = scenario.schedule.latency_budget, _rendered(least_s)
    if budget_s is None or budget_s > least_s:
        return []
    message = (
        f"must be above {least}, what computing and latency take before a bit is sent "
        "(clients.compute, 2 x radio.latency)"
    )
    read = (*read, "clients.compute.classes", "radio.latency")
    return [_finding("schedule.latency_budget", message, render(budget_s, "s"), *read, fits=fits)]


def _link_budget_deadline(scenario: Scenario, least_s: float) -> list[Finding]:
    deadline_s, (least, fits) = scenario.link_budget.deadline_s, _rendered(least_s)
    if deadline_s is None or deadline_s > least_s:
        return []
    message = f"must be above {least}, what computing and latency take (clients.compute, 2 x radio.latency)"
    return [_finding("link_budget.deadline", message, render(deadline_s, "s"), "clients.compute", fits=fits)]


def _protocol_deadline(scenario: Scenario, least_s: float, read: tuple[str, ...]) -> list[Finding]:
    """Time enough for one of the clients."""
    deadline_s, (least, fits) = getattr(scenario.protocol, "deadline_s", None), _rendered(least_s)
    if deadline_s is None or deadline_s > least_s:
        return []
    message = (
        f"must be above {least}, what computing and latency take before a bit is sent "
        "(clients.compute, 2 x radio.latency)"
    )
    return [_finding("protocol.deadline", message, render(deadline_s, "s"), *read, "radio.latency", fits=fits)]


def _rendered(least_s: float) -> tuple[str, str]:
    """The least time, and one that is enough, in words."""
    return str(render(float(f"{least_s:.6g}"), "s")), str(render(float(f"{2 * least_s:.3g}"), "s"))
