"""Notes of `validate`: each comes where it should, is silent where it should not, and names its arms.

Knows scenarios by overrides of the quickstart; nothing is run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from wfl_sim.advice import advice
from wfl_sim.estimate import estimate
from wfl_sim.scenario import load

QUICKSTART = Path(__file__).resolve().parents[1] / "scenarios" / "quickstart.yaml"


def notes(*overrides: str) -> list[str]:
    study = load(QUICKSTART, overrides)
    return advice(study, estimate(study))


def test_the_quickstart_needs_none() -> None:
    assert notes() == []


@pytest.mark.parametrize(
    ("overrides", "says", "arms"),
    [
        (("schedule.latency_budget=600 ms",), "longer than the latency budget of 0.6 s", "(soft-tsfa, topk-tsfa)"),
        (("arms.topk-tsfa.codec={kind: dense}",), "codec dense has one size only", "(topk-tsfa)"),
        (("clients.mobility={kind: static}",), "clients stand still, so rayleigh fading never changes", ""),
        (("radio.antenna_gain.base_station=25 dB",), "a mean SNR above 35 dB", ""),
        (("clients.availability={kind: on_off, on: 1 h, off: 3 h}",), "be there; 0.25 of them are in the mean", ""),
        (("clients.churn={stay: 1 h}",), "from the beginning to the end, without clients.churn", ""),
    ],
)
def test_what_is_seldom_meant_is_noted_with_its_arms(overrides: tuple[str, ...], says: str, arms: str) -> None:
    found = [note for note in notes(*overrides) if says in note]
    assert len(found) == 1
    assert found[0].endswith(arms)


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
