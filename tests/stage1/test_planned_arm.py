"""Which arm is planned, what an override or an axis may be for, and the command that runs just that arm and point."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
from stage1cases import MANY

from wfl_sim.errors import ScenarioError
from wfl_sim.scenario import Cell, load
from wfl_sim.stage1 import report, words
from wfl_sim.stage1.arms import chosen_cell, study_of

ARMS = """
arms:
  head: {method: {kind: head_only}, codec: {kind: dense}, rank_selection: null}
  dense: {method: {kind: fedavg}, codec: {kind: dense}, rank_selection: null}
  adaptive: {schedule: {kind: tsfa, latency_budget: 1.2 s}, rank_selection: null}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text(MANY + ARMS)
    return path


def planned(path: Path, overrides: Sequence[str] = (), arm: str | None = None) -> report.Planned:
    return report.plan(study_of(path, overrides, arm), arm, "links")


def command(plan: report.Planned, path: Path, overrides: Sequence[str]) -> list[str]:
    """What is printed to be run, but for the words ``wfl-sim run FILE``."""
    told = "\n".join(words.text(plan, str(path), overrides))
    return shlex.split(told.partition("To run it\n")[2].replace("\\\n", ""))[3:]


def run_by(plan: report.Planned, path: Path, overrides: Sequence[str]) -> list[Cell]:
    """The cells that the printed command runs."""
    option, arm, *settings = command(plan, path, overrides)
    assert option == "--arm"
    return [cell for cell in load(path, settings).cells if arm in (cell.arm, cell.group)]


@pytest.mark.parametrize("arm", [None, "adaptive", "dense"])
@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("schedulee.v=1,2", "schedulee: unknown key; did you mean 'schedule'?"),
        ("schedulee.v=1", "schedulee: unknown key; did you mean 'schedule'?"),
        ("arms.dense.metod.rank=4", "arms.dense.metod: unknown key; did you mean 'method'?"),
        ("arms.adaptive.schedule.patienc=4", "arms.adaptive.schedule.patienc: unknown key; did you mean 'patience'?"),
        ("grid={roundz: [1, 2]}", "grid.roundz: unknown key; did you mean 'rounds'?"),
    ],
)
def test_a_key_that_no_kind_has_is_refused_whichever_arm_is_planned(
    file: Path, arm: str | None, override: str, says: str
) -> None:
    with pytest.raises(ScenarioError) as told:
        study_of(file, [override], arm)
    (problem,) = told.value.args
    assert says in str(problem)
    with pytest.raises(ScenarioError):
        load(file, [override])


def test_a_key_that_another_kind_has_is_for_the_other_arms(file: Path) -> None:
    for override, arm in (("schedule.v=2", "dense"), ("method.adapt=[key]", "head"), ("arms.dense.rounds=3", "head")):
        assert [cell.arm for cell in study_of(file, [override], arm).cells] == [arm]
        load(file, [override])  # as `run` has it
    axis = study_of(file, ["schedule.v=2,3"], "dense")
    assert [cell.arm for cell in axis.cells] == ["dense"]
    assert [cell.arm for cell in study_of(file, ["schedule.v=2,3"], "adaptive").cells] == [
        "adaptive-v=2",
        "adaptive-v=3",
    ]


def test_an_arm_that_would_be_planned_is_not_passed_over_for_its_own_mistake(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(MANY + ARMS.replace("kind: tsfa,", "kind: tsfa, vv: 3,"))
    for arm in (None, "adaptive", "adaptive-rounds=3"):
        with pytest.raises(ScenarioError, match="vv"):
            study_of(path, [], arm)
    assert chosen_cell(study_of(path, [], "dense"), "dense").arm == "dense"
    path.write_text(MANY + ARMS.replace("kind: fedavg", "kind: fedavg, ranc: 3"))
    assert chosen_cell(study_of(path, []), None).arm == "adaptive", "a mistake elsewhere is not in its way"
    path.write_text(MANY + ARMS.replace("kind: fedavg", "kind: fedavg, ranc: 3").replace("kind: tsfa", "kind: min_max"))
    with pytest.raises(ScenarioError):
        study_of(path, [])


def test_a_file_is_read_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wfl_sim import yamlfile

    read, seen = yamlfile.read, list[Path]()

    def counted(path: Path) -> yamlfile.Document:
        seen.append(path)
        return read(path)

    monkeypatch.setattr(yamlfile, "read", counted)
    study_of(file, ["rounds=3", "arms.more={}"])
    assert seen == [file]


@pytest.mark.parametrize("arm", ["adaptive-rounds=9-fading=none", "adaptive", "dense-rounds=3-fading=rayleigh"])
def test_the_command_of_a_point_runs_that_point_alone(tmp_path: Path, arm: str) -> None:
    path = tmp_path / "s.yaml"
    grid = "grid: {rounds: [3, 9], channel.fading: [{kind: none}, {kind: rayleigh}], method.rank: [2, 4]}\n"
    path.write_text(MANY + ARMS + grid)
    arm = f"{arm}-rank=4" if "-" in arm else arm
    plan = planned(path, [], arm)
    (cell,) = run_by(plan, path, [])
    assert cell.scenario.rounds == plan.scenario.rounds
    assert cell.scenario.channel.fading == plan.scenario.channel.fading
    assert cell.scenario.method.rank == plan.advice.rank  # type: ignore[attr-defined]


def test_the_command_of_a_point_sets_a_kind_before_its_options(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(MANY + "grid: {codec.bits: [8, 16], codec.kind: [topk, components]}\n")
    study = study_of(path, [])
    arm = next(cell.arm for cell in study.cells if (cell.scenario.codec.kind, cell.scenario.codec.bits) == ("topk", 16))  # type: ignore[attr-defined]
    plan = planned(path, [], arm)
    (cell,) = load(path, command(plan, path, [])).cells
    assert cell.scenario.codec == plan.scenario.codec


def test_the_command_of_a_point_keeps_the_options_of_a_kind(tmp_path: Path) -> None:
    plain = tmp_path / "plain.yaml"
    plain.write_text(MANY)
    given = ["schedule.kind=tsfa,min_max", "schedule.patience=2", "schedule.latency_budget=1 s", "rounds=3,9"]
    plan = planned(plain, given)
    (cell,) = load(plain, command(plan, plain, given)).cells
    assert (cell.scenario.schedule.kind, cell.scenario.rounds) == ("tsfa", 3)
    assert cell.scenario.schedule.patience == 2.0  # type: ignore[attr-defined]


def test_overrides_that_matter_stay_in_the_command(file: Path) -> None:
    given = ["arms.dense.method.rank=4", "method={kind: soft, rank: 6, alpha: 12}", "rounds=3", "schedule.v=4"]
    plan = planned(file, [*given, "arms.adaptive.method.rank=2", "rank_selection.candidates=2,4"], "adaptive")
    said = command(plan, file, [*given, "arms.adaptive.method.rank=2", "rank_selection.candidates=2,4"])[2:]
    assert said == [*given[:3], *plan.overrides], "and no other: the settings say them again"
    (cell,) = run_by(plan, file, given)
    assert (cell.scenario.rounds, cell.scenario.method.rank) == (3, plan.advice.rank)  # type: ignore[attr-defined]


def test_numbers_of_the_command_are_not_cut(file: Path) -> None:
    given = ["method.alpha=16", "method.rank=7", "rank_selection.candidates=[2, 4]"]
    plan = planned(file, given, "adaptive")
    assert plan.settings["method.scale"] == 16 / 7
    (cell,) = run_by(plan, file, given)
    assert cell.scenario.method.adapter().alpha / cell.scenario.method.rank == pytest.approx(16 / 7, rel=1e-15)  # type: ignore
