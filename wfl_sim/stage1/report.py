"""The plan of an arm: stage 1 run alone, the latency budget that suits what it found, and what to set.

Knows how the parts of stage 1 go together; not how a plan is shown.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from wfl_sim import rules
from wfl_sim.diagnose import Locator
from wfl_sim.errors import ScenarioError, in_order
from wfl_sim.findings import finding
from wfl_sim.grid import in_turn
from wfl_sim.learning.sources import model_info
from wfl_sim.scenario import Cell, Coordinate, Scenario, Study
from wfl_sim.schedules.tsfa import TSFA
from wfl_sim.stage1.advice import Advice, advise
from wfl_sim.stage1.arms import NO_BUDGET_S, chosen_cell, has_rank
from wfl_sim.stage1.budget import Compared, Paces, compared, paces
from wfl_sim.stage1.choice import Candidate, How, Selection, best, carried, least_budget_s, predicted, select
from wfl_sim.stage1.cost import Cost, cost
from wfl_sim.stage1.links import Links, Size, budget_of, least_kept_of
from wfl_sim.stage1.options import RankSelection
from wfl_sim.stage1.plane import Plane, plane
from wfl_sim.stage1.settings import of_point, settings_of, written
from wfl_sim.yamlfile import write
from wfl_sim.yamlreader import KeyPath

BY, BUDGET = ("rank_selection", "by"), ("rank_selection", "latency_budget")
VALIDATION = ("learning", "data", "validation")
RankFrom = Literal["file", "grid", "default"]
LOOKS = 5  # at links over the length of a run, which goes by the latency budget that they suggest


@dataclass(frozen=True)
class Planned:
    """The plan of one arm with its first seed, whose rank without one that is chosen is `written_rank`.

    `selection` is the table at the latency budget of the scenario. Where it has none that can be met, it is at the one
    recommended. With ``pilot`` that is the budget for which short runs were simulated: the scenario's, or else what
    suits the rank that is written. `chosen` is the rank as the budget recommended carries it, `paces` those of its
    budgets, and `stated` the budget of the scenario beside it. `settings` are keys and values for `wfl-sim run`, and
    `point` those of the point of the grid that was planned. `cost` and `notes` are what `wfl-sim
    validate` would say of the run recommended.
    """

    name: str
    arm: str
    run_arm: str | None
    seed: int
    asked: int
    fixed_bits: float
    written_rank: int
    rank_from: RankFrom
    scenario: Scenario
    selection: Selection
    chosen: Candidate
    paces: Paces
    stated: Compared | None
    advice: Advice
    plane: Plane
    settings: dict[str, Any]
    point: tuple[Coordinate, ...]
    cost: Cost
    notes: tuple[str, ...]

    @property
    def yaml(self) -> str:
        """The settings to lay over the file."""
        nested: dict[str, Any] = {}
        for key, value in self.settings.items():
            *parents, last = key.split(".")
            place = nested
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = value
        return write(nested if self.run_arm is None else {"arms": {self.run_arm: nested}}, f"to lay over {self.name}")

    @property
    def overrides(self) -> list[str]:
        """The settings for the command line, for this arm alone."""
        prefix = "" if self.run_arm is None else f"arms.{self.run_arm}."
        return [f"{prefix}{key}={written(value)}" for key, value in self.settings.items()]

    @property
    def at_point(self) -> list[str]:
        """What takes the place of the grid, for the command line before all else: kinds come before their options."""
        return [f"{at.key}={of_point(at)}" for at in in_turn(self.point) if not self._sets(tuple(at.key.split(".")))]

    def says_again(self, path: KeyPath) -> bool:
        """Whether settings or point replace what stands at a path, or there is to be no section for it."""
        return self._sets(path) or any(path == tuple(at.key.split(".")) for at in self.point)

    def _sets(self, path: KeyPath) -> bool:
        replaced = [tuple(key.split(".")) for key in (*self.settings, "rank_selection")]
        return any(path[: len(key)] == key for key in replaced)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the plane."""
        return {
            "name": self.name,
            "arm": self.arm,
            "seed": self.seed,
            "clients_a_round": self.asked,
            "fixed_bits": self.fixed_bits,
            "written_rank": self.written_rank,
            "rank_from": self.rank_from,
            "selection": self.selection.as_dict(),
            "recommended": {**asdict(self.chosen), "latency_budget_s": self.advice.latency_budget_s},
            "pace": self.paces.of(self.advice.latency_budget_s),
            "pace_is": "predicted" if self.paces.measured else "promised",
            "stated": None if self.stated is None else asdict(self.stated),
            "advice": asdict(self.advice),
            "cost": asdict(self.cost),
            "overrides": [*self.at_point, *self.overrides],
            "yaml": self.yaml,
            "notes": list(self.notes),
        }


def plan(study: Study, arm: str | None = None, by: How | None = None) -> Planned:
    """Plan an arm of a study with its first seed.

    Parameters
    ----------
    study : Study
    arm : str, optional
        Left out, the first whose schedule is ``tsfa``, else the first with a rank.
    by : {"tail", "pilot", "links"}, optional
        Left out, as the arm's section says, and without one ``tail``.

    Raises
    ------
    ScenarioError
        There is no such arm, none has adapters with a rank, or something does not go together; located.
    MissingResource
        Model or data are not on this computer.
    RunFailed
        A pilot failed, or a client has no link that could be planned for.
    """
    cell = chosen_cell(study, arm)
    locate = study.locators.get(cell.arm) or Locator.nowhere()
    if not has_rank(cell.scenario):
        why = "chooses its ranks itself" if hasattr(cell.scenario.method, "rank_at") else "has no adapters"
        message = (
            f"the method {cell.scenario.method.kind} {why}, so that there is no rank to plan; take an arm or a method "
            "that has one, or ask `wfl-sim validate` how long its rounds are"
        )
        raise ScenarioError(locate.finding(finding("method", message, "")))
    scenario = _with_section(cell.scenario, by)
    anyhow = _with_budget(scenario, NO_BUDGET_S)  # which is looked at here, and is no error
    found = [*rules.physics(anyhow), *rules.resources(anyhow)]
    idle = (BUDGET, BY, VALIDATION) if by == "links" else (BUDGET,)  # no budget was given here, and links ask no pilot
    found = [one for one in found if one.path not in idle]
    if found:
        raise ScenarioError(*in_order(locate.finding(one) for one in found))
    own, stated_s = _rank(cell.scenario), budget_of(scenario)
    if stated_s == NO_BUDGET_S:
        stated_s = None
    if not isinstance(scenario.schedule, TSFA):  # which is what is recommended, and what pilots are to simulate
        scenario = replace(
            scenario, schedule=TSFA(latency_budget_s=NO_BUDGET_S, kept_fraction_min=least_kept_of(scenario))
        )
    air = None if stated_s is None else _met(scenario, stated_s)
    met = air is not None
    if air is None:
        air, start_s = _start(scenario, own)
        scenario = _with_budget(scenario, start_s)
    selection, air, spectrum = select(scenario, by, air=air)
    row = _advised_on(selection, own) if met or spectrum is None else _quickest(scenario, air, spectrum)
    if selection.by == "pilot":  # no rank was simulated at another budget
        budget_s, curve = selection.latency_budget_s, paces(air, _size(air, row.rank), selection.kept_fraction_min)
    else:
        row, curve = _settled(scenario, air, spectrum, row)
        budget_s = curve.recommended_s
        if not met:
            scenario = _with_budget(scenario, budget_s)
            selection = _moved(scenario, selection, air, spectrum, row, budget_s)
    size = _size(air, row.rank)
    advice = advise(scenario, air, row, budget_s, curve, spectrum)
    taken, notes = cost(scenario, advice, selection.kept_fraction_min)
    group, data = cell.group or cell.arm, locate.document.data
    arms = data.get("arms") or {}
    settings = settings_of(cell.scenario, advice, selection.kept_fraction_min)
    if "rank_selection" in data or "rank_selection" in arms.get(group, {}):
        settings["rank_selection"] = None  # the rank is chosen
    return Planned(
        name=study.name,
        arm=cell.arm,
        run_arm=group if arms else None,
        seed=cell.seed,
        asked=air.asked,
        fixed_bits=size.fixed_bits,
        written_rank=own,
        rank_from=_rank_from(cell, locate),
        scenario=scenario,
        selection=selection,
        chosen=row,
        paces=curve,
        stated=compared(stated_s, curve),
        advice=advice,
        plane=plane(scenario, air, spectrum),
        settings=settings,
        point=cell.point,
        cost=taken,
        notes=tuple(notes),
    )


def _rank(scenario: Scenario) -> int:
    return int(getattr(scenario.method, "rank"))  # noqa: B009 - not every method has one


def _rank_from(cell: Cell, locate: Locator) -> RankFrom:
    """Where the rank of a cell comes from."""
    if any(at.key.endswith("method.rank") for at in cell.point):
        return "grid"
    method = locate.data.get("method")
    return "file" if isinstance(method, dict) and "rank" in method else "default"


def _size(air: Links, rank: int) -> Size:
    return next(size for size in air.sizes if size.rank == rank)


def _with_section(scenario: Scenario, by: How | None) -> Scenario:
    """The scenario, which has a rank, with a section."""
    section, adapter = scenario.rank_selection, scenario.method.adapter()
    assert adapter is not None
    if section is None:
        most, _ = adapter.most_rank(model_info(scenario.learning.model.name).hidden)
        section = RankSelection()
        ranks = tuple(rank for rank in section.candidates if rank <= most) or (most,)
        section = replace(section, candidates=ranks)
    if by in ("tail", "pilot"):
        section = replace(section, by="tail" if by == "tail" else "pilot")
    elif by == "links":
        section = replace(section, by="tail" if adapter.pairs and not adapter.served else "pilot")
    return replace(scenario, rank_selection=section)


def _with_budget(scenario: Scenario, budget_s: float) -> Scenario:
    assert scenario.rank_selection is not None
    return replace(scenario, rank_selection=replace(scenario.rank_selection, latency_budget_s=budget_s))


def _met(scenario: Scenario, budget_s: float) -> Links | None:
    """The links of the candidates, if some meets a latency budget with them. Raises RunFailed: see `_start`."""
    assert scenario.rank_selection is not None
    air = Links(scenario, scenario.rank_selection.candidates, budget_s)
    if least_budget_s(carried(scenario, air, budget_s)) is not None:
        return None
    air.check(air.sizes[0], least_kept_of(scenario))
    return air


def _start(scenario: Scenario, rank: int) -> tuple[Links, float]:
    """Where the scenario has no latency budget that can be met: what suits its rank, before anything is trained.

    Also the links that it comes from. Those of clients that move are looked at over as long as the run takes with the
    budget, so that they are looked at again with the one that they suggest, until it no longer rises.

    Raises
    ------
    RunFailed
        A client is out of reach.
    """
    assert scenario.rank_selection is not None
    ranks = scenario.rank_selection.candidates
    nearest = min(ranks, key=lambda other: abs(other - rank))
    before_s = None
    for _ in range(LOOKS):
        air = Links(scenario, ranks, before_s)
        size, least = _size(air, nearest), least_kept_of(scenario)
        air.check(size, least)
        budget_s = paces(air, size, least).recommended_s
        if len(air.times_s) == 1 or (before_s is not None and budget_s <= before_s):
            break
        before_s = budget_s
    return air, budget_s


def _advised_on(selection: Selection, written: int) -> Candidate:
    """r*; without one the rank that the scenario states, if it is a candidate that fits, else the largest that fits."""
    if selection.rank is not None:
        return selection.of(selection.rank)
    fitting = [row for row in selection.candidates if row.fits]
    return next((row for row in fitting if row.rank == written), fitting[-1])


def _quickest(scenario: Scenario, air: Links, spectrum: Any) -> Candidate:
    """Where no latency budget says what a rank may take: the one that, each at its own, learns most in a second."""
    options, least = scenario.rank_selection, least_kept_of(scenario)
    assert options is not None
    found = []
    for size in air.sizes:
        budget_s = paces(air, size, least, spectrum, options.sparsification_weight).recommended_s
        row = next(row for row in predicted(scenario, air, budget_s, spectrum) if row.rank == size.rank)
        assert row.error is not None
        found.append((max(0.0, 1.0 - row.error) / budget_s, -row.rank, row))
    return max(found, key=lambda item: item[:2])[2]


def _settled(scenario: Scenario, air: Links, spectrum: Any, row: Candidate) -> tuple[Candidate, Paces]:
    """A rank as the budget that suits it carries it; with a spectrum, one that is also the best for that budget.

    Rank and budget are chosen in turns. A longer budget favours larger ranks, and a larger rank as a rule longer
    budgets, so that as a rule both rise or both fall until nothing changes; where they do not, the last of as many
    turns as there are ranks counts, and its rank may be the best for the budget before.
    """
    options, least = scenario.rank_selection, least_kept_of(scenario)
    assert options is not None
    for _ in options.candidates:
        curve = paces(air, _size(air, row.rank), least, spectrum, options.sparsification_weight)
        budget_s = curve.recommended_s
        if spectrum is None:
            rows = carried(scenario, air, budget_s)
            return next(replace(row, **_of_links(one)) for one in rows if one.rank == row.rank), curve
        rows = predicted(scenario, air, budget_s, spectrum)
        before, row = row.rank, best(rows)
        if row.rank == before:
            break
    else:
        row = next(one for one in rows if one.rank == before)
    return row, curve


def _of_links(row: Candidate) -> dict[str, Any]:
    """What links tell of a candidate."""
    names = ("kept_fraction", "bits", "round_s", "least_s", "fits")
    return {name: getattr(row, name) for name in names}


def _moved(
    scenario: Scenario, selection: Selection, air: Links, spectrum: Any, row: Candidate, budget_s: float
) -> Selection:
    """The selection at another latency budget; nothing is trained again."""
    rows = carried(scenario, air, budget_s) if spectrum is None else predicted(scenario, air, budget_s, spectrum)
    rank = None if selection.rank is None else row.rank
    size = _size(air, row.rank)
    return replace(
        selection,
        rank=rank,
        latency_budget_s=budget_s,
        rate_bps=air.rate_bps(size),
        fixed_s=air.fixed_s(size),
        candidates=rows,
    )
