"""Registries with plug-ins: `tests/docs/test_contributing.py` has installed ones; here the entry points are made up."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from wfl_sim import plugins
from wfl_sim.codecs.dense import Dense
from wfl_sim.codecs.topk import TopK
from wfl_sim.errors import WflError
from wfl_sim.plugins import PluginError, registry

GROUP = "wfl_sim.codec"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch):
    """Entry points of the group, as ``name="module:Class"``."""

    def install(**points: str) -> None:
        found = [EntryPoint(name, value, GROUP) for name, value in points.items()]
        monkeypatch.setattr(plugins, "_installed", lambda: EntryPoints(found))

    return install


def test_plugins_come_after_our_own_in_order_of_name(installed) -> None:
    installed(b="wfl_sim.codecs.topk:TopK", a="wfl_sim.codecs.components:Components")
    assert list(registry(GROUP, Dense)) == ["dense", "components", "topk"]
    assert list(registry("wfl_sim.method", Dense)) == ["dense"]


def test_two_classes_of_one_kind_are_both_named(installed) -> None:
    installed(mine="wfl_sim.codecs.topk:TopK")
    with pytest.raises(PluginError, match=r"the kind 'topk' of wfl_sim\.codec: wfl_sim\.codecs\.topk\.TopK and wfl"):
        registry(GROUP, TopK)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("not_there_at_all:Codec", "ModuleNotFoundError"),
        ("wfl_sim.codecs.dense:Sparse", "AttributeError"),
        ("wfl_sim.codecs.dense:Layout", "KeyError: 'kind'"),
        ("wfl_sim.codecs.dense:FORMAT", "AttributeError"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_cause(installed, value: str, says: str) -> None:
    installed(mine=value)
    with pytest.raises(PluginError) as caught:
        registry(GROUP, Dense)
    assert f"the plug-in 'mine' ({value}) of wfl_sim.codec" in str(caught.value)
    assert says in str(caught.value)
    assert isinstance(caught.value, WflError)
    assert caught.value.exit_code == 2
    assert str(PluginError(*caught.value.args)) == str(caught.value)
