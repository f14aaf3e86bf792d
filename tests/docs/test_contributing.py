"""CONTRIBUTING.md does what it says: its files are put together to an installed plug-in, and everything is run.

Knows the page by its fenced blocks; what the examples are about is the page's business.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "CONTRIBUTING.md"
MOST_LINES = 400
GROUPS = {
    "wfl_sim.path_loss": "channel.path_loss",
    "wfl_sim.method": "method",
    "wfl_sim.codec": "codec",
    "wfl_sim.schedule": "schedule",
    "wfl_sim.data_set": "learning.data.name",
}


class Installed(NamedTuple):
    """A folder with the plug-in, as pip would leave it, and with the scenario and the data of the page."""

    folder: Path
    project: dict[str, Any]

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(self.folder), str(ROOT)])
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )


@pytest.fixture(scope="module")
def files(blocks: Callable[[Path], list[Any]]) -> dict[str, str]:
    found = [block for block in blocks(PAGE) if block.title]
    assert len({block.title for block in found}) == len(found)
    return {block.title: block.text for block in found}


@pytest.fixture(scope="module")
def plugin(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("plugin")
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "wfl_extra" / "__init__.py").write_text('"""Models of our own."""\n')
    project = tomllib.loads(files["pyproject.toml"])["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    (folder / "data").mkdir()
    mood = {"positive": ("good", "fine", "lovely"), "negative": ("bad", "poor", "awful")}
    rows = [f"{word} {thing},{label}" for label, words in mood.items() for word in words
            for thing in ("film", "meal", "book", "song", "walk", "room", "day")]  # fmt: skip
    (folder / "data" / "reviews.csv").write_text("\n".join(["text,label", *rows, ""]), encoding="utf-8")
    return Installed(folder, project)


def kinds(plugin: Installed) -> dict[str, str]:
    """The kind of each group, from the source that the page shows."""
    found = {}
    for group, points in plugin.project["entry-points"].items():
        ((_, value),) = points.items()
        module, _, cls = value.partition(":")
        source = (plugin.folder / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        found[group] = re.findall(rf'class {cls}\b.*?\n    kind: Literal\["([^"]+)"\]', source, re.DOTALL)[0]
    return found


def test_the_page_is_short_and_shows_one_of_each(files: dict[str, str]) -> None:
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert set(project["entry-points"]) == set(GROUPS)
    modules = {value.partition(":")[0] for points in project["entry-points"].values() for value in points.values()}
    assert {f"{module.replace('.', '/')}.py" for module in modules} <= set(files)


def test_the_examples_are_in_our_style(plugin: Installed) -> None:
    for command in (["check"], ["format", "--check"]):
        done = plugin.python("-m", "ruff", *command, "--config", str(ROOT / "ruff.toml"), ".")
        assert done.returncode == 0, done.stdout + done.stderr


SHOW = """
import json, runpy
import wfl_extra.trimmed_mean, wfl_extra.proportional_fair  # before anything of ours that looks for plug-ins
runpy.run_path("check_extra.py")
from channels.describe import describe, options_of
from wfl_sim.nouns import NOUNS
cards = {key: {kind: [describe(cls).summary, describe(cls).formula, describe(cls).validity, describe(cls).source,
                      *(option.text for option in options_of(cls))] for kind, cls in registry.items()}
         for key, registry in NOUNS.items()}
print(json.dumps(cards))
"""


def test_every_kind_is_registered_and_passes_its_check(plugin: Installed) -> None:
    done = plugin.python("-c", SHOW)
    assert done.returncode == 0, done.stderr
    cards = json.loads(done.stdout)
    for group, kind in kinds(plugin).items():
        assert kind in cards[GROUPS[group]]
        assert all(cards[GROUPS[group]][kind]), f"{kind} leaves a section or an option without a text"


@pytest.mark.parametrize(
    ("group", "says"),
    [
        ("wfl_sim.codec", ("The signs of a LoRA update", "error_feedback", "arXiv:1901.09847")),
        ("wfl_sim.data_set", ("Short reviews, good or bad", "learning.data.name", "data/reviews.csv")),
    ],
)
def test_explain_shows_a_card(plugin: Installed, group: str, says: tuple[str, ...]) -> None:
    done = plugin.python("-m", "wfl_sim.cli", "explain", kinds(plugin)[group])
    assert done.returncode == 0, done.stderr
    assert [text for text in says if text not in done.stdout] == []


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("learning.data.name='extra:revews'", "'extra:revews' is not known; did you mean 'extra:reviews'?"),
        ("learning.data.train=60", "must be at most 34 beside 8 for testing: the class 'negative' of 'extra:reviews'"),
        ("codec.kind=sing", "sign"),
    ],
)
def test_a_scenario_that_they_cannot_serve_is_told_so(plugin: Installed, override: str, says: str) -> None:
    done = plugin.python("-m", "wfl_sim.cli", "validate", "extra.yaml", override)
    assert done.returncode == 2, done.stdout
    assert says in " ".join(done.stderr.split())


def test_validate_takes_the_scenario_that_selects_them_all(plugin: Installed) -> None:
    text = (plugin.folder / "extra.yaml").read_text(encoding="utf-8")
    assert all(kind in text for kind in kinds(plugin).values())
    done = plugin.python("-m", "wfl_sim.cli", "validate", "extra.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "extra.yaml" in done.stdout


RUN = """
import json, wfl_sim
from pathlib import Path
traces = wfl_sim.run("extra.yaml", jobs=1)
(manifest,) = Path("runs/extra").glob("*/manifest.json")
record = json.loads(manifest.read_text())
print(json.dumps([record["status"], record["data"], record["rounds_done"]]))
"""


@pytest.mark.slow
def test_a_run_with_them_all(plugin: Installed) -> None:
    done = plugin.python("-c", RUN)
    assert done.returncode == 0, done.stderr
    status, data, rounds = json.loads(done.stdout.splitlines()[-1])
    assert (status, rounds) == ("finished", 1)
    assert data["name"] == kinds(plugin)["wfl_sim.data_set"]
    assert data["classes"] == ["negative", "positive"]
    assert re.fullmatch(r"[0-9a-f]{64}", data["source"]["sha256"])


def test_a_plugin_that_cannot_be_loaded_is_named(plugin: Installed, tmp_path: Path) -> None:
    info = tmp_path / "broken_extra-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-extra\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[wfl_sim.codec]\nnothing = not_there_at_all:Codec\n")
    done = Installed(tmp_path, {}).python("-m", "wfl_sim.cli", "explain")
    assert done.returncode == 2
    assert "the plug-in 'nothing' (not_there_at_all:Codec) of wfl_sim.codec" in done.stderr
    assert "'broken-extra', cannot be loaded: ModuleNotFoundError" in done.stderr


def test_blocks_are_found_with_title_text_and_line(tmp_path: Path, blocks: Callable[[Path], list[Any]]) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n\n`a/b.py`\n\n```python\n\nx = 1\n```\ntext `no`\n\n````yaml\n# c.yaml\n```\n````\n```\n```\n"
    )
    assert [tuple(block) for block in blocks(page)] == [
        ("python", "a/b.py", "\nx = 1\n", 6),
        ("yaml", "c.yaml", "# c.yaml\n```\n", 12),
        ("", "", "", 16),
    ]
