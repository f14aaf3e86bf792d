"""Examples as arrays and texts: what a data set gives, and what a task is trained and evaluated on.

Knows neither models nor clients; imports no tensor library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
TaskKind = Literal["text", "image", "language"]


@dataclass(frozen=True)
class Examples:
    """Inputs with their labels [n], and the natural client of each [n] where there are such.

    Inputs are texts, or images as unsigned bytes [n, height, width] (grey) or [n, height, width, 3]. In language
    modelling what is predicted is the text itself; the label then is the source that it comes from.
    """

    inputs: tuple[str, ...] | NDArray[np.uint8]
    labels: Ints
    groups: Ints | None = None

    def __len__(self) -> int:
        return int(self.labels.size)

    def take(self, rows: Sequence[int] | NDArray[Any]) -> Examples:
        """Some of them, in the order of `rows`."""
        index = np.asarray(rows, dtype=np.int64)
        inputs = self.inputs[index] if isinstance(self.inputs, np.ndarray) else tuple(self.inputs[i] for i in index)
        return Examples(inputs, self.labels[index], None if self.groups is None else self.groups[index])


@dataclass(frozen=True)
class Task:
    """What is to be learnt: training and held-out examples, and the names of classes and of natural clients."""

    train: Examples
    test: Examples
    classes: tuple[str, ...]
    kind: TaskKind = "text"
    groups: tuple[str, ...] = ()
