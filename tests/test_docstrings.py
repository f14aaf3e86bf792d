"""Every options class says what it is: the text from which `explain`, the schema and error messages are made.

Reads docstrings only, by way of `channels.describe`; knows nothing of what a model computes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, get_args

import pytest

from channels.describe import Description, describe
from channels.options import Options, type_hints
from wfl_sim.nouns import NOUNS
from wfl_sim.scenario import Scenario

SECTIONS = ("Formula", "Validity", "Source", "Options")
LONGEST_SUMMARY = 100  # `wfl-sim explain` prints it on one line, behind the name of the kind


def inside(hint: Any) -> Iterator[type[Options]]:
    """The options classes that an annotation names, also in unions and inside ``Annotated``."""
    if isinstance(hint, type) and issubclass(hint, Options):
        yield hint
    for part in get_args(hint):
        yield from inside(part)


def reachable(cls: type[Options]) -> Iterator[type[Options]]:
    """`cls` and every options class below it."""
    yield cls
    for hint in type_hints(cls).values():
        for found in inside(hint):
            yield from reachable(found)


def ours(cls: type) -> bool:
    """Whether a class is part of this project and not of an installed plug-in."""
    return cls.__module__.partition(".")[0] in ("channels", "wfl_sim")


def named(classes: set[type[Options]]) -> list[Any]:
    """Parameters of a test in a fixed order."""
    return [pytest.param(cls, id=cls.__name__) for cls in sorted(classes, key=lambda cls: cls.__qualname__)]


KINDS = {cls for registry in NOUNS.values() for cls in registry.values() if ours(cls)}
GROUPS = {cls for cls in reachable(Scenario) if ours(cls)} - KINDS


def option_fields(cls: type[Options]) -> set[str]:
    """The fields that a scenario can set; ``kind`` selects the class and is none of them."""
    return {item.name for item in fields(cls)} - {"kind"}


def ends_well(text: str) -> bool:
    """Whether a text ends in a full stop, or, as a formula may, in an indented line."""
    return text.endswith(".") or text.splitlines()[-1].startswith("    ")


def test_the_classes_of_a_scenario_are_found():
    assert {"UMa", "Rayleigh", "Arq", "Dirichlet", "TSFA", "Sync", "Dense"} <= {cls.__name__ for cls in KINDS}
    assert {cls.__name__ for cls in GROUPS} >= {
        "Scenario", "Channel", "Clients", "Radio", "Uplink", "Downlink", "NoiseFigure", "AntennaGain", "Compute",
        "Learning", "Model", "Data", "Local",
    }  # fmt: skip
    assert all("kind" in type_hints(cls) for cls in KINDS)
    assert not any("kind" in type_hints(cls) for cls in GROUPS)


@pytest.mark.parametrize("cls", named(KINDS | GROUPS))
def test_the_summary_is_one_short_line(cls: type[Options]):
    first, *rest = inspect.getdoc(cls).splitlines()
    assert describe(cls).summary == first
    assert first.endswith(".") and len(first) <= LONGEST_SUMMARY
    assert not rest or rest[0] == ""


@pytest.mark.parametrize("cls", named(KINDS | GROUPS))
def test_headings_are_the_known_ones_in_their_order(cls: type[Options]):
    headings = re.findall(r"^(.+)\n-{3,}$", inspect.getdoc(cls), re.MULTILINE)
    assert headings == [name for name in SECTIONS if name in headings]


@pytest.mark.parametrize("cls", named(KINDS))
def test_a_kind_has_formula_validity_and_source(cls: type[Options]):
    about = describe(cls)
    assert about.formula and about.validity and about.source


@pytest.mark.parametrize("cls", named(KINDS | GROUPS))
def test_options_are_named_as_the_fields_are(cls: type[Options]):
    options = describe(cls).options
    assert set(options) == option_fields(cls)
    assert all(options.values())


@pytest.mark.parametrize("cls", named(KINDS | GROUPS))
def test_texts_are_sentences(cls: type[Options]):
    about = describe(cls)
    sentences = {"body": about.body, "validity": about.validity, "source": about.source, **about.options}
    assert [name for name, text in sentences.items() if text and not text.endswith(".")] == []
    assert not about.formula or ends_well(about.formula)
    assert [name for name, text in about.options.items() if not text[0].isupper()] == []


@pytest.mark.parametrize("cls", named(KINDS | GROUPS))
def test_a_text_speaks_of_options_by_their_keys_not_by_their_fields(cls: type[Options]):
    """A reader of a card writes ``doppler: 5 Hz``; ``doppler_hz`` is the name in Python."""
    with_unit = {name for name in option_fields(cls) if re.search(r"_(hz|s|m|mps|w|j|dbm?|bits|flops?)$", name)}
    about: Description = describe(cls)
    text = " ".join([about.summary, about.body, about.formula, about.validity, about.source, *about.options.values()])
    assert [name for name in with_unit if re.search(rf"\b{name}\b", text)] == []


def test_a_base_class_documents_what_it_declares():
    """Found by `describe` through the classes derived from it, each of which would else have to repeat it."""
    for cls in KINDS:
        for base in cls.__mro__[1:]:
            if base is not Options and issubclass(base, Options):
                assert set(describe(base).options) == option_fields(base), base


def test_what_is_wrong_is_found():
    @dataclass(frozen=True)
    class Wrong(Options):
        """Two options, of which one has no text.

        Options
        -------
        here : A text.
        gone : A text of a field that is no more.
        """

        here: int = 1
        bare: int = 2

    assert set(describe(Wrong).options) ^ option_fields(Wrong) == {"gone", "bare"}
    assert not ends_well("no stop") and ends_well("A sentence.") and ends_well("With x::\n\n    y = x")
