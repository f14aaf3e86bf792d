"""The model file of a run: global parameters by name, with the round and the version that they are of.

Knows arrays and a file. A reader sees the old file or the new one, whole, whatever happens while it is written.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wfl_sim.contracts import Params

NAME = "model.safetensors"
FORMAT = 1


class Checkpoint(NamedTuple):
    """A model, after which round it was the model, and how many server updates it has seen by then."""

    round: int
    version: int
    model: Params


def write(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write the model file of a run directory; it is on the disk when this returns."""
    from safetensors.numpy import save  # runs without learning have none

    told = {"format": str(FORMAT), "round": str(checkpoint.round), "version": str(checkpoint.version)}
    data = save({name: np.ascontiguousarray(value) for name, value in checkpoint.model.items()}, told)
    target, partial = folder / NAME, folder / f"{NAME}.partial"
    try:
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, target)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    _sync(folder)
    return target


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
        told = file.metadata() or {}
        if told.get("format") != str(FORMAT):
            raise ValueError(f"{NAME}: format {told.get('format')!r} is not {FORMAT}, the one that is read here")
        model = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    return Checkpoint(int(told["round"]), int(told["version"]), model)


def _sync(folder: Path) -> None:
    """Have the new name on the disk too, where folders can be synchronised."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
