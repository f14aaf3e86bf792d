"""Rotated components: of the change of each factor, its principal directions in the space of rank components.

Knows the factors of pairs, and Gram matrices of their rank; no product B A. The head is always sent whole.

Rank components as they are trained share what there is to send: an optimiser that normalises element by element moves
all of them about equally, so that to choose among them is to choose nearly at random. But their changes are alike, and
a rotation of at most r x r gathers most of their energy in a few directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from channels.units import Quantity
from wfl_sim.codecs import index, values
from wfl_sim.codecs.base import (
    ADAPTERS,
    HEADER,
    Layout,
    Update,
    ValueOptions,
    closed,
    dropped,
    kept_number,
    menu_of,
)
from wfl_sim.contracts import FloatArray, Params, Payload, PayloadMenu

DIRECTIONS, WHOLE = 0, 1  # formats: what was chosen, and all factors as they are
ROTATION_BITS = 16  # of a direction's own numbers, which are few


class _Factor(NamedTuple):
    """A factor as rows: A itself [r, n], or B transposed [r, m]."""

    name: str
    is_b: bool
    rank: int
    width: int

    def rows(self, array: NDArray[Any]) -> NDArray[Any]:
        return array.T if self.is_b else array


@dataclass(frozen=True, kw_only=True)
class Rotated(ValueOptions):
    """The principal directions of each factor's change in the space of its rank components.

    ``components`` after a rotation that the client chooses: the directions are orthogonal to each other, so that their
    norms are what is lost without them, to the last bit. A and B are chosen apart. With `soft` and its own defaults, 8
    bits and full error feedback, this is the variant of SOFT that we measured as the best (docs/soft-tsfa.md).

    Formula
    -------
    The rows of A are those of M, or the columns of B. With the change dM [r, width] and the eigenvectors q_j of
    dM dM^T, an r x r matrix, by falling eigenvalues s_j^2::

        dM = sum_j q_j (q_j^T dM),    |q_j (q_j^T dM)|_F = s_j

    Kept are the floor(rho 2 R), at least 1, directions of all factors with the largest s_j^2 / (width + r); R is the
    number of rank components. Sent are q_j in 16 bits a value and q_j^T dM in q bits::

        bits = head + counts + sum over the kept of (q width + 16 r) + scales

    counts says how many there are of each factor, in ceil(log2 (r + 1)) bits, all padded to bytes. Scales take 8 bits
    for each factor of which something is kept, and for 16 bits a value 8 more, for 8 bits a value 16 for each
    direction. Where that is no less than the factors themselves, at rho = 1 for one, these are sent. head counts its
    values and 8 bits that name the format.

    Validity
    --------
    dA and dB are merged apart, as they are, so that the basis of the model is never changed, and what was left out can
    wait at the client. The energy of factors is what is kept best, not that of their product; the two agree while A has
    orthonormal rows and B is small.

    Source
    ------
    own. To send a few directions of a gradient matrix with error feedback is PowerSGD, Vogels et al. 2019,
    arXiv:1905.13727, where they come from an iteration that all workers share.

    Options
    -------
    bits : Bits a value takes, as for all codecs; a direction's own r numbers always take 16.
    """

    needs_pairs: ClassVar[bool] = True
    formats: ClassVar[tuple[int, ...]] = (6, 7)

    kind: Literal["rotated"] = "rotated"
    bits: Literal[8, 16, 32] = 8
    error_feedback: Annotated[float, Quantity("1", ge=0, le=1)] = 1.0

    def menu(self, layout: Layout) -> PayloadMenu:
        factors, fixed = _factors(layout), HEADER + self.plain_bytes(layout, layout.plain)
        whole = fixed + self.plain_bytes(layout, layout.factors)
        # A bound where factors differ in size: the widest first.
        each = sorted((self._bytes(one, 1) for one in factors for _ in range(one.rank)), reverse=True)
        upto = fixed + index.counts_bytes([one.rank for one in factors]) + np.cumsum(each[:-1], dtype=int)
        sizes = [(kept / len(each), min(int(most), whole)) for kept, most in enumerate(upto, start=1)]
        return menu_of([*sizes, (1.0, whole)])

    def _bytes(self, factor: _Factor, count: int) -> int:
        """What some directions of a factor take."""
        if not count:
            return 0
        own = values.packed_bytes(count * factor.rank, ROTATION_BITS)
        return own + values.packed_bytes(count * factor.width, self.bits, factor.width)

    def encode(self, update: Update, kept_fraction: float) -> Payload:
        layout, factors = update.layout, _factors(update.layout)
        total = sum(one.rank for one in factors)
        kept = kept_number(kept_fraction, total) if total else 0
        if kept >= total:
            return self._whole(update, self.bits)
        found = [_directions(one.rows(update.change[one.name])) for one in factors]
        counts = _chosen(factors, [energies for energies, _ in found], kept)
        most = [one.rank for one in factors]
        if index.counts_bytes(most) + sum(map(self._bytes, factors, counts)) >= self.plain_bytes(layout, layout.factors):
            return self._whole(update, self.bits)
        random = values.draws(update.key, ADAPTERS) if self.bits == 8 else None
        data = [self.header(self.bits, DIRECTIONS), self.pack_plain(update, layout.plain)]
        data.append(index.encode_counts(counts, most))
        for one, count, (_, basis) in zip(factors, counts, found, strict=True):
            if count:
                packed = values.pack(basis[:, :count].T.astype(np.float32).ravel(), ROTATION_BITS)
                own, _ = values.unpack(packed, 0, count * one.rank, ROTATION_BITS)  # as the receiver will have it
                rows = own.reshape(count, -1) @ one.rows(update.change[one.name])
                data += [packed, values.pack(rows.astype(np.float32).ravel(), self.bits, random, block=one.width)]
        return Payload(b"".join(data), kept / total)

    def encode_changed(self, update: Update) -> Payload:
        return self._whole(update, self.broadcast_bits)

    def _whole(self, update: Update, bits: int) -> Payload:
        names = (*update.layout.plain, *update.layout.factors)
        return Payload(self.header(bits, WHOLE) + self.pack_plain(update, names, bits), 1.0)

    def decode(self, data: bytes, layout: Layout) -> Params:
        bits, which = self.opened(data)
        if which == WHOLE:
            change, end = self.unpack_plain(data, HEADER, (*layout.plain, *layout.factors), layout, bits)
            closed(data, end)
            return change
        factors = _factors(layout)
        change, offset = self.unpack_plain(data, HEADER, layout.plain, layout, bits)
        counts, offset = index.decode_counts(data, offset, [one.rank for one in factors])
        for one, count in zip(factors, counts, strict=True):
            rows = np.zeros((one.rank, one.width), np.float32)
            if count:
                own, offset = values.unpack(data, offset, count * one.rank, ROTATION_BITS)
                sent, offset = values.unpack(data, offset, count * one.width, bits, block=one.width)
                rows = own.reshape(count, -1).T @ sent.reshape(count, -1)
            change[one.name] = np.ascontiguousarray(one.rows(rows))
        closed(data, offset)
        return change

    def kept(self, data: bytes, layout: Layout) -> None:
        """None: what is kept is no part of the factors, but directions across them."""

    def curve(self, update: Update) -> FloatArray:
        factors = _factors(update.layout)
        if not factors:
            return np.zeros(1)
        energies = [_directions(one.rows(update.change[one.name]))[0] for one in factors]
        order = np.argsort(-_worth(factors, energies), kind="stable")
        return dropped(np.cumsum(np.concatenate(energies)[order]), float(np.sum(np.concatenate(energies))))

    def energy(self, update: Update) -> float:
        return float(sum(np.sum(update.change[name].astype(float) ** 2) for name in update.layout.factors))


def _factors(layout: Layout) -> list[_Factor]:
    return list(_each(layout))


def _each(layout: Layout) -> Iterator[_Factor]:
    for a, b in layout.pairs:
        yield _Factor(a, False, *layout.shapes[a])
        yield _Factor(b, True, *layout.shapes[b][::-1])


def _directions(rows: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """Energies [r], the largest first, and the directions [r, r], as columns."""
    rows = rows.astype(float)
    energies, basis = np.linalg.eigh(rows @ rows.T)
    return np.maximum(energies[::-1], 0.0), basis[:, ::-1]


def _worth(factors: Sequence[_Factor], energies: Sequence[FloatArray]) -> FloatArray:
    """Energy per value sent, of all directions of all factors in turn."""
    return np.concatenate([part / (one.width + one.rank) for one, part in zip(factors, energies, strict=True)])


def _chosen(factors: Sequence[_Factor], energies: Sequence[FloatArray], kept: int) -> list[int]:
    """How many directions of each factor, its first ones, are among the `kept` of the largest worth above 0."""
    worth = _worth(factors, energies)
    mask = np.zeros(worth.size, dtype=bool)
    mask[np.argsort(-worth, kind="stable")[:kept]] = True
    parts = np.split(mask & (worth > 0), np.cumsum([one.rank for one in factors])[:-1])
    return [int(part.sum()) for part in parts]
