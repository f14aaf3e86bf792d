"""Numbers as bytes: 32-bit floats, IEEE halves with a power-of-two scale, or 8-bit integers rounded without bias.

Knows flat arrays; which numbers they are and where they belong is the codec's business.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
BELOW_TWO = 2.0 - 2.0**-10  # the largest half below 2
TOP = 127  # the largest of the whole numbers of 8 bits, and minus the least: -128 is never written
# Values that share a scale at 8 bits unless a codec says otherwise: 1.6 % more bits, and the largest of so few is some
# 2.8 standard deviations of normal draws, where that of a whole factor would be 4 and each step as much coarser.
BLOCK = 128
_LARGEST = np.finfo(np.float32).max


def draws(key: int, purpose: int) -> np.random.Generator:
    """A generator of its own for an update's key and what is drawn: counter-based, so nothing else moves it."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((purpose, key))))


def pack(values: Float32, bits: int, random: np.random.Generator | None = None, block: int = BLOCK) -> bytes:
    """Serialise a flat array.

    For 16 bits one byte of exponent, then halves of values / 2^exponent. The exponent is that of the largest magnitude,
    so that small updates keep the precision of half floats (relative 2^-11) down to 2^-14 of the largest.

    For 8 bits one scale of 2 bytes for every `block` values, then whole numbers from -127 to 127: value / scale, with
    `random` rounded up as often as it lies above the lower one, so that its expectation is the value itself. A scale
    is the upper half of a float32, rounded up from largest / 127.

    Raises
    ------
    ValueError
        A number is not finite.
    """
    largest = float(np.abs(values).max(initial=0.0))
    if not math.isfinite(largest):
        raise ValueError("an update holds a number that is not finite, and cannot be sent")
    if bits == 32:
        return values.astype("<f4").tobytes()
    if bits == 8:
        return _pack_8(values, random, block)
    exponent = min(max(math.frexp(largest)[1] - 1, -126), 127) if largest > 0 else 0
    scaled = np.ldexp(values, -exponent)  # exact, but for what is far below the smallest half
    if exponent == 127:  # a half of 2 would be 2^128, which is no float32: take the half below
        scaled = np.clip(scaled, -BELOW_TWO, BELOW_TWO)
    return np.int8(exponent).tobytes() + scaled.astype("<f2").tobytes()


def unpack(data: bytes, offset: int, count: int, bits: int, block: int = BLOCK) -> tuple[Float32, int]:
    """The inverse of `pack`: `count` values from `offset` on, and the offset behind them.

    Raises
    ------
    ValueError
        The payload ends before, or holds a number that is not finite.
    """
    end = offset + packed_bytes(count, bits, block)
    if end > len(data):
        raise ValueError(
            f"a payload of {len(data)} bytes ends within {count} values of {bits} bits, which take it to byte {end}"
        )
    if bits == 32:
        found = np.frombuffer(data, "<f4", count, offset).astype(np.float32)
    elif bits == 8:
        found = _unpack_8(data, offset, count, block)
    else:
        exponent = int.from_bytes(data[offset : offset + 1], "little", signed=True)
        halves = np.frombuffer(data, "<f2", count, offset + 1).astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # which is told below
            found = np.ldexp(halves, exponent)
    if not np.isfinite(found).all():
        raise ValueError(f"a payload holds a number that is not finite, within the {count} values at byte {offset}")
    return found, end


def packed_bytes(count: int, bits: int, block: int = BLOCK) -> int:
    """Length of `pack` for `count` values."""
    if bits == 8:
        return count + 2 * -(-count // block)
    return 4 * count if bits == 32 else 1 + 2 * count


def _pack_8(values: Float32, random: np.random.Generator | None, block: int) -> bytes:
    if random is None:
        raise ValueError("8 bits are rounded at random: pack() needs a generator")
    groups = -(-values.size // block)
    padded = np.zeros(groups * block)
    padded[: values.size] = values
    steps = padded.reshape(groups, block)
    scales = _upper_half(np.abs(steps).max(axis=1, initial=0.0) / TOP)
    steps /= np.where(scales > 0, scales, np.float32(1))[:, None]
    lower = np.floor(steps)
    steps -= lower  # how far above: the probability of the upper one
    lower += random.random(steps.shape, dtype=np.float32) < steps
    # A quotient that was rounded may stand a last bit above 127.
    whole = np.clip(lower, -TOP, TOP, out=lower).astype(np.int8).reshape(-1)[: values.size]
    return (scales.view(np.uint32) >> 16).astype("<u2").tobytes() + whole.tobytes()


def _unpack_8(data: bytes, offset: int, count: int, block: int) -> Float32:
    groups = -(-count // block)
    scales = (np.frombuffer(data, "<u2", groups, offset).astype(np.uint32) << 16).view(np.float32)
    whole = np.frombuffer(data, np.int8, count, offset + 2 * groups)
    if not np.isfinite(scales).all():
        return np.full(count, np.nan, np.float32)  # which the caller tells
    found = np.repeat(scales, block)[:count] * whole.astype(float)
    # A scale that was rounded up may lift the largest float32 above itself.
    return np.asarray(np.clip(found, -_LARGEST, _LARGEST), np.float32)


def _upper_half(wanted: NDArray[np.float64]) -> Float32:
    """The least numbers, none below `wanted` >= 0, of which a float32 keeps only the upper 16 bits."""
    single = wanted.astype(np.float32)
    single = np.where(single < wanted, np.nextafter(single, np.float32(np.inf)), single)
    return ((single.view(np.uint32) + np.uint32(0xFFFF)) & np.uint32(0xFFFF0000)).view(np.float32)
