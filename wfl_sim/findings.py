"""What a rule of a scenario found, told at the key that should change.

Knows keys and words; no rule, and no place in a file.
"""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """What a rule found: the key to change, what must hold, what was got, and the other keys that were read.

    `example` is ``key: value`` that would do, `near` the name that was probably meant. `clash` are keys of which
    any might change: whichever was written last, say in an arm and not in the file, is pointed to. `rule` stands in
    place of what the key takes anywhere, where this scenario narrows it.
    """

    path: tuple[str, ...]
    message: str
    got: str = ""
    read: tuple[tuple[str, ...], ...] = ()
    example: str = ""
    near: str = ""
    clash: tuple[tuple[str, ...], ...] = ()
    rule: str = ""


def finding(key: str, message: str, got: object = "", *read: str, fits: object = "", near: str = "") -> Finding:
    """A finding at ``a.b.c``; `fits` is a value that would do, `read` the other keys that the rule has read."""
    path = tuple(key.split("."))
    example = f"{path[-1]}: {fits}" if fits != "" else ""
    return Finding(path, message, str(got), tuple(tuple(other.split(".")) for other in read), example, near)
