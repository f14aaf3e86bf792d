"""Runs the commands that a page shows, each in a fork of one interpreter that has loaded what they all begin with.

Knows no page. A line of its input names a command, a folder and a file for each output; it answers with exit statuses.
A fork starts from the same state as every other, in a third of the time that an interpreter of its own would take.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import analysis.plots  # noqa: F401
from wfl_sim.cli import main
from wfl_sim.scenario import load

LONGEST_S = 300


def play(command: list[str], folder: str, outputs: list[str]) -> NoReturn:
    """Become the command. ``python -c TEXT`` is the only one that is not ours."""
    signal.alarm(LONGEST_S)
    os.chdir(folder)
    for number, path in enumerate([os.devnull, *outputs]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), number)
    # Processes that a run starts load its main module again; it should not be this file.
    script = sys.modules["__main__"] = ModuleType("__main__")
    if command[:2] == ["python", "-c"]:
        sys.argv = ["-c"]
        exec(compile(command[2], "<string>", "exec"), script.__dict__)
        sys.exit(0)
    assert command[0] == "wfl-sim", command
    sys.argv = command
    sys.exit(main())


if __name__ == "__main__":
    load(Path(__file__).resolve().parents[2] / "scenarios" / "quickstart.yaml")  # builds the reader of scenarios
    for line in iter(sys.stdin.readline, ""):
        if not (child := os.fork()):
            play(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
