"""Results do not hang on the number of cores: a run calculates in one thread, however many a library would take."""

from __future__ import annotations

from collections.abc import Callable

import torch
from threadpoolctl import threadpool_info, threadpool_limits

from wfl_sim.learning.federated import build_work
from wfl_sim.scenario import Study


def threads() -> set[int]:
    return {torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")}


def test_a_run_takes_one_thread_of_every_library(small_run: Callable[..., Study]) -> None:
    torch.set_num_threads(2)
    with threadpool_limits(2, user_api="blas"):
        assert threads() == {2}
        work, _ = build_work(small_run("method: {kind: fedavg}").cells[0].scenario, None)
        try:
            assert threads() == {1}
        finally:
            work.close()
            torch.set_num_threads(1)
