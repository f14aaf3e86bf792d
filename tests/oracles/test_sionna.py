"""Block errors and effective SNR against the tables of Sionna's system simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from channels.bler import FiniteBlocklength, Scheme
from channels.esm import beta_of, effective_snr

pytestmark = pytest.mark.oracle

# Information bits of a code block, and how near the SNR must be. One gap stands for all MCS of a modulation, and
# Sionna's tables have a step of 1.8 dB: 0.5 dB where the gaps were measured. A code of 100 bits loses more than a
# longer one, and over 2000 bits the curves fall within one step, which leaves the crossing unsure.
SNR_TOLERANCE_DB = {500: 0.5, 1000: 0.5, 2000: 0.75, 100: 1.25}
# The tables come from some thousand blocks: what is rarer stands there as 0.
RAREST = 1e-4
TARGET = 0.1
# Two decimals are printed on both sides.
BETA_TOLERANCE = 1e-9
# float64, and sums of exponentials in another order.
EFFECTIVE_TOLERANCE_DB = 1e-9


@pytest.fixture(scope="module")
def answers(ask: Callable[..., list[Any]]) -> list[Any]:
    """Rows of block error rates, and of effective SNRs, from one process."""
    return ask("sionna", [{"job": "bler"}, {"job": "effective_snr", "snr": drawn_snr().tolist()}])


@pytest.mark.parametrize("bits", SNR_TOLERANCE_DB)
def test_snr_at_a_block_error_of_a_tenth(bits: int, answers: list[Any], compare: Callable[..., None]) -> None:
    ours, theirs = [], []
    for row in (row for row in answers[0] if row["bits"] == bits):
        measured = np.log10(np.maximum(row["bler"], RAREST))
        theirs.append(np.interp(-np.log10(TARGET), -measured, row["snr_db"]))
        scheme = Scheme(row["mcs"], row["modulation_order"], row["code_rate"])
        low_db, high_db = -20.0, 40.0
        for _ in range(50):
            middle_db = 0.5 * (low_db + high_db)
            error = FiniteBlocklength().error(scheme, 10.0 ** (middle_db / 10.0), row["bits"] / scheme.efficiency)
            low_db, high_db = (middle_db, high_db) if error > TARGET else (low_db, middle_db)
        ours.append(high_db)
    row_name = f"SNR at BLER 0.1, MCS 3 to 28, {bits} bits"
    compare(row_name, "sionna", ours, theirs, SNR_TOLERANCE_DB[bits], "dB")


def test_effective_snr(answers: list[Any], compare: Callable[..., None]) -> None:
    rows = answers[1]
    betas = beta_of([row["modulation_order"] for row in rows], [row["code_rate"] for row in rows])
    compare("EESM beta, MCS 0 to 28", "sionna", betas, [row["beta"] for row in rows], BETA_TOLERANCE, "")
    theirs = np.array([row["effective_snr"] for row in rows])
    ours = np.array([effective_snr(drawn_snr(), beta) for beta in betas])
    compare("EESM effective SNR", "sionna", 10 * np.log10(ours), 10 * np.log10(theirs), EFFECTIVE_TOLERANCE_DB, "dB")


def drawn_snr() -> NDArray[np.float64]:
    """Sets of 24 SNRs with means from -10 to 25 dB, from a nearly flat channel to deep fades."""
    drawn = np.random.default_rng(1)
    spread = drawn.uniform(0.01, 1.0, (60, 1)) * drawn.normal(size=(60, 24))
    return 10.0 ** (drawn.uniform(-1.0, 2.5, (60, 1)) + spread)
