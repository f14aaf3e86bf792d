"""Plays a small run again and again, each time with another change to its files that fails, or in which it is killed.

``everywrite.py KIND ROUNDS MODE STEP SCRATCH``, below LD_PRELOAD of what ``failing.c`` gives: MODE is ``kill`` or the
name of an errno, with a ``+`` behind it if all later changes fail as well; only every STEP-th change is tried. After
each, what is there must be whole, and the next session must end as if nothing had happened. Prints a line of JSON.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import playground

import analysis
from wfl_sim.errors import WflError

SHIM: Any = ctypes.CDLL(None)
KILLED, TOLD, DONE, CRASHED = 9, 3, 0, 1


def session(kind: str, rounds: int, directory: Path, change: int, error: int, lasting: bool) -> tuple[int, str, int]:
    """Play in a process of its own: its exit status, what it said, and how many changes to files it made."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        status, said = CRASHED, ""
        try:
            SHIM.fail_from(int(lasting))
            SHIM.fail_arm(str(directory).encode(), ctypes.c_long(change), error)
            playground.play(kind, directory, rounds)
            status = DONE
        except WflError as told:
            status, said = TOLD, str(told)
        except BaseException as crash:
            said = f"{type(crash).__name__}: {crash}"
        count = SHIM.fail_count()
        SHIM.fail_arm(b"", ctypes.c_long(-1), 0)
        os.write(writer, json.dumps([said, count]).encode())
        os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    _, ended = os.waitpid(child, 0)
    said, count = json.loads(text) if text else ("", 0)
    return os.waitstatus_to_exitcode(ended), said, count


def check(directory: Path, whole: dict[str, Any]) -> int:
    """How many rounds are there; each file must be readable, and hold a beginning of what it will hold."""
    manifest = directory / "manifest.json"
    if not manifest.exists():
        return 0
    json.loads(manifest.read_text())
    trace = directory / "trace.sqlite"
    rounds = 0
    if trace.exists():
        frame = analysis.load(directory).rounds
        rounds = len(frame)
        assert [row[0] for row in whole["tables"]["rounds"][:rounds]] == frame["round"].tolist()
        assert [row[2] for row in whole["tables"]["rounds"][:rounds]] == frame["t_end_s"].tolist()
    if (directory / "rounds.csv").exists():
        text = (directory / "rounds.csv").read_bytes()
        assert whole["rounds.csv"].startswith(text)
    return rounds


def main(kind: str, rounds: int, mode: str, step: int, scratch: Path) -> dict[str, Any]:
    """Try every `step`-th change."""
    error = 0 if mode == "kill" else getattr(errno, mode.rstrip("+"))
    playground.install(setattr)
    reference, directory = scratch / "reference", scratch / "run"
    status, said, changes = session(kind, rounds, reference, 0, 0, False)
    assert status == DONE, said
    whole = playground.left(reference)
    outcomes, messages, kept = Counter[str](), Counter[str](), Counter[int]()
    for change in range(step, changes + 1, step):
        shutil.rmtree(directory, ignore_errors=True)
        status, said, _ = session(kind, rounds, directory, change, error, mode.endswith("+"))
        assert status in ((KILLED,) if mode == "kill" else (TOLD, DONE)), (change, status, said)
        assert "\n" not in said and len(said) < 400, said
        outcomes[{KILLED: "killed", TOLD: "told", DONE: "done"}[status]] += 1
        messages[said.replace(str(scratch), "")] += 1
        kept[check(directory, whole)] += 1
        status, said, _ = session(kind, rounds, directory, 0, 0, False)
        assert status == DONE, (change, said)
        again = playground.left(directory)
        assert again == whole, (change, [name for name in whole if again.get(name) != whole[name]])
    return {"changes": changes, "outcomes": outcomes, "rounds kept": kept, "messages": messages}


if __name__ == "__main__":
    kind, rounds, mode, step, scratch = sys.argv[1:]
    print(json.dumps(main(kind, int(rounds), mode, int(step), Path(scratch).resolve())))
