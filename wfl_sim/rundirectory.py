"""Run directories: whose they are, whether the run in them is finished, and how they are emptied.

Knows the manifest and the names of files; not what a run computes, nor how it goes on from where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import fields
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from channels.files import mark
from channels.options import Options, option_name
from channels.recorded import CLIENT
from wfl_sim import locks, plugins, wholefile
from wfl_sim.errors import OutputExists, RunFailed
from wfl_sim.files import file_fields
from wfl_sim.learning.options import Data, Model
from wfl_sim.scenario import Cell, to_plain

FORMAT = 1
"""Of the run directory: which files it holds, and what they mean."""

MANIFEST, SCENARIO, TRACE = "manifest.json", "scenario.yaml", "trace.sqlite"
DISCARDED = "discarded"
"""Status of a run that is being removed: what is left of it means nothing."""

UNREAD = ("description", "link_budget")
"""Keys of a scenario that change no run."""
REPORTED_PACKAGES = ("wfl-sim", "torch", "transformers", "peft", "numpy", "scipy", "simpy")

_Place = tuple[str | int, ...]
State = Literal["absent", "finished", "unfinished"]
_EARLY = {
    locks.NAME,
    SCENARIO,
    f"{SCENARIO}.partial",
    f"{MANIFEST}.partial",
}  # what a run leaves that was killed before its first manifest
_HEADER = "# resolved scenario"  # the beginning of the scenario file of a run
_BLOCK_BYTES = 1 << 20


def content_hash(cell: Cell) -> str:
    """What tells a cell from all others that give other results, as 64 hexadecimal digits.

    It is the SHA-256 of the resolved scenario with its seed, less what no run reads, in which the name of each file or
    folder stands for what it holds: where that lies makes no difference. What cannot be read counts as its name.
    """
    plain = {key: value for key, value in to_plain(cell.scenario).items() if key not in UNREAD}
    for path, value in _named_files(cell.scenario, cell.scenario.clients.count):
        inner: Any = plain
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
    return hashlib.sha256(json.dumps(plain, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _named_files(options: Options, clients: int, path: _Place = ()) -> Iterator[tuple[_Place, str]]:
    """The path of each option that names a file, and a word for the contents."""
    named = file_fields(type(options))
    for item in fields(options):
        value, here = getattr(options, item.name), (*path, option_name(item.name))
        if isinstance(value, Options):
            yield from _named_files(value, clients, here)
        elif isinstance(value, tuple) and value and isinstance(value[0], Options):
            for number, one in enumerate(value):
                yield from _named_files(one, clients, (*here, number))
        elif item.name in named and value is not None:
            each = [value.replace(CLIENT, str(client)) for client in range(clients)] if CLIENT in value else [value]
            yield here, _contents(each)
    if isinstance(options, Data) and options.name.startswith("csv:"):
        yield (*path, "name"), f"csv:{_contents([options.name.removeprefix('csv:')])}"
    elif isinstance(options, (Data, Model)) and os.path.isdir(options.name):
        held = sorted(path for path in Path(options.name).rglob("*") if path.is_file())
        names = " ".join(str(path.relative_to(options.name)) for path in held)
        yield (*path, "name"), f"folder:{_contents([str(path) for path in held])} {names}"


def _contents(names: list[str]) -> str:
    digests = [_digest(name, mark(name)) for name in names]
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


@lru_cache(maxsize=4096)  # all cells of a study name the same few
def _digest(name: str, marked: tuple[int, ...]) -> str:
    digest = hashlib.sha256()
    try:
        with open(name, "rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
    except (OSError, ValueError):
        return name
    return f"sha256:{digest.hexdigest()}"


def state(directory: Path, cell: Cell) -> State:
    """Whether the run of a cell is not there, all there, or to be continued.

    A run that was killed before its first manifest left nothing to continue: it is ``absent``.

    Raises
    ------
    OutputExists
        The directory is of another scenario, of another format, damaged, no run directory at all, or to be continued
        and begun with other versions of packages.
    """
    manifest = _manifest(directory)
    if manifest is None or manifest["status"] == DISCARDED:
        return "absent"
    if isinstance(manifest["status"], Exception):
        raise OutputExists(f"{directory / MANIFEST} is damaged ({manifest['status']}); --force runs this anew")
    format_ = manifest.get("format", 0)
    if not isinstance(format_, int) or format_ > FORMAT:
        raise OutputExists(
            f"{directory} was written by a newer version of wfl-sim (format {format_}; this one knows {FORMAT}): "
            "install that, take another --output, or use --force to replace the run"
        )
    if format_ < FORMAT:
        raise OutputExists(
            f"{directory} was written by an older version of wfl-sim, which left no word on what it ran: use --force "
            "to replace it, or --output for another place"
        )
    if manifest.get("cell_sha256") != content_hash(cell):
        raise OutputExists(
            f"{directory} holds a run of another scenario, or of other input files: use --force to replace it, with "
            "--arm its arm alone, or --output for another place"
        )
    if manifest["status"] != "finished":
        _check_versions(directory, manifest.get("versions", {}))
        return "unfinished"
    if not (directory / TRACE).is_file():
        raise OutputExists(f"{directory} is said to be finished, but has no {TRACE}; --force runs this anew")
    return "finished"


def begun(directory: Path, cell: Cell) -> dict[str, Any]:
    """The manifest of a run that is to be continued, or nothing if there is none. Raises as `state` does."""
    return manifest(directory) if state(directory, cell) == "unfinished" else {}


def written_ns(directory: Path) -> int:
    """When the manifest was last written, in ns; 0 if there is none."""
    try:
        return (directory / MANIFEST).stat().st_mtime_ns
    except OSError:
        return 0


def versions() -> dict[str, str | None]:
    """Of all that a result depends on: our packages, plug-ins, and Python."""
    names = dict.fromkeys((*REPORTED_PACKAGES, *plugins.distributions()))
    return {name: _version(name) for name in names} | {"python": platform.python_version()}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _check_versions(directory: Path, then: dict[str, Any]) -> None:
    now = versions()
    other = [
        f"{name} {then.get(name)}, now {now.get(name)}" for name in {**then, **now} if then.get(name) != now.get(name)
    ]
    if then and other:
        raise OutputExists(
            f"{directory} was begun with {'; '.join(other)}, which could change the last bits: finish it with that, "
            "or run it again with --force"
        )


def manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a run that `state` has found to be there."""
    found: dict[str, Any] = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    return found


def check_ours(directory: Path) -> None:
    """Raise `OutputExists` where a directory is there that no run made: what is in it is never removed."""
    _manifest(directory)


def clear(directory: Path) -> None:
    """Remove all that a run left, but not its lock. Killed anywhere in it, the directory is ``absent``.

    Raises
    ------
    OutputExists
        No run made it.
    RunFailed
        Something cannot be removed.
    """
    manifest = _manifest(directory)
    try:
        if manifest is not None:
            wholefile.write(directory / MANIFEST, json.dumps({"format": FORMAT, "status": DISCARDED}).encode())
        for path in sorted(directory.iterdir(), key=lambda path: path.name == MANIFEST):  # that one last
            if path.name == locks.NAME:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunFailed(f"{directory} cannot be emptied: {error.strerror or error}") from None


def _manifest(directory: Path) -> dict[str, Any] | None:
    """The manifest, with the reason as its ``status`` where it is damaged; None if no run has left one."""
    try:
        names = set(os.listdir(directory))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        if not directory.exists():  # one of its parents is a file, as who makes the directory will be told
            return None
        raise OutputExists(f"{directory} is a file, where a run directory belongs; take another --output") from None
    except OSError as error:
        raise OutputExists(f"{directory} cannot be read ({error.strerror}); take another --output") from None
    if MANIFEST not in names:
        if names - _EARLY or not _is_run_scenario(directory, absent=True):
            raise _foreign(directory, f"it holds {min(names - _EARLY, default=SCENARIO)} and no {MANIFEST}")
        return None
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise OutputExists(f"{directory / MANIFEST} cannot be read ({error.strerror})") from None
    except ValueError:  # no JSON, or no UTF-8
        if not _is_run_scenario(directory, absent=False):
            raise _foreign(directory, f"its {MANIFEST} is not that of a run") from None
        return {"status": ValueError("it is not JSON")}
    if not isinstance(manifest, dict) or not ({"status", "format"} <= set(manifest) or "scenario_sha256" in manifest):
        raise _foreign(directory, f"its {MANIFEST} is not that of a run")
    return {"status": ValueError("it has no status"), **manifest}


def _foreign(directory: Path, why: str) -> OutputExists:
    return OutputExists(f"{directory} is no run directory ({why}) and is left alone; take another --output, or move it")


def _is_run_scenario(directory: Path, *, absent: bool) -> bool:
    """Whether the scenario file is one that a run wrote, or as much of it as it came to; `absent` where none is."""
    try:
        with (directory / SCENARIO).open(encoding="utf-8") as stream:
            begins = stream.read(len(_HEADER))
    except FileNotFoundError:
        return absent
    except (OSError, ValueError):
        return False
    return _HEADER.startswith(begins)
