"""The SNR that each modulation and code needs for a target block error rate, found from a model of block errors.

Knows no link and no table of its own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats
from channels.bler import Bler, Scheme

# Thresholds are found once for lengths an even step apart in log2, and between them on straight lines.
_LOG2_LENGTHS = np.arange(0.0, 40.25, 0.25)
_LOWEST_DB, _HIGHEST_DB, _HALVINGS = -60.0, 80.0, 52


class Thresholds:
    """The least SNR at which each scheme keeps a target BLER, over the length of a block.

    It is found by halving at lengths of 1 to 2^40 symbols, a quarter of an octave apart, to 1e-13 dB, and lies between
    them on straight lines in log2 n. Where not even 80 dB will do it is infinite.
    """

    def __init__(self, bler: Bler, schemes: tuple[Scheme, ...], target: float) -> None:
        rows = []
        n = 2.0**_LOG2_LENGTHS
        for scheme in schemes:
            low, high = np.full(n.size, _LOWEST_DB), np.full(n.size, _HIGHEST_DB)
            for _ in range(_HALVINGS):
                middle = 0.5 * (low + high)
                kept = bler.error(scheme, 10.0 ** (middle / 10.0), n) <= target
                low, high = np.where(kept, low, middle), np.where(kept, middle, high)
            rows.append(np.where(bler.error(scheme, 10.0 ** (high / 10.0), n) <= target, high, np.inf))
        self._table_db = np.array(rows)

    def snr_db(self, symbols: ArrayLike) -> Floats:
        """SNR in dB [n, schemes] for lengths [n], which are taken for at least 1."""
        place = np.clip(np.log2(np.maximum(symbols, 1.0)) / _LOG2_LENGTHS[1], 0.0, _LOG2_LENGTHS.size - 1.0)
        low = np.minimum(place.astype(np.int64), _LOG2_LENGTHS.size - 2)
        share = (place - low)[:, None]
        table = self._table_db.T
        with np.errstate(invalid="ignore"):  # infinite at both ends
            found = table[low] + share * (table[low + 1] - table[low])
        return np.asarray(np.where(np.isnan(found), np.inf, found))


def thresholds(bler: Bler, schemes: tuple[Scheme, ...], target: float) -> Thresholds:
    """The thresholds of a model, found once, and anew where its file has changed."""
    model: Any = bler  # frozen, so it can be a key; the protocol cannot say so
    return _thresholds(model, schemes, target, getattr(bler, "stamp", 0))


@lru_cache(maxsize=64)
def _thresholds(bler: Any, schemes: tuple[Scheme, ...], target: float, stamp: int) -> Thresholds:
    return Thresholds(bler, schemes, target)
