"""How training examples are split over the clients: IID, by class, by quantity, or by natural client.

Knows labels and natural clients as numbers; no text, no model, and no tensor library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from channels.options import Count, Options
from channels.streams import Stream
from channels.units import Quantity
from wfl_sim.errors import RunFailed
from wfl_sim.learning.examples import Ints

KEY = "learning.data.partition"
MOST_DRAWS = 1000
Alpha = Annotated[float, Quantity("1", ge=1e-3, le=1e6)]


class CannotSplit(RunFailed):
    """These examples cannot be split so. ``args`` = (message, option to blame or '', whether other draws may do)."""

    @property
    def key(self) -> str:
        """The key of a scenario to blame."""
        return f"{KEY}.{self.args[1]}" if self.args[1] else KEY

    @property
    def message(self) -> str:
        """What is wrong, without the key."""
        return str(self.args[0])

    @property
    def drawn(self) -> bool:
        """Whether it is bad luck: another seed may do."""
        return bool(self.args[2])

    def __str__(self) -> str:
        return f"{self.key}: {self.message}"


class Partition(Protocol):
    """What a partition must do.

    1. It is a frozen dataclass derived from `Options`; its field ``kind`` is the name that a scenario uses.
    2. ``split`` gives one array of indices of examples a client, in the order of clients. Each example has exactly one
       client, and no client has none. The order inside an array does not count: `partition` sorts it.
    3. All random choices are drawn from `stream`, so that the same arguments give the same split.
    4. What cannot be split raises `CannotSplit`, with numbers, what is allowed, and the key to change; nothing else.
    5. ``needs_groups`` says whether it asks for natural clients (`groups` is not None then); left out, it does not.
    6. The docstring says how it splits, and describes every option.
    7. It stands in `PARTITIONS` under its kind, or is an entry point of the group ``wfl_sim.partition``.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    def split(self, labels: Ints, groups: Ints | None, clients: int, stream: Stream) -> list[Ints]:
        """Indices of each client's examples; `labels` and `groups` (natural clients) are [examples]."""
        ...


@dataclass(frozen=True)
class Iid(Options):
    """Every client gets the same number of examples, drawn at random.

    Formula
    -------
    The N examples in random order are cut into K parts: N / K each, rounded so that the first N mod K clients get one
    more.

    Validity
    --------
    The mildest case: clients see all classes alike, but for chance. Real clients seldom do; ``dirichlet`` is harder.

    Source
    ------
    The IID partition of McMahan et al. 2017, arXiv:1602.05629.
    """

    kind: Literal["iid"] = "iid"

    def split(self, labels: Ints, groups: Ints | None, clients: int, stream: Stream) -> list[Ints]:
        """Even parts of one permutation."""
        return np.array_split(stream.generator(0, 0).permutation(labels.size), clients)


@dataclass(frozen=True)
class Dirichlet(Options):
    """Each class is split over the clients in proportions from a symmetric Dirichlet distribution.

    Formula
    -------
    p_c ~ Dirichlet(alpha, ..., alpha) over the K clients, for each class c; client k gets the share p_c,k of the
    examples of class c, rounded. All is drawn again until every client has `least` examples.

    Validity
    --------
    Clients differ in their mix of classes and in how much they have, but not in what a class looks like. If none of
    1000 draws gives every client enough, the run ends: likely with a small `alpha`, many clients or a large `least`.

    Source
    ------
    Hsu, Qi and Brown 2019, arXiv:1909.06335, for Dirichlet mixes; Li et al. 2022, arXiv:2102.02079, for the split class
    by class and the minimum.

    Options
    -------
    alpha : How even the split is: 0.1 leaves a client a few classes, 0.5 is uneven, 100 is nearly IID.
    least : Smallest number of examples that a client may have.
    """

    kind: Literal["dirichlet"] = "dirichlet"
    alpha: Alpha = 0.5
    least: Count = 10

    def split(self, labels: Ints, groups: Ints | None, clients: int, stream: Stream) -> list[Ints]:
        """The first draw that gives everyone enough."""
        for draw in range(MOST_DRAWS):
            random = stream.generator(0, draw)
            parts: list[list[Ints]] = [[] for _ in range(clients)]
            for label in np.unique(labels):
                members = random.permutation(np.flatnonzero(labels == label))
                shares = random.dirichlet(np.full(clients, self.alpha))
                cuts = np.round(np.cumsum(shares)[:-1] * members.size).astype(int)
                for part, piece in zip(parts, np.split(members, cuts), strict=True):
                    part.append(piece)
            if min(sum(piece.size for piece in part) for part in parts) >= self.least:
                return [np.concatenate(part) for part in parts]
        raise CannotSplit(
            f"with alpha {self.alpha} no split of {labels.size} examples over {clients} clients gave everyone "
            f"{self.least}; raise alpha, or lower least or clients.count",
            "",
            True,
        )


@dataclass(frozen=True)
class Classes(Options):
    """Every client holds examples of the same number of classes, and all classes are dealt out evenly.

    Formula
    -------
    The C classes are a deck of cards. Shuffled decks lie on one another, and K clients in random order take the next
    `per_client` cards each, passing over classes that they have: a class has K per_client / C holders, rounded up or
    down. The examples of a class, in random order, are cut into as many parts as it has holders, as even as can be.

    Validity
    --------
    Clients of few classes, as where each person needs a few of many functions; the share of a class at its holders
    varies little, and sizes differ only as far as classes do. K per_client has to be at least C, so that every class
    has a holder. With per_client = C the split is IID but for equal shares of each class. The shards of the source,
    pieces of the examples in order of class, can hold two classes each, and one client can get two of one class; here
    it is exactly `per_client`.

    Source
    ------
    After the pathological non-IID partition of McMahan et al. 2017, arXiv:1602.05629, section 3.

    Options
    -------
    per_client : Number of classes of a client. Smaller: clients differ more, and drift apart more in local training.
    """

    kind: Literal["classes"] = "classes"
    per_client: Count = 2

    def split(self, labels: Ints, groups: Ints | None, clients: int, stream: Stream) -> list[Ints]:
        """Decks of classes dealt over the clients, each class cut over its holders."""
        names, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        if self.per_client > names.size:
            raise CannotSplit(f"must be at most {names.size}, the classes that there are; got {self.per_client}",
                              "per_client", False)  # fmt: skip
        if clients * self.per_client < names.size:
            least = -(-names.size // clients)
            raise CannotSplit(
                f"must be at least {least}: {clients} clients (clients.count) hold all {names.size} classes together; "
                f"got {self.per_client}",
                "per_client",
                False,
            )
        random = stream.generator(0, 0)
        holders = _dealt(names.size, self.per_client, clients, random)
        parts: list[list[Ints]] = [[] for _ in range(clients)]
        for number, who in enumerate(holders):
            if sizes[number] < len(who):
                raise CannotSplit(
                    f"class {names[number]} has {sizes[number]} examples for the {len(who)} clients that are to hold "
                    "it; lower per_client or clients.count, or raise learning.data.train",
                    "per_client",
                    False,
                )
            members = random.permutation(np.flatnonzero(index == number))
            for client, piece in zip(who, np.array_split(members, len(who)), strict=True):
                parts[client].append(piece)
        return [np.concatenate(part) for part in parts]


def _dealt(classes: int, per_client: int, clients: int, random: np.random.Generator) -> list[list[int]]:
    """The holders of each class, in random order."""
    holders: list[list[int]] = [[] for _ in range(classes)]
    deck: list[int] = []
    for client in random.permutation(clients).tolist():
        hand: list[int] = []
        while len(hand) < per_client:
            if not deck:
                deck = random.permutation(classes).tolist()
            card = next(card for card in deck if card not in hand)
            deck.remove(card)
            hand.append(card)
        for card in hand:
            holders[card].append(client)
    return [random.permutation(who).tolist() for who in holders]


@dataclass(frozen=True)
class QuantitySkew(Options):
    """Clients differ in how many examples they have, but not in their mix of classes.

    Formula
    -------
    q ~ Dirichlet(alpha, ..., alpha) over the K clients; of N examples in random order client k gets `least` and the
    share q_k of the N - K least others, rounded. The standard deviation of q_k is sqrt((K - 1) / (K alpha + 1)) times
    its mean, 1 / K.

    Validity
    --------
    Separates the effect of unequal amounts from that of unequal classes: weights of aggregation, local steps that see
    few examples again and again. Small clients miss classes by chance.

    Source
    ------
    Li et al. 2022, arXiv:2102.02079, quantity skew. There a split is drawn again until all have enough, which hardly
    ends with many clients; here everyone gets the minimum first.

    Options
    -------
    alpha : How even sizes are. Larger: more even; 1 gives some clients five times the mean, 100 all about the same.
    least : Examples that every client gets before the others are shared out. Larger: sizes differ less.
    """

    kind: Literal["quantity"] = "quantity"
    alpha: Alpha = 1.0
    least: Count = 10

    def split(self, labels: Ints, groups: Ints | None, clients: int, stream: Stream) -> list[Ints]:
        """One permutation, cut where the sizes say."""
        free = labels.size - clients * self.least
        if free < 0:
            raise CannotSplit(
                f"must be at most {labels.size // clients}: {clients} clients (clients.count) share {labels.size} "
                f"examples; got {self.least}",
                "least",
                False,
            )
        random = stream.generator(0, 0)
        ends = np.round(np.cumsum(random.dirichlet(np.full(clients, self.alpha))) * free).astype(np.int64)
        cuts = ends[:-1] + self.least * np.arange(1, clients)
        return np.split(random.permutation(labels.size), cuts)


@dataclass(frozen=True)
class Natural(Options):
    """Each client holds natural clients of the data, such as plays, sources or writers; none is cut.

    Formula
    -------
    With as many natural clients as clients, each gets one, drawn at random. With more, ``even`` gives the largest that
    is left to a client with the fewest examples so far, until all are given; ``random`` gives everyone one, and each
    other to a client drawn at random. Ties and order are drawn.

    Validity
    --------
    The most realistic split where the data know who wrote them: clients differ in everything, also in what a class
    looks like. Needs a data set with natural clients, at least as many as ``clients.count``. Training examples are
    drawn before, balanced over the classes, so that sizes are not those of the whole data set.

    Source
    ------
    Shakespeare's roles as clients in McMahan et al. 2017, arXiv:1602.05629; Caldas et al. 2018, arXiv:1812.01097
    (LEAF). Largest first: Graham 1969, doi:10.1137/0117039.

    Options
    -------
    deal : How natural clients are dealt out where there are more than clients: ``even`` keeps sizes as even as the
        largest allow, ``random`` leaves them to chance.
    """

    kind: Literal["natural"] = "natural"
    deal: Literal["even", "random"] = "even"
    needs_groups: ClassVar[bool] = True

    def split(self, labels: Ints, groups: Ints | None, clients: int, stream: Stream) -> list[Ints]:
        """Whole groups, dealt out."""
        if groups is None:
            raise CannotSplit("these examples have no natural clients", "kind", False)
        names, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        if names.size < clients:
            raise CannotSplit(too_few_groups(names.size, clients), "", False)
        random = stream.generator(0, 0)
        order = random.permutation(names.size)
        if self.deal == "even":
            order = order[np.argsort(-sizes[order], kind="stable")]
        holder, held = np.empty(names.size, dtype=np.int64), np.zeros(clients, dtype=np.int64)
        first = random.permutation(clients)
        for place, group in enumerate(order):
            if place < clients:
                client = first[place]
            elif self.deal == "even":
                client = held.argmin()
            else:
                client = random.integers(clients)
            holder[group] = client
            held[client] += sizes[group]
        whose = holder[index]
        return [np.flatnonzero(whose == client) for client in range(clients)]


def too_few_groups(groups: int, clients: int) -> str:
    """What is told where clients outnumber natural clients."""
    return (
        f"natural needs a natural client for each of the {clients} clients (clients.count), and there are {groups} "
        f"with training examples; lower clients.count to {groups}, or take another partition"
    )


PARTITIONS: Mapping[str, type[Any]] = {
    "iid": Iid,
    "dirichlet": Dirichlet,
    "classes": Classes,
    "quantity": QuantitySkew,
    "natural": Natural,
}


def partition(labels: Ints, clients: int, options: Partition, stream: Stream, groups: Ints | None = None) -> list[Ints]:
    """Indices of each client's examples: disjoint, sorted, together all of them, none empty.

    Parameters
    ----------
    labels : ndarray [examples]
    clients : int
    options : Partition
    stream : Stream
    groups : ndarray [examples], optional
        The natural client of each example.

    Raises
    ------
    CannotSplit
        The examples cannot be split so, or the partition breaks its contract.
    """
    if clients > labels.size:
        raise CannotSplit(f"{labels.size} examples cannot be split over {clients} clients (clients.count)", "", False)
    parts = options.split(labels, groups, clients, stream)
    for problem in broken(parts, labels.size, clients):
        raise CannotSplit(f"{options.kind} {problem}", "", False)
    return [np.sort(part) for part in parts]


def holdings(labels: Ints, parts: Sequence[Ints], classes: int) -> Ints:
    """How many examples of each class each client holds [clients, classes]."""
    return np.stack([np.bincount(labels[part], minlength=classes) for part in parts])


def broken(parts: list[NDArray[Any]], examples: int, clients: int) -> Iterator[str]:
    """What of a partition's contract a split breaks."""
    if len(parts) != clients:
        yield f"gave {len(parts)} parts for {clients} clients"
        return
    for client, part in enumerate(parts):
        if not isinstance(part, np.ndarray) or part.dtype.kind not in "iu" or part.ndim != 1:
            yield f"gave client {client} no array of whole numbers"
            return
        if not part.size:
            yield f"left client {client} without an example; lower clients.count, or raise learning.data.train"
    given = np.concatenate(parts)
    if given.min() < 0 or given.max() >= examples:
        yield f"gave an example that is not one of the {examples}"
        return
    times = np.bincount(given, minlength=examples)
    if (times != 1).any():
        wrong = int((times != 1).argmax())
        yield f"gave example {wrong} to {times[wrong]} clients"
