"""The shapes of a model's weights, from the heads of its files; nothing is loaded.

Knows the format of safetensors and how models number their layers.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from wfl_sim.learning.sources import weights_files

_MOST_HEAD_BYTES = 10**8  # as the format's own readers take at most
# What files hold besides weights: numbers of places, frequencies, and masks of causal attention.
_TABLES = re.compile(r"\b(position_ids|inv_freq|attn\.bias|attn\.masked_bias)$")


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
            found |= {path: tuple(shape) for path, shape in _shapes(file).items() if _trains(path, layers)}
    return found


def _shapes(file: Path) -> dict[str, list[int]]:
    """The shapes of a file's tensors; none of one that is damaged, which whoever loads it tells."""
    try:
        with file.open("rb") as data:
            length = int.from_bytes(data.read(8), "little")
            head: Any = json.loads(data.read(length)) if length <= _MOST_HEAD_BYTES else {}
    except (OSError, ValueError):
        return {}
    return {name: told["shape"] for name, told in head.items() if name != "__metadata__"}


def _trains(path: str, layers: int | None) -> bool:
    parts = path.split(".")
    number = next((int(part) for part in parts if part.isdigit()), None)
    cut = layers is not None and number is not None and number >= layers
    apart = "pooler" in parts or re.match(r"(lm_head|cls|classifier|predictions|vocab_\w+)\b", parts[0])
    return not cut and not apart and not _TABLES.search(path)
