"""What the updates of a run took, by arm and seed: their bits and kept fractions; and by when they were due.

Pure functions of `Traces`; does not know accuracy, nor how a number is printed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from analysis.traces import Traces

BITS_PER_KBIT = 1e3
SAME = 0.005
"""Relative, of bits, and of kept fractions: a rotation or an index makes single updates differ by less."""


class Updates(NamedTuple):
    """Means over the uploads of a cell, lost ones too; NaN if there is none.

    `kbit` is an update as the codec wrote it, without headers and repeats; `kept` its kept fraction. Split training
    keeps all of an update (NaN): there the schedule chooses `coding_bits`, those of a value of activations and
    gradients, and `kbit` is all that a client sends up for an update.
    """

    kbit: float
    kept: float
    coding_bits: float = math.nan


NONE = Updates(math.nan, math.nan)
FULL_BITS = 32
"""Bits a value of activations at a kept fraction of 1; at less they are proportionally fewer."""
CODINGS_BITS = (8, 16, 32)
"""Bits a value of the codings that there are."""
CODING_IN_WORDS = "bits a value of split training's activations and gradients (int8, fp16, fp32)"


def mean_of(cells: Sequence[Updates]) -> Updates:
    """The mean over some cells, each counting alike; NaN if there is none."""
    if not cells:
        return NONE
    return Updates(*(math.fsum(values) / len(cells) for values in zip(*cells, strict=True)))


def differ(cells: Sequence[Updates]) -> bool:
    """Whether some took more bits than others, kept less, or had another coding; by more than rounding."""
    kbit, kept, coding_bits = zip(*cells, strict=True)
    return _apart(kbit, SAME * max(kbit)) or _apart(kept, SAME) or _apart(coding_bits, SAME * FULL_BITS)


def _apart(values: Sequence[float], least: float) -> bool:
    known = [value for value in values if not math.isnan(value)]
    return 0 < len(known) < len(values) or (bool(known) and max(known) - min(known) > least)


def updates(traces: Traces) -> dict[tuple[str, int], Updates]:
    """The means of each cell, by arm and seed; cells without uploads are left out."""
    sent = traces.transmissions[traces.transmissions["direction"] == "up"]
    cells = sent.groupby(["arm", "seed"], sort=False)
    means = cells[["payload_bits", "kept_fraction"]].mean().assign(coding_bits=math.nan)
    if len(whole := of_updates(sent)) < len(sent):
        counts = whole.groupby(["arm", "seed"], sort=False).size().reindex(means.index)
        means["payload_bits"] = cells["payload_bits"].sum() / counts  # activations come with the adapters
        steps = of_steps(sent).groupby(["arm", "seed"], sort=False)["kept_fraction"].mean()
        means["coding_bits"] = FULL_BITS * steps.reindex(means.index)
        means["kept_fraction"] = means["kept_fraction"].where(means["coding_bits"].isna())
    return {
        (str(arm), int(seed)): Updates(float(bits) / BITS_PER_KBIT, float(kept), float(coding_bits))
        for (arm, seed), bits, kept, coding_bits in means.itertuples(name=None)
    }


def of_updates(sent: pd.DataFrame) -> pd.DataFrame:
    """Those transfers that are not a step's of split training."""
    return sent[~(sent["step"] > 0)]


def of_steps(sent: pd.DataFrame) -> pd.DataFrame:
    """The others: activations up, and their gradients down."""
    return sent[sent["step"] > 0]


def due_s(cell: Mapping[str, Any]) -> float:
    """The latency budget of a row of ``Traces.cells``, or without one its schedule's deadline; NaN without either."""
    budget_s = float(cell["latency_budget_s"])
    return float(cell["schedule_deadline_s"]) if math.isnan(budget_s) else budget_s
