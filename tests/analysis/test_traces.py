"""Run directories are read as they lie: finished, interrupted, killed, being written, missing, broken."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.text import Text

from analysis.compare import compare
from analysis.pages import Unusual, table_columns
from analysis.tables import air_table, arms_table
from analysis.traces import TraceError, Traces, load
from wfl_sim.errors import WflError
from wfl_sim.rundirectory import DISCARDED
from wfl_sim.trace import TABLES, TraceWriter, read_rows

SEEDS, ROUNDS, CLIENTS = 3, 12, 10


def test_a_study_holds_every_cell_in_the_order_of_the_study(study: Traces, synthetic: SimpleNamespace) -> None:
    assert study.arms == list(synthetic.ARMS)  # which is not alphabetical
    assert study.seeds("soft-tsfa") == [1, 2, 3]
    cells = [(arm, seed) for arm in synthetic.ARMS for seed in range(1, SEEDS + 1)]
    assert list(zip(study.cells["arm"], study.cells["seed"], strict=True)) == cells
    assert (study.cells["rounds"] == ROUNDS).all()
    assert len(study.rounds) == len(cells) * ROUNDS
    assert len(study.decisions) == len(cells) * ROUNDS * CLIENTS
    assert study.cells["targets"].tolist() == [tuple(synthetic.TARGETS)] * len(cells)
    budgets = study.cells.set_index(["arm", "seed"])["latency_budget_s"]
    assert budgets.loc[("soft-tsfa", 1)] == 1.5
    assert np.isnan(budgets.loc[("dense-equal", 1)])
    assert study.cells["directory"].iloc[0] == "head-only-seed1"
    assert study.cells["deadline_s"].isna().all()


def test_a_manifest_may_state_a_deadline_and_the_clients(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    (cell,) = load(synthetic.write_fleet(tmp_path / "s", clients=3, rounds=1, deadline_s=2.5)).cells.to_dict("records")
    assert (cell["deadline_s"], cell["clients"]) == (2.5, 3)


@pytest.mark.parametrize("table", TABLES)
def test_frames_hold_what_the_trace_holds(study: Traces, study_directory: Path, table: str) -> None:
    frame = getattr(study.select("soft-tsfa", 2), table)
    assert list(frame.columns) == ["arm", "seed", *(column.name for column in TABLES[table])]
    rows = read_rows(study_directory / "soft-tsfa-seed2" / "trace.sqlite", table)
    expected = pd.DataFrame(rows).astype(frame.dtypes.drop(["arm", "seed"]))
    pd.testing.assert_frame_equal(frame.drop(columns=["arm", "seed"]), expected)


def test_a_trace_read_row_by_row_is_the_same(
    study: Traces, study_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unusual(*_: object) -> None:
        raise Unusual

    monkeypatch.setattr("analysis.tracefile.table_columns", unusual)
    monkeypatch.setattr("analysis.tracefile.ROWS_AT_ONCE", 7)
    pieces, whole = load(study_directory / "soft-tsfa-seed2"), study.select("soft-tsfa", 2)
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(pieces, table), getattr(whole, table))


def test_a_run_may_go_on_while_its_trace_is_decoded(
    run_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = run_of("a", 1, [0.5])
    decoded = []

    def decode(*arguments: Any) -> Any:
        db = sqlite3.connect(directory / "trace.sqlite", timeout=0)  # would not wait for a reader
        db.execute("INSERT INTO transmissions (round) VALUES (2)")
        db.commit()
        db.close()
        decoded.append(table_columns(*arguments))
        return decoded[-1]

    monkeypatch.setattr("analysis.tracefile.table_columns", decode)
    assert load(directory).transmissions.empty, "the rows are those of one instant"
    assert len(decoded) == 3
    assert len(load(directory).transmissions) == 3


def test_only_the_tables_that_are_asked_for_are_read(study: Traces, study_directory: Path) -> None:
    few = load(study_directory, tables=["decisions"])
    pd.testing.assert_frame_equal(few.decisions, study.decisions)
    pd.testing.assert_frame_equal(few.rounds, study.rounds)
    assert few.transmissions.empty
    assert list(few.transmissions.columns) == list(study.transmissions.columns)
    with pytest.raises(ValueError, match="no table 'sent' in a trace; there are: rounds, transmissions, decisions"):
        load(study_directory, tables=["sent"])


def test_tables_and_columns_of_a_later_version(run_of: Callable[..., Path]) -> None:
    directory = run_of("a", 1, [0.5, 0.6])
    db = sqlite3.connect(directory / "trace.sqlite")
    db.execute("CREATE TABLE resume (key TEXT PRIMARY KEY, state BLOB)")
    db.execute("INSERT INTO columns VALUES ('resume', 'state', '', '')")
    db.execute("INSERT INTO resume VALUES ('clock', x'00')")
    for table in TABLES:
        db.execute(f"ALTER TABLE {table} ADD COLUMN later REAL")  # rows that are there do not hold it
        db.execute(f"ALTER TABLE {table} ADD COLUMN image BLOB")
    db.commit()
    db.close()
    run_of("b", 1, [0.7])
    traces = load(directory.parent)
    assert traces.rounds["accuracy"].tolist() == [0.5, 0.6, 0.7]
    assert traces.rounds["later"].isna().all()
    assert "image" not in traces.rounds
    assert not [key for key in traces.units if key[0] == "resume"]


def test_columns_have_their_types_and_units(study: Traces) -> None:
    assert study.rounds["uplink_bits"].dtype == "int64"
    assert study.rounds["coherence_a"].dtype == "float64"  # empty in every row
    assert study.units["rounds", "t_end_s"] == "s"
    assert study.units["transmissions", "snr_mean_db"] == "dB"
    assert set(study.units) == {(table, column.name) for table in TABLES for column in TABLES[table]}


def test_a_run_and_a_pattern(study_directory: Path, synthetic: SimpleNamespace) -> None:
    run = load(study_directory / "dense-equal-seed3")
    assert (run.arms, run.seeds("dense-equal")) == (["dense-equal"], [3])
    pattern = load(f"{study_directory}/*-seed2")
    assert pattern.arms == list(synthetic.ARMS)
    assert set(pattern.cells["seed"]) == {2}
    # A pattern may match a study, and runs in it a second time.
    assert len(load(f"{study_directory.parent}/**").cells) == len(synthetic.ARMS) * SEEDS


def test_without_an_order_arms_go_by_name(run_of: Callable[..., Path]) -> None:
    for arm in ("b", "c", "a"):
        directory = run_of(arm, 1, [0.5])
    assert load(directory.parent).arms == ["a", "b", "c"]


def test_the_order_of_seeds_is_numeric(run_of: Callable[..., Path]) -> None:
    for seed in (10, 9, 2):
        directory = run_of("a", seed, [0.5])
    assert load(directory.parent).seeds("a") == [2, 9, 10]


def test_arms_of_two_studies_carry_its_name(run_of: Callable[..., Path]) -> None:
    run_of("a", 1, [0.5], name="one")
    directory = run_of("a", 2, [0.5], name="two")
    assert load(directory.parent).arms == ["one/a", "two/a"]


def test_the_same_cell_twice_is_refused(run_of: Callable[..., Path]) -> None:
    directory = run_of("a", 1, [0.5])
    shutil.copytree(directory, directory.with_name("copy"))
    with pytest.raises(TraceError, match=r"(?s)arm 'a', seed 1.*a-seed1.*copy"):
        load(directory.parent)


def test_select_names_what_there_is(study: Traces) -> None:
    assert set(study.select("head-only").rounds["seed"]) == {1}
    with pytest.raises(TraceError, match="head-only, dense-equal, soft-tsfa"):
        study.select("tsfa-soft")
    with pytest.raises(TraceError, match="no seed 4; there are: 1, 2, 3"):
        study.select("soft-tsfa", 4)


def test_a_run_being_written_gives_its_finished_rounds(run_of: Callable[..., Path], synthetic: SimpleNamespace) -> None:
    directory = run_of("a", 1, [], status="running")
    assert load(directory).cells["rounds"].tolist() == [0]
    (directory / "trace.sqlite").unlink()
    writer = TraceWriter(directory / "trace.sqlite")
    for number in (1, 2):
        writer.commit_round(
            synthetic.blank("rounds", round=number, accuracy=0.5),
            [synthetic.blank("transmissions", round=number)],
            [synthetic.blank("decisions", round=number)],
        )
        traces = load(directory)
        assert traces.rounds["round"].tolist() == list(range(1, number + 1))
        assert traces.cells["status"].tolist() == ["running"]
    # A round that is begun and not committed is no round.
    writer._db.execute("BEGIN")
    writer._insert("rounds", [synthetic.blank("rounds", round=3)])
    assert load(directory).rounds["round"].tolist() == [1, 2]
    writer._db.execute("ROLLBACK")
    writer.close()


def test_a_file_that_has_only_been_created_is_a_run_without_rounds(run_of: Callable[..., Path]) -> None:
    directory = run_of("a", 1, [], status="running")
    (directory / "trace.sqlite").write_bytes(b"")
    traces = load(directory)
    assert traces.cells["rounds"].tolist() == [0]
    assert traces.rounds["accuracy"].dtype == "float64"


KILLED_INSIDE_A_COMMIT = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA cache_size = 1")  # so that half a round is on disk before the commit
db.execute("BEGIN")
for number in range(5000):
    db.execute("INSERT INTO rounds (round, accuracy) VALUES (99, 0.9)")
os._exit(1)
"""


def test_a_run_killed_inside_a_commit_gives_its_finished_rounds(run_of: Callable[..., Path]) -> None:
    directory = run_of("a", 1, [0.5, 0.6, 0.7], status="interrupted")
    file = directory / "trace.sqlite"
    subprocess.run([sys.executable, "-c", KILLED_INSIDE_A_COMMIT, str(file)], check=False)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert "trace.sqlite-journal" in before, "the crash left no hot journal: this test tests nothing"
    with pytest.raises(sqlite3.OperationalError):
        read_rows(file, "rounds")

    traces = load(directory)

    assert traces.rounds["accuracy"].tolist() == [0.5, 0.6, 0.7]
    assert traces.cells["status"].tolist() == ["interrupted"]
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


@pytest.fixture
def killed(run_of: Callable[..., Path]) -> Path:
    """A run of three rounds that was killed inside the fourth."""
    directory = run_of("a", 1, [0.5, 0.6, 0.7], status="interrupted")
    subprocess.run([sys.executable, "-c", KILLED_INSIDE_A_COMMIT, str(directory / "trace.sqlite")], check=False)
    assert (directory / "trace.sqlite-journal").exists()
    return directory


def go_on(file: Path, rounds: int) -> None:
    """What a session does that continues a run: SQLite undoes the half round, then others are committed."""
    db = sqlite3.connect(file)
    for number in range(rounds):
        db.execute("INSERT INTO rounds (round, accuracy) VALUES (?, 0.8)", (4 + number,))
    db.execute("SELECT count(*) FROM rounds").fetchone()
    db.commit()
    db.close()


@pytest.mark.parametrize("rounds", [0, 1])
@pytest.mark.parametrize("copied", [0, 1])
def test_a_session_may_go_on_with_a_killed_run_while_it_is_copied(
    killed: Path, monkeypatch: pytest.MonkeyPatch, rounds: int, copied: int
) -> None:
    done: list[str] = []
    copyfile = shutil.copyfile

    def copy(source: Path, target: Path, **more: Any) -> Any:
        if len(done) == copied:
            go_on(killed / "trace.sqlite", rounds)
        done.append(source.name)
        return copyfile(source, target, **more)

    monkeypatch.setattr(shutil, "copyfile", copy)
    monkeypatch.setattr("analysis.tracefile.PAUSE_S", 0.0)
    assert load(killed).rounds["accuracy"].tolist() == [0.5, 0.6, 0.7, 0.8][: 3 + rounds]
    assert len(done) > copied


def test_a_killed_run_that_never_keeps_still_is_told(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copyfile = shutil.copyfile

    def copy(source: Path, target: Path, **more: Any) -> Any:
        copyfile(source, target, **more)
        with (killed / "trace.sqlite-journal").open("ab") as journal:
            journal.write(b"\0")

    monkeypatch.setattr(shutil, "copyfile", copy)
    monkeypatch.setattr("analysis.tracefile.PAUSE_S", 0.0)
    with pytest.raises(TraceError, match=r"trace\.sqlite: is just being changed by another session; try again"):
        load(killed)


def test_the_copy_of_an_archived_killed_run_can_be_written(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("trace.sqlite", "trace.sqlite-journal"):
        (killed / name).chmod(0o444)
    connect = sqlite3.connect

    def connected(database: str, **more: Any) -> sqlite3.Connection:
        if database.endswith("mode=rw"):  # as root, nothing keeps one from writing to a file
            assert Path(database.removeprefix("file://").removesuffix("?mode=rw")).stat().st_mode & 0o200
        return connect(database, **more)

    monkeypatch.setattr(sqlite3, "connect", connected)
    assert load(killed).cells["rounds"].tolist() == [3]


def test_folder_names_that_mean_something_to_a_shell_or_a_uri(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    directory = tmp_path / "what? [1]#100%"
    synthetic.write_run(
        directory, {"name": "n", "arm": "a", "seed": 1}, iter([(synthetic.blank("rounds", round=1), [], [])])
    )
    assert load(directory).cells["rounds"].tolist() == [1]


def test_a_folder_of_a_point_of_a_grid_is_found_by_a_name_like_it(run_of: Callable[..., Path]) -> None:
    directory = run_of("dense-equal-bandwidth=360kHz-rank=8", 1, [0.5])
    with pytest.raises(TraceError, match=r"nearest: .*dense-equal-bandwidth=360kHz-rank=8-seed1\)"):
        load(directory.with_name("dense_equal-bandwidth=360khz-rank=8-seed2"))


def test_a_missing_path_says_what_was_looked_for(study_directory: Path, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"(?s)quickstrat: no such directory.*nearest: .*quickstart") as caught:
        load(study_directory.with_name("quickstrat"))
    assert isinstance(caught.value, WflError)
    assert caught.value.exit_code == 2
    with pytest.raises(TraceError, match=r"no run in it; looked for .*trace\.sqlite"):
        load(tmp_path)
    with pytest.raises(TraceError, match=r"0 directories match.*looked for"):
        load(f"{study_directory}/*-seed9")


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (None, "cannot be read"),
        ("{", "is not the manifest of a run"),
        ("[]", "got a list"),
        ('{"name": "n", "seed": 1, "status": "finished"}', "no key 'arm'"),
        ('{"name": "n", "arm": "a", "seed": "one", "status": "finished"}', "is not the manifest of a run"),
    ],
)
def test_a_broken_manifest_is_named(run_of: Callable[..., Path], manifest: str | None, message: str) -> None:
    directory = run_of("a", 1, [0.5])
    if manifest is None:
        (directory / "manifest.json").unlink()
    else:
        (directory / "manifest.json").write_text(manifest)
    with pytest.raises(TraceError, match=rf"manifest\.json: .*{message}"):
        load(directory)


def test_a_trace_that_is_none_is_named(run_of: Callable[..., Path]) -> None:
    directory = run_of("a", 1, [0.5])
    (directory / "trace.sqlite").write_text("round,accuracy\n" * 100)
    with pytest.raises(TraceError, match=r"trace\.sqlite: cannot be read as a trace"):
        load(directory)


@pytest.mark.parametrize(
    ("table", "column", "value", "said"),
    [
        ("rounds", "delivered", 1.5, "INTEGER holds 1.5"),
        ("transmissions", "packets", 1.5, "INTEGER holds 1.5"),  # of which an image is decoded
        ("transmissions", "packets", "one", "INTEGER holds 'one'"),
        ("decisions", "action", b"send", "TEXT holds b'send'"),
        ("rounds", "accuracy", "half", "REAL holds 'half'"),
    ],
)
def test_a_value_that_is_none_of_its_column_is_told(
    run_of: Callable[..., Path], table: str, column: str, value: Any, said: str
) -> None:
    directory = run_of("a", 1, [0.5])
    db = sqlite3.connect(directory / "trace.sqlite")
    db.execute(f"INSERT INTO {table} ({column}) VALUES (?)", (value,))
    db.commit()
    db.close()
    with pytest.raises(TraceError, match=rf"trace\.sqlite: .* a column of type {said}; .*--force runs it again"):
        load(directory)


def begun_without_manifest(directory: Path) -> None:
    (directory / "manifest.json").unlink()
    (directory / "trace.sqlite").write_bytes(b"")


def begun(directory: Path) -> None:
    (directory / "trace.sqlite").write_bytes(b"")
    (directory / "manifest.json").write_text(json.dumps({"name": "simple", "arm": "b", "seed": 1, "status": "running"}))


def being_removed(directory: Path) -> None:
    (directory / "manifest.json").write_text(json.dumps({"format": 1, "status": DISCARDED}))


@pytest.mark.parametrize("change", [begun_without_manifest, begun, being_removed])
@pytest.mark.parametrize("pattern", ["", "*"])
def test_runs_that_are_just_begun_or_removed_are_left_out_of_a_study(
    run_of: Callable[..., Path], change: Callable[[Path], None], pattern: str
) -> None:
    run_of("a", 1, [0.5])
    other = run_of("b", 1, [0.5])
    change(other)
    assert load(other.parent / pattern).arms == ["a"]
    shutil.rmtree(other.with_name("a-seed1"))
    with pytest.raises(TraceError, match="all runs are just being begun or removed; try again"):
        load(other.parent / pattern)


def test_a_run_that_vanishes_while_its_study_is_read_is_left_out(
    run_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of("a", 1, [0.5])
    other = run_of("b", 1, [0.5])
    monkeypatch.setattr("analysis.reading._manifest", lambda file: vanished(file, other))
    assert load(other.parent).arms == ["a"]


def vanished(file: Path, directory: Path) -> Any:
    manifest = json.loads(file.read_text())
    if file.parent == directory:
        shutil.rmtree(directory)
    return manifest


@pytest.mark.parametrize("change", [begun_without_manifest, being_removed])
def test_such_a_run_is_told_where_it_is_named(run_of: Callable[..., Path], change: Callable[[Path], None]) -> None:
    directory = run_of("a", 1, [0.5])
    change(directory)
    with pytest.raises(TraceError, match=r"manifest\.json: cannot be read|is just being removed, or was left so"):
        load(directory)


def test_a_run_that_has_lost_its_manifest_is_not_left_out(run_of: Callable[..., Path]) -> None:
    run_of("a", 1, [0.5])
    (run_of("b", 1, [0.5]) / "manifest.json").unlink()
    with pytest.raises(TraceError, match=r"b-seed1/manifest\.json: cannot be read"):
        load(run_of("c", 1, [0.5]).parent)


@pytest.mark.parametrize("part", [0.0, 0.5, 0.9])
def test_a_damaged_trace_comes_with_its_remedy(tmp_path: Path, synthetic: SimpleNamespace, part: float) -> None:
    directory = synthetic.write_fleet(tmp_path / "s", clients=5, rounds=20)
    file = directory / "trace.sqlite"
    file.write_bytes(file.read_bytes()[: int(part * file.stat().st_size)])
    with pytest.raises(
        TraceError, match=r"^.*trace\.sqlite: .*`wfl-sim run` of its scenario with --force runs"
    ) as told:
        load(directory)
    assert "\n" not in str(told.value)


def test_what_no_run_can_mend_has_no_such_remedy(run_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    directory = run_of("a", 1, [0.5])
    monkeypatch.setattr("analysis.tracefile.BUSY_TIMEOUT_S", 0.0)
    db = sqlite3.connect(directory / "trace.sqlite", isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    with pytest.raises(TraceError, match=r"database is locked$"):
        load(directory)
    db.close()


def test_the_format_before_is_read_with_nothing_in_the_columns_that_it_had_not(run_of: Callable[..., Path]) -> None:
    directory = run_of("a", 1, [0.5, 0.6])
    before = load(directory).rounds
    db = sqlite3.connect(directory / "trace.sqlite")
    db.execute("ALTER TABLE transmissions DROP COLUMN step")
    db.execute("DELETE FROM columns WHERE name = 'step'")
    memory = ("client_memory_bytes", "server_memory_bytes", "server_each_memory_bytes")
    for column in ("e_sp_score", "e_q", *memory):
        db.execute(f"ALTER TABLE rounds DROP COLUMN {column}")
        db.execute("DELETE FROM columns WHERE name = ?", (column,))
    db.execute("DROP TABLE groups")
    db.execute("DELETE FROM columns WHERE \"table\" = 'groups'")
    db.execute("PRAGMA user_version = 2")
    db.commit()
    db.close()
    after = load(directory).rounds
    assert list(after.columns) == list(before.columns) and after[["e_sp_score", "e_q"]].isna().all(axis=None)
    assert load(directory).groups.empty
    rest = [column for column in before.columns if column not in ("e_sp_score", "e_q", *memory)]
    assert after[rest].equals(before[rest])


def test_another_trace_format_is_refused(run_of: Callable[..., Path]) -> None:
    directory = run_of("a", 1, [0.5])
    db = sqlite3.connect(directory / "trace.sqlite")
    db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(TraceError, match="trace format 999; this version reads formats 2 to 4"):
        load(directory)


def test_reading_needs_neither_matplotlib_nor_torch() -> None:
    code = (
        "import sys, json, analysis.traces, analysis.tradeoff; "
        "print(json.dumps([m for m in ('matplotlib', 'torch', 'simpy') if m in sys.modules]))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_the_package_itself_imports_nothing_heavy() -> None:
    code = "import sys, analysis; print('pandas' in sys.modules); analysis.load; print('pandas' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def coordinate(key: str, text: str, value: float | None, unit: str = "") -> dict[str, Any]:
    return {"key": key, "text": text, "value": value, "unit": unit}


def test_a_grid_gives_a_column_a_key(run_of: Callable[..., Path]) -> None:
    for order, mhz in enumerate((1, 2)):
        for text in ("none", "16"):
            point = [
                coordinate("radio.uplink.bandwidth", f"{mhz} MHz", mhz * 1e6, "Hz"),
                coordinate("codec.bits", text, None if text == "none" else float(text)),
            ]
            directory = run_of(f"a-{mhz}-{text}", 1, [0.5], arm_index=order, group="a", point=point)
    traces = load(directory.parent)
    assert traces.axes == ("radio.uplink.bandwidth", "codec.bits")
    assert traces.units["cells", "radio.uplink.bandwidth"] == "Hz"
    assert traces.cells["group"].tolist() == ["a"] * 4
    assert traces.cells["radio.uplink.bandwidth"].tolist() == [1e6, 1e6, 2e6, 2e6]
    assert traces.cells["codec.bits"].tolist() == ["16", "none"] * 2  # one value is no number: text, all of them
    table = traces.rounds.merge(traces.cells[["arm", "seed", "group", *traces.axes]])
    pivot = table.pivot_table("accuracy", index="radio.uplink.bandwidth", columns="codec.bits")
    assert pivot.shape == (2, 2)


def test_runs_of_before_grids_are_their_own_group(run_of: Callable[..., Path]) -> None:
    traces = load(run_of("a", 1, [0.5]))
    assert (traces.axes, traces.cells["group"].tolist()) == ((), ["a"])


def test_a_key_called_as_a_column_keeps_both(run_of: Callable[..., Path]) -> None:
    directory = run_of("a-rounds=9", 1, [0.5], point=[coordinate("rounds", "9", 9.0)])
    run_of("plain", 1, [0.5, 0.6])
    traces = load(directory.parent)
    assert traces.axes == ("scenario.rounds",)
    assert traces.cells["rounds"].tolist() == [1, 2]
    np.testing.assert_array_equal(traces.cells["scenario.rounds"], [9.0, np.nan])


SCENARIO = """# resolved scenario; runs as it stands
schema_version: 1
name: quickstart
description: Ten phones fine-tune a text
  classifier.
seeds:
- {seed}
rounds: 6
radio:
  carrier: 3.5 GHz
  uplink:
    bandwidth: {bandwidth}
"""


def test_an_arm_whose_runs_differ_in_more_than_the_seed_is_told(run_of: Callable[..., Path]) -> None:
    def write(arm: str, seed: int, bandwidth: str, name: str = "quickstart", rounds: int = 6) -> Path:
        directory = run_of(arm, seed, [0.5])
        text = SCENARIO.format(seed=seed, bandwidth=bandwidth).replace("quickstart", name)
        (directory / "scenario.yaml").write_text(text.replace("rounds: 6", f"rounds: {rounds}"))
        return directory.parent

    write("a", 1, "360 kHz")
    study = write("a", 2, "360 kHz", name="other")  # of seeds and names no result depends
    write("b", 1, "1 MHz")
    assert load(study).notes == ()
    write("a", 10, "2 MHz", rounds=7)
    note = "a: its runs differ in more than the seed, and means mix them: a-seed1 and a-seed10 in rounds, radio"
    assert load(study).notes == (note,)
    assert load(study).select("a", 1).notes == ()
    for table in (arms_table(load(study)), air_table(load(study))):
        assert f"note: {note}" in " ".join(part.plain for part in table.renderables if isinstance(part, Text))
    assert note in compare(str(study), str(study)).notes
    assert note not in compare(f"{study}:b", f"{study}:b").notes
    (study / "a-seed1" / "scenario.yaml").unlink()
    (study / "a-seed2" / "scenario.yaml").write_text("")
    assert load(study).notes == (), "nothing is known of them"


def test_several_paths_are_one(run_of: Callable[..., Path]) -> None:
    one, two = run_of("a", 1, [0.5]), run_of("b", 1, [0.5])
    run_of("c", 1, [0.5])
    assert load([one, str(two), one]).arms == ["a", "b"]
    assert load((f"{one.parent.parent}/**/a-*", two)).arms == ["a", "b"]
    with pytest.raises(TraceError, match="no path was given; looked for"):
        load([])
