"""The table of candidates, and the rank that it says: stage 1 of TSFA put together.

Knows links and pilots by what they answer; neither how a table is shown, nor how a run is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from wfl_sim.errors import Diverged, RunFailed
from wfl_sim.scenario import Scenario
from wfl_sim.stage1.budget import is_met
from wfl_sim.stage1.links import Links, Size, bits_of, budget_of, least_kept_of
from wfl_sim.stage1.options import RankSelection

How = Literal["tail", "pilot", "links"]


@dataclass(frozen=True)
class Candidate:
    """One rank: what the budget carries of it, and what is predicted or measured of it (None: not by this way).

    `bits` are those of an update at `kept_fraction`, `round_s` the mean time if all send so much, `least_s` if all send
    as little as they may; `fits` says whether that is within the budget. Where it is not, `kept_fraction`, `bits` and
    `round_s` are those of the least. `error` is Psi, the sum of its three parts. `simulated_kept` and `simulated_s` are
    means over the `rounds` of a short run: the kept fraction of what was sent, and the time of a round.
    """

    rank: int
    dense_bits: int
    kept_fraction: float
    bits: float
    round_s: float
    least_s: float
    fits: bool
    error_of_rank: float | None = None
    covariance: float | None = None
    sparsification: float | None = None
    error: float | None = None
    loss: float | None = None
    accuracy: float | None = None
    rounds: int | None = None
    simulated_kept: float | None = None
    simulated_s: float | None = None


@dataclass(frozen=True)
class Selection:
    """What stage 1 found: plain data. `rank` is None where links alone were asked, which prefer none.

    `rate_bps` is E[R] and `fixed_s` what is not sending, both at the rank chosen or, without one, at the first.
    """

    by: How
    rank: int | None
    latency_budget_s: float
    kept_fraction_min: float
    seed: int | None
    rate_bps: float
    fixed_s: float
    candidates: tuple[Candidate, ...]

    def as_dict(self) -> dict[str, Any]:
        """For a manifest, or for JSON."""
        return {**asdict(self), "candidates": [asdict(candidate) for candidate in self.candidates]}

    def of(self, rank: int) -> Candidate:
        """The row of a rank."""
        return next(candidate for candidate in self.candidates if candidate.rank == rank)

    def line(self) -> str:
        """What was chosen, in one line."""
        ranks = ", ".join(str(candidate.rank) for candidate in self.candidates)
        if self.rank is None:
            return f"ranks {ranks}: planned by links alone, none is preferred"
        kept = self.of(self.rank).kept_fraction
        fits = f"{kept:.0%} of an update fits {self.latency_budget_s:g} s"
        return f"rank {self.rank} of {ranks}, chosen by {self.by}: {fits}"


def carried(scenario: Scenario, air: Links, budget_s: float) -> tuple[Candidate, ...]:
    """The part of the table that links alone tell; `scenario` has a section."""
    least = least_kept_of(scenario)
    return tuple(_carried(air, size, budget_s, least) for size in air.sizes)


def _carried(air: Links, size: Size, budget_s: float, least: float) -> Candidate:
    smallest, least_s = size.menu.smallest(least), air.least_s(size, least)
    if not is_met(budget_s, least_s):
        return Candidate(
            size.rank, size.dense_bits, smallest.kept_fraction, smallest.bits, least_s, least_s, fits=False
        )
    kept = air.kept_fraction(size, budget_s, smallest.kept_fraction)
    bits = bits_of(size, kept)
    return Candidate(size.rank, size.dense_bits, kept, bits, air.round_s(size, bits), least_s, fits=True)


def predicted(scenario: Scenario, air: Links, budget_s: float, spectrum: Any) -> tuple[Candidate, ...]:
    """The table of ``tail`` at any latency budget, from a pilot that was run; `scenario` has a section."""
    options = _selection(scenario)
    return tuple(_predicted(row, spectrum, options) for row in carried(scenario, air, budget_s))


def least_budget_s(rows: Sequence[Candidate]) -> float | None:
    """The smallest latency budget in s that any candidate meets, where none meets the one asked for; else None."""
    return None if any(row.fits for row in rows) else min(row.least_s for row in rows)


def select(
    scenario: Scenario, by: How | None = None, memo_folder: Path | None = None, air: Links | None = None
) -> tuple[Selection, Links, Any]:
    """Choose a rank for a scenario (its first seed) that has a section `rank_selection`.

    Parameters
    ----------
    scenario : Scenario
    by : {"tail", "pilot", "links"}, optional
        Left out, as the section says; ``links`` trains nothing and chooses nothing.
    memo_folder : Path, optional
        Results of training that others have left.
    air : Links, optional
        The links of the candidates, where they have been looked at; left out, over as long as the run takes with the
        latency budget.

    Returns
    -------
    (Selection, Links, Spectrum or None)

    Raises
    ------
    RunFailed
        No candidate meets the latency budget, or a pilot failed.
    """
    options, budget_s = _selection(scenario), budget_of(scenario)
    how: How = by or options.by
    if budget_s is None:
        raise RunFailed("rank_selection has no latency budget to choose for; state rank_selection.latency_budget")
    air = air or Links(scenario, options.candidates, budget_s)
    rows, spectrum = carried(scenario, air, budget_s), None
    least_s = least_budget_s(rows)
    if least_s is not None:
        raise RunFailed(unmet(budget_s, least_s, least_kept_of(scenario)))
    if how == "tail":
        from wfl_sim.stage1 import pilot

        try:
            spectrum = pilot.tail(scenario, options.candidates[-1], options.rounds, memo_folder)
        except RunFailed as error:
            raise RunFailed(f"the pilot of rank_selection: {error}") from error
        rows = predicted(scenario, air, budget_s, spectrum)
    elif how == "pilot":
        rows = tuple(_measured(scenario, row, budget_s, memo_folder) if row.fits else row for row in rows)
    rank = None if how == "links" else best(rows).rank
    size = next(size for size in air.sizes if size.rank == (rank or options.candidates[0]))
    seed = None
    if how != "links":
        from wfl_sim.stage1.pilot import seed_of

        seed = seed_of(scenario.seeds[0])
    least, rate_bps, fixed_s = least_kept_of(scenario), air.rate_bps(size), air.fixed_s(size)
    return Selection(how, rank, budget_s, least, seed, rate_bps, fixed_s, rows), air, spectrum


def best(rows: Sequence[Candidate]) -> Candidate:
    """The candidate of the least loss, or of the least predicted error, among those that fit; of equals the smallest.

    Raises
    ------
    RunFailed
        Nothing was predicted or measured of any that fits.
    """
    scored = [(value, row.rank, row) for row in rows if row.fits and (value := _score(row)) is not None]
    if not scored:
        raise RunFailed("rank_selection: no candidate came to a finite loss; lower learning.local.lr")
    return min(scored, key=lambda item: item[:2])[2]


def unmet(budget_s: float, least_s: float, kept_fraction_min: float) -> str:
    """That no candidate meets the latency budget, and the least that one would meet."""
    return (
        f"no rank of rank_selection.candidates meets a latency budget of {budget_s:.4g} s, even with a kept fraction "
        f"of {kept_fraction_min:g}: the least is {least_s:.4g} s; raise it, or give clients more bandwidth"
    )


def _score(row: Candidate) -> float | None:
    value = row.loss if row.loss is not None else row.error
    return value if value is not None and value == value else None


def _predicted(row: Candidate, spectrum: Any, options: RankSelection) -> Candidate:
    of_rank, gap = float(spectrum.error_of_rank(row.rank)), float(spectrum.covariance_of(row.rank))
    dropped = float(spectrum.error_of_kept(row.kept_fraction))
    error = of_rank + options.covariance_weight * gap + options.sparsification_weight * dropped
    return replace(row, error_of_rank=of_rank, covariance=gap, sparsification=dropped, error=error)


def _measured(scenario: Scenario, row: Candidate, budget_s: float, memo_folder: Path | None) -> Candidate:
    """The row with what a short run came to; with nothing where its training diverged."""
    from wfl_sim.stage1 import pilot

    resting = pilot.at_rest(scenario, budget_s, least_kept_of(scenario))
    try:
        run = pilot.short_run(resting, row.rank, _selection(scenario).rounds * budget_s, memo_folder)
    except Diverged:
        return row
    except RunFailed as error:
        raise RunFailed(f"the pilot of rank_selection at rank {row.rank}: {error}") from error
    return replace(
        row,
        loss=run.loss,
        accuracy=run.accuracy,
        rounds=run.rounds,
        simulated_kept=run.kept_fraction,
        simulated_s=run.round_s,
    )


def _selection(scenario: Scenario) -> RankSelection:
    if scenario.rank_selection is None:
        raise ValueError("the scenario has no section rank_selection")
    return scenario.rank_selection
