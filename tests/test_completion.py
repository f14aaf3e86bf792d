"""What the shell is offered, asked as bash, zsh and fish ask: through the script's own protocol.

Knows the words of a command line; nothing is run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wfl_sim import completion

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = Path(sys.executable).with_name("wfl-sim")
Words = Callable[..., list[str]]


class Line:
    """What a callback sees of a line that was typed so far."""

    def __init__(self, scenario: str, *overrides: str) -> None:
        self.params = {"scenario": scenario, "overrides": list(overrides)}


def offered(incomplete: str, *before: str, scenario: str = "scenarios/quickstart.yaml") -> list[str]:
    return completion.overrides(Line(scenario, *before), incomplete)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(("shell", "join"), [("bash", " "), ("zsh", " "), ("fish", " ")])
def test_each_shell_is_answered(shell: str, join: str) -> None:
    words = ["wfl-sim", "validate", "quickstart", "radio.uplink.b"]
    variables = {
        "_WFL_SIM_COMPLETE": f"complete_{shell}", "COMP_WORDS": join.join(words), "COMP_CWORD": "3",
        "_TYPER_COMPLETE_ARGS": join.join(words), "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }  # fmt: skip
    done = subprocess.run(
        [SCRIPT], env={**os.environ, **variables}, capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert "radio.uplink.bandwidth=" in done.stdout
    assert done.stderr == ""


def test_scenarios_by_name_and_by_file() -> None:
    assert completion.scenarios("quick") == ["quickstart"]
    assert "scenarios/quickstart.yaml" in completion.scenarios("scenarios/q")
    assert "scenarios/" in completion.scenarios("scen")
    assert completion.scenarios("no/such/folder/") == []


def test_keys_grow_part_by_part() -> None:
    assert {"radio.", "rounds=", "arms.", "method."} <= set(offered(""))
    assert "radio.uplink.access=" in offered("radio.up"), "no blank would follow a single word"
    assert set(offered("radio.uplink.bandwidth")) == {"radio.uplink.bandwidth=", "radio.uplink.bandwidth='2 MHz'"}
    assert offered("nothing") == []
    assert "channel.path_loss.exponent=" in offered("channel.path_loss."), "options of every kind"


def test_kinds_and_words_are_offered_as_values() -> None:
    assert offered("schedule.kind=") == ["schedule.kind=equal", "schedule.kind=min_max", "schedule.kind=tsfa"]
    assert offered("schedule.kind=t") == ["schedule.kind=tsfa"]
    assert offered("schedule.csi=bl") == ["schedule.csi=block"]
    assert offered("radio.uplink.work_conserving=") == [
        "radio.uplink.work_conserving=true", "radio.uplink.work_conserving=false"
    ]  # fmt: skip


def test_bash_takes_the_equals_sign_for_a_word() -> None:
    assert offered("=", "schedule.kind") == ["equal", "min_max", "tsfa"]
    assert offered("ts", "schedule.kind", "=") == ["tsfa"]


def test_arms_come_from_the_scenario() -> None:
    assert "arms.soft-tsfa." in offered("arms.")
    assert "arms.soft-tsfa.method." in offered("arms.soft-tsfa.")
    assert offered("arms.soft-tsfa.schedule.kind=m") == ["arms.soft-tsfa.schedule.kind=min_max"]
    assert offered("arms.", scenario="no such file") == []


def test_cards_are_offered_by_name() -> None:
    assert completion.names("ray") == ["rayleigh"]
    assert "radio.uplink.bandwidth" in completion.names("radio.uplink.")
    assert "tsfa" in completion.names("")
