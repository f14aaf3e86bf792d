"""Path loss: how much weaker the signal is after a distance, on average over place and time.

Knows no shadowing, no antennas and no bandwidth. Loss in dB, positive, larger is weaker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import SPEED_OF_LIGHT_MPS, Floats, non_negative, positive
from channels.options import Options
from channels.units import Decibels, Metres, Quantity

_TR_38901_SPEED_OF_LIGHT_MPS = 3.0e8  # the round figure of the TR's breakpoint; the exact one moves PL2 by 0.006 dB
_UMA_NEAREST_M = 10.0
_UMA_ENVIRONMENT_HEIGHT_M = 1.0  # h_E for a client below 13 m


class PathLoss(Protocol):
    """What a path loss model must do.

    1. It is a frozen dataclass derived from `Options`; its first field is ``kind``, its other fields are its
       options.
    2. ``path_loss_db(distance_m, carrier_hz)`` takes horizontal distances of any shape and returns float64 of
       that shape: the loss in dB between isotropic antennas, finite, not falling with distance.
    3. It is a pure function: no random numbers, no state. Shadowing is another model's work.
    4. A distance that is NaN, infinite or negative raises ValueError. Distance 0 is legal: state in the
       docstring at which distance the formula is held.
    5. The docstring is a model card: formula, symbols with units, source and clause, where it is valid, and
       what happens outside.
    6. It stands in `PATH_LOSS` under its kind.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    def path_loss_db(self, distance_m: ArrayLike, carrier_hz: float) -> Floats:
        """Loss in dB at each distance."""
        ...


@dataclass(frozen=True)
class UMa(Options):
    """Path loss of an urban macro cell, 3GPP TR 38.901.

    The base station stands above the roofs, the clients are in the street.

    Formula
    -------
    With d3D = sqrt(d2D^2 + (h_BS - h_UT)^2), distances and heights in m, fc in GHz::

        LOS   PL1 = 28 + 22 lg d3D + 20 lg fc                                      d2D <= d_BP
              PL2 = 28 + 40 lg d3D + 20 lg fc - 9 lg(d_BP^2 + (h_BS - h_UT)^2)     d2D > d_BP
              d_BP = 4 (h_BS - 1 m)(h_UT - 1 m) fc[Hz] / 3e8 m/s
        NLOS  max(LOS, 13.54 + 39.08 lg d3D + 20 lg fc - 0.6 (h_UT - 1.5))

    Validity
    --------
    10 m <= d2D <= 5 km, 0.5 GHz <= fc <= 100 GHz, 1.5 m <= h_UT < 13 m (above that the TR draws the environment
    height at random, which this model does not), and stated for h_BS = 25 m. Outside: nearer than 10 m the loss is
    that at 10 m; beyond 5 km and at other carriers the formula is continued.

    Source
    ------
    3GPP TR 38.901, clause 7.4.1, Table 7.4.1-1. The breakpoint d_BP uses the TR's 3.0e8 m/s.

    Options
    -------
    line_of_sight : Whether clients see the base station, the same for all clients at all times. Without line of
        sight (``never``, a street between houses) the loss is larger.
    base_station_height_m : Height of the base station's antenna above ground.
    client_height_m : Height of the client's antenna above ground: 1.5 m for a phone in the hand.
    """

    kind: Literal["uma"] = "uma"
    line_of_sight: Literal["always", "never"] = "never"
    base_station_height_m: Annotated[float, Quantity("m", gt=1, le=1e4)] = 25.0
    client_height_m: Annotated[float, Quantity("m", ge=1.5, lt=13)] = 1.5

    def path_loss_db(self, distance_m: ArrayLike, carrier_hz: float) -> Floats:
        """Loss in dB at horizontal distances in m (any shape); ValueError for one below 0 or not finite."""
        distance = np.maximum(non_negative("a distance in m", distance_m), _UMA_NEAREST_M)
        carrier = positive("carrier_hz", carrier_hz)
        drop_m = self.base_station_height_m - self.client_height_m
        lg_3d = 0.5 * np.log10(distance**2 + drop_m**2)
        lg_carrier = np.log10(carrier / 1e9)
        breakpoint_m = self.breakpoint_m(carrier)
        near = 28.0 + 22.0 * lg_3d + 20.0 * lg_carrier
        far = 28.0 + 40.0 * lg_3d + 20.0 * lg_carrier - 9.0 * np.log10(breakpoint_m**2 + drop_m**2)
        loss = np.where(distance <= breakpoint_m, near, far)
        if self.line_of_sight == "never":
            blocked = 13.54 + 39.08 * lg_3d + 20.0 * lg_carrier - 0.6 * (self.client_height_m - 1.5)
            loss = np.maximum(loss, blocked)
        return np.asarray(loss)

    def breakpoint_m(self, carrier_hz: float) -> float:
        """Horizontal distance in m beyond which the line-of-sight exponent is 4 (Note 1 of the table)."""
        base = self.base_station_height_m - _UMA_ENVIRONMENT_HEIGHT_M
        client = self.client_height_m - _UMA_ENVIRONMENT_HEIGHT_M
        return 4.0 * base * client * carrier_hz / _TR_38901_SPEED_OF_LIGHT_MPS


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
    exponent: Annotated[float, Quantity("1", gt=0, le=10)]
    reference_distance_m: Metres = 1.0
    reference_loss_db: Decibels | None = None

    def path_loss_db(self, distance_m: ArrayLike, carrier_hz: float) -> Floats:
        """Loss in dB at horizontal distances in m (any shape); ValueError for one below 0 or not finite."""
        distance = np.maximum(non_negative("a distance in m", distance_m), self.reference_distance_m)
        reference = self.reference_loss_db
        if reference is None:
            reference = float(free_space_db(self.reference_distance_m, carrier_hz))
        return np.asarray(reference + 10.0 * self.exponent * np.log10(distance / self.reference_distance_m))


def free_space_db(distance_m: ArrayLike, carrier_hz: float) -> Floats:
    """Free-space loss 20 lg(4 pi d f / c) in dB, d above 0 in m, f in Hz (ITU-R P.525; Friis 1946)."""
    distance = np.asarray(distance_m, dtype=np.float64)
    if not np.all((distance > 0.0) & (distance < np.inf)):
        raise ValueError("a free-space distance in m must be finite and above 0")
    turns = distance * positive("carrier_hz", carrier_hz) / SPEED_OF_LIGHT_MPS
    return np.asarray(20.0 * np.log10(4.0 * np.pi * turns))


PATH_LOSS: dict[str, type[UMa] | type[LogDistance]] = {"uma": UMa, "log_distance": LogDistance}
