"""Repeats a study of docs/: runs its parts, then makes its tables and pictures.

Knows how parts are run, continued, and noted; does not know which questions there are, nor how an answer looks.

The same command again skips what is finished and goes on with the rest. ``--tables-only`` runs nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

if TYPE_CHECKING:
    from wfl_sim.scenario import Study

THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
"""As the Makefile has it: two threads change the last bits."""
SIZES = ("smoke", "core", "full")
SEEDS, MORE_SEEDS = "1..3", "1..5"
SMOKE = ("learning.model.layers=1", "learning.data.train=400", "learning.data.test=100", "rounds=2", "seeds=1")
NOTES_FILE = "evidence.json"
INTERRUPTED = 130


@dataclass(frozen=True)
class Part:
    """One study: a scenario, what it is for, and which of its arms run in which size; no arms are all of them.

    `matched` says of arms whose mean update they are to send at. Stage 1 is asked about `plan_arm`, in each of
    the ways of `plan_by`. `smoke_arms` and `smoke` make the size smoke smaller. `title` is what tables call it;
    arms whose updates are larger than `limit_kbit` are there for reference.
    """

    name: str
    question: str
    scenario: str
    arms: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ("full",)
    seeds: str = SEEDS
    title: str = ""
    limit_kbit: float = math.inf
    matched: Mapping[str, str] = field(default_factory=dict)
    plan_arm: str = ""
    plan_by: tuple[str, ...] = ()
    smoke_arms: tuple[str, ...] = ()
    smoke: tuple[str, ...] = ()

    def settings(self, size: str) -> tuple[str, ...]:
        """The overrides of all its runs."""
        named = (f"name={self.name}",) if self.name != self.scenario else ()
        seeds = self.seeds if size == "full" else SEEDS
        return (*named, *self.overrides, *((*SMOKE, *self.smoke) if size == "smoke" else (f"seeds={seeds}",)))

    def chosen(self, size: str) -> tuple[str, ...]:
        """The arms that run; none are all."""
        return self.smoke_arms if size == "smoke" and self.smoke_arms else self.arms


@dataclass(frozen=True)
class Job:
    """Where results go, how many runs go side by side, and whether only to say what would be run."""

    output: Path
    size: str
    jobs: int
    dry: bool = False


Write = Callable[[Sequence[Part], Path, Path], Iterable[str]]


def main(page: str, parts: Sequence[Part], write: Write, arguments: Sequence[str] | None = None) -> int:
    """The command line of the study behind docs/`page`.md, of these parts; `write` makes its tables of what has run."""
    asked = _arguments(page).parse_args(arguments)
    # A folder a size: arms that are matched send the mean over its seeds, and would be other runs in another size.
    output = asked.output if asked.size == "full" else asked.output / asked.size
    job = Job(output, asked.size, asked.jobs, asked.dry_run)
    chosen = [part for part in parts if asked.size in part.sizes and (not asked.part or part.name in asked.part)]
    failed = []
    for part in () if asked.tables_only else chosen:
        begun = time.monotonic()
        print(f"== {part.name}", flush=True)
        code = run(part, job)
        print(f"== {part.name}: {(time.monotonic() - begun) / 60:.1f} min", flush=True)
        if code == INTERRUPTED:
            return code
        if code:
            failed.append(part.name)
    if not asked.dry_run:
        tables = asked.tables or (output / "tables" if asked.size == "smoke" else HERE / page)
        for line in write(parts, output, tables):
            print(line)
    if failed:
        print(f"error: not all of it could be run: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _arguments(page: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=f"Repeat the study behind docs/{page}.md.")
    parser.add_argument("--size", choices=SIZES, default="core", help="how much of it (core)")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side (2)")
    parser.add_argument("--output", type=Path, default=Path("runs") / page, help="folder of the runs")
    parser.add_argument("--tables", type=Path, help=f"folder of tables and pictures (docs/{page}; smoke: in output)")
    parser.add_argument("--part", action="append", help="only this part, may be repeated")
    parser.add_argument("--tables-only", action="store_true", help="make tables of what is there, run nothing")
    parser.add_argument("--dry-run", action="store_true", help="say what would be run and how long it takes")
    return parser


def run(part: Part, job: Job) -> int:
    """Run a part, or what is left of it; the exit code of the first command that fails.

    Arms that send as many bits as others come after these.
    """
    arms = part.chosen(job.size)
    later = tuple(arm for arm in arms if arm in part.matched)
    first = tuple(arm for arm in arms if arm not in later)
    code = _wfl_sim(part, job, command(part, job, first))
    if code == 0 and later:
        settings = [] if job.dry else [one for own in payloads(part, job, later).items() for one in matching(*own)]
        code = _wfl_sim(part, job, command(part, job, later, settings))
    if code == 0 and part.plan_by and not job.dry:
        code = plan(part, job)
    return code


def command(part: Part, job: Job, arms: Sequence[str], settings: Sequence[str] = ()) -> list[str]:
    """The arguments of ``wfl-sim`` that run these arms."""
    named = [word for arm in arms for word in ("--arm", arm)]
    more = ["--dry-run"] if job.dry else ["--no-plots", "--jobs", str(job.jobs)]
    scenario = f"scenarios/{part.scenario}.yaml"
    return ["run", scenario, *part.settings(job.size), *settings, *named, "--output", str(job.output), *more]


def matching(arm: str, bits: float) -> tuple[str, str]:
    """The settings by which an arm sends updates of so many bits."""
    return f"arms.{arm}.schedule.kept_fraction=1", f"arms.{arm}.schedule.payload={bits:.0f} bit"


def payloads(part: Part, job: Job, arms: Sequence[str]) -> dict[str, int]:
    """Of each arm the point of its menu that is nearest to the mean update of the one that it is matched with, in bits.

    That mean is over the updates that were delivered within the time that all of these others reach, and over seeds.
    """
    from analysis import load
    from analysis.evidence import BITS_PER_KBIT, by_arm, equal_time_s, runs
    from wfl_sim.updatesizes import sizes

    traces = load(job.output / part.name, ("transmissions",))
    # Without the arms that are to be run: they are there if this is called again, and would move the time.
    had = by_arm(runs(traces, equal_time_s(traces, part.matched)), "update_kbit")
    cells = {cell.group or cell.arm: cell for cell in resolved(part, job).cells}
    menus = {arm: sizes(cells[arm].scenario)[0] for arm in arms}
    wanted = {arm: BITS_PER_KBIT * had[part.matched[arm]].mean for arm in arms}
    return {arm: min((point.bits for point in menus[arm].points), key=lambda bits: abs(bits - wanted[arm]))
            for arm in arms}  # fmt: skip


def resolved(part: Part, job: Job, settings: Sequence[str] = ()) -> Study:
    """The scenario of a part with its settings."""
    from wfl_sim.scenario import load

    return load(ROOT / "scenarios" / f"{part.scenario}.yaml", [*part.settings(job.size), *settings])


def plan(part: Part, job: Job) -> int:
    """Ask stage 1 for its rank, with each seed and in each way, among the ranks that were swept."""
    from analysis import load

    traces = load(job.output / part.name, ())
    ranks = sorted({int(rank) for rank in traces.rounds["rank"]})
    for by in part.plan_by if job.size == "full" else part.plan_by[:1]:
        judged = ["learning.data.validation=1000"] if by == "pilot" else []
        for seed in traces.seeds(traces.arms[0]):
            settings = ["grid={}", f"seeds={seed}", f"rank_selection.candidates={ranks}", *judged]
            target = job.output / part.name / plan_name(part, job, by, seed, settings)
            if target.exists():
                continue
            words = ["plan", f"scenarios/{part.scenario}.yaml", *part.settings(job.size), *settings]
            words += ["--arm", part.plan_arm, "--by", by]
            words += ["--format", "json", "--no-plots", "--output", str(job.output)]
            noted(job.output / part.name, job.size, words, commit_now())
            done = _called(words, capture=True)
            if done.returncode:
                print(done.stdout, file=sys.stderr)
                return done.returncode
            keep_plan(target, done.stdout)
    return 0


def plan_name(part: Part, job: Job, by: str, seed: int, settings: Sequence[str]) -> str:
    """The file of a plan, by which one of other ranks or settings is not taken for it."""
    from wfl_sim.rundirectory import content_hash
    from wfl_sim.stage1.arms import chosen_cell

    cell = chosen_cell(resolved(part, job, settings), part.plan_arm)
    return f"plan-{by}-seed{seed}-{content_hash(cell)[:8]}.json"


def keep_plan(target: Path, text: str) -> None:
    """Write a plan, whole or not at all, in the place of what was planned with that seed before."""
    partial = target.with_name(f"{target.name}.partial")
    partial.write_text(text, encoding="utf-8")
    older = target.stem.rpartition("-")[0]
    for file in (*target.parent.glob(f"{older}-*.json"), target.parent / f"{older}.json"):
        file.unlink(missing_ok=True)
    os.replace(partial, target)


def _wfl_sim(part: Part, job: Job, words: list[str]) -> int:
    """Run a command, and note it and the commit beside the runs."""
    folder = job.output / part.name
    if job.dry:
        return _called(words).returncode
    before, commit = _finished(folder), commit_now()
    known = noted(folder, job.size, words, commit)
    code = _called(words).returncode
    if _finished(folder) == before and not known and folder.is_dir():  # all was there already: made by another commit
        notes = _notes(folder)
        notes["commits"].remove(commit)
        _write_notes(folder, notes)
    return code


def noted(folder: Path, size: str, words: Sequence[str], commit: str) -> bool:
    """Note a command, before it is run since it may be killed; says whether its commit had been noted before."""
    # Without what differs from one computer to the next.
    shown = words[: words.index("--output")]
    said = f"wfl-sim {shlex.join(shown)}"
    notes = _notes(folder)
    known = commit in notes["commits"]
    for name, value in (("sizes", size), ("commands", said), ("commits", commit)):
        if value not in notes[name]:
            notes[name].append(value)
    _write_notes(folder, notes)
    return known


def _notes(folder: Path) -> dict[str, list[str]]:
    file = folder / NOTES_FILE
    empty: dict[str, list[str]] = {"sizes": [], "commits": [], "commands": []}
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else empty


def _write_notes(folder: Path, notes: Mapping[str, Sequence[str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NOTES_FILE).write_text(json.dumps(notes, indent=1) + "\n", encoding="utf-8")


def _called(words: Sequence[str], capture: bool = False) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    whole = [sys.executable, "-m", "wfl_sim.cli", *words]
    # Results are named from where this was called, scenarios from the root.
    placed = [str(ROOT / word) if word.startswith("scenarios/") else word for word in whole]
    environment = {"HF_HUB_OFFLINE": "1"} | os.environ | THREADS | {"PYTHONPATH": paths}
    with subprocess.Popen(placed, env=environment, stdout=subprocess.PIPE if capture else None, text=True) as process:
        try:
            said, _ = process.communicate()
        except KeyboardInterrupt:  # which the command has got as well: it says how far it came
            process.wait()
            return subprocess.CompletedProcess(placed, INTERRUPTED, "")
        return subprocess.CompletedProcess(placed, process.returncode, said or "")


def _finished(folder: Path) -> int:
    """How many runs of a study have finished."""
    manifests = [file.read_text(encoding="utf-8") for file in folder.glob("*/manifest.json")]
    return sum(json.loads(text).get("status") == "finished" for text in manifests)


def commit_now() -> str:
    """The commit of this tree, ``-dirty`` if more has changed since than what this writes; "unknown" outside of git."""
    changed = ["status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/*/*", ":!docs/*.md"]
    commit = _git("rev-parse", "--short", "HEAD")
    return commit + ("-dirty" if commit and _git(*changed) else "") or "unknown"


def _git(*words: str) -> str:
    try:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""
