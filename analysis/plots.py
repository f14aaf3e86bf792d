"""All pictures of traces by one name each, what a schedule decided among them; and all of a study at once.

Takes `Traces` and returns figures; does not know files except in `save_all`, and keeps no pyplot state.

In a notebook, ``%matplotlib inline`` in the first cell makes a returned figure show itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis import grid
from analysis.activityplot import activity_timeline
from analysis.airplots import bandwidth_shares, upload_times
from analysis.clientgroups import groups_of
from analysis.curveplot import accuracy_against, tradeoff
from analysis.fairnessplot import participation
from analysis.groupsplot import client_groups
from analysis.holdingsplot import holdings
from analysis.house import LIMIT_COLOUR, WIDTH_IN, arm_colour, in_house_style
from analysis.ledgerplot import ledger_bars
from analysis.paretoplot import pareto
from analysis.steps import has_steps
from analysis.sweepplot import sweep
from analysis.targetplot import time_to_target
from analysis.timeline import LINK_ROUNDS, link_timeline
from analysis.traces import Traces
from analysis.tradeoff import targets_of
from analysis.updates import FULL_BITS

__all__ = [
    "accuracy_against",
    "activity_timeline",
    "arms_alone",
    "bandwidth_shares",
    "client_groups",
    "holdings",
    "ledger_bars",
    "link_timeline",
    "pareto",
    "participation",
    "save_all",
    "schedule_timeline",
    "sweep",
    "time_to_target",
    "tradeoff",
    "upload_times",
]

FEWEST_FOR_FRONT = 3
"""Arms from which on the picture of the front is drawn."""
MOST_SPLITS = 6
"""Pictures of who holds what; a grid over the split of the data would have one for each of its points."""


@in_house_style
def schedule_timeline(traces: Traces, arm: str, seed: int | None = None) -> Figure:
    """What the schedule did: kept fraction, round time against its budget, virtual queue; by round.

    Of split training the bits a value of activations and gradients stand in place of the kept fraction.
    """
    cell = traces.select(arm, seed)
    rounds, sends = cell.rounds, cell.decisions[cell.decisions["action"] == "send"]
    number, colour = rounds["round"], arm_colour(traces, arm)
    figure = Figure(figsize=(WIDTH_IN, 7.0), layout="constrained")
    kept, duration, queue = figure.subplots(3, 1, sharex=True)

    clients = sends.groupby("round")["kept_fraction"]
    low, high, split = clients.min(), clients.max(), has_steps(cell)
    whole = FULL_BITS if split else 100
    kept.fill_between(
        low.index, whole * low, whole * high, color=colour, alpha=0.15, lw=0, label="lowest to highest client"
    )
    kept.plot(number, whole * rounds["kept_fraction_mean"], color=colour, marker="o", label="mean")
    kept.set_ylim(0, 1.05 * whole)
    kept.set_ylabel("bits a value" if split else "kept fraction, %")
    kept.set_title("How activations and gradients are coded" if split else "How much of an update is sent")

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
    behind = "how far the rounds are behind their budget"
    queue.set_title(f"Virtual queue: {'none without a latency budget' if np.isnan(budget_s) else behind}")
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
    where nothing was learnt; of groups of clients, where there is one at most; of targets, where there is none; of a
    sweep, where there is no grid; and of the front, of one or two arms. Arms with the same split of the data have one
    picture of it, up to six splits.

    `arms` limits the pictures of single arms to those named, by default `arms_alone`; the pictures that compare arms
    show all of them. `rounds` are the first and last round of the timelines.

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
    if traces.learns and len(groups_of(traces)) > 1:
        draw["groups"] = lambda: client_groups(traces)
    if traces.learns and targets_of(traces):
        draw["time-to-target"] = lambda: time_to_target(traces)
    if traces.learns and len(traces.arms) >= FEWEST_FOR_FRONT:
        draw["pareto"] = lambda: pareto(traces)
    if grid.axes(traces) and len(traces.rounds):
        draw["sweep"] = lambda: sweep(traces)
    splits = _splits(traces)[:MOST_SPLITS]
    for cell in splits:
        name = "holdings" if len(splits) == 1 else f"holdings-{cell[0]}-seed{cell[1]}".replace("/", "-")
        draw[name] = functools.partial(holdings, traces, *cell)
    if (traces.transmissions["direction"] == "up").any():
        draw["upload-times"] = lambda: upload_times(traces)
        draw["participation"] = lambda: participation(traces)
        if traces.transmissions["payload_bits"].any():
            draw["bits-ledger"] = lambda: ledger_bars(traces)
    alone = arms_alone(traces) if arms is None else arms
    for arm, cells in traces.cells[traces.cells["rounds"] > 0].groupby("arm", sort=False):
        if arm not in alone:
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


def arms_alone(traces: Traces) -> list[str]:
    """The arms with pictures of their own unless told: all; of a grid those of its first point."""
    return grid.arms_at(traces, grid.points(traces)[:1])


def _splits(traces: Traces) -> list[tuple[str, int]]:
    """The first cell of each arm whose examples are split as those of no arm before it."""
    found: dict[tuple[tuple[tuple[str, ...], bytes], ...], tuple[str, int]] = {}
    for arm in traces.arms:
        cell = next(((arm, seed) for seed in traces.seeds(arm) if (arm, seed) in traces.holdings), None)
        if cell is not None:
            tables = tuple((held.classes, held.counts.tobytes()) for held in traces.holdings[cell])
            found.setdefault(tables, cell)
    return list(found.values())
