"""A learner of a few numbers stands in for a model; that one is trained is seen in tests/learning/test_pilots.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "faults")]

import playground  # noqa: E402


@pytest.fixture
def _learner(monkeypatch: pytest.MonkeyPatch) -> None:
    """A learner of a few numbers in place of a model."""
    import wfl_sim.learning

    for name in ("federated", "splitfederated"):
        monkeypatch.setitem(sys.modules, f"wfl_sim.learning.{name}", None)
        monkeypatch.setattr(wfl_sim.learning, name, None, raising=False)
    playground.install(setattr)
