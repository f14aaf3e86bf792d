"""Path loss, probability of line of sight and outer walls as Sionna has them: questions in, answers out, as JSON.

Runs in the oracle's own environment and knows nothing of this project.
"""

from __future__ import annotations

import json
import sys

import torch
from sionna.phy.channel.tr38901 import (
    InF,
    InH,
    LSPGenerator,
    PanelArray,
    RMa,
    UMa,
    UMi,
    rma_scenario,
    uma_scenario,
    umi_scenario,
)

KINDS = {"uma": UMa, "umi": UMi, "rma": RMa, "inh": InH, "inf": InF}
SPEED_OF_LIGHT_MPS = rma_scenario.SPEED_OF_LIGHT
REAL = torch.float64


def scenario(question, wall="low"):
    """The scenario object of a question, with one base station and a client at each distance."""
    carrier_hz = question["carrier_hz"]
    array = PanelArray(
        num_rows_per_panel=1,
        num_cols_per_panel=1,
        polarization="single",
        polarization_type="V",
        antenna_pattern="omni",
        carrier_frequency=carrier_hz,
        precision="double",
    )
    kind = question["model"]
    options = {"o2i_model": wall} if kind in ("uma", "umi") else {}
    channel = KINDS[kind](
        carrier_frequency=carrier_hz,
        ut_array=array,
        bs_array=array,
        direction="downlink",
        precision="double",
        **options,
        **question.get("options", {}),
    )
    found = channel._scenario
    distance_m = torch.tensor(question["distance_m"], dtype=REAL)
    clients = torch.stack(
        [distance_m, torch.zeros_like(distance_m), torch.full_like(distance_m, question["client_m"])], dim=1
    )
    inside_m = torch.full((1, len(clients)), question["inside_m"], dtype=REAL) if "inside_m" in question else None
    inside = kind in ("inh", "inf") or inside_m is not None
    found.set_topology(
        ut_loc=clients[None],
        bs_loc=torch.tensor([[[0.0, 0.0, question["base_m"]]]], dtype=REAL),
        ut_orientations=torch.zeros((1, len(clients), 3), dtype=REAL),
        bs_orientations=torch.zeros((1, 1, 3), dtype=REAL),
        ut_velocities=torch.zeros((1, len(clients), 3), dtype=REAL),
        in_state=torch.full((1, len(clients)), inside),
        los=question["state"] == "los",
        distance_2d_in=inside_m,
    )
    return found


def answer(question):
    for module in (rma_scenario, uma_scenario, umi_scenario):
        module.SPEED_OF_LIGHT = question.get("speed_of_light_mps", SPEED_OF_LIGHT_MPS)
    if question["state"] == "wall":
        return wall_db(question)
    found = scenario(question)
    row = found.los_probability if question["state"] == "probability" else found.basic_pathloss
    return row[0, 0].tolist()


def wall_db(question):
    """What a client in a building loses on top, less the part that is drawn."""
    generator = LSPGenerator(scenario(question, question["wall"]))
    generator._sample_o2i_penetration_random = lambda stddev: 0.0
    loss = generator._o2i_low_loss() if question["wall"] == "low" else generator._o2i_high_loss()
    return loss[0, 0].tolist()


if __name__ == "__main__":
    print(json.dumps([answer(question) for question in json.load(sys.stdin)]))
