"""What a labelled text data set must do, and the fingerprint of the file behind one.

Knows no data set, no model and no client; imports no tensor library.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

LabelledText = tuple[str, int]


class DataSet(Protocol):
    """What a data set must do.

    1. It is a frozen dataclass derived from `Options` whose one field is ``kind``: the name that a scenario
       writes in ``learning.data.name``, such as ``builtin:wordnet10``.
    2. ``classes`` are the names of the classes, two or more and all different. They are known without the data;
       label k means ``classes[k]``.
    3. ``locate()`` is the file or folder that a run would read. It reads nothing and fetches nothing. Where the
       data are not on this computer it raises MissingResource with the command or the place that remedies it.
    4. ``texts()`` gives every text with its label, in the same order each time. No text is empty, and none comes
       twice: training and test sets must not share one. What cannot be read raises MissingResource.
    5. ``counts()`` says how many texts of each class `texts` gives, exactly, and fast enough to check a scenario
       before it runs: in less than 0.1 s for data that are installed as expected.
    6. ``record()`` is what the manifest keeps: plain data that JSON can hold, among them ``sha256`` of what was
       read (other texts, another record: results of training are remembered under it), but no path, user or
       host.
    7. The docstring says how the texts came about (section Formula), what they are good for (Validity), and where
       they come from with their licence (Source).
    8. It stands in `DATA_SETS` under its kind, or is an entry point of the group ``wfl_sim.data_set``.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in order of their labels."""
        ...

    def locate(self) -> Path:
        """Where the data are."""
        ...

    def counts(self) -> tuple[int, ...]:
        """Number of texts of each class."""
        ...

    def texts(self) -> list[LabelledText]:
        """Every text with its label."""
        ...

    def record(self) -> dict[str, Any]:
        """What the manifest says of the data."""
        ...


def fingerprint(path: Path) -> str:
    """sha256 of a file; a file that has not changed is read once in a process."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
