"""The live table and the plain lines: what stands in them, and that they fit the screen.

Knows cells and rows made by hand; a clock that the test turns.
"""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from wfl_sim.live import Lines, Progress, Table, duration, progress, shortened
from wfl_sim.scenario import Cell, parse

SCENARIO = """\
schema_version: 1
name: small
rounds: 10
channel: {path_loss: {kind: uma}}
clients: {count: 2, placement: {kind: disc, to: 200 m}, compute: {time: 100 ms}}
method: {kind: none, payload: 10 kbit}
"""
WIDTH, HEIGHT = 80, 24
STATES = ("finished", "skipped", "loading", "running", "waiting", "failed")


def cells(count: int, **changes: Any) -> list[Cell]:
    first = parse(SCENARIO).cells[0]
    scenario = replace(first.scenario, **changes)
    return [replace(first, arm=f"arm-{number:04}", seed=number % 7, scenario=scenario) for number in range(count)]


def row(number: int, **changes: Any) -> dict[str, Any]:
    told = {"round": number, "t_end_s": 1.5 * number, "uplink_bits": 2_000_000 * number, "delivered": 2, "dropped": 0}
    return {**told, "accuracy": None, "loss": None, **changes}


def drawn(table: Table) -> list[str]:
    """What a screen shows."""
    console = Console(file=io.StringIO(), width=WIDTH, height=HEIGHT, force_terminal=True, color_system=None)
    with console.capture() as caught:
        console.print(table)
    return [line.rstrip() for line in caught.get().splitlines()]


@pytest.mark.parametrize("count", [3, 30, 3000])
@pytest.mark.parametrize("running", [0, 2, 60])
def test_the_table_fits_the_screen_and_counts_every_run(count: int, running: int) -> None:
    plan = cells(count)
    plan[0] = replace(plan[0], arm="a" * 64)  # the longest there can be
    table = Table(plan)
    for number, cell in enumerate(plan):
        if number < count // 3:
            table.watch(cell, "skipped" if number % 2 else "finished")
        elif number < count // 3 + running:
            table.watch(cell, "running")
            if number % 2:
                table.report(cell, row(3))
    if count > 3:
        table.watch(plan[-1], "failed")
    lines = drawn(table)
    assert len(lines) < HEIGHT, "the prompt has a line"
    assert max(map(len, lines)) <= WIDTH
    assert lines[-2].startswith(f"{count} runs: ")
    assert sum(map(int, re.findall(r"(\d+) (?:finished|skipped|running|waiting|failed)", lines[-2]))) == count
    rows = lines[2:-2]
    assert len(rows) == min(count, HEIGHT - 5)
    if count > len(rows):
        assert lines[-1].endswith(f"; {count - len(rows)} runs not shown")
    shown = [next(state for state in STATES if state in line) for line in rows]
    if running == 2 and count > 3:
        assert shown.count("running") + shown.count("loading") == 2, "what runs is never left out"
        assert set(shown) == set(STATES), "nor is what failed, what ended last, and what comes next"


@pytest.mark.parametrize(
    ("name", "text"), [("short", "short"), ("a-name-of-19-letters", "a-n…letters"), ("eleven-long", "eleven-long")]
)
def test_a_long_name_keeps_its_beginning_and_its_end(name: str, text: str) -> None:
    assert shortened(name, 11) == text


def test_a_run_shows_its_round_time_bits_and_what_is_left() -> None:
    now_s = 100.0
    (cell,) = cells(1)
    table = Table([cell], clock=lambda: now_s)
    assert "waiting" in drawn(table)[2] and "-/10" in drawn(table)[2]
    table.watch(cell, "running")
    now_s = 107.0
    assert "loading 7 s" in drawn(table)[2]
    table.report(cell, row(1))
    now_s = 110.0
    table.report(cell, row(2))
    words = drawn(table)[2].split()
    assert words == ["arm-0000", "0", "running", "2/10", "2", "3.00", "4.00", "24", "s"]  # 8 rounds of 3 s
    now_s = 112.0
    assert drawn(table)[2].split()[-2:] == ["22", "s"], "it counts down between rounds"
    table.watch(cell, "finished")
    assert drawn(table)[-2:] == ["1 runs: 1 finished", "100 % of the rounds"]


def test_a_run_that_goes_on_tells_its_speed_by_the_rounds_that_it_does() -> None:
    now_s = 0.0
    (cell,) = cells(1)
    table = Table([cell], clock=lambda: now_s)
    table.watch(cell, "running")
    for number in (8, 9):
        now_s += 5.0
        table.report(cell, row(number))
    assert drawn(table)[2].split()[-2:] == ["5", "s"]


@pytest.mark.parametrize(
    ("learning", "told", "head", "shown"),
    [("{}", {"accuracy": 0.5}, "accuracy", "0.500"), ("{data: {name: 'builtin:definitions'}}", {}, "perplexity", "1")],
)
def test_what_is_learnt_is_told_by_its_own_measure(
    learning: str, told: dict[str, Any], head: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wfl_sim import live
    from wfl_sim.quality import QUALITIES

    (cell,) = cells(1)
    monkeypatch.setattr(live, "quality_of", lambda scenario: QUALITIES[head])
    table = Table([cell])
    table.report(cell, row(1, **{"accuracy": 0.5, "loss": 0.0, **told}))
    assert head in drawn(table)[0].split()
    assert shown in drawn(table)[2].split()


def test_lines_tell_rounds_and_what_becomes_of_runs() -> None:
    said: list[str] = []
    (cell,) = cells(1)
    lines = Lines([cell], said.append)
    lines.watch(cell, "running")
    lines.report(cell, row(3))
    lines.watch(cell, "finished")
    assert said == ["arm-0000 seed 0: round   3/10     4.50 s     6.00 Mbit up  2 delivered, 0 dropped"]
    lines.watch(cell, "skipped")
    lines.watch(cell, "failed")
    assert said[1:] == [f"1 of {lines.cells} runs is finished already", "arm-0000 seed 0: failed"]
    Lines([cell], said.append, loading=True).watch(cell, "running")
    assert said[3:] == ["arm-0000 seed 0: loading"]
    assert lines.skipped == 1


def test_off_a_terminal_there_are_lines_and_quiet_says_nothing() -> None:
    stream = io.StringIO()
    with progress(cells(1), quiet=False, lines=False, stream=stream) as shown:
        assert isinstance(shown, Lines)
    with progress(cells(1), quiet=True, lines=True, stream=stream) as shown:
        assert type(shown) is Progress
        shown.report(cells(1)[0], row(1))
        shown.watch(cells(1)[0], "running")
    assert stream.getvalue() == ""


def test_the_last_look_at_the_table_says_what_was_interrupted() -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    plan, screen = cells(3), Screen()

    def stopped() -> None:
        with progress(plan, quiet=False, lines=False, stream=screen) as table:
            table.watch(plan[0], "finished")
            table.watch(plan[1], "running")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert "1 finished, 1 waiting, 1 interrupted" in screen.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1:00"), (200, "3:20"), (7400, "2:03:20")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text
