"""The federation: global model, clients' residuals and pending updates; joins method, codec and learner.

The learning side of a run. Knows neither SimPy nor the radio: a protocol calls it with clients and rounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from wfl_sim import federationstate, lowrank, merging, turning
from wfl_sim.clientstate import ClientStates
from wfl_sim.codecs.base import Codec, Layout, Update, decoded, update_key
from wfl_sim.contracts import AnyPayload, Params, Payload, PayloadMenu, Point, Trained
from wfl_sim.downlinks import Downlinks
from wfl_sim.errors import NotFinite
from wfl_sim.federationstate import FederationState, Fetched, Training
from wfl_sim.measured import Measured
from wfl_sim.methods.base import NORMS, WEIGHTS, Arrival, Lesson, Method, personal_of
from wfl_sim.personal import Personal
from wfl_sim.stages import Stages
from wfl_sim.statefiles import StateFiles
from wfl_sim.turning import Turns
from wfl_sim.updateerrors import aggregated, errors_of

OnDivergence = Literal["fail", "drop_client"]


class Learner(Protocol):
    """Trains and evaluates parameters on one task; `wfl_sim.learning.training.Trainer` is one.

    `train` starts a round of local training of clients, each from its own parameters, and says for each how to get
    what became of them. Who is trained together with whom may change the last bits of a result, so that clients whose
    training begins at the same instant are handed over in one call, and in no other. What is never asked for need not
    be trained. `frozen` is what belongs to the model besides, and is neither trained nor sent. `initial` gives also
    what the server alone sets, which is not in the layout; `fresh` the adapters drawn anew for a version of the model.
    Where the method has stages there is a lesson for each client, and what it opens alone is trained, and given back.
    """

    layout: Layout
    frozen: Params

    def initial(self) -> Params: ...
    def fresh(self, version: int) -> Params: ...
    def examples(self, client: int) -> int: ...
    def train(
        self, starts: Mapping[int, Params], round_: int, lessons: Mapping[int, Lesson] | None = None
    ) -> Mapping[int, Trained]: ...
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
    clients : int or range
        How many there are, or which, of a run that has others besides.
    on_divergence : {"fail", "drop_client"}
        What becomes of a client whose update is not finite: the run ends, or the client sends nothing.
    states : ClientStates, optional
        Where the clients' residuals and personal tensors are kept.
    measures : bool
        Whether clients tell what each point of their menu would have dropped of their last update.
    salt : int
        From the seed of the run: see `wfl_sim.codecs.base.update_key`.
    rounds : int
        Of the run: methods with stages go by it.
    """

    def __init__(
        self,
        method: Method,
        codec: Codec,
        learner: Learner,
        clients: int | range,
        on_divergence: OnDivergence = "fail",
        states: ClientStates | None = None,
        measures: bool = False,
        salt: int = 0,
        rounds: int = 1,
    ) -> None:
        self.method, self.codec, self.learner = method, codec, learner
        self.known_at_once, self._salt = False, salt
        self._drops = on_divergence == "drop_client"
        names = tuple(learner.layout.shapes)
        personal = personal_of(method, names)
        self._stages = Stages(method, codec, learner.layout.without(personal), rounds)
        self.menus_vary = self._stages.vary
        first, states = learner.initial(), states or ClientStates()
        self._states = states
        own = {name: first.pop(name) for name in names if name in personal}
        # 0 in version 0: what the server alone sets, and changes of what was pre-trained.
        zeros = [name for name in first if name not in names or name.startswith((WEIGHTS, NORMS))]
        served = [name for name in zeros if name not in names]
        self._products, self._renews = getattr(method, "merges_products", False), getattr(method, "renews", False)
        self.state = FederationState(first, residual=states.book("residual"), personal=states.book("personal"))
        self._turns = Turns(self.layout.pairs)
        # What was measured of one stage's update says nothing of the next one's.
        self._measured = Measured(codec, self._stages.at(0).menu, measures and not self.menus_vary)
        self.menus_change = self._measured.changes
        drawn = learner.layout.factors if getattr(method, "begins_anew", False) else ()
        self._downlinks = Downlinks(self.state, self._stages, self._turns, zeros, drawn)
        examples = {k: learner.examples(k) for k in (range(clients) if isinstance(clients, int) else clients)}
        total = sum(examples.values())
        self._weight = {client: own / total for client, own in examples.items()}
        self._personal = Personal(own, self.state.personal, self._weight, (*names, *served))

    @property
    def layout(self) -> Layout:
        """What is trained and sent of the model as it is now."""
        return self._stages.at(self.state.version).layout

    def weight(self, client: int) -> float:
        """The client's share of all examples."""
        return self._weight[client]

    def menu(self, client: int) -> PayloadMenu:
        """What the client could send."""
        return self._stages.at(self.state.version).menu if self.menus_vary else self._measured.menu(client)

    def importance(self, client: int) -> float:
        """The energy of the client's last change, or nan."""
        return self._measured.importance(client)

    def downlink(self, clients: Sequence[int]) -> Payload:
        """What brings all of them to the model as it is now, whenever it arrives: see `received`."""
        state = self.state
        now = Fetched(state.version, state.model)
        state.fetching.update(dict.fromkeys(clients, now))
        return self._downlinks.to(clients)

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
        state, starts = self.state, dict[int, Fetched]()
        for client in clients:
            version, model = state.fetched.pop(client, Fetched(state.version, state.model))
            state.trained_version[client] = version
            starts[client] = Fetched(version, self._personal.with_client(model, client))
        for client, trained in self._started(starts, round_).items():
            state.training[client] = Training(round_, starts, starts[client].model, trained)

    def _started(self, starts: Mapping[int, Fetched], round_: int) -> Mapping[int, Trained]:
        models = {client: start.model for client, start in starts.items()}
        if not self.menus_vary:
            return self.learner.train(models, round_)
        own = self._personal.first.keys()
        return self.learner.train(
            models, round_, {c: self._stages.at(start.version).lesson(own) for c, start in starts.items()}
        )

    def update(self, client: int) -> Update | None:
        """What came of a client's training, with what was left unsent before; None where it diverged.

        Waits for the training the first time.
        """
        state = self.state
        if (training := state.training.pop(client, None)) is None:
            return state.pending[client]
        after, start = training.trained(), training.start
        layout = self._stages.at(state.trained_version[client]).layout
        left, since = state.residual.pop(client, None), state.residual_version.pop(client, 0)
        if left is not None:
            left = self._going_on(client, self._turns.carried(left, since, state.trained_version[client]), layout)
        own, base = {name: after[name] for name in self._personal.first}, self._personal.without(start)
        with np.errstate(over="ignore", invalid="ignore"):  # which is told below
            change = {name: after[name] - base[name] for name in layout.shapes}
            if left is not None:
                change = {name: value + left[name] if name in left else value for name, value in change.items()}
        if not (merging.finite(change) and merging.finite(own)):
            if self._drops:
                state.residual.pop(client, None)
                return None
            raise merging.diverged(training.round, client)
        self._personal.put(client, own)
        state.pending[client] = Update(base, change, layout, update_key(client, training.round, self._salt))
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
        sent = decoded(self.codec, payload.data, update.layout, update.base)
        self.state.sent[client] = sent
        self.state.errors[client] = errors_of(self.codec, update, payload, sent)
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
            self._wait(client, update.change)
        self._forget(client)

    def _forget(self, client: int) -> None:
        state = self.state
        for book in (state.training, state.pending, state.sent, state.errors, state.trained_version):
            book.pop(client, None)

    def _going_on(self, client: int, left: Params, layout: Layout) -> Params:
        """What of it can be sent now. What is closed in this stage waits; other shapes are another basis, and lost."""
        stage = self._stages.at(self.state.version)
        closed = {n: value for n, value in left.items() if n not in layout.shapes and not stage.ended(n)}
        if closed:
            self._wait(client, closed)
        return {name: value for name, value in left.items() if layout.shapes.get(name) == value.shape}

    def _keep(self, client: int, unsent: Params) -> None:
        decay = np.float32(self.codec.error_feedback)
        if decay > 0:
            self._wait(client, {name: decay * value for name, value in unsent.items()})

    def _wait(self, client: int, change: Params) -> None:
        """Part of a change waits at the client: of factors that the next model does not know, nothing."""
        if self._renews:
            lost = self.layout.factors
            change = {name: np.zeros_like(value) if name in lost else value for name, value in change.items()}
        self.state.residual[client] = {**self.state.residual.get(client, {}), **change}
        self.state.residual_version[client] = self.state.trained_version[client]

    def aggregate(self, arrivals: Mapping[int, AnyPayload], factors: Mapping[int, float] | None = None) -> None:
        """Merge what arrived. Weights are shares among the arrivals; without any, the model stays.

        With `factors`, a client's change counts times its own: the shares go as data times factor, and the model goes
        that part of the way to what the method makes of them to which data times factor sum.
        """
        state = self.state
        order = sorted(arrivals)  # by client, also for the total: who was faster changes no bit
        total = sum(self._weight[client] for client in order)
        share = {client: self._weight[client] / total for client in order}
        step = 1.0
        if factors is not None:
            step = sum(share[client] * factors[client] for client in order)
            share = {client: share[client] * factors[client] / step if step else 0.0 for client in order}
        merged = [self._arrival(client, share[client]) for client in order]
        averaged = None if self._products else state.model
        errors = [state.errors[client] for client in order]
        state.diagnostics = aggregated(self._common_pairs(merged), averaged, merged, errors)
        for client in order:
            self._forget(client)
        if merged and step:
            self.move(merged, step)

    def move(self, merged: Sequence[Arrival], step: float = 1.0) -> None:
        """Go a step of the way to what the method makes of changes, whose weights are shares, and tell the clients."""
        state, stage = self.state, self._stages.at(self.state.version)
        key = update_key(0, state.version, self._salt)
        with np.errstate(over="ignore", invalid="ignore"):  # which is told below
            # The server moves by what it will broadcast, so that clients hold its model bit for bit.
            layout = self._reached(merged)
            model, payload = merging.step(stage.method, self.codec, layout, state.model, merged, step, key)
        if getattr(self.method, "begins_anew", False):
            model |= self.learner.fresh(state.version + 1)
        merging.check(model)
        self._stages.go_on(state.version + 1, state.model, model)
        told = self._stages.at(state.version + 1).told + self._stages.which(layout, stage.layout)
        payload = Payload(payload.data + told, payload.kept_fraction) if told else payload
        state.model, state.version, state.last_change = model, state.version + 1, payload
        self._turn()

    def _common_pairs(self, merged: Sequence[Arrival]) -> list[tuple[str, str]]:
        """The pairs of which all arrivals have changes, of the rank that the model has now."""
        shapes = {name: value.shape for name, value in self.state.model.items()}
        sent = [{name: value.shape for name, value in arrival.change.items()} for arrival in merged]
        return [(a, b) for a, b in self.layout.pairs if all(one.get(a) == shapes[a] and b in one for one in sent)]

    def _reached(self, merged: Sequence[Arrival]) -> Layout:
        """The layout of what the arrivals change: what is open now, unless some began in an earlier stage."""
        names = {name for arrival in merged for name in arrival.change}
        return self.layout if names <= self.layout.shapes.keys() else self._stages.whole(names, self.state.model)

    def _arrival(self, client: int, weight: float) -> Arrival:
        """What came of a client, in the basis of the model as it is now."""
        state = self.state
        since = state.trained_version[client]
        if since == state.version:
            return Arrival(client, state.sent[client], weight)
        change = self._turns.carried(state.sent[client], since, state.version)
        base = self._turns.carried(state.pending[client].base, since, state.version)
        return Arrival(client, change, weight, state.version - since, base)

    def _turn(self) -> None:
        """Let the method choose a basis, which all who hold the model work out alike, and note the way to it."""
        state, turn = self.state, getattr(self.method, "turn", None)
        maps = turning.rounded(turn(state.model)) if turn is not None else {}
        if maps:
            state.model = turning.turned(state.model, maps, self.layout.pairs)
        self._turns.add(state.version, maps)
        fetched = [held.version for book in (state.fetching, state.fetched) for held in book.values()]
        started = [start.version for training in state.training.values() for start in training.together.values()]
        needed = (*state.trained_version.values(), *fetched, *started)
        self._turns.forget((*needed, *state.residual_version.values()), state.version)
        self._stages.forget(needed, state.version)
        state.turns = self._turns.made

    def evaluate(self) -> dict[str, float | None]:
        """Accuracy and loss of `model` on held-out examples."""
        metrics = self.learner.evaluate(self._global())
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise NotFinite(f"the {name} of the global model is {value}; {merging.REMEDY}")
        return {**metrics}

    def snapshot(self, files: StateFiles) -> dict[str, Any]:
        """What it takes to go on from here, its arrays kept in `files`."""
        return {
            "federation": {**federationstate.snapshot(self.state, files), "notes": self._stages.kept()},
            "clients": self._states.snapshot(files),
            "measured": self._measured.snapshot(files),
        }

    def restore(self, plain: Mapping[str, Any], files: StateFiles) -> None:
        """Go on from where `snapshot` was made. Raises RunFailed where a file with arrays is gone or damaged."""
        self._stages.restore(plain["federation"]["notes"])
        federationstate.restore(
            self.state, plain["federation"], files, lambda version: self._stages.at(version).layout, self._started
        )
        self._states.restore(plain["clients"], files)
        self._measured.restore(plain["measured"], files)
        self._personal.forget_mean()
        self._downlinks.forget()
        self._turns.made = self.state.turns

    def close(self) -> None:
        """Stop what still trains."""
        self.learner.close()

    def model(self) -> tuple[int, Params]:
        """The number of the version, and the model: what the server has, what is frozen, means of what clients have.

        Means are weighted by data, over all clients: who has not trained yet has the first values.
        """
        return self.state.version, {**self.learner.frozen, **self._global()}

    def _global(self) -> Params:
        return self._personal.with_mean(self.state.model)

    @property
    def rank(self) -> int:
        """That of the adapters of the model as it is now; 0 without any."""
        adapter = self._stages.at(self.state.version).method.adapter()
        return int(adapter.rank) if adapter else 0

    def diagnostics(self) -> dict[str, Any]:
        """Rank, coherence of the global factors, and the errors of the last aggregation."""
        pairs, model = self.layout.pairs, self.state.model
        return {
            "rank": self.rank,
            "coherence_a": max((lowrank.coherence(model[a]) for a, _ in pairs), default=None),
            "coherence_b": max((lowrank.coherence(model[b].T) for _, b in pairs), default=None),
            **self.state.diagnostics,
        }
