"""FedTT and FedTT+: how many values, and what averaging factors makes of the mean of the matrices."""

from __future__ import annotations

import numpy as np
import pytest

from channels.options import OptionError
from wfl_sim.learning.layouts import layout
from wfl_sim.methods.base import Arrival
from wfl_sim.methods.fedtt import FedTt
from wfl_sim.methods.fedtt_plus import FedTtPlus
from wfl_sim.methods.lora import Lora
from wfl_sim.methods.tensortrain import TensorTrain

FACTORS, CLIENTS = 5, 4
LLAMA_2_7B = {
    f"{block}.{role}": widths
    for block in range(32)
    for role, widths in {
        "q": (4096, 4096), "k": (4096, 4096), "v": (4096, 4096), "o": (4096, 4096),
        "gate": (11008, 4096), "up": (11008, 4096), "down": (4096, 11008),
    }.items()
}  # fmt: skip


def joined(factors):
    """The matrix [inputs, outputs] of factors, in float64."""
    whole = factors[0].astype(float)
    for factor in factors[1:]:
        whole = np.tensordot(whole, factor.astype(float), axes=1)
    return whole.reshape(768, 64)


def drawn(seed):
    values = TensorTrain(rank=5).first(768, 768, np.random.default_rng(seed))
    return [values[f"down.{place}"].astype(float) for place in range(FACTORS)]


def gap(opened):
    """|W(mean factors) - mean W| / |mean W - W| over clients that train the factors `opened` by steps of their size."""
    start, clients = drawn(0), []
    for client in range(CLIENTS):
        steps = drawn(client + 1)
        clients.append([g + 0.5 * steps[i] if i in opened else g for i, g in enumerate(start)])
    weights = np.arange(1, CLIENTS + 1) / 10
    averaged = [sum(w * own[i] for w, own in zip(weights, clients, strict=True)) for i in range(FACTORS)]
    mean = sum(w * joined(own) for w, own in zip(weights, clients, strict=True))
    return np.linalg.norm(joined(averaged) - mean) / np.linalg.norm(mean - joined(start))


@pytest.mark.parametrize("place", range(FACTORS))
def test_averaging_one_open_factor_is_averaging_the_matrix(place):
    assert gap({place}) < 1e-12


def test_averaging_all_factors_is_not():
    assert gap(set(range(FACTORS))) > 0.2 and gap({1, 2}) > 0.01


def test_the_run_averages_as_exactly_as_float32_is():
    """Through the method's own rule, and the names that a run has."""
    method, start = FedTtPlus(), drawn(0)
    model = {f"0.out.down.{i}": g.astype(np.float32) for i, g in enumerate(start)}
    opened = "0.out.down.2"
    changes = [0.5 * drawn(k + 1)[2] for k in range(3)]
    arrivals = [
        Arrival(k, {opened: c.astype(np.float32)}, w)
        for k, (c, w) in enumerate(zip(changes, (0.5, 0.3, 0.2), strict=True))
    ]
    after = method.aggregate(model, arrivals)
    mean = sum(
        a.weight * joined([g + (a.change[opened] if i == 2 else 0) for i, g in enumerate(model.values())])
        for a in arrivals
    )
    np.testing.assert_allclose(joined([*after.values()]), mean, rtol=0, atol=4 * 2.0**-24 * np.abs(mean).max())


def test_ten_times_fewer_values_than_lora_on_all_layers_of_a_large_model():
    """By counting, on Llama-2-7B's shapes: FedTT of rank 8 against LoRA of rank 16 on all linear layers.

    arXiv:2410.13097 states up to ten times less communication than LoRA baselines. 614,400 values are the paper's
    880,640 without its 65 norms of 4096.
    """
    outs = {n: w for n, w in LLAMA_2_7B.items() if n.endswith((".o", ".down"))}
    trains = layout(FedTt(rank=8).adapter(), outs, {})
    lora = layout(Lora(rank=16).adapter(), LLAMA_2_7B, {})
    fedtt, dense = trains.size(trains.everything), lora.size(lora.everything)
    assert fedtt == 614_400 and dense == 39_976_960
    assert dense / (fedtt + 65 * 4096) > 45
    qv = {n: w for n, w in LLAMA_2_7B.items() if n.endswith((".q", ".v"))}
    small = layout(Lora(rank=8).adapter(), qv, {})
    assert 6 < small.size(small.everything) / fedtt < 7  # LoRA of rank 8 on query and value alone


def test_options_that_nothing_can_be():
    with pytest.raises(OptionError, match="needs one role or more"):
        FedTt(adapt=())
    with pytest.raises(OptionError, match="must be among query, key"):
        FedTtPlus(adapt=("nonsense",))


def test_more_open_factors_than_there_are_is_all_of_them():
    whole = layout(FedTtPlus().adapter(), {"0.out": (768, 768)}, {"head.weight": (2, 768)})
    stage = FedTtPlus(factors=99).stage(3, 10, {})
    assert stage.opened(whole).shapes.keys() == {n for n in whole.shapes if not n.endswith((".up.bias", ".down.bias"))}
    assert stage.kind == "fedtt_plus" and stage.adapter() == FedTtPlus(factors=99).adapter()
