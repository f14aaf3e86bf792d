"""Codecs: an update and a kept fraction to bytes, and back.

Know arrays and bytes; neither time, nor SNR, nor what an update is for. A new codec is one file and one line here.
"""

from typing import Any

from wfl_sim.codecs.components import Components
from wfl_sim.codecs.dense import Dense
from wfl_sim.codecs.parts import Parts
from wfl_sim.codecs.rotated import Rotated
from wfl_sim.codecs.svd import Svd
from wfl_sim.codecs.topk import TopK

CODECS: dict[str, type[Any]] = {cls.kind: cls for cls in (Dense, Components, TopK, Rotated, Svd, Parts)}
