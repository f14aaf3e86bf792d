"""The tree of keys that a scenario may hold, and what each of them takes, read off the classes.

Knows no document; diagnosis, schema, cards and completion all walk this one tree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, is_dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from channels.describe import Option, describe, options_of
from channels.options import Options, Whole
from channels.units import Quantity, kind_of_quantity, symbols
from wfl_sim import items
from wfl_sim.plugins import kind_of
from wfl_sim.seeds import EXAMPLE, Seeds


@dataclass(frozen=True)
class Key:
    """What may stand at one place: `kinds` (one of several models), a `group` of options, `items`, or a value.

    `ranged` items may be written as a range.
    """

    name: str
    option: Option | None = None
    group: type | None = None
    kinds: Mapping[str, type] | None = None
    items: Key | None = None
    ranged: bool = False

    @property
    def text(self) -> str:
        """What it is, in words; what docstrings put between double backticks stands between single ones."""
        if self.option is not None and self.option.text:
            return self.option.text.replace("``", "`")
        return describe(self.group).summary.replace("``", "`") if self.group is not None else ""

    def model(self, data: Any) -> type | None:
        """The class that reads a mapping at this place: the group, or the kind that `data` names."""
        if not self.kinds:
            return self.group
        named = data.get("kind", self.usual_kind) if isinstance(data, Mapping) else self.usual_kind
        return self.kinds.get(named) if isinstance(named, str) else None

    @property
    def usual_kind(self) -> str | None:
        """The kind of a mapping that names none: that of the default, or the only one there is."""
        if not self.kinds:
            return None
        default = self.option.default if self.option is not None else None
        if isinstance(default, Options):
            return kind_of(type(default))
        return next(iter(self.kinds)) if len(self.kinds) == 1 else None

    def meant_kind(self, data: Any) -> str:
        """The kind that `data` names with other capitals, or - for _; '' if it names one as it is, or none."""
        named = data.get("kind") if isinstance(data, Mapping) else None
        if not self.kinds or not isinstance(named, str) or named in self.kinds:
            return ""
        return next((kind for kind in self.kinds if kind == named.lower().replace("-", "_")), "")

    def below(self, data: Any = None) -> dict[str, Key]:
        """The keys that a mapping at this place may hold, ``kind`` among them."""
        model = self.model(data)
        found = {key.name: key for key in _keys_of(model)} if model is not None else {}
        return {"kind": Key("kind"), **found} if self.kinds else found

    def rule(self) -> str:
        """What it takes, in one line."""
        if self.kinds:
            return f"a kind and its options; kinds: {', '.join(self.kinds)}"
        if self.group is not None:
            return f"a mapping of keys to values; keys: {', '.join(self.below())}"
        if self.items is not None:
            return f"{self.type_name()}; each item {self.items.rule()}"
        option = self.option
        if option is None:
            return ""
        if option.quantity is not None:
            return f"{quantity_rule(option.quantity)}{_sentence(self.text)}"
        if option.choices:
            return f"{one_of(option.choices)}{_sentence(self.text)}"
        limits = option.limit.range_text() if option.limit is not None else ""
        return f"{self.type_name()}{', ' if limits else ''}{limits}{_sentence(self.text)}"

    def type_name(self) -> str:
        """What kind of value it takes, in words."""
        if self.kinds or self.group is not None:
            return "a mapping of keys to values"
        if self.items is not None:
            return f"a list, or a range such as {EXAMPLE}" if self.ranged else "a list"
        if self.option is None:
            return "a text"
        if self.option.choices:
            return one_of(self.option.choices)
        if self.option.quantity is not None:
            return kind_of_quantity(self.option.quantity.unit)
        return _TYPES.get(_plain(self.option.hint), "a value")

    def example(self) -> str:
        """``key: value`` as a scenario could hold it."""
        return f"{self.name}: {self.example_value()}" if self.example_value() else ""

    def example_value(self) -> str:
        """A value that is allowed here, in flow style."""
        if self.kinds:
            kind = self.usual_kind or next(iter(self.kinds))
            return snippet(kind, self.kinds[kind])
        if self.group is not None:
            keys = list(self.below().values())
            needed = [key for key in keys if key.option is not None and key.option.required]
            needed = needed or [key for key in keys if key.option is not None and key.option.quantity][:1] or keys[:1]
            return f"{{{', '.join(key.example() for key in needed)}}}"
        if self.ranged:
            return EXAMPLE
        if self.items is not None:
            default = self.option.shown_default if self.option is not None else ""
            return default if default not in ("", "[]") else f"[{self.items.example_value()}]"
        option = self.option
        if option is None:
            return ""
        return option.example or {int: "1", str: "some-name", bool: "true"}.get(_plain(option.hint), "")


_TYPES: Mapping[Any, str] = {int: "a whole number", str: "a text", bool: "true or false", float: "a number"}


def snippet(kind: str, cls: type) -> str:
    """A kind with what it requires, as a scenario would write it: ``{kind: tsfa, latency_budget: 400 ms}``."""
    needed = [key.example() for key in _keys_of(cls) if key.option is not None and key.option.required]
    return f"{{{', '.join([f'kind: {kind}', *needed])}}}"


def quantity_rule(quantity: Quantity) -> str:
    """``a frequency in Hz, kHz, MHz or GHz, above 0 Hz``; percentages are for shares, which are at most 1."""
    *first, last = symbols(quantity.unit)
    if quantity.unit == "1":
        units = " or a percentage" if min(quantity.le or math.inf, quantity.lt or math.inf) <= 1 else ""
    else:
        units = f" in {', '.join(first)} or {last}" if first else f" in {last}"
    limits = quantity.range_text()
    return f"{kind_of_quantity(quantity.unit)}{units}{', ' if limits else ''}{limits}"


def _sentence(text: str) -> str:
    return f" - {text}" if text else ""


def one_of(words: Sequence[Any]) -> str:
    """``a, b or c``."""
    *first, last = map(str, words)
    return f"{', '.join(first)} or {last}" if first else last


@cache
def root() -> Key:
    """The whole scenario, without its arms."""
    from wfl_sim.scenario import Scenario

    return Key("", group=Scenario)


def find(path: tuple[str, ...], data: Any) -> Key | None:
    """The key at `path` of a document whose kinds are those of `data`; None if there can be no such key."""
    return follow(path, data)[0]


def follow(path: tuple[str, ...], data: Any) -> tuple[Key | None, int | None]:
    """The same key, and how much of `path` leads to the first item of a list that `data` has not, if there is one.

    Where `data` has the list and not the item, there can be no such key.
    """
    key: Key | None = root()
    lacking: int | None = None
    for depth, part in enumerate(path, 1):
        if key is None:
            break
        if key.items is None:
            key = key.below(data).get(part)
            data = data.get(part) if isinstance(data, Mapping) else None
            continue
        number = items.number_of(part, data) if isinstance(data, list) else None
        if number is None or key.ranged:  # a range has no items that are written
            lacking = lacking or depth
        there = number is not None or (part.isdecimal() and not isinstance(data, list))
        key, data = key.items if there else None, None if number is None else data[number]
    return key, lacking


@cache
def everywhere(path: tuple[str, ...]) -> tuple[Key, ...]:
    """What may stand at `path`, whatever kinds there are above it; items of lists go by their numbers."""
    found = [root()]
    for part in path:
        below = []
        for key in found:
            models = key.kinds.values() if key.kinds else [key.group] if key.group is not None else []
            below += [child for model in models for child in _keys_of(model) if child.name == part]
            below += [Key("kind")] if key.kinds and part == "kind" else []
            below += [key.items] if key.items is not None and part.isdecimal() else []
        found = below
    return tuple(found)


def by_kind(path: tuple[str, ...]) -> list[tuple[str, Key]]:
    """The key at `path` in each kind of the key right above it that has it; empty where that has no kinds."""
    return [
        (kind, child)
        for above in everywhere(path[:-1])
        for kind, model in (above.kinds or {}).items()
        for child in _keys_of(model)
        if child.name == path[-1]
    ]


def takes_text(path: tuple[str, ...]) -> bool:
    """Whether any text may stand at `path`, one with commas, too; a kind and a choice are words that are known."""
    return any(key.option is not None and key.type_name() == "a text" for key in everywhere(path))


def aliases(kind: type) -> tuple[str, ...]:
    """Names that a kind has in papers and in arms of scenarios; no scenario may choose it by them."""
    names: tuple[str, ...] = vars(kind).get("aliases", ())  # not those of the class that it is derived from
    return names


def of_noun(name: str) -> Key | None:
    """The key of a noun, also where only some kinds of the key above it have it (``radio.rate.bler``)."""
    key: Key | None = root()
    for part in name.split("."):
        above = key
        key = above.below().get(part) if above is not None else None
        for kind in above.kinds or () if above is not None and key is None else ():
            key = key or above.below({"kind": kind}).get(part) if above is not None else None
    return key


def with_kinds(data: dict[str, Any], key: Key | None = None) -> dict[str, Any]:
    """`data` with the usual kind written where a mapping leaves it out."""
    key = key or root()
    below = key.below(data)
    kind = key.usual_kind
    found = {"kind": kind, **data} if kind is not None else dict(data)
    for name, value in data.items():
        child = below.get(name)
        if isinstance(value, dict) and child is not None and (child.kinds or child.group is not None):
            found[name] = with_kinds(value, child)
    return found


def paths() -> Iterator[tuple[tuple[str, ...], Key]]:
    """All paths to keys, those of every kind included, each once."""
    seen: set[tuple[str, ...]] = set()

    def walk(path: tuple[str, ...], key: Key) -> Iterator[tuple[tuple[str, ...], Key]]:
        models = key.kinds.values() if key.kinds else [key.group] if key.group is not None else []
        children = [Key("kind")] if key.kinds else []
        for child in (*children, *(child for model in models for child in _keys_of(model))):
            place = (*path, child.name)
            if place not in seen:
                seen.add(place)
                yield place, child
            yield from walk(place, child)

    yield from walk((), root())


@cache
def _keys_of(model: type) -> tuple[Key, ...]:
    return tuple(_key(option) for option in options_of(model))


def _key(option: Option) -> Key:
    return _from_hint(option.key, option, option.hint)


def _from_hint(name: str, option: Option | None, hint: Any) -> Key:
    quantity = next((x for x in getattr(hint, "__metadata__", ()) if isinstance(x, Quantity)), None)
    ranged = any(isinstance(x, Seeds) for x in getattr(hint, "__metadata__", ()))
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        return Key(name, option, items=_from_hint(name, _item(name, item), item), ranged=ranged)
    members = [part for part in _parts(hint) if isinstance(part, type) and is_dataclass(part)]
    if members and quantity is None:
        if "kind" in vars(members[0])["__dataclass_fields__"]:
            return Key(name, option, kinds={kind_of(member): member for member in members})
        return Key(name, option, group=members[0])
    return Key(name, option)


def _parts(hint: Any) -> Iterator[Any]:
    """What a union joins, also one inside ``Annotated``; a hint that is no union is its only part."""
    if get_origin(hint) is Annotated:
        yield from _parts(get_args(hint)[0])
    elif get_origin(hint) in (Union, UnionType):
        for part in get_args(hint):
            yield from _parts(part)
    else:
        yield hint


def _item(name: str, hint: Any) -> Option:
    """A list's item as an option without name of its own."""
    limit = next((x for x in getattr(hint, "__metadata__", ()) if isinstance(x, (Quantity, Whole))), None)
    return Option(name, name, "", hint, limit, get_args(hint) if get_origin(hint) is Literal else (), MISSING)


def _plain(hint: Any) -> Any:
    """The bare type of an annotation: without None, and without what is ``Annotated``."""
    if get_origin(hint) in (Union, UnionType):
        hint = next(part for part in get_args(hint) if part is not type(None))
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint
