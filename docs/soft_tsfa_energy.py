"""Where the energy of a client's update lies: in a few components, entries, or directions across components?

The table of docs/soft-tsfa.md that says why plain SOFT loses, and one of what codecs cost besides values. Trains dense
LoRA for some rounds by the real trainer, and looks at what each client would send; no radio.

    python docs/soft_tsfa_energy.py [key=value ...]
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import numpy as np  # noqa: E402

from wfl_sim.codecs import Components, Rotated, TopK  # noqa: E402
from wfl_sim.codecs.base import Codec, Update  # noqa: E402
from wfl_sim.contracts import Point  # noqa: E402
from wfl_sim.learning.federated import build_work  # noqa: E402
from wfl_sim.scenario import load  # noqa: E402

SHARE = 1 / 8  # of all components, entries or directions
ROUNDS = (1, 2, 4, 8)
MOST_BITS = 260_000  # of the updates whose codecs are compared
CODECS = {"topk": TopK(bits=8), "components": Components(bits=8), "rotated": Rotated(bits=8)}


def concentration(change: dict[str, np.ndarray], pairs: tuple[tuple[str, str], ...]) -> list[float]:
    """Shares of the energy in the largest eighth of whole components, entries, and directions of A and of B."""
    found = []
    for a, b in pairs:
        rows_a, rows_b = change[a].astype(float), change[b].T.astype(float)
        entries = np.concatenate([rows_a.ravel(), rows_b.ravel()]) ** 2
        components = (rows_a**2).sum(1) + (rows_b**2).sum(1)
        turned = [np.linalg.svd(rows, compute_uv=False) ** 2 for rows in (rows_a, rows_b)]
        found.append([_top(components), _top(entries), *map(_top, turned)])
    return np.mean(found, axis=0).tolist()


def _top(energies: np.ndarray) -> float:
    falling = np.sort(energies)[::-1]
    return float(falling[: max(1, int(SHARE * falling.size))].sum() / falling.sum())


def told(name: str, codec: Codec, updates: list[Update]) -> str:
    """A row: the values that are sent, bits for all else than these and the head, and CPU time to code and decode."""
    layout = updates[0].layout
    point = max((point for point in codec.menu(layout).points if point.bits <= MOST_BITS), key=lambda point: point.bits)
    began_s = time.process_time()
    sent = [codec.encode(update, point.kept_fraction) for update in updates]
    coded_s = time.process_time()
    for update, payload in zip(updates, sent, strict=True):
        codec.decode(payload.data, update.layout)
    decoded_s = time.process_time()
    bits = [8 * len(payload.data) for payload in sent]
    values = 8 * layout.size(layout.adapters) * point.kept_fraction  # factors are alike here: a direction has a row's
    rest = np.mean(bits) - values - 8 * codec.plain_bytes(layout, layout.heads)
    times = ((coded_s - began_s) / len(updates), (decoded_s - coded_s) / len(updates))
    cells = f"{np.mean(bits) / 1e3:.0f}", f"{max(bits) - min(bits)}", f"{rest / 1e3:.1f}"
    return f"| {name} | {' | '.join(cells)} | {' | '.join(f'{1e3 * own:.1f}' for own in times)} |"


def main(overrides: list[str]) -> None:
    """Print the tables."""
    study = load(ROOT / "scenarios/tradeoff_kept_fraction.yaml", overrides)
    scenario = next(cell.scenario for cell in study.cells if cell.arm == "dense")
    work, _ = build_work(scenario, None)
    clients, everything = range(scenario.clients.count), Point(1.0, 0, 0.0)
    print("| round | components | entries | directions of A | directions of B |\n|---|---|---|---|---|")
    for number in range(1, max(ROUNDS) + 1):
        work.train(number, clients)
        payloads = {client: work.encode(client, everything) for client in clients}
        if number in ROUNDS:
            rows = [concentration(update.change, update.layout.pairs) for update in map(work.update, clients) if update]
            print(f"| {number} | {' | '.join(f'{share:.2f}' for share in np.mean(rows, axis=0))} |", flush=True)
            updates = [update for update in map(work.update, clients) if update]
        work.aggregate({client: payload for client, payload in payloads.items() if payload is not None})
    work.close()
    print("\n| codec | update, kbit | its spread, bit | index, scales, turns, kbit | code, ms | decode, ms |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, codec in CODECS.items():
        print(told(name, codec, updates))


if __name__ == "__main__":
    main(sys.argv[1:])
