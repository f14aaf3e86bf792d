"""Registries: a kind's name to its class, ours and those of installed plug-ins.

Knows nothing of what a kind does. A plug-in is an entry point of the group; YAML never names an import path.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any


def kind_of(cls: type[Any]) -> str:
    """The name by which a scenario selects `cls`: the default of its ``kind`` field."""
    return str(cls.__dataclass_fields__["kind"].default)


def registry(group: str, *builtin: type[Any]) -> dict[str, type[Any]]:
    """All kinds of one noun, built-in ones first.

    Raises
    ------
    ValueError
        Two classes claim one kind.
    """
    found: dict[str, type[Any]] = {}
    for cls in (*builtin, *(point.load() for point in sorted(entry_points(group=group), key=lambda p: p.name))):
        name = kind_of(cls)
        if name in found:
            raise ValueError(f"two classes claim the kind {name!r} of {group}: {found[name]} and {cls}")
        found[name] = cls
    return found
