"""The shared medium: who holds which bandwidth, what rate and loss follow, and when a transfer ends.

Knows SimPy and channels; payloads are sizes, and rounds, methods and tensors do not exist here.

A transfer's rate is constant within a slot (radio.slot, counted from time 0), so its course is worked out
for a whole run of slots at once and one SimPy event covers all packets up to the next thing that can change
an allocation: a transfer that begins or ends. `Medium` then settles all transfers up to that instant and
works out the rest anew. Gains and losses are functions of time, so this changes no draw.

With a rate that is always met, bits flow evenly within a slot. Where blocks can be lost (``cqi``), each slot, or the
part of one that a transfer has, carries one transport block, and its bits pass at its end, or when its last round ends:
see `channels.harq`. A packet with a part in a lost block is lost; one that ends in it is sent again from its end on. A
transfer then ends with a slot, and a grant that changes gives up the block under way, which begins anew in what is left
of the slot.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
import simpy
from numpy.typing import NDArray

from channels.cqi import Cqi
from channels.erasure import Loss
from channels.fading import NoFading
from channels.harq import BlockLink, LinkState
from channels.linkbudget import THERMAL_NOISE_W_PER_HZ
from channels.links import LinkModel
from channels.ratecurve import planning_curve
from channels.streams import Stream
from wfl_sim.contracts import Air, FloatArray
from wfl_sim.radio.blocks import past_lost, spoilt, up_to_lost
from wfl_sim.radio.ledger import Direction, Ledger
from wfl_sim.radio.options import Radio
from wfl_sim.radio.packets import PacketQueue
from wfl_sim.radio.transmission import BROADCAST, Reason, Transmission

_BLOCK_SLOTS = 256
_BLOCKS_KEPT = 4096
_DIRECTIONS: tuple[Direction, ...] = ("up", "down")
_EDGE = 1e-9  # of a slot: an instant this near the end of a slot is that end


@dataclass
class _Transfer:
    """A transfer under way: settled up to `now_s`."""

    direction: Direction
    clients: NDArray[np.int64]
    payload_bits: int
    queue: PacketQueue
    bandwidth_hz: float
    t_request_s: float
    now_s: float
    done: simpy.Event
    into_packet_bits: float = 0.0
    snr_db_s: float = 0.0
    snr_min_db: float = math.inf
    hz_s: float = 0.0
    granted_hz: float = 0.0  # where blocks can be lost: the bandwidth of the block under way,
    link: LinkState = LinkState()  # the state of the link,
    spoilt: NDArray[np.bool_] | None = None  # and the receivers that lost a part of the packet under way
    until_s: float = math.inf
    reason: Reason = "deadline"
    t_start_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.t_start_s = self.now_s

    @property
    def client(self) -> int:
        return int(self.clients[0]) if self.direction == "up" else BROADCAST


class Medium:
    """The air between one base station and its clients.

    Parameters
    ----------
    env : simpy.Environment
    radio : Radio
    links : LinkModel
        Power gains of all clients as functions of time; uplink and downlink share them if they are reciprocal (TDD).
        If not, they tell the mean gain and the law of the fading of each direction, as recorded links do.
        Where they depend on the frequency, a grant counts as spread over the whole band of its direction.
    loss : Loss
        Packet loss from elsewhere than this radio.
    stream : Stream
        Random stream of the packet losses, and of the block errors.
    tx_power_w, amplifier_efficiency, circuit_power_w : float
        Of a client. An upload takes (tx_power / efficiency + circuit_power) x air time in joules.
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
        self._loss_stream = {"up": stream.child("up"), "down": stream.child("down")}
        self._power_w = {"up": tx_power_w, "down": 10 ** (radio.downlink.tx_power_dbm / 10 - 3)}
        noise_db = {"up": radio.noise_figure.base_station_db, "down": radio.noise_figure.client_db}
        self._noise = {d: THERMAL_NOISE_W_PER_HZ * 10 ** (f / 10) for d, f in noise_db.items()}
        self._draw_w = tx_power_w / amplifier_efficiency + circuit_power_w
        self._active: list[_Transfer] = []
        self._gains: dict[tuple[str, int, int], FloatArray] = {}
        self._offsets_hz = {
            "up": links.offsets_hz(radio.uplink.bandwidth_hz), "down": links.offsets_hz(radio.downlink.bandwidth_hz)
        }  # fmt: skip
        fading = {d: links.fading_of(d) for d in _DIRECTIONS}
        self._curves = {
            (direction, known): planning_curve(NoFading() if known else fading[direction], radio.rate.plan(direction))
            for direction in _DIRECTIONS
            for known in (True, False)
        }
        self._block_stream = {d: stream.child(d).child("blocks") for d in _DIRECTIONS}
        self._outer_loop_db: dict[tuple[int, Direction], float] = {}
        self._blocks: BlockLink | None = None
        if isinstance(radio.rate, Cqi):
            self._blocks = BlockLink.of(radio.rate, radio.retransmission.rounds, radio.retransmission.combining)
            self._delay_slots = math.ceil(radio.rate.delay_s / radio.slot_s - _EDGE)
        self._attempts: dict[tuple[int, str], int] = {}
        self._epoch = 0

    # -- what a protocol asks for -------------------------------------------------------------------

    def uplink(
        self,
        client: int,
        payload_bits: int,
        bandwidth_hz: float,
        *,
        begin_s: float | None = None,
        until_s: float = math.inf,
        reason: Reason = "deadline",
    ) -> simpy.Event:
        """Start an upload in a granted bandwidth, now or at `begin_s`; the event's value is its `Transmission`.

        What is not through by `until_s` is dropped then, for the `reason` given. It fires when the upload ends, of
        which the base station learns one `radio.latency_s` later.
        """
        if not 0 < bandwidth_hz <= self.radio.uplink.bandwidth_hz * (1 + 1e-9):
            raise ValueError(f"client {client}: a bandwidth of {bandwidth_hz} Hz cannot be granted")
        done = self.env.event()

        def wait() -> Generator[simpy.Event, None, None]:
            if begin_s is not None and begin_s > self.env.now:
                yield self.env.timeout(begin_s - self.env.now)
            self._check_band(client, bandwidth_hz)
            self._begin("up", [client], payload_bits, bandwidth_hz, until_s, reason, done)

        if begin_s is None or begin_s <= self.env.now:
            self._check_band(client, bandwidth_hz)
            return self._begin("up", [client], payload_bits, bandwidth_hz, until_s, reason, done)
        self.env.process(wait())
        return done

    def _check_band(self, client: int, bandwidth_hz: float) -> None:
        held = sum(t.bandwidth_hz for t in self._active if t.direction == "up")
        if not self.radio.uplink.work_conserving and held + bandwidth_hz > self.radio.uplink.bandwidth_hz * (1 + 1e-6):
            raise ValueError(f"client {client}: {bandwidth_hz} Hz on top of {held} Hz exceed the uplink band")

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
        bits = payload_bits if isinstance(payload_bits, int) else max(payload_bits)
        return [self._begin("down", clients, bits, self.radio.downlink.bandwidth_hz, until_s, reason)]

    def air(self, known_gain: bool, direction: Direction = "up") -> Air:
        """What may be planned with in a direction: a known gain, or the ergodic mean over the fading."""
        radio = self.radio
        return Air(
            bandwidth_hz=(radio.uplink if direction == "up" else radio.downlink).bandwidth_hz,
            curve=self._curves[direction, known_gain],
            overhead=self._overhead(direction),
            loss=self.loss.mean_loss,
            packet_bits=radio.packet_bits,
            header_bits=radio.header_bits,
        )

    def snr_hz(
        self, clients: Sequence[int], time_s: float, known_gain: bool, direction: Direction = "up"
    ) -> FloatArray:
        """P h / (N0 F) in Hz [clients], as it was at a time: with the fading, or its mean."""
        ids, times = np.asarray(clients, dtype=np.int64), np.array([max(time_s, 0.0)])
        if known_gain:
            gain = self._ask(times, ids, direction)[:, 0]
            gain = gain if gain.ndim == 1 else gain.mean(axis=-1)
        else:
            gain = 10 ** (self.links.large_scale_db(times, clients=ids, direction=direction)[:, 0] / 10)
        return np.asarray(self._power_w[direction] * gain / self._noise[direction])

    def downlink_estimate_s(self, snr_hz: FloatArray, payload_bits: Sequence[int], known_gain: bool) -> FloatArray:
        """How long a broadcast is expected to take with each client as its weakest receiver, latency included.

        `snr_hz` [clients] is CSI of the downlink as `snr_hz()` gives it, and `payload_bits` what each would need.
        """
        air = self.air(known_gain, "down")
        rate = air.rate_bps(np.full_like(snr_hz, air.bandwidth_hz), snr_hz)
        wire_bits = np.array([air.wire_bits(bits) for bits in payload_bits])
        return np.asarray(wire_bits / rate + self.radio.latency_s)

    # -- the course of a transfer -------------------------------------------------------------------

    def _begin(
        self,
        direction: Direction,
        clients: Sequence[int],
        payload_bits: int,
        bandwidth_hz: float,
        until_s: float = math.inf,
        reason: Reason = "deadline",
        done: simpy.Event | None = None,
    ) -> simpy.Event:
        if payload_bits <= 0:
            raise ValueError(f"a transfer needs a payload, got {payload_bits} bit")
        radio = self.radio
        queue = PacketQueue(payload_bits, radio.packet_bits, radio.header_bits,
                            radio.retransmission.attempts, len(clients))  # fmt: skip
        transfer = _Transfer(direction, np.asarray(clients, dtype=np.int64), payload_bits, queue,
                             bandwidth_hz, self.env.now, self.env.now,
                             self.env.event() if done is None else done)  # fmt: skip
        transfer.until_s, transfer.reason = until_s, reason
        transfer.link = LinkState(self._outer_loop_db.get((transfer.client, direction), 0.0))
        self.ledger.offer(transfer.client, direction, payload_bits)
        self._settle_all()
        self._active.append(transfer)
        self._replan()
        return transfer.done

    def _settle_all(self) -> None:
        for transfer in self._active:
            self._walk(transfer, self._granted_hz(transfer), self.env.now)

    def _replan(self) -> None:
        """Find the next transfer to end if no allocation changes, and come back then."""
        self._epoch += 1
        first, first_plan, first_end_s = None, None, math.inf
        for transfer in self._active if self._blocks is not None else ():
            granted_hz = self._granted_hz(transfer)
            if granted_hz != transfer.granted_hz and not transfer.queue.done:
                self._wait(transfer, self.env.now)
                transfer.granted_hz, transfer.link = granted_hz, transfer.link._replace(block=None)
        for transfer in self._active:
            plan = copy.copy(transfer)
            plan.queue = copy.deepcopy(transfer.queue)
            if self._walk(plan, self._granted_hz(plan), first_end_s) and plan.now_s < first_end_s:
                first, first_plan, first_end_s = transfer, plan, plan.now_s
        if first is not None and first_plan is not None:
            self.env.process(self._finish(first, first_plan, self._epoch))

    def _finish(self, transfer: _Transfer, plan: _Transfer, epoch: int) -> Generator[simpy.Event, None, None]:
        yield self.env.timeout(max(0.0, plan.now_s - self.env.now))
        if epoch != self._epoch:
            return  # an allocation changed meanwhile, and another plan holds
        self._settle_all()
        self._active.remove(transfer)
        self._conclude(transfer, plan)
        self._replan()

    def _granted_hz(self, transfer: _Transfer) -> float:
        """The bandwidth that a transfer has now: its grant, and its share of what is free."""
        if transfer.direction == "down" or not self.radio.uplink.work_conserving:
            return transfer.bandwidth_hz
        held = sum(t.bandwidth_hz for t in self._active if t.direction == "up")
        return transfer.bandwidth_hz * self.radio.uplink.bandwidth_hz / held

    def _walk(self, transfer: _Transfer, bandwidth_hz: float, until_s: float) -> bool:
        """Carry a transfer on to `until_s`, or to its end if that comes first; says whether it ended."""
        give_up_s = min(transfer.t_start_s + self.radio.timeout_s, transfer.until_s)
        stop_s = min(until_s, give_up_s)
        while not transfer.queue.done and transfer.now_s < stop_s:
            if self._blocks is None:
                self._send(transfer, bandwidth_hz, stop_s)
            elif not self._send_blocks(transfer, self._blocks, stop_s):
                if stop_s < give_up_s:
                    break  # in the midst of a block
                self._wait(transfer, give_up_s)
        return transfer.queue.done or transfer.now_s >= give_up_s

    def _ask(self, times_s: FloatArray, clients: NDArray[np.int64], direction: Direction) -> FloatArray:
        """Gains [clients, times], or [clients, times, frequencies] where the band is not flat."""
        offsets_hz = self._offsets_hz[direction]
        if offsets_hz.size == 1:
            return self.links.gain(times_s, clients=clients, direction=direction)
        return self.links.gain(times_s, clients=clients, direction=direction, offsets_hz=offsets_hz)

    def _gain(self, clients: NDArray[np.int64], block: int, direction: Direction) -> FloatArray:
        """Gains in one block of slots, kept for the transfers that pass through it again; shapes as in `_ask`."""
        if self.links.reciprocal and self._offsets_hz["up"].size == self._offsets_hz["down"].size == 1:
            direction = "up"
        missing = {int(c) for c in clients if (direction, int(c), block) not in self._gains}
        if missing:
            now = math.floor(self.env.now / (self.radio.slot_s * _BLOCK_SLOTS))
            if len(self._gains) >= _BLOCKS_KEPT:
                self._gains = {key: gain for key, gain in self._gains.items() if key[2] >= now}
            # Whoever sends now will ask soon: one question for all is much cheaper than one each.
            active = {int(c) for transfer in self._active for c in transfer.clients}
            wanted = sorted(missing | {c for c in active if (direction, c, block) not in self._gains})
            mids = np.asarray((np.arange(block * _BLOCK_SLOTS, (block + 1) * _BLOCK_SLOTS) + 0.5) * self.radio.slot_s)
            gains = self._ask(mids, np.array(wanted), direction)
            self._gains |= {(direction, client, block): gain for client, gain in zip(wanted, gains, strict=True)}
        return np.array([self._gains[direction, int(c), block] for c in clients])

    def _snr(self, transfer: _Transfer, slots: NDArray[np.int64], bandwidth_hz: float) -> FloatArray:
        """SNRs [clients, slots, frequencies] of a transfer in slots in rising order; before time 0, those of slot 0."""
        slots = np.maximum(slots, 0)
        blocks = slots // _BLOCK_SLOTS
        gain = np.concatenate(
            [
                self._gain(transfer.clients, int(block), transfer.direction)[:, slots[blocks == block] % _BLOCK_SLOTS]
                for block in np.unique(blocks)
            ],
            axis=1,
        )
        gain = gain[..., None] if gain.ndim == 2 else gain
        return np.asarray(self._power_w[transfer.direction] * gain / (self._noise[transfer.direction] * bandwidth_hz))

    def _overhead(self, direction: Direction) -> float:
        return self.radio.uplink.overhead if direction == "up" else self.radio.downlink.overhead

    def _send(self, transfer: _Transfer, bandwidth_hz: float, stop_s: float) -> None:
        """Send to the end of this block of slots, to `stop_s`, or until the transfer is done."""
        direction, slot_s = transfer.direction, self.radio.slot_s
        first = math.floor(transfer.now_s / slot_s)
        block = first // _BLOCK_SLOTS
        slots = np.arange(first, (block + 1) * _BLOCK_SLOTS)
        ends_s = np.minimum((slots + 1) * slot_s, stop_s)
        keep = ends_s > np.concatenate(([transfer.now_s], ends_s[:-1]))
        edges = np.concatenate(([transfer.now_s], ends_s[keep]))
        if not keep.any():  # what is left of the block is below the resolution of floats
            transfer.now_s = float(np.nextafter(transfer.now_s, math.inf))
            return
        gain = self._gain(transfer.clients, block, direction)[:, slots - block * _BLOCK_SLOTS][:, keep]
        gain = gain.min(axis=0) if gain.ndim == 2 else gain  # a broadcast: the weakest
        snr = self._power_w[direction] * gain / (self._noise[direction] * bandwidth_hz)
        efficiency = _weakest(self.radio.rate.efficiency(snr, direction))
        rate = bandwidth_hz * efficiency * (1.0 - self._overhead(direction))
        ends_bits = np.concatenate(([0.0], np.cumsum(rate * np.diff(edges))))
        end = self._packets(transfer, ends_bits, edges, None)
        self._account(transfer, _weakest(snr), edges, float(edges[-1]) if end is None else end[0], bandwidth_hz)

    def _send_blocks(self, transfer: _Transfer, blocks: BlockLink, stop_s: float) -> bool:
        """The same with a transport block a slot; says whether any slot ended by `stop_s`."""
        direction, slot_s, hz = transfer.direction, self.radio.slot_s, transfer.granted_hz
        first = math.floor(transfer.now_s / slot_s + _EDGE)
        after = min((first // _BLOCK_SLOTS + 1) * _BLOCK_SLOTS, math.floor(stop_s / slot_s + _EDGE))
        if after <= first:
            return False
        slots = np.arange(first, after)
        edges = np.concatenate(([transfer.now_s], (slots + 1) * slot_s))
        snr = self._snr(transfer, slots, hz)
        passage = blocks.carry(
            transfer.link,
            self._snr(transfer, slots - self._delay_slots, hz),
            snr,
            hz * (1.0 - self._overhead(direction)) * np.diff(edges),
            self._block_stream[direction].uniform(transfer.clients[:, None], slots),
            transfer.queue.left_bits - transfer.into_packet_bits,
        )
        edges = edges[: passage.bits.size + 1]
        ends_bits = np.concatenate(([0.0], np.cumsum(passage.bits)))
        end = self._packets(transfer, ends_bits, edges, passage.lost)
        last = passage.bits.size if end is None else int(np.searchsorted(ends_bits[:-1], end[1]))
        transfer.link = passage.state
        if end is not None:
            transfer.link = LinkState(float(passage.offset_db[last - 1]))
        self._account(transfer, _weakest(snr)[: passage.bits.size], edges, float(edges[last]), hz)
        return True

    def _packets(
        self, transfer: _Transfer, ends_bits: FloatArray, edges: FloatArray, lost_slots: NDArray[np.bool_] | None
    ) -> tuple[float, float] | None:
        """Walk through the packets of a run of slots: those whose end is in it are received or lost.

        `ends_bits` [n + 1] are the bits that have passed at the `edges` of n slots, and `lost_slots` [receivers, n]
        tells which of them are lost. Returns where the transfer was done, in time and in bits, or None.
        """
        queue, at_bits = transfer.queue, 0.0  # how far into the slots' bits we are
        while True:
            size = queue.size_bits
            first_end = at_bits + size - transfer.into_packet_bits
            number = min(int((ends_bits[-1] - first_end) / size) + 1, 4 * queue.same_size)
            if first_end > ends_bits[-1]:
                transfer.into_packet_bits += ends_bits[-1] - at_bits
                if lost_slots is not None:
                    transfer.spoilt = spoilt(transfer.spoilt, ends_bits, lost_slots, at_bits, ends_bits[-1:])[:, 0]
                return None
            packet_ends_bits = np.asarray(first_end + size * np.arange(max(number, 1)))
            if lost_slots is not None:
                packet_ends_bits = up_to_lost(ends_bits, lost_slots, packet_ends_bits)
            packet_ends_s = np.interp(packet_ends_bits, ends_bits, edges)
            stream = self._loss_stream[transfer.direction]
            sent = np.array([self._attempts.get((int(c), transfer.direction), 0) for c in transfer.clients])
            sent += queue.sent
            lost = self.loss.lost(stream, transfer.clients[:, None],
                                  sent[:, None] + np.arange(packet_ends_s.size), packet_ends_s)  # fmt: skip
            if lost_slots is not None:
                lost |= spoilt(transfer.spoilt, ends_bits, lost_slots, at_bits, packet_ends_bits)
            used = queue.attempt(lost)
            at_bits, transfer.into_packet_bits = float(packet_ends_bits[used - 1]), 0.0
            if queue.done:
                return float(packet_ends_s[used - 1]), at_bits
            if lost_slots is not None:
                transfer.spoilt = None
                at_bits = past_lost(ends_bits, lost_slots, at_bits)

    def _account(
        self, transfer: _Transfer, snr: FloatArray, edges: FloatArray, end_s: float, bandwidth_hz: float
    ) -> None:
        """Carry a transfer on to `end_s`: its SNRs [slots] are those between the `edges`."""
        snr_db = 10 * np.log10(np.maximum(snr, 1e-30))
        held_s = np.clip(np.minimum(edges[1:], end_s) - edges[:-1], 0.0, None)
        sent = held_s > 0
        transfer.snr_db_s += float(held_s @ snr_db)
        transfer.snr_min_db = min(transfer.snr_min_db, float(snr_db[sent].min(initial=math.inf)))
        transfer.hz_s += bandwidth_hz * float(held_s.sum())
        transfer.now_s = end_s

    def _wait(self, transfer: _Transfer, until_s: float) -> None:
        """Let the rest of a slot pass, of which no block came to its end."""
        if until_s > transfer.now_s:
            slot = math.floor(transfer.now_s / self.radio.slot_s + _EDGE)
            snr = _weakest(self._snr(transfer, np.array([slot]), transfer.granted_hz))
            self._account(transfer, snr, np.array([transfer.now_s, until_s]), until_s, transfer.granted_hz)

    def _conclude(self, transfer: _Transfer, plan: _Transfer) -> None:
        """Book the outcome and tell whoever waits."""
        reached = tuple(int(c) for c in transfer.clients[plan.queue.reached])
        for client in transfer.clients.tolist():
            key = client, transfer.direction
            self._attempts[key] = self._attempts.get(key, 0) + plan.queue.sent
        self._outer_loop_db[transfer.client, transfer.direction] = plan.link.offset_db
        air_s = plan.now_s - plan.t_start_s
        delivered = transfer.payload_bits if reached else plan.queue.served_bits
        why: Reason = "attempts" if plan.queue.done else "timeout" if plan.now_s < plan.until_s else plan.reason
        result = Transmission(
            client=transfer.client,
            direction=transfer.direction,
            t_request_s=transfer.t_request_s,
            t_start_s=plan.t_start_s,
            t_end_s=plan.now_s,
            payload_bits=transfer.payload_bits,
            delivered_bits=delivered,
            sent_bits=round(plan.queue.sent_bits),
            packets=plan.queue.sent,
            lost=plan.queue.lost,
            retransmissions=plan.queue.repeats,
            air_s=air_s,
            snr_mean_db=plan.snr_db_s / air_s if air_s > 0 else math.nan,
            snr_min_db=plan.snr_min_db,
            bandwidth_hz=plan.hz_s / air_s if air_s > 0 else transfer.bandwidth_hz,
            outcome="delivered" if reached else "partial" if delivered else "dropped",
            reason="" if reached else why,
            energy_j=self._draw_w * air_s if transfer.direction == "up" else 0.0,
            reached=reached,
        )
        self.ledger.settle(transfer.client, transfer.direction, delivered, True)
        self.ledger.settle(transfer.client, transfer.direction, transfer.payload_bits - delivered, False)
        transfer.done.succeed(result)


def _weakest(values: FloatArray) -> FloatArray:
    """Of [receivers, slots, frequencies], the mean over the band at the weakest receiver; [slots] stay as they are."""
    return values if values.ndim == 1 else np.asarray(values.mean(axis=-1).min(axis=0))
