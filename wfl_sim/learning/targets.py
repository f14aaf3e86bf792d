"""Which linear layers of a transformer are its query, key, value, output, up and down projections.

Knows the names that model libraries give to modules; neither weights, nor adapters, nor methods.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from wfl_sim.errors import MissingResource
from wfl_sim.methods.base import Role

_QKV: tuple[Role, ...] = ("query", "key", "value")
# The ends of modules' paths, and what stands there; of several ends that fit, the longest counts. One projection may
# serve as several. Of a gated feed-forward part both layers lead up.
ENDS: dict[str, tuple[Role, ...]] = {
    # BERT, RoBERTa, ELECTRA; ViT in transformers 4 (its attention.attention.query)
    "attention.self.query": ("query",),
    "attention.self.key": ("key",),
    "attention.self.value": ("value",),
    "attention.attention.query": ("query",),
    "attention.attention.key": ("key",),
    "attention.attention.value": ("value",),
    "attention.output.dense": ("output",),
    "intermediate.dense": ("up",),
    "output.dense": ("down",),
    # ALBERT
    "attention.query": ("query",),
    "attention.key": ("key",),
    "attention.value": ("value",),
    "attention.dense": ("output",),
    "ffn": ("up",),
    "ffn_output": ("down",),
    # DistilBERT
    "attention.q_lin": ("query",),
    "attention.k_lin": ("key",),
    "attention.v_lin": ("value",),
    "attention.out_lin": ("output",),
    "ffn.lin1": ("up",),
    "ffn.lin2": ("down",),
    # GPT-2: one matrix for query, key and value
    "attn.c_attn": _QKV,
    "attn.c_proj": ("output",),
    "mlp.c_fc": ("up",),
    "mlp.c_proj": ("down",),
    # Llama and its kin; OPT and CLIP call the output out_proj; Phi-3 fuses
    "self_attn.q_proj": ("query",),
    "self_attn.k_proj": ("key",),
    "self_attn.v_proj": ("value",),
    "self_attn.o_proj": ("output",),
    "self_attn.out_proj": ("output",),
    "self_attn.qkv_proj": _QKV,
    "mlp.gate_proj": ("up",),
    "mlp.up_proj": ("up",),
    "mlp.gate_up_proj": ("up",),
    "mlp.down_proj": ("down",),
    # ViT in transformers 5
    "attention.q_proj": ("query",),
    "attention.k_proj": ("key",),
    "attention.v_proj": ("value",),
    "attention.o_proj": ("output",),
    "mlp.fc1": ("up",),
    "mlp.fc2": ("down",),
    # OPT; CLIP and others have these two in an mlp
    "fc1": ("up",),
    "fc2": ("down",),
    # DeBERTa
    "attention.self.query_proj": ("query",),
    "attention.self.key_proj": ("key",),
    "attention.self.value_proj": ("value",),
    # MPNet
    "attn.q": ("query",),
    "attn.k": ("key",),
    "attn.v": ("value",),
    "attn.o": ("output",),
    # GPT-NeoX
    "attention.query_key_value": _QKV,
    "mlp.dense_h_to_4h": ("up",),
    "mlp.dense_4h_to_h": ("down",),
}
_LONGEST_END = max(end.count(".") for end in ENDS) + 1
_MOST_LISTED = 20


def find(module: torch.nn.Module, roles: Sequence[Role]) -> list[str]:
    """Dotted paths, in order of depth, of the linear layers that play any of these roles.

    A fused projection (GPT-2's ``c_attn``) counts for query, key and value, and is listed once. Layers that many
    blocks share (ALBERT) are listed once as well.

    Raises
    ------
    MissingResource
        A role is played by none; the text lists the linear layers that there are.
    """
    linear = [name for name, layer in module.named_modules() if is_linear(layer)]
    played = {name: _roles(name) for name in linear}
    lacking = [role for role in roles if not any(role in found for found in played.values())]
    if lacking:
        counts = {role: sum(role in found for found in played.values()) for role in sorted({*sum(ENDS.values(), ())})}
        known = ", ".join(f"{role} ({n})" for role, n in counts.items() if n) or "none"
        kinds = list(dict.fromkeys(re.sub(r"\b\d+\b", "*", name) for name in linear))
        more = f" and {len(kinds) - _MOST_LISTED} more" if len(kinds) > _MOST_LISTED else ""
        raise MissingResource(
            f"no layers found for {', '.join(lacking)}; roles found: {known}; linear layers: "
            + (", ".join(kinds[:_MOST_LISTED]) or "none")
            + more
        )
    return [name for name, found in played.items() if set(found) & set(roles)]


def is_linear(layer: torch.nn.Module) -> bool:
    """Whether a module is a linear layer: torch's, or GPT-2's, which holds its weight transposed."""
    return isinstance(layer, torch.nn.Linear) or type(layer).__name__ == "Conv1D"


def _roles(name: str) -> tuple[Role, ...]:
    """What the layer at a path does; nothing outside the blocks, and nothing in attention to an encoder."""
    parts = name.split(".")
    if not any(part.isdigit() for part in parts) or any(re.search("cross_?att|encoder_attn", part) for part in parts):
        return ()
    ends = (".".join(parts[-count:]) for count in range(_LONGEST_END, 0, -1))
    return next((ENDS[end] for end in ends if end in ENDS), ())
