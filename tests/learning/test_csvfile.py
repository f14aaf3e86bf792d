"""CSV files of one's own: what is read, and the line of whatever is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from channels.streams import Stream
from wfl_sim.checks import check_data_set
from wfl_sim.errors import MissingResource
from wfl_sim.learning import data
from wfl_sim.learning.datasets import csvfile
from wfl_sim.learning.datasets.csvfile import CsvTexts
from wfl_sim.learning.options import Data

GOOD = 'label,text,n,client\nb,one,1,you\na, two ,2,me\n\nb,"three, or ""3""\nlines",3,me\na,one,4,me\nb,four,5,you\n'


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | bytes], CsvTexts]:
    """A file x.csv in the working directory with that content, as a data set."""
    monkeypatch.chdir(tmp_path)

    def write(content: str | bytes) -> CsvTexts:
        Path("x.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return CsvTexts("csv:x.csv")

    return write


def test_texts_labels_and_clients_are_read(made) -> None:
    found = made(GOOD)
    examples = found.examples()
    assert examples.inputs == ("one", "two", 'three, or "3"\nlines', "four")
    assert (found.classes, examples.labels.tolist()) == (("a", "b"), [1, 0, 1, 1])
    assert (found.natural, examples.groups.tolist()) == (("me", "you"), [1, 0, 0, 1])
    assert found.counts() == (1, 3)
    about = found.record()
    assert (about["file"], about["rows"], about["duplicates"]) == ("x.csv", 5, 1)
    check_data_set(found)


def test_without_a_column_of_clients_there_are_none(made) -> None:
    found = made("text,label\none,0\ntwo,1\n")
    assert found.natural == ()
    assert found.examples().groups is None
    check_data_set(found)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [(("10", "9", "-1"), ("-1", "9", "10")), (("10", "9", "x"), ("10", "9", "x")), (("B", "a", "C"), ("B", "C", "a"))],
)
def test_whole_numbers_are_ordered_as_numbers_and_names_as_names(made, labels, classes) -> None:
    rows = "".join(f"t{n},{label}\n" for n, label in enumerate(labels))
    assert made(f"text,label\n{rows}").classes == classes


def test_a_byte_order_mark_and_windows_line_ends_do_not_count(made) -> None:
    assert made(b"\xef\xbb\xbftext,label\r\none,0\r\ntwo,1\r\n").examples().inputs == ("one", "two")


WRONG = [
    ("text,lable\na,b\n", "x.csv:1: the column 'label' is missing; the first line names ['text', 'lable']"),
    ("\n\ntext\na\n", "x.csv:3: the column 'label' is missing"),
    ("text,label,text\na,b,c\n", "x.csv:1: the column 'text' stands twice"),
    ("text,label\na,0\n ,1\n", "x.csv:3: the text is empty"),
    ('text,label\n"a\nb",0\nc,\n', "x.csv:4: the label is empty"),
    ("text,label,client\na,0,me\nb,1,\n", "x.csv:3: the client is empty"),
    ("text,label\na,0\nb\n", "x.csv:3: has 1 values; the header names 2"),
    ("text,label\na,0\nb,1,2\n", "x.csv:3: has 3 values; the header names 2"),
    ('text,label\na,0\n"b"x,1\n', "x.csv:3: "),
    ('text,label\na,0\n"b,1\n', "x.csv:3: "),
    ("text,label\na,good\nb,good\n", "x.csv: every label is 'good'; a task needs two classes or more"),
    ("text,label\n", "x.csv: has a header and no rows"),
    ("", "x.csv: is empty; its first line names the columns: text, label"),
    (b"text,label\n\xff,0\n", "x.csv: is not UTF-8 text"),
]


@pytest.mark.parametrize(("content", "says"), WRONG, ids=[says[6:30] for _, says in WRONG])
def test_what_is_wrong_is_told_with_its_line(made, content, says) -> None:
    with pytest.raises(MissingResource) as told:
        made(content).examples()
    assert str(told.value).startswith(says)


def test_a_file_that_is_too_large_is_not_read(made, monkeypatch) -> None:
    monkeypatch.setattr(csvfile, "LARGEST_BYTES", 1 << 20)
    with pytest.raises(MissingResource, match="is larger than 1 MiB"):
        made("text,label\n" + "a,0\n" * (1 << 18)).counts()


def test_a_changed_file_is_read_again(made) -> None:
    assert made("text,label\na,0\nb,1\n").counts() == (1, 1)
    assert made("text,label\na,0\nb,1\nc,1\n").counts() == (1, 2)


@pytest.mark.parametrize("name", ["csv:", "csv:no.csv", "csv:.", "csv:a\0b", "csv:" + "x" * 5000])
def test_a_file_that_is_not_there_is_named(name) -> None:
    with pytest.raises(MissingResource, match="there is no such file; looked for beside the scenario"):
        data.data_set(name).counts()


def test_it_is_looked_for_beside_the_scenario_and_in_declared_folders(tmp_path, monkeypatch) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "y.csv").write_text("text,label\na,0\nb,1\n")
    monkeypatch.chdir(tmp_path)
    moved = Data(name="csv:y.csv").beside(tmp_path / "below")
    assert moved.name == "csv:below/y.csv"
    assert Data(name="below").beside(tmp_path).name == "below"
    for name in ("csv:no.csv", "builtin:wordnet10", "csv:/y.csv", "no/where", "csv:"):
        assert Data(name=name).beside(tmp_path / "below").name == name
    with pytest.raises(MissingResource):
        CsvTexts("csv:y.csv").locate()
    monkeypatch.setenv("WFL_SIM_ROOTS", str(tmp_path / "below"))
    assert CsvTexts("csv:y.csv").counts() == (1, 1)


def test_a_balanced_task_with_its_clients_is_drawn(made) -> None:
    rows = "".join(f"text {n},{'good' if n % 3 else 'bad'},{n % 4}\n" for n in range(60))
    made(f"text,label,client\n{rows}")
    task = data.load(Data(name="csv:x.csv", train=20, test=10, validation=4), Stream.root(3))
    assert (task.kind, task.classes, task.groups) == ("text", ("bad", "good"), ("0", "1", "2", "3"))
    number = [int(text.split()[1]) for text in task.train.inputs]
    assert [n % 4 for n in number] == task.train.groups.tolist()
    assert [int(n % 3 > 0) for n in number] == task.train.labels.tolist() == [0] * 10 + [1] * 10
    ((key, message),) = data.check_sizes(Data(name="csv:x.csv", train=40, test=10))
    assert key == "learning.data.train"
    assert "must be at most 30 beside 10 for testing: the class 'bad' of 'csv:x.csv' has 20 texts" in message
