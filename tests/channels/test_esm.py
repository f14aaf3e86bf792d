from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.bler import CQI_TABLE_1
from channels.esm import beta_of, effective_snr

ROUNDING = 1e-12  # relative: a few operations in double precision
SNRS = st.lists(st.floats(0.0, 1e300), min_size=1, max_size=9)
BETAS = st.floats(1e-300, 1e300)
# TS 38.214 Table 5.2.2.1-2: modulation order and spectral efficiency in bit/s/Hz, four decimals
CQI = [
    (2, 0.1523), (2, 0.2344), (2, 0.3770), (2, 0.6016), (2, 0.8770), (2, 1.1758), (4, 1.4766), (4, 1.9141),
    (4, 2.4063), (6, 2.7305), (6, 3.3223), (6, 3.9023), (6, 4.5234), (6, 5.1152), (6, 5.5547),
]  # fmt: skip
# The rows of the MCS of the same modulation and spectral efficiency: MCS 0 (for CQI 1 and 2), 2, 4, 6, 8, 11, 13, 15,
# 18, 20, 22, 24, 26, 28
CQI_BETAS = (1.60, 1.60, 1.63, 1.67, 1.73, 1.79, 4.27, 5.16, 6.16, 10.97, 14.96, 19.33, 24.51, 29.94, 34.28)


def test_effective_snr_is_the_formula():
    snr = np.array([[0.1, 2.0, 5.0], [1.0, 1.0, 7.0]])
    for beta in (0.5, 1.6, 34.28):
        plain = -beta * np.log(np.mean(np.exp(-snr / beta), axis=-1))
        np.testing.assert_allclose(effective_snr(snr, beta), plain, rtol=ROUNDING)
    # -1.6 ln((exp(-0.625) + exp(-6.25)) / 2) = 2.1033
    assert effective_snr([1.0, 10.0], 1.6) == pytest.approx(2.1033, abs=1e-4)


@given(SNRS, BETAS)
def test_effective_snr_lies_between_the_least_and_the_mean(snr, beta):
    value, mean = float(effective_snr(snr, beta)), float(np.sum(np.array(snr) / len(snr)))
    assert min(snr) <= value <= mean * (1.0 + ROUNDING)


@given(st.floats(0.0, 1e300), st.integers(1, 9), BETAS)
def test_equal_snrs_are_their_effective_snr(snr, count, beta):
    assert effective_snr(np.full(count, snr), beta) == snr


@given(SNRS, BETAS, st.floats(1.0, 100.0))
def test_effective_snr_rises_with_beta_and_with_every_snr(snr, beta, factor):
    value = effective_snr(snr, beta)
    assert effective_snr(snr, beta * factor) >= value * (1.0 - ROUNDING)
    assert effective_snr([snr[0] * factor, *snr[1:]], beta) >= value * (1.0 - ROUNDING)


def test_the_limits_of_beta():
    snr = np.array([0.5, 3.0, 40.0, 900.0])
    assert effective_snr(snr, 1e12) == pytest.approx(snr.mean(), rel=1e-6)  # off by the variance over 2 beta
    assert effective_snr(snr, 1e-9) == pytest.approx(0.5, rel=1e-6)  # off by beta ln F
    assert effective_snr([1e-5, 1e300], 1.6) == pytest.approx(1e-5 + 1.6 * np.log(2.0), rel=ROUNDING)


def test_betas_broadcast_against_the_axes_before_the_last():
    snr, beta = np.linspace(0.1, 9.0, 24).reshape(2, 1, 3, 4), np.array([1.6, 5.0, 30.0])
    table = effective_snr(snr, beta)
    assert table.shape == (2, 1, 3)
    assert table[1, 0, 2] == effective_snr(snr[1, 0, 2], 30.0)
    wide = effective_snr(snr[0, 0, 0], beta)
    np.testing.assert_array_equal(wide, [effective_snr(snr[0, 0, 0], b) for b in beta])


def test_betas_of_the_cqi_are_those_of_the_like_mcs():
    orders, rates = zip(*((scheme.modulation_order, scheme.code_rate) for scheme in CQI_TABLE_1), strict=True)
    np.testing.assert_array_equal(beta_of(orders, rates), CQI_BETAS)
    for (order, efficiency), beta in zip(CQI, CQI_BETAS, strict=True):
        assert beta_of(order, efficiency / order) == beta


def test_the_nearest_code_rate_counts():
    assert beta_of(4, 0.39) == 4.27  # 399/1024 lies between 378 and 434, nearer to 378
    np.testing.assert_array_equal(beta_of([[2], [6]], [0.5, 0.6]), [[1.76, 1.79], [12.92, 17.06]])


def test_a_beta_never_falls_with_the_efficiency():
    rates = [(2, r / 1024) for r in range(78, 680)] + [(4, r / 1024) for r in range(340, 659)]
    rates += [(6, r / 1024) for r in range(438, 949)]
    assert np.all(np.diff(beta_of(*zip(*rates, strict=True))) >= 0.0)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: effective_snr([1.0, np.nan], 1.0), "a linear SNR must be finite and at least 0; got nan"),
        (lambda: effective_snr([1.0, -1e-9], 1.0), "a linear SNR must be finite and at least 0; got -1e-09"),
        (lambda: effective_snr([1.0], 0.0), "a beta must be finite and above 0; got 0.0"),
        (lambda: effective_snr([1.0], np.inf), "a beta must be finite and at least 0; got inf"),
        (lambda: effective_snr(1.0, 1.0), r"one or more frequencies; got shape \(\)"),
        (lambda: effective_snr(np.ones((2, 0)), 1.0), r"one or more frequencies; got shape \(2, 0\)"),
        (lambda: beta_of(8, 0.5), "no beta is known for modulation order 8; known are 2, 4 and 6"),
        (lambda: beta_of([2, 2], [0.5, 0.9]), "order 2 at code rate 0.9; known are 78/1024 to 679/1024"),
        (lambda: beta_of(4, 0.1), "order 4 at code rate 0.1; known are 340/1024 to 658/1024"),
        (lambda: beta_of(4, np.nan), "a code rate must be finite and at least 0; got nan"),
    ],
)
def test_wrong_numbers_are_refused(ask, says):
    with pytest.raises(ValueError, match=says):
        ask()
