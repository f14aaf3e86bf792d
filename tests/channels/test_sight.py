"""The state of line of sight along a path, and what links make of it: law, memory, order of questions, warnings."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.fading import NoFading
from channels.links import Links
from channels.mobility import ConstantVelocity, Disc, Line, RandomWaypoint, Static
from channels.pathloss import FreeSpace, InF, InH, RMa, UMa, UMi
from channels.penetration import OutdoorToIndoor
from channels.shadowing import NoShadowing
from channels.sight import line_of_sight
from channels.streams import Stream

SIGMAS = 4.5  # a right share of independent clients is further off once in 150 000
CELL = {
    "carrier_hz": 3.5e9,
    "path_loss": UMa(line_of_sight="probability"),
    "shadowing": NoShadowing(),
    "fading": NoFading(),
    "placement": Disc(from_m=20.0, to_m=300.0),
    "mobility": RandomWaypoint(speed_mps=10.0),
}
TIMES_S = np.linspace(0.0, 200.0, 23)


def links(clients=6, seed=1, **changed):
    return Links(Stream.root(seed), clients, **{**CELL, **changed})


def binomial(share, draws):
    return SIGMAS * math.sqrt(share * (1.0 - share) / draws)


@pytest.mark.parametrize(
    ("model", "distance_m"),
    [(UMa(), 50.0), (UMa(), 200.0), (UMi(), 100.0), (RMa(), 500.0), (InH(), 6.5), (InF(hall="SH"), 40.0)],
)
def test_the_share_of_clients_with_line_of_sight_is_the_probability(model, distance_m):
    clients = 4000
    cell = links(
        clients,
        path_loss=dataclasses.replace(model, line_of_sight="probability"),
        placement=Line(from_m=distance_m, to_m=distance_m),
        mobility=Static(),
    )
    share = float(model.los_probability(distance_m))
    assert cell.line_of_sight([0.0]).mean() == pytest.approx(share, abs=binomial(share, clients))


def test_a_certain_state_is_that_state():
    walk = np.broadcast_to(np.linspace(0.0, 5e4, 500), (40, 500))
    ask = [line_of_sight(Stream.root(1), range(40), walk, np.full(walk.shape, p), 50.0) for p in (0.0, 1.0)]
    assert not ask[0].any()
    assert ask[1].all()


@pytest.mark.parametrize("way_m", [0.0, 5.0, 50.0 * math.log(2.0), 150.0])
def test_the_state_remembers_itself_along_the_path_as_derived(way_m):
    """For P_LOS = 1/2 the state is the sign of G, and two signs agree with 1/2 + arcsin(rho) / pi.

    Sheppard 1899, for normal variables of correlation rho = exp(-way / d_corr); at d_corr ln 2 it is 2/3.
    """
    clients, start_m = 20_000, 50.0  # on the grid of 2.5 m; between its points the process is interpolated
    walk = np.array([start_m, start_m + round(way_m / 2.5) * 2.5])
    rho = math.exp(-(walk[1] - walk[0]) / 50.0)
    path = np.broadcast_to(walk, (clients, 2))
    here, there = line_of_sight(Stream.root(3), range(clients), path, np.full(path.shape, 0.5), 50.0).T
    agree = 0.5 + math.asin(rho) / math.pi
    assert (here == there).mean() == pytest.approx(agree, abs=binomial(agree, clients) + 1e-12)
    if round(way_m / 2.5) == 14:
        assert agree == pytest.approx(2.0 / 3.0, abs=5e-3)


def test_a_client_that_stands_keeps_its_state_and_one_that_walks_changes_it_rarely():
    cell = links(300, mobility=Static())
    standing = cell.line_of_sight(TIMES_S)
    assert (standing == standing[:, :1]).all()
    share = UMa().los_probability(cell.trajectory.distance_m([0.0])).mean()
    assert standing[:, 0].mean() == pytest.approx(share, abs=binomial(share, 300))
    steps_s = np.arange(0.0, 100.0, 0.1)  # 1 m a step, of 50 m
    walking = links(100).line_of_sight(steps_s)
    changes = (walking[:, 1:] != walking[:, :-1]).mean()
    independent = (walking * 2.0 * (1.0 - walking.mean(axis=0))).mean()
    assert 0.0 < changes < 0.25 * independent


@pytest.mark.parametrize("mobility", [CELL["mobility"], ConstantVelocity(speed_mps=10.0), Static()])
@given(st.lists(st.floats(0, 3e3), min_size=1, max_size=12), st.data())
def test_states_and_losses_are_random_access_among_any_number_of_clients(mobility, times, data):
    few = links(5, mobility=mobility)
    whole, seen = few.large_scale_db(times), few.line_of_sight(times)
    rows = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=7))
    columns = data.draw(st.lists(st.integers(0, len(times) - 1), min_size=1, max_size=7))
    many, asked = links(40, mobility=mobility), np.array(times)[columns]
    np.testing.assert_array_equal(many.line_of_sight(asked, clients=rows), seen[np.ix_(rows, columns)])
    np.testing.assert_array_equal(many.large_scale_db(asked, clients=rows), whole[np.ix_(rows, columns)])
    named = links([rows[0]], mobility=mobility)
    assert named.line_of_sight(times[columns[0]])[0, 0] == seen[rows[0], columns[0]]


def test_the_loss_follows_the_state():
    cell = links(50)
    seen, distance = cell.line_of_sight(TIMES_S), cell.trajectory.distance_m(TIMES_S)
    assert seen.any() and not seen.all()
    always, never = (links(50, path_loss=UMa(line_of_sight=s)).large_scale_db(TIMES_S) for s in ("always", "never"))
    np.testing.assert_array_equal(cell.large_scale_db(TIMES_S), np.where(seen, always, never))
    np.testing.assert_array_equal(never, -UMa().path_loss_db(distance, 3.5e9))


def test_a_fixed_state_is_the_same_for_all_and_some_models_know_none():
    assert links(path_loss=UMa(line_of_sight="always")).line_of_sight([0.0, 1.0]).all()
    assert not links(path_loss=UMa()).line_of_sight([0.0, 1.0]).any()
    with pytest.raises(ValueError, match="'free_space' does not tell line of sight"):
        links(path_loss=FreeSpace()).line_of_sight([0.0])


def test_drawing_the_state_changes_nothing_else():
    moving = {"fading": CELL["fading"], "penetration": OutdoorToIndoor()}
    both = [links(path_loss=UMa(line_of_sight=s), **moving) for s in ("never", "probability")]
    np.testing.assert_array_equal(*(cell.trajectory.position_m(TIMES_S) for cell in both))
    np.testing.assert_array_equal(*(cell._walls_db for cell in both))


def test_links_warn_once_a_kind_and_count_clients_in_any_order():
    near = {"placement": Line(from_m=4.0, to_m=8e3), "mobility": Static(), "path_loss": UMa()}
    cell = links(9, **near)  # 4 m, then every 999.5 m: the sixth is at 5001.5 m
    assert cell.warnings == ()
    for _ in range(3):
        for client in range(8, -1, -1):
            cell.gain_db(TIMES_S, clients=[client])
    stated = "path loss uma is stated for distances from 10 m to 5000 m"
    expected = (f"{stated}; 1 client was nearer, down to 4 m", f"{stated}; 4 clients were further, up to 8000 m")
    assert cell.warnings == expected
    whole = links(9, **near)
    whole.large_scale_db([0.0])
    assert whole.warnings == expected
