"""What a client that has a direction to itself works with: its whole band, all its power, noise and interference.

Knows no link; a recording is taken to be that of such a client, and a link is exported as such a client sees it.
"""

from __future__ import annotations

from channels.linkbudget import THERMAL_NOISE_W_PER_HZ
from channels.links import Direction
from channels.recorded import Band
from wfl_sim.radio.options import Radio


def bands(radio: Radio, tx_power_dbm: float) -> dict[Direction, Band]:
    """The band of each direction; `tx_power_dbm` is the power of a client."""
    up_db = radio.noise_figure.base_station_db + radio.uplink.interference_margin_db
    down_db = radio.noise_figure.client_db + radio.downlink.interference_margin_db
    return {
        "up": Band(
            bandwidth_hz=radio.uplink.bandwidth_hz,
            power_w=10 ** (tx_power_dbm / 10 - 3),
            noise_w_per_hz=THERMAL_NOISE_W_PER_HZ * 10 ** (up_db / 10),
            overhead=radio.uplink.overhead,
        ),
        "down": Band(
            bandwidth_hz=radio.downlink.bandwidth_hz,
            power_w=10 ** (radio.downlink.tx_power_dbm / 10 - 3),
            noise_w_per_hz=THERMAL_NOISE_W_PER_HZ * 10 ** (down_db / 10),
            overhead=radio.downlink.overhead,
        ),
    }
