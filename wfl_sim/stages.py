"""What a method trains and sends of each version of a model, where that changes from version to version.

Knows methods, layouts and the notes that a method makes for its next version; neither clients nor arrays of a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wfl_sim.codecs.base import Codec, Layout
from wfl_sim.contracts import Params, PayloadMenu
from wfl_sim.methods.base import Lesson, Method, Notes

MOST_ASKED = 100  # stages that are looked at for a mean


@dataclass(frozen=True)
class Stage:
    """One version: the method that holds for it, what is open of the model, and what the server tells of that."""

    method: Method
    layout: Layout
    told: bytes
    menu: PayloadMenu

    def lesson(self, own: Iterable[str]) -> Lesson:
        """What clients train that have tensors of their own besides."""
        stage = self.method
        opened = frozenset((*self.layout.shapes, *own))
        return Lesson(opened, getattr(stage, "proximal", 0.0), getattr(stage, "rate", 1.0))

    def ended(self, name: str) -> bool:
        """Whether a tensor that is closed is never open again."""
        ended: Callable[[str], bool] | None = getattr(self.method, "ended", None)
        return ended is not None and ended(name)


class Stages:
    """The stages of a run.

    Parameters
    ----------
    method : Method
    codec : Codec
    whole : Layout
        All that is trained at some time.
    rounds : int
        Of the run.
    """

    def __init__(self, method: Method, codec: Codec, whole: Layout, rounds: int) -> None:
        self._method, self._codec, self._whole, self._rounds = method, codec, whole, rounds
        self.vary = hasattr(method, "stage")
        self._notes: dict[int, Notes] = {}  # by version, as far back as anything waits
        self._made: dict[int, Stage] = {}
        self._menus: dict[str, PayloadMenu] = {}  # by layout: there are few
        self._only = None if self.vary else Stage(method, whole, b"", codec.menu(whole))

    def at(self, version: int) -> Stage:
        """The stage of a version; the one there is, of a method that does not vary."""
        if self._only is not None:
            return self._only
        if version not in self._made:
            self._made[version] = self._make(version)
        return self._made[version]

    def _make(self, version: int) -> Stage:
        method: Any = self._method
        staged = method.stage(version, self._rounds, self._notes.get(version, {}))
        layout = staged.opened(self._whole)
        key = repr((layout.pairs, layout.shapes))
        if key not in self._menus:
            self._menus[key] = self._codec.menu(layout)
        told: bytes = staged.told(self._whole) if hasattr(staged, "told") else b""
        return Stage(staged, layout, told, self._menus[key])

    def typical(self) -> Stage:
        """The stage whose whole update is nearest to the mean over a run, as far as it follows from the version."""
        versions = {round(place * (self._rounds - 1) / MOST_ASKED) for place in range(MOST_ASKED + 1)}
        found = [self.at(version) for version in sorted(versions)]
        mean = sum(stage.menu.points[-1].bits for stage in found) / len(found)
        return min(found, key=lambda stage: abs(stage.menu.points[-1].bits - mean))

    def whole(self, names: Set[str], model: Params) -> Layout:
        """The layout of those `names`, with the shapes that they have in a model."""
        found = self._whole.without(self._whole.shapes.keys() - names)
        return replace(found, shapes={name: model[name].shape for name in found.shapes})

    def which(self, reached: Layout, opened: Layout) -> bytes:
        """What tells clients which tensors a change holds, a bit for each, where it is not what was open."""
        if reached.shapes.keys() == opened.shapes.keys():
            return b""
        return np.packbits([name in reached.shapes for name in self._whole.shapes]).tobytes()

    def go_on(self, version: int, before: Params, model: Params) -> None:
        """The model has become that of `version`: let the method note what it wants to know of the step."""
        if hasattr(self._method, "noted"):
            self._notes[version] = self._method.noted(self._notes.get(version - 1, {}), before, model)

    def forget(self, needed: Iterable[int], now: int) -> None:
        """Drop what is known of versions before all those `needed`."""
        least = min(needed, default=now)
        self._notes = {version: notes for version, notes in self._notes.items() if version >= least}
        self._made = {version: stage for version, stage in self._made.items() if version >= least}

    def kept(self) -> list[tuple[int, Notes]]:
        """All notes as plain data."""
        return [*self._notes.items()]

    def restore(self, kept: Sequence[tuple[int, Notes]]) -> None:
        """Take up what `kept` gave."""
        self._notes = dict(kept)
        self._made.clear()
