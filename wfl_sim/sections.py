"""Reads many scenarios that have most of their sections in common: each section once.

Knows that a scenario is a class with fields, and nothing of what they are.

pydantic is strict only in JSON mode, where a mapping may still become a dataclass; hence the detour over JSON.
"""

from __future__ import annotations

import json
from dataclasses import field, fields, make_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from channels.options import Options, option_name, type_hints
from wfl_sim import files

T = TypeVar("T", bound=Options)


class Sections(Generic[T]):
    """A reader of the scenarios of class `cls` whose files lie beside a file in `folder`."""

    def __init__(self, cls: type[T], folder: Path | None) -> None:
        self.cls: Any = cls
        self.folder = folder
        self._read: dict[tuple[str, str], Any] = {}

    def read(self, data: dict[str, Any]) -> T:
        """The scenario that a mapping holds. Raises ValidationError for all that is wrong with it."""
        try:
            if set(data) <= {option_name(item.name) for item in fields(self.cls)}:
                found: T = self.cls(**{name: self._section(name, value) for name, value in data.items()})
                return found
        except (ValidationError, ValueError, TypeError):  # which the whole tells better
            pass
        whole: T = _adapter(self.cls).validate_json(json.dumps(data))
        return files.placed(whole, self.folder)

    def _section(self, name: str, value: Any) -> Any:
        text = json.dumps({name: value})
        if (name, text) not in self._read:
            found = getattr(_adapter(_alone(self.cls, name)).validate_json(text), name)
            self._read[name, text] = files.placed(found, self.folder) if isinstance(found, Options) else found
        return self._read[name, text]


@cache
def _alone(cls: Any, name: str) -> Any:
    """A class with one of the fields of `cls` alone, read by the same rules."""
    rules = {"__pydantic_config__": cls.__pydantic_config__}
    return make_dataclass(cls.__name__, [(name, type_hints(cls)[name], field())], namespace=rules)


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    """pydantic's reader of a class, built at first use."""
    return TypeAdapter(cls)
