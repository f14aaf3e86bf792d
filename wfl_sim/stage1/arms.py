"""Which arm of a file is planned: the only one that is looked at, so that no other is in its way.

Knows names of arms and which of them have a rank; not how one is planned.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wfl_sim import overriding, yamlfile
from wfl_sim.diagnose import nearest
from wfl_sim.errors import COMMAND_LINE, Problem, ScenarioError
from wfl_sim.scenario import Cell, Scenario, Study, load


def study_of(path: Path, overrides: Sequence[str], arm: str | None = None) -> Study:
    """The arms of a file among which `chosen_cell` finds the one to plan, read without what holds between keys.

    Arms that cannot be read at all with these overrides are left out, unless none can.

    Raises
    ------
    ScenarioError
        No arm can be read: what is wrong with the first under TSFA, or else with the first.
    """
    document = yamlfile.read(path)
    overriding.read(document, overrides)  # which may bring arms
    written = document.data.get("arms")
    arms: dict[str, Any] = written if isinstance(written, dict) else {}
    names = list(arms)
    if not names or arm in names:
        return load(path, overrides, only=arm if names else None, ruled=False)
    found, failed = list[Study](), dict[str, ScenarioError]()
    for name in names:
        try:
            found.append(load(path, overrides, only=name, ruled=False))
        except ScenarioError as error:
            failed[name] = error
            if arm is not None and arm.startswith(f"{name}-"):  # it may be a point of this arm
                raise
    if not found:
        raise failed[next((name for name in names if _is_adaptive(document.data, arms[name])), names[0])]
    cells = tuple(cell for study in found for cell in study.cells)
    return Study(found[0].name, cells, {name: at for study in found for name, at in study.locators.items()})


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


def _is_adaptive(data: dict[str, Any], arm: Any) -> bool:
    """Whether an arm is written with TSFA, as far as can be told before it is read."""
    schedules = [plain.get("schedule") for plain in (arm, data) if isinstance(plain, dict)]
    stated = next((schedule for schedule in schedules if schedule is not None), None)
    return isinstance(stated, dict) and stated.get("kind") == "tsfa"


def has_rank(scenario: Scenario) -> bool:
    """Whether its method trains adapters of a rank."""
    return scenario.method.adapter() is not None and hasattr(scenario.method, "rank")
