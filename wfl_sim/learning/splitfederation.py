"""The federation of split training: the global model, clients' halves during a round, and what goes between them.

The learning side of a split run; see `wfl_sim.splitwork` for what a protocol may ask. Knows neither SimPy nor radio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wfl_sim import lowrank, merging
from wfl_sim.codecs.base import Codec, Layout, Update, update_key
from wfl_sim.contracts import AnyPayload, Params, Payload, PayloadMenu, Point
from wfl_sim.errors import NotFinite
from wfl_sim.learning import activations
from wfl_sim.methods.base import Arrival
from wfl_sim.methods.split import Split
from wfl_sim.splitsizes import SplitSizes
from wfl_sim.splitwork import Parts
from wfl_sim.statefiles import StateFiles
from wfl_sim.updateerrors import UpdateErrors, aggregated, errors_of

if TYPE_CHECKING:  # which loads the tensor library
    from wfl_sim.learning.splitlocal import Measured, Pair, SplitTraining

Rows = NDArray[np.int64]


@dataclass
class _Session:
    """A client in a round."""

    round: int
    pair: Pair
    base: Params
    rows: Rows  # [steps, batch]
    key: int
    bits: int = 32  # of a value, in this step
    step: int = 0
    sent: bytes = b""  # what went up, or down, last
    change: Params | None = None  # of the client's adapters, as the server reads them
    errors: UpdateErrors | None = None  # of the same

    def sends(self, data: bytes) -> Payload:
        """What goes up or down in this step."""
        self.sent = data
        return Payload(data, self.bits / 32)


class SplitFederation:
    """See `wfl_sim.splitwork.SplitWork` for what a protocol may ask.

    Parameters
    ----------
    method, codec
        The codec carries the clients' adapters.
    training : SplitTraining
    first : Params
        The model that a run begins with.
    layout : Layout
    sizes : SplitSizes
    cuts, examples : sequence of int
        Of each client.
    rows : callable
        Of a client and a round: the training examples of each step [steps, batch].
    rate : callable
        Of a round: what learning rates are multiplied with.
    evaluate : callable
        Gives the metrics of a model.
    drops : bool
        Whether a client whose training diverges sends nothing; else the run ends.
    salt : int
        From the seed of the run: see `wfl_sim.codecs.base.update_key`.
    """

    known_at_once = False

    def __init__(
        self,
        method: Split,
        codec: Codec,
        training: SplitTraining,
        first: Params,
        layout: Layout,
        sizes: SplitSizes,
        cuts: Sequence[int],
        examples: Sequence[int],
        rows: Callable[[int, int], Rows],
        rate: Callable[[int], float],
        evaluate: Callable[[Params], dict[str, float]],
        drops: bool = False,
        salt: int = 0,
    ) -> None:
        self.method, self.codec, self.training, self.layout, self.sizes = method, codec, training, layout, sizes
        self.cuts, self._drops, self._salt = list(cuts), drops, salt
        self._rows, self._rate, self._evaluate = rows, rate, evaluate
        self._weight = [count / sum(examples) for count in examples]
        self._first = {name: first[name] for name in layout.shapes}
        self._below = {cut: _part(layout, training.lower_names(cut)) for cut in set(self.cuts)}
        self._menus = {cut: sizes.menu(cut) for cut in set(self.cuts)}
        self._parts = {cut: sizes.parts(cut) for cut in set(self.cuts)}
        self.current, self.version = self._first, 0
        self._change: Params | None = None  # from the last version to this one, before it was rounded
        self._held: dict[int, int] = {}  # by client: the version that it has
        self._fetching: dict[int, int] = {}
        self._sessions: dict[int, _Session] = {}
        self._trained: list[int] = []  # of the last round, those who began
        self._diagnostics: dict[str, Any] = dict.fromkeys(("e_cov", "e_sp", "e_sp_score", "e_q"))

    # -- what a protocol asks before a round ----------------------------------------------------------

    @property
    def steps(self) -> int:
        """Of a round."""
        return self.sizes.steps

    def weight(self, client: int) -> float:
        """The client's share of all examples."""
        return self._weight[client]

    def menu(self, client: int) -> PayloadMenu:
        """The codings of its activations, with the bits of all that it sends up in a round."""
        return self._menus[self.cuts[client]]

    def parts(self, client: int) -> Parts:
        """Who computes how much of a step."""
        return self._parts[self.cuts[client]]

    def transfer_bits(self, client: int, point: Point) -> int:
        """The most that one way of a step takes."""
        return self.sizes.transfer_bits(_bits_of(point))

    def downlink(self, clients: Sequence[int]) -> Payload:
        """The adapters below the highest cut: their last change if none is further behind, else all at 32 bits."""
        part = self._below[max(self.cuts[client] for client in clients)]
        self._fetching.update(dict.fromkeys(clients, self.version))
        behind = self.version - min(self._held.get(client, -1) for client in clients)
        if self._change is None or behind > 1:
            data = b"".join(self.current[name].astype("<f4").tobytes() for name in part.everything)
            return Payload(data, 1.0)
        change = {name: self._change[name] for name in part.shapes}
        return self.codec.encode_changed(Update(self.current, change, part))

    def received(self, clients: Sequence[int]) -> None:
        """They now hold the model that was the current one when their last downlink was asked for."""
        for client in clients:
            self._held[client] = self._fetching.pop(client, self.version)

    def train(self, round_: int, clients: Sequence[int]) -> None:
        """Clients begin a round, and the server with them, from the model as it is: rounds do not overlap."""
        for client in clients:
            pair = self.training.begin(self.current, self.cuts[client], self._rate(round_))
            key = update_key(client, round_, self._salt)
            self._sessions[client] = _Session(round_, pair, self.current, self._rows(client, round_), key)
        self._trained += clients

    # -- a step -------------------------------------------------------------------------------------

    def forward(self, client: int, point: Point) -> Payload | None:
        """What leaves the client's layers for its next batch, as bytes."""
        session = self._sessions[client]
        session.bits = _bits_of(point)
        found = self.training.forward(session.pair, session.rows[session.step])
        if not self._finite(client, found.states):
            return None
        return session.sends(activations.pack(found, session.bits, session.key, session.step))

    def serve(self, client: int) -> Payload | None:
        """The server reads what came, runs the upper layers with the client's adapters, and gives the gradient."""
        session = self._sessions[client]
        gradient = self.training.serve(session.pair, activations.unpack(session.sent, self.sizes.sizes.hidden))
        if not self._finite(client, gradient):
            return None
        return session.sends(activations.pack_gradient(gradient, session.bits, session.key, session.step))

    def backward(self, client: int) -> None:
        """The client reads the gradient, and ends its step."""
        session = self._sessions[client]
        tokens = session.pair.lower.tokens
        assert tokens is not None  # it went forward
        width = self.sizes.sizes.hidden
        gradient = activations.unpack_gradient(session.sent, width, int(tokens.sum()))
        self.training.backward(session.pair, gradient)
        session.step += 1

    def missed(self, client: int) -> None:
        """The step is over for it, without its part."""
        session = self._sessions[client]
        session.pair.lower.drop()
        session.step += 1

    def _finite(self, client: int, values: NDArray[np.float32]) -> bool:
        """Whether values can be sent; if not, and that does not end the run, the client's round is over."""
        if np.isfinite(values).all():
            return True
        self._diverged(client, "what its halves send each other is not finite")
        return False

    def _diverged(self, client: int, what: str) -> None:
        session = self._sessions.pop(client)
        if not self._drops:
            raise merging.diverged(session.round, client, what)

    # -- the end of a round -----------------------------------------------------------------------------

    def encode(self, client: int, point: Point) -> Payload | None:
        """A client's adapters, as their change in the round; None where they are not finite."""
        session = self._sessions[client]
        part = self._below[self.cuts[client]]
        after = session.pair.lower.trained() | session.pair.upper.trained()
        if not merging.finite(after):
            self._diverged(client, "its adapters are not finite")
            return None
        change = {name: after[name] - session.base[name] for name in part.shapes}
        update = Update(session.base, change, part, session.key)
        payload = self.codec.encode(update, 1.0)
        session.change = self.codec.decode(payload.data, part)
        session.errors = errors_of(self.codec, update, payload, session.change)
        return replace(payload, kept_fraction=point.kept_fraction)

    def stopped(self, client: int) -> None:
        """Nothing comes of its round."""
        self._sessions.pop(client, None)

    def lost(self, client: int) -> None:
        """Its adapters never arrive; nor then do the server's for it count."""
        self._sessions.pop(client, None)

    def aggregate(self, arrivals: Mapping[int, AnyPayload], factors: Mapping[int, float] | None = None) -> None:
        """Join the adapters that arrived with the server's, and merge them by shares of the data."""
        order = sorted(arrivals)
        total = sum(self._weight[client] for client in order)
        merged, errors = list[Arrival](), list[UpdateErrors]()
        for client in order:
            session = self._sessions[client]
            assert session.change is not None and session.errors is not None  # it was sent
            upper = session.pair.upper.trained()
            change = session.change | {name: value - session.base[name] for name, value in upper.items()}
            merged.append(Arrival(client, {n: change[n] for n in self.layout.shapes}, self._weight[client] / total))
            errors.append(session.errors)
        self._diagnostics = aggregated(self.layout.pairs, self.current, merged, errors)
        self._sessions = {}
        if not merged:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # which is told below
            target = self.method.aggregate(self.current, merged)
            change = {name: target[name] - self.current[name] for name in self.layout.shapes}
        merging.check(change)
        # The server moves by what it will send, so that clients hold its model bit for bit.
        told = self.codec.encode_changed(Update(self.current, change, self.layout))
        decoded = self.codec.decode(told.data, self.layout)
        self.current = {name: value + decoded[name] for name, value in self.current.items()}
        merging.check(self.current)
        self._change, self.version = change, self.version + 1

    def evaluate(self) -> dict[str, float | None]:
        """Accuracy and loss of the global model on held-out examples."""
        metrics = self._evaluate(self.current)
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise NotFinite(f"the {name} of the global model is {value}; {merging.REMEDY}")
        return {**metrics}

    def diagnostics(self) -> dict[str, Any]:
        """Of the factors, as of any method; and the memory as computed, of those who began the round."""
        pairs, model, cuts = self.layout.pairs, self.current, [self.cuts[client] for client in self._trained]
        self._trained = []
        sizes = self.sizes
        return {
            "rank": self.method.rank,
            "coherence_a": max((lowrank.coherence(model[a]) for a, _ in pairs), default=None),
            "coherence_b": max((lowrank.coherence(model[b].T) for _, b in pairs), default=None),
            **self._diagnostics,
            "client_memory_bytes": float(max(map(sizes.client_bytes, cuts))) if cuts else None,
            "server_memory_bytes": float(sizes.server_bytes(cuts)) if cuts else None,
            "server_each_memory_bytes": float(sizes.server_each_bytes(cuts)) if cuts else None,
        }

    def model(self) -> tuple[int, Params]:
        """The number of the version, and the model with the layers of both halves."""
        return self.version, self.current

    def measured(self) -> dict[str, Any]:
        """Peak bytes of a real step, at each cut that there is, and of a server for all clients."""
        found: dict[int, Measured] = {}
        for client, cut in enumerate(self.cuts):
            if cut not in found:
                found[cut] = self.training.measured(self._first, cut, self._rows(client, 1)[0])
        all_ = [found[cut] for cut in self.cuts]
        kept, most = sum(one.kept for one in all_), max(one.step - one.kept for one in all_)
        sizes = self.sizes
        return {
            "split_memory": {
                "client_bytes_by_cut": {str(cut): one.client for cut, one in sorted(found.items())},
                "client_bytes_computed": {str(cut): sizes.client_bytes(cut) for cut in sorted(found)},
                "server_bytes": all_[0].weights + kept + most,
                "server_bytes_computed": sizes.server_bytes(self.cuts),
                "server_each_bytes": sum(one.weights_above + one.step for one in all_),
                "server_each_bytes_computed": sizes.server_each_bytes(self.cuts),
            }
        }

    def snapshot(self, files: StateFiles) -> dict[str, Any]:
        """What it takes to go on from here: between rounds no client has anything of its own."""
        return {
            "model": files.keep(self.current),
            "change": None if self._change is None else files.keep(self._change),
            "version": self.version,
            "held": [*self._held.items()],
            "fetching": [*self._fetching.items()],
            "diagnostics": self._diagnostics,
        }

    def restore(self, plain: Mapping[str, Any], files: StateFiles) -> None:
        """Go on from where `snapshot` was made. Raises RunFailed where a file with arrays is gone or damaged."""
        self.current = files.take(*plain["model"])
        self._change = None if plain["change"] is None else files.take(*plain["change"])
        self.version, self._diagnostics = plain["version"], dict(plain["diagnostics"])
        self._held, self._fetching = dict(plain["held"]), dict(plain["fetching"])

    def close(self) -> None:
        """Nothing runs."""


def _bits_of(point: Point) -> int:
    """Bits a value of what the point codes."""
    return round(32 * point.kept_fraction)


def _part(layout: Layout, names: Sequence[str]) -> Layout:
    """The layout of some of the arrays."""
    return layout.without(layout.shapes.keys() - set(names))
