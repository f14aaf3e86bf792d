"""What a pilot shows."""

from __future__ import annotations

import numpy as np
import pytest

from wfl_sim import lowrank
from wfl_sim.codecs import Components, Dense, Rotated, TopK
from wfl_sim.codecs.base import Layout, Update
from wfl_sim.stage1 import pilot


def test_the_tail_of_the_product_without_the_product() -> None:
    draw = np.random.default_rng(3)
    model = {
        name: draw.normal(size=shape).astype(np.float32)
        for name, shape in {"x.A": (4, 30), "x.B": (20, 4), "y.A": (3, 9), "y.B": (7, 3)}.items()
    }
    beyond, energy = pilot.tail_energy(model, (("x.A", "x.B"), ("y.A", "y.B")))
    squares = np.zeros(5)
    for key, rank in (("x", 4), ("y", 3)):
        product = model[f"{key}.B"].astype(float) @ model[f"{key}.A"].astype(float)
        squares[:rank] += np.linalg.svd(product, compute_uv=False)[:rank] ** 2
    assert energy == pytest.approx(squares.sum())
    assert beyond == pytest.approx([squares[r:].sum() / squares.sum() for r in range(5)])
    assert pilot.tail_energy({}, ())[1] == 0.0


def test_what_is_dropped_are_the_smallest_changes() -> None:
    draw = np.random.default_rng(4)
    layout = Layout((("x.A", "x.B"),), (), {"x.A": (4, 30), "x.B": (20, 4)})
    base, change = ({n: draw.normal(size=s).astype(np.float32) for n, s in layout.shapes.items()} for _ in range(2))
    kept = np.array([0.0, 0.25, 0.3, 0.5, 1.0])
    found = pilot.dropped(Update(base, change, layout), kept)
    energy = lowrank.component_changes(
        base["x.A"], base["x.B"], base["x.A"] + change["x.A"], base["x.B"] + change["x.B"]
    )
    energy = np.sort(energy**2)
    expected = [1.0, energy[:3].sum(), energy[:3].sum(), energy[:2].sum(), 0.0]
    assert found == pytest.approx(np.array(expected) / np.array([1.0, *[energy.sum()] * 4]), abs=1e-6)
    nothing = {name: np.zeros_like(value) for name, value in change.items()}
    assert pilot.dropped(Update(base, nothing, layout), kept) == pytest.approx(1.0 - kept)


def changed(draw: np.random.Generator) -> Update:
    shapes = {"x.A": (4, 9), "x.B": (8, 4), "y.A": (4, 9), "y.B": (8, 4)}
    base, change = ({n: draw.normal(size=s).astype(np.float32) for n, s in shapes.items()} for _ in range(2))
    common = draw.normal(size=(1, 9))  # all rows of A go much the same way: no component matters, one direction does
    for name in ("x.A", "y.A"):
        change[name] = (change[name] / 10 + common).astype(np.float32)
    return Update(base, change, Layout((("x.A", "x.B"), ("y.A", "y.B")), (), shapes))


def test_what_is_left_out_is_what_the_codec_would_leave_out() -> None:
    update, eighths = changed(np.random.default_rng(5)), np.arange(9) / 8
    components = pilot.left_out(Components(), update, eighths)
    assert components == pytest.approx(pilot.dropped(update, eighths), abs=1e-6), "its pieces are components"
    assert pilot.left_out(Dense(), update, eighths) == pytest.approx(components), "it has no pieces"
    total = sum(float(np.sum(value.astype(float) ** 2)) for value in update.change.values())
    for codec in (Rotated(bits=32), TopK(bits=32)):
        for point in codec.menu(update.layout).points:
            sent = codec.decode(codec.encode(update, point.kept_fraction).data, update.layout)
            left = sum(float(np.sum((value - sent[name]) ** 2)) for name, value in update.change.items())
            (found,) = pilot.left_out(codec, update, np.array([point.kept_fraction]))
            assert found == pytest.approx(left / total, abs=1e-4)
        assert pilot.left_out(codec, update, np.array([0.0, 1.0])) == pytest.approx([1.0, 0.0], abs=1e-6)


def test_a_pilot_has_a_seed_of_its_own() -> None:
    seeds = {pilot.seed_of(seed) for seed in range(100)}
    assert len(seeds) == 100 and min(seeds) > 10**6, "no one writes such seeds"
