"""How a protocol paces a run, in numbers: how many it asks, how many are under way side by side, what ends a round.

Knows the options of protocols and runs none; rules and plans read it. A protocol that states nothing of this counts as
one that asks all and waits for all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # which reads the rules, which read this
    from wfl_sim.scenario import Scenario


@dataclass(frozen=True)
class Pace:
    """`asked` clients are asked in a round, or kept under way where there are none; `arrivals` updates then make one.

    A round ends at `deadline_s` at the latest. `key` is the option that `asked` comes from.
    """

    asked: int
    key: str = "clients.count"
    deadline_s: float = math.inf
    arrivals: int | None = None

    @property
    def in_rounds(self) -> bool:
        """Whether all who are asked begin together."""
        return self.arrivals is None


def pace_of(scenario: Scenario) -> Pace:
    """The pace of a scenario's protocol, as if all clients were always there."""
    protocol, count = scenario.protocol, scenario.clients.count
    deadline_s = getattr(protocol, "deadline_s", None) or math.inf
    arrivals = getattr(protocol, "buffer", None)
    if arrivals is not None:  # an update waits in the buffer, on average half of it, and its client with it
        under_way = getattr(protocol, "concurrency", None) or count
        free = max(count - arrivals // 2, 1)
        asked, key = (under_way, "protocol.concurrency") if under_way < free else (free, "clients.count")
    else:
        cohort = getattr(protocol, "cohort", None) or count
        asked, key = (cohort, "protocol.cohort") if cohort < count else (count, "clients.count")
    return Pace(asked, key, deadline_s, arrivals)
