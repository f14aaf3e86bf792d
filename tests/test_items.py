"""Items of lists on the command line and in grids: named by number or by name, and told where they are not there."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfl_sim import items, yamlfile
from wfl_sim.errors import ScenarioError
from wfl_sim.scenario import Scenario, Study, one_arm

BASE = (Path(__file__).parent / "small.yaml").read_text(encoding="utf-8")
TEXT = BASE.replace("  adaptive:\n", "  other:\n").replace(
    "[0.5, 60 %]", "[0.5]\n  groups:\n    - {name: small, clients: 1}\n    - {name: large, clients: 3, rank: 2}"
)
PLACE, ARM = "command line: learning.groups", "command line: arms.plain.learning.groups"
Read = Callable[..., Study]


def of(study: Study, arm: str = "plain") -> Scenario:
    return next(cell.scenario for cell in study.cells if cell.arm == arm)


@pytest.mark.parametrize("item", ["1", "large"])
def test_an_item_goes_by_its_number_or_its_name(read: Read, item: str) -> None:
    """What stands beside the key stays; a section that the item had not begins from its defaults."""
    before, after = (
        of(read(TEXT)),
        of(read(TEXT, f"learning.groups.{item}.rank=4", f"learning.groups.{item}.local.lr=0.5")),
    )
    assert [group.rank for group in after.learning.groups] == [None, 4]
    assert after.learning.groups[0] == before.learning.groups[0] and after.learning.groups[1].clients == 3
    local = after.learning.groups[1].local
    assert local is not None and (local.lr, local.steps) == (0.5, 5)
    assert after == of(
        read(TEXT, f"arms.plain.learning.groups.{item}={{name: large, clients: 3, rank: 4, local: {{lr: 0.5}}}}")
    )


def test_an_item_of_one_arm_changes_in_that_arm_alone(read: Read) -> None:
    study = read(TEXT, "arms.plain.learning.groups.large.rank=7")
    assert [of(study, arm).learning.groups[1].rank for arm in ("plain", "other")] == [7, 2]


def test_a_name_is_that_of_the_arms_own_list(read: Read) -> None:
    """Where arms have it at unlike places, only the number says which is meant."""
    swapped = "  plain: {learning: {groups: [{name: large, clients: 3}, {name: small, clients: 1}]}}"
    text = TEXT.replace("  plain: {}", swapped)
    assert of(read(text, "arms.plain.learning.groups.large.rank=7")).learning.groups[0].rank == 7
    both = read(text, "learning.groups.0.rank=7")
    assert [of(both, arm).learning.groups[0].rank for arm in ("plain", "other")] == [7, 7]


def test_other_lists_have_items_too(read: Read) -> None:
    text = TEXT.replace("{time: 400 ms}", "{time: 400 ms, classes: [{speed: 1, share: 0.5}, {speed: 2}]}")
    scenario = of(read(text, "clients.compute.classes.1.speed=4", "learning.targets.0=70 %"))
    assert [one.speed for one in scenario.clients.compute.classes] == [1.0, 4.0]
    assert scenario.learning.targets == (0.7,)


@pytest.mark.parametrize("key", ["learning.groups.1.rank", "learning.groups.large.rank"])
def test_an_item_can_be_an_axis(read: Read, key: str) -> None:
    """Of the command line and of the file alike; the points are called after the key."""
    line, file = read(TEXT, f"{key}=4,8"), read(TEXT.replace("arms:\n", f"grid: {{{key}: [4, 8]}}\narms:\n"))
    ranks = {"plain-rank=4": 4, "plain-rank=8": 8, "other-rank=4": 4, "other-rank=8": 8}
    for study in (line, file):
        assert {cell.arm: cell.scenario.learning.groups[1].rank for cell in study.cells} == ranks
    fixed = read(TEXT.replace("arms:\n", f"grid: {{{key}: [4, 8]}}\narms:\n"), "learning.groups.1.rank=3")
    assert {cell.scenario.learning.groups[1].rank for cell in fixed.cells} == {3}  # by either name


def test_points_over_two_items_are_called_by_both(read: Read) -> None:
    study = read(TEXT, "learning.groups.0.rank=1,2", "learning.groups.large.rank=3,4", "arms={}")
    assert study.cells[0].arm == "fedavg-groups.0.rank=1-groups.1.rank=3"
    assert {tuple(group.rank for group in cell.scenario.learning.groups) for cell in study.cells} == {
        (1, 3), (1, 4), (2, 3), (2, 4),
    }  # fmt: skip


NONE = "is none of the 2 items of the list, whose numbers are 0 to 1 (small, large)"
WRONG = [
    ("learning.groups.2.rank=4", f"{PLACE}.2.rank=4: learning.groups.2: {NONE}"),
    ("learning.groups.lage.rank=4", f"{PLACE}.lage.rank=4: learning.groups.lage: {NONE}; did you mean 'large'?"),
    ("learning.groups.2={name: c}", f"{PLACE}.2={{name: c}}: learning.groups.2: {NONE}"),
    ("arms.plain.learning.groups.5.rank=4", f"{ARM}.5.rank=4: {ARM[14:]}.5: {NONE}"),
    ("learning.groups.7.rank=4,8", f"{PLACE}.7.rank=4,8: learning.groups.7: {NONE}"),
    ("learning.targets.1=0.9", "command line: learning.targets.1=0.9: learning.targets.1: is not the only item of the "
     "list, whose number is 0"),
    ("clients.compute.classes.0.speed=2", "command line: clients.compute.classes.0.speed=2: clients.compute.classes.0: "
     "is not there to be changed, as no list is written; state it as a whole"),
    ("seeds.0=1,2", "command line: seeds.0=1,2: seeds.0: cannot be changed by itself; state the list as a whole"),
    ("learning.groups.1.rank=385", f"{PLACE}.1.rank=385: learning.groups.1.rank: must be at most 384"),
    ("learning.groups.large.rnk=3", f"{PLACE}.large.rnk=3: learning.groups.1.rnk: unknown key; did you mean 'rank'?"),
    ("learning.groups.1.rank=2,x", f"{PLACE}.1.rank=2,x: learning.groups.1.rank: must be a whole number; got 'x'"),
]  # fmt: skip


@pytest.mark.parametrize(("override", "line"), WRONG, ids=[override for override, _ in WRONG])
def test_what_is_wrong_is_told_at_the_override(problems: Callable[..., list[str]], override: str, line: str) -> None:
    found = problems(TEXT, override)
    assert len(found) == 1 and found[0].startswith(line), found


def test_an_axis_beyond_a_list_is_told_in_the_file(problems: Callable[..., list[str]]) -> None:
    found = problems(TEXT.replace("arms:\n", "grid:\n  learning.groups.3.rank: [4, 8]\narms:\n"))
    assert found == [f"s.yaml:26:3: grid.learning.groups.3.rank: {NONE}"]


def test_a_name_that_is_no_number_in_all_arms_asks_for_the_number(problems: Callable[..., list[str]]) -> None:
    """Arms have it at unlike places, or an axis or an override brings it."""
    asked = (
        "is at another place of the list in other arms, or is set by the grid or on the command line; name the item by "
        "its number"
    )
    swapped = "  plain: {learning: {groups: [{name: large, clients: 3}, {name: small, clients: 1}]}}"
    text = TEXT.replace("  plain: {}", swapped)
    assert problems(text, "learning.groups.large.rank=7") == [f"{PLACE}.large.rank=7: learning.groups.large: {asked}"]
    grid = text.replace("arms:\n", "grid:\n  learning.groups.large.rank: [4, 8]\narms:\n")
    assert problems(grid) == [f"s.yaml:26:3: grid.learning.groups.large.rank: {asked}"]
    whole = "learning.groups=[{name: small, clients: 1}, {name: large, clients: 3}]"
    bare = BASE.replace("  adaptive:\n", "  other:\n")
    for arm in ("arms.plain.", ""):
        found = problems(bare, f"{arm}{whole}", f"{arm}learning.groups.large.rank=7")
        assert found == [f"command line: {arm}learning.groups.large.rank=7: {arm}learning.groups.large: {asked}"]
    renamed = problems(TEXT, "learning.groups.0.name=tiny", "learning.groups.tiny.rank=7")
    assert renamed == [f"{PLACE}.tiny.rank=7: learning.groups.tiny: {asked}"]


def test_one_item_is_one_axis(problems: Callable[..., list[str]]) -> None:
    axes = "  learning.groups.1.rank: [4, 8]\n  learning.groups.large.rank: [2, 3]"
    found = problems(TEXT.replace("arms:\n", f"grid:\n{axes}\narms:\n"))
    assert found == ["s.yaml:27:3: grid.learning.groups.large.rank: is the same key as learning.groups.1.rank"]


def test_one_arm_alone_drops_only_items_that_another_arm_has() -> None:
    """Of a document of which no other arm is looked at; that one's list counts as the command line leaves it."""
    three = "{learning: {groups: [{name: small, clients: 1}, {name: large, clients: 2}, {name: huge, clients: 1}]}}"
    document = yamlfile.read_text(f"{TEXT.partition('  other:')[0]}  other: {three}\n", "s.yaml")

    def ranks(*overrides: str) -> list[int | None]:
        return [group.rank for group in of(one_arm(document, Path(), overrides, "plain")).learning.groups]

    assert ranks() == ranks("learning.groups.2.rank=4") == ranks("learning.groups.huge.rank=4") == [None, 2]
    assert ranks("arms.other.learning.groups.2.rank=4", "learning.groups.1.rank=4") == [None, 4]
    four = "arms.other.learning.groups=[{name: a}, {name: b}, {name: c}, {name: d}]"
    assert ranks(four, "arms.other.learning.groups.3.rank=4") == [None, 2]
    for override, line in WRONG[:5]:
        wrong = override.replace("groups.2", "groups.3")  # what the other arm has
        with pytest.raises(ScenarioError) as caught:
            ranks(wrong)
        assert str(caught.value.args[0]).startswith(line.replace("groups.2", "groups.3")), caught.value
    for override in ("arms.other.learning.groups.3.rank=4", "arms.other.learning.groups.2.rnk=4"):
        with pytest.raises(ScenarioError, match=r"items of the list|did you mean 'rank'"):
            ranks(override)


TREES = st.recursive(
    st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from("abc"), TREES, max_size=3), st.data())
def test_a_value_is_laid_at_its_path_and_nowhere_else(tree: dict[str, object], data: st.DataObject) -> None:
    """Whatever lists and mappings lead there; the tree itself stays as it was."""
    path, at = list[str](), tree
    while isinstance(at, (dict, list)) and len(at):
        part = data.draw(st.sampled_from([str(key) for key in (at if isinstance(at, dict) else range(len(at)))]))
        path.append(part)
        at = items.at(at, (part,))
        if data.draw(st.booleans()):
            break
    if not path:
        return
    before = copy.deepcopy(tree)
    after, origins = yamlfile.laid(tree, {}, tuple(path), "new", ("source",))
    assert tree == before and origins == {tuple(path): ("source",)}
    assert items.at(after, path) == "new"
    back, _ = yamlfile.laid(after, {}, tuple(path), items.at(before, path), ())
    assert back == before
