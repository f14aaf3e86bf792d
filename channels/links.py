"""The links of a cell: path loss, shadowing, fading and antennas joined into one gain a client and time.

Knows no power, bandwidth or noise: SNR is the radio's, since it depends on what a client is granted.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import SPEED_OF_LIGHT_MPS, Bools, Floats, Ints, clients_array, offsets_array, positive, times_array
from channels.fading import Fading, Selective
from channels.mobility import Mobility, Placement
from channels.pathloss import PathLoss, RangeWatch, Sighted
from channels.penetration import NoPenetration, Penetration
from channels.shadowing import Shadowing
from channels.sight import line_of_sight
from channels.streams import Stream

Direction = Literal["up", "down"]
LOWEST_GAIN_DB = -300.0
_NO_WALLS = NoPenetration()


class Links:
    """Gains between one base station and its clients, as functions of time.

    Uplink and downlink share one gain: the channel is reciprocal and both directions use the same carrier
    (TDD).

    Parameters
    ----------
    stream : Stream
        Its children ``placement``, ``mobility``, ``line_of_sight``, ``penetration``, ``shadowing`` and ``fading``
        are drawn from, each by client, so that changing one model leaves the values of the others as they are.
    clients : int or array_like of int
        How many clients (numbered from 0), or the numbers of those wanted.
    carrier_hz : float
        Carrier frequency in Hz.
    path_loss, shadowing, fading, placement, mobility, penetration
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

    reciprocal = True
    """Whether both directions have the same gains."""

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
        penetration: Penetration = _NO_WALLS,
        antenna_gain_db: float = 0.0,
        count: int | None = None,
    ) -> None:
        self.clients = clients_array(range(clients) if isinstance(clients, (int, np.integer)) else clients)
        self.carrier_hz = positive("carrier_hz", carrier_hz)
        if not np.isfinite(antenna_gain_db):
            raise ValueError(f"antenna_gain_db must be finite; got {antenna_gain_db}")
        self.antenna_gain_db = float(antenna_gain_db)
        self.path_loss, self.shadowing, self.fading = path_loss, shadowing, fading
        self.penetration = penetration
        if count is None:
            count = int(self.clients.max(initial=-1)) + 1
        self.trajectory = mobility.trajectory(stream, placement, self.clients, count)
        self._shadowing_stream, self._fading_stream = stream.child("shadowing"), stream.child("fading")
        self._sight_stream, walls = stream.child("line_of_sight"), stream.child("penetration")
        self._walls_db = penetration.loss_db(walls, self.clients, self.carrier_hz)[:, None]
        self._inside_m = penetration.depth_m(walls, self.clients)[:, None]
        self._watch = RangeWatch(path_loss, self.carrier_hz, self.clients.size)

    @property
    def doppler_hz(self) -> float:
        """Largest Doppler shift in Hz from the movement of a client: speed * carrier / (299 792 458 m/s)."""
        return self.trajectory.speed_mps * self.carrier_hz / SPEED_OF_LIGHT_MPS

    @property
    def warnings(self) -> tuple[str, ...]:
        """Where the path loss was asked for outside the range that it is stated for, and for how many clients."""
        return self._watch.texts

    def large_scale_db(self, times_s: ArrayLike, clients: ArrayLike | None = None) -> Floats:
        """Antenna gains less path loss and penetration, plus shadowing; without fading.

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
        distance, travelled = self.trajectory.distance_m(times, rows), self.trajectory.travelled_m(times, rows)
        self._watch.see(rows, distance)
        model = self.path_loss
        if isinstance(model, Sighted) and model.line_of_sight == "probability":
            los = self._los(model, rows, distance, travelled)
            loss = model.path_loss_db(distance, self.carrier_hz, los)
        else:
            loss = model.path_loss_db(distance, self.carrier_hz)
        shadow = self.shadowing.shadowing_db(self._shadowing_stream, self.clients[rows], travelled)
        return np.asarray(self.antenna_gain_db - (loss + self._walls_db[rows]) + shadow)

    def line_of_sight(self, times_s: ArrayLike, clients: ArrayLike | None = None) -> Bools:
        """Whether each client sees the base station, [K, T] (parameters as in `large_scale_db`).

        ValueError where the path loss does not tell.
        """
        times, rows, model = times_array(times_s), self._rows(clients), self.path_loss
        if not isinstance(model, Sighted):
            raise ValueError(f"path loss {model.kind!r} does not tell line of sight from its absence")
        if model.line_of_sight != "probability":
            return np.full((rows.size, times.size), model.line_of_sight == "always")
        return self._los(model, rows, self.trajectory.distance_m(times, rows), self.trajectory.travelled_m(times, rows))

    def _los(self, model: Sighted, rows: Ints, distance: Floats, travelled: Floats) -> Bools:
        probability = model.los_probability(np.maximum(distance - self._inside_m[rows], 0.0))
        return line_of_sight(
            self._sight_stream, self.clients[rows], travelled, probability, model.los_correlation_distance_m
        )

    def fading_gain(
        self, times_s: ArrayLike, clients: ArrayLike | None = None, offsets_hz: ArrayLike | None = None
    ) -> Floats:
        """The fading alone: linear power gains of mean 1, [K, T] or [K, T, F] (parameters as in `gain`)."""
        asked = self._fading_stream, self.clients[self._rows(clients)], times_array(times_s), self.doppler_hz
        if offsets_hz is None:
            return self.fading.power_gain(*asked)
        offsets = offsets_array(offsets_hz)
        if isinstance(self.fading, Selective):
            return self.fading.frequency_gain(*asked, offsets)
        return np.repeat(self.fading.power_gain(*asked)[..., None], offsets.size, axis=-1)

    def gain_db(
        self, times_s: ArrayLike, clients: ArrayLike | None = None, offsets_hz: ArrayLike | None = None
    ) -> Floats:
        """The whole gain in dB with fading, not below -300 dB, [K, T] or [K, T, F] (parameters as in `gain`)."""
        large_scale = self.large_scale_db(times_s, clients)
        if offsets_hz is not None:
            large_scale = large_scale[..., None]
        with np.errstate(divide="ignore"):  # a gain of exactly 0 becomes the floor
            fading_db = 10.0 * np.log10(self.fading_gain(times_s, clients, offsets_hz))
        return np.maximum(large_scale + fading_db, LOWEST_GAIN_DB)

    def gain(
        self,
        times_s: ArrayLike,
        clients: ArrayLike | None = None,
        *,
        direction: Direction = "up",
        offsets_hz: ArrayLike | None = None,
    ) -> Floats:
        """The whole gain as a ratio of powers.

        Parameters
        ----------
        times_s, clients
            As in `large_scale_db`.
        direction : {"up", "down"}
            Makes no difference here: the channel is reciprocal.
        offsets_hz : array_like of float, optional
            Frequencies [F] in Hz from the carrier, as `offsets_hz` gives them for a band; default the carrier alone.

        Returns
        -------
        ndarray
            [K, T], or [K, T, F] where `offsets_hz` is given.
        """
        return np.asarray(10.0 ** (self.gain_db(times_s, clients, offsets_hz) / 10.0))

    def offsets_hz(self, bandwidth_hz: float) -> Floats:
        """Frequencies [F] in Hz from the carrier whose gains stand for a band: 0 alone where fading is flat."""
        bandwidth = positive("bandwidth_hz", bandwidth_hz)
        return self.fading.offsets_hz(bandwidth) if isinstance(self.fading, Selective) else np.zeros(1)

    def _rows(self, clients: ArrayLike | None) -> Ints:
        if clients is None:
            return np.arange(self.clients.size)
        rows = clients_array(clients)
        if rows.size and rows.max() >= self.clients.size:
            raise ValueError(f"position {rows.max()} is not one of {self.clients.size} links")
        return rows
