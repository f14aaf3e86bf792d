"""Where local training runs: in this process when its result is asked for, or ahead of that in processes of their own.

Knows what to compute with what; neither clients, nor rounds, nor simulated time. Both ways give the same bits.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Protocol, TypeVar

import numpy as np

from wfl_sim.codecs.base import Layout
from wfl_sim.contracts import Params
from wfl_sim.errors import RunFailed
from wfl_sim.learning.heads import Score
from wfl_sim.learning.layouts import Layers
from wfl_sim.learning.local import LocalTraining, Rows, Setup
from wfl_sim.learning.threads import one_thread
from wfl_sim.methods.base import Lesson
from wfl_sim.processes import end_with_parent

T = TypeVar("T")
Result = Callable[[], T]  # waits if need be


@dataclass(frozen=True)
class Described:
    """What there is to train.

    `layers` are the outputs and inputs of the adapted layers; `tokens` is the longest training example, `lengths` those
    of the held-out ones, where they differ.
    """

    layout: Layout
    layers: Layers
    tokens: int
    lengths: Rows | None


class Executor(Protocol):
    """Does the work of `LocalTraining`, here or elsewhere, now or later."""

    def describe(self) -> Described: ...
    def first_head(self, random: np.random.Generator) -> Params: ...
    def freeze(self, values: Params) -> None: ...
    def step_flop(self) -> float: ...
    def train(
        self, starts: Sequence[Params], rows: Rows, rate: float = 1.0, lesson: Lesson | None = None
    ) -> Result[list[Params]]: ...
    def evaluate(self, params: Params, rows: Rows) -> Result[Score]: ...
    def close(self) -> None: ...


class Here:
    """In this process, and only when a result is asked for: what nobody asks for costs nothing."""

    def __init__(self, setup: Setup) -> None:
        self._local = LocalTraining(setup)

    def describe(self) -> Described:
        return _described(self._local)

    def first_head(self, random: np.random.Generator) -> Params:
        return self._local.head.initial(random)

    def freeze(self, values: Params) -> None:
        self._local.freeze(values)

    def step_flop(self) -> float:
        return self._local.step_flop()

    def train(
        self, starts: Sequence[Params], rows: Rows, rate: float = 1.0, lesson: Lesson | None = None
    ) -> Result[list[Params]]:
        return cache(partial(self._local.train, starts, rows, rate, lesson))

    def evaluate(self, params: Params, rows: Rows) -> Result[Score]:
        return cache(partial(self._local.evaluate, params, rows))

    def close(self) -> None:
        """Nothing is left running."""


class Workers:
    """Processes that each hold the model, and begin as soon as there is something to compute.

    Parameters
    ----------
    setup : Setup
    count : int
        Number of processes.

    Raises
    ------
    RunFailed
        A worker died; told by the result that it owed.
    """

    def __init__(self, setup: Setup, count: int) -> None:
        # Fresh interpreters: a forked one would inherit torch's thread pools half alive.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(count, mp_context=context, initializer=_start, initargs=(setup,))
        self._frozen: Params = {}

    def describe(self) -> Described:
        return self._submit(_describe)()

    def first_head(self, random: np.random.Generator) -> Params:
        return self._submit(_first_head, random)()

    def freeze(self, values: Params) -> None:
        self._frozen = values

    def step_flop(self) -> float:
        return self._submit(_step_flop, self._frozen)()

    def train(
        self, starts: Sequence[Params], rows: Rows, rate: float = 1.0, lesson: Lesson | None = None
    ) -> Result[list[Params]]:
        return self._submit(_train, starts, rows, rate, lesson, self._frozen)

    def evaluate(self, params: Params, rows: Rows) -> Result[Score]:
        return self._submit(_evaluate, params, rows, self._frozen)

    def close(self) -> None:
        """Stop the processes once they are through with what they have begun; the rest is forgotten."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, work: Callable[..., T], *arguments: object) -> Result[T]:
        with _told_if_dead():
            future = self._pool.submit(work, *arguments)

        def result() -> T:
            with _told_if_dead():
                return future.result()

        return result


@contextmanager
def _told_if_dead() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise RunFailed("a training worker died; was it out of memory? Take fewer --workers") from None


# What follows runs in a worker, and is found there by its name: a function of a script's main module would be sent by
# value, and would load the model for each task.
_here: LocalTraining
_failed: BaseException | None = None  # why there is none: told by each task, since a pool would only say that it broke


def _start(setup: Setup) -> None:
    global _here, _failed
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends this process
    end_with_parent()
    one_thread()
    try:
        _here = LocalTraining(setup)
    except Exception as error:
        _failed = error


def _ready(frozen: Params | None = None) -> LocalTraining:
    if _failed is not None:
        raise _failed
    if frozen is not None:
        _here.freeze(frozen)
    return _here


def _describe() -> Described:
    return _described(_ready())


def _first_head(random: np.random.Generator) -> Params:
    return _ready().head.initial(random)


def _step_flop(frozen: Params) -> float:
    return _ready(frozen).step_flop()


def _train(starts: Sequence[Params], rows: Rows, rate: float, lesson: Lesson | None, frozen: Params) -> list[Params]:
    return _ready(frozen).train(starts, rows, rate, lesson)


def _evaluate(params: Params, rows: Rows, frozen: Params) -> Score:
    return _ready(frozen).evaluate(params, rows)


def _described(local: LocalTraining) -> Described:
    return Described(local.layout, local.layers, local.tokens(), local.lengths())
