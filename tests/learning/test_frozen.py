"""Products with frozen weights: those of torch, whichever library works them out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn.functional import linear
from torch.utils.flop_counter import FlopCounterMode

from wfl_sim.learning import frozen, models
from wfl_sim.learning.examples import Examples
from wfl_sim.learning.frozen import FrozenLinear, freeze, frozen_linear
from wfl_sim.learning.options import Model


@pytest.fixture(params=["as torch has it", "without the operation"])
def product(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "as torch has it":
        monkeypatch.setattr(frozen, "_PRODUCT", None)


@pytest.mark.usefixtures("product")
@pytest.mark.parametrize("rows", [(0,), (1,), (7,), (3, 5), (2, 3, 4)])
@pytest.mark.parametrize("biased", [True, False])
def test_values_and_gradients_are_those_of_torch(rows: tuple[int, ...], biased: bool) -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(11, 6), torch.randn(11) if biased else None
    mine, theirs = (torch.randn(*rows, 6, generator=torch.manual_seed(1), requires_grad=True) for _ in range(2))
    pull = torch.randn(*rows, 11)
    for x, made in ((mine, frozen_linear(mine, weight, bias)), (theirs, linear(theirs, weight, bias))):
        (made * pull).sum().backward()
        assert x.grad is not None
    torch.testing.assert_close(frozen_linear(mine, weight, bias), linear(theirs, weight, bias))
    torch.testing.assert_close(mine.grad, theirs.grad)


@pytest.mark.usefixtures("product")
def test_inputs_need_not_lie_in_one_piece() -> None:
    weight, x = torch.randn(5, 6), torch.randn(6, 4, 3).transpose(0, 2)
    torch.testing.assert_close(frozen_linear(x, weight), linear(x, weight))


@pytest.mark.usefixtures("product")
@pytest.mark.parametrize("bias", [torch.randn(10)[::2], torch.randn(1).expand(5)])
def test_a_bias_need_not_either(bias: torch.Tensor) -> None:
    weight, x = torch.randn(5, 6), torch.randn(4, 6)
    torch.testing.assert_close(frozen_linear(x, weight, bias), linear(x, weight, bias))


@pytest.mark.usefixtures("product")
def test_a_layer_without_outputs_has_a_gradient() -> None:
    x = torch.randn(4, 6, requires_grad=True)
    frozen_linear(x, torch.empty(0, 6)).sum().backward()
    assert x.grad is not None and not x.grad.any()


@pytest.mark.usefixtures("product")
def test_second_derivatives_are_those_of_torch() -> None:
    """The gradient of the gradient's norm, as a penalty of it takes."""
    weight, found = torch.randn(5, 6), []
    for product in (frozen_linear, linear):
        x = torch.linspace(-1, 1, 24).reshape(4, 6).requires_grad_()
        (first,) = torch.autograd.grad(product(x, weight).pow(3).sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), x)[0])
    torch.testing.assert_close(*found)


@pytest.mark.usefixtures("product")
def test_weights_that_are_to_be_trained_after_all_get_a_gradient() -> None:
    layer = torch.nn.Linear(6, 5)
    freeze(layer)
    layer.requires_grad_(True)
    layer(torch.ones(4, 6)).sum().backward()
    assert layer.weight.grad is not None and torch.equal(layer.weight.grad, torch.full((5, 6), 4.0))
    assert layer.bias.grad is not None and torch.equal(layer.bias.grad, torch.full((5,), 4.0))


@pytest.mark.usefixtures("product")
def test_nothing_is_recorded_in_inference_mode() -> None:
    weight, x = torch.randn(5, 6), torch.randn(6)
    with torch.inference_mode():
        torch.testing.assert_close(frozen_linear(x, weight), linear(x, weight))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this build of torch has no oneDNN")
def test_models_of_runs_ask_onednn(monkeypatch: pytest.MonkeyPatch, folder_of: Callable[[str], str]) -> None:
    """If torch renamed the operation all else would pass, at half the speed."""
    asked, product = list[int](), frozen._PRODUCT
    assert product is not None
    monkeypatch.setattr(frozen, "_PRODUCT", lambda *words: (asked.append(1), product(*words))[1])
    backbone = models.load(Model(name=folder_of("bert")))
    backbone.states(backbone.inputs(Examples(("a", "b"), np.zeros(2, dtype=np.int64)), 4).batch(torch.arange(2)))
    assert len(asked) == sum(isinstance(layer, FrozenLinear) for layer in backbone.module.modules()) > 0


@pytest.mark.usefixtures("product")
def test_operations_are_counted_forward_and_backward() -> None:
    weight, x = torch.randn(8, 6), torch.randn(2, 5, 6, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        frozen_linear(x, weight).sum().backward()
    assert counter.get_total_flops() == 2 * 2 * (2 * 5) * 8 * 6


def test_lower_precision_is_left_to_torch() -> None:
    weight, x = torch.randn(8, 6), torch.randn(3, 6)
    with torch.autocast("cpu", torch.bfloat16):
        assert frozen_linear(x, weight).dtype == torch.bfloat16
    assert frozen_linear(x.bfloat16(), weight.bfloat16()).dtype == torch.bfloat16


def test_a_frozen_model_keeps_its_names_ties_and_values() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.GELU(), torch.nn.Linear(4, 4, bias=False))
    model[2].weight = model[0].weight
    x, names = torch.randn(3, 4), list(model.state_dict())
    before = model(x)
    freeze(model)
    assert isinstance(model[0], FrozenLinear) and model[2].weight is model[0].weight
    assert list(model.state_dict()) == names
    assert not any(parameter.requires_grad for parameter in model.parameters())
    torch.testing.assert_close(model(x), before)
