"""Every check of the self-test passes, and the self-test itself can fail: checks, selection, table and exit code."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import numpy as np
import pytest
import typer
from scipy import signal
from scipy.special import j0
from typer.testing import CliRunner

from channels import selftest
from channels.erasure import LOSS
from channels.fading import FADING, Rayleigh
from channels.mobility import MOBILITY
from channels.pathloss import PATH_LOSS, outdoor
from channels.selftest import CHECKS, Check, Result, SelectionError, Tolerance, fading, losses, run, sameness, select
from channels.shadowing import SHADOWING
from channels.streams import Stream
from wfl_sim.commands.selftest import WIDTH, line, summary
from wfl_sim.commands.selftest import selftest as command

# Long simulations; the README's `wfl-sim selftest`, which the tests of the pages run, makes every one of these checks.
LONG = ("fading.", "harq.", "shadowing.log_normal.memory")
QUICK = ("path_loss.uma", "rate.cqi_table")


def check(measured, expected=1.0, tolerance=0.1, name="area.model.figure", **others):
    return Check(name, lambda: measured, expected, Tolerance(tolerance, **others), "a reason")


def results(*checks):
    return list(run(checks))


@pytest.fixture
def invoke(monkeypatch):
    """Run the command with checks of one's own."""

    def call(*arguments, checks=CHECKS):
        monkeypatch.setattr(selftest, "CHECKS", checks)
        app = typer.Typer()
        app.command()(command)
        return CliRunner().invoke(app, list(arguments))

    return call


@pytest.mark.parametrize(
    "one",
    [pytest.param(c, id=c.name, marks=[pytest.mark.slow] if c.name.startswith(LONG) else []) for c in CHECKS],
)
def test_the_check_passes(one):
    (result,) = run([one])
    assert result.passed, f"{line(result)}\n{result.error or one.why}"


def test_names_are_unique_and_reasons_stated():
    names = [one.name for one in CHECKS]
    assert len(set(names)) == len(names)
    for one in CHECKS:
        assert re.fullmatch(r"[a-z0-9_]+(\.[A-Za-z0-9_-]+)+", one.name)
        assert len(one.why) > 20
        assert one.tolerance.amount >= 0.0 and math.isfinite(one.expected)


REGISTRIES = {
    "path_loss": PATH_LOSS, "fading": FADING, "shadowing": SHADOWING, "mobility": MOBILITY, "loss": LOSS,
}  # fmt: skip


def unchecked(area, kinds):
    return [kind for kind in kinds if not any(f"{one.name}.".startswith(f"{area}.{kind}.") for one in CHECKS)]


@pytest.mark.parametrize("area", REGISTRIES)
def test_every_model_is_checked(area):
    assert unchecked(area, REGISTRIES[area]) == []
    assert unchecked(area, [*REGISTRIES[area], "newer"]) == ["newer"]


@pytest.mark.parametrize("area", ["fading", "shadowing", "mobility", "loss"])
def test_every_model_that_draws_answers_alike_in_any_order(area):
    # these draw nothing, or are at work in the links of same.order.links
    others = {"none", "log_normal", "static", "constant_velocity", "random_waypoint"}
    assert {f"same.order.{kind}" for kind in {*REGISTRIES[area]} - others} <= {one.name for one in CHECKS}


@pytest.mark.parametrize("name", ["path_loss.uma", "bullets"])
def test_a_wrong_expectation_fails(name):
    """Twice the tolerance away from what is measured: the verdict follows the number."""
    one = next(check for check in CHECKS if name in check.name)
    wrong = dataclasses.replace(one, expected=one.measure() + 2.0 * one.tolerance.amount)
    assert not results(wrong)[0].passed


# Faults put into the models: the checks that look at them have to notice.


def verdicts(*names):
    return [result.passed for result in run(select(CHECKS, names))]


def test_the_exact_speed_of_light_in_the_breakpoints_is_noticed(monkeypatch):
    monkeypatch.setattr(outdoor, "_SPEED_OF_LIGHT_MPS", 299_792_458.0)  # moves PL2 by 0.006 dB
    assert verdicts("path_loss.uma", "path_loss.umi", "path_loss.breakpoints") == [False] * 3


def test_too_few_oscillators_are_noticed(monkeypatch):
    coarse = Rayleigh(fast=True)  # 16 phasors
    monkeypatch.setitem(
        fading._kept, Rayleigh(), coarse.power_gain(fading._STREAM, np.arange(100_000), [1.0, 7.0], 10.0)
    )
    assert verdicts("fading.rayleigh.ks") == [False]


def test_fading_with_the_memory_of_a_recursion_is_noticed(monkeypatch):
    """AR(1) with J0 right at the first step: the law is right, memory and crossings are not."""

    def recursive(model, stream, clients, times_s, doppler_hz):
        step = j0(2.0 * np.pi * doppler_hz * (times_s[1] - times_s[0]))
        shape = (len(clients), len(times_s))
        noise = [stream.child(name).normal(np.asarray(clients)[:, None], np.arange(shape[1])) for name in "xy"]
        return [np.sqrt(0.5) * signal.lfilter([np.sqrt(1.0 - step**2)], [1.0, -step], part, axis=1) for part in noise]

    small = fading._LONG._replace(clients=100, samples=5000)
    monkeypatch.setattr(fading, "_LONG", small)
    monkeypatch.setattr(Rayleigh, "amplitudes", recursive)
    fading._walk.cache_clear()
    try:
        assert not any(verdicts("fading.rayleigh.autocorrelation.20", "fading.rayleigh.autocorrelation.38"))
    finally:
        fading._walk.cache_clear()


def test_a_gain_that_depends_on_the_number_of_clients_is_noticed(monkeypatch):
    links = sameness._links

    def crowded(clients):
        monkeypatch.setattr(sameness, "_STREAM", Stream.root(clients))
        return links(clients)

    monkeypatch.setattr(sameness, "_links", crowded)
    assert verdicts("same.clients", "same.seed") == [True, False]


def test_a_burst_that_forgets_is_noticed(monkeypatch):
    independent = np.random.default_rng(1).random(1_000_000) < 0.142857
    monkeypatch.setattr(losses, "_chain", lambda *_: independent)
    names = [f"loss.gilbert_elliott.{figure}" for figure in ("loss.1", "burst.1", "memory")]
    assert verdicts(*names) == [True, False, False]


@pytest.mark.parametrize(
    ("measured", "expected", "tolerance", "relative", "passed"),
    [
        (1.1, 1.0, 0.125, False, True),
        (1.125, 1.0, 0.125, False, True),  # the limit itself
        (1.13, 1.0, 0.125, False, False),
        (-11.0, -10.0, 0.125, True, True),
        (-12.0, -10.0, 0.125, True, False),
        (0.0, 0.0, 0.0, False, True),
        (1e-300, 0.0, 0.0, False, False),
        (math.nan, 0.0, 1.0, False, False),
        (math.inf, 1.0, 1.0, False, False),
    ],
)
def test_verdict(measured, expected, tolerance, relative, passed):
    assert results(check(measured, expected, tolerance, relative=relative))[0].passed is passed


def test_a_measure_that_raises_is_a_failure_and_hides_no_other():
    def broken():
        raise ZeroDivisionError("no packets")

    first, second = results(Check("a.b", broken, 1.0, Tolerance(1.0), "a reason"), check(1.0))
    assert (first.passed, first.error) == (False, "ZeroDivisionError: no packets")
    assert math.isnan(first.measured)
    assert second.passed and second.seconds >= 0.0
    assert "error" in line(first) and "FAILED" in line(first)


def test_groups_are_selected_in_the_order_of_the_list():
    checks = tuple(check(1.0, name=name) for name in ("a.b.c", "a.bb", "a.b", "d.e"))
    assert [one.name for one in select(checks, ["d", "a.b"])] == ["a.b.c", "a.b", "d.e"]
    with pytest.raises(SelectionError, match=r"no check or group is called 'a.bc'; did you mean .*groups: a, d"):
        select(checks, ["a", "a.bc"])
    with pytest.raises(SelectionError, match=r"called ''; groups: a, d"):
        select(checks, [""])


def test_the_command_prints_a_line_a_check_and_a_summary(invoke):
    done = invoke(*QUICK)
    header, *lines, blank, last = done.output.splitlines()
    assert done.exit_code == 0
    assert header.split() == ["check", "measured", "expected", "tolerance", "verdict"]
    assert [row.split()[0] for row in lines] == list(QUICK)
    assert all(row.endswith(" ok") for row in lines)
    assert blank == "" and re.fullmatch(r"2 checks passed in \d+\.\d s", last)


def test_every_line_fits_80_columns():
    for one in CHECKS:
        for measured in (one.expected, math.nan, -1.2345678e9):
            assert len(line(Result(one, measured, 0.1))) <= WIDTH


def test_a_deviation_is_told_as_one():
    small = check(4.89e-5, 0.0, 1e-3, unit="dB", name="path_loss.uma")
    (result,) = results(small)
    assert line(result).split() == ["path_loss.uma", "4.9e-05", "deviation", "±0.001", "dB", "ok"]
    assert line(Result(check(0.0, 0.0, 0.0), 0.0, 0.1)).split()[1:4] == ["0", "0", "exact"]


def test_the_command_fails_with_the_check_and_says_why(invoke):
    done = invoke(checks=(check(1.0), check(1.5, name="area.model.wrong")))
    assert done.exit_code == 1
    assert done.output.splitlines()[2].split() == ["area.model.wrong", "1.50", "1.00", "±0.1", "FAILED"]
    assert done.output.splitlines()[-2:] == [
        f"1 of 2 checks failed in {done.output.split('failed in ')[1].split()[0]} s",
        "area.model.wrong: a reason",
    ]


def test_the_command_answers_in_json(invoke):
    done = invoke("--format", "json", checks=(check(1.05, relative=True), check(math.nan, unit="dB")))
    assert done.exit_code == 1
    answer = json.loads(done.output)
    assert (answer["passed"], [one["passed"] for one in answer["checks"]]) == (False, [True, False])
    first, second = answer["checks"]
    assert first | {"seconds": 0} == {
        "name": "area.model.figure", "measured": 1.05, "expected": 1.0, "tolerance": 0.1, "relative": True, "unit": "",
        "passed": True, "seconds": 0, "why": "a reason", "error": "",
    }  # fmt: skip
    assert second["measured"] is None and second["unit"] == "dB"


def test_the_command_names_the_groups_where_a_name_is_wrong(invoke):
    done = invoke("path_los")
    assert done.exit_code == 2
    assert "did you mean" in done.output and "path_loss" in done.output


@pytest.mark.parametrize(
    ("tolerance", "text"),
    [
        (Tolerance(0.0), "exact"),
        (Tolerance(1e-3, unit="dB"), "±0.001 dB"),
        (Tolerance(0.03, relative=True), "±3 %"),
        (Tolerance(0.0062), "±0.0062"),
    ],
)
def test_tolerances_in_words(tolerance, text):
    assert str(tolerance) == text


def test_the_summary_of_one():
    assert summary(results(check(1.0))).startswith("1 check passed")
