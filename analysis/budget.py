"""Pictures of a link budget: the waterfall from transmit power to noise, and what links carry against distance.

Knows a report by its fields, and no scenario; see `wfl_sim.linkbudget.Report`.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis.house import COLOURS, LIMIT_COLOUR, in_house_style
from channels.linkbudget import LinkBudget

UP, DOWN, LEVEL = COLOURS[0], COLOURS[1], "0.25"
GAIN, LOSS = COLOURS[2], COLOURS[1]
NOISE = "thermal noise in the band"
_NEGLIGIBLE_DB = 0.05


@in_house_style
def link_budget_figure(report: Any, curves: Any) -> Figure:
    """The uplink's waterfall on the left; SNR, rate and payload against distance on the right.

    Parameters
    ----------
    report : wfl_sim.linkbudget.Report
    curves : wfl_sim.linkbudget.Updates
        For distances in rising order.

    Returns
    -------
    Figure
        Not shown and not saved.
    """
    figure = Figure(figsize=(13.0, 7.2), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(1.05, 1.0))
    left, right = halves
    waterfall(left.subplots(), report.budgets["uplink"])
    against_distance(right.subplots(3, 1, sharex=True), report, curves)
    figure.suptitle(f"Link budget of {report.name}, arm {report.arm}", x=0.01, ha="left")
    return figure


def steps(budget: LinkBudget) -> list[tuple[str, float, float | None]]:
    """The chain of levels in dBm: name, level reached, and the change in dB that led there (None: a level of its own).

    From the transmit power down to the sensitivity, then from the noise in the band up to the same level.
    """
    chain: list[tuple[str, float, float | None]] = [("transmit power", budget.tx_power_dbm, None)]
    level = budget.tx_power_dbm

    def take(name: str, change_db: float, *, always: bool = False) -> None:
        nonlocal level
        if always or abs(change_db) > _NEGLIGIBLE_DB:
            level += change_db
            chain.append((name, level, change_db))

    take("transmit antennas", budget.tx_antenna_gain_db + budget.tx_array_gain_db)
    take("pilots, cable, body", -budget.pilot_loss_db - budget.tx_loss_db)
    level = budget.eirp_dbm
    chain.append(("EIRP", level, None))
    take("allowed path loss (MAPL)", -budget.mapl_db, always=True)
    take("penetration", -budget.penetration_db)
    take("shadow and fading margin", -budget.shadow_margin_db - budget.fading_margin_db)
    take("macro-diversity, other", budget.macro_diversity_db + budget.other_gain_db)
    take("receive antennas", budget.rx_antenna_gain_db + budget.rx_array_gain_db)
    take("cable, body", -budget.rx_loss_db)
    chain.append(("sensitivity", budget.sensitivity_dbm, None))
    rise_db = budget.noise_figure_db + budget.interference_margin_db
    level = budget.noise_dbm - rise_db
    chain.append((NOISE, level, None))
    take("noise figure", budget.noise_figure_db)
    take("interference margin", budget.interference_margin_db)
    take("required SNR", budget.required_snr_db, always=True)
    take("implementation margin", budget.implementation_margin_db)
    take("HARQ gain", -budget.harq_gain_db)
    return chain


def waterfall(axes: Axes, budget: LinkBudget, title: str = "Uplink") -> None:
    """Draw the chain of `steps` from top to bottom: bars are gains and losses, ticks are levels.

    What lifts the noise up to the sensitivity is neither gain nor loss, and grey.
    """
    chain = steps(budget)
    noise = [name for name, _, _ in chain].index(NOISE)
    for row, (_, level, change) in enumerate(chain):
        if change is None:
            axes.plot([level, level], [row - 0.38, row + 0.38], color=LEVEL, linewidth=4, solid_capstyle="butt")
            label, at = f" {level:.1f} dBm", level
        else:
            axes.barh(
                row, -change, left=level, height=0.62, color="0.6" if row > noise else GAIN if change > 0 else LOSS
            )
            label, at = f" {change:+.1f} dB", max(level, level - change)
        axes.text(at, row, label, va="center", ha="left", fontsize=10, fontweight="bold" if change is None else None)
        if row + 1 < len(chain) and chain[row + 1][2] is not None:
            axes.plot([level, level], [row, row + 1], color="0.6", linewidth=0.8, zorder=0)
    levels = [level for _, level, _ in chain]
    span = max(levels) - min(levels)
    axes.set_xlim(min(levels) - 0.06 * span, max(levels) + 0.2 * span)
    axes.set_ylim(len(chain) - 0.4, -0.6)
    axes.set_yticks(range(len(chain)), [name for name, _, _ in chain])
    for name, (_, _, change) in zip(axes.get_yticklabels(), chain, strict=True):
        name.set_fontweight("bold" if change is None else "normal")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("level, dBm")
    axes.set_title(f"{title}: where the power goes")


def against_distance(panels: Any, report: Any, curves: Any) -> None:
    """SNR, rate and payload before the deadline in three panels over one axis of distance."""
    updates, budgets, reaches = report.updates, report.budgets, report.reaches
    snr, rate, payload = panels
    distance = curves.distance_m
    snr.plot(distance, curves.snr_db, color=UP, label="uplink")
    snr.axhline(budgets["uplink"].required_snr_db, color=LIMIT_COLOUR, linestyle="--", linewidth=1.2, label="required")
    snr.set_ylabel("SNR, dB")
    rate.plot(distance, curves.rate_bps, color=UP, label="uplink")
    rate.plot(distance, curves.download_rate_bps, color=DOWN, linestyle="-.", label="downlink")
    rate.set_ylabel("rate, bit/s")
    payload.plot(distance, curves.bits, color=UP, label="fits before the deadline")
    payload.axhline(report.dense_bits, color=LIMIT_COLOUR, linestyle="--", linewidth=1.2, label="whole update")
    payload.set_ylabel("payload, bit")
    payload.set_xlabel("distance from the base station, m")
    for axes, values, floor in ((rate, curves.rate_bps, 1e2), (payload, curves.bits, 1e3)):
        axes.set_yscale("log")
        if values.max(initial=0.0) > floor:
            axes.set_ylim(bottom=max(floor, 0.5 * values[values > 0].min()))
        axes.yaxis.set_major_formatter(FuncFormatter(_engineering))
    points = {snr: updates.snr_db, rate: updates.rate_bps, payload: updates.bits}
    reach_m = reaches["uplink"].range_m
    for axes, values in points.items():
        label = "clients" if updates.client is not None else "distances asked for"
        axes.plot(updates.distance_m, values, "o", color=UP, markersize=5, markeredgecolor="white", label=label)
        if distance[0] < reach_m < distance[-1]:
            axes.axvline(reach_m, color="0.45", linewidth=1.0, linestyle=":")
        axes.set_xscale("log")
        axes.legend(loc="lower left")
    if distance[0] < reach_m < distance[-1]:
        snr.annotate(f"range {reach_m:,.0f} m", (reach_m, 0.9), xycoords=("data", "axes fraction"), xytext=(4, 0),
                     textcoords="offset points", color="0.35", fontsize=10)  # fmt: skip
    payload.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    sure = "margin as stated" if report.margin_stated else f"reliability {100 * report.reliability:g} %"
    snr.set_title(f"What a link can count on: {sure}, deadline {report.deadline_s:.3g} s")


def _engineering(value: float, _: int) -> str:
    for scale, symbol in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:g} {symbol}"
    return f"{value:g}"
