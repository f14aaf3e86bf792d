"""What the shell offers at the next word: scenarios, override keys and their values, names of cards.

Knows words; the command line asks it, and it never raises: a shell shows no errors here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer


def scenarios(incomplete: str) -> list[str]:
    """Names of scenarios at hand, and files and folders that begin so."""
    from wfl_sim import shelf

    names = [name for name in shelf.scenarios() if name.startswith(incomplete)]
    folder, _, start = incomplete.rpartition("/")
    root = f"{folder}/" if folder or incomplete.startswith("/") else ""
    try:
        entries = sorted(Path(root or ".").iterdir())
    except OSError:
        entries = []
    found = [entry for entry in entries if entry.name.startswith(start) and (start or not entry.name.startswith("."))]
    files = [f"{root}{entry.name}" for entry in found if entry.suffix in (".yaml", ".yml") and entry.is_file()]
    return [*names, *files, *(f"{root}{entry.name}/" for entry in found if entry.is_dir())]


def overrides(ctx: typer.Context, incomplete: str) -> list[str]:
    """The next part of a key, or the values that it may take.

    bash takes ``=`` for a word of its own, so the key may be the word before it.
    """
    words, scenario = list(ctx.params.get("overrides") or ()), str(ctx.params.get("scenario") or "")
    if incomplete == "=" and words:
        return _values(words[-1], "", scenario)
    if len(words) > 1 and words[-1] == "=":
        return _values(words[-2], incomplete, scenario)
    key, equals, value = incomplete.partition("=")
    if equals:
        return [f"{key}={found}" for found in _values(key, value, scenario)]
    found = _keys(key, scenario)
    # A shell puts a blank behind the only word that fits: offer what may follow instead.
    while len(found) == 1 and found[0].endswith("."):
        found = _keys(found[0], scenario)
    if len(found) == 1:
        values = _values(found[0][:-1], "", scenario)
        found = [found[0], *(f"{found[0]}{_quoted(value)}" for value in values)]
    return found


def names(incomplete: str) -> list[str]:
    """Everything that ``explain`` has a card of."""
    from wfl_sim import cards

    known = cards.names()
    plain = [name for name in known if "." not in name]
    return _begin([*plain, *(name for name in known if "." in name)] if incomplete else plain, incomplete)


def _keys(incomplete: str, scenario: str) -> list[str]:
    from wfl_sim import keys

    prefix = _arm_prefix(incomplete, scenario)
    if prefix is None:
        return [f"arms.{arm}." for arm in _arms(scenario) if f"arms.{arm}.".startswith(incomplete)]
    depth = incomplete[len(prefix) :].count(".")
    found: dict[str, None] = {}
    for path, key in keys.paths():
        if len(path) == depth + 1:
            found[f"{prefix}{'.'.join(path)}{'.' if key.group is not None or key.kinds else '='}"] = None
    if not prefix and not depth and _arms(scenario):
        found["arms."] = None
    return _begin(found, incomplete)


def _values(key: str, incomplete: str, scenario: str) -> list[str]:
    from wfl_sim import keys

    path = tuple(key.removeprefix(_arm_prefix(key, scenario) or "").split("."))
    found: dict[str, None] = {}
    for place, taken in keys.paths():
        if place == path[:-1] and path[-1] == "kind" and taken.kinds:
            found |= dict.fromkeys(taken.kinds)
        if place == path and taken.option is not None and not (taken.kinds or taken.group):
            words = map(str, taken.option.choices) if taken.option.choices else [taken.example_value()]
            found |= dict.fromkeys(["true", "false"] if taken.type_name() == "true or false" else words)
    return _begin(found, incomplete)


def _arm_prefix(incomplete: str, scenario: str) -> str | None:
    """``arms.NAME.`` where a key begins so, '' where it is none of an arm, None where the name is not complete."""
    if not incomplete.startswith("arms."):
        return ""
    return next((f"arms.{arm}." for arm in _arms(scenario) if incomplete.startswith(f"arms.{arm}.")), None)


def _arms(scenario: str) -> list[str]:
    from wfl_sim import shelf, yamlfile
    from wfl_sim.errors import ScenarioError

    try:
        arms = yamlfile.read(shelf.find(scenario)).data.get("arms") if scenario else None
    except ScenarioError:
        return []
    return list(arms) if isinstance(arms, dict) else []


def _quoted(value: str) -> str:
    return f"'{value}'" if any(character in value for character in " {}[]") else value


def _begin(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word and word.startswith(incomplete)]
