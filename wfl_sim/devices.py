"""How long a client computes in simulated time, and what energy it takes.

Knows neither the learning nor the machine that the simulation runs on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, Ints
from channels.options import OptionError, Options
from channels.streams import Stream
from channels.units import Flop, FlopRate, Fraction, Memory, Quantity, Seconds, Watts

# Steps of this part of a turn from client to client: any run of them lies nearly evenly, whatever its length.
_STEP = (5.0**0.5 - 1.0) / 2.0
_WHOLE = 1e-9  # shares that miss 1 by less are taken to sum to it: one third, thrice, does not quite

Speedup = Annotated[float, Quantity("1", ge=1e-4, le=1e4)]


@dataclass(frozen=True, kw_only=True)
class DeviceClass(Options):
    """Devices of one speed.

    Options
    -------
    speed : How many times as fast as `time`, or `work` and `speed`, state. Larger: less time.
    share : Share of the clients that have such a device; left out, what the other classes leave, in equal parts.
    memory_bits : Memory for training; left out, as much as `clients.compute.memory` states.
    """

    speed: Speedup
    share: Fraction | None = None
    memory_bits: Memory | None = None


@dataclass(frozen=True)
class Compute(Options):
    """The device model: how long a client's local training takes in simulated time, and its energy.

    State either `time`, or `speed`. With `speed` alone the work is counted from the model, so that the time follows
    model, layers, adapters, batch and length of the examples; `work` stated takes the place of the count.

    Formula
    -------
    With Z standard normal, drawn for each client and round, and s the speed of the client's class (1 without classes)::

        T = T0 / s exp(jitter Z),    T0 = time or work / speed,    E = power T

    T0 / s is the median time of a client: schedules plan with it, as they do not know the jitter. With U uniform, drawn
    once, client k is of the class in whose part of [0, 1), as long as its share, U + k (sqrt(5) - 1) / 2 lies, whole
    turns left out: so of the first n clients, whatever n, each class has its share to within a few.

    Where it is counted, work = learning.local.steps x the operations of one training step on learning.local.batch
    examples of full length: `max_tokens` tokens, or all patches of an image. Counted are the matrix products of the
    forward and the backward pass, a multiplication and an addition as two operations: frozen layers and gradients
    through them down to the lowest adapter, adapters, head or output matrix, and a method's penalty. A run counts them
    from the tensors and keeps the figure in its manifest; plans count them from the sizes in the model's `config.json`,
    without the penalty, and differ by less than 1 %.

    Validity
    --------
    A count says nothing of memory: small batches and long vocabularies reach a lower share of a device's peak speed, so
    `speed` is what it reaches in training. Norms, softmax, activations, lookups and the optimiser are left out. All
    clients are taken to have a full batch, and short texts to be padded. With the head alone the frozen layers are
    passed forward in each step; for a device that keeps their answers, state `work`.

    Source
    ------
    own; which passes a frozen layer needs: Hu et al. 2021, arXiv:2106.09685, section 4.

    Options
    -------
    time_s : Median time of a round's local training.
    work_flop : Floating-point operations of a round's local training; left out beside `speed`, counted from the model.
    speed_flops : Floating-point operations that the device does in a second of training. Larger: less time.
    jitter : Standard deviation of ln T: 0 always takes the median time; with 0.3 two rounds in three lie between 0.74
        and 1.35 of it.
    power_w : Power that the device draws while it computes, whatever its class.
    memory_bits : Memory that a device has for training (256 MiB, say); left out, there is no such limit. Methods that
        fit what is trained to the device read it, such as ``split`` for its cut.
    classes : Classes of devices that differ in speed; left out, all are alike.
    """

    time_s: Seconds | None = None
    work_flop: Flop | None = None
    speed_flops: FlopRate | None = None
    jitter: Annotated[float, Quantity("1", ge=0, le=5)] = 0.0
    power_w: Watts = 2.0
    memory_bits: Memory | None = None
    classes: tuple[DeviceClass, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.time_s is None) == (self.speed_flops is None) or (
            self.time_s is not None and self.work_flop is not None
        ):
            message = (
                "state either the time (time: 400 ms), or work and speed (work: 20 GFLOP, speed: 50 GFLOP/s), of which "
                "the work may be left out: then it is counted from the model"
            )
            raise OptionError("Compute", "time_s", message)
        total, is_open = self._stated_share, any(one.share is None for one in self.classes)
        if total > 1.0 + _WHOLE or (is_open and total > 1.0 - _WHOLE):
            left = ", and leave something for the class without a share" if is_open else ""
            raise OptionError("Compute", "classes", f"shares must sum to 1{left}; got {total:.6g}")
        if self.classes and not is_open and total < 1.0 - _WHOLE:
            message = f"shares must sum to 1; got {total:.6g}; leave one out, and its class takes the rest"
            raise OptionError("Compute", "classes", message)

    @property
    def is_counted(self) -> bool:
        """Whether the work is yet to be counted from the model; until then no time is known."""
        return self.time_s is None and self.work_flop is None

    def of(self, work_flop: float) -> Compute:
        """The same with the work of a round's training, unless the scenario states it, or the time."""
        return replace(self, work_flop=work_flop) if self.is_counted else self

    def of_groups(self, works_flop: Sequence[float], clients: Sequence[range]) -> Compute:
        """The same with the work of each group of clients, which follow each other from 0 on.

        Where the scenario states the work or the time, it is that of all groups.
        """
        if not self.is_counted:
            return self
        each = [work for work, own in zip(works_flop, clients, strict=True) for _ in own]
        return UnlikeCompute(**{**vars(self), "work_flop": each[0]}, unlike=tuple(work / each[0] for work in each))

    @property
    def median_s(self) -> float:
        """The time of a round's local training without jitter: of the classes' times, that of the median client."""
        times_s, shares = self._spread
        order = np.argsort(times_s)
        reached = np.cumsum(shares[order]) >= 0.5 - _WHOLE
        return float(times_s[order][np.argmax(reached)])

    @property
    def fastest_s(self) -> float:
        """The same of the fastest class."""
        return float(self._spread[0].min())

    @property
    def slowest_s(self) -> float:
        """The same of the slowest class."""
        return float(self._spread[0].max())

    def classes_of(self, stream: Stream, clients: ArrayLike) -> Ints:
        """The number of the class of each client, in the shape of `clients`."""
        turn = stream.child("class").uniform(0, 0) + np.asarray(clients) * _STEP
        edges = np.cumsum(self._shares)[:-1]
        return np.asarray(np.searchsorted(edges, turn - np.floor(turn), side="right"))

    def medians_s(self, stream: Stream, clients: ArrayLike) -> Floats:
        """The time that each client takes without jitter, in the shape of `clients`."""
        return np.asarray(self._times_s[self.classes_of(stream, clients)])

    def memories_bits(self, stream: Stream, clients: ArrayLike) -> Floats:
        """The memory of each client for training, in the shape of `clients`; infinite where none is stated."""
        own = [one.memory_bits for one in self.classes] or [None]
        known = [self.memory_bits if bits is None else bits for bits in own]
        limits = np.array([math.inf if bits is None else bits for bits in known])
        return np.asarray(limits[self.classes_of(stream, clients)])

    def seconds(self, stream: Stream, clients: ArrayLike, round_: ArrayLike) -> Floats:
        """The time that each client takes in a round; keyed, so the same whatever else happens.

        Clients and rounds are broadcast against each other; for one of each the answer is a number.
        """
        shape = np.broadcast_shapes(np.shape(clients), np.shape(round_))
        seconds = np.broadcast_to(self.medians_s(stream, clients), shape)
        if self.jitter > 0:
            seconds = seconds * np.exp(self.jitter * stream.normal(clients, round_))
        answer: Floats = np.array(seconds)[()]
        return answer

    def energy_j(self, seconds: ArrayLike) -> Floats:
        """Energy of computing for `seconds`; for one time, a number."""
        answer: Floats = (self.power_w * np.asarray(seconds, dtype=np.float64))[()]
        return answer

    @property
    def stated_s(self) -> float:
        """The time of a round's local training on a device of speed 1, without jitter."""
        if self.time_s is not None:
            return self.time_s
        assert self.speed_flops is not None  # checked above
        if self.work_flop is None:
            raise ValueError("the work of a round is not known: count it from the model, and give it to Compute.of")
        return self.work_flop / self.speed_flops

    @property
    def _times_s(self) -> Floats:
        """Without jitter, of each class."""
        return np.array([self.stated_s / one.speed for one in self.classes] or [self.stated_s])

    @property
    def _spread(self) -> tuple[Floats, Floats]:
        """Times without jitter that there are, and the share of the clients that each has."""
        return self._times_s, self._shares

    @property
    def _stated_share(self) -> float:
        return sum(one.share for one in self.classes if one.share is not None)

    @property
    def _shares(self) -> Floats:
        """Of all clients, of each class."""
        left = 1.0 - self._stated_share
        without = sum(one.share is None for one in self.classes)
        return np.array([left / without if one.share is None else one.share for one in self.classes] or [1.0])


@dataclass(frozen=True)
class UnlikeCompute(Compute):
    """The device model of clients whose work differs: that of client k is `unlike` [k] times `work`."""

    unlike: tuple[float, ...] = ()

    def medians_s(self, stream: Stream, clients: ArrayLike) -> Floats:
        return np.asarray(super().medians_s(stream, clients) * np.asarray(self.unlike)[np.asarray(clients)])

    @property
    def _spread(self) -> tuple[Floats, Floats]:
        times_s, shares = super()._spread
        count = len(self.unlike)
        return np.outer(times_s, self.unlike).ravel(), np.repeat(shares / count, count)
