"""Paths from a file: what is between its rows, each way in which it can be wrong, and what a scenario says of it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.fading import Rayleigh
from channels.files import FileError
from channels.links import Links
from channels.mobility import Disc, Waypoints
from channels.options import OptionError
from channels.pathloss import UMa
from channels.shadowing import Map
from channels.streams import Stream
from wfl_sim.errors import ScenarioError
from wfl_sim.scenario import parse

STREAM, DISC = Stream.root(3), Disc(to_m=500.0)
HEADER = "time_s,client,x_m,y_m\n"
# client 0: 10 s at rest, 100 m in 20 s, a stop of 10 s, 50 m back in 10 s; client 1 has one place; 2 begins late
ROWS = """\
10,0,0,0
0,1,30,40
# rows of clients may be mixed
30,0,100,0
40,0,100,0
50,0,50,0
5,2,0,-10
15,2,0,-40
"""


@pytest.fixture
def paths(tmp_path):
    file = tmp_path / "paths.csv"
    file.write_text(HEADER + ROWS)
    return Waypoints(file=str(file))


def test_between_rows_clients_move_evenly_and_outside_they_stand(paths):
    path = paths.trajectory(STREAM, DISC, [0, 1, 2], 3)
    times = [0.0, 10.0, 15.0, 30.0, 35.0, 40.0, 44.0, 50.0, 1e6]
    np.testing.assert_array_equal(path.position_m(times)[0, :, 0], [0, 0, 25, 100, 100, 100, 80, 50, 50])
    np.testing.assert_array_equal(path.travelled_m(times)[0], [0, 0, 25, 100, 100, 100, 120, 150, 150])
    assert not path.position_m(times)[0, :, 1].any()
    np.testing.assert_array_equal(path.position_m(times)[1], [[30.0, 40.0]] * 9)
    np.testing.assert_array_equal(path.distance_m(times)[1], [50.0] * 9)
    np.testing.assert_array_equal(path.position_m([0.0, 5.0, 10.0, 20.0])[2, :, 1], [-10, -10, -25, -40])
    # 150 m in the 30 s in which it moves; 0; 30 m in 10 s
    np.testing.assert_array_equal(path.speed_mps, [5.0, 0.0, 3.0])


def test_links_give_each_client_the_doppler_shift_of_its_speed(paths):
    cell = Links(
        STREAM, 3, carrier_hz=3e9, path_loss=UMa(), shadowing=Map(), fading=Rayleigh(), placement=DISC, mobility=paths
    )
    np.testing.assert_allclose(cell.doppler_hz, np.array([5.0, 0.0, 3.0]) * 3e9 / 299_792_458.0, rtol=1e-15)
    faded = cell.fading_gain([0.0, 1.0])
    assert faded[1, 0] == faded[1, 1] and faded[0, 0] != faded[0, 1]
    np.testing.assert_array_equal(cell.fading_gain([0.0, 1.0], clients=[2, 0]), faded[[2, 0]])
    # client 0 leaves x = 100 m and is there again: on a map the level is the same
    level = cell.large_scale_db([30.0, 20.0, 40.0, 45.0])[0]
    assert level[0] == level[2] != level[1]


@given(st.lists(st.floats(0, 70), min_size=1, max_size=15), st.permutations(range(3)), st.data())
def test_random_access_gives_the_same_bits(tmp_path_factory, times, order, data):
    file = tmp_path_factory.mktemp("paths") / "paths.csv"
    file.write_text(HEADER + ROWS)
    paths = Waypoints(file=str(file))
    some = paths.trajectory(STREAM, DISC, np.array(order), 3)
    whole = some.position_m(times)
    all_three = paths.trajectory(Stream.root(9), DISC, [0, 1, 2], 3)  # nothing is drawn
    np.testing.assert_array_equal(all_three.position_m(times[::-1], rows=order), whole[:, ::-1])
    row, moment = data.draw(st.integers(0, 2)), data.draw(st.integers(0, len(times) - 1))
    assert all_three.travelled_m(times[moment], rows=[order[row]])[0, 0] == some.travelled_m(times)[row, moment]


WRONG = [
    ("0,0,1,2\n-1,1,0,0\n", ":3: time_s must be from 0 to 1e+09; got -1"),
    ("0,0,1,2\n2e9,0,0,0\n", ":3: time_s must be from 0 to 1e+09; got 2e+09"),
    ("0,0,1,2\n1,0.5,0,0\n", ":3: client must be a whole number from 0 to 999999; got 0.5"),
    ("0,-1,1,2\n", ":2: client must be a whole number from 0 to 999999; got -1"),
    ("0,1000000,1,2\n", ":2: client must be a whole number from 0 to 999999; got 1e+06"),
    ("0,0,1e9,2\n", ":2: x_m must be from -1e+08 to 1e+08; got 1e+09"),
    ("0,0,1,-1e9\n", ":2: y_m must be from -1e+08 to 1e+08; got -1e+09"),
    ("0,0,1,2\n# a note\n1,0,far,2\n", ":4: x_m must be a finite number; got 'far'"),
    ("0,0,nan,2\n", ":2: x_m must be a finite number; got 'nan'"),
    ("0,0,1\n", ":2: has 3 values; the header names 4"),
    (
        "5,0,1,2\n0,1,1,2\n4,0,1,2\n",
        ":4: time_s must be after that of the row before of client 0 (5, line 2); got 4",
    ),
    ("5,0,1,2\n5,0,1,3\n", ":3: time_s must be after that of the row before of client 0 (5, line 2); got 5"),
    # the first such line is told, whichever client it is of
    (
        "9,0,0,0\n9,1,0,0\n8,1,0,0\n7,0,0,0\n",
        ":4: time_s must be after that of the row before of client 1 (9, line 3); got 8",
    ),
    ("0,0,1,2\n0,2,1,2\n", ": client 1 has no row; clients are numbered from 0, here up to 2"),
    ("", ": has a header and no rows"),
]


@pytest.mark.parametrize(("rows", "says"), WRONG, ids=[says.split(";")[0] for _, says in WRONG])
def test_a_wrong_line_is_told_with_its_number(tmp_path, rows, says):
    file = tmp_path / "paths.csv"
    file.write_text(HEADER + rows)
    for ask in (Waypoints(file=str(file)).load, Waypoints(file=str(file)).most_clients):
        with pytest.raises(FileError) as caught:
            ask()
        assert str(caught.value) == f"{file}{says}"


def test_a_file_that_is_not_there_or_changes(tmp_path, paths):
    with pytest.raises(FileError, match=r"nowhere\.csv: cannot be read: No such file or directory"):
        Waypoints(file=str(tmp_path / "nowhere.csv")).load()
    with pytest.raises(FileError, match="cannot be read"):
        Waypoints(file="a\0b").load()
    with pytest.raises(TypeError, match="file"):
        Waypoints()
    assert paths.load() is paths.load()
    assert paths.most_clients() == 3
    assert not paths.is_still
    (tmp_path / "paths.csv").write_text(f"{HEADER}0,0,1,1\n")
    assert paths.most_clients() == 1


def test_rows_are_held_once_however_unequal_the_clients_are(tmp_path):
    file = tmp_path / "paths.csv"
    long = [f"{t},0,{t},0" for t in range(300)]
    file.write_text(HEADER + "\n".join(long + [f"0,{client},0,{client}" for client in range(1, 200)]))
    held = Waypoints(file=str(file)).load()
    assert held.times_s.shape == held.ways_m.shape == (499,)
    assert held.places_m.shape == (499, 2) and held.clients == 200
    path = Waypoints(file=str(file)).trajectory(STREAM, DISC, [199, 0, 1], 200)
    np.testing.assert_array_equal(path.position_m([7.5, 1e3])[..., 0], [[0.0, 0.0], [7.5, 299.0], [0.0, 0.0]])
    np.testing.assert_array_equal(path.travelled_m([7.5, 1e3]), [[0.0, 0.0], [7.5, 299.0], [0.0, 0.0]])
    np.testing.assert_array_equal(path.speed_mps, [0.0, 1.0, 0.0])


def test_a_client_beyond_the_file_is_refused(paths):
    with pytest.raises(OptionError, match=re.escape("has paths for 3 clients, numbered from 0; got client 3")):
        paths.trajectory(STREAM, DISC, [0, 3], 4)
    path = paths.trajectory(STREAM, DISC, [2], 3)
    for bad in (np.nan, np.inf, -1.0):
        with pytest.raises(ValueError, match="time"):
            path.position_m([bad])
    assert path.position_m([]).shape == (1, 0, 2)
    assert paths.trajectory(STREAM, DISC, [], 3).position_m([1.0]).shape == (0, 1, 2)


SCENARIO = """\
schema_version: 1
name: streets
rounds: 1
channel: {path_loss: {kind: uma}}
clients:
  count: 3
  placement: {kind: disc, to: 100 m}
  mobility: {kind: waypoints, file: paths.csv}
  compute: {time: 300 ms}
method: {kind: fedavg}
"""


def problems(text, file="s.yaml"):
    with pytest.raises(ScenarioError) as caught:
        parse(text, file)
    return [str(problem) for problem in caught.value.args]


def test_a_scenario_says_what_is_wrong_with_its_file(paths, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(parse(SCENARIO, "s.yaml").cells) == 1
    assert problems(SCENARIO.replace("count: 3", "count: 4")) == [
        "s.yaml:6:10: clients.count: must be at most 3: that many have a path in clients.mobility; got 4"
    ]
    (tmp_path / "paths.csv").write_text(f"{HEADER}0,0,1,1\nsoon,1,2,2\n")
    assert problems(SCENARIO) == [
        "s.yaml:8:37: clients.mobility.file: paths.csv:3: time_s must be a finite number; got 'soon'"
    ]


def test_a_scenario_says_which_path_losses_state_shadowing():
    text = SCENARIO.replace("  mobility: {kind: waypoints, file: paths.csv}\n", "")
    text = text.replace("{kind: uma}}", "{kind: log_distance, exponent: 3}, shadowing: {kind: by_sight}}")
    assert problems(text) == [
        "s.yaml:4:57: channel.shadowing: needs a path loss that states it by line of sight (uma, umi, rma, inh, inf); "
        "got path loss log_distance"
    ]
    assert len(parse(text.replace("log_distance, exponent: 3", "rma"), "s.yaml").cells) == 1
