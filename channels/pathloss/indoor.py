"""Path loss inside buildings: offices and factory halls of 3GPP TR 38.901, and the site-general model of ITU-R P.1238.

Know horizontal distances, heights and a carrier; a base station and its clients are in one building.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, non_negative, positive
from channels.options import OptionError, Options
from channels.pathloss.base import State, Tabled, Validity
from channels.units import Metres, PositiveDecibels, Quantity, render

_NEAREST_3D_M = 1.0
# (without line of sight: offset, slope), TR 38.901 Table 7.4.1-1
_INF_BLOCKED = {"SL": (33.0, 25.5), "DL": (18.6, 35.7), "SH": (32.4, 23.0), "DH": (33.63, 21.9)}
# standard deviation of the shadowing without line of sight, from the same table
_INF_STD_DB = {"SL": 5.7, "DL": 7.2, "SH": 5.9, "DH": 4.0}
# Calibration halls of Table 7.8-7: clutter density, size and height by the clutter, and the height of the base station.
_INF_CLUTTER = {"S": (0.2, 10.0, 2.0), "D": (0.6, 2.0, 6.0)}
_INF_BASE_STATION_M = {"L": 1.5, "H": 8.0}


def _lg_3d(distance: Floats, drop_m: float) -> Floats:
    return np.asarray(0.5 * np.log10(np.maximum(distance**2 + drop_m**2, _NEAREST_3D_M**2)))


def _level(distance_3d_m: float, drop_m: float) -> float:
    """The horizontal distance at which antennas `drop_m` apart in height are `distance_3d_m` apart."""
    return math.sqrt(max(0.0, distance_3d_m**2 - drop_m**2))


@dataclass(frozen=True)
class InH(Tabled):
    """Path loss in an office, 3GPP TR 38.901: base station at the ceiling, clients on the desks.

    Formula
    -------
    With d3D = sqrt(d2D^2 + (h_BS - h_UT)^2) in m, fc in GHz::

        LOS   32.4 + 17.3 lg d3D + 20 lg fc
        NLOS  max(LOS, 17.3 + 38.3 lg d3D + 24.9 lg fc)
        P_LOS mixed: 1 up to 1.2 m, exp(-(d2D - 1.2) / 4.7) up to 6.5 m, then 0.32 exp(-(d2D - 6.5) / 32.6)
              open:  1 up to 5 m, exp(-(d2D - 5) / 70.8) up to 49 m, then 0.54 exp(-(d2D - 49) / 211.7)

    Validity
    --------
    1 m <= d3D <= 150 m, 0.5 GHz <= fc <= 100 GHz. Outside: nearer than 1 m the loss is that at 1 m; beyond 150 m and
    at other carriers the formula is continued. In the open office P_LOS steps up from 0.537 to 0.54 at 49 m, as in
    the TR.

    Source
    ------
    3GPP TR 38.901, clauses 7.4.1 and 7.4.2, Tables 7.4.1-1 and 7.4.2-1; the correlation distance of the state,
    10 m, Table 7.6.3.1-2; the shadowing of ``by_sight`` Tables 7.4.1-1 and 7.5-6.

    Options
    -------
    office : Whether walls divide the office (``mixed``) or not (``open``); only P_LOS differs.
    base_station_height_m : Height of the base station's antenna above the floor.
    client_height_m : Height of the client's antenna above the floor.
    """

    kind: Literal["inh"] = "inh"
    office: Literal["mixed", "open"] = "mixed"
    base_station_height_m: Metres = 3.0
    client_height_m: Metres = 1.0

    @property
    def validity(self) -> Validity:
        """1 m to 150 m in a straight line, 0.5 to 100 GHz."""
        drop_m = self.base_station_height_m - self.client_height_m
        return Validity((_level(1.0, drop_m), _level(150.0, drop_m)), (0.5e9, 100e9))

    @property
    def los_correlation_distance_m(self) -> float:
        """10 m."""
        return 10.0

    @property
    def steps_m(self) -> tuple[float, ...]:
        """49 m where sight is drawn in the open office: P_LOS steps up there, and the mean loss down."""
        return (49.0,) if self.office == "open" and self.line_of_sight == "probability" else ()

    def los_probability(self, distance_m: ArrayLike) -> Floats:
        """P_LOS at horizontal distances in m (any shape)."""
        distance = non_negative("a distance in m", distance_m)
        if self.office == "open":
            middle = np.exp(-(np.maximum(distance, 5.0) - 5.0) / 70.8)
            return np.asarray(np.where(distance <= 49.0, middle, 0.54 * np.exp(-(distance - 49.0) / 211.7)))
        middle = np.exp(-(np.maximum(distance, 1.2) - 1.2) / 4.7)
        return np.asarray(np.where(distance < 6.5, middle, 0.32 * np.exp(-(distance - 6.5) / 32.6)))

    @property
    def _shadowing(self) -> Mapping[State, tuple[float, float]]:
        return {"los": (3.0, 10.0), "nlos": (8.03, 6.0)}

    def _clear_db(self, distance: Floats, carrier_hz: float) -> Floats:
        lg_3d = _lg_3d(distance, self.base_station_height_m - self.client_height_m)
        return np.asarray(32.4 + 17.3 * lg_3d + 20.0 * np.log10(carrier_hz / 1e9))

    def _blocked_db(self, distance: Floats, carrier_hz: float) -> Floats:
        lg_3d = _lg_3d(distance, self.base_station_height_m - self.client_height_m)
        return np.asarray(17.3 + 38.3 * lg_3d + 24.9 * np.log10(carrier_hz / 1e9))


@dataclass(frozen=True)
class InF(Tabled):
    """Path loss in a factory hall, 3GPP TR 38.901: between machines, or from above them.

    Formula
    -------
    With d3D = sqrt(d2D^2 + (h_BS - h_UT)^2) in m, fc in GHz::

        LOS   31.84 + 21.5 lg d3D + 19 lg fc
        NLOS  max(LOS, PL + 20 lg fc), in DL no less than in SL
              PL: SL 33 + 25.5 lg d3D    DL 18.6 + 35.7 lg d3D    SH 32.4 + 23 lg d3D    DH 33.63 + 21.9 lg d3D
        P_LOS exp(-d2D / k), k = -d_clutter / ln(1 - r), in SH and DH times (h_BS - h_UT) / (h_c - h_UT)

    with clutter of density r, size d_clutter and height h_c.

    Validity
    --------
    1 m <= d3D <= 600 m, 0.5 GHz <= fc <= 100 GHz. Outside: nearer than 1 m the loss is that at 1 m; beyond 600 m and
    at other carriers the formula is continued. The halls with both antennas above the clutter (HH) see each other
    always: ``line_of_sight: always``.

    Source
    ------
    3GPP TR 38.901, clauses 7.4.1 and 7.4.2, Tables 7.4.1-1 and 7.4.2-1; what an option left out becomes, Table 7.8-7;
    the correlation distance of the state, d_clutter / 2, Table 7.6.3.1-2; the shadowing of ``by_sight`` Tables 7.4.1-1
    and 7.5-6.

    Options
    -------
    hall : Clutter and base station: sparse (``S``) or dense (``D``) clutter, base station low among it (``L``) or
        high above it (``H``).
    base_station_height_m : Height of the base station's antenna above the floor; left out, 1.5 m in SL and DL, 8 m in
        SH and DH.
    client_height_m : Height of the client's antenna above the floor.
    clutter_density : Share r of the floor that the clutter covers; left out, 20 % where sparse and 60 % where dense.
        Larger: line of sight is rarer.
    clutter_size_m : Size d_clutter of a piece of clutter; left out, 10 m where sparse and 2 m where dense. Larger:
        fewer pieces, and line of sight is less rare.
    clutter_height_m : Height h_c of the clutter, which matters to a high base station; left out, 2 m where sparse and
        6 m where dense.
    """

    kind: Literal["inf"] = "inf"
    hall: Literal["SL", "DL", "SH", "DH"] = "SL"
    base_station_height_m: Metres | None = None
    client_height_m: Metres = 1.5
    clutter_density: Annotated[float, Quantity("1", gt=0, lt=1)] | None = None
    clutter_size_m: Metres | None = None
    clutter_height_m: Metres | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hall[1] == "H":
            for name, height_m in (("base_station_height_m", self._base_m), ("clutter_height_m", self._clutter[2])):
                if height_m <= self.client_height_m:
                    client, got = render(self.client_height_m, "m"), render(height_m, "m")
                    message = f"must be above the client's antenna ({client}) in {self.hall}; got {got}"
                    raise OptionError("InF", name, message)

    @property
    def validity(self) -> Validity:
        """1 m to 600 m in a straight line, 0.5 to 100 GHz."""
        return Validity((_level(1.0, self._drop_m), _level(600.0, self._drop_m)), (0.5e9, 100e9))

    @property
    def los_correlation_distance_m(self) -> float:
        """Half the size of a piece of clutter."""
        return 0.5 * self._clutter[1]

    def los_probability(self, distance_m: ArrayLike) -> Floats:
        """P_LOS at horizontal distances in m (any shape)."""
        density, size_m, height_m = self._clutter
        reach_m = -size_m / math.log1p(-density)
        if self.hall[1] == "H":
            reach_m *= self._drop_m / (height_m - self.client_height_m)
        return np.asarray(np.exp(-non_negative("a distance in m", distance_m) / reach_m))

    @property
    def _shadowing(self) -> Mapping[State, tuple[float, float]]:
        return {"los": (4.3, 10.0), "nlos": (_INF_STD_DB[self.hall], 10.0)}

    @property
    def _base_m(self) -> float:
        own = self.base_station_height_m
        return _INF_BASE_STATION_M[self.hall[1]] if own is None else own

    @property
    def _drop_m(self) -> float:
        return self._base_m - self.client_height_m

    @property
    def _clutter(self) -> tuple[float, float, float]:
        """Density, size in m and height in m of the clutter."""
        own = (self.clutter_density, self.clutter_size_m, self.clutter_height_m)
        density, size_m, height_m = (
            usual if given is None else given for given, usual in zip(own, _INF_CLUTTER[self.hall[0]], strict=True)
        )
        return density, size_m, height_m

    def _clear_db(self, distance: Floats, carrier_hz: float) -> Floats:
        return np.asarray(31.84 + 21.5 * _lg_3d(distance, self._drop_m) + 19.0 * np.log10(carrier_hz / 1e9))

    def _blocked_db(self, distance: Floats, carrier_hz: float) -> Floats:
        lg_3d, carrier_db = _lg_3d(distance, self._drop_m), 20.0 * np.log10(carrier_hz / 1e9)
        halls = ("SL", "DL") if self.hall == "DL" else (self.hall,)
        lines = [offset + slope * lg_3d + carrier_db for offset, slope in map(_INF_BLOCKED.__getitem__, halls)]
        return np.asarray(np.max(lines, axis=0))


@dataclass(frozen=True, kw_only=True)
class P1238(Options):
    """Path loss inside a building by ITU-R P.1238, also through floors; the building's figures are given.

    Formula
    -------
    With distance d in m and carrier f in MHz::

        PL = 20 lg f + N lg d + Lf - 28

    d is the horizontal distance, heights play no part.

    Validity
    --------
    d >= 1 m, 300 MHz to 100 GHz, base station and clients in one building. Nearer than 1 m the loss is that at 1 m;
    at other carriers the formula is continued.

    Source
    ------
    ITU-R P.1238-8 (2015), section 3.1, whose tables give N and Lf by building and carrier.

    Options
    -------
    power_loss_coefficient : The distance power loss coefficient N in dB a tenfold distance: 20 in free space, 30 in
        an office at 2 GHz. Larger: the signal fades faster.
    floor_loss_db : The loss Lf of all floors between base station and client together; 15 dB for one floor of an
        office at 2 GHz.
    """

    kind: Literal["p1238"] = "p1238"
    power_loss_coefficient: Annotated[float, Quantity("1", gt=0, le=100, example="30")]
    floor_loss_db: PositiveDecibels = 0.0

    @property
    def validity(self) -> Validity:
        """From 1 m on, 300 MHz to 100 GHz."""
        return Validity((1.0, math.inf), (300e6, 100e9))

    def path_loss_db(self, distance_m: ArrayLike, carrier_hz: float) -> Floats:
        """Loss in dB at horizontal distances in m (any shape); ValueError for one below 0 or not finite."""
        lg_d = np.log10(np.maximum(non_negative("a distance in m", distance_m), 1.0))
        lg_f = math.log10(positive("carrier_hz", carrier_hz) / 1e6)
        return np.asarray(20.0 * lg_f + self.power_loss_coefficient * lg_d + self.floor_loss_db - 28.0)
