"""Reads one YAML 1.2 text into plain data, with the place of every key and value.

Knows mappings, lists and scalars; neither files nor overrides, and not what a key means.

The text is read in one pass over the parser's events, which stops at the first limit that it breaks, so that no text
takes long or much memory. Tags, merge keys and duplicate keys are refused: a scenario needs none of them.
"""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import ScalarNode

from channels.units import shown
from wfl_sim.errors import Problem, ScenarioError

KeyPath = tuple[str, ...]
LARGEST_BYTES = 32 * 1024
DEEPEST = 20  # levels; an alias that contains itself has no end
MOST_VALUES = 800  # with those that an alias repeats
MOST_DIGITS = 30  # of a whole number; floats hold 16, and far larger ones overflow them
LONGEST_LINE = 8 * 1024
MOST_PROBLEMS = 50  # told of one file; nobody reads more at once
_MOST_ITEMS = 2 * MOST_VALUES  # what may look like a value before anything is parsed
_LINE_END = re.compile(r"\r\n|\r|\n")
# What YAML 1.2 does not allow (production 1), and the byte order mark, which is not to be seen.
_NO_TEXT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
# What the parser says, what it means, and whether to point to where the piece began.
_MEANINGS: Sequence[tuple[str, str, bool]] = (
    ("could not find expected ':'", "no ': ' follows this key; write `key: value`, with the space", True),
    ("unexpected end of stream", "a quote is opened here and never closed", True),
    ("unexpected document separator", "a quote is opened here and never closed", True),
    ("expected ',' or", "a bracket is opened here and not closed", True),
    (r"character '\t' that cannot start", "no tab can stand here; use spaces", False),
    ("that cannot start any token", "no plain text begins with this character; put the text in quotes", False),
    (
        "mapping values are not allowed",
        "this ': ' fits no key; quote a text that holds one, or mend the indentation",
        False,
    ),
    ("sequence entries are not allowed", "this '- ' fits no list; mend the indentation", False),
    ("expected alphabetic or numeric", "'*' and '&' begin an alias or an anchor; put the text in quotes", False),
    ("unknown escape character", "no such escape; write the backslash twice, or use single quotes", False),
    ("expected <block end>", "this fits nothing above it; mend the indentation or the brackets", False),
    ("expected '<document start>'", "this fits nothing before it; mend the brackets or quotes", False),
    ("incompatible YAML document", "a scenario is YAML 1.2; leave the line %YAML out", False),
)


class Span(NamedTuple):
    """A piece of one line: its number and first and last column, from 1 on."""

    line: int
    first: int
    last: int


@dataclass(frozen=True)
class Mark:
    """Where a key and its value were written. `source` is a file or ``command line: key=value``."""

    source: str
    lines: Sequence[str]
    key: Span
    value: Span

    def problem(self, at: str, key: str, message: str, **more: Any) -> Problem:
        """A problem at the ``key`` or at the ``value``."""
        span = self.value if at == "value" else self.key
        line = self.lines[span.line - 1] if span.line <= len(self.lines) else ""
        width = max(1, span.last - span.first + 1) if line.strip() else 0
        return Problem(self.source, key, message, span.line, span.first, source=line, width=width, **more)


class Reader:
    """Builds data and marks from the events of one YAML text."""

    def __init__(self, text: str, source: str, prefix: str = "", suffix: str = "") -> None:
        self.text, self.source = text, source
        self._shift = len(prefix)  # columns that stand before the text on its first line: an override's key
        first, *others = _LINE_END.split(text)
        self.lines = [prefix + first, *others]
        self.lines[-1] += suffix  # what is not read stands in no span, but is quoted
        self._marks: dict[KeyPath, Mark] = {}
        self._problems: list[Problem] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._open: set[str] = set()
        self._values = 0
        self._yaml = YAML(typ="safe", pure=True)

    def read(self) -> tuple[Any, dict[KeyPath, Mark], list[Problem]]:
        """The data, the marks of its paths, and the problems that do not stop the reading. Raises ScenarioError."""
        self._refuse_what_is_no_text()
        self._refuse_what_is_endless()
        try:
            return self._read()
        except MarkedYAMLError as error:
            raise ScenarioError(self._not_yaml(error)) from None
        except (YAMLError, ValueError, RecursionError) as error:
            said = f"is not YAML: {shown(str(error).partition(chr(10))[0])}"
            raise ScenarioError(Problem(self.source, "", said)) from None

    def _read(self) -> tuple[Any, dict[KeyPath, Mark], list[Problem]]:
        events = self._yaml.parse(io.StringIO(self.text))
        data: Any = None
        start = Span(1, 1, max(1, self._shift - 1))
        documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent) and (event.tags or event.version not in (None, (1, 2))):
                self._stop(Span(1, 1, 1), "a scenario is YAML 1.2; leave the lines %YAML and %TAG out")
            if isinstance(event, NodeEvent):
                documents += 1
                if documents > 1:
                    self._stop(self._span(event), "is the start of another document; a file holds one scenario")
                if not self._shift:
                    start = self._span(event)
                data = self._value(event, events, (), start)
        self._marks.setdefault((), Mark(self.source, self.lines, start, start))
        return data, self._marks, self._problems

    def _refuse_what_is_no_text(self) -> None:
        if match := _NO_TEXT.search(self.text):
            before = _LINE_END.split(self.text[: match.start()])
            column = len(before[-1]) + 1 + (self._shift if len(before) == 1 else 0)
            span = Span(len(before), column, column)
            self._stop(span, f"holds the character {ascii(match[0])[1:-1]}, which YAML does not allow")

    def _refuse_what_is_endless(self) -> None:
        """What would keep the parser busy before its first event can be counted."""
        for number, line in enumerate(self.lines, 1):
            if len(line) > LONGEST_LINE:
                self._stop(Span(number, 1, 1), f"is a line of more than {LONGEST_LINE} characters")
        items = sum(map(self.text.count, ",\n[{")) + self.text.count("- ")
        if items > _MOST_ITEMS:
            self._stop(None, f"has more than {_MOST_ITEMS} lines, commas and brackets")
        depth = 0
        for character in self.text if self.text.count("[") + self.text.count("{") > DEEPEST else "":
            if character in "[{":
                depth += 1
                if depth > 2 * DEEPEST:
                    self._stop(None, f"opens more than {2 * DEEPEST} brackets that it does not close")
            elif character in "]}":
                depth = max(0, depth - 1)

    def _value(self, event: Any, events: Iterator[Any], path: KeyPath, key: Span) -> Any:
        """The value that begins with `event`; takes its other events."""
        span = self._span(event)
        self._marks[path] = Mark(self.source, self.lines, key, span if _is_short(event) else key)
        self._count(1, span)
        if len(path) > DEEPEST:
            self._stop(span, f"is nested more than {DEEPEST} levels deep")
        if isinstance(event, AliasEvent):
            return self._alias(event, span, path)
        if event.tag is not None:
            self._note(path, _tagged(event))
        before = self._values
        if event.anchor:
            self._open.add(event.anchor)
        if isinstance(event, ScalarEvent):
            value = self._scalar(event, path)
        elif isinstance(event, SequenceStartEvent):
            value = self._list(events, path)
        else:
            value = self._mapping(events, path)
        if event.anchor:
            self._open.discard(event.anchor)
            self._anchors[event.anchor] = (value, self._values - before + 1)
        return value

    def _alias(self, event: Any, span: Span, path: KeyPath) -> Any:
        if event.anchor in self._open:
            self._stop(span, "an alias contains itself")
        if event.anchor not in self._anchors:
            self._note(path, f"the alias *{event.anchor} has no anchor above it")
            return None
        value, size = self._anchors[event.anchor]
        self._count(size, span)
        return copy.deepcopy(value)

    def _list(self, events: Iterator[Any], path: KeyPath) -> list[Any]:
        values: list[Any] = []
        while isinstance(event := next(events), NodeEvent):
            values.append(self._value(event, events, (*path, str(len(values))), self._span(event)))
        return values

    def _mapping(self, events: Iterator[Any], path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while isinstance(event := next(events), NodeEvent):
            span = self._span(event)
            if not isinstance(event, ScalarEvent):
                self._stop(span, "a key is a word, not a list, a mapping or an alias")
            key = self._text(str(event.value), span)
            place = (*path, key)
            if event.tag is not None:
                self._tell(Mark(self.source, self.lines, span, span).problem("key", ".".join(place), _tagged(event)))
            first = self._marks.get(place) if key in values else None
            if first is not None:
                name, said = ".".join(place), f"is given twice, first in line {first.key.line}"
                self._tell(Mark(self.source, self.lines, span, span).problem("key", name, said))
                kept = {known: mark for known, mark in self._marks.items() if known[: len(place)] == place}
                self._value(next(events), events, place, span)  # its own problems are worth telling
                self._marks |= kept
                continue
            values[key] = self._value(value := next(events), events, place, span)
            word, colon, rest = key.partition(":")
            if (
                colon
                and event.implicit[0]
                and isinstance(value, ScalarEvent)
                and not value.value
                and word not in values
            ):
                # `{kind:uma}` is a key called "kind:uma"; it is read as it was meant, so that nothing else is amiss
                del values[key]
                self._marks[(*path, word)] = self._marks.pop(place)
                values[word] = self._plain(rest, (*path, word))
                if rest:
                    self._note((*path, word), "no space follows the ':'", "key", near=f"{word}: {rest}")
            if key == "<<":
                del values[key]
                self._note(place, "merge keys are not part of YAML 1.2; list the changes of an arm under 'arms'", "key")
        return values

    def _scalar(self, event: Any, path: KeyPath) -> Any:
        text = self._text(event.value, self._span(event))
        return text if event.style else self._plain(text, path)

    def _plain(self, text: str, path: KeyPath) -> Any:
        """What a text without quotes stands for."""
        tag = str(self._yaml.resolver.resolve(ScalarNode, text, (True, False))).rpartition(":")[2]
        if tag not in ("null", "bool", "int", "float"):
            return text
        if tag == "int" and len(text) > MOST_DIGITS:
            self._note(path, f"has more than {MOST_DIGITS} digits; got {shown(text)}")
            return text
        if not any(map(str.isdigit, text)) and tag == "int":  # `_`
            return text
        node = ScalarNode(f"tag:yaml.org,2002:{tag}", text)
        try:
            return getattr(self._yaml.constructor, f"construct_yaml_{tag}")(node)
        except (ValueError, ArithmeticError, IndexError):
            self._note(path, f"is not a number that can be read; got {shown(text)}")
            return text

    def _text(self, text: str, span: Span) -> str:
        try:
            text.encode()
        except UnicodeEncodeError:
            self._stop(span, "holds half of a surrogate pair, which is no character")
        return text

    def _count(self, values: int, span: Span) -> None:
        self._values += values
        if self._values > MOST_VALUES:
            self._stop(span, f"makes more than {MOST_VALUES} values, with those that an alias repeats")

    def _note(self, path: KeyPath, message: str, at: str = "value", **more: Any) -> None:
        self._tell(self._marks[path].problem(at, ".".join(path), message, **more))

    def _tell(self, problem: Problem) -> None:
        self._problems.append(problem)
        if len(self._problems) >= MOST_PROBLEMS:
            raise ScenarioError(*self._problems)

    def _stop(self, span: Span | None, message: str) -> NoReturn:
        place = span or Span(1, 1, 1)
        problem = Mark(self.source, self.lines, place, place).problem("key", "", message)
        raise ScenarioError(problem if span else Problem(self.source, "", message))

    def _not_yaml(self, error: MarkedYAMLError) -> Problem:
        """A complaint of the parser in our words, at the place that should change."""
        said = str(error.problem or error.context)
        _, meaning, at_start = next((found for found in _MEANINGS if found[0] in said), ("", shown(said), False))
        mark, start = error.problem_mark or error.context_mark, error.context_mark
        if at_start and start is not None:
            if (
                said.startswith("expected ',' or")
                and mark is not None
                and mark.line == start.line < len(self.lines) - 1
            ):
                meaning = "a ',' or a closing bracket is missing before this"
            else:
                mark = start
        if mark is None:
            return Problem(self.source, "", f"is not YAML: {meaning}")
        column = mark.column + 1 + (self._shift if mark.line == 0 else 0)
        span = Span(mark.line + 1, column, column)
        return Mark(self.source, self.lines, span, span).problem("key", "", f"is not YAML: {meaning}")

    def _span(self, event: Any) -> Span:
        start, end = event.start_mark, event.end_mark
        line = start.line + 1
        shift = self._shift if line == 1 else 0
        length = len(self.lines[line - 1]) if line <= len(self.lines) else 0
        last = end.column + shift if end.line == start.line else length
        return Span(line, start.column + 1 + shift, max(last, start.column + 1 + shift))


def _tagged(event: Any) -> str:
    tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
    return f"the tag {shown(tag)} is not allowed; write plain values"


def _is_short(event: Any) -> bool:
    """Whether a caret below the value says more than one below its key: a scalar or alias on one line."""
    if isinstance(event, (MappingStartEvent, SequenceStartEvent)):
        return False
    return bool(event.end_mark.line == event.start_mark.line and event.end_mark.column > event.start_mark.column)
