"""Components: of a LoRA update, the rank components that matter most, as whole (row of A, column of B) pairs.

Knows the pairs and their norms; the head is always sent whole.

The selection of SOFT, a reconstruction from Kim & Choi, arXiv:2505.00333, which says that components are
scored by norms without an SVD.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from wfl_sim import lowrank
from wfl_sim.codecs import index as masks
from wfl_sim.codecs import values
from wfl_sim.codecs.base import (
    ADAPTERS,
    ALL,
    CHOICE,
    COMMON_CHOICE,
    HEADER,
    Kept,
    Layout,
    Mask,
    Update,
    ValueOptions,
    closed,
    common_key,
    dropped,
    kept_number,
    menu_of,
)
from wfl_sim.contracts import FloatArray, Params, Payload, PayloadMenu

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Components(ValueOptions):
    """The rank components of a LoRA update that matter most, as whole (row of A, column of B) pairs.

    The receiver keeps the old pair of every component that is not sent; the head is always sent whole.

    Formula
    -------
    Kept are the floor(rho R), at least 1, of all R components with the largest score^2 per value sent, or of the r of
    each layer the floor(rho r), at least 1::

        score    d_i = |b'_i a'_i - b_i a_i|_F (change)   or   p_i = |b'_i|_2 |a'_i|_2 (weight)
                 or   (|db_i|_2^2 + |da_i|_2^2)^(1/2) (update)
        bits     head + index + sum over the kept of q (m_i + n_i) + scales
        index    R (bitmap)   or   ceil(log2 (R + 1)) + ceil(log2 C(R, kept)) (combinatorial, R < 512)

    b_i, a_i are column and row before local training, b'_i, a'_i after it, db_i, da_i their changes; m_i + n_i is the
    number of values of a component, q the bits a value. Scales take nothing for 32 bits; for 16, 8 bits for each
    adapter array of which something is kept; for 8, 16 bits for the row and for the column of each that is kept. The
    index is padded to bytes; a longer one is cut into blocks of 512. head counts its values and 8 bits that name the
    format.

    Validity
    --------
    The error in B A is the root of the sum of the dropped d_i^2 where the changes of the components are orthogonal to
    each other, else roughly so. The p_i are the singular values of B A only if the components are orthogonal, as
    ``soft`` has them nearly. The score ``update`` depends on how a component's size is divided between A and B.

    Source
    ------
    The selection of SOFT, a reconstruction from Kim and Choi, arXiv:2505.00333, which says that components are scored
    by norms without an SVD; the scores by change and update and the division by the number of values are our own, as
    are random components, a baseline. The index: Cover 1973, IEEE Trans. Inf. Theory 19(1) 73-77.

    Options
    -------
    score : What makes a component matter: ``change`` is what is missing if it is not sent, ``weight`` its own size
        after training, the reading closest to the paper's words, ``update`` the size of the change of its factors.
    select : Which are kept: ``top`` takes those of the largest score; ``random`` draws them, for each client and round
        anew, and ``random_common`` for each round, the same for all clients. Drawn ones are a baseline: what the
        scores are worth.
    scope : Who competes: ``global`` all layers for the kept fraction; ``per_layer`` the components of a layer for
        that part of their own.
    index : How the receiver is told which: ``combinatorial`` is the shorter, ``bitmap`` one bit a component.
    """

    needs_pairs: ClassVar[bool] = True
    formats: ClassVar[tuple[int, ...]] = (3,)

    kind: Literal["components"] = "components"
    score: Literal["change", "weight", "update"] = "change"
    select: Literal["top", "random", "random_common"] = "top"
    scope: Literal["global", "per_layer"] = "global"
    index: Literal["combinatorial", "bitmap"] = "combinatorial"

    def menu(self, layout: Layout) -> PayloadMenu:
        ranks, widths = _ranks(layout), _widths(layout)
        fixed = HEADER + self.plain_bytes(layout, layout.plain)
        return menu_of(
            [(rho, fixed + self._most_bytes(ranks, widths, self._numbers(rho, ranks))) for rho in self._points(ranks)]
            or [(1.0, fixed)]
        )

    def _points(self, ranks: Sequence[int]) -> list[float]:
        """The kept fractions at which one more is kept."""
        groups = {sum(ranks)} - {0} if self.scope == "global" else set(ranks)
        return sorted({kept / size for size in groups for kept in range(1, size + 1)})

    def _numbers(self, kept_fraction: float, ranks: Sequence[int]) -> list[int]:
        """How many are kept: of all, or of each layer."""
        return [kept_number(kept_fraction, size) for size in ([sum(ranks)] if self.scope == "global" else ranks)]

    def _most_bytes(self, ranks: Sequence[int], widths: Numbers, numbers: Sequence[int]) -> int:
        """The most that index, scales and values may take."""
        kept = sum(numbers)
        if self.scope == "global":  # a bound where layers differ in size: the widest ones first
            sent, arrays = int(np.sort(widths)[::-1][:kept].sum()), 2 * min(kept, len(ranks))
        else:
            parts = zip(numbers, np.split(widths, np.cumsum(ranks)[:-1]), strict=True)
            sent, arrays = sum(number * int(part[0]) for number, part in parts), 2 * len(ranks)
        bits = widths.size if self.index == "bitmap" else masks.bound_bits(widths.size, kept)
        scales = {8: 2 * 2 * kept, 16: arrays, 32: 0}[self.bits]
        return -(-bits // 8) + scales + sent * self.bits // 8

    def scores(self, update: Update) -> FloatArray:
        """One score a component, all pairs in turn."""
        if self.score == "change":
            return np.sqrt(_energies(update))
        parts = []
        for name_a, name_b in update.layout.pairs:
            change_a, change_b = update.change[name_a], update.change[name_b]
            if self.score == "update":
                parts.append(np.sqrt(lowrank.factor_energies(change_a, change_b)))
            else:
                # In float64: the sum in float32 would round a small change away.
                a, b = update.base[name_a].astype(float), update.base[name_b].astype(float)
                parts.append(lowrank.component_norms(a + change_a, b + change_b))
        return np.concatenate(parts) if parts else np.zeros(0)

    def encode(self, update: Update, kept_fraction: float) -> Payload:
        ranks = _ranks(update.layout)
        mask = self._best(self._places(update), kept_fraction, ranks) if ranks else np.zeros(0, dtype=bool)
        return self._serialise(update, mask, self.bits)

    def _places(self, update: Update) -> Numbers:
        """The place of each component among all, or among those of its layer: 0 is the first to be sent."""
        ranks = _ranks(update.layout)
        if self.select == "top":
            value = self.scores(update) ** 2 / _widths(update.layout)
        elif self.select == "random":
            value = values.draws(update.key, CHOICE).random(sum(ranks))
        else:
            value = values.draws(common_key(update.key), COMMON_CHOICE).random(sum(ranks))
        groups = [value] if self.scope == "global" else np.split(value, np.cumsum(ranks)[:-1])
        return np.concatenate([np.argsort(np.argsort(-group, kind="stable")) for group in groups])

    def _best(self, places: Numbers, kept_fraction: float, ranks: Sequence[int]) -> Mask:
        numbers = self._numbers(kept_fraction, ranks)
        return np.asarray(places < (numbers[0] if self.scope == "global" else np.repeat(numbers, ranks)))

    def encode_changed(self, update: Update) -> Payload:
        parts = [update.change[a].any(axis=1) | update.change[b].any(axis=0) for a, b in update.layout.pairs]
        return self._serialise(update, np.concatenate(parts) if parts else np.zeros(0, bool), self.broadcast_bits)

    def _serialise(self, update: Update, mask: Mask, bits: int) -> Payload:
        data = [self.header(bits), self.pack_plain(update, update.layout.plain, bits)]
        random = values.draws(update.key, ADAPTERS) if bits == 8 else None
        if mask.size:
            data.append(masks.encode_bitmap(mask) if self.index == "bitmap" else masks.encode(mask))
        for (name_a, name_b), rows in _by_pair(update.layout, mask):
            if rows.any():
                for part in (update.change[name_a][rows], update.change[name_b].T[rows]):
                    data.append(values.pack(part.ravel(), bits, random, block=part.shape[1]))
        return Payload(b"".join(data), float(mask.mean()) if mask.size else 1.0)

    def decode(self, data: bytes, layout: Layout) -> Params:
        bits, change, mask, offset = self._opened(data, layout)
        for (name_a, name_b), rows in _by_pair(layout, mask):
            for name, by_row in ((name_a, True), (name_b, False)):
                shape = layout.shapes[name]
                part = np.zeros(shape if by_row else shape[::-1], dtype=np.float32)
                if rows.any():
                    wide = part.shape[1]
                    flat, offset = values.unpack(data, offset, int(rows.sum()) * wide, bits, block=wide)
                    part[rows] = flat.reshape(-1, wide)
                change[name] = part if by_row else np.ascontiguousarray(part.T)
        closed(data, offset)
        return change

    def kept(self, data: bytes, layout: Layout) -> Kept:
        _, _, mask, _ = self._opened(data, layout)
        found = dict.fromkeys(layout.plain, ALL)
        for (name_a, name_b), rows in _by_pair(layout, mask):
            found[name_a], found[name_b] = rows[:, None], rows[None, :]
        return found

    def _opened(self, data: bytes, layout: Layout) -> tuple[int, Params, Mask, int]:
        """Bits a value, the plain arrays, which components follow, and where."""
        bits, _ = self.opened(data)
        change, offset = self.unpack_plain(data, HEADER, layout.plain, layout, bits)
        mask, total = np.zeros(0, dtype=bool), sum(_ranks(layout))
        if total:
            read = masks.decode_bitmap if self.index == "bitmap" else masks.decode
            mask, offset = read(data, offset, total)
        return bits, change, mask, offset

    def curve(self, update: Update) -> FloatArray:
        ranks = _ranks(update.layout)
        if not ranks:
            return np.zeros(1)
        energies, places = _energies(update), self._places(update)
        bounds: Sequence[int] = [] if self.scope == "global" else np.cumsum(ranks)[:-1].tolist()
        groups = zip(np.split(energies, bounds), np.split(places, bounds), strict=True)
        upto = [np.cumsum(part[np.argsort(place)]) for part, place in groups]  # energy of the first 1, 2, ... of each
        numbers = [self._numbers(rho, ranks) for rho in self._points(ranks)]
        kept = sum(part[np.array(number) - 1] for part, number in zip(upto, zip(*numbers, strict=True), strict=True))
        return dropped(np.asarray(kept), float(energies.sum()))

    def energy(self, update: Update) -> float:
        return float(_energies(update).sum())


def _energies(update: Update) -> FloatArray:
    """d_i^2 of all components, all pairs in turn."""
    base, change = update.base, update.change
    parts = [lowrank.change_energies(base[a], base[b], change[a], change[b]) for a, b in update.layout.pairs]
    return np.concatenate(parts) if parts else np.zeros(0)


def _ranks(layout: Layout) -> list[int]:
    return [layout.shapes[a][0] for a, _ in layout.pairs]


def _widths(layout: Layout) -> Numbers:
    """Values sent for each component: m + n of its pair."""
    widths = [np.full(layout.shapes[a][0], layout.shapes[a][1] + layout.shapes[b][0]) for a, b in layout.pairs]
    return np.concatenate(widths) if widths else np.zeros(0, dtype=np.int64)


def _by_pair(layout: Layout, mask: Mask) -> list[tuple[tuple[str, str], Mask]]:
    """Each pair with its part of the mask."""
    ranks = _ranks(layout)
    return list(zip(layout.pairs, np.split(mask, np.cumsum(ranks)[:-1]), strict=True)) if ranks else []
