"""Pages of docs/seed-systems/: of each system a table and a picture, at equal rounds, time, bits and joules.

Knows what a row says; the numbers come from `analysis.evidence`, the runs from `evidence`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from soft_tsfa_tables import NONE, POINTS, Study, head, markdown, of_question, opened_all, plain, plus_minus

from analysis.curveplot import tradeoff
from analysis.evidence import BITS_PER_MBIT, NOTHING, by_arm, differences, equal_cost, runs
from analysis.tradeoff import COSTS

if TYPE_CHECKING:
    from evidence import Part

REFERENCES: Mapping[str, str] = {
    "tensor_trains": "lora",
    "tensor_trains_unlike": "lora",
    "annealed_rank": "rank-8",
    "mixed_backbones": "fedavg-in-groups",
    "split_learning": "federated-lora",
    "five_systems": "lora",
}
"""The arm to which differences are taken."""
UNITS = {"uplink_bits": (BITS_PER_MBIT, "Mbit"), "t_end_s": (1.0, "s"), "energy_j": (1.0, "J")}


def write(parts: Sequence[Part], output: Path, tables: Path) -> Iterator[str]:
    """Write a page for each system of which there are runs; says a line for each, and for each part that is missing."""
    studies, said = opened_all(parts, output)
    yield from said
    tables.mkdir(parents=True, exist_ok=True)
    for system in dict.fromkeys(part.question for part in parts):
        found = of_question(studies, system)
        if not found:
            yield f"{system}: nothing to show yet"
            continue
        (tables / f"{system}.md").write_text(page(found), encoding="utf-8")
        for study in found:
            tradeoff(study.traces, COSTS).savefig(tables / f"{study.part.name}.png")
        yield f"{system}: {tables / system}.md, with {len(found)} pictures"


def page(found: Sequence[Study]) -> str:
    """The tables of one system."""
    start = head(
        found,
        "Accuracy in %: median of the last 3 rounds; mean over seeds and its 95 % interval (Student's t). Differences "
        "in points within a seed, bold where the interval leaves out 0: after all rounds; then at the largest uplink, "
        "simulated time and clients' energy that all runs of the table reach. An update is what a client sends in a "
        "round, head and index counted. Uplink, time and energy: of the whole run, repeats included. Downlink: a "
        "round to all clients together, a broadcast counts once.",
        named="seed-systems",
    )
    lines = [line for study in found for line in (f"## {study.part.title or study.part.name}", "", *table(study))]
    return "\n".join([*start, *lines])


def table(study: Study) -> list[str]:
    """Arms in their order, with differences to the reference."""
    whole = runs(study.traces)
    reference = REFERENCES.get(study.part.name, study.arms[0])
    within = {cost: equal_cost(study.traces, cost) for cost in COSTS}
    cut = {cost: runs(study.traces, most, cost) for cost, most in within.items()}
    columns = {
        name: by_arm(whole, name)
        for name in ("accuracy", "update_kbit", "uplink_mbit", "downlink_kbit", "time_s", "energy_j")
    }
    after = differences(whole, reference, "accuracy")
    at = {cost: differences(own, reference, "accuracy") for cost, own in cut.items()}
    rows = [
        [
            arm,
            plus_minus(columns["accuracy"][arm], POINTS),
            plus_minus(after.get(arm, NOTHING), POINTS, sign=True),
            *(plus_minus(own.get(arm, NOTHING), POINTS, sign=True) for own in at.values()),
            *(plain(columns[name][arm], digits) for name, digits in
              (("update_kbit", 0), ("uplink_mbit", 1), ("downlink_kbit", 0), ("time_s", 1), ("energy_j", 0))),
        ]
        for arm in study.arms
    ]  # fmt: skip
    names = [f"at {_shown(cost, most)}" for cost, most in within.items()]
    last = ["update, kbit", "uplink, Mbit", "downlink a round, kbit", "time, s", "energy, J"]
    return markdown(["arm", "accuracy", f"against {reference}", *names, *last], rows)


def _shown(cost: str, most: float) -> str:
    divisor, unit = UNITS[cost]
    return NONE if math.isnan(most) else f"{most / divisor:.3g} {unit}"
