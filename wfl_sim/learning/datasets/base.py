"""What a data set must do, and what most of them need: the hash of a file, and of examples.

Knows no data set, no model and no client; imports no tensor library.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from channels.options import Options
from wfl_sim.errors import MissingResource
from wfl_sim.learning.examples import Examples, TaskKind
from wfl_sim.learning.sources import ROOTS_VARIABLE


class DataSet(Protocol):
    """What a data set must do.

    1. It is a frozen dataclass derived from `Options` whose one field is ``kind``: the name that a scenario
       writes in ``learning.data.name``, such as ``builtin:wordnet10``. (Of `CsvTexts` and `HubData` it is the path.)
    2. ``task`` is ``text``, ``image`` or ``language``. ``classes`` are the names of the classes, two or more and all
       different; label k means ``classes[k]``. ``natural`` are the names of the clients that the data come from by
       nature, all different, or () where they come from none. All are known without reading the data, where that can
       be. In a ``language`` task, where the text itself is what is predicted, the classes are its sources.
    3. ``locate()`` is the file or folder that a run would read. It reads nothing and fetches nothing. Where the
       data are not on this computer it raises MissingResource with the command or the place that remedies it.
    4. ``examples()`` gives every example with its label, and with the number of its natural client where there are
       such, in the same order each time. Inputs are texts, or for an image task unsigned bytes [n, height, width]
       or [n, height, width, 3]. No text is empty, and no input comes twice: training and test sets must not share
       one. What cannot be read raises MissingResource. Texts of a language task are passages of consecutive text.
    5. ``counts()`` says how many examples of each class `examples` gives, exactly, and fast enough to check a
       scenario before it runs: in less than 0.1 s for data that are installed as expected.
    6. ``record()`` is what the manifest keeps: plain data that JSON can hold, among them ``sha256`` of what was
       read (other examples, another record: results of training are remembered under it), but no path, user or
       host.
    7. The docstring says how the examples came about (section Formula), what they are good for (Validity), and where
       they come from with their licence (Source).
    8. It stands in `DATA_SETS` under its kind, or is an entry point of the group ``wfl_sim.data_set``.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    @property
    def task(self) -> TaskKind:
        """What is to be learnt: classes of texts or of images, or the text itself."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in order of their labels."""
        ...

    @property
    def natural(self) -> tuple[str, ...]:
        """Names of the natural clients, in order of their numbers."""
        ...

    def locate(self) -> Path:
        """Where the data are."""
        ...

    def counts(self) -> tuple[int, ...]:
        """Number of examples of each class."""
        ...

    def examples(self) -> Examples:
        """Every example with its label."""
        ...

    def record(self) -> dict[str, Any]:
        """What the manifest says of the data."""
        ...


@dataclass(frozen=True)
class Contents:
    """What a data set holds that one has to read to know; `about` is for the manifest."""

    examples: Examples
    classes: tuple[str, ...]
    natural: tuple[str, ...]
    about: Mapping[str, Any]


class FromContents(Options, ABC):
    """What such data sets have in common: all but where they lie, and what `contents` finds there."""

    @abstractmethod
    def contents(self) -> Contents:
        """What is there, read once as long as it stays the same."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names that the data declare, or their labels in order: of numbers if all are, else of names."""
        return self.contents().classes

    @property
    def natural(self) -> tuple[str, ...]:
        """The clients in order."""
        return self.contents().natural

    def counts(self) -> tuple[int, ...]:
        """Examples of each class."""
        held = self.contents()
        return counted(held.examples, len(held.classes))

    def examples(self) -> Examples:
        """Inputs with their labels, in the order in which they lie there."""
        return self.contents().examples


def labelled(rows: Iterable[tuple[str, int]]) -> Examples:
    """Examples of texts with their labels."""
    pairs = list(rows)
    labels = np.array([label for _, label in pairs], dtype=np.int64)
    labels.flags.writeable = False  # they may be kept for others
    return Examples(tuple(text for text, _ in pairs), labels)


def counted(examples: Examples, classes: int) -> tuple[int, ...]:
    """Number of examples of each class."""
    return tuple(int(number) for number in np.bincount(examples.labels, minlength=classes))


def digest(examples: Examples) -> str:
    """sha256 of examples, for data that are no single file."""
    found = hashlib.sha256(examples.labels.tobytes())
    if isinstance(examples.inputs, np.ndarray):
        found.update(repr(examples.inputs.shape).encode() + examples.inputs.tobytes())
    else:
        for text in examples.inputs:
            encoded = text.encode("utf-8", "surrogatepass")
            found.update(len(encoded).to_bytes(8, "little") + encoded)
    if examples.groups is not None:
        found.update(examples.groups.tobytes())
    return found.hexdigest()


def absent(kind: str) -> MissingResource:
    """The error of data that can be fetched and have not been."""
    return MissingResource(f"data {kind!r}: not on this computer; `wfl-sim fetch {kind}` brings it")


def classes_of(labels: Iterable[str]) -> tuple[str, ...]:
    """The different labels in order: as numbers if all are whole numbers, else by name."""
    names = sorted(set(labels))
    try:
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    except ValueError:
        return tuple(names)


def places() -> list[Path]:
    """Where files and folders of data may lie: the working directory, then the folders of WFL_SIM_ROOTS."""
    return [Path(folder) for folder in (".", *os.environ.get(ROOTS_VARIABLE, "").split(os.pathsep)) if folder]
