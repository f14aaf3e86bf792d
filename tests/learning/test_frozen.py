"""Products with frozen weights: those of torch, whichever library works them out."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import linear
from torch.utils.flop_counter import FlopCounterMode

from wfl_sim.learning import frozen
from wfl_sim.learning.frozen import FrozenLinear, freeze, frozen_linear


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
