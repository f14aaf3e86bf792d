"""The shapes of a model's weights, from the heads of its files; nothing is loaded.

Knows the format of safetensors, how models number their layers, and what their embeddings are called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wfl_sim.learning.sources import weights_files

_MOST_HEAD_BYTES = 10**8  # as the format's own readers take at most
_EMBEDDINGS = frozenset(("embeddings", "word_embeddings", "embed_tokens", "embed_in", "wte"))
# What files hold besides weights and is no whole number either: frequencies, and masks of causal attention.
_TABLES = re.compile(r"\b(inv_freq|(attn|attention)\.(masked_)?bias)$")


def weight_shapes(name: str, layers: int | None) -> dict[str, tuple[int, ...]]:
    """The weights of a model's body, cut to its first `layers`, without what is never run or never trained.

    Raises
    ------
    MissingResource
        There is no such model.
    """
    found: dict[str, tuple[int, ...]] = {}
    for file in weights_files(name):
        if file.suffix == ".safetensors":
            found |= _shapes(file)
    body = _body(found)
    return {path: shape for path, shape in found.items() if path.startswith(body) and _trains(path, layers)}


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of a file's floating-point tensors; none of one that is damaged, which whoever loads it tells."""
    try:
        with file.open("rb") as data:
            length = int.from_bytes(data.read(8), "little")
            head: Any = json.loads(data.read(length)) if length <= _MOST_HEAD_BYTES else {}
    except (OSError, ValueError):
        return {}
    tensors = {path: told for path, told in head.items() if path != "__metadata__"}
    return {path: tuple(told["shape"]) for path, told in tensors.items() if told["dtype"].startswith(("F", "BF"))}


def _body(paths: Iterable[str]) -> str:
    """What paths of a model's body begin with, where the file has heads beside it; else nothing.

    Heads, whatever they are called, stand beside what holds both the embeddings and the numbered layers.
    """
    split = [path.split(".") for path in paths]
    embedded = {first for first, *rest in split if not _EMBEDDINGS.isdisjoint(rest)}
    both = embedded & {first for first, *rest in split if any(part.isdigit() for part in rest)}
    return f"{both.pop()}." if len(both) == 1 else ""


def _trains(path: str, layers: int | None) -> bool:
    parts = path.split(".")
    number = next((int(part) for part in parts if part.isdigit()), None)
    cut = layers is not None and number is not None and number >= layers
    return not cut and "pooler" not in parts and not _TABLES.search(path)
