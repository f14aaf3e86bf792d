from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.erasure import IndependentLoss, NoLoss
from channels.fading import BlockRayleigh, NoFading
from wfl_sim.errors import LedgerError
from wfl_sim.radio.ledger import Ledger
from wfl_sim.radio.options import Arq, Radio, Uplink

BAND_HZ = 2e6
CLOCK = 1e-12  # relative: an end is planned in floats and reached by adding a delay to the time of the plan


def test_it_balances():
    ledger = Ledger()
    ledger.offer(3, "up", 100)
    ledger.offer(3, "up", 50)
    ledger.offer(-1, "down", 70)
    ledger.settle(3, "up", delivered=100, dropped=0)
    ledger.settle(-1, "down", delivered=0, dropped=70)
    ledger.check()
    assert ledger.totals() == {
        "offered_up_bits": 150, "delivered_up_bits": 100, "dropped_up_bits": 0, "in_flight_up_bits": 50,
        "offered_down_bits": 70, "delivered_down_bits": 0, "dropped_down_bits": 70, "in_flight_down_bits": 0,
    }  # fmt: skip


@pytest.mark.parametrize("book", ["delivered", "dropped", "in_flight", "offered"])
def test_a_cooked_book_is_found(book):
    ledger = Ledger()
    ledger.offer(0, "up", 10)
    ledger.settle(0, "up", delivered=4, dropped=0)
    ledger.check()
    getattr(ledger, book)[0, "up"] += 1
    with pytest.raises(LedgerError, match=r"client 0 up: 1[01] bit offered"):
        ledger.check()


def test_more_settled_than_offered_is_found():
    ledger = Ledger()
    ledger.offer(2, "down", 10)
    ledger.settle(2, "down", delivered=12, dropped=0)  # in flight is -2: the sum is right, the book is not
    with pytest.raises(LedgerError, match="client 2 down"):
        ledger.check()


def test_the_error_survives_being_rebuilt():
    error = LedgerError("client 0 up: no balance")
    assert str(pickle.loads(pickle.dumps(error))) == str(type(error)(*error.args)) == "client 0 up: no balance"


TRANSFERS = st.lists(
    st.tuples(
        st.sampled_from(["up", "up", "up", "down"]),
        st.integers(0, 2),  # client
        st.floats(0.0, 0.2),  # when
        st.integers(1, 300_000),  # payload
        st.floats(0.1, 1.0),  # of its share of the band
    ),
    min_size=1,
    max_size=6,
)


@given(
    TRANSFERS,
    st.sampled_from([0.0, 0.3, 0.8]),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.1, 600.0]),
)
def test_every_small_world_balances_at_every_instant(
    make_medium, later, transfers, loss, attempts, work_conserving, fading, timeout_s
):
    radio = Radio(
        uplink=Uplink(bandwidth_hz=BAND_HZ, work_conserving=work_conserving),
        retransmission=Arq(attempts=attempts),
        timeout_s=timeout_s,
    )
    medium = make_medium(
        radio=radio,
        clients=3,
        from_m=100.0,
        to_m=400.0,
        fading=BlockRayleigh(block_s=0.05) if fading else NoFading(),
        loss=IndependentLoss(probability=loss, origin="interference") if loss else NoLoss(),
    )
    results = []
    for direction, client, at_s, payload_bits, share in transfers:
        if direction == "up":
            ask = lambda c=client, p=payload_bits, s=share: medium.uplink(c, p, s * BAND_HZ / len(transfers))  # noqa: E731
        else:
            ask = lambda c=client, p=payload_bits: medium.downlink([c, (c + 1) % 3], p)[0]  # noqa: E731
        later(medium, at_s, ask, results)
    while medium.env.peek() < math.inf:
        before_s, ended = medium.env.now, len(results)
        medium.env.step()
        assert medium.env.now >= before_s
        medium.ledger.check()
        for result in results[ended:]:
            assert result.t_end_s == pytest.approx(medium.env.now, rel=CLOCK)
    assert len(results) == len(transfers)
    assert all(r.t_request_s <= r.t_start_s < r.t_end_s for r in results)  # one broadcast waits for the other
    assert all(r.t_request_s == r.t_start_s for r in results if r.direction == "up")
    assert all(r.t_end_s - r.t_start_s <= timeout_s * (1 + CLOCK) for r in results)
    totals = medium.ledger.totals()
    for direction in ("up", "down"):
        here = [r for r in results if r.direction == direction]
        assert totals[f"in_flight_{direction}_bits"] == 0
        assert totals[f"offered_{direction}_bits"] == sum(t[3] for t in transfers if t[0] == direction)
        assert totals[f"delivered_{direction}_bits"] == sum(r.delivered_bits for r in here)
        assert totals[f"dropped_{direction}_bits"] == sum(r.payload_bits - r.delivered_bits for r in here)
    for r in results:
        assert (r.outcome == "delivered") == bool(r.reached) == (r.delivered_bits == r.payload_bits)
        assert (r.outcome == "dropped") == (r.delivered_bits == 0)
    if loss == 0 and timeout_s == 600.0:
        assert {r.outcome for r in results} == {"delivered"} and not any(r.lost for r in results)
