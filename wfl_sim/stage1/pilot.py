"""Pilots of stage 1: what a few rounds of training at the largest rank show, or a short run for each rank.

Both go through the functions that make and run a scenario; what is trained is their business. The seed is one that no
reported run uses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from wfl_sim import engine, lowrank
from wfl_sim.codecs.base import Codec, Update
from wfl_sim.contracts import FloatArray, Params
from wfl_sim.errors import RunFailed
from wfl_sim.quality import quality_of
from wfl_sim.scenario import Scenario
from wfl_sim.schedules.deadline_aware import DeadlineAware
from wfl_sim.schedules.tsfa import TSFA
from wfl_sim.stage1.links import with_rank
from wfl_sim.trace import AnyRow, Row

PILOT_CLIENTS = 10  # at most, of the pilot without a radio
MOST_ROUNDS = 8  # of a short run, in units of `rounds`: a rank that goes through more of them is judged by these
_EQUAL = 1e-12  # of shares of energy: what is on a straight line but for rounding
REMEDY = "raise rank_selection.rounds, or check learning.local.lr"


def seed_of(seed: int) -> int:
    """The seed of a run's pilot: 48 bits that follow from the run's own."""
    return int.from_bytes(hashlib.sha256(f"rank selection {seed}".encode()).digest()[:6], "big")


@dataclass(frozen=True)
class Spectrum:
    """What one pilot at a rank R showed; shares of energy.

    `beyond` [R + 1] is what of B A lies beyond the r largest singular values; `covariance` the gap of separate
    averaging at R; `dropped` is what of a round's changes is not sent at the rising shares `kept`, from 0 to 1.
    """

    rank: int
    beyond: tuple[float, ...]
    covariance: float
    kept: tuple[float, ...]
    dropped: tuple[float, ...]

    def error_of_rank(self, rank: FloatArray | float) -> FloatArray:
        """eps(r), between whole ranks on a straight line."""
        return np.asarray(np.interp(rank, np.arange(len(self.beyond)), self.beyond))

    def covariance_of(self, rank: FloatArray | float) -> FloatArray:
        """c(r), in proportion to r."""
        return np.asarray(self.covariance * np.asarray(rank, dtype=float) / self.rank)

    def error_of_kept(self, kept_fraction: FloatArray | float) -> FloatArray:
        """phi(rho), on straight lines."""
        return np.asarray(np.interp(kept_fraction, self.kept, self.dropped))

    def steepness(self, kept_fraction: float) -> float:
        """-phi'(rho) of the lower convex hull of phi, which is what TSFA sees; at a corner the mean of both sides."""
        kept, left, corners = np.array(self.kept), np.array(self.dropped), [0]
        while (at := corners[-1]) < kept.size - 1:  # from each corner on to where the error falls fastest
            falls = (left[at] - left[at + 1 :]) / (kept[at + 1 :] - kept[at])
            corners.append(at + 1 + int(np.flatnonzero(falls >= falls.max() - _EQUAL)[-1]))
        falls = -np.diff(left[corners]) / np.diff(kept[corners])
        inner = kept[corners[1:-1]]
        before, behind = int((inner < kept_fraction).sum()), int((inner <= kept_fraction).sum())
        return max(0.0, float(falls[before] + falls[behind]) / 2)


@dataclass(frozen=True)
class ShortRun:
    """Of one rank: loss and accuracy on validation examples at equal simulated time, and the rounds that took.

    `kept_fraction` and `round_s` are means over these rounds: of what was sent (None: nothing was), and how long.
    """

    loss: float
    accuracy: float | None
    rounds: int
    kept_fraction: float | None = None
    round_s: float | None = None


def tail(scenario: Scenario, rank: int, rounds: int, memo_folder: Path | None = None) -> Spectrum:
    """Train some rounds at a rank, without a radio, and look at what came of the last one.

    Raises
    ------
    RunFailed
        The training diverged, or changed nothing.
    """
    pilot = replace(with_rank(scenario, rank), seeds=(seed_of(scenario.seeds[0]),))
    work: Any = engine.build_work(pilot, memo_folder)[0]
    count = min(pilot.clients.count, PILOT_CLIENTS)
    clients = [int(client) for client in np.linspace(0, pilot.clients.count - 1, count).round()]
    curves: list[FloatArray] = []
    weights: list[float] = []
    kept = np.linspace(0.0, 1.0, 1 + 64)
    try:
        for number in range(1, rounds + 1):
            work.train(number, clients)
            arrivals = {}
            for client in clients:
                update = work.update(client)
                if update is None:  # it diverged, and learning.on_divergence goes on without it
                    work.stopped(client)
                    continue
                if number == rounds:
                    curves.append(left_out(pilot.codec, update, kept))
                    weights.append(work.weight(client))
                payload = work.encode(client, work.menu(client).points[-1])
                if payload is not None:
                    arrivals[client] = payload
            work.aggregate(arrivals)
        gap, model = work.diagnostics()["e_cov"], work.model()[1]
        pairs = work.layout.pairs
    finally:
        work.close()
    beyond, energy = tail_energy(model, pairs)
    if not curves or not energy > 0.0:
        raise RunFailed(f"the pilot of rank_selection changed nothing that a rank could be chosen by; {REMEDY}")
    mean = np.average(curves, axis=0, weights=weights)
    return Spectrum(
        rank, tuple(beyond.tolist()), float(gap or 0.0) / energy, tuple(kept.tolist()), tuple(mean.tolist())
    )


def left_out(codec: Codec, update: Update, kept: FloatArray) -> FloatArray:
    """The share of the energy of a change that a codec leaves out when it sends so large a share [kept].

    By the codec's own curve, on straight lines between its points and from 1 where nothing is sent; a codec that has no
    curve is taken to send the rank components that changed most.
    """
    if not hasattr(codec, "curve"):
        return dropped(update, kept)
    points = codec.menu(update.layout).points
    return np.asarray(np.interp(kept, [0.0, *(point.kept_fraction for point in points)], [1.0, *codec.curve(update)]))


def dropped(update: Update, kept: FloatArray) -> FloatArray:
    """The share of the energy of a change that is not sent when so large a share of all components is kept.

    Energies are the d_i^2 of `wfl_sim.lowrank.component_changes`, the largest first.
    """
    parts = []
    for name_a, name_b in update.layout.pairs:
        a, b = update.base[name_a].astype(float), update.base[name_b].astype(float)
        parts.append(lowrank.component_changes(a, b, a + update.change[name_a], b + update.change[name_b]) ** 2)
    energy = np.sort(np.concatenate(parts))[::-1]
    sent = np.concatenate([[0.0], np.cumsum(energy)])
    if not sent[-1] > 0.0:
        return np.asarray(1.0 - kept)
    places = np.floor(kept * energy.size + 1e-9).astype(int)
    return np.asarray(1.0 - sent[places] / sent[-1])


def tail_energy(model: Params, pairs: tuple[tuple[str, str], ...]) -> tuple[FloatArray, float]:
    """The share of the energy of all B A beyond their r largest singular values [R + 1], and that energy itself."""
    ranks = [model[a].shape[0] for a, _ in pairs]
    energy = np.zeros(max(ranks, default=0) + 1)
    for (name_a, name_b), rank in zip(pairs, ranks, strict=True):
        # From thin factors: B A = Q_b (R_b R_a^T) Q_a^T.
        upper_b = np.linalg.qr(model[name_b].astype(float))[1]
        upper_a = np.linalg.qr(model[name_a].astype(float).T)[1]
        squares = np.linalg.svd(upper_b @ upper_a.T, compute_uv=False)[:rank] ** 2
        energy[: squares.size] += squares
    total = float(energy.sum())
    beyond = np.cumsum(energy[::-1])[::-1] / (total or 1.0)
    return np.asarray(beyond), total


class _Enough(Exception):
    """The horizon of a short run is behind it."""


def at_rest(scenario: Scenario, budget_s: float, kept_fraction_min: float) -> Scenario:
    """The scenario with rounds as ``tsfa`` comes to plan them for a latency budget; other schedules stay as they are.

    Where the queue stands still each round is planned to end with the budget, at kept fractions and bandwidths of the
    least error for that time, which is what ``deadline_aware`` finds. A few rounds of ``tsfa`` itself would show how
    its queue begins, and that favours ranks of which a whole update is small.
    """
    tsfa = scenario.schedule
    if not isinstance(tsfa, TSFA):
        return scenario
    csi = {name: getattr(tsfa, name) for name in ("surrogate", "csi", "csi_delay_s", "csi_error_db")}
    schedule = DeadlineAware(deadline_s=budget_s, margin=0.0, kept_fraction_min=kept_fraction_min, **csi)
    return replace(scenario, schedule=schedule)


def short_run(scenario: Scenario, rank: int, horizon_s: float, memo_folder: Path | None = None) -> ShortRun:
    """Simulate a rank, radio included, over a simulated time, and read its validation loss at the end of it.

    Between the ends of two rounds the loss is taken to fall on a straight line.

    Raises
    ------
    RunFailed
        The run failed, or evaluates nothing.
    """
    assert scenario.rank_selection is not None
    learning = replace(scenario.learning, data=replace(scenario.learning.data, evaluate="validation"))
    most = MOST_ROUNDS * scenario.rank_selection.rounds
    pilot = replace(with_rank(scenario, rank), seeds=(seed_of(scenario.seeds[0]),), learning=learning, rounds=most)
    work, recorded = engine.build_work(pilot, memo_folder)
    try:
        first = work.evaluate()
        times, losses, accuracies = [0.0], [first["loss"]], [first.get("accuracy")]
        kept: list[float] = []

        def commit(row: Row, transmissions: Sequence[AnyRow], decisions: Sequence[AnyRow]) -> None:
            times.append(row["t_end_s"])
            losses.append(row["loss"])
            accuracies.append(row["accuracy"])
            if row["kept_fraction_mean"] is not None:
                kept.append(row["kept_fraction_mean"])
            if row["t_end_s"] >= horizon_s:
                raise _Enough

        with suppress(_Enough):
            engine.simulate(engine.with_work(pilot, dict(recorded)), work, commit)
    finally:
        work.close()
    rounds = len(times) - 1
    return ShortRun(
        loss=_at(horizon_s, times, losses),
        accuracy=_at(horizon_s, times, accuracies) if quality_of(pilot) else None,
        rounds=rounds,
        kept_fraction=float(np.mean(kept)) if kept else None,
        round_s=times[-1] / rounds if rounds else None,
    )


def _at(time_s: float, times: list[float], values: list[Any]) -> float:
    return float(np.interp(time_s, times, np.array(values, dtype=float)))
