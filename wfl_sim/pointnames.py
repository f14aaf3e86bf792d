"""Names of the points of a grid that are folders on every system: ``bandwidth=1MHz-rank=8``; and lists of them.

Knows keys and values as texts, and nothing of what they mean.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

LONGEST = 100  # characters of an arm with its point, so that the path of a picture of it fits everywhere
LONGEST_VALUE = 24
MOST_LISTED = 6
_HASH = 6  # characters; tells values of one key apart
_LONG_HASH = 10  # tells whole names apart, of which there may be many more
_RATE = re.compile(r"[-+.0-9eE]+\s*[A-Za-z]+/[A-Za-z]+")  # 30 km/h


def labels(paths: Sequence[tuple[str, ...]]) -> list[str]:
    """What each key is called: its last words, as many as tell it from the others.

    A kind is called after what it is a kind of: ``fading`` for ``channel.fading.kind``.
    """
    called = [path[:-1] if path[-1] == "kind" and len(path) > 1 and path[:-1] not in paths else path for path in paths]
    found = []
    for path in called:
        others = [other for other in called if other is not path]
        lengths = range(1, len(path) + 1)
        length = next((n for n in lengths if all(other[-n:] != path[-n:] for other in others)), len(path))
        while path[-length].isdecimal() and length < len(path):  # the item of a list by the name of that
            length += 1
        found.append(".".join(path[-length:]))
    return found


def tokens(texts: Sequence[str]) -> list[str]:
    """The values of one key as parts of a name: safe, short, and unlike each other even where capitals do not count."""
    safe = [_safe(text) for text in texts]
    times = Counter(token.lower() for token in safe)
    found = []
    for text, token in zip(texts, safe, strict=True):
        if times[token.lower()] > 1 or not token:
            token = f"{token[: LONGEST_VALUE - _HASH - 1]}-{_hash(text, _HASH)}".lstrip("-")
        found.append(token)
    return found


def name(group: str, point: Sequence[str]) -> str:
    """The arm of a study that a point is: ``dense-bandwidth=1MHz-rank=8``; the `group` itself where it has none."""
    whole = "-".join((group, *point))
    return whole if len(whole) <= LONGEST else f"{whole[: LONGEST - _LONG_HASH - 1]}-{_hash(whole, _LONG_HASH)}"


def listed(names: Sequence[str]) -> str:
    """Arms that a note concerns: the first few, and how many more."""
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return f"{', '.join(names[:MOST_LISTED])}{more}"


def _safe(text: str) -> str:
    """A value without what a folder cannot have: ``1 MHz`` is 1MHz, ``30 km/h`` 30kmph, ``10 %`` 10pct."""
    plain = re.sub(r"\bkind: ", "", text.strip())
    plain = plain.replace("/", "p") if _RATE.fullmatch(plain) else plain
    plain = re.sub(r"(?<=[0-9.])\s+(?=[A-Za-z%])", "", plain).replace("%", "pct")
    sign = "-" if re.match(r"-[0-9.]", plain) else ""
    token = sign + re.sub(r"[^A-Za-z0-9._]+", "-", plain.removeprefix(sign)).strip("-")
    if len(token) > LONGEST_VALUE:
        token = f"{token[: LONGEST_VALUE - _HASH - 1]}-{_hash(text, _HASH)}"
    return token


def _hash(text: str, length: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]
