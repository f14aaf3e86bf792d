"""The command ``wfl-sim export``: a link of a scenario as a trace file.

Knows how to talk to a person; what a link does is worked out in `wfl_sim.export`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wfl_sim.commands.common import Overrides, Quiet, ScenarioFile, load


class Direction(StrEnum):
    """Which way the bits go."""

    up = "up"
    down = "down"
    both = "both"


class TraceFormat(StrEnum):
    """What kind of file it becomes."""

    mahimahi = "mahimahi"
    csv = "csv"


def _formats() -> list[str]:
    return [form.value for form in TraceFormat]


def _format(word: str) -> TraceFormat:
    if word not in _formats():
        names = " or ".join(_formats())
        raise typer.BadParameter(f"must be {names}, the kind of file that is written; got {word!r}")
    return TraceFormat(word)


class Column(StrEnum):
    """What a CSV holds against time."""

    rate = "rate"
    snr = "snr"


def export(
    scenario: ScenarioFile,
    overrides: Overrides = None,
    *,
    output: Annotated[Path, typer.Option(help="The file to write.", show_default=False)],
    client: Annotated[int, typer.Option(min=0, help="Number of the client, from 0.")] = 0,
    direction: Annotated[Direction, typer.Option(help="Which way the bits go; both: as CSV of rates.")] = Direction.up,
    duration: Annotated[float, typer.Option(help="Length in seconds, from the start of a run.")] = 60.0,
    form: Annotated[
        TraceFormat,
        typer.Option(
            "--format",
            help="mahimahi, or CSV against time.",
            parser=_format,
            metavar="[mahimahi|csv]",
            autocompletion=_formats,
        ),
    ] = TraceFormat.mahimahi,
    column: Annotated[Column, typer.Option(help="What a CSV holds: rate_bps or snr_db.")] = Column.rate,
    step: Annotated[
        float | None, typer.Option(help="Seconds of a row of a CSV, rounded to slots; default: radio.slot.")
    ] = None,
    arm: Annotated[str | None, typer.Option(help="Arm of the scenario; default: the first.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the links; default: the scenario's first.")] = None,
    force: Annotated[bool, typer.Option(help="Replace the file if it is there already.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write a simulated link as a trace file.

    The rate, or SNR, of a client alone in the whole band, in mahimahi's format or as CSV: to run a real system under
    it (mm-link), or to replay it with channel.recorded.

    Example: wfl-sim export quickstart --client 3 --output up.trace
    """
    from channels.tracefiles import csv_text
    from wfl_sim.diagnose import nearest
    from wfl_sim.errors import Problem, ScenarioError
    from wfl_sim.export import both_ways, course, export_text, write

    study = load(scenario, overrides, resources=False)
    arms = {cell.arm: cell.scenario for cell in reversed(study.cells)}
    chosen = study.cells[0].arm if arm is None else arm
    if chosen not in arms:
        names = list(dict.fromkeys(cell.arm for cell in study.cells))
        rule, near = f"arms: {', '.join(names)}", nearest(chosen, names)
        raise ScenarioError(Problem(f"command line: --arm {chosen}", "", "unknown arm", near=near, rule=rule))
    if direction is Direction.both and (form is not TraceFormat.csv or column is not Column.rate):
        rule = "needs --format csv and --column rate; other files hold one direction"
        raise ScenarioError(Problem("command line: --direction both", "", rule))
    ways = [way for way in ("up", "down") if direction in (way, Direction.both)]
    first = arms[chosen].seeds[0] if seed is None else seed
    links = {way: course(arms[chosen], client, way, duration, first) for way in ways}  # type: ignore[arg-type]
    link = links[ways[0]]
    if step is not None and not 0.0 < step <= duration:
        rule = "must be above 0 s and at most the duration"
        raise ScenarioError(Problem(f"command line: --step {step}", "", rule))
    slots = 1 if step is None else max(1, round(step / link.slot_s))
    if direction is Direction.both:
        text = csv_text(both_ways(links["up"], links["down"], slots))
    else:
        text = export_text(link, "mahimahi" if form is TraceFormat.mahimahi else column.value, slots)
    write(output, text, force=force)
    if not quiet:
        means = ", ".join(f"{way}link {links[way].rate_bps.mean() / 1e6:.3f} Mbit/s in the mean" for way in ways)
        typer.echo(f"{output}: {link.rate_bps.size * link.slot_s:g} s of client {client}, {means}")
