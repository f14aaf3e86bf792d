"""What became of a transfer: one row of the trace's ``transmissions`` table.

Knows no medium; a protocol gets it when a transfer has ended.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from wfl_sim.radio.ledger import Direction

BROADCAST = -1
"""Stands for the client of a broadcast."""

Outcome = Literal["delivered", "partial", "dropped"]
Reason = Literal["", "attempts", "deadline", "diverged", "left", "timeout"]


class Transmission(NamedTuple):
    """One transfer, from the request to its end; units and meanings as in `wfl_sim.trace.TABLES`."""

    client: int
    direction: Direction
    t_request_s: float
    t_start_s: float
    t_end_s: float
    payload_bits: int
    delivered_bits: int
    sent_bits: int
    packets: int
    lost: int
    retransmissions: int
    air_s: float
    snr_mean_db: float
    snr_min_db: float
    bandwidth_hz: float
    outcome: Outcome
    reason: Reason
    energy_j: float
    reached: tuple[int, ...]
    """Who has all of it."""
