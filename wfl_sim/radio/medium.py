"""The shared medium: who holds which bandwidth, what rate and loss follow, and when a transfer ends.

Knows SimPy and channels; payloads are sizes, and rounds, methods and tensors do not exist here.

How a band is used is the business of a `Planned` or a `Shared` access, which carries transfers on without a clock; the
medium wakes it when something ends, or is asked for. What is asked for at one instant is added together at the end of
that instant. Gains and losses are functions of time and of attempts, so when the medium wakes changes no draw.

The size of an upload may be a function, which is called when it is needed: as the upload begins, or, where those that
were asked for at one instant are planned together, as the first of them does. That it came late changes no result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import simpy

from channels.cqi import Cqi
from channels.erasure import Loss
from channels.fading import NoFading
from channels.harq import BlockLink
from channels.links import Direction, LinkModel
from channels.ratecurve import Curve, planning_curve
from channels.streams import Stream
from wfl_sim.contracts import Air, FloatArray
from wfl_sim.radio.access import NO_SUPPLY, Job, Planned, Rest, Shared, Supply
from wfl_sim.radio.clock import LAST, act_at, places, succeed_at
from wfl_sim.radio.fdma import Fdma, FixedShares, SharedBand
from wfl_sim.radio.flows import Losses, Sizes
from wfl_sim.radio.ledger import Ledger
from wfl_sim.radio.onebyone import Broadcasts, EachAlone, OneByOne
from wfl_sim.radio.options import Downlink, Radio, Uplink
from wfl_sim.radio.packetwise import PacketByPacket
from wfl_sim.radio.schedulers import Kind, Scheduler
from wfl_sim.radio.signal import Signal, check_finite
from wfl_sim.radio.slotted import Blocks, Slotted
from wfl_sim.radio.transmission import BROADCAST, Reason, Transmission
from wfl_sim.radio.walk import Walker

__all__ = ["BROADCAST", "Medium", "Transmission"]

PayloadBits = int | Callable[[], int]

_EDGE = 1e-9  # of a slot
_BAND = 1e-6  # relative: sums of many grants round


class _Line:
    """One direction: how its band is used, what was asked for at this instant, and when to wake."""

    def __init__(self, direction: Direction, access: Planned | Shared) -> None:
        self.direction: Direction = direction
        self.planned = access if isinstance(access, (FixedShares, EachAlone, Broadcasts)) else None
        self.shared = None if self.planned is not None else cast(Shared, access)
        self.access = access
        self.asked: list[Job] = []
        self.busy = 0  # transfers that were asked for and have not ended
        self.waking_s = math.inf
        self.wake = 0


class Medium:
    """The air between one base station and its clients.

    Parameters
    ----------
    env : simpy.Environment
    radio : Radio
    links : Links
        Power gains of all clients as functions of time; uplink and downlink share them if they are reciprocal (TDD).
        If not, they tell the mean gain and the law of the fading of each direction, as recorded links do.
        Where they depend on the frequency, a grant in FDMA counts as spread over the whole band of its direction.
    loss : Loss
        Packet loss from elsewhere than this radio.
    stream : Stream
        Random stream of the packet losses, and of the block errors.
    tx_power_w, amplifier_efficiency, circuit_power_w : float
        Of a client. An upload takes (power / efficiency + circuit_power) x air time in joules.
    """

    def __init__(
        self,
        env: simpy.Environment,
        radio: Radio,
        links: LinkModel,
        loss: Loss,
        stream: Stream,
        *,
        tx_power_w: float,
        amplifier_efficiency: float = 1.0,
        circuit_power_w: float = 0.0,
    ) -> None:
        self.env, self.radio, self.links, self.loss = env, radio, links, loss
        self.ledger = Ledger()
        base_power_w = 10 ** (radio.downlink.tx_power_dbm / 10 - 3)
        self._signals: dict[Direction, Signal] = {
            "up": Signal(radio, links, "up", tx_power_w),
            "down": Signal(radio, links, "down", base_power_w),
        }
        self._supply = Supply(amplifier_efficiency, circuit_power_w)
        self._stream = stream
        self._curves: dict[tuple[Direction, bool], Curve] = {}
        self._lines: dict[Direction, _Line] = {
            "up": _Line("up", self._up()),
            "down": _Line("down", self._down()),
        }
        self._half = radio.duplex == "half"
        self._on_end = self._book

    def _up(self) -> Planned | Shared:
        radio, signal, clients = self.radio, self._signals["up"], self.links.clients.size
        uplink, steady = radio.uplink, not radio.uplink.work_conserving and radio.duplex == "full"
        losses = Losses(self.loss, self._stream.child("up"))
        sizes = Sizes(radio.packet_bits, radio.header_bits, radio.retransmission.attempts)
        if uplink.access == "ofdma":
            return self._slots(signal, sizes, losses, uplink, uplink.scheduler, self._supply, True)
        if uplink.access == "tdma":
            return self._slots(signal, sizes, losses, uplink, "tdma", self._supply, uplink.work_conserving)
        if not radio.rate.always_met:
            walker = Walker(signal, radio, losses, self._stream.child("up").child("blocks"))
            return EachAlone(walker, self._supply) if steady else OneByOne(walker, self._supply, uplink.work_conserving)
        fdma = Fdma(signal, radio.rate, sizes, losses, radio.slot_s, radio.timeout_s)
        if radio.fidelity == "packet":
            return PacketByPacket(fdma, self._supply, clients, uplink.work_conserving)
        if steady:
            return FixedShares(fdma, self._supply, clients)
        return SharedBand(fdma, self._supply, clients, uplink.work_conserving)

    def _down(self) -> Planned | Shared:
        radio, signal, losses = self.radio, self._signals["down"], Losses(self.loss, self._stream.child("down"))
        if radio.downlink.access == "unicast":
            sizes = Sizes(radio.packet_bits, radio.header_bits, radio.retransmission.attempts)
            return self._slots(signal, sizes, losses, radio.downlink, radio.downlink.scheduler, NO_SUPPLY, True)
        blocks = self._stream.child("down").child("blocks")
        alone = Losses(self.loss, self._stream.child("alone"))
        return Broadcasts(
            Walker(signal, radio, losses, blocks),
            Walker(signal, radio, alone, self._stream.child("alone").child("blocks")),
        )

    def _slots(
        self,
        signal: Signal,
        sizes: Sizes,
        losses: Losses,
        band: Uplink | Downlink,
        kind: Kind,
        supply: Supply,
        conserving: bool,
    ) -> Planned | Shared:
        radio = self.radio
        whole = kind == "tdma"  # which gives the whole band away, not blocks of it
        block_hz = band.bandwidth_hz if whole else band.resource_block_hz
        blocks = max(1, math.floor(band.bandwidth_hz / block_hz + _BAND))
        scheduler = Scheduler(kind, blocks, max(1.0, band.averaging_s / radio.slot_s))
        clients = self.links.clients.size
        code: Blocks | None = None
        if isinstance(radio.rate, Cqi):
            link = BlockLink.of(radio.rate, radio.retransmission.rounds, radio.retransmission.combining)
            delay_slots = math.ceil(radio.rate.delay_s / radio.slot_s - _EDGE)
            code = Blocks(link, delay_slots, self._stream.child(signal.direction).child("blocks"))
        return Slotted(signal, radio.rate, sizes, losses, scheduler, block_hz, supply, clients, conserving, code)

    # -- what a protocol asks for -------------------------------------------------------------------

    def uplink(
        self,
        client: int,
        payload_bits: PayloadBits,
        bandwidth_hz: float,
        *,
        begin_s: float | None = None,
        until_s: float = math.inf,
        reason: Reason = "deadline",
    ) -> simpy.Event:
        """Start an upload in a granted bandwidth, now or at `begin_s`; the event's value is its `Transmission`.

        What is not through by `until_s` is dropped then, for the `reason` given. The event fires when the upload ends,
        of which the base station learns one `radio.latency_s` later. Under ``ofdma`` the bandwidth is not used. Where
        `payload_bits` is a function and gives 0, there is nothing to send after all, and the event never fires.
        """
        if not 0 < bandwidth_hz <= self.radio.uplink.bandwidth_hz * (1 + _BAND):
            raise ValueError(f"client {client}: a bandwidth of {bandwidth_hz} Hz cannot be granted")
        begin = self.env.now if begin_s is None else max(begin_s, self.env.now)
        return self._ask("up", (client,), payload_bits, bandwidth_hz, begin, until_s, reason, client)

    def downlink(
        self,
        clients: Sequence[int],
        payload_bits: Sequence[int] | int,
        *,
        until_s: float = math.inf,
        reason: Reason = "deadline",
    ) -> list[simpy.Event]:
        """Start sending to `clients`; each event's value is a `Transmission`.

        One event for all under broadcast, which takes one number of bits (of several, the largest); one event a client
        under unicast, in their order, where `payload_bits` may be one number for all or one each.
        """
        bits = [payload_bits] * len(clients) if isinstance(payload_bits, int) else list(payload_bits)
        band_hz, now_s = self.radio.downlink.bandwidth_hz, self.env.now
        if self.radio.downlink.access == "broadcast":
            return [self._ask("down", tuple(clients), max(bits), band_hz, now_s, until_s, reason, BROADCAST)]
        return [
            self._ask("down", (client,), size, band_hz, now_s, until_s, reason, client)
            for client, size in zip(clients, bits, strict=True)
        ]

    def to_one(
        self, client: int, payload_bits: int, *, until_s: float = math.inf, reason: Reason = "deadline"
    ) -> simpy.Event:
        """Start sending what is for one client alone; the event's value is its `Transmission`, under its own number.

        Under broadcast it has the whole band, behind what was asked for before.
        """
        band_hz, now_s = self.radio.downlink.bandwidth_hz, self.env.now
        return self._ask("down", (client,), payload_bits, band_hz, now_s, until_s, reason, client)

    def air(self, known_gain: bool, direction: Direction = "up") -> Air:
        """What may be planned with in a direction: a known gain, or the ergodic mean over the fading."""
        radio, signal = self.radio, self._signals[direction]
        return Air(
            bandwidth_hz=signal.bandwidth_hz,
            curve=self._curve(direction, known_gain),
            overhead=signal.overhead,
            loss=self.loss.mean_loss,
            packet_bits=radio.packet_bits,
            header_bits=radio.header_bits,
        )

    def _curve(self, direction: Direction, known_gain: bool) -> Curve:
        """Made when first asked for: the mean over a fading takes longer than many a run."""
        key = direction, known_gain
        if key not in self._curves:
            law = NoFading() if known_gain else self.links.fading_of(direction)
            self._curves[key] = planning_curve(law, self.radio.rate.plan(direction))
        return self._curves[key]

    def snr_hz(
        self,
        clients: Sequence[int],
        time_s: float,
        known_gain: bool,
        direction: Direction = "up",
        places: int = 0,
    ) -> FloatArray:
        """P h / (N0 F) in Hz [clients], as it was at a time: with the fading, or its mean.

        Under power control, with the power that each may use in an equal share of the band: one of `places`, or of as
        many as are asked about.
        """
        signal = self._signals[direction]
        ids, time = np.asarray(clients, dtype=np.int64), max(time_s, 0.0)
        if known_gain:
            gain = self.links.gain(np.array([time]), clients=ids, direction=direction, offsets_hz=signal.offsets_hz)
            gain = gain[:, 0].mean(axis=-1)
        else:
            gain = 10 ** (self.links.large_scale_db(np.array([time]), clients=ids, direction=direction)[:, 0] / 10)
        check_finite(gain[:, None], direction, ids, np.array([time]))
        density = signal.density_w_per_hz(ids, np.full(ids.size, time))
        power_w = signal.power_w(density, signal.bandwidth_hz / max(1, places or ids.size))
        return np.asarray(power_w * gain / signal.noise_w_per_hz)

    def downlink_estimate_s(self, snr_hz: FloatArray, payload_bits: Sequence[int], known_gain: bool) -> FloatArray:
        """How long a broadcast is expected to take with each client as its weakest receiver, latency included.

        `snr_hz` [clients] is CSI of the downlink as `snr_hz()` gives it, and `payload_bits` what each would need. Under
        unicast, how long each would take if it had the band to itself.
        """
        air = self.air(known_gain, "down")
        rate = air.rate_bps(np.full_like(snr_hz, air.bandwidth_hz), snr_hz)
        sizes = {bits: air.wire_bits(bits) for bits in set(payload_bits)}
        wire_bits = np.array([sizes[bits] for bits in payload_bits])
        return np.asarray(wire_bits / rate + self.radio.latency_s)

    def rest(self) -> Rest | None:
        """What is remembered when nothing is under way, as plain data; None while something is."""
        if any(line.busy or line.asked for line in self._lines.values()):
            return None
        return {
            "ledger": self.ledger.rest(),
            "warned": self.links.noted(),
            **{name: line.access.rest() for name, line in self._lines.items()},
        }

    def resume(self, rest: Rest) -> None:
        """Go on from `rest`, at the time of which it was."""
        self.ledger.resume(rest["ledger"])
        self.links.note(rest["warned"])
        for name, line in self._lines.items():
            line.access.resume(rest[name])

    # -- the clock ----------------------------------------------------------------------------------

    def _ask(
        self,
        direction: Direction,
        clients: tuple[int, ...],
        payload_bits: PayloadBits,
        bandwidth_hz: float,
        begin_s: float,
        until_s: float,
        reason: Reason,
        client: int,
    ) -> simpy.Event:
        size, bits = (payload_bits, 0) if callable(payload_bits) else (None, payload_bits)
        if size is None and bits <= 0:
            raise ValueError(f"a transfer needs a payload, got {bits} bit")
        if not begin_s < until_s:
            raise ValueError(f"a transfer cannot begin at {begin_s} s and end by {until_s} s")
        env, line = self.env, self._lines[direction]
        done = simpy.Event(env)
        done.callbacks.append(self._on_end)
        job = Job(clients, bits, bandwidth_hz, begin_s, begin_s, until_s, reason, client, done, size)
        if begin_s > env.now and line.planned is None:
            self._signals[direction].expect(client, begin_s)
            act_at(env, begin_s, lambda: self._take(line, job))
        else:
            self._take(line, job)
        return job.done

    def _take(self, line: _Line, job: Job) -> None:
        """Note a job; what else is asked for at this instant comes with it."""
        self._signals[line.direction].begun(job.client)
        if line.planned is None and not job.sized():
            return
        if not line.asked:
            act_at(self.env, self.env.now, lambda: self._flush(line), LAST)
        line.asked.append(job)
        if job.begin_s < self.env.now:  # by what floats lose on the way there
            job.begin_s = self.env.now

    def _flush(self, line: _Line) -> None:
        jobs, line.asked = line.asked, []
        jobs.sort(key=lambda job: (job.begin_s, job.clients))  # whoever asked first at an instant does not count
        if line.planned is not None:
            now_s, order = self.env.now, places(self.env, len(jobs))
            if jobs[0].begin_s > now_s and any(job.size is not None for job in jobs):
                act_at(self.env, jobs[0].begin_s, lambda: self._plan(line, jobs, now_s, order))
            else:
                self._plan(line, jobs, now_s, order)
            return
        assert line.shared is not None
        self._settle(line)
        self._offer(line, jobs)
        line.shared.add(jobs)
        self._schedule(line)
        self._yield_band(line)

    def _plan(self, line: _Line, jobs: list[Job], asked_s: float, order: Sequence[int]) -> None:
        """Work out what was asked for at one instant, and tell whoever waits when the end of each has come."""
        assert line.planned is not None
        if jobs := [job for job in jobs if job.sized()]:
            self._offer(line, jobs)
            for (job, transmission), place in zip(line.planned.plan(jobs), order, strict=False):
                # the time as it would be had it been planned when it was asked for
                end_s = asked_s + max(0.0, transmission.t_end_s - asked_s)
                succeed_at(job.done, transmission, end_s, place)
            self._yield_band(line)

    def _offer(self, line: _Line, jobs: Sequence[Job]) -> None:
        self._check_band(line, jobs)
        line.busy += len(jobs)
        for job in jobs:
            self.ledger.offer(job.client, line.direction, job.payload_bits)

    def _check_band(self, line: _Line, jobs: Sequence[Job]) -> None:
        uplink = self.radio.uplink
        if line.direction == "down" or uplink.work_conserving or uplink.access == "ofdma":
            return
        held_hz, wanted_hz = line.access.held_hz(self.env.now), sum(job.bandwidth_hz for job in jobs)
        if held_hz + wanted_hz > uplink.bandwidth_hz * (1 + _BAND):
            who = ", ".join(str(job.client) for job in jobs[:5]) + (", ..." if len(jobs) > 5 else "")
            raise ValueError(
                f"client {who}: {wanted_hz} Hz on top of {held_hz} Hz exceed the uplink band, {uplink.bandwidth_hz} Hz"
            )

    def _settle(self, line: _Line) -> None:
        assert line.shared is not None
        for job, transmission in line.shared.settle(self.env.now):
            job.done.succeed(transmission)

    def _schedule(self, line: _Line) -> None:
        """Come back when something may have ended."""
        assert line.shared is not None
        next_s = line.shared.next_s()
        if next_s != line.waking_s or next_s <= self.env.now:
            line.wake += 1
            line.waking_s = next_s
            if next_s < math.inf:
                number = line.wake
                act_at(self.env, next_s, lambda: self._woken(line, number))

    def _woken(self, line: _Line, number: int) -> None:
        if number == line.wake:  # else something else came in between, and another wake holds
            line.waking_s = math.inf
            self._settle(line)
            self._schedule(line)

    def _yield_band(self, line: _Line) -> None:
        """In half duplex, let uploads wait while the base station sends."""
        up = self._lines["up"]
        if self._half and up.shared is not None:
            self._settle(up)
            up.shared.hold(self._lines["down"].busy > 0, self.env.now)
            self._schedule(up)

    def _book(self, done: simpy.Event) -> None:
        """Enter the outcome into the ledger, before whoever waits is told."""
        transmission: Transmission = done._value
        line, arrived = self._lines[transmission.direction], transmission.delivered_bits
        line.busy -= 1
        self.ledger.settle(transmission.client, transmission.direction, arrived, transmission.payload_bits - arrived)
        if self._half and line.direction == "down" and not line.busy:
            act_at(self.env, self.env.now, lambda: self._yield_band(line), LAST)
