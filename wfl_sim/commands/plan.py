"""`wfl-sim plan`: the rank, latency budget and V of an arm, as a table, advice, YAML to paste, and a picture.

Knows how a plan is told to a network engineer who knows no LoRA; how it is made stands in `wfl_sim.stage1`.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

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
    load,
    print_json,
)
from wfl_sim.errors import RunFailed

if TYPE_CHECKING:
    from wfl_sim.stage1.choice import Candidate
    from wfl_sim.stage1.report import Planned

PICTURE = "rank-plane.png"
WIDTH = 100


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

    What is sent in a round, how long it takes, which share of an update fits and which clients bind, for each rank of
    rank_selection.candidates; which rank to take, and the settings to paste. A short pilot trains for that, unless
    --by links plans bits and times alone.

    Example: wfl-sim plan quickstart --by links schedule.latency_budget='1 s' --arm soft-tsfa
    """
    from wfl_sim.stage1.report import plan as planned_of

    with errors_as(answer):
        study = load(scenario, overrides, resources=False)
        planned = planned_of(study, arm, None if by is None else by.value)
        picture = _draw(planned, output / study.name / "plots") if plots else None
    if answer is Format.json:
        print_json({**planned.as_dict(), "picture": None if picture is None else str(picture)})
    elif not quiet:
        typer.echo("\n".join(text(planned)))
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


def text(planned: Planned) -> Iterator[str]:
    """The plan for people."""
    from wfl_sim.present import table

    selection, row = planned.selection, planned.chosen
    yield bold(f"Plan of {planned.name}, arm {planned.arm}, seed {planned.seed}")
    yield from _wrapped(
        f"In each round {planned.asked} clients download the model, compute, and upload an update over one shared "
        f"uplink. An update is a fixed part of {_bits(planned.fixed_bits)} (the task's own layer) and, for each "
        "adapted layer of the model, as many pieces as the rank says. The rank is how much a client can learn, and "
        "how large an update is; the kept fraction is the share of the pieces that is sent, the most important ones."
    )
    yield ""
    yield from _wrapped(
        f"The mean client gets {_rate(selection.rate_bps)} in an even share of the uplink. Of a round of "
        f"{_seconds(selection.latency_budget_s)}, download, computing and latency take {_seconds(selection.fixed_s)}."
    )
    yield ""
    head, *rows = table(_head(planned), [_cells(planned, candidate) for candidate in selection.candidates])
    yield bold(head)
    yield from rows
    yield from _wrapped(
        "fits: the kept fraction that the mean rate carries in the latency budget. round: if all clients send that "
        "share and end together; the schedule tsfa lets weak links send less, and holds the mean round at the budget. "
        "least: a round of the smallest updates allowed."
    )
    yield from _wrapped(_explained(planned))
    yield ""
    yield bold(_headline(planned))
    yield from _wrapped(_round(planned, row))
    yield ""
    yield from _budgets(planned)
    yield ""
    yield from _wrapped(_queue(planned))
    yield from _weak(planned)
    for note in planned.notes:
        yield from wrap(f"note: {note}", WIDTH, subsequent_indent="      ")
    yield ""
    yield bold("To lay over the file:")
    yield planned.yaml.rstrip()


def _head(planned: Planned) -> list[str]:
    head = ["rank", "whole update", "fits", "sent", "round", "least"]
    by = planned.selection.by
    if by == "tail":
        return [*head, "error of rank", "of averaging", "of leaving out", "sum"]
    return [*head, "rounds", "loss", "accuracy"] if by == "pilot" else head


def _cells(planned: Planned, row: Candidate) -> list[str]:
    mark = "*" if row.rank == planned.selection.rank else ""
    cells = [f"{row.rank}{mark}", _bits(row.dense_bits), f"{row.kept_fraction:.3f}" if row.fits else "over budget",
             _bits(row.bits), _seconds(row.round_s), _seconds(row.least_s)]  # fmt: skip
    if planned.selection.by == "tail":
        cells += [_number(x) for x in (row.error_of_rank, row.covariance, row.sparsification, row.error)]
    elif planned.selection.by == "pilot":
        cells += ["-" if row.rounds is None else str(row.rounds), _number(row.loss), _number(row.accuracy)]
    return cells


def _explained(planned: Planned) -> str:
    selection = planned.selection
    if selection.by == "tail":
        return (
            "Errors are shares of the energy of what a pilot learnt, predicted: what so small a rank cannot hold, "
            "what averaging the two factors of a piece separately gets wrong, what is not sent. *: the least sum."
        )
    if selection.by == "pilot":
        return "Each rank was simulated for the same time; *: the least loss on validation examples."
    return "Nothing was trained: these are bits and times. Which rank learns best is not known; --by tail tells."


def _headline(planned: Planned) -> str:
    selection, rank = planned.selection, planned.advice.rank
    if selection.rank is None:
        return f"Rank {rank}, latency budget {_seconds(selection.latency_budget_s)}, V {planned.advice.v:g} would mean:"
    return f"Take rank {rank}, latency budget {_seconds(selection.latency_budget_s)}, V {planned.advice.v:g}:"


def _round(planned: Planned, row: Candidate) -> str:
    saved = 1.0 - row.bits / row.dense_bits
    less = f", {saved:.0%} less than a whole one of {_bits(row.dense_bits)}" if saved >= 0.005 else ", a whole one"
    return (
        f"a client sends {_bits(row.bits)} a round on average{less}; all {planned.asked} together "
        f"{_bits(planned.asked * row.bits)}, {_bits(planned.asked * row.bits * planned.scenario.rounds)} in "
        f"{planned.scenario.rounds} rounds. Whole updates of this rank would take "
        f"{_seconds(planned.advice.dense_round_s)} a round; the scenario states rank {planned.written_rank}."
    )


def _budgets(planned: Planned) -> Iterator[str]:
    from wfl_sim.present import table

    yield f"Other latency budgets for rank {planned.advice.rank}:"
    rows = [
        [f"{budget.kept_fraction:.3g}", _bits(budget.bits), _seconds(budget.latency_budget_s), _seconds(budget.round_s)]
        for budget in planned.advice.budgets
    ]
    head, *body = table(["kept fraction", "sent", "latency budget", "round if all send as much"], rows)
    yield bold(head)
    yield from body


def _queue(planned: Planned) -> str:
    advice = planned.advice
    if not advice.transient_rounds:
        return (
            f"V {advice.v:g}: whole updates fit the budget, so the queue that trades error against time stays at 0, "
            "and V changes little."
        )
    return (
        f"V {advice.v:g} and queue_start {advice.queue_start:g}: V weighs the error of sparse updates against the "
        f"queue of time overdrawn, and at {advice.queue_start:g} budgets of it the two balance. From a queue of 0 "
        f"instead, about {advice.transient_rounds} whole updates come first, and the mean round is over the budget by "
        f"up to {advice.excess:.1%} in {planned.scenario.rounds} rounds; V 10 makes both ten times as long, for shares "
        "that change less from round to round."
    )


def _weak(planned: Planned) -> Iterator[str]:
    advice = planned.advice
    clients = "; ".join(
        f"client {weak.client} at {weak.distance_m:.0f} m, {_rate(weak.rate_bps)}, {weak.kept_fraction:.0%}"
        for weak in advice.weak
    )
    yield from _wrapped(
        f"Who binds (distance at the start, rate in an even share, share of an update that fits there): {clients}. The "
        f"median client has {_rate(advice.median_bps)}."
    )


def _wrapped(paragraph: str) -> list[str]:
    return wrap(paragraph, WIDTH)


def _bits(bits: float) -> str:
    return f"{bits / 1e6:.2f} Mbit" if bits >= 1e6 else f"{bits / 1e3:.0f} kbit"


def _rate(bps: float) -> str:
    return f"{bps / 1e6:.3g} Mbit/s" if bps >= 1e6 else f"{bps / 1e3:.3g} kbit/s"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds < 0.0995 else f"{seconds:.3g} s"


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}"
