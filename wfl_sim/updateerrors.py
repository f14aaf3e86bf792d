"""The errors of an aggregation: what codecs left out and rounded, and what averaging factors one by one misses.

Knows pairs of factors, arrivals and masks; neither clients' state nor rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from wfl_sim import lowrank
from wfl_sim.codecs.base import Codec, Update, decoded
from wfl_sim.contracts import Params, Payload
from wfl_sim.methods.base import Arrival


class UpdateErrors(NamedTuple):
    """Energies, of products B A, summed over pairs; None where a codec does not tell what it kept.

    `sparse` is |B'A' - B_s A_s|_F^2, with only what was kept of the change in B_s and A_s, before its values were
    rounded; `score` the same component by component, which is the sum of the dropped d_i^2, of a codec that keeps parts
    of components; `rounded` what quantisation changed in B_s A_s.
    """

    sparse: float
    score: float | None
    rounded: float | None


def errors_of(codec: Codec, update: Update, payload: Payload, sent: Params) -> UpdateErrors:
    """The errors of one payload, decoded as `sent`; if its codec does not tell what it kept, all counts as left out."""
    masks = codec.kept(payload.data, update.layout) if hasattr(codec, "kept") else None
    exact = _exact(codec, update, payload, sent) if masks is None else None
    sparse = score = rounded = 0.0
    for a, b in update.layout.pairs:
        base_a, base_b = update.base[a].astype(float), update.base[b].astype(float)
        full_a, full_b = base_a + update.change[a], base_b + update.change[b]
        got_a, got_b = base_a + sent[a], base_b + sent[b]
        if masks is not None:
            kept_a = base_a + np.where(masks[a], update.change[a], 0.0)
            kept_b = base_b + np.where(masks[b], update.change[b], 0.0)
            score += float(np.sum(lowrank.component_changes(kept_a, kept_b, full_a, full_b) ** 2))
        else:
            kept_a, kept_b = (got_a, got_b) if exact is None else (base_a + exact[a], base_b + exact[b])
        rounded += lowrank.product_gap(kept_a, kept_b, got_a, got_b)
        sparse += lowrank.product_gap(full_a, full_b, kept_a, kept_b)
    return UpdateErrors(sparse, None if masks is None else score, None if masks is None and exact is None else rounded)


def _exact(codec: Any, update: Update, payload: Payload, sent: Params) -> Params | None:
    """What a codec would have sent with values of 32 bits, which tells choice from rounding; None if it has no bits."""
    bits = getattr(codec, "bits", None)
    if bits is None or bits == 32:
        return None if bits is None else sent
    whole = replace(codec, bits=32)
    return decoded(whole, whole.encode(update, payload.kept_fraction).data, update.layout, update.base)


def aggregated(
    pairs: Sequence[tuple[str, str]],
    model: Params | None,
    arrivals: Sequence[Arrival],
    errors: Sequence[UpdateErrors],
) -> dict[str, float | None]:
    """``e_cov`` over what arrived, and the weighted means ``e_sp``, ``e_sp_score`` and ``e_q`` of the payloads' errors.

    For e_cov the factors of a client are those of the current `model` and its change; where a method merges products,
    which makes no such gap, there is no e_cov, and `model` is None. What a codec left out it left out of the client's
    own factors, those it had fetched.
    """
    if not pairs or not arrivals:
        return dict.fromkeys(("e_cov", "e_sp", "e_sp_score", "e_q"))
    weights = [arrival.weight for arrival in arrivals]
    e_cov = None
    if model is not None:
        e_cov = sum(
            lowrank.covariance_gap([(model[a] + x.change[a], model[b] + x.change[b]) for x in arrivals], weights)
            for a, b in pairs
        )
    e_sp, e_sp_score, e_q = (_mean(weights, values) for values in zip(*errors, strict=True))
    return {"e_cov": e_cov, "e_sp": e_sp, "e_sp_score": e_sp_score, "e_q": e_q}


def _mean(weights: Sequence[float], values: Sequence[float | None]) -> float | None:
    """None if any of the values is."""
    known = [weight * value for weight, value in zip(weights, values, strict=True) if value is not None]
    return sum(known) if len(known) == len(values) else None
