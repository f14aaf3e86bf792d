"""From SNR to rate: Shannon's formula with a gap, the same with a cap, and the CQI table with its block errors.

Knows neither bandwidth nor time: it answers which spectral efficiency an SNR carries, and which SNR it takes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, non_negative
from channels.cqi import Cqi
from channels.options import Options
from channels.ratecurve import Plan
from channels.units import PositiveDecibels, Quantity

Direction: TypeAlias = Literal["up", "down"]
Efficiency = Annotated[float, Quantity("1", ge=1e-3, le=100, example="4.4")]
Share = Annotated[float, Quantity("1", ge=1e-3, le=1)]

_LN2 = math.log(2.0)


class LinkAdaptation(Protocol):
    """What a rate model must do.

    1. It is a frozen dataclass derived from `Options`; its first field is ``kind``.
    2. ``efficiency(snr, direction)`` takes linear SNR of any shape, at least 0, and returns bit/s/Hz: 0 at 0, never
       falling. Errors and repetitions are not taken off.
    3. It is a pure function. A SNR that is NaN, infinite or negative raises ValueError.
    4. The docstring is a model card. 5. It stands in `LINK_ADAPTATION` under its kind.
    6. ``snr_for(efficiency, direction)`` is its inverse: the smallest linear SNR that carries an efficiency, 0 for 0,
       infinite above the largest. A bad efficiency raises ValueError as a bad SNR does.
    7. ``plan(direction)`` is what schedules plan with: min(scale log2(1 + snr / gap), cap), which is concave.
    8. ``always_met`` says whether every bit sent at this rate comes through.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    @property
    def always_met(self) -> bool:
        """Whether the sender knows the SNR when it sets the rate, so that no block is lost."""
        ...

    def efficiency(self, snr: ArrayLike, direction: Direction = "up") -> Floats:
        """Spectral efficiency in bit/s/Hz."""
        ...

    def snr_for(self, efficiency: ArrayLike, direction: Direction = "up") -> Floats:
        """The smallest linear SNR that carries an efficiency."""
        ...

    def plan(self, direction: Direction = "up") -> Plan:
        """What schedules plan with."""
        ...


@dataclass(frozen=True)
class Shannon(Options):
    """Capacity of the Gaussian channel at an SNR reduced by a gap.

    Formula
    -------
    efficiency = log2(1 + snr / gap) in bit/s/Hz.

    Validity
    --------
    Where the sender knows the SNR when it sets the rate and always meets it, so no block error comes on top. There is
    no largest modulation: above about 25 dB the rate is optimistic.

    Source
    ------
    Shannon 1948; the gap: Goldsmith, *Wireless Communications*, section 9.3.

    Options
    -------
    gap_db : How much SNR practical coding and modulation give away: 0 dB is capacity itself, 3 dB a good code.
        Larger: slower.
    """

    kind: Literal["shannon"] = "shannon"
    gap_db: PositiveDecibels = 3.0

    @property
    def gap(self) -> float:
        """The gap as a ratio."""
        return float(10.0 ** (self.gap_db / 10.0))

    @property
    def always_met(self) -> bool:
        """True."""
        return True

    def efficiency(self, snr: ArrayLike, direction: Direction = "up") -> Floats:
        """Bit/s/Hz at linear SNR (any shape); ValueError for SNR below 0 or not finite."""
        return np.asarray(np.log1p(non_negative("a linear SNR", snr) / self.gap) / _LN2)

    def snr_for(self, efficiency: ArrayLike, direction: Direction = "up") -> Floats:
        """Linear SNR that carries bit/s/Hz (any shape); ValueError for one below 0 or not finite."""
        with np.errstate(over="ignore"):
            return np.asarray(self.gap * np.expm1(non_negative("an efficiency", efficiency) * _LN2))

    def plan(self, direction: Direction = "up") -> Plan:
        """The gap, without a cap."""
        return Plan(1.0, self.gap, math.inf)


@dataclass(frozen=True)
class TruncatedShannon(Options):
    """A share of the capacity between a lowest SNR and a largest rate, for each direction its own.

    Formula
    -------
    With the share alpha and the cap of the direction, in bit/s/Hz::

        efficiency = 0                                   for snr < floor
                     min(alpha log2(1 + snr), cap)       above

    The defaults reach the cap at 14.9 dB in the uplink (alpha 0.4, cap 2.0) and at 22.0 dB in the downlink (0.6, 4.4).

    Validity
    --------
    Where the sender knows the SNR when it sets the rate and always meets it, as with ``shannon``: no block error comes
    on top. Defaults stand for LTE with one or two antennas. Below the floor nothing is sent: who holds so wide a band
    that its power is spread below the floor sends nothing, although a narrower one would carry it. Schedules plan
    without the floor, and over fading with an upper bound near the cap (the cap of the mean, not the mean of the
    capped).

    Source
    ------
    3GPP TR 36.942, annex A.2.

    Options
    -------
    uplink_alpha : Share of the capacity that is reached in the uplink. Larger: faster.
    uplink_cap : Largest efficiency in the uplink, in bit/s/Hz. Larger: faster on strong links.
    downlink_alpha : Share of the capacity that is reached in the downlink. Larger: faster.
    downlink_cap : Largest efficiency in the downlink, in bit/s/Hz. Larger: faster on strong links.
    floor_db : SNR below which nothing is sent.
    """

    kind: Literal["truncated_shannon"] = "truncated_shannon"
    uplink_alpha: Share = 0.4
    uplink_cap: Efficiency = 2.0
    downlink_alpha: Share = 0.6
    downlink_cap: Efficiency = 4.4
    floor_db: Annotated[float, Quantity("dB", ge=-60, le=60)] = -10.0

    @property
    def always_met(self) -> bool:
        """True."""
        return True

    @property
    def floor(self) -> float:
        """The lowest SNR as a ratio."""
        return float(10.0 ** (self.floor_db / 10.0))

    def efficiency(self, snr: ArrayLike, direction: Direction = "up") -> Floats:
        """Bit/s/Hz at linear SNR (any shape); ValueError for SNR below 0 or not finite."""
        alpha, _, cap = self.plan(direction)
        ratio = non_negative("a linear SNR", snr)
        return np.asarray(np.where(ratio < self.floor, 0.0, np.minimum(alpha / _LN2 * np.log1p(ratio), cap)))

    def snr_for(self, efficiency: ArrayLike, direction: Direction = "up") -> Floats:
        """Smallest linear SNR that carries bit/s/Hz (any shape): at least the floor, infinite above the cap."""
        alpha, _, cap = self.plan(direction)
        wanted = non_negative("an efficiency", efficiency)
        snr = np.maximum(np.expm1(np.minimum(wanted, cap) / alpha * _LN2), self.floor)
        return np.asarray(np.where(wanted > cap, np.inf, np.where(wanted > 0.0, snr, 0.0)))

    def plan(self, direction: Direction = "up") -> Plan:
        """The same without the floor."""
        up = direction == "up"
        return Plan(self.uplink_alpha if up else self.downlink_alpha, 1.0, self.uplink_cap if up else self.downlink_cap)


def peak_rate_bps(
    layers: int,
    modulation_order: int,
    numerology: int,
    resource_blocks: int,
    overhead: float,
    *,
    scaling: float = 1.0,
) -> float:
    """Largest data rate of one NR carrier in bit/s, which no simulated goodput may pass (TS 38.306, clause 4.1.2).

    Formula: layers Qm scaling (948/1024) 12 N_PRB / T_s (1 - overhead), T_s = 1 ms / (14 2^numerology).

    Parameters
    ----------
    layers : int
        Spatial layers.
    modulation_order : int
        Bits of a symbol, Qm: 6 for 64QAM, 8 for 256QAM.
    numerology : int
        mu, 0 to 6: the subcarrier spacing is 15 kHz 2^mu.
    resource_blocks : int
        N_PRB, of 12 subcarriers.
    overhead : float
        Share of the symbols that carry no data, in [0, 1): 0.14 downlink and 0.08 uplink below 6 GHz (FR1), 0.18 and
        0.10 above (FR2).
    scaling : float
        The scaling factor f of the clause: 1, 0.8, 0.75 or 0.4.

    Raises
    ------
    ValueError
        An argument out of range.
    """
    for name, value, least, most in (
        ("layers", layers, 1, 8),
        ("modulation_order", modulation_order, 1, 10),
        ("numerology", numerology, 0, 6),
        ("resource_blocks", resource_blocks, 1, 275),
    ):
        if not (least <= value <= most and value == int(value)):
            raise ValueError(f"{name} must be a whole number from {least} to {most}; got {value}")
    if not 0.0 <= overhead < 1.0 or not 0.0 < scaling <= 1.0:
        raise ValueError(f"overhead must be in [0, 1) and scaling in (0, 1]; got {overhead} and {scaling}")
    symbol_s = 1e-3 / (14 * 2.0**numerology)
    bits = layers * modulation_order * scaling * (948 / 1024) * 12 * resource_blocks
    return bits / symbol_s * (1.0 - overhead)


LINK_ADAPTATION: dict[str, type[Shannon] | type[TruncatedShannon] | type[Cqi]] = {
    "shannon": Shannon,
    "truncated_shannon": TruncatedShannon,
    "cqi": Cqi,
}
