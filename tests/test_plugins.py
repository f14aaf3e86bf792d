"""Registries with plug-ins: `tests/docs/test_contributing.py` has installed ones; here the entry points are made up."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints
from typing import Literal

import pytest

from wfl_sim import plugins
from wfl_sim.codecs.base import Layout
from wfl_sim.codecs.dense import Dense
from wfl_sim.codecs.topk import TopK
from wfl_sim.errors import WflError
from wfl_sim.nouns import NOUNS
from wfl_sim.plugins import NAMES, PluginError, register, registry

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


@dataclass(frozen=True)
class Mine(Dense):
    """A codec of this process."""

    kind: Literal["mine"] = "mine"


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has read no kinds yet."""
    monkeypatch.setattr(plugins, "_registered", {})
    monkeypatch.setattr(plugins, "_read", set())


def test_what_is_registered_here_comes_last(installed, unread) -> None:
    installed(a="wfl_sim.codecs.topk:TopK")
    register(codec=Mine)
    assert list(registry(GROUP, Dense).items()) == [("dense", Dense), ("topk", TopK), ("mine", Mine)]
    assert list(registry("wfl_sim.method", Dense)) == ["dense"]


def test_a_cell_that_is_run_again_replaces_its_class(unread) -> None:
    again = dataclass(frozen=True)(type("Mine", (Mine,), {}))
    register(codec=Mine)
    register(codec=again)
    assert registry(GROUP) == {"mine": again}


def test_it_is_too_late_once_kinds_have_been_read(unread) -> None:
    registry(GROUP, Dense)
    register(schedule=Mine)
    with pytest.raises(PluginError, match=r"'codec' have been read already: register .*\.Mine before .* restart"):
        register(codec=Mine)


@pytest.mark.parametrize(
    ("classes", "says"),
    [({"codecs": Mine}, "no noun 'codecs'; there are: path_loss"), ({"codec": Layout}, "field `kind`")],
)
def test_what_cannot_be_registered_is_refused(unread, classes: dict[str, type], says: str) -> None:
    with pytest.raises(PluginError, match=says):
        register(**classes)


def test_a_noun_has_its_kinds_from_the_group_of_its_name() -> None:
    """`NOUNS` and the groups agree, so that nothing is registered which nobody reads."""
    assert {key.rpartition(".")[2] for key in NOUNS} & set(NAMES) == set(NAMES) - {"data_set"}
