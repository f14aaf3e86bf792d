"""How the oracle tests ask another simulator, and the table of what they found.

An oracle answers in a process of its own interpreter, `.venv-oracles/NAME/bin/python`: a script beside this file
reads a list of questions as JSON from its standard input and prints the list of answers as its last line.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_HERE = Path(__file__).resolve().parent
_ENVIRONMENTS = _HERE.parents[1] / ".venv-oracles"
_LONGEST_S = 900.0  # ns-3 compiles its headers when it starts, which a busy machine may take minutes for


@dataclass(frozen=True)
class Finding:
    """One row of the table: how far this project and an oracle are apart."""

    what: str
    oracle: str
    points: int
    deviation: float
    tolerance: float
    unit: str


_FINDINGS = pytest.StashKey[list[Finding]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FINDINGS] = []


@pytest.fixture(scope="session")
def ask() -> Callable[[str, list[dict[str, Any]]], list[Any]]:
    """Function (oracle, questions) -> answers, one each; skips the test where the oracle is not installed."""

    def asked(oracle: str, questions: list[dict[str, Any]]) -> list[Any]:
        place = _ENVIRONMENTS / oracle
        if not (place / ".ready").exists():
            pytest.skip(f"no environment .venv-oracles/{oracle}: make oracles")
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run(
            [place / "bin" / "python", "-I", _HERE / f"{oracle}_script.py"],
            input=json.dumps(questions),
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            env=inherited,
            check=False,
        )
        if done.returncode:
            pytest.fail(f"the script of {oracle} failed:\n{done.stderr[-2000:]}", pytrace=False)
        answers = json.loads(done.stdout.splitlines()[-1])
        assert len(answers) == len(questions)
        return list(answers)

    return asked


@pytest.fixture
def compare(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Function (what, oracle, ours, theirs, tolerance, unit) that notes the largest deviation and then judges it."""

    def compared(what: str, oracle: str, ours: Any, theirs: Any, tolerance: float, unit: str) -> None:
        own, other = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
        assert own.shape == other.shape and own.size, (own.shape, other.shape)
        assert np.isfinite(own).all() and np.isfinite(other).all()
        worst = float(np.max(np.abs(own - other)))
        request.config.stash[_FINDINGS].append(Finding(what, oracle, own.size, worst, tolerance, unit))
        assert worst <= tolerance, f"{what} is {worst:.4g} {unit} away from {oracle}, more than {tolerance:g} {unit}"

    return compared


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    findings = config.stash[_FINDINGS]
    if not findings:
        return
    terminalreporter.section("oracles")
    lines = [("compared", "oracle", "points", "largest deviation", "allowed"), ("---",) * 5]
    lines += [
        (row.what, row.oracle, f"{row.points:,}", f"{row.deviation:.2g} {row.unit}", f"{row.tolerance:g} {row.unit}")
        for row in findings
    ]
    for cells in lines:
        terminalreporter.write_line(f"| {' | '.join(cells)} |")
