"""How much a training step calculates, counted from the real model while it does.

Knows tensors, not devices; `wfl_sim.learningwork` says the same in closed form, and what is counted and what is not.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count(loss: Callable[[], Tensor]) -> float:
    """Operations of the matrix products of a step: of `loss`, and of its gradients.

    Gradients are added to those of the tensors, as after any backward pass. Attention is worked out product by product
    meanwhile, however the model does it else: torch's counter knows nothing of the fused operation on a CPU, and counts
    those of a GPU with the scores worked out once more backward.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss().backward()  # type: ignore[no-untyped-call]
    return float(counter.get_total_flops())
