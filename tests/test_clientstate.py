"""Client state: a mapping like any other, whatever lies in files."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfl_sim.clientstate import ClientStates
from wfl_sim.contracts import Params
from wfl_sim.errors import RunFailed

ODD = np.array([[-0.0, np.nan, np.inf], [1e-45, 3.4e38, 1.0]], dtype=np.float32)  # bits that a sum would not keep


def entry(seed: int, size: int = 6) -> Params:
    """Some arrays of a client, 4 x `size` + 24 bytes."""
    return {"b": np.random.default_rng(seed).standard_normal(size).astype(np.float32), "a": ODD.T}


def same(left: Params, right: Params) -> bool:
    """Whether names, shapes and bits agree."""
    return left.keys() == right.keys() and all(
        left[n].shape == right[n].shape and left[n].tobytes() == right[n].tobytes() for n in left
    )


def files(folder: Path) -> list[Path]:
    """All that was spilled."""
    return [path for path in folder.rglob("*") if path.is_file()]


steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "get", "del", "pop", "has"]), st.sampled_from(["x", "y"]), st.integers(0, 4)
    ),
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(steps=steps, limit_bytes=st.sampled_from([0, 60, 150, 10**6]))
def test_books_are_plain_mappings_whatever_the_limit(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]], limit_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("states")
    states = ClientStates(limit_bytes, folder)
    books, wanted = {n: states.book(n) for n in "xy"}, {"x": {}, "y": {}}
    for number, (what, name, client) in enumerate(steps):
        book, plain = books[name], wanted[name]
        if what == "put":
            book[client] = plain[client] = entry(number, 1 + number % 9)
        elif what == "get" and client in plain:
            assert same(book[client], plain[client])
        elif what == "del" and client in plain:
            del book[client], plain[client]
        elif what == "pop":
            got, value = book.pop(client, None), plain.pop(client, None)
            assert (got is None) == (value is None) and (value is None or same(got, value))
        assert (client in book) == (client in plain)
        assert states.held_bytes <= limit_bytes
    for name, plain in wanted.items():
        assert sorted(books[name]) == sorted(plain) and len(books[name]) == len(plain)
        assert all(same(books[name][client], plain[client]) for client in plain)
        with pytest.raises(KeyError):
            books[name][99]
        with pytest.raises(KeyError):
            del books[name][99]
    states.close()
    assert list(folder.iterdir()) == []


def test_who_was_not_used_for_longest_goes_to_a_file(tmp_path: Path) -> None:
    states = ClientStates(150, tmp_path)  # three entries of 48 bytes
    book = states.book("residual")
    for client in (0, 1, 2):
        book[client] = entry(client)
    assert files(tmp_path) == [] and states.held_bytes == 144
    assert same(book[0], entry(0))
    book[3] = entry(3)
    assert [file.name for file in files(tmp_path)] == ["residual-1"]
    assert same(book[1], entry(1))  # which takes the place of 2
    assert sorted(file.name for file in files(tmp_path)) == ["residual-1", "residual-2"]
    book[1] = entry(9)
    assert same(book[1], entry(9)) and [file.name for file in files(tmp_path)] == ["residual-2"]


def test_nothing_is_written_below_the_limit(tmp_path: Path) -> None:
    states = ClientStates(10**6, tmp_path)
    states.book("x")[0] = entry(0)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunFailed, match=r"residual of client 7 cannot be kept.*No space left.*beyond 8 bytes.*raise"):
        ClientStates(8, tmp_path).book("residual")[7] = entry(0)


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    states = ClientStates(0, tmp_path)
    states.book("residual")[3] = entry(0)
    files(tmp_path)[0].unlink()
    with pytest.raises(RunFailed, match="residual of client 3 cannot be read back"):
        states.book("residual")[3]
