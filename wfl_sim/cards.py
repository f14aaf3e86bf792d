"""Cards: what each kind is and which options it has, taken from the code and from nowhere else.

Knows the registries; imports no tensor library.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, fields
from difflib import get_close_matches

from channels.erasure import LOSS
from channels.fading import FADING
from channels.linkadaptation import LINK_ADAPTATION
from channels.mobility import MOBILITY, PLACEMENT
from channels.options import Options, choices, option_name, quantities
from channels.pathloss import PATH_LOSS
from channels.shadowing import SHADOWING
from channels.units import render
from wfl_sim.codecs import CODECS
from wfl_sim.errors import ScenarioError
from wfl_sim.learning.options import Dirichlet, Iid
from wfl_sim.methods import METHODS
from wfl_sim.protocols import PROTOCOLS
from wfl_sim.radio.options import Arq
from wfl_sim.schedules import SCHEDULES

# Where a scenario selects each kind -> the kinds.
NOUNS: Mapping[str, Mapping[str, type[Options]]] = {
    "channel.path_loss": PATH_LOSS,
    "channel.shadowing": SHADOWING,
    "channel.fading": FADING,
    "channel.loss": LOSS,
    "radio.rate": LINK_ADAPTATION,
    "radio.retransmission": {"arq": Arq},
    "clients.placement": PLACEMENT,
    "clients.mobility": MOBILITY,
    "learning.data.partition": {"iid": Iid, "dirichlet": Dirichlet},
    "method": METHODS,
    "codec": CODECS,
    "schedule": SCHEDULES,
    "protocol": PROTOCOLS,
}


def overview() -> str:
    """Every kind with the first line of its docstring, by the key that selects it."""
    lines = []
    for key, registry in NOUNS.items():
        lines.append(f"{key}:")
        lines += [f"  {kind:<20} {_first_line(cls)}" for kind, cls in registry.items()]
    return "\n".join([*lines, "", "wfl-sim explain KIND shows the options of one."])


def card(name: str) -> str:
    """All kinds of that name: docstring, then every option with its unit or choices, default and range.

    Raises
    ------
    ScenarioError
        No kind has that name; the nearest ones are named.
    """
    found = [(key, registry[name]) for key, registry in NOUNS.items() if name in registry]
    if not found:
        kinds = sorted({kind for registry in NOUNS.values() for kind in registry})
        near = get_close_matches(name, kinds, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ScenarioError(("explain", f"unknown kind {name!r}; {hint}there are: {', '.join(kinds)}"))
    return "\n\n".join(_card(key, name, cls) for key, cls in found)


def _card(key: str, name: str, cls: type[Options]) -> str:
    units, words = quantities(cls), choices(cls)
    lines = [f"{key}: {{kind: {name}}}", "", inspect.getdoc(cls) or "", "", "Keys:"]
    for field in fields(cls):
        if field.name == "kind":
            continue
        quantity = units.get(field.name)
        about = [f"one of {', '.join(map(str, words[field.name]))}"] if field.name in words else []
        if quantity is not None:
            about += [f"in {quantity.unit}"] if quantity.unit != "1" else []
            about += [quantity.range_text()] if quantity.range_text() else []
        default = "required"
        if field.default is not MISSING:
            shown = render(field.default, quantity.unit) if quantity and field.default is not None else field.default
            default = f"default {shown if shown is not None else 'not set'}"
        lines.append(f"  {option_name(field.name):<22} {'; '.join([default, *about])}")
    return "\n".join(lines)


def _first_line(cls: type[Options]) -> str:
    return (inspect.getdoc(cls) or "").splitlines()[0]
