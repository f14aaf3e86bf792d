"""Runs that are killed, and go on: whatever the kind of protocol, and wherever it happens, the end is the same."""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wfl_sim import cellrecord, trace
from wfl_sim.contracts import PayloadMenu, Point
from wfl_sim.engine import Simulation
from wfl_sim.errors import OutputExists, RunFailed
from wfl_sim.networkonly import NetworkOnly
from wfl_sim.protocols.sync import Sync
from wfl_sim.statefiles import StateFiles
from wfl_sim.trace import dump

KILLED = 9
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # `everywrite`, a process of its own, plays there too

import playground  # noqa: E402


@pytest.fixture(autouse=True)
def _learner(monkeypatch: pytest.MonkeyPatch) -> None:
    import wfl_sim.learning

    for name in ("federated", "splitfederated"):
        monkeypatch.setitem(sys.modules, f"wfl_sim.learning.{name}", None)
        monkeypatch.setattr(wfl_sim.learning, name, None, raising=False)
    playground.install(setattr)
    monkeypatch.setattr(cellrecord, "REST_S", math.inf)  # not by the clock: what is tested would depend on it
    monkeypatch.setattr(cellrecord, "REST_SHARE", math.inf)


def killed_after(kind: str, directory: Path, round_: int, **how: Any) -> None:
    """Play in a process that dies, with nothing put in order, once a round has been committed."""
    child = os.fork()
    if not child:
        try:
            playground.play(
                kind, directory, report=lambda row: os._exit(KILLED) if row["round"] == round_ else None, **how
            )
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == KILLED


QUICK = (
    ("rounds", True),
    ("soft", False),
    ("measured", False),
    ("drawn", False),
    ("measured-buffered", False),
    ("carried", True),
    ("turned", True),
    ("stacked-late", False),
    ("buffered-slots", False),
    ("one-at-a-time", False),
    ("gone", True),
    ("network", False),
    ("split", True),
    ("split-slots", False),
)  # kinds, and whether they go on from the last state in which nothing was under way, or are played from the beginning


def test_every_protocol_ends_alike_however_often_it_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, rounds: tuple[int, ...], rests: bool
) -> None:
    monkeypatch.setattr(cellrecord, "REST_S", 0.0 if rests else math.inf)
    whole = playground.play(kind, tmp_path / "whole")
    for number in rounds:
        killed_after(kind, tmp_path / "run", min(number, whole["rounds_done"]))
    found = playground.play(kind, tmp_path / "run")
    assert playground.left(tmp_path / "run") == playground.left(tmp_path / "whole")
    # the sessions that were killed could not say anything
    assert found["measured"]["continued_after"] == [min(rounds[-1], whole["rounds_done"])]
    same = ("ledger", "warnings", "rounds_done", "checkpoint", "status")
    assert [found.get(key) for key in same] == [whole.get(key) for key in same]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Some kinds with a kill, and where there is time for it all of them with one after every round."""
    if "rounds" in metafunc.fixturenames:
        every = tuple(range(1, playground.ROUNDS + 1))
        quick = [pytest.param(kind, (3,), rests, id=f"{kind}-{rests}") for kind, rests in QUICK]
        slow = [
            pytest.param(kind, every, rests, id=f"{kind}-{rests}-every", marks=pytest.mark.slow)
            for kind in playground.KINDS
            for rests in (False, True)
        ]
        metafunc.parametrize(("kind", "rounds", "rests"), [*quick, *slow])


@pytest.mark.parametrize("kind", ["measured", "measured-alone"])
def test_who_goes_on_from_an_older_rest_knows_what_clients_had_told_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A rest is written down after rounds 2 and 5 alone; the second session begins with what the first was told."""
    playground.play(kind, tmp_path / "whole")
    rest = cellrecord.CellRecord._rest
    monkeypatch.setattr(cellrecord, "REST_S", 0.0)
    monkeypatch.setattr(cellrecord.CellRecord, "_rest", lambda self: rest(self) if self._done in (1, 4) else None)
    for killed, rested in ((4, 2), (6, 5)):
        killed_after(kind, tmp_path / "run", killed)
        with sqlite3.connect(tmp_path / "run" / "trace.sqlite") as db:
            assert db.execute("SELECT round FROM resume WHERE rest IS NOT NULL").fetchall() == [(rested,)]
    playground.play(kind, tmp_path / "run")
    assert playground.left(tmp_path / "run") == playground.left(tmp_path / "whole")
    kept = [
        row["kept_fraction"]
        for row in trace.read_rows(tmp_path / "run" / "trace.sqlite", "decisions")
        if row["round"] > 2
    ]
    assert min(value for value in kept if value is not None) < 1.0  # else no curve would have been looked at


@pytest.mark.parametrize(("kind", "what"), [("carried", "pending"), ("one-at-a-time", "trainings")])
def test_something_was_under_way_when_these_were_killed(tmp_path: Path, kind: str, what: str) -> None:
    # else the test above would say nothing about transfers in flight
    killed_after(kind, tmp_path, 3)
    with sqlite3.connect(tmp_path / "trace.sqlite") as db:
        (text,) = db.execute("SELECT state FROM resume WHERE state IS NOT NULL").fetchone()
    assert json.loads(text)["federation"][what]


def test_what_was_trained_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_after("rounds", tmp_path, 4)
    asked = []
    train = playground.Learner.train

    def noted(self: Any, starts: Any, round_: int) -> Any:
        asked.append(round_)
        return train(self, starts, round_)

    monkeypatch.setattr(playground.Learner, "train", noted)
    playground.play("rounds", tmp_path)
    assert asked == [5, 6]


def test_clients_whose_state_is_in_files_go_on_as_well(tmp_path: Path) -> None:
    playground.play("soft", tmp_path / "whole")
    for number in (1, 3):
        killed_after("soft", tmp_path / "run", number, client_memory_bytes=0)
    playground.play("soft", tmp_path / "run", client_memory_bytes=0)
    assert playground.left(tmp_path / "run") == playground.left(tmp_path / "whole")


def test_an_interrupted_run_goes_on_and_a_finished_one_is_left_alone(tmp_path: Path) -> None:
    def interrupt(row: Any) -> None:
        if row["round"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        playground.play("buffered", tmp_path / "run", report=interrupt)
    playground.play("buffered", tmp_path / "run")
    playground.play("buffered", tmp_path / "whole")
    assert playground.left(tmp_path / "run") == playground.left(tmp_path / "whole")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}
    reported: list[Any] = []
    found = playground.play("buffered", tmp_path / "run", report=reported.append)
    assert found["status"] == "finished" and not reported
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()} == before


def test_other_data_than_it_was_begun_with_is_refused_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_after("soft", tmp_path, 2)
    build = playground.build_work
    module = sys.modules["wfl_sim.learning.federated"]
    monkeypatch.setattr(
        module, "build_work", lambda *how, **more: (build(*how, **more)[0], {"data": {"name": "another"}})
    )
    for _ in range(2):
        with pytest.raises(RunFailed, match="its data changed since it was begun"):
            playground.play("soft", tmp_path)
    monkeypatch.setattr(module, "build_work", build)
    assert playground.play("soft", tmp_path)["status"] == "finished"


def test_an_interrupt_while_it_tidies_up_leaves_a_finished_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cellrecord.StateFiles, "remove", interrupted)
        playground.play("soft", tmp_path)
    assert playground.play("soft", tmp_path)["status"] == "finished"
    assert sorted(path.name for path in tmp_path.iterdir())[-2:] == ["scenario.yaml", "trace.sqlite"]


def test_who_reads_a_trace_for_a_while_does_not_end_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[sqlite3.Connection] = []

    def report(row: Any) -> None:
        if row["round"] == 2:  # a reader comes, and goes while the next round waits for it
            db = sqlite3.connect(tmp_path / "trace.sqlite", check_same_thread=False, isolation_level=None)
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM rounds").fetchone()
            held.append(db)
            threading.Timer(0.5, db.rollback).start()

    monkeypatch.setattr(trace, "PATIENCE_S", 60.0)
    assert playground.play("network", tmp_path, report=report)["status"] == "finished" and held


def test_a_kind_of_ones_own_that_plays_rounds_otherwise_is_played_from_the_beginning() -> None:
    class Same(Sync):
        pass

    class Other(Sync):
        def run(self, world: Any, state: Any) -> Any:
            kept_between_rounds = 1
            yield world.env.timeout(kept_between_rounds)

    scenario = playground.cell("network").scenario
    for kind, rests in ((Sync, True), (Same, True), (Other, False)):
        simulation = Simulation(replace(scenario, protocol=kind()), NetworkOnly(PayloadMenu((Point(1, 8, 0),)), 8, 7),
                                lambda *_: None)  # fmt: skip
        assert (simulation.rest() is not None) is rests


def test_arrays_of_any_shape_come_back(tmp_path: Path) -> None:
    kept = {"b": np.float32(2.5).reshape(()), "a": np.zeros((0, 3), np.float32), "c": np.arange(6.0).reshape(2, 3).T}
    files = StateFiles(tmp_path)
    place = files.keep(kept)
    files.write(1)
    back = StateFiles(tmp_path).take(*place.place())
    assert list(back) == list(kept)
    assert all(back[name].shape == kept[name].shape and (back[name] == kept[name]).all() for name in kept)


def test_files_go_when_nothing_in_them_is_needed_and_half_empty_ones_are_moved(tmp_path: Path) -> None:
    files, arrays = StateFiles(tmp_path), [{"x": np.full(3, n, np.float32)} for n in range(5)]

    def round_(number: int, needed: Sequence[int]) -> list[str]:
        places = [files.keep(arrays[n]) for n in needed]
        files.write(number)
        files.settle()
        again = StateFiles(tmp_path)
        assert [again.take(*place.place())["x"][0] for place in places] == list(needed)
        return sorted(path.stem for path in (tmp_path / "state").iterdir())

    assert round_(1, [0, 1, 2, 3]) == ["round-000001"]
    assert round_(2, [0, 1, 4]) == ["round-000001", "round-000002"]  # half of the first: it stays
    assert round_(3, [0, 4]) == ["round-000002", "round-000003"]  # a quarter: it moves
    assert round_(4, [4]) == ["round-000002"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def altered(directory: Path, statement: str) -> None:
    with sqlite3.connect(directory / "trace.sqlite") as db:
        db.execute(statement)


def of_other_versions(directory: Path) -> None:
    file = directory / "manifest.json"
    file.write_text(file.read_text().replace('"numpy": "', '"numpy": "0.'))


DAMAGE: dict[str, tuple[Callable[[Path], Any], type[Exception], str]] = {
    "cut": (lambda run: [cut(path) for path in (run / "state").iterdir()], RunFailed, r"safetensors cannot be read"),
    "gone": (lambda run: shutil.rmtree(run / "state"), RunFailed, "cannot be read"),
    "emptied": (lambda run: altered(run, "DELETE FROM resume"), RunFailed, "does not say how to go on after round 3"),
    "other": (lambda run: altered(run, "UPDATE rounds SET t_end_s = t_end_s + 1e-9 WHERE round = 2"), RunFailed,
              "round 2, played again, is not what its trace holds"),
    "fewer": (lambda run: altered(run, "DELETE FROM transmissions WHERE rowid = 4"), RunFailed, "is not what its"),
    "unnoted": (lambda run: altered(run, "UPDATE resume SET answers = x'00' WHERE round = 1"), RunFailed, "is damaged"),
    "no database": (lambda run: (run / "trace.sqlite").write_bytes(b"x" * 5000), RunFailed, "not a database"),
    "versions": (of_other_versions, OutputExists, r"was begun with numpy 0\.\S+, now \d"),
}  # fmt: skip


@pytest.mark.parametrize("how", DAMAGE)
def test_what_was_damaged_meanwhile_is_told_in_one_line_and_stays(tmp_path: Path, how: str) -> None:
    harm, error, says = DAMAGE[how]
    killed_after("soft", tmp_path, 3)
    harm(tmp_path)
    trace = (tmp_path / "trace.sqlite").read_bytes()
    with pytest.raises(error, match=says) as told:
        playground.play("soft", tmp_path)
    assert "\n" not in str(told.value) and ("--force" in str(told.value) or how == "no database")
    assert how == "no database" or dump(tmp_path / "trace.sqlite")["rounds"]
    assert (tmp_path / "trace.sqlite").read_bytes() == trace


def test_what_a_killed_end_left_is_tidied_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    playground.play("soft", tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(cellrecord.TraceWriter, "finish", lambda self: os._exit(KILLED))
        child = os.fork()
        if not child:
            playground.play("soft", tmp_path / "run")
        os.waitpid(child, 0)
    assert (tmp_path / "run" / "state").is_dir()
    playground.play("soft", tmp_path / "run")
    assert playground.left(tmp_path / "run") == playground.left(tmp_path / "whole")
    with sqlite3.connect(tmp_path / "run" / "trace.sqlite") as db:
        assert not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'resume'").fetchall()


def every_write(scratch: Path, kind: str, mode: str, step: int) -> dict[str, Any]:
    """What `everywrite` finds, with changes to files that really fail."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler")
    shim = scratch / "failing.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, HERE / "failing.c", "-ldl"], check=True)
    environment = os.environ | {"LD_PRELOAD": str(shim), "PYTHONPATH": str(HERE.parents[1])}
    command = [sys.executable, HERE / "everywrite.py", kind, "2", mode, str(step), scratch]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["changes"] > 60  # else what should fail was not reached
    return found


@pytest.mark.parametrize(("mode", "step"), [("kill", 57), pytest.param("ENOSPC+", 45, marks=pytest.mark.slow)])
def test_a_change_to_files_that_fails_leaves_a_run_that_goes_on(tmp_path: Path, mode: str, step: int) -> None:
    assert every_write(tmp_path, "one-at-a-time", mode, step)["outcomes"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["kill", "ENOSPC", "EIO", "EACCES", "ENOSPC+", "EIO+", "EACCES+"])
@pytest.mark.parametrize("kind", ["rounds", "one-at-a-time"])
def test_any_change_to_files_may_fail(tmp_path: Path, kind: str, mode: str) -> None:
    found = every_write(tmp_path, kind, mode, 11)
    assert set(found["outcomes"]) & {"killed", "told"}
