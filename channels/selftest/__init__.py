"""The self-test: every closed form and published figure that the radio models are held to, in one list.

Knows what is expected of the models, and nothing of scenarios; ``wfl-sim selftest`` prints it and the tests walk it.

>>> from channels import selftest
>>> for result in selftest.run(selftest.select(selftest.CHECKS, ["path_loss.uma"])):
...     print(result.check.name, result.passed)
path_loss.uma True
"""

from __future__ import annotations

from channels.selftest import fading, largescale, losses, movement, rates, sameness, selective, shadowing
from channels.selftest.check import Check, Result, SelectionError, Tolerance, largest_deviation, run, select

__all__ = ["CHECKS", "Check", "Result", "SelectionError", "Tolerance", "largest_deviation", "run", "select"]

CHECKS: tuple[Check, ...] = (
    *largescale.CHECKS,
    *shadowing.CHECKS,
    *movement.CHECKS,
    *fading.CHECKS,
    *selective.CHECKS,
    *losses.CHECKS,
    *rates.CHECKS,
    *sameness.CHECKS,
)
