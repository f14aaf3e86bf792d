"""Who is there when: laws by their closed forms, changes at their instants, files line by line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from channels.files import FileError
from channels.options import OptionError
from channels.streams import Stream
from wfl_sim.availability import Always, Diurnal, OnOff
from wfl_sim.engine import simulate
from wfl_sim.errors import ScenarioError
from wfl_sim.presence import Churn, Presence
from wfl_sim.protocols.sync import Sync
from wfl_sim.scenario import parse, to_yaml
from wfl_sim.visits import Visits

SIGNIFICANCE = 1e-3  # of one test on fixed draws: a right model fails it once in a thousand choices of the seed
SIGMAS = 4.0  # a share of n independent draws: off by more once in 16,000 choices of the seed
STREAM = Stream.root(7).child("presence")
HEADER = "client,from_s,until_s\n"
# client 1 has visits that touch, client 2 one around the end of the period of 100 s, 3 none, 4 is always there
ROWS = """\
1,40,50
0,0,10
# rows of clients may be mixed
1,20,40
2,90,100
2,0,5
0,30,60
4,0,100
"""


def a_file(folder: Path) -> str:
    (folder / "visits.csv").write_text(HEADER + ROWS)
    return str(folder / "visits.csv")


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> str:
    return a_file(tmp_path_factory.mktemp("visits"))


AVAILABILITIES = {
    "always": Always(),
    "on_off": OnOff(on_s=20.0, off_s=50.0),
    "mostly_on": OnOff(on_s=300.0, off_s=1.0),
    "diurnal": Diurnal(period_s=90.0, share=0.3, spread_s=40.0, centre_s=20.0),
    "skips": Diurnal(period_s=30.0, share=0.9, spread_s=30.0, skip=0.5),
    "trace": "once",
    "repeated": "again",
}
CHURNS = {"stays": None, "churn": Churn(join_s=100.0, at_start=0.3, stay_s=150.0), "joins": Churn(join_s=200.0)}


def made(availability: str, churn: str, file: str) -> Presence:
    model = AVAILABILITIES[availability]
    if isinstance(model, str):
        model = Visits(file=file, repeat_s=100.0 if model == "again" else None)
    return Presence(STREAM, model, CHURNS[churn])


@pytest.mark.parametrize("churn", CHURNS)
@pytest.mark.parametrize("availability", AVAILABILITIES)
def test_a_change_is_the_first_time_at_which_presence_differs(availability, churn, visits):
    """Walked from change to change, the stays of a client are those that its presence at any time says."""
    presence, clients, end_s = made(availability, churn, visits), np.arange(6), 250.0
    grid = np.append(np.linspace(0.0, end_s, 113), np.arange(0.0, end_s, 10.0))  # on edges of files and off them
    changes = 0
    for client in clients:
        time_s, edges = 0.0, [0.0]
        states = [bool(presence.present([client], 0.0)[0])]
        while time_s < end_s:
            following = float(presence.change_s([client], time_s)[0])
            assert following > time_s
            between = 0.5 * (time_s + min(following, end_s + 1.0))
            assert presence.present([client], between)[0] == states[-1]
            assert presence.change_s([client], between)[0] == following
            time_s = following
            if np.isfinite(following):
                before, at = presence.present([client, client], [np.nextafter(following, 0.0), following])
                assert (before, at) == (states[-1], not states[-1])
                edges.append(following)
                states.append(not states[-1])
        told = np.array(states)[np.searchsorted(edges, grid, side="right") - 1]
        np.testing.assert_array_equal(presence.present(np.full(grid.size, client), grid), told)
        changes += len(edges) - 1
    assert (changes == 0) == presence.is_constant


@settings(max_examples=30)
@given(
    availability=st.sampled_from(sorted(AVAILABILITIES)), churn=st.sampled_from(sorted(CHURNS)),
    questions=st.lists(st.tuples(st.integers(0, 40), st.floats(0, 1e4)), min_size=1, max_size=8), share=st.floats(0, 1),
    data=st.data(),
)  # fmt: skip
def test_answers_do_not_depend_on_what_else_is_asked(visits, availability, churn, questions, share, data):
    presence = made(availability, churn, visits)
    clients, times_s = np.array([q[0] for q in questions]), np.array([q[1] for q in questions])
    there, change_s = presence.present(clients, times_s), presence.change_s(clients, times_s)
    assert there.shape == change_s.shape == clients.shape
    order = data.draw(st.permutations(range(len(questions))))
    np.testing.assert_array_equal(presence.change_s(clients[order], times_s[order]), change_s[order])
    np.testing.assert_array_equal(presence.present(clients[order], times_s[order]), there[order])
    for client, time_s, state, change in zip(clients, times_s, there, change_s, strict=True):
        assert presence.present(client, time_s)[0] == state
        assert presence.present([client, 9], time_s)[0] == state
        assert presence.change_s([3, client], time_s)[1] == change
        # up to the change nothing changes, and there it does
        later = float(time_s + share * (min(change, 1e6) - time_s))
        assert later >= change or presence.present([client], later)[0] == state
        if np.isfinite(change):
            assert presence.present([client], change)[0] != state


@pytest.mark.parametrize(("on_s", "off_s"), [(20.0, 50.0), (500.0, 3.0), (0.1, 4.0)])
def test_on_off_stays_are_exponential_and_stationary_from_the_beginning(on_s, off_s):
    model, clients = OnOff(on_s=on_s, off_s=off_s), np.arange(20_000)
    share = on_s / (on_s + off_s)
    assert model.mean_share == share
    deviation = SIGMAS * np.sqrt(share * (1.0 - share) / clients.size)
    for time_s in (0.0, 0.3 * on_s, 7.0 * off_s, 1e5):
        assert abs(model.available(STREAM, clients, time_s).mean() - share) < deviation
    there = model.available(STREAM, clients, 0.0)
    first = model.change_s(STREAM, clients, np.zeros(clients.size))
    second = model.change_s(STREAM, clients, first)
    for begins, stays in ((first * 0.0, there), (first, ~there)):  # what is left of a stay, and a whole one
        lengths = (first if begins is not first else second) - begins
        assert kstest(lengths[stays] / on_s, "expon").pvalue > SIGNIFICANCE
        assert kstest(lengths[~stays] / off_s, "expon").pvalue > SIGNIFICANCE
    # neighbouring stays know nothing of each other: the correlation of n pairs is below SIGMAS / sqrt(n)
    stay = (second - first)[there], first[there]
    assert abs(np.corrcoef(*stay)[0, 1]) < SIGMAS / np.sqrt(there.sum())


def test_on_off_forgets_its_state_as_the_closed_form_says():
    model, clients = OnOff(on_s=20.0, off_s=60.0), np.arange(40_000)
    p = model.mean_share
    there = model.available(STREAM, clients, 1000.0)
    for lag_s in (2.0, 15.0, 40.0):
        still = model.available(STREAM, clients, 1000.0 + lag_s)[there].mean()
        wanted = p + (1.0 - p) * np.exp(-lag_s * (1.0 / 20.0 + 1.0 / 60.0))
        assert abs(still - wanted) < SIGMAS * np.sqrt(wanted * (1.0 - wanted) / there.sum())


def test_a_day_has_its_window():
    clients = np.arange(5000)
    model = Diurnal(period_s=100.0, share=0.2, spread_s=40.0, centre_s=50.0, skip=0.25)
    assert model.mean_share == pytest.approx(0.15)
    # middles are even over 30 .. 70 s, windows are 20 s long: half of the clients, less a quarter, at 50 s
    for time_s, awake in ((50.0, 0.5), (350.0, 0.5), (25.0, 0.125), (75.0, 0.125), (15.0, 0.0), (88.0, 0.0)):
        wanted = 0.75 * awake
        deviation = SIGMAS * np.sqrt(wanted * (1.0 - wanted) / clients.size)
        assert abs(model.available(STREAM, clients, time_s).mean() - wanted) <= deviation
    whole = Diurnal(period_s=100.0, share=0.2, spread_s=100.0)
    begin = whole.change_s(STREAM, clients, np.full(clients.size, 1000.0))
    begin = np.where(whole.available(STREAM, clients, 1000.0), whole.change_s(STREAM, clients, begin), begin)
    end = whole.change_s(STREAM, clients, begin)
    np.testing.assert_allclose(end - begin, 20.0, rtol=1e-9)
    np.testing.assert_allclose(whole.change_s(STREAM, clients, end) - begin, 100.0, rtol=1e-9)
    assert kstest(begin % 100.0 / 100.0, "uniform").pvalue > SIGNIFICANCE


def test_days_are_skipped_by_themselves():
    model, clients = Diurnal(period_s=10.0, share=0.5, spread_s=0.0, centre_s=5.0, skip=0.3), np.arange(2000)
    days = np.stack([model.available(STREAM, clients, 10.0 * day + 5.0) for day in range(20)], axis=1)
    assert abs(days.mean() - 0.7) < SIGMAS * np.sqrt(0.21 / days.size)
    assert abs(np.corrcoef(days[:, 3], days[:, 4])[0, 1]) < SIGMAS / np.sqrt(clients.size)
    assert abs(np.corrcoef(days[:-1, 3], days[1:, 3])[0, 1]) < SIGMAS / np.sqrt(clients.size)


def test_clients_join_evenly_and_stay_for_an_exponential_time():
    clients, churn = np.arange(10_000), Churn(join_s=300.0, at_start=0.4, stay_s=50.0)
    joins, leaves = churn.joins_s(STREAM, clients), churn.leaves_s(STREAM, clients)
    assert abs((joins == 0.0).mean() - 0.4) < SIGMAS * np.sqrt(0.24 / clients.size)
    assert kstest(joins[joins > 0.0] / 300.0, "uniform").pvalue > SIGNIFICANCE
    assert kstest((leaves - joins) / 50.0, "expon").pvalue > SIGNIFICANCE
    presence = Presence(STREAM, Always(), churn)
    np.testing.assert_array_equal(presence.change_s(clients, presence.gone_s(clients)), np.inf)
    assert not presence.present(clients, presence.gone_s(clients)).any()
    everyone = Presence(STREAM, Always(), Churn(join_s=10.0))
    assert everyone.present(clients, 10.0).all() and np.isinf(everyone.gone_s(clients)).all()


def test_who_joins_does_not_change_when_one_can_be_reached():
    """Churn only takes away: those who are in are there at the same times as without it."""
    availability, clients = OnOff(on_s=20.0, off_s=20.0), np.arange(500)
    free, bound = Presence(STREAM, availability), Presence(STREAM, availability, Churn(join_s=50.0, stay_s=200.0))
    for time_s in (20.0, 30.0, 70.0):
        there = bound.present(clients, time_s)
        assert there.any() and not (there & ~free.present(clients, time_s)).any()
    assert not Presence(STREAM, availability, Churn(stay_s=1.0)).present(clients, 100.0).any()
    idle = Presence(STREAM, availability, Churn())  # which takes nobody away
    np.testing.assert_array_equal(idle.present(clients, 70.0), free.present(clients, 70.0))


def test_a_file_is_followed_once_or_again_and_again(visits):
    clients, once, again = np.arange(7), Visits(file=visits), Visits(file=visits, repeat_s=100.0)
    seen = {
        time_s: np.flatnonzero(once.available(STREAM, clients, time_s)).tolist() for time_s in (0, 9.5, 40, 95, 100)
    }
    assert seen == {0: [0, 2, 4], 9.5: [0, 4], 40: [0, 1, 4], 95: [2, 4], 100: []}
    for model in (once, again):
        assert model.change_s(STREAM, [1, 1, 6], [20.0, 45.0, 0.0]).tolist() == [50.0, 50.0, np.inf]
    for time_s in seen:
        for turn in (0, 3):
            asked_s = 100.0 * turn + time_s
            wanted = seen[time_s % 100]
            assert np.flatnonzero(again.available(STREAM, clients, asked_s)).tolist() == wanted
    # who is there up to the end of the period and from its beginning does not leave in between
    assert again.change_s(STREAM, [0, 1, 2, 3, 4], 395.0).tolist() == [400.0, 420.0, 405.0, np.inf, np.inf]
    assert once.change_s(STREAM, [0, 1, 2, 3, 4], 95.0).tolist() == [np.inf, np.inf, 100.0, np.inf, 100.0]
    # 40 + 30 + 15 + 100 s of the four clients of the file
    assert once.mean_share == again.mean_share == pytest.approx(185.0 / 400.0)


WRONG = [
    ("0,0,1\n-1,0,1\n", ":3: client must be a whole number from 0 to 999999; got -1"),
    ("0.5,0,1\n", ":2: client must be a whole number from 0 to 999999; got 0.5"),
    ("0,-1,1\n", ":2: from_s must be from 0 to 1e+09; got -1"),
    ("0,0,1\n# a note\n1,5,5\n", ":4: until_s must be above from_s, 5; got 5"),
    ("0,5,3\n", ":2: until_s must be above from_s, 5; got 3"),
    ("0,5,3e9\n", ":2: until_s must be at most 1e+09; got 3e+09"),
    ("0,5,20\n1,7,9\n0,2,6\n", ":4: overlaps with line 2: client 0 is there from 2 until 6, and from 5 on"),
    ("0,soon,1\n", ":2: from_s must be a finite number; got 'soon'"),
    ("0,1\n", ":2: has 2 values; the header names 3"),
    ("", ": has a header and no rows"),
]


@pytest.mark.parametrize(("rows", "says"), WRONG, ids=[says.split(";")[0] for _, says in WRONG])
def test_a_wrong_line_is_told_with_its_number(tmp_path, rows, says):
    file = tmp_path / "visits.csv"
    file.write_text(HEADER + rows)
    with pytest.raises(FileError) as caught:
        Visits(file=str(file)).load()
    assert str(caught.value) == f"{file}{says}"


def test_a_visit_beyond_the_period_is_refused(visits):
    message = re.escape("visits.csv:6: until_s must be at most 60, the period of repeat; got 100")
    with pytest.raises(FileError, match=message):
        Visits(file=visits, repeat_s=60.0).load()


@pytest.mark.parametrize("availability", AVAILABILITIES)
def test_a_time_or_a_shape_that_is_none_is_refused(availability, visits):
    presence = made(availability, "churn", visits)
    for ask in (presence.present, presence.change_s):
        for bad in (-1.0, np.nan, np.inf):
            with pytest.raises(ValueError, match="time"):
                ask([0], bad)
        with pytest.raises(ValueError, match="one time, or one for each of 3 clients"):
            ask([0, 1, 2], [0.0, 1.0])
        with pytest.raises(ValueError, match="client number"):
            ask([-1], 0.0)
        assert ask([], 0.0).shape == (0,)


def test_a_spread_is_at_most_a_day():
    assert Diurnal(period_s=100.0, spread_s=100.0).mean_share == 0.35
    with pytest.raises(OptionError, match=re.escape("must be at most the period, 100 s; got 21600 s")):
        Diurnal(period_s=100.0)


def test_everyone_is_there_by_default():
    presence = Presence()
    assert presence.is_constant and not Presence(availability=Diurnal()).is_constant
    assert presence.present([0, 5], 7.0).all() and np.isinf(presence.change_s([0, 5], 7.0)).all()
    assert not Presence(churn=Churn(stay_s=1.0)).is_constant


SCENARIO = """\
schema_version: 1
name: nights
rounds: 1
channel: {path_loss: {kind: uma}}
clients:
  count: 5
  placement: {kind: disc, to: 100 m}
  availability: {kind: trace, file: visits.csv, repeat: 100 s}
  churn: {join: 1 h, stay: 3 h}
  compute: {time: 300 ms, classes: [{share: 70 %, speed: 1}, {speed: 0.25}]}
method: {kind: fedavg}
"""


def problems(text: str, *overrides: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        parse(text, "s.yaml", overrides)
    return [str(problem) for problem in caught.value.args]


def test_a_scenario_says_who_is_there_and_what_is_wrong_with_that(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a_file(tmp_path)
    (cell,) = parse(SCENARIO, "s.yaml").cells
    clients = cell.scenario.clients
    assert clients.availability == Visits(file="visits.csv", repeat_s=100.0)
    assert clients.churn == Churn(join_s=3600.0, stay_s=10_800.0)
    assert parse(to_yaml(cell.scenario), "again").cells[0].scenario == cell.scenario
    assert problems(SCENARIO, "clients.count=4") == [
        "s.yaml:8:37: clients.availability.file: visits.csv:9: client must be below clients.count, 4: clients are "
        "numbered from 0; got 4"
    ]
    where = "s.yaml:8:37: clients.availability.file: visits.csv"
    (tmp_path / "visits.csv").write_text(f"{HEADER}0,0,10\n0,5,20\n")
    assert problems(SCENARIO) == [f"{where}:3: overlaps with line 2: client 0 is there from 0 until 10, and from 5 on"]
    (tmp_path / "visits.csv").write_text(HEADER)
    assert problems(SCENARIO) == [f"{where}: has a header and no rows"]
    (tmp_path / "visits.csv").unlink()
    assert problems(SCENARIO) == [
        f"{where}: cannot be read: No such file or directory; looked for beside the scenario and in the working "
        "directory"
    ]


def test_a_run_knows_who_is_there(tmp_path, monkeypatch):
    """The world of a run has the presence of its scenario and seed, which no other option changes."""
    monkeypatch.chdir(tmp_path)
    a_file(tmp_path)
    worlds = []

    def run(self, world, state):
        worlds.append(world)
        yield world.env.timeout(0.0)

    monkeypatch.setattr(Sync, "run", run)
    nightly = "clients.availability={kind: diurnal, skip: 0.1}"
    for overrides in [(nightly,), (nightly, "clients.count=3", "clients.compute.jitter=1"), (nightly, "seeds=[2]"), ()]:
        (cell,) = parse(SCENARIO, "s.yaml", overrides).cells
        simulate(cell.scenario, None, lambda *rows: None)
    one, other, another, recorded = (world.presence for world in worlds)
    times_s = np.linspace(0.0, 2e5, 300)
    for client in (0, 2):
        states = [p.present(np.full(300, client), times_s).tolist() for p in (one, other, another)]
        assert states[0] == states[1] != states[2]
    assert isinstance(recorded.availability, Visits) and recorded.churn == Churn(join_s=3600.0, stay_s=10_800.0)
