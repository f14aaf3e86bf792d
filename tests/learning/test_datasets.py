"""WordNet's data sets; `tests/test_checks.py` holds each against its contract."""

from __future__ import annotations

import hashlib
import os

import pytest

from wfl_sim.errors import MissingResource
from wfl_sim.learning import wordnet
from wfl_sim.learning.datasets import DATA_SETS, OPEN
from wfl_sim.learning.datasets.base import counted
from wfl_sim.learning.datasets.supersenses import COUNTS, WordNet10, WordNet19
from wfl_sim.learning.packages import fingerprint

NOUN = "{offset:08d} {code:02d} n 01 word 0 000 | {gloss}  \n"


@pytest.fixture
def dictionary(tmp_path, monkeypatch):
    """A dictionary of a few made-up definitions, found before any other: (code, gloss) pairs to its file."""

    def write(*entries):
        path = tmp_path / wordnet.NOUNS
        lines = [NOUN.format(offset=n, code=code, gloss=gloss) for n, (code, gloss) in enumerate(entries)]
        path.write_text("  1 licence  \n" + "".join(lines), encoding="latin-1")
        return path

    monkeypatch.setenv("WNHOME", str(tmp_path))
    return write


@pytest.mark.parametrize("cls", [WordNet10, WordNet19])
def test_counts_known_for_a_release_are_those_that_reading_gives(cls):
    release = wordnet.describe(cls().locate())["release"]
    assert release in COUNTS, "the tests need WordNet 3.0 or 3.1"
    assert cls().counts() == counted(cls().examples(), len(cls.classes))


def test_both_releases_have_their_counts():
    """Of 3.1, to be compared with 3.0: the same classes, about 0.1 % more texts."""
    assert set(COUNTS) == set(wordnet.RELEASES.values())
    assert set(COUNTS["3.0"]) == set(COUNTS["3.1"]) == set(WordNet19.classes)
    assert {release: sum(counts.values()) for release, counts in COUNTS.items()} == {"3.0": 78777, "3.1": 78856}
    ten = {release: sum(counts[name] for name in WordNet10.classes) for release, counts in COUNTS.items()}
    assert ten == {"3.0": 61246, "3.1": 61305}


def test_the_nineteen_are_all_classes_with_a_thousand_texts():
    assert min(COUNTS["3.0"].values()) >= 1000
    assert set(WordNet10.classes) < set(WordNet19.classes) < set(wordnet.LEXNAMES.values())
    nouns = wordnet.read_nouns(WordNet19().locate())
    left_out = {name for name in wordnet.LEXNAMES.values() if name not in WordNet19.classes}
    for name in left_out:
        assert sum(wordnet.LEXNAMES[code] == name for _, code in nouns) < 1000


def test_an_unknown_dictionary_is_counted(dictionary):
    dictionary(
        (4, "a deed"), (4, "another deed"), (5, "a beast"), (7, "a trait"), (26, "a deed"), (26, 'so; "so it is"')
    )
    data = WordNet10()
    examples = data.examples()
    assert examples.inputs == ("a deed", "another deed", "a beast", "so")
    assert examples.labels.tolist() == [0, 0, 1, 9]
    assert data.counts() == (2, 1, 0, 0, 0, 0, 0, 0, 0, 1)
    assert data.record()["release"] == "unknown"


def test_another_dictionary_in_the_same_place_is_seen(dictionary):
    """The fingerprint is kept for a file as long as its size and time stay."""
    path = dictionary((4, "a deed"))
    assert WordNet10().counts()[0] == 1
    dictionary((4, "a deed"), (4, "another deed"))
    assert WordNet10().counts()[0] == 2
    before = path.stat()
    path.write_text(path.read_text().replace("deed", "dead"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert fingerprint(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_broken_dictionary_is_an_error_with_a_remedy(dictionary):
    dictionary((4, "a deed")).write_text("no dictionary\n")
    with pytest.raises(
        MissingResource, match=r"data\.noun:1: not a noun entry.*`wfl-sim fetch builtin:wordnet10` brings another"
    ):
        WordNet10().examples()


def test_a_missing_dictionary_says_what_to_do(monkeypatch):
    monkeypatch.setattr(wordnet, "find", lambda: None)
    for ask in (WordNet10().locate, WordNet10().counts, WordNet10().examples, WordNet10().record):
        with pytest.raises(
            MissingResource, match=r"builtin:wordnet10.* is not on this computer; `wfl-sim fetch builtin:wordnet10`"
        ):
            ask()


def test_each_stands_under_its_kind_and_a_name_means_one_of_them():
    assert all(cls().kind == name for name, cls in DATA_SETS.items())
    for name in DATA_SETS:
        assert sum(cls.takes(name) for cls in OPEN) == (DATA_SETS[name] in OPEN)
