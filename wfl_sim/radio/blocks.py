"""Packets over a run of slots of which some are lost: which packets have a part in them, and what is sent next.

Knows bits and slots: `ends_bits` [n + 1] are the bits that have passed at the edges of n slots, and `lost_slots`
[receivers, n] says at which receivers those of a slot are lost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wfl_sim.contracts import FloatArray


def spoilt(
    before: NDArray[np.bool_] | None,
    ends_bits: FloatArray,
    lost_slots: NDArray[np.bool_],
    at_bits: float,
    packet_ends_bits: FloatArray,
) -> NDArray[np.bool_]:
    """Whether packets that follow one another from `at_bits` on have a part in a lost block, [receivers, packets].

    `before` [receivers] says it of the part of the first packet that passed in earlier slots.
    """
    most = lost_slots.shape[1]
    count = np.zeros((lost_slots.shape[0], most + 1), dtype=np.int64)
    np.cumsum(lost_slots, axis=1, out=count[:, 1:])
    starts = np.concatenate(([at_bits], packet_ends_bits[:-1]))
    begin = np.minimum(np.searchsorted(ends_bits, starts, side="right") - 1, most)
    end = np.minimum(np.searchsorted(ends_bits, packet_ends_bits, side="left"), most)
    found = count[:, np.maximum(begin, end)] > count[:, begin]
    if before is not None:
        found[:, 0] |= before
    return np.asarray(found)


def up_to_lost(ends_bits: FloatArray, lost_slots: NDArray[np.bool_], packet_ends_bits: FloatArray) -> FloatArray:
    """The packets up to the first that ends in a lost block: what is sent next is not known before that block ends."""
    lost = np.asarray(lost_slots.any(axis=0))[_slots_of(ends_bits, packet_ends_bits)]
    return packet_ends_bits[: int(lost.argmax()) + 1] if lost.any() else packet_ends_bits


def past_lost(ends_bits: FloatArray, lost_slots: NDArray[np.bool_], at_bits: float) -> float:
    """Where the next packet begins: behind the block in which the last one ended, if that is lost."""
    slot = int(_slots_of(ends_bits, np.array([at_bits]))[0])
    return float(ends_bits[slot + 1]) if lost_slots[:, slot].any() else at_bits


def _slots_of(ends_bits: FloatArray, at_bits: FloatArray) -> NDArray[np.intp]:
    """The slot in which each bit passes."""
    return np.asarray(np.minimum(np.searchsorted(ends_bits, at_bits, side="left"), ends_bits.size - 1) - 1)
