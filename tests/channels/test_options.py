from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, replace
from typing import Literal

import pytest

from channels.options import OptionError, Options, choices, option_name, quantities
from channels.units import Hertz, Seconds


@dataclass(frozen=True)
class Example(Options):
    kind: Literal["example"] = "example"
    carrier_hz: Hertz = 1e9
    pause_s: Seconds | None = None
    label: str = ""


def test_fields_declare_their_units_and_words():
    found = quantities(Example)
    assert {name: quantity.unit for name, quantity in found.items()} == {"carrier_hz": "Hz", "pause_s": "s"}
    assert choices(Example) == {"kind": ("example",)}


def test_values_are_checked_when_built_and_when_replaced():
    assert Example(pause_s=0.5).pause_s == 0.5
    with pytest.raises(OptionError, match=r"Example\.carrier_hz: must be above 0 Hz; got -1 Hz"):
        Example(carrier_hz=-1.0)
    with pytest.raises(OptionError, match=r"Example\.pause_s: must be above 0 s; got 0 s"):
        Example(pause_s=0.0)
    with pytest.raises(OptionError, match=r"Example\.carrier_hz"):
        replace(Example(), carrier_hz=float("nan"))
    with pytest.raises(OptionError, match=r"Example\.carrier_hz"):
        Example(carrier_hz="3.5 GHz")
    with pytest.raises(OptionError, match=r"Example\.kind: must be one of example; got 'other'"):
        Example(kind="other")


def test_models_are_frozen_and_compare_by_value():
    assert Example() == Example() and hash(Example()) == hash(Example())
    with pytest.raises(FrozenInstanceError):
        Example().carrier_hz = 2.0


def test_errors_survive_being_rebuilt_from_their_arguments():
    error = OptionError("Example", "carrier_hz", "is wrong")
    for again in (type(error)(*error.args), pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert str(again) == "Example.carrier_hz: is wrong"


@pytest.mark.parametrize(
    ("field", "option"),
    [("carrier_hz", "carrier"), ("speed_mps", "speed"), ("gap_db", "gap"), ("from_m", "from"), ("kind", "kind"),
     ("_m", "_m"), ("power_dbm", "power")],
)  # fmt: skip
def test_option_names_drop_the_unit(field, option):
    assert option_name(field) == option
