"""Run directories: what is continued, what is refused, and what no kill can leave behind.

Made by hand here, so that nothing runs; `test_study.py` has whole studies.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wfl_sim import locks
from wfl_sim.errors import OutputExists
from wfl_sim.rundirectory import FORMAT, check_ours, clear, content_hash, state
from wfl_sim.scenario import Cell, parse, to_yaml

SCENARIO = """\
schema_version: 1
name: small
seeds: [3, 4]
rounds: 4
channel: {path_loss: {kind: uma}}
clients:
  count: 2
  placement: {kind: disc, from: 35 m, to: 200 m}
  compute: {time: 100 ms}
method: {kind: none, payload: 10 kbit}
"""
RECORDED = """\
schema_version: 1
name: replayed
rounds: 1
channel: {recorded: {file: 'FILE'}}
clients: {count: 2, placement: {kind: disc, to: 200 m}, compute: {time: 100 ms}}
method: {kind: none, payload: 10 kbit}
"""


@pytest.fixture
def cell() -> Cell:
    return parse(SCENARIO).cells[0]


def made(directory: Path, cell: Cell, **manifest: Any) -> Path:
    """A run directory as the engine leaves one."""
    directory.mkdir()
    (directory / "scenario.yaml").write_text(to_yaml(cell.scenario))
    (directory / "trace.sqlite").write_bytes(b"rows")
    record = {"format": FORMAT, "status": "finished", "scenario_sha256": "", "cell_sha256": content_hash(cell)}
    (directory / "manifest.json").write_text(json.dumps(record | manifest))
    return directory


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize(
    ("status", "expected"),
    [("finished", "finished"), *((name, "unfinished") for name in ("running", "interrupted", "failed"))],
)
def test_the_status_says_whether_there_is_more_to_do(cell: Cell, tmp_path: Path, status: str, expected: str) -> None:
    assert state(tmp_path / "run", cell) == "absent"
    assert state(made(tmp_path / "run", cell, status=status), cell) == expected


def test_the_hash_tells_scenario_and_seed_and_nothing_else() -> None:
    first, second = parse(SCENARIO).cells
    changed = parse(SCENARIO, overrides=["clients.count=3"]).cells[0]
    assert len({content_hash(cell) for cell in (first, second, changed)}) == 3
    assert content_hash(first) == content_hash(replace(first, arm="other", group="other"))
    assert content_hash(first) == content_hash(parse(to_yaml(first.scenario)).cells[0])


def test_the_hash_is_of_the_contents_of_files_wherever_they_lie(tmp_path: Path) -> None:
    def hash_of(name: str) -> str:
        return content_hash(parse(RECORDED.replace("FILE", name)).cells[0])

    for name, rate in (("a", 1e6), ("b", 1e6), ("c", 2e6)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "up.csv").write_text(f"time_s,rate_bps\n0,{rate}\n1,{rate}\n")
    a, b, c = (hash_of(str(tmp_path / name / "up.csv")) for name in "abc")
    assert a == b == hash_of(os.path.relpath(tmp_path / "a" / "up.csv"))
    assert a != c
    (tmp_path / "a" / "up.csv").write_text("time_s,rate_bps\n0,3e6\n1,30e6\n")
    assert hash_of(str(tmp_path / "a" / "up.csv")) not in (a, c), "a file that changed is another one"
    for client in (0, 1):
        shutil.copy(tmp_path / "b" / "up.csv", tmp_path / f"up{client}.csv")
    each = hash_of(str(tmp_path / "up{client}.csv"))
    (tmp_path / "up1.csv").write_text("time_s,rate_bps\n0,3e6\n1,3e6\n")
    assert hash_of(str(tmp_path / "up{client}.csv")) != each, "of every client"


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ({"cell_sha256": "0" * 64}, "holds a run of another scenario, or of other input files: use --force"),
        ({"format": FORMAT + 1}, f"newer version of wfl-sim \\(format {FORMAT + 1}; this one knows {FORMAT}\\)"),
        ({"format": 0}, "written by an older version of wfl-sim.*use --force"),
        ({"format": "x"}, "newer version"),
    ],
)
def test_what_is_not_the_run_is_refused_in_one_line_and_may_be_replaced(
    cell: Cell, tmp_path: Path, manifest: dict[str, Any], says: str
) -> None:
    directory = made(tmp_path / "run", cell, **manifest)
    before = contents(directory)
    with pytest.raises(OutputExists, match=says) as caught:
        state(directory, cell)
    assert "\n" not in str(caught.value) and str(directory) in str(caught.value)
    assert caught.value.exit_code == 2
    assert contents(directory) == before
    check_ours(directory)


@pytest.mark.parametrize("kept", [0, 1, 20])
def test_a_truncated_manifest_is_damage_that_force_mends(cell: Cell, tmp_path: Path, kept: int) -> None:
    directory = made(tmp_path / "run", cell)
    manifest = directory / "manifest.json"
    manifest.write_text(manifest.read_text()[:kept])
    with pytest.raises(OutputExists, match=r"manifest.json is damaged \(it is not JSON\); --force runs this anew"):
        state(directory, cell)
    check_ours(directory)
    clear(directory)
    assert state(directory, cell) == "absent"


def test_a_finished_run_without_its_trace_is_damaged(cell: Cell, tmp_path: Path) -> None:
    directory = made(tmp_path / "run", cell)
    (directory / "trace.sqlite").unlink()
    with pytest.raises(OutputExists, match=r"no trace.sqlite; --force"):
        state(directory, cell)


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.tex": "x"},
        {"scenario.yaml": "schema_version: 1\n"},
        {"manifest.json": '{"manifest_version": 3}'},
        {"manifest.json": "[]"},
        {"manifest.json": "// not of ours", "app.js": "x"},
        {"manifest.json.partial": "{", "thesis.tex": "x"},
    ],
)
def test_a_directory_that_no_run_made_is_never_touched(cell: Cell, tmp_path: Path, files: dict[str, str]) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    for name, text in files.items():
        (directory / name).write_text(text)
    before = contents(directory)
    for touch in (check_ours, clear, lambda directory: state(directory, cell)):
        with pytest.raises(OutputExists, match=r"run is no run directory \(.*\) and is left alone"):
            touch(directory)
    assert contents(directory) == before


def test_a_file_in_the_place_of_a_run_is_left_alone(cell: Cell, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("x")
    with pytest.raises(OutputExists, match="is a file, where a run directory belongs"):
        state(tmp_path / "run", cell)


@pytest.mark.parametrize("names", [(), (".lock",), ("scenario.yaml",), ("manifest.json.partial", "scenario.yaml")])
@pytest.mark.parametrize("written", [0, 5, None])
def test_a_run_killed_before_its_first_manifest_is_absent(
    cell: Cell, tmp_path: Path, names: tuple[str, ...], written: int | None
) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    for name in names:
        (directory / name).write_text(to_yaml(cell.scenario)[:written] if name == "scenario.yaml" else "")
    assert state(directory, cell) == "absent"
    clear(directory)
    assert set(contents(directory)) <= {".lock"}


class Killed(BaseException):
    """What nothing catches."""


def dying(original: Callable[..., Any], steps: Iterator[int], last: int) -> Callable[..., Any]:
    """`original`, but the call that takes step `last` ends everything."""

    def call(*arguments: Any, **named: Any) -> Any:
        if next(steps) == last:
            raise Killed
        return original(*arguments, **named)

    return call


def test_a_removal_killed_anywhere_leaves_nothing_that_counts(cell: Cell, tmp_path: Path) -> None:
    for last in itertools.count():
        directory = made(tmp_path / str(last), cell)
        (directory / "more").mkdir()
        (directory / locks.NAME).touch()
        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            steps = itertools.count()
            for owner, name in ((os, "replace"), (shutil, "rmtree"), (Path, "unlink")):
                patch.setattr(owner, name, dying(getattr(owner, name), steps, last))
            clear(directory)
            break
        assert state(directory, cell) == ("absent" if last else "finished")
        clear(directory)
        assert set(contents(directory)) == {locks.NAME}
    assert last == 5, "a kill was tried before each step: the manifest replaced, four things removed"


def test_a_lock_is_held_once_and_leaves_no_file(tmp_path: Path) -> None:
    assert not locks.is_held(tmp_path, 0.0)
    with locks.lock(tmp_path, 0.0):
        assert locks.is_held(tmp_path, 0.0)
        with pytest.raises(locks.Held), locks.lock(tmp_path, 0.05):
            pass
        assert (tmp_path / locks.NAME).exists()
    assert not locks.is_held(tmp_path, 0.0)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / locks.NAME).touch()  # of a process that was killed
    assert not locks.is_held(tmp_path, 0.0)
    with locks.lock(tmp_path, 0.0):
        pass


def test_scratch_folders_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    (tmp_path / ".training-dead").mkdir()
    (tmp_path / ".training-dead" / "result").touch()
    with locks.scratch(tmp_path, ".training-") as one:
        assert [path.name for path in tmp_path.iterdir()] == [one.name]
        with locks.scratch(tmp_path, ".training-") as two:
            assert one.is_dir() and two.is_dir() and one != two
        assert one.is_dir() and not two.exists()
    assert list(tmp_path.iterdir()) == []
