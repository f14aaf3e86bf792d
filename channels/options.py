"""The base of every model: a frozen dataclass whose fields are its options, checked when it is built.

Knows nothing of what a model computes; a scenario file and a Python call pass through the same checks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from channels.units import Quantity, shown

_HUGE = 10**4  # from here on an upper bound only keeps numbers in reason, and is told to those who break it


@dataclass(frozen=True)
class Whole:
    """The range of a whole-number option, used as ``Annotated[int, Whole(ge=1)]``; both bounds inclusive."""

    ge: int | None = None
    le: int | None = None

    def range_text(self) -> str:
        """The allowed range in words, empty if any whole number will do."""
        if self.ge == self.le and self.ge is not None:
            return str(self.ge)
        low = f"at least {self.ge}" if self.ge is not None else ""
        high = f"at most {self.le}" if self.le is not None and self.le < _HUGE else ""
        return " and ".join(filter(None, (low, high)))

    def check(self, value: int) -> int:
        """`value` itself, or a ValueError that says the range."""
        if self.le is not None and value > self.le:
            raise ValueError(
                f"must be {self.range_text() if self.le < _HUGE else f'at most {self.le}'}; got {shown(value)}"
            )
        if self.ge is not None and value < self.ge:
            raise ValueError(f"must be {self.range_text()}; got {shown(value)}")
        return value


class OneOf:
    """Marks an option that takes one of several models, told apart by ``kind``: ``Annotated[A | B, OneOf()]``."""

    # pydantic asks an annotation for its schema by this name; see `Quantity`.
    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        models = {cls.__dataclass_fields__["kind"].default: handler.generate_schema(cls) for cls in get_args(source)}
        return {"type": "tagged-union", "choices": models, "discriminator": "kind"}


Count = Annotated[int, Whole(ge=1, le=10**6)]


class OptionError(ValueError):
    """An option outside its range. ``args`` = (model, option, message), so that it survives re-raising."""

    def __str__(self) -> str:
        model, option, message = self.args
        return f"{model}.{option}: {message}"


def limits(cls: type) -> dict[str, Quantity | Whole]:
    """The fields of `cls` that are annotated with a `Quantity` or a `Whole`, also beside None."""
    found: dict[str, Quantity | Whole] = {}
    for name, hint in type_hints(cls).items():
        for part in (hint, *get_args(hint)) if get_origin(hint) in (Union, UnionType) else (hint,):
            if get_origin(part) is Annotated:
                found.update((name, extra) for extra in part.__metadata__ if isinstance(extra, (Quantity, Whole)))
    return found


def quantities(cls: type) -> dict[str, Quantity]:
    """The fields of `cls` that hold a quantity."""
    return {name: limit for name, limit in limits(cls).items() if isinstance(limit, Quantity)}


def choices(cls: type) -> dict[str, tuple[Any, ...]]:
    """The fields of `cls` that take one of a few words, and the words."""
    return {name: get_args(hint) for name, hint in type_hints(cls).items() if get_origin(hint) is Literal}


@cache  # resolving annotations takes longer than all the checks
def type_hints(cls: type) -> dict[str, Any]:
    """The annotations of the fields of `cls`, with what is ``Annotated``."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in fields(cls)}


def option_name(field: str) -> str:
    """The key that a scenario uses for `field`: the same without its unit (``carrier_hz`` -> ``carrier``)."""
    for suffix in ("_hz", "_s", "_m", "_mps", "_w", "_j", "_db", "_dbm", "_dbi", "_bits", "_flop", "_flops"):
        if field.endswith(suffix) and len(field) > len(suffix):
            return field.removesuffix(suffix)
    return field


@dataclass(frozen=True)
class Options:
    """Base of all models. A subclass that adds a check of its own calls ``super().__post_init__()`` first."""

    def __post_init__(self) -> None:
        cls: type = type(self)
        for name, limit in limits(cls).items():
            value = getattr(self, name)
            if value is None:
                continue
            try:
                limit.check(value)
            except (ValueError, TypeError) as error:
                raise OptionError(cls.__name__, name, str(error)) from None
        for name, allowed in choices(cls).items():
            if getattr(self, name) not in allowed:
                message = f"must be one of {', '.join(map(str, allowed))}; got {getattr(self, name)!r}"
                raise OptionError(cls.__name__, name, message)
