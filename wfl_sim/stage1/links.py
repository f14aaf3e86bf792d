"""What the air carries of an update of each rank: bits, kept fractions and times, from links alone.

Knows the medium's planning rates and the codec's sizes; trains nothing, and loads no tensor library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import simpy

from channels.streams import Stream
from wfl_sim import learningwork, planning
from wfl_sim.contracts import Air, FloatArray, PayloadMenu, Request
from wfl_sim.engine import build_medium
from wfl_sim.errors import RunFailed
from wfl_sim.methods.lora import Lora
from wfl_sim.networkonly import NetworkOnly
from wfl_sim.pace import pace_of
from wfl_sim.protocols.base import World
from wfl_sim.scenario import Scenario
from wfl_sim.schedules.base import finish_together, ready_to_send
from wfl_sim.schedules.equal import Equal
from wfl_sim.updatesizes import sizes

TIMES = 8  # at which clients that move are looked at
LEAST_KEPT = 0.1  # where neither section nor schedule says
LONGEST_S = 1e4  # of the movement that is looked at: what comes later is no other
_HOPELESS = 10  # times radio.timeout: what takes longer is no question of that


def with_rank(scenario: Scenario, rank: int) -> Scenario:
    """The scenario at a rank, which then is not chosen any more; alpha / rank stays as it is."""
    method = scenario.method
    if isinstance(method, Lora) and method.scale is None and method.rank != rank:
        method = replace(method, scale=method.alpha / method.rank)
    return replace(scenario, method=replace(method, rank=rank), rank_selection=None)  # type: ignore[type-var]


def budget_of(scenario: Scenario) -> float | None:
    """The latency budget in s that a rank is chosen for; None where neither section nor schedule has one."""
    selection = scenario.rank_selection
    stated = None if selection is None else selection.latency_budget_s
    return stated if stated is not None else scenario.schedule.latency_budget


def least_kept_of(scenario: Scenario) -> float:
    """The smallest kept fraction that is worth sending: of the section, else of the schedule, else `LEAST_KEPT`."""
    selection = scenario.rank_selection
    stated = None if selection is None else selection.kept_fraction_min
    return stated if stated is not None else float(getattr(scenario.schedule, "kept_fraction_min", LEAST_KEPT))


@dataclass(frozen=True)
class Size:
    """The update of one rank: what can be sent of it, and the line through that.

    `fixed_bits` is sent whatever is kept (head, index), and `scaled_bits` in proportion; both without headers.
    """

    rank: int
    menu: PayloadMenu
    fixed_bits: float

    @property
    def dense_bits(self) -> int:
        """Of a whole update."""
        return self.menu.points[-1].bits

    @property
    def scaled_bits(self) -> float:
        """What a kept fraction of 1 adds to the fixed part."""
        return self.dense_bits - self.fixed_bits


@dataclass(frozen=True)
class Snapshot:
    """All clients that are planned for at one time: rates [clients] in an even share, and what is before an upload."""

    air: Air
    requests: tuple[Request, ...]

    @cached_property
    def snr_hz(self) -> FloatArray:
        """SNR-bandwidth products [clients], means over the fading."""
        return np.array([request.snr_hz for request in self.requests])

    @cached_property
    def rate_bps(self) -> FloatArray:
        """Planned goodput [clients] of an even share of the band."""
        share_hz = self.air.bandwidth_hz / len(self.requests)
        return self.air.rate_bps(np.full(len(self.requests), share_hz), self.snr_hz)

    @cached_property
    def ready_s(self) -> FloatArray:
        """Download, computing and latencies [clients]."""
        return ready_to_send(self.requests)

    def round_s(self, payload_bits: float) -> float:
        """The time of a round in which each client sends so much, with bandwidths that let all end together."""
        return finish_together(self.air, self.snr_hz, self.ready_s, [payload_bits] * len(self.requests))[0]


class Links:
    """The air of a scenario (its first seed) as stage 1 sees it.

    Parameters
    ----------
    scenario : Scenario
    ranks : sequence of int
        The candidates.
    budget_s : float or None
        The latency budget in s, which says how long clients move on.
    """

    def __init__(self, scenario: Scenario, ranks: Sequence[int], budget_s: float | None) -> None:
        self.scenario, self.asked = scenario, pace_of(scenario).asked
        self.medium = build_medium(simpy.Environment(), scenario, Stream.root(scenario.seeds[0]))
        self.sizes = tuple(size_of(scenario, rank) for rank in ranks)
        self.clients = planning.chosen(self.medium, scenario.clients.count, self.asked)
        self._moves = bool(np.max(self.medium.links.trajectory.speed_mps, initial=0.0) > 0.0)
        self._budget_s = budget_s
        self._snapshots: dict[int, tuple[Snapshot, ...]] = {}

    def snapshots(self, size: Size) -> tuple[Snapshot, ...]:
        """The clients at each of the times, with the download and the computing that a rank asks for."""
        if size.rank not in self._snapshots:
            scenario = with_rank(self.scenario, size.rank)
            _, _, download_bits = sizes(scenario)
            work = NetworkOnly(size.menu, download_bits, scenario.clients.count)
            world = World(
                env=simpy.Environment(),
                medium=self.medium,
                work=work,
                schedule=Equal(),
                compute=learningwork.compute_of(scenario),
                stream=Stream.root(scenario.seeds[0]).child("protocol"),
                clients=scenario.clients.count,
                rounds=scenario.rounds,
                commit=lambda *rows: None,
            )
            air = self.medium.air(known_gain=False)
            air = replace(air, bandwidth_hz=air.bandwidth_hz * len(self.clients) / self.asked)
            self._snapshots[size.rank] = tuple(
                Snapshot(air, tuple(replace(world, env=simpy.Environment(time_s)).requests(1, self.clients)))
                for time_s in self.times_s
            )
        return self._snapshots[size.rank]

    @property
    def times_s(self) -> list[float]:
        """When the clients are looked at: once if they stand still, else over the length of the run."""
        if not self._moves:
            return [0.0]
        length_s = min(self.scenario.rounds * (self._budget_s or 1.0), LONGEST_S)
        return [float(time_s) for time_s in np.linspace(0.0, length_s, TIMES)]

    def rate_bps(self, size: Size) -> float:
        """E[R]: the mean over clients and times of the rate in an even share of the band."""
        return float(np.mean([snapshot.rate_bps for snapshot in self.snapshots(size)]))

    def fixed_s(self, size: Size) -> float:
        """Download, computing and latencies: means over clients and times."""
        return float(np.mean([snapshot.ready_s for snapshot in self.snapshots(size)]))

    def kept_fraction(self, size: Size, budget_s: float, least: float) -> float:
        """rho_bar: the share of an update that the mean rate carries within a latency budget, within `least` .. 1."""
        wire = self.rate_bps(size) * (budget_s - self.fixed_s(size))
        air = self.snapshots(size)[0].air
        payload = float(air.payload_bits(np.array([max(wire, 0.0)]))[0])
        return float(np.clip((payload - size.fixed_bits) / size.scaled_bits, least, 1.0))

    def budget_s(self, size: Size, kept_fraction: float) -> float:
        """The latency budget at which rho_bar is that: `kept_fraction` inverted."""
        air = self.snapshots(size)[0].air
        return self.fixed_s(size) + air.wire_bits(bits_of(size, kept_fraction)) / self.rate_bps(size)

    def round_s(self, size: Size, payload_bits: float) -> float:
        """The mean time of a round in which each client sends so much, and all end together."""
        return float(np.mean([snapshot.round_s(payload_bits) for snapshot in self.snapshots(size)]))

    def check(self, size: Size, kept_fraction_min: float) -> None:
        """That a round of the least that may be sent does not outlast `radio.timeout`, which would give it up.

        Raises
        ------
        RunFailed
            It does, or a client is out of reach.
        """
        timeout_s, least_s = self.scenario.radio.timeout_s, self.least_s(size, kept_fraction_min)
        ready_s = max(float(snapshot.ready_s.max()) for snapshot in self.snapshots(size))
        if not least_s - ready_s <= _HOPELESS * timeout_s:
            rates = np.mean([snapshot.rate_bps for snapshot in self.snapshots(size)], axis=0)
            place = int(np.argmin(np.nan_to_num(rates)))
            weak = self.clients[place]
            raise RunFailed(
                f"client {weak}, {self.distance_m(weak):.0f} m away, has no usable link: it is planned to carry "
                f"{rates[place]:.2g} bit/s, with which a round of the smallest updates takes {least_s:.3g} s, and "
                f"radio.timeout gives up what takes {timeout_s:g} s; place clients nearer, or give them more bandwidth"
            )
        if least_s - ready_s > timeout_s:
            raise RunFailed(
                f"radio.timeout gives up what takes {timeout_s:g} s, and uploads of the smallest updates are planned "
                f"to take {least_s - ready_s:.3g} s; raise it, make updates smaller, or give clients better "
                "links or more bandwidth"
            )

    def distance_m(self, client: int) -> float:
        """Of a client at the start."""
        return float(self.medium.links.trajectory.distance_m(np.zeros(1), np.array([client]))[0, 0])

    def least_s(self, size: Size, kept_fraction_min: float) -> float:
        """The same with the least that may be sent: no smaller budget can be met in the long run."""
        return self.round_s(size, size.menu.smallest(kept_fraction_min).bits)


def size_of(scenario: Scenario, rank: int) -> Size:
    """What an update takes at a rank, by the scenario's codec.

    Raises
    ------
    MissingResource
        The model's ``config.json`` is not on this computer, or the data set is not known.
    """
    ranked = with_rank(scenario, rank)
    menu, _, _ = sizes(ranked)
    first, last = menu.points[0], menu.points[-1]
    if last.kept_fraction > first.kept_fraction:
        slope = (last.bits - first.bits) / (last.kept_fraction - first.kept_fraction)
        return Size(rank, menu, max(0.0, last.bits - slope))
    head_only = _head_bits(ranked)
    return Size(rank, menu, head_only if head_only < last.bits else 0.0)


def bits_of(size: Size, kept_fraction: float) -> float:
    """Payload bits on the line through what the codec offers."""
    return size.fixed_bits + kept_fraction * size.scaled_bits


def _head_bits(scenario: Scenario) -> float:
    """What of a whole update is no adapter, where the codec offers nothing but a whole one."""
    from wfl_sim.learning.sources import model_info
    from wfl_sim.updatesizes import layout_of

    layout = layout_of(scenario, model_info(scenario.learning.model.name))
    return float(layout.size(layout.heads) * getattr(scenario.codec, "bits", 32))
