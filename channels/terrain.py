"""Terrain: the law of the loss at a distance, over places alike, for whoever plans and does not draw.

Knows path loss, shadowing and walls; knows no client and no draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from channels.arrays import Bools, Floats, non_negative, positive
from channels.pathloss import PathLoss, Shadowed, Sighted, State
from channels.reliability import edge_margin_db, mixture_margin_db
from channels.shadowing import PlacedShadowing, Shadowing

_NEAREST_M, _FURTHEST_M, _POINTS, _HALVINGS = 0.1, 1e8, 900, 60  # a range is looked for in steps of 2.3 %
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

    def loss_db(self, distance_m: Floats, los: Bools | None = None) -> Floats:
        """Mean loss without walls at distances in m (any shape).

        Where line of sight is a matter of chance, the mean in dB over both states, unless `los` tells the state.
        """
        if los is None or not isinstance(self.model, Sighted):
            return self.model.path_loss_db(distance_m, self._carrier_hz)
        return self.model.path_loss_db(distance_m, self._carrier_hz, los)

    def margin_db(self, distance_m: Floats, reliability: float, los: Bools | None = None) -> Floats:
        """Margin above `loss_db` that holds with a probability, at each distance; `los` as there."""
        if los is not None or not self._by_chance:
            return np.asarray(edge_margin_db(reliability, 1.0) * self.std_db(distance_m, los))
        gap, share = self._states(distance_m)
        stds = tuple(np.hypot(self._std_db(distance_m, seen), self.wall_std_db) for seen in (True, False))
        return np.asarray(mixture_margin_db(reliability, gap, share, (stds[0], stds[1])) - (1.0 - share) * gap)

    def std_db(self, distance_m: Floats, los: Bools | None = None) -> Floats:
        """Standard deviation of the loss at each distance, over shadowing, walls and, without `los`, lines of sight."""
        clear, blocked = (self._std_db(distance_m, seen) for seen in (True, False))
        if los is not None:
            return np.hypot(np.where(los, clear, blocked), self.wall_std_db)
        if not self._by_chance:
            seen = isinstance(self.model, Sighted) and self.model.line_of_sight == "always"
            return np.hypot(clear if seen else blocked, self.wall_std_db)
        gap, share = self._states(distance_m)
        within = share * clear**2 + (1.0 - share) * blocked**2
        return np.sqrt(within + share * (1.0 - share) * gap**2 + self.wall_std_db**2)

    def exponent(self, distance_m: Floats) -> Floats:
        """n of a loss that grows as 10 n lg(distance), at distances in m; at least 0.1."""
        near, far = self.loss_db(0.98 * distance_m), self.loss_db(1.02 * distance_m)
        return np.maximum(_LEAST_EXPONENT, (far - near) / (10.0 * math.log10(1.02 / 0.98)))

    def range_m(self, loss_db: float, margin_db: Callable[[Floats], Floats]) -> float:
        """The largest distance in m at which loss and margin together are at most `loss_db`.

        `margin_db` gives the margin in dB at distances. 0 where even at the base station it is too much; infinite
        beyond 1e8 m. Where the sum steps over `loss_db` the distance before the step counts.
        """

        def fits(distance: Floats) -> Bools:
            return np.asarray(self.loss_db(distance) + margin_db(distance) <= loss_db)

        grid = np.geomspace(_NEAREST_M, _FURTHEST_M, _POINTS)
        fine = np.flatnonzero(fits(grid))
        if not fine.size:
            return 0.0
        if fine[-1] == grid.size - 1:
            return math.inf
        near, far = grid[fine[-1], None], grid[fine[-1] + 1, None]
        for _ in range(_HALVINGS):
            middle = np.sqrt(near * far)
            near, far = (middle, far) if fits(middle)[0] else (near, middle)
        return float(near[0])

    @property
    def _by_chance(self) -> bool:
        return isinstance(self.model, Sighted) and self.model.line_of_sight == "probability"

    def _states(self, distance_m: Floats) -> tuple[Floats, Floats]:
        """How much more is lost without line of sight, in dB, and the probability of having it."""
        assert isinstance(self.model, Sighted)
        clear, blocked = (self.model.path_loss_db(distance_m, self._carrier_hz, los) for los in (True, False))
        return blocked - clear, self.model.los_probability(distance_m)

    def _std_db(self, distance_m: Floats, seen: bool) -> Floats:
        if isinstance(self.model, Shadowed) and getattr(self._shadowing, "needs_sight", False):
            state: State = "indoor" if self._indoor else "los" if seen else "nlos"
            return self.model.shadowing_std_db(distance_m, self._carrier_hz, state)
        std_db = getattr(self._shadowing, "std_db", None)
        if std_db is None:
            raise ValueError(f"shadowing {self._shadowing.kind!r} states no std_db, which a margin needs")
        return np.full(np.shape(distance_m), float(std_db))
