"""Shadowing: slow changes of the mean level as a client moves behind and out from behind obstacles.

Knows no path loss and no time: its argument is the distance that a client has travelled along its path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, Ints, clients_array, non_negative
from channels.options import Options
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
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    def shadowing_db(self, stream: Stream, clients: ArrayLike, travelled_m: ArrayLike) -> Floats:
        """Level in dB relative to path loss alone."""
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
    value there. Clients are independent of each other, even side by side. A static client keeps the value it starts
    with.

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


SHADOWING: dict[str, type[NoShadowing] | type[LogNormal]] = {"none": NoShadowing, "log_normal": LogNormal}
