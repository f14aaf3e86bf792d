"""Links that replay recordings: files of rate or SNR against time in place of path loss, shadowing and fading.

Knows the rate model by which a recorded rate becomes an SNR, and the band and power that it was recorded with; where
clients are changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, Ints, clients_array, times_array
from channels.files import File, FileError
from channels.linkadaptation import LinkAdaptation
from channels.links import LOWEST_GAIN_DB, Direction
from channels.mobility import Mobility, Placement
from channels.options import Options
from channels.replay import Packets, Steps
from channels.streams import Stream
from channels.tracefiles import RATES, Trace, read_trace
from channels.units import Delay, Quantity, rendered

CLIENT = "{client}"
# A modem reaches some 10 bit/s/Hz, at 31 dB; a rate that asks for more than this was not recorded in such a band.
HIGHEST_SNR_DB = 100.0
_INVERTED = 1e-9  # relative: how well the SNR of a rate must give the rate back
_LOG_STEPS = 256
_LOWEST_GAIN = 10.0 ** (LOWEST_GAIN_DB / 10.0)
_DIRECTIONS: tuple[Direction, Direction] = ("up", "down")


@dataclass(frozen=True)
class Band:
    """What a recording is taken to have had for itself: the whole band of a direction, at full power.

    `power_w` is the power of the transmitter, `noise_w_per_hz` the noise density of the receiver, `overhead` the share
    of the rate that pilots and control take.
    """

    bandwidth_hz: float
    power_w: float
    noise_w_per_hz: float
    overhead: float = 0.0

    @property
    def gain_of_snr(self) -> float:
        """The gain of a link of linear SNR 1 over the whole band: N b / P."""
        return self.noise_w_per_hz * self.bandwidth_hz / self.power_w

    def snr_of_rate(self, rate_bps: Floats, adaptation: LinkAdaptation) -> Floats:
        """The linear SNR at which a rate model gives each goodput (any shape) over the whole band.

        For Shannon's formula with a gap::

            snr = gap (2^(rate / (b (1 - overhead))) - 1)

        Raises
        ------
        ValueError
            A rate model other than that; a rate above what it gives at 100 dB.
        """
        gap = getattr(adaptation, "gap", None)
        if gap is None:
            raise ValueError(f"a recorded rate needs a rate model with a gap, which {adaptation.kind} is not")
        net_hz = self.bandwidth_hz * (1.0 - self.overhead)
        highest_bps = net_hz * float(adaptation.efficiency(10.0 ** (HIGHEST_SNR_DB / 10.0)))
        if rate_bps.size and rate_bps.max() > highest_bps:
            raise ValueError(
                f"{rendered(float(f'{rate_bps.max():.4g}'), 'bit/s')} is more than {rendered(self.bandwidth_hz, 'Hz')} "
                f"carries, at most {rendered(float(f'{highest_bps:.4g}'), 'bit/s')} at {HIGHEST_SNR_DB:g} dB"
            )
        wanted = rate_bps / net_hz
        snr = gap * np.expm1(wanted * np.log(2.0))
        if not np.allclose(adaptation.efficiency(snr), wanted, rtol=_INVERTED, atol=0.0):
            raise ValueError(f"a recorded rate needs a rate model with an inverse, which {adaptation.kind} has not")
        return np.asarray(snr)


@dataclass(frozen=True, kw_only=True)
class Recorded(Options):
    """Links that replay a file, in place of path loss, penetration, shadowing and fading.

    A file is a mahimahi trace (one millisecond a line, each a chance to deliver 1500 bytes; the last stamp is the
    period) or a CSV with a header: ``time_s`` and ``rate_bps`` or ``snr_db``, or ``up_bps`` and ``down_bps``. A value
    holds until the next row, the last one as long as the one before it; then the recording begins again.

    Formula
    -------
    What was recorded is taken for a client that had the whole band of the direction to itself, at full power. An SNR
    is that client's; a rate r is turned into the SNR at which radio.rate gives it in that band b::

        b efficiency(SNR) (1 - overhead) = r

    A client that is granted a part of the uplink band spreads its power over that part alone, as over a modelled link:
    its SNR is higher by b / part, and its rate less than r, but more than its part of r. Packet loss and headers come
    off the rate as everywhere. A rate of 0 is no gain at all.

    CSI of kind ``large_scale`` is the mean gain over the recordings, and the law of the gain around it that of the
    recordings, so the ergodic rate in the whole band is their mean rate.

    Options
    -------
    file : File of both directions, or of the uplink if `downlink_file` is given. With ``{client}`` in its name, one
        file for each client: ``traces/{client}.csv`` for 0.csv, 1.csv and so on.
    downlink_file : File of the downlink, also one for each client. Left out, `file` serves both directions: up_bps and
        down_bps each its own, any other column both.
    offset_s : Where in its recording every client starts. Left out, clients that share a file start at places of their
        own, whole milliseconds drawn from the seed, and others at its beginning.
    window_s : Time over which the packets of a mahimahi trace make a rate. Shorter: burstier, with an SNR that is that
        of packets and not of a link.
    """

    file: Annotated[str, File("a recorded link", example="up.trace")]
    downlink_file: Annotated[str, File("a recorded link", example="up.trace")] | None = None
    offset_s: Delay | None = None
    window_s: Annotated[float, Quantity("s", ge=1e-3, le=1e6)] = 0.1

    @property
    def shared(self) -> bool:
        """Whether all clients share the file."""
        return CLIENT not in self.file and CLIENT not in (self.downlink_file or "")

    def name(self, direction: Direction, client: int) -> str:
        """The file of a client's direction."""
        file = self.downlink_file if direction == "down" and self.downlink_file is not None else self.file
        return file.replace(CLIENT, str(client))

    def load(self) -> None:
        """Read the files of client 0; FileError where one cannot be read."""
        for direction in _DIRECTIONS:
            read_trace(self.name(direction, 0))

    def gains(self, direction: Direction, client: int, band: Band, adaptation: LinkAdaptation) -> Steps:
        """The gain of a client's link as a function of time, from 0 on, at least 1e-30.

        Raises
        ------
        FileError
            A file that cannot be read, has no column for the direction, or holds a rate that the band cannot carry.
        """
        name = self.name(direction, client)
        try:
            return _gains(read_trace(name), direction, self.window_s, band, adaptation)
        except ValueError as error:
            raise error if isinstance(error, FileError) else FileError(f"{name}: {error}") from None


def _gains(trace: Trace, direction: Direction, window_s: float, band: Band, adaptation: LinkAdaptation) -> Steps:
    if isinstance(trace, Packets):
        steps = trace.rates(window_s).steps
        snr = band.snr_of_rate(steps.values, adaptation)
    else:
        column = trace.column(direction)
        steps = Steps(trace.times_s, trace.columns[column])
        snr = band.snr_of_rate(steps.values, adaptation) if column in RATES else 10.0 ** (steps.values / 10.0)
    return Steps(steps.starts_s, np.maximum(snr * band.gain_of_snr, _LOWEST_GAIN), steps.period_s)


@dataclass(frozen=True)
class EmpiricalLaw:
    """The law of recorded gains around their mean, as `quadrature` nodes.

    At most 256 gains stand as they are. More are gathered in 256 steps that are even in the logarithm, over the 120 dB
    below the highest, each with its mean. The mean gain stays exact; a mean of ln(1 + g X) may rise by 1/8 of the
    squared step, 0.0015. What is more than 120 dB down counts as one gain.
    """

    gains: tuple[float, ...]
    weights: tuple[float, ...]

    @classmethod
    def of(cls, recordings: list[Steps]) -> EmpiricalLaw:
        """The law of gain over mean gain, of all recordings together, each counting alike."""
        gain = np.concatenate([steps.values / _mean(steps) for steps in recordings])
        weight = np.concatenate([steps.lengths_s / (steps.period_s * len(recordings)) for steps in recordings])
        levels, place = np.unique(gain, return_inverse=True)
        if levels.size > _LOG_STEPS:
            log_step = 12.0 * np.log(10.0) / _LOG_STEPS
            down = np.log(gain.max()) - np.log(gain)
            place = np.minimum((down / log_step).astype(np.int64), _LOG_STEPS)
        share = np.bincount(place, weights=weight)
        total = np.bincount(place, weights=weight * gain)
        held = share > 0.0
        share, total = share[held] / share.sum(), total[held] / total.sum()
        return cls(gains=tuple((total / share).tolist()), weights=tuple(share.tolist()))

    def quadrature(self) -> tuple[Floats, Floats]:
        """Gains [J] of mean 1 and weights [J]."""
        return np.array(self.gains), np.array(self.weights)


def _mean(steps: Steps) -> float:
    """The mean of the values over a pass."""
    return float((steps.values * steps.lengths_s).sum() / steps.period_s)


class RecordedLinks:
    """Gains between a base station and its clients that follow recordings: a `channels.links.LinkModel`.

    Uplink and downlink are not reciprocal: each direction has the gain at which its own band and power give what was
    recorded.

    Parameters
    ----------
    stream : Stream
        Drawn offsets come from its child ``recorded``, by client; ``placement`` and ``mobility`` as in `Links`.
    clients : int
        How many clients there are, numbered from 0.
    recorded : Recorded
    bands : mapping of {"up", "down"} to Band
    adaptation : LinkAdaptation
        The rate model, by which a recorded rate becomes an SNR.
    placement, mobility
        Where clients are, for the record alone: distances that are shown, not gains, depend on it.

    Raises
    ------
    FileError
        See `Recorded.gains`.
    """

    reciprocal = False
    warnings: tuple[str, ...] = ()

    def __init__(
        self,
        stream: Stream,
        clients: int,
        *,
        recorded: Recorded,
        bands: Mapping[Direction, Band],
        adaptation: LinkAdaptation,
        placement: Placement,
        mobility: Mobility,
    ) -> None:
        self.clients = np.arange(clients)
        self.recorded = recorded
        self.trajectory = mobility.trajectory(stream, placement, self.clients, clients)
        files, self._file = np.unique(self.clients * (not recorded.shared), return_inverse=True)
        self._gains: dict[Direction, list[Steps]] = {direction: [] for direction in _DIRECTIONS}
        for file in files.tolist():
            for direction, gains in self._gains.items():
                gains.append(recorded.gains(direction, file, bands[direction], adaptation))
        self._mean_db = {
            direction: np.array([10.0 * np.log10(_mean(steps)) for steps in self._gains[direction]])
            for direction in _DIRECTIONS
        }
        self._laws = {direction: EmpiricalLaw.of(gains) for direction, gains in self._gains.items()}
        self.offset_s = self._offsets(stream)

    def noted(self) -> list[Any]:
        """Nothing: there are no warnings."""
        return []

    def note(self, noted: list[Any]) -> None:
        """Nothing was noted."""

    def fading_of(self, direction: Direction) -> EmpiricalLaw:
        """The law of a direction's gains around their means."""
        return self._laws[direction]

    def _offsets(self, stream: Stream) -> Floats:
        if self.recorded.offset_s is not None:
            return np.full(self.clients.size, self.recorded.offset_s)
        if not self.recorded.shared:
            return np.zeros(self.clients.size)
        longest_s = max(self._gains[direction][0].period_s for direction in _DIRECTIONS)
        share = stream.child("recorded").uniform(self.clients, 0)
        return np.floor(share * longest_s * 1e3) / 1e3

    def gain(
        self,
        times_s: ArrayLike,
        clients: ArrayLike | None = None,
        *,
        direction: Direction = "up",
        offsets_hz: ArrayLike | None = None,
    ) -> Floats:
        """The gain as a ratio of powers, [K, T], or [K, T, F] where `offsets_hz` [F] is given: the same at all of them.

        Parameters
        ----------
        times_s : array_like of float
            Times [T] in s, at least 0.
        clients : array_like of int, optional
            Those wanted, [K]; default all.
        direction : {"up", "down"}
        """
        times, rows = times_array(times_s), self._rows(clients)
        gain = np.empty((rows.size, times.size))
        of_row = self._file[rows]
        for file in np.unique(of_row):  # one look-up a recording, whoever shares it
            mine = np.flatnonzero(of_row == file)
            gain[mine] = self._gains[direction][file].at(times + self.offset_s[rows[mine], None])
        return gain if offsets_hz is None else np.repeat(gain[..., None], np.size(offsets_hz), axis=-1)

    def gain_db(
        self,
        times_s: ArrayLike,
        clients: ArrayLike | None = None,
        *,
        direction: Direction = "up",
        offsets_hz: ArrayLike | None = None,
    ) -> Floats:
        """The same in dB, at least -300 dB."""
        return np.asarray(10.0 * np.log10(self.gain(times_s, clients, direction=direction, offsets_hz=offsets_hz)))

    def large_scale_db(
        self, times_s: ArrayLike, clients: ArrayLike | None = None, *, direction: Direction = "up"
    ) -> Floats:
        """The mean gain of each client's recording, [K, T] in dB, the same at all times."""
        times, rows = times_array(times_s), self._rows(clients)
        return np.repeat(self._mean_db[direction][self._file[rows]][:, None], times.size, axis=1)

    def offsets_hz(self, bandwidth_hz: float) -> Floats:
        """0 alone: a recording holds one gain for the whole band."""
        return np.zeros(1)

    def _rows(self, clients: ArrayLike | None) -> Ints:
        if clients is None:
            return self.clients
        rows = clients_array(clients)
        if rows.size and rows.max() >= self.clients.size:
            raise ValueError(f"client {rows.max()} is not one of {self.clients.size}")
        return rows
