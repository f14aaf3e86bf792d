from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.units import (
    UNITS,
    Quantity,
    QuantityError,
    example,
    like,
    parse,
    pattern,
    render,
    rendered,
    shown,
    symbols,
)

LOG_POWER = 1e-12  # relative: one logarithm and one power


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("3.5 GHz", "Hz", 3.5e9),
        ("400 ms", "s", 0.4),
        ("2 h", "s", 7200.0),
        ("1.5 km", "m", 1500.0),
        ("36 km/h", "m/s", 10.0),
        ("1500 B", "bit", 12_000.0),
        ("1 MiB", "bit", 8.0 * 2**20),
        ("1kB", "bit", 8000.0),
        ("1 %", "1", 0.01),
        ("1e-3", "1", 0.001),
        (0.25, "1", 0.25),
        ("-174 dBm/Hz", "dBm/Hz", -174.0),
        (".5 W", "W", 0.5),
        ("3 dBi", "dB", 3.0),
        ("2 \u00b5s", "s", 2e-6),  # the micro sign
        ("2 \u03bcs", "s", 2e-6),  # the Greek letter
        ("2 \u03bcW", "W", 2e-6),
        ("2\tGHz\n", "Hz", 2e9),
    ],
)
def test_parse_reads_what_people_write(text, unit, value):
    assert parse(text, unit) == value


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [("200 mW", "dBm", 23.010299956639813), ("2 W", "dBm", 33.010299956639813), ("-3 dBW", "dBm", 27.0),
     ("0.02 kW", "dBm", 43.010299956639813), ("1 uW", "dBm", -30.0), ("1 \u00b5W", "dBm", -30.0),
     ("23 dBm", "W", 0.19952623149688797), ("0 dBW", "W", 1.0)],
)  # fmt: skip
def test_powers_cross_between_watts_and_dbm(text, unit, value):
    assert parse(text, unit) == pytest.approx(value, rel=LOG_POWER)


@pytest.mark.parametrize("symbol", UNITS["W"])
@given(st.floats(1e-6, 1e6))
def test_every_symbol_of_watts_works_in_fields_of_dbm(symbol, value):
    watts = parse(f"{value!r} {symbol}", "W")
    assert parse(f"{parse(f'{value!r} {symbol}', 'dBm')!r} dBm", "W") == pytest.approx(watts, rel=LOG_POWER)


def texts(unit):
    """Texts near to quantities in `unit`, right and wrong ones."""
    blank = st.sampled_from(["", " ", "\t", " \n", "\u00a0", "\x1c"])
    number = st.sampled_from(["1", "+.5", "-2.", "1e-3", "1E+2", "\u0663", "1_0", "1,5", ".", "e3", "", "3 4"])
    symbol = st.sampled_from([*symbols(unit), "\u00b5s", "\u03bcs", "", "x", "GHZ", "s.", "k"])
    return st.tuples(blank, number, blank, symbol, blank).map("".join)


@pytest.mark.parametrize("unit", sorted(UNITS))
@given(st.data())
def test_the_pattern_finds_what_is_read(unit, data):
    text = data.draw(texts(unit))
    try:
        parse(text, unit)
        read = True
    except QuantityError as error:  # a logarithm of nothing, or a number beyond floats, is no matter of spelling
        read = error.args[0].startswith(("must be above 0", "is beyond"))
    assert (re.search(pattern(unit), text) is not None) == read


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("3.5", "Hz", "needs a unit; got the bare number 3.5; accepted: Hz, kHz, MHz, GHz, for example '3.5 GHz'"),
        (3.5, "Hz", "needs a unit; got the bare number 3.5; "),
        ("3.5 ms", "Hz", "needs a frequency; 'ms' is no unit of that; accepted: Hz, kHz, MHz, GHz, for example "),
        ("3.5 mhz", "Hz", "needs a frequency; 'mhz' is no unit of that; did you mean 'MHz'? accepted: Hz, kHz"),
        ("30 kmh", "m/s", "did you mean 'km/h'?"),
        ("2 Mbps", "bit/s", "did you mean 'Mbit/s'?"),
        ("2 bits", "bit", "did you mean 'bit'?"),
        ("2 gflops", "FLOP/s", "did you mean 'GFLOP/s'?"),
        ("1500 b", "bit", "needs a size; 'b' is no unit of that; accepted: bit, kbit"),
        ("2 MB", "bit/s", "needs a bit rate; 'MB' is no unit of that"),
        ("5 Hz", "1", "needs a number; 'Hz' is no unit of that; accepted: %, for example '1 %'"),
        ("fast", "m/s", "needs a speed; got 'fast'"),
        ("nan s", "s", "needs a time; got 'nan s'"),
        ("\u0663 s", "s", "needs a time; got "),
        ("0 mW", "dBm", "must be above 0 mW, or it has no value in dBm; got '0 mW'"),
        ("1e9 dBm", "W", "is beyond the range of numbers; got '1e9 dBm'"),
        ("1e999999 GHz", "Hz", "is beyond the range of numbers"),
        (True, "s", "needs a time; got true"),
        (None, "s", "needs a time; got nothing"),
        ("1 2 s", "s", "needs a time; got '1 2 s'; accepted"),
        ("3,5 GHz", "Hz", "needs a frequency; got '3,5 GHz'; did you mean '3.5 GHz'?"),
        ("1,000.5 Hz", "Hz", "needs a frequency; got '1,000.5 Hz'; accepted"),
    ],
)
def test_parse_says_what_is_wrong(text, unit, message):
    with pytest.raises(QuantityError) as caught:
        parse(text, unit)
    assert message in str(caught.value)
    assert QuantityError(*caught.value.args).args == caught.value.args


@pytest.mark.parametrize("unit", ["bit", "bit/s"])
@pytest.mark.parametrize("symbol", ["b", "kb", "Kb", "Mb", "gb"])
def test_bit_and_byte_are_never_guessed(unit, symbol):
    with pytest.raises(QuantityError) as caught:
        parse(f"1 {symbol}", unit)
    assert caught.value.args[2] == ""


def test_a_quoted_value_is_short_and_on_one_line():
    assert shown("a\nb\x1b[31m") == r"'a\nb\x1b[31m'"
    assert len(shown("x" * 10_000)) == 60
    assert (shown(None), shown(True), shown([1, "a"])) == ("nothing", "true", "[1, 'a']")
    assert len(shown(list(range(10_000)))) == 60


@pytest.mark.parametrize(
    "quantity",
    [Quantity(unit) for unit in UNITS]
    + [Quantity("m", gt=1000), Quantity("1", ge=5, lt=6), Quantity("Hz", le=100), Quantity("s", ge=2, le=2)],
)
def test_an_example_is_allowed(quantity):
    quantity.read(example(quantity))


@pytest.mark.parametrize("unit", sorted(UNITS))
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_rendered_values_parse_back_exactly(unit, value):
    text = render(value, unit)
    assert parse(text, unit) == value
    assert isinstance(text, str) == (unit != "1")


@given(st.integers(0, 10**6), st.sampled_from([1, 10, 100]))
def test_speeds_in_km_h_come_back_as_written(tenths, scale):
    text = f"{tenths / scale:g} km/h"
    assert parse(render(parse(text, "m/s"), "m/s"), "m/s") == parse(text, "m/s")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3.5e9, "Hz", "3.5 GHz"),
        (0.0, "s", "0 s"),
        (0.0, "bit/s", "0 bit/s"),
        (0.0, "m/s", "0 m/s"),
        (0.0004, "s", "400 us"),
        (30 / 3.6, "m/s", "30 km/h"),
        (2.5 / 3, "m/s", "3 km/h"),
        (10.0, "m/s", "10 m/s"),
        (1.5, "m/s", "1.5 m/s"),
        (-6.0, "dB", "-6 dB"),
        (12_000.0, "bit", "12 kbit"),
        (0.3, "1", 0.3),
    ],
)
def test_render_chooses_a_readable_unit(value, unit, text):
    assert render(value, unit) == text


def test_a_whole_number_is_shown_as_one():
    assert [rendered(x, "1") for x in (70.0, -1.0, 0.0, 0.25, 1e22)] == ["70", "-1", "0", "0.25", "1e+22"]
    assert rendered(70.0, "Hz") == "70 Hz"
    with pytest.raises(ValueError, match=r"^must be at least 0 and at most 1; got 70$"):
        Quantity("1", ge=0.0, le=1.0).read(70)


def test_quantities_check_their_range():
    share = Quantity("1", gt=0, le=1)
    assert share.read("50 %") == 0.5
    for bad in (0.0, 1.5):
        with pytest.raises(ValueError, match=r"^must be above 0 and at most 1; got"):
            share.check(bad)
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match=r"^must be finite and above 0 and at most 1; got"):
            share.check(bad)
    with pytest.raises(ValueError, match=r"must be at least 10 ms and below 1 s; got 2000 ms$"):
        Quantity("s", ge=0.01, lt=1).read("2000 ms")
    with pytest.raises(ValueError, match="must be finite"):
        Quantity("dB").check(math.nan)


@pytest.mark.parametrize(
    ("text", "written", "said"),
    [
        ("must be at least 1.213 Gbit; got 320 Mbit", "40 MB", "must be at least 151.625 MB; got 40 MB"),
        ("must be at least 8 bit; got 4 bit", "0.5 B", "must be at least 1 B; got 0.5 B"),
        ("above 0 bit - of 2 Mbit/s, in bit, kbit", "1 kB", "above 0 B - of 2 Mbit/s, in bit, kbit"),
        ("16.777216 Mbit, or 8192 bit", "3 KiB", "2 MiB, or 1 KiB"),
        ("got 320 Mbit", "1 kbit", "got 320 Mbit"),
        ("got 320 Mbit", "no size", "got 320 Mbit"),
    ],
)
def test_sizes_are_said_in_the_kind_of_unit_that_was_written(text: str, written: str, said: str) -> None:
    assert like(text, written) == said


@given(st.floats(min_value=1.0, max_value=1e15))
def test_bytes_are_the_same_size(bits: float) -> None:
    assert parse(like(str(render(bits, "bit")), "1 MB"), "bit") == bits
