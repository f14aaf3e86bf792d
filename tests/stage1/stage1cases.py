"""Scenarios that the tests of stage 1 share: one client whose link is worked out by hand, and many in a cell.

Knows texts only.
"""

from __future__ import annotations

from wfl_sim.scenario import Cell, Scenario, parse

ONE = """\
schema_version: 1
name: one
rounds: 5
radio:
  carrier: 1 GHz
  uplink: {bandwidth: 200 kHz, overhead: 0}
  downlink: {bandwidth: 1 MHz, overhead: 0, tx_power: 30 dBm}
  noise_figure: {base_station: 5 dB, client: 9 dB}
  antenna_gain: {base_station: 0 dBi, client: 0 dBi}
  rate: {kind: shannon, gap: 0 dB}
  packet: 1500 B
  header: 0 bit
  latency: 10 ms
channel: {path_loss: {kind: free_space}, shadowing: {kind: none}, fading: {kind: none}}
clients: {count: 1, placement: {kind: disc, from: 300 m, to: 300 m}, tx_power: 10 dBm, compute: {time: 400 ms}}
method: {kind: soft, rank: 8}
codec: {kind: components}
schedule: {kind: tsfa, latency_budget: 1.2 s}
rank_selection: {candidates: [4, 16, 64], kept_fraction_min: 0.1}
"""
MANY = """\
schema_version: 1
name: many
rounds: 6
radio: {uplink: {bandwidth: 400 kHz}}
channel: {path_loss: {kind: uma}}
clients: {count: 6, placement: {kind: disc, from: 35 m, to: 400 m}, compute: {time: 150 ms}}
method: {kind: soft, rank: 2}
learning: {on_divergence: drop_client}
codec: {kind: components}
schedule: {kind: equal}
rank_selection: {candidates: [1, 2, 4], rounds: 2, latency_budget: 0.9 s}
"""


def cell_of(text: str, *overrides: str) -> Cell:
    return parse(text, "s", overrides).cells[0]


def scenario_of(text: str, *overrides: str) -> Scenario:
    return cell_of(text, *overrides).scenario
