"""Penetration: what the signal loses on its way into the building that a client is in.

Knows no path loss; a client is inside or outside for good, with one depth and one wall.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, clients_array, positive
from channels.options import Options
from channels.streams import Stream
from channels.units import Metres, PositiveDecibels, Probability

_STD_DB = {"low_loss": 4.4, "high_loss": 6.5}
_DB_PER_M = 0.5


class Penetration(Protocol):
    """What a penetration model must do.

    1. It is a frozen dataclass derived from `Options`; its first field is ``kind``.
    2. ``depth_m(stream, clients)`` gives float64 [K] in m, at least 0: how much of the horizontal distance is
       inside. 0 for a client outside.
    3. ``loss_db(stream, clients, carrier_hz)`` gives float64 [K] in dB, finite, to be added to the path loss.
    4. Both depend only on (stream, client, carrier): not on the other clients.
    5. ``typical_db(carrier_hz)`` gives the mean and the standard deviation in dB over clients that are inside: what a
       link budget allows for; (0, 0) where nobody is.
    6. The docstring is a model card. 7. It stands in `PENETRATION` under its kind.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    def depth_m(self, stream: Stream, clients: ArrayLike) -> Floats:
        """Horizontal way inside the building in m."""
        ...

    def loss_db(self, stream: Stream, clients: ArrayLike, carrier_hz: float) -> Floats:
        """Loss in dB on top of the path loss."""
        ...

    def typical_db(self, carrier_hz: float) -> tuple[float, float]:
        """Mean and standard deviation of the loss in dB over clients inside."""
        ...


@dataclass(frozen=True)
class NoPenetration(Options):
    """No walls between a client and its base station.

    Formula
    -------
    0 dB for every client.

    Validity
    --------
    Clients in the street, or in the building of their base station.

    Source
    ------
    own: the reference case.
    """

    kind: Literal["none"] = "none"

    def depth_m(self, stream: Stream, clients: ArrayLike) -> Floats:
        """Zeros [K]."""
        return np.zeros(clients_array(clients).size)

    def loss_db(self, stream: Stream, clients: ArrayLike, carrier_hz: float) -> Floats:
        """Zeros [K]."""
        return np.zeros(clients_array(clients).size)

    def typical_db(self, carrier_hz: float) -> tuple[float, float]:
        """Nobody is inside: (0, 0)."""
        return 0.0, 0.0


@dataclass(frozen=True)
class OutdoorToIndoor(Options):
    """Base station outdoors, clients in buildings: loss of the wall and of the way inside, 3GPP TR 38.901.

    Formula
    -------
    With f in GHz and d2D-in, the way inside, in m::

        PL = PL(d2D) + PL_tw + 0.5 d2D-in + Normal(0, std^2)
        low_loss    PL_tw = 5 - 10 lg(0.3 10^(-L_glass / 10) + 0.7 10^(-L_concrete / 10))
        high_loss   PL_tw = 5 - 10 lg(0.7 10^(-L_IRR / 10) + 0.3 10^(-L_concrete / 10))
        L_glass = 2 + 0.2 f,  L_concrete = 5 + 4 f,  L_IRR = 25.4 + 0.11 f

    d2D-in is the smaller of two draws uniform over (0, deepest). It is part of the client's distance; the
    probability of line of sight is that outside the wall, at d2D - d2D-in.

    Validity
    --------
    0.5 to 100 GHz, with the path losses ``uma`` and ``umi``; with ``rma`` the TR has ``low_loss`` only, and 10 m as
    the deepest. A client keeps its wall and its depth as it moves. L_IRR, of coated glass, is that of the TR's version
    19; up to version 18 it was 23 + 0.3 f. The TR also changes the shadowing of indoor clients (7 dB in cities):
    ``by_sight`` does so, other shadowing stays as the scenario gives it.

    Source
    ------
    3GPP TR 38.901 version 19.4.0, clause 7.4.3.1, Tables 7.4.3-1 and 7.4.3-2.

    Options
    -------
    building : Plain windows in concrete (``low_loss``), or coated ones that keep heat in (``high_loss``).
    indoor_share : Share of the clients that are inside, drawn for each; 80 % in the TR's cities.
    deepest_m : Largest way inside that is drawn.
    way_inside_m : The way inside, the same for all who are inside; left out, it is drawn.
    std_db : Standard deviation of the loss between buildings of a kind; left out, 4.4 dB for low and 6.5 dB for
        high loss. 0 switches it off.
    """

    kind: Literal["o2i"] = "o2i"
    building: Literal["low_loss", "high_loss"] = "low_loss"
    indoor_share: Probability = 1.0
    deepest_m: Metres = 25.0
    way_inside_m: Metres | None = None
    std_db: PositiveDecibels | None = None

    def depth_m(self, stream: Stream, clients: ArrayLike) -> Floats:
        """d2D-in [K] in m, 0 for clients outside."""
        rows = clients_array(clients)
        drawn = self.deepest_m * np.minimum(stream.uniform(rows, 1), stream.uniform(rows, 2))
        depth = drawn if self.way_inside_m is None else np.full(rows.size, self.way_inside_m)
        return np.where(stream.uniform(rows, 0) < self.indoor_share, depth, 0.0)

    def loss_db(self, stream: Stream, clients: ArrayLike, carrier_hz: float) -> Floats:
        """Loss [K] in dB, 0 for clients outside."""
        rows = clients_array(clients)
        depth = self.depth_m(stream, rows)
        loss = self.wall_db(carrier_hz) + _DB_PER_M * depth + self._wall_std_db * stream.normal(rows, 3)
        return np.where(depth > 0.0, loss, 0.0)

    def typical_db(self, carrier_hz: float) -> tuple[float, float]:
        """Mean and standard deviation over clients inside, walls and ways together; (0, 0) where nobody is."""
        if self.indoor_share == 0.0:
            return 0.0, 0.0
        # the smaller of two uniform draws has mean 1/3 and variance 1/18
        fixed = self.way_inside_m is not None
        mean_m = self.way_inside_m if self.way_inside_m is not None else self.deepest_m / 3.0
        spread_m = 0.0 if fixed else self.deepest_m / math.sqrt(18.0)
        return self.wall_db(carrier_hz) + _DB_PER_M * mean_m, math.hypot(self._wall_std_db, _DB_PER_M * spread_m)

    @property
    def _wall_std_db(self) -> float:
        return _STD_DB[self.building] if self.std_db is None else self.std_db

    def wall_db(self, carrier_hz: float) -> float:
        """PL_tw, the loss of the outer wall, in dB."""
        f_ghz = positive("carrier_hz", carrier_hz) / 1e9
        concrete = 10.0 ** (-(5.0 + 4.0 * f_ghz) / 10.0)
        if self.building == "low_loss":
            passed = 0.3 * 10.0 ** (-(2.0 + 0.2 * f_ghz) / 10.0) + 0.7 * concrete
        else:
            passed = 0.7 * 10.0 ** (-(25.4 + 0.11 * f_ghz) / 10.0) + 0.3 * concrete
        return 5.0 - 10.0 * math.log10(passed)


PENETRATION: dict[str, type[NoPenetration] | type[OutdoorToIndoor]] = {"none": NoPenetration, "o2i": OutdoorToIndoor}
