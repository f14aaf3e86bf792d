"""Models, data, partitions and local training."""

import os

# Models and data come from packages and folders, unless a user asks for more. Libraries of the hub read this once, when
# they are first imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
