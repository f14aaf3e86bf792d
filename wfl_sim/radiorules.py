"""Rules of the air interface: bands and who shares them, blocks, slots, and what goes with what.

Knows options and what a protocol asks of the band; runs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from channels.bler import Table
from channels.cqi import Cqi
from channels.units import render
from wfl_sim.files import unreadable
from wfl_sim.findings import Finding, finding
from wfl_sim.pace import pace_of

if TYPE_CHECKING:
    from wfl_sim.scenario import Scenario

# The narrowest band that a cellular standard grants: one NB-IoT subcarrier (3GPP TS 36.211, clause 10.1.2.3).
NARROWEST_SHARE_HZ = 3.75e3
# Above this share of the carrier a signal counts as ultra-wideband (47 CFR 15.503(d)), and one gain at the carrier
# no longer stands for the band.
WIDEST_SHARE_OF_CARRIER = 0.2


def problems(scenario: Scenario) -> list[Finding]:
    """All that does not go together in `radio`, with the clients that share it."""
    return [*_bands(scenario), *_blocks(scenario), *_slots(scenario), *_fidelity(scenario)]


def _bands(scenario: Scenario) -> list[Finding]:
    radio, pace, found = scenario.radio, pace_of(scenario), list[Finding]()
    least = render(pace.asked * NARROWEST_SHARE_HZ, "Hz")
    if radio.uplink.access == "fdma" and radio.uplink.bandwidth_hz < pace.asked * NARROWEST_SHARE_HZ:
        who = f"{pace.asked} clients" if pace.key == "clients.count" else f"{pace.asked} clients ({pace.key})"
        message = f"must be at least {least}, a subcarrier of 3.75 kHz (NB-IoT, the narrowest) for each of {who}"
        got = render(radio.uplink.bandwidth_hz, "Hz")
        found.append(finding("radio.uplink.bandwidth", message, got, pace.key, fits=least))
    widest = render(WIDEST_SHARE_OF_CARRIER * radio.carrier_hz, "Hz")
    for direction in ("uplink", "downlink"):
        bandwidth_hz = getattr(radio, direction).bandwidth_hz
        if bandwidth_hz > WIDEST_SHARE_OF_CARRIER * radio.carrier_hz:
            message = f"must be at most {widest}, 20 % of radio.carrier: one gain stands for the band"
            got = render(bandwidth_hz, "Hz")
            found.append(finding(f"radio.{direction}.bandwidth", message, got, "radio.carrier", fits=widest))
    return found


def _blocks(scenario: Scenario) -> list[Finding]:
    """A loss is counted once: where the rate is always met there is no block to lose."""
    radio, found = scenario.radio, []
    if radio.rate.always_met and radio.retransmission.kind == "harq":
        message = (
            f"harq needs a rate that can fail (radio.rate: {{kind: cqi}}): {radio.rate.kind} knows the SNR and always "
            "meets it, so no block is ever lost; use arq, which sends packets again that are lost elsewhere"
        )
        found.append(finding("radio.retransmission", message, "", "radio.rate", fits="{kind: arq}"))
    found += _reachable(scenario)
    delay_s = getattr(radio.rate, "delay_s", 0.0)
    if delay_s >= radio.timeout_s:
        message = f"must be below radio.timeout, {render(radio.timeout_s, 's')}: no transfer is on the air so long"
        fits = render(4 * radio.slot_s, "s")
        found.append(finding("radio.rate.delay", message, render(delay_s, "s"), "radio.timeout", fits=fits))
    return found


def _reachable(scenario: Scenario) -> list[Finding]:
    """A target that some row of a table of block errors keeps."""
    rate = scenario.radio.rate
    if not isinstance(rate, Cqi) or not isinstance(rate.bler, Table) or any(unreadable(rate.bler)):
        return []
    least = min(float(bler[-1]) for _, bler in rate.bler.load().values())
    if least <= rate.target:
        return []
    message = (
        f"no CQI reaches the target of radio.rate.target, {rate.target:g}: the least BLER in {rate.bler.file} is "
        f"{least:g}; raise the target, or add rows of higher SNR"
    )
    return [finding("radio.rate.bler.file", message, "", "radio.rate.target")]


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
