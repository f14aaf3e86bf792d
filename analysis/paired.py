"""Paired differences: one arm against another, seed by seed, and a 95 % interval of their mean.

Pure functions of tables and numbers; does not know files, nor which differences are good ones.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from analysis.traces import Traces
from analysis.tradeoff import summary

LEVEL = 0.95
RESAMPLES = 9999
RESAMPLING_SEED = 0
"""Of the generator that draws the resamples: the same differences give the same interval."""

FEWEST = {"t": 2, "bootstrap": 3}
"""Differences that an interval needs."""

Kind = Literal["bootstrap", "t"]


class Interval(NamedTuple):
    """Ends of a 95 % interval, in the unit of the differences."""

    low: float
    high: float


def paired(traces: Traces, baseline: str, column: str, interval: Kind = "bootstrap") -> pd.DataFrame:
    """Differences to a baseline arm, seed by seed, with a 95 % interval of their mean.

    Arms with the same seed share gains, data and first weights, so that the difference within a seed is free
    of what they share.

    Parameters
    ----------
    traces
    baseline
        The arm that is subtracted.
    column
        A column of `summary`.
    interval
        ``bootstrap`` or ``t``; see `interval_of_mean` for what each is worth with few seeds.

    Returns
    -------
    DataFrame
        Indexed by arm, without the baseline; columns ``seed <k>`` for each seed of the baseline, ``n`` (seeds
        for which both have a value), ``mean``, ``low``, ``high``. A seed that both arms ran but in which one
        has no value (never reached the target) makes mean and interval NaN, as in `summary_by_arm`. A seed
        that an arm did not run is left out. With one seed there is a mean and no interval.

    Raises
    ------
    TraceError
        There is no such arm.
    ValueError
        There is no such column, or no such interval.
    """
    table = summary(traces)
    measured = [name for name in table.columns if name not in ("arm", "seed", "status")]
    if column not in measured:
        raise ValueError(f"no column {column!r} to compare; there are: {', '.join(measured)}")
    traces.seeds(baseline)
    values = {arm: table[table["arm"] == arm].set_index("seed")[column].astype("float64") for arm in traces.arms}
    reference = values[baseline]
    rows = {}
    for arm in traces.arms:
        if arm == baseline:
            continue
        own = values[arm]
        common = own.index.intersection(reference.index)
        difference = own.loc[common] - reference.loc[common]
        low, high = interval_of_mean(difference.to_numpy(), interval)
        rows[arm] = {
            **{f"seed {seed}": difference.get(seed, math.nan) for seed in reference.index},
            "n": int(difference.count()),
            "mean": float(difference.mean(skipna=False)) if len(common) else math.nan,
            "low": low,
            "high": high,
        }
    names = [*(f"seed {seed}" for seed in reference.index), "n", "mean", "low", "high"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=names)
    frame.index.name = "arm"
    return frame


def interval_of_mean(differences: np.ndarray, kind: Kind = "bootstrap") -> Interval:
    """A 95 % interval of the mean of paired differences.

    ``t`` is Student's, with n - 1 degrees of freedom; it takes the differences to be about normal. ``bootstrap``
    assumes no form: the percentiles of the means of 9999 resamples, taken further out than 2.5 % so that with
    few differences the interval is not systematically too narrow (the expanded percentile interval, T. Hesterberg,
    "What Teachers Should Know About the Bootstrap", The American Statistician 69, 2015, section 4.1). It can never
    reach beyond the smallest and largest difference, and so cannot be honest with very few.

    How often it held the true mean in 2000 simulated studies, for normal and for exponential differences::

        n                        3      4      5      7      10     20
        t, normal                0.95   0.95   0.95   0.95   0.95   0.95
        bootstrap, normal        0.76   0.87   0.92   0.94   0.94   0.95
        plain percentiles        0.76   0.80   0.83   0.88   0.90   0.92
        t, exponential           0.88   0.88   0.88   0.89   0.89   0.92
        bootstrap, exponential   0.70   0.82   0.86   0.90   0.90   0.93

    Below five seeds trust ``t``, and better run more of them.

    Returns
    -------
    Interval
        NaN for fewer than two differences (``t``) or three (``bootstrap``), or where one is not finite.
    """
    if kind not in FEWEST:
        raise ValueError(f"no interval {kind!r}; there are: {', '.join(FEWEST)}")
    n = len(differences)
    if n < FEWEST[kind] or not np.isfinite(differences).all():
        return Interval(math.nan, math.nan)
    mean, spread = float(np.mean(differences)), float(np.std(differences, ddof=1))
    quantile = float(special.stdtrit(n - 1, (1 + LEVEL) / 2))
    if kind == "t":
        half = quantile * spread / math.sqrt(n)
        return Interval(mean - half, mean + half)
    if np.ptp(differences) == 0:  # every resample is the same
        return Interval(mean, mean)
    from scipy.stats import bootstrap  # late: scipy.stats takes most of a second, and few ask for it

    expanded = 1 - 2 * float(special.ndtr(-quantile * math.sqrt(n / (n - 1))))
    drawn = bootstrap(
        (differences,),
        np.mean,
        confidence_level=expanded,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(RESAMPLING_SEED),
    )
    return Interval(float(drawn.confidence_interval.low), float(drawn.confidence_interval.high))
