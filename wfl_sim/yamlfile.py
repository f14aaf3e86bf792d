"""YAML 1.2 files with the line and column of every key, and overrides from the command line.

Knows mappings, lists and scalars; what a key means is the scenario's business.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from wfl_sim.errors import ScenarioError

KeyPath = tuple[str, ...]
LARGEST_BYTES = 1 << 20
DEEPEST = 50  # levels; an alias that contains itself has no end
MOST_VALUES = 20_000  # with those that an alias repeats


@dataclass
class Document:
    """A parsed file: plain data, and where each key of it was written."""

    source: str
    data: dict[str, Any]
    marks: dict[KeyPath, str] = field(default_factory=dict)

    def where(self, path: KeyPath) -> str:
        """``file:line:col: key.path``, by the deepest part of the path that was written."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.marks:
                return f"{self.marks[path[:length]]}: {'.'.join(path)}" if path else self.marks[()]
        return f"{self.source}: {'.'.join(path)}"

    def override(self, text: str) -> KeyPath:
        """Apply one ``key.path=value``, the value read as YAML; returns its path.

        A key that an arm writes itself is set there too, so that an override always wins.
        """
        key, equals, value_text = text.partition("=")
        path = tuple(key.strip().split("."))
        where = f"command line: {text}"
        if not equals or not all(path):
            raise ScenarioError((where, "an override reads key.path=value, for example radio.uplink.bandwidth='1 MHz'"))
        try:
            value, _ = _parse(value_text, where)
        except ScenarioError as error:
            raise ScenarioError((where, str(error.args[0][1]))) from None
        except (YAMLError, ValueError, RecursionError):
            raise ScenarioError((where, f"the value {value_text!r} is not YAML")) from None
        self._set(path, value, where)
        arms = self.data.get("arms")
        for arm, changes in arms.items() if isinstance(arms, dict) and path[0] != "arms" else ():
            if _holds(changes, path):
                self._set(("arms", str(arm), *path), value, where)
        return path

    def _set(self, path: KeyPath, value: Any, where: str) -> None:
        place = self.data
        for depth, key in enumerate(path[:-1], 1):
            if not isinstance(place.get(key), dict):
                place[key] = {}
                self.marks[path[:depth]] = where
            place = place[key]
        place[path[-1]] = value
        self.marks = {known: mark for known, mark in self.marks.items() if known[: len(path)] != path}
        self.marks[path] = where


def _holds(data: Any, path: KeyPath) -> bool:
    for key in path:
        if not isinstance(data, dict) or key not in data:
            return False
        data = data[key]
    return True


def read(path: Path) -> Document:
    """Read a file.

    Raises
    ------
    ScenarioError
        The file is missing, too large, not UTF-8, not YAML, or not a mapping; with line and column.
    """
    source = str(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise ScenarioError((source, "no such file")) from None
    except OSError as error:
        raise ScenarioError((source, f"cannot be read: {error.strerror}")) from None
    if len(raw) > LARGEST_BYTES:
        raise ScenarioError((source, f"is too large; a scenario has at most {LARGEST_BYTES} bytes"))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScenarioError((source, f"is not UTF-8 text (byte {error.start})")) from None
    try:
        data, marks = _parse(text, source)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise ScenarioError((where, f"is not YAML: {error.problem or error.context}")) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise ScenarioError((source, f"is not YAML: {' '.join(str(error).split())[:200]}")) from None
    if not isinstance(data, dict):
        raise ScenarioError((f"{source}:1:1", "a scenario is a mapping of keys to values"))
    return Document(source, data, marks)


def _parse(text: str, source: str) -> tuple[Any, dict[KeyPath, str]]:
    """The data of a YAML text, and where each key of it is."""
    marks: dict[KeyPath, str] = {}
    root = YAML(typ="safe", pure=True).compose(io.StringIO(text))
    if root is not None:
        _mark(root, (), source, marks)
    return YAML(typ="safe", pure=True).load(text), marks


def _mark(node: Node, path: KeyPath, source: str, marks: dict[KeyPath, str]) -> None:
    here = f"{source}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
    marks.setdefault(path, here)
    if len(path) > DEEPEST:
        raise ScenarioError((here, f"is nested more than {DEEPEST} levels deep, or an alias contains itself"))
    if len(marks) > MOST_VALUES:
        raise ScenarioError((here, f"makes more than {MOST_VALUES} values, with those that an alias repeats"))
    if isinstance(node, ScalarNode):
        try:
            str(node.value).encode()
        except UnicodeEncodeError:
            raise ScenarioError((here, "holds half of a surrogate pair, which is no character")) from None
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            mark = f"{source}:{key.start_mark.line + 1}:{key.start_mark.column + 1}"
            if not isinstance(key, ScalarNode):
                raise ScenarioError((mark, "a key is a word, not a list or a mapping"))
            place = (*path, str(key.value))
            marks[place] = mark
            _mark(value, place, source, marks)
    elif isinstance(node, SequenceNode):
        for number, value in enumerate(node.value):
            _mark(value, (*path, str(number)), source, marks)


def write(data: dict[str, Any], comment: str) -> str:
    """`data` as block-style YAML behind a comment line."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    yaml.dump(data, stream)
    return f"# {comment}\n{stream.getvalue()}"


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, mapping by mapping.

    Where a change names another ``kind``, its mapping takes the place of the old one: the options of one
    kind mean nothing to another.
    """
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        same_kind = (
            isinstance(old, dict) and isinstance(value, dict) and value.get("kind", old.get("kind")) == old.get("kind")
        )
        merged[key] = merge(old, value) if same_kind and isinstance(old, dict) else value
    return merged
