"""Labelled texts, and how they are split over clients.

Knows texts and labels, not models; every choice is drawn from a keyed stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channels.streams import Stream
from wfl_sim.errors import MissingResource, RunFailed
from wfl_sim.learning import wordnet
from wfl_sim.learning.options import Data, Dirichlet, Iid
from wfl_sim.learning.sources import data_file

Ints = NDArray[np.int64]
WORDNET10 = ("act", "animal", "artifact", "body", "communication", "food", "location", "person", "plant", "state")


@dataclass(frozen=True)
class Texts:
    """Texts with their labels [n]."""

    texts: tuple[str, ...]
    labels: Ints


@dataclass(frozen=True)
class TextTask:
    """A task: training and held-out texts, and the names of the classes."""

    train: Texts
    test: Texts
    classes: tuple[str, ...]


def load(options: Data, stream: Stream) -> TextTask:
    """Draw balanced training and test sets, which share no text.

    Raises
    ------
    MissingResource
        The data set is not on this computer, or has too few examples of a class.
    """
    number = {wordnet.LEXNAMES[code]: code for code in wordnet.LEXNAMES}
    by_class: dict[int, list[str]] = {number[name]: [] for name in WORDNET10}
    for gloss, code in wordnet.read_nouns(data_file(options.name)):
        if code in by_class:
            by_class[code].append(gloss)
    train: list[tuple[str, int]] = []
    test: list[tuple[str, int]] = []
    for label, name in enumerate(WORDNET10):
        texts = by_class[number[name]]
        n_train = _share(options.train, label, len(WORDNET10))
        n_test = _share(options.test, label, len(WORDNET10))
        if n_train + n_test > len(texts):
            raise MissingResource(
                f"data {options.name!r}: the class {name!r} has {len(texts)} texts, but {n_train} for training and "
                f"{n_test} for testing are asked for; lower learning.data.train or learning.data.test"
            )
        order = stream.generator(label, 0).permutation(len(texts))
        train += [(texts[i], label) for i in order[:n_train]]
        test += [(texts[i], label) for i in order[n_train : n_train + n_test]]
    return TextTask(_texts(train), _texts(test), WORDNET10)


def _share(total: int, part: int, parts: int) -> int:
    return total // parts + (part < total % parts)


def _texts(rows: Sequence[tuple[str, int]]) -> Texts:
    return Texts(tuple(text for text, _ in rows), np.array([label for _, label in rows], dtype=np.int64))


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
