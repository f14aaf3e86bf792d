"""Rules of how the air is shared: schedulers and what they give away, and what packet by packet goes with.

Knows options of the radio; runs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from channels.fading import Selective
from channels.units import render
from wfl_sim.findings import Finding, finding

if TYPE_CHECKING:
    from wfl_sim.scenario import Scenario


def problems(scenario: Scenario) -> list[Finding]:
    """What does not go together in how the air is shared."""
    return [*_slots(scenario), *_selective(scenario), *_coverage(scenario), *_fidelity(scenario)]


def _slots(scenario: Scenario) -> list[Finding]:
    """Where a scheduler gives away resource blocks: that there is one, and that it looks back a slot at least."""
    air, found = scenario.radio, []
    for name, direction, access in (("uplink", air.uplink, "ofdma"), ("downlink", air.downlink, "unicast")):
        if direction.access != access:
            continue
        block_hz, band_hz = direction.resource_block_hz, direction.bandwidth_hz
        if band_hz < block_hz:
            least = render(block_hz, "Hz")
            message = f"must be at least radio.{name}.resource_block, {least}: {access} gives away whole blocks"
            key, read = f"radio.{name}.bandwidth", f"radio.{name}.resource_block"
            found.append(finding(key, message, render(band_hz, "Hz"), read, f"radio.{name}.access", fits=least))
        if direction.scheduler == "proportional_fair" and direction.averaging_s < air.slot_s:
            message = f"must be at least radio.slot, {render(air.slot_s, 's')}: the scheduler decides once a slot"
            got, fits = render(direction.averaging_s, "s"), render(100 * air.slot_s, "s")
            found.append(finding(f"radio.{name}.averaging", message, got, "radio.slot", fits=fits))
    return found


def _selective(scenario: Scenario) -> list[Finding]:
    """A slot carries one transport block for a client, whose SNR is known where all resource blocks are alike."""
    air, fading = scenario.radio, scenario.channel.fading
    if air.rate.always_met or scenario.channel.recorded is not None or not isinstance(fading, Selective):
        return []
    found = []
    for name, got, fits in (("uplink", air.uplink.access, "fdma"), ("downlink", air.downlink.access, "broadcast")):
        if got != fits:
            why = "in a band shared in slots one transport block a slot needs the same fading in all of the band"
            message = f"must be {fits} with rate {air.rate.kind} over fading {fading.kind}: {why}"
            found.append(finding(f"radio.{name}.access", message, got, "channel.fading", "radio.rate.kind", fits=fits))
    return found


def _coverage(scenario: Scenario) -> list[Finding]:
    """A transport block is sent again until all have it, so there is no rate to make for a share of them."""
    air = scenario.radio
    if air.rate.always_met or air.downlink.access != "broadcast" or air.downlink.coverage >= 1.0:
        return []
    message = f"must be 100 % with rate {air.rate.kind}, whose blocks are made for the weakest receiver"
    got = f"{air.downlink.coverage:.3g}"
    return [finding("radio.downlink.coverage", message, got, "radio.rate.kind", fits="100 %")]


def _fidelity(scenario: Scenario) -> list[Finding]:
    """Packet by packet goes what has a band of its own and a rate that is always met."""
    air = scenario.radio
    if air.fidelity != "packet":
        return []
    found = []
    if air.uplink.access != "fdma":
        found.append(_unscheduled("radio.uplink.access", "fdma", air.uplink.access))
    if air.downlink.access != "broadcast":
        found.append(_unscheduled("radio.downlink.access", "broadcast", air.downlink.access))
    if not air.rate.always_met:
        message = f"must be a rate that is always met with fidelity packet: {air.rate.kind} loses blocks of packets"
        found.append(finding("radio.rate", message, "", "radio.fidelity", fits="{kind: shannon}"))
    return found


def _unscheduled(key: str, wanted: str, got: str) -> Finding:
    message = f"must be {wanted} with fidelity packet, which knows no scheduler"
    return finding(key, message, got, "radio.fidelity", fits=wanted)
