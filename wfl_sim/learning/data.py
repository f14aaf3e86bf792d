"""Training and test sets of a data set, and how they are split over clients.

Knows texts and labels, not models; every choice is drawn from a keyed stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np

from channels.streams import Stream
from wfl_sim.errors import MissingResource
from wfl_sim.learning import datasets
from wfl_sim.learning.datasets.base import DataSet
from wfl_sim.learning.examples import Examples, Ints, Task
from wfl_sim.learning.options import Data
from wfl_sim.learning.partition import CannotSplit, partition, too_few_groups
from wfl_sim.plugins import registry

DATA_SETS: Mapping[str, type[DataSet]] = registry("wfl_sim.data_set", *datasets.DATA_SETS.values())


def data_set(name: str) -> DataSet:
    """The data set of that name.

    Raises
    ------
    MissingResource
        There is none; the text names the nearest and lists all.
    """
    if name not in DATA_SETS:
        raise MissingResource(f"data {_unknown(name)}")
    return DATA_SETS[name]()


def check_sizes(options: Data) -> list[tuple[str, str]]:
    """What of a scenario's ``learning.data`` its data set cannot serve, without reading the texts.

    Returns
    -------
    list of (key path, message)
        Empty where everything fits.

    Raises
    ------
    MissingResource
        The data set is known but not on this computer.
    """
    if options.name not in DATA_SETS:
        return [("learning.data.name", _unknown(options.name))]
    found = data_set(options.name)
    found.locate()
    counts = np.array(found.counts(), dtype=np.int64)
    left = counts - _shares(options.test, counts.size)
    key, got, beside, most, label = "train", options.train, f"{options.test} for testing", *_most(left)
    if most < 1:  # the test set alone is too large: leave one text of each class to train on
        key, got, beside, (most, label) = "test", options.test, "any for training", _most(counts - 1)
    if got <= most:
        return []
    limit = f"the class {found.classes[label]!r} of {options.name!r} has {counts[label]} texts"
    return [(f"learning.data.{key}", f"must be at most {most} beside {beside}: {limit}; got {got}")]


def load(options: Data, stream: Stream) -> Task:
    """Draw balanced training and test sets, which share no text.

    Raises
    ------
    MissingResource
        The data set is not known or not on this computer, or has too few texts of a class.
    """
    found = data_set(options.name)
    for key, message in check_sizes(options):
        raise MissingResource(f"{key}: {message}")
    classes = len(found.classes)
    by_class: list[list[str]] = [[] for _ in range(classes)]
    for text, label in found.texts():
        by_class[label].append(text)
    train: list[tuple[str, int]] = []
    test: list[tuple[str, int]] = []
    for label, (n_train, n_test) in enumerate(
        zip(_shares(options.train, classes), _shares(options.test, classes), strict=True)
    ):
        order = stream.generator(label, 0).permutation(len(by_class[label]))
        train += [(by_class[label][i], label) for i in order[:n_train]]
        test += [(by_class[label][i], label) for i in order[n_train : n_train + n_test]]
    return Task(_texts(train), _texts(test), found.classes)


def _unknown(name: str) -> str:
    near = get_close_matches(name, DATA_SETS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{name!r} is not known; {hint}there are: {', '.join(DATA_SETS)}"


def _shares(total: int, parts: int) -> Ints:
    """`total` split as evenly as can be: the first parts get what is over."""
    return total // parts + (np.arange(parts) < total % parts)


def _most(counts: Ints) -> tuple[int, int]:
    """The largest total whose shares do not exceed `counts` [parts], and the part that limits it."""
    largest = counts * counts.size + np.arange(counts.size)
    return max(0, int(largest.min())), int(largest.argmin())


def _texts(rows: Sequence[tuple[str, int]]) -> Examples:
    return Examples(tuple(text for text, _ in rows), np.array([label for _, label in rows], dtype=np.int64))


def check_partition(options: Data, clients: int, stream: Stream) -> CannotSplit | None:
    """Why the split of a run with this stream (its child ``partition``) would fail; None where that is not known.

    The labels are those that `load` gives: balanced, class after class. In a language task they are the natural
    clients too; of other tasks it is known only how many natural clients there are.
    """
    found = data_set(options.name)
    shares = _shares(options.train, len(found.classes))
    labels = np.repeat(np.arange(shares.size, dtype=np.int64), shares)
    groups = labels if is_language(options) else None
    if groups is None and getattr(options.partition, "needs_groups", False):
        natural = getattr(found, "natural", ())
        if not natural:
            return CannotSplit(
                f"the data set {options.name!r} has no natural clients; take another partition", "", False
            )
        if len(natural) < clients:
            return CannotSplit(too_few_groups(len(natural), clients), "", False)
        return None
    try:
        partition(labels, clients, options.partition, stream.child("partition"), groups)
    except CannotSplit as error:
        return error
    return None


def is_language(options: Data) -> bool:
    """Whether the text itself is what is to be learnt. A data set that has to be read to know its task is none such.

    Raises
    ------
    MissingResource
        There is no data set of that name.
    """
    return getattr(type(data_set(options.name)), "task", "text") == "language"
