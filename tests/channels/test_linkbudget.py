"""Link budgets against published columns, closed forms of reliability, and the law over places in `terrain`."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.linkbudget import THERMAL_NOISE_DBM_PER_HZ, BudgetError, LinkBudget
from channels.pathloss import Cost231Hata, InF, InH, LogDistance, RMa, Sighted, UMa, UMi
from channels.reliability import (
    MarginError,
    area_margin_db,
    area_reliability,
    edge_margin_db,
    edge_reliability,
    mixture_margin_db,
)
from channels.shadowing import BySight, LogNormal, NoShadowing
from channels.streams import Stream
from channels.terrain import Terrain

TABLE_DB = 0.05  # tables give tenths
ROUNDED_NOISE_DB = 0.025  # and take thermal noise as -174 dBm/Hz

# C. Johnson, LTE in Bullets, table 343, column 500 kbit/s: 8 resource blocks, 96 subcarriers of 15 kHz.
PUSCH = LinkBudget(
    tx_power_dbm=23.0, bandwidth_hz=96 * 15e3, required_snr_db=0.5, noise_figure_db=2.5, interference_margin_db=2.0,
    rx_antenna_gain_db=18.0, shadow_margin_db=9.0, macro_diversity_db=2.5, penetration_db=18.0,
)  # fmt: skip


def by_number(budget: LinkBudget) -> dict[str, float]:
    return {row.number: row.value for row in budget.rows() if row.number}


def test_thermal_noise_is_that_of_290_kelvin() -> None:
    assert pytest.approx(-173.9752, abs=1e-4) == THERMAL_NOISE_DBM_PER_HZ


@pytest.mark.parametrize(
    ("bandwidth_hz", "figure_db", "noise_dbm"), [(180e3, 0.0, -121.42), (10e6, 9.0, -95.0), (20e6, 7.0, -93.99)]
)
def test_noise_in_a_band(bandwidth_hz: float, figure_db: float, noise_dbm: float) -> None:
    budget = LinkBudget(tx_power_dbm=0, bandwidth_hz=bandwidth_hz, required_snr_db=0, noise_figure_db=figure_db)
    assert budget.noise_dbm == pytest.approx(noise_dbm, abs=0.03)  # the table mixes both constants


def test_the_lte_uplink_column() -> None:
    assert PUSCH.eirp_dbm == 23.0
    assert PUSCH.noise_dbm - 4.5 == pytest.approx(-112.4, abs=TABLE_DB + ROUNDED_NOISE_DB)
    assert PUSCH.sensitivity_dbm == pytest.approx(-107.4, abs=TABLE_DB + ROUNDED_NOISE_DB)
    assert PUSCH.isotropic_dbm == pytest.approx(-100.9, abs=TABLE_DB + ROUNDED_NOISE_DB)
    assert PUSCH.mapl_db == pytest.approx(123.9, abs=TABLE_DB + ROUNDED_NOISE_DB)


@pytest.mark.parametrize(
    ("bandwidth_hz", "figure_db", "snr_db", "sensitivity_dbm", "mcl_db"),
    [(360e3, 5.0, -4.3, -117.7, 140.7), (15e3, 3.0, -11.8, -141.0, 164.0)],  # TR 36.888 PUSCH, TR 45.820 NB-IoT
)
def test_maximum_coupling_loss(
    bandwidth_hz: float, figure_db: float, snr_db: float, sensitivity_dbm: float, mcl_db: float
) -> None:
    budget = LinkBudget(
        tx_power_dbm=23, bandwidth_hz=bandwidth_hz, required_snr_db=snr_db, noise_figure_db=figure_db,
        tx_antenna_gain_db=5.0, rx_antenna_gain_db=17.0,  # MCL leaves antennas out
    )  # fmt: skip
    assert budget.sensitivity_dbm == pytest.approx(sensitivity_dbm, abs=TABLE_DB + ROUNDED_NOISE_DB)
    assert budget.mcl_db == pytest.approx(mcl_db, abs=TABLE_DB + ROUNDED_NOISE_DB)


def test_rows_obey_the_formulas_of_the_template() -> None:
    budget = LinkBudget(
        tx_power_dbm=46.0, bandwidth_hz=20e6, required_snr_db=3.0, tx_antennas=4, tx_antenna_gain_db=8.0,
        tx_array_gain_db=6.0, control_boost_db=3.0, pilot_loss_db=0.4, tx_loss_db=2.0, rx_antennas=2,
        rx_antenna_gain_db=1.0, rx_array_gain_db=3.0, rx_loss_db=1.5, noise_figure_db=7.0, interference_margin_db=4.0,
        implementation_margin_db=2.0, harq_gain_db=0.5, shadow_std_db=8.0, shadow_margin_db=8.3, fading_margin_db=1.0,
        macro_diversity_db=2.0, penetration_db=20.0, other_gain_db=0.7,
    )  # fmt: skip
    r = by_number(budget)
    numbers = ["1", "2", "3", "4", "5", "6", "7", "8", "9a", "9b", "10", "11", "11bis", *map(str, range(12, 30))]
    assert list(r) == numbers
    total = 10 * math.log10(10 ** ((r["13"] + r["14"]) / 10) + 10 ** (r["15"] / 10))
    expected = {
        "3": r["2"] + 10 * math.log10(4),
        "9a": r["3"] + r["4"] + r["5"] + r["6"] - r["8"],
        "9b": r["3"] + r["4"] + r["5"] - r["7"] - r["8"],
        "16": total,
        "18": r["16"] + 10 * math.log10(20e6),
        "22": r["18"] + r["19"] + r["20"] - r["21"],
        "23": r["9b"] + r["11"] + r["11bis"] - r["22"],
        "29": r["23"] - r["25"] + r["26"] - r["27"] + r["28"] - r["12"],
    }
    assert {number: r[number] for number in expected} == pytest.approx(expected, abs=1e-9)


def test_without_interference_its_density_is_none_at_all() -> None:
    assert by_number(replace(PUSCH, interference_margin_db=0.0))["15"] == -math.inf


def test_at_the_allowed_loss_the_snr_is_the_one_required() -> None:
    np.testing.assert_allclose(PUSCH.snr_db(np.array([PUSCH.mapl_db, PUSCH.mapl_db - 7.0])), [0.5, 7.5])


@pytest.mark.parametrize(
    ("term", "value"),
    [("bandwidth_hz", 0.0), ("tx_power_dbm", math.nan), ("noise_figure_db", -1.0), ("shadow_std_db", -0.1),
     ("tx_antennas", 0), ("required_snr_db", math.inf), ("rx_loss_db", -2.0), ("interference_margin_db", -3.0),
     ("penetration_db", -5.0), ("rx_antennas", 0.5)],
)  # fmt: skip
def test_a_wrong_term_is_named(term: str, value: float) -> None:
    with pytest.raises(BudgetError, match=f"^{term} must be .*got {value}"):
        replace(PUSCH, **{term: value})
    with pytest.raises(BudgetError, match="path_loss_db must be finite"):
        PUSCH.snr_db(math.nan)


@pytest.mark.parametrize(("reliability", "margin_db"), [(0.90, 10.25), (0.95, 13.16)])
def test_edge_margin_at_8_db(reliability: float, margin_db: float) -> None:
    assert edge_margin_db(reliability, 8.0) == pytest.approx(margin_db, abs=0.005)


@pytest.mark.parametrize(("edge", "area"), [(0.75, 0.9035), (0.90, 0.9673), (0.95, 0.9851)])
def test_area_reliability_of_jakes(edge: float, area: float) -> None:
    assert area_reliability(edge_margin_db(edge, 8.0), 8.0, 3.76) == pytest.approx(area, abs=5e-5)


def test_area_reliability_is_the_mean_over_the_disc() -> None:
    """The integral that Jakes' formula solves, by the midpoint rule over the area."""
    share = (np.arange(200_000) + 0.5) / 200_000  # of the area: r^2
    for margin, std, exponent in ((3.0, 6.0, 3.5), (-5.0, 8.0, 2.0), (0.0, 4.0, 4.0), (12.0, 10.0, 3.0)):
        here = margin - 10.0 * exponent * 0.5 * np.log10(share)
        mean = np.mean([edge_reliability(m, std) for m in here[::100]])
        assert area_reliability(margin, std, exponent) == pytest.approx(mean, abs=2e-3)


def test_without_shadowing_the_border_is_sharp() -> None:
    assert area_reliability(0.0, 0.0, 3.0) == 1.0
    assert area_reliability(-30.0, 0.0, 3.0) == pytest.approx(0.01)  # a tenth of the radius
    assert (edge_reliability(-0.1, 0.0), edge_reliability(0.0, 0.0)) == (0.0, 1.0)
    assert edge_margin_db(0.95, 0.0) == 0.0


@given(st.floats(0.01, 0.995), st.floats(0.5, 20.0), st.floats(1.5, 6.0))
def test_area_margin_is_the_inverse(reliability: float, std_db: float, exponent: float) -> None:
    margin = area_margin_db(reliability, std_db, exponent)
    assert area_reliability(margin, std_db, exponent) == pytest.approx(reliability, abs=1e-9)
    assert margin <= max(0.0, edge_margin_db(reliability, std_db)) + 1e-9


@given(st.floats(0.001, 0.999), st.floats(0.0, 20.0))
def test_edge_margin_is_the_inverse(reliability: float, std_db: float) -> None:
    if std_db > 1e-3:
        assert edge_reliability(edge_margin_db(reliability, std_db), std_db) == pytest.approx(reliability, abs=1e-9)


@pytest.mark.parametrize("extreme", [(-300.0, 1e-3, 6.0), (300.0, 1e-3, 6.0), (0.0, 40.0, 0.1), (-40.0, 0.1, 0.1)])
def test_area_reliability_stays_a_probability(extreme: tuple[float, float, float]) -> None:
    assert 0.0 <= area_reliability(*extreme) <= 1.0


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, math.nan])
def test_a_reliability_outside_0_to_1_is_refused(bad: float) -> None:
    for wrong in (lambda: edge_margin_db(bad, 8.0), lambda: area_margin_db(bad, 8.0, 3.0)):
        with pytest.raises(MarginError, match="reliability must be above 0 and below 1"):
            wrong()


def test_wrong_spreads_are_refused() -> None:
    with pytest.raises(MarginError, match="std_db must be finite and at least 0; got -1"):
        edge_margin_db(0.9, -1.0)
    with pytest.raises(MarginError, match="exponent must be above 0"):
        area_reliability(0.0, 8.0, 0.0)
    with pytest.raises(MarginError, match="margin_db must be finite"):
        edge_reliability(math.nan, 8.0)
    for gap_db, share, message in ((math.nan, 0.5, "gap_db must be finite"), (3.0, 2.0, "share must be at most 1")):
        with pytest.raises(MarginError, match=message):
            mixture_margin_db(0.9, np.array(gap_db), np.array(share), (np.array(6.0), np.array(8.0)))
    with pytest.raises(MarginError, match="margin_db must be finite"):
        area_reliability(math.nan, 8.0, 3.0)


def test_a_mixture_of_one_state_is_the_normal_law() -> None:
    std = (np.array([4.0]), np.array([8.0]))
    sure, never = (mixture_margin_db(0.95, np.array([20.0]), np.array([p]), std)[0] for p in (1.0, 0.0))
    assert sure == pytest.approx(edge_margin_db(0.95, 4.0), abs=1e-6)
    assert never == pytest.approx(20.0 + edge_margin_db(0.95, 8.0), abs=1e-6)


def test_a_mixture_holds_as_often_as_wanted() -> None:
    """Against draws: 40 % lose 15 dB more, with deviations of 3 and 7 dB; 1e6 draws scatter by 2e-4."""
    margin = mixture_margin_db(0.9, np.array(15.0), np.array(0.6), (np.array(3.0), np.array(7.0)))
    n = np.arange(1_000_000)
    root = Stream.root(11)
    blocked = root.child("state").uniform(0, n) > 0.6
    loss = np.where(blocked, 15.0 + 7.0 * root.normal(0, n), 3.0 * root.normal(1, n))
    assert np.mean(loss <= float(margin)) == pytest.approx(0.9, abs=1.5e-3)


def test_states_without_spread_make_a_step() -> None:
    zero = np.zeros(2)
    margin = mixture_margin_db(0.7, np.array([10.0, 10.0]), np.array([0.8, 0.6]), (zero, zero))
    np.testing.assert_allclose(margin, [0.0, 10.0], atol=1e-6)


CARRIER_HZ = 3.5e9
DISTANCES_M = np.array([20.0, 60.0, 150.0, 400.0, 1500.0])


@pytest.mark.parametrize("sight", ["always", "never"])
def test_terrain_of_one_state_is_log_normal(sight: str) -> None:
    model = UMa(line_of_sight=sight)  # type: ignore[arg-type]
    terrain = Terrain(model, LogNormal(std_db=6.0), CARRIER_HZ, wall_std_db=4.4)
    spread = math.hypot(6.0, 4.4)
    np.testing.assert_allclose(terrain.std_db(DISTANCES_M), spread)
    np.testing.assert_allclose(terrain.margin_db(DISTANCES_M, 0.95), edge_margin_db(0.95, spread))
    np.testing.assert_array_equal(terrain.loss_db(DISTANCES_M), model.path_loss_db(DISTANCES_M, CARRIER_HZ))


def test_terrain_with_chance_of_sight_holds_as_often_as_wanted() -> None:
    """Against draws of state and shadowing at five distances: 4e5 draws scatter by 5e-4."""
    model, std = UMi(line_of_sight="probability"), 5.0
    terrain = Terrain(model, LogNormal(std_db=std), CARRIER_HZ)
    bound = terrain.loss_db(DISTANCES_M) + terrain.margin_db(DISTANCES_M, 0.9)
    rows, n = np.arange(DISTANCES_M.size)[:, None], np.arange(400_000)
    seen = Stream.root(3).uniform(rows, n) < model.los_probability(DISTANCES_M)[:, None]
    clear, blocked = (model.path_loss_db(DISTANCES_M, CARRIER_HZ, los)[:, None] for los in (True, False))
    loss = np.where(seen, clear, blocked) + std * Stream.root(4).normal(rows, n)
    np.testing.assert_allclose(np.mean(loss <= bound[:, None], axis=1), 0.9, atol=3e-3)
    np.testing.assert_allclose(loss.mean(axis=1), terrain.loss_db(DISTANCES_M), atol=0.06)
    np.testing.assert_allclose(loss.std(axis=1), terrain.std_db(DISTANCES_M), rtol=0.01)


def test_terrain_takes_the_deviation_by_state_from_the_path_loss() -> None:
    """TR 38.901, UMi: 4 dB with sight, 7.82 dB without, 7 dB inside."""
    for sight, indoor, std_db in (("always", False, 4.0), ("never", False, 7.82), ("never", True, 7.0)):
        model = UMi(line_of_sight=sight)  # type: ignore[arg-type]
        terrain = Terrain(model, BySight(), CARRIER_HZ, indoor=indoor)
        np.testing.assert_allclose(terrain.std_db(DISTANCES_M), std_db)


def test_shadowing_that_states_no_deviation_has_no_margin() -> None:
    class Silent:
        kind = "silent"

    with pytest.raises(ValueError, match="shadowing 'silent' states no std_db, which a margin needs"):
        Terrain(UMa(), Silent(), CARRIER_HZ).std_db(DISTANCES_M)  # type: ignore[arg-type]


def test_terrain_knows_the_exponent() -> None:
    plain = Terrain(LogDistance(exponent=3.76), NoShadowing(), CARRIER_HZ)
    np.testing.assert_allclose(plain.exponent(DISTANCES_M), 3.76, atol=1e-9)
    np.testing.assert_array_equal(plain.margin_db(DISTANCES_M, 0.99), 0.0)
    held = Terrain(UMa(), NoShadowing(), CARRIER_HZ)
    assert held.exponent(np.array([1.0])) == 0.1  # nearer than 10 m the loss is that at 10 m


def test_wcdma_range_of_a_textbook() -> None:
    """Garg, example 17.9: L = 138.5 + 35.7 lg R[km], 139.65 dB allowed, R = 1.077 km."""
    model = LogDistance(exponent=3.57, reference_distance_m=1000.0, reference_loss_db=138.5)
    assert Terrain(model, NoShadowing(), CARRIER_HZ).range_m(139.65, np.zeros_like) == pytest.approx(1077.0, abs=0.5)


@pytest.mark.parametrize("sight", ["always", "never", "probability"])
@pytest.mark.parametrize("kind", [UMa, UMi, RMa, InH, InF], ids=lambda kind: kind.__name__)
def test_at_the_range_loss_and_margin_are_what_is_allowed(kind: type[Sighted], sight: str) -> None:
    """Also where the deviation steps, as in RMa at its breakpoint: no distance beyond fits, and the one before does."""
    terrain = Terrain(kind(line_of_sight=sight), BySight(), CARRIER_HZ)  # type: ignore[arg-type]
    for allowed in np.linspace(75.0, 190.0, 5):
        for reliability in (0.6, 0.99):

            def needed(distance_m: np.ndarray, reliability: float = reliability) -> np.ndarray:
                return terrain.loss_db(distance_m) + terrain.margin_db(distance_m, reliability)

            reach = terrain.range_m(float(allowed), lambda d, r=reliability: terrain.margin_db(d, r))
            if 0.0 < reach < math.inf:
                assert needed(np.array([reach]))[0] <= allowed + 1e-9
                beyond = reach * np.geomspace(1.0 + 1e-9, 1e3, 400)
                assert (needed(beyond) > allowed - 1e-6).all()


def test_larger_losses_reach_further() -> None:
    terrain = Terrain(Cost231Hata(), NoShadowing(), 1.8e9)
    ranges = [terrain.range_m(loss, np.zeros_like) for loss in (110.0, 120.0, 130.0, 140.0)]
    assert all(near < far for near, far in pairwise(ranges))


def test_terrain_refuses_what_is_no_spread_or_carrier() -> None:
    with pytest.raises(ValueError, match="wall_std_db must be finite and at least 0"):
        Terrain(UMa(), NoShadowing(), CARRIER_HZ, wall_std_db=-1.0)
    with pytest.raises(ValueError, match="carrier_hz must be finite and above 0"):
        Terrain(UMa(), NoShadowing(), 0.0)
