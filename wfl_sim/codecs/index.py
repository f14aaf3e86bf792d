"""Which entries were kept, in nearly as few bits as there can be: an enumerative code of the mask.

Knows masks only. The mask is cut into blocks; each block is its count and the rank of its pattern among all
patterns of that count (Cover 1973, IEEE Trans. Inf. Theory 19(1) 73-77), ceil(log2 C(n, k)) bits. Blocks keep
the integers small; over one code for the whole mask they cost 1 % at density 1/2, 2 % at 1/8 and 7 % at 1/32.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import cache

import numpy as np
from numpy.typing import NDArray

BLOCK = 512
Mask = NDArray[np.bool_]


@cache
def _column(k: int) -> list[int]:
    """C(n, k) for n = 0 .. BLOCK - 1: rises with n."""
    return [math.comb(n, k) for n in range(BLOCK)]


def _rank_bits(n: int, k: int) -> int:
    return (math.comb(n, k) - 1).bit_length()


def encode(mask: Mask) -> bytes:
    """Serialise a mask [n], padded with zero bits to whole bytes."""
    code, length = 0, 0
    for start in range(0, mask.size, BLOCK):
        block = mask[start : start + BLOCK]
        kept = np.flatnonzero(block).tolist()
        rank = sum(_column(i)[position] for i, position in enumerate(kept, start=1))
        for value, width in ((len(kept), block.size.bit_length()), (rank, _rank_bits(block.size, len(kept)))):
            code, length = (code << width) | value, length + width
    padding = -length % 8
    return (code << padding).to_bytes((length + padding) // 8, "big")


def decode(data: bytes, offset: int, size: int) -> tuple[Mask, int]:
    """The mask [size] that starts at byte `offset`, and the offset behind it."""
    code = int.from_bytes(data[offset : offset + math.ceil(bound_bits(size) / 8)], "big")
    left = 8 * min(len(data) - offset, math.ceil(bound_bits(size) / 8))
    total = left

    def take(width: int) -> int:
        nonlocal left
        left -= width
        return (code >> left) & ((1 << width) - 1)

    mask = np.zeros(size, dtype=bool)
    for start in range(0, size, BLOCK):
        n = min(BLOCK, size - start)
        k = take(n.bit_length())
        rank = take(_rank_bits(n, k))
        for i in range(k, 0, -1):
            position = bisect_right(_column(i), rank) - 1
            mask[start + position] = True
            rank -= _column(i)[position]
    return mask, offset + math.ceil((total - left) / 8)


def bound_bits(size: int, kept: int | None = None) -> int:
    """The most bits that `encode` takes for a mask of `size` entries with `kept` ones (or any number)."""
    blocks = [min(BLOCK, size - start) for start in range(0, size, BLOCK)]
    counts = sum(n.bit_length() for n in blocks)
    if kept is None:
        return counts + sum(_rank_bits(n, n // 2) for n in blocks)
    if len(blocks) == 1:
        return counts + _rank_bits(size, kept)
    # Patterns that agree with the blocks' counts are some of all patterns; each block rounds up by a bit.
    return counts + _log2_choose(size, kept) + len(blocks)


def _log2_choose(n: int, k: int) -> int:
    return math.ceil((math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2) + 1e-6)
