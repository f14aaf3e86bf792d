"""The scenario: one frozen tree of options in SI units, read from YAML with every problem located.

Knows the options of all nouns and runs none of them; imports no tensor library.

Keys are the fields without their unit (`carrier_hz` reads ``carrier: 3.5 GHz``); defaults stand in the classes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, Discriminator, TypeAdapter, ValidationError

from channels.erasure import LOSS, Loss, NoLoss
from channels.fading import FADING, Fading, Rayleigh
from channels.mobility import MOBILITY, PLACEMENT, Mobility, Placement, Static
from channels.options import OptionError, Options, at_least, option_name, quantities
from channels.pathloss import PATH_LOSS, PathLoss
from channels.shadowing import SHADOWING, LogNormal, Shadowing
from channels.units import DecibelMilliwatts, Fraction, Watts, render
from wfl_sim import yamlfile
from wfl_sim.codecs import CODECS
from wfl_sim.codecs.base import Codec
from wfl_sim.codecs.dense import Dense
from wfl_sim.contracts import Schedule
from wfl_sim.devices import Compute
from wfl_sim.errors import MissingResource, ScenarioError
from wfl_sim.learning.options import Learning
from wfl_sim.methods import METHODS
from wfl_sim.methods.base import Method
from wfl_sim.protocols import PROTOCOLS
from wfl_sim.protocols.base import Protocol
from wfl_sim.protocols.sync import Sync
from wfl_sim.radio.options import Radio
from wfl_sim.schedules import SCHEDULES
from wfl_sim.schedules.equal import Equal


def _one_of(registry: Mapping[str, type[Any]]) -> Any:
    """The type of a key that takes any kind of a registry."""
    kinds = tuple(registry.values())
    return Annotated[reduce(or_, kinds), Discriminator("kind")] if len(kinds) > 1 else kinds[0]


if TYPE_CHECKING:
    AnyPathLoss: TypeAlias = PathLoss
    AnyShadowing: TypeAlias = Shadowing
    AnyFading: TypeAlias = Fading
    AnyLoss: TypeAlias = Loss
    AnyPlacement: TypeAlias = Placement
    AnyMobility: TypeAlias = Mobility
    AnyMethod: TypeAlias = Method
    AnyCodec: TypeAlias = Codec
    AnySchedule: TypeAlias = Schedule
    AnyProtocol: TypeAlias = Protocol
else:
    AnyPathLoss, AnyShadowing, AnyFading, AnyLoss = map(_one_of, (PATH_LOSS, SHADOWING, FADING, LOSS))
    AnyPlacement, AnyMobility = map(_one_of, (PLACEMENT, MOBILITY))
    AnyMethod, AnyCodec, AnySchedule, AnyProtocol = map(_one_of, (METHODS, CODECS, SCHEDULES, PROTOCOLS))

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Channel(Options):
    """The physics of every link."""

    path_loss: AnyPathLoss
    shadowing: AnyShadowing = LogNormal()
    fading: AnyFading = Rayleigh()
    loss: AnyLoss = NoLoss()


@dataclass(frozen=True, kw_only=True)
class Clients(Options):
    """Who takes part: how many, where, how they move, what they transmit and compute with.

    An upload takes (tx_power / amplifier_efficiency + circuit_power) x air time in energy.
    """

    count: int
    placement: AnyPlacement
    mobility: AnyMobility = Static()
    tx_power_dbm: DecibelMilliwatts = 23.0
    amplifier_efficiency: Fraction = 0.35
    circuit_power_w: Watts = 0.1
    compute: Compute

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "count")


@dataclass(frozen=True, kw_only=True)
class Scenario(Options):
    """Everything that one arm of a study needs, for each of its seeds."""

    schema_version: Literal[1]
    name: str
    seeds: tuple[int, ...] = (1,)
    rounds: int
    radio: Radio = Radio()
    channel: Channel
    clients: Clients
    learning: Learning = Learning()
    method: AnyMethod
    codec: AnyCodec = Dense()
    protocol: AnyProtocol = Sync()
    schedule: AnySchedule = Equal()

    # Reaches every class below: unknown keys are refused and scalars are not converted.
    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, alias_generator=option_name)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "rounds")
        if not _NAME.fullmatch(self.name):
            raise OptionError("Scenario", "name", f"names a folder: letters, digits, '.', '_', '-'; got {self.name!r}")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise OptionError("Scenario", "seeds", f"needs distinct whole numbers from 0 on; got {list(self.seeds)}")


@dataclass(frozen=True)
class Cell:
    """One run of a study: a scenario with a single seed, under the name of its arm."""

    arm: str
    seed: int
    scenario: Scenario


@dataclass(frozen=True)
class Study:
    """All cells of a scenario file: arms by seeds."""

    name: str
    cells: tuple[Cell, ...]
    document: yamlfile.Document | None = field(default=None, repr=False, compare=False)

    def check(self) -> None:
        """`check_resources` for every arm, with what is found located in the file.

        Raises
        ------
        MissingResource, ScenarioError
        """
        problems: dict[tuple[str, str], None] = {}
        for cell in self.cells:
            if cell.seed != self.cells[0].seed:
                continue
            try:
                check_resources(cell.scenario)
            except ScenarioError as error:
                for key, message in error.args:
                    where = _where(self.document, cell.arm, key.split(".")) if self.document else key
                    problems[where, message] = None
        if problems:
            raise ScenarioError(*problems)


def load(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Read a scenario file and the overrides, and resolve every arm.

    Parameters
    ----------
    path : str or Path
    overrides : sequence of str
        ``key.path=value`` each; an override also replaces the same key where an arm writes it.

    Raises
    ------
    ScenarioError
        All problems that were found, one a line, each with file, line and column or the override.
    """
    document = yamlfile.read(Path(path))
    for text in overrides:
        document.override(text)
    return _resolve(document)


def parse(text: str, source: str = "scenario") -> Study:
    """The same from a text."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / source
        file.write_text(text, encoding="utf-8")
        return load(file)


def _resolve(document: yamlfile.Document) -> Study:
    base = {key: value for key, value in document.data.items() if key != "arms"}
    arms = document.data.get("arms", {})
    if not isinstance(arms, dict):
        raise ScenarioError((document.where(("arms",)), "must be a mapping of names to the keys that each arm changes"))
    problems: dict[tuple[str, str], None] = {}
    resolved: dict[str, Scenario] = {}
    for arm, changes in (arms or {"": {}}).items():
        if arms and not (isinstance(arm, str) and _NAME.fullmatch(arm)):
            where = document.where(("arms", str(arm)))
            problems[where, f"an arm names a folder: a text of letters, digits, '.', '_', '-'; got {arm!r}"] = None
            continue
        if not isinstance(changes, dict):
            where = document.where(("arms", arm))
            problems[where, f"must be a mapping of the keys that the arm changes, or {{}}; got {changes!r}"] = None
            continue
        for key in ("schema_version", "name", "seeds"):
            if key in changes:
                problems[document.where(("arms", arm, key)), "is the same for all arms of a file"] = None
        try:
            scenario = _adapter().validate_json(json.dumps(yamlfile.merge(base, changes), default=str))
        except ValidationError as error:
            for path, message in _problems(error, yamlfile.merge(base, changes)):
                problems[_where(document, arm, path), message] = None
            continue
        resolved[arm or scenario.method.kind] = scenario
    if problems:
        raise ScenarioError(*problems)
    first = next(iter(resolved.values()))
    cells = tuple(Cell(arm, seed, single(scenario, seed)) for seed in first.seeds for arm, scenario in resolved.items())
    return Study(first.name, cells, document)


def _where(document: yamlfile.Document, arm: str, path: Sequence[str]) -> str:
    """Where the value at `path` comes from, for one arm: from the arm's own keys or from those of the file."""
    path, in_arm = tuple(path), ("arms", arm, *path)
    arms = document.data.get("arms") or {}
    written = next((p for n in range(len(in_arm), 2, -1) if (p := in_arm[:n]) in document.marks), None)
    survives = _survives(document.data, arms.get(arm, {}), path)
    nearer = written is not None and _covers(document, written, path[:survives])
    return document.where(in_arm if nearer else path)


def _survives(base: dict[str, Any], changes: dict[str, Any], path: Sequence[str]) -> int:
    """How much of `path` the base has a say in: up to where an arm's value takes the place of the base's."""
    for depth, key in enumerate(path, 1):
        old, new = base.get(key), changes.get(key)
        if (
            not isinstance(old, dict)
            or not isinstance(new, dict)
            or new.get("kind", old.get("kind")) != old.get("kind")
        ):
            return depth
        base, changes = old, new
    return len(path)


def _covers(document: yamlfile.Document, written: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Whether an arm's key is at least as near to `path` as the base's."""
    base = next((n for n in range(len(path), 0, -1) if path[:n] in document.marks), 0)
    return len(written) - 2 >= base


def single(scenario: Scenario, seed: int) -> Scenario:
    """The same scenario with one seed."""
    from dataclasses import replace

    return replace(scenario, seeds=(seed,))


_ADAPTER: list[TypeAdapter[Scenario]] = []


def _adapter() -> TypeAdapter[Scenario]:
    """pydantic's reader of scenarios, built at first use. It is strict only in JSON mode, where a mapping
    may still become a dataclass; hence the detour over JSON."""
    if not _ADAPTER:
        _ADAPTER.append(TypeAdapter(Scenario))
    return _ADAPTER[0]


def _problems(error: ValidationError, data: Any) -> list[tuple[tuple[str, ...], str]]:
    """pydantic's findings in our words, with the path of the key in the file."""
    found = []
    for item in error.errors(include_url=False):
        path, cause = _file_path(item["loc"], data), item.get("ctx", {}).get("error")
        kind, got = item["type"], item.get("input")
        if isinstance(cause, OptionError):
            path, message = (*path, option_name(cause.args[1])), str(cause.args[2])
        elif isinstance(cause, ValueError):
            message = str(cause)
        elif kind == "unexpected_keyword_argument":
            message = "unknown key"
        elif kind in ("missing", "missing_argument"):
            message = "is missing"
        elif kind == "union_tag_not_found":
            path, message = (*path, "kind"), "is missing"
        elif kind == "union_tag_invalid":
            path = (*path, "kind")
            message = f"unknown kind {item['ctx']['tag']!r}; there are: {item['ctx']['expected_tags']}"
        elif kind == "literal_error":
            message = f"must be {item['ctx']['expected']}; got {got!r}"
        elif kind.startswith("dataclass") or kind.endswith("_type"):
            wanted = {"int_type": "a whole number", "bool_type": "true or false", "string_type": "a text",
                      "tuple_type": "a list"}  # fmt: skip
            message = f"must be {wanted.get(kind, 'a mapping of keys to values')}; got {got!r}"
        else:
            message = item["msg"]
        found.append((path, message))
    return found


def _file_path(loc: Sequence[str | int], data: Any) -> tuple[str, ...]:
    """The location without the kinds that pydantic puts into it."""
    path: list[str] = []
    for i, part in enumerate(loc):
        in_list = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if in_list or (isinstance(data, dict) and part in data):
            data = data[part]
        elif i < len(loc) - 1 or (isinstance(data, dict) and data.get("kind") == part):
            continue  # the tag of a discriminated union
        path.append(str(part))
    return tuple(path)


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
            value = list(value)
        elif item.name in units:
            value = render(value, units[item.name].unit)
        plain[option_name(item.name)] = value
    return plain


def to_yaml(scenario: Scenario) -> str:
    """The scenario as a file that `load` reads back to the same."""
    return yamlfile.write(to_plain(scenario), "resolved scenario; runs as it stands")


def check_resources(scenario: Scenario) -> None:
    """Find out, without loading them, whether model and data are there and fit the scenario.

    Raises
    ------
    MissingResource
        A package, model or data set is missing; the text names the command that installs it.
    ScenarioError
        The rank is above the layer, the model has fewer layers, or there are more clients than examples.
    """
    from wfl_sim.learning.sources import data_file, model_info

    learning = scenario.learning
    info = model_info(learning.model.name)
    data_file(learning.data.name)
    adapter = scenario.method.adapter()
    problems = []
    if adapter is not None and adapter.rank > info.hidden:
        problems.append(("method.rank", f"must be at most {info.hidden}, the width of the layers; got {adapter.rank}"))
    if learning.model.layers is not None and learning.model.layers > info.layers:
        problems.append(
            ("learning.model.layers", f"must be at most {info.layers}, the model's depth; got {learning.model.layers}")
        )
    if scenario.clients.count > learning.data.train:
        problems.append(
            (
                "clients.count",
                f"must be at most the {learning.data.train} training examples; got {scenario.clients.count}",
            )
        )
    if problems:
        raise ScenarioError(*problems)


__all__ = ["Cell", "MissingResource", "Scenario", "Study", "check_resources", "load", "parse", "to_plain", "to_yaml"]
