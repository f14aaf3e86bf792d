"""Checks of paths: how far clients get, how fast they are, and where they are in the long run.

Knows laws of speeds and places; no radio.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np

from channels import measures
from channels.arrays import Floats
from channels.mobility import ConstantVelocity, Disc, GaussMarkov, Line, RandomWaypoint, Static, Trajectory, Waypoints
from channels.selftest.check import Check, Tolerance, largest_deviation
from channels.streams import Stream

_STREAM = Stream.root(31)
_CELL = Disc(to_m=400.0)
_WALK = GaussMarkov(speed_mps=3.0, std_mps=1.5, memory=0.8)
_WALKERS = np.arange(2000)
_ROUNDING_M = Tolerance(1e-9, unit="m")
# the first client rests, goes 100 m, rests and comes half the way back; the second begins late
ROWS = "time_s,client,x_m,y_m\n10,0,0,0\n30,0,100,0\n40,0,100,0\n50,0,50,0\n5,1,0,-10\n15,1,0,-40\n"
_ASKED_S = (0.0, 15.0, 35.0, 44.0, 99.0)
_EXPECTED_M = ((0.0, 25.0, 100.0, 80.0, 50.0), (10.0, 40.0, 40.0, 40.0, 40.0))


def _straight_deviation_m() -> float:
    times = np.array([0.0, 7.0, 1000.0])
    path = ConstantVelocity(speed_mps=12.0).trajectory(_STREAM, _CELL, np.arange(99), 99)
    way = path.position_m(times) - path.position_m([0.0])
    return largest_deviation(np.hypot(way[..., 0], way[..., 1]), np.broadcast_to(12.0 * times, (99, 3)))


def _still_deviation_m() -> float:
    position = Static().trajectory(_STREAM, _CELL, np.arange(99), 99).position_m([0.0, 1e6])
    return largest_deviation(position[:, 1], position[:, 0])


def _waypoint_law() -> float:
    """Distance of the law of places on a road after many legs from 3 x^2 - 2 x^3."""
    path = RandomWaypoint(speed_mps=30.0).trajectory(_STREAM, Line(from_m=100.0, to_m=400.0), np.arange(10_000), 10_000)
    share = (path.distance_m([200.0])[:, 0] - 100.0) / 300.0
    return measures.ks_distance(share, lambda x: 3.0 * x**2 - 2.0 * x**3)


@functools.cache
def _wandered() -> tuple[Floats, Floats]:
    """Velocities [2000 clients, 6 steps, 2] five steps apart, and mean speeds [2000] over 100 s."""
    path = _WALK.trajectory(_STREAM, Disc(to_m=1e6), _WALKERS, _WALKERS.size)
    begin = 5.0 * np.arange(6)
    velocity = 2.0 * (path.position_m(begin + 0.75) - path.position_m(begin + 0.25))
    return velocity, path.travelled_m([100.0])[:, 0] / 100.0


def _wander_memory() -> float:
    """Share of the deviation of the velocity that is left after five steps."""
    velocity, _ = _wandered()
    product = np.sum(velocity[:, 1:] * velocity[:, :-1], axis=-1)
    return float((product.mean() - _WALK.speed_mps**2) / (2.0 * _WALK.std_mps**2))


def recorded() -> Trajectory:
    """The paths of `ROWS`, by way of a file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "paths.csv"
        file.write_text(ROWS)
        return Waypoints(file=str(file)).trajectory(_STREAM, _CELL, [0, 1], 2)


CHECKS: tuple[Check, ...] = (
    Check("mobility.static", _still_deviation_m, 0.0, Tolerance(0.0), "way of 99 clients in 1e6 s, none"),
    Check("mobility.constant_velocity", _straight_deviation_m, 0.0, _ROUNDING_M,
          "of the distance from the start from speed times time, 12 m/s for up to 1000 s; rounding"),
    Check("mobility.random_waypoint.ks", _waypoint_law, 0.0, Tolerance(0.0195),
          "Kolmogorov-Smirnov distance of 1e4 clients on a road from 3 x^2 - 2 x^3, Bettstetter, Resta and Santi 2003; "
          "critical at 0.1 %"),
    Check("mobility.gauss_markov.speed", lambda: float(_wandered()[1].mean()), 3.4086, Tolerance(0.03, unit="m/s"),
          "mean speed of 2000 clients over 100 s: the Rice law of 3 and 1.5 m/s; three standard errors"),
    Check("mobility.gauss_markov.memory", _wander_memory, 0.8**5, Tolerance(0.08),
          "share of the deviation left after 5 steps of memory 0.8, 2000 clients; three standard errors"),
    Check("mobility.waypoints", lambda: largest_deviation(recorded().distance_m(_ASKED_S), _EXPECTED_M), 0.0,
          _ROUNDING_M, "of the distances of two recorded paths at 5 times, worked out by hand; rounding"),
)  # fmt: skip
