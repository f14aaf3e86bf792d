"""Pictures that compare arms and points of a grid: what is drawn is what the tables hold; looked at by eye besides."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import grid, plots, tradeoff
from analysis.armrows import MOST_ROWS, shown_rows
from analysis.curveplot import MOST_PANELS
from analysis.house import COLOURS, MOST_ARMS, MOST_LINES, arm_lines, chosen
from analysis.ledger import AIR, PAYLOAD, bits_ledger
from analysis.ledgerplot import LOOKS
from analysis.pareto import pareto_front
from analysis.participation import delivered_by_client, fairness
from analysis.traces import TraceError, Traces, load
from analysis.uploads import air_summary

RunOf = Callable[..., Path]
LossesOf = Callable[..., Path]

RISING = [0.5, 0.6, 0.7, 0.8]
BANDWIDTH, RANK = "radio.uplink.bandwidth", "method.rank"
MARKER_PX = 3.0
"""A name keeps at least so far from the middle of a marker of 8 points: its box may touch the rim."""
LEAST_LIGHTNESS = 0.1
"""Difference of lightness (0 to 1) that neighbours in a bar need without colour, unless a hatch tells them apart."""


def at(**values: float | str) -> list[dict[str, Any]]:
    """A point of a grid as a manifest has it: ``at(bandwidth=1e6, rank=4)``; a text is a value that is no number."""
    kinds = {"bandwidth": (BANDWIDTH, "Hz"), "rank": (RANK, ""), "kind": ("schedule.kind", "")}
    return [
        {"key": kinds[name][0], "text": str(value), "value": None if isinstance(value, str) else value,
         "unit": kinds[name][1]}
        for name, value in values.items()
    ]  # fmt: skip


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory, synthetic: SimpleNamespace) -> Traces:
    """A run of four rounds of 2 s and 1 Mbit, from which `grid_of` makes others."""
    rounds = (
        (synthetic.blank("rounds", round=n, t_start_s=2.0 * n - 2, t_end_s=2.0 * n, uplink_bits=1_000_000 * n), [], [])
        for n in range(1, len(RISING) + 1)
    )
    manifest = {"name": "s", "arm": "a", "seed": 1}
    return load(synthetic.write_run(tmp_path_factory.mktemp("one") / "r", manifest, rounds))


@pytest.fixture
def grid_of(one_run: Traces) -> Callable[..., Traces]:
    """``grid_of(groups, points, seeds)``: each point of each group is an arm, better with the group and the point."""

    def make(groups: Sequence[str], points: Sequence[list[dict[str, Any]]], seeds: int = 2, **values: Any) -> Traces:
        cells, rounds = [], []
        for (g, group), (p, point), seed in itertools.product(
            enumerate(groups), enumerate(points), range(1, seeds + 1)
        ):
            name = "-".join([group, *(f"{one['key'].rpartition('.')[2]}={one['text']}" for one in point)])
            own = {"arm": name, "seed": seed}
            where = {one["key"]: one["text"] if one["value"] is None else one["value"] for one in point}
            cells.append(one_run.cells.assign(**own, group=group, **where, **{k: [v] for k, v in values.items()}))
            accuracy = np.array(RISING) + 0.02 * g + 0.01 * p + 0.001 * seed - 0.1
            rounds.append(one_run.rounds.assign(**own, accuracy=accuracy))
        units = one_run.units | {("cells", one["key"]): one["unit"] for one in points[0]}
        axes = tuple(one["key"] for one in points[0])
        frames = {"cells": pd.concat(cells, ignore_index=True), "rounds": pd.concat(rounds, ignore_index=True)}
        return replace(one_run, **frames, units=units, axes=axes)

    return make


@pytest.fixture
def losses_of(tmp_path: Path, synthetic: SimpleNamespace) -> LossesOf:
    """``losses_of(arm, seed, losses, **manifest)`` writes a run that is judged by perplexity, of 1 s and 1 kbit."""

    def write(arm: str, seed: int, losses: Sequence[float], **more: Any) -> Path:
        values = [{"round": n, "t_end_s": float(n), "loss": loss} for n, loss in enumerate(losses, start=1)]
        rounds = (
            (synthetic.blank("rounds", accuracy=0.1, uplink_bits=1000 * row["round"], **row), [], []) for row in values
        )
        manifest = {"name": "s", "arm": arm, "seed": seed, "quality": {"metric": "perplexity"}} | more
        path: Path = synthetic.write_run(tmp_path / "s" / f"{arm}-seed{seed}", manifest, rounds)
        return path

    return write


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


def legend_of(figure: Figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def lines_of(axes: Axes) -> dict[str, Line2D]:
    return {str(line.get_label()): line for line in axes.get_lines() if not str(line.get_label()).startswith("_")}


def dots_in_row(axes: Axes, row: int) -> list[float]:
    dots = [line for line in axes.get_lines() if line.get_linestyle() == "None"]
    return sorted(float(x) for line in dots for x, y in line.get_xydata() if y == row)


# --- time to a target ---------------------------------------------------------------------------------------------


def test_every_seed_has_a_dot_where_the_table_has_its_time(study: Traces, synthetic: SimpleNamespace) -> None:
    figure = plots.time_to_target(study)
    table = tradeoff.summary(study)
    panels = np.array(figure.axes).reshape(-1, 2)
    for (left, right), target in zip(panels, synthetic.TARGETS, strict=True):
        assert left.get_title(loc="left") == f"to {100 * target:g} % accuracy"
        for row, arm in enumerate(study.arms):
            own = table[table["arm"] == arm]
            for axes, column in ((left, f"time_to_{target:g}_s"), (right, f"uplink_to_{target:g}_mbit")):
                values = own[column].dropna()
                np.testing.assert_allclose(dots_in_row(axes, row), sorted(values))
                bars = [bar.get_width() for bar in axes.patches if bar.get_y() < row < bar.get_y() + bar.get_height()]
                assert bars == ([pytest.approx(values.mean())] if len(values) == len(own) else [])
    assert [axes.get_xlabel() for axes in panels[-1]] == ["simulated time, s", "uplink of all clients, Mbit"]


def test_who_never_reached_a_target_is_told(run_of: RunOf) -> None:
    run_of("good", 1, RISING, targets=[0.65, 0.95])
    run_of("good", 2, RISING, targets=[0.65, 0.95])
    run_of("mixed", 1, RISING, targets=[0.65, 0.95])
    run_of("mixed", 2, [0.1, 0.1, 0.1], targets=[0.65, 0.95])
    directory = run_of("bad", 1, [0.1, 0.1, 0.1], targets=[0.65, 0.95])
    figure = plots.time_to_target(load(directory.parent))
    said = texts(figure)
    assert said.count("1 of 2 seeds never") == 2  # of time and of bits
    assert said.count("never") == 2
    assert "no run reached 95 %" in figure.get_suptitle()
    assert len(figure.axes) == 2
    assert len(figure.axes[0].patches) == 1  # a bar for the arm of which every seed has reached it, and no other


def test_no_target_and_no_learning_are_said(run_of: RunOf, tmp_path: Path, synthetic: SimpleNamespace) -> None:
    learnt = load(run_of("a", 1, RISING))
    with pytest.raises(TraceError, match="no targets"):
        plots.time_to_target(learnt)
    air = load(synthetic.write_fleet(tmp_path / "air", clients=2, rounds=1))
    for draw in (plots.time_to_target, plots.pareto):
        with pytest.raises(TraceError, match="a run without learning"):
            draw(air)
    begun = load(run_of("b", 1, [], targets=[0.5]))
    for draw in (plots.time_to_target, plots.pareto):
        with pytest.raises(TraceError, match="no round has been finished"):
            draw(begun)


# --- the ledger of bits -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, synthetic: SimpleNamespace) -> Traces:
    """A run with uploads of every outcome, and one that says what was in flight."""
    root = tmp_path_factory.mktemp("fleet") / "s"
    synthetic.write_fleet(root, arm="plain", clients=15, rounds=6, deadline_s=2.0)
    books = {"in_flight_up_bits": 123_000}
    synthetic.write_fleet(root, arm="flying", clients=15, rounds=3, ledger=books)
    return load(root)


def test_the_books_balance(fleet: Traces) -> None:
    books = bits_ledger(fleet).set_index("arm")
    up = fleet.transmissions[fleet.transmissions["direction"] == "up"]
    assert set(up["outcome"]) == {"delivered", "partial", "dropped"}
    for arm, own in up.groupby("arm"):
        book = books.loc[arm]
        assert book["offered_bits"] == own["payload_bits"].sum() + book["in_flight_bits"]
        assert book[list(PAYLOAD)].sum() == book["offered_bits"]
        assert book["delivered_bits"] + book["partial_bits"] == own["delivered_bits"].sum()
        assert book["sent_bits"] == own["sent_bits"].sum()
        assert book[list(AIR)].sum() == pytest.approx(book["sent_bits"])
        assert (book[[*PAYLOAD, *AIR]].drop("other_bits") >= 0).all()
    assert books["in_flight_bits"].to_dict() == {"flying": 123_000, "plain": 0}


def test_the_bars_are_the_books(fleet: Traces) -> None:
    figure = plots.ledger_bars(fleet)
    left, right = figure.axes
    books = bits_ledger(fleet)
    for axes, parts in ((left, PAYLOAD), (right, AIR)):
        assert axes.get_xlabel() == "uplink of all clients, Mbit"
        drawn = {c.get_label(): [bar.get_width() for bar in c.patches] for c in axes.containers}
        assert list(drawn) == list(parts)
        for name, widths in drawn.items():
            np.testing.assert_allclose(widths, books[name] / 1e6)
    assert left.get_title(loc="left") == "Offered = delivered + dropped + in flight"
    assert [label.get_text() for label in left.get_yticklabels()] == fleet.arms
    assert "payload still under way at the end" in legend_of(figure)


@pytest.mark.parametrize("parts", [PAYLOAD, AIR])
def test_neighbours_in_a_bar_differ_without_colour(parts: tuple[str, ...]) -> None:
    grey = [float(np.dot(to_rgb(LOOKS[name][0]), (0.299, 0.587, 0.114))) for name in parts]
    for (one, other), (a, b) in zip(itertools.pairwise(parts), itertools.pairwise(grey), strict=True):
        assert abs(a - b) >= LEAST_LIGHTNESS or LOOKS[one][1] != LOOKS[other][1]


def test_a_ledger_without_uploads_is_refused(run_of: RunOf) -> None:
    with pytest.raises(TraceError, match="no upload has ended"):
        plots.ledger_bars(load(run_of("a", 1, RISING)))


# --- participation ------------------------------------------------------------------------------------------------


def test_participation_counts_every_client_and_its_fairness_is_that_of_the_table(fleet: Traces) -> None:
    counts = delivered_by_client(fleet)
    up = fleet.transmissions.query("direction == 'up' and outcome == 'delivered'")
    for (arm, seed), own in counts.items():
        assert len(own) == 15
        assert list(own) == sorted(own, reverse=True)
        assert own.sum() == ((up["arm"] == arm) & (up["seed"] == seed)).sum()
    table = air_summary(fleet).set_index("arm")["fairness"]
    assert fairness(fleet).set_index("arm")["value"].to_dict() == pytest.approx(table.to_dict())
    left, right = plots.participation(fleet).axes
    for arm, line in lines_of(left).items():
        own = counts[arm, 1]
        np.testing.assert_allclose(line.get_ydata(), [*own, own[-1]])
        np.testing.assert_allclose(line.get_xdata(), 100 * np.arange(16) / 15)
        assert dots_in_row(right, fleet.arms.index(arm)) == pytest.approx([table[arm]])


def test_curves_that_lie_on_each_other_are_dashed_in_turns(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    root = tmp_path / "s"
    for arm in ("one", "two"):
        synthetic.write_fleet(root, arm=arm, clients=4, rounds=2)
    synthetic.write_fleet(root, arm="other", clients=4, rounds=5)
    figure = plots.participation(load(root))
    dashes = {arm: line.get_linestyle() for arm, line in lines_of(figure.axes[0]).items()}
    assert dashes == {"one": "--", "two": "--", "other": "-"}
    assert sorted(legend_of(figure)) == ["one", "other", "two"]


# --- grids --------------------------------------------------------------------------------------------------------


def test_places_axes_and_points(grid_of: Callable[..., Traces]) -> None:
    traces = grid_of(["a", "b"], [at(bandwidth=1e6, rank=4), at(bandwidth=2e6, rank=4)], seeds=1)
    assert grid.axes(traces) == (BANDWIDTH,)  # there is but one rank
    assert grid.groups(traces) == ["a", "b"]
    assert grid.points(traces) == ["1 MHz", "2 MHz"]
    assert grid.arms_at(traces, ["2 MHz"]) == [arm for arm in traces.arms if "2000000" in arm]


def test_without_a_grid_every_arm_is_its_own_group(study: Traces) -> None:
    assert grid.axes(study) == ()
    assert grid.groups(study) == study.arms
    assert grid.points(study) == [""]
    assert plots.arms_alone(study) == study.arms
    with pytest.raises(TraceError, match="no points of a grid"):
        plots.sweep(study)


@pytest.mark.parametrize(
    ("unit", "largest", "divisor", "name"),
    [("Hz", 3.6e5, 1e3, "kHz"), ("Hz", 2e9, 1e9, "GHz"), ("s", 0.02, 1e-3, "ms"), ("bit", 5e3, 1e3, "kbit"),
     ("", 8, 1, "number"), ("1", 0.3, 1, "number"), ("dB", 0.5, 1, "dB"), ("dBm", 23, 1, "dBm"), ("Hz", 0, 1, "Hz")],
)  # fmt: skip
def test_the_unit_of_an_axis_fits_its_values(unit: str, largest: float, divisor: float, name: str) -> None:
    assert grid.scale_of(unit, largest) == (divisor, name)


@pytest.mark.parametrize(("count", "most"), [(1, 5), (5, 5), (6, 5), (60, 5), (7, 2)])
def test_an_even_choice_keeps_both_ends(count: int, most: int) -> None:
    items = [f"{n}" for n in range(count)]
    some = grid.evenly(items, most)
    assert len(some) == min(count, most)
    assert (some[0], some[-1]) == (items[0], items[-1])
    assert [item for item in items if item in some] == some


def test_a_sweep_goes_through_the_means_of_the_table(grid_of: Callable[..., Traces]) -> None:
    points = [at(bandwidth=hz) for hz in (2e6, 1e6, 4e6)]  # not in their order
    traces = grid_of(["a", "b"], points, seeds=3, targets=(0.55,))
    figure = plots.sweep(traces)
    quality, time, bits = figure.axes
    table = tradeoff.summary(traces).merge(traces.cells[["arm", "seed", "group", BANDWIDTH]])
    for axes, column, scale in (
        (quality, "accuracy", 100),
        (time, "time_to_0.55_s", 1),
        (bits, "uplink_to_0.55_mbit", 1),
    ):
        assert len(axes.collections) == 2  # a band a group
        for group, line in lines_of(axes).items():
            means = table[table["group"] == group].groupby(BANDWIDTH)[column].mean()
            np.testing.assert_allclose(line.get_xdata(), [1, 2, 4])
            np.testing.assert_allclose(line.get_ydata(), scale * means)
    assert time.get_xlabel() == f"{BANDWIDTH}, MHz"
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "accuracy at the end, %", "time to 55 % accuracy, s", "uplink to 55 % accuracy, Mbit",
    ]  # fmt: skip
    assert legend_of(figure) == ["a", "b"]
    assert "mean of 3 seeds; the band spans the lowest to the highest" in texts(figure)


def test_a_point_that_a_seed_never_reached_is_crossed_out(run_of: RunOf) -> None:
    for hz, second in ((1e6, RISING), (2e6, [0.1] * 4)):
        for seed, values in ((1, RISING), (2, second)):
            more = {"group": "a", "point": at(bandwidth=hz), "targets": [0.65]}
            directory = run_of(f"a-{hz:g}", seed, values, **more)
    figure = plots.sweep(load(directory.parent))
    _, time, _ = figure.axes
    line, crosses = time.get_lines()
    assert np.isnan(line.get_ydata()[1]) and np.isfinite(line.get_ydata()[0])
    assert (crosses.get_marker(), list(crosses.get_xdata())) == ("x", [2.0])
    assert legend_of(figure)[-1] == "target not reached by every seed"


def test_two_axes_are_rows_and_a_text_has_a_place(grid_of: Callable[..., Traces]) -> None:
    points = [at(bandwidth=hz, kind=kind) for hz in (1e6, 2e6, 3e6) for kind in ("equal", "tsfa")]
    figure = plots.sweep(grid_of(["a"], points))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["kind equal", "", "", "kind tsfa", "", ""]
    words = [at(kind=kind) for kind in ("equal", "tsfa", "max_rate")]
    (first, *_) = plots.sweep(grid_of(["b"], words)).axes
    assert [tick.get_text() for tick in first.get_xticklabels()] == ["equal", "tsfa", "max_rate"]


def test_a_sweep_of_the_network_alone(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    for clients in (4, 8):
        point = at(rank=clients)
        synthetic.write_fleet(tmp_path / "s", arm=f"f-{clients}", clients=clients, rounds=2, group="f", point=point)
    traces = load(tmp_path / "s")
    figure = plots.sweep(traces)
    shares, goodput, _ = figure.axes
    assert shares.get_ylabel() == "updates delivered\na client and round, %"
    assert goodput.get_ylabel() == "goodput of the uplink, Mbit/s"
    (line,) = lines_of(shares).values()
    expected = air_summary(traces).set_index("arm")["participation"]
    np.testing.assert_allclose(line.get_ydata(), 100 * expected[["f-4", "f-8"]])


def test_where_nothing_came_a_cross_says_so(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    for clients, deadline_s in ((4, 0.5), (8, None)):  # no client has computed by then
        more = {"group": "f", "point": at(rank=clients)}
        synthetic.write_fleet(tmp_path / "s", f"f-{clients}", clients, rounds=2, deadline_s=deadline_s, **more)
    traces = load(tmp_path / "s")
    assert air_summary(traces)["delivered"].tolist()[0] == 0
    assert legend_of(plots.sweep(traces)) == ["f", "nothing delivered in some seed"]


def test_a_model_that_has_diverged_is_crossed_out_of_a_sweep(losses_of: LossesOf) -> None:
    for hz, end in ((1e6, 2.0), (2e6, 900.0)):
        for seed, last in ((1, 2.0), (2, end)):
            directory = losses_of(f"a-{hz:g}", seed, [last] * 3, group="a", point=at(bandwidth=hz))
    figure = plots.sweep(load(directory.parent))
    assert legend_of(figure) == ["a", "no finite perplexity in some seed"]


def test_the_front_is_ringed_and_every_arm_has_a_point(study: Traces) -> None:
    figure = plots.pareto(study)
    table = tradeoff.summary(study)
    means = table.groupby("arm", sort=False)[["accuracy", "uplink_mbit", "time_s"]].mean()
    for axes, cost in zip(figure.axes, ("uplink_mbit", "time_s"), strict=True):
        marked = {(*map(float, line.get_xydata()[0]),) for line in axes.get_lines() if len(line.get_xydata()) == 1}
        for x, y in zip(means[cost], 100 * means["accuracy"], strict=True):
            assert any(np.allclose((x, y), spot) for spot in marked)
        (rings,) = [line for line in axes.get_lines() if line.get_markerfacecolor() == "none"]
        front = pareto_front(means, cost, "accuracy")
        np.testing.assert_allclose(rings.get_xydata(), np.column_stack([front[cost], 100 * front["accuracy"]]))
    assert legend_of(figure) == [*study.arms, "not beaten in both"]


def test_an_arm_of_which_a_seed_has_diverged_has_no_point(losses_of: LossesOf) -> None:
    for arm, ends in (("good", (2.0, 2.1)), ("gone", (1.9, 900.0)), ("fair", (3.0, 3.0))):
        for seed, end in enumerate(ends, start=1):
            directory = losses_of(arm, seed, [4.0, end, end, end])
    figure = plots.pareto(load(directory.parent))
    left = figure.axes[0]
    marks = [line for line in left.get_lines() if line.get_linestyle() == "None"]
    dots = [mark for mark in marks if mark.get_markerfacecolor() != "none"]
    assert sorted(float(dot.get_ydata()[0]) for dot in dots) == pytest.approx(
        [(np.exp(2.0) + np.exp(2.1)) / 2, np.exp(3.0)]
    )
    (rings,) = [mark for mark in marks if mark not in dots]
    assert len(rings.get_xdata()) == 1
    assert figure.get_suptitle().endswith("\n(no finite perplexity in some seed: gone)")


def test_where_all_have_diverged_the_title_says_so(losses_of: LossesOf) -> None:
    for n in range(6):
        directory = losses_of(f"a-{n}", 1, [900.0] * 3)
    figure = plots.pareto(load(directory.parent))
    assert figure.get_suptitle().endswith("in some seed: a-0, a-1, a-2, a-3 and 2 more)")


def test_names_on_a_front_cover_no_marker(grid_of: Callable[..., Traces]) -> None:
    traces = grid_of(["a", "b"], [at(bandwidth=hz) for hz in (1e6, 2e6, 3e6)])
    slower = traces.rounds["arm"].map({arm: 1 + n / 8 for n, arm in enumerate(traces.arms)})
    rounds = traces.rounds.assign(t_end_s=slower * traces.rounds["t_end_s"])
    figure = plots.pareto(replace(traces, rounds=rounds))
    figure.draw_without_rendering()
    named = 0
    for axes in figure.axes:
        dots = [line for line in axes.get_lines() if line.get_linestyle() == "None" and len(line.get_xdata()) == 1]
        spots = [axes.transData.transform(line.get_xydata()[0]) for line in dots]
        boxes = [text.get_window_extent() for text in axes.texts]
        for box in boxes:
            named += 1
            assert not any(box.padded(MARKER_PX).contains(*spot) for spot in spots)
            assert axes.bbox.padded(1).contains(*box.p0) and axes.bbox.padded(1).contains(*box.p1)
            assert sum(box.overlaps(other) for other in boxes) == 1  # itself
    assert named > len(figure.axes)


# --- many arms ----------------------------------------------------------------------------------------------------


def test_a_small_grid_has_one_panel_with_a_colour_a_group_and_dashes_a_point(grid_of: Callable[..., Traces]) -> None:
    traces = grid_of(["a", "b", "c"], [at(bandwidth=hz) for hz in (1e6, 2e6)])
    left, right = plots.tradeoff(traces).axes
    drawn = lines_of(left)
    assert list(drawn) == list(lines_of(right)) == traces.arms
    looks = {arm: (line.get_color(), line.get_linestyle()) for arm, line in drawn.items()}
    assert len(set(looks.values())) == 6
    assert len({colour for colour, _ in looks.values()}) == 3
    assert len({looks[arm][0] for arm in traces.arms if arm.startswith("a-")}) == 1


@pytest.mark.parametrize("points", [5, 20])
def test_a_large_grid_has_a_panel_a_point_and_names_its_groups_alone(
    grid_of: Callable[..., Traces], points: int
) -> None:
    traces = grid_of(["a", "b", "c"], [at(bandwidth=1e6 * (n + 1)) for n in range(points)], seeds=1)
    figure = plots.tradeoff(traces)
    assert len(figure.axes) == 2 * MOST_PANELS
    assert figure.axes[0].get_title(loc="left") == "1 MHz"
    assert f"{points} MHz" in [axes.get_title(loc="left") for axes in figure.axes]
    assert legend_of(figure) == ["a", "b", "c"]
    assert (f"5 of the {points} points of the grid" in figure.get_suptitle()) == (points > MOST_PANELS)
    for axes in figure.axes:
        assert list(lines_of(axes)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("groups", "points", "shown"),
    [(1, 30, len(COLOURS)), (30, 1, MOST_ARMS), (3, 10, MOST_LINES), (40, 3, MOST_ARMS), (6, 9, MOST_LINES)],
)
def test_no_legend_grows_beyond_what_can_be_read(
    grid_of: Callable[..., Traces], groups: int, points: int, shown: int
) -> None:
    names = [f"g{n:02}" for n in range(groups)]
    traces = grid_of(names, [at(bandwidth=1e6 * (n + 1)) for n in range(points)], seeds=1)
    arms, note = chosen(traces)
    assert len(arms) == shown
    assert note
    looks = arm_lines(traces)
    assert len({(looks[arm]["color"], looks[arm]["linestyle"], looks[arm]["marker"]) for arm in arms}) == shown
    rows, said = shown_rows(traces)
    assert len(rows) <= MOST_ROWS
    assert bool(said) == (groups * points > MOST_ROWS)


def test_of_a_grid_the_first_point_has_pictures_of_its_own(
    grid_of: Callable[..., Traces], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests look at what is drawn.
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)
    for name in ("tradeoff", "accuracy_against", "time_to_target", "pareto", "sweep", "schedule_timeline"):
        monkeypatch.setattr(plots, name, lambda *_: Figure())
    traces = grid_of(["a", "b"], [at(bandwidth=hz) for hz in (1e6, 2e6)], seeds=1, targets=(0.65,))
    files = plots.save_all(traces, tmp_path / "pictures")
    comparing = ["tradeoff", "accuracy-bits", "accuracy-time", "time-to-target", "pareto", "sweep"]
    alone = [f"schedule-{arm}-seed1" for arm in traces.arms if "1000000" in arm]
    assert [file.stem for file in files[::2]] == comparing + alone
    chosen_one = plots.save_all(traces, tmp_path / "pictures", [traces.arms[-1]])
    assert [file.stem for file in chosen_one[::2]][len(comparing) :] == [f"schedule-{traces.arms[-1]}-seed1"]


def test_gaps_and_runs_without_rounds_do_not_stop_a_picture(run_of: RunOf) -> None:
    for seed, values in ((1, [0.5, None, 0.7, 0.8]), (2, [])):
        for hz in (1e6, 2e6, 3e6):
            point = {"group": "a", "point": at(bandwidth=hz), "targets": [0.65]}
            directory = run_of(f"a-{hz:g}", seed, values, **point)
    traces = load(directory.parent)
    for draw in (plots.tradeoff, plots.time_to_target, plots.pareto, plots.sweep):
        assert draw(traces).axes


def test_a_diverged_perplexity_does_not_stop_a_picture(losses_of: LossesOf) -> None:
    for arm, losses in (("good", [4.0, 3.0, 2.0]), ("gone", [4.0, 900.0, 900.0]), ("fair", [4.0, 3.5, 3.0])):
        directory = losses_of(arm, 1, losses, targets=[30.0])
    traces = load(directory.parent)
    for draw in (plots.tradeoff, plots.time_to_target, plots.pareto):
        figure = draw(traces)
        assert any("good" in text for text in texts(figure))
    assert plots.pareto(traces).axes[0].get_ylabel().startswith("perplexity on held-out text")
