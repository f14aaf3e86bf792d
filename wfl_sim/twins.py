"""Arms and points that are the same scenario, so that the same would be run twice.

Knows scenarios by their equality, and where arms and values were written.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from wfl_sim.errors import Problem
from wfl_sim.grid import Axis
from wfl_sim.yamlfile import Document
from wfl_sim.yamlreader import KeyPath


class Resolved(Protocol):
    """What is asked of an arm at a point: see `wfl_sim.resolve.Arm`."""

    @property
    def group(self) -> str: ...
    @property
    def index(self) -> tuple[int | None, ...]: ...
    @property
    def name(self) -> str: ...
    @property
    def scenario(self) -> Hashable: ...


def twins(
    arms: Sequence[Resolved],
    document: Document,
    axes: Sequence[Axis],
    written: Mapping[str, Any],
    overridden: Sequence[KeyPath],
) -> Iterator[Problem]:
    """The later of two values, and the later of two arms, that give the same scenario; each once.

    Two arms that an override made alike are no slip: whoever sets the method of all arms has no other use for those
    that differ in it. `written` are the keys of each arm without overrides, `overridden` the paths of these.
    """
    first: dict[Hashable, Resolved] = {}
    told: set[Any] = set()
    for arm in arms:
        other = first.setdefault(arm.scenario, arm)
        if other is arm:
            continue
        unlike = [n for n, (i, j) in enumerate(zip(arm.index, other.index, strict=True)) if i != j and i is not None]
        if arm.group == other.group and unlike:
            axis = axes[unlike[-1]]
            place, at, key = axis.source(arm.index[unlike[-1]] or 0), "value", axis.key
            once: Any = place
        else:
            place, at, key = ("arms", arm.group), "key", f"arms.{arm.group}"
            once = (place, other.group)
            if once not in told and _made_alike(written[arm.group], written[other.group], overridden):
                told.add(once)
        if once in told:
            continue
        told.add(once)
        message = f"{arm.name} and {other.name} are the same scenario, and would be the same run; leave one out"
        yield document.problem(place, message, at=at, key=key)


def _made_alike(one: Any, other: Any, overridden: Sequence[KeyPath]) -> bool:
    """Whether an override sets a key in which two arms differ; that of a kind sets all options below it."""
    set_paths = [path[:-1] if path[-1] == "kind" else path for path in overridden]
    return any(path[: len(unlike)] == unlike[: len(path)] for unlike in _unlike(one, other) for path in set_paths)


def _unlike(one: Any, other: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The paths at which two trees differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            yield from _unlike(one.get(key), other.get(key), (*path, key))
    elif one != other:
        yield path
