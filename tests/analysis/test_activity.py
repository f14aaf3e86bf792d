"""What each client was doing when: spans that add up to what the trace says, and a picture that holds them all."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from analysis import plots
from analysis.activity import KINDS, activity, answered
from analysis.activityplot import LABELLED_ROWS, LEAST_SHARE, MOST_ROWS
from analysis.house import LIMIT_COLOUR
from analysis.traces import TraceError, Traces, load

SUM_TOL_S = 1e-9
"""Times are sums of some tens of numbers of about 10 s, each rounded to 1e-15 of itself."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, synthetic: SimpleNamespace) -> Traces:
    root = tmp_path_factory.mktemp("fleet")
    return load(synthetic.write_fleet(root / "s", clients=24, rounds=5, deadline_s=2.0))


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory, synthetic: SimpleNamespace) -> Traces:
    directory = tmp_path_factory.mktemp("loop") / "r"
    manifest = {"name": "n", "arm": "loop", "seed": 1, "clients": 8}
    return load(synthetic.write_run(directory, manifest, synthetic.asynchronous_rounds(8, 30, 3)))


@pytest.fixture
def one_upload(tmp_path: Path, synthetic: SimpleNamespace) -> Callable[..., Traces]:
    """A round from 0 to 10 s of one client that computes from 1 to 3 s, and an upload of 10 packets from 4 to 8 s."""

    def write(action: str = "send", **upload: Any) -> Traces:
        row = {"t_request_s": 3.0, "t_start_s": 4.0, "t_end_s": 8.0, "air_s": 4.0, "packets": 10, "direction": "up",
               "outcome": "delivered", "reason": "", "round": 1}  # fmt: skip
        call = {"round": 1, "action": action, "compute_start_s": 1.0, "compute_s": 2.0}
        rows = (
            synthetic.blank("rounds", round=1, t_end_s=10.0),
            [synthetic.blank("transmissions", **(row | upload))],
            [synthetic.blank("decisions", **call)],
        )
        return load(synthetic.write_run(tmp_path / "r", {"name": "n", "arm": "a", "seed": 1}, iter([rows])))

    return write


def spans_of(traces: Traces, clients: list[int] | None = None) -> dict[str, list[tuple[float, float, float]]]:
    drawn = activity(traces, clients or [0], 0.0, 10.0).spans
    return {
        kind: [tuple(row) for row in own[["start_s", "end_s", "share"]].to_numpy().tolist()]
        for kind, own in drawn.groupby("kind")
    }


def boxes(axes: Axes, kind: str) -> np.ndarray:
    """Left, right, bottom and top of each bar of a kind."""
    (found,) = [c for c in axes.collections if isinstance(c, PolyCollection) and c.get_label() == kind]
    corners = [path.vertices for path in found.get_paths()]
    return np.array([[*np.ptp(v, axis=0), *v.min(axis=0)] for v in corners]).reshape(-1, 4)


def test_an_upload_is_cut_by_its_shares(one_upload: Callable[..., Traces]) -> None:
    spans = spans_of(one_upload(air_s=1.0, retransmissions=4))
    assert spans == {
        "computing": [(1.0, 3.0, 1.0)],
        "waiting": [(3.0, 4.0, 1.0), (4.0, 8.0, 0.75)],
        "sending": [(4.0, pytest.approx(6.4), 0.25)],
        "repeating": [(pytest.approx(6.4), 8.0, 0.25)],
    }


def test_an_upload_that_never_had_the_air_only_waits(one_upload: Callable[..., Traces]) -> None:
    traces = one_upload(packets=0, air_s=0.0, outcome="dropped", reason="deadline")
    assert spans_of(traces)["waiting"] == [(3.0, 8.0, 1.0)]
    assert "sending" not in spans_of(traces)
    (end,) = activity(traces, [0], 0.0, 10.0).ends.to_dict("records")
    assert (end["t_s"], end["reason"], end["outcome"]) == (8.0, "deadline", "dropped")


def test_the_spans_of_uploads_add_up_to_what_the_trace_says(fleet: Traces) -> None:
    clients, window = list(range(24)), (0.0, float(fleet.rounds["t_end_s"].max()))
    spans = activity(fleet, clients, *window).spans
    spans["length_s"] = (spans["end_s"] - spans["start_s"]) * spans["share"]
    total_s = spans.groupby("kind")["length_s"].sum()
    up = fleet.transmissions.query("direction == 'up'")
    assert len(up) > 50
    calls = fleet.decisions.query("action == 'send'")
    on_air = total_s["sending"] + total_s["repeating"]
    assert on_air == pytest.approx(up["air_s"].sum(), abs=SUM_TOL_S)
    assert total_s["repeating"] == pytest.approx(
        (up["air_s"] * up["retransmissions"] / up["packets"].clip(lower=1)).sum(), abs=SUM_TOL_S
    )
    whole_s = (up["t_end_s"] - up["t_request_s"]).sum()
    assert total_s["waiting"] == pytest.approx(whole_s - up["air_s"].sum(), abs=SUM_TOL_S)
    assert total_s["computing"] == pytest.approx(calls["compute_s"].sum(), abs=SUM_TOL_S)
    assert set(total_s.index) == set(KINDS)


def test_at_no_time_does_a_client_do_two_things(fleet: Traces, loop: Traces) -> None:
    for traces, count in ((fleet, 24), (loop, 8)):
        spans = activity(traces, list(range(count)), 0.0, float(traces.rounds["t_end_s"].max())).spans
        whole = spans[spans["share"] == 1.0].sort_values(["client", "start_s"])
        for _, own in whole.groupby("client"):
            assert (own["start_s"].to_numpy()[1:] >= own["end_s"].to_numpy()[:-1] - SUM_TOL_S).all()
        assert whole["client"].nunique() == count


def test_who_was_not_asked_has_the_whole_round(fleet: Traces) -> None:
    spans = activity(fleet, list(range(24)), 0.0, float(fleet.rounds["t_end_s"].max())).spans
    idle = spans[spans["kind"] == "not asked"]
    assert len(idle) == fleet.rounds["away"].sum() > 0
    lengths = dict(zip(fleet.rounds["t_start_s"], fleet.rounds["t_end_s"], strict=True))
    assert {(s, e) for s, e in zip(idle["start_s"], idle["end_s"], strict=True)} <= set(lengths.items())


def test_a_client_busy_past_its_round_is_idle_only_after(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    late = synthetic.blank(
        "transmissions", round=2, client=0, direction="up", t_request_s=3.0, t_start_s=3.0, t_end_s=7.0, air_s=4.0,
        packets=4, outcome="delivered", reason="",
    )  # fmt: skip
    call = synthetic.blank("decisions", round=1, client=0, action="send", compute_start_s=1.0, compute_s=2.0)
    rounds = [
        (synthetic.blank("rounds", round=1, t_end_s=5.0), [], [call]),
        (synthetic.blank("rounds", round=2, t_start_s=5.0, t_end_s=10.0), [late], []),
    ]
    traces = load(synthetic.write_run(tmp_path / "r", {"name": "n", "arm": "a", "seed": 1}, iter(rounds)))
    assert spans_of(traces)["not asked"] == [(7.0, 10.0, 1.0)]
    assert spans_of(traces)["sending"] == [(3.0, 7.0, 1.0)]
    # In the first round alone it is drawn too, though its row came with the second.
    assert (activity(traces, [0], 0.0, 5.0).spans["kind"] == "sending").any()
    plots.link_timeline(traces, "a", rounds=(1, 1))


def test_a_broadcast_is_received_by_those_called(fleet: Traces) -> None:
    spans = activity(fleet, list(range(24)), 0.0, float(fleet.rounds["t_end_s"].max())).spans
    received = spans[spans["kind"] == "downlink"].groupby("client").size()
    called = fleet.decisions.query("action == 'send'").groupby("client").size()
    assert received.to_dict() == called.to_dict()


def test_of_two_broadcasts_in_a_round_each_goes_to_those_called_then(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    casts = [
        synthetic.blank("transmissions", round=2, client=-1, direction="down", t_request_s=at, t_start_s=at,
                        t_end_s=at + 0.5, outcome="delivered", reason="")
        for at in (1.0, 3.0)
    ]  # fmt: skip
    calls = [
        synthetic.blank("decisions", round=r, client=c, t_s=at, action="send", compute_start_s=at + 0.5, compute_s=1.0)
        for r, c, at in ((1, 0, 1.0), (2, 1, 3.0), (2, 2, 3.0))
    ]
    rows = [
        (synthetic.blank("rounds", round=1, t_end_s=2.0), [], []),
        (synthetic.blank("rounds", round=2, t_start_s=2.0, t_end_s=6.0), casts, calls),
    ]
    traces = load(synthetic.write_run(tmp_path / "r", {"name": "n", "arm": "a", "seed": 1}, iter(rows)))
    spans = activity(traces, [0, 1, 2], 0.0, 6.0).spans
    heard = spans[spans["kind"] == "downlink"].sort_values("client")
    assert heard[["client", "start_s"]].to_numpy().tolist() == [[0, 1.0], [1, 3.0], [2, 3.0]]


def test_a_call_that_ended_before_its_upload_has_a_mark(fleet: Traces) -> None:
    ends = activity(fleet, list(range(24)), 0.0, float(fleet.rounds["t_end_s"].max())).ends
    sent = fleet.transmissions.query("direction == 'up'").groupby("client").size()
    calls = fleet.decisions.query("action == 'send'")
    unsent = ends[ends["reason"] == "unsent"].groupby("client").size()
    missing = calls.groupby("client").size().sub(sent, fill_value=0)
    last = fleet.decisions.groupby("client")["t_s"].transform("max")
    final = fleet.decisions[(fleet.decisions["t_s"] == last) & (fleet.decisions["action"] == "send")]
    # The last call of a client may be under way yet.
    assert (unsent <= missing.reindex(unsent.index)).all()
    assert missing.sum() - len(final) <= unsent.sum() <= missing.sum()
    failed = (fleet.transmissions["outcome"] != "delivered").sum()
    assert len(ends) == failed + unsent.sum()


def test_whom_a_broadcast_did_not_reach_has_a_mark(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    cast = synthetic.blank("transmissions", round=1, client=-1, direction="down", t_end_s=1.0, outcome="partial",
                           reason="attempts")  # fmt: skip
    calls = [
        synthetic.blank("decisions", round=1, client=0, action="send", compute_start_s=1.0, compute_s=1.0),
        synthetic.blank("decisions", round=1, client=1, action="send", compute_start_s=None),
    ]
    rows = [(synthetic.blank("rounds", round=1, t_end_s=5.0), [cast], calls)]
    traces = load(synthetic.write_run(tmp_path / "r", {"name": "n", "arm": "a", "seed": 1}, iter(rows)))
    ends = activity(traces, [0, 1], 0.0, 5.0).ends
    assert ends[["client", "t_s", "direction", "reason"]].to_numpy().tolist() == [[1, 1.0, "down", "attempts"]]


def test_each_upload_answers_the_last_call_before_it(loop: Traces) -> None:
    uploads = loop.transmissions.query("direction == 'up'")
    found = answered(uploads, loop.decisions)
    assert len(found) == len(uploads)
    assert loop.decisions.groupby(["round", "client"]).size().max() > 1, "no client is called twice in a round"
    for row in found.to_dict("records"):
        own = loop.decisions[loop.decisions["client"] == row["client"]]
        assert row["called_s"] == own.loc[own["t_s"] <= row["t_request_s"], "t_s"].max()
        assert row["ready_from_s"] == pytest.approx(row["t_request_s"], abs=SUM_TOL_S)


@pytest.mark.parametrize("clients", [1, 10, LABELLED_ROWS + 20])
def test_the_picture_holds_every_span_in_the_row_of_its_client(
    tmp_path: Path, clients: int, synthetic: SimpleNamespace
) -> None:
    traces = load(synthetic.write_fleet(tmp_path / "s", clients=clients, rounds=2, deadline_s=2.0))
    (axes,) = plots.activity_timeline(traces, "fleet").axes
    there = sorted(set(traces.decisions["client"]))
    end_s = float(traces.rounds["t_end_s"].max())
    assert axes.get_xlim() == pytest.approx((0.0, end_s))
    spans = activity(traces, there, 0.0, end_s).spans
    for kind in ("computing", "waiting", "sending", "repeating", "deferred", "downlink"):
        own, drawn = spans[spans["kind"] == kind], boxes(axes, kind)
        np.testing.assert_allclose(drawn[:, 2], own["start_s"])
        np.testing.assert_allclose(drawn[:, 2] + drawn[:, 0], own["end_s"])
        rows = np.round(drawn[:, 3] + drawn[:, 1] / 2).astype(int)
        low_rows = np.round(drawn[:, 3] + drawn[:, 1] - 0.4).astype(int)  # uploads stand at the bottom of a row
        expected = [there.index(client) for client in own["client"]]
        assert (low_rows if kind in ("sending", "repeating") else rows).tolist() == expected
    sending = spans[spans["kind"] == "sending"]
    if len(sending) > 1:
        heights, share = boxes(axes, "sending")[:, 1], np.clip(sending["share"], LEAST_SHARE, 1.0)
        np.testing.assert_allclose(heights / heights.max(), share / share.max())
    marks = [x for line in axes.get_lines() if line.get_marker() not in ("", "None") for x in line.get_xdata()]
    ends = activity(traces, there, 0.0, end_s).ends
    assert sorted(marks) == pytest.approx(sorted(ends["t_s"]))


def test_rows_are_numbered_without_overlap_and_many_are_thinned(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    traces = load(synthetic.write_fleet(tmp_path / "s", clients=MOST_ROWS + 50, rounds=1))
    figure = plots.activity_timeline(traces, "fleet")
    there = sorted(set(traces.decisions["client"]))
    assert f"({MOST_ROWS} of {len(there)} clients, at even distances)" in figure.get_suptitle()
    (axes,) = figure.axes
    assert axes.get_ylim() == (MOST_ROWS - 0.5, -0.5)
    figure.canvas.draw()
    extents = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert len(extents) >= 5
    assert all(one.y0 >= next_.y1 for one, next_ in itertools.pairwise(extents))


def test_chosen_clients_are_drawn_in_the_order_asked(fleet: Traces) -> None:
    (axes,) = plots.activity_timeline(fleet, "fleet", clients=[7, 3, 20], rounds=(2, 3)).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["7", "3", "20"]
    assert axes.get_xlim() == pytest.approx(tuple(fleet.rounds["t_end_s"].iloc[[0, 2]]))
    with pytest.raises(TraceError, match=r"clients \[99\] are not in the trace; it has 24 clients, from 0 to 23"):
        plots.activity_timeline(fleet, "fleet", clients=[99])
    with pytest.raises(TraceError, match="no finished round from 8 to 9"):
        plots.activity_timeline(fleet, "fleet", rounds=(8, 9))


def test_a_deadline_is_drawn_where_a_round_reached_it(fleet: Traces) -> None:
    figure = plots.activity_timeline(fleet, "fleet", rounds=(1, 5))
    (axes,) = figure.axes
    (lines,) = [c for c in axes.collections if c.get_linestyle()[0][1] and _is_red(c.get_edgecolor())]
    drawn = sorted(segment[0][0] for segment in lines.get_segments())
    rounds = fleet.rounds
    reached = rounds["t_end_s"] - rounds["t_start_s"] > 2.0 - SUM_TOL_S
    assert drawn == pytest.approx((rounds["t_start_s"] + 2.0)[reached].tolist())
    assert len(drawn) > 0
    (legend,) = figure.legends
    assert "deadline: 2 s" in [text.get_text() for text in legend.get_texts()]


def _is_red(colours: np.ndarray) -> bool:
    red = tuple(int(LIMIT_COLOUR[n : n + 2], 16) / 255 for n in (1, 3, 5))
    return len(colours) > 0 and np.allclose(colours[0][:3], red)


def test_the_legend_names_what_is_drawn_and_nothing_else(one_upload: Callable[..., Traces]) -> None:
    (legend,) = plots.activity_timeline(one_upload(), "a").legends
    assert [text.get_text().split(";")[0] for text in legend.get_texts()] == [
        "computing",
        "waiting for the air",
        "sending",
        "end of a round",
    ]


def test_server_updates_shorter_than_a_call_are_drawn_by_the_dozen(loop: Traces) -> None:
    (axes,) = plots.activity_timeline(loop, "loop").axes
    up = answered(loop.transmissions.query("direction == 'up'"), loop.decisions)
    assert axes.get_xlim()[1] >= 4 * float((up["t_end_s"] - up["called_s"]).median())
