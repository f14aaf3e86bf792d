"""One run directory: what its manifest says, beside the columns of its trace.

Knows the files of one run; does not know SQLite, other runs, nor what the numbers mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from analysis.tracefile import AGAIN, Columns, NothingYet, TraceError, Units, read_trace
from channels.units import QuantityError, parse
from wfl_sim.grid import Coordinate
from wfl_sim.quality import ACCURACY, QUALITIES

TRACE_FILE = "trace.sqlite"
MANIFEST_FILE = "manifest.json"
SCENARIO_FILE = "scenario.yaml"
_NO_MATTER = ("seeds", "name", "description")
DISCARDED = "discarded"
"""Status of a run that is being removed, as in `wfl_sim.rundirectory`, which is not imported as it loads SimPy."""


class Holdings(NamedTuple):
    """Who holds what: the names of the classes, and how many examples of each a client has [clients, classes].

    Of the clients of one `group`, which follow each other from `first` on; without groups, of all.
    """

    classes: tuple[str, ...]
    counts: np.ndarray
    group: str = ""
    first: int = 0


@dataclass(frozen=True)
class Run:
    """What the files of one run directory say."""

    directory: Path
    study: str
    arm: str
    arm_order: float
    group: str
    point: tuple[Coordinate, ...]
    seed: int
    status: str
    targets: tuple[float, ...]
    latency_budget_s: float
    deadline_s: float
    schedule_deadline_s: float
    clients: float
    in_flight_bits: float
    metric: str
    holdings: tuple[Holdings, ...]
    tables: dict[str, Columns]
    units: Units
    scenario: dict[str, str]

    @classmethod
    def read(cls, directory: Path, tables: Collection[str]) -> Run:
        """Read one run, with these tables besides ``rounds``.

        Raises
        ------
        NothingYet
            For a run that is just being begun or removed.
        TraceError
            For what cannot be read.
        """
        file, trace = directory / MANIFEST_FILE, directory / TRACE_FILE
        try:
            manifest = _manifest(file)
            columns, units = read_trace(trace, tables)
            if manifest["status"] == "finished" and not units:
                raise TraceError(f"{trace}: is empty, though the run has finished; {AGAIN}")
            index, scenario = manifest.get("arm_index"), _scenario(directory / SCENARIO_FILE)
            return cls(
                directory=directory,
                study=str(manifest["name"]),
                arm=str(manifest["arm"]),
                arm_order=float("inf") if index is None else float(index),
                group=str(manifest.get("group") or manifest["arm"]),
                point=tuple(_coordinate(one) for one in manifest.get("point") or ()),
                seed=int(manifest["seed"]),
                status=str(manifest["status"]),
                targets=tuple(float(target) for target in manifest.get("targets") or ()),
                latency_budget_s=_number(manifest, "latency_budget_s"),
                deadline_s=_number(manifest, "deadline_s"),
                schedule_deadline_s=_deadline_s(scenario.get("schedule", "")),
                clients=_number(manifest, "clients"),
                in_flight_bits=_number(manifest.get("ledger") or {}, "in_flight_up_bits"),
                metric=_metric(manifest),
                holdings=_holdings(manifest),
                tables=columns,
                units=units,
                scenario=scenario,
            )
        except KeyError as error:
            raise TraceError(f"{file}: has no key {error.args[0]!r}") from error
        except (TypeError, ValueError) as error:
            raise TraceError(f"{file}: is not the manifest of a run: {error}") from error

    def row(self) -> dict[str, Any]:
        """The row of ``Traces.cells``, without the columns of a grid."""
        return {
            "arm": self.arm,
            "seed": self.seed,
            "status": self.status,
            "rounds": self.rows("rounds"),
            "targets": self.targets,
            "latency_budget_s": self.latency_budget_s,
            "deadline_s": self.deadline_s,
            "schedule_deadline_s": self.schedule_deadline_s,
            "clients": self.clients,
            "in_flight_bits": self.in_flight_bits,
            "study": self.study,
            "directory": self.directory.name,
            "metric": self.metric,
            "group": self.group,
        }

    @property
    def begun(self) -> bool:
        """Whether its trace has been made."""
        return bool(self.units)

    def rows(self, table: str) -> int:
        """How many rows a table has."""
        return len(next(iter(self.tables[table].values())))


def _manifest(file: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        # Of a run, it is the first file that is written and the last one that is removed.
        kind = (
            NothingYet if isinstance(error, FileNotFoundError) and _is_empty(file.with_name(TRACE_FILE)) else TraceError
        )
        raise kind(f"{file}: cannot be read ({error.strerror}); a run directory holds one") from error
    if not isinstance(manifest, dict):
        raise TypeError(f"got a {type(manifest).__name__}, not keys and values")
    if manifest.get("status") == DISCARDED:
        raise NothingYet(f"{file.parent}: is just being removed, or was left so; run its scenario again")
    return manifest


def _scenario(file: Path) -> dict[str, str]:
    """What decides on results in a resolved scenario beside the seed: the text below each key; empty without a file."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return {}
    parts = re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]
    return {key: value.strip() for key, _, value in (part.partition(":") for part in parts) if key not in _NO_MATTER}


def _deadline_s(schedule: str) -> float:
    """The deadline that a schedule plans for, from its section of a resolved scenario; NaN without one."""
    found = re.search(r"^\s*deadline: (.+)$", schedule, re.MULTILINE)
    try:
        return float("nan") if found is None else parse(found[1], "s")
    except QuantityError:  # the option of a plug-in that means something else
        return float("nan")


def _is_empty(trace: Path) -> bool:
    try:
        return trace.stat().st_size == 0
    except FileNotFoundError:
        return True


def _number(manifest: dict[str, Any], key: str) -> float:
    value = manifest.get(key)
    return float("nan") if value is None else float(value)


def _coordinate(said: dict[str, Any]) -> Coordinate:
    value = said["value"]
    number = None if value is None or isinstance(value, bool) else float(value)
    return Coordinate(str(said["key"]), str(said["text"]), number, str(said.get("unit") or ""))


def _metric(manifest: dict[str, Any]) -> str:
    """The name of the measure; a run that does not say was judged by accuracy, as all once were."""
    name = (manifest.get("quality") or {"metric": ACCURACY.metric})["metric"]
    if name not in QUALITIES:
        raise ValueError(f"quality.metric is {name!r}; this version knows {', '.join(QUALITIES)}")
    return str(name)


def _holdings(manifest: dict[str, Any]) -> tuple[Holdings, ...]:
    """That of all clients, or where groups learn unlike classes of each group; none of a run that does not say."""
    data = manifest.get("data") or {}
    if data.get("holdings") is not None:
        return (_counted(data["holdings"], "data.holdings"),)
    found, first = list[Holdings](), 0
    for number, group in enumerate(data.get("groups") or ()):
        if group.get("holdings") is None:
            return ()
        own = _counted(group["holdings"], f"data.groups.{number}.holdings")
        found.append(own._replace(group=str(group["group"]), first=first))
        first += len(own.counts)
    return tuple(found)


def _counted(held: dict[str, Any], key: str) -> Holdings:
    classes, counts = tuple(map(str, held["classes"])), np.array(held["counts"], dtype=np.int64)
    if counts.ndim != 2 or counts.shape[1] != len(classes) or counts.min() < 0:
        raise ValueError(f"{key}.counts is no table of clients by {len(classes)} classes")
    return Holdings(classes, counts)
