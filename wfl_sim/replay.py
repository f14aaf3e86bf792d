"""The learning side of a run that can be continued: it notes what it was asked for, and can answer it again.

Knows sizes and metrics; neither tensors nor time. The air is a function of the scenario and of the sizes that the
learning side gave, so a run goes on by playing its air again up to its last round with the sizes that were noted, which
takes a small part of the time that the training took, and by taking up the state of the learning side there. So
whatever was under way on the air, in the schedule or in a queue of events is as it was, to the bit, and nothing of it
has to be written down. Where clients tell what they measured of their last updates, the air follows from that too: it
is noted with each upload, and, where the air is played from a later round on, all that had been told by then.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wfl_sim.contracts import AnyPayload, Params, PayloadMenu, Point, Sized, Work
from wfl_sim.errors import AGAIN, RunFailed
from wfl_sim.statefiles import StateFiles
from wfl_sim.trace import Row

METRICS = ("accuracy", "loss")
DIAGNOSTICS = ("rank", "coherence_a", "coherence_b", "e_cov", "e_sp", "e_sp_score", "e_q")
_NOTHING = -1.0  # in place of a size: there is nothing to send


class Replayed:
    """A `Work` that answers as it did before, until `go_on`, and from then on as the one that it holds.

    Parameters
    ----------
    work : Work
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.known_at_once = work.known_at_once
        self._notes: list[float] = []  # of this round: sizes in bits, kept fractions of uploads, errors of menus
        self._again: list[float] | None = None  # what is still to be answered as before
        self._at = 0
        self._row: Row = {}
        self.menus_change = getattr(work, "menus_change", False)
        self.menus_vary = getattr(work, "menus_vary", False)
        self._menu: PayloadMenu | None = None  # the last of this round, where they vary from round to round
        self._told: dict[int, list[float]] = {}  # by client, of its last update: errors of its menu, and the energy
        self._menus: dict[int, PayloadMenu] = {}  # with these errors

    def begin(self, answers: Sequence[bytes]) -> None:
        """Answer as noted from now on, if anything was."""
        self._again, self._at = [note for noted in answers for note in _unpacked(noted)], 0

    def knows(self, told: bytes) -> None:
        """Begin with what `told` gave. Raises RunFailed where it is damaged."""
        if not self.menus_change:
            return
        notes, at = _unpacked(told), 0
        while at < len(notes):
            client, first = int(notes[at]), at + 1
            at = first + len(self.work.menu(client).points) + 1
            self._told[client] = notes[first:at]
        if at != len(notes):
            raise RunFailed(f"what its trace notes of clients' updates is damaged: {AGAIN}")

    def round(self, row: Row) -> None:
        """What the next metrics and diagnostics are."""
        self._row = row

    def go_on(self) -> None:
        """Answer by the work itself. Raises RunFailed unless all that was noted has been asked for again."""
        if self._again is not None and self._at != len(self._again):
            raise RunFailed(f"its trace was asked {len(self._again) - self._at} times more than it is now: {AGAIN}")
        self._again = None
        self._menus.clear()

    def noted(self) -> bytes:
        """What was asked for since the last time."""
        notes, self._notes, self._menu = self._notes, [], None
        return _packed(notes)

    def told(self) -> bytes:
        """What clients have told by now, for `knows`: all that the air needs to go on from here besides its own."""
        return _packed([note for client, notes in self._told.items() for note in (client, *notes)])

    def weight(self, client: int) -> float:
        """Of the work."""
        return self.work.weight(client)

    def menu(self, client: int) -> PayloadMenu:
        """Of the work, or as it was then."""
        if self.menus_vary:
            return self._noted_menu(client) if self._again is None else self._menu_again()
        if self._again is None or client not in self._told:
            return self.work.menu(client)
        if client not in self._menus:
            self._menus[client] = self.work.menu(client).with_errors(self._told[client][:-1])
        return self._menus[client]

    def importance(self, client: int) -> float:
        """Of the work, or as it was then; nan where none is known."""
        if self._again is not None:
            return self._told[client][-1] if client in self._told else math.nan
        return float(self.work.importance(client)) if self.menus_change else math.nan  # type: ignore[attr-defined]

    def downlink(self, clients: Sequence[int]) -> AnyPayload:
        """Of the work, or one of the same size."""
        if self._again is not None:
            return Sized(int(self._next()))
        payload = self.work.downlink(clients)
        self._notes.append(payload.bits)
        return payload

    def received(self, clients: Sequence[int]) -> None:
        """Tell the work."""
        if self._again is None:
            self.work.received(clients)

    def train(self, round_: int, clients: Sequence[int]) -> None:
        """Tell the work."""
        if self._again is None:
            self.work.train(round_, clients)

    def encode(self, client: int, point: Point) -> AnyPayload | None:
        """Of the work, or one of the same size."""
        if self._again is not None:
            bits = self._next()
            if bits == _NOTHING:
                return None
            again = Sized(int(bits), self._next())
            if self.menus_change:
                self._told[client] = [self._next() for _ in range(1 + len(self.work.menu(client).points))]
                self._menus.pop(client, None)
            return again
        payload = self.work.encode(client, point)
        self._notes += [_NOTHING] if payload is None else [payload.bits, payload.kept_fraction]
        if payload is not None and self.menus_change:
            told = [*(point.error for point in self.work.menu(client).points), self.importance(client)]
            self._told[client] = told
            self._notes += told
        return payload

    def stopped(self, client: int) -> None:
        """Tell the work."""
        if self._again is None:
            self.work.stopped(client)

    def lost(self, client: int) -> None:
        """Tell the work."""
        if self._again is None:
            self.work.lost(client)

    def aggregate(self, arrivals: Mapping[int, AnyPayload], factors: Mapping[int, float] | None = None) -> None:
        """Tell the work."""
        if self._again is None:
            self.work.aggregate(arrivals, factors)

    def evaluate(self) -> dict[str, Any]:
        """Of the work, or those of the round."""
        if self._again is None:
            return self.work.evaluate()
        groups = {"groups": self._row["groups"]} if self._row.get("groups") else {}
        return {name: self._row[name] for name in METRICS} | groups

    def diagnostics(self) -> dict[str, Any]:
        """Of the work, or those of the round."""
        return self.work.diagnostics() if self._again is None else {name: self._row[name] for name in DIAGNOSTICS}

    def model(self) -> tuple[int, Params] | None:
        """Of the work."""
        return self.work.model()

    def snapshot(self, files: StateFiles) -> dict[str, Any] | None:
        """Of the work."""
        return self.work.snapshot(files)

    def restore(self, plain: Mapping[str, Any], files: StateFiles) -> None:
        """Of the work."""
        self.work.restore(plain, files)

    def close(self) -> None:
        """Of the work."""
        self.work.close()

    def _noted_menu(self, client: int) -> PayloadMenu:
        menu = self.work.menu(client)
        if menu is self._menu:
            self._notes.append(0.0)
        else:
            self._notes += [len(menu.points), *np.stack(menu.columns).T.ravel().tolist()]
        self._menu = menu
        return menu

    def _menu_again(self) -> PayloadMenu:
        if count := int(self._next()):
            points = [
                Point(bits=int(self._next()), kept_fraction=self._next(), error=self._next()) for _ in range(count)
            ]
            self._menu = PayloadMenu(tuple(points))
        if self._menu is None:
            raise RunFailed(f"its trace notes a menu that no menu comes before: {AGAIN}")
        return self._menu

    def _next(self) -> float:
        assert self._again is not None
        if self._at == len(self._again):
            raise RunFailed(f"its trace was asked less often than it is now: {AGAIN}")
        self._at += 1
        return self._again[self._at - 1]


def _packed(notes: Sequence[float]) -> bytes:
    return zlib.compress(np.array(notes, np.float64).tobytes(), 1)


def _unpacked(noted: bytes) -> list[float]:
    try:
        notes: list[float] = np.frombuffer(zlib.decompress(noted), np.float64).tolist()
    except (zlib.error, ValueError) as error:
        raise RunFailed(f"what its trace notes of the learning side is damaged ({error}): {AGAIN}") from error
    return notes
