"""Stage 1 of TSFA: what links carry of a rank, what a pilot shows, which rank is chosen, and that a run keeps to it.

A learner of a few numbers stands in for a model; that a real one is trained is seen in tests/learning/test_pilots.py.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from wfl_sim import lowrank, yamlfile
from wfl_sim.cli import app
from wfl_sim.codecs.base import Layout, Update
from wfl_sim.engine import run_cell
from wfl_sim.errors import Diverged, NotFinite, RunFailed, ScenarioError
from wfl_sim.merging import REMEDY
from wfl_sim.methods.base import Adapter
from wfl_sim.rundirectory import content_hash
from wfl_sim.scenario import Cell, Scenario, Study, parse
from wfl_sim.schedules.allocation import Problem
from wfl_sim.schedules.tsfa import solve
from wfl_sim.stage1 import advice, choice, pilot, report
from wfl_sim.stage1.choice import Candidate, best, select
from wfl_sim.stage1.links import Links, bits_of, least_kept_of, with_rank
from wfl_sim.stage1.options import RankSelection
from wfl_sim.trace import read_rows

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "faults"))

import playground  # noqa: E402

ROUNDING = 1e-12  # relative: sums and products of a few floats
WHOLE_BITS = 1e-4  # of an update: payloads are whole bits, of some hundred thousand
KILLED = 9
FEW_DOTS = 10  # an inch, for a picture that nobody looks at

ONE = """\
schema_version: 1
name: one
rounds: 5
radio:
  carrier: 1 GHz
  uplink: {bandwidth: 200 kHz, overhead: 0}
  downlink: {bandwidth: 1 MHz, overhead: 0, tx_power: 30 dBm}
  noise_figure: {base_station: 5 dB, client: 9 dB}
  antenna_gain: {base_station: 0 dBi, client: 0 dBi}
  rate: {kind: shannon, gap: 0 dB}
  packet: 1500 B
  header: 0 bit
  latency: 10 ms
channel: {path_loss: {kind: free_space}, shadowing: {kind: none}, fading: {kind: none}}
clients: {count: 1, placement: {kind: disc, from: 300 m, to: 300 m}, tx_power: 10 dBm, compute: {time: 400 ms}}
method: {kind: soft, rank: 8}
codec: {kind: components}
schedule: {kind: tsfa, latency_budget: 1.2 s}
rank_selection: {candidates: [4, 16, 64], kept_fraction_min: 0.1}
"""
MANY = """\
schema_version: 1
name: many
rounds: 6
radio: {uplink: {bandwidth: 400 kHz}}
channel: {path_loss: {kind: uma}}
clients: {count: 6, placement: {kind: disc, from: 35 m, to: 400 m}, compute: {time: 150 ms}}
method: {kind: soft, rank: 2}
learning: {on_divergence: drop_client}
codec: {kind: components}
schedule: {kind: equal}
rank_selection: {candidates: [1, 2, 4], rounds: 2, latency_budget: 0.9 s}
"""


def cell_of(text: str, *overrides: str) -> Cell:
    return parse(text, "s", overrides).cells[0]


def scenario_of(text: str, *overrides: str) -> Scenario:
    return cell_of(text, *overrides).scenario


@pytest.fixture
def _learner(monkeypatch: pytest.MonkeyPatch) -> None:
    """A learner of a few numbers in place of a model."""
    import wfl_sim.learning

    monkeypatch.setitem(sys.modules, "wfl_sim.learning.federated", None)
    monkeypatch.setattr(wfl_sim.learning, "federated", None, raising=False)
    playground.install(setattr)


# -- what links carry ---------------------------------------------------------------------------


def shannon_bps(bandwidth_hz: float, power_dbm: float, noise_figure_db: float) -> float:
    """The rate of `ONE` by hand: free space over 300 m at 1 GHz, noise of k T0."""
    distance_m = math.hypot(300.0, 0.0)
    loss_db = 20 * math.log10(4 * math.pi * distance_m * 1e9 / 299_792_458)
    noise_w = 1.380649e-23 * 290 * 10 ** (noise_figure_db / 10) * bandwidth_hz
    snr = 10 ** ((power_dbm - 30 - loss_db) / 10) / noise_w
    return bandwidth_hz * math.log2(1 + snr)


def test_the_kept_fraction_of_one_client_by_hand() -> None:
    scenario = scenario_of(ONE)
    air = Links(scenario, (4, 16, 64), 1.2)
    up, down = shannon_bps(200e3, 10.0, 5.0), shannon_bps(1e6, 30.0, 9.0)
    for size in air.sizes:
        fixed_s = size.dense_bits / down + 0.4 + 2 * 0.01  # a download of the whole change
        assert air.rate_bps(size) == pytest.approx(up, rel=1e-3)  # the heights of antennas are not in 300 m
        assert air.fixed_s(size) == pytest.approx(fixed_s, rel=1e-3)
        room = air.rate_bps(size) * (1.2 - air.fixed_s(size))
        expected = min(1.0, max(0.1, (room - size.fixed_bits) / (size.dense_bits - size.fixed_bits)))
        assert air.kept_fraction(size, 1.2, 0.1) == pytest.approx(expected, abs=WHOLE_BITS)
        # One client has the band for itself, so that the round takes what its rate says.
        assert air.round_s(size, 1e5) == pytest.approx(air.fixed_s(size) + 1e5 / air.rate_bps(size), rel=1e-9)
    assert 0.1 < air.kept_fraction(air.sizes[1], 1.2, 0.1) < 1.0, "a middle one, which is not held at a limit"


def test_the_latency_budget_of_a_kept_fraction_is_its_inverse() -> None:
    air = Links(scenario_of(MANY), (2, 4), 0.9)
    for size in air.sizes:
        for kept in (0.2, 0.5, 0.9):
            assert air.kept_fraction(size, air.budget_s(size, kept), 0.01) == pytest.approx(kept, abs=1e-3)


def test_a_size_is_a_line_through_what_the_codec_offers() -> None:
    for codec in ("components", "topk", "dense"):
        for size in Links(scenario_of(MANY, f"codec={{kind: {codec}}}"), (2, 4), 0.9).sizes:
            first, last = size.menu.points[0], size.menu.points[-1]
            assert bits_of(size, 1.0) == last.bits and size.fixed_bits > 0.0  # the head, at least
            if codec != "dense":
                assert bits_of(size, first.kept_fraction) == pytest.approx(first.bits, rel=ROUNDING)


def test_clients_that_move_are_looked_at_several_times() -> None:
    still = Links(scenario_of(MANY), (2,), 0.9)
    moving = Links(scenario_of(MANY, "clients.mobility={kind: random_waypoint, speed: 30 km/h}"), (2,), 0.9)
    assert still.times_s == [0.0]
    assert moving.times_s[0] == 0.0 and moving.times_s[-1] == pytest.approx(6 * 0.9) and len(moving.times_s) > 2
    rates = [snapshot.rate_bps for snapshot in moving.snapshots(moving.sizes[0])]
    assert moving.rate_bps(moving.sizes[0]) == pytest.approx(np.mean(rates))
    assert not np.allclose(rates[0], rates[-1])


# -- what a pilot shows -------------------------------------------------------------------------


def test_the_tail_of_the_product_without_the_product() -> None:
    draw = np.random.default_rng(3)
    model = {
        name: draw.normal(size=shape).astype(np.float32)
        for name, shape in {"x.A": (4, 30), "x.B": (20, 4), "y.A": (3, 9), "y.B": (7, 3)}.items()
    }
    beyond, energy = pilot.tail_energy(model, (("x.A", "x.B"), ("y.A", "y.B")))
    squares = np.zeros(5)
    for key, rank in (("x", 4), ("y", 3)):
        product = model[f"{key}.B"].astype(float) @ model[f"{key}.A"].astype(float)
        squares[:rank] += np.linalg.svd(product, compute_uv=False)[:rank] ** 2
    assert energy == pytest.approx(squares.sum())
    assert beyond == pytest.approx([squares[r:].sum() / squares.sum() for r in range(5)])
    assert pilot.tail_energy({}, ())[1] == 0.0


def test_what_is_dropped_are_the_smallest_changes() -> None:
    draw = np.random.default_rng(4)
    layout = Layout((("x.A", "x.B"),), (), {"x.A": (4, 30), "x.B": (20, 4)})
    base, change = ({n: draw.normal(size=s).astype(np.float32) for n, s in layout.shapes.items()} for _ in range(2))
    kept = np.array([0.0, 0.25, 0.3, 0.5, 1.0])
    found = pilot.dropped(Update(base, change, layout), kept)
    energy = lowrank.component_changes(
        base["x.A"], base["x.B"], base["x.A"] + change["x.A"], base["x.B"] + change["x.B"]
    )
    energy = np.sort(energy**2)
    expected = [1.0, energy[:3].sum(), energy[:3].sum(), energy[:2].sum(), 0.0]
    assert found == pytest.approx(np.array(expected) / np.array([1.0, *[energy.sum()] * 4]), abs=1e-6)
    nothing = {name: np.zeros_like(value) for name, value in change.items()}
    assert pilot.dropped(Update(base, nothing, layout), kept) == pytest.approx(1.0 - kept)


def test_a_pilot_has_a_seed_of_its_own() -> None:
    seeds = {pilot.seed_of(seed) for seed in range(100)}
    assert len(seeds) == 100 and min(seeds) > 10**6, "no one writes such seeds"


# -- which rank ---------------------------------------------------------------------------------


def row(rank: int, error: float | None = None, *, fits: bool = True, loss: float | None = None) -> Candidate:
    return Candidate(rank, 100, 0.5, 50.0, 1.0, 0.5, fits, error=error, loss=loss)


def test_the_least_error_wins_and_of_equals_the_smallest_rank() -> None:
    assert best([row(2, 0.5), row(4, 0.3), row(8, 0.4)]).rank == 4
    assert best([row(2, 0.3), row(4, 0.3), row(8, 0.3)]).rank == 2
    assert best([row(2, 0.3), row(4, 0.1, fits=False)]).rank == 2
    assert best([row(2, loss=math.nan), row(4, loss=0.9)]).rank == 4
    with pytest.raises(RunFailed, match="no candidate"):
        best([row(2, loss=math.nan), row(4, 0.1, fits=False)])


@pytest.mark.usefixtures("_learner")
def test_the_table_follows_from_scenario_and_seed() -> None:
    scenario = scenario_of(MANY)
    first, _, spectrum = select(scenario)
    again = select(scenario)[0]
    assert first == again and json.loads(json.dumps(first.as_dict())) == first.as_dict()
    assert first.rank in (1, 2, 4) and first.seed == pilot.seed_of(scenario.seeds[0])
    for candidate in first.candidates:
        parts = (candidate.error_of_rank, candidate.covariance, candidate.sparsification)
        assert None not in parts and candidate.error == pytest.approx(sum(parts))  # type: ignore[arg-type]
        assert candidate.sparsification == pytest.approx(float(spectrum.error_of_kept(candidate.kept_fraction)))
    errors = [candidate.error_of_rank for candidate in first.candidates]
    assert errors == sorted(errors, reverse=True) and errors[-1] == 0.0, "the largest rank holds all of its pilot"
    other = select(replace(scenario, seeds=(7,)))[0]
    assert other.candidates != first.candidates
    heavy = replace(scenario, rank_selection=replace(scenario.rank_selection, covariance_weight=1e6))  # type: ignore[type-var]
    assert select(heavy)[0].rank == 1, "the covariance grows with the rank"


@pytest.mark.usefixtures("_learner")
def test_a_pilot_each_compares_losses_at_one_simulated_time(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = {1: 3.0, 2: 1.0, 4: 2.0}
    horizons = []

    def pretended(scenario: Scenario, rank: int, horizon_s: float, memo: Any) -> pilot.ShortRun:
        horizons.append(horizon_s)
        real = short_run(scenario, rank, horizon_s, memo)
        assert math.isfinite(real.loss) and real.rounds >= 1
        assert rank > 1 or short_run(scenario, rank, horizon_s, memo) == real, "the same every time"
        return replace(real, loss=losses[rank])

    short_run = pilot.short_run
    monkeypatch.setattr(pilot, "short_run", pretended)
    scenario = scenario_of(MANY, "rank_selection.by=pilot", "learning.data.validation=100")
    found = select(scenario)[0]
    assert (found.by, found.rank) == ("pilot", 2)
    assert horizons == [2 * 0.9] * 3
    assert [candidate.loss for candidate in found.candidates] == [3.0, 1.0, 2.0]


def test_a_rank_that_is_chosen_leaves_the_scale_of_the_adapters() -> None:
    for text in ("kind: soft, alpha: 24", "kind: flora, scale: 3", "kind: ffa, alpha: 24"):
        written = scenario_of(MANY, f"method={{{text}, rank: 8}}", "codec={kind: dense}", "rank_selection=null")
        for rank in (2, 8, 32):
            adapter = with_rank(written, rank).method.adapter()
            assert isinstance(adapter, Adapter) and (adapter.rank, adapter.alpha / adapter.rank) == (rank, 3.0)
        assert with_rank(written, 8) == written


def test_the_least_kept_fraction_is_that_of_the_schedule() -> None:
    tsfa = "schedule={kind: tsfa, latency_budget: 1.2 s, kept_fraction_min: 0.05}"
    own = "rank_selection.kept_fraction_min=0.2"
    wanted = {(): 0.1, (tsfa,): 0.05, (own,): 0.2, (tsfa, own): 0.2}
    for overrides, least in wanted.items():
        scenario = scenario_of(MANY, *overrides)
        assert least_kept_of(scenario) == least
        assert select(scenario, "links")[0].kept_fraction_min == least


def test_a_pilot_that_diverged_is_no_candidate_and_one_that_failed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    error: Exception

    def diverges(scenario: Scenario, rank: int, *_: Any) -> pilot.ShortRun:
        if rank == 4:
            raise error
        return pilot.ShortRun(1.0 / rank, None, 3)

    monkeypatch.setattr(pilot, "short_run", diverges)
    scenario = scenario_of(MANY, "rank_selection.by=pilot", "learning.data.validation=100")
    for error in (Diverged("round 2: in any words"), NotFinite("in others")):  # noqa: B007 - `diverges` raises it
        found = select(scenario)[0]
        assert found.rank == 2 and found.of(4).loss is None
    error = RunFailed(f"the disk is full; {REMEDY}")
    with pytest.raises(RunFailed, match="at rank 4: the disk is full"):
        select(scenario)


# -- V ------------------------------------------------------------------------------------------


def test_tsfa_is_content_at_the_queue_that_is_advised() -> None:
    """At Q*, the round that TSFA plans keeps the fraction for which Q* was worked out."""
    scenario = scenario_of(ONE, "rank_selection.candidates=[16]", "schedule.surrogate=variance")
    air = Links(scenario, (16,), 1.2)
    (size,) = air.sizes
    (snapshot,) = air.snapshots(size)
    slope_s = air.round_s(size, size.dense_bits) - air.round_s(size, size.fixed_bits)
    one = np.ones(1)
    flat = replace(snapshot.air, packet_bits=math.inf)
    problem = Problem(flat, snapshot.snr_hz, snapshot.ready_s, size.fixed_bits * one, size.scaled_bits * one, one, 0.05)
    for kept in (0.2, 0.5):
        for v in (1.0, 10.0):
            queue = advice.balance(v, kept, slope_s, 1.2, "variance")
            found = solve(problem, v=v, queue=queue, budget_s=1.2, surrogate="variance")
            # The best tau is where the objective is flat, so that it is found to the root of the rounding.
            assert found.kept_fraction[0] == pytest.approx(kept, rel=1e-4)
    assert advice.balance(2.0, 0.3, 0.5, 1.2, "contraction") == pytest.approx(2.0 * 1.2 / 0.5)


def curve(dropped: Callable[[Any], Any]) -> pilot.Spectrum:
    kept = np.linspace(0.0, 1.0, 65)
    return pilot.Spectrum(8, (1.0,) * 9, 0.0, tuple(kept), tuple(dropped(kept)))


def test_the_steepness_of_a_pilots_curve_is_that_of_its_hull() -> None:
    parabola = curve(lambda kept: (1.0 - kept) ** 2)
    for kept in (0.25, 0.5, 1 / 3):  # corners and between them, where a chord has the slope of its middle
        assert parabola.steepness(kept) == pytest.approx(2.0 * (1.0 - kept), abs=1 / 64)
    staircase = curve(lambda kept: 1.0 - np.floor(8 * kept) / 8)
    assert staircase.steepness(0.3) == pytest.approx(1.0, rel=ROUNDING)
    assert parabola.steepness(0.0) == pytest.approx(2.0 - 1 / 64) and parabola.steepness(1.0) == pytest.approx(1 / 64)


def test_the_queue_advised_goes_by_the_surrogate() -> None:
    """1 / rho^2 is the steepness of ``variance`` alone: at rho 0.1 it is 100 times that of ``contraction``."""
    wanted = {"contraction": 1.0, "variance": 100.0, "tail": 1.0}
    for surrogate, steepness in wanted.items():
        assert advice.balance(1.0, 0.1, 0.5, 1.2, surrogate) == pytest.approx(steepness * 1.2 / 0.5)  # type: ignore[arg-type]
    measured = curve(lambda kept: (1.0 - kept) ** 2)
    for surrogate, steepness in (wanted | {"tail": measured.steepness(0.1)}).items():
        found = advice.balance(1.0, 0.1, 0.5, 1.2, surrogate, measured)  # type: ignore[arg-type]
        assert found == pytest.approx(steepness * 1.2 / 0.5)


@pytest.mark.usefixtures("_learner")
def test_a_plan_asks_its_pilot_for_the_slope() -> None:
    tsfa = "{kind: tsfa, latency_budget: 0.5 s, surrogate: tail}"
    plan = report.plan(parse(MANY, "s", [f"schedule={tsfa}", "rank_selection.latency_budget=0.5 s"]))
    _, air, spectrum = select(plan.scenario)
    row, budget_s = plan.chosen, 0.5
    size = next(size for size in air.sizes if size.rank == row.rank)
    slope_s = air.round_s(size, size.dense_bits) - air.round_s(size, size.fixed_bits)
    assert row.kept_fraction < 1.0 and spectrum.steepness(row.kept_fraction) != pytest.approx(1.0, rel=0.05)
    expected = spectrum.steepness(row.kept_fraction) * budget_s / slope_s
    assert plan.advice.queue_start == float(f"{expected:.2g}")


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("rank_selection.candidates=[]", "needs ranks from 1 on, rising, each once; got []"),
        ("rank_selection.candidates=[4, 2]", "needs ranks from 1 on, rising, each once; got [4, 2]"),
        ("rank_selection.candidates=[2, 2]", "needs ranks from 1 on, rising, each once; got [2, 2]"),
        ("rank_selection.candidates=[2, 4000]", "must be at most 384, the width of the layers"),
        ("method={kind: head_only}", "chooses the rank of adapters, and head_only has none"),
        ("method={kind: none, payload: 1 kbit}", "chooses the rank of adapters, and none has none"),
        ("rank_selection.by=pilot", "learning.data.validation is 0"),
        ("rank_selection.latency_budget=null", "the schedule equal has no latency budget of its own"),
        ("method={kind: ffa}", "tail looks at pairs of A and B, which ffa does not train; take pilot"),
        ("method={kind: flora}", "tail looks at B A, and flora folds what was learnt into the layers after each round"),
        ("method={kind: fedex}", "rank_selection.by: tail looks at B A, and fedex folds what was learnt"),
        ("rank_selection.latency_budget=200 ms", "is met by no rank of rank_selection.candidates"),
    ],
)
def test_what_cannot_be_chosen_is_told(problems: Callable[..., list[str]], override: str, says: str) -> None:
    codec = ["codec={kind: topk}"] if "ffa" in override else []
    told = problems(MANY, override, *codec)
    assert len(told) == 1 and says in told[0], told


def test_the_least_latency_budget_that_is_named_can_be_met(
    problems: Callable[..., list[str]], read: Callable[..., Study]
) -> None:
    (told,) = problems(MANY, "rank_selection.latency_budget=200 ms")
    found = re.search(r"the least that one meets is ([0-9.]+) (m?s)", told)
    assert found
    number, unit = found.groups()
    read(MANY, f"rank_selection.latency_budget={float(number) * 1.001} {unit}", resources=True)
    problems(MANY, f"rank_selection.latency_budget={float(number) * 0.99} {unit}")


def test_a_run_is_not_begun_for_a_budget_that_cannot_be_met(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"no rank .* meets a latency budget of 0.2 s.* the least is"):
        run_cell(cell_of(MANY, "rank_selection.latency_budget=200 ms"), 0, tmp_path / "run")


# -- in a run -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("_learner")
def test_a_run_takes_the_rank_and_its_manifest_keeps_the_table(tmp_path: Path) -> None:
    cell = cell_of(MANY, "rounds=2")
    manifest = run_cell(cell, 0, tmp_path / "run")
    assert manifest["rank_selection"] == select(cell.scenario)[0].as_dict()
    ranks = {row["rank"] for row in read_rows(tmp_path / "run" / "trace.sqlite", "rounds")}
    assert ranks == {manifest["rank_selection"]["rank"]}
    assert manifest["cell_sha256"] == content_hash(cell), "of the scenario as it is written"
    assert run_cell(cell, 0, tmp_path / "run") == manifest


@pytest.mark.usefixtures("_learner")
def test_a_run_that_goes_on_takes_the_rank_from_its_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = cell_of(MANY, "rounds=4")
    whole = run_cell(cell, 0, tmp_path / "whole")
    child = os.fork()
    if not child:
        try:
            run_cell(cell, 0, tmp_path / "run", lambda row: os._exit(KILLED) if row["round"] == 2 else None)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED
    monkeypatch.setattr(choice, "select", None)  # a second pilot would be an error
    run_cell(cell, 0, tmp_path / "run")
    left, wanted = playground.left(tmp_path / "run"), playground.left(tmp_path / "whole")
    assert left == wanted
    assert whole["rank_selection"] == json.loads((tmp_path / "run" / "manifest.json").read_text())["rank_selection"]


def test_without_the_section_the_rank_is_that_of_the_method() -> None:
    plain = MANY.replace("rank_selection:", "description: was").replace(
        "{candidates: [1, 2, 4], rounds: 2, latency_budget: 0.9 s}", "x"
    )
    assert scenario_of(plain).rank_selection is None
    assert "rank_selection" not in json.dumps(yamlfile.read_text(plain, "s").data)


# -- the command --------------------------------------------------------------------------------


def planned(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["plan", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_a_plan_by_links_alone(tmp_path: Path) -> None:
    still = ["quickstart", "clients.mobility={kind: static}", "arms.soft-tsfa.rank_selection={candidates: [2, 8, 32]}"]
    always = ["--by", "links", "--no-plots", "--output", str(tmp_path)]
    code, told = planned(*still, *always)
    assert code == 0 and not list(tmp_path.iterdir())
    words = ("Plan of quickstart, arm soft-tsfa, seed 1", "Nothing was trained", "Who binds", "latency_budget: 1.2 s")
    assert all(word in told for word in words)
    plain = json.loads(planned(*still, *always, "--format", "json")[1])
    assert (plain["picture"], plain["selection"]["rank"], plain["advice"]["rank"]) == (None, None, 8)
    kept = [row["kept_fraction"] for row in plain["selection"]["candidates"]]
    assert kept == sorted(kept, reverse=True), "the same bits hold less of a larger rank"


@pytest.mark.usefixtures("_learner")
def test_the_picture_shows_every_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    from analysis import rankplot

    plans, figures, save = [], [], Figure.savefig

    def drawn_once(plan: report.Planned) -> Figure:
        plans.append(plan)
        figures.append(rank_plane(plan))
        return figures[-1]

    rank_plane = rankplot.rank_plane
    monkeypatch.setattr(rankplot, "rank_plane", drawn_once)
    monkeypatch.setattr(Figure, "savefig", lambda figure, path: save(figure, path, dpi=FEW_DOTS))
    monkeypatch.setattr(report, "POINTS", 9)
    (tmp_path / "s.yaml").write_text(MANY)
    monkeypatch.chdir(tmp_path)
    code, told = planned("s.yaml", "rank_selection.candidates=[1, 2, 4, 64]", "--format", "json")
    assert code == 0
    assert Path(json.loads(told)["picture"]) == Path("runs/many/plots/rank-plane.png")
    assert Path("runs/many/plots/rank-plane.png").read_bytes().startswith(b"\x89PNG")
    (plan,), ((axes, colours),) = plans, [figure.axes for figure in figures]
    names = axes.get_legend_handles_labels()[1]
    over = "over the budget even at the least"
    assert {"candidates", "rank chosen", over} <= set(names) and "predicted error" in colours.get_ylabel()
    drawn = {tuple(xy) for line in axes.lines if not line.get_linestyle().strip("None") for xy in line.get_xydata()}
    assert drawn == {(row.rank, row.kept_fraction) for row in plan.selection.candidates}


@pytest.mark.usefixtures("_learner")
def test_what_is_advised_can_be_pasted() -> None:
    plan = report.plan(parse(MANY, "s", ["rank_selection.candidates=[1, 4]"]))
    settings = yamlfile.read_text(plan.yaml, "advice").data
    data, _ = yamlfile.merge(yamlfile.read_text(MANY, "s").data, settings)
    pasted = parse(yamlfile.write(data, "pasted"), "pasted").cells[0].scenario
    assert pasted.method.rank == plan.selection.rank != 2  # type: ignore[attr-defined]
    assert pasted.method.adapter().alpha / pasted.method.rank == 8.0  # type: ignore
    assert pasted.schedule.v == 1.0 and pasted.schedule.latency_budget == 0.9  # type: ignore[attr-defined]
    assert plan.plane.error is not None and np.isfinite(plan.plane.error).all()
    levels = plan.plane.bits / plan.asked
    at = [float(np.interp(r.rank, plan.plane.ranks, levels[-1])) for r in plan.selection.candidates]
    assert at == pytest.approx([r.dense_bits for r in plan.selection.candidates], rel=0.01)


def test_a_plan_without_a_latency_budget_says_which_it_takes() -> None:
    plan = report.plan(parse(MANY, "s", ["rank_selection=null"]), by="links")
    assert any("no latency budget: planned for" in note for note in plan.notes)
    row = next(row for row in plan.selection.candidates if row.rank == 2)
    assert row.kept_fraction == pytest.approx(report.USUAL_KEPT, abs=0.1)
    assert plan.selection.candidates[-1].rank == RankSelection().candidates[-1]


@pytest.mark.parametrize("method", ["{kind: flora, rank: 2}", "{kind: ffa, rank: 2}"])
def test_links_alone_can_be_asked_where_no_pilot_can(method: str) -> None:
    settings = [f"method={method}", "codec={kind: topk}", "rank_selection=null"]
    assert report.plan(parse(MANY, "s", settings), by="links").selection.by == "links"


def test_a_codec_of_one_size_is_told() -> None:
    plan = report.plan(parse(MANY, "s", ["codec={kind: dense}", "rank_selection.latency_budget=3 s"]), by="links")
    assert any("sends whole updates only" in note for note in plan.notes)
    assert {row.kept_fraction for row in plan.selection.candidates} == {1.0}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["quickstart", "--arm", "soft-tsf"], "unknown arm; did you mean 'soft-tsfa'?"),
        (["quickstart", "--arm", "head-only"], "rank_selection: chooses the rank of adapters, and head_only has none"),
        (["quickstart", "--by", "pilot"], "learning.data.validation is 0"),
        (["quickstart", "schedule.latency_budget=0.43 s", "clients.mobility={kind: static}"], "is met by no rank"),
    ],
)
def test_what_cannot_be_planned_is_told(arguments: list[str], says: str) -> None:
    with pytest.raises(ScenarioError) as told:
        planned(*arguments, "--no-plots")
    assert says in str(told.value)
