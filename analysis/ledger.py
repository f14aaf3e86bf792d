"""The ledger of uplink bits by arm and seed: what was offered, what became of it, and what the air carried for it.

Pure functions of `Traces`; does not know packets beyond their counts, nor how a table is drawn.
"""

from __future__ import annotations

import pandas as pd

from analysis.traces import Traces

PAYLOAD = ("delivered_bits", "partial_bits", "dropped_bits", "in_flight_bits")
"""The parts of what was offered."""
AIR = ("delivered_bits", "partial_bits", "repeat_bits", "other_bits")
"""The parts of what was on the air."""


def bits_ledger(traces: Traces) -> pd.DataFrame:
    """One row an arm and seed, of the uplink, in bits.

    Columns
    -------
    arm, seed
    offered_bits
        Payload of the uploads: ``delivered_bits + partial_bits + dropped_bits + in_flight_bits``.
    delivered_bits
        Payload of the updates that came.
    partial_bits
        Payload that arrived of updates that did not come: in vain.
    dropped_bits
        Payload that never arrived.
    in_flight_bits
        Payload of uploads under way when the run ended, of which a trace has no row; 0 where a run does not say.
    sent_bits
        On the air, of the uploads that have ended: ``delivered_bits + partial_bits + repeat_bits + other_bits``.
    repeat_bits
        Packets sent again. A trace counts them and not their sizes: their share of all packets, times ``sent_bits``.
    other_bits
        Headers, and first attempts of packets that never arrived.
    """
    up = traces.transmissions[traces.transmissions["direction"] == "up"]
    again = up["sent_bits"] * (up["retransmissions"] / up["packets"].where(up["packets"] > 0)).fillna(0.0)
    came = up["outcome"] == "delivered"
    books = pd.DataFrame(
        {
            "arm": up["arm"],
            "seed": up["seed"],
            "delivered_bits": up["delivered_bits"].where(came, 0),
            "partial_bits": up["delivered_bits"].where(~came, 0),
            "dropped_bits": up["payload_bits"] - up["delivered_bits"],
            "sent_bits": up["sent_bits"],
            # Where a short last packet was sent again the share is too much, by less than what else is sent.
            "repeat_bits": again.clip(upper=up["sent_bits"] - up["delivered_bits"]),
        }
    )
    keys = ["arm", "seed"]
    sums = books.groupby(keys, sort=False).sum().reset_index()
    totals = traces.cells[keys].merge(sums, how="left", on=keys).fillna(0)
    totals["in_flight_bits"] = traces.cells["in_flight_bits"].fillna(0.0).to_numpy()
    totals["offered_bits"] = totals[list(PAYLOAD)].sum(axis=1)
    known = totals[["delivered_bits", "partial_bits", "repeat_bits"]].sum(axis=1)
    totals["other_bits"] = totals["sent_bits"] - known
    return totals
