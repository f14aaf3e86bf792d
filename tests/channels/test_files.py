"""Tables of numbers: what is read, what is refused and with which line, and what tells files apart."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from channels.files import LARGEST_BYTES, FileError, mark, read_lines, read_table

NEED, MAY = ("time_s", "rate_bps"), ("snr_db",)


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_columns_come_in_any_order_with_comments_and_blank_lines(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeff# made by hand\n rate_bps , time_s,snr_db\n\n1e6,0, -3\n# later\n2.5e6, 1,4\n")
    columns, lines = read_table(path, NEED, MAY)
    assert lines == [4, 6]
    np.testing.assert_array_equal(columns["time_s"], [0.0, 1.0])
    np.testing.assert_array_equal(columns["rate_bps"], [1e6, 2.5e6])
    np.testing.assert_array_equal(columns["snr_db"], [-3.0, 4.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "FILE: is empty; its first line names the columns: time_s, rate_bps"),
        ("# nothing\n\n", "FILE: is empty; its first line names the columns: time_s, rate_bps"),
        ("time_s,rate_bps\n", "FILE: has a header and no rows"),
        ("time_s\n1\n", "FILE:1: the column 'rate_bps' is missing"),
        ("time_s,rate_bps,speed\n", "FILE:1: 'speed' is not a column; known are time_s, rate_bps, snr_db"),
        ("time_s,time_s,rate_bps\n", "FILE:1: 'time_s' stands twice"),
        ("time_s,rate_bps\n0,1\n1\n", "FILE:3: has 1 values; the header names 2"),
        ("time_s,rate_bps\n0,1\n\n1,fast\n", "FILE:4: rate_bps must be a finite number; got 'fast'"),
        ("time_s,rate_bps\n0,nan\n", "FILE:2: rate_bps must be a finite number; got 'nan'"),
        ("time_s,rate_bps\n0,1_0\n", "FILE:2: rate_bps must be a finite number; got '1_0'"),
        ('time_s,rate_bps\n1,"2\n', "FILE:2: rate_bps must be a finite number; got '\"2'"),
        (b"time_s,rate_bps\n0,1\n\xff,2\n", "FILE:3: is not UTF-8 text"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str | bytes, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(FileError) as caught:
        read_table(path, NEED, MAY)
    assert str(caught.value) == message.replace("FILE", str(path))


def test_an_endless_field_is_quoted_in_part(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r":2: rate_bps must be a finite number; got '1x1x.* \.\.\.") as caught:
        read_table(written(tmp_path, f"time_s,rate_bps\n0,{'1x' * 200_000}\n"), NEED)
    assert len(str(caught.value)) < 400


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"gone\.csv: cannot be read: No such file or directory"):
        read_lines(tmp_path / "gone.csv")
    with pytest.raises(FileError, match="cannot be read: Is a directory"):
        read_lines(tmp_path)
    with pytest.raises(FileError, match="cannot be read: embedded null"):
        read_lines("a\0b")
    huge = tmp_path / "huge.csv"
    with huge.open("wb") as stream:
        stream.truncate(LARGEST_BYTES + 1)  # holes take no room
    with pytest.raises(FileError, match="is larger than 256 MiB"):
        read_lines(huge)


def test_a_mark_tells_files_and_their_states_apart(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    two.write_text("1")
    os.utime(two, ns=(one.stat().st_atime_ns, one.stat().st_mtime_ns))
    before = mark(one)
    assert before == mark(one) and before != mark(two)
    one.write_text("22")
    assert mark(one) != before
    assert mark(tmp_path / "gone") == mark("a\0b") == ()
