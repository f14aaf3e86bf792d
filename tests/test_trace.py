from __future__ import annotations

import csv
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from wfl_sim.errors import RunFailed
from wfl_sim.trace import TABLES, TraceWriter, dump, named, read_rows, write_csv

# What the end of a column's name says of its unit.
UNIT_OF_SUFFIX = {"_s": "s", "_hz": "Hz", "_db": "dB", "_bits": "bit", "_j": "J"}


def row(table: str, number: int) -> dict[str, object]:
    """A row whose values tell tables, columns and rows apart."""
    values = {
        "INTEGER": lambda i: 1000 * number + i,
        "REAL": lambda i: number + i / 7,
        "TEXT": lambda i: f"{number} {i}",
    }
    return {column.name: values[column.type](i) for i, column in enumerate(TABLES[table])}


def commit(writer: TraceWriter, number: int, rows: int = 2) -> None:
    several = range(10 * number, 10 * number + rows)
    writer.commit_round(
        row("rounds", number), [row("transmissions", i) for i in several], [row("decisions", i) for i in several]
    )


def write(path: Path, rounds: int = 2) -> Path:
    writer = TraceWriter(path)
    for number in range(1, rounds + 1):
        commit(writer, number)
    writer.close()
    return path


def test_rows_come_back_in_the_order_in_which_they_were_written(tmp_path):
    path = write(tmp_path / "trace.sqlite")
    assert read_rows(path, "rounds") == [row("rounds", 1), row("rounds", 2)]
    for table in ("transmissions", "decisions"):
        assert read_rows(path, table) == [row(table, i) for i in (10, 11, 20, 21)]


def test_every_column_is_described(tmp_path):
    db = sqlite3.connect(write(tmp_path / "trace.sqlite"))
    described = {(table, name): (unit, meaning) for table, name, unit, meaning in db.execute("SELECT * FROM columns")}
    tables = [
        name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'") if name != "columns"
    ]
    there = {(table, name): kind for table in tables for _, name, kind, *_ in db.execute(f"PRAGMA table_info({table})")}
    db.close()
    assert set(tables) == {"rounds", "transmissions", "decisions", "groups"}
    assert set(described) == set(there)
    for (table, name), (unit, meaning) in described.items():
        assert len(meaning) > 5, (table, name)
        assert unit or there[table, name] != "REAL", f"{table}.{name} is a quantity without a unit"
        for suffix, expected in UNIT_OF_SUFFIX.items():
            if name.endswith(suffix):
                assert unit == expected, (table, name)


@pytest.mark.parametrize("table", ["rounds", "transmissions", "decisions"])
@pytest.mark.parametrize("fault", ["missing", "unsupported"])
def test_a_bad_row_leaves_the_trace_as_it_was(tmp_path, table, fault):
    path = tmp_path / "trace.sqlite"
    writer = TraceWriter(path)
    commit(writer, 1)
    before = dump(path)
    rows = {name: [row(name, 20), row(name, 21)] for name in TABLES}
    bad = rows[table][0] if table == "rounds" else rows[table][1]  # of several rows the last one
    name = TABLES[table][-1].name
    if fault == "missing":
        del bad[name]
    else:
        bad[name] = object()
    with pytest.raises(KeyError if fault == "missing" else sqlite3.Error, match=name if fault == "missing" else None):
        writer.commit_round(rows["rounds"][0], rows["transmissions"], rows["decisions"])
    assert dump(path) == before
    commit(writer, 2)  # and the writer can go on
    writer.close()
    assert dump(path) == dump(write(tmp_path / "other.sqlite"))


def test_an_interrupt_while_rows_are_made_leaves_whole_rounds(tmp_path):
    path = tmp_path / "trace.sqlite"
    writer = TraceWriter(path)
    commit(writer, 1)

    def interrupted():
        yield row("transmissions", 20)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.commit_round(row("rounds", 2), interrupted(), [])
    writer.close()
    assert dump(path) == dump(write(tmp_path / "other.sqlite", rounds=1))


def test_rows_may_come_by_name_or_in_the_order_of_the_columns(tmp_path):
    writer = TraceWriter(tmp_path / "trace.sqlite")
    for number in (1, 2):
        in_order = {table: [tuple(row(table, 10 * number + i).values()) for i in (0, 1)] for table in TABLES}
        writer.commit_round(row("rounds", number), in_order["transmissions"], in_order["decisions"])
        assert [named("decisions", one) for one in in_order["decisions"]] == [
            row("decisions", 10 * number + i) for i in (0, 1)
        ]
    assert named("rounds", row("rounds", 1)) == row("rounds", 1)
    with pytest.raises(sqlite3.Error):
        writer.commit_round(row("rounds", 3), [(1, 2)], [])
    writer.close()
    assert dump(tmp_path / "trace.sqlite") == dump(write(tmp_path / "other.sqlite"))


def test_a_reader_sees_what_was_committed_while_the_writer_is_open(tmp_path):
    path = tmp_path / "trace.sqlite"
    writer = TraceWriter(path)
    assert read_rows(path, "rounds") == []
    commit(writer, 1)
    assert read_rows(path, "rounds") == [row("rounds", 1)]
    writer.close()


def test_dumps_are_equal_where_and_only_where_the_rows_are(tmp_path):
    assert dump(write(tmp_path / "a")) == dump(write(tmp_path / "b"))
    assert dump(write(tmp_path / "a2", rounds=1)) != dump(tmp_path / "a")
    writer = TraceWriter(tmp_path / "swapped")
    commit(writer, 2)
    commit(writer, 1)
    writer.close()
    assert dump(tmp_path / "swapped") != dump(tmp_path / "a")  # the order counts


def test_floats_come_back_bit_for_bit(tmp_path):
    writer = TraceWriter(tmp_path / "trace.sqlite")
    odd = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, float(np.nextafter(1.0, 2.0))]
    for value in odd:
        writer.commit_round(row("rounds", 1) | {"loss": np.float64(value), "e_cov": None}, [], [])
    writer.close()
    rows = read_rows(tmp_path / "trace.sqlite", "rounds")
    assert [r["loss"] for r in rows] == odd
    assert [r["e_cov"] for r in rows] == [None] * len(odd)


def test_csv_has_the_columns_as_header_and_the_rounds_below(tmp_path):
    write_csv(write(tmp_path / "trace.sqlite"), tmp_path)
    assert not (tmp_path / "groups.csv").exists()  # this run has none
    with (tmp_path / "rounds.csv").open(newline="") as stream:
        header, *lines = csv.reader(stream)
    assert header == [column.name for column in TABLES["rounds"]]
    assert lines == [[str(value) for value in row("rounds", number).values()] for number in (1, 2)]


def test_groups_of_clients_have_a_csv_of_their_own(tmp_path):
    writer = TraceWriter(tmp_path / "trace.sqlite")
    for number in (1, 2):
        writer.commit_round(row("rounds", number) | {"groups": [row("groups", number), row("groups", 5)]}, [], [])
    writer.close()
    write_csv(tmp_path / "trace.sqlite", tmp_path)
    with (tmp_path / "groups.csv").open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [line["round"] for line in found] == ["1000", "1000", "2000", "2000"]  # that of the row of its round
    told = {name: str(value) for name, value in row("groups", 5).items() if name != "round"}
    assert [{name: line[name] for name in told} for line in found[1::2]] == [told, told]


def test_csv_of_a_run_without_rounds_is_a_header(tmp_path):
    write_csv(write(tmp_path / "trace.sqlite", rounds=0), tmp_path)
    assert (tmp_path / "rounds.csv").read_text().splitlines() == [",".join(c.name for c in TABLES["rounds"])]


@pytest.mark.parametrize("name", ["a?b", "a#b", "100%", "a%20b", "a b&c=d", "ä"])
def test_names_that_mean_something_in_a_uri_are_just_names(tmp_path, monkeypatch, name):
    folder = tmp_path / name
    folder.mkdir()
    path = write(folder / f"{name}.sqlite")
    assert read_rows(path, "rounds") == [row("rounds", 1), row("rounds", 2)]
    monkeypatch.chdir(folder)
    assert dump(Path(f"{name}.sqlite")) == dump(path)


def test_reading_makes_no_file(tmp_path):
    with pytest.raises(sqlite3.OperationalError):
        read_rows(tmp_path / "nothing.sqlite", "rounds")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_table_is_refused_with_the_names_of_the_known(tmp_path):
    with pytest.raises(ValueError, match=r"no table 'columns; DROP'.*rounds, transmissions, decisions"):
        read_rows(write(tmp_path / "trace.sqlite"), "columns; DROP")


def test_a_trace_that_was_begun_is_gone_on_with(tmp_path):
    path = write(tmp_path / "trace.sqlite")
    before = dump(path)
    writer = TraceWriter(path)
    assert dump(path) == before and writer.committed().rounds == len(before["rounds"])
    number = len(before["rounds"]) + 1
    writer.commit_round(row("rounds", number), [], [])
    assert dump(path)["rounds"] == [*before["rounds"], tuple(row("rounds", number).values())]


def test_a_file_that_is_no_trace_of_this_format_is_left_alone(tmp_path):
    path = write(tmp_path / "trace.sqlite")
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.commit()
    db.close()
    (tmp_path / "text.sqlite").write_text("no database, but long enough to be taken for one at first sight\n" * 99)
    for name, says in (("trace.sqlite", "trace format 99; this version writes"), ("text.sqlite", "not a database")):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(RunFailed, match=says):
            TraceWriter(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
