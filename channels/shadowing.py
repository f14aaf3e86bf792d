"""Shadowing: slow changes of the mean level as a client moves behind and out from behind obstacles.

Knows no time and no formula of path loss: it follows the way that a client has travelled, its place, or its sight of
the base station.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Bools, Floats, Ints, ways_array
from channels.options import Options
from channels.pathloss import PathLoss, Shadowed, State
from channels.shadowmap import Map as Map
from channels.streams import Stream
from channels.units import Metres, Quantity

_POINTS_PER_CORRELATION_DISTANCE = 20
_LEVELS = 10
# 2^10 grid steps are 51.2 correlation distances: the ends of a block are correlated by exp(-51.2) = 6e-23,
# which is below the resolution of float64, so drawing them independently is exact.
_BLOCK = 1 << _LEVELS


class Shadowing(Protocol):
    """What a shadowing model must do.

    1. It is a frozen dataclass derived from `Options`; its first field is ``kind``.
    2. ``shadowing_db(stream, clients, travelled_m)`` takes K client numbers and distances travelled [K, T] in
       m, and returns float64 [K, T] in dB, to be added to the gain: zero mean, positive is stronger.
    3. A value depends only on (stream, client, travelled): not on the other clients, nor on the order of
       questions.
    4. A distance that is NaN, infinite or negative raises ValueError.
    5. The docstring is a model card. 6. It stands in `SHADOWING` under its kind.
    7. A model that follows more than the way travelled is a `PlacedShadowing` instead: 2 to 4 then hold for
       ``shadowing_at_db``.
    8. ``std_db`` is the standard deviation of the level in dB, 0 where there is none: the margins of a link budget
       follow it.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    @property
    def std_db(self) -> float:
        """Standard deviation of the level in dB."""
        ...

    def shadowing_db(self, stream: Stream, clients: ArrayLike, travelled_m: ArrayLike) -> Floats:
        """Level in dB relative to path loss alone."""
        ...


@dataclass(frozen=True)
class Places:
    """Where K clients are at T times, and what is known of their links there; distances in m.

    Attributes
    ----------
    travelled_m, distance_m : ndarray
        Ways travelled and horizontal distances from the base station [K, T].
    position_m : ndarray
        Places in the plane [K, T, 2].
    los : ndarray of bool or None
        Line of sight [K, T]; None where the path loss does not tell.
    indoor : ndarray of bool
        Who is in a building that the base station is outside of, [K, 1].
    path_loss, carrier_hz
        The model, and the carrier in Hz.
    """

    travelled_m: Floats
    distance_m: Floats
    position_m: Floats
    los: Bools | None
    indoor: Bools
    path_loss: PathLoss
    carrier_hz: float


@runtime_checkable
class PlacedShadowing(Protocol):
    """What a shadowing model must do that follows the place of a client, or its sight of the base station.

    Clauses 1 to 6 of `Shadowing`, of ``shadowing_at_db``: a value depends only on (stream, client, what stands in
    `Places` for that client and time).

    7. ``needs_sight`` is true for one that goes only with a path loss that is both `Sighted` and `Shadowed`.
    8. ``std_db`` is the standard deviation of the level in dB, as in `Shadowing`, unless ``needs_sight`` is true: then
       the path loss states it by line of sight.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    @property
    def needs_sight(self) -> bool:
        """Whether it follows the line of sight."""
        ...

    def shadowing_at_db(self, stream: Stream, clients: ArrayLike, places: Places) -> Floats:
        """Level in dB relative to path loss alone, [K, T]."""
        ...


@dataclass(frozen=True)
class NoShadowing(Options):
    """No shadowing: the mean level follows the path loss alone.

    Formula
    -------
    S = 0 dB for every client, wherever it is.

    Validity
    --------
    A reference, and for free sight. Behind buildings or inside them, levels at one distance differ by several dB.

    Source
    ------
    own: the reference case.
    """

    kind: Literal["none"] = "none"
    std_db: ClassVar[float] = 0.0

    def shadowing_db(self, stream: Stream, clients: ArrayLike, travelled_m: ArrayLike) -> Floats:
        """Zeros [K, T]."""
        return np.zeros(ways_array(clients, travelled_m)[1].shape)


@dataclass(frozen=True)
class LogNormal(Options):
    """Log-normal shadowing with Gudmundson's correlation along the path of each client.

    On a grid of d_corr / 20 the process is exactly a first-order autoregression; between grid points it is linear,
    scaled to variance std^2. The grid is filled by bisection: the value in the middle of two known ones is normal
    with mean rho / (1 + rho^2) times their sum and variance (1 - rho^2) / (1 + rho^2), rho the correlation over half
    the interval; any place is reached in ten halvings, with no past to remember.

    Formula
    -------
    With distances x, x' travelled along the path::

        S ~ Normal(0, std^2) in dB,    E[S(x) S(x')] = std^2 exp(-|x - x'| / d_corr)

    Validity
    --------
    Where the path is long against the obstacles and does not return: a client that comes back to a place meets a new
    value there. Clients are independent of each other, even side by side; ``map`` is for where that matters. A static
    client keeps the value it starts with.

    Source
    ------
    Gudmundson 1991, doi:10.1049/el:19911328. Typical figures: 3GPP TR 38.901, Table 7.4.1-1.

    Options
    -------
    std_db : Standard deviation of the level; 4 dB with and 6 dB without line of sight in an urban macro cell. 0
        switches shadowing off.
    correlation_distance_m : The way d_corr over which the correlation falls to 1/e, some tens of metres outdoors.
        Larger: the level changes more slowly as a client moves.
    """

    kind: Literal["log_normal"] = "log_normal"
    std_db: Annotated[float, Quantity("dB", ge=0, le=40)] = 6.0
    correlation_distance_m: Metres = 50.0

    def shadowing_db(self, stream: Stream, clients: ArrayLike, travelled_m: ArrayLike) -> Floats:
        """Shadowing in dB, [K, T], for clients [K] that have travelled [K, T] m."""
        rows, travelled = ways_array(clients, travelled_m)
        steps = travelled * (_POINTS_PER_CORRELATION_DISTANCE / self.correlation_distance_m)
        if steps.size and steps.max() >= 2.0**52:
            raise ValueError(f"a travelled distance of {travelled.max()} m is beyond the grid of the shadowing")
        cell = np.floor(steps)
        fraction = steps - cell
        flat = cell.astype(np.int64).reshape(-1)
        owner = np.repeat(rows, travelled.shape[1])
        # Neighbouring times mostly fall into the same cell: compute each run of equal cells once.
        fresh = np.ones(flat.size, dtype=np.bool_)
        fresh[1:] = (flat[1:] != flat[:-1]) | (owner[1:] != owner[:-1])
        run = np.cumsum(fresh) - 1
        left, right = _grid(stream, owner[fresh], flat[fresh])
        left, right = left[run].reshape(steps.shape), right[run].reshape(steps.shape)
        rest = 1.0 - fraction
        correlation = np.exp(-1.0 / _POINTS_PER_CORRELATION_DISTANCE)
        spread = np.sqrt(rest * rest + fraction * fraction + 2.0 * correlation * rest * fraction)
        return np.asarray(self.std_db * (rest * left + fraction * right) / spread)


@dataclass(frozen=True)
class BySight(Options):
    """Log-normal shadowing by line of sight and inside buildings, as 3GPP TR 38.901 states it.

    Formula
    -------
    One process of ``log_normal`` for each state, of unit variance and independent of the others; with s the state of
    the client at the distance d, after the way x::

        S = std(d, s) G_s(x),    E[G_s(x) G_s(x')] = exp(-|x - x'| / d_corr(s))

    with these constants of the five scenarios::

               std in dB            d_corr in m
               LOS   NLOS   O2I     LOS  NLOS  O2I
        uma    4     6      7       37   50    7
        umi    4     7.82   7       10   13    7
        rma    4, 6  8      8       37   120   120    6 dB from the breakpoint on
        inh    3     8.03           10   6
        inf    4.3   SL 5.7, DL 7.2, SH 5.9, DH 4.0   10   10

    O2I: clients that ``penetration`` puts inside, whatever their line of sight.

    Validity
    --------
    That of the path loss, which has to be one of the five above. A client whose state changes meets another value at
    once, as in the TR without spatial consistency of the change; one that comes back to its old state finds that
    process further on. As with ``log_normal``, clients are independent and a place that is met again is another.

    Source
    ------
    3GPP TR 38.901 version 19.4.0, Table 7.4.1-1 (std), Table 7.5-6 (O2I, and the correlation distances of SF), clause
    7.4.4; Gudmundson 1991, doi:10.1049/el:19911328.
    """

    kind: Literal["by_sight"] = "by_sight"
    needs_sight: ClassVar[bool] = True

    def shadowing_at_db(self, stream: Stream, clients: ArrayLike, places: Places) -> Floats:
        """Shadowing in dB, [K, T]; ValueError where the path loss states none."""
        rows, travelled = ways_array(clients, places.travelled_m)
        model, los = places.path_loss, places.los
        if los is None or not isinstance(model, Shadowed):
            raise ValueError(f"path loss {model.kind!r} states no shadowing by line of sight")
        outdoor = ~places.indoor
        states: dict[State, Bools] = {"los": los & outdoor, "nlos": ~los & outdoor, "indoor": places.indoor}
        level = np.zeros(travelled.shape)
        for state, here in states.items():
            here = np.broadcast_to(here, level.shape)
            some = here.any(axis=1)
            if some.any():
                walk = LogNormal(std_db=1.0, correlation_distance_m=model.shadowing_correlation_distance_m(state))
                unit = walk.shadowing_db(stream.child(state), rows[some], travelled[some])
                std_db = model.shadowing_std_db(places.distance_m[some], places.carrier_hz, state)
                level[some] += np.where(here[some], std_db * unit, 0.0)
        return level


def _grid(stream: Stream, clients: Ints, cells: Ints) -> tuple[Floats, Floats]:
    """Unit-variance values at the grid points `cells` and `cells` + 1, one pair for each client given."""
    low = cells & ~np.int64(_BLOCK - 1)
    left = stream.normal(clients, low)
    right = stream.normal(clients, low + _BLOCK)
    half = _BLOCK >> 1
    while half:
        rho = np.exp(-half / _POINTS_PER_CORRELATION_DISTANCE)
        pull, noise = rho / (1.0 + rho * rho), np.sqrt((1.0 - rho * rho) / (1.0 + rho * rho))
        middle = pull * (left + right) + noise * stream.normal(clients, low + half)
        beyond = cells >= low + half
        left, right = np.where(beyond, middle, left), np.where(beyond, right, middle)
        low = np.where(beyond, low + half, low)
        half >>= 1
    return left, right


SHADOWING: dict[str, type[NoShadowing] | type[LogNormal] | type[BySight] | type[Map]] = {
    "none": NoShadowing,
    "log_normal": LogNormal,
    "by_sight": BySight,
    "map": Map,
}
