"""What the run that is recommended would take, as `wfl-sim validate` plans it, and what that would note of it.

Knows scenarios, advice and the estimate; trains nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wfl_sim.advice import advice as notes_of
from wfl_sim.estimate import estimate
from wfl_sim.scenario import Cell, Scenario, Study
from wfl_sim.schedules.tsfa import TSFA
from wfl_sim.stage1.advice import Advice
from wfl_sim.stage1.links import with_rank
from wfl_sim.updatesizes import sizes


@dataclass(frozen=True)
class Cost:
    """Means over the rounds of the run recommended: payload bits of all `clients` that send, and times in s.

    `downlink_bits` are those of a broadcast to all, or of one download for each client.
    """

    clients: float
    uplink_bits: float
    downlink_bits: float
    round_s: float
    rounds: int
    run_s: float


def cost(scenario: Scenario, advice: Advice, kept_fraction_min: float) -> tuple[Cost, list[str]]:
    """Plan the run, and note what is seldom meant; `scenario` has ``tsfa``."""
    schedule = scenario.schedule
    assert isinstance(schedule, TSFA)
    schedule = replace(
        schedule,
        latency_budget_s=advice.latency_budget_s,
        v=advice.v,
        queue_start=advice.queue_start,
        kept_fraction_min=kept_fraction_min,
    )
    run = with_rank(replace(scenario, schedule=schedule), advice.rank)
    study = Study(run.name, (Cell("plan", run.seeds[0], run),))
    found = estimate(study, jobs=1)
    (row,) = found.arms
    down = 1.0 if run.radio.downlink.access == "broadcast" else row.sending
    bits = sizes(run)[2]
    taken = Cost(row.sending, row.sending * row.planned_bits, down * bits, row.round_s, row.rounds, row.simulated_s)
    return taken, notes_of(study, found)
