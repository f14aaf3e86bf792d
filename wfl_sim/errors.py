"""The errors that a user can meet. Each says what, where, what was got and what is allowed.

WflError                      everything below; the command line prints it without a traceback
|-- ScenarioError             a scenario file or an override is wrong            exit 2
|                             where: "file:line:col: key.path" or "command line: key=value"
|-- MissingResource           a package, model or data set is not installed      exit 2
|-- OutputExists              the run directory is there already                 exit 2
|-- RunFailed                 the run itself went wrong (divergence, ...)        exit 1
`-- LedgerError               bits do not balance: a defect of the simulator     exit 1
"""

from __future__ import annotations


class WflError(Exception):
    """Base of all errors. Every subclass can be rebuilt from its ``args``, as SimPy and pools do."""

    exit_code = 1


class ScenarioError(WflError):
    """A scenario is wrong. ``args`` are the problems found, each a pair (where, message)."""

    exit_code = 2

    def __str__(self) -> str:
        return "\n".join(f"{where}: {message}" for where, message in self.args)


class MissingResource(WflError):
    """Something that has to be installed is not there; the text names the command that installs it."""

    exit_code = 2


class OutputExists(WflError):
    """A run directory exists and would be overwritten."""

    exit_code = 2


class RunFailed(WflError):
    """A run stopped for a reason of its own."""


class LedgerError(WflError):
    """Bits offered differ from bits delivered, dropped and in flight."""
