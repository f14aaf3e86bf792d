"""What H2Tune's server must keep to go on, how it is written down between rounds, and how it is taken up again.

Knows arrays, versions and clients; neither methods nor payloads, and of training only how it is started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from wfl_sim.contracts import Params, Trained
from wfl_sim.methods.alignment import Float32
from wfl_sim.methods.h2tune import SHAPE
from wfl_sim.shapecode import Told
from wfl_sim.statefiles import StateFiles


class Held(NamedTuple):
    """What a client has from the server: G and its group's head, of which version."""

    version: int
    shape: Float32
    head: Params


@dataclass
class State:
    """All that a run must keep to go on, but for clients' own arrays and what training is still to give."""

    shape: Float32
    heads: dict[str, Params]
    version: int = 0
    change: dict[str, bytes] = field(default_factory=dict)  # what brought version - 1 to version: of G, of heads
    held_version: dict[int, int] = field(default_factory=dict)
    fetching: dict[int, Held] = field(default_factory=dict)
    fetched: dict[int, Held] = field(default_factory=dict)
    training: dict[int, tuple[int, Mapping[int, Params], Trained]] = field(default_factory=dict)  # and its round
    started: dict[int, Held] = field(default_factory=dict)  # what a training, or what came of it, began from
    sent: dict[int, Told] = field(default_factory=dict)


def snapshot(state: State, files: StateFiles) -> dict[str, Any]:
    """The state as plain data that refers to arrays in `files`."""
    keep = files.keep

    def held(book: Mapping[int, Held]) -> list[Any]:  # a G that many hold is kept once, by its identity
        return [(client, version, keep({SHAPE: shape}, owner=shape), keep(head))
                for client, (version, shape, head) in book.items()]  # fmt: skip

    calls = {id(together): (round_, together) for round_, together, _ in state.training.values()}
    return {
        "shape": keep({SHAPE: state.shape}, owner=state.shape),
        "heads": {name: keep(head) for name, head in state.heads.items()},
        "version": state.version,
        "change": {name: keep(_as_array(data), owner=data) for name, data in state.change.items() if data},
        "empty": [name for name, data in state.change.items() if not data],
        "held_version": [*state.held_version.items()],
        "fetching": held(state.fetching),
        "fetched": held(state.fetched),
        "started": held(state.started),
        "sent": [
            (client, keep({"change": told.change, "mass": told.mass}, owner=told.change), keep(told.head))
            for client, told in state.sent.items()
        ],
        "trainings": [
            {
                "round": round_,
                "starts": [(client, keep(start)) for client, start in together.items()],
                "waiting": [client for client, training in state.training.items() if training[1] is together],
            }
            for round_, together in calls.values()
        ],
    }


def restore(
    state: State,
    plain: Mapping[str, Any],
    files: StateFiles,
    train: Callable[[Mapping[int, Params], int], Mapping[int, Trained]],
) -> None:
    """Put what `snapshot` gave into a state; training that had been started is started again.

    Raises
    ------
    RunFailed
        A file with arrays is gone or damaged.
    """

    def take(place: Any) -> Params:
        return files.take(*place)

    def held(entries: Sequence[Any]) -> dict[int, Held]:
        return {client: Held(version, take(at)[SHAPE], take(head)) for client, version, at, head in entries}

    state.shape, state.version = take(plain["shape"])[SHAPE], plain["version"]
    state.heads = {name: take(place) for name, place in plain["heads"].items()}
    state.change = {name: take(place)["data"].tobytes() for name, place in plain["change"].items()}
    state.change |= dict.fromkeys(plain["empty"], b"")
    state.held_version = dict(plain["held_version"])
    state.fetching, state.fetched = held(plain["fetching"]), held(plain["fetched"])
    state.started, state.sent = held(plain["started"]), {}
    for client, place, head in plain["sent"]:
        arrays = take(place)
        state.sent[client] = Told(arrays["change"], arrays["mass"], take(head))
    state.training = {}
    for call in plain["trainings"]:
        together = {client: take(place) for client, place in call["starts"]}
        results = train(together, call["round"])
        state.training |= {client: (call["round"], together, results[client]) for client in call["waiting"]}


def _as_array(data: bytes) -> Params:
    return {"data": np.frombuffer(data, np.uint8)}
