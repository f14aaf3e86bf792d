"""Cards: what each kind is, what each key takes, and which scenarios are at hand, taken from code and files alone.

Knows the registries and the tree of keys; imports no tensor library.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from textwrap import wrap

from channels.describe import Description, describe
from wfl_sim import keys, shelf
from wfl_sim.diagnose import nearest
from wfl_sim.errors import Problem, ScenarioError
from wfl_sim.grid import EXAMPLE
from wfl_sim.nouns import NOUNS

WIDTH = 100  # characters of a line
MOST_KEYS = 5  # cards for one word, such as `bandwidth`
RULE = (
    "a kind (tsfa), a key (radio.uplink.bandwidth), a scenario (quickstart) or a command (plan): wfl-sim explain and "
    "wfl-sim --help list them; what the words of a table mean is told where it is printed"
)
Style = Callable[[str], str]
# What a file holds beside the keys of its arms: what it is, what it takes, an example, and one of an override.
OF_A_FILE = {
    "arms": (
        "What is compared: each arm lays its keys over those of the file, and is a run for each seed and point.",
        "a mapping of names to the keys that each arm changes",
        "arms: {dense: {}, half: {method: {rank: 4}}}",
        "arms.half.method.rank=2",
    ),
    "grid": (
        "Operating points: the values of each key are crossed, and every arm whose kinds have the key runs at each.",
        "a mapping of keys, with dots, to lists of values with their units",
        EXAMPLE,
        "radio.uplink.bandwidth='180 kHz,360 kHz'",
    ),
}


def _plain(text: str) -> str:
    return text


def overview(heading: Style = _plain) -> str:
    """Every kind by the key that selects it, the groups of keys, and every scenario at hand, with one line each."""
    lines: list[str] = []
    for noun, kinds in NOUNS.items():
        lines.append(heading(f"{noun}:"))
        lines += [_entry(kind, keys.Key("", group=cls).text) for kind, cls in kinds.items()]
    lines.append(heading("groups of keys:"))
    lines += [_entry(".".join(path), key.text) for path, key in keys.paths() if key.group is not None]
    lines.append(heading("scenarios:"))
    lines += [_entry(name, _about(name)) for name in shelf.scenarios()]
    lines += ["", "wfl-sim explain NAME shows the card of a kind, a key (radio.uplink.bandwidth) or a scenario."]
    return "\n".join(lines)


def names() -> list[str]:
    """Everything that has a card."""
    kinds = {name for registry in NOUNS.values() for kind, cls in registry.items() for name in (kind, *_aliases(cls))}
    return [*sorted(kinds), *(".".join(path) for path, _ in keys.paths()), *OF_A_FILE, *shelf.scenarios()]


def card(name: str, heading: Style = _plain) -> str:
    """The cards of all kinds (which may have further names), the key or the scenario of that name.

    Raises
    ------
    ScenarioError
        Nothing has that name; the nearest one is told.
    """
    cards = [
        _card(noun, kind, cls, heading)
        for noun, kinds in NOUNS.items()
        for kind, cls in kinds.items()
        if name in (kind, *_aliases(cls))
    ]
    by_path = [(path, key) for path, key in keys.paths() if ".".join(path) == name][:1]
    if not cards and not by_path:  # the last word of a key will do
        by_path = [(path, key) for path, key in keys.paths() if path[-1] == name][:MOST_KEYS]
    cards += [_key_card(path, key, heading) for path, key in by_path]
    if name in OF_A_FILE:
        cards.append(_file_card(name, heading))
    if name in shelf.scenarios():
        cards.append(_scenario_card(name, heading))
    if not cards:
        near, rule = nearest(name, names()), RULE
        if near.lower() != name.lower().replace("-", "_") and (telling := _telling(name)):
            near, rule = "", f"cards that tell of it: {', '.join(telling)}"
        raise ScenarioError(Problem("explain", "", f"nothing is called {name!r}", near=near, rule=rule))
    return "\n\n".join(cards)


def _telling(word: str) -> list[str]:
    """The first kinds and keys that have a word in their first line."""
    told = {kind: keys.Key("", group=cls).text for kinds in NOUNS.values() for kind, cls in kinds.items()}
    told |= {".".join(path): key.text for path, key in keys.paths()}
    has = re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE)
    return [name for name, text in told.items() if has.search(text)][:MOST_KEYS]


def _card(noun: str, kind: str, cls: type, heading: Style) -> str:
    about, key = describe(cls), keys.of_noun(noun)
    lines = [heading(f"{noun}: {kind}"), "", *_prose(about.summary)]
    lines += ["", f"Also called {keys.one_of(_aliases(cls))}."] if _aliases(cls) else []
    lines += ["", *_prose(about.body)] if about.body else []
    lines += _background(about, heading)
    options = keys.Key("", group=cls).below()
    if options:
        lines += ["", heading("Options"), *_options(options.values())]
    if key is not None and key.kinds:
        example = f"{noun.rpartition('.')[2]}: {keys.snippet(kind, cls)}"
    else:  # a value chosen by name
        example = f"{noun.rpartition('.')[2]}: {json.dumps(kind)}"
    return "\n".join([*lines, "", heading("Example"), f"  {example}"])


def _aliases(cls: type) -> tuple[str, ...]:
    """Names that a kind has in papers and in arms of scenarios; no scenario may choose it by them."""
    names: tuple[str, ...] = vars(cls).get("aliases", ())  # not those of the class that it is derived from
    return names


def _key_card(path: tuple[str, ...], key: keys.Key, heading: Style) -> str:
    lines = [heading(".".join(path)), "", *_prose(key.text)]
    if key.group is not None:
        about = describe(key.group)
        if (summary := keys.Key("", group=key.group).text) != key.text:
            lines.append(summary)
        lines += ["", *_prose(about.body)] if about.body else []
        lines += _background(about, heading)
        lines += ["", heading("Options"), *_options(key.below().values())]
    else:
        takes = _takes(key, _defaults(path))
        lines += ["", heading("Takes"), *wrap(takes, WIDTH, initial_indent="  ", subsequent_indent="  ")]
        for kind, cls in (key.kinds or {}).items():
            lines.append(_entry(kind, keys.Key("", group=cls).text))
        if key.items is not None and key.items.group is not None:
            lines += ["", heading("Options of each"), *_options(key.items.below().values())]
    override = f"{'.'.join(path)}={key.example_value()}"
    lines += ["", heading("Example"), f"  {key.example()}"]
    lines += [f"  on the command line: {shlex.quote(override)}"] if key.example_value() else []
    return "\n".join(lines)


def _file_card(name: str, heading: Style) -> str:
    summary, takes, example, command = OF_A_FILE[name]
    lines = [heading(name), "", *_prose(summary), "", heading("Takes"), *_prose(takes, "  ")]
    return "\n".join([*lines, "", heading("Example"), f"  {example}", f"  on the command line: {command}"])


def _background(about: Description, heading: Style) -> list[str]:
    lines: list[str] = []
    for title, text in (("Formula", about.formula), ("Validity", about.validity), ("Source", about.source)):
        lines += ["", heading(title), *_prose(text, "  ")] if text else []
    return lines


def _options(options: Iterable[keys.Key]) -> Iterator[str]:
    for key in options:
        if key.name == "kind":
            continue
        yield f"  {key.name}"
        yield from wrap(_takes(key), WIDTH, initial_indent="      ", subsequent_indent="      ")
        yield from wrap(key.text, WIDTH, initial_indent="      ", subsequent_indent="      ")


def _defaults(path: tuple[str, ...]) -> str:
    """The defaults of a key by the kinds above it: ``16; rotated: 8``; empty where all have the same."""
    by_default: dict[str, list[str]] = {}
    for kind, key in keys.by_kind(path):
        if key.option is not None and not key.kinds and key.group is None and not key.option.required:
            by_default.setdefault(key.option.shown_default or "none", []).append(kind)
    if len(by_default) < 2:
        return ""
    usual, *others = sorted(by_default, key=lambda default: -len(by_default[default]))
    return "; ".join([usual, *(f"{', '.join(by_default[default])}: {default}" for default in others)])


def _takes(key: keys.Key, defaults: str = "") -> str:
    """What a key takes and its default (`defaults` where kinds differ in it), without saying again what it is for."""
    option = key.option
    if key.kinds:
        text = f"one of {', '.join(key.kinds)}"
    elif option is not None and option.quantity is not None:
        text = keys.quantity_rule(option.quantity)
    else:
        limits = option.limit.range_text() if option is not None and option.limit is not None else ""
        text = f"{key.type_name()}{', ' if limits else ''}{limits}"
        text += f", each {_takes(key.items)}" if key.items is not None else ""
    if option is None or not option.text:  # an item of a list
        return text
    if option.required:
        return f"{text}; required"
    if key.group is not None:
        return f"{text}; may be left out"
    default = defaults or (key.example_value() if key.kinds else option.shown_default)
    return f"{text}; default {default}" if default not in ("", "[]") else f"{text}; may be left out"


def _scenario_card(name: str, heading: Style) -> str:
    from wfl_sim.scenario import load

    path = shelf.scenarios()[name]
    study = load(path)
    first = study.cells[0].scenario
    arms = {cell.group: cell.scenario for cell in reversed(study.cells)}
    lines = [heading(f"scenario: {name}"), "", first.description or "(no description)", "", heading("Arms")]
    for arm, scenario in reversed(arms.items()):
        lines.append(
            _entry(arm, ", ".join(getattr(scenario, n).kind for n in ("method", "codec", "schedule", "protocol")))
        )
    axes: dict[str, dict[str, None]] = {}
    for key, text, *_ in (coordinate for cell in study.cells for coordinate in cell.point):
        axes.setdefault(key, {})[text] = None
    lines += ["", heading("Grid"), *(_entry(key, ", ".join(texts)) for key, texts in axes.items())] if axes else []
    size = f"{len(study.cells)} runs of {first.rounds} rounds, {first.clients.count} clients"
    return "\n".join([*lines, "", size, "", heading("Example"), f"  wfl-sim run {path}"])


def _about(name: str) -> str:
    from wfl_sim.scenario import load

    try:
        return load(shelf.scenarios()[name]).cells[0].scenario.description or "(no description)"
    except ScenarioError as error:
        return f"does not load: {error.args[0]}"


def _entry(name: str, text: str) -> str:
    return "\n".join(wrap(text, WIDTH, initial_indent=f"  {name:<22} ", subsequent_indent=" " * 25)) or f"  {name}"


def _prose(text: str, indent: str = "") -> list[str]:
    """Paragraphs filled to the width; lines that are indented, such as formulas, stay as they are."""
    lines: list[str] = []
    for paragraph in text.replace("::\n", ":\n").replace("``", "`").split("\n\n"):
        lines += [""] if lines else []
        if any(line.startswith(" ") for line in paragraph.splitlines()):
            lines += [f"{indent}{line}" for line in paragraph.splitlines()]
        else:
            lines += wrap(paragraph, WIDTH, initial_indent=indent, subsequent_indent=indent)
    return lines
