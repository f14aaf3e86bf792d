"""What fading models that have a complex amplitude share: their questions checked, and a power from two quadratures.

Knows no law: a model gives the quadratures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, Ints, clients_array, non_negative, times_array
from channels.options import Options
from channels.streams import Stream
from channels.units import Quantity

Doppler = Annotated[float, Quantity("Hz", gt=0, le=1e9, example="97 Hz")]


@dataclass(frozen=True)
class AmplitudeFading(Options, ABC):
    """Base of the models whose gain is the power of an amplitude."""

    def power_gain(self, stream: Stream, clients: ArrayLike, times_s: ArrayLike, doppler_hz: ArrayLike) -> Floats:
        """Linear power gains [K, T]; `doppler_hz` ([K] or one number) gives way to the option so named."""
        return power(*self.amplitudes(stream, clients, times_s, doppler_hz))

    @abstractmethod
    def amplitudes(
        self, stream: Stream, clients: ArrayLike, times_s: ArrayLike, doppler_hz: ArrayLike
    ) -> tuple[Floats, Floats]:
        """The two quadratures, [K, T] each, of mean square 1/2; the caller may change them."""
        ...


def power(in_phase: Floats, quadrature: Floats) -> Floats:
    """The sum of both squares, in the place of the first."""
    np.multiply(in_phase, in_phase, out=in_phase)
    np.multiply(quadrature, quadrature, out=quadrature)
    return np.add(in_phase, quadrature, out=in_phase)


def checked(
    clients: ArrayLike, times_s: ArrayLike, doppler_hz: ArrayLike, stated_hz: float | None = None
) -> tuple[Ints, Floats, Floats]:
    """Clients [K], times [T] and Doppler shifts [K]: those of the movement, or the one that is `stated_hz`."""
    rows = clients_array(clients)
    doppler = non_negative("a Doppler shift in Hz", doppler_hz)
    return rows, times_array(times_s), np.broadcast_to(doppler if stated_hz is None else stated_hz, rows.shape)
