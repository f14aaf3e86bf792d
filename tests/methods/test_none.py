"""Runs without learning: sizes that add up, and nothing that a client leaves behind."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.options import OptionError
from wfl_sim.checks import check_method
from wfl_sim.methods.base import Arrival
from wfl_sim.methods.none import NoLearning
from wfl_sim.networkonly import NetworkOnly

METHOD = NoLearning(payload_bits=1000.0, kept_fractions=(0.25, 0.5, 1.0))


@given(
    st.floats(min_value=1.0, max_value=1e12),
    st.sets(st.floats(min_value=1e-4, max_value=1.0, exclude_max=True), max_size=5),
)
def test_a_point_has_its_share_of_the_bits_rounded_up(payload_bits: float, shares: set[float]) -> None:
    method = NoLearning(payload_bits=payload_bits, kept_fractions=(*sorted(shares), 1.0))
    points = method.menu().points
    assert points[-1].bits == method.download_bits() == math.ceil(payload_bits)
    for point in points:
        assert 0 <= point.bits - point.kept_fraction * payload_bits < 1
        assert point.bits >= 1 and point.error == 1.0 - point.kept_fraction


def test_a_download_may_have_a_size_of_its_own() -> None:
    assert NoLearning(payload_bits=1000.0, downlink_bits=64.5).download_bits() == 65


@pytest.mark.parametrize("kept", [(), (0.5,), (1.0, 1.0), (1.0, 0.5), (0.5, 1.0, 1.0)])
def test_kept_fractions_rise_to_one(kept: tuple[float, ...]) -> None:
    with pytest.raises(OptionError, match=r"NoLearning\.kept_fractions: needs shares above 0 in rising order"):
        NoLearning(payload_bits=1.0, kept_fractions=kept)


def test_it_keeps_the_contract_of_a_method_and_changes_no_model() -> None:
    check_method(METHOD)
    model = {"x": np.ones(3, dtype=np.float32)}
    merged = METHOD.aggregate(model, [Arrival(0, {"x": np.full(3, 7.0, dtype=np.float32)}, 1.0)])
    assert merged["x"].tolist() == [1.0, 1.0, 1.0] and merged["x"] is not model["x"]


def test_the_work_hands_out_the_same_objects_to_all() -> None:
    work = NetworkOnly(METHOD.menu(), METHOD.download_bits(), 4)
    assert sum(work.weight(client) for client in range(4)) == 1.0
    assert work.menu(0) is work.menu(3)
    assert work.downlink([0, 1]) is work.downlink([3])
    sizes = [(work.encode(2, point).bits, work.encode(2, point).kept_fraction) for point in work.menu(2).points]
    assert sizes == [(250, 0.25), (500, 0.5), (1000, 1.0)]
    assert work.encode(0, work.menu(0).points[0]) is work.encode(1, work.menu(1).points[0])


def test_what_is_lost_or_merged_leaves_nothing_behind() -> None:
    work = NetworkOnly(METHOD.menu(), METHOD.download_bits(), 4)
    before = dict(vars(work))
    payload = work.encode(1, work.menu(1).points[0])
    work.received([0, 1])
    work.train(1, [0, 1])
    work.lost(0)
    work.aggregate({1: payload}, {1: 0.5})
    assert vars(work) == before
    assert set(work.evaluate().values()) == {None}
    assert {name for name, value in work.diagnostics().items() if value is not None} == {"rank"}
