"""Sums of sinusoids at any times: the complex amplitude that scattered waves make at a moving receiver.

Knows no gain and no law: amplitudes of mean power 1, whose last bits depend on (stream, client, time, Doppler) alone.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from channels.arrays import Floats, Ints
from channels.streams import Stream

_Singles = NDArray[np.float32]

# Per quadrature. Kolmogorov-Smirnov tests of 1e5 samples at 0.1 % tell the sum of 16 from a Gaussian in half of all
# cases, that of 32 in one of 15, and that of 40 in none of 40.
OSCILLATORS = 40
PHASORS = 16  # of the fast sum: such a test always tells it from a Gaussian
_CHUNK = 1 << 14  # samples evaluated at once: the work arrays stay in the second-level cache
_TIMES_AT_ONCE = 1 << 12  # shares the cosines of a grid among enough times
_ROWS_AT_ONCE = 128  # long enough a loop that starting it does not count, short enough for the cache
_FEW_ROWS = 64  # whose waves are kept for the next question
_TICKS_PER_SECOND = 1e9
_LAST_TICK_S = 2.0**62 / _TICKS_PER_SECOND
_WINDOW_TICKS = 64_000_000  # 64 ms: a whole number of slots of 1, 1/2, 1/4, 1/8 and 1/16 ms
_WORTH_A_GRID = 8  # a product costs a tenth of the four cosines and sines that it saves


def scattered(stream: Stream, rows: Ints, times_s: Floats, doppler_hz: Floats, fast: bool = False) -> Floats:
    """Both quadratures [2, K, T] of waves from all around, of variance 1/2 each.

    With N = 40 oscillators per quadrature (Zheng and Xiao 2003)::

        X_I(t) = sqrt(1/N) sum_n cos(2 pi fd t cos a_n + p_n)
        X_Q(t) = sqrt(1/N) sum_n cos(2 pi fd t sin a_n + q_n),    a_n = (2 pi n - pi + theta) / (4 N)

    `fast`, with N = 16 phasors (Xiao, Zheng and Beaulieu 2006, with one theta for all of them)::

        X_I + j X_Q = sqrt(1/N) sum_n exp(j (2 pi fd t cos a_n + p_n)),    a_n = (2 pi n - pi + theta) / N

    theta, p_n and q_n are uniform over a turn, drawn once for each client.
    """
    few = rows.size <= _FEW_ROWS
    waves = (
        _same_waves(stream, rows.tobytes(), doppler_hz.tobytes(), fast)
        if few
        else _waves(stream, rows, doppler_hz, fast)
    )
    summed = _over_times(*waves, times_s, both=fast)
    return summed if fast else summed.reshape(2, rows.size, times_s.size)


def _waves(stream: Stream, rows: Ints, doppler_hz: Floats, fast: bool) -> tuple[Floats, Floats]:
    """Doppler shifts in Hz and phases in turns of the waves of each row, [N, R]; both quadratures unless `fast`."""
    theta = stream.uniform(rows, 0) - 0.5  # in turns
    if fast:
        number = np.arange(PHASORS)[:, None]
        angle = (2.0 * np.pi) * (number + 0.5 + theta) / PHASORS
        return np.cos(angle) * doppler_hz, stream.uniform(rows, 1 + number)
    number, part = np.arange(OSCILLATORS)[:, None, None], np.arange(2)[:, None]
    angle = (2.0 * np.pi) * (number[:, 0] + 0.5 + theta) / (4.0 * OSCILLATORS)
    shift_hz = np.stack([np.cos(angle), np.sin(angle)], axis=1) * doppler_hz  # [N, 2, K]
    phase = stream.uniform(rows, 1 + number + OSCILLATORS * part)
    flat = (OSCILLATORS, 2 * rows.size)
    return shift_hz.reshape(flat), phase.reshape(flat)


@lru_cache(maxsize=32)
def _same_waves(stream: Stream, rows: bytes, doppler_hz: bytes, fast: bool) -> tuple[Floats, Floats]:
    """The same of few rows, who are asked about again and again."""
    return _waves(stream, np.frombuffer(rows, np.int64), np.frombuffer(doppler_hz, np.float64), fast)


def scattered_taps(stream: Stream, taps: int, rows: Ints, times_s: Floats, doppler_hz: Floats) -> Floats:
    """Both quadratures [2, taps, K, T] of independent groups of waves from all around, each the fast sum above."""
    first = (1 + PHASORS) * np.arange(taps)[:, None]
    number = np.arange(PHASORS)[:, None, None]
    angle = (2.0 * np.pi) * (number + stream.uniform(rows, first)) / PHASORS
    shift_hz, phase = np.cos(angle) * doppler_hz, stream.uniform(rows, first + 1 + number)
    flat = (PHASORS, taps * rows.size)
    summed = _over_times(shift_hz.reshape(flat), phase.reshape(flat), times_s, both=True)
    return summed.reshape(2, taps, rows.size, times_s.size)


def specular(stream: Stream, rows: Ints, times_s: Floats, doppler_hz: Floats, direction: float | None = None) -> Floats:
    """Both quadratures [2, K, T] of one wave of power 1, whose phase is uniform, drawn once a client.

    `direction` is the cosine of the angle between the wave and the movement, the share of the Doppler shift that the
    wave gets; where it is left out, the angle is uniform and drawn once a client.
    """
    cosine = np.cos((2.0 * np.pi) * stream.uniform(rows, 0)) if direction is None else direction
    shift_hz = cosine * doppler_hz
    return _over_times(shift_hz[None], stream.uniform(rows, 1)[None], times_s, both=True)


def _over_times(shift_hz: Floats, phase: Floats, times_s: Floats, both: bool) -> Floats:
    """sqrt(1/N) sum_n cos(2 pi (shift_n t + phase_n)) of [N, R], as [R, T]; if `both`, sines too, as [2, R, T]."""
    if times_s.size and times_s.max() >= _LAST_TICK_S:
        raise ValueError(f"a time of {times_s.max()} s is beyond the clock of the fading")
    if times_s.size > 1 and not shift_hz.any():  # nobody moves
        summed = [np.cumsum(part, axis=0)[-1] for part in _circle(shift_hz, np.zeros(1), phase)[: 1 + both]]
        still = np.stack(summed) * np.sqrt(1.0 / len(shift_hz))
        return np.repeat((still if both else still[0])[..., None], times_s.size, axis=-1)
    ticks = np.rint(times_s * _TICKS_PER_SECOND).astype(np.int64)
    count, rows = shift_hz.shape
    result = np.empty((2 if both else 1, rows, ticks.size))
    scale = np.sqrt(1.0 / count)
    for left in range(0, ticks.size, _TIMES_AT_ONCE):
        window = slice(left, left + _TIMES_AT_ONCE)
        clock = _Clock(ticks[window])
        tall = clock.rows_at_once(rows, count)
        for top in range(0, rows, tall):
            band = slice(top, top + tall)
            for part, total in enumerate(clock.sums(shift_hz[:, band], phase[:, band], both)):
                np.multiply(total, scale, out=result[part, band, window])
    return result if both else result[0]


class _Clock:
    """Times cut into a coarse and a fine part, so that few cosines serve many times.

    cos(x + y) = cos x cos y - sin x sin y, x the phase at the start of a window and y the phase since. Evenly spaced
    times share their windows and their places in them: then the products are formed over the grid of both. Else
    they are formed time by time. Either way, and whether rows or times lie side by side in memory, a value is made by
    the same operations, so its bits are the same.
    """

    def __init__(self, ticks: Ints) -> None:
        window, place = np.divmod(ticks, _WINDOW_TICKS)
        windows, row = np.unique(window, return_inverse=True)
        places, column = np.unique(place, return_inverse=True)
        self._pick: Ints | None = None
        self._is_grid = windows.size * places.size <= _WORTH_A_GRID * ticks.size
        if self._is_grid:
            # the grid in order is the most common question, and needs no picking
            pick = row * places.size + column
            if pick.size != windows.size * places.size or np.any(pick != np.arange(pick.size)):
                self._pick = pick
            window, place = windows, places
        self._coarse_s, self._fine_s = _seconds(window * _WINDOW_TICKS), _seconds(place)

    def rows_at_once(self, rows: int, count: int) -> int:
        """How many rows to ask `sums` for, so that the work stays in the cache."""
        if not self._is_grid:
            return max(1, _CHUNK // (2 * count * self._fine_s.size))
        if self._rows_lie_together(rows):
            return _ROWS_AT_ONCE
        return max(1, _CHUNK // (self._coarse_s.size * self._fine_s.size))

    def sums(self, shift_hz: Floats, phase: Floats, both: bool) -> list[_Singles]:
        """sum_n cos(2 pi (shift_n t + phase_n)) of [N, R], one n after another, as [R, T]; and sines if `both`."""
        rows = shift_hz.shape[1]
        if not self._is_grid:
            coarse = _circle(shift_hz[..., None], self._coarse_s, phase[..., None])
            return _products(coarse, _circle(shift_hz[..., None], self._fine_s), both)
        if not self._rows_lie_together(rows):
            extra = (..., None, None)
            coarse = _circle(shift_hz[extra], self._coarse_s[:, None], phase[extra])
            totals = _products(coarse, _circle(shift_hz[extra], self._fine_s), both)
            return [self._picked(total.reshape(rows, -1)) for total in totals]
        coarse = _circle(shift_hz[:, None, None], self._coarse_s[:, None, None], phase[:, None, None])
        fine = _circle(shift_hz[:, None, None], self._fine_s[:, None])
        step = max(1, 2 * _CHUNK // (self._fine_s.size * rows))
        parts = [
            _products((coarse[0][:, first : first + step], coarse[1][:, first : first + step]), fine, both)
            for first in range(0, self._coarse_s.size, step)
        ]
        return [self._picked(np.concatenate(pieces).reshape(-1, rows).T) for pieces in zip(*parts, strict=True)]

    def _rows_lie_together(self, rows: int) -> bool:
        return self._fine_s.size < _ROWS_AT_ONCE <= rows

    def _picked(self, grid: _Singles) -> _Singles:
        return grid if self._pick is None else grid[:, self._pick]


def _products(coarse: tuple[_Singles, _Singles], fine: tuple[_Singles, _Singles], both: bool) -> list[_Singles]:
    """Real part of sum_n coarse_n fine_n over the first axis, and the imaginary part if `both`."""
    (coarse_cos, coarse_sin), (fine_cos, fine_sin) = coarse, fine
    real = coarse_cos[0] * fine_cos[0] - coarse_sin[0] * fine_sin[0]
    imaginary = coarse_sin[0] * fine_cos[0] + coarse_cos[0] * fine_sin[0] if both else real
    product, other = np.empty_like(real), np.empty_like(real)
    for n in range(1, len(coarse_cos)):
        np.multiply(coarse_cos[n], fine_cos[n], out=product)
        np.multiply(coarse_sin[n], fine_sin[n], out=other)
        np.subtract(product, other, out=product)
        np.add(real, product, out=real)
        if both:
            np.multiply(coarse_sin[n], fine_cos[n], out=product)
            np.multiply(coarse_cos[n], fine_sin[n], out=other)
            np.add(product, other, out=product)
            np.add(imaginary, product, out=imaginary)
    return [real, imaginary] if both else [real]


def _seconds(ticks: Ints) -> Floats:
    return ticks / _TICKS_PER_SECOND


def _circle(shift_hz: Floats, seconds: Floats, start: Floats | None = None) -> tuple[_Singles, _Singles]:
    """Cosine and sine in single precision of shift x seconds + start in turns, brought to half a turn in double."""
    shape = np.broadcast_shapes(shift_hz.shape, seconds.shape)
    cosine, sine = np.empty(shape, np.float32), np.empty(shape, np.float32)
    step = max(1, _CHUNK * shape[0] // max(1, cosine.size))
    for first in range(0, shape[0], step):
        part = slice(first, first + step)
        turns = shift_hz[part] * seconds
        if start is not None:
            np.add(turns, start[part], out=turns)
        np.subtract(turns, np.rint(turns), out=turns)
        angle = np.multiply(turns, 2.0 * np.pi, out=turns).astype(np.float32)
        np.cos(angle, out=cosine[part])
        np.sin(angle, out=sine[part])
    return cosine, sine
