"""Registries: a kind's name to its class, ours and those of installed plug-ins.

Knows nothing of what a kind does. A plug-in is an entry point of the group; YAML never names an import path.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from wfl_sim.errors import WflError


class PluginError(WflError):
    """An installed plug-in cannot be used; the text names its entry point and its distribution."""

    exit_code = 2


def kind_of(cls: type[Any]) -> str:
    """The name by which a scenario selects `cls`: the default of its ``kind`` field."""
    return str(cls.__dataclass_fields__["kind"].default)


def registry(group: str, *builtin: type[Any]) -> dict[str, type[Any]]:
    """All kinds of one noun, built-in ones first.

    Raises
    ------
    PluginError
        A plug-in cannot be loaded, or two classes claim one kind.
    """
    found: dict[str, type[Any]] = {}
    plugins = (_load(point) for point in sorted(_installed().select(group=group), key=lambda point: point.name))
    for cls in (*builtin, *plugins):
        name = kind_of(cls)
        if name in found:
            raise PluginError(
                f"two classes claim the kind {name!r} of {group}: {_named(found[name])} and {_named(cls)}"
            )
        found[name] = cls
    return found


@cache  # reading the metadata of all distributions takes as long as half the other imports
def _installed() -> Any:
    return entry_points()


def _load(point: EntryPoint) -> type[Any]:
    try:
        cls = point.load()
        kind_of(cls)
    except Exception as error:  # whatever the plug-in's own code raises
        owner = point.dist.name if point.dist else "unknown"
        raise PluginError(
            f"the plug-in {point.name!r} ({point.value}) of {point.group}, from the distribution {owner!r}, cannot be "
            f"loaded: {type(error).__name__}: {error}; repair it, or uninstall {owner}"
        ) from error
    return cls  # type: ignore[no-any-return]


def _named(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
