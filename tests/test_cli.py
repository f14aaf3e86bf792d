"""The command line: through its console script where the process matters, through its entry function elsewhere.

Knows exit codes and texts; nothing here runs a simulation.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import wfl_sim
from wfl_sim import cards, cli

ROOT = Path(__file__).resolve().parents[1]
QUICKSTART = "scenarios/quickstart.yaml"
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
    head, *runs = out.splitlines()
    assert (code, err) == (0, "")
    assert head == f"{QUICKSTART}: valid; {len(runs)} runs of 7 rounds:"
    assert runs[:2] == [
        "  head-only-seed1: head_only, dense, equal, sync",
        "  dense-equal-seed1: fedavg, dense, equal, sync",
    ]
    assert "  soft-tsfa-seed2: soft, components, tsfa, sync" in runs


def test_a_wrong_scenario_ends_with_2_and_says_where(script: Call) -> None:
    code, out, err = script("validate", QUICKSTART, "radio.carrier=3.5", "method.rank=0", "roundz=1")
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines[0].startswith("error: command line: radio.carrier=3.5: radio.carrier: needs a unit")
    assert "command line: roundz=1: roundz: unknown key" in lines
    assert "command line: method.rank=0: method.rank: must be at least 1; got 0" in lines


def test_a_rank_above_the_layer_ends_with_2_before_anything_is_written(script: Call, tmp_path: Path) -> None:
    code, out, err = script("run", QUICKSTART, "method.rank=999", "--output", str(tmp_path / "out"))
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == (
        "error: command line: method.rank=999: method.rank: must be at most 384, the width of the layers; got 999"
    )
    assert not (tmp_path / "out").exists()


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
        ("learning.data.name='builtin:nope'", "data 'builtin:nope' is not known; there is: builtin:wordnet10"),
        (
            "learning.model.name='pkg:not_there_at_all/model'",
            "model 'pkg:not_there_at_all/model': the package 'not_there_at_all' is not installed; install it with "
            "`make env`",
        ),
    ],
)
def test_what_does_not_fit_this_computer_ends_with_2(
    main: Call, tmp_path: Path, command: str, override: str, says: str
) -> None:
    place = ("--output", str(tmp_path / "out")) if command == "run" else ()
    code, out, err = main(command, QUICKSTART, override, "learning.data.train=4000", *place)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {says}")
    assert list(tmp_path.iterdir()) == []


def test_an_output_directory_that_exists_is_left_alone(main: Call, tmp_path: Path) -> None:
    old = tmp_path / "quickstart" / "dense-equal-seed1"
    old.mkdir(parents=True)
    (old / "mine.txt").write_text("precious")
    code, out, err = main("run", QUICKSTART, "seeds=[1]", "--output", str(tmp_path))
    assert (code, out) == (2, "")
    assert err == f"error: {old} exists already; use --force to replace it, or --output for another place\n"
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "quickstart",
        "quickstart/dense-equal-seed1",
        "quickstart/dense-equal-seed1/mine.txt",
    ]
    assert (old / "mine.txt").read_text() == "precious"


def test_force_does_not_remove_what_a_wrong_scenario_could_not_replace(main: Call, tmp_path: Path) -> None:
    old = tmp_path / "quickstart" / "dense-equal-seed1"
    old.mkdir(parents=True)
    code, _, _ = main("run", QUICKSTART, "method.rank=999", "seeds=[1]", "--output", str(tmp_path), "--force")
    assert code == 2
    assert old.is_dir()


def test_an_output_that_cannot_be_written(main: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, out, err = main("run", QUICKSTART, "--output", str(tmp_path / "file"))
    assert (code, out) == (1, "")
    assert err == f"error: cannot write to {tmp_path / 'file' / 'quickstart'}: Not a directory\n"


def test_a_missing_file(main: Call) -> None:
    for command in ("validate", "run"):
        assert main(command, "nowhere.yaml") == (2, "", "error: nowhere.yaml: no such file\n")


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


def test_explain_lists_every_kind(main: Call) -> None:
    code, out, err = main("explain")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    for key, registry in cards.NOUNS.items():
        start = lines.index(f"{key}:")
        assert [line.split()[0] for line in lines[start + 1 : start + 1 + len(registry)]] == list(registry)
    assert {"method", "codec", "schedule", "protocol", "channel.fading"} <= set(cards.NOUNS)


def test_explain_shows_a_card_with_units_defaults_and_choices(main: Call) -> None:
    code, out, err = main("explain", "tsfa")
    assert (code, err) == (0, "")
    assert out.startswith("schedule: {kind: tsfa}\n")
    keys = {line.split()[0]: " ".join(line.split()[1:]) for line in out.split("Keys:\n")[1].splitlines()}
    assert keys["latency_budget"] == "required; in s; above 0 s"
    assert keys["csi_error"] == "default 0 dB; in dB; at least 0 dB"
    assert keys["csi"] == "default large_scale; one of large_scale, block, instantaneous"
    assert keys["kept_fraction_min"] == "default 0.1; above 0 and at most 1"
    assert keys["surrogate"] == "default contraction; one of contraction, variance"
    assert "kind" not in keys


def test_explain_shows_every_noun_that_has_the_kind(main: Call) -> None:
    _, out, _ = main("explain", "none")
    nouns = [key for key, registry in cards.NOUNS.items() if "none" in registry]
    assert nouns[:3] == ["channel.shadowing", "channel.fading", "channel.loss"]
    assert [line for line in out.splitlines() if line.endswith("{kind: none}")] == [
        f"{n}: {{kind: none}}" for n in nouns
    ]


@pytest.mark.parametrize("kind", sorted({kind for registry in cards.NOUNS.values() for kind in registry}))
def test_every_kind_has_a_card(kind: str) -> None:
    text = cards.card(kind)
    assert f"{{kind: {kind}}}" in text
    assert "Keys:" in text


@pytest.mark.parametrize(("name", "nearest"), [("tfsa", "tsfa"), ("fedavgg", "fedavg"), ("min-max", "min_max")])
def test_explain_of_a_misspelt_name_offers_the_nearest(main: Call, name: str, nearest: str) -> None:
    code, out, err = main("explain", name)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: explain: unknown kind {name!r}; did you mean {nearest!r}? there are: ")


def test_explain_of_a_name_like_no_other_lists_them_all(main: Call) -> None:
    code, _, err = main("explain", "qqqqq")
    assert code == 2
    kinds = sorted({kind for registry in cards.NOUNS.values() for kind in registry})
    assert err == f"error: explain: unknown kind 'qqqqq'; there are: {', '.join(kinds)}\n"
