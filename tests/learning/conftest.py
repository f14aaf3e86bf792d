"""A small task on the real model and dictionary, and trainers for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from channels.streams import Stream
from wfl_sim.learning import data, examples
from wfl_sim.learning.memo import Memo
from wfl_sim.learning.options import Data, Local, Model
from wfl_sim.methods.base import Adapter

if TYPE_CHECKING:
    from wfl_sim.learning.training import Trainer

TRAIN, TEST, MAX_TOKENS = 200, 100, 8
STREAM = Stream.root(5).child("learning")


@pytest.fixture(autouse=True)
def models_of_tests(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Models that tests make lie below pytest's own folder, which is declared as a place for models."""
    monkeypatch.setenv("WFL_SIM_ROOTS", str(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="session")
def task() -> examples.Task:
    return data.load(Data(train=TRAIN, test=TEST, max_tokens=MAX_TOKENS), STREAM.child("data"))


@pytest.fixture(scope="session")
def lora() -> Adapter:
    return Adapter(rank=8, alpha=16.0, init="orthonormal")


@pytest.fixture(scope="session")
def make_trainer(task: examples.Task, lora: Adapter) -> Callable[..., Trainer]:
    """A trainer of two layers; four clients hold fifty texts each, unless told otherwise."""
    # These load the tensor library: only where a test asks for it.
    from wfl_sim.learning.local import Setup
    from wfl_sim.learning.training import Trainer
    from wfl_sim.learning.workers import Here

    def make(**changes: Any) -> Trainer:
        options: dict[str, Any] = {
            "model": Model(layers=2),
            "adapter": lora,
            "task": task,
            "max_tokens": MAX_TOKENS,
            "parts": np.array_split(np.arange(TRAIN), 4),
            "local": Local(steps=2, batch=8),
            "regulariser": None,
            "stream": STREAM,
            "memo": Memo(None, ""),
        }
        options |= changes
        setup = Setup(**{item.name: options[item.name] for item in fields(Setup) if item.name in options})
        executor = options.get("executor", Here)(setup)
        task_ = options["task"]
        return Trainer(
            executor, options["adapter"], options["parts"], options["local"], options["stream"], options["memo"],
            len(task_.test),
        )  # fmt: skip

    return make
