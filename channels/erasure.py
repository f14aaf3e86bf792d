"""Packet loss that comes from elsewhere than this radio: a function of time, not of who asks.

Knows no SNR and no rate. Where the rate already accounts for fading, this is only for interference, backhaul
or a recorded loss figure; the scenario must say which, so that a loss is not counted twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Bools, times_array
from channels.options import Options
from channels.streams import Stream
from channels.units import Quantity

_TICKS_PER_SECOND = 1e9
_LAST_TICK_S = 2.0**62 / _TICKS_PER_SECOND


class Loss(Protocol):
    """What a loss model must do.

    1. It is a frozen dataclass derived from `Options`; its first field is ``kind``.
    2. ``lost(stream, client, times_s)`` says for each time whether a packet of that client that ends then is
       lost.
    3. It is a process in time: the same (stream, client, time) always gives the same answer, whatever else
       was asked.
    4. ``mean_loss`` is the long-run share of packets lost, in [0, 1).
    5. A time that is NaN, infinite or negative raises ValueError. 6. It stands in `LOSS` under its kind.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    @property
    def mean_loss(self) -> float:
        """Long-run share of packets lost."""
        ...

    def lost(self, stream: Stream, client: int, times_s: ArrayLike) -> Bools:
        """Whether a packet that ends at each of the times is lost."""
        ...


@dataclass(frozen=True)
class NoLoss(Options):
    """No packet is lost.

    Formula
    -------
    P(lost) = 0 for every packet.

    Validity
    --------
    Where the rate already follows the channel, as with ``shannon``, and nothing else disturbs the link. Losses from
    elsewhere than this radio need another kind.

    Source
    ------
    own: the reference case.
    """

    kind: Literal["none"] = "none"

    @property
    def mean_loss(self) -> float:
        """0."""
        return 0.0

    def lost(self, stream: Stream, client: int, times_s: ArrayLike) -> Bools:
        """False for each of the times [n]."""
        return np.zeros(times_array(times_s).shape, dtype=np.bool_)


@dataclass(frozen=True, kw_only=True)
class IndependentLoss(Options):
    """Each packet is lost with the same probability, independently of all others.

    A lost packet is sent again as the scenario's retransmission says.

    Formula
    -------
    P(lost) = p for every packet, drawn anew for each client and each nanosecond in which a packet ends.

    Validity
    --------
    Where losses come without bursts. Two packets of one client that end within one nanosecond share their fate; the
    clock ends at 2^62 ns (146 years), later times are an error.

    Source
    ------
    own: the memoryless erasure channel.

    Options
    -------
    probability : The probability p that an attempt to send a packet is lost.
    origin : Where these losses come from, for the record: it changes no result. They act on top of what the radio
        model itself loses, so they must not be losses that the rate accounts for already.
    """

    kind: Literal["independent"] = "independent"
    probability: Annotated[float, Quantity("1", ge=0, lt=1)]
    origin: Literal["interference", "backhaul", "recorded"]

    @property
    def mean_loss(self) -> float:
        """The probability itself."""
        return self.probability

    def lost(self, stream: Stream, client: int, times_s: ArrayLike) -> Bools:
        """Whether a packet of `client` that ends at each of the times [n] in s is lost."""
        times = times_array(times_s)
        if times.size and times.max() >= _LAST_TICK_S:
            raise ValueError(f"a time of {times.max()} s is beyond the clock of the loss process")
        ticks = np.rint(times * _TICKS_PER_SECOND).astype(np.int64)
        return np.asarray(stream.uniform(client, ticks) < self.probability)


LOSS: dict[str, type[NoLoss] | type[IndependentLoss]] = {"none": NoLoss, "independent": IndependentLoss}
