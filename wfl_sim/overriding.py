"""The overrides of a command line, each as what it is: for all arms, for one of them, a whole arm, or an axis.

Knows keys and the names of the arms; what an override does to an arm is `wfl_sim.resolve`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from wfl_sim import grid, keys, yamlfile
from wfl_sim.diagnose import nearest
from wfl_sim.errors import COMMAND_LINE, Problem, ScenarioError, printable
from wfl_sim.grid import Axis
from wfl_sim.yamlfile import Document, Override, split
from wfl_sim.yamlreader import KeyPath, Mark

OF_A_FILE = ("arms", "grid")  # keys of a file that no arm has
LISTS = (("seeds",), ("rank_selection", "candidates"))  # whose commas make a list, and no axis


@dataclass
class Overrides:
    """Those for every arm, those for one by its name, the axes in between, and what is wrong with any."""

    general: list[Override] = field(default_factory=list)
    of_arms: list[tuple[str, Override]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _varied: list[Axis | KeyPath] = field(default_factory=list)  # each axis, and each key that has one value

    def numbered(self) -> list[tuple[str | None, Override]]:
        """Those for every arm, then those for one, each with the name of the arm; None: for all."""
        return [*((None, override) for override in self.general), *self.of_arms]

    @property
    def paths(self) -> list[KeyPath]:
        """The keys that they set, to one value or to several."""
        varied = [item.path if isinstance(item, Axis) else item for item in self._varied]
        return [*varied, *(override.path for _, override in self.of_arms)]

    def over(self, axes: Mapping[KeyPath, Axis]) -> list[Axis]:
        """The axes of a file with these laid over them: one of the same key replaces it, a single value removes it."""
        found = dict(axes)
        for varied in self._varied:
            if isinstance(varied, Axis):
                found[varied.path] = varied
            else:
                found.pop(varied, None)
        return list(found.values())

    def take(self, document: Document, text: str) -> None:
        """Read one. What stands for whole arms, or for the whole grid, is set in the document. Raises ScenarioError."""
        path, value = Override.parts(text)
        path = yamlfile.numbered(document.data, path)
        if path[0] == "grid" and len(path) > 1:
            inner = ".".join(path[1:])
            message = "axes are written without 'grid.': each value behind the key, with commas between"
            place = f"{COMMAND_LINE}{printable(text)}"
            raise ScenarioError(
                Problem(place, ".".join(path), message, example=f"{inner}={value.strip('[] ') or '4,8'}")
            )
        if path[0] in OF_A_FILE and len(path) <= 2:
            document.take_in(Override.read(text))
        elif path[0] == "arms":
            arms = document.data.get("arms")
            self.of_arms.append(_of_arm(text, path, document.data, list(arms) if isinstance(arms, dict) else []))
        elif "," not in value or keys.takes_text(path) or len(several := Override.several(text)) == 1:
            override = replace(Override.read(text), path=path)
            if path in LISTS and type(override.value) is int:
                override = _joined([override])
            self.general.append(override)
            self._varied.append(override.path)
        elif not all(piece.strip() for piece in split(value)):
            raise ScenarioError(several[0].marks[()].problem("key", ".".join(path), "has a comma without a value"))
        elif path in LISTS and not any(isinstance(piece.value, list) for piece in several):
            self.general.append(_joined(several))
        else:
            pieces = [replace(piece, path=path) for piece in several]
            axis, problems = grid.from_overrides(document, len(self._varied), pieces)
            self.problems += problems
            self._varied.append(axis)


def read(document: Document, texts: Sequence[str]) -> Overrides:
    """All of a command line; what is wrong with them is among the answer."""
    found = Overrides()
    for text in texts:
        try:
            found.take(document, text)
        except ScenarioError as error:
            found.problems += error.args
    return found


def _joined(pieces: Sequence[Override]) -> Override:
    """``seeds=1,2,3``, or ``seeds=4``, as the list that it stands for."""
    marks: dict[KeyPath, Mark] = {(): pieces[0].marks[()]}
    for number, piece in enumerate(pieces):
        marks |= {(str(number), *below): mark for below, mark in piece.marks.items()}
    return Override(pieces[0].path, [piece.value for piece in pieces], marks)


def _of_arm(text: str, path: KeyPath, data: dict[str, Any], known: Sequence[str]) -> tuple[str, Override]:
    """The arm that ``arms.NAME.key`` is for, which may have dots in its name, and the override for that arm."""
    parts = path[1:]
    for length in range(len(parts) - 1, 0, -1):
        if (name := ".".join(parts[:length])) not in known:
            continue
        whole = yamlfile.merge(data, data["arms"][name] if isinstance(data["arms"][name], dict) else {})[0]
        key = yamlfile.numbered(whole | {"arms": {}}, parts[length:])
        if "," in text and not keys.takes_text(key) and len(Override.several(text)) > 1:
            message = "commas make an axis of the grid, which is for all arms"
            place, example = f"{COMMAND_LINE}{printable(text)}", text.partition(f"{name}.")[2]
            raise ScenarioError(Problem(place, ".".join(path), message, example=example))
        override = Override.read(text)
        return name, Override(key, override.value, override.marks)
    there = f"arms: {', '.join(known)}" if known else "the file has no arms"
    place = f"{COMMAND_LINE}{printable(text)}"
    raise ScenarioError(Problem(place, f"arms.{parts[0]}", "unknown arm", near=nearest(parts[0], known), rule=there))
