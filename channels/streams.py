"""Random numbers by key: a value is a function of (stream, client, index) and of nothing else.

Knows no distribution of any model; uniform, normal and exponential draws, and a generator where a library
wants one.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.arrays import Bools, Floats

_Words = NDArray[np.uint64]
_Integers = NDArray[np.int64] | NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ROUNDS = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
_LAST_SHIFT = np.uint64(31)
_MASK = (1 << 64) - 1
_CACHED_WORDS = 1 << 14  # 128 KiB of words and as much to work in: a pass stays in the second-level cache


def _mix(words: _Words, scratch: _Words) -> None:
    """The SplitMix64 finaliser (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195), in place."""
    for shift, factor in _ROUNDS:
        np.right_shift(words, shift, out=scratch)
        np.bitwise_xor(words, scratch, out=words)
        np.multiply(words, factor, out=words)
    np.right_shift(words, _LAST_SHIFT, out=scratch)
    np.bitwise_xor(words, scratch, out=words)


def _mixed_word(number: int) -> int:
    """The same of one number, cut to a word."""
    word = number & _MASK
    for shift, factor in _ROUNDS:
        word = (word ^ word >> int(shift)) * int(factor) & _MASK
    return word ^ word >> int(_LAST_SHIFT)


def _integers(values: ArrayLike) -> _Integers:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise TypeError(f"stream indices must be integers that fit 64 bits; got dtype {array.dtype}")
    # negative numbers wrap: still one word per number
    return array if array.dtype == np.int64 else array.astype(np.uint64)


@dataclass(frozen=True)
class Stream:
    """A named source of random numbers, held as one 64-bit key.

    Indices may be any 64-bit integers, negative ones included. There is no state: asking twice gives the same
    bits, and what one client draws never depends on the others.

    Examples
    --------
    >>> fading = Stream.root(7).child("fading")
    >>> fading.uniform([0, 1], 5).shape
    (2,)
    """

    key: int

    def __post_init__(self) -> None:
        if not 0 <= self.key <= _MASK:
            raise ValueError(f"a stream key is an integer of 64 bits; got {self.key}")

    @classmethod
    def root(cls, seed: int) -> Stream:
        """The stream of a whole run: `seed` is any integer of at least 0."""
        if isinstance(seed, bool) or seed < 0:
            raise ValueError(f"a seed is an integer of at least 0; got {seed!r}")
        return cls(_digest(b"root", int(seed).to_bytes(max(8, (int(seed).bit_length() + 7) // 8), "little")))

    def child(self, name: str) -> Stream:
        """The stream called `name` below this one; the same name always gives the same stream."""
        return Stream(_digest(self.key.to_bytes(8, "little"), name.encode()))

    def uniform(self, clients: ArrayLike, indices: ArrayLike) -> Floats:
        """Uniform draws in the open interval (0, 1), multiples of 2^-53.

        Parameters
        ----------
        clients, indices : array_like of int
            Broadcast against each other; the result has the broadcast shape.
        """
        whose, index = _integers(clients), _integers(indices)
        if whose.size == index.size == 1:  # one draw: a tenth of the time
            draw = ((self._word(whose.item(), index.item()) >> 12) + 0.5) * 2.0**-52
            return np.full(np.broadcast(whose, index).shape, draw)
        words = self._keys(whose, index)
        draws = np.empty(words.shape, dtype=np.float64)
        flat = draws.reshape(-1)
        for here, part in _mixed(words):
            result = flat[here]
            # 52 bits and a half: the largest value, 1 - 2^-53, is still below 1 in float64.
            np.right_shift(part, np.uint64(12), out=part)
            np.add(part, 0.5, out=result, dtype=np.float64, casting="unsafe")
            np.multiply(result, 2.0**-52, out=result)
        return draws

    def below(self, clients: ArrayLike, indices: ArrayLike, probability: float) -> Bools:
        """Whether each draw of `uniform` is below `probability`: the same answers, without making the numbers."""
        whose, index, limit = _integers(clients), _integers(indices), _first_not_below(probability)
        if whose.size == index.size == 1:
            return np.full(np.broadcast(whose, index).shape, self._word(whose.item(), index.item()) < limit)
        words = self._keys(whose, index)
        below = np.empty(words.shape, dtype=np.bool_)
        flat = below.reshape(-1)
        if not 0 < limit <= _MASK:
            below.fill(limit > 0)
            return below
        for here, part in _mixed(words):
            np.less(part, np.uint64(limit), out=flat[here])
        return below

    def normal(self, clients: ArrayLike, indices: ArrayLike) -> Floats:
        """Standard normal draws, by the inverse CDF of `uniform`; within +-8.3 by construction."""
        draws = self.uniform(clients, indices)
        # The standard library's inverse CDF (Wichura 1988, AS 241, 16 digits): scipy's is faster a draw, but takes a
        # quarter of a second to import, which is more than most runs save by it.
        return np.fromiter(map(_INVERSE_CDF, draws.ravel().tolist()), np.float64, draws.size).reshape(draws.shape)

    def exponential(self, clients: ArrayLike, indices: ArrayLike) -> Floats:
        """Exponential draws of mean 1, by the inverse CDF of `uniform`; at most 37 by construction."""
        draws = self.uniform(clients, indices)
        np.log(draws, out=draws)
        return np.negative(draws, out=draws)

    def generator(self, client: int, index: int) -> np.random.Generator:
        """A generator of its own for (client, index), for shuffles and whatever else wants one."""
        words = [self.key & 0xFFFFFFFF, self.key >> 32]
        for number in (int(client) & _MASK, int(index) & _MASK):
            words += [number & 0xFFFFFFFF, number >> 32]
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))

    def _word(self, client: int, index: int) -> int:
        """The word of one pair after mixing: what `_keys` and `_mixed` make of many."""
        word = _mixed_word(client * int(_GOLDEN) + self.key) + index * int(_GOLDEN)
        return _mixed_word(_mixed_word(word) + int(_GOLDEN))

    def _keys(self, clients: _Integers, indices: _Integers) -> _Words:
        """One word for each pair, in the broadcast shape, before it is mixed."""
        # at least one dimension: numpy warns of the wrap, which is wanted here, for scalars only
        client_words = np.atleast_1d(clients.view(np.uint64)) * _GOLDEN + np.uint64(self.key)
        _mix(client_words, np.empty_like(client_words))
        client_words = client_words.reshape(clients.shape)
        index_words = np.multiply(np.atleast_1d(indices.view(np.uint64)), _GOLDEN, order="C").reshape(indices.shape)
        shape = np.broadcast(client_words, index_words).shape
        words = index_words if index_words.shape == shape else np.empty(shape, dtype=np.uint64)
        np.add(client_words, index_words, out=words)
        return words


def _mixed(words: _Words) -> Iterator[tuple[slice, _Words]]:
    """The words mixed in place, a cached part at a time, each with where it stands in the flat array."""
    flat = words.reshape(-1)
    scratch = np.empty(min(words.size, _CACHED_WORDS), dtype=np.uint64)
    for start in range(0, words.size, _CACHED_WORDS):
        here = slice(start, start + _CACHED_WORDS)
        part = flat[here]
        # Two rounds: one leaves a trace when indices step by a large power of two, as clock ticks do.
        _mix(part, scratch[: part.size])
        np.add(part, _GOLDEN, out=part)
        _mix(part, scratch[: part.size])
        yield here, part


@functools.lru_cache
def _first_not_below(probability: float) -> int:
    """The least word whose draw is not below a probability: 0 where none is, 2^64 where all are.

    The draw of a word w is (floor(w / 2^12) + 1/2) / 2^52, and is exact; so is the comparison here.
    """
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"a probability must be at least 0 and at most 1; got {probability}")
    return min(max(math.ceil(Fraction(probability) * 2**52 - Fraction(1, 2)), 0), 2**52) << 12


_INVERSE_CDF = NormalDist().inv_cdf


def _digest(*parts: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(b"\0".join(parts), digest_size=8).digest(), "little")
