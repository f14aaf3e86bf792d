"""Items of lists in the path of a key: by their numbers from 0, as `learning.groups.1`, or by their names.

Knows mappings and lists as a file holds them; neither keys nor arms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_NUMBER = re.compile("0|[1-9][0-9]{0,5}")


def number_of(part: str, items: Sequence[Any]) -> int | None:
    """Which item a part of a path names by its number; None if there is none."""
    return int(part) if _NUMBER.fullmatch(part) and int(part) < len(items) else None


def place(holder: Any, part: str) -> Any:
    """A part of a path as what `holder` takes in brackets; it is a mapping, or a list that has such an item."""
    return number_of(part, holder) if isinstance(holder, list) else part


def at(data: Any, path: Iterable[str]) -> Any:
    """What stands at a path; None if nothing does."""
    for part in path:
        if isinstance(data, list):
            number = number_of(part, data)
            data = None if number is None else data[number]
        else:
            data = data.get(part) if isinstance(data, Mapping) else None
    return data


def names(items: Sequence[Any]) -> list[str | None]:
    """What the items of a list are called, None where an item has no name."""
    found = [item.get("name") if isinstance(item, Mapping) else None for item in items]
    return [name if isinstance(name, str) else None for name in found]


def by_number(data: Any, path: Iterable[str]) -> tuple[str, ...]:
    """A path with the numbers of items in the place of their names."""
    found = list[str]()
    for part in path:
        known = names(data) if isinstance(data, list) else []
        if part in known and number_of(part, known) is None:
            part = str(known.index(part))
        found.append(part)
        data = at(data, (part,))
    return tuple(found)
