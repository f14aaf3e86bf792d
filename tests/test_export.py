from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import simpy
import typer
from typer.testing import CliRunner

from channels.replay import OPPORTUNITY_BITS, Rates
from channels.streams import Stream
from channels.tracefiles import read_csv, read_mahimahi, read_trace
from wfl_sim import export
from wfl_sim.commands.export import export as command
from wfl_sim.engine import build_links, build_medium
from wfl_sim.errors import OutputExists, RunFailed, ScenarioError
from wfl_sim.export import LinkCourse, course
from wfl_sim.radio.bands import bands
from wfl_sim.scenario import load

ROOT = Path(__file__).resolve().parents[1]
QUICKSTART = ROOT / "scenarios" / "quickstart.yaml"
RECORDED = ROOT / "scenarios" / "recorded.yaml"
ROUNDING = 1e-9  # relative: powers of ten and sums
WHOLE_BITS = 0.5 + 1e-6  # bit/s: the shipped recording is rounded to whole ones

app = typer.Typer()
app.command()(command)


@pytest.fixture(scope="module")
def scenario():
    return load(QUICKSTART).cells[0].scenario


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_course_is_what_a_transfer_meets_that_is_alone(scenario):
    medium = build_medium(simpy.Environment(), scenario, Stream.root(1))
    link = course(scenario, 4, "up", 3.0, seed=1)
    done = medium.uplink(4, 1_000_000, scenario.radio.uplink.bandwidth_hz)
    medium.env.run(done)
    sent = done.value
    sent_s = np.interp(sent.sent_bits, np.cumsum(link.rate_bps) * 1e-3, np.arange(1, 3001) * 1e-3)
    assert sent.t_end_s - sent.t_start_s == pytest.approx(sent_s, rel=1e-6)  # bits are rounded to whole ones
    slots = round(sent.t_end_s * 1e3)
    assert sent.snr_mean_db == pytest.approx(10 * np.log10(link.snr[:slots]).mean(), abs=0.05)  # the last slot in part


@pytest.mark.parametrize("direction", ["up", "down"])
def test_after_any_millisecond_the_packets_are_the_floor_of_the_bits(scenario, direction):
    link = course(scenario, 3, direction, 5.0, seed=1)
    trace = link.mahimahi()
    bits = np.cumsum(link.rate_bps * 1e-3)
    counts = np.searchsorted(trace.stamps_ms, np.arange(1, 5001), side="right")
    np.testing.assert_array_equal(counts, np.floor(bits / OPPORTUNITY_BITS))


def test_a_replayed_export_is_within_a_packet_of_the_link(scenario, tmp_path):
    link = course(scenario, 3, "up", 5.0, seed=1)
    for kind, within in (("mahimahi", OPPORTUNITY_BITS), ("rate", 1e-3)):
        file = tmp_path / kind
        export.write(file, export.export_text(link, kind))
        trace = read_trace(file)
        replay = trace if kind == "mahimahi" else trace.rates("rate_bps")
        times = np.linspace(0.0, min(replay.period_s, 5.0) * (1 - 1e-12), 4001)
        if kind == "mahimahi":
            times = np.floor(times * 1e3) / 1e3
        ahead = link.link.bits_until(times) - replay.bits_until(times)
        assert ahead.min() > -within * 1e-6 - 1e-3 and ahead.max() < within + 1e-3


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_rate_model_may_differ_by_direction(direction):
    scenario = load(QUICKSTART, ["radio.rate={kind: truncated_shannon}"]).cells[0].scenario
    link = course(scenario, 2, direction, 1.0, seed=1)
    rate = scenario.radio.rate.efficiency(link.snr, direction)
    band = bands(scenario.radio, scenario.clients.tx_power_dbm)[direction]
    np.testing.assert_allclose(link.rate_bps, band.bandwidth_hz * rate * (1 - band.overhead), rtol=ROUNDING)
    other = scenario.radio.rate.efficiency(link.snr, "up" if direction == "down" else "down")
    assert not np.allclose(rate, other, rtol=0.1)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_over_a_selective_band_the_rate_is_the_mean_over_its_frequencies(direction):
    changes = ["channel.fading={kind: tdl, profile: A, delay_spread: 1 us}", "radio.rate={kind: truncated_shannon}"]
    scenario = load(QUICKSTART, changes).cells[0].scenario
    link = course(scenario, 2, direction, 0.3, seed=1)
    links = build_links(scenario, Stream.root(1).child("channel"))
    band = bands(scenario.radio, scenario.clients.tx_power_dbm)[direction]
    mids = (np.arange(300) + 0.5) * 1e-3
    gain = links.gain(mids, [2], direction=direction, offsets_hz=links.offsets_hz(band.bandwidth_hz))[0]
    assert gain.shape[-1] > 1
    snr = gain / band.gain_of_snr
    np.testing.assert_allclose(link.snr, snr.mean(-1), rtol=ROUNDING)
    rate = scenario.radio.rate.efficiency(snr, direction).mean(-1)
    np.testing.assert_allclose(link.rate_bps, band.bandwidth_hz * rate * (1 - band.overhead), rtol=ROUNDING)
    at_the_mean = scenario.radio.rate.efficiency(link.snr, direction)
    assert (rate < at_the_mean * (1 + ROUNDING)).all() and (rate < at_the_mean * 0.999).any()


def test_slots_that_are_no_milliseconds_are_cut_at_milliseconds():
    link = LinkCourse(0.7e-3, np.ones(10), np.full(10, 12e6))  # a packet a millisecond, for 7 ms
    assert link.mahimahi().stamps_ms.tolist() == [1, 2, 3, 4, 5, 6, 7]


def test_the_snr_is_that_of_the_rate(scenario, tmp_path):
    link = course(scenario, 2, "up", 1.0, seed=1)
    export.write(tmp_path / "snr.csv", export.export_text(link, "snr", 1))
    table = read_csv(tmp_path / "snr.csv")
    up = scenario.radio.uplink
    rate = up.bandwidth_hz * scenario.radio.rate.efficiency(10 ** (table.columns["snr_db"] / 10)) * (1 - up.overhead)
    np.testing.assert_allclose(rate, link.rate_bps, rtol=ROUNDING)
    assert table.times_s[57] == 0.057


def test_means_over_steps_keep_the_bits(scenario):
    link = course(scenario, 2, "up", 1.05, seed=1)
    table = link.table("rate_bps", 100)
    assert table.times_s.size == 11
    lengths = [0.1] * 10 + [0.05]
    assert table.columns["rate_bps"] @ lengths == pytest.approx(link.rate_bps.sum() * 1e-3, rel=ROUNDING)


def test_long_courses_do_not_depend_on_how_they_are_asked(scenario, monkeypatch):
    whole = course(scenario, 1, "up", 0.5, seed=1)
    monkeypatch.setattr(export, "_AT_ONCE", 37)
    np.testing.assert_array_equal(course(scenario, 1, "up", 0.5, seed=1).snr, whole.snr)
    assert not np.array_equal(course(scenario, 1, "up", 0.5, seed=2).snr, whole.snr)


def test_a_recorded_link_is_exported_as_it_was_recorded():
    scenario = load(RECORDED, ["channel.recorded.offset=0 s"]).cells[0].scenario
    recording = read_trace(ROOT / "scenarios" / "traces" / "walk.csv")
    for way in ("up", "down"):
        link = course(scenario, 7, way, 60.0, seed=1)
        rows = link.table("rate_bps", 100).columns["rate_bps"]
        np.testing.assert_allclose(rows, recording.columns[f"{way}_bps"], rtol=ROUNDING)


def test_the_shipped_recording_is_what_its_first_lines_say(tmp_path):
    head = (ROOT / "scenarios" / "traces" / "walk.csv").read_text().splitlines()[1]
    words = head.removeprefix("# wfl-sim export ").replace("FILE", str(tmp_path / "again.csv")).split()
    done = run(QUICKSTART, *words[1:])
    assert done.exit_code == 0, done.output
    again, shipped = read_csv(tmp_path / "again.csv"), read_csv(ROOT / "scenarios" / "traces" / "walk.csv")
    np.testing.assert_array_equal(again.times_s, shipped.times_s)
    for name in ("up_bps", "down_bps"):
        np.testing.assert_allclose(again.columns[name], shipped.columns[name], rtol=0, atol=WHOLE_BITS)


# The command


def test_the_command_writes_a_trace_and_says_what(tmp_path):
    file = tmp_path / "up.trace"
    done = run(QUICKSTART, "seeds=[5]", "--client", 3, "--duration", 2, "--output", file)
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"{file}: 2 s of client 3, uplink ")
    expected = course(load(QUICKSTART).cells[0].scenario, 3, "up", 2.0, seed=5).mahimahi()
    np.testing.assert_array_equal(read_mahimahi(file).stamps_ms, expected.stamps_ms)
    assert [path.name for path in tmp_path.iterdir()] == ["up.trace"]


def test_the_command_quietly_writes_csv_of_another_arm_and_seed(tmp_path):
    file = tmp_path / "down.csv"
    words = ("--direction", "down", "--duration", 1, "--format", "csv", "--column", "snr", "--step", 0.25)
    done = run(QUICKSTART, *words, "--arm", "soft-tsfa", "--seed", 3, "--quiet", "--output", file)
    assert (done.exit_code, done.output) == (0, "")
    assert read_csv(file).times_s.tolist() == [0.0, 0.25, 0.5, 0.75]
    assert list(read_csv(file).columns) == ["snr_db"]


def test_an_existing_file_stays_unless_forced(tmp_path):
    file = tmp_path / "a"
    file.write_text("mine")
    words = (QUICKSTART, "--duration", 1, "--output", file)
    assert isinstance(run(*words).exception, OutputExists)
    assert file.read_text() == "mine"
    assert run(*words, "--force").exit_code == 0
    assert read_mahimahi(file).pass_bits > 0


def test_an_interrupt_leaves_no_part_of_a_file(tmp_path, monkeypatch):
    def stopped(old, new):
        raise KeyboardInterrupt

    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(export.os, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        export.write(tmp_path / "a", "new", force=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old"}


@pytest.mark.parametrize("name", [".", "", "sub"])
def test_a_folder_is_no_file_to_write(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    error = run(QUICKSTART, "--duration", 1, "--force", "--output", name).exception
    assert isinstance(error, RunFailed)
    assert str(error) == f"{name or '.'} is a folder; --output is the name of the file to write"


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(RunFailed, match=r"cannot write to .*: No such file or directory"):
        export.write(tmp_path / "none" / "a", "text")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--client", 10), "command line: --client 10: must be from 0 to 9"),
        (("--duration", 0), "command line: --duration 0.0: must be above 0 s and at most 100000 s"),
        (("--duration", "nan"), "command line: --duration nan: must be above 0 s and at most 100000 s"),
        (("--arm", "x"), "command line: --arm x: unknown arm"),
        (("--arm", "DENSE"), "command line: --arm DENSE: unknown arm; did you mean 'dense-equal'?"),
        (("--step", 0), "command line: --step 0.0: must be above 0 s and at most the duration"),
        (("--direction", "both"), "command line: --direction both: needs --format csv and --column rate; other files "),
    ],
)
def test_wrong_options_are_located(tmp_path, words, says):
    error = run(QUICKSTART, *words, "--output", tmp_path / "a").exception
    assert isinstance(error, ScenarioError)
    assert str(error.args[0]).startswith(says)
    assert not list(tmp_path.iterdir())


def test_a_format_that_is_none_is_told(tmp_path):
    done = run(QUICKSTART, "--format", "json", "--output", tmp_path / "a")
    assert done.exit_code == 2
    said = " ".join(done.output.replace("│", " ").split())
    assert "'--format': must be mahimahi or csv, the kind of file that is written; got 'json'" in said


def test_a_seed_below_0_is_refused(scenario):
    with pytest.raises(ScenarioError, match="--seed -1: must be at least 0"):
        course(scenario, 0, "up", 1.0, seed=-1)


def test_a_link_that_carries_nothing_is_no_trace():
    dead = LinkCourse(1e-3, np.zeros(5), np.zeros(5))
    with pytest.raises(RunFailed, match="carries 0 bit in all, and a mahimahi trace needs a packet"):
        dead.mahimahi()
    with pytest.raises(RunFailed, match="carries nothing at all"):
        dead.table("rate_bps")
    assert isinstance(LinkCourse(1e-3, np.ones(5), np.ones(5)).link, Rates)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_an_interference_margin_lowers_the_snr_that_is_exported_by_itself(scenario, direction):
    margin = load(QUICKSTART, [f"radio.{direction}link.interference_margin=6 dB"]).cells[0].scenario
    before, after = (course(one, 3, direction, 0.5, seed=1) for one in (scenario, margin))
    np.testing.assert_allclose(after.snr, before.snr * 10**-0.6, rtol=ROUNDING)
    other = course(margin, 3, "down" if direction == "up" else "up", 0.5, seed=1)
    assert (other.snr == course(scenario, 3, "down" if direction == "up" else "up", 0.5, seed=1).snr).all()
