"""Pages of docs/soft-tsfa/: what the runs of soft_tsfa.py say about each question, a table and a picture each.

Knows which studies answer which question, and what a reader has to know; rows come from `soft_tsfa_tables`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import soft_tsfa_pictures as pictures
from matplotlib.figure import Figure
from soft_tsfa_tables import (
    NONE,
    POINTS,
    Study,
    bits_table,
    head,
    last_rounds,
    markdown,
    of_question,
    opened_all,
    picked,
    plus_minus,
    ranked,
    regret,
    time_table,
)  # fmt: skip

from analysis.evidence import NOTHING, by_arm, differences, mean, reached

if TYPE_CHECKING:
    from evidence import Part

SHORT_OF_DENSE = 1.0
"""Points below the end of dense training at which question 5 counts bits and seconds."""
RANK = "method.rank"
REFERENCES = ("dense", "topk-int8", "soft-plus")
"""Arms to which question 1 takes differences."""

Page = tuple[str, Figure | None]


def write(parts: Sequence[Part], output: Path, tables: Path) -> Iterator[str]:
    """Write the pages for which there are runs; says a line for each, and for each part that is missing."""
    studies, said = opened_all(parts, output)
    yield from said
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


def equal_bits(studies: Mapping[str, Study], question: str = "1") -> Page | None:
    """Question 1: accuracy at equal counted bits, once for each study of one task."""
    found = of_question(studies, question)
    if not found:
        return None
    first = found[0].table()
    lines, panels = [], []
    for study in found:
        table = study.table()
        own = [arm for arm in ("head-only", "dense") if arm not in study.arms and arm in set(first["arm"])]
        table = pd.concat([first[first["arm"].isin(own)], table], ignore_index=True) if own else table
        larger, others = ranked(study, table, [*own, *study.arms])
        lines += [f"## {study.part.title}", "", *bits_table(study, found[0], table, [*larger, *others], REFERENCES)]
        panels.append(pictures.Panel(study.part.title, larger, others, table))
    start = head(
        found,
        "Accuracy in %: median of the last 3 rounds; mean over seeds and its 95 % interval (Student's t). Differences "
        "in points within a seed; bold where the interval leaves out 0. An update is what a client sends in a round, "
        "head and index counted; arms with larger ones than the title allows stand first, for reference. Adapters: "
        "without the head. Downlink: to all clients together, a broadcast counts once. Coherence: largest |cosine| of "
        "two rows of A / columns of B after the last round.",
    )
    return "\n".join([*start, *lines]), pictures.equal_bits(panels)


def equal_time(studies: Mapping[str, Study]) -> Page | None:
    """Question 2: accuracy at equal simulated time, once for each kind of links."""
    found = of_question(studies, "2")
    return None if not found else _timed(found, ("soft-plus-tsfa", "topk-int8-tsfa", "dense-min-max"), "dense-equal")


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
        "budget, above 1 it is broken; then of each seed. Deferred and dropped clients a round. Kept: mean kept "
        "fraction. Update: mean payload of what was delivered; its match: that of the arm whose mean this one was set "
        "to. Downlink: to all clients together, a broadcast counts once.",
    )
    return "\n".join([*start, *lines]), pictures.equal_time(found, mark, references)


def soft_ablation(studies: Mapping[str, Study]) -> Page | None:
    """Each ingredient of SOFT at equal bits, beside the floor and dense training of question 1."""
    found = of_question(studies, "1-ablation")
    if not found:
        return None
    first = next(iter(of_question(studies, "1")), found[0])
    table = found[0].table()
    lines = bits_table(found[0], first, table, found[0].arms, ("soft", "soft-plus"))
    start = head(found, "As in question 1, at 260 kbit an update; differences within a seed.")
    return "\n".join([*start, *lines]), pictures.ablation(found[0])


def rank(studies: Mapping[str, Study]) -> Page | None:
    """Question 3: accuracy at equal simulated time over the rank, and what stage 1 picked."""
    found = of_question(studies, "3")
    if not found or RANK not in found[0].traces.axes:
        return None
    study = found[0]
    table = study.table().merge(study.traces.cells[["arm", "seed", RANK]])
    table = table.assign(**{RANK: table[RANK].astype(int)})
    accuracy = {int(own): mean(values) for own, values in table.groupby(RANK)["accuracy"]}
    picks = picked(study.folder, accuracy)
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
    return "\n".join([*start, *lines, ""]), pictures.rank(study, values, accuracy, picks)


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
    return "\n".join([*start, *lines]), pictures.against_dense(shares)


PAGES: Mapping[str, Callable[[Mapping[str, Study]], Page | None]] = {
    "q1": equal_bits,
    "q1-six-layers": partial(equal_bits, question="1-six-layers"),
    "q1-100-clients": partial(equal_bits, question="1-100-clients"),
    "q1-ablation": soft_ablation,
    "q2": equal_time,
    "q2-ablation": tsfa_ablation,
    "q3": rank,
    "q4": csi,
    "q5": against_dense,
}
