"""Products with weights that nobody trains: nearly all the arithmetic of fine-tuning an adapter.

Knows matrices; neither models nor clients. On a CPU torch gives such products to MKL, which uses half of the width of
the units of some processors that are not Intel's; the oneDNN that torch brings along uses all of it, and then takes
half the time (`benchmarks/learning.py`). Torch reaches it by an operation of its compiler, which knows no gradients:
they are here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.utils.flop_counter import register_flop_formula

_PRODUCT: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None  # type: ignore[no-untyped-call]


def frozen_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weight^T + bias, of x [..., n], weight [m, n] and bias [m]; gradients go to x alone."""
    plain = x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu" and x.numel() > 0
    if _PRODUCT is None or not plain or torch.is_autocast_enabled("cpu"):
        return linear(x, weight, bias)
    found: Tensor = _Product.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return found


class FrozenLinear(torch.nn.Linear):
    """A linear layer whose weights get no gradient."""

    def forward(self, input: Tensor) -> Tensor:
        return frozen_linear(input, self.weight, self.bias)


def freeze(module: torch.nn.Module) -> None:
    """Train nothing of a module. Its linear layers change their class and nothing else, so that names and ties stay."""
    module.requires_grad_(False)
    for layer in module.modules():
        if type(layer) is torch.nn.Linear:
            layer.__class__ = FrozenLinear


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return _product(grads[0], weight.t(), None), None, None


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    found: Tensor = _PRODUCT(x.contiguous(), weight, bias, "none", [], "")
    return found


if _PRODUCT is not None:

    @register_flop_formula(_PRODUCT)
    def _operations(x: Any, weight: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        """As torch counts other products: a multiplication and an addition count as two."""
        rows = 1
        for size in x[:-1]:
            rows *= size
        return int(2 * rows * weight[0] * weight[1])
