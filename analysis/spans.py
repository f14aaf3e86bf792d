"""A table of spans: which client did what, from when to when, and for which part of that time.

Knows columns only; what the kinds mean is the business of `activity` and `steps`.
"""

from __future__ import annotations

import pandas as pd

SPAN = ["client", "kind", "start_s", "end_s", "share"]
SAME_TIME_S = 1e-6
"""Times closer than this are one: a trace adds and subtracts them in other orders than its readers."""


def spans(
    kind: str | pd.Series, rows: pd.DataFrame, start_s: pd.Series, end_s: pd.Series, share: pd.Series | float = 1.0
) -> pd.DataFrame:
    """A span for each of `rows`, of its ``client``."""
    columns = {"client": rows["client"], "kind": kind, "start_s": start_s, "end_s": end_s, "share": share}
    return pd.DataFrame(columns, columns=SPAN).astype({"start_s": float, "end_s": float, "share": float})
