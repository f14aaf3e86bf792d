"""The JSON Schema of a scenario file, for editors and for checks without this package.

Knows the tree of keys and nothing else. ``python -m wfl_sim.schema FILE`` writes it; editors find it by the first line
of a scenario (``# yaml-language-server: $schema=schema.json``).

Draft 7, which every YAML editor reads. A schema cannot say everything: rules that join keys, names of packages and the
ranges of quantities with a unit are left to ``wfl-sim validate``.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from channels.describe import describe
from channels.options import Whole
from channels.units import Quantity, symbols
from wfl_sim import keys

_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_SHARED = ("schema_version", "name", "description", "seeds")  # by all arms of a file
Json = dict[str, Any]


def schema() -> Json:
    """The whole schema: a scenario, and below ``arms`` the same with nothing required."""
    definitions: Json = {}
    scenario = _group(keys.root(), definitions, partial=False)
    arm = _group(keys.root(), definitions, partial=True)
    arm["properties"] = {name: about for name, about in arm["properties"].items() if name not in _SHARED}
    definitions["arm"] = {**arm, "description": "What an arm changes; the rest is that of the file."}
    scenario["properties"]["name"]["pattern"] = _NAME
    scenario["properties"]["seeds"] |= {"minItems": 1, "uniqueItems": True}
    scenario["properties"]["seeds"]["items"]["minimum"] = 0
    scenario["properties"]["arms"] = {
        "description": "The runs to compare: the name of each, and the keys that it changes.",
        "type": "object",
        "propertyNames": {"pattern": _NAME},
        "additionalProperties": {"$ref": "#/definitions/arm"},
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "wfl-sim scenario",
        **scenario,
        "definitions": dict(sorted(definitions.items())),
    }


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
    if key.kinds:
        found = _kinds(key, definitions, partial=partial)
        return found if "$ref" in found else about | found  # what stands beside a reference is not read
    if key.group is not None:
        return {"$ref": _define(key.group, key, definitions, partial=partial)}
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
    if option is not None and option.shown_default:
        default = option.default if isinstance(option.default, (bool, int)) else option.shown_default
        found["default"] = list(option.default) if isinstance(option.default, tuple) else default
    return about | found


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
        if partial or kind != key.usual_kind:
            chosen["required"] = ["kind"]
        cases.append({"if": chosen, "then": {"$ref": reference}})
    kinds = [{"const": kind, "description": describe(cls).summary} for kind, cls in key.kinds.items()]
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
    units = "|".join(map(re.escape, symbols(quantity.unit)))
    if quantity.unit != "1":
        return {"type": "string", "pattern": rf"^\s*{_NUMBER}\s*({units})\s*$"}
    names = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
    bounds = {word: bound for name, word in names.items() if (bound := getattr(quantity, name)) is not None}
    return {"anyOf": [{"type": "number", **bounds}, {"type": "string", "pattern": rf"^\s*{_NUMBER}\s*({units})?\s*$"}]}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
