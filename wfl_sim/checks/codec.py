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
from wfl_sim.codecs.base import Codec, Layout, Update, decoded
from wfl_sim.contracts import Params, Payload, PayloadMenu, Point

ROUNDING = 2.0**-7  # of an array's largest value: what a codec of 8 bits or more may round off
# The same for the uploads of one that says `bits` are 8: rounding at random errs by up to a whole step, 1/127 of the
# largest value or, with a scale of 8 significant bits, 1 % more; rounding to the nearest by half of it.
RANDOM_ROUNDING = 2.0**-6
DROPPED = 1e-9  # shares of energy are sums in some order
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
            update = Update(drawn(layout.shapes, 9), change, layout, key=5)
            for point in menu.points:
                _check_payload(contract, codec, update, point)
            _check_changed(contract, codec, update)
            _check_energy(contract, codec, update, len(menu.points))
    share = contract.ask(5, "error_feedback", lambda: float(codec.error_feedback))
    contract.holds(5, 0.0 <= share <= 1.0, f"error_feedback is {share}, not in [0, 1]")
    contract.card(6)
    contract.unread(12)


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
    change = contract.ask(2, "decode()", lambda: decoded(stranger, payload.data, update.layout, update.base))
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
    payload = codec.encode(update, kept)
    bits = payload.bits
    again = codec.encode(update, kept).data
    contract.holds(8, payload.data == again, f"kept fraction {kept:.4g}: the same update gives other bytes next time")
    contract.holds(
        1, bits <= point.bits, f"kept fraction {kept:.4g}: {bits} bits, but the menu says at most {point.bits}"
    )
    _check_kept(contract, codec, update, payload, change)
    rounding = RANDOM_ROUNDING if getattr(codec, "bits", None) == 8 else ROUNDING
    if point.error == 0.0:
        for name, value in update.change.items():
            close = np.abs(change[name] - value).max() <= rounding * np.abs(value).max()
            contract.holds(
                2, close, f"the menu says that kept fraction {kept:.4g} loses nothing, but {name!r} is changed"
            )


def _check_kept(contract: Contract, codec: Codec, update: Update, payload: Payload, change: Params) -> None:
    """Masks of what was carried, if the codec has them, fit the arrays, and there is nothing elsewhere."""
    ask: Any = getattr(codec, "kept", None)
    masks = None if ask is None else contract.ask(9, "kept()", partial(ask, payload.data, update.layout))
    if masks is None:
        return
    contract.holds(9, set(masks) == set(update.layout.shapes), f"kept() has masks of {sorted(masks)}")
    for name, shape in update.layout.shapes.items():
        mask = np.asarray(masks[name])
        contract.holds(9, mask.dtype == np.bool_, f"the mask of {name!r} is of {mask.dtype}, not bool")
        fits = mask.ndim <= len(shape) and all(
            have in (1, want) for have, want in zip(mask.shape[::-1], shape[::-1], strict=False)
        )
        contract.holds(9, fits, f"the mask of {name!r}, {mask.shape}, does not broadcast to {shape}")
        contract.holds(9, not np.any(change[name][~np.broadcast_to(mask, shape)]),
                       f"decode() gives values of {name!r} that kept() says were not carried")  # fmt: skip


def _check_energy(contract: Contract, codec: Codec, update: Update, points: int) -> None:
    """The shares that would be dropped, if the codec has them, belong to the points of the menu."""
    curve, energy = (getattr(codec, name, None) for name in ("curve", "energy"))
    found = None if curve is None else contract.ask(10, "curve()", partial(curve, update))
    if found is not None:
        shares = contract.floats(10, "curve()", lambda: found, (points,))
        inside = shares.min() >= 0.0 and shares.max() <= 1.0 and shares[-1] == 0.0
        contract.holds(10, inside, f"the shares that curve() gives, {shares}, are not in [0, 1] with 0 at the end")
        contract.holds(10, np.all(np.diff(shares) <= DROPPED), f"the shares that curve() gives rise: {shares}")
        contract.holds(10, energy is not None, "there is curve() and no energy()")
    if energy is not None:
        value = contract.ask(10, "energy()", lambda: float(energy(update)))
        contract.holds(10, 0.0 <= value < np.inf, f"energy() is {value}")


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
