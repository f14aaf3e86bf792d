"""Rotated components: of the change of each factor, a few directions in the space of rank components.

Knows the factors of pairs, and matrices of their rank; no product B A. The head is always sent whole.

Rank components as they are trained share what there is to send: an optimiser that normalises element by element moves
all of them about equally, so that to choose among them is to choose nearly at random, and who is left out once is left
out for good. Directions across the components are new in every round, or those in which a change is largest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from channels.units import Quantity
from wfl_sim.codecs import index, values
from wfl_sim.codecs.base import (
    ADAPTERS,
    ALL,
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

DIRECTIONS, WHOLE = 0, 1  # formats: what was chosen, and all factors as they are
ROTATION_BITS = 16  # of a direction's own numbers, which are few
SEED_BYTES = 4  # from which a basis that all clients share is drawn


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
    """A few directions of each factor's change, across its rank components.

    ``components`` after a rotation: the directions are orthogonal to each other, so that their norms are what is lost
    without them, but for rounding. A and B are chosen apart. Its defaults are 8 bits and full error feedback; with
    ``soft`` and no penalty (orthogonality 0) this is what scenarios call soft-plus. To compare with another codec at
    equal precision set `bits` alike.

    Formula
    -------
    The rows of A are those of M, or the columns of B. With the change dM [r, width] and an orthogonal matrix of columns
    q_j [r], s_j being what a direction holds::

        dM = sum_j q_j (q_j^T dM),    s_j = |q_j^T dM|

    Kept are the floor(rho 2 R), at least 1, directions of all factors with the largest s_j^2 per value sent; R is the
    number of rank components. Sent are q_j^T dM in q bits a value, and the q_j only if they are the client's own::

        principal    bits = head + counts + sum over the kept of (q width + 16 r) + scales
        random       bits = head + 32 + index + sum over the kept of q width + scales

    counts says how many of each factor, in ceil(log2 (r + 1)) bits; index which, in about log2 C(2 R, kept) bits; 32
    bits seed the basis. Scales are 16 bits a direction for 8 bits a value; 8 a factor for 16, of which something is
    kept, and as much again for its q_j. Where all that is no less than the factors themselves, at rho = 1 for one,
    these are sent. head counts its values and 8 bits that name the format.

    Validity
    --------
    dA and dB are merged apart, as they are, so that the basis of the model is never changed, and what was left out can
    wait at the client. The energy of factors is what is kept best, not that of their product; the two agree while A has
    orthonormal rows and B is small. Without error feedback ``random`` loses most of every change.

    Source
    ------
    own. Random rotations before a lossy code, from a seed that both ends know: Suresh et al. 2017, arXiv:1611.00429. A
    few principal directions with error feedback: PowerSGD, Vogels et al. 2019, arXiv:1905.13727, where they come from
    an iteration that all workers share.

    Options
    -------
    bits : Bits a value takes, as for all codecs; a direction's own r numbers always take 16.
    basis : Which directions: ``principal`` takes the eigenvectors of dM dM^T, which hold the most energy that so many
        directions can, each client's own; ``random`` draws them for each round anew, the same for all clients and
        factors, so that what clients send is averaged in one basis.
    """

    aliases: ClassVar[tuple[str, ...]] = ("soft-plus",)
    needs_pairs: ClassVar[bool] = True
    formats: ClassVar[tuple[int, ...]] = (6, 7)

    kind: Literal["rotated"] = "rotated"
    bits: Literal[8, 16, 32] = 8
    error_feedback: Annotated[float, Quantity("1", ge=0, le=1)] = 1.0
    basis: Literal["principal", "random"] = "principal"

    @property
    def _own(self) -> bool:
        return self.basis == "principal"

    def menu(self, layout: Layout) -> PayloadMenu:
        factors, fixed = _factors(layout), HEADER + self.plain_bytes(layout, layout.plain)
        whole = fixed + self.plain_bytes(layout, layout.factors)
        # A bound where factors differ in size: the widest first.
        each = sorted((self._bytes(one, 1) for one in factors for _ in range(one.rank)), reverse=True)
        upto = np.cumsum(each[:-1], dtype=int)
        sizes = [
            (kept / len(each), min(fixed + self._told_bytes(factors, kept) + int(most), whole))
            for kept, most in enumerate(upto, start=1)
        ]
        return menu_of([*sizes, (1.0, whole)])

    def _bytes(self, factor: _Factor, count: int) -> int:
        """What some directions of a factor take."""
        if not count:
            return 0
        own = values.packed_bytes(count * factor.rank, ROTATION_BITS) if self._own else 0
        return own + values.packed_bytes(count * factor.width, self.bits, factor.width)

    def _told_bytes(self, factors: Sequence[_Factor], kept: int) -> int:
        """What it takes at most to say which directions are sent."""
        if self._own:
            return index.counts_bytes([one.rank for one in factors])
        return SEED_BYTES + -(-index.bound_bits(sum(one.rank for one in factors), kept) // 8)

    def encode(self, update: Update, kept_fraction: float) -> Payload:
        factors = _factors(update.layout)
        total = sum(one.rank for one in factors)
        kept = kept_number(kept_fraction, total) if total else 0
        if kept >= total or self._is_dear(update.layout, factors, kept):
            return self.whole(update, self.bits, WHOLE)
        seed = common_key(update.key) & (2 ** (8 * SEED_BYTES) - 1)
        found = [self._directions(one, update, seed) for one in factors]
        chosen = _chosen(factors, [energies for energies, _ in found], kept)
        random = values.draws(update.key, ADAPTERS) if self.bits == 8 else None
        data = [self.header(self.bits, DIRECTIONS), self.pack_plain(update, update.layout.plain)]
        if self._own:
            data.append(index.encode_counts([int(part.sum()) for part in chosen], [one.rank for one in factors]))
        else:
            data += [seed.to_bytes(SEED_BYTES, "big"), index.encode(np.concatenate(chosen))]
        for one, mask, (_, basis) in zip(factors, chosen, found, strict=True):
            if mask.any():
                own = basis[:, mask].T.astype(np.float32)
                if self._own:
                    data.append(values.pack(own.ravel(), ROTATION_BITS))
                    flat, _ = values.unpack(data[-1], 0, own.size, ROTATION_BITS)
                    own = flat.reshape(own.shape)  # as the receiver will have it
                rows = own @ one.rows(update.change[one.name])
                data.append(values.pack(rows.astype(np.float32).ravel(), self.bits, random, block=one.width))
        return Payload(b"".join(data), kept / total)

    def _is_dear(self, layout: Layout, factors: Sequence[_Factor], kept: int) -> bool:
        """Whether so many directions, of whichever factors, might take no less than all factors as they are."""
        each = sorted((self._bytes(one, 1) for one in factors for _ in range(one.rank)), reverse=True)
        return self._told_bytes(factors, kept) + sum(each[:kept]) >= self.plain_bytes(layout, layout.factors)

    def _directions(self, one: _Factor, update: Update, seed: int) -> tuple[FloatArray, NDArray[Any]]:
        """Energies [r], and the directions [r, r] as columns; of the client's own the largest first."""
        rows = one.rows(update.change[one.name]).astype(float)
        if self._own:
            energies, basis = np.linalg.eigh(rows @ rows.T)
            return np.maximum(energies[::-1], 0.0), basis[:, ::-1]
        basis = _shared(seed, one.rank)
        return np.sum((basis.T @ rows) ** 2, axis=1), basis

    def encode_changed(self, update: Update) -> Payload:
        return self.whole(update, self.broadcast_bits, WHOLE)

    def decode(self, data: bytes, layout: Layout) -> Params:
        bits, which = self.opened(data)
        if which == WHOLE:
            return self.read_whole(data, layout, bits)
        factors, seed = _factors(layout), 0
        ranks = [one.rank for one in factors]
        change, offset = self.unpack_plain(data, HEADER, layout.plain, layout, bits)
        if self._own:
            counts, offset = index.decode_counts(data, offset, ranks)
        else:
            seed, offset = int.from_bytes(data[offset : offset + SEED_BYTES], "big"), offset + SEED_BYTES
            mask, offset = index.decode(data, offset, sum(ranks))
            chosen = np.split(mask, np.cumsum(ranks)[:-1])
            counts = [int(part.sum()) for part in chosen]
        for place, (one, count) in enumerate(zip(factors, counts, strict=True)):
            rows = np.zeros((one.rank, one.width), np.float32)
            if count:
                if self._own:
                    flat, offset = values.unpack(data, offset, count * one.rank, ROTATION_BITS)
                    own = flat.reshape(count, -1)
                else:
                    own = _shared(seed, one.rank)[:, chosen[place]].T
                sent, offset = values.unpack(data, offset, count * one.width, bits, block=one.width)
                rows = (own.T @ sent.reshape(count, -1)).astype(np.float32)
            change[one.name] = np.ascontiguousarray(one.rows(rows))
        closed(data, offset)
        return change

    def kept(self, data: bytes, layout: Layout) -> Kept | None:
        """All where all was sent; else None: what is kept are no entries of the factors, but directions across them."""
        return dict.fromkeys(layout.shapes, ALL) if self.opened(data)[1] == WHOLE else None

    def curve(self, update: Update) -> FloatArray:
        factors = _factors(update.layout)
        if not factors:
            return np.zeros(1)
        seed = common_key(update.key) & (2 ** (8 * SEED_BYTES) - 1)
        energies = [self._directions(one, update, seed)[0] for one in factors]
        kept = np.cumsum(np.concatenate(energies)[np.argsort(-_worth(factors, energies), kind="stable")])
        numbers = range(1, kept.size + 1)
        kept[[self._is_dear(update.layout, factors, number) for number in numbers]] = kept[-1]
        return dropped(kept, float(kept[-1]))

    def energy(self, update: Update) -> float:
        return float(sum(np.sum(update.change[name].astype(float) ** 2) for name in update.layout.factors))


def _factors(layout: Layout) -> list[_Factor]:
    return list(_each(layout))


def _each(layout: Layout) -> Iterator[_Factor]:
    for a, b in layout.pairs:
        yield _Factor(a, False, *layout.shapes[a])
        yield _Factor(b, True, *layout.shapes[b][::-1])


@lru_cache(maxsize=64)
def _shared(seed: int, rank: int) -> NDArray[np.float32]:
    """The basis [r, r] that all clients draw from a seed: uniform over rotations and reflections."""
    q, r = np.linalg.qr(values.draws(seed << 32 | rank, COMMON_CHOICE).standard_normal((rank, rank)))
    basis = np.asarray(q * np.sign(np.diag(r)), dtype=np.float32)
    basis.setflags(write=False)
    return basis


def _worth(factors: Sequence[_Factor], energies: Sequence[FloatArray]) -> FloatArray:
    """Energy per value sent, of all directions of all factors in turn."""
    return np.concatenate([part / one.width for one, part in zip(factors, energies, strict=True)])


def _chosen(factors: Sequence[_Factor], energies: Sequence[FloatArray], kept: int) -> list[Mask]:
    """Which directions of each factor are among the `kept` of the largest worth above 0."""
    worth = _worth(factors, energies)
    mask = np.zeros(worth.size, dtype=bool)
    mask[np.argsort(-worth, kind="stable")[:kept]] = True
    return np.split(mask & (worth > 0), np.cumsum([one.rank for one in factors])[:-1])
