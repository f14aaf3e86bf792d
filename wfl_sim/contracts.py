"""The plain data that the nouns hand to each other: menus, requests, decisions, payloads.

Knows none of them: a schedule that reads a menu does not learn what a point means, and a protocol that
carries a payload sees only its size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from channels.ratecurve import Curve

if TYPE_CHECKING:
    from wfl_sim.statefiles import StateFiles

FloatArray = NDArray[np.float64]
Params = dict[str, NDArray[np.float32]]
Trained = Callable[[], Params]  # parameters after local training, for which it waits if need be


@dataclass(frozen=True)
class Point:
    """One thing that a client could send: at most `bits`, with an error estimate from 0 (all) to 1."""

    kept_fraction: float
    bits: int
    error: float


_NUMBERS = attrgetter("bits", "kept_fraction", "error")


@dataclass(frozen=True)
class PayloadMenu:
    """The points that a client could send, in rising order of bits; the last one is the dense update."""

    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        sizes = [point.bits for point in self.points]
        if not sizes or sizes != sorted(sizes):
            raise ValueError(f"a payload menu needs points in rising order of bits, got {sizes}")

    @cached_property
    def columns(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Bits, kept fractions and errors of the points, as arrays [points]."""
        numbers = chain.from_iterable(map(_NUMBERS, self.points))  # a thousand clients have a menu each
        bits, kept, error = np.fromiter(numbers, np.float64, 3 * len(self.points)).reshape(-1, 3).T
        return bits, kept, error

    def with_errors(self, errors: Sequence[float]) -> PayloadMenu:
        """The same points with other error estimates, one each."""
        return PayloadMenu(
            tuple(Point(p.kept_fraction, p.bits, error) for p, error in zip(self.points, errors, strict=True))
        )

    def at_least(self, kept_fraction: float) -> PayloadMenu:
        """The points that keep `kept_fraction` or more; the densest alone if none does."""
        kept = tuple(p for p in self.points if p.kept_fraction >= kept_fraction - 1e-12)
        return PayloadMenu(kept or self.points[-1:])

    def smallest(self, kept_fraction: float) -> Point:
        """The first point that keeps `kept_fraction` or more; the densest if none does."""
        return next((p for p in self.points if p.kept_fraction >= kept_fraction - 1e-12), self.points[-1])

    def nearest(self, kept_fraction: float) -> Point:
        """The largest point that keeps no more than `kept_fraction`; the smallest if all keep more."""
        fitting = [p for p in self.points if p.kept_fraction <= kept_fraction + 1e-12]
        return fitting[-1] if fitting else self.points[0]


@dataclass(frozen=True)
class Payload:
    """An encoded update. The bits charged are those of `data`, header and index included."""

    data: bytes
    kept_fraction: float

    @property
    def bits(self) -> int:
        return 8 * len(self.data)


@dataclass(frozen=True)
class Sized:
    """A payload of which nothing matters but its size: that of a run without learning."""

    bits: int
    kept_fraction: float = 1.0


AnyPayload = Payload | Sized


@dataclass(frozen=True)
class Air:
    """What a schedule may plan with: the shared uplink band and how bits fare on it.

    `curve` turns a bandwidth and an SNR-bandwidth product into a planning rate; `overhead` (pilots and
    control) and `loss` (mean packet loss) make it goodput; headers are counted in `wire_bits`. `places` is how many
    clients may send side by side, as the protocol has it; 0 where those who ask are all.
    """

    bandwidth_hz: float
    curve: Curve
    overhead: float = 0.0
    loss: float = 0.0
    packet_bits: float = math.inf
    header_bits: float = 0.0
    places: int = 0

    @property
    def goodput(self) -> float:
        """Share of the channel rate that first transmissions of packets get."""
        return (1.0 - self.overhead) * (1.0 - self.loss)

    def wire_bits(self, payload_bits: float) -> float:
        """`payload_bits` with the headers of the packets that carry it."""
        return payload_bits + math.ceil(payload_bits / (self.packet_bits - self.header_bits)) * self.header_bits

    def payload_bits(self, wire_bits: FloatArray) -> FloatArray:
        """The largest payloads that fit in so many bits with the headers of their packets: `wire_bits` inverted."""
        whole = np.floor(wire_bits / self.packet_bits)
        rest = np.maximum(wire_bits - whole * self.packet_bits - self.header_bits, 0.0)
        return np.asarray(np.floor(whole * (self.packet_bits - self.header_bits) + rest))

    def rate_bps(self, bandwidth_hz: FloatArray, snr_hz: FloatArray) -> FloatArray:
        """Planned goodput in bit/s of bandwidths at SNR-bandwidth products, element by element."""
        return np.asarray(self.curve.rate(bandwidth_hz, snr_hz) * self.goodput)


@dataclass(frozen=True)
class Request:
    """What one client would like: CSI, menu, the time before its upload can start, its weight.

    `snr_hz` is P h / (N0 F): the SNR in a band b is snr_hz / b. The upload can start `ready_s` after the
    broadcast has ended, which takes the longest `downlink_s` of the clients that are called: a client that is
    deferred keeps nobody waiting. Where each gets a copy of its own (unicast), that is part of `ready_s`, and
    `downlink_s` is 0. `importance` is the energy of the change that the client sent last, nan as long as none is known.
    """

    client: int
    snr_hz: float
    menu: PayloadMenu
    ready_s: float
    weight: float
    downlink_s: float = 0.0
    importance: float = math.nan


@dataclass(frozen=True)
class Flight:
    """An upload that is computed for or under way: who holds which bandwidth, and for how many payload bits."""

    client: int
    bandwidth_hz: float
    payload_bits: int


@dataclass(frozen=True)
class Decision:
    """What one client is told: `send` a point in a bandwidth, `defer` (asked again next round), or `skip`.

    Who is skipped sends nothing this time and is not asked again before the others were.
    """

    client: int
    action: Literal["send", "defer", "skip"]
    bandwidth_hz: float
    point: Point


class Schedule(Protocol):
    """The send schedule. An implementer's contract:

    1. `decide` returns one decision a request, in the same order. Who sends gets a bandwidth above 0 and a point of
       its own menu; bandwidths sent, with those `in_flight`, sum to at most the band. Anyone may be deferred, also
       everyone.
    2. `state` is plain data (numbers, strings, lists, dicts: what JSON gives back as it was) and is returned, never
       changed in place.
    3. `observe` is told the realised time of each round and returns the new state. Where there is a method
       ``observe_clients(latencies, state) -> state``, it is told before that how long those took that have ended in
       the round: pairs (client, seconds from the call to its end), with who was late or lost. Where there is a property
       ``measures`` and it is true, clients tell what they measured of their last update (`Point.error` of their own
       menu, `Request.importance`), as far as the codec can say it.
    4. Nothing is remembered on the schedule itself: it is frozen, and a run resumes from `state`.
    5. It is a frozen dataclass derived from `Options`; its field ``kind`` holds its name, and the docstring's
       section Options says what each other one means.
    6. It stands in `SCHEDULES` under its kind, or is an entry point of the group ``wfl_sim.schedule``.
    7. Its own ClassVar ``unread`` names the options, as files do, that it has and does not read, such as ``csi`` where
       it looks at no link. Classes derived from it do not inherit that.
    """

    @property
    def kind(self) -> str: ...
    @property
    def csi(self) -> Literal["large_scale", "block", "instantaneous"]: ...
    @property
    def csi_delay_s(self) -> float: ...
    @property
    def csi_error_db(self) -> float: ...
    @property
    def latency_budget(self) -> float | None: ...

    def start(self) -> dict[str, Any]: ...

    def decide(
        self,
        now_s: float,
        air: Air,
        requests: Sequence[Request],
        in_flight: Sequence[Flight],
        state: dict[str, Any],
    ) -> tuple[list[Decision], dict[str, Any]]: ...

    def observe(self, round_s: float, state: dict[str, Any]) -> dict[str, Any]: ...


class Work(Protocol):
    """The learning side as a protocol sees it: clients, sizes and opaque payloads, never a tensor.

    1. `weight(client)` is the client's share of the data, `menu(client)` what it could send.
    2. `downlink(clients)` is the payload that brings all of them to the current model; `received` says that what it
       gave for them last has arrived. Meanwhile the model may have moved on.
    3. `train(round, clients)` starts to train them from the model that they received; `encode` then gives one client's
       payload, for which it waits if need be, or None where its training diverged and it has nothing to send: then the
       call is over, and `lost` is not called. `known_at_once` says that no `encode` ever has to wait.
    4. `stopped` says that a client's computing was cut short, before it was to be encoded. `lost` puts what was trained
       and did not arrive back to the client; `aggregate` merges what did. Between training and the end of these three,
       a client is not trained again. Where `aggregate` is given `factors`, the change of a client counts times its
       factor: what an old change is worth, and the server's step.
    5. `evaluate` gives the metrics of the current model, and where clients come in groups, under ``groups`` a row for
       each of them as the trace has it; `diagnostics` the rest of a trace row. `model` is the current
       model itself and the number of its version, or None where nothing is learnt; its arrays are never changed.
       `close` stops what still computes.
    6. Between two rounds, `snapshot(files)` is all that it takes to go on: plain data for JSON, whose arrays are kept
       in `files`; None where there is nothing. `restore` goes on from there, in a work that was built anew and has been
       asked for nothing but weights and menus: the air is played again up to there with the sizes that were given the
       first time (`wfl_sim.replay`).
    7. Weights are the same in all of a run, and so are menus unless there is a ``menus_change`` that is true: then what
       `encode` makes may change the errors of the client's own menu, and ``importance(client)``, the energy of its last
       change (nan before), and nothing else changes them; or a ``menus_vary`` that is true: then any menu may be
       another one in another version of the model.
    """

    @property
    def known_at_once(self) -> bool: ...
    def weight(self, client: int) -> float: ...
    def menu(self, client: int) -> PayloadMenu: ...
    def downlink(self, clients: Sequence[int]) -> AnyPayload: ...
    def received(self, clients: Sequence[int]) -> None: ...
    def train(self, round_: int, clients: Sequence[int]) -> None: ...
    def encode(self, client: int, point: Point) -> AnyPayload | None: ...
    def stopped(self, client: int) -> None: ...
    def lost(self, client: int) -> None: ...
    def aggregate(self, arrivals: Mapping[int, AnyPayload], factors: Mapping[int, float] | None = None) -> None: ...
    def evaluate(self) -> dict[str, Any]: ...
    def diagnostics(self) -> dict[str, Any]: ...
    def model(self) -> tuple[int, Params] | None: ...
    def snapshot(self, files: StateFiles) -> dict[str, Any] | None: ...
    def restore(self, plain: Mapping[str, Any], files: StateFiles) -> None: ...
    def close(self) -> None: ...
