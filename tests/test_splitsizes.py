"""Sizes of a model cut in two, in closed form; where the cut lies; and scenarios that cannot be: no tensor library."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from channels.options import OptionError
from wfl_sim import advice, estimate, learningwork, linkbudget, present, splitsizes, updatesizes
from wfl_sim.commands import linkbudget as shown
from wfl_sim.devices import Compute, DeviceClass
from wfl_sim.errors import ScenarioError
from wfl_sim.learning.sources import ModelInfo
from wfl_sim.methods.split import Split
from wfl_sim.rules import resources
from wfl_sim.scenario import load, parse
from wfl_sim.splitsizes import BYTES, SplitSizes, cuts_of, device_cuts

SCENARIO = """\
schema_version: 1
name: halves
rounds: 2
radio: {uplink: {bandwidth: 10 MHz}}
channel: {path_loss: {kind: uma}}
clients: {count: 4, placement: {kind: disc, from: 35 m, to: 300 m}, compute: {time: 400 ms}}
learning:
  local: {steps: 5, batch: 16}
  data: {max_tokens: 16}
method: {kind: split, rank: 8}
protocol: {kind: split}
"""
ROOT = Path(__file__).resolve().parents[1]
H, INNER, TOKENS, BATCH, STEPS = 384, 1536, 16, 16, 5
LAYER = 4 * H * H + 2 * H * INNER  # weights
ADAPTERS = 2 * 8 * 2 * H  # of a layer: A and B of query and value


@pytest.fixture(autouse=True)
def minilm(monkeypatch, tmp_path):
    info = ModelInfo(tmp_path, 6, H, INNER, 30_522, 512, ("text",), H, H, 6, False, "bert", 0)
    (tmp_path / "config.json").write_text('{"num_attention_heads": 12}')
    for module in (splitsizes, learningwork, estimate, updatesizes):
        monkeypatch.setattr(module, "model_info", lambda name: info)
    monkeypatch.setattr("wfl_sim.learning.sources.model_info", lambda name: info)
    return info


def read(*overrides):
    return parse(SCENARIO, "halves", list(overrides)).cells[0].scenario


def test_parts_of_a_step_sum_to_the_step():
    sizes = SplitSizes.of(read())
    whole = learningwork.step_flop(sizes.sizes, "text", sizes.method.adapter(), BATCH, 10)
    assert 5 * whole == learningwork.round_flop(read())
    parts = [sizes.parts(cut) for cut in range(1, 6)]
    assert all(sum(part) == pytest.approx(1.0) and min(part) > 0 for part in parts)
    # Layers are alike but the lowest, whose inputs need no gradient: equal steps from there on.
    steps = [b.forward - a.forward for a, b in pairwise(parts)]
    assert steps == pytest.approx([steps[0]] * 4) and steps[0] == pytest.approx(parts[0].forward)
    back = [b.backward - a.backward for a, b in pairwise(parts)]
    assert back == pytest.approx([back[0]] * 4) and parts[0].backward < back[0]
    # A layer forward: four projections, scores and sums, two feed-forward products, and two adapters.
    rows = BATCH * TOKENS
    forward = 2 * rows * (LAYER + 2 * TOKENS * H + 2 * 8 * 2 * H)
    assert parts[0].forward * whole == pytest.approx(forward, rel=1e-12)


def test_messages_and_menu_count_every_byte():
    sizes = SplitSizes.of(read("codec.bits=16"))
    values = BATCH * TOKENS * H
    told = 11 + 4 * 2 * BATCH  # header; a length and a label each
    up = {8: told + values + 2 * BATCH * TOKENS, 16: told + 1 + 2 * values, 32: told + 4 * values}
    assert {bits: sizes.transfer_bits(bits) for bits in up} == {bits: 8 * size for bits, size in up.items()}
    adapters = 8 + 16 * 2 * ADAPTERS + 8 * 2 * 4  # two layers on the client: a byte, values, an exponent an array
    menu = sizes.menu(2)
    assert [point.bits for point in menu.points] == [STEPS * 8 * up[bits] + adapters for bits in (8, 16, 32)]
    assert [point.kept_fraction for point in menu.points] == [0.25, 0.5, 1.0]
    assert [point.error for point in menu.points] == sorted((p.error for p in menu.points), reverse=True)
    assert menu.points[-1].error == 0.0 and sizes.first_bits(2) == 32 * 2 * ADAPTERS
    few = SplitSizes.of(read("method.codings=[int8]")).menu(2)
    assert len(few.points) == 1 and few.points[0].kept_fraction == 0.25


def test_memory_is_the_stated_sum():
    sizes = SplitSizes.of(read())
    embeddings = H * (30_522 + 512)
    head = 10 * (H + 1)
    rows = BATCH * TOKENS

    def act(layers):
        return rows * (layers * (8 * H + INNER) + 2 * H)

    assert sizes.client_bytes(2) == BYTES * (embeddings + 2 * LAYER + act(2) + 4 * 2 * ADAPTERS)
    cuts = [2, 2, 5]
    upper = 4 * ((4 + 4 + 1) * ADAPTERS + 3 * head)
    assert sizes.server_bytes(cuts) == BYTES * (embeddings + 6 * LAYER + act(4) + upper)
    each = BYTES * ((4 + 4 + 1) * LAYER + act(4) + act(4) + act(1) + upper)
    assert sizes.server_each_bytes(cuts) == each
    sgd = SplitSizes.of(read("learning.local.optimizer=sgd"))
    assert sizes.client_bytes(2) - sgd.client_bytes(2) == BYTES * 2 * 2 * ADAPTERS  # two moments less
    # One model for all wins as soon as there are more clients than it has layers below their cuts to spare.
    many = [2] * 20
    assert sizes.server_bytes(many) < 0.5 * sizes.server_each_bytes(many)


def test_the_cut_is_the_largest_that_fits_memory_and_time():
    scenario = read()
    sizes = SplitSizes.of(scenario)
    assert cuts_of(scenario, sizes) == [5] * 4  # nothing limits it but the server's part
    assert [sizes.deepest(8 * sizes.client_bytes(cut)) for cut in range(1, 6)] == [1, 2, 3, 4, 5]
    assert sizes.deepest(8 * sizes.client_bytes(3) - 1) == 2 and sizes.deepest(8.0) == 0
    slow = SplitSizes.of(read("method.client_time=40 ms"))
    parts = [slow.parts(cut) for cut in range(1, 6)]
    fits = [0.08 * (part.forward + part.backward) <= 0.04 for part in parts]
    assert fits == sorted(fits, reverse=True) and slow.deepest(step_s=0.08) == sum(fits) == 3
    assert cuts_of(read("method.cut=4"), SplitSizes.of(read("method.cut=4"))) == [4] * 4


def test_classes_of_devices_have_cuts_of_their_own():
    memory = 8 * SplitSizes.of(read()).client_bytes(2)
    compute = Compute(time_s=0.4, memory_bits=1e12, classes=(
        DeviceClass(speed=1.0, share=0.5, memory_bits=float(memory)), DeviceClass(speed=2.0)))  # fmt: skip
    scenario = read()
    scenario = replace(scenario, clients=replace(scenario.clients, compute=compute))
    assert sorted(set(cuts_of(scenario, SplitSizes.of(scenario)))) == [2, 5]


PHONES = "clients.compute.classes=[{speed: 2, share: 0.5, memory: 1 GB}, {speed: 0.5, memory: 70 MB}]"


def test_cuts_are_told_class_by_class():
    scenario = read(PHONES)
    told, cuts = device_cuts(scenario), cuts_of(scenario, SplitSizes.of(scenario))
    assert sorted(client for one in told for client in one.clients) == [0, 1, 2, 3]  # each once
    assert all(cuts[client] == one.layers for one in told for client in one.clients)
    assert [(one.layers, one.of_layers, one.speed, one.memory_bits) for one in told] == [
        (5, 6, 2.0, 8e9),
        (SplitSizes.of(scenario).deepest(70e6 * 8), 6, 0.5, 70e6 * 8),
    ]
    (alike,) = device_cuts(read("method.cut=4"))
    assert (alike.layers, alike.clients, alike.speed, alike.memory_bits) == (4, (0, 1, 2, 3), 1.0, None)


def test_validate_says_who_gets_which_cut():
    study = parse(SCENARIO, "halves", [PHONES])
    found = estimate.estimate(study, jobs=1)
    (row,) = found.arms
    assert row.cuts == device_cuts(study.cells[0].scenario)
    deep, shallow = row.cuts
    (only,), others = deep.clients, ", ".join(map(str, shallow.clients))
    said = f"cuts: of 6 layers, 5 on client {only} (speed 2, 1000 MB); 1 on clients {others} (speed 0.5, 70 MB)"
    assert said in " ".join(present.estimate_text(found).split())
    (plain,) = present.estimate_dict(study, found)["estimate"]["arms"]
    assert [cut["clients"] for cut in plain["cuts"]] == [deep.clients, shallow.clients]
    many = estimate.estimate(parse(SCENARIO, "halves", ["clients.count=40"]), jobs=1)
    assert "5 on 40 clients (speed 1)" in present.estimate_text(many)
    seeds = estimate.estimate(parse(SCENARIO, "halves", [PHONES, "seeds=3,1,2"]), jobs=1)
    assert "cuts (seed 3): of 6 layers, 5 on client" in present.estimate_text(seeds)
    both = replace(seeds, arms=(seeds.arms[0], replace(seeds.arms[0], arm="b", cuts=())), arm_count=2, cells=6)
    assert "cuts (split; seed 3): of 6 layers" in present.estimate_text(both)
    other = parse(SCENARIO, "halves", ["method={kind: fedavg}", "protocol={kind: sync}"])
    assert "cuts" not in present.estimate_text(estimate.estimate(other, jobs=1))
    assert present.estimate_text(replace(found, arms=(row, replace(row, arm="b", cuts=())))).count("cuts (split):") == 1


def test_what_a_plan_of_steps_leaves_out_is_noted_once_and_their_memory_is_heeded():
    def told(*overrides):
        study = parse(SCENARIO, "halves", [PHONES, *overrides])
        return advice.advice(study, estimate.estimate(study, jobs=1))

    (note,) = [one for one in told() if one.startswith("computing in split training")]
    assert "with the server's part" in note and "idle between steps: rounds are often shorter" in note
    (kept,) = [one for one in told("radio.uplink.work_conserving=false") if one.startswith("computing in split")]
    assert note.startswith(kept) and "idle" not in kept
    assert not [one for one in told() if "bounds the cuts" in one]
    plain = told("method={kind: fedavg}", "protocol={kind: sync}")
    assert [one for one in plain if "bounds the cuts" in one] and not [one for one in plain if "computing in" in one]


def test_a_link_budget_tells_the_loads_of_a_step():
    study = parse(SCENARIO, "halves", [PHONES, "codec.bits=16", "method.codings=[int8, fp16]"])
    sizes = SplitSizes.of(study.cells[0].scenario)
    cuts = cuts_of(study.cells[0].scenario, sizes)
    found = linkbudget.report(study)
    steps, updates = found.steps, found.updates
    assert steps.way_bits == {"fp16": sizes.transfer_bits(16), "int8": sizes.transfer_bits(8)}
    assert (steps.steps, steps.coding) == (STEPS, "fp16")
    assert [cuts[client] for client in updates.client] == steps.cut.tolist()
    # 16 bits a value, a byte, and an exponent for each array: A and B of query and value
    values = [8 + 16 * cut * ADAPTERS + 8 * cut * 4 for cut in steps.cut]
    assert steps.adapters_bits.tolist() == values
    # All activations and the adapters are a client's whole update, by its own cut: the times differ by packets' ends.
    assert len(set(cuts)) > 1
    packets = 40 * 8 * (STEPS + 1)  # one header each, at most
    whole_s = STEPS * steps.activations_s + steps.adapters_s
    assert (np.abs(whole_s - updates.upload_s) * updates.rate_bps <= packets).all()
    draw_w = 10 ** (23 / 10 - 3) / 0.35 + 0.1
    np.testing.assert_allclose(updates.energy_j, draw_w * updates.upload_s)
    assert steps.gradient_s == pytest.approx(steps.activations_s * updates.rate_bps / updates.download_rate_bps)
    anywhere = linkbudget.report(study, distances_m=[100.0, 200.0]).steps
    assert anywhere.cut.tolist() == [max(cuts)] * 2 and anywhere.activations_s[0] < anywhere.activations_s[1]
    said = shown.text(found)
    assert "Split training: 5 steps a round with activations and gradients as fp16" in said and " coding " in said
    (record, *_) = shown.update_records(found)
    assert (record["step_bits"], record["adapters_bits"]) == (sizes.transfer_bits(16), values[0])
    assert said.count("with the most layers of any client") == 1
    other = linkbudget.report(parse(SCENARIO, "halves", ["method={kind: fedavg}", "protocol={kind: sync}"]))
    assert other.steps is None and "Split" not in shown.text(other)
    assert shown.update_records(other)[0].keys() < record.keys()


def test_a_broadcast_has_the_adapters_of_the_deepest_cut_and_a_unicast_its_own():
    scenario = read(PHONES, "codec.bits=16")
    cuts = cuts_of(scenario, SplitSizes.of(scenario))
    for access, cut in (("broadcast", [max(cuts)] * 4), ("unicast", cuts)):
        overrides = [PHONES, "codec.bits=16", f"radio.downlink.access={access}"]
        updates = linkbudget.report(parse(SCENARIO, "halves", overrides)).updates
        bits = np.array([SplitSizes.of(scenario).adapter_bits(own) for own in cut])
        wire = bits + 320 * np.ceil(bits / (12_000 - 320))
        np.testing.assert_allclose(updates.download_s * updates.download_rate_bps, wire)


def test_gradients_are_taken_off_what_is_left_to_send():
    """By the sum of all that goes up and down, each coding with its own gradients."""
    tight = [PHONES, "codec.bits=16", "method.codings=[int8, fp16]", "radio.downlink.bandwidth=500 kHz"]
    found = linkbudget.report(parse(SCENARIO, "halves", [*tight, "link_budget.deadline=60 s"]))
    steps, updates = found.steps, found.updates
    left_s = found.deadline_s - found.compute_s - found.latency_s - updates.download_s
    assert updates.air_s == pytest.approx(left_s - STEPS * steps.gradient_s)
    assert (updates.kept_fraction == 0.5).all() and (STEPS * steps.gradient_s > 0.2 * updates.upload_s).all()
    # In 8 bits half of everything but the adapters goes up and down.
    k = int(np.argmax(updates.upload_s))
    exchanged_s, spent_s = STEPS * (steps.activations_s + steps.gradient_s)[k], found.compute_s + found.latency_s
    others_s = spent_s + updates.download_s[k] + steps.adapters_s[k]
    for share, coding in ((1.01, 0.5), (0.99, 0.25), (0.52, 0.25), (0.48, 0.0)):
        deadline = f"link_budget.deadline={others_s + share * exchanged_s} s"
        there = linkbudget.report(parse(SCENARIO, "halves", [*tight, deadline]))
        assert there.updates.kept_fraction[k] == coding, share
        assert (there.updates.upload_s[k] <= there.updates.air_s[k]) == (coding == 0.5)


def test_plans_know_the_steps():
    study = parse(SCENARIO, "halves")
    (row,) = estimate.estimate(study, jobs=1).arms
    # a broadcast, four clients with 5 activations and an upload each, 5 gradients each; two rounds
    assert row.transfers == 2 * (1 + 4 * (5 + 1 + 5)) and row.training_steps == 2 * 4 * 5
    assert row.dense_bits == SplitSizes.of(study.cells[0].scenario).menu(5).points[-1].bits
    sync = parse(SCENARIO, "halves", ["method={kind: fedavg}", "protocol={kind: sync}"])
    (plain,) = estimate.estimate(sync, jobs=1).arms
    assert row.round_s > plain.round_s  # so many more bits over the same air
    (coarse,) = estimate.estimate(parse(SCENARIO, "halves", ["schedule.kept_fraction=0.25"]), jobs=1).arms
    assert coarse.round_s < row.round_s and coarse.planned_bits < row.planned_bits / 3
    # a packet takes 1500 B less its header; gradients are nearly as large as activations
    assert row.packets > 2 * 2 * 4 * (5 * 0.9 * SplitSizes.of(study.cells[0].scenario).transfer_bits(32) / 12_000)


def test_the_scenario_of_the_system_reads_and_its_phones_hold_unlike_parts():
    study = load(ROOT / "scenarios" / "seeds" / "split_learning.yaml")
    kinds = {cell.arm: (cell.scenario.method.kind, cell.scenario.protocol.kind) for cell in study.cells}
    assert kinds.pop("federated-lora") == ("fedavg", "sync") and set(kinds.values()) == {("split", "split")}
    scenario = study.cells[0].scenario
    assert resources(scenario) == [] and sorted(cuts_of(scenario, SplitSizes.of(scenario))) == [2, 2, 3, 3, 5, 5]


# -- what cannot be ---------------------------------------------------------------------------------


def problem(*overrides):
    with pytest.raises(ScenarioError) as told:
        read(*overrides)
    (found,) = told.value.args
    return found


def test_method_and_protocol_go_together():
    found = problem("method={kind: fedavg}")
    assert found.key == "method" and "must be split with protocol split" in found.message
    found = problem("protocol={kind: sync}")
    assert found.key == "protocol" and "must be split with method split" in found.message
    assert "got none" in str(problem("method={kind: none, payload: 1 Mbit}"))


@pytest.mark.parametrize(
    ("override", "key", "says"),
    [
        ("codec={kind: topk}", "codec", "must be dense with method split: adapters go up whole"),
        ("learning.local.clip_norm=1", "learning.local.clip_norm", "known to neither half; leave it out"),
        ("method.codings=[fp16, int8]", "method.codings", "each once and in this order"),
        ("method.codings=[int4]", "method.codings.0", "int8"),
        ("protocol.order=exact", "", ""),
    ],
)
def test_what_does_not_go_with_it_is_told_where_it_stands(override, key, says):
    if not key:
        assert read(override).protocol.order == "exact"
        found = problem(override, "clients.count=9", "radio.uplink.bandwidth=10 MHz")
        assert found.key == "protocol.order" and "at most 8 clients, and 9 are asked (clients.count)" in found.message
        return
    found = problem(override)
    assert found.key == key and says in str(found)


@pytest.mark.parametrize(
    ("overrides", "key", "says"),
    [
        (["method.cut=0"], "method.cut", "at most 5, of the model's 6 layers: else it leaves the clients nothing"),
        (["method.cut=6"], "method.cut", "leaves the server nothing to do; for training on the clients alone take"),
        (["method.cut=2", "learning.model.layers=2"], "method.cut", "must be at least 1 and at most 1"),
        (["learning.model.layers=1"], "learning.model.layers", "must be at least 2 with method split"),
        (
            ["clients.compute.memory=20 MB"],
            "clients.compute.memory",
            "what one layer on a client takes with embeddings",
        ),
        (["method.cut=3", "clients.compute.memory=60 MB"], "clients.compute.memory", "max_tokens, or method.cut"),
        (["method.client_time=1 ms"], "method.client_time", "what one layer takes in a step (clients.compute)"),
    ],
)
def test_where_a_model_cannot_be_cut_the_way_out_is_named(overrides, key, says):
    findings = resources(read(*overrides))
    found = [one for one in findings if ".".join(one.path) == key]
    assert len(found) == 1 and says in found[0].message
    assert found[0].example


@pytest.mark.parametrize("cut", [0, 6, 1500])
def test_the_rule_beside_a_wrong_cut_is_that_of_the_model(cut):
    (found,) = resources(read(f"method.cut={cut}"))
    assert found.rule.startswith("a whole number, at least 1 and at most 5: one less than the model's 6 layers")
    (locator,) = parse(SCENARIO, "halves", [f"method.cut={cut}"]).locators.values()
    assert locator.finding(found).rule == found.rule
    assert "at least 0" in locator.finding(found._replace(rule="")).rule  # that of the key, elsewhere


def test_a_class_without_memory_is_told_at_the_class():
    overrides = ["clients.compute.classes=[{speed: 1, share: 0.5, memory: 10 MB}, {speed: 2}]"]
    (found,) = resources(read(*overrides))
    assert found.path == ("clients", "compute", "classes", "0", "memory")


def test_a_model_that_shares_its_layers_is_told(monkeypatch, minilm):
    shared = replace(minilm, blocks=1)
    monkeypatch.setattr(splitsizes, "model_info", lambda name: shared)
    monkeypatch.setattr("wfl_sim.learning.sources.model_info", lambda name: shared)
    (found,) = [one for one in resources(read()) if one.path == ("learning", "model", "name")]
    assert "shares its layers (1 of 6" in found.message


def test_codings_in_python_are_checked_too():
    with pytest.raises(OptionError, match="must be among int8, fp16, fp32; got 'int4'"):
        Split(codings=("int4",))
    with pytest.raises(OptionError, match="needs one or more of"):
        Split(codings=())
