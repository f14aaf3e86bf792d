"""Path loss the other way round: how far a client may be for a loss that its link can bear.

Knows no model: asks one for losses, and finds the distance by bisection.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, positive
from channels.pathloss.base import PathLoss

NEAREST_M = 1e-3  # where the search begins; every model holds its loss from here down to 0
FURTHEST_M = 1e12  # and where it ends: beyond the outer planets
_HALVINGS = 60  # of the 34.5 natural logarithms between the two: to 3e-17, below the resolution of float64


def range_m(model: PathLoss, loss_db: ArrayLike, carrier_hz: float) -> Floats:
    """The largest horizontal distance at which the loss is at most `loss_db`.

    There the loss is `loss_db` itself, to rounding. Only where the model steps over that value (``rma`` by less than
    0.05 dB at its breakpoint) is it what the loss was before the step. A model whose loss steps down somewhere says so
    by a property ``steps_m``; then the distance beyond the step counts, being the larger.

    Parameters
    ----------
    model : PathLoss
    loss_db : array_like of float
        Losses that may be borne, in dB, any shape; finite.
    carrier_hz : float

    Returns
    -------
    ndarray
        Distances in m, of the shape of `loss_db`: 0 where even the loss at the base station is larger, infinity where
        the loss at `FURTHEST_M` is not.

    Raises
    ------
    ValueError
        A loss that is NaN or infinite; a carrier that is not finite and above 0.

    Examples
    --------
    >>> from channels.pathloss import FreeSpace
    >>> f"{range_m(FreeSpace(), 80.052, 2.4e9):.2f} m"
    '100.00 m'
    """
    allowed = np.asarray(loss_db, dtype=np.float64)
    if not np.isfinite(allowed).all():
        raise ValueError(f"a loss in dB must be finite; got {allowed[~np.isfinite(allowed)].flat[0]}")
    carrier = positive("carrier_hz", carrier_hz)
    # Between two of these edges the loss never falls, so that one bisection finds all there is.
    edges = np.array([NEAREST_M, *np.nextafter(getattr(model, "steps_m", ()), np.inf), FURTHEST_M])
    bearable = model.path_loss_db(edges, carrier) <= allowed[..., None]
    last = edges.size - 1 - np.argmax(bearable[..., ::-1], axis=-1)
    near, far = edges[last], edges[np.minimum(last + 1, edges.size - 1)]
    for _ in range(_HALVINGS):
        middle = np.sqrt(near * far)
        fine = model.path_loss_db(middle, carrier) <= allowed
        near, far = np.where(fine, middle, near), np.where(fine, far, middle)
    found = np.where(bearable[..., -1], np.inf, near)
    return np.asarray(np.where(bearable.any(axis=-1), found, 0.0))
