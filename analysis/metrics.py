"""What two runs can be compared by: short names, their units, and which way is better.

Knows names only, and imports no pandas: the command line lists them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from wfl_sim.quality import ACCURACY, PERPLEXITY, Quality


class Metric(NamedTuple):
    """One number of a run.

    `how` it comes about: ``final`` quality (the `meaning` leaves open of which rounds), ``to`` a target, ``area`` under
    the curve, ``spent`` until the last round, or the ``mean`` duration or ``sum`` over the rounds; `column` is the one
    of ``rounds`` that it is made of. Values are in `unit` (SI), and are shown in `shown_unit`, which is worth `scale`
    of them.
    """

    meaning: str
    how: Literal["final", "to", "area", "spent", "mean", "sum"]
    column: str
    unit: str
    shown_unit: str = ""
    scale: float = 1.0
    more_is_better: bool = False

    @property
    def of_quality(self) -> bool:
        """Whether it says how well a model learnt, of which each group of clients has its own."""
        return self.how in ("final", "to", "area")

    def better(self, quality: Quality) -> str:
        """Whether ``higher`` or ``lower`` values are better, in runs that are judged by `quality`."""
        return quality.better if self.how in ("final", "area") else "higher" if self.more_is_better else "lower"


def _bits(meaning: str, how: Literal["to", "spent"]) -> Metric:
    return Metric(meaning, how, "uplink_bits", "bit", "Mbit", 1e6)


METRICS: dict[str, Metric] = {
    ACCURACY.metric: Metric("median accuracy", "final", "accuracy", "1"),
    PERPLEXITY.metric: Metric("median perplexity", "final", "loss", "1"),
    "uplink_to": _bits("uplink bits to the target", "to"),
    "time_to": Metric("simulated time to the target", "to", "t_end_s", "s", "s"),
    "energy_to": Metric("clients' energy to the target", "to", "energy_j", "J", "J"),
    "area": Metric("mean quality over uplink bits", "area", "uplink_bits", "1"),
    "area_time": Metric("mean quality over simulated time", "area", "t_end_s", "1"),
    "area_energy": Metric("mean quality over energy", "area", "energy_j", "1"),
    "uplink": _bits("uplink bits of the whole run", "spent"),
    "time": Metric("simulated time of the whole run", "spent", "t_end_s", "s", "s"),
    "energy": Metric("clients' energy of the whole run", "spent", "energy_j", "J", "J"),
    "round_time": Metric("mean duration of a round", "mean", "t_end_s", "s", "s"),
    "delivered": Metric(
        "updates that came and were merged, in all rounds", "sum", "delivered", "1", more_is_better=True
    ),
    "dropped": Metric("updates that were given up or lost, late ones apart, in all rounds", "sum", "dropped", "1"),
    "late": Metric("updates that missed the end of their round, in all rounds", "sum", "late", "1"),
}
