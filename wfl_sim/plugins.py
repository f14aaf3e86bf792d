"""Registries: a kind's name to its class: ours, those of installed plug-ins, and those that this process registers.

Knows nothing of what a kind does. A plug-in is an entry point of the group, or was passed to `register` by Python code
that runs here; YAML never names an import path.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from wfl_sim.errors import WflError

PREFIX = "wfl_sim."
NAMES = (
    "path_loss", "penetration", "shadowing", "fading", "loss", "placement", "mobility", "availability",
    "method", "codec", "schedule", "protocol", "data_set", "partition",
)  # fmt: skip
"""The nouns of which a plug-in can bring a kind: its groups without `PREFIX`."""

_registered: dict[str, dict[str, type[Any]]] = {}  # by group and kind
_read: set[str] = set()  # groups whose kinds are settled


class PluginError(WflError):
    """An installed plug-in cannot be used; the text names its entry point and its distribution."""

    exit_code = 2


def kind_of(cls: type[Any]) -> str:
    """The name by which a scenario selects `cls`: the default of its ``kind`` field."""
    return str(cls.__dataclass_fields__["kind"].default)


def register(**classes: type[Any]) -> None:
    """Add a kind to each of some nouns, in this process alone: ``register(codec=Mine, schedule=Ours)``.

    For notebooks and scripts; what others are to use is an entry point of a package. It has to come before anything
    reads a scenario or lists the kinds. A class of the same kind that was registered before is replaced.

    Raises
    ------
    PluginError
        There is no such noun, the class has no kind, or the kinds of the noun have been read already.
    """
    for name, cls in classes.items():
        if name not in NAMES:
            raise PluginError(f"no noun {name!r}; there are: {', '.join(NAMES)}")
        if PREFIX + name in _read:
            raise PluginError(
                f"the kinds of {name!r} have been read already: register {_named(cls)} before the first scenario is, "
                "in a notebook after a restart of the kernel"
            )
        try:
            _registered.setdefault(PREFIX + name, {})[kind_of(cls)] = cls
        except (AttributeError, KeyError):
            raise PluginError(f"{_named(cls)} is no dataclass with a field `kind` that has a default") from None


def registry(group: str, *builtin: type[Any]) -> dict[str, type[Any]]:
    """All kinds of one noun: built-in ones, then those of entry points, then those that were registered here.

    Raises
    ------
    PluginError
        A plug-in cannot be loaded, or two classes claim one kind.
    """
    _read.add(group)
    found: dict[str, type[Any]] = {}
    plugins = (_load(point) for point in sorted(_installed().select(group=group), key=lambda point: point.name))
    for cls in (*builtin, *plugins, *_registered.get(group, {}).values()):
        name = kind_of(cls)
        if name in found:
            raise PluginError(
                f"two classes claim the kind {name!r} of {group}: {_named(found[name])} and {_named(cls)}"
            )
        found[name] = cls
    return found


def distributions() -> list[str]:
    """The names of the distributions that bring plug-ins."""
    groups = [_installed().select(group=PREFIX + name) for name in NAMES]
    return sorted({point.dist.name for points in groups for point in points if point.dist is not None})


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
