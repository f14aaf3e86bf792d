"""What a scenario says about its link budget: the reliability that is wanted, margins, and gains of both directions.

Knows no formula of the budget and nothing of a simulation: no run reads these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from channels.options import Options, Whole
from channels.units import Decibels, PositiveDecibels, Quantity, Seconds

Antennas = Annotated[int, Whole(ge=1, le=10**4)]
Reliability = Annotated[float, Quantity("1", gt=0, lt=1, example="95 %")]
BitRate = Annotated[float, Quantity("bit/s", ge=1e-3, le=1e15)]


@dataclass(frozen=True)
class Terms(Options):
    """One direction of a link budget: what its two ends add and take beside `radio` and `clients`.

    Formula
    -------
    With all terms in dB or dBm::

        EIRP        = tx_power + antenna gain + tx_array_gain - pilot_loss - tx_loss
        sensitivity = k T0 + noise figure + interference_margin + 10 lg(bandwidth)
                      + required_snr + implementation_margin - harq_gain

    Source
    ------
    ITU-R M.2412-0, link budget template.

    Options
    -------
    bandwidth_hz : Bandwidth that a link occupies; left out, an equal share of the uplink band for each client that a
        round asks, and the whole downlink band.
    rate_bps : Bit rate that the link must carry, headers included; left out, that of a whole update in the time that
        computing and latency leave before the deadline, nine tenths of it for the upload and one for the broadcast.
    required_snr_db : SNR that the link must reach; left out, the one at which it carries the rate.
    tx_antennas : Number of transmit antennas; it changes nothing but the row of the power of each.
    tx_array_gain_db : What several transmit antennas add.
    control_boost_db : How much more power control channels get.
    pilot_loss_db : Power that pilots and boosted control channels take from the data.
    tx_loss_db : Loss in cables, connectors and combiners of the transmitter, and in the body beside it.
    rx_antennas : Number of receive antennas; for the record.
    rx_array_gain_db : What several receive antennas add.
    rx_loss_db : Loss in cables and connectors of the receiver, and in the body beside it.
    interference_margin_db : How far interference lifts the noise, on top of the margin that `radio` states.
    implementation_margin_db : What the receiver loses against the SNR required.
    harq_gain_db : What retransmissions win, where the SNR required leaves them out.
    """

    bandwidth_hz: Annotated[float, Quantity("Hz", ge=1, le=1e13, example="180 kHz")] | None = None
    rate_bps: BitRate | None = None
    required_snr_db: Decibels | None = None
    tx_antennas: Antennas = 1
    tx_array_gain_db: Decibels = 0.0
    control_boost_db: Decibels = 0.0
    pilot_loss_db: PositiveDecibels = 0.0
    tx_loss_db: PositiveDecibels = 0.0
    rx_antennas: Antennas = 1
    rx_array_gain_db: Decibels = 0.0
    rx_loss_db: PositiveDecibels = 0.0
    interference_margin_db: PositiveDecibels = 0.0
    implementation_margin_db: Decibels = 0.0
    harq_gain_db: PositiveDecibels = 0.0


@dataclass(frozen=True)
class Budget(Options):
    """The link budget that `wfl-sim linkbudget` works out; no run reads it.

    Powers, antenna gains, noise figures, bands and the path come from `radio`, `clients` and `channel`.

    Formula
    -------
    With sigma the standard deviation of shadowing and penetration together::

        shadow margin = sigma Q^-1(1 - reliability)                    of: edge
        F_u(shadow margin, sigma, exponent at the range) = reliability  of: area (Jakes)

    Source
    ------
    ITU-R M.2412-0, link budget template; Jakes 1974, *Microwave Mobile Communications*, section 2.5.3.

    Options
    -------
    reliability : Share of places where the link must hold.
    of : Places at the ``edge`` of the cell, or those of its whole ``area``. Each client's figures hold with the
        reliability at its own distance, whatever stands here.
    deadline_s : Time for a round: broadcast, computing, upload; left out, the schedule's latency budget, or else 10 s
        more than computing and latency take.
    shadow_margin_db : Margin against shadowing; left out, the one that gives the reliability.
    fading_margin_db : Further margin, against fast fading. Rates are means over the fading already.
    penetration_db : Loss into buildings; left out, the mean loss of those clients that `channel.penetration` puts
        inside.
    macro_diversity_db : What is won by the choice between base stations.
    other_gain_db : Any further gain.
    uplink, downlink : What the two ends add and take in each direction.
    """

    reliability: Reliability = 0.95
    of: Literal["edge", "area"] = "edge"
    deadline_s: Seconds | None = None
    shadow_margin_db: Decibels | None = None
    fading_margin_db: PositiveDecibels = 0.0
    penetration_db: PositiveDecibels | None = None
    macro_diversity_db: PositiveDecibels = 0.0
    other_gain_db: Decibels = 0.0
    uplink: Terms = Terms()
    downlink: Terms = Terms()
