"""H2Tune's local training on small models, and whole runs of it on a mix of backbones and tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wfl_sim import checkpoint, shapeplan
from wfl_sim.engine import run_cell
from wfl_sim.errors import ScenarioError
from wfl_sim.estimate import estimate
from wfl_sim.learning import models, triples
from wfl_sim.learning.federated import build_work
from wfl_sim.learning.local import Setup
from wfl_sim.learning.options import Local, Model
from wfl_sim.learning.triples import TripleTraining, blocks_of
from wfl_sim.methods import alignment
from wfl_sim.methods.h2tune import H2Tune, Triple
from wfl_sim.scenario import Study, parse
from wfl_sim.trace import dump, read_rows
from wfl_sim.updatesizes import work_of

SINGLE = 2e-6  # relative to outputs of about 1: sums of some tens of float32 products
TEXT = """\
schema_version: 1
name: mix
rounds: 3
radio: {{uplink: {{bandwidth: 400 kHz}}, latency: 10 ms}}
channel: {{path_loss: {{kind: uma}}}}
clients: {{count: 5, placement: {{kind: disc, from: 35 m, to: 200 m}}, compute: {{speed: 1 GFLOP/s}}}}
learning:
  model: {{name: {bert}, layers: 2}}
  data: {{train: 60, test: 20, max_tokens: 6, partition: {{kind: iid}}}}
  local: {{steps: 2, batch: 4}}
  groups:
    - {{name: shallow, clients: 3, rank: 2}}
    - name: deep
      clients: 2
      model: {{name: {llama}}}
      data: {{name: "builtin:wordnet19", train: 57, test: 38, max_tokens: 6, partition: {{kind: iid}}}}
method: {{kind: h2tune, rank: 4}}
"""


@pytest.fixture
def mix(folder_of: Callable[[str], str]) -> Callable[..., Study]:
    """Three clients with a BERT of two layers, and two with a Llama of three on another task."""
    text = TEXT.format(bert=folder_of("bert"), llama=folder_of("llama"))
    return lambda *overrides: parse(text, "mix", overrides)


@pytest.fixture
def training(folder_of: Callable[[str], str], task: Any) -> Callable[..., TripleTraining]:
    def make(rank: int = 3, largest: int = 5, most: int = 3, layers: int = 2, **method: Any) -> TripleTraining:
        adapter = Triple(rank, 2.0 * rank, "orthonormal", ("query", "output"), largest)
        local = method.pop("local", Local(steps=3, batch=4, lr=0.02))
        setup = Setup(Model(folder_of("bert"), layers), adapter, task, 8, local)
        return TripleTraining(setup, H2Tune(rank=rank, **method), most)

    return make


def start_of(made: TripleTraining, seed: int = 0, begun: int = 0, scale: float = 0.3) -> dict[str, np.ndarray]:
    """Arrays of a client, none of them zero."""
    random = np.random.default_rng(seed)
    found = {name: scale * random.standard_normal(shape) for name, shape in made.layout.shapes.items()}
    found["alignment"] = random.standard_normal((made._most, len(made.blocks)))
    size = made._adapter.size
    found["shape"] = scale * random.standard_normal((made._most, len(made.blocks[0]), size, size))
    found["begun"] = np.array([begun])
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


def test_layers_of_a_block_belong_together() -> None:
    bert = [f"encoder.layer.{n}.{end}" for n in (0, 1) for end in ("attention.self.query", "output.dense")]
    assert blocks_of(bert, "m") == [bert[:2], bert[2:]]
    albert = ["encoder.groups.0.layers.0.attention.query", "encoder.groups.0.layers.0.ffn"]
    assert blocks_of(albert, "m") == [albert]
    with pytest.raises(triples.MissingResource, match="blocks differ"):
        blocks_of(bert[:3], "m")


def test_the_layers_compute_what_the_formula_says(training: Callable[..., TripleTraining], task: Any) -> None:
    """Against layers whose weight has (alpha / r) B (T + I) A added to it, with T cut out of S by hand."""
    made = training()
    start = start_of(made)
    tensors, shapes = made._tensors([start])
    rows = np.arange(6)
    batch = made._inputs["test"].batch(torch.from_numpy(rows))
    with torch.no_grad():
        found = made._states(batch, tensors, shapes(tensors))
    stack = alignment.unfold(start["shape"], alignment.shares(start["alignment"]))
    plain = models.load(made._setup.model)
    for block, names in enumerate(made.blocks):
        for place, name in enumerate(names):
            scores, whole = start[f"{name}.Q"].ravel(), stack[block, place].ravel()
            best = sorted(np.argsort(scores)[-9:])
            wanted = whole[best].reshape(3, 3) + np.eye(3)
            added = 2.0 * start[f"{name}.B"] @ wanted @ start[f"{name}.A"]
            plain.module.get_submodule(name).weight.data += torch.from_numpy(added.astype(np.float32))
    with torch.no_grad():
        wanted = plain.states(batch)
    assert float((found - wanted).abs().max()) < 20 * SINGLE * float(wanted.abs().max())
    untouched = models.load(made._setup.model)
    zero = start | {name: 0 * value for name, value in start.items() if name.endswith(".B")}
    tensors, shapes = made._tensors([zero])
    with torch.no_grad():  # B = 0 is the backbone
        same = made._states(batch, tensors, shapes(tensors))
        assert float((same - untouched.states(batch)).abs().max()) < SINGLE * float(wanted.abs().max())


def test_with_the_whole_mask_t_is_s_and_scores_learn_as_weights(training: Callable[..., TripleTraining]) -> None:
    """r = R: T = S; and dT/dQ = S on the mask, 0 elsewhere, by differences of the loss that weights T by 1 + Q - Q0."""
    made = training(rank=5, largest=5)
    start = start_of(made)
    tensors, shapes = made._tensors([start])
    stack = alignment.unfold(start["shape"], alignment.shares(start["alignment"]))
    assert np.allclose(shapes(tensors)[0].numpy(), stack, rtol=0, atol=SINGLE)
    made = training(rank=2, largest=5)
    start = start_of(made)
    tensors, shapes = made._tensors([start])
    leaves = {name: value.requires_grad_() for name, value in tensors.items()}
    found = shapes(leaves)
    weights = torch.from_numpy(np.random.default_rng(1).standard_normal(found.shape).astype(np.float32))
    (found * weights).sum().backward()
    scores = np.stack([[start[f"{name}.Q"] for name in names] for names in made.blocks])
    chosen = alignment.largest(scores, 4)
    wanted = np.zeros(scores.shape, np.float32).reshape(*scores.shape[:2], -1)
    np.put_along_axis(wanted, chosen, (found.detach() * weights)[0].numpy().reshape(*chosen.shape), axis=-1)
    assert np.allclose(leaves["masks"].grad[0].numpy().reshape(wanted.shape), wanted, rtol=0, atol=10 * SINGLE)
    # D has the gradient of S, which is that of T on the mask.
    onto = np.zeros_like(wanted)
    np.put_along_axis(onto, chosen, weights[0].numpy().reshape(*chosen.shape), axis=-1)
    assert np.allclose(leaves["delta"].grad[0].numpy().reshape(wanted.shape), onto, rtol=0, atol=10 * SINGLE)


def test_the_first_round_trains_all_and_later_ones_by_turns(training: Callable[..., TripleTraining]) -> None:
    """Every tensor moves, D on the mask alone, whoever is trained beside whom."""
    rows = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    for begun in (0, 1):
        made = training()
        starts = [start_of(made, seed, begun) for seed in (0, 1)]
        found = made.train(starts, rows)()
        for start, after in zip(starts, found, strict=True):
            assert list(after) == [*made.layout.shapes, "alignment", "delta"]
            moved = {name: float(np.abs(after[name] - start[name]).max()) for name in made.layout.shapes}
            assert all(value > 1e-4 for value in moved.values()), moved
            assert np.abs(after["delta"]).max() > 1e-4 and not np.array_equal(after["alignment"], start["alignment"])
            # D moves on the mask alone: r^2 of R^2 entries
            assert (np.count_nonzero(after["delta"], axis=(2, 3)) <= 9).all()
        # Each client alone learns the same as side by side, to float32's rounding in another order of sums.
        alone = made.train(starts[1:], rows[1:])()
        for name, value in alone[0].items():
            assert np.allclose(value, found[1][name], rtol=0, atol=2e-3), name
    # Clients in their first round and others may be called together.
    made = training()
    both = made.train([start_of(made, 0, 0), start_of(made, 1, 1)], rows)()
    apart = [made.train([start_of(made, k, k)], rows[k : k + 1])()[0] for k in (0, 1)]
    assert all(np.array_equal(both[k][name], apart[k][name]) for k in (0, 1) for name in both[k])


def test_penalties_vanish_where_nothing_has_moved_and_hold_back_what_would() -> None:
    same = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    assert float(triples.divergence(same, same + 5.0).abs().max()) < 10 * SINGLE
    p, q = torch.tensor([0.0, 0.0]), torch.tensor([0.0, np.log(3.0)])
    # 1/2 log((1/2) / (1/4)) + 1/2 log((1/2) / (3/4))
    assert float(triples.divergence(p, q)) == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3), rel=1e-6)


def test_a_mix_runs_and_what_is_charged_is_what_is_planned(mix: Callable[..., Study], tmp_path: Path) -> None:
    cell = mix().cells[0]
    run_cell(cell, 0, tmp_path / "run")
    rounds, rows, sent = (
        read_rows(tmp_path / "run" / "trace.sqlite", table) for table in ("rounds", "groups", "transmissions")
    )
    assert [(row["name"], row["rank"], row["clients"]) for row in rows[:2]] == [("shallow", 2, 3), ("deep", 4, 2)]
    for row, own in zip(rounds, zip(rows[::2], rows[1::2], strict=True), strict=True):
        assert row["accuracy"] == pytest.approx(sum(one["share"] * one["accuracy"] for one in own), rel=1e-12)
        assert row["rank"] == 4 and row["e_cov"] is None
    # M = 2, R = 4, L_max = 3: at 16 bits with a byte of scale an array, masks of L M R^2 bits, Psi of L_max L values
    heads = {"shallow": 16 * 10 * 33 + 16, "deep": 16 * 19 * 33 + 16}
    uploads = {
        "shallow": 8 + (8 + 16 * 3 * 2) + 2 * 2 * 16 + (8 + 16 * 2 * 2 * 4) + heads["shallow"],
        "deep": 8 + (8 + 16 * 3 * 3) + 3 * 2 * 16 + (8 + 16 * 3 * 2 * 16) + heads["deep"],
    }
    for row in sent:
        if row["direction"] == "up":
            assert row["payload_bits"] == uploads["shallow" if row["client"] < 3 else "deep"]
    down = [row["payload_bits"] for row in sent if row["direction"] == "down"]
    shape = 8 + 8 + 16 * 3 * 2 * 16
    assert down == [32 * 29 * 33, *[shape + sum(8 + bits for bits in heads.values())] * 2]
    work = work_of(cell.scenario)
    assert [work.menu(client).points[-1].bits for client in (0, 4)] == [uploads["shallow"], uploads["deep"]]
    assert work.downlink([0, 4]).bits == down[1]
    assert estimate(mix()).arms[0].dense_bits == uploads["deep"]
    model = checkpoint.read(tmp_path / "run").model
    assert model["shape"].shape == (3, 2, 4, 4) and model["shape"].any()
    assert {name for name in model if name != "shape"} == {f"{g}.head.{n}" for g in heads for n in ("weight", "bias")}
    codes = shapeplan.codes(cell.scenario)
    assert [(code.depth, code.rank, code.stack) for code in codes] == [(2, 2, (3, 2, 4, 4)), (3, 4, (3, 2, 4, 4))]


KILLED = {
    "sparse": ("schedule={kind: tsfa, latency_budget: 300 ms}", "codec={kind: dense, bits: 8}"),
    "dense": ("method.payload=dense", "method.head=private", "protocol={kind: sync, cohort: 3}"),
    "buffered": (
        "protocol={kind: buffered, buffer: 2, weights: examples}",
        "clients.compute={time: 300 ms, jitter: 1}",
    ),
}


@pytest.mark.parametrize("how", KILLED)
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(mix: Callable[..., Study], tmp_path: Path, how: str) -> None:
    cell = mix(*KILLED[how]).cells[0]

    def dies(row: Mapping[str, Any]) -> None:
        if row["round"] in (1, 2):
            raise MemoryError("killed")

    run_cell(cell, 0, tmp_path / "whole")
    for _ in range(2):
        with pytest.raises(MemoryError):
            run_cell(cell, 0, tmp_path / "killed", dies)
        dies = lambda row: None if row["round"] < 2 else (_ for _ in ()).throw(MemoryError())  # noqa: E731
    run_cell(cell, 0, tmp_path / "killed")
    assert dump(tmp_path / "killed" / "trace.sqlite") == dump(tmp_path / "whole" / "trace.sqlite")
    assert (tmp_path / "killed" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()


def test_backbones_that_differ_in_adapted_layers_are_refused(mix: Callable[..., Study]) -> None:
    """A gated feed-forward part has two layers that lead up, and a plain one has one."""
    with pytest.raises(ScenarioError) as told:
        mix("method.adapt=[query, up]").check()
    (problem,) = told.value.args
    assert problem.key == "method.adapt" and "must find as many layers in a block of each model" in problem.message


def test_counted_work_is_that_of_the_closed_form(mix: Callable[..., Study]) -> None:
    """Within the 1 % that plans promise: two passes over a batch."""
    from wfl_sim import groups, learningwork

    work, recorded = build_work(mix().cells[0].scenario, None)
    work.close()
    for part, one in zip(groups.parts(mix().cells[0].scenario), recorded["groups"], strict=True):
        planned = learningwork.round_flop(part.scenario)
        assert part.scenario.learning.local.steps * one["step_flop"] == pytest.approx(planned, rel=0.01)
