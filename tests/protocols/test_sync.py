from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from channels.erasure import IndependentLoss
from channels.fading import BlockRayleigh, Rayleigh
from channels.streams import Stream
from wfl_sim.devices import Compute
from wfl_sim.protocols.sync import Sync
from wfl_sim.radio.options import Arq, NoiseFigure, Radio, Uplink
from wfl_sim.schedules.equal import Equal
from wfl_sim.schedules.min_max import MinMax
from wfl_sim.schedules.tsfa import TSFA, solve
from wfl_sim.trace import TABLES

EXACT = 1e-9  # relative: what the project promises for a link of fixed rate; sums of slots in float64 leave 1e-13
PROMISED = 1e-9  # relative: what the project promises for a planned time
ROUNDED_DB = 1e-9  # in dB: logarithms of quotients of floats
SUM = 1e-12  # relative: sums of tens of floats


class Loses:
    """A loss model that loses every packet of some clients in one direction, told by the stream it is given."""

    kind, mean_loss, in_time = "some", 0.5, False

    def __init__(self, direction, *clients):
        self.direction, self.clients = direction, clients

    def lost(self, stream, clients, attempts, times_s):
        here = stream == Stream.root(1).child("channel").child("loss").child(self.direction)
        return here & np.isin(clients, self.clients) & np.ones(np.broadcast(attempts, times_s).shape, dtype=bool)


@dataclass
class Recorded:
    """A schedule that writes down what it was asked, in front of the real one."""

    inner: Any
    asked: list = field(default_factory=list)

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def decide(self, now_s, air, requests, in_flight, state):
        decisions, after = self.inner.decide(now_s, air, requests, in_flight, state)
        self.asked.append((now_s, air, requests, dict(state), decisions))
        return decisions, after


def rate_bps(power_w, figure_db, bandwidth_hz, overhead, distance_m):
    """(1 - overhead) b log2(1 + P g / (k T0 F b gap)), at the gains that `play` sets up and a gap of 3 dB."""
    gain_db = 8 - 40 - 35 * math.log10(distance_m)
    snr = power_w * 10 ** (gain_db / 10) / (1.380649e-23 * 290 * 10 ** (figure_db / 10) * bandwidth_hz)
    return (1 - overhead) * bandwidth_hz * math.log2(1 + snr / 10**0.3)


def test_the_round_time_of_one_client_at_a_fixed_rate(play, stub_work):
    radio = Radio(
        uplink=Uplink(bandwidth_hz=3e6, overhead=0.1, work_conserving=False),
        noise_figure=NoiseFigure(base_station_db=4.0, client_db=8.0),
        packet_bits=9_000,
        header_bits=400,
        latency_s=0.007,
    )
    work = stub_work(dense_bytes=123_457, downlink_bytes=654_321)
    out = play(radio=radio, from_m=350.0, rounds=3, work=work, compute=Compute(time_s=0.35))
    up_bits, down_bits = 8 * 123_457, 8 * 654_321
    up_bits += math.ceil(up_bits / 8_600) * 400
    down_bits += math.ceil(down_bits / 8_600) * 400
    down_w = 10 ** (43 / 10) / 1000  # the default 43 dBm, over 10 MHz with an overhead of 14 %
    expected_s = (
        down_bits / rate_bps(down_w, 8.0, 10e6, 0.14, 350.0) + 0.35 + up_bits / rate_bps(0.2, 4.0, 3e6, 0.1, 350.0)
    ) + 2 * 0.007
    for number, row in enumerate(out.rounds, start=1):
        assert row["round"] == number
        assert row["t_end_s"] - row["t_start_s"] == pytest.approx(expected_s, rel=EXACT)
        assert row["t_end_s"] == pytest.approx(number * expected_s, rel=EXACT)
        assert (row["uplink_bits"], row["downlink_bits"]) == (number * up_bits, number * down_bits)
        assert (row["delivered"], row["dropped"], row["deferred"]) == (1, 0, 0)


def test_rows_have_the_columns_of_the_trace_and_agree(play):
    out = play(clients=4, from_m=100.0, to_m=400.0, rounds=3, schedule=MinMax(kept_fraction=0.5))
    for table, rows in (("rounds", out.rounds), ("transmissions", out.transmissions), ("decisions", out.decisions)):
        assert all(set(row) == {column.name for column in TABLES[table]} for row in rows)
    assert len(out.transmissions) == 3 * 5 and len(out.decisions) == 3 * 4
    assert [d["client"] for d in out.decisions] == [0, 1, 2, 3] * 3
    joules = 0.0
    for row in out.rounds:
        transmissions = [t for t in out.transmissions if t["round"] == row["round"]]
        decisions = [d for d in out.decisions if d["round"] == row["round"]]
        joules += sum(t["energy_j"] for t in transmissions) + sum(d["compute_energy_j"] for d in decisions)
        assert row["energy_j"] == pytest.approx(joules, rel=SUM)
        assert row["kept_fraction_mean"] == pytest.approx(0.5, rel=SUM)
        assert all(
            row["t_start_s"] <= t["t_start_s"] <= t["t_end_s"] <= row["t_end_s"] * (1 + SUM) for t in transmissions
        )
        (down,) = (t for t in transmissions if t["direction"] == "down")
        for up in (t for t in transmissions if t["direction"] == "up"):
            assert up["t_start_s"] == pytest.approx(down["t_end_s"] + 0.4, rel=SUM)
    assert out.rounds[-1]["uplink_bits"] == sum(t["sent_bits"] for t in out.transmissions if t["direction"] == "up")
    assert [row["t_start_s"] for row in out.rounds[1:]] == [row["t_end_s"] for row in out.rounds[:-1]]
    assert (out.state.round, out.state.now_s) == (3, out.rounds[-1]["t_end_s"])
    assert out.work.calls[:2] == [("received", (0, 1, 2, 3)), ("train", 1, (0, 1, 2, 3))]
    assert [sorted(arrivals) for arrivals in out.work.aggregated] == [[0, 1, 2, 3]] * 3


@pytest.mark.parametrize(
    ("surrogate", "seed"), [("contraction", s) for s in (1, 2, 3)] + [("variance", 4), ("tail", 5), ("tail", 6)]
)
def test_the_planned_time_is_kept_in_every_round(play, stub_work, seed, surrogate):
    # csi "block", one fading block over the whole run, no loss, no jitter, bandwidths kept as granted
    tsfa = TSFA(csi="block", latency_budget_s=0.8, v=10.0, queue_start=3.0, surrogate=surrogate, kept_fraction_min=0.05)
    schedule, work = Recorded(tsfa), stub_work(points=100)
    if surrogate == "tail":  # as if clients had measured a curve each
        common, powers = work.menu(0), (1, 2, 4, 8)
        errors = [[(1 - point.kept_fraction) ** power for point in common.points] for power in powers]
        work.menus_change, work.importance = True, lambda client: 1.0
        work.menu = lambda client: common.with_errors(errors[client])
    out = play(
        clients=4,
        rounds=4,
        schedule=schedule,
        fading=BlockRayleigh(block_s=1e6),
        from_m=100.0,
        to_m=500.0,
        seed=seed,
        radio=Radio(uplink=Uplink(bandwidth_hz=2e6, work_conserving=False), latency_s=0.004),
        compute=Compute(time_s=0.2),
        work=work,
    )
    sparse = 0
    for row, (now_s, air, requests, state, decisions) in zip(out.rounds, schedule.asked, strict=True):
        sent = [r for r, d in zip(requests, decisions, strict=True) if d.action == "send"]
        plan = solve(tsfa._problem(air, sent), v=10.0, queue=state["queue"], budget_s=0.8, surrogate=surrogate)
        assert sent and row["t_end_s"] - row["t_start_s"] <= plan.tau_s * (1 + PROMISED)
        for request, decision in zip(requests, decisions, strict=True):
            if decision.action != "send":
                continue
            (up,) = (t for t in out.transmissions if (t["round"], t["client"]) == (row["round"], request.client))
            rate = float(air.rate_bps(np.array([decision.bandwidth_hz]), np.array([request.snr_hz]))[0])
            broadcast_s = max(r.downlink_s for r in sent)
            planned_s = broadcast_s + request.ready_s + air.wire_bits(decision.point.bits) / rate
            assert planned_s <= plan.tau_s * (1 + PROMISED)
            assert up["t_end_s"] + 0.004 - now_s <= planned_s * (1 + PROMISED)
            sparse += decision.point.kept_fraction < 1
    assert sparse >= 4


def test_the_queue_is_fed_with_realised_times(play):
    schedule = TSFA(latency_budget_s=0.6, queue_start=0.2)
    out = play(clients=2, rounds=4, fading=Rayleigh(doppler_hz=5.0), schedule=schedule)
    queue = 0.2
    for row in out.rounds:
        queue = max(0.0, queue + (row["t_end_s"] - row["t_start_s"]) / 0.6 - 1.0)
        assert row["queue"] == pytest.approx(queue, rel=EXACT)
    assert queue > 0.2


def test_a_deferred_client_does_not_train_and_is_asked_again(play):
    schedule = TSFA(csi="block", latency_budget_s=1.0)
    out = play(clients=3, from_m=200.0, to_m=20_000.0, rounds=2, schedule=schedule)  # at 200 m, 10.1 km and 20 km
    assert [row["deferred"] for row in out.rounds] == [2, 2]
    assert [row["delivered"] for row in out.rounds] == [1, 1]
    assert [d["action"] for d in out.decisions] == ["send", "defer", "defer"] * 2
    assert [d["compute_s"] for d in out.decisions] == [0.4, 0.0, 0.0] * 2
    assert [call for call in out.work.calls if call[0] == "train"] == [("train", 1, (0,)), ("train", 2, (0,))]
    assert {t["client"] for t in out.transmissions} == {-1, 0}


def test_a_round_in_which_all_are_deferred_lasts_retry_and_is_a_row(play):
    schedule = TSFA(csi="block", latency_budget_s=1.0, queue_start=2.0)
    out = play(clients=2, from_m=20_000.0, rounds=3, schedule=schedule, protocol=Sync(retry_s=0.25))
    assert [row["t_end_s"] for row in out.rounds] == [0.25, 0.5, 0.75]
    assert [(row["deferred"], row["delivered"], row["dropped"]) for row in out.rounds] == [(2, 0, 0)] * 3
    assert [row["queue"] for row in out.rounds] == [1.25, 0.5, 0.0]  # 2 + .25 - 1, again - .75, not below 0
    assert out.rounds[-1]["kept_fraction_mean"] is None
    assert out.rounds[-1]["uplink_bits"] == out.rounds[-1]["downlink_bits"] == out.rounds[-1]["energy_j"] == 0
    assert out.transmissions == [] and len(out.decisions) == 6
    assert out.work.calls == [] and out.work.aggregated == [{}] * 3


def test_what_is_lost_on_the_way_up_goes_back_to_the_client(play):
    out = play(clients=3, rounds=2, loss=Loses("up", 1))
    assert [(row["delivered"], row["dropped"]) for row in out.rounds] == [(2, 1)] * 2
    assert [call for call in out.work.calls if call[0] == "lost"] == [("lost", 1)] * 2
    assert [sorted(arrivals) for arrivals in out.work.aggregated] == [[0, 2]] * 2
    outcomes = {t["client"]: t["outcome"] for t in out.transmissions}
    assert outcomes == {-1: "delivered", 0: "delivered", 1: "dropped", 2: "delivered"}


def test_who_misses_the_downlink_does_not_train(play):
    out = play(clients=3, rounds=1, loss=Loses("down", 0, 2))
    assert out.work.calls == [("received", (1,)), ("train", 1, (1,))]
    assert (out.rounds[0]["delivered"], out.rounds[0]["dropped"]) == (1, 2)
    nobody = play(clients=2, rounds=2, loss=Loses("down", 0, 1))
    assert [(row["delivered"], row["dropped"]) for row in nobody.rounds] == [(0, 2)] * 2
    assert all(t["outcome"] == "dropped" for t in nobody.transmissions)
    assert nobody.rounds[1]["t_end_s"] > nobody.rounds[0]["t_end_s"] > 0
    assert nobody.work.aggregated == [{}, {}]


@pytest.mark.parametrize("work_conserving", [True, False])
def test_equal_clients_are_treated_alike(play, work_conserving):
    radio = Radio(uplink=Uplink(work_conserving=work_conserving))
    out = play(clients=3, radio=radio, schedule=MinMax())
    ends = [t["t_end_s"] for t in out.transmissions if t["direction"] == "up"]
    np.testing.assert_allclose(ends, ends[0], rtol=EXACT)


def test_work_conservation_never_makes_a_round_longer(play):
    spans = [
        play(clients=4, from_m=100.0, to_m=500.0, radio=Radio(uplink=Uplink(work_conserving=on))).rounds[0]["t_end_s"]
        for on in (True, False)
    ]
    assert spans[0] < spans[1] * 0.95


def test_jitter_moves_the_start_of_each_upload(play):
    compute = Compute(time_s=0.3, jitter=0.2, power_w=3.0)
    out = play(clients=3, rounds=2, compute=compute)
    stream = out.world.stream.child("compute")
    for decision in out.decisions:
        expected_s = compute.seconds(stream, decision["client"], decision["round"])
        assert decision["compute_s"] == expected_s
        assert decision["compute_energy_j"] == pytest.approx(3.0 * expected_s, rel=SUM)
        here = [t for t in out.transmissions if t["round"] == decision["round"]]
        (down,), (up,) = ([t for t in here if t["client"] == c] for c in (-1, decision["client"]))
        assert up["t_start_s"] == pytest.approx(down["t_end_s"] + expected_s, rel=SUM)
    assert len({d["compute_s"] for d in out.decisions}) == 6


def test_csi_may_be_old_wrong_or_without_fading(play):
    kinds = {
        "exact": Equal(csi="instantaneous"),
        "old": Equal(csi="instantaneous", csi_delay_s=0.05),
        "wrong": Equal(csi="instantaneous", csi_error_db=2.0),
        "mean": Equal(csi="large_scale"),
    }
    seen_db = {}
    for name, schedule in kinds.items():
        out = play(clients=400, rounds=0, fading=Rayleigh(doppler_hz=20.0), schedule=schedule)
        out.world.env.run(0.3)
        requests = out.world.requests(1, range(400))
        seen_db[name] = 10 * np.log10([request.snr_hz for request in requests])
    now_db, old_db = 10 * np.log10(out.medium.links.fading_gain([0.3, 0.25])).T
    # all are equally far away: 0.2 W, 8 - 40 - 35 lg 200 = -112.536 dB, k 290 K = -203.975 dBW/Hz, noise figure 5 dB
    level_db = 10 * np.log10(0.2) - 112.536 + 203.975 - 5
    for name, expected_db in (("exact", now_db), ("old", old_db), ("mean", 0.0)):
        np.testing.assert_allclose(
            seen_db[name], level_db + expected_db, atol=2e-3
        )  # dB: the figures above are rounded
    error_db = seen_db["wrong"] - seen_db["exact"]
    # 400 normal draws: mean within 4 x 2 / sqrt(400) = 0.4 dB, deviation within a factor of 1 +- 4 / sqrt(800) = .14
    drawn = out.world.stream.child("csi").normal(np.arange(400), 1)
    np.testing.assert_allclose(error_db, 2.0 * drawn, rtol=0, atol=ROUNDED_DB)
    assert abs(error_db.mean()) < 0.4 and 2 * 0.86 < error_db.std() < 2 * 1.14


def test_csi_of_a_block_may_be_that_of_the_block_before(play):
    seen, truth = {}, None
    for name, csi, delay_s in (("now", "block", 0.0), ("old", "block", 0.25), ("mean", "large_scale", 0.25)):
        schedule = TSFA(latency_budget_s=1.0, csi=csi, csi_delay_s=delay_s)
        out = play(clients=20, rounds=0, fading=BlockRayleigh(block_s=0.2), schedule=schedule)
        out.world.env.run(0.5)
        requests = out.world.requests(1, range(20))
        seen[name] = np.array([(r.snr_hz, r.downlink_s) for r in requests]).T
        now, before = out.medium.links.fading_gain([0.5, 0.25]).T
        truth = now / before
    np.testing.assert_allclose(seen["now"][0] / seen["old"][0], truth, rtol=EXACT)
    assert (np.abs(np.log(truth)) > 0.1).any()
    assert len(set(seen["mean"][0].tolist())) == 1  # equally far away, and no fading
    # the broadcast is planned with what is seen: the slower where the link looks weaker
    slower = seen["old"][1] > seen["now"][1]
    np.testing.assert_array_equal(slower, truth > 1)


def test_losses_cost_air_time_and_are_counted(play):
    loss, radio = IndependentLoss(probability=0.2, origin="interference"), Radio(retransmission=Arq(attempts=10))
    clean, lossy = play(rounds=2, radio=radio), play(rounds=2, radio=radio, loss=loss)
    for a, b in zip(clean.transmissions, lossy.transmissions, strict=True):
        assert (a["payload_bits"], a["outcome"], a["lost"]) == (b["payload_bits"], b["outcome"], 0)
        assert b["packets"] - b["lost"] == a["packets"] and b["lost"] > 0
        # the link has one rate, so the time goes as the bits sent
        assert (b["t_end_s"] - b["t_start_s"]) / (a["t_end_s"] - a["t_start_s"]) == pytest.approx(
            b["sent_bits"] / a["sent_bits"], rel=EXACT
        )
