"""Settings for all tests: drawn examples are the same on every machine and in every run.

Another draw: ``pytest --hypothesis-profile=default``.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")
