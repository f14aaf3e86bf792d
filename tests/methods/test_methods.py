from __future__ import annotations

import inspect
from itertools import permutations

import numpy as np
import pytest

from channels.options import OptionError
from wfl_sim import lowrank
from wfl_sim.methods import METHODS, fedavg
from wfl_sim.methods.base import Arrival
from wfl_sim.methods.fedavg import FedAvg
from wfl_sim.methods.fedtt import FedTt
from wfl_sim.methods.fedtt_plus import FedTtPlus
from wfl_sim.methods.ffa import Ffa
from wfl_sim.methods.head_only import HeadOnly
from wfl_sim.methods.sa_fedlora import SaFedLora
from wfl_sim.methods.soft import Soft

SHAPES = {"head.bias": (4,), "q.A": (3, 11), "q.B": (7, 3)}
WEIGHTS = (0.41, 0.07, 0.3, 0.22)
# Weights and changes are rounded to float32 in different places: a few half units in the last place.
SINGLE = 4 * 2.0**-24
DOUBLE = 1e-12  # sums of some tens of float64 products

every_method = pytest.mark.parametrize(
    "method", [FedAvg(), HeadOnly(), Soft(), Ffa(), FedTt(), FedTtPlus(), SaFedLora()], ids=lambda m: m.kind
)


def draw(seed, scale=1.0):
    random = np.random.default_rng(seed)
    return {name: (scale * random.standard_normal(shape)).astype(np.float32) for name, shape in SHAPES.items()}


MODEL = draw(0)


@every_method
def test_aggregation_is_the_weighted_mean_in_double_precision(method):
    """Changes of 1e3 and 1e-6 in one sum: single precision would lose the small ones before the large cancel."""
    large = draw(9, 1e6)
    cancelling = [
        Arrival(0, large, 0.25),
        Arrival(1, draw(5), 0.5),
        Arrival(2, {name: -value for name, value in large.items()}, 0.25),
    ]
    merged = method.aggregate(MODEL, cancelling)
    for name, value in merged.items():
        assert value.dtype == np.float32
        wanted = MODEL[name].astype(float) + 0.5 * draw(5)[name].astype(float)
        # float64 leaves 1e6 x 2^-53; then one rounding to float32
        np.testing.assert_allclose(value, wanted, rtol=2.0**-24, atol=1e6 * 2.0**-50)


@every_method
def test_the_order_of_arrival_does_not_change_a_bit(method):
    """Two changes of 1e18 cancel; what float64 keeps of the others (of size 1) beside them depends on the order."""
    changes = [draw(1, 1e18), draw(2), {name: -value for name, value in draw(1, 1e18).items()}, draw(3)]
    arrivals = [Arrival(k, change, 0.25) for k, change in enumerate(changes)]
    wanted = method.aggregate(MODEL, arrivals)
    for order in permutations(arrivals):
        merged = method.aggregate(MODEL, order)
        assert all(merged[name].tobytes() == wanted[name].tobytes() for name in SHAPES)


@every_method
def test_deltas_and_weights_give_the_same_model(method):
    arrivals = [Arrival(k, draw(k + 1), w) for k, w in enumerate(WEIGHTS)]
    merged = method.aggregate(MODEL, arrivals)
    for name in SHAPES:
        uploaded = [MODEL[name] + arrival.change[name] for arrival in arrivals]  # what clients hold, in float32
        mean = sum(w * value.astype(float) for w, value in zip(WEIGHTS, uploaded, strict=True))
        largest = max(np.abs(value).max() for value in (*uploaded, MODEL[name]))
        np.testing.assert_allclose(merged[name], mean, rtol=0, atol=SINGLE * largest)


@every_method
def test_equal_updates_count_as_one(method):
    change = draw(7)
    merged = method.aggregate(MODEL, [Arrival(k, change, w) for k, w in enumerate(WEIGHTS)])
    alone = method.aggregate(MODEL, [Arrival(2, change, 1.0)])
    for name in SHAPES:  # the weights sum to 1 up to float64, which can tip one rounding to float32
        np.testing.assert_allclose(merged[name], alone[name], rtol=2.0**-23, atol=0)


@every_method
def test_arguments_stay_as_they_were(method):
    model, arrivals = draw(0), [Arrival(k, draw(k + 1), w) for k, w in enumerate(WEIGHTS)]
    merged = method.aggregate(model, arrivals)
    for name in SHAPES:
        np.testing.assert_array_equal(model[name], draw(0)[name])
        assert not np.shares_memory(merged[name], model[name])
        for k, arrival in enumerate(arrivals):
            np.testing.assert_array_equal(arrival.change[name], draw(k + 1)[name])
    assert [arrival.weight for arrival in arrivals] == list(WEIGHTS)


@every_method
def test_no_arrivals_leave_the_model(method):
    merged = method.aggregate(MODEL, [])
    for name in SHAPES:
        np.testing.assert_array_equal(merged[name], MODEL[name])


def test_averaging_factors_misses_the_mean_of_products_by_their_covariance():
    arrivals = [Arrival(k, draw(k + 1), w) for k, w in enumerate(WEIGHTS)]
    merged = {name: value.astype(float) for name, value in FedAvg().aggregate(MODEL, arrivals).items()}
    held = [
        (MODEL["q.A"].astype(float) + x.change["q.A"], MODEL["q.B"].astype(float) + x.change["q.B"]) for x in arrivals
    ]
    mean_product = sum(w * b @ a for w, (a, b) in zip(WEIGHTS, held, strict=True))
    gap = np.sum((mean_product - merged["q.B"] @ merged["q.A"]) ** 2)
    e_cov = lowrank.covariance_gap(held, WEIGHTS)
    assert e_cov > 0.01 * np.sum(mean_product**2)
    assert gap == pytest.approx(e_cov, rel=1e-5)  # the merged factors are in float32
    exact_a, exact_b = (sum(w * pair[i] for w, pair in zip(WEIGHTS, held, strict=True)) for i in (0, 1))
    assert np.sum((mean_product - exact_b @ exact_a) ** 2) == pytest.approx(e_cov, rel=DOUBLE)


def test_with_a_frozen_a_the_mean_of_products_is_the_product_of_means():
    """What FFA is for: sum_k w_k (B + dB_k) A = (B + sum_k w_k dB_k) A, and there is no covariance."""
    a = draw(11)["q.A"].astype(float)
    arrivals = [Arrival(k, {"q.B": draw(k + 1)["q.B"]}, w) for k, w in enumerate(WEIGHTS)]
    merged = Ffa().aggregate({"q.B": MODEL["q.B"]}, arrivals)
    assert list(merged) == ["q.B"]
    held = [MODEL["q.B"].astype(float) + x.change["q.B"] for x in arrivals]
    mean_product = sum(w * b @ a for w, b in zip(WEIGHTS, held, strict=True))
    np.testing.assert_allclose(merged["q.B"].astype(float) @ a, mean_product, rtol=0, atol=SINGLE * 10)
    assert lowrank.covariance_gap([(a, b) for b in held], WEIGHTS) < DOUBLE


@pytest.mark.parametrize("cls", [FedAvg, Soft, Ffa])
def test_adapters_sit_where_the_options_say(cls):
    assert cls().adapter().roles == ("query", "value")
    adapter = cls(adapt=("down", "query"), rank=5).adapter()
    assert (adapter.roles, adapter.rank, adapter.freeze_a) == (("down", "query"), 5, cls is Ffa)
    for wrong in ((), ("query", "query"), ("query", "keys")):
        with pytest.raises(OptionError, match=rf"{cls.__name__}\.adapt: "):
            cls(adapt=wrong)


def test_what_is_trained():
    assert HeadOnly().adapter() is None
    assert HeadOnly().regulariser() is None
    assert FedAvg().regulariser() is None
    for method in (FedAvg(rank=3, alpha=7.0, init="kaiming"), Soft(rank=3, alpha=7.0, init="kaiming")):
        adapter = method.adapter()
        assert (adapter.rank, adapter.alpha, adapter.init) == (3, 7.0, "kaiming")
    for rank in (1, 3, 8):  # the scale stays, and alpha counts for nothing
        adapter = Soft(rank=rank, alpha=7, scale=2.5).adapter()
        assert (adapter.rank, adapter.alpha / adapter.rank) == (rank, 2.5)
    assert Soft(orthogonality=0.0).regulariser() is None
    assert Soft(orthogonality=0.1).regulariser() is not None


@pytest.mark.parametrize("cls", [FedAvg, Soft, Ffa])
@pytest.mark.parametrize(
    ("option", "value"), [("rank", 0), ("rank", -2), ("alpha", 0.0), ("alpha", -1.0), ("scale", -1), ("init", "zeros")]
)
def test_options_outside_their_range_are_named(cls, option, value):
    with pytest.raises(OptionError, match=rf"{cls.__name__}\.{option}.*{value}"):
        cls(**{option: value})


def test_a_negative_penalty_is_refused():
    with pytest.raises(OptionError, match=r"Soft\.orthogonality"):
        Soft(orthogonality=-0.1)


def test_the_registry_holds_them():
    assert {"head_only": HeadOnly, "fedavg": FedAvg, "ffa": Ffa, "soft": Soft}.items() <= METHODS.items()


def test_fedavg_fits_on_one_page():
    assert len(inspect.getsource(fedavg).splitlines()) < 80
