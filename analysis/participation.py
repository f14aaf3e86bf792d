"""Who took part: updates delivered by each client, by arm and seed, those that never did among them.

Pure functions of `Traces`; does not know why a client was not asked, nor how a count is drawn.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.traces import Traces
from analysis.updates import of_updates
from analysis.uploads import jain_index


def delivered_by_client(traces: Traces) -> dict[tuple[str, int], np.ndarray]:
    """Delivered updates of each client of a cell, from the most to the fewest; (arm, seed) to counts [clients].

    All clients of the scenario are counted; where a manifest does not say how many there are, those that appear.
    """
    up = of_updates(traces.transmissions[traces.transmissions["direction"] == "up"])
    keys = ["arm", "seed", "client"]
    came = up[up["outcome"] == "delivered"].groupby(keys).size().groupby(["arm", "seed"])
    delivered = {key: np.sort(own.to_numpy())[::-1] for key, own in came}
    met = pd.concat([up[keys], traces.decisions[keys]]).groupby(["arm", "seed"])["client"].nunique().to_dict()
    counts = {}
    for cell in traces.cells.to_dict("records"):
        key = str(cell["arm"]), int(cell["seed"])
        there, stated = int(met.get(key, 0)), float(cell["clients"])
        clients = there if np.isnan(stated) else max(there, int(stated))
        own = delivered.get(key, np.empty(0))
        counts[key] = np.concatenate([own, np.zeros(clients - len(own))])
    return counts


def fairness(traces: Traces) -> pd.DataFrame:
    """``arm, seed, value``: `uploads.jain_index` of the updates that the clients delivered; NaN where none did."""
    rows = [(arm, seed, jain_index(counts) if counts.size else np.nan)
            for (arm, seed), counts in delivered_by_client(traces).items()]  # fmt: skip
    return pd.DataFrame(rows, columns=["arm", "seed", "value"])
