"""The federation with a learner that needs no tensor library: what is sent, kept, lost, merged and broadcast."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from wfl_sim import lowrank
from wfl_sim.clientstate import ClientStates
from wfl_sim.codecs.base import Layout
from wfl_sim.codecs.components import Components
from wfl_sim.codecs.dense import Dense
from wfl_sim.codecs.topk import TopK
from wfl_sim.errors import NotFinite, RunFailed
from wfl_sim.federation import Federation, Fetched
from wfl_sim.methods.base import personal_of
from wfl_sim.methods.fedavg import FedAvg
from wfl_sim.methods.head_only import HeadOnly
from wfl_sim.protocols.buffered import Buffered
from wfl_sim.protocols.staleness import Polynomial

SHAPES = {"head.weight": (3, 8), "q.A": (4, 8), "q.B": (6, 4), "v.A": (4, 8), "v.B": (5, 4)}
LAYOUT = Layout((("q.A", "q.B"), ("v.A", "v.B")), ("head.weight",), SHAPES)
HEAD_ONLY = Layout((), ("head.weight",), {"head.weight": (3, 8)})
EXAMPLES = (10, 30, 20, 40)
FULL_BYTES = 4 * LAYOUT.size(tuple(SHAPES))

SINGLE = 2.0**-24  # half a unit in the last place of float32, relative
DOUBLE = 1e-12  # sums of some tens of float64 products

SPARSE = [codec(bits=bits, error_feedback=1.0) for bits in (8, 16, 32) for codec in (Components, TopK)]
sparse = pytest.mark.parametrize("codec", SPARSE, ids=lambda c: f"{c.kind}-{c.bits}")
every = pytest.mark.parametrize("codec", [Dense(), Dense(bits=32), *SPARSE], ids=lambda c: f"{c.kind}-{c.bits}")


class FakeLearner:
    """Adds a draw of its own for every client and round, and remembers the changes that it made."""

    def __init__(self, layout=LAYOUT, examples=EXAMPLES, served=None):
        self.layout, self._examples, self.served = layout, examples, served or {}
        self.frozen = {}
        self.changes = {}  # (client, round) -> change as a client can know it, in float32
        self.starts = {}
        self.asked, self.waited = [], []  # calls of `train`, and of what it gives

    def draw(self, *key):
        random = np.random.default_rng(key)
        return {n: (0.1 * random.standard_normal(s)).astype(np.float32) for n, s in self.layout.shapes.items()}

    def initial(self):
        return self.draw(0) | self.served

    def fresh(self, version):
        fresh = self.draw(2, version)
        return {name: 0 * fresh[name] if name.endswith("B") else fresh[name] for name in self.layout.factors}

    def examples(self, client):
        return self._examples[client]

    def train(self, starts, round_):
        self.asked.append((round_, tuple(starts)))
        return {c: partial(self._wait, c, round_, self._trained(start, c, round_)) for c, start in starts.items()}

    def _wait(self, client, round_, after):
        self.waited.append((client, round_))
        return after

    def _trained(self, start, client, round_):
        after = {name: start[name] + value for name, value in self.draw(1, client, round_).items()}
        self.changes[client, round_] = {name: after[name] - start[name] for name in after}
        self.starts[client, round_] = start
        return after

    def evaluate(self, params):
        return {"accuracy": float(params["head.weight"][0, 0]), "loss": 0.0}


def federation(codec, method=None, on_divergence="fail", states=None, salt=0, **learner):
    fake = FakeLearner(**learner)
    method = method or FedAvg(rank=4)
    return Federation(method, codec, fake, len(fake._examples), on_divergence, states, salt=salt), fake


def point_of(fed, kept_fraction=0.3):
    return fed.menu(0).nearest(kept_fraction)


def upload(fed, client, kept_fraction=0.3):
    """Encode, and what the server will read in it."""
    payload = fed.encode(client, point_of(fed, kept_fraction))
    return payload, fed.codec.decode(payload.data, fed.layout)


def add(total, change):
    for name, value in change.items():
        total[name] = total.get(name, 0.0) + value.astype(float)


def copy(params):
    return {name: value.copy() for name, value in params.items()}


def assert_same_bits(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].tobytes() == right[name].tobytes(), name


@sparse
@pytest.mark.parametrize("loses", [False, True])
def test_with_full_feedback_every_change_is_sent_or_waits(codec, loses):
    """Conservation: sum of what arrived + the last residual = sum of the raw changes, client by client."""
    fed, fake = federation(codec)
    rounds, client = 12, 1
    raw, arrived = {}, {}
    for round_ in range(1, rounds + 1):
        fed.train(round_, [client])
        add(raw, fake.changes[client, round_])
        payload, sent = upload(fed, client, (0.1, 0.5)[round_ % 2])
        if loses and round_ % 3 == 0:
            fed.lost(client)
            fed.aggregate({})
        else:
            add(arrived, sent)
            fed.aggregate({client: payload})
    waiting = fed.state.residual[client]
    assert max(np.abs(value).max() for name, value in waiting.items() if name != "head.weight") > 0.1
    largest = max(np.abs(value).max() for value in (*raw.values(), *waiting.values()))
    for name in SHAPES:  # each round adds the residual to the change and takes off what was sent: 2 roundings
        np.testing.assert_allclose(
            arrived[name] + waiting[name], raw[name], rtol=0, atol=2 * rounds * SINGLE * 2 * largest
        )


@pytest.mark.parametrize("codec", [Components(), TopK(), Dense()], ids=lambda c: c.kind)
def test_without_feedback_nothing_that_arrived_leaves_a_residual(codec):
    fed, fake = federation(codec)
    for round_ in (1, 2):
        fed.train(round_, [0])
        assert_same_bits(fed.update(0).change, fake.changes[0, round_])  # nothing from the round before
        payload, _ = upload(fed, 0)
        fed.aggregate({0: payload})
        assert fed.state.residual == {}


@sparse
def test_decayed_feedback_keeps_its_share_of_what_was_not_sent(codec):
    fed, fake = federation(type(codec)(bits=codec.bits, error_feedback=0.25))
    fed.train(1, [2])
    _, sent = upload(fed, 2)
    first = copy(fed.state.residual[2])
    for name in SHAPES:  # 0.25 is a power of two: exact
        np.testing.assert_array_equal(first[name], np.float32(0.25) * (fake.changes[2, 1][name] - sent[name]))
    fed.aggregate({2: fed.codec.encode(fed.state.pending[2], 0.3)})
    fed.train(2, [2])
    for name in SHAPES:
        np.testing.assert_array_equal(fed.update(2).change[name], fake.changes[2, 2][name] + first[name])
    assert 2 not in fed.state.residual  # used up


@sparse
@pytest.mark.parametrize("decay", [1.0, 0.5, 0.0])  # a loss on the air is none of the codec's choices
def test_a_lost_payload_waits_as_a_whole(codec, decay):
    fed, fake = federation(type(codec)(bits=codec.bits, error_feedback=decay))
    fed.train(1, [0, 3])
    upload(fed, 0)
    payload, _ = upload(fed, 3)
    fed.lost(0)
    for name in SHAPES:
        np.testing.assert_array_equal(fed.state.residual[0][name], fake.changes[0, 1][name])
    fed.aggregate({3: payload})
    assert fed.state.pending == {}
    assert fed.state.sent == {}
    fed.train(2, [0])
    for name in SHAPES:
        wanted = fake.changes[0, 2][name] + fake.changes[0, 1][name]
        np.testing.assert_array_equal(fed.update(0).change[name], wanted)


def test_residuals_belong_to_clients():
    fed, _ = federation(TopK(error_feedback=1.0))
    fed.train(1, [0, 1])
    payloads = {client: upload(fed, client)[0] for client in (0, 1)}
    kept = copy(fed.state.residual[0])
    fed.aggregate(payloads)
    fed.train(2, [1])  # client 0 sits this one out
    upload(fed, 1)
    assert_same_bits(fed.state.residual[0], kept)


class Receiver:
    """A client that knows its own version and reads downlinks, and nothing else of the server."""

    def __init__(self, codec):
        self.codec, self.model = codec, None

    def read(self, data):
        if len(data) == FULL_BYTES:
            flat = np.frombuffer(data, "<f4")
            parts = np.split(flat, np.cumsum([np.prod(shape) for shape in SHAPES.values()])[:-1])
            self.model = {name: part.reshape(shape) for (name, shape), part in zip(SHAPES.items(), parts, strict=True)}
        else:
            change = self.codec.decode(data, LAYOUT)
            self.model = {name: value + change[name] for name, value in self.model.items()}


@every
def test_clients_that_read_every_downlink_hold_the_servers_model_bit_for_bit(codec):
    fed, fake = federation(codec)
    receivers = [Receiver(codec) for _ in EXAMPLES]
    kinds = []
    for round_ in range(1, 7):
        payload = fed.downlink(range(4))
        kinds.append("full" if len(payload.data) == FULL_BYTES else "change")
        for receiver in receivers:
            receiver.read(payload.data)
            assert_same_bits(receiver.model, fed.state.model)
        fed.received(range(4))
        fed.train(round_, range(4))
        assert all(fake.starts[client, round_] is fed.state.model for client in range(4))
        fed.aggregate({client: upload(fed, client)[0] for client in range(4)})
    assert kinds == ["full"] + ["change"] * 5
    assert fed.state.version == 6


@every
def test_a_random_cohort_with_losses_still_holds_the_servers_model(codec):
    """Clients come and go; whoever missed a change gets the full set, and so do those called with it."""
    fed, _ = federation(codec)
    random = np.random.default_rng(3)
    receivers, sizes = [Receiver(codec) for _ in EXAMPLES], set()
    for round_ in range(1, 25):
        called = [int(c) for c in np.flatnonzero(random.random(4) < 0.8)]
        if called:
            payload = fed.downlink(called)
            sizes.add(len(payload.data) == FULL_BYTES)
            reached = [client for client in called if random.random() < 0.8]
            for client in reached:
                receivers[client].read(payload.data)
                assert_same_bits(receivers[client].model, fed.state.model)
            fed.received(reached)
            fed.train(round_, reached)
            arrivals = {}
            for client in reached:
                payload, _ = upload(fed, client)
                if random.random() < 0.2:
                    fed.lost(client)
                else:
                    arrivals[client] = payload
            fed.aggregate(arrivals)
    assert sizes == {True, False}  # both kinds of downlink were used


def test_a_stale_or_new_client_makes_the_downlink_the_full_set():
    fed, _ = federation(Dense())

    def play(clients):
        fed.received(clients)
        fed.train(fed.state.version + 1, clients)
        fed.aggregate({client: upload(fed, client)[0] for client in clients})

    assert len(fed.downlink([0, 1]).data) == FULL_BYTES  # nobody has anything
    play([0, 1])
    assert fed.downlink([0, 1]) == fed.state.last_change
    assert fed.downlink([0, 1]) == fed.state.last_change  # asking changes nothing
    assert fed.downlink([0]) == fed.state.last_change
    assert len(fed.downlink([0, 2]).data) == FULL_BYTES  # 2 is new
    play([0])
    assert fed.downlink([0]) == fed.state.last_change
    assert len(fed.downlink([0, 1]).data) == FULL_BYTES  # 1 holds version 0
    assert fed.downlink([0, 1]).kept_fraction == 1.0


def test_weights_are_shares_of_the_data_and_among_the_arrivals():
    """Clients 1 and 3 hold 30 and 40 of 100 examples; alone they count 3/7 and 4/7."""
    fed, _ = federation(Dense(bits=32))
    assert [fed.weight(client) for client in range(4)] == [0.1, 0.3, 0.2, 0.4]
    before = copy(fed.state.model)
    fed.train(1, [1, 2, 3])
    payloads, sent = {}, {}
    for client in (3, 1, 2):
        payloads[client], sent[client] = upload(fed, client)
    fed.lost(2)
    fed.aggregate({client: payloads[client] for client in (3, 1)})
    for name in SHAPES:
        wanted = before[name].astype(float) + 3 / 7 * sent[1][name].astype(float) + 4 / 7 * sent[3][name]
        # float32: the target, its difference to the model, and their sum
        np.testing.assert_allclose(fed.state.model[name], wanted, rtol=0, atol=3 * SINGLE * np.abs(wanted).max())


@every
def test_the_order_of_arrival_does_not_change_a_bit(codec):
    models = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        fed, _ = federation(codec)
        for round_ in (1, 2):
            fed.train(round_, order)
            fed.aggregate({client: upload(fed, client)[0] for client in reversed(order)})
        models.append(fed.state.model)
    assert_same_bits(*models)


@every
def test_a_round_without_arrivals_leaves_the_model_and_its_version(codec):
    fed, _ = federation(codec)
    fed.train(1, [0])
    fed.aggregate({0: upload(fed, 0)[0]})
    before, version, change = copy(fed.state.model), fed.state.version, fed.state.last_change
    fed.train(2, [0, 1])
    for client in (0, 1):
        upload(fed, client)
        fed.lost(client)
    fed.aggregate({})
    assert_same_bits(fed.state.model, before)
    assert (fed.state.version, fed.state.last_change) == (version, change)
    assert fed.diagnostics()["e_cov"] is fed.diagnostics()["e_sp"] is None
    fed.train(3, [0])  # and the run goes on
    fed.aggregate({0: upload(fed, 0)[0]})
    assert fed.state.version == version + 1


def diverges(fake, *bad, value=np.nan):
    """Let the training of (client, round) give a number that is not finite."""
    honest = fake._trained

    def trained(start, client, round_):
        after = honest(start, client, round_)
        if (client, round_) in bad:
            after["v.B"][1, 1] = value
        return after

    fake._trained = trained


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("ask", [lambda fed: upload(fed, 2), lambda fed: fed.lost(2)], ids=["encode", "lost"])
def test_a_diverged_client_stops_the_run_with_round_client_and_remedy(bad, ask):
    fed, fake = federation(Dense())
    diverges(fake, (2, 7), value=bad)
    fed.train(7, [0, 2, 3])
    upload(fed, 0)
    with pytest.raises(RunFailed, match=r"round 7: .*client 2 diverged.*lower learning\.local\.lr.*drop_client"):
        ask(fed)


def test_training_is_started_together_and_waited_for_when_it_is_needed():
    fed, fake = federation(TopK(error_feedback=1.0))
    fed.train(1, [0, 2, 3])
    fed.train(1, [1])
    assert fake.asked == [(1, (0, 2, 3)), (1, (1,))] and fake.waited == []
    upload(fed, 2)
    assert fake.waited == [(2, 1)]
    fed.lost(2)
    fed.lost(0)
    assert fake.waited == [(2, 1), (0, 1)]  # each once
    payload, _ = upload(fed, 3)
    fed.aggregate({3: payload})
    fed.evaluate()
    assert fake.waited == [(2, 1), (0, 1), (3, 1)] and fed.state.training.keys() == {1}


@pytest.mark.parametrize("decay", [1.0, 0.0])
def test_who_is_stopped_is_never_waited_for_and_keeps_what_it_had(decay):
    fed, fake = federation(TopK(error_feedback=decay))
    fed.train(1, [0, 1])
    fed.lost(0)
    before = copy(fed.state.residual[0])
    fed.train(2, [0])
    fed.stopped(0)
    fed.stopped(1)
    assert fake.waited == [(0, 1)]
    assert_same_bits(fed.state.residual[0], before)
    assert list(fed.state.residual) == [0]
    assert fed.state.training == fed.state.pending == fed.state.trained_version == {}
    fed.train(3, [0])
    for name in SHAPES:
        np.testing.assert_array_equal(fed.update(0).change[name], fake.changes[0, 3][name] + before[name])


@pytest.mark.parametrize("codec", [Dense(), TopK(error_feedback=1.0)], ids=lambda c: c.kind)
def test_a_diverged_client_that_is_dropped_sends_nothing_and_forgets_what_it_had(codec):
    fed, fake = federation(codec, on_divergence="drop_client")
    diverges(fake, (2, 2))
    fed.train(1, [1, 2])
    payloads = {1: upload(fed, 1)[0]}
    fed.lost(2)
    assert 2 in fed.state.residual
    fed.aggregate(payloads)
    fed.train(2, [1, 2])
    assert fed.encode(2, point_of(fed)) is None
    assert 2 not in fed.state.residual and fed.state.trained_version.keys() == {1}
    fed.aggregate({1: upload(fed, 1)[0]})  # and the round goes on without it
    assert fed.state.version == 2
    assert all(np.isfinite(value).all() for value in fed.state.model.values())
    fed.train(3, [2])
    assert_same_bits(fed.update(2).change, fake.changes[2, 3])
    diverges(fake, (0, 4))
    fed.train(4, [0])
    fed.lost(0)
    assert 0 not in fed.state.residual and fed.state.training == {}


class Sums(FedAvg):
    """Moves the model by three times the largest number that a float32 can hold."""

    def aggregate(self, model, arrivals):
        return {name: np.full_like(value, 3.0) * np.float32(3e38) for name, value in model.items()}


@every
def test_a_model_that_overflows_ends_the_run_and_leaves_the_last_one(codec):
    fed, _ = federation(codec, Sums(rank=4))
    fed.train(1, [0])
    payload, _ = upload(fed, 0)
    before = fed.state.model
    with pytest.raises(NotFinite, match=r"global model is not finite after the aggregation; lower learning\.local\.lr"):
        fed.aggregate({0: payload})
    assert fed.state.model is before and fed.state.version == 0


class Grows(FedAvg):
    """Moves the model to 1.1 times itself."""

    def aggregate(self, model, arrivals):
        return {name: value * np.float32(1.1) for name, value in model.items()}


@pytest.mark.parametrize("bits", [16, 32])
def test_a_model_beyond_the_numbers_of_float32_is_seen_when_it_gets_there(bits):
    fed, _ = federation(Dense(bits=bits), Grows(rank=4))
    fed.state.model = {name: np.full_like(value, 3e38) for name, value in fed.state.model.items()}
    for round_ in (1, 2):  # 3.3e38 is still one of them
        fed.state.fetched[0] = Fetched(fed.state.version, {name: 0 * value for name, value in fed.state.model.items()})
        fed.train(round_, [0])
        payload, _ = upload(fed, 0)
        if round_ == 1:
            fed.aggregate({0: payload})
    with pytest.raises(NotFinite, match="the global model is not finite"):
        fed.aggregate({0: payload})
    assert fed.state.version == 1


@pytest.mark.parametrize(("name", "bad"), [("loss", np.nan), ("loss", np.inf), ("accuracy", np.nan)])
def test_a_metric_that_is_not_finite_ends_the_run(name, bad):
    fed, fake = federation(Dense())
    honest = fake.evaluate
    fake.evaluate = lambda params: {**honest(params), name: bad}
    with pytest.raises(NotFinite, match=rf"the {name} of the global model is {bad}; lower learning"):
        fed.evaluate()


class PersonalHead(FedAvg):
    """FedAvg of the adapters; each client keeps a head of its own."""

    def personal(self, names):
        return frozenset(name for name in names if name.startswith("head."))


class PersonalB(FedAvg):
    """FedAvg of A alone: B stays with the client."""

    def personal(self, names):
        return frozenset(name for name in names if name.endswith(".B"))


@every
@pytest.mark.parametrize("method", [PersonalHead(rank=4), PersonalB(rank=4)], ids=lambda m: type(m).__name__)
def test_personal_tensors_stay_with_each_client(codec, method):
    fed, fake = federation(codec, method)
    own = method.personal(list(SHAPES))
    shared = [name for name in SHAPES if name not in own]
    first = copy(fake.initial())
    assert sorted(fed.layout.shapes) == sorted(shared) == sorted(fed.state.model)
    assert len(fed.downlink([0]).data) == 4 * LAYOUT.size(shared)
    held = {client: {name: first[name] for name in own} for client in range(4)}
    for round_, called in enumerate([(0, 1), (1, 3), (0, 1)], start=1):
        fed.received(called)
        fed.train(round_, called)
        payloads = {client: upload(fed, client, 1.0) for client in called}
        for client in called:
            for name in own:  # it went on from its own
                np.testing.assert_array_equal(fake.starts[client, round_][name], held[client][name])
                held[client][name] = fake.starts[client, round_][name] + fake.draw(1, client, round_)[name]
            for name in shared:
                np.testing.assert_array_equal(fake.starts[client, round_][name], fed.state.model[name])
            assert payloads[client][1].keys() == set(shared)
        if round_ == 2:
            fed.lost(1)  # its head is its own all the same
            payloads.pop(1)
            assert fed.state.residual[1].keys() == set(shared)
        fed.aggregate({client: payload for client, (payload, _) in payloads.items()})
        assert fed.state.model.keys() == set(shared)
        version, model = fed.model()
        assert version == round_ and list(model) == list(SHAPES)
        for name in own:
            mean = sum(fed.weight(client) * held[client][name].astype(float) for client in range(4))
            np.testing.assert_allclose(model[name], mean, rtol=0, atol=2 * SINGLE * np.abs(mean).max())
    if "head.weight" in own:
        assert fed.evaluate()["accuracy"] == model["head.weight"][0, 0] != first["head.weight"][0, 0]


def test_a_client_that_is_stopped_or_diverges_keeps_its_own_as_it_was():
    fed, fake = federation(Dense(), PersonalHead(rank=4), on_divergence="drop_client")
    diverges(fake, (1, 1))
    fed.train(1, [0, 1, 2])
    fed.stopped(0)
    assert fed.encode(1, point_of(fed)) is None
    upload(fed, 2)
    assert list(fed.state.personal) == [2]


def test_a_method_keeps_only_what_there_is():
    assert personal_of(FedAvg(), list(SHAPES)) == frozenset()
    odd = type("Odd", (FedAvg,), {"personal": lambda self, names: frozenset({"head.scale"})})()
    with pytest.raises(ValueError, match=r"fedavg: 'head\.scale' cannot be personal.*head\.weight"):
        federation(Dense(), odd)


def test_what_goes_to_files_changes_no_bit(tmp_path):
    models = []
    for limit_bytes in (2**30, 2 * FULL_BYTES, 0):
        states = ClientStates(limit_bytes, tmp_path)
        fed, _ = federation(TopK(error_feedback=1.0), PersonalHead(rank=4), states=states)
        for round_ in range(1, 5):
            fed.train(round_, range(4))
            fed.aggregate({client: upload(fed, client)[0] for client in range(4)})
        models.append({**fed.model()[1], **{f"{c}.{n}": v for c in range(4) for n, v in fed.state.residual[c].items()}})
        assert states.held_bytes <= limit_bytes
        assert bool(list(tmp_path.iterdir())) == (limit_bytes < 2**30)
        states.close()
        assert list(tmp_path.iterdir()) == []
    assert_same_bits(models[0], models[1])
    assert_same_bits(models[0], models[2])


def fetch(fed, client):
    """Send the model to a client, without it arriving yet."""
    return fed.downlink([client])


def test_a_client_trains_from_the_model_that_it_fetched_while_the_server_moves_on():
    fed, fake = federation(Dense(bits=32))
    for client in (0, 1):
        fetch(fed, client)
    first = fed.state.model
    fed.received([1])
    fed.train(1, [1])
    fed.aggregate({1: upload(fed, 1)[0]})
    second = copy(fed.state.model)
    fed.received([0])  # version 0 arrives only now
    fetch(fed, 1)
    fed.received([1])
    fed.train(2, [0, 1])
    assert fake.starts[0, 2] is first and fed.state.held_version == {0: 0, 1: 1}
    assert_same_bits(fake.starts[1, 2], second)
    _, sent = upload(fed, 0)
    fed.aggregate({0: fed.codec.encode(fed.state.pending[0], 1.0)})  # and its change is merged with the new model
    for name in SHAPES:
        wanted = second[name].astype(float) + sent[name]
        np.testing.assert_allclose(fed.state.model[name], wanted, rtol=0, atol=3 * SINGLE * np.abs(wanted).max())
    assert fed.state.training.keys() == fed.state.trained_version.keys() == {1}
    assert fed.state.pending == {}
    assert len(fetch(fed, 0).data) == FULL_BYTES  # it holds version 0 of 2
    assert fetch(fed, 1) == fed.state.last_change


def test_a_downlink_that_never_arrives_leaves_the_client_as_it_was():
    fed, fake = federation(Dense(bits=32))
    fetch(fed, 0)
    fed.received([0])
    fed.train(1, [0])
    fed.aggregate({0: upload(fed, 0)[0]})
    fetch(fed, 0)  # lost on the air
    fed.train(2, [1])
    fed.aggregate({1: upload(fed, 1)[0]})
    assert fed.state.held_version == {0: 0}
    fetch(fed, 0)
    fed.received([0])
    fed.train(3, [0])
    assert fake.starts[0, 3] is fed.state.model and fed.state.held_version[0] == 2


@sparse
def test_a_change_that_is_lost_before_it_was_encoded_waits_too(codec):
    fed, fake = federation(codec)
    fed.train(1, [0])
    fed.lost(0)
    assert_same_bits(fed.state.residual[0], fake.changes[0, 1])
    assert fed.state.pending == fed.state.sent == fed.state.trained_version == {}


@pytest.mark.parametrize("factor", [1.0, 0.6, 0.05])
def test_one_arrival_mixes_its_model_with_the_servers_as_fedasync_does(factor):
    """(1 - a) x + a x_k, where client k trained from x."""
    fed, fake = federation(Dense(bits=32))
    before = copy(fed.state.model)
    fed.train(1, [2])
    payload, _ = upload(fed, 2)
    fed.aggregate({2: payload}, {2: factor})
    for name in SHAPES:
        trained = before[name].astype(float) + fake.changes[2, 1][name]
        wanted = (1 - factor) * before[name] + factor * trained
        # float32: the target, its difference to the model, the step, and the sum
        np.testing.assert_allclose(fed.state.model[name], wanted, rtol=0, atol=4 * SINGLE * np.abs(wanted).max())


def test_a_full_buffer_moves_the_model_by_the_mean_of_the_discounted_changes():
    """server_lr / K sum_k s(tau_k) change_k, with clients of unequal data and ages 0, 1 and 2."""
    fed, _ = federation(Dense(bits=32))
    for client in (0, 1, 3):
        if client:  # the model moves on by a version between one fetch and the next
            fed.train(1, [2])
            fed.aggregate({2: upload(fed, 2)[0]})
        fetch(fed, client)
    fed.received([0, 1, 3])
    fed.train(5, [0, 1, 3])
    before, sent, payloads, seen = copy(fed.state.model), {}, {}, {}
    for client in (0, 1, 3):
        payloads[client], sent[client] = upload(fed, client)
    protocol, ages = Buffered(buffer=3, server_lr=0.7, staleness=Polynomial(exponent=0.5)), {0: 2, 1: 1, 3: 0}
    method = fed.method.aggregate
    object.__setattr__(fed.method, "aggregate", lambda m, a: seen.update({x.client: x for x in a}) or method(m, a))
    fed.aggregate(payloads, protocol.factors(ages, fed))
    assert {client: arrival.staleness for client, arrival in seen.items()} == ages
    assert sum(arrival.weight for arrival in seen.values()) == pytest.approx(1.0, rel=DOUBLE)
    for name in SHAPES:
        step = sum(sent[client][name].astype(float) / np.sqrt(1 + age) for client, age in ages.items())
        wanted = before[name] + 0.7 / 3 * step
        np.testing.assert_allclose(fed.state.model[name], wanted, rtol=0, atol=5 * SINGLE * np.abs(wanted).max())


def test_factors_of_one_change_no_bit_but_by_rounding_and_of_zero_leave_the_model():
    models = []
    for factors in (None, {0: 1.0, 1: 1.0}, {0: 0.0, 1: 0.0}):
        fed, _ = federation(Dense(bits=32))
        start = copy(fed.state.model)
        fed.train(1, [0, 1])
        fed.aggregate({client: upload(fed, client)[0] for client in (0, 1)}, factors)
        models.append(fed.state.model)
    for name in SHAPES:
        largest = np.abs(models[0][name]).max()
        np.testing.assert_allclose(models[1][name], models[0][name], rtol=0, atol=2 * SINGLE * largest)
    assert_same_bits(models[2], start)


def test_errors_of_stale_updates_are_those_of_what_their_clients_had():
    """e_sp starts from the model that was fetched, e_cov from the one that the changes are merged with."""
    fed, fake = federation(Components(bits=32))
    old = {name: value.astype(float) for name, value in fed.state.model.items()}
    fetch(fed, 1)
    fed.train(1, [2])
    fed.aggregate({2: upload(fed, 2, 1.0)[0]})
    new = {name: value.astype(float) for name, value in fed.state.model.items()}
    fetch(fed, 3)
    fed.received([1, 3])
    fed.train(2, [1, 3])
    payloads, sent, bases = {}, {}, {1: old, 3: new}
    for client in (1, 3):
        payloads[client], sent[client] = upload(fed, client, 0.5)
    factors = {1: 0.5, 3: 1.0}
    fed.aggregate(payloads, factors)
    shares = {1: 3 * 0.5 / 5.5, 3: 4 / 5.5}
    e_cov = e_sp = 0.0
    for a, b in LAYOUT.pairs:
        mean_product = mean_a = mean_b = 0.0
        for client, share in shares.items():
            base, change, got = bases[client], fake.changes[client, 2], sent[client]
            full = (base[b] + change[b]) @ (base[a] + change[a])
            e_sp += share * np.sum((full - (base[b] + got[b]) @ (base[a] + got[a])) ** 2)
            merged_a, merged_b = new[a] + got[a], new[b] + got[b]
            mean_a, mean_b = mean_a + share * merged_a, mean_b + share * merged_b
            mean_product = mean_product + share * merged_b @ merged_a
        e_cov += np.sum((mean_product - mean_b @ mean_a) ** 2)
    found = fed.diagnostics()
    # The federation adds model and change in float32, which errs by a few 2^-24 of entries that weigh equally.
    assert found["e_sp"] == pytest.approx(e_sp, rel=100 * SINGLE)
    assert found["e_cov"] == pytest.approx(e_cov, rel=100 * SINGLE)


def test_training_starts_from_the_servers_model_and_leaves_it():
    fed, fake = federation(Dense())
    before = copy(fed.state.model)
    fed.train(1, [0, 1])
    assert fake.starts[0, 1] is fake.starts[1, 1] is fed.state.model
    assert_same_bits(fed.state.model, before)


def test_sparse_errors_are_the_weighted_energy_of_what_was_left_out():
    fed, fake = federation(Components(bits=32))
    model = {name: value.astype(float) for name, value in fed.state.model.items()}
    fed.train(1, [1, 3])
    payloads, sent = {}, {}
    for client in (1, 3):
        payloads[client], sent[client] = upload(fed, client, 0.5)
    fed.aggregate(payloads)
    e_cov = e_sp = 0.0
    shares = {1: 3 / 7, 3: 4 / 7}
    for a, b in LAYOUT.pairs:
        mean_product = mean_a = mean_b = 0.0
        for client, share in shares.items():
            got_a, got_b = model[a] + sent[client][a], model[b] + sent[client][b]
            change = fake.changes[client, 1]
            e_sp += share * np.sum(((model[b] + change[b]) @ (model[a] + change[a]) - got_b @ got_a) ** 2)
            mean_a, mean_b = mean_a + share * got_a, mean_b + share * got_b
            mean_product = mean_product + share * got_b @ got_a
        e_cov += np.sum((mean_product - mean_b @ mean_a) ** 2)
    found = fed.diagnostics()
    # The federation adds model and change in float32, which errs by a few 2^-24 of entries that weigh equally.
    assert found["e_sp"] == pytest.approx(e_sp, rel=100 * SINGLE)
    assert found["e_cov"] == pytest.approx(e_cov, rel=100 * SINGLE)


def test_a_dense_payload_of_32_bits_leaves_nothing_out():
    fed, _ = federation(Dense(bits=32))
    fed.train(1, [0, 1])
    fed.aggregate({client: upload(fed, client)[0] for client in (0, 1)})
    assert fed.diagnostics()["e_sp"] == 0.0
    assert fed.diagnostics()["e_cov"] > 0


def test_diagnostics_name_rank_and_the_largest_coherence_of_the_global_factors():
    fed, _ = federation(Dense())
    found = fed.diagnostics()
    assert found["rank"] == 4
    assert found["coherence_a"] == max(lowrank.coherence(fed.state.model[a]) for a in ("q.A", "v.A"))
    assert found["coherence_b"] == max(lowrank.coherence(fed.state.model[b].T) for b in ("q.B", "v.B"))


def test_head_only_has_no_factors_to_diagnose():
    fed, _ = federation(Dense(), HeadOnly(), layout=HEAD_ONLY)
    fed.train(1, [0, 1])
    fed.aggregate({client: upload(fed, client)[0] for client in (0, 1)})
    empty = dict.fromkeys(("coherence_a", "coherence_b", "e_cov", "e_sp", "e_sp_score", "e_q"))
    assert fed.diagnostics() == {"rank": 0, **empty}
    assert fed.evaluate()["accuracy"] == float(fed.state.model["head.weight"][0, 0])


def test_all_clients_have_the_codecs_menu():
    fed, _ = federation(Components())
    assert all(fed.menu(client) == Components().menu(LAYOUT) for client in range(4))


def test_the_model_that_is_kept_has_what_is_frozen_and_the_one_that_is_evaluated_has_not():
    fed, fake = federation(Dense(bits=32))
    fake.frozen = {"layer.A": np.ones((2, 3), np.float32)}
    evaluated = []
    fake.evaluate = lambda params: evaluated.append(set(params)) or {"loss": 0.0}
    fed.evaluate()
    _, model = fed.model()
    assert model["layer.A"] is fake.frozen["layer.A"]
    assert evaluated == [set(model) - {"layer.A"}] == [set(LAYOUT.shapes)]


@pytest.mark.parametrize("select", ["random", "random_common"])
def test_other_seeds_draw_other_masks_and_roundings_and_arms_of_one_seed_the_same(select):
    """By salt: the masks of four clients, and the bytes of a dense update of 8 bits."""
    masks, rounded = {}, {}
    for number, salt in enumerate((0, 5, 5, 2**64 - 1)):
        fed, _ = federation(Components(select=select), salt=salt)
        fed.train(1, range(4))
        found = [fed.encode(client, point_of(fed)).data for client in range(4)]
        kept = [fed.codec.kept(data, LAYOUT) for data in found]
        masks[number] = tuple(tuple(mask["q.A"].ravel()) + tuple(mask["v.A"].ravel()) for mask in kept)
        fed, _ = federation(Dense(bits=8), salt=salt)
        fed.train(1, [2])
        rounded[number] = fed.encode(2, point_of(fed)).data
    for drawn in (masks, rounded):
        assert drawn[1] == drawn[2] and len(set(drawn.values())) == 3
    assert all((len(set(clients)) == 1) is (select == "random_common") for clients in masks.values())
