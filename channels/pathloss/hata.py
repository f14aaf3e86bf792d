"""Path loss of large cells fitted to measurements: Okumura-Hata up to 1.5 GHz, COST231-Hata from there to 2 GHz.

Know horizontal distances, heights and a carrier; a base station stands above the roofs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, non_negative, positive
from channels.options import Options
from channels.pathloss.base import Validity
from channels.units import Quantity

# A convention of this project: the formulas, stated from 1 km on, have to end somewhere.
_NEAREST_M = 35.0
_BaseStationHeight = Annotated[float, Quantity("m", ge=30, le=200)]
_ClientHeight = Annotated[float, Quantity("m", ge=1, le=10)]


def _lg_km(distance_m: ArrayLike) -> Floats:
    return np.asarray(np.log10(np.maximum(non_negative("a distance in m", distance_m), _NEAREST_M) / 1e3))


def _medium_city_client_db(lg_f: float, client_height_m: float) -> float:
    return (1.1 * lg_f - 0.7) * client_height_m - (1.56 * lg_f - 0.8)


@dataclass(frozen=True)
class OkumuraHata(Options):
    """Path loss of large cells from 150 MHz to 1.5 GHz, Okumura's measurements as formulas by Hata.

    Formula
    -------
    With f in MHz, distance d in km, antenna heights h_b and h_m in m::

        small_city  PL = 69.55 + 26.16 lg f - 13.82 lg h_b - a(h_m) + (44.9 - 6.55 lg h_b) lg d
                    a(h_m) = (1.1 lg f - 0.7) h_m - (1.56 lg f - 0.8)
        large_city  the same with a(h_m) = 8.29 (lg 1.54 h_m)^2 - 1.1 up to 200 MHz, 3.2 (lg 11.75 h_m)^2 - 4.97 above
        suburban    small_city - 2 (lg(f / 28))^2 - 5.4
        open        small_city - 4.78 (lg f)^2 + 18.33 lg f - 40.94

    Validity
    --------
    150 MHz to 1.5 GHz, 1 to 20 km, 30 m <= h_b <= 200 m, 1 m <= h_m <= 10 m. Outside, the formula is continued;
    nearer than 35 m the loss is that at 35 m. Hata gives the large city's a(h_m) up to 200 and from 400 MHz on;
    between them the second is taken.

    Source
    ------
    Hata 1980, IEEE Trans. Veh. Technol. 29(3), 317-325, doi:10.1109/T-VT.1980.23859.

    Options
    -------
    area : What surrounds the clients: ``small_city`` (also of medium size), ``large_city``, ``suburban`` or ``open``
        country.
    base_station_height_m : Height of the base station's antenna above the ground. Higher: less loss.
    client_height_m : Height of a client's antenna above ground.
    """

    kind: Literal["okumura_hata"] = "okumura_hata"
    area: Literal["small_city", "large_city", "suburban", "open"] = "small_city"
    base_station_height_m: _BaseStationHeight = 30.0
    client_height_m: _ClientHeight = 1.5

    @property
    def validity(self) -> Validity:
        """1 to 20 km, 150 MHz to 1.5 GHz."""
        return Validity((1e3, 20e3), (150e6, 1.5e9))

    def path_loss_db(self, distance_m: ArrayLike, carrier_hz: float) -> Floats:
        """Loss in dB at horizontal distances in m (any shape); ValueError for one below 0 or not finite."""
        lg_f, lg_b = math.log10(positive("carrier_hz", carrier_hz) / 1e6), math.log10(self.base_station_height_m)
        client = _medium_city_client_db(lg_f, self.client_height_m)
        if self.area == "large_city":
            low = 8.29 * math.log10(1.54 * self.client_height_m) ** 2 - 1.1
            high = 3.2 * math.log10(11.75 * self.client_height_m) ** 2 - 4.97
            client = low if carrier_hz <= 200e6 else high
        relief = {
            "suburban": 2.0 * (lg_f - math.log10(28.0)) ** 2 + 5.4,
            "open": 4.78 * lg_f**2 - 18.33 * lg_f + 40.94,
        }.get(self.area, 0.0)
        at_1_km = 69.55 + 26.16 * lg_f - 13.82 * lg_b - client - relief
        return np.asarray(at_1_km + (44.9 - 6.55 * lg_b) * _lg_km(distance_m))


@dataclass(frozen=True)
class Cost231Hata(Options):
    """Path loss of large cells from 1.5 to 2 GHz, Hata's formula as extended by COST 231.

    Formula
    -------
    With f in MHz, distance d in km, antenna heights h_b and h_m in m::

        PL = 46.3 + 33.9 lg f - 13.82 lg h_b - a(h_m) + (44.9 - 6.55 lg h_b) lg d + C
        a(h_m) = (1.1 lg f - 0.7) h_m - (1.56 lg f - 0.8)

    C = 3 dB in the centre of a metropolis, else 0.

    Validity
    --------
    1.5 to 2 GHz, 1 to 20 km, 30 m <= h_b <= 200 m, 1 m <= h_m <= 10 m, base station above the roofs. Outside, the
    formula is continued; nearer than 35 m the loss is that at 35 m.

    Source
    ------
    COST 231 final report (1999), section 4.4.1.

    Options
    -------
    area : What surrounds the clients: a ``medium_city`` or its suburbs, or the ``metropolitan`` centre of a large city,
        with 3 dB more.
    base_station_height_m : Height of the base station's antenna above the ground. Higher: less loss.
    client_height_m : Height of a client's antenna above ground.
    """

    kind: Literal["cost231_hata"] = "cost231_hata"
    area: Literal["medium_city", "metropolitan"] = "medium_city"
    base_station_height_m: _BaseStationHeight = 30.0
    client_height_m: _ClientHeight = 1.5

    @property
    def validity(self) -> Validity:
        """1 to 20 km, 1.5 to 2 GHz."""
        return Validity((1e3, 20e3), (1.5e9, 2e9))

    def path_loss_db(self, distance_m: ArrayLike, carrier_hz: float) -> Floats:
        """Loss in dB at horizontal distances in m (any shape); ValueError for one below 0 or not finite."""
        lg_f, lg_b = math.log10(positive("carrier_hz", carrier_hz) / 1e6), math.log10(self.base_station_height_m)
        at_1_km = 46.3 + 33.9 * lg_f - 13.82 * lg_b - _medium_city_client_db(lg_f, self.client_height_m)
        centre = 3.0 if self.area == "metropolitan" else 0.0
        return np.asarray(at_1_km + (44.9 - 6.55 * lg_b) * _lg_km(distance_m) + centre)
