"""The command line: run, validate, explain, schema; further commands stand in `wfl_sim.commands`.

Knows how to talk to a person; everything heavy is imported inside the command that needs it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from inspect import getdoc
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
    Yes,
    bold,
    errors_as,
    load_asking,
    print_json,
    styled,
)
from wfl_sim.commands.compare import compare
from wfl_sim.commands.export import export
from wfl_sim.commands.fetch import fetch
from wfl_sim.commands.linkbudget import linkbudget
from wfl_sim.commands.plan import plan
from wfl_sim.commands.plot import plot, print_tables, written
from wfl_sim.commands.selftest import selftest
from wfl_sim.commands.tune import tune
from wfl_sim.errors import ScenarioError, WflError

if TYPE_CHECKING:
    from analysis.traces import Traces
    from wfl_sim.scenario import Cell

EXIT_CODES = """Exit codes: 0 done; 1 a run or a check failed; 2 the command, a scenario or something to install is
wrong; 3 a comparison found a regression; 130 interrupted (Ctrl-C)."""

app = typer.Typer(
    name="wfl-sim",
    help="Simulate federated fine-tuning over wireless links.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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
    """Simulate federated fine-tuning over wireless links.

    Example: wfl-sim run quickstart rounds=5
    """


@app.command(epilog=EXIT_CODES)
def run(
    scenario: ScenarioFile,
    overrides: Overrides = None,
    output: Annotated[Path, typer.Option(help="Folder that gets NAME/ARM-seedK/.")] = Path("runs"),
    force: Annotated[bool, typer.Option(help="Run all anew, in the place of what is there.")] = False,
    arm: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only the runs of this arm or point; may be repeated.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be run, where and for how long; run nothing.")
    ] = False,
    yes: Yes = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes side by side; default: one a core.")] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that train the clients of each run, for more cores than runs.")
    ] = 1,
    plots: Annotated[bool, typer.Option(help="Draw the pictures at the end.")] = True,
    quiet: Quiet = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="The estimate first, and a line a round in place of the table.")
    ] = False,
    answer: Answer = Format.text,
) -> None:
    """Run a scenario: traces, pictures, a table.

    Every arm with every seed, at every point of the grid, is one run, in a folder of its own; runs go side by side. The
    same command again skips what is finished, and goes on with what was interrupted, killed or failed. One run alone,
    as a task of a job array, is --arm NAME with seeds=K; such tasks may share the output folder, and run at the same
    time.

    Example: wfl-sim run scenarios/quickstart.yaml seeds=0..2 --output runs

    Example: wfl-sim run quickstart --arm dense-equal seeds=1 --jobs 1 --no-plots
    """
    import wfl_sim
    from wfl_sim.live import progress
    from wfl_sim.study import selected

    with errors_as(answer):
        study = load_asking(scenario, overrides, yes=yes, answer=answer)
        cells = selected(study, arm or ())
        if dry_run:
            from wfl_sim.commands.dryrun import show

            return show(replace(study, cells=cells), output, force=force, jobs=jobs, quiet=quiet, answer=answer)
        if verbose:
            from wfl_sim import present
            from wfl_sim.estimate import estimate

            typer.echo(present.estimate_text(estimate(replace(study, cells=cells), jobs), bold), err=True)
        silent = quiet or answer is Format.json
        if not silent:
            from wfl_sim import forgotten, leastbudget

            for line in (*leastbudget.notes(cells), *forgotten.notes(replace(study, cells=cells))):
                typer.echo(f"note: {line}", err=True)
        try:
            with progress(cells, quiet=silent, lines=verbose) as shown:
                traces = wfl_sim.run(
                    study,
                    output=output,
                    force=force,
                    jobs=jobs,
                    workers=workers,
                    arms=arm or (),
                    report=shown.report,
                    watch=shown.watch,
                )
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would hit the way out
            typer.echo("interrupted; finished rounds are kept, and the same command goes on from there", err=True)
            raise typer.Exit(130) from None
    if shown.skipped == len(cells) and not silent:
        told = "the run is" if len(cells) == 1 else f"all {len(cells)} runs are"
        typer.echo(f"{told} finished already; --force runs {'it' if len(cells) == 1 else 'them'} again", err=True)
    folder = output / study.name / "plots"
    with errors_as(answer):
        if plots:
            _draw(traces, folder)
        if answer is Format.json:
            from analysis.clientgroups import ends
            from analysis.tradeoff import summary

            runs = summary(traces).reset_index().to_dict(orient="records")
            pictures, groups = str(folder) if plots else None, ends(traces).to_dict(orient="records")
            print_json({"traces": str(output / study.name), "pictures": pictures, "runs": runs, "groups": groups})
    if answer is not Format.json and not quiet:
        print_tables(traces, air=not traces.learns)
        for line in _ranks(cells, output):
            typer.echo(line)
        typer.echo(f"\ntraces    {output / study.name}")
        typer.echo(f"pictures  {folder}" if plots else "pictures  wfl-sim plot draws them")


def _ranks(cells: Sequence[Cell], output: Path) -> Iterator[str]:
    """A line for each run whose rank was chosen."""
    from wfl_sim import rundirectory
    from wfl_sim.study import cell_directory

    for cell in cells:
        if cell.scenario.rank_selection is not None:
            found = rundirectory.manifest(cell_directory(output, cell))["rank_selection"]
            ranks = ", ".join(str(row["rank"]) for row in found["candidates"])
            yield f"{cell.arm}, seed {cell.seed}: rank {found['rank']} of {ranks}, chosen by {found['by']}"


def _draw(traces: Traces, folder: Path) -> None:
    """The pictures of a study, each put in its place whole: others may be drawing the same."""
    from analysis.plots import arms_alone, save_all
    from wfl_sim.locks import scratch

    adaptive = set(traces.cells.loc[traces.cells["latency_budget_s"].notna(), "arm"]) & set(arms_alone(traces))
    with written(folder):
        folder.mkdir(exist_ok=True)
        with scratch(folder.parent, ".plots-") as drawn:
            for path in save_all(traces, drawn, adaptive or None):  # `wfl-sim plot` draws those of all arms, and longer
                os.replace(path, folder / path.name)


@app.command(epilog=EXIT_CODES)
def validate(
    scenario: ScenarioFile,
    overrides: Overrides = None,
    yes: Yes = False,
    quiet: Quiet = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print every arm with all its defaults.")] = False,
    answer: Answer = Format.text,
) -> None:
    """Check a scenario, and estimate what it takes.

    Keys, units, ranges, rules, and that model and data are there; then runs, time, memory, and what binds for the
    median and the worst client: air or compute. Nothing is run.

    Example: wfl-sim validate scenarios/quickstart.yaml clients.count=20
    """
    from wfl_sim import present
    from wfl_sim.advice import advice
    from wfl_sim.estimate import estimate
    from wfl_sim.scenario import to_yaml

    with errors_as(answer):
        study = load_asking(scenario, overrides, yes=yes, answer=answer)
        if quiet and answer is Format.text:
            return
        costs = estimate(study)
        notes = advice(study, costs)
    if answer is Format.json:
        print_json({"valid": True, "problems": [], **present.estimate_dict(study, costs, notes)})
        return
    if verbose:
        for cell in study.cells:
            typer.echo(f"{bold(f'--- {cell.arm}, seed {cell.seed}')}\n{to_yaml(cell.scenario)}")
    typer.echo(f"{scenario}: valid\n\n{present.estimate_text(costs, bold, notes)}")


app.command(epilog=EXIT_CODES)(tune)
app.command(epilog=EXIT_CODES)(linkbudget)
app.command(epilog=EXIT_CODES)(plan)
app.command(epilog=EXIT_CODES)(compare)
app.command(epilog=EXIT_CODES)(export)
app.command(epilog=EXIT_CODES)(selftest)
app.command(epilog=EXIT_CODES)(fetch)


@app.command()
def explain(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A kind (tsfa), a key (radio.uplink.bandwidth), a scenario (quickstart) or a command (plan).",
            autocompletion=completion.names,
        ),
    ] = None,
) -> None:
    """List all models and keys, or show one's card.

    Channels, methods, codecs, schedules, protocols, data sets, keys and scenarios; of a command, what it does.

    Example: wfl-sim explain tsfa
    """
    from wfl_sim.cards import card, overview

    commands = {one.callback.__name__: one.callback for one in app.registered_commands if one.callback}
    if name in commands:
        about = getdoc(commands[name])
        typer.echo(f"{bold(f'command: {name}')}\n\n{about}\n\nwfl-sim {name} --help lists its options.")
    else:
        typer.echo(overview(bold) if name is None else card(name, bold))


@app.command()
def schema() -> None:
    """Print the JSON Schema for your editor.

    It describes scenario files, with the options of installed plug-ins.

    Example: wfl-sim schema > schema.json
    """
    from wfl_sim.schema import text

    typer.echo(text(), nl=False)


app.command()(plot)


def _say(error: WflError) -> None:
    """An error on standard error: a scenario's problems one below the other, anything else in one line."""
    if not isinstance(error, ScenarioError):
        typer.echo(f"{styled('error:', sys.stderr, bold=True, fg='red')} {error}", err=True)
        return
    for problem in error.args:
        typer.echo(styled(str(problem), sys.stderr, bold=True), err=True)
        for line in problem.details():
            carets = not line.strip().strip("^")
            typer.echo(styled(line, sys.stderr, fg="red", bold=True) if carets else line, err=True)
    if len(error.args) > 1:
        typer.echo(f"{len(error.args)} problems", err=True)


def main() -> None:
    """Entry point: errors that a user can meet become one clear message and an exit code."""
    try:
        app()
    except WflError as error:
        _say(error)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
