"""What a federation must keep to go on, how it is written down between rounds, and how it is taken up again.

Knows arrays, versions and clients; of methods only which names a backbone's weights have, no codecs, and of training
only how it is started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from wfl_sim.codecs.base import Layout, Update
from wfl_sim.contracts import Params, Payload, Trained
from wfl_sim.methods.base import WEIGHTS
from wfl_sim.statefiles import Kept, StateFiles
from wfl_sim.updateerrors import UpdateErrors


class Fetched(NamedTuple):
    """A model as a client got it, which the server may have moved on from since."""

    version: int
    model: Params


class Training(NamedTuple):
    """A client's local training that was started and has not been waited for.

    `together` are the starts of all whose training was started at that instant: who is trained with whom may change
    the last bits of a result.
    """

    round: int
    together: Mapping[int, Fetched]
    start: Params
    trained: Trained


@dataclass
class FederationState:
    """All that a run must keep to go on: plain arrays and numbers, but for what training is still to give.

    That follows from the round and from the starts, so that it can be started again.
    """

    model: Params
    version: int = 0
    last_change: Payload | None = None  # what brought version - 1 to version, as it is broadcast
    held_version: dict[int, int] = field(default_factory=dict)  # by client; absent: it has nothing yet
    fetching: dict[int, Fetched] = field(default_factory=dict)  # by client: what the last downlink to it brings
    fetched: dict[int, Fetched] = field(default_factory=dict)  # by client: what it has and has not trained from yet
    trained_version: dict[int, int] = field(default_factory=dict)  # of what a training or a pending update starts
    training: dict[int, Training] = field(default_factory=dict)  # by client: started, not waited for yet
    residual: MutableMapping[int, Params] = field(default_factory=dict)
    residual_version: dict[int, int] = field(default_factory=dict)  # by client: in whose basis its residual is
    turns: dict[int, Params] = field(default_factory=dict)  # by version, as far back as anything waits
    personal: MutableMapping[int, Params] = field(default_factory=dict)  # by client; absent: as it was at the start
    pending: dict[int, Update] = field(default_factory=dict)  # trained, not yet aggregated or lost
    sent: dict[int, Params] = field(default_factory=dict)  # decoded payloads of the same
    errors: dict[int, UpdateErrors] = field(default_factory=dict)  # what these payloads lack
    diagnostics: dict[str, float | None] = field(default_factory=dict)


def snapshot(state: FederationState, files: StateFiles) -> dict[str, Any]:
    """The state, but for residuals and personal tensors, as plain data that refers to arrays in `files`."""
    keep, change = files.keep, state.last_change
    calls = {id(training.together): training for training in state.training.values()}
    return {
        "model": _kept_model(state.model, files),
        "version": state.version,
        "last_change": None if change is None else [_kept_bytes(change, files), change.kept_fraction],
        "held_version": [*state.held_version.items()],
        "fetching": [(c, held.version, _kept_model(held.model, files)) for c, held in state.fetching.items()],
        "fetched": [(c, held.version, _kept_model(held.model, files)) for c, held in state.fetched.items()],
        "trained_version": [*state.trained_version.items()],
        "trainings": [
            {
                "round": call.round,
                "starts": [(c, start.version, _kept_model(start.model, files)) for c, start in call.together.items()],
                "waiting": [c for c, training in state.training.items() if training.together is call.together],
            }
            for call in calls.values()
        ],
        "pending": [
            (client, _kept_model(update.base, files), keep(update.change), update.key)
            for client, update in state.pending.items()
        ],
        "sent": [(client, keep(params)) for client, params in state.sent.items()],
        "errors": [(client, *errors) for client, errors in state.errors.items()],
        "residual_version": [*state.residual_version.items()],
        "turns": [(version, keep(maps)) for version, maps in state.turns.items()],
        "diagnostics": state.diagnostics,
    }


def restore(
    state: FederationState,
    plain: Mapping[str, Any],
    files: StateFiles,
    layout: Callable[[int], Layout],
    train: Callable[[Mapping[int, Fetched], int], Mapping[int, Trained]],
) -> None:
    """Put what `snapshot` gave into a state; training that had been started is started again.

    `layout` gives what is open of a version of the model.

    Raises
    ------
    RunFailed
        A file with arrays is gone or damaged.
    """

    models: dict[tuple[int, int], Params] = {}

    def take(place: Any) -> Params:
        if not isinstance(place, dict):
            return files.take(*place)
        which = (*place["rest"],)
        if which not in models:
            found = dict(files.take(*which))
            for name, at in place["weights"].items():
                found |= files.take(*at)
                files.own(found[name], *at)
            models[which] = {name: found[name] for name in place["names"]}
            files.own(models[which], *which)
        return models[which]

    change = plain["last_change"]
    state.model, state.version = take(plain["model"]), plain["version"]
    state.last_change = None
    if change is not None:
        state.last_change = Payload(take(change[0])["data"].tobytes(), change[1])
        files.own(state.last_change, *change[0])
    state.held_version = dict(plain["held_version"])
    state.fetching = {client: Fetched(version, take(place)) for client, version, place in plain["fetching"]}
    state.fetched = {client: Fetched(version, take(place)) for client, version, place in plain["fetched"]}
    state.trained_version = dict(plain["trained_version"])
    state.training = {}
    for call in plain["trainings"]:
        together = {client: Fetched(version, take(place)) for client, version, place in call["starts"]}
        results = train(together, call["round"])
        for client in call["waiting"]:
            state.training[client] = Training(call["round"], together, together[client].model, results[client])
    state.pending = {
        c: Update(take(base), take(changed), layout(state.trained_version[c]), key)
        for c, base, changed, key in plain["pending"]
    }
    state.sent = {client: take(place) for client, place in plain["sent"]}
    state.errors = {client: UpdateErrors(*errors) for client, *errors in plain["errors"]}
    state.residual_version = dict(plain["residual_version"])
    state.turns = {version: take(place) for version, place in plain["turns"]}
    state.diagnostics = dict(plain["diagnostics"])


def _kept_model(model: Params, files: StateFiles) -> Any:
    """A model whose backbone's weights, which are large and mostly stay, have places of their own."""
    weights = {name: value for name, value in model.items() if name.startswith(WEIGHTS)}
    if not weights:
        return files.keep(model)
    rest = {name: value for name, value in model.items() if name not in weights}
    return {
        "names": [*model],
        "rest": files.keep(rest, owner=model),
        "weights": {name: files.keep({name: value}, owner=value) for name, value in weights.items()},
    }


def _kept_bytes(payload: Payload, files: StateFiles) -> Kept:
    return files.keep({"data": np.frombuffer(payload.data, np.uint8)}, owner=payload)
