"""Groups of clients (`learning.groups`) one by one: each is judged in its own task, as if it had a run of its own.

Pure functions of `Traces`; does not know how a group is shown, nor how two arms compare.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from analysis.traces import Traces
from analysis.tradeoff import TARGET_WINDOW, measured, rounds_by_cell

_JUDGED = ["accuracy", "loss"]
_CELL = ["arm", "seed"]


class ClientGroup(NamedTuple):
    """A group by its name and the task that it learns; the same name with another task is another group."""

    name: str
    task: str

    @property
    def short(self) -> str:
        """The task without the word that says where it is from."""
        return self.task.removeprefix("builtin:")


def groups_of(traces: Traces) -> list[ClientGroup]:
    """The groups of all arms, each once, in the order of their clients; none in runs whose clients are all alike."""
    if traces.groups.empty:
        return []
    each = traces.groups[["name", "task"]].drop_duplicates()
    return [ClientGroup(str(name), str(task)) for name, task in each.itertuples(index=False)]


def of_group(traces: Traces, group: ClientGroup) -> Traces:
    """The same runs, their rounds judged by what one group reached; rounds in which it was not judged have gaps."""
    rows = traces.groups
    own = rows.loc[(rows["name"] == group.name) & (rows["task"] == group.task), [*_CELL, "round", *_JUDGED]]
    rounds = traces.rounds.drop(columns=_JUDGED).merge(own, how="left", on=[*_CELL, "round"])
    return replace(traces, rounds=rounds[list(traces.rounds.columns)])


def ends(traces: Traces) -> pd.DataFrame:
    """``arm, seed, name, task`` and the quality that each group ended with: the median of its last 3 rounds.

    A row for each group that the run has; the last column is ``accuracy`` or ``perplexity``.
    """
    quality, found = traces.quality, []
    for group in groups_of(traces):
        for (arm, seed), rounds in rounds_by_cell(of_group(traces, group)).items():
            values = measured(rounds, quality).dropna().tail(TARGET_WINDOW)
            if len(values):
                found.append((arm, seed, *group, float(values.median())))
    return pd.DataFrame(found, columns=[*_CELL, "name", "task", quality.metric])
