"""How much a client calculates in its local training: a closed form, from the sizes of model, adapters and batch.

Knows neither tensors nor devices; `wfl_sim.learning.flops` counts the same from the real model. Both count matrix
products alone, a multiplication and an addition as two operations. Forward: patches of an image, projections,
attention scores and sums, feed-forward layers, adapters, and the task head, or in language modelling the output
matrix. Backward: one more product for each factor of a product that needs a gradient. Frozen weights need none, and
nothing does below the lowest adapter. Lookups, norms, softmax, activations and the optimiser's steps are left out:
they are a few operations a number, not hundreds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from wfl_sim import groups
from wfl_sim.learning.data import data_set
from wfl_sim.learning.examples import TaskKind
from wfl_sim.learning.sources import ModelInfo, model_info
from wfl_sim.methods.base import AnyAdapter, Role
from wfl_sim.methods.tensortrain import head_products

if TYPE_CHECKING:
    from wfl_sim.devices import Compute
    from wfl_sim.scenario import Scenario

# Kinds of models whose query, key and value are one projection, and if they are gated, both ways up another.
FUSED = frozenset(("gpt2", "gpt_neox", "phi3"))
_MOST = 10**8  # of a number in `config.json` that is believed


@dataclass(frozen=True)
class Sizes:
    """What of a model the count depends on; `tokens` are those of an example.

    `attended` and `kept` are the widths of queries, and of keys and values. In a `gated` feed-forward part two layers
    lead up, of which the role ``up`` means both. `patches` of `patch` numbers each are what an image is cut into.
    """

    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    tokens: float
    attended: int
    kept: int
    gated: bool = False
    fused: bool = False
    patches: int = 0
    patch: int = 0


def sizes_of(info: ModelInfo, layers: int, kind: TaskKind, tokens: float) -> Sizes:
    """The sizes of a model cut to `layers`, from its `config.json`; those of an image say how many tokens it has."""
    config = _config(info)
    heads = _whole(config, 1, "num_attention_heads", "n_heads", "n_head")
    head = _whole(config, max(1, info.hidden // heads), "head_dim")
    groups = _whole(config, heads, "num_key_value_heads")
    patches = patch = 0
    if kind == "image":
        sides, cuts = _pair(config, "image_size", 224), _pair(config, "patch_size", 16)
        patches = max(1, sides[0] // cuts[0]) * max(1, sides[1] // cuts[1])
        patch = cuts[0] * cuts[1] * _whole(config, 3, "num_channels")
        tokens = patches + 1.0  # and the class token
    return Sizes(
        layers=layers,
        hidden=info.hidden,
        intermediate=info.intermediate,
        vocabulary=info.vocabulary,
        tokens=tokens,
        attended=heads * head,
        kept=groups * head,
        gated="rms_norm_eps" in config,  # Llama and its kin have both
        fused=config.get("model_type") in FUSED,
        patches=patches,
        patch=patch,
    )


class Flop(NamedTuple):
    """Operations, forward and backward."""

    forward: float = 0.0
    backward: float = 0.0

    @property
    def both(self) -> float:
        """Forward and backward."""
        return self.forward + self.backward

    def plus(self, *others: Flop) -> Flop:
        """All together."""
        return Flop(*(sum(part) for part in zip(self, *others, strict=True)))


def forward_flop(sizes: Sizes) -> float:
    """Operations of a forward pass of one example through the layers, without head."""
    return Flop().plus(*_backbone(sizes, 1.0, None)[0]).both


def step_flop(sizes: Sizes, kind: TaskKind, adapter: AnyAdapter | None, batch: int, classes: int) -> float:
    """Operations of one step of local training, forward and backward.

    Without adapters the frozen layers are passed forward all the same: that the simulator works their answers out but
    once changes nothing for the client.
    """
    before, *layers, head = step_parts(sizes, kind, adapter, batch, classes)
    return before.plus(*layers, head).both


def step_parts(sizes: Sizes, kind: TaskKind, adapter: AnyAdapter | None, batch: int, classes: int) -> list[Flop]:
    """The same part by part: what comes before the layers, each layer, and the head."""
    parts, needed = _backbone(sizes, float(batch), adapter)
    if kind != "language":
        head = _product(batch, sizes.hidden, classes, needed, True)
        if adapter is not None and adapter.classifier is not None:
            hidden_layer = head_products(batch, sizes.hidden, adapter.classifier)
            head = head.plus(*(_product(*product) for product in hidden_layer))
        return [*parts, head]
    predicted = batch * (sizes.tokens - 1.0)  # each token but the first
    # The norm before it is trained.
    return [*parts, _product(predicted, sizes.hidden, sizes.vocabulary, True)]


def round_flop(scenario: Scenario) -> float:
    """Operations of a round's local training of a client that has a full batch.

    Raises
    ------
    MissingResource
        The model's ``config.json`` is not on this computer, or the data set is not known.
    """
    learning = scenario.learning
    info, found = model_info(learning.model.name), data_set(learning.data.name)
    kind: TaskKind = getattr(found, "task", "text")
    sizes = sizes_of(info, learning.model.layers or info.layers, kind, float(learning.data.max_tokens))
    one = step_flop(sizes, kind, scenario.method.adapter(), learning.local.batch, len(found.classes))
    return float(learning.local.steps * getattr(scenario.method, "passes", 1) * one)


def compute_of(scenario: Scenario) -> Compute:
    """The device model of a scenario to plan with: where it states a speed alone, with the work by `round_flop`."""
    compute = scenario.clients.compute
    if not compute.is_counted:
        return compute
    parts = groups.parts(scenario)
    works = [round_flop(part.scenario) for part in parts]
    if parts[0].number is None:
        return compute.of(works[0])
    return compute.of_groups(works, [part.clients for part in parts])


def _backbone(sizes: Sizes, batch: float, adapter: AnyAdapter | None) -> tuple[list[Flop], bool]:
    """Operations before the layers and of each layer, and whether what leaves the last needs a gradient."""
    # The lowest norm stands before the first projections, or before everything.
    needed = adapter is not None and adapter.norms
    parts = [_product(batch * sizes.patches, sizes.patch, sizes.hidden)]
    for _ in range(sizes.layers):
        one, needed = _layer(sizes, batch, adapter, needed)
        parts.append(one)
    return parts, needed


def _layer(sizes: Sizes, batch: float, adapter: AnyAdapter | None, needed: bool) -> tuple[Flop, bool]:
    """Operations of one layer, and whether what leaves it needs a gradient; `needed` says so of what enters."""
    rows, hidden, products = batch * sizes.tokens, sizes.hidden, list[Flop]()

    def linear(wide_in: int, wide_out: int, needed: bool, *roles: Role) -> bool:
        """Count a frozen layer with its adapter, if it has one; whether what leaves it needs a gradient."""
        products.append(_product(rows, wide_in, wide_out, needed))
        if adapter is None or not set(roles) & set(adapter.roles):
            return needed
        products.extend(_product(*product) for product in adapter.products(rows, wide_out, wide_in, needed))
        return True

    if sizes.fused:
        q = k = v = linear(hidden, sizes.attended + 2 * sizes.kept, needed, "query", "key", "value")
    else:
        q = linear(hidden, sizes.attended, needed, "query")
        k = linear(hidden, sizes.kept, needed, "key")
        v = linear(hidden, sizes.kept, needed, "value")
    products.append(_product(rows, sizes.attended, sizes.tokens, q, k))  # scores, all heads together
    products.append(_product(rows, sizes.tokens, sizes.attended, q or k, v))
    needed = linear(sizes.attended, hidden, q or k or v, "output") or needed  # the way round it counts as well
    ways_up = 2 if sizes.gated else 1
    for _ in range(1 if sizes.fused else ways_up):
        up = linear(hidden, sizes.intermediate * (ways_up if sizes.fused else 1), needed, "up")
    needed = linear(sizes.intermediate, hidden, up, "down") or needed
    return Flop().plus(*products), needed


def _product(rows: float, inner: float, columns: float, *needed: int) -> Flop:
    """Operations of a matrix product, and backward of one for each factor that needs a gradient."""
    one = 2.0 * rows * inner * columns
    return Flop(one, one * sum(needed))


def _config(info: ModelInfo) -> dict[str, Any]:
    """What `info` was made from; of a model without a file, nothing."""
    try:
        found = json.loads((info.folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _whole(config: dict[str, Any], otherwise: int, *names: str) -> int:
    """The first of the numbers that is there."""
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST:
            return value
    return otherwise


def _pair(config: dict[str, Any], name: str, otherwise: int) -> tuple[int, int]:
    """Height and width, which are given as two numbers or as one for both."""
    value = config.get(name)
    if isinstance(value, list) and len(value) == 2:
        return _whole({name: value[0]}, otherwise, name), _whole({name: value[1]}, otherwise, name)
    side = _whole(config, otherwise, name)
    return side, side
