"""Fashion-MNIST: small grey pictures of clothes in ten classes, and those set aside for pre-training.

Knows the IDX format and where the files lie.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from channels.options import Options
from wfl_sim.errors import MissingResource
from wfl_sim.learning.datasets.base import absent
from wfl_sim.learning.examples import Examples, TaskKind
from wfl_sim.learning.packages import cache_dir, fingerprint, recorded, usable

PACKAGE, VERSION = "dataset-fashion-mnist", "0.0~git20200523.55506a9-1"
SHA256 = "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0"
INSTALLED = Path("/usr/share/datasets/fashion-mnist")
# Images and labels of the training and of the test part; the name of the last one stands for all.
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
PRETRAINING = (0, 1, 2, 3, 4)  # classes of which the first images are for pre-training
PRETRAINING_EACH = 2400
_LARGEST = 1 << 30  # bytes of a file, unpacked


@dataclass(frozen=True)
class FashionMnist(Options):
    """Grey pictures of clothes, 28 x 28 pixels, to be told apart by what they show.

    58,000 images: 4,600 of each of the first five classes, 7,000 of each of the others.

    Formula
    -------
    The images of the training and of the test file together: training, test and validation sets are drawn anew, so the
    files' own split means nothing here. The first 2,400 images of each of the classes t-shirt, trouser, pullover, dress
    and coat are left out: with them ``builtin:vit-fashion`` was pre-trained, and no image that it has seen is in a set.

    Validity
    --------
    Photographs of a shop, centred, without background: far easier than pictures of the world. The model that goes with
    it knows half of the classes; to tell the other half needs adapters.

    Source
    ------
    Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747, under the MIT licence, from Debian's package
    dataset-fashion-mnist. `wfl-sim fetch builtin:fashion_mnist` brings it where it is not installed.
    """

    kind: Literal["builtin:fashion_mnist"] = "builtin:fashion_mnist"
    task: ClassVar[TaskKind] = "image"
    classes: ClassVar[tuple[str, ...]] = (
        "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip
    natural: ClassVar[tuple[str, ...]] = ()

    def locate(self) -> Path:
        """The folder of the four files; MissingResource where there is none."""
        for folder in (INSTALLED, cache_dir("fashion_mnist")):
            if all(usable(folder / name) for name in FILES):
                return folder
        raise absent(self.kind)

    def counts(self) -> tuple[int, ...]:
        """Images of each class, by the files of labels alone, which are small."""
        labels = self._labels()
        return tuple(int(n) for n in np.bincount(labels[~_for_pretraining(labels)], minlength=len(self.classes)))

    def examples(self) -> Examples:
        """All images but those for pre-training."""
        images, labels = self._all()
        return Examples(images[~(kept := _for_pretraining(labels))], labels[~kept])

    def pretraining(self) -> Examples:
        """The images that `examples` leaves out."""
        images, labels = self._all()
        return Examples(images[(kept := _for_pretraining(labels))], labels[kept])

    def record(self) -> dict[str, Any]:
        """Origin, package version and sha256: the hash of the four files' hashes."""
        about = recorded(self.locate())
        origin, version = about.get("origin", "installed copy"), about.get("package_version", "unknown")
        return {"origin": origin, "package_version": version, "sha256": self._hash()}

    def _hash(self) -> str:
        folder = self.locate()
        return hashlib.sha256(" ".join(fingerprint(folder / name) for name in FILES).encode()).hexdigest()

    def _labels(self) -> NDArray[np.int64]:
        parts = [self._read(name, 1) for name in FILES[1::2]]
        for name, part in zip(FILES[1::2], parts, strict=True):
            if part.size and part.max() >= len(self.classes):
                raise self._wrong(f"{name}: a label is {part.max()}, above {len(self.classes) - 1}")
        return np.concatenate(parts).astype(np.int64)

    def _all(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        images, labels = np.concatenate([self._read(name, 3) for name in FILES[::2]]), self._labels()
        if len(images) != labels.size:
            raise self._wrong(f"{labels.size} labels of {len(images)} images")
        return images, labels

    def _read(self, name: str, dimensions: int) -> NDArray[np.uint8]:
        try:
            return read_idx(self.locate() / name, dimensions)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise self._wrong(str(error)) from None

    def _wrong(self, why: str) -> MissingResource:
        return MissingResource(
            f"data {self.kind!r}: {why}; remove the files there, and `wfl-sim fetch {self.kind}` brings others"
        )


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """An array of unsigned bytes from a file in IDX format, packed by gzip.

    Raises
    ------
    ValueError
        It is none, has another number of dimensions, or is shorter or longer than it says.
    """
    with gzip.open(path) as file:
        content = file.read(_LARGEST)
    head = 4 + 4 * dimensions
    if len(content) < head or content[:4] != bytes((0, 0, 8, dimensions)):
        raise ValueError(f"{path.name}: is no IDX file of unsigned bytes in {dimensions} dimensions")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, 4))
    if len(content) - head != prod(shape):
        raise ValueError(f"{path.name}: says {prod(shape)} bytes of data and has {len(content) - head}")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)


def _for_pretraining(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    kept = np.zeros(labels.size, dtype=bool)
    for label in PRETRAINING:
        kept[np.flatnonzero(labels == label)[:PRETRAINING_EACH]] = True
    return kept
