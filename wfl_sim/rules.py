"""Rules that join several keys of a scenario, each told at the key that should change.

Knows options and what can be learnt of models and data without loading them; runs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from channels.bler import Table
from channels.cqi import Cqi
from channels.files import FileError
from channels.pathloss import Shadowed, Sighted
from channels.units import render
from wfl_sim import learningrules, radiorules, rankrules, splitrules, timerules
from wfl_sim.files import unreadable
from wfl_sim.findings import Finding
from wfl_sim.findings import finding as _finding
from wfl_sim.methods.none import NoLearning
from wfl_sim.nouns import NOUNS
from wfl_sim.pace import pace_of
from wfl_sim.radio.bands import bands
from wfl_sim.visits import Visits

if TYPE_CHECKING:
    from wfl_sim.scenario import Scenario

# The narrowest band that a cellular standard grants: one NB-IoT subcarrier (3GPP TS 36.211, clause 10.1.2.3).
NARROWEST_SHARE_HZ = 3.75e3
# Above this share of the carrier a signal counts as ultra-wideband (47 CFR 15.503(d)), and one gain at the carrier
# no longer stands for the band.
WIDEST_SHARE_OF_CARRIER = 0.2

# Fading whose gain holds for a while, so that one look at it is what papers call block CSI.
HELD_FADING = ("block", "none")


def physics(scenario: Scenario) -> list[Finding]:
    """What does not go together in the scenario itself."""
    return [
        *_files(scenario),
        *_recorded(scenario),
        *_channel(scenario),
        *_bands(scenario),
        *_blocks(scenario),
        *_csi(scenario),
        *_times(scenario),
        *_protocol(scenario),
        *_paths(scenario),
        *_presence(scenario),
        *learningrules.problems(scenario),
        *_codec(scenario),
        *radiorules.problems(scenario),
        *timerules.problems(scenario),
        *rankrules.problems(scenario),
        *splitrules.problems(scenario),
    ]


def _files(scenario: Scenario) -> list[Finding]:
    return [Finding(path, why) for path, why in unreadable(scenario)]


def _channel(scenario: Scenario) -> list[Finding]:
    path_loss, shadowing = scenario.channel.path_loss, scenario.channel.shadowing
    if (
        path_loss is None
        or not getattr(shadowing, "needs_sight", False)
        or all(isinstance(path_loss, part) for part in (Sighted, Shadowed))
    ):
        return []
    kinds = [kind for kind, cls in NOUNS["channel.path_loss"].items() if issubclass(cls, Sighted) and _states(cls)]
    message = f"needs a path loss that states it by line of sight ({', '.join(kinds)})"
    got = f"path loss {path_loss.kind}"
    return [_finding("channel.shadowing", message, got, "channel.path_loss", fits="{kind: log_normal}")]


def _states(cls: type) -> bool:
    return all(hasattr(cls, name) for name in ("shadowing_std_db", "shadowing_correlation_distance_m"))


def _recorded(scenario: Scenario) -> list[Finding]:
    """The first recording that does not fit the band it is taken for."""
    recorded, radio, clients = scenario.channel.recorded, scenario.radio, scenario.clients
    if recorded is None or any(unreadable(recorded)):
        return []
    for client in range(1 if recorded.shared else clients.count):
        for direction, band in bands(radio, clients.tx_power_dbm).items():
            try:
                recorded.gains(direction, client, band, radio.rate)
            except FileError as error:
                of_downlink = direction == "down" and recorded.downlink_file is not None
                key = f"channel.recorded.{'downlink_file' if of_downlink else 'file'}"
                return [_finding(key, str(error), "", f"radio.{direction}link.bandwidth", "radio.rate.kind")]
    return []


def _bands(scenario: Scenario) -> list[Finding]:
    radio, pace, found = scenario.radio, pace_of(scenario), list[Finding]()
    least = render(pace.asked * NARROWEST_SHARE_HZ, "Hz")
    if radio.uplink.access == "fdma" and radio.uplink.bandwidth_hz < pace.asked * NARROWEST_SHARE_HZ:
        who = f"{pace.asked} clients" if pace.key == "clients.count" else f"{pace.asked} clients ({pace.key})"
        message = f"must be at least {least}, a subcarrier of 3.75 kHz (NB-IoT, the narrowest) for each of {who}"
        got = render(radio.uplink.bandwidth_hz, "Hz")
        found.append(_finding("radio.uplink.bandwidth", message, got, pace.key, fits=least))
    widest = render(WIDEST_SHARE_OF_CARRIER * radio.carrier_hz, "Hz")
    for direction in ("uplink", "downlink"):
        bandwidth_hz = getattr(radio, direction).bandwidth_hz
        if bandwidth_hz > WIDEST_SHARE_OF_CARRIER * radio.carrier_hz:
            message = f"must be at most {widest}, 20 % of radio.carrier: one gain stands for the band"
            got = render(bandwidth_hz, "Hz")
            found.append(_finding(f"radio.{direction}.bandwidth", message, got, "radio.carrier", fits=widest))
    return found


def _blocks(scenario: Scenario) -> list[Finding]:
    """A loss is counted once: where the rate is always met there is no block to lose."""
    radio, found = scenario.radio, []
    if radio.rate.always_met and radio.retransmission.kind == "harq":
        message = (
            f"harq needs a rate that can fail (radio.rate: {{kind: cqi}}): {radio.rate.kind} knows the SNR and always "
            "meets it, so no block is ever lost; use arq, which sends packets again that are lost elsewhere"
        )
        found.append(_finding("radio.retransmission", message, "", "radio.rate", fits="{kind: arq}"))
    found += _reachable(scenario)
    delay_s = getattr(radio.rate, "delay_s", 0.0)
    if delay_s >= radio.timeout_s:
        message = f"must be below radio.timeout, {render(radio.timeout_s, 's')}: no transfer is on the air so long"
        fits = render(4 * radio.slot_s, "s")
        found.append(_finding("radio.rate.delay", message, render(delay_s, "s"), "radio.timeout", fits=fits))
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
    return [_finding("radio.rate.bler.file", message, "", "radio.rate.target")]


def _csi(scenario: Scenario) -> list[Finding]:
    """CSI of a block needs blocks."""
    schedule, fading, found = scenario.schedule, scenario.channel.fading, []
    moves = "recorded links" if scenario.channel.recorded is not None else f"fading {fading.kind}"
    if schedule.csi == "block" and (scenario.channel.recorded is not None or fading.kind not in HELD_FADING):
        message = (
            f"block is a gain that holds for a while, which needs fading {' or '.join(HELD_FADING)}: with {moves} take "
            "instantaneous (the gain at one moment) or large_scale (the mean over the fading)"
        )
        found.append(_finding("schedule.csi", message, "", "channel", fits="instantaneous"))
    return found


def _times(scenario: Scenario) -> list[Finding]:
    radio, found = scenario.radio, list[Finding]()
    if radio.timeout_s <= radio.slot_s:
        message = f"must be above radio.slot, {render(radio.slot_s, 's')}"
        fits = render(1000 * radio.slot_s, "s")
        found.append(_finding("radio.timeout", message, render(radio.timeout_s, "s"), "radio.slot", fits=fits))
    mobility, placement = scenario.clients.mobility, scenario.clients.placement
    if mobility.kind == "random_waypoint" and getattr(mobility, "speed_mps", 0.0) > 0 and placement.is_point:
        message = "needs a placement with room to walk in; this one is a single point"
        found.append(_finding("clients.mobility", message, "", "clients.placement", fits="{kind: static}"))
    return found


def _protocol(scenario: Scenario) -> list[Finding]:
    """Clients enough for what the protocol asks for."""
    protocol, count = scenario.protocol, scenario.clients.count
    found = []
    for key in ("cohort", "buffer"):
        number = getattr(protocol, key, None)
        if number is not None and number > count:
            why = ": each waits in the buffer once" if key == "buffer" else ""
            message = f"must be at most the {count} clients{why}"
            found.append(_finding(f"protocol.{key}", message, number, "clients.count", fits=count))
    return found


def _paths(scenario: Scenario) -> list[Finding]:
    mobility, count = scenario.clients.mobility, scenario.clients.count
    if not hasattr(mobility, "most_clients"):
        return []
    try:
        most = mobility.most_clients()
    except FileError:  # which `_files` tells
        return []
    if count <= most:
        return []
    message = f"must be at most {most}: that many have a path in clients.mobility"
    return [_finding("clients.count", message, count, "clients.mobility.file", fits=most)]


def _presence(scenario: Scenario) -> list[Finding]:
    """A file of visits names clients that there are."""
    availability, count = scenario.clients.availability, scenario.clients.count
    if not isinstance(availability, Visits) or any(unreadable(availability)):
        return []
    table = availability.load()
    if table.clients <= count:
        return []
    message = (
        f"{availability.file}:{table.highest_line}: client must be below clients.count, {count}: clients are "
        f"numbered from 0; got {table.clients - 1}"
    )
    return [_finding("clients.availability.file", message, "", "clients.count")]


def _codec(scenario: Scenario) -> list[Finding]:
    """A codec finds the pairs of factors that it chooses among, and a method for what it gives and feeds back."""
    method, codec = scenario.method, scenario.codec
    if getattr(method, "own_coding", False) and codec.kind != "dense":
        message = f"must be dense, which writes values: {method.kind} says itself what of an update is sent"
        return [_clashing("codec", message, codec.kind, fits="{kind: dense}")]
    if getattr(method, "renews", False) and codec.error_feedback > 0:
        message = (
            f"must be 0 with method {method.kind}: each aggregation makes new factors, in which what a client left out "
            "of the old ones means nothing"
        )
        return [_clashing("codec.error_feedback", message, f"{codec.error_feedback:g}", fits=0)]
    adapter = None if isinstance(method, NoLearning) else method.adapter()
    if adapter is None:
        return []
    if not adapter.pairs and getattr(codec, "needs_pairs", False):
        fit = [kind for kind, cls in NOUNS["codec"].items() if not getattr(cls, "needs_pairs", False)]
        trained = "B alone" if adapter.frozen else "none"
        message = (
            f"{codec.kind} chooses among pairs of A and B, and {method.kind} trains {trained}: all would be sent "
            f"whole; codecs that fit: {', '.join(fit)}"
        )
        return [_clashing("codec", message, fits=f"{{kind: {fit[0]}}}")]
    both = ("merges_products", "renews")  # then new factors follow from the products alone, in whatever basis
    if not getattr(codec, "gives_products", False) or all(getattr(method, name, False) for name in both):
        return []
    merging = [k for k, cls in NOUNS["method"].items() if all(getattr(cls, name, False) for name in both)]
    fit = [kind for kind, cls in NOUNS["codec"].items() if not getattr(cls, "gives_products", False)]
    message = (
        f"{codec.kind} gives each client's factors in a basis of their own, and {method.kind} merges factors: their "
        f"means would mean nothing; methods that make new factors of products: {', '.join(merging) or 'none'}"
    )
    return [_clashing("codec", message, fits=f"{{kind: {fit[0]}}}")]


def _clashing(key: str, message: str, got: str = "", *, fits: object) -> Finding:
    """A finding of a codec that does not go with the method: the kind of either may be what was not meant."""
    named = {"codec": "codec.kind"}.get(key, key)
    clash = (tuple(named.split(".")), ("codec", "kind"), ("method", "kind"))
    return _finding(key, message, got, "method", fits=fits)._replace(clash=clash)


def resources(scenario: Scenario) -> list[Finding]:
    """What is not on this computer, or what model and data cannot serve; nothing is loaded."""
    if isinstance(scenario.method, NoLearning):
        return []
    return learningrules.resources(scenario) or [*rankrules.budget(scenario), *splitrules.resources(scenario)]
