"""Shadowing by line of sight and as a map: laws, correlation, order of questions, and what links make of them.

A map is held against the exponential covariance twice: over many seeds, where it is exact, and within one map.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from channels.fading import NoFading
from channels.links import Links
from channels.mobility import ConstantVelocity, Disc, Line, RandomWaypoint, Static
from channels.options import OptionError
from channels.pathloss import FreeSpace, InF, InH, LogDistance, RMa, UMa, UMi
from channels.penetration import OutdoorToIndoor
from channels.shadowing import BySight, LogNormal, Map, NoShadowing, Places
from channels.streams import Stream

KS_CRITICAL = 0.0062  # Kolmogorov-Smirnov at n = 1e5 and level 0.1 %
ONE_MAP = 0.1  # four times the root mean square deviation in one direction, 0.025 as measured over 200 maps
ONE_MAP_ALL_ROUND = 0.03  # and in the mean over eight directions, 0.0075
CARRIER_HZ = 3.5e9
TIMES_S = np.linspace(0.0, 200.0, 23)
CELL = {
    "carrier_hz": CARRIER_HZ,
    "path_loss": UMa(line_of_sight="probability"),
    "shadowing": BySight(),
    "fading": NoFading(),
    "placement": Disc(from_m=20.0, to_m=300.0),
    "mobility": RandomWaypoint(speed_mps=10.0),
}


def links(clients=6, seed=1, **changed):
    return Links(Stream.root(seed), clients, **{**CELL, **changed})


def level_db(cell, times_s=TIMES_S, rows=None):
    """The shadowing of links, as the difference to those without any."""
    bare = Links(Stream.root(1), cell.clients, **{**CELL, "path_loss": cell.path_loss, "shadowing": NoShadowing()})
    return cell.large_scale_db(times_s, rows) - bare.large_scale_db(times_s, rows)


def at(position_m, travelled_m=None, los=None, indoor=False, path_loss=CELL["path_loss"]):
    """Places [K, T] from positions [K, T, 2]."""
    position = np.asarray(position_m, dtype=float)
    distance = np.hypot(position[..., 0], position[..., 1])
    travelled = np.broadcast_to(np.zeros(1) if travelled_m is None else travelled_m, distance.shape)
    los = None if los is None else np.broadcast_to(los, distance.shape)
    inside = np.full((len(distance), 1), indoor)
    return Places(travelled, distance, position, los, inside, path_loss, CARRIER_HZ)


def on_a_line(distance_m, clients):
    return np.tile(np.stack([np.asarray(distance_m), np.zeros(np.size(distance_m))], axis=-1), (clients, 1, 1))


# by line of sight

STATES = [
    (UMa(), 100.0, True, False, 4.0, 37.0),
    (UMa(), 100.0, False, False, 6.0, 50.0),
    (UMa(), 100.0, True, True, 7.0, 7.0),
    (UMi(), 100.0, False, False, 7.82, 13.0),
    (RMa(), 1000.0, True, False, 4.0, 37.0),
    (RMa(), 4000.0, True, False, 6.0, 37.0),
    (RMa(), 4000.0, False, False, 8.0, 120.0),
    (InH(), 20.0, True, False, 3.0, 10.0),
    (InF(hall="DH"), 20.0, False, False, 4.0, 10.0),
]


@pytest.mark.parametrize(("model", "distance_m", "los", "indoor", "std_db", "correlation_m"), STATES)
def test_law_and_memory_in_each_state(model, distance_m, los, indoor, std_db, correlation_m):
    clients = 20_000
    # On the grid of d_corr / 20, so that no interpolation comes in
    way = 3.0 * correlation_m + correlation_m * np.array([0.0, 0.2, 1.0, 2.0])
    places = at(on_a_line([distance_m] * 4, clients), way, los, indoor, model)
    level = BySight().shadowing_at_db(Stream.root(5), np.arange(clients), places)
    assert stats.kstest(level[:, 0] / std_db, "norm").statistic < 1.95 / np.sqrt(clients)  # level 0.1 %
    assert level[:, 0].std() == pytest.approx(std_db, rel=4.5 / np.sqrt(2.0 * clients))
    found = np.corrcoef(level.T)[0, 1:]
    np.testing.assert_allclose(found, np.exp([-0.2, -1.0, -2.0]), rtol=0, atol=4.5 / np.sqrt(clients))


def test_states_are_independent_and_a_state_is_found_again():
    clients, way = 20_000, np.zeros(3)
    position = on_a_line([100.0] * 3, clients)
    mixed = at(position, way, los=[True, False, True])
    level = BySight().shadowing_at_db(Stream.root(5), np.arange(clients), mixed)
    np.testing.assert_array_equal(level[:, 0], level[:, 2])
    assert abs(np.corrcoef(level[:, 0], level[:, 1])[0, 1]) < 4.5 / np.sqrt(clients)
    for column, los in ((0, True), (1, False)):
        alone = BySight().shadowing_at_db(Stream.root(5), np.arange(clients), at(position, way, los=los))
        np.testing.assert_array_equal(level[:, column], alone[:, column])


def test_links_follow_their_line_of_sight_and_their_walls():
    cell = links(200)
    seen = cell.line_of_sight(TIMES_S)
    assert seen.any() and not seen.all()
    level = level_db(cell)
    always, never = (level_db(links(200, path_loss=UMa(line_of_sight=s))) for s in ("always", "never"))
    np.testing.assert_allclose(level, np.where(seen, always, never), rtol=0, atol=1e-9)
    inside = {"penetration": OutdoorToIndoor(indoor_share=0.5, std_db=0.0, way_inside_m=5.0)}
    walls = links(200, **inside)
    bare = links(200, shadowing=NoShadowing(), **inside)
    level = walls.large_scale_db(TIMES_S) - bare.large_scale_db(TIMES_S)
    indoor = walls._inside_m[:, 0] > 0.0
    path = walls.trajectory.travelled_m(TIMES_S, np.flatnonzero(indoor))
    walk = LogNormal(std_db=7.0, correlation_distance_m=7.0)
    stream = Stream.root(1).child("shadowing").child("indoor")
    np.testing.assert_allclose(
        level[indoor], walk.shadowing_db(stream, np.flatnonzero(indoor), path), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("path_loss", [FreeSpace(), LogDistance(exponent=3.0)])
def test_a_path_loss_without_states_is_refused(path_loss):
    message = f"shadowing 'by_sight' needs a path loss that states it by line of sight; '{path_loss.kind}' does not"
    with pytest.raises(ValueError, match=message):
        links(path_loss=path_loss)
    places = at(on_a_line([100.0], 1), path_loss=path_loss)
    with pytest.raises(ValueError, match=f"path loss '{path_loss.kind}' states no shadowing by line of sight"):
        BySight().shadowing_at_db(Stream.root(1), [0], places)
    with pytest.raises(ValueError, match="'uma' states no shadowing"):
        BySight().shadowing_at_db(Stream.root(1), [0], at(on_a_line([100.0], 1)))  # nobody knows who sees


# the map


def test_over_seeds_the_map_has_exactly_the_exponential_covariance():
    seeds, places = 4000, np.array([0.0, 0.5, 5.0, 12.5, 50.0, 100.0])
    line = Map(std_db=1.0).shadowing_at_db
    turned = np.array([np.cos(1.0), np.sin(1.0)]) * (300.0 + places)[:, None]
    level = np.array([line(Stream.root(seed), [0], at(turned[None]))[0] for seed in range(seeds)])
    covariance = level.T @ level / seeds
    expected = np.exp(-np.abs(places[:, None] - places) / 50.0)
    # a product of two normals has a deviation of at most sqrt(2)
    np.testing.assert_allclose(covariance, expected, rtol=0, atol=4.5 * np.sqrt(2.0 / seeds))
    assert stats.kstest(level[:, 0], "norm").statistic < 1.95 / np.sqrt(seeds)  # level 0.1 %


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_map_is_normal_and_falls_off_as_gudmundson_says(seed):
    clients = 100_000
    here = 2e5 * (Stream.root(9).uniform(np.arange(clients)[:, None], [0, 1]) - 0.5)
    ways, angles = np.array([10.0, 25.0, 50.0, 100.0]), np.arange(8) * np.pi / 8
    steps = ways[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    there = here[:20_000, None, None, :] + steps
    model, stream = Map(std_db=7.82), Stream.root(seed)
    level = model.shadowing_at_db(stream, np.arange(clients), at(here[:, None]))[:, 0]
    assert stats.kstest(level / 7.82, "norm").statistic < KS_CRITICAL
    assert level.mean() == pytest.approx(0.0, abs=4.5 * 7.82 / np.sqrt(clients))
    assert level.std() == pytest.approx(7.82, rel=4.5 / np.sqrt(2.0 * clients))
    moved = model.shadowing_at_db(stream, np.arange(20_000), at(there.reshape(20_000, -1, 2))).reshape(20_000, 4, 8)
    found = np.array([[np.corrcoef(level[:20_000], moved[:, d, a])[0, 1] for a in range(8)] for d in range(4)])
    expected, sampled = np.exp(-ways / 50.0), 4.5 / np.sqrt(20_000)
    np.testing.assert_allclose(found, np.repeat(expected[:, None], 8, axis=1), rtol=0, atol=ONE_MAP + sampled)
    np.testing.assert_allclose(found.mean(axis=1), expected, rtol=0, atol=ONE_MAP_ALL_ROUND + sampled)


def test_the_same_place_has_the_same_value_whoever_comes_and_when():
    place = at(np.array([[[30.0, 40.0], [99.0, 7.0], [30.0, 40.0]], [[1.0, 2.0], [30.0, 40.0], [3.0, 3.0]]]))
    level = Map().shadowing_at_db(Stream.root(1), [4, 17], place)
    assert level[0, 0] == level[0, 2] == level[1, 1] != level[0, 1]
    road = {"placement": Line(from_m=100.0, to_m=100.0), "mobility": Static(), "shadowing": Map()}
    shared = links(5, **road, path_loss=UMa()).large_scale_db([0.0, 7.0])
    assert np.unique(shared).size == 1
    # 2 m apart on a map of 50 m levels differ by 6 sqrt(2 (1 - exp(-0.04))) = 1.7 dB; each on a path of its own, by 8.5
    near = {"placement": Line(from_m=100.0, to_m=102.0), "mobility": Static(), "path_loss": UMa()}
    gaps = [np.diff(links(2, seed, **near, shadowing=Map()).large_scale_db([0.0])[:, 0])[0] for seed in range(200)]
    rule = 6.0 * np.sqrt(2.0 * (1.0 - np.exp(-0.04)))
    assert np.std(gaps) == pytest.approx(rule, rel=4.5 / np.sqrt(2.0 * 200))


def test_the_map_is_no_grid_and_has_no_jumps():
    track = on_a_line(np.linspace(0.0, 200.0, 20_001), 1)  # 1 cm
    level = Map().shadowing_at_db(Stream.root(1), [0], at(track))
    # 1 cm on a map of 50 m is a normal of deviation 6 sqrt(2 (1 - exp(-1/5000))) = 0.12 dB; six are allowed
    assert np.abs(np.diff(level, axis=1)).max() < 6 * 0.12


@pytest.mark.parametrize("shadowing", [BySight(), Map(), Map(correlation_distance_m=3.0)], ids=str)
@pytest.mark.parametrize("mobility", [CELL["mobility"], ConstantVelocity(speed_mps=10.0), Static()], ids=str)
@given(st.lists(st.floats(0, 3e3), min_size=1, max_size=12), st.data())
def test_random_access_gives_the_same_bits_among_any_number_of_clients(shadowing, mobility, times, data):
    few = links(5, mobility=mobility, shadowing=shadowing)
    whole = few.large_scale_db(times)
    rows = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=7))
    columns = data.draw(st.lists(st.integers(0, len(times) - 1), min_size=1, max_size=7))
    many, asked = links(40, mobility=mobility, shadowing=shadowing), np.array(times)[columns]
    np.testing.assert_array_equal(many.large_scale_db(asked, clients=rows), whole[np.ix_(rows, columns)])
    named = links([rows[0]], mobility=mobility, shadowing=shadowing)
    assert named.large_scale_db(times[columns[0]])[0, 0] == whole[rows[0], columns[0]]


def test_deviation_only_scales_a_map_and_seeds_make_others():
    track = at(on_a_line(np.linspace(0.0, 300.0, 40), 3))
    one, six, none = (Map(std_db=s).shadowing_at_db(Stream.root(1), [0, 1, 2], track) for s in (1.0, 6.0, 0.0))
    np.testing.assert_allclose(six, 6.0 * one, rtol=1e-14, atol=0)
    assert not none.any()
    assert not np.any(one == Map(std_db=1.0).shadowing_at_db(Stream.root(2), [0, 1, 2], track))


@pytest.mark.parametrize("model", [BySight(), Map()])
def test_wrong_arguments_are_refused(model):
    for bad in (np.nan, np.inf, -1.0):
        with pytest.raises(ValueError, match="travelled"):
            model.shadowing_at_db(Stream.root(1), [0], at([[[1.0, 2.0]]], np.array([[bad]]), los=True))
    with pytest.raises(ValueError, match="shape"):
        model.shadowing_at_db(Stream.root(1), [0, 1], at([[[1.0, 2.0]]], los=True))
    for shape in ((0, 3, 2), (1, 0, 2)):
        places = at(np.zeros(shape), los=True)
        assert model.shadowing_at_db(Stream.root(1), np.arange(shape[0]), places).shape == shape[:2]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e15])
def test_a_place_that_is_none_is_refused(bad):
    with pytest.raises(ValueError, match="a position in m must be finite, and on the map of the shadowing"):
        Map().shadowing_at_db(Stream.root(1), [0], dataclasses.replace(at([[[1.0, 2.0]]]), position_m=[[[bad, 0.0]]]))
    with pytest.raises(ValueError, match=r"position_m must have the shape \[1, 1, 2\]; got \(1, 2\)"):
        Map().shadowing_at_db(Stream.root(1), [0], dataclasses.replace(at([[[1.0, 2.0]]]), position_m=[[1.0, 2.0]]))


def test_options_are_checked():
    with pytest.raises(OptionError, match="std_db: must be at least 0 dB"):
        Map(std_db=-1.0)
    with pytest.raises(OptionError, match="correlation_distance_m: must be above 0 m"):
        Map(correlation_distance_m=0.0)
