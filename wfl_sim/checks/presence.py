"""The check for the author of an availability.

Knows the contract and no model.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channels.streams import Stream
from wfl_sim.availability import Availability
from wfl_sim.checks.contract import NOT_A_PLACE_OR_TIME, Contract, Ints

LONG_S = 1e6  # twelve days: some of everything happens. The mean share is not held against it: a day may be longer.


def check_availability(model: Availability) -> None:
    """Hold an availability against `wfl_sim.availability.Availability`."""
    contract = Contract(model, "wfl_sim.availability.Availability")
    contract.options(1)
    stream, clients = Stream.root(1).child("check"), np.array([0, 7, 3, 40])
    times = np.concatenate([[0.0], np.sort(Stream.root(2).uniform(0, np.arange(59))) * LONG_S])

    def there(rows: Ints, columns: Ints) -> NDArray[Any]:
        found = [model.available(stream, clients[rows], float(time)) for time in times[columns]]
        return np.stack(found, axis=1)

    def change(rows: Ints, columns: Ints) -> NDArray[Any]:
        asked_s = np.tile(times[columns], rows.size)
        found = model.change_s(stream, np.repeat(clients[rows], columns.size), asked_s)
        return np.asarray(found).reshape(rows.size, columns.size)

    one = contract.ask(2, "available()", lambda: model.available(stream, clients, 0.0))
    right = isinstance(one, np.ndarray) and one.dtype == np.bool_ and one.shape == (4,)
    contract.holds(2, right, f"available() of 4 clients is {one!r:.60}, not 4 answers true or false")
    states = contract.any_order(4, "the availability", there, 4, 60)
    changes = contract.any_order(4, "the next change", change, 4, 60)
    contract.holds(3, (changes > times).all(), "change_s() is not after the time that it is asked for")
    row, column = np.nonzero(np.isfinite(changes))
    after = model.available(stream, clients[row], changes[row, column])
    contract.holds(3, (after != states[row, column]).all(), "at change_s() a client is there as it was before")
    stays = changes[:, :-1] > times[1:]
    same = states[:, :-1] == states[:, 1:]
    contract.holds(3, (same | ~stays).all(), "before change_s() a client is there otherwise than it was")
    mean = contract.ask(5, "mean_share", lambda: float(model.mean_share))
    contract.holds(5, 0.0 < mean <= 1.0, f"mean_share is {mean}, not in (0, 1]")
    for bad in NOT_A_PLACE_OR_TIME:
        contract.refuses(6, f"a time of {bad} s", partial(model.available, stream, clients, bad))
        contract.refuses(6, f"a time of {bad} s", partial(model.change_s, stream, clients, bad))
    contract.card(1)
