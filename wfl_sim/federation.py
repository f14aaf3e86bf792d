"""The federation: global model, clients' residuals and pending updates; joins method, codec and learner.

The learning side of a run. Knows neither SimPy nor the radio: a protocol calls it with clients and rounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from wfl_sim import federationstate, lowrank
from wfl_sim.clientstate import ClientStates
from wfl_sim.codecs.base import Codec, Layout, Update
from wfl_sim.contracts import AnyPayload, Params, Payload, PayloadMenu, Point, Trained
from wfl_sim.errors import NotFinite, RunFailed
from wfl_sim.federationstate import FederationState, Fetched, Training
from wfl_sim.measured import Measured
from wfl_sim.methods.base import Arrival, Method, personal_of
from wfl_sim.statefiles import StateFiles

OnDivergence = Literal["fail", "drop_client"]
REMEDY = "lower learning.local.lr or learning.local.head_lr"


class Learner(Protocol):
    """Trains and evaluates parameters on one task; `wfl_sim.learning.training.Trainer` is one.

    `train` starts a round of local training of clients, each from its own parameters, and says for each how to get
    what became of them. Who is trained together with whom may change the last bits of a result, so that clients whose
    training begins at the same instant are handed over in one call, and in no other. What is never asked for need not
    be trained. `frozen` is what belongs to the model besides, and is neither trained nor sent.
    """

    layout: Layout
    frozen: Params

    def initial(self) -> Params: ...
    def examples(self, client: int) -> int: ...
    def train(self, starts: Mapping[int, Params], round_: int) -> Mapping[int, Trained]: ...
    def evaluate(self, params: Params) -> dict[str, float]: ...
    def close(self) -> None: ...


class Federation:
    """See `wfl_sim.contracts.Work` for what a protocol may ask.

    Training is started by `train` and waited for when its result is first needed: by `encode`, `lost` or `aggregate`.
    `model` and `version` are those that the server has; tensors that the method leaves with each client
    (`Method.personal`) are in neither, nor in what is coded.

    Parameters
    ----------
    method, codec, learner
    clients : int
    on_divergence : {"fail", "drop_client"}
        What becomes of a client whose update is not finite: the run ends, or the client sends nothing.
    states : ClientStates, optional
        Where the clients' residuals and personal tensors are kept.
    measures : bool
        Whether clients tell what each point of their menu would have dropped of their last update.
    """

    def __init__(
        self,
        method: Method,
        codec: Codec,
        learner: Learner,
        clients: int,
        on_divergence: OnDivergence = "fail",
        states: ClientStates | None = None,
        measures: bool = False,
    ) -> None:
        self.method, self.codec, self.learner, self.clients = method, codec, learner, clients
        self.known_at_once = False
        self._drops = on_divergence == "drop_client"
        names = tuple(learner.layout.shapes)
        self._personal = personal_of(method, names)
        self.layout = learner.layout.without(self._personal)
        first, states = learner.initial(), states or ClientStates()
        self._states = states
        self._own = {name: first.pop(name) for name in names if name in self._personal}
        self.state = FederationState(first, residual=states.book("residual"), personal=states.book("personal"))
        self._mean: Params | None = self._own  # of the tensors that clients have; None: not known yet
        self._measured = Measured(codec, codec.menu(self.layout), measures)
        self.menus_change = self._measured.changes
        self._full: tuple[int, Payload] | None = None  # of the version that was asked for last
        total = sum(learner.examples(client) for client in range(clients))
        self._weight = [learner.examples(client) / total for client in range(clients)]

    def weight(self, client: int) -> float:
        """The client's share of all examples."""
        return self._weight[client]

    def menu(self, client: int) -> PayloadMenu:
        """What the client could send."""
        return self._measured.menu(client)

    def importance(self, client: int) -> float:
        """The energy of the client's last change, or nan."""
        return self._measured.importance(client)

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
        """Start to train `clients`, all at once, from the model that they have received, or the current one if none.

        Tensors of their own they train on from where they left them.
        """
        state, starts = self.state, dict[int, Params]()
        for client in clients:
            version, model = state.fetched.pop(client, Fetched(state.version, state.model))
            state.trained_version[client] = version
            starts[client] = self._whole(model, state.personal.get(client, self._own))
        for client, trained in self.learner.train(starts, round_).items():
            state.training[client] = Training(round_, starts, starts[client], trained)

    def _whole(self, model: Params, own: Params) -> Params:
        """The global tensors with those of one client, in the learner's order."""
        if not own:
            return model
        return {name: own[name] if name in own else model[name] for name in self.learner.layout.shapes}

    def update(self, client: int) -> Update | None:
        """What came of a client's training, with what was left unsent before; None where it diverged.

        Waits for the training the first time.
        """
        state = self.state
        if (training := state.training.pop(client, None)) is None:
            return state.pending[client]
        after, start = training.trained(), training.start
        left = state.residual.pop(client, None)
        own = {name: after[name] for name in self._own}
        base = {name: value for name, value in start.items() if name not in own} if own else start
        with np.errstate(over="ignore", invalid="ignore"):  # which is told below
            change = {name: after[name] - value for name, value in base.items()}
            if left is not None:
                change = {name: value + left[name] for name, value in change.items()}
        if not (_finite(change) and _finite(own)):
            if self._drops:
                return None
            raise RunFailed(
                f"round {training.round}: the training of client {client} diverged (an update is not finite); "
                f"{REMEDY}, or set learning.on_divergence to drop_client"
            )
        if own:
            state.personal[client], self._mean = own, None
        state.pending[client] = Update(base, change, self.layout)
        return state.pending[client]

    def encode(self, client: int, point: Point) -> Payload | None:
        """Code a trained client's change; what is left out waits at the client if the codec feeds errors back.

        A client whose training diverged, where that does not end the run, has nothing to send: nothing of it is kept,
        nor of what had waited at it before.
        """
        update = self.update(client)
        if update is None:
            self._forget(client)
            return None
        payload = self.codec.encode(update, point.kept_fraction)
        self._measured.note(client, update)
        sent = self.codec.decode(payload.data, update.layout)
        self.state.sent[client] = sent
        self._keep(client, {name: value - sent[name] for name, value in update.change.items()})
        return payload

    def stopped(self, client: int) -> None:
        """Computing was cut short: there is no change of this round, and nobody waits for what it would have been.

        What is simulated is a client that left, or was told to stop, in the midst of its steps, and whose energy counts
        up to then. To keep its change, as `lost` does, would give it work that it has not done. What had waited at it
        before goes on waiting, and tensors of its own are as they were.
        """
        self._forget(client)

    def lost(self, client: int) -> None:
        """A payload did not arrive, or was never sent: the whole change waits at the client, whatever the codec."""
        update = self.update(client)
        if update is not None:
            self.state.residual[client] = update.change
        self._forget(client)

    def _forget(self, client: int) -> None:
        for book in (self.state.training, self.state.pending, self.state.sent, self.state.trained_version):
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
        state, layout = self.state, self.layout
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
        with np.errstate(over="ignore", invalid="ignore"):  # which is told below
            target = self.method.aggregate(state.model, merged)
            change = {name: value - state.model[name] for name, value in target.items()}
            if factors is not None:
                change = {name: np.float32(step) * value for name, value in change.items()}
            _check_model(change)
            # The server moves by what it will broadcast, so that clients hold its model bit for bit.
            payload = self.codec.encode_changed(Update(state.model, change, layout))
            decoded = self.codec.decode(payload.data, layout)
            model = {name: value + decoded[name] for name, value in state.model.items()}
        _check_model(model)
        state.model, state.version, state.last_change = model, state.version + 1, payload

    def evaluate(self) -> dict[str, float | None]:
        """Accuracy and loss of `model` on held-out examples."""
        metrics = self.learner.evaluate(self._global())
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise NotFinite(f"the {name} of the global model is {value}; {REMEDY}")
        return {**metrics}

    def snapshot(self, files: StateFiles) -> dict[str, Any]:
        """What it takes to go on from here, its arrays kept in `files`."""
        return {
            "federation": federationstate.snapshot(self.state, files),
            "clients": self._states.snapshot(files),
            "measured": self._measured.snapshot(files),
        }

    def restore(self, plain: Mapping[str, Any], files: StateFiles) -> None:
        """Go on from where `snapshot` was made. Raises RunFailed where a file with arrays is gone or damaged."""
        federationstate.restore(self.state, plain["federation"], files, self.layout, self.learner.train)
        self._states.restore(plain["clients"], files)
        self._measured.restore(plain["measured"], files)
        self._mean, self._full = None, None

    def close(self) -> None:
        """Stop what still trains."""
        self.learner.close()

    def model(self) -> tuple[int, Params]:
        """The number of the version, and the model: what the server has, what is frozen, means of what clients have.

        Means are weighted by data, over all clients: who has not trained yet has the first values.
        """
        return self.state.version, {**self.learner.frozen, **self._global()}

    def _global(self) -> Params:
        return self._whole(self.state.model, self._mean_own())

    def _mean_own(self) -> Params:
        if self._mean is None:
            trained, personal = sorted(self.state.personal), self.state.personal
            rest = 1.0 - math.fsum(self._weight[client] for client in trained)
            total = {name: rest * value.astype(np.float64) for name, value in self._own.items()}
            for client in trained:
                for name, value in personal[client].items():
                    total[name] += self._weight[client] * value.astype(np.float64)
            self._mean = {name: value.astype(np.float32) for name, value in total.items()}
        return self._mean

    def diagnostics(self) -> dict[str, Any]:
        """Rank, coherence of the global factors, and the errors of the last aggregation."""
        pairs = self.layout.pairs
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
        pairs, model = self.layout.pairs, self.state.model
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


def _finite(params: Params) -> bool:
    return all(np.isfinite(value).all() for value in params.values())


def _check_model(params: Params) -> None:
    if not _finite(params):
        raise NotFinite(f"the global model is not finite after the aggregation; {REMEDY}")
