from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import channels
from channels.fading import BlockRayleigh, NoFading, Rayleigh
from channels.links import LOWEST_GAIN_DB, Links
from channels.mobility import ConstantVelocity, Disc, Line, RandomWaypoint, Static
from channels.pathloss import LogDistance, UMa
from channels.penetration import OutdoorToIndoor
from channels.shadowing import BySight, LogNormal, Map, NoShadowing
from channels.streams import Stream
from channels.tdl import TDL

ROUNDING_DB = 1e-9
MODELS = {
    "carrier_hz": 3.5e9,
    "path_loss": UMa(),
    "shadowing": LogNormal(),
    "fading": Rayleigh(),
    "placement": Disc(from_m=20.0, to_m=500.0),
    "mobility": RandomWaypoint(speed_mps=10.0),
    "antenna_gain_db": 15.0,
}
TIMES_S = np.linspace(0.0, 200.0, 23)


def links(clients=6, seed=1, **changed):
    return Links(Stream.root(seed), clients, **{**MODELS, **changed})


def test_a_plain_link_is_antennas_less_path_loss():
    plain = links(
        3, shadowing=NoShadowing(), fading=NoFading(), mobility=Static(), placement=Line(from_m=100.0, to_m=1000.0)
    )
    expected = 15.0 - UMa().path_loss_db([100.0, 550.0, 1000.0], 3.5e9)
    np.testing.assert_allclose(plain.gain_db([0.0, 7.0]), np.stack([expected] * 2, axis=1), rtol=0, atol=ROUNDING_DB)
    np.testing.assert_allclose(plain.gain([7.0])[:, 0], 10 ** (expected / 10), rtol=1e-12)


def test_parts_add_up():
    link = links()
    stream = Stream.root(1)
    path = MODELS["mobility"].trajectory(stream, MODELS["placement"], np.arange(6), 6)
    shadow = LogNormal().shadowing_db(stream.child("shadowing"), np.arange(6), path.travelled_m(TIMES_S))
    large = 15.0 - UMa().path_loss_db(path.distance_m(TIMES_S), 3.5e9) + shadow
    np.testing.assert_allclose(link.large_scale_db(TIMES_S), large, rtol=0, atol=ROUNDING_DB)
    fading = Rayleigh().power_gain(stream.child("fading"), np.arange(6), TIMES_S, link.doppler_hz)
    np.testing.assert_array_equal(link.fading_gain(TIMES_S), fading)
    np.testing.assert_allclose(link.gain_db(TIMES_S), large + 10 * np.log10(fading), rtol=0, atol=ROUNDING_DB)
    np.testing.assert_allclose(link.gain(TIMES_S), 10 ** (link.gain_db(TIMES_S) / 10), rtol=1e-12)


def test_doppler_is_speed_times_carrier_over_c():
    np.testing.assert_allclose(links().doppler_hz, [10.0 * 3.5e9 / 299_792_458.0] * 6, rtol=1e-15)  # 116.75 Hz
    assert links(mobility=Static()).doppler_hz.tolist() == [0.0] * 6


@pytest.mark.parametrize("mobility", [MODELS["mobility"], ConstantVelocity(speed_mps=10.0), Static()])
@given(st.lists(st.floats(0, 3e3), min_size=1, max_size=12), st.data())
def test_random_access_gives_the_same_bits_among_any_number_of_clients(mobility, times, data):
    few = links(5, mobility=mobility)
    whole = few.gain_db(times)
    rows = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=7))
    columns = data.draw(st.lists(st.integers(0, len(times) - 1), min_size=1, max_size=7))
    many = links(40, mobility=mobility)
    part = many.gain_db(np.array(times)[columns], clients=rows)
    np.testing.assert_array_equal(part, whole[np.ix_(rows, columns)])
    named = links([rows[0]], mobility=mobility)
    assert named.gain_db(times[columns[0]])[0, 0] == whole[rows[0], columns[0]]


@dataclasses.dataclass(frozen=True)
class Restless(Static):
    """Clients that stand, and do not say so: all of a link is worked out for each time."""

    is_still = False


@pytest.mark.parametrize("shadowing", [LogNormal(), BySight(), Map(), NoShadowing()], ids=lambda model: model.kind)
def test_what_stands_still_is_worked_out_once_and_is_the_same(shadowing):
    models = {
        "shadowing": shadowing,
        "path_loss": UMa(line_of_sight="probability"),
        "penetration": OutdoorToIndoor(indoor_share=0.5),
        "placement": Disc(from_m=1.0, to_m=9e3),
        "fading": BlockRayleigh(block_s=3.0),
    }
    still, restless = (links(mobility=mobility, **models) for mobility in (Static(), Restless()))
    for rows, times in (([4], [2.0]), ([4, 1, 4], [3.0, 1.0]), ([], [1.0]), ([0], []), (range(6), TIMES_S)):
        for ask in ("large_scale_db", "gain_db", "gain"):
            np.testing.assert_array_equal(getattr(still, ask)(times, rows), getattr(restless, ask)(times, rows))
        assert still.warnings == restless.warnings
    assert still.warnings and "clients were" in still.warnings[0]


@pytest.mark.parametrize("clients", [0, 3])
def test_an_answer_may_be_changed_by_who_asked(clients):
    link = links(4, mobility=Static())
    first = link.large_scale_db([0.0, 1.0], [clients])
    kept = first.copy()
    first += 1.0
    np.testing.assert_array_equal(link.large_scale_db([0.0, 1.0], [clients]), kept)


def test_both_directions_are_one_where_links_are_reciprocal():
    link = links()
    assert link.reciprocal and link.fading_of("up") is link.fading_of("down") is link.fading
    for ask in (link.gain, link.gain_db, link.large_scale_db):
        np.testing.assert_array_equal(ask(TIMES_S, [1], direction="up"), ask(TIMES_S, [1], direction="down"))


def test_changing_one_model_leaves_the_others_as_they_are():
    base, slow = links(), links(fading=BlockRayleigh())
    np.testing.assert_array_equal(base.large_scale_db(TIMES_S), slow.large_scale_db(TIMES_S))
    bare = links(shadowing=NoShadowing(), path_loss=LogDistance(exponent=3.0))
    np.testing.assert_array_equal(base.fading_gain(TIMES_S), bare.fading_gain(TIMES_S))
    still = links(mobility=Static())
    np.testing.assert_array_equal(base.large_scale_db([0.0]), still.large_scale_db([0.0]))


def test_seeds_give_other_links():
    assert not np.any(links(seed=1).gain_db(TIMES_S) == links(seed=2).gain_db(TIMES_S))


def test_mean_gain_over_fading_is_the_large_scale_gain():
    clients = 40_000
    crowd = links(clients, mobility=ConstantVelocity(speed_mps=10.0))
    ratio = crowd.gain([5.0]) / 10 ** (crowd.large_scale_db([5.0]) / 10)
    assert ratio.mean() == pytest.approx(1.0, abs=4.0 / np.sqrt(clients))  # four standard errors of Exp(1)


def test_gain_has_a_floor():
    @dataclasses.dataclass(frozen=True)
    class Dead(NoFading):
        def power_gain(self, stream, clients, times_s, doppler_hz):
            return np.zeros((len(clients), len(times_s)))

    assert np.all(links(fading=Dead()).gain_db(TIMES_S) == LOWEST_GAIN_DB)

    @dataclasses.dataclass(frozen=True)
    class Lost(UMa):
        def path_loss_db(self, distance_m, carrier_hz):
            return np.full(np.shape(distance_m), 5000.0)

    lost = links(path_loss=Lost())
    assert np.all(lost.gain_db(TIMES_S) == LOWEST_GAIN_DB)
    assert np.all(lost.large_scale_db(TIMES_S) < -4900.0)


def test_flat_fading_is_the_same_at_all_frequencies():
    link = links()
    np.testing.assert_array_equal(link.offsets_hz(20e6), [0.0])
    gain = link.gain(TIMES_S, [2, 0], offsets_hz=[-1e6, 0.0, 3e6])
    np.testing.assert_array_equal(gain, np.repeat(link.gain(TIMES_S, [2, 0])[..., None], 3, axis=-1))


def test_selective_fading_differs_over_the_band():
    model = TDL(profile="A", delay_spread_s=1e-7)
    link, times = links(fading=model), TIMES_S
    offsets = link.offsets_hz(10e6)
    np.testing.assert_array_equal(offsets, model.offsets_hz(10e6))
    gain = link.gain(times, [2, 0], offsets_hz=[*offsets, 0.0], direction="down")
    assert gain.shape == (2, times.size, offsets.size + 1)
    np.testing.assert_array_equal(gain[..., -1], link.gain(times, [2, 0]))
    fading = model.frequency_gain(Stream.root(1).child("fading"), [2, 0], times, link.doppler_hz[[2, 0]], offsets)
    np.testing.assert_array_equal(link.fading_gain(times, [2, 0], offsets), fading)
    large = 10 ** (link.large_scale_db(times, [2, 0]) / 10)
    np.testing.assert_allclose(gain[..., :-1], large[..., None] * fading, rtol=1e-9)
    assert np.ptp(gain, axis=-1).min() > 0.0


def test_count_places_named_clients_on_a_line():
    road = {"placement": Line(from_m=100.0, to_m=500.0), "mobility": Static()}
    whole = links(5, **road).large_scale_db([0.0])
    np.testing.assert_array_equal(links([3], count=5, **road).large_scale_db([0.0]), whole[[3]])


def test_wrong_arguments_are_refused():
    for bad in (np.nan, np.inf, -1.0):
        with pytest.raises(ValueError, match="time"):
            links().gain_db([bad])
        with pytest.raises(ValueError, match="carrier_hz"):
            links(carrier_hz=bad)
        with pytest.raises(ValueError, match="bandwidth_hz"):
            links().offsets_hz(bad)
    with pytest.raises(ValueError, match="offsets_hz must be a list of finite numbers; got nan"):
        links().gain([0.0], offsets_hz=np.nan)
    with pytest.raises(ValueError, match="antenna_gain_db"):
        links(antenna_gain_db=np.nan)
    with pytest.raises(ValueError, match="position 6 is not one of 6"):
        links().gain_db([0.0], clients=[6])
    with pytest.raises(ValueError, match="client 5 is not one of 5"):
        links([5], count=5)
    assert links().gain_db([]).shape == (6, 0)
    assert links(np.int64(3)).gain_db([1.0]).shape == (3, 1)


def test_the_package_says_whose_it_is():
    assert channels.__wfl_sim__ is True
