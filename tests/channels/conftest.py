from __future__ import annotations

from hypothesis import settings

# The same examples on every run, and no limit on the time of one: a slow machine is not a wrong answer.
settings.register_profile("channels", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("channels")
