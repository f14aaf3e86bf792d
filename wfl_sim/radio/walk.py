"""One transfer, slot by slot: what a broadcast to several receivers and a link with transport blocks need.

Knows one transfer at a time and the bandwidth that it has; not who else sends.

With a rate that is always met, bits flow evenly within a slot. Where blocks can be lost (``cqi``), each slot, or the
part of one that a transfer has, carries one transport block, and its bits pass at its end, or when its last round ends:
see `channels.harq`. A packet with a part in a lost block is lost; one that ends in it is sent again from its end on. A
transfer then ends with a slot, and a grant that changes gives up the block under way, which begins anew in what is left
of the slot.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from channels.cqi import Cqi
from channels.harq import BlockLink, LinkState
from channels.streams import Stream
from wfl_sim.contracts import FloatArray
from wfl_sim.radio.access import Ended, Job, Rest, Supply
from wfl_sim.radio.blocks import past_lost, spoilt, up_to_lost
from wfl_sim.radio.flows import Losses
from wfl_sim.radio.options import Radio
from wfl_sim.radio.packets import PacketQueue
from wfl_sim.radio.signal import Signal, in_db
from wfl_sim.radio.transmission import Reason, Transmission

_EDGE = 1e-9  # of a slot: an instant this near the end of a slot is that end
_MOST_SLOTS, _FEWEST_SLOTS = 256, 4  # of a run
_MOST_VALUES = 1 << 17  # receivers x slots of a run
_MANY = 64  # receivers; with more, what can be left out is


@dataclass(eq=False)
class Transfer:
    """A transfer under way: settled up to `now_s`."""

    job: Job
    queue: PacketQueue
    now_s: float
    give_up_s: float
    density_w_per_hz: float
    first_attempt: int
    link: LinkState
    granted_hz: float = 0.0  # the bandwidth of the block under way
    spoilt: NDArray[np.bool_] | None = None  # the receivers that lost a part of the packet under way
    into_packet_bits: float = 0.0
    snr_db_s: float = 0.0
    snr_min_db: float = math.inf
    hz_s: float = 0.0
    tx_j: float = 0.0
    air_s: float = 0.0
    clients: NDArray[np.int64] = field(init=False)
    t_start_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.clients = np.array(self.job.clients, np.int64)
        self.t_start_s = self.now_s

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.queue.done or self.now_s >= self.give_up_s

    def copy(self) -> Transfer:
        """One that goes on by itself."""
        other = copy.copy(self)
        other.queue = copy.deepcopy(self.queue)
        return other


class Walker:
    """Carries single transfers of one direction on.

    Parameters
    ----------
    signal : Signal
    radio : Radio
    losses : Losses
    block_stream : Stream
        Draws of the block errors.
    """

    def __init__(self, signal: Signal, radio: Radio, losses: Losses, block_stream: Stream) -> None:
        self.signal, self.radio, self.losses = signal, radio, losses
        self.direction = signal.direction
        self._coverage = radio.downlink.coverage if self.direction == "down" else 1.0
        self._block_stream = block_stream
        self._offsets_db: dict[int, float] = {}
        self._attempts: dict[int, int] = {}
        self._blocks: BlockLink | None = None
        if isinstance(radio.rate, Cqi):
            self._blocks = BlockLink.of(radio.rate, radio.retransmission.rounds, radio.retransmission.combining)
            self._delay_slots = math.ceil(radio.rate.delay_s / radio.slot_s - _EDGE)

    def rest(self) -> Rest:
        """What is remembered from transfer to transfer, as plain data."""
        return {
            "offsets_db": [[client, offset_db] for client, offset_db in self._offsets_db.items()],
            "attempts": [[client, count] for client, count in self._attempts.items()],
        }

    def resume(self, rest: Rest) -> None:
        """Go on from `rest`."""
        self._offsets_db, self._attempts = dict(rest["offsets_db"]), dict(rest["attempts"])

    def begin(self, job: Job, now_s: float) -> Transfer:
        """The transfer of a job that begins now."""
        radio = self.radio
        queue = PacketQueue(job.payload_bits, radio.packet_bits, radio.header_bits, radio.retransmission.attempts,
                            len(job.clients))  # fmt: skip
        density = math.inf
        if self.signal.control is not None:
            clients = np.array(job.clients[:1], np.int64)
            density = float(self.signal.density_w_per_hz(clients, np.array([now_s]))[0])
        give_up_s = min(now_s + radio.timeout_s, job.until_s)
        link = LinkState(self._offsets_db.get(job.client, 0.0))
        return Transfer(job, queue, now_s, give_up_s, density, self._attempts.get(job.client, 0), link)

    def grant(self, transfer: Transfer, bandwidth_hz: float, now_s: float) -> None:
        """Give a transfer another bandwidth from now on."""
        if bandwidth_hz != transfer.granted_hz and not transfer.over:
            if self._blocks is not None and transfer.granted_hz:
                self._wait(transfer, now_s)
            transfer.granted_hz, transfer.link = bandwidth_hz, transfer.link._replace(block=None)

    def pause(self, transfer: Transfer, now_s: float) -> None:
        """Stop a transfer for a while: what was sent of the block under way is given up."""
        self.walk(transfer, now_s)
        if not transfer.over:
            self._wait(transfer, now_s)
            transfer.link = transfer.link._replace(block=None)

    def walk(self, transfer: Transfer, until_s: float) -> bool:
        """Carry a transfer on to `until_s`, or to its end if that comes first; says whether it ended."""
        stop_s = min(until_s, transfer.give_up_s)
        while not transfer.queue.done and transfer.now_s < stop_s:
            if self._blocks is None:
                self._send(transfer, stop_s)
            elif not self._send_blocks(transfer, self._blocks, stop_s):
                if stop_s < transfer.give_up_s:
                    break  # in the midst of a block
                self._wait(transfer, transfer.give_up_s)
        return transfer.over

    def conclude(self, transfer: Transfer, supply: Supply) -> Ended:
        """What became of a transfer that is over."""
        job, queue = transfer.job, transfer.queue
        self._offsets_db[job.client] = transfer.link.offset_db
        self._attempts[job.client] = transfer.first_attempt + queue.sent
        reached = tuple(transfer.clients[queue.reached].tolist())
        delivered = job.payload_bits if reached else queue.served_bits
        air_s = transfer.air_s
        reason: Reason = "" if reached else job.why(queue.done, transfer.now_s)
        energy = supply.energy_j(np.array(transfer.tx_j), np.array(air_s))
        return job, Transmission(
            job.client, self.direction, job.t_request_s, transfer.t_start_s, transfer.now_s, job.payload_bits,
            delivered, round(queue.sent_bits), queue.sent, queue.lost, queue.repeats, air_s,
            transfer.snr_db_s / air_s if air_s > 0 else math.nan, transfer.snr_min_db if air_s > 0 else math.nan,
            transfer.hz_s / air_s if air_s > 0 else job.bandwidth_hz,
            "delivered" if reached else "partial" if delivered else "dropped", reason,
            float(energy) if self.direction == "up" else 0.0, reached,
        )  # fmt: skip

    def _snr(self, transfer: Transfer, slots: NDArray[np.int64], bandwidth_hz: float) -> FloatArray:
        """SNRs [receivers, slots, frequencies]."""
        power_w = self.signal.tx_power_w
        if self.signal.control is not None:
            power_w = min(power_w, transfer.density_w_per_hz * bandwidth_hz)
        snr = self.signal.snr(transfer.clients, slots, bandwidth_hz, power_w, kept=transfer.clients.size <= _MANY)
        return snr if snr.ndim == 3 else snr[..., None]

    def _run(self, transfer: Transfer, first: int, stop_s: float) -> int:
        """The slot behind a run of slots that is worth working out at once."""
        count = max(_FEWEST_SLOTS, min(_MOST_SLOTS, _MOST_VALUES // transfer.clients.size))
        if transfer.clients.size > _MANY:
            count = min(count, _FEWEST_SLOTS if transfer.air_s == 0 else 4 * _FEWEST_SLOTS)
        return min(
            (first // count + 1) * count, first + math.ceil((stop_s - first * self.radio.slot_s) / self.radio.slot_s)
        )

    def _send(self, transfer: Transfer, stop_s: float) -> None:
        """Send to the end of a run of slots, to `stop_s`, or until the transfer is done."""
        slot_s, hz = self.radio.slot_s, transfer.granted_hz
        first = math.floor(transfer.now_s / slot_s)
        slots = np.arange(first, max(self._run(transfer, first, stop_s), first + 1))
        ends_s = np.minimum((slots + 1) * slot_s, stop_s)
        keep = ends_s > np.concatenate(([transfer.now_s], ends_s[:-1]))
        edges = np.concatenate(([transfer.now_s], ends_s[keep]))
        if not keep.any():  # what is left of the run is below the resolution of floats
            transfer.now_s = float(np.nextafter(transfer.now_s, math.inf))
            return
        snr = self._snr(transfer, slots, hz)[:, keep]
        each = self.radio.rate.efficiency(snr, self.direction).mean(axis=-1)  # [receivers, slots]
        efficiency = each.min(axis=0)
        lost = None
        if self._coverage < 1 and transfer.clients.size > 1:
            rank = math.floor((1 - self._coverage) * transfer.clients.size + _EDGE)  # so many may fail to decode
            if rank:
                efficiency = np.partition(each, rank, axis=0)[rank]
                lost = each < efficiency
        bits = hz * (1.0 - self.signal.overhead) * efficiency * np.diff(edges)
        ends_bits = np.concatenate(([0.0], np.cumsum(bits)))
        end = self._packets(transfer, ends_bits, edges, lost)
        self._account(transfer, _weakest(snr), edges, float(edges[-1]) if end is None else end[0], hz)

    def _send_blocks(self, transfer: Transfer, blocks: BlockLink, stop_s: float) -> bool:
        """The same with a transport block a slot; says whether any slot ended by `stop_s`."""
        slot_s, hz = self.radio.slot_s, transfer.granted_hz
        first = math.floor(transfer.now_s / slot_s + _EDGE)
        after = min((first // _MOST_SLOTS + 1) * _MOST_SLOTS, math.floor(stop_s / slot_s + _EDGE))
        if after <= first:
            return False
        slots = np.arange(first, after)
        edges = np.concatenate(([transfer.now_s], (slots + 1) * slot_s))
        snr = self._snr(transfer, slots, hz)
        passage = blocks.carry(
            transfer.link,
            self._snr(transfer, slots - self._delay_slots, hz),
            snr,
            hz * (1.0 - self.signal.overhead) * np.diff(edges),
            self._block_stream.uniform(transfer.clients[:, None], slots),
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
        self, transfer: Transfer, ends_bits: FloatArray, edges: FloatArray, lost_slots: NDArray[np.bool_] | None
    ) -> tuple[float, float] | None:
        """Walk through the packets of a run of slots: those whose end is in it are received or lost.

        `ends_bits` [n + 1] are the bits that have passed at the `edges` of n slots, and `lost_slots` [receivers, n]
        tells which of them are lost. Returns where the transfer was done, in time and in bits, or None.
        """
        queue, at_bits = transfer.queue, 0.0  # how far into the slots' bits we are
        blocks = self._blocks is not None  # whose fate is known at their ends
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
            if blocks and lost_slots is not None:
                packet_ends_bits = up_to_lost(ends_bits, lost_slots, packet_ends_bits)
            if transfer.clients.size > _MANY:
                packet_ends_bits = packet_ends_bits[:1]  # of many receivers, few care about a packet sent again
            packet_ends_s = np.interp(packet_ends_bits, ends_bits, edges)
            if self._blocks is not None:  # the bits of a block pass at its end
                packet_ends_s = edges[np.searchsorted(edges, packet_ends_s * (1 - 1e-15), side="left")]
            lost = self._lost(transfer, packet_ends_s)
            if lost_slots is not None:
                lost = lost | spoilt(transfer.spoilt, ends_bits, lost_slots, at_bits, packet_ends_bits)
            used = queue.attempt(lost)
            at_bits, transfer.into_packet_bits = float(packet_ends_bits[used - 1]), 0.0
            if queue.done:
                return float(packet_ends_s[used - 1]), at_bits
            transfer.spoilt = None
            if blocks and lost_slots is not None:
                at_bits = past_lost(ends_bits, lost_slots, at_bits)

    def _lost(self, transfer: Transfer, packet_ends_s: FloatArray) -> NDArray[np.bool_]:
        """Whether attempts from the next on are lost, [receivers, attempts]; asked only of those who wait for them."""
        model, stream = self.losses
        attempt = transfer.first_attempt + transfer.queue.sent + np.arange(packet_ends_s.size)
        if transfer.clients.size <= _MANY:
            return model.lost(stream, transfer.clients[:, None], attempt, packet_ends_s)
        waiting = transfer.queue.waiting
        lost = np.zeros((waiting.size, attempt.size), np.bool_)
        lost[waiting] = model.lost(stream, transfer.clients[waiting, None], attempt, packet_ends_s)
        return lost

    def _account(self, transfer: Transfer, snr: FloatArray, edges: FloatArray, end_s: float, hz: float) -> None:
        """Carry a transfer on to `end_s`: its SNRs [slots] are those between the `edges`."""
        snr_db = in_db(snr)
        held_s = np.clip(np.minimum(edges[1:], end_s) - edges[:-1], 0.0, None)
        sent, air_s = held_s > 0, float(held_s.sum())
        transfer.snr_db_s += float(held_s @ snr_db)
        transfer.snr_min_db = min(transfer.snr_min_db, float(snr_db[sent].min(initial=math.inf)))
        transfer.hz_s += hz * air_s
        transfer.air_s += air_s
        transfer.tx_j += min(self.signal.tx_power_w, transfer.density_w_per_hz * hz) * air_s
        transfer.now_s = end_s

    def _wait(self, transfer: Transfer, until_s: float) -> None:
        """Let the rest of a slot pass, of which no block came to its end."""
        if until_s > transfer.now_s:
            slot = math.floor(transfer.now_s / self.radio.slot_s + _EDGE)
            snr = _weakest(self._snr(transfer, np.array([slot]), transfer.granted_hz))
            self._account(transfer, snr, np.array([transfer.now_s, until_s]), until_s, transfer.granted_hz)


def _weakest(values: FloatArray) -> FloatArray:
    """Of [receivers, slots, frequencies], the mean over the band at the weakest receiver."""
    return np.asarray(values.mean(axis=-1).min(axis=0))
