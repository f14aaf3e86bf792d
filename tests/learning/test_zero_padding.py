"""Zero padding: what groups of unlike rank and depth have in common, and what each learns from the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wfl_sim.engine import run_cell
from wfl_sim.learning.federated import build_work
from wfl_sim.methods.base import Arrival, add_weighted
from wfl_sim.padded import Padded
from wfl_sim.scenario import Study, parse
from wfl_sim.trace import dump

SINGLE = 2.0**-22  # a few half units in the last place of values of about 1
TEXT = """\
schema_version: 1
name: mix
rounds: 3
radio: {{uplink: {{bandwidth: 400 kHz}}}}
channel: {{path_loss: {{kind: uma}}}}
clients: {{count: 5, placement: {{kind: disc, from: 35 m, to: 200 m}}, compute: {{time: 100 ms}}}}
learning:
  model: {{name: {folder}, layers: 2}}
  data: {{train: 60, test: 20, max_tokens: 6, partition: {{kind: iid}}}}
  local: {{steps: 2, batch: 4}}
  groups:
    - {{name: narrow, clients: 2, rank: 2}}
    - {{name: wide, clients: 2, rank: 4}}
    - {{name: deep, clients: 1, rank: 3, model: {{name: {folder}, layers: 3}}}}
method: {{kind: zero_padding}}
codec: {{kind: dense, bits: 32}}
"""
QUERY = "encoder.layer.{}.attention.self.query"


@pytest.fixture
def mix(folder_of: Callable[[str], str]) -> Callable[..., Study]:
    return lambda *overrides: parse(TEXT.format(folder=folder_of("bert")), "mix", overrides)


def padded(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    found = np.zeros(shape)
    found[tuple(slice(size) for size in value.shape)] = value
    return found


@pytest.mark.parametrize("fill", ["zero", "renormalise"])
def test_groups_have_the_first_components_of_one_mean(mix: Callable[..., Study], fill: str) -> None:
    work: Any = build_work(mix(f"method.fill={fill}").cells[0].scenario, None)[0]
    try:
        assert isinstance(work, Padded)
        narrow, wide, deep = (member.work.state for member in work.members)
        a, b = (f"{QUERY.format(0)}.{factor}" for factor in "AB")
        for state, rank in ((narrow, 2), (deep, 3)):
            assert np.array_equal(state.model[a], wide.model[a][:rank])
        work.train(1, range(5))
        sent = {client: work.encode(client, work.menu(client).points[-1]) for client in range(5)}
        changes = {client: dict(work._of[client].work.state.sent[client]) for client in range(5)}
        before = dict(wide.model)
        work.aggregate(sent)
        weights = np.full(5, 0.2)  # 12 examples each
        for name, axis in ((a, 0), (b, 1)):
            each = [padded(changes[client][name], wide.model[name].shape) for client in range(5)]
            held = np.stack([padded(np.ones(changes[k][name].shape), wide.model[name].shape) for k in range(5)])
            shares = weights[:, None, None] * (held if fill == "renormalise" else np.ones_like(held))
            wanted = before[name] + (weights[:, None, None] * each).sum(0) / shares.sum(0)
            assert np.allclose(wide.model[name], wanted, rtol=0, atol=SINGLE)
            for state, rank in ((narrow, 2), (deep, 3)):
                part = wanted[:rank] if axis == 0 else wanted[:, :rank]
                assert np.allclose(state.model[name], part, rtol=0, atol=SINGLE)
        # The third layer, and heads of another depth, are the deep group's alone; the others' heads are joined.
        third = f"{QUERY.format(2)}.B"
        assert np.allclose(deep.model[third], changes[4][third], atol=SINGLE)
        assert np.allclose(deep.model["head.bias"], changes[4]["head.bias"], atol=SINGLE)
        mean = np.mean([changes[client]["head.bias"] for client in range(4)], axis=0)
        assert np.allclose(narrow.model["head.bias"], mean, atol=SINGLE)
        assert np.allclose(wide.model["head.bias"], mean, atol=SINGLE)
        # A group of which nobody came moves with the others, and an update that counts half moves all by half.
        work.train(2, [2])
        sent = {2: work.encode(2, work.menu(2).points[-1])}
        change, old = dict(work._of[2].work.state.sent[2]), dict(narrow.model)
        work.aggregate(sent, {2: 0.5})
        assert np.allclose(narrow.model[a] - old[a], 0.5 * change[a][:2], atol=SINGLE)
        assert narrow.version == wide.version == 2
        assert work.downlink([0]).bits == 32 * sum(value.size for value in narrow.model.values())
        assert work.diagnostics()["e_cov"] is None
    finally:
        work.close()


def test_of_equal_ranks_it_is_fedavg_over_all(mix: Callable[..., Study]) -> None:
    groups = "learning.groups=[{name: one, clients: 2}, {name: other, clients: 3}]"
    work: Any = build_work(mix(groups).cells[0].scenario, None)[0]
    try:
        first = dict(work.members[0].work.state.model)
        work.train(1, range(5))
        sent = {client: work.encode(client, work.menu(client).points[-1]) for client in range(5)}
        arrivals = [Arrival(k, dict(work._of[k].work.state.sent[k]), 0.2) for k in range(5)]
        work.aggregate(sent)
        wanted = add_weighted(first, arrivals)
        for member in work.members:
            for name, value in member.work.state.model.items():
                assert np.allclose(value, wanted[name], rtol=0, atol=SINGLE)
    finally:
        work.close()


def test_a_run_that_was_killed_ends_as_if_it_had_not_been(mix: Callable[..., Study], tmp_path: Path) -> None:
    (cell,) = mix(
        "protocol={kind: buffered, buffer: 2, weights: examples}", "codec={kind: topk, error_feedback: 1}"
    ).cells

    def dies(row: Mapping[str, Any]) -> None:
        if row["round"] == 2:
            raise MemoryError("killed")

    run_cell(cell, 0, tmp_path / "whole")
    with pytest.raises(MemoryError):
        run_cell(cell, 0, tmp_path / "killed", dies)
    run_cell(cell, 0, tmp_path / "killed")
    assert dump(tmp_path / "killed" / "trace.sqlite") == dump(tmp_path / "whole" / "trace.sqlite")
