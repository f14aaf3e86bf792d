"""Send schedules: who sends what, in which bandwidth, given the simulated link state.

Know plain numbers only: CSI, payload menus, virtual queues. A new schedule is one file and one line here.
"""

from typing import Any

from wfl_sim.schedules.equal import Equal
from wfl_sim.schedules.min_max import MinMax
from wfl_sim.schedules.tsfa import TSFA

SCHEDULES: dict[str, type[Any]] = {"equal": Equal, "min_max": MinMax, "tsfa": TSFA}
