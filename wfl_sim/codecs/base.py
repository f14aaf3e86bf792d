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
8. What `encode` draws follows from `Update.key` (see `update_key`) and the update alone: asked again, it gives the same
   bytes.
9. It may have ``kept(data, layout) -> Mapping[str, Mask] | None``: for each array of the layout, what of it the payload
   carries, as a mask that broadcasts to the array's shape; `decode` gives 0 elsewhere. None where that is no mask.
10. It may have ``curve(update) -> array [points of the menu]``: at each point, the share in [0, 1] of the change's
    energy that would be dropped; it never rises, and ends with 0. ``energy(update) -> float`` is that energy.
11. A codec whose ClassVar ``gives_products`` is True carries changes of the products B A: what its bytes mean for A and
    B depends on what they change, so that `decode` alone reads what `encode_changed` made, and ``decode_on(data,
    layout, base)`` everything. The method must make new factors of products (``merges_products``, ``renews``).
    `decoded` asks whichever serves.
12. Its own ClassVar ``unread`` names the options, as files do, that it has and does not read. Classes derived from it
    do not inherit that: one of `Dense` may well use what it leaves out.

The receiver of the codecs here raises ValueError where bytes end too early or too late, or are of another format.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from channels.options import Options
from channels.units import Quantity
from wfl_sim.codecs import values
from wfl_sim.contracts import Params, Payload, PayloadMenu, Point

Mask = NDArray[np.bool_]
Kept = Mapping[str, Mask]

HEADER = 1  # bytes before everything else: the codec's format, and how values are written
_WRITTEN = {16: 0x00, 32: 0x20, 8: 0x40}  # added to the number of the format, which is below 0x20
# What is drawn with an update's key.
PLAIN, ADAPTERS, CHOICE, COMMON_CHOICE = range(4)
_CLIENTS = _ROUNDS = 32  # bits of a key that tell the client, and the round


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

    @property
    def everything(self) -> tuple[str, ...]:
        """All arrays, in the order in which they are sent whole."""
        return (*self.plain, *self.factors)

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
    """A change of `base` that waits to be sent. By `key` is drawn whatever is drawn; see `update_key`."""

    base: Params
    change: Params
    layout: Layout
    key: int = 0


def update_key(client: int, round_: int, salt: int = 0) -> int:
    """The key of a client's update in a round; all that differ in the client have `common_key` in common.

    `salt` comes from the seed of the run alone: other seeds draw otherwise, and arms of one seed draw alike (common
    random numbers), so that masks and roundings are no part of what sets them apart.
    """
    return (salt << _ROUNDS | round_) << _CLIENTS | client


def common_key(key: int) -> int:
    """What the keys of all clients of a round have in common: salt and round."""
    return key >> _CLIENTS


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


def decoded(codec: Codec, data: bytes, layout: Layout, base: Params) -> Params:
    """The change of `base` that the receiver of an upload applies, whatever the codec."""
    on: Any = getattr(codec, "decode_on", None)
    change: Params = codec.decode(data, layout) if on is None else on(data, layout, base)
    return change


@dataclass(frozen=True, kw_only=True)
class ValueOptions(Options):
    """Options of every codec: how a value is written, and what becomes of what is not sent.

    Options
    -------
    bits : Bits a value takes: 32; 16 for half precision with one power-of-two scale for each array that is sent; 8 for
        whole numbers, rounded at random so that the expectation is the value, with scales of 16 bits. The server's
        broadcast takes 16 bits where uploads take 8: what is rounded there would disturb the model that all hold.
    error_feedback : Share of what the codec left out that is added to the client's next update; 0 forgets it. What was
        lost on the air waits as a whole, whatever the codec.
    """

    formats: ClassVar[tuple[int, ...]] = (1,)  # of this codec's payloads, below 0x20

    bits: Literal[8, 16, 32] = 16
    error_feedback: Annotated[float, Quantity("1", ge=0, le=1)] = 0.0

    @property
    def broadcast_bits(self) -> int:
        """Bits a value takes in `encode_changed`."""
        return max(self.bits, 16)

    def header(self, bits: int, which: int = 0) -> bytes:
        """The first byte of a payload whose values take `bits`, of the codec's only format or one of several."""
        return bytes([self.formats[which] | _WRITTEN[bits]])

    def opened(self, data: bytes) -> tuple[int, int]:
        """The bits that a payload's values take, and which format it is of.

        Raises
        ------
        ValueError
            It is none of this codec's.
        """
        for which in range(len(self.formats)):
            for bits in _WRITTEN:
                if data[:HEADER] == self.header(bits, which):
                    return bits, which
        got = f"begins with 0x{data[0]:02x}" if data else "is empty"
        raise ValueError(f"no payload of codec {getattr(self, 'kind', '')}: it {got}")

    def pack_plain(self, update: Update, names: Sequence[str], bits: int | None = None) -> bytes:
        """Serialise whole arrays."""
        bits = bits or self.bits
        random = values.draws(update.key, PLAIN) if bits == 8 else None
        return b"".join(values.pack(update.change[name].ravel(), bits, random) for name in names)

    def unpack_plain(
        self, data: bytes, offset: int, names: Sequence[str], layout: Layout, bits: int | None = None
    ) -> tuple[Params, int]:
        """The inverse of `pack_plain`."""
        change: Params = {}
        for name in names:
            flat, offset = values.unpack(data, offset, layout.size([name]), bits or self.bits)
            change[name] = flat.reshape(layout.shapes[name])
        return change, offset

    def whole(self, update: Update, bits: int, which: int = 0) -> Payload:
        """A payload of all arrays as they are, in one of the codec's formats."""
        return Payload(self.header(bits, which) + self.pack_plain(update, update.layout.everything, bits), 1.0)

    def read_whole(self, data: bytes, layout: Layout, bits: int) -> Params:
        """The inverse of `whole`, behind its first byte."""
        change, end = self.unpack_plain(data, HEADER, layout.everything, layout, bits)
        closed(data, end)
        return change

    def plain_bytes(self, layout: Layout, names: Sequence[str]) -> int:
        """Length of `pack_plain`."""
        return sum(values.packed_bytes(layout.size([name]), self.bits) for name in names)


def closed(data: bytes, offset: int) -> None:
    """Raises ValueError unless a payload ends at `offset`."""
    if len(data) != offset:
        raise ValueError(f"a payload of {len(data)} bytes ends at byte {offset}: the rest belongs to nothing")


def dropped(kept: NDArray[np.float64], total: float) -> NDArray[np.float64]:
    """Shares of `total` that are not in `kept`, which rises; 0 at the end, where all is kept, and where nothing is."""
    if total <= 0.0:
        return np.zeros(kept.size)
    share = np.maximum.accumulate(np.clip(kept / total, 0.0, 1.0))
    share[-1] = 1.0  # sums in another order differ in their last bits
    return np.asarray(1.0 - share)


def menu_of(sizes: Sequence[tuple[float, int]]) -> PayloadMenu:
    """A menu from (kept fraction, bytes), with 1 - kept fraction as the error estimate.

    Bytes are made to rise: where all or nearly all is kept, an index may be shorter than in between.
    """
    longest = np.maximum.accumulate([length for _, length in sizes]).tolist()
    points = [Point(kept, 8 * length, 1.0 - kept) for (kept, _), length in zip(sizes, longest, strict=True)]
    return PayloadMenu(tuple(points))


def kept_number(kept_fraction: float, total: int) -> int:
    """floor(kept fraction x total), at least 1: where (k / n) n comes out just below k, it still means k."""
    return max(1, int(kept_fraction * total + 1e-9))


ALL: Mask = np.ones((), dtype=np.bool_)  # the mask of an array that is sent whole
