"""Notes of `validate`: each comes where it should, is silent where it should not, and names its arms.

Knows scenarios by overrides of the quickstart; nothing is run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pytest

from wfl_sim import forgotten
from wfl_sim.advice import OPTIMISTIC_SNR_DB, advice
from wfl_sim.codecs.base import Codec
from wfl_sim.codecs.dense import Dense
from wfl_sim.estimate import estimate
from wfl_sim.planning import AT_REST
from wfl_sim.protocols.sync import Sync
from wfl_sim.scenario import Study, load

QUICKSTART = Path(__file__).resolve().parents[1] / "scenarios" / "quickstart.yaml"


def notes(*overrides: str) -> list[str]:
    study = load(QUICKSTART, overrides)
    return advice(study, estimate(study))


def test_the_quickstart_needs_none() -> None:
    assert notes() == []


@pytest.mark.parametrize(
    ("overrides", "says", "arms"),
    [
        (
            ("schedule.latency_budget=900 ms", "schedule.v=1000"),
            "longer than the latency budget of 0.9 s",
            "(soft-tsfa, topk-tsfa)",
        ),
        (("schedule.latency_budget=785 ms",), "the latency budget of 0.785 s cannot be met: with", "(topk-tsfa)"),
        (("arms.topk-tsfa.codec={kind: dense}",), "codec dense has one size only", "(topk-tsfa)"),
        (
            ("arms.dense-equal.schedule.payload=300 kbit",),
            "no update is as small as schedule.payload, 300 kbit, in these arms",
            ": 455 kbit (dense-equal)",
        ),
        (
            ("arms.soft-tsfa.method.orthogonality=0", "arms.soft-tsfa.method.penalty=identity"),
            "nothing reads method.penalty",
            "(soft-tsfa)",
        ),
        (
            ("arms.topk-tsfa.codec={kind: dense}", "schedule.surrogate=tail"),
            "codec dense has one size only, so nothing reads schedule.surrogate",
            "(topk-tsfa)",
        ),
        (
            ("arms.dense-equal.method={kind: head_only}", "arms.dense-equal.codec={kind: rotated}"),
            "method head_only has no adapters: codec rotated sends the head whole, as dense does",
            "(dense-equal)",
        ),
        (
            ("arms.head-only.codec={kind: topk, error_feedback: 1}",),
            "method head_only has no adapters: codec topk sends the head whole, as dense does",
            "(head-only)",
        ),
        (
            ("arms.soft-tsfa.schedule={kind: min_max, payload: 5 Mbit}",),
            "schedule.payload, 5 Mbit, is no less than whole updates take, so nothing is left out",
            ": 455 kbit (soft-tsfa)",
        ),
        (("clients.mobility={kind: static}",), "clients stand still, so rayleigh fading never changes", ""),
        (("radio.antenna_gain.base_station=25 dB",), "a mean SNR above 35 dB", ""),
        (("clients.availability={kind: on_off, on: 1 h, off: 3 h}",), "be there; 0.25 of them are in the mean", ""),
        (("clients.churn={stay: 1 h}",), "from the beginning to the end, without clients.churn", ""),
        (
            ("arms.head-only.method={kind: none, payload: 1 Mbit}",),
            "method none learns nothing, so nothing reads learning (head-only)",
            "",
        ),
        (
            ("arms.topk-tsfa.method={kind: none, payload: 1 Mbit}",),
            "has one size only, so the schedule can adapt nothing but bandwidths; state method.kept_fractions",
            "(topk-tsfa)",
        ),
        (
            ("clients.compute.memory=1 GB", "arms.head-only.method={kind: none, payload: 1 Mbit}"),
            "so nothing reads learning, clients.compute.memory",
            "(head-only)",
        ),
        (
            ("clients.compute.memory=1 GB", "arms.head-only.method={kind: none, payload: 1 Mbit}"),
            "clients.compute.memory bounds the cuts of method split alone",
            "(dense-equal, dense-min-max, soft-tsfa, topk-tsfa)",
        ),
        (
            ("clients.compute.classes=[{speed: 2, share: 0.5}, {speed: 1, memory: 1 GB}]",),
            "clients.compute.classes.memory bounds the cuts of method split alone",
            "whatever its memory",
        ),
        (("radio.uplink.averaging=1 s",), "no scheduler under fdma, so nothing reads radio.uplink.averaging", ""),
        (("radio.uplink={access: ofdma, work_conserving: false}",), "nothing reads radio.uplink.work_conserving", ""),
        (("radio.downlink.scheduler=max_ci",), "a broadcast has no scheduler, so nothing reads radio.downlink", ""),
        (("radio.downlink={access: unicast, coverage: 90 %}",), "so nothing reads radio.downlink.coverage", ""),
        (
            ("radio={uplink: {access: ofdma}, downlink: {access: unicast}}",),
            "radio.uplink.access ofdma and radio.downlink.access unicast: planned with an equal share",
            "",
        ),
    ],
)
def test_what_is_seldom_meant_is_noted_with_its_arms(overrides: tuple[str, ...], says: str, arms: str) -> None:
    found = [note for note in notes(*overrides) if says in note]
    assert len(found) == 1
    assert found[0].endswith(arms)


ONE_SIZE = ("arms.topk-tsfa.codec={kind: dense}", "arms.soft-tsfa.schedule={kind: equal}")  # topk-tsfa alone has TSFA


@pytest.mark.parametrize(
    ("overrides", "untrue"),
    [
        (("codec.kind=topk",), "sends the head whole"),  # for all arms: the head is what head-only is about
        ((*ONE_SIZE, "schedule.surrogate=tail"), "measures no errors"),
        ((*ONE_SIZE, "schedule.latency_budget=600 ms"), "kept_fraction_min"),
        ((*ONE_SIZE, "schedule.latency_budget=600 ms"), "schedule.v"),
        (
            ("arms.soft-tsfa.schedule={kind: tsfa, latency_budget: 1.2 s}", "schedule.payload=5 Mbit"),
            "schedule.payload",
        ),
    ],
)
def test_no_note_is_untrue_of_updates_of_one_size(overrides: tuple[str, ...], untrue: str) -> None:
    assert not [note for note in notes(*overrides) if untrue in note]


@dataclass(frozen=True)
class Sign(Dense):
    """A plug-in of one size that is not called dense."""

    kind: Literal["sign"] = "sign"


def test_a_codec_has_one_size_where_its_menu_has_one_point_whatever_its_name() -> None:
    def told(codec: Codec, *overrides: str) -> list[str]:
        study = load(QUICKSTART, overrides)
        cells = tuple(
            replace(cell, scenario=replace(cell.scenario, codec=codec)) if cell.arm == "topk-tsfa" else cell
            for cell in study.cells
        )
        return advice(study := replace(study, cells=cells), estimate(study))

    sign = told(Sign(), "schedule.latency_budget=600 ms", "schedule.surrogate=tail")
    dense = told(Dense(), "schedule.latency_budget=600 ms", "schedule.surrogate=tail")
    assert sign == [note.replace("codec dense", "codec sign") for note in dense] != dense
    (rank_one,) = [
        note
        for note in notes("arms.soft-tsfa.method.rank=1", "arms.soft-tsfa.codec.scope=per_layer")
        if note.startswith("codec components has one size only")
    ]
    assert rank_one.endswith("(soft-tsfa)")


def test_a_plan_that_is_taken_to_be_at_rest_is_not_over_its_budget() -> None:
    study = load(QUICKSTART)
    costs = estimate(study)
    budget_s = study.cells[-1].scenario.schedule.latency_budget
    for over, told in ((1 + 0.9 * AT_REST, False), (1 + 1.1 * AT_REST, True)):
        rows = tuple(replace(row, round_s=over * budget_s) for row in costs.arms)
        assert any("planned longer" in note for note in advice(study, replace(costs, arms=rows))) is told


def test_a_narrow_band_that_a_schedule_grants_says_nothing_of_powers() -> None:
    """Power is spread over the band granted, so a twentieth of an even share has an SNR 13 dB higher."""
    study = load(QUICKSTART)
    costs = estimate(study)
    rows = []
    for row in costs.arms:
        narrow = replace(row.median, bandwidth_hz=row.median.bandwidth_hz / 20, snr_db=row.median.snr_db + 13.01)
        rows.append(replace(row, median=narrow))
    assert max(row.median.snr_db for row in rows) > OPTIMISTIC_SNR_DB
    assert advice(study, replace(costs, arms=tuple(rows))) == []


def test_updates_above_a_payload_are_listed_by_their_size_in_one_note() -> None:
    own = ("arms.soft-tsfa.codec={kind: dense, bits: 8}", "arms.soft-tsfa.schedule={kind: equal, payload: 100 kbit}")
    (found,) = [note for note in notes(*own, "schedule.payload=100 kbit") if "no update is as small" in note]
    assert "455 kbit (dense-equal, dense-min-max); " in found and found.endswith(" (soft-tsfa)")
    assert "head-only" not in found


@pytest.mark.parametrize(
    ("payload", "arms"), [("300 kbit", ""), ("500 kbit", "soft-tsfa, topk-tsfa"), ("240 kbit", "")]
)
def test_a_payload_just_above_one_update_is_told_if_it_limits_no_other(payload: str, arms: str) -> None:
    schedule = f"{{kind: equal, payload: {payload}}}"  # whole updates: 455 kbit, and of rotated 231 kbit
    own = (f"arms.soft-tsfa.schedule={schedule}", f"arms.topk-tsfa.schedule={schedule}")
    found = [note for note in notes(*own, "arms.soft-tsfa.codec={kind: rotated}") if "nothing is left out" in note]
    assert len(found) == bool(arms) and all(arm in note for note in found for arm in filter(None, arms.split(", ")))


@pytest.mark.parametrize("path", sorted(QUICKSTART.parent.glob("*.yaml")), ids=lambda path: path.stem)
def test_no_shipped_scenario_forgets_an_option_unsaid(path: Path) -> None:
    assert forgotten.notes(load(path)) == []


def test_a_path_loss_outside_its_range_is_noted() -> None:
    far = ("clients.placement={kind: line, from: 100 m, to: 9 km}", "channel.path_loss={kind: uma}")
    (found,) = [note for note in notes(*far) if "is stated for" in note]
    assert "further, up to 9" in found and not found.endswith(")")
    carrier = ("channel.path_loss={kind: okumura_hata}", "clients.placement={kind: line, from: 1.2 km, to: 2 km}")
    assert [note for note in notes(*carrier) if "the carrier is 3.5 GHz" in note]


@pytest.mark.parametrize(
    "overrides",
    [
        ("clients.mobility={kind: static}", "channel.fading.doppler=3 Hz"),
        ("clients.mobility={kind: static}", "channel.fading={kind: none}"),
        ("clients.mobility={kind: static}", "channel.fading={kind: block, block: 1 s}"),
    ],
)
def test_still_clients_on_a_channel_that_moves_are_fine(overrides: tuple[str, ...]) -> None:
    assert not [note for note in notes(*overrides) if "stand still" in note]


def test_ten_thousand_clients_without_learning_need_no_note() -> None:
    study = load(QUICKSTART.with_name("capacity_10k.yaml"))
    assert advice(study, estimate(study)) == []


class Paced(Sync):
    """Rounds with options that the protocols which have them keep elsewhere."""

    deadline_s, buffer = None, None


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("deadline_s", 1.0, "of the uploads are planned to end after the deadline of 1 s"),
        ("buffer", 4, "4 arrivals count as one: planned as a steady state of 8 clients"),
    ],
)
def test_what_a_protocol_makes_of_the_plan_is_noted(
    monkeypatch: pytest.MonkeyPatch, option: str, value: float, says: str
) -> None:
    monkeypatch.setattr(Paced, option, value)
    study = load(QUICKSTART)
    cells = [replace(cell, scenario=replace(cell.scenario, protocol=Paced())) for cell in study.cells[:2]]
    changed = Study(study.name, tuple(cells))
    assert len([note for note in advice(changed, estimate(changed)) if says in note]) == 1
