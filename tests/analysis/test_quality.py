"""Accuracy and perplexity: the same questions asked of either, with the better way turned round.

Knows rounds made up for the purpose; 2 s and 1 Mbit each, as in `simple_run`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from rich.console import Console

from analysis import plots, tradeoff
from analysis.tables import arms_table
from analysis.traces import TraceError, load
from wfl_sim.errors import ScenarioError
from wfl_sim.learning import data
from wfl_sim.learning.datasets import WordNet10
from wfl_sim.live import Lines
from wfl_sim.quality import ACCURACY, LARGEST_LOSS, PERPLEXITY, quality_of
from wfl_sim.scenario import Cell, parse

MANIFEST = {"quality": {"metric": "perplexity", "better": "lower"}}
SCENARIO = """\
schema_version: 1
name: s
rounds: 1
clients: {count: 2, placement: {kind: disc, to: 100 m}, compute: {time: 400 ms}}
channel: {path_loss: {kind: log_distance, exponent: 3}}
learning: {data: {name: "NAME", partition: {kind: iid}}, targets: TARGETS}
method: {kind: METHOD}
"""
ROUNDING = 1e-12
"""Relative: exp(log(x)) rounds twice."""

RunOf = Callable[..., Path]


@pytest.fixture
def language_run(tmp_path: Path, synthetic: SimpleNamespace) -> RunOf:
    """``language_run(arm, perplexities, **manifest)``: a run judged by perplexity; the accuracies tell nothing."""

    def write(arm: str, perplexities: list[float | None], seed: int = 1, **manifest: object) -> Path:
        rows = (
            (
                synthetic.blank("rounds", round=i, t_start_s=2.0 * i - 2, t_end_s=2.0 * i, uplink_bits=1_000_000 * i,
                                accuracy=None if p is None else 0.3, loss=None if p is None else math.log(p)),
                [],
                [],
            )
            for i, p in enumerate(perplexities, start=1)
        )  # fmt: skip
        about = {"name": "plays", "arm": arm, "seed": seed} | MANIFEST | manifest
        return synthetic.write_run(tmp_path / "plays" / f"{arm}-seed{seed}", about, rows)

    return write


@given(
    values=st.lists(st.floats(1.01, 1e6), max_size=12),
    target=st.floats(1.01, 1e6),
)
def test_a_perplexity_is_reached_from_above_as_its_negative_is_from_below(values: list[float], target: float) -> None:
    column = pd.Series(values, dtype=float)
    reached = tradeoff.median_reaches(column, target, PERPLEXITY)
    assert reached.tolist() == tradeoff.median_reaches(-column, -target, ACCURACY).tolist()
    assert not reached.head(tradeoff.TARGET_WINDOW - 1).any()


@pytest.mark.parametrize(
    ("perplexities", "round_reached"),
    [
        # Two of the last three at or below 90 make the median reach it.
        ([150.0, 120.0, 89.0, 89.0, 80.0], 4),
        # One lucky evaluation is not enough.
        ([150.0, 150.0, 50.0, 150.0, 120.0, 89.0, 85.0], 7),
        # A round without evaluation is passed over, and one that has diverged counts as the worst there is.
        ([89.0, None, 120.0, 89.0], 4),
        ([89.0, 1e300, 80.0], 3),
        ([150.0, 150.0, 150.0], None),
        ([80.0, 80.0], None),
        ([], None),
    ],
)
def test_to_a_perplexity(language_run: RunOf, perplexities: list[float | None], round_reached: int | None) -> None:
    traces = load(language_run("a", perplexities))
    assert traces.quality == PERPLEXITY
    got = [tradeoff.to_target(traces.rounds, 90.0, q, traces.quality) for q in ("uplink_bits", "t_end_s")]
    np.testing.assert_equal(got, [math.nan] * 2 if round_reached is None else [1e6 * round_reached, 2 * round_reached])


def test_perplexity_is_the_exponential_of_the_loss(language_run: RunOf, synthetic: SimpleNamespace) -> None:
    values = [148.0, 88.9, 1.0]
    rounds = load(language_run("a", [*values, None])).rounds
    np.testing.assert_allclose(tradeoff.measured(rounds, PERPLEXITY), [*values, np.nan], rtol=ROUNDING)
    for value, row in zip(values, rounds.to_dict("records"), strict=False):
        assert PERPLEXITY.of(row) == pytest.approx(value, rel=ROUNDING)
    assert PERPLEXITY.of({"loss": None}) is None and PERPLEXITY.of({"loss": math.nan}) is not None
    assert PERPLEXITY.of({"loss": LARGEST_LOSS}) == math.inf
    assert tradeoff.measured(rounds.assign(loss=1e4), PERPLEXITY).tolist() == [math.inf] * 4
    assert ACCURACY.of({"accuracy": 0.5, "loss": 3.0}) == 0.5


def test_tables_and_curves_follow_the_measure(language_run: RunOf) -> None:
    language_run("a", [150.0, 120.0, 95.0, 89.0, 80.0], targets=[90, 130], arm_index=0)
    directory = language_run("b", [150.0, 149.0, 148.0], targets=[90, 130], arm_index=1)
    traces = load(directory.parent)
    table = tradeoff.summary(traces).set_index("arm")
    assert "accuracy" not in table
    assert table["perplexity"].tolist() == pytest.approx([89.0, 149.0], rel=ROUNDING)
    assert table["time_to_90_s"].iloc[0] == 10.0 and table["time_to_130_s"].iloc[0] == 6.0
    assert table[["time_to_90_s", "uplink_to_130_mbit"]].loc["b"].isna().all()
    curve = tradeoff.curves(traces, "t_end_s").query("arm == 'b'")
    assert curve["mean"].tolist() == pytest.approx([150.0, 149.0, 148.0], rel=ROUNDING)
    at = tradeoff.at_equal(traces, "t_end_s", 6.0).set_index("arm")
    assert at["perplexity"].tolist() == pytest.approx([95.0, 148.0], rel=ROUNDING)
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(arms_table(traces))
    text = console.export_text()
    assert "perplexity" in text and "lower is better" in text and "accuracy" not in text


def words(figure: Figure) -> set[str]:
    return {text.get_text() for axes in figure.axes for text in (*axes.texts, axes.yaxis.label, axes.title)}


def test_pictures_of_perplexity(language_run: RunOf, synthetic: SimpleNamespace) -> None:
    language_run("a", [150.0, 120.0, 89.0], targets=[90])
    directory = language_run("b", [1500.0, 140.0, 130.0], arm_index=1)
    synthetic.write_fleet(directory.parent, arm="network", clients=2, rounds=1, quality=None)
    figure = plots.accuracy_against(load(directory.parent), "t_end_s")
    (axes,) = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    np.testing.assert_allclose(lines["a"], [150.0, 120.0, 89.0], rtol=ROUNDING)
    assert axes.get_yscale() == "log"
    assert {"target 90", "perplexity on held-out text\n(lower is better, logarithmic)"} <= words(figure)
    assert figure.get_suptitle() == "Perplexity against simulated time"
    assert "network: no perplexity, without learning" in lines


def test_a_model_that_diverged_leaves_the_picture_readable(language_run: RunOf, synthetic: SimpleNamespace) -> None:
    rounds = (
        (synthetic.blank("rounds", round=i, t_end_s=2.0 * i, uplink_bits=i, accuracy=0.1, loss=loss), [], [])
        for i, loss in enumerate([4.5, 4.4, 1e4], start=1)
    )
    directory = language_run("a", [90.0, 80.0, 75.0])
    about = {"name": "plays", "arm": "b", "seed": 1} | MANIFEST
    synthetic.write_run(directory.parent / "b-seed1", about, rounds)
    traces = load(directory.parent)
    (axes,) = plots.accuracy_against(traces, "t_end_s").axes
    (line,) = [line for line in axes.get_lines() if line.get_label() == "b"]
    assert line.get_ydata().tolist() == pytest.approx([math.exp(4.5), math.exp(4.4)], rel=ROUNDING)
    assert axes.get_yscale() == "linear"
    assert tradeoff.summary_by_arm(traces).loc["b", ("perplexity", "mean")] == pytest.approx(math.exp(4.5))


def test_the_height_of_a_target_stands_at_its_line(language_run: RunOf) -> None:
    """The label beside a logarithmic axis lies at the height of the line that it names."""
    figure = plots.accuracy_against(load(language_run("a", [2000.0, 500.0, 80.0], targets=[200])), "t_end_s")
    (axes,) = figure.axes
    figure.draw_without_rendering()
    (label,) = [text for text in axes.texts if text.get_text() == "target 200"]
    at = axes.transAxes.inverted().transform(axes.transData.transform((1.0, 200.0)))[1]
    assert label.xy[1] == pytest.approx(at)


def test_pictures_are_named_after_the_measure(language_run: RunOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)
    directory = language_run("a", [150.0, 120.0, 89.0])
    files = plots.save_all(load(directory), directory / "plots")
    assert [file.stem for file in files[:6:2]] == ["tradeoff", "perplexity-bits", "perplexity-time"]


def test_an_old_manifest_means_accuracy_and_measures_do_not_mix(
    language_run: RunOf, run_of: RunOf, synthetic: SimpleNamespace, tmp_path: Path
) -> None:
    old = run_of("old", 1, [0.5, 0.6])
    assert "quality" not in json.loads((old / "manifest.json").read_text())
    assert load(old).quality == ACCURACY
    language_run("new", [150.0])
    both = load(tmp_path / "*")
    says = r"judged by different measures, load them apart \(accuracy: simple/old; perplexity: plays/new\)"
    with pytest.raises(TraceError, match=says):
        tradeoff.summary(both)
    assert both.select("plays/new").quality == PERPLEXITY


def test_an_unknown_measure_is_refused(language_run: RunOf) -> None:
    with pytest.raises(TraceError, match=r"quality\.metric is 'bleu'; this version knows accuracy, perplexity"):
        load(language_run("a", [2.0], quality={"metric": "bleu", "better": "higher"}))


@pytest.fixture
def plays(monkeypatch: pytest.MonkeyPatch) -> None:
    """``test:plays``, which is a language task, and ``test:read``, which is read to know what it is."""
    plays = type("Plays", (WordNet10,), {"task": "language"})
    unread = type("Read", (WordNet10,), {"task": property(lambda self: pytest.fail("the data set is read"))})
    monkeypatch.setattr(data, "DATA_SETS", {**data.DATA_SETS, "test:plays": plays, "test:read": unread})


def scenario(name: str, targets: str = "[]", method: str = "fedavg") -> Cell:
    text = SCENARIO.replace("NAME", name).replace("TARGETS", targets).replace("METHOD", method)
    return parse(text, "s.yaml").cells[0]


@pytest.mark.usefixtures("plays")
@pytest.mark.parametrize(
    ("name", "targets", "says"),
    [
        ("builtin:wordnet10", "[0.6, 90]", "targets.1: must be above 0 and below 1: it is an accuracy; got 90"),
        ("builtin:wordnet10", "[1]", "learning.targets.0: must be above 0 and below 1: it is an accuracy; got 1"),
        ("test:plays", "[90, 60 %]", "learning.targets.1: must be above 1: it is a perplexity, as learning.data is a "
         "language task; got 0.6"),
        ("test:plays", "[1]", "learning.targets.0: must be above 1"),
    ],
)  # fmt: skip
def test_targets_that_the_measure_cannot_take(name: str, targets: str, says: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario(name, targets)
    (problem,) = caught.value.args
    assert says in str(problem)
    assert str(problem).startswith("s.yaml:6:")


@pytest.mark.usefixtures("plays")
def test_a_scenario_is_judged_by_what_its_task_is() -> None:
    row = {"t_end_s": 3.0, "uplink_bits": 2e6, "accuracy": 0.25, "loss": math.log(88.94), "delivered": 3, "dropped": 1}
    cases = {
        ("builtin:wordnet10", "[0.7]", "fedavg"): (ACCURACY, "accuracy 0.250"),
        ("test:plays", "[90]", "fedavg"): (PERPLEXITY, "perplexity 88.94"),
        ("test:plays", "[90]", "none, payload: 4 Mbit"): (None, "3 delivered, 1 dropped"),
        ("csv:nobody-knows", "[0.7]", "fedavg"): (ACCURACY, "accuracy 0.250"),
        ("test:read", "[0.7]", "fedavg"): (ACCURACY, "accuracy 0.250"),
    }
    for (name, targets, method), (quality, says) in cases.items():
        cell = scenario(name, targets, method)
        assert quality_of(cell.scenario) == quality
        said: list[str] = []
        Lines([cell], said.append).report(cell, row | {"round": 1})
        assert said[0].endswith(f"  {says}")
