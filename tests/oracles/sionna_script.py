"""Path loss, block errors, effective SNR and tapped delay lines as Sionna has them: questions in, answers out, as JSON.

Runs in the oracle's own environment and knows nothing of this project.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import sionna.sys
import torch
from sionna.phy import config
from sionna.phy.channel.tr38901 import (
    TDL,
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
from sionna.phy.nr.utils import decode_mcs_index
from sionna.sys import EESM

KINDS = {"uma": UMa, "umi": UMi, "rma": RMa, "inh": InH, "inf": InF}
SPEED_OF_LIGHT_MPS = rma_scenario.SPEED_OF_LIGHT
REAL = torch.float64
LINKS_AT_ONCE = 1000


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


def scheme(mcs):
    """Bits a symbol and code rate of an MCS of table 1 of the downlink."""
    order, rate = decode_mcs_index(mcs, table_index=1, is_pusch=False)
    return int(order), float(rate)


def bler(question):
    """The measured block error rates of each MCS of table 1: code blocks of some bits, over SNR in dB."""
    tables = json.loads((Path(sionna.sys.__file__).parent / "bler_tables" / "PDSCH_table1.json").read_text())
    rows = []
    for mcs, table in tables["category"]["1"]["index"]["1"]["MCS"].items():
        order, rate = scheme(int(mcs))
        for bits, measured in table["CBS"].items():
            row = {"mcs": int(mcs), "modulation_order": order, "code_rate": rate, "bits": int(bits)}
            rows.append({**row, "snr_db": table["SNR_db"], "bler": measured["BLER"]})
    return rows


def effective_snr(question):
    """For each MCS of table 1: modulation, code rate, beta, and what it makes of each set of SNRs."""
    mapping = EESM(sinr_eff_min_db=-60.0, sinr_eff_max_db=60.0, precision="double")
    snr = torch.tensor(question["snr"], dtype=REAL)
    rows = []
    for mcs, beta in enumerate(mapping.beta_table["index"][1]):
        index = torch.full((len(snr), 1), mcs, dtype=torch.int32)
        found = mapping(snr[:, None, :, None, None], index, mcs_table_index=1)
        order, rate = scheme(mcs)
        row = {"modulation_order": order, "code_rate": rate, "beta": float(beta)}
        rows.append({**row, "effective_snr": found.flatten().tolist()})
    return rows


def taps(question):
    """Delays in units of the delay spread, mean powers, and K of the first tap, 0 where it has none."""
    model = TDL(question["profile"], delay_spread=1.0, carrier_frequency=3.5e9, precision="double")
    k_factor = float(model.k_factor) if model.los else 0.0
    return {"delay": model.delays.tolist(), "power": model.mean_powers.tolist(), "k_factor": k_factor}


def drawn(question):
    """Power gains of a TDL in a row, of links by times by frequencies, drawn some links at a time."""
    config.seed = question["seed"]
    carrier_hz, gains = 3.5e9, []
    speed_mps = question["doppler_hz"] * SPEED_OF_LIGHT_MPS / carrier_hz
    model = TDL(question["profile"], question["delay_spread_s"], carrier_hz, min_speed=speed_mps)
    offsets_hz = torch.tensor(question["offsets_hz"])
    for _ in range(question["links"] // LINKS_AT_ONCE):
        coefficients, delays_s = model(LINKS_AT_ONCE, question["times"], 1.0 / question["step_s"])
        turns = torch.exp(-2j * torch.pi * offsets_hz[:, None] * delays_s[0, 0, 0])
        gains.append(torch.einsum("lpt,fp->ltf", coefficients[:, 0, 0, 0, 0], turns).abs() ** 2)
    return [float(f"{gain:.5g}") for gain in torch.cat(gains).flatten().tolist()]


OTHERS = {"bler": bler, "effective_snr": effective_snr, "taps": taps, "drawn": drawn}


def answer(question):
    if "job" in question:
        return OTHERS[question["job"]](question)
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
