from __future__ import annotations

import numpy as np
import pytest

from channels.links import Links
from channels.streams import Stream
from wfl_sim.contracts import Point
from wfl_sim.engine import simulate
from wfl_sim.scenario import parse
from wfl_sim.trace import named

SCENARIO = """
schema_version: 1
name: common
seeds: [{seed}]
rounds: {rounds}
radio: {{uplink: {{bandwidth: 2 MHz}}, retransmission: {{attempts: 8}}}}
channel:
  path_loss: {{kind: uma}}
  loss: {{kind: independent, probability: 0.1, origin: interference}}
clients:
  count: 4
  placement: {{kind: disc, from: 50 m, to: 400 m}}
  mobility: {{kind: random_waypoint, speed: 10 m/s}}
  compute: {{time: 300 ms, jitter: 0.1}}
method: {method}
codec: {codec}
schedule: {schedule}
"""
BASE = {
    "seed": 3,
    "rounds": 3,
    "method": "{kind: fedavg, rank: 8}",
    "codec": "{kind: dense}",
    "schedule": "{kind: equal}",
}
ARMS = {
    "the same again": {},
    "method": {"method": "{kind: head_only}"},
    "codec": {"codec": "{kind: topk}"},
    "schedule": {"schedule": "{kind: min_max, kept_fraction: 0.5}"},
    "tsfa": {"schedule": "{kind: tsfa, latency_budget: 700 ms, queue_start: 1, csi: instantaneous}"},
    "rounds": {"rounds": 5},
}


@pytest.fixture(scope="module")
def run_arm(stub_work):
    """Simulate one arm with stub work; its medium and its rows."""

    def run(work=None, **changes):
        scenario = parse(SCENARIO.format(**(BASE | changes))).cells[0].scenario
        rows, answers, gain = [], [], Links.gain

        def told(self, times_s, clients=None, **how):
            answers.append((np.array(times_s), np.array(clients), gain(self, times_s, clients, **how)))
            return answers[-1][-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Links, "gain", told)
            medium = simulate(scenario, work or stub_work(), lambda *row: rows.append(row))
        return medium, rows, answers

    return run


@pytest.fixture(scope="module")
def base(run_arm):
    return run_arm()


def draws(medium):
    """Gains of all clients over 20 s, large-scale and whole, and the losses of packets that end then."""
    times_s = np.arange(0.0, 20.0, 0.0137)
    stream, attempts = Stream.root(3).child("channel").child("loss").child("up"), np.arange(times_s.size)
    lost = medium.loss.lost(stream, np.arange(4)[:, None], attempts, times_s)
    return medium.links.large_scale_db(times_s), medium.links.gain(times_s), lost


@pytest.mark.parametrize("arm", ARMS)
def test_arms_see_the_same_air(run_arm, base, arm):
    medium, rows, answers = run_arm(**ARMS[arm])
    for ours, theirs in zip(draws(medium), draws(base[0]), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # what this run used is what the other would have been told: the gains are not drawn, but looked up
    assert {int(client) for _, clients, _ in answers for client in clients} == {0, 1, 2, 3}
    assert sum(times_s.size for times_s, _, _ in answers) > 1000
    for times_s, clients, gain in answers:
        every = base[0].links.gain(times_s, clients=clients)
        np.testing.assert_array_equal(gain.reshape(every.shape), every)
    if arm in ("the same again", "method", "codec"):  # the stub's payloads do not change with these
        assert rows == base[1]
    elif arm == "rounds":
        assert rows[:3] == base[1] and len(rows) == 5
    else:
        assert rows != base[1]


def test_another_payload_leaves_the_air_as_it_is(run_arm, base, stub_work):
    medium, rows, _ = run_arm(work=stub_work(dense_bytes=20_000, downlink_bytes=10_000))
    for ours, theirs in zip(draws(medium), draws(base[0]), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    ours, theirs = ([named("decisions", d)["compute_s"] for row in made for d in row[2]] for made in (rows, base[1]))
    assert ours == theirs


def test_another_seed_is_another_air(run_arm, base):
    medium, rows, _ = run_arm(seed=4)
    for ours, theirs in zip(draws(medium)[:2], draws(base[0])[:2], strict=True):
        assert np.mean(ours == theirs) < 1e-3
    assert rows != base[1]


def test_the_stub_is_asked_for_what_the_schedule_chose(run_arm, stub_work):
    class Watched(stub_work):
        encoded: tuple = ()

        def encode(self, client, point):
            self.encoded = (*self.encoded, (client, point))
            return super().encode(client, point)

    work = Watched()
    _, rows, _ = run_arm(work=work, schedule="{kind: min_max, kept_fraction: 0.25}", rounds=1)
    assert {client for client, _ in work.encoded} == {0, 1, 2, 3}
    assert {point for _, point in work.encoded} == {Point(0.25, 200_000, 0.75)}
    assert rows[0][0]["kept_fraction_mean"] == 0.25
