"""Where the cells of a study run: in this process, or side by side in processes of their own.

Knows work, which is a function and plain data, and plain data that it tells on its way; neither cells nor directories.
"""

from __future__ import annotations

import concurrent.futures
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from multiprocessing import Pipe, resource_tracker
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

from wfl_sim.errors import RunFailed
from wfl_sim.processes import interrupt_main_thread, interrupts_held, interrupts_ignored, obey

Told = Callable[[Any], None]
Work = Callable[..., Any]  # called as work(tell, *arguments)
STOP_S = 20.0
"""How long work that is interrupted has to put its things in order, before its process is killed."""


class LostWorker(RunFailed):
    """The process that did a piece of work has died twice."""


class Executor(Protocol):
    """Does work.

    Work is a function of a module, called as ``work(tell, *arguments)``. Arguments, what it returns and what it hands
    to `tell` are plain data; what is told reaches the executor's ``told`` one by one, before the work is done.
    Work whose process dies is begun once more elsewhere, and must be able to go on from what it left.
    """

    def submit(self, work: Work, *arguments: Any) -> Future[Any]:
        """Have work done, now or later; its future may raise what the work raised, `LostWorker`, KeyboardInterrupt."""

    def as_completed(self, futures: Iterable[Future[Any]]) -> Iterator[Future[Any]]:
        """The futures, each as soon as it is done."""

    def close(self) -> None:
        """End everything: what still runs is interrupted, what has not begun is cancelled. No process is left."""


class Here:
    """One piece of work after another in this process, each while it is submitted."""

    def __init__(self, told: Told) -> None:
        self._told = told

    def submit(self, work: Work, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(self._told, *arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def as_completed(self, futures: Iterable[Future[Any]]) -> Iterator[Future[Any]]:
        return iter(list(futures))

    def close(self) -> None:
        """Nothing is left running."""


class _Task(NamedTuple):
    future: Future[Any]
    work: Work
    arguments: tuple[Any, ...]


class Loky:
    """Side by side in so many processes, each a fresh interpreter: a forked one inherits thread pools half alive.

    Each process is a pool of loky's of its own, so that one that dies takes no other's work with it, and no lock that
    it may have held. A thread a process waits for it; processes start with the first work for them.

    Parameters
    ----------
    jobs : int
    told : callable
        Called with what work tells, from any thread, never twice at a time.
    """

    def __init__(self, jobs: int, told: Told) -> None:
        self._told, self._lock = told, threading.Lock()
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._closing = threading.Event()
        self._workers: list[_Worker | None] = [None] * jobs
        resource_tracker.ensure_running()  # the first process would start it, and have interrupts come through for that
        with interrupts_held():  # by a process while it starts: else an interrupt could hit it half alive
            self._threads = [threading.Thread(target=self._serve, args=(slot,), daemon=True) for slot in range(jobs)]
            for thread in self._threads:
                thread.start()

    def submit(self, work: Work, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._tasks.put(_Task(future, work, arguments))
        return future

    def as_completed(self, futures: Iterable[Future[Any]]) -> Iterator[Future[Any]]:
        return concurrent.futures.as_completed(futures)

    def close(self) -> None:
        with interrupts_ignored():
            self._closing.set()
            for _ in self._threads:
                self._tasks.put(None)
            for worker in filter(None, self._workers):  # the terminal has told them already; a plain kill has not
                worker.interrupt()
            for thread in self._threads:
                thread.join(STOP_S)
            for worker in filter(None, self._workers):
                worker.kill()
            for thread in self._threads:
                thread.join()

    def _serve(self, slot: int) -> None:
        while (task := self._tasks.get()) is not None:
            if self._closing.is_set() or not task.future.set_running_or_notify_cancel():
                task.future.cancel()
                continue
            try:
                result = self._run(slot, task)
            except BaseException as error:  # KeyboardInterrupt: the process was told to stop, and not by this one
                task.future.set_exception(error)
            else:
                task.future.set_result(result)
        if (worker := self._workers[slot]) is not None:
            worker.close()
            self._workers[slot] = None

    def _run(self, slot: int, task: _Task) -> Any:
        for _ in range(2):
            worker = self._workers[slot]
            if worker is None:
                worker = self._workers[slot] = _Worker()
            if self._closing.is_set():
                raise KeyboardInterrupt
            try:
                return worker.run(task.work, task.arguments, self._tell)
            except concurrent.futures.BrokenExecutor:
                worker.close()
                self._workers[slot] = None
        raise LostWorker("its process died twice; finished rounds are in the trace. Is there enough memory?")

    def _tell(self, message: Any) -> None:
        with self._lock:
            self._told(message)


class _Worker:
    """One process, a pipe to it, on which it is interrupted, and one from it, on which it tells."""

    def __init__(self) -> None:
        from loky import ProcessPoolExecutor

        # The process ends when nobody holds the other end of its orders any more; no other process gets it.
        self._theirs, self._orders = Pipe(duplex=False)
        # Few bytes at a time, by one thread of one process: they come whole or not at all, also when it is killed.
        self._news, self._teller = Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(1, initializer=_start, initargs=(self._theirs, self._teller))

    def run(self, work: Work, arguments: tuple[Any, ...], told: Told) -> Any:
        """Have work done, and pass on what it tells; an error of `told` is raised once the work is done."""
        future, trouble = self._pool.submit(_work, work, arguments), None
        future.add_done_callback(lambda _: self._teller.send(None))
        while (news := self._news.recv()) is not None:
            try:
                told(*news)
            except Exception as error:
                trouble = trouble or error
        if trouble is not None:
            raise trouble
        return future.result()

    def interrupt(self) -> None:
        """End what it does as Ctrl-C would; it begins nothing after that."""
        self._orders.send_bytes(b"end")

    def kill(self) -> None:
        self._pool.shutdown(wait=False, kill_workers=True)

    def close(self) -> None:
        """Have the process end, and wait for that."""
        self._pool.shutdown(wait=True)
        for end in (self._theirs, self._orders, self._news, self._teller):
            end.close()


# What follows runs in a worker process.
_teller: Connection
_ended = threading.Event()


def _start(orders: Connection, teller: Connection) -> None:
    global _teller
    _teller = teller
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # between two pieces of work there is nothing to interrupt
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    obey(orders, _end)


def _end() -> None:
    _ended.set()
    interrupt_main_thread()


def _work(work: Work, arguments: tuple[Any, ...]) -> Any:
    signal.signal(signal.SIGINT, _interrupt)
    try:
        if _ended.is_set():
            raise KeyboardInterrupt
        return work(lambda message: _teller.send((message,)), *arguments)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt(number: int, frame: object) -> None:
    """The first interrupt ends the work; a second one must not hit it while it is putting things in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
