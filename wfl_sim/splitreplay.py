"""The learning side of a split run that can be continued: as `wfl_sim.replay`, for what the halves send each other too.

Knows sizes and metrics; neither tensors nor time.
"""

from __future__ import annotations

from typing import Any, cast

from wfl_sim.contracts import AnyPayload, Point, Sized, Work
from wfl_sim.replay import _NOTHING, Replayed
from wfl_sim.splitwork import Parts, SplitWork

MEMORY = ("client_memory_bytes", "server_memory_bytes", "server_each_memory_bytes")


class ReplayedSplit(Replayed):
    """A `SplitWork` that answers as it did before, until `go_on`, and from then on as the one that it holds.

    Parameters
    ----------
    work : SplitWork
    """

    def __init__(self, work: SplitWork) -> None:
        super().__init__(work)
        self._split = work

    @property
    def steps(self) -> int:
        """Of the work."""
        return self._split.steps

    def parts(self, client: int) -> Parts:
        """Of the work."""
        return self._split.parts(client)

    def transfer_bits(self, client: int, point: Point) -> int:
        """Of the work."""
        return self._split.transfer_bits(client, point)

    def forward(self, client: int, point: Point) -> AnyPayload | None:
        """Of the work, or one of the same size."""
        return self._sized_again() if self._again is not None else self._noting(self._split.forward(client, point))

    def serve(self, client: int) -> AnyPayload | None:
        """Of the work, or one of the same size."""
        return self._sized_again() if self._again is not None else self._noting(self._split.serve(client))

    def backward(self, client: int) -> None:
        """Tell the work."""
        if self._again is None:
            self._split.backward(client)

    def missed(self, client: int) -> None:
        """Tell the work."""
        if self._again is None:
            self._split.missed(client)

    def diagnostics(self) -> dict[str, Any]:
        """Of the work, or those of the round."""
        found = super().diagnostics()
        return found if self._again is None else {**found, **{name: self._row[name] for name in MEMORY}}

    def measured(self) -> dict[str, Any]:
        """What the work measures of itself."""
        measured: dict[str, Any] = getattr(self._split, "measured", dict)()
        return measured

    def _sized_again(self) -> Sized | None:
        bits = self._next()
        return None if bits == _NOTHING else Sized(int(bits), self._next())

    def _noting(self, payload: AnyPayload | None) -> AnyPayload | None:
        self._notes += [_NOTHING] if payload is None else [payload.bits, payload.kept_fraction]
        return payload


def replayed(work: Work) -> Replayed:
    """What a run uses in place of a work, so that it can be continued."""
    return ReplayedSplit(cast(SplitWork, work)) if hasattr(work, "transfer_bits") else Replayed(work)
