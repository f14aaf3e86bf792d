"""Groups of clients with models, tasks, ranks and training of their own: what is shared, charged, traced, resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.traces import load
from channels.streams import Stream
from wfl_sim import checkpoint, learningwork, machine
from wfl_sim.engine import run_cell
from wfl_sim.estimate import estimate
from wfl_sim.learning import sources
from wfl_sim.learning.federated import build_work
from wfl_sim.scenario import Study, parse, to_yaml
from wfl_sim.trace import dump, read_rows
from wfl_sim.updatesizes import work_of

MEANS = 1e-12  # relative: the sums of a few float64 in another order
DIFFERENCES = 1e-9  # relative: of a small difference of such sums
TEXT = """\
schema_version: 1
name: mix
rounds: 2
radio: {{uplink: {{bandwidth: 400 kHz}}, latency: 10 ms}}
channel: {{path_loss: {{kind: uma}}}}
clients: {{count: 5, placement: {{kind: disc, from: 35 m, to: 200 m}}, compute: {{speed: 1 GFLOP/s}}}}
learning:
  model: {{name: {folder}, layers: 2}}
  data: {{train: 60, test: 20, max_tokens: 6, partition: {{kind: iid}}}}
  local: {{steps: 2, batch: 4}}
  groups: [{groups}]
method: {{kind: fedavg, rank: 4}}
"""
FIRST = "{name: first, clients: 3}"
OTHER = """{name: other, clients: 2, rank: 2, model: {name: FOLDER, layers: 3}, local: {steps: 3, batch: 5},
            data: {name: "builtin:wordnet19", train: 57, test: 38, max_tokens: 6, partition: {kind: iid}}}"""
SAME_DATA = "{name: deep, clients: 2, model: {name: FOLDER, layers: 3}}"
Mix = Callable[..., Study]


@pytest.fixture
def mix(folder_of: Callable[[str], str]) -> Mix:
    """The study with some groups, of a small BERT cut to two layers or to three."""
    folder = folder_of("bert")

    def study(*groups: str, overrides: tuple[str, ...] = ()) -> Study:
        return parse(TEXT.format(folder=folder, groups=", ".join(groups).replace("FOLDER", folder)), "mix", overrides)

    return study


def tables(directory: Path) -> dict[str, Any]:
    return dump(directory / "trace.sqlite")


def test_one_group_is_a_run_without_groups(mix: Mix, tmp_path: Path) -> None:
    plain, grouped = mix().cells[0], mix("{name: all, clients: 5}").cells[0]
    run_cell(plain, 0, tmp_path / "plain")
    run_cell(grouped, 0, tmp_path / "grouped")
    left, right = tables(tmp_path / "plain"), tables(tmp_path / "grouped")
    assert left.pop("groups") == [] and len(right.pop("groups")) == 2
    assert left == right
    models = [checkpoint.read(tmp_path / name).model for name in ("plain", "grouped")]
    assert {f"all.{name}": value.tobytes() for name, value in models[0].items()} == {
        name: value.tobytes() for name, value in models[1].items()
    }


def test_each_group_learns_as_it_would_alone_and_the_round_has_the_mean(mix: Mix, tmp_path: Path) -> None:
    cell = mix(FIRST, OTHER).cells[0]
    run_cell(cell, 0, tmp_path / "mix")
    rounds, rows = (read_rows(tmp_path / "mix" / "trace.sqlite", table) for table in ("rounds", "groups"))
    assert [(row["round"], row["name"]) for row in rows] == [(n, g) for n in (1, 2) for g in ("first", "other")]
    first, other = rows[:2]
    assert first | {"accuracy": 0, "loss": 0} == {
        "round": 1, "name": "first", "task": "builtin:wordnet10", "first_client": 0, "clients": 3, "share": 60 / 117,
        "rank": 4, "accuracy": 0, "loss": 0,
    }  # fmt: skip
    assert (other["task"], other["first_client"], other["clients"], other["rank"]) == ("builtin:wordnet19", 3, 2, 2)
    for number, row in enumerate(rounds):
        own = rows[2 * number : 2 * number + 2]
        for name in ("accuracy", "loss"):
            assert row[name] == pytest.approx(sum(one["share"] * one[name] for one in own), rel=MEANS)
        assert row["rank"] == 4 and row["delivered"] == 5
    # The first group alone: the same clients, draws and examples, so the same model to the bit.
    run_cell(mix(overrides=("clients.count=3",)).cells[0], 0, tmp_path / "alone")
    alone = read_rows(tmp_path / "alone" / "trace.sqlite", "rounds")
    assert [(row["accuracy"], row["loss"]) for row in alone] == [(row["accuracy"], row["loss"]) for row in rows[::2]]
    mixed, own = checkpoint.read(tmp_path / "mix").model, checkpoint.read(tmp_path / "alone").model
    assert all(mixed[f"first.{name}"].tobytes() == value.tobytes() for name, value in own.items())
    assert mixed["other.head.weight"].shape == (19, 32) and mixed["first.head.weight"].shape == (10, 32)

    # What was charged: a broadcast carries what both groups need, an upload what its group's codec makes of its layout.
    sent = read_rows(tmp_path / "mix" / "trace.sqlite", "transmissions")
    broadcasts = [row["payload_bits"] for row in sent if row["direction"] == "down"]
    values = {name: sum(v.size for k, v in mixed.items() if k.startswith(name)) for name in ("first.", "other.")}
    assert broadcasts[0] == 32 * sum(values.values())
    # of every array: 16 bits a value, and 8 of scale; and 8 bits of header
    arrays = {name: sum(k.startswith(name) for k in mixed) for name in values}
    whole = {name: 8 + 16 * values[name] + 8 * arrays[name] for name in values}
    assert broadcasts[1] == sum(whole.values())
    uploads = {row["client"]: row["payload_bits"] for row in sent if row["direction"] == "up"}
    assert uploads == {client: whole["first." if client < 3 else "other."] for client in range(5)}

    # The work of a step is counted for each group: three layers and batches of five take longer than two and four.
    manifest = json.loads((tmp_path / "mix" / "manifest.json").read_text())
    decided = read_rows(tmp_path / "mix" / "trace.sqlite", "decisions")
    for row in decided:
        assert row["compute_s"] == pytest.approx(manifest["work_flop"][row["client"] >= 3] / 1e9, rel=1e-12)
    planned = learningwork.compute_of(cell.scenario)
    clients = np.arange(5)
    counted = [manifest["work_flop"][client >= 3] / 1e9 for client in range(5)]
    np.testing.assert_allclose(planned.medians_s(Stream.root(1), clients), counted, rtol=0.01)
    assert planned.fastest_s < planned.slowest_s
    assert planned.median_s == planned.fastest_s  # three of five

    # It is planned with the same sizes, and read by the analysis.
    work = work_of(cell.scenario)
    assert [work.menu(client).points[-1].bits for client in (0, 4)] == [whole["first."], whole["other."]]
    assert work.downlink([0, 4]).bits == sum(whole.values()) and work.downlink([1]).bits == whole["first."]
    assert estimate(mix(FIRST, OTHER)).arms[0].training_steps == 2 * (3 * 2 + 2 * 3)
    traces = load(tmp_path / "mix")
    assert list(traces.groups["accuracy"]) == [row["accuracy"] for row in rows]
    assert traces.units["groups", "loss"] == "nat" and traces.select("fedavg").groups.equals(traces.groups)
    assert parse(to_yaml(cell.scenario)).cells[0].scenario == cell.scenario


MEASURED = (
    "codec={kind: components, error_feedback: 1, bits: 8}",
    "schedule={kind: tsfa, latency_budget: 300 ms, surrogate: tail}",
)
STAGED = ("method={kind: fedtt_plus, rank: 3, bottleneck: 8}", "codec={kind: parts, error_feedback: 1}")


@pytest.mark.parametrize(("kind", "after"), [(MEASURED, 1), (MEASURED, 2), (STAGED, 2)])
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(
    mix: Mix, tmp_path: Path, kind: tuple[str, ...], after: int
) -> None:
    """With residuals that wait, errors that clients measured, groups whose menus have sizes of their own, or stages."""
    cell = mix(FIRST, OTHER, overrides=("rounds=3", *kind)).cells[0]

    def dies(row: Mapping[str, Any]) -> None:
        if row["round"] == after:
            raise MemoryError("killed")

    run_cell(cell, 0, tmp_path / "whole")
    with pytest.raises(MemoryError):
        run_cell(cell, 0, tmp_path / "killed", dies)
    run_cell(cell, 0, tmp_path / "killed")
    assert tables(tmp_path / "killed") == tables(tmp_path / "whole")
    names = ("model.safetensors", "rounds.csv", "groups.csv")
    assert all((tmp_path / "killed" / n).read_bytes() == (tmp_path / "whole" / n).read_bytes() for n in names)
    assert len(tables(tmp_path / "whole")["groups"]) == 6


def test_planned_memory_holds_each_model_and_one_batch(mix: Mix) -> None:
    """Halves of a group take what the whole takes, and a second model: their clients train one after the other."""
    halves = mix("{name: a, clients: 3}", "{name: b, clients: 2}")
    whole, one, two = (estimate(own).arms[0].memory_mib for own in (mix(), mix("{name: all, clients: 5}"), halves))
    learning = halves.cells[0].scenario.learning
    info = sources.model_info(learning.model.name)
    assert one == pytest.approx(whole, rel=MEANS)
    assert two - one == pytest.approx(4 / 2**20 * machine.frozen_values(learning, info, info.layers), rel=DIFFERENCES)


def test_groups_of_the_same_data_share_its_examples(mix: Mix) -> None:
    """Each training example is held once, and all are evaluated on the same test set."""
    work, recorded = build_work(mix(FIRST, SAME_DATA).cells[0].scenario, None)
    plain, alone = build_work(mix().cells[0].scenario, None)
    try:
        assert recorded["holdings"] == alone["holdings"] and np.sum(recorded["holdings"]["counts"]) == 60
        assert recorded["examples_per_client"] == alone["examples_per_client"] == [12] * 5
        assert sum(work.weight(client) for client in range(5)) == pytest.approx(1.0, rel=MEANS)
        assert work.weight(4) == pytest.approx(0.2, rel=MEANS)
        found = work.evaluate()
        # The first group is the whole run's model before any training: the same test set, the same first values.
        assert found["groups"][0]["accuracy"] == plain.evaluate()["accuracy"]
        assert [row["share"] for row in found["groups"]] == [0.6, 0.4]
    finally:
        work.close()
        plain.close()
