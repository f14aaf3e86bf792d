"""Scenarios drawn at random, right and wrong ones: each is a study that reads back the same, or located problems.

Knows the tree of keys and the shipped files, and nothing of what a key means. WFL_SIM_EXAMPLES draws that many in all,
at random, and WFL_SIM_TALLY names a folder where each process counts them (`make fuzz`).
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels.options import Whole
from channels.units import Quantity, render
from wfl_sim import keys, present, yamlfile
from wfl_sim.errors import COMMAND_LINE, ScenarioError, WflError
from wfl_sim.estimate import estimate
from wfl_sim.learning.options import Learning
from wfl_sim.scenario import Study, parse, to_yaml

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "scenarios").glob("*.yaml"))]
EXAMPLES = int(os.environ.get("WFL_SIM_EXAMPLES", "200"))
PARTS = 5  # tests below that share the examples
FUZZ = settings(
    max_examples=max(1, EXAMPLES // PARTS),
    derandomize="WFL_SIM_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
NOT_OURS = ("pydantic", "Input should", "validation error", "value_error", "Unexpected keyword", "Traceback", "ruamel")
FILE = "fuzz.yaml"
ARMS = 1  # of a study that are written, read again and estimated
NEVER = 10**6  # wrong about once in so many times


@pytest.fixture(scope="module", autouse=True)
def beside_the_shipped_files() -> Iterator[None]:
    """Texts have no folder of their own, and the files that they name lie there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT / "scenarios")
        yield


def outcome(text: str, overrides: tuple[str, ...] = (), resources: bool = False) -> Study | None:
    """The study, found to read back the same, or None where all problems are found to be well said."""
    try:
        study = parse(text, FILE, overrides, resources=resources)
    except ScenarioError as error:
        assert error.args
        for problem in error.args:
            assert problem.where.startswith((FILE, COMMAND_LINE)), problem
            line = str(problem)
            assert line.isprintable() and len(line) < 400, line
            assert not [word for word in NOT_OURS if word in problem.text()], line
            assert all(row.isprintable() for row in problem.text().split("\n"))
            assert problem.line == 0 or problem.source == "" or problem.column <= len(problem.source) + 1, problem
        count(valid=False)
        return None
    for cell in study.cells[:ARMS]:
        written = to_yaml(cell.scenario)
        (again,) = parse(written).cells
        assert again.scenario == cell.scenario
        assert to_yaml(again.scenario) == written
    if resources:
        estimated(study)
    count(valid=True)
    return study


def estimated(study: Study) -> None:
    """What is valid can be estimated in plain numbers, or says why not."""
    try:
        found = estimate(Study(study.name, study.cells[:ARMS]))
    except WflError:
        return
    json.dumps(asdict(found), allow_nan=False)
    present.estimate_text(found)


def count(valid: bool) -> None:
    """One byte an example into the file of this process."""
    if folder := os.environ.get("WFL_SIM_TALLY"):
        with (Path(folder) / f"{os.getpid()}.tally").open("a", encoding="utf-8") as stream:
            stream.write("v" if valid else "x")


# Values: the example of a key, one near it, or anything.

ANYTHING: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 16,
    10**29, 10**400, 0.5, -0.5, 1e-320, 1e308, float("inf"), float("nan"), "", " ",
    "no", "0", "1 %", "150 %",
    "-3 dB", "3 GHz", "1e308 GHz", "1e-320 s", "5 m", "0 m", "1e300 m", "2 MB", "30 km/h",
    "400 ms", "1e300 GFLOP", "1e-300 FLOP/s", "5 kHz", "-400 dBm", "1e3 dBm", "x" * 300, "\x1b[31m", "a\nb",
    "\U0001f600",
    "\u202e", "uma", "tsfa", "soft", [], [1], [0.5, 0.6], {}, {"kind": "uma"}, {"kind": None}, {"a": {"b": 1}},
    {"kind": "log_distance", "exponent": 3},
]  # fmt: skip
NAMES = ["kind", "rounds", "arms", "<<", "", "roundz", "carrier", "band width", "a.b", "\x1b[0m", "k" * 200, "1"]


def slip(draw: st.DrawFn, odd: int) -> bool:
    """True about once in `odd` times: hypothesis likes the ends of a range, so what counts lies within."""
    return bool(draw(st.integers(0, 2 * odd)) in (odd - 1, odd + 1))


@st.composite
def legal(draw: st.DrawFn, limit: Quantity | Whole) -> Any:
    """A value within its range, often at an end of it."""
    if isinstance(limit, Whole):
        least, most = limit.ge or 0, limit.le if limit.le is not None else 10**6
        return draw(
            st.sampled_from([least, most]) | st.integers(least, min(most, least + 40)) | st.integers(least, most)
        )
    low, high = limit.ge if limit.ge is not None else limit.gt, limit.le if limit.le is not None else limit.lt
    value = draw(
        st.sampled_from([end for end in (limit.ge, limit.le) if end is not None] or [high])
        | st.floats(low, high, exclude_min=limit.ge is None, exclude_max=limit.le is None, allow_subnormal=False)
        | st.floats(-6, 6).map(lambda power: float(f"{10**power:.3g}")).filter(lambda x: low < x < high)
    )
    return render(value, limit.unit)


@st.composite
def value_of(draw: st.DrawFn, key: keys.Key, odd: int) -> Any:
    """A value at a key: wrong about once in `odd` times."""
    if slip(draw, odd):
        return draw(st.sampled_from(ANYTHING) | st.text(max_size=8) | st.integers() | st.floats())
    if key.kinds or key.group is not None:
        return draw(mapping_of(key, odd))
    option = key.option
    if option is not None and option.choices:
        return draw(st.sampled_from(option.choices))
    if option is not None and option.limit is not None and slip(draw, 12):
        return draw(legal(option.limit))
    if option is not None and option.quantity is not None and slip(draw, odd):
        number = draw(st.floats(1e-6, 1e6).map(lambda x: float(f"{x:.3g}")))
        unit = draw(st.sampled_from(keys.symbols(option.quantity.unit)))
        return f"{number} {unit}"
    return copy.deepcopy(_example(key.example() or "x: 1")).get(key.name, 1)


@cache
def _example(text: str) -> dict[str, Any]:
    return yamlfile.read_text(text, "example").data


@st.composite
def mapping_of(draw: st.DrawFn, key: keys.Key, odd: int) -> dict[str, Any]:
    """A mapping at a key: what it needs, some of what it may have, and now and then something that it may not."""
    data: dict[str, Any] = {}
    if key.kinds:
        data["kind"] = draw(st.sampled_from(sorted(key.kinds)))
    for name, child in key.below(data).items():
        needed = child.option is not None and child.option.required
        if name == "kind" or (slip(draw, odd) if needed else draw(st.integers(0, 2)) > 0):
            continue
        if name in ("work", "speed") and "time" in data:
            continue
        data[name] = draw(value_of(child, odd))
    if odd == NEVER and key.name == "compute" and "time" not in data:
        data |= {"work": "20 GFLOP", "speed": "50 GFLOP/s"}
    if odd == NEVER and "recorded" in key.below(data):  # which needs a file, and stands in place of what is modelled
        data.pop("recorded", None)
        data["path_loss"] = data.get("path_loss") or {"kind": "uma"}
    if slip(draw, odd):
        data[draw(st.sampled_from(NAMES) | st.text(max_size=5))] = draw(st.sampled_from(ANYTHING))
    return data


@st.composite
def scenarios(draw: st.DrawFn) -> dict[str, Any]:
    """A scenario, from nearly right to nearly hopeless, with arms or without."""
    odd = draw(st.sampled_from([8, 40, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER]))
    data = draw(mapping_of(keys.root(), odd))
    if draw(st.booleans()):
        names = ["a", "b", "1"] if odd == NEVER else ["a", "b", "1", "a b", "con", ""]
        arms = draw(st.lists(st.sampled_from(names), max_size=3))
        data["arms"] = {
            arm: {k: v for k, v in draw(mapping_of(keys.root(), odd)).items() if k == "method"} for arm in arms
        }
    learning = data.get("learning")
    if isinstance(learning, dict) and odd == NEVER:
        learning.pop("model", None)
    return data


@FUZZ
@given(scenarios(), st.booleans())
def test_a_drawn_scenario_is_a_study_or_located_problems(data: dict[str, Any], resources: bool) -> None:
    outcome(yamlfile.write(data, "drawn"), resources=resources)


@FUZZ
@given(scenarios())
def test_a_scenario_written_as_it_comes_is_a_study_or_located_problems(data: dict[str, Any]) -> None:
    outcome(repr(data).replace("None", "null").replace("True", "true").replace("False", "false"))


# Mutations of files that are right

TOKENS = [
    "&a ", "*a", "!!x ", "! ", "{", "}", "[", "]", ": ", ":", "- ", "? ",
    "| ", "> ", "'", '"', "#", " #", "%", "@", "`", "\t",
    "\0", "\ufeff", "\r", "\r\n", "\n", "\n\n",
    "---\n", "...\n", "<<: *a\n", "9" * 40, "1e999", "1_0", "0x1f", ".inf", ".nan",
    " MHz", " dB",
    " %", " km/h", "\x1b[31m", "\x85", "\u2028", "\U0001f600", "~", "null", "true", "no", ",", "  ", "kind: ",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A shipped file after a few accidents; not always UTF-8 before it is decoded as well as can be."""
    raw = bytearray(draw(st.sampled_from(SHIPPED)).encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        length = draw(st.sampled_from([1, 1, 2, 5, 20, 100]))
        piece = raw[at : at + length]
        what = draw(st.sampled_from(["flip", "delete", "insert", "double", "swap", "token", "token", "line"]))
        if what == "flip" and piece:
            raw[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "delete":
            del raw[at : at + length]
        elif what == "insert":
            raw[at:at] = draw(st.binary(max_size=4))
        elif what == "double":
            raw[at:at] = piece * draw(st.integers(1, 3))
        elif what == "swap":
            other = draw(st.integers(0, len(raw)))
            raw[at : at + length], raw[other : other + length] = raw[other : other + length], piece
        elif what == "token":
            raw[at:at] = draw(st.sampled_from(TOKENS)).encode()
        elif what == "line":
            lines = raw.splitlines(keepends=True)
            lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(lines or [b"\n"])))
            raw = bytearray(b"".join(lines))
    return raw.decode("utf-8", "surrogateescape" if draw(st.booleans()) else "replace")


@FUZZ
@given(mutated(), st.booleans())
def test_a_mutated_file_is_a_study_or_located_problems(text: str, resources: bool) -> None:
    outcome(text, resources=resources)


# Overrides

PATHS = [(".".join(path), key) for path, key in keys.paths()]


@st.composite
def overrides(draw: st.DrawFn) -> str:
    """``key=value``: of keys that there are mostly, with a value that fits them mostly."""
    path, key = draw(st.sampled_from(PATHS))
    arm = draw(st.sampled_from(["arms.new.", "arms."])) if slip(draw, 8) else ""
    arm = arm or draw(st.sampled_from(["", "", "", "arms.soft-tsfa."]))
    value = key.example_value()
    if slip(draw, 6):
        value = str(draw(st.sampled_from(ANYTHING + TOKENS)))
    elif key.option is not None and key.option.limit is not None and not slip(draw, 2):
        value = str(draw(legal(key.option.limit)))
    text = f"{arm}{path}{draw(st.sampled_from([' = ', ':', ''])) if slip(draw, 8) else '='}{value}"
    if not slip(draw, 3):
        return text
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.sampled_from(TOKENS)) + text[at:]


@FUZZ
@given(st.lists(overrides() | overrides() | overrides() | st.text(max_size=20), min_size=1, max_size=3), st.booleans())
def test_overrides_give_a_study_or_located_problems(texts: list[str], resources: bool) -> None:
    outcome(SHIPPED[0], tuple(texts), resources)


@FUZZ
@given(st.text(max_size=60) | st.text(alphabet="ab:-?[]{}&*!|>'\"%@#,\n \t0.~<", max_size=60))
def test_a_text_of_no_meaning_gives_located_problems(text: str) -> None:
    assert outcome(text) is None


@pytest.mark.parametrize("text", SHIPPED)
def test_what_is_mutated_is_right_before(text: str, fetched: Callable[[Learning], None]) -> None:
    study = outcome(text)
    assert study is not None
    fetched(study.cells[0].scenario.learning)
    assert outcome(text, resources=True) is not None
