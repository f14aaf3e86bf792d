"""The model file of a run: global parameters by name, with the round and the version that they are of.

Knows arrays and a file. A reader sees the old file or the new one, whole, whatever happens while it is written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wfl_sim import wholefile
from wfl_sim.contracts import Params

NAME, TOLD = "model.safetensors", "wfl_sim"
FORMAT = 2


class Checkpoint(NamedTuple):
    """A model, after which round it was the model, and how many server updates it has seen by then."""

    round: int
    version: int
    model: Params


def write(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write the model file of a run directory; it is on the disk when this returns. Raises RunFailed."""
    from safetensors.numpy import save  # runs without learning have none

    # All in one entry: a file with several has them in any order, and the same model would not give the same bytes.
    told = json.dumps({"format": FORMAT, "round": checkpoint.round, "version": checkpoint.version})
    model = {name: np.require(value, requirements="C") for name, value in checkpoint.model.items()}
    wholefile.write(folder / NAME, save(model, {TOLD: told}))
    return folder / NAME


def read(folder: Path) -> Checkpoint:
    """What `write` wrote there.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        The file is of another format.
    """
    from safetensors import safe_open

    with safe_open(folder / NAME, framework="numpy") as file:
        told = json.loads((file.metadata() or {}).get(TOLD, "{}"))
        if told.get("format") != FORMAT:
            raise ValueError(f"{NAME}: format {told.get('format')!r} is not {FORMAT}, the one that is read here")
        model = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    return Checkpoint(told["round"], told["version"], model)
