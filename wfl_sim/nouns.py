"""The nouns of a scenario: each key that selects a kind, and the kinds there are, plug-ins included.

Knows the registries and no option; the one place that scenario, schema, cards and completion read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from channels.bler import BLER
from channels.erasure import LOSS
from channels.fading import FADING
from channels.linkadaptation import LINK_ADAPTATION
from channels.mobility import MOBILITY, PLACEMENT
from channels.pathloss import PATH_LOSS
from channels.penetration import PENETRATION
from channels.shadowing import SHADOWING
from wfl_sim.availability import AVAILABILITY
from wfl_sim.codecs import CODECS
from wfl_sim.learning.data import DATA_SETS
from wfl_sim.learning.options import PARTITIONS
from wfl_sim.methods import METHODS
from wfl_sim.plugins import registry
from wfl_sim.protocols import PROTOCOLS
from wfl_sim.protocols.staleness import STALENESS
from wfl_sim.radio.options import Arq, Harq
from wfl_sim.schedules import SCHEDULES

# A plug-in is an entry point of the group ``wfl_sim.`` and the last word of the key (wfl_sim.path_loss, wfl_sim.method;
# wfl_sim.data_set). They are loaded here and in no package of a noun: a plug-in imports from those packages, and
# whoever imported the plug-in first would meet it half loaded.
NOUNS: Mapping[str, Mapping[str, type[Any]]] = {
    "channel.path_loss": registry("wfl_sim.path_loss", *PATH_LOSS.values()),
    "channel.penetration": registry("wfl_sim.penetration", *PENETRATION.values()),
    "channel.shadowing": registry("wfl_sim.shadowing", *SHADOWING.values()),
    "channel.fading": registry("wfl_sim.fading", *FADING.values()),
    "channel.loss": registry("wfl_sim.loss", *LOSS.values()),
    "radio.rate": LINK_ADAPTATION,
    "radio.rate.bler": BLER,
    "radio.retransmission": {"arq": Arq, "harq": Harq},
    "clients.placement": registry("wfl_sim.placement", *PLACEMENT.values()),
    "clients.mobility": registry("wfl_sim.mobility", *MOBILITY.values()),
    "clients.availability": registry("wfl_sim.availability", *AVAILABILITY.values()),
    "learning.data.name": DATA_SETS,
    "learning.data.partition": PARTITIONS,
    "method": registry("wfl_sim.method", *METHODS.values()),
    "codec": registry("wfl_sim.codec", *CODECS.values()),
    "schedule": registry("wfl_sim.schedule", *SCHEDULES.values()),
    "protocol": registry("wfl_sim.protocol", *PROTOCOLS.values()),
    "protocol.staleness": STALENESS,
}
