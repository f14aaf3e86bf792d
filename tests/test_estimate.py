"""What is planned against what a real medium, protocol and codec then do; nothing is timed, nothing trained."""

from __future__ import annotations

import dataclasses
import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import simpy

from channels.streams import Stream
from wfl_sim import airtime, machine, planning, present
from wfl_sim.codecs import CODECS
from wfl_sim.contracts import Air, FloatArray, Payload, PayloadMenu, Point, Work
from wfl_sim.engine import build_work, simulate
from wfl_sim.estimate import ArmEstimate, Estimate, estimate
from wfl_sim.learning import data
from wfl_sim.learning.options import Data, Local
from wfl_sim.learning.sources import model_info
from wfl_sim.methods.none import NoLearning
from wfl_sim.networkonly import NetworkOnly
from wfl_sim.protocols.sync import Sync
from wfl_sim.radio.medium import Medium
from wfl_sim.replay import DIAGNOSTICS
from wfl_sim.scenario import Scenario, Study, load
from wfl_sim.schedules.tsfa import TSFA
from wfl_sim.trace import named
from wfl_sim.updatesizes import layout_of

ROOT = Path(__file__).resolve().parents[1]
SCENARIOS = sorted((ROOT / "scenarios").rglob("*.yaml"))
QUICKSTART = ROOT / "scenarios" / "quickstart.yaml"
NO_FADING = "channel.fading={kind: none}"
STATIC = "clients.mobility={kind: static}"
# What the estimate is meant for: the size of a study, not its results.
SECONDS, COUNTS = 0.25, 0.20  # relative
SHARE_OF_CLIENTS = 0.1  # relative: 100 clients that stand for 200
PLAN_S = 15.0  # of a core that others share; by itself one takes 3


@functools.cache
def study(*overrides: str) -> Study:
    """The quickstart with changes."""
    return load(QUICKSTART, overrides)


@functools.cache
def estimated(*overrides: str) -> Estimate:
    """Its estimate."""
    return estimate(study(*overrides))


def arm(found: Estimate, name: str) -> ArmEstimate:
    """The row of an arm."""
    return next(row for row in found.arms if row.arm == name)


def with_schedule(plan: Study, name: str, **options: Any) -> ArmEstimate:
    """The row of an arm by itself, with other options of its schedule."""
    (cell,) = (cell for cell in plan.cells if cell.arm == name)
    schedule = dataclasses.replace(cast(Any, cell.scenario.schedule), **options)
    changed = dataclasses.replace(cell, scenario=dataclasses.replace(cell.scenario, schedule=schedule))
    (row,) = estimate(Study(plan.name, (changed,))).arms
    return row


class StandIn:
    """The learning side with the sizes of a federation: the model at 32 bits first, then dense changes."""

    known_at_once = True

    def __init__(self, scenario: Scenario) -> None:
        layout = layout_of(scenario, model_info(scenario.learning.model.name))
        self._menu = scenario.codec.menu(layout)
        self._model_bytes = 4 * layout.size([*layout.plain, *layout.factors])
        self._aggregated = 0

    def weight(self, client: int) -> float:
        return 0.1

    def menu(self, client: int) -> PayloadMenu:
        return self._menu

    def downlink(self, clients: Sequence[int]) -> Payload:
        return Payload(bytes(self._menu.points[-1].bits // 8 if self._aggregated else self._model_bytes), 1.0)

    def received(self, clients: Sequence[int]) -> None: ...

    def train(self, round_: int, clients: Sequence[int]) -> None: ...

    def encode(self, client: int, point: Point) -> Payload:
        return Payload(bytes(point.bits // 8), point.kept_fraction)

    def stopped(self, client: int) -> None: ...

    def lost(self, client: int) -> None: ...

    def aggregate(self, arrivals: dict[int, Payload], factors: Any = None) -> None:
        self._aggregated += bool(arrivals)

    def evaluate(self) -> dict[str, float]:
        return {"accuracy": 0.5, "loss": 1.0}

    def diagnostics(self) -> dict[str, Any]:
        return dict.fromkeys(DIAGNOSTICS, 0.0) | {"rank": 0}


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Callable[[Scenario], SimpleNamespace]:
    """Simulate a scenario without learning, and count."""
    step = simpy.Environment.step

    def play(scenario: Scenario) -> SimpleNamespace:
        out = SimpleNamespace(events=0, seconds=0.0, transfers=0, packets=0)

        def counted(env: simpy.Environment) -> None:
            out.events += 1
            step(env)

        def commit(row: Any, transmissions: Any, decisions: Any) -> None:
            out.seconds = row["t_end_s"]
            out.transfers += len(transmissions)
            out.packets += sum(named("transmissions", t)["packets"] for t in transmissions)

        monkeypatch.setattr(simpy.Environment, "step", counted)
        learns = not isinstance(scenario.method, NoLearning)
        work = cast(Work, StandIn(scenario)) if learns else build_work(scenario, None)[0]
        simulate(scenario, work, commit)
        monkeypatch.setattr(simpy.Environment, "step", step)
        return out

    return play


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("radio.uplink.work_conserving=false",),
        ("clients.count=3", "radio.retransmission.attempts=8",  # enough for every broadcast to reach all
         "channel.loss={kind: independent, probability: 20 %, origin: interference}"),
        ("clients.count=1",),
    ],
    ids=["quickstart", "kept bands", "lossy", "alone"],
)  # fmt: skip
def test_counts_and_seconds_are_near_those_of_a_real_run(played: Any, changes: tuple[str, ...]) -> None:
    plan = study("rounds=4", NO_FADING, STATIC, *changes)
    found = estimate(plan)
    for cell in plan.cells:
        real, row = played(cell.scenario), arm(found, cell.arm)
        assert row.simulated_s == pytest.approx(real.seconds, rel=SECONDS), cell.arm
        assert row.round_s == pytest.approx(row.simulated_s / 4)
        assert row.transfers == real.transfers
        assert row.packets == pytest.approx(real.packets, rel=COUNTS), cell.arm
        assert row.events == pytest.approx(real.events, rel=COUNTS), cell.arm


def test_the_mean_over_fading_is_near_a_real_run_too(played: Any) -> None:
    plan = study("rounds=6")
    for cell in plan.cells[:2]:
        assert arm(estimated("rounds=6"), cell.arm).simulated_s == pytest.approx(
            played(cell.scenario).seconds, rel=SECONDS
        )


@pytest.mark.parametrize("method", ["head_only", "fedavg", "soft"])
def test_sizes_are_those_of_the_trainer_on_the_real_model(method: str) -> None:
    from wfl_sim.learning.local import LocalTraining, Setup

    (scenario,) = {
        cell.scenario.method.kind: cell.scenario for cell in study().cells
        if cell.scenario.method.kind == method
    }.values()  # fmt: skip
    task = data.load(Data(train=40, test=20, max_tokens=8), Stream.root(1))
    model, adapter = scenario.learning.model, scenario.method.adapter()
    real = LocalTraining(Setup(model, adapter, task, 8, Local())).layout
    found = layout_of(scenario, model_info(model.name))
    assert [found.shapes[name] for name in (*found.plain, *found.factors)] == [
        real.shapes[name] for name in (*real.plain, *real.factors)
    ]
    assert len(found.pairs) == len(real.pairs)
    for codec in CODECS.values():
        assert codec().menu(found) == codec().menu(real)


def test_transfers_and_steps_are_counted_exactly() -> None:
    for clients, rounds in ((1, 3), (7, 2), (20, 14)):
        found = estimate(study(f"clients.count={clients}", f"rounds={rounds}", "seeds=[4, 5]"))
        assert found.cells == 10
        for row in found.arms[:3]:
            assert row.transfers == rounds * (1 + clients)
            assert row.sending == clients
            assert row.training_steps == rounds * clients * 5
            assert row.examples_evaluated == rounds * 2000


def test_a_narrow_band_makes_the_air_bind_and_slow_computing_makes_computing_bind() -> None:
    wide = estimate(study("radio.uplink.bandwidth=4 MHz"))
    narrow = estimate(study("radio.uplink.bandwidth=400 kHz"))
    slow = estimate(study("clients.compute.time=1.1 s", "radio.uplink.bandwidth=1 MHz"))
    for name in ("dense-equal", "dense-min-max"):
        assert [c.binds for c in clients_of(arm(wide, name))] == ["compute"] * 2
        assert [c.binds for c in clients_of(arm(narrow, name))] == ["air"] * 2
        assert [c.binds for c in clients_of(arm(slow, name))] == ["compute"] * 2
        assert arm(narrow, name).simulated_s > arm(wide, name).simulated_s
        assert arm(slow, name).simulated_s > 14 * 1.1


def clients_of(row: ArmEstimate) -> list[Any]:
    """Median and worst."""
    assert row.median is not None and row.worst is not None
    return [row.median, row.worst]


@pytest.mark.parametrize("name", ["dense-equal", "dense-min-max", "soft-tsfa"])
def test_the_median_and_the_worst_client_are_those_of_the_links(name: str) -> None:
    # Placed on a line without shadowing: who is farther takes longer or, where all end together, has the weaker link.
    line = ("clients.placement={kind: line, from: 50 m, to: 450 m}", "channel.shadowing={kind: none}", STATIC)
    found = estimate(study(*line, "clients.count=9", "radio.uplink.work_conserving=false"))
    median, worst = clients_of(arm(found, name))
    if name != "soft-tsfa":  # there the points of the menu decide who ends last
        assert (median.distance_m, worst.distance_m) == (pytest.approx(250.0), pytest.approx(450.0))
        assert worst.snr_db < median.snr_db
        assert worst.broadcast_s + worst.compute_s + worst.air_s + 0.01 == pytest.approx(arm(found, name).round_s)
    assert worst.air_s >= median.air_s * (1 - 1e-5)
    assert (worst.compute_s, worst.broadcast_s) == (pytest.approx(0.4), median.broadcast_s)


def test_shared_bandwidth_ends_earlier_and_carries_the_same_bits() -> None:
    class Flat:
        """One bit a second and hertz."""

        def rate(self, bandwidth_hz: FloatArray, snr_hz: FloatArray) -> FloatArray:
            return bandwidth_hz

    air, ones = Air(100.0, Flat()), np.ones(4)  # type: ignore[arg-type]
    bits, granted = np.array([25.0, 25.0, 50.0, 300.0]), 25.0 * ones
    assert airtime.upload_s(air, bits, granted, ones, False).tolist() == [1.0, 1.0, 2.0, 12.0]
    # 25 bit each in 1 s; then 50 bit/s each: 25 more by 1.5 s; the last has 250 bit left and the whole band.
    assert airtime.upload_s(air, bits, granted, ones, True).tolist() == pytest.approx([1.0, 1.0, 1.5, 4.0])


def test_a_queue_that_starts_empty_is_planned_until_it_is_at_rest() -> None:
    row = with_schedule(study("rounds=200", STATIC), "soft-tsfa", queue_start=0.0, v=3.0)
    assert row.round_s == pytest.approx(1.2, rel=planning.AT_REST)
    assert row.planned_bits < row.dense_bits


def test_clients_that_are_always_deferred_cost_nothing() -> None:
    row = with_schedule(study("rounds=5", "protocol.retry=2 s"), "soft-tsfa", latency_budget_s=1e-3)
    assert (row.transfers, row.packets, row.training_steps, row.planned_bits) == (0, 0, 0, 0.0)
    assert (row.median, row.worst) == (None, None)
    assert row.simulated_s == 10.0


def test_arms_that_train_alike_train_once() -> None:
    found = estimate(study(), jobs=1)
    assert {row.arm: row.trains for row in found.arms} == {
        "head-only": True, "dense-equal": True, "dense-min-max": False, "soft-tsfa": True, "topk-tsfa": True
    }  # fmt: skip
    assert arm(found, "dense-min-max").wall_s < arm(found, "dense-equal").wall_s / 2
    assert found.jobs == 1
    seconds = sum(row.wall_s for row in found.arms) + machine.START_S + machine.PICTURES_S
    assert found.wall_s == pytest.approx(seconds)
    two, many = estimate(study(), jobs=2), estimate(study(), jobs=64)
    assert many.jobs == 5
    assert found.wall_s > two.wall_s > many.wall_s
    assert not arm(two, "dense-min-max").trains
    assert estimate(study("seeds=[1, 2]"), jobs=1).wall_s == pytest.approx(2 * seconds, rel=0.2)


@pytest.mark.parametrize(
    "change",
    ["learning.model.layers=6", "learning.data.max_tokens=40", "learning.local.batch=64", "clients.count=40"],
)
def test_more_work_costs_more(change: str) -> None:
    before, after = arm(estimated(), "dense-equal"), arm(estimated(change), "dense-equal")
    assert after.wall_s > before.wall_s
    assert after.memory_mib >= before.memory_mib  # evaluating may take more than training


ESTIMATE = """
import sys, json, dataclasses
from wfl_sim.errors import MissingResource
from wfl_sim.scenario import load
from wfl_sim.estimate import estimate
for path in sys.argv[1:]:
    try:
        found = estimate(load(path))
    except MissingResource as error:
        print(json.dumps([[], str(error)]), flush=True)
        continue
    heavy = [m for m in ("torch", "peft", "transformers", "matplotlib", "pandas") if m in sys.modules]
    print(json.dumps([heavy, dataclasses.asdict(found)], allow_nan=False), flush=True)
"""


@pytest.fixture(scope="module")
def apart() -> tuple[list[str], str]:
    """Every scenario estimated in an interpreter that does nothing else: a line each, and what went wrong."""
    done = subprocess.run(
        [sys.executable, "-c", ESTIMATE, *SCENARIOS], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    return done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_scenario_is_estimated_in_plain_numbers_without_a_tensor_library(
    path: Path, apart: tuple[list[str], str]
) -> None:
    lines, said = apart
    assert SCENARIOS.index(path) < len(lines), said
    heavy, found = json.loads(lines[SCENARIOS.index(path)])
    assert heavy == []
    if isinstance(found, str):
        assert "wfl-sim fetch" in found
        pytest.skip(found)
    assert found["cells"] >= len(found["arms"]) > 0
    assert min(found["memory_mib"], found["wall_s"], *(row["simulated_s"] for row in found["arms"])) > 0


def test_the_same_study_gives_the_same_estimate_and_no_row_can_change() -> None:
    found = estimated()
    assert estimate(study()) == found
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.arms[0].wall_s = 0.0  # type: ignore[misc]


@pytest.mark.slow
def test_many_clients_are_planned_for_by_some_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = study("clients.count=200", "radio.uplink.bandwidth=2 MHz", "learning.data.partition={kind: iid}")
    some = estimate(plan)
    monkeypatch.setattr(planning, "PLANNED_CLIENTS", 10**6)
    for row, whole in zip(some.arms, estimate(plan).arms, strict=True):
        assert (row.transfers, row.training_steps) == (whole.transfers, whole.training_steps)
        assert row.round_s == pytest.approx(whole.round_s, rel=SHARE_OF_CLIENTS)
        assert row.planned_bits == pytest.approx(whole.planned_bits, rel=SHARE_OF_CLIENTS)
        assert row.packets == pytest.approx(whole.packets, rel=SHARE_OF_CLIENTS)
        assert row.events == whole.events


@pytest.mark.parametrize(
    "changes",
    [
        ("rounds=1000000",),
        ("radio.retransmission.attempts=1000", "channel.loss.probability=99.99 %"),
        ("clients.count=3000", "radio.uplink.bandwidth=20 MHz", "learning.data.partition={kind: iid}"),
        (
            "rounds=1000000",
            "clients.mobility.speed=10000 m/s",
            "clients.placement={kind: line, from: 9 m, to: 9.001 m}",
        ),
    ],
    ids=["rounds", "attempts", "clients", "legs"],
)
def test_a_plan_takes_no_longer_for_more_of_everything(changes: tuple[str, ...]) -> None:
    began_s = time.process_time()
    json.dumps(dataclasses.asdict(estimate(study(*changes))), allow_nan=False)
    assert time.process_time() - began_s < PLAN_S


def test_a_drifting_queue_is_observed_a_few_hundred_times_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    observed: list[float] = []
    real = TSFA.observe

    def observe(self: TSFA, round_s: float, state: dict[str, float]) -> dict[str, float]:
        observed.append(round_s)
        return real(self, round_s, state)

    monkeypatch.setattr(TSFA, "observe", observe)
    row = with_schedule(study("rounds=1000000", STATIC), "soft-tsfa", latency_budget_s=30.0, v=1e-6, queue_start=1e6)
    assert len(observed) <= planning.PLANNED_ROUNDS * planning.LONGEST_HOLD
    assert row.rounds == 1_000_000


@pytest.mark.parametrize(
    "changes",
    [
        ("clients.tx_power=-150 dBm", "radio.antenna_gain.client=-200 dB", "channel.shadowing.std=40 dB"),
        ("radio.rate.gap=60 dB", "radio.noise_figure.client=60 dB", "radio.noise_figure.base_station=60 dB"),
        ("channel.path_loss={kind: log_distance, exponent: 10}", "clients.placement.to=100000 km"),
    ],
    ids=["power", "noise", "distance"],
)
def test_the_weakest_links_that_may_be_written_are_estimated(changes: tuple[str, ...]) -> None:
    found = estimate(study(*changes, "channel.fading={kind: none}"))
    json.dumps(dataclasses.asdict(found), allow_nan=False)
    present.estimate_text(found)
    assert all(row.median is None or row.median.air_s <= 600.0 for row in found.arms)


def test_links_that_carry_nothing_leave_an_arm_without_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = study("rounds=3", "protocol.retry=2 s")
    monkeypatch.setattr(Medium, "snr_hz", lambda self, clients, *rest, **how: np.zeros(len(clients)))
    for row in estimate(plan).arms:
        assert (row.median, row.worst, row.transfers, row.simulated_s) == (None, None, 0, 6.0)


def test_texts_are_no_longer_than_the_data_has_them() -> None:
    long, longer = (study(f"learning.data.max_tokens={n}").cells[0].scenario.learning for n in (200, 512))
    info = model_info(long.model.name)
    assert machine.taken_mib(long, info, 10, 1000, True) == machine.taken_mib(longer, info, 10, 1000, True)
    assert machine.tokens_of(long, info) == machine.tokens_of(longer, info)


def test_texts_of_ones_own_are_measured_and_images_and_passages_have_a_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts of 45 characters count as 45 / 4.5 + 2 = 12 tokens, whatever is the most that would be read."""
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_text("text,label\n" + "".join(f"{n:045d},{n % 2}\n" for n in range(3000)))
    learning = study("learning.data.max_tokens=200").cells[0].scenario.learning
    texts = model_info(learning.model.name)
    images = dataclasses.replace(texts, image_tokens=50)
    for name, info, tokens in (
        ("csv:mine.csv", texts, 12.0), ("builtin:shakespeare", texts, 200.0), ("builtin:fashion_mnist", images, 50.0)
    ):  # fmt: skip
        other = dataclasses.replace(learning, data=dataclasses.replace(learning.data, name=name))
        assert (*machine.tokens_of(other, info), machine.longest_tokens(other, info)) == pytest.approx((tokens,) * 3)


NETWORK = ("method={kind: none, payload: 1 Mbit}", NO_FADING, STATIC, "rounds=10")


class Paced(Sync):
    """Rounds with options that the protocols which have them keep elsewhere."""

    cohort, deadline_s, buffer, concurrency = None, None, None, None


def paced(monkeypatch: pytest.MonkeyPatch, *overrides: str, **options: Any) -> ArmEstimate:
    """The row of the arm without learning, under a protocol with such options."""
    protocol = Paced()
    for name, value in options.items():
        object.__setattr__(protocol, name, value)
    plan = study(*NETWORK, *overrides)
    (cell,) = (cell for cell in plan.cells if cell.arm == "dense-equal")
    changed = dataclasses.replace(cell, scenario=dataclasses.replace(cell.scenario, protocol=protocol))
    (row,) = estimate(Study(plan.name, (changed,))).arms
    return row


def test_without_learning_nothing_is_trained_and_little_is_loaded() -> None:
    found = estimate(study("method={kind: none, payload: 1 Mbit}"))
    for row in found.arms:
        assert (row.training_steps, row.examples_evaluated, row.trains) == (0, 0, False)
        assert row.dense_bits == 1_000_000
    assert found.memory_mib < machine.PROCESS_MIB
    assert found.wall_s < estimated().wall_s


def test_without_learning_counts_and_seconds_are_near_those_of_a_real_run_too(played: Any) -> None:
    plan = study("method={kind: none, payload: 0.4 Mbit, downlink: 1 Mbit}", NO_FADING, STATIC, "rounds=3")
    cell = next(cell for cell in plan.cells if cell.arm == "dense-equal")
    (row,) = estimate(Study(plan.name, (cell,))).arms
    real = played(cell.scenario)
    assert row.simulated_s == pytest.approx(real.seconds, rel=SECONDS)
    assert row.transfers == real.transfers
    assert row.packets == pytest.approx(real.packets, rel=COUNTS)
    assert row.events == pytest.approx(real.events, rel=COUNTS)


def test_of_very_many_clients_a_hundred_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = NetworkOnly.menu
    monkeypatch.setattr(NetworkOnly, "menu", lambda self, client: asked.append(client) or real(self, client))
    row = paced(monkeypatch, "clients.count=50000", "radio.uplink.bandwidth=400 MHz")
    assert len(set(asked)) <= planning.PLANNED_CLIENTS
    assert len(asked) <= planning.PLANNED_CLIENTS * planning.PLANNED_ROUNDS
    assert row.transfers == 10 * 50_001


def test_the_cost_of_a_cohort_is_that_of_so_many_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    row = paced(monkeypatch, "clients.count=400", "radio.uplink.bandwidth=4 MHz", cohort=20)
    assert (row.sending, row.transfers) == (20.0, 10 * 21)
    all_of_them = paced(monkeypatch, "clients.count=400", "radio.uplink.bandwidth=4 MHz", cohort=None)
    assert all_of_them.sending == 400
    assert row.round_s < all_of_them.round_s


def test_a_deadline_ends_rounds_and_says_who_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    free = paced(monkeypatch)
    early = paced(monkeypatch, deadline_s=free.round_s / 2)
    assert early.round_s == free.round_s / 2
    assert 0.0 < early.late <= 1.0
    assert paced(monkeypatch, deadline_s=free.round_s * 2).round_s == free.round_s
    assert free.late == 0.0


def test_arrivals_come_as_often_as_the_clients_under_way_end(monkeypatch: pytest.MonkeyPatch) -> None:
    # With a wide band computing alone takes time: C clients under way give C / T updates a second (Little's law).
    wide = (
        "radio.uplink.bandwidth=500 MHz",
        "radio.downlink.bandwidth=500 MHz",
        "clients.compute.time=10 s",
        "schedule.latency_budget=60 s",
    )
    for buffer, under_way in ((1, 5), (4, 5), (4, 8)):
        row = paced(monkeypatch, *wide, buffer=buffer, concurrency=under_way)
        assert row.round_s == pytest.approx(buffer * 10.0 / under_way, rel=COUNTS)
        assert row.transfers == 10 * 2 * buffer
    # Where the downlink is what is full, it is the downlink that updates wait for.
    slow = paced(
        monkeypatch, "radio.downlink.bandwidth=20 kHz", "radio.uplink.bandwidth=20 MHz", buffer=1, concurrency=10
    )
    assert slow.median is not None and slow.round_s >= 0.5 * slow.median.broadcast_s


@pytest.mark.parametrize(
    ("changes", "slower"),
    [
        (("radio.uplink.access=ofdma",), False),
        (("radio.uplink.access=tdma",), True),  # a part of the time at full power, for a part of the power all the time
        (("radio.downlink.access=unicast",), True),
        (("radio.uplink.power_control={p0: -120 dBm}",), True),
    ],
)
def test_other_ways_to_share_are_planned_too(
    monkeypatch: pytest.MonkeyPatch, changes: tuple[str, ...], slower: bool
) -> None:
    before, after = (paced(monkeypatch, *more) for more in ((), changes))
    assert after.round_s >= before.round_s * (1 - SECONDS)
    assert (after.round_s > before.round_s) or not slower
    assert after.transfers == before.transfers + (90 if changes[0].endswith("unicast") else 0)


def test_a_broadcast_that_covers_some_calls_for_fewer_uploads(monkeypatch: pytest.MonkeyPatch) -> None:
    row = paced(monkeypatch, "radio.downlink.coverage=70 %")
    assert (row.sending, row.transfers) == (7.0, 10 * 8)
