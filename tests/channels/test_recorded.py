from __future__ import annotations

import numpy as np
import pytest

from channels.files import FileError
from channels.linkadaptation import Shannon
from channels.links import LOWEST_GAIN_DB
from channels.mobility import Disc, RandomWaypoint
from channels.options import OptionError, Options
from channels.ratecurve import RateCurve
from channels.recorded import Band, EmpiricalLaw, Recorded, RecordedLinks
from channels.replay import Steps
from channels.streams import Stream

ROUNDING = 1e-9  # relative: a power of ten and back
BINNED = 0.0015 / np.log(2.0)  # bit/s/Hz: the claim of EmpiricalLaw
BANDS = {
    "up": Band(bandwidth_hz=360e3, power_w=0.2, noise_w_per_hz=1.3e-20, overhead=0.08),
    "down": Band(bandwidth_hz=10e6, power_w=20.0, noise_w_per_hz=3.2e-20, overhead=0.14),
}
RATE = Shannon(gap_db=3.0)


@pytest.fixture
def replayed(tmp_path, monkeypatch):
    """Links over files that are written first."""
    monkeypatch.chdir(tmp_path)

    def make(files, clients=5, seed=1, adaptation=RATE, **options):
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        options.setdefault("file", next(iter(files)))
        return RecordedLinks(
            Stream.root(seed).child("channel"),
            clients,
            recorded=Recorded(**options),
            bands=BANDS,
            adaptation=adaptation,
            placement=Disc(from_m=10.0, to_m=100.0),
            mobility=RandomWaypoint(speed_mps=1.0),
        )

    return make


def goodput_bps(gain, direction, share=1.0):
    band = BANDS[direction]
    width = share * band.bandwidth_hz
    snr = band.power_w * gain / (band.noise_w_per_hz * width)
    return width * RATE.efficiency(snr) * (1.0 - band.overhead)


CSV = "time_s,up_bps,down_bps\n0,1e6,2e7\n0.5,0,3e7\n1,2.5e6,0\n"
TIMES = np.array([0.0, 0.4, 0.6, 1.2, 1.6, 2.2])
UP = np.array([1e6, 1e6, 0.0, 2.5e6, 1e6, 0.0])
DOWN = np.array([2e7, 2e7, 3e7, 0.0, 2e7, 3e7])


def test_a_recorded_rate_comes_back_in_the_whole_band(replayed):
    links = replayed({"a.csv": CSV}, offset_s=0.0)
    for direction, expected in (("up", UP), ("down", DOWN)):
        rates = goodput_bps(links.gain(TIMES, direction=direction), direction)
        np.testing.assert_allclose(rates, np.tile(expected, (5, 1)), rtol=ROUNDING, atol=1e-6)
    silent = links.gain_db([0.6])
    assert (silent == LOWEST_GAIN_DB).all()


def test_a_part_of_the_band_gets_more_than_its_part_of_the_rate(replayed):
    links = replayed({"a.csv": CSV}, offset_s=0.0)
    part = goodput_bps(links.gain([0.0])[0, 0], "up", share=0.1)
    assert 0.1e6 < part < 1e6


def test_a_recorded_snr_is_that_of_the_whole_band(replayed):
    links = replayed({"a.csv": "time_s,snr_db\n0,10\n1,-3\n"}, offset_s=0.0)
    for direction, band in BANDS.items():
        snr = band.power_w * links.gain([0.5, 1.5], direction=direction)[0] / (band.noise_w_per_hz * band.bandwidth_hz)
        np.testing.assert_allclose(10 * np.log10(snr), [10.0, -3.0], rtol=ROUNDING)


def test_a_mahimahi_trace_is_taken_in_windows(replayed):
    up, down = "".join(f"{ms}\n" for ms in (10, 20, 150, 200)), "100\n100\n100\n200\n"
    links = replayed({"up": up, "down": down}, downlink_file="down", offset_s=0.0)
    # Packets of 12 kbit in (0, 100 ms] and (100 ms, 200 ms].
    for direction, packets in (("up", [2, 2]), ("down", [3, 1])):
        rates = goodput_bps(links.gain([0.05, 0.15], direction=direction), direction)[0]
        np.testing.assert_allclose(rates, np.array(packets) * 120e3, rtol=ROUNDING, atol=1e-6)


def test_clients_that_share_a_file_start_at_places_of_their_own(replayed):
    text = "time_s,rate_bps\n" + "".join(f"{t},{1e5 + 1e3 * t}\n" for t in range(1000))
    few, many = replayed({"a.csv": text}, clients=5), replayed({"a.csv": text}, clients=300)
    np.testing.assert_array_equal(few.offset_s, many.offset_s[:5])
    assert many.offset_s.min() >= 0.0 and many.offset_s.max() < 1000.0
    assert np.abs(np.sort(many.offset_s) / 1000.0 - np.arange(300) / 300).max() < 0.12  # KS at 0.1 %: 1.95 / sqrt(300)
    np.testing.assert_allclose(many.offset_s * 1e3, np.rint(many.offset_s * 1e3), rtol=1e-12)
    assert not np.array_equal(replayed({"a.csv": text}, seed=2).offset_s, few.offset_s)
    rates = goodput_bps(few.gain([3.0]), "up")[:, 0]
    np.testing.assert_allclose(rates, 1e5 + 1e3 * (np.floor(few.offset_s + 3.0) % 1000), rtol=ROUNDING)


def test_each_client_may_have_its_file(replayed):
    files = {f"{n}.csv": f"time_s,rate_bps\n0,{n + 1}e5\n1,2e5\n" for n in range(3)}
    links = replayed(files, clients=3, file="{client}.csv")
    np.testing.assert_allclose(goodput_bps(links.gain([0.5]), "up")[:, 0], [1e5, 2e5, 3e5], rtol=ROUNDING)
    np.testing.assert_allclose(goodput_bps(links.gain([0.5], clients=[2]), "up")[:, 0], [3e5], rtol=ROUNDING)
    assert (links.offset_s == 0.0).all()
    mean = links.gain([0.5, 1.5]).mean(axis=1)
    np.testing.assert_allclose(10 ** (links.large_scale_db([7.0, 8.0]) / 10), np.tile(mean, (2, 1)).T, rtol=ROUNDING)


def test_random_access_gives_the_same_bits(replayed):
    links = replayed({"a.csv": CSV}, clients=4)
    times = np.sort(Stream.root(2).uniform(0, np.arange(50))) * 100.0
    whole = links.gain(times, direction="down")
    np.testing.assert_array_equal(links.gain(times[[7, 3]], clients=[2, 0], direction="down"), whole[[2, 0]][:, [7, 3]])


def test_the_planned_rate_is_the_mean_rate(replayed):
    few = replayed({"a.csv": CSV})
    rates = Stream.root(1).uniform(0, np.arange(3000)) ** 4 * 3e6  # many values over some 100 dB of SNR
    text = "time_s,rate_bps\n" + "".join(f"{t},{r!r}\n" for t, r in enumerate(rates.tolist()))
    many = replayed({"b.csv": text}, file="b.csv")
    net_hz = BANDS["up"].bandwidth_hz * (1 - BANDS["up"].overhead)
    for links, mean_bps, off in ((few, 3.5e6 / 3, 1e-8), (many, rates.mean(), BINNED)):
        gains, weights = links.fading_of("up").quadrature()
        assert weights.sum() == pytest.approx(1.0, rel=1e-12)
        assert weights @ gains == pytest.approx(1.0, rel=1e-12)
        assert gains.size <= 257
        snr = 10 ** (links.large_scale_db([0.0])[0, 0] / 10) / BANDS["up"].gain_of_snr
        planned = RateCurve(gains, weights, RATE.gap).efficiency(snr) * net_hz
        assert planned == pytest.approx(mean_bps, rel=1e-8, abs=off * net_hz)


def test_each_direction_has_a_law_of_its_own(replayed):
    links = replayed({"a.csv": "time_s,up_bps,down_bps\n0,1e6,2e7\n1,1e6,0\n2,1e6,2e7\n3,1e6,2e7\n"})
    assert [x.tolist() for x in links.fading_of("up").quadrature()] == [[1.0], [1.0]]
    gains, weights = links.fading_of("down").quadrature()
    np.testing.assert_allclose(gains, [0.0, 4 / 3], atol=1e-12)
    np.testing.assert_allclose(weights, [0.25, 0.75])


def test_recordings_of_several_clients_count_alike():
    law = EmpiricalLaw.of([Steps([0.0, 1.0], [1.0, 3.0]), Steps([0.0], [5.0])])
    np.testing.assert_allclose(law.quadrature(), [[0.5, 1.0, 1.5], [0.25, 0.5, 0.25]], rtol=1e-12)


def test_it_answers_where_links_do(replayed):
    links = replayed({"a.csv": CSV}, clients=3)
    assert links.reciprocal is False and links.warnings == ()
    np.testing.assert_array_equal(links.offsets_hz(1e6), [0.0])
    assert links.gain([0.0, 1.0], offsets_hz=[-1.0, 0.0, 1.0]).shape == (3, 2, 3)
    assert links.gain_db([0.0, 1.0], offsets_hz=[-1.0, 0.0, 1.0]).shape == (3, 2, 3)
    assert links.gain([]).shape == (3, 0)
    assert links.trajectory.distance_m([0.0]).shape == (3, 1)
    with pytest.raises(ValueError, match="client 3 is not one of 3"):
        links.gain([0.0], clients=[3])
    with pytest.raises(ValueError, match="a time in s"):
        links.gain([-1.0])


def test_what_does_not_fit_is_told_with_the_file(replayed):
    with pytest.raises(
        FileError, match=r"a.csv: 20 Mbit/s is more than 360 kHz carries, at most 10.67 Mbit/s at 100 dB"
    ):
        replayed({"a.csv": "time_s,rate_bps\n0,2e7\n"})
    with pytest.raises(FileError, match=r"u.csv: has no column for the downlink"):
        replayed({"u.csv": "time_s,up_bps\n0,2e6\n"})
    with pytest.raises(FileError, match=r"1.csv: cannot be read: No such file"):
        replayed({"0.csv": "time_s,rate_bps\n0,2e6\n"}, file="{client}.csv")
    with pytest.raises(FileError, match=r"a.csv:3: rate_bps must be"):
        replayed({"a.csv": "time_s,rate_bps\n0,1\n1,-1\n"})
    with pytest.raises(OptionError, match="window_s"):
        Recorded(file="a", window_s=0.0)


def test_a_rate_needs_a_rate_model_that_can_be_inverted(replayed):
    class Steep(Shannon):
        def efficiency(self, snr):
            return np.minimum(super().efficiency(snr), 1.0)

    class Bare(Options):
        kind = "bare"

        def efficiency(self, snr):
            return np.asarray(snr)

    for adaptation, says in ((Steep(), "is more than"), (Bare(), "needs a rate model with a gap, which bare is not")):
        with pytest.raises(FileError, match=says):
            replayed({"a.csv": CSV}, adaptation=adaptation)

    class Bent(Shannon):
        def efficiency(self, snr):
            return 0.6 * super().efficiency(snr)

    with pytest.raises(FileError, match="with an inverse, which shannon has not"):
        replayed({"a.csv": CSV}, adaptation=Bent())
