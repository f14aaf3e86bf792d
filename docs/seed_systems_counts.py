"""Counts behind docs/seed-systems.md: what FedTT and SA-FedLoRA send of large models, by the library's own layouts.

Nothing is run or loaded: shapes are those of the models' configurations. Task heads are left out, where none is named.

    python docs/seed_systems_counts.py > docs/seed-systems/counts.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from wfl_sim.codecs.base import Layout  # noqa: E402
from wfl_sim.learning.layouts import layout  # noqa: E402
from wfl_sim.learning.modelinfo import described  # noqa: E402
from wfl_sim.methods import METHODS  # noqa: E402
from wfl_sim.methods.base import NORMS, WEIGHTS, Role  # noqa: E402
from wfl_sim.methods.tensortrain import head_train  # noqa: E402

ALL: tuple[Role, ...] = ("query", "key", "value", "output", "up", "down")
MORE = {"num_attention_heads": 1, "vocab_size": 1, "max_position_embeddings": 1}  # which count for nothing here
LARGE = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "rms_norm_eps": 1e-5, **MORE}
SMALL = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, **MORE}
BLOCK = 4 * (768 * 768 + 768) + (768 * 3072 + 3072) + (3072 * 768 + 768) + 2 * 2 * 768  # attention, both ways, norms
VIT_B = 12 * BLOCK + (16 * 16 * 3 + 1) * 768 + (197 + 1) * 768 + 2 * 768  # patches, places and class, last norm
ROUNDS = 50


def trained(method: Any, config: dict[str, Any], classes: int = 0, norms: int = 0) -> Layout:
    """All that a method trains of such a model, with a head of so many classes and so many arrays of its norms."""
    info, adapter = described(Path(), config), method.adapter()
    own = [(name, (m, n)) for name, n, m in info.projections(method.adapt)]
    layers = {f"{block}.{name}": widths for block in range(info.layers) for name, widths in own}
    output = {"head.weight": (classes, info.hidden), "head.bias": (classes,)}
    head = head_train(info.hidden, adapter.classifier) | output
    return layout(adapter, layers, head, {f"{NORMS}{number}": (info.hidden,) for number in range(norms)})


def values(found: Layout) -> int:
    return found.size(found.everything)


def counted(config: dict[str, Any], rank: int, factors: int) -> Iterator[tuple[str, int]]:
    """What is trained, and how many values that is; each factor of FedTT+ has its turn."""
    lora, fedtt, plus = METHODS["fedavg"], METHODS["fedtt"], METHODS["fedtt_plus"](rank=rank)
    yield "LoRA of rank 16, all linear layers", values(trained(lora(rank=16, adapt=ALL), config))
    yield "LoRA of rank 8, query and value", values(trained(lora(rank=8), config))
    yield f"FedTT of rank {rank}", values(trained(fedtt(rank=rank), config))
    if config is LARGE:
        yield "FedTT with the gains of 65 norms", values(trained(fedtt(rank=rank), config, norms=65))
    else:
        both = fedtt(rank=rank, classifier="tensor_train")
        yield "FedTT with a tensor-train classifier and two classes", values(trained(both, config, 2))
        yield "the same with the gains and shifts of 25 norms", values(trained(both, config, 2, 50))
    opened = [plus.stage(version, factors, {}).opened(trained(plus, config)) for version in range(factors)]
    yield "FedTT+, cyclic, mean over rounds", sum(map(values, opened)) // factors


def page() -> Iterator[str]:
    """Its lines."""
    annealed = METHODS["sa_fedlora"]
    yield "Command: `python docs/seed_systems_counts.py`; values that a client sends in a round, by counting."
    for title, *shape in (("Llama-2-7B", LARGE, 8, 6), ("BERT base", SMALL, 5, 5)):
        rows = [*counted(*shape)]
        yield f"\n## FedTT: {title}\n\n| trained and sent | values | LoRA of rank 16 over that | of rank 8 |"
        yield "| --- | ---: | ---: | ---: |"
        yield from (f"| {name} | {n:,} | {rows[0][1] / n:.1f} | {rows[1][1] / n:.1f} |" for name, n in rows)
    yield f"\n## SA-FedLoRA: ViT-B, {VIT_B:,} weights, {ROUNDS} rounds, rank 16 to 4, against FedAvg of all weights\n"
    yield "| initiating rounds | heat | values of a client | fewer | by the initiating rounds alone |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for count, kind, heat in ((3, "full", 0.0), (3, "full", 0.2), (4, "full", 0.0), (3, "lora", 0.0)):
        method = annealed(rank=16, rank_end=4, heat=heat, initiating_rounds=count, initiating=kind)
        layers = trained(method, SMALL)
        whole = Layout(layers.pairs, (f"{WEIGHTS}all",), {**layers.shapes, f"{WEIGHTS}all": (VIT_B,)})
        sent = [values(method.stage(version, ROUNDS, {}).opened(whole)) for version in range(ROUNDS)]
        fewer, first = (100 * (1 - sum(part) / (ROUNDS * VIT_B)) for part in (sent, sent[:count]))
        yield f"| {count}, {kind} | {heat:g} | {sum(sent):,} | {fewer:.2f} % | {first:.2f} % |"


if __name__ == "__main__":
    print("\n".join(page()))
