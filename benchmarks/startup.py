"""How long the light commands take to start: median of five, in CPU seconds, beside a bare interpreter.

``--json FILE`` also writes records {name, value, unit, target, peer}.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    file = parser.parse_args().json
    records = []
    for name, command in COMMANDS.items():
        value = statistics.median(cpu_s(command) for _ in range(5))
        print(f"{name:<12} {value:6.2f} s")
        if name != "python":
            records.append(
                {"name": f"{name}_s", "value": round(value, 3), "unit": "s", "target": TARGET_S, "peer": None}
            )
    if file:
        file.write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    main()
