"""Pictures of links: SNR and rate over time, fading against theory, path loss against distance.

Takes arrays and models of `channels`; does not know runs or scenarios, and draws no random number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator, StrMethodFormatter
from numpy.typing import ArrayLike

from analysis.house import COLOURS, MARKERS, WIDTH_IN, in_house_style
from channels import measures
from channels.arrays import Floats, non_negative, positive, times_array
from channels.pathloss import PathLoss, Validity

LOWEST_GAIN_DB = -30.0
"""Down to here fading is compared with theory; a gain this low comes once in 1000 samples."""
HIGHEST_CROSSED_DB = 7.5
LEAST_STEPS = 3.0
"""Fades that last fewer steps in the mean are not drawn: too many begin and end between two samples."""
MOST_LAGS = 60
CROSSINGS_SHOWN, DURATIONS_SHOWN = (3e-3, 3.0), (5e-3, 300.0)
"""Per Doppler period, and in Doppler periods; rarer crossings need longer simulations than a picture is worth."""
THEORY = {"color": "0.15", "linewidth": 1.4, "zorder": 3}


@in_house_style
def snr_timeline(
    times_s: ArrayLike, snr_db: ArrayLike, rate_bps: ArrayLike, mean_snr_db: ArrayLike | None = None
) -> Figure:
    """What one link carries over time: its SNR above, the rate that follows below.

    Parameters
    ----------
    times_s, snr_db, rate_bps : array_like of float
        Times [T] in s in rising order, and the SNR in dB and rate in bit/s then.
    mean_snr_db : array_like of float, optional
        The SNR [T] without fading, drawn as a line through it.

    Returns
    -------
    Figure
        Not shown and not saved.

    Raises
    ------
    ValueError
        Arrays of different lengths, or none; times that do not rise; a value that is NaN or infinite.
    """
    times = times_array(times_s)
    if not times.size or np.any(np.diff(times) <= 0.0):
        raise ValueError("times_s must hold times in rising order")
    snr, rate = _along(times, "snr_db", snr_db), non_negative("a rate in bit/s", _along(times, "rate_bps", rate_bps))
    scale, unit = _rate_unit(float(rate.max()))
    figure = Figure(figsize=(WIDTH_IN, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(times, snr, color=COLOURS[0], linewidth=1.0, label="with fading")
    if mean_snr_db is not None:
        mean = _along(times, "mean_snr_db", mean_snr_db)
        above.plot(times, mean, color="0.1", linewidth=1.8, linestyle="--", label="path loss and shadowing alone")
        above.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.1)
    above.set_ylabel("SNR, dB")
    above.set_title("How strong the link is")
    below.fill_between(times, rate / scale, color=COLOURS[1], alpha=0.3, linewidth=0)
    below.plot(times, rate / scale, color=COLOURS[1], linewidth=1.0)
    average = float(rate.mean()) / scale
    below.axhline(average, color="0.1", linestyle=":", linewidth=1.8)
    below.annotate(f"mean\n{average:.3g}", (1.0, average), (4, 0), ("axes fraction", "data"), "offset points",
                   va="center", fontsize=10, annotation_clip=False)  # fmt: skip
    below.set_ylim(bottom=0.0)
    below.set_ylabel(f"rate, {unit}")
    below.set_title("… and what it carries")
    below.set_xlabel("time, s")
    below.set_xlim(float(times[0]), float(times[-1]) if times.size > 1 else None)
    return figure


@in_house_style
def fading_figure(
    amplitudes: ArrayLike, step_s: float, doppler_hz: float, k: float = 0.0, title: str = "Fading against theory"
) -> Figure:
    """Fading as simulated (dots) and as theory has it (lines): law, memory, level crossings, fade durations.

    Parameters
    ----------
    amplitudes : array_like of complex
        Amplitudes [clients, T] of mean power 1 at times that are `step_s` apart: 0.01 over the Doppler shift or less.
        Levels whose fades last fewer than 3 steps in the mean are left out.
    step_s, doppler_hz : float
        Step in s, and Doppler shift in Hz.
    k : float
        K factor as a ratio: 0 for Rayleigh fading. The direct path comes from a uniform angle.
    title : str
        Above all four.

    Returns
    -------
    Figure
        Not shown and not saved.

    Raises
    ------
    ValueError
        Amplitudes that are not [clients, T] or not finite; a step or Doppler shift that is not above 0.
    """
    waves = np.asarray(amplitudes, dtype=np.complex128)
    if waves.ndim != 2 or waves.shape[0] < 1 or waves.shape[1] < 2 or not np.isfinite(waves).all():
        raise ValueError(f"amplitudes must be finite, [clients, times >= 2]; got shape {waves.shape}")
    step_s, doppler_hz = positive("step_s", step_s), positive("doppler_hz", doppler_hz)
    gains = np.abs(waves) ** 2
    figure = Figure(figsize=(WIDTH_IN, 7.4), layout="constrained")
    law, memory, crossings, durations = figure.subplots(2, 2).ravel()
    _draw_law(law, gains, k)
    _draw_memory(memory, waves, step_s, doppler_hz)
    _draw_fades(crossings, durations, gains, step_s, doppler_hz, k)
    handles, labels = law.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    figure.suptitle(title)
    return figure


def _draw_law(axes: Axes, gains: Floats, k: float) -> None:
    levels_db = np.arange(LOWEST_GAIN_DB, 10.5, 2.5)
    measured = [100.0 * measures.outage(gains, 10.0 ** (level_db / 10.0)) for level_db in levels_db]
    _dots(axes, levels_db, measured)
    fine_db = np.linspace(LOWEST_GAIN_DB, 10.0, 400)
    axes.plot(fine_db, 100.0 * measures.rician_outage(10.0 ** (fine_db / 10.0), k), label="theory", **THEORY)
    _logarithmic(axes)
    axes.set_ylim(0.05, 150.0)
    axes.set_ylabel("share of time below, % (logarithmic)")
    axes.set_title("How deep: distribution of the gain")
    _over_mean(axes)


def _draw_memory(axes: Axes, waves: np.ndarray, step_s: float, doppler_hz: float) -> None:
    stride = max(1, round(0.05 / (doppler_hz * step_s)))
    lags = np.arange(0, min(waves.shape[-1], MOST_LAGS * stride), stride)
    periods = lags * step_s * doppler_hz
    _dots(axes, periods, measures.autocorrelation(waves, lags))
    fine = np.linspace(0.0, float(periods[-1]), 500)
    axes.plot(fine, measures.clarke_autocorrelation(fine, 1.0), **THEORY)
    axes.axhline(0.0, color="0.6", linewidth=0.8, zorder=1)
    axes.set_xlabel("lag, 1/fd")
    axes.set_ylabel("autocorrelation, ratio")
    axes.set_title("How long: memory of the amplitude")


def _draw_fades(crossings: Axes, durations: Axes, gains: Floats, step_s: float, doppler_hz: float, k: float) -> None:
    fine_db = np.linspace(LOWEST_GAIN_DB, HIGHEST_CROSSED_DB, 300)
    theory, duration = _fades(fine_db, k)
    crossings.plot(fine_db, theory, **THEORY)
    durations.plot(fine_db, duration, **THEORY)
    levels_db = np.arange(LOWEST_GAIN_DB, HIGHEST_CROSSED_DB + 0.1, 2.5)
    levels_db = levels_db[_fades(levels_db, k)[1] >= LEAST_STEPS * step_s * doppler_hz]
    levels = [10.0 ** (level_db / 10.0) for level_db in levels_db]
    rates = np.array([measures.level_crossing_rate(gains, step_s, level) for level in levels]) / doppler_hz
    below = np.array([measures.outage(gains, level) for level in levels])
    met = rates > 0.0
    _dots(crossings, levels_db[met], rates[met])
    _dots(durations, levels_db[met], below[met] / rates[met])
    for axes in (crossings, durations):
        _logarithmic(axes)
        _over_mean(axes)
    crossings.set_ylim(*CROSSINGS_SHOWN)
    durations.set_ylim(*DURATIONS_SHOWN)
    crossings.set_ylabel("rate, crossings per 1/fd (logarithmic)")
    crossings.set_title("How often: level crossing rate")
    durations.set_ylabel("duration, 1/fd (logarithmic)")
    durations.set_title("… and how long each time: fade duration")


def _fades(levels_db: Floats, k: float) -> tuple[Floats, Floats]:
    """What theory has: crossings a Doppler period, over all angles of the direct path, and durations in periods."""
    levels, angles = 10.0 ** (levels_db / 10.0), 2.0 * np.pi * (np.arange(64) + 0.5) / 64
    rates = measures.rician_crossing_rate(levels[:, None], k, 1.0, np.cos(angles)).mean(axis=1)
    return rates, measures.rician_outage(levels, k) / rates


def _dots(axes: Axes, x: ArrayLike, y: ArrayLike) -> None:
    axes.plot(x, y, linestyle="none", marker="o", markersize=6, color=COLOURS[0], markeredgecolor="white",
              label="simulated", zorder=4)  # fmt: skip


def _logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _over_mean(axes: Axes) -> None:
    axes.set_xlabel("gain over its mean, dB")
    axes.xaxis.set_major_locator(MultipleLocator(10))


@in_house_style
def path_loss_figure(
    models: Mapping[str, PathLoss], carrier_hz: float, nearest_m: float = 10.0, furthest_m: float = 10_000.0
) -> Figure:
    """Path loss of several models against distance, with their breakpoints and the ranges they are stated for.

    A line is solid where its model is stated for the distance and carrier, thin and dotted outside; a ring marks the
    breakpoint.

    Parameters
    ----------
    models : mapping of str to PathLoss
        At most 7, by the name that the picture gives them.
    carrier_hz : float
    nearest_m, furthest_m : float
        Ends of the distance axis, in m, the first above 0.

    Returns
    -------
    Figure
        Not shown and not saved.
    """
    if not 0 < len(models) <= len(COLOURS):
        raise ValueError(f"path losses of 1 to {len(COLOURS)} models fit one picture; got {len(models)}")
    if not 0.0 < nearest_m < furthest_m < math.inf:
        raise ValueError(f"distances must rise from above 0; got {nearest_m} to {furthest_m}")
    distance = np.geomspace(nearest_m, furthest_m, 600)
    figure = Figure(figsize=(WIDTH_IN, 5.6), layout="constrained")
    axes = figure.subplots()
    ends: list[tuple[float, str, str]] = []
    for n, (name, model) in enumerate(models.items()):
        loss, colour = model.path_loss_db(distance, carrier_hz), COLOURS[n]
        stated: Validity = getattr(model, "validity", Validity())
        inside = np.array([stated.outside(float(d), carrier_hz) is None for d in distance])
        axes.plot(distance, loss, color=colour, linewidth=1.2, linestyle=(0, (1, 2)))
        every = (n * 600 // (7 * len(models)) + 20, 120)
        axes.plot(distance, np.where(inside, loss, np.nan), color=colour, marker=MARKERS[n], markevery=every,
                  markeredgecolor="white", label=name)  # fmt: skip
        edge_m = _breakpoint_m(model, carrier_hz)
        if edge_m is not None and nearest_m <= edge_m <= furthest_m:
            at_db = float(model.path_loss_db(edge_m, carrier_hz))
            axes.plot(edge_m, at_db, marker="o", markersize=12, markerfacecolor="none", markeredgecolor=colour,
                      markeredgewidth=2.0, linestyle="none")  # fmt: skip
        ends.append((float(loss[-1]), name, colour))
    axes.set_xscale("log")
    axes.set_xlim(nearest_m, furthest_m)
    axes.xaxis.set_major_formatter(FuncFormatter(_metres))
    axes.invert_yaxis()
    axes.set_xlabel("horizontal distance (logarithmic), m")
    axes.set_ylabel("path loss, dB")
    _name_ends(axes, ends)
    _path_loss_key(axes)
    figure.suptitle(f"Path loss at {carrier_hz / 1e9:g} GHz")
    return figure


def _breakpoint_m(model: PathLoss, carrier_hz: float) -> float | None:
    """Where the slope changes with line of sight; without it the models have no breakpoint."""
    if getattr(model, "line_of_sight", "always") != "always":
        return None
    find: Callable[[float], float] | None = getattr(model, "breakpoint_m", getattr(model, "crossover_m", None))
    return None if find is None else float(find(carrier_hz))


def _name_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Names beside the right ends of their lines, moved apart where lines end close together."""
    low, high = sorted(axes.get_ylim())
    gap, at = 0.05 * (high - low), -math.inf
    for loss_db, name, colour in sorted(ends):
        at = max(loss_db, at + gap)
        axes.annotate(name, (1.0, at), (8, 0), ("axes fraction", "data"), "offset points", color=colour, va="center",
                      fontweight="bold", annotation_clip=False)  # fmt: skip
    axes.set_ylim(max(high, at + gap), low)


def _path_loss_key(axes: Axes) -> None:
    ring = axes.plot([], [], marker="o", markersize=12, markerfacecolor="none", markeredgecolor="0.3",
                     markeredgewidth=2.0, linestyle="none")[0]  # fmt: skip
    stated, beyond = axes.plot([], [], color="0.3")[0], axes.plot([], [], color="0.3", lw=1.2, ls=(0, (1, 2)))[0]
    texts = ["stated for this distance and carrier", "formula held or continued", "breakpoint"]
    axes.legend([stated, beyond, ring], texts, loc="lower left")


def _metres(value: float, _: int | None = None) -> str:
    return f"{value:,.0f}".replace(",", " ") if value >= 1.0 else f"{value:g}"


def _rate_unit(largest_bps: float) -> tuple[float, str]:
    for scale, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if largest_bps >= 2.0 * scale:
            return scale, unit
    return 1.0, "bit/s"


def _along(times: Floats, name: str, values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != times.shape or not np.isfinite(array).all():
        raise ValueError(f"{name} must hold {times.size} finite values, one a time; got shape {array.shape}")
    return array
