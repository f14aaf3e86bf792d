"""Uploads whose size is told when they begin, and gains that are not finite."""

from __future__ import annotations

import numpy as np
import pytest

from channels.cqi import Cqi
from channels.linkadaptation import Shannon
from channels.links import Links
from wfl_sim.errors import NotFinite
from wfl_sim.radio.options import Radio, Uplink

BAND_HZ, BITS = 1e6, 10**9  # more than can be sent until `END_S`
END_S = 1.0
KEPT = Radio(uplink=Uplink(bandwidth_hz=BAND_HZ, work_conserving=False))


def ends(medium, asks, late, bits=BITS):
    """Who ends when, in the order of the events; `asks` are (client, asked at, begins at)."""
    found = []

    def ask(client, begin_s):
        def size():
            return bits

        event = medium.uplink(client, size if late else bits, BAND_HZ / 8, begin_s=begin_s, until_s=END_S)
        event.callbacks.append(lambda done: found.append((client, float(medium.env.now).hex(), done.value)))

    for client, asked_s, begin_s in asks:
        medium.env.timeout(asked_s).callbacks.append(lambda _, c=client, b=begin_s: ask(c, b))
    medium.env.run()
    return found


def test_uploads_that_are_cut_at_one_instant_end_in_the_order_in_which_they_were_asked_for(make_medium):
    asks = [(0, 0.125, 0.875), (1, 0.25, 0.5), (2, 0.375, 0.75)]  # exact in binary: no time rounds
    late, early = (ends(make_medium(radio=KEPT, clients=3), asks, told) for told in (True, False))
    assert [client for client, _, _ in early] == [0, 1, 2]
    assert {now_s for _, now_s, _ in early} == {END_S.hex()}
    assert late == early


def test_a_size_that_is_told_late_moves_no_end_by_a_rounding(make_medium):
    random = np.random.default_rng(0)
    asked_s = random.uniform(0.0, 0.4, 8)
    asks = [(client, float(at), float(random.uniform(at, 0.9))) for client, at in enumerate(asked_s)]
    late, early = (
        ends(make_medium(radio=KEPT, clients=8, to_m=400.0), asks, told, bits=20_000) for told in (True, False)
    )
    assert {up.outcome for _, _, up in early} == {"delivered"}
    assert late == early


@pytest.mark.parametrize("conserving", [False, True])
def test_what_turns_out_to_be_nothing_is_not_sent(make_medium, conserving):
    medium = make_medium(radio=Radio(uplink=Uplink(bandwidth_hz=BAND_HZ, work_conserving=conserving)), clients=2)
    for client, bits in ((0, 0), (1, 1000)):
        medium.uplink(client, lambda bits=bits: bits, BAND_HZ / 2, begin_s=0.1)
    medium.env.run()
    assert medium.ledger.totals()["offered_up_bits"] == medium.ledger.totals()["delivered_up_bits"] == 1000


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("access", ["fdma", "ofdma", "cqi"])
def test_a_gain_that_is_not_finite_ends_the_run(make_medium, monkeypatch, access, bad):
    gain = Links.gain

    def broken(self, times_s, clients=None, **how):
        found = np.array(gain(self, times_s, clients, **how))
        found[np.asarray(clients) == 1] = bad
        return found

    radio = Radio(
        uplink=Uplink(bandwidth_hz=BAND_HZ, access="ofdma" if access == "ofdma" else "fdma"),
        rate=Cqi() if access == "cqi" else Shannon(),
    )
    medium = make_medium(radio=radio, clients=3)
    monkeypatch.setattr(Links, "gain", broken)
    medium.uplink(0, 1000, BAND_HZ / 2)
    medium.uplink(1, 1000, BAND_HZ / 2)
    with pytest.raises(NotFinite, match=rf"uplink gain of client 1 at [\d.e-]+ s is {bad}; look at the models under"):
        medium.env.run()
    with pytest.raises(NotFinite, match="downlink gain of client 1"):
        medium.snr_hz([0, 1], 0.0, known_gain=True, direction="down")
