"""Line of sight: whether a client sees the base station, drawn so that it changes slowly along the client's path.

Knows no path loss; its arguments are a probability, and the distance that a client has travelled.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Bools, Floats
from channels.shadowing import LogNormal
from channels.streams import Stream


def line_of_sight(
    stream: Stream, clients: ArrayLike, travelled_m: ArrayLike, probability: Floats, correlation_distance_m: float
) -> Bools:
    """Whether each client has line of sight, [K, T].

    With G the normal process of unit variance and E[G(x) G(x')] = exp(-|x - x'| / d_corr) along the path::

        line of sight at x  <=>  Phi(G(x)) < P_LOS(x)

    Phi(G) is uniform at every x, so the share of clients with line of sight is P_LOS; a client that stands keeps
    its state. G is filled by bisection, as in `channels.shadowing.LogNormal`: a state depends only on (stream,
    client, travelled, P_LOS).

    3GPP TR 38.901, clause 7.6.3.3, compares a spatially consistent uniform variable with P_LOS, with d_corr of
    Table 7.6.3.1-2; that it be made from a normal one is this project's choice (a Gaussian copula).

    Parameters
    ----------
    stream : Stream
    clients : array_like of int
        Numbers of the clients [K].
    travelled_m : array_like of float
        Distances travelled [K, T] in m.
    probability : ndarray
        P_LOS [K, T].
    correlation_distance_m : float
        d_corr in m.
    """
    walk = LogNormal(std_db=1.0, correlation_distance_m=correlation_distance_m)
    level = walk.shadowing_db(stream, clients, travelled_m)
    # math.erfc keeps scipy out, whose import takes longer than most runs spend here.
    tail = np.fromiter(map(math.erfc, (level.ravel() / -math.sqrt(2.0)).tolist()), np.float64, level.size)
    uniform = 0.5 * tail.reshape(level.shape)
    return np.asarray((uniform < probability) | (probability >= 1.0))  # far out in the tail Phi rounds to 1
