"""A memo of training: what was trained or evaluated once need not be again.

Knows arrays and files. Arms that differ only in radio or schedule train the same clients from the same model as
long as the same updates arrive; a study gives all its cells one folder, and whoever comes second reads the result.
Training is a pure function of what goes into the key, so a memo changes no result, only the time it takes.
"""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from wfl_sim.contracts import Params

LARGE_BYTES = 2**20  # of an array that is read once, however many keys it is part of


class Memo:
    """Results by key in a folder; without a folder it remembers nothing.

    Parameters
    ----------
    folder : Path or None
    task : str
        Everything that a result depends on besides the arguments: model, data, seed, options, versions.
    """

    def __init__(self, folder: Path | None, task: str) -> None:
        self._folder, self._task = folder, task
        self._large: dict[int, tuple[weakref.ref[NDArray[Any]], bytes]] = {}  # by identity

    def key(self, params: Sequence[Params], *arguments: object) -> str:
        """The name under which the result for `params` and `arguments` is kept."""
        if self._folder is None:
            return ""
        digests: dict[int, str] = {}  # clients of a group mostly share one start
        for one in params:
            if id(one) not in digests:
                digests[id(one)] = self._digest(one)
        starts = [digests[id(one)] for one in params]
        return hashlib.blake2b(repr((self._task, starts, arguments)).encode(), digest_size=20).hexdigest()

    def get(self, key: str) -> dict[str, NDArray[Any]] | None:
        """What was kept, or None. A file that cannot be read counts as missing."""
        if self._folder is None:
            return None
        try:
            return dict(load((self._folder / key).read_bytes()))
        except (OSError, SafetensorError):
            return None

    def put(self, key: str, result: Mapping[str, NDArray[Any]]) -> None:
        """Keep a result, whole or not at all; a full disk costs only the memory of it."""
        if self._folder is None:
            return
        partial = self._folder / f"{key}.{os.getpid()}"
        try:
            partial.write_bytes(save(dict(result)))
            os.replace(partial, self._folder / key)
        except OSError:
            partial.unlink(missing_ok=True)

    def _digest(self, params: Params) -> str:
        digest = hashlib.blake2b(digest_size=20)
        for name in sorted(params):
            digest.update(name.encode())
            digest.update(self._content(params[name]))
        return digest.hexdigest()

    def _content(self, value: NDArray[Any]) -> bytes:
        """An array's bytes, or of a large one, which nobody writes to, what stands for them."""
        if value.nbytes < LARGE_BYTES:
            return value.tobytes()
        known = self._large.get(id(value))
        if known is None or known[0]() is not value:
            known = weakref.ref(value), hashlib.blake2b(np.ascontiguousarray(value).data).digest()
            self._large = {key: other for key, other in self._large.items() if other[0]() is not None}
            self._large[id(value)] = known
        return known[1]
