"""Block errors and effective SNR against the tables of Sionna's system simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from channels.bler import FiniteBlocklength, Scheme
from channels.esm import beta_of, effective_snr

pytestmark = pytest.mark.oracle

# One number for the gap of each modulation; Sionna's tables have a step of 1.8 dB.
SNR_TOLERANCE_DB = 0.5
# The tables come from some thousand blocks: what is rarer stands there as 0.
RAREST = 1e-4
TARGET = 0.1
# Two decimals are printed on both sides.
BETA_TOLERANCE = 1e-9
# float64, and sums of exponentials in another order.
EFFECTIVE_TOLERANCE_DB = 1e-9


def test_snr_at_a_block_error_of_a_tenth(ask: Callable[..., list[Any]], compare: Callable[..., None]) -> None:
    (rows,) = ask("sionna", [{"job": "bler"}])
    ours, theirs = [], []
    for row in (row for row in rows if row["bits"] == 500):
        measured = np.log10(np.maximum(row["bler"], RAREST))
        theirs.append(np.interp(-np.log10(TARGET), -measured, row["snr_db"]))
        scheme = Scheme(row["mcs"], row["modulation_order"], row["code_rate"])
        low_db, high_db = -20.0, 40.0
        for _ in range(50):
            middle_db = 0.5 * (low_db + high_db)
            error = FiniteBlocklength().error(scheme, 10.0 ** (middle_db / 10.0), row["bits"] / scheme.efficiency)
            low_db, high_db = (middle_db, high_db) if error > TARGET else (low_db, middle_db)
        ours.append(high_db)
    compare("SNR at BLER 0.1, MCS 3 to 28, 500 bits", "sionna", ours, theirs, SNR_TOLERANCE_DB, "dB")


def test_effective_snr(ask: Callable[..., list[Any]], compare: Callable[..., None]) -> None:
    drawn = np.random.default_rng(1)
    # Means from -10 to 25 dB, with spreads from a nearly flat channel to deep fades.
    snr = 10.0 ** (drawn.uniform(-1.0, 2.5, (60, 1)) + drawn.uniform(0.01, 1.0, (60, 1)) * drawn.normal(size=(60, 24)))
    (rows,) = ask("sionna", [{"job": "effective_snr", "snr": snr.tolist()}])
    betas = beta_of([row["modulation_order"] for row in rows], [row["code_rate"] for row in rows])
    compare("EESM beta, MCS 0 to 28", "sionna", betas, [row["beta"] for row in rows], BETA_TOLERANCE, "")
    theirs = np.array([row["effective_snr"] for row in rows])
    ours = np.array([effective_snr(snr, beta) for beta in betas])
    compare("EESM effective SNR", "sionna", 10 * np.log10(ours), 10 * np.log10(theirs), EFFECTIVE_TOLERANCE_DB, "dB")
