"""What can be told of a model from its class alone: its card, and each of its options.

Knows no model; reads docstrings and annotations, so that help, schema and error messages repeat no text.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from channels.files import File
from channels.options import Whole, choices, limits, option_name, type_hints
from channels.units import Quantity, example, rendered

_HEADING = re.compile(r"^(\w+)\n(-{3,})\n", re.MULTILINE)
_ENTRY = re.compile(r"^(\w+(?:, \w+)*) :(?:[ ](.*))?$")


@dataclass(frozen=True)
class Description:
    """A class docstring in its parts: `options` by name of the field, those of the base classes included."""

    summary: str
    body: str
    formula: str
    validity: str
    source: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class Option:
    """One option of a model: `key` in a scenario, `field` in Python, `hint` its annotation."""

    key: str
    field: str
    text: str
    hint: Any
    limit: Quantity | Whole | None
    choices: tuple[Any, ...]
    default: Any

    @property
    def quantity(self) -> Quantity | None:
        """Unit and range, where the option is a quantity."""
        return self.limit if isinstance(self.limit, Quantity) else None

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is MISSING

    @property
    def may_be_none(self) -> bool:
        """Whether it may be left open, as ``null`` in a scenario."""
        return get_origin(self.hint) in (Union, UnionType) and NoneType in get_args(self.hint)

    @property
    def shown_default(self) -> str:
        """The default as a scenario would write it; empty where there is none."""
        if self.default is MISSING or self.default is None:
            return ""
        if self.quantity is not None:
            return rendered(self.default, self.quantity.unit)
        if isinstance(self.default, bool):
            return str(self.default).lower()
        return f"[{', '.join(map(str, self.default))}]" if isinstance(self.default, tuple) else str(self.default)

    @property
    def example(self) -> str:
        """A value that a scenario could hold: the default, a word that is allowed, a quantity in range, or a file."""
        if self.shown_default:
            return self.shown_default
        if self.choices:
            return str(self.choices[0])
        if self.quantity is not None:
            return example(self.quantity)
        parts = [inner for part in get_args(self.hint) for inner in (part, *get_args(part))]  # also beside None
        return next((part.example for part in parts if isinstance(part, File)), "")


def describe(cls: type) -> Description:
    """The docstring of `cls`: summary, body, and the sections Formula, Validity, Source and Options.

    A section is a word underlined with dashes; an option reads ``name : text``, its further lines indented.
    """
    return _describe(cls)


def options_of(cls: type) -> tuple[Option, ...]:
    """The options of a model, in the order of its fields; ``kind`` is none of them."""
    return _options_of(cls)


@cache
def _describe(cls: type) -> Description:
    sections = _sections(cls)
    summary, _, body = sections[""].partition("\n\n")
    options: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if "__doc__" in vars(base):
            options |= _entries(_sections(base).get("Options", ""))
    return Description(
        " ".join(summary.split()),
        body.strip(),
        formula=sections.get("Formula", ""),
        validity=sections.get("Validity", ""),
        source=sections.get("Source", ""),
        options=options,
    )


@cache
def _options_of(cls: type) -> tuple[Option, ...]:
    texts, hints, units, words = describe(cls).options, type_hints(cls), limits(cls), choices(cls)
    return tuple(
        Option(
            option_name(item.name), item.name, texts.get(item.name, ""), hints[item.name], units.get(item.name),
            words.get(item.name, ()), item.default,
        )
        for item in fields(cls)
        if item.name != "kind"
    )  # fmt: skip


def _sections(cls: type) -> dict[str, str]:
    doc = inspect.cleandoc(cls.__doc__ or "")
    parts = _HEADING.split(doc)
    found = {"": parts[0].strip()}
    for name, _, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        found[name] = text.strip("\n").rstrip()
    return found


def _entries(text: str) -> dict[str, str]:
    entries: dict[str, str] = {}
    names: list[str] = []
    for line in text.splitlines():
        if match := _ENTRY.match(line):
            names = match[1].split(", ")
            entries |= dict.fromkeys(names, (match[2] or "").strip())
        elif line.strip():
            for name in names:
                entries[name] = f"{entries[name]} {line.strip()}".strip()
    return entries
