"""Checks of methods: what is trained, the regulariser, and the aggregation.

Know the contract and no method; torch is loaded for a regulariser alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import permutations
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

from wfl_sim.checks.contract import HEAD, Contract, drawn, same
from wfl_sim.contracts import Params
from wfl_sim.learning.layouts import layout
from wfl_sim.methods.base import WEIGHTS, Adapter, Arrival, Method, pairs_of
from wfl_sim.methods.h2tune import Triple
from wfl_sim.methods.tensortrain import TensorTrain

Shapes = Mapping[str, tuple[int, ...]]
LAYERS = {"q": (9, 12), "v": (30, 12)}  # outputs and inputs
STAGES = 7  # versions of a run with stages that are looked at
SINGLE = 2.0**-20  # relative: a few roundings to float32


def check_method(method: Method) -> None:
    """Hold a method against `wfl_sim.methods.base`; loads torch where the method has a regulariser."""
    contract = Contract(method, "wfl_sim.methods.base")
    contract.options(5)
    adapter = contract.ask(1, "adapter()", method.adapter)
    known = adapter is None or isinstance(adapter, (Adapter, TensorTrain, Triple))
    contract.holds(1, known, f"adapter() is {adapter!r}, no Adapter or None")
    contract.holds(1, adapter is None or adapter.rank >= 1, f"the rank of {adapter!r} is below 1")
    if (regulariser := contract.ask(2, "regulariser()", method.regulariser)) is not None:
        _check_regulariser(contract, regulariser)

    shapes = dict(layout(adapter, LAYERS, HEAD).shapes)
    served = frozenset() if adapter is None else adapter.served
    whole = {f"{path}.{name}": adapter.shapes(*LAYERS[path])[name] for path in LAYERS for name in served if adapter}
    for name in _check_personal(contract, list(shapes)):
        del shapes[name]
    model, weights = drawn(shapes | whole, 0), (0.4, 0.1, 0.3, 0.2)
    # Two of the changes cancel but for what float32, and another order of sums, would lose beside them.
    large = drawn(shapes, 1, 1e18)
    changes = [large, drawn(shapes, 2), {name: -value for name, value in large.items()}, drawn(shapes, 3)]
    arrivals = [Arrival(client, change, 0.25) for client, change in enumerate(changes)]
    kept_model, kept_changes = copy.deepcopy(model), copy.deepcopy(changes)
    merged = contract.ask(3, "aggregate()", lambda: method.aggregate(model, list(arrivals)))
    contract.holds(3, isinstance(merged, dict), f"aggregate() gives a {type(merged).__name__}, not arrays by name")
    for name, value in model.items():
        got = merged.get(name)
        right = got is not None and got.shape == value.shape and got.dtype == np.float32
        contract.holds(3, right, f"aggregate() gives no float32 array {value.shape} for {name!r}")
        contract.holds(3, np.isfinite(merged[name]).all(), f"aggregate() gives numbers in {name!r} that are not finite")
    contract.holds(3, set(merged) == set(model), f"aggregate() gives {sorted(merged)}, not {sorted(model)}")
    contract.holds(3, same(model, kept_model), "aggregate() changes the model that it is given")
    kept = all(same(change, before) for change, before in zip(changes, kept_changes, strict=True))
    contract.holds(3, kept, "aggregate() changes an arrival")
    for order in permutations(arrivals):
        again = method.aggregate(model, list(order))
        contract.holds(3, same(again, merged), "the result depends on the order of the arrivals, or on earlier calls")
    change = drawn(shapes, 4)
    alone = method.aggregate(model, [Arrival(0, change, 1.0)])
    together = method.aggregate(model, [Arrival(client, change, weight) for client, weight in enumerate(weights)])
    for name, value in alone.items():
        close = np.allclose(together[name], value, rtol=SINGLE, atol=SINGLE)
        contract.holds(4, close, f"four clients that send the same change of {name!r} count for another one than it")
    _check_turn(contract, method, model)
    _check_broadcast(contract, method, model, shapes, [Arrival(k, drawn(shapes, 8 + k), 0.5) for k in (0, 1)])
    _check_stages(contract, method)
    contract.card(5)


def _check_turn(contract: Contract, method: Any, model: Params) -> None:
    """The basis that the method chooses leaves the model as it is."""
    if not hasattr(method, "turn"):
        return
    maps = contract.ask(8, "turn()", lambda: method.turn(model))
    pairs = pairs_of(model)
    contract.holds(8, isinstance(maps, dict), f"turn() gives a {type(maps).__name__}, not maps by the name of A")
    ranks = {a: model[a].shape[0] for a, _ in pairs}
    for name, value in maps.items():
        square = name in ranks and np.shape(value) == (ranks[name], ranks[name]) and np.isfinite(value).all()
        contract.holds(8, square, f"turn() gives no finite square map for {name!r} of the rank of an A")
        contract.holds(8, np.linalg.matrix_rank(value) == ranks[name], f"the map of {name!r} cannot be undone")
    contract.holds(8, same(maps, method.turn(model)), "turn() gives something else the second time")


def _check_broadcast(
    contract: Contract, method: Any, model: Params, shapes: Shapes, arrivals: Sequence[Arrival]
) -> None:
    """What is broadcast is what `aggregate` does, and no larger than announced."""
    if not hasattr(method, "broadcast"):
        return
    kept = copy.deepcopy(model)
    arrays = contract.ask(10, "broadcast()", lambda: method.broadcast(model, list(arrivals)))
    after = contract.ask(10, "received()", lambda: method.received(model, arrays))
    contract.holds(10, same(model, kept), "broadcast() or received() changes the model that it is given")
    one = same(after, method.aggregate(model, list(arrivals)))
    contract.holds(10, one, "aggregate() is not received() after broadcast()")
    most = contract.ask(10, "broadcast_shapes()", lambda: method.broadcast_shapes(shapes, len(arrivals)))
    values = sum(value.size for value in arrays.values())
    fits = values <= sum(math.prod(shape) for shape in most.values())
    contract.holds(10, fits, f"broadcast() gives {values} values, more than broadcast_shapes() says")


def _check_stages(contract: Contract, method: Any) -> None:
    """Each version trains part of what there is, and leads to the shapes of the next one."""
    if not hasattr(method, "stage"):
        return
    adapter = method.adapter()
    whole = layout(adapter, LAYERS, HEAD, {f"{WEIGHTS}embedding": (5, 4)} if adapter.whole else {})
    served = {f"{path}.{name}": adapter.shapes(*LAYERS[path])[name] for path in LAYERS for name in adapter.served}
    model, notes = drawn(whole.shapes | served, 0), dict[str, float]()
    for version in range(STAGES):
        stage = contract.ask(11, "stage()", partial(method.stage, version, STAGES, notes))
        now = contract.ask(11, "opened()", partial(stage.opened, whole))
        contract.holds(11, now.shapes, f"nothing is open of version {version}")
        unknown = sorted(now.shapes.keys() - whole.shapes.keys())
        contract.holds(11, not unknown, f"opened() names {unknown[:1]}, of which nothing is known")
        for name, shape in now.shapes.items():
            got = model[name].shape
            contract.holds(11, got == shape, f"version {version} has {name!r} of {got}, and opened() says {shape}")
        told = getattr(stage, "told", lambda layout: b"")(whole)
        contract.holds(11, isinstance(told, bytes), f"told() gives a {type(told).__name__}, not bytes")
        arrivals = [Arrival(k, drawn(now.shapes, version + k), 0.5) for k in (0, 1)]
        after = _after_stage(contract, stage, model, now.shapes, arrivals)
        still = [name for name in model if name not in now.shapes and name not in served]
        contract.holds(
            11, same({n: after[n] for n in still}, {n: model[n] for n in still}), "what is closed has changed"
        )
        if hasattr(method, "noted"):
            notes = contract.ask(11, "noted()", partial(method.noted, notes, model, after))
        model = after


def _after_stage(contract: Contract, stage: Any, model: Params, shapes: Shapes, arrivals: Sequence[Arrival]) -> Params:
    """The model that a stage leads to; what it broadcasts for it, if anything, is no larger than announced."""
    arrays: Params | None = None
    if hasattr(stage, "broadcast"):
        arrays = contract.ask(11, "broadcast()", lambda: stage.broadcast(model, list(arrivals)))
        most = contract.ask(11, "broadcast_shapes()", lambda: stage.broadcast_shapes(shapes, len(arrivals)))
        contract.holds(11, arrays is None or most is not None, "broadcast_shapes() gives None, and broadcast() arrays")
        contract.holds(11, arrays is not None or most is None, "broadcast() gives None, and broadcast_shapes() shapes")
        values = sum(value.size for value in (arrays or {}).values())
        fits = values <= sum(math.prod(shape) for shape in (most or {}).values())
        contract.holds(11, fits, f"broadcast() gives {values} values, more than broadcast_shapes() says")
    if arrays is None:
        return contract.ask(11, "aggregate()", lambda: stage.aggregate(model, list(arrivals)))
    return contract.ask(11, "received()", lambda: stage.received(model, arrays))


def _check_personal(contract: Contract, names: list[str]) -> frozenset[str]:
    """What the method leaves with clients, which its aggregation then does not see."""
    if not hasattr(contract.model, "personal"):
        return frozenset()
    own: Any = contract.ask(7, "personal()", lambda: contract.model.personal(list(names)))
    contract.holds(7, isinstance(own, frozenset), f"personal() gives a {type(own).__name__}, not a frozenset of names")
    contract.holds(7, own <= set(names), f"personal() gives {sorted(own - set(names))}, not among {names}")
    again = contract.ask(7, "personal()", lambda: contract.model.personal(names[::-1]))
    contract.holds(7, again == own, "personal() depends on the order of the names, or on earlier calls")
    return frozenset(own)


def _check_regulariser(contract: Contract, regulariser: Callable[[Any, Any], Any]) -> None:
    import torch  # a check of what runs inside local training; nothing else here needs it

    contract.ask(2, "a copy of the regulariser for another process", lambda: ForkingPickler.dumps(regulariser))
    draws = [drawn({"A": (4, 12), "B": (9, 4)}, seed) for seed in (5, 6, 7)]
    a, b = (torch.from_numpy(np.stack([draw[name] for draw in draws])).requires_grad_() for name in ("A", "B"))
    penalties = contract.ask(2, "the regulariser", lambda: regulariser(a, b))
    each = isinstance(penalties, torch.Tensor) and penalties.shape == (3,) and bool(torch.isfinite(penalties).all())
    contract.holds(2, each, f"the regulariser of three clients side by side gives {penalties!r:.60}, not three numbers")
    layers = contract.ask(
        2, "the regulariser of two layers", lambda: regulariser(a.expand(2, *a.shape), b.expand(2, *b.shape))
    )
    contract.holds(
        2, layers.shape == (2, 3), "the regulariser of two layers of three clients gives no two by three numbers"
    )
    for number, penalty in enumerate(penalties.tolist()):
        alone = float(regulariser(a[number], b[number]).detach())
        close = np.isclose(penalty, alone, rtol=SINGLE, atol=SINGLE)
        contract.holds(2, close, f"the regulariser gives a client {penalty:g} beside others, and {alone:g} alone")
    penalty = penalties.sum()
    contract.ask(2, "the regulariser's gradient", penalty.backward)
    gradients = [x.grad for x in (a, b) if x.grad is not None]
    finite = all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
    contract.holds(2, gradients and finite, "the regulariser has no finite gradient with respect to A or B")
