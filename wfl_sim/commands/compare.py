"""The command ``wfl-sim compare``: runs against a baseline, by seed, with an exit code that a script can act on.

Knows how to ask and to print; what is compared, and what a regression is, stands in `analysis.compare`.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from wfl_sim.commands.common import Answer, Format, Quiet, bold, errors_as, print_json

REGRESSION = 3


def _metrics() -> list[str]:
    from analysis.metrics import METRICS

    return list(METRICS)


_RUNS = "a run, a study, a glob, or STUDY:ARM."


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=f"The baseline: {_RUNS}", show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help=f"The new one: {_RUNS}", show_default=False)],
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="accuracy, perplexity, uplink_to, time_to, energy_to, area, uplink, time, delivered, ...; default: the"
            " final quality, or time.",
            autocompletion=_metrics,
        ),
    ] = None,
    target: Annotated[
        float | None, typer.Option(help="What ..._to has to reach; default: the runs' own, if there is one.")
    ] = None,
    tolerance: Annotated[
        str, typer.Option(help="How much worse the mean may be: '5 %' of A, or a quantity such as '0.5 s'.")
    ] = "0",
    unfinished: Annotated[bool, typer.Option(help="Compare unfinished runs, too, as far as they came.")] = False,
    quiet: Quiet = False,
    answer: Answer = Format.text,
) -> None:
    """Compare runs with a baseline, seed by seed.

    A is the baseline, B the new one. Arms pair by name, and seeds by number; two arms of one study are compared as
    STUDY:ARM. The exit code is 3 if B is worse: in the mean by more than the tolerance, or without a value (it never
    reaches the target) in a seed in which A has one. If neither has one in any seed it is 2.

    Example: wfl-sim compare runs/quickstart:dense-equal runs/quickstart:topk-tsfa --metric time_to --target 0.7
    """
    with errors_as(answer):
        from analysis.compare import compare as compared

        comparison = compared(a, b, metric, target, tolerance, unfinished)
    if answer is Format.json:
        from analysis.comparetables import as_dict

        print_json(as_dict(comparison))
    elif not quiet:
        from rich.console import Console

        from analysis.comparetables import conclusion, headline, means_table, seeds_table

        console = Console() if sys.stdout.isatty() else Console(width=200, no_color=True)
        typer.echo(f"{headline(comparison)}\n")
        console.print(seeds_table(comparison))
        typer.echo()
        console.print(means_table(comparison))
        *notes, verdict = conclusion(comparison)
        typer.echo("\n".join([*notes, "", bold(verdict)]))
    if comparison.regression:
        raise typer.Exit(REGRESSION)
