"""Bases of adapters: what was computed in the basis of one version of a model, carried into that of a later one.

Knows arrays, pairs (A, B) and versions; neither methods nor clients. A turn is a matrix T [r, r] for each pair, by the
name of A: A <- T A and B <- B T^-1, for models and for changes of them alike, so that B A stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from wfl_sim.contracts import FloatArray, Params

Pairs = Sequence[tuple[str, str]]


def rounded(maps: Mapping[str, FloatArray]) -> Params:
    """Maps as they are kept and sent: what they turn, they turn in this precision."""
    return {name: value.astype(np.float32) for name, value in maps.items()}


def turned(params: Params, maps: Mapping[str, FloatArray] | Params, pairs: Pairs) -> Params:
    """Tensors in another basis; those that no map is for are the same arrays."""
    after = dict(params)
    for a, b in pairs:
        if a in maps:
            turn = maps[a].astype(np.float64)
            after[a] = (turn @ params[a]).astype(np.float32)
            after[b] = np.ascontiguousarray(np.linalg.solve(turn.T, params[b].T.astype(np.float64)).T, np.float32)
    return after


class Turns:
    """The turns of the versions of a model, as far back as anything waits.

    Parameters
    ----------
    pairs : sequence of (str, str)
    """

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs
        self.made: dict[int, Params] = {}  # by the version that a turn led to

    def add(self, version: int, maps: Params) -> None:
        """Say how the basis of a version came from that of the one before."""
        if maps:
            self.made[version] = maps

    def carried(self, params: Params, since: int, until: int) -> Params:
        """What was computed in the basis of version `since`, in that of `until`."""
        return turned(params, self.between(since, until), self._pairs)

    def between(self, since: int, until: int) -> dict[str, FloatArray]:
        """All turns from one version to another as one."""
        whole: dict[str, FloatArray] = {}
        for version in range(since + 1, until + 1):
            for name, turn in self.made.get(version, {}).items():
                step = turn.astype(np.float64)
                whole[name] = step @ whole[name] if name in whole else step
        return whole

    def forget(self, needed: Iterable[int], now: int) -> None:
        """Drop the turns that lead to the versions `needed`, or to earlier ones."""
        least = min(needed, default=now)
        self.made = {version: maps for version, maps in self.made.items() if version > least}
