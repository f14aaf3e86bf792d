"""Scenarios over recorded links: which keys they need, where what is wrong is told, and that they run.

What the links do is tested in tests/channels/test_recorded.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import simpy

from channels.links import Links
from channels.recorded import RecordedLinks
from channels.streams import Stream
from wfl_sim.advice import advice
from wfl_sim.engine import build_medium
from wfl_sim.errors import ScenarioError
from wfl_sim.estimate import estimate
from wfl_sim.scenario import load, parse, to_yaml

TEXT = """\
schema_version: 1
name: small
rounds: 3
radio: {uplink: {bandwidth: 1 MHz}, latency: 10 ms}
channel:
  recorded: {file: link.csv}
clients:
  count: 3
  placement: {kind: disc, from: 35 m, to: 500 m}
  compute: {time: 400 ms}
method: {kind: head_only}
"""
CSV = "time_s,up_bps,down_bps\n0,1e6,2e7\n0.5,2e6,3e7\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a recording; work goes on beside it."""
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "link.csv").write_text(CSV)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "study"


@pytest.fixture
def read(folder):
    def reader(text=TEXT, *overrides):
        (folder / "s.yaml").write_text(text)
        return load("study/s.yaml", overrides)

    return reader


@pytest.fixture
def problems(read):
    def reader(text, *overrides):
        with pytest.raises(ScenarioError) as caught:
            read(text, *overrides)
        return [str(problem) for problem in caught.value.args]

    return reader


def changed(old, new):
    assert TEXT.count(old) == 1
    return TEXT.replace(old, new)


def test_the_medium_runs_over_the_recording_beside_the_scenario(read):
    (cell,) = read().cells
    assert cell.scenario.channel.recorded.file == "study/link.csv"
    medium = build_medium(simpy.Environment(), cell.scenario, Stream.root(1))
    assert isinstance(medium.links, RecordedLinks)
    done = medium.uplink(0, 600_000, 1e6)
    medium.env.run(done)
    mean_bps = done.value.sent_bits / (done.value.t_end_s - done.value.t_start_s)
    assert 1e6 * (1 - 1e-3) < mean_bps < 2e6 * (1 + 1e-3)
    assert [c.scenario for c in parse(to_yaml(cell.scenario)).cells] == [cell.scenario]


@pytest.mark.parametrize("known", [True, False])
def test_a_broadcast_is_planned_by_the_downlink(read, folder, known):
    """Ten times slower down than up, in a band ten times as wide: uplink CSI would tell of a hundred times as much."""
    (folder / "link.csv").write_text("time_s,up_bps,down_bps\n0,4e6,4e5\n1,2e6,2e5\n2,4e6,4e5\n")
    scenario = read(TEXT, "channel.recorded.offset=0 s").cells[0].scenario
    medium = build_medium(simpy.Environment(), scenario, Stream.root(1))
    (planned_s,) = medium.downlink_estimate_s(medium.snr_hz([0], 1.5, known, "down"), [200_000], known)
    air = medium.air(known, "down")
    rate_bps = 2e5 if known else 1e6 / 3
    assert planned_s == pytest.approx(air.wire_bits(200_000) / rate_bps + scenario.radio.latency_s, rel=1e-8)


def test_its_study_is_estimated_and_clients_have_distances(read):
    study = read()
    (row,) = estimate(study).arms
    assert 35.0 <= row.median.distance_m <= 500.0
    assert row.round_s > 0.4
    assert advice(study, estimate(study)) == []


def test_each_client_may_have_its_file(read, folder):
    for client in range(3):
        (folder / f"{client}.trace").write_text("".join(f"{ms}\n" for ms in range(10 - client, 2000, 10 - client)))
    text = changed("{file: link.csv}", '{file: "{client}.trace", window: 1 s}')
    scenario = read(text).cells[0].scenario
    assert scenario.channel.recorded.file == "study/{client}.trace"
    gain = build_medium(simpy.Environment(), scenario, Stream.root(1)).links.gain([0.5])[:, 0]
    assert (np.diff(gain) > 0).all()


def test_arms_compare_modelled_and_recorded_links(read):
    text = TEXT.replace("  recorded: {file: link.csv}", "  path_loss: {kind: uma}\n  shadowing: {kind: none}")
    arm = "channel: {path_loss: null, recorded: {file: link.csv}}"
    study = read(f"{text}arms:\n  model: {{}}\n  replay:\n    {arm}\n")
    kinds = [type(build_medium(simpy.Environment(), cell.scenario, Stream.root(1)).links) for cell in study.cells]
    assert kinds == [Links, RecordedLinks]
    assert "links are recorded, so nothing reads channel.shadowing (replay)" in advice(study, estimate(study))


BOTH = "takes the place of path_loss; leave one of the two out, or set path_loss: null"
WRONG = [
    ("  recorded: {file: link.csv}", "  loss: {kind: none}", "study/s.yaml:5:1: channel.path_loss: is missing"),
    ("{file: link.csv}", "null", "study/s.yaml:5:1: channel.path_loss: is missing"),
    ("{file: link.csv}", "{}", "study/s.yaml:6:3: channel.recorded.file: is missing"),
    (
        "{file: link.csv}",
        "{file: link.csv}\n  path_loss: {kind: uma}",
        f"study/s.yaml:6:3: channel.recorded: {BOTH}",
    ),
    (
        "{file: link.csv}",
        "{file: none.csv}",
        "study/s.yaml:6:20: channel.recorded.file: none.csv: cannot be read: No such file or directory"
        "; looked for beside the scenario and in the working directory",
    ),
    (
        "{file: link.csv}",
        "{file: link.csv, downlink_file: none}",
        "study/s.yaml:6:45: channel.recorded.downlink_file: none: cannot be read: No such file or directory"
        "; looked for beside the scenario and in the working directory",
    ),
    (
        "{file: link.csv}",
        '{file: "{client}.csv"}',
        "study/s.yaml:6:20: channel.recorded.file: 0.csv: cannot be read: No such file or directory"
        "; looked for beside the scenario and in the working directory",
    ),
    (
        "{file: link.csv}",
        "{file: link.csv, window: 0 s}",
        "study/s.yaml:6:38: channel.recorded.window: must be above 0 s; got 0 s",
    ),
    (
        "{file: link.csv}",
        "{file: link.csv}\nschedule: {kind: min_max, csi: block}",
        "study/s.yaml:7:32: schedule.csi: block is a gain that holds for a while, which needs fading block or none: "
        "with recorded links take instantaneous (the gain at one moment) or large_scale (the mean over the fading)",
    ),
    (
        "bandwidth: 1 MHz",
        "bandwidth: 20 kHz",
        "study/s.yaml:6:20: channel.recorded.file: study/link.csv: 2 Mbit/s is more than 20 kHz carries, at most "
        "592.9 kbit/s at 100 dB",  # 0.92 x 20 kHz x log2(1 + 1e10 / 10^0.3),
    ),
]


@pytest.mark.parametrize(("old", "new", "says"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_told_at_its_key(problems, old, new, says):
    assert problems(changed(old, new)) == [says]


def test_a_missing_path_loss_hides_no_other_problem(problems):
    text = changed("  recorded: {file: link.csv}", "  loss: {kind: none}").replace("count: 3", "count: 5000")
    assert problems(text, "radio.uplink.bandwidth=20 MHz", "learning.data.train=4000") == [
        "study/s.yaml:5:1: channel.path_loss: is missing",
        "study/s.yaml:8:10: clients.count: must be at most the 4000 training examples; got 5000",
    ]


def test_what_is_wrong_in_a_file_is_told_with_its_line(problems, folder):
    (folder / "down.trace").write_text("1\n2\nx\n")
    text = changed("{file: link.csv}", "{file: link.csv, downlink_file: down.trace}")
    (said,) = problems(text)
    assert said.startswith("study/s.yaml:6:45: channel.recorded.downlink_file: study/down.trace:3: must be a whole ")
    (folder / "down.trace").write_text("".join("1\n" for _ in range(50_000)))
    (said,) = problems(text)
    assert said.startswith("study/s.yaml:6:45: channel.recorded.downlink_file: study/down.trace: 600 Gbit/s is more ")


def test_the_second_client_is_checked_too(problems, folder):
    (folder / "0.csv").write_text(CSV)
    assert problems(changed("{file: link.csv}", '{file: "{client}.csv"}')) == [
        "study/s.yaml:6:20: channel.recorded.file: study/1.csv: cannot be read: No such file or directory"
    ]


def test_a_folder_is_no_recording(problems):
    Path("study/sub").mkdir()
    assert problems(changed("link.csv", "study/sub")) == [
        "study/s.yaml:6:20: channel.recorded.file: study/sub: cannot be read: Is a directory"
    ]
