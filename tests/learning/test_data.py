from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest

from channels.options import OptionError, Options
from channels.streams import Stream
from wfl_sim.errors import MissingResource
from wfl_sim.learning import data, wordnet
from wfl_sim.learning.datasets.base import labelled
from wfl_sim.learning.datasets.supersenses import WordNet10
from wfl_sim.learning.options import Data

STREAM = Stream.root(17).child("data")


@pytest.mark.parametrize(("train", "test"), [(200, 100), (203, 57)])
def test_sets_are_balanced_and_share_no_text(train, test):
    task = data.load(Data(train=train, test=test), STREAM)
    for texts, size in ((task.train, train), (task.test, test)):
        assert len(texts.inputs) == texts.labels.size == size
        counts = np.bincount(texts.labels, minlength=10)
        assert counts.max() - counts.min() <= (size % 10 > 0)
    together = task.train.inputs + task.test.inputs
    assert len(set(together)) == train + test


def test_labels_are_the_classes_of_the_dictionary(task):
    nouns = wordnet.find()
    assert nouns is not None
    code_of = dict(wordnet.read_nouns(nouns))
    for texts in (task.train, task.test):
        for text, label in zip(texts.inputs, texts.labels, strict=True):
            assert wordnet.LEXNAMES[code_of[text]] == task.classes[label]
    assert task.classes == WordNet10.classes


def test_the_draw_follows_from_the_stream_alone(task):
    options = Data(train=200, test=100)
    again, other = (data.load(options, stream) for stream in (STREAM, STREAM.child("other")))
    assert data.load(options, STREAM).train.inputs == again.train.inputs
    assert data.load(options, STREAM).test.inputs == again.test.inputs
    assert set(other.train.inputs) != set(again.train.inputs)


@dataclass(frozen=True)
class Uneven(Options):
    """Three classes of 4, 6 and 5 texts."""

    kind: Literal["test:uneven"] = "test:uneven"
    task: ClassVar[str] = "text"
    classes: ClassVar[tuple[str, ...]] = ("a", "b", "c")
    natural: ClassVar[tuple[str, ...]] = ()

    def locate(self):
        return Path()

    def counts(self):
        return (4, 6, 5)

    def examples(self):
        return labelled((f"{label} {n}", label) for label, count in enumerate(self.counts()) for n in range(count))


@pytest.fixture
def uneven(monkeypatch):
    monkeypatch.setattr(data, "DATA_SETS", {"test:uneven": Uneven, "builtin:wordnet10": WordNet10})
    return lambda train, test, **more: Data(name="test:uneven", train=train, test=test, **more)


@pytest.mark.parametrize("test", range(1, 14))
def test_sizes_fit_exactly_as_long_as_they_can_be_drawn(uneven, test):
    """A class gives its share of both sets or not: the limit in the message is the last size that loads."""
    for train in range(1, 16):
        options = uneven(train, test)
        shares = np.array([[total // 3 + (label < total % 3) for label in range(3)] for total in (train, test)])
        assert (data.check_sizes(options) == []) == bool((shares.sum(axis=0) <= Uneven().counts()).all())
    ((key, message),) = data.check_sizes(uneven(100, test))
    if key == "learning.data.train":
        most = int(re.search(r"at most (\d+)", message)[1])
        assert data.check_sizes(uneven(most, test)) == []
        task = data.load(uneven(most, test), STREAM)
        assert (task.train.labels.size, task.test.labels.size) == (most, test)


def test_a_size_above_the_limit_names_the_key_the_class_and_the_limit(uneven):
    """Of class a, 4 texts, 1 is for testing: 3 a class for training, one more of the other two comes after it."""
    wanted = (
        "learning.data.train",
        "must be at most 9 beside 3 for testing: the class 'a' of 'test:uneven' has 4 texts; got 12",
    )
    assert data.check_sizes(uneven(12, 3)) == [wanted]
    with pytest.raises(MissingResource, match=re.escape(": ".join(wanted))):
        data.load(uneven(12, 3), STREAM)
    ((key, message),) = data.check_sizes(uneven(1, 30))
    assert (key, message[:34]) == ("learning.data.test", "must be at most 9 beside any for t")


def test_an_unknown_data_set_names_the_nearest_and_all(uneven):
    message = (
        "'test:unevn' is not known; did you mean 'test:uneven'? there are: test:uneven, builtin:wordnet10, or a folder"
    )
    assert data.check_sizes(Data(name="test:unevn")) == [("learning.data.name", message)]
    with pytest.raises(MissingResource, match=re.escape(f"data {message}")):
        data.load(Data(name="test:unevn"), STREAM)
    ((_, message),) = data.check_sizes(Data(name="zzz"))
    assert message == "'zzz' is not known; there are: test:uneven, builtin:wordnet10, or a folder"


@pytest.mark.parametrize(("train", "test", "validation"), [(6, 3, 3), (4, 1, 2), (1, 2, 4), (5, 3, 1), (3, 3, 6)])
def test_a_validation_set_comes_from_what_remains(uneven, train, test, validation):
    """It shares no text with the others, is balanced, and leaves them as they are without it."""
    without = data.load(uneven(train, test), STREAM)
    options = uneven(train, test, validation=validation)
    by_test = data.load(options, STREAM)
    by_validation = data.load(replace(options, evaluate="validation"), STREAM)
    assert by_test.train.inputs == without.train.inputs == by_validation.train.inputs
    assert by_test.test.inputs == without.test.inputs
    held = by_validation.test
    assert len(held) == validation
    assert np.ptp(np.bincount(held.labels, minlength=3)) <= 1
    assert len({*without.train.inputs, *without.test.inputs, *held.inputs}) == train + test + validation


def test_a_validation_set_is_drawn_from_a_stream_of_its_own(uneven):
    """Two of the 2 to 4 texts that remain of a class: not always the first of them, and not the same for each seed."""
    options = uneven(3, 3, validation=6, evaluate="validation")
    drawn = [data.load(options, Stream.root(seed)).test.inputs for seed in range(8)]
    assert len(set(drawn)) > 1
    assert drawn[0] == data.load(options, Stream.root(0)).test.inputs


def test_a_validation_set_that_is_too_large_is_to_blame_where_the_others_fit(uneven):
    """Of class a there are 4 texts: one to train on, one to test on, and two for validation."""
    assert data.check_sizes(uneven(3, 3, validation=6)) == []
    message = (
        "must be at most 6 beside 3 for training and 3 for testing: the class 'a' of 'test:uneven' has 4 texts; got 7"
    )
    assert data.check_sizes(uneven(3, 3, validation=7)) == [("learning.data.validation", message)]
    ((key, message),) = data.check_sizes(uneven(9, 3, validation=1))
    assert (key, message[:17]) == ("learning.data.validation", "must be at most 0")
    for train, test, to_blame in ((12, 3, "train"), (1, 30, "test")):
        assert data.check_sizes(uneven(train, test, validation=1)) == data.check_sizes(uneven(train, test))
        assert data.check_sizes(uneven(train, test))[0][0] == f"learning.data.{to_blame}"


def test_the_sizes_of_the_quickstart_fit_the_dictionary():
    assert data.check_sizes(Data(train=4000, test=2000)) == []
    ((key, _),) = data.check_sizes(Data(train=10**6))
    assert key == "learning.data.train"


@pytest.mark.parametrize(
    ("cls", "option", "value"),
    [
        (Data, "train", 0),
        (Data, "test", -1),
        (Data, "validation", -1),
        (Data, "evaluate", "train"),
        (Data, "max_tokens", 2),
    ],
)
def test_options_outside_their_range_are_named(cls, option, value):
    with pytest.raises(OptionError, match=rf"{cls.__name__}\.{option}"):
        cls(**{option: value})


def test_a_class_of_one_text_is_told_as_such(uneven, monkeypatch):
    monkeypatch.setattr(Uneven, "counts", lambda self: (1, 5, 9))
    ((key, message),) = data.check_sizes(uneven(3, 3))
    assert key == "learning.data.name"
    assert message.endswith("has 1 texts, too few to train on some and test on others; each class needs two")
