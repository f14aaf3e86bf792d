"""The links of a cell: path loss, shadowing, fading and antennas joined into one gain a client and time.

Knows no power, bandwidth or noise: SNR is the radio's, since it depends on what a client is granted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import SPEED_OF_LIGHT_MPS, Floats, clients_array, positive, times_array
from channels.fading import Fading
from channels.mobility import Mobility, Placement
from channels.pathloss import PathLoss
from channels.shadowing import Shadowing
from channels.streams import Stream

LOWEST_GAIN_DB = -300.0


class Links:
    """Gains between one base station and its clients, as functions of time.

    Uplink and downlink share one gain: the channel is reciprocal and both directions use the same carrier
    (TDD).

    Parameters
    ----------
    stream : Stream
        Its children ``placement``, ``mobility``, ``shadowing`` and ``fading`` are drawn from, each by client, so that
        changing one model leaves the values of the others as they are.
    clients : int or array_like of int
        How many clients (numbered from 0), or the numbers of those wanted.
    carrier_hz : float
        Carrier frequency in Hz.
    path_loss, shadowing, fading, placement, mobility
        The models; see the contract in the module of each.
    antenna_gain_db : float
        Gains of both antennas together, cable losses taken off, in dB.
    count : int, optional
        How many clients the cell has, where `clients` names only some. Only a placement by number needs it.

    Raises
    ------
    ValueError
        A carrier that is not finite and above 0; an antenna gain that is not finite; a client number out of range.
    """

    def __init__(
        self,
        stream: Stream,
        clients: int | ArrayLike,
        *,
        carrier_hz: float,
        path_loss: PathLoss,
        shadowing: Shadowing,
        fading: Fading,
        placement: Placement,
        mobility: Mobility,
        antenna_gain_db: float = 0.0,
        count: int | None = None,
    ) -> None:
        self.clients = clients_array(range(clients) if isinstance(clients, (int, np.integer)) else clients)
        self.carrier_hz = positive("carrier_hz", carrier_hz)
        if not np.isfinite(antenna_gain_db):
            raise ValueError(f"antenna_gain_db must be finite; got {antenna_gain_db}")
        self.antenna_gain_db = float(antenna_gain_db)
        self.path_loss, self.shadowing, self.fading = path_loss, shadowing, fading
        if count is None:
            count = int(self.clients.max(initial=-1)) + 1
        self.trajectory = mobility.trajectory(stream, placement, self.clients, count)
        self._shadowing_stream, self._fading_stream = stream.child("shadowing"), stream.child("fading")

    @property
    def doppler_hz(self) -> float:
        """Largest Doppler shift in Hz from the movement of a client: speed * carrier / (299 792 458 m/s)."""
        return self.trajectory.speed_mps * self.carrier_hz / SPEED_OF_LIGHT_MPS

    def large_scale_db(self, times_s: ArrayLike, clients: ArrayLike | None = None) -> Floats:
        """Antenna gains less path loss plus shadowing, without fading.

        Parameters
        ----------
        times_s : array_like of float
            Times [T] in s, at least 0.
        clients : array_like of int, optional
            Positions in `self.clients` of those wanted, [K]; default all.

        Returns
        -------
        ndarray
            Gains [K, T] in dB.
        """
        times, rows = times_array(times_s), self._rows(clients)
        loss = self.path_loss.path_loss_db(self.trajectory.distance_m(times, rows), self.carrier_hz)
        travelled = self.trajectory.travelled_m(times, rows)
        shadow = self.shadowing.shadowing_db(self._shadowing_stream, self.clients[rows], travelled)
        return np.asarray(self.antenna_gain_db - loss + shadow)

    def fading_gain(self, times_s: ArrayLike, clients: ArrayLike | None = None) -> Floats:
        """The fading alone: linear power gains [K, T] of mean 1 (parameters as in `large_scale_db`)."""
        numbers = self.clients[self._rows(clients)]
        return self.fading.power_gain(self._fading_stream, numbers, times_array(times_s), self.doppler_hz)

    def gain_db(self, times_s: ArrayLike, clients: ArrayLike | None = None) -> Floats:
        """The whole gain [K, T] in dB with fading, not below -300 dB (parameters as in `large_scale_db`)."""
        large_scale = self.large_scale_db(times_s, clients)
        with np.errstate(divide="ignore"):  # a gain of exactly 0 becomes the floor
            fading_db = 10.0 * np.log10(self.fading_gain(times_s, clients))
        return np.maximum(large_scale + fading_db, LOWEST_GAIN_DB)

    def gain(self, times_s: ArrayLike, clients: ArrayLike | None = None) -> Floats:
        """The whole gain [K, T] as a ratio of powers (parameters as in `large_scale_db`)."""
        return np.asarray(10.0 ** (self.gain_db(times_s, clients) / 10.0))

    def _rows(self, clients: ArrayLike | None) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        if clients is None:
            return np.arange(self.clients.size)
        rows = clients_array(clients)
        if rows.size and rows.max() >= self.clients.size:
            raise ValueError(f"position {rows.max()} is not one of {self.clients.size} links")
        return rows
