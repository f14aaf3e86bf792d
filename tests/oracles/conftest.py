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


# The table's number for what is no more than the last bits of float64.
_LAST_BITS = 1e-9


@dataclass
class Finding:
    """One row of the table: how far this project and an oracle are apart."""

    unit: str
    tolerance: float
    points: int = 0
    deviation: float = 0.0


_FINDINGS = pytest.StashKey[dict[tuple[str, str], Finding]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FINDINGS] = {}


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
    """Function that notes the largest deviation in a row of the table and then judges it."""

    def compared(
        row: str, oracle: str, ours: Any, theirs: Any, tolerance: float, unit: str = "", detail: str = ""
    ) -> None:
        own, other = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
        assert own.shape == other.shape and own.size, (own.shape, other.shape)
        assert np.isfinite(own).all() and np.isfinite(other).all()
        worst = float(np.max(np.abs(own - other)))
        finding = request.config.stash[_FINDINGS].setdefault((row, oracle), Finding(unit, tolerance))
        finding.points += own.size
        finding.deviation = max(finding.deviation, worst)
        said = f"{detail or row} is {worst:.4g} {unit} away from {oracle}".replace("  ", " ")
        assert worst <= tolerance, f"{said}; allowed are {tolerance:g}"

    return compared


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.stash[_FINDINGS]:
        return
    terminalreporter.section("oracles")
    lines = [("compared", "oracle", "points", "largest deviation", "allowed"), ("---", "---", "---:", "---:", "---:")]
    for (row, oracle), found in config.stash[_FINDINGS].items():
        deviation = f"{found.deviation:.2g}" if found.deviation > _LAST_BITS else f"< {_LAST_BITS:g}"
        allowed = f"{found.tolerance:g} {found.unit}".strip()
        lines.append((row, _version(oracle), f"{found.points:,}", f"{deviation} {found.unit}".strip(), allowed))
    for cells in lines:
        terminalreporter.write_line(f"| {' | '.join(cells)} |")


def _version(oracle: str) -> str:
    """The package and version that the tests were written for."""
    pins = (_HERE / f"requirements-{oracle}.txt").read_text(encoding="utf-8").splitlines()
    return next(pin for pin in pins if pin.startswith(oracle)).replace("==", " ")
