"""What the shell is offered, asked as bash, zsh and fish ask: through the script's own protocol.

Knows the words of a command line; nothing is run.
"""

from __future__ import annotations

import os
import select
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wfl_sim import completion, keys, shelf
from wfl_sim.resolve import SHARED
from wfl_sim.scenario import load
from wfl_sim.schedules import SCHEDULES

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = Path(sys.executable).with_name("wfl-sim")
PATHS = list(keys.paths())


class Line:
    """What a callback sees of a line that was typed so far."""

    def __init__(self, scenario: str, *overrides: str) -> None:
        self.params = {"scenario": scenario, "overrides": list(overrides)}


def offered(incomplete: str, *before: str, scenario: str = "scenarios/quickstart.yaml") -> list[str]:
    return completion.overrides(Line(scenario, *before), incomplete)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(("shell", "join"), [("bash", " "), ("zsh", " "), ("fish", " ")])
def test_each_shell_is_answered(shell: str, join: str) -> None:
    words = ["wfl-sim", "validate", "quickstart", "radio.uplink.b"]
    variables = {
        "_WFL_SIM_COMPLETE": f"complete_{shell}", "COMP_WORDS": join.join(words), "COMP_CWORD": "3",
        "_TYPER_COMPLETE_ARGS": join.join(words), "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }  # fmt: skip
    done = subprocess.run(
        [SCRIPT], env={**os.environ, **variables}, capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert "radio.uplink.bandwidth=" in done.stdout
    assert done.stderr == ""


def test_scenarios_by_name_and_by_file() -> None:
    assert completion.scenarios("quick") == ["quickstart"]
    assert "scenarios/quickstart.yaml" in completion.scenarios("scenarios/q")
    assert "scenarios/" in completion.scenarios("scen")
    assert completion.scenarios("no/such/folder/") == []


def test_keys_grow_part_by_part() -> None:
    assert {"radio.", "rounds=", "arms.", "method."} <= set(offered(""))
    assert "radio.uplink.access=" in offered("radio.up"), "no blank would follow a single word"
    assert set(offered("radio.uplink.bandwidth")) == {"radio.uplink.bandwidth=", "radio.uplink.bandwidth='2 MHz'"}
    assert offered("nothing") == []


def test_options_are_those_of_the_kind_that_was_chosen() -> None:
    assert "channel.path_loss.exponent=" not in offered("channel.path_loss.")
    assert "channel.path_loss.line_of_sight=" in offered("channel.path_loss.")
    before = "channel.path_loss.kind=log_distance"
    assert "channel.path_loss.exponent=" in offered("channel.path_loss.", before)
    assert "channel.path_loss.line_of_sight=" not in offered("channel.path_loss.", before)
    in_bash = ("rounds", "=", "3", "channel.path_loss.kind", "=", "log_distance")
    assert "channel.path_loss.exponent=" in offered("channel.path_loss.", *in_bash)
    assert "channel.path_loss.exponent=" in offered("channel.path_loss.", scenario=""), "none is chosen: of every kind"
    assert "schedule.latency_budget=" in offered("schedule."), "an arm can take it"
    assert "arms.soft-tsfa.schedule.latency_budget=" in offered("arms.soft-tsfa.schedule.")
    assert "arms.dense-equal.schedule.latency_budget=" not in offered("arms.dense-equal.schedule.")
    chosen = "arms.dense-equal.schedule.kind=tsfa"
    assert "arms.dense-equal.schedule.latency_budget=" in offered("arms.dense-equal.schedule.", chosen)
    assert offered("channel.path_loss.exponent=") == []


def test_kinds_and_words_are_offered_as_values() -> None:
    assert offered("schedule.kind=") == [f"schedule.kind={kind}" for kind in SCHEDULES]
    assert offered("schedule.kind=m") == ["schedule.kind=min_max", "schedule.kind=max_rate"]
    assert offered("schedule.kind=t") == ["schedule.kind=tsfa"]
    assert offered("schedule.csi=bl") == ["schedule.csi=block"]
    assert offered("radio.uplink.work_conserving=") == [
        "radio.uplink.work_conserving=true", "radio.uplink.work_conserving=false"
    ]  # fmt: skip


def test_bash_takes_the_equals_sign_for_a_word() -> None:
    assert offered("", "schedule.kind") == list(SCHEDULES)
    assert offered("ts", "schedule.kind", "=") == ["tsfa"]


def test_what_bash_would_split_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_WFL_SIM_COMPLETE", "complete_bash")
    assert offered("radio.uplink.bandwidth") == ["radio.uplink.bandwidth=", "radio.uplink.bandwidth='2 MHz'"]
    assert offered("radio.uplink.bandwidth=") == ["radio.uplink.bandwidth='2 MHz'"]
    assert offered("", "radio.uplink.bandwidth") == ["'2 MHz'"], "typer leaves the = out"
    assert offered("2", "radio.uplink.bandwidth", "=") == [r"2\ MHz"]
    assert offered("2 M", "radio.uplink.bandwidth", "=") == ["2 MHz"], "inside quotes"
    assert offered("", "learning.targets") == ["'[0.5]'"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_nothing_is_quoted_for_a_shell_that_does_it_itself(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_WFL_SIM_COMPLETE", f"complete_{shell}")
    for typed in ("", "2", "2 M"):
        assert offered(f"radio.uplink.bandwidth={typed}") == ["radio.uplink.bandwidth=2 MHz"]


def test_bash_reads_every_value_that_is_offered_as_one_word() -> None:
    line = shlex.split(" ".join(found for path, _ in PATHS for found in offered(f"{'.'.join(path)}=", scenario="")))
    assert set(line) >= {f"{'.'.join(path)}={key.example_value()}" for path, key in PATHS if key.items is not None}
    assert {word.partition("=")[0] for word in line} <= {".".join(path) for path, _ in PATHS}


@pytest.mark.parametrize(
    ("typed", "word"),
    [("radio.uplink.bandwidth=", "radio.uplink.bandwidth=2 MHz"),
     ("radio.uplink.bandwidth=2", "radio.uplink.bandwidth=2 MHz"),
     ("radio.uplink.bandwidth='2 M", "radio.uplink.bandwidth=2 MHz"),
     ("channel.path_loss.kind=log_distance channel.path_loss.exp", "channel.path_loss.exponent=")],
)  # fmt: skip
def test_a_real_bash_inserts_what_runs(typed: str, word: str, tmp_path: Path) -> None:
    script = subprocess.run(
        [SCRIPT], env={**os.environ, "_WFL_SIM_COMPLETE": "source_bash"}, capture_output=True, text=True, check=True
    ).stdout
    (tmp_path / "rc").write_text(f"PS1='> '\nbind 'set enable-bracketed-paste off'\n{script}\necho ready\n")
    terminal, theirs = os.openpty()
    environment = {**os.environ, "PATH": f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}", "TERM": "dumb"}
    shell = subprocess.Popen(
        ["bash", "--noprofile", "--rcfile", tmp_path / "rc", "-i"], stdin=theirs, stdout=theirs, stderr=theirs,
        env=environment, start_new_session=True, cwd=ROOT,
    )  # fmt: skip
    os.close(theirs)
    try:
        said = _until(terminal, "ready")
        # Tab inserts; then the line is turned into one that writes its words, one a line, into a file.
        os.write(terminal, f"wfl-sim validate quickstart {typed}\t".encode())
        os.write(terminal, f"\x01printf '%s\\n' \x05 > {tmp_path / 'words'}; echo do''ne\n".encode())
        said += _until(terminal, "done")
    finally:
        shell.kill()
        shell.wait()
        os.close(terminal)
    assert (tmp_path / "words").read_text().splitlines()[-1] == word, said


def _until(terminal: int, word: str, seconds: float = 30.0) -> str:
    """What the terminal shows until it has shown `word`."""
    said, end = "", time.monotonic() + seconds
    while word not in said:
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"no {word!r} within {seconds:g} s: {said!r}"
        said += os.read(terminal, 4096).decode()
    return said


def test_nothing_is_raised_into_the_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text("arms: [1]\nchannel: 3\nmethod: {kind: [1]}\n")
    assert "rounds=" in offered("", scenario=str(tmp_path / "odd.yaml"))
    assert "method.kind=" in offered("method.", scenario=str(tmp_path / "odd.yaml"))
    assert "rounds=" in offered("", "==", "a.b=[", "", "=", "arms.=", "channel=3")

    def broken(*_: object) -> None:
        raise RuntimeError("as a plug-in may, when it is imported")

    monkeypatch.setattr(shelf, "scenarios", broken)
    monkeypatch.setattr(keys, "paths", broken)
    monkeypatch.setattr(keys, "root", broken)
    assert completion.scenarios("") == []
    assert offered("radio.") == []
    assert completion.names("") == []


def test_arms_with_dots_in_their_names(tmp_path: Path) -> None:
    file = tmp_path / "dots.yaml"
    quickstart = (ROOT / "scenarios" / "quickstart.yaml").read_text().partition("arms:")[0]
    file.write_text(f"{quickstart}arms: {{v1: {{}}, v1.5: {{schedule: {{kind: min_max}}}}}}\n")
    assert offered("arms.", scenario=str(file)) == ["arms.v1.", "arms.v1.5."]
    assert {"arms.v1.5.", "arms.v1.rounds="} <= set(offered("arms.v1.", scenario=str(file)))
    assert "arms.v1.5.rounds=" in offered("arms.v1.5.", scenario=str(file))
    assert offered("arms.v1.5.rou", scenario=str(file)) == ["arms.v1.5.rounds=", "arms.v1.5.rounds=1"]
    assert offered("arms.v1.5.schedule.kind=t", scenario=str(file)) == ["arms.v1.5.schedule.kind=tsfa"]
    (_, chosen) = load(file, ["arms.v1.5.rounds=3"]).cells
    assert (chosen.arm, chosen.scenario.rounds) == ("v1.5", 3)


def test_arms_are_not_offered_what_all_arms_share() -> None:
    found = offered("arms.soft-tsfa.")
    assert [word for word in found if word.removeprefix("arms.soft-tsfa.").rstrip("=.") in SHARED] == []
    assert {f"{name}=" for name in SHARED} <= set(offered(""))


def test_arms_come_from_the_scenario() -> None:
    assert "arms.soft-tsfa." in offered("arms.")
    assert "arms.soft-tsfa.method." in offered("arms.soft-tsfa.")
    assert offered("arms.soft-tsfa.schedule.kind=mi") == ["arms.soft-tsfa.schedule.kind=min_max"]
    assert offered("arms.", scenario="no such file") == []


def test_cards_are_offered_by_name() -> None:
    assert completion.names("ray") == ["rayleigh"]
    assert "radio.uplink.bandwidth" in completion.names("radio.uplink.")
    assert "tsfa" in completion.names("")


def test_behind_a_comma_one_more_value_of_an_axis_is_offered() -> None:
    offers = offered("channel.fading.kind=none,r")
    assert offers == ["channel.fading.kind=none,rayleigh", "channel.fading.kind=none,rician"]
    assert "channel.fading.kind=none,none" not in offered("channel.fading.kind=none,")
    assert offered("seeds=") == ["seeds=1..5"]


def test_items_of_a_list_are_offered_by_their_numbers() -> None:
    mixed = "scenarios/seeds/mixed_backbones.yaml"
    assert {"learning.groups=", "learning.groups."} <= set(offered("learning.g", scenario=mixed))
    assert offered("learning.groups.", scenario=mixed) == [f"learning.groups.{n}." for n in range(3)]
    assert "learning.groups.2.rank=" in offered("learning.groups.2.", scenario=mixed)
    assert "learning.groups." not in offered("learning.g")  # where the list has none
