"""Scenarios that choose a rate, a block error model and a retransmission: what goes together, and what it plans."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from wfl_sim.advice import advice
from wfl_sim.errors import ScenarioError
from wfl_sim.estimate import estimate
from wfl_sim.scenario import load, parse, to_yaml

SCENARIO = """\
schema_version: 1
name: rates
rounds: 3
radio:
  uplink: {{bandwidth: 2 MHz}}
  rate: {rate}
  retransmission: {retransmission}
channel: {{path_loss: {{kind: uma}}, fading: {{kind: rayleigh, doppler: 10 Hz}}}}
clients: {{count: 3, placement: {{kind: line, from: 100 m, to: {far}}}, compute: {{time: 300 ms}}}}
method: {{kind: fedavg, rank: 4}}
codec: {{kind: topk}}
schedule: {schedule}
"""
RATES = [
    "{kind: shannon}",
    "{kind: truncated_shannon}",
    "{kind: cqi, bler: {kind: outage}}",
    "{kind: cqi, target: 20 %}",
]
HARQ = "{kind: harq, combining: chase, rounds: 3}"
SCHEDULES = [
    "{kind: equal}",
    "{kind: min_max, csi: instantaneous}",
    "{kind: tsfa, latency_budget: 900 ms, queue_start: 1}",
]


def text(rate="{kind: shannon}", retransmission="{kind: arq}", schedule="{kind: equal}", far="400 m"):
    return SCENARIO.format(rate=rate, retransmission=retransmission, schedule=schedule, far=far)


def problem(source):
    with pytest.raises(ScenarioError) as caught:
        parse(source)
    assert len(caught.value.args) == 1
    return caught.value.args[0]


@pytest.mark.parametrize(("rate", "schedule"), list(product(RATES, SCHEDULES)))
def test_every_rate_can_be_planned_by_every_schedule(rate, schedule):
    retransmission = HARQ if "cqi" in rate else "{kind: arq}"
    study = parse(text(rate, retransmission, schedule))
    arm = estimate(study, jobs=1).arms[0]
    assert arm.worst is not None and np.isfinite(arm.round_s) and arm.planned_bits > 0
    assert 0 < arm.worst.air_s < 60 and arm.worst.bandwidth_hz > 0
    again = parse(to_yaml(study.cells[0].scenario))
    assert again.cells[0].scenario == study.cells[0].scenario


def test_a_slower_rate_is_planned_slower():
    times = [estimate(parse(text(rate)), jobs=1).arms[0].round_s for rate in RATES[:2]]
    assert times[0] < times[1]


@pytest.mark.parametrize("rate", RATES[:2])
def test_harq_needs_a_rate_that_can_fail(rate):
    found = problem(text(rate, HARQ))
    assert (found.key, found.line) == ("radio.retransmission", 7)
    assert "always meets it, so no block is ever lost; use arq" in found.message
    assert found.example == "retransmission: {kind: arq}"


def test_a_block_error_model_needs_a_rate_that_can_fail():
    found = problem(text("{kind: shannon, bler: {kind: outage}}"))
    assert (found.key, found.line) == ("radio.rate.bler", 6)
    assert found.message == "is no key of this kind, but of cqi"


def test_a_block_error_model_is_named_by_its_kind():
    found = problem(text("{kind: cqi, bler: {kind: outag}}", HARQ))
    assert (found.key, found.near) == ("radio.rate.bler.kind", "outage")
    assert found.rule == "kinds: finite_blocklength, table, outage"
    assert problem(text("{kind: cqi, bler: {kind: table}}", HARQ)).key == "radio.rate.bler.file"
    assert parse(text("{kind: cqi, bler: {gap: 2 dB}}", HARQ)).cells[0].scenario.radio.rate.bler.gap_db == 2.0


def test_a_report_older_than_any_transfer_is_refused():
    found = problem(text("{kind: cqi, delay: 601 s}", HARQ))
    assert found.key == "radio.rate.delay"
    assert found.message.startswith("must be below radio.timeout, 600 s")


def test_a_table_is_found_beside_the_scenario_and_located_when_wrong(tmp_path):
    path = tmp_path / "rates.yaml"
    path.write_text(text("{kind: cqi, bler: {kind: table, file: bler.csv}}", HARQ))
    with pytest.raises(ScenarioError) as caught:
        load(path)
    assert caught.value.args[0].key == "radio.rate.bler.file" and "cannot be read" in str(caught.value)
    (tmp_path / "bler.csv").write_text("cqi,snr_db,bler\n1,0,2\n")
    with pytest.raises(ScenarioError, match=r"bler\.csv:2: bler must be in \[0, 1\]; got 2"):
        load(path)
    (tmp_path / "bler.csv").write_text("cqi,snr_db,bler\n1,-6,1\n1,-5,0.5\n2,0,0.75\n")
    with pytest.raises(ScenarioError) as caught:
        load(path)
    (found,) = caught.value.args
    assert (found.key, found.line) == ("radio.rate.bler.file", 6)
    assert "no CQI reaches the target of radio.rate.target, 0.1: the least BLER in " in found.message
    assert found.message.endswith("is 0.5; raise the target, or add rows of higher SNR")
    assert load(path, ["radio.rate.target=50 %"])
    (tmp_path / "bler.csv").write_text("cqi,snr_db,bler\n1,-6,1\n1,-5,0\n")
    assert estimate(load(path), jobs=1).arms[0].worst is not None


def notes(source):
    study = parse(source)
    return " ".join(advice(study, estimate(study, jobs=1)))


def test_advice_on_rates_that_do_not_fit_the_link():
    assert "below the -10 dB from which on truncated_shannon sends anything" in notes(text(RATES[1], far="9 km"))
    assert "from which on cqi sends anything" in notes(text(RATES[3], HARQ, far="9 km"))
    lossy = notes(text(RATES[3]))
    assert "harq as radio.retransmission repairs blocks" in lossy and "20% of these are lost" in lossy
    for source in (text(RATES[3], HARQ), text(RATES[1]), text(RATES[0], far="9 km")):
        assert "sends anything" not in notes(source) and "repairs blocks" not in notes(source)
