"""Many transfers at once, each to one receiver: packets, losses and ARQ as operations on arrays of transfers.

Knows bits, packets and attempts. How many bits pass in a slot, it is told; it knows neither bandwidths nor a clock.

A lost packet is sent again at once, before the next one; a transfer is dropped when a packet has used up its attempts.
The fate of an attempt is keyed by its number at the client (and, where losses go by time, by when it ends), so a
transfer fares the same however its course is cut into pieces.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from channels.erasure import Loss, NoLoss
from channels.streams import Stream
from wfl_sim.contracts import FloatArray
from wfl_sim.radio.signal import in_db

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SENDING, DELIVERED, GIVEN_UP, TIME_UP = range(4)
_MOST_ATTEMPTS = 1 << 17  # looked at together: about what the caches hold
_EXACT = 1e-12  # of a packet: bits this near its end are its end


class Sizes(NamedTuple):
    """How payloads are cut into packets, and how often each may be sent."""

    packet_bits: float
    header_bits: float
    attempts: int


class Losses(NamedTuple):
    """Where the fate of an attempt comes from."""

    model: Loss
    stream: Stream

    @property
    def never(self) -> bool:
        """Whether there are none."""
        return isinstance(self.model, NoLoss)


@dataclass
class Flows:
    """Transfers [N], each carried on up to `now_s`. One that has ended (`state`) stays as it was at its end."""

    client: Ints
    payload_bits: Ints
    packets: Ints
    last_bits: FloatArray  # of the last packet, on the air
    begin_s: FloatArray
    now_s: FloatArray
    give_up_s: FloatArray
    first_attempt: Ints  # number of the first attempt at its client
    served: Ints  # packets that are through
    tries: Ints  # attempts that the packet at the head has used up
    sent: Ints  # attempts in all
    lost: Ints
    into_bits: FloatArray  # of the attempt under way
    spoilt: Bools  # whether a part of it was in a lost block
    sent_bits: FloatArray
    state: NDArray[np.int8]
    air_s: FloatArray
    hz_s: FloatArray
    tx_j: FloatArray  # energy that the antenna radiated
    snr_db_s: FloatArray
    snr_min_db: FloatArray

    @classmethod
    def of(
        cls,
        sizes: Sizes,
        clients: Ints,
        payload_bits: Sequence[int],
        begin_s: Sequence[float],
        give_up_s: Sequence[float],
        first_attempt: Ints,
    ) -> Flows:
        """Transfers that begin, each at its time."""
        count = len(clients)
        payload, begin = np.array(payload_bits, np.int64), np.array(begin_s, np.float64)
        room = sizes.packet_bits - sizes.header_bits
        packets = np.maximum(1, np.ceil(payload / room)).astype(np.int64)
        zero, none = np.zeros(count), np.zeros(count, np.int64)
        return cls(
            client=clients, payload_bits=payload, packets=packets,
            last_bits=payload - (packets - 1) * room + sizes.header_bits,
            begin_s=begin, now_s=begin.copy(), give_up_s=np.array(give_up_s, np.float64),
            first_attempt=first_attempt,
            served=none, tries=none.copy(), sent=none.copy(), lost=none.copy(), into_bits=zero,
            spoilt=np.zeros(count, np.bool_), sent_bits=zero.copy(),
            state=np.zeros(count, np.int8), air_s=zero.copy(), hz_s=zero.copy(), tx_j=zero.copy(),
            snr_db_s=zero.copy(), snr_min_db=np.full(count, math.inf),
        )  # fmt: skip

    def __len__(self) -> int:
        return self.client.size

    def take(self, rows: Ints | Bools) -> Flows:
        """A copy of some of them."""
        return Flows(*[getattr(self, name)[rows] for name in _names()])

    def copy(self) -> Flows:
        """A copy of all of them."""
        return Flows(*[getattr(self, name).copy() for name in _names()])

    def put(self, rows: Ints, some: Flows) -> None:
        """Write some of them back."""
        for name in _names():
            getattr(self, name)[rows] = getattr(some, name)

    def joined(self, others: Flows) -> Flows:
        """These, and others behind them."""
        pairs = ((getattr(self, name), getattr(others, name)) for name in _names())
        return Flows(*(np.concatenate(pair) for pair in pairs))

    def size_bits(self, sizes: Sizes) -> FloatArray:
        """Size on the air of the packet at the head."""
        return np.where(self.served < self.packets - 1, sizes.packet_bits, self.last_bits)

    def left_bits(self, sizes: Sizes) -> FloatArray:
        """Bits on the air until each is done, if nothing more is lost."""
        whole = np.maximum(self.packets - 1 - self.served, 0) * sizes.packet_bits
        return np.asarray(np.where(self.served < self.packets, whole + self.last_bits, 0.0) - self.into_bits)

    def delivered_bits(self, sizes: Sizes) -> Ints:
        """Payload bits of the packets that are through."""
        whole = np.rint(self.served * (sizes.packet_bits - sizes.header_bits)).astype(np.int64)
        return np.asarray(np.where(self.state == DELIVERED, self.payload_bits, np.minimum(whole, self.payload_bits)))


@cache
def _names() -> tuple[str, ...]:
    return tuple(item.name for item in fields(Flows))


class Course(NamedTuple):
    """What passes in a run of slots, arrays [flows, slots]: the part of each slot that a flow has, and its bits.

    Bits flow evenly within that part, or, if `at_end`, all come through at its end. `lost`, if given, says whose bits
    of a slot were those of a lost block: a packet with a part in it is lost, and what is sent next begins behind the
    block in which that packet ends.
    """

    starts_s: FloatArray
    ends_s: FloatArray
    bits: FloatArray
    passed_bits: FloatArray  # up to the end of each slot
    at_end: bool = False
    lost: Bools | None = None

    def time_of(self, row: Ints, slot: Ints, bits: FloatArray) -> FloatArray:
        """When so many have passed, given the slots in which that happens."""
        end_s = self.ends_s[row, slot]
        if self.at_end:
            return end_s
        start_s, within = self.starts_s[row, slot], self.bits[row, slot]
        share = (bits - (self.passed_bits[row, slot] - within)) / np.where(within > 0, within, 1.0)
        return np.minimum(start_s + np.clip(share, 0.0, 1.0) * (end_s - start_s), end_s)

    def slot_of(self, rows: Ints, bits: FloatArray) -> Ints:
        """The slots [rows] in which each row's bits have passed."""
        before = (self.passed_bits[rows] < bits[:, None]).sum(axis=1)
        return np.asarray(np.minimum(before, self.bits.shape[1] - 1))


def send(flows: Flows, sizes: Sizes, losses: Losses, course: Course) -> None:
    """Send packets with the bits of a course: those whose end is in it come through or are lost.

    Changes `flows` in place: attempts, packets, states; `now_s` becomes the end of a flow that has ended, or of its
    part of the last slot.
    """
    total = course.passed_bits[:, -1] if course.bits.shape[1] else np.zeros(len(flows))
    at = -flows.into_bits  # where the attempt under way began
    last_s = course.ends_s[:, -1] if course.bits.shape[1] else flows.now_s
    flows.now_s = np.where(flows.state == SENDING, last_s, flows.now_s)
    rows = np.flatnonzero(flows.state == SENDING)
    lossless = losses.never and course.lost is None
    while rows.size:
        # all of them are nearly always meant, and a slice is looked up in a tenth of the time
        which = slice(None) if rows.size == len(flows) else rows
        size, left = flows.size_bits(sizes)[which], flows.packets[which] - flows.served[which]
        need = np.where(left > 1, left - 1, 1)  # successes until the size changes, or the end
        room = np.maximum(np.floor((total[which] - at[which]) / size + _EXACT), 0).astype(np.int64)
        if not room.any():
            break  # no attempt ends here
        most = max(1, _MOST_ATTEMPTS // rows.size)
        count = np.minimum(room, np.minimum(2 * need + sizes.attempts, most))
        behind = dropped = None
        if lossless:
            used = won = np.minimum(count, need)
            tries = np.where(used > 0, 0, flows.tries[which])
        else:
            if course.lost is not None:
                count = np.minimum(count, np.maximum(_before_lost(rows, size, at[rows], course), 1))
            lost = _fates(flows, rows, size, at[rows], count, losses, course)
            if course.lost is not None and lost.shape[1]:
                behind = _spoil(flows, rows, size, at[rows], count, lost, course)
            used, won, tries, dropped = resolve(lost, count, flows.tries[rows], need, sizes.attempts)
            flows.lost[which] += used - won
        bits = used * size
        at[which] += bits
        if behind is not None:
            at[rows] = np.where(used > 0, np.maximum(at[rows], behind), at[rows])
        flows.sent[which] += used
        flows.sent_bits[which] += bits
        flows.served[which] += won
        flows.tries[which] = tries
        ended = done = flows.served[which] == flows.packets[which]
        if dropped is not None:
            ended = done | dropped
        if ended.any():
            flows.state[rows[done]] = DELIVERED
            if dropped is not None:
                flows.state[rows[dropped]] = GIVEN_UP
            over = rows[ended]
            flows.now_s[over] = course.time_of(over, course.slot_of(over, at[over]), at[over])
        rows = rows[~ended & ((used < room) | (won == need))]  # a new size, or attempts not looked at yet
    if course.lost is not None:
        under_way = (flows.state == SENDING) & (total > at)
        flows.spoilt = under_way & (flows.spoilt | _any_lost(course, at, total))
    flows.into_bits = np.where(flows.state == SENDING, np.maximum(total - at, 0.0), 0.0)


def _fates(
    flows: Flows, rows: Ints, size: FloatArray, at: FloatArray, count: Ints, losses: Losses, course: Course
) -> Bools:
    """Whether each of the next `count` attempts is lost, [rows, the most of them]."""
    width = int(count.max(initial=0))
    numbers = np.arange(width)
    attempt = (flows.first_attempt[rows] + flows.sent[rows])[:, None] + numbers
    client = flows.client[rows]
    if not losses.model.in_time or not width:
        return losses.model.lost(losses.stream, client[:, None], attempt, np.zeros(1))
    # The slot in which each attempt ends, row by row: as many times as attempts end in it.
    ended = np.floor((course.passed_bits[rows] - at[:, None]) / size[:, None] + _EXACT).astype(np.int64)
    ended = np.clip(ended, 0, count[:, None])
    ended[:, -1] = count
    each = np.diff(ended, axis=1, prepend=0)
    slot = np.repeat(np.broadcast_to(np.arange(each.shape[1]), each.shape).ravel(), each.ravel())
    asked = numbers < count[:, None]
    row = np.repeat(np.arange(rows.size), count)
    bits = at[row] + (np.nonzero(asked)[1] + 1) * size[row]
    ends_s = course.time_of(rows[row], slot, bits)
    lost = np.zeros((rows.size, width), np.bool_)
    lost[asked] = losses.model.lost(losses.stream, client[row], attempt[asked], ends_s)
    return lost


def _before_lost(rows: Ints, size: FloatArray, at: FloatArray, course: Course) -> Ints:
    """How many attempts end before the next lost block that has bits behind `at`."""
    assert course.lost is not None
    begin = course.passed_bits[rows] - course.bits[rows]
    ahead = course.lost[rows] & (course.passed_bits[rows] > at[:, None] + _EXACT * size[:, None])
    safe = np.where(ahead.any(axis=1), begin[np.arange(rows.size), np.argmax(ahead, axis=1)], math.inf)
    with np.errstate(invalid="ignore"):
        return np.minimum(np.floor((safe - at) / size + _EXACT), _MOST_ATTEMPTS).astype(np.int64)


def _spoil(
    flows: Flows, rows: Ints, size: FloatArray, at: FloatArray, count: Ints, lost: Bools, course: Course
) -> FloatArray:
    """Mark in `lost` the first attempt of each row if a part of it is in a lost block; where what follows may begin.

    Only the first can be: `_before_lost` lets no other come so far.
    """
    assert course.lost is not None
    end = at + size
    takes_place = count > 0
    hit = takes_place & (flows.spoilt[rows] | _any_lost(course, at, end, rows))
    lost[:, 0] |= hit
    slot = course.slot_of(rows, end - _EXACT * size)
    ends_in_lost = hit & course.lost[rows, slot]
    flows.spoilt[rows[takes_place]] = False
    return np.where(ends_in_lost, course.passed_bits[rows, slot], 0.0)


def _any_lost(course: Course, begin: FloatArray, end: FloatArray, rows: Ints | None = None) -> Bools:
    """Whether any bits between two marks [rows] are those of a lost block."""
    assert course.lost is not None
    which = slice(None) if rows is None else rows
    passed = course.passed_bits[which]
    inside = (passed > begin[:, None]) & (passed - course.bits[which] < end[:, None])
    return np.asarray((course.lost[which] & inside & (course.bits[which] > 0)).any(axis=1))


def resolve(lost: Bools, count: Ints, tries: Ints, need: Ints, attempts: int) -> tuple[Ints, Ints, Ints, Bools]:
    """Follow ARQ through attempts [rows, n] of which the first `count` of each row take place at most.

    Parameters
    ----------
    lost : bool [rows, n]
    count, tries, need : int [rows]
        How many attempts there are, how many the first packet has used up before, and packets still to get through.
    attempts : int
        How often a packet may be sent.

    Returns
    -------
    used, won, tries, dropped : [rows]
        Attempts made, packets that got through, attempts that the packet at the head has used up after that, and
        whether that were too many.
    """
    rows, width = lost.shape
    each = np.arange(rows)
    dropped = np.zeros(rows, np.bool_)
    if not width:
        return np.zeros(rows, np.int64), np.zeros(rows, np.int64), tries.copy(), dropped
    if (count < width).any():
        lost = lost | (np.arange(width) >= count[:, None])  # what does not take place gets nothing through
    won_by = cast(Ints, np.cumsum(~lost, axis=1, dtype=np.int16 if width < 1 << 15 else np.int32))
    used = count.copy()
    enough = np.flatnonzero(won_by[:, -1] >= need)
    if enough.size:
        used[enough] = np.argmax(won_by[enough] >= need[enough, None], axis=1) + 1
    if (count - won_by[:, -1] + tries >= attempts).any():
        # runs of `attempts` losses, those before these attempts included
        run = np.concatenate([np.arange(attempts - 1) >= attempts - 1 - tries[:, None], lost], axis=1)
        length = 1
        while length < attempts:  # a run of `length` begins here; two that overlap make a longer one
            step = min(length, attempts - length)
            run = run[:, step:] & run[:, :-step]
            length += step
        first = np.argmax(run, axis=1)
        dropped = run[each, first] & (first < used)
        used = np.where(dropped, first + 1, used)
    won = np.where(used > 0, won_by[each, np.maximum(used - 1, 0)], 0).astype(np.int64)
    # the run of losses at the end, no longer than `attempts`
    back = used[:, None] - 1 - np.arange(attempts)
    losing = np.where(back >= 0, lost[each[:, None], np.maximum(back, 0)], -back <= tries[:, None])
    return used, won, np.logical_and.accumulate(losing, axis=1).sum(axis=1), dropped


def account(flows: Flows, course: Course, snr: FloatArray, bandwidth_hz: FloatArray, power_w: FloatArray) -> None:
    """Book time, power and SNR [flows, slots] of a course, up to where each flow is now; the rest [flows] or so too.

    `bandwidth_hz` and `power_w` are [flows] or [flows, slots]; a slot without bandwidth does not count.
    """
    held_s = np.maximum(np.minimum(course.ends_s, flows.now_s[:, None]) - course.starts_s, 0.0)
    if bandwidth_hz.ndim == 2:
        held_s *= bandwidth_hz > 0
        flows.hz_s += (held_s * bandwidth_hz).sum(axis=1)
        flows.tx_j += (held_s * power_w).sum(axis=1)
        flows.air_s += held_s.sum(axis=1)
    else:
        air_s = held_s.sum(axis=1)
        flows.hz_s += air_s * bandwidth_hz
        flows.tx_j += air_s * power_w
        flows.air_s += air_s
    snr_db = in_db(snr)
    flows.snr_db_s += (held_s * snr_db).sum(axis=1)
    flows.snr_min_db = np.minimum(
        flows.snr_min_db, np.where(held_s > 0, snr_db, math.inf).min(axis=1, initial=math.inf)
    )
