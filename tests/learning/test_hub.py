"""Folders and hub ids through the package `datasets`: columns, labels, images, and errors; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest

from channels.streams import Stream
from wfl_sim.checks import check_data_set
from wfl_sim.errors import MissingResource
from wfl_sim.learning import data
from wfl_sim.learning.datasets import hub
from wfl_sim.learning.datasets.hub import HubData
from wfl_sim.learning.options import Data

datasets = pytest.importorskip("datasets", reason="needs the extra hub")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and caches of the hub's packages below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # which counts when the packages are imported: here they are already
    for settings in (datasets.config, huggingface_hub.constants):
        monkeypatch.setattr(settings, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "home" / "datasets")
    return tmp_path


def csv(name: str, content: str, file: str = "train.csv") -> HubData:
    Path(name).mkdir(exist_ok=True)
    Path(name, file).write_text(content)
    return HubData(name)


def saved(**columns: Any) -> HubData:
    """What `save_to_disk` writes."""
    features = columns.pop("features", None)
    datasets.Dataset.from_dict(columns, features=features).save_to_disk("saved")
    return HubData("saved")


def test_a_folder_of_csv_files_is_read_by_its_training_split() -> None:
    csv("made", "sentence,labels,user_id,n\nno,bad,7,1\nyes,good,10,2\nno,good,7,3\n ,bad,7,4\n")
    found = csv("made", "sentence,labels,user_id,n\nother,bad,7,1\n", "test.csv")
    assert (found.task, found.classes, found.natural) == ("text", ("bad", "good"), ("7", "10"))
    examples = found.examples()
    assert (examples.inputs, examples.labels.tolist(), examples.groups.tolist()) == (("no", "yes"), [0, 1], [0, 1])
    about = found.record()
    assert about["columns"] == ["sentence", "labels", "user_id"]
    assert (about["split"], about["rows"], about["duplicates"], about["empty"]) == ("train", 4, 1, 1)
    check_data_set(found)


def test_a_changed_folder_is_read_again() -> None:
    assert csv("made", "text,label\na,0\nb,1\n").counts() == (1, 1)
    before = HubData("made").record()["sha256"]
    assert csv("made", "text,label\na,0\nb,1\nc,1\n").counts() == (1, 2)
    assert HubData("made").record()["sha256"] != before


def test_declared_names_of_classes_count_with_their_order() -> None:
    features = datasets.Features({"content": datasets.Value("string"), "label": datasets.ClassLabel(names=["z", "a"])})
    found = saved(content=["one", "two", "three"], label=[0, 1, 1], features=features)
    assert (found.classes, found.examples().labels.tolist()) == (("z", "a"), [0, 1, 1])
    check_data_set(found)


def test_a_row_without_a_label_is_told() -> None:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["z", "a"])})
    with pytest.raises(MissingResource, match=r"the label of row 1 is -1, outside 0 to 1"):
        saved(text=["one", "two"], label=[0, -1], features=features).counts()


@pytest.mark.parametrize(("mode", "shape"), [("L", (4, 6, 5)), ("RGB", (4, 6, 5, 3))])
def test_images_become_bytes(mode: str, shape: tuple[int, ...]) -> None:
    from PIL import Image

    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    found = saved(img=[Image.fromarray(one, mode=mode) for one in pixels], label=[3, 5, 3, 5])
    assert (found.task, found.classes) == ("image", ("3", "5"))
    assert np.array_equal(found.examples().inputs, pixels)
    check_data_set(found)
    task = data.load(Data(name="saved", train=2, test=2), Stream.root(0))
    assert (task.kind, task.train.inputs.shape) == ("image", (2, *shape[1:]))


def test_images_of_different_sizes_are_refused() -> None:
    from PIL import Image

    found = saved(image=[Image.new("L", (5, 6)), Image.new("L", (6, 5))], label=[0, 1])
    with pytest.raises(MissingResource, match="images differ in size: 5 x 6 pixels in row 0, 6 x 5 in row 1"):
        found.counts()


def test_names_of_files_in_place_of_images_are_told() -> None:
    with pytest.raises(MissingResource, match=r"row 0 of its images is 'a\.png', no picture; .*metadata\.csv"):
        csv("made", "image,label\na.png,0\nb.png,1\n").counts()


def test_an_image_that_cannot_be_decoded_is_told(folder: Path) -> None:
    csv("made", "file_name,label\na.png,0\n", "metadata.csv")
    (folder / "made" / "a.png").write_bytes(b"no picture")
    with pytest.raises(MissingResource, match=r"data 'made'.*cannot be (read|loaded)"):
        HubData("made").counts()


def test_a_folder_named_like_a_format_is_read() -> None:
    assert csv("csv", "text,label\na,0\nb,1\n").counts() == (1, 1)


def test_a_damaged_folder_does_not_point_to_the_hub() -> None:
    with pytest.raises(MissingResource, match="cannot be loaded") as caught:
        csv("made", "").counts()
    assert "asks the hub" not in str(caught.value)


WRONG = [
    ("words,label\na,0\n", "no column holds an input: looked for text, .*; there are: words, label"),
    ("text,mark\na,0\n", "no column holds labels: looked for label, .*; there are: text, mark"),
    ("text,label\na,0\nb,0\n", "has one class; a task needs two or more"),
    ("text,label\na,0.5\nb,1\n", "the label of row 0 in 'label' is 0.5; it must be a name or a whole number"),
]


@pytest.mark.parametrize(("content", "says"), WRONG, ids=[says[:20] for _, says in WRONG])
def test_what_cannot_be_used_is_told(content: str, says: str) -> None:
    with pytest.raises(MissingResource, match=f"data 'made': {says}"):
        csv("made", content).classes  # noqa: B018


def test_splits_without_one_for_training_are_listed() -> None:
    csv("made", "text,label\na,0\n", "test.csv")
    with pytest.raises(MissingResource, match=r"has no split 'train'; there are: .*test"):
        csv("made", "text,label\na,0\n", "validation.csv").counts()


def test_an_empty_folder_is_told() -> None:
    Path("made").mkdir()
    with pytest.raises(MissingResource, match="data 'made' cannot be loaded: "):
        HubData("made").counts()


def test_a_folder_with_too_much_in_it_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "MOST_FILES", 3)
    for name in ("a", "b", "c", "d"):
        csv("made", "text,label\na,0\n", f"{name}.csv")
    with pytest.raises(MissingResource, match="the folder 'made' holds more than 3 entries"):
        HubData("made").counts()


def test_code_in_a_folder_is_not_run() -> None:
    Path("made").mkdir()
    Path("made", "made.py").write_text("import pathlib\npathlib.Path('marker').write_text('run')\n")
    with pytest.raises(MissingResource, match="cannot be loaded"):
        HubData("made").counts()
    assert not Path("marker").exists()


def test_an_id_that_is_not_here_says_how_to_allow_the_download() -> None:
    for ask in (HubData("fancyzhx/ag_news").locate, HubData("fancyzhx/ag_news").counts):
        with pytest.raises(MissingResource, match=r"HF_HUB_OFFLINE=1 forbids.*`HF_HUB_OFFLINE=0 wfl-sim fetch fancy"):
            ask()


def test_a_copy_that_is_incomplete_says_so_too(folder: Path) -> None:
    """The folder of a download that was interrupted."""
    (folder / "home" / "hub" / "datasets--fancyzhx--ag_news").mkdir(parents=True)
    with pytest.raises(MissingResource, match=r"cannot be loaded: .*`HF_HUB_OFFLINE=0 wfl-sim fetch fancyzhx/ag_news`"):
        HubData("fancyzhx/ag_news").counts()


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made = csv("made", "text,label\na,0\nb,1\n")
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingResource, match=r"needs the package `datasets`.*pip install 'wfl-sim\[hub\]'"):
        made.counts()


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("fancyzhx/ag_news", True), ("a.b/c-d", True), ("imdb", False), ("builtin:nope", False), ("a/b/c", False),
        ("../x/y", False), ("", False), ("csv:a/b", False), ("a\0/b", False), ("here", True),
    ],
)  # fmt: skip
def test_which_names_are_meant(name: str, taken: bool) -> None:
    Path("here").mkdir()
    assert HubData.takes(name) is taken
    assert data.known(name) is (taken or name.startswith("csv:"))
