"""Code blocks: into how many pieces a transport block is cut, and how often it is lost with any of them.

Knows sizes and code rates; knows no SNR and no model of errors.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, non_negative

_LIMIT_BG1_BITS, _LIMIT_BG2_BITS, _CRC_BITS = 8448, 3840, 24  # TS 38.212, clauses 5.2.2 and 7.2.1
_SHORT_CRC_BITS, _SHORT_BITS = 16, 3824  # the check sum of a transport block up to so many bits


def code_blocks(bits: ArrayLike, code_rate: ArrayLike) -> Floats:
    """How many code blocks a transport block of so many bits is cut into (TS 38.212, 5.2.2 and 7.2.1/2).

    The base graph, and with it the largest code block (8448 or 3840 bits), follows from size and code rate, which
    broadcast. The check sum of 24 bits of a large transport block counts here, though not in what it carries.
    """
    size, rate = non_negative("a size in bits", bits), non_negative("a code rate", code_rate)
    return _code_blocks(float(size), float(rate)) if size.ndim == rate.ndim == 0 else _code_blocks_of(size, rate)


@lru_cache(maxsize=4096)
def _code_blocks(bits: float, code_rate: float) -> Floats:
    return _code_blocks_of(np.asarray(bits), np.asarray(code_rate))


def _code_blocks_of(size: Floats, code_rate: Floats) -> Floats:
    small = (size <= 292) | ((size <= _SHORT_BITS) & (code_rate <= 0.67)) | (code_rate <= 0.25)
    limit = np.where(small, _LIMIT_BG2_BITS, _LIMIT_BG1_BITS)
    whole = size + np.where(size > _SHORT_BITS, _CRC_BITS, _SHORT_CRC_BITS)
    return np.where(whole <= limit, 1.0, np.ceil(whole / (limit - _CRC_BITS)))


def largest_block_bits(blocks: float, code_rate: float) -> float:
    """The largest transport block in bits that is cut into so many code blocks; 0 for none."""
    if blocks < 1.0:
        return 0.0
    limit = _LIMIT_BG2_BITS if code_rate <= 0.25 else _LIMIT_BG1_BITS
    if blocks == 1.0:
        return float(max(_SHORT_BITS, limit - _CRC_BITS))
    return (limit - _CRC_BITS) * blocks - _CRC_BITS


def transport_block_error(code_block_error: ArrayLike, blocks: ArrayLike) -> Floats:
    """1 - (1 - BLER)^C: a transport block is lost if any of its C code blocks is.

    Parameters
    ----------
    code_block_error : array_like of float
        Probabilities; ValueError outside [0, 1].
    blocks : array_like of float
        C, at least 1; they broadcast.
    """
    error, parts = non_negative("a probability", code_block_error), non_negative("a number of code blocks", blocks)
    if error.size and error.max() > 1.0:
        raise ValueError(f"a probability must be at most 1; got {error.max()}")
    if parts.size and parts.min() < 1.0:
        raise ValueError(f"a number of code blocks must be at least 1; got {parts.min()}")
    if np.all(parts == 1.0):
        return np.broadcast_to(error, np.broadcast_shapes(error.shape, parts.shape))
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(parts * np.log1p(-error)))
