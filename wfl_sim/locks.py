"""Locks on folders that end with their owner, however it ends, and folders that live as long as theirs.

Knows files and processes; not what is kept in a folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NAME = ".lock"
GRACE_S = 5.0
"""How long to wait for an owner that may be dying: a killed process holds its lock for some moments more."""

_PAUSE_S = 0.02


class Held(Exception):
    """Another process holds the lock."""


@contextmanager
def lock(folder: Path, grace_s: float = GRACE_S) -> Iterator[None]:
    """Hold the lock of a folder, which must be there; other processes get `Held` until it is given back.

    The operating system gives it back when this process ends, so that no lock is ever stale. The file that it is on is
    removed at the end.

    Raises
    ------
    Held
        Another process has had it for `grace_s` seconds.
    OSError
        The folder cannot be written to, or is on a file system without locks.
    """
    handle = _acquire(folder / NAME, grace_s)
    try:
        yield
    finally:
        # Removed while it is held: who opened it before finds that it is not the file of that name any more.
        with suppress(OSError):
            (folder / NAME).unlink()
        os.close(handle)


def is_held(folder: Path, grace_s: float = GRACE_S) -> bool:
    """Whether another process holds the lock of a folder, and keeps it for `grace_s` seconds; nothing is written."""
    until_s = time.monotonic() + grace_s
    while True:
        try:
            handle = os.open(folder / NAME, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            if time.monotonic() >= until_s:
                return True
        finally:
            os.close(handle)
        time.sleep(_PAUSE_S)


def forget(folder: Path) -> None:
    """Remove the file of a lock that nobody holds any more, as a process that was killed leaves it."""
    if (folder / NAME).exists():
        with suppress(OSError, Held), lock(folder, grace_s=0.0):
            pass


def _acquire(file: Path, grace_s: float) -> int:
    until_s = time.monotonic() + grace_s
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(file, handle):
                return handle
        except BlockingIOError:
            if time.monotonic() >= until_s:
                os.close(handle)
                raise Held(str(file)) from None
        except OSError:
            os.close(handle)
            raise
        os.close(handle)
        time.sleep(_PAUSE_S)


def _is_still(file: Path, handle: int) -> bool:
    """Whether `handle` is of the file that has this name now."""
    try:
        found, opened = os.stat(file), os.fstat(handle)
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino)


@contextmanager
def scratch(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder in `parent`, removed at the end; those of processes that were killed are removed at the beginning.

    Raises
    ------
    OSError
        It cannot be made.
    """
    sweep(parent, prefix)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        held = lock(folder, grace_s=0.0)
        try:
            held.__enter__()
            break
        except (FileNotFoundError, Held):  # taken for an old one, between the two lines above
            continue
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        held.__exit__(None, None, None)


def sweep(parent: Path, prefix: str) -> None:
    """Remove the folders that `scratch` made for processes that were killed; errors leave one where it is."""
    for old in parent.glob(f"{prefix}*"):
        with suppress(OSError, Held), lock(old, grace_s=0.0):
            shutil.rmtree(old, ignore_errors=True)
