"""H2Tune's server with a learner that needs no tensor library: what is sent, kept, lost, merged and broadcast."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from wfl_sim.clientstate import ClientStates
from wfl_sim.codecs.dense import Dense
from wfl_sim.errors import Diverged
from wfl_sim.methods import alignment
from wfl_sim.methods.h2tune import H2Tune
from wfl_sim.shapecode import ShapeCode
from wfl_sim.shapework import ShapeWork, Side

HEAD = {"head.weight": (3, 4)}
SINGLE = 2.0**-22


class Pupils:
    """Adds a draw of its own for every client and round to what a client has, and makes a D."""

    def __init__(self, code: ShapeCode, examples: dict[int, int], head: float) -> None:
        self.code, self._examples, self._head = code, examples, head
        self.starts: dict[tuple[int, int], dict[str, Any]] = {}
        self.after: dict[tuple[int, int], dict[str, Any]] = {}
        self.bad = False

    def initial(self) -> dict[str, Any]:
        return {"q.A": np.ones((2, 2), np.float32), "head.weight": np.full((3, 4), self._head, np.float32)}

    def examples(self, client: int) -> int:
        return self._examples[client]

    def train(self, starts: dict[int, Any], round_: int) -> dict[int, Any]:
        return {client: partial(self._trained, client, round_, start) for client, start in starts.items()}

    def _trained(self, client: int, round_: int, start: dict[str, Any]) -> dict[str, Any]:
        random = np.random.default_rng((client, round_))
        made = {name: value + random.standard_normal(value.shape).astype(np.float32)
                for name, value in start.items() if name not in ("shape", "begun")}  # fmt: skip
        if self.bad:
            made["q.A"] = np.full((2, 2), np.inf, np.float32)
        made["delta"] = random.standard_normal(self.code.places).astype(np.float32)
        self.starts[client, round_], self.after[client, round_] = start, made
        return made

    def evaluate_part(self, params: dict[str, Any], place: int, count: int) -> dict[str, float]:
        return {"accuracy": (place + 1) / 10, "loss": float(params["shape"].sum())}

    def close(self) -> None:
        """Nothing runs."""


@pytest.fixture
def work() -> ShapeWork:
    """Clients 0 and 1 with two layers and 10 examples each, client 2 with three and 20; values of 32 bits."""
    codes = [ShapeCode((3, 1, 2, 2), depth, 2, HEAD, 32, True) for depth in (2, 3)]
    pupils = [Pupils(codes[0], {0: 10, 1: 10}, 0.0), Pupils(codes[1], {2: 20}, 1.0)]
    clients = [range(2), range(2, 3)]
    sides = [
        Side(f"g{k}", "t", own, 20, code.depth, H2Tune(rank=2), pupil, code)
        for k, (code, pupil, own) in enumerate(zip(codes, pupils, clients, strict=True))
    ]
    return ShapeWork(sides, Dense(bits=32), ClientStates())


def play(work: ShapeWork, round_: int, clients: tuple[int, ...] = (0, 1, 2)) -> dict[int, Any]:
    """A round in which all who are called arrive; what each sent."""
    work.downlink(clients)
    work.received(clients)
    work.train(round_, clients)
    sent = {client: work.encode(client, work.menu(client).points[-1]) for client in clients}
    work.aggregate(sent)
    return sent


def test_the_server_moves_by_the_means_of_what_came(work: ShapeWork) -> None:
    assert [work.weight(client) for client in range(3)] == [0.25, 0.25, 0.5]
    first = work.downlink([0, 2])
    assert first.bits == 32 * 2 * 12  # two heads; G is 0, and known to be
    play(work, 1)
    changes, masses = [], []
    for client in range(3):
        side = work.sides[client == 2]
        after = side.learner.after[client, 1]
        psi = alignment.shares(after["alignment"])
        changes.append(alignment.fold(after["delta"], psi))  # from G = 0
        masses.append(alignment.masses(psi))
        start = side.learner.starts[client, 1]
        assert float(start["begun"][0]) == 0 and not start["shape"].any()
    wanted = alignment.mean_change(changes, masses, [0.25, 0.25, 0.5])
    assert np.allclose(work.state.shape, wanted, rtol=0, atol=1e-5)
    own = [work.sides[0].learner.after[client, 1]["head.weight"] for client in (0, 1)]
    assert np.allclose(work.state.heads["g0"]["head.weight"], (own[0] + own[1]) / 2, atol=SINGLE * 10)
    alone = work.sides[1].learner.after[2, 1]["head.weight"]
    assert np.allclose(work.state.heads["g1"]["head.weight"], alone, atol=SINGLE * 10)
    # The change to all at 32 bits, a byte of header an array's codec: G, and the heads of who is asked.
    assert work.downlink([0, 1]).bits == 8 + 32 * 12 + 8 + 32 * 12
    assert work.downlink([0, 2]).bits == 8 + 32 * 12 + 2 * (8 + 32 * 12)
    version, model = work.model()
    assert version == 1 and set(model) == {"shape", "g0.head.weight", "g1.head.weight"}


def test_clients_train_on_from_what_is_theirs_and_from_what_they_fetched(work: ShapeWork) -> None:
    play(work, 1)
    work.downlink([0])  # a model that moves on before it trains
    work.received([0])
    held = work.state.shape.copy()
    play(work, 2, (1, 2))
    work.train(3, [0])
    work.encode(0, work.menu(0).points[-1])
    start = work.sides[0].learner.starts[0, 3]
    assert np.array_equal(start["shape"], held) and float(start["begun"][0]) == 1
    assert np.array_equal(start["q.A"], work.sides[0].learner.after[0, 1]["q.A"])
    before = work.state.shape.copy()
    work.aggregate({0: None})  # of version 1, merged with version 2: its change alone, all of it
    after = work.sides[0].learner.after[0, 3]
    psi = alignment.shares(after["alignment"])
    change = alignment.fold(alignment.unfold(held, psi) + after["delta"], psi) - held
    assert np.allclose(work.state.shape - before, change, atol=1e-5)
    assert work.downlink([1, 0]).bits == 32 * 12 + 32 * 12  # two behind: all of it
    work.received([0, 1])
    play(work, 4, (0,))
    assert work.downlink([1, 0]).bits == 8 + 32 * 12 + 8 + 32 * 12  # one behind
    work.downlink([2])
    work.received([2])
    play(work, 5, (0,))
    assert work.downlink([2]).bits == 8 + 32 * 12  # no head of its group changed


def test_factors_say_how_far_the_server_goes(work: ShapeWork) -> None:
    work.train(1, [2])
    work.encode(2, work.menu(2).points[-1])
    work.aggregate({2: None}, {2: 0.25})
    after = work.sides[1].learner.after[2, 1]
    psi = alignment.shares(after["alignment"])
    assert np.allclose(work.state.shape, 0.25 * alignment.fold(after["delta"], psi), atol=1e-5)
    assert np.allclose(work.state.heads["g1"]["head.weight"], 0.75 + 0.25 * after["head.weight"], atol=1e-5)
    work.train(2, [2])
    work.encode(2, work.menu(2).points[-1])
    shape = work.state.shape
    work.aggregate({2: None}, {2: 0.0})
    assert work.state.shape is shape and work.state.version == 1 and not work.state.sent


def test_what_is_lost_stays_lost_but_for_what_a_client_keeps(work: ShapeWork) -> None:
    work.train(1, [0, 1])
    work.encode(0, work.menu(0).points[-1])
    work.lost(0)
    work.stopped(1)
    work.aggregate({})
    assert work.state.version == 0 and not work.state.sent and not work.state.training
    assert 0 in work._own and 1 not in work._own
    found = work.evaluate()
    assert found["groups"][0]["accuracy"] == pytest.approx((0.1 + 0.2) / 2)
    assert found["accuracy"] == pytest.approx(0.5 * 0.15 + 0.5 * 0.1)


def test_training_that_diverges_ends_the_run_or_is_left_out(work: ShapeWork) -> None:
    work.sides[0].learner.bad = True
    work.train(1, [0])
    with pytest.raises(Diverged, match="round 1: the training of client 0 diverged"):
        work.encode(0, work.menu(0).points[-1])
    work._drops = True
    work.train(2, [0])
    assert work.encode(0, work.menu(0).points[-1]) is None and 0 not in work._own
