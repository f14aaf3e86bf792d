"""Zero padding: groups of one backbone average LoRA adapters of unlike ranks, component by component.

Knows options; how groups are joined is the business of `wfl_sim.padded`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from channels.options import OptionError
from channels.units import Positive
from wfl_sim.contracts import Params
from wfl_sim.methods.base import Arrival, add_weighted
from wfl_sim.methods.lora import Lora


@dataclass(frozen=True, kw_only=True)
class ZeroPadding(Lora):
    """FedAvg across groups of unlike rank: smaller adapters are padded with zeros to the largest.

    A group of rank r_i has the first r_i rank components of adapters that all groups of its backbone share, in those
    layers that it has; heads are shared by groups of the same model and task. Groups of other backbones are apart, and
    without `learning.groups` it is `fedavg`.

    Formula
    -------
    With the changes dA_k, dB_k of an adapter padded with zeros to the largest rank, and w_k a client's share of the
    data among those updates that arrived whose group has the layer::

        A <- A + sum_k w_k dA_k,    B <- B + sum_k w_k dB_k

    With `fill: renormalise` w_k are shares among those who have the component.

    Validity
    --------
    With `zero`, components that few clients have move less. Each group's broadcast is rounded by itself, so that what
    groups have in common agrees to the codec's rounding. Components count alike in all groups: by `scale`.

    Source
    ------
    A reconstruction of what HetLoRA, Cho et al. 2024, arXiv:2401.06432, calls zero padding, without its pruning of
    ranks and its weights by norm; own: layers that only deeper groups have, and `renormalise`.

    Options
    -------
    scale : The factor alpha / rank itself, the same for all ranks; `alpha` then counts for nothing.
    fill : What counts for components that a client has not: ``zero``, or nothing, so that those who have them
        ``renormalise`` their shares.
    """

    aliases: ClassVar[tuple[str, ...]] = ("hetlora",)

    kind: Literal["zero_padding"] = "zero_padding"
    scale: Positive | None = 2.0
    fill: Literal["zero", "renormalise"] = "zero"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale is None:
            message = "must be stated: alpha / rank would be another factor in groups of another rank"
            raise OptionError(type(self).__name__, "scale", message)

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        return add_weighted(model, arrivals)
