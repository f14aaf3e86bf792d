"""The links of a cell: path loss, shadowing, fading and antennas joined into one gain a client and time.

Knows no power, bandwidth or noise: SNR is the radio's, since it depends on what a client is granted.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import SPEED_OF_LIGHT_MPS, Bools, Floats, Ints, clients_array, offsets_array, positive, times_array
from channels.fading import Fading, Selective
from channels.mobility import Mobility, Placement, Trajectory
from channels.pathloss import PathLoss, RangeWatch, Shadowed, Sighted
from channels.penetration import NoPenetration, Penetration
from channels.ratecurve import Law
from channels.shadowing import PlacedShadowing, Places, Shadowing
from channels.sight import line_of_sight
from channels.streams import Stream

Direction = Literal["up", "down"]
LOWEST_GAIN_DB = -300.0
_LOWEST_GAIN = 10.0 ** (LOWEST_GAIN_DB / 10.0)
_NO_WALLS = NoPenetration()


class LinkModel(Protocol):
    """What the links of a cell answer, modelled or recorded: gains of K clients at T times, each way.

    1. ``clients`` are the numbers of all clients. Who asks names those wanted by their positions there; default all.
    2. ``gain`` is a ratio of powers, [K, T], or [K, T, F] at frequencies from the carrier, at least 1e-30; ``gain_db``
       is the same in dB, ``large_scale_db`` the gain without its fading.
    3. A value depends only on the seed, the client, the time, the direction and the frequency, whatever else was asked.
    4. ``offsets_hz`` gives the frequencies that stand for a band: 0 alone where the gain is the same all over it.
    5. ``fading_of`` is the law of the gain around its mean. Where ``reciprocal`` is true, the direction makes no
       difference to any answer.
    """

    @property
    def clients(self) -> Ints:
        """The numbers of all clients."""
        ...

    @property
    def trajectory(self) -> Trajectory:
        """Where clients are."""
        ...

    @property
    def reciprocal(self) -> bool:
        """Whether both directions have the same gains."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What whoever reads the results should know of the gains asked for so far."""
        ...

    def noted(self) -> list[Any]:
        """What the warnings are made of, as plain data."""
        ...

    def note(self, noted: list[Any]) -> None:
        """Take over what `noted` gave."""
        ...

    def gain(
        self,
        times_s: ArrayLike,
        clients: ArrayLike | None = None,
        *,
        direction: Direction = "up",
        offsets_hz: ArrayLike | None = None,
    ) -> Floats:
        """The whole gain as a ratio of powers, [K, T] or [K, T, F]."""
        ...

    def gain_db(
        self,
        times_s: ArrayLike,
        clients: ArrayLike | None = None,
        *,
        direction: Direction = "up",
        offsets_hz: ArrayLike | None = None,
    ) -> Floats:
        """The same in dB."""
        ...

    def large_scale_db(
        self, times_s: ArrayLike, clients: ArrayLike | None = None, *, direction: Direction = "up"
    ) -> Floats:
        """The gain without fading in dB, [K, T]."""
        ...

    def offsets_hz(self, bandwidth_hz: float) -> Floats:
        """Frequencies [F] in Hz from the carrier whose gains stand for a band."""
        ...

    def fading_of(self, direction: Direction) -> Law:
        """The law of a direction's gains around their means."""
        ...


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
        A carrier that is not finite and above 0; an antenna gain that is not finite; a client number out of range; a
        shadowing by line of sight where the path loss states none.
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
        shadowing: Shadowing | PlacedShadowing,
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
        follows_sight = isinstance(shadowing, PlacedShadowing) and shadowing.needs_sight
        if follows_sight and not (isinstance(path_loss, Sighted) and isinstance(path_loss, Shadowed)):
            told = f"shadowing {shadowing.kind!r} needs a path loss that states it by line of sight"
            raise ValueError(f"{told}; {path_loss.kind!r} does not")
        if count is None:
            count = int(self.clients.max(initial=-1)) + 1
        self.trajectory = mobility.trajectory(stream, placement, self.clients, count)
        self._shadowing_stream, self._fading_stream = stream.child("shadowing"), stream.child("fading")
        self._sight_stream, walls = stream.child("line_of_sight"), stream.child("penetration")
        self._walls_db = penetration.loss_db(walls, self.clients, self.carrier_hz)[:, None]
        self._inside_m = penetration.depth_m(walls, self.clients)[:, None]
        self._watch = RangeWatch(path_loss, self.carrier_hz, self.clients.size)
        speed_mps = np.broadcast_to(self.trajectory.speed_mps, self.clients.shape)
        self._doppler_hz = np.asarray(speed_mps * self.carrier_hz / SPEED_OF_LIGHT_MPS)
        # What does not change is worked out once for each client, when it is first asked for.
        self._still = mobility.is_still
        self._still_db = np.full(self.clients.size if self._still else 0, np.nan)

    @property
    def doppler_hz(self) -> Floats:
        """Largest Doppler shift in Hz from the movement of each client, [K]: speed * carrier / (299 792 458 m/s)."""
        return self._doppler_hz

    def fading_of(self, direction: Direction) -> Fading:
        """The fading model, the same for both directions."""
        return self.fading

    @property
    def indoor(self) -> Bools:
        """Who is in a building that the base station is outside of, [K]."""
        return self._inside_m[:, 0] > 0.0

    @property
    def walls_db(self) -> Floats:
        """What each client loses on its way into its building, [K] in dB."""
        return self._walls_db[:, 0]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Where the path loss was asked for outside the range that it is stated for, and for how many clients."""
        return self._watch.texts

    def noted(self) -> list[Any]:
        """What the warnings are made of, as plain data."""
        return self._watch.noted()

    def note(self, noted: list[Any]) -> None:
        """Take over what `noted` gave."""
        self._watch.note(noted)

    def large_scale_db(
        self, times_s: ArrayLike, clients: ArrayLike | None = None, *, direction: Direction = "up"
    ) -> Floats:
        """Antenna gains less path loss and penetration, plus shadowing; without fading.

        Parameters
        ----------
        times_s : array_like of float
            Times [T] in s, at least 0.
        clients : array_like of int, optional
            Positions in `self.clients` of those wanted, [K]; default all.
        direction : {"up", "down"}
            Makes no difference here: the channel is reciprocal.

        Returns
        -------
        ndarray
            Gains [K, T] in dB.
        """
        times, rows = times_array(times_s), self._rows(clients)
        level = self._level_db(times, rows)
        return level if level.shape[1] == times.size else np.repeat(level, times.size, axis=1)

    def _level_db(self, times: Floats, rows: Ints) -> Floats:
        """The large-scale gain [K, T] in dB, or [K, 1] where clients never move."""
        if not (self._still and times.size):
            return self._level_at_db(times, rows)
        level = self._still_db[rows]
        new = np.isnan(level)
        if new.any():
            self._still_db[rows[new]] = level[new] = self._level_at_db(np.zeros(1), rows[new])[:, 0]
        return level[:, None]

    def _level_at_db(self, times: Floats, rows: Ints) -> Floats:
        places = self._places(times, rows)
        distance, model = places.distance_m, self.path_loss
        self._watch.see(rows, distance)
        if isinstance(model, Sighted) and model.line_of_sight == "probability":
            loss = model.path_loss_db(distance, self.carrier_hz, places.los)
        else:
            loss = model.path_loss_db(distance, self.carrier_hz)
        stream, numbers = self._shadowing_stream, self.clients[rows]
        if isinstance(self.shadowing, PlacedShadowing):
            shadow = self.shadowing.shadowing_at_db(stream, numbers, places)
        else:
            shadow = self.shadowing.shadowing_db(stream, numbers, places.travelled_m)
        return np.asarray(self.antenna_gain_db - (loss + self._walls_db[rows]) + shadow)

    def line_of_sight(self, times_s: ArrayLike, clients: ArrayLike | None = None) -> Bools:
        """Whether each client sees the base station, [K, T] (parameters as in `large_scale_db`).

        ValueError where the path loss does not tell.
        """
        los = self._places(times_array(times_s), self._rows(clients)).los
        if los is None:
            raise ValueError(f"path loss {self.path_loss.kind!r} does not tell line of sight from its absence")
        return los

    def _places(self, times: Floats, rows: Ints) -> Places:
        travelled, position = self.trajectory.travelled_m(times, rows), self.trajectory.position_m(times, rows)
        distance = np.hypot(position[..., 0], position[..., 1])
        model, los, inside = self.path_loss, None, self._inside_m[rows]
        if isinstance(model, Sighted) and model.line_of_sight == "probability":
            probability = model.los_probability(np.maximum(distance - inside, 0.0))
            numbers, correlation_m = self.clients[rows], model.los_correlation_distance_m
            los = line_of_sight(self._sight_stream, numbers, travelled, probability, correlation_m)
        elif isinstance(model, Sighted):
            los = np.full(distance.shape, model.line_of_sight == "always")
        return Places(travelled, distance, position, los, inside > 0.0, model, self.carrier_hz)

    def fading_gain(
        self, times_s: ArrayLike, clients: ArrayLike | None = None, offsets_hz: ArrayLike | None = None
    ) -> Floats:
        """The fading alone: linear power gains of mean 1, [K, T] or [K, T, F] (parameters as in `gain`)."""
        return self._fading(times_array(times_s), self._rows(clients), offsets_hz)

    def _fading(self, times: Floats, rows: Ints, offsets_hz: ArrayLike | None) -> Floats:
        asked = self._fading_stream, self.clients[rows], times, self._doppler_hz[rows]
        if offsets_hz is None:
            return self.fading.power_gain(*asked)
        offsets = offsets_array(offsets_hz)
        if isinstance(self.fading, Selective):
            return self.fading.frequency_gain(*asked, offsets)
        return np.repeat(self.fading.power_gain(*asked)[..., None], offsets.size, axis=-1)

    def gain(
        self,
        times_s: ArrayLike,
        clients: ArrayLike | None = None,
        *,
        direction: Direction = "up",
        offsets_hz: ArrayLike | None = None,
    ) -> Floats:
        """The whole gain as a ratio of powers, not below 1e-30.

        Parameters
        ----------
        times_s, clients, direction
            As in `large_scale_db`.
        offsets_hz : array_like of float, optional
            Frequencies [F] in Hz from the carrier, as `offsets_hz` gives them for a band; default the carrier alone.

        Returns
        -------
        ndarray
            [K, T], or [K, T, F] where `offsets_hz` is given.
        """
        times, rows = times_array(times_s), self._rows(clients)
        mean = 10.0 ** (self._level_db(times, rows) / 10.0)
        gain = self._fading(times, rows, offsets_hz) * (mean if offsets_hz is None else mean[..., None])
        return np.asarray(np.maximum(gain, _LOWEST_GAIN, out=gain))

    def gain_db(
        self,
        times_s: ArrayLike,
        clients: ArrayLike | None = None,
        *,
        direction: Direction = "up",
        offsets_hz: ArrayLike | None = None,
    ) -> Floats:
        """The same in dB, not below -300 dB."""
        times, rows = times_array(times_s), self._rows(clients)
        level_db = self._level_db(times, rows)
        with np.errstate(divide="ignore"):  # a gain of exactly 0 becomes the floor
            fading_db = 10.0 * np.log10(self._fading(times, rows, offsets_hz))
        return np.maximum((level_db if offsets_hz is None else level_db[..., None]) + fading_db, LOWEST_GAIN_DB)

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
