"""FDMA packet by packet: one event each, the reference that the arithmetic over many packets is held against.

Knows one packet at a time. Written for clearness: it shares no arithmetic of packets, losses and shares of the band
with `flows` and `fdma`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wfl_sim.radio.access import Ended, Job, Rest, Supply, reports
from wfl_sim.radio.fdma import Fdma
from wfl_sim.radio.flows import DELIVERED, GIVEN_UP, SENDING, TIME_UP, Flows


@dataclass(eq=False)
class _Upload:
    """An upload: its packets, and the one under way."""

    job: Job
    client: int
    sizes_bits: list[float]  # on the air, of each packet
    now_s: float
    give_up_s: float
    density: float
    attempt: int  # its number at the client
    hz: float = 0.0
    packet: int = 0  # the one under way,
    left_bits: float = 0.0  # what is left of it,
    tries: int = 0  # and how often it was lost
    sent: int = 0
    lost: int = 0
    sent_bits: float = 0.0
    state: int = SENDING
    ends_s: float = math.inf  # of the packet under way
    known: tuple[int, float, float, float] = (-1, 0.0, 0.0, 0.0)  # slot, bandwidth, rate and SNR looked at last
    air_s: float = 0.0
    hz_s: float = 0.0
    tx_j: float = 0.0
    snr_db_s: float = 0.0
    snr_min_db: float = math.inf


class PacketByPacket:
    """Uploads in FDMA whose packets end one after the other."""

    def __init__(self, fdma: Fdma, supply: Supply, clients: int, conserving: bool) -> None:
        self._fdma, self._supply, self._conserving = fdma, supply, conserving
        self._attempts = [0] * clients
        self._uploads: list[_Upload] = []
        self._now_s = 0.0
        self._paused = False

    def add(self, jobs: Sequence[Job]) -> None:
        sizes = self._fdma.sizes
        room = sizes.packet_bits - sizes.header_bits
        for job in jobs:
            whole, rest = divmod(job.payload_bits, room)
            bits = [sizes.packet_bits] * int(whole) + ([rest + sizes.header_bits] if rest else [])
            client = job.clients[0]
            asked = np.array([client], np.int64), np.array([job.begin_s])
            density = float(self._fdma.signal.density_w_per_hz(*asked)[0])
            upload = _Upload(
                job, client, bits, job.begin_s, job.give_up_s(self._fdma.timeout_s), density, self._attempts[client]
            )
            upload.left_bits = bits[0]
            self._uploads.append(upload)
        self._now_s = jobs[0].begin_s
        self._share()

    def settle(self, now_s: float) -> list[Ended]:
        self._now_s = now_s
        for upload in self._uploads:
            if self._paused:
                upload.now_s = now_s
            elif min(upload.ends_s, upload.give_up_s) <= now_s:
                self._carry(upload, min(upload.ends_s, now_s))
                if upload.ends_s <= now_s:
                    self._packet_ends(upload)
            if upload.state == SENDING and upload.give_up_s <= now_s:
                upload.state = TIME_UP
        over = [upload for upload in self._uploads if upload.state != SENDING]
        if not over:
            return []
        self._uploads = [upload for upload in self._uploads if upload.state == SENDING]
        self._share()
        ended = []
        for upload in over:
            self._attempts[upload.client] = upload.attempt
            ended += reports([upload.job], self._row(upload), self._fdma.sizes, self._supply, "up")
        ended.sort(key=lambda pair: (pair[1].t_end_s, pair[1].client))
        return ended

    def next_s(self) -> float:
        if self._paused:
            return min((upload.give_up_s for upload in self._uploads), default=math.inf)
        return min((min(upload.ends_s, upload.give_up_s) for upload in self._uploads), default=math.inf)

    def hold(self, held: bool, now_s: float) -> None:
        if held != self._paused:
            for upload in self._uploads:
                if held:
                    self._carry(upload, now_s)
                upload.now_s, upload.ends_s = now_s, math.inf
            self._paused = held
            if not held:
                self._share()

    def held_hz(self, now_s: float) -> float:
        return sum(upload.job.bandwidth_hz for upload in self._uploads)

    def rest(self) -> Rest:
        return {"attempts": list(self._attempts)}

    def resume(self, rest: Rest) -> None:
        self._attempts = list(rest["attempts"])

    def _share(self) -> None:
        """Give everyone its bandwidth, and find out when its packet will end."""
        wider = (
            self._fdma.signal.bandwidth_hz / self.held_hz(self._now_s) if self._conserving and self._uploads else 1.0
        )
        for upload in self._uploads:
            hz = upload.job.bandwidth_hz * wider
            if hz != upload.hz or upload.ends_s == math.inf:
                if upload.hz and not self._paused:
                    self._carry(upload, self._now_s)  # at the old rate
                upload.hz = hz
                self._find_end(upload)

    def _slot(self, upload: _Upload, time_s: float) -> tuple[float, float, float]:
        """Rate in bit/s, SNR and end of the slot at a time."""
        fdma = self._fdma
        slot = math.floor(time_s / fdma.slot_s)
        if (slot + 1) * fdma.slot_s <= time_s:
            slot += 1
        if upload.known[:2] != (slot, upload.hz):
            client, power_w = np.array([upload.client], np.int64), self._power_w(upload)
            snr = fdma.signal.snr(client, np.array([slot]), upload.hz, power_w, kept=True)
            efficiency = float(fdma.rate.efficiency(snr, "up").mean())
            rate = upload.hz * efficiency * (1.0 - fdma.signal.overhead)
            upload.known = slot, upload.hz, rate, float(snr.mean())
        return upload.known[2], upload.known[3], (slot + 1) * fdma.slot_s

    def _power_w(self, upload: _Upload) -> float:
        return min(self._fdma.signal.tx_power_w, upload.density * upload.hz)

    def _find_end(self, upload: _Upload) -> None:
        left_bits, time_s = upload.left_bits, upload.now_s
        while time_s < upload.give_up_s:
            rate, _, end_s = self._slot(upload, time_s)
            if rate * (end_s - time_s) >= left_bits:
                upload.ends_s = time_s + (left_bits / rate if left_bits > 0 else 0.0)
                return
            left_bits, time_s = left_bits - rate * (end_s - time_s), end_s
        upload.ends_s = math.inf

    def _carry(self, upload: _Upload, until_s: float) -> None:
        """Send a part of the packet under way."""
        until_s = min(until_s, upload.give_up_s)
        while upload.now_s < until_s:
            rate, snr, end_s = self._slot(upload, upload.now_s)
            step_s = min(end_s, until_s) - upload.now_s
            snr_db = 10 * math.log10(max(snr, 1e-30))
            upload.left_bits -= rate * step_s
            upload.air_s += step_s
            upload.hz_s += upload.hz * step_s
            upload.tx_j += self._power_w(upload) * step_s
            upload.snr_db_s += snr_db * step_s
            upload.snr_min_db = min(upload.snr_min_db, snr_db)
            upload.now_s = min(end_s, until_s)

    def _packet_ends(self, upload: _Upload) -> None:
        """The packet under way has been sent: it is through, or lost, and another attempt begins."""
        model, stream = self._fdma.losses
        lost = bool(model.lost(stream, upload.client, upload.attempt, upload.now_s))
        upload.attempt += 1
        upload.sent += 1
        upload.sent_bits += upload.sizes_bits[upload.packet]
        if lost:
            upload.lost += 1
            upload.tries += 1
            if upload.tries == self._fdma.sizes.attempts:
                upload.state = GIVEN_UP
                return
        else:
            upload.packet, upload.tries = upload.packet + 1, 0
            if upload.packet == len(upload.sizes_bits):
                upload.state = DELIVERED
                return
        upload.left_bits = upload.sizes_bits[upload.packet]
        self._find_end(upload)

    def _row(self, upload: _Upload) -> Flows:
        job, client = upload.job, np.array([upload.client], np.int64)
        row = Flows.of(
            self._fdma.sizes, client, [job.payload_bits], [job.begin_s], [upload.give_up_s], np.array([upload.attempt])
        )
        row.now_s[0], row.state[0] = upload.now_s, upload.state
        row.served[0], row.tries[0] = upload.packet, upload.tries
        row.sent[0], row.lost[0], row.sent_bits[0] = upload.sent, upload.lost, upload.sent_bits
        row.air_s[0], row.hz_s[0], row.tx_j[0] = upload.air_s, upload.hz_s, upload.tx_j
        row.snr_db_s[0], row.snr_min_db[0] = upload.snr_db_s, upload.snr_min_db
        return row
