"""Codecs: an update and a kept fraction to bytes, and back.

Know arrays and bytes; neither time, nor SNR, nor what an update is for. A new codec is one file and one line here.
"""

from wfl_sim.codecs.components import Components
from wfl_sim.codecs.dense import Dense
from wfl_sim.codecs.topk import TopK
from wfl_sim.plugins import registry

CODECS = registry("wfl_sim.codecs", Dense, Components, TopK)
