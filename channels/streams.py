"""Random numbers by key: a value is a function of (stream, client, index) and of nothing else.

Knows no distribution of any model; uniform, normal and exponential draws, and a generator where a library
wants one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.arrays import Floats

_Words = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_MASK = (1 << 64) - 1
_CACHED_WORDS = 1 << 15  # 256 KiB of words: a pass over them stays in the second-level cache


def _mix(words: _Words, scratch: _Words) -> None:
    """The SplitMix64 finaliser (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195), in place."""
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        np.right_shift(words, np.uint64(shift), out=scratch)
        np.bitwise_xor(words, scratch, out=words)
        np.multiply(words, factor, out=words)
    np.right_shift(words, np.uint64(31), out=scratch)
    np.bitwise_xor(words, scratch, out=words)


def _words(values: ArrayLike) -> _Words:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise TypeError(f"stream indices must be integers that fit 64 bits; got dtype {array.dtype}")
    return array.astype(np.uint64)  # negative numbers wrap: still one word per number


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
        return self._draw(clients, indices)

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

    def _draw(self, clients: ArrayLike, indices: ArrayLike) -> Floats:
        # at least one dimension: numpy warns of the wrap, which is wanted here, for scalars only
        client_words = np.atleast_1d(_words(clients)) * _GOLDEN + np.uint64(self.key)
        _mix(client_words, np.empty_like(client_words))
        client_words = client_words.reshape(np.shape(clients))
        index_words = (np.atleast_1d(_words(indices)) * _GOLDEN).reshape(np.shape(indices))
        shape = np.broadcast_shapes(client_words.shape, index_words.shape)
        words = np.empty(shape, dtype=np.uint64)
        np.add(client_words, index_words, out=words)
        draws = np.empty(shape, dtype=np.float64)
        flat_words, flat_draws = words.reshape(-1), draws.reshape(-1)
        scratch = np.empty(min(words.size, _CACHED_WORDS), dtype=np.uint64)
        for start in range(0, words.size, _CACHED_WORDS):
            part, result = (
                flat_words[start : start + _CACHED_WORDS],
                flat_draws[start : start + _CACHED_WORDS],
            )
            # Two rounds: one leaves a trace when indices step by a large power of two, as clock ticks do.
            _mix(part, scratch[: part.size])
            np.add(part, _GOLDEN, out=part)
            _mix(part, scratch[: part.size])
            # 52 bits and a half: the largest value, 1 - 2^-53, is still below 1 in float64.
            np.right_shift(part, np.uint64(12), out=part)
            np.add(part, 0.5, out=result, dtype=np.float64, casting="unsafe")
            np.multiply(result, 2.0**-52, out=result)
        return draws


_INVERSE_CDF = NormalDist().inv_cdf


def _digest(*parts: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(b"\0".join(parts), digest_size=8).digest(), "little")
