"""Parts: whole arrays, those that changed most."""

from __future__ import annotations

import numpy as np
import pytest

from wfl_sim.checks import check_codec
from wfl_sim.codecs.base import Layout, Update
from wfl_sim.codecs.dense import Dense
from wfl_sim.codecs.parts import Parts

SHAPES = {"head.weight": (3, 6), "t.0": (1, 4, 3), "t.1": (3, 5, 1), "q.A": (2, 7), "q.B": (9, 2)}
LAYOUT = Layout((("q.A", "q.B"),), ("head.weight", "t.0", "t.1"), SHAPES)
PARTS = [("t.0",), ("t.1",), ("q.A", "q.B")]


def update_of(scales=(1.0, 3.0, 2.0), seed=0):
    random = np.random.default_rng(seed)
    scale = {name: s for part, s in zip(PARTS, scales, strict=True) for name in part}
    change = {n: (scale.get(n, 1) * random.standard_normal(shape)).astype(np.float32) for n, shape in SHAPES.items()}
    return Update({n: np.zeros(shape, np.float32) for n, shape in SHAPES.items()}, change, LAYOUT, 5)


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_it_keeps_to_the_contract(bits):
    check_codec(Parts(bits=bits))


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_parts_of_largest_mean_square_change_arrive_as_they_would_whole(bits, count):
    codec, update = Parts(bits=bits), update_of()
    sizes = [float(np.mean(np.concatenate([update.change[n].ravel() for n in part]) ** 2)) for part in PARTS]
    kept = {name for place in np.argsort(sizes)[::-1][:count] for name in PARTS[place]}
    payload = codec.encode(update, count / 3)
    got = codec.decode(payload.data, LAYOUT)
    assert payload.kept_fraction == pytest.approx(count / 3)
    whole = Dense(bits=bits).decode(Dense(bits=bits).encode(update, 1.0).data, LAYOUT)
    for name in SHAPES:
        if name in kept or name == "head.weight":
            tolerance = 0 if bits > 8 else np.abs(update.change[name]).max() / 60
            np.testing.assert_allclose(got[name], whole[name], rtol=0, atol=tolerance)
        else:
            assert not got[name].any()
    assert {n for n, mask in codec.kept(payload.data, LAYOUT).items() if mask.all()} == kept | {"head.weight"}


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_the_menu_has_a_point_for_each_number_of_parts_that_no_choice_exceeds(bits):
    codec = Parts(bits=bits)
    menu = codec.menu(LAYOUT)
    assert [point.kept_fraction for point in menu.points] == pytest.approx([1 / 3, 2 / 3, 1.0])
    seen = {point.bits: 0 for point in menu.points}
    for scales in ((3, 2, 1), (1, 3, 2), (1, 2, 3), (2, 1, 3)):
        for point in menu.points:
            bits_sent = codec.encode(update_of(scales), point.kept_fraction).bits
            assert bits_sent <= point.bits
            seen[point.bits] = max(seen[point.bits], bits_sent)
    assert all(most == bits_said for bits_said, most in seen.items())  # and some choice takes them


def test_the_curve_is_what_it_drops():
    codec, update = Parts(bits=32), update_of()
    energy = {n: float(np.sum(v.astype(float) ** 2)) for n, v in update.change.items() if n != "head.weight"}
    assert codec.energy(update) == pytest.approx(sum(energy.values()))
    for point, dropped in zip(codec.menu(LAYOUT).points, codec.curve(update), strict=True):
        got = codec.decode(codec.encode(update, point.kept_fraction).data, LAYOUT)
        lost = sum(energy[n] for n in energy if not got[n].any())
        assert dropped == pytest.approx(lost / sum(energy.values()))


def test_a_payload_that_ends_within_its_list_is_refused():
    data = Parts().encode(update_of(), 1.0).data
    with pytest.raises(ValueError, match="ends within the list of its 3 parts"):
        Parts().decode(data[:1], LAYOUT)
