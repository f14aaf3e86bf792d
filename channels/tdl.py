"""Frequency-selective fading: the tapped delay lines TDL-A to TDL-E of 3GPP TR 38.901.

Knows the taps and the sums of sinusoids; knows no band in use, no SNR and no rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.amplitudes import AmplitudeFading, Doppler, checked
from channels.arrays import Floats, offsets_array, positive
from channels.gainlaws import exponential_quadrature, rician_quadrature
from channels.options import OptionError
from channels.sinusoids import scattered_taps, specular
from channels.streams import Stream
from channels.units import Quantity

_Singles = NDArray[np.float32]

# Delays over the delay spread, and powers in dB, of the scattered taps.
_TAPS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "A": (
        (0.0, 0.3819, 0.4025, 0.5868, 0.4610, 0.5375, 0.6708, 0.5750, 0.7618, 1.5375, 1.8978, 2.2242, 2.1718, 2.4942,
         2.5119, 3.0582, 4.0810, 4.4579, 4.5695, 4.7966, 5.0066, 5.3043, 9.6586),
        (-13.4, 0.0, -2.2, -4.0, -6.0, -8.2, -9.9, -10.5, -7.5, -15.9, -6.6, -16.7, -12.4, -15.2, -10.8, -11.3, -12.7,
         -16.2, -18.3, -18.9, -16.6, -19.9, -29.7),
    ),
    "B": (
        (0.0, 0.1072, 0.2155, 0.2095, 0.2870, 0.2986, 0.3752, 0.5055, 0.3681, 0.3697, 0.5700, 0.5283, 1.1021, 1.2756,
         1.5474, 1.7842, 2.0169, 2.8294, 3.0219, 3.6187, 4.1067, 4.2790, 4.7834),
        (0.0, -2.2, -4.0, -3.2, -9.8, -1.2, -3.4, -5.2, -7.6, -3.0, -8.9, -9.0, -4.8, -5.7, -7.5, -1.9, -7.6, -12.2,
         -9.8, -11.4, -14.9, -9.2, -11.3),
    ),
    "C": (
        (0.0, 0.2099, 0.2219, 0.2329, 0.2176, 0.6366, 0.6448, 0.6560, 0.6584, 0.7935, 0.8213, 0.9336, 1.2285, 1.3083,
         2.1704, 2.7105, 4.2589, 4.6003, 5.4902, 5.6077, 6.3065, 6.6374, 7.0427, 8.6523),
        (-4.4, -1.2, -3.5, -5.2, -2.5, 0.0, -2.2, -3.9, -7.4, -7.1, -10.7, -11.1, -5.1, -6.8, -8.7, -13.2, -13.9, -13.9,
         -15.8, -17.1, -16.0, -15.7, -21.6, -22.8),
    ),
    "D": (
        (0.0, 0.035, 0.612, 1.363, 1.405, 1.804, 2.596, 1.775, 4.042, 7.937, 9.424, 9.708, 12.525),
        (-13.5, -18.8, -21.0, -22.8, -17.9, -20.1, -21.9, -22.9, -27.8, -23.6, -24.8, -30.0, -27.7),
    ),
    "E": (
        (0.0, 0.5133, 0.5440, 0.5630, 0.5440, 0.7112, 1.9092, 1.9293, 1.9589, 2.6426, 3.7136, 5.4524, 12.0034, 20.6519),
        (-22.03, -15.8, -18.1, -19.8, -22.9, -22.4, -18.6, -20.8, -22.6, -22.3, -25.6, -20.2, -29.8, -29.2),
    ),
}  # fmt: skip
_DIRECT_DB = {"D": -0.2, "E": -0.03}  # the direct path, at delay 0
_DIRECT_DOPPLER = 0.7  # of the largest shift
_SPACING = 1.0 / 16.0  # times the delay spread
_MOST_FREQUENCIES = 64
_SAMPLES_AT_ONCE = 1 << 13  # clients times times whose taps are summed before the next are drawn
_PIECE = 1 << 14  # samples times frequencies summed at once: the work arrays stay in the second-level cache


@dataclass(frozen=True, kw_only=True)
class TDL(AmplitudeFading):
    """Frequency-selective fading by a tapped delay line of TR 38.901: echoes that come later fade apart.

    Formula
    -------
    With powers P_n of sum 1 and delays d_n of the profile's taps, and S the delay spread, at f Hz from the carrier::

        H(t, f) = sum_n sqrt(P_n) a_n(t) exp(-j 2 pi f S d_n),    gain = |H|^2

    a_n(t) are independent amplitudes with Clarke's spectrum, each the sum of 16 phasors of ``rayleigh`` with `fast`. In
    D and E a direct path sqrt(P_0) exp(j (2 pi 0.7 fd t + p)) comes at delay 0, p uniform over a turn for each client.
    Gains f apart are correlated as the square of abs(sum_n P_n exp(-j 2 pi f S d_n)), in A to C.

    A band B is stood for by the midpoints of F equal parts, F = 1 + B S 16 rounded up, at most 64. The effective SNR
    over them (`channels.esm`) is within 0.2 dB root mean square of that over the whole band, or 0.3 dB where 64 parts
    are less than the rule asks for, up to B S = 8.

    Validity
    --------
    0.5 to 100 GHz, bands up to 2 GHz, one antenna at each end. At any one frequency the gain is that of ``rayleigh``
    (A, B, C) or ``rician`` (D: K = 9.0 dB, E: 9.3 dB, the direct path over all else). Delays do not change with time.
    As with ``rayleigh``, a client with Doppler shift 0 keeps one gain for ever unless `doppler` is stated.

    Source
    ------
    3GPP TR 38.901 V19, Tables 7.7.2-1 to 7.7.2-5, sections 7.7.2, 7.7.3 (delays) and 7.7.6 (K factor); the tables' own
    delay spreads are 1 within 3e-4, but 0.994 for D. The number of frequencies is own.

    Options
    -------
    profile : A, B or C without a direct path (in A most power comes early, in C it is spread widely), D or E with one.
    delay_spread_s : Root mean square of the delays around their mean. Larger: the gain changes over fewer Hz, and fades
        average out within a band. TR 38.901 Table 7.7.3-1 names 10 ns very short, 30 ns short, 100 ns nominal,
        300 ns long, 1000 ns very long.
    k_db : Power of the direct path over that of all others, in D and E alone; left out, the profile's. The others are
        scaled, and the delays so that the delay spread is as stated. Larger: less fading.
    doppler_hz : Largest Doppler shift fd of every client; left out, speed times carrier over c = 299 792 458 m/s.
        Larger: the gain changes faster.
    """

    kind: Literal["tdl"] = "tdl"
    profile: Literal["A", "B", "C", "D", "E"]
    delay_spread_s: Annotated[float, Quantity("s", ge=1e-10, le=1e-3, example="100 ns")]
    k_db: Annotated[float, Quantity("dB", ge=-40, le=40)] | None = None
    doppler_hz: Doppler | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k_db is not None and self.profile not in _DIRECT_DB:
            raise OptionError("TDL", "k_db", f"profile {self.profile} has no direct path; those with one are D and E")

    def taps(self) -> tuple[float, Floats, Floats]:
        """Power of the direct path (0 without), delays in s and powers of the scattered taps; all powers sum to 1."""
        delays, powers_db = (np.array(row) for row in _TAPS[self.profile])
        powers, direct = 10.0 ** (powers_db / 10.0), 0.0
        if self.profile in _DIRECT_DB:
            direct = 10.0 ** (_DIRECT_DB[self.profile] / 10.0)
            if self.k_db is not None:
                powers *= direct / (10.0 ** (self.k_db / 10.0) * powers.sum())
        total = direct + powers.sum()
        direct, powers = direct / total, powers / total
        if self.k_db is not None:
            mean = powers @ delays
            delays /= math.sqrt(powers @ delays**2 - mean**2)
        return float(direct), self.delay_spread_s * delays, powers

    def amplitudes(
        self, stream: Stream, clients: ArrayLike, times_s: ArrayLike, doppler_hz: ArrayLike
    ) -> tuple[Floats, Floats]:
        """The two quadratures of H(t, 0), [K, T] each, of mean square 1/2."""
        in_phase, quadrature = self._response(stream, clients, times_s, doppler_hz, np.zeros(1))[..., 0]
        return np.ascontiguousarray(in_phase), np.ascontiguousarray(quadrature)

    def frequency_gain(
        self, stream: Stream, clients: ArrayLike, times_s: ArrayLike, doppler_hz: ArrayLike, offsets_hz: ArrayLike
    ) -> Floats:
        """Linear power gains [K, T, F] at offsets [F] in Hz from the carrier; the rest as in `power_gain`."""
        response = self._response(stream, clients, times_s, doppler_hz, offsets_array(offsets_hz))
        np.multiply(response, response, out=response)
        return np.asarray(response[0] + response[1])

    def offsets_hz(self, bandwidth_hz: float) -> Floats:
        """Offsets [F] in Hz whose gains stand for a band around the carrier (see the formula)."""
        bandwidth = positive("bandwidth_hz", bandwidth_hz)
        count = min(1 + math.ceil(bandwidth * self.delay_spread_s / _SPACING), _MOST_FREQUENCIES)
        return np.asarray(bandwidth / count * (np.arange(count) - 0.5 * (count - 1)))

    def quadrature(self) -> tuple[Floats, Floats]:
        """Nodes of the exponential law (A, B, C) or the Rician law (D, E)."""
        direct = self.taps()[0]
        return rician_quadrature(direct / (1.0 - direct)) if direct else exponential_quadrature()

    def _response(
        self, stream: Stream, clients: ArrayLike, times_s: ArrayLike, doppler_hz: ArrayLike, offsets: Floats
    ) -> Floats:
        """Both quadratures of H, [2, K, T, F]."""
        rows, times, doppler = checked(clients, times_s, doppler_hz, self.doppler_hz)
        direct, delays_s, powers = self.taps()
        scale = np.sqrt(powers)
        result = np.empty((2, rows.size, times.size, offsets.size))
        wide = max(1, min(times.size, _SAMPLES_AT_ONCE))
        tall = max(1, _SAMPLES_AT_ONCE // wide)
        scattered, ahead = stream.child("taps"), stream.child("direct")
        for top in range(0, rows.size, tall):
            band = slice(top, top + tall)
            for left in range(0, times.size, wide):
                window = slice(left, left + wide)
                asked = rows[band], times[window], doppler[band]
                waves = scattered_taps(scattered, len(powers), *asked).astype(np.float32)
                total = _turned_sum(waves.reshape(2, len(powers), -1), scale, delays_s, offsets)
                total = total.reshape(2, asked[0].size, asked[1].size, offsets.size)
                if direct:
                    total += math.sqrt(direct) * specular(ahead, *asked, _DIRECT_DOPPLER)[..., None]
                result[:, band, window] = total
        return result


def _turned_sum(waves: _Singles, scale: Floats, delays_s: Floats, offsets_hz: Floats) -> Floats:
    """sum_n scale_n waves_n exp(-j 2 pi offset delay_n) of [2, N, S] at offsets [F], n after n, as [2, S, F].

    The sums with cosines and with sines are kept apart, so that both serve an offset and its opposite.
    """
    sizes_hz, place = np.unique(np.abs(offsets_hz), return_inverse=True)
    sign = np.where(offsets_hz < 0.0, -1.0, 1.0).astype(np.float32)[:, None]
    turns = np.outer(delays_s, sizes_hz)
    angle = (2.0 * np.pi) * (turns - np.rint(turns))
    cosine = (scale[:, None] * np.cos(angle)).astype(np.float32)[:, None, :, None]
    sine = (scale[:, None] * np.sin(angle)).astype(np.float32)[:, None, :, None]
    samples = waves.shape[2]
    result = np.empty((2, samples, offsets_hz.size))
    step = max(1, _PIECE // max(1, sizes_hz.size))
    for first in range(0, samples, step):
        window = slice(first, first + step)
        piece = waves[:, :, None, window]
        straight, across = cosine[0] * piece[:, 0], sine[0] * piece[:, 0]
        product = np.empty_like(straight)
        for n in range(1, len(cosine)):
            np.add(straight, np.multiply(cosine[n], piece[:, n], out=product), out=straight)
            np.add(across, np.multiply(sine[n], piece[:, n], out=product), out=across)
        result[0, window] = (straight[0, place] + sign * across[1, place]).T
        result[1, window] = (straight[1, place] - sign * across[0, place]).T
    return result
