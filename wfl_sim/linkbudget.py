"""The link budget of a scenario: its table for both directions, and what a client can upload before the deadline.

Knows the scenario, the medium's planning rates and the sizes of updates; runs nothing, loads no tensor library.

An *update budget* joins the two halves: the rate that a link holds with the wanted reliability, times the air time that
is left before the deadline, gives bits, and those the largest rank or kept fraction that the link carries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import simpy
from numpy.typing import NDArray

from channels.linkbudget import LinkBudget
from channels.links import Links
from channels.pathloss import Sighted
from channels.reliability import area_margin_db
from channels.streams import Stream
from channels.terrain import Terrain
from wfl_sim.contracts import Air, FloatArray, PayloadMenu, Point
from wfl_sim.diagnose import Locator
from wfl_sim.engine import build_medium
from wfl_sim.errors import ScenarioError
from wfl_sim.findings import Finding
from wfl_sim.learning.sources import model_info
from wfl_sim.learningwork import compute_of
from wfl_sim.methods.base import has_one_rank
from wfl_sim.methods.none import NoLearning
from wfl_sim.methods.split import Split
from wfl_sim.pace import pace_of
from wfl_sim.plannedwork import planned_sizes
from wfl_sim.radio.margins import Terms
from wfl_sim.scenario import Cell, Scenario, Study
from wfl_sim.splitsizes import SplitSizes, cuts_of
from wfl_sim.steploads import StepLoads, step_loads
from wfl_sim.updatesizes import by_group, layout_of, sizes

Direction = Literal["uplink", "downlink"]
Places = NDArray[np.bool_]
NOTHING_BITS = 8
"""Of an update in which nothing is: the byte that every payload has."""
DIRECTIONS: tuple[Direction, ...] = ("uplink", "downlink")
SHARE: dict[Direction, float] = {"uplink": 0.9, "downlink": 0.1}
"""Of the time that is left before the deadline, what a link may take for a whole update if no rate is stated."""
FALLBACK_SNR_DB = 30.0  # where nothing carries a whole update in time: 256-QAM hardly needs more
NEAREST_M, FURTHEST_M = 0.1, 1e8  # of distances at which margins are told
DEADLINE_S = 10.0  # beyond computing and latency, where the scenario states none
_HIGHEST_SNR_DB = 200.0
_HALVINGS = 60
# Terms of a direction that the budget takes as they are.
_SAME = (
    "tx_antennas", "tx_array_gain_db", "control_boost_db", "pilot_loss_db", "tx_loss_db", "rx_antennas",
    "rx_array_gain_db", "rx_loss_db", "implementation_margin_db", "harq_gain_db",
)  # fmt: skip


@dataclass(frozen=True)
class Reach:
    """How far one direction carries: MAPL turned into a distance, the exponent of the path loss there, and the rate.

    `rate_bps` is the mean rate over the fading at the SNR required, headers included.
    `range_m` is 0 where the loss is too large at any distance, and infinite where no distance is too far.
    """

    range_m: float
    exponent: float
    rate_bps: float


@dataclass(frozen=True)
class Updates:
    """What links carry before the deadline; arrays [K], one entry a client or a distance.

    `snr_db` and the rates hold with the wanted reliability: `rate_bps` in the uplink, headers included, and
    `download_rate_bps`. `bits` is the largest payload. `rank` is the largest LoRA rank of which a whole update fits, 0
    if none, None if the method has no rank; `kept_fraction` the largest of the codec's menu, 0 if none fits.
    `upload_s` and `energy_j` are those of a whole update; infinite where the link carries nothing. `air_s` is the time
    left to send: in split training once the gradients in the coding of a whole update are down.
    """

    client: tuple[int, ...] | None
    distance_m: FloatArray
    path_loss_db: FloatArray
    snr_db: FloatArray
    rate_bps: FloatArray
    download_rate_bps: FloatArray
    download_s: FloatArray
    air_s: FloatArray
    bits: FloatArray
    rank: FloatArray | None
    kept_fraction: FloatArray
    upload_s: FloatArray
    energy_j: FloatArray


@dataclass(frozen=True)
class GroupUpdates:
    """The whole update of a group of clients (`learning.groups`), and how many of them can send it in time.

    `rank` is that of the group, None if the method has none. `in_time` is None where the budget is for distances.
    """

    name: str
    clients: range
    rank: int | None
    dense_bits: int
    in_time: int | None


@dataclass(frozen=True)
class Report:
    """The link budget of one arm and seed; where the shadow margin was stated, `reliability` had no say in it.

    `dense_bits` is a whole update, of `groups` or cuts the largest, which the budgets of both directions are made for.
    What a client carries is held against the updates of its own group or cut, a distance against the largest.
    """

    name: str
    arm: str
    seed: int
    reliability: float
    of: Literal["edge", "area"]
    margin_stated: bool
    deadline_s: float
    compute_s: float
    latency_s: float
    dense_bits: int
    budgets: dict[Direction, LinkBudget]
    reaches: dict[Direction, Reach]
    updates: Updates
    notes: tuple[str, ...]
    steps: StepLoads | None = None  # of split training
    groups: tuple[GroupUpdates, ...] = ()


def report(study: Study, arm: str | None = None, distances_m: Sequence[float] | None = None) -> Report:
    """Work out the link budget of an arm with its first seed.

    Parameters
    ----------
    study : Study
    arm : str, optional
        Default: the first arm that trains adapters and sends them, or else the first.
    distances_m : sequence of float, optional
        Horizontal distances in m, at least 0, for the update budgets; default those of the clients at time 0.

    Raises
    ------
    ScenarioError
        A rate that no SNR carries in its bandwidth, located.
    MissingResource
        The model's ``config.json`` is not on this computer.
    ValueError
        A distance that is negative or not finite; an arm that does not exist.
    """
    cell = _chosen(study, arm)
    return _Planner(study, cell).report(distances_m)


def _chosen(study: Study, arm: str | None) -> Cell:
    if arm is None:
        adapted = [cell for cell in study.cells if cell.scenario.method.adapter() is not None]
        sending = (cell for cell in adapted if sizes(cell.scenario)[0].points[-1].bits > NOTHING_BITS)
        return next(sending, (adapted or study.cells)[0])
    for cell in study.cells:
        if cell.arm == arm:
            return cell
    known = ", ".join(dict.fromkeys(cell.arm for cell in study.cells))
    raise ValueError(f"no arm {arm!r}; there are {known}")


class _Sender(NamedTuple):
    """Clients with updates of the same size: those of a group, with as many layers of a model cut in two, or all.

    `download_bits` are those of a download for one of them alone.
    """

    scenario: Scenario
    menu: PayloadMenu
    download_bits: int
    clients: Sequence[int]

    @property
    def dense_bits(self) -> int:
        return self.menu.points[-1].bits


def _has_groups(scenario: Scenario) -> bool:
    return bool(scenario.learning.groups) and not isinstance(scenario.method, NoLearning)


class _Planner:
    """The planning of one cell: its medium, the size of its updates, and the time that is left for sending."""

    def __init__(self, study: Study, cell: Cell) -> None:
        self.cell, self.scenario, self.notes = cell, cell.scenario, list[str]()
        self.locate = study.locators.get(cell.arm) or Locator.nowhere()
        scenario, settings = self.scenario, cell.scenario.link_budget
        channel, carrier_hz = scenario.channel, scenario.radio.carrier_hz
        if channel.path_loss is None:
            message = "has no path loss, which a link budget is about; state channel.path_loss in its place"
            raise ScenarioError(self.locate.finding(Finding(("channel", "recorded"), message)))
        mean_db, std_db = channel.penetration.typical_db(carrier_hz)
        stated = settings.penetration_db
        self.penetration_db = mean_db if stated is None else stated
        indoor = mean_db > 0.0
        wall_std_db = std_db if stated is None else 0.0
        self.path = Terrain(channel.path_loss, channel.shadowing, carrier_hz, wall_std_db, indoor=indoor)
        # The wall of a client is drawn, so for it alone walls have no spread.
        self.drawn = {
            inside: Terrain(channel.path_loss, channel.shadowing, carrier_hz, indoor=inside) for inside in (False, True)
        }
        self.medium = build_medium(simpy.Environment(), scenario, Stream.root(cell.seed))
        self.menu, _, self.download_bits = sizes(scenario)
        self.dense_bits = self.menu.points[-1].bits
        groups = by_group(scenario) if _has_groups(scenario) else []
        common_bits = self.download_bits - sum(bits for _, _, bits in groups)  # what no group has for itself
        self.groups = [
            (part, _Sender(part.scenario, menu, common_bits + bits, part.clients)) for part, menu, bits in groups
        ]
        self.split = SplitSizes.of(scenario) if isinstance(scenario.method, Split) else None
        self.senders = [own for _, own in self.groups] or list(self._by_cut())
        self.compute_s, self.latency_s = compute_of(scenario).median_s, 2.0 * scenario.radio.latency_s
        spent_s, budget_s = self.compute_s + self.latency_s, scenario.schedule.latency_budget
        self.deadline_s = settings.deadline_s or budget_s or spent_s + DEADLINE_S
        self.left_s = self.deadline_s - spent_s
        self.air: dict[str, Air] = {"uplink": self.medium.air(False, "up"), "downlink": self.medium.air(False, "down")}
        share_hz = scenario.radio.uplink.bandwidth_hz / pace_of(scenario).asked
        self.band_hz = {
            "uplink": settings.uplink.bandwidth_hz or share_hz,
            "downlink": settings.downlink.bandwidth_hz or scenario.radio.downlink.bandwidth_hz,
        }

    def _by_cut(self) -> Iterator[_Sender]:
        """Who sends in split training: clients with as many layers."""
        if self.split is None:
            return
        cuts = cuts_of(self.scenario, self.split)
        for cut in sorted(set(cuts)):
            menu, _, download_bits = planned_sizes(self.scenario, cut)
            yield _Sender(self.scenario, menu, download_bits, [k for k, own in enumerate(cuts) if own == cut])

    def _download_bits(self, own: _Sender) -> int:
        """What is sent to one of them: a broadcast has what all clients need."""
        return own.download_bits if self.scenario.radio.downlink.access == "unicast" else self.download_bits

    def report(self, distances_m: Sequence[float] | None) -> Report:
        scenario, settings = self.scenario, self.scenario.link_budget
        budgets, reaches = {}, {}
        radio = scenario.radio
        if not radio.rate.always_met and radio.retransmission.rounds == 1:
            self.notes.append(
                f"rate {radio.rate.kind} loses blocks, and without harq packets with them; rates here leave that out"
            )
        if radio.uplink.power_control is not None:
            self.notes.append("every link is at full power: what power control takes off near clients is left out")
        if radio.uplink.access != "fdma" or radio.downlink.access != "broadcast":
            self.notes.append("a share of the slots counts as the same share of the band; a scheduler wins nothing")
        for direction in DIRECTIONS:
            budgets[direction], reaches[direction] = self._budget(direction)
        updates = self._updates(budgets, distances_m)
        up, down = self.air["uplink"], self.air["downlink"]
        steps = step_loads(scenario, updates.client, up, down, updates.rate_bps, updates.download_rate_bps)
        if steps is not None:
            self.notes.append(
                "an update is all that a client sends up in a round, and gradients are taken off the time left for it; "
                f"computing counts as that of a whole model, and the latencies of {steps.steps} steps are left out, "
                "as is what clients wait for each other"
            )
        return Report(
            scenario.name, self.cell.arm, self.cell.seed, settings.reliability, settings.of,
            settings.shadow_margin_db is not None, self.deadline_s,
            self.compute_s, self.latency_s, self.dense_bits, budgets, reaches, updates, tuple(self.notes),
            steps, tuple(self._groups(updates)),
        )  # fmt: skip

    def _budget(self, direction: Direction) -> tuple[LinkBudget, Reach]:
        """The budget with the margin that gives the reliability, and how far it reaches."""
        settings, path, terms = self.scenario.link_budget, self.path, self._terms(direction)
        snr_db = terms.required_snr_db
        if snr_db is None and terms.rate_bps is not None:
            snr_db = self._snr_for_db(direction, terms.rate_bps)
            if snr_db == math.inf:
                message = f"cannot be carried in {self.band_hz[direction] / 1e3:g} kHz at any SNR"
                found = Finding(("link_budget", direction, "rate"), message, f"{terms.rate_bps:.4g} bit/s")
                raise ScenarioError(self.locate.finding(found))
        if snr_db is None:
            snr_db = self._snr_for_db(direction, self._whole_update_bps(direction))
            if snr_db == math.inf:
                snr_db = FALLBACK_SNR_DB
                self.notes.append(
                    f"{direction}: no SNR carries a whole update in time; row 19 is {snr_db:g} dB instead"
                )
        bare = self._bare(direction, terms, snr_db)

        def margin_db(distance_m: FloatArray) -> FloatArray:
            if settings.shadow_margin_db is not None:
                return np.full(distance_m.shape, settings.shadow_margin_db)
            if settings.of == "edge":
                return path.margin_db(distance_m, settings.reliability)
            return area_margin_db(settings.reliability, path.std_db(distance_m), path.exponent(distance_m))

        reach_m = path.range_m(bare.mapl_db, margin_db)
        at = np.array([min(max(reach_m, NEAREST_M), FURTHEST_M)])
        budget = replace(bare, shadow_margin_db=float(margin_db(at)[0]), shadow_std_db=float(path.std_db(at)[0]))
        if NEAREST_M < reach_m < FURTHEST_M:
            self._note_validity(reach_m, f"{direction}: the range")
        rate_bps = float(self._rate_bps(direction, np.array([snr_db]))[0])
        return budget, Reach(reach_m, float(path.exponent(at)[0]), rate_bps)

    def _whole_update_bps(self, direction: Direction) -> float:
        """The rate at which a whole update takes its share of the time that is left."""
        largest = max(map(self._download_bits, self.senders), default=self.download_bits)
        bits = self.dense_bits if direction == "uplink" else largest
        return self.air[direction].wire_bits(bits) / (SHARE[direction] * self.left_s)

    def _note_validity(self, distance_m: float, what: str) -> None:
        validity = getattr(self.path.model, "validity", None)
        outside = validity.outside(distance_m, self.scenario.radio.carrier_hz) if validity is not None else None
        if outside:
            self.notes.append(f"{what}: path loss {self.path.model.kind}: {outside}")

    def _terms(self, direction: str) -> Terms:
        terms: Terms = getattr(self.scenario.link_budget, direction)
        return terms

    def _bare(self, direction: str, terms: Terms, required_snr_db: float) -> LinkBudget:
        """The budget without a margin for shadowing."""
        radio, settings = self.scenario.radio, self.scenario.link_budget
        up = direction == "uplink"
        client, station = radio.antenna_gain.client_db, radio.antenna_gain.base_station_db
        return LinkBudget(
            tx_power_dbm=self.scenario.clients.tx_power_dbm if up else radio.downlink.tx_power_dbm,
            bandwidth_hz=self.band_hz[direction],
            required_snr_db=required_snr_db,
            tx_antenna_gain_db=client if up else station,
            rx_antenna_gain_db=station if up else client,
            noise_figure_db=radio.noise_figure.base_station_db if up else radio.noise_figure.client_db,
            fading_margin_db=settings.fading_margin_db,
            macro_diversity_db=settings.macro_diversity_db,
            penetration_db=self.penetration_db,
            other_gain_db=settings.other_gain_db,
            interference_margin_db=terms.interference_margin_db
            + (radio.uplink if up else radio.downlink).interference_margin_db,
            **{name: getattr(terms, name) for name in _SAME},
        )

    def _rate_bps(self, direction: str, snr_db: FloatArray) -> FloatArray:
        """Mean rate over the fading, headers included, at an SNR in the direction's bandwidth."""
        band_hz = self.band_hz[direction]
        with np.errstate(under="ignore"):
            snr_hz = band_hz * 10.0 ** (np.clip(snr_db, -300.0, 300.0) / 10.0)
        return self.air[direction].rate_bps(np.full_like(snr_hz, band_hz), snr_hz)

    def _snr_for_db(self, direction: Direction, rate_bps: float) -> float:
        """The least SNR that carries a rate, by bisection; infinite if none does."""
        low, high = -_HIGHEST_SNR_DB, _HIGHEST_SNR_DB
        if self._rate_bps(direction, np.array([high]))[0] < rate_bps:
            return math.inf
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            short = self._rate_bps(direction, np.array([middle]))[0] < rate_bps
            low, high = (middle, high) if short else (low, middle)
        return high

    def _updates(self, budgets: dict[Direction, LinkBudget], distances_m: Sequence[float] | None) -> Updates:
        settings, air, links = self.scenario.link_budget, self.air["uplink"], self.medium.links
        assert isinstance(links, Links)  # a budget is that of modelled links
        if distances_m is None:  # what was drawn for a client is known: its place, its wall, its line of sight
            distance_m = links.trajectory.distance_m(np.zeros(1))[:, 0]
            los = links.line_of_sight([0.0])[:, 0] if isinstance(self.path.model, Sighted) else None
            wall_db = links.walls_db if settings.penetration_db is None else self.penetration_db
            out, into = (
                self.drawn[inside].margin_db(distance_m, settings.reliability, los) for inside in (False, True)
            )
            margin_db = np.where(links.indoor, into, out)
        else:
            distance_m, wall_db, los = np.asarray(distances_m, dtype=np.float64), self.penetration_db, None
            margin_db = self.path.margin_db(distance_m, settings.reliability)
        loss_db = self.path.loss_db(distance_m, los) + wall_db
        if settings.shadow_margin_db is not None:
            margin_db = np.full(distance_m.shape, settings.shadow_margin_db)

        def snr_db(budget: LinkBudget) -> FloatArray:
            return budget.snr_db(loss_db - self.penetration_db + margin_db - budget.shadow_margin_db)

        down = self.air["downlink"]
        rate, download_rate = (self._rate_bps(direction, snr_db(budgets[direction])) for direction in DIRECTIONS)
        senders = self._senders(distance_m.size, distances_m is None)
        with np.errstate(divide="ignore"):
            download_s = self._each(
                senders, lambda own, rows: down.wire_bits(self._download_bits(own)) / download_rate[rows]
            )
            upload_s = self._each(senders, lambda own, rows: air.wire_bits(own.dense_bits) / rate[rows])

        def air_s(point: Point) -> FloatArray:
            """The time that is left to send a point."""
            return np.maximum(self.left_s - download_s - self._gradients_s(point, download_rate), 0.0)

        def kept(own: _Sender, rows: Places) -> FloatArray:
            fits = [air.wire_bits(point.bits) <= (rate * air_s(point))[rows] for point in own.menu.points]
            fractions = np.array([0.0, *(point.kept_fraction for point in own.menu.points)])
            return np.asarray(fractions[np.sum(fits, axis=0)])  # of rising points the first ones fit

        whole_s, ranked = air_s(self.menu.points[-1]), self._is_ranked()
        capacity = rate * whole_s
        clients = self.scenario.clients
        draw_w = 10.0 ** (clients.tx_power_dbm / 10.0 - 3.0) / clients.amplifier_efficiency + clients.circuit_power_w
        return Updates(
            client=None if distances_m is not None else tuple(int(client) for client in links.clients),
            distance_m=distance_m,
            path_loss_db=loss_db,
            snr_db=snr_db(budgets["uplink"]),
            rate_bps=rate,
            download_rate_bps=download_rate,
            download_s=download_s,
            air_s=whole_s,
            bits=air.payload_bits(capacity),
            rank=self._each(senders, lambda own, rows: self._rank(own.scenario, capacity[rows])) if ranked else None,
            kept_fraction=self._each(senders, kept),
            upload_s=upload_s,
            energy_j=draw_w * upload_s,
        )

    def _senders(self, count: int, named: bool) -> list[tuple[_Sender, Places]]:
        """Who sends, each with the places of its clients among all; at distances whoever sends the most."""
        if self.senders and named:
            ids = np.asarray(self.medium.links.clients)
            return [(own, np.isin(ids, np.asarray(own.clients))) for own in self.senders]
        whole = _Sender(self.scenario, self.menu, self.download_bits, range(count))
        largest = max(self.senders, key=lambda own: own.dense_bits, default=whole)
        return [(largest, np.ones(count, bool))]

    @staticmethod
    def _each(
        senders: Sequence[tuple[_Sender, Places]], work_out: Callable[[_Sender, Places], FloatArray]
    ) -> FloatArray:
        """An array over all clients, of what each sender's have."""
        found = np.empty(len(senders[0][1]))
        for own, rows in senders:
            found[rows] = work_out(own, rows)
        return found

    def _groups(self, updates: Updates) -> Iterator[GroupUpdates]:
        in_time = updates.upload_s <= updates.air_s
        for part, own in self.groups:
            ours = None if updates.client is None else int(in_time[np.isin(updates.client, part.clients)].sum())
            rank = getattr(part.scenario.method, "rank", None)
            yield GroupUpdates(part.name, part.clients, rank, own.dense_bits, ours)

    def _gradients_s(self, point: Point, rate_bps: FloatArray) -> FloatArray:
        """How long the gradients of a round take down in the coding of a point; only split training has any."""
        if self.split is None:
            return np.zeros_like(rate_bps)
        bits = self.split.transfer_bits(round(32 * point.kept_fraction))
        with np.errstate(divide="ignore"):
            return np.asarray(self.split.steps * self.air["downlink"].wire_bits(bits) / rate_bps)

    def _is_ranked(self) -> bool:
        """Whether updates have a rank, the same in all of a run."""
        method = self.scenario.method
        if not has_one_rank(method) or isinstance(method, Split):
            return False
        return not any(
            getattr(method, name, False) for name in ("own_coding", "own_models")
        )  # which stays with clients

    def _rank(self, scenario: Scenario, capacity_bits: FloatArray) -> FloatArray:
        """The largest rank of which a whole update fits."""
        adapter, info = scenario.method.adapter(), model_info(scenario.learning.model.name)
        assert adapter is not None  # there is a rank
        sizes = dense_sizes(scenario, adapter.most_rank(info.hidden)[0])
        wire = np.array([self.air["uplink"].wire_bits(bits) for bits in sizes])
        return np.searchsorted(wire, capacity_bits, side="right").astype(np.float64)


def dense_sizes(scenario: Scenario, most: int) -> list[int]:
    """Bits of a whole update at the ranks 1 to `most`, at the codec's bits a value."""
    from wfl_sim.codecs.dense import Dense

    info, codec = model_info(scenario.learning.model.name), Dense(bits=getattr(scenario.codec, "bits", 16))
    method = scenario.method
    return [
        codec.menu(layout_of(replace(scenario, method=replace(method, rank=rank)), info)).points[-1].bits  # type: ignore[type-var]
        for rank in range(1, most + 1)
    ]
