"""Tables of docs/soft-tsfa/: the studies, what of them is compared, and rows of Markdown.

Knows what a row says; the numbers come from `analysis.evidence`, the runs from `evidence`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis import TraceError, Traces, load
from analysis.evidence import NOTHING, Mean, by_arm, differences, equal_time_s, finished, runs

if TYPE_CHECKING:
    from evidence import Part

POINTS = 100.0
NONE = "–"


@dataclass(frozen=True)
class Study:
    """The finished runs of a part, what of them is compared, and what a reader of a table has to know."""

    part: Part
    folder: Path
    traces: Traces
    until_s: float
    notes: Mapping[str, Any]

    @property
    def arms(self) -> list[str]:
        """The arms with a finished run, in the order of the part, else of the scenario."""
        there = list(dict.fromkeys(arm for arm, _ in finished(self.traces)))
        return [arm for arm in self.part.arms if arm in there] or there

    @property
    def seeds(self) -> list[int]:
        """All seeds of finished runs."""
        return sorted({seed for _, seed in finished(self.traces)})

    def table(self) -> pd.DataFrame:
        """`analysis.evidence.runs`, until the time that is compared."""
        return runs(self.traces, self.until_s)


def opened(part: Part, folder: Path) -> Study | None:
    """The study of a part; None where no run of it has finished. Questions 2 and on compare at equal simulated time."""
    try:
        traces = load(folder, ("transmissions", "groups"))
    except TraceError:
        return None
    if not finished(traces):
        return None
    file = folder / "evidence.json"
    notes = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    until_s = math.inf if part.question.startswith("1") else equal_time_s(traces)
    return Study(part, folder, traces, until_s, notes)


def opened_all(parts: Sequence[Part], output: Path) -> tuple[dict[str, Study], list[str]]:
    """The studies of parts by name, and what there is to say of those without a finished run, and of the others."""
    studies, said = dict[str, Study](), list[str]()
    for part in parts:
        study = opened(part, output / part.name)
        if study is None:
            said.append(f"{part.name}: no finished run in {output / part.name}; left out")
        else:
            studies[part.name] = study
            said += [f"{part.name}: {note}" for note in study.traces.notes]
    return studies, said


def head(studies: Sequence[Study], *lines: str, named: str = "") -> list[str]:
    """How a page begins: the command, the commits and the seeds of each study, and what its columns mean."""
    sizes = {size for study in studies for size in study.notes.get("sizes", ())}
    size = next((size for size in ("full", "core", "smoke") if size in sizes), "full")
    which = f"STUDY={named} " if named else ""
    said = [f"Command: `make evidence {which}SIZE={size}`, which runs", "", "```console"]
    for study in studies:
        said += [f"$ {command}" for command in study.notes.get("commands", [f"wfl-sim run {study.part.scenario}"])]
    said += ["```", ""]
    for study in studies:
        commits = ", ".join(study.notes.get("commits", ())) or "unknown"
        many = f"{len(study.seeds)} seeds ({', '.join(map(str, study.seeds))})"
        said.append(f"* `{study.part.name}`: commit {commits}; {many if len(study.seeds) > 1 else 'one seed'}")
    return [*said, "", *lines, ""]


def of_question(studies: Mapping[str, Study], question: str) -> list[Study]:
    """The studies that answer it, in the order of the parts."""
    return [study for study in studies.values() if study.part.question == question]


def plus_minus(value: Mean, factor: float = 1.0, digits: int = 1, sign: bool = False) -> str:
    """``mean ± half of the interval``; a difference that is not 0 by its interval is bold."""
    if math.isnan(value.mean):
        return NONE
    text = f"{factor * value.mean:{'+' if sign else ''}.{digits}f}"
    if not math.isnan(value.half):
        text += f" ± {factor * value.half:.{digits}f}"
    return f"**{text}**" if sign and value.certain else text


def plain(value: Mean, digits: int = 1) -> str:
    """The mean alone."""
    return NONE if math.isnan(value.mean) else f"{value.mean:.{digits}f}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table; all columns but the first are aligned to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return ["| " + " | ".join(row) + " |" for row in (header, rule, *rows)] + [""]


def ranked(study: Study, table: pd.DataFrame, arms: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arms whose updates are larger than those compared, and the others; each from the best down."""
    accuracy, bits = by_arm(table, "accuracy"), by_arm(table, "update_kbit")
    best = sorted(arms, key=lambda arm: -accuracy[arm].mean)
    larger = [arm for arm in best if bits[arm].mean > study.part.limit_kbit]
    return larger, [arm for arm in best if arm not in larger]


def bits_table(
    study: Study, first: Study, table: pd.DataFrame, arms: Sequence[str], references: Sequence[str]
) -> list[str]:
    """The table of question 1 for one budget, or of an ablation of it, with differences to these arms."""
    accuracy, bits, down = (by_arm(table, name) for name in ("accuracy", "update_kbit", "downlink_kbit"))
    a, b = by_arm(table, "coherence_a"), by_arm(table, "coherence_b")
    against = {name: differences(table, name, "accuracy") for name in references if name in arms}
    floor = by_arm(first.table(), "update_kbit").get("head-only", NOTHING).mean
    rows = []
    for arm in arms:
        owner = study if arm in study.arms else first
        rest = bits[arm].mean - floor * value_bits(owner, arm) / value_bits(first, "head-only")
        rows.append(
            [
                arm,
                plus_minus(accuracy[arm], POINTS),
                *(plus_minus(own.get(arm, NOTHING), POINTS, sign=True) for own in against.values()),
                plain(bits[arm], 0),
                NONE if math.isnan(rest) else f"{max(rest, 0):.0f}",
                plain(down[arm], 0),
                NONE if math.isnan(a[arm].mean) else f"{plain(a[arm], 2)} / {plain(b[arm], 2)}",
            ]
        )
    names = [f"against {name}" for name in against]
    return markdown(
        ["arm", "accuracy", *names, "update, kbit", "adapters, kbit", "downlink a round, kbit", "coherence A / B"], rows
    )


def value_bits(study: Study, arm: str) -> float:
    """Bits of a value in the codec of an arm."""
    from wfl_sim.scenario import load as scenario_of

    file = next(iter(sorted(study.folder.glob(f"{arm}-seed*/scenario.yaml"))), None)
    return math.nan if file is None else float(getattr(scenario_of(file).cells[0].scenario.codec, "bits", math.nan))


def time_table(study: Study, references: Sequence[str]) -> list[str]:
    """The table of one scenario at equal simulated time."""
    table = study.table()
    columns = {
        name: by_arm(table, name)
        for name in ("accuracy", "rounds", "uplink_mbit", "over_budget", "deferred", "dropped", "kept_fraction",
                     "update_kbit", "downlink_kbit")
    }  # fmt: skip
    there = {name: differences(table, name, "accuracy") for name in references if name in study.arms}
    rounds = table.set_index(["arm", "seed"])["over_budget"]
    rows = [
        [
            arm,
            plus_minus(columns["accuracy"][arm], POINTS),
            *(plus_minus(own.get(arm, NOTHING), POINTS, sign=True) for own in there.values()),
            *(plain(columns[name][arm], 1) for name in ("rounds", "uplink_mbit")),
            plus_minus(columns["over_budget"][arm], digits=2),
            " ".join(NONE if math.isnan(own) else f"{own:.2f}" for own in rounds[arm].reindex(study.seeds)),
            *(plain(columns[name][arm], 2) for name in ("deferred", "dropped", "kept_fraction")),
            plain(columns["update_kbit"][arm]),
            plain(columns["update_kbit"].get(study.part.matched.get(arm, ""), NOTHING)),
            plain(columns["downlink_kbit"][arm], 0),
        ]
        for arm in study.arms
    ]
    names = [f"against {name}" for name in there]
    last = ["rounds", "uplink, Mbit", "round / budget", "by seed", "deferred", "dropped", "kept", "update, kbit",
            "its match, kbit", "downlink a round, kbit"]  # fmt: skip
    return markdown(["arm", "accuracy", *names, *last], rows)


def picked(folder: Path, ranks: Collection[int]) -> dict[str, dict[int, int]]:
    """The ranks that stage 1 took of `ranks`, by the way it was asked and the seed; other plans are passed over."""
    picks: dict[str, dict[int, int]] = {}
    for file in sorted(folder.glob("plan-*-seed*-*.json")):
        selection = json.loads(file.read_text(encoding="utf-8"))["selection"]
        if {int(row["rank"]) for row in selection["candidates"]} == set(ranks):
            _, by, seed, _ = file.stem.split("-")
            picks.setdefault(by, {})[int(seed.removeprefix("seed"))] = int(selection["rank"])
    return picks


def regret(accuracy: pd.Series, best: int, own: int, seed: int) -> float:
    """Accuracy that the rank `best` had more than `own` with a seed; NaN where one was not run."""
    if not {(best, seed), (own, seed)} <= set(accuracy.index):
        return math.nan
    return float(accuracy[best, seed] - accuracy[own, seed])


def last_rounds(study: Study, dense: str) -> pd.DataFrame:
    """The accuracy of each run after as many rounds as dense training has."""
    rounds = min(len(own) for (arm, _), own in finished(study.traces).items() if arm == dense)
    rows = [
        {"arm": arm, "seed": seed, "accuracy": float(own["accuracy"].head(rounds).dropna().tail(3).median())}
        for (arm, seed), own in finished(study.traces).items()
    ]
    return pd.DataFrame(rows)
