"""How long the light commands take to start: median of five, in CPU seconds, beside a bare interpreter.

``--json FILE`` also writes records {name, value, unit, target, peer}.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from _table import Benchmark, main, median

ROOT = Path(__file__).parents[1]
TARGET_S = 1.0
COMMANDS = {
    "python": [sys.executable, "-c", "pass"],
    "validate": [sys.executable, "-m", "wfl_sim.cli", "validate", "scenarios/quickstart.yaml"],
    "explain": [sys.executable, "-m", "wfl_sim.cli", "explain", "tsfa"],
    "plot_help": [sys.executable, "-m", "wfl_sim.cli", "plot", "--help"],
}


def cpu_s(command: list[str]) -> float:
    """User and system seconds of one run of a command."""
    before = os.times()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def row(name: str, command: list[str]) -> Benchmark:
    """A bare interpreter takes its part of each."""
    return Benchmark(f"{name}_s", "s", TARGET_S, "none", median(lambda run: cpu_s(command)), True)


if __name__ == "__main__":
    main(__doc__ or "", [row(name, command) for name, command in COMMANDS.items()], 5)
