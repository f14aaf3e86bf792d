"""What is allowed in a scenario and yet seldom meant: notes that `validate` adds to its estimate.

Knows options and the estimate; refuses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from channels.cqi import Cqi
from channels.linkadaptation import Shannon, TruncatedShannon
from channels.options import option_name
from channels.units import render
from wfl_sim import forgotten, leastbudget, pointnames, rankfit
from wfl_sim.diagnose import Locator
from wfl_sim.estimate import ArmEstimate, Estimate
from wfl_sim.methods.none import NoLearning
from wfl_sim.methods.sa_fedlora import SaFedLora
from wfl_sim.methods.soft import Soft
from wfl_sim.methods.split import Split
from wfl_sim.pace import pace_of
from wfl_sim.planning import AT_REST
from wfl_sim.scenario import Scenario, Study
from wfl_sim.updatesizes import one_size

# Above this a plan counts as over its budget: one that is nearer is taken to be at rest, and goes on as it is.
OVER_BUDGET = 1 + AT_REST
# 1024-QAM at rate 948/1024 carries 9.26 bit/s/Hz, which Shannon with a gap of 3 dB passes at 31 dB; the rest is room
# for fading.
OPTIMISTIC_SNR_DB = 35.0
FAR_ABOVE = 2.0  # times a whole update: a payload so large was hardly meant as a limit
MANY_LOST = 0.2  # share of packets


def advice(study: Study, estimate: Estimate) -> list[str]:
    """One sentence for each thing that a newcomer might not have meant, with the arms that it concerns."""
    first = {cell.arm: cell.scenario for cell in reversed(study.cells)}
    notes: dict[str, list[str]] = {}
    for row in estimate.arms:
        locate = study.locators.get(row.arm) or Locator.nowhere()
        for note in (*_notes(first[row.arm], row), *_of_head_only(first[row.arm], locate)):
            notes.setdefault(note, []).append(row.arm)
    everywhere = len(estimate.arms)
    told = [note if len(arms) == everywhere else f"{note} ({pointnames.listed(arms)})" for note, arms in notes.items()]
    return [*told, *_payloads(first, estimate.arms), *forgotten.notes(study)]


def _payloads(scenarios: Mapping[str, Scenario], rows: Sequence[ArmEstimate]) -> list[str]:
    """Where `schedule.payload` does not bring arms to equal bits: no update is so small, or it leaves nothing out.

    The latter is told where it leaves nothing out anywhere; of single arms, where it is far above what they have.
    """
    large: dict[float, dict[str, list[str]]] = {}
    small: dict[float, dict[str, list[str]]] = {}
    limited = {
        most_bits
        for row in rows
        if (most_bits := _payload(scenarios[row.arm])) is not None
        and row.dense_bits > most_bits
        and not one_size(scenarios[row.arm])
    }
    for row in rows:
        most_bits = _payload(scenarios[row.arm])
        if most_bits is None:
            continue
        far = most_bits not in limited or most_bits >= FAR_ABOVE * row.dense_bits
        if row.planned_bits > most_bits:
            large.setdefault(most_bits, {}).setdefault(_rounded(row.planned_bits), []).append(row.arm)
        elif row.dense_bits <= most_bits and far and not one_size(scenarios[row.arm]):
            small.setdefault(most_bits, {}).setdefault(_rounded(row.dense_bits), []).append(row.arm)
    return [
        f"no update is as small as schedule.payload, {render(bits, 'bit')}, in these arms, which do not compare with "
        f"others at equal bits: {_by_size(sizes)}"
        for bits, sizes in large.items()
    ] + [
        f"schedule.payload, {render(bits, 'bit')}, is no less than whole updates take, so nothing is left out: "
        f"{_by_size(sizes)}"
        for bits, sizes in small.items()
    ]


def _payload(scenario: Scenario) -> float | None:
    most_bits: float | None = getattr(scenario.schedule, "payload_bits", None)
    return most_bits


def _rounded(bits: float) -> str:
    return str(render(float(f"{bits:.3g}"), "bit"))


def _by_size(sizes: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{size} ({pointnames.listed(arms)})" for size, arms in sizes.items())


def _whose_size(scenario: Scenario) -> str:
    """Of what updates have one size only; empty where a schedule has a choice."""
    method = scenario.method
    if not one_size(scenario):
        return ""
    if isinstance(method, NoLearning):
        return "method none with one kept fraction"
    if isinstance(method, Split):
        return "method split with one coding"
    return f"codec {scenario.codec.kind}" if method.adapter() else f"method {method.kind}, which has no adapters,"


def _of_head_only(scenario: Scenario, locate: Locator) -> list[str]:
    """A codec that was chosen for a method which leaves it no choice, and is not just what an arm has from the file."""
    method, codec = scenario.method, scenario.codec
    if isinstance(method, NoLearning) or method.adapter() is not None or codec.kind == "dense":
        return []
    if locate.of_arm(("method", "kind")) and not locate.of_arm(("codec", "kind")):
        return []
    return [f"method {method.kind} has no adapters: codec {codec.kind} sends the head whole, as dense does"]


def _unread(scenario: Scenario) -> list[str]:
    """What is stated and nothing reads, each with its reason."""
    channel, air, notes = scenario.channel, scenario.radio, list[str]()
    if channel.recorded is not None and (unread := _changed(channel, "channel", "penetration", "shadowing", "fading")):
        notes.append(f"links are recorded, so nothing reads {', '.join(unread)}")
    if isinstance(scenario.method, NoLearning):
        unread = [*_changed(scenario, "", "learning", "codec"), *_memory(scenario)]
        notes += [f"method none learns nothing, so nothing reads {', '.join(unread)}"] if unread else []
    elif not isinstance(scenario.method, Split) and (unread := _memory(scenario)):
        notes.append(
            f"{', '.join(unread)} bounds the cuts of method split alone (ranks follow that of learning.groups): each "
            "client has its whole model to train, whatever its memory"
        )
    what = "" if isinstance(scenario.method, NoLearning) else _whose_size(scenario)
    if what and isinstance(scenario.method, Soft) and (unread := _changed(scenario.method, "method", "fill")):
        notes.append(f"{what} leaves nothing out, so nothing reads {', '.join(unread)}")
    if what and (unread := _changed(scenario.schedule, "schedule", "surrogate", "importance", "kept_fraction")):
        notes.append(f"{what} has one size only, so nothing reads {', '.join(unread)}")
    method, last = scenario.method, scenario.rounds - 1
    if isinstance(method, SaFedLora) and method.rank_at(last, scenario.rounds) == method.rank > method.rank_end:
        notes.append(
            f"the rank of {method.kind} never falls: method.initiating_rounds and method.heat take all of {last + 1} "
            "rounds"
        )
    if getattr(scenario.method, "orthogonality", 1.0) == 0 and (
        unread := _changed(scenario.method, "method", "penalty")
    ):
        notes.append(f"the penalty counts nothing with method.orthogonality 0, so nothing reads {', '.join(unread)}")
    if air.uplink.access != "ofdma" and (unread := _changed(air.uplink, "radio.uplink", "scheduler", "averaging_s")):
        notes.append(f"the uplink has no scheduler under {air.uplink.access}, so nothing reads {', '.join(unread)}")
    if air.uplink.access == "ofdma" and (unread := _changed(air.uplink, "radio.uplink", "work_conserving")):
        notes.append(f"nothing stays idle under ofdma, so nothing reads {', '.join(unread)}")
    if air.downlink.access == "broadcast":
        names = ("scheduler", "averaging_s", "resource_block_hz")
        if unread := _changed(air.downlink, "radio.downlink", *names):
            notes.append(f"a broadcast has no scheduler, so nothing reads {', '.join(unread)}")
    elif unread := _changed(air.downlink, "radio.downlink", "coverage"):
        notes.append(f"unicast sends to each client at its own rate, so nothing reads {', '.join(unread)}")
    return notes


def _memory(scenario: Scenario) -> list[str]:
    """The memory of devices, by its keys, if any is stated."""
    compute = scenario.clients.compute
    found = _changed(compute, "clients.compute", "memory_bits")
    return found or ["clients.compute.classes.memory"] * any(one.memory_bits is not None for one in compute.classes)


def _changed(options: Any, key: str, *names: str) -> list[str]:
    """Those of the named options that are not at their default, by their keys."""
    prefix = f"{key}." if key else ""
    found = [item for item in fields(options) if item.name in names and getattr(options, item.name) != item.default]
    return [f"{prefix}{option_name(item.name)}" for item in found]


def _notes(scenario: Scenario, row: ArmEstimate) -> list[str]:
    notes = list(row.warnings)
    if scenario.rank_selection is not None:
        ranks = ", ".join(map(str, scenario.rank_selection.candidates))
        notes.append(
            f"estimated with method.rank as it is written, {getattr(scenario.method, 'rank', '')}, and without pilots: "
            f"a run chooses among {ranks} (rank_selection)"
        )
    if ranks_that_fit := rankfit.note(scenario):
        notes.append(ranks_that_fit)
    budget_s, whole = scenario.schedule.latency_budget, _whose_size(scenario)
    impossible = leastbudget.note(scenario)
    if impossible is not None:
        notes.append(impossible)
    elif budget_s is not None and row.round_s > OVER_BUDGET * budget_s:
        sparser = (
            "lower schedule.v or raise schedule.queue_start (both make updates sparser from the start), or ask for less"
        )
        notes.append(
            f"the mean round is planned longer than the latency budget of {budget_s:g} s: "
            f"{'make updates smaller' if whole else sparser}"
        )
    if budget_s is not None and whole:
        notes.append(f"{whole} has one size only, so the schedule can adapt nothing but bandwidths{_way_out(scenario)}")
    measures = getattr(scenario.schedule, "measures", False)
    choice = isinstance(scenario.method, NoLearning) or not whole
    silent = isinstance(scenario.method, NoLearning), hasattr(scenario.method, "stage")
    if measures and choice and (any(silent) or not hasattr(scenario.codec, "curve")):
        what = "a run without learning" if silent[0] else f"codec {scenario.codec.kind}"
        what = f"method {scenario.method.kind}, whose updates change from round to round," if silent[1] else what
        notes.append(
            f"{what} measures no errors of updates, so the schedule plans with surrogate contraction, and counts all "
            "clients alike"
        )
    fading, mobility = scenario.channel.fading, scenario.clients.mobility
    recorded = scenario.channel.recorded is not None
    notes += _unread(scenario)
    still = not recorded and mobility.is_still and getattr(fading, "doppler_hz", 0.0) is None
    if still:
        notes.append(
            f"clients stand still, so {fading.kind} fading never changes: each keeps one lucky or unlucky gain; set "
            "channel.fading.doppler (people and machines moving about: 1 to 10 Hz) or {kind: none}"
        )
    if row.median is not None and scenario.radio.rate.kind == "shannon":
        # In an even share: what a schedule grants says more of the schedule than of powers and gains.
        even_hz = scenario.radio.uplink.bandwidth_hz / pace_of(scenario).asked
        if row.median.snr_db + 10 * math.log10(row.median.bandwidth_hz / even_hz) > OPTIMISTIC_SNR_DB:
            notes.append(
                f"the median client has a mean SNR above {OPTIMISTIC_SNR_DB:g} dB in an even share of the band, where "
                "Shannon's rate is more than any modem reaches; check powers, gains and path loss"
            )
    return notes + _about_presence(scenario) + _about_blocks(scenario, row) + _about_the_plan(scenario, row)


def _way_out(scenario: Scenario) -> str:
    """How updates could get a choice of sizes, if they could."""
    method = scenario.method
    if isinstance(method, NoLearning):
        return "; state method.kept_fractions"
    if isinstance(method, Split):
        return "; state several method.codings"
    adapter = method.adapter()
    if adapter is None:
        return ""
    waits = adapter.pairs and not getattr(method, "renews", False)
    return f"; try codec topk{' or rotated' if waits else ''}"


def _about_presence(scenario: Scenario) -> list[str]:
    """What a plan leaves out, as it takes everyone to be there."""
    share, churn = scenario.clients.availability.mean_share, scenario.clients.churn
    notes = []
    if share < 1.0:
        notes.append(
            f"the plan takes all clients to be there; {share:.2g} of them are in the mean (clients.availability)"
        )
    if churn is not None and (churn.join_s > 0.0 or churn.stay_s is not None):
        notes.append("the plan takes all clients to be there from the beginning to the end, without clients.churn")
    return notes


def _about_blocks(scenario: Scenario, row: ArmEstimate) -> list[str]:
    """Where the rate may be the wrong one for what it meets."""
    radio, worst, notes = scenario.radio, row.worst, list[str]()
    if worst is None:
        return notes
    rate = radio.rate
    if isinstance(rate, Shannon):
        return notes
    floor_db = rate.floor_db if isinstance(rate, TruncatedShannon) else 10 * math.log10(float(rate.snr_for(1e-3)))
    widest_hz = radio.uplink.bandwidth_hz if radio.uplink.work_conserving else worst.bandwidth_hz
    snr_db = worst.snr_db - 10 * math.log10(widest_hz / worst.bandwidth_hz)
    if snr_db < floor_db:
        notes.append(
            f"the worst client's mean SNR is {snr_db:.0f} dB in the widest band that it may get, below the "
            f"{floor_db:.0f} dB from which on {rate.kind} sends anything; narrow radio.uplink.bandwidth, or set "
            "radio.uplink.work_conserving to false"
        )
    elif isinstance(rate, Cqi) and radio.retransmission.rounds == 1:
        symbols = worst.bandwidth_hz * (1 - radio.uplink.overhead) * radio.slot_s
        parts = radio.packet_bits / (symbols * max(float(rate.efficiency(10 ** (worst.snr_db / 10))), 0.1))
        packets_lost = 1 - (1 - rate.target) ** parts
        if packets_lost > MANY_LOST:
            notes.append(
                f"a packet of the worst client takes {parts:.0f} blocks; {rate.target:.0%} of these are lost, "
                f"and a packet with any of its blocks ({packets_lost:.0%}); harq as radio.retransmission repairs blocks"
            )
    return notes


def _about_the_plan(scenario: Scenario, row: ArmEstimate) -> list[str]:
    """Where the estimate is rougher than elsewhere, and what it found of a deadline."""
    air, pace, notes = scenario.radio, pace_of(scenario), list[str]()
    shared = [
        f"radio.{name}.access {direction.access}"
        for name, direction, access in (("uplink", air.uplink, "ofdma"), ("downlink", air.downlink, "unicast"))
        if direction.access == access
    ]
    if shared:
        notes.append(
            f"{' and '.join(shared)}: planned with an equal share for each; what a scheduler wins by the fading is "
            "not in the estimate"
        )
    if isinstance(scenario.method, Split):
        free = air.uplink.access == "ofdma" or air.uplink.work_conserving
        notes.append(
            "computing in split training is all of a round's steps but what goes up, with the server's part, the wait "
            "for it and the gradients; planned as if half of the others were served before each, whatever the order"
            + (", and without the band that others leave idle between steps: rounds are often shorter" if free else "")
        )
    if pace.arrivals is not None:
        notes.append(
            f"without rounds, {pace.arrivals} arrivals count as one: planned as a steady state of {pace.asked} clients "
            "under way"
        )
    if row.late:
        notes.append(
            f"{row.late:.0%} of the uploads are planned to end after the deadline of {pace.deadline_s:g} s: ask for "
            "less, or widen radio.uplink.bandwidth"
        )
    return notes
