"""Hidden states of small random models against those of the library's own classes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import transformers

from wfl_sim.errors import MissingResource
from wfl_sim.learning import models, pixels, tokens
from wfl_sim.learning.examples import Examples
from wfl_sim.learning.norms import is_plain
from wfl_sim.learning.options import Model

DEPTH, WIDTH = 3, 32
ENCODERS = ("bert", "roberta", "distilbert", "albert", "gpt2", "llama")
LANGUAGE = ("gpt2-lm", "llama-lm", "llama-tied-lm")
# float32, values of about 1: the same sums in another order, batch shape or padding.
ROUNDING = 1e-5
TEXTS = ("a dog", "the long and winding road of a small animal that was seen", "plant", "state of being in a city", "x")
MAX_TOKENS = 9


def examples(inputs):
    return Examples(inputs, np.arange(len(inputs), dtype=np.int64) % 3)


def every(inputs):
    return inputs.batch(torch.arange(len(inputs)))


def library(folder, loader=transformers.AutoModel):
    return loader.from_pretrained(folder, attn_implementation="eager").eval()


def ids_of(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return [torch.tensor([row]) for row in tokenizer(list(TEXTS), truncation=True, max_length=MAX_TOKENS)["input_ids"]]


@pytest.mark.parametrize(
    ("kind", "layers"),
    # ALBERT's layers are one, which test_architectures covers.
    [(kind, layers) for kind in ENCODERS for layers in (2, None) if kind != "albert" or layers is None],
)
def test_states_of_texts_are_the_mean_of_the_last_layer_kept(folder_of, kind, layers):
    folder = folder_of(kind)
    backbone = models.load(Model(name=folder, layers=layers))
    inputs = backbone.inputs(examples(TEXTS), MAX_TOKENS)
    whole = library(folder)
    with torch.no_grad():
        got = backbone.states(every(inputs))
        for row, ids in zip(got, ids_of(folder), strict=True):  # one by one: nothing is padded
            hidden = whole(input_ids=ids, output_hidden_states=True)
            wanted = hidden.last_hidden_state if layers is None else hidden.hidden_states[layers]
            if kind in ("gpt2", "llama") and layers is not None:  # the cut model has the final norm as well
                wanted = (whole.ln_f if kind == "gpt2" else whole.norm)(wanted)
            torch.testing.assert_close(row, wanted[0].mean(dim=0), atol=ROUNDING, rtol=0.0)
    assert (backbone.hidden, backbone.kind, backbone.tokens(MAX_TOKENS)) == (WIDTH, "text", MAX_TOKENS)
    assert backbone.norm is None and backbone.vocabulary is None


@pytest.mark.parametrize("kind", ENCODERS)
def test_the_state_of_a_text_does_not_depend_on_what_it_is_padded_with(folder_of, kind):
    backbone = models.load(Model(name=folder_of(kind)))
    inputs = backbone.inputs(examples(TEXTS), MAX_TOKENS)
    with torch.no_grad():
        together = backbone.states(every(inputs))
        alone = torch.cat([backbone.states(inputs.batch(torch.tensor([i]))) for i in range(len(TEXTS))])
        batch = every(inputs)
        other = backbone.states(batch._replace(values=torch.where(batch.mask == 1, batch.values, 77)))
    assert (together - together.mean(dim=0)).abs().max() > 100 * ROUNDING  # the texts do differ
    torch.testing.assert_close(together, alone, atol=ROUNDING, rtol=0.0)
    torch.testing.assert_close(together, other, atol=ROUNDING, rtol=0.0)


@pytest.mark.parametrize("kind", LANGUAGE)
def test_logits_follow_from_states_norm_and_vocabulary(folder_of, kind):
    backbone = models.load(Model(name=folder_of(kind)), "language")
    inputs = backbone.inputs(examples(TEXTS), MAX_TOKENS)
    whole = library(folder_of(kind), transformers.AutoModelForCausalLM)
    with torch.no_grad():
        batch = every(inputs)
        logits = backbone.norm(backbone.states(batch)) @ backbone.vocabulary.T
        for row, mask, ids in zip(logits, batch.mask, ids_of(folder_of(kind)), strict=True):
            torch.testing.assert_close(row[mask == 1], whole(input_ids=ids).logits[0], atol=ROUNDING, rtol=0.0)
    assert backbone.vocabulary.shape == (30522, WIDTH)
    assert not backbone.vocabulary.requires_grad


@pytest.mark.parametrize("kind", LANGUAGE)
@pytest.mark.parametrize("layers", [2])
def test_states_of_a_cut_language_model_are_before_the_norm(folder_of, kind, layers):
    backbone = models.load(Model(name=folder_of(kind), layers=layers), "language")
    inputs = backbone.inputs(examples(TEXTS), MAX_TOKENS)
    whole = library(folder_of(kind), transformers.AutoModelForCausalLM)
    with torch.no_grad():
        batch = every(inputs)
        for row, mask, ids in zip(backbone.states(batch), batch.mask, ids_of(folder_of(kind)), strict=True):
            wanted = whole(input_ids=ids, output_hidden_states=True).hidden_states[layers]
            torch.testing.assert_close(row[mask == 1], wanted[0], atol=ROUNDING, rtol=0.0)


@pytest.mark.parametrize("kind", LANGUAGE)
def test_no_token_of_a_language_model_sees_padding_or_later_ones(folder_of, kind):
    backbone = models.load(Model(name=folder_of(kind)), "language")
    inputs = backbone.inputs(examples(TEXTS), MAX_TOKENS)
    batch = every(inputs)
    with torch.no_grad():
        states = backbone.states(batch)
        other = backbone.states(batch._replace(values=torch.where(batch.mask == 1, batch.values, 77)))
        alone = backbone.states(inputs.batch(torch.tensor([0])))
    torch.testing.assert_close(states[batch.mask == 1], other[batch.mask == 1], atol=ROUNDING, rtol=0.0)
    torch.testing.assert_close(states[:1, : alone.shape[1]], alone, atol=ROUNDING, rtol=0.0)


IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize("layers", [1, None])
def test_the_state_of_an_image_is_its_class_token_after_the_norm(folder_of, layers):
    backbone = models.load(Model(name=folder_of("vit"), layers=layers), "image")
    inputs = backbone.inputs(examples(IMAGES), 1)
    whole = library(folder_of("vit"))
    values = torch.from_numpy(IMAGES)[:, None] / 255
    with torch.no_grad():
        found = whole(pixel_values=values, output_hidden_states=True)
        wanted = found.last_hidden_state if layers is None else whole.layernorm(found.hidden_states[layers])
        torch.testing.assert_close(backbone.states(every(inputs)), wanted[:, 0], atol=ROUNDING, rtol=0.0)
    assert backbone.tokens(1) == 1 + (8 // 4) ** 2
    assert inputs.values.shape == (4, 1, 8, 8)
    assert every(inputs).mask is None


def test_grey_images_are_repeated_and_scaled_as_the_folder_says(folder_of, tmp_path):
    folder = tmp_path / "vit"
    shutil.copytree(folder_of("vit-colour"), folder)
    said = {"do_rescale": True, "rescale_factor": 0.5, "do_normalize": True, "image_mean": [1, 2, 3], "image_std": 4}
    (folder / pixels.PROCESSOR).write_text(json.dumps(said))
    backbone = models.load(Model(name=str(folder)), "image")
    got = backbone.inputs(examples(IMAGES), 1).values
    assert got.shape == (4, 3, 8, 8)
    for channel, mean in enumerate((1, 2, 3)):
        torch.testing.assert_close(got[:, channel], (torch.from_numpy(IMAGES) * 0.5 - mean) / 4)
    (folder / pixels.PROCESSOR).write_text(json.dumps(said | {"image_std": [1, 2]}))
    with pytest.raises(MissingResource, match="does not say 'image_std' as 3 numbers"):
        models.load(Model(name=str(folder)), "image")
    (folder / pixels.PROCESSOR).write_text("{")
    with pytest.raises(MissingResource, match=r"preprocessor_config\.json cannot be read"):
        models.load(Model(name=str(folder)), "image")


def test_images_of_another_size_or_in_colour_become_what_the_model_takes(folder_of):
    grey, colour = (models.load(Model(name=folder_of(kind)), "image") for kind in ("vit", "vit-colour"))
    flat = np.full((1, 20, 12), 51, dtype=np.uint8)
    torch.testing.assert_close(grey.inputs(examples(flat), 1).values, torch.full((1, 1, 8, 8), 0.2))
    red = np.zeros((1, 8, 8, 3), dtype=np.uint8)
    red[..., 0] = 255
    torch.testing.assert_close(grey.inputs(examples(red), 1).values, torch.full((1, 1, 8, 8), pixels.LUMA[0]))
    got = colour.inputs(examples(red), 1).values
    assert got[:, 0].min() == 1
    assert not got[:, 1:].any()


def test_many_images_become_pixels_batch_by_batch_with_the_same_result(folder_of, monkeypatch):
    backbone = models.load(Model(name=folder_of("vit")), "image")
    rows = torch.tensor([2, 0])
    at_once = backbone.inputs(examples(IMAGES), 1)
    monkeypatch.setattr(models, "PIXELS_AT_ONCE_BYTES", 4 * IMAGES.size - 1)
    late = backbone.inputs(examples(IMAGES), 1)
    assert (at_once.values.dtype, late.values.dtype) == (torch.float32, torch.uint8)
    torch.testing.assert_close(at_once.batch(rows).values, late.batch(rows).values, atol=0.0, rtol=0.0)
    torch.testing.assert_close(at_once.batch(rows).labels, torch.tensor([2, 0]))


def test_a_batch_is_cut_to_its_longest_text_and_masked_where_it_is_padded(folder_of):
    inputs = models.load(Model(name=folder_of("bert"))).inputs(examples(TEXTS), MAX_TOKENS)
    ids = [row[0] for row in ids_of(folder_of("bert"))]
    assert [len(row) for row in ids] == inputs.lengths.tolist() == [4, 9, 3, 8, 3]
    batch = inputs.batch(torch.tensor([2, 3, 0]))
    assert batch.values.shape == batch.mask.shape == (3, 8)
    assert batch.labels.tolist() == [2, 0, 0]
    assert batch.mask.dtype == torch.int64
    for row, mask, number in zip(batch.values, batch.mask, [2, 3, 0], strict=True):
        assert mask.tolist() == [1] * len(ids[number]) + [0] * (8 - len(ids[number]))
        assert row[mask == 1].tolist() == ids[number].tolist()
    assert inputs.batch(torch.tensor([4, 2])).mask is None  # equally long
    assert inputs.batch(torch.tensor([1, 0])).values.shape == (2, 9)


@pytest.mark.parametrize(("kind", "task"), [("bert", "text"), ("llama-lm", "language"), ("vit", "image")])
def test_a_model_is_frozen_in_single_precision_without_dropout_and_the_same_each_time(folder_of, tmp_path, kind, task):
    half = tmp_path / "half"
    shutil.copytree(folder_of(kind), half)
    loader = transformers.AutoModelForCausalLM if task == "language" else transformers.AutoModel
    loader.from_pretrained(folder_of(kind), dtype=torch.bfloat16).save_pretrained(half)
    first, second = (models.load(Model(name=str(half)), task) for _ in range(2))
    for backbone in (first, second):
        assert not any(part.training for part in backbone.module.modules())
        for tensor in backbone.module.parameters():
            assert tensor.dtype == torch.float32
            assert not tensor.requires_grad
    states = dict(first.module.state_dict())
    assert states.keys() == second.module.state_dict().keys()
    assert all(torch.equal(states[name], tensor) for name, tensor in second.module.state_dict().items())
    assert not any("pooler" in name for name in states)


@pytest.mark.parametrize(
    ("kind", "task", "problem"),
    [
        ("vit", "text", "reads images; the task of learning.data.name is of the kind 'text'"),
        ("bert", "image", "reads texts; the task of learning.data.name is of the kind 'image'"),
        ("vit", "language", "cannot be loaded as a causal language model"),
        ("bert", "language", "its weights lack .* name a model that was trained as a language model"),
        ("bert-masked", "language", "is no causal language model: its tokens see later ones"),
        ("llama", "language", r"its weights lack 1 tensors, among them 'lm_head\.weight'"),
        ("t5", "text", "has an encoder and a decoder"),
    ],
)
def test_a_model_that_does_not_suit_the_task_is_an_error(folder_of, kind, task, problem):
    with pytest.raises(MissingResource, match=problem) as caught:
        models.load(Model(name=folder_of(kind)), task)
    assert repr(folder_of(kind)) in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_language_model_with_more_than_norm_and_matrix_is_an_error(tmp_path):
    config = transformers.PhiConfig(
        vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config)
    torch.nn.init.ones_(model.lm_head.bias)
    model.save_pretrained(tmp_path)
    with pytest.raises(MissingResource, match="does more between its last layer and its logits than a norm and a"):
        models.load(Model(name=str(tmp_path)), "language")


def test_a_language_model_whose_norm_is_of_another_kind_is_an_error(tmp_path):
    """Gemma's gain is one more than its weight: as a plain norm, its logits would be wrong without a word."""
    config = transformers.GemmaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, head_dim=8,
        num_key_value_heads=1, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    transformers.GemmaForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(MissingResource, match="its last norm, GemmaRMSNorm, is no plain layer norm or RMS norm"):
        models.load(Model(name=str(tmp_path)), "language")


def test_a_norm_without_a_gain_is_not_plain():
    assert is_plain(torch.nn.LayerNorm(8), 8) and is_plain(torch.nn.LayerNorm(8, bias=False), 8)
    assert is_plain(torch.nn.RMSNorm(8, eps=1e-6), 8)
    assert not is_plain(torch.nn.LayerNorm(8, elementwise_affine=False), 8)


def test_weights_that_are_not_all_there_are_an_error_not_random(folder_of, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "damaged"
    shutil.copytree(folder_of("bert"), folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.layer.1.attention.self.query.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MissingResource, match=r"lack 1 tensors, among them 'encoder\.layer\.1\.attention\.self\.query"):
        models.load(Model(name=str(folder)))
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(MissingResource, match="cannot be loaded as a model of texts"):
        models.load(Model(name=str(folder)))


def test_code_in_a_models_folder_is_not_run(folder_of, tmp_path):
    folder = tmp_path / "coded"
    shutil.copytree(folder_of("bert"), folder)
    config = json.loads((folder / "config.json").read_text())
    for kind in ("bert", "of_their_own"):
        coded = config | {"model_type": kind, "auto_map": {"AutoModel": "code.Own", "AutoConfig": "code.OwnConfig"}}
        (folder / "config.json").write_text(json.dumps(coded))
        (folder / "code.py").write_text("raise SystemExit('this code is not to be run')")
        if kind == "bert":  # the library's own class serves
            assert models.load(Model(name=str(folder))).hidden == WIDTH
        else:
            with pytest.raises(MissingResource, match="cannot be loaded as a model of texts"):
                models.load(Model(name=str(folder)))


def test_texts_for_a_model_of_images_and_the_reverse_are_an_error(folder_of):
    with pytest.raises(MissingResource, match="reads images, the data set holds texts"):
        models.load(Model(name=folder_of("vit")), "image").inputs(examples(TEXTS), 5)
    with pytest.raises(MissingResource, match="reads texts, the data set holds images"):
        models.load(Model(name=folder_of("bert"))).inputs(examples(IMAGES), 5)


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2-lm"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_tokens_are_those_of_the_librarys_own_call(folder_of, tmp_path, kind, side):
    folder = tmp_path / kind
    shutil.copytree(folder_of(kind), folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"truncation_side": side}))
    odd = (*TEXTS, "", "  Na\u00efve caf\u00e9 \u4e2d\u6587 \U0001f600 [SEP] don't", "word " * 600)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for most in (3, MAX_TOKENS, 512):
        wanted = tokenizer(list(odd), truncation=True, max_length=most)["input_ids"]
        assert tokens.token_ids(folder, odd, most) == wanted
        assert max(map(len, wanted)) == most


def test_a_text_without_a_token_is_an_error():
    with pytest.raises(MissingResource, match="model 'm' makes no token of text 1 of the data set"):
        tokens.padded([[4, 5], [], [6]], "m")
    ids, lengths = tokens.padded([[4, 5], [6]], "m")
    assert (ids.tolist(), lengths.tolist()) == ([[4, 5], [6, 0]], [2, 1])
