"""Path loss of 3GPP TR 38.901 outdoors: urban macro and micro cells, rural macro cells.

Know horizontal distances, heights and a carrier; the state of a client's line of sight is drawn elsewhere.
"""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, non_negative
from channels.pathloss.base import State, Tabled, Validity
from channels.units import Quantity

_SPEED_OF_LIGHT_MPS = 3.0e8  # the round figure of the TR's breakpoints; the exact one moves PL2 by 0.006 dB
_NEAREST_M = 10.0
_BaseStationHeight = Annotated[float, Quantity("m", gt=1, le=1e4)]
_ENVIRONMENT_HEIGHT_M = 1.0  # h_E, in UMi always, in UMa for a client below 13 m


def _lg_3d(distance: Floats, drop_m: float) -> Floats:
    return np.asarray(0.5 * np.log10(np.maximum(distance, _NEAREST_M) ** 2 + drop_m**2))


@dataclass(frozen=True)
class _City(Tabled, ABC):
    """What the urban models share: their range, the breakpoint, two slopes that join there, and the form of P_LOS.

    Options
    -------
    base_station_height_m : Height of the base station's antenna above ground.
    client_height_m : Height of the client's antenna above ground.
    """

    kind: str = ""
    base_station_height_m: _BaseStationHeight = 25.0
    client_height_m: float = 1.5

    _near_db: ClassVar[tuple[float, float]]  # offset, and slope a decade, before the breakpoint
    _decay_m: ClassVar[float]  # of P_LOS

    @property
    def validity(self) -> Validity:
        """10 m to 5 km, 0.5 to 100 GHz."""
        return Validity((10.0, 5e3), (0.5e9, 100e9))

    @property
    def los_correlation_distance_m(self) -> float:
        """50 m."""
        return 50.0

    def los_probability(self, distance_m: ArrayLike) -> Floats:
        """P_LOS at horizontal distances in m (any shape)."""
        distance = np.maximum(non_negative("a distance in m", distance_m), 18.0)
        return np.asarray(18.0 / distance + np.exp(-distance / self._decay_m) * (1.0 - 18.0 / distance))

    def breakpoint_m(self, carrier_hz: float) -> float:
        """Horizontal distance in m beyond which the line-of-sight exponent is 4 (Note 1 of the table)."""
        base, client = (h - _ENVIRONMENT_HEIGHT_M for h in (self.base_station_height_m, self.client_height_m))
        return 4.0 * base * client * carrier_hz / _SPEED_OF_LIGHT_MPS

    @property
    def _drop_m(self) -> float:
        return self.base_station_height_m - self.client_height_m

    def _clear_db(self, distance: Floats, carrier_hz: float) -> Floats:
        breakpoint_m, (offset_db, slope) = self.breakpoint_m(carrier_hz), self._near_db
        lg_3d, lg_carrier = _lg_3d(distance, self._drop_m), np.log10(carrier_hz / 1e9)
        near = offset_db + slope * lg_3d + 20.0 * lg_carrier
        # The TR writes 9 and 9.5 for half of what the slopes differ by.
        joint = 0.5 * (40.0 - slope) * np.log10(breakpoint_m**2 + self._drop_m**2)
        far = offset_db + 40.0 * lg_3d + 20.0 * lg_carrier - joint
        return np.asarray(np.where(np.maximum(distance, _NEAREST_M) <= breakpoint_m, near, far))


@dataclass(frozen=True)
class UMa(_City):
    """Path loss of an urban macro cell, 3GPP TR 38.901.

    The base station stands above the roofs, the clients are in the street.

    Formula
    -------
    With d3D = sqrt(d2D^2 + (h_BS - h_UT)^2), distances and heights in m, fc in GHz::

        LOS   PL1 = 28 + 22 lg d3D + 20 lg fc                                      d2D <= d_BP
              PL2 = 28 + 40 lg d3D + 20 lg fc - 9 lg(d_BP^2 + (h_BS - h_UT)^2)     d2D > d_BP
              d_BP = 4 (h_BS - 1 m)(h_UT - 1 m) fc[Hz] / 3e8 m/s
        NLOS  max(LOS, 13.54 + 39.08 lg d3D + 20 lg fc - 0.6 (h_UT - 1.5))
        P_LOS = 1 up to 18 m, then 18 / d2D + exp(-d2D / 63) (1 - 18 / d2D)

    Validity
    --------
    10 m <= d2D <= 5 km, 0.5 GHz <= fc <= 100 GHz, 1.5 m <= h_UT < 13 m (above that the TR draws the environment
    height at random, which this model does not), and stated for h_BS = 25 m. Outside: nearer than 10 m the loss is
    that at 10 m; beyond 5 km and at other carriers the formula is continued.

    Source
    ------
    3GPP TR 38.901, clauses 7.4.1 and 7.4.2, Tables 7.4.1-1 and 7.4.2-1; the correlation distance of the state,
    50 m, Table 7.6.3.1-2; the shadowing of ``by_sight`` Tables 7.4.1-1 and 7.5-6. The breakpoint d_BP uses the TR's
    3.0e8 m/s.

    Options
    -------
    base_station_height_m : Height of the base station's antenna above ground.
    client_height_m : Height of the client's antenna above ground: 1.5 m for a phone in the hand.
    """

    kind: Literal["uma"] = "uma"
    base_station_height_m: _BaseStationHeight = 25.0
    client_height_m: Annotated[float, Quantity("m", ge=1.5, lt=13)] = 1.5

    _near_db: ClassVar[tuple[float, float]] = (28.0, 22.0)
    _decay_m: ClassVar[float] = 63.0

    @property
    def _shadowing(self) -> Mapping[State, tuple[float, float]]:
        return {"los": (4.0, 37.0), "nlos": (6.0, 50.0), "indoor": (7.0, 7.0)}

    def _blocked_db(self, distance: Floats, carrier_hz: float) -> Floats:
        lg_3d = _lg_3d(distance, self._drop_m)
        lg_carrier = np.log10(carrier_hz / 1e9)
        return np.asarray(13.54 + 39.08 * lg_3d + 20.0 * lg_carrier - 0.6 * (self.client_height_m - 1.5))


@dataclass(frozen=True)
class UMi(_City):
    """Path loss of an urban micro cell in a street canyon, 3GPP TR 38.901.

    The base station hangs below the roofs, on a lamp post or a wall.

    Formula
    -------
    With d3D = sqrt(d2D^2 + (h_BS - h_UT)^2), distances and heights in m, fc in GHz::

        LOS   PL1 = 32.4 + 21 lg d3D + 20 lg fc                                       d2D <= d_BP
              PL2 = 32.4 + 40 lg d3D + 20 lg fc - 9.5 lg(d_BP^2 + (h_BS - h_UT)^2)    d2D > d_BP
              d_BP = 4 (h_BS - 1 m)(h_UT - 1 m) fc[Hz] / 3e8 m/s
        NLOS  max(LOS, 22.4 + 35.3 lg d3D + 21.3 lg fc - 0.3 (h_UT - 1.5))
        P_LOS = 1 up to 18 m, then 18 / d2D + exp(-d2D / 36) (1 - 18 / d2D)

    Validity
    --------
    10 m <= d2D <= 5 km, 0.5 GHz <= fc <= 100 GHz, 1.5 m <= h_UT <= 22.5 m, stated for h_BS = 10 m. Outside: nearer
    than 10 m the loss is that at 10 m; beyond 5 km and at other carriers the formula is continued.

    Source
    ------
    3GPP TR 38.901, clauses 7.4.1 and 7.4.2, Tables 7.4.1-1 and 7.4.2-1 (UMi, street canyon); the correlation
    distance of the state, 50 m, Table 7.6.3.1-2; the shadowing of ``by_sight`` Tables 7.4.1-1 and 7.5-6. The breakpoint
    d_BP uses the TR's 3.0e8 m/s.

    Options
    -------
    base_station_height_m : Height of the base station's antenna above the street.
    client_height_m : Height of the client's antenna above the street.
    """

    kind: Literal["umi"] = "umi"
    base_station_height_m: _BaseStationHeight = 10.0
    client_height_m: Annotated[float, Quantity("m", ge=1.5, le=22.5)] = 1.5

    _near_db: ClassVar[tuple[float, float]] = (32.4, 21.0)
    _decay_m: ClassVar[float] = 36.0

    @property
    def _shadowing(self) -> Mapping[State, tuple[float, float]]:
        return {"los": (4.0, 10.0), "nlos": (7.82, 13.0), "indoor": (7.0, 7.0)}

    def _blocked_db(self, distance: Floats, carrier_hz: float) -> Floats:
        lg_3d = _lg_3d(distance, self._drop_m)
        lg_carrier = np.log10(carrier_hz / 1e9)
        return np.asarray(22.4 + 35.3 * lg_3d + 21.3 * lg_carrier - 0.3 * (self.client_height_m - 1.5))


@dataclass(frozen=True)
class RMa(Tabled):
    """Path loss of a rural macro cell, 3GPP TR 38.901: large cells between low houses.

    Formula
    -------
    With d3D = sqrt(d2D^2 + (h_BS - h_UT)^2), distances and heights in m, h of the houses, W of the street, fc in
    GHz::

        LOS   PL1(d) = 20 lg(40 pi d fc / 3) + min(0.03 h^1.72, 10) lg d
                       - min(0.044 h^1.72, 14.77) + 0.002 lg(h) d         at d = d3D, d2D <= d_BP
              PL2 = PL1(d_BP) + 40 lg(d3D / d_BP)                         d2D > d_BP
              d_BP = 2 pi h_BS h_UT fc[Hz] / 3e8 m/s
        NLOS  max(LOS, 161.04 - 7.1 lg W + 7.5 lg h - (24.37 - 3.7 (h / h_BS)^2) lg h_BS
                  + (43.42 - 3.1 lg h_BS)(lg d3D - 3) + 20 lg fc - (3.2 (lg 11.75 h_UT)^2 - 4.97))
        P_LOS = 1 up to 10 m, then exp(-(d2D - 10) / 1000)

    Validity
    --------
    10 m <= d2D <= 10 km with and 5 km without line of sight, 0.5 GHz <= fc <= 30 GHz. Outside: nearer than 10 m the
    loss is that at 10 m; further out and at other carriers the formula is continued. At d_BP the TR's formula jumps
    by less than 0.05 dB; where it would jump down, the loss stays level until it has caught up.

    Source
    ------
    3GPP TR 38.901, clauses 7.4.1 and 7.4.2, Tables 7.4.1-1 and 7.4.2-1; the correlation distance of the state,
    60 m, Table 7.6.3.1-2; the shadowing of ``by_sight`` Tables 7.4.1-1 and 7.5-6. The breakpoint d_BP uses the TR's
    3.0e8 m/s and is put into PL1 as a distance d3D.

    Options
    -------
    base_station_height_m : Height of the base station's antenna above ground.
    client_height_m : Height of the client's antenna above ground.
    building_height_m : Mean height h of the houses. Higher: more loss.
    street_width_m : Mean width W of the streets. Wider: less loss without line of sight.
    """

    kind: Literal["rma"] = "rma"
    base_station_height_m: Annotated[float, Quantity("m", ge=10, le=150)] = 35.0
    client_height_m: Annotated[float, Quantity("m", ge=1, le=10)] = 1.5
    building_height_m: Annotated[float, Quantity("m", ge=5, le=50)] = 5.0
    street_width_m: Annotated[float, Quantity("m", ge=5, le=50)] = 20.0

    @property
    def validity(self) -> Validity:
        """10 m to 10 km, or to 5 km where some have no line of sight; 0.5 to 30 GHz."""
        return Validity((10.0, 10e3 if self.line_of_sight == "always" else 5e3), (0.5e9, 30e9))

    @property
    def los_correlation_distance_m(self) -> float:
        """60 m."""
        return 60.0

    def los_probability(self, distance_m: ArrayLike) -> Floats:
        """P_LOS at horizontal distances in m (any shape)."""
        distance = np.maximum(non_negative("a distance in m", distance_m), 10.0)
        return np.asarray(np.exp(-(distance - 10.0) / 1000.0))

    def breakpoint_m(self, carrier_hz: float) -> float:
        """Horizontal distance in m beyond which the line-of-sight exponent is 4 (Note 5 of the table)."""
        return 2.0 * math.pi * self.base_station_height_m * self.client_height_m * carrier_hz / _SPEED_OF_LIGHT_MPS

    def shadowing_std_db(self, distance_m: ArrayLike, carrier_hz: float, state: State) -> Floats:
        """Standard deviation of the level in dB: with line of sight it is 6 dB from the breakpoint on."""
        near = super().shadowing_std_db(distance_m, carrier_hz, state)
        beyond = (np.asarray(distance_m) >= self.breakpoint_m(carrier_hz)) & (state == "los")
        return np.asarray(np.where(beyond, 6.0, near))

    @property
    def _shadowing(self) -> Mapping[State, tuple[float, float]]:
        return {"los": (4.0, 37.0), "nlos": (8.0, 120.0), "indoor": (8.0, 120.0)}

    def _clear_db(self, distance: Floats, carrier_hz: float) -> Floats:
        drop_m = self.base_station_height_m - self.client_height_m
        distance_3d, breakpoint_m = 10.0 ** _lg_3d(distance, drop_m), self.breakpoint_m(carrier_hz)
        before = self._before_db(distance_3d, carrier_hz)
        after = self._before_db(breakpoint_m, carrier_hz) + 40.0 * np.log10(distance_3d / breakpoint_m)
        edge = self._before_db(math.hypot(breakpoint_m, drop_m), carrier_hz)
        return np.asarray(np.where(np.maximum(distance, _NEAREST_M) <= breakpoint_m, before, np.maximum(after, edge)))

    def _before_db(self, distance_3d: Floats | float, carrier_hz: float) -> Floats:
        """PL1."""
        power = self.building_height_m**1.72
        free = 20.0 * np.log10(40.0 * math.pi * distance_3d * (carrier_hz / 1e9) / 3.0)
        houses = min(0.03 * power, 10.0) * np.log10(distance_3d) - min(0.044 * power, 14.77)
        return np.asarray(free + houses + 0.002 * math.log10(self.building_height_m) * distance_3d)

    def _blocked_db(self, distance: Floats, carrier_hz: float) -> Floats:
        lg_3d = _lg_3d(distance, self.base_station_height_m - self.client_height_m)
        lg_base, share = math.log10(self.base_station_height_m), self.building_height_m / self.base_station_height_m
        street = 161.04 - 7.1 * math.log10(self.street_width_m) + 7.5 * math.log10(self.building_height_m)
        roofs = (24.37 - 3.7 * share**2) * lg_base
        client = 3.2 * math.log10(11.75 * self.client_height_m) ** 2 - 4.97
        way = (43.42 - 3.1 * lg_base) * (lg_3d - 3.0) + 20.0 * np.log10(carrier_hz / 1e9)
        return np.asarray(street - roofs + way - client)
