"""What the steps of split training ask of the links: one way of a step, and the adapters behind the last of them.

Knows sizes and rates; neither a medium nor who is served when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wfl_sim.contracts import Air, FloatArray
from wfl_sim.methods.split import CODINGS, Split
from wfl_sim.scenario import Scenario
from wfl_sim.splitsizes import SplitSizes, cuts_of

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class StepLoads:
    """Payloads of split training, and how long links take for them; arrays [K], one entry a client or a distance.

    `way_bits` are by coding, from the largest on, the most that activations take up; their gradient takes hardly less
    down. The times are those of the first of these. `cut` is how many layers a client has, at a distance the largest
    that any has; `adapters_bits` follow from it. A round has `steps` of both ways, and the adapters.
    """

    steps: int
    way_bits: dict[str, int]
    cut: Ints
    activations_s: FloatArray
    gradient_s: FloatArray
    adapters_bits: Ints
    adapters_s: FloatArray

    @property
    def coding(self) -> str:
        """The one that the times are for."""
        return next(iter(self.way_bits))


def step_loads(
    scenario: Scenario, clients: Sequence[int] | None, up: Air, down: Air, up_bps: FloatArray, down_bps: FloatArray
) -> StepLoads | None:
    """The loads at links of these rates, of these clients or, without them, anywhere; None without split training.

    Raises
    ------
    MissingResource
        The model's ``config.json`` is not on this computer, or the data set is not known.
    """
    if not isinstance(scenario.method, Split):
        return None
    sizes = SplitSizes.of(scenario)
    cuts = cuts_of(scenario, sizes)
    own = [max(cuts)] * up_bps.size if clients is None else [cuts[client] for client in clients]
    way_bits: dict[str, int] = {name: sizes.transfer_bits(CODINGS[name]) for name in reversed(scenario.method.codings)}
    most_bits = max(way_bits.values())
    adapters_bits = np.array([sizes.adapter_bits(cut) for cut in own], dtype=np.int64)
    wire_bits = np.array([up.wire_bits(bits) for bits in adapters_bits.tolist()])
    with np.errstate(divide="ignore"):
        return StepLoads(
            sizes.steps,
            way_bits,
            np.array(own, dtype=np.int64),
            up.wire_bits(most_bits) / up_bps,
            down.wire_bits(most_bits) / down_bps,
            adapters_bits,
            wire_bits / up_bps,
        )
