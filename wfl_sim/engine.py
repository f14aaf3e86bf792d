"""The engine: builds the world of one cell, runs its protocol under SimPy, writes its run directory.

Owns the clock. Imports no tensor library: the learning side is made by a function of another module.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import simpy

from channels.links import Links
from channels.recorded import RecordedLinks
from channels.streams import Stream
from wfl_sim.checkpoint import Checkpoint
from wfl_sim.checkpoint import write as write_checkpoint
from wfl_sim.clientstate import MEMORY_LIMIT_BYTES, ClientStates
from wfl_sim.contracts import Work
from wfl_sim.errors import NotFinite, RunFailed
from wfl_sim.methods.none import NoLearning
from wfl_sim.networkonly import NetworkOnly
from wfl_sim.presence import Presence
from wfl_sim.protocols.base import Commit, ProtocolState, World
from wfl_sim.quality import quality_of
from wfl_sim.radio.bands import bands
from wfl_sim.radio.medium import Medium
from wfl_sim.rundirectory import FORMAT, clear, content_hash
from wfl_sim.scenario import Cell, Scenario, to_yaml
from wfl_sim.trace import AnyRow, Row, TraceWriter, read_rows, write_csv

Report = Callable[[Row], None]
REPORTED_PACKAGES = ("wfl-sim", "torch", "transformers", "peft", "numpy", "scipy", "simpy")


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


def simulate(scenario: Scenario, work: Work, commit: Commit, stop: Callable[[str], None] = lambda why: None) -> Medium:
    """Run one scenario (its first seed) to the end; `commit` gets every round, `stop` why it ended before the last.

    Returns the medium for its ledger.

    Raises
    ------
    RunFailed
        A number that is not finite came up, or whatever else went wrong in the simulated world.
    """
    env, state = simpy.Environment(), ProtocolState()
    root = Stream.root(scenario.seeds[0])
    medium, clients = build_medium(env, scenario, root), scenario.clients
    world = World(
        env=env,
        medium=medium,
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
    with _few_collections():
        try:
            env.run(env.process(scenario.protocol.run(world, state)))
        except NotFinite as error:
            raise RunFailed(f"round {state.round + 1}: {error}") from error
    medium.ledger.check()
    return medium


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
    from wfl_sim.learning import federated  # loads the tensor library

    work, data = federated.build_work(scenario, memo_folder, states=states, workers=workers)
    return work, {"data": data}


def _with_work(scenario: Scenario, manifest: dict[str, Any]) -> Scenario:
    """The scenario with the work that was counted from its model, which the manifest records, or as it is."""
    if not scenario.clients.compute.is_counted:
        return scenario
    compute = scenario.clients.compute.of(scenario.learning.local.steps * manifest["data"]["step_flop"])
    manifest["work_flop"] = compute.work_flop
    return replace(scenario, clients=replace(scenario.clients, compute=compute))


def run_cell(
    cell: Cell,
    arm_index: int,
    directory: Path,
    report: Report = lambda row: None,
    memo_folder: Path | None = None,
    client_memory_bytes: int = MEMORY_LIMIT_BYTES,
    workers: int = 1,
) -> dict[str, Any]:
    """Run one cell into an empty directory, and return its manifest.

    `memo_folder` may hold results of training that other cells left; beyond `client_memory_bytes` the state of clients
    goes to files in the directory while the run lasts; with several `workers`, clients are trained in as many processes
    besides this one. None of them changes a result.

    The manifest's status is ``running`` until the end, then ``finished``, ``interrupted`` (KeyboardInterrupt) or
    ``failed``; whatever the end, all rounds that were committed can be read, and the model after the last of them (the
    first one, if there are none) is in ``model.safetensors``: where a model diverged, the last that was finite.
    """
    began_s, cpu_s = time.perf_counter(), time.process_time()
    text = to_yaml(cell.scenario)
    quality = quality_of(cell.scenario)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": cell.scenario.name,
        "arm": cell.arm,
        "arm_index": arm_index,
        "group": cell.group or cell.arm,
        "point": [coordinate._asdict() for coordinate in cell.point],
        "seed": cell.seed,
        "status": "running",
        "rounds": cell.scenario.rounds,
        "targets": [] if isinstance(cell.scenario.method, NoLearning) else list(cell.scenario.learning.targets),
        "quality": quality._asdict() if quality is not None else None,
        "latency_budget_s": cell.scenario.schedule.latency_budget,
        "deadline_s": getattr(cell.scenario.protocol, "deadline_s", None),
        "clients": cell.scenario.clients.count,
        "scenario_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "cell_sha256": content_hash(cell),
        "versions": {name: _version(name) for name in REPORTED_PACKAGES} | {"python": platform.python_version()},
        "warnings": [],
    }
    clear(directory)  # a stand-in: an unfinished run begins anew
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "scenario.yaml").write_text(text, encoding="utf-8")
    _write_json(directory / "manifest.json", manifest)
    trace = TraceWriter(directory / "trace.sqlite")
    states = ClientStates(client_memory_bytes, directory)
    last: Checkpoint | None = None  # of the last round that was committed
    work: Work | None = None

    def commit(round_row: Row, transmissions: Sequence[AnyRow], decisions: Sequence[AnyRow]) -> None:
        nonlocal last
        trace.commit_round(round_row, transmissions, decisions)
        if work is not None:  # which it is
            last = _checkpoint(round_row["round"], work)
        report(round_row)

    try:
        work, recorded = build_work(cell.scenario, memo_folder, states, workers)
        manifest |= recorded
        last = _checkpoint(0, work)
        stopped: list[str] = []
        scenario = _with_work(cell.scenario, manifest)
        medium = simulate(scenario, work, commit, lambda why: stopped.append(f"the run ended early: {why}"))
        warnings = [*medium.links.warnings, *stopped]
        manifest["checkpoint"] = _keep(directory, last)
        manifest |= {"status": "finished", "ledger": medium.ledger.totals(), "warnings": warnings}
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        manifest |= {"status": "interrupted"} if interrupted else {"status": "failed", "error": _told(error)}
        with suppress(RunFailed):  # there is an error already
            manifest["checkpoint"] = _keep(directory, last)
        raise
    finally:
        try:
            trace.close()
            states.close()
            manifest["rounds_done"] = len(read_rows(directory / "trace.sqlite", "rounds"))
            manifest["measured"] = {
                "wall_s": round(time.perf_counter() - began_s, 3),
                "cpu_s": round(time.process_time() - cpu_s, 3),
                "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            }
            _write_json(directory / "manifest.json", manifest)
            write_csv(directory / "trace.sqlite", directory / "rounds.csv")
        finally:
            if work is not None:
                work.close()
    return manifest


def _checkpoint(round_: int, work: Work) -> Checkpoint | None:
    """The model after a round; None where nothing is learnt."""
    model = work.model()
    return None if model is None else Checkpoint(round_, *model)


def _keep(directory: Path, checkpoint: Checkpoint | None) -> dict[str, Any] | None:
    """Write the model file of a run, if it has one; what the manifest says of it."""
    if checkpoint is None:
        return None
    try:
        file = write_checkpoint(directory, checkpoint)
    except OSError as error:
        raise RunFailed(f"the model cannot be written to {directory}: {error.strerror or error}") from error
    return {"file": file.name, "round": checkpoint.round, "version": checkpoint.version}


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a JSON file so that a reader sees the old or the new one, never a part."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)
