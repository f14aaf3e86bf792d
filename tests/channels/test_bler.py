from __future__ import annotations

import numpy as np
import pytest

from channels.bler import (
    BLER,
    CQI_TABLE_1,
    FiniteBlocklength,
    Outage,
    Scheme,
    Table,
    largest_efficiency,
    normal_approximation,
)
from channels.codeblocks import code_blocks, largest_block_bits, transport_block_error
from channels.cqi import Cqi
from channels.files import FileError
from channels.options import OptionError
from channels.thresholds import Thresholds, thresholds
from channels.vectors import BLOCK_ERRORS, CQI_EFFICIENCY, REAL_RATES, SIONNA

FOUR_DIGITS = 5e-4  # relative: vectors are given with four digits
MEASURED_DB = 0.5  # the grid of the measured tables is 1.8 dB, so their interpolation is good to half a decibel
SAME = 1e-10  # relative: one formula in numpy and in floats


def db(value: float) -> float:
    return 10.0 ** (value / 10.0)


def test_the_cqi_table_has_the_efficiencies_of_the_standard():
    assert [s.efficiency for s in CQI_TABLE_1] == pytest.approx(CQI_EFFICIENCY, abs=5.1e-5)  # row 2: .234375 -> .2344
    assert [s.number for s in CQI_TABLE_1] == list(range(1, 16))


@pytest.mark.parametrize(("snr_db", "efficiency", "n", "error"), BLOCK_ERRORS)
def test_normal_approximation_of_complex_symbols(snr_db, efficiency, n, error):
    assert normal_approximation(db(snr_db), efficiency, n) == pytest.approx(error, rel=FOUR_DIGITS)
    without = normal_approximation(db(snr_db), efficiency, n, log_term=False)
    assert 1.5 < without / error < 4  # the term matters that much


@pytest.mark.parametrize(("n", "efficiency"), REAL_RATES)
def test_largest_rate_of_real_symbols(n, efficiency):
    found = largest_efficiency(1.0, 1e-3, n, real=True)
    assert found == pytest.approx(efficiency, abs=5e-5)
    assert normal_approximation(1.0, found, n, real=True) == pytest.approx(1e-3, rel=1e-9)  # each the other's inverse


@pytest.mark.parametrize(("mcs", "order", "rate", "measured_db"), SIONNA)
def test_the_gaps_meet_measured_tables(mcs, order, rate, measured_db):
    scheme = Scheme(mcs, order, rate / 1024)
    n = 500 / scheme.efficiency
    snr_db = np.linspace(-8, 25, 33001)
    needed_db = snr_db[np.argmax(FiniteBlocklength().error(scheme, db(snr_db), n) <= 0.1)]
    assert needed_db == pytest.approx(measured_db, abs=MEASURED_DB)


def test_a_gap_of_ones_own_moves_the_curve_by_as_much():
    scheme = CQI_TABLE_1[6]
    capacity = FiniteBlocklength(gap_db=0.0).error(scheme, db(3.0), 500.0)
    assert FiniteBlocklength(gap_db=2.0).error(scheme, db(5.0), 500.0) == pytest.approx(float(capacity), rel=SAME)
    with pytest.raises(OptionError, match="gap_db: must be at least 0 dB"):
        FiniteBlocklength(gap_db=-1.0)


@pytest.mark.parametrize("scheme", CQI_TABLE_1[::3], ids=lambda s: f"cqi{s.number}")
@pytest.mark.parametrize("n", [1.0, 7.0, 100.0, 9e3, 1e6])
def test_error_falls_with_snr_and_with_rounds(scheme, n):
    model, snr = FiniteBlocklength(), np.geomspace(1e-6, 1e8, 400)
    error = model.error(scheme, snr, n)
    assert error[0] == 1.0 and error[-1] < 1e-3 and (np.diff(error) <= 1e-15).all()
    assert model.error(scheme, 0.0, n) == 1.0  # nothing is decoded without a signal, however short
    twice = model.joint_error(scheme, np.stack([snr, snr], axis=-1), n)
    assert (twice <= error + 1e-15).all() and (twice < error)[error > 0.5].any()
    one_by_one = [float(model.joint_error(scheme, [[g, g]], n)[0]) for g in snr]  # the way of floats
    np.testing.assert_allclose(one_by_one, twice, rtol=SAME, atol=1e-300)
    lengths = model.error(scheme, snr, np.full(snr.size, n))
    np.testing.assert_allclose(lengths, error, rtol=SAME, atol=1e-300)


def test_code_blocks_of_the_standard():
    # 8448 bits with a check sum of 24 fit one block of base graph 1; one bit more does not
    assert code_blocks([8424.0, 8425.0, 1e5], 0.8).tolist() == [1.0, 2.0, np.ceil(100_024 / 8424)]
    assert code_blocks([3816.0, 3817.0], 0.2).tolist() == [1.0, 1.0]  # base graph 2, check sum of 16 up to 3824 bits
    assert code_blocks([3825.0, 7632.0 - 24, 7632.0], 0.2).tolist() == [2.0, 2.0, 3.0]
    assert code_blocks(3825.0, 0.5) == 1.0  # above 3824 bits base graph 1 for rates above 0.25
    assert code_blocks(0.0, 0.5) == 1.0
    for rate in (0.2, 0.5, 0.9):
        assert largest_block_bits(0, rate) == 0.0
        for blocks in (1.0, 2.0, 3.0, 50.0):
            most = largest_block_bits(blocks, rate)
            assert code_blocks([most, most + 1.0], rate).tolist() == [blocks, blocks + 1.0]
    with pytest.raises(ValueError, match="size in bits"):
        code_blocks(-1.0, 0.5)


def test_a_transport_block_is_lost_with_any_of_its_code_blocks():
    assert transport_block_error([0.1, 0.0, 1.0, 1e-12], [3, 5, 2, 4]).tolist() == pytest.approx([0.271, 0, 1, 4e-12])
    model, scheme, snr = FiniteBlocklength(), CQI_TABLE_1[14], db(18.9)
    whole = 30_000 / scheme.efficiency
    parts = code_blocks(30_000.0, scheme.code_rate)
    assert parts == 4.0
    one = float(model.error(scheme, snr, whole / 4))
    assert model.error(scheme, snr, whole) == pytest.approx(1 - (1 - one) ** 4, rel=SAME)


def test_outage_is_a_step_at_the_rate():
    model, scheme = Outage(), Scheme(1, 2, 1.0)
    assert model.error(scheme, [2.999, 3.0, 0.0], 50.0).tolist() == [1.0, 0.0, 1.0]
    assert model.joint_error(scheme, [[0.99, 1.0], [1.01, 1.0]], 50.0).tolist() == [1.0, 0.0]
    assert model.error(scheme, 1.0, np.ones(3)).shape == (3,)


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "bler.csv"
        path.write_text(text)
        return Table(file=str(path))

    return write


def test_a_table_is_interpolated_in_log_bler(table):
    model = table("cqi,snr_db,bler\n1,-6,1\n1,-4,0.01\n2,-3,0.5\n2,-2,0\n")
    first, second, third = CQI_TABLE_1[:3]
    snr = [db(x) for x in (-7, -6, -5, -4.5, -4, 0)]
    assert model.error(first, snr, 100.0) == pytest.approx([1, 1, 0.1, 10**-1.5, 0.01, 0.01], rel=1e-9)
    assert model.error(second, [db(-3.001), db(-3.0), db(-2), 0.0], 100.0) == pytest.approx(
        [1, 0.5, 1e-12, 1], rel=1e-9
    )
    assert model.error(third, [1e9], np.ones(1)).tolist() == [1.0]  # no row, never used
    assert model.error(first, db(-5), 1e5) == pytest.approx(
        1 - 0.9**4, rel=1e-9
    )  # 15 258 bits are 4 code blocks of BG 2
    # two halves of the mutual information are one block at the SNR that has it all
    half = np.sqrt(1 + db(-5)) - 1
    assert model.joint_error(first, [[half, half]], 100.0) == pytest.approx([0.1], rel=1e-9)
    needed = thresholds(model, CQI_TABLE_1, 0.1).snr_db([100.0])[0]
    assert needed[:2] == pytest.approx([-5.0, -3 + np.log10(5) / np.log10(5e11)], abs=1e-9)
    assert np.isinf(needed[2:]).all()
    assert sorted(model.load()) == [1, 2]


@pytest.mark.parametrize(("text", "message"), [
    ("cqi,snr_db,bler\n1,0,0.5\n1,0,0.4\n", "bler.csv:3: snr_db must rise among the rows of a CQI; got 0 after 0"),
    ("cqi,snr_db,bler\n1,0,0.5\n2,0,0.4\n1,1,0.6\n",
     "bler.csv:4: bler must not rise among the rows of a CQI; got 0.6 after 0.5"),
    ("cqi,snr_db,bler\n1,0,0.5\n1,x,0.4\n", "bler.csv:3: snr_db must be a finite number; got 'x'"),
    ("cqi,snr_db,bler\n1,nan,0.4\n", "bler.csv:2: snr_db must be a finite number; got 'nan'"),
    ("cqi,snr_db,bler\n1,0,1.5\n", "bler.csv:2: bler must be in [0, 1]; got 1.5"),
    ("cqi,snr_db,bler\n1,0,-0.1\n", "bler.csv:2: bler must be in [0, 1]; got -0.1"),
    ("cqi,snr_db,bler\n16,0,0.1\n", "bler.csv:2: cqi must be a whole number from 1 to 15; got 16"),
    ("cqi,snr_db,bler\n1.5,0,0.1\n", "bler.csv:2: cqi must be a whole number from 1 to 15; got 1.5"),
    ("cqi,snr_db\n1,0\n", "bler.csv:1: the column 'bler' is missing"),
    ("", "bler.csv: is empty"),
])  # fmt: skip
def test_a_table_that_is_wrong(table, text, message):
    with pytest.raises(FileError) as caught:
        table(text).load()
    assert message in str(caught.value)


def test_a_table_that_changes_is_read_again(table):
    import os

    model = table("cqi,snr_db,bler\n1,-6,1\n1,-4,0.01\n")
    before = thresholds(model, CQI_TABLE_1, 0.1).snr_db([100.0])[0, 0]
    table("cqi,snr_db,bler\n1,-4,1\n1,-2,0.01\n")
    os.utime(model.file, ns=(1, 1))
    assert thresholds(model, CQI_TABLE_1, 0.1).snr_db([100.0])[0, 0] == pytest.approx(before + 2.0, abs=1e-9)


KEPT = 1e-3  # of BLER: straight lines between 32 lengths an octave


def test_a_table_that_is_gone_says_so(table):
    import os

    model = table("cqi,snr_db,bler\n1,-6,1\n1,-4,0.01\n")
    assert model.error(CQI_TABLE_1[0], db(-4), 100.0) == pytest.approx(0.01)
    os.remove(model.file)
    for question in (lambda: model.error(CQI_TABLE_1[0], 1.0, 100.0), model.load, lambda: Cqi(bler=model).cqi(1.0)):
        with pytest.raises(FileError, match=r"bler\.csv: cannot be read: No such file or directory"):
            question()


def test_arguments_out_of_range():
    for arguments, says in [
        ((np.nan, 0.1, 100), "a linear SNR must be finite and at least 0; got nan"),
        ((1.0, 2, 100), "an error must be above 0 and below 1; got 2"),
        ((1.0, 0.0, 100), "an error must be above 0 and below 1; got 0.0"),
        ((1.0, 0.1, 0), "a length in symbols must be finite and above 0; got 0"),
        ((1.0, 0.1, 0.5), "a length in symbols must be at least 1; got 0.5"),
    ]:
        with pytest.raises(ValueError) as caught:
            largest_efficiency(*arguments)
        assert str(caught.value) == says
    for error, blocks, says in [
        (1.5, 3, "a probability must be at most 1; got 1.5"),
        (-0.1, 3, "a probability must be finite and at least 0; got -0.1"),
        ([0.1, np.nan], 3, "a probability must be finite and at least 0; got nan"),
        (0.1, 0, "a number of code blocks must be at least 1; got 0.0"),
    ]:
        with pytest.raises(ValueError) as caught:
            transport_block_error(error, blocks)
        assert str(caught.value) == says


def test_no_snr_is_too_high():
    assert normal_approximation([1e160, 1e300], 1.0, 500) == pytest.approx([0.0, 0.0], abs=1e-300)
    assert FiniteBlocklength().error(CQI_TABLE_1[14], 1e160, 1000) == 0.0
    assert FiniteBlocklength().error(CQI_TABLE_1[14], [1e160, 1e300], 1000).tolist() == [0.0, 0.0]


def test_thresholds_keep_the_target():
    model = FiniteBlocklength()
    lengths = [64.0, 101.0, 700.0, 1024.0, 0.5]
    found = Thresholds(model, CQI_TABLE_1, 0.1).snr_db(lengths)
    assert found.shape == (5, 15) and (np.diff(found, axis=1) > 0).all()
    for row, n in zip(found, np.maximum(lengths, 1.0).tolist(), strict=True):
        error = [float(model.error(s, db(x), n)) for s, x in zip(CQI_TABLE_1, row, strict=True)]
        assert error == pytest.approx([0.1] * 15, abs=KEPT)


@pytest.mark.parametrize("target", [0.01, 0.1, 0.5])
def test_thresholds_keep_the_target_across_the_ends_of_code_blocks(target):
    """Where a block is cut into one code block more, the SNR that it needs jumps."""
    model = FiniteBlocklength()
    found = Thresholds(model, CQI_TABLE_1, target)
    for i, scheme in list(enumerate(CQI_TABLE_1))[::5]:
        edges = [largest_block_bits(blocks, scheme.code_rate) / scheme.efficiency for blocks in (1, 2, 3, 7, 40)]
        lengths = np.array([edge * share for edge in edges for share in (0.9, 0.999, 1 - 1e-8, 1 + 1e-8, 1.001)])
        snr_db = found.snr_db(lengths)[:, i]
        assert model.error(scheme, db(snr_db), lengths) == pytest.approx(target, abs=KEPT)
        assert (snr_db[3] - snr_db[2] > 1e-3) or target == 0.5  # there is something to miss


@pytest.mark.parametrize("n", [3502.0, 14008.0, 20000.0, 1e5])
def test_the_chosen_cqi_keeps_the_target(n):
    model = Cqi()
    snr = db(np.linspace(-8.0, 22.0, 1501))
    chosen = model.cqi(snr, n)
    for scheme in CQI_TABLE_1:
        mine = snr[chosen == scheme.number]
        assert mine.size and model.bler.error(scheme, mine, n).max() <= model.target + KEPT


def test_the_registry_goes_by_kind():
    assert {kind: model.__dataclass_fields__["kind"].default for kind, model in BLER.items()} == {
        kind: kind for kind in BLER
    }
