"""The latency budget to recommend for a rank, and what the one that a scenario states is worth beside it.

Knows times and error curves; no tensor, and not how it is told.

A longer round carries more of each client's change, a shorter one is followed sooner by the next. With T(rho) the
latency budget at which the mean rate carries the kept fraction rho, and delta(rho) the share of a change that is in the
pieces sent, the pace of a budget is the change that arrives in a second:

    pace(rho) = delta(rho) / T(rho),    T(rho) = fixed + rho slope

With a pilot, delta = 1 - sparsification_weight phi is known, and the budget recommended is the one of the best pace.

Without one, all that is known of delta is that the most important pieces go first, so that it is concave, from 0 to 1.
Against a shorter round rho' < rho, which carries as much at best, pace(rho) is at least T(rho') / T(rho) of it; against
a longer one, which carries rho' / rho times as much at best, at least (rho / T(rho)) / (rho' / T(rho')), which is least
at rho' = 1. So whatever delta is, a budget reaches at least

    min(T(rho_min) / T(rho), rho T(1) / T(rho))

of the best pace, and equality is taken (by delta = 1, and by delta = rho). The budget recommended makes that promise
the largest. With rho_min = 0 it is where rho = fixed / (fixed + slope), and the promise is (fixed + slope) / (fixed +
2 slope), never less than a half.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Any, Literal

import numpy as np

from wfl_sim.contracts import FloatArray
from wfl_sim.stage1.links import Links, Size, bits_of

ROUNDING = 1e-9  # relative: a budget that a round takes to so much keeps it
SAME = 0.9  # of the pace recommended: a budget that reaches so much is as good
POINTS = 257  # of a curve
DIGITS = 3  # of a budget
Verdict = Literal["ok", "too tight", "generous", "impossible"]


@dataclass(frozen=True)
class Paces:
    """Latency budgets in s of the rising shares `kept`, and their paces as shares of the best one.

    Measured they are what is predicted; else the least that is promised, whatever the pieces left out were worth.
    `least_s` is the time of a round of the smallest updates, below which no budget can be met; `whole_s` that of whole
    ones, beyond which no budget binds.
    """

    kept: FloatArray
    budget_s: FloatArray
    share: FloatArray
    measured: bool
    least_s: float
    whole_s: float

    def of(self, budget_s: float) -> float:
        """The pace of a latency budget; 0 of one that cannot be met. Beyond whole updates it is theirs."""
        return 0.0 if not is_met(budget_s, self.least_s) else float(np.interp(budget_s, self.budget_s, self.share))

    @property
    def recommended_s(self) -> float:
        """The budget of the best pace, the smallest of equals, rounded up."""
        return rounded_up(max(float(self.budget_s[int(np.argmax(self.share))]), self.least_s))


@dataclass(frozen=True)
class Compared:
    """A latency budget in s that is stated beside the one that is recommended; see `Paces` for `pace`."""

    latency_budget_s: float
    pace: float
    verdict: Verdict


def paces(air: Links, size: Size, least: float, spectrum: Any = None, weight: float = 1.0) -> Paces:
    """The paces of a rank; `spectrum` is that of a pilot, where one was run, and `weight` what counts of its phi."""
    first = size.menu.smallest(least)
    kept = np.linspace(first.kept_fraction, 1.0, POINTS) if first.kept_fraction < 1.0 else np.ones(1)
    wire = [air.snapshots(size)[0].air.wire_bits(bits_of(size, share)) for share in kept]
    budget_s = air.fixed_s(size) + np.array(wire) / air.rate_bps(size)
    if spectrum is None:
        share = np.minimum(budget_s[0] / budget_s, kept * budget_s[-1] / budget_s)
    else:
        pace = np.maximum(0.0, 1.0 - weight * spectrum.error_of_kept(kept)) / budget_s
        share = pace / pace.max()
    least_s, whole_s = air.least_s(size, least), air.round_s(size, size.dense_bits)
    return Paces(kept, budget_s, share, spectrum is not None, least_s, whole_s)


def compared(stated_s: float | None, found: Paces) -> Compared | None:
    """What to say of the latency budget that a scenario states."""
    if stated_s is None:
        return None
    pace, best = found.of(stated_s), found.of(found.recommended_s)
    verdict: Verdict = "ok"
    if not is_met(stated_s, found.least_s):
        verdict = "impossible"
    elif pace < SAME * best or stated_s > found.whole_s / SAME:
        verdict = "too tight" if stated_s < found.recommended_s else "generous"
    return Compared(stated_s, pace, verdict)


def is_met(budget_s: float, least_s: float) -> bool:
    """Whether rounds of so many seconds keep a latency budget, but for `ROUNDING`."""
    return least_s <= budget_s * (1.0 + ROUNDING)


def rounded_up(seconds: float) -> float:
    """To `DIGITS` digits, but for `ROUNDING`; what is not finite, or 0, stays as it is."""
    if not (isfinite(seconds) and seconds > 0.0):
        return seconds
    step = 10.0 ** (floor(log10(seconds)) - DIGITS + 1)
    return float(f"{ceil(seconds / (1.0 + ROUNDING) / step) * step:.{DIGITS}g}")
