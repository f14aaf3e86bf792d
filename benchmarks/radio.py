"""How fast the air interface is: the median of five runs, in CPU seconds of one thread, beside figures of peers.

Fleets run in processes of their own, so that their peak memory is theirs. ``--json FILE`` also writes records {name,
value, unit, target, peer}; ``--only NAME`` measures one row; ``--runs N`` takes the median of fewer runs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from _table import Benchmark, main, median

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import simpy

# Python looks for modules in the folder of a script first, where files are called as packages are: let it be last.
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parent), *(place for place in sys.path if Path(place or ".").resolve() != HERE), str(HERE)]

from channels.erasure import IndependentLoss, Loss, NoLoss  # noqa: E402
from channels.fading import BlockRayleigh, Fading, Rayleigh, Selective  # noqa: E402
from channels.links import Links  # noqa: E402
from channels.mobility import Line, Static  # noqa: E402
from channels.pathloss import LogDistance  # noqa: E402
from channels.shadowing import NoShadowing  # noqa: E402
from channels.streams import Stream  # noqa: E402
from channels.tdl import TDL  # noqa: E402
from wfl_sim.radio.medium import Medium  # noqa: E402
from wfl_sim.radio.options import Arq, Radio, Uplink  # noqa: E402

RUNS = 5
DOPPLER_HZ, SUBBANDS, BAND_HZ = 10.0, 24, 20e6
PACKET_BITS, HEADER_BITS, BLOCK_S = 12_000.0, 320.0, 0.1  # 1500 bytes; the coherence block
ROUNDS = 100


def make_medium(clients: int, radio: Radio, fading: Fading, loss: Loss, seed: int = 1) -> Medium:
    """A cell of still clients 200 to 400 m away."""
    stream = Stream.root(seed)
    links = Links(
        stream,
        clients,
        carrier_hz=3.5e9,
        path_loss=LogDistance(exponent=3.5, reference_loss_db=40.0),
        shadowing=NoShadowing(),
        fading=fading,
        placement=Line(from_m=200.0, to_m=400.0),
        mobility=Static(),
        antenna_gain_db=8.0,
    )
    return Medium(simpy.Environment(), radio, links, loss, stream.child("loss"), tx_power_w=0.2)


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of this process for one run of `work`."""
    before = time.process_time()
    work()
    return time.process_time() - before


def saturated_per_s(clients: int, slots: int, fading: Fading) -> float:
    """Clients x slots a CPU second of a saturated uplink, OFDMA, proportional fair; fading included."""
    uplink = Uplink(access="ofdma", scheduler="proportional_fair", bandwidth_hz=BAND_HZ,
                    resource_block_hz=BAND_HZ / SUBBANDS)  # fmt: skip
    medium = make_medium(clients, Radio(uplink=uplink, packet_bits=PACKET_BITS), fading, NoLoss())
    for client in range(clients):
        medium.uplink(client, 10**12, BAND_HZ / clients)
    # The medium looks ahead by 2048 slots at a time: an end just before such a step has cost all slots and no more.
    end_s = slots * medium.radio.slot_s - 1e-9
    spent_s = cpu_s(lambda: medium.env.run(end_s))
    return clients * slots / spent_s


def generator_per_s(clients: int, slots: int, fading: Fading) -> float:
    """The same of the fading alone, at the frequencies of the resource blocks where it tells them apart."""
    stream, who, times = Stream.root(1), np.arange(clients), (np.arange(slots) + 0.5) * 1e-3
    if isinstance(fading, Selective):
        offsets = (np.arange(SUBBANDS) - (SUBBANDS - 1) / 2) * BAND_HZ / SUBBANDS
        return clients * slots / cpu_s(lambda: fading.frequency_gain(stream, who, times, DOPPLER_HZ, offsets))
    return clients * slots / cpu_s(lambda: fading.power_gain(stream, who, times, DOPPLER_HZ))


RAYLEIGH = Rayleigh(doppler_hz=DOPPLER_HZ)
SELECTIVE = TDL(profile="A", delay_spread_s=300e-9, doppler_hz=DOPPLER_HZ)


def arq_packets_per_s(clients: int, packets: int, fidelity: str) -> float:
    """Packets of 1500 bytes a CPU second: FDMA, loss of 10 %, ARQ, ten packets a client and coherence block."""
    radio = Radio(
        uplink=Uplink(bandwidth_hz=clients * 240e3, work_conserving=False),
        packet_bits=PACKET_BITS,
        header_bits=HEADER_BITS,
        retransmission=Arq(attempts=10),
        slot_s=BLOCK_S,
        timeout_s=1e6,
        fidelity="packet" if fidelity == "packet" else "chunk",
    )
    loss = IndependentLoss(probability=0.1, origin="interference")
    medium = make_medium(clients, radio, BlockRayleigh(block_s=BLOCK_S), loss)
    sent: list[float] = []

    def work() -> None:
        payload_bits = round(packets * (PACKET_BITS - HEADER_BITS))
        uploads = [medium.uplink(client, payload_bits, 240e3) for client in range(clients)]
        medium.env.run(medium.env.all_of(uploads))
        sent.extend(upload.value.packets for upload in uploads)
        blocks = np.mean([upload.value.packets / upload.value.air_s * BLOCK_S for upload in uploads])
        assert 8 <= blocks <= 12, f"{blocks} packets a block: the load is not the one that is named"

    spent_s = cpu_s(work)
    return sum(sent) / spent_s


def chunk_over_packet() -> float:
    """How much faster many packets at once are than one event a packet, in one run."""
    return arq_packets_per_s(1000, 3000, "chunk") / arq_packets_per_s(100, 60, "packet")


FLEETS = {
    "10k": ("rounds=100",),
    "100": ("rounds=100", "clients.count=100", "radio.uplink.bandwidth=1 MHz"),
    "100k": ("rounds=100", "clients.count=100000", "protocol.cohort=1000", "radio.uplink.bandwidth=10 MHz"),
}
_CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from wfl_sim.engine import run_cell
from wfl_sim.scenario import load
cell = load(Path(sys.argv[1]) / "scenarios" / "capacity_10k.yaml", sys.argv[3:]).cells[0]
import time
before = time.process_time()
manifest = run_cell(cell, 0, Path(sys.argv[2]) / "run")
print(time.process_time() - before, manifest["measured"]["peak_rss_mib"], manifest["rounds_done"])
"""


@cache
def fleet(name: str, run: int) -> tuple[float, float]:
    """CPU seconds and peak MiB of one fleet, network only, with its whole trace."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _CHILD, str(HERE.parent), folder, *FLEETS[name]]
        spent_s, peak_mib, rounds = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert int(rounds) == ROUNDS
    return float(spent_s), float(peak_mib)


def growth(run: int) -> float:
    """How much more a client and round costs among 10,000 clients than among 100."""
    return fleet("10k", run)[0] / 10_000 / (fleet("100", run)[0] / 100)


# Figures of peers were measured on one thread of a like machine.
BENCHMARKS = (
    Benchmark("ofdma_pf_100_client_slots_per_s", "1/s", 1.5e6, "ns-3 LTE 28e3, Sionna 8.4e3",
              median(lambda run: saturated_per_s(100, 8192, RAYLEIGH))),
    Benchmark("ofdma_pf_1000_client_slots_per_s", "1/s", 3e6, "none",
              median(lambda run: saturated_per_s(1000, 4096, RAYLEIGH))),
    Benchmark("ofdma_pf_100_subband_slots_per_s", "1/s", 1.5e6, "Sionna 8.4e3 x 24 = 0.2e6",
              median(lambda run: SUBBANDS * saturated_per_s(100, 2048, SELECTIVE))),
    Benchmark("fdma_arq_packets_per_s", "1/s", 20e6, "ns-3 point to point 0.15e6",
              median(lambda run: arq_packets_per_s(1000, 3000, "chunk"))),
    Benchmark("chunk_over_packet", "1", 50.0, "none", median(lambda run: chunk_over_packet())),
    Benchmark("fleet_10k_cpu_s", "s", 60.0, "none", median(lambda run: fleet("10k", run)[0], warm=False), True),
    Benchmark("fleet_10k_rss_mib", "MiB", 1024.0, "none", median(lambda run: fleet("10k", run)[1], warm=False), True),
    Benchmark("fleet_100k_cpu_s", "s", 60.0, "none", median(lambda run: fleet("100k", run)[0], warm=False), True),
    Benchmark("fleet_100k_rss_mib", "MiB", 1024.0, "none", median(lambda run: fleet("100k", run)[1], warm=False), True),
    Benchmark("growth_100_to_10k", "1", 1.5, "none", median(growth, warm=False), True),
)  # fmt: skip
# Not asked for, but they tell what bounds the rows above.
FRACTIONS = {
    "ofdma_pf_100_client_slots_per_s": lambda: generator_per_s(100, 8192, RAYLEIGH),
    "ofdma_pf_1000_client_slots_per_s": lambda: generator_per_s(1000, 2048, RAYLEIGH),
    "ofdma_pf_100_subband_slots_per_s": lambda: SUBBANDS * generator_per_s(100, 2048, SELECTIVE),
}


def share(name: str, value: float, runs: int) -> str:
    """How much of the speed of drawing the fading alone is left."""
    if name not in FRACTIONS:
        return ""
    return f"{value / statistics.median(FRACTIONS[name]() for _ in range(runs)):.0%} of the fading alone"


if __name__ == "__main__":
    main(__doc__ or "", BENCHMARKS, RUNS, share)
