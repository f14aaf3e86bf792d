"""Analysis of runs: traces as pandas frames, trade-off tables and pictures.

Does not know how a trace came to be: it reads run directories, and imports neither torch nor SimPy.

>>> from analysis import load
>>> traces = load("runs/quickstart")          # a run, a study, or a pattern  # doctest: +SKIP

``analysis.tradeoff`` holds the numbers (``paired`` and ``pareto`` those of whole arms, ``compare`` the verdict on two
studies), ``analysis.plots`` the pictures; only the latter imports matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.traces import TraceError, Traces, load

__all__ = ["TraceError", "Traces", "load"]


def __getattr__(name: str) -> Any:
    # Lazy, because pandas takes half a second, which a command that only prints its help should not pay.
    if name in __all__:
        from analysis import traces

        return getattr(traces, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
