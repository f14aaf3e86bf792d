"""How a protocol paces a run, in numbers: how many it asks, how many are under way side by side, what ends a round.

Knows the options of protocols and runs none; rules and plans read it. A protocol that states nothing of this counts as
one that asks all and waits for all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from wfl_sim.scenario import Scenario


@dataclass(frozen=True)
class Pace:
    """`asked` clients are asked in a round, or kept under way where there are none; `arrivals` updates then make one.

    `side_by_side` is how many uploads may share the band at once. A round ends at `deadline_s` at the latest.
    """

    asked: int
    side_by_side: int
    deadline_s: float = math.inf
    arrivals: int | None = None

    @property
    def in_rounds(self) -> bool:
        """Whether all who are asked begin together."""
        return self.arrivals is None


def pace_of(scenario: Scenario) -> Pace:
    """The pace of a scenario's protocol, as if all clients were always there."""
    protocol, count = scenario.protocol, scenario.clients.count
    if (arrivals := getattr(protocol, "buffer", None)) is not None:
        asked = min(getattr(protocol, "concurrency", None) or count, count)
        return Pace(asked, asked, arrivals=arrivals)
    asked = min(getattr(protocol, "cohort", None) or count, count)
    return Pace(asked, asked, deadline_s=getattr(protocol, "deadline_s", None) or math.inf)
