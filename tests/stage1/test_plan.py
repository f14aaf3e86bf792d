"""`wfl-sim plan`: what it tells, draws and lets one paste."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from stage1cases import MANY
from typer.testing import CliRunner

from wfl_sim import yamlfile
from wfl_sim.cli import app
from wfl_sim.errors import RunFailed, ScenarioError
from wfl_sim.scenario import load, parse
from wfl_sim.stage1 import plane, report, words
from wfl_sim.stage1.arms import chosen_cell, study_of
from wfl_sim.stage1.choice import best
from wfl_sim.stage1.options import RankSelection

FEW_DOTS = 10  # an inch, for a picture that nobody looks at


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
    words = ("Plan of quickstart, arm soft-tsfa, seed 1", "Nothing was trained", "The weakest", "the scenario's")
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
    monkeypatch.setattr(plane, "POINTS", 9)
    (tmp_path / "s.yaml").write_text(MANY)
    monkeypatch.chdir(tmp_path)
    code, told = planned("s.yaml", "rank_selection.candidates=[1, 2, 4, 64]", "--format", "json")
    assert code == 0
    assert Path(json.loads(told)["picture"]) == Path("runs/many/plots/rank-plane.png")
    assert Path("runs/many/plots/rank-plane.png").read_bytes().startswith(b"\x89PNG")
    (plan,), ((axes, colours),) = plans, [figure.axes for figure in figures]
    names = axes.get_legend_handles_labels()[1]
    over = "over the budget even at the least"
    assert {"ranks within the budget", "recommended", over} <= set(names)
    assert "predicted error" in colours.get_ylabel()
    drawn = {tuple(xy) for line in axes.lines if not line.get_linestyle().strip("None") for xy in line.get_xydata()}
    assert drawn == {(row.rank, row.kept_fraction) for row in (*plan.selection.candidates, plan.chosen)}


@pytest.mark.usefixtures("_learner")
def test_what_is_advised_can_be_pasted() -> None:
    plan = report.plan(parse(MANY, "s", ["rank_selection.candidates=[1, 4]"]))
    settings = yamlfile.read_text(plan.yaml, "advice").data
    data, _ = yamlfile.merge(yamlfile.read_text(MANY, "s").data, settings)
    pasted = parse(yamlfile.write(data, "pasted"), "pasted").cells[0].scenario
    assert pasted.rank_selection is None and pasted.method.rank == plan.advice.rank != 2  # type: ignore[attr-defined]
    assert pasted.method.adapter().alpha / pasted.method.rank == 8.0  # type: ignore
    assert pasted.schedule.latency_budget == plan.advice.latency_budget_s
    assert pasted.schedule.v == plan.advice.v  # type: ignore[attr-defined]
    assert plan.plane.error is not None and np.isfinite(plan.plane.error).all()
    levels = plan.plane.bits / plan.asked
    at = [float(np.interp(r.rank, plan.plane.ranks, levels[-1])) for r in plan.selection.candidates]
    assert at == pytest.approx([r.dense_bits for r in plan.selection.candidates], rel=0.01)


def test_a_plan_without_a_latency_budget_says_which_it_takes() -> None:
    plan = report.plan(parse(MANY, "s", ["rank_selection=null"]), by="links")
    assert plan.stated is None and "The scenario has no latency budget." in " ".join(words.text(plan, "s"))
    assert plan.selection.latency_budget_s == plan.advice.latency_budget_s == plan.paces.recommended_s
    assert plan.selection.of(2) == plan.chosen
    assert plan.selection.candidates[-1].rank == RankSelection().candidates[-1]


def test_a_tsfa_without_a_latency_budget_is_planned_like_any_schedule_that_has_none(tmp_path: Path) -> None:
    text = MANY.replace(", latency_budget: 0.9 s", "")
    files = {"bare": text.replace("{kind: equal}", "{kind: tsfa}"), "other": text}
    files["arm"] = text + "arms: {one: {schedule: {kind: tsfa, v: 3}}, two: {}}\n"
    plans = []
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        plans.append(report.plan(study_of(tmp_path / name, []), by="links"))
    recommended = plans[0].chosen, plans[0].advice.v, plans[0].paces.recommended_s
    for plan in plans:
        assert plan.stated is None and "The scenario has no latency budget." in " ".join(words.text(plan, "s"))
        assert (plan.chosen, plan.advice.v, plan.paces.recommended_s) == recommended
        assert plan.settings["schedule.latency_budget"].endswith("ms")
    with pytest.raises(ScenarioError, match=r"schedule\.patience"):
        study_of(tmp_path / "bare", ["schedule.patience=-1"])


@pytest.mark.parametrize("speed", ["30 km/h", "60 km/h", "120 km/h"])
@pytest.mark.parametrize("rounds", [50, 500, 5000])
def test_clients_that_move_can_be_planned_without_a_latency_budget(tmp_path: Path, speed: str, rounds: int) -> None:
    """Whole updates take the least there is, so a budget found on other links than those of the table may not do."""
    text = MANY.replace(", latency_budget: 0.9 s", "").replace(
        "placement", "mobility: {kind: random_waypoint}, placement"
    )
    (tmp_path / "s.yaml").write_text(text)
    moving = [f"clients.mobility.speed={speed}", f"rounds={rounds}"]
    given = ["codec={kind: dense}", "rank_selection.candidates=[4, 8]", "method.rank=4"]
    plan = report.plan(study_of(tmp_path / "s.yaml", [*moving, *given]), by="links")
    assert plan.advice.rank == 4 and plan.chosen.fits
    assert plan.advice.latency_budget_s == plan.paces.recommended_s == pytest.approx(plan.paces.least_s, rel=0.01)


@pytest.mark.parametrize("rate", ["shannon", "truncated_shannon", "cqi"])
@pytest.mark.parametrize("place", ["from: 40 km, to: 60 km", "from: 35 m, to: 20 km"])
def test_a_client_out_of_reach_is_told(tmp_path: Path, rate: str, place: str) -> None:
    text = MANY.replace(", latency_budget: 0.9 s", "").replace("from: 35 m, to: 400 m", place)
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(RunFailed, match=r"client 4, \d+ m away, has no usable link.*radio\.timeout") as told:
        report.plan(study_of(tmp_path / "s.yaml", [f"radio.rate={{kind: {rate}}}"]), by="links")
    assert "1e+09" not in str(told.value)
    with pytest.raises(RunFailed, match="has no usable link"):  # also where the budget would be met
        report.plan(
            parse(text, "s", ["rank_selection.latency_budget=1e9 s", "rank_selection.candidates=[1]"]), by="links"
        )


def test_a_timeout_that_is_too_short_is_told_as_that() -> None:
    with pytest.raises(
        RunFailed, match=r"^radio\.timeout gives up what takes 0\.05 s, .* planned to take .*; raise it"
    ):
        report.plan(parse(MANY, "s", ["radio.timeout=50 ms"]), by="links")


def test_a_latency_budget_that_cannot_be_met_is_told_and_another_recommended() -> None:
    plan = report.plan(parse(MANY, "s", ["rank_selection.latency_budget=200 ms"]), by="links")
    assert plan.stated is not None and plan.stated.verdict == "impossible" and plan.stated.pace == 0.0
    assert plan.chosen.fits and plan.advice.latency_budget_s >= plan.chosen.least_s > 0.2
    assert "The scenario's 0.2 s cannot be met" in " ".join(words.text(plan, "s"))


@pytest.mark.usefixtures("_learner")
def test_without_a_latency_budget_no_other_rank_learns_more_in_a_second(tmp_path: Path) -> None:
    """Of a codec that sends all or nothing, so that each rank has one budget, and any would fit its own alone."""
    (tmp_path / "s.yaml").write_text(MANY.replace(", latency_budget: 0.9 s", ""))
    plan = report.plan(study_of(tmp_path / "s.yaml", ["codec={kind: dense}", "rank_selection.candidates=1,2,4,8"]))
    assert plan.selection.latency_budget_s == plan.advice.latency_budget_s
    worth = {row.rank: (1.0 - (row.error or 0.0)) / row.least_s for row in plan.selection.candidates}
    assert max(worth, key=lambda rank: worth[rank]) == plan.advice.rank == plan.selection.rank


@pytest.mark.usefixtures("_learner")
@pytest.mark.parametrize("budget", [", latency_budget: 0.9 s", ""])
def test_short_runs_choose_the_rank_at_the_latency_budget_that_they_had(tmp_path: Path, budget: str) -> None:
    (tmp_path / "s.yaml").write_text(MANY.replace(", latency_budget: 0.9 s", budget))
    given = ["rank_selection.by=pilot", "learning.data.validation=100", "rank_selection.candidates=1,2"]
    plan = report.plan(study_of(tmp_path / "s.yaml", given))
    assert plan.advice.rank == plan.selection.rank == best(plan.selection.candidates).rank
    assert not plan.paces.measured and plan.chosen == plan.selection.of(plan.advice.rank)
    assert plan.advice.latency_budget_s == plan.selection.latency_budget_s
    assert (plan.stated is None) is not bool(budget) and (not budget or plan.advice.latency_budget_s == 0.9)
    told = " ".join(words.text(plan, "s.yaml"))
    assert "the ranks were simulated with this budget" in told and "Without a pilot" not in told
    assert "the least loss on validation examples at the end" in told and f"Take rank {plan.advice.rank}" in told


@pytest.mark.usefixtures("_learner")
def test_rank_and_latency_budget_suit_each_other() -> None:
    for weight in (0.1, 1.0):
        text = MANY.replace("rounds: 2,", f"rounds: 2, sparsification_weight: {weight},")
        plan = report.plan(parse(text, "s"))
        again = report.plan(parse(text, "s", [f"rank_selection.latency_budget={plan.advice.latency_budget_s} s"]))
        assert again.selection.rank == again.advice.rank == plan.advice.rank
        assert again.advice == plan.advice and again.stated is not None and again.stated.verdict == "ok"


ARMS = """
arms:
  head: {method: {kind: head_only}, codec: {kind: dense}, rank_selection: null}
  dense: {method: {kind: fedavg}, codec: {kind: dense}, rank_selection: null}
  adaptive: {schedule: {kind: tsfa, latency_budget: 1.2 s}, rank_selection: null}
"""


def test_the_command_to_copy_runs_what_was_recommended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text, arm in ((MANY, None), (MANY + ARMS, "adaptive"), (MANY + ARMS, "dense")):
        Path("my file.yaml").write_text(text)
        options = [] if arm is None else ["--arm", arm]
        given = ["my file.yaml", "rank_selection.candidates=2,8", "schedule.latency_budget=700 ms"]
        given = given if arm == "adaptive" else given[:2]
        told = planned(*given, *options, "--by", "links", "--no-plots")[1]
        program, command, file, *rest = shlex.split(told.partition("To run it\n")[2].replace("\\\n", ""))
        assert (program, command, file, rest[: len(options)]) == ("wfl-sim", "run", given[0], options)
        study = load(file, rest[len(options) :])
        (scenario,) = {cell.scenario for cell in study.cells if arm in (None, cell.arm)}
        plan = json.loads(planned(*given, *options, "--by", "links", "--no-plots", "--format", "json")[1])
        assert scenario.schedule.kind == "tsfa" and scenario.rank_selection is None
        assert scenario.method.rank == plan["advice"]["rank"]  # type: ignore[attr-defined]
        assert scenario.schedule.latency_budget == plan["advice"]["latency_budget_s"]
        assert rest[len(options) :] == plan["overrides"], "what was overridden here is said again by these"


def test_other_arms_are_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(MANY + ARMS)
    plain = ["--by", "links", "--no-plots", "--format", "json"]
    code, told = planned(str(tmp_path / "s.yaml"), "rank_selection.candidates=[2, 16]", "codec.kind=components", *plain)
    assert code == 0 and json.loads(told)["arm"] == "adaptive"
    assert [row["rank"] for row in json.loads(told)["selection"]["candidates"]] == [2, 16]
    told = planned(str(tmp_path / "s.yaml"), "rank_selection.candidates=2,16", "--arm", "dense", *plain)[1]
    assert json.loads(told)["arm"] == "dense"
    with pytest.raises(ScenarioError) as error:
        planned(str(tmp_path / "s.yaml"), "rank_selection.candidates=2,4000", "--by", "links", "--no-plots")
    (problem,) = error.value.args
    assert "must be at most 384" in problem.message and not any(f"arm {n}" in str(problem) for n in ("head", "dense"))


def test_a_point_of_a_grid_can_be_planned(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(MANY + ARMS + "grid: {rounds: [3, 9]}\n")
    for arm, rounds in (("adaptive", 3), ("adaptive-rounds=9", 9), (None, 3)):
        study = study_of(tmp_path / "s.yaml", [], arm)
        cell = chosen_cell(study, arm)
        assert (cell.group, cell.scenario.rounds) == ("adaptive", rounds)


@pytest.mark.parametrize("method", ["{kind: flora, rank: 2}", "{kind: ffa, rank: 2}"])
def test_links_alone_can_be_asked_where_no_pilot_can(method: str) -> None:
    settings = [f"method={method}", "codec={kind: topk}", "rank_selection=null"]
    assert report.plan(parse(MANY, "s", settings), by="links").selection.by == "links"


def test_a_plan_says_what_a_round_takes_and_which_rates_no_modem_reaches() -> None:
    for gain, noted in (("0 dBi", False), ("60 dBi", True)):
        given = [f"radio.antenna_gain.base_station={gain}", "rank_selection=null"]
        plan = report.plan(parse(MANY, "s", given), by="links")
        told = " ".join(words.text(plan, "s"))
        assert ("256-QAM carries 7.4 at most" in told) is noted == (plan.advice.median_efficiency > 7.4)
        assert any("more than any modem reaches" in note for note in plan.notes) is noted
        assert plan.cost.rounds == 6 and plan.cost.run_s == pytest.approx(6 * plan.cost.round_s)
        assert plan.cost.uplink_bits <= 6 * plan.selection.of(plan.advice.rank).dense_bits
    capped = report.plan(parse(MANY, "s", [*given, "radio.rate={kind: truncated_shannon}"]), by="links")
    cap = capped.scenario.radio.rate.uplink_cap  # type: ignore[union-attr]
    assert capped.advice.median_efficiency == pytest.approx(cap) and "256-QAM" not in " ".join(words.text(capped, "s"))


def test_the_time_of_the_mean_client_adds_up() -> None:
    for rank in (2, 8, 32):
        plan = report.plan(parse(MANY, "s", [f"method.rank={rank}", "rank_selection=null"]), by="links")
        sent_s = plan.advice.wire_bits / plan.advice.rate_bps
        assert plan.advice.rank == rank and plan.advice.wire_bits > plan.chosen.bits
        assert plan.advice.fixed_s + sent_s == pytest.approx(plan.advice.latency_budget_s, rel=0.005)


def test_links_at_the_cap_of_the_rate_model_are_told_alike() -> None:
    near = ["clients.placement={kind: disc, from: 10 m, to: 50 m}", "rank_selection=null"]
    for rate, alike in (("truncated_shannon", True), ("shannon", False)):
        plan = report.plan(parse(MANY, "s", [*near, f"radio.rate={{kind: {rate}}}"]), by="links")
        told = " ".join(words.text(plan, "s"))
        assert ("Links are alike: all clients get" in told) is plan.advice.capped is alike
        assert ("The weakest by rate" in told) is not alike


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MANY, "For rank 2, which the scenario states:"),
        (MANY.replace("soft, rank: 2", "soft"), "For rank 8, the default of method soft:"),
        (MANY + "grid: {method.rank: [4, 8]}\n", "For rank 4, that of the point of the grid which is planned:"),
    ],
)
def test_a_plan_says_where_its_rank_comes_from(text: str, says: str) -> None:
    assert any(
        line.startswith(says)
        for line in words.text(report.plan(parse(text, "s", ["rank_selection=null"]), by="links"), "s")
    )


def test_the_scenarios_v_is_judged() -> None:
    own = ["method.rank=16", "rank_selection=null"]
    for v, says in ((1000, "V 1000 from queue_start 0 is too large"), (0.2, "V 0.2 from queue_start 0 would do")):
        given = [*own, f"schedule={{kind: tsfa, latency_budget: 0.9 s, v: {v}}}"]
        assert says in " ".join(words.text(report.plan(parse(MANY, "s", given), by="links"), "s"))
    assert "The scenario's V" not in " ".join(words.text(report.plan(parse(MANY, "s", own), by="links"), "s"))


@pytest.mark.usefixtures("_learner")
def test_a_rank_by_tail_is_told_with_what_it_leans_to() -> None:
    for feedback, says in ((0, "counts as lost. Ranks"), (0.5, "counts as lost, though error feedback sends it later")):
        plan = report.plan(parse(MANY, "s", [f"codec.error_feedback={feedback}"]))
        assert says in " ".join(" ".join(words.text(plan, "s")).split())


def test_a_codec_of_one_size_is_told() -> None:
    plan = report.plan(parse(MANY, "s", ["codec={kind: dense}", "rank_selection.latency_budget=3 s"]), by="links")
    assert any("codec dense has one size only" in note for note in plan.notes)
    assert {row.kept_fraction for row in plan.selection.candidates} == {1.0}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["quickstart", "--arm", "soft-tsf"], "unknown arm; did you mean 'soft-tsfa'?"),
        (
            ["quickstart", "--arm", "head-only"],
            "the method head_only has no adapters, so that there is no rank to plan",
        ),
        (["quickstart", "--by", "pilot"], "learning.data.validation: is 0, and rank_selection.by pilot"),
        (["quickstart", "schedule.latency_budgets=1 s"], "unknown key; did you mean 'latency_budget'?"),
        (["quickstart", "arms.soft-tsf.rounds=3"], "unknown arm; did you mean 'soft-tsfa'?"),
    ],
)
def test_what_cannot_be_planned_is_told(arguments: list[str], says: str) -> None:
    with pytest.raises(ScenarioError) as told:
        planned(*arguments, "--no-plots")
    assert says in str(told.value)
