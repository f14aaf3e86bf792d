"""What the halves of a split model send each other, as bytes: activations with what the server needs, and gradients.

Knows arrays; no tensor library, no model and no client. Padding is not sent: nobody reads it, and its gradient is 0.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wfl_sim.codecs import values
from wfl_sim.codecs.base import closed
from wfl_sim.codecs.values import Float32

Ints = NDArray[np.int64]
_HEADER = struct.Struct("<BHII")  # bits a value, cut, examples, labels
_NUMBER = 4  # bytes of a length, and of a label
_PURPOSE = 16  # of draws with an update's key: behind those of the codecs


class Activations(NamedTuple):
    """What leaves layer `cut` of a client: `states` [tokens, width] of one example after the other.

    `lengths` are the tokens of each, `labels` the class of each, or in language modelling the token ids themselves.
    """

    cut: int
    lengths: Ints
    labels: Ints
    states: Float32


def pack(sent: Activations, bits: int, key: int, step: int) -> bytes:
    """Activations as bytes; what is rounded at random follows from the key of the round and the step.

    Raises
    ------
    ValueError
        A number is not finite.
    """
    head = _HEADER.pack(bits, sent.cut, sent.lengths.size, sent.labels.size)
    told = np.concatenate([sent.lengths, sent.labels]).astype("<u4").tobytes()
    return head + told + _values(sent.states, bits, key, _PURPOSE + 2 * step)


def unpack(data: bytes, width: int) -> Activations:
    """The inverse of `pack`, for vectors of `width` numbers. Raises ValueError where they are no such bytes."""
    if len(data) < _HEADER.size:
        raise ValueError(f"activations begin with {_HEADER.size} bytes; got {len(data)}")
    bits, cut, examples, count = _HEADER.unpack_from(data)
    if bits not in (8, 16, 32) or len(data) < most_bytes(examples, 0, 0, bits, count):
        raise ValueError(f"no activations: {len(data)} bytes that begin with 0x{data[:1].hex()}")
    told = np.frombuffer(data, "<u4", examples + count, _HEADER.size).astype(np.int64)
    offset = _HEADER.size + _NUMBER * told.size
    lengths, labels = told[:examples], told[examples:]
    states, end = values.unpack(data, offset, int(lengths.sum()) * width, bits, width)
    closed(data, end)
    return Activations(cut, lengths, labels, states.reshape(-1, width))


def pack_gradient(gradient: Float32, bits: int, key: int, step: int) -> bytes:
    """The gradient of activations [tokens, width] as bytes. Raises ValueError where a number is not finite."""
    return bytes([bits]) + _values(gradient, bits, key, _PURPOSE + 2 * step + 1)


def unpack_gradient(data: bytes, width: int, tokens: int) -> Float32:
    """The inverse of `pack_gradient`. Raises ValueError where they are no such bytes."""
    if not data or data[0] not in (8, 16, 32):
        raise ValueError(f"no gradient: {len(data)} bytes")
    gradient, end = values.unpack(data, 1, tokens * width, data[0], width)
    closed(data, end)
    return gradient.reshape(-1, width)


def most_bytes(examples: int, tokens: int, width: int, bits: int, labels: int) -> int:
    """Length of `pack` for so many examples and labels, of `tokens` in all."""
    return _HEADER.size + _NUMBER * (examples + labels) + values.packed_bytes(tokens * width, bits, width or 1)


def _values(states: Float32, bits: int, key: int, purpose: int) -> bytes:
    random = values.draws(key, purpose) if bits == 8 else None
    return values.pack(np.ascontiguousarray(states).reshape(-1), bits, random, states.shape[1])
