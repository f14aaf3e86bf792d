"""Packet loss that comes from elsewhere than this radio: a function of time, not of who asks.

Knows no SNR and no rate. Where the rate already accounts for fading, this is only for interference, backhaul
or a recorded loss figure; the scenario must say which, so that a loss is not counted twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Bools, Ints, blocks_of, times_array
from channels.options import OptionError, Options
from channels.streams import Stream
from channels.units import Probability, Quantity, Seconds, render

_TICKS_PER_SECOND = 1e9
_LAST_TICK_S = 2.0**62 / _TICKS_PER_SECOND
_RAREST = 1e-15  # of a step between states: keeps the blocks of the chain within 64-bit ticks
_FRESH_A_BLOCK = 8
_DRAWS_A_BLOCK = 64  # a block holds 16 fresh ticks in the mean at most: 64 or more come once in 1e17 blocks


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
        return np.asarray(stream.uniform(client, _nanoseconds(times_s)) < self.probability)


@dataclass(frozen=True, kw_only=True)
class GilbertElliott(Options):
    """Losses in bursts: a link is good or bad, by a Markov chain in time, and loses more while bad.

    The state is that of the tick in which a packet ends, so a burst goes on between transmissions; all packets of a
    client that end in one tick meet the same state. A time within 1e-9 of a tick below an edge counts as the edge.

    Formula
    -------
    With tick floor(t / step), P(good to bad) = p and P(bad to good) = r from tick to tick::

        share of bad ticks = p / (p + r),    mean_loss = (r e_good + p e_bad) / (p + r)
        mean stay: 1/r ticks bad, 1/p ticks good
        correlation of the states k ticks apart = (1 - p - r)^k

    Validity
    --------
    Where losses bunch in time for other reasons than the fading of this radio. With one packet a tick and e_good = 0,
    bursts of lost packets have the mean 1 / (1 - (1 - r) e_bad); with many packets a tick they hold as many more. Two
    packets of one client that end within one nanosecond share their fate; the clock ends at 2^62 ns (146 years) and
    at 2^53 ticks, later times are an error.

    Source
    ------
    Gilbert 1960, doi:10.1002/j.1538-7305.1960.tb03959.x; Elliott 1963, Bell Syst. Tech. J. 42(5) 1977-1997. The access
    at any time is own, after coupling from the past (Propp and Wilson 1996, Random Struct. Algorithms 9 223-252).

    Options
    -------
    p, r : Probability of a step from good to bad, and of one from bad to good. Both larger: shorter bursts; a larger
        p / r: more of the time is bad.
    e_good, e_bad : Probability that a packet is lost in the good state, and in the bad one.
    step_s : Length of a tick. Longer, with the same `p` and `r`: longer bursts.
    origin : Where these losses come from, for the record: it changes no result. They act on top of what the radio
        model itself loses, so they must not be losses that the rate accounts for already.
    """

    kind: Literal["gilbert_elliott"] = "gilbert_elliott"
    p: Annotated[float, Quantity("1", ge=_RAREST, le=1, example="0.05")]
    r: Annotated[float, Quantity("1", ge=_RAREST, le=1, example="0.3")]
    e_good: Annotated[float, Quantity("1", ge=0, lt=1)] = 0.0
    e_bad: Probability = 1.0
    step_s: Seconds = 1e-3
    origin: Literal["interference", "backhaul", "recorded"]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p + self.r > 2.0 - 1e-9:
            raise OptionError("GilbertElliott", "p", "must be below 1 where r is 1, or the state only alternates")

    @property
    def mean_loss(self) -> float:
        """(r e_good + p e_bad) / (p + r)."""
        return (self.r * self.e_good + self.p * self.e_bad) / (self.p + self.r)

    def bad(self, stream: Stream, client: int, times_s: ArrayLike) -> Bools:
        """Whether the link of `client` is in its bad state at each of the times [n] in s.

        With probability 1 - |1 - p - r| a tick draws its state afresh, from the law that makes the chain right;
        else it keeps the state of the tick before (or turns it over, if p + r is above 1). So the state at a tick
        follows from the last fresh draw before it. Fresh draws go back without end, so every tick has the law of a
        chain that has run for ever.
        """
        ticks = blocks_of(times_array(times_s), self.step_s)
        keeps = 1.0 - self.p - self.r >= 0.0
        fresh = self.p + self.r if keeps else 2.0 - self.p - self.r  # P(a tick draws afresh)
        # P(bad) of a fresh draw. Keeping: fresh x share = p. Turning over: fresh x share + (1 - fresh) = p.
        share = self.p / fresh if keeps else (1.0 - self.r) / fresh
        drawn, key = _fresh_ticks(stream.child("fresh"), client, ticks, fresh)
        last = np.searchsorted(drawn, ticks, side="right") - 1
        state = stream.child("state").uniform(client, key[last]) < share
        return np.asarray(state if keeps else state ^ ((ticks - drawn[last]) % 2 == 1))

    def lost(self, stream: Stream, client: int, times_s: ArrayLike) -> Bools:
        """Whether a packet of `client` that ends at each of the times [n] in s is lost."""
        draw = stream.uniform(client, _nanoseconds(times_s))
        return np.asarray(draw < np.where(self.bad(stream, client, times_s), self.e_bad, self.e_good))


@dataclass(frozen=True, kw_only=True)
class BurstLoss(Options):
    """Losses in bursts of a wanted share and length: a Gilbert-Elliott chain that loses all while bad.

    It is ``gilbert_elliott`` with `p` and `r` found from what one wants to see.

    Formula
    -------
    r = step / burst, p = loss r / (1 - loss), e_good = 0, e_bad = 1.

    Validity
    --------
    That of ``gilbert_elliott``. A share `loss` of all ticks is bad, and the mean stay there is `burst`.

    Source
    ------
    Gilbert 1960, doi:10.1002/j.1538-7305.1960.tb03959.x, with both equations solved for p and r.

    Options
    -------
    loss : Share of packets lost in the long run.
    burst_s : Mean length of a burst of losses, at least one step. Longer at the same `loss`: fewer bursts.
    step_s : Length of a tick, in which a link is good or bad throughout.
    origin : Where these losses come from, for the record: it changes no result. They act on top of what the radio
        model itself loses, so they must not be losses that the rate accounts for already.
    """

    kind: Literal["bursts"] = "bursts"
    loss: Annotated[float, Quantity("1", ge=1e-6, lt=1, example="5 %")]
    burst_s: Annotated[float, Quantity("s", gt=0, le=1e9, example="20 ms")]
    step_s: Seconds = 1e-3
    origin: Literal["interference", "backhaul", "recorded"]

    def __post_init__(self) -> None:
        super().__post_init__()
        steps = self.burst_s / self.step_s
        if not 1.0 - 1e-9 <= steps <= 1e9:
            allowed = f"at least one step, {render(self.step_s, 's')}" if steps < 1.0 else "at most 1e9 steps"
            raise OptionError("BurstLoss", "burst_s", f"must be {allowed}; got {render(self.burst_s, 's')}")
        most = steps / (1.0 + steps)  # good ticks last one step each
        if self.loss > most or (self.loss == most and steps < 1.0 + 1e-9):
            message = f"must be {'at most' if steps > 1 else 'below'} {most:.6g} in bursts of {steps:.6g} steps"
            raise OptionError("BurstLoss", "loss", f"{message}; got {self.loss}")

    @property
    def chain(self) -> GilbertElliott:
        """The chain that has this share and this length of bursts."""
        r = min(1.0, self.step_s / self.burst_s)
        p = min(1.0, self.loss * r / (1.0 - self.loss))
        return GilbertElliott(p=p, r=r, step_s=self.step_s, origin=self.origin)

    @property
    def mean_loss(self) -> float:
        """The wanted share itself."""
        return self.loss

    def lost(self, stream: Stream, client: int, times_s: ArrayLike) -> Bools:
        """Whether a packet of `client` that ends at each of the times [n] in s is lost."""
        return self.chain.lost(stream, client, times_s)


def _nanoseconds(times_s: ArrayLike) -> Ints:
    times = times_array(times_s)
    if times.size and times.max() >= _LAST_TICK_S:
        raise ValueError(f"a time of {times.max()} s is beyond the clock of the loss process")
    return np.rint(times * _TICKS_PER_SECOND).astype(np.int64)


def _fresh_ticks(stream: Stream, client: int, ticks: Ints, share: float) -> tuple[Ints, Ints]:
    """Ticks that draw afresh, in order, and a key for each: enough to find the last one up to each of `ticks`.

    Time is cut into blocks that hold 8 to 16 of them in the mean. Those of a block are drawn from its own key, as
    gaps with a geometric law; as that has no memory, blocks need not know of each other.
    """
    block = 1 << math.ceil(math.log2(_FRESH_A_BLOCK / share))
    rate = -math.log1p(-share) if share < 1.0 else math.inf
    home = np.unique(ticks // block)
    wanted = np.union1d(home, home - 1)
    drawn, keys = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    while wanted.size:
        key = wanted[:, None] * _DRAWS_A_BLOCK + np.arange(_DRAWS_A_BLOCK)
        gaps = 1 + np.minimum(stream.exponential(client, key) / rate, block).astype(np.int64)
        place = np.cumsum(gaps, axis=1) - 1
        inside = place < block
        drawn.append((wanted[:, None] * block + place)[inside])
        keys.append(key[inside])
        empty = wanted[~inside[:, 0]] - 1
        wanted = np.setdiff1d(empty, np.concatenate([home, home - 1]))
    joined, first = np.unique(np.concatenate(drawn), return_index=True)
    return joined, np.concatenate(keys)[first]


LOSS: dict[str, type[NoLoss] | type[IndependentLoss] | type[GilbertElliott] | type[BurstLoss]] = {
    "none": NoLoss,
    "independent": IndependentLoss,
    "gilbert_elliott": GilbertElliott,
    "bursts": BurstLoss,
}
