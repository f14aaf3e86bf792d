"""What the updates of a run took, by arm and seed: their bits and kept fractions; and by when they were due.

Pure functions of `Traces`; does not know accuracy, nor how a number is printed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from analysis.traces import Traces

BITS_PER_KBIT = 1e3
SAME = 0.005
"""Relative, of bits, and of kept fractions: a rotation or an index makes single updates differ by less."""


class Updates(NamedTuple):
    """Means over the uploads of a cell, lost ones too; NaN if there is none.

    `kbit` is an update as the codec wrote it, without headers and repeats; `kept` its kept fraction.
    """

    kbit: float
    kept: float


NONE = Updates(math.nan, math.nan)


def mean_of(cells: Sequence[Updates]) -> Updates:
    """The mean over some cells, each counting alike; NaN if there is none."""
    if not cells:
        return NONE
    return Updates(*(math.fsum(values) / len(cells) for values in zip(*cells, strict=True)))


def differ(cells: Iterable[Updates]) -> bool:
    """Whether some took more bits than others, or kept less; by more than rounding."""
    kbit, kept = zip(*cells, strict=True)
    return max(kbit) - min(kbit) > SAME * max(kbit) or max(kept) - min(kept) > SAME


def updates(traces: Traces) -> dict[tuple[str, int], Updates]:
    """The means of each cell, by arm and seed; cells without uploads are left out."""
    sent = traces.transmissions[traces.transmissions["direction"] == "up"]
    cells = sent.groupby(["arm", "seed"], sort=False)
    means = cells[["payload_bits", "kept_fraction"]].mean()
    if len(whole := of_updates(sent)) < len(sent):  # the bits of activations come with those of the adapters
        counts = whole.groupby(["arm", "seed"], sort=False).size().reindex(means.index)
        means["payload_bits"] = cells["payload_bits"].sum() / counts
    return {
        (str(arm), int(seed)): Updates(float(bits) / BITS_PER_KBIT, float(kept))
        for (arm, seed), bits, kept in means.itertuples(name=None)
    }


def of_updates(sent: pd.DataFrame) -> pd.DataFrame:
    """Those transfers that are not a step's of split training."""
    return sent[~(sent["step"] > 0)]


def due_s(cell: Mapping[str, Any]) -> float:
    """The latency budget of a row of ``Traces.cells``, or without one its schedule's deadline; NaN without either."""
    budget_s = float(cell["latency_budget_s"])
    return float(cell["schedule_deadline_s"]) if math.isnan(budget_s) else budget_s
