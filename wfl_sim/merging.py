"""The global model of the next version, and the payload that brings clients to it.

Knows methods, codecs and arrivals; neither clients' state nor rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from wfl_sim import broadcasting
from wfl_sim.codecs.base import Codec, Layout, Update
from wfl_sim.contracts import Params, Payload
from wfl_sim.errors import Diverged, NotFinite
from wfl_sim.methods.base import Arrival, Method

REMEDY = "lower learning.local.lr or learning.local.head_lr"


def step(
    method: Method, codec: Codec, layout: Layout, model: Params, merged: Sequence[Arrival], length: float, key: int
) -> tuple[Params, Payload]:
    """The model so far on the way to what the method makes of the arrivals, whose weights are shares, and the payload.

    Raises
    ------
    NotFinite
        What is broadcast is not finite.
    """
    if getattr(method, "merges_products", False):  # part of the way to a product is no part of the way to its factors
        merged, length = [replace(arrival, weight=length * arrival.weight) for arrival in merged], 1.0
    if hasattr(method, "broadcast"):
        scaled = merged if length == 1.0 else [replace(arrival, weight=length * arrival.weight) for arrival in merged]
        if (told := by_broadcast(method, codec, layout, model, scaled, key)) is not None:
            return told
    return by_change(method, codec, layout, model, merged, length, key)


def by_change(
    method: Method, codec: Codec, layout: Layout, model: Params, merged: Sequence[Arrival], step: float, key: int
) -> tuple[Params, Payload]:
    """The model a step of the way towards what the method makes of the arrivals, and its change as it is broadcast.

    Raises
    ------
    NotFinite
        The change is not finite.
    """
    target = method.aggregate(model, merged)
    change = {name: target[name] - model[name] for name in layout.shapes}
    if step != 1.0:
        change = {name: np.float32(step) * value for name, value in change.items()}
    check(change)
    payload = codec.encode_changed(Update(model, change, layout, key))
    decoded = codec.decode(payload.data, layout)
    return {name: value + decoded[name] if name in decoded else value for name, value in model.items()}, payload


def by_broadcast(
    method: Any, codec: Codec, layout: Layout, model: Params, merged: Sequence[Arrival], key: int
) -> tuple[Params, Payload] | None:
    """The model that all make of what the method broadcasts, and that as bytes; None where it has no such rule now.

    Raises
    ------
    NotFinite
        What is broadcast is not finite.
    """
    arrays = method.broadcast(model, merged)
    if arrays is None:
        return None
    check(arrays)
    payload, decoded = broadcasting.coded(codec, arrays, layout.pairs, key)
    return method.received(model, decoded), payload


def diverged(round_: int, client: int, what: str = "an update is not finite") -> Diverged:
    """The error that ends a run in which the training of a client came to nothing."""
    return Diverged(
        f"round {round_}: the training of client {client} diverged ({what}); {REMEDY}, or set learning.on_divergence "
        "to drop_client"
    )


def finite(params: Params) -> bool:
    """Whether all numbers are."""
    return all(np.isfinite(value).all() for value in params.values())


def check(params: Params) -> None:
    """Raise NotFinite unless all numbers of the global model, or of a change of it, are finite."""
    if not finite(params):
        raise NotFinite(f"the global model is not finite after the aggregation; {REMEDY}")
