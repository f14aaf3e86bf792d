"""Scenarios and overrides that are wrong in one way each, with every line that they get, word by word.

Knows `tests/small.yaml`, which is right; what is drawn and mutated is in `test_mutations.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

BASE = (Path(__file__).parents[1] / "small.yaml").read_text(encoding="utf-8")

# A piece of BASE, what stands there instead, and the first line of each problem.

WRONG: list[tuple[str, ...]] = [
    # unknown keys
    (
        "rounds: 3",
        "rounds: 3\nroundz: 4",
        "s.yaml:5:1: roundz: unknown key; did you mean 'rounds'?",
    ),
    (
        "rounds: 3",
        "rounds: 3\nRounds: 4",
        "s.yaml:5:1: Rounds: unknown key; did you mean 'rounds'?",
    ),
    (
        "rounds: 3",
        "rounds: 3\nbandwidth: 4 MHz",
        "s.yaml:5:1: bandwidth: unknown key",
    ),
    (
        "rounds: 3",
        "rounds: 3\nzzz: 4",
        "s.yaml:5:1: zzz: unknown key",
    ),
    (
        "rounds: 3",
        "rounds: 3\narm: {}",
        "s.yaml:5:1: arm: unknown key; did you mean 'arms'?",
    ),
    (
        "rounds: 3",
        "rounds: 3\n12: 4",
        "s.yaml:5:1: 12: unknown key",
    ),
    (
        "rounds: 3",
        "rounds: 3\nlearning-rate: 4",
        "s.yaml:5:1: learning-rate: unknown key; did you mean 'learning'?",
    ),
    (
        "{bandwidth: 1 MHz}",
        "{bandwidth: 1 MHz, width: 2}",
        "s.yaml:8:30: radio.uplink.width: unknown key; did you mean 'bandwidth'?",
    ),
    (
        "{bandwidth: 1 MHz}",
        "{bandwith: 1 MHz}",
        "s.yaml:8:12: radio.uplink.bandwith: unknown key; did you mean 'bandwidth'?",
    ),
    (
        "{bandwidth: 1 MHz}",
        "{bandwidth_hz: 1e6}",
        "s.yaml:8:12: radio.uplink.bandwidth_hz: unknown key; did you mean 'bandwidth'?",
    ),
    (
        "{bandwidth: 1 MHz}",
        "{bandwidth: 1 MHz, work-conserving: true}",
        "s.yaml:8:30: radio.uplink.work-conserving: unknown key; did you mean 'work_conserving'?",
    ),
    (
        "{kind: uma}",
        "{kind: uma, exponent: 3}",
        "s.yaml:11:26: channel.path_loss.exponent: is no key of this kind, but of log_distance",
    ),
    (
        "carrier: 3.5 GHz",
        "carrier: 3.5 GHz\n  carrier_hz: 3.5e9",
        "s.yaml:7:3: radio.carrier_hz: unknown key; did you mean 'carrier'?",
    ),
    (
        "{kind: equal}",
        "{kind: equal, latency_budget: 1 s}",
        "s.yaml:21:25: schedule.latency_budget: is no key of this kind, but of tsfa",
    ),
    (
        "{kind: equal}",
        "{kind: equal, kept: 0.5}",
        "s.yaml:21:25: schedule.kept: unknown key",
    ),
    # units
    (
        "carrier: 3.5 GHz",
        "carrier: 3.5",
        "s.yaml:6:12: radio.carrier: needs a unit; got the bare number 3.5",
    ),
    (
        "carrier: 3.5 GHz",
        "carrier: 3.5 km",
        "s.yaml:6:12: radio.carrier: needs a frequency; 'km' is no unit of that",
    ),
    (
        "carrier: 3.5 GHz",
        "carrier: 3500 mhz",
        "s.yaml:6:12: radio.carrier: needs a frequency; 'mhz' is no unit of that; did you mean 'MHz'?",
    ),
    (
        "carrier: 3.5 GHz",
        "carrier: fast",
        "s.yaml:6:12: radio.carrier: needs a frequency; got 'fast'",
    ),
    (
        "carrier: 3.5 GHz",
        "carrier: [3.5 GHz]",
        "s.yaml:6:3: radio.carrier: needs a frequency; got ['3.5 GHz']",
    ),
    (
        "carrier: 3.5 GHz",
        "carrier: {value: 3.5 GHz}",
        "s.yaml:6:3: radio.carrier: needs a frequency; got {'value': '3.5 GHz'}",
    ),
    (
        "carrier: 3.5 GHz",
        "carrier:",
        "s.yaml:6:3: radio.carrier: needs a frequency; got nothing",
    ),
    (
        "carrier: 3.5 GHz",
        "carrier: .nan",
        "s.yaml:6:12: radio.carrier: needs a frequency; got nan",
    ),
    (
        "carrier: 3.5 GHz",
        "carrier: .inf",
        "s.yaml:6:12: radio.carrier: needs a frequency; got inf",
    ),
    (
        "carrier: 3.5 GHz",
        "carrier: 1e999 GHz",
        "s.yaml:6:12: radio.carrier: must be finite and above 0 Hz; got 1e999 GHz",
    ),
    (
        "carrier: 3.5 GHz",
        "carrier: 3,5 GHz",
        "s.yaml:6:12: radio.carrier: needs a frequency; got '3,5 GHz'; did you mean '3.5 GHz'?",
    ),
    (
        "carrier: 3.5 GHz",
        "carrier: GHz 3.5",
        "s.yaml:6:12: radio.carrier: needs a frequency; got 'GHz 3.5'",
    ),
    (
        "carrier: 3.5 GHz",
        "carrier: 3.5 GHz 2",
        "s.yaml:6:12: radio.carrier: needs a frequency; 'GHz 2' is no unit of that; did you mean 'GHz'?",
    ),
    (
        "carrier: 3.5 GHz",
        "carrier: true",
        "s.yaml:6:12: radio.carrier: needs a frequency; got true",
    ),
    (
        "packet: 1500 B",
        "packet: 1500 b",
        "s.yaml:7:11: radio.packet: needs a size; 'b' is no unit of that",
    ),
    (
        "packet: 1500 B",
        "packet: 1500 bytes",
        "s.yaml:7:11: radio.packet: needs a size; 'bytes' is no unit of that; did you mean 'B'?",
    ),
    (
        "packet: 1500 B",
        "packet: 1500 kb",
        "s.yaml:7:11: radio.packet: needs a size; 'kb' is no unit of that",
    ),
    (
        "{bandwidth: 1 MHz}",
        "{bandwidth: 0 Hz}",
        "s.yaml:8:23: radio.uplink.bandwidth: must be above 0 Hz; got 0 Hz",
    ),
    (
        "{bandwidth: 1 MHz}",
        "{bandwidth: -1 MHz}",
        "s.yaml:8:23: radio.uplink.bandwidth: must be above 0 Hz; got -1 MHz",
    ),
    (
        "speed: 30 km/h",
        "speed: 30 kmh",
        "s.yaml:16:44: clients.mobility.speed: needs a speed; 'kmh' is no unit of that; did you mean 'km/h'?",
    ),
    (
        "speed: 30 km/h",
        "speed: 30 mph",
        "s.yaml:16:44: clients.mobility.speed: needs a speed; 'mph' is no unit of that",
    ),
    (
        "time: 400 ms",
        "time: 400 msec",
        "s.yaml:17:19: clients.compute.time: needs a time; 'msec' is no unit of that; did you mean 'ms'?",
    ),
    (
        "time: 400 ms",
        "time: 0 s",
        "s.yaml:17:19: clients.compute.time: must be above 0 s; got 0 s",
    ),
    (
        "time: 400 ms",
        "time: 400 M",
        "s.yaml:17:19: clients.compute.time: needs a time; 'M' is no unit of that",
    ),
    (
        "  count: 4",
        "  count: 4\n  tx_power: 0 W",
        "s.yaml:15:13: clients.tx_power: must be above 0 W, or it has no value in dBm; got '0 W'",
    ),
    (
        "  count: 4",
        "  count: 4\n  tx_power: 23 dB",
        "s.yaml:15:13: clients.tx_power: needs a power; 'dB' is no unit of that; did you mean 'dBm'?",
    ),
    # ranges
    (
        "from: 35 m",
        "from: -5 m",
        "s.yaml:15:33: clients.placement.from: must be at least 0 m; got -5 m",
    ),
    (
        "from: 35 m",
        "from: 700 m",
        "s.yaml:15:44: clients.placement.to: must be at least `from` (700 m); got 500 m",
    ),
    (
        "1 %",
        "150 %",
        "s.yaml:12:42: channel.loss.probability: must be at least 0 and below 1; got 150 %",
    ),
    (
        "1 %",
        "-1 %",
        "s.yaml:12:42: channel.loss.probability: must be at least 0 and below 1; got -1 %",
    ),
    (
        "1 %",
        "100 %",
        "s.yaml:12:42: channel.loss.probability: must be at least 0 and below 1; got 100 %",
    ),
    (
        "1 %",
        "1 percent",
        "s.yaml:12:42: channel.loss.probability: needs a number; 'percent' is no unit of that; did you mean '%'?",
    ),
    (
        "1 %",
        "0.01 W",
        "s.yaml:12:42: channel.loss.probability: needs a number; 'W' is no unit of that",
    ),
    (
        "attempts: 4",
        "attempts: 0",
        "s.yaml:9:41: radio.retransmission.attempts: must be at least 1 and at most 1000; got 0",
    ),
    (
        "rank: 8",
        "rank: 0",
        "s.yaml:20:30: method.rank: must be at least 1; got 0",
    ),
    (
        "count: 4",
        "count: 0",
        "s.yaml:14:10: clients.count: must be at least 1; got 0",
    ),
    (
        "count: 4",
        "count: -3",
        "s.yaml:14:10: clients.count: must be at least 1; got -3",
    ),
    (
        "rounds: 3",
        "rounds: 0",
        "s.yaml:4:9: rounds: must be at least 1; got 0",
    ),
    (
        "[0.5, 60 %]",
        "[0.5, 160 %]",
        "s.yaml:19:18: learning.targets.1: must be above 0 and below 1: it is an accuracy; got 1.6",
    ),
    (
        "[0.5, 60 %]",
        "[0.5, good]",
        "s.yaml:19:18: learning.targets.1: needs a number; got 'good'",
    ),
    (
        "packet: 1500 B",
        "packet: 10 B",
        "s.yaml:5:1: radio.header: must be below radio.packet (80 bit); got 320 bit by default",
    ),
    (
        "{kind: uma}",
        "{kind: uma, client_height: 1 m}",
        "s.yaml:11:41: channel.path_loss.client_height: must be at least 1.5 m and below 13 m; got 1 m",
    ),
    # kinds
    (
        "kind: uma",
        "kind: uma2",
        "s.yaml:11:21: channel.path_loss.kind: unknown kind 'uma2'; did you mean 'uma'?",
    ),
    (
        "kind: uma",
        "kind: UMA",
        "s.yaml:11:21: channel.path_loss.kind: unknown kind 'UMA'; did you mean 'uma'?",
    ),
    (
        "kind: uma",
        "kind: free-space",
        "s.yaml:11:21: channel.path_loss.kind: unknown kind 'free-space'; did you mean 'free_space'?",
    ),
    (
        "kind: uma",
        "kind: 5",
        "s.yaml:11:21: channel.path_loss.kind: unknown kind 5",
    ),
    (
        "kind: uma",
        "kind: [uma]",
        "s.yaml:11:15: channel.path_loss.kind: unknown kind ['uma']",
    ),
    (
        "kind: uma",
        "kind:",
        "s.yaml:11:15: channel.path_loss.kind: is missing",
    ),
    (
        "kind: uma",
        "kind: log-distance",
        "s.yaml:11:3: channel.path_loss.exponent: is missing",
        "s.yaml:11:21: channel.path_loss.kind: unknown kind 'log-distance'; did you mean 'log_distance'?",
    ),
    (
        "{kind: uma}",
        "{line_of_sight: never}",
        "s.yaml:11:3: channel.path_loss.kind: is missing",
    ),
    (
        "{kind: uma}",
        "{}",
        "s.yaml:11:3: channel.path_loss.kind: is missing",
    ),
    (
        "{kind: uma}",
        "uma",
        "s.yaml:11:14: channel.path_loss: must be a mapping of keys to values; got 'uma'",
    ),
    (
        "{kind: uma}",
        "[uma]",
        "s.yaml:11:3: channel.path_loss: must be a mapping of keys to values; got ['uma']",
    ),
    (
        "{kind: uma}",
        "{kind: uma, line_of_sight: 3}",
        "s.yaml:11:41: channel.path_loss.line_of_sight: must be always, never or probability; got 3",
    ),
    (
        "{kind: uma}",
        "{kind: uma, line_of_sight: nevr}",
        "s.yaml:11:41: channel.path_loss.line_of_sight: must be always, never or probability; got 'nevr'; did you mean "
        "'never'?",
    ),
    (
        "{kind: uma}",
        "{kind: uma, line_of_sight: no}",
        "s.yaml:11:41: channel.path_loss.line_of_sight: must be always, never or probability; got 'no'",
    ),
    (
        "kind: arq",
        "kind: arqq",
        "s.yaml:9:26: radio.retransmission.kind: unknown kind 'arqq'; did you mean 'arq'?",
    ),
    (
        "kind: fedavg",
        "kind: fedprox",
        "s.yaml:20:16: method.kind: unknown kind 'fedprox'",
    ),
    (
        "kind: fedavg",
        "kind: fed_avg",
        "s.yaml:20:16: method.kind: unknown kind 'fed_avg'; did you mean 'fedavg'?",
    ),
    (
        "{kind: equal}",
        "{kind: min-max}",
        "s.yaml:21:18: schedule.kind: unknown kind 'min-max'; did you mean 'min_max'?",
    ),
    (
        "{kind: equal}",
        "equal",
        "s.yaml:21:11: schedule: must be a mapping of keys to values; got 'equal'",
    ),
    # what is missing
    (
        "{time: 400 ms}",
        "{power: 2 W}",
        "s.yaml:17:3: clients.compute.time: state either the time (time: 400 ms), or work and speed (work: 20 "
        "GFLOP, speed: 50 GFLOP/s), of which the work may be left out: then it is counted from the model",
    ),
    (
        "{time: 400 ms}",
        "{work: 1 GFLOP}",
        "s.yaml:17:3: clients.compute.time: state either the time (time: 400 ms), or work and speed (work: 20 "
        "GFLOP, speed: 50 GFLOP/s), of which the work may be left out: then it is counted from the model",
    ),
    (
        "{time: 400 ms}",
        "{time: 400 ms, work: 1 GFLOP, speed: 2 GFLOP/s}",
        "s.yaml:17:19: clients.compute.time: state either the time (time: 400 ms), or work and speed (work: 20 "
        "GFLOP, speed: 50 GFLOP/s), of which the work may be left out: then it is counted from the model",
    ),
    (
        "  compute: {time: 400 ms}\n",
        "",
        "s.yaml:13:1: clients.compute: is missing",
    ),
    (
        "  count: 4\n",
        "",
        "s.yaml:13:1: clients.count: is missing",
    ),
    (
        "schema_version: 1\n",
        "",
        "s.yaml:1:1: schema_version: is missing",
    ),
    (
        "method: {kind: fedavg, rank: 8}\n",
        "",
        "s.yaml:1:1: method: is missing",
    ),
    (
        "name: small\n",
        "",
        "s.yaml:1:1: name: is missing",
    ),
    (
        "to: 500 m",
        "radius: 500 m",
        "s.yaml:15:3: clients.placement.to: is missing",
        "s.yaml:15:39: clients.placement.radius: unknown key",
    ),
    # types
    (
        "rank: 8",
        "rank: eight",
        "s.yaml:20:30: method.rank: must be a whole number; got 'eight'",
    ),
    (
        "rank: 8",
        "rank: '8'",
        "s.yaml:20:30: method.rank: must be a whole number; got the text '8'",
    ),
    (
        "rank: 8",
        "rank: 8.5",
        "s.yaml:20:30: method.rank: must be a whole number; got 8.5",
    ),
    (
        "rank: 8",
        "rank: 8.0",
        "s.yaml:20:30: method.rank: must be a whole number; got 8.0",
    ),
    (
        "rank: 8",
        "rank: true",
        "s.yaml:20:30: method.rank: must be a whole number; got true",
    ),
    (
        "rank: 8",
        "rank: [8]",
        "s.yaml:20:24: method.rank: must be a whole number; got [8]",
    ),
    (
        "rank: 8",
        "rank: {a: 8}",
        "s.yaml:20:24: method.rank: must be a whole number; got {'a': 8}",
    ),
    (
        "count: 4",
        "count: yes",
        "s.yaml:14:10: clients.count: must be a whole number; got 'yes'",
    ),
    (
        "count: 4",
        "count: 4 clients",
        "s.yaml:14:10: clients.count: must be a whole number; got '4 clients'",
    ),
    (
        "bandwidth: 1 MHz",
        "work_conserving: no",
        "s.yaml:8:29: radio.uplink.work_conserving: must be true or false; got 'no'",
    ),
    (
        "bandwidth: 1 MHz",
        "work_conserving: 1",
        "s.yaml:8:29: radio.uplink.work_conserving: must be true or false; got 1",
    ),
    (
        "bandwidth: 1 MHz",
        "access: cdma",
        "s.yaml:8:20: radio.uplink.access: must be fdma, ofdma or tdma; got 'cdma'; did you mean 'tdma'?",
    ),
    (
        "{bandwidth: 1 MHz}",
        "1 MHz",
        "s.yaml:8:11: radio.uplink: must be a mapping of keys to values; got '1 MHz'",
    ),
    (
        "name: small",
        "name: 5",
        "s.yaml:2:7: name: must be a text; got 5",
    ),
    (
        "name: small",
        "name: true",
        "s.yaml:2:7: name: must be a text; got true",
    ),
    (
        "name: small",
        "name:",
        "s.yaml:2:1: name: must be a text; got nothing",
    ),
    (
        "name: small",
        "name: [small]",
        "s.yaml:2:1: name: must be a text; got ['small']",
    ),
    (
        "schema_version: 1",
        "schema_version: 2",
        "s.yaml:1:17: schema_version: must be 1; got 2",
    ),
    (
        "schema_version: 1",
        "schema_version: true",
        "s.yaml:1:17: schema_version: must be a whole number; got true",
    ),
    (
        "schema_version: 1",
        "schema_version: 1.0",
        "s.yaml:1:17: schema_version: must be a whole number; got 1.0",
    ),
    (
        "schema_version: 1",
        "schema_version: '1'",
        "s.yaml:1:17: schema_version: must be a whole number; got the text '1'",
    ),
    (
        "[0.5, 60 %]",
        "0.5",
        "s.yaml:19:12: learning.targets: must be a list; got 0.5",
    ),
    (
        "learning:\n",
        "codec: {kind: dense, bits: 12}\nlearning:\n",
        "s.yaml:18:28: codec.bits: must be 8, 16 or 32; got 12",
    ),
    (
        "learning:\n",
        "codec: {kind: dense, bits: '16'}\nlearning:\n",
        "s.yaml:18:28: codec.bits: must be 8, 16 or 32; got the text '16'",
    ),
    # names and seeds
    (
        "name: small",
        "name: a/b",
        "s.yaml:2:7: name: names a folder: up to 64 of A-Z, a-z, 0-9, '.', '_' and '-', a letter or digit first; "
        "got 'a/b'",
    ),
    (
        "name: small",
        "name: ..",
        "s.yaml:2:7: name: names a folder: up to 64 of A-Z, a-z, 0-9, '.', '_' and '-', a letter or digit first; "
        "got '..'",
    ),
    (
        "name: small",
        "name: my study",
        "s.yaml:2:7: name: names a folder: up to 64 of A-Z, a-z, 0-9, '.', '_' and '-', a letter or digit first; "
        "got 'my study'",
    ),
    (
        "name: small",
        "name: nul",
        "s.yaml:2:7: name: names a folder, and some systems keep 'nul' for a device",
    ),
    (
        "name: small",
        "name: ''",
        "s.yaml:2:7: name: names a folder: up to 64 of A-Z, a-z, 0-9, '.', '_' and '-', a letter or digit first; "
        "got ''",
    ),
    (
        "name: small",
        'name: "a\\tb"',
        "s.yaml:2:7: name: names a folder: up to 64 of A-Z, a-z, 0-9, '.', '_' and '-', a letter or digit first; "
        "got 'a\\tb'",
    ),
    (
        "name: small",
        "name: über",
        "s.yaml:2:7: name: names a folder: up to 64 of A-Z, a-z, 0-9, '.', '_' and '-', a letter or digit first; "
        "got 'über'",
    ),
    (
        "name: small",
        "name: small\ndescription: 3",
        "s.yaml:3:14: description: must be a text; got 3",
    ),
    (
        "seeds: [0, 1]",
        "seeds: [1, 1]",
        "s.yaml:3:1: seeds: needs distinct whole numbers from 0 on; got [1, 1]",
    ),
    (
        "seeds: [0, 1]",
        "seeds: [-1]",
        "s.yaml:3:1: seeds: needs distinct whole numbers from 0 on; got [-1]",
    ),
    (
        "seeds: [0, 1]",
        "seeds: []",
        "s.yaml:3:1: seeds: needs distinct whole numbers from 0 on; got []",
    ),
    (
        "seeds: [0, 1]",
        "seeds: 3",
        "s.yaml:3:8: seeds: must be a list, or a range such as 1..5; got 3",
    ),
    (
        "seeds: [0, 1]",
        "seeds: 0-3",
        "s.yaml:3:8: seeds: must be a list, or a range such as 1..5; got '0-3'",
    ),
    (
        "seeds: [0, 1]",
        "seeds: [0, x]",
        "s.yaml:3:12: seeds.1: must be a whole number; got 'x'",
    ),
    (
        "seeds: [0, 1]",
        "seeds: [0, 1.5]",
        "s.yaml:3:12: seeds.1: must be a whole number; got 1.5",
    ),
    (
        "seeds: [0, 1]",
        "seeds: [0, [1]]",
        "s.yaml:3:12: seeds.1: must be a whole number; got [1]",
    ),
    (
        "seeds: [0, 1]",
        "seeds: {a: 1}",
        "s.yaml:3:1: seeds: must be a list, or a range such as 1..5; got {'a': 1}",
    ),
    (
        "seeds: [0, 1]",
        "seeds: 3..1",
        "s.yaml:3:8: seeds: a range runs from the smaller to the larger number; got '3..1'",
    ),
    (
        "seeds: [0, 1]",
        "seeds: 1..99999",
        "s.yaml:3:1: seeds: a study of 199,998 cells (2 points x 99,999 seeds) is above 10,000; if that is meant, give "
        "--yes (in Python: many=True)",
    ),
    # grid
    (
        "seeds: [0, 1]",
        "grid: {method.rank: [2, 2.5], roundz: [3]}",
        "s.yaml:3:25: grid.method.rank.1: must be a whole number; got 2.5",
        "s.yaml:3:31: grid.roundz: unknown key; did you mean 'rounds'?",
    ),
    (
        "seeds: [0, 1]",
        "grid: {method.rank: 2}",
        "s.yaml:3:21: grid.method.rank: must be a list of values; got 2",
    ),
    (
        "seeds: [0, 1]",
        "grid: {description: [a, b]}",
        "s.yaml:3:8: grid.description: is the same for all arms of a file, so a grid cannot vary it",
    ),
    (
        "seeds: [0, 1]",
        "grid: {schedule.latency_budget: [1 s, 400 ms]}",
        "s.yaml:3:39: grid.schedule.latency_budget.1: must be above 400 ms, what computing and latency take before "
        "a bit is sent (clients.compute, 2 x radio.latency); got 400 ms",
    ),
    # arms
    (
        "  plain: {}",
        "  a b: {}",
        "s.yaml:23:3: arms.a b: names a folder: up to 64 of A-Z, a-z, 0-9, '.', '_' and '-', a letter or digit "
        "first; got 'a b'",
    ),
    (
        "  plain: {}",
        "  ../up: {}",
        "s.yaml:23:3: arms.../up: names a folder: up to 64 of A-Z, a-z, 0-9, '.', '_' and '-', a letter or digit "
        "first; got '../up'",
    ),
    (
        "  plain: {}",
        "  '': {}",
        "s.yaml:23:3: arms.: names a folder: up to 64 of A-Z, a-z, 0-9, '.', '_' and '-', a letter or digit "
        "first; got ''",
    ),
    (
        "  plain: {}",
        "  con: {}",
        "s.yaml:23:3: arms.con: names a folder, and some systems keep 'con' for a device",
    ),
    (
        "  plain: {}",
        "  plain:",
        "s.yaml:23:3: arms.plain: must be a mapping of the keys that the arm changes, or {}; got nothing",
    ),
    (
        "  plain: {}",
        "  plain: 3",
        "s.yaml:23:10: arms.plain: must be a mapping of the keys that the arm changes, or {}; got 3",
    ),
    (
        "  plain: {}",
        "  plain: {roundz: 4}",
        "s.yaml:23:11: arms.plain.roundz: unknown key; did you mean 'rounds'?",
    ),
    (
        "  plain: {}",
        "  plain: {rank: 4}",
        "s.yaml:23:11: arms.plain.rank: unknown key; did you mean 'method.rank'?",
    ),
    (
        "  plain: {}",
        "  plain: {clients: {count: 0}}",
        "s.yaml:23:28: arms.plain.clients.count: must be at least 1; got 0",
    ),
    (
        "  plain: {}",
        "  plain: {seeds: [3]}",
        "s.yaml:23:11: arms.plain.seeds: is the same for all arms of a file",
    ),
    (
        "  plain: {}",
        "  plain: {name: x}",
        "s.yaml:23:11: arms.plain.name: is the same for all arms of a file",
    ),
    (
        "  plain: {}",
        "  plain: {schema_version: 2}",
        "s.yaml:23:11: arms.plain.schema_version: is the same for all arms of a file",
    ),
    (
        "  plain: {}",
        "  plain: {radio: 3}",
        "s.yaml:23:18: arms.plain.radio: must be a mapping of keys to values; got 3",
    ),
    (
        "  plain: {}",
        "  plain: {arms: {}}",
        "s.yaml:23:11: arms.plain.arms: unknown key",
    ),
    (
        "  plain: {}",
        "  plain: {clients: {placement: {to: 20 m}}}",
        "s.yaml:23:37: arms.plain.clients.placement.to: must be at least `from` (35 m); got 20 m",
    ),
    (
        "  plain: {}",
        "  plain: {clients: {placement: {kind: line, from: 9 m}}}",
        "s.yaml:23:21: arms.plain.clients.placement.to: is missing",
    ),
    (
        "  plain: {}",
        "  plain: {method: {kind: tsfa}}",
        "s.yaml:23:26: arms.plain.method.kind: unknown kind 'tsfa'",
    ),
    (
        "rank: 4",
        "rank: 0",
        "s.yaml:25:32: arms.adaptive.method.rank: must be at least 1; got 0",
    ),
    (
        "{kind: tsfa, latency_budget: 1 s}",
        "{kind: tsfa}",
        "s.yaml:26:5: arms.adaptive.schedule.latency_budget: is missing",
    ),
    (
        "{kind: tsfa, latency_budget: 1 s}",
        "{kind: tfsa}",
        "s.yaml:26:22: arms.adaptive.schedule.kind: unknown kind 'tfsa'; did you mean 'tsfa'?",
    ),
    (
        "{kind: tsfa, latency_budget: 1 s}",
        "{latency_budget: 1 s}",
        "s.yaml:26:16: arms.adaptive.schedule.latency_budget: is no key of this kind, but of tsfa",
    ),
    (
        "budget: 1 s",
        "budget: 1",
        "s.yaml:26:44: arms.adaptive.schedule.latency_budget: needs a unit; got the bare number 1",
    ),
    (
        "arms:",
        "arms: [a, b]\nx:",
        "s.yaml:22:1: arms: must be a mapping of names to the keys that each arm changes; got ['a', 'b']",
        "s.yaml:23:1: x: unknown key",
    ),
    (
        "arms:",
        "arms: 3\nx:",
        "s.yaml:22:7: arms: must be a mapping of names to the keys that each arm changes; got 3",
        "s.yaml:23:1: x: unknown key",
    ),
    # rules that join several keys
    (
        "carrier: 3.5 GHz",
        "carrier: 3.5 MHz",
        "s.yaml:6:12: radio.downlink.bandwidth: must be at most 700 kHz, 20 % of radio.carrier: one gain stands "
        "for the band; got 10 MHz by default",
        "s.yaml:8:23: radio.uplink.bandwidth: must be at most 700 kHz, 20 % of radio.carrier: one gain stands "
        "for the band; got 1 MHz",
    ),
    (
        "bandwidth: 1 MHz",
        "bandwidth: 10 kHz",
        "s.yaml:8:23: radio.uplink.bandwidth: must be at least 15 kHz, a subcarrier of 3.75 kHz (NB-IoT, the "
        "narrowest) for each of 4 clients; got 10 kHz",
    ),
    (
        "latency_budget: 1 s",
        "latency_budget: 300 ms",
        "s.yaml:26:44: arms.adaptive.schedule.latency_budget: must be above 400 ms, what computing and latency "
        "take before a bit is sent (clients.compute, 2 x radio.latency); got 300 ms",
    ),
    (
        "{kind: tsfa, latency_budget: 1 s}",
        "{kind: tsfa, latency_budget: 1 s, csi: block}",
        "s.yaml:26:54: arms.adaptive.schedule.csi: block is a gain that holds for a while, which needs fading block or "
        "none: with fading rayleigh take instantaneous (the gain at one moment) or large_scale (the mean over the "
        "fading)",
    ),
    (
        "{kind: tsfa, latency_budget: 1 s}",
        "{kind: deadline_aware, deadline: 500 ms, margin: 20 %}",
        "s.yaml:26:48: arms.adaptive.schedule.deadline: must be above 500 ms: schedule.margin taken off, computing and "
        "latency are over before a bit is sent (clients.compute, 2 x radio.latency); got 500 ms",
    ),
    (
        "carrier: 3.5 GHz",
        "carrier: 3.5 GHz\n  slot: 1 h",
        "s.yaml:7:9: radio.timeout: must be above radio.slot, 3600 s; got 600 s by default",
    ),
    (
        "kind: disc, from: 35 m, to: 500 m",
        "kind: line, from: 500 m, to: 500 m",
        "s.yaml:16:3: clients.mobility: needs a placement with room to walk in; this one is a single point",
    ),
    (
        "compute: {time: 400 ms}",
        "compute: {time: 400 ms, classes: [{speed: 1, share: 50 %}]}",
        "s.yaml:17:27: clients.compute.classes: shares must sum to 1; got 0.5; leave one out, and its class takes the "
        "rest",
    ),
    (
        "compute: {time: 400 ms}",
        "compute: {time: 400 ms, classes: [{speed: 1}, {speed: 0}]}",
        "s.yaml:17:57: clients.compute.classes.1.speed: must be above 0; got 0",
    ),
    (
        "compute: {time: 400 ms}",
        "compute: {time: 400 ms, classes: [{sped: 1}]}",
        "s.yaml:17:38: clients.compute.classes.0.sped: unknown key; did you mean 'speed'?",
    ),
    (
        "compute: {time: 400 ms}",
        "compute: {time: 400 ms, classes: {slow: 0.5}}",
        "s.yaml:17:27: clients.compute.classes: must be a list; got {'slow': 0.5}",
    ),
    (
        "compute: {time: 400 ms}",
        "compute: {time: 400 ms, classes: [{speed: 0.25}]}",
        "s.yaml:26:44: arms.adaptive.schedule.latency_budget: must be above 1.6 s, what computing and latency take "
        "before a bit is sent (clients.compute, 2 x radio.latency); got 1 s",
    ),
    (
        "compute: {time: 400 ms}",
        "compute: {time: 400 ms}\n  availability: {kind: onoff, on: 1 h, off: 1 h}",
        "s.yaml:18:24: clients.availability.kind: unknown kind 'onoff'; did you mean 'on_off'?",
    ),
    (
        "compute: {time: 400 ms}",
        "compute: {time: 400 ms}\n  availability: {kind: on_off, on: 1 h}",
        "s.yaml:18:3: clients.availability.off: is missing",
    ),
    (
        "compute: {time: 400 ms}",
        "compute: {time: 400 ms}\n  availability: {kind: diurnal, spread: 30 h}",
        "s.yaml:18:41: clients.availability.spread: must be at most the period, 86400 s; got 108000 s",
    ),
    (
        "compute: {time: 400 ms}",
        "compute: {time: 400 ms}\n  churn: {stay: 0 s}",
        "s.yaml:18:17: clients.churn.stay: must be above 0 s; got 0 s",
    ),
    (
        "count: 4",
        "count: 5000",
        "s.yaml:8:23: radio.uplink.bandwidth: must be at least 18.75 MHz, a subcarrier of 3.75 kHz (NB-IoT, the "
        "narrowest) for each of 5000 clients; got 1 MHz",
        "s.yaml:14:10: clients.count: must be at most the 4000 training examples; got 5000",
    ),
    (
        "targets: [0.5, 60 %]",
        "data: {partition: {kind: dirichlet, least: 2000}}",
        "s.yaml:19:46: learning.data.partition.least: must be at most 1000: 4 clients share 4000 examples; got 2000",
    ),
    # YAML itself
    (
        "  count: 4",
        "  count: 4\n  count: 5",
        "s.yaml:15:3: clients.count: is given twice, first in line 14",
    ),
    (
        "  plain: {}",
        "  plain: {}\n  plain: {}",
        "s.yaml:24:3: arms.plain: is given twice, first in line 23",
    ),
    (
        "rounds: 3",
        "rounds: 3\n\tx: 3",
        "s.yaml:5:1: is not YAML: no tab can stand here; use spaces",
    ),
    (
        "rounds: 3",
        "rounds: 3\n x: 3",
        "s.yaml:5:3: is not YAML: this ': ' fits no key; quote a text that holds one, or mend the indentation",
    ),
    (
        "rounds: 3",
        "rounds:3",
        "s.yaml:4:1: is not YAML: no ': ' follows this key; write `key: value`, with the space",
    ),
    (
        "rounds: 3",
        "rounds = 3",
        "s.yaml:4:1: is not YAML: no ': ' follows this key; write `key: value`, with the space",
    ),
    (
        "rounds: 3",
        "rounds: !!python/name:os.system 3",
        "s.yaml:4:9: rounds: the tag '!!python/name:os.system' is not allowed; write plain values",
    ),
    (
        "rounds: 3",
        "rounds: !!int 3",
        "s.yaml:4:9: rounds: the tag '!!int' is not allowed; write plain values",
    ),
    (
        "rounds: 3",
        "rounds: !thing 3",
        "s.yaml:4:9: rounds: the tag '!thing' is not allowed; write plain values",
    ),
    (
        "rounds: 3",
        "rounds: *nowhere",
        "s.yaml:4:9: rounds: the alias *nowhere has no anchor above it",
    ),
    (
        "rounds: 3",
        "rounds: &a [*a]",
        "s.yaml:4:13: an alias contains itself",
    ),
    (
        "rounds: 3",
        "? [a, b]\n: 3",
        "s.yaml:4:3: a key is a word, not a list, a mapping or an alias",
    ),
    (
        "rounds: 3",
        "{a: 1}: 3",
        "s.yaml:4:1: a key is a word, not a list, a mapping or an alias",
    ),
    (
        "name: small",
        'name: "\\uD800"',
        "s.yaml:2:7: holds half of a surrogate pair, which is no character",
    ),
    (
        "name: small",
        'name: "\\q"',
        "s.yaml:2:9: is not YAML: no such escape; write the backslash twice, or use single quotes",
    ),
    (
        "name: small",
        'name: "small',
        "s.yaml:2:7: is not YAML: a quote is opened here and never closed",
    ),
    (
        "name: small",
        "name: @small",
        "s.yaml:2:7: is not YAML: no plain text begins with this character; put the text in quotes",
    ),
    (
        "name: small",
        "name: %small",
        "s.yaml:2:7: is not YAML: no plain text begins with this character; put the text in quotes",
    ),
    (
        "name: small",
        "name: a: b",
        "s.yaml:2:8: is not YAML: this ': ' fits no key; quote a text that holds one, or mend the indentation",
    ),
    (
        "name: small",
        "name: *",
        "s.yaml:2:8: is not YAML: '*' and '&' begin an alias or an anchor; put the text in quotes",
    ),
    (
        "rounds: 3",
        "rounds: 3\n---\nrounds: 4",
        "s.yaml:6:1: is the start of another document; a file holds one scenario",
    ),
    (
        "rounds: 3",
        "rounds: 3\n...",
        "s.yaml:6:1: is the start of another document; a file holds one scenario",
    ),
    (
        "  plain: {}",
        "  plain: &p {}\n  other: {<<: *p}",
        "s.yaml:24:11: arms.other.<<: merge keys are not part of YAML 1.2; list the changes of an arm under 'arms'",
    ),
    (
        "{kind: uma}",
        "{kind: uma",
        "s.yaml:11:14: is not YAML: a bracket is opened here and not closed",
    ),
    (
        "{kind: uma}",
        "{kind: uma}}",
        "s.yaml:11:25: is not YAML: this fits nothing above it; mend the indentation or the brackets",
    ),
    (
        "{kind: uma}",
        "{kind; uma}",
        "s.yaml:11:3: channel.path_loss.kind: is missing",
    ),
    (
        "{kind: uma}",
        "{kind:uma}",
        "s.yaml:11:15: channel.path_loss.kind: no space follows the ':'; did you mean 'kind: uma'?",
    ),
    (
        "rounds: 3",
        "rounds: 3 # ok\nrounds",
        "s.yaml:5:1: is not YAML: no ': ' follows this key; write `key: value`, with the space",
    ),
    (
        "rounds: 3",
        "- rounds: 3",
        "s.yaml:4:1: is not YAML: this fits nothing above it; mend the indentation or the brackets",
    ),
    (
        "rounds: 3",
        "rounds: -",
        "s.yaml:4:9: is not YAML: this '- ' fits no list; mend the indentation",
    ),
    (
        "rounds: 3",
        "rounds: 3\x07",
        "s.yaml:4:10: holds the character \\x07, which YAML does not allow",
    ),
    (
        "schema_version: 1",
        "%YAML 1.1\n---\nschema_version: 1",
        "s.yaml:1:1: a scenario is YAML 1.2; leave the lines %YAML and %TAG out",
    ),
    (
        "schema_version: 1",
        "%YAML 3.0\n---\nschema_version: 1",
        "s.yaml:1:1: is not YAML: a scenario is YAML 1.2; leave the line %YAML out",
    ),
]


@pytest.mark.parametrize("row", WRONG, ids=[ascii(row[1])[1:-1] for row in WRONG])
def test_each_wrong_scenario_gets_exactly_these_lines(problems: Callable[..., list[str]], row: tuple[str, ...]) -> None:
    old, new, *lines = row
    assert BASE.count(old) == 1, old
    assert problems(BASE.replace(old, new)) == lines


# An override, and the first line of each problem, found with the rules on models and data.

WRONG_OVERRIDES: list[tuple[str, ...]] = [
    (
        "roundz=4",
        "command line: roundz=4: roundz: unknown key; did you mean 'rounds'?",
    ),
    (
        "radio.uplink.width=2",
        "command line: radio.uplink.width=2: radio.uplink.width: unknown key; did you mean 'bandwidth'?",
    ),
    (
        "radio.uplink.bandwith=2 MHz",
        "command line: radio.uplink.bandwith=2 MHz: radio.uplink.bandwith: unknown key; did you mean 'bandwidth'?",
    ),
    (
        "rooms.kitchen=2",
        "command line: rooms.kitchen=2: rooms: unknown key",
    ),
    (
        "radio.carrier=3.5",
        "command line: radio.carrier=3.5: radio.carrier: needs a unit; got the bare number 3.5",
    ),
    (
        "radio.carrier=3.5 km",
        "command line: radio.carrier=3.5 km: radio.carrier: needs a frequency; 'km' is no unit of that",
    ),
    (
        "clients.placement.from=-5 m",
        "command line: clients.placement.from=-5 m: clients.placement.from: must be at least 0 m; got -5 m",
    ),
    (
        "clients.placement.from=700 m",
        "s.yaml:15:43: clients.placement.to: must be at least `from` (700 m); got 500 m",
    ),
    (
        "channel.path_loss={kind: nope}",
        "command line: channel.path_loss={kind: nope}: channel.path_loss.kind: unknown kind 'nope'",
    ),
    (
        "channel.path_loss.kind=nope",
        "command line: channel.path_loss.kind=nope: channel.path_loss.kind: unknown kind 'nope'",
    ),
    (
        "clients.compute={power: 2 W}",
        "command line: clients.compute={power: 2 W}: clients.compute.time: state either the time (time: 400 ms), "
        "or work and speed (work: 20 GFLOP, speed: 50 GFLOP/s), of which the work may be left out: then it is counted "
        "from the model",
    ),
    (
        "rounds.x=3",
        "command line: rounds.x=3: rounds.x: unknown key",
    ),
    (
        "rounds=true",
        "command line: rounds=true: rounds: must be a whole number; got true",
    ),
    (
        "rounds=",
        "command line: rounds=: rounds: must be a whole number; got nothing",
    ),
    (
        "seeds=[2, 2]",
        "command line: seeds=[2, 2]: seeds: needs distinct whole numbers from 0 on; got [2, 2]",
    ),
    (
        "seeds=1,2,1",
        "command line: seeds=1,2,1: seeds: needs distinct whole numbers from 0 on; got [1, 2, 1]",
    ),
    (
        "seeds=1.5",
        "command line: seeds=1.5: seeds: must be a list, or a range such as 1..5; got 1.5",
    ),
    (
        "learning.targets=[0.5, 2]",
        "command line: learning.targets=[0.5, 2]: learning.targets.1: must be above 0 and below 1: "
        "it is an accuracy; got 2",
    ),
    (
        "learning.targets.2=0.4",
        "command line: learning.targets.2=0.4: learning.targets.2: is none of the 2 items of the list, whose numbers "
        "are 0 to 1",
    ),
    (
        "seeds.0=4",
        "command line: seeds.0=4: seeds.0: cannot be changed by itself; state the list as a whole",
    ),
    (
        "arms.adaptive.method.rank=0",
        "command line: arms.adaptive.method.rank=0: arms.adaptive.method.rank: must be at least 1; got 0",
    ),
    (
        "arms.adaptiv.method.rank=2",
        "command line: arms.adaptiv.method.rank=2: arms.adaptiv: unknown arm; did you mean 'adaptive'?",
    ),
    (
        "arms.a b.rounds=3",
        "command line: arms.a b.rounds=3: arms.a b: unknown arm",
    ),
    (
        "arms=3",
        "command line: arms=3: arms: must be a mapping of names to the keys that each arm changes; got 3",
    ),
    (
        "arms.plain=3",
        "command line: arms.plain=3: arms.plain: must be a mapping of the keys that the arm changes, or {}; got 3",
    ),
    (
        "schema_version=2",
        "command line: schema_version=2: schema_version: must be 1; got 2",
    ),
    (
        "rounds",
        "command line: rounds: an override reads key.path=value",
    ),
    (
        "--rounds",
        "command line: --rounds: an override reads key.path=value",
    ),
    (
        "=3",
        "command line: =3: an override reads key.path=value",
    ),
    (
        "radio..carrier=3 GHz",
        "command line: radio..carrier=3 GHz: an override reads key.path=value",
    ),
    (
        "seeds=[0",
        "command line: seeds=[0: seeds: is not YAML: a bracket is opened here and not closed",
    ),
    (
        "seeds=[0, 1]]",
        "command line: seeds=[0, 1]]: seeds: is not YAML: this fits nothing before it; mend the brackets or quotes",
    ),
    (
        "rounds=!!python/name:os.system",
        "command line: rounds=!!python/name:os.system: rounds: the tag '!!python/name:os.system' is not allowed; "
        "write plain values",
    ),
    (
        "rounds=!!int 4",
        "command line: rounds=!!int 4: rounds: the tag '!!int' is not allowed; write plain values",
    ),
    (
        "rounds=&a [*a]",
        "command line: rounds=&a [*a]: rounds: an alias contains itself",
    ),
    (
        "rounds=*a",
        "command line: rounds=*a: rounds: the alias *a has no anchor above it",
    ),
    (
        "rounds={[1]: 2}",
        "command line: rounds={[1]: 2}: rounds: a key is a word, not a list, a mapping or an alias",
    ),
    (
        "rounds={a: 1, a: 2}",
        "command line: rounds={a: 1, a: 2}: rounds.a: is given twice, first in line 1",
    ),
    (
        "method={kind: fedavg, <<: 3}",
        "command line: method={kind: fedavg, <<: 3}: method.<<: merge keys are not part of YAML 1.2; list the "
        "changes of an arm under 'arms'",
    ),
    (
        "rounds: 4",
        "command line: rounds: 4: an override reads key.path=value",
    ),
    (
        "rounds =5x",
        "command line: rounds =5x: rounds: must be a whole number; got '5x'",
    ),
    (
        "name=a b",
        "command line: name=a b: name: names a folder: up to 64 of A-Z, a-z, 0-9, '.', '_' and '-', a letter or "
        "digit first; got 'a b'",
    ),
    (
        "method.rank=385",
        "command line: method.rank=385: method.rank: must be at most 384, the width of the layers; got 385",
    ),
    (
        "learning.model.layers=7",
        "command line: learning.model.layers=7: learning.model.layers: must be at most 6, the model's depth; got 7",
    ),
    (
        "clients.count=4001",
        "s.yaml:8:23: radio.uplink.bandwidth: must be at least 15.00375 MHz, a subcarrier of 3.75 kHz (NB-IoT, the "
        "narrowest) for each of 4001 clients; got 1 MHz",
        "command line: clients.count=4001: clients.count: must be at most the 4000 training examples; got 4001",
    ),
    (
        "radio.uplink={access: ofdma, bandwidth: 100 kHz}",
        "command line: radio.uplink={access: ofdma, bandwidth: 100 kHz}: radio.uplink.bandwidth: must be at least "
        "radio.uplink.resource_block, 180 kHz: ofdma gives away whole blocks; got 100 kHz",
    ),
    (
        "radio.downlink={access: unicast, bandwidth: 100 kHz}",
        "command line: radio.downlink={access: unicast, bandwidth: 100 kHz}: radio.downlink.bandwidth: must be at "
        "least radio.downlink.resource_block, 180 kHz: unicast gives away whole blocks; got 100 kHz",
    ),
    (
        "radio.uplink={access: ofdma, averaging: 0.5 ms}",
        "command line: radio.uplink={access: ofdma, averaging: 0.5 ms}: radio.uplink.averaging: must be at least "
        "radio.slot, 1 ms: the scheduler decides once a slot; got 500 us",
    ),
    (
        "radio.downlink={access: unicast, scheduler: proportional_fair, averaging: 0.5 ms}",
        "command line: radio.downlink={access: unicast, scheduler: proportional_fair, averaging: 0.5 ms}: "
        "radio.downlink.averaging: must be at least radio.slot, 1 ms: the scheduler decides once a slot; got 500 us",
    ),
    (
        "radio={rate: {kind: cqi}, downlink: {coverage: 90 %}}",
        "command line: radio={rate: {kind: cqi}, downlink: {coverage: 90 %}}: radio.downlink.coverage: must be 100 % "
        "with rate cqi, whose blocks are made for the weakest receiver; got 0.9",
    ),
    (
        "radio={fidelity: packet, uplink: {access: tdma}}",
        "command line: radio={fidelity: packet, uplink: {access: tdma}}: radio.uplink.access: must be fdma with "
        "fidelity packet, which knows no scheduler; got tdma",
    ),
    (
        "radio={fidelity: packet, downlink: {access: unicast}}",
        "command line: radio={fidelity: packet, downlink: {access: unicast}}: radio.downlink.access: must be broadcast "
        "with fidelity packet, which knows no scheduler; got unicast",
    ),
    (
        "radio={fidelity: packet, rate: {kind: cqi}}",
        "command line: radio={fidelity: packet, rate: {kind: cqi}}: radio.rate: must be a rate that is always met with "
        "fidelity packet: cqi loses blocks of packets",
    ),
    (
        "method={kind: none, payload: 0 bit}",
        "command line: method={kind: none, payload: 0 bit}: method.payload: must be above 0 bit; got 0 bit",
    ),
    (
        "method={kind: none}",
        "command line: method={kind: none}: method.payload: is missing",
    ),
    (
        "method={kind: none, payload: 1 Mbit, kept_fractions: [1, 0.5]}",
        "command line: method={kind: none, payload: 1 Mbit, kept_fractions: [1, 0.5]}: method.kept_fractions: needs "
        "shares above 0 in rising order, of which the last is 1; got [1.0, 0.5]",
    ),
    (
        "clients.count=0",
        "command line: clients.count=0: clients.count: must be at least 1; got 0",
    ),
    (
        "learning.model.name='pkg:not_there_at_all/model'",
        "command line: learning.model.name='pkg:not_there_at_all/model': learning.model.name: model "
        "'pkg:not_there_at_all/model': the package 'not_there_at_all' is not installed; install what brings "
        "it, or name a folder with a model, or builtin:minilm-l6, which `make env` installs",
    ),
    (
        "learning.model.name='pkg:os.path/x'",
        "command line: learning.model.name='pkg:os.path/x': learning.model.name: model 'pkg:os.path/x': the "
        "package 'os.path' is not installed; install what brings it, or name a folder with a model, or "
        "builtin:minilm-l6, which `make env` installs",
    ),
    (
        "learning.model.name='pkg:json/model'",
        "command line: learning.model.name='pkg:json/model': learning.model.name: model 'pkg:json/model': no "
        "config.json in its folder, looked for in the package 'json'; expected a folder as `save_pretrained` "
        "writes it",
    ),
    (
        "learning.model.name=nowhere/model",
        "command line: learning.model.name=nowhere/model: learning.model.name: model 'nowhere/model' is not "
        "there: no such folder in the working directory, and the folders of the variable WFL_SIM_ROOTS, and none in "
        "the hub's cache; HF_HUB_OFFLINE=0 lets it be loaded from the hub",
    ),
    (
        "learning.data.name='builtin:shakespear'",
        "command line: learning.data.name='builtin:shakespear': learning.data.name: 'builtin:shakespear' is not known; "
        "did you mean 'builtin:shakespeare'? there are: builtin:wordnet10, builtin:wordnet19, builtin:newsgroups20, "
        "builtin:fashion_mnist, builtin:shakespeare, csv:PATH, OWNER/NAME, or a folder",
    ),
    (
        "learning.data.evaluate=validation",
        "command line: learning.data.evaluate=validation: learning.data.evaluate: validation needs examples of its "
        "own: learning.data.validation is 0",
    ),
    (
        "learning.data.validation=20000",
        "command line: learning.data.validation=20000: learning.data.validation: must be at most 14153 beside 4000 for "
        "training and 2000 for testing: the class 'body' of 'builtin:wordnet10' has 2015 texts; got 20000",
    ),
    (
        "learning.data.name=csv:no.csv",
        "command line: learning.data.name=csv:no.csv: learning.data.name: data 'csv:no.csv': there is no such file; "
        "looked for beside the scenario, in the working directory and in the folders of the variable WFL_SIM_ROOTS",
    ),
    (
        "learning.data.name=owner/made_up",
        "command line: learning.data.name=owner/made_up: learning.data.name: data 'owner/made_up': no such folder, and "
        "no copy of the hub's data set of that name is on this computer; HF_HUB_OFFLINE=1 forbids to ask the hub: "
        "`HF_HUB_OFFLINE=0 wfl-sim fetch owner/made_up` brings it",
    ),
    (
        "method={kind: fedtt_plus, factors: 6}",
        "command line: method={kind: fedtt_plus, factors: 6}: method.factors: must be at most 5, the factors of a "
        "tensor train; got 6",
    ),
    (
        "method={kind: fedtt_plus, factors: 7, classifier: tensor_train}",
        "command line: method={kind: fedtt_plus, factors: 7, classifier: tensor_train}: method.factors: must be at "
        "most 6, the factors of a tensor train; got 7",
    ),
    (
        "learning.data.train=100000",
        "command line: learning.data.train=100000: learning.data.train: must be at most 18153 beside 2000 for "
        "testing: the class 'body' of 'builtin:wordnet10' has 2015 texts; got 100000",
    ),
    (
        "method=soft",
        "command line: method=soft: method: must be a mapping of keys to values; got 'soft'",
    ),
    (
        "schedule.kind=tsfa",
        "s.yaml:21:1: schedule.latency_budget: is missing",
    ),
    (
        'rounds="\\e[31m"',
        "command line: rounds=\"\\e[31m\": rounds: must be a whole number; got '\\x1b[31m'",
    ),
    (
        "rou\x1b[31mnds=3",
        "command line: rou\\x1b[31mnds=3: rou\\x1b[31mnds: unknown key; did you mean 'rounds'?",
    ),
    (
        "rounds=3\n4",
        "command line: rounds=3\\n4: rounds: must be a whole number; got '3 4'",
    ),
    (
        "Rounds=3",
        "command line: Rounds=3: Rounds: unknown key; did you mean 'rounds'?",
    ),
    (
        "RADIO.carrier=3 GHz",
        "command line: RADIO.carrier=3 GHz: RADIO: unknown key; did you mean 'radio'?",
    ),
    (
        "radio.carrier=3 GHZ",
        "command line: radio.carrier=3 GHZ: radio.carrier: needs a frequency; 'GHZ' is no unit of that; did you "
        "mean 'GHz'?",
    ),
    (
        "rounds = 0",
        "command line: rounds = 0: rounds: must be at least 1; got 0",
    ),
    (
        "rounds=---\n3\n---\n4",
        "command line: rounds=---\\n3\\n---\\n4: rounds: is the start of another document; a file holds one scenario",
    ),
    (
        "learning.targets=",
        "command line: learning.targets=: learning.targets: must be a list; got nothing",
    ),
]


@pytest.mark.parametrize("row", WRONG_OVERRIDES, ids=[ascii(row[0])[1:-1] for row in WRONG_OVERRIDES])
def test_each_wrong_override_gets_exactly_these_lines(problems: Callable[..., list[str]], row: tuple[str, ...]) -> None:
    override, *lines = row
    assert problems(BASE, override) == lines
