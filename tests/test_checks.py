"""Every class of ours passes the check of its noun, and for every clause a class that breaks it fails.

Knows the contracts; the broken classes are made here, each from a right one with one thing changed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from channels.describe import options_of
from channels.erasure import IndependentLoss
from channels.fading import BlockRayleigh
from channels.linkadaptation import Shannon
from channels.mobility import ConstantVelocity, Disc, Line, RandomWaypoint
from channels.options import Options
from channels.pathloss import LogDistance, UMa
from channels.penetration import OutdoorToIndoor
from channels.shadowing import BySight, LogNormal, Map, NoShadowing, Places
from channels.tdl import TDL
from channels.units import parse
from wfl_sim.checks import CHECKS, ContractError, check_codec, check_data_set, check_method, check_schedule
from wfl_sim.codecs.components import Components
from wfl_sim.codecs.dense import Dense
from wfl_sim.codecs.svd import Svd
from wfl_sim.codecs.topk import TopK
from wfl_sim.contracts import Decision, Payload, PayloadMenu, Point
from wfl_sim.errors import MissingResource, WflError
from wfl_sim.learning.datasets.base import labelled
from wfl_sim.learning.examples import Examples
from wfl_sim.methods.base import add_weighted
from wfl_sim.methods.fedavg import FedAvg
from wfl_sim.methods.sa_fedlora import Annealed, SaFedLora
from wfl_sim.methods.soft import Soft
from wfl_sim.nouns import NOUNS
from wfl_sim.schedules.channel_threshold import ChannelThreshold
from wfl_sim.schedules.deadline_aware import DeadlineAware
from wfl_sim.schedules.equal import Equal
from wfl_sim.schedules.max_rate import MaxRate
from wfl_sim.schedules.round_robin import RoundRobin
from wfl_sim.schedules.tsfa import TSFA

OTHER_NOUNS = {
    "radio.retransmission",
    "radio.rate.bler",
    "protocol",
    "protocol.staleness",
}  # they have no contract of this kind


def an_instance(cls: type[Any]) -> Any:
    """An instance with its defaults, and an example from the card where there is none."""
    needed = [option for option in options_of(cls) if option.required]
    return cls(**{x.field: parse(x.example, x.quantity.unit) if x.quantity else x.example for x in needed})


def variant(base: type[Any], **members: Any) -> type[Any]:
    """A class like `base` with some members of its own; what `base` says of its options holds for it too."""
    named = {"__doc__": "Made up for a test.", "__module__": __name__, **members}
    return dataclass(frozen=True)(type(f"Made{base.__name__}", (base,), named))


EXAMPLES_OF_NAMES = ("csv:PATH", "OWNER/NAME")  # stand for any name; `tests/learning` holds one of each to its contract
KINDS = [
    (key, kind)
    for key, registry in NOUNS.items()
    if key not in OTHER_NOUNS
    for kind in registry
    if kind not in EXAMPLES_OF_NAMES
]


@pytest.mark.usefixtures("example_files")
@pytest.mark.parametrize(("key", "kind"), KINDS, ids=lambda word: word)
def test_every_class_passes_its_check(key: str, kind: str) -> None:
    model = an_instance(NOUNS[key][kind])
    if key == "learning.data.name":
        try:
            model.locate()
        except MissingResource as error:  # all but WordNet are brought by hand: up to 38 MB each
            pytest.skip(str(error))
    CHECKS[key](model)


def test_every_noun_with_a_contract_has_a_check() -> None:
    assert set(CHECKS) == set(NOUNS) - OTHER_NOUNS


OPTIONS = [
    *[TSFA(latency_budget_s=budget, queue_start=queue) for budget in (0.01, 1.0, 100.0) for queue in (0.0, 3.0)],
    *[TSFA(latency_budget_s=1.0, surrogate="variance"), TSFA(latency_budget_s=1.0, csi="block", patience=1.0)],
    *[DeadlineAware(deadline_s=s, surrogate=x) for s in (0.05, 2.3, 100.0) for x in ("contraction", "variance")],
    *[MaxRate(senders=3, shares="sum_rate"), RoundRobin(share=0.5), ChannelThreshold(threshold_db=-40.0)],
    *[codec(bits=bits) for codec in (Dense, TopK) for bits in (16, 32)],
    *[Dense(bits=8), TopK(bits=8), Svd(bits=8), Components(select="random_common", bits=32)],
    Components(score="update", scope="per_layer", index="bitmap", bits=8),
    *[FedAvg(rank=1), Soft(orthogonality=0.0), RandomWaypoint(speed_mps=0.0), Line(from_m=5.0, to_m=5.0)],
]


@pytest.mark.parametrize("model", OPTIONS, ids=str)
def test_other_options_pass_too(model: Any) -> None:
    (key,) = [key for key, registry in NOUNS.items() if registry.get(model.kind) is type(model)]
    CHECKS[key](model)


def test_an_error_names_class_contract_clause_and_survives_its_arguments() -> None:
    error = ContractError("Mine", "channels.fading.Fading", 3, "the gain differs")
    assert str(error) == "Mine breaks clause 3 of the contract of channels.fading.Fading: the gain differs"
    assert str(type(error)(*error.args)) == str(error)
    assert isinstance(error, WflError)


def breaks(check: Callable[[Any], None], model: Any, clause: int, says: str) -> None:
    with pytest.raises(ContractError) as caught:
        check(model)
    assert (caught.value.args[2], says in caught.value.args[3]) == (clause, True), str(caught.value)


def changed(base: type[Any], method: str, change: Callable[..., Any]) -> type[Any]:
    """`base` with a method that passes its result through `change`."""
    original = getattr(base, method)
    return variant(base, **{method: lambda self, *args: change(original(self, *args))})


def given(base: type[Any], method: str, place: int, change: Callable[[Any], Any]) -> type[Any]:
    """`base` with a method that passes one of its arguments through `change`."""
    original = getattr(base, method)

    def asked(self: Any, *args: Any) -> Any:
        return original(self, *args[:place], change(args[place]), *args[place + 1 :])

    return variant(base, **{method: asked})


def tidied(values: Any) -> Any:
    """Bad numbers made good, where they ought to be refused."""
    return np.abs(np.nan_to_num(np.asarray(values, dtype=float), posinf=1.0))


def anywhere(places: Places) -> Places:
    """The same for the ways and places that a shadowing is asked for."""
    way = tidied(places.travelled_m)
    return replace(places, travelled_m=way, distance_m=way, position_m=tidied(places.position_m))


def drifting() -> Callable[[Any], Any]:
    """A change that is another one at each call."""
    count = itertools.count()
    return lambda values: values + 1e-3 * next(count)


def endless_at_0(self: Any, distance_m: Any, carrier_hz: float) -> Any:
    distance = np.asarray(distance_m, dtype=float)
    return np.where(distance == 0.0, -np.inf, LogDistance(exponent=3.0).path_loss_db(distance, carrier_hz))


def spared(shape: tuple[int, ...]) -> Any:
    """Every other one of an array, wherever it stands in it."""
    return np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2 == 0


def worse_later(self: Any, stream: Any, clients: Any, attempts: Any, times_s: Any) -> Any:
    return IndependentLoss.lost(self, stream, clients, attempts, times_s) | (np.asarray(times_s) > 500.0)


def backwards(self: Any, distance_m: Any, carrier_hz: float, los: Any = None) -> Any:
    return UMa.path_loss_db(self, distance_m, carrier_hz, None if los is None else not los)


@dataclass(frozen=True)
class NotOptions:
    """A dataclass, but not one of options."""

    kind: str = "not_options"


@dataclass(frozen=True)
class Nameless(Options):
    """Options without a kind."""


@dataclass(frozen=True)
class Undescribed(Options):
    """A docstring that says nothing of an option."""

    kind: Literal["undescribed"] = "undescribed"
    exponent: float = 3.0


@pytest.mark.parametrize("key", CHECKS)
@pytest.mark.parametrize("model", [NotOptions(), Nameless(), 7], ids=lambda model: type(model).__name__)
def test_what_is_no_options_is_no_model(key: str, model: Any) -> None:
    with pytest.raises(ContractError, match=r"is no dataclass derived from Options|no field `kind`"):
        CHECKS[key](model)


def fainter(self: Any, stream: Any, clients: Any, times_s: Any, doppler_hz: Any, offsets_hz: Any) -> Any:
    """A gain that falls off the carrier."""
    gain = TDL.frequency_gain(self, stream, clients, times_s, doppler_hz, offsets_hz)
    return gain / (1.0 + np.abs(np.asarray(offsets_hz)) / 1e7)


CHANNEL = [
    ("path_loss", {"exponent": 3.0}, [
        (changed(LogDistance, "path_loss_db", lambda loss: loss.astype(np.float32)), 2, "float32, not float64"),
        (changed(LogDistance, "path_loss_db", np.ravel), 2, "has the shape (1,), not ()"),
        (changed(LogDistance, "path_loss_db", lambda loss: np.where(loss > 150, np.nan, loss)), 2, "not finite"),
        (changed(LogDistance, "path_loss_db", lambda loss: np.minimum(loss, 250 - loss)), 2, "the loss falls from"),
        (changed(LogDistance, "path_loss_db", lambda loss: None), 2, "is a NoneType, not a numpy array"),
        (changed(LogDistance, "path_loss_db", drifting()), 3, "gave two answers"),
        (changed(LogDistance, "path_loss_db", lambda x: x + (x.max() if x.size else 0)), 3, "the other distances"),
        (given(LogDistance, "path_loss_db", 0, tidied), 4, "a distance of nan m is taken"),
        (variant(LogDistance, path_loss_db=endless_at_0), 4, "not finite"),
        (variant(LogDistance, __doc__=None), 5, "no docstring"),
        (variant(LogDistance, validity=(1.0, 2.0)), 7, "validity is (1.0, 2.0), not a Validity"),
    ]),
    ("path_loss", {}, [
        (changed(UMa, "los_probability", lambda share: 2 * share), 7, "leaves [0, 1]"),
        (changed(UMa, "los_probability", lambda share: share.astype(np.float32)), 7, "float32, not float64"),
        (variant(UMa, path_loss_db=backwards), 7, "the loss without line of sight is below that with it"),
    ]),
    ("penetration", {}, [
        (changed(OutdoorToIndoor, "depth_m", np.negative), 2, "is below 0"),
        (changed(OutdoorToIndoor, "loss_db", lambda loss: loss[:1]), 3, "has the shape (1,), not (4,)"),
        (changed(OutdoorToIndoor, "loss_db", np.sort), 4, "depends on who is asked for beside it"),
        (variant(OutdoorToIndoor, typical_db=lambda self, carrier_hz: (1.0,)), 5, "not a mean and a deviation"),
        (variant(OutdoorToIndoor, typical_db=lambda self, carrier_hz: (40.0, 4.4)), 5, "against typical_db()"),
        (variant(OutdoorToIndoor, __doc__=None), 6, "no docstring"),
    ]),
    ("fading", {}, [
        (changed(BlockRayleigh, "power_gain", np.transpose), 2, "has the shape (60, 4), not (4, 60)"),
        (changed(BlockRayleigh, "power_gain", np.negative), 2, "is below 0"),
        (changed(BlockRayleigh, "power_gain", lambda gain: 1.1 * gain), 2, "the mean of the gain is 1."),
        (changed(BlockRayleigh, "power_gain", drifting()), 3, "differs from the same values"),
        (changed(BlockRayleigh, "power_gain", lambda gain: np.sort(gain, axis=0)), 3, "differs from the same values"),
        (changed(BlockRayleigh, "quadrature", lambda law: (law[0], 2 * law[1])), 4, "sum to 2, not to 1"),
        (variant(BlockRayleigh, quadrature=lambda self: (np.ones(1), np.ones(1))), 4, "against quadrature()"),
        (changed(BlockRayleigh, "quadrature", lambda law: (2 * law[0], law[1])), 2, "mean gain by quadrature() is 2"),
        (given(BlockRayleigh, "power_gain", 2, tidied), 5, "a time of nan s is taken"),
        (variant(BlockRayleigh, __doc__=None), 6, "no docstring"),
    ]),
    ("fading", {"profile": "A", "delay_spread_s": 1e-7}, [
        (changed(TDL, "offsets_hz", lambda offsets: offsets[0]), 8, "not a list of frequencies"),
        (changed(TDL, "offsets_hz", lambda offsets: offsets + 1e9), 8, "leaves the band"),
        (changed(TDL, "frequency_gain", lambda gain: gain[..., 0]), 8, "has the shape (4, 60), not (4, 60, 4)"),
        (changed(TDL, "frequency_gain", np.negative), 8, "is below 0"),
        (changed(TDL, "frequency_gain", lambda gain: np.sort(gain, axis=1)), 8, "differs from the same values"),
        (changed(TDL, "frequency_gain", lambda gain: np.sort(gain, axis=2)), 8, "depends on the others asked"),
        (given(TDL, "frequency_gain", 4, lambda offsets: np.add(offsets, 1e3)), 8, "is not that of power_gain()"),
        (variant(TDL, frequency_gain=fainter), 8, "off the carrier, against quadrature()"),
        (given(TDL, "frequency_gain", 4, np.nan_to_num), 8, "an offset of nan Hz is taken"),
    ]),
    ("shadowing", {}, [
        (changed(LogNormal, "shadowing_db", np.transpose), 2, "has the shape"),
        (changed(LogNormal, "shadowing_db", lambda level: level + 1.0), 2, "the mean of the level in dB is"),
        (changed(LogNormal, "shadowing_db", drifting()), 3, "differs from the same values"),
        (given(LogNormal, "shadowing_db", 2, tidied), 4, "a distance of nan m is taken"),
        (variant(LogNormal, __doc__=None), 5, "no docstring"),
        (variant(NoShadowing, std_db=None), 8, "std_db raises TypeError"),
        (variant(NoShadowing, std_db=-1.0), 8, "std_db is -1.0, not a deviation"),
        (changed(LogNormal, "shadowing_db", lambda level: 1.2 * level), 8, "against std_db, is"),
        (changed(Map, "shadowing_at_db", lambda level: 1.4 * level), 8, "against std_db, is"),
        (changed(Map, "shadowing_at_db", np.transpose), 2, "has the shape"),
        (changed(Map, "shadowing_at_db", lambda level: level + 3.0), 2, "the mean of the level in dB is"),
        (changed(BySight, "shadowing_at_db", drifting()), 3, "differs from the same values"),
        (changed(Map, "shadowing_at_db", lambda level: level - level.mean()), 3, "differs from the same values"),
        (given(Map, "shadowing_at_db", 2, anywhere), 4, "a distance of nan m is taken"),
        (variant(BySight, __doc__=None), 5, "no docstring"),
        (variant(BySight, needs_sight="often"), 7, "needs_sight is 'often', not a bool"),
    ]),
    ("loss", {"probability": 0.1, "origin": "backhaul"}, [
        (changed(IndependentLoss, "lost", lambda lost: lost.astype(float)), 2, "not as many answers true or false"),
        (changed(IndependentLoss, "lost", lambda lost: lost & spared(lost.shape)), 3, "differs from"),
        (variant(IndependentLoss, mean_loss=0.2), 4, "the mean of the loss is 0."),
        (variant(IndependentLoss, mean_loss=1.0), 4, "not in [0, 1)"),
        (given(IndependentLoss, "lost", 3, tidied), 5, "a time of nan s is taken"),
        (changed(IndependentLoss, "lost", np.ravel), 2, "lost() of packets (4, 60) is"),
        (variant(IndependentLoss, lost=worse_later), 7, "changes with its time"),
        (variant(IndependentLoss, in_time="never"), 7, "in_time is 'never', neither True nor False"),
    ]),
    ("rate", {}, [
        (changed(Shannon, "efficiency", lambda rate: rate + 1), 2, "efficiency(0) is 1, not 0"),
        (changed(Shannon, "efficiency", np.negative), 2, "efficiency() falls"),
        (changed(Shannon, "efficiency", np.square), 6, "a smaller SNR"),
        (changed(Shannon, "snr_for", lambda snr: 1.01 * snr), 6, "a smaller SNR"),
        (changed(Shannon, "snr_for", lambda snr: snr + 1.0), 6, "snr_for(0) is 1, not 0"),
        (given(Shannon, "snr_for", 0, tidied), 6, "an efficiency of nan is taken"),
        (changed(Shannon, "plan", lambda plan: plan._replace(gap=0.5)), 7, "not a Plan with"),
        (changed(Shannon, "plan", lambda plan: plan._replace(scale=0.5)), 7, "has a scale and no cap"),
        (variant(Shannon, always_met="yes"), 8, "neither True nor False"),
        (given(Shannon, "efficiency", 0, tidied), 3, "a SNR of nan is taken"),
        (variant(Shannon, __doc__=None), 4, "no docstring"),
    ]),
    ("placement", {"from_m": 10.0, "to_m": 90.0}, [
        (changed(Disc, "start_m", lambda start: start - start.mean(axis=0)), 2, "depends on who"),
        (changed(Disc, "point_m", lambda point: point.sum(-1) if point.ndim > 2 else point), 3, "shape (1, 3), not"),
        (variant(Disc, is_point=True), 4, "is_point is True"),
        (variant(Disc, __doc__=None), 1, "no docstring"),
    ]),
    ("mobility", {"speed_mps": 3.0}, [
        (given(ConstantVelocity, "trajectory", 0, lambda stream: stream.child("other")), 2, "but are placed at"),
        (given(ConstantVelocity, "trajectory", 2, np.sort), 2, "but are placed at"),
        (variant(ConstantVelocity, __doc__=None), 4, "no docstring"),
    ]),
]  # fmt: skip
CHANNEL_CASES = [(noun, cls(**options), clause, says) for noun, options, rows in CHANNEL for cls, clause, says in rows]


@pytest.mark.parametrize(("noun", "model", "clause", "says"), CHANNEL_CASES, ids=lambda x: x if x in CHECKS else "")
def test_a_channel_model_that_breaks_a_clause(noun: str, model: Any, clause: int, says: str) -> None:
    (key,) = [key for key in CHECKS if key.endswith(f".{noun}")]
    breaks(CHECKS[key], model, clause, says)


class Restless:
    """A path that starts where it should and then depends on how often one has asked."""

    def __init__(self, path: Any) -> None:
        self._path, self._drift, self.speed_mps = path, drifting(), path.speed_mps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._path, name)

    def position_m(self, times_s: Any, rows: Any = None) -> Any:
        position = self._path.position_m(times_s, rows)
        return position if position.shape[1] == 1 else self._drift(position)


class Shorter(Restless):
    """A path that says it is shorter than it is."""

    def position_m(self, times_s: Any, rows: Any = None) -> Any:
        return self._path.position_m(times_s, rows)

    def travelled_m(self, times_s: Any, rows: Any = None) -> Any:
        return 0.5 * self._path.travelled_m(times_s, rows)


class Backwards(Shorter):
    """A path that gets shorter with time."""

    def travelled_m(self, times_s: Any, rows: Any = None) -> Any:
        return 1e6 - self._path.travelled_m(times_s, rows)


class Unsteady(Shorter):
    """A path whose length depends on who else is asked for."""

    def travelled_m(self, times_s: Any, rows: Any = None) -> Any:
        way = self._path.travelled_m(times_s, rows)
        return way * (2.0 + len(way))


class Nameless(Shorter):
    """A path that knows no speed."""

    def __init__(self, path: Any) -> None:
        super().__init__(path)
        self.speed_mps = np.nan


def test_a_path_that_breaks_a_clause() -> None:
    check = CHECKS["clients.mobility"]
    breaks(
        check,
        changed(ConstantVelocity, "trajectory", Restless)(speed_mps=3.0),
        3,
        "the position from one trajectory for",
    )
    breaks(check, changed(ConstantVelocity, "trajectory", Backwards)(speed_mps=3.0), 2, "travelled_m() falls")
    breaks(check, changed(ConstantVelocity, "trajectory", Shorter)(speed_mps=3.0), 2, "further than the length")
    breaks(check, changed(ConstantVelocity, "trajectory", Unsteady)(speed_mps=3.0), 3, "the way travelled for")
    breaks(check, changed(ConstantVelocity, "trajectory", Nameless)(speed_mps=3.0), 2, "not one speed or one for each")
    breaks(check, variant(ConstantVelocity, is_still=True)(speed_mps=3.0), 6, "is_still is true, but clients move")
    breaks(check, variant(ConstantVelocity, most_clients=lambda self: 0)(speed_mps=3.0), 7, "most_clients() is 0")


def test_an_option_that_the_docstring_leaves_out() -> None:
    path_loss = variant(Undescribed, path_loss_db=LogDistance(exponent=3.0).path_loss_db)()
    breaks(CHECKS["channel.path_loss"], path_loss, 5, "Options says nothing of `exponent`")


def aggregated(change: Callable[[Any, Any], Any]) -> type[Any]:
    return variant(FedAvg, aggregate=lambda self, model, arrivals: change(model, arrivals))


def in_place(model: Any, arrivals: Any) -> Any:
    merged = add_weighted(model, arrivals)
    for name, value in merged.items():
        model[name][:] = value
    return merged


def spoilt(model: Any, arrivals: Any) -> Any:
    merged = add_weighted(model, arrivals)
    arrivals[0].change["head.bias"][:] = 0
    return merged


def as_they_come(model: Any, arrivals: Any) -> Any:
    total = {name: value.astype(np.float64) for name, value in model.items()}
    for arrival in arrivals:
        for name, change in arrival.change.items():
            total[name] += arrival.weight * change
    return {name: value.astype(np.float32) for name, value in total.items()}


def gram(a: Any, b: Any) -> Any:
    return a @ a.mT


def one_for_all(a: Any, b: Any) -> Any:
    return a.square().sum() + b.square().sum()


def beside_others(a: Any, b: Any) -> Any:
    return a.square().sum((-2, -1)) + a.mean()


def without_gradient(a: Any, b: Any) -> Any:
    return a.detach().sum((-2, -1))


def staged(**members: Any) -> type[Any]:
    """SA-FedLoRA, whose stages have some members of their own."""
    made: Any = type("MadeStage", (Annealed,), members)

    def stage(self: Any, *asked: Any) -> Any:
        own = SaFedLora.stage(self, *asked)
        return made(own.method, own.version, own.rank, own.next_rank)

    return variant(SaFedLora, stage=stage)


METHODS = [
    (variant(FedAvg, adapter=lambda self: 8), 1, "no Adapter or None"),
    (variant(FedAvg, adapter=lambda self: replace(FedAvg().adapter(), rank=0)), 1, "is below 1"),
    (variant(FedAvg, regulariser=lambda self: lambda a, b: (a @ a.mT).sum((-2, -1))), 2, "copy of the regulariser"),
    (variant(FedAvg, regulariser=lambda self: gram), 2, "not three numbers"),
    (variant(FedAvg, regulariser=lambda self: one_for_all), 2, "not three numbers"),
    (variant(FedAvg, regulariser=lambda self: beside_others), 2, "beside others"),
    (variant(FedAvg, regulariser=lambda self: without_gradient), 2, "gradient raises RuntimeError"),
    (aggregated(lambda model, arrivals: None), 3, "gives a NoneType"),
    (aggregated(lambda model, arrivals: {k: v.astype(float) for k, v in model.items()}), 3, "no float32 array"),
    (aggregated(lambda model, arrivals: dict(list(add_weighted(model, arrivals).items())[1:])), 3, "no float32 array"),
    (aggregated(lambda model, arrivals: {**add_weighted(model, arrivals), "more": np.zeros(1)}), 3, "'more'"),
    (aggregated(in_place), 3, "changes the model"),
    (aggregated(spoilt), 3, "changes an arrival"),
    (aggregated(as_they_come), 3, "depends on the order of the arrivals"),
    (aggregated(lambda m, arrivals: add_weighted(m, [replace(x, weight=1.0) for x in arrivals])), 4, "the same change"),
    (variant(FedAvg, __doc__=None), 5, "no docstring"),
    (variant(FedAvg, personal=lambda self, names: [names[0]]), 7, "gives a list, not a frozenset"),
    (variant(FedAvg, personal=lambda self, names: frozenset({"tail"})), 7, "['tail'], not among"),
    (variant(FedAvg, personal=lambda self, names: frozenset(names[:1])), 7, "depends on the order of the names"),
    (staged(broadcast_shapes=property(lambda self: self.nothing)), 11, "broadcast_shapes() raises AttributeError"),
    (staged(broadcast_shapes=lambda *asked: None), 11, "broadcast_shapes() gives None, and broadcast() arrays"),
    (staged(broadcast=lambda *asked: None), 11, "broadcast() gives None, and broadcast_shapes() shapes"),
    (staged(broadcast_shapes=lambda *asked: Annealed.broadcast_shapes(*asked) and {}), 11, "values, more than"),
    (staged(received=property(lambda self: self.nothing)), 11, "received() raises AttributeError"),
]


def test_a_method_with_tensors_that_stay_holds() -> None:
    own = variant(FedAvg, personal=lambda self, names: frozenset(n for n in names if n.startswith("head.")))
    check_method(own())


@pytest.mark.parametrize(("cls", "clause", "says"), METHODS, ids=lambda x: x if isinstance(x, str) else "")
def test_a_method_that_breaks_a_clause(cls: type[Any], clause: int, says: str) -> None:
    breaks(check_method, cls(), clause, says)


@dataclass(frozen=True)
class Cheap(Payload):
    """A payload that says it weighs nothing."""

    @property
    def bits(self) -> int:
        return 0


def without_last(menu: PayloadMenu) -> PayloadMenu:
    return PayloadMenu(menu.points[:-1] or (Point(0.5, 8, 0.5),))


def smaller(menu: PayloadMenu) -> PayloadMenu:
    return PayloadMenu(tuple(replace(point, bits=point.bits - 8) for point in menu.points))


def doubled(self: Any, update: Any, kept_fraction: float) -> Payload:
    payload = Dense.encode(self, update, kept_fraction)
    for change in update.change.values():
        change *= 2
    return payload


TIMES = itertools.count()


def never_twice_alike(self: Any, update: Any, kept_fraction: float) -> Payload:
    """The last bit of the last value flips every time."""
    data = TopK.encode(self, update, kept_fraction).data
    return Payload(data[:-2] + bytes([data[-2] ^ next(TIMES) % 2]) + data[-1:], kept_fraction)


LAST: list[Payload] = []


def remembered(self: Any, update: Any, kept_fraction: float) -> Payload:
    LAST.append(Dense.encode(self, update, kept_fraction))
    return Payload(b"", 1.0)


CODECS = [
    (changed(TopK, "menu", without_last), 1, "up to 1"),
    (changed(Dense, "menu", smaller), 1, "but the menu says at most"),
    (changed(Dense, "menu", lambda menu: None), 1, "not a PayloadMenu"),
    (changed(Dense, "menu", lambda menu: PayloadMenu((replace(menu.points[0], error=2.0),))), 1, "error estimates"),
    (variant(Dense, menu=lambda self, layout: PayloadMenu(())), 1, "menu() raises ValueError"),
    (variant(TopK, encode=lambda self, update, kept: TopK.encode(self, update, kept / 2)), 2, "loses nothing, but"),
    (variant(Dense, encode=doubled), 2, "encoding changes the update"),
    (variant(Dense, encode=remembered), 2, "decode() raises"),
    (changed(Dense, "decode", lambda change: {k: v.ravel() for k, v in change.items()}), 2, "no finite float32 array"),
    (changed(Dense, "decode", lambda change: {**change, "more": np.zeros(1)}), 2, "makes up"),
    (changed(Dense, "encode", lambda payload: Cheap(payload.data, 1.0)), 3, "is charged 0 bits"),
    (changed(Dense, "encode", lambda payload: Payload(bytearray(payload.data), 1.0)), 3, "not bytes"),
    (variant(TopK, encode_changed=lambda self, update: TopK.encode(self, update, 0.5)), 4, "drops a value"),
    (variant(Dense, error_feedback=2.0, __annotations__={"error_feedback": float}), 5, "is 2.0, not in [0, 1]"),
    (variant(Dense, __doc__=None), 6, "no docstring"),
    (variant(TopK, encode=never_twice_alike), 8, "gives other bytes next time"),
    (changed(TopK, "kept", lambda kept: dict(list(kept.items())[1:])), 9, "kept() has masks of"),
    (changed(TopK, "kept", lambda kept: {k: v.astype(float) for k, v in kept.items()}), 9, "is of float64, not bool"),
    (changed(TopK, "kept", lambda kept: {k: np.ones(7, bool) for k in kept}), 9, "does not broadcast"),
    (changed(TopK, "kept", lambda kept: {k: ~v for k, v in kept.items()}), 9, "kept() says were not carried"),
    (changed(TopK, "curve", lambda shares: shares[1:]), 10, "has the shape (64,), not (65,)"),
    (changed(TopK, "curve", lambda shares: shares + 0.1), 10, "not in [0, 1] with 0 at the end"),
    (changed(TopK, "curve", lambda shares: np.append(shares[::-1][1:], 0.0)), 10, "rise"),
    (variant(TopK, energy=None), 10, "no energy()"),
    (changed(TopK, "energy", lambda energy: -1.0), 10, "energy() is -1.0"),
    (variant(Dense, unread=("bit",)), 12, "unread is ('bit',), not a tuple of options; it has bits, error_feedback"),
    (variant(Dense, unread="bits"), 12, "unread is 'bits', not a tuple"),
]


@pytest.mark.parametrize(("cls", "clause", "says"), CODECS, ids=lambda x: x if isinstance(x, str) else "")
def test_a_codec_that_breaks_a_clause(cls: type[Any], clause: int, says: str) -> None:
    breaks(check_codec, cls(), clause, says)


def test_what_is_sent_of_the_head_alone_is_looked_at() -> None:
    broken = variant(Dense, menu=lambda self, layout: Dense.menu(self, layout) if layout.pairs else None)
    breaks(check_codec, broken(), 1, "not a PayloadMenu")


def decided(change: Callable[[Any, Any], Any]) -> type[Any]:
    """`Equal` with decisions that pass through `change`, together with the state."""
    return variant(Equal, decide=lambda self, *args: change(*Equal.decide(self, *args)))


def counted(self: Any, now_s: float, air: Any, requests: Any, in_flight: Any, state: Any) -> Any:
    state["rounds"] = state.get("rounds", 0) + 1
    return Equal.decide(self, now_s, air, requests, in_flight, state)


def alone(self: Any, now_s: float, air: Any, requests: Any, in_flight: Any, state: Any) -> Any:
    return Equal.decide(self, now_s, air, requests, (), state)


def late(self: Any, now_s: float, air: Any, requests: Any, in_flight: Any, state: Any) -> Any:
    """Waits for an empty band, but takes all of it under an asynchronous protocol."""
    whole = replace(air, places=0)
    if not in_flight or air.places:
        return Equal.decide(self, now_s, whole, requests, (), state)
    return [Decision(r.client, "defer", 0.0, r.menu.points[0]) for r in requests], state


CALLS = itertools.count(1)
SCHEDULES = [
    (decided(lambda told, state: (told[::-1], state)), 1, "but requests of clients"),
    (decided(lambda told, state: (told[1:], state)), 1, "but requests of clients"),
    (decided(lambda told, state: ([replace(d, bandwidth_hz=2e6) for d in told], state)), 1, "Hz are granted beside"),
    (decided(lambda told, state: ([replace(d, bandwidth_hz=0.0) for d in told], state)), 1, "is to send in 0.0 Hz"),
    (decided(lambda told, state: ([replace(d, action="wait") for d in told], state)), 1, "is told to 'wait'"),
    (decided(lambda told, state: ([replace(d, point=Point(1, 1, 0)) for d in told], state)), 1, "not of its menu"),
    (variant(Equal, decide=alone), 1, "beside 1500000 Hz in flight, of a band of 2000000 Hz"),
    (variant(Equal, decide=late), 1, "beside 333333.33 Hz in flight"),
    (variant(Equal, decide=counted), 2, "decide() changes the state"),
    (decided(lambda told, state: (told, {"queue": np.zeros(2)})), 2, "no plain data"),
    (decided(lambda told, state: (told, {"queue": (1, 2)})), 2, "no plain dict"),
    (variant(Equal, observe=lambda self, s, state: state.update(s=s) or state), 2, "observe() changes the state"),
    (variant(Equal, observe=lambda self, s, state: None), 3, "not the new state"),
    (decided(lambda told, state: ([replace(d, bandwidth_hz=1e5 / next(CALLS)) for d in told], state)), 4, "otherwise"),
    (variant(Equal, csi="guess", __annotations__={"csi": str}), 5, "csi is 'guess'"),
    (variant(Equal, latency_budget=-1.0), 5, "latency_budget is -1.0"),
    (variant(Equal, __doc__=None), 5, "no docstring"),
    (variant(Equal, unread=("csi", "csi_error_db")), 7, "not a tuple of options; it has csi, csi_delay, csi_error,"),
]


@pytest.mark.parametrize(("cls", "clause", "says"), SCHEDULES, ids=lambda x: x if isinstance(x, str) else "")
def test_a_schedule_that_breaks_a_clause(cls: type[Any], clause: int, says: str) -> None:
    breaks(check_schedule, cls(), clause, says)


def test_a_schedule_may_defer_everyone() -> None:
    def decide(self: Any, now_s: float, air: Any, requests: Any, in_flight: Any, state: Any) -> Any:
        return [Decision(r.client, "defer", 0.0, r.menu.points[0]) for r in requests], state

    check_schedule(variant(Equal, decide=decide)())


@dataclass(frozen=True)
class Words(Options):
    """Seven words.

    Formula
    -------
    Written down by hand.

    Validity
    --------
    Tests.

    Source
    ------
    This file.
    """

    kind: Literal["test:words"] = "test:words"
    task: ClassVar[str] = "text"
    classes: ClassVar[tuple[str, ...]] = ("even", "odd")
    natural: ClassVar[tuple[str, ...]] = ()

    def locate(self) -> Path:
        return Path(__file__)

    def examples(self) -> Examples:
        words = ("it", "is", "a", "truth", "universally", "acknowledged", "that")
        return labelled((word, len(word) % 2) for word in words)

    def counts(self) -> tuple[int, ...]:
        return (4, 3)

    def record(self) -> dict[str, Any]:
        return {"sha256": "0" * 64}


def more(text: str, label: int) -> Callable[[Examples], Examples]:
    return lambda found: Examples((*found.inputs, text), np.append(found.labels, label))


def pictures(shape: tuple[int, ...], kind: str = "uint8") -> type[Any]:
    """An image task with 7 pictures, all different."""
    inputs = np.arange(np.prod(shape), dtype=kind).reshape(shape)
    return changed(variant(Words, task="image"), "examples", lambda found: Examples(inputs, found.labels))


def by_client(groups: Any) -> type[Any]:
    return variant(
        Words,
        natural=("first", "second"),
        examples=lambda self: replace(Words().examples(), groups=groups),
    )


def nowhere(self: Any) -> Path:
    raise MissingResource("install it")


SHUFFLED = itertools.count()
DATA_SETS = [
    (variant(Words, size=3, __annotations__={"size": int}), 1, "no options besides its name, but there are: size"),
    (variant(Words, classes=["even", "odd"]), 2, "not a tuple of names"),
    (variant(Words, classes=("even", "even")), 2, "not all different"),
    (variant(Words, locate=lambda self: Path("/nowhere/at/all")), 3, "does not exist"),
    (variant(Words, locate=nowhere), 3, "raises MissingResource: install it"),
    (variant(Words, task="sound"), 2, "not one of ('text', 'image', 'language')"),
    (variant(Words, classes=("even",)), 2, "not two or more"),
    (variant(Words, natural=("me", "me")), 2, "natural are ('me', 'me'), not all different"),
    (variant(Words, natural=("me", "you")), 4, "natural names 2 clients, but groups are None"),
    (by_client(np.arange(7)), 4, "the group [2] is not one of 0 to 1"),
    (by_client(np.zeros(3, dtype=np.int64)), 4, "groups are no array of 7 numbers"),
    (variant(by_client(np.zeros(7, dtype=np.int64)), natural=()), 4, "natural names 0 clients, but groups are"),
    (changed(Words, "examples", lambda found: list(found.inputs)), 4, "is a list, not Examples"),
    (changed(Words, "examples", more("more", 2)), 4, "the label [2] is not one of 0 to 1"),
    (changed(Words, "examples", more(" ", 0)), 4, "is empty"),
    (changed(Words, "examples", more("it", 0)), 4, "an input comes twice: ['it']"),
    (changed(Words, "examples", lambda found: found.take(range(next(SHUFFLED) % 2, 7))), 4, "another order"),
    (changed(Words, "examples", lambda found: replace(found, labels=found.labels * 1.0)), 4, "labels are no array"),
    (variant(Words, task="image"), 4, "no array of unsigned bytes"),
    (pictures((7, 2, 2), "int64"), 4, "no array of unsigned bytes"),
    (pictures((7, 2, 2, 2)), 4, "images have the shape (7, 2, 2, 2)"),
    (changed(Words, "examples", lambda found: replace(found, inputs=np.zeros((7, 2, 2), np.uint8))), 4, "not a tuple"),
    (variant(Words, counts=lambda self: (3, 4)), 5, "counts() says (3, 4), but examples() gives (4, 3)"),
    (variant(Words, record=lambda self: {"sha256": Path()}), 6, "cannot be written as JSON"),
    (variant(Words, record=lambda self: {}), 6, "does not give the sha256"),
    (variant(Words, record=lambda self: {"sha256": "0", "file": __file__}), 6, "gives a path of this computer"),
    (variant(Words), 7, "has no section Formula"),
]


@pytest.mark.parametrize("cls", [Words, pictures((7, 2, 2)), pictures((7, 1, 2, 3)), by_client(np.arange(7) % 2)])
def test_the_made_up_data_set_is_right(cls: type[Any]) -> None:
    check_data_set(variant(cls, __doc__=Words.__doc__)())


@pytest.mark.parametrize(("cls", "clause", "says"), DATA_SETS, ids=lambda x: x if isinstance(x, str) else "")
def test_a_data_set_that_breaks_a_clause(cls: type[Any], clause: int, says: str) -> None:
    breaks(check_data_set, cls(), clause, says)
