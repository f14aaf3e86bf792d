"""How long a client computes in simulated time, and what energy it takes.

Knows neither the learning nor the machine that the simulation runs on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from channels.options import OptionError, Options
from channels.streams import Stream
from channels.units import Flop, FlopRate, NonNegative, Quantity, Seconds


@dataclass(frozen=True)
class Compute(Options):
    """The device model: T = work / speed x jitter, or a stated time x jitter; E = power x T.

    State either `time`, or `work` (a round's local training) and `speed`. The jitter is log-normal with
    unit median; `jitter` is its standard deviation in natural logarithm.
    """

    time_s: Seconds | None = None
    work_flop: Flop | None = None
    speed_flops: FlopRate | None = None
    jitter: NonNegative = 0.0
    power_w: Annotated[float, Quantity("W", ge=0)] = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        stated = self.time_s is not None
        derived = self.work_flop is not None and self.speed_flops is not None
        if stated == derived:
            message = "state either the time (time: 400 ms), or work and speed (work: 20 GFLOP, speed: 50 GFLOP/s)"
            raise OptionError("Compute", "time_s", message)

    @property
    def median_s(self) -> float:
        """The time of a round's local training without jitter."""
        if self.time_s is not None:
            return self.time_s
        assert self.work_flop is not None and self.speed_flops is not None  # checked above
        return self.work_flop / self.speed_flops

    def seconds(self, stream: Stream, client: int, round_: int) -> float:
        """The time that `client` takes in round `round_`; keyed, so the same whatever else happens."""
        if self.jitter == 0:
            return self.median_s
        draw = stream.normal(np.array([client]), np.array([round_]))
        return float(self.median_s * np.exp(self.jitter * draw[0]))

    def energy_j(self, seconds: float) -> float:
        """Energy of computing for `seconds`."""
        return self.power_w * seconds
