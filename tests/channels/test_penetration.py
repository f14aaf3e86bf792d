from __future__ import annotations

import math

import numpy as np
import pytest

from channels.fading import NoFading
from channels.links import Links
from channels.mobility import Line, Static
from channels.options import OptionError
from channels.pathloss import UMa
from channels.penetration import PENETRATION, NoPenetration, OutdoorToIndoor
from channels.shadowing import NoShadowing
from channels.streams import Stream
from channels.vectors import WALLS_DB

TABLE_DB = 1e-3
SIGMAS = 4.5  # a right mean over independent clients is further off once in 150 000
STREAM = Stream.root(5)
MANY = 20_000


@pytest.mark.parametrize(("building", "carrier_hz", "expected_db"), WALLS_DB)
def test_the_wall(building, carrier_hz, expected_db):
    model = OutdoorToIndoor(building=building, way_inside_m=10.0, std_db=0.0)
    assert model.wall_db(carrier_hz) == pytest.approx(expected_db, abs=TABLE_DB)
    loss = model.loss_db(STREAM, [0, 9], carrier_hz)
    np.testing.assert_allclose(loss, expected_db + 5.0, rtol=0, atol=TABLE_DB)  # 0.5 dB a metre


def test_the_way_inside_is_the_smaller_of_two_draws():
    # The smaller of two uniform draws over (0, a) has the mean a / 3 and the second moment a^2 / 6.
    depth = OutdoorToIndoor().depth_m(STREAM, range(MANY))
    assert depth.min() > 0.0 and depth.max() < 25.0
    spread = 25.0 * math.sqrt(1 / 6 - 1 / 9)
    assert depth.mean() == pytest.approx(25.0 / 3.0, abs=SIGMAS * spread / math.sqrt(MANY))
    assert (OutdoorToIndoor(deepest_m=10.0).depth_m(STREAM, range(MANY)) <= 10.0).all()


@pytest.mark.parametrize(("building", "std_db"), [("low_loss", 4.4), ("high_loss", 6.5)])
def test_buildings_differ_by_the_stated_deviation(building, std_db):
    model = OutdoorToIndoor(building=building, way_inside_m=1.0)
    loss = model.loss_db(STREAM, range(MANY), 3.5e9) - model.wall_db(3.5e9) - 0.5
    assert loss.mean() == pytest.approx(0.0, abs=SIGMAS * std_db / math.sqrt(MANY))
    assert loss.std() == pytest.approx(std_db, rel=SIGMAS / math.sqrt(2 * MANY))
    none = OutdoorToIndoor(building=building, way_inside_m=1.0, std_db=0.0).loss_db(STREAM, range(5), 3.5e9)
    assert np.ptp(none) == 0.0


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_clients_inside(share):
    model = OutdoorToIndoor(indoor_share=share)
    inside, loss = model.depth_m(STREAM, range(MANY)) > 0.0, model.loss_db(STREAM, range(MANY), 3.5e9)
    assert inside.mean() == pytest.approx(share, abs=SIGMAS * math.sqrt(share * (1 - share) / MANY))
    assert (loss[~inside] == 0.0).all()


def test_links_add_it_and_take_the_sight_in_front_of_the_wall():
    cell = {
        "carrier_hz": 3.5e9,
        "shadowing": NoShadowing(),
        "fading": NoFading(),
        "placement": Line(from_m=40.0, to_m=400.0),
        "mobility": Static(),
    }
    inside = OutdoorToIndoor(indoor_share=0.5, way_inside_m=22.0)
    outdoors, indoors = (
        Links(Stream.root(1), 30, path_loss=UMa(), penetration=model, **cell) for model in (NoPenetration(), inside)
    )
    walls_db = inside.loss_db(Stream.root(1).child("penetration"), range(30), 3.5e9)
    assert 0 < (walls_db == 0).sum() < 30
    lost = outdoors.large_scale_db([0.0, 5.0]) - indoors.large_scale_db([0.0, 5.0])
    np.testing.assert_allclose(lost, np.stack([walls_db] * 2, axis=1), rtol=0, atol=1e-9)
    # 40 m away and 22 m inside, the wall is 18 m away, up to where the TR has line of sight for certain.
    many = {**cell, "placement": Line(from_m=40.0, to_m=40.0), "path_loss": UMa(line_of_sight="probability")}
    seen = Links(Stream.root(1), 300, penetration=OutdoorToIndoor(way_inside_m=22.0), **many).line_of_sight([0.0])
    assert seen.all()
    assert not Links(Stream.root(1), 300, **many).line_of_sight([0.0]).all()


def test_wrong_options_are_refused():
    with pytest.raises(OptionError, match="building: must be one of low_loss, high_loss"):
        OutdoorToIndoor(building="tent")
    with pytest.raises(OptionError, match="indoor_share"):
        OutdoorToIndoor(indoor_share=1.5)
    with pytest.raises(ValueError, match="carrier_hz"):
        OutdoorToIndoor().loss_db(STREAM, [0], -1.0)


def test_registry_names_the_kinds():
    assert {kind: cls.kind for kind, cls in PENETRATION.items()} == {"none": "none", "o2i": "o2i"}
