"""What another kind in an arm, or on the command line, leaves behind: told where it differs, not where it is meant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from typer.testing import CliRunner

import wfl_sim
from channels.describe import options_of
from channels.options import option_name
from wfl_sim import forgotten
from wfl_sim.cli import app
from wfl_sim.codecs.dense import Dense
from wfl_sim.nouns import NOUNS
from wfl_sim.scenario import parse

FILE = """\
schema_version: 1
name: forgetful
rounds: 2
channel: {path_loss: {kind: uma}, fading: {kind: rayleigh, doppler: 5 Hz}}
clients: {count: 4, placement: {kind: disc, from: 35 m, to: 300 m}, compute: {time: 400 ms}}
method: {kind: soft, rank: 16, alpha: 8, adapt: [query, key], orthogonality: 0.01}
codec: {kind: components, bits: 16, error_feedback: 50 %}
schedule: {kind: tsfa, latency_budget: 900 ms, kept_fraction_min: 5 %}
arms:
  as-it-is: {}
"""


def told(*arms: str, overrides: tuple[str, ...] = ()) -> list[str]:
    return forgotten.notes(parse(FILE + "".join(f"  {arm}\n" for arm in arms), overrides=overrides))


def test_each_option_that_falls_back_is_named_with_both_values() -> None:
    (method,) = told("other: {method: {kind: fedavg}}")
    assert method.startswith("method.kind fedavg begins from defaults, without what the file says for soft: ")
    assert "rank is 8 and not 16" in method and "adapt is [query, value] and not [query, key]" in method
    assert method.endswith("(other)")
    (codec,) = told("other: {codec: {kind: rotated}}")
    assert "bits is 8 and not 16, error_feedback is 1 and not 0.5;" in codec


def test_alike_arms_share_a_note() -> None:
    (note,) = told(
        "one: {method: {kind: fedex}}", "two: {method: {kind: fedavg}}", "three: {rounds: 3, method: {kind: fedavg}}"
    )
    assert note.startswith("method.kind fedex, fedavg begins") and note.endswith("(one, two, three)")


@pytest.mark.parametrize(
    "arm",
    [
        "{rounds: 3}",
        "{method: {rank: 4}}",  # the same kind: nothing is dropped
        "{method: {kind: soft, rank: 4}}",
        "{method: {kind: fedavg, rank: 4, alpha: 8, adapt: [value]}}",  # all stated anew
        "{method: {kind: head_only}}",  # has none of the options
        "{codec: {kind: topk, error_feedback: 0}}",  # bits have the same default
        "{codec: {kind: dense}}",  # leaves nothing out that could wait
        "{schedule: {kind: equal}}",
    ],
)
def test_what_stays_or_is_stated_anew_is_not_told(arm: str) -> None:
    assert told(f"other: {arm}") == []


def test_a_kind_below_a_section_and_one_on_the_command_line_are_told_too() -> None:
    (note,) = told("other: {channel: {fading: {kind: rician, k: 3 dB}}}")
    assert note.startswith("channel.fading.kind rician begins") and "doppler is null and not 5 Hz" in note
    (note,) = told(overrides=("codec.kind=topk",))
    assert "error_feedback is 0 and not 0.5" in note and note.endswith("stay")  # in every arm
    assert told(overrides=("codec.kind=topk", "codec.error_feedback=0.1")) == []


GRID = FILE.partition("arms:")[0] + "grid: {codec.kind: [components, topk], rounds: [2, 3]}\n"


def test_points_of_a_grid_are_told_as_arms_are() -> None:
    (note,) = forgotten.notes(parse(GRID))
    assert note.startswith("codec.kind topk begins from defaults, without what the file says for components: ")
    assert "error_feedback is 0 and not 0.5; repeat in the grid, as axes of one value, what should stay" in note
    assert note.endswith("(soft-codec=topk-rounds=2, soft-codec=topk-rounds=3)")
    said = GRID.replace("topk]", "topk], codec.error_feedback: [50 %]")
    assert forgotten.notes(parse(said)) == []  # what the note advises helps


def test_an_arm_whose_points_agree_goes_by_its_name_and_of_many_points_some_are_named() -> None:
    arms = "arms:\n  one: {}\n  all: {codec: {kind: topk}, clients: {count: 5}}\n"
    (note,) = forgotten.notes(parse(GRID.replace("codec.kind: [components, topk], ", "") + arms))
    assert note.endswith("repeat in the arm what should stay (all)")
    (note,) = forgotten.notes(parse(GRID.replace("[2, 3]", "[2, 3, 4, 5, 6, 7, 8]")))
    assert note.endswith("soft-codec=topk-rounds=7 and 1 more)")


def test_all_points_that_leave_the_same_behind_need_no_names() -> None:
    (note,) = forgotten.notes(parse(GRID, overrides=("codec.kind=topk,dense", "codec.bits=32")))
    assert note.endswith("repeat on the command line what should stay (soft-codec=topk-rounds=2, "
                         "soft-codec=topk-rounds=3)")  # fmt: skip
    (note,) = forgotten.notes(parse(GRID.replace("[components, topk]", "[topk]")))
    assert note.endswith("what should stay")


@dataclass(frozen=True)
class Sparing(Dense):
    """Derived from dense, and yet it leaves something out."""

    kind: Literal["sparing"] = "sparing"


def test_what_a_kind_does_not_read_is_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    study = parse(FILE + "  other: {codec: {kind: dense}}\n")
    assert forgotten.notes(study) == []
    monkeypatch.setitem(NOUNS["codec"], "dense", Sparing)
    (note,) = forgotten.notes(study)
    assert "error_feedback is 0 and not 0.5" in note


def test_what_kinds_do_not_read_are_options_that_they_have() -> None:
    unread = {cls: names for kinds in NOUNS.values() for cls in kinds.values() if (names := vars(cls).get("unread"))}
    assert Dense in unread
    for cls, names in unread.items():
        assert set(names) <= {option_name(option.field) for option in options_of(cls)}, cls


def test_a_run_says_it_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "forgetful.yaml"
    file.write_text(FILE + "  other: {method: {kind: fedavg}}\n", encoding="utf-8")

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(wfl_sim, "run", interrupted)
    before = ["run", str(file), "--output", str(tmp_path / "runs")]
    assert "note: method.kind fedavg begins from defaults" in CliRunner().invoke(app, before).stderr
    assert "fedavg" not in CliRunner().invoke(app, [*before, "--arm", "as-it-is"]).stderr
