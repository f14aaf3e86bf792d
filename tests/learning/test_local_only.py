"""Local training alone: clients' own models, how they are judged, and what goes over the air."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wfl_sim.engine import run_cell
from wfl_sim.learning.federated import build_work
from wfl_sim.scenario import Study
from wfl_sim.trace import dump, read_rows
from wfl_sim.updatesizes import sizes

MEANS = 1e-12  # relative: the sums of a few float64 in another order


def test_nothing_is_averaged_and_each_client_is_judged_by_its_own(small_run: Callable[..., Study]) -> None:
    scenario = small_run("method: {kind: local_only, tested: all}").cells[0].scenario
    work: Any = build_work(scenario, None)[0]
    try:
        before = work.evaluate()
        work.train(1, [0, 2])
        sent = {client: work.encode(client, work.menu(client).points[-1]) for client in (0, 2)}
        assert [payload.bits for payload in sent.values()] == [8, 8] == [work.downlink([1]).bits] * 2
        own = {client: work._personal.with_client({}, client) for client in range(3)}
        assert not np.array_equal(own[0]["head.weight"], own[2]["head.weight"])
        assert all(np.array_equal(own[1][name], value) for name, value in work.learner.initial().items())
        work.aggregate(sent)
        found = work.evaluate()
        each = [work.learner.evaluate(own[client]) for client in range(3)]
        for name in ("accuracy", "loss"):
            wanted = sum(work.weight(client) * each[client][name] for client in range(3))
            assert found[name] == pytest.approx(wanted, rel=MEANS)
        assert each[1] == {name: pytest.approx(value, rel=MEANS) for name, value in before.items()}
        assert work.downlink([0, 1]).bits == 8
        # Parts of the held-out examples make up the whole, each example once.
        parts = [work.learner.evaluate_part(own[0], place, 3) for place in range(3)]
        counts = [7, 7, 6]  # of 20
        assert sum(n * part["accuracy"] for n, part in zip(counts, parts, strict=True)) / 20 == pytest.approx(
            each[0]["accuracy"], rel=MEANS
        )
        assert sum(n * part["loss"] for n, part in zip(counts, parts, strict=True)) / 20 == pytest.approx(
            each[0]["loss"], rel=1e-6
        )
        assert work.learner.evaluate_part(own[0], 25, 40)["accuracy"] in (0.0, 1.0)  # of fewer examples, on one
    finally:
        work.close()
    assert [bits.points[-1].bits if hasattr(bits, "points") else bits for bits in sizes(scenario)] == [8, 0, 8]


def test_a_run_that_was_killed_ends_as_if_it_had_not_been(small_run: Callable[..., Study], tmp_path: Path) -> None:
    (cell,) = small_run("method: {kind: local_only}").cells

    def dies(row: Mapping[str, Any]) -> None:
        raise MemoryError("killed")

    run_cell(cell, 0, tmp_path / "whole")
    with pytest.raises(MemoryError):
        run_cell(cell, 0, tmp_path / "killed", dies)
    run_cell(cell, 0, tmp_path / "killed")
    assert dump(tmp_path / "killed" / "trace.sqlite") == dump(tmp_path / "whole" / "trace.sqlite")
    sent = read_rows(tmp_path / "whole" / "trace.sqlite", "transmissions")
    assert {row["payload_bits"] for row in sent} == {8}
