"""The SNR that each modulation and code needs for a target block error rate, found from a model of block errors.

Knows no link and no table of its own.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, non_negative
from channels.bler import Bler, Scheme
from channels.codeblocks import code_blocks, largest_block_bits

_NODES_AN_OCTAVE = 32
_LOWEST_DB, _HIGHEST_DB, _HALVINGS = -60.0, 80.0, 52
_INSIDE = 1e-12  # relative: how far nodes stay from the ends of a range of lengths
_DECIMALS = 6  # of a length in symbols: slots of one duration differ by the rounding of times
_MOST_LENGTHS = 1 << 16


class Thresholds:
    """The least SNR at which each scheme keeps a target BLER, over the length of a block.

    It jumps where a block is cut into one code block more and is smooth between. In each such range of lengths that is
    asked for it is found by halving at 32 lengths an octave, and lies between them on straight lines in log2 n. Where
    not even 80 dB will do it is infinite.
    """

    def __init__(self, bler: Bler, schemes: tuple[Scheme, ...], target: float) -> None:
        self._bler, self._schemes, self._target = bler, schemes, target
        self._efficiency = np.array([scheme.efficiency for scheme in schemes])
        self._code_rate = np.array([scheme.code_rate for scheme in schemes])
        self._ranges: dict[tuple[int, float], tuple[Floats, Floats]] = {}
        self._rows: dict[float, list[float]] = {}

    def snr_db(self, symbols: ArrayLike) -> Floats:
        """SNR in dB [n, schemes] for lengths [n], which are taken for at least 1."""
        lengths = np.maximum(np.round(non_negative("a length in symbols", symbols), _DECIMALS), 1.0)
        different, place = np.unique(lengths, return_inverse=True)
        rows = [self._rows.get(length) or self._row(length) for length in different.tolist()]
        return np.array(rows).reshape(-1, len(self._schemes))[place]

    def _row(self, length: float) -> list[float]:
        parts = code_blocks(length * self._efficiency, self._code_rate).tolist()
        ranges = [self._range(scheme, count) for scheme, count in enumerate(parts)]
        row = [float(np.interp(math.log2(length), *nodes)) for nodes in ranges]
        if len(self._rows) >= _MOST_LENGTHS:
            self._rows.clear()
        self._rows[length] = row
        return row

    def _range(self, scheme: int, parts: float) -> tuple[Floats, Floats]:
        """Nodes in log2 n and SNR in dB over the lengths that are cut into so many code blocks."""
        found = self._ranges.get((scheme, parts))
        if found is None:
            what = self._schemes[scheme]
            ends = [largest_block_bits(count, what.code_rate) / what.efficiency for count in (parts - 1.0, parts)]
            low, high = math.log2(max(ends[0] * (1.0 + _INSIDE), 1.0)), math.log2(max(ends[1] * (1.0 - _INSIDE), 1.0))
            log_n = np.linspace(low, high, math.ceil((high - low) * _NODES_AN_OCTAVE) + 1)
            snr_db = self._solve(what, 2.0**log_n)
            if not np.isfinite(snr_db).all():
                snr_db = np.full(log_n.size, np.inf)
            found = self._ranges[scheme, parts] = log_n, snr_db
        return found

    def _solve(self, scheme: Scheme, n: Floats) -> Floats:
        low, high = np.full(n.size, _LOWEST_DB), np.full(n.size, _HIGHEST_DB)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            kept = self._bler.error(scheme, 10.0 ** (middle / 10.0), n) <= self._target
            low, high = np.where(kept, low, middle), np.where(kept, middle, high)
        return np.where(self._bler.error(scheme, 10.0 ** (high / 10.0), n) <= self._target, high, np.inf)


def thresholds(bler: Bler, schemes: tuple[Scheme, ...], target: float) -> Thresholds:
    """The thresholds of a model, found once, and anew where its file has changed."""
    model: Any = bler  # frozen, so it can be a key; the protocol cannot say so
    return _thresholds(model, schemes, target, getattr(bler, "stamp", ()))


@lru_cache(maxsize=64)
def _thresholds(bler: Any, schemes: tuple[Scheme, ...], target: float, stamp: tuple[int, ...]) -> Thresholds:
    return Thresholds(bler, schemes, target)
