"""Where clients are at time 0: over a disc or ring, or along a road, around a base station at the origin.

Knows no movement and no radio. Positions in m in the plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, Ints, clients_array
from channels.options import OptionError, Options
from channels.streams import Stream
from channels.units import Quantity, render


class Placement(Protocol):
    """What a placement must do.

    1. It is a frozen dataclass derived from `Options`; its first field is ``kind``.
    2. ``start_m(stream, clients, count)`` gives the positions [K, 2] at time 0 of the clients, of `count` in
       all.
    3. ``point_m(u, v)`` maps two uniform numbers in (0, 1) to a point [..., 2] of the region: waypoints come
       from it.
    4. ``is_point`` is true where the region is a single point, so that no path can be laid in it.
    5. It stands in `PLACEMENT` under its kind.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    @property
    def is_point(self) -> bool:
        """Whether the region is one point."""
        ...

    def start_m(self, stream: Stream, clients: ArrayLike, count: int) -> Floats:
        """Positions [K, 2] in m at time 0."""
        ...

    def point_m(self, u: Floats, v: Floats) -> Floats:
        """Points [..., 2] in m of the region."""
        ...


@dataclass(frozen=True, kw_only=True)
class Disc(Options):
    """Clients uniform over the area of a disc, or of a ring, around the base station.

    Formula
    -------
    distance = sqrt(from^2 + u (to^2 - from^2)), direction = 2 pi v, with u, v uniform in (0, 1) for each client.

    Validity
    --------
    A cell with the base station in the middle and clients anywhere with equal chance.

    Source
    ------
    own: P(distance <= d) = (d^2 - from^2) / (to^2 - from^2), the share of the area, solved for d.

    Options
    -------
    from_m : Inner radius: 0 makes a disc, more a ring. Larger: weaker links.
    to_m : Outer radius. Larger: weaker links.
    """

    kind: Literal["disc"] = "disc"
    from_m: Annotated[float, Quantity("m", ge=0, le=1e8)] = 0.0
    to_m: Annotated[float, Quantity("m", ge=1e-3, le=1e8, example="500 m")]

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_order(self.from_m, self.to_m, "Disc")

    @property
    def is_point(self) -> bool:
        """Never: the outer radius is above 0."""
        return False

    def start_m(self, stream: Stream, clients: ArrayLike, count: int) -> Floats:
        """Positions [K, 2] in m; `count` does not matter here."""
        rows = checked_clients(clients, count)
        return self.point_m(stream.uniform(rows, 0), stream.uniform(rows, 1))

    def point_m(self, u: Floats, v: Floats) -> Floats:
        """Points [..., 2] of the ring for uniform numbers u (distance) and v (direction)."""
        inner, outer = self.from_m**2, self.to_m**2
        return polar(np.clip(np.sqrt(inner + u * (outer - inner)), self.from_m, self.to_m), v)


@dataclass(frozen=True, kw_only=True)
class Line(Options):
    """Clients on a straight road away from the base station, at evenly spaced distances and not at random.

    Formula
    -------
    Client k of n, k = 0 ... n - 1, stands at from + (to - from) k / (n - 1); a single client at `from`.

    Validity
    --------
    For studies that want links of known, graded quality. Here, unlike elsewhere, the number of clients moves them.

    Source
    ------
    own: equal steps.

    Options
    -------
    from_m : Distance of the first client from the base station. Larger: weaker links.
    to_m : Distance of the last client from the base station; at that of the first, all stand in one place. Larger:
        weaker links.
    """

    kind: Literal["line"] = "line"
    from_m: Annotated[float, Quantity("m", ge=0, le=1e8)] = 0.0
    to_m: Annotated[float, Quantity("m", ge=1e-3, le=1e8, example="500 m")]

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_order(self.from_m, self.to_m, "Line")

    @property
    def is_point(self) -> bool:
        """Whether both ends are the same."""
        return self.from_m == self.to_m

    def start_m(self, stream: Stream, clients: ArrayLike, count: int) -> Floats:
        """Positions [K, 2] in m of clients k of `count`; draws nothing."""
        share = checked_clients(clients, count) / max(1, count - 1)
        return self.point_m(share, share)

    def point_m(self, u: Floats, v: Floats) -> Floats:
        """Points [..., 2] of the road for a uniform number u; v has no effect."""
        distance = np.clip(self.from_m + u * (self.to_m - self.from_m), self.from_m, self.to_m)
        return np.stack([distance, np.zeros_like(distance)], axis=-1)


def polar(distance: Floats, turns: Floats) -> Floats:
    """Points [..., 2] at some distances and directions."""
    angle = 2.0 * np.pi * turns
    return np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=-1)


def checked_clients(clients: ArrayLike, count: int) -> Ints:
    """Client numbers [K]; ValueError where one is not below `count`."""
    rows = clients_array(clients)
    if rows.size and rows.max() >= count:
        raise ValueError(f"client {rows.max()} is not one of {count} clients, numbered from 0")
    return rows


def _check_order(from_m: float, to_m: float, model: str) -> None:
    if from_m > to_m:
        raise OptionError(model, "to_m", f"must be at least `from` ({render(from_m, 'm')}); got {render(to_m, 'm')}")


PLACEMENT: dict[str, type[Disc] | type[Line]] = {"disc": Disc, "line": Line}
