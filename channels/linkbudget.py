"""Link budgets: from transmit power to the path loss that a link can stand, row by row.

Knows no scenario, no update and no round. Powers in dBm, gains and losses in dB, all positive in the sense of their
name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from channels.arrays import Floats

BOLTZMANN_J_PER_K = 1.380649e-23
REFERENCE_TEMPERATURE_K = 290.0
THERMAL_NOISE_W_PER_HZ = BOLTZMANN_J_PER_K * REFERENCE_TEMPERATURE_K
# -173.975 dBm/Hz, exactly; tables often round it to -174, which is 0.025 dB less.
THERMAL_NOISE_DBM_PER_HZ = 10.0 * math.log10(THERMAL_NOISE_W_PER_HZ * 1e3)
_NEVER_NEGATIVE = ("interference_margin_db", "penetration_db")


class BudgetError(ValueError):
    """A term of a link budget that is out of range. ``args`` = (term, message)."""

    def __str__(self) -> str:
        term, message = self.args
        return f"{term} {message}"


class Row(NamedTuple):
    """One row of the table: its number in ITU-R M.2412, what it is, its value and unit ('' for a count)."""

    number: str
    name: str
    value: float
    unit: str


@dataclass(frozen=True, kw_only=True)
class LinkBudget:
    """The budget of one direction.

    Powers and losses follow the rows of the link budget template of ITU-R M.2412, in the order of which `rows` gives
    them. With all terms in dB or dBm, and N0 the density of noise and interference together::

        EIRP          = power + antenna gain + array gain - pilot loss - transmit loss
        N0            = k T0 + noise figure + interference margin
        sensitivity   = N0 + 10 lg(bandwidth) + required SNR + implementation margin - HARQ gain
        hardware      = EIRP + receive antenna gain + receive array gain - sensitivity
        MAPL          = hardware - shadow margin - fading margin + macro-diversity - penetration + other - receive loss
        MCL           = power - sensitivity

    The template writes interference as a density; here it is the margin by which it lifts the noise, and row 15 is the
    density that does so.

    Parameters
    ----------
    tx_power_dbm : float
        Total transmit power, of all antennas together, spread over `bandwidth_hz`.
    bandwidth_hz : float
        Bandwidth that is occupied.
    required_snr_db : float
        SNR at which the receiver does what is wanted.
    tx_antennas, rx_antennas : int
        How many; their gain is that of the array, stated apart.
    tx_antenna_gain_db, rx_antenna_gain_db : float
        Of one antenna element, over an isotropic one.
    tx_array_gain_db, rx_array_gain_db : float
        What several antennas add.
    control_boost_db : float
        How much more power control channels get.
    pilot_loss_db : float
        Power of the data that pilots and boosted control channels take away.
    tx_loss_db, rx_loss_db : float
        Cables, connectors, combiners, and the body beside the device.
    noise_figure_db, interference_margin_db, implementation_margin_db, harq_gain_db : float
        Of the receiver.
    shadow_std_db : float
        Standard deviation of the shadowing; for the record, the margin counts.
    shadow_margin_db, fading_margin_db, macro_diversity_db, penetration_db, other_gain_db : float
        Margins and gains of the path.

    Raises
    ------
    BudgetError
        A term that is not finite; a bandwidth or number of antennas that is not above 0, a loss, noise figure,
        interference margin or standard deviation below 0. Other margins may be negative, as below 50 % reliability.

    Notes
    -----
    Source: ITU-R M.2412-0, annex 1, table of link budgets; MCL: 3GPP TR 36.824 and TR 45.820, clause 5.1.
    """

    tx_power_dbm: float
    bandwidth_hz: float
    required_snr_db: float
    tx_antennas: int = 1
    tx_antenna_gain_db: float = 0.0
    tx_array_gain_db: float = 0.0
    control_boost_db: float = 0.0
    pilot_loss_db: float = 0.0
    tx_loss_db: float = 0.0
    rx_antennas: int = 1
    rx_antenna_gain_db: float = 0.0
    rx_array_gain_db: float = 0.0
    rx_loss_db: float = 0.0
    noise_figure_db: float = 0.0
    interference_margin_db: float = 0.0
    implementation_margin_db: float = 0.0
    harq_gain_db: float = 0.0
    shadow_std_db: float = 0.0
    shadow_margin_db: float = 0.0
    fading_margin_db: float = 0.0
    macro_diversity_db: float = 0.0
    penetration_db: float = 0.0
    other_gain_db: float = 0.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not math.isfinite(value):
                raise BudgetError(item.name, f"must be finite; got {value}")
            if item.name in ("bandwidth_hz", "tx_antennas", "rx_antennas") and value <= 0:
                raise BudgetError(item.name, f"must be above 0; got {value}")
            if item.name.endswith(("_loss_db", "_figure_db", "_std_db")) or item.name in _NEVER_NEGATIVE:
                if value < 0:
                    raise BudgetError(item.name, f"must be at least 0; got {value}")
            elif item.name.endswith("_antennas") and value != int(value):
                raise BudgetError(item.name, f"must be a whole number; got {value}")

    @property
    def eirp_dbm(self) -> float:
        """Power that an isotropic antenna would need, of data: row 9b."""
        gains = self.tx_power_dbm + self.tx_antenna_gain_db + self.tx_array_gain_db
        return gains - self.pilot_loss_db - self.tx_loss_db

    @property
    def control_eirp_dbm(self) -> float:
        """The same of control channels: row 9a."""
        return self.eirp_dbm + self.pilot_loss_db + self.control_boost_db

    @property
    def noise_dbm_per_hz(self) -> float:
        """Density of noise and interference at the receiver: row 16."""
        return THERMAL_NOISE_DBM_PER_HZ + self.noise_figure_db + self.interference_margin_db

    @property
    def noise_dbm(self) -> float:
        """Noise and interference in the band: row 18."""
        return self.noise_dbm_per_hz + 10.0 * math.log10(self.bandwidth_hz)

    @property
    def sensitivity_dbm(self) -> float:
        """Power at the receiver's input that is needed: row 22."""
        return self.noise_dbm + self.required_snr_db + self.implementation_margin_db - self.harq_gain_db

    @property
    def hardware_db(self) -> float:
        """Hardware link budget: row 23."""
        return self.eirp_dbm + self.rx_antenna_gain_db + self.rx_array_gain_db - self.sensitivity_dbm

    @property
    def mapl_db(self) -> float:
        """Maximum allowed path loss, between isotropic antennas and outdoors: row 29."""
        gains = self.macro_diversity_db + self.other_gain_db
        losses = self.shadow_margin_db + self.fading_margin_db + self.penetration_db + self.rx_loss_db
        return self.hardware_db + gains - losses

    @property
    def mcl_db(self) -> float:
        """Maximum coupling loss: all that may lie between the antenna ports, antennas included."""
        return self.tx_power_dbm - self.sensitivity_dbm

    @property
    def isotropic_dbm(self) -> float:
        """Power that an isotropic antenna outdoors must receive on average, all margins included."""
        return self.eirp_dbm - self.mapl_db

    def snr_db(self, path_loss_db: Floats | float) -> Floats:
        """SNR at the receiver after all margins, where the path loses so much: what the link can count on."""
        loss = np.asarray(path_loss_db, dtype=np.float64)
        if not np.isfinite(loss).all():
            raise BudgetError("path_loss_db", "must be finite")
        return np.asarray(self.required_snr_db + self.mapl_db - loss)

    def rows(self) -> tuple[Row, ...]:
        """The table, in the order and with the numbers of the template; MCL and the isotropic power at the end."""
        per_antenna_dbm = self.tx_power_dbm - 10.0 * math.log10(self.tx_antennas)
        rise = 10.0 ** (self.interference_margin_db / 10.0) - 1.0
        interference = THERMAL_NOISE_DBM_PER_HZ + self.noise_figure_db + (
            10.0 * math.log10(rise) if rise > 0.0 else -math.inf
        )  # fmt: skip
        db, dbm, density = "dB", "dBm", "dBm/Hz"
        return tuple(
            Row(*row)
            for row in (
                ("1", "transmit antennas", float(self.tx_antennas), ""),
                ("2", "power per antenna", per_antenna_dbm, dbm),
                ("3", "transmit power", self.tx_power_dbm, dbm),
                ("4", "transmit antenna gain", self.tx_antenna_gain_db, "dBi"),
                ("5", "transmit array gain", self.tx_array_gain_db, db),
                ("6", "control channel boost", self.control_boost_db, db),
                ("7", "loss to pilots and control", self.pilot_loss_db, db),
                ("8", "cable and body loss", self.tx_loss_db, db),
                ("9a", "EIRP, control", self.control_eirp_dbm, dbm),
                ("9b", "EIRP, data", self.eirp_dbm, dbm),
                ("10", "receive antennas", float(self.rx_antennas), ""),
                ("11", "receive antenna gain", self.rx_antenna_gain_db, "dBi"),
                ("11bis", "receive array gain", self.rx_array_gain_db, db),
                ("12", "receive cable and body loss", self.rx_loss_db, db),
                ("13", "noise figure", self.noise_figure_db, db),
                ("14", "thermal noise density", THERMAL_NOISE_DBM_PER_HZ, density),
                ("15", "interference density", interference, density),
                ("16", "noise and interference density", self.noise_dbm_per_hz, density),
                ("17", "occupied bandwidth", self.bandwidth_hz, "Hz"),
                ("18", "effective noise power", self.noise_dbm, dbm),
                ("19", "required SNR", self.required_snr_db, db),
                ("20", "implementation margin", self.implementation_margin_db, db),
                ("21", "HARQ gain", self.harq_gain_db, db),
                ("22", "receiver sensitivity", self.sensitivity_dbm, dbm),
                ("23", "hardware link budget", self.hardware_db, db),
                ("24", "shadowing, standard deviation", self.shadow_std_db, db),
                ("25", "shadow and fading margin", self.shadow_margin_db + self.fading_margin_db, db),
                ("26", "macro-diversity gain", self.macro_diversity_db, db),
                ("27", "penetration loss", self.penetration_db, db),
                ("28", "other gains", self.other_gain_db, db),
                ("29", "available path loss (MAPL)", self.mapl_db, db),
                ("", "required isotropic power", self.isotropic_dbm, dbm),
                ("", "maximum coupling loss (MCL)", self.mcl_db, db),
            )
        )
