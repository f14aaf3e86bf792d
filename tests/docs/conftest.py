"""Fenced blocks of a Markdown file, for the tests that run what the documents show.

Knows Markdown's fences, not what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

FENCE = re.compile(r"^(`{3,})(\w*)\s*$")
FILE_NAME = re.compile(r"[\w./-]+\.\w+")


class Block(NamedTuple):
    """One fenced block: `title` is the file that it shows, or empty; `line` that of its first line of text, from 1."""

    language: str
    title: str
    text: str
    line: int


def fenced_blocks(text: str) -> list[Block]:
    """The blocks of a text. A file is named by a comment in the first line, or alone in the last line before."""
    found: list[Block] = []
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        if (fence := FENCE.match(lines[number])) is None:
            number += 1
            continue
        end = next(n for n in range(number + 1, len(lines)) if lines[n].rstrip() == fence[1])
        body = lines[number + 1 : end]
        before = next((line for line in reversed(lines[:number]) if line.strip()), "").strip().rstrip(":")
        first = body[0].strip() if body else ""
        named = [first.lstrip("#/ ")] if first.startswith(("#", "//")) else []
        named += [before.strip("`*")] if before.startswith("`") else []
        title = next((name for name in named if FILE_NAME.fullmatch(name)), "")
        found.append(Block(fence[2], title, "\n".join([*body, ""]), number + 2))
        number = end + 1
    return found


@pytest.fixture(scope="session")
def blocks() -> Callable[[Path], list[Block]]:
    """``blocks(path)`` gives the fenced blocks of a Markdown file: (language, title, text, line) each."""
    return lambda path: fenced_blocks(path.read_text(encoding="utf-8"))
