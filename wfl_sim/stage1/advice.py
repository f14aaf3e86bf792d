"""What to set for a rank and a latency budget: V and the start of the queue; and what other budgets do, and who binds.

Knows links and the paces of budgets (`wfl_sim.stage1.budget`); no tensor, and not how it is printed.

V and the queue. TSFA minimises V phi(rho) + Q tau(rho) / budget in each round, with tau(rho) = fixed + rho slope. Where
the queue stands still, at the rho_bar that keeps the budget, both terms change alike with rho:

    V |phi'(rho_bar)| = Q* slope / budget,    so    Q* = V |phi'(rho_bar)| budget / slope

phi' is -1 for ``contraction`` and -1 / rho^2 for ``variance``; for ``tail`` it is the slope of the curve that a pilot
measured, and -1 without one, which is its mean over 0 .. 1. A queue that begins at 0 has to grow to Q* first, by
tau(1) / budget - 1 a round while updates are dense; over T rounds the mean time is then above the budget by the share
(Q* - Q_0) / T at most, and a start at Q* takes that away. V changes rho_bar by nothing. The larger it is, the less rho
varies from round to round, and the nearer is the mean error to the least that keeps the budget (the gap goes as 1 / V;
Neely 2010, chapter 4); but Q*, and what it costs to begin elsewhere, grow in proportion. So V is the largest for which
a run that began a whole Q* off would still be over its budget by the share `OVERRUN` at most:

    Q* <= OVERRUN T,    so    V = OVERRUN T slope / (|phi'(rho_bar)| budget), down to 1, 2 or 5 times a power of ten

and within `V_LIMITS`: at the least of them a run that began a whole Q* off is over its budget by more than `OVERRUN`.
Where a whole update fits the budget the queue stays at 0, and V is 1; so it is where phi is flat at rho_bar, Q* = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from wfl_sim.scenario import Scenario
from wfl_sim.schedules.menus import Surrogate
from wfl_sim.schedules.tsfa import TSFA
from wfl_sim.stage1.budget import Paces, is_met
from wfl_sim.stage1.choice import Candidate
from wfl_sim.stage1.links import Links, Size, bits_of

KEPT = (0.125, 0.25, 0.5, 1.0)  # of which the latency budgets are told
OVERRUN = 0.1  # of the budget, at most, in the mean over a run whose queue begins a whole Q* off
V_LIMITS = (0.1, 100.0)
SHORTEST_S = 1e-9  # that a whole update takes longer than none: less than this is lost in rounding
ALIKE = 0.99  # of the largest rate: a client that gets so much has it
BEYOND = 1e12  # an SNR at which every rate model that has a largest rate gives it
BINDING = 3  # weakest clients that are named
Held = Literal["", "least", "most"]


@dataclass(frozen=True)
class Budget:
    """A latency budget in s at which the mean rate carries `kept_fraction`, and the round in which all send so much.

    `pace` is what that budget is worth; see `wfl_sim.stage1.budget.Paces`.
    """

    kept_fraction: float
    bits: float
    latency_budget_s: float
    round_s: float
    pace: float


@dataclass(frozen=True)
class Weak:
    """A client that binds: its rate in an even share of the band, the share of an update that fits, and its wait."""

    client: int
    distance_m: float
    rate_bps: float
    kept_fraction: float
    dense_s: float


@dataclass(frozen=True)
class Advice:
    """What is recommended for one rank and latency budget.

    `queue_start` is Q*, at which queue and error balance; a queue from 0 sends about `transient_rounds` dense rounds
    first (0 where a dense update fits the budget, or Q* is 0), and is late by the share `excess` of the budget at most.
    `held` says which of `V_LIMITS` V is held at, and `stated_excess` is the same share for V and start that the
    scenario has. In the budget the mean client, which gets `rate_bps`, has `fixed_s` of download, computing and latency
    before it sends `wire_bits`, headers included. `weak` have the lowest rates, but for `capped` ones, of which all are
    at the most that the rate model carries. `median_bps` is the rate of the median client, and `median_efficiency` the
    spectral efficiency of the channel that this takes, in bit/s/Hz.
    """

    rank: int
    latency_budget_s: float
    v: float
    held: Held
    queue_start: float
    transient_rounds: int
    excess: float
    stated_excess: float
    dense_round_s: float
    fixed_s: float
    rate_bps: float
    wire_bits: float
    capped: bool
    budgets: tuple[Budget, ...]
    weak: tuple[Weak, ...]
    median_bps: float
    median_efficiency: float


def advise(
    scenario: Scenario, air: Links, row: Candidate, budget_s: float, paces: Paces, spectrum: Any = None
) -> Advice:
    """What to set for the rank of `row`, carried in `budget_s`; `spectrum` is that of a pilot, where one was run."""
    size = next(size for size in air.sizes if size.rank == row.rank)
    dense_s = air.round_s(size, size.dense_bits)
    slope_s = max(dense_s - air.round_s(size, max(size.fixed_bits, 1.0)), SHORTEST_S)
    v, of_one = 1.0, 0.0
    held: Held = ""
    if dense_s > budget_s:
        of_one = balance(1.0, row.kept_fraction, slope_s, budget_s, _surrogate(scenario), spectrum)
        v, held = largest_v(of_one, scenario.rounds)
    queue, late = v * of_one, dense_s / budget_s - 1.0
    own_v, own_start = (tsfa.v, tsfa.queue_start) if isinstance(tsfa := scenario.schedule, TSFA) else (v, queue)
    rounds = min(math.ceil(queue / late), scenario.rounds) if queue else 0
    rate, even = np.mean([snapshot.rate_bps for snapshot in air.snapshots(size)], axis=0), air.snapshots(size)[0].air
    share_hz = even.bandwidth_hz / len(air.clients)
    return Advice(
        rank=row.rank,
        latency_budget_s=budget_s,
        v=v,
        held=held,
        queue_start=float(f"{queue:.2g}"),
        transient_rounds=rounds,
        excess=min(queue / scenario.rounds, late) if queue else 0.0,
        stated_excess=max(0.0, min((own_v * of_one - own_start) / scenario.rounds, late)),
        dense_round_s=dense_s,
        fixed_s=air.fixed_s(size),
        rate_bps=air.rate_bps(size),
        wire_bits=even.wire_bits(row.bits),
        capped=bool(rate.min() > ALIKE * even.rate_bps(np.array([share_hz]), np.array([BEYOND * share_hz]))[0]),
        budgets=tuple(
            _budget(air, size, kept, paces)
            for kept in KEPT
            if kept >= paces.kept[0] - 1e-9 and is_met(air.budget_s(size, kept), paces.least_s)
        ),
        weak=tuple(_weak(air, size, int(place), budget_s) for place in np.argsort(rate, kind="stable")[:BINDING]),
        median_bps=float(np.median(rate)),
        median_efficiency=float(np.median(rate)) / (share_hz * even.goodput),
    )


def balance(
    v: float, kept_fraction: float, slope_s: float, budget_s: float, surrogate: Surrogate, spectrum: Any = None
) -> float:
    """Q*, in budgets: the queue at which TSFA is content with a kept fraction (module docstring).

    `slope_s` is how much longer a round takes if everything is sent instead of nothing.
    """
    if surrogate == "variance":
        steepness = kept_fraction**-2
    elif surrogate == "tail" and spectrum is not None:
        steepness = spectrum.steepness(kept_fraction)
    else:
        steepness = 1.0
    return v * steepness * budget_s / slope_s


def largest_v(queue_of_one: float, rounds: int) -> tuple[float, Held]:
    """V: so large that Q* is `OVERRUN` of the rounds at most, where V = 1 makes it `queue_of_one`.

    And which of `V_LIMITS` it is held at. Where `queue_of_one` is 0, no V changes the queue, and it is 1.
    """
    if not queue_of_one:
        return 1.0, ""
    (least, most), wanted = V_LIMITS, OVERRUN * rounds / queue_of_one * (1 + 1e-9)
    if not least <= wanted <= most:
        return (least, "least") if wanted < least else (most, "most")
    decade = 10.0 ** math.floor(math.log10(wanted))
    return float(f"{next(step for step in (5, 2, 1) if step * decade <= wanted) * decade:.1g}"), ""


def _surrogate(scenario: Scenario) -> Surrogate:
    """That of the TSFA which is recommended: another schedule's own is not taken over."""
    return scenario.schedule.surrogate if isinstance(scenario.schedule, TSFA) else TSFA.surrogate


def _budget(air: Links, size: Size, kept_fraction: float, paces: Paces) -> Budget:
    bits, budget_s = bits_of(size, kept_fraction), air.budget_s(size, kept_fraction)
    return Budget(kept_fraction, bits, budget_s, air.round_s(size, bits), paces.of(budget_s))


def _weak(air: Links, size: Size, place: int, budget_s: float) -> Weak:
    snapshots = air.snapshots(size)
    rate = float(np.mean([snapshot.rate_bps[place] for snapshot in snapshots]))
    ready_s = float(np.mean([snapshot.ready_s[place] for snapshot in snapshots]))
    wire, client = snapshots[0].air.wire_bits, air.clients[place]
    payload = float(snapshots[0].air.payload_bits(np.array([max(0.0, rate * (budget_s - ready_s))]))[0])
    kept = min(1.0, max(0.0, (payload - size.fixed_bits) / size.scaled_bits))
    return Weak(client, air.distance_m(client), rate, kept, ready_s + wire(size.dense_bits) / rate)
