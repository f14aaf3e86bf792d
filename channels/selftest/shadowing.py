"""Checks of shadowing: law and memory along a path, by line of sight, and on a map.

Knows Gudmundson's model and the figures of TR 38.901 for an urban macro cell.
"""

from __future__ import annotations

import functools

import numpy as np

from channels import measures
from channels.arrays import Floats
from channels.pathloss import State, UMa
from channels.selftest.check import KS_DISTANCE, Check, Tolerance, largest_deviation
from channels.shadowing import BySight, LogNormal, Map, NoShadowing, Places
from channels.streams import Stream
from channels.vectors import SHADOW_CORRELATION, SHADOW_LAGS_M

_STREAM = Stream.root(21)
_CLIENTS = np.arange(100_000)
_WALK = LogNormal(std_db=7.82, correlation_distance_m=50.0)
_MAP = Map(std_db=7.82, correlation_distance_m=50.0)
_SAMPLED = Tolerance(0.013)  # four standard errors of a correlation of 1e5 clients
_PERCENT = Tolerance(0.01, relative=True)
_FEW = 20_000
_PLACES = 10_000  # of the map
# TR 38.901, Tables 7.4.1-1 and 7.5-6, UMa: deviation in dB and correlation distance in m
_STATES: dict[State, tuple[float, float]] = {"los": (4.0, 37.0), "nlos": (6.0, 50.0), "indoor": (7.0, 7.0)}
_ANGLES = np.arange(8) * np.pi / 8


@functools.cache
def _walked() -> Floats:
    """Levels [1e5 clients, 1 + 4 lags] in standard deviations."""
    travelled = np.broadcast_to([0.0, *SHADOW_LAGS_M], (_CLIENTS.size, 1 + len(SHADOW_LAGS_M)))
    return _WALK.shadowing_db(_STREAM.child("shadowing"), _CLIENTS, travelled) / _WALK.std_db


def _memory(column: int) -> float:
    return float(np.corrcoef(_walked()[:, 0], _walked()[:, column])[0, 1])


def _distance_from_law(levels: Floats) -> float:
    """Of the linear level, as a log-normal law is stated, from its law; its logarithm is normal."""
    from scipy.special import ndtr

    return measures.ks_distance(np.exp(levels), lambda x: ndtr(np.log(x)))


def _largest_of_none() -> float:
    return float(np.abs(NoShadowing().shadowing_db(_STREAM, np.arange(9), np.full((9, 3), 70.0))).max())


def _places(position_m: Floats, travelled_m: Floats, state: State) -> Places:
    distance = np.hypot(position_m[..., 0], position_m[..., 1])
    seen = np.full(distance.shape, state == "los")
    inside = np.full((len(distance), 1), state == "indoor")
    return Places(travelled_m, distance, position_m, seen, inside, UMa(line_of_sight="probability"), 3.5e9)


@functools.cache
def _by_sight(state: State) -> Floats:
    """Levels [2e4 clients, 2 places a correlation distance apart] in dB, all clients in one state."""
    travelled = np.broadcast_to(_STATES[state][1] * np.array([3.0, 4.0]), (_FEW, 2))
    position = np.broadcast_to([100.0, 0.0], (_FEW, 2, 2))
    return BySight().shadowing_at_db(_STREAM.child("sight"), np.arange(_FEW), _places(position, travelled, state))


def _state_deviation() -> float:
    stds = [float(_by_sight(state).std()) for state in _STATES]
    return largest_deviation(stds, [std_db for std_db, _ in _STATES.values()], relative=True)


def _state_memory_deviation() -> float:
    pairs = [_by_sight(state) for state in _STATES]
    return largest_deviation([np.corrcoef(pair[:, 0], pair[:, 1])[0, 1] for pair in pairs], np.exp(-1.0))


@functools.cache
def _mapped() -> tuple[Floats, Floats]:
    """Levels in standard deviations at places [1e4] of one map, and [1e4, 2 lags, 8 directions] around them."""
    here = 2e5 * (np.asarray(_STREAM.uniform(np.arange(_PLACES)[:, None], [0, 1])) - 0.5)
    steps = np.array(SHADOW_LAGS_M[1:3])[:, None, None] * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=-1)
    around = (here[:, None, None] + steps).reshape(_PLACES, -1, 2)
    position = np.concatenate([here[:, None], around], axis=1)
    places = _places(position, np.zeros(position.shape[:2]), "nlos")
    level = _MAP.shadowing_at_db(_STREAM.child("map"), np.arange(_PLACES), places) / _MAP.std_db
    return level[:, 0], level[:, 1:].reshape(_PLACES, 2, _ANGLES.size)


def _map_memory(lag: int) -> float:
    here, around = _mapped()
    return float(np.mean([np.corrcoef(here, around[:, lag, angle])[0, 1] for angle in range(_ANGLES.size)]))


CHECKS: tuple[Check, ...] = (
    Check("shadowing.none", _largest_of_none, 0.0, Tolerance(0.0), "no shadowing is 0 dB everywhere"),
    *(
        Check(f"shadowing.log_normal.memory.{lag_m:g}m", functools.partial(_memory, 1 + n), expected, _SAMPLED,
              "correlation over a way, Gudmundson's exp(-d / 50 m), 1e5 clients; four standard errors")
        for n, (lag_m, expected) in enumerate(zip(SHADOW_LAGS_M, SHADOW_CORRELATION, strict=True))
    ),
    Check("shadowing.log_normal.ks", lambda: _distance_from_law(_walked()[:, 1]), 0.0, KS_DISTANCE,
          "Kolmogorov-Smirnov distance of 1e5 clients from the log-normal law; critical at 0.1 %"),
    Check("shadowing.log_normal.std", lambda: float(np.std(_walked()) * _WALK.std_db), 7.82, _PERCENT,
          "the stated deviation of 7.82 dB (TR 38.901, UMi NLOS) over 5e5 levels; four standard errors"),
    Check("shadowing.by_sight.std", _state_deviation, 0.0, Tolerance(0.025),
          "relative, of 4, 6 and 7 dB in sight, out of it and inside (TR 38.901, UMa), 2e4 clients; five errors"),
    Check("shadowing.by_sight.memory", _state_memory_deviation, 0.0, Tolerance(0.03),
          "of the correlation over 37, 50 and 7 m in sight, out of it and inside from 1/e; four errors of 2e4 clients"),
    *(
        Check(f"shadowing.map.memory.{SHADOW_LAGS_M[1 + n]:g}m", functools.partial(_map_memory, n),
              SHADOW_CORRELATION[1 + n], Tolerance(0.06),
              "correlation over a distance on one map, exp(-d / 50 m), mean of 8 directions; 0.03 for one map's waves, "
              "three standard errors of 1e4 places")
        for n in range(2)
    ),
    Check("shadowing.map.ks", lambda: _distance_from_law(_mapped()[0]), 0.0, Tolerance(0.0195),
          "Kolmogorov-Smirnov distance of 1e4 places of one map from the log-normal law; critical at 0.1 %"),
    Check("shadowing.map.std", lambda: float(np.std(_mapped()[0]) * _MAP.std_db), 7.82, Tolerance(0.025, relative=True),
          "the stated deviation of 7.82 dB over 1e4 places of one map; 3.5 standard errors"),
)  # fmt: skip
