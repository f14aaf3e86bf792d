"""Checked arrays: what every model does with times, distances and client numbers before it computes.

Knows no physics; keeps NaN, infinities and negative times out at the door.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SPEED_OF_LIGHT_MPS = 299_792_458.0
# A time this close below the edge of a block, in blocks, belongs to the next: 0.7 s is the start of block 7
# of 0.1 s although 0.7 / 0.1 is a little less than 7 in float64.
_EDGE = 1e-9


def non_negative(name: str, values: ArrayLike) -> Floats:
    """`values` as float64, any shape; ValueError where one is NaN, infinite or below zero."""
    array = np.asarray(values, dtype=np.float64)
    # min and max see NaN, need no temporary, and are the cost of this check
    if array.size and not (array.min() >= 0.0 and array.max() < np.inf):
        bad = array[~(np.isfinite(array) & (array >= 0.0))].flat[0]
        raise ValueError(f"{name} must be finite and at least 0; got {bad}")
    return array


def positive(name: str, value: float) -> float:
    """`value` as a float; ValueError unless finite and above zero."""
    number = float(value)
    if not 0.0 < number < np.inf:
        raise ValueError(f"{name} must be finite and above 0; got {value}")
    return number


def times_array(times_s: ArrayLike) -> Floats:
    """Times in s as a one-dimensional array; a single time becomes an array of one."""
    times = non_negative("a time in s", times_s)
    if times.ndim > 1:
        raise ValueError(f"times must be one-dimensional; got shape {times.shape}")
    return times.reshape(-1)


def offsets_array(offsets_hz: ArrayLike) -> Floats:
    """Frequencies in Hz from a carrier, of either sign, as float64 [F]; ValueError where one is NaN or infinite."""
    offsets = np.asarray(offsets_hz, dtype=np.float64)
    if offsets.ndim != 1 or not np.all(np.isfinite(offsets)):
        raise ValueError(f"offsets_hz must be a list of finite numbers; got {offsets_hz!r:.60}")
    return offsets


def clients_array(clients: ArrayLike) -> Ints:
    """Client numbers as a one-dimensional int64 array; ValueError where one is negative."""
    array: NDArray[Any] = np.asarray(clients)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu" or array.ndim > 1:
        raise ValueError(f"clients must be a list of integers; got {array.dtype} of shape {array.shape}")
    if array.size and array.min() < 0:
        raise ValueError(f"a client number must be at least 0; got {array.min()}")
    return array.astype(np.int64).reshape(-1)


def whole_numbers(name: str, values: ArrayLike) -> Ints:
    """`values` as int64, any shape; ValueError where they are no integers."""
    array: NDArray[Any] = np.asarray(values)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise ValueError(f"the number of {name} must be an integer; got {array.dtype}")
    return array.astype(np.int64, copy=False)


def ways_array(clients: ArrayLike, travelled_m: ArrayLike) -> tuple[Ints, Floats]:
    """Client numbers [K] and the ways that they have travelled [K, T] in m; ValueError for other shapes and below 0."""
    rows = clients_array(clients)
    travelled = non_negative("a travelled distance in m", travelled_m)
    if travelled.ndim != 2 or travelled.shape[0] != rows.size:
        raise ValueError(f"travelled_m must have the shape [{rows.size} clients, times]; got {travelled.shape}")
    return rows, travelled


def blocks_of(times_s: Floats, block_s: float) -> Ints:
    """The number of the block of length `block_s` that holds each time; ValueError above 2^53.

    A time within 1e-9 of a block below an edge counts as the edge.
    """
    blocks = times_s / block_s
    if blocks.size and blocks.max() >= 2.0**53:
        raise ValueError(f"a time of {times_s.max()} s holds too many blocks of {block_s} s")
    nearest = np.rint(blocks)
    return np.where(np.abs(blocks - nearest) <= _EDGE, nearest, np.floor(blocks)).astype(np.int64)
