"""Which arm of a file is planned: the only one that is looked at, so that no other is in its way.

Knows names of arms and which of them have a rank; not how one is planned.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wfl_sim import overriding, yamlfile
from wfl_sim.diagnose import MISSING, nearest
from wfl_sim.errors import COMMAND_LINE, Problem, ScenarioError
from wfl_sim.methods.base import has_one_rank
from wfl_sim.scenario import Cell, Scenario, Study, one_arm
from wfl_sim.yamlfile import Document

NO_BUDGET_S = 1e9  # the longest latency budget that can be stated is none
BUDGET = "schedule.latency_budget"


def study_of(path: Path, overrides: Sequence[str], arm: str | None = None) -> Study:
    """The arms of a file among which `chosen_cell` finds the one to plan, read without what holds between keys.

    Arms that cannot be read with these overrides are left out, but for the one that is asked for or, without a name,
    that `chosen_cell` would take.

    Raises
    ------
    ScenarioError
        What is wrong with that arm, as far as it can be told which it is, or with the first, if none can be read.
    """
    document = yamlfile.read(path)
    named = document.copy()
    overriding.read(named, overrides)  # which may bring arms
    written = named.data.get("arms")
    arms: dict[str, Any] = written if isinstance(written, dict) else {}
    if not arms or arm in arms:
        return _arm(document, path.parent, overrides, arm if arms else None)
    found, failed = dict[str, Study](), dict[str, ScenarioError]()
    for name in arms:
        try:
            found[name] = _arm(document, path.parent, overrides, name)
        except ScenarioError as error:
            failed[name] = error
            if arm is not None and arm.startswith(f"{name}-"):  # it may be a point of this arm
                raise
    if failed and (arm is None or not found):
        adaptive = (n for n in arms if (_is_adaptive(found[n]) if n in found else _looks_adaptive(named.data, arms[n])))
        meant = next(adaptive, next(iter(failed)))
        if meant in failed:
            raise failed[meant]
    first = next(iter(found.values()))
    cells = tuple(cell for study in found.values() for cell in study.cells)
    return Study(first.name, cells, {name: at for study in found.values() for name, at in study.locators.items()})


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
    ranked = [cell for cell in study.cells if has_rank(cell.scenario)]
    adaptive = [cell for cell in ranked if cell.scenario.schedule.kind == "tsfa"]
    return (adaptive or ranked or list(study.cells))[0]


def _arm(document: Document, folder: Path, overrides: Sequence[str], name: str | None) -> Study:
    """One arm, where a latency budget that a schedule lacks is `NO_BUDGET_S`: a plan is to find one."""
    try:
        return one_arm(document, folder, overrides, name)
    except ScenarioError as error:
        budgets = [found.key for found in error.args if found.message == MISSING and found.key.endswith(BUDGET)]
        if not budgets:
            raise
        return one_arm(document, folder, (*overrides, *(f"{key}={NO_BUDGET_S:g} s" for key in budgets)), name)


def _is_adaptive(study: Study) -> bool:
    """Whether an arm that was read has TSFA, and a rank, at any point."""
    return any(cell.scenario.schedule.kind == "tsfa" and has_rank(cell.scenario) for cell in study.cells)


def _looks_adaptive(data: dict[str, Any], arm: Any) -> bool:
    """Whether an arm is written with TSFA, as far as can be told before it is read."""
    schedules = [plain.get("schedule") for plain in (arm, data) if isinstance(plain, dict)]
    stated = next((schedule for schedule in schedules if schedule is not None), None)
    return isinstance(stated, dict) and stated.get("kind") == "tsfa"


def has_rank(scenario: Scenario) -> bool:
    """Whether its method trains adapters of a rank, the same in all of a run."""
    return has_one_rank(scenario.method)
