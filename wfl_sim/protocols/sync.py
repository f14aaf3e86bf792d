"""Synchronous rounds: broadcast, compute, upload, wait for all, aggregate.

Knows who talks when; neither formulas nor tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wfl_sim.protocols.rounds import Rounds


@dataclass(frozen=True, kw_only=True)
class Sync(Rounds):
    """Synchronous rounds: a round ends when the last upload of those who were called has ended.

    A round is downlink, local training, upload, aggregation. A client that the schedule defers does not train and is
    asked again in the next round. One that leaves while it computes or sends has dropped out.

    Formula
    -------
    With the latency l of a transfer, and the clients k that the downlink reached::

        T = max_k (T_down,k + l + T_compute,k + T_upload,k + l)

    T_down,k is the same for all where the downlink is a broadcast. T_upload,k runs to the end of the upload, delivered
    or dropped. If the downlink reached nobody, T = max_k T_down,k + l; if nobody is there or all are deferred,
    T = retry.

    Validity
    --------
    Every round waits for its slowest client, up to the timeout of the radio. Aggregation takes no simulated time. A run
    ends early if nobody is there nor ever comes again.

    Source
    ------
    The rounds of McMahan et al. 2017, arXiv:1602.05629, of which a `cohort` is the random set of clients; own: the
    times.
    """

    kind: Literal["sync"] = "sync"
