"""Pictures of traces: quality against its cost, what a schedule decided; and all pictures of a study at once.

Takes `Traces` and returns figures; does not know files except in `save_all`, and keeps no pyplot state.

In a notebook, ``%matplotlib inline`` in the first cell makes a returned figure show itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from analysis import tradeoff as costs
from analysis.activityplot import activity_timeline
from analysis.airplots import bandwidth_shares, upload_times
from analysis.holdingsplot import holdings
from analysis.house import LIMIT_COLOUR, WIDTH_IN, arm_colour, arm_line, in_house_style
from analysis.timeline import LINK_ROUNDS, link_timeline
from analysis.traces import TraceError, Traces
from wfl_sim.quality import ACCURACY, PERPLEXITY, Quality

__all__ = [
    "accuracy_against",
    "activity_timeline",
    "bandwidth_shares",
    "holdings",
    "link_timeline",
    "save_all",
    "schedule_timeline",
    "tradeoff",
    "upload_times",
]

LOG_FROM_RATIO = 8.0
"""Arms whose total costs differ by more than this, and perplexities that do, are drawn over a logarithmic axis."""
LETTERS_PER_IN, KEY_LETTERS = 11, 8
"""How many letters of a legend fit an inch, and how many the line before a name takes up."""
NO_ACCURACY = "no accuracy: a run without learning"


@in_house_style
def accuracy_against(traces: Traces, x: str) -> Figure:
    """Accuracy of each arm, or perplexity, against ``uplink_bits``, ``t_end_s`` or ``energy_j``.

    A line is the mean over the seeds, its band spans the lowest to the highest seed (see `tradeoff.curves`).
    Arms whose total costs differ by more than a factor of 8 are drawn over a logarithmic axis.
    """
    figure = Figure(figsize=(0.75 * WIDTH_IN, 5.0), layout="constrained")
    axes = figure.subplots()
    _draw_quality(axes, traces, x)
    axes.set_ylabel(_quality_label(traces, axes))
    _label_targets(axes, traces)
    figure.suptitle(f"{traces.quality.metric.capitalize()} against {_COST_TITLES[x]}")
    _arm_legend(figure, axes, traces)
    return figure


@in_house_style
def tradeoff(traces: Traces) -> Figure:
    """Accuracy, or perplexity, against uplink bits (left) and against simulated seconds (right), over one axis."""
    figure = Figure(figsize=(WIDTH_IN, 4.9), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    panels = ((left, "uplink_bits", "What it costs in bits"), (right, "t_end_s", "… and in time"))
    for axes, x, title in panels:
        _draw_quality(axes, traces, x)
        axes.set_title(title)
    left.set_ylabel(_quality_label(traces, left))
    _label_targets(right, traces)
    _arm_legend(figure, left, traces)
    return figure


_COST_TITLES = {
    "uplink_bits": "what the clients sent",
    "t_end_s": "simulated time",
    "energy_j": "the clients' energy",
}


def _in_words(quality: Quality) -> tuple[float, str]:
    """By what a value is multiplied to be shown, and the unit behind it."""
    return (100.0, " %") if quality == ACCURACY else (1.0, "")


def _quality_label(traces: Traces, axes: Axes) -> str:
    if traces.quality == ACCURACY:
        return "accuracy on held-out examples, %"
    how = ", logarithmic" if axes.get_yscale() == "log" else ""
    return f"{traces.quality.metric} on held-out text\n({traces.quality.better} is better{how})"


def _draw_quality(axes: Axes, traces: Traces, x: str) -> None:
    curves, quality = costs.curves(traces, x), traces.quality
    by = _in_words(quality)[0]
    if curves.empty:
        missing = NO_ACCURACY if len(traces.rounds) else "no round has been finished yet"
        raise TraceError(f"{missing}; there is nothing to draw")
    totals = curves.groupby("arm")[x].max()
    scale, label = _cost_unit(x, float(totals.max()))
    for arm in traces.arms:
        curve = curves[curves["arm"] == arm]
        if curve.empty:
            evaluated = len(traces.rounds) and (traces.rounds["arm"] == arm).any()
            why = "without learning" if evaluated else "no round yet"
            axes.plot([], [], " ", label=f"{arm}: no {quality.metric}, {why}")
            continue
        curve = curve[np.isfinite(curve["high"])]  # a perplexity of a model that has diverged has no place
        position = (curve[x] / scale).to_numpy()
        colour = arm_colour(traces, arm)
        axes.fill_between(position, by * curve["low"], by * curve["high"], color=colour, alpha=0.15, lw=0)
        axes.plot(
            position, by * curve["mean"], label=arm, markevery=max(1, len(curve) // 6),
            **arm_line(traces, arm),
        )  # fmt: skip
    if totals.max() > LOG_FROM_RATIO * totals.min() > 0:
        axes.set_xscale("log")
        _plain_ticks(axes.xaxis)
        label += " (logarithmic)"
    else:
        axes.set_xlim(left=0)
    axes.set_xlabel(label)
    values = curves.loc[np.isfinite(curves["high"]), ["low", "high"]]
    if quality == PERPLEXITY and values["high"].max() > LOG_FROM_RATIO * values["low"].min():
        axes.set_yscale("log")
        _plain_ticks(axes.yaxis)
    for target in costs.targets_of(traces):
        axes.axhline(by * target, color="0.45", linewidth=1, linestyle=(0, (5, 4)), zorder=1)


def _plain_ticks(axis: Axis) -> None:
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _cost_unit(x: str, largest: float) -> tuple[float, str]:
    if x == "t_end_s":
        return (3600.0, "simulated time, h") if largest > 3 * 3600 else (1.0, "simulated time, s")
    if x == "energy_j":
        return (1e3, "clients' energy, kJ") if largest > 1e4 else (1.0, "clients' energy, J")
    for scale, unit in ((1e9, "Gbit"), (1e6, "Mbit"), (1e3, "kbit")):
        if largest > 2 * scale:
            return scale, f"uplink of all clients, {unit}"
    return 1.0, "uplink of all clients, bit"


def _label_targets(axes: Axes, traces: Traces) -> None:
    # Beside the axes, where no curve can run through the words; spread where targets lie close together.
    by, unit = _in_words(traces.quality)
    height = np.log if axes.get_yscale() == "log" else np.asarray
    low, high = height(axes.get_ylim())
    at = -np.inf
    for target in costs.targets_of(traces):
        at = max(at + 0.06, float((height(by * target) - low) / (high - low)))
        axes.annotate(
            f"target {by * target:g}{unit}", (1.0, at), (4, 0), "axes fraction", "offset points",
            va="center", color="0.35", fontsize=10,
        )  # fmt: skip


def _arm_legend(figure: Figure, axes: Axes, traces: Traces) -> None:
    handles, labels = axes.get_legend_handles_labels()
    seeds = traces.cells[traces.cells["rounds"] > 0].groupby("arm").size()
    fewest, most = int(seeds.min()), int(seeds.max())
    count = f"{most}" if fewest == most else f"{fewest} to {most}"
    title = f"mean of {count} seeds; the band spans the lowest to the highest" if most > 1 else "one seed"
    # As many columns as the names leave room for.
    fit = int(LETTERS_PER_IN * figure.get_figwidth() / (max(map(len, labels)) + KEY_LETTERS))
    figure.legend(handles, labels, title=title, loc="outside lower center", ncols=min(5, max(1, fit)))


@in_house_style
def schedule_timeline(traces: Traces, arm: str, seed: int | None = None) -> Figure:
    """What the schedule did: kept fraction, round time against its budget, virtual queue; by round."""
    cell = traces.select(arm, seed)
    rounds, sends = cell.rounds, cell.decisions[cell.decisions["action"] == "send"]
    number, colour = rounds["round"], arm_colour(traces, arm)
    figure = Figure(figsize=(WIDTH_IN, 7.0), layout="constrained")
    kept, duration, queue = figure.subplots(3, 1, sharex=True)

    clients = sends.groupby("round")["kept_fraction"]
    low, high = clients.min(), clients.max()
    kept.fill_between(
        low.index, 100 * low, 100 * high, color=colour, alpha=0.15, lw=0, label="lowest to highest client"
    )
    kept.plot(number, 100 * rounds["kept_fraction_mean"], color=colour, marker="o", label="mean")
    kept.set_ylim(0, 105)
    kept.set_ylabel("kept fraction, %")
    kept.set_title("How much of an update is sent")

    duration.bar(number, rounds["t_end_s"] - rounds["t_start_s"], color=colour, alpha=0.6, label="round time")
    budget_s = float(cell.cells["latency_budget_s"].iloc[0])
    title = "How long a round takes"
    if np.isnan(budget_s):
        title += ", without a latency budget"
    else:
        label = f"latency budget {budget_s:g} s"
        duration.axhline(budget_s, color=LIMIT_COLOUR, linestyle="--", label=label)
    duration.set_ylabel("round time, s")
    duration.set_title(title)

    queue.plot(number, rounds["queue"], color=colour, marker="o", clip_on=False)
    queue.set_ylim(bottom=0, top=None if rounds["queue"].max() > 0 else 1)
    queue.set_ylabel("queue, budgets")
    queue.set_title("Virtual queue: how far the rounds are behind their budget")
    queue.set_xlabel("round, number")
    queue.xaxis.set_major_locator(MaxNLocator(integer=True))
    queue.set_xlim(number.min() - 0.6, number.max() + 0.6)
    for axes in (kept, duration):
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=2)
    figure.suptitle(f"What the schedule did: {arm}, seed {cell.cells['seed'].iloc[0]}")
    return figure


@in_house_style
def save_all(
    traces: Traces,
    directory: str | Path,
    arms: Collection[str] | None = None,
    rounds: tuple[int, int] | None = None,
) -> list[Path]:
    """Write every picture as PNG (150 dpi) and SVG; of each arm, the first seed that has a finished round.

    Pictures that the traces have nothing for are left out: those of accuracy (or perplexity) and of who holds what,
    where nothing was learnt. Arms with the same split of the data have one picture of it.

    `arms` limits the pictures of single arms to those named; the pictures that compare arms show all of them. `rounds`
    are the first and last round of the timelines.

    The same traces give the same files. `directory` is made if needed; files of the same name are
    overwritten.

    Returns
    -------
    list of Path
        The files, in the order written.
    """
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    draw: dict[str, Callable[[], Figure]] = {}
    if traces.learns or traces.rounds.empty:  # without a round, the first of them says so
        metric = traces.quality.metric
        draw |= {
            "tradeoff": lambda: tradeoff(traces),
            f"{metric}-bits": lambda: accuracy_against(traces, "uplink_bits"),
            f"{metric}-time": lambda: accuracy_against(traces, "t_end_s"),
        }
    splits = _splits(traces)
    for cell in splits:
        name = "holdings" if len(splits) == 1 else f"holdings-{cell[0]}-seed{cell[1]}".replace("/", "-")
        draw[name] = functools.partial(holdings, traces, *cell)
    if (traces.transmissions["direction"] == "up").any():
        draw["upload-times"] = lambda: upload_times(traces)
    for arm, cells in traces.cells[traces.cells["rounds"] > 0].groupby("arm", sort=False):
        if arms is not None and arm not in arms:
            continue
        seed = int(cells["seed"].iloc[0])
        name = f"{arm}-seed{seed}".replace("/", "-")
        draw[f"schedule-{name}"] = functools.partial(schedule_timeline, traces, str(arm), seed)
        if len(traces.select(str(arm), seed).decisions):
            draw[f"timeline-{name}"] = functools.partial(activity_timeline, traces, str(arm), seed, rounds)
            draw[f"link-{name}"] = functools.partial(link_timeline, traces, str(arm), seed, rounds or LINK_ROUNDS)
            draw[f"bandwidth-{name}"] = functools.partial(bandwidth_shares, traces, str(arm), seed)
    paths = []
    for name, make in draw.items():
        figure = make()
        for suffix, metadata in ((".png", {}), (".svg", {"Date": None})):
            paths.append(target / f"{name}{suffix}")
            figure.savefig(paths[-1], metadata=metadata)
            # The second file keeps the layout of the first, which takes the longest to find.
            figure.set_layout_engine(None)
    return paths


def _splits(traces: Traces) -> list[tuple[str, int]]:
    """The first cell of each arm whose examples are split as those of no arm before it."""
    found: dict[tuple[object, bytes], tuple[str, int]] = {}
    for arm in traces.arms:
        cell = next(((arm, seed) for seed in traces.seeds(arm) if (arm, seed) in traces.holdings), None)
        if cell is not None:
            held = traces.holdings[cell]
            found.setdefault((held.classes, held.counts.tobytes()), cell)
    return list(found.values())
