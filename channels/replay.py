"""Links of recorded rate: how many bits a trace carries between two times, and when queued packets leave.

Knows no file format, no SNR and no client; a trace repeats for ever.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.arrays import Floats, Ints, non_negative, positive, times_array
from channels.streams import Stream

OPPORTUNITY_BITS = 12_000  # 1500 bytes, the PACKET_SIZE of mahimahi
LATEST_MS = 10**12  # of a stamp: 31 years
_EDGE_MS, _ROUNDING = 1e-9, 4.0 * 2.0**-52  # as in arrays.blocks_of, and what products of large times lose
_MOST_WINDOWS = 10**7
_LATEST_S = 1e12  # 2^53 ms is further, and so is where bits would leave the integers
_DIGITS = 9  # significant, of the length of the last row: 59.999 - 59.998 is meant to be 0.001

Bits = NDArray[Any]  # int64 or float64


class Replay(ABC):
    """A link whose rate is a given function of time, repeated with a period.

    With S(t) the bits that it has offered in (0, t], and packets of b_i bits that arrive at a_i in this order, the last
    bit of packet i is served when the offer reaches v_i (Lindley's recursion, in bits)::

        v_i = max(S(a_i), v_(i-1)) + b_i,    departure d_i = min {t : S(t) >= v_i}

    What is offered while nobody waits is lost. Bits that are offered at the very time at which a packet arrives come
    too early for it.

    Source: Lindley 1952, Math. Proc. Cambridge Phil. Soc. 48(2) 277-289, doi:10.1017/S0305004100027638; cumulative
    service: Cruz 1991, doi:10.1109/18.61109.
    """

    @property
    @abstractmethod
    def period_s(self) -> float:
        """Length of one pass in s."""

    @property
    @abstractmethod
    def pass_bits(self) -> float:
        """Bits of one pass: whatever its start, a time as long as the period offers exactly these."""

    @abstractmethod
    def bits_until(self, times_s: ArrayLike) -> Bits:
        """S(t): bits offered in (0, t], of the shape of `times_s` (in s, at least 0)."""

    @abstractmethod
    def time_of(self, bits: ArrayLike) -> Floats:
        """The first time in s at which `bits` (any shape, at least 0) have been offered since time 0."""

    def bits_between(self, start_s: ArrayLike, end_s: ArrayLike) -> Bits:
        """Bits offered in (start, end]; the times broadcast. ValueError where an end lies before its start."""
        start, end = np.broadcast_arrays(non_negative("a time in s", start_s), non_negative("a time in s", end_s))
        if (end < start).any():
            raise ValueError(f"a time span must not end before it begins; got {start[end < start].flat[0]} s to "
                             f"{end[end < start].flat[0]} s")  # fmt: skip
        return np.asarray(self.bits_until(end) - self.bits_until(start))

    def departures_s(self, arrivals_s: ArrayLike, bits: ArrayLike) -> Floats:
        """When packets leave a first-in-first-out queue of any length in front of this link.

        Parameters
        ----------
        arrivals_s : array_like of float
            Times of arrival [n] in s, at least 0, not falling.
        bits : array_like of int or float
            Size of each packet [n], or one for all, above 0. Whole numbers are added up exactly.

        Returns
        -------
        ndarray
            Times [n] in s at which the last bit of each packet is served.

        Raises
        ------
        ValueError
            Arrivals that are unsorted, negative or not finite; a size that is not above 0.

        Examples
        --------
        >>> link = Rates([0.0], [12_000.0])
        >>> link.departures_s([0.0, 0.5, 3.0], 12_000).tolist()
        [1.0, 2.0, 4.0]
        """
        arrivals = times_array(arrivals_s)
        if (np.diff(arrivals) < 0.0).any():
            late = int(np.argmax(np.diff(arrivals) < 0.0)) + 1
            raise ValueError(
                f"arrivals must not fall; arrival {late} is {arrivals[late]} s after {arrivals[late - 1]} s"
            )
        sizes = np.asarray(bits)
        sizes = sizes.astype(np.int64 if sizes.dtype.kind in "iu" else np.float64)
        if sizes.size and not (sizes.min() > 0 and sizes.max() < np.inf):
            raise ValueError(f"a packet's size in bit must be finite and above 0; got {sizes.min()}")
        sizes = np.broadcast_to(sizes, arrivals.shape)
        ends = np.cumsum(sizes)
        levels = np.maximum.accumulate(self.bits_until(arrivals) - (ends - sizes)) + ends
        return np.maximum(self.time_of(levels), arrivals)


class Packets(Replay):
    """A trace of mahimahi: milliseconds, each a chance to deliver 1500 bytes.

    A stamp may repeat, and the first ones may be 0. The trace repeats with its last stamp as period: stamps 0 of the
    next pass fall on the last of this one. As in mahimahi, a packet that arrives in the millisecond of a chance has
    missed it, sizes count to the byte, and several small packets share a chance.

    Source: the README of ``traces`` and ``link_queue.cc`` in mahimahi, https://github.com/ravinet/mahimahi; Netravali
    et al. 2015, USENIX ATC, *Mahimahi: Accurate Record-and-Replay for HTTP*.

    Parameters
    ----------
    stamps_ms : array_like of int
        Stamps [n] in ms, at least 0, not falling, the last one above 0.

    Raises
    ------
    ValueError
        Anything else.
    """

    def __init__(self, stamps_ms: ArrayLike) -> None:
        stamps = np.asarray(stamps_ms)
        if stamps.dtype.kind not in "iu" or stamps.ndim != 1 or not stamps.size:
            raise ValueError(f"stamps must be a list of whole milliseconds; got {stamps.dtype} of shape {stamps.shape}")
        if stamps.min() < 0 or (np.diff(stamps) < 0).any() or not 0 < stamps[-1] <= LATEST_MS:
            raise ValueError(f"stamps must be at least 0 ms and not fall, and the last must be above 0 and at most "
                             f"{LATEST_MS} ms")  # fmt: skip
        self.stamps_ms: Ints = stamps.astype(np.int64)
        self.stamps_ms.flags.writeable = False
        self._at_zero = int(np.searchsorted(self.stamps_ms, 0, side="right"))

    @property
    def period_s(self) -> float:
        """The last stamp, in s."""
        return float(self.stamps_ms[-1]) / 1e3

    @property
    def pass_bits(self) -> int:
        """12 000 bit a stamp."""
        return self.stamps_ms.size * OPPORTUNITY_BITS

    def bits_until(self, times_s: ArrayLike) -> Bits:
        """S(t) as int64; a time within 1e-9 ms below a millisecond counts as it."""
        passes, rest = np.divmod(_milliseconds(times_s), self.stamps_ms[-1])
        seen = passes * self.stamps_ms.size + np.searchsorted(self.stamps_ms, rest, side="right") - self._at_zero
        return np.asarray(seen * OPPORTUNITY_BITS)

    def time_of(self, bits: ArrayLike) -> Floats:
        """The stamp of the chance that brings the offer to `bits`."""
        wanted = np.asarray(bits)
        if wanted.dtype.kind in "iu":
            chances = -(-wanted.astype(np.int64) // OPPORTUNITY_BITS)
        else:
            chances = np.ceil(non_negative("bits", wanted) / OPPORTUNITY_BITS).astype(np.int64)
        passes, place = np.divmod(chances - 1 + self._at_zero, self.stamps_ms.size)
        stamps = passes * self.stamps_ms[-1] + self.stamps_ms[place]
        return np.asarray(np.where(chances > 0, stamps, 0) / 1e3)

    def rates(self, window_s: float) -> Rates:
        """The mean rate in each window of time from 0 on, the last one cut off at the end of the pass.

        A pass of it carries the bits of a pass of the trace; what is recorded at time 0 counts at the end.
        """
        window = positive("window_s", window_s)
        if self.period_s / window > _MOST_WINDOWS:
            raise ValueError(
                f"a window of {window} s cuts a pass of {self.period_s} s into more than {_MOST_WINDOWS} parts"
            )
        whole = max(1, int(np.ceil(self.period_s / window - _EDGE_MS)))
        starts = np.arange(whole) * window
        bits = np.diff(np.concatenate((self.bits_until(starts), [self.pass_bits])))
        lengths = np.diff(np.concatenate((starts, [self.period_s])))
        return Rates(starts, bits / lengths, self.period_s)


class Steps:
    """Values that hold from one time to the next, and begin again after a period.

    Parameters
    ----------
    times_s : array_like of float
        Times [n] in s, rising. The first one counts as time 0 of the trace.
    values : array_like of float
        Finite values [n], each from its time to the next.
    period_s : float, optional
        Time from the first row to its repetition, above the last. Left out, the last row lasts as long as the one
        before it; a single row holds for ever.

    Raises
    ------
    ValueError
        Lists that are empty or of unlike lengths, times that do not rise, numbers that are not finite.
    """

    def __init__(self, times_s: ArrayLike, values: ArrayLike, period_s: float | None = None) -> None:
        times, steps = np.asarray(times_s, dtype=np.float64), np.array(values, dtype=np.float64)
        if times.ndim != 1 or times.shape != steps.shape or not times.size:
            raise ValueError(f"times and values must be lists of one length; got {times.shape} and {steps.shape}")
        if not (np.isfinite(times).all() and np.isfinite(steps).all()):
            raise ValueError("times and values must be finite")
        if (np.diff(times) <= 0.0).any():
            raise ValueError("times must rise")
        self.starts_s = times - times[0]
        last = float(self.starts_s[-1])
        length = float(f"{times[-1] - times[-2]:.{_DIGITS}g}") if times.size > 1 else 1.0
        self.period_s = last + length if period_s is None else float(period_s)
        if not last < self.period_s < np.inf:
            raise ValueError(f"a period must be above the last time, {last} s; got {self.period_s} s")
        self.values = steps
        self.starts_s.flags.writeable = self.values.flags.writeable = False

    @property
    def lengths_s(self) -> Floats:
        """How long each value holds in a pass, [n] in s."""
        return np.diff(self.starts_s, append=self.period_s)

    def at(self, times_s: ArrayLike) -> Floats:
        """The values at times in s (any shape, at least 0)."""
        _, phase = self.turns(times_s)
        return np.asarray(self.values[np.searchsorted(self.starts_s, phase, side="right") - 1])

    def turns(self, times_s: ArrayLike) -> tuple[Floats, Floats]:
        """Passes completed at each time, and the time in s since the last of them, in [0, period)."""
        times = non_negative("a time in s", times_s)
        passes = _floor(times / self.period_s)
        return passes, np.clip(times - passes * self.period_s, 0.0, np.nextafter(self.period_s, 0.0))


class Rates(Replay):
    """A link whose rate holds from one time to the next (see `Steps` for the last row and the repetition).

    Bits flow evenly, so a packet may leave at any time; one row is a link of fixed rate.

    Parameters
    ----------
    times_s, rates_bps : array_like of float
        Times [n] in s, rising, and the rate in bit/s from each to the next, at least 0 and not all 0.
    period_s : float, optional

    Raises
    ------
    ValueError
        Lists that do not fit `Steps`, a rate below 0, no rate above 0.
    """

    def __init__(self, times_s: ArrayLike, rates_bps: ArrayLike, period_s: float | None = None) -> None:
        self.steps = Steps(times_s, non_negative("a rate in bit/s", rates_bps), period_s)
        if not self.steps.values.any():
            raise ValueError("a link needs a rate above 0 bit/s at some time")
        self._edges_s = np.append(self.steps.starts_s, self.steps.period_s)
        self._bits = np.concatenate(([0.0], np.cumsum(self.steps.values * np.diff(self._edges_s))))

    @property
    def period_s(self) -> float:
        """Time from the first row to its repetition in s."""
        return self.steps.period_s

    @property
    def pass_bits(self) -> float:
        """The sum of rate times length over the rows."""
        return float(self._bits[-1])

    def bits_until(self, times_s: ArrayLike) -> Bits:
        """S(t) as float64."""
        passes, phase = self.steps.turns(times_s)
        return np.asarray(passes * self.pass_bits + np.interp(phase, self._edges_s, self._bits))

    def time_of(self, bits: ArrayLike) -> Floats:
        """Where the offer, linear between the rows, reaches `bits`."""
        wanted = non_negative("bits", bits)
        passes = np.maximum(-_floor(-wanted / self.pass_bits) - 1.0, 0.0)
        rest = np.clip(wanted - passes * self.pass_bits, 0.0, self.pass_bits)
        row = np.maximum(np.searchsorted(self._bits, rest, side="left") - 1, 0)
        rate = self.steps.values[row]  # above 0 unless nothing is wanted
        into_s = np.divide(rest - self._bits[row], rate, out=np.zeros_like(rest), where=rest > 0.0)
        return np.asarray(passes * self.period_s + np.minimum(self._edges_s[row] + into_s, self._edges_s[row + 1]))


def md1_wait(stream: Stream, load: float, packets: int) -> tuple[float, float]:
    """Mean wait of Poisson arrivals at a link of fixed rate, measured by `Replay.departures_s`, and as theory has it.

    With service time D and load p (arrivals a second times D), the M/D/1 queue makes packets wait
    W = D p / (2 (1 - p)) in the mean before their service begins.

    Source: Pollaczek-Khinchine; Kleinrock, *Queueing Systems*, volume 1, section 5.6.

    Parameters
    ----------
    stream : Stream
        Gaps between arrivals are drawn from it.
    load : float
        p, above 0 and below 1.
    packets : int
        How many arrive, the first to an empty queue.

    Returns
    -------
    measured, expected : float
        Waits in service times.

    Examples
    --------
    >>> measured, expected = md1_wait(Stream.root(1), 0.5, 100_000)
    >>> expected, abs(measured / expected - 1) < 0.07
    (0.5, True)
    """
    if not 0.0 < load < 1.0:
        raise ValueError(f"a load must be above 0 and below 1; got {load}")
    if packets < 1:
        raise ValueError(f"packets must be at least 1; got {packets}")
    arrivals = np.cumsum(stream.exponential(0, np.arange(packets))) / load
    link = Rates([0.0], [float(OPPORTUNITY_BITS)])  # one packet a second
    waits = link.departures_s(arrivals, OPPORTUNITY_BITS) - arrivals - 1.0
    return float(waits.mean()), load / (2.0 * (1.0 - load))


def _milliseconds(times_s: ArrayLike) -> Ints:
    """The last whole millisecond at or before each time; ValueError above 10^12 s."""
    times = non_negative("a time in s", times_s)
    if times.size and times.max() > _LATEST_S:
        raise ValueError(f"a time must be at most {_LATEST_S:g} s; got {times.max()} s")
    return _floor(times * 1e3, _EDGE_MS).astype(np.int64)


def _floor(values: Floats, edge: float = 0.0) -> Floats:
    """Whole numbers at or below; what rounding has put just below one, or what is within `edge` of it, counts as it."""
    nearest = np.rint(values)
    is_edge = np.abs(values - nearest) <= np.maximum(edge, _ROUNDING * np.abs(values))
    return np.asarray(np.where(is_edge, nearest, np.floor(values)))
