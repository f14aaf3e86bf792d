"""How many weights a model has, from the heads of its files; nothing is loaded.

Knows the format of safetensors and how models number their layers.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from wfl_sim.learning.sources import weights_files

_MOST_HEAD_BYTES = 10**8  # as the format's own readers take at most


def weight_count(name: str, layers: int | None) -> int:
    """The weights of a model's body, cut to its first `layers`, without what is never run.

    Raises
    ------
    MissingResource
        There is no such model.
    """
    total = 0
    for file in weights_files(name):
        if file.suffix == ".safetensors":
            total += sum(math.prod(shape) for path, shape in _shapes(file).items() if _runs(path, layers))
    return total


def _shapes(file: Path) -> dict[str, list[int]]:
    """The shapes of a file's tensors; none of one that is damaged, which whoever loads it tells."""
    try:
        with file.open("rb") as data:
            length = int.from_bytes(data.read(8), "little")
            head: Any = json.loads(data.read(length)) if length <= _MOST_HEAD_BYTES else {}
    except (OSError, ValueError):
        return {}
    return {name: told["shape"] for name, told in head.items() if name != "__metadata__"}


def _runs(path: str, layers: int | None) -> bool:
    parts = path.split(".")
    number = next((int(part) for part in parts if part.isdigit()), None)
    cut = layers is not None and number is not None and number >= layers
    return not cut and "pooler" not in parts and not re.match(r"(lm_head|cls|classifier|position_ids)\b", parts[0])
