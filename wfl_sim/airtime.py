"""How long transfers that begin together are planned to take, by how they share the band.

Knows bandwidths, SNRs and planning rates; no client, no clock and no draw. Under a scheduler all are planned with equal
shares: what it gains by looking at the fading is left out.
"""

from __future__ import annotations

import math

import numpy as np

from wfl_sim.contracts import Air, FloatArray
from wfl_sim.radio.options import Downlink, PowerControl, Uplink

TIED = 1e-6  # of the longest time: far above the 1e-13 to which schedules let uploads end together


def upload_s(
    air: Air,
    wire_bits: FloatArray,
    granted_hz: FloatArray,
    snr_hz: FloatArray,
    work_conserving: bool,
    least_hz: float = 0.0,
    ceiling: FloatArray | float = math.inf,
) -> FloatArray:
    """How long uploads [clients] that begin together are planned to take.

    At the planning rate of what was granted; with a work-conserving uplink those that still send share the whole band
    in proportion to their grants. Infinite for uploads that have no rate.

    Parameters
    ----------
    air : Air
    wire_bits, granted_hz, snr_hz : array [clients]
    work_conserving : bool
    least_hz : float
        The narrowest band in which anyone sends: whose share is smaller has it for a part of the time.
    ceiling : float or array [clients]
        SNR (linear) beyond which a client lowers its power.
    """
    ceilings = np.broadcast_to(ceiling, wire_bits.shape)
    if not work_conserving:
        return np.asarray(wire_bits / _rate_bps(air, granted_hz, snr_hz, least_hz, ceilings))
    left, ends_s, now_s = wire_bits.copy(), np.zeros(wire_bits.size), 0.0
    sending = np.arange(wire_bits.size)
    while sending.size:
        share_hz = granted_hz[sending] * (air.bandwidth_hz / granted_hz[sending].sum())
        rate = _rate_bps(air, share_hz, snr_hz[sending], least_hz, ceilings[sending])
        need_s = left[sending] / rate
        step_s = float(need_s.min())
        if not np.isfinite(step_s):
            ends_s[sending] = np.inf
            break
        done = need_s <= step_s * (1 + TIED)
        left[sending] -= rate * step_s
        now_s += step_s
        ends_s[sending[done]] = now_s
        sending = sending[~done]
    return ends_s


def _rate_bps(air: Air, share_hz: FloatArray, snr_hz: FloatArray, least_hz: float, ceilings: FloatArray) -> FloatArray:
    band_hz = np.maximum(share_hz, least_hz)
    held_hz = np.minimum(snr_hz, ceilings * band_hz)
    return np.asarray(air.rate_bps(band_hz, held_hz) * (share_hz / band_hz))


def sharing(uplink: Uplink, granted_hz: FloatArray) -> tuple[FloatArray, bool, float]:
    """What `upload_s` takes of an uplink: shares [clients], whether what falls free is shared out, the narrowest band.

    Under ``tdma`` a grant is a share of the time in which a client has the whole band, and under ``ofdma`` all have
    equal shares, in whole resource blocks.
    """
    if uplink.access == "ofdma":
        return np.ones_like(granted_hz), True, uplink.resource_block_hz
    return granted_hz, uplink.work_conserving, uplink.bandwidth_hz if uplink.access == "tdma" else 0.0


def download_s(downlink: Downlink, alone_s: FloatArray, share: float = 1.0) -> FloatArray:
    """When each of the clients [clients] has a download that begins for all at once; infinite for who never gets it.

    A broadcast takes as long as for the weakest of those whom `coverage` counts, and never gets to the others. Under
    ``unicast`` each transfer takes an equal part of the time while it lasts.

    Parameters
    ----------
    downlink : Downlink
    alone_s : array [clients]
        What each one's would take by itself.
    share : float
        How many clients each of these stands for.
    """
    ranked = np.sort(alone_s)
    if downlink.access == "broadcast":
        slowest_s = ranked[max(math.ceil(downlink.coverage * ranked.size - 1e-9), 1) - 1]
        return np.where(alone_s <= slowest_s, slowest_s, np.inf)
    behind = np.arange(ranked.size, 0, -1) * share
    ends_s = np.cumsum(np.diff(ranked, prepend=0.0) * behind)
    return np.asarray(ends_s[np.searchsorted(ranked, alone_s)])


def power_ceiling(
    control: PowerControl, resource_block_hz: float, power_w: float, noise_w_per_hz: float, snr_hz: FloatArray
) -> FloatArray:
    """The SNR (linear) [clients] that open-loop power control holds clients to, however wide their band.

    `snr_hz` [clients] is that of the full power, without fading, from which the path loss follows: a power that grows
    with the band leaves the SNR as it is.
    """
    loss_db = 10.0 * np.log10(power_w / (noise_w_per_hz * snr_hz))
    wanted_dbm = control.p0_dbm + control.alpha * loss_db
    noise_dbm = 10.0 * math.log10(noise_w_per_hz * resource_block_hz) + 30.0
    return np.asarray(10.0 ** ((wanted_dbm - loss_db - noise_dbm) / 10.0))
