from __future__ import annotations

import pytest

from wfl_sim.contracts import Payload, PayloadMenu, Point

MENU = PayloadMenu(tuple(Point(k / 4, 100 * k, 1 - k / 4) for k in range(1, 5)))


def test_a_menu_needs_points_in_rising_order():
    with pytest.raises(ValueError, match="rising order"):
        PayloadMenu(())
    with pytest.raises(ValueError, match=r"rising order.*200, 100"):
        PayloadMenu((Point(0.5, 200, 0.5), Point(1.0, 100, 0.0)))


@pytest.mark.parametrize(("fraction", "kept"), [(0.0, 0.25), (0.25, 0.25), (0.74, 0.5), (0.75, 0.75), (1.0, 1.0)])
def test_nearest_is_rounded_down(fraction, kept):
    assert MENU.nearest(fraction).kept_fraction == kept


@pytest.mark.parametrize(("fraction", "points"), [(0.0, 4), (0.5, 3), (0.51, 2), (1.0, 1), (1.1, 1)])
def test_at_least_leaves_the_denser_points(fraction, points):
    assert MENU.at_least(fraction).points == MENU.points[4 - points :]


def test_a_payload_counts_its_bytes():
    assert Payload(b"\x01abc", 1.0).bits == 32
