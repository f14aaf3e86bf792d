"""Which codecs go with a method that has no pairs of factors, and what its update is planned to hold."""

from __future__ import annotations

import pytest

from wfl_sim import updatesizes
from wfl_sim.codecs.topk import TopK
from wfl_sim.errors import ScenarioError
from wfl_sim.learning.sources import ModelInfo
from wfl_sim.scenario import parse
from wfl_sim.updatesizes import layout_of

SCENARIO = """\
schema_version: 1
name: ffa
rounds: 2
radio: {uplink: {bandwidth: 1 MHz}}
channel: {path_loss: {kind: uma}}
clients: {count: 4, placement: {kind: disc, from: 35 m, to: 300 m}, compute: {time: 400 ms}}
method: {kind: METHOD, rank: 4, adapt: [query, up, down]}
codec: {kind: CODEC}
"""


def read(method: str, codec: str):
    return parse(SCENARIO.replace("METHOD", method).replace("CODEC", codec)).cells[0].scenario


def test_components_need_pairs():
    with pytest.raises(ScenarioError) as told:
        read("ffa", "components")
    (problem,) = told.value.args
    assert (problem.key, problem.line) == ("codec", 8)
    assert "ffa trains B alone" in problem.message and "codecs that fit: dense, topk" in problem.message


@pytest.mark.parametrize("method", ["fedavg", "fedex"])
def test_an_svd_needs_a_method_that_makes_new_factors_of_products(method):
    """fedex merges products, but A and B are means all the same."""
    with pytest.raises(ScenarioError) as told:
        read(method, "svd")
    (problem,) = told.value.args
    assert (problem.key, problem.line) == ("codec", 8)
    assert f"svd gives each client's factors in a basis of their own, and {method} merges factors" in problem.message
    assert "methods that make new factors of products: flora, flexlora" in problem.message


def test_an_svd_goes_with_who_makes_new_factors_of_products():
    assert [read(method, "svd").codec.kind for method in ("flora", "flexlora")] == ["svd", "svd"]
    with pytest.raises(ScenarioError) as told:
        read("ffa", "svd")
    assert "ffa trains B alone" in told.value.args[0].message


def test_an_svd_with_error_feedback_is_told_at_its_key():
    with pytest.raises(ScenarioError) as told:
        parse(SCENARIO.replace("METHOD", "fedavg").replace("CODEC", "svd, error_feedback: 0.5"))
    (problem,) = told.value.args
    assert (problem.key, problem.line) == ("codec.error_feedback", 8)
    assert "must be 0 with svd" in problem.message


ARMS = """\
arms:
  as-it-is: {}
  ours:
    rounds: 3
"""
CLASHES = {  # what an arm writes below its other keys -> what is pointed to
    "    method: {kind: ffa, rank: 4}": "kind: ffa",
    "    codec: {error_feedback: 0}\n    method: {rank: 4, kind: ffa}": "kind: ffa",
    "    method: {kind: flora}": "kind: flora",
    "    codec:\n      bits: 8\n      kind: svd": "kind: svd",
    "    method: {kind: flexlora}\n    codec: {kind: rotated}": "kind: rotated",
    "    method: {kind: ffa}\n    codec: {kind: rotated}": "kind: rotated",
    "    method: {kind: flora}\n    codec: {kind: topk, error_feedback: 1}": "error_feedback: 1",
}


@pytest.mark.parametrize("changes", CLASHES)
def test_a_clash_of_an_arm_is_told_at_a_line_of_the_arm(changes):
    text = SCENARIO.replace("METHOD", "soft").replace("CODEC", "components, error_feedback: 0.5") + ARMS + changes
    with pytest.raises(ScenarioError) as told:
        parse(text)
    (problem,) = told.value.args
    assert problem.line > text[: text.index("  ours:")].count("\n") + 1
    key, _, value = CLASHES[changes].partition(": ")
    line = text.splitlines()[problem.line - 1]
    assert line[problem.column - 1 :].startswith(value) and f"{key}: {value}" in line
    assert problem.key.removeprefix("arms.ours.") in ("codec", "codec.error_feedback")


def test_a_clash_is_told_at_the_override_that_makes_it():
    text = SCENARIO.replace("METHOD", "soft").replace("CODEC", "components") + ARMS
    for override in ("method.kind=ffa", "arms.ours.method.kind=ffa", "codec={kind: svd}"):
        with pytest.raises(ScenarioError) as told:
            parse(text, overrides=[override])
        (problem,) = told.value.args
        assert problem.place == f"command line: {override}" and problem.key.endswith("codec")


@pytest.mark.parametrize(("method", "codec"), [("ffa", "dense"), ("ffa", "topk"), ("soft", "components")])
def test_what_fits_is_taken(method, codec):
    assert read(method, codec).codec.kind == codec


@pytest.mark.parametrize("method", ["flora", "flexlora"])
def test_what_is_left_out_of_factors_that_are_made_anew_cannot_wait(method):
    with pytest.raises(ScenarioError) as told:
        read(method, "topk, error_feedback: 0.5")
    (problem,) = told.value.args
    assert (problem.key, problem.line) == ("codec.error_feedback", 8)
    assert f"must be 0 with method {method}" in problem.message
    assert (
        read(method, "topk").codec.error_feedback == read("fedex", "topk, error_feedback: 1").codec.error_feedback - 1
    )


def test_what_is_broadcast_by_a_rule_of_its_own_is_planned_for(monkeypatch, tmp_path):
    info = ModelInfo(tmp_path, 6, 384, 1536, 30_000, 512, ("text",), 384, 384, 6, False, "bert", 0)
    monkeypatch.setattr(updatesizes, "model_info", lambda name: info)
    (menu, first, later), (_, stacked_first, stacked) = (
        updatesizes.sizes(read(m, "dense")) for m in ("fedavg", "flora")
    )
    assert stacked_first == first and later == menu.points[-1].bits
    pairs, values = 18, 6 * 4 * 4 * (384 + 384 + 2 * (384 + 1536))  # four arrivals' stacks; the head comes on top
    head = later - 16 * values / 4 - 8 * 2 * pairs
    assert stacked == 16 * values + 8 * 2 * pairs + head + 32 * pairs  # scales; how many components


def test_an_update_of_ffa_is_planned_as_b_and_the_head(tmp_path):
    info = ModelInfo(tmp_path, 6, 384, 1536, 30_000, 512, ("text",), 384, 384, 6, False, "bert", 0)
    pairs, single = (layout_of(read(method, "topk"), info) for method in ("fedavg", "ffa"))
    assert len(pairs.pairs) == 6 * 3 and single.pairs == ()
    values = 6 * 4 * (384 + 1536 + 384)  # 6 blocks, rank 4; widths out of query, up and down
    assert single.size(single.adapters) == values
    assert pairs.size(pairs.adapters) == values + 6 * 4 * (384 + 384 + 1536)  # and into them
    assert single.heads == pairs.heads and TopK().menu(single).points[0].bits < TopK().menu(pairs).points[0].bits


def test_h2tune_says_itself_what_is_sent():
    with pytest.raises(ScenarioError) as told:
        read("h2tune", "topk")
    (problem,) = told.value.args
    assert (problem.key, problem.line) == ("codec", 8)
    assert "must be dense, which writes values: h2tune says itself what of an update is sent; got topk" in str(problem)
    assert read("h2tune", "dense").codec.kind == "dense"


def test_h2tune_learns_tasks_with_classes():
    more = "\nlearning: {data: {name: 'builtin:shakespeare', train: 40, test: 10}}"
    with pytest.raises(ScenarioError) as told:
        parse(SCENARIO.replace("METHOD", "h2tune").replace("CODEC", "dense") + more)
    (problem,) = told.value.args
    assert (problem.key, problem.line) == ("learning.data.name", 10)
    assert "is a language task, and h2tune learns tasks with classes" in problem.message


@pytest.mark.parametrize("method", ["h2tune", "local_only"])
def test_no_rank_is_chosen_for_what_stays_with_clients(method):
    more = "\nrank_selection: {latency_budget: 1 s}"
    with pytest.raises(ScenarioError) as told:
        parse(SCENARIO.replace("METHOD", method).replace("CODEC", "dense") + more)
    (problem,) = told.value.args
    assert problem.key == "rank_selection" and f"those of {method} stay with clients" in problem.message
