"""Fast fading: the power gain of a link around its mean, as a function of time.

Knows no path loss, no SNR and no rate. A gain is linear, of mean 1 over the ensemble of clients and seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.arrays import Floats, Ints, clients_array, non_negative, times_array
from channels.options import Options
from channels.streams import Stream
from channels.units import Quantity, Seconds

_OSCILLATORS = 32  # per quadrature; with 16 a Kolmogorov-Smirnov test of 1e5 samples tells the sum from a Gaussian
_CHUNK = 1 << 14  # samples evaluated at once: the work arrays stay in the second-level cache
_TIMES_AT_ONCE = 1 << 12  # shares the cosines of a grid among enough times
_TICKS_PER_SECOND = 1e9
_LAST_TICK_S = 2.0**62 / _TICKS_PER_SECOND
_WINDOW_TICKS = 64_000_000  # 64 ms: a whole number of slots of 1, 1/2, 1/4, 1/8 and 1/16 ms
_WORTH_A_GRID = 8  # a product costs a tenth of the four cosines and sines that it saves
_NODES = 160
_LOWEST_LOG_GAIN, _HIGHEST_LOG_GAIN = -30.0, 4.2
# A time this close below the edge of a block, in blocks, belongs to the next: 0.7 s is the start of block 7
# of 0.1 s although 0.7 / 0.1 is a little less than 7 in float64.
_EDGE = 1e-9


class Fading(Protocol):
    """What a fading model must do.

    1. It is a frozen dataclass derived from `Options`; its first field is ``kind``.
    2. ``power_gain(stream, clients, times_s, doppler_hz)`` takes K client numbers, T times shared by them,
       and the Doppler shift of each client (or one for all); it returns float64 [K, T], at least 0, of mean 1
       over the ensemble.
    3. A value depends only on (stream, client, time, Doppler): bit for bit the same however calls are
       ordered, split or joined. Sum in a fixed order; no matrix products, whose last bits change with the
       shape.
    4. ``quadrature()`` returns gains [J] and weights [J] that sum to 1: the law of the gain at one time, for
       averages.
    5. A time that is NaN, infinite or negative raises ValueError.
    6. The docstring is a model card: formula, source, validity. 7. It stands in `FADING` under its kind.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    def power_gain(self, stream: Stream, clients: ArrayLike, times_s: ArrayLike, doppler_hz: ArrayLike) -> Floats:
        """Linear power gains [K, T]."""
        ...

    def quadrature(self) -> tuple[Floats, Floats]:
        """Gains and weights of the law of the gain."""
        ...


@dataclass(frozen=True)
class NoFading(Options):
    """No fading: the gain stays at its mean.

    Formula
    -------
    X(t) = 1 for every client at all times.

    Validity
    --------
    Where a direct path dominates, or fades average out over a wide band or many antennas. Otherwise it hides how much
    a link varies.

    Source
    ------
    own: the reference case.
    """

    kind: Literal["none"] = "none"

    def power_gain(self, stream: Stream, clients: ArrayLike, times_s: ArrayLike, doppler_hz: ArrayLike) -> Floats:
        """Ones [K, T]."""
        rows, times, _ = _checked(clients, times_s, doppler_hz)
        return np.ones((rows.size, times.size))

    def quadrature(self) -> tuple[Floats, Floats]:
        """One node: gain 1 with weight 1."""
        return np.ones(1), np.ones(1)


@dataclass(frozen=True)
class BlockRayleigh(Options):
    """Block fading: the gain is constant over a block of time and independent from block to block.

    Blocks of all clients begin together at t = 0; a time within 1e-9 of a block below an edge counts as the edge.

    Formula
    -------
    X ~ Exp(1), drawn anew for each client in each block floor(t / block).

    Validity
    --------
    Where a transmission is short against the coherence time, or as the usual assumption of papers. It has no Doppler
    shift, so the speed of a client does not matter.

    Source
    ------
    The squared Rayleigh amplitude: Goldsmith, *Wireless Communications*, sections 3.2 and 4.2.1.

    Options
    -------
    block_s : How long a gain lasts. Shorter: a transfer meets more gains, which average out.
    """

    kind: Literal["block"] = "block"
    block_s: Seconds = 1.0

    def power_gain(self, stream: Stream, clients: ArrayLike, times_s: ArrayLike, doppler_hz: ArrayLike) -> Floats:
        """Linear power gains [K, T]; `doppler_hz` is checked and has no effect."""
        rows, times, _ = _checked(clients, times_s, doppler_hz)
        blocks = times / self.block_s
        if blocks.size and blocks.max() >= 2.0**53:
            raise ValueError(f"a time of {times.max()} s holds too many blocks of {self.block_s} s")
        nearest = np.rint(blocks)
        index = np.where(np.abs(blocks - nearest) <= _EDGE, nearest, np.floor(blocks)).astype(np.int64)
        distinct, position = np.unique(index, return_inverse=True)
        return stream.exponential(rows[:, None], distinct[None, :])[:, position]

    def quadrature(self) -> tuple[Floats, Floats]:
        """Nodes of the exponential law (see `exponential_quadrature`)."""
        return exponential_quadrature()


@dataclass(frozen=True)
class Rayleigh(Options):
    """Rayleigh fading with Clarke's Doppler spectrum, as a sum of sinusoids with random angles and phases.

    The gain at t is that at the nearest nanosecond; phases are held in double precision and cosines in single, so
    amplitudes are good to 1e-6 of their root mean square.

    Formula
    -------
    With N = 32 oscillators per quadrature and Doppler shift fd::

        X_I(t) = sqrt(1/N) sum_n cos(2 pi fd t cos a_n + p_n)
        X_Q(t) = sqrt(1/N) sum_n cos(2 pi fd t sin a_n + q_n),    a_n = (2 pi n - pi + theta) / (4 N)
        power gain = X_I^2 + X_Q^2

    theta, p_n and q_n are uniform over a turn, drawn once for each client. The ensemble autocorrelation of each
    quadrature is exactly J0(2 pi fd tau) / 2. The gain is exponential but for terms of order 1/N: its variance is
    1 - 3/(4N) = 0.977.

    Validity
    --------
    A narrow band (flat fading), rich scattering all around the client, no direct path. A client with Doppler shift 0
    keeps one gain for ever: if the link of a static client is to vary, state `doppler` (the motion of its
    surroundings) or take block fading.

    Source
    ------
    Zheng and Xiao 2003, IEEE Trans. Commun. 51(6) 920-928, and 2002, IEEE Commun. Lett. 6(6) 256-258; the spectrum:
    Clarke 1968, Jakes 1974.

    Options
    -------
    doppler_hz : Doppler shift fd of every client; left out, speed times carrier over c = 299 792 458 m/s. Larger: the
        gain changes faster; after about 0.4 / fd seconds it is another.
    """

    kind: Literal["rayleigh"] = "rayleigh"
    doppler_hz: Annotated[float, Quantity("Hz", gt=0, le=1e9, example="97 Hz")] | None = None

    def power_gain(self, stream: Stream, clients: ArrayLike, times_s: ArrayLike, doppler_hz: ArrayLike) -> Floats:
        """Linear power gains [K, T]; `doppler_hz` ([K] or one number) gives way to the option so named."""
        in_phase, quadrature = self.amplitudes(stream, clients, times_s, doppler_hz)
        np.multiply(in_phase, in_phase, out=in_phase)
        np.multiply(quadrature, quadrature, out=quadrature)
        return np.add(in_phase, quadrature, out=in_phase)

    def amplitudes(
        self, stream: Stream, clients: ArrayLike, times_s: ArrayLike, doppler_hz: ArrayLike
    ) -> tuple[Floats, Floats]:
        """The two quadratures X_I and X_Q, [K, T] each, of variance 1/2."""
        rows, times, doppler = _checked(clients, times_s, doppler_hz)
        if self.doppler_hz is not None:
            doppler = np.full(rows.size, float(self.doppler_hz))
        if times.size and times.max() >= _LAST_TICK_S:
            raise ValueError(f"a time of {times.max()} s is beyond the clock of the fading")
        number, part = np.arange(_OSCILLATORS)[:, None, None], np.arange(2)[:, None]
        theta = stream.uniform(rows, 0) - 0.5  # in turns
        angle = (2.0 * np.pi) * (number[:, 0] + 0.5 + theta) / (4.0 * _OSCILLATORS)
        shift_hz = np.stack([np.cos(angle), np.sin(angle)], axis=1) * doppler  # [N, 2, K]
        phase = stream.uniform(rows, 1 + number + _OSCILLATORS * part)
        ticks = np.rint(times * _TICKS_PER_SECOND).astype(np.int64)
        result = np.empty((2, rows.size, times.size))
        for left in range(0, times.size, _TIMES_AT_ONCE):
            window = slice(left, left + _TIMES_AT_ONCE)
            clock = _Clock(ticks[window])
            tall = max(1, clock.rows_at_once)
            for top in range(0, rows.size, tall):
                band = slice(top, top + tall)
                result[:, band, window] = clock.sum_of_cosines(shift_hz[..., band], phase[..., band])
        return result[0], result[1]

    def quadrature(self) -> tuple[Floats, Floats]:
        """Nodes of the exponential law (see `exponential_quadrature`)."""
        return exponential_quadrature()


def exponential_quadrature() -> tuple[Floats, Floats]:
    """Gains [J] and weights [J] for averages over Exp(1): the trapezoid rule in y = ln x over [-30, 4.2].

    The weight of a node is e^y exp(-e^y), scaled to sum 1. The rule converges exponentially for integrands
    that are smooth in ln x, such as log(1 + g x) for any g: with 160 nodes the error is below 1e-12.
    """
    log_gain = np.linspace(_LOWEST_LOG_GAIN, _HIGHEST_LOG_GAIN, _NODES)
    gain = np.exp(log_gain)
    weight = gain * np.exp(-gain)
    return gain, weight / weight.sum()


def _checked(clients: ArrayLike, times_s: ArrayLike, doppler_hz: ArrayLike) -> tuple[Ints, Floats, Floats]:
    rows = clients_array(clients)
    doppler = non_negative("a Doppler shift in Hz", doppler_hz)
    return rows, times_array(times_s), np.broadcast_to(doppler, rows.shape)


class _Clock:
    """Times cut into a coarse and a fine part, so that few cosines serve many times.

    cos(x + y) = cos x cos y - sin x sin y, x the phase at the start of a window and y the phase since. Evenly spaced
    times share their windows and their places in them: then the products are formed over the grid of both. Else
    they are formed time by time. Either way a value is made by the same operations, so its bits are the same.
    """

    def __init__(self, ticks: Ints) -> None:
        window, place = np.divmod(ticks, _WINDOW_TICKS)
        windows, row = np.unique(window, return_inverse=True)
        places, column = np.unique(place, return_inverse=True)
        self._pick: Ints | None = None
        if windows.size * places.size <= _WORTH_A_GRID * ticks.size:
            # the grid in order is the most common question, and needs no picking
            pick = row * places.size + column
            if pick.size != windows.size * places.size or np.any(pick != np.arange(pick.size)):
                self._pick = pick
            self._coarse_s, self._fine_s = _seconds(windows * _WINDOW_TICKS)[:, None], _seconds(places)[None, :]
            self.rows_at_once = _CHUNK // (windows.size * places.size)
        else:
            self._coarse_s, self._fine_s = _seconds(window * _WINDOW_TICKS), _seconds(place)
            self.rows_at_once = _CHUNK // (2 * _OSCILLATORS * ticks.size)

    def sum_of_cosines(self, shift_hz: Floats, phase: Floats) -> Floats:
        """sqrt(1/N) sum_n cos(2 pi (shift_n t + phase_n)), one n after another; [N, 2, K] to [2, K, T]."""
        extra = (...,) + (None,) * self._coarse_s.ndim
        shift, start = shift_hz[extra], phase[extra]
        coarse_cos, coarse_sin = _circle(shift * self._coarse_s + start)
        fine_cos, fine_sin = _circle(shift * self._fine_s)
        total = coarse_cos[0] * fine_cos[0] - coarse_sin[0] * fine_sin[0]
        product, other = np.empty_like(total), np.empty_like(total)
        for n in range(1, _OSCILLATORS):
            np.multiply(coarse_cos[n], fine_cos[n], out=product)
            np.multiply(coarse_sin[n], fine_sin[n], out=other)
            np.subtract(product, other, out=product)
            np.add(total, product, out=total)
        flat = total.reshape(*shift_hz.shape[1:], -1)
        if self._pick is not None:
            flat = flat[..., self._pick]
        scaled: Floats = np.multiply(flat, np.sqrt(1.0 / _OSCILLATORS), dtype=np.float64)
        return scaled


def _seconds(ticks: Ints) -> Floats:
    return ticks / _TICKS_PER_SECOND


def _circle(turns: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosine and sine in single precision of phases in turns, which are brought to half a turn in double."""
    np.subtract(turns, np.rint(turns), out=turns)
    angle = np.multiply(turns, 2.0 * np.pi, out=turns).astype(np.float32)
    return np.cos(angle), np.sin(angle)


FADING: dict[str, type[NoFading] | type[BlockRayleigh] | type[Rayleigh]] = {
    "none": NoFading,
    "block": BlockRayleigh,
    "rayleigh": Rayleigh,
}
