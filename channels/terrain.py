"""Terrain: the law of the loss at a distance, over places alike, for whoever plans and does not draw.

Knows path loss, shadowing and walls; knows no client and no draw.
"""

from __future__ import annotations

import math

import numpy as np

from channels.arrays import Floats, non_negative, positive
from channels.linkbudget import edge_margin_db, mixture_margin_db
from channels.pathloss import PathLoss, Shadowed, Sighted, State, range_m
from channels.shadowing import PlacedShadowing, Shadowing

_LEAST_EXPONENT = 0.1  # a path loss that hardly grows, as where it is held, has no exponent


class Terrain:
    """What lies between the antennas, as a law and not as a draw: mean loss, and how widely it is spread.

    Parameters
    ----------
    path_loss : PathLoss
    shadowing : Shadowing or PlacedShadowing
    carrier_hz : float
    wall_std_db : float
        Standard deviation of the loss into buildings in dB, at least 0.
    indoor : bool
        Whether clients are in buildings, which some models of shadowing tell apart.
    """

    def __init__(
        self,
        path_loss: PathLoss,
        shadowing: Shadowing | PlacedShadowing,
        carrier_hz: float,
        wall_std_db: float = 0.0,
        *,
        indoor: bool = False,
    ) -> None:
        self.model, self._shadowing = path_loss, shadowing
        self._carrier_hz = positive("carrier_hz", carrier_hz)
        self._indoor = indoor
        self.wall_std_db = float(non_negative("wall_std_db", wall_std_db))

    def loss_db(self, distance_m: Floats) -> Floats:
        """Mean loss without walls; where line of sight is a matter of chance, the mean in dB over both states."""
        return self.model.path_loss_db(distance_m, self._carrier_hz)

    def margin_db(self, distance_m: Floats, reliability: float) -> Floats:
        """Margin above `loss_db` that holds with a probability, at each distance."""
        model, std = self.model, self._std_db
        if not isinstance(model, Sighted) or model.line_of_sight != "probability":
            seen = isinstance(model, Sighted) and model.line_of_sight == "always"
            spread = np.hypot(std(distance_m, seen), self.wall_std_db)
            return np.asarray(edge_margin_db(reliability, 1.0) * spread)
        clear, blocked = (model.path_loss_db(distance_m, self._carrier_hz, los) for los in (True, False))
        share = model.los_probability(distance_m)
        stds = [np.hypot(std(distance_m, seen), self.wall_std_db) for seen in (True, False)]
        above_clear = mixture_margin_db(reliability, blocked - clear, share, (stds[0], stds[1]))
        return np.asarray(above_clear - (1.0 - share) * (blocked - clear))

    def std_db(self, distance_m: Floats) -> Floats:
        """Standard deviation of the loss at each distance, over shadowing, walls and lines of sight."""
        model = self.model
        if not isinstance(model, Sighted) or model.line_of_sight != "probability":
            seen = isinstance(model, Sighted) and model.line_of_sight == "always"
            return np.hypot(self._std_db(distance_m, seen), self.wall_std_db)
        clear, blocked = (model.path_loss_db(distance_m, self._carrier_hz, los) for los in (True, False))
        share = model.los_probability(distance_m)
        within = share * self._std_db(distance_m, True) ** 2 + (1.0 - share) * self._std_db(distance_m, False) ** 2
        return np.sqrt(within + share * (1.0 - share) * (blocked - clear) ** 2 + self.wall_std_db**2)

    def exponent(self, distance_m: float) -> float:
        """n of a loss that grows as 10 n lg(distance), at a distance."""
        near, far = self.loss_db(distance_m * np.array([0.98, 1.02]))
        return max(_LEAST_EXPONENT, float(far - near) / (10.0 * math.log10(1.02 / 0.98)))

    def range_m(self, loss_db: float) -> float:
        """Largest distance with no more than this loss: see `channels.pathloss.range_m`."""
        return float(range_m(self.model, loss_db, self._carrier_hz))

    def _std_db(self, distance_m: Floats, seen: bool) -> Floats:
        if isinstance(self.model, Shadowed) and getattr(self._shadowing, "needs_sight", False):
            state: State = "indoor" if self._indoor else "los" if seen else "nlos"
            return self.model.shadowing_std_db(distance_m, self._carrier_hz, state)
        return np.full(np.shape(distance_m), getattr(self._shadowing, "std_db", 0.0))
