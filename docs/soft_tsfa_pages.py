"""Tables and pictures of docs/soft-tsfa/: what the runs of soft_tsfa.py say about each question.

Knows how an answer is laid out; the numbers come from `analysis.evidence`, the runs from `soft_tsfa`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import TraceError, Traces, load
from analysis.evidence import NOTHING, Mean, by_arm, differences, equal_time_s, finished, mean, reached, runs
from analysis.house import COLOURS, LIMIT_COLOUR, WIDTH_IN, in_house_style

if TYPE_CHECKING:
    from soft_tsfa import Part

POINTS = 100.0
SHORT_OF_DENSE = 1.0
"""Points below the end of dense training at which question 5 counts bits and seconds."""
ROW_IN = 0.27
NONE = "–"
FAMILIES = (("soft-plus", COLOURS[1]), ("rotated", COLOURS[1]), ("tsfa", COLOURS[1]), ("soft", COLOURS[0]),
            ("topk", COLOURS[2]), ("flasc", COLOURS[2]), ("svd", COLOURS[3]), ("random", COLOURS[4]))  # fmt: skip
NEUTRAL = "0.4"


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


def write(parts: Sequence[Part], output: Path, tables: Path) -> Iterator[str]:
    """Write the pages for which there are runs; says a line for each, and for each part that is missing."""
    studies = {}
    for part in parts:
        study = opened(part, output / part.name)
        if study is None:
            yield f"{part.name}: no finished run in {output / part.name}; left out"
        else:
            studies[part.name] = study
            if study.traces.notes:
                yield from (f"{part.name}: {note}" for note in study.traces.notes)
    tables.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        made = page(studies)
        if made is None:
            yield f"{name}: nothing to show yet"
            continue
        text, figure = made
        (tables / f"{name}.md").write_text(text, encoding="utf-8")
        if figure is not None:
            figure.savefig(tables / f"{name}.png")
        yield f"{name}: {tables / name}.md" + ("" if figure is None else " and .png")


def opened(part: Part, folder: Path) -> Study | None:
    """The study of a part; None where no run of it has finished. Questions 2 and on compare at equal simulated time."""
    try:
        traces = load(folder, ("transmissions",))
    except TraceError:
        return None
    if not finished(traces):
        return None
    file = folder / "evidence.json"
    notes = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    until_s = math.inf if part.question.startswith("1") else equal_time_s(traces)
    return Study(part, folder, traces, until_s, notes)


def head(studies: Sequence[Study], *lines: str) -> list[str]:
    """How a page begins: the command, the commits and the seeds of each study, and what its columns mean."""
    sizes = {size for study in studies for size in study.notes.get("sizes", ())}
    size = next((size for size in ("full", "core", "smoke") if size in sizes), "full")
    said = [f"Command: `make evidence SIZE={size}`, which runs", "", "```console"]
    for study in studies:
        said += [f"$ {command}" for command in study.notes.get("commands", [f"wfl-sim run {study.part.scenario}"])]
    said += ["```", ""]
    for study in studies:
        commits = ", ".join(study.notes.get("commits", ())) or "unknown"
        many = f"{len(study.seeds)} seeds ({', '.join(map(str, study.seeds))})"
        said.append(f"* `{study.part.name}`: commit {commits}; {many if len(study.seeds) > 1 else 'one seed'}")
    return [*said, "", *lines, ""]


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


def colour(arm: str) -> str:
    """Arms of one codec have one colour."""
    return next((own for word, own in FAMILIES if arm.startswith(word)), NEUTRAL)


def dots(axes: Axes, arms: Sequence[str], values: Mapping[str, Mean], factor: float = 1.0) -> None:
    """A row an arm, from the top: a dot at the mean, and the interval; arms without a value keep an empty row."""
    for row, arm in enumerate(arms):
        value = values.get(arm, NOTHING)
        if math.isnan(value.mean):
            continue
        half = 0.0 if math.isnan(value.half) else factor * value.half
        axes.errorbar(factor * value.mean, row, xerr=half or None, fmt="o", color=colour(arm), capsize=3,
                      markeredgecolor="white", elinewidth=1.6)  # fmt: skip
    axes.set_yticks(range(len(arms)), arms)
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)


def height(rows: int) -> float:
    """Inches that so many rows take, with title and axis."""
    return 1.25 + ROW_IN * rows


def of_question(studies: Mapping[str, Study], question: str) -> list[Study]:
    """The studies that answer it, in the order of the parts."""
    return [study for study in studies.values() if study.part.question == question]


Page = tuple[str, Figure | None]


def equal_bits(studies: Mapping[str, Study]) -> Page | None:
    """Question 1: accuracy at equal counted bits, once for each budget."""
    found = of_question(studies, "1")
    if not found:
        return None
    first = found[0].table()
    lines, panels = [], []
    for study in found:
        table = study.table()
        own = [arm for arm in ("head-only", "dense") if arm not in study.arms and arm in set(first["arm"])]
        table = pd.concat([first[first["arm"].isin(own)], table], ignore_index=True) if own else table
        arms = [*own, *study.arms]
        lines += [f"## {titled(study)}", "", *bits_table(study, found[0], table, arms)]
        panels.append((titled(study), arms, table))
    start = head(
        found,
        "Accuracy in %: median of the last 3 rounds; mean over seeds and its 95 % interval (Student's t). Differences "
        "in points within a seed; bold where the interval leaves out 0. An update is what a client sends in a round, "
        "head and index counted; adapters: without the head. Coherence: largest |cosine| of two rows of A / columns of "
        "B after the last round.",
    )
    return "\n".join([*start, *lines]), _equal_bits(panels)


def titled(study: Study) -> str:
    """A study as its budget of bits is called."""
    budget = next((text.split("=")[1].strip("'") for text in study.part.overrides if "payload" in text), "")
    return f"At most {budget} an update" if budget else "At most 260 kbit an update"


def bits_table(study: Study, first: Study, table: pd.DataFrame, arms: Sequence[str]) -> list[str]:
    """The table of question 1 for one budget, or of an ablation of it."""
    accuracy, bits = by_arm(table, "accuracy"), by_arm(table, "update_kbit")
    a, b = by_arm(table, "coherence_a"), by_arm(table, "coherence_b")
    against = {name: differences(table, name, "accuracy") for name in ("dense", "topk", "soft") if name in arms}
    against = {name: own for name, own in against.items() if name != "soft" or len(against) == 1}
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
                NONE if math.isnan(a[arm].mean) else f"{plain(a[arm], 2)} / {plain(b[arm], 2)}",
            ]
        )
    names = [f"against {name}" for name in against]
    return markdown(["arm", "accuracy", *names, "update, kbit", "adapters, kbit", "coherence A / B"], rows)


def value_bits(study: Study, arm: str) -> float:
    """Bits of a value in the codec of an arm."""
    from wfl_sim.scenario import load as scenario_of

    file = next(iter(sorted(study.folder.glob(f"{arm}-seed*/scenario.yaml"))), None)
    return math.nan if file is None else float(getattr(scenario_of(file).cells[0].scenario.codec, "bits", math.nan))


@in_house_style
def _equal_bits(panels: Sequence[tuple[str, list[str], pd.DataFrame]]) -> Figure:
    rows = [len(arms) for _, arms, _ in panels]
    figure = Figure(figsize=(WIDTH_IN, sum(map(height, rows)) + 0.4), layout="constrained")
    grid = figure.subplots(len(panels), 2, squeeze=False, height_ratios=[height(n) for n in rows], sharex="col")
    for (left, right), (title, arms, table) in zip(grid, panels, strict=True):
        accuracy, bits = by_arm(table, "accuracy"), by_arm(table, "update_kbit")
        dots(left, arms, accuracy, POINTS)
        left.set_yticks(range(len(arms)), [f"{arm}  {plain(bits[arm], 0):>5}" for arm in arms])
        for name, style in (("head-only", ":"), ("dense", "--")):
            if name in accuracy:
                left.axvline(POINTS * accuracy[name].mean, color="0.6", linestyle=style, linewidth=1.2, zorder=0)
        left.set_title(title)
        reference = "topk" if "topk" in arms else "dense"
        dots(right, arms, differences(table, reference, "accuracy"), POINTS)
        right.axvline(0, color=LIMIT_COLOUR, linewidth=1.2, zorder=0)
        right.tick_params(labelleft=False)
        right.set_title(f"against {reference}, by seed")
        left.tick_params(labelbottom=True)
        right.tick_params(labelbottom=True)
    grid[-1][0].set_xlabel("accuracy, %; beside each arm: kbit an update")
    grid[-1][1].set_xlabel("difference in accuracy, points")
    figure.suptitle("Accuracy at equal counted bits, with 95 % intervals")
    return figure


def equal_time(studies: Mapping[str, Study]) -> Page | None:
    """Question 2: accuracy at equal simulated time, once for each kind of links."""
    found = of_question(studies, "2")
    return None if not found else _timed(found, ("dense-min-max", "topk-tsfa"), "dense-equal")


def csi(studies: Mapping[str, Study]) -> Page | None:
    """Question 4: the same for knowledge of the links that is late or wrong."""
    found = of_question(studies, "4")
    return None if not found else _timed(found, ("tsfa", "equal"), "")


def tsfa_ablation(studies: Mapping[str, Study]) -> Page | None:
    """Each choice of TSFA."""
    found = of_question(studies, "2-ablation")
    return None if not found else _timed(found, ("tsfa",), "")


def _timed(found: Sequence[Study], references: Sequence[str], mark: str) -> Page:
    lines = []
    for study in found:
        lines += [f"## {study.part.name}, after {study.until_s:.1f} s", "", *time_table(study, references)]
    start = head(
        found,
        "Accuracy in % at the largest simulated time that all runs of a scenario reach: median of the last 3 rounds "
        "before; mean over seeds and its 95 % interval (Student's t). Differences in points within a seed; bold where "
        "the interval leaves out 0. Uplink until then, repeats included. Round / budget: mean round over the latency "
        "budget, above 1 it is broken. Deferred and dropped clients a round. Kept: mean kept fraction.",
    )
    return "\n".join([*start, *lines]), _equal_time(found, mark, references)


def time_table(study: Study, references: Sequence[str]) -> list[str]:
    """The table of one scenario at equal simulated time."""
    table = study.table()
    columns = {
        name: by_arm(table, name)
        for name in ("accuracy", "rounds", "uplink_mbit", "over_budget", "deferred", "dropped", "kept_fraction")
    }
    there = {name: differences(table, name, "accuracy") for name in references if name in study.arms}
    rows = [
        [
            arm,
            plus_minus(columns["accuracy"][arm], POINTS),
            *(plus_minus(own.get(arm, NOTHING), POINTS, sign=True) for own in there.values()),
            *(plain(columns[name][arm], 1) for name in ("rounds", "uplink_mbit")),
            plus_minus(columns["over_budget"][arm], digits=2),
            *(plain(columns[name][arm], 2) for name in ("deferred", "dropped", "kept_fraction")),
        ]
        for arm in study.arms
    ]
    names = [f"against {name}" for name in there]
    last = ["rounds", "uplink, Mbit", "round / budget", "deferred", "dropped", "kept"]
    return markdown(["arm", "accuracy", *names, *last], rows)


@in_house_style
def _equal_time(found: Sequence[Study], mark: str, references: Sequence[str]) -> Figure:
    rows = [len(study.arms) for study in found]
    figure = Figure(figsize=(WIDTH_IN, sum(map(height, rows)) + 0.4), layout="constrained")
    grid = figure.subplots(len(found), 3, squeeze=False, height_ratios=[height(n) for n in rows], sharex="col")
    for (left, middle, right), study in zip(grid, found, strict=True):
        table = study.table()
        accuracy = by_arm(table, "accuracy")
        dots(left, study.arms, accuracy, POINTS)
        if mark in accuracy:
            left.axvline(POINTS * accuracy[mark].mean, color="0.6", linestyle="--", linewidth=1.2, zorder=0)
        left.set_title(f"{study.part.name}, {study.until_s:.0f} s")
        reference = next((arm for arm in references if arm in study.arms), study.arms[0])
        dots(middle, study.arms, differences(table, reference, "accuracy"), POINTS)
        middle.axvline(0, color=LIMIT_COLOUR, linewidth=1.2, zorder=0)
        middle.set_title(f"against {reference}")
        dots(right, study.arms, by_arm(table, "over_budget"))
        right.axvline(1, color=LIMIT_COLOUR, linewidth=1.2, zorder=0)
        right.set_title("mean round")
        for axes in (left, middle, right):
            axes.tick_params(labelleft=axes is left, labelbottom=True)
    labels = ("accuracy at equal time, %", "difference by seed, points", "round / latency budget, ratio")
    for axes, label in zip(grid[-1], labels, strict=True):
        axes.set_xlabel(label)
    figure.suptitle("At equal simulated time, with 95 % intervals")
    return figure


def soft_ablation(studies: Mapping[str, Study]) -> Page | None:
    """Each ingredient of SOFT at equal bits, beside the floor and dense training of question 1."""
    found = of_question(studies, "1-ablation")
    if not found:
        return None
    first = next(iter(of_question(studies, "1")), found[0])
    table = found[0].table()
    lines = bits_table(found[0], first, table, found[0].arms)
    start = head(found, "As in question 1, at 260 kbit an update; differences to `soft` within a seed.")
    return "\n".join([*start, *lines]), _ablation(found[0])


@in_house_style
def _ablation(study: Study) -> Figure:
    table, arms = study.table(), study.arms
    figure = Figure(figsize=(WIDTH_IN, height(len(arms)) + 0.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    dots(left, arms, by_arm(table, "accuracy"), POINTS)
    left.set_xlabel("accuracy, %")
    dots(right, arms, differences(table, "soft", "accuracy"), POINTS)
    right.axvline(0, color=LIMIT_COLOUR, linewidth=1.2, zorder=0)
    right.tick_params(labelleft=False)
    right.set_xlabel("difference to soft by seed, points")
    figure.suptitle("Each ingredient by itself, with 95 % intervals")
    return figure


RANK = "method.rank"


def rank(studies: Mapping[str, Study]) -> Page | None:
    """Question 3: accuracy at equal simulated time over the rank, and what stage 1 picked."""
    found = of_question(studies, "3")
    if not found or RANK not in found[0].traces.axes:
        return None
    study = found[0]
    table = study.table().merge(study.traces.cells[["arm", "seed", RANK]])
    table = table.assign(**{RANK: table[RANK].astype(int)})
    accuracy = {int(own): mean(values) for own, values in table.groupby(RANK)["accuracy"]}
    picks = picked(study.folder)
    columns = {name: table.groupby(RANK)[name].mean() for name in ("kept_fraction", "rounds", "over_budget")}
    best = max(accuracy, key=lambda own: accuracy[own].mean)
    values = table.set_index([RANK, "seed"])["accuracy"]
    ahead = differences(table.assign(arm=table[RANK].astype(str)), str(best), "accuracy")
    rows = [
        [
            str(own) + (" (best)" if own == best else ""),
            plus_minus(value, POINTS),
            plus_minus(ahead.get(str(own), NOTHING), POINTS, sign=True),
            *(f"{columns[name][own]:.2f}" for name in columns),
            *(", ".join(str(seed) for seed, chosen in by.items() if chosen == own) or NONE for by in picks.values()),
        ]
        for own, value in sorted(accuracy.items())
    ]
    names = [f"picked by `{by}` with seed" for by in picks]
    lines = markdown(["rank", "accuracy", "against the best", "kept", "rounds", "round / budget", *names], rows)
    for by, chosen in picks.items():
        lost = [regret(values, best, own, seed) for seed, own in chosen.items()]
        said = plus_minus(mean(lost), POINTS)
        lines.append(f"Regret of `{by}`, accuracy of the best rank less that of the pick within a seed: {said} points.")
    start = head(found, f"Accuracy in % after {study.until_s:.1f} s, which all runs reach; intervals as in question 2.")
    return "\n".join([*start, *lines, ""]), _rank(study, values, accuracy, picks)


def picked(folder: Path) -> dict[str, dict[int, int]]:
    """The ranks that stage 1 took, by the way it was asked and the seed."""
    picks: dict[str, dict[int, int]] = {}
    for file in sorted(folder.glob("plan-*-seed*.json")):
        selection = json.loads(file.read_text(encoding="utf-8"))["selection"]
        _, by, seed = file.stem.split("-")
        picks.setdefault(by, {})[int(seed.removeprefix("seed"))] = int(selection["rank"])
    return picks


def regret(accuracy: pd.Series, best: int, own: int, seed: int) -> float:
    """Accuracy that the rank `best` had more than `own` with a seed; NaN where one was not run."""
    if not {(best, seed), (own, seed)} <= set(accuracy.index):
        return math.nan
    return float(accuracy[best, seed] - accuracy[own, seed])


@in_house_style
def _rank(
    study: Study, values: pd.Series, accuracy: Mapping[int, Mean], picks: Mapping[str, Mapping[int, int]]
) -> Figure:
    figure = Figure(figsize=(WIDTH_IN * 0.75, 4.6), layout="constrained")
    axes = figure.subplots()
    ranks = sorted(accuracy)
    for number, (_, own) in enumerate(values.groupby(level="seed")):
        line = POINTS * own.droplevel("seed").reindex(ranks)
        axes.plot(range(len(ranks)), line, color="0.75", linewidth=1.2, label="one seed" if not number else None)
    means = [POINTS * accuracy[own].mean for own in ranks]
    halves = [0.0 if math.isnan(accuracy[own].half) else POINTS * accuracy[own].half for own in ranks]
    axes.errorbar(range(len(ranks)), means, yerr=halves, fmt="o-", color=COLOURS[0], capsize=4,
                  markeredgecolor="white", label="mean of the seeds, 95 % interval")  # fmt: skip
    for number, (by, chosen) in enumerate(picks.items()):
        for own in sorted({pick for pick in chosen.values() if pick in accuracy}):
            seeds = [seed for seed, pick in chosen.items() if pick == own]
            axes.plot(ranks.index(own), POINTS * accuracy[own].mean, "o", ms=14 + 6 * number, markerfacecolor="none",
                      markeredgecolor=COLOURS[1 + number], markeredgewidth=2,
                      label=f"picked by {by}: rank {own}, {len(seeds)} of {len(chosen)} seeds")  # fmt: skip
    axes.set_xticks(range(len(ranks)), [str(own) for own in ranks])
    axes.margins(x=0.15, y=0.12)
    axes.set_xlabel("rank of the adapters, number")
    axes.set_ylabel(f"accuracy after {study.until_s:.0f} s, %")
    axes.set_title("Accuracy at equal simulated time, and what stage 1 picks")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def against_dense(studies: Mapping[str, Study]) -> Page | None:
    """Question 5: bits and seconds to dense accuracy less a point, and accuracy after the same rounds."""
    asked = (
        ("tradeoff_kept_fraction", "dense"),
        *((study.part.name, "dense-equal") for study in of_question(studies, "2")),
    )
    found = [(studies[name], dense) for name, dense in asked if name in studies and dense in studies[name].arms]
    if not found:
        return None
    lines, shares = [], []
    for study, dense in found:
        table = reached(study.traces, dense, SHORT_OF_DENSE)
        ends = differences(last_rounds(study, dense), dense, "accuracy")
        bits, seconds = by_arm(table, "bits"), by_arm(table, "seconds")
        count = table.groupby("arm", sort=False)["bits"].agg(["count", "size"])
        rows = [
            [
                arm,
                plus_minus(ends.get(arm, NOTHING), POINTS, sign=True),
                f"{count.loc[arm, 'count']} of {count.loc[arm, 'size']}",
                plus_minus(bits[arm], 100, 0),
                plus_minus(seconds[arm], 100, 0),
            ]
            for arm in study.arms
            if arm in bits
        ]
        lines += [f"## {study.part.name}, dense: `{dense}`", ""]
        last = ["seeds that reach it", "uplink bits, % of dense", "seconds, % of dense"]
        lines += markdown(["arm", "after the same rounds, points", *last], rows)
        shares.append((study, dense, bits, seconds, count))
    start = head(
        [study for study, _ in found],
        f"Target: the accuracy at which dense training ends with that seed, less {SHORT_OF_DENSE:g} point; it is "
        "reached by the median of 3 rounds. Bits and seconds until then, in % of what dense training itself needed; a "
        "mean only where every seed reaches it. After the same rounds: difference in accuracy to dense after as many "
        "rounds as that has, bold where the 95 % interval leaves out 0.",
    )
    return "\n".join([*start, *lines]), _against_dense(shares)


def last_rounds(study: Study, dense: str) -> pd.DataFrame:
    """The accuracy of each run after as many rounds as dense training has."""
    rounds = min(len(own) for (arm, _), own in finished(study.traces).items() if arm == dense)
    rows = [
        {"arm": arm, "seed": seed, "accuracy": float(own["accuracy"].head(rounds).dropna().tail(3).median())}
        for (arm, seed), own in finished(study.traces).items()
    ]
    return pd.DataFrame(rows)


@in_house_style
def _against_dense(shares: Sequence[tuple[Any, ...]]) -> Figure:
    listed = [[arm for arm in study.arms if arm in bits] for study, _, bits, _, _ in shares]
    rows = [len(arms) for arms in listed]
    figure = Figure(figsize=(WIDTH_IN, sum(map(height, rows)) + 0.4), layout="constrained")
    grid = figure.subplots(len(shares), 2, squeeze=False, height_ratios=[height(n) for n in rows], sharex="col")
    for (left, right), (study, dense, bits, seconds, count), arms in zip(grid, shares, listed, strict=True):
        for axes, values in ((left, bits), (right, seconds)):
            dots(axes, arms, values, 100)
            axes.axvline(100, color="0.6", linestyle="--", linewidth=1.2, zorder=0)
            axes.tick_params(labelbottom=True)
        for row, arm in enumerate(arms):
            if math.isnan(bits[arm].mean):
                met, of = count.loc[arm]
                left.annotate(f"{met} of {of} seeds reach it", (0.02, row), xycoords=("axes fraction", "data"),
                              va="center", fontsize=9, color="0.4",
                              bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
        left.axvline(40, color=LIMIT_COLOUR, linewidth=1.2, zorder=0)
        left.set_title(f"{study.part.name} ({dense} = 100 %)")
        right.set_title("seconds")
        right.tick_params(labelleft=False)
        left.set_xlim(left=0)
        right.set_xlim(left=0)
    grid[-1][0].set_xlabel("uplink bits, % of dense; red: 60 % less")
    grid[-1][1].set_xlabel("simulated time, % of dense")
    figure.suptitle("To the accuracy of dense training less one point, with 95 % intervals")
    return figure


PAGES: Mapping[str, Callable[[Mapping[str, Study]], Page | None]] = {
    "q1": equal_bits,
    "q1-ablation": soft_ablation,
    "q2": equal_time,
    "q2-ablation": tsfa_ablation,
    "q3": rank,
    "q4": csi,
    "q5": against_dense,
}
