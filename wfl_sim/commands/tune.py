"""`wfl-sim tune`: learning rates for every arm of a scenario, as tables, CSV, JSON and overrides to paste.

Knows how trials are asked for and shown; what is tried, and how one is chosen, stands in `wfl_sim.tuning`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wfl_sim import completion
from wfl_sim.commands.common import Answer, Format, Overrides, Quiet, ScenarioFile, bold, errors_as, load, print_json
from wfl_sim.errors import COMMAND_LINE, Problem, RunFailed, ScenarioError

if TYPE_CHECKING:
    from wfl_sim.scenario import Cell
    from wfl_sim.trace import Row
    from wfl_sim.tuning import Edge, Outcome, Plan, Tuned


def tune(
    scenario: ScenarioFile,
    overrides: Overrides = None,
    lr: Annotated[str, typer.Option(metavar="RATES", help="Learning rates of the adapters.")] = "1e-3,3e-3,1e-2,3e-2",
    head_lr: Annotated[
        str, typer.Option(metavar="RATES", help="Learning rates of the task head.")
    ] = "3e-3,1e-2,3e-2,1e-1",
    arm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Tune this arm; may be repeated; default: all.", autocompletion=completion.arms
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of all runs; default: from 1000 on, one not in the scenario.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds of a run; default: those of the scenario.")] = None,
    validation: Annotated[
        int | None,
        typer.Option(min=1, help="Validation examples; default: as the scenario has, or as many as for testing."),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder that gets NAME-tune/.")] = Path("runs"),
    force: Annotated[bool, typer.Option(help="Replace runs that are there already.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes side by side; default: one a core.")] = None,
    quiet: Quiet = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="The estimate first, and a line a round.")] = False,
    answer: Answer = Format.text,
) -> None:
    """Choose learning rates: the same grid for every arm.

    Each point of lr by head_lr is one run of the arm, judged on validation examples and with a seed that the scenario
    does not report. An arm without adapters has no use for lr and gets head_lr alone, so no arm has more runs than
    another has points. The best point counts by the median of its last rounds; one that diverges is the worst.

    Example: wfl-sim tune quickstart --rounds 6 --lr 3e-3,1e-2,3e-2 --head-lr 1e-2,3e-2
    """
    from wfl_sim import tuning

    with errors_as(answer):
        grid = tuning.Grid(_rates("lr", lr), _rates("head_lr", head_lr))
        source = load(scenario, overrides, resources=False)
        plan = tuning.plan(source, grid, seed=seed, rounds=rounds, validation=validation, arms=arm or ())
        silent = quiet or answer is Format.json
        if verbose:
            from wfl_sim import present
            from wfl_sim.estimate import estimate

            typer.echo(present.estimate_text(estimate(plan.costs, jobs), bold), err=True)
        if not silent:
            typer.echo(_announced(plan), err=True)
        try:
            report = _reporter(plan, every_round=verbose) if not silent else None
            tuned = tuning.run(plan, output, force=force, jobs=jobs, report=report)
        except KeyboardInterrupt:
            typer.echo("interrupted; nothing was chosen", err=True)
            raise typer.Exit(130) from None
        folder = output / plan.name
        _write(folder, plan, tuned)
    if answer is Format.json:
        print_json({"folder": str(folder), **as_dict(plan, tuned)})
    elif not quiet:
        typer.echo("\n".join(text(plan, tuned)))
        typer.echo(f"\ntables  {folder / 'tune.csv'}, {folder / 'tune.json'}")
    if any(one.best is None for one in tuned):
        raise typer.Exit(RunFailed.exit_code)


def _rates(key: str, written: str) -> tuple[float, ...]:
    """Rates separated by commas, each read as the scenario reads it, in rising order."""
    from channels.options import quantities
    from wfl_sim.keys import quantity_rule
    from wfl_sim.learning.options import Local

    option, quantity = f"--{key.replace('_', '-')}", quantities(Local)[key]

    def wrong(message: str) -> ScenarioError:
        rule = f"values of learning.local.{key}, separated by commas; each {quantity_rule(quantity)}"
        place = f"{COMMAND_LINE}{option} {written}"
        return ScenarioError(Problem(place, "", message, rule=rule, example=f"{option} 3e-3,1e-2,3e-2"))

    rates = []
    for part in written.split(","):
        try:
            rates.append(quantity.read(part.strip()))
        except ValueError as error:
            raise wrong(str(error)) from None
        if rates[-1] in rates[:-1]:
            raise wrong(f"has {part.strip()} twice")
    return tuple(sorted(rates))


def _announced(plan: Plan) -> str:
    """How many runs there will be, of whom, and by what they are judged."""
    counts: dict[int, list[str]] = {}
    for arm, trials in plan.arms.items():
        counts.setdefault(len(trials), []).append(arm)
    of = "; ".join(
        f"{count} of {'each of ' if len(arms) > 1 else ''}{', '.join(arms)}" for count, arms in counts.items()
    )
    rounds = sorted({trial.cell.scenario.rounds for trial in plan.trials})
    return (
        f"{len(plan.trials)} runs of {' or '.join(map(str, rounds))} rounds ({of}), with seed {plan.seed}, judged on "
        f"{plan.validation} validation examples"
    )


def _reporter(plan: Plan, *, every_round: bool) -> Callable[[Cell, Row], None]:
    """Say of each run what it has come to in its last round, or in every round."""
    from wfl_sim.quality import quality_of

    trials = {trial.cell.arm: trial for trial in plan.trials}

    def report(cell: Cell, row: Row) -> None:
        if not every_round and row["round"] < cell.scenario.rounds:
            return
        quality = quality_of(cell.scenario)
        value = quality.of(row) if quality is not None else None
        detail = quality.shown(value) if quality is not None and value is not None else "not evaluated"
        trial = trials[cell.arm]
        typer.echo(f"{trial.arm}, {_point(trial.rates)}: round {row['round']}: {detail}", err=True)

    return report


def _write(folder: Path, plan: Plan, tuned: Sequence[Tuned]) -> None:
    """`tune.json` and `tune.csv`."""
    rows = records(tuned)
    try:
        (folder / "tune.json").write_text(json.dumps(as_dict(plan, tuned), indent=2) + "\n", encoding="utf-8")
        with (folder / "tune.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise RunFailed(f"cannot write to {folder}: {error.strerror}") from None


def as_dict(plan: Plan, tuned: Sequence[Tuned]) -> dict[str, Any]:
    """Everything for JSON."""
    from wfl_sim.tuning import overrides, snippet

    arms = []
    for one in tuned:
        best = None if one.best is None else {**one.best.trial.rates, "value": one.best.value}
        edges = [{"key": edge.key, "value": edge.value, "end": edge.end} for edge in one.edges]
        rows = [{key: value for key, value in row.items() if key not in ("arm", "metric")} for row in records([one])]
        arms.append({"arm": one.arm, **one.quality._asdict(), "best": best, "edges": edges, "points": rows})
    return {
        "name": plan.name,
        "seed": plan.seed,
        "validation": plan.validation,
        "grid": {key: list(rates) for key, rates in plan.grid._asdict().items()},
        "runs": len(plan.trials),
        "arms": arms,
        "overrides": overrides(plan, tuned),
        "yaml": snippet(plan, tuned),
    }


def records(tuned: Sequence[Tuned]) -> list[dict[str, Any]]:
    """One record a trial."""
    return [
        {
            "arm": one.arm,
            "lr": outcome.trial.lr,
            "head_lr": outcome.trial.head_lr,
            "metric": one.quality.metric,
            "value": outcome.value,
            "status": outcome.status,
            "best": outcome is one.best,
            "directory": outcome.directory.name,
        }
        for one in tuned
        for outcome in one.outcomes
    ]


def text(plan: Plan, tuned: Sequence[Tuned]) -> Iterator[str]:
    """A table for each arm, with what is best and what to beware of; then what to paste."""
    from analysis.tradeoff import window_in_words
    from wfl_sim.tuning import overrides, snippet

    for one in tuned:
        better = " (lower is better)" if one.quality.better == "lower" else ""
        window = window_in_words(outcome.trial.cell.scenario.rounds for outcome in one.outcomes)
        yield bold(f"{one.arm}: {one.quality.metric}{better}, median of {window}; best: *")
        yield from _table(one)
        yield from _verdict(one)
        yield ""
    found = overrides(plan, tuned)
    if found:
        yield bold("To write behind the scenario on the command line:")
        yield " ".join(found)
        yield ""
        yield bold("Or to lay over the file:")
        yield snippet(plan, tuned).rstrip()


def _table(one: Tuned) -> Iterator[str]:
    from wfl_sim.present import table
    from wfl_sim.tuning import shown

    rows: dict[float | None, list[Outcome]] = {}
    for outcome in one.outcomes:
        rows.setdefault(outcome.trial.lr, []).append(outcome)
    head = ["lr \\ head_lr", *(f"{shown(outcome.trial.head_lr)} " for outcome in next(iter(rows.values())))]
    body = [["any" if lr is None else shown(lr), *(_shown(one, each) for each in row)] for lr, row in rows.items()]
    yield from table(head, body)


def _shown(one: Tuned, outcome: Outcome) -> str:
    if outcome.value is None:
        return f"{'diverged' if outcome.status == 'diverged' else '-'} "
    return f"{one.quality.shown(outcome.value).split()[-1]}{'*' if outcome is one.best else ' '}"


def _verdict(one: Tuned) -> Iterator[str]:
    if all(outcome.trial.lr is None for outcome in one.outcomes):
        yield "no adapters: lr does not matter here, so head_lr alone was tried"
    if one.best is None or one.best.value is None:
        yield "warning: nothing to choose from, every point diverged or was never evaluated; try smaller rates"
        return
    yield f"best: {_point(one.best.trial.rates)}: {one.quality.shown(one.best.value)}"
    for edge in one.edges:
        yield f"warning: best at the edge: {_of(edge)}"


def _of(edge: Edge) -> str:
    from wfl_sim.tuning import shown

    wider = ",".join(map(shown, edge.wider))
    option = edge.key.replace("_", "-")
    return f"{edge.key} {shown(edge.value)} is the {edge.end} tried; widen the grid, for example --{option} {wider}"


def _point(rates: dict[str, float]) -> str:
    from wfl_sim.tuning import shown

    return ", ".join(f"{key} {shown(rate)}" for key, rate in rates.items())
