"""Settings for all tests: drawn examples are the same on every machine and in every run.

Another draw: ``pytest --hypothesis-profile=default``.
"""

from __future__ import annotations

from hypothesis import settings

# No limit on the time of one example: a slow machine is not a wrong answer.
settings.register_profile("same", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("same")
