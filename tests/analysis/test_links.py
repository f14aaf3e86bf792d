"""Pictures of links hold what the arrays and models say, with units; looked at by eye besides."""

from __future__ import annotations

import re

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis.links import LEAST_STEPS, fading_figure, path_loss_figure, snr_timeline
from channels import measures
from channels.fading import Rayleigh, Rician
from channels.pathloss import Cost231Hata, FreeSpace, TwoRay, UMa, UMi
from channels.streams import Stream

UNIT = re.compile(r", (%|dB|s|m|[kMG]?bit/s|1/fd|ratio|crossings per 1/fd)( \(logarithmic\))?$|\(logarithmic\), m$")
DOPPLER_HZ, STEP_S = 12.5, 8e-4
STREAM = Stream.root(3)


def amplitudes(model, clients=200, samples=3000):
    x, y = model.amplitudes(STREAM, np.arange(clients), np.arange(samples) * STEP_S, DOPPLER_HZ)
    return x + 1j * y


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def axis_labels(figure):
    return [label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel()) if label]


@pytest.fixture(scope="module")
def figures():
    """One picture of each kind."""
    times = np.arange(50) * 0.1
    return [
        snr_timeline(times, np.full(50, 10.0), np.full(50, 3e6), np.full(50, 12.0)),
        fading_figure(amplitudes(Rayleigh(), clients=20), STEP_S, DOPPLER_HZ),
        path_loss_figure({"UMa": UMa(), "free space": FreeSpace()}, 3.5e9),
    ]


def test_every_axis_has_a_unit(figures):
    labels = [label for figure in figures for label in axis_labels(figure)]
    assert len(labels) >= 12
    assert [label for label in labels if not UNIT.search(label)] == []


def test_no_two_texts_overlap(figures):
    crowded = path_loss_figure({f"model {n}": m for n, m in enumerate([UMa(), UMi(), Cost231Hata(), TwoRay()])}, 1.9e9)
    for figure in (*figures, crowded):
        FigureCanvasAgg(figure).draw()
        boxes = [
            (text.get_text(), text.get_window_extent())
            for text in figure.findobj(matplotlib.text.Text)
            if text.get_text().strip() and text.get_visible() and _shown(figure, text)
        ]
        clashes = [(a, b) for i, (a, box) in enumerate(boxes) for b, other in boxes[:i] if box.overlaps(other)]
        assert clashes == []


def _shown(figure, text):
    """Tick labels outside the limits of their axis have a place but are not drawn."""
    box, whole = text.get_window_extent(), figure.bbox
    ticks = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    for axis in ticks:
        for tick in axis.get_major_ticks() + axis.get_minor_ticks():
            if text in (tick.label1, tick.label2):
                low, high = sorted(axis.get_view_interval())
                return low <= tick.get_loc() <= high
    return whole.overlaps(box)


def test_the_timeline_holds_the_arrays():
    times = np.linspace(0.0, 2.0, 30)
    snr, rate = np.sin(times) * 10.0, 1e6 * (1.0 + times)
    above, below = snr_timeline(times, snr, rate).axes
    np.testing.assert_array_equal(above.get_lines()[0].get_ydata(), snr)
    np.testing.assert_allclose(below.get_lines()[0].get_ydata(), rate / 1e6)
    assert below.get_ylabel() == "rate, Mbit/s"
    assert below.get_lines()[1].get_ydata()[0] == pytest.approx(2.0)
    assert above.get_legend() is None


@pytest.mark.parametrize(("most", "unit"), [(3e9, "Gbit/s"), (1.9e6, "kbit/s"), (50.0, "bit/s")])
def test_the_unit_of_the_rate_follows_its_size(most, unit):
    assert snr_timeline([0.0, 1.0], [0.0, 0.0], [0.0, most]).axes[1].get_ylabel() == f"rate, {unit}"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([], [], []), "rising order"),
        (([0.0, 0.0], [1.0, 1.0], [1.0, 1.0]), "rising order"),
        (([0.0, 1.0], [1.0], [1.0, 1.0]), "snr_db must hold 2 finite values"),
        (([0.0, 1.0], [1.0, np.nan], [1.0, 1.0]), "snr_db must hold 2 finite values"),
        (([0.0, 1.0], [1.0, 1.0], [1.0, -1.0]), "a rate in bit/s"),
        (([0.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0]), "mean_snr_db must hold 2"),
    ],
)
def test_wrong_timelines_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        snr_timeline(*arguments)


@pytest.mark.parametrize(("model", "k"), [(Rayleigh(), 0.0), (Rician(k_db=6.0), 10.0**0.6)])
def test_dots_lie_on_the_lines_of_theory(model, k):
    # Many clients, since each keeps the angle of its direct path; 8000 Doppler periods in all
    waves = amplitudes(model, clients=2000, samples=400)
    law, memory, crossings, durations = fading_figure(waves, STEP_S, DOPPLER_HZ, k).axes
    for axes, error in ((law, 0.15), (crossings, 0.15), (durations, 0.15)):
        dots, line = sorted(axes.get_lines()[:2], key=lambda drawn: len(drawn.get_xdata()))
        theory = np.interp(dots.get_xdata(), line.get_xdata(), np.log(line.get_ydata()))
        common = (dots.get_xdata() >= -15.0) & (dots.get_xdata() <= 5.0)
        assert common.sum() >= 5
        np.testing.assert_allclose(np.log(dots.get_ydata()[common]), theory[common], rtol=0, atol=error)
    dots = memory.get_lines()[0]
    np.testing.assert_allclose(
        dots.get_ydata(), measures.clarke_autocorrelation(dots.get_xdata(), 1.0), rtol=0, atol=0.06
    )


def test_fades_too_short_for_the_steps_are_left_out():
    coarse = fading_figure(amplitudes(Rayleigh(), 20)[:, ::5], 5 * STEP_S, DOPPLER_HZ).axes[3]
    durations = next(line for line in coarse.get_lines() if line.get_marker() == "o").get_ydata()
    assert durations.min() > 0.8 * LEAST_STEPS * 5 * STEP_S * DOPPLER_HZ


@pytest.mark.parametrize("wrong", [np.ones(5), np.ones((0, 5)), np.ones((3, 1)), np.full((2, 5), np.nan)])
def test_wrong_amplitudes_are_refused(wrong):
    with pytest.raises(ValueError, match="amplitudes must be finite"):
        fading_figure(wrong, STEP_S, DOPPLER_HZ)
    with pytest.raises(ValueError, match="step_s"):
        fading_figure(np.ones((2, 5)), 0.0, DOPPLER_HZ)


def test_path_losses_are_those_of_the_models_and_solid_where_stated():
    model = UMa(line_of_sight="always")
    (axes,) = path_loss_figure({"UMa": model, "two rays": TwoRay()}, 3.5e9).axes
    whole, stated, ring = axes.get_lines()[:3]
    np.testing.assert_array_equal(whole.get_ydata(), model.path_loss_db(whole.get_xdata(), 3.5e9))
    inside = ~np.isnan(stated.get_ydata())
    assert stated.get_xdata()[inside].max() <= 5e3 < stated.get_xdata()[~inside].min()
    assert ring.get_xdata()[0] == pytest.approx(560.0)
    assert axes.get_lines()[5].get_xdata()[0] == pytest.approx(TwoRay().crossover_m(3.5e9))
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert {"UMa", "two rays", "breakpoint", "Path loss at 3.5 GHz"} <= set(texts(axes.figure))


def test_a_model_outside_its_carrier_is_dotted_throughout():
    (axes,) = path_loss_figure({"COST231": Cost231Hata()}, 3.5e9, 100.0, 300.0).axes
    assert np.isnan(axes.get_lines()[1].get_ydata()).all()
    assert len([line for line in axes.get_lines() if len(line.get_xdata()) == 1]) == 0  # no breakpoint


def test_too_many_models_and_wrong_distances_are_refused():
    with pytest.raises(ValueError, match="1 to 7 models fit one picture; got 8"):
        path_loss_figure({str(n): FreeSpace() for n in range(8)}, 1e9)
    with pytest.raises(ValueError, match="distances must rise"):
        path_loss_figure({"UMa": UMa()}, 1e9, 100.0, 10.0)


def test_drawing_leaves_the_settings_of_the_caller_alone():
    before = dict(matplotlib.rcParams)
    path_loss_figure({"UMa": UMa()}, 3.5e9)
    assert dict(matplotlib.rcParams) == before
