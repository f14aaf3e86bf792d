"""Send schedules: who sends what, in which bandwidth, given the simulated link state.

Know plain numbers only: CSI, payload menus, virtual queues. A new schedule is one file and one line here.
"""

from wfl_sim.plugins import registry
from wfl_sim.schedules.equal import Equal
from wfl_sim.schedules.min_max import MinMax
from wfl_sim.schedules.tsfa import TSFA

SCHEDULES = registry("wfl_sim.schedules", Equal, MinMax, TSFA)
