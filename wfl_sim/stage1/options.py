"""What a scenario says about stage 1: which ranks are candidates, and how one of them is chosen.

Knows no formula, no link and no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from channels.options import OptionError, Options, Whole
from channels.units import Fraction, NonNegative, Quantity

By = Literal["tail", "pilot"]
Rank = Annotated[int, Whole(ge=1, le=100_000)]


@dataclass(frozen=True, kw_only=True)
class RankSelection(Options):
    """The rank of the adapters, chosen before the run from links and a pilot: stage 1 of TSFA.

    It takes the place of `method.rank` in each run, and leaves alpha / rank as it is written: a larger rank does not
    scale its adapters down. `wfl-sim plan` shows the table without a run, and the manifest of a run keeps it. Estimates
    take `method.rank` as it is written.

    Formula
    -------
    For each candidate r, with E[R] the mean planning rate of a client in an even share of the uplink, D(r, rho) the
    bits on the air of an update of which the share rho is kept, and T_fixed download, computing and latency::

        rho_bar(r) = the rho at which D(r, rho) = E[R] (latency_budget - T_fixed), within kept_fraction_min .. 1
        tail:    r* = argmin  eps(r) + covariance_weight c(r) + sparsification_weight phi(rho_bar(r))
        pilot:   r* = argmin  validation loss after rounds x latency_budget of simulated time, each round planned to
                              end with the budget

    eps(r) is the share of the energy of B A beyond its r largest singular values, phi(rho) the share of the energy of
    a round's changes that the codec leaves out at rho (its measured curve; of a codec without one, that of the rank
    components), and c(r) the gap between averaging products and averaging factors, as a share of the energy of B A.
    All come from one pilot at the largest candidate; c is taken to grow in proportion to r. Of equal candidates the
    smallest wins. One whose update at kept_fraction_min takes longer than the budget is left out.

    Validity
    --------
    E[R] is a mean over clients, some times of their movement, and the fading: no promise for a round. The first rounds
    of training speak for all, and the shape of phi is taken to be that of the largest candidate. A pilot trains on a
    seed of its own, which no reported run uses, with at most ten clients for ``tail``. With ``pilot``, schedule
    ``tsfa`` is simulated where its queue stands still, by ``deadline_aware`` with the latency budget as its deadline,
    so that no rank is judged by how the queue begins; another schedule is simulated as it is.

    Source
    ------
    A reconstruction of the offline stage of Kim and Choi, arXiv:2505.00333, whose abstract says that the rank is fixed
    before training under communication constraints, and names rank, sparsification and covariance as what costs
    accuracy; the formulas are our own.

    Options
    -------
    candidates : Ranks to choose from, rising.
    by : How: ``tail`` predicts the error of each candidate from one pilot without a radio; ``pilot`` simulates a short
        run for each, radio included, and compares them on validation examples at equal simulated time.
    rounds : Rounds of the pilot; with ``pilot``, its length in latency budgets. Larger: surer, and slower to start.
    kept_fraction_min : Smallest share of an update that is worth sending; left out, that of the schedule, and 0.1 where
        it has none. Larger: smaller ranks.
    covariance_weight : What the gap of separate averaging counts beside the error of the rank. Larger: smaller ranks.
    sparsification_weight : What a change that is not sent counts beside it. Larger: smaller ranks, sent more densely.
    latency_budget_s : Mean time of a round that the rank is chosen for; left out, the schedule's latency budget.
    """

    candidates: tuple[Rank, ...] = (2, 4, 8, 16, 32)
    by: By = "tail"
    rounds: Annotated[int, Whole(ge=1, le=1000)] = 3
    kept_fraction_min: Fraction | None = None
    covariance_weight: NonNegative = 1.0
    sparsification_weight: NonNegative = 1.0
    latency_budget_s: Annotated[float, Quantity("s", ge=1e-6, le=1e9, example="1.2 s")] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        ranks = self.candidates
        if not ranks or list(ranks) != sorted(set(ranks)) or ranks[0] < 1:
            message = f"needs ranks from 1 on, rising, each once; got [{', '.join(map(str, ranks))}]"
            raise OptionError("RankSelection", "candidates", message)
