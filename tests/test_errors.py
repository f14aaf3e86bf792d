"""The errors as a person, a terminal and a program see them: first line, excerpt with caret, rule, example, JSON.

Knows small made-up problems, and a few scenarios for the text as a whole.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from wfl_sim.diagnose import nearest
from wfl_sim.errors import Problem, ScenarioError, in_order, printable
from wfl_sim.methods import METHODS
from wfl_sim.scenario import load, parse

LEAST = """\
schema_version: 1
name: least
rounds: 2
channel: {path_loss: {kind: uma}}
clients: {count: 1, placement: {kind: disc, to: 50 m}, compute: {time: 1 s}}
method: {kind: head_only}
"""


def text_of(text: str, *overrides: str, source: str = "s.yaml") -> str:
    """All that is said about a wrong scenario."""
    with pytest.raises(ScenarioError) as caught:
        parse(text, source, overrides)
    return str(caught.value)


def test_the_caret_stands_below_the_value_and_rule_and_example_follow() -> None:
    assert (
        text_of(LEAST.replace("50 m", "50 mm2"))
        == """\
s.yaml:5:49: clients.placement.to: needs a length; 'mm2' is no unit of that; did you mean 'mm'?
    clients: {count: 1, placement: {kind: disc, to: 50 mm2}, compute: {time: 1 s}}
                                                    ^^^^^^
    rule: a length in m, mm, km or cm, above 0 m - Outer radius. Larger: weaker links.
    example: to: 500 m"""
    )


def test_the_caret_stands_below_a_key_that_nothing_reads() -> None:
    rows = text_of(LEAST.replace("count", "cuont")).split("\n")
    assert not [row for row in rows if "is missing" in row], "it is there, only misspelt"
    at = rows.index("s.yaml:5:11: clients.cuont: unknown key; did you mean 'count'?")
    assert rows[at + 1] == "    clients: {cuont: 1, placement: {kind: disc, to: 50 m}, compute: {time: 1 s}}"
    assert rows[at + 2] == "              ^^^^^"
    assert rows[at + 3].startswith("    rule: keys here: count, placement, mobility, ")
    assert rows[-1] == "    example: count: 1"


@pytest.mark.parametrize(
    ("written", "meant"),
    [("SOFT", "soft-tsfa"), ("soft_plus", "soft-plus-tsfa"), ("Dense", "dense"), ("sotf-tsfa", "soft-tsfa"),
     ("tsfa", "tsfa_alone"), ("so", ""), ("", ""), ("nothing", "")],
)  # fmt: skip
def test_the_nearest_name_may_have_other_capitals_or_go_on(written: str, meant: str) -> None:
    assert nearest(written, ["soft-tsfa", "soft-plus-tsfa", "dense", "tsfa_alone"]) == meant


def test_an_unknown_kind_lists_all_kinds() -> None:
    assert (
        text_of(LEAST.replace("head_only", "headonly"))
        == """\
s.yaml:6:16: method.kind: unknown kind 'headonly'; did you mean 'head_only'?
    method: {kind: headonly}
                   ^^^^^^^^
    rule: kinds: head_only, local_only, fedavg, ffa, soft, flora, fedex, flexlora, fedtt, fedtt_plus,
      sa_fedlora, zero_padding, h2tune, split, none
    example: method: {kind: head_only}"""
    )


def test_an_override_is_quoted_with_the_caret_below_its_value() -> None:
    assert text_of(LEAST, "clients.count=none").split("\n")[:3] == [
        "command line: clients.count=none: clients.count: must be a whole number; got 'none'",
        "    clients.count=none",
        "                  ^^^^",
    ]


def test_an_inner_value_of_an_override_has_its_own_caret() -> None:
    override = "clients.placement={kind: disc, to: 5 Hz}"
    rows = text_of(LEAST, override).split("\n")
    assert rows[1][rows[2].index("^") : rows[2].rindex("^") + 1] == "5 Hz"


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("description: [\u7121\u7dda]", "description"),
        ("learning: {data: {name: \u7121\u7dda\u7121\u7dda, train: -7}}", "-7"),
        ("learning: {data: {name: e\u0301te\u0301, train: -7}}", "-7"),
        ('learning: {data: {name: "a\tb\t", train: -7}}', "-7"),
        (f"learning: {{data: {{name: {'x' * 300}, train: -7, test: 1}}}}", "-7"),
        (f"learning: {{data: {{train: -7, name: {'x' * 300}}}}}", "-7"),
    ],
    ids=["a list", "wide letters", "accents", "tabs", "a long line, at its end", "a long line, at its start"],
)
def test_the_caret_is_right_under_odd_lines(line: str, meant: str) -> None:
    from unicodedata import combining, east_asian_width

    rows = text_of(LEAST + line).split("\n")
    cells = "".join(c * (0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1) for c in rows[1])
    assert cells[rows[2].index("^") : rows[2].rindex("^") + 1] == meant
    assert len(rows[1]) <= 4 + 110


def test_a_value_of_several_lines_is_pointed_to_by_its_key() -> None:
    rows = text_of(LEAST.replace("name: least", "name: >-\n  two\n  lines")).split("\n")
    assert rows[0].startswith("s.yaml:2:1: name: names a folder: ")
    assert rows[0].endswith("; got 'two lines'")
    assert rows[1:3] == ["    name: >-", "    ^^^^"]


def test_an_alias_is_pointed_to_where_it_stands() -> None:
    text = LEAST.replace("name: least", "name: &n least").replace("rounds: 2", "rounds: *n")
    assert text_of(text).split("\n")[:3] == [
        "s.yaml:3:9: rounds: must be a whole number; got 'least'",
        "    rounds: *n",
        "            ^^",
    ]


def test_windows_line_ends_do_not_show() -> None:
    windows = text_of(LEAST.replace("rounds: 2", "rounds: x").replace("\n", "\r\n"))
    assert windows == text_of(LEAST.replace("rounds: 2", "rounds: x"))


def test_control_characters_never_reach_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\n.yaml"
    said = []
    for text in (
        LEAST + "description: \x1b[2J",
        LEAST + '"\\e[2J": 1',
        LEAST + 'arms: {"\\e[2J": {}}',
        LEAST + "x: !\x9b t",
    ):
        path.write_bytes(text.encode())
        with pytest.raises(ScenarioError) as caught:
            load(path, ["arms.\x1b[2J.rounds=3", "rounds=\x1b[2J"])
        said.append(str(caught.value))
    for text in said:
        assert all(row.isprintable() for row in text.split("\n"))
    assert r"a\x1b[31m\n.yaml:7:14: holds the character \x1b, which YAML does not allow" in said[0]
    assert r"\x1b[2J: unknown key" in said[1]


def test_a_long_first_line_is_cut_and_keeps_the_end_of_a_file_name() -> None:
    file = Problem("/deep" * 100 + "/s.yaml", "k" * 500, "m" * 500, 3, 4)
    assert len(str(file)) <= 390
    assert str(file).startswith("... ")
    assert "/s.yaml:3:4: kkk" in str(file)
    override = Problem("command line: rounds=" + "9" * 500, "rounds", "is wrong")
    assert str(override).startswith("command line: rounds=999")
    assert str(override).endswith(" ...: rounds: is wrong")


def test_a_problem_is_a_record_for_programs() -> None:
    with pytest.raises(ScenarioError) as caught:
        parse(LEAST.replace("head_only", "headonly"), "s.yaml")
    (problem,) = caught.value.args
    assert json.loads(json.dumps(problem.as_dict())) == {
        "place": "s.yaml", "key": "method.kind", "message": "unknown kind 'headonly'", "line": 6, "column": 16,
        "near": "head_only", "rule": f"kinds: {', '.join(METHODS)}",
        "example": "method: {kind: head_only}",
        "source": "method: {kind: headonly}", "width": 8,
    }  # fmt: skip


def test_an_error_survives_pools_and_simulators() -> None:
    error = ScenarioError(Problem("s.yaml", "a", "is wrong", 1, 2), Problem("s.yaml", "b", "is missing"))
    for again in (type(error)(*error.args), pickle.loads(pickle.dumps(error))):
        assert again.args == error.args
        assert str(again) == str(error) == "s.yaml:1:2: a: is wrong\ns.yaml: b: is missing"


def test_problems_are_sorted_and_told_once_those_of_the_command_line_last_in_their_order() -> None:
    late, early, first = (Problem("s.yaml", "k", "m", line, column) for line, column in ((9, 1), (9, 0), (2, 7)))
    b, a = (Problem(f"command line: {key}=1", key, "m", 1, 3) for key in "ba")
    assert in_order([b, late, first, early, a, late]) == [first, early, late, b, a]


def test_printable_keeps_letters_and_escapes_the_rest() -> None:
    assert printable("5 \u00b5s \u7121 \U0001f600") == "5 \u00b5s \u7121 \U0001f600"
    assert printable("a\n\x1b\u202e\ud800") == r"a\n\x1b\u202e\ud800"
