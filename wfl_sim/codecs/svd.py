"""SVD: of the change of each product B A, the singular triples that matter most.

Knows pairs, and at the receiver what they were; the head is always sent whole. An oracle to measure others by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from channels.options import OptionError
from wfl_sim import lowrank
from wfl_sim.codecs import index, values
from wfl_sim.codecs.base import (
    ADAPTERS,
    ALL,
    HEADER,
    Kept,
    Layout,
    Update,
    ValueOptions,
    closed,
    dropped,
    kept_number,
    menu_of,
)
from wfl_sim.contracts import FloatArray, Params, Payload, PayloadMenu

TRIPLES, WHOLE = 0, 1  # formats: what was chosen, and all factors as they are
Triples = tuple[FloatArray, FloatArray, FloatArray]


@dataclass(frozen=True)
class Svd(ValueOptions):
    """The truncated SVD of each product's change: the oracle of codecs that choose by component.

    No choice of as many rank-one parts can be nearer to the change of B A. It costs the client an SVD, from thin
    factors, and the receiver gets factors in a basis of their own, so that only methods that make new factors of
    products can use them (``flexlora``, ``flora``).

    Formula
    -------
    With D = B' A' - B A = sum_i s_i u_i v_i of each layer, kept are the floor(rho R), at least 1, triples of all layers
    with the largest s_i^2 per value sent; R is the number of rank components. Sent are the pairs u_i s_i^(1/2),
    v_i s_i^(1/2)::

        bits = head + counts + sum over the kept of q (m_i + n_i) + scales

    The receiver puts in place of B A the nearest product of the same rank to B A + sum over the kept of s_i u_i v_i.
    counts says how many there are of each layer, at most c = min(2 r, m, n), in ceil(log2 (c + 1)) bits, all padded to
    bytes; q is the bits a value; scales take nothing for 32 bits, 8 bits for 16 and each array of which something is
    sent, 16 bits for 8 and each u_i and v_i. At rho = 1 the changes of the factors themselves are sent, which cost as
    much and lose nothing. head counts its values and 8 bits that name the format.

    Validity
    --------
    D has rank 2 r at most, so that the sum over the kept is its best approximation of their number (Eckart and Young);
    the receiver's cut to rank r adds an error of its own. What was lost on the air waits as a change of factors.

    Source
    ------
    Eckart and Young 1936, Psychometrika 1(3) 211-218; the thin factors and the choice over all layers are our own.

    Options
    -------
    error_feedback : Must be 0: what was left out would be a change of factors in another basis.
    """

    needs_pairs: ClassVar[bool] = True
    gives_products: ClassVar[bool] = True
    formats: ClassVar[tuple[int, ...]] = (4, 5)

    kind: Literal["svd"] = "svd"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.error_feedback > 0:
            message = (
                "must be 0 with svd, whose factors arrive in a basis of their own: what was left out of one basis "
                f"cannot be added in another; got {self.error_feedback:g}"
            )
            raise OptionError(type(self).__name__, "error_feedback", message)

    def menu(self, layout: Layout) -> PayloadMenu:
        fixed = HEADER + self.plain_bytes(layout, layout.plain)
        total = _total(layout)
        if not total:
            return menu_of([(1.0, fixed)])
        most = _most(layout)
        # A bound where layers differ in size: the widest first.
        widths = np.sort(np.repeat([_width(layout, pair) for pair in layout.pairs], most))[::-1]
        sizes = []
        for kept in range(1, total):
            scales = {8: 2 * 2 * kept, 16: 2 * min(kept, len(most)), 32: 0}[self.bits]
            sent = int(widths[:kept].sum()) * self.bits // 8
            sizes.append((kept / total, fixed + index.counts_bytes(most) + scales + sent))
        return menu_of([*sizes, (1.0, fixed + self.plain_bytes(layout, layout.factors))])

    def encode(self, update: Update, kept_fraction: float) -> Payload:
        layout, total = update.layout, _total(update.layout)
        kept = kept_number(kept_fraction, total) if total else 0
        if kept >= total:
            return self.whole(update, self.bits, WHOLE)
        found = _triples(update)
        counts = _chosen(_worth(layout, found), kept)
        random = values.draws(update.key, ADAPTERS) if self.bits == 8 else None
        data = [self.header(self.bits, TRIPLES), self.pack_plain(update, layout.plain)]
        data.append(index.encode_counts(counts, _most(layout)))
        for (u, s, v), count in zip(found, counts, strict=True):
            if count:
                root = np.sqrt(s[:count])[:, None]
                for part in (root * u.T[:count], root * v[:count]):
                    flat = part.astype(np.float32).ravel()
                    data.append(values.pack(flat, self.bits, random, block=part.shape[1]))
        return Payload(b"".join(data), kept / total)

    def encode_changed(self, update: Update) -> Payload:
        return self.whole(update, self.broadcast_bits, WHOLE)

    def decode(self, data: bytes, layout: Layout) -> Params:
        bits, which = self.opened(data)
        if which == TRIPLES:
            raise ValueError("singular triples mean nothing without the factors that they change: ask decode_on()")
        return self.read_whole(data, layout, bits)

    def decode_on(self, data: bytes, layout: Layout, base: Params) -> Params:
        """The change of `base` that the receiver applies."""
        bits, which = self.opened(data)
        if which == WHOLE:
            return self.decode(data, layout)
        change, offset = self.unpack_plain(data, HEADER, layout.plain, layout, bits)
        counts, offset = index.decode_counts(data, offset, _most(layout))
        for (name_a, name_b), count in zip(layout.pairs, counts, strict=True):
            a, b = base[name_a].astype(float), base[name_b].astype(float)
            new_a, new_b = a, b
            if count:
                u, offset = values.unpack(data, offset, count * b.shape[0], bits, block=b.shape[0])
                v, offset = values.unpack(data, offset, count * a.shape[1], bits, block=a.shape[1])
                left = np.concatenate((b, u.reshape(count, -1).T), axis=1)
                right = np.concatenate((a, v.reshape(count, -1)), axis=0)
                new_a, new_b = lowrank.best_factors(left, right, a.shape[0])
            change[name_a], change[name_b] = (new_a - a).astype(np.float32), (new_b - b).astype(np.float32)
        closed(data, offset)
        return change

    def kept(self, data: bytes, layout: Layout) -> Kept | None:
        """All where all was sent; else None: what is kept are no entries of the factors."""
        return dict.fromkeys(layout.shapes, ALL) if self.opened(data)[1] == WHOLE else None

    def curve(self, update: Update) -> FloatArray:
        total = _total(update.layout)
        if not total:
            return np.zeros(1)
        found = _triples(update)
        order = np.argsort(-np.concatenate(_worth(update.layout, found)), kind="stable")
        upto = np.cumsum(np.concatenate([s**2 for _, s, _ in found])[order])
        numbers = np.minimum(np.arange(1, total + 1), upto.size)
        return dropped(upto[numbers - 1], float(upto[-1]))

    def energy(self, update: Update) -> float:
        return float(sum(np.sum(s**2) for _, s, _ in _triples(update)))


def _triples(update: Update) -> list[Triples]:
    """The thin SVD of the change of each product."""
    base, change = update.base, update.change
    return [lowrank.change_svd(base[a], base[b], change[a], change[b]) for a, b in update.layout.pairs]


def _worth(layout: Layout, found: Sequence[Triples]) -> list[FloatArray]:
    """s_i^2 per value sent."""
    return [s**2 / _width(layout, pair) for pair, (_, s, _) in zip(layout.pairs, found, strict=True)]


def _chosen(worth: Sequence[FloatArray], kept: int) -> list[int]:
    """How many triples of each layer, its first ones, are among the `kept` of the largest worth above 0."""
    order = np.argsort(-np.concatenate(worth), kind="stable")[:kept]
    mask = np.zeros(sum(part.size for part in worth), dtype=bool)
    mask[order] = True
    parts = np.split(mask, np.cumsum([part.size for part in worth])[:-1])
    return [int((part & (value > 0)).sum()) for part, value in zip(parts, worth, strict=True)]


def _total(layout: Layout) -> int:
    return sum(layout.shapes[a][0] for a, _ in layout.pairs)


def _width(layout: Layout, pair: tuple[str, str]) -> int:
    """Values of a triple: m + n."""
    return layout.shapes[pair[0]][1] + layout.shapes[pair[1]][0]


def _most(layout: Layout) -> list[int]:
    """The most triples that the change of a layer's product has."""
    return [min(2 * layout.shapes[a][0], layout.shapes[a][1], layout.shapes[b][0]) for a, b in layout.pairs]
