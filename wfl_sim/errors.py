"""The errors that a user can meet. Each says what, where, what was got and what is allowed.

WflError                      everything below; the command line prints it without a traceback
|-- ScenarioError             a scenario file or an override is wrong            exit 2
|   |                         its args are `Problem`s: place, key, message, rule, example, source line
|   `-- ManyCells             a study is so large that it may be a slip
|-- MissingResource           a package, model or data set is not installed      exit 2
|-- OutputExists              the run directory is there already                 exit 2
|-- PluginError               an installed plug-in cannot be used (plugins.py)    exit 2
|-- ContractError             a plug-in breaks its contract (checks/contract.py) exit 1
|-- RunFailed                 the run itself went wrong                          exit 1
|   `-- Diverged              its training came to numbers that are not finite
|       `-- NotFinite         the same before the engine has added the round
`-- LedgerError               bits do not balance: a defect of the simulator     exit 1
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from textwrap import wrap
from typing import Any
from unicodedata import combining, east_asian_width

COMMAND_LINE = "command line: "
AGAIN = "the run cannot go on; --force runs it again"  # what to do with a run that cannot be continued
_WIDEST = 110  # characters of a line of explanation
_LONGEST_PLACE, _LONGEST_KEY, _LONGEST = 200, 80, 390  # characters of the first line's parts, and of all of it


class WflError(Exception):
    """Base of all errors. Every subclass can be rebuilt from its ``args``, as SimPy and pools do."""

    exit_code = 1


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a scenario, and what would be right.

    `place` is a file or ``command line: key=value``; `line` and `column` count from 1 (0: the whole of it).
    `source` is that line, and `width` how many characters of it are meant.
    """

    place: str
    key: str
    message: str
    line: int = 0
    column: int = 0
    near: str = ""
    rule: str = ""
    example: str = ""
    source: str = ""
    width: int = 0

    @property
    def where(self) -> str:
        """``file:line:col``, or ``command line: key=value``."""
        return f"{self.place}:{self.line}:{self.column}" if self.line and not self.on_command_line else self.place

    @property
    def on_command_line(self) -> bool:
        """Whether an override is to blame."""
        return self.place.startswith(COMMAND_LINE)

    def __str__(self) -> str:
        """The first line: ``where: key: message``, and the name that was probably meant; printable and not endless."""
        where = printable(self.where)
        if len(where) > _LONGEST_PLACE:  # of a file the end says more
            where = _cut(where, _LONGEST_PLACE) if self.on_command_line else f"... {where[4 - _LONGEST_PLACE :]}"
        hint = f"; did you mean {self.near!r}?" if self.near else ""
        parts = (where, _cut(printable(self.key), _LONGEST_KEY), printable(self.message + hint))
        return _cut(": ".join(part for part in parts if part), _LONGEST)

    def text(self) -> str:
        """The first line, the source line with a caret below the place, the rule and an example."""
        return "\n".join([str(self), *self.details()])

    def details(self) -> list[str]:
        """The lines of `text` below the first."""
        notes = wrap(f"rule: {printable(self.rule)}", _WIDEST, initial_indent="    ", subsequent_indent="      ")
        example = [f"    example: {printable(self.example)}"] if self.example else []
        return [*self._excerpt(), *(notes if self.rule else []), *example]

    def as_dict(self) -> dict[str, Any]:
        """The parts by name, for JSON."""
        return asdict(self)

    def _excerpt(self) -> list[str]:
        if not self.width:
            return []
        start = max(0, min(self.column - 20, len(self.source) - _WIDEST)) if len(self.source) > _WIDEST else 0
        line = "".join(_one_cell(c) for c in self.source[start : start + _WIDEST])
        first = self.column - 1 - start
        carets = "^" * max(1, _cells(line[first : first + self.width]))
        return [f"    {line}".rstrip(), f"    {' ' * _cells(line[:first])}{carets}"]


def printable(text: str) -> str:
    """`text` without line ends and control characters, which would break a message apart or colour it."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 4]} ..."


def _one_cell(character: str) -> str:
    return character if character.isprintable() else " " if character == "\t" else "\N{REPLACEMENT CHARACTER}"


def _cells(text: str) -> int:
    """How many cells of a terminal a text takes: Chinese characters two, combining accents none."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each once: those of the file from top to bottom, then those of the command line."""
    return sorted(
        dict.fromkeys(problems), key=lambda p: (p.on_command_line, not p.on_command_line and (p.line, p.column))
    )


class ScenarioError(WflError):
    """A scenario is wrong. ``args`` are all the problems found, each a `Problem`."""

    exit_code = 2

    def __str__(self) -> str:
        return "\n".join(problem.text() for problem in self.args)


@dataclass(frozen=True)
class Size(Problem):
    """The problem of `ManyCells`: with how many they are."""

    cells: int = 0


class ManyCells(ScenarioError):
    """A study has so many cells that it may be a slip; nothing was resolved. ``args`` are its one problem, a `Size`."""

    @property
    def cells(self) -> int:
        """How many."""
        size: Size = self.args[0]
        return size.cells


class MissingResource(WflError):
    """Something that has to be installed is not there; the text names the command that installs it."""

    exit_code = 2


class OutputExists(WflError):
    """A run directory exists and would be overwritten."""

    exit_code = 2


class RunFailed(WflError):
    """A run stopped for a reason of its own."""


class Diverged(RunFailed):
    """The training came to numbers that are not finite: what, in which round, and what to do about it."""


class NotFinite(Diverged):
    """A number of a run is not finite: what, and what to do about it. In which round, the engine knows."""


class LedgerError(WflError):
    """Bits offered differ from bits delivered, dropped and in flight."""
