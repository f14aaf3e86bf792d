"""Executors: what is submitted is done once, told of in order, and survives the loss of its process.

Knows work of a few lines; `test_study.py` has cells.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wfl_sim.executor import Executor, Here, Loky, LostWorker

Tell = Callable[[Any], None]
PATIENCE_S = 60.0
"""How long to wait for what takes a second on an idle machine, before a test fails."""


def add(tell: Tell, one: int, two: int) -> int:
    for number in range(3):
        tell((one, number))
    return one + two


def fail(tell: Tell, what: str) -> None:
    raise ValueError(what)


def die(tell: Tell, folder: str, times: int) -> int:
    """Kill its own process so many times, then say how often it was begun."""
    begun = len(list(Path(folder).iterdir()))
    (Path(folder) / str(begun)).touch()
    tell("begun")
    if begun < times:
        os.kill(os.getpid(), signal.SIGKILL)
    return begun + 1


def wait_long(tell: Tell, folder: str) -> str:
    """Until it is interrupted, of which it leaves word."""
    try:
        tell(os.getpid())
        time.sleep(PATIENCE_S)
    except KeyboardInterrupt:
        (Path(folder) / "interrupted").touch()
        raise
    return "not interrupted"


@pytest.fixture(scope="module")
def pool() -> Iterator[tuple[Loky, list[Any]]]:
    """Two processes for all tests that leave them alive, and what they told."""
    told: list[Any] = []
    executor = Loky(2, told.append)
    yield executor, told
    executor.close()


@pytest.fixture(params=["here", "loky"])
def made(request: pytest.FixtureRequest) -> tuple[Executor, list[Any]]:
    if request.param == "loky":
        executor, told = request.getfixturevalue("pool")
        told.clear()
        return executor, told
    told = []
    return Here(told.append), told


def gone(pid: int) -> bool:
    """Whether a process has ended, perhaps a moment from now."""
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_all_that_is_submitted_is_done_and_told_of(made: tuple[Executor, list[Any]]) -> None:
    executor, told = made
    futures = {executor.submit(add, number, 10): number for number in range(5)}
    results = {futures[future]: future.result(0) for future in executor.as_completed(futures)}
    assert results == {number: number + 10 for number in range(5)}
    for number in range(5):
        assert [step for one, step in told if one == number] == [0, 1, 2], "in order, and before it is done"


def test_an_error_is_that_of_its_work_alone(made: tuple[Executor, list[Any]]) -> None:
    executor, _ = made
    futures = [executor.submit(fail, "oh"), executor.submit(add, 1, 2)]
    assert set(executor.as_completed(futures)) == set(futures)
    with pytest.raises(ValueError, match="oh"):
        futures[0].result()
    assert futures[1].result() == 3


def test_whoever_listens_and_fails_fails_the_work(pool: tuple[Loky, list[Any]]) -> None:
    def refuse(message: Any) -> None:
        raise ValueError("will not hear")

    executor = Here(refuse)
    with pytest.raises(ValueError, match="will not hear"):
        executor.submit(add, 1, 2).result()
    kept, pool[0]._told = pool[0]._told, refuse
    try:
        with pytest.raises(ValueError, match="will not hear"):
            pool[0].submit(add, 1, 2).result(PATIENCE_S)
    finally:
        pool[0]._told = kept


def test_work_that_loses_its_process_is_begun_again_once(pool: tuple[Loky, list[Any]], tmp_path: Path) -> None:
    executor, told = pool
    told.clear()
    for name in ("once", "always"):
        (tmp_path / name).mkdir()
    once = executor.submit(die, str(tmp_path / "once"), 1)
    always = executor.submit(die, str(tmp_path / "always"), 99)
    others = [executor.submit(add, number, 0) for number in range(4)]
    assert once.result(PATIENCE_S) == 2
    with pytest.raises(LostWorker, match="died twice"):
        always.result(PATIENCE_S)
    assert [future.result(PATIENCE_S) for future in others] == [0, 1, 2, 3]
    assert told.count("begun") == 4


def test_closing_interrupts_what_runs_cancels_the_rest_and_leaves_no_process(tmp_path: Path) -> None:
    begun, pids = threading.Event(), []

    def told(pid: int) -> None:
        pids.append(pid)
        begun.set()

    executor = Loky(1, told)
    running, waiting = executor.submit(wait_long, str(tmp_path)), executor.submit(add, 1, 2)
    assert begun.wait(PATIENCE_S)
    executor.close()
    with pytest.raises(KeyboardInterrupt):
        running.result(0)
    assert waiting.cancelled()
    assert (tmp_path / "interrupted").exists()
    assert gone(pids[0])
    executor.close()  # a second time does no harm


PARENT = """
import os, sys, time
sys.path.insert(0, {root!r})
from wfl_sim.executor import Loky
def work(tell):
    tell(os.getpid())
    time.sleep({patience_s})
Loky(1, lambda pid: print(pid, flush=True)).submit(work).result()
"""


def test_a_process_ends_with_its_parent_however_that_ends() -> None:
    script = PARENT.format(root=str(Path(__file__).resolve().parents[1]), patience_s=PATIENCE_S)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    assert gone(pid)
