"""Training, test and validation sets of a data set, and how they are split over clients.

Knows examples and labels, not models; every choice is drawn from a keyed stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

import numpy as np

from channels.streams import Stream
from channels.units import shown
from wfl_sim.errors import MissingResource
from wfl_sim.learning import datasets
from wfl_sim.learning.datasets.base import DataSet
from wfl_sim.learning.examples import Ints, Task
from wfl_sim.learning.options import Data
from wfl_sim.learning.partition import CannotSplit, partition, too_few_groups
from wfl_sim.plugins import registry

DATA_SETS: Mapping[str, type[DataSet]] = registry("wfl_sim.data_set", *datasets.DATA_SETS.values())


WORDS = {"text": "texts", "image": "images", "language": "passages"}


def known(name: str) -> bool:
    """Whether there is a data set of that name, here or not."""
    return name in DATA_SETS or any(cls.takes(name) for cls in datasets.OPEN)


def data_set(name: str) -> DataSet:
    """The data set of that name: one of the registry, a CSV file, a folder, or an id of the hub.

    Raises
    ------
    MissingResource
        There is none; the text names the nearest and lists all.
    """
    if name in DATA_SETS:
        return DATA_SETS[name]()
    for cls in datasets.OPEN:
        if cls.takes(name):
            return cls(name)
    raise MissingResource(f"data {_unknown(name)}")


def check_sizes(options: Data) -> list[tuple[str, str]]:
    """What of a scenario's ``learning.data`` its data set cannot serve, without reading more than it has to.

    Returns
    -------
    list of (key path, message)
        Empty where everything fits.

    Raises
    ------
    MissingResource
        The data set is known but not on this computer, or cannot be read.
    """
    if not known(options.name):
        return [("learning.data.name", _unknown(options.name))]
    found = data_set(options.name)
    found.locate()
    counts = np.array(found.counts(), dtype=np.int64)
    train, test = (_shares(size, counts.size) for size in (options.train, options.test))
    key, got, beside, most, label = "train", options.train, f"{options.test} for testing", *_most(counts - test)
    if most < 1:  # the test set alone is too large: leave one example of each class to train on
        key, got, beside, (most, label) = "test", options.test, "any for training", _most(counts - 1)
    elif got <= most:
        key, got, beside = "validation", options.validation, f"{got} for training and {beside}"
        most, label = _most(counts - train - test)
    if got <= most:
        return []
    limit = f"the class {found.classes[label]!r} of {options.name!r} has {counts[label]} {WORDS[found.task]}"
    if key == "test" and most < 1:
        return [("learning.data.name", f"{limit}, too few to train on some and test on others; each class needs two")]
    return [(f"learning.data.{key}", f"must be at most {most} beside {beside}: {limit}; got {got}")]


def load(options: Data, stream: Stream) -> Task:
    """Draw balanced training and test sets, which share no example; the test set is that which is evaluated on.

    The validation set is drawn from what remains beside both, from a stream of its own: they are the same with and
    without it.

    Raises
    ------
    MissingResource
        The data set is not known or not on this computer, or has too few examples of a class.
    """
    found = data_set(options.name)
    for key, message in check_sizes(options):
        raise MissingResource(f"{key}: {message}")
    examples, classes = found.examples(), len(found.classes)
    shares = (_shares(size, classes) for size in (options.train, options.test, options.validation))
    rows: dict[str, list[Ints]] = {"train": [], "test": [], "validation": []}
    for label, (train, test, validation) in enumerate(zip(*shares, strict=True)):
        members = np.flatnonzero(examples.labels == label)
        order = members[stream.generator(label, 0).permutation(members.size)]
        rest = stream.child("validation").generator(label, 0).permutation(order[train + test :])
        for name, part in zip(rows, (order[:train], order[train:][:test], rest[:validation]), strict=True):
            rows[name].append(part)
    train_set, held_out = (examples.take(np.concatenate(rows[name])) for name in ("train", options.evaluate))
    return Task(train_set, held_out, found.classes, found.task, found.natural)


def _unknown(name: str) -> str:
    near = [f"csv:{name}"] if name.endswith(".csv") else get_close_matches(name, DATA_SETS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{shown(name)} is not known; {hint}there are: {', '.join(DATA_SETS)}, or a folder"


def _shares(total: int, parts: int) -> Ints:
    """`total` split as evenly as can be: the first parts get what is over."""
    return total // parts + (np.arange(parts) < total % parts)


def _most(counts: Ints) -> tuple[int, int]:
    """The largest total whose shares do not exceed `counts` [parts], and the part that limits it."""
    largest = counts * counts.size + np.arange(counts.size)
    return max(0, int(largest.min())), int(largest.argmin())


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
