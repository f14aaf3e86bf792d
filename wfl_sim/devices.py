"""How long a client computes in simulated time, and what energy it takes.

Knows neither the learning nor the machine that the simulation runs on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.options import OptionError, Options
from channels.streams import Stream
from channels.units import Flop, FlopRate, Quantity, Seconds, Watts


@dataclass(frozen=True)
class Compute(Options):
    """The device model: how long a client's local training takes in simulated time, and its energy.

    State either `time`, or both `work` and `speed`.

    Formula
    -------
    With Z standard normal, drawn for each client and round::

        T = T0 exp(jitter Z),    T0 = time or work / speed,    E = power T

    T0 is the median time: schedules plan with it, as they do not know the jitter.

    Options
    -------
    time_s : Median time of a round's local training.
    work_flop : Floating-point operations of a round's local training.
    speed_flops : Floating-point operations that the device does in a second.
    jitter : Standard deviation of ln T: 0 always takes the median time; with 0.3 two rounds in three lie between 0.74
        and 1.35 of it.
    power_w : Power that the device draws while it computes.
    """

    time_s: Seconds | None = None
    work_flop: Flop | None = None
    speed_flops: FlopRate | None = None
    jitter: Annotated[float, Quantity("1", ge=0, le=5)] = 0.0
    power_w: Watts = 2.0

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

    @property
    def fastest_s(self) -> float:
        """The same of the fastest device."""
        return self.median_s

    def medians_s(self, stream: Stream, clients: ArrayLike) -> NDArray[np.float64]:
        """The times of a round's local training without jitter, of each client."""
        return np.full(np.shape(clients), self.median_s)

    def seconds(self, stream: Stream, clients: ArrayLike, round_: int) -> NDArray[np.float64]:
        """The times that `clients` take in round `round_`; keyed, so the same whatever else happens."""
        medians_s = self.medians_s(stream, clients)
        if self.jitter == 0:
            return medians_s
        return np.asarray(medians_s * np.exp(self.jitter * stream.normal(np.asarray(clients), round_)))

    def energy_j(self, seconds: ArrayLike) -> NDArray[np.float64]:
        """Energy of computing for `seconds`; for one time, a number."""
        return np.asarray(self.power_w * np.asarray(seconds))
