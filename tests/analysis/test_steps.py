"""Split training in pictures and tables: steps apart from updates, and the coding of activations in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from rich.console import Console

from analysis import plots
from analysis.activity import activity
from analysis.activityplot import STEPS_SHOWN
from analysis.compare import compare
from analysis.comparetables import conclusion
from analysis.steps import has_steps
from analysis.tables import air_table, arms_table
from analysis.timeline import ADAPTERS_COLOUR
from analysis.traces import Traces, load
from analysis.updates import CODINGS_BITS, Updates, differ, updates
from analysis.uploads import air_summary, upload_durations
from wfl_sim.methods.split import CODINGS

ROUND_S, STEPS = 20.0, 2


def split_rounds(synthetic: SimpleNamespace, rounds: int, kept: float, changed: dict[str, Any] | None = None) -> Any:
    """Rounds of one client and two steps, each of 9 s, in seconds of a step as they are written here.

    Forward from 0 to 1, activations to 3, the server to 5, gradient from 6 to 7, and after 0.5 s of latency backward to
    8.5; the last step ends half a second early. The adapters, from then on, take 1 s. The model came from 0 to 0.5.
    """
    for number in range(rounds):
        start_s = ROUND_S * number
        begun_s = start_s + 1.0

        def sent(direction: str, *times_s: float, number: int = number, **more: Any) -> dict[str, Any]:
            ready_s, first_s, end_s = times_s
            air = {"t_request_s": ready_s, "t_start_s": first_s, "t_end_s": end_s, "air_s": end_s - first_s}
            what = {"packets": 10, "payload_bits": 1_000_000, "delivered_bits": 1_000_000, "outcome": "delivered"}
            return synthetic.blank("transmissions", **(
                what | {"round": number + 1, "direction": direction, "reason": "", "kept_fraction": kept} | air | more
            ))  # fmt: skip

        rows = [sent("down", start_s, start_s, start_s + 0.5, client=-1, kept_fraction=1.0)]
        for step in range(STEPS):
            at_s = begun_s + 9.0 * step
            rows.append(sent("up", at_s + 1, at_s + 1, at_s + 3, step=step + 1.0))
            rows.append(sent("down", at_s + 5, at_s + 6, at_s + 7, step=step + 1.0))
        adapters_s = begun_s + 9.0 + 8.5
        rows.append(sent("up", adapters_s, adapters_s, adapters_s + 1, payload_bits=200_000, delivered_bits=200_000))
        rows[-1] |= changed or {}
        call = synthetic.blank("decisions", round=number + 1, t_s=start_s, action="send", kept_fraction=kept,
                               compute_start_s=begun_s, compute_s=STEPS * 2.0)  # fmt: skip
        yield (
            synthetic.blank("rounds", round=number + 1, t_start_s=start_s, t_end_s=start_s + ROUND_S, delivered=1,
                            accuracy=0.5, kept_fraction_mean=kept, energy_j=1.0 + number, uplink_bits=1 + number),
            rows,
            [call],
        )  # fmt: skip


Split = Callable[..., Traces]


@pytest.fixture
def split(tmp_path: Path, synthetic: SimpleNamespace) -> Split:
    """A study with an arm of split training, and `others` beside it."""

    def write(
        kept: float = 0.5, rounds: int = 1, changed: dict[str, Any] | None = None, others: bool = False
    ) -> Traces:
        manifest = {"name": "s", "arm": "split", "seed": 1, "clients": 1}
        root = tmp_path / "s"
        synthetic.write_run(root / "split-seed1", manifest, split_rounds(synthetic, rounds, kept, changed))
        if others:
            synthetic.write_fleet(root, "fleet", clients=4, rounds=2)
        return load(root)

    return write


def printed(table: object) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(table)
    return " ".join(capture.get().split())


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_round_of_steps_is_drawn_part_by_part(split: Split) -> None:
    traces = split()
    found = activity(traces, [0], 0.0, ROUND_S)
    assert has_steps(traces) and found.ends.empty
    spans = {
        kind: own[["start_s", "end_s"]].to_numpy().tolist()
        for kind, own in found.spans.sort_values("start_s").groupby("kind")
    }
    assert spans == {
        "downlink": [[0.0, 0.5]],
        "forward": [[1.0, 2.0], [10.0, 11.0]],
        "activations": [[2.0, 4.0], [11.0, 13.0]],
        "server": [[4.0, 6.0], [13.0, 15.0]],
        "waiting": [[6.0, 7.0], [15.0, 16.0]],
        "gradient": [[7.0, 8.0], [16.0, 17.0]],
        "backward": [[8.5, 9.5], [17.5, 18.5]],
        "sending": [[18.5, 19.5]],
    }
    assert legend(plots.activity_timeline(traces, "split")) == [
        "receiving its adapters",
        "computing forward",
        "sending activations; height: its air",
        "waiting for the server, and served",
        "receiving the gradient",
        "computing backward",
        "waiting for the air",
        "sending its adapters; height: its air",
        "end of a round",
    ]


def test_adapters_that_are_given_up_have_a_mark(split: Split) -> None:
    traces = split(changed={"outcome": "dropped", "reason": "attempts"})
    (end,) = activity(traces, [0], 0.0, ROUND_S).ends.to_dict("records")
    assert (end["t_s"], end["reason"]) == (19.5, "attempts")


def test_so_many_rounds_are_drawn_as_have_ten_steps(split: Split) -> None:
    (axes,) = plots.activity_timeline(split(rounds=8), "split").axes
    assert axes.get_xlim()[1] == ROUND_S * STEPS_SHOWN / STEPS


def test_uploads_of_adapters_are_told_from_those_of_activations(split: Split) -> None:
    traces = split(rounds=3, others=True)
    rows = upload_durations(traces)
    own = rows[rows["arm"] == "split"]
    assert own.groupby("of")["upload_s"].agg(["size", "mean"]).to_dict() == {
        "size": {"activations": 6, "update": 3},
        "mean": {"activations": 2.0, "update": 1.0},
    }
    assert (rows[rows["arm"] == "fleet"]["of"] == "update").all()
    figure = plots.upload_times(traces)
    assert sorted(legend(figure)) == ["fleet", "split: activations", "split: adapters"]
    left, right = figure.axes
    called = {line.get_label(): line for line in right.get_lines()}
    assert "split: activations" not in called and called["split: adapters"].get_ydata().max() == 100.0
    assert called["split: adapters"].get_xdata().min() == pytest.approx(19.5)  # since the call
    assert {line.get_label(): line.get_xdata()[0] for line in left.get_lines()}["split: activations"] == 2.0


def test_the_table_of_the_air_has_steps_beside_updates(split: Split) -> None:
    traces = split(rounds=3, others=True)
    row = air_summary(traces).set_index("arm").loc["split"]
    assert (row["delivered"], row["never_sent"], row["participation"]) == (3, 0, 1.0)
    assert (row["upload_mean_s"], row["activations_mean_s"], row["gradient_mean_s"]) == (1.0, 2.0, 2.0)
    assert row["steps_lost"] == 0
    assert row["goodput_mbps"] == pytest.approx(3 * 2.2 / (3 * ROUND_S))  # activations too
    other = air_summary(traces).set_index("arm").loc["fleet"]
    assert np.isnan(other[["activations_mean_s", "gradient_p95_s", "steps_lost"]].astype(float)).all()
    assert "activations gradient" in printed(air_table(traces)).replace(" 95 %", "")


def test_without_steps_nothing_is_said_of_them(study: Traces) -> None:
    told = printed(air_table(study)) + printed(arms_table(study))
    assert "activations" not in told and "coding" not in told


@pytest.mark.parametrize(("kept", "bits"), [(0.25, 8.0), (0.5, 16.0), (1.0, 32.0)])
def test_the_kept_fraction_of_split_training_is_told_as_a_coding(split: Split, kept: float, bits: float) -> None:
    traces = split(kept=kept)
    (found,) = updates(traces).values()
    assert found.coding_bits == bits and np.isnan(found.kept) and found.kbit == 2200.0
    table = printed(arms_table(traces))
    assert f" {bits:.1f} " in table and "coding: mean bits a value of split training's" in table and "kept" not in table
    figure = plots.schedule_timeline(traces, "split")
    assert figure.axes[0].get_ylabel() == "bits a value" and figure.axes[0].get_lines()[0].get_ydata()[0] == bits
    assert "coding of activations, bits a value" in [
        axes.get_ylabel() for axes in plots.link_timeline(traces, "split").axes
    ]


@pytest.mark.parametrize(("kept", "bits"), [(0.25, 8), (0.5, 16), (1.0, 32)])
def test_a_coding_has_one_colour_in_all_arms_and_adapters_have_their_own(split: Split, kept: float, bits: int) -> None:
    *rows, scale = plots.link_timeline(split(kept=kept), "split").axes
    (row,) = rows
    thick = [c for c in row.collections if isinstance(c, LineCollection) and c.get_linewidth()[0] == 5]
    (drawn,) = [c.get_colors() for c in thick]
    first, second, adapters = (to_hex(colour) for colour in drawn)
    assert adapters == to_hex(ADAPTERS_COLOUR) != first == second
    assert scale.get_ylim() == (0.0, 1.0)  # of 32 bits, whatever an arm has
    assert [32 * tick for tick in scale.get_yticks()] == list(CODINGS_BITS) == list(CODINGS.values())
    assert [label.get_text() for label in scale.get_yticklabels()] == ["8", "16", "32"]
    shade = matplotlib.colormaps["viridis"](0.85 * (1 - bits / 32))
    assert np.allclose(drawn[0], shade, atol=0.02)  # of 256 shades, taken twice


def test_runs_differ_in_their_coding(split: Split, tmp_path: Path, synthetic: SimpleNamespace) -> None:
    assert not differ([Updates(1.0, 0.5), Updates(1.0, 0.5)])
    assert differ([Updates(1.0, 0.5), Updates(1.0, float("nan"), 16.0)])
    assert differ([Updates(1.0, float("nan"), 8.0), Updates(1.0, float("nan"), 16.0)])
    assert not differ([Updates(1.0, float("nan"), 16.0)] * 2)
    split(kept=0.5)
    manifest = {"name": "t", "arm": "split", "seed": 1, "clients": 1}
    synthetic.write_run(tmp_path / "t" / "split-seed1", manifest, split_rounds(synthetic, 1, 0.25))
    told = conclusion(compare(str(tmp_path / "s"), str(tmp_path / "t"), "time"))
    assert any("A 2200.0 kbit, activations of 16 bits a value; B 2200.0 kbit, activations of 8 bits" in t for t in told)
