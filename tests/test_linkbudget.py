"""The link budget of a scenario: the textbook column, what fits before a deadline, and the command's answers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import simpy
from typer.testing import CliRunner

from analysis.budget import link_budget_figure, steps
from channels.pathloss import UMa
from channels.streams import Stream
from wfl_sim.cli import app
from wfl_sim.contracts import Air
from wfl_sim.engine import build_medium
from wfl_sim.errors import ScenarioError
from wfl_sim.linkbudget import SHARE, Report, dense_sizes, report
from wfl_sim.scenario import Study, load
from wfl_sim.updatesizes import by_group, work_of

ROOT = Path(__file__).resolve().parents[1]
QUICKSTART = str(ROOT / "scenarios/quickstart.yaml")
PUSCH = str(ROOT / "scenarios/lte-pusch.yaml")
TABLE_DB = 0.1

Ask = Callable[..., Report]


def study(*overrides: str, path: str = QUICKSTART) -> Study:
    return load(path, overrides)


def ask(*overrides: str, path: str = QUICKSTART, arm: str | None = None, at: list[float] | None = None) -> Report:
    return report(study(*overrides, path=path), arm, at)


def command(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["linkbudget", *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_the_shipped_scenario_has_the_textbook_column() -> None:
    """C. Johnson, LTE in Bullets, table 343, 500 kbit/s."""
    code, out, _ = command(PUSCH, "--format", "csv", "--show", "budget")
    rows = {row["name"]: float(row["uplink"]) for row in csv.DictReader(out.splitlines())}
    expected = {
        "EIRP, data": 23.0, "effective noise power": -112.4 + 2.5 + 2.0, "required SNR": 0.5,
        "receiver sensitivity": -107.4, "receive antenna gain": 18.0, "shadow and fading margin": 9.0,
        "macro-diversity gain": 2.5, "penetration loss": 18.0, "required isotropic power": -100.9,
        "available path loss (MAPL)": 123.9,
    }  # fmt: skip
    assert code == 0
    assert {name: rows[name] for name in expected} == pytest.approx(expected, abs=TABLE_DB)


def test_the_loss_at_the_range_is_the_allowed_one() -> None:
    found = ask()
    for direction, budget in found.budgets.items():
        loss = UMa(line_of_sight="never").path_loss_db(found.reaches[direction].range_m, 3.5e9)
        assert loss == pytest.approx(budget.mapl_db, abs=1e-6)


def test_a_client_at_the_range_has_the_required_snr_and_rate() -> None:
    reach = ask().reaches["uplink"]
    there = ask(at=[reach.range_m])
    assert there.updates.snr_db[0] == pytest.approx(there.budgets["uplink"].required_snr_db, abs=1e-6)
    assert there.updates.rate_bps[0] == pytest.approx(reach.rate_bps, rel=1e-6)
    left_s = there.deadline_s - there.compute_s - there.latency_s
    assert there.updates.upload_s[0] == pytest.approx(SHARE["uplink"] * left_s, rel=1e-6)


def test_area_reliability_asks_for_less_than_that_of_the_edge() -> None:
    edge, area = ask(), ask("link_budget.of=area")
    assert area.budgets["uplink"].shadow_margin_db < edge.budgets["uplink"].shadow_margin_db
    assert area.reaches["uplink"].range_m > edge.reaches["uplink"].range_m
    np.testing.assert_allclose(area.updates.snr_db, edge.updates.snr_db)  # each client has a place of its own


@pytest.mark.parametrize("arm", ["dense-equal", "soft-tsfa", "topk-tsfa"])
def test_rank_and_kept_fraction_are_the_largest_that_fit(arm: str) -> None:
    """By the wire bits of the codec's own menu and of each rank, against the capacity before the deadline."""
    found = ask("link_budget.deadline=1.3 s", arm=arm)
    scenario = next(cell.scenario for cell in study().cells if cell.arm == arm)
    air = Air(360e3, None, packet_bits=12_000.0, header_bits=320.0)  # type: ignore[arg-type]
    capacity = found.updates.rate_bps * found.updates.air_s
    sizes = [0.0, *(air.wire_bits(bits) for bits in dense_sizes(scenario, 64)), np.inf]
    assert found.updates.rank is not None
    for rank, room in zip(found.updates.rank.astype(int), capacity, strict=True):
        assert sizes[rank] <= room < sizes[rank + 1]
    assert len(set(found.updates.kept_fraction)) > 1 or arm == "dense-equal"
    assert (np.diff(found.updates.kept_fraction[np.argsort(found.updates.snr_db)]) >= 0).all()


def test_head_only_has_no_rank() -> None:
    assert ask(arm="head-only").updates.rank is None
    assert ask().arm == "dense-equal"


def test_payload_is_the_inverse_of_wire_bits() -> None:
    air = Air(1e6, None, packet_bits=12_000.0, header_bits=320.0)  # type: ignore[arg-type]
    payloads = np.array([1, 100, 11_679, 11_680, 11_681, 23_360, 500_000])
    wire = np.array([air.wire_bits(int(bits)) for bits in payloads])
    np.testing.assert_array_equal(air.payload_bits(wire), payloads)
    np.testing.assert_array_equal(air.payload_bits(wire - 1.0), payloads - 1)
    assert air.payload_bits(np.array([0.0, 300.0])).tolist() == [0.0, 0.0]


def test_energy_is_power_times_air_time() -> None:
    found = ask()
    draw_w = 10 ** (23 / 10 - 3) / 0.35 + 0.1
    np.testing.assert_allclose(found.updates.energy_j, draw_w * found.updates.upload_s)


def test_a_deadline_that_computing_takes_leaves_nothing() -> None:
    found = ask("link_budget.deadline=0.43 s", at=[100.0, 3000.0])
    assert found.updates.air_s[1] == 0.0 and found.updates.bits[1] == 0.0 and found.updates.kept_fraction[1] == 0.0
    assert np.isfinite(found.updates.snr_db).all()


def test_walls_of_clients_are_those_that_were_drawn() -> None:
    inside = ask("channel.penetration={kind: o2i, indoor_share: 0.5}")
    outside = ask()
    wall = inside.updates.path_loss_db - outside.updates.path_loss_db
    assert (wall == 0.0).any() and (wall > 5.0).any()
    assert inside.budgets["uplink"].penetration_db == pytest.approx(12.6975 + 0.5 * 25 / 3, abs=1e-3)
    assert inside.budgets["uplink"].shadow_std_db > outside.budgets["uplink"].shadow_std_db
    stated = ask("channel.penetration={kind: o2i, indoor_share: 0.5}", "link_budget.penetration=10 dB")
    np.testing.assert_allclose(stated.updates.path_loss_db, outside.updates.path_loss_db + 10.0)


def test_terms_of_a_direction_reach_its_budget() -> None:
    base, changed = ask(), ask("link_budget.uplink.tx_loss=3 dB", "link_budget.uplink.rx_array_gain=2 dB")
    assert changed.budgets["uplink"].mapl_db == pytest.approx(base.budgets["uplink"].mapl_db - 1.0)
    assert changed.budgets["downlink"] == base.budgets["downlink"]
    np.testing.assert_allclose(changed.updates.snr_db, base.updates.snr_db - 1.0)


def test_a_stated_rate_sets_the_required_snr() -> None:
    found = ask("link_budget.uplink.rate=50 kbit/s")
    assert found.reaches["uplink"].rate_bps == pytest.approx(50e3, rel=1e-9)


def test_a_rate_beyond_any_snr_is_located() -> None:
    code, out, _ = command(QUICKSTART, "link_budget.uplink.rate=1 Tbit/s".replace("1 T", "1000 G"), "--format", "json")
    problem = json.loads(out)["problems"][0]
    assert code == 2
    assert problem["key"] == "link_budget.uplink.rate"
    assert problem["message"] == "cannot be carried in 36 kHz at any SNR; got 1e+12 bit/s"
    with pytest.raises(ScenarioError, match="cannot be carried"):
        ask("link_budget.uplink.rate=1000 Gbit/s")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("link_budget.deadline=0 s", "must be above 0 s"),
        ("link_budget.deadline=300 ms", "must be above 420 ms"),
        ("link_budget.reliability=100 %", "must be above 0 and below 1; got 100 %"),
        ("link_budget.uplink.tx_loss=-1 dB", "must be at least 0 dB"),
        ("link_budget.of=corner", "edge"),
    ],
)
def test_wrong_keys_are_located(override: str, message: str) -> None:
    code, out, _ = command(QUICKSTART, override, "--format", "json")
    assert (code, json.loads(out)["problems"][0]["key"]) == (2, override.partition("=")[0])
    with pytest.raises(ScenarioError, match=override.partition("=")[0]) as caught:
        ask(override)
    assert message in str(caught.value)


def test_the_tables_for_people() -> None:
    code, out, _ = command(QUICKSTART, "link_budget.deadline=2 s")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "Link budget of quickstart, arm dense-equal, seed 1"
    assert "reliability 0.95 at the edge of the cell; deadline 2 s" in lines[1]
    assert max(map(len, lines)) <= 120
    assert sum(line.startswith("29 ") for line in lines) == 1
    clients = [line for line in lines if line[:1].isdigit() and "kbit/s" in line and "rate" not in line]
    assert len(clients) == 10
    assert "nan" not in out and "inf" not in out


def test_of_many_clients_some_are_shown() -> None:
    many = ["clients.count=60", "radio.uplink.bandwidth=2 MHz", "learning.data.partition={kind: iid}"]
    _, out, _ = command(QUICKSTART, *many, "--show", "updates")
    assert "20 of 60 clients, from the strongest link to the weakest; --format csv lists all" in out
    _, out, _ = command(QUICKSTART, *many, "--format", "csv")
    assert len(list(csv.DictReader(out.splitlines()))) == 60


def test_distances_are_read_with_or_without_unit() -> None:
    _, out, _ = command(QUICKSTART, "--at", "100, 1.5 km", "--format", "json", "--show", "updates")
    updates = json.loads(out)["updates"]
    assert [row["distance_m"] for row in updates] == [100.0, 1500.0]
    assert "client" not in updates[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--at", "near"], "needs distances; got 'near'"),
        (["--at", "-5"], "needs distances; got '-5'"),
        (["--at", ""], "needs distances; got ''"),
        (["--arm", "nobody"], "unknown arm"),
        (["--plot", "nowhere/at/all.png"], "no such folder: nowhere/at"),
        (["--plot", "picture.xyz"], "ends in none of .png, .svg, .pdf"),
        (["--plot", "."], "is a folder"),
    ],
)
def test_wrong_arguments_are_told(arguments: list[str], message: str) -> None:
    code, out, _ = command(QUICKSTART, *arguments, "--format", "json")
    assert code == 2
    assert message in json.loads(out)["problems"][0]["message"]


def test_the_nearest_arm_is_told() -> None:
    _, out, _ = command(QUICKSTART, "--arm", "SOFT-", "--format", "json")
    assert json.loads(out)["problems"][0]["near"] == "soft-tsfa"


def test_what_was_drawn_for_a_client_is_known() -> None:
    """With sight by chance each client has the state, and the deviation, that the simulation draws for it."""
    overrides = ("channel.path_loss.line_of_sight=probability", "channel.shadowing={kind: by_sight}")
    updates = ask(*overrides).updates
    medium = build_medium(simpy.Environment(), study(*overrides).cells[0].scenario, Stream.root(1))
    los = medium.links.line_of_sight([0.0])[:, 0]
    assert 0 < los.sum() < los.size
    model = UMa(line_of_sight="probability")
    np.testing.assert_allclose(updates.path_loss_db, model.path_loss_db(updates.distance_m, 3.5e9, los))


def test_each_direction_has_its_own_rate() -> None:
    """Truncated Shannon: at most 2 bit/s/Hz up and 4.4 down; 8 % and 14 % go to pilots, 1 % is lost."""
    found = ask("radio.rate={kind: truncated_shannon}", "channel.fading={kind: none}", at=[36.0])
    assert found.updates.rate_bps[0] == pytest.approx(2.0 * 36e3 * 0.92 * 0.99, rel=1e-6)
    assert found.updates.download_rate_bps[0] == pytest.approx(4.4 * 10e6 * 0.86 * 0.99, rel=1e-6)


def test_what_a_reader_should_know_is_noted() -> None:
    assert ask().notes == ()
    assert ask(path=PUSCH).notes == (
        "uplink: the range: path loss cost231_hata: distance 332.3 m is outside from 1000 m to 20000 m",
    )
    blocks = ask("radio.rate={kind: cqi}").notes
    assert any("without harq packets with them" in note for note in blocks)
    tight = ask("link_budget.deadline=421 ms").notes
    assert any("no SNR carries a whole update in time; row 19 is 30 dB instead" in note for note in tight)
    _, out, _ = command(QUICKSTART, "radio.rate={kind: cqi}")
    assert "note: rate cqi loses blocks" in out


def test_an_unknown_arm_is_an_error_in_python_too() -> None:
    with pytest.raises(ValueError, match="no arm 'x'; there are head-only, dense-equal"):
        ask(arm="x")
    with pytest.raises(ValueError, match="must be finite and at least 0"):
        ask(at=[-1.0])


def test_recorded_links_have_no_budget() -> None:
    with pytest.raises(ScenarioError, match=r"channel.recorded: has no path loss, which a link budget is about"):
        ask(path=str(ROOT / "scenarios/recorded.yaml"))


def test_the_waterfall_adds_up() -> None:
    budget = ask(path=PUSCH).budgets["uplink"]
    chain = steps(budget)
    assert [name for name, _, change in chain if change is None] == [
        "transmit power", "EIRP", "sensitivity", "thermal noise in the band",
    ]  # fmt: skip
    levels = {name: level for name, level, _ in chain}
    assert levels["receive antennas"] == pytest.approx(levels["sensitivity"])
    assert levels["required SNR"] == pytest.approx(levels["sensitivity"])
    for (_, before, _), (_, level, change) in pairwise(chain):
        assert change is None or level == pytest.approx(before + change)


def test_the_picture_shows_every_client_and_the_range(tmp_path: Path) -> None:
    found, curves = ask(), ask(at=np.geomspace(30, 1000, 50).tolist()).updates
    figure = link_budget_figure(found, curves)
    axes = [axis for part in figure.subfigs for axis in part.axes]
    assert [axis.get_ylabel() for axis in axes] == ["", "SNR, dB", "rate, bit/s", "payload, bit"]
    snr = next(line for line in axes[1].lines if line.get_label() == "clients")
    np.testing.assert_array_equal(snr.get_xdata(), found.updates.distance_m)
    code, _, _ = command(QUICKSTART, "--plot", str(tmp_path / "budget.svg"), "--show", "updates")
    assert code == 0 and (tmp_path / "budget.svg").stat().st_size > 10_000


@pytest.mark.parametrize("direction", ["uplink", "downlink"])
def test_a_margin_of_the_radio_and_one_of_the_budget_add_up_in_one_row(direction: str) -> None:
    def rows(*overrides: str) -> dict[str, float]:
        budget = ask(*overrides, f"link_budget.{direction}.required_snr=5 dB").budgets[direction]  # type: ignore[index]
        return {row.name: row.value for row in budget.rows()}

    clear, both = (
        rows(),
        rows(f"radio.{direction}.interference_margin=2 dB", f"link_budget.{direction}.interference_margin=1 dB"),
    )
    alone = rows(f"link_budget.{direction}.interference_margin=3 dB")
    assert both == pytest.approx(alone)
    assert both["noise and interference density"] == pytest.approx(clear["noise and interference density"] + 3.0)
    assert both["available path loss (MAPL)"] == pytest.approx(clear["available path loss (MAPL)"] - 3.0)


def test_without_learning_the_budget_is_that_of_the_payload() -> None:
    found = ask(
        "method={kind: none, payload: 0.3 Mbit, downlink: 0.6 Mbit, kept_fractions: [0.5, 1]}", arm="dense-equal"
    )
    assert found.dense_bits == 300_000 and found.updates.rank is None
    assert set(found.updates.kept_fraction) <= {0.0, 0.5, 1.0}
    (twice,) = (ask("method={kind: none, payload: 0.6 Mbit}", arm="dense-equal"),)
    np.testing.assert_allclose(twice.updates.download_s, found.updates.download_s)
    assert (twice.updates.upload_s > 1.9 * found.updates.upload_s).all()


def test_power_control_and_shared_slots_are_said_to_be_left_out() -> None:
    assert not ask().notes
    assert "every link is at full power" in ask("radio.uplink.power_control={p0: -80 dBm}").notes[0]
    assert "a share of the slots counts as the same share of the band" in ask("radio.uplink.access=tdma").notes[0]


MIXED = str(ROOT / "scenarios/seeds/mixed_backbones.yaml")


def test_the_arm_that_is_taken_if_none_is_asked_for_sends_its_adapters() -> None:
    assert study(path=MIXED).cells[0].arm == "local-only"
    assert ask(path=MIXED).arm == "fedavg-in-groups"


@pytest.mark.parametrize("arm", ["fedavg-in-groups", "h2tune"])
def test_each_group_has_its_own_update(arm: str) -> None:
    """Its size is that of the plans; at one client it takes as long as a budget of that group alone would say."""
    found = ask("clients.count=8", path=MIXED, arm=arm)
    scenario = next(cell.scenario for cell in study(path=MIXED).cells if cell.arm == arm)
    sizes = [menu.points[-1].bits for _, menu, _ in by_group(scenario)]
    assert [(own.name, own.clients, own.dense_bits) for own in found.groups] == [
        (name, clients, bits)
        for (name, clients), bits in zip(
            (("small", range(3)), ("medium", range(3, 6)), ("large", range(6, 8))), sizes, strict=True
        )
    ]
    assert [own.rank for own in found.groups] == [4, 8, 8] and found.dense_bits == max(sizes)
    updates = found.updates
    wire = updates.upload_s * updates.rate_bps  # bits with headers
    assert wire[0] == pytest.approx(wire[2]) and wire[6] == pytest.approx(wire[7]) and wire[0] < wire[6]
    in_time = updates.upload_s <= updates.air_s
    assert [own.in_time for own in found.groups] == [in_time[:3].sum(), in_time[3:6].sum(), in_time[6:].sum()]
    if arm == "h2tune":
        assert updates.rank is None
    else:  # a rank fits where a whole update of it does: of two layers a larger one than of six
        assert updates.rank is not None
        assert ((updates.rank >= [4, 4, 4, 8, 8, 8, 8, 8]) == in_time).all()


@pytest.mark.parametrize("arm", ["fedavg-in-groups", "h2tune"])
def test_a_broadcast_has_what_all_groups_need_and_a_unicast_what_one_does(arm: str) -> None:
    scenario = next(cell.scenario for cell in study(path=MIXED).cells if cell.arm == arm)
    planned, own = work_of(scenario), [bits for _, _, bits in by_group(scenario)]
    air = Air(10e6, None, packet_bits=12_000.0, header_bits=320.0)  # type: ignore[arg-type]

    def brought(*overrides: str, at: list[float] | None = None) -> list[float]:
        """Bits on the air of each client's download."""
        updates = ask(*overrides, path=MIXED, arm=arm, at=at).updates
        return list(updates.download_s * updates.download_rate_bps)

    unicast = "radio.downlink.access=unicast"
    assert brought() == pytest.approx([air.wire_bits(planned.downlink(range(8)).bits)] * 8)
    alone = [air.wire_bits(planned.downlink([client]).bits) for client in range(8)]
    assert brought(unicast) == pytest.approx(alone) and brought(unicast, at=[100.0]) == pytest.approx([max(alone)])
    if arm == "fedavg-in-groups":  # nothing is common to all
        assert alone == [air.wire_bits(own[group]) for group in (0, 0, 0, 1, 1, 1, 2, 2)] and len(set(alone)) == 3
    # Row 19 is for the largest download that is sent.
    there = ask(unicast, path=MIXED, arm=arm)
    left_s = there.deadline_s - there.compute_s - there.latency_s
    assert there.reaches["downlink"].rate_bps == pytest.approx(max(alone) / (SHARE["downlink"] * left_s), rel=1e-6)


def test_groups_stand_in_each_form_of_the_answer() -> None:
    code, out, _ = command(MIXED, "--arm", "fedavg-in-groups", "--format", "csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert code == 0 and [row["group"] for row in rows] == ["small"] * 3 + ["medium"] * 3 + ["large"] * 2
    plain = json.loads(command(MIXED, "--arm", "fedavg-in-groups", "--format", "json")[1])
    assert [(own["name"], own["first_client"], own["clients"]) for own in plain["groups"]] == [
        ("small", 0, 3), ("medium", 3, 3), ("large", 6, 2)
    ]  # fmt: skip
    text = command(MIXED, "--arm", "fedavg-in-groups", "--show", "updates")[1].splitlines()
    start = text.index("Whole updates of each group of clients (learning.groups)")
    assert [line.split()[0] for line in text[start + 1 : start + 5]] == ["group", "small", "medium", "large"]
    at = json.loads(command(MIXED, "--arm", "h2tune", "--at", "100 m", "--format", "json")[1])
    assert [own["in_time"] for own in at["groups"]] == [None] * 3
    assert json.loads(command(QUICKSTART, "--format", "json")[1])["groups"] == []
