"""Every command, snippet and scenario of the pages, run in order in a folder that looks like a fresh checkout.

Knows no simulator: a page is text, and what it shows has to work. ``make`` targets are only resolved (CI runs them).
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
WARM = Path(__file__).with_name("warm.py")
PAGES = (
    "README.md",
    *(
        f"docs/{name}.md"
        for name in ("scenarios", "studies", "plan", "quickstart", "air", "timelines", "radio", "architecture")
    ),
)
ALL_PAGES = (*PAGES, "CONTRIBUTING.md", "docs/tasks.md", "docs/soft-tsfa.md")  # these two show runs of many minutes
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#]+)\)")
COMMAND = re.compile(r"`(wfl-sim [^`]+)`")
LONG = 12  # words that two pages must not share in a row


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what the project ships, to run in."""
    for name in ("scenarios", "notebooks", "docs", "wfl_sim", "channels", "analysis"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("Makefile", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


class Done(NamedTuple):
    """What a command answered."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[list[str], Path], Done]]:
    """``run(command, folder)``: with what is installed here; see `warm.py`. That ``wfl-sim`` is there, others test."""
    folder = tmp_path_factory.mktemp("outputs")
    count = itertools.count()
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        [sys.executable, WARM],
        env={**os.environ, "PYTHONPATH": path, "MPLBACKEND": "Agg"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as warm:
        assert warm.stdin is not None and warm.stdout is not None
        asked, answers = warm.stdin, warm.stdout

        def one(command: list[str], where: Path) -> Done:
            outputs = [folder / f"{next(count)}.txt" for _ in range(2)]
            print(json.dumps([command, str(where), [str(output) for output in outputs]]), file=asked, flush=True)
            status = int(answers.readline())
            return Done(status, *(output.read_text(encoding="utf-8") for output in outputs))

        yield one
        asked.close()


def commands(text: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output that is shown below it."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts]


def job_commands(text: str) -> list[tuple[str, str]]:
    """Our commands of a script for a job array, as its first task would run them."""
    lines = [line for line in text.splitlines() if line.startswith("wfl-sim ")]
    assert lines
    return [(line.replace("$SLURM_ARRAY_TASK_ID", "1"), "") for line in lines]


LONG_PAGES = ("docs/studies.md", "docs/radio.md")


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.slow] * (page in LONG_PAGES)) for page in PAGES]
)
def test_everything_that_a_page_shows_works(
    page: str, checkout: Path, blocks: Callable[[Path], list[Any]], run: Callable[[list[str], Path], Done]
) -> None:
    for block in blocks(ROOT / page):
        where = f"{page}:{block.line}"
        if block.language == "yaml":
            assert block.title, f"{where}: a scenario names its file in the first line"
            (checkout / block.title).write_text(block.text)
        elif block.language == "python":
            done = run(["python", "-c", block.text], checkout)
            assert done.returncode == 0, f"{where}: {done.stderr}"
        else:
            assert block.language in ("console", "bash"), f"{where}: a block is yaml, python, console or bash"
            for command, shown in commands(block.text) if block.language == "console" else job_commands(block.text):
                if command == "wfl-sim selftest":  # its checks are tests of their own
                    continue
                if command.startswith("make "):
                    targets = command.removeprefix("make ")
                    assert re.search(rf"^{targets}:", (ROOT / "Makefile").read_text(), re.MULTILINE), (
                        f"{where}: {command}"
                    )
                    continue
                arguments = shlex.split(command)
                if arguments[:2] == ["wfl-sim", "run"]:  # the other core has tests of its own
                    arguments += ["--jobs", "1"]
                done = run(arguments, checkout)
                if shown:
                    assert done.stdout + done.stderr == shown, f"{where}: {command}"
                else:
                    assert done.returncode == 0, f"{where}: {command}: {done.stderr}"


@pytest.mark.parametrize("page", ALL_PAGES)
def test_commands_in_the_text_are_ones_that_exist(page: str) -> None:
    known = {
        "run",
        "compare",
        "tune",
        "fetch",
        "validate",
        "explain",
        "schema",
        "plot",
        "linkbudget",
        "plan",
        "export",
        "selftest",
        "--install-completion",
    }
    for command in COMMAND.findall((ROOT / page).read_text()):
        words = command.split()
        assert words[1] in known, f"{page}: {command}"


@pytest.mark.parametrize("page", ALL_PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in LINK.findall((ROOT / page).read_text()):
        assert target.startswith("https://") or ((ROOT / page).parent / target).exists(), f"{page}: {target}"


def test_no_page_repeats_another() -> None:
    seen: dict[tuple[str, ...], str] = {}
    for page in ALL_PAGES:
        text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
        words = re.findall(r"[\w.'-]+", text)
        for start in range(len(words) - LONG + 1):
            said = tuple(words[start : start + LONG])
            assert seen.setdefault(said, page) == page, f"{page} repeats {seen[said]}: {' '.join(said)}"


# The rows of the table of units: a quantity, and the units of the fields that hold it.
ROWS = {
    "frequency": ["Hz"], "time": ["s"], "length, speed": ["m", "m/s"], "power": ["W", "dBm"], "ratio": ["dB"],
    "size, rate": ["bit", "bit/s"], "work, speed of computing": ["FLOP", "FLOP/s"], "energy": ["J"],
    "pure number": ["1"],
}  # fmt: skip


def named(cell: str) -> list[str]:
    """The symbols that a cell of the table names; ``bit and B with k, M, G`` stands for those with prefixes too."""
    found: list[str] = []
    for part in cell.split("; "):
        plain, _, prefixes = re.sub(r"\([^)]*\)", "", part).partition(" with ")
        symbols = re.split(r", | and | or ", plain)
        found += [f"{prefix}{symbol.strip()}" for symbol in symbols
                  for prefix in ("", *re.findall(r"\b[KkMG]i?\b", prefixes))]  # fmt: skip
    return [symbol.split()[-1] for symbol in found]


def test_the_units_that_a_page_lists_are_those_that_are_read() -> None:
    from channels.units import QuantityError, parse, symbols

    table = (ROOT / "docs/scenarios.md").read_text().partition("## Units")[2].partition("## Overrides")[0]
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE))
    assert [row for row in rows if row != "quantity"] == list(ROWS)
    for row, units in ROWS.items():
        listed = [symbol for symbol in named(rows[row]) if not symbol.startswith("0.")]
        taken = {symbol for unit in units for symbol in symbols(unit)}
        assert set(listed) == taken, row
        for symbol in listed:
            assert [unit for unit in units if _read(f"1 {symbol}", unit)], f"{row}: {symbol}"
    for symbol in named(rows["power"]):  # in every field of a power
        assert math.isfinite(parse(f"1 {symbol}", "W")) and math.isfinite(parse(f"1 {symbol}", "dBm"))
    for written in re.findall(r"`([0-9.]+ [^`]+)`", table):
        if written == "1500 b":
            with pytest.raises(QuantityError):
                parse(written, "bit")
        else:
            assert any(_read(written, unit) for units in ROWS.values() for unit in units), written


def _read(text: str, unit: str) -> bool:
    from channels.units import QuantityError, parse

    try:
        parse(text, unit)
    except QuantityError:
        return False
    return True
