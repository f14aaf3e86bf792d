"""Dense: the whole update, nothing left out.

Its menu has one point, so a schedule can only choose bandwidths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from wfl_sim.codecs.base import ALL, HEADER, Kept, Layout, Update, ValueOptions, menu_of
from wfl_sim.contracts import Params, Payload, PayloadMenu


@dataclass(frozen=True)
class Dense(ValueOptions):
    """The whole update: all values of all arrays in turn.

    Its menu has one point, so a schedule can only choose bandwidths.

    Formula
    -------
    With q bits a value and n_i values in array i of adapters and head::

        bits = 8 + sum_i (q n_i + s_i),    s_i = 0 (q = 32), 8 (q = 16), 16 ceil(n_i / 128) (q = 8)

    The first 8 bits name the format; s_i are the scales of an array, at 8 bits one for each 128 values in turn. There
    a value errs by less than a step, 1/127 of the largest of its 128, and by 0 in expectation.

    Validity
    --------
    Everywhere; what any other codec must beat, at equal bits a value. With 32 bits the update arrives as it was, with
    16 rounded to half precision, with 8 with rounding noise of its own in every value.

    Source
    ------
    own: the plain serialisation. Stochastic rounding as in QSGD, Alistarh et al. 2017, arXiv:1610.02132, with the
    largest value in place of the norm.
    """

    unread: ClassVar[tuple[str, ...]] = ("error_feedback",)  # nothing is left out that could wait

    kind: Literal["dense"] = "dense"

    def menu(self, layout: Layout) -> PayloadMenu:
        return menu_of([(1.0, HEADER + self.plain_bytes(layout, layout.everything))])

    def encode(self, update: Update, kept_fraction: float) -> Payload:
        return self.whole(update, self.bits)

    def encode_changed(self, update: Update) -> Payload:
        return self.whole(update, self.broadcast_bits)

    def decode(self, data: bytes, layout: Layout) -> Params:
        bits, _ = self.opened(data)
        return self.read_whole(data, layout, bits)

    def kept(self, data: bytes, layout: Layout) -> Kept:
        return dict.fromkeys(layout.shapes, ALL)
