"""Checks of what a link carries: rate tables, block errors, HARQ, the outer loop, and who gets a slot.

Knows published tables by way of `channels.vectors`, and closed forms of independent Rayleigh rounds.
"""

from __future__ import annotations

import functools

import numpy as np

from channels import bler, esm, harq, scheduling
from channels.arrays import Floats, Ints
from channels.bler import CQI_TABLE_1, FiniteBlocklength, Scheme
from channels.cqi import Cqi
from channels.fading import Rayleigh
from channels.linkadaptation import Direction, TruncatedShannon, peak_rate_bps
from channels.selftest.check import Check, Tolerance, largest_deviation
from channels.streams import Stream
from channels.vectors import (
    BLOCK_ERRORS,
    CQI_EFFICIENCY,
    HARQ,
    LARGEST_GAIN,
    PEAK_RATES,
    REAL_RATES,
    SIONNA,
    TRUNCATED_SHANNON,
    TRUNCATED_SNR_DB,
)

_STREAM = Stream.root(31)
_SLOTS = 100_000
_BLOCK_SLOTS = 50_000  # each costs a turn of a Python loop
_USERS = 10
_PERCENT = Tolerance(0.01, relative=True)
_FOUR_DECIMALS = Tolerance(6e-5)


def _ratio(db: float) -> float:
    return float(10.0 ** (db / 10.0))


def _truncated_deviation(direction: Direction) -> float:
    snr = [_ratio(snr_db) for snr_db in TRUNCATED_SNR_DB]
    return largest_deviation(TruncatedShannon().efficiency(snr, direction), TRUNCATED_SHANNON[direction])


def _peak_deviation() -> float:
    got = [peak_rate_bps(layers, order, mu, blocks, share) / 1e6 for layers, order, mu, blocks, share, _ in PEAK_RATES]
    return largest_deviation(got, [mbps for *_, mbps in PEAK_RATES])


def _block_error_deviation() -> float:
    """Of the block error probabilities of the vectors, relative."""
    got = [bler.normal_approximation(_ratio(snr_db), rate, length) for snr_db, rate, length, _ in BLOCK_ERRORS]
    return largest_deviation(got, [error for *_, error in BLOCK_ERRORS], relative=True)


def _real_rate_deviation() -> float:
    got = [bler.largest_efficiency(1.0, 1e-3, length, real=True) for length, _ in REAL_RATES]
    return largest_deviation(got, [rate for _, rate in REAL_RATES])


def _sionna_deviation_db() -> float:
    """How far our SNR for a BLER of 0.1 is from Sionna's, over the MCS: by interpolation on a grid of 0.01 dB."""
    snr_db = np.arange(-6.0, 24.0, 0.01)
    found = []
    for index, order, rate, _ in SIONNA:
        scheme = Scheme(index, order, rate / 1024)
        error = FiniteBlocklength().error(scheme, 10.0 ** (snr_db / 10.0), 500.0 / scheme.efficiency)
        found.append(snr_db[int(np.argmax(error <= 0.1))])
    return largest_deviation(found, [expected for *_, expected in SIONNA])


def _equal_gains_deviation() -> float:
    """How far the effective SNR of equal SNRs is from them, relative, over the betas of all CQI."""
    snr = np.array([0.1, 1.0, 10.0, 100.0])
    beta = esm.beta_of(*zip(*((scheme.modulation_order, scheme.code_rate) for scheme in CQI_TABLE_1), strict=True))
    return largest_deviation(
        esm.effective_snr(np.repeat(snr[:, None, None], 12, axis=-1), beta), snr[:, None], relative=True
    )


@functools.cache
def _harq(combining: harq.Combining) -> tuple[float, float]:
    """Mean rounds a block and bit/s/Hz that get through, at R = 2, 10 dB and 4 rounds, over 50 000 slots."""
    link = harq.BlockLink(bler.Outage(), rounds=4, combining=combining, schemes=(Scheme(1, 2, 1.0),))
    snr = 10.0 * _STREAM.child("rounds").exponential(0, np.arange(_BLOCK_SLOTS))[None, :, None]
    draws = _STREAM.child("blocks").uniform(0, np.arange(_BLOCK_SLOTS))[None, :]
    passage = link.carry(harq.LinkState(), snr, snr, np.ones(_BLOCK_SLOTS), draws)
    through = float(passage.bits[~passage.lost[0]].sum())
    return _BLOCK_SLOTS / float(np.count_nonzero(passage.sent)), through / _BLOCK_SLOTS


def _chase_deviation() -> float:
    return largest_deviation(harq.chase_outage(2.0, 10.0, np.arange(1, 5)), HARQ["chase"][2])


def _outer_loop() -> float:
    """Share of first transmissions lost with a target of 10 %: 15 dB, Rayleigh fading at 10 Hz, reports 4 ms old."""
    late = 4
    gains = Rayleigh().power_gain(_STREAM.child("fading"), 0, np.arange(_SLOTS + late) * 1e-3, 10.0)
    snr = _ratio(15.0) * gains[..., None]
    draws = _STREAM.child("blocks").uniform(0, np.arange(_SLOTS))[None, :]
    link = harq.BlockLink.of(Cqi(), rounds=1, combining="chase")
    passage = link.carry(harq.LinkState(), snr[:, :-late], snr[:, late:], np.full(_SLOTS, 1000.0), draws)
    return float(np.count_nonzero(passage.failed) / np.count_nonzero(passage.sent))


@functools.cache
def _users(count: int) -> Floats:
    """SNR [users, slots] of users alike: exponential of mean 1, independent from slot to slot."""
    return _STREAM.child("users").exponential(np.arange(count)[:, None], np.arange(_SLOTS))


def _unequal(count: int) -> Floats:
    """Rates linear in the same fading, of means from 1 to `count`."""
    return _users(count) * np.arange(1.0, count + 1.0)[:, None]


def _mean_gain(chosen: Ints) -> float:
    return float(_users(int(chosen.max()) + 1)[chosen, np.arange(_SLOTS)].mean())


@functools.cache
def _fair() -> Ints:
    return scheduling.proportional_fair(_unequal(_USERS), averaging_slots=1000.0)[0]


def _share_deviation(chosen: Ints) -> float:
    """Of the shares of slots from 1/N, relative."""
    return largest_deviation(scheduling.slot_shares(chosen, _USERS), 1.0 / _USERS, relative=True)


CHECKS: tuple[Check, ...] = (
    *(
        Check(f"rate.truncated_shannon.{direction}", functools.partial(_truncated_deviation, direction), 0.0,
              _FOUR_DECIMALS, "TR 36.942 annex A.2 at 0, 10 and 20 dB, four decimals")
        for direction in ("down", "up")
    ),
    Check("rate.cqi_table",
          lambda: largest_deviation([scheme.efficiency for scheme in CQI_TABLE_1], CQI_EFFICIENCY), 0.0, _FOUR_DECIMALS,
          "efficiency of CQI 1 to 15, TS 38.214 Table 5.2.2.1-2, rounded to four decimals"),
    Check("rate.peak", _peak_deviation, 0.0, Tolerance(0.05, unit="Mbit/s"),
          "four carriers by TS 38.306 clause 4.1.2; one decimal at the largest"),
    Check("bler.real_rates", _real_rate_deviation, 0.0, _FOUR_DECIMALS,
          "largest rate at 0 dB and BLER 1e-3 of 500 and 2000 real symbols: Polyanskiy, Poor and Verdu 2010"),
    Check("bler.normal_approximation", _block_error_deviation, 0.0, Tolerance(1e-3),
          "relative deviation of three block error probabilities, 1e-7 to 4e-3; the vectors have four digits"),
    Check("bler.sionna", _sionna_deviation_db, 0.0, Tolerance(0.5, unit="dB"),
          "largest deviation of the SNR for BLER 0.1 of 500 bits from Sionna 2.2, MCS 3 to 28; its grid is as coarse"),
    Check("esm.equal", _equal_gains_deviation, 0.0, Tolerance(1e-12),
          "the effective SNR of equal SNRs is theirs, for the beta of every CQI; rounding"),
    Check("esm.large_beta", lambda: float(esm.effective_snr([1.0, 2.0, 6.0], 1e9)), 3.0, Tolerance(1e-6),
          "with a large beta the effective SNR is the mean"),
    Check("harq.chase.outage", _chase_deviation, 0.0, _FOUR_DECIMALS,
          "outage after 1 to 4 rounds at R = 2 and 10 dB, P(m, 0.3), four decimals"),
    *(
        Check(f"harq.{combining}.{figure}", functools.partial(lambda c, n: _harq(c)[n], combining, n), expected,
              _PERCENT, f"{words} of 4 at R = 2 and 10 dB, independent Rayleigh rounds, Caire and Tuninetti 2001; "
              "50 000 slots, three standard errors")
        for combining, figures in (("chase", HARQ["chase"]), ("incremental", HARQ["incremental"]))
        for n, (figure, words, expected) in enumerate(
            (("rounds", "mean rounds", figures[0]), ("throughput", "bit/s/Hz that get through in rounds", figures[1]))
        )
    ),
    Check("outer_loop.loss", _outer_loop, 0.1, Tolerance(0.002),
          "share lost with a target of 10 %; over 1e5 blocks steps up and down balance to the offset's range"),
    Check("scheduling.round_robin.share",
          lambda: _share_deviation(scheduling.round_robin(_users(_USERS))), 0.0, Tolerance(0.0),
          "each of 10 users gets 1/10 of 1e5 slots"),
    Check("scheduling.round_robin.gain", lambda: _mean_gain(scheduling.round_robin(_users(_USERS))), 1.0,
          Tolerance(0.015, relative=True), "mean SNR of the chosen of 10 Rayleigh users: that of one; four errors"),
    *(
        Check(f"scheduling.largest_rate.gain{count}",
              functools.partial(lambda count: _mean_gain(scheduling.largest_rate(_users(count))), count), expected,
              _PERCENT, f"mean SNR of the best of {count} Rayleigh users, 1 + 1/2 + ... + 1/{count}; 1e5 slots")
        for count, expected in LARGEST_GAIN
    ),
    Check("scheduling.largest_rate.share",
          lambda: _share_deviation(scheduling.largest_rate(_users(_USERS))), 0.0, Tolerance(0.04),
          "relative deviation of the shares of 10 equal users from 1/10; four standard errors of 1e5 slots"),
    Check("scheduling.proportional_fair.share", lambda: _share_deviation(_fair()), 0.0, Tolerance(0.02),
          "the same of users with mean rates 1 to 10 whose rates are linear in the fading; 1e5 slots"),
    Check("scheduling.proportional_fair.gain", lambda: _mean_gain(_fair()), LARGEST_GAIN[0][1], _PERCENT,
          "fading gain of the chosen: that of the best of 10, less what an average over 1000 slots lacks"),
)  # fmt: skip
