"""The look of every picture: one style file, the colour and marker of an arm, the red of limits and losses.

Does not know what is drawn. Together with the modules of pictures the only place that imports matplotlib.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib

from analysis.traces import Traces

STYLE_FILE = Path(__file__).with_name("house.mplstyle")
WIDTH_IN = 10.0
"""Width of a wide picture; with it, the fonts of the style stay readable in a README."""

# Okabe and Ito (2008), without the yellow that vanishes on white: told apart with every common colour
# blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", ":")
LIMIT_COLOUR = "#C00000"
# Light for what waits, dark for what fills the air; apart in lightness too, for eyes and printers without colour.
ACTIVITY_COLOURS = {
    "downlink": "#56B4E9",
    "computing": "#B8B8B8",
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


def arm_colour(traces: Traces, arm: str) -> str:
    """The colour of an arm: the same in all pictures of a study. After 7 they repeat, with other dashes."""
    return COLOURS[traces.arms.index(arm) % len(COLOURS)]


def arm_line(traces: Traces, arm: str) -> dict[str, Any]:
    """Colour, marker and dashes of an arm, as arguments of ``Axes.plot``."""
    index = traces.arms.index(arm)
    return {
        "color": arm_colour(traces, arm),
        "marker": MARKERS[index % len(MARKERS)],
        "markeredgecolor": "white",
        "linestyle": DASHES[index // len(COLOURS) % len(DASHES)],
    }
