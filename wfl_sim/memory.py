"""How much memory this process has taken.

Knows the operating system, and nothing of the project.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_rss_mib() -> float:
    """The most memory that has been resident since this program began, MiB.

    Linux's ``VmHWM`` where there is one: there ``getrusage`` counts what the process was before it became this
    program, so that a child shows its parent's peak.
    """
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024**2 if sys.platform == "darwin" else 1024)
