"""Groups joined to one work: who is asked for what, and what comes out where a group has nothing to say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from wfl_sim.contracts import Payload, PayloadMenu, Point
from wfl_sim.grouped import Grouped, Member


class Told:
    """A work that remembers what it was told."""

    def __init__(self, name: str, accuracy: float | None, **diagnostics: Any) -> None:
        self.name, self.accuracy, self.calls = name, accuracy, list[tuple[Any, ...]]()
        self.found = {"rank": 0, "coherence_a": None, "coherence_b": None, "e_cov": None, "e_sp": None} | diagnostics
        self.menus_change = False

    @property
    def rank(self) -> int:
        rank: int = self.found["rank"]
        return rank

    def weight(self, client: int) -> float:
        return 0.5

    def menu(self, client: int) -> PayloadMenu:
        return PayloadMenu((Point(1.0, 8 * len(self.name), 0.0),))

    def importance(self, client: int) -> float:
        return math.nan

    def downlink(self, clients: list[int]) -> Payload:
        self.calls.append(("downlink", clients))
        return Payload(self.name.encode(), 1.0)

    def __getattr__(self, what: str) -> Any:
        if what.startswith("_") or what not in (
            "received",
            "train",
            "stopped",
            "lost",
            "aggregate",
            "close",
            "restore",
        ):
            raise AttributeError(what)
        return lambda *told: self.calls.append((what, *told))

    def encode(self, client: int, point: Point) -> Payload:
        return Payload(bytes([client]), 1.0)

    def evaluate(self) -> dict[str, Any]:
        return {"accuracy": self.accuracy, "loss": 1.0}

    def diagnostics(self) -> dict[str, Any]:
        self.calls.append(("diagnostics",))
        return self.found

    def model(self) -> tuple[int, dict[str, Any]]:
        return 3, {"head.bias": np.zeros(2, np.float32)}

    def snapshot(self, files: object) -> dict[str, Any]:
        return {"of": self.name}


@pytest.fixture
def works() -> list[Told]:
    return [Told("ab", 0.5, rank=4, e_sp=1.0, coherence_a=0.3), Told("cde", 0.9, rank=2), Told("f", 0.1, e_sp=4.0)]


@pytest.fixture
def joined(works: list[Told]) -> Grouped:
    """Clients 0 and 1, 2 and 3, and 4, with 10, 20 and 10 training examples in all."""
    clients, examples = [range(2), range(2, 4), range(4, 5)], (10, 20, 10)
    parts = zip(works, clients, examples, strict=True)
    return Grouped([Member(work.name, "task", own, count, work) for work, own, count in parts])  # type: ignore[arg-type]


def test_each_client_is_its_groups(joined: Grouped, works: list[Told]) -> None:
    assert [joined.weight(client) for client in range(5)] == [0.125, 0.125, 0.25, 0.25, 0.125]
    assert [joined.menu(client).points[0].bits for client in (1, 3, 4)] == [16, 24, 8]
    assert joined.encode(3, Point(1.0, 8, 0.0)) == Payload(b"\x03", 1.0) and math.isnan(joined.importance(0))
    joined.train(7, [4, 1, 0])
    joined.received([2])
    joined.stopped(2)
    joined.lost(4)
    assert works[0].calls == [("train", 7, [1, 0])]
    assert works[1].calls == [("received", [2]), ("stopped", 2)]
    assert works[2].calls == [("train", 7, [4]), ("lost", 4)]


def test_a_broadcast_carries_what_those_called_need_and_nothing_for_others(joined: Grouped, works: list[Told]) -> None:
    assert joined.downlink([4, 1]) == Payload(b"abf", 1.0)
    assert joined.downlink([3, 2]) == Payload(b"cde", 1.0)
    assert [work.calls for work in works] == [[("downlink", [1])], [("downlink", [3, 2])], [("downlink", [4])]]


def test_a_group_of_which_nobody_came_hears_of_that(joined: Grouped, works: list[Told]) -> None:
    payloads = {client: Payload(b"", 1.0) for client in (3, 0)}
    joined.aggregate(payloads, {3: 0.5, 0: 1.0})
    own = [work.calls[0][1] for work in works]
    assert own == [{0: payloads[0]}, {3: payloads[3]}, {}]
    assert all(work.calls[0][2] == {3: 0.5, 0: 1.0} for work in works)


def test_metrics_are_means_by_examples_over_those_who_have_them(joined: Grouped, works: list[Told]) -> None:
    found = joined.evaluate()
    assert found["accuracy"] == pytest.approx(0.25 * 0.5 + 0.5 * 0.9 + 0.25 * 0.1) and found["loss"] == 1.0
    assert [(row["name"], row["share"], row["rank"]) for row in found["groups"]] == [
        ("ab", 0.25, 4), ("cde", 0.5, 2), ("f", 0.25, 0)
    ]  # fmt: skip
    told = joined.diagnostics()
    assert [work.calls for work in works] == [[("diagnostics",)]] * 3  # which take long: once a round
    assert (told["rank"], told["coherence_a"], told["coherence_b"], told["e_cov"]) == (4, 0.3, None, None)
    assert told["e_sp"] == pytest.approx((0.25 * 1.0 + 0.25 * 4.0) / 0.5)


def test_models_and_states_have_the_names_of_groups(joined: Grouped, works: list[Told]) -> None:
    version, model = joined.model()  # type: ignore[misc]
    assert version == 9 and list(model) == ["ab.head.bias", "cde.head.bias", "f.head.bias"]
    plain = joined.snapshot(None)  # type: ignore[arg-type]
    assert plain == {work.name: {"of": work.name} for work in works}
    joined.restore(plain, None)  # type: ignore[arg-type]
    joined.close()
    assert works[1].calls == [("restore", {"of": "cde"}, None), ("close",)]
