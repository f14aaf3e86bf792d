from __future__ import annotations

import pytest

from channels.fading import Rayleigh
from wfl_sim.devices import Compute
from wfl_sim.errors import ScenarioError
from wfl_sim.protocols.deadline import Deadline
from wfl_sim.protocols.staleness import Polynomial
from wfl_sim.protocols.sync import Sync
from wfl_sim.radio.options import Downlink, Radio, Uplink
from wfl_sim.scenario import parse

SUM = 1e-12  # relative: sums of tens of floats
LATENCY_S, DOWN_S, COMPUTE_S = 0.01, 0.1, 0.4
BEGIN_S = DOWN_S + LATENCY_S + COMPUTE_S  # of an upload after a broadcast; three side by side take 0.3 s


class Slow(Compute):
    """Client 2 takes 1 s, the others the time that is stated."""

    def seconds(self, stream, clients, round_):
        times_s = super().seconds(stream, clients, round_)
        times_s[clients == 2] = 1.0
        return times_s


def of(rows, **wanted):
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_a_round_of_those_who_make_it_is_the_synchronous_one(act):
    late, wait = act(Deadline(deadline_s=5.0), rounds=3), act(Sync(), rounds=3)
    assert (late.rounds, late.transmissions, late.decisions) == (wait.rounds, wait.transmissions, wait.decisions)
    assert late.work.factors == [None] * 3


def test_an_upload_that_is_late_ends_at_the_deadline_and_its_change_goes_back(act):
    deadline_s = BEGIN_S + 0.2 + LATENCY_S
    out = act(Deadline(deadline_s=deadline_s), clients=3, rounds=2)
    for row in out.rounds:
        assert row["t_end_s"] - row["t_start_s"] == pytest.approx(deadline_s, rel=SUM)
        assert (row["delivered"], row["dropped"], row["late"]) == (0, 0, 3)
    for t in of(out.transmissions, direction="up"):
        assert (t["outcome"], t["reason"]) == ("dropped", "deadline")
        assert t["sent_bits"] == pytest.approx(2 / 3 * t["payload_bits"], rel=1e-4)  # rounded to whole bits
    assert [call for call in out.work.calls if call[0] == "lost"] == [("lost", c) for c in (0, 1, 2)] * 2
    assert out.work.aggregated == [{}, {}]


def test_who_still_computes_at_the_deadline_stops_then(act):
    out = act(Deadline(deadline_s=0.9), compute=Slow(time_s=COMPUTE_S), rounds=2)
    for row in out.rounds:
        assert row["t_end_s"] - row["t_start_s"] == pytest.approx(0.9, rel=SUM)
        assert (row["delivered"], row["dropped"], row["late"]) == (2, 0, 1)
        (decision,) = of(out.decisions, round=row["round"], client=2)
        stopped_s = decision["compute_start_s"] + decision["compute_s"]
        assert stopped_s == pytest.approx(row["t_end_s"], rel=SUM)
        assert decision["compute_energy_j"] == pytest.approx(2.0 * decision["compute_s"], rel=SUM)
    assert of(out.transmissions, client=2) == [] and ("stopped", 2) in out.work.calls
    assert not [call for call in out.work.calls if call[0] == "lost"]
    assert [sorted(arrivals) for arrivals in out.work.aggregated] == [[0, 1]] * 2


def test_who_is_carried_arrives_later_and_counts_by_its_age(act):
    protocol = Deadline(deadline_s=0.9, late="carry", staleness=Polynomial(exponent=2.0))
    out = act(protocol, compute=Slow(time_s=COMPUTE_S), rounds=4)
    # 2 sends from 1.11 to 1.41 s, while round 2 begins at 0.9 s: its clients 0 and 1 have a third of the band each
    (up,) = of(out.transmissions, client=2, round=2)
    assert up["t_request_s"] == pytest.approx(DOWN_S + LATENCY_S + 1.0, rel=SUM) and up["outcome"] == "delivered"
    assert [d["client"] for d in of(out.decisions, round=2)] == [0, 1], "who is busy is not asked"
    assert [d["client"] for d in of(out.decisions, round=3)] == [0, 1, 2]
    assert [sorted(arrivals) for arrivals in out.work.aggregated[:2]] == [[0, 1], [0, 1, 2]]
    assert out.work.factors[0] is None
    assert out.work.factors[1] == pytest.approx({0: 1.0, 1: 1.0, 2: 2.0**-2}, rel=SUM)  # one version behind
    assert [row["staleness_mean"] for row in out.rounds[:2]] == pytest.approx([0.0, 1 / 3], rel=SUM)
    assert [(row["delivered"], row["late"]) for row in out.rounds[:2]] == [(2, 1), (3, 0)]
    assert not [call for call in out.work.calls if call[0] == "lost"]
    # and a round of which nobody is outstanding ends before its deadline, though it waited for the carried one no more
    ends_s = [t["t_end_s"] for t in of(out.transmissions, round=2, direction="up") if t["client"] != 2]
    assert out.rounds[1]["t_end_s"] == pytest.approx(max(ends_s) + LATENCY_S, rel=SUM)


def test_a_broadcast_that_reaches_nobody_in_time_is_a_row(act, stub_work):
    for late in ("drop", "carry"):
        work = stub_work(downlink_bytes=125_000)  # 1 s
        out = act(Deadline(deadline_s=0.7, late=late), rounds=2, work=work)
        assert [(row["delivered"], row["dropped"], row["late"]) for row in out.rounds] == [(0, 0, 3)] * 2
        assert [row["t_end_s"] for row in out.rounds] == pytest.approx([0.7, 1.4], rel=SUM)
        assert work.calls == [] and out.state.busy == {}
    deaf = act(Deadline(deadline_s=0.7), rounds=2, deaf=(0, 1, 2))
    assert [(row["delivered"], row["dropped"], row["late"]) for row in deaf.rounds] == [(0, 3, 0)] * 2


def test_over_the_real_medium_what_arrives_has_arrived_in_time(play):
    radio = Radio(uplink=Uplink(bandwidth_hz=1e6), downlink=Downlink(), latency_s=0.005)
    for late in ("drop", "carry"):
        out = play(clients=4, rounds=4, from_m=100.0, to_m=900.0, radio=radio, fading=Rayleigh(doppler_hz=5.0),
                   protocol=Deadline(deadline_s=1.2, late=late))  # fmt: skip
        assert sum(row["late"] for row in out.rounds) > 0 < sum(row["delivered"] for row in out.rounds)
        for row in out.rounds:
            assert row["t_end_s"] - row["t_start_s"] <= 1.2 * (1 + SUM)
            for t in of(out.transmissions, round=row["round"], outcome="delivered"):
                assert t["t_end_s"] + 0.005 <= row["t_end_s"] * (1 + SUM)
        assert out.rounds[-1]["uplink_bits"] == sum(t["sent_bits"] for t in of(out.transmissions, direction="up"))


SCENARIO = """\
schema_version: 1
name: late
rounds: 1
radio: {latency: 10 ms}
channel: {path_loss: {kind: uma}}
clients: {count: 3, placement: {kind: disc, to: 100 m}, compute: {time: 300 ms}}
method: {kind: fedavg}
"""


@pytest.mark.parametrize(("protocol", "key", "message"), [
    ("{kind: deadline, deadline: 320 ms}", "protocol.deadline", "must be above 320 ms"),
    ("{kind: sync, cohort: 4}", "protocol.cohort", "at most the 3 clients"),
    ("{kind: deadline, deadline: 1 s, cohort: 9}", "protocol.cohort", "at most the 3 clients"),
    ("{kind: buffered, buffer: 4}", "protocol.buffer", "each waits in the buffer once"),
])  # fmt: skip
def test_what_cannot_work_is_a_located_error_before_the_run(protocol, key, message):
    with pytest.raises(ScenarioError) as caught:
        parse(SCENARIO + f"protocol: {protocol}\n")
    (problem,) = caught.value.args
    assert (problem.key, problem.line) == (key, 8) and message in str(caught.value)
