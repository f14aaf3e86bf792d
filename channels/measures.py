"""What is measured of fading, and what theory says it should be: outage, crossings, fade durations, capacity.

Knows no model and no random number: pure functions of arrays. A level is a ratio of powers to the mean gain; books that
write rho, a ratio of amplitudes, mean its square root.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.arrays import Floats, non_negative, positive
from channels.gainlaws import exponential_quadrature, gamma_quadrature, rician_quadrature

_PHASES = 512  # of the integral over a turn, by the trapezoid rule: exact to the last bits up to K = 30 dB


def outage(gains: ArrayLike, level: float) -> float:
    """Share of the gains (any shape) that lie below `level`."""
    return float(np.mean(_filled(gains) < _level(level)))


def level_crossing_rate(gains: ArrayLike, step_s: float, level: float) -> float:
    """How often a second a gain rises through `level`.

    Samples miss what happens between them: against a formula, take steps of 0.01 over the Doppler shift at most.

    Parameters
    ----------
    gains : array_like of float
        Gains [..., T] at T >= 2 times that are `step_s` apart; the other axes are averaged over.
    step_s : float
        In s.
    level : float
        Ratio of powers.

    Returns
    -------
    float
        In 1/s.
    """
    below = _series(gains) < _level(level)
    return float(np.mean(below[..., :-1] & ~below[..., 1:])) / positive("step_s", step_s)


def average_fade_duration(gains: ArrayLike, step_s: float, level: float) -> float:
    """How long, in s, a gain stays below `level` once it has fallen below it: the share of time below over the rate.

    Parameters as in `level_crossing_rate`; ValueError where no gain rises through the level.
    """
    values = _series(gains)
    rate = level_crossing_rate(values, step_s, level)
    if rate == 0.0:
        raise ValueError(f"no gain rises through the level {level}")
    return outage(values[..., 1:], level) / rate


def autocorrelation(values: ArrayLike, lags: ArrayLike, mean: float = 0.0) -> Floats:
    """Autocorrelation in time over the mean power: 1 at lag 0.

    Parameters
    ----------
    values : array_like of float or complex
        Amplitudes or gains [..., T] at even steps; the other axes are averaged over.
    lags : array_like of int
        Lags [L] in steps, from 0 to T - 1.
    mean : float
        Is taken off first: 0 for amplitudes, 1 for gains.

    Returns
    -------
    ndarray
        Real parts [L] of E[v(t) v*(t + lag)] / E[|v|^2].
    """
    array: NDArray[np.inexact] = np.asarray(values)
    array = array.astype(np.complex128 if np.iscomplexobj(array) else np.float64) - mean
    steps = np.asarray(lags)
    length = array.shape[-1] if array.ndim else 0
    if steps.dtype.kind not in "iu" or steps.ndim != 1 or (steps.size and not 0 <= steps.min() <= steps.max() < length):
        raise ValueError(f"lags must be a list of whole numbers from 0 to {length - 1}; got {lags!r:.60}")
    if not np.all(np.isfinite(array)) or not np.any(array):
        raise ValueError("values must be finite and not all equal to their mean")
    power = float(np.mean(np.abs(array) ** 2))
    return np.array(
        [float(np.mean((array[..., : length - lag] * array[..., lag:].conj()).real)) / power for lag in steps.tolist()]
    )


def ks_distance(samples: ArrayLike, law: Callable[[Floats], ArrayLike]) -> float:
    """Largest distance between the share of samples (any shape) up to x and the distribution function `law` at x.

    The statistic of Kolmogorov and Smirnov, to be held against `ks_critical`.
    """
    ordered = np.sort(_filled(samples, "a sample"), axis=None)
    expected, count = np.asarray(law(ordered), dtype=np.float64), ordered.size
    above, below = np.arange(1, count + 1) / count - expected, expected - np.arange(count) / count
    return float(max(above.max(), below.max()))


def ks_critical(count: int, level: float = 0.001) -> float:
    """The distance that `count` independent samples of the law itself exceed with probability `level`.

    ``sqrt(-ln(level / 2) / (2 count))``, the limit for many samples: 0.0062 at 1e5 and 0.1 % (Smirnov 1948, Ann. Math.
    Stat. 19(2) 279-281).
    """
    if not (count >= 1 and 0.0 < level < 1.0):
        raise ValueError(f"count must be at least 1 and level in (0, 1); got {count} and {level}")
    return math.sqrt(-0.5 * math.log(0.5 * level) / count)


def rayleigh_outage(level: ArrayLike) -> Floats:
    """P(gain < level) = 1 - exp(-level): Goldsmith, *Wireless Communications*, section 6.3."""
    return np.asarray(-np.expm1(-_level(level)))


def rician_outage(level: ArrayLike, k: float) -> Floats:
    """P(gain < level) = 1 - Q1(sqrt(2 K), sqrt(2 (1 + K) level)), with K as a ratio.

    That is the noncentral chi-square law of 2 degrees of freedom and noncentrality 2 K at 2 (1 + K) level: Simon and
    Alouini, *Digital Communication over Fading Channels*, section 2.2.1.
    """
    from scipy.special import chndtr

    ratio = _k(k)
    return np.asarray(chndtr(2.0 * (1.0 + ratio) * _level(level), 2.0, 2.0 * ratio))


def nakagami_outage(level: ArrayLike, m: float) -> Floats:
    """P(gain < level) = P(m, m level), the regularised incomplete gamma function: Simon and Alouini, section 2.2.1."""
    from scipy.special import gammainc

    return np.asarray(gammainc(_m(m), m * _level(level)))


def rayleigh_crossing_rate(level: ArrayLike, doppler_hz: float) -> Floats:
    """Crossings a second, sqrt(2 pi level) fd exp(-level): Jakes 1974, *Microwave Mobile Communications*, section 1.3.

    Over a rate, `rayleigh_outage` gives the average fade duration.
    """
    x = _level(level)
    return np.asarray(math.sqrt(2.0 * math.pi) * positive("doppler_hz", doppler_hz) * np.sqrt(x) * np.exp(-x))


def rician_crossing_rate(level: ArrayLike, k: float, doppler_hz: float, direct_hz: ArrayLike = 0.0) -> Floats:
    """Crossings a second of a direct path of K factor `k` (a ratio) in waves from all around.

    With r = sqrt(level), a = sqrt(K / (1 + K)) the amplitude of the direct path and 2 s^2 = 1 / (1 + K), the amplitude
    moves at phase t to the direct path with speed normal of mean w a sin t, w = 2 pi direct_hz, and variance
    b = (2 pi fd s)^2 / 2; hence, with Phi and phi of the standard normal law::

        rate = int_0^2pi r / (2 pi s^2) exp(-(r^2 + a^2 - 2 r a cos t) / (2 s^2)) g(w a sin t) dt
        g(u) = u Phi(u / sqrt(b)) + sqrt(b) phi(u / sqrt(b))

    At direct_hz = 0 it is sqrt(2 pi (1 + K) level) fd exp(-K - (1 + K) level) I0(2 sqrt(K (1 + K) level)).

    Parameters
    ----------
    level, direct_hz : array_like of float
        Ratio of powers, and Doppler shift of the direct path in Hz, of either sign; they broadcast.
    k, doppler_hz : float
        K factor, and largest Doppler shift in Hz.

    Source
    ------
    Rice 1948, Bell Syst. Tech. J. 27(1) 109-157, section 4; Stueber, *Principles of Mobile Communication*, sec. 2.1.4.
    """
    from scipy.special import ndtr

    ratio, doppler = _k(k), positive("doppler_hz", doppler_hz)
    r, shift = np.sqrt(_level(level))[..., None], np.asarray(direct_hz, dtype=np.float64)[..., None]
    if not np.all(np.isfinite(shift)):
        raise ValueError(f"direct_hz must be finite; got {direct_hz!r:.60}")
    phase = (2.0 * math.pi / _PHASES) * np.arange(_PHASES)
    direct, twice_variance = math.sqrt(ratio / (1.0 + ratio)), 1.0 / (1.0 + ratio)
    spread = math.pi * doppler * math.sqrt(twice_variance)  # sqrt(b)
    square = (r - direct) ** 2 + 2.0 * r * direct * (1.0 - np.cos(phase))
    pull = 2.0 * math.pi * shift * direct * np.sin(phase) / spread
    rising = spread * (pull * ndtr(pull) + np.exp(-0.5 * pull**2) / math.sqrt(2.0 * math.pi))
    density = 2.0 * r / twice_variance * np.exp(-square / twice_variance)
    return np.asarray(np.mean(density * rising, axis=-1))


def nakagami_crossing_rate(level: ArrayLike, m: float, doppler_hz: float) -> Floats:
    """Crossings a second, sqrt(2 pi) fd m^(m - 1/2) / Gamma(m) level^(m - 1/2) exp(-m level).

    Yacoub, Bautista and Guedes 1999, IEEE Trans. Veh. Technol. 48(3) 790-794.
    """
    x, shape = _level(level), _m(m)
    scale = math.sqrt(2.0 * math.pi) * positive("doppler_hz", doppler_hz)
    if shape == 0.5:  # level^0, also at level 0
        return np.asarray(scale / math.sqrt(math.pi) * np.exp(-0.5 * x))
    with np.errstate(divide="ignore"):
        log_power = (shape - 0.5) * np.log(shape * x)
    return np.asarray(scale * np.exp(log_power - shape * x - math.lgamma(shape)))


def clarke_autocorrelation(lag_s: ArrayLike, doppler_hz: float) -> Floats:
    """J0(2 pi fd lag), of the amplitude that waves from all around make: Clarke 1968, Bell Syst. Tech. J. 47(6)."""
    from scipy.special import j0

    return np.asarray(j0(2.0 * math.pi * positive("doppler_hz", doppler_hz) * non_negative("a lag in s", lag_s)))


def awgn_capacity(snr: ArrayLike) -> Floats:
    """Bit/s/Hz without fading at linear SNR (any shape), log2(1 + snr): Shannon 1948."""
    return np.asarray(np.log1p(non_negative("a linear SNR", snr)) / math.log(2.0))


def rayleigh_capacity(snr: ArrayLike) -> Floats:
    """Mean bit/s/Hz at linear mean SNR g (any shape), exp(1/g) E1(1/g) / ln 2.

    Alouini and Goldsmith 1999, doi:10.1109/25.775366; by `channels.gainlaws.exponential_quadrature`, since the factors
    overflow at low SNR.
    """
    return _mean_capacity(snr, *exponential_quadrature())


def rician_capacity(snr: ArrayLike, k: float) -> Floats:
    """Mean bit/s/Hz at linear mean SNR (any shape): E[log2(1 + snr X)] over the Rician law, by its quadrature."""
    return _mean_capacity(snr, *rician_quadrature(_k(k)))


def nakagami_capacity(snr: ArrayLike, m: float) -> Floats:
    """Mean bit/s/Hz at linear mean SNR (any shape): E[log2(1 + snr X)] over the gamma law, by its quadrature."""
    return _mean_capacity(snr, *gamma_quadrature(_m(m)))


def _mean_capacity(snr: ArrayLike, gains: Floats, weights: Floats) -> Floats:
    return np.asarray(awgn_capacity(non_negative("a linear SNR", snr)[..., None] * gains) @ weights)


def _filled(values: ArrayLike, name: str = "a gain") -> Floats:
    array = non_negative(name, values)
    if not array.size:
        raise ValueError(f"{name}: there is none to measure")
    return array


def _series(gains: ArrayLike) -> Floats:
    array = _filled(gains)
    if not array.ndim or array.shape[-1] < 2:
        raise ValueError(f"gains need a last axis of two or more times; got shape {array.shape}")
    return array


def _level(level: ArrayLike) -> Floats:
    return non_negative("a level", level)


def _k(k: float) -> float:
    return float(non_negative("a K factor", k))


def _m(m: float) -> float:
    if not 0.5 <= m < math.inf:
        raise ValueError(f"m must be finite and at least 0.5; got {m}")
    return float(m)
