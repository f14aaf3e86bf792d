"""The signal of every link in every slot: power, gain and noise joined into an SNR.

Knows links and options of the radio; who holds which band, it is told.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from channels.linkbudget import THERMAL_NOISE_W_PER_HZ
from channels.links import Direction, LinkModel
from wfl_sim.contracts import FloatArray
from wfl_sim.errors import NotFinite
from wfl_sim.radio.options import Radio

Ints = NDArray[np.int64]

BLOCK_SLOTS = 256
_VALUES_KEPT = 1 << 22  # of gains, of each direction: 32 MiB
_CLIENTS_KEPT = 512  # in a block, or those who ask together
_NOBODY = np.empty(0, np.int64)
_NOTHING = _NOBODY, np.empty((0, 0))
_LEAST_DB = 1e-30  # as a ratio: an SNR of 0 has no decibels


class Signal:
    """SNR of one direction as a function of slots, clients and bandwidths.

    Gains are those in the middle of a slot. They are kept in blocks of `BLOCK_SLOTS` slots where `kept` is asked for,
    since whoever sends now will ask for the same slots again.

    Parameters
    ----------
    radio : Radio
    links : Links
    direction : {"up", "down"}
    tx_power_w : float
        Largest power of the transmitter.
    """

    def __init__(self, radio: Radio, links: LinkModel, direction: Direction, tx_power_w: float) -> None:
        band = radio.uplink if direction == "up" else radio.downlink
        figure_db = radio.noise_figure.base_station_db if direction == "up" else radio.noise_figure.client_db
        self.radio, self.links, self.direction = radio, links, direction
        self.bandwidth_hz, self.overhead = band.bandwidth_hz, band.overhead
        self.tx_power_w = tx_power_w
        self.noise_w_per_hz = THERMAL_NOISE_W_PER_HZ * 10 ** ((figure_db + band.interference_margin_db) / 10)
        self.offsets_hz = links.offsets_hz(band.bandwidth_hz)
        self.control = radio.uplink.power_control if direction == "up" else None
        self._blocks: dict[int, tuple[Ints, FloatArray]] = {}
        self._asked: tuple[Ints, Ints, Ints] = _NOBODY, _NOBODY, _NOBODY  # clients, of whom, and where they stand
        self._expected: dict[int, int] = {}  # by client: the slot in which it will begin

    @property
    def flat(self) -> bool:
        """Whether one gain stands for the whole band."""
        return self.offsets_hz.size == 1

    def gain(self, clients: Ints, slots: Ints, kept: bool = False, offsets_hz: FloatArray | None = None) -> FloatArray:
        """Power gains [clients, slots], or [clients, slots, frequencies] where the band is not flat.

        Slots before time 0 count as slot 0.
        """
        slots = np.maximum(slots, 0)
        if not kept:
            return self._ask(np.asarray((slots + 0.5) * self.radio.slot_s, np.float64), clients, offsets_hz)
        first, last = int(slots[0]), int(slots[-1])
        parts = []
        for block in range(first // BLOCK_SLOTS, last // BLOCK_SLOTS + 1):
            rows, gains = self._block(clients, block)
            begin = block * BLOCK_SLOTS
            parts.append(gains[max(first - begin, 0) : last + 1 - begin].take(rows, axis=1))
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if slots.size != whole.shape[0]:  # some stand for slots before time 0
            whole = whole[slots - first]
        return np.swapaxes(whole, 0, 1)

    def snr(
        self, clients: Ints, slots: Ints, bandwidth_hz: FloatArray | float, power_w: FloatArray | float, kept: bool
    ) -> FloatArray:
        """SNRs, shaped as `gain`, of clients [K] that spread `power_w` over `bandwidth_hz`, each [K] or one number."""
        gain = self.gain(clients, slots, kept)
        factor = np.asarray(power_w / (self.noise_w_per_hz * np.asarray(bandwidth_hz)))
        if factor.ndim:
            factor = factor.reshape(-1, *(1,) * (gain.ndim - 1))
        return np.asarray(gain * factor)

    def expect(self, client: int, begin_s: float) -> None:
        """A client will send from a time on: who asks for gains of that time has those of the client made as well.

        One question about several clients costs little more than one about one of them.
        """
        self._expected[client] = math.floor(begin_s / self.radio.slot_s)

    def begun(self, client: int) -> None:
        """A client need not be expected any more."""
        self._expected.pop(client, None)

    def density_w_per_hz(self, clients: Ints, times_s: FloatArray) -> FloatArray:
        """Largest power density that power control lets each client [K] use, from its path loss at its time [K]."""
        if self.control is None:
            return np.full(clients.size, math.inf)
        loss_db = np.empty(clients.size)
        for time_s in np.unique(times_s):  # nearly always one
            chosen = times_s == time_s
            loss_db[chosen] = -self.links.large_scale_db(
                np.array([max(time_s, 0.0)]), clients=clients[chosen], direction=self.direction
            )[:, 0]
        level_dbm = self.control.p0_dbm + self.control.alpha * loss_db
        return np.asarray(10 ** (level_dbm / 10 - 3) / self.radio.uplink.resource_block_hz)

    def power_w(self, density_w_per_hz: FloatArray, bandwidth_hz: FloatArray | float) -> FloatArray:
        """Power of a sender [K] in a bandwidth, given the density that it may use."""
        return np.minimum(self.tx_power_w, density_w_per_hz * bandwidth_hz)

    def _ask(self, times_s: FloatArray, clients: Ints, offsets_hz: FloatArray | None = None) -> FloatArray:
        offsets = self.offsets_hz if offsets_hz is None else offsets_hz
        among = {} if offsets.size == 1 else {"offsets_hz": offsets}
        gain = self.links.gain(times_s, clients=clients, direction=self.direction, **among)
        return check_finite(gain, self.direction, clients, times_s)

    def _block(self, clients: Ints, block: int) -> tuple[Ints, FloatArray]:
        """Where clients stand in the gains [slots, clients] of a block, kept for whoever passes through it again."""
        held, gains = self._blocks.get(block, _NOTHING)
        if clients is self._asked[0] and held is self._asked[1]:
            return self._asked[2], gains
        rows = np.searchsorted(held, clients)
        if held.size and (held[np.minimum(rows, held.size - 1)] == clients).all():
            if next(reversed(self._blocks)) != block:
                self._blocks[block] = self._blocks.pop(block)  # last, as the one asked for last
        else:
            held, gains = self._with(clients, held, gains, block)
            rows = np.searchsorted(held, clients)
            self._blocks.pop(block, None)
            self._blocks[block] = held, gains
            while len(self._blocks) > 2 and sum(kept.size for _, kept in self._blocks.values()) > _VALUES_KEPT:
                del self._blocks[next(iter(self._blocks))]
        self._asked = clients, held, rows
        return rows, gains

    def _with(self, clients: Ints, held: Ints, gains: FloatArray, block: int) -> tuple[Ints, FloatArray]:
        """The gains of a block with those of clients that it lacks, and of others that will soon be asked for."""
        missing = np.setdiff1d(clients, held)  # in rising order
        if held.size + missing.size > _CLIENTS_KEPT:  # who asked before has likely ended
            held, missing = held[:0], np.unique(clients)
        elif 0 < len(self._expected) <= _CLIENTS_KEPT:
            soon = [client for client, slot in self._expected.items() if slot < (block + 1) * BLOCK_SLOTS]
            more = np.setdiff1d(np.array(soon, np.int64), held)
            if held.size + missing.size + more.size <= _CLIENTS_KEPT:
                missing = np.union1d(missing, more)
        slots = np.arange(block * BLOCK_SLOTS, (block + 1) * BLOCK_SLOTS)
        asked = np.swapaxes(self._ask(np.asarray((slots + 0.5) * self.radio.slot_s, np.float64), missing), 0, 1)
        if not held.size:
            return missing, np.ascontiguousarray(asked)
        held = np.concatenate([held, missing])
        order = np.argsort(held)
        return held[order], np.concatenate([gains, asked], axis=1).take(order, axis=1)


def check_finite(gain: FloatArray, direction: Direction, clients: Ints, times_s: FloatArray) -> FloatArray:
    """Gains [clients, times, ...] as they are; a number among them that is not finite ends the run."""
    if not np.isfinite(gain).all():
        row, column = (int(where[0]) for where in np.nonzero(~np.isfinite(gain))[:2])
        raise NotFinite(
            f"the {direction}link gain of client {clients[row]} at {times_s[column]:g} s is {gain[row, column]}; look "
            "at the models under channel, at clients.mobility and at recorded files; `wfl_sim.checks` tries a model"
        )
    return gain


def over_band(values: FloatArray) -> FloatArray:
    """[clients, slots] of what may be [clients, slots, frequencies]: the mean over the band."""
    return values if values.ndim == 2 else np.asarray(values.mean(axis=-1))


def in_db(ratio: FloatArray) -> FloatArray:
    """Decibels of ratios of powers, 0 taken as the least."""
    return np.asarray(10.0 * np.log10(np.maximum(ratio, _LEAST_DB)))
