"""The last normalisation of a language model: what it is but for its gain, which clients train, and its bias.

Knows single layers; neither whole models nor clients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

SAME = 1e-4  # relative, and absolute beside values of size 1: roundings of float32


def without_gain(norm: Any) -> Callable[[Tensor], Tensor]:
    """A layer norm, or an RMS norm, as it is where its gain is 1 and its bias 0."""
    eps = float(getattr(norm, "variance_epsilon", 0.0) or getattr(norm, "eps", 1e-6))
    if isinstance(norm, torch.nn.LayerNorm):
        return lambda states: layer_norm(states, states.shape[-1:], eps=eps)
    return lambda states: states * torch.rsqrt(states.square().mean(-1, keepdim=True) + eps)


def is_plain(norm: Any, width: int) -> bool:
    """Whether a norm is that, times `weight`, plus `bias` if it has one: Gemma's, for one, adds 1 to its gain."""
    weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
    if not isinstance(weight, Tensor):
        return False
    with torch.no_grad():
        states = torch.linspace(-2.0, 3.0, width)
        own = without_gain(norm)(states) * weight + (0.0 if bias is None else bias)
        return torch.allclose(own, norm(states), rtol=SAME, atol=SAME)
