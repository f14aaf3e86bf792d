"""Pictures hold what the traces hold, with units, in colours that differ; looked at by eye besides."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from typer.testing import CliRunner

from analysis import grid, plots, tradeoff
from analysis.airplots import FEW_CLIENTS, LARGEST_SHOWN, MOST_STEPS
from analysis.curveplot import cost_unit
from analysis.house import COLOURS, LIMIT_COLOUR
from analysis.timeline import MAX_CLIENTS
from analysis.traces import TraceError, Traces, load
from wfl_sim.cli import app

RunOf = Callable[..., Path]

UNIT = re.compile(r", (%|bit|[kMG]bit|s|h|k?J|dB|[kM]Hz|number|ratio|budgets)( \(logarithmic\))?$")


def curves_of(axes: Axes) -> dict[str, list[str]]:
    """Label of each curve, with its colour and marker."""
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    return {str(line.get_label()): [to_hex(line.get_color()), str(line.get_marker())] for line in lines}


def texts(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(matplotlib.text.Text)}


@pytest.mark.parametrize(
    ("x", "label"),
    [
        ("uplink_bits", "uplink of all clients, Mbit (logarithmic)"),
        ("t_end_s", "simulated time, s (logarithmic)"),
        ("energy_j", "clients' energy, J"),
    ],
)
def test_accuracy_against(study: Traces, x: str, label: str, synthetic: SimpleNamespace) -> None:
    figure = plots.accuracy_against(study, x)
    (axes,) = figure.axes
    assert axes.get_xlabel() == label
    assert axes.get_ylabel() == "accuracy on held-out examples, %"
    drawn = curves_of(axes)
    assert list(drawn) == list(synthetic.ARMS)
    assert len({colour for colour, _ in drawn.values()}) == len(synthetic.ARMS)
    assert len({marker for _, marker in drawn.values()}) == len(synthetic.ARMS)
    assert len(axes.collections) == len(synthetic.ARMS)  # the bands
    assert {f"target {100 * target:g} %" for target in synthetic.TARGETS} <= texts(figure)
    assert "mean of 3 seeds; the band spans the lowest to the highest" in texts(figure)


def test_a_curve_goes_through_the_numbers_of_the_table(run_of: RunOf) -> None:
    figure = plots.accuracy_against(load(run_of("a", 1, [0.5, 0.6, 0.7])), "uplink_bits")
    (axes,) = figure.axes
    (line,) = [line for line in axes.get_lines() if line.get_label() == "a"]
    np.testing.assert_allclose(line.get_xydata(), [[1, 50], [2, 60], [3, 70]])
    assert axes.get_xlabel() == "uplink of all clients, Mbit"
    assert "one seed" in texts(figure)


def test_tradeoff_shares_the_accuracy_axis(study: Traces, synthetic: SimpleNamespace) -> None:
    figure = plots.tradeoff(study)
    bits, seconds = figure.axes
    assert "Mbit" in bits.get_xlabel()
    assert "simulated time, s" in seconds.get_xlabel()
    assert bits.get_ylim() == seconds.get_ylim()
    assert curves_of(bits) == curves_of(seconds)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(synthetic.ARMS)


def test_more_arms_than_colours_stay_apart(run_of: RunOf) -> None:
    for index in range(len(COLOURS) + 2):
        directory = run_of(f"arm{index}", 1, [0.5, 0.6], arm_index=index)
    (axes,) = plots.accuracy_against(load(directory.parent), "t_end_s").axes
    lines = [line for line in axes.get_lines() if str(line.get_label()).startswith("arm")]
    looks = {(line.get_color(), line.get_linestyle()) for line in lines}
    assert len(looks) == len(COLOURS) + 2


def test_link_timeline_draws_every_transmission(study: Traces) -> None:
    figure = plots.link_timeline(study, "dense-equal", 1, rounds=(2, 5))
    *rows, colour_bar = figure.axes
    cell = study.select("dense-equal", 1)
    uploads = cell.transmissions[(cell.transmissions["direction"] == "up") & cell.transmissions["round"].between(2, 5)]
    assert [axes.get_ylabel() for axes in rows] == [f"client {client}" for client in range(10)]
    for client, axes in enumerate(rows):
        own = uploads[uploads["client"] == client]
        thick = [c for c in axes.collections if isinstance(c, LineCollection) and c.get_linewidth()[0] == 5]
        drawn = np.concatenate([c.get_segments() for c in thick])
        np.testing.assert_allclose(drawn[:, 0, 0], own["t_start_s"])
        np.testing.assert_allclose(drawn[:, 1, 0], own["t_end_s"])
        np.testing.assert_allclose(drawn[:, 0, 1], own["snr_mean_db"])
        crosses = [line for line in axes.get_lines() if line.get_marker() == "x"]
        assert len(crosses) == (own["outcome"] == "dropped").sum()
        lost = [text.get_text() for text in axes.texts if text.get_color() == LIMIT_COLOUR]
        assert lost == [str(count) for count in own["lost"] if count]
    assert (uploads["outcome"] == "dropped").any(), "no drop in these rounds: pick others"
    start_s, end_s = cell.rounds["t_start_s"].iloc[1], cell.rounds["t_end_s"].iloc[4]
    assert rows[0].get_xlim() == pytest.approx((start_s, end_s))
    assert rows[-1].get_xlabel() == "simulated time, s"
    assert "SNR of the uplink in the granted band, dB" in texts(figure)
    assert colour_bar.get_ylabel() == "kept fraction of the update, %"


def test_link_timeline_marks_deferred_rounds(study: Traces) -> None:
    figure = plots.link_timeline(study, "soft-tsfa", 1, rounds=(1, 12))
    deferred = study.select("soft-tsfa", 1).decisions.query("action == 'defer'")
    assert len(deferred) > 0
    for client, axes in enumerate(figure.axes[:-1]):
        hatched = [c for c in axes.collections if c.get_hatch()]
        paths = sum(len(c.get_paths()) for c in hatched)
        assert paths == (deferred["client"] == client).sum()


@pytest.mark.parametrize("clients", [1, MAX_CLIENTS + 3])
def test_link_timeline_of_few_and_many_clients(tmp_path: Path, clients: int, synthetic: SimpleNamespace) -> None:
    traces = load(synthetic.write_study(tmp_path / "s", seeds=1, rounds=2, clients=clients))
    figure = plots.link_timeline(traces, "dense-equal")
    assert len(figure.axes) - 1 == min(clients, MAX_CLIENTS)
    said = f"(the first {MAX_CLIENTS} of {clients} clients)" in figure.get_suptitle()
    assert said == (clients > MAX_CLIENTS)


def test_link_timeline_when_nobody_sends(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    rounds = [
        (
            synthetic.blank(
                "rounds", round=n, t_start_s=float(n), t_end_s=n + 1.0, kept_fraction_mean=None, deferred=1
            ),
            [],
            [synthetic.blank("decisions", round=n, client=4, t_s=float(n), action="defer", compute_start_s=None)],
        )
        for n in (1, 2)
    ]
    traces = load(synthetic.write_run(tmp_path / "r", {"name": "n", "arm": "a", "seed": 1}, iter(rounds)))
    figure = plots.link_timeline(traces, "a")
    (row, _) = figure.axes
    assert sum(len(c.get_paths()) for c in row.collections if c.get_hatch()) == 2
    assert [tuple(bar.get_y() for bar in c) for c in plots.bandwidth_shares(traces, "a").axes[0].containers]


def test_a_lost_downlink_is_crossed_and_computing_stands_where_the_trace_has_it(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    rounds = [
        (
            synthetic.blank("rounds", round=1, t_end_s=5.0, kept_fraction_mean=None, dropped=1),
            [
                synthetic.blank("transmissions", round=1, client=0, direction="down", t_end_s=1.0, outcome="dropped"),
                synthetic.blank("transmissions", round=1, client=1, direction="down", t_end_s=2.0, outcome="delivered"),
            ],
            [
                synthetic.blank("decisions", round=1, client=0, action="send", compute_start_s=None),
                synthetic.blank("decisions", round=1, client=1, action="send", compute_start_s=2.0, compute_s=0.5),
            ],
        )
    ]
    traces = load(synthetic.write_run(tmp_path / "r", {"name": "n", "arm": "a", "seed": 1}, iter(rounds)))
    lost, received, _ = plots.link_timeline(traces, "a").axes
    assert [line.get_xdata()[0] for line in lost.get_lines() if line.get_marker() == "x"] == [1.0]
    assert [line for line in received.get_lines() if line.get_marker() == "x"] == []
    spans = {
        (path.vertices[:, 0].min(), path.vertices[:, 0].max())
        for collection in received.collections
        for path in collection.get_paths()
    }
    assert {(0.0, 2.0), (2.0, 2.5)} <= spans


def test_schedule_timeline(study: Traces) -> None:
    figure = plots.schedule_timeline(study, "soft-tsfa", 2)
    kept, duration, queue = figure.axes
    rounds = study.select("soft-tsfa", 2).rounds
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["kept fraction, %", "round time, s", "queue, budgets"]
    np.testing.assert_allclose(kept.get_lines()[0].get_ydata(), 100 * rounds["kept_fraction_mean"])
    np.testing.assert_allclose([bar.get_height() for bar in duration.patches], rounds["t_end_s"] - rounds["t_start_s"])
    (budget,) = duration.get_lines()
    assert budget.get_ydata()[0] == 1.5
    assert budget.get_label() == "latency budget 1.5 s"
    np.testing.assert_allclose(queue.get_lines()[0].get_ydata(), rounds["queue"])


def test_schedule_timeline_without_a_budget_says_so(study: Traces) -> None:
    _, duration, _ = plots.schedule_timeline(study, "dense-equal").axes
    assert len(duration.get_lines()) == 0
    assert "without a latency budget" in duration.get_title(loc="left")


def test_bandwidth_shares_stack_to_what_was_granted(study: Traces) -> None:
    (axes,) = plots.bandwidth_shares(study, "soft-tsfa", 3).axes
    decisions = study.select("soft-tsfa", 3).decisions
    assert len(axes.containers) == decisions["client"].nunique()
    tops: dict[float, float] = {}
    for bar in axes.patches:
        middle = bar.get_x() + bar.get_width() / 2
        tops[round(middle)] = max(tops.get(round(middle), 0.0), bar.get_y() + bar.get_height())
    granted = decisions.groupby("round")["bandwidth_hz"].sum() / 1e6
    assert tops == pytest.approx(granted.to_dict())
    shades = {to_hex(container.patches[0].get_facecolor()) for container in axes.containers}
    assert len(shades) == len(axes.containers)


def test_grants_that_are_not_held_at_once_are_said_to_be_summed(
    study: Traces, tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    manifest = {"name": "s", "arm": "a", "seed": 1}
    rounds = synthetic.asynchronous_rounds(clients=8, updates=4, arrivals=3)
    apart = plots.bandwidth_shares(load(synthetic.write_run(tmp_path / "s" / "a", manifest, rounds)), "a")
    assert apart.axes[0].get_ylabel().startswith("bandwidth granted, sum of all calls, ")
    assert "the sum of a round may exceed the band" in apart.get_suptitle()
    together = plots.bandwidth_shares(study, "soft-tsfa", 3)
    assert together.axes[0].get_ylabel() == "bandwidth granted, MHz"
    assert "exceed" not in together.get_suptitle()


@pytest.mark.parametrize(("held_hz", "said"), [(5e5, False), (2e6, True)])
def test_that_idle_bands_are_shared_out_is_said_where_anyone_held_more_than_the_grant(
    tmp_path: Path, synthetic: SimpleNamespace, held_hz: float, said: bool
) -> None:
    call = synthetic.blank("decisions", round=1, client=0, action="send", bandwidth_hz=5e5)
    sent = synthetic.blank("transmissions", round=1, direction="up", bandwidth_hz=held_hz, outcome="delivered")
    rows = iter([(synthetic.blank("rounds", round=1, t_end_s=1.0), [sent], [call])])
    figure = plots.bandwidth_shares(
        load(synthetic.write_run(tmp_path / "r", {"name": "n", "arm": "a", "seed": 1}, rows)), "a"
    )
    words = "as granted at the start of a round, before what idle clients leave is shared out"
    assert (words in figure.get_suptitle()) is said


@pytest.mark.parametrize("clients", [1, 2, 3, 6, 9, FEW_CLIENTS, FEW_CLIENTS + 1, 30])
def test_no_two_layers_share_a_shade(tmp_path: Path, clients: int, synthetic: SimpleNamespace) -> None:
    traces = load(synthetic.write_study(tmp_path / "s", seeds=1, rounds=1, clients=clients))
    figure = plots.bandwidth_shares(traces, "dense-equal")
    (axes,) = figure.axes
    many = clients > FEW_CLIENTS
    assert len(axes.containers) == (LARGEST_SHOWN + 1 if many else clients)
    shades = {to_hex(container.patches[0].get_facecolor()) for container in axes.containers}
    assert len(shades) == len(axes.containers)
    assert (f"the {LARGEST_SHOWN} largest of {clients} clients" in figure.get_suptitle()) == many


def test_of_many_clients_the_largest_shares_have_layers_and_nothing_is_left_out(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    hz = {client: 1e3 * (client + 1) for client in range(20)}
    calls = [synthetic.blank("decisions", round=1, client=c, action="send", bandwidth_hz=f) for c, f in hz.items()]
    round_ = synthetic.blank("rounds", round=1, t_end_s=1.0)
    run = synthetic.write_run(tmp_path / "r", {"name": "n", "arm": "a", "seed": 1}, iter([(round_, [], calls)]))
    (axes,) = plots.bandwidth_shares(load(run), "a").axes
    labels = [str(container.get_label()) for container in axes.containers]
    assert labels == [*(f"client {client}" for client in range(14, 20)), "14 others,\n1 to 14 kHz each"]
    assert axes.get_ylabel() == "bandwidth granted, kHz"
    heights = [container.patches[0].get_height() for container in axes.containers]
    assert heights == pytest.approx([15, 16, 17, 18, 19, 20, sum(range(1, 15))])


@pytest.mark.parametrize("bits", [0.0, 999.0, 1e3, 1.9e3, 1e6, 1.5e6, 2e6, 1.2e9])
def test_a_cost_has_the_unit_that_every_picture_has(bits: float) -> None:
    divisor, unit = grid.scale_of("bit", bits)
    assert cost_unit("uplink_bits", bits) == (divisor, f"uplink of all clients, {unit}")


@pytest.mark.parametrize(("hz", "unit"), [(999.0, "Hz"), (1e3, "kHz"), (3.6e5, "kHz"), (2e6, "MHz"), (1.2e9, "GHz")])
def test_a_band_is_given_in_the_unit_that_fits(hz: float, unit: str) -> None:
    scale, name = grid.scale_of("Hz", hz)
    assert name == unit
    assert 1.0 <= hz / scale < 1000.0


@pytest.mark.parametrize("draw", [plots.tradeoff, lambda t: plots.link_timeline(t, "a"),
                                  lambda t: plots.bandwidth_shares(t, "a")])  # fmt: skip
def test_nothing_to_draw_is_said(run_of: RunOf, draw: Callable[[Traces], Figure]) -> None:
    with pytest.raises(TraceError, match=r"no round has been finished|no finished round|no decision"):
        draw(load(run_of("a", 1, [])))


def test_every_axis_has_a_unit(study: Traces) -> None:
    figures = [
        plots.tradeoff(study),
        plots.schedule_timeline(study, "soft-tsfa"),
        plots.bandwidth_shares(study, "soft-tsfa"),
        plots.upload_times(study),
        plots.participation(study),
        plots.ledger_bars(study),
        plots.time_to_target(study),
        plots.pareto(study),
        plots.activity_timeline(study, "soft-tsfa"),
    ]
    labels = [label for f in figures for axes in f.axes for label in (axes.get_xlabel(), axes.get_ylabel())]
    labels = [label for label in labels if label]
    assert len(labels) >= 8
    assert [label for label in labels if not UNIT.search(label)] == []


@pytest.mark.slow
def test_save_all_writes_every_picture_twice_and_the_same_again(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    synthetic.write_study(tmp_path / "s", seeds=2, rounds=3, clients=3)
    traces = load(tmp_path / "s" / "soft-tsfa*")
    assert traces.seeds("soft-tsfa") == [1, 2]
    files = plots.save_all(traces, tmp_path / "deep" / "pictures")
    names = [
        "tradeoff",
        "accuracy-bits",
        "accuracy-time",
        "time-to-target",
        "upload-times",
        "participation",
        "bits-ledger",
    ]
    names += [f"{kind}-soft-tsfa-seed1" for kind in ("schedule", "timeline", "link", "bandwidth")]
    assert [file.name for file in files] == [name + end for name in names for end in (".png", ".svg")]
    for file in files:
        start = file.read_bytes()[:64]
        assert start.startswith(b"\x89PNG" if file.suffix == ".png" else b"<?xml")
    again = plots.save_all(traces, tmp_path / "again")
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in files]


def test_save_all_passes_over_what_is_not_there(
    run_of: RunOf, tmp_path: Path, synthetic: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)  # other tests look at what is drawn
    run_of("empty", 1, [], status="running")
    run_of("undecided", 1, [0.5])
    synthetic.write_study(tmp_path / "other", seeds=1, rounds=2, clients=2)
    (tmp_path / "other" / "dense-equal-seed1").rename(tmp_path / "simple" / "full-seed1")
    files = plots.save_all(load(tmp_path / "simple"), tmp_path / "pictures")
    # The arms come from two studies, so that their names lead the arms'.
    assert [file.stem for file in files[::2]] == [
        *("tradeoff", "accuracy-bits", "accuracy-time", "time-to-target", "pareto"),
        *("upload-times", "participation", "bits-ledger"),
        "schedule-other-dense-equal-seed1",
        "timeline-other-dense-equal-seed1",
        "link-other-dense-equal-seed1",
        "bandwidth-other-dense-equal-seed1",
        "schedule-simple-undecided-seed1",
    ]


def test_a_run_without_learning_has_all_pictures_but_those_of_accuracy(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    run = synthetic.write_fleet(tmp_path / "s", clients=3, rounds=2, deadline_s=2.0)
    traces = load(run)
    assert not traces.learns
    with pytest.raises(TraceError, match="no accuracy: a run without learning"):
        plots.tradeoff(traces)
    done = CliRunner().invoke(app, ["plot", str(run)])
    assert done.exit_code == 0, done.output
    assert "The air (no accuracy: a run without learning)" in done.output
    study = ["upload-times", "participation", "bits-ledger"]
    kinds = [*study, *(f"{k}-fleet-seed1" for k in ("schedule", "timeline", "link", "bandwidth"))]
    assert [Path(line).stem for line in done.output.splitlines() if line.endswith(".png")] == kinds
    assert {file.stem for file in (run / "plots").iterdir()} == set(kinds)


@pytest.mark.parametrize(("rounds", "first", "last"), [("2:3", 2, 3), ("3", 3, 3)])
def test_the_command_draws_the_rounds_asked_for(
    tmp_path: Path, synthetic: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, rounds: str, first: int, last: int
) -> None:
    run = synthetic.write_fleet(tmp_path / "s", clients=2, rounds=4)
    windows: dict[str, tuple[float, float]] = {}
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, path, **_: windows.setdefault(Path(path).stem, figure.axes[0].get_xlim())
    )
    done = CliRunner().invoke(app, ["plot", str(run), "--rounds", rounds])
    assert done.exit_code == 0, done.output
    times = load(run).rounds.set_index("round")
    expected = (times.loc[first, "t_start_s"], times.loc[last, "t_end_s"])
    assert windows["timeline-fleet-seed1"] == windows["link-fleet-seed1"] == pytest.approx(expected)


@pytest.mark.parametrize("rounds", ["0:2", "3:2", "a", "1:b", ":", "-1"])
def test_rounds_that_are_none_are_refused(tmp_path: Path, rounds: str) -> None:
    done = CliRunner().invoke(app, ["plot", str(tmp_path), f"--rounds={rounds}"])
    assert done.exit_code == 2
    assert "two numbers from 1 in rising order" in " ".join(done.output.split())


def test_a_run_in_which_nobody_sent_has_pictures(
    tmp_path: Path, synthetic: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figure.draw_without_rendering())
    rounds = [
        (synthetic.blank("rounds", round=n, t_start_s=n - 1.0, t_end_s=float(n), accuracy=None,
                         kept_fraction_mean=None),
         [],
         [synthetic.blank("decisions", round=n, client=c, t_s=n - 1.0, action="skip", compute_start_s=None)
          for c in range(2)])
        for n in (1, 2)
    ]  # fmt: skip
    run = synthetic.write_run(tmp_path / "r", {"name": "n", "arm": "a", "seed": 1}, iter(rounds))
    files = plots.save_all(load(run), tmp_path / "pictures")
    assert [file.stem for file in files[::2]] == [f"{k}-a-seed1" for k in ("schedule", "timeline", "link", "bandwidth")]
    with pytest.raises(TraceError, match="no upload has ended yet"):
        plots.upload_times(load(run))


def test_an_arm_without_learning_is_named_where_others_have_accuracy(
    tmp_path: Path, synthetic: SimpleNamespace, run_of: RunOf
) -> None:
    run_of("learns", 1, [0.5, 0.6, 0.7])
    synthetic.write_fleet(tmp_path / "simple", arm="network", clients=2, rounds=1)
    figure = plots.accuracy_against(load(tmp_path / "simple"), "t_end_s")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["learns", "network: no accuracy, without learning"]
    (axes,) = figure.axes
    assert [len(line.get_xdata()) for line in axes.get_lines() if line.get_label() == "learns"] == [3]


def test_upload_times_end_at_the_share_that_was_delivered(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    traces = load(synthetic.write_fleet(tmp_path / "s", clients=12, rounds=3, deadline_s=2.0))
    up = traces.transmissions.query("direction == 'up'")
    took_s = (up["t_end_s"] - up["t_request_s"])[up["outcome"] == "delivered"]
    left, right = plots.upload_times(traces).axes
    (line,) = left.get_lines()
    for x, y in zip(line.get_xdata()[1:-1], line.get_ydata()[1:-1], strict=True):
        assert y == pytest.approx(100 * (took_s <= x).mean())
    called = (traces.decisions["action"] == "send").sum()
    curve, deadline = right.get_lines()
    assert curve.get_ydata()[-1] == pytest.approx(100 * len(took_s) / called)
    assert deadline.get_xdata()[0] == 2.0


def test_upload_times_of_very_many_uploads_keep_their_shape(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    traces = load(synthetic.write_fleet(tmp_path / "s", clients=900, rounds=2))
    up = traces.transmissions.query("direction == 'up' and outcome == 'delivered'")
    took_s = (up["t_end_s"] - up["t_request_s"]).to_numpy()
    assert len(took_s) > MOST_STEPS
    (line,) = plots.upload_times(traces).axes[0].get_lines()
    assert len(line.get_xdata()) <= MOST_STEPS + 2
    for x, y in list(zip(line.get_xdata(), line.get_ydata(), strict=True))[1:-1:50]:
        assert y == pytest.approx(100 * (took_s <= x).mean())
    assert line.get_ydata()[-1] == 100.0


def test_drawing_leaves_the_settings_of_the_caller_alone(study: Traces) -> None:
    before = dict(matplotlib.rcParams)
    plots.tradeoff(study)
    assert dict(matplotlib.rcParams) == before


def test_no_pyplot_state() -> None:
    code = "import sys, analysis.plots; print('matplotlib.pyplot' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_picture_and_the_table_agree_on_the_arms(study: Traces) -> None:
    (axes,) = plots.accuracy_against(study, "t_end_s").axes
    assert list(curves_of(axes)) == list(tradeoff.summary_by_arm(study).index)
