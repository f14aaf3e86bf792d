"""What schedules share: their view of the link (CSI), who finds room in the band, and a common end of uploads.

Knows plain numbers; neither SimPy nor tensors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from channels.options import Count, Options
from channels.ratecurve import Curve
from channels.units import Delay, Fraction, Probability, Quantity
from wfl_sim.contracts import Air, Decision, Flight, FloatArray, PayloadMenu, Point, Request
from wfl_sim.schedules.roots import falling_root, polished
from wfl_sim.schedules.roughcurve import rough

_MORE = 15  # slacks after the first that are tried at once
_ROUGHLY = 1e-5  # of a logarithm, where tables are asked, which err by as much
_NEWTON_STEPS = 8  # where the curve is smooth two or three lead from the tables to the root
_QUADRATIC = 1e-8  # of a logarithm: a step of Newton's method so small leaves its square
_LEAST = 0.05  # of an even share: who would get less is better off waiting until an upload ends
LINKS = ("csi", "csi_delay", "csi_error")  # options of `WithCsi` that a schedule which looks at no link leaves `unread`
_WHOLE = 1e-9  # of one client: a share of 29 % of 100 clients is 29 of them in floats too


@dataclass(frozen=True, kw_only=True)
class WithCsi(Options):
    """Options of every schedule: what it may know of the links (CSI).

    Options
    -------
    csi : What the schedule sees of a link. ``large_scale`` is path loss and shadowing, and it plans with the mean rate
        over the fading. ``block`` and ``instantaneous`` are the gain at one moment, taken as constant over the round.
        ``block`` is the usual assumption of papers, and needs fading that holds for a while (``block`` or ``none``);
        ``instantaneous`` goes with any fading, also one that moves on, of which one moment says little.
    csi_delay_s : How old that view is when the schedule decides. Larger: the gain has moved further meanwhile.
    csi_error_db : Standard deviation of a normal error in that view, drawn for each client and round.
    """

    csi: Literal["large_scale", "block", "instantaneous"] = "large_scale"
    csi_delay_s: Delay = 0.0
    csi_error_db: Annotated[float, Quantity("dB", ge=0, le=40)] = 0.0

    @property
    def latency_budget(self) -> float | None:
        """The long-term mean round time that is promised; none unless a schedule says so."""
        return None

    @property
    def measures(self) -> bool:
        """Whether it reads what clients measured of their last updates."""
        return False

    def start(self) -> dict[str, Any]:
        """State before the first round: none unless a schedule has some."""
        return {}

    def observe(self, round_s: float, state: dict[str, Any]) -> dict[str, Any]:
        """Learn how long a round really took."""
        return state


@dataclass(frozen=True, kw_only=True)
class WithFraction(WithCsi):
    """Options of schedules that send the same share of every update.

    Options
    -------
    kept_fraction : Share of every update that is sent, taken down to the nearest point that the codec offers (its
        smallest if none is that small). Smaller: faster, less exact.
    payload_bits : Most bits of an upload, head, index and scales included: the largest point of the codec that is
        sure to take no more, if `kept_fraction` allows it (the codec's smallest if none is that small). Codecs are
        compared fairly at the same one. Left out, there is no such limit.
    """

    kept_fraction: Fraction = 1.0
    payload_bits: Annotated[float, Quantity("bit", ge=1, le=1e12, example="300 kbit")] | None = None

    def points(self, requests: Sequence[Request]) -> list[Point]:
        """What each of them sends."""
        nearest: dict[int, Point] = {}  # by identity: clients mostly share a menu
        for request in requests:
            if id(request.menu) not in nearest:
                nearest[id(request.menu)] = self._point(request.menu)
        return [nearest[id(request.menu)] for request in requests]

    def _point(self, menu: PayloadMenu) -> Point:
        point = menu.nearest(self.kept_fraction)
        if self.payload_bits is None or point.bits <= self.payload_bits:
            return point
        fitting = [other for other in menu.points if other.bits <= self.payload_bits]
        return fitting[-1] if fitting else menu.points[0]


@dataclass(frozen=True, kw_only=True)
class WithSenders(WithFraction):
    """Options of schedules that let only some send.

    Options
    -------
    senders : How many clients send in a round, or side by side under an asynchronous protocol. Larger: more is
        averaged, and each gets less of the band.
    share : The same as a share of those that ask (of the places, under an asynchronous protocol), rounded down; it
        counts where it gives more than `senders`. Larger: as with `senders`.
    """

    senders: Count = 1
    share: Probability = 0.0

    def seats(self, air: Air, in_flight: Sequence[Flight], requests: Sequence[Request]) -> Room:
        """What is there for those that are chosen; under an asynchronous protocol flights have some of the seats."""
        asking = len(requests)
        seats = max(self.senders, math.floor(self.share * (air.places or asking) + _WHOLE))
        if air.places:
            return room(replace(air, places=min(seats, air.places)), in_flight, asking)
        return room(air, in_flight, min(seats, asking))


class Room(NamedTuple):
    """What is there for those who ask.

    How many get a grant; the band that these may plan with; and what each of them gets where all get alike.
    """

    served: int
    band_hz: float
    each_hz: float


def free_hz(air: Air, in_flight: Sequence[Flight]) -> float:
    """The band that no upload holds."""
    return max(0.0, air.bandwidth_hz - math.fsum(flight.bandwidth_hz for flight in in_flight))


def room(air: Air, in_flight: Sequence[Flight], asking: int) -> Room:
    """What is there for so many who ask, beside the uploads in flight.

    Where the protocol says how many may send side by side (`Air.places`), the free band is for the places that are
    left, and those who ask plan with theirs; else it is all for those who ask. Nobody is served for whom less than
    `_LEAST` of an even share would be left.
    """
    free, even_hz = free_hz(air, in_flight), air.bandwidth_hz / max(air.places or asking, 1)
    places = max(air.places - len(in_flight), 0) if air.places else asking
    places = min(places, int(free / (_LEAST * even_hz)))
    served = min(asking, places)
    if not served:
        return Room(0, 0.0, 0.0)
    return Room(served, free * (served / places), min(even_hz, free / served))


def ready_to_send(requests: Sequence[Request]) -> FloatArray:
    """The times [clients] before the uploads can start if all these clients are called."""
    broadcast_s = max(request.downlink_s for request in requests)
    return np.array([broadcast_s + request.ready_s for request in requests])


def finish_together(
    air: Air, snr_hz: FloatArray, ready_s: FloatArray, bits: Sequence[float]
) -> tuple[float, FloatArray]:
    """The bandwidths that let all uploads end at one time, the earliest at which the band carries them.

    Parameters
    ----------
    air : Air
    snr_hz, ready_s : array [clients]
        SNR-bandwidth products in Hz, and the times before the uploads can start.
    bits : [clients]
        Payload sizes.

    Returns
    -------
    (finish_s, bandwidth_hz) : the time, and an array [clients] that sums to the band
    """
    wire = np.array([air.wire_bits(b) for b in bits])
    return end_together(air, snr_hz, ready_s, wire)


def end_together(air: Air, snr_hz: FloatArray, ready_s: FloatArray, wire_bits: FloatArray) -> tuple[float, FloatArray]:
    """`finish_together` for bits on the air [clients]."""
    snr_hz = np.asarray(snr_hz, dtype=np.float64)

    def needed(curve: Curve, log_slack: FloatArray) -> FloatArray:
        rate = wire_bits / (ready_s.max() - ready_s + np.exp(log_slack)[:, None]) / air.goodput
        return np.asarray(curve.bandwidth_for_rate(rate, snr_hz))

    def excess(curve: Curve, log_slack: FloatArray) -> FloatArray:
        return np.asarray(np.log(needed(curve, log_slack).sum(axis=1) / air.bandwidth_hz))

    # Slacks of 1 ms, 2.7 ms, 7.4 ms, ... until one is enough; asked about in rows, since a question costs most of it.
    tables = rough(air.curve)
    about = partial(excess, tables)
    low, slacks = np.log([1e-9]), np.cumsum([math.log(1e-3), *[1.0] * _MORE])
    while not (enough := about(slacks) <= 0).any():
        low, slacks = slacks[-1:], np.cumsum([slacks[-1] + 1.0, *[1.0] * _MORE])
    first = int(np.argmax(enough))
    low = slacks[first - 1 : first] if first else low
    guess = falling_root(about, low, slacks[first : first + 1], near=_ROUGHLY)
    found = _newton(air, snr_hz, ready_s.max() - ready_s, wire_bits, float(guess[0]), needed(tables, guess)[0])
    if found is None:
        log_slack = float(polished(partial(excess, air.curve), guess, np.log([1e-9]), guess + _MORE)[0])
        found = log_slack, needed(air.curve, np.array([log_slack]))[0]
    log_slack, bandwidth = found
    return float(ready_s.max() + math.exp(log_slack)), bandwidth * (air.bandwidth_hz / bandwidth.sum())


def _newton(
    air: Air, snr_hz: FloatArray, head_start_s: FloatArray, wire_bits: FloatArray, log_slack: float, band: FloatArray
) -> tuple[float, FloatArray] | None:
    """The common end and its bandwidths by Newton's method on the logarithms of all at once; None where it fails.

    One question to the curve a step: each rate is to be the bits over the time, and all bandwidths together the band.
    """
    if not np.isfinite(band).all():
        return None
    with np.errstate(all="ignore"):  # what fails is not finite
        for _ in range(_NEWTON_STEPS):
            rate = air.rate_bps(band, snr_hz)
            stretch = rate / (band * air.goodput * air.curve.slope(band, snr_hz))  # of ln(bandwidth) with ln(rate)
            time_s = head_start_s + math.exp(log_slack)
            short, eased = np.log(wire_bits / (time_s * rate)) * stretch, math.exp(log_slack) / time_s * stretch
            step = float((band @ (1 + short) - air.bandwidth_hz) / (band @ eased))
            move = short - eased * step
            most = float(np.abs(move).max(initial=abs(step)))
            if not most < 1:  # nan too
                return None
            band, log_slack = band * np.exp(move), log_slack + step
            if most <= _QUADRATIC:
                return log_slack, band
    return None


def tell(
    requests: Sequence[Request],
    chosen: Sequence[int],
    bandwidth_hz: Sequence[float],
    points: Sequence[Point],
    others: Literal["defer", "skip"] = "defer",
    kept_fraction_min: float = 0.0,
) -> list[Decision]:
    """One decision a request: those at the places `chosen` send, and the others are told to defer or to skip.

    What these are said to have sent is the smallest point with `kept_fraction_min`.
    """
    granted = dict(zip(chosen, zip(bandwidth_hz, points, strict=True), strict=True))
    return [
        Decision(request.client, "send", *granted[place])
        if place in granted
        else Decision(request.client, others, 0.0, request.menu.smallest(kept_fraction_min))
        for place, request in enumerate(requests)
    ]
