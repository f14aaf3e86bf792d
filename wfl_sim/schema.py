"""The JSON Schema of a scenario file, for editors and for checks without this package.

Knows the tree of keys and nothing else. ``python -m wfl_sim.schema FILE`` writes it; editors find it by the first line
of a scenario (``# yaml-language-server: $schema=schema.json``).

Draft 7, which every YAML editor reads. What a scenario may hold, the schema accepts, with one exception: it also checks
what is read by nobody, since every arm replaces it. It accepts more than the reader does, and leaves to ``wfl-sim
validate``:

- ranges of quantities with a unit and of percentages (``targets: [150 %]``), and numbers beyond those of a computer;
- rules that join keys (a packet below its header), and names of packages and data;
- keys that are missing from a file with arms or a grid, which may add them, and what an option needs of its arm's kind;
- two arms or points that are the same scenario;
- ``rounds: 10.0``, which to JSON Schema is a whole number;
- what YAML tells and JSON does not: tags, keys given twice, ``.nan``;
- arms whose names differ in capitals alone.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from channels.describe import Option
from channels.options import Whole
from channels.units import Quantity, pattern
from wfl_sim import keys
from wfl_sim.resolve import SHARED
from wfl_sim.scenario import DEVICE, FOLDER
from wfl_sim.seeds import PATTERN

Json = dict[str, Any]


def schema() -> Json:
    """The whole schema: a scenario, and below ``arms`` the same with nothing required.

    With arms or a grid, nothing but what they share is required of the file itself.
    """
    definitions: Json = {}
    scenario = _group(keys.root(), definitions, partial=False)
    arm = _group(keys.root(), definitions, partial=True)
    shared = {name: scenario["properties"].pop(name) for name in SHARED}
    arm["properties"] = {name: about for name, about in arm["properties"].items() if name not in SHARED}
    definitions["arm"] = {**arm, "description": "What an arm changes; the rest is that of the file."}
    shared["name"]["pattern"] = _folder()
    listed = {name: shared["seeds"].pop(name) for name in ("type", "items")}
    listed["items"]["minimum"] = 0
    shared["seeds"]["anyOf"] = [{**listed, "minItems": 1, "uniqueItems": True}, {"type": "string", "pattern": PATTERN}]
    shared["arms"] = {
        "description": "The runs to compare: the name of each, and the keys that it changes.",
        "type": "object",
        "propertyNames": {"pattern": _folder()},
        "additionalProperties": {"$ref": "#/definitions/arm"},
    }
    shared["grid"] = {
        "description": "Keys, with dots, and the values of each: every arm runs at every point of their product.",
        "type": "object",
        "properties": {".".join(path): _axis(path, definitions) for path, _ in keys.paths() if path[0] not in SHARED},
        "patternProperties": {
            rf"^{re.escape('.'.join(path))}\.[^.]+(\..+)?$": {"type": "array", "minItems": 1, "uniqueItems": True}
            for path, key in keys.paths()
            if key.items is not None and path[0] not in SHARED  # an item of a list
        },
        "additionalProperties": False,
    }
    several = [{"required": [name], "properties": {name: {"minProperties": 1}}} for name in ("arms", "grid")]
    required = scenario["required"]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "wfl-sim scenario",
        "description": scenario["description"],
        "type": "object",
        "properties": shared,
        "propertyNames": {"enum": [*shared, *scenario["properties"]]},
        "required": [name for name in required if name in shared],
        "if": {"anyOf": several},
        "then": {"properties": arm["properties"]},
        "else": {
            "properties": scenario["properties"],
            "required": [name for name in required if name not in shared],
        },
        "definitions": dict(sorted(definitions.items())),
    }


def _axis(path: tuple[str, ...], definitions: Json) -> Json:
    """The values of one key, which may be of another type in another kind."""
    kinds = [key.kinds for key in keys.everywhere(path[:-1]) if key.kinds] if path[-1] == "kind" else []
    found: list[Json] = [{"enum": list(dict.fromkeys(kind for each in kinds for kind in each))}] if kinds else []
    for key in () if kinds else keys.everywhere(path):
        values = {name: about for name, about in _key(key, definitions, partial=True).items() if name != "default"}
        found += [values] if values not in found else []
    description = found[0].pop("description", None)
    items = found[0] if len(found) == 1 else {"anyOf": found}
    about = {"description": description} if description else {}
    return {**about, "type": "array", "minItems": 1, "uniqueItems": True, "items": items}


def _folder() -> str:
    """The names of a folder, in the words of ECMAScript, which has no ``(?i)`` and no ``fullmatch``."""
    device = re.sub("[a-z]", lambda letter: f"[{letter[0]}{letter[0].upper()}]", DEVICE.pattern.removeprefix("(?i)"))
    return rf"^(?!{device}$){FOLDER.pattern}$(?!\n)"


def text() -> str:
    """The schema as the file holds it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _group(key: keys.Key, definitions: Json, *, partial: bool) -> Json:
    """A mapping with a fixed set of keys."""
    below = key.below()
    required = [name for name, child in below.items() if child.option is not None and child.option.required]
    found: Json = {
        "description": key.text,
        "type": "object",
        "properties": {name: _key(child, definitions, partial=partial) for name, child in below.items()},
        "additionalProperties": False,
    }
    return found if partial or not required else {**found, "required": required}


def _key(key: keys.Key, definitions: Json, *, partial: bool) -> Json:
    about: Json = {"description": key.text} if key.text else {}
    option = key.option
    found: Json | None = None
    if key.kinds:
        found = _kinds(key, definitions, partial=partial)
    elif key.group is not None:
        found = {"$ref": _define(key.group, key, definitions, partial=partial)}
    if found is not None:
        if option is not None and option.may_be_none:
            found = _or_null(found)
        return found if "$ref" in found else about | found  # what stands beside a reference is not read
    if key.items is not None:
        found = {"type": "array", "items": _key(key.items, definitions, partial=partial)}
    elif option is None:
        found = {"type": "string"}
    elif option.choices:
        found = {"enum": list(option.choices)}
    elif isinstance(option.limit, Quantity):
        found = _quantity(option.limit)
    elif isinstance(option.limit, Whole):
        bounds = {"minimum": option.limit.ge, "maximum": option.limit.le}
        found = {"type": "integer", **{word: bound for word, bound in bounds.items() if bound is not None}}
    else:
        found = {"type": {"a whole number": "integer", "true or false": "boolean"}.get(key.type_name(), "string")}
    if option is not None and option.may_be_none:
        found = _or_null(found)
    if option is not None and option.shown_default:
        found["default"] = _default(option)
    return about | found


def _or_null(found: Json) -> Json:
    """The same, or null, with which an arm takes back what the file says."""
    if isinstance(found.get("type"), str):
        return {**found, "type": [found["type"], "null"]}
    return {"anyOf": [*(found["anyOf"] if set(found) == {"anyOf"} else [found]), {"type": "null"}]}


def _default(option: Option) -> Any:
    """A default as JSON holds it: quantities as texts, whole numbers without their ``.0``."""
    if isinstance(option.default, tuple):
        return list(option.default)
    if isinstance(option.default, (bool, int)):
        return option.default
    if option.quantity is not None and option.quantity.unit == "1":
        return json.loads(option.shown_default)
    return option.shown_default


def _kinds(key: keys.Key, definitions: Json, *, partial: bool) -> Json:
    """One of several models, told apart by ``kind``; an arm may name none and change options of any."""
    assert key.kinds is not None
    if len(key.kinds) == 1:  # `kind` may be left out
        kind, cls = next(iter(key.kinds.items()))
        return {"$ref": _define(cls, keys.Key("", group=cls), definitions, partial=partial, kind=kind)}
    cases: list[Json] = []
    anything = {"kind"}
    for kind, cls in key.kinds.items():
        model = keys.Key("", group=cls)
        anything |= set(model.below())
        reference = _define(cls, keys.Key("", group=cls), definitions, partial=partial, kind=kind)
        chosen: Json = {"properties": {"kind": {"const": kind}}}  # also where no kind is named
        if key.option is not None and key.option.may_be_none:
            chosen["type"] = "object"  # null has any properties
        if partial or kind != key.usual_kind:
            chosen["required"] = ["kind"]
        cases.append({"if": chosen, "then": {"$ref": reference}})
    kinds = [{"const": kind, "description": keys.Key("", group=cls).text} for kind, cls in key.kinds.items()]
    found: Json = {"type": "object", "properties": {"kind": {"anyOf": kinds}}, "allOf": cases}
    if partial:
        return {**found, "propertyNames": {"enum": sorted(anything)}}
    return found if key.usual_kind else {**found, "required": ["kind"]}


def _define(cls: type, key: keys.Key, definitions: Json, *, partial: bool, kind: str = "") -> str:
    """A reference to the definition of a class, which is made when it is met first."""
    name = f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}{'-changes' if partial else ''}"
    if name not in definitions:
        definitions[name] = {}  # so that a class inside itself would end
        definitions[name] = _group(key, definitions, partial=partial)
        if kind:
            definitions[name]["properties"] = {"kind": {"const": kind}, **definitions[name]["properties"]}
    return f"#/definitions/{name}"


def _quantity(quantity: Quantity) -> Json:
    text = {"type": "string", "pattern": pattern(quantity.unit)}
    if quantity.unit != "1":
        return text
    names = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
    bounds = {word: bound for name, word in names.items() if (bound := getattr(quantity, name)) is not None}
    return {"anyOf": [{"type": "number", **bounds}, text]}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
