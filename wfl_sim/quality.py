"""The measure of quality of a task: accuracy, or perplexity in language modelling; which way is better.

Knows scenarios and rows of a trace; no model, and no way to learn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from wfl_sim.errors import MissingResource

if TYPE_CHECKING:
    from wfl_sim.scenario import Scenario


class Quality(NamedTuple):
    """What a run is judged by: the name of the measure, and whether ``higher`` or ``lower`` is better."""

    metric: str
    better: str

    def of(self, row: Mapping[str, Any]) -> float | None:
        """The measure after a round, from its row of a trace; None where nothing was evaluated.

        Perplexity is exp(loss), the loss being a mean over tokens in nats.
        """
        value: float | None = row["accuracy"] if self.metric == ACCURACY.metric else row["loss"]
        if value is None or self.metric == ACCURACY.metric:
            return value
        return math.exp(value) if value < LARGEST_LOSS else math.inf

    def shown(self, value: float) -> str:
        """``accuracy 0.812`` or ``perplexity 88.9``."""
        return f"{self.metric} {value:.3f}" if self.metric == ACCURACY.metric else f"{self.metric} {value:.4g}"

    def possible(self, target: float) -> bool:
        """Whether a model can reach that value, and does not have it from the start."""
        return 0 < target < 1 if self.metric == ACCURACY.metric else target > 1

    @property
    def rule(self) -> str:
        """Which targets there are, in words."""
        if self.metric == ACCURACY.metric:
            return "must be above 0 and below 1: it is an accuracy"
        return "must be above 1: it is a perplexity, as learning.data is a language task"


LARGEST_LOSS = 700.0  # nats; exp(710) is no float any more
ACCURACY, PERPLEXITY = Quality("accuracy", "higher"), Quality("perplexity", "lower")
QUALITIES = {quality.metric: quality for quality in (ACCURACY, PERPLEXITY)}


def quality_of(scenario: Scenario) -> Quality | None:
    """What the runs of a scenario are judged by; None where nothing is learnt. Nothing is loaded."""
    from wfl_sim.learning.data import is_language  # late: who reads traces needs no data set
    from wfl_sim.methods.none import NoLearning

    if isinstance(scenario.method, NoLearning):
        return None
    try:
        return PERPLEXITY if is_language(scenario.learning.tasks[0]) else ACCURACY
    except MissingResource:  # a name that nobody knows, which is told where it stands
        return ACCURACY
