"""Repeats the study behind docs/soft-tsfa.md: runs its parts, then makes a table and a picture for each question.

Knows which scenarios, arms and seeds answer which question; how they are run stands in `evidence`, and how an answer
looks in `soft_tsfa_pages`.

    python docs/soft_tsfa.py --size core --jobs 2 --output runs/soft-tsfa
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from evidence import MORE_SEEDS, SIZES, Part, main  # noqa: E402

AT_FEWER_BITS = (
    *("dense", "dense-rank-1-int8", "flasc-int8", "svd-int8", "soft-plus-no-feedback"),
    *("topk-int8", "soft", "soft-turned", "soft-plus", "soft-plus-rank-4"),
)
INGREDIENTS = (
    *("soft", "lambda-0.001", "lambda-0.1", "cosine", "identity", "weight", "update", "full-feedback", "per-layer"),
    *("renormalise", "server-basis", "int8", "all-three", "soft-plus", "soft-plus-lambda-0.01"),
    *("soft-plus-random-basis", "soft-plus-16-bits"),
)
"""What of an ablation question 1 itself does not have: that has no penalty, and no feedback, of both."""
SELDOM_CALLED = (
    *("dense", "dense-rank-4-int8", "flasc-int8", "svd-int8", "soft-no-feedback", "soft-plus-no-feedback"),
    *("topk-int8", "soft", "soft-turned", "soft-plus"),
)
FEW_ARMS = ("dense", "dense-rank-4-int8", "topk-int8", "soft", "soft-plus")
AT_EQUAL_TIME = (
    *("dense-equal", "dense-min-max", "dense-int8-min-max", "soft-min-max", "soft-tsfa", "topk-int8-min-max"),
    *("topk-int8-tsfa", "soft-plus-min-max", "soft-plus-deadline", "soft-plus-tsfa"),
)
BAND_HELD = ("dense-equal-held", "dense-min-max-held", "soft-plus-tsfa-held")
MATCHED = {
    "soft-min-max": "soft-tsfa",
    "topk-int8-min-max": "topk-int8-tsfa",
    "soft-plus-min-max": "soft-plus-tsfa",
    "soft-plus-threshold": "soft-plus-tsfa",
}
"""Arms that send as many bits an update as another did on average, so that sparsity and scheduling are told apart."""
WITH_ERRORS = (
    *("tsfa", "tsfa-error-3dB", "tsfa-error-6dB", "tsfa-delay-4s", "tsfa-large-scale", "min-max"),
    *("min-max-error-6dB", "min-max-delay-4s", "equal"),
)
FIXED = {arm: "tsfa" for arm in WITH_ERRORS if not arm.startswith("tsfa")}
CELL_SMOKE = ("dense-equal", "soft-min-max", "soft-tsfa")

PARTS = (
    Part("tradeoff_kept_fraction", "1", "tradeoff_kept_fraction", sizes=SIZES, seeds=MORE_SEEDS,
         title="At most 260 kbit an update", limit_kbit=260,
         smoke_arms=("head-only", "dense", "topk", "soft")),
    Part("tradeoff_110kbit", "1", "tradeoff_kept_fraction", AT_FEWER_BITS,
         ("schedule.payload='110 kbit'",), title="At most 110 kbit an update", limit_kbit=110),
    Part("tradeoff_six_layers", "1-six-layers", "tradeoff_kept_fraction", FEW_ARMS,
         ("learning.model.layers=6", "schedule.payload='660 kbit'"), title="Six layers, at most 660 kbit an update",
         limit_kbit=660),
    Part("tradeoff_100_clients", "1-100-clients", "tradeoff_kept_fraction", SELDOM_CALLED,
         ("clients.count=100", "protocol.cohort=10", "learning.data.partition.kind=classes"),
         title="100 clients, 10 a round, at most 260 kbit", limit_kbit=260),
    Part("soft_ablation", "1-ablation", "soft_ablation", INGREDIENTS, sizes=("smoke", "full"),
         smoke_arms=("soft", "soft-plus")),
    Part("latency_budget", "2", "latency_budget", AT_EQUAL_TIME, matched=MATCHED),
    Part("cell_edge", "2", "cell_edge", (*AT_EQUAL_TIME, "soft-plus-threshold"), sizes=SIZES,
         seeds=MORE_SEEDS, matched=MATCHED, smoke_arms=CELL_SMOKE),
    Part("mobility", "2", "mobility", (*AT_EQUAL_TIME, *BAND_HELD), seeds=MORE_SEEDS, matched=MATCHED),
    Part("burst_loss", "2", "burst_loss", AT_EQUAL_TIME, sizes=("core", "full"), seeds=MORE_SEEDS, matched=MATCHED),
    Part("tsfa_ablation", "2-ablation", "tsfa_ablation", sizes=("smoke", "full"), smoke_arms=("tsfa", "v-10")),
    Part("tradeoff_rank", "3", "tradeoff_rank", ("soft-plus-tsfa",), sizes=("smoke", "full"),
         plan_arm="soft-plus-tsfa", plan_by=("tail", "pilot"), smoke=("method.rank=2,8",)),
    Part("csi_error", "4", "csi_error", WITH_ERRORS, sizes=("smoke", "full"), matched=FIXED,
         smoke_arms=("tsfa", "tsfa-error-6dB")),
)  # fmt: skip


def write(parts: Sequence[Part], output: Path, tables: Path) -> Iterator[str]:
    """Make the pages; see `soft_tsfa_pages.write`."""
    from soft_tsfa_pages import write as pages  # late: pandas and matplotlib take a second, which no run needs

    return pages(parts, output, tables)


if __name__ == "__main__":
    sys.exit(main("soft-tsfa", PARTS, write))
