"""Checks of what changes slowly: path loss, line of sight, walls, noise and link budgets.

Knows published tables by way of `channels.vectors`.
"""

from __future__ import annotations

import functools

import numpy as np

from channels import linkbudget, reliability
from channels.options import Options
from channels.pathloss import PATH_LOSS, Sighted, UMa
from channels.pathloss.inverse import range_m
from channels.penetration import OutdoorToIndoor
from channels.selftest.check import Check, Tolerance, largest_deviation
from channels.sight import line_of_sight
from channels.streams import Stream
from channels.vectors import (
    AREA_RELIABILITY,
    BREAKPOINTS_M,
    BUDGETS,
    EDGE_MARGINS_DB,
    HATA_RANGE,
    NOISE_DBM,
    PATH_LOSSES,
    SHARES,
    WALLS_DB,
)

_STREAM = Stream.root(21)
_CLIENTS = np.arange(100_000)
_TABLE_DB = Tolerance(1e-3, unit="dB")
_FOUR_DECIMALS = Tolerance(5e-5)
_PERCENT = Tolerance(0.01, relative=True)
_BUDGET_DB = Tolerance(0.1, unit="dB")


def _loss_deviation_db(cls: type[Options]) -> float:
    rows = [row for row in PATH_LOSSES if isinstance(row.model, cls)]
    return max(largest_deviation(row.model.path_loss_db(row.distance_m, row.carrier_hz), row.loss_db) for row in rows)


def _share_deviation(cls: type[Options]) -> float:
    rows = [row for row in SHARES if isinstance(row.model, cls)]
    return max(largest_deviation(row.model.los_probability(row.distance_m), row.probability) for row in rows)


def _breakpoint_deviation_m() -> float:
    return largest_deviation([model.breakpoint_m(3.5e9) for model, _ in BREAKPOINTS_M], [m for _, m in BREAKPOINTS_M])


def _round_trip_db() -> float:
    """How far the loss at the range is from the loss that was allowed, over all models, also beyond a breakpoint."""
    allowed = np.linspace(90.0, 170.0, 33)
    gaps = []
    for row in PATH_LOSSES:
        reach = range_m(row.model, allowed, row.carrier_hz)
        kept = (reach > 0.0) & np.isfinite(reach)
        gaps.append(largest_deviation(row.model.path_loss_db(reach[kept], row.carrier_hz), allowed[kept]))
    return max(gaps)


def _hata_range_km() -> float:
    model, allowed_db, _ = HATA_RANGE
    return float(range_m(model, allowed_db, 2e9)) / 1e3


def _wall_deviation_db() -> float:
    walls = [OutdoorToIndoor(building=building).wall_db(carrier_hz) for building, carrier_hz, _ in WALLS_DB]  # type: ignore[arg-type]
    return largest_deviation(walls, [loss_db for _, _, loss_db in WALLS_DB])


def _share_in_sight() -> float:
    """Share of 1e5 clients with line of sight, where the probability is that of UMa at 100 m."""
    probability = np.full((_CLIENTS.size, 1), UMa().los_probability(100.0))
    travelled = np.full(probability.shape, 321.0)
    return float(np.mean(line_of_sight(_STREAM.child("sight"), _CLIENTS, travelled, probability, 50.0)))


def _noise_deviation_db() -> float:
    got = [
        linkbudget.LinkBudget(
            tx_power_dbm=0.0, bandwidth_hz=bandwidth_hz, required_snr_db=0.0, noise_figure_db=figure_db
        ).noise_dbm
        for bandwidth_hz, figure_db, _ in NOISE_DBM
    ]
    return largest_deviation(got, [noise for _, _, noise in NOISE_DBM])


def _margin_deviation_db() -> float:
    got = [reliability.edge_margin_db(share, std_db) for share, std_db, _ in EDGE_MARGINS_DB]
    return largest_deviation(got, [margin for _, _, margin in EDGE_MARGINS_DB])


def _area_deviation() -> float:
    got = [
        reliability.area_reliability(reliability.edge_margin_db(edge, 8.0), 8.0, 3.76) for edge, _ in AREA_RELIABILITY
    ]
    return largest_deviation(got, [area for _, area in AREA_RELIABILITY])


CHECKS: tuple[Check, ...] = (
    *(
        Check(
            f"path_loss.{kind}", functools.partial(_loss_deviation_db, cls), 0.0, _TABLE_DB,
            "largest deviation over all rows of the vectors, which have four decimals; acceptance limit",
        )
        for kind, cls in PATH_LOSS.items()
    ),
    Check("path_loss.breakpoints", _breakpoint_deviation_m, 0.0, Tolerance(1e-3, unit="m"),
          "UMa, UMi and RMa at 3.5 GHz with the 3.0e8 m/s of TR 38.901, which give 560 m, 210 m and 3848.451 m"),
    Check("path_loss.range", _round_trip_db, 0.0, Tolerance(1e-6, unit="dB"),
          "loss at the range found for losses of 90 to 170 dB, all models, on both sides of breakpoints; acceptance"),
    Check("path_loss.range.hata", _hata_range_km, HATA_RANGE[2], Tolerance(5e-4, unit="km"),
          "138.5 + 35.7 lg R = 139.65 dB: Garg, Wireless Communications and Networking, example 17.9; three decimals"),
    *(
        Check(
            f"line_of_sight.{kind}", functools.partial(_share_deviation, cls), 0.0, _FOUR_DECIMALS,
            "largest deviation from TR 38.901 Table 7.4.2-1 worked out by hand to four decimals",
        )
        for kind, cls in PATH_LOSS.items() if issubclass(cls, Sighted)
    ),
    Check("line_of_sight.share", _share_in_sight, 0.3477, Tolerance(0.006),
          "1e5 clients where the probability is that of UMa at 100 m; four standard errors"),
    Check("penetration.wall", _wall_deviation_db, 0.0, _TABLE_DB,
          "both walls at three carriers: TR 38.901 Table 7.4.3-2 with 30 decimal digits"),
    Check("penetration.depth", lambda: float(np.mean(OutdoorToIndoor().depth_m(_STREAM, _CLIENTS))), 25.0 / 3.0,
          _PERCENT, "mean of the smaller of two uniform draws up to 25 m, 1e5 clients; four standard errors"),
    Check("budget.thermal_noise", lambda: linkbudget.THERMAL_NOISE_DBM_PER_HZ, -173.9752, Tolerance(1e-4, unit="dB"),
          "k T0 at 290 K in dBm/Hz, four decimals"),
    Check("budget.noise", _noise_deviation_db, 0.0, Tolerance(0.03, unit="dB"),
          "noise of 180 kHz, 10 MHz and 20 MHz; tables round k T0 to -174 dBm/Hz, 0.025 dB less"),
    *(
        Check(f"budget.{name}", functools.partial(getattr, budget, figure), expected, _BUDGET_DB,
              f"{source}; to 0.1 dB")
        for name, budget, figure, expected, source in BUDGETS
    ),
    Check("budget.edge_margin", _margin_deviation_db, 0.0, Tolerance(0.01, unit="dB"),
          "8 dB of shadowing at 90 and 95 %: 10.25 and 13.16 dB, by the normal quantile; two decimals"),
    Check("budget.area_reliability", _area_deviation, 0.0, Tolerance(1e-4),
          "Jakes' formula at 8 dB and exponent 3.76 for 75, 90 and 95 % at the edge; four decimals"),
)  # fmt: skip
