"""How the cells of a study are coming on: one live table on a terminal, plain lines elsewhere.

Knows cells, rounds and the size of a screen; neither processes nor directories.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wfl_sim.quality import Quality, quality_of
from wfl_sim.trace import Row

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from wfl_sim.scenario import Cell
    from wfl_sim.study import Event

REFRESHES_HZ = 4
RESERVED_ROWS = 5  # of the screen: head and rule of the table, two of totals, and the prompt that is to come
GAP, LEAST_NAME = 2, 8  # characters between two columns, and those that a name keeps whatever happens
FAILED, RUNNING, WAITING, DONE = range(4)  # what is worth a row, the most worth first


class Progress:
    """Counts what becomes of cells, and says nothing; what says something is derived from it."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells = len(cells)
        self.skipped = 0

    def report(self, cell: Cell, row: Row) -> None:
        """A round is done."""

    def watch(self, cell: Cell, event: Event) -> None:
        """A cell is skipped, begins, or ends."""
        self.skipped += event == "skipped"


class Lines(Progress):
    """A line a round, one for each cell that fails, and one for all that are skipped; with `loading` also for each that
    begins."""

    def __init__(self, cells: Sequence[Cell], say: Callable[[str], None], loading: bool = False) -> None:
        super().__init__(cells)
        self._say, self._loading, self._told = say, loading, False

    def report(self, cell: Cell, row: Row) -> None:
        quality = quality_of(cell.scenario)
        value = quality.of(row) if quality is not None else None
        if quality is None or value is None:  # nothing was learnt
            what = f"{row['delivered']} delivered, {row['dropped']} dropped"
        else:
            what = quality.shown(value) + ("" if row["delivered"] else ", no update came")
        what += f", {row['late']} late" if row.get("late") else ""
        self._say(
            f"{cell.arm} seed {cell.seed}: round {row['round']:>3}/{cell.scenario.rounds}  {row['t_end_s']:7.2f} s  "
            f"{row['uplink_bits'] / 1e6:7.2f} Mbit up  {what}"
        )

    def watch(self, cell: Cell, event: Event) -> None:
        super().watch(cell, event)
        if event != "skipped" and self.skipped and not self._told:
            self._say(f"{self.skipped} of {self.cells} runs {'is' if self.skipped == 1 else 'are'} finished already")
            self._told = True
        if event == "failed":
            self._say(f"{cell.arm} seed {cell.seed}: failed")
        elif event == "running" and self._loading:
            self._say(f"{cell.arm} seed {cell.seed}: loading")


_RANKS = {"failed": FAILED, "interrupted": FAILED, "loading": RUNNING, "running": RUNNING, "waiting": WAITING}


@dataclass
class _Line:
    """One cell of the table."""

    arm: str
    seed: int
    rounds: int
    quality: Quality | None
    state: str = "waiting"
    row: Row | None = None
    began_s: float = 0.0  # when it began, on the wall's clock
    reported_s: float = 0.0  # when its last round was reported
    first: tuple[int, float] | None = None  # the first round that was reported, and when
    changed: int = 0  # the higher, the later

    @property
    def done(self) -> int:
        """Rounds that need not be waited for any more; of a run that ended early, all of them."""
        if self.state in ("finished", "skipped", "failed"):
            return self.rounds
        return int(self.row["round"]) if self.row is not None else 0

    @property
    def rank(self) -> int:
        return _RANKS.get(self.state, DONE)

    @property
    def round_s(self) -> float | None:
        """What a round takes, once two were reported; the time before the first one is that of loading."""
        if self.row is None or self.first is None or self.row["round"] == self.first[0]:
            return None
        return (self.reported_s - self.first[1]) / (int(self.row["round"]) - self.first[0])

    def left_s(self, now_s: float) -> float | None:
        """What remains of a cell that is running."""
        if self.state != "running" or self.round_s is None:
            return None
        return max(0.0, (self.rounds - self.done) * self.round_s - (now_s - self.reported_s))


class Table(Progress):
    """All cells in one table that fits the screen, drawn anew by rich: those that matter now, and the others counted.

    Parameters
    ----------
    cells : sequence of Cell
    clock : callable
        Seconds on the wall.
    """

    def __init__(self, cells: Sequence[Cell], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(cells)
        self._clock, self._lock, self._changes = clock, threading.Lock(), 0
        self._lines = {
            (cell.arm, cell.seed): _Line(cell.arm, cell.seed, cell.scenario.rounds, quality_of(cell.scenario))
            for cell in cells
        }
        metrics = {line.quality.metric for line in self._lines.values() if line.quality is not None}
        self._measure = " or ".join(sorted(metrics)) or "delivered"

    def report(self, cell: Cell, row: Row) -> None:
        with self._lock:
            line, now_s = self._lines[cell.arm, cell.seed], self._clock()
            line.row, line.state, line.reported_s = row, "running", now_s
            line.first = line.first or (int(row["round"]), now_s)

    def watch(self, cell: Cell, event: Event) -> None:
        super().watch(cell, event)
        with self._lock:
            line = self._lines[cell.arm, cell.seed]
            self._changes += 1
            line.state, line.changed = "loading" if event == "running" else event, self._changes
            if event == "running":
                line.began_s, line.first = self._clock(), None

    def interrupted(self) -> None:
        """What was running has been stopped."""
        with self._lock:
            for line in self._lines.values():
                if line.rank == RUNNING:
                    line.state = "interrupted"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        with self._lock:
            lines, now_s = list(self._lines.values()), self._clock()
            shown, hidden = self._choose(lines, max(1, (options.height or console.height) - RESERVED_ROWS))
            heads = ("seed", "state", "round", self._measure, "time, s", "up, Mbit", "left")
            cells = [self._cells(line, now_s) for line in shown]
            widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
            longest = max(LEAST_NAME, options.max_width - sum(widths) - GAP * len(widths))
            table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
            table.add_column("arm", no_wrap=True)
            for head in heads:
                table.add_column(head, justify="left" if head == "state" else "right", no_wrap=True)
            for line, own in zip(shown, cells, strict=True):
                table.add_row(shortened(line.arm, longest), *own, style=_STYLES.get(line.state))
            totals = self._totals(lines, hidden)
        yield table
        yield from (Text(text, no_wrap=True, overflow="ellipsis") for text in totals)

    def _choose(self, lines: Sequence[_Line], most: int) -> tuple[list[_Line], int]:
        """So many lines in the order of the study, and how many are left out.

        What failed or runs comes first, then the next that waits and the last that ended by turns.
        """
        if len(lines) <= most:
            return list(lines), 0
        busy = [line for line in lines if line.rank in (RUNNING, FAILED)]
        busy.sort(key=lambda line: (line.state == "failed", -line.changed))  # what runs is never left out for the rest
        ended = sorted((line for line in lines if line.rank == DONE), key=lambda line: -line.changed)
        waiting = [line for line in lines if line.rank == WAITING]
        free = max(0, most - len(busy))
        of_ended = min(len(ended), max(free // 2, free - len(waiting)))
        chosen = busy[:most] + ended[:of_ended] + waiting[: free - of_ended]
        ids = {id(line) for line in chosen}
        return [line for line in lines if id(line) in ids], len(lines) - len(chosen)

    def _cells(self, line: _Line, now_s: float) -> tuple[str, ...]:
        seed, rounds = str(line.seed), str(line.rounds)
        row, state = line.row, line.state
        if state == "loading":
            state = f"loading {now_s - line.began_s:.0f} s"
        if row is None:
            return seed, state, f"-/{rounds}", "", "", "", ""
        value = line.quality.of(row) if line.quality is not None else None
        if line.quality is None or value is None:
            what = str(row["delivered"])
        else:
            what = line.quality.shown(value).removeprefix(line.quality.metric).strip()
        left_s = line.left_s(now_s)
        return (
            seed,
            state,
            f"{row['round']}/{rounds}",
            what,
            f"{row['t_end_s']:.2f}",
            f"{row['uplink_bits'] / 1e6:.2f}",
            "" if left_s is None else duration(left_s),
        )

    def _totals(self, lines: Sequence[_Line], hidden: int) -> tuple[str, str]:
        states = Counter("running" if line.state == "loading" else line.state for line in lines)
        done, rounds = sum(line.done for line in lines), sum(line.rounds for line in lines)
        known = [line.round_s for line in lines if line.round_s is not None]
        told = f"{100 * done // rounds} % of the rounds"
        if known and states["running"]:
            told += f", {duration(sum(known) / len(known) * (rounds - done) / states['running'])} left"
        order = ("finished", "skipped", "running", "waiting", "interrupted", "failed")
        counts = ", ".join(f"{states[state]} {state}" for state in order if states[state])
        return f"{len(lines)} runs: {counts}", told + (f"; {hidden} runs not shown" if hidden else "")


_STYLES = {"failed": "bold red", "loading": "bold", "running": "bold"}


def duration(seconds: float) -> str:
    """``42 s``, ``3:20`` or ``2:03:20``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def shortened(name: str, most: int) -> str:
    """A name in so many characters: its beginning and its end, where points of a grid differ."""
    if len(name) <= most:
        return name
    first = (most - 1) // 3
    return f"{name[:first]}\N{HORIZONTAL ELLIPSIS}{name[first + 1 - most :]}"


@contextmanager
def progress(cells: Sequence[Cell], *, quiet: bool, lines: bool, stream: Any = None) -> Iterator[Progress]:
    """What shows how cells are coming on: nothing if `quiet`, plain `lines`, or the table if `stream` is a terminal."""
    stream = stream or sys.stderr
    if quiet:
        yield Progress(cells)
    elif lines or not stream.isatty():
        yield Lines(cells, lambda line: print(line, file=stream, flush=True), loading=lines)
    else:
        from rich.console import Console
        from rich.live import Live

        table = Table(cells)
        with Live(table, console=Console(file=stream), refresh_per_second=REFRESHES_HZ, redirect_stdout=False):
            try:
                yield table
            except KeyboardInterrupt:
                table.interrupted()
                raise
