"""Methods: what is trained, with which regulariser, and how updates are merged.

Know arrays; neither time, nor SNR, nor bits. A new method is one file and one line here.
"""

from typing import Any

from wfl_sim.methods.fedavg import FedAvg
from wfl_sim.methods.fedex import FedEx
from wfl_sim.methods.ffa import Ffa
from wfl_sim.methods.flexlora import FlexLora
from wfl_sim.methods.flora import Flora
from wfl_sim.methods.head_only import HeadOnly
from wfl_sim.methods.none import NoLearning
from wfl_sim.methods.soft import Soft
from wfl_sim.methods.split import Split

METHODS: dict[str, type[Any]] = {
    cls.kind: cls for cls in (HeadOnly, FedAvg, Ffa, Soft, Flora, FedEx, FlexLora, Split, NoLearning)
}
