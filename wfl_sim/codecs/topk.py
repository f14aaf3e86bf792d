"""Top-k: the entries of a LoRA update with the largest magnitude, wherever they are.

Knows flat arrays, not pairs; the head is always sent whole. The sparsifier of FLASC (arXiv:2406.05233).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wfl_sim.codecs import index, values
from wfl_sim.codecs.base import FORMAT, Layout, Update, ValueOptions, menu_of
from wfl_sim.contracts import Params, Payload, PayloadMenu

LEVELS = 32  # points of the menu: kept fractions 1/32 ... 1
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class TopK(ValueOptions):
    """The largest entries of a LoRA update, wherever they are.

    Each entry kept costs its value and its share of an enumerative index (near the entropy of the mask); the head is
    always sent whole. The menu has 32 points, kept fractions 1/32 to 1.

    Formula
    -------
    Kept are the floor(rho N), at least 1, of all N adapter entries with the largest |change|::

        bits = head + index + q kept + s arrays,    index about log2 C(N, kept)

    q is the bits a value; s = 8 for 16 bits and 0 for 32, for each adapter array of which something is kept; head
    counts its values and 8 bits that name the format.

    Validity
    --------
    Magnitudes depend on how a component's size is divided between A and B, which B A does not show; what is dropped is
    the smallest part of the factors, not always of their product.

    Source
    ------
    The sparsifier of FLASC, Kuo et al. 2024, arXiv:2406.05233; the index: Cover 1973, IEEE Trans. Inf. Theory 19(1)
    73-77.
    """

    kind: Literal["topk"] = "topk"

    def menu(self, layout: Layout) -> PayloadMenu:
        total = layout.size(layout.adapters)
        fixed = len(FORMAT) + self.plain_bytes(layout, layout.heads)
        if not total:
            return menu_of([(1.0, fixed)])
        sizes = []
        for level in range(1, LEVELS + 1):
            kept = _kept(level / LEVELS, total)
            scales = len(layout.adapters) if self.bits == 16 else 0
            index_bytes = -(-index.bound_bits(total, kept) // 8)
            sizes.append((level / LEVELS, fixed + index_bytes + scales + kept * self.bits // 8))
        longest = np.maximum.accumulate([length for _, length in sizes])
        return menu_of([(kept, int(length)) for (kept, _), length in zip(sizes, longest, strict=True)])

    def encode(self, update: Update, kept_fraction: float) -> Payload:
        flat = _flatten(update)
        mask = np.zeros(flat.size, dtype=bool)
        if flat.size:
            kept = _kept(kept_fraction, flat.size)
            order = np.lexsort((np.arange(flat.size), -np.abs(flat)))  # ties: the first entries
            mask[order[:kept]] = True
        return self._serialise(update, mask)

    def encode_changed(self, update: Update) -> Payload:
        mask = _flatten(update) != 0
        sparse = index.bound_bits(mask.size, int(mask.sum())) + self.bits * int(mask.sum())
        if sparse > self.bits * mask.size:
            mask[:] = True
        return self._serialise(update, mask)

    def _serialise(self, update: Update, mask: Mask) -> Payload:
        data = [FORMAT, self.pack_plain(update, update.layout.heads)]
        if mask.size:
            data.append(index.encode(mask))
        for name, part in _by_name(update.layout, mask):
            if part.any():
                data.append(values.pack(update.change[name].ravel()[part], self.bits))
        return Payload(b"".join(data), float(mask.mean()) if mask.size else 1.0)

    def decode(self, data: bytes, layout: Layout) -> Params:
        change, offset = self.unpack_plain(data, len(FORMAT), layout.heads, layout)
        total = layout.size(layout.adapters)
        mask, offset = index.decode(data, offset, total) if total else (np.zeros(0, dtype=bool), offset)
        for name, part in _by_name(layout, mask):
            flat = np.zeros(part.size, dtype=np.float32)
            if part.any():
                flat[part], offset = values.unpack(data, offset, int(part.sum()), self.bits)
            change[name] = flat.reshape(layout.shapes[name])
        return change


def _kept(kept_fraction: float, total: int) -> int:
    return max(1, int(kept_fraction * total + 1e-9))


def _flatten(update: Update) -> NDArray[np.float32]:
    parts = [update.change[name].ravel() for name in update.layout.adapters]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def _by_name(layout: Layout, mask: Mask) -> list[tuple[str, Mask]]:
    sizes = [layout.size([name]) for name in layout.adapters]
    return list(zip(layout.adapters, np.split(mask, np.cumsum(sizes)[:-1]), strict=True)) if sizes else []
