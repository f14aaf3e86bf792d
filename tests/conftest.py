"""Settings for all tests: drawn examples are the same on every machine and in every run.

Another draw: ``pytest --hypothesis-profile=default``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# No limit on the time of one example: a slow machine is not a wrong answer.
settings.register_profile("same", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("same")

EXAMPLE_FILES = {
    "paths.csv": "time_s,client,x_m,y_m\n0,0,100,0\n60,0,100,300\n0,1,-50,20\n90,1,40,20\n",
    "bler.csv": "cqi,snr_db,bler\n1,-6,0.5\n1,-5,0.01\n",
    "up.trace": "5\n10\n",
    "visits.csv": "client,from_s,until_s\n0,0,3600\n0,7200,9000\n",
}


@pytest.fixture
def example_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory that holds each file which the example of an option names."""
    for name, text in EXAMPLE_FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
