"""Rules of split training: what goes with it, and where a model can be cut, each told at the key that should change.

Knows options and what can be learnt of a model without loading it; runs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from channels.options import OptionError
from channels.units import render
from wfl_sim.errors import MissingResource
from wfl_sim.findings import Finding, finding
from wfl_sim.learningwork import compute_of
from wfl_sim.methods.split import Split
from wfl_sim.pace import pace_of
from wfl_sim.protocols.split import is_split
from wfl_sim.serving import MOST_EXACT
from wfl_sim.splitsizes import SplitSizes

if TYPE_CHECKING:
    from wfl_sim.scenario import Scenario

_KINDS = (("method", "kind"), ("protocol", "kind"))
_INSTEAD = "for training on the clients alone take method fedavg with protocol sync"


def problems(scenario: Scenario) -> list[Finding]:
    """What does not go together."""
    split = isinstance(scenario.method, Split)
    if split != is_split(scenario.protocol):
        key, has, needs = ("protocol", "method", "protocol") if split else ("method", "protocol", "method")
        message = f"must be split with {has} split, whose halves talk to each other in every step"
        got = getattr(scenario, needs).kind
        return [finding(key, message, got, has, fits="{kind: split}")._replace(clash=_KINDS)]
    return [*_fellows(scenario), *_order(scenario)] if split else []


def _fellows(scenario: Scenario) -> list[Finding]:
    """What else must be as it is."""
    found, codec, local = [], scenario.codec, scenario.learning.local
    if codec.kind != "dense":
        message = "must be dense with method split: adapters go up whole, and what is chosen is method.codings"
        clash = (("codec", "kind"), ("method", "kind"))
        found.append(finding("codec", message, codec.kind, "method", fits="{kind: dense}")._replace(clash=clash))
    if local.clip_norm is not None:
        message = (
            "has no meaning with method split: the norm of the whole gradient is known to neither half; leave it out"
        )
        found.append(finding("learning.local.clip_norm", message, f"{local.clip_norm:g}", "method", fits="null"))
    if scenario.learning.groups:
        message = "have models of their own, and method split has one on the server for all clients; leave them out"
        found.append(finding("learning.groups", message, "", "method", fits="[]"))
    if scenario.rank_selection is not None:
        message = (
            "plans updates that are trained on the clients alone, not method split; leave it out, or set it to null"
        )
        found.append(finding("rank_selection", message, "", "method", fits="null"))
    return found


def _order(scenario: Scenario) -> list[Finding]:
    pace = pace_of(scenario)
    if getattr(scenario.protocol, "order", "") != "exact" or pace.asked <= MOST_EXACT:
        return []
    message = f"looks for the best order of at most {MOST_EXACT} clients, and {pace.asked} are asked ({pace.key})"
    return [finding("protocol.order", message, "exact", pace.key, fits="schrage")]


def resources(scenario: Scenario) -> list[Finding]:
    """Where the model that is there cannot be cut."""
    if not isinstance(scenario.method, Split) or not is_split(scenario.protocol):
        return []
    try:
        sizes = SplitSizes.of(scenario)
        compute_of(scenario)
    except (MissingResource, OptionError):  # which is told elsewhere
        return []
    info, name = sizes.info, scenario.learning.model.name
    if info.blocks < info.layers:
        message = (
            f"shares its layers ({info.blocks} of {info.layers} have weights of their own): it cannot be cut in two"
        )
        return [finding("learning.model.name", message, name, "method.kind")]
    if sizes.depth < 2:
        message = f"must be at least 2 with method split: one layer cannot be cut in two; {_INSTEAD}"
        return [finding("learning.model.layers", message, sizes.depth, "method.kind", fits=2)]
    return _cut(scenario, sizes)


def _cut(scenario: Scenario, sizes: SplitSizes) -> list[Finding]:
    method, most = sizes.method, sizes.depth - 1
    if method.cut is not None and not 1 <= method.cut <= most:
        nobody = "the clients nothing to train" if method.cut == 0 else "the server nothing to do"
        message = (
            f"must be at least 1 and at most {most}, of the model's {sizes.depth} layers: else it leaves {nobody}; "
        )
        message += _INSTEAD if method.cut else "to train the head alone take method head_only with protocol sync"
        found = finding("method.cut", message, method.cut, "learning.model", fits=max(1, most // 2))
        rule = f"a whole number, at least 1 and at most {most}: one less than the model's {sizes.depth} layers"
        return [found._replace(rule=f"{rule}; left out, as many as fit each client")]
    return _devices(scenario, sizes)


def _devices(scenario: Scenario, sizes: SplitSizes) -> list[Finding]:
    """Each class of devices has memory and time for what it gets."""
    compute, least = compute_of(scenario), sizes.method.cut or 1
    needed = float(8 * sizes.client_bytes(least))
    classes = compute.classes or (None,)
    for number, one in enumerate(classes):
        own = None if one is None else one.memory_bits
        key = "clients.compute.memory" if own is None else f"clients.compute.classes.{number}.memory"
        memory_bits = compute.memory_bits if own is None else own
        if memory_bits is not None and memory_bits < needed:
            what = "one layer on a client takes" if least == 1 else f"{least} layers on a client take"
            needs, fits = render(float(f"{needed:.4g}"), "bit"), render(float(f"{1.2 * needed:.2g}"), "bit")
            message = f"must be at least {needs}, what {what} with embeddings, activations and adapters; lower "
            message += f"learning.local.batch or learning.data.max_tokens{', or method.cut' * (least > 1)}"
            return [finding(key, message, render(memory_bits, "bit"), "method", "learning", fits=fits)]
        step_s = compute.stated_s / sizes.steps / (1.0 if one is None else one.speed)
        parts, limit_s = sizes.parts(1), sizes.method.client_time_s
        own_s = (parts.forward + parts.backward) * step_s
        if sizes.method.cut is None and limit_s is not None and own_s > limit_s:
            least_s, fits = render(float(f"{own_s:.4g}"), "s"), render(float(f"{2 * own_s:.2g}"), "s")
            which = "" if one is None else f" a device of speed {one.speed:g}"
            message = f"must be at least {least_s}, what one layer takes{which} in a step (clients.compute)"
            return [
                finding("method.client_time", message, render(limit_s, "s"), "clients.compute", "learning", fits=fits)
            ]
    return []
