"""Who took part: updates delivered by each client, by arm and seed, those that never did among them.

Pure functions of `Traces`; does not know why a client was not asked, nor how a count is drawn.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.traces import Traces
from analysis.uploads import jain_index


def delivered_by_client(traces: Traces) -> dict[tuple[str, int], np.ndarray]:
    """Delivered updates of each client of a cell, from the most to the fewest; (arm, seed) to counts [clients].

    All clients of the scenario are counted; where a manifest does not say how many there are, those that appear.
    """
    up = traces.transmissions[traces.transmissions["direction"] == "up"]
    came = up[up["outcome"] == "delivered"].groupby(["arm", "seed", "client"]).size()
    seen = pd.concat([frame[["arm", "seed", "client"]] for frame in (up, traces.decisions)])
    seen = seen[seen["client"] >= 0].groupby(["arm", "seed"])["client"].nunique()
    counts = {}
    for cell in traces.cells[["arm", "seed", "clients", "rounds"]].itertuples(index=False):
        key = str(cell.arm), int(cell.seed)
        there = int(seen.get(key, 0))
        clients = there if np.isnan(cell.clients) else max(there, int(cell.clients))
        own = came.loc[key].sort_values(ascending=False).to_numpy() if key in came.index else np.empty(0)
        counts[key] = np.concatenate([own, np.zeros(clients - len(own))])
    return counts


def fairness(traces: Traces) -> pd.DataFrame:
    """``arm, seed, value``: `uploads.jain_index` of the updates that the clients delivered; NaN where none did."""
    rows = [(arm, seed, jain_index(counts) if counts.size else np.nan)
            for (arm, seed), counts in delivered_by_client(traces).items()]  # fmt: skip
    return pd.DataFrame(rows, columns=["arm", "seed", "value"])
