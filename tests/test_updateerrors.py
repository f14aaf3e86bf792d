"""What a payload leaves out is told from what it rounds, also by codecs that keep no entries but directions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wfl_sim.codecs import Dense, Rotated, Svd
from wfl_sim.codecs.base import Layout, Update, decoded
from wfl_sim.updateerrors import errors_of

SHAPES = {"q.A": (4, 40), "q.B": (30, 4), "v.A": (4, 40), "v.B": (20, 4)}
LAYOUT = Layout((("q.A", "q.B"), ("v.A", "v.B")), (), SHAPES)
DIRECTIONS = [Rotated(bits=8), Rotated(bits=16), Rotated(bits=8, basis="random"), Svd(bits=8), Svd(bits=16)]


@pytest.fixture
def update() -> Update:
    draw = np.random.default_rng(7)
    base, change = ({n: draw.normal(size=s).astype(np.float32) for n, s in SHAPES.items()} for _ in range(2))
    return Update(base, {name: 0.1 * value for name, value in change.items()}, LAYOUT, key=5)


def gap(update: Update, one: dict, other: dict) -> float:
    """Between the products of two changes of the same base."""
    total = 0.0
    for a, b in LAYOUT.pairs:
        first, second = (
            (update.base[b].astype(float) + change[b]) @ (update.base[a].astype(float) + change[a])
            for change in (one, other)
        )
        total += float(np.sum((first - second) ** 2))
    return total


@pytest.mark.parametrize("codec", DIRECTIONS, ids=str)
@pytest.mark.parametrize("kept", [0.25, 0.5])
def test_values_of_32_bits_are_what_was_kept(codec, kept: float, update: Update) -> None:
    payload, exact = codec.encode(update, kept), replace(codec, bits=32)
    sent = decoded(codec, payload.data, LAYOUT, update.base)
    chosen = decoded(exact, exact.encode(update, kept).data, LAYOUT, update.base)
    found = errors_of(codec, update, payload, sent)
    assert found.score is None
    assert found.sparse == pytest.approx(gap(update, update.change, chosen), rel=1e-9)
    assert found.rounded == pytest.approx(gap(update, chosen, sent), rel=1e-6, abs=1e-12)
    assert 0.0 < found.rounded < found.sparse


@pytest.mark.parametrize("codec", DIRECTIONS, ids=str)
def test_of_a_whole_update_nothing_is_left_out_and_as_much_rounded_as_by_dense(codec, update: Update) -> None:
    errors = []
    for one in (codec, Dense(bits=codec.bits)):
        payload = one.encode(update, 1.0)
        errors.append(errors_of(one, update, payload, decoded(one, payload.data, LAYOUT, update.base)))
    assert errors[0] == errors[1]
    assert errors[0].sparse == 0.0 < errors[0].rounded


def test_of_a_codec_that_tells_nothing_all_counts_as_left_out(update: Update) -> None:
    class Silent:
        """No bits, no mask."""

    payload = Dense(bits=8).encode(update, 1.0)
    sent = Dense(bits=8).decode(payload.data, LAYOUT)
    found = errors_of(Silent(), update, payload, sent)
    assert found.sparse == pytest.approx(gap(update, update.change, sent)) and found.rounded is None
