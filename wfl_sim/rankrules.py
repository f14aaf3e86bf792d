"""Rules of `rank_selection`: what a rank can be chosen for, by what, and that some candidate meets the budget.

Knows options and what links carry; runs nothing, and trains nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from channels.units import render
from wfl_sim.findings import Finding, finding

if TYPE_CHECKING:
    from wfl_sim.scenario import Scenario


def problems(scenario: Scenario) -> list[Finding]:
    """What does not go together in the section itself."""
    selection, method = scenario.rank_selection, scenario.method
    if selection is None:
        return []
    adapter = method.adapter()
    if adapter is None or not hasattr(method, "rank"):
        message = (
            f"chooses the rank of adapters, and {method.kind} has none; leave it out, or set it to null in this arm"
        )
        return [finding("rank_selection", message, "", "method")]
    if hasattr(method, "rank_at"):
        message = f"chooses one rank for a run, and {method.kind} has ranks of its own; leave it out, or set it to null"
        return [finding("rank_selection", message, "", "method")]
    if any(getattr(method, name, False) for name in ("own_coding", "own_models")):
        message = (
            f"chooses a rank by the sizes of adapters that all share, and those of {method.kind} stay with clients; "
            "leave it out, or set it to null in this arm"
        )
        return [finding("rank_selection", message, "", "method")]
    found = []
    if selection.by == "tail" and not adapter.pairs:
        message = f"tail looks at pairs of A and B, which {method.kind} does not train; take pilot"
        found.append(finding("rank_selection.by", message, "", "method", fits="pilot"))
    elif selection.by == "tail" and adapter.served:
        message = (
            f"tail looks at B A, and {method.kind} folds what was learnt into the layers after each round; take pilot"
        )
        found.append(finding("rank_selection.by", message, "", "method", fits="pilot"))
    if selection.by == "pilot" and not scenario.learning.data.validation:
        message = "is 0, and rank_selection.by pilot compares ranks on validation examples; give some, or take by tail"
        read = ("rank_selection.by", "learning.data", "learning")
        found.append(finding("learning.data.validation", message, "", *read, fits=500))
    if selection.latency_budget_s is None and scenario.schedule.latency_budget is None:
        message = f"is needed here: the schedule {scenario.schedule.kind} has no latency budget of its own"
        found.append(finding("rank_selection.latency_budget", message, "", "schedule", fits="1.2 s"))
    return found


def limits(scenario: Scenario, most: int, what: str) -> list[tuple[str, int, int, str]]:
    """Key, value and limit of each candidate, for a model that takes so large a rank at most."""
    ranks = () if scenario.rank_selection is None else scenario.rank_selection.candidates
    return [(f"rank_selection.candidates.{number}", rank, most, what) for number, rank in enumerate(ranks)]


def budget(scenario: Scenario) -> list[Finding]:
    """That some candidate meets the latency budget, at the least that may be sent; everything else has been checked."""
    from wfl_sim.stage1.choice import carried, least_budget_s
    from wfl_sim.stage1.links import Links, budget_of, least_kept_of

    selection, budget_s = scenario.rank_selection, budget_of(scenario)
    if selection is None or budget_s is None or problems(scenario):
        return []
    least_s = least_budget_s(carried(scenario, Links(scenario, selection.candidates, budget_s), budget_s))
    if least_s is None:
        return []
    key = "schedule.latency_budget" if selection.latency_budget_s is None else "rank_selection.latency_budget"
    fits = render(float(f"{least_s * 1.01:.3g}"), "s")
    message = (
        "is met by no rank of rank_selection.candidates, even with a kept fraction of "
        f"{least_kept_of(scenario):g}: "
        f"the least that one meets is {render(float(f'{least_s:.4g}'), 's')}"
    )
    read = ("rank_selection.candidates", "rank_selection.kept_fraction_min", "radio.uplink.bandwidth")
    return [finding(key, message, render(budget_s, "s"), *read, fits=fits)]
