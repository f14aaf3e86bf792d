"""A simulated link as a file under which a real system can be run: mahimahi, or CSV of rate or SNR against time.

Knows the links of a scenario and the rate model; no protocol and no payload runs. `channels.replay` reads the same
files.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from channels.arrays import Floats
from channels.links import Direction
from channels.replay import OPPORTUNITY_BITS, Packets, Rates
from channels.streams import Stream
from channels.tracefiles import Table, csv_text, mahimahi_text
from wfl_sim.engine import build_links
from wfl_sim.errors import OutputExists, Problem, RunFailed, ScenarioError
from wfl_sim.radio.bands import bands
from wfl_sim.scenario import Scenario

Kind = Literal["mahimahi", "rate", "snr"]
MOST_SLOTS = 10**8
_AT_ONCE = 1 << 15  # slots asked of the links in one question
_ROUNDING = 1e-9  # of a packet: bits that are summed up to a whole packet are one


@dataclass(frozen=True, eq=False)
class LinkCourse:
    """SNR and rate of one client's link, slot by slot from time 0, alone in the whole band.

    `snr` [slots] is linear, the mean over the band; `rate_bps` [slots] what packets get of it, pilots and control taken
    off. A loss from elsewhere than the radio is not in it.
    """

    slot_s: float
    snr: Floats
    rate_bps: Floats

    @property
    def link(self) -> Rates:
        """The same as a link that carries bits, over and over."""
        return Rates(self._times(1), self.rate_bps, self.rate_bps.size * self.slot_s)

    def mahimahi(self) -> Packets:
        """The course as chances to deliver 1500 bytes, in whole milliseconds from 1 on.

        After any millisecond as many have come as whole packets fit into the bits of the course so far, so rounding
        never adds up. Replayed, it repeats from the last chance on, which may be some milliseconds before the end.

        Raises
        ------
        RunFailed
            The course carries no whole packet.
        """
        last_ms = math.floor(self.rate_bps.size * self.slot_s * 1e3 + _ROUNDING)
        edges_s = np.arange(self.rate_bps.size + 1) * self.slot_s
        bits = np.concatenate(([0.0], np.cumsum(self.rate_bps * self.slot_s)))
        packets = np.floor(np.interp(np.arange(last_ms + 1) / 1e3, edges_s, bits) / OPPORTUNITY_BITS + _ROUNDING)
        stamps = np.repeat(np.arange(1, last_ms + 1), np.diff(packets).astype(np.int64))
        if not stamps.size:
            raise RunFailed(
                f"the link carries {bits[-1]:.0f} bit in all, and a mahimahi trace needs a packet of 1500 B"
            )
        return Packets(stamps)

    def table(self, column: Literal["rate_bps", "snr_db"], slots: int = 1) -> Table:
        """Means over so many slots each as a CSV holds them; an SNR is averaged as a ratio. The last may be shorter."""
        values = self.rate_bps if column == "rate_bps" else self.snr
        firsts = np.arange(0, values.size, slots)
        means = np.add.reduceat(values, firsts) / np.diff(firsts, append=values.size)
        if column == "rate_bps" and not means.any():
            raise RunFailed("the link carries nothing at all")
        return Table(self._times(slots), {column: means if column == "rate_bps" else 10.0 * np.log10(means)})

    def _times(self, slots: int) -> Floats:
        return np.round(np.arange(0, self.rate_bps.size, slots) * self.slot_s, 9)  # 0.057, not 0.057000000000000002


def course(scenario: Scenario, client: int, direction: Direction, duration_s: float, seed: int) -> LinkCourse:
    """The course of one link of a scenario.

    Parameters
    ----------
    scenario : Scenario
    client : int
        Its number, from 0.
    direction : {"up", "down"}
    duration_s : float
        Length in s, rounded up to whole slots.
    seed : int
        The same seed gives the same gains as in a run.

    Returns
    -------
    LinkCourse
        At the middle of each slot, as the medium holds it over the slot.

    Raises
    ------
    ScenarioError
        A client that the scenario has not, a duration that is not above 0 or above 1e8 slots, a seed below 0.
    """
    slot_s = scenario.radio.slot_s
    if not 0 <= client < scenario.clients.count:
        raise _wrong("--client", client, f"must be from 0 to {scenario.clients.count - 1}")
    if not 0.0 < duration_s <= MOST_SLOTS * slot_s:
        raise _wrong("--duration", duration_s, f"must be above 0 s and at most {MOST_SLOTS * slot_s:g} s")
    if seed < 0:
        raise _wrong("--seed", seed, "must be at least 0")
    links = build_links(scenario, Stream.root(seed).child("channel"))
    band = bands(scenario.radio, scenario.clients.tx_power_dbm)[direction]
    slots = max(1, math.ceil(duration_s / slot_s - _ROUNDING))
    snr, efficiency = np.empty(slots), np.empty(slots)
    offsets = links.offsets_hz(band.bandwidth_hz)
    for first in range(0, slots, _AT_ONCE):
        mids = (np.arange(first, min(first + _AT_ONCE, slots)) + 0.5) * slot_s
        gain = links.gain(mids, clients=np.array([client]), direction=direction, offsets_hz=offsets)[0]
        over_band = gain / band.gain_of_snr
        snr[first : first + mids.size] = over_band.mean(axis=-1)  # of one frequency, if fading is flat
        carried = scenario.radio.rate.efficiency(over_band, direction)
        efficiency[first : first + mids.size] = carried.mean(axis=-1)  # as the medium has it
    rate = band.bandwidth_hz * efficiency * (1.0 - band.overhead)
    return LinkCourse(slot_s, snr, rate)


def both_ways(up: LinkCourse, down: LinkCourse, slots: int = 1) -> Table:
    """The rates of both directions of one link in one table, ``up_bps`` and ``down_bps``."""
    tables = {"up_bps": up.table("rate_bps", slots), "down_bps": down.table("rate_bps", slots)}
    return Table(tables["up_bps"].times_s, {name: table.columns["rate_bps"] for name, table in tables.items()})


def export_text(link: LinkCourse, kind: Kind, slots: int = 1) -> str:
    """The text of the file; `slots` is the length of a row of a CSV."""
    if kind == "mahimahi":
        return mahimahi_text(link.mahimahi())
    return csv_text(link.table("rate_bps" if kind == "rate" else "snr_db", slots))


def write(path: Path, text: str, *, force: bool = False) -> None:
    """Write a file whole or not at all, whatever interrupts it.

    Raises
    ------
    OutputExists
        The file is there, and not `force`.
    RunFailed
        It cannot be written; it is a folder.
    """
    if path.is_dir():
        raise RunFailed(f"{path} is a folder; --output is the name of the file to write")
    if path.exists() and not force:
        raise OutputExists(f"{path} exists already; use --force to replace it, or --output for another place")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        os.replace(partial, path)
    except OSError as error:
        raise RunFailed(f"cannot write to {path}: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)


def _wrong(option: str, got: object, rule: str) -> ScenarioError:
    return ScenarioError(Problem(f"command line: {option} {got}", "", rule))
