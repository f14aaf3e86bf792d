"""`wfl-sim plan`: asks stage 1 for the rank, latency budget and V of an arm, and shows them, with a picture.

Knows the command line; the words are those of `wfl_sim.stage1.words`, and how a plan is made stands beside them.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wfl_sim import completion
from wfl_sim.commands.common import (
    Answer,
    Format,
    Overrides,
    Quiet,
    ScenarioFile,
    bold,
    errors_as,
    print_json,
)
from wfl_sim.errors import RunFailed

if TYPE_CHECKING:
    from wfl_sim.stage1.report import Planned

PICTURE = "rank-plane.png"


class By(StrEnum):
    """How a rank is chosen."""

    tail = "tail"
    pilot = "pilot"
    links = "links"


def plan(
    scenario: ScenarioFile,
    overrides: Overrides = None,
    arm: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Arm; default: the first with schedule tsfa, else the first with adapters.",
            autocompletion=completion.arms,
        ),
    ] = None,
    by: Annotated[
        By | None,
        typer.Option(help="Predict from one pilot, run a short pilot each, or plan the links alone; default: tail."),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder that gets NAME/plots/rank-plane.png.")] = Path("runs"),
    plots: Annotated[bool, typer.Option(help="Draw the picture.")] = True,
    quiet: Quiet = False,
    answer: Answer = Format.text,
) -> None:
    """Plan the size of updates: rank, latency budget and V.

    What is sent in a round and how long that takes, for each rank of rank_selection.candidates; which rank and latency
    budget to take, what that of the file is worth beside it, which clients bind, and the command to run it. A short
    pilot trains for that, unless --by links plans bits and times alone. Other arms of the file play no part.

    Example: wfl-sim plan quickstart --by links schedule.latency_budget='1 s' rank_selection.candidates=4,8,16
    """
    from wfl_sim import shelf
    from wfl_sim.stage1.arms import study_of
    from wfl_sim.stage1.report import plan as planned_of
    from wfl_sim.stage1.words import text

    with errors_as(answer):
        study = study_of(shelf.find(scenario), overrides or (), arm)
        planned = planned_of(study, arm, None if by is None else by.value)
        picture = _draw(planned, output / study.name / "plots") if plots else None
    if answer is Format.json:
        print_json({**planned.as_dict(), "picture": None if picture is None else str(picture)})
    elif not quiet:
        typer.echo("\n".join(text(planned, scenario, overrides or (), heading=bold)))
        if picture is not None:
            typer.echo(f"\npicture  {picture}")


def _draw(planned: Planned, folder: Path) -> Path:
    from analysis.rankplot import rank_plane

    path = folder / PICTURE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        rank_plane(planned).savefig(path)
    except OSError as error:
        raise RunFailed(f"cannot write {path}: {error.strerror or error}") from None
    return path
