"""The model file of a run: what it holds, and that of a run that ends before its time."""

from __future__ import annotations

import errno
import json
import os
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

import wfl_sim.learning
from wfl_sim import checkpoint
from wfl_sim.checkpoint import Checkpoint
from wfl_sim.codecs.base import Layout
from wfl_sim.engine import run_cell
from wfl_sim.errors import RunFailed
from wfl_sim.federation import Federation
from wfl_sim.scenario import parse
from wfl_sim.trace import read_rows

MODEL = {"q.A": np.array([[-0.0, 1e-45, 3.4e38]], dtype=np.float32), "head.bias": np.zeros(2, dtype=np.float32)}
SCENARIO = """\
schema_version: 1
name: made-up
rounds: 4
radio: {{uplink: {{bandwidth: 2 MHz}}}}
channel: {{path_loss: {{kind: uma}}}}
clients:
  count: 3
  placement: {{kind: disc, from: 35 m, to: 200 m}}
  compute: {{time: 100 ms, jitter: 0.2}}
method: {{kind: head_only}}
codec: {{kind: dense, bits: 32, error_feedback: 1}}
learning: {{on_divergence: {on_divergence}}}
"""


class Learner:
    """Adds 1 to every number in every step, but for what `bad` says of (client, round) and `loss` of a model."""

    layout = Layout((), ("head.weight",), {"head.weight": (2, 3)})
    frozen: ClassVar[dict[str, Any]] = {}

    def __init__(self, bad: dict[tuple[int, int], float], loss: Any) -> None:
        self.bad, self.loss = bad, loss

    def initial(self) -> dict[str, Any]:
        return {"head.weight": np.zeros((2, 3), np.float32)}

    def examples(self, client: int) -> int:
        return 10

    def train(self, starts: Any, round_: int) -> Any:
        return {client: partial(self._trained, start, client, round_) for client, start in starts.items()}

    def _trained(self, start: Any, client: int, round_: int) -> Any:
        return {"head.weight": start["head.weight"] + np.float32(self.bad.get((client, round_), 1.0))}

    def close(self) -> None:
        self.closed = True

    def evaluate(self, params: Any) -> dict[str, float]:
        level = float(params["head.weight"][0, 0])
        return {"accuracy": 0.5, "loss": self.loss(level)}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a cell with the learner above, below the temporary folder."""

    def play(
        bad: Any = None, loss: Any = lambda level: level, on_divergence: str = "fail", into: str = "run", **how: Any
    ) -> Any:
        def build_work(scenario: Any, memo_folder: Any, states: Any, workers: int) -> Any:
            learning = scenario.learning
            learner: Any = Learner(bad or {}, loss)
            clients = scenario.clients.count
            return Federation(scenario.method, scenario.codec, learner, clients, learning.on_divergence, states), {}

        module: Any = ModuleType("wfl_sim.learning.federated")
        module.build_work = build_work
        monkeypatch.setitem(sys.modules, module.__name__, module)
        # Where the real one has been imported, `from` finds it on the package.
        monkeypatch.setattr(wfl_sim.learning, "federated", module, raising=False)
        (cell,) = parse(SCENARIO.format(on_divergence=on_divergence)).cells
        return run_cell(cell, 0, tmp_path / into, **how)

    return play


def manifest(folder: Path) -> dict[str, Any]:
    """What the run says of itself."""
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return found


def test_what_was_written_is_read_bit_for_bit(tmp_path: Path) -> None:
    from safetensors import safe_open

    checkpoint.write(tmp_path, Checkpoint(12, 7, MODEL))
    got = checkpoint.read(tmp_path)
    assert (got.round, got.version) == (12, 7) and got.model.keys() == MODEL.keys()
    assert all(got.model[n].tobytes() == MODEL[n].tobytes() and got.model[n].shape == MODEL[n].shape for n in MODEL)
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        assert file.metadata() == {"wfl_sim": '{"format": 2, "round": 12, "version": 7}'}


def test_another_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 3)
        checkpoint.write(tmp_path, Checkpoint(1, 1, MODEL))
    with pytest.raises(ValueError, match=r"model\.safetensors: format 3 is not 2"):
        checkpoint.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        checkpoint.read(tmp_path / "nowhere")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    checkpoint.write(tmp_path, Checkpoint(1, 1, MODEL))

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, full)
        with pytest.raises(RunFailed, match=r"model\.safetensors cannot be written: No space"):
            checkpoint.write(tmp_path, Checkpoint(2, 2, {name: value + 1 for name, value in MODEL.items()}))
    assert checkpoint.read(tmp_path).round == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_finished_run_has_its_last_model(run: Any, tmp_path: Path) -> None:
    run()
    got = checkpoint.read(tmp_path / "run")
    assert manifest(tmp_path / "run")["checkpoint"] == {"file": "model.safetensors", "round": 4, "version": 4}
    assert (got.round, got.version) == (4, 4) and (got.model["head.weight"] == 4.0).all()


@pytest.mark.parametrize(
    ("bad", "loss", "says"),
    [
        ({(1, 3): np.nan}, lambda level: level, "round 3: the training of client 1 diverged"),
        ({}, lambda level: np.inf if level > 2 else level, "round 3: the loss of the global model is inf; lower"),
    ],
    ids=["update", "loss"],
)
def test_a_run_that_diverges_leaves_the_last_finite_model(
    run: Any, tmp_path: Path, bad: Any, loss: Any, says: str
) -> None:
    with pytest.raises(RunFailed, match=says):
        run(bad, loss)
    found, last = manifest(tmp_path / "run"), int(says[6]) - 1
    assert found["status"] == "failed" and says in found["error"]
    assert found["checkpoint"] == {"file": "model.safetensors", "round": last, "version": last}
    got = checkpoint.read(tmp_path / "run")
    assert got.round == last == len(read_rows(tmp_path / "run" / "trace.sqlite", "rounds"))
    assert np.isfinite(got.model["head.weight"]).all() and (got.model["head.weight"] > 0).all()


def test_a_run_that_diverges_at_once_leaves_the_first_model(run: Any, tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="round 1: the training of client 0 diverged"):
        run({(0, 1): np.nan})
    got = checkpoint.read(tmp_path / "run")
    assert (got.round, got.version) == (0, 0) and not got.model["head.weight"].any()


def test_an_interrupted_run_leaves_the_model_of_its_last_round(run: Any, tmp_path: Path) -> None:
    def report(row: Any) -> None:
        if row["round"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(report=report)
    found = manifest(tmp_path / "run")
    assert (found["status"], found["rounds_done"], found["checkpoint"]["round"]) == ("interrupted", 2, 2)
    assert (checkpoint.read(tmp_path / "run").model["head.weight"] == 2.0).all()


def test_a_client_that_is_dropped_is_in_the_trace_and_the_run_goes_on(run: Any, tmp_path: Path) -> None:
    run({(1, 2): np.inf}, on_divergence="drop_client")
    trace = tmp_path / "run" / "trace.sqlite"
    rows = read_rows(trace, "rounds")
    assert [(row["delivered"], row["dropped"]) for row in rows] == [(3, 0), (2, 1), (3, 0), (3, 0)]
    assert rows[1]["kept_fraction_mean"] == 1.0
    (told,) = [row for row in read_rows(trace, "transmissions") if row["reason"] == "diverged"]
    assert (told["client"], told["round"], told["outcome"], told["payload_bits"]) == (1, 2, "dropped", 0)
    (decided,) = [row for row in read_rows(trace, "decisions") if (row["client"], row["round"]) == (1, 2)]
    assert told["t_end_s"] == told["t_request_s"] == decided["compute_start_s"] + decided["compute_s"]
    assert (checkpoint.read(tmp_path / "run").model["head.weight"] == 4.0).all()


def test_a_model_that_cannot_be_written_fails_the_run_and_hides_no_other_error(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        if Path(target).name == "model.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(RunFailed, match=r"model\.safetensors cannot be written: No space left"):
            run()
        assert manifest(tmp_path / "run")["status"] == "failed"
        with pytest.raises(RunFailed, match="diverged"):
            run({(0, 1): np.nan}, into="other")
    run()  # all rounds are there: what was missing is made up for
    assert manifest(tmp_path / "run")["status"] == "finished"
    assert checkpoint.read(tmp_path / "run").round == 4


def test_state_beyond_the_limit_goes_to_the_run_directory_and_does_not_stay(run: Any, tmp_path: Path) -> None:
    seen = []

    def report(row: Any) -> None:
        seen.extend(path.name for path in (tmp_path / "run").glob(".clients-*/*"))

    run(report=report, client_memory_bytes=0)
    assert set(seen) == {"residual-0", "residual-1", "residual-2"}
    assert not list((tmp_path / "run").glob(".clients-*"))
