"""YAML files with places, overrides on plain data, merging and writing.

Knows no scenario: keys are made up.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from wfl_sim.errors import ScenarioError, printable
from wfl_sim.yamlfile import Document, Override, lay, merge, origin, read, read_text, write
from wfl_sim.yamlreader import DEEPEST, MOST_VALUES

TEXT = """\
# a comment
top: 1
group:
  inner: {left: 2, right: [3, {deep: 4}]}
  other: no
arms:
  one:
    group: {inner: {left: 5}}
  two: {}
"""


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Document:
    """TEXT as a file called f.yaml."""
    monkeypatch.chdir(tmp_path)
    Path("f.yaml").write_text(TEXT)
    return read(Path("f.yaml"))


def test_the_data_is_plain_yaml_1_2(document: Document) -> None:
    assert document.data == {
        "top": 1,
        "group": {"inner": {"left": 2, "right": [3, {"deep": 4}]}, "other": "no"},
        "arms": {"one": {"group": {"inner": {"left": 5}}}, "two": {}},
    }


def place(document: Document, key: str, at: str = "value") -> str:
    """Where a problem of a key is located, by file, line and column or by override, and how the key is called."""
    problem = document.problem(tuple(key.split(".")) if key else (), "is wrong", at=at)
    return str(problem).removesuffix(": is wrong")


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("", "f.yaml:2:1", "f.yaml:2:1"),
        ("top", "f.yaml:2:6: top", "f.yaml:2:1: top"),
        ("group.inner", "f.yaml:4:3: group.inner", "f.yaml:4:3: group.inner"),
        ("group.inner.left", "f.yaml:4:17: group.inner.left", "f.yaml:4:11: group.inner.left"),
        ("group.inner.right", "f.yaml:4:20: group.inner.right", "f.yaml:4:20: group.inner.right"),
        ("group.inner.right.0", "f.yaml:4:28: group.inner.right.0", "f.yaml:4:28: group.inner.right.0"),
        ("group.inner.right.1.deep", "f.yaml:4:38: group.inner.right.1.deep", "f.yaml:4:32: group.inner.right.1.deep"),
        ("group.inner.missing", "f.yaml:4:3: group.inner.missing", "f.yaml:4:3: group.inner.missing"),
        ("nothing.at.all", "f.yaml:2:1: nothing.at.all", "f.yaml:2:1: nothing.at.all"),
        ("arms.one.group.inner.left", "f.yaml:8:27: arms.one.group.inner.left",
         "f.yaml:8:21: arms.one.group.inner.left"),
    ],
)  # fmt: skip
def test_each_key_and_value_has_its_place(document: Document, key: str, value: str, name: str) -> None:
    assert place(document, key) == value
    assert place(document, key, at="key") == name


def test_a_byte_order_mark_and_windows_lines_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\nb:\r\n  c: 2\r\n")
    found = read(file)
    assert found.data == {"a": 1, "b": {"c": 2}}
    assert place(found, "b.c") == f"{file}:3:6: b.c"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("off", "off"), ("yes", "yes"), ("true", True), ("1e3", 1000.0), ("1e-3", 0.001), ("012", 12),
        ("0o14", 12), ("0x10", 16), ("1:30", "1:30"), ("1 MHz", "1 MHz"), ("", None), ("~", None), ("'5'", "5"),
        ("[1, 2]", [1, 2]), ("{a: 1}", {"a": 1}),
    ],
)  # fmt: skip
def test_scalars_in_files_and_overrides_are_the_same(tmp_path: Path, text: str, value: Any) -> None:
    (tmp_path / "x.yaml").write_text(f"key: {text}\n")
    found = read(tmp_path / "x.yaml")
    assert found.data == {"key": value}
    other = Override.read(f"other={text}").value
    assert other == value
    assert type(found.data["key"]) is type(other)


def test_an_override_has_a_path_a_value_and_the_places_of_its_parts() -> None:
    found = Override.read(" new.branch = {a: 1, b: [2]}")
    assert (found.path, found.value) == (("new", "branch"), {"a": 1, "b": [2]})
    assert set(found.marks) == {(), ("a",), ("b",), ("b", "0")}
    assert {mark.source for mark in found.marks.values()} == {"command line:  new.branch = {a: 1, b: [2]}"}


def test_what_is_taken_in_stands_in_the_document_with_its_places(document: Document) -> None:
    document.take_in(Override.read("group.inner.left=9"))
    document.take_in(Override.read("new.branch=3"))
    assert document.data["group"]["inner"]["left"] == 9
    assert document.data["new"] == {"branch": 3}
    assert place(document, "group.inner.left") == "command line: group.inner.left=9: group.inner.left"
    assert place(document, "new") == "command line: new.branch=3: new"
    assert place(document, "group.other") == "f.yaml:5:10: group.other"


def test_a_branch_that_is_taken_in_forgets_the_places_below(document: Document) -> None:
    document.take_in(Override.read("group={inner: {left: 1}}"))
    assert place(document, "group.inner.left") == "command line: group={inner: {left: 1}}: group.inner.left"
    assert document.data["group"] == {"inner": {"left": 1}}


def test_a_value_is_laid_over_data_and_its_origin_noted() -> None:
    data, origins = {"m": {"kind": "x", "rank": 8}, "top": 1}, {("m", "rank"): ("arms", "a", "m", "rank")}
    lay(data, origins, ("m", "rank"), 9, ("here",))
    lay(data, origins, ("new", "branch"), [1], ("there",))
    lay(data, origins, ("top", "sub"), 2, ("below",))
    assert data == {"m": {"kind": "x", "rank": 9}, "top": {"sub": 2}, "new": {"branch": [1]}}
    assert origin(("m", "rank"), origins) == ("here",)
    assert origin(("new", "branch", "0"), origins) == ("there", "0")
    assert origin(("top",), origins) == ("below",)
    assert origin(("m", "kind"), origins) == ("m", "kind")
    lay(data, origins, ("m", "kind"), "x", ("same",))
    assert data["m"] == {"kind": "x", "rank": 9}
    lay(data, origins, ("m", "kind"), "y", ("other",))
    assert data["m"] == {"kind": "y"}
    assert origin(("m", "rank"), origins) == ("m", "rank")


@pytest.mark.parametrize(
    "text",
    [
        "top",
        "=1",
        "a..b=1",
        ".a=1",
        "a.=1",
        "top=[1",
        "top=!x 1",
        "top=&a {b: *a}",
        "top=*a",
        "top={a: 1, a: 2}",
        "top={<<: {}}",
        "top=\0",
        f"{'a.' * DEEPEST}a=1",
    ],
)
def test_a_bad_override_is_named(text: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        Override.read(text)
    assert str(caught.value).startswith(f"command line: {printable(text)}: ")


# Merging

KEYS = st.sampled_from(["a", "b", "c", "d"])
SCALARS = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False) | st.text(max_size=8)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
MAPPINGS = st.dictionaries(KEYS, TREES, max_size=4)
FEW = settings(max_examples=60, deadline=None, derandomize=True)


@FEW
@given(MAPPINGS, MAPPINGS)
def test_merging_lays_the_changes_over_the_base(base: dict[str, Any], changes: dict[str, Any]) -> None:
    kept_base, kept_changes = copy.deepcopy(base), copy.deepcopy(changes)
    merged, origins = merge(base, changes)
    assert (base, changes) == (kept_base, kept_changes), "neither is changed in place"
    assert merge(base, {}) == (base, {})
    assert merge({}, changes)[0] == changes
    assert merge(merged, changes)[0] == merged
    for path in origins:
        assert origin(path, origins) == path, "changes that are laid over the top come from their own place"
    assert set(merged) == set(base) | set(changes)
    for key, value in merged.items():
        if key not in changes:
            assert value == base[key]
        elif not isinstance(changes[key], dict) or not isinstance(base.get(key), dict):
            assert value == changes[key]


def test_another_kind_takes_the_place_of_the_old_one() -> None:
    base = {"m": {"kind": "x", "rank": 8, "sub": {"kind": "s", "p": 1}}}
    assert merge(base, {"m": {"rank": 4}})[0]["m"] == {"kind": "x", "rank": 4, "sub": {"kind": "s", "p": 1}}
    assert merge(base, {"m": {"kind": "x", "rank": 4}})[0]["m"]["sub"] == {"kind": "s", "p": 1}
    assert merge(base, {"m": {"kind": "y"}})[0]["m"] == {"kind": "y"}
    assert merge(base, {"m": {"sub": {"kind": "t"}}})[0]["m"] == {"kind": "x", "rank": 8, "sub": {"kind": "t"}}
    assert merge({"m": {"rank": 8}}, {"m": {"kind": "y"}})[0]["m"] == {"kind": "y"}


def test_each_value_of_a_merged_mapping_is_traced_to_where_it_was_written() -> None:
    base = {"m": {"kind": "x", "rank": 8}, "n": 1}
    _, origins = merge(base, {"m": {"rank": 4}, "o": {"p": 2}}, ("arms", "a"))
    assert origin(("m", "rank"), origins) == ("arms", "a", "m", "rank")
    assert origin(("m", "kind"), origins) == ("m", "kind"), "the file's own"
    assert origin(("o", "p"), origins) == ("arms", "a", "o", "p")
    assert origin(("n",), origins) == ("n",)
    _, origins = merge(base, {"m": {"kind": "y"}}, ("arms", "a"))
    assert origin(("m", "rank"), origins) == ("arms", "a", "m", "rank"), "where it should stand now"


# What is refused


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a: 1\na: !x 2\nb: !!int 3\n<<: {c: 1}\n", [
            "t:2:1: a: is given twice, first in line 1",
            "t:2:4: a: the tag '!x' is not allowed; write plain values",
            "t:3:4: b: the tag '!!int' is not allowed; write plain values",
            "t:4:1: <<: merge keys are not part of YAML 1.2; list the changes of an arm under 'arms'",
        ]),
        ("a: *b\n", ["t:1:4: a: the alias *b has no anchor above it"]),
        ("a: {b:1, c: d:e}\n", ["t:1:5: a.b: no space follows the ':'; did you mean 'b: 1'?"]),
        ("a: 1" + "0" * 30, ["t:1:4: a: has more than 30 digits; got 1" + "0" * 30]),
        ("!x a: 1\n", ["t:1:1: a: the tag '!x' is not allowed; write plain values"]),
    ],
    ids=["all together", "alias", "no space", "digits", "tagged key"],
)  # fmt: skip
def test_what_does_not_stop_the_reading_is_told_with_all_the_rest(text: str, lines: list[str]) -> None:
    found = sorted(read_text(text, "t").problems, key=lambda problem: (problem.line, problem.column))
    assert [str(problem).replace("got '1", "got 1").removesuffix("'") for problem in found] == [
        line.removesuffix("'") for line in lines
    ]


def test_a_tag_does_not_hide_the_value() -> None:
    assert read_text("a: !!int 3\nb: !x {c: no}\nd: !!str 5\ne: !x '5'\n", "t").data == {
        "a": 3, "b": {"c": "no"}, "d": 5, "e": "5",
    }  # fmt: skip


def test_as_many_values_and_levels_as_allowed_are_read_and_no_more() -> None:
    ones = ", ".join("1" * (MOST_VALUES - 2))
    assert len(read_text(f"a: [{ones}]", "t").data["a"]) == MOST_VALUES - 2
    with pytest.raises(ScenarioError, match=f"t:1:.*: makes more than {MOST_VALUES} values"):
        read_text(f"a: [{ones}, 1]", "t")
    deep = read_text("{a: " * DEEPEST + "1" + "}" * DEEPEST, "t").data
    for _ in range(DEEPEST):
        deep = deep["a"]
    assert deep == 1
    with pytest.raises(ScenarioError, match=f"is nested more than {DEEPEST} levels deep"):
        read_text("{a: " * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1), "t")


# Writing


@FEW
@given(MAPPINGS)
def test_what_is_written_reads_back_the_same(data: dict[str, Any]) -> None:
    text = write(data, "made by a test")
    assert text.startswith("# made by a test\n")
    assert YAML(typ="safe", pure=True).load(text) == data


def test_the_order_of_keys_is_kept() -> None:
    assert write({"z": 1, "a": {"y": "no", "b": [1.5, "on"]}}, "c") == (
        "# c\nz: 1\na:\n  y: no\n  b:\n  - 1.5\n  - on\n"
    )
