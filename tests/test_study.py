"""Cells side by side: directories, failures, interrupts, manifests.

The learning is made up here, so that no tensor library is loaded; `test_quickstart.py` has the real one.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import wfl_sim
import wfl_sim.learning
from channels.options import OptionError
from wfl_sim import engine, locks, study
from wfl_sim.contracts import Payload, PayloadMenu, Point
from wfl_sim.errors import MissingResource, OutputExists, RunFailed, ScenarioError
from wfl_sim.methods.none import NoLearning
from wfl_sim.scenario import Cell, Scenario, Study, load, parse
from wfl_sim.trace import Row, dump, read_rows

SCENARIO = """\
schema_version: 1
name: small
seeds: [3]
rounds: 4
channel: {path_loss: {kind: uma}, loss: {kind: independent, probability: 5 %, origin: interference}}
clients:
  count: 2
  placement: {kind: disc, from: 35 m, to: 200 m}
  compute: {time: 100 ms, jitter: 0.2}
method: {kind: head_only}
arms:
  one: {}
  two: {schedule: {kind: min_max}}
  three: {schedule: {kind: tsfa, latency_budget: 300 ms}}
"""


class MadeUpWork:
    """A learning side with payloads of a fixed size; `accident` is called before each training."""

    known_at_once = False

    def __init__(self, accident: Callable[[int], None]) -> None:
        self._accident, self._round = accident, 0

    def weight(self, client: int) -> float:
        return 0.5

    def menu(self, client: int) -> PayloadMenu:
        return PayloadMenu((Point(0.5, 20_000, 0.5), Point(1.0, 40_000, 0.0)))

    def downlink(self, clients: Sequence[int]) -> Payload:
        return Payload(bytes(5_000), 1.0)

    def received(self, clients: Sequence[int]) -> None:
        pass

    def train(self, round_: int, clients: Sequence[int]) -> None:
        self._accident(round_)
        self._round = round_

    def encode(self, client: int, point: Point) -> Payload:
        return Payload(bytes(point.bits // 8), point.kept_fraction)

    def stopped(self, client: int) -> None:
        pass

    def lost(self, client: int) -> None:
        pass

    def model(self) -> None:
        pass

    def close(self) -> None:
        pass

    def aggregate(self, arrivals: dict[int, Payload], factors: Any = None) -> None:
        pass

    def evaluate(self) -> dict[str, float]:
        return {"accuracy": 0.1 * self._round, "loss": 1.0}

    def diagnostics(self) -> dict[str, Any]:
        return dict.fromkeys(("rank", "coherence_a", "coherence_b", "e_cov", "e_sp", "e_sp_score", "e_q"))


@pytest.fixture
def plan() -> Study:
    """Three arms of one seed."""
    return parse(SCENARIO)


@pytest.fixture
def learning(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str, int], None]], None]:
    """Put made-up learning in the place of the real one; ``accident(schedule, round)`` may raise."""

    def install(accident: Callable[[str, int], None] = lambda schedule, round_: None) -> None:
        def build_work(scenario: Scenario, memo_folder: Path | None, **kept: Any) -> tuple[MadeUpWork, dict[str, Any]]:
            return MadeUpWork(lambda round_: accident(scenario.schedule.kind, round_)), {"made": "up"}  # type: ignore[attr-defined]

        module = ModuleType("wfl_sim.learning.federated")
        module.build_work = build_work  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        # Where the real one has been imported, `from` finds it on the package.
        monkeypatch.setattr(wfl_sim.learning, "federated", module, raising=False)

    return install


def manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a run directory."""
    found: dict[str, Any] = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    return found


def whole_rounds(directory: Path) -> list[int]:
    """The rounds of a trace, after checking that each is whole and that rounds.csv has the same."""
    trace = directory / "trace.sqlite"
    rounds = [row["round"] for row in read_rows(trace, "rounds")]
    for table, least in (("decisions", 2), ("transmissions", 1)):
        of_round = [row["round"] for row in read_rows(trace, table)]
        assert set(of_round) == set(rounds)
        assert all(of_round.count(number) >= least for number in rounds)
    with (directory / "rounds.csv").open(newline="") as stream:
        assert [int(row["round"]) for row in csv.DictReader(stream)] == rounds
    return rounds


def test_each_cell_gets_a_directory_of_its_own(plan: Study, learning: Any, tmp_path: Path) -> None:
    learning()
    seen: list[tuple[str, int]] = []
    folder = study.run(plan, tmp_path, jobs=1, report=lambda cell, row: seen.append((cell.arm, row["round"])))
    assert folder == tmp_path / "small"
    assert sorted(path.name for path in folder.iterdir()) == ["one-seed3", "three-seed3", "two-seed3"], (
        "no memo is left"
    )
    assert seen == [(arm, number) for arm in ("one", "two", "three") for number in (1, 2, 3, 4)]
    for place, cell in enumerate(plan.cells):
        directory = study.cell_directory(tmp_path, cell)
        assert sorted(path.name for path in directory.iterdir()) == [
            "manifest.json",
            "rounds.csv",
            "scenario.yaml",
            "trace.sqlite",
        ]
        record = manifest(directory)
        assert (record["arm"], record["arm_index"], record["seed"]) == (cell.arm, place, 3)
        assert (record["status"], record["rounds"], record["rounds_done"]) == ("finished", 4, 4)
        assert record["data"] == {"made": "up"}
        assert load(directory / "scenario.yaml").cells[0].scenario == cell.scenario
        assert whole_rounds(directory) == [1, 2, 3, 4]
        for direction in ("up", "down"):
            rows = [r for r in read_rows(directory / "trace.sqlite", "transmissions") if r["direction"] == direction]
            ledger = record["ledger"]
            assert ledger[f"offered_{direction}_bits"] == sum(row["payload_bits"] for row in rows)
            assert ledger[f"delivered_{direction}_bits"] == sum(
                row["payload_bits"] for row in rows if row["outcome"] == "delivered"
            )
    assert manifest(tmp_path / "small" / "three-seed3")["latency_budget_s"] == 0.3
    assert manifest(tmp_path / "small" / "one-seed3")["latency_budget_s"] is None


def test_the_manifest_tells_where_a_path_loss_was_asked_outside_its_range(learning: Any, tmp_path: Path) -> None:
    learning()
    study.run(parse(SCENARIO.replace("kind: uma", "kind: cost231_hata"), overrides=["rounds=1"]), tmp_path, jobs=1)
    said = manifest(tmp_path / "small" / "one-seed3")["warnings"]
    assert said[0].endswith("stated for carriers from 1.5 GHz to 2 GHz; the carrier is 3.5 GHz")
    assert "from 1000 m to 20000 m; 2 clients were nearer, down to " in said[1]
    study.run(parse(SCENARIO, overrides=["rounds=1"]), tmp_path / "uma", jobs=1)
    assert manifest(tmp_path / "uma" / "small" / "one-seed3")["warnings"] == []


def test_a_resolved_scenario_runs_to_the_same_trace(plan: Study, learning: Any, tmp_path: Path) -> None:
    learning()
    study.run(plan, tmp_path / "a", jobs=1)
    first = tmp_path / "a" / "small" / "three-seed3"
    again = load(first / "scenario.yaml")
    study.run(again, tmp_path / "b", jobs=1)
    assert dump(study.cell_directory(tmp_path / "b", again.cells[0]) / "trace.sqlite") == dump(first / "trace.sqlite")


def test_arms_see_the_same_links_and_compute_times(plan: Study, learning: Any, tmp_path: Path) -> None:
    learning()
    study.run(plan, tmp_path, jobs=1)
    columns = []
    for cell in plan.cells:
        rows = read_rows(study.cell_directory(tmp_path, cell) / "trace.sqlite", "decisions")
        columns.append(
            (
                [(row["client"], row["csi_snr_db"]) for row in rows if row["round"] == 1],
                [(row["round"], row["client"], row["compute_s"]) for row in rows],
            )
        )
    assert columns[0] == columns[1] == columns[2]
    assert len(set(columns[0][0])) == 2


def tables(output: Path) -> dict[str, Any]:
    """All tables of all runs of a study, by the name of the run."""
    return {path.name: dump(path / "trace.sqlite") for path in (output / "small").iterdir() if path.is_dir()}


def test_what_no_run_made_is_refused_and_left_alone(plan: Study, learning: Any, tmp_path: Path) -> None:
    learning()
    old = tmp_path / "small" / "two-seed3"
    old.mkdir(parents=True)
    (old / "kept").write_text("x")
    for force in (False, True):
        with pytest.raises(OutputExists, match=r"two-seed3 is no run directory \(it holds kept"):
            study.run(plan, tmp_path, jobs=1, force=force)
        assert [path.name for path in (tmp_path / "small").iterdir()] == ["two-seed3"], "nothing has run"
        assert (old / "kept").read_text() == "x"


def test_force_replaces_the_cells_and_nothing_else(plan: Study, learning: Any, tmp_path: Path) -> None:
    learning()
    study.run(plan, tmp_path, jobs=1)
    for name in ("two-seed3", "two-seed4", "notes"):
        (tmp_path / "small" / name).mkdir(exist_ok=True)
        (tmp_path / "small" / name / "old").write_text("x")
    seen: list[int] = []
    study.run(plan, tmp_path, jobs=1, force=True, report=lambda cell, row: seen.append(row["round"]))
    assert seen == 3 * [1, 2, 3, 4]
    assert not (tmp_path / "small" / "two-seed3" / "old").exists()
    assert whole_rounds(tmp_path / "small" / "two-seed3") == [1, 2, 3, 4]
    assert (tmp_path / "small" / "two-seed4" / "old").read_text() == "x"
    assert (tmp_path / "small" / "notes" / "old").read_text() == "x"


def test_the_same_again_skips_what_is_finished(plan: Study, learning: Any, tmp_path: Path) -> None:
    learning()
    study.run(plan, tmp_path, jobs=1)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()}
    events: list[tuple[str, str]] = []
    folder = study.run(plan, tmp_path, jobs=1, watch=lambda cell, event: events.append((cell.arm, event)))
    assert folder == tmp_path / "small"
    assert events == [("one", "skipped"), ("two", "skipped"), ("three", "skipped")]
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RunFailed("the disk is full")])
def test_the_same_again_finishes_what_was_not_and_ends_identical(
    plan: Study, tmp_path: Path, error: BaseException
) -> None:
    quiet = [
        replace(cell, scenario=replace(cell.scenario, method=NoLearning(payload_bits=40_000.0))) for cell in plan.cells
    ]
    plan = replace(plan, cells=tuple(quiet))
    study.run(plan, tmp_path / "whole", jobs=1)

    def stop(cell: Cell, row: Row) -> None:
        if (cell.arm, row["round"]) == ("two", 2):
            raise error

    with pytest.raises(type(error)):
        study.run(plan, tmp_path / "broken", jobs=1, report=stop)
    assert manifest(tmp_path / "broken" / "small" / "two-seed3")["rounds_done"] == 2
    events: list[tuple[str, str]] = []
    study.run(plan, tmp_path / "broken", jobs=1, watch=lambda cell, event: events.append((cell.arm, event)))
    assert ("one", "skipped") in events and ("two", "finished") in events
    assert tables(tmp_path / "broken") == tables(tmp_path / "whole")
    for cell in plan.cells:
        record = manifest(study.cell_directory(tmp_path / "broken", cell))
        whole = manifest(study.cell_directory(tmp_path / "whole", cell))
        assert {**record, "measured": None} == {**whole, "measured": None}


def test_what_a_killed_study_shared_goes_even_if_nothing_is_left_to_run(
    plan: Study, learning: Any, tmp_path: Path
) -> None:
    learning()
    study.run(plan, tmp_path, jobs=1)
    left, used = (tmp_path / "small" / f".training-{name}" for name in ("killed", "running"))
    left.mkdir()
    used.mkdir()
    with locks.lock(used):
        study.run(plan, tmp_path, jobs=1)
        assert used.exists() and not left.exists()


def test_the_lock_of_a_run_that_was_killed_at_its_very_end_goes(plan: Study, learning: Any, tmp_path: Path) -> None:
    learning()
    study.run(plan, tmp_path, jobs=1)
    done, other = (study.cell_directory(tmp_path, cell) for cell in plan.cells[:2])
    (done / locks.NAME).touch()
    with locks.lock(other):  # whoever looks at it: a lock that is held stays
        study.run(plan, tmp_path, jobs=1)
        assert not (done / locks.NAME).exists() and (other / locks.NAME).exists()


def test_nothing_runs_or_is_removed_if_one_directory_is_of_another_scenario(
    plan: Study, learning: Any, tmp_path: Path
) -> None:
    learning()
    study.run(plan, tmp_path, jobs=1, arms=["three"])
    other = parse(SCENARIO, overrides=["rounds=5"])
    with pytest.raises(OutputExists, match="three-seed3 holds a run of another scenario"):
        study.run(other, tmp_path, jobs=1)
    assert [path.name for path in (tmp_path / "small").iterdir()] == ["three-seed3"]
    study.run(other, tmp_path, jobs=1, force=True)
    assert whole_rounds(tmp_path / "small" / "three-seed3") == [1, 2, 3, 4, 5]


def test_a_run_of_other_versions_is_refused_before_anything_runs(plan: Study, learning: Any, tmp_path: Path) -> None:
    learning()

    def stop(cell: Cell, row: Row) -> None:
        if cell.arm == "two":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.run(plan, tmp_path, jobs=1, report=stop)
    file = tmp_path / "small" / "two-seed3" / "manifest.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"scipy": "', '"scipy": "0.'), encoding="utf-8")
    with pytest.raises(OutputExists, match=r"two-seed3 was begun with scipy 0\."):
        study.run(plan, tmp_path, jobs=1)
    assert not (tmp_path / "small" / "three-seed3").exists()


def test_force_removes_a_run_only_when_its_turn_comes(plan: Study, learning: Any, tmp_path: Path) -> None:
    learning()
    study.run(plan, tmp_path, jobs=1)
    last = tmp_path / "small" / "three-seed3"
    before = dump(last / "trace.sqlite"), (last / "manifest.json").read_bytes()

    def stop(cell: Cell, row: Row) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.run(plan, tmp_path, jobs=1, force=True, report=stop)
    assert before == (dump(last / "trace.sqlite"), (last / "manifest.json").read_bytes())
    status = json.loads((tmp_path / "small" / "one-seed3" / "manifest.json").read_text(encoding="utf-8"))["status"]
    assert status == "interrupted"


def test_the_tables_are_of_the_cells_that_were_asked_for(plan: Study, learning: Any, tmp_path: Path) -> None:
    learning()
    assert wfl_sim.run(plan, output=tmp_path, jobs=1).arms == ["one", "two", "three"]
    assert wfl_sim.run(plan, output=tmp_path, jobs=1, arms=["two"]).arms == ["two"]
    (tmp_path / "small" / "three-seed3" / "trace.sqlite").write_bytes(b"damaged")
    assert wfl_sim.run(plan, output=tmp_path, jobs=1, arms=["one"]).arms == ["one"]


def test_a_cell_that_another_process_runs_is_refused(
    plan: Study, learning: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learning()
    monkeypatch.setattr(locks.is_held, "__defaults__", (0.0,))
    busy = tmp_path / "small" / "two-seed3"
    busy.mkdir(parents=True)
    with locks.lock(busy):
        for force in (False, True):
            with pytest.raises(OutputExists, match="two-seed3 is being written by another process: wait for it"):
                study.run(plan, tmp_path, jobs=1, force=force)
        assert [path.name for path in busy.iterdir()] == [locks.NAME]
        study.run(plan, tmp_path, jobs=1, arms=["one", "three"])  # which nobody has
    study.run(plan, tmp_path, jobs=1)
    assert whole_rounds(busy) == [1, 2, 3, 4]


def test_a_cell_that_another_process_takes_meanwhile_fails_alone(
    plan: Study, learning: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learning()
    busy = tmp_path / "small" / "two-seed3"
    held = ExitStack()

    def take(cell: Cell, row: Row) -> None:
        if (cell.arm, row["round"]) == ("one", 1):
            busy.mkdir()
            held.enter_context(locks.lock(busy))
            monkeypatch.setattr(locks.lock.__wrapped__, "__defaults__", (0.0,))  # type: ignore[attr-defined]

    with held, pytest.raises(RunFailed, match=r"^two, seed 3: .*two-seed3 is being written by another process"):
        study.run(plan, tmp_path, jobs=1, report=take)
    assert whole_rounds(tmp_path / "small" / "three-seed3") == [1, 2, 3, 4]


def test_tasks_of_a_job_array_share_a_folder(plan: Study, learning: Any, tmp_path: Path) -> None:
    learning()
    study.run(plan, tmp_path / "one", jobs=1)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda arm: study.run(plan, tmp_path / "array", jobs=1, arms=[arm]), ("one", "two", "three")))
    assert tables(tmp_path / "array") == tables(tmp_path / "one")
    for place, arm in enumerate(("one", "two", "three")):
        assert manifest(tmp_path / "array" / "small" / f"{arm}-seed3")["arm_index"] == place, "of the whole study"


def test_arms_are_chosen_by_name_a_point_by_its_own_or_that_of_its_group(plan: Study) -> None:
    grid = replace(
        plan,
        cells=tuple(
            replace(cell, arm=f"{cell.arm}-rank={rank}", group=cell.arm) for cell in plan.cells for rank in (4, 8)
        ),
    )

    def chosen(*arms: str) -> list[str]:
        return [cell.arm for cell in study.selected(grid, arms)]

    assert len(chosen()) == 6
    assert chosen("two") == ["two-rank=4", "two-rank=8"]
    assert chosen("two-rank=8", "one-rank=4") == ["one-rank=4", "two-rank=8"]
    with pytest.raises(ScenarioError, match=r"^command line: --arm three-rank=5: no such arm; there are: one, .*"):
        chosen("three-rank=5")
    with pytest.raises(ScenarioError, match="did you mean 'three-rank=4'"):
        chosen("three-rnk=4")


def test_cells_that_lose_their_process_go_on_in_another(plan: Study, tmp_path: Path) -> None:
    rounds, payload = 30, NoLearning(payload_bits=40_000.0)
    cells = [replace(cell, scenario=replace(cell.scenario, method=payload, rounds=rounds)) for cell in plan.cells]
    plan = replace(plan, cells=tuple(cells[:2]))
    study.run(plan, tmp_path / "whole", jobs=1)
    events: list[tuple[str, str]] = []
    killed: list[int] = []

    def kill(cell: Cell, row: Row) -> None:
        if not killed and row["round"] == 3:
            for process in multiprocessing.active_children():
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)

    study.run(plan, tmp_path / "lost", jobs=2, report=kill, watch=lambda cell, event: events.append((cell.arm, event)))
    assert len(killed) == 2
    assert events.count(("one", "running")) + events.count(("two", "running")) >= 3
    assert events.count(("one", "finished")) == events.count(("two", "finished")) == 1
    assert tables(tmp_path / "lost") == tables(tmp_path / "whole")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (RunFailed("it diverged"), RunFailed, "two, seed 3: it diverged"),
        (MissingResource("no weights"), MissingResource, "two, seed 3: no weights"),
        (OptionError("Disc", "to_m", "too near"), RunFailed, "two, seed 3: OptionError: Disc.to_m: too near"),
        (ZeroDivisionError("oh"), RunFailed, "two, seed 3: ZeroDivisionError: oh"),
    ],
)
def test_a_cell_that_fails_does_not_stop_the_others(
    plan: Study, learning: Any, tmp_path: Path, error: Exception, kind: type[Exception], says: str
) -> None:
    def accident(schedule: str, round_: int) -> None:
        if (schedule, round_) == ("min_max", 3):
            raise error

    learning(accident)
    with pytest.raises(kind) as caught:
        study.run(plan, tmp_path, jobs=1)
    assert (type(caught.value), str(caught.value)) == (kind, says)
    failed = tmp_path / "small" / "two-seed3"
    record = manifest(failed)
    assert (record["status"], record["rounds_done"]) == ("failed", 2)
    assert record["error"] == f"{type(error).__name__}: {error}"
    assert whole_rounds(failed) == [1, 2]
    assert [manifest(tmp_path / "small" / f"{arm}-seed3")["status"] for arm in ("one", "three")] == ["finished"] * 2


def test_an_interrupt_stops_everything_and_keeps_finished_rounds(plan: Study, learning: Any, tmp_path: Path) -> None:
    def accident(schedule: str, round_: int) -> None:
        if (schedule, round_) == ("min_max", 3):
            raise KeyboardInterrupt

    learning(accident)
    with pytest.raises(KeyboardInterrupt):
        study.run(plan, tmp_path, jobs=1)
    assert sorted(path.name for path in (tmp_path / "small").iterdir()) == ["one-seed3", "two-seed3"], "no further cell"
    record = manifest(tmp_path / "small" / "two-seed3")
    assert (record["status"], record["rounds_done"]) == ("interrupted", 2)
    assert "ledger" not in record
    assert whole_rounds(tmp_path / "small" / "two-seed3") == [1, 2]


def test_the_manifest_says_running_while_a_cell_runs(plan: Study, learning: Any, tmp_path: Path) -> None:
    learning()
    during: list[Any] = []

    def look(row: Row) -> None:
        record = manifest(tmp_path / "cell")
        during.append((record["status"], [r["round"] for r in read_rows(tmp_path / "cell" / "trace.sqlite", "rounds")]))

    engine.run_cell(plan.cells[0], 0, tmp_path / "cell", look)
    assert during == [("running", list(range(1, n + 1))) for n in (1, 2, 3, 4)], "a round is there when it is reported"


def test_cells_that_train_alike_do_not_start_together() -> None:
    cells = parse(SCENARIO.replace("seeds: [3]", "seeds: [3, 4]")).cells
    order = [(cells[i].seed, cells[i].arm) for i in study.spread(cells)]
    assert order == [(3, "one"), (4, "one"), (3, "two"), (4, "two"), (3, "three"), (4, "three")]


def test_directories_are_named_after_study_arm_and_seed(plan: Study) -> None:
    cell: Cell = plan.cells[2]
    assert study.cell_directory(Path("runs"), cell) == Path("runs/small/three-seed3")
