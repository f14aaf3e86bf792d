from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfl_sim.codecs import values

HALF_PRECISION = 2.0**-11  # half floats have 11 significant bits, and rounding errs by half of the last
# Below 2^-14 of the scale halves are subnormal: spaced by 2^-24, so rounding errs by 2^-25 of the scale at most.
SUBNORMAL_ERROR = 2.0**-25
LARGEST = float(np.finfo(np.float32).max)
SMALLEST = float(np.finfo(np.float32).smallest_subnormal)

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


def round_trip(numbers: np.ndarray, bits: int) -> np.ndarray:
    data = values.pack(numbers, bits)
    assert len(data) == values.packed_bytes(numbers.size, bits)
    decoded, behind = values.unpack(b"\x7f" + data + b"\x7f", 1, numbers.size, bits)
    assert decoded.dtype == np.float32
    assert behind == 1 + len(data)
    return decoded


@given(st.lists(floats, max_size=30))
def test_32_bits_are_exact(numbers):
    array = np.array(numbers, dtype=np.float32)
    assert round_trip(array, 32).tobytes() == array.tobytes()  # the sign of zero too


@given(st.lists(floats, max_size=30))
def test_16_bits_keep_eleven_digits_down_to_2_to_the_minus_14_of_the_largest(numbers):
    array = np.array(numbers, dtype=np.float32)
    decoded = round_trip(array, 16).astype(float)
    exact = array.astype(float)
    error, largest = np.abs(decoded - exact), np.abs(exact).max(initial=0.0)
    precise = np.abs(exact) >= 2.0**-14 * largest
    assert np.all(error[precise] <= HALF_PRECISION * np.abs(exact[precise]))
    assert np.all(error <= np.maximum(HALF_PRECISION * np.abs(exact), SUBNORMAL_ERROR * largest))


def test_16_bits_round_where_32_do_not():
    """1 + 2^-12 lies between the halves 1 and 1 + 2^-10, nearer to 1."""
    assert round_trip(np.array([1 + 2.0**-12], dtype=np.float32), 16).tolist() == [1.0]


@pytest.mark.parametrize("scale", [LARGEST, 2.0**127, 1.0, 1e-30, 2.0**-126, 2.0**-140, SMALLEST])
def test_scales_of_single_precision_survive_16_bits(scale):
    array = np.array([scale, -scale, scale / 2, 0.0], dtype=np.float32)
    decoded = round_trip(array, 16).astype(float)
    assert np.isfinite(decoded).all()
    np.testing.assert_allclose(decoded, array.astype(float), rtol=HALF_PRECISION, atol=0)


@pytest.mark.parametrize("bits", [16, 32])
def test_zeros_and_nothing_come_back(bits):
    assert round_trip(np.zeros(5, dtype=np.float32), bits).tolist() == [0.0] * 5
    assert round_trip(np.zeros(0, dtype=np.float32), bits).size == 0


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(bits, bad):
    with pytest.raises(ValueError, match="not finite"):
        values.pack(np.array([1.0, bad], dtype=np.float32), bits)
