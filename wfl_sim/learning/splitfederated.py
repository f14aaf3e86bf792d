"""Makes the learning side of a split scenario: the halves of the model, and their federation, of data as elsewhere.

The one place that joins them; the engine calls it and never sees a tensor.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from channels.streams import Stream
from wfl_sim.errors import MissingResource
from wfl_sim.learning.federated import loaded
from wfl_sim.learning.splitfederation import Rows, SplitFederation
from wfl_sim.learning.splitlocal import SplitHere
from wfl_sim.learning.threads import one_thread
from wfl_sim.learning.training import Trainer, rows_of
from wfl_sim.methods.split import Split
from wfl_sim.scenario import Scenario
from wfl_sim.splitsizes import SplitSizes, cuts_of


def build_work(scenario: Scenario, memo_folder: Path | None = None) -> tuple[SplitFederation, dict[str, Any]]:
    """The federation of a split scenario (its first seed), and what the manifest records of model, data and cuts.

    `memo_folder` holds results of evaluations that other cells of the study have left (`wfl_sim.learning.memo`).
    Clients are trained one after another in this process, as the server serves them.

    Raises
    ------
    MissingResource
        Model or data are not there, or the model cannot be cut as it should be.
    """
    one_thread()
    learning, method, local = scenario.learning, scenario.method, scenario.learning.local
    assert isinstance(method, Split)  # the engine sees to it
    stream = Stream.root(scenario.seeds[0]).child("learning")
    (one,) = loaded(scenario, stream, memo_folder)  # groups do not go with it
    setup, recorded, held = one.setup, one.recorded, one.held
    executor = SplitHere(setup)
    trainer = Trainer(executor, setup.adapter, held, local, stream, one.memo, len(one.task.test), scenario.rounds)
    if scenario.clients.compute.is_counted:
        recorded["step_flop"] = trainer.step_flop()
    sizes = SplitSizes.of(scenario)
    cuts = cuts_of(scenario, sizes)
    depth = executor.halves.halves.depth
    if unfit := [cut for cut in cuts if not 1 <= cut < depth]:
        raise MissingResource(
            f"method.cut: {unfit[0]} of {depth} layers leaves one side without any; take 1 to {depth - 1}"
        )
    recorded["cuts"] = cuts

    def rows(client: int, round_: int) -> Rows:
        return rows_of(stream, client, round_, held[client], local)

    federation = SplitFederation(
        method, scenario.codec, executor.halves, trainer.initial(), trainer.layout, sizes, cuts,
        recorded["examples_per_client"], rows, partial(local.rate, rounds=scenario.rounds), trainer.evaluate,
        learning.on_divergence == "drop_client", stream.child("updates").key,
    )  # fmt: skip
    return federation, recorded
