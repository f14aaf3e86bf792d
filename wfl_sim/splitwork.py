"""What a split protocol asks of the learning side, beyond what every protocol asks: steps, halves, and what they send.

Knows no tensor: what goes up and down in a step is opaque, with a size.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from wfl_sim.contracts import AnyPayload, Point, Work


class Parts(NamedTuple):
    """Who does which share of the work of a training step: the client forward and backward, and the server.

    They sum to 1.
    """

    forward: float
    backward: float
    server: float


class SplitWork(Work, Protocol):
    """The learning side of split training: each client has the lower layers, the server the upper ones.

    1. `train(round, clients)` begins a round for clients that received the model: fresh optimisers on both sides. It
       has `steps` steps, in each of which, for a client, `forward` gives what the client sends up, `serve` what the
       server makes of that and sends down, and `backward` ends the step at the client. What is sent is coded as the
       point of the menu says that was given to `forward`. None, of `forward` or `serve`, says that it diverged: the
       client's round is over, and nothing else is called for it.
    2. `missed` says, after `forward` or `serve`, that what it gave did not arrive: the step is over for this client.
       Its adapters stay as they are; the server's have moved if it had served.
    3. After its steps, `encode` gives a client's adapters as in any round, and `aggregate` joins them with the
       server's. `stopped` says instead that it sends nothing.
    4. `transfer_bits(client, point)` is the most that one way of a step takes, `parts(client)` who computes how much.
       Both stay the same in all of a run. A point's bits are those of all that a client sends up in a round.
    """

    @property
    def steps(self) -> int: ...
    def parts(self, client: int) -> Parts: ...
    def transfer_bits(self, client: int, point: Point) -> int: ...
    def forward(self, client: int, point: Point) -> AnyPayload | None: ...
    def serve(self, client: int) -> AnyPayload | None: ...
    def backward(self, client: int) -> None: ...
    def missed(self, client: int) -> None: ...
