"""Files that nobody means well with: each gives one clear line, or is read, and none takes long or gets away.

Measures nothing; `benchmarks/hostile.py`, where the specimens stand, does.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

from wfl_sim.errors import ScenarioError
from wfl_sim.scenario import load
from wfl_sim.yamlreader import LARGEST_BYTES, MOST_PROBLEMS


def _specimens() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "hostile.py"
    spec = importlib.util.spec_from_file_location("hostile_specimens", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOSTILE = _specimens()
# What a specimen is told, where the words are worth fixing.
SAID = {
    "empty": ":1:1: a scenario is a mapping of keys to values",
    "too large": ": is too large; a scenario has at most 32 KiB",
    "far too large": ": is too large; a scenario has at most 32 KiB",
    "binary": ": is not UTF-8 text; it holds zero bytes, as UTF-16 and binary files do",
    "utf-16 with a mark": ": is not UTF-8 text; it holds zero bytes, as UTF-16 and binary files do",
    "utf-16 without a mark": ": is not UTF-8 text; it holds zero bytes, as UTF-16 and binary files do",
    "latin-1": ": is not UTF-8 text (byte ",
    "an escape sequence": r":7:14: holds the character \x1b, which YAML does not allow",
    "flow depth never closed": ":1:1: is a line of more than 8192 characters",
    "block depth": ":22:22: is nested more than 20 levels deep",
    "an alias bomb": "makes more than 800 values, with those that an alias repeats",
    "an alias in itself": ":1:8: an alias contains itself",
    "a python object": ":1:1: rounds: the tag '!!python/object/apply:os.system' is not allowed; write plain values",
    "yaml 1.1": ":1:1: a scenario is YAML 1.2; leave the lines %YAML and %TAG out",
    "duplicate keys": ":7:1: schema_version: is given twice, first in line 1",
    "a huge integer": " characters",
    "a count beyond floats": ":5:18: clients.count: has more than 30 digits; got ",
    "not a number": ":3:9: rounds: must be a whole number; got nan",
    "infinity": ":3:9: rounds: must be a whole number; got inf",
    "a count of 1e3": ":3:9: rounds: must be a whole number; got 1000.0",
    "a count of no": ":3:9: rounds: must be a whole number; got 'no'",
    "many documents": ": has more than 1600 lines, commas and brackets",
    "an unclosed double quote": ":7:14: is not YAML: a quote is opened here and never closed",
    "an unclosed list": ":7:8: is not YAML: a bracket is opened here and not closed",
    "a tab for indentation": ":8:1: is not YAML: no tab can stand here; use spaces",
    "missing": ": no such file",
    "a directory": ": is a directory; a scenario is a YAML file",
    "a pipe": ": is a device, pipe or socket; a scenario is a YAML file",
    "/dev/zero": ": is a device, pipe or socket; a scenario is a YAML file",
    "/dev/null": ": is a device, pipe or socket; a scenario is a YAML file",
    "a zero byte in the path": ": is not the name of a file",
    "a loop of links": ": cannot be read: Too many levels of symbolic links",
    "a long name": ": cannot be read: File name too long",
}


def problems_of(path: Path) -> list[str]:
    """The first lines of what is wrong with a file, each found to be fit for a terminal."""
    with pytest.raises(ScenarioError) as caught:
        load(path)
    lines = [str(problem) for problem in caught.value.args]
    assert 0 < len(lines) <= MOST_PROBLEMS
    for line in lines:
        assert line.isprintable(), "no line end, no control character"
        assert len(line) < 400
    assert all(row.isprintable() for row in str(caught.value).split("\n")), "nor in the lines below it"
    return lines


@pytest.mark.parametrize("title", HOSTILE.WRONG)
def test_a_hostile_content_gives_clear_lines(title: str, tmp_path: Path) -> None:
    lines = problems_of(HOSTILE.write(tmp_path, HOSTILE.WRONG[title]))
    assert SAID.get(title, "") in lines[0]
    assert all("specimen.yaml" in line for line in lines)


@pytest.mark.parametrize("title", HOSTILE.PATHS)
def test_a_path_that_is_no_file_gives_one_clear_line(title: str, tmp_path: Path) -> None:
    (line,) = problems_of(HOSTILE.PATHS[title](tmp_path))
    assert SAID.get(title, "") in line


@pytest.mark.parametrize("title", HOSTILE.RIGHT)
def test_an_odd_content_that_is_right_is_accepted(title: str, tmp_path: Path) -> None:
    (cell, *_) = load(HOSTILE.write(tmp_path, HOSTILE.RIGHT[title])).cells
    assert cell.scenario.method.kind == "head_only"


NOBODY = 65534  # a user without rights on any Unix


def test_every_expected_line_belongs_to_a_specimen() -> None:
    assert set(SAID) <= {*HOSTILE.WRONG, *HOSTILE.PATHS}


def test_a_file_without_permission_is_told(tmp_path: Path) -> None:
    path = HOSTILE.write(tmp_path, HOSTILE.LEAST)
    path.chmod(0)
    user = os.geteuid()
    if user == 0:  # who may read everything, so be nobody for the moment
        os.seteuid(NOBODY)
    try:
        said = problems_of(path)
    finally:
        os.seteuid(user)
    assert said == [f"{path}: cannot be read: Permission denied"]


def test_a_file_of_the_largest_size_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    lines = "#" * 1000 + "\n"
    text = HOSTILE.LEAST + lines * ((LARGEST_BYTES - len(HOSTILE.LEAST)) // len(lines))
    text += "#" * (LARGEST_BYTES - len(text))
    assert load(HOSTILE.write(tmp_path, text)).name == "least"
    (line,) = problems_of(HOSTILE.write(tmp_path, text + "#"))
    assert line.endswith("specimen.yaml: is too large; a scenario has at most 32 KiB")
