"""What codecs draw follows from the seed of the run, and is the same in all arms of a seed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wfl_sim.codecs.base import common_key
from wfl_sim.learning.federated import build_work
from wfl_sim.scenario import Study

ARMS = """\
seeds: [1, 2]
codec: {kind: components, select: random_common}
method: {kind: fedavg}
arms: {one: {}, other: {method: {kind: soft}}}
"""


@pytest.mark.slow
def test_keys_of_updates_tell_seeds_apart_and_arms_alike(small_run: Callable[..., Study]) -> None:
    keys = {}
    for cell in small_run(ARMS).cells:
        work, _ = build_work(cell.scenario, None)
        try:
            work.train(1, [0, 2])
            updates = [work.update(client) for client in (0, 2)]
        finally:
            work.close()
        keys[cell.arm, cell.seed] = [update.key for update in updates if update is not None]
    assert keys["one", 1] == keys["other", 1] and keys["one", 2] == keys["other", 2]
    first, second = keys["one", 1], keys["one", 2]
    assert len({*first, *second}) == 4
    assert common_key(first[0]) == common_key(first[1]) != common_key(second[0]) == common_key(second[1])
