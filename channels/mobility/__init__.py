"""Where clients are: a placement at time 0 and a path from there on, around a base station at the origin.

Knows no radio. Positions in m in the plane; a trajectory is a function of time that can be asked in any
order.
"""

from __future__ import annotations

from channels.mobility.base import Mobility, Trajectory
from channels.mobility.gaussmarkov import GaussMarkov
from channels.mobility.placement import PLACEMENT, Disc, Line, Placement
from channels.mobility.recorded import Waypoints
from channels.mobility.steady import ConstantVelocity, RandomWaypoint, Static
from channels.options import Options

__all__ = [
    "MOBILITY",
    "PLACEMENT",
    "ConstantVelocity",
    "Disc",
    "GaussMarkov",
    "Line",
    "Mobility",
    "Placement",
    "RandomWaypoint",
    "Static",
    "Trajectory",
    "Waypoints",
]

MOBILITY: dict[str, type[Options]] = {
    "static": Static,
    "constant_velocity": ConstantVelocity,
    "random_waypoint": RandomWaypoint,
    "gauss_markov": GaussMarkov,
    "waypoints": Waypoints,
}
