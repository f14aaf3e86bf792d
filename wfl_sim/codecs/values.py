"""Numbers as bytes: 32-bit floats as they are, or IEEE half precision with a power-of-two scale.

Knows flat arrays; which numbers they are and where they belong is the codec's business.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
BELOW_TWO = 2.0 - 2.0**-10  # the largest half below 2


def pack(values: Float32, bits: int) -> bytes:
    """Serialise a flat array: for 16 bits one byte of exponent, then halves of values / 2^exponent.

    The exponent is that of the largest magnitude, so that small updates keep the precision of half floats
    (relative 2^-11) down to 2^-14 of the largest. Raises ValueError on a number that is not finite.
    """
    largest = float(np.abs(values).max(initial=0.0))
    if not math.isfinite(largest):
        raise ValueError("an update holds a number that is not finite, and cannot be sent")
    if bits == 32:
        return values.astype("<f4").tobytes()
    exponent = min(max(math.frexp(largest)[1] - 1, -126), 127) if largest > 0 else 0
    scaled = np.ldexp(values, -exponent)  # exact, but for what is far below the smallest half
    if exponent == 127:  # a half of 2 would be 2^128, which is no float32: take the half below
        scaled = np.clip(scaled, -BELOW_TWO, BELOW_TWO)
    return np.int8(exponent).tobytes() + scaled.astype("<f2").tobytes()


def unpack(data: bytes, offset: int, count: int, bits: int) -> tuple[Float32, int]:
    """The inverse of `pack`: `count` values from `offset` on, and the offset behind them."""
    if bits == 32:
        return np.frombuffer(data, "<f4", count, offset).astype(np.float32), offset + 4 * count
    exponent = int.from_bytes(data[offset : offset + 1], "little", signed=True)
    halves = np.frombuffer(data, "<f2", count, offset + 1).astype(np.float32)
    return np.ldexp(halves, exponent), offset + 1 + 2 * count


def packed_bytes(count: int, bits: int) -> int:
    """Length of `pack` for `count` values."""
    return 4 * count if bits == 32 else 1 + 2 * count
