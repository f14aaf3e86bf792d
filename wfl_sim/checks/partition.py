"""Checks of partitions: that every example has one client, every client an example, and the draw follows the stream.

Know the contract and no partition; the labels are made up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from channels.streams import Stream
from wfl_sim.checks.contract import Contract, Ints
from wfl_sim.learning.partition import CannotSplit, Partition, broken

CLIENTS = (1, 3, 12)
CLASSES, OF_EACH, GROUPS = 6, 40, 15


def check_partition(partition: Partition) -> None:
    """Hold a partition against `wfl_sim.learning.partition.Partition`."""
    contract = Contract(partition, "wfl_sim.learning.partition.Partition")
    contract.options(1)
    needs_groups = getattr(partition, "needs_groups", False)
    contract.holds(5, isinstance(needs_groups, bool), f"needs_groups is {needs_groups!r}, not true or false")
    ordered = np.repeat(np.arange(CLASSES, dtype=np.int64), OF_EACH)
    groups = np.arange(ordered.size, dtype=np.int64) % GROUPS
    shuffled = Stream.root(0).generator(0, 0).permutation(ordered)
    split = 0
    for labels in (ordered, shuffled):
        for clients in CLIENTS:
            for given in (groups,) if needs_groups else (groups, None):
                split += _check_split(contract, labels, given, clients)
    contract.holds(2, split, f"split() takes none of {2 * len(CLIENTS)} plain cases, of 1 to {CLIENTS[-1]} clients")
    contract.card(6)


def _check_split(contract: Contract, labels: Ints, groups: Ints | None, clients: int) -> bool:
    """Whether the case was split."""
    what = f"split() of {labels.size} examples over {clients} clients"
    clause = 4 if groups is not None else 5
    whose = np.empty(0, dtype=np.int64) if groups is None else groups
    kept = labels.copy(), whose.copy()

    def ask() -> Any:
        try:
            return contract.model.split(labels, groups, clients, Stream.root(5))
        except CannotSplit as error:
            return error

    parts = contract.ask(clause, what, ask)
    if isinstance(parts, CannotSplit):
        contract.holds(4, parts.message.strip(), f"{what} raises CannotSplit without a word")
        return False
    contract.holds(2, isinstance(parts, list), f"{what} gives a {type(parts).__name__}, not a list of arrays")
    for problem in broken(parts, labels.size, clients):
        raise contract.broken(2, f"{what} {problem}")
    again = contract.ask(clause, f"{what} asked again", ask)
    same = isinstance(again, list) and all(np.array_equal(x, y) for x, y in zip(parts, again, strict=True))
    contract.holds(3, same, f"{what} gives another answer when asked again with the same stream")
    untouched = np.array_equal(labels, kept[0]) and np.array_equal(whose, kept[1])
    contract.holds(3, untouched, f"{what} changes the labels or groups that it is given")
    return True
