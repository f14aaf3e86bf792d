"""Transport blocks slot by slot: which rate each gets, in which round it is decoded, and what comes through.

Knows SNRs, slots and draws; knows no packet, no client and no clock. A link is a pipe: a run of slots goes in, and out
come the payload bits that pass at the end of each slot, with a flag where they are lost.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Bools, Floats, non_negative, positive
from channels.bler import CQI_TABLE_1, Bler, Scheme
from channels.cqi import Cqi
from channels.esm import beta_of, effective_snr
from channels.thresholds import Thresholds

Combining: TypeAlias = Literal["chase", "incremental"]
LARGEST_OFFSET_DB = 10.0
_LEAST = 1e-30  # of an SNR, so that it has a logarithm


class Block(NamedTuple):
    """A block under way: position of its scheme, length, and for each receiver [K] draw, SNRs so far and last BLER."""

    scheme: int
    symbols: float
    draw: Floats
    snr: tuple[Floats, ...]
    error: Floats


class LinkState(NamedTuple):
    """What a link carries from slot to slot: the offset of the outer loop, and the block under way."""

    offset_db: float = 0.0
    block: Block | None = None


class Passage(NamedTuple):
    """What a run of n slots did: bits that pass at the end of each [n], at which receivers they are lost [K, n].

    `offset_db` [n] is the outer loop's after each slot, `state` that of the link after the last. `sent` [n] is the
    efficiency of each slot's first transmission, 0 where there is none, and `failed` [n] whether that was lost.
    """

    bits: Floats
    lost: Bools
    offset_db: Floats
    state: LinkState
    sent: Floats
    failed: Bools


@dataclass(frozen=True)
class BlockLink:
    """A link that sends one transport block a slot, at a rate from earlier SNR, and sends lost ones again.

    Parameters
    ----------
    bler : Bler
    rounds : int
        How often a block is sent at most.
    combining : {"chase", "incremental"}
        Whether SNRs or mutual information of the rounds add.
    schemes : sequence of Scheme
        In rising order of efficiency.
    thresholds : Thresholds, optional
        The SNR that each scheme needs; left out, the last scheme is always sent.
    step_down_db, step_up_db : float
        Of the outer loop, after a first transmission that was lost or came through.
    """

    bler: Bler
    rounds: int = 1
    combining: Combining = "chase"
    schemes: Sequence[Scheme] = CQI_TABLE_1
    thresholds: Thresholds | None = None
    step_down_db: float = 0.0
    step_up_db: float = 0.0

    @classmethod
    def of(cls, model: Cqi, rounds: int, combining: Combining) -> BlockLink:
        """The link of a rate model and a retransmission."""
        down_db = model.step_db if model.outer_loop else 0.0
        up_db = down_db * model.target / (1.0 - model.target)
        return cls(model.bler, rounds, combining, CQI_TABLE_1, model.thresholds, down_db, up_db)

    def carry(
        self, state: LinkState, known: Floats, snr: Floats, symbols: Floats, draws: Floats, wanted_bits: float = np.inf
    ) -> Passage:
        """Send through a run of slots.

        Parameters
        ----------
        state : LinkState
            From the run before.
        known, snr : ndarray
            Linear SNR [K, N, F] that the sender knows for each slot, and that the slot has, at K receivers and F
            frequencies of the band. The weakest receiver sets the rate.
        symbols : ndarray
            Length [N] of each slot in symbols.
        draws : ndarray
            Uniform draws [K, N] that decide the block which begins in a slot.
        wanted_bits : float
            The run ends with the slot in which so many have passed.

        Returns
        -------
        Passage
        """
        needs = self._needs(known, symbols)
        first = _FirstRounds(self, snr, symbols, draws)
        lengths = symbols.tolist()
        rates = [scheme.efficiency for scheme in self.schemes]
        offset_db, block = state
        bits: list[float] = []
        offsets: list[float] = []
        sent: list[float] = []
        failed: list[bool] = []
        lost = np.zeros(draws.shape, dtype=np.bool_)
        total = 0.0
        for slot, length in enumerate(lengths):
            passed, rate, fails = 0.0, 0.0, False
            if block is not None:
                block = self._repeat(block, first.snr(block.scheme)[:, slot])
                lacking = block.draw < block.error
                if len(block.snr) >= self.rounds or not lacking.any():
                    passed, lost[:, slot] = rates[block.scheme] * block.symbols, lacking
                    block = None
            elif needs[slot][0] <= 0.0:
                scheme = max(bisect_right(needs[slot], offset_db), 1) - 1
                rate, fails = rates[scheme], first.fails(scheme)[slot]
                offset_db += -self.step_down_db if fails else self.step_up_db
                offset_db = min(max(offset_db, -LARGEST_OFFSET_DB), LARGEST_OFFSET_DB)
                if fails and self.rounds > 1:
                    block = first.block(scheme, slot)
                else:
                    passed = rate * length
                    if fails:
                        lost[:, slot] = first.lost(scheme, slot)
            bits.append(passed)
            offsets.append(offset_db)
            sent.append(rate)
            failed.append(fails)
            total += passed
            if total >= wanted_bits:
                break
        return Passage(np.array(bits), lost[:, : len(bits)], np.array(offsets), LinkState(offset_db, block),
                       np.array(sent), np.array(failed, dtype=np.bool_))  # fmt: skip

    def _needs(self, known: Floats, symbols: Floats) -> list[list[float]]:
        """For each slot and scheme the offset in dB from which on that scheme or a higher one may be sent."""
        if self.thresholds is None:
            return [[-np.inf] * len(self.schemes)] * len(symbols)
        if known.shape[-1] == 1:
            known_db = 10.0 * np.log10(np.maximum(known[..., 0].min(axis=0), _LEAST))[:, None]
        else:
            each = [effective(known, scheme).min(axis=0) for scheme in self.schemes]
            known_db = 10.0 * np.log10(np.maximum(np.stack(each, axis=1), _LEAST))
        need = self.thresholds.snr_db(symbols) - known_db
        rows: list[list[float]] = np.minimum.accumulate(need[:, ::-1], axis=1)[:, ::-1].tolist()
        return rows

    def _repeat(self, block: Block, snr: Floats) -> Block:
        """The block after one more round at `snr` [K]."""
        scheme, snrs = self.schemes[block.scheme], (*block.snr, snr)
        if self.combining == "chase":
            error = self.bler.error(scheme, np.sum(snrs, axis=0), block.symbols)
        else:
            error = self.bler.joint_error(scheme, np.stack(snrs, axis=-1), block.symbols)
        return block._replace(snr=snrs, error=np.minimum(error, block.error))


class _FirstRounds:
    """First rounds of a run, for each scheme when it is asked for: most slots need no more."""

    def __init__(self, link: BlockLink, snr: Floats, symbols: Floats, draws: Floats) -> None:
        self._link, self._snr, self._symbols, self._draws = link, snr, symbols, draws
        self._effective: dict[int, Floats] = {}
        self._error: dict[int, Floats] = {}
        self._fails: dict[int, list[bool]] = {}

    def snr(self, scheme: int) -> Floats:
        """Effective SNR [K, N]."""
        if scheme not in self._effective:
            self._effective[scheme] = effective(self._snr, self._link.schemes[scheme])
        return self._effective[scheme]

    def fails(self, scheme: int) -> list[bool]:
        """Whether a block that begins in each slot [N] is lost at any receiver in its first round."""
        if scheme not in self._fails:
            one = float(self._symbols[0])
            length = one if (self._symbols == one).all() else self._symbols  # the usual case is the quicker one
            error = self._link.bler.error(self._link.schemes[scheme], self.snr(scheme), length)
            self._error[scheme] = error
            self._fails[scheme] = list(np.asarray((self._draws < error).any(axis=0)).tolist())
        return self._fails[scheme]

    def lost(self, scheme: int, slot: int) -> Bools:
        """At which receivers [K] it is."""
        return np.asarray(self._draws[:, slot] < self._error[scheme][:, slot])

    def block(self, scheme: int, slot: int) -> Block:
        """That block after its first round."""
        return Block(scheme, float(self._symbols[slot]), self._draws[:, slot], (self.snr(scheme)[:, slot],),
                     self._error[scheme][:, slot])  # fmt: skip


def effective(snr: Floats, scheme: Scheme) -> Floats:
    """The SNR [...] on a flat channel at which a scheme fares as at the SNRs [..., F] of its band (EESM)."""
    if snr.shape[-1] == 1:
        return np.asarray(snr[..., 0])
    return np.asarray(effective_snr(snr, beta_of(scheme.modulation_order, scheme.code_rate)))


def chase_outage(efficiency: float, mean_snr: float, rounds: ArrayLike) -> Floats:
    """Outage after m rounds of chase combining with independent Rayleigh rounds: P(m, (2^R - 1) / g).

    The sum of m exponential SNRs has a gamma law (Caire and Tuninetti 2001, doi:10.1109/18.930931).

    Parameters
    ----------
    efficiency : float
        R in bit/s/Hz.
    mean_snr : float
        g, linear, above 0.
    rounds : array_like of int
        m, any shape, at least 1.

    Raises
    ------
    ValueError
        An argument out of range.
    """
    from scipy.special import gammainc

    number = non_negative("a number of rounds", rounds)
    if number.size and not (number.min() >= 1.0 and (number == np.floor(number)).all()):
        raise ValueError(f"rounds must be whole numbers of at least 1; got {rounds!r}")
    rate, snr = float(non_negative("an efficiency", efficiency)), positive("a mean SNR", mean_snr)
    with np.errstate(over="ignore"):
        return np.asarray(gammainc(number, np.expm1(rate * np.log(2.0)) / snr))


def repetition_law(failures: ArrayLike) -> tuple[float, float]:
    """Mean number of rounds, and share of the rate that gets through, from the shares P_1 to P_M that still fail.

    E[T] = 1 + P_1 + ... + P_(M-1), and (1 - P_M) / E[T] by renewal and reward (Caire and Tuninetti 2001). For ARQ with
    independent losses, P_m = p^m. ValueError for no share at all, and for one outside [0, 1].
    """
    share = non_negative("a probability", failures)
    if share.ndim != 1 or not share.size:
        raise ValueError(f"failures must be a list of one or more probabilities; got shape {share.shape}")
    if share.max() > 1.0:
        raise ValueError(f"a probability must be at most 1; got {share.max()}")
    rounds = 1.0 + float(share[:-1].sum())
    return rounds, (1.0 - float(share[-1])) / rounds
