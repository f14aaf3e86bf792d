"""Codecs: an update and a kept fraction to bytes, and back.

Know arrays and bytes; neither time, nor SNR, nor what an update is for. A new codec is one file and one line here.
"""

from typing import Any

from wfl_sim.codecs.components import Components
from wfl_sim.codecs.dense import Dense
from wfl_sim.codecs.svd import Svd
from wfl_sim.codecs.topk import TopK

CODECS: dict[str, type[Any]] = {"dense": Dense, "components": Components, "topk": TopK, "svd": Svd}
