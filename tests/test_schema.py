"""The JSON Schema: current, valid itself, and of one mind with the reader of scenarios.

Knows the validator of the `jsonschema` package, which editors' tools and check-jsonschema build on.
"""

from __future__ import annotations

import copy
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from channels.units import symbols
from wfl_sim import keys, schema, yamlfile
from wfl_sim.errors import ScenarioError
from wfl_sim.resolve import SHARED
from wfl_sim.scenario import parse

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = sorted((ROOT / "scenarios").rglob("*.yaml"))
PATHS = list(keys.paths())
VALIDATOR = Draft7Validator(schema.schema())
BASE = """\
schema_version: 1
name: base
rounds: 1
channel: {path_loss: {kind: uma}}
clients: {count: 2, placement: {kind: disc, to: 100 m}, compute: {time: 400 ms}}
method: {kind: fedavg}
"""


def read(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@cache
def _example(text: str) -> Any:
    return yamlfile.read_text(f"x: {text}", "example").data["x"]


def example_of(key: keys.Key) -> Any:
    """The value of the example of a key; one's own, since a file would show what is shared as an alias."""
    return copy.deepcopy(_example(key.example_value()))


def test_the_file_is_current() -> None:
    assert (ROOT / "scenarios" / "schema.json").read_text() == schema.text(), "run `make schema`"


def test_the_schema_is_a_valid_schema() -> None:
    Draft7Validator.check_schema(json.loads(schema.text()))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_scenario_is_accepted_and_names_the_schema(path: Path) -> None:
    place = os.path.relpath(ROOT / "scenarios" / "schema.json", path.parent)
    assert path.read_text().splitlines()[0] == f"# yaml-language-server: $schema={place}"
    assert not [error.message for error in VALIDATOR.iter_errors(read(path.read_text()))]


# One change each, refused by the schema and by the reader: where in the file, as a JSON path.
WRONG = [
    ("rounds: 1", "rounds: 0", "$.rounds"),
    ("rounds: 1", "rounds: one", "$.rounds"),
    ("rounds: 1", "roundz: 1", "$"),
    ("name: base", "name: a/b", "$.name"),
    ("name: base", "name: 5", "$.name"),
    ("name: base", "name: nul", "$.name"),
    ("name: base", "name: Com1.txt", "$.name"),
    ("name: base", 'name: "base\\n"', "$.name"),
    ("schema_version: 1", "schema_version: 2", "$.schema_version"),
    ("kind: uma", "kind: umx", "$.channel.path_loss.kind"),
    ("kind: uma", "kind: uma, exponent: 3", "$.channel.path_loss"),
    ("{kind: uma}", "{line_of_sight: never}", "$.channel.path_loss"),
    ("{kind: uma}", "{kind: uma, line_of_sight: perhaps}", "$.channel.path_loss.line_of_sight"),
    ("{kind: uma}", "{kind: log_distance}", "$.channel.path_loss"),
    ("to: 100 m", "to: 100", "$.clients.placement.to"),
    ("to: 100 m", "to: 100 kHz", "$.clients.placement.to"),
    ("to: 100 m", "to: 100\u00a0m", "$.clients.placement.to"),
    ("to: 100 m", "to: \u0663 m", "$.clients.placement.to"),
    ("to: 100 m", "to: null", "$.clients.placement.to"),
    ("to: 100 m", "to: far", "$.clients.placement.to"),
    ("time: 400 ms", "time: 400 msec", "$.clients.compute.time"),
    ("count: 2", "count: 2.5", "$.clients.count"),
    ("count: 2, ", "", "$.clients"),
    ("rounds: 1", "rounds: 1\nseeds: [1, 1]", "$.seeds"),
    ("rounds: 1", "rounds: 1\nseeds: []", "$.seeds"),
    ("rounds: 1", "rounds: 1\nlearning: {targets: [0]}", "$.learning.targets[0]"),
    ("rounds: 1", "rounds: 1\nlearning: {local: {lr: 0}}", "$.learning.local.lr"),
    ("rounds: 1", "rounds: 1\nradio: {packet: 1500 b}", "$.radio.packet"),
    ("rounds: 1", "rounds: 1\nradio: {uplink: {work_conserving: no}}", "$.radio.uplink.work_conserving"),
    ("rounds: 1", "rounds: 1\narms: {a/b: {}}", "$.arms"),
    ("rounds: 1", "rounds: 1\narms: {con: {}}", "$.arms"),
    ("rounds: 1", "rounds: 1\narms: {a: {seeds: [1]}}", "$.arms.a"),
    ("rounds: 1", "rounds: 1\narms: {a: {method: {rnk: 3}}}", "$.arms.a.method"),
    ("rounds: 1", "rounds: 1\narms: {a: {schedule: {kind: tsfa, v: 0}}}", "$.arms.a.schedule.v"),
]


@pytest.mark.parametrize(("old", "new", "where"), WRONG, ids=[new for _, new, _ in WRONG])
def test_a_wrong_scenario_is_refused_at_the_place(old: str, new: str, where: str) -> None:
    assert BASE.count(old) == 1
    text = BASE.replace(old, new)
    assert where in [error.json_path for error in VALIDATOR.iter_errors(read(text))]
    with pytest.raises(ScenarioError):
        parse(text)


def test_an_arm_may_change_one_option_and_keep_the_kind() -> None:
    text = BASE + "arms: {a: {method: {alpha: 3}, clients: {placement: {to: 50 m}}}, b: {}, '3': {rounds: 2}}\n"
    assert not [error.message for error in VALIDATOR.iter_errors(read(text))]
    assert len(parse(text).cells) == 3


def test_every_key_is_described_where_an_editor_shows_it() -> None:
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            for name, about in node.get("properties", {}).items():
                if isinstance(about, dict) and ("description" in about or "$ref" in about or "const" in about):
                    found.add(name)
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(schema.schema())
    assert {path[-1] for path, _ in keys.paths()} <= found | {"kind"}


def choosing(path: tuple[str, ...]) -> list[dict[str, Any]]:
    """`BASE` with the mappings that a key can stand in, a document for each choice of kinds."""
    found: list[tuple[keys.Key, dict[str, Any], tuple[str, ...]]] = [(keys.root(), read(BASE), ())]
    documents: list[dict[str, Any]] = []
    while found:
        key, data, place = found.pop()
        for kind in key.kinds or ("",):
            child = key.below({"kind": kind}).get(path[len(place)])
            if child is None:
                continue
            copied = copy.deepcopy(data)
            inside = copied
            for part in place:
                inside = inside.setdefault(part, {})
            if key.kinds:
                inside.clear()
                inside |= read(keys.snippet(kind, key.kinds[kind]))
            elif key.option is not None and key.option.may_be_none:  # a group that nothing needs, but what is in it
                inside |= read(key.example())[key.name]
            if len(place) + 1 == len(path):
                documents.append(copied)
            else:
                found.append((child, copied, (*place, path[len(place)])))
    return documents


@pytest.mark.parametrize(("path", "key"), PATHS, ids=[".".join(path) for path, _ in PATHS])
def test_what_an_example_shows_is_accepted(path: tuple[str, ...], key: keys.Key) -> None:
    documents = choosing(path)
    assert documents
    for data in documents if path[-1] != "kind" else []:
        place = data
        for part in path[:-1]:
            place = place.setdefault(part, {})
        here = keys.find(path, data) or key  # two kinds may have keys of one name that take different values
        place[path[-1]] = example_of(here)
        assert not [e.message for e in VALIDATOR.iter_errors(data)], (here.example(), data)


# Of one mind with the reader

ODD = [
    None, True, 0, 1, -1, 2, 10**20, 0.5, 1.0, 1e308, "", "no", "0", "1", "1 %", "150 %", "-3 dB", "3 GHz",
    "3\u00a0GHz",
    " 3\tMHz ", "\u0663 m", "5 m", "2 \u03bcs", "2 MB", "0.02 kW", "x", "tsfa", "soft", [], [1], [0.5, "60 %"], {},
    {"kind": "uma"}, {"kind": None},
]  # fmt: skip


@st.composite
def value_of(draw: st.DrawFn, key: keys.Key, odd: int) -> Any:
    """A value at a key, about one in `odd` of any sort, and now and then null."""
    if odd and draw(st.integers(0, odd)) == 0:
        return draw(st.sampled_from(ODD))
    option = key.option
    if option is not None and not option.required and draw(st.integers(0, 9)) == 0 and option.default is None:
        return None
    if key.kinds or key.group is not None:
        return draw(mapping_of(key, odd))
    if option is not None and option.choices:
        return draw(st.sampled_from(option.choices))
    if option is not None and option.quantity is not None and draw(st.booleans()):
        unit = draw(st.sampled_from(symbols(option.quantity.unit)))
        return f"{draw(st.sampled_from(['1', '2.5', '.5', '30']))}{draw(st.sampled_from(['', ' ']))}{unit}"
    return example_of(key)


@st.composite
def mapping_of(draw: st.DrawFn, key: keys.Key, odd: int, least: bool = True) -> dict[str, Any]:
    """A mapping at a key: what it needs, and a few other keys; without the former if not `least`."""
    data: dict[str, Any] = {}
    if key.kinds and (key.usual_kind is None or draw(st.booleans())):
        data["kind"] = draw(st.sampled_from(sorted(key.kinds)))
    for name, child in key.below(data).items():
        needed = least and child.option is not None and child.option.required
        if name not in ("kind", "rank_selection", *SHARED) and (needed or draw(st.integers(0, 4)) == 0):
            data[name] = draw(value_of(child, odd))
    if "recorded" in key.below(data):  # which needs a file, and stands in place of what is modelled
        data.pop("recorded", None)
        if least:
            data["path_loss"] = draw(mapping_of(key.below(data)["path_loss"], odd))
    if least and "work" in key.below(data):  # which are alternatives to the time
        either = {"time": "1 s"}, {"time": None, "work": "20 GFLOP", "speed": "50 GFLOP/s"}, {"time": "5000 \u00b5s"}
        data = {name: value for name, value in data.items() if name not in either[1]} | draw(st.sampled_from(either))
    return data


@st.composite
def scenarios(draw: st.DrawFn) -> str:
    """A file: its keys right where it has arms, since what arms replace nobody reads, and those of arms less so."""
    odd = draw(st.sampled_from([0, 0, 60]))
    arms = draw(st.lists(st.sampled_from(["a", "b.c", "1"]), max_size=2, unique=True))
    data = draw(mapping_of(keys.root(), 0 if arms else odd)) | {"schema_version": 1, "name": "drawn"}
    data["seeds"] = draw(st.sampled_from([[1], [0, 7]]))
    method = data["method"]
    if not arms and isinstance(method, dict) and method.get("kind") in ("fedavg", "soft"):
        # The only ones that it always goes with; else `mapping_of` leaves it out.
        chosen = draw(mapping_of(keys.root().below()["rank_selection"], odd))
        data["rank_selection"] = {**chosen, "by": "tail", "latency_budget": "1 s"}
    if arms:
        data["arms"] = {arm: draw(mapping_of(keys.root(), odd, least=False)) for arm in arms}
        for name in draw(
            st.lists(st.sampled_from(["method", "rounds", "clients"]), max_size=1)
        ):  # each arm has its own
            for changes in data["arms"].values():
                changes.setdefault(name, data[name])
            del data[name]
    agree([data, *data.get("arms", {}).values()])
    return yamlfile.write(data, "drawn")


def agree(parts: list[Any]) -> None:
    """Mend what goes with some methods only, and would be refused in most files."""
    held = [part for part in parts if isinstance(part, dict)]
    methods, codecs, radios = (
        [part[name] for part in held if isinstance(part.get(name), dict)] for name in ("method", "codec", "radio")
    )
    for codec in codecs:
        if codec.get("kind") == "svd":
            codec["kind"] = "topk"
        if any(method.get("kind") in ("flora", "flexlora") for method in methods):
            codec["error_feedback"] = 0
    for radio in radios:  # a rate that is always met has nothing to repeat within a block
        if isinstance(radio.get("retransmission"), dict) and radio["retransmission"].get("kind") == "harq":
            del radio["retransmission"]
    for part in held:
        if isinstance(part.get("protocol"), dict) and part["protocol"].get("kind") == "deadline":
            part["protocol"]["deadline"] = "3 s"  # computing takes 1 s


@pytest.mark.parametrize(
    ("drawn", "least"), [(140, 40), pytest.param(1500, 600, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_what_the_reader_accepts_the_schema_accepts(drawn: int, least: int) -> None:
    accepted = []

    @settings(
        max_examples=drawn, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )  # fmt: skip
    @given(scenarios())
    def compare(text: str) -> None:
        try:
            parse(text)
        except ScenarioError:
            return
        data = yamlfile.read_text(text, "drawn").data
        assert not [f"{e.json_path}: {e.message}" for e in VALIDATOR.iter_errors(data)], text
        accepted.append("arms" in data)

    compare()
    assert len(accepted) >= least
    assert min(accepted.count(True), accepted.count(False)) >= least // 5


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("time: 400 ms", "time: null, work: 20 GFLOP, speed: 50 GFLOP/s"),
        ("rounds: 1", "rounds: 1\nlearning: {model: {layers: null}}"),
        ("rounds: 1", "rounds: 1\nlearning: {targets: [50 %]}"),
        ("rounds: 1", "rounds: 1\nradio: {downlink: {tx_power: 0.02 kW}, slot: 500 \u03bcs}"),
        ("method: {kind: fedavg}\n", "arms: {a: {method: {kind: fedavg}}, b: {method: {kind: head_only}}}\n"),
        ("placement: {kind: disc, to: 100 m}, ", ""),
    ],
)
def test_what_both_accept(old: str, new: str) -> None:
    arms = "arms: {a: {clients: {placement: {kind: disc, to: 1 km}}}}\n" if "placement" in old else ""
    text = BASE.replace(old, new) + arms
    assert parse(text).cells
    assert not [error.message for error in VALIDATOR.iter_errors(yamlfile.read_text(text, "").data)]


# One change each that the schema accepts and the reader refuses, and why it cannot be said in a schema.
BEYOND = [
    ("rounds: 1", "rounds: 10.0", "a whole number to JSON Schema"),
    ("rounds: 1", "rounds: 1\nlearning: {targets: [150 %]}", "a range of a text"),
    ("to: 100 m", "to: -5 m", "a range of a text"),
    ("to: 100 m", "to: 1e999 m", "more than floats hold"),
    ("rounds: 1", "rounds: 1\nradio: {downlink: {tx_power: 0 W}}", "a range of a text: no dBm"),
    ("rounds: 1", "rounds: 1\nradio: {header: 2000 B}", "joins two keys: the packet"),
    ("time: 400 ms", "power: 1 W", "joins two keys: either time, or work and speed"),
    ("rounds: 1", "rounds: 1\nlearning: {local: {lr: .nan}}", "JSON has no such number"),
    ("rounds: 1", "rounds: 1\nrounds: 1", "no such thing in JSON: a key given twice"),
    ("rounds: 1", "rounds: !!int 1", "no such thing in JSON: a tag"),
    ("rounds: 1", "rounds: 1\narms: {a: {}, A: {}}", "joins two keys: one folder on some systems"),
    ("method: {kind: fedavg}\n", "arms: {a: {method: {kind: fedavg}}, b: {}}\n", "joins two keys: no arm lacks it"),
    ("rounds: 1", "rounds: 1\narms: {a: {method: {orthogonality: 1}}}", "joins two keys: the kind of the file"),
]


@pytest.mark.parametrize(("old", "new", "why"), BEYOND, ids=[f"{new}: {why}" for _, new, why in BEYOND])
def test_what_the_schema_leaves_to_the_reader(old: str, new: str, why: str) -> None:
    text = BASE.replace(old, new)
    with pytest.raises(ScenarioError):
        parse(text)
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = True
    assert not [error.message for error in VALIDATOR.iter_errors(yaml.load(text))], why


def test_an_arm_that_replaces_what_nobody_reads_is_the_one_exception() -> None:
    text = BASE.replace("rounds: 1", "rounds: no") + "arms: {a: {rounds: 2}}\n"
    assert parse(text).cells
    assert [error.json_path for error in VALIDATOR.iter_errors(read(text))] == ["$.rounds"]


def test_texts_show_single_backticks_and_defaults_whole_numbers() -> None:
    assert "``" not in schema.text()
    assert schema.schema()["definitions"]["devices.Compute"]["properties"]["jitter"]["default"] == 0
    assert re.findall(r'"default": "?-?[0-9.]+\.0"?[,\n]', schema.text()) == []
