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
                                       csi_snr_db=snr_db[client]))  # fmt: skip
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
                      packets=packets + lost, lost=lost, snr_mean_db=snr_db[client],
                      snr_min_db=snr_db[client] - rng.exponential(6), bandwidth_hz=bandwidth_hz,
                      kept_fraction=kept, outcome="dropped" if drop else "delivered",
                      energy_j=0.2 * (upload_end_s - start_s))
            )  # fmt: skip
            decisions.append(
                blank("decisions", round=number, client=client, t_s=now, action="send",
                      bandwidth_hz=bandwidth_hz, kept_fraction=kept, menu_bits=bits,
                      csi_snr_db=snr_db[client],
                      ready_s=down_s + COMPUTE_S, compute_s=compute_s, compute_energy_j=2 * compute_s)
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
                  coherence_a=None, coherence_b=None),
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


@pytest.fixture(scope="session")
def synthetic() -> SimpleNamespace:
    """What this file has for tests that build studies of their own; test modules cannot import it."""
    return SimpleNamespace(ARMS=ARMS, TARGETS=TARGETS, blank=blank, write_run=write_run, write_study=write_study)


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
