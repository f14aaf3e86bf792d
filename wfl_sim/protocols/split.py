"""Split rounds: clients compute the lower layers, and the server, for one client after another, the upper ones.

Knows who talks when; neither formulas nor tensors. The course of a round is that of `wfl_sim.protocols.exchanges`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np

from channels.units import Positive
from wfl_sim.contracts import FloatArray, Request
from wfl_sim.protocols.base import ProtocolState, World
from wfl_sim.protocols.calls import Calls
from wfl_sim.protocols.exchanges import Exchanges, downlink_s
from wfl_sim.protocols.log import Log
from wfl_sim.protocols.rounds import Rounds
from wfl_sim.serving import OrderKind
from wfl_sim.splitwork import SplitWork


@dataclass(frozen=True, kw_only=True)
class SplitRounds(Rounds):
    """Split rounds: steps shared by clients and server over the air, then the clients' adapters go up.

    All who are called get their adapters. Then come `learning.local.steps` steps. In each of them every client computes
    the lower layers and sends up what leaves them; the server computes the upper layers for one client after another,
    and sends each its gradient; the client goes back through its layers. After the last step each client sends up its
    adapters. The schedule decides once a round: a bandwidth, and a coding of activations and gradients.

    Formula
    -------
    In a step, client u is through forward and its upload at r_u; the server, where only one is served at a time, is
    through with it at C_u; gradient and backward pass take q_u. With the latency l of a transfer::

        T_step = max_u (C_u + q_u),    T = max_u (T_down,u + l) + sum of T_step + last adapters' upload + l

    With the time T_u of `clients.compute` for a whole model's round of I steps, and the shares f, b and s of a step's
    operations that are the client's forward, its backward and the server's, the client computes f T_u / I and
    b T_u / I, and the server s T_1 / (I `server_speed`), T_1 that of a client of speed 1.

    Order of service: ``schrage`` takes, whenever the server is free, of those who have arrived the one with the largest
    q_u (with equal arrivals that is the best; never more than twice the best); ``fifo`` who came first; ``random`` any
    of those who have arrived. ``ltf`` goes by falling q_u whoever has arrived, and ``exact`` by the order that is the
    best for the expected times: with both, the server waits for the next.

    Validity
    --------
    A step begins for all when the last step has ended for all. A client holds its grant to the end of the round. q_u
    and the expected times are worked out from the mean links at the call and the largest sizes. Whose activations or
    gradient are given up by the radio misses that step: its adapters stay, and it takes part in the next (the server's
    have moved if it was the gradient). Who leaves, or could do no step, has no part in the round's mean, nor has one
    whose adapters are lost. Gradients go to one client each, over the whole band one after the other where the downlink
    is a broadcast. Joining and cutting take no time, and the server's energy does not count.

    Source
    ------
    A reconstruction of memory-efficient split federated learning, arXiv:2506.02940: adapters below and above the cut,
    one server model for all, an order of service, a mean every few steps. The rule ``schrage`` and its bound: Schrage
    1971; Carlier 1982, doi:10.1016/S0377-2217(82)80007-6. Own: the course over the air, and which order it takes.

    Options
    -------
    order : Whom the server serves next: ``schrage``, ``ltf``, ``fifo``, ``random`` or ``exact`` (for at most 8).
    server_speed : How many times as fast the server computes as a client of speed 1. Larger: who waits for the server
        waits less.
    """

    kind: Literal["split"] = "split"
    order: OrderKind = "schrage"
    server_speed: Positive = 20.0

    def calls(self, world: World, state: ProtocolState, log: Log) -> Calls:
        return Exchanges(world, state, log, self.order, self.server_speed)

    def requests(self, world: World, number: int, clients: Sequence[int]) -> list[Request]:
        """With the time for all steps, uploads left out, in place of that for local training."""
        ids = np.asarray(clients, dtype=np.int64)
        more_s = self.exchange_s(world, clients) - world.compute.medians_s(world.stream.child("compute"), ids)
        asked = super().requests(world, number, clients)
        return [replace(r, ready_s=r.ready_s + m) for r, m in zip(asked, more_s.tolist(), strict=True)]

    def exchange_s(self, world: World, clients: Sequence[int]) -> FloatArray:
        """How long all steps of a round are expected to take [clients] but for uploads.

        As if half of the others were served before each; with the largest point of the menu, whose gradients take the
        longest.
        """
        work = cast(SplitWork, world.work)
        ids, parts = np.asarray(clients, dtype=np.int64), [work.parts(client) for client in clients]
        whole_s = world.compute.medians_s(world.stream.child("compute"), ids) / work.steps
        own_s = whole_s * np.array([part.forward + part.backward for part in parts])
        services_s = np.array([part.server for part in parts]) * world.compute.stated_s / work.steps / self.server_speed
        served_s = (services_s + services_s.sum()) / 2.0
        bits = [work.transfer_bits(client, work.menu(client).points[-1]) for client in clients]
        down_s = downlink_s(world, clients, bits)  # latency included
        return np.asarray(work.steps * (own_s + served_s + down_s + world.medium.radio.latency_s))


def is_split(protocol: Any) -> bool:
    """Whether a protocol trains in two halves."""
    return isinstance(protocol, SplitRounds)
