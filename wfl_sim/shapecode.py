"""What an upload of H2Tune consists of: folded matrices, or the entries that a client has trained; as bytes and back.

Knows arrays and how values are written (`codecs.values`); neither clients, nor rounds, nor how anything is trained. The
bits charged are those of the bytes. Heads travel behind, whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from wfl_sim.codecs import values
from wfl_sim.codecs.base import ADAPTERS, HEADER, PLAIN, closed, kept_number, menu_of
from wfl_sim.contracts import Params, Payload, PayloadMenu
from wfl_sim.methods import alignment
from wfl_sim.methods.alignment import Float32

DENSE, SPARSE = b"\x81", b"\x82"  # the first byte
KEPT = (0.125, 0.25, 0.5, 1.0)  # shares of its trained entries that a client may send
Head = Mapping[str, tuple[int, ...]]


class Told(NamedTuple):
    """What the server reads: the change of each of its layers, how much it counts there, and that of the head."""

    change: Float32
    mass: Float32
    head: Params


@dataclass(frozen=True)
class ShapeCode:
    """How the clients of a group write.

    Parameters
    ----------
    stack : tuple of int
        The server's L_max, M, R, R.
    depth : int
        The clients' L.
    rank : int
        The clients' r: as many rows and columns of a matrix have been trained.
    head : mapping
        Shapes of the head's arrays, if heads are sent.
    bits : {8, 16, 32}
        Of a value.
    sparse : bool
    """

    stack: tuple[int, ...]
    depth: int
    rank: int
    head: Head
    bits: int
    sparse: bool

    @property
    def places(self) -> tuple[int, ...]:
        """The client's L, M, R, R."""
        return (self.depth, *self.stack[1:])

    @property
    def trained(self) -> int:
        """How many entries a client trains: L M r^2."""
        return self.depth * self.stack[1] * self.rank**2

    def menu(self) -> PayloadMenu:
        """Of sparse uploads the shares that may be kept, else the one size there is."""
        heads = sum(values.packed_bytes(int(np.prod(shape)), self.bits) for shape in self.head.values())
        if not self.sparse:
            whole = sum(values.packed_bytes(count, self.bits) for count in (int(np.prod(self.stack)), self.stack[0]))
            return menu_of([(1.0, HEADER + whole + heads)])
        fixed = HEADER + -(-int(np.prod(self.places)) // 8) + heads
        fixed += values.packed_bytes(self.stack[0] * self.depth, self.bits)
        counts = [kept_number(kept, self.trained) for kept in KEPT]
        return menu_of(
            [(kept, fixed + values.packed_bytes(n, self.bits)) for kept, n in zip(KEPT, counts, strict=True)]
        )

    def encode(
        self, base: Float32, delta: Float32, psi: Float32, head: Params, kept_fraction: float, key: int
    ) -> Payload:
        """An upload of the change `delta` of layers that were made of `base` by `psi`, and of that of the head."""
        draws = (values.draws(key, ADAPTERS), values.draws(key, PLAIN)) if self.bits == 8 else (None, None)
        if self.sparse:
            count = min(kept_number(kept_fraction, self.trained), int(np.count_nonzero(delta)))
            flat = delta.ravel()
            kept = np.sort(np.argsort(-np.abs(flat), kind="stable")[:count])
            mask = np.zeros(flat.size, np.bool_)
            mask[kept] = True
            parts = [SPARSE, values.pack(psi.ravel(), self.bits, draws[0]), np.packbits(mask).tobytes()]
            parts.append(values.pack(flat[kept], self.bits, draws[0]))
        else:
            change = alignment.fold(alignment.unfold(base, psi) + delta, psi) - base
            parts = [DENSE, values.pack(alignment.masses(psi), self.bits, draws[0])]
            parts.append(values.pack(change.ravel(), self.bits, draws[0]))
            kept_fraction = 1.0
        parts += [values.pack(head[name].ravel(), self.bits, draws[1]) for name in self.head]
        return Payload(b"".join(parts), kept_fraction)

    def decode(self, data: bytes, base: Float32) -> Told:
        """What the server makes of the bytes, with the G that the client had.

        Raises
        ------
        ValueError
            They end too early or too late, or are of another kind.
        """
        if data[:HEADER] != (SPARSE if self.sparse else DENSE):
            raise ValueError(f"no {'sparse' if self.sparse else 'dense'} upload of H2Tune: it begins with {data[:1]!r}")
        told, offset = self._sparse(data, base) if self.sparse else self._dense(data)
        head: Params = {}
        for name, shape in self.head.items():
            flat, offset = values.unpack(data, offset, int(np.prod(shape)), self.bits)
            head[name] = flat.reshape(shape)
        closed(data, offset)
        return Told(*told, head)

    def _dense(self, data: bytes) -> tuple[tuple[Float32, Float32], int]:
        mass, offset = values.unpack(data, HEADER, self.stack[0], self.bits)
        change, offset = values.unpack(data, offset, int(np.prod(self.stack)), self.bits)
        return (change.reshape(self.stack), mass), offset

    def _sparse(self, data: bytes, base: Float32) -> tuple[tuple[Float32, Float32], int]:
        flat, offset = values.unpack(data, HEADER, self.stack[0] * self.depth, self.bits)
        psi, size = np.maximum(flat.reshape(self.stack[0], self.depth), 0.0), int(np.prod(self.places))
        psi = np.asarray(psi / np.maximum(psi.sum(axis=0), alignment.NOTHING), np.float32)  # shares, once more
        end = offset + -(-size // 8)
        if end > len(data):
            raise ValueError(f"a payload of {len(data)} bytes ends within the mask of {size} bits at byte {offset}")
        mask = np.unpackbits(np.frombuffer(data, np.uint8, end - offset, offset), count=size).astype(np.bool_)
        kept, offset = values.unpack(data, end, int(np.count_nonzero(mask)), self.bits)
        delta = np.zeros(size, np.float32)
        delta[mask] = kept
        change = alignment.fold(alignment.unfold(base, psi) + delta.reshape(self.places), psi) - base
        return (change, alignment.masses(psi)), offset
