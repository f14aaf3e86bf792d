"""The command ``wfl-sim plot``: the pictures and the tables of runs that are there; what `run` shows at its end, too.

Knows folders and terminals; nothing of how a picture is drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wfl_sim.commands.common import Quiet, RunDirectory
from wfl_sim.errors import RunFailed

if TYPE_CHECKING:
    from analysis.traces import Traces


def plot(
    directory: RunDirectory,
    output: Annotated[Path | None, typer.Option(help="Folder for the pictures; default: plots/ in the study.")] = None,
    rounds: Annotated[
        str | None, typer.Option(metavar="FIRST:LAST", help="Rounds of the timelines; default: the first few.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Draw the pictures of a run or study.

    As PNG and SVG; its tables are printed too.

    Example: wfl-sim plot runs/quickstart
    """
    from analysis.plots import save_all
    from analysis.traces import load

    window = _window(rounds)
    traces = load(directory)
    folder = output or (directory if directory.is_dir() else Path(".")) / "plots"
    with written(folder):
        for path in save_all(traces, folder, rounds=window):
            if path.suffix == ".png" and not quiet:
                typer.echo(path)
    if not quiet:
        print_tables(traces, air=True)


def _window(rounds: str | None) -> tuple[int, int] | None:
    if rounds is None:
        return None
    first, _, last = rounds.partition(":")
    if not (first.isdecimal() and (last or first).isdecimal() and 1 <= int(first) <= int(last or first)):
        raise typer.BadParameter(f"got {rounds!r}; write two numbers from 1 in rising order, as 3:6, or one")
    return int(first), int(last or first)


@contextmanager
def written(folder: Path) -> Iterator[None]:
    """An error of files is told in a line."""
    try:
        yield
    except OSError as error:
        raise RunFailed(f"the pictures cannot be written to {folder}: {error.strerror or error}") from error


def print_tables(traces: Traces, *, air: bool) -> None:
    """The tables of arms: what was learnt, if anything was, and with `air` what the air did."""
    from rich.console import Console

    from analysis.tables import WIDTH, air_table, arms_table, groups_table

    console = Console() if sys.stdout.isatty() else Console(width=200, no_color=True)
    width = min(WIDTH, console.width)
    if traces.learns or not air:
        console.print(arms_table(traces, width))
    if not traces.groups.empty:
        console.print(groups_table(traces, width))
    if air:
        console.print(air_table(traces, width))
