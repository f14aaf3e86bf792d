from __future__ import annotations

import numpy as np
import pytest

from channels.bler import CQI_TABLE_1, Outage, Table
from channels.cqi import REFERENCE_SYMBOLS, Cqi
from channels.options import OptionError

FITTED = 0.12  # relative: a smooth curve through a staircase whose steps are 10 to 60 % high


def test_the_highest_cqi_that_keeps_the_target_is_chosen():
    model = Cqi(bler=Outage())  # thresholds in closed form: 2^R - 1
    edges = 2.0 ** np.array([s.efficiency for s in CQI_TABLE_1]) - 1
    assert model.cqi(edges * (1 + 1e-9)).tolist() == list(range(1, 16))
    assert model.cqi(edges * (1 - 1e-9)).tolist() == list(range(15))
    assert model.efficiency([0.0, 1e9]).tolist() == [0.0, CQI_TABLE_1[-1].efficiency]
    assert model.efficiency(edges[4] * 1.001, "down") == CQI_TABLE_1[4].efficiency


def test_snr_for_is_the_inverse():
    model = Cqi()
    wanted = np.array([0.0, 0.1, 0.5, 2.0, 5.5])
    snr = model.snr_for(wanted)
    assert snr[0] == 0.0 and (model.efficiency(snr) >= wanted).all()
    assert (model.efficiency(snr[1:] * (1 - 1e-6)) < wanted[1:]).all()
    assert model.snr_for(6.0) == np.inf
    for bad in (np.nan, -1.0, np.inf):
        with pytest.raises(ValueError, match="must be finite and at least 0"):
            model.snr_for(bad)
        with pytest.raises(ValueError, match="must be finite and at least 0"):
            model.efficiency(bad)


def test_a_length_that_is_none_is_refused():
    for bad in (np.nan, np.inf, -1.0):
        with pytest.raises(ValueError, match="a length in symbols must be finite and at least 0"):
            Cqi().cqi(10.0, bad)


def test_a_smaller_target_asks_for_more_snr():
    strict, loose = Cqi(target=1e-3), Cqi(target=0.5)
    assert (strict.thresholds.snr_db([500.0]) > loose.thresholds.snr_db([500.0])).all()


@pytest.mark.parametrize("model", [Cqi(), Cqi(bler=Outage()), Cqi(target=0.01)], ids=["na", "outage", "strict"])
def test_planning_follows_the_staircase(model):
    plan = model.plan()
    assert plan.cap == pytest.approx((1 - model.target) * CQI_TABLE_1[-1].efficiency)
    snr_db = model.thresholds.snr_db([REFERENCE_SYMBOLS])[0]
    grid = 10 ** (np.linspace(snr_db[0], snr_db[-1], 2000) / 10)
    curve = np.minimum(plan.scale * np.log2(1 + grid / plan.gap), plan.cap)
    stairs = (1 - model.target) * model.efficiency(grid)
    assert curve.mean() == pytest.approx(stairs.mean(), rel=0.02)
    halves = np.array_split(np.arange(grid.size), 4)
    assert [curve[h].mean() for h in halves] == pytest.approx([stairs[h].mean() for h in halves], rel=FITTED)


def test_a_table_without_a_usable_row_carries_nothing(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("cqi,snr_db,bler\n3,0,0.9\n3,10,0.5\n")
    model = Cqi(bler=Table(file=str(path)))
    assert model.efficiency(1e9) == 0.0 and model.snr_for(0.1) == np.inf
    assert model.plan().cap < 1e-6
    path.write_text("cqi,snr_db,bler\n3,0,0.9\n3,10,0.05\n")
    one = Cqi(bler=Table(file=str(path)), target=0.2)
    assert one.efficiency(1e3) == CQI_TABLE_1[2].efficiency
    assert one.plan().cap == pytest.approx(0.8 * CQI_TABLE_1[2].efficiency)


def test_options_are_checked():
    assert not Cqi().always_met
    with pytest.raises(OptionError, match=r"target: must be above 0 and at most 0\.9"):
        Cqi(target=0.0)
    with pytest.raises(
        OptionError, match="step_db: must be smaller: with this target, one block would lift the offset"
    ):
        Cqi(target=0.9, step_db=5.0)
