"""Rules that join several keys of a scenario, each told at the key that should change.

Knows options and what can be learnt of models and data without loading them; runs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from channels.units import render
from wfl_sim.errors import MissingResource

if TYPE_CHECKING:
    from wfl_sim.scenario import Scenario

# The narrowest band that a cellular standard grants: one NB-IoT subcarrier (3GPP TS 36.211, clause 10.1.2.3).
NARROWEST_SHARE_HZ = 3.75e3
# Above this share of the carrier a signal counts as ultra-wideband (47 CFR 15.503(d)), and one gain at the carrier
# no longer stands for the band.
WIDEST_SHARE_OF_CARRIER = 0.2


class Finding(NamedTuple):
    """What a rule found: the key to change, what is wrong with it, and the other keys that the rule has read."""

    path: tuple[str, ...]
    message: str
    read: tuple[tuple[str, ...], ...] = ()


def _finding(key: str, message: str, *read: str) -> Finding:
    return Finding(tuple(key.split(".")), message, tuple(tuple(other.split(".")) for other in read))


def physics(scenario: Scenario) -> list[Finding]:
    """What does not go together in the scenario itself."""
    return [*_bands(scenario), *_times(scenario), *_examples(scenario)]


def _bands(scenario: Scenario) -> list[Finding]:
    radio, clients = scenario.radio, scenario.clients.count
    found = []
    least_hz = clients * NARROWEST_SHARE_HZ
    if radio.uplink.bandwidth_hz < least_hz:
        found.append(
            _finding(
                "radio.uplink.bandwidth",
                f"must be at least {render(least_hz, 'Hz')}, a subcarrier of 3.75 kHz (the narrowest, of NB-IoT) for "
                f"each of {clients} clients; got {render(radio.uplink.bandwidth_hz, 'Hz')}",
                "clients.count",
            )
        )
    widest_hz = WIDEST_SHARE_OF_CARRIER * radio.carrier_hz
    for direction in ("uplink", "downlink"):
        bandwidth_hz = getattr(radio, direction).bandwidth_hz
        if bandwidth_hz > widest_hz:
            found.append(
                _finding(
                    f"radio.{direction}.bandwidth",
                    f"must be at most {render(widest_hz, 'Hz')}, 20 % of radio.carrier: one gain stands for the band; "
                    f"got {render(bandwidth_hz, 'Hz')}",
                    "radio.carrier",
                )
            )
    return found


def _times(scenario: Scenario) -> list[Finding]:
    radio, budget_s = scenario.radio, scenario.schedule.latency_budget
    found = []
    least_s = scenario.clients.compute.median_s + 2 * radio.latency_s
    if budget_s is not None and budget_s <= least_s:
        found.append(
            _finding(
                "schedule.latency_budget",
                f"must be above {render(least_s, 's')}, what computing and latency take before a bit is sent "
                f"(clients.compute, 2 x radio.latency); got {render(budget_s, 's')}",
                "clients.compute",
                "radio.latency",
            )
        )
    if radio.timeout_s <= radio.slot_s:
        found.append(
            _finding(
                "radio.timeout",
                f"must be above radio.slot ({render(radio.slot_s, 's')}); got {render(radio.timeout_s, 's')}",
                "radio.slot",
            )
        )
    mobility = scenario.clients.mobility
    if (
        mobility.kind == "random_waypoint"
        and getattr(mobility, "speed_mps", 0.0) > 0
        and scenario.clients.placement.is_point
    ):
        message = "needs a placement with room to walk in; this one is a single point"
        found.append(_finding("clients.mobility", message, "clients.placement"))
    return found


def _examples(scenario: Scenario) -> list[Finding]:
    data, clients = scenario.learning.data, scenario.clients.count
    if clients > data.train:
        message = f"must be at most the {data.train} training examples; got {clients}"
        return [_finding("clients.count", message, "learning.data.train")]
    least = getattr(data.partition, "least", 1)
    if least * clients > data.train:
        return [
            _finding(
                "learning.data.partition.least",
                f"must be at most {data.train // clients}: {clients} clients share {data.train} examples; got {least}",
                "clients.count",
                "learning.data.train",
            )
        ]
    return []


def resources(scenario: Scenario) -> list[Finding]:
    """What is not on this computer, or what model and data cannot serve; nothing is loaded."""
    return [*_model(scenario), *_data(scenario)]


def _model(scenario: Scenario) -> list[Finding]:
    from wfl_sim.learning.sources import model_info

    model, adapter = scenario.learning.model, scenario.method.adapter()
    try:
        info = model_info(model.name)
    except MissingResource as error:
        return [_finding("learning.model.name", str(error))]
    found = []
    if adapter is not None and adapter.rank > info.hidden:
        message = f"must be at most {info.hidden}, the width of the layers; got {adapter.rank}"
        found.append(_finding("method.rank", message, "learning.model.name"))
    if model.layers is not None and model.layers > info.layers:
        message = f"must be at most {info.layers}, the model's depth; got {model.layers}"
        found.append(_finding("learning.model.layers", message, "learning.model.name"))
    return found


def _data(scenario: Scenario) -> list[Finding]:
    from wfl_sim.learning.data import check_sizes

    try:
        return [_finding(*found, "learning.data") for found in check_sizes(scenario.learning.data)]
    except MissingResource as error:
        return [_finding("learning.data.name", str(error))]
