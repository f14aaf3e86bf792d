"""Protocols: who talks when.

Know SimPy and the contracts between the nouns; payloads are opaque, with a size. A new protocol is one file
and one line here.
"""

from wfl_sim.plugins import registry
from wfl_sim.protocols.sync import Sync

PROTOCOLS = registry("wfl_sim.protocols", Sync)
