"""Dense: the whole update, nothing left out.

Its menu has one point, so a schedule can only choose bandwidths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wfl_sim.codecs.base import FORMAT, Layout, Update, ValueOptions, menu_of
from wfl_sim.contracts import Params, Payload, PayloadMenu


@dataclass(frozen=True)
class Dense(ValueOptions):
    """The whole update: all values of all arrays in turn.

    Its menu has one point, so a schedule can only choose bandwidths.

    Formula
    -------
    With q bits a value and n_i values in array i of adapters and head::

        bits = 8 + sum_i (q n_i + s),    s = 8 if q = 16, else 0

    The first 8 bits name the format; s is the scale of an array.

    Validity
    --------
    Everywhere; what any other codec must beat. With 32 bits the update arrives as it was, with 16 rounded to half
    precision.

    Source
    ------
    own: the plain serialisation.
    """

    kind: Literal["dense"] = "dense"

    def menu(self, layout: Layout) -> PayloadMenu:
        return menu_of([(1.0, len(FORMAT) + self.plain_bytes(layout, (*layout.plain, *layout.factors)))])

    def encode(self, update: Update, kept_fraction: float) -> Payload:
        names = (*update.layout.plain, *update.layout.factors)
        return Payload(FORMAT + self.pack_plain(update, names), 1.0)

    def encode_changed(self, update: Update) -> Payload:
        return self.encode(update, 1.0)

    def decode(self, data: bytes, layout: Layout) -> Params:
        change, _ = self.unpack_plain(data, len(FORMAT), (*layout.plain, *layout.factors), layout)
        return change
