"""Send schedules: who sends what, in which bandwidth, given the simulated link state.

Know plain numbers only: CSI, payload menus, virtual queues. A new schedule is one file and one line here.
"""

from typing import Any

from wfl_sim.schedules.channel_threshold import ChannelThreshold
from wfl_sim.schedules.deadline_aware import DeadlineAware
from wfl_sim.schedules.equal import Equal
from wfl_sim.schedules.max_rate import MaxRate
from wfl_sim.schedules.min_max import MinMax
from wfl_sim.schedules.round_robin import RoundRobin
from wfl_sim.schedules.tsfa import TSFA

SCHEDULES: dict[str, type[Any]] = {
    "equal": Equal,
    "min_max": MinMax,
    "tsfa": TSFA,
    "max_rate": MaxRate,
    "channel_threshold": ChannelThreshold,
    "round_robin": RoundRobin,
    "deadline_aware": DeadlineAware,
}
