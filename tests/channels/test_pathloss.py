from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.options import OptionError
from channels.pathloss import (
    P1238,
    PATH_LOSS,
    Cost231Hata,
    FreeSpace,
    InF,
    InH,
    LogDistance,
    OkumuraHata,
    RangeWatch,
    RMa,
    Shadowed,
    Sighted,
    TwoRay,
    UMa,
    UMi,
    Validity,
    free_space_db,
    range_m,
)
from channels.vectors import BREAKPOINTS_M, CARRIER_HZ, OUTDOOR, PATH_LOSSES, SHARES
from wfl_sim.checks import check_path_loss

TABLE_DB = 1e-3  # the acceptance limit of the project; the vectors have four decimals
TABLE_SHARE = 5e-5  # half of the last of four decimals
ROUNDING_DB = 1e-9  # the same formula written two ways

HALLS = [InF(hall=hall) for hall in ("SL", "DL", "SH", "DH")]
SIGHTED = [UMa(), UMi(), UMi(client_height_m=22.5), RMa(), InH(), InH(office="open"), *HALLS]
MODELS = [
    *(dataclasses.replace(model, line_of_sight=s) for model in SIGHTED for s in ("always", "never", "probability")),
    RMa(base_station_height_m=10.0, client_height_m=10.0, building_height_m=50.0, street_width_m=5.0),
    *(LogDistance(exponent=n) for n in (2.0, 3.2)),
    *(OkumuraHata(area=area) for area in ("small_city", "large_city", "suburban", "open")),
    *(Cost231Hata(area=area, base_station_height_m=200.0) for area in ("medium_city", "metropolitan")),
    FreeSpace(),
    TwoRay(),
    P1238(power_loss_coefficient=22.0, floor_loss_db=9.0),
]


def carrier_in_range(model):
    low, high = getattr(model.validity, "carrier_hz", (0.0, math.inf))
    return min(max(CARRIER_HZ, low), high)


@pytest.mark.parametrize(("model", "carrier_hz", "distance_m", "expected_db"), PATH_LOSSES)
def test_the_vectors_come_out(model, carrier_hz, distance_m, expected_db):
    loss = model.path_loss_db(distance_m, carrier_hz)
    np.testing.assert_allclose(loss, expected_db, rtol=0, atol=TABLE_DB)
    if isinstance(model, Sighted):
        open_case = dataclasses.replace(model, line_of_sight="probability")
        los = model.line_of_sight == "always"
        np.testing.assert_array_equal(open_case.path_loss_db(distance_m, carrier_hz, los), loss)


def test_every_model_has_a_vector():
    assert {type(row.model) for row in PATH_LOSSES} == set(PATH_LOSS.values())
    assert {row.model.line_of_sight for row in OUTDOOR} == {"always", "never"}


@pytest.mark.parametrize(("model", "distance_m", "expected"), SHARES)
def test_the_probability_of_line_of_sight(model, distance_m, expected):
    np.testing.assert_allclose(model.los_probability(distance_m), expected, rtol=0, atol=TABLE_SHARE)
    assert model.los_probability(0.0) == 1.0


@pytest.mark.parametrize(("model", "expected_m"), BREAKPOINTS_M)
def test_breakpoints_at_3_5_ghz(model, expected_m):
    assert model.breakpoint_m(CARRIER_HZ) == pytest.approx(expected_m, abs=1e-3)


@pytest.mark.parametrize("model", [UMa(), UMi(), UMa(base_station_height_m=40.0), TwoRay()])
def test_slopes_meet_at_the_breakpoint(model):
    edge_m = model.crossover_m(CARRIER_HZ) if isinstance(model, TwoRay) else model.breakpoint_m(CARRIER_HZ)
    around = edge_m * np.array([1 - 1e-9, 1 + 1e-9])
    los = (True,) if isinstance(model, Sighted) else ()
    before, after = model.path_loss_db(around, CARRIER_HZ, *los)
    # Not to rounding: the TR's 9 lg(d_BP^2 + drop^2) joins 18 lg d3D exactly
    assert after - before == pytest.approx(0.0, abs=1e-6)


def test_rma_has_the_step_of_the_report_at_its_breakpoint_and_only_upwards():
    edge_m, low = RMa().breakpoint_m(CARRIER_HZ), dataclasses.replace(RMa(), building_height_m=50.0)
    before, after = RMa().path_loss_db(edge_m * np.array([1 - 1e-12, 1 + 1e-12]), CARRIER_HZ, True)
    # d_BP is put in for d3D, which there is hypot(3848.451, 33.5) = d_BP (1 + 3.7885e-5). PL2 grows over that by
    # 40 lg = 6.581e-4 dB; PL1 by (20 + 0.03 5^1.72) lg = 3.369e-4 and 0.002 lg 5 x 0.1458 m = 2.04e-4 dB.
    assert after - before == pytest.approx(1.17e-4, abs=1e-6)
    # Among high houses PL1 is steeper than 40 dB a decade there, and the report's step would lead down.
    before, after = low.path_loss_db(edge_m * np.array([1 - 1e-12, 1 + 1e-12]), CARRIER_HZ, True)
    assert after == pytest.approx(before, abs=ROUNDING_DB)


def test_the_open_office_has_the_step_of_the_report_at_49_m():
    before, after = InH(office="open").los_probability([49.0, np.nextafter(49.0, 50.0)])
    assert (before, after) == pytest.approx((math.exp(-44.0 / 70.8), 0.54), abs=1e-12)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_the_contract_holds(model):
    check_path_loss(model, carrier_in_range(model))


@pytest.mark.parametrize("model", MODELS, ids=str)
@given(st.lists(st.floats(0.0, 3e4), min_size=2, max_size=40), st.floats(0.1e9, 100e9))
def test_loss_never_falls_with_distance(model, distance_m, carrier_hz):
    loss = model.path_loss_db(np.sort(distance_m), carrier_hz)
    # but for the open office, whose probability of line of sight steps up at 49 m, by 0.0028 of at most 40 dB
    step_db = 0.12 if model == InH(office="open", line_of_sight="probability") else ROUNDING_DB
    assert np.diff(loss).min() >= -step_db


@pytest.mark.parametrize("model", SIGHTED, ids=str)
@given(st.lists(st.floats(0.0, 3e4), min_size=1, max_size=40), st.floats(0.1e9, 100e9))
def test_blocked_sight_never_helps_and_the_mean_lies_between(model, distance_m, carrier_hz):
    clear, blocked = (model.path_loss_db(distance_m, carrier_hz, los) for los in (True, False))
    assert (blocked >= clear).all()
    share = model.los_probability(distance_m)
    assert ((share >= 0.0) & (share <= 1.0)).all()
    mixed = dataclasses.replace(model, line_of_sight="probability").path_loss_db(distance_m, carrier_hz)
    np.testing.assert_allclose(mixed, share * clear + (1 - share) * blocked, rtol=0, atol=ROUNDING_DB)
    los = np.arange(len(distance_m)) % 2 == 0
    np.testing.assert_array_equal(model.path_loss_db(distance_m, carrier_hz, los), np.where(los, clear, blocked))


@pytest.mark.parametrize("cls", [UMa, UMi])
def test_a_taller_client_loses_less_when_blocked(cls):
    low, high = (cls(client_height_m=h).path_loss_db(500.0, CARRIER_HZ) for h in (1.5, 10.0))
    assert high < low - 2.5  # 0.6 and 0.3 dB a metre: 5.1 and 2.55 dB


@pytest.mark.parametrize("reference_m", [1.0, 7.0])
def test_exponent_two_is_free_space(reference_m):
    for distance_m, carrier_hz in ((100.0, 2.4e9), (1000.0, 3.5e9)):
        model = LogDistance(exponent=2.0, reference_distance_m=reference_m)
        expected_db = free_space_db(distance_m, carrier_hz)
        assert model.path_loss_db(distance_m, carrier_hz) == pytest.approx(expected_db, abs=ROUNDING_DB)


def test_log_distance_adds_ten_times_the_exponent_a_decade():
    model = LogDistance(exponent=3.5, reference_distance_m=10.0, reference_loss_db=70.0)
    np.testing.assert_allclose(
        model.path_loss_db([10.0, 100.0, 1000.0], CARRIER_HZ), [70.0, 105.0, 140.0], rtol=0, atol=ROUNDING_DB
    )


@pytest.mark.parametrize(
    ("model", "nearest_m"),
    [
        *((cls(line_of_sight=s), 10.0) for cls in (UMa, UMi, RMa) for s in ("always", "never")),
        (InH(base_station_height_m=1.0), 1.0),
        (InF(line_of_sight="always"), 1.0),
        (LogDistance(exponent=3.0, reference_distance_m=5.0), 5.0),
        (FreeSpace(), 1.0),
        (TwoRay(), 1.0),
        (OkumuraHata(), 35.0),
        (Cost231Hata(), 35.0),
        (P1238(power_loss_coefficient=30.0), 1.0),
    ],
)
def test_loss_is_held_below_the_nearest_distance(model, nearest_m):
    near, edge, beyond = model.path_loss_db([0.0, nearest_m, 2 * nearest_m], CARRIER_HZ)
    assert near == edge < beyond


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("model", [PATH_LOSS["log_distance"](exponent=3.0), *MODELS[::3]], ids=str)
def test_a_wrong_distance_or_carrier_is_refused(model, bad):
    with pytest.raises(ValueError, match="distance"):
        model.path_loss_db([1.0, bad], CARRIER_HZ)
    with pytest.raises(ValueError, match="carrier_hz"):
        model.path_loss_db(100.0, bad)
    if isinstance(model, Sighted):
        with pytest.raises(ValueError, match="distance"):
            model.los_probability([1.0, bad])
    with pytest.raises(ValueError, match="distance"):
        free_space_db([1.0, bad], CARRIER_HZ)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: UMa(client_height_m=20.0), r"client_height_m: must be at least 1\.5 m and below 13 m"),
        (lambda: UMi(client_height_m=23.0), r"client_height_m: must be at least 1\.5 m and at most 22\.5 m"),
        (lambda: RMa(street_width_m=60.0), "street_width_m: must be at least 5 m and at most 50 m"),
        (lambda: UMa(line_of_sight="sometimes"), "line_of_sight: must be one of always, never, probability"),
        (lambda: InH(office="closed"), "office: must be one of mixed, open"),
        (lambda: InF(hall="HH"), "hall: must be one of SL, DL, SH, DH"),
        (lambda: InF(clutter_density=1.0), "clutter_density: must be above 0 and below 1"),
        (lambda: InF(hall="SH", client_height_m=2.0), "clutter_height_m: must be above the client's antenna .2 m. in"),
        (lambda: InF(hall="DH", base_station_height_m=1.5), "base_station_height_m: must be above the client's .*1.5"),
        (lambda: OkumuraHata(base_station_height_m=20.0), "base_station_height_m: must be at least 30 m and at most"),
        (lambda: Cost231Hata(area="open"), "area: must be one of medium_city, metropolitan"),
        (lambda: P1238(power_loss_coefficient=0.0), "power_loss_coefficient"),
        (lambda: LogDistance(exponent=0.0), "exponent"),
        (lambda: LogDistance(exponent=2.0, reference_loss_db=float("nan")), "reference_loss_db"),
    ],
)
def test_options_outside_their_range_are_refused(build, says):
    with pytest.raises(OptionError, match=says):
        build()


def test_an_exponent_has_to_be_given():
    with pytest.raises(TypeError, match="exponent"):
        LogDistance()


def test_registry_names_the_kinds():
    assert {kind: cls.kind for kind, cls in PATH_LOSS.items()} == {kind: kind for kind in PATH_LOSS}
    assert len(PATH_LOSS) == 11


@pytest.mark.parametrize(
    ("model", "distance_m"),
    [
        (UMa(), (10.0, 5e3)),
        (RMa(), (10.0, 5e3)),
        (RMa(line_of_sight="always"), (10.0, 10e3)),
        (InH(), (0.0, math.sqrt(150.0**2 - 4.0))),
        (InF(), (1.0, 600.0)),
        (InF(hall="DH"), (0.0, math.sqrt(600.0**2 - 6.5**2))),
        (LogDistance(exponent=2.0, reference_distance_m=3.0), (3.0, math.inf)),
    ],
)
def test_the_range_of_a_model_is_in_horizontal_distance(model, distance_m):
    assert model.validity.distance_m == pytest.approx(distance_m)


def test_what_is_outside_a_range_is_said_with_the_range_and_the_value():
    inside = Validity((10.0, 5e3), (0.5e9, 100e9))
    assert inside.outside(10.0, 100e9) is None
    assert inside.outside(5001.0, 3e9) == "distance 5001 m is outside from 10 m to 5000 m"
    both = Validity((1.0, math.inf), (1.5e9, 2e9)).outside(0.5, 3.5e9)
    assert both == "distance 0.5 m is outside from 1 m on; carrier 3.5 GHz is outside from 1.5 GHz to 2 GHz"


def test_a_watch_counts_clients_and_not_questions():
    watch = RangeWatch(Cost231Hata(), 3.5e9, clients=5)
    for _ in range(3):
        watch.see(np.array([0, 2, 4]), np.array([[2e3, 3e3], [2e3, 999.0], [100.0, 30e3]]))
    watch.see(np.array([1]), np.array([[25e3]]))
    watch.see(np.array([3]), np.zeros((1, 0)))
    stated = "path loss cost231_hata is stated for distances from 1000 m to 20000 m"
    assert watch.texts == (
        "path loss cost231_hata is stated for carriers from 1.5 GHz to 2 GHz; the carrier is 3.5 GHz",
        f"{stated}; 2 clients were nearer, down to 100 m",
        f"{stated}; 2 clients were further, up to 30000 m",
    )
    assert RangeWatch(UMa(), 3.5e9, 2).texts == ()


INVERSE_DB = 1e-6  # the acceptance limit of the project; bisection ends at neighbouring floats


def joints_m(model):
    """Where a model changes its formula at 3.5 GHz."""
    for name in ("breakpoint_m", "crossover_m"):
        if hasattr(model, name):
            yield getattr(model, name)(CARRIER_HZ)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_a_range_is_the_largest_distance_that_the_loss_allows(model):
    around = [edge_m * share for edge_m in joints_m(model) for share in (0.9, 0.999, 1 - 1e-9, 1 + 1e-9, 1.001, 1.1)]
    distance = np.sort(np.r_[np.geomspace(40.0, 3e4, 61), around, 48.9, 49.0, np.nextafter(49.0, 50.0), 49.1])
    loss = model.path_loss_db(distance, CARRIER_HZ)
    found = range_m(model, loss, CARRIER_HZ)
    assert found.shape == loss.shape
    np.testing.assert_allclose(model.path_loss_db(found, CARRIER_HZ), loss, rtol=0, atol=INVERSE_DB)
    assert (found >= distance * (1 - 1e-12)).all()  # the largest: no nearer than where the loss was taken from
    assert (model.path_loss_db(found * (1 + 1e-9), CARRIER_HZ) > loss).all()


@pytest.mark.parametrize("carrier_hz", [0.5e9, CARRIER_HZ, 100e9])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_beyond_a_range_the_loss_is_larger(model, carrier_hz):
    loss_db = np.linspace(20.0, 220.0, 41)  # from nowhere on to far out
    found = range_m(model, loss_db, carrier_hz)
    assert (np.diff(found) >= 0).all() and np.isfinite(found).all()
    reached = found > 0
    assert (model.path_loss_db(found, carrier_hz) <= loss_db)[reached].all()
    further = np.maximum(found, 1e-3)[:, None] * np.geomspace(1 + 1e-12, 100.0, 50)
    assert (model.path_loss_db(further, carrier_hz) > loss_db[:, None]).all()


def test_the_range_of_a_textbook_by_hand():
    # W-CDMA with L = 138.5 + 35.7 lg R[km] (Garg, Wireless Communications, example 17.9): 139.65 dB reach 1.077 km
    model = LogDistance(exponent=3.57, reference_distance_m=1000.0, reference_loss_db=138.5)
    assert range_m(model, 139.65, 2e9) == pytest.approx(1077.0, abs=0.5)  # three decimals of a km
    assert range_m(model, 139.65, 2e9) == pytest.approx(1000.0 * 10 ** (1.15 / 35.7), rel=1e-12)


def test_in_the_open_office_the_range_beyond_the_step_counts():
    office = InH(office="open", line_of_sight="probability")
    before, after = office.path_loss_db([49.0, np.nextafter(49.0, 50.0)], CARRIER_HZ)
    assert after < before - 0.05  # both 48.7 m and 49.1 m have the loss between
    for share in (1e-9, 0.01, 0.5, 0.99):
        assert 49.0 < range_m(office, after + share * (before - after), CARRIER_HZ) < 49.6
    assert range_m(office, after - 1e-6, CARRIER_HZ) < 49.0
    assert InH(line_of_sight="probability").steps_m == InH(office="open").steps_m == ()


def test_where_there_is_no_range_and_where_it_has_no_end():
    at_the_mast = float(UMa().path_loss_db(0.0, CARRIER_HZ))
    nowhere, edge, anywhere = range_m(UMa(), [at_the_mast - 1e-6, at_the_mast, 1e4], CARRIER_HZ)
    assert nowhere == 0.0
    assert edge == pytest.approx(10.0, rel=1e-9)  # the loss is held up to 10 m, and all of that counts
    assert anywhere == np.inf
    assert range_m(UMa(), [], CARRIER_HZ).shape == (0,)
    assert range_m(UMa(), [[120.0, 130.0]], CARRIER_HZ).shape == (1, 2)
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match=f"a loss in dB must be finite; got {bad}"):
            range_m(UMa(), [100.0, bad], CARRIER_HZ)
    with pytest.raises(ValueError, match="carrier_hz"):
        range_m(UMa(), 100.0, 0.0)


# TR 38.901 version 19.4.0, Tables 7.4.1-1 (std in dB) and 7.5-6 (O2I, and row SF of the correlation distances in m);
# the packages tr3gpp 0.2.0 and sionna-no-rt 2.2.0 hold the same figures.
SHADOWING = [
    (UMa(), (4.0, 6.0, 7.0), (37.0, 50.0, 7.0)),
    (UMi(), (4.0, 7.82, 7.0), (10.0, 13.0, 7.0)),
    (RMa(), (4.0, 8.0, 8.0), (37.0, 120.0, 120.0)),
    (InH(), (3.0, 8.03, 8.03), (10.0, 6.0, 6.0)),
    (InF(), (4.3, 5.7, 5.7), (10.0, 10.0, 10.0)),
    (InF(hall="DL"), (4.3, 7.2, 7.2), (10.0, 10.0, 10.0)),
    (InF(hall="SH"), (4.3, 5.9, 5.9), (10.0, 10.0, 10.0)),
    (InF(hall="DH"), (4.3, 4.0, 4.0), (10.0, 10.0, 10.0)),
]


@pytest.mark.parametrize(("model", "std_db", "correlation_m"), SHADOWING, ids=lambda x: str(x))
def test_the_shadowing_of_the_report(model, std_db, correlation_m):
    assert isinstance(model, Shadowed)
    for state, expected_db, expected_m in zip(("los", "nlos", "indoor"), std_db, correlation_m, strict=True):
        got = model.shadowing_std_db([[50.0, 100.0]], CARRIER_HZ, state)
        assert got.tolist() == [[expected_db] * 2]
        assert model.shadowing_correlation_distance_m(state) == expected_m
    for ask in (model.shadowing_correlation_distance_m, lambda s: model.shadowing_std_db(50.0, CARRIER_HZ, s)):
        with pytest.raises(ValueError, match="a state is one of indoor, los, nlos; got 'sunny'"):
            ask("sunny")
    with pytest.raises(ValueError, match="distance"):
        model.shadowing_std_db(np.nan, CARRIER_HZ, "los")
    with pytest.raises(ValueError, match="carrier_hz"):
        model.shadowing_std_db(50.0, np.nan, "los")


def test_in_the_country_the_shadowing_in_sight_grows_at_the_breakpoint():
    edge_m = RMa().breakpoint_m(CARRIER_HZ)
    around = np.array([np.nextafter(edge_m, 0.0), edge_m, 2.0 * edge_m])
    assert RMa().shadowing_std_db(around, CARRIER_HZ, "los").tolist() == [4.0, 6.0, 6.0]
    assert RMa().shadowing_std_db(around, CARRIER_HZ, "nlos").tolist() == [8.0] * 3


def test_who_states_shadowing_and_who_does_not():
    assert all(isinstance(model, Shadowed) for model in SIGHTED)
    assert not any(isinstance(model, Shadowed) for model in MODELS if not isinstance(model, Sighted))
