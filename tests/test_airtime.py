"""Planned air times against closed forms: shares of time and band, downloads, power control."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.fading import NoFading
from channels.linkadaptation import Shannon
from channels.ratecurve import planning_curve
from wfl_sim import airtime
from wfl_sim.contracts import Air
from wfl_sim.radio.options import Downlink, PowerControl, Uplink

BAND_HZ = 1e6
AIR = Air(BAND_HZ, planning_curve(NoFading(), Shannon(gap_db=0.0).plan("up")))
SUMS = 1e-9  # relative: sums of some tens of terms
CURVE = 1e-3  # relative: the planning curve against the logarithm it tabulates
SNR_HZ = np.array([2e6, 8e6, 3e7, 1e8])
BITS = np.array([3e5, 1e5, 4e5, 2e5])
times = st.lists(st.floats(min_value=1e-3, max_value=1e3), min_size=1, max_size=20)


def shannon(band_hz: float, snr_hz: float) -> float:
    return float(band_hz * np.log2(1.0 + snr_hz / band_hz))


def test_in_time_division_a_grant_is_a_share_of_the_time_with_the_whole_band() -> None:
    granted = np.array([1e5, 2e5, 3e5, 4e5])
    shares, conserving, least_hz = airtime.sharing(Uplink(access="tdma", bandwidth_hz=BAND_HZ), granted)
    assert conserving and least_hz == BAND_HZ
    kept = airtime.upload_s(AIR, BITS, shares, SNR_HZ, False, least_hz)
    wanted = [
        bits / (hz / BAND_HZ * shannon(BAND_HZ, snr)) for bits, hz, snr in zip(BITS, granted, SNR_HZ, strict=True)
    ]
    np.testing.assert_allclose(kept, wanted, rtol=CURVE)
    # Whoever is left has all the time: the last one ends when the times by themselves are over.
    alone = BITS / np.array([shannon(BAND_HZ, snr) for snr in SNR_HZ])
    assert airtime.upload_s(AIR, BITS, shares, SNR_HZ, True, least_hz).max() == pytest.approx(alone.sum(), rel=CURVE)


@pytest.mark.parametrize("blocks", [1, 2, 4, 8])
def test_resource_blocks_are_shared_alike_and_are_never_cut(blocks: int) -> None:
    uplink = Uplink(access="ofdma", bandwidth_hz=BAND_HZ, resource_block_hz=BAND_HZ / blocks, work_conserving=False)
    shares, conserving, least_hz = airtime.sharing(uplink, np.array([1e5, 2e5, 3e5, 4e5]))
    assert conserving and len(set(shares)) == 1
    alike = np.full(4, 2e6)
    found = airtime.upload_s(AIR, np.full(4, 1e5), shares, alike, conserving, least_hz)
    band_hz = max(BAND_HZ / blocks, BAND_HZ / 4)
    np.testing.assert_allclose(found, 1e5 / (BAND_HZ / 4 / band_hz * shannon(band_hz, 2e6)), rtol=CURVE)


def test_in_frequency_division_grants_stand_as_they_are() -> None:
    granted = np.array([1e5, 2e5])
    for conserving in (True, False):
        uplink = Uplink(access="fdma", bandwidth_hz=BAND_HZ, work_conserving=conserving)
        shares, kept, least_hz = airtime.sharing(uplink, granted)
        assert (shares.tolist(), kept, least_hz) == (granted.tolist(), conserving, 0.0)


@given(times, st.floats(min_value=1.0, max_value=50.0))
def test_unicast_downloads_end_in_the_order_of_their_sizes_and_the_last_after_all_of_them(
    alone: list[float], share: float
) -> None:
    alone_s = np.array(alone)
    ends_s = airtime.download_s(Downlink(access="unicast"), alone_s, share)
    assert ends_s.max() == pytest.approx(share * alone_s.sum(), rel=SUMS)
    assert (np.diff(ends_s[np.argsort(alone_s)]) >= -SUMS * ends_s.max()).all()
    assert (ends_s >= alone_s * (1 - SUMS)).all()


@given(times, st.floats(min_value=1e-4, max_value=1.0))
def test_a_broadcast_lasts_as_long_as_for_the_weakest_that_it_covers(alone: list[float], coverage: float) -> None:
    alone_s = np.array(alone)
    ends_s = airtime.download_s(Downlink(coverage=coverage), alone_s)
    reached = np.isfinite(ends_s)
    assert reached.mean() >= coverage - SUMS
    assert set(ends_s[reached]) == {alone_s[reached].max()}
    assert (alone_s[~reached] > alone_s[reached].max()).all()
    if coverage == 1.0:
        assert reached.all()


@pytest.mark.parametrize("alpha", [0.0, 0.8, 1.0])
def test_power_control_holds_the_snr_that_its_power_gives(alpha: float) -> None:
    control, block_hz, power_w, noise = PowerControl(p0_dbm=-80.0, alpha=alpha), 180e3, 0.2, 1e-20
    for loss_db in (70.0, 90.0, 110.0):
        full_hz = power_w * 10 ** (-loss_db / 10) / noise
        (ceiling,) = airtime.power_ceiling(control, block_hz, power_w, noise, np.array([full_hz]))
        for band_hz in (15e3, 180e3, 3.6e6):
            dbm = -80.0 + 10 * np.log10(band_hz / block_hz) + alpha * loss_db
            sent_w = min(power_w, 10 ** (dbm / 10 - 3))
            snr = sent_w * 10 ** (-loss_db / 10) / (noise * band_hz)
            assert min(full_hz / band_hz, ceiling) == pytest.approx(snr, rel=SUMS)


def test_an_upload_below_its_full_power_takes_as_long_as_at_the_snr_that_is_held() -> None:
    granted = np.full(2, 2e5)
    found = airtime.upload_s(AIR, np.full(2, 1e5), granted, np.array([1e8, 1e8]), False, 0.0, np.array([10.0, 1e9]))
    wanted = [1e5 / shannon(2e5, 10.0 * 2e5), 1e5 / shannon(2e5, 1e8)]
    np.testing.assert_allclose(found, wanted, rtol=CURVE)
