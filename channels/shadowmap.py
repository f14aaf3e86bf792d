"""Shadowing as a map of the cell: a sum of plane waves that all clients move through.

Knows no path loss, no line of sight and no time; the contract stands in `channels.shadowing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, ways_array
from channels.options import Options
from channels.streams import Stream
from channels.units import Metres, Quantity

if TYPE_CHECKING:
    from channels.shadowing import Places

_WAVES = 256
# turns from one wave's direction to the next: evenly spread however many there are
_GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)
_PLACES_AT_ONCE = 128  # times the waves: 256 KiB, which stay in the second-level cache
_FURTHEST = 2.0**40  # correlation distances; there the phases of nearly all waves are good to 1e-3


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
        _, travelled = ways_array(clients, places.travelled_m)
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
