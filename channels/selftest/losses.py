"""Checks of packets: losses alone and in bursts, and the queue in front of a link.

Knows closed forms of Markov chains and queues.
"""

from __future__ import annotations

import functools

import numpy as np

from channels.arrays import Bools, Ints
from channels.erasure import BurstLoss, GilbertElliott, IndependentLoss, NoLoss
from channels.replay import Packets, md1_wait
from channels.selftest.check import Check, Tolerance, largest_deviation
from channels.streams import Stream
from channels.vectors import ATTEMPTS, GILBERT_ELLIOTT

_STREAM = Stream.root(41).child("loss")
_PACKETS = 1_000_000
_NUMBERS: Ints = np.arange(_PACKETS)
_STEP_S = 1e-3
_LOSS = Tolerance(0.01, relative=True)  # acceptance limits at 1e6 packets, these three
_BURST = Tolerance(0.02, relative=True)
_WAIT = Tolerance(0.02, relative=True)


def _independent(probability: float) -> IndependentLoss:
    return IndependentLoss(probability=probability, origin="recorded")


def _share_lost(probability: float) -> float:
    return float(np.mean(_independent(probability).lost(_STREAM, 3, _NUMBERS, 0.0)))


@functools.cache
def _chain(p: float, r: float, e_bad: float) -> Bools:
    """Whether each of 1e6 packets, one a tick, is lost; with e_bad = 1 that is whether the link is bad."""
    model = GilbertElliott(p=p, r=r, e_bad=e_bad, origin="recorded")
    return model.lost(_STREAM, 0, _NUMBERS, _NUMBERS * _STEP_S)


def _mean_run(flags: Bools) -> float:
    """Mean length of the runs of True: all that are True over all that begin."""
    starts = np.count_nonzero(flags[1:] & ~flags[:-1]) + int(flags[0])
    return float(np.count_nonzero(flags) / starts)


def _chain_loss(p: float, r: float, e_bad: float) -> float:
    return float(np.mean(_chain(p, r, e_bad)))


def _chain_burst(p: float, r: float, e_bad: float) -> float:
    return _mean_run(_chain(p, r, e_bad))


def _memory_deviation(p: float, r: float) -> float:
    """Of the correlation of the states 1, 2 and 5 ticks apart from (1 - p - r)^k."""
    bad = _chain(p, r, 1.0)
    lags = np.array([1, 2, 5])
    return largest_deviation([np.corrcoef(bad[lag:], bad[:-lag])[0, 1] for lag in lags], (1.0 - p - r) ** lags)


@functools.cache
def _attempts(probability: float, limit: int) -> tuple[Ints, Bools]:
    """Up to which of `limit` packets in a row all are lost but the last, for 1e6 rows, and whether that one is too."""
    numbers = np.arange(_PACKETS * limit).reshape(_PACKETS, limit)
    lost = _independent(probability).lost(_STREAM, 5, numbers, 0.0)
    all_lost = np.asarray(lost.all(axis=1))
    return np.where(all_lost, limit, 1 + np.argmin(lost, axis=1)), all_lost


def _mean_attempts(probability: float, limit: int) -> float:
    return float(_attempts(probability, limit)[0].mean())


def _share_all_lost(probability: float, limit: int) -> float:
    return float(_attempts(probability, limit)[1].mean())


def _replayed_packets() -> float:
    """Packets of 1500 bytes that a queue which is never empty sends in 3 passes of a trace of 1000 random stamps."""
    stamps_ms = np.sort((10_000 * _STREAM.uniform(7, np.arange(1000))).astype(np.int64))
    trace = Packets(stamps_ms)
    departures = trace.departures_s(np.zeros(4000), 1500.0 * 8.0)
    return float(np.count_nonzero(departures <= 3.0 * trace.period_s))


@functools.cache
def _wait(load: float) -> float:
    return md1_wait(_STREAM.child("queue"), load, _PACKETS)[0]


@functools.cache
def _bursts() -> Bools:
    return BurstLoss(loss=0.2, burst_s=0.01, origin="recorded").lost(_STREAM, 9, _NUMBERS, _NUMBERS * _STEP_S)


def _lost_without() -> float:
    return float(np.count_nonzero(NoLoss().lost(_STREAM, 0, np.arange(1000), 0.0)))


CHECKS: tuple[Check, ...] = (
    Check("loss.none", _lost_without, 0.0, Tolerance(0.0), "packets lost of 1000 where nothing is lost"),
    Check("loss.independent", lambda: _share_lost(0.1), 0.1, _LOSS, "share lost of 1e6 packets; three standard errors"),
    *(
        Check(f"loss.gilbert_elliott.{figure}.{n}", functools.partial(measure, p, r, e_bad), expected, tolerance,
              f"{formula} at p = {p:g}, r = {r:g}, e_bad = {e_bad:g}; 1e6 packets, acceptance limit")
        for n, (p, r, e_bad, share, burst) in enumerate(GILBERT_ELLIOTT, start=1)
        for figure, measure, expected, tolerance, formula in (
            ("loss", _chain_loss, share, _LOSS, "share lost, p e_bad / (p + r)"),
            ("burst", _chain_burst, burst, _BURST, "mean burst of losses, 1 / (1 - (1 - r) e_bad)"),
        )
    ),
    Check("loss.gilbert_elliott.memory", lambda: _memory_deviation(0.05, 0.3), 0.0, Tolerance(0.01),
          "correlation of the states 1, 2 and 5 ticks apart, (1 - p - r)^k; five standard errors, 1e6 ticks"),
    *(
        Check(f"loss.independent.{figure}.e{loss:g}", functools.partial(measure, loss, limit), expected, tolerance,
              f"{formula} at e = {loss:g}, M = {limit}: packets in a row are lost apart; {why}")
        for loss, limit, residual, mean in ATTEMPTS
        for figure, measure, expected, tolerance, formula, why in (
            ("attempts", _mean_attempts, mean, _LOSS, "mean number up to the first not lost, (1 - e^M) / (1 - e)",
             "1e6 packets"),
            ("all_lost", _share_all_lost, residual, Tolerance(4.0 * (residual / _PACKETS) ** 0.5),
             "share of M packets in a row that are all lost, e^M", "1e6 packets, four standard errors"),
        )
    ),
    Check("loss.bursts.loss", lambda: float(np.mean(_bursts())), 0.2, Tolerance(0.025, relative=True),
          "share lost of 1e6 packets where 0.2 is stated, in bursts of 10; three standard errors"),
    Check("loss.bursts.burst", lambda: _mean_run(_bursts()), 10.0, _BURST,
          "mean burst of losses in packets where 10 ms are stated, one packet a ms; 2e4 bursts, three standard errors"),
    Check("queue.replay", _replayed_packets, 3000.0, Tolerance(0.0),
          "3 passes of a mahimahi trace of 1000 stamps deliver 3000 packets of 1500 bytes, no more and no less"),
    *(
        Check(f"queue.md1.load{load:g}", functools.partial(_wait, load), expected, _WAIT,
              "mean wait in service times of Poisson arrivals at a fixed rate, load / (2 (1 - load)); 1e6 packets")
        for load, expected in ((0.2, 0.125), (0.5, 0.5))
    ),
)  # fmt: skip
