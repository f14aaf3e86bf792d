from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.options import OptionError
from channels.streams import Stream
from wfl_sim.errors import MissingResource, RunFailed
from wfl_sim.learning import data, sources, wordnet
from wfl_sim.learning.options import Data, Dirichlet, Iid

STREAM = Stream.root(17).child("data")
LABELS = np.repeat(np.arange(10), 60)


def assert_a_partition(parts, size):
    """Disjoint, complete, each sorted."""
    assert np.sort(np.concatenate(parts)).tolist() == list(range(size))
    assert all(np.all(np.diff(part) > 0) for part in parts)


@pytest.mark.parametrize(("train", "test"), [(200, 100), (203, 57)])
def test_sets_are_balanced_and_share_no_text(train, test):
    task = data.load(Data(train=train, test=test), STREAM)
    for texts, size in ((task.train, train), (task.test, test)):
        assert len(texts.texts) == texts.labels.size == size
        counts = np.bincount(texts.labels, minlength=10)
        assert counts.max() - counts.min() <= (size % 10 > 0)
    together = task.train.texts + task.test.texts
    assert len(set(together)) == train + test


def test_labels_are_the_classes_of_the_dictionary(task):
    code_of = dict(wordnet.read_nouns(sources.data_file("builtin:wordnet10")))
    for texts in (task.train, task.test):
        for text, label in zip(texts.texts, texts.labels, strict=True):
            assert wordnet.LEXNAMES[code_of[text]] == task.classes[label]
    assert task.classes == data.WORDNET10


def test_the_draw_follows_from_the_stream_alone(task):
    options = Data(train=200, test=100)
    again, other = (data.load(options, stream) for stream in (STREAM, STREAM.child("other")))
    assert data.load(options, STREAM).train.texts == again.train.texts
    assert data.load(options, STREAM).test.texts == again.test.texts
    assert set(other.train.texts) != set(again.train.texts)


@pytest.mark.parametrize("sizes", [{"train": 10**6, "test": 10}, {"train": 10, "test": 10**6}])
def test_more_examples_than_there_are_is_an_error_with_the_class_and_the_keys(sizes):
    with pytest.raises(MissingResource, match=r"class '\w+' has \d+ texts.*lower learning\.data\.train"):
        data.load(Data(**sizes), STREAM)


def test_iid_parts_differ_by_one_at_most():
    parts = data.partition(LABELS[:-1], 7, Iid(), STREAM)
    assert_a_partition(parts, LABELS.size - 1)
    sizes = [part.size for part in parts]
    assert max(sizes) - min(sizes) == 1  # 599 = 7 x 85 + 4
    assert len({LABELS[part].tobytes() for part in parts}) > 1  # drawn at random, not dealt by class


@settings(max_examples=40)
@given(
    clients=st.integers(1, 12),
    alpha=st.sampled_from([0.1, 0.5, 5.0]),
    least=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_dirichlet_parts_are_disjoint_complete_and_large_enough(clients, alpha, least, seed):
    parts = data.partition(LABELS, clients, Dirichlet(alpha=alpha, least=least), Stream.root(seed))
    assert len(parts) == clients
    assert_a_partition(parts, LABELS.size)
    assert min(part.size for part in parts) >= least


@pytest.mark.parametrize("options", [Iid(), Dirichlet()], ids=lambda o: o.kind)
def test_the_split_follows_from_the_stream_alone(options):
    first, again = (data.partition(LABELS, 5, options, STREAM) for _ in range(2))
    other = data.partition(LABELS, 5, options, STREAM.child("other"))
    assert [part.tolist() for part in first] == [part.tolist() for part in again]
    assert [part.tolist() for part in first] != [part.tolist() for part in other]


def test_a_dirichlet_share_of_a_class_is_drawn_at_random():
    """Of one class, two clients do not get its first and its last texts."""
    first, second = data.partition(np.zeros(400, dtype=np.int64), 2, Dirichlet(alpha=50.0), STREAM)
    assert first.max() > second.min()
    assert second.max() > first.min()


def test_small_alpha_means_few_classes_a_client():
    """Mean share of a client's commonest class: 1/10 for an even split, 1 for one class a client."""

    def skew(alpha):
        shares = [
            np.bincount(LABELS[part]).max() / part.size
            for seed in range(20)
            for part in data.partition(LABELS, 5, Dirichlet(alpha=alpha, least=1), Stream.root(seed))
        ]
        return np.mean(shares)

    strong, middle, weak = skew(0.05), skew(0.5), skew(500.0)
    assert strong > middle + 0.1 > weak + 0.2
    # 120 examples a client, 12 of each class; shares scatter by 1 / sqrt(500) of themselves: under 1.2 after rounding
    assert weak < 0.12


def test_an_impossible_split_names_the_key_and_the_remedies():
    """3 clients x 10 examples out of 20."""
    with pytest.raises(RunFailed, match=r"learning\.data\.partition: .*20 examples over 3 clients.*raise alpha"):
        data.partition(np.zeros(20, dtype=np.int64), 3, Dirichlet(least=10), STREAM)


@pytest.mark.parametrize(
    ("cls", "option", "value"),
    [
        (Dirichlet, "alpha", 0.0),
        (Dirichlet, "least", 0),
        (Data, "train", 0),
        (Data, "test", -1),
        (Data, "max_tokens", 2),
    ],
)
def test_options_outside_their_range_are_named(cls, option, value):
    with pytest.raises(OptionError, match=rf"{cls.__name__}\.{option}"):
        cls(**{option: value})
