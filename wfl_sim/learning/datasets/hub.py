"""Data sets of the Hugging Face hub and local folders of such, read by the package `datasets`.

Knows names of columns; imports the package only where a scenario names such data.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channels.units import shown
from wfl_sim.errors import MissingResource
from wfl_sim.learning import modelhub
from wfl_sim.learning.datasets.base import Contents, FromContents, classes_of, digest, places
from wfl_sim.learning.examples import Examples, TaskKind

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
TEXTS = ("text", "sentence", "content")
IMAGES = ("image", "img")
LABELS = ("label", "labels", "fine_label", "target", "class", "category")
CLIENTS = ("client", "client_id", "user_id", "writer_id")
LARGEST_BYTES = 1 << 31  # of all images together
MOST_FILES = 20_000  # of a folder


@dataclass(frozen=True)
class HubData(FromContents):
    """A data set of the Hugging Face hub by its id, or a local folder with one.

    It needs the package `datasets` (``pip install 'wfl-sim[hub]'``). A folder holds CSV, JSON or Parquet files, or what
    `save_to_disk` writes.

    Formula
    -------
    The split `train` is read, or the only one there is; training, test and validation sets are drawn from it. The input
    is the first of the columns text, sentence, content, image, img; the label the first of label, labels, fine_label,
    target, class, category; a natural client the first of client, client_id, user_id, writer_id, if any. Names of
    classes are those that the data set declares, else the labels in order. Empty texts are left out, and of equal
    inputs only the first counts: the manifest says how many.

    Validity
    --------
    Texts or images with one label each; all images of one size. Nothing is downloaded while the variable HF_HUB_OFFLINE
    is 1, as it is unless you set it: ``HF_HUB_OFFLINE=0 wfl-sim fetch NAME`` brings a data set once, and runs then read
    the copy. Data sets that need their own code are refused.

    Source
    ------
    The hub's page of the data set says where it comes from and its licence.
    """

    kind: str = "OWNER/NAME"

    @staticmethod
    def takes(name: str) -> bool:
        """Whether a name in a scenario means a folder or an id of the hub."""
        return ":" not in name and (HUB_ID.fullmatch(name) is not None or local_folder(name) is not None)

    @property
    def task(self) -> TaskKind:
        """Text or image, by the column that there is."""
        return "image" if isinstance(self.contents().examples.inputs, np.ndarray) else "text"

    def locate(self) -> Path:
        """The folder, or the copy in the hub's cache."""
        if (folder := local_folder(self.kind)) is not None:
            return folder
        hub = modelhub.cache() / f"datasets--{self.kind.replace('/', '--')}"
        tables = Path(os.environ.get("HF_DATASETS_CACHE") or modelhub.home() / "datasets")
        tables /= self.kind.replace("/", "___")
        for place in (hub, tables):
            if place.is_dir():
                return place
        if not modelhub.online():
            raise MissingResource(
                f"data {shown(self.kind)}: no such folder, and no copy of the hub's data set of that name is on this "
                f"computer; HF_HUB_OFFLINE=1 forbids to ask the hub: `HF_HUB_OFFLINE=0 wfl-sim fetch {self.kind}` "
                "brings it"
            )
        return modelhub.home()

    def record(self) -> dict[str, Any]:
        """Split, columns, numbers of rows, and the sha256 of the examples."""
        found = self.contents()
        return {**found.about, "sha256": digest(found.examples)}

    def contents(self) -> Contents:
        """What the folder, or the hub's data set, holds."""
        place = self.locate()
        if importlib.util.find_spec("datasets") is None:
            raise MissingResource(
                f"data {shown(self.kind)}: needs the package `datasets`, which is not installed: "
                "`pip install 'wfl-sim[hub]'`"
            )
        local = local_folder(self.kind)
        return _found(self.kind, str(local.resolve()) if local else self.kind, _state(place) if local else ())


def local_folder(name: str) -> Path | None:
    """Where a folder of that name lies, or None."""
    if not name or not name.isprintable():
        return None
    try:
        return next((folder / name for folder in places() if (folder / name).is_dir()), None)
    except (OSError, ValueError):
        return None


def _state(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What tells one state of a folder from another."""
    try:
        entries = list(islice(folder.rglob("*"), MOST_FILES + 1))
        files = sorted(path for path in entries if path.is_file())
    except OSError as error:
        raise MissingResource(f"data: the folder {shown(str(folder))} cannot be read: {error}") from None
    if len(entries) > MOST_FILES:
        raise MissingResource(
            f"data: the folder {shown(str(folder))} holds more than {MOST_FILES} entries; name that of one data set"
        )
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)


@lru_cache(maxsize=2)
def _found(name: str, source: str, state: tuple[tuple[str, int, int], ...]) -> Contents:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the package is imported
    import datasets

    datasets.disable_progress_bars()
    datasets.utils.logging.set_verbosity_error()
    try:
        if (Path(source) / "dataset_dict.json").is_file() or (Path(source) / "state.json").is_file():
            loaded = datasets.load_from_disk(source)
        else:
            loaded = datasets.load_dataset(source)
    except Exception as error:  # whatever the package, its readers and the network raise
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        may_ask = source == name and not modelhub.online()
        remedy = f"; `HF_HUB_OFFLINE=0 wfl-sim fetch {name}` asks the hub" if may_ask else ""
        raise MissingResource(f"data {shown(name)} cannot be loaded: {shown(why)}{remedy}") from None
    split, rows = "all", loaded
    if isinstance(loaded, dict):
        names = list(loaded)
        if "train" not in names and len(names) > 1:
            raise MissingResource(f"data {shown(name)}: has no split 'train'; there are: {', '.join(names)}")
        split = "train" if "train" in names else names[0]
        rows = loaded[split]
    return _from_rows(name, split, rows)


def _from_rows(name: str, split: str, rows: Any) -> Contents:
    columns = list(rows.column_names)
    source = _column(name, columns, (*TEXTS, *IMAGES), "an input")
    target = _column(name, columns, LABELS, "labels")
    client = next((column for column in CLIENTS if column in columns), None)
    labels, classes = _labels(name, rows, target)
    if source in IMAGES:
        try:
            images, keys = _images(name, rows[source])
        except (OSError, ValueError, SyntaxError) as error:  # what decoders of pictures raise
            raise MissingResource(f"data {shown(name)}: an image cannot be read: {shown(str(error))}") from None
    else:
        texts = [text.strip() if isinstance(text, str) else "" for text in rows[source]]
        keys = [text.encode("utf-8", "surrogatepass") for text in texts]
    first: dict[bytes, int] = {}
    for row, key in enumerate(keys):
        if key:
            first.setdefault(key, row)
    kept = np.array(list(first.values()), dtype=np.int64)
    wrong = [row for row in kept if not 0 <= labels[row] < len(classes)]
    if wrong:
        said = f"the label of row {wrong[0]} is {labels[wrong[0]]}, outside 0 to {len(classes) - 1}"
        raise MissingResource(f"data {shown(name)}: {said}; rows without a label (-1) cannot be learnt from")
    if len(classes) < 2:
        raise MissingResource(f"data {shown(name)}: has one class; a task needs two or more")
    clients = [str(value) for value in rows[client]] if client else []
    natural = classes_of(clients[row] for row in kept) if client else ()
    number = {who: n for n, who in enumerate(natural)}
    groups = np.array([number[clients[row]] for row in kept], dtype=np.int64) if client else None
    empty = sum(not key for key in keys)
    about = {"split": split, "columns": [source, target, *([client] if client else [])], "rows": len(keys)}
    about |= {"duplicates": len(keys) - empty - len(kept), "empty": empty}
    inputs = images[kept] if source in IMAGES else tuple(texts[row] for row in kept)
    return Contents(Examples(inputs, labels[kept], groups), classes, natural, about)


def _column(name: str, columns: Sequence[str], known: Sequence[str], what: str) -> str:
    for column in known:
        if column in columns:
            return column
    raise MissingResource(
        f"data {shown(name)}: no column holds {what}: looked for {', '.join(known)}; there are: {', '.join(columns)}"
    )


def _labels(name: str, rows: Any, column: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """A whole number for each row, and the names that they stand for."""
    values, names = list(rows[column]), getattr(rows.features[column], "names", None)
    if any(not isinstance(value, (int, str)) for value in values):
        wrong = next(row for row, value in enumerate(values) if not isinstance(value, (int, str)))
        raise MissingResource(
            f"data {shown(name)}: the label of row {wrong} in {column!r} is {shown(values[wrong])}; it must be a "
            "name or a whole number"
        )
    if names is not None:
        return np.array(values, dtype=np.int64), tuple(names)
    classes = classes_of(map(str, values))
    number = {label: n for n, label in enumerate(classes)}
    return np.array([number[str(value)] for value in values], dtype=np.int64), classes


def _images(name: str, pictures: Iterable[Any]) -> tuple[NDArray[np.uint8], list[bytes]]:
    arrays: list[NDArray[np.uint8]] = []
    mode, total = "", 0
    for row, picture in enumerate(pictures):
        if not hasattr(picture, "convert"):
            raise MissingResource(
                f"data {shown(name)}: row {row} of its images is {shown(picture)}, no picture; in a folder of pictures "
                "the package `datasets` finds them by a file metadata.csv with a column file_name"
            )
        mode = mode or ("L" if picture.mode in ("1", "L") else "RGB")
        arrays.append(np.asarray(picture.convert(mode), dtype=np.uint8))
        total += arrays[-1].nbytes
        if arrays[-1].shape != arrays[0].shape:
            first, other = (f"{a.shape[1]} x {a.shape[0]}" for a in (arrays[0], arrays[-1]))
            raise MissingResource(
                f"data {shown(name)}: images differ in size: {first} pixels in row 0, {other} in row {row}; bring them "
                "to one size first"
            )
        if total > LARGEST_BYTES:
            raise MissingResource(f"data {shown(name)}: its images take more than {LARGEST_BYTES >> 30} GiB unpacked")
    if not arrays:
        raise MissingResource(f"data {shown(name)}: holds no image")
    return np.stack(arrays), [hashlib.sha256(array.tobytes()).digest() for array in arrays]
