"""Quantities as people write them: ``"3.5 GHz"`` in, SI floats out, and back.

Knows no model: only the table of units and the annotation that says which one a field carries.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

_TEXT = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S.*?)?\s*")


def _scaled(unit: str, prefixes: str, factor: int = 1) -> dict[str, Decimal]:
    scale = {"": "1", "m": "1e-3", "u": "1e-6", "µ": "1e-6", "n": "1e-9", "k": "1e3", "M": "1e6", "G": "1e9"}
    return {p.strip() + unit: Decimal(scale[p.strip()]) * factor for p in (" ", *prefixes)}


def _binary(unit: str, factor: int = 1) -> dict[str, Decimal]:
    return {f"{p}{unit}": Decimal(1024**n) * factor for n, p in enumerate(("Ki", "Mi", "Gi"), start=1)}


# unit of the field -> {accepted symbol: how many of the field's unit it is worth}
UNITS: Mapping[str, Mapping[str, Decimal]] = {
    "Hz": _scaled("Hz", "kMG"),
    "s": _scaled("s", "muµn") | {"min": Decimal(60), "h": Decimal(3600)},
    "m": _scaled("m", "mk") | {"cm": Decimal("0.01")},
    "m/s": {"m/s": Decimal(1), "km/h": Decimal(1000) / Decimal(3600)},
    "W": _scaled("W", "muk"),
    "J": _scaled("J", "mukM"),
    "dB": {"dB": Decimal(1), "dBi": Decimal(1)},
    "dBm": {"dBm": Decimal(1)},
    "dBm/Hz": {"dBm/Hz": Decimal(1)},
    "bit": _scaled("bit", "kMG") | _binary("bit") | _scaled("B", "kMG", 8) | _binary("B", 8),
    "bit/s": _scaled("bit/s", "kMG"),
    "FLOP": _scaled("FLOP", "kMG"),
    "FLOP/s": _scaled("FLOP/s", "kMG"),
    "1": {"%": Decimal("0.01")},
}

# Powers may be written in watts where the field holds dBm, and the other way round.
_LOGARITHMIC: Mapping[str, Mapping[str, Callable[[float], float]]] = {
    "dBm": {
        "dBW": lambda v: v + 30.0,
        "W": lambda v: 10.0 * math.log10(v * 1e3),
        "mW": lambda v: 10.0 * math.log10(v),
    },
    "W": {"dBm": lambda v: 10.0 ** (v / 10.0 - 3.0), "dBW": lambda v: 10.0 ** (v / 10.0)},
}
# What `render` may choose from; symbols that only `parse` knows (KiB, min, dBW) are left out.
_OUTPUT: Mapping[str, tuple[str, ...]] = {
    "Hz": ("GHz", "MHz", "kHz", "Hz"),
    "s": ("s", "ms", "us"),
    "m": ("m",),
    "W": ("W", "mW"),
    "bit": ("Gbit", "Mbit", "kbit", "bit"),
    "bit/s": ("Gbit/s", "Mbit/s", "kbit/s", "bit/s"),
    "FLOP": ("GFLOP", "MFLOP", "FLOP"),
    "FLOP/s": ("GFLOP/s", "MFLOP/s", "FLOP/s"),
}
_EXAMPLES: Mapping[str, str] = {
    "Hz": "3.5 GHz", "s": "400 ms", "m": "50 m", "m/s": "30 km/h", "W": "2 W", "J": "5 J", "dB": "6 dB",
    "dBm": "23 dBm", "dBm/Hz": "-174 dBm/Hz", "bit": "1500 B", "bit/s": "2 Mbit/s", "FLOP": "20 GFLOP",
    "FLOP/s": "50 GFLOP/s", "1": "1 %",
}  # fmt: skip


def parse(text: str | float, unit: str) -> float:
    """Read a quantity.

    Parameters
    ----------
    text : str or float
        ``"1.5 MHz"``; a bare number only where `unit` is ``"1"`` (a pure number).
    unit : str
        The unit of the result, a key of `UNITS`.

    Raises
    ------
    ValueError
        Unit missing or of another kind, or no number: says what was got, what is accepted, and an example.
    """
    example = f'for example "{_EXAMPLES[unit]}"'
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        raise ValueError(f"needs a quantity, {example}; got {text!r}")
    match = _TEXT.fullmatch(str(text))
    if match is None:
        raise ValueError(f"is not a number with a unit: {text!r}; {example}")
    number, symbol = Decimal(match[1]), match[2]
    if symbol is None:
        if unit == "1":
            return float(number)
        raise ValueError(f"needs a unit, {example}; got the bare number {match[1]}")
    if symbol in UNITS[unit]:
        return float(number * UNITS[unit][symbol])
    if symbol in _LOGARITHMIC.get(unit, {}):
        try:
            return _LOGARITHMIC[unit][symbol](float(number))
        except ValueError:
            raise ValueError(f"{text!r} has no value in {unit}: a power must be above 0 {symbol}") from None
    accepted = ", ".join([*UNITS[unit], *_LOGARITHMIC.get(unit, {})])
    raise ValueError(f"has the unit {symbol!r}; accepted here: {accepted}; {example}")


def render(value: float, unit: str) -> str | float:
    """Write `value` (in `unit`) so that `parse` gives it back exactly; a pure number stays a number."""
    if unit == "1" or not math.isfinite(value):
        return value
    exact = Decimal(repr(float(value)))
    symbol = unit
    for candidate in _OUTPUT.get(unit, (unit,)):
        if abs(exact) >= UNITS[unit][candidate] > 0:
            symbol = candidate
            break
    text = f"{_plain(exact / UNITS[unit][symbol])} {symbol}"
    if unit == "m/s" and len(text) > len("1234 m/s") and math.isfinite(value * 3.6):
        # 30 km/h is 8.333333333333334 m/s: take the first rounding that leads back to this float
        for digits in range(1, 16):
            kmh = f"{_plain(Decimal(f'{value * 3.6:.{digits}g}'))} km/h"
            if len(kmh) < len(text) and parse(kmh, unit) == value:
                return kmh
    return text


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}" if abs(number.adjusted()) < 12 else str(number)


@dataclass(frozen=True)
class Quantity:
    """What a float field holds: its unit and its range. Used as ``Annotated[float, Quantity("Hz", gt=0)]``.

    Bounds are in `unit`: ``gt``/``lt`` exclusive, ``ge``/``le`` inclusive. NaN is always refused.
    """

    unit: str = "1"
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None

    def range_text(self) -> str:
        """The allowed range in words, empty if any number will do."""
        words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
        return " and ".join(
            f"{word} {render(bound, self.unit)}"
            for name, word in words.items()
            if (bound := getattr(self, name)) is not None
        )

    def check(self, value: float) -> float:
        """`value` itself, or a ValueError that says the range."""
        ok = (
            math.isfinite(value)
            and (self.gt is None or value > self.gt)
            and (self.ge is None or value >= self.ge)
            and (self.lt is None or value < self.lt)
            and (self.le is None or value <= self.le)
        )
        if not ok:
            raise ValueError(f"must be {self.range_text() or 'finite'}; got {render(value, self.unit)}")
        return value

    def read(self, text: str | float) -> float:
        """Parse, then check."""
        return self.check(parse(text, self.unit))

    # pydantic asks an annotation for its schema by these two names. A schema is a plain dict, so this
    # package needs no pydantic to be usable from a scenario.
    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        read = {"type": "no-info", "function": self.read}
        return {"type": "function-plain", "function": read}

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        if self.unit == "1":
            return {"type": ["number", "string"]}
        return {"type": "string", "examples": [_EXAMPLES[self.unit]]}


Hertz = Annotated[float, Quantity("Hz", gt=0)]
Seconds = Annotated[float, Quantity("s", gt=0)]
Delay = Annotated[float, Quantity("s", ge=0)]
Metres = Annotated[float, Quantity("m", gt=0)]
Speed = Annotated[float, Quantity("m/s", ge=0)]
Watts = Annotated[float, Quantity("W", ge=0)]
Decibels = Annotated[float, Quantity("dB")]
PositiveDecibels = Annotated[float, Quantity("dB", ge=0)]
DecibelMilliwatts = Annotated[float, Quantity("dBm")]
Bits = Annotated[float, Quantity("bit", gt=0)]
Flop = Annotated[float, Quantity("FLOP", gt=0)]
FlopRate = Annotated[float, Quantity("FLOP/s", gt=0)]
Number = Annotated[float, Quantity("1")]
Positive = Annotated[float, Quantity("1", gt=0)]
NonNegative = Annotated[float, Quantity("1", ge=0)]
Probability = Annotated[float, Quantity("1", ge=0, le=1)]
Fraction = Annotated[float, Quantity("1", gt=0, le=1)]
