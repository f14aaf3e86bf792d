"""What a run leaves in its directory: manifest, trace, model, and, until it is over, what it takes to go on.

Knows files and their order; neither the clock nor what is learnt. A kill at any instant leaves the rounds that were
committed, and with them all that the next session needs: the arrays of a round are on the disk before the transaction
that holds the round and says where they are, and older ones go behind it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from wfl_sim import checkpoint, rundirectory, wholefile
from wfl_sim.checkpoint import Checkpoint
from wfl_sim.contracts import Work
from wfl_sim.errors import AGAIN, RunFailed
from wfl_sim.memory import peak_rss_mib
from wfl_sim.methods.none import NoLearning
from wfl_sim.processes import interrupts_ignored
from wfl_sim.protocols.base import Spent
from wfl_sim.quality import quality_of
from wfl_sim.replay import Replayed
from wfl_sim.rundirectory import FORMAT, content_hash, versions
from wfl_sim.scenario import Cell, to_yaml
from wfl_sim.splitreplay import replayed
from wfl_sim.statefiles import Kept, StateFiles
from wfl_sim.trace import AnyRow, Resume, Row, TraceWriter, is_unfinished, write_csv

Report = Callable[[Row], None]
REST_S, REST_SHARE = 0.5, 0.01  # how often the world is noted at most, and which part of the time that may take
SPILLED = ".clients-*"  # what client states leave where a process was killed


class CellRecord:
    """The record of one run: begun, or continued where an earlier session left it.

    Parameters
    ----------
    cell : Cell
    arm_index : int
        The place of its arm in the study.
    directory : Path
        Made if need be.
    report : callable
        Gets the row of every round that is committed, and that of the last one when a run goes on from there.

    Raises
    ------
    OutputExists
        What is there is no run of this cell that can be continued, or was begun with other versions of packages.
    RunFailed
        It cannot be written, or is damaged.
    """

    def __init__(self, cell: Cell, arm_index: int, directory: Path, report: Report) -> None:
        self._began_s, self._cpu_s = time.perf_counter(), time.process_time()
        self._cell, self.directory, self._report = cell, directory, report
        text = to_yaml(cell.scenario)
        self.manifest = _manifest(cell, arm_index, text)
        self._before = rundirectory.begun(directory, cell)
        self.manifest = {**self._before, **self.manifest}  # until it is known better
        self.manifest.pop("error", None)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for spilled in directory.glob(SPILLED):
                shutil.rmtree(spilled, ignore_errors=True)
        except OSError as error:
            raise RunFailed(f"cannot write to {directory}: {error.strerror or error}") from error
        wholefile.write(directory / "scenario.yaml", text.encode())
        self._write_manifest()
        self._trace = TraceWriter(directory / "trace.sqlite")
        self._committed = self._trace.committed()
        self._files = StateFiles(directory)
        self._done, self._over = self._committed.rounds, False
        self._last: Checkpoint | None = None  # of the last round that was committed
        self._work: Work | None = None
        self._goes_on = not self._committed.rounds  # else it plays again what was committed
        self.rest: dict[str, Any] | None = None if self._committed.rest is None else json.loads(self._committed.rest)
        self.resting: Callable[[], dict[str, Any] | None] = lambda: None
        self._next_rest_s = self._began_s + REST_S
        self.spent = Spent()
        self._measured: dict[str, Any] = {}  # by the learning side

    def note(self, **recorded: Any) -> None:
        """Write something down in the manifest before the run begins; the next session finds it there."""
        self.manifest |= json.loads(json.dumps(recorded))
        self._write_manifest()

    def works_on(self, work: Work, recorded: Mapping[str, Any]) -> Work:
        """Note what the work was made of; the work that the run must use in its place.

        Raises
        ------
        RunFailed
            Model or data are not those of the session before this one.
        """
        plain = json.loads(json.dumps(recorded))
        changed = [key for key in plain if key in self._before and self._before[key] != plain[key]]
        if self._committed.rounds and changed:
            raise RunFailed(f"its {' and '.join(changed)} changed since it was begun: {AGAIN}")
        self.manifest |= recorded
        self._write_manifest()
        learns = work.model() is not None
        self._work = replayed(work) if learns else work
        if isinstance(self._work, Replayed) and self._committed.told:
            self._work.knows(self._committed.told)
        if self._goes_on:
            self._last = self._checkpoint(0)
        elif self._committed.rested < self._committed.rounds:
            self._play_again()
        else:
            self._go_on()
            self._reached(self._committed.last())
        return self._work

    def _play_again(self) -> None:
        if isinstance(self._work, Replayed):
            if self._committed.state() is None:
                raise RunFailed(f"its trace does not say how to go on after round {self._committed.rounds}: {AGAIN}")
            self._work.begin(self._committed.answers())
        self._next_round()

    def _next_round(self) -> None:
        row = self._committed.next()
        if isinstance(self._work, Replayed):
            self._work.round(row)

    def commit(self, row: Row, transmissions: Sequence[AnyRow], decisions: Sequence[AnyRow]) -> None:
        """Write a round down, or, where that has been done, see that it is the same."""
        number = row["round"]
        if self._goes_on:
            self._trace.commit_round(row, transmissions, decisions, self._resume(number))
            self._done = number
            self._files.settle()
        elif not self._committed.holds(row, transmissions, decisions):
            raise RunFailed(f"round {number}, played again, is not what its trace holds, by another version?: {AGAIN}")
        elif number < self._committed.rounds:
            self._next_round()
            return
        else:
            self._go_on()
        self._reached(row)

    def _reached(self, row: Row) -> None:
        self._last = self._checkpoint(row["round"])
        self._report(row)

    def _resume(self, number: int) -> Resume | None:
        rest = self._rest()
        if not isinstance(self._work, Replayed):
            return None if rest is None else Resume(b"", None, rest)
        plain = self._work.snapshot(self._files)
        self._files.write(number)
        noted = self._work.noted()  # which ends the round's notes, also where they are not needed
        answers = noted if rest is None else self._work.told()
        return Resume(answers, json.dumps(plain, default=Kept.place), rest)

    def _rest(self) -> str | None:
        """The world as JSON, if nothing is under way; not so often that it would count."""
        began_s = time.perf_counter()
        if began_s < self._next_rest_s:
            return None
        rest = self.resting()
        try:
            text = json.dumps(rest)
            if rest is None or json.loads(text) != rest:  # of a plug-in, perhaps: then all is played again
                return None
        except (TypeError, ValueError):
            return None
        finally:
            took_s = time.perf_counter() - began_s
            self._next_rest_s = began_s + took_s + max(REST_S, took_s / REST_SHARE)
        return text

    def _go_on(self) -> None:
        self._goes_on = True
        state = self._committed.state()
        if isinstance(self._work, Replayed) and state is not None:
            self._work.go_on()
            self._work.restore(json.loads(state), self._files)
            self._files.found()

    def _checkpoint(self, number: int) -> Checkpoint | None:
        model = self._work.model() if self._work is not None else None
        return None if model is None else Checkpoint(number, *model)

    def finish(self, **results: Any) -> None:
        """The run is over, with `results` for its manifest. Raises RunFailed where they cannot be written."""
        self._measured = getattr(self._work, "measured", dict)()
        self._keep_model()
        write_csv(self._trace.path, self.directory)
        with interrupts_ignored():
            self._end("finished", **results)
            self._over = True
        with suppress(RunFailed):  # it is finished, and `tidy` comes back to what is left of what it took
            self._trace.finish()
            self._files.remove()

    def fail(self, error: BaseException) -> None:
        """The run ended before its time; what cannot be written now is left as it was."""
        if self._over:
            return
        with suppress(RunFailed):
            if self._goes_on:
                self._keep_model()
        with suppress(RunFailed):
            write_csv(self._trace.path, self.directory)
        with suppress(RunFailed):
            if isinstance(error, KeyboardInterrupt):
                self._end("interrupted")
            else:
                self._end("failed", error=f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Close the trace; what was committed stays."""
        self._trace.close()

    def _keep_model(self) -> None:
        if self._last is not None:
            file = checkpoint.write(self.directory, self._last)
            self.manifest["checkpoint"] = {"file": file.name, "round": self._last.round, "version": self._last.version}

    def _end(self, status: str, **more: Any) -> None:
        before = self._before.get("measured", {})
        self.manifest |= {"status": status, **more, "rounds_done": self._done}
        continued = [*before.get("continued_after", []), *filter(None, [self._committed.rounds])]
        self.manifest["measured"] = {
            "wall_s": round(time.perf_counter() - self._began_s + before.get("wall_s", 0.0), 3),
            "cpu_s": round(time.process_time() - self._cpu_s + before.get("cpu_s", 0.0), 3),
            "peak_rss_mib": round(max(peak_rss_mib(), before.get("peak_rss_mib", 0.0)), 1),
            "schedule_s": round(self.spent.seconds + before.get("schedule_s", 0.0), 6),
            "decisions": self.spent.decisions + before.get("decisions", 0),
            **({"continued_after": continued} if continued else {}),
            **self._measured,
        }
        self._write_manifest()

    def _write_manifest(self) -> None:
        text = json.dumps(self.manifest, indent=2, ensure_ascii=False) + "\n"
        wholefile.write(self.directory / "manifest.json", text.encode())


def tidy(directory: Path) -> None:
    """Remove what a finished run has left of what it took to go on, if it was killed before it could."""
    file = directory / "trace.sqlite"
    if StateFiles(directory).exist or is_unfinished(file):
        with suppress(RunFailed):  # it does no harm
            trace = TraceWriter(file)
            trace.finish()
            trace.close()
            StateFiles(directory).remove()


def _manifest(cell: Cell, arm_index: int, text: str) -> dict[str, Any]:
    scenario, quality = cell.scenario, quality_of(cell.scenario)
    return {
        "format": FORMAT,
        "name": scenario.name,
        "arm": cell.arm,
        "arm_index": arm_index,
        "group": cell.group or cell.arm,
        "point": [coordinate._asdict() for coordinate in cell.point],
        "seed": cell.seed,
        "status": "running",
        "rounds": scenario.rounds,
        "targets": [] if isinstance(scenario.method, NoLearning) else list(scenario.learning.targets),
        "quality": quality._asdict() if quality is not None else None,
        "latency_budget_s": scenario.schedule.latency_budget,
        "deadline_s": getattr(scenario.protocol, "deadline_s", None),
        "clients": scenario.clients.count,
        "scenario_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "cell_sha256": content_hash(cell),
        "versions": versions(),
        "warnings": [],
    }
