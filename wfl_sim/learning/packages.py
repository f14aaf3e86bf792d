"""Packages of Debian, PyPI and npm by their own managers, checked by hash, and files of them in the user's cache.

Knows no data set and no model; imports only the standard library. Which registry a manager asks is its own business.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

SOURCE = "source.json"
_TIMEOUT_S = 900

# To download a source package pip asks its build script for name and version. This stands in for the build tool and
# answers from the PKG-INFO file, so that no code of the package is run.
_STAND_IN = """\
import email, os, pathlib, shutil

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    about = email.message_from_string(pathlib.Path("PKG-INFO").read_text(errors="replace"))
    name = about["Name"].replace("-", "_") + "-" + about["Version"] + ".dist-info"
    os.mkdir(os.path.join(folder, name))
    shutil.copy("PKG-INFO", os.path.join(folder, name, "METADATA"))
    return name

class __legacy__:
    prepare_metadata_for_build_wheel = staticmethod(prepare_metadata_for_build_wheel)
"""


class Unavailable(Exception):
    """One way to get something does not work here; the text says why."""


def cache_root() -> Path:
    """The project's own folder below the user's cache folder; it may not exist."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "wfl_sim"


def cache_dir(name: str) -> Path:
    """The folder of one data set or model in the cache; it may not exist."""
    return cache_root() / name


def usable(path: Path) -> bool:
    """Whether it is a file that can be read and is not empty."""
    try:
        return path.is_file() and path.stat().st_size > 0 and os.access(path, os.R_OK)
    except OSError:
        return False


def sha256(path: Path) -> str:
    """The hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path: Path) -> str:
    """The hash of a file; one that has not changed is read once in a process."""
    return _sha256_as_of(path, *state_of(path))


def state_of(path: Path) -> tuple[int, int]:
    """What tells one state of a file from another: its size, and the time of its last change in ns."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=32)
def _sha256_as_of(path: Path, size: int, mtime_ns: int) -> str:
    return sha256(path)


@contextmanager
def workspace(target: Path) -> Iterator[Path]:
    """A scratch folder inside `target`, so on its file system: a rename from it is atomic. It goes at the end.

    Raises
    ------
    Unavailable
        A file cannot be written there, or the disk is full.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target) as scratch:
            yield Path(scratch)
    except OSError as error:
        full = "make room, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise Unavailable(
            f"{target} cannot be written ({error.strerror or error}); {full}set XDG_CACHE_HOME to another folder"
        ) from error


def store(files: Mapping[str, Path | bytes], target: Path, record: Mapping[str, str]) -> None:
    """Put files into a folder of the cache, and `record` beside them.

    Each is renamed into its place, the last of `files` at the end: where that one exists, everything does.
    """
    with workspace(target) as scratch:
        (scratch / SOURCE).write_text(json.dumps(dict(record), indent=2) + "\n", encoding="utf-8")
        for name, content in files.items():
            if isinstance(content, bytes):
                (scratch / name).write_bytes(content)
            else:
                shutil.copyfile(content, scratch / name)
        for name in (SOURCE, *files):
            os.replace(scratch / name, target / name)


def recorded(folder: Path) -> dict[str, str]:
    """What `store` wrote beside the files; empty where there is nothing of the kind."""
    try:
        found = json.loads((folder / SOURCE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def debian(work: Path, package: str, version: str, digest: str) -> tuple[Path, str]:
    """A Debian package unpacked without root: its folder, and the version that came.

    Only the version that is asked for has a known hash; another one, of another release, is taken as apt checked it.
    """
    download = ("apt-get", "download", "-q", package)
    try:
        call(work, *download)
    except Unavailable:
        if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise
        # A new machine has no package lists yet, and only root can load them.
        call(work, "apt-get", "update", "-q")
        call(work, *download)
    file = _only(work, "*.deb")
    came = call(work, "dpkg-deb", "--field", file.name, "Version").strip()
    if came == version:
        _check(file, f"{package} {came}", digest)
    else:
        print(f"note: {package} {came} came instead of {version}", file=sys.stderr)
    call(work, "dpkg-deb", "--extract", file.name, "unpacked")
    return work / "unpacked", came


def wheel(work: Path, name: str, version: str, digest: str) -> Path:
    """A wheel, by pip; it is not installed, and may be for another Python."""
    return _pip(work, name, version, digest, "--only-binary", ":all:")


def sdist(work: Path, name: str, version: str, digest: str) -> Path:
    """A source package, by pip; none of its code is run."""
    stand_in = work / "stand-in"
    (stand_in / "setuptools").mkdir(parents=True)
    (stand_in / "setuptools" / "__init__.py").write_text("", encoding="utf-8")
    (stand_in / "setuptools" / "build_meta.py").write_text(_STAND_IN, encoding="utf-8")
    options = ("--no-binary", ":all:", "--use-pep517", "--no-build-isolation")
    return _pip(work, name, version, digest, *options, search=stand_in)


def npm(work: Path, package: str, version: str) -> Path:
    """The archive of an npm package; what is in it the caller has to check."""
    call(work, "npm", "pack", "--silent", f"{package}@{version}")
    return _only(work, "*.tgz")


def _pip(work: Path, name: str, version: str, digest: str, *options: str, search: Path | None = None) -> Path:
    wanted, came = work / "wanted.txt", work / "came"
    wanted.write_text(f"{name}=={version} --hash=sha256:{digest}\n", encoding="utf-8")
    quiet = ("--quiet", "--no-input", "--disable-pip-version-check")
    pip = (sys.executable, "-m", "pip", "download", *quiet, "--no-deps", "--ignore-requires-python", "--retries", "1")
    call(work, *pip, "--require-hashes", "-r", wanted.name, "-d", came.name, *options, search=search)
    file = _only(came, "*")
    _check(file, f"{name} {version}", digest)
    return file


def _check(file: Path, what: str, digest: str) -> None:
    found = sha256(file)
    if found != digest:
        raise Unavailable(f"{what} has sha256 {found}, expected {digest}")


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise Unavailable(f"expected one {pattern} file, got {len(found)}")
    return found[0]


def call(folder: Path, name: str, *arguments: str, search: Path | None = None) -> str:
    """Run a program in a folder, and give what it printed; `search` is where its Python looks for modules first.

    Raises
    ------
    Unavailable
        It is not installed, takes too long or fails; what it said is told.
    """
    program = shutil.which(name)
    if program is None:
        raise Unavailable(f"{name} is not installed")
    command = " ".join(("pip" if name == sys.executable else name, *arguments[2 * (name == sys.executable) :]))
    environment = {**os.environ, "PYTHONPATH": str(search)} if search is not None else None
    try:
        done = subprocess.run(
            [program, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f'"{command}" did not end within {_TIMEOUT_S} s') from error
    except OSError as error:
        raise Unavailable(f'"{command}" cannot be run ({error})') from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit {done.returncode}"]
        said = [line for line in said if line.startswith("ERROR")] or said[-1:]  # pip's first, of others the last
        raise Unavailable(f'"{command}" failed: {said[0]}')
    return done.stdout
