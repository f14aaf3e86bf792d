"""`wfl-sim selftest`: the radio models against closed forms and published figures, as a table or as JSON.

Knows how results are shown, and no check.
"""

from __future__ import annotations

import math
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wfl_sim.commands.common import Answer, Format, bold, print_json, styled

if TYPE_CHECKING:
    from channels.selftest import Result

WIDTH = 80  # columns that every line fits
MOST_DECIMALS = 7


def selftest(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME ...]", help="Checks or groups, for example fading.rayleigh; default: all."),
    ] = None,
    answer: Answer = Format.text,
) -> None:
    """Check the radio models against theory and published tables.

    One line a check: what was measured, what it should be, how far off it may be, and the verdict. Where `deviation`
    stands, the figure is the largest distance from a law or a table. All checks take about 40 s of computing, the
    longest 10 s; exit code 1 if one fails. Every figure comes from a fixed seed: two runs print the same.

    Example: wfl-sim selftest path_loss fading.rayleigh
    """
    from channels.selftest import CHECKS, SelectionError, run, select

    try:
        chosen = select(CHECKS, names) if names else CHECKS
    except SelectionError as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from None
    if answer is Format.text:
        typer.echo(bold(_columns("check", "measured", "expected", "tolerance", "verdict")))
    results = []
    for result in run(chosen):
        results.append(result)
        if answer is Format.text:
            typer.echo(line(result))
    if answer is Format.json:
        print_json(as_dict(results))
    else:
        typer.echo(f"\n{summary(results)}")
    if not all(result.passed for result in results):
        raise typer.Exit(1)


def line(result: Result) -> str:
    """One check in 80 columns."""
    check = result.check
    verdict = "ok" if result.passed else styled("FAILED", sys.stdout, bold=True, fg="red")
    measured = "error" if result.error else _figure(result, result.measured)
    expected = "deviation" if check.is_deviation else _figure(result, check.expected)
    return _columns(check.name, measured, expected, str(check.tolerance), verdict)


def summary(results: Sequence[Result]) -> str:
    """How many passed and how long they took, and why the failed ones are as they are."""
    failed, seconds = [r for r in results if not r.passed], sum(r.seconds for r in results)
    count = f"{len(results)} check{'' if len(results) == 1 else 's'}"
    if not failed:
        return f"{count} passed in {seconds:.1f} s"
    lines = [f"{len(failed)} of {count} failed in {seconds:.1f} s"]
    for result in failed:
        text = f"{result.check.name}: {result.error or result.check.why}"
        lines += textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(lines)


def as_dict(results: Sequence[Result]) -> dict[str, Any]:
    """The same for programs; a measured value that is none is null."""
    return {
        "passed": all(result.passed for result in results),
        "seconds": sum(result.seconds for result in results),
        "checks": [
            {
                "name": result.check.name,
                "measured": result.measured,
                "expected": result.check.expected,
                "tolerance": result.check.tolerance.amount,
                "relative": result.check.tolerance.relative,
                "unit": result.check.tolerance.unit,
                "passed": result.passed,
                "seconds": result.seconds,
                "why": result.check.why,
                "error": result.error,
            }
            for result in results
        ],
    }


def _columns(name: str, measured: str, expected: str, tolerance: str, verdict: str) -> str:
    return f"{name:<35} {measured:>10} {expected:>10}  {tolerance:<12} {verdict}"


def _figure(result: Result, value: float) -> str:
    """A value with one digit more than its tolerance decides, so that columns can be compared by eye."""
    tolerance = result.check.tolerance
    if result.check.is_deviation:
        return f"{value:.1e}" if value else "0"
    allowed = tolerance.amount * (abs(result.check.expected) if tolerance.relative else 1.0)
    if allowed == 0.0:
        return f"{value:g}"
    decimals = min(max(0, 1 - math.floor(math.log10(allowed))), MOST_DECIMALS)
    text = f"{value:.{decimals}f}"
    return text if len(text) <= 10 else f"{value:.3e}"
