"""What a study will cost and what binds its rounds: plans a few rounds of every arm, and runs none.

Knows no tensor, no fading draw and no loss of a packet; how rounds are planned, and what a machine can do, stand in
`wfl_sim.planning` and `wfl_sim.machine`.

Each arm is planned with its first seed, over the real medium, by its own schedule, from the real sizes of its codec.
Transfers and training steps are counts. Sizes are those that the codec promises not to exceed. Seconds and packets are
means over fading and loss, as if every download arrived. Of more than `planning.PLANNED_CLIENTS` clients as many are
planned for, and stand for all. That clients hold unlike shares of the data does not count. Two runs are taken to train
alike, which costs the second nothing, if they share seed and learning and the same updates are planned.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import simpy

from channels.streams import Stream
from wfl_sim import airtime, groups, machine, planning
from wfl_sim import study as studies
from wfl_sim.engine import build_medium
from wfl_sim.learning.sources import model_info
from wfl_sim.methods.base import WEIGHTS
from wfl_sim.methods.none import NoLearning
from wfl_sim.methods.split import Split
from wfl_sim.networkonly import StagedSizes
from wfl_sim.pace import pace_of
from wfl_sim.plannedwork import PlannedSplit
from wfl_sim.planning import PlannedRound
from wfl_sim.radio.medium import Medium
from wfl_sim.scenario import Cell, Scenario, Study
from wfl_sim.splitsizes import DeviceCut, device_cuts
from wfl_sim.updatesizes import dense_bits, layout_of, sizes, work_of

MOST_PLANNED = 20  # arms; of more as many are planned, evenly chosen, and the time is scaled up
NEGLIGIBLE = 1e-9  # share of packets that are sent once more


@dataclass(frozen=True)
class ClientEstimate:
    """One client's round as planned at rest. Distance, and mean SNR in the band granted, are those at time 0."""

    client: int
    distance_m: float
    snr_db: float
    bandwidth_hz: float
    bits: int
    broadcast_s: float
    compute_s: float
    air_s: float

    @property
    def binds(self) -> Literal["air", "compute"]:
        """What takes longer: broadcast and upload, or computing."""
        return "air" if self.broadcast_s + self.air_s >= self.compute_s else "compute"


@dataclass(frozen=True)
class ArmEstimate:
    """One arm with its first `seed`, from which links and devices are drawn.

    `sending` is the mean number of clients that are called in a round, and `training_steps` those of all clients.
    `dense_bits` is the size of a whole update, `planned_bits` the mean of what is planned to be sent. `wall_s` leaves
    out the start of the process; `trains` is false where an earlier run trains alike and leaves its results, and where
    nothing is learnt. `late` is the share of the last round's uploads that are planned to end after its deadline.
    `warnings` say where the plan asked a path loss for distances outside the range that it is stated for.
    `median` and `worst` go by planned time, then by the lower SNR at time 0; None if all clients are deferred, or if
    their links carry no rate that a float can hold. `cuts` say who has how many layers in split training.
    """

    arm: str
    seed: int
    rounds: int
    sending: float
    transfers: int
    packets: int
    events: int
    training_steps: int
    examples_evaluated: int
    dense_bits: int
    planned_bits: float
    round_s: float
    simulated_s: float
    wall_s: float
    memory_mib: float
    trains: bool
    median: ClientEstimate | None
    worst: ClientEstimate | None
    late: float = 0.0
    warnings: tuple[str, ...] = ()
    cuts: tuple[DeviceCut, ...] = ()


@dataclass(frozen=True)
class Estimate:
    """A study: its runs, in `jobs` processes of at most `memory_mib` each; `wall_s` includes the pictures.

    `arm_count` is how many arms there are; `arms` holds fewer where they are so many that only some were planned.
    """

    cells: int
    jobs: int
    memory_mib: float
    wall_s: float
    arms: tuple[ArmEstimate, ...]
    arm_count: int


def estimate(study: Study, jobs: int | None = None) -> Estimate:
    """Estimate a study (module docstring).

    Parameters
    ----------
    study : Study
    jobs : int, optional
        Processes side by side; default one a core, at most one a cell.

    Raises
    ------
    MissingResource
        The model's ``config.json`` is not on this computer, or the data set is not known.
    """
    jobs = max(1, min(len(study.cells), jobs or os.cpu_count() or 1))
    names = list(dict.fromkeys(cell.arm for cell in study.cells))
    chosen = set(_evenly(names, MOST_PLANNED))
    cells = [cell for cell in study.cells if cell.arm in chosen]
    plans: dict[str, _Plan] = {}
    media: dict[str, Medium] = {}
    for cell in cells:
        if cell.arm not in plans:
            plans[cell.arm] = _Plan(cell.scenario, media)
    start_s = machine.START_S if any(plan.learns for plan in plans.values()) else machine.START_NETWORK_S
    wall_s, ran = _wall(cells, plans, jobs, start_s)
    wall_s = start_s + (wall_s - start_s) * len(study.cells) / len(cells) + machine.PICTURES_S
    arms = tuple(plan.row(arm, *ran[arm]) for arm, plan in plans.items())
    return Estimate(len(study.cells), jobs, max(row.memory_mib for row in arms), wall_s, arms, len(names))


def _evenly(names: Sequence[str], most: int) -> list[str]:
    """At most so many of the names, the first and the last among them."""
    if len(names) <= most:
        return list(names)
    return [names[round(n * (len(names) - 1) / (most - 1))] for n in range(most)]


class _Plan:
    """The planned rounds of one arm, and what follows from them. `media` are shared by arms with the same physics."""

    def __init__(self, scenario: Scenario, media: dict[str, Medium]) -> None:
        self.scenario, method = scenario, scenario.method
        self.learns = not isinstance(method, NoLearning)
        self.menu, self.first_bits, self.download_bits = sizes(scenario)
        key = repr((scenario.radio, scenario.channel, scenario.clients, scenario.seeds[0]))
        if key not in media:
            media[key] = build_medium(simpy.Environment(), scenario, Stream.root(scenario.seeds[0]))
        self.medium = media[key]
        work = work_of(scenario)
        self.dense_bits = dense_bits(self.menu)
        if isinstance(work, StagedSizes):
            self.dense_bits, self.download_bits = map(round, work.mean_bits())
        with np.errstate(all="ignore"):  # what is not finite is not planned with
            self.rounds = planning.plan(scenario, self.medium, work)
        self.uploads = round(sum(r.held * r.called for r in self.rounds))
        self.broadcasts = pace_of(scenario).in_rounds and scenario.radio.downlink.access == "broadcast"
        # One for all, or one each; nobody is called in a round that is not planned.
        downloads = [r.held * (1 if self.broadcasts else r.called) for r in self.rounds if r.decisions]
        self.downloads = round(sum(downloads))
        # In split rounds each step has one more both ways; what goes up is counted with the update.
        steps = work.steps if isinstance(work, PlannedSplit) else 0
        self.transfers = self.uploads * (1 + 2 * steps) + self.downloads
        self.gradients = 0.0  # packets
        if isinstance(work, PlannedSplit):
            for r in self.rounds:
                bits = [work.transfer_bits(decision.client, decision.point) for decision in r.decisions]
                self.gradients += r.held * r.share * steps * self._packets(bits, 1)

    def row(self, arm: str, wall_s: float, trains: bool) -> ArmEstimate:
        """What is reported of the arm."""
        scenario, learning = self.scenario, self.scenario.learning
        simulated_s = sum(r.held * r.seconds for r in self.rounds)
        sent_bits = sum(r.held * r.share * sum(d.point.bits for d in r.decisions) for r in self.rounds)
        busy = [r for r in self.rounds if r.decisions]
        packets = sum(r.held * r.share * self._packets([d.point.bits for d in r.decisions], 1) for r in busy)
        packets += sum(r.held * self._downloaded(self.download_bits, r.called) for r in busy) + self.gradients
        if busy:  # the first is not a change but the model
            packets += self._downloaded(self.first_bits, busy[0].called)
            packets -= self._downloaded(self.download_bits, busy[0].called)
        uplink, radio = scenario.radio.uplink, scenario.radio
        kept = uplink.access == "fdma" and not uplink.work_conserving and radio.duplex == "full"
        downloads = 0 if self.broadcasts else self.downloads
        sent = sum(r.held * r.share * self._packets([d.point.bits for d in r.decisions], 1) for r in busy)
        events = machine.events(
            sum(r.held for r in busy), self.uploads, downloads, kept and radio.rate.always_met,
            sent / max(self.uploads, 1), scenario.channel.loss.mean_loss,
        )  # fmt: skip
        median, worst = self._clients(busy)
        return ArmEstimate(
            arm=arm,
            seed=scenario.seeds[0],
            rounds=scenario.rounds,
            sending=self.uploads / scenario.rounds,
            transfers=self.transfers,
            packets=round(packets),
            events=round(events + sum(r.held for r in self.rounds if not r.decisions)) + 2,
            training_steps=self._steps() if self.learns else 0,
            examples_evaluated=scenario.rounds * sum(data.test for data in learning.tasks) if self.learns else 0,
            dense_bits=self.dense_bits,
            planned_bits=sent_bits / self.uploads if self.uploads else 0.0,
            round_s=simulated_s / scenario.rounds,
            simulated_s=simulated_s,
            wall_s=wall_s,
            memory_mib=self._memory_mib(),
            trains=trains,
            median=median,
            worst=worst,
            late=busy[-1].late if busy else 0.0,
            warnings=tuple(self.medium.links.warnings),
            cuts=device_cuts(scenario) if isinstance(scenario.method, Split) else (),
        )

    def _memory_mib(self) -> float:
        scenario, clients = self.scenario, self.scenario.clients.count
        if not self.learns:
            return machine.network_mib(clients)
        adapter, each = scenario.method.adapter(), list[machine.Taken]()
        for own in self._parts():
            info, values = model_info(own.learning.model.name), self.first_bits // 32
            layout = layout_of(own, info)
            if adapter is not None and adapter.whole:
                values = layout.size([name for name in layout.plain if name.startswith(WEIGHTS)])
            elif scenario.learning.groups:  # the download brings what all of them need
                values = layout.size(layout.everything)
            each.append(machine.taken_mib(own.learning, info, own.clients.count, values, adapter is not None))
        return machine.memory_mib(each)

    def _parts(self) -> list[Scenario]:
        """The scenario of each group, or its own."""
        return [part.scenario for part in groups.parts(self.scenario)]

    def _steps(self) -> int:
        """Training steps of all clients, who are taken to be called alike often."""
        clients = self.scenario.clients.count
        return round(
            sum(self.uploads * own.clients.count / clients * own.learning.local.steps for own in self._parts())
        )

    def _downloaded(self, bits: int, receivers: float) -> float:
        """Packets of the downloads of a round: of one to all, or of one to each."""
        return self._packets([bits], receivers) if self.broadcasts else receivers * self._packets([bits], 1)

    def _packets(self, payloads_bits: Sequence[int], receivers: float) -> float:
        """Mean number of packets sent: attempt j + 1 takes place if any receiver lacks the packet after j."""
        radio, loss = self.scenario.radio, self.scenario.channel.loss.mean_loss
        attempts = 0.0
        for j in range(radio.retransmission.attempts):
            share = 1 - (1 - loss**j) ** receivers
            attempts += share
            if share < NEGLIGIBLE:
                break
        room = radio.packet_bits - radio.header_bits
        return attempts * sum(math.ceil(bits / room) for bits in payloads_bits)

    def _clients(self, busy: Sequence[PlannedRound]) -> tuple[ClientEstimate | None, ClientEstimate | None]:
        """The median (of two, the slower) and the worst of the last round in which any is called."""
        if not busy:
            return None, None
        last = busy[-1]
        ids = np.array([d.client for d in last.decisions])
        granted_hz = np.array([d.bandwidth_hz for d in last.decisions])
        snr_db = 10 * np.log10(self.medium.snr_hz(ids.tolist(), 0.0, known_gain=False) / granted_hz)
        distance_m = self.medium.links.trajectory.distance_m(np.zeros(1), ids)[:, 0]
        compute_s = last.compute_s
        ticks = np.rint((compute_s + last.air_s) / (airtime.TIED * last.seconds))
        order = np.lexsort((-snr_db, ticks))

        def client(i: int) -> ClientEstimate:
            decision = last.decisions[i]
            return ClientEstimate(
                decision.client, float(distance_m[i]), float(snr_db[i]), decision.bandwidth_hz, decision.point.bits,
                float(last.download_s[i]), float(compute_s[i]), float(last.air_s[i]),
            )  # fmt: skip

        return client(order[len(order) // 2]), client(order[-1])

    def wall_s(self, trains: bool) -> float:
        """Seconds of a run on this machine; one that does not train reads from the memo what an earlier one trained."""
        scenario = self.scenario
        client_slots = 0.0
        for r in self.rounds:
            down_s = float(r.download_s.max(initial=0.0) if self.broadcasts else r.download_s.sum())
            client_slots += r.held * r.share * (float(r.air_s.sum()) + down_s) / scenario.radio.slot_s
        seconds = machine.RUN_S + machine.radio_s(self.transfers, client_slots, not scenario.radio.rate.always_met)
        if not self.learns:
            return seconds
        seconds += sum(machine.load_s(own.learning) for own in self._parts()) + machine.UPDATE_S * self.uploads
        for own in self._parts() if trains else ():
            info, adapters = model_info(own.learning.model.name), scenario.method.adapter() is not None
            uploads = round(self.uploads * own.clients.count / scenario.clients.count)
            uploads *= getattr(own.method, "passes", 1)
            seconds += machine.learning_s(own.learning, info, scenario.rounds, uploads, adapters)
        return seconds

    def alike(self, cell: Cell) -> str:
        """What two runs must have in common to train alike."""
        scenario, choices = cell.scenario, [(r.held, r.choice) for r in self.rounds]
        return repr((cell.seed, scenario.learning, scenario.method, scenario.codec, scenario.clients.count, choices))


def _wall(
    cells: Sequence[Cell], plans: dict[str, _Plan], jobs: int, importing_s: float
) -> tuple[float, dict[str, tuple[float, bool]]]:
    """Seconds until the last run has ended, and of each arm's first run its own, and whether it trains."""
    busy_until_s, trained_at_s, ran = [0.0] * jobs, dict[str, float](), dict[str, tuple[float, bool]]()
    for cell in cells if jobs == 1 else [cells[i] for i in studies.spread(cells)]:
        worker = int(np.argmin(busy_until_s))
        start_s = busy_until_s[worker] or importing_s
        plan = plans[cell.arm]
        key = plan.alike(cell)
        trains = plan.learns and start_s < trained_at_s.get(key, np.inf)  # side by side they train both
        seconds = plan.wall_s(trains)
        busy_until_s[worker] = start_s + seconds
        trained_at_s[key] = min(busy_until_s[worker], trained_at_s.get(key, np.inf))
        if cell.seed == plan.scenario.seeds[0]:
            ran[cell.arm] = seconds, trains
    return max(busy_until_s), ran
