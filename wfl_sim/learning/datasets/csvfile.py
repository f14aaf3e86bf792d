"""Texts of one's own in a CSV file with the columns text and label, and client where there is one.

Knows the format and says which line breaks it; not where labels come from.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from channels.units import shown
from wfl_sim.errors import MissingResource
from wfl_sim.learning.datasets.base import Contents, FromContents, classes_of, labelled, places
from wfl_sim.learning.examples import Examples, TaskKind
from wfl_sim.learning.packages import fingerprint, state_of

PREFIX = "csv:"
LARGEST_BYTES = 1 << 28
NEEDED, CLIENT = ("text", "label"), "client"


@dataclass(frozen=True)
class CsvTexts(FromContents):
    """Texts with labels from a CSV file of your own.

    ``PATH`` is looked for beside the scenario, in the working directory, and in the folders of WFL_SIM_ROOTS.

    Formula
    -------
    The first line names the columns: ``text`` and ``label`` must be among them, ``client`` may be, others are not read.
    A label is a name or a whole number; the labels in order are the classes. Rows with the same client make a natural
    client. Blanks around a value do not count, and of rows with equal texts only the first does: the manifest says how
    many were left out.

    Validity
    --------
    UTF-8, up to 256 MiB; two classes or more, and as many rows of each as training, test and validation sets need
    together. Fields with a comma, a quotation mark or a line end stand in double quotes (RFC 4180).

    Source
    ------
    Your own file, under whatever licence its texts have.
    """

    kind: str = "csv:PATH"
    task: ClassVar[TaskKind] = "text"

    @staticmethod
    def takes(name: str) -> bool:
        """Whether a name in a scenario means a file like this."""
        return name.startswith(PREFIX)

    def locate(self) -> Path:
        """The file."""
        name = self.kind.removeprefix(PREFIX)
        if name and name.isprintable():
            for folder in places():
                if _is_file(folder / name):
                    return folder / name
        raise MissingResource(
            f"data {shown(self.kind)}: there is no such file; looked for beside the scenario, in the working directory "
            "and in the folders of the variable WFL_SIM_ROOTS"
        )

    def record(self) -> dict[str, Any]:
        """Name and sha256 of the file, and how many rows repeated a text."""
        path = self.locate()
        return {"file": path.name, **self.contents().about, "sha256": fingerprint(path)}

    def contents(self) -> Contents:
        """What the file holds."""
        path = self.locate()
        return _table(path.resolve(), Path(self.kind.removeprefix(PREFIX)), *state_of(path))


@lru_cache(maxsize=4)
def _table(path: Path, said: Path, size: int, mtime_ns: int) -> Contents:
    """The file at `path`, called `said` in errors; its size and time tell one state of it from another."""
    if size > LARGEST_BYTES:
        raise MissingResource(f"{said}: is larger than {LARGEST_BYTES >> 20} MiB")
    texts: dict[str, tuple[str, str]] = {}
    rows = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, row in _rows(file, said):
                text, label, client = (row.get(key, "").strip() for key in (*NEEDED, CLIENT))
                for key in row:
                    if key in (*NEEDED, CLIENT) and not row[key].strip():
                        raise MissingResource(f"{said}:{line}: the {key} is empty")
                texts.setdefault(text, (label, client))
                rows += 1
    except UnicodeDecodeError as error:
        raise MissingResource(f"{said}: is not UTF-8 text ({error.reason})") from None
    except (OSError, ValueError) as error:
        raise MissingResource(f"{said}: cannot be read: {error}") from None
    if not texts:
        raise MissingResource(f"{said}: has a header and no rows")
    labels, clients = ([pair[part] for pair in texts.values()] for part in (0, 1))
    classes, natural = classes_of(labels), classes_of(clients) if any(clients) else ()
    if len(classes) < 2:
        raise MissingResource(f"{said}: every label is {shown(classes[0])}; a task needs two classes or more")
    plain = labelled(zip(texts, map({name: n for n, name in enumerate(classes)}.__getitem__, labels), strict=True))
    number = {name: n for n, name in enumerate(natural)}
    groups = np.array([number[client] for client in clients], dtype=np.int64) if natural else None
    about = {"rows": rows, "duplicates": rows - len(texts)}
    return Contents(Examples(plain.inputs, plain.labels, groups), classes, natural, about)


def _rows(file: Any, said: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The number of the first line of each row, and its values by column."""
    reader = csv.reader(file, strict=True)
    header: list[str] = []
    line = 1
    try:
        for row in reader:
            if row and not header:
                header = [name.strip() for name in row]
                for name in NEEDED:
                    if name not in header:
                        raise MissingResource(
                            f"{said}:{line}: the column {name!r} is missing; the first line names {shown(row)}"
                        )
                for name in (*NEEDED, CLIENT):
                    if header.count(name) > 1:
                        raise MissingResource(f"{said}:{line}: the column {name!r} stands twice")
            elif row:
                if len(row) != len(header):
                    raise MissingResource(f"{said}:{line}: has {len(row)} values; the header names {len(header)}")
                yield line, dict(zip(header, row, strict=True))
            line = reader.line_num + 1
    except csv.Error as error:
        raise MissingResource(f"{said}:{line}: {error}") from None
    if not header:
        raise MissingResource(f"{said}: is empty; its first line names the columns: text, label")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except (OSError, ValueError):
        return False
