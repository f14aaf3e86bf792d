"""What the benchmarks share: a row, and a command that measures rows, prints them and writes records.

Knows nothing of what is measured. The Makefile runs the other files of this folder, not this one.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Benchmark(NamedTuple):
    """One row: `measure` gives its value, from so many runs."""

    name: str
    unit: str
    target: float
    peer: str
    measure: Callable[[int], float]
    at_most: bool = False


def median(once: Callable[[int], float], warm: bool = True) -> Callable[[int], float]:
    """The median of runs, each given its number, after one that pays for fresh memory if `warm`."""

    def measure(runs: int) -> float:
        if warm:
            once(0)
        return statistics.median(once(run) for run in range(1, runs + 1))

    return measure


def paired(one: Callable[[], Any], other: Callable[[], Any], runs: int) -> float:
    """Median of CPU seconds of `one` over those of `other`, measured in turn."""
    ratios = []
    for run in range(runs + 1):
        spent = []
        for what in (one, other) if run % 2 else (other, one):
            gc.collect()
            began_s = time.process_time()
            what()
            spent.append(time.process_time() - began_s)
        ratios.append(spent[0] / spent[1] if run % 2 else spent[1] / spent[0])
    return statistics.median(ratios[1:])  # the first pair pays for fresh memory


def main(
    text: str,
    rows: Sequence[Benchmark],
    runs: int,
    note: Callable[[str, float, int], str] = lambda name, value, runs: "",
    more: Callable[[int], Sequence[tuple[str, float, str]]] = lambda runs: (),
) -> None:
    """Measure and print. `note` adds a word to a row; `more` gives rows without a target: name, value, unit."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--json", type=Path, help="also write records {name, value, unit, target, peer}")
    parser.add_argument("--only", choices=[row.name for row in rows], help="measure this row alone")
    parser.add_argument("--runs", type=int, default=runs)
    options = parser.parse_args()
    records: list[dict[str, Any]] = []
    print(f"{'':<34} {'value':>10} {'target':>10}  unit  peers")
    for row in rows:
        if options.only in (None, row.name):
            value = row.measure(options.runs)
            said = "; ".join(filter(None, [note(row.name, value, options.runs), row.peer]))
            sign = "<" if row.at_most else ">"
            print(f"{row.name:<34} {value:10.3g} {sign}{row.target:9.3g}  {row.unit:<4}  {said}", flush=True)
            records.append(_record(row.name, value, row.unit, row.target, row.peer))
    for name, value, unit in more(options.runs) if options.only is None else ():
        print(f"{name:<34} {value:10.3g} {'':>10}  {unit}", flush=True)
        records.append(_record(name, value, unit, None, "none"))
    if options.json:
        options.json.write_text(json.dumps(records, indent=2) + "\n")


def _record(name: str, value: float, unit: str, target: float | None, peer: str) -> dict[str, Any]:
    known = None if math.isnan(value) else float(f"{value:.4g}")
    return {"name": name, "value": known, "unit": unit, "target": target, "peer": peer}
