"""Methods: what is trained, with which regulariser, and how updates are merged.

Know arrays; neither time, nor SNR, nor bits. A new method is one file and one line here.
"""

from typing import Any

from wfl_sim.methods.fedavg import FedAvg
from wfl_sim.methods.fedex import FedEx
from wfl_sim.methods.fedtt import FedTt
from wfl_sim.methods.fedtt_plus import FedTtPlus
from wfl_sim.methods.ffa import Ffa
from wfl_sim.methods.flexlora import FlexLora
from wfl_sim.methods.flora import Flora
from wfl_sim.methods.h2tune import H2Tune
from wfl_sim.methods.head_only import HeadOnly
from wfl_sim.methods.local_only import LocalOnly
from wfl_sim.methods.none import NoLearning
from wfl_sim.methods.sa_fedlora import SaFedLora
from wfl_sim.methods.soft import Soft
from wfl_sim.methods.split import Split
from wfl_sim.methods.zero_padding import ZeroPadding

METHODS: dict[str, type[Any]] = {
    cls.kind: cls
    for cls in (
        HeadOnly, LocalOnly, FedAvg, Ffa, Soft, Flora, FedEx, FlexLora, FedTt, FedTtPlus, SaFedLora, ZeroPadding,
        H2Tune, Split, NoLearning,
    )
}  # fmt: skip
