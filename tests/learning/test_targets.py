"""Roles of linear layers: in models of the installed library, and in trees with the names of the one before."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import transformers
from torch.nn import Identity, Linear, Module, ModuleList

from wfl_sim.errors import MissingResource
from wfl_sim.learning.targets import find

ROLES = ("query", "key", "value", "output", "up", "down")
DEPTH, WIDTH, INNER = 2, 8, 16
USUAL = {
    "vocab_size": 40,
    "num_hidden_layers": DEPTH,
    "hidden_size": WIDTH,
    "num_attention_heads": 2,
    "intermediate_size": INNER,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
VIT = {k: v for k, v in USUAL.items() if not k.startswith(("vocab", "pad", "bos", "eos"))}


def tree(prefix: str, leaves: dict[str, tuple[int, int]]) -> Module:
    """A module with these linear layers in each of `DEPTH` blocks below `prefix`."""
    root = Module()
    for number in range(DEPTH):
        for path, (inputs, outputs) in leaves.items():
            parts = f"{prefix}.{number}.{path}".split(".")
            at = root
            for part, following in pairwise(parts):
                if not hasattr(at, part):
                    at.add_module(part, ModuleList() if following.isdigit() else Module())
                if following.isdigit() and len(list_of := getattr(at, part)) <= int(following):
                    list_of.append(Module())
                at = getattr(at, part)
            at.add_module(parts[-1], Linear(inputs, outputs))
    return root


class Conv1D(Module):
    """As GPT-2's: a linear layer that holds its weight transposed."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(inputs, outputs))


SQUARE, OUT, BACK = (WIDTH, WIDTH), (WIDTH, INNER), (INNER, WIDTH)
# Paths in a block, in the order of ROLES, of families as transformers 4 named them.
FOUR = {
    "bert": (
        "encoder.layer",
        "attention.self.query attention.self.key attention.self.value attention.output.dense intermediate.dense "
        "output.dense",
    ),
    "distilbert": (
        "transformer.layer",
        "attention.q_lin attention.k_lin attention.v_lin attention.out_lin ffn.lin1 ffn.lin2",
    ),
    "llama": (
        "layers",
        "self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.o_proj mlp.gate_proj+mlp.up_proj mlp.down_proj",
    ),
    "vit": (
        "encoder.layer",
        "attention.attention.query attention.attention.key attention.attention.value attention.output.dense "
        "intermediate.dense output.dense",
    ),
}
# The same of families as transformers 5 names them, by a small model of each.
FIVE = {
    "bert": (lambda: transformers.BertConfig(**USUAL), *FOUR["bert"]),
    "roberta": (lambda: transformers.RobertaConfig(**USUAL), *FOUR["bert"]),
    "distilbert": (
        lambda: transformers.DistilBertConfig(vocab_size=40, n_layers=DEPTH, dim=WIDTH, n_heads=2, hidden_dim=INNER),
        *FOUR["distilbert"],
    ),
    "llama": (lambda: transformers.LlamaConfig(**USUAL), *FOUR["llama"]),
    "vit": (
        lambda: transformers.ViTConfig(image_size=8, patch_size=4, num_channels=1, **VIT),
        "layers",
        "attention.q_proj attention.k_proj attention.v_proj attention.o_proj mlp.fc1 mlp.fc2",
    ),
}


def expected(prefix: str, paths: str) -> list[str]:
    return [f"{prefix}.{number}.{path}" for number in range(DEPTH) for path in paths.split("+")]


@pytest.mark.parametrize("family", FIVE)
def test_each_role_of_a_real_model_is_one_layer_of_each_block(family):
    config, prefix, paths = FIVE[family]
    model = transformers.AutoModel.from_config(config())
    for role, path in zip(ROLES, paths.split(), strict=True):
        assert find(model, [role]) == expected(prefix, path)
        assert isinstance(model.get_submodule(find(model, [role])[0]), Linear)


@pytest.mark.parametrize("family", FOUR)
def test_each_role_under_the_names_of_the_library_before(family):
    prefix, paths = FOUR[family]
    sizes = zip(paths.split(), [SQUARE] * 4 + [OUT, BACK], strict=True)
    model = tree(prefix, {path: size for both, size in sizes for path in both.split("+")})
    for role, path in zip(ROLES, paths.split(), strict=True):
        assert find(model, [role]) == expected(prefix, path)
    assert len(find(model, ROLES)) == DEPTH * (len(ROLES) + paths.count("+"))


def test_a_fused_projection_counts_for_all_three_and_is_listed_once():
    config = transformers.GPT2Config(
        vocab_size=40, n_layer=DEPTH, n_embd=WIDTH, n_head=2, bos_token_id=0, eos_token_id=0, add_cross_attention=True
    )
    model = transformers.AutoModel.from_config(config)
    fused = expected("h", "attn.c_attn")
    for roles in (["query"], ["key"], ["value"], ["query", "value"], ["value", "key", "query"]):
        assert find(model, roles) == fused
    assert find(model, ["output"]) == expected("h", "attn.c_proj")
    assert find(model, ["up"]) == expected("h", "mlp.c_fc")
    assert find(model, ["down"]) == expected("h", "mlp.c_proj")
    assert not any("crossattention" in name for name in find(model, ROLES))


def test_a_layer_that_blocks_share_is_listed_once():
    model = transformers.AutoModel.from_config(transformers.AlbertConfig(**USUAL, embedding_size=4))
    block = "encoder.albert_layer_groups.0.albert_layers.0"
    paths = ("attention.query", "attention.key", "attention.value", "attention.dense", "ffn", "ffn_output")
    for role, path in zip(ROLES, paths, strict=True):
        assert find(model, [role]) == [f"{block}.{path}"]


def test_the_two_layers_called_output_dense_are_told_apart():
    for attention in ("attention.output.dense", "attention.attention.output.dense"):
        model = tree("encoder.layer", {"output.dense": BACK, attention: SQUARE})
        assert find(model, ["down"]) == expected("encoder.layer", "output.dense")
        assert find(model, ["output"]) == expected("encoder.layer", attention)


def test_layers_come_in_order_of_depth_and_none_from_outside_the_blocks():
    model = tree("layers", {"self_attn.q_proj": SQUARE, "self_attn.v_proj": SQUARE})
    for number in range(DEPTH, 12):  # 10 and 11 come after 9, not after 1
        block = Module()
        block.self_attn = Module()
        block.self_attn.q_proj, block.self_attn.v_proj = Linear(*SQUARE), Linear(*SQUARE)
        model.layers.insert(number, block)
    model.fc1, model.intermediate = Linear(*SQUARE), Module()  # a head of its own
    model.intermediate.dense = Linear(*SQUARE)
    names = find(model, ["value", "query"])
    assert names == [f"layers.{n}.self_attn.{x}_proj" for n in range(12) for x in ("q", "v")]
    with pytest.raises(MissingResource, match="no layers found for up"):
        find(model, ["up"])


def test_what_has_the_right_name_but_is_no_linear_layer_does_not_count():
    model = tree("h", {"attn.c_proj": SQUARE, "mlp.c_proj": BACK})
    model.h[0].attn.c_attn, model.h[1].attn.c_attn = Identity(), Conv1D(3 * WIDTH, WIDTH)
    assert find(model, ["query"]) == ["h.1.attn.c_attn"]


def test_failure_lists_the_roles_found_and_the_layers_that_exist():
    model = tree("blocks", {"attn.proj_q": SQUARE, "attn.proj_v": SQUARE, "output.dense": SQUARE})
    with pytest.raises(MissingResource) as caught:
        find(model, ["query", "down", "value"])
    assert str(caught.value) == (
        "no layers found for query, value; roles found: down (2); linear layers: "
        "blocks.*.attn.proj_q, blocks.*.attn.proj_v, blocks.*.output.dense"
    )
    with pytest.raises(MissingResource, match="roles found: none; linear layers: none"):
        find(Module(), ["query"])


def test_a_model_of_many_layers_does_not_flood_the_message():
    model = tree("x", {f"kind_{c}": SQUARE for c in "abcdefghijklmnopqrstuvwxyz"})
    with pytest.raises(MissingResource, match=r"and 6 more$"):
        find(model, ["query"])
