"""Arrays that a run needs to go on, in one file a round that holds what is new in it.

Knows arrays, files and what is still in use; not what the arrays are. A file is on the disk, whole and under its name,
before anybody can refer to it, and goes once nobody does.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wfl_sim import wholefile
from wfl_sim.errors import AGAIN, RunFailed

FOLDER = "state"
MOST_OPEN = 8  # files that stay open for reading
FULL_ENOUGH = 0.5  # of a file's arrays: with fewer in use they move to a new one, so that half of the disk is not waste

Arrays = Mapping[str, NDArray[Any]]


@dataclass(eq=False)
class Kept:
    """Arrays that have, or will have by the end of the round, a place in a file."""

    file: int = -1
    entry: int = -1
    waiting: Arrays | None = None  # to be written

    def place(self) -> tuple[int, int]:
        """What to write down in order to find them again: the number of the file, and of the entry in it."""
        return self.file, self.entry


class StateFiles:
    """The files of one run, in a folder of its own.

    In every round: `keep` all that is needed, `write`, write down the places, and then `settle`.
    """

    def __init__(self, directory: Path) -> None:
        self._folder = directory / FOLDER
        self._known: dict[int, tuple[object, Kept]] = {}  # by identity of the owner, which is held so that it stays
        self._used: list[Kept] = []
        self._found: dict[tuple[int, int], Kept] = {}  # by place, while a state is read back
        self._entries = Counter[int]()  # by file
        self._opened: dict[int, tuple[Any, list[list[str]]]] = {}

    def keep(self, arrays: Arrays, owner: object | None = None) -> Kept:
        """Have arrays in a file; those of the same owner, which is the mapping itself if none is given, only once."""
        owner = arrays if owner is None else owner
        if id(owner) not in self._known:
            self._known[id(owner)] = owner, Kept(waiting=arrays)
        return self.use(self._known[id(owner)][1])

    def use(self, kept: Kept) -> Kept:
        """Say that arrays are needed further on."""
        self._used.append(kept)
        return kept

    def write(self, number: int) -> None:
        """Write what is new into the file of a round; it is on the disk when this returns.

        Raises
        ------
        RunFailed
            It cannot be written.
        """
        used = list({id(kept): kept for kept in self._used}.values())
        self._used = used
        in_use = Counter(kept.file for kept in used if kept.waiting is None)
        sparse = {file for file, count in in_use.items() if count < FULL_ENOUGH * self._entries[file]}
        for kept in used:
            if kept.file in sparse:
                kept.waiting = self._load(kept.file, kept.entry)
        new = [kept for kept in used if kept.waiting is not None]
        if not new:
            return
        data: dict[str, NDArray[Any]] = {}
        for entry, kept in enumerate(new):
            assert kept.waiting is not None
            for place, (name, value) in enumerate(kept.waiting.items()):  # in their order, which a file would not keep
                data[f"{entry}/{place}/{name}"] = np.require(value, requirements="C")
        self._save(number, data, len(new))
        for entry, kept in enumerate(new):
            kept.file, kept.entry, kept.waiting = number, entry, None
        self._entries[number] = len(new)
        self._opened.pop(number, None)

    def settle(self) -> None:
        """The places are written down: what was not kept again in this round may go."""
        used = {id(kept) for kept in self._used}
        self._known = {key: pair for key, pair in self._known.items() if id(pair[1]) in used}
        files = {kept.file for kept in self._used}
        for file in self._entries.keys() - files:
            with suppress(OSError):  # it stays until the run is over
                self._path(file).unlink(missing_ok=True)
            del self._entries[file]
            self._opened.pop(file, None)
        self._used = []

    def find(self, file: int, entry: int) -> Kept:
        """What stands at a place that was written down, without reading it."""
        return self._found.setdefault((file, entry), Kept(file, entry))

    def read(self, kept: Kept) -> dict[str, NDArray[Any]]:
        """Arrays that have a place.

        Raises
        ------
        RunFailed
            The file is gone, or damaged.
        """
        return self._load(kept.file, kept.entry)

    def take(self, file: int, entry: int) -> dict[str, NDArray[Any]]:
        """The arrays at a place that was written down: the same mapping every time, whose place stays known."""
        kept = self.find(file, entry)
        for owner, known in self._known.values():
            if known is kept:
                return owner  # type: ignore[return-value]  # which is what this function gave
        arrays = self.read(kept)
        self._known[id(arrays)] = arrays, kept
        return arrays

    def own(self, owner: object, file: int, entry: int) -> None:
        """Say whose the arrays at a place that was written down are: `keep` does not write them again for it."""
        self._known[id(owner)] = owner, self.find(file, entry)

    def found(self) -> None:
        """All that was written down has been found: other files are what a session that was killed left."""
        wanted = {kept.file for kept in self._found.values()}
        for file in wanted:
            self._open(file)
        self._found = {}
        for path in {*self._folder.glob("*")} - {self._path(file) for file in wanted}:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    @property
    def exist(self) -> bool:
        """Whether there are any."""
        return self._folder.is_dir()

    def remove(self) -> None:
        """The run is over: nothing is needed any more."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _save(self, number: int, data: Arrays, entries: int) -> None:
        from safetensors.numpy import save  # runs without learning have none

        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise RunFailed(f"{self._folder} cannot be made: {error.strerror or error}") from error
        wholefile.write(self._path(number), save(dict(data), {"entries": str(entries)}))

    def _path(self, number: int) -> Path:
        return self._folder / f"round-{number:06d}.safetensors"

    def _load(self, number: int, entry: int) -> dict[str, NDArray[Any]]:
        try:
            file, names = self._open(number)
            return {name.split("/", 2)[2]: file.get_tensor(name) for name in names[entry]}
        except (OSError, ValueError, IndexError) as error:
            raise self._damaged(number, error) from error

    def _open(self, number: int) -> tuple[Any, list[list[str]]]:
        """A file, and for each entry the names of its arrays in their order; those opened last stay open."""
        from safetensors import SafetensorError, safe_open

        if number not in self._opened:
            try:
                file: Any = safe_open(self._path(number), framework="numpy")
                names: list[list[str]] = [[] for _ in range(int((file.metadata() or {})["entries"]))]
                for name in sorted(file.keys(), key=lambda name: int(name.split("/", 2)[1])):
                    names[int(name.split("/", 1)[0])].append(name)
            except (OSError, SafetensorError, LookupError, ValueError) as error:
                raise self._damaged(number, error) from error
            self._opened[number], self._entries[number] = (file, names), len(names)
            while len(self._opened) > MOST_OPEN:
                del self._opened[next(iter(self._opened))]
        return self._opened[number]

    def _damaged(self, number: int, error: Exception) -> RunFailed:
        return RunFailed(f"{self._path(number)} cannot be read ({error}): {AGAIN}")
