"""Packages by pip, apt and npm, as far as it shows without them: programs that stand in for them, and made archives.

pip itself is the real one, with a folder as its index: nothing is downloaded.
"""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from wfl_sim.learning import packages
from wfl_sim.learning.packages import Unavailable

PKG_INFO = "Metadata-Version: 1.0\nName: made-up\nVersion: 1.5\n"
BOOBY_TRAP = (
    "import pathlib; pathlib.Path({marker!r}).write_text('run')\nfrom setuptools import setup; setup(name='made-up')\n"
)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only place where pip looks; `here` is its own settings file."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def source_package(folder: Path, marker: Path) -> Path:
    """An sdist with a set-up script that leaves a trace when it is run."""
    path = folder / "made-up-1.5.tar.gz"
    script = BOOBY_TRAP.format(marker=str(marker))
    with tarfile.open(path, "w:gz") as archive:
        for name, text in {"PKG-INFO": PKG_INFO, "setup.py": script, "data/words.txt": "words"}.items():
            member = tarfile.TarInfo(f"made-up-1.5/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def test_a_source_package_is_brought_without_running_its_code(index: Path, tmp_path: Path) -> None:
    """The script would write a file, as it does when it is run: the trap works."""
    marker = tmp_path / "marker"
    made = source_package(index, marker)
    with packages.workspace(tmp_path / "cache") as work:
        file = packages.sdist(work, "made-up", "1.5", packages.sha256(made))
        assert file.read_bytes() == made.read_bytes()
    assert not marker.exists()
    (tmp_path / "setup.py").write_text(BOOBY_TRAP.format(marker=str(marker)))
    packages.call(tmp_path, sys.executable, "setup.py", "--name")
    assert marker.read_text() == "run"


def test_a_package_with_another_hash_is_refused(index: Path, tmp_path: Path) -> None:
    source_package(index, tmp_path / "marker")
    with packages.workspace(tmp_path / "cache") as work, pytest.raises(Unavailable, match="DO NOT MATCH THE HASHES"):
        packages.sdist(work, "made-up", "1.5", "0" * 64)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_wheel_is_brought_and_a_missing_one_named(index: Path, tmp_path: Path) -> None:
    made = index / "made_up-1.5-py2-none-any.whl"  # for a Python that is not this one
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("made_up-1.5.dist-info/METADATA", PKG_INFO)
        archive.writestr("made_up-1.5.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py2-none-any\n")
    shutil.copy(made, index / "made_up-1.5-py3-none-any.whl")
    with packages.workspace(tmp_path) as work:
        assert packages.wheel(work, "made-up", "1.5", packages.sha256(made)).read_bytes() == made.read_bytes()
    with packages.workspace(tmp_path) as work, pytest.raises(Unavailable, match=r"pip download .*no-such"):
        packages.wheel(work, "no-such", "1.5", "0" * 64)


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_what_a_program_says_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="npm is not installed"):
        packages.npm(tmp_path, "made-up", "1.5")
    program(tmp_path, "npm", "echo first >&2; echo last >&2; exit 3")
    with pytest.raises(Unavailable, match=r'"npm pack --silent made-up@1.5" failed: last$'):
        packages.npm(tmp_path, "made-up", "1.5")
    program(tmp_path, "npm", ":")
    with pytest.raises(Unavailable, match=r"expected one \*\.tgz file, got 0"):
        packages.npm(tmp_path, "made-up", "1.5")
    program(tmp_path, "npm", "sleep 5")
    monkeypatch.setattr(packages, "_TIMEOUT_S", 0.01)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(Unavailable, match=r"did not end within 0.01 s"):
        packages.npm(tmp_path, "made-up", "1.5")


def test_files_are_stored_all_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one stands for all: interrupted before it, nothing looks complete."""
    target = tmp_path / "cache"
    replace = os.replace

    def interrupted(source: Path, place: Path) -> None:
        if Path(place).name == "last":
            raise KeyboardInterrupt
        replace(source, place)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        packages.store({"first": b"1", "last": b"2"}, target, {"origin": "test"})
    assert sorted(path.name for path in target.iterdir()) == ["first", packages.SOURCE]
    monkeypatch.setattr(os, "replace", replace)
    packages.store({"first": b"1", "last": target / "first"}, target, {"origin": "test"})
    assert (target / "last").read_bytes() == b"1"
    assert packages.recorded(target) == {"origin": "test"} == json.loads((target / packages.SOURCE).read_text())


@pytest.mark.parametrize(("number", "says"), [(errno.ENOSPC, "make room, or set XDG_CACHE_HOME"), (errno.EROFS, "")])
def test_a_full_disk_is_an_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        Unavailable, match=rf"cannot be written \({os.strerror(number)}\); .*set XDG_CACHE_HOME"
    ) as told:
        packages.store({"one": b"1"}, tmp_path / "cache", {})
    assert says in str(told.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_record_that_is_none_says_nothing(tmp_path: Path) -> None:
    assert packages.recorded(tmp_path) == {}
    (tmp_path / packages.SOURCE).write_text("[1]")
    assert packages.recorded(tmp_path) == {}
