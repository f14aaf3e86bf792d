"""The tables of a comparison: its values seed by seed, the means of their differences, and the verdict in words.

Knows a `Comparison` and rich; nothing of how its numbers came about.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from rich.table import Table

from analysis.compare import Comparison, Pair
from analysis.metrics import METRICS
from analysis.paired import Interval
from analysis.tables import NARROWEST
from analysis.updates import Updates, differ

FEW_SEEDS = 5
"""Below that a bootstrap interval is too narrow, see `analysis.paired.interval_of_mean`."""
ONE_SEED = "one seed"
"""In place of a verdict."""

_DIGITS, _DIGITS_OF_DIFFERENCES = 4, 3  # significant ones of the largest value
_MOST_MORE = 4  # decimals that differences have beyond those of values
_POINT = re.compile(r"-[^-=]+=.*$")  # -bandwidth=1MHz-rank=8


def headline(comparison: Comparison) -> str:
    """What is compared by what, in three lines."""
    metric = METRICS[comparison.metric]
    target = "" if comparison.target is None else f" {comparison.target:g}"
    unit = f", {metric.shown_unit}" if metric.shown_unit else ""
    window = f" of {comparison.window}" if comparison.window else ""
    what = f"{metric.meaning}{window}{target}{unit} ({comparison.better} is better)"
    return f"{what}\nA: {comparison.a} (baseline)\nB: {comparison.b}"


def seeds_table(comparison: Comparison) -> Table:
    """One row an arm and seed, and one a group of its clients: the baseline's value, the new one, their difference."""
    table = _table(["seed", "A", "B", "B - A", "relative"])
    digits, finer = _decimals(comparison)
    for pair in _all(comparison):
        for row in pair.seeds:
            values = (_shown(comparison, value, digits) for value in (row.a, row.b))
            difference = _shown(comparison, row.difference, finer, "+")
            table.add_row(_name(pair), str(row.seed), *values, difference, _percent(row.relative))
    return table


def means_table(comparison: Comparison) -> Table:
    """One row an arm, and one a group of its clients: mean difference over the seeds, intervals, and the verdict.

    Of one seed there is no interval, and no verdict here; the exit code goes by its difference all the same.
    """
    table = _table(["n", "mean B - A", "relative", "t", "bootstrap", "tolerance"])
    table.add_column("verdict", no_wrap=True)
    _, finer = _decimals(comparison)
    for pair in _all(comparison):
        table.add_row(
            _name(pair),
            str(pair.n),
            _shown(comparison, pair.mean, finer, "+"),
            _percent(pair.mean / abs(pair.baseline) if pair.baseline else math.nan),
            _interval(comparison, pair.t, finer),
            _interval(comparison, pair.bootstrap, finer),
            _shown(comparison, pair.tolerance, finer),
            ONE_SEED if _is_alone(pair) else pair.verdict,
        )
    return table


def conclusion(comparison: Comparison) -> list[str]:
    """What the columns mean, the notes, what was won or lost in single seeds, and whether there is a regression."""
    lines = ["n: seeds in which both have a value; t, bootstrap: 95 % intervals of the mean difference"]
    for pair in comparison.pairs:
        if differ(pair.updates):
            told = (f"{side} {_update(own)}" for side, own in zip("AB", pair.updates, strict=True))
            lines.append(f"updates of {_name(pair)}: {'; '.join(told)}")
    lines += [f"note: {note}" for note in _notes(comparison)]
    what = "has no value" if comparison.target is None else f"does not reach {comparison.target:g}"
    for pair in _all(comparison):
        for seeds, who, other in ((pair.lost, "B", "A"), (pair.won, "A", "B")):
            if seeds:
                lines.append(f"{_name(pair)}: in seed {', '.join(map(str, seeds))} {who} {what}, and {other} does")
    if of_groups := [_judged(pair) for pair in comparison.groups if pair.verdict == "worse"]:
        lines.append(f"worse in groups of clients, which is no regression of the run: {'; '.join(of_groups)}")
    worse = [_judged(pair) for pair in comparison.pairs if pair.verdict == "regression"]
    lines.append(f"regression: {', '.join(worse)}" if worse else "no regression")
    return lines


def _update(own: Updates) -> str:
    """What an update took; of split training with the coding of its activations."""
    if math.isnan(own.kbit):
        return "no uploads"
    coded = f"activations of {own.coding_bits:.3g} bits a value"
    return f"{own.kbit:.1f} kbit, {f'kept {own.kept:.3f}' if math.isnan(own.coding_bits) else coded}"


def _is_alone(pair: Pair) -> bool:
    """Whether a single seed is all that its verdict comes from."""
    return pair.n + len(pair.lost) + len(pair.won) == 1


def _judged(pair: Pair) -> str:
    return f"{_name(pair)} ({ONE_SEED})" if _is_alone(pair) else _name(pair)


def _notes(comparison: Comparison) -> list[str]:
    notes = []
    if any(map(_is_alone, _all(comparison))):
        notes.append("one seed has no interval, and does not tell A from B: what differs may be chance")
    if any(pair.n < FEW_SEEDS and not math.isnan(pair.bootstrap.low) for pair in _all(comparison)):
        notes.append(f"with fewer than {FEW_SEEDS} seeds the bootstrap interval is too narrow; trust t")
    if unclear := [_name(pair) for pair in _all(comparison) if pair.t.low < 0 < pair.t.high]:
        notes.append(f"the t interval holds 0, so these seeds do not tell A from B: {'; '.join(unclear)}")
    return [*notes, *comparison.notes]


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """The comparison for JSON, in SI units."""
    return {
        **{name: getattr(comparison, name) for name in ("a", "b", "metric", "better", "target")},
        "unit": METRICS[comparison.metric].unit,
        "regression": comparison.regression,
        "pairs": [
            _pair(pair) | {"updates": {side: own._asdict() for side, own in zip("ab", pair.updates, strict=True)}}
            for pair in comparison.pairs
        ],
        "groups": [
            {"group": pair.group.name, "task": pair.group.task} | _pair(pair)
            for pair in comparison.groups
            if pair.group is not None
        ],
        "notes": _notes(comparison),
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "a": pair.a,
        "b": pair.b,
        "seeds": [
            {"seed": s.seed, "a": s.a, "b": s.b, "difference": s.difference, "relative": s.relative} for s in pair.seeds
        ],
        **{name: getattr(pair, name) for name in ("n", "baseline", "mean", "tolerance", "verdict")},
        **{name: list(getattr(pair, name)) for name in ("t", "bootstrap", "lost", "won")},
    }


def _all(comparison: Comparison) -> Iterator[Pair]:
    """Each pair of arms with its groups behind it."""
    for pair in comparison.pairs:
        yield pair
        yield from (own for own in comparison.groups if (own.a, own.b) == (pair.a, pair.b))


def _name(pair: Pair) -> str:
    """The arm, or both, and the group of clients; a point of a grid that they share is said once."""
    return _arms(pair) if pair.group is None else f"{_arms(pair)}: {pair.group.name} ({pair.group.short})"


def _arms(pair: Pair) -> str:
    if pair.a == pair.b:
        return pair.a
    found = _POINT.search(pair.a)
    point = found[0] if found and pair.b.endswith(found[0]) else ""
    both = f"{pair.a.removesuffix(point)} -> {pair.b.removesuffix(point)}"
    return f"{both}, {point[1:]}" if point else both


def _decimals(comparison: Comparison) -> tuple[int, int]:
    """Decimals of the values and of their differences, so that the largest of each has its significant digits."""
    rows = [row for pair in _all(comparison) for row in pair.seeds]
    values = _digits_of(comparison, [value for row in rows for value in (row.a, row.b)], _DIGITS)
    differences = _digits_of(comparison, [row.difference for row in rows], _DIGITS_OF_DIFFERENCES)
    return values, min(max(values, differences), values + _MOST_MORE)


def _digits_of(comparison: Comparison, values: list[float], significant: int) -> int:
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0) / METRICS[comparison.metric].scale
    return 0 if largest == 0 else max(0, significant - 1 - math.floor(math.log10(largest)))


def _shown(comparison: Comparison, value: float, digits: int, sign: str = "") -> str:
    return "-" if math.isnan(value) else f"{value / METRICS[comparison.metric].scale:{sign}.{digits}f}"


def _interval(comparison: Comparison, interval: Interval, digits: int) -> str:
    if math.isnan(interval.low):
        return "-"
    low, high = (_shown(comparison, end, digits, "+") for end in interval)
    return f"{low} to {high}"


def _percent(part: float) -> str:
    return "-" if math.isnan(part) else f"{100 * part:+.1f} %"


def _table(numbers: list[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("arm", overflow="fold", min_width=NARROWEST)
    for title in numbers:
        table.add_column(title, justify="right", no_wrap=True)
    return table
