"""What a scenario says about the radio: carrier, bands, noise, packets, retransmission.

Knows no client and no clock; the medium reads these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from channels.cqi import Cqi
from channels.harq import Combining
from channels.linkadaptation import Shannon, TruncatedShannon
from channels.options import OneOf, OptionError, Options, Whole
from channels.units import (
    Bits,
    DecibelMilliwatts,
    Decibels,
    Delay,
    Fraction,
    Hertz,
    PositiveDecibels,
    Quantity,
    Seconds,
    render,
)

Share = Annotated[float, Quantity("1", ge=0, lt=1)]
Attempts = Annotated[int, Whole(ge=1, le=1000)]


@dataclass(frozen=True)
class PowerControl(Options):
    """Open-loop power control of the uplink: a client sends no louder than its path loss asks for.

    Formula
    -------
    With the path loss PL from antenna port to antenna port, without fast fading, and the resource blocks M that are
    granted (as a ratio of bandwidths, so a fraction in FDMA)::

        P = min(P_max, P0 + 10 lg M + alpha PL)    in dBm

    Validity
    --------
    Open loop: no closed-loop correction and no term for the modulation. PL is that at the start of the upload.

    Source
    ------
    3GPP TS 38.213, clause 7.1.1, without its closed-loop terms.

    Options
    -------
    p0_dbm : Power that is to arrive in each resource block, at full compensation. Larger: louder.
    alpha : Share of the path loss that is made up for: 1 lets all arrive alike, below 1 those far away arrive weaker.
    """

    p0_dbm: Annotated[float, Quantity("dBm", ge=-202, le=24, example="-90 dBm")] = -90.0
    alpha: Annotated[float, Quantity("1", ge=0, le=1, example="0.8")] = 1.0


@dataclass(frozen=True)
class Uplink(Options):
    """The uplink band, shared by all clients.

    Who sends spreads its power over the part of the band that it holds.

    Options
    -------
    access : How clients share the band. ``fdma``: each sender holds a part of its own, granted by the schedule, all at
        the same time. ``ofdma``: a `scheduler` gives each resource block anew in every slot. ``tdma``: one sender at a
        time has the whole band, slot by slot in turn, as often as its grant is wide.
    bandwidth_hz : Width of the whole band.
    overhead : Share of the rate that pilots and control take, and with ``cqi`` the cyclic prefix (1/15 in LTE and NR).
    work_conserving : Whether band (or slots) that falls free is shared out at once among those who still send, in
        proportion to what they hold. If not, it stays idle. With ``ofdma`` nothing ever stays idle.
    scheduler : Who gets a resource block, under ``ofdma``: all in turn, the largest rate against what a client was
        served lately, or the largest rate (maximum C/I).
    averaging_s : How far back ``proportional_fair`` looks. Longer: nearer to the client that is best just now.
    resource_block_hz : Width of what the scheduler gives away. Where fading is flat within the band, all blocks of a
        slot are alike.
    interference_margin_db : How far interference from other cells lifts the noise at the base station.
    power_control : Power below the largest for clients with a small path loss; left out, all send with all they have.
    """

    access: Literal["fdma", "ofdma", "tdma"] = "fdma"
    bandwidth_hz: Hertz = 2e6
    overhead: Share = 0.08
    work_conserving: bool = True
    scheduler: Literal["round_robin", "proportional_fair", "max_ci"] = "proportional_fair"
    averaging_s: Seconds = 0.1
    resource_block_hz: Annotated[float, Quantity("Hz", ge=1, le=1e13, example="180 kHz")] = 180e3
    interference_margin_db: PositiveDecibels = 0.0
    power_control: PowerControl | None = None


@dataclass(frozen=True)
class Downlink(Options):
    """The downlink band: how the model gets to those who are called.

    It is a band of its own, so that it does not disturb uploads, unless `duplex` is ``half``. The base station spreads
    its power over the whole band.

    Options
    -------
    access : How the model is sent. ``broadcast`` sends it once to all that are called, over the whole band, one
        broadcast after the other. ``unicast`` sends it to each of them; a `scheduler` gives each resource block anew in
        every slot.
    bandwidth_hz : Width of the whole band.
    tx_power_dbm : Transmit power of the base station, spread over the whole band.
    overhead : Share of the rate that pilots and control take.
    coverage : Share of the receivers that the rate of a broadcast is made for. At 100 % it is that of the weakest, slot
        by slot; below, the weakest lose what they cannot decode. Smaller: faster, reaches fewer.
    scheduler, averaging_s, resource_block_hz : As in the uplink, for ``unicast``.
    interference_margin_db : How far interference from other cells lifts the noise at the clients.
    """

    access: Literal["broadcast", "unicast"] = "broadcast"
    bandwidth_hz: Hertz = 10e6
    tx_power_dbm: DecibelMilliwatts = 43.0
    overhead: Share = 0.14
    coverage: Fraction = 1.0
    scheduler: Literal["round_robin", "proportional_fair", "max_ci"] = "round_robin"
    averaging_s: Seconds = 0.1
    resource_block_hz: Annotated[float, Quantity("Hz", ge=1, le=1e13, example="180 kHz")] = 180e3
    interference_margin_db: PositiveDecibels = 0.0


@dataclass(frozen=True)
class NoiseFigure(Options):
    """Noise figures: how much noise each receiver adds to the thermal noise.

    Formula
    -------
    N = k T0 F b, with k T0 = 1.380649e-23 J/K x 290 K (-173.975 dBm/Hz), noise figure F and bandwidth b.

    Options
    -------
    base_station_db : Noise figure of the base station, which receives the uplink. Larger: lower SNR.
    client_db : Noise figure of each client, which receives the downlink. Larger: lower SNR.
    """

    base_station_db: PositiveDecibels = 5.0
    client_db: PositiveDecibels = 9.0


@dataclass(frozen=True)
class AntennaGain(Options):
    """Antenna gains, the same in both directions; both add to the gain of every link.

    Options
    -------
    base_station_db : Gain of the base station's antenna over an isotropic one, cable losses taken off.
    client_db : Gain of each client's antenna over an isotropic one; about 0 dB for a phone.
    """

    base_station_db: Decibels = 8.0
    client_db: Decibels = 0.0


@dataclass(frozen=True)
class Arq(Options):
    """ARQ: a lost packet is sent again at once, before the next one.

    A transfer to one client is dropped when a packet has used up its attempts. In a broadcast a packet is sent again
    while a receiver lacks it; a receiver that it never reached is given up, and the others go on.

    Formula
    -------
    With independent losses of probability p and at most M attempts::

        P(packet given up) = p^M,    mean attempts = (1 - p^M) / (1 - p)

    Validity
    --------
    The sender learns at once and without error that a packet was lost; the feedback takes neither time nor band. An
    attempt takes the air time of the whole packet, and nothing of a lost attempt is used.

    Source
    ------
    own: the geometric law, cut off at M.

    Options
    -------
    attempts : How often a packet may be sent in all; 1 means never again. Larger: fewer transfers dropped, more air
        time under loss.
    """

    kind: Literal["arq"] = "arq"
    attempts: Attempts = 4

    @property
    def rounds(self) -> int:
        """How often a block may be sent before it is given up: once."""
        return 1

    @property
    def combining(self) -> Combining:
        """How rounds are combined, of which there is only one."""
        return "chase"


@dataclass(frozen=True)
class Harq(Options):
    """HARQ: a lost block is sent again and combined with what was received, below an ARQ of packets.

    Where all rounds of a block are lost, each packet that has a part in it is lost, and sent again as with ``arq``.

    Formula
    -------
    With the SNR g_i of round i, a block of m rounds is decoded as one at the SNR g_1 + ... + g_m (``chase``, the same
    symbols again), or as one with the information I(g_1) + ... + I(g_m) (``incremental``, new symbols). One uniform
    draw U decides all rounds of a block: it is decoded in the first round m with U >= BLER_m.

    With independent Rayleigh rounds of mean SNR g, long blocks, rate R and outage P_m after m of M rounds::

        chase: P_m = P(m, (2^R - 1) / g)      mean rounds = 1 + P_1 + ... + P_(M-1)
        throughput = R (1 - P_M) / mean rounds

    Validity
    --------
    For rates that can fail (``cqi``). The receiver keeps all it received, and its answer takes neither time nor band:
    a round goes out in the next slot, so that on a slow channel it meets nearly the same fading. It has as many symbols
    as the first, though it holds the slot. In a broadcast a block is sent again while any receiver lacks it. Below a
    rate that is always met it has nothing to do, and is refused.

    Source
    ------
    Caire and Tuninetti 2001, doi:10.1109/18.930931; chase combining: Chase 1985, doi:10.1109/TCOM.1985.1096314. The one
    draw: own, with BLER_m taken as falling in m, so that the events of the rounds are nested.

    Options
    -------
    combining : What a round sends: the same symbols again, or new ones of the same code word.
    rounds : How often a block may be sent in all. Larger: fewer packets lost, more air time for a bad block.
    attempts : How often a packet may be sent in all; 1 means never again.
    """

    kind: Literal["harq"] = "harq"
    combining: Combining = "incremental"
    rounds: Annotated[int, Whole(ge=1, le=64)] = 4
    attempts: Attempts = 4


@dataclass(frozen=True)
class Radio(Options):
    """The air interface: carrier, bands, noise, packets and retransmission.

    Payloads are cut into packets, each with a header; the last packet of a transfer may be shorter.

    Formula
    -------
    With power P, link gain h, bandwidth b and the receiver's noise figure F::

        SNR = P h / (k T0 F b),    rate = b efficiency(SNR) (1 - overhead)

    h holds path loss, shadowing, fading and both antennas and is the same in both directions.

    Options
    -------
    carrier_hz : Carrier frequency of both directions. Higher: more path loss, and faster fading at the same speed.
    uplink : The band in which clients send.
    downlink : The band in which the base station sends.
    noise_figure : How noisy the receivers are.
    antenna_gain : What the antennas add to every link.
    rate : How an SNR becomes a rate.
    packet_bits : Size of a packet on the air, header included. Larger: less overhead, more to send again after a loss.
    header_bits : Part of each packet that carries no payload.
    retransmission : What happens to a lost packet, and to a lost block.
    duplex : Whether both directions send at once. ``full``: uplink and downlink go on side by side. ``half``: one band
        in time division; while the base station sends, uploads wait.
    fidelity : How many packets an event of the simulation covers. ``chunk``: all up to the next change on the air.
        ``packet``: one, the reference that ``chunk`` is held against; much slower.
    latency_s : Time added once to every transfer, in either direction, beyond its air time.
    slot_s : Time over which the rate of a link is held constant, at the gain in its middle. Shorter: follows the
        fading more closely and takes longer to simulate.
    timeout_s : Time since it began after which a transfer is given up, waits for slots included.
    """

    carrier_hz: Hertz = 3.5e9
    uplink: Uplink = Uplink()
    downlink: Downlink = Downlink()
    noise_figure: NoiseFigure = NoiseFigure()
    antenna_gain: AntennaGain = AntennaGain()
    rate: Annotated[Shannon | TruncatedShannon | Cqi, OneOf()] = Shannon()
    packet_bits: Bits = 12_000.0
    header_bits: Annotated[float, Quantity("bit", ge=0, le=1e12)] = 320.0
    retransmission: Annotated[Arq | Harq, OneOf()] = Arq()
    duplex: Literal["full", "half"] = "full"
    fidelity: Literal["chunk", "packet"] = "chunk"
    latency_s: Delay = 0.0
    slot_s: Seconds = 1e-3
    timeout_s: Seconds = 600.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.header_bits >= self.packet_bits:
            header, packet = render(self.header_bits, "bit"), render(self.packet_bits, "bit")
            raise OptionError("Radio", "header_bits", f"must be below radio.packet ({packet}); got {header}")
