"""Top-k: the entries of a LoRA update with the largest magnitude, wherever they are.

Knows flat arrays, not pairs; the head is always sent whole. The sparsifier of FLASC (arXiv:2406.05233).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from wfl_sim.codecs import index, values
from wfl_sim.codecs.base import (
    ADAPTERS,
    ALL,
    HEADER,
    Kept,
    Layout,
    Mask,
    Update,
    ValueOptions,
    closed,
    dropped,
    kept_number,
    menu_of,
)
from wfl_sim.contracts import FloatArray, Params, Payload, PayloadMenu

# Kept fractions of the menu, in steps of a quarter of an octave up to 1/32, of an eighth up to 1/4, and of 1/32 beyond:
# no point keeps more than a fifth more than the one before.
LEVELS = (
    *(2.0 ** (step / 4 - 9) for step in range(16)),
    *(2.0 ** (step / 8 - 5) for step in range(24)),
    *(step / 32 for step in range(8, 33)),
)


@dataclass(frozen=True)
class TopK(ValueOptions):
    """The largest entries of a LoRA update, wherever they are.

    Each entry kept costs its value and its share of an enumerative index (near the entropy of the mask); the head is
    always sent whole. The menu has 65 kept fractions from 1/512 to 1: small ones in equal ratios, those from 1/4 on in
    equal steps.

    Formula
    -------
    Kept are the floor(rho N), at least 1, of all N adapter entries with the largest |change|::

        bits = head + index + q kept + scales,    index about log2 C(N, kept)

    q is the bits a value; scales take nothing for 32 bits, 8 bits for 16, and 16 bits for each 128 values that are kept
    for 8, array by array, where something of an adapter array is kept; head counts its values and 8 bits that name the
    format.

    Validity
    --------
    Magnitudes depend on how a component's size is divided between A and B, which B A does not show; what is dropped is
    the smallest part of the factors, not always of their product.

    Source
    ------
    The sparsifier of FLASC, Kuo et al. 2024, arXiv:2406.05233; the index: Cover 1973, IEEE Trans. Inf. Theory 19(1)
    73-77.
    """

    aliases: ClassVar[tuple[str, ...]] = ("flasc",)
    formats: ClassVar[tuple[int, ...]] = (2,)

    kind: Literal["topk"] = "topk"

    def menu(self, layout: Layout) -> PayloadMenu:
        total = layout.size(layout.adapters)
        fixed = HEADER + self.plain_bytes(layout, layout.heads)
        if not total:
            return menu_of([(1.0, fixed)])
        arrays, sizes = len(layout.adapters), []
        for level in LEVELS:
            kept = kept_number(level, total)
            # At most one scale an array that is cut short, besides those of whole blocks (at 16 bits one in all).
            scales = {8: 2 * (kept // values.BLOCK + min(kept, arrays)), 16: arrays, 32: 0}[self.bits]
            index_bytes = -(-index.bound_bits(total, kept) // 8)
            sizes.append((level, fixed + index_bytes + scales + kept * self.bits // 8))
        return menu_of(sizes)

    def encode(self, update: Update, kept_fraction: float) -> Payload:
        size = np.abs(_flatten(update))
        mask = np.zeros(size.size, dtype=bool)
        if size.size:
            kept = kept_number(kept_fraction, size.size)
            least = np.partition(size, size.size - kept)[size.size - kept]
            mask = size > least
            mask[np.flatnonzero(size == least)[: kept - int(mask.sum())]] = True  # ties: the first entries
        return self._serialise(update, mask, self.bits)

    def encode_changed(self, update: Update) -> Payload:
        mask, bits = _flatten(update) != 0, self.broadcast_bits
        sparse = index.bound_bits(mask.size, int(mask.sum())) + bits * int(mask.sum())
        if sparse > bits * mask.size:
            mask[:] = True
        return self._serialise(update, mask, bits)

    def _serialise(self, update: Update, mask: Mask, bits: int) -> Payload:
        data = [self.header(bits), self.pack_plain(update, update.layout.heads, bits)]
        random = values.draws(update.key, ADAPTERS) if bits == 8 else None
        if mask.size:
            data.append(index.encode(mask))
        for name, part in _by_name(update.layout, mask):
            if part.any():
                data.append(values.pack(update.change[name].ravel()[part], bits, random))
        return Payload(b"".join(data), float(mask.mean()) if mask.size else 1.0)

    def decode(self, data: bytes, layout: Layout) -> Params:
        bits, change, mask, offset = self._opened(data, layout)
        for name, part in _by_name(layout, mask):
            flat = np.zeros(part.size, dtype=np.float32)
            if part.any():
                flat[part], offset = values.unpack(data, offset, int(part.sum()), bits)
            change[name] = flat.reshape(layout.shapes[name])
        closed(data, offset)
        return change

    def kept(self, data: bytes, layout: Layout) -> Kept:
        _, _, mask, _ = self._opened(data, layout)
        parts = {name: part.reshape(layout.shapes[name]) for name, part in _by_name(layout, mask)}
        return {**dict.fromkeys(layout.heads, ALL), **parts}

    def _opened(self, data: bytes, layout: Layout) -> tuple[int, Params, Mask, int]:
        """Bits a value, the head, which adapter entries follow, and where."""
        bits, _ = self.opened(data)
        change, offset = self.unpack_plain(data, HEADER, layout.heads, layout, bits)
        total = layout.size(layout.adapters)
        mask, offset = index.decode(data, offset, total) if total else (np.zeros(0, dtype=bool), offset)
        return bits, change, mask, offset

    def curve(self, update: Update) -> FloatArray:
        energies = np.sort(_flatten(update).astype(float) ** 2)[::-1]
        if not energies.size:
            return np.zeros(1)
        upto = np.cumsum(energies)
        numbers = [kept_number(level, upto.size) for level in LEVELS]
        return dropped(upto[np.array(numbers) - 1], float(upto[-1]))

    def energy(self, update: Update) -> float:
        return float(np.sum(_flatten(update).astype(float) ** 2))


def _flatten(update: Update) -> NDArray[np.float32]:
    parts = [update.change[name].ravel() for name in update.layout.adapters]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def _by_name(layout: Layout, mask: Mask) -> list[tuple[str, Mask]]:
    sizes = [layout.size([name]) for name in layout.adapters]
    return list(zip(layout.adapters, np.split(mask, np.cumsum(sizes)[:-1]), strict=True)) if sizes else []
