"""Groups of clients in a scenario: what each is asked to fit, told at the keys that the group states."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wfl_sim import groups, rankfit
from wfl_sim.advice import advice
from wfl_sim.estimate import estimate
from wfl_sim.learning.fetch import named
from wfl_sim.scenario import Study, load, parse

MEMORY = 0.08  # of the peak of a process, which libraries move from version to version by some percent
BASE = (Path(__file__).parent / "small.yaml").read_text(encoding="utf-8").replace("  adaptive:", "  other:")
BASE_WITHOUT = BASE
BASE = BASE.replace("[0.5, 60 %]", "[0.5]\n  groups:\n    - {name: a, clients: 1}\n    - GROUP")


def with_group(text: str) -> str:
    return BASE.replace("GROUP", text)


WRONG = [
    ("{name: b, clients: 2}", ["s.yaml:14:10: clients.count: must be 3, the clients of all learning.groups together; "
     "got 4"]),
    ("{name: a, clients: 3}", ["s.yaml:20:3: learning.groups: need names that differ; got 'a' twice"]),
    ("{name: a.b, clients: 3}", ["s.yaml:22:14: learning.groups.1.name: must be up to 32 of A-Z, a-z, 0-9, '_' and "
     "'-', a letter or digit first; got 'a.b'"]),
    ("{name: b, clients: 3, rnk: 2}", ["s.yaml:22:29: learning.groups.1.rnk: unknown key; did you mean 'rank'?"]),
    ("{name: b}", ["s.yaml:22:7: learning.groups.1.clients: is missing"]),
    ("{name: b, clients: 0}", ["s.yaml:22:26: learning.groups.1.clients: must be at least 1; got 0"]),
    ("{name: b, clients: 3, rank: 385}", ["s.yaml:22:35: learning.groups.1.rank: must be at most 384, the width of the "
     "layers; got 385"]),
    ("{name: b, clients: 3, model: {layers: 7}}", ["s.yaml:22:45: learning.groups.1.model.layers: must be at most 6, "
     "the model's depth; got 7"]),
    ("{name: b, clients: 3, model: {name: nowhere/model}}", ["s.yaml:22:43: learning.groups.1.model.name: model "
     "'nowhere/model' is not there"]),
    ("{name: b, clients: 3, data: {name: 'builtin:wordnet11'}}", ["s.yaml:22:42: learning.groups.1.data.name: "
     "'builtin:wordnet11' is not known; "]),
    ("{name: b, clients: 3, rank: 2, memory: 300 MB}", ["s.yaml:22:35: learning.groups.1.rank: is chosen by memory and "
     "payload: leave it out, or these"]),
    ("{name: b, clients: 3, memory: 40 MB}", ["s.yaml:22:37: learning.groups.1.memory: must be at least 151.625 MB, "
     "what the rank 1 takes; got 40 MB"]),
    ("{name: b, clients: 3, payload: 10 kbit}", ["s.yaml:22:38: learning.groups.1.payload: must be at least "]),
    ("{name: b, clients: 3, data: {train: 2}}", ["s.yaml:14:10: clients.count: must be at most the 2 training "
     "examples; got 3"]),
    ("{name: b, clients: 3, data: {name: 'builtin:shakespeare'}}", ["s.yaml:22:42: learning.groups.1.data.name: is "
     "judged by perplexity, and builtin:wordnet10 of the group a is judged by accuracy: take tasks with one measure; "
     "got builtin:shakespeare"]),
]  # fmt: skip


@pytest.mark.parametrize(("group", "lines"), WRONG, ids=[group for group, _ in WRONG])
def test_what_does_not_fit_a_group_is_told_at_its_keys(
    problems: Callable[..., list[str]], group: str, lines: list[str]
) -> None:
    found = problems(with_group(group))
    assert any(line.startswith(lines[0]) for line in found), found


def test_memory_of_devices_is_told_in_the_bytes_that_were_written(problems: Callable[..., list[str]]) -> None:
    classes = "clients.compute.classes=[{speed: 1, share: 0.5, memory: 10 MB}, {speed: 2, memory: MORE}]"
    lines = [
        next(line for line in problems(BASE_WITHOUT, "method={kind: split}", "protocol={kind: split}",
                                       classes.replace("MORE", more)) if ".memory:" in line)
        for more in ("1 GB", "0.5 B")
    ]  # fmt: skip
    assert "clients.compute.classes.0.memory: must be at least " in lines[0] and lines[0].endswith("; got 10 MB")
    assert "bit" not in lines[0].partition("must be")[2]
    assert lines[1].endswith("clients.compute.classes.1.memory: must be at least 1 B; got 0.5 B")


def test_uniform_weights_of_a_buffer_are_not_for_groups(problems: Callable[..., list[str]]) -> None:
    """Groups are averaged apart: the mean over a buffer of both would overstep in one of them."""
    found = problems(with_group("{name: b, clients: 3}"), "protocol={kind: buffered, buffer: 2}")
    assert any("protocol.weights: must be examples with learning.groups" in line for line in found), found
    for group in ("rank: 1", "memory: 40 MB", "payload: 10 kbit"):
        found = problems(with_group(f"{{name: b, clients: 3, {group}}}"), "method={kind: sa_fedlora}")
        key = group.partition(":")[0]
        assert any(f"learning.groups.1.{key}: is not read: sa_fedlora has ranks of its own" in x for x in found), found


def test_a_rank_cannot_be_chosen_for_groups(problems: Callable[..., list[str]]) -> None:
    found = problems(with_group("{name: b, clients: 3}"), "rank_selection={latency_budget: 1 s}")
    assert "rank_selection: chooses one rank for all clients" in found[0]


def test_a_group_has_what_it_states_and_else_what_all_have(read: Callable[..., Study]) -> None:
    """A section that is stated begins from its defaults; ranks are read by methods that have one."""
    text = with_group("{name: b, clients: 3, rank: 2, local: {steps: 3}}")
    for override, ranks in (("method.rank=8", [8, 2]), ("method={kind: head_only}", [None, None])):
        scenario = read(text, override, "learning.local.lr=0.5", resources=True).cells[0].scenario
        first, second = groups.parts(scenario)
        assert [getattr(part.scenario.method, "rank", None) for part in (first, second)] == ranks
        assert (first.clients, second.clients) == (range(1), range(1, 4))
        assert first.scenario.learning.local.lr == 0.5 and second.scenario.learning.local.lr == 0.01
        assert second.scenario.learning.local.steps == 3 and second.scenario.clients.count == 3
        assert first.sharers == second.sharers == (0, 1, 2, 3)  # of the same data
    assert named(scenario.learning) == ["builtin:wordnet10"]


def test_data_beside_the_scenario_is_found_for_a_group_too(tmp_path: Path, read: Callable[..., Study]) -> None:
    (tmp_path / "texts.csv").write_text("text,label\n" + "".join(f"a {n},x\nb {n},y\n" for n in range(20)))
    group = "{name: b, clients: 3, data: {name: 'csv:texts.csv', train: 20, test: 10, partition: {kind: iid}}}"
    scenario = read(with_group(group), resources=True).cells[0].scenario
    assert scenario.learning.groups[1].data.name == "csv:texts.csv"
    assert [part.sharers for part in groups.parts(scenario)] == [(0,), (1, 2, 3)]


def test_without_groups_the_one_part_is_the_scenario_itself() -> None:
    scenario = parse(BASE.replace("GROUP", "{name: b, clients: 3}"), "s", ["learning.groups=[]"]).cells[0].scenario
    (part,) = groups.parts(scenario)
    assert part.scenario is scenario and part.number is None and part.beside == scenario


@pytest.mark.parametrize("kind", ["fedavg", "h2tune"])
@pytest.mark.parametrize("limit", ["memory", "payload"])
def test_a_rank_that_is_to_fit_is_the_largest_for_which_there_is_room(
    read: Callable[..., Study], kind: str, limit: str
) -> None:
    """Given just what the rank 5 takes it is 5, and with a bit less it is 4; never above the method's."""

    def rank(bits: float) -> int:
        text = with_group(f"{{name: b, clients: 3, {limit}: {bits!r} bit}}")
        scenario = read(text, f"method={{kind: {kind}, rank: 12}}", resources=True).cells[0].scenario
        return groups.parts(scenario)[1].scenario.method.rank

    plain = read(with_group("{name: b, clients: 3}"), f"method={{kind: {kind}, rank: 12}}").cells[0].scenario
    takes = [getattr(rankfit.taken(plain, 1, r), f"{limit}_bits") for r in range(1, 13)]
    assert takes == sorted(takes) and takes[4] < takes[5]
    assert [rank(takes[4]), rank(takes[4] - 1), rank(1e12)] == [5, 4, 12]


@pytest.mark.parametrize("kind", ["fedavg", "h2tune"])
def test_validate_tells_the_ranks_that_fit(read: Callable[..., Study], kind: str) -> None:
    """In units that people write, of groups whose rank is to fit alone; a method without one reads none."""
    plain = read(with_group("{name: b, clients: 3}"), f"method={{kind: {kind}, rank: 12}}").cells[0].scenario
    took = rankfit.taken(plain, 1, 5)
    group = f"{{name: b, clients: 3, memory: {took.memory_bits!r} bit, payload: 4 Mbit}}"
    scenario = read(with_group(group), f"method={{kind: {kind}, rank: 12}}").cells[0].scenario
    megabytes = f"{took.memory_bits / 8e6:.4g} MB"
    note = rankfit.note(scenario)
    assert note is not None
    assert note.startswith(
        f"ranks that fit the clients of learning.groups, at most method.rank, 12: b 5 (training takes {megabytes} of "
    )
    assert note.endswith(" of 4 Mbit)") and note.count("takes") == 2
    assert rankfit.note(plain) is None
    assert rankfit.note(read(with_group(group), "method={kind: head_only}").cells[0].scenario) is None


def test_validate_has_that_among_its_notes(read: Callable[..., Study]) -> None:
    found = read(with_group("{name: b, clients: 3, memory: 200 MB}"), "seeds=1")
    notes = [note for note in advice(found, estimate(found, jobs=1)) if note.startswith("ranks that fit")]
    assert len(notes) == 2 and {note.rpartition("(")[2] for note in notes} == {"plain)", "other)"}  # of ranks 8 and 4


def test_the_shipped_mix_fits_its_models_and_data_and_can_be_planned() -> None:
    """Of the same links, and of updates that the baseline's codec makes twice as large as H2Tune's or more."""
    study = load(Path(__file__).parents[1] / "scenarios" / "seeds" / "mixed_backbones.yaml")
    study.check()
    planned = {row.arm: row for row in estimate(study, jobs=1).arms}
    assert list(planned) == ["local-only", "fedavg-in-groups", "zero-padding", "h2tune"]
    assert planned["local-only"].dense_bits == 8
    assert planned["zero-padding"].dense_bits == planned["fedavg-in-groups"].dense_bits
    assert planned["fedavg-in-groups"].dense_bits > 2 * planned["h2tune"].dense_bits
    for arm, measured_mib in (("fedavg-in-groups", 865.0), ("h2tune", 874.0)):  # peaks of runs of three rounds
        assert planned[arm].memory_mib == pytest.approx(measured_mib, rel=MEMORY)
    assert planned["h2tune"].wall_s > planned["fedavg-in-groups"].wall_s  # two passes over each batch
