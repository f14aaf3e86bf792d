"""The learning side of H2Tune: one server for groups of clients with any backbones, which share square matrices.

Knows clients, arrays and payloads; neither SimPy nor the radio, and how a client trains only by name. A protocol sees a
`wfl_sim.contracts.Work`. Besides the matrices, what the server has are heads: of each group its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from wfl_sim import merging, shapestate
from wfl_sim.clientstate import ClientStates
from wfl_sim.codecs.base import Codec, Layout, Update, update_key
from wfl_sim.contracts import AnyPayload, Params, Payload, PayloadMenu, Point, Trained
from wfl_sim.federation import Learner, OnDivergence
from wfl_sim.methods import alignment
from wfl_sim.methods.base import Arrival
from wfl_sim.methods.h2tune import ALIGNMENT, BEGUN, DELTA, SHAPE, H2Tune
from wfl_sim.ownmodels import NOTHING, Judge, judged, mean
from wfl_sim.shapecode import ShapeCode
from wfl_sim.shapestate import Held, State
from wfl_sim.statefiles import StateFiles

_NO_DIAGNOSTICS = ("coherence_a", "coherence_b", "e_cov", "e_sp", "e_sp_score", "e_q")


class Pupil(Learner, Judge, Protocol):
    """What trains the clients of a group: a `wfl_sim.learning.training.Trainer` over `triples.TripleTraining` does."""


@dataclass(frozen=True)
class Side:
    """A group on the server's side. `name` is empty where there are no groups."""

    name: str
    task: str
    clients: range
    examples: int
    depth: int
    method: H2Tune
    learner: Pupil
    code: ShapeCode

    def head_of(self, params: Params) -> Params:
        """The arrays of a head that are the group's."""
        return {name: params[name] for name in self.code.head}


class ShapeWork:
    """See the module docstring.

    Parameters
    ----------
    sides : sequence of Side
        The groups, whose clients follow each other from 0 on.
    codec : Codec
        That of the server's broadcasts.
    states : ClientStates
        Where clients' own arrays are kept.
    on_divergence : {"fail", "drop_client"}
    salt : int
        From the seed of the run: see `wfl_sim.codecs.base.update_key`.
    """

    known_at_once = False
    menus_change = False

    def __init__(
        self,
        sides: Sequence[Side],
        codec: Codec,
        states: ClientStates,
        on_divergence: OnDivergence = "fail",
        salt: int = 0,
    ) -> None:
        self.sides, self._codec, self._salt, self._drops = tuple(sides), codec, salt, on_divergence == "drop_client"
        self._of = {client: side for side in sides for client in side.clients}
        examples = {client: side.learner.examples(client) for client, side in self._of.items()}
        total = sum(examples.values())
        self._weight = {client: own / total for client, own in examples.items()}
        self._share = {side.name: sum(self._weight[client] for client in side.clients) for side in sides}
        self._states, self._own = states, states.book("personal")
        self._first = {side.name: self._beginning(side) for side in sides}
        self._menus = {side.name: side.code.menu() for side in sides}
        shape = np.zeros(self.sides[0].code.stack, np.float32)
        self.state = State(shape, {side.name: side.head_of(self._first[side.name]) for side in sides})

    def _beginning(self, side: Side) -> Params:
        first: Params = side.learner.initial()
        return first | {ALIGNMENT: alignment.first_scores(side.code.stack[0], side.depth)}

    def weight(self, client: int) -> float:
        """The client's share of all examples of all groups."""
        return self._weight[client]

    def menu(self, client: int) -> PayloadMenu:
        """That of its group."""
        return self._menus[self._of[client].name]

    def downlink(self, clients: Sequence[int]) -> Payload:
        """The last change of G and of their groups' heads if none of them is further behind, else both at 32 bits.

        G of version 0 is 0, which nobody needs to be sent.
        """
        state = self.state
        sides = [side for side in self.sides if any(client in side.clients for client in clients)]
        for client in clients:
            side = self._of[client]
            state.fetching[client] = Held(state.version, state.shape, state.heads[side.name])
        behind = state.version - min(state.held_version.get(client, -1) for client in clients)
        if state.change and behind <= 1:
            data = b"".join(state.change[name] for name in (SHAPE, *(side.name for side in sides)))
        else:
            arrays = [state.shape] if state.version else []
            arrays += [value for side in sides for value in state.heads[side.name].values()]
            data = b"".join(value.astype("<f4").tobytes() for value in arrays)
        return Payload(data, 1.0) if data else NOTHING

    def received(self, clients: Sequence[int]) -> None:
        """`clients` now hold what the server had when their last downlink was asked for."""
        state = self.state
        for client in clients:
            state.fetched[client] = state.fetching.pop(client, self._now(client))
            state.held_version[client] = state.fetched[client].version

    def _now(self, client: int) -> Held:
        return Held(self.state.version, self.state.shape, self.state.heads[self._of[client].name])

    def train(self, round_: int, clients: Sequence[int]) -> None:
        """Start to train `clients`, those of a group together."""
        for side in self.sides:
            starts = dict[int, Params]()
            for client in clients:
                if client in side.clients:
                    held = self.state.fetched.pop(client, None) or self._now(client)
                    self.state.started[client] = held
                    starts[client] = self._start(side, client, held)
            for client, trained in side.learner.train(starts, round_).items() if starts else ():
                self.state.training[client] = round_, starts, trained

    def _start(self, side: Side, client: int, held: Held) -> Params:
        own = self._own.get(client)
        begun = np.array([own is not None], np.float32)
        return {**(own or self._first[side.name]), **held.head, SHAPE: held.shape, BEGUN: begun}

    def encode(self, client: int, point: Point) -> AnyPayload | None:
        """What the client sends of its change of what is shared; the rest stays with it."""
        side, found = self._of[client], self._trained(client)
        if found is None:
            self._forget(client)
            return None
        round_, after = found
        held = self.state.started[client]
        head = {name: after[name] - value for name, value in held.head.items()}
        psi = alignment.shares(after[ALIGNMENT])
        key = update_key(client, round_, self._salt)
        payload = side.code.encode(held.shape, after[DELTA], psi, head, point.kept_fraction, key)
        self.state.sent[client] = side.code.decode(payload.data, held.shape)
        return payload

    def _trained(self, client: int) -> tuple[int, Params] | None:
        """The round and what came of it, of which the client keeps its own; None where it diverged."""
        round_, _, trained = self.state.training.pop(client)
        after, side = trained(), self._of[client]
        if not merging.finite(after):
            if self._drops:
                return None
            raise merging.diverged(round_, client)
        gone = {DELTA, *side.code.head}
        self._own[client] = {name: value for name, value in after.items() if name not in gone}
        return round_, after

    def stopped(self, client: int) -> None:
        """Computing was cut short: the client is as it was before."""
        self._forget(client)

    def lost(self, client: int) -> None:
        """A payload did not arrive: the client keeps its own, and what it changed of what is shared is gone."""
        if client in self.state.training:
            self._trained(client)
        self._forget(client)

    def _forget(self, client: int) -> None:
        for book in (self.state.training, self.state.started, self.state.sent):
            book.pop(client, None)

    def aggregate(self, arrivals: Mapping[int, AnyPayload], factors: Mapping[int, float] | None = None) -> None:
        """Merge what arrived: of G each layer by what clients have to say of it, of heads those of each group."""
        state, order = self.state, sorted(arrivals)
        counted = {client: self._weight[client] * (1.0 if factors is None else factors[client]) for client in order}
        length = sum(counted.values()) / sum(self._weight[client] for client in order) if order else 0.0
        if length:
            state.change = self._merged(order, counted, length)
            state.version += 1
        for client in order:
            self._forget(client)

    def _merged(self, order: Sequence[int], counted: Mapping[int, float], length: float) -> dict[str, bytes]:
        """Move by what is broadcast, which is given back."""
        state, told = self.state, {client: self.state.sent[client] for client in order}
        change = alignment.mean_change(
            [told[client].change for client in order],
            [told[client].mass for client in order],
            [counted[client] for client in order],
        )
        moved, sent = self._broadcast({SHAPE: state.shape}, {SHAPE: length * change})
        state.shape, found = moved[SHAPE], {SHAPE: sent}
        for side in self.sides:
            own = [client for client in order if client in side.clients and counted[client] > 0]
            head, total = state.heads[side.name], sum(counted[client] for client in own)
            found[side.name] = b""
            if own and head:
                arrivals = [Arrival(client, told[client].head, counted[client] / total) for client in own]
                after = side.method.aggregate(head, arrivals)
                step = total / sum(self._weight[client] for client in own)
                changes = {name: step * (after[name].astype(np.float64) - value) for name, value in head.items()}
                state.heads[side.name], found[side.name] = self._broadcast(head, changes)
        return found

    def _broadcast(self, arrays: Params, change: Mapping[str, Any]) -> tuple[Params, bytes]:
        """Arrays after a change as everyone reads it, and its bytes."""
        narrow = {name: np.asarray(value, np.float32) for name, value in change.items()}
        merging.check(narrow)
        layout = Layout((), tuple(arrays), {name: value.shape for name, value in arrays.items()})
        key = update_key(0, self.state.version, self._salt)
        data = self._codec.encode_changed(Update(arrays, narrow, layout, key)).data
        read = self._codec.decode(data, layout)
        return {name: value + read[name] for name, value in arrays.items()}, data

    def evaluate(self) -> dict[str, Any]:
        """Means over the clients' own models, weighted by data; of groups also the row of each."""
        rows, found = list[dict[str, Any]](), list[tuple[float, dict[str, float]]]()
        for side in self.sides:
            count, each = len(side.clients), list[tuple[float, dict[str, float]]]()
            for place, client in enumerate(side.clients):
                params = self._start(side, client, self._now(client))
                each.append((self._weight[client], judged(side.learner, params, place, count, side.method.tested)))
            own, share = mean(each), self._share[side.name]
            found.append((share, own))
            about = {"name": side.name, "task": side.task, "first_client": side.clients.start, "clients": count}
            rows.append({**about, "share": share, "rank": side.code.rank, **own})
        return mean(found) | ({"groups": rows} if self.sides[0].name else {})

    def diagnostics(self) -> dict[str, Any]:
        """The largest rank; there are no factors that all have in common."""
        return {"rank": max(side.code.rank for side in self.sides), **dict.fromkeys(_NO_DIAGNOSTICS)}

    def model(self) -> tuple[int, Params]:
        """The number of the version, and what the server has: G, and heads, before whose names stands their group's."""
        heads = {
            f"{side.name}.{name}" if side.name else name: value
            for side in self.sides
            for name, value in self.state.heads[side.name].items()
        }
        return self.state.version, {SHAPE: self.state.shape, **heads}

    def snapshot(self, files: StateFiles) -> dict[str, Any]:
        """What it takes to go on from here, its arrays kept in `files`."""
        return {"state": shapestate.snapshot(self.state, files), "clients": self._states.snapshot(files)}

    def restore(self, plain: Mapping[str, Any], files: StateFiles) -> None:
        """Go on from where `snapshot` was made. Raises RunFailed where a file with arrays is gone or damaged."""

        def train(starts: Mapping[int, Params], round_: int) -> Mapping[int, Trained]:
            return self._of[next(iter(starts))].learner.train(starts, round_)

        shapestate.restore(self.state, plain["state"], files, train)
        self._states.restore(plain["clients"], files)

    def close(self) -> None:
        """Stop what still trains."""
        for side in self.sides:
            side.learner.close()
