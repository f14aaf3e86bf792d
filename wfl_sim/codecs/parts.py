"""Parts: whole arrays of an update, those that changed most, and nothing of the others.

Knows arrays by name, not what they mean; a pair of factors is one part. The head is always sent whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from wfl_sim.codecs.base import (
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

NOTHING: Mask = np.zeros((), dtype=np.bool_)
Part = tuple[str, ...]


@dataclass(frozen=True)
class Parts(ValueOptions):
    """Whole arrays of an update, those that changed most: layers, or factors of tensor trains.

    A part is a pair A and B of one layer, or an array that belongs to no pair, such as a factor of a tensor train. A
    bit for each part says whether it is sent; the head is always sent whole. The menu has one point for each number of
    parts.

    Formula
    -------
    Of P parts the k = floor(rho P), at least 1, with the largest mean square change are sent::

        bits = head + ceil(P / 8) 8 + sum over the parts sent of (q n_i + s_i)

    n_i and s_i are the values and scales of an array, as in ``dense``. As parts differ in size, a point of the menu
    states the bits of its k largest.

    Validity
    --------
    Nothing within a part is left out, so that it arrives as with ``dense``. What is not sent is forgotten, or waits
    with `error_feedback`, which lets each part have its turn. With ``fedtt_plus`` the parts are those factors that are
    trained in a round.

    Source
    ------
    own.
    """

    formats: ClassVar[tuple[int, ...]] = (8,)

    kind: Literal["parts"] = "parts"

    def menu(self, layout: Layout) -> PayloadMenu:
        parts, fixed = _parts(layout), HEADER + self.plain_bytes(layout, layout.heads)
        if not parts:
            return menu_of([(1.0, fixed)])
        sizes = np.cumsum(sorted((self.plain_bytes(layout, part) for part in parts), reverse=True)).tolist()
        index = -(-len(parts) // 8)
        return menu_of([((k + 1) / len(parts), fixed + index + size) for k, size in enumerate(sizes)])

    def encode(self, update: Update, kept_fraction: float) -> Payload:
        parts = _parts(update.layout)
        sent = np.zeros(len(parts), dtype=np.bool_)
        if parts:
            order = np.argsort([-_mean_square(update, part) for part in parts], kind="stable")
            sent[order[: kept_number(kept_fraction, len(parts))]] = True
        return self._serialise(update, sent, self.bits)

    def encode_changed(self, update: Update) -> Payload:
        changed = [any(update.change[name].any() for name in part) for part in _parts(update.layout)]
        return self._serialise(update, np.array(changed, dtype=np.bool_), self.broadcast_bits)

    def decode(self, data: bytes, layout: Layout) -> Params:
        bits, sent, offset = self._opened(data, layout)
        names = [name for part, here in sent for name in part if here]
        change, end = self.unpack_plain(data, offset, [*layout.heads, *names], layout, bits)
        closed(data, end)
        return change | {n: np.zeros(layout.shapes[n], np.float32) for part, here in sent for n in part if not here}

    def kept(self, data: bytes, layout: Layout) -> Kept:
        masks = {name: ALL if here else NOTHING for part, here in self._opened(data, layout)[1] for name in part}
        return {**dict.fromkeys(layout.heads, ALL), **masks}

    def curve(self, update: Update) -> FloatArray:
        parts = _parts(update.layout)
        if not parts:
            return np.zeros(1)
        order = np.argsort([-_mean_square(update, part) for part in parts], kind="stable")
        upto = np.cumsum([_energy(update, parts[place]) for place in order])
        return dropped(upto, float(upto[-1]))

    def energy(self, update: Update) -> float:
        return sum(_energy(update, part) for part in _parts(update.layout))

    def _serialise(self, update: Update, sent: Mask, bits: int) -> Payload:
        chosen = [
            name for part, here in zip(_parts(update.layout), sent.tolist(), strict=True) if here for name in part
        ]
        whole = self.pack_plain(update, [*update.layout.heads, *chosen], bits)
        return Payload(
            self.header(bits) + np.packbits(sent).tobytes() + whole, float(sent.mean()) if sent.size else 1.0
        )

    def _opened(self, data: bytes, layout: Layout) -> tuple[int, list[tuple[Part, bool]], int]:
        """Bits a value, which parts the payload holds, and where their values begin."""
        bits, _ = self.opened(data)
        parts = _parts(layout)
        end = HEADER + -(-len(parts) // 8)
        if end > len(data):
            raise ValueError(f"a payload of {len(data)} bytes ends within the list of its {len(parts)} parts")
        sent = np.unpackbits(np.frombuffer(data, np.uint8, end - HEADER, HEADER), count=len(parts))
        return bits, [*zip(parts, sent.astype(bool).tolist(), strict=True)], end


def _parts(layout: Layout) -> Sequence[Part]:
    heads = set(layout.heads)
    return [*((name,) for name in layout.plain if name not in heads), *layout.pairs]


def _energy(update: Update, part: Part) -> float:
    return sum(float(np.sum(update.change[name].astype(float) ** 2)) for name in part)


def _mean_square(update: Update, part: Part) -> float:
    return _energy(update, part) / update.layout.size(part)
