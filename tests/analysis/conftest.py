"""Synthetic studies, written with the `TraceWriter` that a run uses.

Knows plausible orders of magnitude; does not know any model of a link or of learning.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analysis.traces import Traces, load
from wfl_sim.trace import TABLES, TraceWriter

ARMS: dict[str, dict[str, float]] = {
    # payload: bits of a dense update; kept: part of it that is sent; top: accuracy approached.
    "head-only": {"payload": 62e3, "kept": 1.0, "top": 0.74, "budget": np.nan},
    "dense-equal": {"payload": 1.2e6, "kept": 1.0, "top": 0.83, "budget": np.nan},
    "soft-tsfa": {"payload": 1.2e6, "kept": 0.4, "top": 0.825, "budget": 1.5},
}
BANDWIDTH_HZ = 2e6
COMPUTE_S = 0.4
PACKET_BITS = 12_000
TARGETS = [0.65, 0.75]


def blank(table: str, **values: Any) -> dict[str, Any]:
    """A row with every column of a table; what is not given is 0."""
    assert set(values) <= {column.name for column in TABLES[table]}
    return {column.name: values.get(column.name, 0) for column in TABLES[table]}


def write_run(
    directory: Path,
    manifest: dict[str, Any],
    rounds: Iterator[tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]],
) -> Path:
    """Write a run directory from the rows of its rounds."""
    directory.mkdir(parents=True)
    known = {"status": "finished", "targets": [], "latency_budget_s": None, "rounds": 0, "measured": {}}
    (directory / "manifest.json").write_text(json.dumps(known | manifest))
    (directory / "scenario.yaml").write_text("schema_version: 1\n")
    writer = TraceWriter(directory / "trace.sqlite")
    for round_row, transmissions, decisions in rounds:
        writer.commit_round(round_row, transmissions, decisions)
    writer.close()
    return directory


def simple_run(directory: Path, arm: str, seed: int, accuracies: list[float | None], **manifest: Any) -> Path:
    """Rounds of 2 s and 1 Mbit with the accuracies given, 10 J each, and no transmissions."""
    rows = (
        (
            blank(
                "rounds",
                round=i,
                t_start_s=2.0 * i - 2,
                t_end_s=2.0 * i,
                accuracy=a,
                uplink_bits=1_000_000 * i,
                energy_j=10.0 * i,
                dropped=1,
                deferred=2,
            ),
            [],
            [],
        )
        for i, a in enumerate(accuracies, start=1)
    )
    return write_run(directory, {"name": "simple", "arm": arm, "seed": seed} | manifest, rows)


def plausible_rounds(arm: str, seed: int, count: int, clients: int) -> Iterator[Any]:
    """Rounds of clients at fixed distances: compute, upload with losses, defer when the link is bad."""
    option = ARMS[arm]
    rng = np.random.default_rng([seed, *arm.encode()])
    distance_snr_db = np.random.default_rng(seed).uniform(2, 24, clients)
    adaptive = option["kept"] < 1
    now = queue = energy = 0.0
    up = down = 0
    for number in range(1, count + 1):
        snr_db = distance_snr_db + rng.normal(0, 2.5, clients)
        defer = adaptive & (snr_db < 4)
        senders = np.flatnonzero(~defer)
        transmissions, decisions = [], []
        down_s = option["payload"] / 4e7
        down += int(option["payload"])
        transmissions.append(
            blank("transmissions", round=number, client=-1, direction="down", t_request_s=now, t_start_s=now,
                  t_end_s=now + down_s, payload_bits=int(option["payload"]), sent_bits=int(option["payload"]),
                  snr_mean_db=30.0, snr_min_db=20.0, bandwidth_hz=1e7, kept_fraction=1.0, outcome="delivered")
        )  # fmt: skip
        share = 1 / np.log2(1 + 10 ** (snr_db / 10)) if adaptive else np.ones(clients)
        share = np.where(defer, 0, share)
        share = share / share.sum()
        end_s, kept_sent, delivered, dropped = now, [], 0, 0
        for client in range(clients):
            if defer[client]:
                decisions.append(blank("decisions", round=number, client=client, t_s=now, action="defer",
                                       compute_start_s=None, csi_snr_db=snr_db[client]))  # fmt: skip
                continue
            kept = float(np.clip(option["kept"] * (0.4 + snr_db[client] / 15), 0.1, 1)) if adaptive else 1.0
            compute_s = COMPUTE_S * float(rng.lognormal(0, 0.1))
            bandwidth_hz = BANDWIDTH_HZ * share[client]
            bits = int(option["payload"] * kept)
            packets = -(-bits // PACKET_BITS)
            lost = int(rng.binomial(packets, 0.03 if snr_db[client] > 5 else 0.15))
            start_s = now + down_s + compute_s
            rate = bandwidth_hz * np.log2(1 + 10 ** (snr_db[client] / 10) / 2)
            upload_end_s = start_s + (packets + lost) * PACKET_BITS / rate
            drop = bool(snr_db[client] < 3 and rng.random() < 0.4)
            sent = (packets + lost) * PACKET_BITS
            transmissions.append(
                blank("transmissions", round=number, client=client, direction="up", t_request_s=start_s,
                      t_start_s=start_s, t_end_s=upload_end_s, payload_bits=bits, sent_bits=sent,
                      packets=packets + lost, lost=lost, retransmissions=lost, air_s=upload_end_s - start_s,
                      delivered_bits=0 if drop else bits, reason="attempts" if drop else "",
                      snr_mean_db=snr_db[client],
                      snr_min_db=snr_db[client] - rng.exponential(6), bandwidth_hz=bandwidth_hz,
                      kept_fraction=kept, outcome="dropped" if drop else "delivered",
                      energy_j=0.2 * (upload_end_s - start_s))
            )  # fmt: skip
            decisions.append(
                blank("decisions", round=number, client=client, t_s=now, action="send",
                      bandwidth_hz=bandwidth_hz, kept_fraction=kept, menu_bits=bits,
                      csi_snr_db=snr_db[client],
                      ready_s=down_s + COMPUTE_S, compute_start_s=now + down_s, compute_s=compute_s,
                      compute_energy_j=2 * compute_s)
            )  # fmt: skip
            end_s = max(end_s, upload_end_s)
            up += sent
            energy += 0.2 * (upload_end_s - start_s) + 2 * compute_s
            kept_sent.append(kept)
            delivered, dropped = delivered + (not drop), dropped + drop
        if not np.isnan(option["budget"]):
            queue = max(0.0, queue + (end_s - now) / option["budget"] - 1)
        accuracy = option["top"] - 0.5 * np.exp(-number / (3.5 if adaptive else 3)) + rng.normal(0, 0.008)
        yield (
            blank("rounds", round=number, t_start_s=now, t_end_s=end_s, accuracy=float(accuracy), loss=1.0,
                  uplink_bits=up, downlink_bits=down, delivered=delivered, dropped=dropped,
                  deferred=clients - len(senders), energy_j=energy,
                  kept_fraction_mean=float(np.mean(kept_sent)) if kept_sent else None, rank=8, queue=queue,
                  coherence_a=None, coherence_b=None)
            | {"groups": [blank("groups", name="all", task="t", clients=clients, share=1.0, accuracy=float(accuracy))]},
            transmissions,
            decisions,
        )  # fmt: skip
        now = end_s


def write_study(root: Path, seeds: int = 3, rounds: int = 12, clients: int = 10) -> Path:
    """A study of three arms, in an order that is not that of their names."""
    for index, (arm, option) in enumerate(ARMS.items()):
        for seed in range(1, seeds + 1):
            budget = option["budget"]
            manifest = {
                "name": root.name,
                "arm": arm,
                "arm_index": index,
                "seed": seed,
                "targets": TARGETS,
                "latency_budget_s": None if np.isnan(budget) else budget,
                "rounds": rounds,
            }
            write_run(root / f"{arm}-seed{seed}", manifest, plausible_rounds(arm, seed, rounds, clients))
    return root


def _upload(rng: np.random.Generator, ready_s: float, until_s: float) -> dict[str, Any]:
    """An upload over shared air: it waits for its first slot, has some of the slots, repeats, and may be given up."""
    packets = int(rng.integers(15, 60))
    repeats = int(rng.binomial(packets, rng.choice([0.02, 0.08, 0.3])))
    start_s = ready_s + float(rng.exponential(0.08))
    wanted_s = (packets + repeats) * 0.009 / float(rng.choice([0.35, 0.7, 1.0]))
    reason = str(rng.choice(["", "attempts", "left"], p=[0.92, 0.05, 0.03]))
    length_s = wanted_s * (1.0 if not reason else float(rng.uniform(0.2, 0.9)))
    if start_s + length_s > until_s:
        reason, length_s = "deadline", max(0.0, until_s - start_s)
    start_s = min(start_s, until_s)
    part = length_s / wanted_s
    sent = round(part * (packets + repeats))
    again = min(round(part * repeats), max(0, sent - 1))
    arrived = packets if not reason else max(0, sent - again)
    outcome = "delivered" if not reason else "partial" if arrived and rng.random() < 0.5 else "dropped"
    return blank(
        "transmissions", direction="up", t_request_s=ready_s, t_start_s=start_s, t_end_s=start_s + length_s,
        payload_bits=packets * PACKET_BITS, delivered_bits=0 if outcome == "dropped" else arrived * PACKET_BITS,
        sent_bits=sent * PACKET_BITS, packets=sent, lost=again, retransmissions=again,
        air_s=min(sent * 0.009, length_s),
        snr_mean_db=float(rng.normal(15, 5)), snr_min_db=float(rng.normal(3, 3)), bandwidth_hz=3.6e5 / 10,
        kept_fraction=1.0, outcome=outcome, reason=reason, energy_j=0.2 * sent * 0.009,
    )  # fmt: skip


def fleet_rounds(clients: int, count: int, deadline_s: float | None = None, seed: int = 1) -> Iterator[Any]:
    """Rounds of the network alone: some clients are away or deferred, repeat, miss the deadline or leave."""
    rng = np.random.default_rng(seed)
    now = energy = 0.0
    up = 0
    for number in range(1, count + 1):
        until_s = np.inf if deadline_s is None else now + deadline_s
        transmissions = [
            blank("transmissions", round=number, client=-1, direction="down", t_request_s=now, t_start_s=now,
                  t_end_s=now + 0.06, payload_bits=400_000, delivered_bits=400_000, sent_bits=410_000, packets=35,
                  air_s=0.06, snr_mean_db=30.0, snr_min_db=20.0, bandwidth_hz=1e7, kept_fraction=1.0,
                  outcome="delivered", reason="")
        ]  # fmt: skip
        decisions = []
        fate = rng.choice(["away", "defer", "send"], size=clients, p=[0.08, 0.1, 0.82])
        for client in np.flatnonzero(fate != "away").tolist():
            call = {"round": number, "client": client, "t_s": now, "action": fate[client], "compute_start_s": None}
            if fate[client] == "send":
                compute_s = float(0.4 * (1 + client % 3 / 2) * rng.lognormal(0, 0.15))
                call |= {"bandwidth_hz": 3.6e5 / clients, "kept_fraction": 1.0, "compute_start_s": now + 0.06,
                         "compute_s": compute_s, "compute_energy_j": compute_s}  # fmt: skip
                energy += compute_s
                if now + 0.06 + compute_s < until_s:
                    row = _upload(rng, now + 0.06 + compute_s, until_s) | {"round": number, "client": client}
                    transmissions.append(row)
                    energy += row["energy_j"]
                    up += row["sent_bits"]
            decisions.append(blank("decisions", **call))
        sent = transmissions[1:]
        delivered = sum(row["outcome"] == "delivered" for row in sent)
        end_s = min(until_s, max([row["t_end_s"] for row in sent], default=now + 1.0))
        yield (
            blank("rounds", round=number, t_start_s=now, t_end_s=end_s, accuracy=None, loss=None, uplink_bits=up,
                  downlink_bits=410_000 * number, delivered=delivered, dropped=len(sent) - delivered,
                  deferred=int((fate == "defer").sum()), away=int((fate == "away").sum()),
                  staleness_mean=0.0 if delivered else None, energy_j=energy, kept_fraction_mean=1.0,
                  coherence_a=None, coherence_b=None),
            transmissions,
            decisions,
        )  # fmt: skip
        now = end_s


def asynchronous_rounds(clients: int, updates: int, arrivals: int, seed: int = 1) -> Iterator[Any]:
    """Server updates of `arrivals` uploads each; a client is called again at once, so twice in some of them."""
    rng = np.random.default_rng(seed)
    cycles = []
    for client in range(clients):
        now = 0.0
        for _ in range(3 * updates * arrivals // clients + 3):
            compute_s = float(0.5 * (1 + client % 4) * rng.lognormal(0, 0.1))
            down = blank("transmissions", client=client, direction="down", t_request_s=now, t_start_s=now + 0.02,
                         t_end_s=now + 0.12, payload_bits=400_000, delivered_bits=400_000, packets=35, air_s=0.1,
                         outcome="delivered", reason="", kept_fraction=1.0)  # fmt: skip
            call = blank("decisions", client=client, t_s=now, action="send", bandwidth_hz=3.6e4, kept_fraction=1.0,
                         compute_start_s=now + 0.12, compute_s=compute_s)  # fmt: skip
            row = _upload(rng, now + 0.12 + compute_s, np.inf) | {"client": client}
            cycles.append((row["t_end_s"], row["outcome"] == "delivered", [down, row], call))
            now = row["t_end_s"] + 0.01
    start_s, number, up, waiting, arrived = 0.0, 1, 0, [], 0
    for end_s, delivered, sent, call in sorted(cycles, key=lambda cycle: cycle[0]):
        waiting.append((sent, call))
        arrived += delivered
        up += sent[1]["sent_bits"]
        if arrived == arrivals:
            yield (
                blank("rounds", round=number, t_start_s=start_s, t_end_s=end_s, accuracy=None, loss=None,
                      uplink_bits=up, delivered=arrived, staleness_mean=1.5, kept_fraction_mean=1.0),
                [row | {"round": number} for pair, _ in waiting for row in pair],
                [call | {"round": number} for _, call in waiting],
            )  # fmt: skip
            start_s, waiting, arrived, number = end_s, [], 0, number + 1
            if number > updates:
                return


def write_fleet(
    root: Path, arm: str = "fleet", clients: int = 10, rounds: int = 4, deadline_s: float | None = None, **more: Any
) -> Path:
    """A run of the network alone, as an arm of the study `root`."""
    manifest = {"name": root.name, "arm": arm, "seed": 1, "deadline_s": deadline_s, "clients": clients} | more
    return write_run(root / f"{arm}-seed1", manifest, fleet_rounds(clients, rounds, deadline_s))


@pytest.fixture(scope="session")
def synthetic() -> SimpleNamespace:
    """What this file has for tests that build studies of their own; test modules cannot import it."""
    return SimpleNamespace(
        ARMS=ARMS, TARGETS=TARGETS, blank=blank, write_run=write_run, write_study=write_study,
        fleet_rounds=fleet_rounds, asynchronous_rounds=asynchronous_rounds, write_fleet=write_fleet,
    )  # fmt: skip


@pytest.fixture(scope="session")
def study_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study on disk; tests must not write into it."""
    return write_study(tmp_path_factory.mktemp("runs") / "quickstart")


@pytest.fixture(scope="session")
def study(study_directory: Path) -> Traces:
    """The same study, loaded."""
    return load(study_directory)


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., Path]:
    """``run_of(arm, seed, accuracies, **manifest)`` writes a run of 2 s and 1 Mbit a round."""

    def write(arm: str, seed: int, accuracies: list[float | None], **manifest: Any) -> Path:
        return simple_run(tmp_path / "simple" / f"{arm}-seed{seed}", arm, seed, accuracies, **manifest)

    return write
