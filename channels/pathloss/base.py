"""What a path loss model must do, the range it is stated for, and the base of those that know line of sight.

Knows no formula of any model, and no shadowing, antennas or bandwidth.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, Ints, non_negative, positive
from channels.options import Options
from channels.units import render

State = Literal["los", "nlos", "indoor"]
"""With line of sight, without it, or inside a building that the base station is outside of."""


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
    7. It may have a property ``validity``, a `Validity`: links then tell who was outside it. A model that
       tells line of sight from its absence derives from `Sighted`.
    8. Where its loss falls all the same, by a step of its source, it has a property ``steps_m``: the distances
       in m beyond which it is lower, ascending.
    9. Where its source also states the shadowing around it by line of sight, it has the methods of `Shadowed`.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    def path_loss_db(self, distance_m: ArrayLike, carrier_hz: float) -> Floats:
        """Loss in dB at each distance."""
        ...


@runtime_checkable
class Shadowed(Protocol):
    """A path loss that also tells how the level scatters around it, by state: what ``by_sight`` shadowing follows."""

    def shadowing_std_db(self, distance_m: ArrayLike, carrier_hz: float, state: State) -> Floats:
        """Standard deviation of the level in dB at horizontal distances in m (any shape)."""
        ...

    def shadowing_correlation_distance_m(self, state: State) -> float:
        """The way in m over which the level decorrelates to 1/e."""
        ...


@dataclass(frozen=True)
class Validity:
    """The range that a model is stated for, bounds included: horizontal distance in m and carrier in Hz."""

    distance_m: tuple[float, float] = (0.0, math.inf)
    carrier_hz: tuple[float, float] = (0.0, math.inf)

    def outside(self, distance_m: float, carrier_hz: float) -> str | None:
        """What of a link is out of range, with the range and the value; None where nothing is."""
        found = [
            f"{name} {_figure(value, unit)} is outside {_range(bounds, unit)}"
            for name, value, bounds, unit in (
                ("distance", distance_m, self.distance_m, "m"),
                ("carrier", carrier_hz, self.carrier_hz, "Hz"),
            )
            if not bounds[0] <= value <= bounds[1]
        ]
        return "; ".join(found) or None


class RangeWatch:
    """Remembers which clients have left the range of a path loss model, and how far: one text for each way out.

    Memory is one flag a client and side; how often or in which order anyone asks changes no text.
    """

    def __init__(self, model: PathLoss, carrier_hz: float, clients: int) -> None:
        self._kind = model.kind
        self._validity: Validity = getattr(model, "validity", Validity())
        self._carrier_hz = carrier_hz
        self._out = {side: np.zeros(clients, dtype=np.bool_) for side in ("nearer", "further")}
        self._extreme = {"nearer": math.inf, "further": -math.inf}

    def see(self, rows: Ints, distance_m: Floats) -> None:
        """Take note of the distances [K, T] in m of the clients at some positions [K]."""
        if not distance_m.size:
            return
        least, most = self._validity.distance_m
        nearest, furthest = float(distance_m.min()), float(distance_m.max())
        if nearest < least:
            self._out["nearer"][rows[(distance_m < least).any(axis=1)]] = True
            self._extreme["nearer"] = min(self._extreme["nearer"], nearest)
        if furthest > most:
            self._out["further"][rows[(distance_m > most).any(axis=1)]] = True
            self._extreme["further"] = max(self._extreme["further"], furthest)

    def noted(self) -> list[Any]:
        """What was seen so far, as plain data: of each side the clients, and how far the furthest was."""
        return [
            [side, np.flatnonzero(out).tolist(), self._extreme[side]] for side, out in self._out.items() if out.any()
        ]

    def note(self, noted: list[Any]) -> None:
        """Take over what `noted` gave."""
        for side, rows, extreme in noted:
            self._out[side][rows] = True
            self._extreme[side] = extreme

    @property
    def texts(self) -> tuple[str, ...]:
        """What was seen so far, one sentence a kind of excess."""
        found = []
        low, high = self._validity.carrier_hz
        if not low <= self._carrier_hz <= high:
            carrier = _figure(self._carrier_hz, "Hz")
            found.append(f"{self._stated('carriers', (low, high), 'Hz')}; the carrier is {carrier}")
        for side, word in (("nearer", "down to"), ("further", "up to")):
            if count := int(self._out[side].sum()):
                were = "client was" if count == 1 else "clients were"
                found.append(
                    f"{self._stated('distances', self._validity.distance_m, 'm')}; {count} {were} {side}, "
                    f"{word} {_figure(self._extreme[side], 'm')}"
                )
        return tuple(found)

    def _stated(self, what: str, bounds: tuple[float, float], unit: str) -> str:
        return f"path loss {self._kind} is stated for {what} {_range(bounds, unit)}"


def _range(bounds: tuple[float, float], unit: str) -> str:
    low, high = bounds
    if high == math.inf:
        return f"from {_figure(low, unit)} on"
    return f"from {_figure(low, unit)} to {_figure(high, unit)}"


def _figure(value: float, unit: str) -> str:
    return str(render(float(f"{value:.4g}"), unit))


@dataclass(frozen=True)
class Sighted(Options, ABC):
    """Base of the models that tell a link with line of sight from one without.

    A subclass gives the two losses and the probability of line of sight. The state of a client is not drawn
    here but by `channels.sight`, along its path.

    Options
    -------
    line_of_sight : Whether clients see the base station: ``always``, ``never`` (the loss is larger), or with a
        ``probability`` that falls with distance, drawn for each client and changing slowly along its path.
    """

    kind: str = ""
    line_of_sight: Literal["always", "never", "probability"] = "never"

    def path_loss_db(self, distance_m: ArrayLike, carrier_hz: float, los: ArrayLike | None = None) -> Floats:
        """Loss in dB at horizontal distances in m.

        Parameters
        ----------
        distance_m : array_like of float
            Any shape; ValueError for one below 0 or not finite.
        carrier_hz : float
        los : array_like of bool, optional
            Whether there is line of sight, of the same shape or one for all. Left out, the option
            ``line_of_sight`` decides; ``probability`` then gives the mean of the loss in dB over both states.
        """
        distance = non_negative("a distance in m", distance_m)
        carrier = positive("carrier_hz", carrier_hz)
        clear = self._clear_db(distance, carrier)
        if los is None and self.line_of_sight == "always":
            return clear
        blocked = np.maximum(clear, self._blocked_db(distance, carrier))
        if los is not None:
            return np.asarray(np.where(np.broadcast_to(np.asarray(los, dtype=np.bool_), clear.shape), clear, blocked))
        if self.line_of_sight == "never":
            return blocked
        share = self.los_probability(distance)
        return np.asarray(share * clear + (1.0 - share) * blocked)

    @abstractmethod
    def los_probability(self, distance_m: ArrayLike) -> Floats:
        """Probability of line of sight at horizontal distances in m (any shape), whatever ``line_of_sight`` says."""

    @property
    @abstractmethod
    def los_correlation_distance_m(self) -> float:
        """The way along a path over which the state of a client decorrelates to 1/e."""

    @abstractmethod
    def _clear_db(self, distance: Floats, carrier_hz: float) -> Floats:
        """Loss with line of sight."""

    @abstractmethod
    def _blocked_db(self, distance: Floats, carrier_hz: float) -> Floats:
        """Loss without, before it is raised to that with line of sight."""


@dataclass(frozen=True)
class Tabled(Sighted, ABC):
    """Base of the models of TR 38.901, which states the shadowing with the path loss, in Tables 7.4.1-1 and 7.5-6."""

    kind: str = ""

    def shadowing_std_db(self, distance_m: ArrayLike, carrier_hz: float, state: State) -> Floats:
        """Standard deviation of the level in dB, by `state`, at horizontal distances in m (any shape).

        Clients inside have that of column O2I of Table 7.5-6, where the TR has one, and else that without sight.
        """
        positive("carrier_hz", carrier_hz)
        return np.full(non_negative("a distance in m", distance_m).shape, self._figures(state)[0])

    def shadowing_correlation_distance_m(self, state: State) -> float:
        """Correlation distance of the level in m, by `state`: row SF of Table 7.5-6."""
        return self._figures(state)[1]

    def _figures(self, state: State) -> tuple[float, float]:
        figures = {"indoor": self._shadowing["nlos"], **self._shadowing}
        if state not in figures:
            raise ValueError(f"a state is one of {', '.join(sorted(figures))}; got {state!r}")
        return figures[state]

    @property
    @abstractmethod
    def _shadowing(self) -> Mapping[State, tuple[float, float]]:
        """Standard deviation in dB and correlation distance in m, by state."""
