"""One run, study or arm against another: values by seed, their paired differences, and whether that is a regression.

Knows traces and metrics; does not know how the answer is printed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from analysis.clientgroups import ClientGroup, groups_of, of_group
from analysis.metrics import METRICS, Metric
from analysis.paired import Interval, interval_of_mean
from analysis.pareto import common_range, mean_quality
from analysis.sides import CompareError, Side, common_seeds, matched, mixed, side_of, unfinished
from analysis.tradeoff import (
    TARGET_WINDOW,
    cell_rounds,
    evaluations,
    measured,
    targets_of,
    to_target,
    window_in_words,
)
from analysis.updates import NONE, Updates, mean_of, updates
from channels.units import QuantityError, parse
from wfl_sim.diagnose import nearest
from wfl_sim.quality import Quality

Verdict = Literal["regression", "worse", "within tolerance", "equal", "better", "no verdict"]
"""Of a group of clients `worse` is what would be a regression of an arm."""

ROUNDING = 1e-12
"""Differences below this share of the values are none: 0.70 less 0.69 is more than 0.01 in binary numbers, which keep
some 1e-16 of a value, and means of thousands of them still 1e-13; of metrics nobody reads the 12th digit."""


@dataclass(frozen=True)
class Tolerance:
    """How much worse the mean may be: so much of the baseline's mean, plus so much in the unit of the metric."""

    relative: float = 0.0
    absolute: float = 0.0

    @classmethod
    def read(cls, text: str, metric: Metric) -> Tolerance:
        """``5 %`` of the baseline, or a quantity such as ``0.5 s``, ``200 kbit`` or, for accuracy, ``0.01``."""
        try:
            if text.strip().endswith("%"):
                tolerance = cls(relative=parse(text, "1"))
            elif text.strip() == "0":
                tolerance = cls()
            else:
                tolerance = cls(absolute=parse(text, metric.unit))
        except QuantityError as error:
            raise CompareError(f"tolerance: {error}; or '5 %' of the baseline") from None
        if min(tolerance.relative, tolerance.absolute) < 0:
            raise CompareError(f"tolerance: must not be below 0; got {text!r}")
        return tolerance

    def of(self, baseline: float) -> float:
        """In the unit of the metric."""
        return self.relative * abs(baseline) + self.absolute


class Seed(NamedTuple):
    """The values of one seed, and their difference; NaN where there is none."""

    seed: int
    a: float
    b: float

    @property
    def difference(self) -> float:
        """The new value less the baseline's."""
        return self.b - self.a

    @property
    def relative(self) -> float:
        """The difference in parts of the baseline; NaN if that is 0."""
        return self.difference / abs(self.a) if self.a else math.nan


@dataclass(frozen=True)
class Pair:
    """An arm and its baseline, over the seeds that both ran, in the unit of the metric.

    `mean` and both 95 % intervals are of the differences of the `n` seeds in which both have a value, `baseline` is the
    baseline's mean over them. `updates` are the mean bits and kept fractions of what either sent in all of these seeds.
    `group` is the group of clients that is compared, None of all clients together.
    """

    a: str
    b: str
    seeds: tuple[Seed, ...]
    n: int
    baseline: float
    mean: float
    t: Interval
    bootstrap: Interval
    tolerance: float
    verdict: Verdict
    lost: tuple[int, ...]
    won: tuple[int, ...]
    updates: tuple[Updates, Updates] = (NONE, NONE)
    group: ClientGroup | None = None


@dataclass(frozen=True)
class Comparison:
    """The answer: pairs of arms, and what else a reader has to know.

    `groups` are the same pairs judged by each group of clients that both have with the same task, where the metric is
    one of quality. `window` says in words of which rounds a final quality is the median, and is empty of other metrics.
    """

    a: str
    b: str
    metric: str
    better: str
    target: float | None
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]
    groups: tuple[Pair, ...] = ()
    window: str = ""

    @property
    def regression(self) -> bool:
        """Whether any arm is worse than its baseline by more than the tolerance; its groups are not asked."""
        return any(pair.verdict == "regression" for pair in self.pairs)


def compare(
    a: str,
    b: str,
    metric: str | None = None,
    target: float | None = None,
    tolerance: str = "0",
    also_unfinished: bool = False,
) -> Comparison:
    """Compare what lies at `b` with the baseline at `a`, seed by seed.

    It is a regression if the mean difference of an arm is worse than the tolerance, or if in some seed it has no value
    where its baseline has one: it never reached the target, or its perplexity is not finite. Seeds in which only the
    new one has a value count for it, and are left out of the mean, as are seeds in which neither has. What single
    groups of clients lose is told besides, and is no regression: the quality of a run is the mean over its groups.

    Parameters
    ----------
    a, b
        A run, a study, a pattern, or ``STUDY:ARM``. Two arms that are named, and the only arms of two sides, are
        compared whatever they are called; otherwise arms pair by name, and two named groups of a grid by their point.
    metric
        One of `METRICS`; by default the final quality, or ``time`` where nothing was learnt.
    target
        What ``*_to`` has to reach; by default the target of the runs, if they have only one.
    tolerance
        See `Tolerance.read`.
    also_unfinished
        Compare runs that have not finished, as far as they came.

    Raises
    ------
    TraceError
        There is no run, or it cannot be read.
    CompareError
        Nothing can be compared: names, seeds, targets, or runs that are not finished.
    """
    sides = (side_of(a), side_of(b))
    quality = _common_quality(sides)
    name = metric or (quality.metric if any(side.traces.learns for side in sides) else "time")
    if name not in METRICS:
        near = nearest(name, METRICS)
        hint = f"; did you mean {near!r}?" if near else ""
        raise CompareError(f"no metric {name!r}{hint} There are: {', '.join(METRICS)}")
    chosen = METRICS[name]
    if chosen.how == "final" and name != quality.metric:
        raise CompareError(f"these runs are judged by {quality.metric}, not by {name}")
    if chosen.how == "to":
        target = _target(target, sides, quality)
    elif target is not None:
        others = ", ".join(name for name, other in METRICS.items() if other.how == "to")
        raise CompareError(f"{name} has no target; those that have: {others}")
    allowed = Tolerance.read(tolerance, chosen)
    arm_pairs, notes = matched(*sides)
    for side, own in zip(sides, zip(*arm_pairs, strict=True), strict=True):
        notes += unfinished(side, own, also_unfinished) + mixed(side, own)
    pairs, groups, sent = list[Pair](), list[Pair](), [updates(side.traces) for side in sides]
    a_judged, b_judged = (cache(partial(_judged_by, side)) for side in sides)  # the same for all arms
    ends = list[int]()
    for arms in arm_pairs:
        seeds, missing = common_seeds(sides, arms)
        notes += missing
        if seeds:
            rows = _values(sides, arms, seeds, chosen, quality, target)
            ends += _evaluated(sides, arms, seeds, quality)
            pair = judged(arms, rows, chosen.better(quality), allowed)
            a_sent, b_sent = (
                [own[arm, seed] for seed in seeds if (arm, seed) in own] for own, arm in zip(sent, arms, strict=True)
            )
            pairs.append(replace(pair, updates=(mean_of(a_sent), mean_of(b_sent))))
            if chosen.of_quality:
                common, apart = _common_groups(sides, arms, seeds)
                notes += apart
                for group in common:
                    values = _values((a_judged(group), b_judged(group)), arms, seeds, chosen, quality, target)
                    pair = judged(arms, values, chosen.better(quality), allowed)
                    verdict = "worse" if pair.verdict == "regression" else pair.verdict
                    groups.append(replace(pair, group=group, verdict=verdict))
    if not pairs:
        raise CompareError(f"{a} and {b} have no seed in common: {'; '.join(notes)}")
    if all(pair.verdict == "no verdict" for pair in pairs):
        why = "has a finite value" if target is None else f"reaches {target:g}"
        raise CompareError(f"{name} says nothing about {a} and {b}: in no seed either {why}")
    said, window = tuple(dict.fromkeys(notes)), window_in_words(ends) if chosen.how == "final" else ""
    return Comparison(a, b, name, chosen.better(quality), target, tuple(pairs), said, tuple(groups), window)


def _evaluated(sides: tuple[Side, Side], arms: tuple[str, str], seeds: list[int], quality: Quality) -> list[int]:
    """How many rounds of each of these runs were evaluated."""
    return [
        int(measured(cell_rounds(side.traces, arm, seed), quality).count())
        for side, arm in zip(sides, arms, strict=True)
        for seed in seeds
    ]


def _common_groups(
    sides: tuple[Side, Side], arms: tuple[str, str], seeds: list[int]
) -> tuple[list[ClientGroup], list[str]]:
    """The groups that both arms have, and a line for groups that one arm has alone."""
    cells = [side.traces.groups for side in sides]
    cells = [own[(own["arm"] == arm) & own["seed"].isin(seeds)] for own, arm in zip(cells, arms, strict=True)]
    a, b = (groups_of(replace(side.traces, groups=own)) for side, own in zip(sides, cells, strict=True))
    if max(len(a), len(b)) < 2:  # what all clients reached together
        return [], []
    common = [group for group in a if group in b]
    notes = []
    for side, arm, alone in zip(sides, arms, ([g for g in a if g not in b], [g for g in b if g not in a]), strict=True):
        if alone:
            said = ", ".join(f"{group.name} ({group.short})" for group in alone)
            notes.append(f"{arm}: groups only in {side.text}: {said}")
    return common, notes


def _judged_by(side: Side, group: ClientGroup) -> Side:
    return side._replace(traces=of_group(side.traces, group))


def _common_quality(sides: tuple[Side, Side]) -> Quality:
    a, b = (side.traces.quality for side in sides)
    if a != b and all(side.traces.learns for side in sides):
        raise CompareError(f"{sides[0].text} is judged by {a.metric}, {sides[1].text} by {b.metric}")
    return a if sides[0].traces.learns else b


def _target(target: float | None, sides: tuple[Side, Side], quality: Quality) -> float:
    own = sorted({value for side in sides for value in targets_of(side.traces)})
    if target is None:
        if len(own) == 1:
            return own[0]
        raise CompareError(f"needs --target; the runs have {', '.join(f'{one:g}' for one in own) or 'none'}")
    if not quality.possible(target):
        raise CompareError(f"target {target:g}: {quality.rule}")
    return target


def _values(
    sides: tuple[Side, Side],
    arms: tuple[str, str],
    seeds: list[int],
    metric: Metric,
    quality: Quality,
    target: float | None,
) -> list[Seed]:
    rounds = [[cell_rounds(side.traces, arm, seed) for side, arm in zip(sides, arms, strict=True)] for seed in seeds]
    if metric.how == "area":
        lines = [[evaluations(one, metric.column, quality) for one in both] for both in rounds]
        start, end = common_range([line for both in lines for line in both])
        values = [[mean_quality(line, start, end) for line in both] for both in lines]
    else:
        values = [[_value(one, metric, quality, target) for one in both] for both in rounds]
    finite = [[value if math.isfinite(value) else math.nan for value in both] for both in values]
    return [Seed(seed, *both) for seed, both in zip(seeds, finite, strict=True)]


def _value(rounds: pd.DataFrame, metric: Metric, quality: Quality, target: float | None) -> float:
    if metric.how == "to":
        assert target is not None  # compare sees to it
        return to_target(rounds, target, metric.column, quality)
    if metric.how == "final":
        return float(measured(rounds, quality).dropna().tail(TARGET_WINDOW).median())
    if rounds.empty:
        return math.nan
    if metric.how == "mean":
        return float((rounds["t_end_s"] - rounds["t_start_s"]).mean())
    return float(rounds[metric.column].iloc[-1] if metric.how == "spent" else rounds[metric.column].sum())


def judged(arms: tuple[str, str], rows: list[Seed], better: str, tolerance: Tolerance) -> Pair:
    """The means of the differences of some seeds, and what they say."""
    both = [row for row in rows if not math.isnan(row.difference)]
    lost = tuple(row.seed for row in rows if math.isnan(row.b) and not math.isnan(row.a))
    won = tuple(row.seed for row in rows if math.isnan(row.a) and not math.isnan(row.b))
    differences = np.array([row.difference for row in both])
    mean = float(differences.mean()) if both else math.nan
    baseline = float(np.mean([row.a for row in both])) if both else math.nan
    allowed = tolerance.of(baseline) if both else math.nan
    worse = mean if better == "lower" else -mean
    rounding = ROUNDING * max(abs(baseline), abs(baseline + mean)) if both else 0.0
    verdict: Verdict
    if lost or worse > allowed + rounding:
        verdict = "regression"
    elif not both and not won:
        verdict = "no verdict"
    elif worse > rounding:
        verdict = "within tolerance"
    else:
        verdict = "better" if won or worse < -rounding else "equal"
    t, drawn = interval_of_mean(differences, "t"), interval_of_mean(differences, "bootstrap")
    return Pair(*arms, tuple(rows), len(both), baseline, mean, t, drawn, allowed, verdict, lost, won)
