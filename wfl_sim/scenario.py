"""The scenario: one frozen tree of options in SI units, read from YAML with every problem located.

Knows the options of all nouns and runs none of them; imports no tensor library.

Keys are the fields without their unit (`carrier_hz` reads ``carrier: 3.5 GHz``); defaults stand in the classes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import ConfigDict, Discriminator

from channels.erasure import Loss, NoLoss
from channels.fading import Fading, Rayleigh
from channels.mobility import Mobility, Placement, Static
from channels.options import Count, OptionError, Options, Whole, option_name, quantities
from channels.pathloss import PathLoss
from channels.penetration import NoPenetration, Penetration
from channels.recorded import Recorded
from channels.shadowing import LogNormal, PlacedShadowing, Shadowing
from channels.units import DecibelMilliwatts, Fraction, Watts, render, shown
from wfl_sim import pointnames, rules, yamlfile
from wfl_sim.availability import Always, Availability
from wfl_sim.codecs.base import Codec
from wfl_sim.codecs.dense import Dense
from wfl_sim.contracts import Schedule
from wfl_sim.devices import Compute
from wfl_sim.diagnose import MISSING, Locator
from wfl_sim.errors import Problem, ScenarioError, in_order
from wfl_sim.findings import Finding
from wfl_sim.grid import Coordinate as Coordinate
from wfl_sim.learning.options import Learning
from wfl_sim.methods.base import Method
from wfl_sim.nouns import NOUNS
from wfl_sim.presence import Churn
from wfl_sim.protocols.base import Protocol
from wfl_sim.protocols.split import is_split
from wfl_sim.protocols.sync import Sync
from wfl_sim.radio.margins import Budget
from wfl_sim.radio.options import Radio
from wfl_sim.resolve import Reading, resolve
from wfl_sim.schedules.equal import Equal
from wfl_sim.sections import Sections
from wfl_sim.seeds import Seeds
from wfl_sim.stage1.options import RankSelection


def _one_of(noun: str) -> Any:
    """The type of a key that takes any kind of a noun."""
    kinds = tuple(NOUNS[noun].values())
    return Annotated[reduce(or_, kinds), Discriminator("kind")] if len(kinds) > 1 else kinds[0]


if TYPE_CHECKING:
    AnyPathLoss: TypeAlias = PathLoss
    AnyPenetration: TypeAlias = Penetration
    AnyShadowing: TypeAlias = Shadowing | PlacedShadowing
    AnyFading: TypeAlias = Fading
    AnyLoss: TypeAlias = Loss
    AnyPlacement: TypeAlias = Placement
    AnyMobility: TypeAlias = Mobility
    AnyAvailability: TypeAlias = Availability
    AnyMethod: TypeAlias = Method
    AnyCodec: TypeAlias = Codec
    AnySchedule: TypeAlias = Schedule
    AnyProtocol: TypeAlias = Protocol
else:
    AnyPathLoss, AnyPenetration = _one_of("channel.path_loss"), _one_of("channel.penetration")
    AnyShadowing, AnyFading, AnyLoss = _one_of("channel.shadowing"), _one_of("channel.fading"), _one_of("channel.loss")
    AnyPlacement, AnyMobility = _one_of("clients.placement"), _one_of("clients.mobility")
    AnyAvailability = _one_of("clients.availability")
    AnyMethod, AnyCodec = _one_of("method"), _one_of("codec")
    AnySchedule, AnyProtocol = _one_of("schedule"), _one_of("protocol")

FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Names that some systems keep for devices, whatever the ending.
DEVICE = re.compile(r"(?i)(con|prn|aux|nul|(com|lpt)[0-9])(\..*)?")


@dataclass(frozen=True, kw_only=True)
class Channel(Options):
    """The physics of every link, from the base station to one client and back.

    Options
    -------
    path_loss : How much weaker the signal is after a distance. Needed, unless `recorded` is given.
    penetration : What it loses on its way into the building that a client is in.
    shadowing : Slow changes of the level as a client moves behind obstacles.
    fading : Fast changes of the gain around its mean.
    loss : Packet loss that comes from elsewhere than this radio.
    recorded : Files to replay in place of path loss, penetration, shadowing and fading.
    """

    path_loss: AnyPathLoss | None = None
    penetration: AnyPenetration = NoPenetration()
    shadowing: AnyShadowing = LogNormal()
    fading: AnyFading = Rayleigh()
    loss: AnyLoss = NoLoss()
    recorded: Recorded | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.path_loss is None and self.recorded is None:
            raise OptionError("Channel", "path_loss", MISSING)
        if self.path_loss is not None and self.recorded is not None:
            message = "takes the place of path_loss; leave one of the two out, or set path_loss: null"
            raise OptionError("Channel", "recorded", message)


@dataclass(frozen=True, kw_only=True)
class Clients(Options):
    """Who takes part: how many, where and when, how they move, what they transmit and compute with.

    Formula
    -------
    Energy of an upload = (tx_power / amplifier_efficiency + circuit_power) x air time.

    Options
    -------
    count : Number of clients.
    placement : Where clients are at the start.
    mobility : How clients move from there.
    availability : When a client can be reached.
    churn : Clients that join during the run, or leave for good; left out, nobody does.
    tx_power_dbm : Transmit power of a client, spread over the band that it holds; 23 dBm is usual for a phone.
    amplifier_efficiency : Share of the amplifier's power that reaches the antenna. Smaller: more energy an upload.
    circuit_power_w : Power of the rest of the transmitter while it sends.
    compute : How long local training takes, and its energy.
    """

    count: Count
    placement: AnyPlacement
    mobility: AnyMobility = Static()
    availability: AnyAvailability = Always()
    churn: Churn | None = None
    tx_power_dbm: DecibelMilliwatts = 23.0
    amplifier_efficiency: Fraction = 0.35
    circuit_power_w: Watts = 0.1
    compute: Compute


@dataclass(frozen=True, kw_only=True)
class Scenario(Options):
    """Everything that one arm of a study needs, for each of its seeds.

    Options
    -------
    schema_version : Version of the file format.
    name : Name of the study, and of the folder of its results.
    description : One line for people: what the study is about.
    seeds : One run for each: a list, or a range with both ends such as 1..5. A seed fixes all random draws; arms with
        the same seed share links, data and first weights as far as their options agree.
    rounds : Number of rounds of a run.
    radio : The air interface: carrier, bands, noise, packets.
    channel : The physics of the links.
    clients : Who takes part, where, and with what.
    learning : Model, data and local training.
    method : What is trained, and how updates are merged.
    codec : What of an update is sent, and in how many bits.
    protocol : Who talks when.
    schedule : Who sends what in which bandwidth.
    rank_selection : The rank, chosen before a run from links and a pilot; left out, `method.rank` is taken as it is.
    link_budget : Margins and gains for `wfl-sim linkbudget`; no run reads them.
    """

    schema_version: Annotated[int, Whole(ge=1, le=1)]
    name: str
    description: str = ""
    seeds: Annotated[tuple[int, ...], Seeds()] = (1,)
    rounds: Count
    radio: Radio = Radio()
    channel: Channel
    clients: Clients
    learning: Learning = Learning()
    method: AnyMethod
    codec: AnyCodec = Dense()
    protocol: AnyProtocol = Sync()
    schedule: AnySchedule = Equal()
    rank_selection: RankSelection | None = None
    link_budget: Budget = Budget()

    # Reaches every class below: unknown keys are refused and scalars are not converted.
    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, alias_generator=option_name)

    def __post_init__(self) -> None:
        super().__post_init__()
        if reason := not_a_folder(self.name):
            raise OptionError("Scenario", "name", reason)
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise OptionError(
                "Scenario", "seeds", f"needs distinct whole numbers from 0 on; got {shown(list(self.seeds))}"
            )


@dataclass(frozen=True)
class Cell:
    """One run of a study: a scenario with a single seed, under the name of its arm.

    Each point of a grid is an arm of its own, called after its `group`, which is the arm in the file, and the point.
    """

    arm: str
    seed: int
    scenario: Scenario
    group: str = ""
    point: tuple[Coordinate, ...] = ()

    @property
    def folder(self) -> str:
        """What the directory of the run is called."""
        return f"{self.arm}-seed{self.seed}"


@dataclass(frozen=True)
class Study:
    """All cells of a scenario file: arms at the points of its grid, by seeds."""

    name: str
    cells: tuple[Cell, ...]
    locators: dict[str, Locator] = field(default_factory=dict, repr=False, compare=False)

    def check(self) -> None:
        """Find out whether models and data are there and fit every arm.

        Raises
        ------
        ScenarioError
            What was found, located in the file.
        """
        problems, resources = list[Problem](), _Resources()
        for cell in self.cells[: len({cell.arm for cell in self.cells})]:  # those of the first seed
            locate = self.locators.get(cell.arm) or Locator.nowhere()
            problems += [locate.finding(found) for found in resources.of(cell.scenario)]
        if problems:
            raise ScenarioError(*in_order(problems))


def load(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    resources: bool = False,
    many: bool = False,
) -> Study:
    """Read a scenario file and the overrides, and resolve every arm at every point of the grid.

    Parameters
    ----------
    path : str or Path
    overrides : sequence of str
        ``key.path=value`` each, with commas between several values; see `wfl_sim.resolve.resolve`.
    resources : bool
        Whether to check too that models and data are there and fit (as `Study.check` does later).
    many : bool
        Whether a study of more than `wfl_sim.resolve.MOST_CELLS` cells is meant.

    Raises
    ------
    ManyCells
        It is that large, and that was not said; nothing was resolved.
    ScenarioError
        All problems that were found, each with file, line and column or the override.
    """
    document = yamlfile.read(Path(path))
    return _study(document, overrides, resources, many, Path(path).parent)


def one_arm(document: yamlfile.Document, folder: Path, overrides: Sequence[str] = (), name: str | None = None) -> Study:
    """One arm of a document that was read from `folder`, without what must hold between keys (`wfl_sim.rules`).

    The document itself is left as it is. Without a `name` it has no arms. Raises ScenarioError.
    """
    return _study(document.copy(), overrides, False, False, folder, only=name, ruled=False)


def parse(
    text: str,
    source: str = "scenario",
    overrides: Sequence[str] = (),
    *,
    resources: bool = False,
    many: bool = False,
) -> Study:
    """The same from a text; `source` stands for the name of the file in messages."""
    return _study(yamlfile.read_text(text, source), overrides, resources, many)


def _study(
    document: yamlfile.Document,
    overrides: Sequence[str],
    resources: bool,
    many: bool,
    folder: Path | None = None,
    *,
    only: str | None = None,
    ruled: bool = True,
) -> Study:
    sections, found = Sections(Scenario, folder), _Resources()

    def check(scenario: Scenario) -> list[Finding]:
        return (rules.physics(scenario) if ruled else []) + (found.of(scenario) if resources else [])

    arms = resolve(document, overrides, Reading(sections.read, check, not_a_folder), many=many, only=only)
    groups = [arm.group or arm.scenario.method.kind for arm in arms]
    names = [pointnames.name(group, arm.parts) for group, arm in zip(groups, arms, strict=True)]
    first = arms[0].scenario
    cells = tuple(
        Cell(name, seed, replace(arm.scenario, seeds=(seed,)), group, arm.point)
        for seed in first.seeds
        for name, group, arm in zip(names, groups, arms, strict=True)
    )
    return Study(first.name, cells, {name: arm.locate for name, arm in zip(names, arms, strict=True)})


class _Resources:
    """`rules.resources` of many scenarios, which takes far longer than all other rules, once for those alike."""

    def __init__(self) -> None:
        self._found: dict[Any, list[Finding]] = {}

    def of(self, scenario: Scenario) -> list[Finding]:
        """What it finds in a scenario."""
        read: Any = (scenario.learning, scenario.method, scenario.clients.count, scenario.seeds)  # all that it reads
        if scenario.rank_selection is not None or is_split(scenario.protocol):  # which read links or devices too
            read = scenario
        if read not in self._found:
            self._found[read] = rules.resources(scenario)
        return self._found[read]


def not_a_folder(name: str) -> str:
    """Why a name cannot be that of a folder on every system; '' if it can."""
    if not FOLDER.fullmatch(name):
        return (
            f"names a folder: up to 64 of A-Z, a-z, 0-9, '.', '_' and '-', a letter or digit first; got {shown(name)}"
        )
    return f"names a folder, and some systems keep {name!r} for a device" if DEVICE.fullmatch(name) else ""


def to_plain(options: Options) -> dict[str, Any]:
    """Options as the mapping that a scenario file would hold, quantities with their units."""
    units = quantities(type(options))
    plain: dict[str, Any] = {}
    for item in fields(options):
        value = getattr(options, item.name)
        if value is None:
            continue
        if isinstance(value, Options):
            value = to_plain(value)
        elif isinstance(value, tuple):
            value = [to_plain(item) if isinstance(item, Options) else item for item in value]
        elif item.name in units:
            value = render(value, units[item.name].unit)
        plain[option_name(item.name)] = value
    return plain


def to_yaml(scenario: Scenario) -> str:
    """The scenario as a file that `load` reads back to the same."""
    return yamlfile.write(to_plain(scenario), "resolved scenario; runs as it stands")
