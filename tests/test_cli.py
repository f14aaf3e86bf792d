"""The command line: through its console script where the process matters, through its entry function elsewhere.

Knows exit codes and texts; nothing here runs a simulation.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

import wfl_sim
from wfl_sim import cards, cli
from wfl_sim.scenario import load, parse

ROOT = Path(__file__).resolve().parents[1]
QUICKSTART = "scenarios/quickstart.yaml"
ARMS = ["head-only", "dense-equal", "dense-min-max", "soft-tsfa", "topk-tsfa"]
# The console script that the install has put beside the interpreter.
SCRIPT = Path(sys.executable).with_name("wfl-sim")

Answer = tuple[int, str, str]
Call = Callable[..., Answer]


@pytest.fixture
def script() -> Call:
    """Call the console script in a process of its own; gives exit code, stdout, stderr."""

    def caller(*arguments: str) -> Answer:
        done = subprocess.run([SCRIPT, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert "Traceback" not in done.stdout + done.stderr
        return done.returncode, done.stdout, done.stderr

    return caller


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the function behind the console script in this process."""
    monkeypatch.chdir(ROOT)

    def caller(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["wfl-sim", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return int(ended.value.code or 0), out, err

    return caller


# Through the console script


def test_version(script: Call) -> None:
    assert script("--version") == (0, f"wfl-sim {wfl_sim.__version__}\n", "")


def test_validate_the_quickstart(script: Call) -> None:
    code, out, err = script("validate", QUICKSTART, "seeds=[1, 2]", "rounds=7")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0] == f"{QUICKSTART}: valid"
    assert re.fullmatch(r"estimate: about \d.* for 10 runs, \d+ process(es)? of \d+ MiB", lines[2])
    assert [line.split()[0] for line in lines[5:10]] == ARMS
    assert {line.split()[1] for line in lines[5:10]} == {"7"}
    assert lines[12].split()[-1] == "binds"
    assert {line.split()[-1] for line in lines[13:23]} == {"air", "compute"}


def test_a_wrong_scenario_ends_with_2_and_says_where(script: Call) -> None:
    code, out, err = script("validate", QUICKSTART, "radio.carrier=3.5", "method.rank=0", "roundz=1")
    assert (code, out) == (2, "")
    assert [line for line in err.splitlines() if not line.startswith(" ")] == [
        "command line: radio.carrier=3.5: radio.carrier: needs a unit; got the bare number 3.5",
        "command line: method.rank=0: method.rank: must be at least 1; got 0",
        "command line: roundz=1: roundz: unknown key; did you mean 'rounds'?",
        "3 problems",
    ]
    assert err.splitlines()[1:5] == [
        "    radio.carrier=3.5",
        "                  ^^^",
        "    rule: a frequency in Hz, kHz, MHz or GHz, above 0 Hz - Carrier frequency of both directions. Higher: more",
        "      path loss, and faster fading at the same speed.",
    ]


def test_a_rank_above_the_layer_ends_with_2_before_anything_is_written(script: Call, tmp_path: Path) -> None:
    code, out, err = script("run", QUICKSTART, "method.rank=999", "--output", str(tmp_path / "out"))
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == (
        "command line: method.rank=999: method.rank: must be at most 384, the width of the layers; got 999"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["validate", "run"])
def test_problems_as_json(main: Call, tmp_path: Path, command: str) -> None:
    place = ("--output", str(tmp_path / "out")) if command == "run" else ()
    code, out, err = main(command, QUICKSTART, "radio.slot=1", "roundz=3", "--format", "json", *place)
    assert (code, err) == (2, "")
    answer = json.loads(out)
    assert answer["valid"] is False
    assert len(answer["problems"]) == 2
    found = {problem["key"]: problem for problem in answer["problems"]}
    assert found["radio.slot"] | {"rule": ""} == {
        "place": "command line: radio.slot=1", "key": "radio.slot", "message": "needs a unit; got the bare number 1",
        "line": 1, "column": 12, "near": "", "rule": "", "example": "slot: 1 ms", "source": "radio.slot=1", "width": 1,
    }  # fmt: skip
    assert found["roundz"]["near"] == "rounds"


def test_the_estimate_as_json(main: Call) -> None:
    code, out, err = main("validate", "quickstart", "--format", "json")
    answer = json.loads(out)
    assert (code, err, answer["valid"], answer["problems"], answer["name"]) == (0, "", True, [], "quickstart")
    assert [run["arm"] for run in answer["runs"]] == ARMS
    assert [arm["arm"] for arm in answer["estimate"]["arms"]] == ARMS
    assert {arm["worst"]["binds"] for arm in answer["estimate"]["arms"]} == {"air", "compute"}
    assert answer["estimate"]["cells"] == 5


def test_quiet_and_verbose(main: Call) -> None:
    assert main("validate", QUICKSTART, "-q") == (0, "", "")
    code, out, err = main("validate", QUICKSTART, "-v")
    assert (code, err) == (0, "")
    texts = out.split("--- ")[1:]
    assert [text.partition(",")[0] for text in texts] == ARMS
    first = texts[0].partition("\n")[2]
    (cell,) = parse(first).cells
    assert cell.scenario == load(QUICKSTART).cells[0].scenario, "what is printed runs as it stands"


def test_a_scenario_can_be_named(main: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert main("validate", "quickstart", "-q") == (0, "", "")
    code, out, err = main("validate", "quickstrat")
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == "quickstrat: no such file; did you mean 'quickstart'?"


# Through the entry function


@pytest.mark.parametrize("command", ["validate", "run"])
@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "learning.model.layers=7",
            "command line: learning.model.layers=7: learning.model.layers: must be at most 6, the model's depth; got 7",
        ),
        (
            "clients.count=99999",
            "command line: clients.count=99999: clients.count: must be at most the 4000 training examples; got 99999",
        ),
        (
            "learning.data.name='builtin:shakespear'",
            "command line: learning.data.name='builtin:shakespear': learning.data.name: 'builtin:shakespear' is not "
            "known; did you mean 'builtin:shakespeare'?",
        ),
        (
            "learning.model.name='pkg:not_there_at_all/model'",
            "command line: learning.model.name='pkg:not_there_at_all/model': learning.model.name: ",
        ),
    ],
)
def test_what_does_not_fit_this_computer_ends_with_2(
    main: Call, tmp_path: Path, command: str, override: str, says: str
) -> None:
    place = ("--output", str(tmp_path / "out")) if command == "run" else ()
    code, out, err = main(command, QUICKSTART, override, *place)
    assert (code, out) == (2, "")
    assert any(line.startswith(says) for line in err.splitlines())
    assert list(tmp_path.iterdir()) == []


def test_an_output_directory_that_exists_is_left_alone(main: Call, tmp_path: Path) -> None:
    old = tmp_path / "quickstart" / "dense-equal-seed1"
    old.mkdir(parents=True)
    (old / "mine.txt").write_text("precious")
    code, out, err = main("run", QUICKSTART, "seeds=[1]", "--output", str(tmp_path))
    assert (code, out) == (2, "")
    assert err == (
        f"error: {old} is no run directory (it holds mine.txt and no manifest.json) and is left alone; "
        "take another --output, or move it\n"
    )
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "quickstart",
        "quickstart/dense-equal-seed1",
        "quickstart/dense-equal-seed1/mine.txt",
    ]
    assert (old / "mine.txt").read_text() == "precious"


def test_one_run_again_alone_says_that_it_is_finished(main: Call, tmp_path: Path) -> None:
    small = Path(__file__).with_name("small.yaml")
    words = ("run", str(small), "method={kind: none, payload: 10 kbit}", "codec={kind: dense}", "learning.targets=[]")
    words = (*words, "arms={one: {}, two: {schedule: {kind: min_max}}}", "--output", str(tmp_path), "--no-plots")
    code, _, err = main(*words, "seeds=[1]", "--arm", "two")
    assert (code, len(err.splitlines())) == (0, 3), err
    assert [path.name for path in (tmp_path / "small").iterdir()] == ["two-seed1"]
    code, out, err = main(*words, "seeds=[1]", "--arm", "two")
    assert code == 0
    assert err == "the run is finished already; --force runs it again\n"
    assert "two" in out and str(tmp_path / "small") in out, "the table is printed all the same"
    code, out, err = main(*words, "--arm", "twoo")
    assert (code, out) == (2, "")
    assert err == "command line: --arm twoo: no such arm; there are: one, two; did you mean 'two'?\n"


def test_force_does_not_remove_what_a_wrong_scenario_could_not_replace(main: Call, tmp_path: Path) -> None:
    old = tmp_path / "quickstart" / "dense-equal-seed1"
    old.mkdir(parents=True)
    code, _, _ = main("run", QUICKSTART, "method.rank=999", "seeds=[1]", "--output", str(tmp_path), "--force")
    assert code == 2
    assert old.is_dir()


def test_pictures_that_cannot_be_written_are_told_in_a_line(main: Call, tmp_path: Path) -> None:
    small = Path(__file__).with_name("small.yaml")
    words = ("method={kind: none, payload: 10 kbit}", "codec={kind: dense}", "learning.targets=[]", "arms={one: {}}")
    run = ("run", str(small), *words, "seeds=1", "--output", str(tmp_path), "--quiet")
    assert main(*run, "--no-plots")[0] == 0
    (tmp_path / "small" / "plots").write_text("a file where a folder belongs")
    code, out, err = main(*run)
    assert (code, out) == (1, "") and err.startswith("error: the pictures cannot be written to ")
    code, out, err = main(*run, "--format", "json")
    assert code == 1 and json.loads(out)["error"] == "RunFailed"


def test_an_output_that_cannot_be_written(main: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, out, err = main("run", QUICKSTART, "--output", str(tmp_path / "file"))
    assert (code, out) == (1, "")
    assert err == f"error: cannot write to {tmp_path / 'file' / 'quickstart'}: Not a directory\n"


def test_a_missing_file(main: Call) -> None:
    for command in ("validate", "run"):
        code, out, err = main(command, "nowhere.yaml")
        assert (code, out) == (2, "")
        assert err.splitlines()[0] == "nowhere.yaml: no such file"
        assert main(command, "no/where.yaml") == (2, "", "no/where.yaml: no such file\n")


def test_a_missing_run(main: Call) -> None:
    code, out, err = main("plot", "runs/nowhere")
    assert (code, out) == (2, "")
    assert err.startswith("error: runs/nowhere: ")


def test_an_unknown_command(main: Call) -> None:
    code, out, err = main("simulate")
    assert (code, out) == (2, "")
    assert "No such command 'simulate'" in err


def test_an_unknown_option_and_a_bad_number_of_jobs(main: Call) -> None:
    assert main("run", QUICKSTART, "--fast")[0] == 2
    code, _, err = main("run", QUICKSTART, "--jobs", "0")
    assert code == 2
    assert "--jobs" in err


def test_without_arguments_the_help_is_shown(main: Call) -> None:
    _, out, err = main()
    assert all(command in out + err for command in ("run", "validate", "explain", "plot"))


def test_explain_lists_and_shows(main: Call) -> None:
    assert main("explain") == (0, f"{cards.overview()}\n", "")
    assert main("explain", "tsfa") == (0, f"{cards.card('tsfa')}\n", "")
    code, out, err = main("explain", "tfsa")
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == "explain: nothing is called 'tfsa'; did you mean 'tsfa'?"


def test_explain_tells_of_a_command_what_its_help_does(main: Call) -> None:
    code, out, err = main("explain", "plan")
    assert (code, err) == (0, "")
    told, help_ = " ".join(out.split()), " ".join(main("plan", "--help")[1].split())
    assert told.startswith("command: plan ") and told.endswith(" wfl-sim plan --help lists its options.")
    assert told.removeprefix("command: plan ").removesuffix(" wfl-sim plan --help lists its options.") in help_
    commands = {command.callback.__name__ for command in cli.app.registered_commands if command.callback}
    assert "plan" in commands and not commands & {*cards.names()}


def test_schema_prints_what_make_schema_writes(main: Call) -> None:
    assert main("schema") == (0, (ROOT / "scenarios" / "schema.json").read_text(), "")


def test_every_command_has_a_help_with_an_example_and_the_exit_codes(main: Call) -> None:
    for command in ("run", "validate", "explain", "schema", "plot"):
        code, out, err = main(command, "--help")
        assert (code, err) == (0, "")
        assert f"Example: wfl-sim {command}" in out
    for command in ((), ("run",), ("validate",)):
        _, out, _ = main(*command, "--help")
        words = " ".join(out.split())
        assert "Exit codes: 0 done; 1 a run or a check failed; 2" in words
        assert "3 a comparison found a regression; 130 interrupted" in words


def on_a_terminal(arguments: list[str], **environment: str) -> str:
    """What the script writes to a terminal."""
    shown = pexpect.run(
        f"{SCRIPT} {' '.join(arguments)}",
        cwd=ROOT,
        timeout=60,
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )
    return bytes(shown).decode()


def test_a_terminal_gets_bold_and_red_and_nothing_that_one_background_hides() -> None:
    shown = on_a_terminal(["validate", QUICKSTART, "radio.carrier=3.5"])
    codes = set(re.findall("\x1b\\[([0-9;]*)m", shown))
    assert codes <= {"1", "0", "31", "31;1", "1;31"}, "bold, red, reset"
    assert "1" in codes
    assert "\x1b" not in on_a_terminal(["validate", QUICKSTART, "radio.carrier=3.5"], NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(["explain", "tsfa"], TERM="dumb")


def test_a_pipe_gets_no_colours(script: Call) -> None:
    _, out, err = script("explain", "tsfa")
    assert "\x1b" not in out + err
