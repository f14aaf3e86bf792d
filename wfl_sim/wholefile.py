"""Files that a reader sees old or new, whole, whatever happens while they are written.

Knows bytes and names; not what is in them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from wfl_sim.errors import RunFailed


def write(target: Path, data: bytes) -> None:
    """Write a file; it is on the disk, under its name, when this returns.

    Raises
    ------
    RunFailed
        It cannot be written; the old one, if there was one, is as it was.
    """
    partial = target.with_name(f"{target.name}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, target)
    except OSError as error:
        with suppress(OSError):  # the next attempt writes over it
            partial.unlink(missing_ok=True)
        raise RunFailed(f"{target} cannot be written: {error.strerror or error}") from error
    _sync(target.parent)


def _sync(folder: Path) -> None:
    """Have the new name on the disk too, where folders can be synchronised."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
