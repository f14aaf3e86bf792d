"""The engine: builds the world of one cell, runs its protocol under SimPy, writes its run directory.

Owns the clock. Imports no tensor library: the learning side is made by a function of another module.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import simpy

from channels.links import Links
from channels.recorded import RecordedLinks
from channels.streams import Stream
from wfl_sim import groups, rundirectory
from wfl_sim.cellrecord import CellRecord, Report, tidy
from wfl_sim.clientstate import MEMORY_LIMIT_BYTES, ClientStates
from wfl_sim.contracts import Work
from wfl_sim.errors import Diverged, NotFinite
from wfl_sim.methods.none import NoLearning
from wfl_sim.methods.split import Split
from wfl_sim.networkonly import NetworkOnly
from wfl_sim.presence import Presence
from wfl_sim.processes import interrupts_ignored
from wfl_sim.protocols.base import Commit, ProtocolState, World
from wfl_sim.radio.bands import bands
from wfl_sim.radio.medium import Medium
from wfl_sim.scenario import Cell, Scenario


def build_links(scenario: Scenario, stream: Stream) -> Links:
    """The links of a scenario, modelled or recorded, drawn from its ``channel`` stream."""
    radio, clients, channel = scenario.radio, scenario.clients, scenario.channel
    if channel.recorded is not None:
        recorded = RecordedLinks(
            stream,
            clients.count,
            recorded=channel.recorded,
            bands=bands(radio, clients.tx_power_dbm),
            adaptation=radio.rate,
            placement=clients.placement,
            mobility=clients.mobility,
        )
        return cast(Links, recorded)  # which asks and answers alike, as far as the medium goes
    assert channel.path_loss is not None  # Channel sees to it
    return Links(
        stream,
        clients.count,
        carrier_hz=radio.carrier_hz,
        path_loss=channel.path_loss,
        shadowing=channel.shadowing,
        fading=channel.fading,
        placement=clients.placement,
        mobility=clients.mobility,
        penetration=channel.penetration,
        antenna_gain_db=radio.antenna_gain.base_station_db + radio.antenna_gain.client_db,
    )


def build_medium(env: simpy.Environment, scenario: Scenario, root: Stream) -> Medium:
    """The air of a scenario: links and shared medium, drawn from the ``channel`` stream alone."""
    clients, stream = scenario.clients, root.child("channel")
    return Medium(
        env,
        scenario.radio,
        build_links(scenario, stream),
        scenario.channel.loss,
        stream.child("loss"),
        tx_power_w=10 ** (clients.tx_power_dbm / 10 - 3),
        amplifier_efficiency=clients.amplifier_efficiency,
        circuit_power_w=clients.circuit_power_w,
    )


class Simulation:
    """The world of one scenario (its first seed), from the beginning or from a rest in it.

    Parameters
    ----------
    scenario : Scenario
    work : Work
    commit : callable
        Gets every round.
    stop : callable
        Gets why it ended before the last round.
    rest : dict, optional
        What `rest` gave.
    """

    def __init__(
        self,
        scenario: Scenario,
        work: Work,
        commit: Commit,
        stop: Callable[[str], None] = lambda why: None,
        rest: Mapping[str, Any] | None = None,
    ) -> None:
        self._state = ProtocolState(**rest["protocol"]) if rest is not None else ProtocolState()
        self._env = simpy.Environment(self._state.now_s)
        self._protocol, clients = scenario.protocol, scenario.clients
        root = Stream.root(scenario.seeds[0])
        self.medium = build_medium(self._env, scenario, root)
        if rest is not None:
            self.medium.resume(rest["medium"])
        self._world = World(
            env=self._env,
            medium=self.medium,
            work=work,
            schedule=scenario.schedule,
            compute=clients.compute,
            stream=root.child("protocol"),
            clients=clients.count,
            rounds=scenario.rounds,
            commit=commit,
            presence=Presence(root.child("presence"), clients.availability, clients.churn),
            stop=stop,
        )
        self.spent = self._world.spent

    def rest(self) -> dict[str, Any] | None:
        """What it takes to go on from the round that is being committed; None while anything is under way."""
        owner = next((cls for cls in type(self._protocol).__mro__ if "run" in vars(cls)), object)
        if not vars(owner).get("rests", False):  # a plug-in that plays rounds otherwise has to say so itself
            return None
        protocol, medium = self._state.rest(), self.medium.rest()
        return None if protocol is None or medium is None else {"protocol": protocol, "medium": medium}

    def run(self) -> Medium:
        """Run to the end; returns the medium for its ledger.

        Raises
        ------
        RunFailed
            A number that is not finite came up, or whatever else went wrong in the simulated world.
        """
        with _few_collections():
            try:
                self._env.run(self._env.process(self._protocol.run(self._world, self._state)))
            except NotFinite as error:
                raise Diverged(f"round {self._state.round + 1}: {error}") from error
        self.medium.ledger.check()
        return self.medium


def simulate(scenario: Scenario, work: Work, commit: Commit, stop: Callable[[str], None] = lambda why: None) -> Medium:
    """Run one scenario (its first seed) from the beginning to the end; see `Simulation`."""
    return Simulation(scenario, work, commit, stop).run()


@contextmanager
def _few_collections() -> Iterator[None]:
    """A round of many clients makes many objects that live to its end; the collector would walk them over and over."""
    before = gc.get_threshold()
    gc.set_threshold(200_000, 50, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def build_work(
    scenario: Scenario, memo_folder: Path | None, states: ClientStates | None = None, workers: int = 1
) -> tuple[Work, dict[str, Any]]:
    """The work of a scenario, and what its manifest records of it: model and data, or nothing without learning.

    In `states` the clients' state is kept; so many `workers` train.
    """
    method = scenario.method
    if isinstance(method, NoLearning):
        return NetworkOnly(method.menu(), method.download_bits(), scenario.clients.count), {}
    if isinstance(method, Split):
        from wfl_sim.learning import splitfederated  # loads the tensor library, as the other does

        halves, data = splitfederated.build_work(scenario, memo_folder)
        return halves, {"data": data}
    from wfl_sim.learning import federated

    work, data = federated.build_work(scenario, memo_folder, states=states, workers=workers)
    return work, {"data": data}


def with_work(scenario: Scenario, manifest: dict[str, Any]) -> Scenario:
    """The scenario with the work that was counted from its model, which the manifest records, or as it is."""
    if not scenario.clients.compute.is_counted:
        return scenario
    parts, recorded = groups.parts(scenario), manifest["data"].get("groups", [manifest["data"]])
    steps = [part.scenario.learning.local.steps for part in parts]
    works = [number * one["step_flop"] for number, one in zip(steps, recorded, strict=True)]
    manifest["work_flop"] = works[0] if parts[0].number is None else works
    compute = scenario.clients.compute
    if parts[0].number is None:
        compute = compute.of(works[0])
    else:
        compute = compute.of_groups(works, [part.clients for part in parts])
    return replace(scenario, clients=replace(scenario.clients, compute=compute))


def _with_rank(scenario: Scenario, record: CellRecord, memo_folder: Path | None) -> Scenario:
    """The scenario at the rank that stage 1 chooses, whose table goes to the manifest, or comes from there."""
    if scenario.rank_selection is None:
        return scenario
    from wfl_sim.stage1 import choice, links  # which build worlds of their own

    if "rank_selection" not in record.manifest:
        record.note(rank_selection=choice.select(scenario, memo_folder=memo_folder)[0].as_dict())
    return links.with_rank(scenario, record.manifest["rank_selection"]["rank"])


def run_cell(
    cell: Cell,
    arm_index: int,
    directory: Path,
    report: Report = lambda row: None,
    memo_folder: Path | None = None,
    client_memory_bytes: int = MEMORY_LIMIT_BYTES,
    workers: int = 1,
) -> dict[str, Any]:
    """Run one cell into a directory, and return its manifest.

    One that was begun there goes on after its last round, and one that is finished is left as it is.

    `memo_folder` may hold results of training that other cells left; beyond `client_memory_bytes` the state of clients
    goes to files in the directory while the run lasts; with several `workers`, clients are trained in as many processes
    besides this one. None of them changes a result, nor does it that a run was continued.

    The manifest's status is ``running`` until the end, then ``finished``, ``interrupted`` (KeyboardInterrupt) or
    ``failed``; whatever the end, all rounds that were committed can be read, and the model after the last of them (the
    first one, if there are none) is in ``model.safetensors``: where a model diverged, the last that was finite.

    Raises
    ------
    OutputExists
        In the directory is a run of another scenario, or one that other versions have begun.
    RunFailed
        The run failed, or cannot be written. The next call goes on after the last round that was committed.
    """
    if rundirectory.state(directory, cell) == "finished":
        tidy(directory)
        return rundirectory.manifest(directory)
    record = CellRecord(cell, arm_index, directory, report)
    work: Work | None = None
    states = ClientStates(client_memory_bytes, directory)
    try:
        ranked = _with_rank(cell.scenario, record, memo_folder)
        work, recorded = build_work(ranked, memo_folder, states, workers)
        noted = record.works_on(work, recorded)
        stopped: list[str] = []
        scenario = with_work(ranked, record.manifest)
        simulation = Simulation(
            scenario, noted, record.commit, lambda why: stopped.append(f"the run ended early: {why}"), record.rest
        )
        record.resting, record.spent = simulation.rest, simulation.spent
        medium = simulation.run()
        record.finish(ledger=medium.ledger.totals(), warnings=[*medium.links.warnings, *stopped])
    except BaseException as error:
        with interrupts_ignored():
            record.fail(error)
        raise
    finally:
        try:
            record.close()
            states.close()
        finally:
            if work is not None:
                work.close()
    return record.manifest
