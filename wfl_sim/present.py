"""How an estimate is shown to a person and to a program.

Knows plain numbers and no model; the command line prints what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from textwrap import wrap
from typing import Any

from wfl_sim.estimate import ArmEstimate, ClientEstimate, Estimate
from wfl_sim.pointnames import listed
from wfl_sim.scenario import Cell, Study
from wfl_sim.splitsizes import DeviceCut

Style = Callable[[str], str]

MOST_NAMED = 6
"""Clients with the same cut that are named; more are counted."""


def estimate_text(estimate: Estimate, heading: Style = str, notes: Sequence[str] = ()) -> str:
    """The cost of a study, a table of its arms, what binds for the median and the worst client of each, and notes."""
    arms = estimate.arms
    cost = (
        f"about {_duration(estimate.wall_s)} for {_plural(estimate.cells, 'run')}, "
        f"{_plural(estimate.jobs, 'process', 'es')} of {estimate.memory_mib:.0f} MiB"
    )
    work = table(
        ["arm", "rounds", "training steps", "transfers", "packets", "events", "dense update", "planned update",
         "mean round", "whole run"],
        [
            [arm.arm, arm.rounds, f"{arm.training_steps:,}", f"{arm.transfers:,}", f"{arm.packets:,}",
             f"{arm.events:,}", _bits(arm.dense_bits), _bits(arm.planned_bits), _duration(arm.round_s),
             _duration(arm.simulated_s)]
            for arm in arms
        ],
    )  # fmt: skip
    clients = table(
        ["arm", "client", "", "distance", "mean SNR", "band", "broadcast", "computing", "upload", "binds"],
        [row for arm in arms for row in _clients(arm)],
    )
    caption = "A round once the plan has settled, for the clients of median and of longest time:"
    some = f"{len(arms)} of {estimate.arm_count:,} arms, evenly chosen, are planned; the time is scaled up from them."
    heads = [some, ""] if len(arms) < estimate.arm_count else []
    heads += [heading(work[0]), *work[1:], "", caption, heading(clients[0]), *clients[1:]]
    if any(arm.median is None for arm in arms):
        heads += [
            "",
            "An arm without clients calls none: no upload fits its latency budget, or a link carries nothing.",
        ]
    for line in ["", *_cuts(estimate)] if any(arm.cuts for arm in arms) else []:
        heads += wrap(line, 100, subsequent_indent="      ") or [""]
    heads += [""] if notes else []
    for note in notes:
        heads += wrap(f"note: {note}", 100, subsequent_indent="      ")
    return "\n".join([f"{heading('estimate:')} {cost}", "", *heads])


def estimate_dict(study: Study, estimate: Estimate, notes: Sequence[str] = ()) -> dict[str, Any]:
    """The same for JSON: the runs by arm and seed, and every figure under its name with its unit."""
    runs = [run_dict(cell) for cell in study.cells]
    plain = asdict(estimate)
    for row, arm in zip(plain["arms"], estimate.arms, strict=True):
        for name in ("median", "worst"):
            client = getattr(arm, name)
            if client is not None:
                row[name]["binds"] = client.binds
    return {"name": study.name, "runs": runs, "estimate": plain, "notes": list(notes)}


def run_dict(cell: Cell) -> dict[str, Any]:
    """What tells a run from the others of its study."""
    point = [coordinate._asdict() for coordinate in cell.point]
    return {"arm": cell.arm, "seed": cell.seed, "group": cell.group, "point": point}


def _clients(arm: ArmEstimate) -> list[list[Any]]:
    rows = [("median", arm.median), ("worst", arm.worst)]
    return [_client(arm.arm if n == 0 else "", name, client) for n, (name, client) in enumerate(rows)]


def _client(arm: str, name: str, client: ClientEstimate | None) -> list[Any]:
    if client is None:
        return [arm, name, *("-" for _ in range(8))]
    return [
        arm, name, f"no. {client.client}", f"{client.distance_m:.0f} m", f"{client.snr_db:.1f} dB",
        f"{client.bandwidth_hz / 1e3:.0f} kHz", _duration(client.broadcast_s), _duration(client.compute_s),
        _duration(client.air_s), client.binds,
    ]  # fmt: skip


def _cuts(estimate: Estimate) -> list[str]:
    """Who has how many layers in split training: a line for all arms in which the cuts are the same."""
    alike: dict[tuple[DeviceCut, ...], list[str]] = {}
    for arm in estimate.arms:
        alike.setdefault(arm.cuts, []).append(arm.arm)
    seeds = [f"seed {estimate.arms[0].seed}"] if estimate.cells > estimate.arm_count else []
    lines = []
    for cuts, names in alike.items():
        of = "; ".join([*([listed(names)] if len(alike) > 1 else []), *seeds])
        if cuts:
            lines.append(f"cuts{of and f' ({of})'}: of {cuts[0].of_layers} layers, {'; '.join(map(_cut, cuts))}")
    return lines


def _cut(cut: DeviceCut) -> str:
    who = f"{len(cut.clients):,} clients"
    if len(cut.clients) <= MOST_NAMED:
        who = f"client{'s' * (len(cut.clients) > 1)} {', '.join(map(str, cut.clients))}"
    memory = "" if cut.memory_bits is None else f", {cut.memory_bits / 8e6:.4g} MB"
    return f"{cut.layers} on {who} (speed {cut.speed:g}{memory})"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Columns of text, the first to the left and the others to the right."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(head))]
    lines = []
    for row in cells:
        first, *others = (
            cell.ljust(w) if n == 0 else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return lines


def _bits(bits: float) -> str:
    return f"{bits / 1e6:.2f} Mbit" if bits >= 1e6 else f"{bits / 1e3:.0f} kbit"


def _duration(seconds: float) -> str:
    if seconds < 0.0995:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 120:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _plural(number: int, word: str, ending: str = "s") -> str:
    return f"{number:,} {word}{ending if number != 1 else ''}"
