"""Shadowing: slow changes of the mean level as a client moves behind and out from behind obstacles.

Knows no time and no formula of path loss: it follows the way that a client has travelled, its place, or its sight of
the base station.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Bools, Floats, Ints, clients_array, non_negative
from channels.options import Options
from channels.pathloss import PathLoss, Shadowed, State
from channels.streams import Stream
from channels.units import Metres, Quantity

_POINTS_PER_CORRELATION_DISTANCE = 20
_LEVELS = 10
# 2^10 grid steps are 51.2 correlation distances: the ends of a block are correlated by exp(-51.2) = 6e-23,
# which is below the resolution of float64, so drawing them independently is exact.
_BLOCK = 1 << _LEVELS
_WAVES = 256  # of a map
_GOLDEN = 0.5 * (
    np.sqrt(5.0) - 1.0
)  # turns from one wave's direction to the next: evenly spread however many there are
_PLACES_AT_ONCE = 128  # times the waves: 256 KiB, which stay in the second-level cache
_FURTHEST = 2.0**40  # correlation distances; there the phases of nearly all waves are good to 1e-3


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
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
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

    def shadowing_db(self, stream: Stream, clients: ArrayLike, travelled_m: ArrayLike) -> Floats:
        """Zeros [K, T]."""
        return np.zeros(_checked(clients, travelled_m)[1].shape)


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
        rows, travelled = _checked(clients, travelled_m)
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

    ::

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
        rows, travelled = _checked(clients, places.travelled_m)
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


@dataclass(frozen=True)
class Map(Options):
    """Shadowing as a map of the cell: clients side by side, or back at a place, meet the same obstacles.

    A sum of plane waves with random wavenumbers, directions and phases, one set for all clients. The wavenumbers are
    drawn one from each of N slices of equal probability, the directions a golden section of a turn apart.

    Formula
    -------
    With N = 256 waves n, places p in the plane, and u_n, a_n, q_n uniform over (0, 1)::

        S(p) = std sqrt(2 / N) sum_n cos(k_n . p + 2 pi q_n)
        |k_n| = sqrt((1 - u_n)^-2 - 1) / d_corr,    direction 2 pi a_n

    Over the ensemble of seeds the covariance is exactly that of Gudmundson's model, with the straight way between
    places in the place of that along a path::

        E[S(p) S(p')] = std^2 exp(-|p - p'| / d_corr)

    Validity
    --------
    As ``log_normal``, where the base station is far from both clients against d_corr. Of one map the correlation over
    all directions is within 0.01 of the formula (root mean square), in one direction within 0.025; nearer than
    d_corr / 256 it is rounded off. The law at a place is normal but for an excess kurtosis of -1.5 / N. It does not
    follow the line of sight.

    Source
    ------
    Gudmundson 1991, doi:10.1049/el:19911328. Plane waves with random spectra: Shinozuka and Jan 1972,
    doi:10.1016/0022-460X(72)90600-1; the spectrum of the exponential covariance in the plane, 1 / (1 + k^2
    d_corr^2)^(3/2), integrated and solved for k: own.

    Options
    -------
    std_db : Standard deviation of the level; 4 dB with and 6 dB without line of sight in an urban macro cell. 0
        switches shadowing off.
    correlation_distance_m : The distance d_corr between places over which the correlation falls to 1/e, some tens of
        metres outdoors. Larger: broader patches of strong and weak signal.
    """

    kind: Literal["map"] = "map"
    needs_sight: ClassVar[bool] = False
    std_db: Annotated[float, Quantity("dB", ge=0, le=40)] = 6.0
    correlation_distance_m: Metres = 50.0

    def shadowing_at_db(self, stream: Stream, clients: ArrayLike, places: Places) -> Floats:
        """Shadowing in dB, [K, T], at the positions of `places`; who is there does not matter."""
        _, travelled = _checked(clients, places.travelled_m)
        position = np.asarray(places.position_m, dtype=np.float64)
        if position.shape != (*travelled.shape, 2):
            raise ValueError(f"position_m must have the shape {[*travelled.shape, 2]}; got {position.shape}")
        flat = (position / self.correlation_distance_m).reshape(-1, 2)
        if not (np.abs(flat) < _FURTHEST).all():
            raise ValueError("a position in m must be finite, and on the map of the shadowing")
        # A client that stands is at the same place many times: compute each run of equal places once.
        fresh = np.ones(len(flat), dtype=np.bool_)
        fresh[1:] = (flat[1:] != flat[:-1]).any(axis=1)
        level = _field(stream, flat[fresh])[np.cumsum(fresh) - 1]
        return np.asarray(self.std_db * level.reshape(travelled.shape))


@lru_cache(maxsize=16)
def _waves(stream: Stream) -> tuple[Floats, Floats, Floats]:
    """Both components of the wavenumbers, in turns per d_corr, and the phases in turns, [waves] each."""
    number = np.arange(_WAVES)
    rank = np.minimum((number + stream.uniform(number, 0)) / _WAVES, 1.0 - 2.0**-53)  # the sum may round up to N
    wavenumber = np.sqrt((1.0 - rank) ** -2 - 1.0) / (2.0 * np.pi)
    direction = 2.0 * np.pi * (_GOLDEN * number + stream.uniform(0, 1))
    return wavenumber * np.cos(direction), wavenumber * np.sin(direction), stream.uniform(number, 2)


def _field(stream: Stream, places: Floats) -> Floats:
    """The map of unit variance at places [P, 2] in correlation distances, [P]."""
    across, along, phase = _waves(stream)
    level = np.empty(len(places))
    for first in range(0, len(places), _PLACES_AT_ONCE):
        x, y = places[first : first + _PLACES_AT_ONCE].T[..., None]
        turns = x * across
        turns += y * along
        turns += phase
        turns -= np.rint(turns)
        # Single precision is good to 1e-6 of the deviation, and five times as fast. A sum along the last axis, the
        # contiguous one, is made alike for every row; a matrix product is not.
        waves = np.cos((2.0 * np.pi * turns).astype(np.float32))
        level[first : first + _PLACES_AT_ONCE] = waves.sum(axis=-1)
    return np.asarray(np.sqrt(2.0 / _WAVES) * level)


def _checked(clients: ArrayLike, travelled_m: ArrayLike) -> tuple[Ints, Floats]:
    rows = clients_array(clients)
    travelled = non_negative("a travelled distance in m", travelled_m)
    if travelled.ndim != 2 or travelled.shape[0] != rows.size:
        raise ValueError(f"travelled_m must have the shape [{rows.size} clients, times]; got {travelled.shape}")
    return rows, travelled


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
