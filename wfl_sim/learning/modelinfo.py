"""What a model's `config.json` says of its sizes, whatever its family calls them.

Knows numbers; neither where models are nor tensors.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from channels.units import shown
from wfl_sim.learning.examples import TaskKind
from wfl_sim.methods.base import Role

# What each size is called (the first name by most, the others by DistilBERT and GPT-2), and the largest believed.
_LAYERS = (("num_hidden_layers", "n_layers", "n_layer"), 1000)
_HIDDEN = (("hidden_size", "dim", "n_embd"), 10**5)
_INTERMEDIATE = (("intermediate_size", "hidden_dim", "n_inner"), 10**6)
_VOCABULARY = (("vocab_size",), 10**8)
_POSITIONS = (("max_position_embeddings", "n_positions"), 10**8)
_HEADS = (("num_attention_heads", "n_heads", "n_head"), 10**4)
# Kinds that number the places of a text from one after the padding's id on, as fairseq did: a text has the fewer.
NUMBERED_AFTER_PADDING = frozenset((
    "roberta", "xlm-roberta", "xlm-roberta-xl", "roberta-prelayernorm", "camembert", "data2vec-text", "ibert",
    "longformer", "mpnet", "xmod", "luke",
))  # fmt: skip
# Kinds that predict the next token, besides all of which the folder says so itself.
CAUSAL = frozenset(("gpt2", "gpt_neox", "gpt_neo", "llama", "mistral", "qwen2", "qwen3", "phi3", "opt"))
_CAUSAL_ENDINGS = ("ForCausalLM", "LMHeadModel")
# Kinds with one projection for query, key and value; and those with one for both ways up as well.
CENTRED = frozenset(("gpt2", "gpt_neox", "gpt_neo", "opt"))  # whose last norm has a bias
FUSED = frozenset(("gpt2", "gpt_neox", "phi3"))
FUSED_UP = frozenset(("phi3",))


class Unsaid(ValueError):
    """A configuration lacks a number; the text says which."""


@dataclass(frozen=True)
class ModelInfo:
    """What `config.json` says of a model.

    `positions` is how many tokens a text may have, `image_tokens` how many vectors an image becomes (0: it reads
    texts). `attended` and `kept` are the widths of queries, and of keys and values. `blocks` is how many layers have
    weights of their own (ALBERT: one). `kinds` are the tasks that a model of its family can serve.
    """

    folder: Path
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    positions: int
    kinds: tuple[TaskKind, ...]
    attended: int
    kept: int
    blocks: int
    gated: bool
    family: str
    image_tokens: int

    def projections(self, roles: Collection[Role]) -> list[tuple[str, int, int]]:
        """Name, inputs and outputs of the linear layers of one block that play any of these roles."""
        wide = self.attended + 2 * self.kept
        fused = self.family in FUSED
        up = [("up", self.intermediate)]
        if self.gated:
            up = [("up", 2 * self.intermediate)] if self.family in FUSED_UP else [("gate", self.intermediate), *up]
        found = []
        if fused and {"query", "key", "value"} & set(roles):
            found.append(("query_key_value", self.hidden, wide))
        elif not fused:
            widths: Mapping[Role, int] = {"query": self.attended, "key": self.kept, "value": self.kept}
            found += [(role, self.hidden, width) for role, width in widths.items() if role in roles]
        if "output" in roles:
            found.append(("output", self.attended, self.hidden))
        if "up" in roles:
            found += [(name, self.hidden, width) for name, width in up]
        if "down" in roles:
            found.append(("down", self.intermediate, self.hidden))
        return found


def described(folder: Path, config: Mapping[str, Any]) -> ModelInfo:
    """What a configuration says.

    Raises
    ------
    Unsaid
        It lacks a number, or has one that no model has.
    """
    layers, hidden = _number(config, *_LAYERS), _number(config, *_HIDDEN)
    family = config["model_type"] if isinstance(config.get("model_type"), str) else ""
    four = 4 * hidden if family in ("gpt2", "gpt_neo") else None  # where GPT-2 says nothing
    intermediate = _number(config, *_INTERMEDIATE, default=four)
    image_tokens = _image_tokens(config) if "patch_size" in config and "vocab_size" not in config else 0
    if image_tokens:
        vocabulary, positions = 0, image_tokens
    else:
        vocabulary, positions = _number(config, *_VOCABULARY), _number(config, *_POSITIONS)
        positions = max(1, positions - _places_before_text(config, family))
    heads = _number(config, *_HEADS, default=1)
    width = _number(config, ("head_dim",), 10**5, default=max(1, hidden // heads))
    kept = _number(config, ("num_key_value_heads",), 10**4, default=heads) * width
    blocks = layers
    if family == "albert":
        groups = _number(config, ("num_hidden_groups",), 1000, default=1)
        blocks = groups * _number(config, ("inner_group_num",), 1000, default=1)
    return ModelInfo(
        folder=folder,
        layers=layers,
        hidden=hidden,
        intermediate=intermediate,
        vocabulary=vocabulary,
        positions=positions,
        kinds=("image",) if image_tokens else ("text", "language") if _causal(config, family) else ("text",),
        attended=heads * width,
        kept=kept,
        blocks=blocks,
        gated="rms_norm_eps" in config,  # Llama and its kin have both
        family=family,
        image_tokens=image_tokens,
    )


def _number(config: Mapping[str, Any], names: tuple[str, ...], most: int, default: int | None = None) -> int:
    value = next((config[key] for key in names if config.get(key) is not None), None)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        got = "" if value is None else f" as a whole number from 1 to {most}; got {shown(value)}"
        raise Unsaid(f"{names[0]!r}{got}")
    return value


def _image_tokens(config: Mapping[str, Any]) -> int:
    """Patches of an image, and one for the class."""
    sides, cuts = _pair(config, "image_size"), _pair(config, "patch_size")
    if sides[0] < cuts[0] or sides[1] < cuts[1]:
        raise Unsaid(f"'image_size' of at least 'patch_size'; got {shown(sides)} and {shown(cuts)}")
    return (sides[0] // cuts[0]) * (sides[1] // cuts[1]) + 1


def _pair(config: Mapping[str, Any], key: str) -> tuple[int, int]:
    value = config.get(key)
    both = value if isinstance(value, list) and len(value) == 2 else [value, value]
    down, right = (_number({key: one}, (key,), 10**5) for one in both)
    return down, right


def _causal(config: Mapping[str, Any], family: str) -> bool:
    said = config.get("architectures")
    names = [name for name in said if isinstance(name, str)] if isinstance(said, list) else []
    return family in CAUSAL or any(name.endswith(_CAUSAL_ENDINGS) for name in names)


def _places_before_text(config: Mapping[str, Any], family: str) -> int:
    """How many of the places that the model has no token of a text can take: 2 of RoBERTa, none of BERT."""
    padding = config.get("pad_token_id", 1)
    if family not in NUMBERED_AFTER_PADDING:
        return 0
    return padding + 1 if isinstance(padding, int) and not isinstance(padding, bool) and padding >= 0 else 2
