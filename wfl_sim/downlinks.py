"""What the server sends to clients: the last change to those who have the model before it, else the whole model.

Knows the state of a federation, and what follows from seed and version; neither methods nor the radio.
"""

from __future__ import annotations

from collections.abc import Sequence

from wfl_sim.contracts import Payload
from wfl_sim.federationstate import FederationState
from wfl_sim.stages import Stages
from wfl_sim.turning import Turns


class Downlinks:
    """Payloads that bring clients to the model as it is now.

    Parameters
    ----------
    state : FederationState
    stages : Stages
    turns : Turns
    zeros : sequence of str
        What is 0 in version 0, as everybody knows.
    drawn : sequence of str
        What everyone draws anew by seed and version, in later ones.
    """

    def __init__(
        self, state: FederationState, stages: Stages, turns: Turns, zeros: Sequence[str], drawn: Sequence[str]
    ) -> None:
        self._state, self._stages, self._turns = state, stages, turns
        self._zeros, self._drawn = zeros, drawn
        self._full: tuple[int, Payload] | None = None  # of the version that was asked for last

    def to(self, clients: Sequence[int]) -> Payload:
        """The last change if none of `clients` is further behind than that, else the full set at 32 bits."""
        state = self._state
        behind = state.version - min(state.held_version.get(client, -1) for client in clients)
        if state.last_change is not None and behind <= 1:
            return state.last_change
        full = self._whole()
        # Whoever missed a turn and has something in an older basis needs the way from there.
        old = {state.residual_version.get(client, state.version) for client in clients} - {state.version}
        if old and state.turns:
            turns = [self._turns.between(since, state.version) for since in sorted(old)]
            maps = [turn.astype("<f4").tobytes() for one in turns for turn in one.values()]
            return Payload(full.data + b"".join(maps), 1.0)
        return full

    def forget(self) -> None:
        """The state has been replaced."""
        self._full = None

    def _whole(self) -> Payload:
        state = self._state
        if self._full is None or self._full[0] != state.version:
            known = self._drawn if state.version else self._zeros
            values = [value.astype("<f4").tobytes() for name, value in state.model.items() if name not in known]
            told = self._stages.at(state.version).told
            self._full = state.version, Payload(b"".join(values) + told, 1.0)
        return self._full[1]
