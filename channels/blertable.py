"""Files of block error rates: for each CQI SNR in dB and BLER, read with the line of whatever is wrong.

Knows no block and no model; what is between the rows stands in `channels.bler`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import numpy as np

from channels.arrays import Floats
from channels.files import FileError, mark, read_table

HIGHEST_CQI = 15
Rows: TypeAlias = dict[int, tuple[Floats, Floats]]  # of each CQI: SNR in dB, and BLER


def read_bler(name: str) -> Rows:
    """The rows of a file, read once while it is unchanged.

    Raises
    ------
    FileError
        What `channels.files.read_table` refuses, a CQI that is none, a BLER outside [0, 1], among the rows of a CQI an
        SNR that does not rise or a BLER that does, with the number of the line.
    """
    return _read(name, mark(name))


@lru_cache(maxsize=8)
def _read(name: str, state: tuple[int, ...]) -> Rows:
    columns, lines = read_table(name, ("cqi", "snr_db", "bler"))
    found: dict[int, list[tuple[float, float]]] = {}
    for line, cqi, snr_db, bler in zip(lines, columns["cqi"], columns["snr_db"], columns["bler"], strict=True):
        at = f"{name}:{line}"
        if cqi not in range(1, HIGHEST_CQI + 1):
            raise FileError(f"{at}: cqi must be a whole number from 1 to {HIGHEST_CQI}; got {cqi:g}")
        if not 0.0 <= bler <= 1.0:
            raise FileError(f"{at}: bler must be in [0, 1]; got {bler:g}")
        rows = found.setdefault(int(cqi), [])
        if rows and snr_db <= rows[-1][0]:
            raise FileError(f"{at}: snr_db must rise among the rows of a CQI; got {snr_db:g} after {rows[-1][0]:g}")
        if rows and bler > rows[-1][1]:
            raise FileError(f"{at}: bler must not rise among the rows of a CQI; got {bler:g} after {rows[-1][1]:g}")
        rows.append((float(snr_db), float(bler)))
    return {cqi: (np.array([s for s, _ in rows]), np.array([b for _, b in rows])) for cqi, rows in found.items()}
