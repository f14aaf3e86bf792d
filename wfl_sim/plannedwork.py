"""The learning side of a plan: sizes and shares of work alone, for scenarios with halves and without.

Knows the sizes that are worked out from a scenario; trains nothing and loads no tensor library.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wfl_sim.codecs.dense import Dense
from wfl_sim.contracts import PayloadMenu, Point
from wfl_sim.networkonly import NetworkOnly
from wfl_sim.splitsizes import SplitSizes, cuts_of
from wfl_sim.splitwork import Parts

if TYPE_CHECKING:
    from wfl_sim.scenario import Scenario


class PlannedSplit(NetworkOnly):
    """As `NetworkOnly`, with what a split protocol asks before a round besides."""

    def __init__(self, scenario: Scenario, menu: PayloadMenu, downlink_bits: int) -> None:
        super().__init__(menu, downlink_bits, scenario.clients.count)
        self._sizes = SplitSizes.of(scenario)
        self._cuts = cuts_of(scenario, self._sizes)
        self._parts = {cut: self._sizes.parts(cut) for cut in set(self._cuts)}
        self.steps = self._sizes.steps

    def parts(self, client: int) -> Parts:
        """Who computes how much of a step."""
        return self._parts[self._cuts[client]]

    def transfer_bits(self, client: int, point: Point) -> int:
        """The most that one way of a step takes."""
        return self._sizes.transfer_bits(round(32 * point.kept_fraction))


def planned_sizes(scenario: Scenario, cut: int | None = None) -> tuple[PayloadMenu, int, int]:
    """What a client could send up in a round, and the bits of its first download and of a later one.

    It is one of the `cut` given, or of the highest that any client has.

    Raises
    ------
    MissingResource
        The model's ``config.json`` is not on this computer, or the data set is not known.
    """
    sizes, whole = SplitSizes.of(scenario), scenario.codec
    cut = cut or max(cuts_of(scenario, sizes))
    if isinstance(whole, Dense) and whole.bits == 8:  # the server sends 16
        whole = replace(whole, bits=16)
    return sizes.menu(cut), sizes.first_bits(cut), whole.menu(sizes.layout(cut)).points[-1].bits
