"""Who has written a value: told by its place, in the order in which values count, and under the key written."""

from __future__ import annotations

import pytest

from wfl_sim.errors import ScenarioError
from wfl_sim.places import Standing
from wfl_sim.scenario import parse

FILE = """\
schema_version: 1
name: placed
rounds: 2
channel: {path_loss: {kind: uma}}
clients: {count: 4, placement: {kind: disc, from: 35 m, to: 300 m}, compute: {time: 400 ms}}
method: {kind: soft, rank: 16}
codec: {kind: components}
"""
ARMS = "arms:\n  x: {}\n  y: {rounds: 3, codec: {kind: rotated}}\n"
GRID = "grid: {codec.kind: [topk]}\n"
# What the file has more, the command line, who has written the codec of arm y, and what a clash there is called.
WAYS = [
    ("", (), Standing.FILE, "codec"),
    (ARMS, (), Standing.ARM, "arms.y.codec"),
    (ARMS, ("arms.y={codec: {kind: rotated}, rounds: 3}",), Standing.ARM, "arms.y.codec"),
    (ARMS + GRID, (), Standing.GRID, "grid.codec.kind"),
    (ARMS + GRID, ("codec.kind=rotated",), Standing.LINE, "codec.kind"),
    (ARMS, ("codec.kind=rotated,components",), Standing.LINE, "codec.kind"),
    (ARMS + GRID, ("arms.y.codec.kind=rotated",), Standing.LINE_FOR_ARM, "arms.y.codec.kind"),
]


@pytest.mark.parametrize(("more", "line", "standing", "called"), WAYS)
def test_a_place_tells_who_has_written_and_as_what(
    more: str, line: tuple[str, ...], standing: Standing, called: str
) -> None:
    study = parse(FILE + more, overrides=line)
    locate = next(place for arm, place in study.locators.items() if not more or arm.startswith("y"))
    assert locate.standing(("codec", "kind")) == standing
    assert locate.of_arm(("codec", "kind")) is (called.startswith("arms.y"))
    assert locate.problem(("codec", "kind"), "").key.startswith(called)


def test_what_is_laid_over_something_else_stands_behind_it() -> None:
    assert [way[2] for way in WAYS] == sorted(way[2] for way in WAYS)
    assert {way[2] for way in WAYS} == set(Standing)


def test_of_an_arm_and_a_grid_that_clash_the_value_of_the_grid_is_pointed_to() -> None:
    text = (
        FILE + "arms:\n  x: {}\n  y: {method: {kind: ffa}, codec: {kind: dense}}\ngrid: {codec.kind: [topk, rotated]}\n"
    )
    with pytest.raises(ScenarioError) as told:
        parse(text)
    (problem,) = told.value.args
    line = text.splitlines()[problem.line - 1]
    assert line.startswith("grid:") and line[problem.column - 1 :].startswith("rotated")
