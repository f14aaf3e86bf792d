"""Packet loss that comes from elsewhere than this radio: a function of the packet and its time, not of who asks.

Knows no SNR and no rate. Where the rate already accounts for fading, this is only for interference, backhaul
or a recorded loss figure; the scenario must say which, so that a loss is not counted twice.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Bools, Floats, Ints, blocks_of, non_negative, whole_numbers
from channels.options import OptionError, Options
from channels.streams import Stream
from channels.units import Probability, Quantity, Seconds, render

_RAREST = 1e-15  # of a step between states: keeps the blocks of the chain within 64-bit ticks
_LOG_DRAWS = 6  # a block holds 2 fresh ticks in the mean at most: more than 64 come once in 1e70 blocks


class Loss(Protocol):
    """What a loss model must do.

    1. It is a frozen dataclass derived from `Options`; its first field is ``kind``.
    2. ``lost(stream, clients, attempts, times_s)`` says of packets whether they are lost: `clients` tells whose each
       is, `attempts` which attempt of that client it is to send a packet in that direction, counted on from one to the
       next, and `times_s` when it ends. The three broadcast against each other, and the answer has their shape.
    3. It is a process: the same (stream, client, attempt, time) always gives the same answer, whatever else was asked.
    4. ``mean_loss`` is the long-run share of packets lost, in [0, 1).
    5. A time that is NaN, infinite or negative raises ValueError. 6. It stands in `LOSS` under its kind.
    7. ``in_time`` is False where the times change no answer: who asks may then give 0 for all of them.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    @property
    def mean_loss(self) -> float:
        """Long-run share of packets lost."""
        ...

    @property
    def in_time(self) -> bool:
        """Whether an answer depends on the time."""
        ...

    def lost(self, stream: Stream, clients: ArrayLike, attempts: ArrayLike, times_s: ArrayLike) -> Bools:
        """Whether each of the packets is lost."""
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
    in_time: ClassVar[bool] = False

    @property
    def mean_loss(self) -> float:
        """0."""
        return 0.0

    def lost(self, stream: Stream, clients: ArrayLike, attempts: ArrayLike, times_s: ArrayLike) -> Bools:
        """False for each of the packets (shapes that broadcast)."""
        return np.zeros(_checked(clients, attempts, times_s)[0], dtype=np.bool_)


@dataclass(frozen=True, kw_only=True)
class IndependentLoss(Options):
    """Each packet is lost with the same probability, independently of all others.

    A lost packet is sent again as the scenario's retransmission says.

    Formula
    -------
    P(lost) = p for every packet, drawn anew for each attempt of a client; when it ends does not matter.

    Validity
    --------
    Where losses come without bursts.

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
    in_time: ClassVar[bool] = False
    probability: Annotated[float, Quantity("1", ge=0, lt=1)]
    origin: Literal["interference", "backhaul", "recorded"]

    @property
    def mean_loss(self) -> float:
        """The probability itself."""
        return self.probability

    def lost(self, stream: Stream, clients: ArrayLike, attempts: ArrayLike, times_s: ArrayLike) -> Bools:
        """Whether each of the packets is lost (shapes that broadcast)."""
        shape, whose, number, _ = _checked(clients, attempts, times_s)
        lost = stream.below(whose, number, self.probability)
        return lost if lost.shape == shape else np.broadcast_to(lost, shape).copy()


@dataclass(frozen=True, kw_only=True)
class GilbertElliott(Options):
    """Losses in bursts: a link is good or bad, by a Markov chain in time, and loses more while bad.

    The state is that of the tick in which a packet ends, so a burst goes on between transmissions; all packets of a
    client that end in one tick meet the same state, and with 0 < e < 1 each of them has a fate of its own there. A time
    within 1e-9 of a tick below an edge counts as the edge.

    Formula
    -------
    With tick floor(t / step), P(good to bad) = p and P(bad to good) = r from tick to tick::

        share of bad ticks = p / (p + r),    mean_loss = (r e_good + p e_bad) / (p + r)
        mean stay: 1/r ticks bad, 1/p ticks good
        correlation of the states k ticks apart = (1 - p - r)^k

    Validity
    --------
    Where losses bunch in time for other reasons than the fading of this radio. With one packet a tick and e_good = 0,
    bursts of lost packets have the mean 1 / (1 - (1 - r) e_bad); with many packets a tick they hold as many more. The
    clock ends at 2^53 ticks, later times are an error.

    Source
    ------
    Gilbert 1960, doi:10.1002/j.1538-7305.1960.tb03959.x; Elliott 1963, Bell Syst. Tech. J. 42(5) 1977-1997. The access
    at any time is own, after coupling from the past (Propp and Wilson 1996, Random Struct. Algorithms 9 223-252).

    Options
    -------
    p : Probability of a step from good to bad. Larger: more bursts.
    r : Probability of a step from bad to good. Larger: shorter bursts.
    e_good : Probability that a packet is lost in the good state. Larger: more losses between bursts.
    e_bad : Probability that a packet is lost in the bad state. Larger: more losses in bursts.
    step_s : Length of a tick. Longer, with the same `p` and `r`: longer bursts.
    origin : Where these losses come from, for the record: it changes no result. They act on top of what the radio
        model itself loses, so they must not be losses that the rate accounts for already.
    """

    kind: Literal["gilbert_elliott"] = "gilbert_elliott"
    in_time: ClassVar[bool] = True
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

    def bad(self, stream: Stream, clients: ArrayLike, times_s: ArrayLike) -> Bools:
        """Whether the links of clients are in their bad state at times in s (shapes that broadcast).

        With probability 1 - |1 - p - r| a tick draws its state afresh, from the law that makes the chain right;
        else it keeps the state of the tick before (or turns it over, if p + r is above 1). So the state at a tick
        follows from the last fresh draw before it. Fresh draws go back without end, so every tick has the law of a
        chain that has run for ever.
        """
        shape, whose, _, times = _checked(clients, 0, times_s)
        # A copy of each, as the pairs are gone through one by one.
        whose, ticks = (part.ravel() for part in np.broadcast_arrays(whose, blocks_of(times, self.step_s)))
        keeps = 1.0 - self.p - self.r >= 0.0
        fresh = self.p + self.r if keeps else 2.0 - self.p - self.r  # P(a tick draws afresh)
        # P(bad) of a fresh draw. Keeping: fresh x share = p. Turning over: fresh x share + (1 - fresh) = p.
        share = self.p / fresh if keeps else (1.0 - self.r) / fresh
        drawn = _last_fresh(stream.child("fresh"), whose, ticks, fresh)
        state = stream.child("state").below(whose, drawn, share)
        return (state if keeps else state ^ ((ticks - drawn) % 2 == 1)).reshape(shape)

    def lost(self, stream: Stream, clients: ArrayLike, attempts: ArrayLike, times_s: ArrayLike) -> Bools:
        """Whether each of the packets is lost (shapes that broadcast)."""
        shape, whose, number, times = _checked(clients, attempts, times_s)
        bad = self.bad(stream, whose, times)
        lost = np.broadcast_to(bad, shape).copy()
        for state, share in ((lost.copy(), self.e_bad), (~lost, self.e_good)):
            if 0.0 < share < 1.0:
                them, numbers = (np.broadcast_to(part, shape)[state] for part in (whose, number))
                lost[state] = stream.below(them, numbers, share)
            else:
                lost[state] = share == 1.0
        return lost


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
    in_time: ClassVar[bool] = True
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

    @functools.cached_property
    def chain(self) -> GilbertElliott:
        """The chain that has this share and this length of bursts."""
        r = min(1.0, self.step_s / self.burst_s)
        p = min(1.0, self.loss * r / (1.0 - self.loss))
        return GilbertElliott(p=p, r=r, step_s=self.step_s, origin=self.origin)

    @property
    def mean_loss(self) -> float:
        """The wanted share itself."""
        return self.loss

    def lost(self, stream: Stream, clients: ArrayLike, attempts: ArrayLike, times_s: ArrayLike) -> Bools:
        """Whether each of the packets is lost (shapes that broadcast)."""
        return self.chain.lost(stream, clients, attempts, times_s)


def _checked(clients: ArrayLike, attempts: ArrayLike, times_s: ArrayLike) -> tuple[tuple[int, ...], Ints, Ints, Floats]:
    """The shape that all broadcast to, clients, attempts, and times in s; ValueError where one cannot be."""
    whose, number = (whole_numbers(name, part) for name, part in (("a client", clients), ("an attempt", attempts)))
    times = non_negative("a time in s", times_s)
    return np.broadcast(whose, number, times).shape, whose, number, times


def _last_fresh(stream: Stream, clients: Ints, ticks: Ints, share: float) -> Ints:
    """The last tick up to each of `ticks` [n] that draws afresh, of the client [n] of each.

    Time is cut into blocks that hold 1 to 2 of them in the mean. Those of a block are found from its end backwards, by
    gaps with a geometric law drawn from the block's own key; as that has no memory, blocks need not know of each other.
    So some 2.5 gaps are drawn for a tick, however rare fresh draws are.
    """
    log_block = math.ceil(-math.log2(share))
    rate = -math.log1p(-share) if share < 1.0 else math.inf
    found = np.empty_like(ticks)
    open_, block = np.arange(ticks.size), ticks >> log_block
    place, number = (block + 1) << log_block, np.zeros_like(ticks)  # one tick after where the search stands
    while open_.size:
        gap = stream.exponential(clients[open_], (block << _LOG_DRAWS) + number) / rate
        place -= 1 + np.minimum(gap, 2.0**log_block).astype(np.int64)
        begin = block << log_block
        empty = place < begin
        done = ~empty & (place <= ticks[open_])
        found[open_[done]] = place[done]
        number += 1
        block, place, number = (np.where(empty, *both) for both in ((block - 1, block), (begin, place), (0, number)))
        open_, block, place, number = (part[~done] for part in (open_, block, place, number))
    return found


LOSS: dict[str, type[NoLoss] | type[IndependentLoss] | type[GilbertElliott] | type[BurstLoss]] = {
    "none": NoLoss,
    "independent": IndependentLoss,
    "gilbert_elliott": GilbertElliott,
    "bursts": BurstLoss,
}
