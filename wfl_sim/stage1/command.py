"""The command that runs what a plan recommends.

Knows plans by their fields, and how a shell reads words.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from wfl_sim.stage1.report import Planned
from wfl_sim.yamlfile import Override
from wfl_sim.yamlreader import KeyPath


def command(planned: Planned, scenario: str, overrides: Sequence[str]) -> Iterator[str]:
    """For a shell, one setting a line; what was overridden for the plan comes before settings, as later ones win."""
    words = ["wfl-sim run", shlex.quote(scenario)]
    if planned.run_arm is not None:
        words += ["--arm", shlex.quote(planned.run_arm)]
    kept = [one for one in overrides if not planned.says_again(_path(one, planned.run_arm))]
    yield " ".join(words) + " \\"
    settings = [shlex.quote(one) for one in (*planned.at_point, *kept, *planned.overrides)]
    yield from (f"    {one} \\" for one in settings[:-1])
    yield f"    {settings[-1]}"


def _path(override: str, arm: str | None) -> KeyPath:
    """What an override sets, without the arm where it is for this one."""
    path, _ = Override.parts(override)
    own = () if arm is None else ("arms", *arm.split("."))
    return path[len(own) :] if path[: len(own)] == own else path
