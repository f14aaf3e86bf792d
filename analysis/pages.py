"""The rows of a table of an SQLite database as NumPy columns, many at once, decoded from the pages that hold them.

Knows the layout of pages and records (SQLite's file format, sections 1.6 and 2.1); locks, journals and transactions
stay with SQLite, which hands over the image. Does not know what a table means.

Python's ``sqlite3`` makes an object of every value, which takes 8 s for a million transmissions; this takes about one.
It reads what a trace holds and nothing more: whatever else is met raises `Unusual`, and is then read with a SELECT.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEAF, INTERIOR = 13, 5
_DEEPEST = 20  # SQLite's own limit of a tree
_KINDS_OF_TEXT = 64  # different texts of one length that are looked for before each is decoded by itself
_WIDTHS = np.array([0, 1, 2, 3, 4, 6, 8, 8, 0, 0])
"""Bytes of a value by its serial type: NULL, integers of 1 to 8 bytes, a float, and the integers 0 and 1."""

Column = np.ndarray


class Unusual(Exception):
    """The table holds something that is left to SQLite."""


def table_columns(image: bytes, root: int, types: Sequence[str]) -> list[Column]:
    """All rows of a table, column by column, in the order of the rowid.

    Parameters
    ----------
    image
        A whole database, as ``sqlite3.Connection.serialize`` gives it.
    root
        Number of the table's first page, from 1, as in ``sqlite_master``.
    types
        What the columns hold: INTEGER, REAL or TEXT.

    Returns
    -------
    list of ndarray
        int64 for INTEGER (float64 with NaN where some are NULL), float64 for REAL, with NaN for NULL, and objects for
        TEXT: strings, or None for NULL; equal strings are mostly one object.

    Raises
    ------
    Unusual
        For what a trace does not hold: rows longer than a page, blobs, columns that were added later, UTF-16.
    """
    try:
        return _table_columns(image, root, types)
    except (IndexError, ValueError) as error:  # read beyond the end, or bytes that are no text
        raise Unusual(str(error)) from error


def _table_columns(image: bytes, root: int, types: Sequence[str]) -> list[Column]:
    page_bytes = int.from_bytes(image[16:18]) or 1
    page_bytes = 65536 if page_bytes == 1 else page_bytes
    if int.from_bytes(image[56:60]) != 1:
        raise Unusual("text is not UTF-8")
    data = np.frombuffer(image, dtype=np.uint8)
    leaves = (np.array(_leaves(data, page_bytes, root), dtype=np.int64) - 1) * page_bytes
    rows = _big_endian(data, "u2", leaves + 3).astype(np.int64)
    first = np.repeat(np.cumsum(rows) - rows, rows)
    page = np.repeat(leaves, rows)
    at = page + _big_endian(data, "u2", page + 8 + 2 * (np.arange(page.size) - first))
    length, at = _varint(data, at)
    if (length > page_bytes - image[20] - 35).any():
        raise Unusual("a row goes over several pages")
    _, at = _varint(data, at)  # the rowid
    begin = at
    header, at = _varint(data, at)
    value_at, columns = begin + header, []
    for type_ in types:
        kind, at = _varint(data, at)
        decode = _text if type_ == "TEXT" else _real if type_ == "REAL" else _integer
        columns.append(decode(data, kind, value_at))
        value_at = value_at + np.where(kind < 12, _WIDTHS[np.minimum(kind, 9)], (kind - 12) // 2)
    if (at != begin + header).any() or (value_at != begin + length).any():
        raise Unusual("rows have not as many values as the table has columns")
    return columns


def _leaves(data: np.ndarray, page_bytes: int, root: int, depth: int = 0) -> list[int]:
    """The pages below `root` that hold rows, in order."""
    start = (root - 1) * page_bytes
    if data[start] == LEAF:
        return [root]
    if data[start] != INTERIOR or depth > _DEEPEST:
        raise Unusual("no tree of a table")
    cells = int(_big_endian(data, "u2", np.array([start + 3]))[0])
    places = start + _big_endian(data, "u2", start + 12 + 2 * np.arange(cells)).astype(np.int64)
    below = _big_endian(data, "u4", np.append(places, start + 8)).astype(np.int64)
    if (data[(below - 1) * page_bytes] == LEAF).all():
        return [int(page) for page in below]
    return [leaf for page in below for leaf in _leaves(data, page_bytes, int(page), depth + 1)]


def _big_endian(data: np.ndarray, dtype: str, at: np.ndarray) -> np.ndarray:
    """Numbers that begin at the bytes `at`, wherever they are aligned."""
    kind = np.dtype(f">{dtype}")
    count = data.size - kind.itemsize + 1
    numbers: np.ndarray = np.ndarray(max(0, count), kind, data.data, strides=(1,))[at]
    return numbers.astype(kind.newbyteorder("="))


def _varint(data: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SQLite's integers of 1 to 9 bytes that begin at the bytes `at`, and where each ends."""
    byte = data[at]
    if (byte < 128).all():
        return byte.astype(np.int64), at + 1
    value, at, more = np.zeros(at.size, dtype=np.int64), at.copy(), np.arange(at.size)
    for place in range(9):
        byte = data[at[more]].astype(np.int64)
        at[more] += 1
        value[more] = (value[more] << 8) | byte if place == 8 else (value[more] << 7) | (byte & 127)
        more = more[byte >= 128]
        if not more.size:
            break
    return value, at


def _integer(data: np.ndarray, kind: np.ndarray, at: np.ndarray) -> Column:
    present = _present(kind)
    if 7 in present:
        raise Unusual("a whole number is none")
    return _numbers(data, kind, at, np.dtype(np.float64 if 0 in present else np.int64), present)


def _real(data: np.ndarray, kind: np.ndarray, at: np.ndarray) -> Column:
    return _numbers(data, kind, at, np.dtype(np.float64), _present(kind))


def _present(kind: np.ndarray) -> list[int]:
    """The serial types of a column of numbers."""
    if kind.size and kind.max() > 9:
        raise Unusual("a number is none")
    return [int(one) for one in np.flatnonzero(np.bincount(kind))]


def _numbers(data: np.ndarray, kind: np.ndarray, at: np.ndarray, dtype: np.dtype, present: list[int]) -> Column:
    if len(present) == 1:
        return _of_kind(data, present[0], at).astype(dtype, copy=False)
    column = np.empty(kind.size, dtype)
    for one in present:
        rows = np.flatnonzero(kind == one)
        column[rows] = _of_kind(data, one, at[rows])
    return column


def _of_kind(data: np.ndarray, kind: int, at: np.ndarray) -> np.ndarray:
    """The numbers of one serial type."""
    if kind in (0, 8, 9):
        return np.full(at.size, {0: np.nan, 8: 0, 9: 1}[kind])
    if kind == 3:
        number: Column = (_big_endian(data, "i1", at).astype(np.int64) << 16) + _big_endian(data, "u2", at + 1)
        return number
    if kind == 5:
        number = (_big_endian(data, "i2", at).astype(np.int64) << 32) + _big_endian(data, "u4", at + 2)
        return number
    return _big_endian(data, {1: "i1", 2: "i2", 4: "i4", 6: "i8", 7: "f8"}[kind], at)


def _text(data: np.ndarray, kind: np.ndarray, at: np.ndarray) -> Column:
    column = np.full(kind.size, None, dtype=object)
    for one in np.unique(kind):
        if one == 0:
            continue
        if one < 13 or one % 2 == 0:
            raise Unusual("a text is none")
        size, rows = (int(one) - 13) // 2, np.flatnonzero(kind == one)
        if size == 0:
            column[rows] = ""
            continue
        # Ends in zeros do not matter to this comparison, but all texts here are equally long.
        texts = np.ndarray(max(0, data.size - size + 1), f"S{size}", data.data, strides=(1,))[at[rows]]
        for _ in range(_KINDS_OF_TEXT):
            if not rows.size:
                break
            alike = texts == texts[0]
            column[rows[alike]] = _decoded(data, at[rows[0]], size)
            rows, texts = rows[~alike], texts[~alike]
        for row in rows:
            column[row] = _decoded(data, at[row], size)
    return column


def _decoded(data: np.ndarray, at: int, size: int) -> str:
    return data[at : at + size].tobytes().decode("utf-8")
