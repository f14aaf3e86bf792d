"""Training and test sets of a data set, and how they are split over clients.

Knows texts and labels, not models; every choice is drawn from a keyed stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np

from channels.streams import Stream
from wfl_sim.errors import MissingResource, RunFailed
from wfl_sim.learning import datasets
from wfl_sim.learning.datasets.base import DataSet
from wfl_sim.learning.examples import Examples, Ints, Task
from wfl_sim.learning.options import Data, Dirichlet, Iid
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


def check_partition(options: Data, clients: int, stream: Stream) -> str:
    """Why the split of a run with this stream (its child ``partition``) would fail; '' if it does not.

    The labels are those that `load` gives: balanced, class after class.
    """
    shares = _shares(options.train, len(data_set(options.name).classes))
    labels = np.repeat(np.arange(shares.size, dtype=np.int64), shares)
    try:
        partition(labels, clients, options.partition, stream.child("partition"))
    except RunFailed as error:
        return str(error).removeprefix("learning.data.partition: ")
    return ""


def partition(labels: Ints, clients: int, options: Iid | Dirichlet, stream: Stream) -> list[Ints]:
    """Indices of each client's examples: disjoint, sorted, together all of them.

    Raises
    ------
    RunFailed
        The Dirichlet split left a client with fewer than `least` examples in each of 1000 draws.
    """
    if isinstance(options, Iid):
        order = stream.generator(0, 0).permutation(labels.size)
        return [np.sort(part) for part in np.array_split(order, clients)]
    for draw in range(1000):
        random = stream.generator(0, draw)
        parts: list[list[Ints]] = [[] for _ in range(clients)]
        for label in np.unique(labels):
            members = random.permutation(np.flatnonzero(labels == label))
            shares = random.dirichlet(np.full(clients, options.alpha))
            cuts = np.round(np.cumsum(shares)[:-1] * members.size).astype(int)
            for part, piece in zip(parts, np.split(members, cuts), strict=True):
                part.append(piece)
        sets = [np.sort(np.concatenate(part)) for part in parts]
        if min(part.size for part in sets) >= options.least:
            return sets
    raise RunFailed(
        f"learning.data.partition: with alpha {options.alpha} no split of {labels.size} examples over {clients} "
        f"clients gave everyone {options.least}; raise alpha, or lower least or clients.count"
    )
