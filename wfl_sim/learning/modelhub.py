"""Models by a hub's id ``org/name``: in the hub's cache on this computer, or loaded into it where that is allowed.

Reads the cache without the hub's library, which is loaded for a download alone; knows no tensors.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from channels.units import shown
from wfl_sim.errors import MissingResource

ALLOW = "HF_HUB_OFFLINE"  # the hub library's own variable: 1 forbids the network, which is our default
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_REVISION = re.compile(r"[0-9a-f]{40}")
# Descriptions and tokenizers; weights only as safetensors, which cannot hold code.
DESCRIPTIONS = ("*.json", "*.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
WEIGHTS = "*.safetensors"


def is_id(name: str) -> bool:
    """Whether a name can be that of a model on the hub."""
    return ID.fullmatch(name) is not None and ".." not in name and "--" not in name


def online() -> bool:
    """Whether the environment allows to load from the hub."""
    return os.environ.get(ALLOW, "1").strip().lower() in ("0", "false", "no", "off")


def repository(name: str) -> Path:
    """The folder of a model in the hub's cache; it may not exist."""
    return Path(os.path.realpath(cache())) / f"models--{name.replace('/', '--')}"


def home() -> Path:
    """Where the hub's libraries keep what they have loaded."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    return Path(os.environ.get("HF_HOME") or os.path.join(base, "huggingface")).expanduser()


def cache() -> Path:
    """The part of it that holds files as they are on the hub."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(named).expanduser() if named else home() / "hub"


def cached(name: str) -> Path | None:
    """The folder with a model's files of the revision that was loaded last, or None."""
    root = repository(name)
    try:
        revision = (root / "refs" / "main").read_text(encoding="ascii")[:64].strip()
        if not _REVISION.fullmatch(revision):
            return None
        folder = root / "snapshots" / revision
        return folder if (folder / "config.json").is_file() else None
    except (OSError, ValueError):
        return None


def download(name: str, whole: bool) -> None:
    """Load a model's description into the cache, and its weights too if `whole`.

    Raises
    ------
    MissingResource
        The hub's library is not installed, or the hub cannot be reached, or has no such model.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingResource(f"model {name!r}: the package 'huggingface_hub' is not installed") from None
    patterns = [*DESCRIPTIONS, *([WEIGHTS] if whole else [])]
    try:
        snapshot_download(name, allow_patterns=patterns, cache_dir=str(repository(name).parent))
    except Exception as error:  # the library raises errors of its own, of its network library's and of the system's
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise MissingResource(f"model {name!r} could not be loaded from the hub: {shown(lines[0])}") from None
