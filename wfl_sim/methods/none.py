"""No learning: updates are sizes, and the radio and the protocol are all that runs.

Knows bits; `wfl_sim.networkonly` makes of it what a protocol asks for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from channels.options import OptionError, Options
from channels.units import Fraction, Quantity, shown
from wfl_sim.contracts import Params, PayloadMenu, Point
from wfl_sim.methods.base import Adapter, Arrival, Regulariser

Size = Annotated[float, Quantity("bit", ge=1, le=1e12, example="4 Mbit")]


@dataclass(frozen=True, kw_only=True)
class NoLearning(Options):
    """No learning: each update is a number of bits, for questions of the network alone.

    The whole radio, the schedule and the protocol run as ever. Nothing is trained or evaluated, so accuracy and loss
    stay empty in the trace; nothing reads `learning` and `codec`, and no tensor library is loaded.

    Formula
    -------
    A client that keeps the fraction f of its update sends ceil(f payload) bits; what it leaves out counts as an error
    of 1 - f, with which a schedule weighs one fraction against another.

    Validity
    --------
    All clients have the same weight, all updates the same size, and each download has the same size too, however far
    behind a client is.

    Source
    ------
    own: the sizes of an update without its content.

    Options
    -------
    payload_bits : Size of a whole update, without the headers of packets. Larger: longer uploads.
    downlink_bits : Size of what a client downloads before it computes; left out, as much as `payload`.
    kept_fractions : Shares of an update that a client may send, in rising order; the last one must be 1. With one alone
        a schedule chooses bandwidths only.
    """

    kind: Literal["none"] = "none"
    payload_bits: Size
    downlink_bits: Size | None = None
    kept_fractions: tuple[Fraction, ...] = (1.0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        kept = self.kept_fractions
        if not kept or list(kept) != sorted(set(kept)) or kept[-1] != 1.0 or kept[0] <= 0.0:
            message = f"needs shares above 0 in rising order, of which the last is 1; got {shown(list(kept))}"
            raise OptionError("NoLearning", "kept_fractions", message)

    def menu(self) -> PayloadMenu:
        """What each client could send."""
        return PayloadMenu(
            tuple(Point(kept, math.ceil(kept * self.payload_bits), 1.0 - kept) for kept in self.kept_fractions)
        )

    def download_bits(self) -> int:
        """What each client downloads."""
        return math.ceil(self.payload_bits if self.downlink_bits is None else self.downlink_bits)

    def adapter(self) -> Adapter | None:
        return None

    def regulariser(self) -> Regulariser | None:
        return None

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        """The model as it was: there is none in a run."""
        return {name: value.copy() for name, value in model.items()}
