"""The plan of an arm: stage 1 run alone, what to set, and the plane of rank and kept fraction for a picture.

Knows how the parts of stage 1 go together; not how a plan is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil, floor, log10
from typing import Any

import numpy as np

from channels.units import render
from wfl_sim import rules
from wfl_sim.contracts import FloatArray
from wfl_sim.diagnose import Locator, nearest
from wfl_sim.errors import COMMAND_LINE, Problem, ScenarioError, in_order
from wfl_sim.learning.sources import model_info
from wfl_sim.scenario import Cell, Scenario, Study
from wfl_sim.stage1.advice import Advice, advise
from wfl_sim.stage1.choice import Candidate, How, Selection, select
from wfl_sim.stage1.links import Links, budget_of, least_kept_of, size_of, with_rank
from wfl_sim.stage1.options import RankSelection
from wfl_sim.yamlfile import write

USUAL_KEPT = 0.25  # of the rank that the scenario states, where it has no latency budget to plan for
BY = ("rank_selection", "by")
MARGIN = 1.5  # of the plane beyond the outermost candidates
POINTS = 161  # of the plane each way


@dataclass(frozen=True)
class Plane:
    """Bits and errors over rank [ranks] and kept fraction [kept]; `allowed` [ranks] is rho_bar, not held within limits.

    `bits` [kept, ranks] are those of all clients of a round together; `error` is Psi, None where nothing was trained.
    """

    ranks: FloatArray
    kept: FloatArray
    allowed: FloatArray
    bits: FloatArray
    error: FloatArray | None


@dataclass(frozen=True)
class Planned:
    """The plan of one arm with its first seed. `chosen` is r*, or the rank that is advised on where there is none."""

    name: str
    arm: str
    seed: int
    asked: int
    fixed_bits: float
    written_rank: int
    scenario: Scenario
    selection: Selection
    advice: Advice
    plane: Plane
    yaml: str
    notes: tuple[str, ...]

    @property
    def chosen(self) -> Candidate:
        """The candidate that the advice is about."""
        return self.selection.of(self.advice.rank)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the plane."""
        return {
            "name": self.name,
            "arm": self.arm,
            "seed": self.seed,
            "clients_a_round": self.asked,
            "fixed_bits": self.fixed_bits,
            "written_rank": self.written_rank,
            "selection": self.selection.as_dict(),
            "advice": asdict(self.advice),
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
        A pilot failed.
    """
    cell = chosen_cell(study, arm)
    locate = study.locators.get(cell.arm) or Locator.nowhere()
    scenario, notes = _with_section(cell.scenario, by)
    found = [*rules.physics(scenario), *rules.resources(scenario)]
    if by == "links":  # which asks no pilot
        found = [one for one in found if one.path != BY]
    if found:
        raise ScenarioError(*in_order(locate.finding(one) for one in found))
    budget_s = budget_of(scenario)
    assert budget_s is not None and scenario.rank_selection is not None  # _with_section sees to it
    selection, air, spectrum = select(scenario, by)
    written = _rank(cell.scenario)
    row = _advised_on(selection, written)
    size = next(size for size in air.sizes if size.rank == row.rank)
    if len(size.menu.points) == 1:
        notes.append(
            f"codec {scenario.codec.kind} sends whole updates only, so no share of them can be chosen; "
            "codec.kind components or topk can"
        )
    advice = advise(scenario, air, row, budget_s, spectrum)
    settings = _settings(scenario, advice, budget_s, selection.kept_fraction_min)
    has_arms = bool(locate.document.data.get("arms"))
    yaml = write({"arms": {cell.group or cell.arm: settings}} if has_arms else settings, f"to lay over {study.name}")
    return Planned(
        study.name, cell.arm, cell.seed, air.asked, size.fixed_bits, written,
        scenario, selection, advice, _plane(scenario, air, budget_s, spectrum), yaml, tuple(notes),
    )  # fmt: skip


def chosen_cell(study: Study, arm: str | None) -> Cell:
    """The first run of the arm to plan; raises ScenarioError where there is none."""
    if arm is not None:
        named = [cell for cell in study.cells if arm in (cell.arm, cell.group)]
        if not named:
            known = dict.fromkeys(cell.arm for cell in study.cells)
            rule = f"arms: {', '.join(known)}"
            raise ScenarioError(
                Problem(f"{COMMAND_LINE}--arm {arm}", "", "unknown arm", near=nearest(arm, known), rule=rule)
            )
        return named[0]
    ranked = [cell for cell in study.cells if _has_rank(cell.scenario)]
    adaptive = [cell for cell in ranked if cell.scenario.schedule.kind == "tsfa"]
    return (adaptive or ranked or list(study.cells))[0]


def _rank(scenario: Scenario) -> int:
    return int(getattr(scenario.method, "rank"))  # noqa: B009 - not every method has one


def _has_rank(scenario: Scenario) -> bool:
    return scenario.method.adapter() is not None and hasattr(scenario.method, "rank")


def _with_section(scenario: Scenario, by: How | None) -> tuple[Scenario, list[str]]:
    """The scenario with a section and a latency budget, and notes on what was added."""
    notes, section = list[str](), scenario.rank_selection
    if not _has_rank(scenario):
        return replace(scenario, rank_selection=section or RankSelection()), notes  # the rules say what is wrong
    adapter = scenario.method.adapter()
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
    scenario = replace(scenario, rank_selection=section)
    if budget_of(scenario) is None:
        rank = _rank(scenario)
        air = Links(scenario, (rank,), None)
        usual = air.budget_s(air.sizes[0], max(USUAL_KEPT, air.sizes[0].menu.points[0].kept_fraction))
        least = air.least_s(air.sizes[0], least_kept_of(scenario))
        budget_s = _rounded_up(max(usual, least))
        scenario = replace(scenario, rank_selection=replace(section, latency_budget_s=budget_s))
        notes.append(
            f"the scenario has no latency budget: planned for {render(budget_s, 's')}, at which about a quarter of an "
            f"update of rank {rank} fits; rank_selection.latency_budget=... asks for another"
        )
    return scenario, notes


def _rounded_up(seconds: float) -> float:
    """To two digits."""
    step = 10.0 ** (floor(log10(seconds)) - 1)
    return float(f"{ceil(seconds / step - 1e-9) * step:.2g}")


def _advised_on(selection: Selection, written: int) -> Candidate:
    """r*; without one the rank that the scenario states, if it is a candidate that fits, else the largest that fits."""
    if selection.rank is not None:
        return selection.of(selection.rank)
    fitting = [row for row in selection.candidates if row.fits]
    return next((row for row in fitting if row.rank == written), fitting[-1])


def _settings(scenario: Scenario, advice: Advice, budget_s: float, kept_fraction_min: float) -> dict[str, Any]:
    schedule: dict[str, Any] = {
        "kind": "tsfa",
        "latency_budget": render(budget_s, "s"),
        "v": advice.v,
        "queue_start": advice.queue_start,
        "kept_fraction_min": kept_fraction_min,
    }
    if (surrogate := getattr(scenario.schedule, "surrogate", None)) is not None:
        schedule["surrogate"] = surrogate
    method: dict[str, Any] = {"kind": scenario.method.kind, "rank": advice.rank}
    if (scale := getattr(with_rank(scenario, advice.rank).method, "scale", None)) is not None:
        method["scale"] = scale  # at another rank the same alpha would be another one
    return {"method": method, "schedule": schedule}


def _plane(scenario: Scenario, air: Links, budget_s: float, spectrum: Any) -> Plane:
    options = scenario.rank_selection
    assert options is not None
    sizes = list(air.sizes)
    if len(sizes) == 1:  # a line needs two
        sizes.append(size_of(scenario, 2 * sizes[0].rank))
    ranks = np.geomspace(options.candidates[0] / MARGIN, options.candidates[-1] * MARGIN, POINTS)
    kept = np.geomspace(min(0.5, least_kept_of(scenario)) / MARGIN, 1.0, POINTS)
    dense, fixed = (
        _line(sizes, [getattr(size, name) for size in sizes], ranks) for name in ("dense_bits", "fixed_bits")
    )
    fixed_s = np.interp(ranks, options.candidates, [air.fixed_s(size) for size in air.sizes])
    wire = air.rate_bps(air.sizes[0]) * np.maximum(budget_s - fixed_s, 0.0)
    payload = air.snapshots(air.sizes[0])[0].air.payload_bits(wire)
    error = None
    if spectrum is not None:
        error = (
            spectrum.error_of_rank(ranks)
            + options.covariance_weight * spectrum.covariance_of(ranks)
            + options.sparsification_weight * spectrum.error_of_kept(kept)[:, None]
        )
    bits = air.asked * (fixed + kept[:, None] * (dense - fixed))
    return Plane(ranks, kept, (payload - fixed) / (dense - fixed), bits, error)


def _line(sizes: Sequence[Any], values: Sequence[float], ranks: FloatArray) -> FloatArray:
    slope, start = np.polyfit([size.rank for size in sizes], np.asarray(values, dtype=float), 1)
    return np.asarray(start + slope * ranks)
