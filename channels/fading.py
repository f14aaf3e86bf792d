"""Fast fading: the power gain of a link around its mean, as a function of time.

Knows no path loss, no SNR and no rate. A gain is linear, of mean 1 over the ensemble of clients and seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from channels.amplitudes import AmplitudeFading, Doppler, checked, power
from channels.arrays import Floats, blocks_of
from channels.gainlaws import exponential_quadrature, gamma_map, gamma_quadrature, rician_quadrature
from channels.options import Options
from channels.sinusoids import scattered, specular
from channels.streams import Stream
from channels.tdl import TDL
from channels.units import Quantity, Seconds

_MOST_SQUARES = 16  # Gaussian quadratures of the Nakagami model: eight times the work of Rayleigh fading


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
    8. A model whose gain differs within a band is also `Selective`.
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


@runtime_checkable
class Selective(Protocol):
    """What a fading model does besides where its gain differs within a band.

    1. ``frequency_gain(stream, clients, times_s, doppler_hz, offsets_hz)`` returns float64 [K, T, F]: the gains at F
       frequencies, in Hz from the carrier and of either sign. At offset 0 it is ``power_gain`` bit for bit, and at any
       frequency it obeys the same law.
    2. ``offsets_hz(bandwidth_hz)`` returns the offsets [F] whose gains, of equal weight, stand for that band.
    """

    def frequency_gain(
        self, stream: Stream, clients: ArrayLike, times_s: ArrayLike, doppler_hz: ArrayLike, offsets_hz: ArrayLike
    ) -> Floats:
        """Linear power gains [K, T, F]."""
        ...

    def offsets_hz(self, bandwidth_hz: float) -> Floats:
        """Offsets [F] in Hz from the carrier."""
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
        rows, times, _ = checked(clients, times_s, doppler_hz)
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
        rows, times, _ = checked(clients, times_s, doppler_hz)
        blocks = blocks_of(times, self.block_s)
        if blocks.size == 1:
            return stream.exponential(rows[:, None], blocks)
        distinct, position = np.unique(blocks, return_inverse=True)
        return stream.exponential(rows[:, None], distinct[None, :])[:, position]

    def quadrature(self) -> tuple[Floats, Floats]:
        """Nodes of the exponential law (see `exponential_quadrature`)."""
        return exponential_quadrature()


@dataclass(frozen=True)
class Rayleigh(AmplitudeFading):
    """Rayleigh fading with Clarke's Doppler spectrum, as a sum of sinusoids with random angles and phases.

    The gain at t is that at the nearest nanosecond; phases are held in double precision and cosines in single, so
    amplitudes are good to 1e-6 of their root mean square.

    Formula
    -------
    With N = 40 oscillators per quadrature and Doppler shift fd::

        X_I(t) = sqrt(1/N) sum_n cos(2 pi fd t cos a_n + p_n)
        X_Q(t) = sqrt(1/N) sum_n cos(2 pi fd t sin a_n + q_n),    a_n = (2 pi n - pi + theta) / (4 N)
        power gain = X_I^2 + X_Q^2

    theta, p_n and q_n are uniform over a turn, drawn once for each client. The ensemble autocorrelation of each
    quadrature is exactly J0(2 pi fd tau) / 2. The gain is exponential but for terms of order 1/N: its variance is
    1 - 3/(4N) = 0.981, and its distribution function is off by 0.0022 at most.

    Validity
    --------
    A narrow band (flat fading), rich scattering all around the client, no direct path. A client with Doppler shift 0
    keeps one gain for ever: if the link of a static client is to vary, state `doppler` (the motion of its
    surroundings) or take block fading.

    Source
    ------
    Zheng and Xiao 2003, IEEE Trans. Commun. 51(6) 920-928, and 2002, IEEE Commun. Lett. 6(6) 256-258; the spectrum:
    Clarke 1968, Jakes 1974; the fast sum: Xiao, Zheng and Beaulieu 2006, IEEE Trans. Wireless Commun. 5(12) 3667-3679.

    Options
    -------
    doppler_hz : Doppler shift fd of every client; left out, speed times carrier over c = 299 792 458 m/s. Larger: the
        gain changes faster; after about 0.4 / fd seconds it is another.
    fast : Sum 16 phasors, at twice the speed. The autocorrelation is J0 still; the law is less exact, with a variance
        of the gain of 1 - 1/16 = 0.94, and a Kolmogorov-Smirnov test of 1e5 samples tells it from an exponential.
    """

    kind: Literal["rayleigh"] = "rayleigh"
    doppler_hz: Doppler | None = None
    fast: bool = False

    def amplitudes(
        self, stream: Stream, clients: ArrayLike, times_s: ArrayLike, doppler_hz: ArrayLike
    ) -> tuple[Floats, Floats]:
        """The two quadratures X_I and X_Q, [K, T] each, of variance 1/2."""
        rows, times, doppler = checked(clients, times_s, doppler_hz, self.doppler_hz)
        in_phase, quadrature = scattered(stream, rows, times, doppler, self.fast)
        return in_phase, quadrature

    def quadrature(self) -> tuple[Floats, Floats]:
        """Nodes of the exponential law (see `exponential_quadrature`)."""
        return exponential_quadrature()


@dataclass(frozen=True, kw_only=True)
class Rician(AmplitudeFading):
    """Rician fading: a direct path, K times as strong as all the waves from around it together.

    Formula
    -------
    With the K factor as a ratio and the scattered amplitude X(t) of ``rayleigh``::

        Z(t) = sqrt(1/(1 + K)) X(t) + sqrt(K/(1 + K)) exp(j (2 pi fd t cos b + p)),    power gain = |Z|^2

    The angle b at which the direct path arrives and its phase p are uniform over a turn, drawn once for each client.
    P(gain < x) = 1 - Q1(sqrt(2 K), sqrt(2 (1 + K) x)), the Marcum Q function.

    Validity
    --------
    A narrow band, one dominant path that keeps its strength and its angle, and rich scattering around the client. As
    with ``rayleigh``, a client with Doppler shift 0 keeps one gain for ever unless `doppler` is stated.

    Source
    ------
    Xiao, Zheng and Beaulieu 2006, IEEE Trans. Wireless Commun. 5(12) 3667-3679; the law: Simon and Alouini, *Digital
    Communication over Fading Channels*, section 2.2.1.

    Options
    -------
    k_db : Power of the direct path over that of all others. Larger: less fading; far below 0 dB it is Rayleigh fading.
    doppler_hz : Largest Doppler shift fd of every client; left out, speed times carrier over c = 299 792 458 m/s.
        Larger: the gain changes faster.
    """

    kind: Literal["rician"] = "rician"
    k_db: Annotated[float, Quantity("dB", ge=-40, le=40)]
    doppler_hz: Doppler | None = None

    @property
    def k(self) -> float:
        """The K factor as a ratio."""
        return float(10.0 ** (self.k_db / 10.0))

    def amplitudes(
        self, stream: Stream, clients: ArrayLike, times_s: ArrayLike, doppler_hz: ArrayLike
    ) -> tuple[Floats, Floats]:
        """The two quadratures of Z, [K, T] each, of mean square 1/2."""
        rows, times, doppler = checked(clients, times_s, doppler_hz, self.doppler_hz)
        total = scattered(stream, rows, times, doppler)
        direct = specular(stream.child("direct"), rows, times, doppler)
        np.multiply(total, math.sqrt(1.0 / (1.0 + self.k)), out=total)
        np.multiply(direct, math.sqrt(self.k / (1.0 + self.k)), out=direct)
        in_phase, quadrature = np.add(total, direct, out=total)
        return in_phase, quadrature

    def quadrature(self) -> tuple[Floats, Floats]:
        """Nodes of the Rician law (see `rician_quadrature`)."""
        return rician_quadrature(self.k)


@dataclass(frozen=True, kw_only=True)
class Nakagami(Options):
    """Nakagami-m fading: a law that measurements often fit, from deeper fades than Rayleigh's to none.

    Formula
    -------
    The gain X is gamma distributed with shape m and mean 1: P(X < x) = P(m, m x). With n the whole number nearest to
    2 m, but at most 16, and n independent quadratures of ``rayleigh``, G_1 to G_n, of variance 1/2::

        Y(t) = (G_1^2 + ... + G_n^2) / (n/2),    X(t) = F_m^-1(F_(n/2)(Y(t)))

    F_s is the law of shape s; where 2 m is n, as at 0.5, 1, 1.5 to 8, X is Y itself, and m = 1 is ``rayleigh`` bit for
    bit. The autocorrelation of Y is J0(2 pi fd tau)^2, that of X within 0.004 of it.

    Validity
    --------
    A narrow band. Level crossings and fade durations are those of the Nakagami process (Yacoub, Bautista and Guedes
    1999) where 2 m is n; for other m, above 8 above all, those of Y at the level of the same outage. As with
    ``rayleigh``, a client with Doppler shift 0 keeps one gain for ever unless `doppler` is stated.

    Source
    ------
    Nakagami 1960, *The m-Distribution*, in Statistical Methods in Radio Wave Propagation, 3-36; Simon and Alouini,
    *Digital Communication over Fading Channels*, section 2.2.1; sums of squares: Yacoub, Bautista and Guedes 1999,
    IEEE Trans. Veh. Technol. 48(3) 790-794; the map of ranks is own.

    Options
    -------
    m : Shape of the law: 0.5 is one-sided Gaussian, 1 Rayleigh. Larger: less fading. Up to 8 the
        time to compute grows as m.
    doppler_hz : Doppler shift fd of every client; left out, speed times carrier over c = 299 792 458 m/s. Larger: the
        gain changes faster.
    """

    kind: Literal["nakagami"] = "nakagami"
    m: Annotated[float, Quantity("1", ge=0.5, le=100, example="2")]
    doppler_hz: Doppler | None = None

    def power_gain(self, stream: Stream, clients: ArrayLike, times_s: ArrayLike, doppler_hz: ArrayLike) -> Floats:
        """Linear power gains [K, T]; `doppler_hz` ([K] or one number) gives way to the option so named."""
        rows, times, doppler = checked(clients, times_s, doppler_hz, self.doppler_hz)
        count = min(max(1, round(2.0 * self.m)), _MOST_SQUARES)
        gain = np.zeros((rows.size, times.size))
        for pair in range(0, count, 2):
            in_phase, quadrature = scattered(
                stream if pair == 0 else stream.child(f"pair {pair // 2}"), rows, times, doppler
            )
            gain += in_phase**2 if pair + 1 == count else power(in_phase, quadrature)
        gain /= 0.5 * count
        return gain if count == 2.0 * self.m else gamma_map(0.5 * count, self.m)(gain)

    def quadrature(self) -> tuple[Floats, Floats]:
        """Nodes of the gamma law (see `gamma_quadrature`)."""
        return gamma_quadrature(self.m)


FADING: dict[str, type[NoFading] | type[BlockRayleigh] | type[Rayleigh] | type[Rician] | type[Nakagami] | type[TDL]] = {
    "none": NoFading,
    "block": BlockRayleigh,
    "rayleigh": Rayleigh,
    "rician": Rician,
    "nakagami": Nakagami,
    "tdl": TDL,
}
