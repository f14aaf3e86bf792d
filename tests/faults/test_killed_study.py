"""A study that is killed again and again, anywhere, and always ends as one that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from wfl_sim.rundirectory import manifest
from wfl_sim.trace import dump

SCENARIO = Path(__file__).with_name("killed.yaml")
CELLS = 18
KILLS = int(os.environ.get("WFL_SIM_KILLS", "20"))
PATIENCE_S = 300.0


class Session:
    """One command in a process group of its own, whose lines are counted as they come."""

    def __init__(self, output: Path) -> None:
        command = [sys.executable, "-m", "wfl_sim.cli", "run", str(SCENARIO), "--jobs", "2", "--verbose", "--no-plots"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        self.process = subprocess.Popen(
            [*command, "--output", str(output)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True, env=environment,
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)

    def wait_for_rounds(self, count: int) -> None:
        """Until so many rounds have ended, or the command has."""
        give_up_s = time.monotonic() + PATIENCE_S
        while self.process.poll() is None and sum(": round " in line for line in self.lines) < count:
            assert time.monotonic() < give_up_s, self.lines
            time.sleep(0.01)

    def kill(self, whom: str, draw: random.Random) -> None:
        """Kill the command, all of its processes, or one of its workers and then all."""
        children = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        if whom == "worker" and children:
            draw.choice(children).kill()
            time.sleep(draw.uniform(0, 3))
        if whom == "command":
            self.process.kill()
        else:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
        assert not alive, "processes outlive their study"
        self._reader.join()

    def finish(self) -> None:
        """Wait for its end, which has to be a good one."""
        assert self.process.wait(PATIENCE_S * 4) == 0, "".join(self.lines[-20:])
        self._reader.join()


def left(output: Path) -> dict[str, Any]:
    """What each run of a finished study holds."""
    found = {}
    for run in sorted((output / "killed").iterdir()):
        assert manifest(run)["status"] == "finished"
        assert sorted(path.name for path in run.iterdir()) == [
            "manifest.json", "model.safetensors", "rounds.csv", "scenario.yaml", "trace.sqlite",
        ]  # fmt: skip
        files = [(run / name).read_bytes() for name in ("model.safetensors", "rounds.csv", "scenario.yaml")]
        found[run.name] = (dump(run / "trace.sqlite"), files)
    return found


@pytest.mark.slow
def test_a_study_that_is_killed_anywhere_ends_as_one_that_is_not(tmp_path: Path) -> None:
    draw = random.Random(os.environ.get("WFL_SIM_SEED", "1"))
    Session(tmp_path / "whole").finish()
    whole = left(tmp_path / "whole")
    assert len(whole) == CELLS
    kills, ended, continued = Counter[str](), 0, 0
    while kills.total() < KILLS:
        output, finished = tmp_path / f"killed-{ended}", False
        while kills.total() < KILLS and not finished:
            session = Session(output)
            if draw.random() < 0.3:
                time.sleep(draw.uniform(0, 8))  # while it looks at its directories, imports, and loads
            else:
                session.wait_for_rounds(draw.randint(1, 10))
                time.sleep(draw.uniform(0, 1.5))
            if finished := session.process.poll() is not None:
                session.finish()
            else:
                whom = draw.choice(["command", "all", "worker"])
                session.kill(whom, draw)
                kills[whom] += 1
        Session(output).finish()
        assert left(output) == whole
        ended += 1
        runs = [manifest(run)["measured"].get("continued_after") for run in (output / "killed").iterdir()]
        continued += sum(bool(after) for after in runs)
    print(f"{kills.total()} kills ({dict(kills)}), {ended} studies, {continued} runs that went on from a round")
    assert continued
