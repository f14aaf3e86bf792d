"""Components: of a LoRA update, the rank components that matter most, as whole (row of A, column of B) pairs.

Knows the pairs and their norms; the head is always sent whole.

The selection of SOFT, a reconstruction from Kim & Choi, arXiv:2505.00333, which says that components are
scored by norms without an SVD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from wfl_sim import lowrank
from wfl_sim.codecs import index, values
from wfl_sim.codecs.base import FORMAT, Layout, Update, ValueOptions, menu_of
from wfl_sim.contracts import FloatArray, Params, Payload, PayloadMenu

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Components(ValueOptions):
    """The rank components of a LoRA update that matter most, as whole (row of A, column of B) pairs.

    The receiver keeps the old pair of every component that is not sent; the head is always sent whole.

    Formula
    -------
    Kept are the floor(rho R), at least 1, of all R components with the largest score^2 per value sent::

        score    d_i = |b'_i a'_i - b_i a_i|_F (change)   or   p_i = |b'_i|_2 |a'_i|_2 (weight)
        bits     head + index + sum over the kept of q (m_i + n_i) + s arrays

    b_i, a_i are column and row before local training, b'_i, a'_i after it; m_i + n_i is the number of values of a
    component, q the bits a value; s = 8 for 16 bits and 0 for 32, for each adapter array of which something is kept;
    head counts its values and 8 bits that name the format.

    Validity
    --------
    The error in B A is the root of the sum of the dropped d_i^2 where the changes of the components are orthogonal to
    each other, else roughly so. The p_i are the singular values of B A only if the components are orthogonal, as
    ``soft`` has them nearly.

    Source
    ------
    The selection of SOFT, a reconstruction from Kim and Choi, arXiv:2505.00333, which says that components are scored
    by norms without an SVD; the score by change and the division by the number of values are our own.

    Options
    -------
    score : What makes a component matter: ``change`` is what is missing if it is not sent, ``weight`` its own size
        after training, the reading closest to the paper's words.
    """

    needs_pairs: ClassVar[bool] = True

    kind: Literal["components"] = "components"
    score: Literal["change", "weight"] = "change"

    def menu(self, layout: Layout) -> PayloadMenu:
        widths = np.sort(_widths(layout))[::-1]  # a bound where layers differ in size: the widest ones first
        fixed = len(FORMAT) + self.plain_bytes(layout, layout.plain)
        sizes = []
        for kept in range(1, widths.size + 1):
            scales = 2 * min(kept, len(layout.pairs)) if self.bits == 16 else 0
            numbers = int(widths[:kept].sum()) * self.bits // 8
            length = fixed + -(-index.bound_bits(widths.size, kept) // 8) + scales + numbers
            sizes.append((kept / widths.size, length))
        if not sizes:
            return menu_of([(1.0, fixed)])
        # The index is shortest where all or none are kept; a menu rises, so its bounds do.
        longest = np.maximum.accumulate([length for _, length in sizes])
        return menu_of([(kept, int(length)) for (kept, _), length in zip(sizes, longest, strict=True)])

    def scores(self, update: Update) -> FloatArray:
        """One score a component, all pairs in turn."""
        parts = []
        for name_a, name_b in update.layout.pairs:
            # In float64: the sum in float32 would round a small change away.
            a, b = update.base[name_a].astype(float), update.base[name_b].astype(float)
            new_a, new_b = a + update.change[name_a], b + update.change[name_b]
            if self.score == "change":
                parts.append(lowrank.component_changes(a, b, new_a, new_b))
            else:
                parts.append(lowrank.component_norms(new_a, new_b))
        return np.concatenate(parts) if parts else np.zeros(0)

    def encode(self, update: Update, kept_fraction: float) -> Payload:
        scores = self.scores(update)
        mask = np.zeros(scores.size, dtype=bool)
        if scores.size:
            kept = max(1, int(kept_fraction * scores.size + 1e-9))
            value = scores**2 / _widths(update.layout)
            mask[np.argsort(-value, kind="stable")[:kept]] = True
        return self._serialise(update, mask)

    def encode_changed(self, update: Update) -> Payload:
        parts = [update.change[a].any(axis=1) | update.change[b].any(axis=0) for a, b in update.layout.pairs]
        return self._serialise(update, np.concatenate(parts) if parts else np.zeros(0, dtype=bool))

    def _serialise(self, update: Update, mask: Mask) -> Payload:
        data = [FORMAT, self.pack_plain(update, update.layout.plain)]
        if mask.size:
            data.append(index.encode(mask))
        for (name_a, name_b), rows in _by_pair(update.layout, mask):
            if rows.any():
                data.append(values.pack(update.change[name_a][rows].ravel(), self.bits))
                data.append(values.pack(update.change[name_b].T[rows].ravel(), self.bits))
        return Payload(b"".join(data), float(mask.mean()) if mask.size else 1.0)

    def decode(self, data: bytes, layout: Layout) -> Params:
        change, offset = self.unpack_plain(data, len(FORMAT), layout.plain, layout)
        total = _widths(layout).size
        mask, offset = index.decode(data, offset, total) if total else (np.zeros(0, dtype=bool), offset)
        for (name_a, name_b), rows in _by_pair(layout, mask):
            for name, by_row in ((name_a, True), (name_b, False)):
                shape = layout.shapes[name]
                part = np.zeros(shape if by_row else shape[::-1], dtype=np.float32)
                if rows.any():
                    flat, offset = values.unpack(data, offset, int(rows.sum()) * part.shape[1], self.bits)
                    part[rows] = flat.reshape(-1, part.shape[1])
                change[name] = part if by_row else np.ascontiguousarray(part.T)
        return change


def _widths(layout: Layout) -> NDArray[np.int64]:
    """Values sent for each component: m + n of its pair."""
    widths = [np.full(layout.shapes[a][0], layout.shapes[a][1] + layout.shapes[b][0]) for a, b in layout.pairs]
    return np.concatenate(widths) if widths else np.zeros(0, dtype=np.int64)


def _by_pair(layout: Layout, mask: Mask) -> list[tuple[tuple[str, str], Mask]]:
    """Each pair with its part of the mask."""
    ranks = [layout.shapes[a][0] for a, _ in layout.pairs]
    return list(zip(layout.pairs, np.split(mask, np.cumsum(ranks)[:-1]), strict=True)) if ranks else []
