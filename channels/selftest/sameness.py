"""Checks of the keys: the same seed gives the same bytes, whoever else is asked, in whatever order and portions.

Knows no law. A figure is the number of values that differ, of which none may.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channels.arrays import Floats
from channels.erasure import BurstLoss, GilbertElliott, IndependentLoss, Loss
from channels.fading import BlockRayleigh, Fading, Nakagami, Rayleigh, Rician
from channels.links import Links
from channels.mobility import Disc, GaussMarkov, RandomWaypoint, Trajectory
from channels.pathloss import UMa
from channels.penetration import OutdoorToIndoor
from channels.selftest.check import Check, Tolerance
from channels.selftest.movement import recorded
from channels.shadowing import BySight, LogNormal, Map, PlacedShadowing, Shadowing
from channels.streams import Stream
from channels.tdl import TDL

_STREAM = Stream.root(51)
_TIMES_S: Floats = np.arange(2000, dtype=np.float64) * 5e-3
_CLIENTS = 40
_FADING: tuple[Fading, ...] = (
    BlockRayleigh(), Rayleigh(), Rayleigh(fast=True), Rician(k_db=3.0), Nakagami(m=1.3),
    TDL(profile="D", delay_spread_s=100e-9),
)  # fmt: skip
_SHADOWING: tuple[Shadowing | PlacedShadowing, ...] = (LogNormal(), BySight(), Map())
_LOSSES: tuple[Loss, ...] = (
    IndependentLoss(probability=0.3, origin="recorded"),
    GilbertElliott(p=0.05, r=0.3, e_bad=0.7, origin="recorded"),
    BurstLoss(loss=0.2, burst_s=0.01, origin="recorded"),
)
_EXACT = Tolerance(0.0)


def _links(clients: int, shadowing: Shadowing | PlacedShadowing = _SHADOWING[0]) -> Links:
    """Clients that walk, in and out of sight, some inside buildings, with every random model at work."""
    return Links(
        _STREAM,
        clients,
        carrier_hz=3.5e9,
        path_loss=UMa(line_of_sight="probability"),
        shadowing=shadowing,
        fading=Rician(k_db=3.0),
        placement=Disc(from_m=20.0, to_m=300.0),
        mobility=RandomWaypoint(speed_mps=10.0),
        penetration=OutdoorToIndoor(indoor_share=0.5),
    )


def _differing(one: NDArray[Any], other: NDArray[Any]) -> float:
    """How many values differ; a change of shape counts as all."""
    return float(one.size if one.shape != other.shape else np.count_nonzero(one != other))


def _same_seed() -> float:
    return _differing(_links(_CLIENTS).gain_db(_TIMES_S), _links(_CLIENTS).gain_db(_TIMES_S))


def _other_clients() -> float:
    return _differing(_links(7).gain_db(_TIMES_S), _links(_CLIENTS).gain_db(_TIMES_S)[:7])


def _in_pieces(ask: Callable[[Floats], Floats]) -> float:
    """`ask` for all times at once, then backwards in portions of 61."""
    whole, back = ask(_TIMES_S), _TIMES_S[::-1]
    parts = [ask(back[first : first + 61]) for first in range(0, back.size, 61)]
    return _differing(whole, np.concatenate(parts, axis=-1)[..., ::-1])


def _fading_in_pieces(model: Fading) -> float:
    clients = np.arange(_CLIENTS // 5 if isinstance(model, TDL) else _CLIENTS)  # 13 taps and more take their time
    return _in_pieces(lambda times: model.power_gain(_STREAM, clients, times, 30.0))


def _loss_in_pieces(model: Loss) -> float:
    """The same of 40 clients: the number of a packet stands for its time."""
    clients = np.arange(_CLIENTS)[:, None]

    def ask(times: Floats) -> Floats:
        return model.lost(_STREAM, clients, np.rint(times * 200.0).astype(np.int64), times).astype(np.float64)

    return _in_pieces(ask)


def _shadowing_in_pieces(model: Shadowing | PlacedShadowing) -> float:
    return _in_pieces(_links(_CLIENTS, model).large_scale_db)


def _wandering() -> Trajectory:
    walk = GaussMarkov(speed_mps=3.0, std_mps=1.5)
    return walk.trajectory(_STREAM, Disc(to_m=100.0), np.arange(_CLIENTS), _CLIENTS)


def _path_in_pieces(path: Callable[[], Trajectory]) -> float:
    """The same of positions, one trajectory for the whole and a new one for the portions, over 1000 s."""
    whole, again = path().position_m(100.0 * _TIMES_S), path()
    parts = [again.position_m(100.0 * _TIMES_S[::-1][n : n + 61]) for n in range(0, _TIMES_S.size, 61)]
    return _differing(whole, np.concatenate(parts, axis=1)[:, ::-1])


CHECKS: tuple[Check, ...] = (
    Check("same.seed", _same_seed, 0.0, _EXACT,
          "gains in dB of 40 links that differ between two cells of one seed, all models together, 80 000 values"),
    Check("same.clients", _other_clients, 0.0, _EXACT,
          "gains of 7 links that change when there are 40 of them; 14 000 values"),
    Check("same.order.links", lambda: _in_pieces(_links(_CLIENTS).gain_db), 0.0, _EXACT,
          "gains of 40 links that change when time runs backwards in portions; 80 000 values"),
    *(
        Check(f"same.order.{model.kind}{'.fast' if getattr(model, 'fast', False) else ''}",
              functools.partial(_fading_in_pieces, model), 0.0, _EXACT, "the same of this fading alone")
        for model in _FADING
    ),
    *(
        Check(f"same.order.{model.kind}", functools.partial(_shadowing_in_pieces, model), 0.0, _EXACT,
              "the same of the large-scale gain with this shadowing")
        for model in _SHADOWING[1:]
    ),
    *(
        Check(f"same.order.{kind}", functools.partial(_path_in_pieces, path), 0.0, _EXACT,
              "coordinates in 1000 s that change when another trajectory runs backwards in portions")
        for kind, path in (("gauss_markov", _wandering), ("waypoints", recorded))
    ),
    *(
        Check(f"same.order.{model.kind}", functools.partial(_loss_in_pieces, model), 0.0, _EXACT,
              "fates of 80 000 packets of 40 clients that change when time runs backwards in portions")
        for model in _LOSSES
    ),
)  # fmt: skip
