"""Options that methods with LoRA adapters share: how large, how scaled, how begun, and on which layers.

Knows no aggregation, and no tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from channels.options import Count, OptionError, Options, Whole
from channels.units import Positive
from wfl_sim.methods.base import Adapter, Regulariser, Role

ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, kw_only=True)
class Lora(Options):
    """Options of every method with LoRA adapters.

    Options
    -------
    rank : Number of rank components of each adapter. Larger: more to learn with, and adapters whose
        payload grows in proportion.
    alpha : Scale of the adapters: they count alpha / rank times. Twice the rank is a common choice.
    scale : The factor alpha / rank itself, whatever the rank; `alpha` then counts for nothing. Left out, `alpha`
        decides. To be set where ranks are compared: else adapters are scaled down as the rank grows.
    init : First values of A: ``orthonormal`` rows, or ``kaiming``, uniform in +-1/sqrt(n), n the width of the layer.
    adapt : Which linear layers of a block have adapters, by what they do: ``query``, ``key``, ``value`` and ``output``
        of the attention, ``up`` and ``down`` of what follows it. More of them: more to learn with, and a payload that
        grows in proportion.
    """

    rank: Annotated[int, Whole(ge=1, le=100_000)] = 8
    alpha: Count = 16
    scale: Positive | None = None
    init: Literal["orthonormal", "kaiming"] = "orthonormal"
    adapt: tuple[Role, ...] = ("query", "value")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.adapt or len(set(self.adapt)) < len(self.adapt):
            message = f"needs one role or more, each once; got [{', '.join(map(str, self.adapt))}]"
            raise OptionError(type(self).__name__, "adapt", message)
        if unknown := [role for role in self.adapt if role not in ROLES]:
            message = f"must be among {', '.join(ROLES)}; got {unknown[0]!r}"
            raise OptionError(type(self).__name__, "adapt", message)

    @property
    def counted_alpha(self) -> float:
        """The alpha that counts: by `scale`, where that is stated."""
        return self.alpha if self.scale is None else self.scale * self.rank

    def adapter(self) -> Adapter | None:
        return Adapter(self.rank, self.counted_alpha, self.init, self.adapt)

    def regulariser(self) -> Regulariser | None:
        return None
