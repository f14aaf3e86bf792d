"""Quantities as people write them: ``"3.5 GHz"`` in, SI floats out, and back.

Knows no model: only the table of units and the annotation that says which one a field carries.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from difflib import get_close_matches
from typing import Annotated, Any

# Of what Python and ECMAScript read alike, so that a JSON Schema can hold it; no `\s` or `\d`, which differ there.
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_BLANKS = r"[ \t\n\r\f\v]*"
_TEXT = re.compile(rf"{_BLANKS}({_NUMBER}){_BLANKS}([^ \t\n\r\f\v].*?)?{_BLANKS}")
_MICRO = "\u00b5\u03bc"  # the micro sign and the Greek letter, read as the u of the tables


def _scaled(unit: str, prefixes: str, factor: int = 1) -> dict[str, Decimal]:
    scale = {"": "1", "m": "1e-3", "u": "1e-6", "n": "1e-9", "k": "1e3", "M": "1e6", "G": "1e9"}
    return {p.strip() + unit: Decimal(scale[p.strip()]) * factor for p in (" ", *prefixes)}


def _binary(unit: str, factor: int = 1) -> dict[str, Decimal]:
    return {f"{p}{unit}": Decimal(1024**n) * factor for n, p in enumerate(("Ki", "Mi", "Gi"), start=1)}


# unit of the field -> {accepted symbol: how many of the field's unit it is worth}
UNITS: Mapping[str, Mapping[str, Decimal]] = {
    "Hz": _scaled("Hz", "kMG"),
    "s": _scaled("s", "mun") | {"min": Decimal(60), "h": Decimal(3600)},
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


def _decibels(milliwatts: Decimal) -> Callable[[float], float]:
    """From a power in a unit worth so many milliwatts to dBm."""
    return lambda value: 10.0 * math.log10(value * float(milliwatts))


# Powers may be written in watts where the field holds dBm, and the other way round.
_LOGARITHMIC: Mapping[str, Mapping[str, Callable[[float], float]]] = {
    "dBm": {"dBW": lambda v: v + 30.0, **{symbol: _decibels(watts * 1000) for symbol, watts in UNITS["W"].items()}},
    "W": {"dBm": lambda v: 10.0 ** (v / 10.0 - 3.0), "dBW": lambda v: 10.0 ** (v / 10.0)},
}
# What `render` may choose from; symbols that only `parse` knows (KiB, min, dBW) are left out.
_OUTPUT: Mapping[str, tuple[str, ...]] = {
    "Hz": ("GHz", "MHz", "kHz", "Hz"),
    "s": ("s", "ms", "us", "ns"),
    "m": ("m",),
    "W": ("W", "mW"),
    "bit": ("Gbit", "Mbit", "kbit", "bit"),
    "bit/s": ("Gbit/s", "Mbit/s", "kbit/s", "bit/s"),
    "FLOP": ("GFLOP", "MFLOP", "FLOP"),
    "FLOP/s": ("GFLOP/s", "MFLOP/s", "FLOP/s"),
}
_TINY: Mapping[str, float] = {"Hz": 1.0, "bit": 1.0, "FLOP": 1.0, "FLOP/s": 1e3}  # the same at the lower end
_HUGE = 1e4  # from here on an upper bound only keeps numbers in reason, and is told to those who break it
_LONGEST_QUOTE = 60
_CALLED: Mapping[str, str] = {
    "Hz": "a frequency", "s": "a time", "m": "a length", "m/s": "a speed", "W": "a power", "J": "an energy",
    "dB": "a ratio in decibels", "dBm": "a power", "dBm/Hz": "a power density", "bit": "a size",
    "bit/s": "a bit rate", "FLOP": "an amount of work", "FLOP/s": "a speed of computing", "1": "a number",
}  # fmt: skip
# What people write for a symbol of ours, in small letters.
_MEANT: Mapping[str, str] = {
    "kmh": "km/h", "kph": "km/h", "mps": "m/s", "bps": "bit/s", "kbps": "kbit/s", "mbps": "Mbit/s", "gbps": "Gbit/s",
    "bits": "bit", "byte": "B", "bytes": "B", "sec": "s", "seconds": "s", "percent": "%", "meter": "m",
    "flops": "FLOP/s", "mflops": "MFLOP/s", "gflops": "GFLOP/s",
}  # fmt: skip
_EXAMPLES: Mapping[str, str] = {
    "Hz": "3.5 GHz", "s": "400 ms", "m": "50 m", "m/s": "30 km/h", "W": "2 W", "J": "5 J", "dB": "6 dB",
    "dBm": "23 dBm", "dBm/Hz": "-174 dBm/Hz", "bit": "1500 B", "bit/s": "2 Mbit/s", "FLOP": "20 GFLOP",
    "FLOP/s": "50 GFLOP/s", "1": "1 %",
}  # fmt: skip


class QuantityError(ValueError):
    """A text that is no quantity of the wanted kind. ``args`` = (message, unit wanted, nearest symbol or '')."""

    def __str__(self) -> str:
        message, unit, near = self.args
        hint = f"did you mean {near!r}? " if near else ""
        return f"{message}; {hint}accepted: {', '.join(symbols(unit))}, for example {_EXAMPLES[unit]!r}"


def symbols(unit: str) -> tuple[str, ...]:
    """What may stand behind the number of a quantity in `unit`."""
    return (*UNITS[unit], *_LOGARITHMIC.get(unit, {}))


def pattern(unit: str) -> str:
    """A regular expression of ECMAScript that finds the texts which `parse` reads, numbers out of range included."""
    units = "|".join(re.sub("^u", f"[u{_MICRO}]", re.escape(symbol)) for symbol in symbols(unit))
    return rf"^{_BLANKS}{_NUMBER}{_BLANKS}(?:{units}){'?' if unit == '1' else ''}{_BLANKS}$"


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
    QuantityError
        Unit missing or of another kind, or no number: says what was got, what is accepted, and an example.
    """
    match = None if isinstance(text, bool) or not isinstance(text, (str, int, float)) else _TEXT.fullmatch(str(text))
    if match is None:
        raise QuantityError(f"needs {kind_of_quantity(unit)}; got {shown(text)}", unit, "")
    number = Decimal(match[1])
    symbol: str | None = match[2] and re.sub(f"^[{_MICRO}]", "u", match[2])
    if symbol is not None and symbol[0] in ",.0123456789":  # 3,5 GHz
        comma = text.replace(",", ".") if isinstance(text, str) and "." not in text and text.count(",") == 1 else ""
        raise QuantityError(f"needs {kind_of_quantity(unit)}; got {shown(text)}", unit, comma)
    if symbol is None and unit != "1":
        raise QuantityError(f"needs a unit; got the bare number {match[1]}", unit, "")
    if symbol is not None and symbol not in symbols(unit):
        near = _nearest_symbol(symbol, unit)
        raise QuantityError(f"needs {kind_of_quantity(unit)}; {shown(symbol)} is no unit of that", unit, near)
    try:
        if symbol is not None and symbol in _LOGARITHMIC.get(unit, {}):
            return _LOGARITHMIC[unit][symbol](float(number))
        return float(number * UNITS[unit][symbol]) if symbol else float(number)
    except ArithmeticError:
        raise QuantityError(f"is beyond the range of numbers; got {shown(text)}", unit, "") from None
    except ValueError:
        raise QuantityError(
            f"must be above 0 {symbol}, or it has no value in {unit}; got {shown(text)}", unit, ""
        ) from None


def kind_of_quantity(unit: str) -> str:
    """What a quantity in `unit` is called: ``a frequency``."""
    return _CALLED[unit]


def shown(value: object) -> str:
    """A value as an error message quotes it: on one line, printable, and not endless."""
    if value is None or isinstance(value, bool):  # as YAML says them
        return "nothing" if value is None else str(value).lower()
    text = repr(value)
    text = text if text.isprintable() else ascii(value)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[: _LONGEST_QUOTE - 4]} ..."


def example(quantity: Quantity) -> str:
    """A quantity that `quantity` allows, as a scenario would write it."""
    pure = "2" if quantity.lt == quantity.le else "0.5"
    text = quantity.example or (pure if quantity.unit == "1" else _EXAMPLES[quantity.unit])
    bounds = [bound for bound in (quantity.ge, quantity.le, quantity.gt, quantity.lt) if bound is not None]
    others = (render(x, quantity.unit) for x in (*bounds, sum(bounds) / 2, *(2 * b for b in bounds)))
    return next(str(shot).removesuffix(".0") for shot in (text, *others) if _allows(quantity, shot))


def _allows(quantity: Quantity, text: str | float) -> bool:
    try:
        quantity.read(text)
    except ValueError:
        return False
    return True


def _nearest_symbol(symbol: str, unit: str) -> str:
    """The symbol that was probably meant, or ''. Between bit and B there is no guessing."""
    known = symbols(unit)
    if unit == "bit" and symbol.lower() in ("b", "kb", "mb", "gb"):
        return ""
    meant = _MEANT.get(symbol.lower(), symbol)
    same = [s for s in known if s.lower() == meant.lower()]
    near = same or get_close_matches(meant, known, n=1)
    return near[0] if near else ""


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


_SIZE = re.compile(r"\b([0-9][0-9.]*(?:[eE][+-]?[0-9]+)?) ([kMG]?bit)\b(?!/)")
# Kinds of units of sizes, each from the largest; of a symbol that is of two kinds, the first.
_SIZES = tuple(tuple(f"{p}{unit}" for p in prefixes) for prefixes in (("G", "M", "k", ""), ("Gi", "Mi", "Ki", ""))
               for unit in ("bit", "B"))  # fmt: skip


def like(text: str, written: str) -> str:
    """`text` with its sizes in units of the kind in which one was `written`: bytes for ``40 MB``, 1024s for ``1 MiB``.

    Powers of 1024 are rounded to three digits more than there were.
    """
    match = _TEXT.fullmatch(written)
    kind = next((symbols for symbols in _SIZES if match and match[2] in symbols), _SIZES[0])
    scale = UNITS["bit"]

    def size(found: re.Match[str]) -> str:
        number = Decimal(found[1])
        bits = number * scale[found[2]]
        symbol = next((symbol for symbol in kind if bits >= scale[symbol]), kind[-1])
        value = bits / scale[symbol]
        if symbol[1:2] == "i":
            value = +value.normalize(Context(prec=len(number.as_tuple().digits) + 3))
        return f"{_plain(value)} {symbol}"

    return _SIZE.sub(size, text) if kind is not _SIZES[0] else text


def rendered(value: float, unit: str) -> str:
    """`render` as a text for people: a whole number as such, ``70`` and not ``70.0``."""
    return str(render(value, unit)).removesuffix(".0")


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}" if abs(number.adjusted()) < 12 else str(number)


@dataclass(frozen=True)
class Quantity:
    """What a float field holds: its unit and its range. Used as ``Annotated[float, Quantity("Hz", gt=0)]``.

    Bounds are in `unit`: ``gt``/``lt`` exclusive, ``ge``/``le`` inclusive. NaN is always refused. `example` is a
    typical value with its unit, where that of the unit's table would not do.
    """

    unit: str = "1"
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    example: str = ""

    def range_text(self) -> str:
        """The allowed range in words, empty if any number will do; bounds that only keep numbers in reason left out."""
        return " and ".join(filter(None, (self._low(), self._high())))

    def check(self, value: float, written: str = "") -> float:
        """`value` itself, or a ValueError that says the bound that it breaks, and what was `written`."""
        if not math.isfinite(value):
            allowed = f"finite and {self.range_text()}" if self.range_text() else "finite"
        elif (self.gt is not None and value <= self.gt) or (self.ge is not None and value < self.ge):
            allowed = self.range_text() if value <= 0.0 or not self._is_tiny else self._low(exact=True)
        elif (self.lt is not None and value >= self.lt) or (self.le is not None and value > self.le):
            allowed = self.range_text() if self._high() else self._high(exact=True)
        else:
            return value
        raise ValueError(f"must be {allowed}; got {written or rendered(value, self.unit)}")

    @property
    def _is_tiny(self) -> bool:
        """Whether the lower bound is there only to keep numbers in reason."""
        return self.ge is not None and 0.0 < self.ge <= _TINY.get(self.unit, 1e-3)

    def _low(self, *, exact: bool = False) -> str:
        if self.gt is not None or (self._is_tiny and not exact):
            return f"above {rendered(self.gt or 0.0, self.unit)}"
        return f"at least {rendered(self.ge, self.unit)}" if self.ge is not None else ""

    def _high(self, *, exact: bool = False) -> str:
        if self.lt is not None:
            return f"below {rendered(self.lt, self.unit)}"
        if self.le is None or (self.le >= _HUGE and not exact):
            return ""
        return f"at most {rendered(self.le, self.unit)}"

    def read(self, text: str | float) -> float:
        """Parse, then check."""
        return self.check(parse(text, self.unit), shown(text).strip("' ") if isinstance(text, str) else "")

    # pydantic asks an annotation for its schema by this name. A schema is a plain dict, so this
    # package needs no pydantic to be usable from a scenario.
    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        read = {"type": "no-info", "function": self.read}
        return {"type": "function-plain", "function": read}


# Far wider than any link or device, and narrow enough that no product or power of such values leaves the floats.
Hertz = Annotated[float, Quantity("Hz", ge=1, le=1e13)]
Seconds = Annotated[float, Quantity("s", ge=1e-6, le=1e9)]
Delay = Annotated[float, Quantity("s", ge=0, le=1e9)]
Metres = Annotated[float, Quantity("m", ge=1e-3, le=1e8)]
Speed = Annotated[float, Quantity("m/s", ge=0, le=1e4)]
Watts = Annotated[float, Quantity("W", ge=0, le=1e6)]
Decibels = Annotated[float, Quantity("dB", ge=-200, le=200)]
PositiveDecibels = Annotated[float, Quantity("dB", ge=0, le=60)]
DecibelMilliwatts = Annotated[float, Quantity("dBm", ge=-150, le=150)]
Bits = Annotated[float, Quantity("bit", ge=1, le=1e12)]
Memory = Annotated[float, Quantity("bit", ge=8, le=1e15, example="256 MiB")]
Flop = Annotated[float, Quantity("FLOP", ge=1, le=1e21)]
FlopRate = Annotated[float, Quantity("FLOP/s", ge=1e3, le=1e21)]
Number = Annotated[float, Quantity("1", ge=-1e9, le=1e9)]
Positive = Annotated[float, Quantity("1", gt=0, le=1e6)]
NonNegative = Annotated[float, Quantity("1", ge=0, le=1e6)]
Probability = Annotated[float, Quantity("1", ge=0, le=1)]
Fraction = Annotated[float, Quantity("1", ge=1e-4, le=1)]
