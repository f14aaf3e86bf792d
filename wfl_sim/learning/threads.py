"""Threads of the libraries that calculate."""

from __future__ import annotations

import torch
from threadpoolctl import threadpool_limits


def one_thread() -> None:
    """From now on torch and numpy calculate in one thread in this process.

    Two change the last bits, so that results would hang on the number of cores, and spin on small machines.
    """
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
