"""What a scenario says about the radio: carrier, bands, noise, packets, retransmission.

Knows no client and no clock; the medium reads these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from channels.linkadaptation import Shannon
from channels.options import OptionError, Options, at_least
from channels.units import (
    Bits,
    DecibelMilliwatts,
    Decibels,
    Delay,
    Hertz,
    PositiveDecibels,
    Quantity,
    Seconds,
)

# k T0 at 290 K (wireless.md 1.7): the exact constant, 0.025 dB above the rounded -174 dBm/Hz.
THERMAL_NOISE_W_PER_HZ = 1.380649e-23 * 290.0
Share = Annotated[float, Quantity("1", ge=0, lt=1)]


@dataclass(frozen=True)
class Uplink(Options):
    """The uplink band, shared by all clients.

    Each sender holds a part of the band and spreads its power over it. `overhead` is the share taken by
    pilots and control. With `work_conserving`, a band that falls free is shared out at once among those
    who still send, in proportion to what they hold.
    """

    access: Literal["fdma"] = "fdma"
    bandwidth_hz: Hertz = 2e6
    overhead: Share = 0.08
    work_conserving: bool = True


@dataclass(frozen=True)
class Downlink(Options):
    """The downlink band: one broadcast over the whole band, at the rate of the weakest receiver."""

    access: Literal["broadcast"] = "broadcast"
    bandwidth_hz: Hertz = 10e6
    tx_power_dbm: DecibelMilliwatts = 43.0
    overhead: Share = 0.14


@dataclass(frozen=True)
class NoiseFigure(Options):
    """Noise figures of the receivers."""

    base_station_db: PositiveDecibels = 5.0
    client_db: PositiveDecibels = 9.0


@dataclass(frozen=True)
class AntennaGain(Options):
    """Antenna gains, the same in both directions."""

    base_station_db: Decibels = 8.0
    client_db: Decibels = 0.0


@dataclass(frozen=True)
class Arq(Options):
    """ARQ: a lost packet is sent again at once, up to `attempts` times in all (1 = never again)."""

    kind: Literal["arq"] = "arq"
    attempts: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "attempts")


@dataclass(frozen=True)
class Radio(Options):
    """The air interface.

    `packet` includes `header`; `latency` is added once to every transfer. Rates are constant within a `slot`.
    A transfer that takes longer than `timeout` is dropped.
    """

    carrier_hz: Hertz = 3.5e9
    uplink: Uplink = Uplink()
    downlink: Downlink = Downlink()
    noise_figure: NoiseFigure = NoiseFigure()
    antenna_gain: AntennaGain = AntennaGain()
    rate: Shannon = Shannon()
    packet_bits: Bits = 12_000.0
    header_bits: Annotated[float, Quantity("bit", ge=0)] = 320.0
    retransmission: Arq = Arq()
    latency_s: Delay = 0.0
    slot_s: Seconds = 1e-3
    timeout_s: Seconds = 600.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.header_bits >= self.packet_bits:
            raise OptionError("Radio", "header_bits", "must be smaller than the packet that it is part of")
