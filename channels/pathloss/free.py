"""Path loss without buildings: free space, a power law of the distance, and two rays over flat ground.

Know distances and a carrier; no line of sight, no shadowing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import SPEED_OF_LIGHT_MPS, Floats, non_negative, positive
from channels.options import Options
from channels.pathloss.base import Validity
from channels.units import Decibels, Metres, Quantity

_NEAREST_M = 1.0


@dataclass(frozen=True)
class FreeSpace(Options):
    """Path loss in free space: nothing but the spreading of the wave.

    Formula
    -------
    With distance d in m, carrier f in Hz and c = 299 792 458 m/s::

        PL = 20 lg(4 pi d f / c)

    d is the horizontal distance, heights play no part.

    Validity
    --------
    Free sight well above the ground, in the far field of the antennas. Nearer than 1 m the loss is that at 1 m.

    Source
    ------
    ITU-R P.525; Friis 1946.
    """

    kind: Literal["free_space"] = "free_space"

    @property
    def validity(self) -> Validity:
        """From 1 m on."""
        return Validity(distance_m=(_NEAREST_M, math.inf))

    def path_loss_db(self, distance_m: ArrayLike, carrier_hz: float) -> Floats:
        """Loss in dB at horizontal distances in m (any shape); ValueError for one below 0 or not finite."""
        return free_space_db(np.maximum(non_negative("a distance in m", distance_m), _NEAREST_M), carrier_hz)


@dataclass(frozen=True, kw_only=True)
class LogDistance(Options):
    """Path loss that grows by the same number of dB with every tenfold distance.

    Formula
    -------
    With distance d, reference distance d0 and exponent n::

        PL = PL0 + 10 n lg(d / d0),    PL0 = 20 lg(4 pi d0 fc / c) unless given

    c = 299 792 458 m/s; d is the horizontal distance, heights play no part.

    Validity
    --------
    From d0 on, in the far field of the antennas; nearer than d0 the loss is that at d0. Exponent 2 without a
    reference loss of one's own is free space at every distance from d0 on.

    Source
    ------
    Goldsmith, *Wireless Communications*, section 2.6; the free-space loss at d0 is Friis 1946, ITU-R P.525.

    Options
    -------
    exponent : How fast the signal fades with distance: 2 in free space, 2.7 to 3.5 in cities, 4 to 6 inside
        buildings with obstructions.
    reference_distance_m : The distance d0 from which the formula counts.
    reference_loss_db : The loss PL0 at d0; left out, the free-space loss there.
    """

    kind: Literal["log_distance"] = "log_distance"
    exponent: Annotated[float, Quantity("1", gt=0, le=10, example="3.5")]
    reference_distance_m: Metres = 1.0
    reference_loss_db: Decibels | None = None

    @property
    def validity(self) -> Validity:
        """From the reference distance on."""
        return Validity(distance_m=(self.reference_distance_m, math.inf))

    def path_loss_db(self, distance_m: ArrayLike, carrier_hz: float) -> Floats:
        """Loss in dB at horizontal distances in m (any shape); ValueError for one below 0 or not finite."""
        distance = np.maximum(non_negative("a distance in m", distance_m), self.reference_distance_m)
        reference = self.reference_loss_db
        if reference is None:
            reference = float(free_space_db(self.reference_distance_m, carrier_hz))
        return np.asarray(reference + 10.0 * self.exponent * np.log10(distance / self.reference_distance_m))


@dataclass(frozen=True)
class TwoRay(Options):
    """Path loss over flat ground: free space up to a crossover distance, from there on the fourth power.

    Formula
    -------
    With distance d, heights h_BS and h_UT, carrier f in Hz and c = 299 792 458 m/s::

        PL = 20 lg(4 pi d f / c)           d <= d_c = 4 pi h_BS h_UT f / c
             40 lg d - 20 lg(h_BS h_UT)    d > d_c

    d is the horizontal distance; the two lines meet at d_c. Beyond it the ray off the ground, in opposite phase,
    takes most of the direct one away, and the carrier no longer matters.

    Validity
    --------
    Flat, open ground and antennas that are low against the distance. The ripple of the two rays before d_c is left
    out, so that the loss never falls with distance. Nearer than 1 m the loss is that at 1 m.

    Source
    ------
    Rappaport, *Wireless Communications*, section 4.6 (ground reflection); the crossover as in ns-2 and ns-3
    (TwoRayGroundPropagationLossModel).

    Options
    -------
    base_station_height_m : Height of the base station's antenna above ground. Higher: the crossover is further out.
    client_height_m : Height of the client's antenna above ground.
    """

    kind: Literal["two_ray"] = "two_ray"
    base_station_height_m: Metres = 25.0
    client_height_m: Metres = 1.5

    @property
    def validity(self) -> Validity:
        """From 1 m on."""
        return Validity(distance_m=(_NEAREST_M, math.inf))

    def path_loss_db(self, distance_m: ArrayLike, carrier_hz: float) -> Floats:
        """Loss in dB at horizontal distances in m (any shape); ValueError for one below 0 or not finite."""
        distance = np.maximum(non_negative("a distance in m", distance_m), _NEAREST_M)
        heights = self.base_station_height_m * self.client_height_m
        beyond = 40.0 * np.log10(distance) - 20.0 * math.log10(heights)
        free = free_space_db(distance, carrier_hz)
        return np.asarray(np.where(distance <= self.crossover_m(carrier_hz), free, beyond))

    def crossover_m(self, carrier_hz: float) -> float:
        """Horizontal distance in m from which the ground takes over."""
        wavelength_m = SPEED_OF_LIGHT_MPS / positive("carrier_hz", carrier_hz)
        return 4.0 * math.pi * self.base_station_height_m * self.client_height_m / wavelength_m


def free_space_db(distance_m: ArrayLike, carrier_hz: float) -> Floats:
    """Free-space loss 20 lg(4 pi d f / c) in dB, d above 0 in m, f in Hz (ITU-R P.525; Friis 1946)."""
    distance = np.asarray(distance_m, dtype=np.float64)
    if not np.all((distance > 0.0) & (distance < np.inf)):
        raise ValueError("a free-space distance in m must be finite and above 0")
    turns = distance * positive("carrier_hz", carrier_hz) / SPEED_OF_LIGHT_MPS
    return np.asarray(20.0 * np.log10(4.0 * np.pi * turns))
