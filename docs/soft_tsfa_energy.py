"""Where the energy of a client's update lies: in a few components, entries, or directions across components?

The table of docs/soft-tsfa.md that says why plain SOFT loses. Trains dense LoRA for some rounds by the real trainer,
and looks at what each client would send; no radio.

    python docs/soft_tsfa_energy.py [key=value ...]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import numpy as np  # noqa: E402

from wfl_sim.contracts import Point  # noqa: E402
from wfl_sim.learning.federated import build_work  # noqa: E402
from wfl_sim.scenario import load  # noqa: E402

SHARE = 1 / 8  # of all components, entries or directions
ROUNDS = (1, 2, 4, 8)


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


def main(overrides: list[str]) -> None:
    """Print the table."""
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
        work.aggregate({client: payload for client, payload in payloads.items() if payload is not None})
    work.close()


if __name__ == "__main__":
    main(sys.argv[1:])
