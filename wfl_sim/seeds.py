"""The seeds of a study: a list of whole numbers, or a range ``1..5`` with both ends.

Knows how they are written and how many they are, and nothing of what is drawn from them.
"""

from __future__ import annotations

import re
from typing import Any

from channels.units import shown

MOST = 10**7  # seeds of a range; a longer one is a slip
EXAMPLE = "1..5"
# What a JSON Schema can hold, too: no `\s` or `\d`, which ECMAScript and Python read differently.
PATTERN = "^[ ]*[0-9]{1,19}[ ]*\\.\\.[ ]*[0-9]{1,19}[ ]*$"
_RANGE = re.compile(PATTERN.strip("^$"))


class Seeds:
    """Marks an option that takes a list of whole numbers, or a range: ``Annotated[tuple[int, ...], Seeds()]``."""

    # pydantic asks an annotation for its schema by this name; see `channels.units.Quantity`.
    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        read = {"type": "no-info", "function": numbers}
        return {"type": "function-before", "function": read, "schema": handler(source)}


def numbers(written: Any) -> Any:
    """The whole numbers of a range; a list as a tuple, and anything else as it stands.

    Raises
    ------
    ValueError
        The range falls, or is too long to be meant.
    """
    ends = _ends(written)
    if ends is None:
        return tuple(written) if isinstance(written, list) else written
    first, last = ends
    if last < first:
        raise ValueError(f"a range runs from the smaller to the larger number; got {shown(written)}")
    if last - first >= MOST:
        raise ValueError(f"is a range of more than {MOST:,} seeds; got {shown(written)}")
    return tuple(range(first, last + 1))


def count(written: Any) -> int:
    """How many seeds that is, without making them; 1 for what is none."""
    ends = _ends(written)
    if ends is not None:
        return max(1, ends[1] - ends[0] + 1)
    return max(1, len(written)) if isinstance(written, list) else 1


def _ends(written: Any) -> tuple[int, int] | None:
    if not isinstance(written, str) or not _RANGE.fullmatch(written):
        return None
    first, last = written.split("..")
    return int(first), int(last)
