"""The command `compare`: tables, exit codes, JSON and errors, on runs that the simulator itself wrote.

The numbers are checked in tests/analysis/test_compare.py; here the network alone is simulated.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from analysis.traces import load
from wfl_sim import run
from wfl_sim.cli import app
from wfl_sim.errors import WflError
from wfl_sim.scenario import load as load_scenario

ROOT = Path(__file__).resolve().parents[1]
SMALL = ROOT / "tests" / "small.yaml"
NETWORK = ("method={kind: none, payload: 100 kbit}", "arms={plain: {}, waits: {schedule: {kind: min_max}}}", "rounds=2")


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same study with 1 and 2 MHz; tests must not write into it."""
    places = {}
    for name, bandwidth in (("narrow", "1 MHz"), ("wide", "2 MHz")):
        output = tmp_path_factory.mktemp(name)
        run(load_scenario(SMALL, [*NETWORK, f"radio.uplink.bandwidth={bandwidth}"]), output=output, jobs=1)
        places[name] = str(output / "small")
    return places


def asked(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["compare", *arguments])


def test_the_answer_and_its_exit_code(studies: dict[str, str]) -> None:
    better = asked(studies["narrow"], studies["wide"], "--metric", "time")
    assert (better.exit_code, better.exception) == (0, None)
    assert better.output.splitlines()[:3] == [
        "simulated time of the whole run, s (lower is better)",
        f"A: {studies['narrow']} (baseline)",
        f"B: {studies['wide']}",
    ]
    assert better.output.rstrip().endswith("no regression")
    worse = asked(studies["wide"], studies["narrow"], "--metric", "time")
    assert worse.exit_code == 3
    assert worse.output.rstrip().endswith("regression: plain, waits")
    assert "these seeds do not tell A from B" in worse.output
    tolerated = asked(studies["wide"], studies["narrow"], "--metric", "time", "--tolerance", "500 %")
    assert tolerated.exit_code == 0
    assert "within tolerance" in tolerated.output


def test_quiet_says_it_by_its_exit_code_alone(studies: dict[str, str]) -> None:
    answer = asked(studies["wide"], studies["narrow"], "--metric", "time", "-q")
    assert (answer.exit_code, answer.output) == (3, "")


def test_json_holds_the_values_of_the_traces(studies: dict[str, str]) -> None:
    answer = asked(f"{studies['narrow']}:plain", f"{studies['narrow']}:waits", "--metric", "energy", "--format", "json")
    found = json.loads(answer.output)
    (pair,) = found["pairs"]
    last = load(studies["narrow"]).rounds.groupby(["arm", "seed"])["energy_j"].last()
    assert [(row["seed"], row["a"], row["b"]) for row in pair["seeds"]] == [
        (seed, last["plain", seed], last["waits", seed]) for seed in (0, 1)
    ]
    assert (found["metric"], found["unit"], found["better"], pair["a"], pair["b"]) == (
        "energy", "J", "lower", "plain", "waits"
    )  # fmt: skip
    assert pair["bootstrap"] == [None, None], "two seeds are too few for it"
    assert answer.exit_code == (3 if found["regression"] else 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--metric", "tme"), "no metric 'tme'; did you mean 'time'"),
        (("--metric", "time_to"), "needs --target; the runs have none"),
        (("--metric", "accuracy"), "accuracy says nothing about"),  # nothing was learnt
        (("--metric", "time", "--tolerance", "3"), "tolerance: needs a unit"),
    ],
)
def test_a_question_that_has_no_answer_is_one_line(
    studies: dict[str, str], arguments: tuple[str, ...], message: str
) -> None:
    result = asked(studies["narrow"], studies["wide"], *arguments)
    assert isinstance(result.exception, WflError)
    assert result.exception.exit_code == 2
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    as_json = asked(studies["narrow"], studies["wide"], *arguments, "--format", "json")
    assert as_json.exit_code == 2
    assert message in json.loads(as_json.output)["message"]


def test_paths_that_are_none(studies: dict[str, str], tmp_path: Path) -> None:
    for a, b in ((str(tmp_path / "no"), studies["wide"]), (studies["wide"], f"{studies['wide']}:no")):
        error = asked(a, b).exception
        assert isinstance(error, WflError)
        assert error.exit_code == 2


def test_it_loads_no_tensor_library_and_changes_nothing(studies: dict[str, str]) -> None:
    before = {path: path.read_bytes() for path in Path(studies["narrow"]).rglob("*") if path.is_file()}
    code = (
        "import sys; from typer.testing import CliRunner; from wfl_sim.cli import app; "
        f"result = CliRunner().invoke(app, ['compare', *{list(studies.values())}, '--metric', 'time']); "
        "print(result.exit_code, [m for m in ('torch', 'simpy', 'matplotlib', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "0 []"
    assert {path: path.read_bytes() for path in Path(studies["narrow"]).rglob("*") if path.is_file()} == before
