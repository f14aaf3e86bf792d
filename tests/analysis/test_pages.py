"""What is decoded from pages is what SQLite itself would say, for every value, page size and shape of a tree."""

from __future__ import annotations

import sqlite3
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from analysis.pages import Unusual, table_columns

TYPES = ("INTEGER", "REAL", "TEXT", "REAL", "TEXT", "INTEGER")
WHOLE = st.one_of(*(st.integers(-(2 ** (8 * n - 1)), 2 ** (8 * n - 1) - 1) for n in (1, 2, 3, 4, 6, 8)))
NUMBER = st.one_of(st.floats(allow_nan=False), WHOLE.map(float), st.none())  # a whole float is kept as an integer
TEXT = st.one_of(st.sampled_from(["delivered", "dropped", "", "a\0", "a"]), st.text(max_size=30), st.none())


def database(rows: list[tuple[Any, ...]], page_bytes: int = 4096, encoding: str = "UTF-8") -> sqlite3.Connection:
    """A database with a table of `TYPES`."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute(f"PRAGMA page_size = {page_bytes}")
    db.execute(f"PRAGMA encoding = '{encoding}'")
    db.execute(f"CREATE TABLE t ({', '.join(f'c{i} {type_}' for i, type_ in enumerate(TYPES))})")
    db.execute("BEGIN")
    db.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(TYPES))})", rows)
    db.execute("COMMIT")
    return db


def decoded(db: sqlite3.Connection) -> list[np.ndarray]:
    (root,) = db.execute("SELECT rootpage FROM sqlite_master").fetchone()
    return table_columns(db.serialize(), root, TYPES)


def said_by_sqlite(db: sqlite3.Connection) -> list[np.ndarray]:
    rows = db.execute("SELECT * FROM t ORDER BY rowid").fetchall()
    kinds = {"INTEGER": np.int64, "REAL": np.float64, "TEXT": object}
    columns = list(zip(*rows, strict=True)) or [()] * len(TYPES)
    return [
        np.array(values, np.float64 if None in values and type_ == "INTEGER" else kinds[type_])
        for values, type_ in zip(columns, TYPES, strict=True)
    ]


def agree(db: sqlite3.Connection) -> None:
    for got, expected in zip(decoded(db), said_by_sqlite(db), strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(WHOLE, NUMBER, TEXT, NUMBER, TEXT, st.one_of(WHOLE, st.none())), max_size=40),
    page_bytes=st.sampled_from([1024, 4096, 65536]),
)
def test_every_value_of_every_size(rows: list[tuple[Any, ...]], page_bytes: int) -> None:
    agree(database(rows, page_bytes))


@pytest.mark.parametrize("page_bytes", [512, 1024])
def test_trees_of_several_levels_with_gaps_stay_in_order(page_bytes: int) -> None:
    rng = np.random.default_rng(1)
    whole = (rng.integers(0, 2**62, 6000) >> rng.integers(0, 62, 6000)).tolist()
    rows = [(n, n / 3, f"{n % 90:x}", float(n % 5), "up" if n % 2 else None, n % 300) for n in whole]
    db = database(rows, page_bytes)
    db.execute("DELETE FROM t WHERE rowid % 7 = 0 OR rowid BETWEEN 1000 AND 3000")
    db.executemany("INSERT INTO t (rowid, c0, c5) VALUES (?, 1, 2)", [(1500,), (2**40,)])
    agree(db)
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    assert pages > page_bytes / 8, "so few pages have one page above them"


def test_equal_texts_are_one_object() -> None:
    column = decoded(database([(i, 0.0, "delivered", 0.0, "", 1) for i in range(100)]))[2]
    assert len({id(text) for text in column}) == 1


PLAIN = (1, 1.0, "a", 1.0, "b", 2)


@pytest.mark.parametrize(
    "rows",
    [
        [PLAIN, (1, 1.0, "a" * 5000, 1.0, "b", 2)],  # over several pages
        [PLAIN, (1, 1.0, b"a", 1.0, "b", 2)],
        [PLAIN, (1.5, 1.0, "a", 1.0, "b", 2)],
        [PLAIN, ("one", 1.0, "a", 1.0, "b", 2)],
        [PLAIN, (1, "one", "a", 1.0, "b", 2)],
    ],
)
def test_what_no_trace_holds_is_left_to_sqlite(rows: list[tuple[Any, ...]]) -> None:
    with pytest.raises(Unusual):
        decoded(database(rows))


def test_other_layouts_are_left_to_sqlite() -> None:
    with pytest.raises(Unusual, match="UTF-8"):
        decoded(database([PLAIN], encoding="UTF-16le"))
    db = database([PLAIN])
    (root,) = db.execute("SELECT rootpage FROM sqlite_master").fetchone()
    image = db.serialize()
    for types in (TYPES[:-1], (*TYPES, "REAL")):  # a column was added when there were rows already
        with pytest.raises(Unusual):
            table_columns(image, root, types)
    with pytest.raises(Unusual):
        table_columns(image, 1, TYPES)  # no table of ours begins there
    with pytest.raises(Unusual):
        table_columns(image[: len(image) // 2], root, TYPES)
