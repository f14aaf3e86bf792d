"""Which rank is chosen, and what cannot be chosen."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stage1cases import MANY, cell_of, scenario_of

from wfl_sim import planning
from wfl_sim.engine import run_cell
from wfl_sim.errors import Diverged, NotFinite, RunFailed
from wfl_sim.merging import REMEDY
from wfl_sim.methods.base import Adapter
from wfl_sim.networkonly import NetworkOnly
from wfl_sim.scenario import Scenario, Study
from wfl_sim.stage1 import pilot
from wfl_sim.stage1.choice import Candidate, best, carried, select
from wfl_sim.stage1.links import Links, budget_of, least_kept_of, with_rank
from wfl_sim.updatesizes import sizes


def row(rank: int, error: float | None = None, *, fits: bool = True, loss: float | None = None) -> Candidate:
    return Candidate(rank, 100, 0.5, 50.0, 1.0, 0.5, fits, error=error, loss=loss)


def test_the_least_error_wins_and_of_equals_the_smallest_rank() -> None:
    assert best([row(2, 0.5), row(4, 0.3), row(8, 0.4)]).rank == 4
    assert best([row(2, 0.3), row(4, 0.3), row(8, 0.3)]).rank == 2
    assert best([row(2, 0.3), row(4, 0.1, fits=False)]).rank == 2
    assert best([row(2, loss=math.nan), row(4, loss=0.9)]).rank == 4
    with pytest.raises(RunFailed, match="no candidate"):
        best([row(2, loss=math.nan), row(4, 0.1, fits=False)])


@pytest.mark.usefixtures("_learner")
def test_the_table_follows_from_scenario_and_seed() -> None:
    scenario = scenario_of(MANY)
    first, _, spectrum = select(scenario)
    again = select(scenario)[0]
    assert first == again and json.loads(json.dumps(first.as_dict())) == first.as_dict()
    assert first.rank in (1, 2, 4) and first.seed == pilot.seed_of(scenario.seeds[0])
    for candidate in first.candidates:
        parts = (candidate.error_of_rank, candidate.covariance, candidate.sparsification)
        assert None not in parts and candidate.error == pytest.approx(sum(parts))  # type: ignore[arg-type]
        assert candidate.sparsification == pytest.approx(float(spectrum.error_of_kept(candidate.kept_fraction)))
    errors = [candidate.error_of_rank for candidate in first.candidates]
    assert errors == sorted(errors, reverse=True) and errors[-1] == 0.0, "the largest rank holds all of its pilot"
    other = select(replace(scenario, seeds=(7,)))[0]
    assert other.candidates != first.candidates
    heavy = replace(scenario, rank_selection=replace(scenario.rank_selection, covariance_weight=1e6))  # type: ignore[type-var]
    assert select(heavy)[0].rank == 1, "the covariance grows with the rank"


@pytest.mark.usefixtures("_learner")
def test_a_pilot_each_compares_losses_at_one_simulated_time(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = {1: 3.0, 2: 1.0, 4: 2.0}
    horizons = []

    def pretended(scenario: Scenario, rank: int, horizon_s: float, memo: Any) -> pilot.ShortRun:
        horizons.append(horizon_s)
        real = short_run(scenario, rank, horizon_s, memo)
        assert math.isfinite(real.loss) and real.rounds >= 1
        assert rank > 1 or short_run(scenario, rank, horizon_s, memo) == real, "the same every time"
        return replace(real, loss=losses[rank])

    short_run = pilot.short_run
    monkeypatch.setattr(pilot, "short_run", pretended)
    scenario = scenario_of(MANY, "rank_selection.by=pilot", "learning.data.validation=100")
    found = select(scenario)[0]
    assert (found.by, found.rank) == ("pilot", 2)
    assert horizons == [2 * 0.9] * 3
    assert [candidate.loss for candidate in found.candidates] == [3.0, 1.0, 2.0]


def test_a_pilot_sends_what_its_row_says_from_the_first_round_on() -> None:
    """Else a large rank, whose whole updates take long, would be judged by the few rounds that these leave it."""
    tsfa = "schedule={kind: tsfa, latency_budget: 2 s, queue_start: 0}"
    calm = ("channel.fading={kind: none}", "clients.compute.jitter=0", "rank_selection.candidates=4,8,16")
    scenario = scenario_of(MANY, *calm, tsfa)
    budget_s = budget_of(scenario)
    assert budget_s == 0.9
    air = Links(scenario, (4, 8, 16), budget_s)
    for size, row in zip(air.sizes, carried(scenario, air, budget_s), strict=True):
        resting = with_rank(pilot.at_rest(scenario, budget_s, least_kept_of(scenario)), size.rank)
        rounds = planning.plan(resting, air.medium, NetworkOnly(size.menu, sizes(resting)[2], 6))
        for planned in rounds:
            kept = [decision.point.kept_fraction for decision in planned.decisions]
            assert len(kept) == 6 and 0.98 * budget_s < planned.seconds <= budget_s
            assert sum(kept) / 6 == pytest.approx(row.kept_fraction, abs=0.05)
    equal = scenario_of(MANY)
    assert pilot.at_rest(equal, budget_s, 0.1) == equal, "which knows no budget"


def test_a_rank_that_is_chosen_leaves_the_scale_of_the_adapters() -> None:
    for text in ("kind: soft, alpha: 24", "kind: flora, scale: 3", "kind: ffa, alpha: 24"):
        written = scenario_of(MANY, f"method={{{text}, rank: 8}}", "codec={kind: dense}", "rank_selection=null")
        for rank in (2, 8, 32):
            adapter = with_rank(written, rank).method.adapter()
            assert isinstance(adapter, Adapter) and (adapter.rank, adapter.alpha / adapter.rank) == (rank, 3.0)
        assert with_rank(written, 8) == written


def test_the_least_kept_fraction_is_that_of_the_schedule() -> None:
    tsfa = "schedule={kind: tsfa, latency_budget: 1.2 s, kept_fraction_min: 0.05}"
    own = "rank_selection.kept_fraction_min=0.2"
    wanted = {(): 0.1, (tsfa,): 0.05, (own,): 0.2, (tsfa, own): 0.2}
    for overrides, least in wanted.items():
        scenario = scenario_of(MANY, *overrides)
        assert least_kept_of(scenario) == least
        assert select(scenario, "links")[0].kept_fraction_min == least


def test_a_pilot_that_diverged_is_no_candidate_and_one_that_failed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    error: Exception

    def diverges(scenario: Scenario, rank: int, *_: Any) -> pilot.ShortRun:
        if rank == 4:
            raise error
        return pilot.ShortRun(1.0 / rank, None, 3)

    monkeypatch.setattr(pilot, "short_run", diverges)
    scenario = scenario_of(MANY, "rank_selection.by=pilot", "learning.data.validation=100")
    for error in (Diverged("round 2: in any words"), NotFinite("in others")):  # noqa: B007 - `diverges` raises it
        found = select(scenario)[0]
        assert found.rank == 2 and found.of(4).loss is None
    error = RunFailed(f"the disk is full; {REMEDY}")
    with pytest.raises(RunFailed, match="at rank 4: the disk is full"):
        select(scenario)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("rank_selection.candidates=[]", "needs ranks from 1 on, rising, each once; got []"),
        ("rank_selection.candidates=[4, 2]", "needs ranks from 1 on, rising, each once; got [4, 2]"),
        ("rank_selection.candidates=[2, 2]", "needs ranks from 1 on, rising, each once; got [2, 2]"),
        ("rank_selection.candidates=[2, 4000]", "must be at most 384, the width of the layers"),
        ("method={kind: head_only}", "chooses the rank of adapters, and head_only has none"),
        ("method={kind: none, payload: 1 kbit}", "chooses the rank of adapters, and none has none"),
        ("rank_selection.by=pilot", "learning.data.validation: is 0, and rank_selection.by pilot"),
        ("rank_selection.latency_budget=null", "the schedule equal has no latency budget of its own"),
        ("method={kind: ffa}", "tail looks at pairs of A and B, which ffa does not train; take pilot"),
        ("method={kind: flora}", "tail looks at B A, and flora folds what was learnt into the layers after each round"),
        ("method={kind: fedex}", "rank_selection.by: tail looks at B A, and fedex folds what was learnt"),
        ("rank_selection.latency_budget=200 ms", "is met by no rank of rank_selection.candidates"),
    ],
)
def test_what_cannot_be_chosen_is_told(problems: Callable[..., list[str]], override: str, says: str) -> None:
    codec = ["codec={kind: topk}"] if "ffa" in override else []
    told = problems(MANY, override, *codec)
    assert len(told) == 1 and says in told[0], told


def test_the_least_latency_budget_that_is_named_can_be_met(
    problems: Callable[..., list[str]], read: Callable[..., Study]
) -> None:
    (told,) = problems(MANY, "rank_selection.latency_budget=200 ms")
    found = re.search(r"the least that one meets is ([0-9.]+) (m?s)", told)
    assert found
    number, unit = found.groups()
    read(MANY, f"rank_selection.latency_budget={float(number) * 1.001} {unit}", resources=True)
    problems(MANY, f"rank_selection.latency_budget={float(number) * 0.99} {unit}")


def test_a_run_is_not_begun_for_a_budget_that_cannot_be_met(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"no rank .* meets a latency budget of 0.2 s.* the least is"):
        run_cell(cell_of(MANY, "rank_selection.latency_budget=200 ms"), 0, tmp_path / "run")
