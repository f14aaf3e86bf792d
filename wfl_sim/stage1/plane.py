"""The plane of rank and kept fraction, for a picture: bits, errors, and what latency budgets allow.

Knows links and the spectrum of a pilot; not how it is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wfl_sim.contracts import FloatArray
from wfl_sim.scenario import Scenario
from wfl_sim.stage1.links import Links, least_kept_of, size_of

MARGIN = 1.5  # of the plane beyond the outermost candidates
POINTS = 161  # of the plane each way


@dataclass(frozen=True)
class Plane:
    """Bits and errors over rank [ranks] and kept fraction [kept].

    `bits` [kept, ranks] are those of all clients of a round together; `error` is Psi, None where nothing was trained.
    `least_s` [ranks] is a round of the smallest updates that are allowed.
    """

    ranks: FloatArray
    kept: FloatArray
    bits: FloatArray
    error: FloatArray | None
    least_s: FloatArray
    _dense: FloatArray
    _fixed: FloatArray
    _fixed_s: FloatArray
    _air: Links

    def allowed(self, budget_s: float) -> FloatArray:
        """rho_bar [ranks] under a latency budget in s, not held within limits."""
        size = self._air.sizes[0]
        wire = self._air.rate_bps(size) * np.maximum(budget_s - self._fixed_s, 0.0)
        payload = self._air.snapshots(size)[0].air.payload_bits(wire)
        return np.asarray((payload - self._fixed) / (self._dense - self._fixed))


def plane(scenario: Scenario, air: Links, spectrum: Any = None) -> Plane:
    """The plane around the candidates of a scenario that has a section; `spectrum` is that of a pilot, if one ran."""
    options = scenario.rank_selection
    assert options is not None
    sizes = list(air.sizes)
    if len(sizes) == 1:  # a line needs two
        sizes.append(size_of(scenario, 2 * sizes[0].rank))
    least = least_kept_of(scenario)
    ranks = np.geomspace(options.candidates[0] / MARGIN, options.candidates[-1] * MARGIN, POINTS)
    kept = np.geomspace(min(0.5, least) / MARGIN, 1.0, POINTS)
    dense, fixed, fixed_s, least_s = (
        _line(sizes, values, ranks)
        for values in (
            [size.dense_bits for size in sizes],
            [size.fixed_bits for size in sizes],
            [air.fixed_s(size) for size in sizes],
            [air.least_s(size, least) for size in sizes],
        )
    )
    error = None
    if spectrum is not None:
        error = (
            spectrum.error_of_rank(ranks)
            + options.covariance_weight * spectrum.covariance_of(ranks)
            + options.sparsification_weight * spectrum.error_of_kept(kept)[:, None]
        )
    bits = air.asked * (fixed + kept[:, None] * (dense - fixed))
    return Plane(ranks, kept, bits, error, least_s, dense, fixed, fixed_s, air)


def _line(sizes: Sequence[Any], values: Sequence[float], ranks: FloatArray) -> FloatArray:
    """Straight from candidate to candidate, and on beyond the outermost ones."""
    at = np.array([size.rank for size in sizes], dtype=float)
    y = np.asarray(values, dtype=float)
    inside = np.interp(ranks, at, y)
    below = y[0] + (ranks - at[0]) * (y[1] - y[0]) / (at[1] - at[0])
    above = y[-1] + (ranks - at[-1]) * (y[-1] - y[-2]) / (at[-1] - at[-2])
    return np.asarray(np.where(ranks < at[0], below, np.where(ranks > at[-1], above, inside)))
