"""The JSON Schema: current, valid itself, and of one mind with the reader of scenarios.

Knows the validator of the `jsonschema` package, which editors' tools and check-jsonschema build on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from wfl_sim import keys, schema
from wfl_sim.errors import ScenarioError
from wfl_sim.scenario import parse

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = sorted((ROOT / "scenarios").glob("*.yaml"))
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


def test_the_file_is_current() -> None:
    assert (ROOT / "scenarios" / "schema.json").read_text() == schema.text(), "run `make schema`"


def test_the_schema_is_a_valid_schema() -> None:
    Draft7Validator.check_schema(json.loads(schema.text()))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_scenario_is_accepted_and_names_the_schema(path: Path) -> None:
    assert path.read_text().splitlines()[0] == "# yaml-language-server: $schema=schema.json"
    assert not [error.message for error in VALIDATOR.iter_errors(read(path.read_text()))]


# One change each, refused by the schema and by the reader: where in the file, as a JSON path.
WRONG = [
    ("rounds: 1", "rounds: 0", "$.rounds"),
    ("rounds: 1", "rounds: one", "$.rounds"),
    ("rounds: 1", "roundz: 1", "$"),
    ("name: base", "name: a/b", "$.name"),
    ("name: base", "name: 5", "$.name"),
    ("schema_version: 1", "schema_version: 2", "$.schema_version"),
    ("kind: uma", "kind: umx", "$.channel.path_loss.kind"),
    ("kind: uma", "kind: uma, exponent: 3", "$.channel.path_loss"),
    ("{kind: uma}", "{line_of_sight: never}", "$.channel.path_loss"),
    ("{kind: uma}", "{kind: uma, line_of_sight: perhaps}", "$.channel.path_loss.line_of_sight"),
    ("{kind: uma}", "{kind: log_distance}", "$.channel.path_loss"),
    ("to: 100 m", "to: 100", "$.clients.placement.to"),
    ("to: 100 m", "to: 100 kHz", "$.clients.placement.to"),
    ("to: 100 m", "to: far", "$.clients.placement.to"),
    ("time: 400 ms", "time: 400 msec", "$.clients.compute.time"),
    ("count: 2", "count: 2.5", "$.clients.count"),
    ("count: 2, ", "", "$.clients"),
    ("rounds: 1", "rounds: 1\nseeds: [1, 1]", "$.seeds"),
    ("rounds: 1", "rounds: 1\nseeds: []", "$.seeds"),
    ("rounds: 1", "rounds: 1\nlearning: {targets: [2]}", "$.learning.targets[0]"),
    ("rounds: 1", "rounds: 1\nlearning: {local: {lr: 0}}", "$.learning.local.lr"),
    ("rounds: 1", "rounds: 1\nradio: {packet: 1500 b}", "$.radio.packet"),
    ("rounds: 1", "rounds: 1\nradio: {uplink: {work_conserving: no}}", "$.radio.uplink.work_conserving"),
    ("rounds: 1", "rounds: 1\narms: {a/b: {}}", "$.arms"),
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


def test_what_an_example_shows_is_accepted() -> None:
    for path, key in keys.paths():
        if len(path) == 1 and key.example():
            data = read(BASE) | read(key.example())
            assert not [e.message for e in VALIDATOR.iter_errors(data)], key.example()
