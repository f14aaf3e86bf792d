"""What the commands share: their arguments, how a study is loaded, and answers as text or JSON.

Knows no command; everything heavy is imported inside the function that needs it.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wfl_sim import completion
from wfl_sim.errors import ManyCells, ScenarioError, WflError

if TYPE_CHECKING:
    from wfl_sim.scenario import Study


class Format(StrEnum):
    """How a command answers."""

    text = "text"
    json = "json"


ScenarioFile = Annotated[
    str,
    typer.Argument(
        help="A scenario file (YAML), or the name of one in scenarios/.",
        show_default=False,
        autocompletion=completion.scenarios,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        help="key.path=value ..., for example radio.uplink.bandwidth='2 MHz' seeds=1..3; several values, with commas "
        "between, make an axis: radio.uplink.bandwidth='1 MHz,2 MHz'",
        autocompletion=completion.overrides,
    ),
]
RunDirectory = Annotated[Path, typer.Argument(help="A run, a study, or a glob of runs.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", help="Go on with a study of more than 10,000 runs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Answer = Annotated[Format, typer.Option("--format", help="Errors and results as text or as one JSON object.")]


def load(scenario: str, overrides: list[str] | None, *, resources: bool = True, many: bool = False) -> Study:
    """The study, with models and data looked for if `resources`; a scenario may be named as well as located."""
    from wfl_sim import scenario as scenarios
    from wfl_sim import shelf

    return scenarios.load(shelf.find(scenario), overrides or (), resources=resources, many=many)


def load_asking(scenario: str, overrides: list[str] | None, *, yes: bool, answer: Format) -> Study:
    """The study; on a terminal, whether one is meant that is so large that it may be a slip, is asked."""
    from wfl_sim.resolve import MOST_EVER

    try:
        return load(scenario, overrides, many=yes)
    except ManyCells as error:
        asked = answer is Format.text and sys.stdin.isatty() and sys.stderr.isatty()
        if yes or not asked or error.cells > MOST_EVER:
            raise
        if not typer.confirm(f"a grid of {error.cells:,} cells: go on?", err=True):
            raise typer.Exit(error.exit_code) from None
    return load(scenario, overrides, many=True)


@contextmanager
def errors_as(answer: Format) -> Iterator[None]:
    """With JSON an error, too, is one object on standard output, so that a program can read it."""
    try:
        yield
    except WflError as error:
        if answer is Format.text:
            raise
        if isinstance(error, ScenarioError):
            print_json({"valid": False, "problems": [problem.as_dict() for problem in error.args]})
        else:
            print_json({"error": type(error).__name__, "message": str(error)})
        raise typer.Exit(error.exit_code) from None


def print_json(data: Any) -> None:
    """One object; what JSON has no number for is null."""
    typer.echo(json.dumps(_finite(data), allow_nan=False))


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def bold(text: str) -> str:
    return styled(text, sys.stdout, bold=True)


def styled(text: str, stream: Any, **style: Any) -> str:
    """Bold and red can be read on light and dark; nothing else is used, and nothing in a pipe."""
    coloured = stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return typer.style(text, **style) if coloured else text
