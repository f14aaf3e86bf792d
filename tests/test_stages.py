"""Methods with stages in the federation: what is closed stays, what is left waits for its turn, nothing else moves."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

from channels.streams import Stream
from wfl_sim import updatesizes
from wfl_sim.codecs.base import Layout
from wfl_sim.codecs.dense import Dense
from wfl_sim.codecs.parts import Parts
from wfl_sim.codecs.topk import TopK
from wfl_sim.federation import Federation
from wfl_sim.learning.layouts import first, layout
from wfl_sim.learning.sources import model_info
from wfl_sim.methods.base import Lesson
from wfl_sim.methods.fedtt_plus import FedTtPlus
from wfl_sim.methods.sa_fedlora import SaFedLora
from wfl_sim.methods.tensortrain import TensorTrain
from wfl_sim.replay import Replayed
from wfl_sim.scenario import parse
from wfl_sim.stages import Stages
from wfl_sim.statefiles import StateFiles

LAYERS = {"0.out": (12, 12), "0.ff": (12, 24)}
ADAPTER = TensorTrain(rank=2, bottleneck=4)
WHOLE = layout(ADAPTER, LAYERS, {"head.weight": (3, 12)})
FACTORS = 5  # of each tensor train: three of the width and two of the bottleneck
CLIENTS, ROUNDS = 3, 12


class FakeLearner:
    """Adds a draw of its own for client and round to all that is open, and remembers what it was asked."""

    layout, frozen = WHOLE, {}

    def __init__(self):
        self.asked = []

    def initial(self):
        return first(ADAPTER, LAYERS, Stream.root(1)) | {"head.weight": np.zeros((3, 12), np.float32)}

    def examples(self, client):
        return 10 * (client + 1)

    def train(self, starts, round_, lessons=None):
        self.asked.append((round_, dict(starts), dict(lessons)))
        return {c: partial(self._trained, start, lessons[c].opened, (c, round_)) for c, start in starts.items()}

    def _trained(self, start, names, key):
        draw = np.random.default_rng(key)
        steps = {name: draw.normal(size=shape).astype(np.float32) for name, shape in WHOLE.shapes.items()}
        return {name: start[name] + np.float32(0.1) * steps[name] for name in names}

    def evaluate(self, params):
        return {"accuracy": 0.5, "loss": 1.0}

    def close(self):
        pass


def federation(codec=None, **options):
    learner = FakeLearner()
    method = FedTtPlus(rank=2, bottleneck=4, **options)
    return Federation(method, codec or Dense(bits=32), learner, CLIENTS, rounds=ROUNDS), learner


def play(fed, rounds, clients=range(CLIENTS), start=1, whole=False):
    """Rounds with all clients; what was broadcast and sent in each, the least that may be, or the `whole` update."""
    told = []
    for round_ in range(start, start + rounds):
        down = fed.downlink([*clients])
        fed.received([*clients])
        fed.train(round_, [*clients])
        sent = {client: fed.encode(client, fed.menu(client).points[-whole]) for client in clients}
        told.append((down, sent))
        fed.aggregate(sent)
    return told


def opened_of(fed):
    return {name for name in fed.layout.shapes if not name.startswith("head.")}


def test_each_factor_has_its_turn_and_nothing_else_moves():
    fed, learner = federation()
    assert fed.menus_vary and not fed.menus_change
    for version in range(2 * FACTORS):
        opened, before = opened_of(fed), dict(fed.state.model)
        assert opened == {f"{path}.{way}.{version % FACTORS}" for path in LAYERS for way in ("down", "up")}
        play(fed, 1, start=version + 1)
        moved = {name for name, value in fed.state.model.items() if not np.array_equal(value, before[name])}
        assert moved == opened | {"head.weight"}
        assert learner.asked[-1][2] == dict.fromkeys(range(CLIENTS), Lesson(frozenset(moved)))


def test_the_bits_are_those_of_what_is_open():
    fed, _ = federation(Dense(bits=16))
    assert opened_of(fed) < set(WHOLE.adapters) and fed.menu(0) == Dense(bits=16).menu(fed.layout)
    told = play(fed, FACTORS)
    for (down, sent), (_, earlier) in zip(told[1:], told, strict=False):
        assert all(payload.bits == 8 * len(payload.data) for payload in sent.values())
        assert down.bits == next(iter(earlier.values())).bits  # the change of the same arrays comes back
    assert told[0][0].bits == 32 * WHOLE.size(WHOLE.everything)  # who has nothing yet needs all
    assert fed.downlink([0, 2]).bits == told[-1][1][0].bits < fed.downlink([0, CLIENTS]).bits == told[0][0].bits


def test_what_waits_of_a_factor_waits_until_it_is_open_again():
    """Sent in all = trained in all, after each factor had its turn and was sent whole once more."""
    fed, learner = federation(Parts(bits=32, error_feedback=1.0))
    trained = dict[str, object]()
    for round_ in range(1, FACTORS + 1):
        fed.train(round_, [0])
        update = fed.update(0)
        payload = fed.encode(0, fed.menu(0).points[0])
        got = fed.codec.decode(payload.data, fed.layout)
        for name in fed.layout.shapes:
            assert np.array_equal(update.change[name], got[name] + fed.state.residual[0][name])
            trained[name] = update.change[name]
        fed.aggregate({0: payload})
    assert fed.state.residual[0].keys() == trained.keys()  # factors of all rounds wait side by side
    waits = {name: value.copy() for name, value in fed.state.residual[0].items()}
    fed.train(FACTORS + 1, [0])
    change = fed.update(0).change
    fresh = learner._trained(fed.state.model, fed.layout.shapes, (0, FACTORS + 1))
    for name in fed.layout.shapes:
        own = fresh[name] - fed.state.model[name]
        np.testing.assert_array_equal(change[name], own + waits[name])
    closed = {name for name in waits if name not in fed.layout.shapes}
    assert closed and fed.state.residual[0].keys() == closed
    fed.lost(0)
    assert fed.state.residual[0].keys() == set(waits)
    assert all(np.array_equal(fed.state.residual[0][name], waits[name]) for name in closed)


def test_a_late_update_of_another_stage_is_merged_by_its_own_factors():
    fed, _ = federation()
    fed.train(1, [0, 1])
    early = opened_of(fed)
    payloads = {client: fed.encode(client, fed.menu(client).points[-1]) for client in (0, 1)}
    sent = {client: dict(fed.state.sent[client]) for client in (0, 1)}
    fed.aggregate({0: payloads[0]})
    fed.train(2, [0])
    now = opened_of(fed)
    payload, before = fed.encode(0, fed.menu(0).points[-1]), dict(fed.state.model)
    change = dict(fed.state.sent[0])
    fed.aggregate({0: payload, 1: payloads[1]})
    for name in early:  # of those only client 1 sent any: its change counts in full
        np.testing.assert_allclose(fed.state.model[name], before[name] + sent[1][name], rtol=0, atol=1e-6)
    for name in now:
        np.testing.assert_allclose(fed.state.model[name], before[name] + change[name], rtol=0, atol=1e-6)
    mean = (10 * change["head.weight"] + 20 * sent[1]["head.weight"]) / 30
    np.testing.assert_allclose(fed.state.model["head.weight"], before["head.weight"] + mean, rtol=0, atol=1e-6)


def test_the_adaptive_policy_opens_what_was_never_open_then_what_moved_most():
    fed, _ = federation(policy="adaptive")
    seen = []
    for round_ in range(1, FACTORS + 1):
        seen.append(opened_of(fed))
        play(fed, 1, start=round_)
    assert set().union(*seen) == {n for n in WHOLE.adapters if not n.endswith("bias")} and len(seen[0]) == 4
    notes = fed._stages._notes[fed.state.version]
    assert notes.keys() == set().union(*seen) and all(value > 0 for value in notes.values())
    for path in LAYERS:
        for way in ("down", "up"):
            scores = {name: notes[name] for name in notes if name.startswith(f"{path}.{way}.")}
            assert {n for n in opened_of(fed) if n in scores} == {max(scores, key=scores.get)}


def test_which_factors_are_open_is_told_where_it_does_not_follow_from_the_version():
    cyclic, _ = federation(policy="cyclic")
    adaptive, _ = federation(policy="adaptive")
    count = sum(not name.endswith("bias") for name in WHOLE.adapters)
    least = 8 * -(-count // 8)
    a, b = play(cyclic, 3), play(adaptive, 3)
    assert [y[0].bits - x[0].bits for x, y in zip(a, b, strict=True)] == [least] * 3
    told = np.unpackbits(np.frombuffer(b[1][0].data[-least // 8 :], np.uint8), count=count)
    assert told.sum() == 4


def test_the_score_of_a_factor_is_its_smoothed_root_mean_square_step():
    method = FedTtPlus(policy="adaptive", smoothing=0.25)
    before = {"q.down.0": np.zeros((2, 2), np.float32), "q.down.bias": np.zeros(2, np.float32)}
    model = {name: value + 3 for name, value in before.items()} | {"head.weight": np.ones(1, np.float32)}
    before["head.weight"] = np.zeros(1, np.float32)
    notes = method.noted({}, before, model)
    assert notes == {"q.down.0": pytest.approx(3.0)}  # biases and heads are no factors
    assert method.noted(notes, before, {**before, "q.down.0": np.ones((2, 2), np.float32)}) == {
        "q.down.0": pytest.approx(0.25 * 3 + 0.75 * 1)
    }
    assert method.noted(notes, before, dict(before)) == notes
    assert FedTtPlus().noted({}, before, model) == {}


@pytest.mark.parametrize("options", [{}, {"policy": "adaptive", "factors": 2}], ids=["cyclic", "adaptive"])
@pytest.mark.parametrize("codec", [TopK(bits=8, error_feedback=0.5), Parts(error_feedback=1.0)], ids=lambda c: c.kind)
def test_a_run_goes_on_as_if_it_had_never_stopped(options, codec, tmp_path):
    """With trainings under way, updates that wait, and a client that is two versions behind."""
    fed, _ = federation(codec, **options)
    play(fed, 3)
    fed.downlink([2])
    fed.received([2])
    fed.train(4, [0, 1])
    fed.aggregate({0: fed.encode(0, fed.menu(0).points[0])})
    fed.encode(1, fed.menu(1).points[0])
    files = StateFiles(tmp_path)
    plain = fed.snapshot(files)
    files.write(1)
    again, _ = federation(codec, **options)
    again.restore(json.loads(json.dumps(plain, default=lambda kept: kept.place())), StateFiles(tmp_path))
    for one in (fed, again):
        one.train(5, [0, 2])
        sent = {client: one.encode(client, one.menu(client).points[0]) for client in (0, 2)}
        one.lost(1)
        one.aggregate(sent)
        play(one, 2, start=6)
    assert fed.state.version == again.state.version
    for name, value in fed.state.model.items():
        assert value.tobytes() == again.state.model[name].tobytes(), name
    assert fed.layout == again.layout


class Asked:
    """A work that gives a menu a version, for `Replayed`."""

    known_at_once, menus_vary = True, True

    def __init__(self, fed):
        self.fed, self.version = fed, 0

    def menu(self, client):
        return self.fed._stages.at(self.version).menu


def test_menus_that_vary_are_played_again():
    fed, _ = federation(Parts())
    work = Asked(fed)
    noted = Replayed(work)
    answers, given = [], []
    for version in (0, 1, 1, 7):
        work.version = version
        given.append([noted.menu(client) for client in range(3)])
        answers.append(noted.noted())
    assert len(answers[0]) < 3 * 8 * 3 * len(given[0][0].points)  # once for all clients
    again = Replayed(Asked(None))
    again.begin(answers)
    for menus in given:
        found = [again.menu(client) for client in range(3)]
        assert found == menus and all(menu is found[0] for menu in found)
    again.go_on()


class Stage(FedTtPlus):
    """Trains everything."""

    def opened(self, layout):
        return layout


class HeadStage(Stage):
    """Trains the head alone."""

    def opened(self, layout):
        return layout.without(set(layout.adapters))


class Halves:
    """Trains the head alone in the first half of a run."""

    def stage(self, version, rounds, notes):
        return HeadStage() if version < rounds / 2 else Stage()


def test_stages_may_follow_the_progress_of_a_run():
    stages = Stages(Halves(), Dense(), WHOLE, 10)
    assert [len(stages.at(version).layout.shapes) for version in (0, 4, 5, 9)] == [1, 1, 25, 25]
    assert stages.at(0).menu is stages.at(4).menu is not stages.at(5).menu
    stages.forget([5], 9)
    assert stages.at(4).layout.shapes.keys() == {"head.weight"}  # made again: nothing was noted


def test_others_have_one_stage():
    stages = Stages(type("Plain", (), {})(), Dense(), WHOLE, 10)
    assert not stages.vary and stages.at(0) is stages.at(99) and stages.at(0).layout is WHOLE


SCENARIO = """\
schema_version: 1
name: planned
rounds: {rounds}
seeds: [3]
channel: {{path_loss: {{kind: uma}}}}
clients: {{count: {clients}, placement: {{kind: disc, to: 100 m}}, compute: {{time: 1 s}}}}
learning:
  model: {{layers: 1}}
  data: {{train: 60, test: 20, max_tokens: 8, partition: {{kind: iid}}}}
method: {method}
codec: {codec}
"""
ANNEALED = "kind: sa_fedlora, rank: 9, rank_end: 1, annealing: linear, initiating_rounds: 2, heat: 0"


class Drawn(FakeLearner):
    """The same of what a plan says is trained, and of what the server alone sets."""

    def __init__(self, planned, adapter):
        super().__init__()
        self.layout = planned
        outputs, inputs = (planned.shapes[name] for name in planned.pairs[0][::-1]) if planned.pairs else ((0,), (0,))
        served = [f"{a[:-2]}.W" for a, _ in planned.pairs if adapter.served]
        self._zeros = {name: np.zeros((outputs[0], inputs[-1]), np.float32) for name in served}

    def initial(self):
        random = np.random.default_rng(0)
        drawn = {n: random.normal(size=shape).astype(np.float32) for n, shape in self.layout.shapes.items()}
        return drawn | self._zeros

    def _trained(self, start, names, key):
        draw = np.random.default_rng(key)
        return {name: start[name] + draw.normal(size=start[name].shape).astype(np.float32) for name in names}


@pytest.mark.parametrize("codec", [Dense(bits=16), TopK(bits=8, error_feedback=0.5)], ids=lambda c: c.kind)
@pytest.mark.parametrize(
    "options", [{"merge_residual": True}, {"initiating": "full", "initiating_rounds": 3}], ids=["merged", "full"]
)
def test_a_run_goes_on_across_the_cuts_of_a_rank(options, codec, tmp_path):
    """With a training under way and an update that waits, both begun at an earlier rank, or with all weights."""
    method = SaFedLora(rank=9, rank_end=1, annealing="linear", heat=0, **{"initiating_rounds": 1} | options)
    shapes = {"q.A": (9, 8), "q.B": (7, 9), "base.all": (40,), "head.weight": (3, 8)}
    plain = tuple(name for name in shapes if name.startswith("head.") or (method.adapter().whole and "base" in name))
    whole = Layout((("q.A", "q.B"),), plain, {n: s for n, s in shapes.items() if n[:2] == "q." or n in plain})

    def made():
        return Federation(method, codec, Drawn(whole, method.adapter()), CLIENTS, rounds=8)

    def gone_on(one):
        ranks = [len(one.state.model["q.A"])]
        one.train(4, [0])
        one.aggregate({0: one.encode(0, one.menu(0).points[-1]), 1: late})
        told = play(one, 2, clients=(0, 1), start=5)
        one.aggregate({2: one.encode(2, under_way)})
        return [*ranks, len(one.state.model["q.A"])], [down.data for down, _ in told], one.downlink([0, 1, 2]).data

    fed = made()
    play(fed, 2)
    fed.train(3, [0, 1])
    fed.train(3, [2])
    under_way = fed.menu(2).points[-1]
    late = fed.encode(1, fed.menu(1).points[-1])
    fed.aggregate({0: fed.encode(0, fed.menu(0).points[-1])})
    files = StateFiles(tmp_path)
    plainly = fed.snapshot(files)
    files.write(1)
    again = made()
    again.restore(json.loads(json.dumps(plainly, default=lambda kept: kept.place())), StateFiles(tmp_path))
    found, wanted = gone_on(again), gone_on(fed)
    assert found == wanted and found[0][0] > found[0][1]
    assert again.state.model.keys() == fed.state.model.keys() and again.layout == fed.layout
    assert all(value.tobytes() == again.state.model[name].tobytes() for name, value in fed.state.model.items())


def test_a_backbone_that_is_closed_is_written_down_once(tmp_path):
    method = SaFedLora(rank=4, rank_end=1, initiating="full", initiating_rounds=2)
    names = [f"base.{number}" for number in range(12)]
    shapes = {"q.A": (4, 8), "q.B": (7, 4), **dict.fromkeys(names, (30, 30)), "head.weight": (3, 8)}
    whole = Layout((("q.A", "q.B"),), (*names, "head.weight"), shapes)
    fed = Federation(method, Dense(bits=32), Drawn(whole, method.adapter()), CLIENTS, rounds=8)
    files, sizes = StateFiles(tmp_path), []

    def noted(fed, files, number):
        """What is written down of a round, and the size of what is new in it."""
        plain, file = fed.snapshot(files), tmp_path / "state" / f"round-{number:06d}.safetensors"
        files.write(number)
        text = json.dumps(plain, default=lambda kept: kept.place())
        files.settle()
        return text, file.stat().st_size if file.exists() else 0

    for number in range(1, 7):
        play(fed, 1, start=number)
        fed.downlink([0])  # which is under way
        text, size = noted(fed, files, number)
        sizes.append(size)
    weights = 4 * 12 * 30 * 30
    assert all(size > weights for size in sizes[:2]) and all(size < weights / 2 for size in sizes[3:])
    for number in (7, 8):  # each by a session of its own, which writes nothing before it plays
        again = Federation(method, Dense(bits=32), Drawn(whole, method.adapter()), CLIENTS, rounds=8)
        files = StateFiles(tmp_path)
        again.restore(json.loads(text), files)
        files.found()
        assert [*again.state.model] == [*fed.state.model]
        assert all(np.array_equal(value, fed.state.model[name]) for name, value in again.state.model.items())
        assert again.state.fetching[0].model is again.state.model  # one model stays one
        assert noted(again, files, number) == (text, 0)
        for each in (fed, again):
            play(each, 1, start=number)
            each.downlink([0])
        text, size = noted(again, files, number)
        assert 0 < size < weights / 2


@pytest.mark.parametrize("codec", ["{kind: dense, bits: 8}", "{kind: parts, bits: 32}"])
@pytest.mark.parametrize(
    "method",
    [
        "{kind: fedtt_plus, rank: 2}", "{kind: fedtt_plus, rank: 2, policy: adaptive, factors: 5}",
        f"{{{ANNEALED}}}", f"{{{ANNEALED}, merge_residual: true}}",
    ],
    ids=["cyclic", "adaptive", "annealed", "merged"],
)  # fmt: skip
def test_planned_bits_are_those_of_a_run(method, codec):
    """Of each update and download, and their means: also where factors are told, and where what is cut is merged."""
    text = SCENARIO.format(method=method, codec=codec, rounds=ROUNDS, clients=CLIENTS)
    (cell,) = parse(text).cells
    scenario, work = cell.scenario, updatesizes.work_of(cell.scenario)
    planned = updatesizes.layout_of(scenario, model_info(scenario.learning.model.name))
    learner = Drawn(planned, scenario.method.adapter())
    fed = Federation(scenario.method, scenario.codec, learner, CLIENTS, rounds=ROUNDS)
    up, down = [], []
    for number, (brought, sent) in enumerate(play(fed, ROUNDS, whole=True), 1):
        work.begin(number)
        assert {payload.bits for payload in sent.values()} == {work.menu(0).points[-1].bits}
        assert brought.bits == 8 * len(brought.data) == work.downlink([0]).bits, number
        up.append(work.menu(0).points[-1].bits)
        down.append(brought.bits)
    assert work.mean_bits() == (pytest.approx(np.mean(up)), pytest.approx(np.mean(down[1:])))
    assert updatesizes.sizes(scenario)[1] == down[0]
