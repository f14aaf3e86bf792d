"""Checks of codecs: what arrives, what it costs, and what the menu promised.

Know the contract and no codec.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from wfl_sim.checks.contract import HEAD, LORA, Contract, drawn, same
from wfl_sim.codecs.base import Codec, Layout, Update
from wfl_sim.contracts import Params, Payload, PayloadMenu, Point

ROUNDING = 2.0**-7  # of an array's largest value: what a codec of 8 bits or more may round off
_LAYOUTS = (
    Layout((("q.A", "q.B"), ("v.A", "v.B")), tuple(HEAD), {**HEAD, **LORA}),
    Layout((), tuple(HEAD), dict(HEAD)),  # the head alone
)


def check_codec(codec: Codec) -> None:
    """Hold a codec against `wfl_sim.codecs.base`, on LoRA pairs with a head and on a head alone."""
    contract = Contract(codec, "wfl_sim.codecs.base")
    contract.options(6)
    for layout in _LAYOUTS:
        menu = contract.ask(1, "menu()", partial(codec.menu, layout))
        contract.holds(1, isinstance(menu, PayloadMenu), f"menu() is {menu!r:.60}, not a PayloadMenu")
        kept = [point.kept_fraction for point in menu.points]
        rising = kept == sorted(set(kept)) and kept[0] > 0.0 and abs(kept[-1] - 1.0) < 1e-9
        contract.holds(1, rising, f"kept fractions {kept} do not rise within (0, 1] up to 1")
        errors = [point.error for point in menu.points]
        contract.holds(1, min(errors) >= 0.0 and max(errors) <= 1.0, f"error estimates {errors} are not in [0, 1]")
        # Normal draws; some zeros; one value that dwarfs the rest; nothing at all.
        changes = [drawn(layout.shapes, 1, 1e-2), drawn(layout.shapes, 2), drawn(layout.shapes, 3), {}]
        changes[1] = {name: np.where(np.abs(x) < 0.5, np.float32(0), x) for name, x in changes[1].items()}
        changes[2]["head.bias"][0] = 1e4
        changes[3] = {name: np.zeros(shape, dtype=np.float32) for name, shape in layout.shapes.items()}
        for change in changes:
            update = Update(drawn(layout.shapes, 9), change, layout)
            for point in menu.points:
                _check_payload(contract, codec, update, point)
            _check_changed(contract, codec, update)
    share = contract.ask(5, "error_feedback", lambda: float(codec.error_feedback))
    contract.holds(5, 0.0 <= share <= 1.0, f"error_feedback is {share}, not in [0, 1]")
    contract.card(6)


def _decoded(contract: Contract, clause: int, codec: Codec, update: Update, encode: Callable[[], Payload]) -> Params:
    """The change that arrives, having looked at the payload on the way."""
    before = copy.deepcopy((update.base, update.change))
    payload = contract.ask(clause, "encoding", encode)
    contract.holds(
        3, isinstance(payload.data, bytes), f"the payload's data are {type(payload.data).__name__}, not bytes"
    )
    right: Any = payload.bits == 8 * len(payload.data)
    contract.holds(3, right, f"a payload of {len(payload.data)} bytes is charged {payload.bits} bits")
    contract.holds(2, same(update.base, before[0]) and same(update.change, before[1]), "encoding changes the update")
    stranger = replace(codec)  # type: ignore[type-var]  # a codec is a dataclass; the protocol cannot say so
    change = contract.ask(2, "decode()", lambda: stranger.decode(payload.data, update.layout))
    contract.holds(2, isinstance(change, dict), f"decode() gives a {type(change).__name__}, not arrays by name")
    for name, shape in update.layout.shapes.items():
        got: Any = change.get(name)
        right = got is not None and got.shape == shape and got.dtype == np.float32 and np.isfinite(got).all()
        contract.holds(2, right, f"decode() gives no finite float32 array {shape} for {name!r}")
    contract.holds(2, set(change) == set(update.layout.shapes), f"decode() makes up {sorted(change)}")
    return change


def _check_payload(contract: Contract, codec: Codec, update: Update, point: Point) -> None:
    kept = point.kept_fraction
    change = _decoded(contract, 2, codec, update, lambda: codec.encode(update, kept))
    bits = codec.encode(update, kept).bits
    contract.holds(
        1, bits <= point.bits, f"kept fraction {kept:.4g}: {bits} bits, but the menu says at most {point.bits}"
    )
    if point.error == 0.0:
        for name, value in update.change.items():
            close = np.abs(change[name] - value).max() <= ROUNDING * np.abs(value).max()
            contract.holds(
                2, close, f"the menu says that kept fraction {kept:.4g} loses nothing, but {name!r} is changed"
            )


def _check_changed(contract: Contract, codec: Codec, update: Update) -> None:
    # Values of one size and zeros between them: no rounding can turn one into the other.
    even = {
        name: np.where(value == 0, np.float32(0), np.copysign(np.float32(0.75) + np.abs(np.tanh(value)) / 4, value))
        for name, value in update.change.items()
    }
    sparse = Update(update.base, even, update.layout)
    change = _decoded(contract, 4, codec, sparse, lambda: codec.encode_changed(sparse))
    for name, value in even.items():
        contract.holds(4, np.array_equal(change[name] != 0, value != 0),
                       f"encode_changed() drops a value of {name!r} that is not 0, or makes one up")  # fmt: skip
        close = np.abs(change[name] - value).max() <= ROUNDING * np.abs(value).max()
        contract.holds(4, close, f"encode_changed() changes values of {name!r} by more than rounding")
