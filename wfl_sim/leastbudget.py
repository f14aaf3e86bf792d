"""The least latency budget that the clients of a scenario could keep, and which of them binds it.

Plans one round by the scenario's own schedule; knows no tensor, no fading draw and no loss of a packet.

With a very long queue TSFA lets all send the smallest payload that they may, in the bandwidths that end it earliest: no
lower mean can be kept, whatever V. Clients are where they begin, and links have the mean rate over their fading. Those
that the schedule defers or skips, since they are infeasible alone, do not count; with a longer budget more are
feasible, so that the least one is searched for upwards from that of the scenario.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import simpy

from channels.streams import Stream
from wfl_sim import airtime, planning, pointnames
from wfl_sim.engine import build_medium
from wfl_sim.scenario import Cell, Scenario
from wfl_sim.schedules.tsfa import TSFA
from wfl_sim.updatesizes import one_size, sizes, work_of

_QUEUE, _V = 1e6, 1.0  # the longest queue in budgets: time is all that counts
_TRIES = 30  # budgets that are tried: each time some more clients are called, or it is twice as long
_OVER = 1.05  # rounds are planned no better than that
_MOST = 20  # arms that are looked at before a run; of more the first ones


Part = Literal["download", "computing", "upload"]


class LeastBudget(NamedTuple):
    """The shortest round that could be planned, and who would have to be quicker.

    `part` is what takes this client longest; `share_of_band` is what it is granted of the uplink.
    """

    seconds: float
    client: int
    distance_m: float
    part: Part
    part_s: float
    share_of_band: float


def least_budget(scenario: Scenario) -> LeastBudget | None:
    """Plan it; None without TSFA, or where the links carry nothing that can be planned with.

    Raises
    ------
    MissingResource
        The model's ``config.json`` is not on this computer, or the data set is not known.
    """
    schedule = scenario.schedule
    if not isinstance(schedule, TSFA):
        return None
    medium = build_medium(simpy.Environment(), scenario, Stream.root(scenario.seeds[0]))
    work = work_of(scenario)
    hurried = replace(schedule, queue_start=_QUEUE, v=_V, csi="large_scale", csi_delay_s=0.0, csi_error_db=0.0)
    budget_s = schedule.latency_budget_s
    for _ in range(_TRIES):
        tried = replace(scenario, rounds=1, schedule=replace(hurried, latency_budget_s=budget_s))
        with np.errstate(all="ignore"):  # what is not finite is not planned with
            (planned,) = planning.plan(tried, medium, work)
        if planned.decisions and planned.seconds <= _OVER * budget_s:
            break
        budget_s = planned.seconds if planned.decisions else 2 * budget_s
    if not planned.decisions:
        return None
    granted_hz = np.array([decision.bandwidth_hz for decision in planned.decisions])
    before_s = planned.download_s + planned.compute_s
    waits = bool(before_s.max() > 0.5 * planned.seconds)  # else the band is what all wait for
    ticks = np.rint(before_s / (airtime.TIED * planned.seconds)) if waits else np.zeros_like(before_s)
    widths = np.rint(granted_hz / (airtime.TIED * granted_hz.sum()))  # all alike where the rate has reached its cap
    snr_hz = np.array([request.snr_hz for request in planned.requests])
    at = int(np.lexsort((-snr_hz, widths, ticks))[-1])  # of equals the one with the weakest link
    client = planned.decisions[at].client
    parts: list[tuple[float, Part]] = [(float(planned.air_s[at]), "upload")]
    if waits:
        parts = [(float(planned.download_s[at]), "download"), (float(planned.compute_s[at]), "computing")]
    part_s, part = max(parts)
    distance_m = float(medium.links.trajectory.distance_m(np.zeros(1), np.array([client]))[0, 0])
    share = float(granted_hz[at] / granted_hz.sum())
    return LeastBudget(planned.seconds, client, distance_m, part, part_s, share)


def note(scenario: Scenario) -> str | None:
    """What to say of a latency budget that cannot be met; None of one that can."""
    least, budget_s = least_budget(scenario), scenario.schedule.latency_budget
    if least is None or budget_s is None or least.seconds <= _OVER * budget_s:
        return None
    help_ = {
        "download": "make the download smaller, or widen radio.downlink.bandwidth",
        "computing": "let clients compute less (learning.local, clients.compute)",
        "upload": f"{_sparser(scenario)}, or widen radio.uplink.bandwidth",
    }[least.part]
    band = f" in {least.share_of_band:.0%} of the band" if least.part == "upload" else ""
    return (
        f"the latency budget of {budget_s:g} s cannot be met: with the smallest payloads a round is "
        f"planned to take {least.seconds:.3g} s, and client no. {least.client} at {least.distance_m:.0f} m binds "
        f"({least.part} {least.part_s:.2g} s{band}); set schedule.latency_budget to {least.seconds:.3g} s or more, or "
        f"{help_}"
    )


def _sparser(scenario: Scenario) -> str:
    """How uploads could take fewer bits than the smallest that the schedule may choose."""
    if one_size(scenario):
        return "make updates smaller: they have one size only (codec, method)"
    if sizes(scenario)[0].points[0].kept_fraction < getattr(scenario.schedule, "kept_fraction_min", 0.0):
        return "lower schedule.kept_fraction_min, offer smaller payloads"
    return "offer smaller payloads"


def notes(cells: Sequence[Cell]) -> list[str]:
    """The notes of a study's arms, each with the first seed and once; the arms that it concerns at its end."""
    first: dict[str, Scenario] = {}
    for cell in cells:
        first.setdefault(cell.arm, cell.scenario)
    said: dict[str, list[str]] = {}
    for arm, scenario in list(first.items())[:_MOST]:
        if (text := note(scenario)) is not None:
            said.setdefault(text, []).append(arm)
    return [text if len(arms) == len(first) else f"{text} ({pointnames.listed(arms)})" for text, arms in said.items()]
