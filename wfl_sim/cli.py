"""The command line: run, validate, explain, plot.

Knows how to talk to a person; everything heavy is imported inside the command that needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wfl_sim.errors import WflError

if TYPE_CHECKING:
    from analysis.traces import Traces
    from wfl_sim.scenario import Cell, Study
    from wfl_sim.trace import Row

app = typer.Typer(
    name="wfl-sim",
    help="Simulate federated fine-tuning over wireless links.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ScenarioFile = Annotated[Path, typer.Argument(help="A scenario file (YAML).", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="key.path=value ..., for example radio.uplink.bandwidth='2 MHz' seeds='[0,1,2]'"),
]
RunDirectory = Annotated[Path, typer.Argument(help="A run, a study, or a glob of runs.", show_default=False)]


def _version(wanted: bool) -> None:
    if wanted:
        from wfl_sim import __version__

        typer.echo(f"wfl-sim {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Simulate federated fine-tuning over wireless links."""


@app.command()
def run(
    scenario: ScenarioFile,
    overrides: Overrides = None,
    output: Annotated[Path, typer.Option(help="Folder that gets NAME/ARM-seedK/.")] = Path("runs"),
    force: Annotated[bool, typer.Option(help="Replace runs that are there already.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes side by side; default: one a core.")] = None,
    plots: Annotated[bool, typer.Option(help="Draw the pictures at the end.")] = True,
) -> None:
    """Run all arms and seeds of a scenario; write traces, pictures and a table.

    Example: wfl-sim run scenarios/quickstart.yaml seeds='[0,1,2]' --output runs
    """
    import wfl_sim
    from wfl_sim.scenario import load

    study = load(scenario, overrides or ())
    try:
        with _progress(study) as report:
            traces = wfl_sim.run(study, output=output, force=force, jobs=jobs, report=report)
    except KeyboardInterrupt:
        typer.echo("interrupted; the traces hold all finished rounds", err=True)
        raise typer.Exit(130) from None
    _print_table(traces)
    typer.echo(f"\ntraces    {output / study.name}")
    if plots:
        from analysis.plots import save_all

        folder = output / study.name / "plots"
        adaptive = set(traces.cells.loc[traces.cells["latency_budget_s"].notna(), "arm"])
        save_all(traces, folder, adaptive or None)  # `wfl-sim plot` draws those of all arms, which takes longer
        typer.echo(f"pictures  {folder}")


@app.command()
def validate(scenario: ScenarioFile, overrides: Overrides = None) -> None:
    """Check a scenario without running it: keys, units, ranges, and that model and data are there.

    Example: wfl-sim validate scenarios/quickstart.yaml clients.count=20
    """
    from wfl_sim.scenario import load

    study = load(scenario, overrides or ())
    study.check()
    typer.echo(f"{scenario}: valid; {len(study.cells)} runs of {study.cells[0].scenario.rounds} rounds:")
    for cell in study.cells:
        kinds = [getattr(cell.scenario, noun).kind for noun in ("method", "codec", "schedule", "protocol")]
        typer.echo(f"  {cell.arm}-seed{cell.seed}: {', '.join(kinds)}")


@app.command()
def explain(name: Annotated[str | None, typer.Argument(help="A kind, for example tsfa.")] = None) -> None:
    """List every model, method, codec, schedule and protocol, or show the card of one.

    Example: wfl-sim explain tsfa
    """
    from wfl_sim.cards import card, overview

    typer.echo(overview() if name is None else card(name))


@app.command()
def plot(
    directory: RunDirectory,
    output: Annotated[Path | None, typer.Option(help="Folder for the pictures; default: plots/ in the study.")] = None,
) -> None:
    """Draw the pictures of a run or study (PNG and SVG) and print its table.

    Example: wfl-sim plot runs/quickstart
    """
    from analysis.plots import save_all
    from analysis.traces import load

    traces = load(directory)
    folder = output or (directory if directory.is_dir() else Path(".")) / "plots"
    for path in save_all(traces, folder):
        if path.suffix == ".png":
            typer.echo(path)
    _print_table(traces)


def _print_table(traces: Traces) -> None:
    from rich.console import Console

    from analysis.tables import arms_table

    console = Console() if sys.stdout.isatty() else Console(width=200, no_color=True)
    console.print(arms_table(traces))


@contextmanager
def _progress(study: Study) -> Iterator[Callable[[Cell, Row], None]]:
    """Live bars on a terminal, one plain line a round elsewhere."""
    if not sys.stderr.isatty():
        yield lambda cell, row: typer.echo(_line(cell, row), err=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed}/{task.total} rounds"),
        TextColumn("{task.fields[detail]}"),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[Any, Any] = {
            (cell.arm, cell.seed): progress.add_task(
                f"{cell.arm} seed {cell.seed}", total=cell.scenario.rounds, start=False, detail=""
            )
            for cell in study.cells
        }

        def report(cell: Cell, row: Row) -> None:
            task = tasks[cell.arm, cell.seed]
            if row["round"] == 1:
                progress.start_task(task)
            progress.update(task, completed=row["round"], detail=_detail(row))

        yield report


def _detail(row: Row) -> str:
    return f"{row['t_end_s']:7.2f} s  {row['uplink_bits'] / 1e6:7.2f} Mbit up  accuracy {row['accuracy']:.3f}"


def _line(cell: Cell, row: Row) -> str:
    return f"{cell.arm} seed {cell.seed}: round {row['round']:>3}/{cell.scenario.rounds}  {_detail(row)}"


def main() -> None:
    """Entry point: errors that a user can meet become one clear message and an exit code."""
    try:
        app()
    except WflError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
