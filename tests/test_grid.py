"""Grids: cells are a product, a point is an override, names are folders, and what is wrong is told at its place.

Knows `tests/small.yaml` and texts; nothing is run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from math import prod
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from wfl_sim import grid, pointnames, present, schema, seeds, yamlfile
from wfl_sim.errors import ManyCells, ScenarioError
from wfl_sim.estimate import MOST_PLANNED, estimate
from wfl_sim.resolve import MOST_CELLS, MOST_EVER
from wfl_sim.scenario import DEVICE, Cell, Study, load, parse, to_yaml

Read = Callable[..., Study]
ROOT = Path(__file__).resolve().parents[1]
BASE = (ROOT / "tests" / "small.yaml").read_text(encoding="utf-8")
NO_ARMS = BASE.partition("arms:")[0].replace("method: {kind: fedavg, rank: 8}", "method: {kind: none, payload: 1 Mbit}")
GRID = "grid: {radio.uplink.bandwidth: [1 MHz, 2 MHz], clients.count: [4, 5, 6]}\n"


def folders(study: Study) -> list[str]:
    return [cell.folder for cell in study.cells]


# The product


def test_cells_are_the_product_with_the_last_key_fastest(read: Read) -> None:
    cells = read(NO_ARMS + GRID).cells
    points = [(bandwidth, count) for bandwidth in (1e6, 2e6) for count in (4, 5, 6)]
    assert [(c.seed, c.scenario.radio.uplink.bandwidth_hz, c.scenario.clients.count) for c in cells] == [
        (seed, *point) for seed in (0, 1) for point in points
    ]
    assert [tuple(x.value for x in cell.point) for cell in cells] == 2 * points
    assert cells[0].point[0] == ("radio.uplink.bandwidth", "1 MHz", 1e6, "Hz")
    assert cells[0].point[1] == ("clients.count", "4", 4.0, "")
    assert (cells[0].arm, cells[0].group) == ("none-bandwidth=1MHz-count=4", "none")
    assert cells[0].folder == "none-bandwidth=1MHz-count=4-seed0"


def test_without_a_grid_names_are_as_ever(read: Read) -> None:
    assert [(c.arm, c.group, c.point) for c in read(BASE).cells][:2] == [
        ("plain", "plain", ()), ("adaptive", "adaptive", ())
    ]  # fmt: skip


AXES = {
    "radio.uplink.bandwidth": ["1 MHz", "2 MHz", "3 MHz"],
    "clients.count": ["4", "5"],
    "schedule.v": ["1", "10"],
    "channel.fading.kind": ["rayleigh", "none"],
    "method.rank": ["2", "6", "16"],
}


@settings(max_examples=8)
@given(st.lists(st.sampled_from(sorted(AXES)), unique=True, min_size=1, max_size=3), st.booleans())
def test_a_point_is_what_the_overrides_written_by_hand_are(chosen: list[str], in_file: bool) -> None:
    """In the file and on the command line, for arms that have a key and for those that have not."""
    written = ", ".join(f"{key}: [{', '.join(AXES[key])}]" for key in chosen)
    text, overrides = (
        (f"{BASE}grid: {{{written}}}\n", ()) if in_file else (BASE, [f"{k}={','.join(AXES[k])}" for k in chosen])
    )
    cells = parse(text, "s.yaml", overrides).cells
    has = {"plain": set(AXES) - {"schedule.v"}, "adaptive": set(AXES)}
    assert len(cells) == 2 * sum(prod(len(AXES[key]) for key in chosen if key in has[arm]) for arm in has)
    half = len(cells) // 2  # those of the first seed
    for cell in (cells[0], cells[half // 2], cells[half - 1]):
        assert [x.key for x in cell.point] == [key for key in chosen if key in has[cell.group]]
        others = "arms.adaptive" if cell.group == "plain" else "arms.plain"  # so that the arms stay unlike
        by_hand = parse(BASE, "s.yaml", [*(f"{x.key}={x.text}" for x in cell.point), f"{others}.rounds=1"])
        (same,) = (other for other in by_hand.cells if (other.arm, other.seed) == (cell.group, cell.seed))
        assert same.scenario == cell.scenario
        assert parse(to_yaml(cell.scenario)).cells[0].scenario == cell.scenario


def test_an_axis_that_an_arm_has_no_use_for_is_left_out_of_its_points(read: Read) -> None:
    study = read(BASE + "grid: {schedule.v: [1, 2], method.rank: [2, 3]}\n", "seeds=[0]")
    assert [cell.arm for cell in study.cells] == [
        "plain-rank=2", "plain-rank=3",
        "adaptive-v=1-rank=2", "adaptive-v=1-rank=3", "adaptive-v=2-rank=2", "adaptive-v=2-rank=3",
    ]  # fmt: skip
    assert [cell.scenario.method.rank for cell in study.cells] == 3 * [2, 3], "a point wins over file and arm"  # type: ignore[attr-defined]


def test_a_kind_is_set_before_its_options_however_they_are_written(read: Read) -> None:
    axes = ["channel.fading.k: [3 dB, 6 dB]", "channel.fading.kind: [rician, rayleigh]"]
    names = [
        {cell.arm for cell in read(f"{NO_ARMS}grid: {{{', '.join(order)}}}\n").cells} for order in (axes, axes[::-1])
    ]
    assert names[0] == {"none-k=3dB-fading=rician", "none-k=6dB-fading=rician", "none-fading=rayleigh"}
    assert names[1] == {"none-fading=rician-k=3dB", "none-fading=rician-k=6dB", "none-fading=rayleigh"}


# The command line


def test_an_axis_of_the_command_line_replaces_that_of_the_file_in_its_place(read: Read) -> None:
    cells = read(NO_ARMS + GRID, "seeds=[0]", "radio.uplink.bandwidth=5 MHz,6 MHz", "radio.latency=1 ms,2 ms").cells
    assert {tuple(x.text for x in cell.point) for cell in cells} == {
        (band, count, latency) for band in ("5 MHz", "6 MHz") for count in "456" for latency in ("1 ms", "2 ms")
    }


def test_a_single_value_removes_an_axis(read: Read) -> None:
    cells = read(NO_ARMS + GRID, "seeds=[0]", "clients.count=7").cells
    assert [(cell.arm, cell.scenario.clients.count) for cell in cells] == [
        ("none-bandwidth=1MHz", 7), ("none-bandwidth=2MHz", 7)
    ]  # fmt: skip
    assert [c.arm for c in read(NO_ARMS + GRID, "seeds=[0]", "grid={}").cells] == ["none"]
    assert len(read(NO_ARMS + GRID, "grid={clients.count: [8, 9]}", "seeds=[0]").cells) == 2


def test_the_last_of_an_axis_and_a_single_value_counts(read: Read) -> None:
    for texts, number in ((("clients.count=4,5", "clients.count=6"), 1), (("clients.count=6", "clients.count=4,5"), 2)):
        assert len(read(NO_ARMS, "seeds=[0]", *texts).cells) == number


def test_an_override_of_one_arm_fixes_in_it_what_the_grid_varies(read: Read) -> None:
    study = read(BASE + "grid: {rounds: [4, 5]}\n", "arms.plain.rounds=9", "seeds=[0]")
    assert [(cell.arm, cell.scenario.rounds) for cell in study.cells] == [
        ("plain", 9), ("adaptive-rounds=4", 4), ("adaptive-rounds=5", 5)
    ]  # fmt: skip


def test_an_option_on_the_command_line_reaches_the_points_whose_kind_has_it(read: Read) -> None:
    cells = read(
        NO_ARMS + "grid: {channel.fading.kind: [rayleigh, rician]}\n", "channel.fading.k=3 dB", "seeds=[0]"
    ).cells
    assert [getattr(cell.scenario.channel.fading, "k_db", None) for cell in cells] == [None, 3.0]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("1 MHz,2 MHz", ["1 MHz", "2 MHz"]), ("[1, 2]", ["[1, 2]"]), ("[1, 2],[3]", ["[1, 2]", "[3]"]),
        ("{kind: a, b: [1, 2]}, x", ["{kind: a, b: [1, 2]}", " x"]), ("'a,b',c", ["'a,b'", "c"]),
        ('{a: "x,]", b: 1},2', ['{a: "x,]", b: 1}', "2"]), ("it's,so", ["it's", "so"]), ("a,", ["a", ""]), ("", [""]),
    ],
)  # fmt: skip
def test_commas_split_where_they_stand_in_no_bracket_and_no_quotes(text: str, pieces: list[str]) -> None:
    assert yamlfile.split(text) == pieces


@given(st.text(alphabet="a,[]{}'\": "))
def test_pieces_are_the_text(text: str) -> None:
    assert ",".join(yamlfile.split(text)) == text


def test_texts_keep_their_commas(read: Read) -> None:
    study = read(NO_ARMS, "description=one, two", "learning.data.name=csv:a,b.csv", "seeds=[0]")
    assert [cell.scenario.description for cell in study.cells] == ["one, two"]
    assert study.cells[0].scenario.learning.data.name == "csv:a,b.csv"


# Seeds


@pytest.mark.parametrize(("written", "meant"), [("1..5", (1, 2, 3, 4, 5)), ("7 .. 7", (7,)), ("[3, 1]", (3, 1))])
def test_seeds_are_a_list_or_a_range_with_both_ends(read: Read, written: str, meant: tuple[int, ...]) -> None:
    assert tuple(c.seed for c in read(NO_ARMS.replace("[0, 1]", written)).cells) == meant
    assert tuple(c.seed for c in read(NO_ARMS, f"seeds={written}").cells) == meant
    assert seeds.count(yamlfile.read_text(f"x: {written}", "x").data["x"]) == len(meant)


@pytest.mark.parametrize(("written", "meant"), [("4,2,9", [4, 2, 9]), ("4", [4])])
def test_seeds_of_a_command_line_are_a_list(read: Read, written: str, meant: list[int]) -> None:
    assert [c.seed for c in read(NO_ARMS, f"seeds={written}").cells] == meant


# Names

PARTS = st.lists(st.sampled_from(["a", "b", "bandwidth", "uplink", "kind"]), min_size=1, max_size=3).map(tuple)
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*")


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
    st.lists(PARTS, unique=True, min_size=1, max_size=4),
    st.data(),
)
def test_names_are_unique_folders_of_any_system(group: str, paths: list[tuple[str, ...]], data: st.DataObject) -> None:
    labels = pointnames.labels(paths)
    assert len(set(labels)) == len(paths)
    value = st.text(max_size=40) | st.sampled_from(["1 MHz", "1 mHz", "1 M Hz", "10 %", "30 km/h", "", "con", "-5 m"])
    texts = [data.draw(st.lists(value, unique=True, min_size=1, max_size=4)) for _ in paths]
    names = [""]
    for label, tokens in zip(labels, map(pointnames.tokens, texts), strict=True):
        names = [f"{name}\n{label}={token}" for name in names for token in tokens]
    called = [pointnames.name(group, name.split("\n")[1:]) for name in names]
    assert len({name.lower() for name in called}) == len(called) == prod(map(len, texts))
    for name in called:
        assert SAFE.fullmatch(name) and len(name) <= pointnames.LONGEST and not DEVICE.fullmatch(name)


@pytest.mark.parametrize(
    ("text", "token"),
    [("1 MHz", "1MHz"), ("10 %", "10pct"), ("30 km/h", "30kmph"), ("-5 dB", "-5dB"), ("0.5", "0.5"), ("a b/c", "a-b-c"),
     ("{kind: rician, k: 3 dB}", "rician-k-3dB")],
)  # fmt: skip
def test_values_stay_readable(text: str, token: str) -> None:
    assert pointnames.tokens([text]) == [token]


def test_keys_are_called_by_as_many_words_as_tell_them_apart() -> None:
    paths = [
        ("radio", "uplink", "bandwidth"),
        ("radio", "downlink", "bandwidth"),
        ("channel", "fading", "kind"),
        ("rounds",),
    ]
    assert pointnames.labels(paths) == ["uplink.bandwidth", "downlink.bandwidth", "fading", "rounds"]


# What is wrong

WRONG: list[tuple[str, str]] = [
    ("grid: 3", "s.yaml:22:7: grid: must be a mapping of dotted keys to lists of values; got 3"),
    ("grid: [rounds]", "s.yaml:22:1: grid: must be a mapping of dotted keys to lists of values; got ['rounds']"),
    ("grid: {rounds: 4}", "s.yaml:22:16: grid.rounds: must be a list of values; got 4"),
    ("grid: {rounds: []}", "s.yaml:22:8: grid.rounds: has no values"),
    ("grid: {rounds: [4, 5, 4]}", "s.yaml:22:23: grid.rounds.2: has the value 4 twice"),
    (
        "grid: {radio: {latency: [1 ms]}}",
        "s.yaml:22:8: grid.radio: must be a list of values; write the whole key with dots; got {'latency': ['1 ms']}",
    ),
    ("grid: {roundz: [4]}", "s.yaml:22:8: grid.roundz: unknown key; did you mean 'rounds'?"),
    ("grid: {radio.latenzy: [1 ms]}", "s.yaml:22:8: grid.radio.latenzy: unknown key; did you mean 'latency'?"),
    ("grid: {radio..latency: [1 ms]}", "s.yaml:22:8: grid.radio..latency: is no dotted key"),
    (
        "grid: {seeds: [[1], [2]]}",
        "s.yaml:22:8: grid.seeds: is the same for all arms of a file, so a grid cannot vary it",
    ),
    ("grid: {name: [a, b]}", "s.yaml:22:8: grid.name: is the same for all arms of a file, so a grid cannot vary it"),
    (
        "grid: {arms.plain.rounds: [4]}",
        "s.yaml:22:8: grid.arms.plain.rounds: is no key that a grid can vary: name one that the arms have, without "
        "'arms.'",
    ),
    ("grid: {radio.latency: [1 ms, 2]}", "s.yaml:22:30: grid.radio.latency.1: needs a unit; got the bare number 2"),
    ("grid: {clients.count: [0, 4]}", "s.yaml:22:24: grid.clients.count.0: must be at least 1; got 0"),
    ("grid: {channel.fading.kind: [none, x]}", "s.yaml:22:36: grid.channel.fading.kind.1: unknown kind 'x'"),
    (
        "grid: {radio.latency: [1 ms, 0.001 s]}",
        "s.yaml:22:30: radio.latency: latency=0.001s and latency=1ms are the same scenario, and would be the same run; "
        "leave one out",
    ),
    (
        "arms: {a: {}, b: {rounds: 3}}",
        "s.yaml:22:15: arms.b: b and a are the same scenario, and would be the same run; leave one out",
    ),
    (
        "arms: {a: {}, b: {rounds: 4}}\ngrid: {rounds: [5, 6]}",
        "s.yaml:22:15: arms.b: b-rounds=5 and a-rounds=5 are the same scenario, and would be the same run; leave one "
        "out",
    ),
    ("arms: {a: {grid: {}}}", "s.yaml:22:12: arms.a.grid: is the same for all arms of a file"),
]


@pytest.mark.parametrize(("text", "line"), WRONG, ids=[text for text, _ in WRONG])
def test_each_wrong_grid_gets_exactly_this_line(problems: Callable[..., list[str]], text: str, line: str) -> None:
    assert problems(f"{NO_ARMS}{text}\n") == [line]


WRONG_OVERRIDES: list[tuple[str, str]] = [
    (
        "grid.rounds=[4, 5]",
        "grid.rounds: axes are written without 'grid.': each value behind the key, with commas between",
    ),
    ("arms.plain.rounds=4,5", "arms.plain.rounds: commas make an axis of the grid, which is for all arms"),
    ("roundz=4,5", "roundz: unknown key; did you mean 'rounds'?"),
    ("rounds=4,5,4", "rounds: has the value 4 twice"),
    ("rounds=4,", "rounds: has a comma without a value"),
    ("rounds=4,x", "rounds: must be a whole number; got 'x'"),
    ("radio.latency=1 ms,[2", "radio.latency: is not YAML: a bracket is opened here and not closed"),
    ("seeds=5..1", "seeds: a range runs from the smaller to the larger number; got '5..1'"),
    ("seeds=1..x", "seeds: must be a list, or a range such as 1..5; got '1..x'"),
    ("seeds=1,x", "seeds.1: must be a whole number; got 'x'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line"), WRONG_OVERRIDES, ids=[text for text, _ in WRONG_OVERRIDES])
def test_each_wrong_axis_gets_exactly_this_line(problems: Callable[..., list[str]], text: str, line: str) -> None:
    assert problems(BASE, text) == [f"command line: {text}: {line}"]


def test_every_value_of_every_axis_is_told_at_once(problems: Callable[..., list[str]]) -> None:
    lines = problems(NO_ARMS + "grid: {rounds: [1, 0], clients.count: [4, x], radio.latency: [1 ms, 2]}\n")
    assert [line.split(": ")[1] for line in lines] == ["grid.rounds.1", "grid.clients.count.1", "grid.radio.latency.1"]


def test_a_rule_that_one_point_breaks_names_the_point(problems: Callable[..., list[str]]) -> None:
    text = NO_ARMS + "schedule: {kind: tsfa, latency_budget: 1 s}\n".join(["", ""])
    text = text.replace("schedule: {kind: equal}\n", "") + "grid: {clients.compute.time: [0.2 s, 2 s]}\n"
    (line,) = problems(text)
    assert "schedule.latency_budget: must be above 2 s" in line
    assert line.endswith("(in arm time=2s)")


def test_arms_that_an_override_makes_alike_are_both_run(read: Read) -> None:
    text = NO_ARMS + "arms: {a: {rounds: 4}, b: {rounds: 5}}\n"
    assert [cell.arm for cell in read(text, "rounds=6", "seeds=[0]").cells] == ["a", "b"]
    several = ["a-rounds=6", "a-rounds=7", "b-rounds=6", "b-rounds=7"]
    assert [cell.arm for cell in read(text, "rounds=6,7", "seeds=[0]").cells] == several
    with pytest.raises(ScenarioError, match="are the same scenario"):  # the file itself is to blame
        read(text + "grid: {rounds: [6, 7]}\n")


# Size


def test_a_million_cells_are_refused_before_any_is_resolved(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wfl_sim.sections.Sections.read", lambda *_: pytest.fail("something was resolved"))
    for texts in (["seeds=1..1000000"], ["seeds=1..100000", "rounds=1,2,3,4,5", "clients.count=4,5"]):
        with pytest.raises(ManyCells) as caught:
            read(NO_ARMS, *texts)
        assert caught.value.cells == 10**6 > MOST_CELLS
        (problem,) = caught.value.args
        assert "1,000,000 cells" in str(problem) and "--yes" in str(problem) and "\n" not in str(problem)
        assert problem.as_dict()["cells"] == 10**6
        assert ManyCells(*caught.value.args).cells == 10**6


def test_more_than_any_study_may_have_is_refused_also_if_it_is_meant() -> None:
    with pytest.raises(ManyCells, match="the most that any may have"):
        parse(NO_ARMS, "s.yaml", [f"seeds=1..{MOST_EVER + 1}"], many=True)


def test_as_many_as_are_not_asked_about_are_read_and_more_if_they_are_meant() -> None:
    assert len(parse(NO_ARMS, "s.yaml", [f"seeds=1..{MOST_CELLS}"]).cells) == MOST_CELLS
    assert len(parse(NO_ARMS, "s.yaml", [f"seeds=0..{MOST_CELLS}"], many=True).cells) == MOST_CELLS + 1


def test_what_is_counted_is_what_is_resolved() -> None:
    """Also where an axis decides whether another applies."""
    texts = ["channel.fading.kind=rayleigh,rician,none", "channel.fading.k=1 dB,2 dB", "schedule.v=1,2,3", "rounds=1,2"]
    cells = parse(BASE, "s.yaml", texts).cells
    assert len(cells) == 2 * (1 + 3) * (1 + 2 + 1) * 2
    with pytest.raises(ManyCells) as caught:
        parse(BASE, "s.yaml", [*texts, f"seeds=1..{MOST_CELLS}"])
    assert caught.value.cells == len(cells) // 2 * MOST_CELLS


def test_many_arms_are_estimated_by_some() -> None:
    few = parse(NO_ARMS, "s.yaml", ["seeds=0..59"])
    many = parse(NO_ARMS, "s.yaml", ["seeds=[0]", f"radio.latency={','.join(f'{n + 1} us' for n in range(60))}"])
    one, all_ = estimate(few, jobs=1), estimate(many, jobs=1)
    assert (len(all_.arms), all_.arm_count, all_.cells) == (MOST_PLANNED, 60, 60)
    assert [all_.arms[0].arm, all_.arms[-1].arm] == [many.cells[0].arm, many.cells[-1].arm]
    # A latency of microseconds changes nothing that a plan shows, so 60 arms cost what 60 seeds of one cost.
    assert all_.wall_s == pytest.approx(one.wall_s, rel=1e-3)
    assert f"{MOST_PLANNED} of 60 arms" in present.estimate_text(all_)


# Of one mind with the schema

VALIDATOR = Draft7Validator(schema.schema())


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("grid: {radio.uplink.bandwidth: [1 MHz], clients.count: [4, 5]}", True),
        ("grid: {channel.fading.kind: [rayleigh, none]}", True),
        ("grid: {channel.fading: [{kind: rician, k: 3 dB}, {kind: none}]}", True),
        ("grid: {schedule.kind: [equal, min_max]}", True), ("seeds: 1..5", True), ("grid: {}", True),
        ("grid: {rounds: [0]}", False), ("grid: {rounds: []}", False), ("grid: {rounds: 3}", False),
        ("grid: {roundz: [3]}", False), ("grid: {seeds: [[1]]}", False), ("grid: [rounds]", False),
        ("grid: {radio.latency: [1 ms, 1 ms]}", False), ("grid: {schedule.kind: [equl]}", False),
        ("seeds: 1.5", False), ("seeds: 1-5", False),
    ],
)  # fmt: skip
def test_schema_and_reader_agree(text: str, right: bool) -> None:
    whole = NO_ARMS.replace("seeds: [0, 1]\n", "") + f"{text}\n"
    assert Draft7Validator.is_valid(VALIDATOR, yamlfile.read_text(whole, "s.yaml").data) is right
    if right:
        assert parse(whole).cells
    else:
        with pytest.raises(ScenarioError):
            parse(whole)


def test_a_grid_may_give_what_the_file_lacks() -> None:
    whole = NO_ARMS.replace("rounds: 3\n", "") + "grid: {rounds: [1, 2]}\n"
    assert [cell.scenario.rounds for cell in parse(whole, overrides=["seeds=[0]"]).cells] == [1, 2]
    assert VALIDATOR.is_valid(yamlfile.read_text(whole, "s.yaml").data)


def test_a_coordinate_is_a_number_in_the_unit_of_its_key(read: Read) -> None:
    text = (
        "grid: {clients.tx_power: [0.2 W], clients.mobility.speed: [36 km/h], channel.loss.probability: [10 %], "
        "radio.uplink.work_conserving: [true], method.kept_fractions: [[0.5, 1]]}\n"
    )
    (cell,) = read(NO_ARMS + text, "seeds=[0]").cells
    assert [(x.text, x.unit) for x in cell.point] == [
        ("0.2 W", "dBm"), ("36 km/h", "m/s"), ("10 %", ""), ("true", ""), ("[0.5, 1]", "")
    ]  # fmt: skip
    assert [x.value for x in cell.point] == pytest.approx([23.0103, 10.0, 0.1, None, None], abs=1e-4)


def test_the_example_of_a_grid_is_one() -> None:
    assert parse(f"{NO_ARMS}{grid.EXAMPLE}\n").cells


def test_runs_are_told_with_their_points() -> None:
    cell: Cell = load(ROOT / "scenarios" / "bandwidth_sweep.yaml").cells[0]
    told = json.loads(json.dumps(present.run_dict(cell)))
    assert told == {
        "arm": "equal-bandwidth=180kHz", "seed": 1, "group": "equal",
        "point": [{"key": "radio.uplink.bandwidth", "text": "180 kHz", "value": 180e3, "unit": "Hz"}],
    }  # fmt: skip
