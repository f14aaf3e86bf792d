"""Block errors: from the SNR that a transport block met to the probability that it is lost.

Knows modulation and code rate of a block and its length; knows no time, no client and no retransmission rule.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, non_negative, positive
from channels.blertable import Rows, read_bler
from channels.codeblocks import code_blocks, transport_block_error
from channels.files import File, mark
from channels.options import Options
from channels.units import PositiveDecibels

# scipy.special is imported where it is needed: it takes a quarter of a second.

_LG_E = 1.0 / math.log(2.0)
_EDGE_DB = 1e-9  # an SNR this little below the first of a table is that one
_RAREST = 1e-12  # BLER of a table is interpolated down to this

Length: TypeAlias = float | Floats  # of a block, in symbols


class Scheme(NamedTuple):
    """Modulation and coding of a block: its `number` in a table, bits a symbol, and information bits a coded bit."""

    number: int
    modulation_order: int
    code_rate: float

    @property
    def efficiency(self) -> float:
        """Information bits a symbol."""
        return self.modulation_order * self.code_rate


# TS 38.214, table 5.2.2.1-2: bits a symbol, and 1024 times the code rate, of CQI 1 to 15.
CQI_TABLE_1: tuple[Scheme, ...] = tuple(
    Scheme(number, order, rate / 1024)
    for number, (order, rate) in enumerate(
        [(2, 78), (2, 120), (2, 193), (2, 308), (2, 449), (2, 602), (4, 378), (4, 490), (4, 616),
         (6, 466), (6, 567), (6, 666), (6, 772), (6, 873), (6, 948)],
        start=1,
    )
)  # fmt: skip


def normal_approximation(
    snr: ArrayLike, efficiency: ArrayLike, symbols: ArrayLike, *, real: bool = False, log_term: bool = True
) -> Floats:
    """Block error probability of the best code of finite length on the Gaussian channel.

    Formula: Q((n C - k + lg2(n) / 2) / sqrt(n V)), k = n efficiency. Complex symbols: C = lg2(1 + g),
    V = g (g + 2) / (g + 1)^2 lg2(e)^2; real ones: half of each (Polyanskiy, Poor and Verdu 2010,
    doi:10.1109/TIT.2010.2043769; the term lg2(n) / 2 is in, and changes the result by a factor of 1.5 to 4).

    Parameters
    ----------
    snr, efficiency, symbols : array_like of float
        Linear SNR g, bits a symbol, and the length n; they broadcast. Lengths below 1 count as 1.
    real : bool
        Whether symbols are real.
    log_term : bool
        Whether the term lg2(n) / 2 is in. It is held at half the payload, so that a block of a few bits is not decoded
        without a signal.

    Returns
    -------
    ndarray
        Probabilities in [0, 1], falling in SNR.
    """
    n = np.maximum(non_negative("a length in symbols", symbols), 1.0)
    capacity, dispersion = _information(non_negative("a linear SNR", snr))
    half = 0.5 if real else 1.0
    payload = n * non_negative("an efficiency", efficiency)
    return _error(n * capacity * half, n * dispersion * half, payload, n, log_term)


def largest_efficiency(snr: float, error: float, symbols: float, *, real: bool = False) -> float:
    """The normal approximation solved for the rate: C - sqrt(V / n) Q^-1(error) + lg2(n) / (2 n), in bits a symbol.

    ValueError for an SNR that is negative or not finite, an error not in (0, 1), less than 1 symbol.
    """
    from scipy.special import ndtri

    if not 0.0 < error < 1.0:
        raise ValueError(f"an error must be above 0 and below 1; got {error}")
    n = positive("a length in symbols", symbols)
    if n < 1.0:
        raise ValueError(f"a length in symbols must be at least 1; got {symbols}")
    capacity, dispersion = _information(non_negative("a linear SNR", snr))
    half = 0.5 if real else 1.0
    spread = math.sqrt(half * float(dispersion) / n)
    return float(half * capacity + spread * ndtri(error) + 0.5 * math.log2(n) / n)


def _information(snr: Floats) -> tuple[Floats, Floats]:
    """Capacity in bits and dispersion in bits^2 of a complex symbol."""
    return np.log1p(snr) * _LG_E, snr / (snr + 1.0) * ((snr + 2.0) / (snr + 1.0)) * _LG_E**2  # no square overflows


def _error(information: Floats, dispersion: Floats, payload: Floats, n: Floats, log_term: bool = True) -> Floats:
    from scipy.special import ndtr

    bonus = 0.5 * np.minimum(np.log2(n), payload) if log_term else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = (payload - bonus - information) / np.sqrt(dispersion)
    return np.asarray(ndtr(np.where(dispersion > 0.0, deviations, np.inf)))  # no signal: lost


def _one_error(snr: list[float], n: float, efficiency: float, parts: float) -> float:
    """The error of a transport block of `parts` code blocks of n symbols in each round; the same formulas in floats."""
    information = n * _LG_E * sum(math.log1p(g) for g in snr)
    dispersion = n * _LG_E**2 * sum(g / (g + 1.0) * ((g + 2.0) / (g + 1.0)) for g in snr)
    if dispersion == 0.0:
        return 1.0
    bonus = 0.5 * min(math.log2(n * len(snr)), n * efficiency)
    error = 0.5 * math.erfc((information + bonus - n * efficiency) / math.sqrt(2.0 * dispersion))
    return error if parts == 1.0 else 1.0 if error >= 1.0 else -math.expm1(parts * math.log1p(-error))


class Bler(Protocol):
    """What a model of block errors must do.

    1. It is a frozen dataclass derived from `Options`; its first field is ``kind``.
    2. ``error(scheme, snr, symbols)`` is the probability that a transport block of `symbols` symbols is lost at a
       linear SNR: in [0, 1], falling in SNR, 1 at SNR 0. Both may be arrays, which broadcast.
    3. ``joint_error(scheme, snr, symbols)`` is the same for a code word in m parts (incremental redundancy), each of
       `symbols` symbols and at its own SNR: `snr` is [..., m], the result [...]. For m = 1 both agree.
    4. It is a pure function. 5. The docstring is a model card. 6. It stands in `BLER` under its kind.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    def error(self, scheme: Scheme, snr: ArrayLike, symbols: Length) -> Floats:
        """Probability that a transport block is lost."""
        ...

    def joint_error(self, scheme: Scheme, snr: ArrayLike, symbols: Length) -> Floats:
        """The same of a code word in parts."""
        ...


@dataclass(frozen=True)
class FiniteBlocklength(Options):
    """The best code of the block's length, at an SNR reduced by what real codes lose.

    Formula
    -------
    With n symbols of the block, information k = n efficiency and g = snr / gap::

        BLER = Q((n C - k + lg2(n) / 2) / sqrt(n V))
        C = lg2(1 + g),    V = g (g + 2) / (g + 1)^2 lg2(e)^2

    The term lg2(n) / 2 is held at k / 2. A block above the largest code block (8448 or 3840 bits) is cut into C equal
    ones and lost with any of them: 1 - (1 - BLER)^C. With incremental redundancy, n C and n V are sums over the rounds.

    Validity
    --------
    Gaussian noise of known variance over the whole block, from about 100 symbols on; shorter blocks are a rough guess.
    With the default gaps the SNR for a BLER of 0.1 is within 0.5 dB of Sionna 2.2's tables of the NR LDPC code (code
    blocks of 500 bits, MCS 3 to 28 of table 1).

    Source
    ------
    Polyanskiy, Poor and Verdu 2010, doi:10.1109/TIT.2010.2043769; code blocks: 3GPP TS 38.212, 5.2.2; sums over the
    rounds: own, the same approximation for a channel that changes between the parts of a code word.

    Options
    -------
    gap_db : How much SNR real codes and modulations lose against the best code of that length; left out, 0.7 dB for
        QPSK, 1.1 dB for 16QAM and 1.9 dB for 64QAM. Larger: more blocks are lost.
    """

    kind: Literal["finite_blocklength"] = "finite_blocklength"
    gap_db: PositiveDecibels | None = None

    def error(self, scheme: Scheme, snr: ArrayLike, symbols: Length) -> Floats:
        """Probability that a transport block is lost (any shapes that broadcast)."""
        return self.joint_error(scheme, np.asarray(snr, dtype=np.float64)[..., None], symbols)

    def joint_error(self, scheme: Scheme, snr: ArrayLike, symbols: Length) -> Floats:
        """The same of a code word in parts: `snr` is [..., m]."""
        gap_db = _GAPS_DB[scheme.modulation_order] if self.gap_db is None else self.gap_db
        ratio = non_negative("a linear SNR", snr) * 10.0 ** (-gap_db / 10.0)
        parts = code_blocks(symbols * scheme.efficiency, scheme.code_rate)
        n = np.maximum(symbols / parts, 1.0)
        if ratio.size == ratio.shape[-1] and n.ndim == 0:  # one block: a tenth of the time
            one = _one_error(ratio.ravel().tolist(), float(n), scheme.efficiency, float(parts))
            return np.full(ratio.shape[:-1], one)
        capacity, dispersion = _information(ratio)
        error = _error(n * capacity.sum(-1), n * dispersion.sum(-1), n * scheme.efficiency, n * ratio.shape[-1])
        return transport_block_error(error, parts)


# Measured: SNR at BLER 0.1 of Sionna 2.2's PDSCH tables (code blocks of 500 bits) against the normal approximation,
# in the mean over the MCS of each modulation. Orders that CQI table 1 does not have take the nearest.
_GAPS_DB = {1: 0.7, 2: 0.7, 4: 1.1, 6: 1.9, 8: 1.9, 10: 1.9}


class _OneSnr(Options, ABC):
    """A model to which parts of a code word count as one block at the SNR of the same mutual information."""

    def joint_error(self, scheme: Scheme, snr: ArrayLike, symbols: Length) -> Floats:
        """`snr` is [..., m]; parts add mutual information."""
        together = np.expm1(np.log1p(non_negative("a linear SNR", snr)).sum(-1))
        return self.error(scheme, together, symbols)

    @abstractmethod
    def error(self, scheme: Scheme, snr: ArrayLike, symbols: Length) -> Floats:
        """Probability that a transport block is lost at one SNR."""


@dataclass(frozen=True)
class Outage(_OneSnr):
    """A block comes through if the mutual information of what was received carries its rate, and else not.

    Formula
    -------
    BLER = 0 if lg2(1 + snr) >= efficiency, else 1; with incremental redundancy the sum of lg2(1 + snr) over the rounds.

    Validity
    --------
    Blocks so long that only the fading decides. For studies of fading and retransmission in closed form; real codes
    need more SNR and have a smooth edge.

    Source
    ------
    Ozarow, Shamai and Wyner 1994, doi:10.1109/25.293655.
    """

    kind: Literal["outage"] = "outage"

    def error(self, scheme: Scheme, snr: ArrayLike, symbols: Length) -> Floats:
        """0 or 1 (any shapes that broadcast)."""
        information = np.log1p(non_negative("a linear SNR", snr)) * _LG_E
        lost, _ = np.broadcast_arrays(information < scheme.efficiency, symbols)
        return np.where(lost, 1.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Table(_OneSnr):
    """Block error rates from a file, for each CQI over SNR.

    The file is CSV with the header ``cqi,snr_db,bler``: CQI 1 to 15, SNR in dB, and the BLER of one code block. Rows of
    a CQI stand in rising order of SNR, and their BLER does not rise. A CQI without rows is never used.

    Formula
    -------
    lg(BLER) is interpolated on straight lines over SNR in dB, zeros taken for 1e-12. Below the first SNR of a CQI every
    block is lost, above the last its BLER holds. A transport block of C code blocks: 1 - (1 - BLER)^C.

    Validity
    --------
    That of the measurement or simulation that made the file; the length of a block does not count, but by way of C.
    Rounds of incremental redundancy count as one block at the SNR of the same mutual information.

    Source
    ------
    The file; code blocks: 3GPP TS 38.212, 5.2.2.

    Options
    -------
    file : Name of the file, beside the scenario or in the working directory.
    """

    kind: Literal["table"] = "table"
    file: Annotated[str, File("block error rates", example="bler.csv")]

    def load(self) -> Rows:
        """SNR in dB and BLER of each CQI; FileError where the file is wrong."""
        return read_bler(self.file)

    @property
    def stamp(self) -> tuple[int, ...]:
        """What tells the states of the file apart."""
        return mark(self.file)

    def error(self, scheme: Scheme, snr: ArrayLike, symbols: Length) -> Floats:
        """Probability that a transport block is lost (any shapes that broadcast)."""
        ratio = non_negative("a linear SNR", snr)
        rows = self.load().get(scheme.number)
        parts = code_blocks(symbols * scheme.efficiency, scheme.code_rate)
        if rows is None:
            return np.ones(np.broadcast_shapes(ratio.shape, parts.shape))
        snr_db = 10.0 * np.log10(np.maximum(ratio, 1e-300))
        bler = 10.0 ** np.interp(snr_db, rows[0], np.log10(np.maximum(rows[1], _RAREST)))
        return transport_block_error(np.where(snr_db < rows[0][0] - _EDGE_DB, 1.0, bler), parts)


AnyBler: TypeAlias = FiniteBlocklength | Table | Outage
BLER: dict[str, type[FiniteBlocklength] | type[Table] | type[Outage]] = {
    "finite_blocklength": FiniteBlocklength,
    "table": Table,
    "outage": Outage,
}
