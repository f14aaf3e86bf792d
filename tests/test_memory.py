"""The peak memory of a process: its own, whatever its parent has taken."""

from __future__ import annotations

import subprocess
import sys

import pytest

from wfl_sim import memory

MIB = 2**20
TAKES = """
from wfl_sim.memory import peak_rss_mib
before = peak_rss_mib()
taken = bytearray(b"1") * (64 * 2**20)  # written, so that it is resident
with_it = peak_rss_mib()
del taken
print(before, with_it, peak_rss_mib())
"""


def child() -> list[float]:
    done = subprocess.run([sys.executable, "-c", TAKES], check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def test_it_holds_what_was_taken_and_given_back() -> None:
    before, most, after = child()
    assert before + 60 < most < before + 80
    assert after == pytest.approx(most, abs=1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="getrusage alone counts the parent's peak too")
def test_a_child_does_not_inherit_it() -> None:
    taken = bytearray(b"1") * (256 * MIB)
    assert max(child()) < 128 < len(taken) / MIB < memory.peak_rss_mib()
