"""What ``run --dry-run`` tells, and the question before a study that may be a slip; nothing is run.

Knows the command line as it is called; a directory is only made to be there.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wfl_sim import cli
from wfl_sim.commands.dryrun import MOST_ROWS

ROOT = Path(__file__).resolve().parents[1]
SWEEP = str(ROOT / "scenarios" / "bandwidth_sweep.yaml")
MILLION = ("seeds=1..100000", "clients.count=5,6,7,8,9", "radio.uplink.bandwidth=1 MHz,2 MHz", "arms={a: {}}")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Call the command line in an empty folder; gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("wfl_sim.run", lambda *_, **__: pytest.fail("something was run"))

    def caller(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["wfl-sim", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return caller


def test_it_lists_the_runs_and_their_cost_and_writes_nothing(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("run", SWEEP, "--dry-run")
    assert code == 0
    assert out.startswith("bandwidth_sweep: 36 runs: 36 to run\n")
    row = next(line for line in out.splitlines() if line.startswith("runs/bandwidth_sweep/tsfa-bandwidth=360kHz-seed1"))
    assert row.split()[1:] == ["tsfa", "radio.uplink.bandwidth=360", "kHz", "1", "absent"]
    assert f"\nand {36 - MOST_ROWS} more\n" in out
    assert "for 36 runs" in out
    assert not list(tmp_path.iterdir())


def test_it_is_one_json_object(call: Call) -> None:
    code, out, _ = call("run", SWEEP, "--dry-run", "--format", "json", "seeds=[1]", "--output", "there")
    told = json.loads(out)
    assert code == 0
    assert set(told) == {"name", "runs", "estimate", "notes"}
    assert told["runs"][1] == {
        "arm": "equal-bandwidth=360kHz", "seed": 1, "group": "equal", "state": "absent",
        "point": [{"key": "radio.uplink.bandwidth", "text": "360 kHz", "value": 360e3, "unit": "Hz"}],
        "directory": "there/bandwidth_sweep/equal-bandwidth=360kHz-seed1",
    }  # fmt: skip
    assert (told["estimate"]["cells"], told["estimate"]["arm_count"]) == (12, 12)


def test_what_force_would_replace_is_told(call: Call, tmp_path: Path) -> None:
    there = tmp_path / "runs" / "bandwidth_sweep" / "equal-bandwidth=360kHz-seed1"
    there.mkdir(parents=True)
    code, out, _ = call("run", SWEEP, "--dry-run", "--force", "seeds=[1]")
    assert code == 0
    assert out.startswith("bandwidth_sweep: 12 runs: 11 to run, 1 to replace\n")
    assert not list(there.iterdir())
    (there / "thesis.txt").write_text("mine")
    code, out, err = call("run", SWEEP, "--dry-run", "--force", "seeds=[1]")
    assert (code, out) == (2, "") and "is no run directory (it holds thesis.txt" in err


@pytest.mark.parametrize("command", ["run", "validate"])
def test_without_a_terminal_a_million_runs_need_yes(call: Call, command: str) -> None:
    code, out, err = call(command, SWEEP, *MILLION)
    assert (code, out) == (2, "")
    first = err.splitlines()[0]
    assert "a study of 1,000,000 cells (10 points x 100,000 seeds) is above 10,000" in first
    assert "--yes" in first
    code, out, _ = call(command, SWEEP, *MILLION, "--format", "json")
    assert (code, json.loads(out)["problems"][0]["cells"]) == (2, 10**6)


class Terminal(io.StringIO):
    """What is typed, on a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "seeds", "code"), [("n\n", 10_001, 2), ("\n", 10_001, 2), ("y\n", 10_001, 0)])
def test_on_a_terminal_it_asks(call: Call, monkeypatch: pytest.MonkeyPatch, typed: str, seeds: int, code: int) -> None:
    shown = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    monkeypatch.setattr(sys, "stderr", shown)
    overrides = (f"seeds=1..{seeds}", "arms={a: {}}", "radio.uplink.bandwidth=1 MHz", "rounds=1", "clients.count=2")
    ended, out, _ = call("run", SWEEP, "--dry-run", *overrides)
    assert shown.getvalue().startswith("a grid of 10,001 cells: go on? [y/N]")
    assert ended == code
    assert ("10,001 runs" in out) is (code == 0)


def test_yes_goes_on(call: Call) -> None:
    code, out, _ = call("run", SWEEP, "--dry-run", "--yes", "seeds=1..10001", "grid={}", "arms={a: {}}", "rounds=1")
    assert (code, "10,001 runs" in out) == (0, True)
