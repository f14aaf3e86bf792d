"""Adaptive modulation and coding: the CQI that the receiver last reported sets the rate, and blocks may be lost.

Knows one link; which block is lost, and what happens then, stands in `channels.harq`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, non_negative
from channels.bler import CQI_TABLE_1, AnyBler, FiniteBlocklength
from channels.options import OneOf, OptionError, Options
from channels.ratecurve import Plan
from channels.thresholds import Thresholds, thresholds
from channels.units import Delay, Quantity

REFERENCE_SYMBOLS = 1000.0  # of a block where none is given: six resource blocks for a millisecond, less overhead
_GRID_DB, _GAPS_DB = 0.1, np.arange(0.0, 15.0, 0.01)  # of the fit that planning takes


@dataclass(frozen=True)
class Cqi(Options):
    """Modulation and code rate from the CQI table, by the SNR of a while ago; blocks may be lost.

    Each slot carries one transport block. Its rate is that of the highest CQI that keeps the target BLER at the SNR
    which was measured `delay` before, plus the offset of the outer loop. Below CQI 1 nothing is sent. Whether the block
    comes through is drawn with its BLER at the SNR that it meets, and the radio's retransmission says what happens if
    not. Where the band is frequency selective the effective SNR (EESM) stands for its SNRs.

    Formula
    -------
    efficiency = Qm R bit/s/Hz, CQI 1 to 15: 0.1523 0.2344 0.3770 0.6016 0.8770 1.1758 (QPSK) 1.4766 1.9141 2.4063
    (16QAM) 2.7305 3.3223 3.9023 4.5234 5.1152 5.5547 (64QAM).

    Outer loop: after the first transmission of a block the offset falls by `step` if it was lost, else it rises by
    step target / (1 - target), so that it rests where a share `target` is lost. It stays within 10 dB of 0 and never
    silences a link that reports CQI 1. From transfer to transfer one is kept for each client's uploads, and one for all
    broadcasts, whichever clients they go to.

    Validity
    --------
    One spatial layer, up to 64QAM. Reports and feedback are free of error and take no band. A slot counts as
    bandwidth x time symbols less the overhead; bits are not rounded to the sizes of TS 38.214. A block is a slot's part
    of a grant: when the grant changes, the block under way is given up and begins anew. Schedules plan with the curve
    (1 - target) min(log2(1 + snr / gap) a, 5.5547), a and gap fitted by least squares to the table from CQI 1 to 15 at
    blocks of 1000 symbols; over fading it is an upper bound near the cap.

    Source
    ------
    3GPP TS 38.214, table 5.2.2.1-2; the outer loop: Sampath, Kumar and Holtzman 1997, Proc. IEEE VTC, 929-933.

    Options
    -------
    target : Share of first transmissions that may be lost; 10 % is usual. Smaller: slower, and fewer blocks lost.
    delay_s : Age of the SNR by which the rate is set, rounded up to whole slots. Larger: under fading more blocks are
        lost, and more rate is given away.
    outer_loop : Whether an offset, moved by what was lost, corrects the choice.
    step_db : How far the offset falls after a lost block. Larger: quicker to adapt, and less steady.
    bler : How block errors depend on SNR.
    """

    kind: Literal["cqi"] = "cqi"
    target: Annotated[float, Quantity("1", ge=1e-6, le=0.9)] = 0.1
    delay_s: Delay = 4e-3
    outer_loop: bool = True
    step_db: Annotated[float, Quantity("dB", ge=1e-3, le=10, example="0.5 dB")] = 0.5
    bler: Annotated[AnyBler, OneOf()] = FiniteBlocklength()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.step_db * self.target / (1.0 - self.target) > 10.0:
            raise OptionError("Cqi", "step_db", "must be smaller: with this target, one block would lift the offset by "
                              f"{self.step_db * self.target / (1.0 - self.target):.3g} dB, above 10 dB")  # fmt: skip

    @property
    def always_met(self) -> bool:
        """False: the SNR may have changed, and a block may be lost."""
        return False

    @property
    def thresholds(self) -> Thresholds:
        """The SNR from which on each CQI keeps the target."""
        return thresholds(self.bler, CQI_TABLE_1, self.target)

    def cqi(self, snr: ArrayLike, symbols: float = REFERENCE_SYMBOLS) -> Floats:
        """The highest CQI (0 to 15, any shape) that keeps the target at linear SNR, in blocks of so many symbols."""
        ratio = non_negative("a linear SNR", snr)
        least = 10.0 ** (self.thresholds.snr_db([symbols])[0] / 10.0)
        number = np.arange(1, len(CQI_TABLE_1) + 1)
        return np.asarray(np.where(ratio[..., None] >= least, number, 0).max(-1))

    def efficiency(self, snr: ArrayLike, direction: str = "up") -> Floats:
        """Bit/s/Hz that the CQI at linear SNR (any shape) carries, lost blocks not taken off; 1000-symbol blocks."""
        rates = np.array([0.0, *(scheme.efficiency for scheme in CQI_TABLE_1)])
        return np.asarray(rates[self.cqi(snr)])

    def snr_for(self, efficiency: ArrayLike, direction: str = "up") -> Floats:
        """Smallest linear SNR whose CQI carries bit/s/Hz (any shape); infinite above CQI 15."""
        wanted = non_negative("an efficiency", efficiency)
        with np.errstate(over="ignore"):
            least = 10.0 ** (self.thresholds.snr_db([REFERENCE_SYMBOLS])[0] / 10.0)
        carries = np.array([scheme.efficiency for scheme in CQI_TABLE_1]) >= wanted[..., None]
        return np.asarray(np.where(wanted > 0.0, np.where(carries, least, np.inf).min(-1), 0.0))

    def plan(self, direction: str = "up") -> Plan:
        """The fitted curve that the class docstring describes."""
        return _fit(self.bler, self.target, getattr(self.bler, "stamp", ()))


@lru_cache(maxsize=64)
def _fit(bler: AnyBler, target: float, stamp: tuple[int, ...]) -> Plan:
    """The curve a log2(1 + snr / gap) that is nearest to the staircase between its first and its last step."""
    table = Cqi(target=target, bler=bler)
    steps_db = table.thresholds.snr_db([REFERENCE_SYMBOLS])[0]
    steps_db = steps_db[np.isfinite(steps_db)]
    cap = float(table.efficiency(10.0 ** (steps_db.max(initial=0.0) / 10.0)))
    if steps_db.size == 0 or cap == 0.0:  # no SNR will do
        return Plan(1e-9, 1.0, 1e-9)
    snr_db = np.arange(steps_db.min(), max(steps_db.max(), steps_db.min() + 1.0), _GRID_DB)
    stairs = table.efficiency(10.0 ** (snr_db / 10.0))
    curves = np.log2(1.0 + 10.0 ** ((snr_db - _GAPS_DB[:, None]) / 10.0))
    scales = curves @ stairs / (curves**2).sum(axis=1)
    errors = ((scales[:, None] * curves - stairs) ** 2).sum(axis=1)
    best = int(errors.argmin())
    good = 1.0 - target
    return Plan(good * float(scales[best]), float(10.0 ** (_GAPS_DB[best] / 10.0)), good * cap)
