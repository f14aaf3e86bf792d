"""Protocols: who talks when.

Know SimPy and the contracts between the nouns; payloads are opaque, with a size. A new protocol is one file
and one line here.
"""

from typing import Any

from wfl_sim.protocols.buffered import Buffered
from wfl_sim.protocols.deadline import Deadline
from wfl_sim.protocols.split import SplitRounds
from wfl_sim.protocols.sync import Sync

PROTOCOLS: dict[str, type[Any]] = {"sync": Sync, "deadline": Deadline, "buffered": Buffered, "split": SplitRounds}
