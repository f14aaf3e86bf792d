"""Products with weights that nobody trains: nearly all the arithmetic of fine-tuning an adapter.

Knows matrices; neither models nor clients. On a CPU torch gives such products to MKL, which uses half of the width of
the units of some processors that are not Intel's; the oneDNN that torch brings along uses all of it, and then takes
half the time (row `frozen_over_linear` of `benchmarks/training.py`). Torch reaches it by an operation that its compiler
uses, which has no gradient of its own: that is here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.utils.flop_counter import register_flop_formula


def frozen_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weight^T + bias, of x [..., n], weight [m, n] and bias [m].

    On a CPU, in single precision, and where neither weight nor bias asks for a gradient, by oneDNN; else by torch.
    Derivatives of any order with respect to x, backward; not by the transforms of `torch.func`.
    """
    ours = _PRODUCT is not None and _is_plain(x) and _is_plain(weight) and not torch.is_autocast_enabled("cpu")
    if not ours or (torch.is_grad_enabled() and (weight.requires_grad or (bias is not None and bias.requires_grad))):
        return linear(x, weight, bias)
    found: Tensor = _Product.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return found


class FrozenLinear(torch.nn.Linear):
    """A linear layer whose weights are not to be trained."""

    def forward(self, input: Tensor) -> Tensor:
        return frozen_linear(input, self.weight, self.bias)


def freeze(module: torch.nn.Module) -> None:
    """Train nothing of a module, and have its linear layers calculate by `frozen_linear`.

    They change their class and nothing else, so that names and ties stay. GPT-2's layers, whose weights are stored
    transposed, and subclasses of torch's layer stay as they are.
    """
    module.requires_grad_(False)
    for layer in module.modules():
        if type(layer) is torch.nn.Linear:
            layer.__class__ = FrozenLinear


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        found: Tensor = _PRODUCT(x.contiguous(), weight, None if bias is None else bias.contiguous(), "none", [], "")
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return frozen_linear(grads[0], weight.t()), None, None


def _is_plain(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.device.type == "cpu" and tensor.numel() > 0


def _found() -> Any:
    """The operation, or None where this build of torch has none that is called like this."""
    found = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    try:
        if found is not None:
            found(torch.ones(1, 2), torch.ones(3, 2), torch.ones(3), "none", [], "")
    except (RuntimeError, TypeError):
        found = None
    return found


_PRODUCT = _found()
if _PRODUCT is not None:

    @register_flop_formula(_PRODUCT)
    def _operations(x: Any, weight: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        """As torch counts other products: a multiplication and an addition count as two."""
        rows = 1
        for size in x[:-1]:
            rows *= size
        return int(2 * rows * weight[0] * weight[1])
