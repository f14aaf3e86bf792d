"""The look of every picture: one style file, the colour and marker of an arm, the red of limits and losses.

Does not know what is drawn. Together with the modules of pictures the only place that imports matplotlib.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib

from analysis import grid
from analysis.traces import Traces

STYLE_FILE = Path(__file__).with_name("house.mplstyle")
WIDTH_IN = 10.0
"""Width of a wide picture; with it, the fonts of the style stay readable in a README."""

# Okabe and Ito (2008), without the yellow that vanishes on white: told apart with every common colour
# blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", ":", "-.")
MOST_ARMS, MOST_LINES = 21, 12
"""Lines in one panel at most, of arms without a grid and of arms of one."""
LIMIT_COLOUR = "#C00000"
# Light for what waits, dark for what fills the air; apart in lightness too, for eyes and printers without colour.
ACTIVITY_COLOURS = {
    "downlink": "#56B4E9",
    "computing": "#B8B8B8",
    "forward": "#B8B8B8",
    "backward": "#7A7A7A",
    "activations": "#009E73",
    "server": "#E3D3EC",
    "gradient": "#CC79A7",
    "waiting": "#F3E3B0",
    "sending": "#0072B2",
    "repeating": "#E69F00",
}
DEFERRED: dict[str, Any] = {"facecolor": "0.97", "edgecolor": "0.75", "hatch": "///", "linewidth": 0.5}

P = ParamSpec("P")
R = TypeVar("R")


def in_house_style(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in the house style, and leave the caller's settings as they were."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(fname=STYLE_FILE):
            return draw(*args, **kwargs)

    return styled


def group_colour(traces: Traces, group: str) -> str:
    """The colour of a group of arms, which is that of each of its arms where there are several groups."""
    return COLOURS[grid.groups(traces).index(group) % len(COLOURS)]


def group_line(traces: Traces, group: str) -> dict[str, Any]:
    """Colour, marker and dashes of a group, as arguments of ``Axes.plot``."""
    return _line(grid.groups(traces).index(group), 0)


def arm_lines(traces: Traces) -> dict[str, dict[str, Any]]:
    """Colour, marker and dashes of each arm, as arguments of ``Axes.plot``: the same in all pictures of a study.

    Without a grid, and where all arms are points of one group, an arm has a colour of its own; after 7 they repeat,
    with other dashes. Otherwise the colour is that of its group, and the dashes tell the points apart.
    """
    places, groups = grid.places(traces), grid.groups(traces)
    if len(groups) in (1, len(places)):
        return {arm: _line(index, 0) for index, arm in enumerate(places)}
    few, _ = chosen(traces)
    some, points = list(dict.fromkeys(places[arm].point for arm in few)), grid.points(traces)
    return {
        arm: _line(groups.index(place.group), (some if place.point in some else points).index(place.point))
        for arm, place in places.items()
    }


def arm_line(traces: Traces, arm: str) -> dict[str, Any]:
    """The look of one arm, see `arm_lines`."""
    return arm_lines(traces)[arm]


def arm_colour(traces: Traces, arm: str) -> str:
    """The colour of an arm, see `arm_line`."""
    return str(arm_line(traces, arm)["color"])


def chosen(traces: Traces) -> tuple[list[str], str]:
    """The arms that one panel can hold and still be read, and what its title has to say about the others.

    Of a grid these are all arms of some of its points, at even distances; without one, the first 21 arms.
    """
    arms, groups, points = traces.arms, grid.groups(traces), grid.points(traces)
    if len(groups) == len(arms):
        few = arms[:MOST_ARMS]
        return few, "" if few == arms else f"the first {len(few)} of {len(arms)} arms"
    most = len(COLOURS) if len(groups) == 1 else max(1, min(len(DASHES), MOST_LINES // len(groups)))
    some = grid.evenly(points, most)
    return grid.arms_at(traces, some)[:MOST_ARMS], "" if some == points else said_of(some, points)


def below(*notes: str) -> str:
    """Notes in brackets below a title; nothing where there is none."""
    said = "; ".join(note for note in notes if note)
    return f"\n({said})" if said else ""


def said_of(some: list[str], points: list[str]) -> str:
    """What a title says where only some points of a grid are shown."""
    return f"{len(some)} of the {len(points)} points of the grid"


def _line(index: int, dashes: int) -> dict[str, Any]:
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "markeredgecolor": "white",
        "linestyle": DASHES[(index // len(COLOURS) + dashes) % len(DASHES)],
    }
