"""Learning rates by trial: the same grid for every arm, on validation examples and with a seed of its own.

Knows scenarios, runs and the measure of quality; no tensors, and nothing of how a result is shown.

A seed that is tuned on is not reported on: rates that were chosen for its split and its links would flatter it.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any, Literal, NamedTuple

from wfl_sim import rules
from wfl_sim import study as studies
from wfl_sim.diagnose import Locator, nearest
from wfl_sim.errors import COMMAND_LINE, Diverged, OutputExists, Problem, RunFailed, ScenarioError, in_order
from wfl_sim.findings import Finding, finding
from wfl_sim.methods.none import NoLearning
from wfl_sim.quality import ACCURACY, Quality, quality_of
from wfl_sim.scenario import Cell, Scenario, Study
from wfl_sim.trace import read_rows
from wfl_sim.yamlfile import write

SUFFIX, LONGEST_NAME = "-tune", 64  # of the study's name; longer ones are no folder everywhere
FIRST_SEED = 1000  # from here on seeds are taken that the scenario does not report
WIDEST_STEP, LEAST_STEP = 10.0, 2.0  # between a rate tried and the next to try
VALIDATION = ("learning", "data", "validation")
TABLES = ("tune.json", "tune.csv")


class Grid(NamedTuple):
    """The rates that are tried, each list rising."""

    lr: tuple[float, ...]
    head_lr: tuple[float, ...]


@dataclass(frozen=True)
class Trial:
    """One point of the grid for one arm; `lr` is None where the method has no adapters, and so no use for it."""

    arm: str
    lr: float | None
    head_lr: float
    cell: Cell

    @property
    def rates(self) -> dict[str, float]:
        """The rates by the names of their keys below ``learning.local``."""
        return {"head_lr": self.head_lr} if self.lr is None else {"lr": self.lr, "head_lr": self.head_lr}


@dataclass(frozen=True)
class Plan:
    """All trials of a scenario's arms, in the order of arms and of rising rates; `source` is the scenario's study."""

    name: str
    seed: int
    validation: int
    grid: Grid
    trials: tuple[Trial, ...]
    source: Study

    @property
    def arms(self) -> dict[str, list[Trial]]:
        """The trials of each arm."""
        found: dict[str, list[Trial]] = {}
        for trial in self.trials:
            found.setdefault(trial.arm, []).append(trial)
        return found

    @property
    def study(self) -> Study:
        """One run a trial, each an arm of its own."""
        locators = {trial.cell.arm: found for trial in self.trials if (found := self.source.locators.get(trial.arm))}
        return Study(self.name, tuple(trial.cell for trial in self.trials), locators)

    @property
    def costs(self) -> Study:
        """The same runs under the names of their arms, which is how they are estimated."""
        return Study(self.name, tuple(replace(trial.cell, arm=trial.arm) for trial in self.trials))


@dataclass(frozen=True)
class Outcome:
    """What came of a trial; `value` is None where there is no finite one, which counts as the worst."""

    trial: Trial
    status: Literal["finished", "diverged"]
    value: float | None
    directory: Path


class Edge(NamedTuple):
    """A best rate that is the ``smallest`` or the ``largest`` tried, and a grid that goes a step further."""

    key: str
    value: float
    end: str
    wider: tuple[float, ...]


@dataclass(frozen=True)
class Tuned:
    """One arm: its quality, all outcomes, and the best of them; None if no trial gave a finite value."""

    arm: str
    quality: Quality
    outcomes: tuple[Outcome, ...]
    best: Outcome | None
    edges: tuple[Edge, ...]


def plan(
    source: Study,
    grid: Grid,
    *,
    seed: int | None = None,
    rounds: int | None = None,
    validation: int | None = None,
    arms: Sequence[str] = (),
) -> Plan:
    """Plan the same trials for every arm, or for those of `arms`, and check that models and data can serve them.

    Parameters
    ----------
    source : Study
        A scenario. Its seeds are those that will be reported.
    grid : Grid
    seed : int, optional
        Seed of all trials; left out, the first from `FIRST_SEED` on that is not reported.
    rounds : int, optional
        Rounds of each trial; left out, those of its arm.
    validation : int, optional
        Number of validation examples; left out, the largest of the arms' ``learning.data.validation``, or if that is 0
        as many as ``learning.data.test``.
    arms : sequence of str
        The arms to tune; none: all.

    Raises
    ------
    ScenarioError
        The seed is reported, an arm is not there or learns nothing, or the data do not have so many examples.
    """
    scenarios: dict[str, Scenario] = {}
    for cell in source.cells:
        scenarios.setdefault(cell.arm, cell.scenario)
    for arm in arms:
        if arm not in scenarios:
            rule, near = f"arms: {', '.join(scenarios)}", nearest(arm, scenarios)
            raise ScenarioError(Problem(f"{COMMAND_LINE}--arm {arm}", "", "unknown arm", near=near, rule=rule))
    chosen = {arm: scenario for arm, scenario in scenarios.items() if not arms or arm in arms}
    _check_learning(chosen, source)
    seed = _seed(seed, {cell.seed for cell in source.cells})
    data = [data for scenario in chosen.values() for data in scenario.learning.tasks]
    validation = validation or max(one.validation for one in data) or max(one.test for one in data)
    name = f"{source.name[: LONGEST_NAME - len(SUFFIX)]}{SUFFIX}"
    trials = []
    for arm, scenario in chosen.items():
        lrs = grid.lr if scenario.method.adapter() is not None else (None,)
        held_out = partial(replace, evaluate="validation", validation=validation)
        base = replace(scenario, name=name, seeds=(seed,), rounds=rounds or scenario.rounds,
                       learning=scenario.learning.changed("data", held_out))  # fmt: skip
        trials += [_trial(arm, base, lr, head_lr) for lr, head_lr in product(lrs, grid.head_lr)]
    found = Plan(name, seed, validation, grid, tuple(trials), source)
    _check(found)
    return found


def run(plan: Plan, output: Path, *, force: bool = False, jobs: int | None = None, report: Any = None) -> list[Tuned]:
    """Run all trials below `output`, and choose for each arm; a trial that diverges is the worst, and no failure.

    Raises
    ------
    ScenarioError, MissingResource, OutputExists
        Before anything runs.
    RunFailed
        A trial failed for another reason than divergence.
    """
    folder = output / plan.name
    there = [folder / table for table in TABLES if (folder / table).exists()]
    if there and not force:
        raise OutputExists(f"{there[0]} exists already; use --force to replace it, or --output for another place")
    for table in there:  # if this ends before its time, they would tell of other runs
        table.unlink()
    failure: RunFailed | None = None
    try:
        studies.run(plan.study, output, force=force, jobs=jobs, report=report)
    except RunFailed as error:
        failure = error
    outcomes = [_outcome(trial, output, failure) for trial in plan.trials]
    return [choose(arm, [one for one in outcomes if one.trial.arm == arm], plan.grid) for arm in plan.arms]


def choose(arm: str, outcomes: Sequence[Outcome], grid: Grid) -> Tuned:
    """The best of an arm's outcomes; of equal ones the first, which has the smaller rates."""
    quality = quality_of(outcomes[0].trial.cell.scenario) or ACCURACY
    finite = [(one.value, -number, one) for number, one in enumerate(outcomes) if one.value is not None]
    sign = 1 if quality.better == "higher" else -1
    best = max(finite, key=lambda item: (sign * item[0], item[1]))[2] if finite else None
    edges = [_edge(key, rate, getattr(grid, key)) for key, rate in best.trial.rates.items()] if best else []
    return Tuned(arm, quality, tuple(outcomes), best, tuple(edge for edge in edges if edge is not None))


def overrides(plan: Plan, tuned: Sequence[Tuned]) -> list[str]:
    """The best rates as overrides for the command line."""
    return [
        f"{f'arms.{one.arm}.' if _has_arms(plan) else ''}learning.local.{key}={shown(rate)}"
        for one in tuned
        if one.best is not None
        for key, rate in one.best.trial.rates.items()
    ]


def snippet(plan: Plan, tuned: Sequence[Tuned]) -> str:
    """The best rates as YAML to lay over the scenario file."""
    arms = {one.arm: {"learning": {"local": one.best.trial.rates}} for one in tuned if one.best is not None}
    comment = f"chosen on {plan.validation} validation examples with seed {plan.seed}"
    return write({"arms": arms} if _has_arms(plan) else next(iter(arms.values()), {}), comment)


def shown(rate: float) -> str:
    """A rate as short as it can be told from all others."""
    return f"{rate:g}" if float(f"{rate:g}") == rate else repr(rate)


def _trial(arm: str, scenario: Scenario, lr: float | None, head_lr: float) -> Trial:
    rates = {"head_lr": head_lr} | ({} if lr is None else {"lr": lr})
    # No arm has a + in its name, so two trials never share a folder.
    point = f"{arm}{'' if lr is None else f'+lr{shown(lr)}'}+head_lr{shown(head_lr)}"
    scenario = replace(scenario, learning=scenario.learning.changed("local", partial(replace, **rates)))
    return Trial(arm, lr, head_lr, Cell(point, scenario.seeds[0], scenario))


def _seed(wanted: int | None, reported: set[int]) -> int:
    if wanted is None:
        return next(seed for seed in range(FIRST_SEED, FIRST_SEED + len(reported) + 1) if seed not in reported)
    if wanted in reported:
        message = "is a seed of the scenario: it is reported, so rates must not be chosen on it"
        rule = f"any other than seeds: {', '.join(map(str, sorted(reported)))}"
        raise ScenarioError(Problem(f"{COMMAND_LINE}--seed {wanted}", "", message, rule=rule))
    return wanted


def _check_learning(scenarios: Mapping[str, Scenario], source: Study) -> None:
    idle = [arm for arm, scenario in scenarios.items() if isinstance(scenario.method, NoLearning)]
    learning = [arm for arm in source.locators if arm in scenarios and arm not in idle]
    choice = f"; tune the others with {' '.join(f'--arm {arm}' for arm in learning)}" if learning else ""
    found = finding("method", f"learns nothing, so there is no learning rate to tune{choice}")
    if idle:
        raise ScenarioError(*in_order(_locate(source, arm).finding(found) for arm in idle))


def _check(plan: Plan) -> None:
    """What the trials ask of models and data; one of each arm speaks for all."""
    problems: list[Problem] = []
    for arm, trials in plan.arms.items():
        scenario = trials[0].cell.scenario
        found = [*rules.physics(scenario), *rules.resources(scenario)]
        problems += [_problem(plan, _locate(plan.source, arm), item) for item in found]
    if problems:
        raise ScenarioError(*in_order(problems))


def _problem(plan: Plan, locate: Locator, found: Finding) -> Problem:
    if found.path != VALIDATION:
        return locate.finding(found)
    rule = "left out, as many as learning.data.validation says, or if that is 0 as many as learning.data.test"
    return Problem(f"{COMMAND_LINE}--validation {plan.validation}", "", found.message, rule=rule)


def _locate(study: Study, arm: str) -> Locator:
    return study.locators.get(arm) or Locator.nowhere()


def _has_arms(plan: Plan) -> bool:
    return bool(_locate(plan.source, plan.trials[0].arm).document.data.get("arms"))


def _outcome(trial: Trial, output: Path, failure: RunFailed | None) -> Outcome:
    """What the run directory of a trial says; raises RunFailed where it holds neither a value nor a divergence."""
    from analysis.tradeoff import TARGET_WINDOW

    directory = studies.cell_directory(output, trial.cell)
    try:
        manifest: dict[str, Any] = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    except OSError:
        manifest = {"status": "not begun"}
    if manifest["status"] != "finished":
        error = str(manifest.get("error", ""))
        if error.startswith(f"{Diverged.__name__}: "):
            return Outcome(trial, "diverged", None, directory)
        if error and failure is not None:
            raise RunFailed(f"{trial.cell.arm}: {error}") from failure
        raise failure or RunFailed(f"{trial.cell.arm}: the run did not end ({manifest['status']})")
    quality = quality_of(trial.cell.scenario) or ACCURACY
    values = [
        value for row in read_rows(directory / "trace.sqlite", "rounds") if (value := quality.of(row)) is not None
    ]
    value = statistics.median(values[-TARGET_WINDOW:]) if values else math.nan
    return Outcome(trial, "finished", value if math.isfinite(value) else None, directory)


def _edge(key: str, rate: float, tried: tuple[float, ...]) -> Edge | None:
    if len(tried) < 2 or rate not in (tried[0], tried[-1]):
        return None
    steps = [min(high / low, WIDEST_STEP) for low, high in pairwise(tried)]
    if rate == tried[0]:
        return Edge(key, rate, "smallest", (_rounded(rate / max(steps[0], LEAST_STEP)), *tried))
    return Edge(key, rate, "largest", (*tried, _rounded(rate * max(steps[-1], LEAST_STEP))))


def _rounded(rate: float) -> float:
    """To one digit, which a step of `LEAST_STEP` or more survives."""
    return float(f"{rate:.1g}")
