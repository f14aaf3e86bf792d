"""The trainer: which clients are trained together, on which examples, from which first values.

Knows clients, rounds and keyed draws; neither time, nor SNR, nor what becomes of an update. What a step computes is the
business of `wfl_sim.learning.local`, and where it runs that of `wfl_sim.learning.workers`.

Parameters pass through here as float32 arrays by name: those of the head begin with ``head.``, and every adapted layer
has tensors of its adapter, such as ``LAYER.A`` and ``LAYER.B``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channels.streams import Stream
from wfl_sim.contracts import Params, Trained
from wfl_sim.learning import layouts
from wfl_sim.learning.local import EVALUATION_BATCH, by_length
from wfl_sim.learning.memo import Memo
from wfl_sim.learning.options import Local
from wfl_sim.learning.workers import Executor, Result
from wfl_sim.methods.base import NORMS, WEIGHTS, AnyAdapter, Lesson

# Tokens of a step, all its clients together. A step with few tokens costs its calls, not its arithmetic, which clients
# share when they are trained side by side; beyond a few thousand its intermediate results leave the processor's cache.
CHUNK_TOKENS = 1536
# A client with more tokens a step than this is trained by itself: there is nothing left to share.
ALONE_TOKENS = 1024
MOST_TOGETHER = 64  # clients in a chunk: a worker lost loses no more

Group = tuple[int, ...]


class Trainer:
    """Trains clients, side by side where that is faster, and evaluates.

    Parameters
    ----------
    executor : Executor
        What computes.
    adapter : AnyAdapter or None
        None where the head alone is trained.
    parts : sequence or mapping of arrays
        Indices of each client's training examples, by client.
    local : Local
    stream : Stream
        First weights and batches are drawn from it.
    memo : Memo
        Results of earlier, equal calls of `train` and `evaluate`.
    held_out : int
        Number of examples that `evaluate` reads.
    rounds : int
        Of the run: learning rates may fall until the last.
    """

    def __init__(
        self,
        executor: Executor,
        adapter: AnyAdapter | None,
        parts: Sequence[NDArray[np.int64]] | Mapping[int, NDArray[np.int64]],
        local: Local,
        stream: Stream,
        memo: Memo,
        held_out: int,
        rounds: int = 1,
    ) -> None:
        self._executor, self._adapter, self._memo = executor, adapter, memo
        self._parts, self._local, self._stream, self._rounds = parts, local, stream, rounds
        self._described = executor.describe()
        self.layout = self._described.layout
        self._order = by_length(self._described.lengths, held_out)
        still = frozenset[str]() if adapter is None else adapter.frozen
        self._still = {f"{path}.{name}" for path in self._described.layers for name in still}
        self.frozen = {name: value for name, value in self._first().items() if name in self._still}
        executor.freeze(self.frozen)

    def initial(self) -> Params:
        """First parameters: adapters, with what the server alone sets of them, and the head as they begin."""
        params = {name: value for name, value in self._first().items() if name not in self._still}
        changes = {n: shape for n, shape in self.layout.shapes.items() if n.startswith((WEIGHTS, NORMS))}
        params |= {name: np.zeros(shape, np.float32) for name, shape in changes.items()}
        return params | self._executor.first_head(self._stream.child("weights").generator(0, 0))

    def fresh(self, version: int) -> Params:
        """The trained tensors of adapters, drawn anew for a version of the model."""
        return {name: value for name, value in self._first(version).items() if name in self.layout.shapes}

    def _first(self, version: int = 0) -> Params:
        """First values of all tensors of the adapters; those of version 0 are those that a run begins with."""
        if self._adapter is None:
            return {}
        stream = self._stream.child("weights")
        return layouts.first(self._adapter, self._described.layers, stream.child(str(version)) if version else stream)

    def examples(self, client: int) -> int:
        """Size of the client's data."""
        return int(self._parts[client].size)

    def train(
        self, starts: Mapping[int, Params], round_: int, lessons: Mapping[int, Lesson] | None = None
    ) -> dict[int, Trained]:
        """Local training of clients, each from its own start and with fresh optimiser state.

        Who is trained with whom follows from the clients of the call alone, and so does each bit of a result. With
        `lessons`, each client has its own.
        """
        trained: dict[int, Trained] = {}
        for members, lesson in self._alike(starts, lessons):
            alone = lesson is not None and any(name.startswith(WEIGHTS) for name in lesson.opened)
            for group in [(client,) for client in members] if alone else self._groups(members):
                result = self._started([starts[client] for client in group], group, round_, lesson)
                trained |= {client: partial(_pick, result, place) for place, client in enumerate(group)}
        return trained

    def _alike(
        self, starts: Mapping[int, Params], lessons: Mapping[int, Lesson] | None
    ) -> Iterator[tuple[list[int], Lesson | None]]:
        """The clients, those together that have the same lesson on tensors of the same shapes."""
        if lessons is None:
            yield sorted(starts), None
            return
        sets: dict[Any, list[int]] = {}
        for client in sorted(starts):
            shapes = tuple(value.shape for value in starts[client].values())
            sets.setdefault((lessons[client], shapes), []).append(client)
        yield from ((members, lesson) for (lesson, _), members in sets.items())

    def _groups(self, clients: Sequence[int]) -> list[Group]:
        """Clients with batches of one size, in chunks of about equal numbers: an even one, for pairs of workers."""
        by_batch: dict[int, list[int]] = {}
        for client in clients:
            by_batch.setdefault(self._batch(client), []).append(client)
        groups: list[Group] = []
        for batch, members in sorted(by_batch.items()):
            count = -(-len(members) // self._together(batch))
            count += count % 2 if 1 < count < len(members) else 0
            groups += [tuple(part.tolist()) for part in np.array_split(np.array(members), count)]
        return groups

    def _together(self, batch: int) -> int:
        tokens = batch * self._described.tokens
        return 1 if tokens > ALONE_TOKENS else min(MOST_TOGETHER, max(1, CHUNK_TOKENS // tokens))

    def _started(self, starts: list[Params], group: Group, round_: int, lesson: Lesson | None) -> Result[list[Params]]:
        rate = self._local.rate(round_, self._rounds)
        key = self._memo.key(starts, "train", group, round_, rate, *_named(lesson))
        known = self._memo.get(key)
        if known is not None:
            return lambda: [{name: value[k] for name, value in known.items()} for k in range(len(group))]
        rows = np.stack([self._rows(client, round_) for client in group])
        return cache(partial(self._kept, key, self._executor.train(starts, rows, rate, lesson)))

    def _kept(self, key: str, result: Result[list[Params]]) -> list[Params]:
        trained = result()
        self._memo.put(key, {name: np.stack([one[name] for one in trained]) for name in trained[0]})
        return trained

    def evaluate(self, params: Params) -> dict[str, float]:
        """Share of held-out examples, or next tokens, predicted rightly, and their mean cross-entropy in nat."""
        return self._scored(params, self._order, "evaluate")

    def evaluate_part(self, params: Params, place: int, count: int) -> dict[str, float]:
        """The same on every `count`-th example, from the one at `place` on; of fewer examples than that, on one."""
        return self._scored(params, self._order[place % self._order.size :: count], "evaluate", place, count)

    def _scored(self, params: Params, rows: NDArray[np.int64], *what: object) -> dict[str, float]:
        key = self._memo.key([params], *what)
        known = self._memo.get(key)
        if known is None:
            batches = [rows[i : i + EVALUATION_BATCH] for i in range(0, rows.size, EVALUATION_BATCH)]
            results = [self._executor.evaluate(params, batch) for batch in batches]
            known = {"sums": np.array([result() for result in results], dtype=np.float64).sum(axis=0)}
            self._memo.put(key, known)
        right, loss, count = known["sums"].tolist()
        return {"accuracy": right / count, "loss": loss / count}

    def step_flop(self) -> float:
        """Operations of a step with a full batch of examples of full length, forward and backward."""
        return self._executor.step_flop()

    def close(self) -> None:
        """Stop what still computes."""
        self._executor.close()

    def _batch(self, client: int) -> int:
        return min(self._local.batch, int(self._parts[client].size))

    def _rows(self, client: int, round_: int) -> NDArray[np.int64]:
        """The rows [steps, batch] of a round: passes over the client's data, each in an order of its own."""
        return rows_of(self._stream, client, round_, self._parts[client], self._local)


def rows_of(stream: Stream, client: int, round_: int, part: NDArray[np.int64], local: Local) -> NDArray[np.int64]:
    """The rows [steps, batch] of a client's `part` in a round, by the stream of the learning side."""
    batch = min(local.batch, int(part.size))
    random = stream.child("batches").generator(client, round_)
    passes = -(-local.steps * batch // part.size)
    rows = np.concatenate([random.permutation(part) for _ in range(passes)])
    return rows[: local.steps * batch].reshape(local.steps, batch)


def _named(lesson: Lesson | None) -> tuple[object, ...]:
    return () if lesson is None else (sorted(lesson.opened), lesson.proximal, lesson.rate)


def _pick(result: Result[list[Params]], place: int) -> Params:
    return result()[place]
