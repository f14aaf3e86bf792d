"""The federation: global model, clients' residuals and pending updates; joins method, codec and learner.

The learning side of a run. Knows neither SimPy nor the radio: a protocol calls it with clients and rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from wfl_sim import lowrank
from wfl_sim.codecs.base import Codec, Layout, Update
from wfl_sim.contracts import AnyPayload, Params, Payload, PayloadMenu, Point, Trained
from wfl_sim.errors import RunFailed
from wfl_sim.methods.base import Arrival, Method


class Learner(Protocol):
    """Trains and evaluates parameters on one task; `wfl_sim.learning.training.Trainer` is one.

    `train` starts a round of local training of clients, each from its own parameters, and says for each how to get
    what became of them. Who is trained together with whom may change the last bits of a result, so that clients whose
    training begins at the same instant are handed over in one call, and in no other. What is never asked for need not
    be trained.
    """

    layout: Layout

    def initial(self) -> Params: ...
    def examples(self, client: int) -> int: ...
    def train(self, starts: Mapping[int, Params], round_: int) -> Mapping[int, Trained]: ...
    def evaluate(self, params: Params) -> dict[str, float]: ...


class Fetched(NamedTuple):
    """A model as a client got it, which the server may have moved on from since."""

    version: int
    model: Params


@dataclass
class FederationState:
    """All that a run must keep to go on: plain arrays and numbers."""

    model: Params
    version: int = 0
    last_change: Payload | None = None  # what brought version - 1 to version, as it is broadcast
    held_version: dict[int, int] = field(default_factory=dict)  # by client; absent: it has nothing yet
    fetching: dict[int, Fetched] = field(default_factory=dict)  # by client: what the last downlink to it brings
    fetched: dict[int, Fetched] = field(default_factory=dict)  # by client: what it has and has not trained from yet
    trained_version: dict[int, int] = field(default_factory=dict)  # of what a pending update is a change
    residual: dict[int, Params] = field(default_factory=dict)
    pending: dict[int, Update] = field(default_factory=dict)  # trained, not yet aggregated or lost
    sent: dict[int, Params] = field(default_factory=dict)  # decoded payloads of the same
    diagnostics: dict[str, float | None] = field(default_factory=dict)


class Federation:
    """See `wfl_sim.contracts.Work` for what a protocol may ask."""

    def __init__(self, method: Method, codec: Codec, learner: Learner, clients: int) -> None:
        self.method, self.codec, self.learner, self.clients = method, codec, learner, clients
        self.state = FederationState(learner.initial())
        self._menu = codec.menu(learner.layout)
        self._full: tuple[int, Payload] | None = None  # of the version that was asked for last
        total = sum(learner.examples(client) for client in range(clients))
        self._weight = [learner.examples(client) / total for client in range(clients)]

    def weight(self, client: int) -> float:
        """The client's share of all examples."""
        return self._weight[client]

    def menu(self, client: int) -> PayloadMenu:
        """What the client could send."""
        return self._menu

    def downlink(self, clients: Sequence[int]) -> Payload:
        """The last change if none of `clients` is further behind than that, else the full set at 32 bits.

        What it brings is the model as it is now, whenever it arrives: see `received`.
        """
        state = self.state
        now = Fetched(state.version, state.model)
        state.fetching.update(dict.fromkeys(clients, now))
        behind = state.version - min(state.held_version.get(client, -1) for client in clients)
        if state.last_change is not None and behind <= 1:
            return state.last_change
        if self._full is None or self._full[0] != state.version:
            data = b"".join(value.astype("<f4").tobytes() for value in state.model.values())
            self._full = state.version, Payload(data, 1.0)
        return self._full[1]

    def received(self, clients: Sequence[int]) -> None:
        """`clients` now hold the model that was the current one when their last downlink was asked for."""
        state = self.state
        for client in clients:
            state.fetched[client] = state.fetching.pop(client, Fetched(state.version, state.model))
            state.held_version[client] = state.fetched[client].version

    def train(self, round_: int, clients: Sequence[int]) -> None:
        """Train `clients` from the model that they have received, or the current one if they have not received any.

        Their changes wait, with what was left unsent before.
        """
        state = self.state
        for client in clients:
            version, model = state.fetched.pop(client, Fetched(state.version, state.model))
            state.trained_version[client] = version
            after = self.learner.train({client: model}, round_)[client]()
            change = {name: value - model[name] for name, value in after.items()}
            left = self.state.residual.pop(client, None)
            if left is not None:
                change = {name: value + left[name] for name, value in change.items()}
            if not all(np.isfinite(value).all() for value in change.values()):
                raise RunFailed(
                    f"round {round_}: the training of client {client} diverged (an update is not finite); "
                    "lower learning.local.lr or learning.local.head_lr"
                )
            self.state.pending[client] = Update(model, change, self.learner.layout)

    def encode(self, client: int, point: Point) -> Payload:
        """Code a trained client's change; what is left out waits at the client if the codec feeds errors back."""
        update = self.state.pending[client]
        payload = self.codec.encode(update, point.kept_fraction)
        sent = self.codec.decode(payload.data, update.layout)
        self.state.sent[client] = sent
        self._keep(client, {name: value - sent[name] for name, value in update.change.items()})
        return payload

    def lost(self, client: int) -> None:
        """A payload did not arrive, or was never sent: the whole change waits at the client, whatever the codec."""
        self.state.residual[client] = self.state.pending[client].change
        self._forget(client)

    def _forget(self, client: int) -> None:
        for book in (self.state.pending, self.state.sent, self.state.trained_version):
            book.pop(client, None)

    def _keep(self, client: int, unsent: Params) -> None:
        decay = np.float32(self.codec.error_feedback)
        if decay > 0:
            self.state.residual[client] = {name: decay * value for name, value in unsent.items()}

    def aggregate(self, arrivals: Mapping[int, AnyPayload], factors: Mapping[int, float] | None = None) -> None:
        """Merge what arrived. Weights are shares among the arrivals; without any, the model stays.

        With `factors`, a client's change counts times its own: the shares go as data times factor, and the model goes
        that part of the way to what the method makes of them to which data times factor sum.
        """
        state, layout = self.state, self.learner.layout
        order = sorted(arrivals)  # by client, also for the total: who was faster changes no bit
        total = sum(self._weight[client] for client in order)
        share = {client: self._weight[client] / total for client in order}
        step = 1.0
        if factors is not None:
            step = sum(share[client] * factors[client] for client in order)
            share = {client: share[client] * factors[client] / step if step else 0.0 for client in order}
        merged = [
            Arrival(client, state.sent[client], share[client], state.version - state.trained_version[client])
            for client in order
        ]
        self.state.diagnostics = self._diagnose(merged)
        for client in order:
            self._forget(client)
        if not merged or not step:
            return
        target = self.method.aggregate(state.model, merged)
        change = {name: value - state.model[name] for name, value in target.items()}
        if factors is not None:
            change = {name: np.float32(step) * value for name, value in change.items()}
        # The server moves by what it will broadcast, so that clients hold its model bit for bit.
        payload = self.codec.encode_changed(Update(state.model, change, layout))
        decoded = self.codec.decode(payload.data, layout)
        state.model = {name: value + decoded[name] for name, value in state.model.items()}
        state.version, state.last_change = state.version + 1, payload

    def evaluate(self) -> dict[str, float | None]:
        """Accuracy and loss of the current model on held-out examples."""
        return {**self.learner.evaluate(self.state.model)}

    def diagnostics(self) -> dict[str, Any]:
        """Rank, coherence of the global factors, and the errors of the last aggregation."""
        pairs = self.learner.layout.pairs
        adapter = self.method.adapter()
        model = self.state.model
        return {
            "rank": adapter.rank if adapter else 0,
            "coherence_a": max((lowrank.coherence(model[a]) for a, _ in pairs), default=None),
            "coherence_b": max((lowrank.coherence(model[b].T) for _, b in pairs), default=None),
            **self.state.diagnostics,
        }

    def _diagnose(self, arrivals: Sequence[Arrival]) -> dict[str, float | None]:
        """e_cov over what arrived, e_sp over what the arrivals' codec left out.

        Changes are merged on the model of now, so e_cov takes each client's factors to be that model and its change.
        What the codec left out it left out of the client's own factors: e_sp starts from the model that was fetched.
        """
        pairs, model = self.learner.layout.pairs, self.state.model
        if not pairs or not arrivals:
            return {"e_cov": None, "e_sp": None}
        weights = [arrival.weight for arrival in arrivals]
        e_cov = e_sp = 0.0
        for a, b in pairs:
            e_cov += lowrank.covariance_gap(
                [(model[a] + x.change[a], model[b] + x.change[b]) for x in arrivals], weights
            )
            for arrival in arrivals:
                update, sent = self.state.pending[arrival.client], arrival.change
                base_a, base_b, full = update.base[a], update.base[b], update.change
                e_sp += arrival.weight * lowrank.product_gap(
                    base_a + full[a], base_b + full[b], base_a + sent[a], base_b + sent[b]
                )
        return {"e_cov": e_cov, "e_sp": e_sp}
