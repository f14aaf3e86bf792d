from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wfl_sim.learning.memo import LARGE_BYTES, Memo

PARAMS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([np.pi], dtype=np.float32)}


def test_what_was_kept_comes_back_bit_for_bit(tmp_path):
    key = Memo(tmp_path, "task").key([PARAMS], "train", 0, 1)
    Memo(tmp_path, "task").put(key, PARAMS)
    found = Memo(tmp_path, "task").get(key)
    assert found.keys() == PARAMS.keys()
    for name, value in PARAMS.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)
    assert [path.name for path in tmp_path.iterdir()] == [key]


def test_a_key_depends_on_everything_a_result_does():
    changed = {"a": PARAMS["a"].copy(), "b": PARAMS["b"]}
    changed["a"][1, 2] = np.nextafter(changed["a"][1, 2], np.float32(9))  # one bit
    keys = [
        Memo(Path("x"), "task").key([PARAMS], "train", 0, 1),
        Memo(Path("x"), "other").key([PARAMS], "train", 0, 1),
        Memo(Path("x"), "task").key([PARAMS], "train", 1, 0),
        Memo(Path("x"), "task").key([PARAMS], "evaluate"),
        Memo(Path("x"), "task").key([changed], "train", 0, 1),
        Memo(Path("x"), "task").key([{"a": PARAMS["a"], "c": PARAMS["b"]}], "train", 0, 1),
        Memo(Path("x"), "task").key([PARAMS, PARAMS], "train", 0, 1),
        Memo(Path("x"), "task").key([PARAMS, changed], "train", 0, 1),
        Memo(Path("x"), "task").key([changed, PARAMS], "train", 0, 1),
    ]
    assert len(set(keys)) == len(keys)
    assert Memo(Path("x"), "task").key([PARAMS, dict(PARAMS)], "train", 0, 1) == keys[6]  # equal, if not the same
    assert Memo(Path("x"), "task").key([dict(reversed(PARAMS.items()))], "train", 0, 1) == keys[0]


def test_a_large_array_is_read_once_and_counts_by_what_it_holds(monkeypatch):
    value, reads = np.zeros(LARGE_BYTES // 4 + 1, np.float32), []
    whole = np.ascontiguousarray
    monkeypatch.setattr(np, "ascontiguousarray", lambda array: reads.append(array.size) or whole(array))
    memo, again = Memo(Path("x"), "task"), Memo(Path("x"), "task")
    keys = [memo.key([{"a": value, "b": PARAMS["b"]}], number) for number in (0, 0, 1)]
    assert keys[0] == keys[1] != keys[2] and reads == [value.size]
    assert again.key([{"a": value.copy(), "b": PARAMS["b"]}], 0) == keys[0]
    for number in range(3):  # another one may come to lie where one was
        other = value.copy()
        other[-1] = number
        assert (memo.key([{"a": other, "b": PARAMS["b"]}], 0) == keys[0]) == (number == 0)
        del other


def test_without_a_folder_nothing_is_kept():
    memo = Memo(None, "task")
    memo.put("key", PARAMS)
    assert memo.get("key") is None


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"not a file of tensors"])
def test_a_damaged_file_counts_as_missing(tmp_path, content):
    (tmp_path / "key").write_bytes(content)
    assert Memo(tmp_path, "task").get("key") is None


def test_a_folder_that_cannot_be_written_costs_only_the_memory(tmp_path):
    memo = Memo(tmp_path / "gone", "task")
    memo.put("key", PARAMS)
    assert memo.get("key") is None
    assert list(tmp_path.iterdir()) == []
