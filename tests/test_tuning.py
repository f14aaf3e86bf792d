"""Learning rates by trial: who gets which runs, what is chosen, and what is told.

What is learnt is made up here, but for the last test: quality is a known function of the rates.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from typer.testing import CliRunner

import wfl_sim.learning
from analysis.traces import load as load_traces
from analysis.tradeoff import summary
from wfl_sim import tuning, yamlfile
from wfl_sim.cli import app
from wfl_sim.codecs.base import Layout
from wfl_sim.errors import OutputExists, RunFailed, ScenarioError
from wfl_sim.federation import Federation
from wfl_sim.scenario import Cell, Study, load, parse, to_plain
from wfl_sim.tuning import Grid, Outcome, Plan, Trial, choose, plan

ALONE = """\
schema_version: 1
name: small
seeds: [1, 2]
rounds: 4
radio: {uplink: {bandwidth: 2 MHz}}
channel: {path_loss: {kind: uma}}
clients:
  count: 2
  placement: {kind: disc, from: 35 m, to: 200 m}
  compute: {time: 100 ms}
learning: {data: {train: 40, test: 30}}
method: {kind: fedavg, rank: 4}
"""
SCENARIO = f"""{ALONE}
arms:
  dense: {{}}
  v1.5: {{learning: {{local: {{steps: 2, lr: 0.5}}}}}}
  head: {{method: {{kind: head_only}}}}
"""
GRID = Grid((1e-3, 1e-2, 1e-1), (1e-2, 1e-1))
FEW = ["--lr", "1e-3,1e-2,1e-1", "--head-lr", "1e-2,1e-1", "--jobs", "1"]

Quality = Callable[[float, float, int], float]


def accuracy(lr: float, head_lr: float, round_: int) -> float:
    """Highest at 1e-2 and 1e-1; the round before the last is so bad that a mean would tell, and the last alone lies."""
    level = 0.8 - 0.1 * abs(math.log10(lr) + 2) - 0.05 * abs(math.log10(head_lr) + 1)
    return level + (0.0, 0.0, 0.01, -0.3, 0.2 * lr)[round_]


class Learner:
    """Adds 1 a round; where `bad` says so of the rates, its update or its loss is no number."""

    layout = Layout((), ("head.weight",), {"head.weight": (2, 3)})
    frozen: ClassVar[dict[str, Any]] = {}

    def __init__(self, lr: float, head_lr: float, quality: Quality, bad: Callable[[float, float], str]) -> None:
        self.rates, self.quality, self.bad = (lr, head_lr), quality, bad(lr, head_lr)
        if self.bad == "defect":
            raise ZeroDivisionError("oh")

    def initial(self) -> dict[str, Any]:
        return {"head.weight": np.zeros((2, 3), np.float32)}

    def examples(self, client: int) -> int:
        return 10

    def train(self, starts: Any, round_: int) -> Any:
        return {client: partial(self._trained, start) for client, start in starts.items()}

    def _trained(self, start: Any) -> Any:
        return {"head.weight": start["head.weight"] + np.float32("nan" if self.bad == "update" else 1)}

    def evaluate(self, params: Any) -> dict[str, float]:
        round_ = round(float(params["head.weight"][0, 0]))
        return {"accuracy": self.quality(*self.rates, round_), "loss": math.inf if self.bad == "loss" else 1.0}

    def close(self) -> None:
        pass


@pytest.fixture
def learning(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put the learner above in the place of the real one."""

    def install(quality: Quality = accuracy, bad: Callable[[float, float], str] = lambda lr, head_lr: "") -> None:
        def build_work(scenario: Any, memo_folder: Any, states: Any = None, workers: int = 1) -> Any:
            local, options = scenario.learning.local, scenario.learning
            assert options.data.evaluate == "validation"
            learner: Any = Learner(local.lr, local.head_lr, quality, bad)
            work = Federation(
                scenario.method, scenario.codec, learner, scenario.clients.count, options.on_divergence, states
            )
            return work, {}

        module: Any = ModuleType("wfl_sim.learning.federated")
        module.build_work = build_work
        monkeypatch.setitem(sys.modules, module.__name__, module)
        # Where the real one has been imported, `from` finds it on the package.
        monkeypatch.setattr(wfl_sim.learning, "federated", module, raising=False)

    return install


@pytest.fixture
def call(tmp_path: Path) -> Callable[..., Result]:
    """`wfl-sim tune` on the scenario above, below the temporary folder."""
    file = tmp_path / "small.yaml"
    file.write_text(SCENARIO, encoding="utf-8")

    def caller(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["tune", str(file), "--output", str(tmp_path / "runs"), *arguments])

    return caller


def problems(answer: Result) -> list[str]:
    """The first lines of what a command found wrong."""
    assert isinstance(answer.exception, ScenarioError) and answer.exception.exit_code == 2
    return [str(problem) for problem in answer.exception.args]


def test_every_arm_gets_the_same_points_and_nothing_else_is_changed() -> None:
    source = parse(SCENARIO)
    found = plan(source, GRID, rounds=3)
    points = {arm: [(trial.lr, trial.head_lr) for trial in trials] for arm, trials in found.arms.items()}
    whole = [(lr, head_lr) for lr in GRID.lr for head_lr in GRID.head_lr]
    assert points == {"dense": whole, "v1.5": whole, "head": [(None, head_lr) for head_lr in GRID.head_lr]}
    base = {cell.arm: cell.scenario for cell in source.cells}
    for trial in found.trials:
        tried, own = trial.cell.scenario, base[trial.arm]
        data, local = tried.learning.data, tried.learning.local
        assert (tried.name, tried.seeds, trial.cell.seed, tried.rounds) == ("small-tune", (1000,), 1000, 3)
        assert (data.evaluate, data.validation) == ("validation", own.learning.data.test)
        assert (local.lr, local.head_lr) == (trial.lr or own.learning.local.lr, trial.head_lr)
        restored = replace(
            tried.learning,
            data=replace(data, evaluate="test", validation=0),
            local=replace(local, lr=own.learning.local.lr, head_lr=own.learning.local.head_lr),
        )
        assert replace(tried, name=own.name, seeds=own.seeds, rounds=own.rounds, learning=restored) == own
    assert len({trial.cell.arm for trial in found.trials}) == len(found.trials)


def test_arms_can_be_chosen_and_validation_examples_counted() -> None:
    some = plan(parse(SCENARIO), GRID, arms=["head"], validation=50)
    assert list(some.arms) == ["head"]
    assert {trial.cell.scenario.learning.data.validation for trial in some.trials} == {50}
    own = plan(parse(SCENARIO, overrides=["learning.data.validation=20"]), GRID)
    assert {trial.cell.scenario.learning.data.validation for trial in own.trials} == {20}


@given(st.sets(st.integers(998, 1004), min_size=1))
def test_the_seed_is_never_one_that_is_reported(seeds: set[int]) -> None:
    # The check of models and data reads the same whatever the seeds, so it is made once, above.
    taken = tuning._seed(None, seeds)
    assert taken not in seeds and taken >= tuning.FIRST_SEED
    for seed in seeds:
        with pytest.raises(ScenarioError, match=rf"--seed {seed}: is a seed of the scenario"):
            tuning._seed(seed, seeds)
    assert tuning._seed(5, seeds) == 5


def test_the_best_is_chosen_by_the_median_that_tables_show(learning: Any, tmp_path: Path) -> None:
    learning()
    found = plan(parse(SCENARIO), GRID, arms=["dense", "head"])
    tuned = tuning.run(found, tmp_path, jobs=1)
    best = [one.best.trial.rates for one in tuned if one.best]
    assert best == [{"lr": 1e-2, "head_lr": 1e-1}, {"head_lr": 1e-1}]
    table = summary(load_traces(tmp_path / "small-tune")).set_index("arm")["accuracy"]
    values = {each.trial.cell.arm: each.value for one in tuned for each in one.outcomes}
    assert len(values) == len(table) and values == pytest.approx(table.to_dict(), abs=1e-12)
    # The last three rounds are worth level + 0.01, - 0.3 and + 0.2 lr: the median is the least of what is above.
    assert values["dense+lr0.01+head_lr0.1"] == pytest.approx(0.8 + 0.2 * 0.01)


def outcomes(values: Sequence[float | None], grid: Grid, data: str = "builtin:wordnet10") -> list[Outcome]:
    """Outcomes of a whole grid, row by row."""
    (cell, *_) = parse(ALONE, overrides=[f"learning.data.name={data}"]).cells
    points = [(lr, head_lr) for lr in grid.lr for head_lr in grid.head_lr]
    return [
        Outcome(Trial("a", lr, head_lr, cell), "finished", value, Path("x"))
        for (lr, head_lr), value in zip(points, values, strict=True)
    ]


SQUARE = Grid((1e-3, 3e-3, 1e-2), (1e-2, 1e-1, 1.0))


@pytest.mark.parametrize("where", range(9))
@pytest.mark.parametrize("data", ["builtin:wordnet10", "builtin:shakespeare"])
def test_a_best_at_the_edge_is_told_with_a_grid_that_leaves_it(where: int, data: str) -> None:
    lower = data == "builtin:shakespeare"
    values: list[float | None] = [90.0 if lower else 0.3] * 9
    values[where] = 80.0 if lower else 0.4
    values[(where + 1) % 9] = None  # never the best, whichever way is better
    tuned = choose("a", outcomes(values, SQUARE, data), SQUARE)
    assert tuned.quality.better == ("lower" if lower else "higher")
    assert tuned.best is tuned.outcomes[where]
    row, column = divmod(where, 3)
    ends = {0: "smallest", 2: "largest"}
    expected = [(key, ends[n]) for key, n in (("lr", row), ("head_lr", column)) if n in ends]
    assert [(edge.key, edge.end) for edge in tuned.edges] == expected
    for edge in tuned.edges:
        tried = getattr(SQUARE, edge.key)
        assert set(edge.wider) > set(tried) and list(edge.wider) == sorted(edge.wider)
        assert edge.wider[0] < edge.value < edge.wider[-1]


@pytest.mark.parametrize("rates", [(0.01, 0.012), (0.012, 0.013), (0.0099, 0.01), (1e-3, 1.4e-3, 1.7e-3)])
def test_a_grid_of_close_rates_is_widened_beyond_them(rates: tuple[float, ...]) -> None:
    for rate, end in ((rates[0], min), (rates[-1], max)):
        edge = tuning._edge("lr", rate, rates)
        assert edge is not None
        assert len(set(edge.wider)) == len(rates) + 1
        assert end(edge.wider) not in rates and list(edge.wider) == sorted(edge.wider)


def test_a_single_rate_has_no_edge_and_equal_points_give_the_smaller_rates() -> None:
    grid = Grid((1e-2,), (1e-2, 1e-1, 1.0))
    tuned = choose("a", outcomes([0.3, 0.5, 0.5], grid), grid)
    assert tuned.best is tuned.outcomes[1] and tuned.edges == ()
    nothing = choose("a", outcomes([None, None, None], grid), grid)
    assert nothing.best is None and nothing.edges == ()


def chosen(text: str) -> tuple[Plan, list[tuning.Tuned]]:
    """A plan, and the second point of each arm as its best."""
    made = plan(parse(text), GRID)
    return made, [
        choose(arm, [Outcome(trial, "finished", float(n == 1), Path("x")) for n, trial in enumerate(trials)], GRID)
        for arm, trials in made.arms.items()
    ]


def rates(study: Study) -> dict[str, tuple[float, float]]:
    return {cell.arm: (cell.scenario.learning.local.lr, cell.scenario.learning.local.head_lr) for cell in study.cells}


@pytest.mark.parametrize("text", [SCENARIO, ALONE], ids=["arms", "alone"])
def test_what_is_to_be_pasted_sets_the_best_rates(text: str) -> None:
    made, tuned = chosen(text)
    by_overrides = parse(text, overrides=tuning.overrides(made, tuned))
    best = {one.arm: one.best.trial for one in tuned if one.best}
    own = rates(parse(text))
    assert len(best) == len(own)
    assert rates(by_overrides) == {arm: (trial.lr or own[arm][0], trial.head_lr) for arm, trial in best.items()}
    yaml = YAML(typ="safe", pure=True)
    laid, _ = yamlfile.merge(yaml.load(text), yaml.load(tuning.snippet(made, tuned)))
    assert parse(json.dumps(laid)).cells == by_overrides.cells


def test_a_point_that_diverges_is_the_worst_and_no_failure(learning: Any, call: Any, tmp_path: Path) -> None:
    learning(bad=lambda lr, head_lr: {1e-1: "update", 1e-2: "loss"}.get(lr, "") if head_lr == 1e-1 else "")
    answer = call(*FEW, "--arm", "dense")
    assert answer.exit_code == 0, answer.output
    rows = list(csv.DictReader((tmp_path / "runs/small-tune/tune.csv").open()))
    status = {(float(row["lr"]), float(row["head_lr"])): row["status"] for row in rows}
    diverged = {(1e-1, 1e-1), (1e-2, 1e-1)}
    assert status == {
        (lr, h): "diverged" if (lr, h) in diverged else "finished" for lr in GRID.lr for h in GRID.head_lr
    }
    assert [(row["lr"], row["head_lr"]) for row in rows if row["best"] == "True"] == [("0.01", "0.01")]
    shown = [line.split() for line in answer.stdout.splitlines()]
    assert ["0.01", "0.752*", "diverged"] in shown and ["0.001", "0.650", "0.700"] in shown


def test_an_arm_of_which_every_point_diverges_ends_the_command_with_1(learning: Any, call: Any) -> None:
    learning(bad=lambda lr, head_lr: "update")
    answer = call("--lr", "1", "--head-lr", "1", "--jobs", "1", "--arm", "head", "--arm", "dense", "--format", "json")
    told = json.loads(answer.stdout)
    assert answer.exit_code == 1 and [arm["best"] for arm in told["arms"]] == [None, None]
    assert told["overrides"] == [] and told["yaml"].endswith("{}\n")


def test_another_failure_is_one(learning: Any, call: Any, tmp_path: Path) -> None:
    learning(bad=lambda lr, head_lr: {1e-3: "update", 1e-2: "defect"}.get(lr, ""))
    answer = call(*FEW, "--arm", "dense")
    assert isinstance(answer.exception, RunFailed)
    assert str(answer.exception) == "dense+lr0.01+head_lr0.01: ZeroDivisionError: oh"
    assert not (tmp_path / "runs/small-tune/tune.json").exists()


def test_what_was_tuned_is_not_overwritten_unless_asked(learning: Any, call: Any, tmp_path: Path) -> None:
    learning()
    one = ["--arm", "head", "--jobs", "1", "--quiet", "--rounds", "2"]
    assert call(*one, "--head-lr", "1e-2").exit_code == 0
    first = (tmp_path / "runs/small-tune/tune.json").read_text()
    for other in ("1e-2", "1e-1"):  # the same runs, and others
        assert isinstance(call(*one, "--head-lr", other).exception, OutputExists)
    assert (tmp_path / "runs/small-tune/tune.json").read_text() == first
    answer = call(*one, "--head-lr", "1e-1,1e-2", "--force")
    assert (answer.exit_code, answer.output) == (0, "")
    assert json.loads((tmp_path / "runs/small-tune/tune.json").read_text())["grid"]["head_lr"] == [1e-2, 1e-1]


def test_an_interrupt_chooses_nothing(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "runs/small-tune"
    folder.mkdir(parents=True)
    (folder / "tune.json").write_text("of another grid")
    monkeypatch.setattr(tuning.studies, "run", stopped)
    answer = call(*FEW, "--force")
    assert answer.exit_code == 130 and "interrupted; nothing was chosen" in answer.stderr
    assert list(folder.iterdir()) == [], "what stood there told of other runs"


def test_what_is_said(learning: Any, call: Any, tmp_path: Path) -> None:
    learning()
    few = ["--lr", "1e-2,1e-3", "--head-lr", "1e-2,1e-1", "--jobs", "1", "--rounds", "2"]
    answer = call(*few)
    assert "10 runs of 2 rounds (4 of each of dense, v1.5; 2 of head), with seed 1000" in answer.stderr
    assert "dense, lr 0.001, head_lr 0.01: round 2: accuracy 0.6" in answer.stderr
    assert "no adapters: lr does not matter here, so head_lr alone was tried" in answer.stdout
    assert "best at the edge: head_lr 0.1 is the largest tried; widen the grid, for example --head-lr 0.01,0.1,1" in (
        answer.stdout
    )
    assert "arms.v1.5.learning.local.lr=0.01 arms.v1.5.learning.local.head_lr=0.1" in answer.stdout
    told = json.loads((tmp_path / "runs/small-tune/tune.json").read_text())
    again = call(*few, "--arm", "dense", "--force", "--format", "json")
    alone = json.loads(again.stdout)
    assert alone.pop("folder") == str(tmp_path / "runs/small-tune")
    assert alone == json.loads((tmp_path / "runs/small-tune/tune.json").read_text())
    assert alone["arms"] == told["arms"][:1] and alone["grid"] == told["grid"]
    assert again.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--lr", "1e-3,x"], "command line: --lr 1e-3,x: needs a number; got 'x'"),
        (["--lr", "1e-3,"], "command line: --lr 1e-3,: needs a number; got ''"),
        (["--head-lr", "0"], "command line: --head-lr 0: must be above 0; got 0"),
        (["--head-lr", "nan"], "command line: --head-lr nan: needs a number; got 'nan'"),
        (["--lr", "1 s"], "command line: --lr 1 s: needs a number; 's' is no unit of that"),
        (["--lr", "0.1,10 %"], "command line: --lr 0.1,10 %: has 10 % twice"),
        (["--seed", "2"], "command line: --seed 2: is a seed of the scenario"),
        (["seeds=[7]", "--seed", "7"], "command line: --seed 7: is a seed of the scenario"),
        (["--arm", "haed"], "command line: --arm haed: unknown arm; did you mean 'head'?"),
        (["--validation", "10000000"], "command line: --validation 10000000: must be at most "),
        (["learning.data.test=1", "learning.data.validation=10000000"], "command line: --validation 10000000: must be"),
        (["learning.local.lr=0"], "command line: learning.local.lr=0: learning.local.lr: must be above 0"),
        (["method={kind: none, payload: 1 kbit}", "--arm", "v1.5"], "command line: method={kind: none, payload"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_before_anything_runs(call: Any, tmp_path: Path, arguments: list[str], says: str) -> None:
    told = problems(call(*arguments))
    assert told[0].startswith(says), told
    assert not (tmp_path / "runs").exists()


def test_an_arm_that_learns_nothing_is_named_with_those_to_tune() -> None:
    text = SCENARIO + "  air: {method: {kind: none, payload: 1 kbit}}\n"
    with pytest.raises(ScenarioError) as caught:
        plan(parse(text, "file.yaml"), GRID)
    (problem,) = caught.value.args
    assert (problem.place, problem.key) == ("file.yaml", "arms.air.method")
    assert problem.message.endswith("tune the others with --arm dense --arm v1.5 --arm head")
    assert list(plan(parse(text), GRID, arms=["dense", "head"]).arms) == ["dense", "head"]


def test_percentages_are_read_and_rates_come_in_rising_order(learning: Any, call: Any) -> None:
    learning()
    answer = call("--arm", "head", "--head-lr", "10 %,1e-3,0.01", "--jobs", "1", "--format", "json")
    told = json.loads(answer.stdout)
    assert told["grid"]["head_lr"] == [1e-3, 1e-2, 1e-1]
    assert [row["head_lr"] for row in told["arms"][0]["points"]] == [1e-3, 1e-2, 1e-1]


@given(st.floats(1e-6, 1e3, exclude_min=True))
def test_a_rate_is_shown_so_that_it_reads_back(rate: float) -> None:
    assert float(tuning.shown(rate)) == rate


def test_completion_offers_the_arms(tmp_path: Path) -> None:
    import typer

    from wfl_sim import completion

    (tmp_path / "small.yaml").write_text(SCENARIO, encoding="utf-8")
    context = typer.Context(typer.main.get_command(app))
    context.params = {"scenario": str(tmp_path / "small.yaml")}
    assert completion.arms(context, "") == ["dense", "v1.5", "head"]
    assert completion.arms(context, "h") == ["head"]
    context.params = {"scenario": str(tmp_path / "none.yaml")}
    assert completion.arms(context, "") == []


@pytest.mark.slow
def test_a_real_run_of_four_points(tmp_path: Path) -> None:
    found = CliRunner().invoke(
        app,
        [
            "tune", "quickstart", "--arm", "dense-equal", "--rounds", "2", "--lr", "1e-6,1e-2",
            "--head-lr", "1e-6,3e-2", "--jobs", "1", "--output", str(tmp_path), "--format", "json",
            "learning.model.layers=1", "learning.data.train=40", "learning.data.test=200",
            "learning.data.partition={kind: iid}",
        ],
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    (arm,) = told["arms"]
    values = {(row["lr"], row["head_lr"]): row["value"] for row in arm["points"]}
    assert arm["best"]["head_lr"] == 3e-2, "steps of a millionth leave the first head, which knows nothing"
    assert values[1e-6, 1e-6] < 0.2 < arm["best"]["value"]
    for row in arm["points"]:
        cell: Cell = load(tmp_path / "quickstart-tune" / row["directory"] / "scenario.yaml").cells[0]
        data = to_plain(cell.scenario.learning.data)
        assert (data["evaluate"], data["validation"], cell.seed) == ("validation", 200, 1000)
