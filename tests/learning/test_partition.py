"""Splits of examples over clients: each is a partition in the sense of sets, and follows the law that its card states.

Knows labels and natural clients as numbers; the bounds on means are derived from the laws.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.options import OptionError, Options
from channels.streams import Stream
from wfl_sim.checks import ContractError, check_partition
from wfl_sim.errors import RunFailed
from wfl_sim.learning import data
from wfl_sim.learning.options import Data
from wfl_sim.learning.partition import (
    PARTITIONS,
    CannotSplit,
    Classes,
    Dirichlet,
    Iid,
    Natural,
    QuantitySkew,
    holdings,
    partition,
)

STREAM = Stream.root(17).child("data")
LABELS = np.repeat(np.arange(10), 60)
SIGMAS = 5.0
"""A mean of independent draws may be off by this many of its standard errors: a right law fails once in 2 million."""

OPTIONS = st.one_of(
    st.just(Iid()),
    st.builds(Dirichlet, alpha=st.sampled_from([0.1, 0.5, 5.0]), least=st.integers(1, 12)),
    st.builds(Classes, per_client=st.integers(1, 10)),
    st.builds(QuantitySkew, alpha=st.sampled_from([0.01, 1.0, 50.0]), least=st.integers(1, 50)),
    st.builds(Natural, deal=st.sampled_from(["even", "random"])),
)


@settings(max_examples=150, deadline=None)
@given(options=OPTIONS, clients=st.integers(1, 12), seed=st.integers(0, 99), shuffled=st.booleans())
def test_every_split_is_a_partition_and_follows_from_the_stream_alone(options, clients, seed, shuffled):
    """Disjoint, complete, sorted, none empty; the minimum kept; equal again, and other examples with another stream."""
    stream = Stream.root(seed)
    random = np.random.default_rng(seed)
    labels = random.permutation(LABELS) if shuffled else LABELS
    groups = random.integers(0, 30, labels.size)
    try:
        parts = partition(labels, clients, options, stream, groups)
    except CannotSplit as error:
        assert isinstance(options, Classes) and clients * options.per_client < 10, error
        return
    assert len(parts) == clients
    assert np.sort(np.concatenate(parts)).tolist() == list(range(labels.size))
    assert all(part.size and (np.diff(part) > 0).all() for part in parts)
    assert min(part.size for part in parts) >= getattr(options, "least", 1)
    again = partition(labels, clients, options, stream, groups)
    assert [part.tolist() for part in again] == [part.tolist() for part in parts]
    if clients > 1:
        others = [partition(labels, clients, options, stream.child(str(n)), groups) for n in range(3)]
        assert any([p.tolist() for p in other] != [p.tolist() for p in parts] for other in others)


@pytest.mark.parametrize(
    ("options", "digest"),
    [
        (Iid(), "ed515caa30df50ff"),
        (Dirichlet(), "cfc5f8ac7c7067b1"),
        (Dirichlet(alpha=0.1, least=1), "3dbe26d9ab659559"),
    ],
    ids=str,
)
def test_the_splits_of_version_one_stay_as_they_were(options, digest):
    """Digests taken before partitions had a module of their own: results of old studies can be made again."""
    parts = partition(LABELS, 7, options, STREAM)
    assert hashlib.sha256(b"|".join(part.astype("<i8").tobytes() for part in parts)).hexdigest()[:16] == digest


def test_iid_parts_differ_by_one_at_most():
    parts = partition(LABELS[:-1], 7, Iid(), STREAM)
    sizes = [part.size for part in parts]
    assert max(sizes) - min(sizes) == 1  # 599 = 7 x 85 + 4
    assert len({LABELS[part].tobytes() for part in parts}) > 1  # drawn at random, not dealt by class


def test_a_dirichlet_share_of_a_class_is_drawn_at_random():
    """Of one class, two clients do not get its first and its last texts."""
    first, second = partition(np.zeros(400, dtype=np.int64), 2, Dirichlet(alpha=50.0), STREAM)
    assert first.max() > second.min()
    assert second.max() > first.min()


def test_small_alpha_means_few_classes_a_client():
    """Mean share of a client's commonest class: 1/10 for an even split, 1 for one class a client."""

    def skew(alpha):
        shares = [
            np.bincount(LABELS[part]).max() / part.size
            for seed in range(20)
            for part in partition(LABELS, 5, Dirichlet(alpha=alpha, least=1), Stream.root(seed))
        ]
        return np.mean(shares)

    strong, middle, weak = skew(0.05), skew(0.5), skew(500.0)
    assert strong > middle + 0.1 > weak + 0.2
    # 120 examples a client, 12 of each class; shares scatter by 1 / sqrt(500) of themselves: under 1.2 after rounding
    assert weak < 0.12


@pytest.mark.parametrize("alpha", [0.2, 1.0, 10.0])
def test_shares_of_a_class_have_mean_and_variance_of_the_dirichlet_law(alpha):
    """Share of class 0 at client 0 of 4: mean 1/4, variance (1/4)(3/4) / (4 alpha + 1), as of a Beta(alpha, 3 alpha).

    `least` = 1 of 4,000 examples in 10 classes leaves the law as it is but for a probability that does not show.
    """
    labels = np.repeat(np.arange(10), 400)
    shares = np.array([
        holdings(labels, partition(labels, 4, Dirichlet(alpha=alpha, least=1), Stream.root(seed)), 10) / 400
        for seed in range(40)
    ])  # fmt: skip
    first = shares[:, 0, :].ravel()  # classes are independent, clients of one class are not
    variance = 3 / 16 / (4 * alpha + 1)
    assert abs(first.mean() - 0.25) < SIGMAS * math.sqrt(variance / first.size)
    # a value in [0, 1] has (x - m)^2 <= 1, whose variance is at most its mean
    assert abs(np.mean((first - 0.25) ** 2) - variance) < SIGMAS * math.sqrt(variance / first.size)


@settings(max_examples=60, deadline=None)
@given(clients=st.integers(1, 40), per_client=st.integers(1, 10), seed=st.integers(0, 999))
def test_each_client_has_so_many_classes_and_each_class_as_many_holders(clients, per_client, seed):
    """Exactly `per_client` classes; holders and shares of a class differ by one at most."""
    if clients * per_client < 10:
        return
    held = holdings(LABELS, partition(LABELS, clients, Classes(per_client=per_client), Stream.root(seed)), 10)
    assert ((held > 0).sum(axis=1) == per_client).all()
    holders = (held > 0).sum(axis=0)
    assert holders.max() - holders.min() <= 1
    assert holders.sum() == clients * per_client
    for column in held.T:
        assert np.ptp(column[column > 0]) <= 1


def test_pairs_of_classes_are_drawn_evenly():
    """With 5 clients of 2 of 10 classes, a pair meets with probability 5 / 45 in a split."""
    splits = 400
    met = 0
    for seed in range(splits):
        held = holdings(LABELS, partition(LABELS, 5, Classes(), Stream.root(seed)), 10) > 0
        met += bool((held[:, 3] & held[:, 7]).any())
    assert abs(met / splits - 1 / 9) < SIGMAS * math.sqrt(1 / 9 * 8 / 9 / splits)


@pytest.mark.parametrize("alpha", [0.5, 4.0])
def test_sizes_of_a_quantity_skew_have_the_spread_of_their_law(alpha):
    """(size - least) / (N - K least) of client 0 of 8 is a Beta(alpha, 7 alpha); and classes stay IID."""
    splits, free = 300, 4000 - 8 * 20
    labels = np.repeat(np.arange(4), 1000)
    held = np.array([
        holdings(labels, partition(labels, 8, QuantitySkew(alpha=alpha, least=20), Stream.root(seed)), 4)
        for seed in range(splits)
    ])  # fmt: skip
    share = (held.sum(axis=2)[:, 0] - 20) / free
    variance = 7 / 64 / (8 * alpha + 1)
    assert abs(share.mean() - 1 / 8) < SIGMAS * math.sqrt(variance / splits)
    assert abs(np.mean((share - 1 / 8) ** 2) - variance) < SIGMAS * math.sqrt(variance / splits)
    # of n examples a quarter is of class 0, with the hypergeometric variance, which is below n / 4 * 3 / 4
    size = held.sum(axis=2).astype(float)
    off = (held[:, :, 0] - size / 4) / np.sqrt(size * 3 / 16)
    assert abs(off[:, 0].mean()) < SIGMAS / math.sqrt(splits)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=25),
    clients=st.integers(1, 25),
    deal=st.sampled_from(["even", "random"]),
    seed=st.integers(0, 99),
)
def test_natural_clients_stay_whole(sizes, clients, deal, seed):
    """And dealt evenly, no client has more than another without the smallest natural client that it got."""
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) * 3, sizes))
    options = Natural(deal=deal)
    if clients > len(sizes):
        with pytest.raises(CannotSplit, match=rf"each of the {clients} clients \(clients\.count\).* are {len(sizes)} "):
            options.split(np.zeros_like(groups), groups, clients, STREAM)
        return
    parts = partition(np.zeros_like(groups), clients, options, Stream.root(seed), groups)
    mine = [set(groups[part]) for part in parts]
    assert sum(map(len, mine)) == len(sizes)
    if deal == "even":
        least = min(part.size for part in parts)
        for part, own in zip(parts, mine, strict=True):
            smallest = min(sizes[group // 3] for group in own)
            assert part.size - smallest <= least


def test_as_many_natural_clients_as_clients_are_drawn_at_random():
    groups = np.repeat(np.arange(6), 5)
    firsts = {int(groups[partition(groups, 6, Natural(), Stream.root(seed), groups)[0][0]]) for seed in range(60)}
    assert firsts == set(range(6))  # one of six is missed in 60 draws with probability 6 (5/6)^60 = 1e-4; seeds fixed


def test_random_dealing_is_less_even():
    groups = np.repeat(np.arange(60), 10)

    def spread(deal):
        return np.ptp([part.size for part in partition(groups, 6, Natural(deal=deal), STREAM, groups)])

    assert spread("even") == 0 < spread("random")


@pytest.mark.parametrize(
    ("labels", "clients", "options", "says"),
    [
        (np.zeros(20, dtype=np.int64), 3, Dirichlet(least=10),
         r"learning\.data\.partition: .*20 examples over 3 clients.*raise alpha"),
        (LABELS[:5], 6, Iid(), r"partition: 5 examples cannot be split over 6 clients \(clients\.count\)"),
        (LABELS, 30, Classes(per_client=11), r"partition\.per_client: must be at most 10, .*; got 11"),
        (LABELS, 4, Classes(per_client=2), r"per_client: must be at least 3: 4 clients .* all 10 classes .*; got 2"),
        (LABELS[::20], 30, Classes(per_client=2), r"class \d has 3 examples for the 6 clients that are to hold it"),
        (LABELS, 30, QuantitySkew(least=21), r"least: must be at most 20: 30 clients .* share 600 examples; got 21"),
        (LABELS, 3, Natural(), r"partition\.kind: these examples have no natural clients"),
    ],
)  # fmt: skip
def test_an_impossible_split_names_the_key_and_the_remedies(labels, clients, options, says):
    with pytest.raises(CannotSplit, match=says) as caught:
        partition(labels, clients, options, STREAM)
    assert isinstance(caught.value, RunFailed)
    assert str(type(caught.value)(*caught.value.args)) == str(caught.value)


@dataclass(frozen=True)
class Broken(Options):
    """A partition that gives what it is told to."""

    kind: Literal["test:broken"] = "test:broken"
    parts: ClassVar[list] = []

    def split(self, labels, groups, clients, stream):
        return self.parts


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([np.arange(6)], "gave 1 parts for 2 clients"),
        ([np.arange(6), np.array([], dtype=int)], "left client 1 without an example; lower clients.count"),
        ([np.arange(3), np.arange(2, 6)], "gave example 2 to 2 clients"),
        ([np.arange(3), np.arange(4, 6)], "gave example 3 to 0 clients"),
        ([np.arange(3), np.arange(3, 7)], "an example that is not one of the 6"),
        ([np.arange(-1, 3), np.arange(3, 6)], "an example that is not one of the 6"),
        ([np.arange(3), np.arange(3.0, 6.0)], "gave client 1 no array of whole numbers"),
        ([np.arange(3), [3, 4, 5]], "gave client 1 no array of whole numbers"),
    ],
)
def test_a_partition_that_breaks_its_contract_is_told(monkeypatch, parts, says):
    monkeypatch.setattr(Broken, "parts", parts)
    with pytest.raises(CannotSplit, match=says):
        partition(np.zeros(6, dtype=np.int64), 2, Broken(), STREAM)


COUNT = itertools.count()


def refuse(message):
    raise CannotSplit(message, "", False)


def made(**members):
    """A partition like `Iid` with some members of its own."""
    return dataclass(frozen=True)(type("Made", (Iid,), {"__doc__": "Made up for a test.", **members}))()


def untidy(self, labels, groups, clients, stream):
    parts = Iid.split(self, labels, groups, clients, stream)
    labels[:] = 0
    return parts


@pytest.mark.parametrize(
    ("partition", "clause", "says"),
    [
        (made(split=lambda self, labels, groups, clients, stream: [np.arange(labels.size)] * clients), 2,
         "gave example 0 to 3 clients"),
        (made(split=lambda self, *args: tuple(Iid.split(self, *args))), 2, "gives a tuple, not a list of arrays"),
        (made(split=lambda self, *args: 1 / 0), 4, "raises ZeroDivisionError"),
        (made(split=lambda self, labels, groups, *args: Iid.split(self, groups + 0, None, *args)), 5, "TypeError"),
        (made(split=lambda self, y, g, clients, s: Iid.split(self, y, g, clients, Stream.root(next(COUNT)))), 3,
         "another answer when asked again"),
        (made(split=untidy), 3, "changes the labels"),
        (made(needs_groups="always"), 5, "needs_groups is 'always'"),
        (made(split=lambda *args: refuse("there is nothing that I can do")), 2, "takes none of 6 plain cases"),
        (made(split=lambda *args: refuse(" ")), 4, "without a word"),
        (made(__doc__=None), 6, "no docstring"),
    ],
)  # fmt: skip
def test_the_check_for_authors_names_the_clause_that_is_broken(partition, clause, says):
    with pytest.raises(ContractError) as caught:
        check_partition(partition)
    assert (caught.value.args[2], says in caught.value.args[3]) == (clause, True), str(caught.value)


PLUGIN = """
from wfl_extra import Halves  # before anything of ours that looks for plug-ins
from wfl_sim.checks import check_partition
from wfl_sim.scenario import parse
check_partition(Halves())
(cell,) = parse({text!r}).cells
from wfl_sim.cards import card
print(type(cell.scenario.learning.data.partition).__name__, "half of what is left" in card("halves"))
"""
EXTRA = '''"""A plug-in."""
from dataclasses import dataclass
from typing import Literal

import numpy as np

from channels.options import Options
from wfl_sim.learning.partition import CannotSplit


@dataclass(frozen=True)
class Halves(Options):
    """Each client gets half of what is left, the last one all of it."""

    kind: Literal["halves"] = "halves"

    def split(self, labels, groups, clients, stream):
        ends = labels.size - labels.size // 2 ** np.arange(1, clients)
        if clients > 1 and labels.size >> clients - 1 == 0:
            raise CannotSplit("too many clients", "", False)
        return np.split(np.arange(labels.size), ends)
'''
SCENARIO = """\
schema_version: 1
name: s
rounds: 1
clients: {count: 4, placement: {kind: disc, to: 100 m}, compute: {time: 400 ms}}
channel: {path_loss: {kind: log_distance, exponent: 3}}
learning: {data: {partition: {kind: halves}}}
method: {kind: fedavg}
"""


def test_a_plugin_adds_a_partition(tmp_path):
    """An entry point of the group wfl_sim.partition, as pip would leave it."""
    (tmp_path / "wfl_extra.py").write_text(EXTRA)
    info = tmp_path / "wfl_extra-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wfl-extra\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[wfl_sim.partition]\nhalves = wfl_extra:Halves\n")
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    command = [sys.executable, "-c", PLUGIN.format(text=SCENARIO)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ["Halves", "True"], done.stderr


@dataclass(frozen=True)
class Plays(Options):
    """A language task of three sources."""

    kind: Literal["test:plays"] = "test:plays"
    classes: ClassVar[tuple[str, ...]] = ("hamlet", "lear", "macbeth")
    natural: ClassVar[tuple[str, ...]] = classes
    task: ClassVar[str] = "language"

    def counts(self):
        return (40, 60, 50)


@dataclass(frozen=True)
class Tweets(Plays):
    """A text task whose natural clients are not its classes."""

    kind: Literal["test:tweets"] = "test:tweets"
    classes: ClassVar[tuple[str, ...]] = ("bad", "good")
    natural: ClassVar[tuple[str, ...]] = ("tweet", "movie", "product")
    task: ClassVar[str] = "text"


@pytest.mark.parametrize(
    ("name", "clients", "options", "key", "says"),
    [
        ("test:plays", 3, Natural(), "", ""),
        ("test:plays", 4, Natural(), "", "natural client for each of the 4 clients (clients.count), and there are 3"),
        ("test:tweets", 3, Natural(), "", ""),
        ("test:tweets", 4, Natural(), "", "for each of the 4 clients (clients.count), and there are 3"),
        ("builtin:wordnet10", 4, Natural(), "", "'builtin:wordnet10' has no natural clients; take another partition"),
        ("test:tweets", 4, Classes(per_client=3), ".per_client", "must be at most 2, the classes that there are"),
    ],
)
def test_a_split_is_checked_before_the_run(monkeypatch, name, clients, options, key, says):
    monkeypatch.setattr(data, "DATA_SETS", {**data.DATA_SETS, "test:plays": Plays, "test:tweets": Tweets})
    found = data.check_partition(Data(name=name, train=60, partition=options), clients, STREAM)
    if not says:
        assert found is None
    else:
        assert (found.key, found.drawn) == (f"learning.data.partition{key}", False)
        assert says in found.message


def test_bad_luck_is_told_apart_from_what_no_seed_can_do(monkeypatch):
    monkeypatch.setattr("wfl_sim.learning.partition.MOST_DRAWS", 20)
    found = data.check_partition(Data(train=100, partition=Dirichlet(alpha=0.01)), 10, STREAM)
    assert found.drawn and found.key == "learning.data.partition"


def test_the_registry_holds_each_under_its_kind():
    assert {kind: cls().kind for kind, cls in PARTITIONS.items()} == {kind: kind for kind in PARTITIONS}


@pytest.mark.parametrize(
    ("cls", "option", "value"),
    [
        (Dirichlet, "alpha", 0.0),
        (Dirichlet, "least", 0),
        (Classes, "per_client", 0),
        (QuantitySkew, "alpha", -1.0),
        (Natural, "deal", "fair"),
    ],
)
def test_options_outside_their_range_are_named(cls, option, value):
    with pytest.raises(OptionError, match=rf"{cls.__name__}\.{option}"):
        cls(**{option: value})
