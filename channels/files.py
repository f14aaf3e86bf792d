"""Tables of numbers in text files: read once, with the line of whatever is wrong.

Knows no model; a model that keeps its data in a file names it in an option marked with `File`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from channels.arrays import Floats
from channels.units import shown

LARGEST_BYTES = 1 << 28


@dataclass(frozen=True)
class File:
    """Marks an option that names a file, used as ``Annotated[str, File("what it holds", example="name")]``.

    The options class has a method ``load()``, which reads the file and raises `FileError` where it cannot. A scenario
    calls it when it is checked, and looks for the file beside itself, then in the working directory.
    """

    holds: str = ""
    example: str = ""


class FileError(ValueError):
    """A file that cannot be read, or a line of it that is wrong: ``FILE:LINE: what``."""


def mark(name: str | Path) -> tuple[int, ...]:
    """What tells one state of a file from another: device, inode, size and time of change; () if it is not there.

    Caches keep what a file holds by (name, mark); reading one that has gone then says so.
    """
    try:
        found = os.stat(name)
    except (OSError, ValueError):
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def read_lines(name: str | Path) -> list[str]:
    """The lines of a text file in UTF-8; FileError where it cannot be read or is above 256 MiB."""
    path = Path(name)
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise FileError(f"{path}: is larger than {LARGEST_BYTES >> 20} MiB")
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise FileError(f"{path}:{line}: is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def number(text: str, place: str, name: str = "") -> float:
    """A finite number; FileError that begins with `place` where `text` is none."""
    try:
        value = float(text) if "_" not in text else np.nan  # Python reads 1_0 as 10
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise FileError(f"{place}: {f'{name} ' if name else ''}must be a finite number; got {shown(text.strip())}")
    return value


def read_table(name: str | Path, need: Sequence[str], may: Sequence[str] = ()) -> tuple[dict[str, Floats], list[int]]:
    """Columns of a CSV file with a header line.

    Parameters
    ----------
    name : str or Path
    need, may : sequence of str
        Columns that must be there, and those that may; any other is an error.

    Returns
    -------
    columns : dict of str to ndarray
        Finite numbers [rows] of each column that is there.
    lines : list of int
        The number of the line of each row, for messages.

    Raises
    ------
    FileError
        A header that lacks a column or has an unknown one, a row of another length, a value that is no finite number,
        no row at all.
    """
    text = [(n, line) for n, line in enumerate(read_lines(name), 1) if line.strip() and not line.startswith("#")]
    if not text:
        raise FileError(f"{name}: is empty; its first line names the columns: {', '.join(need)}")
    # numbers need no quotes, so a comma always ends a value
    (_, first), *rest = text
    header = [word.strip() for word in first.split(",")]
    at = f"{name}:{text[0][0]}"
    known = (*need, *may)
    for word in header:
        if word not in known or header.count(word) > 1:
            fault = "stands twice" if word in known else f"is not a column; known are {', '.join(known)}"
            raise FileError(f"{at}: {shown(word)} {fault}")
    for word in need:
        if word not in header:
            raise FileError(f"{at}: the column {word!r} is missing")
    lines, values = [], []
    for line, written in rest:
        row = written.split(",")
        if len(row) != len(header):
            raise FileError(f"{name}:{line}: has {len(row)} values; the header names {len(header)}")
        values.append([number(word, f"{name}:{line}", key) for key, word in zip(header, row, strict=True)])
        lines.append(line)
    if not values:
        raise FileError(f"{name}: has a header and no rows")
    return dict(zip(header, np.array(values).T.copy(), strict=True)), lines
