"""What clients measured of their last updates: the share of the change that each point drops, and its energy.

Knows a codec and its menu; neither the air nor who asks. A client tells both with its next request; before it has
encoded anything, there is nothing to tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from wfl_sim.codecs.base import Codec, Update
from wfl_sim.contracts import PayloadMenu
from wfl_sim.statefiles import StateFiles


class Measured:
    """Curves and energies by client.

    Parameters
    ----------
    codec : Codec
        One without ``curve`` has nothing to tell.
    menu : PayloadMenu
        What any client could send.
    wanted : bool
        Whether anybody reads it: else nothing is worked out.
    """

    def __init__(self, codec: Codec, menu: PayloadMenu, wanted: bool) -> None:
        self._curve, self._energy = getattr(codec, "curve", None), getattr(codec, "energy", None)
        self._menu, self._menus = menu, dict[int, PayloadMenu]()
        self._found: dict[int, dict[str, Any]] = {}
        self.changes = wanted and (self._curve is not None or self._energy is not None)

    def note(self, client: int, update: Update) -> None:
        """A client has encoded an update."""
        if not self.changes:
            return
        curve = None if self._curve is None else self._curve(update)
        found = {"energy": np.array(math.nan if self._energy is None else self._energy(update))}
        if curve is not None:
            found["curve"] = np.asarray(curve, dtype=np.float64)
        self._found[client] = found
        self._menus.pop(client, None)

    def menu(self, client: int) -> PayloadMenu:
        """The menu, with the errors of the client's last curve."""
        if (found := self._found.get(client)) is None or "curve" not in found:
            return self._menu
        if client not in self._menus:
            self._menus[client] = self._menu.with_errors(found["curve"].tolist())
        return self._menus[client]

    def importance(self, client: int) -> float:
        """The energy of the client's last change; nan as long as it has none."""
        return float(self._found[client]["energy"]) if client in self._found else math.nan

    def snapshot(self, files: StateFiles) -> list[Any]:
        """All of it as plain data, its arrays kept in `files`."""
        return [(client, files.keep(found)) for client, found in self._found.items()]

    def restore(self, plain: list[Any], files: StateFiles) -> None:
        """Take up what `snapshot` gave."""
        self._menus.clear()
        self._found = {client: dict(_taken(files, place)) for client, place in plain}


def _taken(files: StateFiles, place: tuple[int, int]) -> Mapping[str, Any]:
    return files.take(*place)
