"""Path loss: how much weaker the signal is after a distance, on average over place and time.

Knows no shadowing, no antennas and no bandwidth. Loss in dB, positive, larger is weaker.
"""

from __future__ import annotations

from channels.options import Options
from channels.pathloss.base import PathLoss, RangeWatch, Shadowed, Sighted, State, Validity
from channels.pathloss.free import FreeSpace, LogDistance, TwoRay, free_space_db
from channels.pathloss.hata import Cost231Hata, OkumuraHata
from channels.pathloss.indoor import P1238, InF, InH
from channels.pathloss.inverse import range_m
from channels.pathloss.outdoor import RMa, UMa, UMi

__all__ = [
    "P1238",
    "PATH_LOSS",
    "Cost231Hata",
    "FreeSpace",
    "InF",
    "InH",
    "LogDistance",
    "OkumuraHata",
    "PathLoss",
    "RMa",
    "RangeWatch",
    "Shadowed",
    "Sighted",
    "State",
    "TwoRay",
    "UMa",
    "UMi",
    "Validity",
    "free_space_db",
    "range_m",
]

PATH_LOSS: dict[str, type[Options]] = {
    "free_space": FreeSpace,
    "log_distance": LogDistance,
    "two_ray": TwoRay,
    "uma": UMa,
    "umi": UMi,
    "rma": RMa,
    "inh": InH,
    "inf": InF,
    "okumura_hata": OkumuraHata,
    "cost231_hata": Cost231Hata,
    "p1238": P1238,
}
