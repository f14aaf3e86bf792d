"""Pages of docs/seed-systems/: of each system a table and a picture, at equal rounds, time, bits and joules.

Knows what a row says; the numbers come from `analysis.evidence`, the runs from `evidence`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from soft_tsfa_tables import NONE, POINTS, Study, head, markdown, of_question, opened_all, plain, plus_minus

from analysis.clientgroups import ends, groups_of
from analysis.curveplot import tradeoff
from analysis.evidence import BITS_PER_MBIT, NOTHING, by_arm, differences, equal_cost, reached, runs
from analysis.tradeoff import COSTS

if TYPE_CHECKING:
    from evidence import Part

REFERENCES: Mapping[str, str] = {
    "tensor_trains": "lora",
    "tensor_trains_unlike": "lora",
    "annealed_rank": "rank-11",
    "full_start": "all-weights",
    "mixed_backbones": "fedavg-in-groups",
    "mixed_families": "fedavg-in-groups",
    "split_learning": "federated-lora",
    "five_systems": "lora",
}
"""The arm to which differences are taken."""
SHORT_POINTS = 1.0
"""How far below the end of the reference an arm has to come for the bits that it took to be compared."""
FLOORS = ("head-only", "local-only")
"""Arms that send next to nothing: they do not say at how much the others are compared."""
SPENT = {
    "update, kbit": ("update_kbit", 0),
    "uplink, Mbit": ("uplink_mbit", 1),
    "downlink a round, kbit": ("downlink_kbit", 0),
    "time, s": ("time_s", 1),
    "energy, J": ("energy_j", 0),
}
SERVER = ("client_bytes", "server_bytes", "server_each_bytes")
BYTES_PER_MB = 1e6
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
        "simulated time and clients' energy that all runs of the table reach but those of `head-only` and "
        "`local-only`; these may end earlier. An update is what a client sends in a round, head and index counted. "
        "Uplink, time and energy: of the whole run, repeats included. Downlink: a round to all clients together, a "
        "broadcast counts once. "
        f"Bits and seconds to it: those until an arm is {SHORT_POINTS:.0f} point below where the reference ended with "
        f"that seed, as shares of what the reference took; {NONE} where one of the seeds never came there.",
        named="seed-systems",
    )
    lines = [
        line
        for study in found
        for line in (f"## {study.part.title or study.part.name}", "", *table(study), *groups(study), *memory(study))
    ]
    return "\n".join([*start, *lines])


def table(study: Study) -> list[str]:
    """Arms in their order: how well they do, with differences to the reference, and what they cost."""
    whole = runs(study.traces)
    reference = reference_of(study)
    within = {cost: equal_cost(study.traces, cost, FLOORS) for cost in COSTS}
    cut = [differences(runs(study.traces, most, cost), reference, "accuracy") for cost, most in within.items()]
    against = [differences(whole, reference, "accuracy"), *cut]
    accuracy, costs = by_arm(whole, "accuracy"), [(by_arm(whole, name), digits) for name, digits in SPENT.values()]
    to_it = reached(study.traces, reference, SHORT_POINTS)
    shares = [by_arm(to_it, name) for name in ("bits", "seconds")]
    well = [
        [
            arm,
            plus_minus(accuracy[arm], POINTS),
            *(plus_minus(own.get(arm, NOTHING), POINTS, sign=True) for own in against),
        ]
        for arm in study.arms
    ]
    spent = [
        [
            arm,
            *(plain(own[arm], digits) for own, digits in costs),
            *(plus_minus(own.get(arm, NOTHING), digits=2) for own in shares),
        ]
        for arm in study.arms
    ]
    equal = [f"at {_shown(cost, most)}" for cost, most in within.items()]
    return [
        *markdown(["arm", "accuracy", f"against {reference}", *equal], well),
        *markdown(["arm", *SPENT, "bits to it", "seconds to it"], spent),
    ]


def _shown(cost: str, most: float) -> str:
    divisor, unit = UNITS[cost]
    return NONE if math.isnan(most) else f"{most / divisor:.3g} {unit}"


def groups(study: Study) -> list[str]:
    """Where clients have groups: what each of them reached in its own task; nothing elsewhere."""
    found = groups_of(study.traces)
    if not found:
        return []
    reached_by, reference, columns = ends(study.traces), reference_of(study), list[list[str]]()
    for group in found:
        own = reached_by[(reached_by["name"] == group.name) & (reached_by["task"] == group.task)]
        mean, against = by_arm(own, "accuracy"), differences(own, reference, "accuracy")
        shown = [
            (plus_minus(mean.get(arm, NOTHING), POINTS), plus_minus(against.get(arm, NOTHING), POINTS, sign=True))
            for arm in study.arms
        ]
        columns.append([f"{value} ({difference})" for value, difference in shown])
    header = ["arm", *(f"{group.name}: {group.short}" for group in found)]
    said = f"Accuracy of each group in its task, in brackets the difference to `{reference}`:"
    return [said, "", *markdown(header, [list(row) for row in zip(study.arms, *columns, strict=True)])]


def reference_of(study: Study) -> str:
    """The arm to which others are compared."""
    return REFERENCES.get(study.part.name, study.arms[0])


def memory(study: Study) -> list[str]:
    """Where models are split: peak bytes as measured at the end of a run, and as computed; nothing elsewhere."""
    names = {(cell["arm"], cell["seed"]): cell["directory"] for cell in study.traces.cells.to_dict("records")}
    rows = []
    for arm in study.arms:
        found = [_measured(study.folder / names[arm, seed]) for seed in study.traces.seeds(arm)]
        own = pd.DataFrame([one for one in found if one]).mean()
        if len(own):
            saved = 100 * (own["server_bytes"] / own["server_each_bytes"] - 1)
            rows.append([arm, *(f"{own[name] / BYTES_PER_MB:.0f} ({own[name + '_computed'] / BYTES_PER_MB:.0f})"
                                for name in SERVER), f"{saved:+.1f} %"])  # fmt: skip
    if not rows:
        return []
    header = ["arm", "client", "server, one model", "server, a submodel each", "one against each"]
    said = "Peak memory of a step in MB, as measured, in brackets as computed; of clients, the one that has most:"
    return [said, "", *markdown(header, rows)]


def _measured(run: Path) -> dict[str, float]:
    """What a manifest has of a split run's memory, means and most over cuts taken; empty of other runs."""
    found = json.loads((run / "manifest.json").read_text(encoding="utf-8")).get("measured", {}).get("split_memory")
    if not found:
        return {}
    client = {"client_bytes": found["client_bytes_by_cut"], "client_bytes_computed": found["client_bytes_computed"]}
    return {
        **{name: float(value) for name, value in found.items() if name.startswith("server")},
        **{name: float(max(by_cut.values())) for name, by_cut in client.items()},
    }
