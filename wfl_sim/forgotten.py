"""What is silently left behind where another kind is chosen: its options begin from the defaults of the new one.

Knows what a file says and what became of it; refuses nothing. See `yamlfile.merge`: an arm, or an override, that names
another ``kind`` drops the options of the old one, those included that both have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from channels.units import rendered
from wfl_sim import keys
from wfl_sim.diagnose import Locator
from wfl_sim.nouns import NOUNS
from wfl_sim.overriding import OF_A_FILE
from wfl_sim.scenario import Scenario, Study

# Options that every kind of a noun has and these do not read.
_UNREAD = {
    ("codec", "dense"): ("error_feedback",),  # it leaves nothing out
    ("schedule", "equal"): ("csi", "csi_delay", "csi_error"),
    ("schedule", "round_robin"): ("csi", "csi_delay", "csi_error"),
}


class _Left(NamedTuple):
    """What a noun's change of kind leaves behind: key, old kind, and each option with its new and its old value."""

    noun: str
    before: str
    options: tuple[str, ...]


def notes(study: Study) -> list[str]:
    """One sentence for each set of options that is left behind, with the new kinds and the arms that it concerns."""
    kinds: dict[_Left, dict[str, None]] = {}
    arms: dict[_Left, dict[str, None]] = {}
    first = {cell.group: cell for cell in reversed(study.cells)}
    groups = list(reversed(first))
    for group in groups:
        locate = study.locators.get(first[group].arm)
        for kind, left in _left(first[group].scenario, locate) if locate is not None else ():
            kinds.setdefault(left, {})[kind] = None
            arms.setdefault(left, {})[group] = None
    return [
        f"{left.noun}.kind {', '.join(kinds[left])} begins from defaults, without what the file says for "
        f"{left.before}: {', '.join(left.options)}; repeat in the arm what should stay"
        + (f" ({', '.join(arms[left])})" if len(arms[left]) < len(groups) else "")
        for left in kinds
    ]


def _left(scenario: Scenario, locate: Locator) -> Iterator[tuple[str, _Left]]:
    """The new kind of each noun that has another one than in the file, and what it leaves behind, if anything."""
    data = locate.document.data
    base = keys.with_kinds({key: value for key, value in data.items() if key not in OF_A_FILE})
    for noun in NOUNS:
        path = tuple(noun.split("."))
        old, new, options = _at(base, path), _at(locate.data, path), _option(scenario, path)
        if not isinstance(old, Mapping) or not isinstance(new, Mapping) or options is None:
            continue
        before, kind = old.get("kind"), new.get("kind")
        if before is None or kind is None or before == kind:
            continue
        told = tuple(
            f"{name} is {_text(key, value)} and not {_text(key, _read(key, written))}"
            for name, written in old.items()
            if name not in new
            and name not in _UNREAD.get((noun, kind), ())
            and (key := keys.find((*path, name), locate.data)) is not None
            and key.option is not None
            and not isinstance(written, Mapping)
            and (value := getattr(options, key.option.field)) != _read(key, written)
        )
        if told:
            yield kind, _Left(noun, before, told)


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
