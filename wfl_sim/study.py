"""Runs the cells of a study side by side, each in a process and a directory of its own.

Knows cells and directories; what happens in a cell is the engine's business.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

from wfl_sim.errors import MissingResource, OutputExists, RunFailed, WflError
from wfl_sim.processes import end_with_parent
from wfl_sim.scenario import Cell, Study
from wfl_sim.trace import Row

Report = Callable[[Cell, Row], None]
Task = tuple[Cell, int, Path]  # a cell, the place of its arm in the study, its directory
Failure = tuple[Cell, BaseException]
_messages: Any = None  # in a worker process: the way back to the parent
_stop: Any = None  # in a worker process: set when no further cell shall start


def cell_directory(output: Path, cell: Cell) -> Path:
    """``NAME/ARM-seedK`` below `output`."""
    return output / cell.scenario.name / cell.folder


def run(
    study: Study,
    output: Path,
    *,
    force: bool = False,
    jobs: int | None = None,
    workers: int = 1,
    report: Report | None = None,
) -> Path:
    """Run all cells and return the study's directory.

    So many `jobs` run side by side, by default one a core; each has so many `workers` besides to train its clients.

    Raises
    ------
    ScenarioError, MissingResource, OutputExists
        Before anything runs or is removed.
    RunFailed
        A cell failed; the others ran to their end.
    KeyboardInterrupt
        All cells were stopped; finished rounds are in their traces.
    """
    study.check()
    directories = [cell_directory(output, cell) for cell in study.cells]
    existing = [directory for directory in directories if directory.exists()]
    if existing and not force:
        raise OutputExists(f"{existing[0]} exists already; use --force to replace it, or --output for another place")
    for directory in existing:
        shutil.rmtree(directory)
    jobs = max(1, min(len(study.cells), jobs or os.cpu_count() or 1))
    arms = list(dict.fromkeys(cell.arm for cell in study.cells))
    tasks = [(cell, arms.index(cell.arm), directory) for cell, directory in zip(study.cells, directories, strict=True)]
    try:
        (output / study.name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFailed(f"cannot write to {output / study.name}: {error.strerror}") from None
    with tempfile.TemporaryDirectory(prefix=".training-", dir=output / study.name) as memo:
        if jobs == 1:
            failures = _run_here(tasks, Path(memo), workers, report)
        else:
            failures = _run_pool([tasks[i] for i in spread(study.cells)], jobs, Path(memo), workers, report)
    for cell, cause in failures:
        if isinstance(cause, BrokenProcessPool):
            raise RunFailed(
                "a worker process died; finished rounds are in the traces. Was it out of memory? In a script, runs "
                "side by side need `if __name__ == '__main__':` around the call, or jobs=1"
            )
        kind = MissingResource if isinstance(cause, MissingResource) else RunFailed
        what = str(cause) if isinstance(cause, WflError) else f"{type(cause).__name__}: {cause}"
        raise kind(f"{cell.arm}, seed {cell.seed}: {what}") from cause
    return output / study.name


def spread(cells: Sequence[Cell]) -> list[int]:
    """The positions of cells in an order in which those that train alike do not run side by side, as far as possible.

    They share their training through the memo, so the later one is nearly free once the earlier one is done.
    """
    seen: Counter[tuple[Any, ...]] = Counter()
    turns = []
    for cell in cells:
        alike = (cell.seed, cell.scenario.learning, cell.scenario.method, cell.scenario.codec)
        turns.append(seen[alike])
        seen[alike] += 1
    return sorted(range(len(cells)), key=lambda i: turns[i])


def _run_here(tasks: list[Task], memo: Path, workers: int, report: Report | None) -> list[Failure]:
    from wfl_sim.engine import run_cell

    failures: list[Failure] = []
    for cell, arm_index, directory in tasks:
        try:
            told = partial(report, cell) if report else lambda row: None
            run_cell(cell, arm_index, directory, told, memo, workers=workers)
        except Exception as error:
            failures.append((cell, error))
    return failures


def _run_pool(tasks: list[Task], jobs: int, memo: Path, workers: int, report: Report | None) -> list[Failure]:
    # Fresh interpreters: a forked one would inherit torch's thread pools half alive.
    context = multiprocessing.get_context("spawn")
    messages, stop = context.Queue(), context.Event()
    listener = threading.Thread(target=_listen, args=(messages, tasks, report), daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker, initargs=(messages, stop))
    try:
        # A worker inherits the blocked signal, so that an interrupt cannot hit it while it is starting.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            futures = [pool.submit(_run_in_worker, number, *task, memo, workers) for number, task in enumerate(tasks)]
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        wait(futures)
        if stop.is_set():  # only a worker was interrupted
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        stop.set()
        for process in list(pool._processes.values()):  # the terminal has told them already; a plain kill has not
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGINT)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        messages.put(None)
        listener.join(timeout=5)
    return [(tasks[i][0], error) for i, f in enumerate(futures) if (error := f.exception()) is not None]


def _listen(messages: Any, tasks: list[Task], report: Report | None) -> None:
    while (message := messages.get()) is not None:
        number, row = message
        if report is not None:
            report(tasks[number][0], row)


def _start_worker(messages: Any, stop: Any) -> None:
    global _messages, _stop
    _messages, _stop = messages, stop
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # between cells there is nothing to interrupt
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _run_in_worker(number: int, cell: Cell, arm_index: int, directory: Path, memo: Path, workers: int) -> None:
    signal.signal(signal.SIGINT, _interrupt)
    try:
        if not _stop.is_set():
            from wfl_sim.engine import run_cell

            run_cell(cell, arm_index, directory, lambda row: _messages.put((number, row)), memo, workers=workers)
    except KeyboardInterrupt:
        _stop.set()  # the parent may not have come to it yet
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt(number: int, frame: object) -> None:
    """The first interrupt ends the cell; a second one must not hit it while it is putting things in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
