"""What stays with clients between rounds: arrays by client, in memory up to a limit, beyond it in files.

Knows arrays and a folder; not what they are, nor when a client is asked again. Where an entry lies changes no bit of
it: who was not used for longest goes to a file, and comes back as it was.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path

import numpy as np

from wfl_sim.contracts import Params
from wfl_sim.errors import RunFailed
from wfl_sim.statefiles import Kept, StateFiles

MEMORY_LIMIT_BYTES = 512 * 2**20
_Key = tuple[str, int]  # book and client


class ClientStates:
    """Books of client state that share one limit of memory.

    Parameters
    ----------
    limit_bytes : int
        Of arrays in memory, of all books together.
    folder : Path or None
        In which a temporary folder is made once the limit is passed; the system's place for such folders if None.
    """

    def __init__(self, limit_bytes: int = MEMORY_LIMIT_BYTES, folder: Path | None = None) -> None:
        self._limit_bytes, self._folder = limit_bytes, folder
        self._held: OrderedDict[_Key, Params] = OrderedDict()  # in memory, whoever was used last at the end
        self._files: dict[_Key, Path] = {}  # of entries that have one, whether or not they are in memory too
        self._spilled: Path | None = None
        self._kept: dict[_Key, Kept] = {}  # of entries that have a place in the state of the run
        self._state: StateFiles | None = None
        self._parts = list[ClientStates]()
        self.held_bytes = 0

    def book(self, name: str) -> MutableMapping[int, Params]:
        """The entries under one name, by client. Their arrays must not be changed."""
        return _Book(self, name)

    def parts(self, count: int) -> list[ClientStates]:
        """As many others, which share the limit of memory in equal parts, and end with this one."""
        self._parts += [ClientStates(self._limit_bytes // count, self._folder) for _ in range(count)]
        return self._parts[-count:]

    def close(self) -> None:
        """Remove the files; nothing can be read any more."""
        for part in self._parts:
            part.close()
        if self._spilled is not None:
            shutil.rmtree(self._spilled, ignore_errors=True)
        self._held.clear()
        self._files.clear()
        self._kept.clear()
        self.held_bytes, self._spilled = 0, None

    def get(self, key: _Key) -> Params:
        """An entry, which is then the one used last. Raises KeyError."""
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        params = self._read(key)
        self._hold(key, params)
        return params

    def put(self, key: _Key, params: Params) -> None:
        """Replace an entry."""
        self.forget(key)
        self._hold(key, params)

    def forget(self, key: _Key) -> bool:
        """Remove an entry; says whether there was one."""
        held, file, kept = self._held.pop(key, None), self._files.pop(key, None), self._kept.pop(key, None)
        if held is not None:
            self.held_bytes -= _size_bytes(held)
        if file is not None:
            file.unlink(missing_ok=True)
        return held is not None or file is not None or kept is not None

    def clients(self, name: str) -> list[int]:
        """Who has an entry in a book, in rising order."""
        return sorted({client for book, client in (*self._held, *self._files, *self._kept) if book == name})

    def __contains__(self, key: _Key) -> bool:
        return key in self._held or key in self._files or key in self._kept

    def snapshot(self, state: StateFiles) -> dict[str, list[tuple[int, Kept]]]:
        """All entries by book, kept in the state of the run; what has not changed since the last time is not read."""
        self._state, books = state, dict[str, list[tuple[int, Kept]]]()
        for key in sorted({*self._held, *self._files, *self._kept}):
            if key not in self._kept:
                self._kept[key] = Kept(waiting=self._held[key] if key in self._held else self._read(key))
            books.setdefault(key[0], []).append((key[1], state.use(self._kept[key])))
        return books

    def restore(self, books: Mapping[str, Sequence[tuple[int, tuple[int, int]]]], state: StateFiles) -> None:
        """Take up what `snapshot` gave, with the place of each entry; they are read when they are needed."""
        self._state = state
        self._kept = {
            (book, client): state.find(*place) for book, entries in books.items() for client, place in entries
        }

    def _hold(self, key: _Key, params: Params) -> None:
        self._held[key] = params
        self.held_bytes += _size_bytes(params)
        while self.held_bytes > self._limit_bytes:
            oldest, arrays = self._held.popitem(last=False)
            self.held_bytes -= _size_bytes(arrays)
            if oldest not in self._files and not self._has_place(oldest):
                self._write(oldest, arrays)

    def _has_place(self, key: _Key) -> bool:
        return key in self._kept and self._kept[key].waiting is None

    def _write(self, key: _Key, params: Params) -> None:
        from safetensors.numpy import save  # most runs never come here

        name, client = key
        try:
            if self._spilled is None:
                self._spilled = Path(tempfile.mkdtemp(prefix=".clients-", dir=self._folder))
            file = self._spilled / f"{name}-{client}"
            file.write_bytes(save({tensor: np.require(value, requirements="C") for tensor, value in params.items()}))
        except OSError as error:
            where = self._spilled or self._folder or tempfile.gettempdir()
            raise RunFailed(
                f"the {name} of client {client} cannot be kept in {where}: {error.strerror or error}; beyond "
                f"{self._limit_bytes} bytes the state of clients goes to files: make room there, or raise that limit"
            ) from error
        self._files[key] = file

    def _read(self, key: _Key) -> Params:
        from safetensors.numpy import load

        if key not in self._files and key in self._kept and self._state is not None:
            return self._state.read(self._kept[key])
        file = self._files[key]
        try:
            return dict(load(file.read_bytes()))
        except OSError as error:
            name, client = key
            raise RunFailed(f"the {name} of client {client} cannot be read back from {file}: {error}") from error


class _Book(MutableMapping[int, Params]):
    def __init__(self, states: ClientStates, name: str) -> None:
        self._states, self._name = states, name

    def __getitem__(self, client: int) -> Params:
        try:
            return self._states.get((self._name, client))
        except KeyError:
            raise KeyError(client) from None

    def __setitem__(self, client: int, params: Params) -> None:
        self._states.put((self._name, client), params)

    def __delitem__(self, client: int) -> None:
        if not self._states.forget((self._name, client)):
            raise KeyError(client)

    def __iter__(self) -> Iterator[int]:
        return iter(self._states.clients(self._name))

    def __len__(self) -> int:
        return len(self._states.clients(self._name))

    def __contains__(self, client: object) -> bool:
        return isinstance(client, int) and (self._name, client) in self._states


def _size_bytes(params: Params) -> int:
    return sum(value.nbytes for value in params.values())
