"""What the processes that a run starts owe to the one that started them.

Knows processes; neither cells nor training.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait


def end_with_parent() -> None:
    """From now on this process ends when its parent does, however that ends: nobody could stop it later."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def obey(parent: Connection, act: Callable[[], None]) -> None:
    """From now on `act` is called for each message from the parent, and this process ends when the parent does.

    `parent` is the end of a pipe whose other end the parent alone has open.
    """
    threading.Thread(target=_listen, args=(parent, act), daemon=True).start()


def _listen(parent: Connection, act: Callable[[], None]) -> None:
    while True:
        try:
            parent.recv_bytes()
        except (EOFError, OSError):
            os._exit(1)
        act()


def interrupt_main_thread() -> None:
    """As Ctrl-C would, also where it waits in the operating system; ignored while SIGINT is."""
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGINT)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Interrupts wait until the end, in this thread and in the threads and processes that it starts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """A second Ctrl-C must not hit what puts things in order after the first. Only the main thread can see to it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
