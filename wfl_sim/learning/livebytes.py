"""How many bytes of tensors are alive at once while something is computed: the peak, above what was there before.

Knows tensors; on a GPU the allocator's own figure, on a CPU the sum over the tensors that operations give back, which
leaves out what an operation takes for itself meanwhile.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_bytes(compute: Callable[[], object], device: str) -> int:
    """The most that is alive while `compute` runs, above what was alive before."""
    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        compute()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)
    live: Any = _Live()
    with live:
        compute()
    return int(live.peak)


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts storages from when an operation first gives a tensor of theirs to when the last such tensor is gone."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self._now = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inputs = {id(s) for s in map(_storage, tree_leaves((args, kwargs))) if s is not None}
        out = func(*args, **(kwargs or {}))
        for storage in map(_storage, tree_leaves(out)):
            if storage is not None and id(storage) not in inputs and id(storage) not in self._known:
                size = int(storage.nbytes())
                self._known[id(storage)] = weakref.ref(storage, self._gone(id(storage), size))
                self._now += size
                self.peak = max(self.peak, self._now)
        return out

    def _gone(self, key: int, size: int) -> Callable[[Any], None]:
        def gone(_: Any) -> None:
            del self._known[key]
            self._now -= size

        return gone


def _storage(value: object) -> Any:
    return value.untyped_storage() if isinstance(value, Tensor) else None
