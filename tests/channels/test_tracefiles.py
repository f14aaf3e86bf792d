from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels.files import FileError
from channels.replay import Packets
from channels.tracefiles import Table, csv_text, mahimahi_text, read_csv, read_mahimahi, read_trace

values = st.floats(0.0, 1e15) | st.sampled_from([0.1, 1 / 3, 5e-324])


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=50).map(sorted).filter(lambda ms: ms[-1] > 0))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mahimahi_is_read_and_written_byte_by_byte(tmp_path, stamps):
    file = tmp_path / "a.trace"
    file.write_text("".join(f"{ms}\n" for ms in stamps))
    trace = read_mahimahi(file)
    np.testing.assert_array_equal(trace.stamps_ms, stamps)
    assert mahimahi_text(trace).encode() == file.read_bytes()


@given(st.lists(st.floats(0.0, 1e12), min_size=1, max_size=20, unique=True).map(sorted), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_csv_is_written_and_read_to_the_last_bit(tmp_path, times, data):
    def draw(bound):
        return np.array(data.draw(st.lists(bound, min_size=len(times), max_size=len(times))))

    columns = {"down_bps": draw(values) + 1.0, "snr_db": draw(st.floats(-200.0, 200.0)), "up_bps": draw(values) + 1.0}
    columns["down_bps"] = np.minimum(columns["down_bps"], 1e15)
    columns["up_bps"] = np.minimum(columns["up_bps"], 1e15)
    file = tmp_path / "a.csv"
    file.write_text(csv_text(Table(np.array(times), columns)))
    again = read_csv(file)
    assert list(again.columns) == list(columns)
    assert again.times_s.tobytes() == np.array(times).tobytes()
    assert all(again.columns[name].tobytes() == column.tobytes() for name, column in columns.items())
    assert csv_text(again).encode() == file.read_bytes()


def test_the_first_line_tells_the_format_and_a_file_is_read_again_when_it_changes(tmp_path):
    file = tmp_path / "trace"
    file.write_text("0\n3\n3\n")
    assert isinstance(read_trace(file), Packets)
    assert read_trace(file) is read_trace(file)
    file.write_text("# a remark\n\ntime_s, snr_db\n0, 3\n1, -4.5\n")
    table = read_trace(file)
    assert isinstance(table, Table)
    assert table.columns["snr_db"].tolist() == [3.0, -4.5]


def test_a_direction_has_its_own_column_or_a_common_one(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("time_s,rate_bps,up_bps\n0,1,2\n0.5,3,4\n")
    table = read_csv(file)
    assert (table.column("up"), table.column("down")) == ("up_bps", "rate_bps")
    assert table.rates("up_bps").pass_bits == 3.0
    with pytest.raises(ValueError, match="has no column for the downlink, which is one of down_bps, rate_bps, snr_db"):
        Table(table.times_s, {"up_bps": table.columns["up_bps"]}).column("down")


WHOLE = "must be a whole number of milliseconds from 0 to 1000000000000; got"
NEITHER = "is neither a mahimahi trace (whole milliseconds) nor a CSV whose header names columns between commas; got"
MAHIMAHI = [
    ("", ": is empty; each line of a mahimahi trace is a whole number of milliseconds"),
    ("0\n0\n", ": holds only zeros; the last stamp is the duration, which must be above 0 ms"),
    ("1\n5\n4\n", ":3: stamps must not fall; got 4 after 5"),
    ("time_s;rate_bps\n0;1\n", f":1: {NEITHER} 'time_s;rate_bps'"),
    ("# from a modem\n\n0;1\n", f":3: {NEITHER} '0;1'"),
    ("1\n2.5\n", f":2: {WHOLE} '2.5'"),
    ("1\nfive\n", f":2: {WHOLE} 'five'"),
    ("1\n-5\n", f":2: {WHOLE} '-5'"),
    ("1\n\n2\n", f":2: {WHOLE} ''"),
    ("1\n1_0\n", f":2: {WHOLE} '1_0'"),
    ("1\n\u0663\n", f":2: {WHOLE} '\u0663'"),
    ("nan\n", f":1: {NEITHER} 'nan'"),
    ("1\n" + "9" * 40 + "\n", f":2: {WHOLE} '{'9' * 40}'"),
    ("1\n9999999999999\n", ":2: must be at most 1000000000000 ms; got 9999999999999"),
]


@pytest.mark.parametrize(("text", "says"), MAHIMAHI, ids=range(len(MAHIMAHI)))
def test_what_is_wrong_in_a_mahimahi_trace_is_told_with_its_line(tmp_path, text, says):
    file = tmp_path / "a.trace"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(FileError) as caught:
        read_trace(file)
    assert str(caught.value) == f"{file}{says}"


CSV = [
    ("time_s,rate_bps\n", ": has a header and no rows"),
    ("time_s\n0\n", ": has times alone; it needs at least one of rate_bps, up_bps, down_bps, snr_db"),
    ("rate_bps\n0\n", ":1: the column 'time_s' is missing"),
    ("time_s,rate\n0,1\n", ":1: 'rate' is not a column; known are time_s, rate_bps, up_bps, down_bps, snr_db"),
    ("time_s,rate_bps\n0,1\n1,x\n", ":3: rate_bps must be a finite number; got 'x'"),
    ("time_s,rate_bps\n0,1\n1,nan\n", ":3: rate_bps must be a finite number; got 'nan'"),
    ("time_s,rate_bps\n0,1\n1\n", ":3: has 1 values; the header names 2"),
    ("time_s,rate_bps\n0,1\n2,1\n1,1\n", ":4: time_s must rise; got 1 after 2"),
    ("time_s,rate_bps\n0,1\n# twice\n0,1\n", ":4: time_s must rise; got 0 after 0"),
    ("time_s,rate_bps\n-1,1\n", ":2: time_s must be from 0 to 1e+12; got -1.0"),
    ("time_s,rate_bps\n0,1\n1,-3\n", ":3: rate_bps must be from 0 to 1e+15; got -3.0"),
    ("time_s,up_bps\n0,0\n1,0\n", ": up_bps is 0 in every row"),
    ("time_s,snr_db\n0,3\n1,-201\n", ":3: snr_db must be from -200 to 200; got -201.0"),
]


@pytest.mark.parametrize(("text", "says"), CSV, ids=range(len(CSV)))
def test_what_is_wrong_in_a_csv_is_told_with_its_line(tmp_path, text, says):
    file = tmp_path / "a.csv"
    file.write_text(text)
    with pytest.raises(FileError) as caught:
        read_trace(file)
    assert str(caught.value) == f"{file}{says}"


def test_a_file_that_has_gone_says_so(tmp_path):
    file = tmp_path / "a.trace"
    file.write_text("1\n2\n")
    read_trace(file)
    file.unlink()
    with pytest.raises(FileError, match="cannot be read: No such file or directory"):
        read_trace(file)


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    for name, why in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(FileError, match=f"cannot be read: {why}"):
            read_trace(name)
    with pytest.raises(FileError, match="cannot be read"):
        read_trace("a\0b")
