"""What codecs share: an update with its layout, and the bytes of the parts that are always sent whole.

Knows neither time nor SNR, nor what an update is for. An implementer's contract:

1. `menu` lists what could be sent, with kept fractions in (0, 1] that rise to 1 and sizes that do not fall, which
   `encode` never exceeds, whatever the update.
2. `encode` turns an update into bytes and leaves it as it was; from them and the layout alone, `decode` gives back the
   change that the receiver applies: every array of the layout, in float32. Where the menu says that nothing is lost
   (error 0), that is the change itself but for the rounding of values. A layout may hold no LoRA pair.
3. Bits charged are 8 x the length of those bytes.
4. `encode_changed` drops nothing but zeros, and makes up nothing: it serves the downlink.
5. `error_feedback`, in [0, 1], is the share of what was left out that waits at the client for the next round (what was
   lost on the air waits as a whole, whatever the codec).
6. It is a frozen dataclass derived from `Options`; its field ``kind`` holds its name, and the docstring's
   section Options says what each other one means.
7. It stands in `CODECS` under its kind, or is an entry point of the group ``wfl_sim.codec``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from channels.options import Options
from channels.units import Quantity
from wfl_sim.codecs import values
from wfl_sim.contracts import Params, Payload, PayloadMenu, Point

FORMAT = b"\x01"  # first byte of every payload


@dataclass(frozen=True)
class Layout:
    """Names and shapes of what is trained: LoRA pairs (A [r, n], B [m, r]), and plain arrays such as a head."""

    pairs: tuple[tuple[str, str], ...]
    plain: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]

    def size(self, names: Sequence[str]) -> int:
        """Number of values in the named arrays."""
        return sum([math.prod(self.shapes[name]) for name in names])

    @property
    def factors(self) -> tuple[str, ...]:
        """The names in `pairs`, in order."""
        return tuple(name for pair in self.pairs for name in pair)

    @property
    def adapters(self) -> tuple[str, ...]:
        """What belongs to adapters: the factors, and each plain array outside the head (``head.``)."""
        return (*self.factors, *(name for name in self.plain if not name.startswith("head.")))

    @property
    def heads(self) -> tuple[str, ...]:
        """The arrays of the task head."""
        return tuple(name for name in self.plain if name.startswith("head."))

    def without(self, names: Set[str]) -> Layout:
        """The layout of what is left when `names` are taken out; the other factor of a pair is then plain."""
        if not names:
            return self
        pairs = tuple(pair for pair in self.pairs if names.isdisjoint(pair))
        single = [name for pair in self.pairs if pair not in pairs for name in pair]
        plain = tuple(name for name in (*self.plain, *single) if name not in names)
        return Layout(pairs, plain, {name: shape for name, shape in self.shapes.items() if name not in names})


@dataclass(frozen=True)
class Update:
    """A change of `base` that waits to be sent. By `key`, a number of its own, random roundings are drawn."""

    base: Params
    change: Params
    layout: Layout
    key: int = 0


class Codec(Protocol):
    """See the module docstring."""

    @property
    def kind(self) -> str: ...
    @property
    def error_feedback(self) -> float: ...
    def menu(self, layout: Layout) -> PayloadMenu: ...
    def encode(self, update: Update, kept_fraction: float) -> Payload: ...
    def encode_changed(self, update: Update) -> Payload: ...
    def decode(self, data: bytes, layout: Layout) -> Params: ...


@dataclass(frozen=True, kw_only=True)
class ValueOptions(Options):
    """Options of every codec: how a value is written, and what becomes of what is not sent.

    Options
    -------
    bits : Bits a value takes: 32, or 16 for half precision with one power-of-two scale for each array that is sent.
    error_feedback : Share of what the codec left out that is added to the client's next update; 0 forgets it. What was
        lost on the air waits as a whole, whatever the codec.
    """

    bits: Literal[16, 32] = 16
    error_feedback: Annotated[float, Quantity("1", ge=0, le=1)] = 0.0

    def pack_plain(self, update: Update, names: Sequence[str]) -> bytes:
        """Serialise whole arrays."""
        return b"".join(values.pack(update.change[name].ravel(), self.bits) for name in names)

    def unpack_plain(self, data: bytes, offset: int, names: Sequence[str], layout: Layout) -> tuple[Params, int]:
        """The inverse of `pack_plain`."""
        change: Params = {}
        for name in names:
            flat, offset = values.unpack(data, offset, layout.size([name]), self.bits)
            change[name] = flat.reshape(layout.shapes[name])
        return change, offset

    def plain_bytes(self, layout: Layout, names: Sequence[str]) -> int:
        """Length of `pack_plain`."""
        return sum(values.packed_bytes(layout.size([name]), self.bits) for name in names)


def menu_of(sizes: Sequence[tuple[float, int]]) -> PayloadMenu:
    """A menu from (kept fraction, bytes), with 1 - kept fraction as the error estimate."""
    return PayloadMenu(tuple(Point(kept, 8 * length, 1.0 - kept) for kept, length in sizes))
