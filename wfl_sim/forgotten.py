"""What is silently left behind where another kind is chosen: its options begin from the defaults of the new one.

Knows what a file says and what became of it; refuses nothing. See `yamlfile.merge`: an arm, a point of the grid or an
override that names another ``kind`` drops the options of the old one, those included that both have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from channels.units import rendered
from wfl_sim import keys, pointnames
from wfl_sim.diagnose import Locator
from wfl_sim.nouns import NOUNS
from wfl_sim.overriding import OF_A_FILE
from wfl_sim.places import Standing
from wfl_sim.scenario import Cell, Scenario, Study

# Where to say again what should stay, by where the new kind was chosen.
_AGAIN = {
    Standing.FILE: "in the file",
    Standing.ARM: "in the arm",
    Standing.GRID: "in the grid, as axes of one value,",
    Standing.LINE: "on the command line",
    Standing.LINE_FOR_ARM: "on the command line",
}


class _Left(NamedTuple):
    """What a noun's change of kind leaves behind: key, old kind, who chose, each option with its new and old value."""

    noun: str
    before: str
    standing: Standing
    options: tuple[str, ...]


def notes(study: Study) -> list[str]:
    """One sentence for each set of options that is left behind, with the new kinds and the arms that it concerns.

    Points of a grid are looked at each; all of an arm that agree go by its name.
    """
    first = list({cell.arm: cell for cell in reversed(study.cells)}.values())[::-1]
    kinds: dict[_Left, dict[str, None]] = {}
    cells: dict[_Left, list[Cell]] = {}
    bases: dict[int, dict[str, Any]] = {}  # of documents, of which a study has one
    for cell in first:
        if (locate := study.locators.get(cell.arm)) is None:
            continue
        if (number := id(locate.document)) not in bases:
            data = locate.document.data
            bases[number] = keys.with_kinds({key: data[key] for key in data if key not in OF_A_FILE})
        for kind, left in _left(cell.scenario, locate, bases[number]):
            kinds.setdefault(left, {})[kind] = None
            cells.setdefault(left, []).append(cell)
    return [
        f"{left.noun}.kind {', '.join(kinds[left])} begins from defaults, without what the file says for "
        f"{left.before}: {', '.join(left.options)}; repeat {_AGAIN[left.standing]} what should stay"
        + (f" ({pointnames.listed(_names(cells[left], first))})" if len(cells[left]) < len(first) else "")
        for left in kinds
    ]


def _names(cells: Sequence[Cell], everything: Sequence[Cell]) -> list[str]:
    """The arms of these cells, those by the name of their group of which no point is missing."""
    here, there = _by_group(cells), _by_group(everything)
    named = ([group] if len(names) == len(there[group]) else names for group, names in here.items())
    return [name for names in named for name in names]


def _by_group(cells: Sequence[Cell]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for cell in cells:
        found.setdefault(cell.group, []).append(cell.arm)
    return found


def _left(scenario: Scenario, locate: Locator, base: Mapping[str, Any]) -> Iterator[tuple[str, _Left]]:
    """The new kind of each noun that has another one than in the file, and what it leaves behind, if anything."""
    for noun, kinds in NOUNS.items():
        path = tuple(noun.split("."))
        old, new, options = _at(base, path), _at(locate.data, path), _option(scenario, path)
        if not isinstance(old, Mapping) or not isinstance(new, Mapping) or options is None:
            continue
        before, kind = old.get("kind"), new.get("kind")
        if before is None or kind is None or before == kind:
            continue
        unread = vars(kinds[kind]).get("unread", ())  # not that of the class that it is derived from
        told = tuple(
            f"{name} is {_text(key, value)} and not {_text(key, _read(key, written))}"
            for name, written in old.items()
            if name not in new
            and name not in unread
            and (key := keys.find((*path, name), locate.data)) is not None
            and key.option is not None
            and not isinstance(written, Mapping)
            and (value := getattr(options, key.option.field)) != _read(key, written)
        )
        if told:
            yield kind, _Left(noun, before, locate.standing((*path, "kind")), told)


def _at(data: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        data = data.get(part) if isinstance(data, Mapping) else None
    return data


def _option(scenario: Scenario, path: tuple[str, ...]) -> Any:
    found: Any = scenario
    for part in path:
        found = getattr(found, part, None)
    return found


def _read(key: keys.Key, written: Any) -> Any:
    """What a scenario holds where a file says `written`; that itself if this kind would refuse it."""
    if key.option is not None and key.option.quantity is not None and written is not None:
        with suppress(ValueError):
            return key.option.quantity.read(written)
    return tuple(written) if isinstance(written, list) else written


def _text(key: keys.Key, value: Any) -> str:
    """A value as a scenario would write it."""
    if value is None:
        return "null"
    if key.option is not None and key.option.quantity is not None and isinstance(value, float):
        return rendered(value, key.option.quantity.unit)
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)
